//! Commits: races, lost replies, conflicts, offsets, merging of manifests, expiry.

use crate::{append_events, count, open, open_with, pointers, range, space, write_events};
use kith_lake::{Commit, ErrorKind, Lake, LakeError, OffsetRange, PointerStore, Replace, tables};
use kith_types::{SpaceId, Timestamp};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn lak_2_no_commit_is_lost_in_a_race() {
    let folder = tempfile::tempdir().unwrap();
    let main = space("main");
    open(folder.path()).ensure(&main, tables::clean_events()).await.unwrap();
    let writers = (0..8_u16).map(|writer| {
        let (folder, main) = (folder.path().to_owned(), main.clone());
        tokio::spawn(async move {
            // Each with its own connection and caches, as another process would have.
            let lake = open(&folder);
            let mut lost_races = 0;
            for turn in 0..5_u64 {
                let file = write_events(&lake, &main, turn..turn + 1).await;
                let range = OffsetRange {
                    generation: 1,
                    partition: writer,
                    start: turn,
                    end: turn + 1,
                };
                let commit = Commit {
                    range: Some(range),
                    ..Commit::default()
                };
                let done = lake
                    .append(&main, tables::clean_events(), vec![file], &commit)
                    .await
                    .unwrap();
                lost_races += done.lost_races;
            }
            lost_races
        })
    });
    let mut lost_races = 0;
    for writer in writers.collect::<Vec<_>>() {
        lost_races += writer.await.unwrap();
    }
    let lake = open(folder.path());
    assert!(lost_races > 0, "the writers never met, so nothing was proved");
    assert_eq!(count(&lake, &main, tables::clean_events()).await, 40);
    for writer in 0..8 {
        assert_eq!(
            lake.offset(&main, tables::clean_events(), 1, writer).await.unwrap(),
            Some(5)
        );
    }
    let table = lake.table(&main, "clean", "events").await.unwrap();
    assert_eq!((table.files.len(), &*table.summary["total-records"]), (40, "40"));
    assert_eq!(
        unreferenced_avro(folder.path(), &lake, &main).await,
        Vec::<PathBuf>::new()
    );
}

/// Manifests and lists on disk that the newest metadata cannot reach: what lost races would leave.
async fn unreferenced_avro(folder: &Path, lake: &Lake, space: &SpaceId) -> Vec<PathBuf> {
    let table = lake.table(space, "clean", "events").await.unwrap();
    let location = table.metadata_location.strip_prefix("file://").unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(location).unwrap()).unwrap();
    let mut reached = String::new();
    for snapshot in metadata["snapshots"].as_array().unwrap() {
        let list = snapshot["manifest-list"].as_str().unwrap();
        reached.push_str(list);
        let bytes = std::fs::read(list.strip_prefix("file://").unwrap()).unwrap();
        reached.push_str(&String::from_utf8_lossy(&bytes));
    }
    let files = std::fs::read_dir(folder.join(format!("lake/space={space}/clean/events/metadata"))).unwrap();
    let avro = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "avro"));
    avro.filter(|path| !reached.contains(path.file_name().unwrap().to_str().unwrap()))
        .collect()
}

/// Pointers whose replies get lost: before or after the swap took effect.
struct Faulty {
    inner: Arc<dyn PointerStore>,
    swaps: AtomicU32,
    lose_from: u32,
    lose_until: u32,
    applied: bool,
    /// Commits once on top of the swap whose reply is lost.
    rival: Option<(PathBuf, SpaceId)>,
}

impl PointerStore for Faulty {
    fn get(&self, space: &SpaceId, namespace: &str, table: &str) -> Result<Option<String>, LakeError> {
        self.inner.get(space, namespace, table)
    }

    fn swap(
        &self,
        space: &SpaceId,
        namespace: &str,
        table: &str,
        expected: Option<&str>,
        new: &str,
    ) -> Result<bool, LakeError> {
        let turn = self.swaps.fetch_add(1, Ordering::SeqCst);
        if !(self.lose_from..self.lose_until).contains(&turn) {
            return self.inner.swap(space, namespace, table, expected, new);
        }
        if self.applied {
            assert!(self.inner.swap(space, namespace, table, expected, new).unwrap());
        }
        if let Some((folder, space)) = &self.rival {
            let (folder, space) = (folder.clone(), space.clone());
            let rival = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let lake = open(&folder);
                    let file = write_events(&lake, &space, 100..101).await;
                    lake.append(&space, tables::clean_events(), vec![file], &Commit::default())
                        .await
                        .unwrap();
                });
            });
            rival.join().unwrap();
        }
        Err(LakeError::unavailable("the reply is lost", "a broken connection"))
    }

    fn list(&self, space: &SpaceId) -> Result<Vec<(String, String)>, LakeError> {
        self.inner.list(space)
    }
}

#[tokio::test]
async fn lak_2_a_lost_reply_is_resolved_by_reading() {
    for (applied, rival) in [(true, false), (false, false), (true, true), (false, true)] {
        let folder = tempfile::tempdir().unwrap();
        let main = space("main");
        open(folder.path()).ensure(&main, tables::clean_events()).await.unwrap();
        let faulty = Faulty {
            inner: pointers(folder.path()),
            swaps: AtomicU32::new(0),
            lose_from: 0,
            lose_until: 1,
            applied,
            rival: rival.then(|| (folder.path().to_owned(), main.clone())),
        };
        let lake = open_with(folder.path(), Arc::new(faulty));
        append_events(&lake, &main, 0, 3).await;
        let expected = if rival { 4 } else { 3 };
        assert_eq!(
            count(&lake, &main, tables::clean_events()).await,
            expected,
            "applied {applied}, rival {rival}"
        );
        assert_eq!(lake.offset(&main, tables::clean_events(), 1, 0).await.unwrap(), Some(3));
    }
}

#[tokio::test]
async fn lak_2_an_outcome_that_cannot_be_learnt_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let main = space("main");
    open(folder.path()).ensure(&main, tables::clean_events()).await.unwrap();
    let faulty = Faulty {
        inner: pointers(folder.path()),
        swaps: AtomicU32::new(0),
        lose_from: 0,
        lose_until: u32::MAX,
        applied: false,
        rival: None,
    };
    let lake = open_with(folder.path(), Arc::new(faulty));
    let file = write_events(&lake, &main, 0..3).await;
    let location = file.location().strip_prefix("file://").unwrap().to_owned();
    let error = lake
        .append(&main, tables::clean_events(), vec![file], &range(0, 3))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(Path::new(&location).exists());
}

#[tokio::test]
async fn lak_2_a_range_is_taken_once_and_offsets_survive() {
    let folder = tempfile::tempdir().unwrap();
    let main = space("main");
    let lake = open(folder.path());
    lake.ensure(&main, tables::clean_events()).await.unwrap();
    append_events(&lake, &main, 0, 3).await;
    let again = write_events(&lake, &main, 0..3).await;
    let error = lake
        .append(&main, tables::clean_events(), vec![again], &range(0, 3))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // A commit that says nothing of the log carries its end on, and so does another process.
    let file = write_events(&lake, &main, 3..4).await;
    lake.append(&main, tables::clean_events(), vec![file], &Commit::default())
        .await
        .unwrap();
    lake.append(&main, tables::clean_events(), vec![], &range(3, 9))
        .await
        .unwrap();
    let reopened = open(folder.path());
    assert_eq!(
        reopened.offset(&main, tables::clean_events(), 1, 0).await.unwrap(),
        Some(9)
    );
    assert_eq!(
        reopened.offset(&main, tables::clean_events(), 2, 0).await.unwrap(),
        None
    );
    assert_eq!(count(&reopened, &main, tables::clean_events()).await, 4);
}

#[tokio::test]
async fn lak_2_an_overwrite_fails_where_its_ground_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main, spec) = (open(folder.path()), space("main"), tables::clean_events());
    lake.ensure(&main, spec).await.unwrap();
    append_events(&lake, &main, 0, 3).await;
    let seen = lake.table(&main, "clean", "events").await.unwrap();
    append_events(&lake, &main, 3, 4).await;
    let computed = Commit {
        computed_from: seen.snapshot_id,
        ..Commit::default()
    };
    let file = write_events(&lake, &main, 0..1).await;
    let error = lake
        .overwrite(&main, spec, &Replace::All, vec![file], &computed)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);

    // The files that were seen are still live, so replacing just them is sound.
    let files = Replace::Files(seen.files.iter().map(|file| file.location.clone()).collect());
    let file = write_events(&lake, &main, 0..1).await;
    lake.overwrite(&main, spec, &files, vec![file], &computed)
        .await
        .unwrap();
    assert_eq!(count(&lake, &main, spec).await, 2);
    let error = lake
        .overwrite(&main, spec, &files, vec![], &Commit::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    lake.overwrite(&main, spec, &Replace::All, vec![], &Commit::default())
        .await
        .unwrap();
    assert_eq!(count(&lake, &main, spec).await, 0);
    let summary = &lake.table(&main, "clean", "events").await.unwrap().summary;
    assert_eq!((&*summary["total-records"], &*summary["total-data-files"]), ("0", "0"));
    assert_eq!(lake.offset(&main, spec, 1, 0).await.unwrap(), Some(4));
    assert!(
        lake.overwrite(
            &main,
            spec,
            &Replace::Files(BTreeSet::from(["x".into()])),
            vec![],
            &Commit::default()
        )
        .await
        .is_err()
    );
}

#[tokio::test]
async fn lak_3_manifests_are_merged_and_old_snapshots_expire() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main, spec) = (open(folder.path()), space("main"), tables::clean_events());
    lake.ensure(&main, spec).await.unwrap();
    for turn in 0..105 {
        append_events(&lake, &main, turn, turn + 1).await;
    }
    let metadata = folder.path().join("lake/space=main/clean/events/metadata");
    let count_files = |end: &str| {
        let names = std::fs::read_dir(&metadata)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(end)).count()
    };
    assert!(count_files(".metadata.json") <= 21);
    assert_eq!(count(&lake, &main, spec).await, 105);
    lake.overwrite(
        &main,
        spec,
        &Replace::All,
        vec![write_events(&lake, &main, 0..7).await],
        &Commit::default(),
    )
    .await
    .unwrap();
    let future = Timestamp::from_micros(i64::MAX / 2);
    assert_eq!(
        lake.expire(&main, "clean", "events", 1, Timestamp::from_micros(0))
            .await
            .unwrap()
            .snapshots,
        0
    );
    let expired = lake.expire(&main, "clean", "events", 1, future).await.unwrap();
    assert_eq!(expired.snapshots, 105);
    assert!(expired.files > 2 * 105);
    assert_eq!(count(&open(folder.path()), &main, spec).await, 7);
    let left: HashSet<_> = std::fs::read_dir(folder.path().join("lake/space=main/clean/events/data"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(left.len(), 1);
    // The newest snapshot still tells what it removed; with the next one that goes too.
    append_events(&lake, &main, 105, 106).await;
    lake.expire(&main, "clean", "events", 1, future).await.unwrap();
    assert_eq!(count_files(".avro"), 3);
    assert_eq!(lake.offset(&main, spec, 1, 0).await.unwrap(), Some(106));
}
