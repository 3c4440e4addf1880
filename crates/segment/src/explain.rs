//! Why a person is, or is not, in a segment at an instant: the truth of every condition (contract SEG-6).
//!
//! It asks the same nodes as the evaluator, every one of them and in the order of the document. It names what a leaf asks
//! for, so that the caller can say which events are behind it ([`Behind`]); it never reads events itself.

use crate::behind::{Asks, Behind};
use crate::english::{
    bucket_phrase, bucket_share, consent_phrase, count_phrase, expectation_phrase, listed_phrase, test_phrase,
};
use crate::evaluate::{Leaf, Node};
use crate::{Account, AccountCondition, CompiledSegment, Consent, Person};
use kith_expr::json_of_value;
use kith_types::{SegmentName, Timestamp, Value};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// Why a person is, or is not, in a segment at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The segment.
    pub segment: SegmentName,
    /// The instant asked about.
    pub at: Timestamp,
    /// Whether they are a member at that instant.
    pub member: bool,
    /// The earliest instant after it at which time alone may change that.
    pub next_transition: Option<Timestamp>,
    /// The whole condition and, below it, its parts.
    pub reason: Reason,
}

/// One condition, its truth and what it was judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The condition in plain English.
    pub condition: String,
    /// Whether it holds.
    pub holds: bool,
    /// What must be found, for a condition on a value.
    pub expected: Option<String>,
    /// What was found there; `null` where nothing is known.
    pub actual: Option<Value>,
    /// What it asks of the person, for a condition on a value.
    pub asks: Option<Asks>,
    /// The events behind what was found, where they were looked up.
    pub behind: Option<Behind>,
    /// Whether a limit of the profile may have made what was found, here or below, other than exact.
    pub approximate: bool,
    /// The conditions it is made of, in the order of the document.
    pub parts: Vec<Reason>,
}

/// Accounts of a person that one explanation looks into.
pub const ACCOUNTS_TOLD_MAX: usize = 10;

impl CompiledSegment {
    /// Why the person is, or is not, a member at `now`.
    #[must_use]
    pub fn explain(&self, person: &dyn Person, now: Timestamp) -> Explanation {
        let evaluation = self.evaluate(person, now);
        Explanation {
            segment: self.name().clone(),
            at: now,
            member: evaluation.member,
            next_transition: evaluation.next_transition,
            reason: self.explained.reason(person, now),
        }
    }
}

impl Explanation {
    /// The explanation as a JSON object, for the API and the command line.
    #[must_use]
    pub fn to_document(&self) -> Json {
        json!({
            "segment": self.segment.as_str(),
            "at": self.at.to_string(),
            "member": self.member,
            "next_transition": self.next_transition.map(|at| at.to_string()),
            "reason": self.reason.to_document(),
        })
    }
}

impl Reason {
    /// A truth without words.
    fn found(holds: bool) -> Self {
        Self {
            condition: String::new(),
            holds,
            expected: None,
            actual: None,
            asks: None,
            behind: None,
            approximate: false,
            parts: Vec::new(),
        }
    }

    fn to_document(&self) -> Json {
        let mut fields = Map::new();
        let mut put = |key: &str, json: Json| fields.insert(key.to_owned(), json);
        put("condition", Json::from(self.condition.as_str()));
        put("holds", Json::from(self.holds));
        if let Some(expected) = &self.expected {
            put("expected", Json::from(expected.as_str()));
        }
        if let Some(actual) = &self.actual {
            put("actual", json_of_value(actual));
        }
        if let Some(Asks::Aggregate(aggregate)) = self.asks {
            put("aggregate", Json::from(aggregate.to_string()));
        }
        if self.approximate {
            put("approximate", Json::from(true));
        }
        if let Some(behind) = &self.behind {
            behind.write(&mut fields);
        }
        if !self.parts.is_empty() {
            fields.insert("parts".to_owned(), self.parts.iter().map(Self::to_document).collect());
        }
        Json::Object(fields)
    }
}

impl Node {
    fn reason(&self, person: &dyn Person, now: Timestamp) -> Reason {
        let combined = |condition: String, parts: &[Self]| {
            let parts: Vec<Reason> = parts.iter().map(|part| part.reason(person, now)).collect();
            let holds = match self {
                Self::Any(_) => parts.iter().any(|part| part.holds),
                Self::Not(_) => !parts.iter().all(|part| part.holds),
                _ => parts.iter().all(|part| part.holds),
            };
            let approximate = parts.iter().any(|part| part.approximate);
            Reason {
                condition,
                holds,
                expected: None,
                actual: None,
                asks: None,
                behind: None,
                approximate,
                parts,
            }
        };
        match self {
            Self::All(parts) => combined("all of these are so".to_owned(), parts),
            Self::Any(parts) => combined("at least one of these is so".to_owned(), parts),
            Self::Not(part) => combined("this is not so".to_owned(), std::slice::from_ref(part)),
            Self::Named(phrase, inner) => combined(phrase.to_string(), std::slice::from_ref(inner)),
            Self::Leaf(leaf) => leaf.reason(person, now),
        }
    }
}

impl Leaf {
    fn reason(&self, person: &dyn Person, now: Timestamp) -> Reason {
        let mut parts = Vec::new();
        let (condition, expected, actual, asks) = match self {
            Self::Bucket(bucket) => {
                let actual = Value::Number(bucket.place_of(person.profile_id()));
                (bucket_phrase(bucket), bucket_share(bucket), actual, Asks::Bucket)
            }
            Self::Listed(hashes) => {
                let listed = person.any_identifier(&|hash| hashes.binary_search(&hash).is_ok());
                (
                    listed_phrase(hashes.len()),
                    "on the list".to_owned(),
                    Value::from(listed),
                    Asks::Listed(Arc::clone(hashes)),
                )
            }
            Self::Count { id, count, phrase } => (
                phrase.to_string(),
                count_phrase(*count),
                person.aggregate(*id, now),
                Asks::Aggregate(*id),
            ),
            Self::Aggregate { id, name, test } => {
                let condition = test_phrase(&format!("computed trait {name}"), test);
                (
                    condition,
                    expectation_phrase(test),
                    person.aggregate(*id, now),
                    Asks::Aggregate(*id),
                )
            }
            Self::Trait { name, test } => {
                let actual = person.trait_value(name).map_or(Value::Null, |value| value.into_owned());
                (
                    test_phrase(name, test),
                    expectation_phrase(test),
                    actual,
                    Asks::Trait(name.clone()),
                )
            }
            Self::Account { id, condition } => {
                let (actual, reasons) = accounts(person, condition, now);
                parts = reasons;
                let expected = "an account that meets it".to_owned();
                (condition.phrase(), expected, actual, Asks::Aggregate(*id))
            }
            Self::Consent { category, answer } => {
                let actual = Value::from(Consent::of(person.consent(category)).as_str());
                (
                    consent_phrase(category, *answer),
                    answer.as_str().to_owned(),
                    actual,
                    Asks::Consent(category.clone()),
                )
            }
        };
        Reason {
            condition,
            holds: self.holds(person, now),
            expected: Some(expected),
            actual: Some(actual),
            approximate: self.is_approximate(person, now),
            asks: Some(asks),
            behind: None,
            parts,
        }
    }
}

/// The ids of the accounts that meet the condition, and why each does or does not: those that do first. At most
/// [`ACCOUNTS_TOLD_MAX`] of each.
fn accounts(person: &dyn Person, condition: &AccountCondition, now: Timestamp) -> (Value, Vec<Reason>) {
    let (mut meeting, mut others) = (Vec::new(), Vec::new());
    let mut ids = Vec::new();
    person.any_account(&mut |account| {
        let holds = condition.holds(account, now);
        if holds && ids.len() < ACCOUNTS_TOLD_MAX {
            ids.push(Value::from(account.id()));
        }
        let told = if holds { &mut meeting } else { &mut others };
        if told.len() < ACCOUNTS_TOLD_MAX {
            told.push(Reason {
                condition: format!("account {}", account.id()),
                approximate: condition.is_approximate(account),
                parts: vec![condition.reason(account, now)],
                ..Reason::found(holds)
            });
        }
        false
    });
    meeting.append(&mut others);
    meeting.truncate(ACCOUNTS_TOLD_MAX);
    (Value::Array(ids), meeting)
}

impl AccountCondition {
    fn reason(&self, account: &dyn Account, now: Timestamp) -> Reason {
        let (condition, parts) = match self {
            Self::All(parts) => ("all of these are so", parts.as_slice()),
            Self::Any(parts) => ("at least one of these is so", parts.as_slice()),
            Self::Not(part) => ("this is not so", std::slice::from_ref(&**part)),
            Self::Trait { name, test } => {
                return Reason {
                    condition: test_phrase(name, test),
                    expected: Some(expectation_phrase(test)),
                    actual: Some(account.trait_value(name).cloned().unwrap_or_default()),
                    asks: Some(Asks::AccountTrait {
                        account: account.id().into(),
                        name: name.clone(),
                    }),
                    approximate: self.is_approximate(account),
                    ..Reason::found(self.holds(account, now))
                };
            }
        };
        Reason {
            condition: condition.to_owned(),
            approximate: self.is_approximate(account),
            parts: parts.iter().map(|part| part.reason(account, now)).collect(),
            ..Reason::found(self.holds(account, now))
        }
    }
}
