//! A folded person as the segment language sees one.

use crate::account_facts::AccountsOf;
use kith_expr::{AggregateId, PersonView};
use kith_profile::PartView;
use kith_segment::{Account, Person};
use kith_types::{ProfileId, Timestamp, Value};
use std::borrow::Cow;

/// The view of a fold; it adds consent and who it is, which only segments ask for.
pub(crate) struct PersonOf<'a> {
    pub(crate) id: ProfileId,
    pub(crate) view: PartView<'a>,
    /// The hashes of the identifiers that make the person up.
    pub(crate) carriers: &'a [u128],
    pub(crate) accounts: AccountsOf<'a>,
    /// Whether a limit has left identifiers out; for answers that say how sure they are.
    pub(crate) identity_limited: bool,
}

impl PersonView for PersonOf<'_> {
    fn trait_value(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.view.trait_value(name)
    }

    fn aggregate(&self, id: AggregateId, now: Timestamp) -> Value {
        self.view.aggregate(id, now)
    }

    fn aggregate_next_change(&self, id: AggregateId, after: Timestamp) -> Option<Timestamp> {
        self.view.aggregate_next_change(id, after)
    }

    fn approximate(&self, id: AggregateId, now: Timestamp) -> bool {
        self.view.approximate(id, now)
    }

    fn trait_approximate(&self, name: &str) -> bool {
        self.view.trait_approximate(name)
    }
}

impl Person for PersonOf<'_> {
    fn consent(&self, category: &str) -> Option<bool> {
        self.view.consent(category)
    }

    fn consent_approximate(&self, category: &str) -> bool {
        self.view.consent_approximate(category)
    }

    fn identifiers_limited(&self) -> bool {
        self.identity_limited
    }

    fn profile_id(&self) -> ProfileId {
        self.id
    }

    fn any_identifier(&self, wanted: &dyn Fn(u128) -> bool) -> bool {
        self.carriers.iter().any(|carrier| wanted(*carrier))
    }

    fn any_account(&self, wanted: &mut dyn FnMut(&dyn Account) -> bool) -> bool {
        self.accounts.any(wanted)
    }
}
