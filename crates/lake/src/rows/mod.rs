//! Rows of the platform's tables as Arrow batches.
//!
//! [`events`] builds `clean.events` from events; [`curated`] the rest from row structures. JSON columns take text.
//! Nothing here does IO.

mod columns;
mod curated;
mod events;

pub use curated::{
    AccountMemberRow, AccountRow, IdentifierRow, MembershipChangeRow, MembershipRow, ProfileRow, RejectRow,
    account_bucket, account_members, accounts, identifiers, membership_changes, memberships, profile_bucket, profiles,
    rejects,
};
pub use events::{EventBatch, EventRows, events};
