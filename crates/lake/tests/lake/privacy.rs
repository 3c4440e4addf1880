//! No personal value reaches metadata: every byte of it is searched for values planted in every classified column of every
//! table. A table that nobody plants a row for fails, and so does a column that the row leaves without the value.

use crate::{NOW, event, open, space};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use bytes::Bytes;
use kith_lake::rows::{
    self, AccountMemberRow, AccountRow, IdentifierRow, MembershipChangeRow, MembershipRow, ProfileRow, RejectRow,
};
use kith_lake::{Commit, Lake, Replace, TableSpec, tables};
use kith_types::{Event, Identifier, IdentifierType, Object, ProfileId, SpaceId, Timestamp, Value};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PLANTED: &str = "planted.person@example.com";
/// The time in every row. Bounds of times are recorded, as these eight bytes: whoever searches must come upon them.
const RECORDED: Timestamp = Timestamp::from_micros(NOW);

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// All bytes of a Parquet file that are not column chunks: footer, indexes, whatever else a writer may add.
fn not_rows(bytes: &Bytes) -> Vec<u8> {
    let reader = SerializedFileReader::new(bytes.clone()).unwrap();
    let mut rest = bytes.to_vec();
    for group in reader.metadata().row_groups() {
        for chunk in group.columns() {
            let (start, length) = chunk.byte_range();
            rest[start as usize..(start + length) as usize].fill(0);
        }
    }
    rest
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// An event that says the planted value wherever a client may say something personal.
fn planted_event(main: &SpaceId) -> Event {
    let object: Object = vec![("email".into(), Value::from(PLANTED))];
    let mut planted = event(main, 0);
    planted.identifiers = [
        IdentifierType::UserId,
        IdentifierType::AnonymousId,
        IdentifierType::Email,
    ]
    .map(|kind| Identifier::new(kind, PLANTED))
    .to_vec();
    planted.message_id = Some(PLANTED.into());
    planted.group_id = Some(PLANTED.into());
    planted.traits = object.clone();
    planted.properties = object;
    let texts = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).into(), Value::from(PLANTED)))
            .collect::<Object>()
    };
    planted.context = vec![
        (
            "page".into(),
            Value::Object(texts(&["url", "path", "title", "referrer"])),
        ),
        ("campaign".into(), Value::Object(texts(&["source", "medium", "name"]))),
        ("userAgent".into(), Value::from(PLANTED)),
        ("ip".into(), Value::from(PLANTED)),
    ];
    planted
}

fn planted_profile() -> ProfileRow {
    let json = format!("[\"{PLANTED}\"]");
    ProfileRow {
        profile_id: ProfileId(1),
        first_seen: None,
        last_seen: None,
        event_count: 1,
        traits: json.clone(),
        computed: json.clone(),
        segments: json.clone(),
        identifiers: json.clone(),
        consents: json,
        updated_at: RECORDED,
        limits_reached: format!("[\"{PLANTED}\"]"),
    }
}

/// The bucket and the row of a table, made as the platform makes its rows.
fn planted_row(table: &TableSpec, main: &SpaceId) -> (Option<u32>, RecordBatch) {
    let (profile_id, json) = (ProfileId(1), format!("[\"{PLANTED}\"]"));
    let (segment, source) = ("vips".parse().unwrap(), "web-shop".parse().unwrap());
    let batch = match (table.namespace, table.name) {
        ("clean", "events") => rows::events(&[planted_event(main)]),
        ("clean", "rejects") => rows::rejects(&[RejectRow {
            address: planted_event(main).address,
            received_at: RECORDED,
            source,
            code: "wrong".into(),
            message: PLANTED.into(),
            path: PLANTED.into(),
            original: PLANTED.into(),
        }]),
        ("curated", "profiles") => rows::profiles(&[planted_profile()]),
        ("curated", "identifiers") => rows::identifiers(&[IdentifierRow {
            identifier: Identifier::new(IdentifierType::Email, PLANTED),
            profile_id,
            first_seen: Some(RECORDED),
            last_seen: None,
            valid_from: None,
            valid_to: None,
        }]),
        ("curated", "memberships") => rows::memberships(&[MembershipRow {
            segment,
            profile_id,
            entered_at: RECORDED,
            cause: "event".into(),
            approximate: false,
        }]),
        ("curated", "accounts") => rows::accounts(&[AccountRow {
            group_id: PLANTED.into(),
            first_seen: None,
            last_seen: None,
            event_count: 1,
            members: 1,
            traits: json.clone(),
            updated_at: RECORDED,
            limits_reached: json,
        }]),
        ("curated", "account_members") => rows::account_members(&[AccountMemberRow {
            group_id: PLANTED.into(),
            profile_id,
            since: RECORDED,
            source,
        }]),
        ("curated", "membership_changes") => rows::membership_changes(&[MembershipChangeRow {
            segment,
            profile_id,
            entered: true,
            at: RECORDED,
            cause: "event".into(),
            event_key: None,
            sequence: 1,
            approximate: false,
        }]),
        (namespace, name) => panic!("{namespace}.{name} has no planted row: give it one here"),
    };
    let batch = batch.unwrap();
    for column in table.columns.iter().filter(|column| column.classified) {
        let array = batch.column_by_name(column.name).unwrap();
        let planted = array.as_string_opt::<i32>().is_some_and(|texts| {
            let mut said = texts.iter().flatten();
            said.any(|text| text.contains(PLANTED))
        });
        assert!(planted, "{}.{} is not planted", table.name, column.name);
    }
    let bucket = table.buckets.map(|buckets| {
        let of = batch.column_by_name(buckets.column).unwrap();
        kith_lake::bucket_of(of.as_string::<i32>().value(0), buckets.count)
    });
    (bucket, batch)
}

/// Writes a table as the platform does: events, rejects and changes are appended and changes also replaced, current tables
/// are replaced as a whole; and then as it may, one file of several. So there are manifests of what was added, what was
/// deleted and what was kept. Answers how many commits there were.
async fn write(lake: &Lake, main: &SpaceId, table: &TableSpec) -> usize {
    let (bucket, batch) = planted_row(table, main);
    let file = async || {
        let written = lake.write(main, table, bucket, std::slice::from_ref(&batch));
        written.await.unwrap()
    };
    let commit = Commit::default();
    let append = async |files| lake.append(main, table, files, &commit).await.unwrap();
    let replace = async |replaced: Replace, files| {
        let done = lake.overwrite(main, table, &replaced, files, &commit);
        done.await.unwrap()
    };
    match (table.namespace, table.name) {
        ("clean", _) | (_, "membership_changes") => append(vec![file().await]).await,
        _ => replace(Replace::All, vec![file().await]).await,
    };
    match table.namespace {
        "clean" => append(vec![file().await]).await,
        _ => replace(Replace::All, vec![file().await]).await,
    };
    let two = vec![file().await, file().await];
    let one = Replace::Files(BTreeSet::from([two[0].location().to_owned()]));
    append(two).await;
    replace(one, vec![file().await]).await;
    4
}

/// What is recorded of the columns of a data file: nothing of the values of those that are classified.
fn check_footer(bytes: &Bytes, table: &TableSpec) {
    let reader = SerializedFileReader::new(bytes.clone()).unwrap();
    let mut seen = 0;
    for chunk in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let column = table.column(chunk.column_path().string().as_str()).unwrap();
        seen += 1;
        if column.classified {
            let recorded = chunk
                .statistics()
                .is_some_and(|statistics| statistics.min_bytes_opt().is_some() || statistics.max_bytes_opt().is_some());
            assert!(!recorded, "{}.{} has bounds in a footer", table.name, column.name);
            assert!(chunk.column_index_offset().is_none(), "{}.{}", table.name, column.name);
            assert!(chunk.bloom_filter_offset().is_none(), "{}.{}", table.name, column.name);
        }
    }
    assert_eq!(seen, table.columns.len(), "{}", table.name);
}

/// How many data files and manifests a table has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Searched {
    data: usize,
    manifests: usize,
    lists: usize,
    metadata: usize,
}

/// Searches everything in the folder of a table. What may be recorded must show, or the search could not see what leaks.
fn search(folder: &Path, table: &TableSpec) -> Searched {
    let mut found = Vec::new();
    files(folder, &mut found);
    let mut searched = Searched::default();
    let recorded = RECORDED.as_micros().to_le_bytes();
    for path in found {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        let (count, shows) = match path.extension().and_then(|end| end.to_str()) {
            Some("parquet") => {
                check_footer(&bytes, table);
                (&mut searched.data, contains(&not_rows(&bytes), &recorded))
            }
            Some("avro") if name.starts_with("snap-") => (&mut searched.lists, contains(&bytes, b"-m0.avro")),
            Some("avro") => (&mut searched.manifests, contains(&bytes, &recorded)),
            Some("json") => (&mut searched.metadata, contains(&bytes, b"write.metadata.metrics")),
            _ => panic!("{} is of no known kind", path.display()),
        };
        *count += 1;
        let shown = shows || name.ends_with(".json") && !table.columns.iter().any(|column| column.classified);
        assert!(shown, "{} does not show what may be recorded", path.display());
    }
    searched
}

#[tokio::test]
async fn lak_6_no_personal_value_in_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main) = (open(folder.path()), space("main"));
    lake.ensure_space(&main).await.unwrap();
    for table in tables::all() {
        let commits = write(&lake, &main, table).await;
        let place = format!("lake/space=main/{}/{}", table.namespace, table.name);
        let searched = search(&folder.path().join(place), table);
        assert!(
            searched.data > commits && searched.manifests >= commits && searched.lists == commits,
            "{}: {searched:?} of {commits} commits",
            table.name
        );
        assert!(searched.metadata > commits, "{}: {searched:?}", table.name);
    }
    // Whatever there is beside the tables too, such as their pointers, and the names of all files.
    let mut found = Vec::new();
    files(folder.path(), &mut found);
    for path in found {
        assert!(!path.to_str().unwrap().contains(PLANTED));
        let mut bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|end| end == "parquet") {
            bytes = not_rows(&Bytes::from(bytes));
        }
        // Metadata is not compressed, so a value in it would show; part of it as well, so half of it is searched too.
        assert!(!contains(&bytes, &PLANTED.as_bytes()[..13]), "{}", path.display());
    }
}
