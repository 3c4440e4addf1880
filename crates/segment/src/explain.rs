//! Why a person is, or is not, in a segment at an instant: the truth of every condition (contract SEG-6).
//!
//! It asks the same nodes as the evaluator, every one of them and in the order of the document. It names the aggregate
//! behind a count, so that the caller can show the events; it never reads events itself.

use crate::english::{
    bucket_phrase, bucket_share, consent_phrase, count_phrase, expectation_phrase, listed_phrase, test_phrase,
};
use crate::evaluate::{Leaf, Node};
use crate::{CompiledSegment, Consent, Person};
use kith_expr::{AggregateId, json_of_value};
use kith_types::{SegmentName, Timestamp, Value};
use serde_json::{Map, Value as Json, json};

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
    /// The aggregate that found it: its filter and window say which events are behind the value.
    pub aggregate: Option<AggregateId>,
    /// Whether a limit of the profile may have made what was found, here or below, other than exact.
    pub approximate: bool,
    /// The conditions it is made of, in the order of the document.
    pub parts: Vec<Reason>,
}

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
        if let Some(aggregate) = self.aggregate {
            put("aggregate", Json::from(aggregate.to_string()));
        }
        if self.approximate {
            put("approximate", Json::from(true));
        }
        if !self.parts.is_empty() {
            put("parts", self.parts.iter().map(Self::to_document).collect());
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
                aggregate: None,
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
        let (condition, expected, actual, aggregate) = match self {
            Self::Bucket(bucket) => {
                let actual = Value::Number(bucket.place_of(person.profile_id()));
                (bucket_phrase(bucket), bucket_share(bucket), actual, None)
            }
            Self::Listed(hashes) => {
                let listed = person.any_identifier(&|hash| hashes.binary_search(&hash).is_ok());
                (
                    listed_phrase(hashes.len()),
                    "on the list".to_owned(),
                    Value::from(listed),
                    None,
                )
            }
            Self::Count { id, count, phrase } => (
                phrase.to_string(),
                count_phrase(*count),
                person.aggregate(*id, now),
                Some(*id),
            ),
            Self::Aggregate { id, name, test } => {
                let condition = test_phrase(&format!("computed trait {name}"), test);
                (
                    condition,
                    expectation_phrase(test),
                    person.aggregate(*id, now),
                    Some(*id),
                )
            }
            Self::Trait { name, test } => {
                let actual = person.trait_value(name).map_or(Value::Null, |value| value.into_owned());
                (test_phrase(name, test), expectation_phrase(test), actual, None)
            }
            Self::Consent { category, answer } => {
                let actual = Value::from(Consent::of(person.consent(category)).as_str());
                (
                    consent_phrase(category, *answer),
                    answer.as_str().to_owned(),
                    actual,
                    None,
                )
            }
        };
        Reason {
            condition,
            holds: self.holds(person, now),
            expected: Some(expected),
            actual: Some(actual),
            aggregate,
            approximate: aggregate.is_some_and(|id| person.approximate(id, now)),
            parts: Vec::new(),
        }
    }
}
