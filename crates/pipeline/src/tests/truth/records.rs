//! The records of the oracle's worlds, and their events as rows.

use crate::Veto;
use crate::tests::{decision, record_of, vetoes};
use kith_oracle::{Decision, EventRow, Item, VetoOf, World};
use kith_types::{Address, Event, Identifier, Object, Origin, Record, RecordBody, Timestamp, write_json_object};

/// The records, in the order of the log.
pub(super) fn records(world: &World) -> Vec<Record> {
    let items = world.items();
    let numbered = (0_u64..).zip(&items);
    numbered
        .map(|(sequence, (received, item))| {
            let received = Timestamp::from_micros(*received);
            let mut record = match item {
                Item::Step(step) => {
                    let mut record = record_of("main", sequence, received, &step.body());
                    if let RecordBody::Envelope(envelope) = &mut record.body {
                        envelope.source = step.source.parse().unwrap();
                        if step.import {
                            envelope.origin = Origin::Import;
                        }
                    }
                    record
                }
                Item::Decision(Decision::Define(documents)) => {
                    let documents: Vec<_> = documents
                        .iter()
                        .map(|one| (one.kind.as_str(), one.name.as_str(), one.spec.clone()))
                        .collect();
                    decision(sequence, 0, &documents)
                }
                Item::Decision(Decision::Veto(added, removed)) => {
                    let [added, removed] = [added, removed].map(|all| all.iter().filter_map(|one| veto(world, one)));
                    vetoes(sequence, 0, &added.collect::<Vec<_>>(), &removed.collect::<Vec<_>>())
                }
            };
            record.received_at = received;
            record
        })
        .collect()
}

/// A veto as the engine knows it; none where the world has lost its event.
fn veto(world: &World, of: &VetoOf) -> Option<Veto> {
    let id = |text: &str| Identifier::parse(text).unwrap();
    Some(match of {
        VetoOf::Event(step, index, identifier) => Veto::Event {
            event: Address {
                generation: 1,
                partition: 0,
                sequence: world.place_of(*step)? as u64,
                index: *index,
            },
            identifier: id(identifier),
        },
        VetoOf::Pair(one, other) => Veto::pair(id(one), id(other)),
    })
}

/// An event as a row.
pub(super) fn row_of(event: &Event) -> EventRow {
    let json = |object: &Object| {
        let mut out = String::new();
        write_json_object(object, &mut out);
        out
    };
    EventRow {
        received: event.received_at.as_micros(),
        time: event.event_time.as_micros(),
        sequence: event.address.sequence as i64,
        index: i64::from(event.address.index),
        event_type: event.event_type.as_str().to_owned(),
        name: event.name.to_string(),
        source: event.source.to_string(),
        properties: json(&event.properties),
        context: json(&event.context),
        traits: json(&event.traits),
        group_id: event.group_id.as_deref().map(str::to_owned),
    }
}
