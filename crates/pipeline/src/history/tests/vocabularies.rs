//! How vocabularies come: what is in them and what never is, when a space has one, and what a process that ends leaves.

use super::*;
use crate::history::sample::CARRIERS_MIN;
use crate::tests::failing_store::{FailingStore, Goes};
use crate::tests::{Bench, at, main_space, record_of, same};
use crate::{Engine, EngineConfig};
use kith_types::Record;
use serde_json::{Value as Json, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An event of one of some people, with what all have in common and what only they have.
fn sent(n: i64, shop: &str) -> Json {
    let person = n % 5;
    json!({
        "type": "track", "event": format!("Viewed in {shop}"), "timestamp": at(n).to_string(),
        "messageId": format!("ajs-next-{}-{UUID}", 1_700_000_000_000 + n),
        "userId": format!("person-{person}"), "properties": {"shelf": format!("shelf of {shop}"), "mine": format!("only-{n}")},
        "context": {
            "library": {"name": "analytics.js", "version": shop}, "traits": {"email": format!("p{person}@{shop}.example")},
            "userAgent": format!("a browser that {shop} sees in each of its events")
        }
    })
}

fn taken(n: i64, space: &str, shop: &str) -> Record {
    let body = json!({"sentAt": at(n).to_string(), "batch": [sent(n, shop)]});
    record_of(space, u64::try_from(n).unwrap(), at(n), &body.to_string())
}

/// The entries of the vocabularies of a space, as text.
fn entries(store: &dyn Read, space: &SpaceId) -> Vec<Vec<String>> {
    let known = Vocabularies::default();
    let mut found = Vec::new();
    for number in 1..=VOCABULARIES_MAX {
        let Some(vocabulary) = known.get(store, space, number).unwrap() else {
            break;
        };
        let text = |entry: &[u8]| String::from_utf8_lossy(entry).into_owned();
        found.push(vocabulary.entries().map(text).collect());
    }
    found
}

/// The events of a space, each with the number of its row's vocabulary.
fn stored(store: &dyn Read, space: &SpaceId) -> Vec<(Event, u8)> {
    let history = History::of(store, space);
    let (from, mut found) = (keys::space(space), Vec::new());
    let to = kith_state::prefix_end(&from).unwrap();
    let mut visit = |key: &[u8], row: &[u8]| {
        let number = Head::read(&mut Reader(row)).unwrap().vocabulary;
        found.push((history.event(key, row).unwrap(), number));
        true
    };
    store.scan(Keyspace::Events, &from, &to, &mut visit).unwrap();
    found.sort_by_key(|(event, _)| event.canonical_order());
    found
}

#[test]
fn what_fewer_people_have_in_common_is_in_no_vocabulary() {
    let mut bench = Bench::new();
    for n in 0..60 {
        bench.apply(&taken(n, "main", "north"));
        bench.commit();
    }
    let space = main_space();
    let vocabularies = entries(&*bench.store, &space);
    assert!(!vocabularies.is_empty());
    let has = |what: &str| vocabularies.concat().iter().any(|entry| entry.contains(what));
    for common in [
        "analytics.js",
        "a browser that north",
        "shelf of north",
        "Viewed in north",
        "ajs-next-",
    ] {
        assert!(has(common), "{common}");
    }
    for of_one in ["person-", "@", "only-", UUID, "1700000000"] {
        assert!(!has(of_one), "{of_one}");
    }
}

#[test]
fn what_somebody_is_named_by_is_in_no_vocabulary_however_many_share_it() {
    let mut sample = Sample::default();
    for carrier in 0..CARRIERS_MIN as u128 + 5 {
        let mut event = a_page();
        event.identifiers = vec![Identifier::new(IdentifierType::Email, "office@shared.example")];
        event.properties = vec![
            ("to".into(), Value::from("office@shared.example")),
            (
                "mail".into(),
                Value::Object(vec![("to".into(), Value::from("office@shared.example"))]),
            ),
        ];
        sample.add(&event, carrier, &row_without_numbers(&event));
    }
    let vocabulary = sample.better().unwrap();
    let has = |what: &str| {
        let mut entries = vocabulary.entries();
        entries.any(|entry| String::from_utf8_lossy(entry).contains(what))
    };
    assert!(has("email") && has("mail") && has("library"));
    assert!(!has("office"));
}

#[test]
fn what_a_carrier_says_often_is_not_what_many_say() {
    let mut sample = Sample::default();
    for n in 0..40 {
        let event = a_page();
        sample.add(&event, n % (CARRIERS_MIN as u128 - 1), &row_without_numbers(&event));
    }
    assert!(sample.better().is_none(), "there is nothing to name");
}

#[test]
fn rows_from_before_a_vocabulary_are_read_beside_those_that_name_it_and_another_follows_other_senders() {
    let mut bench = Bench::new();
    let space = main_space();
    let shops = ["north", "south"];
    for n in 0..300 {
        bench.apply(&taken(n, "main", shops[usize::from(n >= 60)]));
        bench.commit();
    }
    let stored = stored(&*bench.store, &space);
    let events: Vec<Event> = stored.iter().map(|(event, _)| event.clone()).collect();
    let mut sent = bench.events();
    sent.sort_by_key(Event::canonical_order);
    assert_eq!(events, sent);
    let numbers: Vec<u8> = stored.iter().map(|(_, number)| *number).collect();
    assert!(numbers.is_sorted(), "each vocabulary is followed by the next");
    assert_eq!(numbers[..12], [0; 12], "until enough has been seen");
    let vocabularies = entries(&*bench.store, &space);
    assert_eq!(vocabularies.len(), 2, "one for each shop: {vocabularies:?}");
    assert_eq!(numbers.last(), Some(&2));
    let of = |at: usize, shop: &str| vocabularies[at].iter().any(|entry| entry.contains(shop));
    assert!(of(0, "north") && !of(0, "south") && of(1, "south"));
    // Whoever only tries the space goes on by the newest and makes none.
    let mut tried = Writing::load_to_try(&*bench.store, &space).unwrap();
    let row = tried.row(&events[0], 1);
    assert_eq!(Head::read(&mut Reader(&row)).unwrap().vocabulary, 2);
    for event in &events {
        tried.row(event, 1);
    }
    let mut batch = Batch::default();
    tried.commit(&space, &mut batch);
    assert!(batch.is_empty());
}

#[test]
fn spc_1_spaces_have_vocabularies_of_their_own() {
    let mut bench = Bench::new();
    let spaces = [("main", "north"), ("other", "south")];
    for n in 0..120_i64 {
        let (space, shop) = spaces[usize::from(n % 2 == 1)];
        bench.apply(&taken(n, space, shop));
        bench.commit();
    }
    for ((space, own), (_, foreign)) in spaces.into_iter().zip([spaces[1], spaces[0]]) {
        let space: SpaceId = space.parse().unwrap();
        let vocabularies = entries(&*bench.store, &space).concat();
        assert!(vocabularies.iter().any(|entry| entry.contains(own)), "{space}");
        assert!(!vocabularies.iter().any(|entry| entry.contains(foreign)), "{space}");
        assert_eq!(stored(&*bench.store, &space).len(), 60);
    }
}

/// A process that ends at each commit, before or after it is there, goes on with a history of which every row is read.
#[test]
fn pro_1_whenever_a_process_ends_every_row_has_its_vocabulary() {
    let space = main_space();
    let records: Vec<Record> = (0..40).map(|n| taken(n, "main", "north")).collect();
    let undisturbed = {
        let mut bench = Bench::new();
        records.iter().for_each(|record| bench.apply(record));
        bench.commit();
        bench
    };
    let mut named = 0;
    for ends_at in 0..40 {
        for is_there in [false, true] {
            let store = Arc::new(MemoryStore::default());
            let commits = AtomicUsize::new(0);
            let seen = Arc::new(Mutex::new(0));
            let next = {
                let seen = Arc::clone(&seen);
                Box::new(move || match commits.fetch_add(1, Ordering::AcqRel) {
                    commit if commit != ends_at => Goes::Well,
                    _ => {
                        *seen.lock().unwrap() += 1;
                        if is_there { Goes::LostAndThere } else { Goes::Lost }
                    }
                })
            };
            let failing: Arc<dyn Store> = Arc::new(FailingStore {
                store: Arc::clone(&store),
                next,
            });
            let mut engine = Engine::open(Arc::clone(&failing), EngineConfig::default()).unwrap();
            while let Some(record) = records.get(usize::try_from(engine.next()).unwrap()) {
                engine.apply(record).unwrap();
                if engine.commit().is_err() {
                    stored(&*store, &space);
                    engine = Engine::open(Arc::clone(&failing), EngineConfig::default()).unwrap();
                }
                stored(&*store, &space);
            }
            assert_eq!(*seen.lock().unwrap(), 1);
            same(&store, &undisturbed.store, at(50), &format!("{ends_at} {is_there}"));
            named += stored(&*store, &space).iter().filter(|(_, number)| *number > 0).count();
        }
    }
    assert!(named > 1_000, "{named}");
}

#[test]
fn an_entry_is_a_text_or_a_field() {
    let vocabulary = some_vocabulary();
    let entries = (0..vocabulary.entries().count() as u64).map(|number| vocabulary.entry(number).unwrap());
    let fields = entries.filter(|(entry, _)| matches!(entry, Entry::Field(_)));
    assert_eq!(fields.count(), 1);
    assert!(vocabulary.entry(u64::MAX).is_none());
}
