//! Conditions on an account that a person belongs to: a tree of tests on the traits of one and the same account.
//!
//! A person meets one when any of their accounts does. It looks at an [`Account`], which the pipeline implements over the
//! folds of accounts; who belongs to which is the [`crate::Person`]'s to say. It never looks at a person.

use crate::english::test_phrase;
use kith_expr::ValueTest;
use kith_types::{Timestamp, Value};

/// An account, as a condition sees it.
pub trait Account {
    /// Its id (`groupId`).
    fn id(&self) -> &str;

    /// The value that survives for a trait; `None` when nobody said one.
    fn trait_value(&self, name: &str) -> Option<&Value>;

    /// Whether a stated limit may have made that value, or that there is none, other than exact.
    fn trait_approximate(&self, name: &str) -> bool;
}

/// A condition on one account at an instant. It is either true or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountCondition {
    /// Every one holds.
    All(Vec<AccountCondition>),
    /// At least one holds.
    Any(Vec<AccountCondition>),
    /// The opposite.
    Not(Box<AccountCondition>),
    /// A trait of the account passes a test.
    Trait {
        /// The trait's name.
        name: Box<str>,
        /// What is asked of its value.
        test: ValueTest,
    },
}

impl AccountCondition {
    /// Whether the account meets it at `now`.
    #[must_use]
    pub fn holds(&self, account: &dyn Account, now: Timestamp) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(account, now)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(account, now)),
            Self::Not(part) => !part.holds(account, now),
            Self::Trait { name, test } => test.test(account.trait_value(name), now),
        }
    }

    /// The next instant, strictly after `after`, at which an answer may turn with nothing said of the account.
    pub(crate) fn next_change(&self, account: &dyn Account, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().filter_map(|part| part.next_change(account, after)).min()
            }
            Self::Not(part) => part.next_change(account, after),
            Self::Trait { name, test } => test.next_change(account.trait_value(name), after),
        }
    }

    /// Whether a limit of the account may have made what it asks for other than exact.
    pub(crate) fn is_approximate(&self, account: &dyn Account) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.is_approximate(account)),
            Self::Not(part) => part.is_approximate(account),
            Self::Trait { name, .. } => account.trait_approximate(name),
        }
    }

    /// Whether an answer may turn as time passes.
    pub(crate) fn is_clock_relative(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::is_clock_relative),
            Self::Not(part) => part.is_clock_relative(),
            Self::Trait { test, .. } => test.is_clock_relative(),
        }
    }

    /// Gathers the names of the traits that it asks for.
    pub(crate) fn traits(&self, names: &mut Vec<Box<str>>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.traits(names)),
            Self::Not(part) => part.traits(names),
            Self::Trait { name, .. } => names.push(name.clone()),
        }
    }

    /// `of one of their accounts plan is "pro" and seats is more than 50`
    pub(crate) fn phrase(&self) -> String {
        format!("of one of their accounts {}", self.inner_phrase(false))
    }

    fn inner_phrase(&self, inside: bool) -> String {
        let joined = |parts: &[Self], word: &str| {
            let several = parts.len() > 1;
            let text: Vec<String> = parts.iter().map(|part| part.inner_phrase(several)).collect();
            let text = text.join(word);
            if inside && several { format!("({text})") } else { text }
        };
        match self {
            Self::All(parts) => joined(parts, " and "),
            Self::Any(parts) => joined(parts, " or "),
            Self::Not(part) => format!("not ({})", part.inner_phrase(false)),
            Self::Trait { name, test } => test_phrase(name, test),
        }
    }
}
