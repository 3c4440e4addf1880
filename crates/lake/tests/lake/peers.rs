//! Outsiders read what we write: pyiceberg, DuckDB and Polars, run by Python, and pyiceberg writes what we read.

use crate::{append_events, count, open, range, space, write_events};
use kith_lake::rows::{self, ProfileRow};
use kith_lake::{Commit, Replace, tables};
use kith_types::{ProfileId, SpaceId, Timestamp};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a script of the peers with the folder and the pointer file, and gives what it prints.
fn run(script: &str, folder: &Path) -> serde_json::Value {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/lake");
    let python = std::env::var("KITH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python)
        .arg(root.join(script))
        .args([folder.join("tables.sqlite"), folder.to_owned()])
        .arg("main")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn fill(folder: &Path, main: &SpaceId) -> kith_lake::Lake {
    let lake = open(folder);
    lake.ensure_space(main).await.unwrap();
    for turn in 0..7 {
        append_events(&lake, main, turn * 100, (turn + 1) * 100).await;
    }
    let spec = tables::curated_profiles();
    for turn in 1..=2 {
        let mut files = Vec::new();
        for number in 0..40_u128 {
            let row = ProfileRow {
                profile_id: ProfileId(number),
                first_seen: None,
                last_seen: Some(Timestamp::from_millis(number as i64)),
                event_count: turn,
                traits: r#"{"name":"Jo"}"#.into(),
                computed: "{}".into(),
                segments: "[]".into(),
                identifiers: "[]".into(),
                consents: "{}".into(),
                updated_at: Timestamp::from_millis(1),
                limits_reached: "[]".to_owned(),
            };
            let bucket = rows::profile_bucket(row.profile_id);
            files.push(
                lake.write(main, spec, Some(bucket), &[rows::profiles(&[row]).unwrap()])
                    .await
                    .unwrap(),
            );
        }
        lake.overwrite(main, spec, &Replace::All, files, &Commit::default())
            .await
            .unwrap();
    }
    lake
}

#[tokio::test]
async fn lak_1_outsiders_read_and_write_our_tables() {
    if std::env::var_os("KITH_PEERS").is_none() {
        println!("skipped: KITH_PEERS is not set, so the peers are not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let main = space("main");
    let lake = fill(folder.path(), &main).await;
    let seen = run("read_tables.py", folder.path());
    for reader in ["pyiceberg", "duckdb", "polars"] {
        assert_eq!(seen[reader]["events"], 700, "{reader}: {seen}");
        assert_eq!(seen[reader]["sequence_sum"], 700 * 699 / 2, "{reader}: {seen}");
        assert_eq!(seen[reader]["profiles"], 40, "{reader}: {seen}");
        assert_eq!(seen[reader]["profile_events"], 80, "{reader}: {seen}");
    }
    assert_eq!(seen["tables"], serde_json::json!(lake.tables(&main).unwrap()), "{seen}");
    // Bounds let others leave files out, and the bucket transform is theirs.
    assert_eq!(seen["files_for_one_minute"], 2, "{seen}");
    assert_eq!(seen["files_for_one_profile"], 1, "{seen}");
    assert_eq!(seen["summary"]["total-records"], "700", "{seen}");
    assert_eq!(seen["earlier_snapshot_rows"], 100, "{seen}");

    // An outsider appends through the same pointers; we read it, keep our offset, and go on.
    assert_eq!(run("append_rows.py", folder.path())["events"], 701);
    assert_eq!(count(&lake, &main, tables::clean_events()).await, 701);
    assert_eq!(
        lake.offset(&main, tables::clean_events(), 1, 0).await.unwrap(),
        Some(700)
    );
    let file = write_events(&lake, &main, 700..710).await;
    lake.append(&main, tables::clean_events(), vec![file], &range(700, 710))
        .await
        .unwrap();
    assert_eq!(run("read_tables.py", folder.path())["duckdb"]["events"], 711);
}
