//! Rows of history: what they give back, what damage does to them, and what vocabularies are made of.

mod vocabularies;

use super::packed::{NAMED_BYTES_MAX, Packer, pack};
use super::sample::Sample;
use super::vocabulary::{Entry, Numbers, Vocabulary, field_entry, text_entry};
use super::*;
use crate::bytes::{put_number, put_object, put_signed, put_text, put_value};
use kith_state::{Batch, MemoryStore, Store};
use kith_types::{Decimal, Object, Value};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const UUID: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";

pub(super) fn an_event() -> Event {
    let space = SpaceId::main();
    let address = Address {
        generation: 1,
        partition: 0,
        sequence: 42,
        index: 3,
    };
    Event {
        key: EventKey::of_address(&space, address),
        space,
        source: "web".parse().unwrap(),
        address,
        message_id: Some("m-1".into()),
        event_type: EventType::Track,
        name: "Order Completed".into(),
        event_time: Timestamp::from_micros(1_700_000_000_000_000),
        received_at: Timestamp::from_micros(1_700_000_000_250_000),
        time_note: Some(TimeNote::Absent),
        identifiers: vec![
            Identifier::new(IdentifierType::UserId, "u1"),
            Identifier::new(IdentifierType::Custom("loyalty_id".into()), "7"),
        ],
        group_id: None,
        traits: vec![],
        properties: vec![
            ("total".into(), Value::Number("19.90".parse().unwrap())),
            (
                "big".into(),
                Value::Number("123456789012345678901234567890".parse().unwrap()),
            ),
            (
                "items".into(),
                Value::Array(vec![Value::Null, Value::from(true), Value::from("x"), Value::from(-4)]),
            ),
        ],
        context: vec![("page".into(), Value::Object(vec![("path".into(), Value::from("/"))]))],
        origin: Origin::Import,
    }
}

/// As SDKs send it: ids with UUIDs in them, a key of its own, a context that others have, too.
fn a_page() -> Event {
    let mut page = an_event();
    page.message_id = Some(format!("ajs-next-1700000000123-{UUID}").into());
    page.key = EventKey::of_message(&page.space, &page.source, page.message_id.as_deref().unwrap());
    page.identifiers
        .push(Identifier::new(IdentifierType::AnonymousId, UUID));
    let library = vec![
        ("name".into(), Value::from("analytics.js")),
        ("version".into(), Value::from("1.2")),
    ];
    page.context.push(("library".into(), Value::Object(library)));
    page
}

fn put_field(key: &str, value: &Value) -> Vec<u8> {
    let mut field = Vec::new();
    put_text(&mut field, key);
    put_value(&mut field, value);
    field_entry(&field)
}

fn some_vocabulary() -> Vocabulary {
    let page = a_page();
    let (key, library) = page.context.last().unwrap();
    let texts = [
        "web",
        "Order Completed",
        "user_id",
        "path",
        "page",
        "ajs-next-",
        "",
        "x",
        "anonymous_id",
        "total",
    ];
    let mut entries: Vec<Vec<u8>> = texts.iter().map(|text| text_entry(text)).collect();
    entries.push(put_field(key, library));
    Vocabulary::of(entries.iter().map(Vec::as_slice))
}

pub(super) fn row_by(event: &Event, number: u8, vocabulary: &Vocabulary) -> Vec<u8> {
    pack(event, number, Packer::new(&Numbers::of(vocabulary)))
}

/// A state that has a vocabulary of number 1.
fn store_with(vocabulary: &Vocabulary) -> MemoryStore {
    let (store, mut batch) = (MemoryStore::default(), Batch::default());
    let key = vocabulary_key(&SpaceId::main(), 1);
    batch.put(Keyspace::Meta, key, vocabulary.encode().to_vec());
    store.commit(batch).unwrap();
    store
}

/// The row of an event as version 1 had it.
fn plain_row(event: &Event) -> Vec<u8> {
    let mut row = vec![PLAIN];
    let kind = TYPES.iter().position(|kind| *kind == event.event_type).unwrap();
    let note = NOTES.iter().position(|note| *note == event.time_note).unwrap();
    row.push((kind | note << 3 | usize::from(event.origin == Origin::Import) << 5) as u8);
    row.extend_from_slice(&event.key.0.to_be_bytes());
    put_signed(&mut row, (event.received_at - event.event_time).as_micros());
    put_text(&mut row, event.source.as_str());
    put_text(&mut row, &event.name);
    put_text(&mut row, event.message_id.as_deref().unwrap_or(""));
    put_text(&mut row, event.group_id.as_deref().unwrap_or(""));
    put_number(&mut row, event.identifiers.len() as u64);
    for identifier in &event.identifiers {
        put_text(&mut row, identifier.kind.as_str());
        put_text(&mut row, &identifier.value);
    }
    for object in [&event.traits, &event.properties, &event.context] {
        put_object(&mut row, object);
    }
    row
}

/// Everything that is read of a row gives what its event says.
fn check(history: &History<'_>, event: &Event, row: &[u8]) {
    let place = (event.event_time, event.address);
    assert_eq!(history.event_at(place, row).unwrap(), *event);
    let key = keys::row(&event.space, 7, event.event_time, event.address);
    assert_eq!(history.event(&key, row).unwrap(), *event);
    let named = history.evidence(&key, row).unwrap();
    let without = Event {
        key: named.key,
        traits: Vec::new(),
        properties: Vec::new(),
        context: Vec::new(),
        ..event.clone()
    };
    assert_eq!(named, without);
    assert_eq!(
        history.kind_of(row).unwrap(),
        (event.event_type, Cow::Borrowed(&*event.name))
    );
    assert_eq!(received_at(&key, row), Some(event.received_at));
}

#[test]
fn a_row_gives_back_its_event() {
    let (vocabulary, space) = (some_vocabulary(), SpaceId::main());
    let store = store_with(&vocabulary);
    let history = History::of(&store, &space);
    for event in [an_event(), a_page()] {
        let rows = [
            plain_row(&event),
            row_without_numbers(&event),
            row_by(&event, 1, &vocabulary),
        ];
        rows.iter().for_each(|row| check(&history, &event, row));
        let [plain, without, packed] = rows.map(|row| row.len());
        assert!(packed < without && packed < plain, "{packed} {without} {plain}");
    }
}

#[test]
fn golden_the_bytes_of_rows_and_of_a_vocabulary() {
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let vocabulary = some_vocabulary();
    assert_eq!(hash(&plain_row(&an_event())), PLAIN_GOLDEN, "version 1");
    assert_eq!(
        hash(&row_without_numbers(&a_page())),
        WITHOUT_GOLDEN,
        "version 2 without a vocabulary"
    );
    assert_eq!(hash(&row_by(&a_page(), 1, &vocabulary)), PACKED_GOLDEN, "version 2");
    assert_eq!(
        hash(vocabulary.encode()),
        VOCABULARY_GOLDEN,
        "version 1 of a vocabulary"
    );
    let mut page = a_page();
    (page.properties, page.identifiers) = (Vec::new(), Vec::new());
    let named = [2, 1, 77, 41, 160, 194, 30, 16, 17, 9, 4, 21, 10];
    assert_eq!(row_by(&page, 1, &vocabulary)[..named.len()], named);
}

const PLAIN_GOLDEN: &str = "9e51d909394112320279cc4b3b689b972a114e28f8b2f01e78c219babb2ac99a";
const WITHOUT_GOLDEN: &str = "46cecdd7ba3fff7b8b7bac890165700916e6e3b9efd406a540052a42986fe7d6";
const PACKED_GOLDEN: &str = "6040ce89575a58e1bc3b95e7217608481f326ff20cfbca165604637b919c9c19";
const VOCABULARY_GOLDEN: &str = "8e8bb3dff4b96e350820c9bceebbcd0991c424ccfd98ccf34d06bdf209a8f045";

#[test]
fn a_damaged_row_is_no_event() {
    let (vocabulary, space) = (some_vocabulary(), SpaceId::main());
    let store = store_with(&vocabulary);
    let (history, event) = (History::of(&store, &space), a_page());
    let key = keys::row(&space, 7, event.event_time, event.address);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for row in [
        plain_row(&event),
        row_without_numbers(&event),
        row_by(&event, 1, &vocabulary),
    ] {
        for length in 0..row.len() {
            let error = history.event(&key, &row[..length]).unwrap_err();
            assert_eq!(error.kind(), crate::PipelineErrorKind::Corrupt);
        }
        for _ in 0..20_000 {
            let mut damaged = row.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..damaged.len());
                damaged[at] = random.random();
            }
            // It may be another event; it is never more than its bytes say.
            let _another = history.event(&key, &damaged);
            let _named = history.evidence(&key, &damaged);
            let _kind = history.kind_of(&damaged);
            received_at(&key, &damaged);
            let most = damaged.len() + usize::try_from(NAMED_BYTES_MAX).unwrap();
            assert!(said_bytes(&damaged) <= most);
        }
    }
    let unknown = row_by(&event, 2, &vocabulary);
    assert!(history.event(&key, &unknown).is_err(), "a vocabulary that is not there");
    let far = row_by(&event, 200, &vocabulary);
    assert!(history.event(&key, &far).is_err(), "nor can be");
}

#[test]
fn a_damaged_vocabulary_is_none() {
    let bytes = some_vocabulary().encode().to_vec();
    assert!((0..bytes.len()).all(|length| Vocabulary::decode(bytes[..length].to_vec()).is_none()));
    assert!(Vocabulary::decode([&*bytes, &[0]].concat()).is_none());
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let space = SpaceId::main();
    let row = row_by(&a_page(), 1, &some_vocabulary());
    for _ in 0..5_000 {
        let mut damaged = bytes.clone();
        let at = random.random_range(0..damaged.len());
        damaged[at] = random.random();
        let (store, mut batch) = (MemoryStore::default(), Batch::default());
        batch.put(Keyspace::Meta, vocabulary_key(&space, 1), damaged);
        store.commit(batch).unwrap();
        let _another = History::of(&store, &space).event_at((Timestamp::MIN, Address::default()), &row);
    }
}

#[test]
fn a_row_names_no_more_than_it_states_and_no_more_than_a_bound() {
    let long = "long ".repeat(40);
    let entry = text_entry(&long);
    let vocabulary = Vocabulary::of(std::iter::once(entry.as_slice()));
    let (store, space) = (store_with(&vocabulary), SpaceId::main());
    let history = History::of(&store, &space);
    let times = |times: usize| {
        let mut event = an_event();
        event.properties = vec![("of".into(), Value::Array(vec![Value::from(&*long); times]))];
        event
    };
    let fits = usize::try_from(NAMED_BYTES_MAX).unwrap() / long.len();
    let event = times(fits);
    let row = row_by(&event, 1, &vocabulary);
    check(&history, &event, &row);
    assert_eq!(said_bytes(&row), row.len() + fits * long.len());
    // What would stand for more is written as it is.
    let event = times(fits + 1);
    let plain = row_by(&event, 1, &vocabulary);
    assert_eq!(plain, row_without_numbers(&event));
    check(&history, &event, &plain);
    // A row that says less than its numbers stand for, or more.
    for stated in [0, fits as u64 * long.len() as u64 - 1, NAMED_BYTES_MAX] {
        let mut other = row[..2].to_vec();
        put_number(&mut other, stated);
        let behind = {
            let mut reader = Reader(&row[2..]);
            reader.number().unwrap();
            reader.0
        };
        other.extend_from_slice(behind);
        assert!(
            history
                .event_at((times(1).event_time, times(1).address), &other)
                .is_err(),
            "{stated}"
        );
    }
}

fn some_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["web", "path", "page", "x", "ajs-next-", "library", "analytics.js", "a@b.example", ""]).prop_map(str::to_owned),
        1 => Just(UUID.to_owned()),
        1 => "ajs-next-[0-9]{13}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        2 => ".{0,20}",
        1 => "[0-9]{0,22}",
    ]
}

fn some_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (any::<i64>(), -20..20_i32).prop_map(|(mantissa, exponent)| Value::Number(
            Decimal::new(i128::from(mantissa) * 1_000, exponent).unwrap()
        )),
        some_text().prop_map(|text| Value::from(&*text)),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((some_text(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())),
        ]
    })
}

fn some_object() -> impl Strategy<Value = Object> {
    prop::collection::vec((some_text(), some_value()), 0..6)
        .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

prop_compose! {
    fn some_event()(
        kind in 0..6_usize, note in 0..4_usize, live in any::<bool>(), delay in any::<i32>(),
        source in prop::sample::select(vec!["web", "shop-1"]), name in some_text(),
        // An empty id is none: the doors see to that.
        ids in (prop::option::of(some_text()), prop::option::of(some_text())),
        identifiers in prop::collection::vec((some_text(), some_text()), 0..4),
        own_key in prop::option::of(any::<u128>()),
        objects in (some_object(), some_object(), some_object()),
    ) -> Event {
        let mut event = an_event();
        event.event_type = TYPES[kind];
        event.time_note = NOTES[note];
        event.origin = if live { Origin::Live } else { Origin::Import };
        event.received_at = event.event_time + kith_types::Duration::from_micros(i64::from(delay));
        event.source = source.parse().unwrap();
        event.name = name.into();
        event.message_id = ids.0.map(Into::into);
        event.group_id = ids.1.map(Into::into);
        event.identifiers = identifiers
            .iter()
            .map(|(kind, value)| Identifier::new(IdentifierType::from_name(kind), value))
            .collect();
        event.key = match (own_key, &event.message_id) {
            (Some(key), _) => EventKey(key),
            (None, Some(id)) => EventKey::of_message(&event.space, &event.source, id),
            (None, None) => EventKey::of_address(&event.space, event.address),
        };
        (event.traits, event.properties, event.context) = objects;
        event
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_event_is_given_back_whatever_vocabulary_it_was_written_by(
        events in prop::collection::vec(some_event(), 1..20)
    ) {
        let space = SpaceId::main();
        // Of these events themselves, each three times, so that much of them is in it.
        let mut sample = Sample::default();
        for carrier in 0..3 {
            for event in &events {
                sample.add(event, carrier, &row_without_numbers(event));
            }
        }
        for vocabulary in [Some(some_vocabulary()), sample.better()].into_iter().flatten() {
            let store = store_with(&vocabulary);
            let history = History::of(&store, &space);
            for event in &events {
                check(&history, event, &row_by(event, 1, &vocabulary));
                check(&history, event, &row_without_numbers(event));
            }
        }
    }
}
