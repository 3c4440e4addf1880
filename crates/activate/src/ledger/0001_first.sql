-- The send ledger, version 1. Times are microseconds since 1970.

-- How far a space's outbox was taken: the number that is wanted next.
CREATE TABLE cursors (
    space TEXT PRIMARY KEY,
    next_number INTEGER NOT NULL
) STRICT;

-- What is paused: a space, or * for everything.
CREATE TABLE pauses (scope TEXT PRIMARY KEY) STRICT;

-- One row per entry, message, person and address. `run` is the outbox number of the entry.
-- `person_kind` and `person_value` name the person in events; `topic` is null for transactional mail.
CREATE TABLE sends (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    message TEXT NOT NULL,
    run INTEGER NOT NULL,
    profile BLOB NOT NULL,
    address TEXT NOT NULL,
    segment TEXT NOT NULL,
    topic TEXT,
    person_kind TEXT NOT NULL,
    person_value TEXT NOT NULL,
    entered_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'attempting', 'accepted', 'rejected', 'unknown', 'skipped')),
    reason TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    subject TEXT,
    sender TEXT,
    token_hash BLOB,
    unsubscribed_at INTEGER,
    UNIQUE (space, message, run, profile, address)
) STRICT;

CREATE INDEX sends_due ON sends (due_at, id) WHERE state = 'reserved';
CREATE INDEX sends_attempting ON sends (id) WHERE state = 'attempting';
CREATE UNIQUE INDEX sends_token ON sends (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX sends_by_state ON sends (space, state, reason);

-- Entries that did not happen live: counted, never sent.
CREATE TABLE not_live (
    space TEXT NOT NULL,
    message TEXT NOT NULL,
    cause TEXT NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (space, message, cause)
) STRICT;

-- Addresses that get nothing: of one topic, or of all where the topic is empty.
CREATE TABLE suppressions (
    space TEXT NOT NULL,
    address TEXT NOT NULL,
    topic TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (space, address, topic)
) STRICT;

-- Events that have still to be appended to the log.
CREATE TABLE feedback (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
