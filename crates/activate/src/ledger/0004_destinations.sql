-- The send ledger, version 4: how far each destination of audiences is.

-- `next_number` is the number of the outbox that is wanted next. `all_from` is set where the destination takes all segments:
-- from which number on it is told of those that have no row of their own. `told_until` is the latest instant of a change that was
-- told, in microseconds.
CREATE TABLE destinations (
    space TEXT NOT NULL,
    destination TEXT NOT NULL,
    next_number INTEGER NOT NULL,
    all_from INTEGER,
    told_until INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    nameless INTEGER NOT NULL DEFAULT 0,
    missed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (space, destination)
) STRICT;

-- From which number on a destination is told of a segment: who was a member before was told as a member.
CREATE TABLE destination_segments (
    space TEXT NOT NULL,
    destination TEXT NOT NULL,
    segment TEXT NOT NULL,
    from_number INTEGER NOT NULL,
    PRIMARY KEY (space, destination, segment)
) STRICT;

-- Members that have still to be told to a destination that was connected to their segment.
CREATE TABLE destination_members (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    destination TEXT NOT NULL,
    segment TEXT NOT NULL,
    profile BLOB NOT NULL,
    since INTEGER NOT NULL
) STRICT;

CREATE INDEX destination_members_of ON destination_members (space, destination, id);

-- The latest events that a receiver refused for good.
CREATE TABLE destination_refusals (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    destination TEXT NOT NULL,
    segment TEXT NOT NULL,
    profile BLOB NOT NULL,
    entered INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    refused_at INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE INDEX destination_refusals_of ON destination_refusals (space, destination, id);
