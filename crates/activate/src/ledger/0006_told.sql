-- The send ledger, version 6: whom each destination holds, and under which name.

-- The name by which a receiver was told that somebody is in a segment: it holds that name until it is told that they left.
CREATE TABLE told (
    space TEXT NOT NULL,
    destination TEXT NOT NULL,
    segment TEXT NOT NULL,
    profile BLOB NOT NULL,
    anonymous INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (space, destination, segment, profile)
) STRICT, WITHOUT ROWID;

CREATE INDEX told_names ON told (space, destination, segment, name);

-- What is told next, in this order: decided once, with the name, and sent until it is answered. At most a page of changes for each
-- destination. What is not `said` changes only `told`.
CREATE TABLE telling (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    space TEXT NOT NULL,
    destination TEXT NOT NULL,
    said INTEGER NOT NULL,
    kind TEXT NOT NULL,
    number INTEGER NOT NULL,
    segment TEXT NOT NULL,
    profile BLOB NOT NULL,
    entered INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    cause TEXT NOT NULL,
    anonymous INTEGER NOT NULL,
    name TEXT NOT NULL
) STRICT;

CREATE INDEX telling_of ON telling (space, destination, id);

-- Who was a member at the number `compare_at` of the outbox: compared with whom the destination holds once it is there.
CREATE TABLE compared_members (
    space TEXT NOT NULL,
    destination TEXT NOT NULL,
    segment TEXT NOT NULL,
    profile BLOB NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (space, destination, segment, profile)
) STRICT, WITHOUT ROWID;

-- Why the two have to be compared: 0 they have not, 1 whom it holds was not kept before this version, 2 changes were lost, 3 both.
ALTER TABLE destinations ADD COLUMN compare INTEGER NOT NULL DEFAULT 0;
ALTER TABLE destinations ADD COLUMN compare_at INTEGER;
UPDATE destinations SET compare = 1;
