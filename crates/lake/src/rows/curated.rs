//! Rows of `clean.rejects` and of the curated tables.
//!
//! The pipeline's writer fills these structures. Rows of tables that are divided into buckets must be handed in
//! bucket by bucket: [`profile_bucket`] says which is whose.

use super::columns::Columns;
use crate::error::LakeError;
use crate::spec::bucket_of;
use crate::tables;
use arrow_array::RecordBatch;
use kith_types::{Address, EventKey, Identifier, ProfileId, SegmentName, SourceName, Timestamp};
use std::sync::Arc;

/// A row of `clean.rejects`.
#[derive(Clone, Debug)]
pub struct RejectRow {
    /// Where the rejected event stands.
    pub address: Address,
    /// When its record was taken.
    pub received_at: Timestamp,
    /// The source that sent it.
    pub source: SourceName,
    /// The reason's code.
    pub code: Box<str>,
    /// The reason in words.
    pub message: Box<str>,
    /// Where in the event the cause lies, as a path of fields.
    pub path: Box<str>,
    /// The event as sent; text, or base64 where it is not UTF-8.
    pub original: Box<str>,
}

/// A row of `curated.profiles`. The JSON texts are objects, `segments` and `identifiers` lists.
#[derive(Clone, Debug)]
pub struct ProfileRow {
    /// The profile.
    pub profile_id: ProfileId,
    /// The earliest event time.
    pub first_seen: Option<Timestamp>,
    /// The latest event time.
    pub last_seen: Option<Timestamp>,
    /// How many events it has.
    pub event_count: u64,
    /// JSON object of the traits.
    pub traits: String,
    /// JSON object of the computed traits.
    pub computed: String,
    /// JSON list of the names of its segments.
    pub segments: String,
    /// JSON list of `{"type", "value"}`.
    pub identifiers: String,
    /// JSON object of the consents.
    pub consents: String,
    /// The instant as of which the row holds.
    pub updated_at: Timestamp,
    /// JSON list of what a limit has made approximate (contract PRO-5).
    pub limits_reached: String,
}

/// A row of `curated.identifiers`.
#[derive(Clone, Debug)]
pub struct IdentifierRow {
    /// Type and normalised value.
    pub identifier: Identifier,
    /// Who holds it.
    pub profile_id: ProfileId,
    /// When it was first seen.
    pub first_seen: Option<Timestamp>,
    /// When it was last seen.
    pub last_seen: Option<Timestamp>,
    /// The start of the interval for which it is held (contract IDN-9); none: from the beginning.
    pub valid_from: Option<Timestamp>,
    /// The end of that interval, exclusive; none: still held.
    pub valid_to: Option<Timestamp>,
}

/// A row of `curated.memberships`.
#[derive(Clone, Debug)]
pub struct MembershipRow {
    /// The segment.
    pub segment: SegmentName,
    /// Who is in it.
    pub profile_id: ProfileId,
    /// Since when.
    pub entered_at: Timestamp,
    /// Why (contract SEG-5): `event`, `clock`, `definition`, `import`, `regrouping`.
    pub cause: Arc<str>,
    /// Whether a limit may have made it other than exact (contract PRO-5).
    pub approximate: bool,
}

/// A row of `curated.accounts`.
#[derive(Clone, Debug)]
pub struct AccountRow {
    /// The account's id, as events send it.
    pub group_id: Box<str>,
    /// The earliest event that names it.
    pub first_seen: Option<Timestamp>,
    /// The latest.
    pub last_seen: Option<Timestamp>,
    /// How many name it.
    pub event_count: u64,
    /// How many people belong to it.
    pub members: u64,
    /// JSON object of the traits.
    pub traits: String,
    /// The instant as of which the row holds.
    pub updated_at: Timestamp,
    /// JSON list of what a limit has made approximate (contract PRO-5).
    pub limits_reached: String,
}

/// A row of `curated.account_members`.
#[derive(Clone, Debug)]
pub struct AccountMemberRow {
    /// The account.
    pub group_id: Box<str>,
    /// Who belongs to it.
    pub profile_id: ProfileId,
    /// The time of the earliest event that says so.
    pub since: Timestamp,
    /// Its source.
    pub source: SourceName,
}

/// A row of `curated.membership_changes`.
#[derive(Clone, Debug)]
pub struct MembershipChangeRow {
    /// The segment.
    pub segment: SegmentName,
    /// Who entered or exited.
    pub profile_id: ProfileId,
    /// True for an entry, false for an exit.
    pub entered: bool,
    /// When it took effect.
    pub at: Timestamp,
    /// Why (contract SEG-5).
    pub cause: Arc<str>,
    /// The event that caused it, if one did.
    pub event_key: Option<EventKey>,
    /// The change's own number, ascending.
    pub sequence: u64,
    /// Whether a limit may have made it other than exact (contract PRO-5).
    pub approximate: bool,
}

/// The bucket of a profile's rows in the tables that are divided by profile.
#[must_use]
pub fn profile_bucket(profile_id: ProfileId) -> u32 {
    bucket_of(&profile_id.to_string(), tables::PROFILE_BUCKETS)
}

/// A batch of `clean.rejects`.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the batch would exceed what Arrow holds (2 GiB of text in a column).
pub fn rejects(rows: &[RejectRow]) -> Result<RecordBatch, LakeError> {
    let mut columns = Columns::default();
    columns.int(rows.iter().map(|row| i32::from(row.address.generation)));
    columns.int(rows.iter().map(|row| i32::from(row.address.partition)));
    columns.long(rows.iter().map(|row| row.address.sequence));
    columns.long(rows.iter().map(|row| u64::from(row.address.index)));
    columns.time(rows.iter().map(|row| row.received_at));
    columns.text(rows.iter().map(|row| row.source.as_str()));
    columns.text(rows.iter().map(|row| &*row.code));
    columns.text(rows.iter().map(|row| &*row.message));
    columns.text(rows.iter().map(|row| &*row.path));
    columns.text(rows.iter().map(|row| &*row.original));
    columns.finish(tables::clean_rejects())
}

/// A batch of `curated.profiles`; all rows of one bucket.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the batch would exceed what Arrow holds.
pub fn profiles(rows: &[ProfileRow]) -> Result<RecordBatch, LakeError> {
    let ids: Vec<String> = rows.iter().map(|row| row.profile_id.to_string()).collect();
    let mut columns = Columns::default();
    columns.text(ids.iter().map(String::as_str));
    columns.optional_time(rows.iter().map(|row| row.first_seen));
    columns.optional_time(rows.iter().map(|row| row.last_seen));
    columns.long(rows.iter().map(|row| row.event_count));
    columns.text(rows.iter().map(|row| row.traits.as_str()));
    columns.text(rows.iter().map(|row| row.computed.as_str()));
    columns.text(rows.iter().map(|row| row.segments.as_str()));
    columns.text(rows.iter().map(|row| row.identifiers.as_str()));
    columns.text(rows.iter().map(|row| row.consents.as_str()));
    columns.time(rows.iter().map(|row| row.updated_at));
    columns.text(rows.iter().map(|row| row.limits_reached.as_str()));
    columns.finish(tables::curated_profiles())
}

/// A batch of `curated.identifiers`; all rows of one bucket.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the batch would exceed what Arrow holds.
pub fn identifiers(rows: &[IdentifierRow]) -> Result<RecordBatch, LakeError> {
    let ids: Vec<String> = rows.iter().map(|row| row.profile_id.to_string()).collect();
    let mut columns = Columns::default();
    columns.text(rows.iter().map(|row| row.identifier.kind.as_str()));
    columns.text(rows.iter().map(|row| &*row.identifier.value));
    columns.text(ids.iter().map(String::as_str));
    columns.optional_time(rows.iter().map(|row| row.first_seen));
    columns.optional_time(rows.iter().map(|row| row.last_seen));
    columns.optional_time(rows.iter().map(|row| row.valid_from));
    columns.optional_time(rows.iter().map(|row| row.valid_to));
    columns.finish(tables::curated_identifiers())
}

/// A batch of `curated.memberships`; all rows of one bucket.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the batch would exceed what Arrow holds.
pub fn memberships(rows: &[MembershipRow]) -> Result<RecordBatch, LakeError> {
    let ids: Vec<String> = rows.iter().map(|row| row.profile_id.to_string()).collect();
    let mut columns = Columns::default();
    columns.text(rows.iter().map(|row| row.segment.as_str()));
    columns.text(ids.iter().map(String::as_str));
    columns.time(rows.iter().map(|row| row.entered_at));
    columns.text(rows.iter().map(|row| &*row.cause));
    columns.flag(rows.iter().map(|row| row.approximate));
    columns.finish(tables::curated_memberships())
}

/// The bucket of an account in the table of accounts.
#[must_use]
pub fn account_bucket(group_id: &str) -> u32 {
    bucket_of(group_id, tables::ACCOUNT_BUCKETS)
}

/// A batch of `curated.accounts`; all rows of one bucket.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the batch would exceed what Arrow holds.
pub fn accounts(rows: &[AccountRow]) -> Result<RecordBatch, LakeError> {
    let mut columns = Columns::default();
    columns.text(rows.iter().map(|row| &*row.group_id));
    columns.optional_time(rows.iter().map(|row| row.first_seen));
    columns.optional_time(rows.iter().map(|row| row.last_seen));
    columns.long(rows.iter().map(|row| row.event_count));
    columns.long(rows.iter().map(|row| row.members));
    columns.text(rows.iter().map(|row| row.traits.as_str()));
    columns.time(rows.iter().map(|row| row.updated_at));
    columns.text(rows.iter().map(|row| row.limits_reached.as_str()));
    columns.finish(tables::curated_accounts())
}

/// A batch of `curated.account_members`; all rows of one bucket.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the batch would exceed what Arrow holds.
pub fn account_members(rows: &[AccountMemberRow]) -> Result<RecordBatch, LakeError> {
    let ids: Vec<String> = rows.iter().map(|row| row.profile_id.to_string()).collect();
    let mut columns = Columns::default();
    columns.text(rows.iter().map(|row| &*row.group_id));
    columns.text(ids.iter().map(String::as_str));
    columns.time(rows.iter().map(|row| row.since));
    columns.text(rows.iter().map(|row| row.source.as_str()));
    columns.finish(tables::curated_account_members())
}

/// A batch of `curated.membership_changes`.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the batch would exceed what Arrow holds.
pub fn membership_changes(rows: &[MembershipChangeRow]) -> Result<RecordBatch, LakeError> {
    let ids: Vec<String> = rows.iter().map(|row| row.profile_id.to_string()).collect();
    let keys: Vec<Option<String>> = rows
        .iter()
        .map(|row| row.event_key.map(|key| format!("{:032x}", key.0)))
        .collect();
    let mut columns = Columns::default();
    columns.text(rows.iter().map(|row| row.segment.as_str()));
    columns.text(ids.iter().map(String::as_str));
    columns.text(rows.iter().map(|row| if row.entered { "entered" } else { "exited" }));
    columns.time(rows.iter().map(|row| row.at));
    columns.text(rows.iter().map(|row| &*row.cause));
    columns.optional_text(keys.iter().map(Option::as_deref));
    columns.long(rows.iter().map(|row| row.sequence));
    columns.flag(rows.iter().map(|row| row.approximate));
    columns.finish(tables::curated_membership_changes())
}
