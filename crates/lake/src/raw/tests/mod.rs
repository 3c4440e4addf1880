//! The raw zone's promises: an exact round trip, write-once objects, and a verifier that finds every damage. The same tests run
//! on a folder, on a bucket, and on one with object lock (`ground.rs`); what only buckets do is in `bucket.rs`.

mod bucket;
mod ground;

use super::*;
use crate::error::ErrorKind;
use ground::{folder_zone, grounds};
use kith_types::{Address, Decision, Envelope, Limits, Origin, Record, RecordBody, Route, SpaceId, Terms, Timestamp};
use proptest::prelude::*;

fn record(sequence: u64, space: &str, received_at: i64, body: RecordBody) -> Record {
    Record {
        address: Address {
            generation: 1,
            partition: 2,
            sequence,
            index: 0,
        },
        space: space.parse().unwrap(),
        received_at: Timestamp::from_micros(received_at),
        body,
    }
}

fn envelope(source: &str, body: &[u8]) -> RecordBody {
    RecordBody::Envelope(Envelope {
        source: source.parse().unwrap(),
        route: Route::Track,
        origin: Origin::Live,
        content_type: "application/json".into(),
        client_ip: "192.0.2.1".into(),
        user_agent: "test \"agent\"".into(),
        terms: Terms::USUAL,
        body: body.to_vec().into(),
    })
}

fn decision(document: &str) -> RecordBody {
    RecordBody::Decision(Decision {
        kind: "definition.applied".into(),
        document: document.into(),
    })
}

/// Six records of two spaces and two hours, a decision among them.
fn sample() -> Vec<Record> {
    let hour = 3_600_000_000;
    vec![
        record(10, "main", 0, envelope("web", br#"{"event":"a"}"#)),
        record(11, "other", 1, envelope("app", b"\xff\x00 not text")),
        record(12, "main", hour - 1, decision(r#"{"kind":"segment"}"#)),
        record(13, "main", hour, envelope("web", b"")),
        record(14, "main", hour + 7, envelope("app", "é\n\u{0}".as_bytes())),
        record(15, "other", hour + 8, envelope("app", b"[1]")),
    ]
}

fn whole(record: &Record) -> Vec<ByteRange> {
    match &record.body {
        RecordBody::Envelope(envelope) => vec![(0, envelope.body.len())],
        RecordBody::Decision(_) => vec![],
    }
}

async fn read_all(zone: &RawZone, space: Option<&SpaceId>) -> Vec<Record> {
    let mut reader = zone.read(space).await.unwrap();
    let mut records = Vec::new();
    while let Some(segment) = reader.next_segment().await.unwrap() {
        assert!(segment.damaged.is_empty(), "{segment:?}");
        records.extend(segment.records);
    }
    records
}

#[tokio::test]
async fn raw_1_a_segment_becomes_objects_by_space_source_and_hour() {
    for ground in grounds() {
        let (zone, _files) = ground.fresh();
        let written = zone.write_segment(&sample(), &whole).await.unwrap();
        assert_eq!(written.range.to_string(), "1-2-10-16");
        let mut paths: Vec<_> = written.objects.iter().map(|object| object.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "raw/space=main/source=_decisions/date=1970-01-01/hour=00/1-2-10-16.jsonl.zst",
                "raw/space=main/source=app/date=1970-01-01/hour=01/1-2-10-16.jsonl.zst",
                "raw/space=main/source=web/date=1970-01-01/hour=00/1-2-10-16.jsonl.zst",
                "raw/space=main/source=web/date=1970-01-01/hour=01/1-2-10-16.jsonl.zst",
                "raw/space=other/source=app/date=1970-01-01/hour=00/1-2-10-16.jsonl.zst",
                "raw/space=other/source=app/date=1970-01-01/hour=01/1-2-10-16.jsonl.zst",
            ]
        );
        assert_eq!(read_all(&zone, None).await, sample());
        assert_eq!(zone.segments(None).await.unwrap(), [written.range]);
    }
}

#[test]
fn raw_1_the_line_format_stays_readable() {
    let golden = include_str!("../golden.jsonl");
    let mut written = Vec::new();
    for record in &sample()[..3] {
        line::write(record, &whole(record), &mut written);
    }
    assert_eq!(String::from_utf8(written).unwrap(), golden);
    let parsed = golden.lines().map(|text| line::parse(text.as_bytes()).unwrap().record);
    assert_eq!(parsed.collect::<Vec<_>>(), sample()[..3]);
    let later = golden.lines().next().unwrap().replace("\"v\":1", "\"v\":3");
    assert!(line::parse(later.as_bytes()).err().unwrap().contains("version 3"));
}

#[test]
fn raw_1_a_line_says_what_its_body_was_taken_under_where_that_is_not_what_is_usual() {
    let golden = include_str!("../golden-terms.jsonl");
    let mut own = sample().swap_remove(0);
    if let RecordBody::Envelope(envelope) = &mut own.body {
        envelope.terms = Terms {
            limits: Limits {
                event_bytes: 65_536,
                batch_bytes: 1_000_000,
                batch_events: 10_000,
            },
            dedupe_days: 90,
        };
    }
    let mut written = Vec::new();
    line::write(&own, &whole(&own), &mut written);
    assert_eq!(String::from_utf8(written).unwrap(), golden);
    assert_eq!(line::parse(golden.as_bytes()).unwrap().record, own);
    for (from, to) in [("\"v\":2", "\"v\":1"), ("\"terms\"", "\"words\"")] {
        let error = line::parse(golden.replace(from, to).as_bytes()).err().unwrap();
        assert!(error.contains("has terms"), "{error}");
    }
}

#[tokio::test]
async fn raw_1_writing_again_changes_nothing_and_never_replaces() {
    for ground in grounds() {
        let (zone, _files) = ground.fresh();
        let first = zone.write_segment(&sample(), &whole).await.unwrap();
        assert_eq!(zone.write_segment(&sample(), &whole).await.unwrap(), first);
        let mut other = sample();
        other[0].body = envelope("web", b"different");
        assert_eq!(
            zone.write_segment(&other, &whole).await.unwrap_err().kind(),
            ErrorKind::Conflict
        );
        assert_eq!(read_all(&zone, None).await, sample());
        assert_eq!(
            zone.write_segment(&[], &whole).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}

#[tokio::test]
async fn raw_2_segments_that_were_cut_anew_give_every_record_once() {
    for ground in grounds() {
        let (zone, _files) = ground.fresh();
        let all = sample();
        // The store failed once the first space's objects were there; then the log was cut otherwise.
        let some: Vec<_> = all
            .iter()
            .filter(|record| record.space == all[0].space)
            .cloned()
            .collect();
        zone.write_segment(&some, &whole).await.unwrap();
        let (first, second) = all.split_at(1);
        zone.write_segment(first, &whole).await.unwrap();
        zone.write_segment(second, &whole).await.unwrap();
        assert_eq!(read_all(&zone, None).await, all);
    }
}

#[tokio::test]
async fn spc_1_raw_objects_of_a_space_are_read_apart() {
    for ground in grounds() {
        let (zone, _files) = ground.fresh();
        zone.write_segment(&sample(), &whole).await.unwrap();
        let other: SpaceId = "other".parse().unwrap();
        let own: Vec<_> = sample().into_iter().filter(|record| record.space == other).collect();
        assert_eq!(read_all(&zone, Some(&other)).await, own);
        assert!(zone.verify(Some(&other)).await.unwrap().is_sound());
        assert_eq!(zone.verify(Some(&other)).await.unwrap().lines, 2);
    }
}

#[tokio::test]
async fn raw_1_verify_finds_a_flipped_byte_a_deleted_object_and_a_gap() {
    for ground in grounds() {
        let (zone, files) = ground.fresh();
        let written = zone.write_segment(&sample(), &whole).await.unwrap();
        let later: Vec<_> = (16..20)
            .map(|at| record(at, "main", 9, envelope("web", b"{}")))
            .collect();
        zone.write_segment(&later, &whole).await.unwrap();
        let sound = zone.verify(None).await.unwrap();
        assert!(sound.is_sound(), "{sound:?}");
        assert_eq!((sound.objects, sound.lines, sound.events), (7, 10, 9));

        for object in &written.objects {
            let path = files.join(&object.path);
            let good = std::fs::read(&path).unwrap();
            for at in (0..good.len()).step_by(ground.stride()) {
                let mut bad = good.clone();
                bad[at] ^= 1;
                std::fs::write(&path, bad).unwrap();
                let report = zone.verify(None).await.unwrap();
                assert_eq!((report.damaged.len(), &report.damaged[0].path), (1, &object.path));
                assert!(!report.missing.is_empty());
            }
            let aside = files.join("aside");
            std::fs::write(&path, &good).unwrap();
            std::fs::rename(&path, &aside).unwrap();
            let report = zone.verify(None).await.unwrap();
            assert_eq!(report.damaged[0].reason, "it is gone");
            let missing: Vec<_> = report.missing.iter().map(|range| (range.first, range.end)).collect();
            assert_eq!(missing, object.sequences);
            std::fs::rename(&aside, &path).unwrap();
        }
        assert!(zone.verify(None).await.unwrap().is_sound());

        // Without the manifest of the first space its addresses lie in no sound segment.
        std::fs::remove_file(files.join("raw/space=main/_segments/1-2-10-16.json")).unwrap();
        let report = zone.verify(None).await.unwrap();
        let missing: Vec<_> = report.missing.iter().map(|range| (range.first, range.end)).collect();
        assert_eq!(missing, [(12, 15)]);
        assert_eq!(report.unlisted.len(), 4);
    }
}

#[tokio::test]
async fn raw_1_verify_finds_a_segment_that_was_never_written() {
    for ground in grounds() {
        let (zone, _files) = ground.fresh();
        for first in [0, 20] {
            let records: Vec<_> = (first..first + 10)
                .map(|at| record(at, "main", 9, envelope("web", b"{}")))
                .collect();
            zone.write_segment(&records, &whole).await.unwrap();
        }
        let report = zone.verify(None).await.unwrap();
        assert_eq!(
            report.missing,
            [RawRange {
                generation: 1,
                partition: 2,
                first: 10,
                end: 20
            }]
        );
        assert!(!report.is_sound());
        assert!(ground.fresh().0.verify(None).await.unwrap().is_sound());
    }
}

#[tokio::test]
async fn raw_1_a_damaged_manifest_is_reported_and_a_record_is_given_once() {
    for ground in grounds() {
        let (zone, files) = ground.fresh();
        let records = |range: std::ops::Range<u64>| -> Vec<Record> {
            range.map(|at| record(at, "main", 9, envelope("web", b"{}"))).collect()
        };
        // The log was cut anew: the second segment holds two records of the first.
        zone.write_segment(&records(0..5), &whole).await.unwrap();
        zone.write_segment(&records(3..9), &whole).await.unwrap();
        assert_eq!(read_all(&zone, None).await, records(0..9));
        assert!(zone.verify(None).await.unwrap().is_sound());
        std::fs::write(files.join("raw/space=main/_segments/1-2-3-9.json"), "{").unwrap();
        let report = zone.verify(None).await.unwrap();
        assert_eq!(report.damaged_count, 1);
        assert_eq!(
            report.missing,
            [RawRange {
                generation: 1,
                partition: 2,
                first: 5,
                end: 9
            }]
        );
    }
}

fn any_record() -> impl Strategy<Value = (bool, u8, Vec<u8>, String, i64)> {
    (
        any::<bool>(),
        0..3_u8,
        prop::collection::vec(any::<u8>(), 0..60),
        ".{0,12}",
        0..9_000_000_000_i64,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn raw_1_any_segment_comes_back_exactly(drawn in prop::collection::vec(any_record(), 1..20), first in 0..u64::MAX / 2) {
        let records: Vec<Record> = (first..).zip(drawn).map(|(sequence, (text, pick, bytes, note, time))| {
            let space = ["main", "other"][usize::from(pick % 2)];
            let mut body = if pick == 2 { decision(&note) } else { envelope("web", if text { note.as_bytes() } else { &bytes }) };
            if let RecordBody::Envelope(envelope) = &mut body {
                envelope.user_agent = note.into();
                envelope.origin = if text { Origin::Live } else { Origin::Import };
            }
            record(sequence, space, time, body)
        }).collect();
        let folder = tempfile::tempdir().unwrap();
        let zone = folder_zone(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            zone.write_segment(&records, &whole).await.unwrap();
            assert_eq!(read_all(&zone, None).await, records);
            assert!(zone.verify(None).await.unwrap().is_sound());
        });
    }
}
