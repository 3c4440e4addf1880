//! A catalog that lost its definitions, or could not record one, has them again.

use super::*;
use crate::server::testing::decided;
use kith_catalog::{Document, DocumentKind};
use kith_log::{LogConfig, OsDisk};
use kith_pipeline::{ArchiveFailure, ArchivePart, ArchiveReader, EngineConfig, Hole};
use kith_state::MemoryStore;
use kith_types::{Clock, Decision, Envelope, Origin, SystemClock};
use serde_json::json;
use std::path::Path;

/// The records that were let go of, as raw has them.
struct Kept(Vec<Record>);

impl Archive for Kept {
    fn open(&self, _from: u64) -> Result<Box<dyn ArchiveReader>, ArchiveFailure> {
        Ok(Box::new(Kept(self.0.clone())))
    }

    fn holes(&self) -> Result<Vec<Hole>, ArchiveFailure> {
        Ok(Vec::new())
    }

    fn missing(&self, _from: u64, _to: u64) -> Result<Vec<(u64, u64)>, ArchiveFailure> {
        Ok(Vec::new())
    }

    fn name(&self, from: u64, to: u64) -> String {
        format!("0-0-{from}-{to}")
    }
}

impl ArchiveReader for Kept {
    fn next_part(&mut self) -> Result<Option<ArchivePart>, ArchiveFailure> {
        let records = std::mem::take(&mut self.0);
        let damaged = Vec::new();
        Ok((!records.is_empty()).then_some(ArchivePart { records, damaged }))
    }
}

fn space() -> SpaceId {
    "main".parse().unwrap()
}

fn document(kind: DocumentKind, name: &str, spec: serde_json::Value) -> Document {
    Document {
        kind,
        name: name.to_owned(),
        spec,
    }
}

fn decide(log: &Log, applied: Vec<Document>) -> (DefinitionsDecision, (Address, Timestamp)) {
    let decision = decided(applied);
    let body = RecordBody::Decision(Decision {
        kind: DECISION_KIND.into(),
        document: decision.to_json().into(),
    });
    let appended = log.append_blocking(&space(), &body).unwrap();
    (decision, (appended.address, appended.received_at))
}

/// A log whose first half has been let go of, and what was in it.
fn log_in(folder: &Path) -> (Arc<Log>, Arc<Kept>) {
    let (log, _) = Log::open(LogConfig::new(folder), Arc::new(OsDisk), Arc::new(SystemClock)).unwrap();
    let vip = json!({"where": {"trait": "plan", "equals": "vip"}});
    decide(
        &log,
        vec![
            document(DocumentKind::Segment, "vip", vip),
            document(DocumentKind::Source, "web", json!({"enabled": false})),
        ],
    );
    let envelope = RecordBody::Envelope(Envelope {
        source: "app".parse().unwrap(),
        route: Route::Track,
        origin: Origin::Live,
        content_type: "".into(),
        client_ip: "".into(),
        user_agent: "".into(),
        terms: kith_types::Terms::USUAL,
        body: "{}".into(),
    });
    log.append_blocking(&space(), &envelope).unwrap();
    log.seal_now().unwrap();
    let kept = log.read_segment(0).unwrap().records;
    decide(&log, vec![document(DocumentKind::IdentityRules, "default", json!({}))]);
    log.remove_segment(0).unwrap();
    (log, Arc::new(Kept(kept)))
}

fn names(catalog: &Catalog) -> Vec<String> {
    let documents = catalog.definitions(&space()).unwrap();
    documents.iter().map(|document| document.name.clone()).collect()
}

#[test]
fn raw_2_a_catalog_that_lost_its_definitions_has_them_again_from_log_and_raw() {
    let folder = tempfile::TempDir::new().unwrap();
    let (log, kept) = log_in(&folder.path().join("log"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let file = folder.path().join("catalog.db");
    let open = || {
        let catalog = Catalog::open(&file, Arc::clone(&clock)).unwrap();
        follow(&catalog, &log, Arc::clone(&kept) as Arc<dyn Archive>).unwrap();
        catalog
    };
    let catalog = open();
    let all = names(&catalog);
    assert_eq!(all.len(), 3, "{all:?}");
    let key = catalog
        .rotate_write_key(&space(), &"app".parse().unwrap())
        .unwrap()
        .write_key;
    let sources = |catalog: &Catalog| -> Vec<(String, bool, bool)> {
        let sources = catalog.sources(&space()).unwrap();
        sources
            .iter()
            .map(|source| (source.name.to_string(), source.enabled, source.has_write_key))
            .collect()
    };
    assert_eq!(
        sources(&catalog),
        [("app".to_owned(), true, true), ("web".to_owned(), false, false)]
    );

    catalog.forget_definitions().unwrap();
    assert!(names(&catalog).is_empty());
    drop(catalog);
    let catalog = open();
    assert_eq!(names(&catalog), all, "the rows were lost");
    assert!(
        matches!(
            catalog.resolve_write_key(&key),
            kith_catalog::WriteKeyOutcome::Source { .. }
        ),
        "keys are kept apart"
    );

    drop(catalog);
    std::fs::remove_file(&file).unwrap();
    let catalog = open();
    assert_eq!(names(&catalog), all, "the file was lost");
    assert_eq!(
        sources(&catalog),
        [("app".to_owned(), true, false), ("web".to_owned(), false, false)]
    );
}

/// Recording lost definitions ends wherever a kill may fall; the next start has all of them.
#[test]
fn raw_2_lost_definitions_are_recorded_whole_though_a_kill_cuts_it_short() {
    let folder = tempfile::TempDir::new().unwrap();
    let (log, kept) = log_in(&folder.path().join("log"));
    let file = folder.path().join("catalog.db");
    let open = || Catalog::open(&file, Arc::new(SystemClock)).unwrap();
    let follow = |catalog: &Catalog| follow(catalog, &log, Arc::clone(&kept) as Arc<dyn Archive>);
    follow(&open()).unwrap();
    let all = names(&open());
    assert_eq!(all.len(), 3, "{all:?}");
    // Each place at which a write can be the last one: nothing may be written after so many rows of definitions.
    for rows in 0..4 {
        let catalog = open();
        catalog.forget_definitions().unwrap();
        let spoiler = rusqlite::Connection::open(&file).unwrap();
        let trigger = format!(
            "CREATE TRIGGER killed BEFORE INSERT ON definitions WHEN (SELECT count(*) FROM definitions) >= {rows}
             BEGIN SELECT RAISE(ABORT, 'killed'); END"
        );
        spoiler.execute_batch(&trigger).unwrap();
        let cut = follow(&catalog);
        assert_eq!(cut.is_err(), rows < 3, "{rows}");
        drop(catalog);
        spoiler.execute_batch("DROP TRIGGER killed").unwrap();
        let catalog = open();
        follow(&catalog).unwrap();
        assert_eq!(names(&catalog), all, "cut short after {rows}");
    }
    // And between saying where to begin and forgetting what is half there.
    let catalog = open();
    catalog.set_setting(FOLLOWED, "0").unwrap();
    follow(&catalog).unwrap();
    assert_eq!(names(&catalog), all);
}

#[test]
fn raw_2_a_decision_that_could_not_be_recorded_is_recorded_later_and_in_order() {
    let folder = tempfile::TempDir::new().unwrap();
    let (log, _) = log_in(&folder.path().join("log"));
    let file = folder.path().join("catalog.db");
    let catalog = Catalog::open(&file, Arc::new(SystemClock)).unwrap();
    let unrecorded = Unrecorded::default();
    let spoiler = spoiled(&file);
    for plan in ["a", "b"] {
        let spec = json!({"where": {"trait": "plan", "equals": plan}});
        let (decision, at) = decide(&log, vec![document(DocumentKind::Segment, "plan", spec)]);
        unrecorded.record(&catalog, &space(), &decision, at);
    }
    assert!(names(&catalog).is_empty() && !unrecorded.is_empty());
    unrecorded.catch_up(&catalog).unwrap_err();
    spoiler.execute_batch("DROP TRIGGER full").unwrap();
    unrecorded.catch_up(&catalog).unwrap();
    assert!(unrecorded.is_empty());
    let documents = catalog.definitions(&space()).unwrap();
    assert_eq!(documents[0].spec["where"]["equals"], "b");
}

/// What the log lets go is bounded by it, so that a start asks nothing of raw, which may be out of reach then.
#[test]
fn raw_2_the_catalog_notes_how_far_it_has_come_and_not_beyond_a_decision_that_it_lacks() {
    let folder = tempfile::TempDir::new().unwrap();
    let (log, kept) = log_in(&folder.path().join("log"));
    let file = folder.path().join("catalog.db");
    let catalog = Catalog::open(&file, Arc::new(SystemClock)).unwrap();
    follow(&catalog, &log, Arc::clone(&kept) as Arc<dyn Archive>).unwrap();
    let store = Arc::new(MemoryStore::default());
    let pipeline = Pipeline::start(Arc::clone(&log), kept, store, EngineConfig::default(), Vec::new()).unwrap();
    let unrecorded = Unrecorded::default();
    let note = || note_followed(&catalog, &pipeline, &unrecorded);

    let deciding = unrecorded.deciding();
    let (decision, at) = decide(&log, vec![document(DocumentKind::IdentityRules, "default", json!({}))]);
    assert!(pipeline.wait_committed(at.0.sequence + 1, Duration::from_secs(60)));
    assert_eq!(note(), at.0.sequence, "it is on its way");
    let spoiler = spoiled(&file);
    unrecorded.record(&catalog, &space(), &decision, at);
    drop(deciding);
    assert_eq!(note(), at.0.sequence, "it could not be recorded");
    spoiler.execute_batch("DROP TRIGGER full").unwrap();
    unrecorded.catch_up(&catalog).unwrap();
    assert_eq!(note(), at.0.sequence + 1);
    assert_eq!(followed(&catalog).unwrap(), Some(at.0.sequence + 1));
    pipeline.stop();
}

#[test]
fn spc_1_a_lost_catalog_has_the_limits_of_a_space_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let (log, kept) = log_in(&folder.path().join("log"));
    let limits = kith_catalog::SpaceLimits {
        events_per_second: Some(7),
        sources: Some(3),
        ..kith_catalog::SpaceLimits::default()
    };
    decide(&log, vec![limits.to_document()]);
    let catalog = Catalog::open(&folder.path().join("catalog.db"), Arc::new(SystemClock)).unwrap();
    follow(&catalog, &log, kept as Arc<dyn Archive>).unwrap();
    assert_eq!(catalog.space_limits(&space()), limits);
}

#[test]
fn act_1_entries_wait_until_the_catalog_knows_what_was_decided_before_them() {
    let unrecorded = Unrecorded::default();
    assert!(unrecorded.is_settled());
    let (first, second) = (unrecorded.deciding(), unrecorded.deciding());
    drop(first);
    assert!(!unrecorded.is_settled(), "another one may stand in the log by now");
    drop(second);
    assert!(unrecorded.is_settled());

    let folder = tempfile::TempDir::new().unwrap();
    let (log, _) = log_in(&folder.path().join("log"));
    let file = folder.path().join("catalog.db");
    let catalog = Catalog::open(&file, Arc::new(SystemClock)).unwrap();
    let spoiler = spoiled(&file);
    let deciding = unrecorded.deciding();
    let spec = json!({"where": {"trait": "plan", "equals": "pro"}});
    let (decision, at) = decide(&log, vec![document(DocumentKind::Segment, "plan", spec)]);
    unrecorded.record(&catalog, &space(), &decision, at);
    drop(deciding);
    assert!(!unrecorded.is_settled(), "it could not be recorded");
    spoiler.execute_batch("DROP TRIGGER full").unwrap();
    unrecorded.catch_up(&catalog).unwrap();
    assert!(unrecorded.is_settled());
}

/// Nobody may write the table of definitions: as on a full disk.
fn spoiled(file: &Path) -> rusqlite::Connection {
    let spoiler = rusqlite::Connection::open(file).unwrap();
    spoiler
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON definitions BEGIN SELECT RAISE(ABORT, 'full'); END")
        .unwrap();
    spoiler
}
