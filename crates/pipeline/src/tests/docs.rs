//! The examples of the documentation, put through the engine: each table names what happened and what comes of it.

use super::{Bench, at, event, identify, record_of};
use crate::reads::tests::person;
use kith_segment::Change;
use kith_types::{Identifier, Record, RecordBody, SourceName, Timestamp};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

/// What seconds in the tables are after.
const EPOCH: &str = "2026-03-01T12:00:00Z";
/// More than any time in a table.
const AFTER_ALL: &str = "100000";

/// The rows of the table whose first column is headed so: cells without their backticks.
fn table(page: &str, first_column: &str) -> Vec<Vec<String>> {
    let head = format!("| {first_column} |");
    let rows = page.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let rows: Vec<Vec<String>> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.replace('`', "").trim().to_owned()).collect()
        })
        .collect();
    assert!(rows.len() > 10, "the table of {first_column} has lost its examples");
    rows
}

fn yaml(text: &str) -> Json {
    serde_yaml_ng::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The instant so many seconds after the epoch of the tables, to the microsecond.
fn instant(seconds: &str) -> Timestamp {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let micros = format!("{whole}{part:0<6}").parse::<i64>().unwrap();
    Timestamp::parse(EPOCH).unwrap() + kith_types::Duration::from_micros(micros)
}

fn instants(cell: &str) -> Vec<&str> {
    cell.split(',').map(str::trim).filter(|one| !one.is_empty()).collect()
}

/// What happened, in turn: `A at 5 {total: 50}`, `plan is pro at 1`, `marketing granted at 1`.
fn happened(cell: &str) -> Vec<(&str, Json)> {
    let mut depth = 0;
    let parts = cell.split(|character| {
        depth += i32::from(matches!(character, '{' | '[')) - i32::from(matches!(character, '}' | ']'));
        character == ',' && depth == 0
    });
    parts.map(|part| one_happened(part.trim())).collect()
}

fn one_happened(text: &str) -> (&str, Json) {
    let (said, when) = text
        .rsplit_once(" at ")
        .unwrap_or_else(|| panic!("no time in {text:?}"));
    let (second, properties) = when.split_once(' ').unwrap_or((when, "{}"));
    let event = if let Some((name, value)) = said.split_once(" is ") {
        identify("user_id:u", 0, json!({name: yaml(value)}))
    } else if let Some(category) = said.strip_suffix(" granted") {
        answered(category, true)
    } else if let Some(category) = said.strip_suffix(" denied") {
        answered(category, false)
    } else {
        event("user_id:u", said, 0, yaml(properties))
    };
    (second, event)
}

fn answered(category: &str, granted: bool) -> Json {
    let mut event = identify("user_id:u", 0, json!({}));
    event["context"] = json!({"consent": {"categoryPreferences": {category: granted}}});
    event
}

/// A record of one event that happens when it is received.
fn said_at(sequence: u64, received_at: Timestamp, mut event: Json) -> Record {
    event["timestamp"] = json!(received_at.to_string());
    let body = json!({"sentAt": received_at.to_string(), "batch": [event]});
    record_of("main", sequence, received_at, &body.to_string())
}

/// A person of whom nothing is known but that they are there, and what happens until an instant.
fn bench(condition: &Json, happened: &[(&str, Json)], until: Timestamp) -> Bench {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "example", json!({"where": condition}))]);
    bench.apply(&said_at(1, at(1), event("user_id:u", "Seen", 0, json!({}))));
    let until = happened.iter().filter(|(second, _)| instant(second) <= until);
    for ((second, event), sequence) in until.zip(2..) {
        bench.apply(&said_at(sequence, instant(second), event.clone()));
    }
    bench
}

/// Whether the changes that were told until an instant leave the person in the segment.
fn told(changes: &[Change], until: Timestamp) -> bool {
    let last = changes.iter().rfind(|change| change.at <= until);
    last.is_some_and(|change| change.entered)
}

#[test]
fn seg_1_seg_2_the_guides_examples_at_the_edges_of_every_operator_are_as_it_says() {
    let guide = include_str!("../../../../docs/segments.md");
    for row in table(guide, "condition") {
        let [condition, said, holds, fails] = &row[..] else {
            panic!("{row:?}")
        };
        let (document, history) = (yaml(condition), happened(said));
        let end = instant(AFTER_ALL);
        let mut whole = bench(&document, &history, end);
        whole.settle(end);
        let changes: Vec<Change> = whole.numbered().into_iter().map(|one| one.change).collect();
        assert!(!(holds.is_empty() && fails.is_empty()), "{row:?}");
        let asked = [(holds, true), (fails, false)];
        for (second, wanted) in asked
            .iter()
            .flat_map(|(cell, wanted)| instants(cell).into_iter().map(move |one| (one, *wanted)))
        {
            let now = instant(second);
            let mut then = bench(&document, &history, now);
            then.commit();
            let read = person(&then, "user_id:u", now).unwrap();
            assert_eq!(
                !read.segments.is_empty(),
                wanted,
                "{condition} of {said} read at {second}"
            );
            assert_eq!(told(&changes, now), wanted, "{condition} of {said} as told by {second}");
        }
    }
}

/// The groups of a cell, each as its identifiers.
fn groups(cell: &str) -> Vec<&str> {
    cell.split(';').map(str::trim).collect()
}

#[test]
fn idn_2_the_guides_examples_of_who_is_who_are_as_it_says_whatever_the_order_of_arrival() {
    let guide = include_str!("../../../../docs/identity.md");
    for row in table(guide, "types of the rules") {
        let [rules, events, people] = &row[..] else {
            panic!("{row:?}")
        };
        let spec = json!({"types": if rules.is_empty() { json!({}) } else { yaml(&format!("{{ {rules} }}")) }});
        let events: Vec<Json> = (groups(events).into_iter().zip(1..))
            .map(|(names, second)| event(names, "Seen", second, json!({})))
            .collect();
        let wanted: BTreeSet<BTreeSet<String>> = (groups(people).into_iter())
            .map(|one| one.split_whitespace().map(str::to_owned).collect())
            .collect();
        let orders = (0..events.len()).flat_map(|turn| {
            let mut turned: Vec<Json> = events.clone();
            turned.rotate_left(turn);
            let mut back = turned.clone();
            back.reverse();
            [turned, back]
        });
        for order in orders {
            let mut bench = Bench::new();
            bench.decide(0, &[("identity_rules", "main", spec.clone())]);
            for event in &order {
                bench.take(60, std::slice::from_ref(event));
            }
            bench.commit();
            let found: BTreeSet<BTreeSet<String>> = (wanted.iter())
                .map(|names| {
                    let name = names
                        .iter()
                        .find(|name| name.starts_with("user_id"))
                        .or(names.iter().next_back())
                        .unwrap();
                    let person = person(&bench, name, at(60)).unwrap_or_else(|| panic!("{name} in {row:?}"));
                    let named = |identifier: &Identifier| identifier.to_string();
                    person.identifiers.iter().map(|view| named(&view.identifier)).collect()
                })
                .collect();
            assert_eq!(found, wanted, "{rules} with {events:?}");
        }
    }
}

fn from_source(mut record: Record, source: &str) -> Record {
    if let RecordBody::Envelope(envelope) = &mut record.body {
        envelope.source = source.parse::<SourceName>().unwrap();
    }
    record
}

#[test]
fn pro_3_the_guides_examples_of_what_survives_are_as_it_says() {
    let guide = include_str!("../../../../docs/profiles.md");
    for row in table(guide, "rule") {
        let [rule, said, survives] = &row[..] else {
            panic!("{row:?}")
        };
        let mut bench = Bench::new();
        bench.decide(0, &[("trait_rules", "main", json!({"traits": {"tested": yaml(rule)}}))]);
        for (one, second) in groups(said).into_iter().zip(1_i64..) {
            let (source, value) = one.split_once(':').unwrap();
            let event = identify("user_id:u", 0, json!({"tested": yaml(value)}));
            let record = said_at(second.unsigned_abs(), at(second), event);
            bench.apply(&from_source(record, source));
        }
        bench.commit();
        let read = person(&bench, "user_id:u", at(60)).unwrap();
        let value = read.traits.iter().find(|view| view.name == "tested").unwrap();
        let found: Json = serde_json::from_str(&value.value.to_json()).unwrap();
        assert_eq!(found, yaml(survives), "{row:?}");
    }
}
