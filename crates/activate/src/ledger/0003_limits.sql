-- The send ledger, version 3: what caps count.

ALTER TABLE sends ADD COLUMN channel TEXT NOT NULL DEFAULT 'email';

-- When it left, where it may have reached the person.
ALTER TABLE sends ADD COLUMN left_at INTEGER;
UPDATE sends SET left_at = changed_at WHERE state IN ('attempting', 'accepted', 'unknown');

CREATE INDEX sends_of_profile ON sends (space, profile);
CREATE INDEX sends_of_address ON sends (space, address);
