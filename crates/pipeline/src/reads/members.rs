//! Who is in a segment, and how many are.

use super::Reads;
use crate::{PipelineError, keys};
use kith_state::{Keyspace, Read};
use kith_types::{ProfileId, SegmentName, SpaceId, Timestamp};
use std::collections::BTreeMap;

impl Reads {
    /// Members of a segment after a profile id, in the order of their ids, each with the instant of entry.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn members(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<(ProfileId, Timestamp)>, PipelineError> {
        let prefix = keys::members(space, segment.as_str());
        let to = kith_state::prefix_end(&prefix).unwrap_or_default();
        let from = match after {
            Some(ProfileId(last)) if last == u128::MAX => return Ok(Vec::new()),
            Some(ProfileId(last)) => keys::member(space, segment.as_str(), ProfileId(last + 1)),
            None => prefix,
        };
        let mut found = Vec::new();
        self.snapshot()?
            .scan(Keyspace::Members, &from, &to, &mut |key, since| {
                if let (Some(id), Ok(since)) = (keys::wide_id(key), since.try_into()) {
                    found.push((ProfileId(id), Timestamp::from_micros(i64::from_be_bytes(since))));
                }
                found.len() < limit
            })?;
        Ok(found)
    }

    /// As [`Reads::members`] without the instants, for who acts on the answer: `None` while people are missing from the state.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn standing_members(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Option<Vec<ProfileId>>, PipelineError> {
        // Asked before the snapshot, as in `standing`.
        if self.pipeline.status().rebuilding.is_some() {
            return Ok(None);
        }
        let members = self.members(space, segment, after, limit)?;
        Ok(Some(members.into_iter().map(|(profile, _)| profile).collect()))
    }

    /// How many members a segment has.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn segment_size(&self, space: &SpaceId, segment: &SegmentName) -> Result<u64, PipelineError> {
        size_of(&*self.snapshot()?, space, segment)
    }

    /// How many members each of these segments has, at one moment.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn segment_sizes<'a>(
        &self,
        space: &SpaceId,
        segments: impl IntoIterator<Item = &'a SegmentName>,
    ) -> Result<BTreeMap<SegmentName, u64>, PipelineError> {
        let snapshot = self.snapshot()?;
        let sizes = segments
            .into_iter()
            .map(|segment| Ok((segment.clone(), size_of(&*snapshot, space, segment)?)));
        sizes.collect()
    }
}

fn size_of(reader: &dyn Read, space: &SpaceId, segment: &SegmentName) -> Result<u64, PipelineError> {
    let from = keys::members(space, segment.as_str());
    let to = kith_state::prefix_end(&from).unwrap_or_default();
    let mut size = 0;
    reader.scan(Keyspace::Members, &from, &to, &mut |_, _| {
        size += 1;
        true
    })?;
    Ok(size)
}
