//! The fold of what events say of an account: the traits of its `group` calls, kept as a person's are (contract PRO-3).
//!
//! It is a function of the set of the events that name the account, whoever they belong to, so who is who never changes
//! it. Who belongs to an account is the pipeline's to say.

use crate::PartError;
use crate::codec::{Reader, put_text, put_u64};
use crate::span::Span;
use crate::traits::{Resolved, Survivorship, TraitRules, TraitSet};
use kith_types::{Event, EventType, Timestamp, Value};

/// The first byte of an encoded account.
pub const ACCOUNT_VERSION: u8 = 1;

/// The folded events that name one account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountFold {
    group_id: Box<str>,
    span: Span,
    traits: TraitSet,
}

impl AccountFold {
    /// The fold of no event.
    #[must_use]
    pub fn new(group_id: &str) -> Self {
        Self {
            group_id: group_id.into(),
            span: Span::default(),
            traits: TraitSet::default(),
        }
    }

    /// Folds an event in that names the account; each event once. Only a `group` call speaks of the account's traits:
    /// those of an `identify` that names it are the person's.
    pub fn apply(&mut self, event: &Event) {
        self.span.take(event.event_time);
        if event.event_type == EventType::Group {
            self.traits.take(event);
        }
    }

    /// Takes in the fold of other events that name the same account; no event may be in both.
    pub fn merge_from(&mut self, other: &Self) {
        self.span.merge(&other.span);
        self.traits.merge(&other.traits);
    }

    /// The account's id.
    #[must_use]
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// How many events name it.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.span.count()
    }

    /// The earliest event time; `None` of no event.
    #[must_use]
    pub fn first_seen(&self) -> Option<Timestamp> {
        self.span.first()
    }

    /// The latest event time; `None` of no event.
    #[must_use]
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.span.last()
    }

    /// All traits that have a value, sorted by name, each under its own rule.
    pub fn resolved_traits<'a>(&'a self, rules: &'a TraitRules) -> impl Iterator<Item = (&'a str, Resolved<'a>)> {
        self.traits
            .names()
            .filter_map(|name| Some((name, self.traits.resolve(name, rules.of(name))?)))
    }

    /// The value that survives for a name, as conditions see it: a name with dots that is no trait itself enters the trait
    /// that its first step names.
    #[must_use]
    pub fn trait_value(&self, name: &str, rules: &TraitRules) -> Option<&Value> {
        self.traits.value(name, rules)
    }

    /// Whether a limit may have made that value, or that there is none, other than exact.
    #[must_use]
    pub fn trait_approximate(&self, name: &str, rules: &TraitRules) -> bool {
        self.traits.is_approximate(name, rules)
    }

    /// What survives of a trait under a rule; `None` when nobody said anything that the rule can take.
    #[must_use]
    pub fn resolve_trait(&self, name: &str, rule: &Survivorship) -> Option<Resolved<'_>> {
        self.traits.resolve(name, rule)
    }

    /// About how many bytes of memory it takes, for the sizing of caches.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.group_id.len() + self.traits.heap_bytes()
    }

    /// Whether a trait was left out because there were too many or its name was too long.
    #[must_use]
    pub fn traits_limited(&self) -> bool {
        self.traits.is_limited()
    }

    /// Its bytes. Equal folds have equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.push(ACCOUNT_VERSION);
        put_text(&mut out, &self.group_id);
        put_u64(&mut out, self.span.count());
        self.span.encode_ends(&mut out);
        self.traits.encode(&mut out);
        out
    }

    /// The fold that [`AccountFold::encode`] wrote.
    ///
    /// # Errors
    /// [`PartError::UnknownVersion`] for bytes of a later version, [`PartError::Damaged`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, PartError> {
        let reader = &mut Reader::new(bytes);
        let version = reader.byte()?;
        if version != ACCOUNT_VERSION {
            return Err(PartError::UnknownVersion(version));
        }
        let group_id = reader.text()?.into();
        let count = reader.u64()?;
        let fold = Self {
            group_id,
            span: Span::decode_ends(count, reader)?,
            traits: TraitSet::decode(reader)?,
        };
        reader.finish()?;
        Ok(fold)
    }
}

#[cfg(test)]
mod tests;
