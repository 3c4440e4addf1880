//! What evidence between two people who nothing connects was refused, and why (contract IDN-7): events that name both and
//! that a bound or an operator kept from linking, and values of both that the rules block.
//!
//! Nothing keeps what was refused, so it is found among the events of both, those of the two themselves first. So many are
//! looked at, and the answer says where there are more.

use super::budget::Budget;
use super::why::shown_event;
use crate::definitions::Definitions;
use crate::history::History;
use crate::new_rules::LISTED_MAX;
use crate::{PipelineError, keys};
use kith_identity::{
    BlockedBecause, Component, Evidence, LeftOut, MAX_IDENTIFIERS, MAX_IDENTIFIERS_PER_EVENT, MAX_INTERVALS, MAX_LINKS,
    Position,
};
use kith_state::{Keyspace, Read};
use kith_types::{Event, Identifier, SpaceId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Events that are looked at, and bytes of their rows.
const EVENTS_MAX: usize = 20_000;
const BYTES_MAX: usize = 32 << 20;
/// Refusals that are told apart at most while events are looked at.
const KEPT_MAX: usize = 10_000;

/// One of two who are not one person: their evidence, and the identifier that is asked about.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) component: &'a Component,
    pub(super) asked: &'a Identifier,
}

/// What was refused between two.
pub(super) struct Between {
    /// In JSON as people read it.
    pub(super) refused: Vec<Value>,
    /// Whether all events of both were looked at.
    pub(super) complete: bool,
}

impl Default for Between {
    fn default() -> Self {
        Self {
            refused: Vec::new(),
            complete: true,
        }
    }
}

/// Why evidence did not link. The order is that in which it is told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Because {
    Vetoed,
    Bound,
    TooMany,
    Blocked(&'static str),
}

/// Events that are refused alike.
#[derive(Default)]
struct Alike {
    total: u64,
    /// The earliest; of values that are blocked, on either side.
    earliest: [Option<(Position, Vec<u8>)>; 2],
}

/// Finds it.
///
/// # Errors
/// The store fails, or holds a damaged row.
pub(super) fn between(
    reader: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    sides: [Side<'_>; 2],
) -> Result<Between, PipelineError> {
    let [one, other] = sides.map(|side| side.component);
    let mut search = Search {
        hashes: identifiers(sides),
        may_be_beyond: one.id() != other.id() || one.is_full() || other.is_full(),
        found: BTreeMap::new(),
        left_out: false,
    };
    let mut budget = Budget::new(EVENTS_MAX, BYTES_MAX);
    let history = History::of(reader, space);
    let (mut complete, mut failed) = (true, None);
    for carrier in carriers(sides) {
        let (from, to) = keys::row_range(space, carrier, None, None);
        reader.scan(Keyspace::Events, &from, &to, &mut |key, row| {
            complete = budget.spend(row);
            match history.evidence(key, row) {
                Ok(event) if complete => search.look_at(definitions, &event, key),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
            complete && failed.is_none()
        })?;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if !complete {
            break;
        }
    }
    let (refused, all_told) = search.told(&history)?;
    Ok(Between {
        refused,
        complete: complete && all_told,
    })
}

impl Side<'_> {
    /// The identifiers of the person who has the one that is asked about.
    fn own(&self) -> BTreeSet<u128> {
        let holder = self.component.holder(self.asked.hash128());
        let members = holder.map(|holder| self.component.members_of(holder));
        members
            .into_iter()
            .flatten()
            .map(|member| member.part.carrier)
            .collect()
    }
}

/// The identifiers of each side, ascending: all that evidence connects with it. Where that is the same on both, as after a
/// veto, those of the two people without what they share.
fn identifiers(sides: [Side<'_>; 2]) -> [Vec<u128>; 2] {
    let [one, other] = sides;
    if one.component.id() != other.component.id() {
        return sides.map(|side| side.component.hashes().collect());
    }
    let (one, other) = (one.own(), other.own());
    [(&one, &other), (&other, &one)].map(|(own, others)| own.difference(others).copied().collect())
}

/// The identifiers under which events of both lie, each once: first those of the two people, then of whom evidence connects
/// with the fewest.
fn carriers(sides: [Side<'_>; 2]) -> impl Iterator<Item = u128> {
    let mut fewest_first = sides;
    fewest_first.sort_by_key(|side| side.component.hashes().len());
    let own = fewest_first.map(|side| side.own());
    let all = fewest_first.map(|side| side.component.hashes().collect::<Vec<_>>());
    let mut seen = BTreeSet::new();
    let each: Vec<u128> = own.into_iter().flatten().chain(all.into_iter().flatten()).collect();
    each.into_iter().filter(move |carrier| seen.insert(*carrier))
}

struct Search {
    /// The identifiers of each side, ascending.
    hashes: [Vec<u128>; 2],
    /// Whether a bound may have kept an event from linking. Within a component that is at none, shared devices part people.
    may_be_beyond: bool,
    found: BTreeMap<(Because, Vec<Identifier>), Alike>,
    /// Whether there was more than is kept.
    left_out: bool,
}

impl Search {
    fn look_at(&mut self, definitions: &Definitions, event: &Event, key: &[u8]) {
        let evidence = definitions.read(event);
        let position = evidence.position();
        let is_of = [0, 1].map(|side| evidence.identifiers.iter().any(|named| self.is_of(side, named.hash)));
        if is_of == [true, true] {
            let (because, identifiers) = self.not_linked(&evidence);
            if self.may_be_beyond || !matches!(because, Because::Bound) {
                self.note((because, identifiers), 0, position, key);
            }
        }
        for blocked in &evidence.blocked {
            let hash = blocked.identifier.hash128();
            match in_words(blocked.because) {
                // Which side's event it is, others of its identifiers say.
                Some(words) => {
                    let identifier = definitions.rules.spell(&blocked.identifier);
                    let identifier = identifier.unwrap_or_else(|| blocked.identifier.clone());
                    for side in [0, 1].into_iter().filter(|side| is_of[*side]) {
                        let refusal = (Because::Blocked(words), vec![identifier.clone()]);
                        self.note(refusal, side, position, key);
                    }
                }
                None if [0, 1].into_iter().any(|side| is_of[1 - side] && self.is_of(side, hash)) => {
                    let refusal = (Because::TooMany, vec![blocked.identifier.clone()]);
                    self.note(refusal, 0, position, key);
                }
                None => {}
            }
        }
    }

    /// Why an event that names identifiers of both does not link them, and which.
    fn not_linked(&self, evidence: &Evidence) -> (Because, Vec<Identifier>) {
        let links = |side: usize| (evidence.identifiers.iter()).any(|one| !one.vetoed && self.is_of(side, one.hash));
        let is_vetoed = !(links(0) && links(1));
        let of_both = evidence.identifiers.iter().filter(|one| match is_vetoed {
            true => one.vetoed,
            false => self.is_of(0, one.hash) || self.is_of(1, one.hash),
        });
        let because = if is_vetoed { Because::Vetoed } else { Because::Bound };
        (because, of_both.map(|one| one.identifier.clone()).collect())
    }

    fn is_of(&self, side: usize, hash: u128) -> bool {
        self.hashes[side].binary_search(&hash).is_ok()
    }

    fn note(&mut self, refusal: (Because, Vec<Identifier>), side: usize, position: Position, key: &[u8]) {
        if self.found.len() >= KEPT_MAX && !self.found.contains_key(&refusal) {
            self.left_out = true;
            return;
        }
        let alike = self.found.entry(refusal).or_default();
        alike.total += 1;
        let earliest = &mut alike.earliest[side];
        if earliest.as_ref().is_none_or(|(before, _)| position < *before) {
            *earliest = Some((position, key.to_vec()));
        }
    }

    /// What was refused, and whether that is all of it.
    fn told(self, history: &History<'_>) -> Result<(Vec<Value>, bool), PipelineError> {
        // A value that is blocked lies between the two where both have it.
        let is_between = |(because, _): &(Because, _), alike: &Alike| {
            !matches!(because, Because::Blocked(_)) || alike.earliest.iter().all(Option::is_some)
        };
        let mut found = self
            .found
            .into_iter()
            .filter(|(refusal, alike)| is_between(refusal, alike));
        let mut told = Vec::new();
        for ((because, identifiers), alike) in found.by_ref().take(LISTED_MAX) {
            let mut events = Vec::new();
            for (place, key) in alike.earliest.into_iter().flatten() {
                let row = history.reader().get(Keyspace::Events, &key)?;
                let row = row.ok_or_else(|| PipelineError::corrupt("history"))?;
                events.push(shown_event(&history.event_at(place, &row)?));
            }
            let identifiers: Vec<String> = identifiers.iter().map(ToString::to_string).collect();
            told.push(json!({
                "identifiers": identifiers, "because": because.to_string(), "events": events, "events_total": alike.total,
            }));
        }
        let all_told = !self.left_out && found.next().is_none();
        Ok((told, all_told))
    }
}

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vetoed => LeftOut::Vetoed.fmt(f),
            Self::Bound => write!(
                f,
                "what evidence connects would have been beyond a bound: {MAX_IDENTIFIERS} identifiers, {MAX_LINKS} groups of them, \
                 {MAX_INTERVALS} intervals of held ones"
            ),
            Self::TooMany => write!(
                f,
                "the event names more than {MAX_IDENTIFIERS_PER_EVENT} identifiers, of which those of highest priority are used"
            ),
            Self::Blocked(words) => f.write_str(words),
        }
    }
}

/// Why a value names nobody; nothing where it is not the value.
pub(super) fn in_words(because: BlockedBecause) -> Option<&'static str> {
    Some(match because {
        BlockedBecause::TooMany => return None,
        BlockedBecause::Value => "the rules of identity block this value, so it names nobody",
        BlockedBecause::Pattern => "the rules of identity block this value by a pattern, so it names nobody",
        BlockedBecause::Malformed => "by the rules of identity this is no value of its type, so it names nobody",
        BlockedBecause::TooLong => "it is longer than an identifier can be, so it names nobody",
    })
}

#[cfg(test)]
mod tests {
    use crate::reads::tests::{reads_of, veto};
    use crate::tests::{Bench, event, main_space};
    use serde_json::{Value, json};

    /// What is told of two: identifiers, why, and the addresses of the events.
    fn told(bench: &Bench, one: &str, other: &str) -> Vec<(String, String, Vec<String>)> {
        let why = reads_of(bench).why(&main_space(), one, other).unwrap().unwrap();
        assert_eq!(
            (&why["together"], &why["path"], &why["refused_complete"]),
            (&json!(false), &json!([]), &json!(true))
        );
        let texts = |list: &Value, text: &dyn Fn(&Value) -> String| -> Vec<String> {
            list.as_array().unwrap().iter().map(text).collect()
        };
        let plain = |value: &Value| value.as_str().unwrap().to_owned();
        let refused = why["refused"].as_array().unwrap().iter().map(|refused| {
            let identifiers = texts(&refused["identifiers"], &plain).join(" ");
            let events = texts(&refused["events"], &|event| plain(&event["address"]));
            (identifiers, plain(&refused["because"]), events)
        });
        refused.collect()
    }

    fn seen(identifiers: &str, second: i64) -> Value {
        event(identifiers, "Seen", second, json!({}))
    }

    #[test]
    fn idn_7_why_names_what_a_veto_or_blocked_values_kept_apart() {
        let mut bench = Bench::new();
        let rules = json!({"types": {"email": {"blocked": ["desk@x.org"]}}});
        bench.decide(0, &[("identity_rules", "main", rules)]);
        bench.take(1, &[seen("user_id:ann email:jo@x.org", 1), seen("email:jo@x.org", 2)]);
        bench.take(2, &[seen("user_id:ann email:Desk@X.org", 3)]);
        bench.take(
            3,
            &[
                seen("user_id:bo email:desk@x.org", 4),
                seen("user_id:bo email:desk@x.org", 5),
            ],
        );
        bench.take(4, &[seen("user_id:cy email:null", 6)]);
        bench.veto(5, &[veto("1-0-1-0", "email:jo@x.org")], &[]);
        bench.commit();
        let of = |addresses: &[&str]| -> Vec<String> { addresses.iter().map(|one| (*one).to_owned()).collect() };
        let by_veto = "the event was declared not to link it".to_owned();
        assert_eq!(
            told(&bench, "user_id:ann", "email:jo@x.org"),
            [("email:jo@x.org".to_owned(), by_veto, of(&["1-0-1-0"]))]
        );
        let by_rules = "the rules of identity block this value, so it names nobody".to_owned();
        assert_eq!(
            told(&bench, "user_id:ann", "user_id:bo"),
            [("email:desk@x.org".to_owned(), by_rules, of(&["1-0-2-0", "1-0-3-0"]))],
            "the earliest on either side"
        );
        assert_eq!(
            told(&bench, "user_id:cy", "user_id:bo"),
            [],
            "they have no such value in common"
        );
    }

    #[test]
    fn idn_7_why_names_what_a_bound_kept_out() {
        let mut bench = Bench::new();
        // As many identifiers as evidence may connect.
        for group in 0..21 {
            let cards = (0..48).map(|n| format!(" card:{group}-{n}")).collect::<String>();
            bench.take(1 + group, &[seen(&format!("email:hub@x.org{cards}"), 1 + group)]);
        }
        bench.take(30, &[seen("user_id:bo email:hub@x.org", 30), seen("user_id:far", 31)]);
        bench.commit();
        let refused = told(&bench, "user_id:bo", "email:hub@x.org");
        let [(identifiers, because, events)] = &refused[..] else {
            panic!("{refused:?}");
        };
        assert_eq!(identifiers, "user_id:bo email:hub@x.org");
        assert!(because.contains("beyond a bound: 1000 identifiers"), "{because}");
        assert_eq!(*events, ["1-0-21-0"]);
        assert_eq!(told(&bench, "user_id:far", "email:hub@x.org"), []);
    }
}
