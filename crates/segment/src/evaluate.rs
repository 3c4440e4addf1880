//! Asks a compiled segment of one person: member or not, and when time alone may change that (contract SEG-2).
//!
//! Truth is a plain walk that stops at the first part that decides. The next transition is searched in two steps, for
//! each node a bound before which it cannot turn, then a look at that instant whether the whole did turn:
//! - a leaf walks the instants at which its value changes until its answer turns: exact;
//! - an `all` that holds turns with the first of its parts: exact if that part's bound is;
//! - an `all` that does not hold stays so while any of its failing parts does: not before the last of their bounds,
//!   and never if one of them never turns. `any` is the mirror image.
//!
//! The work of one search is bounded; where the bound is reached the instant found so far is the answer, which is early
//! but never late: the timer fires, nothing changes, and the search goes on from there. Nothing here allocates, keeps
//! state or decides what a change causes.

use crate::{Account, AccountCondition, Bucket, CompiledSegment, Consent, CountRange};
use kith_expr::{AggregateId, PersonView, ValueTest};
use kith_types::{ProfileId, Timestamp, Value};
use std::sync::Arc;

/// How many changes of values one search for the next transition looks at.
const MAX_STEPS: u32 = 64;

/// A person, as a segment sees them.
pub trait Person: PersonView {
    /// What they answered when asked for consent; `None` when nothing is known.
    fn consent(&self, category: &str) -> Option<bool>;

    /// Whether a stated limit may have made that answer, or that there is none, other than exact.
    fn consent_approximate(&self, category: &str) -> bool;

    /// Who they are.
    fn profile_id(&self) -> ProfileId;

    /// Whether `wanted` holds of the hash ([`kith_types::Identifier::hash128`]) of one of the identifiers that are
    /// theirs, now or for some time.
    fn any_identifier(&self, wanted: &dyn Fn(u128) -> bool) -> bool;

    /// Whether there may be identifiers of theirs that a stated limit left out.
    fn identifiers_limited(&self) -> bool;

    /// Visits the accounts that they belong to, until `wanted` holds of one; whether it did.
    fn any_account(&self, wanted: &mut dyn FnMut(&dyn Account) -> bool) -> bool;
}

/// The answer for one person at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether they are a member.
    pub member: bool,
    /// The earliest instant, strictly after the one asked about, at which membership may change with no new event. It
    /// is never later than the true change. `None`: never.
    pub next_transition: Option<Timestamp>,
    /// Whether membership does change then, or never where there is no such instant. False where the bounded search ended
    /// early: asked again later, it finds a later instant.
    pub exact: bool,
}

/// A condition with everything resolved.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    /// A condition that stands for another, in its own words.
    Named(Box<str>, Box<Node>),
    Leaf(Leaf),
}

/// A condition that asks for one value.
#[derive(Clone, Debug)]
pub(crate) enum Leaf {
    Count {
        id: AggregateId,
        count: CountRange,
        /// In plain English.
        phrase: Box<str>,
    },
    Aggregate {
        id: AggregateId,
        name: Box<str>,
        test: ValueTest,
    },
    Trait {
        name: Box<str>,
        test: ValueTest,
    },
    Account {
        /// The accounts that they belong to, for what is behind the answer.
        id: AggregateId,
        condition: Box<AccountCondition>,
    },
    Consent {
        category: Box<str>,
        answer: Consent,
    },
    Bucket(Bucket),
    /// The hashes, sorted.
    Listed(Arc<[u128]>),
}

/// No turn before `at`; where `exact`, a turn at `at`.
#[derive(Clone, Copy)]
struct Bound {
    at: Timestamp,
    exact: bool,
}

impl CompiledSegment {
    /// Whether the person is a member at `now`, and when time alone may change that.
    #[must_use]
    pub fn evaluate(&self, person: &dyn Person, now: Timestamp) -> Evaluation {
        let member = self.asked.holds(person, now);
        let mut search = Search {
            person,
            steps_left: MAX_STEPS,
        };
        let turn = search.next_turn(&self.asked, member, now);
        Evaluation {
            member,
            next_transition: turn.map(|turn| turn.at),
            exact: turn.is_none_or(|turn| turn.exact),
        }
    }

    /// Whether the person is a member at `now`: for reads, which need no next transition.
    #[must_use]
    pub fn is_member(&self, person: &dyn Person, now: Timestamp) -> bool {
        self.asked.holds(person, now)
    }

    /// Whether a limit of the profile may have made the answer at `now` other than exact (contract PRO-5).
    #[must_use]
    pub fn is_approximate(&self, person: &dyn Person, now: Timestamp) -> bool {
        self.asked.is_approximate(person, now)
    }
}

impl Node {
    fn is_approximate(&self, person: &dyn Person, now: Timestamp) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.is_approximate(person, now)),
            Self::Not(inner) | Self::Named(_, inner) => inner.is_approximate(person, now),
            Self::Leaf(leaf) => leaf.is_approximate(person, now),
        }
    }

    pub(crate) fn holds(&self, person: &dyn Person, now: Timestamp) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(person, now)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(person, now)),
            Self::Not(part) => !part.holds(person, now),
            Self::Named(_, inner) => inner.holds(person, now),
            Self::Leaf(leaf) => leaf.holds(person, now),
        }
    }

    /// The same condition without the names that conditions have, in every list what is cheap to ask first.
    pub(crate) fn ordered_by_cost(&self) -> Self {
        let ordered = |parts: &[Self]| {
            let mut parts: Vec<Self> = parts.iter().map(Self::ordered_by_cost).collect();
            parts.sort_by_key(Self::cost);
            parts.into_boxed_slice()
        };
        match self {
            Self::All(parts) => Self::All(ordered(parts)),
            Self::Any(parts) => Self::Any(ordered(parts)),
            Self::Not(part) => Self::Not(Box::new(part.ordered_by_cost())),
            Self::Named(_, inner) => inner.ordered_by_cost(),
            Self::Leaf(leaf) => Self::Leaf(leaf.clone()),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::cost).sum(),
            Self::Not(part) | Self::Named(_, part) => part.cost(),
            Self::Leaf(Leaf::Trait { .. } | Leaf::Consent { .. } | Leaf::Bucket(_) | Leaf::Listed(_)) => 1,
            Self::Leaf(Leaf::Count { .. } | Leaf::Aggregate { .. } | Leaf::Account { .. }) => 8,
        }
    }
}

impl Leaf {
    /// Whether a limit of the profile, or of an account of theirs, may have made what the leaf asks for other than exact.
    pub(crate) fn is_approximate(&self, person: &dyn Person, now: Timestamp) -> bool {
        match self {
            Self::Count { id, .. } | Self::Aggregate { id, .. } => person.approximate(*id, now),
            Self::Account { id, condition } => {
                person.approximate(*id, now) || person.any_account(&mut |account| condition.is_approximate(account))
            }
            Self::Trait { name, .. } => person.trait_approximate(name),
            Self::Consent { category, .. } => person.consent_approximate(category),
            // Whoever is on the list by an identifier that is known is on it.
            Self::Listed(_) => person.identifiers_limited() && !self.holds(person, now),
            Self::Bucket(_) => false,
        }
    }
}

impl Leaf {
    pub(crate) fn holds(&self, person: &dyn Person, now: Timestamp) -> bool {
        match self {
            Self::Count { id, count, .. } => count.contains(count_of(&person.aggregate(*id, now))),
            Self::Aggregate { id, test, .. } => test.test(Some(&person.aggregate(*id, now)), now),
            Self::Trait { name, test } => test.test(person.trait_value(name).as_deref(), now),
            Self::Account { condition, .. } => person.any_account(&mut |account| condition.holds(account, now)),
            Self::Consent { category, answer } => Consent::of(person.consent(category)) == *answer,
            Self::Bucket(bucket) => bucket.contains(person.profile_id()),
            Self::Listed(hashes) => person.any_identifier(&|hash| hashes.binary_search(&hash).is_ok()),
        }
    }

    /// The next instant, strictly after `after`, at which what is asked for may change without a new event.
    fn next_change(&self, person: &dyn Person, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Count { id, .. } => person.aggregate_next_change(*id, after),
            Self::Aggregate { id, test, .. } => {
                let value_changes = person.aggregate_next_change(*id, after);
                if !test.is_clock_relative() {
                    return value_changes;
                }
                let answer_turns = test.next_change(Some(&person.aggregate(*id, after)), after);
                [value_changes, answer_turns].into_iter().flatten().min()
            }
            Self::Trait { test, .. } if !test.is_clock_relative() => None,
            Self::Trait { name, test } => test.next_change(person.trait_value(name).as_deref(), after),
            Self::Account { condition, .. } if !condition.is_clock_relative() => None,
            Self::Account { condition, .. } => {
                let mut first: Option<Timestamp> = None;
                person.any_account(&mut |account| {
                    first = [first, condition.next_change(account, after)]
                        .into_iter()
                        .flatten()
                        .min();
                    false
                });
                first
            }
            Self::Consent { .. } | Self::Bucket(_) | Self::Listed(_) => None,
        }
    }
}

/// The count that an aggregate gave; anything else, as of an aggregate that is not kept, is no event.
pub(crate) fn count_of(value: &Value) -> u64 {
    value
        .as_number()
        .and_then(|number| number.to_i64())
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or(0)
}

struct Search<'a> {
    person: &'a dyn Person,
    steps_left: u32,
}

impl Search<'_> {
    /// The instant after `now` at which `node` turns from `truth`, or an earlier one where the work is bounded.
    fn next_turn(&mut self, node: &Node, truth: bool, now: Timestamp) -> Option<Bound> {
        let mut from = now;
        loop {
            let bound = self.bound(node, truth, from, Timestamp::MAX)?;
            let exact = bound.exact || node.holds(self.person, bound.at) != truth;
            if exact || self.steps_left == 0 {
                return Some(Bound { exact, ..bound });
            }
            self.steps_left -= 1;
            from = bound.at;
        }
    }

    /// Before the bound `node` keeps the truth that it has at `from`; `None`: for ever. Turns after `horizon` do not
    /// matter to the caller: beyond it any later bound will do.
    fn bound(&mut self, node: &Node, truth: bool, from: Timestamp, horizon: Timestamp) -> Option<Bound> {
        match node {
            Node::Leaf(leaf) => self.leaf_bound(leaf, truth, from, horizon),
            Node::Not(part) => self.bound(part, !truth, from, horizon),
            Node::Named(_, inner) => self.bound(inner, truth, from, horizon),
            Node::All(parts) if truth => self.first_of(parts, true, from, horizon),
            Node::Any(parts) if !truth => self.first_of(parts, false, from, horizon),
            Node::All(parts) => self.last_of(parts, false, from, horizon),
            Node::Any(parts) => self.last_of(parts, true, from, horizon),
        }
    }

    /// All parts have `truth`, and the first to turn turns the whole.
    fn first_of(&mut self, parts: &[Node], truth: bool, from: Timestamp, horizon: Timestamp) -> Option<Bound> {
        let mut first: Option<Bound> = None;
        for part in parts {
            let until = first.map_or(horizon, |first| first.at.min(horizon));
            if let Some(bound) = self.bound(part, truth, from, until) {
                let sooner = first.is_none_or(|first| (bound.at, !bound.exact) < (first.at, !first.exact));
                first = if sooner { Some(bound) } else { first };
            }
        }
        first
    }

    /// Every part that has `truth` holds the whole where it is, so the last of them to turn is the bound.
    fn last_of(&mut self, parts: &[Node], truth: bool, from: Timestamp, horizon: Timestamp) -> Option<Bound> {
        let mut last: Option<Bound> = None;
        let mut holders = 0;
        for part in parts {
            if part.holds(self.person, from) != truth {
                continue;
            }
            let bound = self.bound(part, truth, from, horizon)?;
            holders += 1;
            last = Some(last.map_or(bound, |last| if bound.at > last.at { bound } else { last }));
            if bound.at > horizon {
                break;
            }
        }
        // With one part alone its turn is the turn of the whole; otherwise others may have turned back by then.
        last.map(|last| Bound {
            exact: last.exact && holders == 1 && parts.len() == 1,
            ..last
        })
    }

    fn leaf_bound(&mut self, leaf: &Leaf, truth: bool, from: Timestamp, horizon: Timestamp) -> Option<Bound> {
        let mut at = leaf.next_change(self.person, from)?;
        loop {
            if self.steps_left == 0 || at > horizon {
                return Some(Bound { at, exact: false });
            }
            self.steps_left -= 1;
            if leaf.holds(self.person, at) != truth {
                return Some(Bound { at, exact: true });
            }
            at = leaf.next_change(self.person, at)?;
        }
    }
}
