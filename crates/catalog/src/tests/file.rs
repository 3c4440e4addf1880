//! The catalog's file: formats that are refused, settings that stay.

use super::clock;
use crate::{CATALOG_VERSION, Catalog, CatalogErrorKind};
use std::path::Path;

fn refusal(path: &Path) -> String {
    let error = Catalog::open(path, clock()).unwrap_err();
    assert_eq!(error.kind(), CatalogErrorKind::Refused, "{error}");
    error.to_string()
}

#[test]
fn a_newer_foreign_or_damaged_file_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    drop(Catalog::open(&path, clock()).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", CATALOG_VERSION + 1).unwrap();
    raw.close().unwrap();
    assert!(refusal(&path).contains("start the newer release"));

    let foreign = folder.path().join("foreign.sqlite");
    let raw = rusqlite::Connection::open(&foreign).unwrap();
    raw.execute_batch("CREATE TABLE theirs (x)").unwrap();
    raw.close().unwrap();
    assert!(refusal(&foreign).contains("another program"));

    let damaged = folder.path().join("damaged.sqlite");
    std::fs::write(
        &damaged,
        "this is no database, although it is long enough to be looked at as one".repeat(99),
    )
    .unwrap();
    assert!(refusal(&damaged).contains("restore it from a backup"));
}

#[test]
fn a_file_with_a_damaged_page_is_refused_unchanged_whichever_page_it_is() {
    const PAGE_BYTES: usize = 4096;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    drop(Catalog::open(&path, clock()).unwrap());
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > 2 * PAGE_BYTES);
    for start in (0..whole.len()).step_by(PAGE_BYTES) {
        let mut damaged = whole.clone();
        damaged[start..start + PAGE_BYTES].fill(0xa5);
        std::fs::write(&path, &damaged).unwrap();
        let told = refusal(&path);
        assert!(told.contains("restore it from a backup"), "byte {start}: {told}");
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "byte {start}");
    }
    std::fs::write(&path, &whole).unwrap();
    drop(Catalog::open(&path, clock()).unwrap());
}

#[test]
fn settings_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    Catalog::open(&path, clock())
        .unwrap()
        .set_setting("generation", "1")
        .unwrap();
    let catalog = Catalog::open(&path, clock()).unwrap();
    catalog.set_setting("generation", "2").unwrap();
    assert_eq!(catalog.setting("generation").unwrap().as_deref(), Some("2"));
    assert_eq!(catalog.setting("other").unwrap(), None);
    catalog.check_reachable().unwrap();
}
