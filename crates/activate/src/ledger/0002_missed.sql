-- The send ledger, version 2.

-- Changes of the outbox that were gone before they could be taken: nothing was sent by them.
ALTER TABLE cursors ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;
