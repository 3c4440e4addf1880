//! Which events are behind the truth of each condition of an explanation (contract SEG-6).
//!
//! An event is judged by the fold itself: folded alone, it says what it brings to a value. A sequence is put together by
//! the same rules as the fold's (`kith-expr`), which keeps no event of it. Every list is bounded and counted.

use super::Loaded;
use crate::definitions::Definitions;
use kith_expr::{AggregateId, AggregateSpec, Function, Sequence, json_of_value};
use kith_profile::{FoldPlan, Part, Survivorship};
use kith_segment::{Asks, Behind, Deciding, EventMention, Reason};
use kith_types::{Address, Event, Timestamp, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Events listed of one condition.
pub const BEHIND_LISTED_MAX: usize = 10;

/// What is known of a person whose conditions are looked behind.
pub(super) struct Seen<'a> {
    pub(super) definitions: &'a Definitions,
    pub(super) loaded: &'a Loaded,
    /// The latest first.
    pub(super) events: &'a [Event],
    /// Whether these are all.
    pub(super) complete: bool,
    pub(super) now: Timestamp,
}

/// How an event is judged for a leaf.
enum Test<'a> {
    /// What it brings to an aggregate counts; where there is a value, it must be that one.
    Brings(AggregateId, Value, Option<Value>),
    /// It said so.
    Is(Address),
    /// It says this value of a trait.
    Says(&'a str, Value),
    /// It names one of these.
    Names(Arc<[u128]>),
    Never,
}

struct Search<'a> {
    test: Test<'a>,
    /// Of several that pass, only the first or the last in time decides.
    only: Option<Function>,
    behind: Behind,
}

impl Seen<'_> {
    /// Finds the events behind every leaf.
    pub(super) fn attach(&self, reason: &mut Reason) {
        let mut asks = Vec::new();
        each_leaf(reason, &mut |leaf| asks.push((leaf.asks.clone(), leaf.actual.clone())));
        let specs = asks.iter().filter_map(|(asks, _)| match asks {
            Some(Asks::Aggregate(id)) => self.definitions.plan.spec(*id),
            _ => None,
        });
        let plan = FoldPlan::new(specs.filter(|spec| spec.sequence.is_none()).map(judged_by).collect());
        let mut searches: Vec<Option<Search<'_>>> = asks
            .iter()
            .map(|(asks, actual)| self.search(asks.as_ref()?, actual.as_ref(), &plan))
            .collect();
        for event in self.events {
            self.judge(event, &plan, &mut searches);
        }
        let mut found = searches.into_iter();
        each_leaf(reason, &mut |leaf| {
            leaf.behind = found.next().flatten().map(Search::end);
        });
    }

    fn search<'a>(&self, asks: &'a Asks, actual: Option<&Value>, plan: &FoldPlan) -> Option<Search<'a>> {
        let mut only = None;
        let mut behind = Behind {
            complete: self.complete,
            ..Behind::default()
        };
        let test = match asks {
            // What is said of accounts is not among the person's events.
            Asks::Bucket | Asks::AccountTrait { .. } => return None,
            Asks::Aggregate(id) => {
                let spec = self.definitions.plan.spec(*id)?;
                if let Some(sequence) = &spec.sequence {
                    self.sequences(spec, sequence, &mut behind);
                    Test::Never
                } else {
                    let picks = matches!(
                        spec.function,
                        Function::Min | Function::Max | Function::First | Function::Last | Function::MostFrequent
                    );
                    only = Some(spec.function);
                    let id = judged_by(spec).id();
                    let nothing = Part::default().aggregate(plan, id, self.now);
                    Test::Brings(id, nothing, actual.filter(|_| picks).cloned())
                }
            }
            Asks::Trait(name) => self.trait_test(name),
            Asks::Consent(category) => {
                let mut words = self.loaded.whole.consents();
                let word = words.find(|word| *word.category == **category);
                word.map_or(Test::Never, |word| Test::Is(word.address))
            }
            Asks::Listed(hashes) => Test::Names(Arc::clone(hashes)),
        };
        Some(Search { test, only, behind })
    }

    /// The trait itself, or the one that a name with dots enters.
    fn trait_test<'a>(&self, name: &'a str) -> Test<'a> {
        let rules = &self.definitions.trait_rules;
        let names = [Some(name), name.split_once('.').map(|(first, _)| first)];
        for name in names.into_iter().flatten() {
            let rule = rules.of(name);
            if let Some(resolved) = self.loaded.whole.resolve_trait(name, rule) {
                return match rule {
                    Survivorship::MostFrequent => Test::Says(name, resolved.value.clone()),
                    _ => Test::Is(resolved.address),
                };
            }
        }
        Test::Never
    }

    fn judge(&self, event: &Event, plan: &FoldPlan, searches: &mut [Option<Search<'_>>]) {
        let alone = std::cell::OnceCell::new();
        let alone = || {
            alone.get_or_init(|| {
                let mut part = Part::default();
                let mut event = event.clone();
                event.received_at = event.received_at.min(self.now);
                part.apply(plan, &event);
                part
            })
        };
        let theirs = self.loaded.carriers();
        for search in searches.iter_mut().flatten() {
            let decides = match &search.test {
                Test::Never => false,
                Test::Is(address) => event.address == *address,
                Test::Names(hashes) => {
                    let evidence = self.definitions.rules.read(event);
                    let mut named = evidence.identifiers.iter();
                    named.any(|named| hashes.binary_search(&named.hash).is_ok() && theirs.contains(&named.hash))
                }
                Test::Says(name, value) => alone()
                    .resolve_trait(name, self.definitions.trait_rules.of(name))
                    .is_some_and(|said| said.value == value),
                Test::Brings(id, nothing, wanted) => {
                    let looked_at = plan
                        .spec(*id)
                        .is_some_and(|spec| spec.may_match(event.event_type, &event.name));
                    let brings = || alone().aggregate(plan, *id, self.now);
                    looked_at && {
                        let brings = brings();
                        brings != *nothing && wanted.as_ref().is_none_or(|wanted| brings == *wanted)
                    }
                }
            };
            if decides {
                search.add(event);
            }
        }
    }

    /// The sequences that count, the one begun latest first.
    fn sequences(&self, spec: &AggregateSpec, sequence: &Sequence, behind: &mut Behind) {
        // What follows, by key: the earliest of each time last.
        let mut followers: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
        let key_of = |event: &Event| Some(json_of_value(sequence.key(event)?).to_string());
        for event in self.events {
            let Some(role) = sequence.role(&spec.filter, event) else {
                continue;
            };
            let Some(key) = key_of(event) else { continue };
            let after = followers.entry(key).or_default();
            if role.begins() {
                // The events come latest first, so every later one is known by now.
                let begun = after.partition_point(|later| later.event_time > event.event_time);
                let next = begun.checked_sub(1).and_then(|at| after.get(at)).copied();
                let done = sequence
                    .follows
                    .done(event.event_time, next.map(|next| next.event_time));
                if let Some(done) = done.filter(|done| spec.window.contains(*done, self.now)) {
                    behind.total += 1;
                    if behind.events.len() < BEHIND_LISTED_MAX {
                        behind.events.push(Deciding {
                            event: EventMention::of(event),
                            then: next.filter(|next| next.event_time == done).map(EventMention::of),
                            done: Some(done),
                        });
                    }
                }
            }
            if role.follows() {
                after.push(event);
            }
        }
    }
}

/// The aggregate by which an event alone shows whether it counts: a zero changes no sum, but it has an average.
fn judged_by(spec: &AggregateSpec) -> AggregateSpec {
    let mut by = spec.clone();
    if by.function == Function::Sum {
        by.function = Function::Average;
    }
    by
}

impl Search<'_> {
    fn add(&mut self, event: &Event) {
        let deciding = || Deciding {
            event: EventMention::of(event),
            then: None,
            done: None,
        };
        match self.only {
            // They come latest first.
            Some(Function::First) => {
                self.behind.total = 1;
                self.behind.events = vec![deciding()];
            }
            Some(Function::Last) if self.behind.total > 0 => {}
            _ => {
                self.behind.total += 1;
                if self.behind.events.len() < BEHIND_LISTED_MAX {
                    self.behind.events.push(deciding());
                }
            }
        }
    }

    fn end(self) -> Behind {
        self.behind
    }
}

/// Visits what asks for a value, in the order of the document; how deep conditions nest is bounded.
pub(super) fn each_leaf(reason: &mut Reason, visit: &mut dyn FnMut(&mut Reason)) {
    if reason.asks.is_some() {
        visit(reason);
    }
    for part in &mut reason.parts {
        each_leaf(part, visit);
    }
}
