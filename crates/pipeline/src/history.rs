//! The rows of a carrier's history: every event, compact, in the order of its time.
//!
//! The history lets a part be folded anew (an interval that was cut, a definition that is new) and a person's recent
//! events be shown, without reading the log or the lake. It is written in the step's transaction and holds each event
//! once, under its carrier.

use crate::bytes::{Reader, put_number, put_object, put_signed, put_text};
use kith_types::{
    Address, Event, EventKey, EventType, Identifier, IdentifierType, Origin, SourceName, SpaceId, TimeNote, Timestamp,
};
use std::sync::Arc;

/// Raised when the meaning of the bytes changes.
const VERSION: u8 = 1;

const TYPES: [EventType; 6] = [
    EventType::Identify,
    EventType::Track,
    EventType::Page,
    EventType::Screen,
    EventType::Group,
    EventType::Alias,
];
const NOTES: [Option<TimeNote>; 4] = [
    None,
    Some(TimeNote::Absent),
    Some(TimeNote::Unparsable),
    Some(TimeNote::Future),
];

/// Appends an event's row. Time and address are in its key, and so not in it.
pub(crate) fn encode(event: &Event, out: &mut Vec<u8>) {
    out.push(VERSION);
    let kind = TYPES.iter().position(|kind| *kind == event.event_type).unwrap_or(0);
    let note = NOTES.iter().position(|note| *note == event.time_note).unwrap_or(0);
    let import = usize::from(event.origin == Origin::Import);
    out.push((kind | note << 3 | import << 5) as u8);
    out.extend_from_slice(&event.key.0.to_be_bytes());
    put_signed(out, (event.received_at - event.event_time).as_micros());
    put_text(out, event.source.as_str());
    put_text(out, &event.name);
    put_text(out, event.message_id.as_deref().unwrap_or(""));
    put_text(out, event.group_id.as_deref().unwrap_or(""));
    put_number(out, event.identifiers.len() as u64);
    for identifier in &event.identifiers {
        put_text(out, identifier.kind.as_str());
        put_text(out, &identifier.value);
    }
    put_object(out, &event.traits);
    put_object(out, &event.properties);
    put_object(out, &event.context);
}

/// What kind of event a row holds, and its name, without reading the rest; `None` as [`decode`].
pub(crate) fn kind_of(row: &[u8]) -> Option<(EventType, &str)> {
    let mut reader = Reader(row);
    if reader.byte()? != VERSION {
        return None;
    }
    let flags = usize::from(reader.byte()?);
    reader.wide()?;
    reader.signed()?;
    reader.text()?;
    Some((*TYPES.get(flags & 7)?, reader.text()?))
}

/// When the event of a row was received, without reading the rest; `None` as [`decode`].
pub(crate) fn received_at(key: &[u8], row: &[u8]) -> Option<Timestamp> {
    let (time, _) = crate::keys::row_place(key)?;
    let mut reader = Reader(row);
    if reader.byte()? != VERSION {
        return None;
    }
    reader.byte()?;
    reader.wide()?;
    Some(time + kith_types::Duration::from_micros(reader.signed()?))
}

/// Reads a row; `None` when the bytes are not a row of this version.
pub(crate) fn decode(space: &SpaceId, time: Timestamp, address: Address, row: &[u8]) -> Option<Event> {
    let mut reader = Reader(row);
    let mut event = decode_names(space, time, address, &mut reader)?;
    event.traits = reader.object()?;
    event.properties = reader.object()?;
    event.context = reader.object()?;
    Some(event)
}

/// The event of a row without what it tells: enough for what it says of who somebody is.
pub(crate) fn decode_evidence(space: &SpaceId, key: &[u8], row: &[u8]) -> Option<Event> {
    let (time, address) = crate::keys::row_place(key)?;
    decode_names(space, time, address, &mut Reader(row))
}

fn decode_names(space: &SpaceId, time: Timestamp, address: Address, reader: &mut Reader<'_>) -> Option<Event> {
    if reader.byte()? != VERSION {
        return None;
    }
    let flags = usize::from(reader.byte()?);
    let key = EventKey(reader.wide()?);
    let delay = kith_types::Duration::from_micros(reader.signed()?);
    let source: SourceName = reader.text()?.parse().ok()?;
    let name: Arc<str> = reader.text()?.into();
    let some = |text: &str| (!text.is_empty()).then(|| text.into());
    let message_id = some(reader.text()?);
    let group_id = some(reader.text()?);
    let count = usize::try_from(reader.number()?).ok()?;
    let mut identifiers = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        let kind = IdentifierType::from_name(reader.text()?);
        identifiers.push(Identifier::new(kind, reader.text()?));
    }
    Some(Event {
        space: space.clone(),
        source,
        address,
        key,
        message_id,
        event_type: *TYPES.get(flags & 7)?,
        name,
        event_time: time,
        received_at: time + delay,
        time_note: *NOTES.get(flags >> 3 & 3)?,
        identifiers,
        group_id,
        traits: Vec::new(),
        properties: Vec::new(),
        context: Vec::new(),
        origin: if flags >> 5 & 1 == 1 {
            Origin::Import
        } else {
            Origin::Live
        },
    })
}

/// The row of a held identifier: when the event was received, and the authenticating identifier of highest priority
/// beside it.
pub(crate) fn encode_presence(received_at: Timestamp, beside: Option<u128>) -> Vec<u8> {
    let mut row = Vec::with_capacity(26);
    row.push(VERSION);
    put_signed(&mut row, received_at.as_micros());
    if let Some(identifier) = beside {
        row.extend_from_slice(&identifier.to_be_bytes());
    }
    row
}

/// Reads what [`encode_presence`] wrote.
pub(crate) fn decode_presence(row: &[u8]) -> Option<(Timestamp, Option<u128>)> {
    let mut reader = Reader(row);
    if reader.byte()? != VERSION {
        return None;
    }
    let received_at = Timestamp::from_micros(reader.signed()?);
    let beside = if reader.0.is_empty() {
        None
    } else {
        Some(reader.wide()?)
    };
    Some((received_at, beside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_types::Value;

    fn event() -> Event {
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

    #[test]
    fn a_row_gives_back_its_event() {
        let event = event();
        let mut row = Vec::new();
        encode(&event, &mut row);
        assert_eq!(kind_of(&row), Some((EventType::Track, "Order Completed")));
        assert_eq!(decode(&event.space, event.event_time, event.address, &row), Some(event));
    }

    #[test]
    fn the_bytes_of_a_row_are_those_of_version_1() {
        let mut row = Vec::new();
        encode(&event(), &mut row);
        assert_eq!(blake3::hash(&row).to_hex().as_str(), GOLDEN);
    }

    #[test]
    fn a_row_of_presence_is_read_as_it_was_written() {
        let at = Timestamp::from_micros(77);
        assert_eq!(encode_presence(at, None), [1, 154, 1], "the bytes of version 1");
        let beside = encode_presence(at, Some(5));
        assert_eq!(
            beside,
            [1, 154, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5],
            "the bytes of version 1"
        );
        assert_eq!(decode_presence(&[1, 154, 1]), Some((at, None)));
        assert_eq!(decode_presence(&beside), Some((at, Some(5))));
        assert_eq!(decode_presence(&[2, 154, 1]), None);
    }

    #[test]
    fn a_damaged_row_is_no_event() {
        let event = event();
        let mut row = Vec::new();
        encode(&event, &mut row);
        for length in 0..row.len() {
            assert_eq!(
                decode(&event.space, event.event_time, event.address, &row[..length]),
                None
            );
        }
    }

    const GOLDEN: &str = "9e51d909394112320279cc4b3b689b972a114e28f8b2f01e78c219babb2ac99a";
}
