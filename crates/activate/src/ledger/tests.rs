//! The ledger's file: its format, and what it refuses.

use super::{FORMAT, LEDGER_VERSION, Ledger};
use crate::ActivateErrorKind;
use kith_types::{SpaceId, Timestamp};
use rusqlite::Connection;

#[test]
fn the_steps_of_the_layout_never_change() {
    // A released step is never edited: a new one is added.
    let steps = FORMAT.migrations.iter();
    let hashes: Vec<String> = steps
        .map(|step| blake3::hash(step.as_bytes()).to_hex()[..16].to_owned())
        .collect();
    assert_eq!(
        hashes,
        [
            "b8f2708b4eb7bd70",
            "3c2ef3b32ae06e21",
            "efbb778720f5b68f",
            "615eface88806fa8",
            "f6068174d0bda9ac",
            "ee3b8fa692e4e3d0"
        ]
    );
}

#[test]
fn a_ledger_that_this_release_cannot_read_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    drop(Ledger::open(&path("future.db")).unwrap());
    Connection::open(path("future.db"))
        .unwrap()
        .pragma_update(None, "user_version", LEDGER_VERSION + 1)
        .unwrap();
    Connection::open(path("foreign.db"))
        .unwrap()
        .execute_batch("CREATE TABLE x (a)")
        .unwrap();
    std::fs::write(
        path("damaged.db"),
        "no database at all, but long enough to be looked at".repeat(100),
    )
    .unwrap();
    for (name, expected) in [
        ("future.db", "newer Kith"),
        ("foreign.db", "another program"),
        ("damaged.db", "damaged"),
    ] {
        let before = std::fs::read(path(name)).unwrap();
        let error = Ledger::open(&path(name)).err().unwrap();
        assert_eq!(error.kind(), ActivateErrorKind::Refused, "{name}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert_eq!(std::fs::read(path(name)).unwrap(), before, "{name}");
    }
}

#[test]
fn act_6_a_ledger_from_before_runs_is_taken_over_with_what_waits_in_it() {
    const SEND: &str = "INSERT INTO sends (space, message, run, profile, address, segment, person_kind, person_value, entered_at, state, due_at, changed_at) VALUES ('main', 'welcome', ?1, zeroblob(16), 'jo@example.com', 'vip', 'user_id', 'jo', 5, 'reserved', ?2, 5)";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let old = Connection::open(&path).unwrap();
    for step in &FORMAT.migrations[..4] {
        old.execute_batch(step).unwrap();
    }
    for (run, due_at) in [(1, 9), (2, 7)] {
        old.execute(SEND, [run, due_at]).unwrap();
    }
    const NOT_LIVE: &str = "INSERT INTO not_live VALUES ('main', 'welcome', 'import', 3)";
    old.execute(NOT_LIVE, []).unwrap();
    old.pragma_update(None, "application_id", FORMAT.application_id)
        .unwrap();
    old.pragma_update(None, "user_version", 4).unwrap();
    drop(old);
    let ledger = Ledger::open(&path).unwrap();
    let due = ledger.due(Timestamp::from_micros(100), 9, &[]).unwrap();
    let runs = due.iter().map(|due| ledger.send(due.id).unwrap().unwrap());
    let runs: Vec<_> = runs.map(|send| (send.run, send.asked_at, send.wanted_at())).collect();
    let entered = Timestamp::from_micros(5);
    assert_eq!(runs, [(2, None, entered), (1, None, entered)]);
    assert!(ledger.runs_at_work().unwrap().is_empty());
    assert_eq!(ledger.counts(&SpaceId::main()).unwrap().len(), 2);

    // What is due is found without walking through all that waits.
    let connection = ledger.connection();
    let plan = "EXPLAIN QUERY PLAN SELECT id FROM sends WHERE state = 'reserved' AND (asked_at IS NOT NULL) = ?1 AND due_at <= ?2 ORDER BY due_at, id";
    let plan: String = connection.query_row(plan, [0, 1], |row| row.get(3)).unwrap();
    assert!(plan.contains("INDEX sends_due (<expr>=? AND due_at<?)"), "{plan}");
}

#[test]
fn act_1_what_a_person_got_is_counted_without_looking_through_what_others_got() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let connection = ledger.connection();
    let plan = format!("EXPLAIN QUERY PLAN {}", super::limits::COUNT);
    let mut statement = connection.prepare(&plan).unwrap();
    let steps = statement.query_map([0; 11], |row| row.get::<_, String>(3)).unwrap();
    let steps: Vec<String> = steps.map(Result::unwrap).collect();
    let sends = steps.iter().filter(|step| step.contains(" sends "));
    for step in sends.clone() {
        let by_person = step.contains("profile=?") || step.contains("address=?") || step.contains("rowid=?");
        assert!(by_person, "{steps:?}");
    }
    assert_eq!(sends.count(), 3, "{steps:?}");
}

#[test]
fn a_ledger_with_a_damaged_page_is_refused_and_left_alone() {
    const PAGE_BYTES: usize = 4096;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    drop(Ledger::open(&path).unwrap());
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > 2 * PAGE_BYTES);
    for start in (0..whole.len()).step_by(PAGE_BYTES) {
        let mut damaged = whole.clone();
        damaged[start..start + PAGE_BYTES].fill(0xa5);
        std::fs::write(&path, &damaged).unwrap();
        let error = Ledger::open(&path).err().unwrap();
        assert_eq!(error.kind(), ActivateErrorKind::Refused, "byte {start}: {error}");
        let told = error.to_string();
        assert!(told.contains("restore it from a backup"), "byte {start}: {told}");
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "byte {start}");
    }
}

#[test]
fn no_token_is_kept_in_clear() {
    let columns: Vec<&str> = super::SEND_COLUMNS.split(", ").collect();
    assert!(!columns.contains(&"token"));
    assert!(FORMAT.migrations[0].contains("token_hash BLOB"));
}

#[test]
fn seg_5_who_is_held_by_a_name_is_found_without_looking_through_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
    let connection = ledger.connection();
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {}", super::told::TOLD_AS))
        .unwrap();
    let steps = statement.query_map([0; 5], |row| row.get::<_, String>(3)).unwrap();
    let steps: Vec<String> = steps.map(Result::unwrap).collect();
    assert!(
        steps.iter().all(|step| step.contains("segment=? AND name=?")),
        "{steps:?}"
    );
}
