//! The current tables of the curated zone, written bucket by bucket and replaced as a whole: profiles, identifiers, memberships,
//! accounts and who belongs to them.
//!
//! People and accounts are read as they were committed at one moment, one bucket of ids at a time, so memory holds all ids and
//! one bucket's rows.

use crate::PublishError;
use kith_lake::rows::{self, AccountMemberRow, AccountRow, IdentifierRow, MembershipRow, ProfileRow};
use kith_lake::{Commit, Lake, NewFile, Replace, TableSpec, tables};
use kith_pipeline::{AccountDocument, AtOneMoment, PersonDocument, Reads, TraitView};
use kith_types::{SpaceId, Timestamp};
use std::collections::BTreeMap;

/// Accounts read at once.
const ACCOUNTS_A_PAGE: usize = 1_000;

/// The rows of one bucket.
#[derive(Default)]
struct Rows {
    profiles: Vec<ProfileRow>,
    identifiers: Vec<IdentifierRow>,
    memberships: Vec<MembershipRow>,
    account_members: Vec<AccountMemberRow>,
}

/// The files that a table is to have, of all buckets.
#[derive(Default)]
struct Files {
    profiles: Vec<NewFile>,
    identifiers: Vec<NewFile>,
    memberships: Vec<NewFile>,
    account_members: Vec<NewFile>,
}

/// Rewrites the current tables of a space as of `now`; answers how many people they hold. Everybody is read at one moment and
/// each table changes in one commit, so that nobody who merges meanwhile is in a table twice, or not at all.
///
/// # Errors
/// When the state cannot be read or a table cannot be committed; the tables before it are rewritten then.
pub(crate) async fn rewrite(lake: &Lake, reads: &Reads, space: &SpaceId, now: Timestamp) -> Result<u64, PublishError> {
    let Some(state) = reads.at_one_moment(space)? else {
        return Ok(0);
    };
    let accounts = Accounts::of(&state)?;
    let mut members: BTreeMap<Box<str>, u64> = BTreeMap::new();
    let mut people = 0;
    let mut buckets = vec![Vec::new(); tables::PROFILE_BUCKETS as usize];
    for id in state.profile_ids()? {
        buckets[rows::profile_bucket(id) as usize].push(id);
    }
    let mut files = Files::default();
    for (bucket, ids) in (0..).zip(buckets) {
        let mut rows = Rows::default();
        for id in ids {
            if let Some(person) = state.person_of(id, !accounts.is_empty(), now)? {
                people += 1;
                rows.add(&person, now);
            }
        }
        for row in &rows.account_members {
            *members.entry(row.group_id.clone()).or_default() += 1;
        }
        files.write(lake, space, bucket, &rows).await?;
    }
    let of_accounts = accounts.write(lake, space, &state, (&members, now)).await?;
    drop(state);
    replace(lake, space, tables::curated_profiles(), files.profiles).await?;
    replace(lake, space, tables::curated_identifiers(), files.identifiers).await?;
    replace(lake, space, tables::curated_memberships(), files.memberships).await?;
    replace(lake, space, tables::curated_account_members(), files.account_members).await?;
    replace(lake, space, tables::curated_accounts(), of_accounts).await?;
    Ok(people)
}

/// The accounts of a space: by bucket, their keys in the state.
struct Accounts(Vec<Vec<u128>>);

impl Accounts {
    fn of(state: &AtOneMoment) -> Result<Self, PublishError> {
        let mut buckets = vec![Vec::new(); tables::ACCOUNT_BUCKETS as usize];
        let mut from = Some(0);
        while let Some(first) = from {
            let page = state.accounts(first, ACCOUNTS_A_PAGE)?;
            from = page
                .last()
                .filter(|_| page.len() == ACCOUNTS_A_PAGE)
                .and_then(|(last, _)| last.checked_add(1));
            for (account, document) in page {
                buckets[rows::account_bucket(&document.group_id) as usize].push(account);
            }
        }
        Ok(Self(buckets))
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// The files of the table of accounts; `members` says how many people each has.
    async fn write(
        self,
        lake: &Lake,
        space: &SpaceId,
        state: &AtOneMoment,
        (members, now): (&BTreeMap<Box<str>, u64>, Timestamp),
    ) -> Result<Vec<NewFile>, PublishError> {
        let mut files = Vec::new();
        for (bucket, accounts) in (0..).zip(self.0) {
            let mut found = Vec::with_capacity(accounts.len());
            for account in accounts {
                let read = state.accounts(account, 1)?.pop();
                found.extend(read.map(|(_, account)| account_row(&account, members, now)));
            }
            if found.is_empty() {
                continue;
            }
            let batch = [rows::accounts(&found).map_err(unwritten)?];
            let written = lake.write(space, tables::curated_accounts(), Some(bucket), &batch);
            files.push(written.await.map_err(unwritten)?);
        }
        Ok(files)
    }
}

fn account_row(account: &AccountDocument, members: &BTreeMap<Box<str>, u64>, now: Timestamp) -> AccountRow {
    AccountRow {
        group_id: account.group_id.as_str().into(),
        first_seen: account.first_seen,
        last_seen: account.last_seen,
        event_count: account.event_count,
        members: members.get(account.group_id.as_str()).copied().unwrap_or(0),
        traits: object_of(&account.traits),
        updated_at: now,
        limits_reached: list_of(&account.limits_reached()),
    }
}

/// Texts as a JSON list.
fn list_of(texts: &[String]) -> String {
    let texts = texts.iter().map(|text| kith_types::Value::from(text.as_str()));
    kith_types::Value::Array(texts.collect()).to_json()
}

/// Traits as a JSON object.
fn object_of(traits: &[TraitView]) -> String {
    let fields = traits
        .iter()
        .map(|view| (view.name.as_str().into(), view.value.clone()));
    kith_types::Value::Object(fields.collect()).to_json()
}

fn unwritten(error: kith_lake::LakeError) -> PublishError {
    PublishError::new("the lake could not be written", error)
}

impl Files {
    /// Writes the rows of a bucket.
    async fn write(&mut self, lake: &Lake, space: &SpaceId, bucket: u32, rows: &Rows) -> Result<(), PublishError> {
        let batches = [
            (
                tables::curated_profiles(),
                rows::profiles(&rows.profiles),
                &mut self.profiles,
            ),
            (
                tables::curated_identifiers(),
                rows::identifiers(&rows.identifiers),
                &mut self.identifiers,
            ),
            (
                tables::curated_memberships(),
                rows::memberships(&rows.memberships),
                &mut self.memberships,
            ),
            (
                tables::curated_account_members(),
                rows::account_members(&rows.account_members),
                &mut self.account_members,
            ),
        ];
        for (table, batch, files) in batches {
            let batch = [batch.map_err(unwritten)?];
            // A file without rows would belong to no snapshot, and stay for good.
            if batch.iter().any(|batch| batch.num_rows() > 0) {
                let written = lake.write(space, table, Some(bucket), &batch);
                files.push(written.await.map_err(unwritten)?);
            }
        }
        Ok(())
    }
}

/// Makes these files all that a table has.
async fn replace(
    lake: &Lake,
    space: &SpaceId,
    table: &'static TableSpec,
    files: Vec<NewFile>,
) -> Result<(), PublishError> {
    let done = lake
        .overwrite(space, table, &Replace::All, files, &Commit::default())
        .await;
    done.map(|_| ()).map_err(unwritten)
}

impl Rows {
    fn add(&mut self, person: &PersonDocument, now: Timestamp) {
        self.profiles.push(profile_row(person, now));
        self.identifiers
            .extend(person.identifiers.iter().map(|view| IdentifierRow {
                identifier: view.identifier.clone(),
                profile_id: person.id,
                first_seen: Some(view.first_seen),
                last_seen: view.last_seen,
                valid_from: view.from,
                valid_to: view.to,
            }));
        self.account_members
            .extend(person.accounts.iter().map(|account| AccountMemberRow {
                group_id: account.group_id.as_str().into(),
                profile_id: person.id,
                since: account.since,
                source: account.source.clone(),
            }));
        self.memberships
            .extend(person.segments.iter().map(|held| MembershipRow {
                segment: held.segment.clone(),
                profile_id: person.id,
                entered_at: held.since.unwrap_or(now),
                // Empty where the entry was written before causes were kept.
                cause: held.cause.map_or("", |cause| cause.as_str()).into(),
                approximate: held.approximate,
            }));
    }
}

fn profile_row(person: &PersonDocument, now: Timestamp) -> ProfileRow {
    use kith_types::Value;
    let object = |fields: kith_types::Object| Value::Object(fields).to_json();
    let text = |text: &str| Value::from(text);
    let list = |items: Vec<Value>| Value::Array(items).to_json();
    let identifiers = person.identifiers.iter().map(|view| {
        let kind = ("type".into(), text(view.identifier.kind.as_str()));
        Value::Object(vec![kind, ("value".into(), text(&view.identifier.value))])
    });
    ProfileRow {
        profile_id: person.id,
        first_seen: person.first_seen,
        last_seen: person.last_seen,
        event_count: person.event_count,
        traits: object_of(&person.traits),
        computed: object(
            person
                .computed
                .iter()
                .map(|(name, value, _)| (name.as_str().into(), value.clone()))
                .collect(),
        ),
        segments: list(person.segments.iter().map(|held| text(held.segment.as_str())).collect()),
        identifiers: list(identifiers.collect()),
        consents: object(
            person
                .consents
                .iter()
                .map(|(name, granted, _)| (name.as_str().into(), Value::from(*granted)))
                .collect(),
        ),
        updated_at: now,
        limits_reached: list_of(&person.limits_reached()),
    }
}
