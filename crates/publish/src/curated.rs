//! The current tables of the curated zone, rewritten bucket by bucket: profiles, identifiers, memberships.
//!
//! People are read as they are committed, one bucket of profile ids at a time, so memory holds all ids and one bucket's
//! rows. A
//! table that is not divided into buckets would be rewritten whole.

use crate::PublishError;
use kith_lake::rows::{self, IdentifierRow, MembershipRow, ProfileRow};
use kith_lake::{Commit, Lake, NewFile, Replace, TableSpec, tables};
use kith_pipeline::{PersonDocument, Reads};
use kith_types::{SpaceId, Timestamp};
use std::collections::BTreeSet;

/// The rows of one bucket.
#[derive(Default)]
struct Rows {
    profiles: Vec<ProfileRow>,
    identifiers: Vec<IdentifierRow>,
    memberships: Vec<MembershipRow>,
}

/// Rewrites the current tables of a space as of `now`; answers how many people they hold.
///
/// # Errors
/// When the state cannot be read or a table cannot be committed; what was rewritten before stands.
pub(crate) async fn rewrite(lake: &Lake, reads: &Reads, space: &SpaceId, now: Timestamp) -> Result<u64, PublishError> {
    let mut people = 0;
    let mut buckets = vec![Vec::new(); tables::PROFILE_BUCKETS as usize];
    for id in reads.profile_ids(space)? {
        buckets[rows::profile_bucket(id) as usize].push(id);
    }
    for (bucket, ids) in (0..).zip(buckets) {
        let mut rows = Rows::default();
        for id in ids {
            if let Some(person) = reads.person_of(space, id, now)? {
                people += 1;
                rows.add(&person, now);
            }
        }
        write_bucket(lake, space, bucket, rows).await?;
    }
    Ok(people)
}

async fn write_bucket(lake: &Lake, space: &SpaceId, bucket: u32, rows: Rows) -> Result<(), PublishError> {
    let failed = |error: kith_lake::LakeError| PublishError::new("the lake could not be written", error);
    let batch = rows::profiles(&rows.profiles).map_err(failed)?;
    let file = lake
        .write(space, tables::curated_profiles(), Some(bucket), &[batch])
        .await
        .map_err(failed)?;
    replace(lake, space, tables::curated_profiles(), bucket, file).await?;
    let batch = rows::identifiers(&rows.identifiers).map_err(failed)?;
    let file = lake
        .write(space, tables::curated_identifiers(), Some(bucket), &[batch])
        .await
        .map_err(failed)?;
    replace(lake, space, tables::curated_identifiers(), bucket, file).await?;
    let batch = rows::memberships(&rows.memberships).map_err(failed)?;
    let file = lake
        .write(space, tables::curated_memberships(), Some(bucket), &[batch])
        .await
        .map_err(failed)?;
    replace(lake, space, tables::curated_memberships(), bucket, file).await
}

async fn replace(
    lake: &Lake,
    space: &SpaceId,
    table: &'static TableSpec,
    bucket: u32,
    file: NewFile,
) -> Result<(), PublishError> {
    let files = if file.record_count() == 0 {
        Vec::new()
    } else {
        vec![file]
    };
    let done = lake
        .overwrite(
            space,
            table,
            &Replace::Buckets(BTreeSet::from([bucket])),
            files,
            &Commit::default(),
        )
        .await;
    done.map(|_| ())
        .map_err(|error| PublishError::new("the lake could not be written", error))
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
        self.memberships
            .extend(person.segments.iter().map(|held| MembershipRow {
                segment: held.segment.clone(),
                profile_id: person.id,
                entered_at: held.since.unwrap_or(now),
                // Empty where the entry was written before causes were kept.
                cause: held.cause.map_or("", |cause| cause.as_str()).into(),
            }));
    }
}

fn profile_row(person: &PersonDocument, now: Timestamp) -> ProfileRow {
    use kith_types::Value;
    let object = |fields: Vec<(Box<str>, Value)>| Value::Object(fields).to_json();
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
        traits: object(
            person
                .traits
                .iter()
                .map(|view| (view.name.as_str().into(), view.value.clone()))
                .collect(),
        ),
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
    }
}
