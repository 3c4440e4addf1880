-- The send ledger, version 5: runs, by which somebody has a message sent to members whose entry was not live.

-- A run counts first, and sends once its count was confirmed. `segment` and `topic` are those of the message when it was asked for.
-- `causes` is a list with commas. Entries after `entered_before` are no part of it. `place` is the last member that was looked at.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    message TEXT NOT NULL,
    segment TEXT NOT NULL,
    topic TEXT,
    causes TEXT NOT NULL,
    entered_after INTEGER,
    entered_before INTEGER NOT NULL,
    author TEXT NOT NULL,
    why TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    started_by TEXT,
    started_at INTEGER,
    stopped_by TEXT,
    ended_at INTEGER,
    state TEXT NOT NULL CHECK (state IN ('counting', 'counted', 'sending', 'done', 'stopping', 'stopped', 'replaced')),
    reason TEXT,
    place BLOB,
    counted_members INTEGER NOT NULL DEFAULT 0,
    counted INTEGER NOT NULL DEFAULT 0,
    members INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX runs_at_work ON runs (id) WHERE state IN ('counting', 'sending', 'stopping');
CREATE INDEX runs_of_space ON runs (space, id);

-- Who a run leaves out, by reason: when it counts, and when it sends.
CREATE TABLE run_left_out (
    run INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('counting', 'sending')),
    reason TEXT NOT NULL,
    people INTEGER NOT NULL,
    PRIMARY KEY (run, phase, reason)
) STRICT;

-- When somebody asked for it, where no live entry made it: its `run` is then 2^62 and the run's id.
ALTER TABLE sends ADD COLUMN asked_at INTEGER;

-- What nobody asked for comes first, however much was asked for.
DROP INDEX sends_due;
CREATE INDEX sends_due ON sends ((asked_at IS NOT NULL), due_at, id) WHERE state = 'reserved';
CREATE INDEX sends_of_run ON sends (run, state, reason) WHERE asked_at IS NOT NULL;
