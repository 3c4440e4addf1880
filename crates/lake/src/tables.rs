//! The tables of the platform: the clean zone and the curated zone.
//!
//! [`crate::rows`] builds their rows. Personal columns, and those that hold whatever a client says of somebody, are
//! classified: no statistics of them are recorded. The names of events, locales and libraries say what happened and not to
//! whom, and what is recorded of them spares queries files. Ids are given by position, so a new column goes to the end of
//! its table.

use crate::spec::ColumnType::{Flag, Int, Json, Long, Text, Time};
use crate::spec::{Buckets, Column, ColumnType, TableSpec};
use std::sync::LazyLock;

/// How many buckets the current tables of the curated zone have, by profile id.
pub const PROFILE_BUCKETS: u32 = 16;

const BY_PROFILE: Option<Buckets> = Some(Buckets {
    column: "profile_id",
    count: PROFILE_BUCKETS,
});

/// How many buckets the table of accounts has, by account id.
pub const ACCOUNT_BUCKETS: u32 = 16;

const BY_ACCOUNT: Option<Buckets> = Some(Buckets {
    column: "group_id",
    count: ACCOUNT_BUCKETS,
});

fn required(name: &'static str, column_type: ColumnType) -> Column {
    Column {
        id: 0,
        name,
        column_type,
        required: true,
        classified: false,
        distinct: false,
    }
}

fn optional(name: &'static str, column_type: ColumnType) -> Column {
    Column {
        required: false,
        ..required(name, column_type)
    }
}

fn personal(name: &'static str, column_type: ColumnType) -> Column {
    Column {
        classified: true,
        ..optional(name, column_type)
    }
}

/// A column that nearly every row has another value of.
fn distinct(mut column: Column) -> Column {
    column.distinct = true;
    column
}

static CLEAN_EVENTS: LazyLock<TableSpec> = LazyLock::new(|| {
    let columns = vec![
        distinct(required("event_key", Text)),
        distinct(personal("message_id", Text)),
        required("event_type", Text),
        required("event", Text),
        required("source", Text),
        personal("user_id", Text),
        personal("anonymous_id", Text),
        personal("group_id", Text),
        distinct(required("event_time", Time)),
        required("received_at", Time),
        optional("time_note", Text),
        required("origin", Text),
        required("generation", Int),
        required("partition_no", Int),
        required("sequence", Long),
        required("event_index", Long),
        personal("page_url", Text),
        personal("page_path", Text),
        personal("page_title", Text),
        personal("referrer", Text),
        personal("campaign_source", Text),
        personal("campaign_medium", Text),
        personal("campaign_name", Text),
        optional("library_name", Text),
        optional("library_version", Text),
        personal("user_agent", Text),
        optional("locale", Text),
        personal("ip", Text),
        personal("identifiers", Json),
        personal("properties", Json),
        personal("traits", Json),
        personal("context", Json),
    ];
    TableSpec::new("clean", "events", columns, None)
});

static CLEAN_REJECTS: LazyLock<TableSpec> = LazyLock::new(|| {
    let columns = vec![
        required("generation", Int),
        required("partition_no", Int),
        required("sequence", Long),
        required("event_index", Long),
        required("received_at", Time),
        required("source", Text),
        required("code", Text),
        personal("message", Text),
        personal("path", Text),
        personal("original", Text),
    ];
    TableSpec::new("clean", "rejects", columns, None)
});

static CURATED_PROFILES: LazyLock<TableSpec> = LazyLock::new(|| {
    let columns = vec![
        required("profile_id", Text),
        optional("first_seen", Time),
        optional("last_seen", Time),
        required("event_count", Long),
        personal("traits", Json),
        personal("computed", Json),
        personal("segments", Json),
        personal("identifiers", Json),
        personal("consents", Json),
        required("updated_at", Time),
        personal("limits_reached", Json),
    ];
    TableSpec::new("curated", "profiles", columns, BY_PROFILE)
});

static CURATED_IDENTIFIERS: LazyLock<TableSpec> = LazyLock::new(|| {
    let columns = vec![
        required("type", Text),
        Column {
            required: true,
            ..personal("value", Text)
        },
        required("profile_id", Text),
        optional("first_seen", Time),
        optional("last_seen", Time),
        optional("valid_from", Time),
        optional("valid_to", Time),
    ];
    TableSpec::new("curated", "identifiers", columns, BY_PROFILE)
});

static CURATED_MEMBERSHIPS: LazyLock<TableSpec> = LazyLock::new(|| {
    let columns = vec![
        required("segment", Text),
        required("profile_id", Text),
        required("entered_at", Time),
        required("cause", Text),
        optional("approximate", Flag),
    ];
    TableSpec::new("curated", "memberships", columns, BY_PROFILE)
});

static CURATED_ACCOUNTS: LazyLock<TableSpec> = LazyLock::new(|| {
    let columns = vec![
        Column {
            required: true,
            ..personal("group_id", Text)
        },
        optional("first_seen", Time),
        optional("last_seen", Time),
        required("event_count", Long),
        required("members", Long),
        personal("traits", Json),
        required("updated_at", Time),
        personal("limits_reached", Json),
    ];
    TableSpec::new("curated", "accounts", columns, BY_ACCOUNT)
});

static CURATED_ACCOUNT_MEMBERS: LazyLock<TableSpec> = LazyLock::new(|| {
    let columns = vec![
        Column {
            required: true,
            ..personal("group_id", Text)
        },
        required("profile_id", Text),
        required("since", Time),
        required("source", Text),
    ];
    TableSpec::new("curated", "account_members", columns, BY_PROFILE)
});

static CURATED_MEMBERSHIP_CHANGES: LazyLock<TableSpec> = LazyLock::new(|| {
    let columns = vec![
        required("segment", Text),
        required("profile_id", Text),
        required("change", Text),
        required("at", Time),
        required("cause", Text),
        optional("event_key", Text),
        required("sequence", Long),
        optional("approximate", Flag),
    ];
    TableSpec::new("curated", "membership_changes", columns, None)
});

/// `clean.events`: each event once, with typed common columns and the rest as JSON text.
#[must_use]
pub fn clean_events() -> &'static TableSpec {
    &CLEAN_EVENTS
}

/// `clean.rejects`: what could not be taken, and why (contract CLN-4).
#[must_use]
pub fn clean_rejects() -> &'static TableSpec {
    &CLEAN_REJECTS
}

/// `curated.profiles`: everybody as of the last rewrite; by bucket of profile id.
#[must_use]
pub fn curated_profiles() -> &'static TableSpec {
    &CURATED_PROFILES
}

/// `curated.identifiers`: which profile holds which identifier, and when; by bucket of profile id.
#[must_use]
pub fn curated_identifiers() -> &'static TableSpec {
    &CURATED_IDENTIFIERS
}

/// `curated.memberships`: who is in which segment as of the last rewrite; by bucket of profile id.
#[must_use]
pub fn curated_memberships() -> &'static TableSpec {
    &CURATED_MEMBERSHIPS
}

/// `curated.accounts`: every account that an event names, as of the last rewrite; by bucket of account id.
#[must_use]
pub fn curated_accounts() -> &'static TableSpec {
    &CURATED_ACCOUNTS
}

/// `curated.account_members`: who belongs to which account as of the last rewrite; by bucket of profile id.
#[must_use]
pub fn curated_account_members() -> &'static TableSpec {
    &CURATED_ACCOUNT_MEMBERS
}

/// `curated.membership_changes`: every entry and exit; appended to.
#[must_use]
pub fn curated_membership_changes() -> &'static TableSpec {
    &CURATED_MEMBERSHIP_CHANGES
}

/// All of them.
#[must_use]
pub fn all() -> [&'static TableSpec; 8] {
    [
        clean_events(),
        clean_rejects(),
        curated_profiles(),
        curated_identifiers(),
        curated_memberships(),
        curated_accounts(),
        curated_account_members(),
        curated_membership_changes(),
    ]
}
