//! Folds out of the tables against folds of the events themselves: the same bytes for every carrier.

use super::{HOUR, START, World, event};
use crate::{HistoryQuestion, SqlConfig};
use kith_expr::parse_aggregate;
use kith_identity::Rules;
use kith_profile::{FoldPlan, Part};
use kith_types::{Event, EventType, Identifier, IdentifierType, SpaceId, Timestamp, Value};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A step of a fixed generator of numbers.
fn next(state: &mut u64) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as usize
}

/// Events of some forty carriers: known and unknown names, late ones, values of every type, texts that need escaping.
fn history(seed: u64, length: u64) -> Vec<Event> {
    let mut state = seed;
    let names = ["Order Completed", "Product Viewed", "Call \"Ended\"", ""];
    let types = [EventType::Track, EventType::Track, EventType::Page, EventType::Identify];
    let values = [
        Value::Number("0.1".parse().unwrap()),
        Value::Number("12345678901234567890.000000001".parse().unwrap()),
        Value::from("Ünïcode \u{1} \"quoted\"\n"),
        Value::from(true),
        Value::Null,
        Value::Array(vec![
            Value::from("x"),
            Value::Object(vec![("k".into(), Value::from(1))]),
        ]),
    ];
    (0..length)
        .map(|sequence| {
            let mut event = event(sequence);
            event.name = names[next(&mut state) % 4].into();
            event.event_type = types[next(&mut state) % 4];
            let late = i64::try_from(next(&mut state) % 40).unwrap() - 20;
            event.event_time =
                Timestamp::from_micros(START + late * HOUR + i64::try_from(sequence).unwrap() * 60_000_000);
            event.received_at = Timestamp::from_micros(START + (21 + i64::try_from(sequence / 60).unwrap()) * HOUR);
            let mut identifiers = Vec::new();
            if !next(&mut state).is_multiple_of(3) {
                let user = format!("u-{}", next(&mut state) % 20);
                identifiers.push(Identifier::new(IdentifierType::UserId, &user));
            }
            if !next(&mut state).is_multiple_of(4) {
                let device = format!(" A-{} ", next(&mut state) % 20);
                identifiers.push(Identifier::new(
                    IdentifierType::Email,
                    &format!("{}@x.org", device.trim()),
                ));
            }
            event.identifiers = identifiers;
            let value = values[next(&mut state) % values.len()].clone();
            event.properties = vec![
                ("v".into(), value),
                ("n".into(), Value::from(i64::try_from(next(&mut state) % 9).unwrap())),
            ];
            event.context = vec![("locale".into(), Value::from(["de", "en"][next(&mut state) % 2]))];
            event.traits = vec![("plan".into(), Value::from("pro"))];
            event.group_id = sequence
                .is_multiple_of(3)
                .then(|| format!("acme {}", sequence % 5).into());
            event
        })
        .collect()
}

fn plan(specs: &[Json]) -> Arc<FoldPlan> {
    Arc::new(FoldPlan::new(
        specs.iter().map(|spec| parse_aggregate(spec).unwrap()).collect(),
    ))
}

fn expected(events: &[Event], rules: &Rules, plan: &FoldPlan, before: u64) -> BTreeMap<u128, Vec<u8>> {
    let mut parts: BTreeMap<u128, Part> = BTreeMap::new();
    for event in events.iter().filter(|event| event.address.sequence < before) {
        let wanted = plan
            .ids()
            .iter()
            .any(|id| plan.spec(*id).unwrap().may_match(event.event_type, &event.name));
        if let (Some(carrier), true) = (rules.read(event).carrier(), wanted) {
            parts.entry(carrier.hash).or_default().apply(plan, event);
        }
    }
    parts.retain(|_, part| {
        plan.ids()
            .iter()
            .any(|id| part.aggregate(plan, *id, part.horizon()) != Part::default().aggregate(plan, *id, part.horizon()))
    });
    parts
        .into_iter()
        .map(|(carrier, part)| (carrier, asked(&part, plan)))
        .collect()
}

/// What matters of a fold to who adopts it: its aggregates, whatever other rows went through it.
fn asked(part: &Part, plan: &FoldPlan) -> Vec<u8> {
    let mut whole = Part::default();
    let mut one = event(0);
    one.received_at = Timestamp::from_micros(START + 1_000 * HOUR);
    one.event_type = EventType::Group;
    one.name = "".into();
    whole.apply(&FoldPlan::new(Vec::new()), &one);
    whole.adopt(plan.ids(), part);
    let mut bytes = Vec::new();
    whole.encode(&mut bytes);
    bytes
}

async fn folded(world: &World, plan: &Arc<FoldPlan>, rules: &Arc<Rules>, before: u64) -> BTreeMap<u128, Vec<u8>> {
    let question = HistoryQuestion {
        space: SpaceId::main(),
        generation: 1,
        before,
        rules: Arc::clone(rules),
        plan: Arc::clone(plan),
    };
    let mut found = BTreeMap::new();
    let mut take = |fold: crate::CarrierFold<'_>| {
        let part = Part::decode_for(fold.fold, plan).unwrap();
        let says = plan.ids().iter().any(|id| {
            part.aggregate(plan, *id, part.horizon()) != Part::default().aggregate(plan, *id, part.horizon())
        });
        let before = if says {
            found.insert(fold.carrier, asked(&part, plan))
        } else {
            None
        };
        assert_eq!(before, None, "a carrier has one fold");
        Ok(())
    };
    world.engine.fold_history(&question, &mut take, &|_| {}).await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn seg_4_folds_out_of_the_tables_are_those_of_the_events() {
    let rules = Arc::new(Rules::default());
    let plans = [
        plan(&[json!({"function": "count", "event": "Order Completed"})]),
        plan(&[
            json!({"function": "count", "events": ["Order Completed", "Product Viewed"], "window": {"last": "30d"}}),
            json!({"function": "count", "sequence": {"first": "Product Viewed", "then": "Order Completed", "gap_less_than": "1d"}}),
        ]),
        plan(&[
            json!({"function": "sum", "event": "Order Completed", "property": "v"}),
            json!({"function": "unique_list", "type": "any", "property": "v"}),
            json!({"function": "count", "type": "page", "where": {"context": "locale", "equals": "de"}}),
            json!({"function": "last", "event": "Call \"Ended\"", "property": "v", "where": {"trait": "plan", "equals": "pro"}}),
        ]),
    ];
    for seed in 1..4 {
        let world = World::new().await;
        let events = history(seed, 600);
        for some in events.chunks(150) {
            world.append(&SpaceId::main(), some).await;
        }
        for plan in &plans {
            for before in [0, 333, 10_000] {
                let expected = expected(&events, &rules, plan, before);
                assert_eq!(
                    folded(&world, plan, &rules, before).await,
                    expected,
                    "seed {seed}, before {before}"
                );
                assert_eq!(expected.is_empty(), before == 0);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seg_4_folds_need_no_more_memory_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let within = |megabytes: usize, spill_dir| SqlConfig {
        target_partitions: 2,
        memory_bytes: megabytes << 20,
        spill_dir,
        ..SqlConfig::default()
    };
    let world = World::with(within(20, Some(folder.path().to_owned()))).await;
    let mut events = history(9, 40_000);
    for (at, event) in events.iter_mut().enumerate() {
        event.identifiers = vec![Identifier::new(IdentifierType::UserId, &format!("u-{}", at % 9_000))];
    }
    for some in events.chunks(10_000) {
        world.append(&SpaceId::main(), some).await;
    }
    let (rules, plan) = (
        Arc::new(Rules::default()),
        plan(&[json!({"function": "unique_list", "type": "any", "property": "v"})]),
    );
    let expected = expected(&events, &rules, &plan, 1 << 40);
    assert!(expected.len() > 8_000);
    assert_eq!(folded(&world, &plan, &rules, 1 << 40).await, expected);
    // Less than the places of the parts alone take, whichever partition comes first.
    let nowhere = crate::SqlEngine::new(Arc::clone(&world.lake), within(1, None)).unwrap();
    let question = HistoryQuestion {
        space: SpaceId::main(),
        generation: 1,
        before: 1 << 40,
        rules,
        plan,
    };
    let refused = nowhere.fold_history(&question, &mut |_| Ok(()), &|_| {}).await;
    assert_eq!(refused.unwrap_err().kind(), crate::SqlErrorKind::OutOfMemory);
}
