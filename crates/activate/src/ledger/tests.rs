//! The ledger's file: its format, and what it refuses.

use super::{FORMAT, LEDGER_VERSION, Ledger};
use crate::ActivateErrorKind;
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
            "615eface88806fa8"
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
