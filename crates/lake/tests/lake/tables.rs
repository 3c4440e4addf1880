//! Tables as readers see them: rows, bounds, buckets, spaces.

use crate::{NOW, append_events, count, event, open, range, space, write_events};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use kith_lake::rows::{self, ProfileRow, RejectRow};
use kith_lake::{Bound, Commit, ErrorKind, Replace, tables};
use kith_types::{EventType, ProfileId, Timestamp, Value};
use std::collections::BTreeSet;

#[tokio::test]
async fn lak_1_rows_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main) = (open(folder.path()), space("main"));
    lake.ensure_space(&main).await.unwrap();
    let mut page = event(&main, 7);
    page.event_type = EventType::Page;
    page.properties = vec![
        ("title".into(), Value::from("Shoes \"new\"")),
        ("url".into(), Value::from("other")),
    ];
    let batch = rows::events(&[event(&main, 0), page]).unwrap();
    let file = lake
        .write(&main, tables::clean_events(), None, std::slice::from_ref(&batch))
        .await
        .unwrap();
    lake.append(&main, tables::clean_events(), vec![file], &Commit::default())
        .await
        .unwrap();

    let read = lake.read_all(&main, "clean", "events").await.unwrap();
    assert_eq!(read.len(), 1);
    let read = &read[0];
    for field in batch.schema().fields() {
        assert_eq!(
            read.column_by_name(field.name()),
            batch.column_by_name(field.name()),
            "{}",
            field.name()
        );
    }
    let text = |column: &str, row: usize| {
        read.column_by_name(column)
            .unwrap()
            .as_string::<i32>()
            .value(row)
            .to_owned()
    };
    assert_eq!(text("properties", 0), r#"{"total":19.9}"#);
    assert_eq!(
        text("identifiers", 0),
        r#"[{"type":"user_id","value":"u-0"},{"type":"email","value":"jo@example.com"}]"#
    );
    assert_eq!(
        (text("user_id", 1), text("page_title", 1)),
        ("u-7".to_owned(), "Shoes \"new\"".to_owned())
    );
    assert_eq!(text("page_url", 1), "https://shop.example/cart");
    let times = read
        .column_by_name("event_time")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>();
    assert_eq!((times.value(0), times.timezone()), (NOW, Some("UTC")));
    assert_eq!(
        read.column_by_name("sequence")
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(1),
        7
    );
}

#[tokio::test]
async fn lak_1_bounds_of_each_file_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main) = (open(folder.path()), space("main"));
    lake.ensure_space(&main).await.unwrap();
    append_events(&lake, &main, 0, 10).await;
    append_events(&lake, &main, 10, 30).await;
    let table = lake.table(&main, "clean", "events").await.unwrap();
    assert_eq!(table.record_count(), 30);
    assert!(table.committed_at > Some(Timestamp::from_micros(NOW)));
    let column = |name: &str| table.schema.index_of(name).unwrap();
    let newest = &table.files[0];
    assert_eq!(newest.record_count, 20);
    let times = &newest.columns[column("event_time")];
    assert_eq!(times.lower, Some(Bound::Time(NOW + 10_000_000)));
    assert_eq!(times.upper, Some(Bound::Time(NOW + 29_000_000)));
    assert_eq!(times.null_count, Some(0));
    let names = &newest.columns[column("event")];
    assert_eq!(names.lower, Some(Bound::Text("Order Completed".into())));
    assert_eq!(newest.columns[column("time_note")].null_count, Some(20));
    let users = &newest.columns[column("user_id")];
    assert_eq!((users.null_count, &users.lower, &users.upper), (Some(0), &None, &None));
    assert!(table.classified[column("user_id")] && !table.classified[column("event")]);
    let bytes = lake.objects();
    let head = object_store::ObjectStoreExt::head(&bytes, &newest.path).await.unwrap();
    assert_eq!(head.size, newest.size);
}

#[tokio::test]
async fn lak_2_a_bucket_is_rewritten_and_its_neighbours_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main) = (open(folder.path()), space("main"));
    lake.ensure_space(&main).await.unwrap();
    let profile = |number: u128, count: u64| ProfileRow {
        profile_id: ProfileId(number),
        first_seen: None,
        last_seen: Some(Timestamp::from_micros(NOW)),
        event_count: count,
        traits: "{}".into(),
        computed: "{}".into(),
        segments: "[]".into(),
        identifiers: "[]".into(),
        consents: "{}".into(),
        updated_at: Timestamp::from_micros(NOW),
        limits_reached: "[]".to_owned(),
    };
    let spec = tables::curated_profiles();
    let write = async |rows: &[ProfileRow]| {
        let bucket = rows::profile_bucket(rows[0].profile_id);
        let batch = rows::profiles(rows).unwrap();
        lake.write(&main, spec, Some(bucket), &[batch]).await.unwrap()
    };
    let other = (2..).find(|number| rows::profile_bucket(ProfileId(*number)) != rows::profile_bucket(ProfileId(1)));
    let files = vec![
        write(&[profile(1, 1)]).await,
        write(&[profile(other.unwrap(), 1)]).await,
    ];
    lake.overwrite(&main, spec, &Replace::All, files, &Commit::default())
        .await
        .unwrap();
    let files = vec![write(&[profile(1, 5)]).await];
    let bucket = Replace::Buckets(BTreeSet::from([rows::profile_bucket(ProfileId(1))]));
    lake.overwrite(&main, spec, &bucket, files, &Commit::default())
        .await
        .unwrap();

    let batches = lake.read_all(&main, "curated", "profiles").await.unwrap();
    let counts = batches.iter().flat_map(|batch| {
        batch
            .column_by_name("event_count")
            .unwrap()
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    });
    let mut counts: Vec<_> = counts.collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 5]);
    let summary = &lake.table(&main, "curated", "profiles").await.unwrap().summary;
    assert_eq!(summary["total-data-files"], "2");
    assert_eq!((&*summary["added-records"], &*summary["deleted-records"]), ("1", "1"));

    let wrong = rows::profiles(&[profile(1, 1)]).unwrap();
    assert_eq!(
        lake.write(&main, spec, None, &[wrong]).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[tokio::test]
async fn spc_1_spaces_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main, other) = (open(folder.path()), space("main"), space("other"));
    lake.ensure_space(&main).await.unwrap();
    append_events(&lake, &main, 0, 5).await;
    assert_eq!(
        lake.table(&other, "clean", "events").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    lake.ensure_space(&other).await.unwrap();
    append_events(&lake, &other, 0, 2).await;
    assert_eq!(count(&lake, &main, tables::clean_events()).await, 5);
    assert_eq!(count(&lake, &other, tables::clean_events()).await, 2);
    for (own, foreign) in [(&main, &other), (&other, &main)] {
        let table = lake.table(own, "clean", "events").await.unwrap();
        let place = format!("space={own}/");
        assert!(table.files.iter().all(|file| file.location.contains(&place)));
        assert!(!table.metadata_location.contains(&format!("space={foreign}/")));
    }
    assert_eq!(lake.tables(&main).unwrap().len(), tables::all().len());
}

#[tokio::test]
async fn cln_4_rejects_are_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main) = (open(folder.path()), space("main"));
    lake.ensure_space(&main).await.unwrap();
    let row = RejectRow {
        address: event(&main, 3).address,
        received_at: Timestamp::from_micros(NOW),
        source: "web-shop".parse().unwrap(),
        code: "no_identifier".into(),
        message: "an event needs a userId or an anonymousId".into(),
        path: "".into(),
        original: "{\"type\":\"track\"}".into(),
    };
    let batch = rows::rejects(&[row]).unwrap();
    let file = lake
        .write(&main, tables::clean_rejects(), None, &[batch])
        .await
        .unwrap();
    lake.append(&main, tables::clean_rejects(), vec![file], &range(0, 4))
        .await
        .unwrap();
    assert_eq!(count(&lake, &main, tables::clean_rejects()).await, 1);
    assert_eq!(
        lake.offset(&main, tables::clean_rejects(), 1, 0).await.unwrap(),
        Some(4)
    );
}

#[tokio::test]
async fn lak_1_an_empty_table_reads_as_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main) = (open(folder.path()), space("main"));
    lake.ensure_space(&main).await.unwrap();
    let table = lake.table(&main, "clean", "events").await.unwrap();
    assert_eq!((table.snapshot_id, table.files.len()), (None, 0));
    let orphan = write_events(&lake, &main, 0..1).await;
    assert_eq!(orphan.record_count(), 1);
    assert_eq!(count(&lake, &main, tables::clean_events()).await, 0);
}
