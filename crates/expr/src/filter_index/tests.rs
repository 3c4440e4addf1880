//! PRO-4: the index of filters decides exactly as each filter does, by random filters and events.

use super::*;
use crate::{FieldRoot, Path};
use kith_types::{Address, EventKey, Object, Origin, SpaceId, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeSet;

const NAMES: [&str; 3] = ["Order", "View", "Call"];
const KEYS: [&str; 3] = ["a", "b", "a.b"];

fn event(kind: usize, name: &str, properties: Object, context: Object) -> Event {
    Event {
        space: SpaceId::main(),
        source: "web".parse().unwrap(),
        address: Address::default(),
        key: EventKey(1),
        message_id: None,
        event_type: EventType::ALL[kind],
        name: name.into(),
        event_time: Timestamp::default(),
        received_at: Timestamp::default(),
        time_note: None,
        identifiers: Vec::new(),
        group_id: None,
        traits: Object::new(),
        properties,
        context,
        origin: Origin::Live,
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec!["x", "y", "z", ""]).prop_map(Value::from),
        (0_i64..3).prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn objects() -> impl Strategy<Value = Object> {
    prop::collection::vec((prop::sample::select(KEYS.to_vec()), values()), 0..3).prop_map(|fields| {
        let fields = fields.into_iter();
        fields.map(|(key, value)| (key.into(), value)).collect()
    })
}

fn conditions() -> impl Strategy<Value = Condition> {
    let roots = prop::sample::select(vec![FieldRoot::Properties, FieldRoot::Context]);
    let tests = prop_oneof![
        values().prop_map(ValueTest::Equals),
        values().prop_map(ValueTest::NotEquals),
        prop::collection::vec(values(), 0..3).prop_map(ValueTest::AnyOf),
        Just(ValueTest::Exists),
    ];
    let leaf = (roots, prop::sample::select(KEYS.to_vec()), tests).prop_map(|(root, path, test)| {
        let path = Path::new(path).unwrap();
        Condition::Test(EventField { root, path }, test)
    });
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

fn filters() -> impl Strategy<Value = EventFilter> {
    let types = prop::collection::vec(prop::sample::select(EventType::ALL.to_vec()), 0..3);
    let names = prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..3);
    (types, names, conditions()).prop_map(|(types, names, condition)| {
        let names = names.into_iter().map(Box::from).collect();
        EventFilter::new(types, names, condition).unwrap()
    })
}

proptest! {
    #[test]
    fn pro_4_the_index_finds_exactly_the_filters_that_match(
        filters in prop::collection::vec(filters(), 1..12),
        events in prop::collection::vec((0..6_usize, prop::sample::select(NAMES.to_vec()), objects(), objects()), 1..12),
    ) {
        let mut index = FilterIndex::default();
        for (number, filter) in (0..).zip(&filters) {
            index.add(filter, number);
        }
        for (kind, name, properties, context) in events {
            let event = event(kind, name, properties, context);
            let mut found = Vec::new();
            index.passed(&event, &mut |number| found.push(number));
            let expected: BTreeSet<u32> = (0..).zip(&filters).filter(|(_, filter)| filter.matches(&event)).map(|(number, _)| number).collect();
            prop_assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), expected, "{:?}", event);
        }
    }
}

#[test]
fn pro_4_what_many_count_alike_is_found_for_each_of_them() {
    let mut index = FilterIndex::default();
    let of = |text: &str| {
        let path = Path::new("a").unwrap();
        let root = FieldRoot::Properties;
        let condition = Condition::Test(EventField { root, path }, ValueTest::Equals(Value::from(text)));
        EventFilter::new(Vec::new(), vec!["Order".into()], condition).unwrap()
    };
    index.add(&of("x"), 3);
    index.add(&of("x"), 5);
    index.add(&of("x"), 5);
    index.add(&of("y"), 7);
    let order = event(1, "Order", vec![("a".into(), Value::from("x"))], Object::new());
    let mut found = Vec::new();
    index.passed(&order, &mut |number| found.push(number));
    assert_eq!(found, [3, 5]);
    // Names alone mean track calls.
    let page = event(2, "Order", vec![("a".into(), Value::from("x"))], Object::new());
    index.passed(&page, &mut |_| panic!("a page is no order"));
}
