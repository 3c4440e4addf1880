//! A person's events by pages: in either order, between two moments, of some names.
//!
//! A person's events stand under several carriers, each in the order of time. Each carrier is read from where the page
//! begins until it has given a page or its share of the work; the page ends where the first carrier that has more was left,
//! so nothing is skipped and nothing comes twice, however many events are passed over. One page looks at a bounded number
//! of rows: one that finds few says where to go on.

use super::{Loaded, Reads, find};
use crate::history::History;
use crate::{PipelineError, keys};
use kith_identity::Position;
use kith_state::{Keyspace, Read};
use kith_types::{Event, ProfileId, SpaceId, Timestamp};

/// A page that is asked for.
pub struct EventsAsked<'a> {
    /// Oldest first instead of latest first.
    pub ascending: bool,
    /// Only what comes after this place in that order.
    pub after: Option<Position>,
    /// Only events at or after this moment.
    pub start: Option<Timestamp>,
    /// Only events before this moment.
    pub end: Option<Timestamp>,
    /// Whether events of a name are wanted.
    pub wanted: &'a dyn Fn(&str) -> bool,
    /// At most so many events.
    pub limit: usize,
    /// Rows that the page looks at, about; at least a page of each carrier.
    pub rows_max: usize,
}

/// A page.
#[derive(Debug)]
pub struct EventsFound {
    /// Whose events they are.
    pub profile: ProfileId,
    /// In the order asked for.
    pub events: Vec<Event>,
    /// Where the next page goes on, where there may be more.
    pub next: Option<Position>,
}

/// What a carrier gave.
struct Share {
    events: Vec<Event>,
    /// The last row that was looked at, where there may be more behind it.
    left_at: Option<Position>,
}

impl Reads {
    /// A page of a person's events; nothing where nobody has the name.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn events_page(
        &self,
        space: &SpaceId,
        name: &str,
        asked: &EventsAsked<'_>,
    ) -> Result<Option<EventsFound>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let Some((loaded, _)) = find(&*snapshot, space, &definitions, name)? else {
            return Ok(None);
        };
        page(&*snapshot, space, &loaded, asked).map(Some)
    }
}

fn page(
    reader: &dyn Read,
    space: &SpaceId,
    loaded: &Loaded,
    asked: &EventsAsked<'_>,
) -> Result<EventsFound, PipelineError> {
    let carriers: Vec<_> = loaded.carrying().collect();
    // One more than the page tells whether there is more.
    let rows_max = (asked.rows_max / carriers.len().max(1)).max(asked.limit + 1);
    let (mut events, mut left_at): (Vec<Event>, Option<Position>) = (Vec::new(), None);
    let first = |one: Position, other: Position| {
        if asked.ascending {
            one.min(other)
        } else {
            one.max(other)
        }
    };
    for member in carriers {
        let range = keys::row_range(space, member.part.carrier, member.part.start, member.end);
        let share = share_of(reader, space, member.part.carrier, range, asked, rows_max)?;
        events.extend(share.events);
        // What stands behind a page and one more can be in no answer: few are held, however many carriers there are.
        in_order(&mut events, asked.ascending);
        events.truncate(asked.limit + 1);
        left_at = match (left_at, share.left_at) {
            (Some(one), Some(other)) => Some(first(one, other)),
            (one, other) => one.or(other),
        };
    }
    if let Some(place) = left_at {
        events.retain(|event| first(event.canonical_order(), place) == event.canonical_order());
    }
    if events.len() > asked.limit {
        events.truncate(asked.limit);
        left_at = events.last().map(Event::canonical_order).or(left_at);
    }
    Ok(EventsFound {
        profile: loaded.id,
        events,
        next: left_at,
    })
}

fn in_order(events: &mut [Event], ascending: bool) {
    events.sort_by_key(Event::canonical_order);
    if !ascending {
        events.reverse();
    }
}

/// Reads one carrier until it has given a page and one more, or has been looked at for its share.
fn share_of(
    reader: &dyn Read,
    space: &SpaceId,
    carrier: u128,
    (mut from, mut to): (Vec<u8>, Vec<u8>),
    asked: &EventsAsked<'_>,
    rows_max: usize,
) -> Result<Share, PipelineError> {
    let at = |time: Timestamp| keys::row(space, carrier, time, kith_types::Address::default());
    let after = asked
        .after
        .map(|(time, address)| keys::row(space, carrier, time, address));
    from = from.max(asked.start.map_or_else(Vec::new, at));
    if let Some(end) = asked.end {
        to = to.min(at(end));
    }
    match after {
        Some(mut after) if asked.ascending => {
            // Right behind a key: no key is between them.
            after.push(0);
            from = from.max(after);
        }
        Some(after) => to = to.min(after),
        None => {}
    }
    let mut share = Share {
        events: Vec::new(),
        left_at: None,
    };
    if from >= to {
        return Ok(share);
    }
    let history = History::of(reader, space);
    let (mut rows, mut failed) = (0, None);
    let mut visit = |key: &[u8], row: &[u8]| {
        rows += 1;
        match wanted(&history, asked, key, row) {
            Ok(event) => share.events.extend(event),
            Err(error) => failed = Some(error),
        }
        let more = share.events.len() <= asked.limit && rows < rows_max;
        share.left_at = keys::row_place(key).filter(|_| !more);
        more && failed.is_none()
    };
    match asked.ascending {
        true => reader.scan(Keyspace::Events, &from, &to, &mut visit)?,
        false => reader.scan_back(Keyspace::Events, &from, &to, &mut visit)?,
    }
    failed.map_or(Ok(share), Err)
}

/// The event of a row, where it is of a name that is wanted.
fn wanted(
    history: &History<'_>,
    asked: &EventsAsked<'_>,
    key: &[u8],
    row: &[u8],
) -> Result<Option<Event>, PipelineError> {
    let (_, name) = history.kind_of(row)?;
    if !(asked.wanted)(&name) {
        return Ok(None);
    }
    history.event(key, row).map(Some)
}

/// A loaded person's events before a place, the latest first.
pub(super) fn latest_events(
    reader: &dyn Read,
    space: &SpaceId,
    loaded: &Loaded,
    before: Option<Position>,
    limit: usize,
) -> Result<Vec<Event>, PipelineError> {
    let mut events = Vec::new();
    if limit == 0 {
        return Ok(events);
    }
    let (history, mut failed) = (History::of(reader, space), None);
    for member in loaded.carrying() {
        let end = [member.end, before].into_iter().flatten().min();
        let (from, to) = keys::row_range(space, member.part.carrier, member.part.start, end);
        let mut left = limit;
        reader.scan_back(Keyspace::Events, &from, &to, &mut |key, row| {
            match history.event(key, row) {
                Ok(event) => events.push(event),
                Err(error) => failed = Some(error),
            }
            left = left.saturating_sub(1);
            left > 0 && failed.is_none()
        })?;
    }
    failed.map_or(Ok(()), Err)?;
    events.sort_by_key(|event| std::cmp::Reverse(event.canonical_order()));
    events.truncate(limit);
    Ok(events)
}

#[cfg(test)]
mod tests;
