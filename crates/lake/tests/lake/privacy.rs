//! No personal value reaches metadata: every byte of it is searched for planted values.

use crate::{event, open, space};
use bytes::Bytes;
use kith_lake::rows::{self, IdentifierRow, ProfileRow, RejectRow};
use kith_lake::{Commit, tables};
use kith_types::{Identifier, IdentifierType, Object, ProfileId, SpaceId, Timestamp, Value};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::path::{Path, PathBuf};

const PLANTED: &str = "planted.person@example.com";

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

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

async fn plant(lake: &kith_lake::Lake, main: &SpaceId) {
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
    planted.properties = object.clone();
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
    let now = Timestamp::from_micros(0);
    let reject = RejectRow {
        address: planted.address,
        received_at: now,
        source: planted.source.clone(),
        code: "wrong".into(),
        message: PLANTED.into(),
        path: PLANTED.into(),
        original: PLANTED.into(),
    };
    let json = format!("[\"{PLANTED}\"]");
    let profile = ProfileRow {
        profile_id: ProfileId(1),
        first_seen: None,
        last_seen: None,
        event_count: 1,
        traits: json.clone(),
        computed: json.clone(),
        segments: json.clone(),
        identifiers: json.clone(),
        consents: json,
        updated_at: now,
    };
    let identifier = IdentifierRow {
        identifier: Identifier::new(IdentifierType::Email, PLANTED),
        profile_id: ProfileId(1),
        first_seen: None,
        last_seen: None,
        valid_from: None,
        valid_to: None,
    };
    let bucket = Some(rows::profile_bucket(ProfileId(1)));
    for (spec, bucket, batch) in [
        (tables::clean_events(), None, rows::events(&[planted]).unwrap()),
        (tables::clean_rejects(), None, rows::rejects(&[reject]).unwrap()),
        (tables::curated_profiles(), bucket, rows::profiles(&[profile]).unwrap()),
        (
            tables::curated_identifiers(),
            bucket,
            rows::identifiers(&[identifier]).unwrap(),
        ),
    ] {
        let file = lake.write(main, spec, bucket, &[batch]).await.unwrap();
        lake.append(main, spec, vec![file], &Commit::default()).await.unwrap();
    }
}

#[tokio::test]
async fn lak_6_no_personal_value_in_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, main) = (open(folder.path()), space("main"));
    lake.ensure_space(&main).await.unwrap();
    plant(&lake, &main).await;
    let mut found = Vec::new();
    files(folder.path(), &mut found);
    let (mut parquet, mut avro) = (0, 0);
    for path in found {
        assert!(!path.to_str().unwrap().contains(PLANTED));
        let mut bytes = std::fs::read(&path).unwrap();
        match path.extension().and_then(|end| end.to_str()) {
            Some("parquet") => {
                parquet += 1;
                bytes = not_rows(&Bytes::from(bytes));
            }
            Some("avro") => avro += 1,
            _ => {}
        }
        // Metadata is not compressed, so a value in it would show; part of it as well, so half of it is searched too.
        assert!(!contains(&bytes, &PLANTED[..13]), "{}", path.display());
    }
    assert!(
        parquet == 4 && avro == 8,
        "{parquet} data files and {avro} manifests were searched"
    );
}
