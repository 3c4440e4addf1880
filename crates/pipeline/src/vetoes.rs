//! Vetoes as decisions: what operators say about evidence, as the log and the state hold it (contract IDN-6).
//!
//! A decision adds and removes; the set in force is kept with the definitions, so a restart, a replay and a change of
//! rules apply the same ones. What a set means is for `kith-identity`.

use crate::PipelineError;
use kith_identity::{Rules, Vetoes};
use kith_types::{Address, Identifier};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The kind of decision that adds and removes vetoes.
pub const IDENTITY_VETOED: &str = "identity.vetoed";

/// The version of the decision's document.
const FORMAT: u32 = 1;

/// Vetoes in force in a space, at most.
pub const MAX_VETOES: usize = 10_000;

/// What an operator says about evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Veto {
    /// The event at this address does not link this identifier.
    Event {
        /// The event.
        event: Address,
        /// The identifier.
        identifier: Identifier,
    },
    /// These two, the smaller first, are not one person.
    Pair {
        /// One.
        one: Identifier,
        /// The other.
        other: Identifier,
    },
}

impl Veto {
    /// A pair in its one order.
    #[must_use]
    pub fn pair(one: Identifier, other: Identifier) -> Self {
        let (one, other) = if one <= other { (one, other) } else { (other, one) };
        Self::Pair { one, other }
    }

    /// The same with its identifiers as these rules spell them; what they cannot spell stays.
    #[must_use]
    pub fn spelt(&self, rules: &Rules) -> Self {
        let spell = |sent: &Identifier| rules.spell(sent).unwrap_or_else(|| sent.clone());
        match self {
            Self::Event { event, identifier } => Self::Event {
                event: *event,
                identifier: spell(identifier),
            },
            Self::Pair { one, other } => Self::pair(spell(one), spell(other)),
        }
    }

    /// The identifiers it is about.
    #[must_use]
    pub fn identifiers(&self) -> Vec<&Identifier> {
        match self {
            Self::Event { identifier, .. } => vec![identifier],
            Self::Pair { one, other } => vec![one, other],
        }
    }
}

/// A veto in JSON: `{"event": "1-0-42-0", "identifier": "email:jo@x.org"}` or `{"one": "user_id:a", "other": "user_id:b"}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Event { event: String, identifier: String },
    Pair { one: String, other: String },
}

impl TryFrom<Written> for Veto {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let identifier = |text: &str| {
            Identifier::parse(text)
                .ok_or_else(|| format!("{text:?} is no identifier; write type:value, as in email:jo@x.org"))
        };
        match written {
            Written::Event {
                event,
                identifier: text,
            } => Ok(Self::Event {
                event: event.parse()?,
                identifier: identifier(&text)?,
            }),
            Written::Pair { one, other } => {
                let (one, other) = (identifier(&one)?, identifier(&other)?);
                if one == other {
                    return Err(format!("{one} cannot be held apart from itself"));
                }
                Ok(Self::pair(one, other))
            }
        }
    }
}

impl From<Veto> for Written {
    fn from(veto: Veto) -> Self {
        match veto {
            Veto::Event { event, identifier } => Self::Event {
                event: event.to_string(),
                identifier: identifier.to_string(),
            },
            Veto::Pair { one, other } => Self::Pair {
                one: one.to_string(),
                other: other.to_string(),
            },
        }
    }
}

/// What one decision changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VetoDecision {
    /// The version of this document: 1.
    pub format: u32,
    /// Who decided.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Vetoes from now on.
    #[serde(default)]
    pub added: Vec<Veto>,
    /// Vetoes that are no more.
    #[serde(default)]
    pub removed: Vec<Veto>,
}

impl VetoDecision {
    /// A decision of this version.
    #[must_use]
    pub fn new(author: &str, reason: &str, added: Vec<Veto>, removed: Vec<Veto>) -> Self {
        Self {
            format: FORMAT,
            author: author.to_owned(),
            reason: reason.to_owned(),
            added,
            removed,
        }
    }

    /// The document that the log holds.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Definition`] when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, PipelineError> {
        serde_json::to_string(self).map_err(|error| PipelineError::definition(error.to_string()))
    }

    /// Reads what [`VetoDecision::to_json`] wrote; nothing for another version.
    pub(crate) fn read(document: &str) -> Option<Self> {
        let decision: Self = serde_json::from_str(document).ok()?;
        (decision.format == FORMAT).then_some(decision)
    }

    /// The set after this decision; nothing where it would be too large.
    pub(crate) fn after(&self, before: &BTreeSet<Veto>) -> Option<BTreeSet<Veto>> {
        let mut after = before.clone();
        for veto in &self.removed {
            after.remove(veto);
        }
        after.extend(self.added.iter().cloned());
        (after.len() <= MAX_VETOES.max(before.len())).then_some(after)
    }
}

/// The set as identity applies it under these rules.
pub(crate) fn compile(set: &BTreeSet<Veto>, rules: &Rules) -> Vetoes {
    let mut vetoes = Vetoes::default();
    for veto in set {
        match veto.spelt(rules) {
            Veto::Event { event, identifier } => vetoes.insert_link(event, identifier.hash128()),
            Veto::Pair { one, other } => vetoes.insert_pair(one.hash128(), other.hash128()),
        }
    }
    vetoes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idn_6_a_decision_is_read_as_it_was_written() {
        let id = |text: &str| Identifier::parse(text).unwrap();
        let event = "1-0-42-3".parse().unwrap();
        let added = vec![
            Veto::Event {
                event,
                identifier: id("email:e@x.org"),
            },
            Veto::pair(id("user_id:u2"), id("user_id:u1")),
        ];
        let decision = VetoDecision::new("me", "wrong", added, Vec::new());
        let json = decision.to_json().unwrap();
        assert_eq!(json, GOLDEN, "the document of version 1");
        assert_eq!(VetoDecision::read(&json), Some(decision.clone()));
        assert_eq!(VetoDecision::read(&json.replace(":1,", ":2,")), None);
        for wrong in ["1-0-42", "email", "user_id:u2\",\"other\":\"user_id:u2"] {
            let one = json.replace("1-0-42-3", wrong).replace("email:e@x.org", wrong);
            assert_eq!(VetoDecision::read(&one), None, "{one}");
        }
    }

    const GOLDEN: &str = concat!(
        r#"{"format":1,"author":"me","reason":"wrong","added":[{"event":"1-0-42-3","identifier":"email:e@x.org"},"#,
        r#"{"one":"user_id:u1","other":"user_id:u2"}],"removed":[]}"#
    );
}
