-- The catalog's first layout. Times are microseconds since 1970. Hashes are SHA-256 of a key in clear.
CREATE TABLE settings (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE spaces (
    name TEXT PRIMARY KEY NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sources (
    space TEXT NOT NULL REFERENCES spaces (name),
    name TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (space, name)
) STRICT, WITHOUT ROWID;

-- A source has at most one write key; turning the key replaces it.
CREATE TABLE write_keys (
    hash BLOB PRIMARY KEY NOT NULL,
    space TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (space, source),
    FOREIGN KEY (space, source) REFERENCES sources (space, name)
) STRICT, WITHOUT ROWID;

-- scope is 'admin' (space is null) or 'read'; origin is 'made' or 'environment'.
CREATE TABLE api_keys (
    name TEXT PRIMARY KEY NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    scope TEXT NOT NULL,
    space TEXT REFERENCES spaces (name),
    origin TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every version of every definition, named by the address of the decision that made it, so that versions stand in the
-- order of the log whatever order they were recorded in. spec is null where the version deletes the definition.
CREATE TABLE definitions (
    space TEXT NOT NULL REFERENCES spaces (name),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    decided_by BLOB NOT NULL,
    spec TEXT,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (space, kind, name, decided_by)
) STRICT, WITHOUT ROWID;

-- The decisions that were recorded, by address in the log: recording one again changes nothing.
CREATE TABLE decisions (
    address BLOB PRIMARY KEY NOT NULL,
    space TEXT NOT NULL
) STRICT, WITHOUT ROWID;
