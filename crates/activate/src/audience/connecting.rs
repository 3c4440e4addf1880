//! Connecting a destination to segments: whoever is in one that is new to it waits to be told, and from the same moment on it
//! is told every change. Members are written down in pieces, and count from the transaction that says so: a crash before it
//! leaves nothing that is told.

use super::delivery::{Delivery, Job};
use super::{Changes, SegmentChoice};
use crate::engine::port_error;
use crate::error::{ActivateError, BoxError};
use crate::ledger::Place;
use kith_types::{ProfileId, SegmentName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Members that are written down at once while a destination is connected.
const CONNECTED_AT_ONCE: usize = 10_000;
/// A jump of numbers beyond this is a state that was built again: it counts from a block of its own.
const BLOCK: u64 = 1 << 24;

impl Delivery {
    /// Connects the destination to the segments of its definition: whoever is in one that is new to it waits to be told,
    /// and it is told every change from that moment on.
    pub(super) fn connect(&self, job: &Job<'_>) -> Result<Place, ActivateError> {
        let ledger = &job.engine.ledger;
        let before = ledger.destination(&self.space, &self.name)?;
        let is_new = before.is_none();
        let before = before.unwrap_or_default();
        let mut place = before.clone();
        let lacking = match job.definition.segments() {
            SegmentChoice::All => place.all_from.is_none().then_some(SegmentChoice::All),
            SegmentChoice::Listed(listed) => {
                place.segments.retain(|segment, _| listed.contains(segment));
                if let Some(all_from) = place.all_from.take() {
                    for segment in listed {
                        place.segments.entry(segment.clone()).or_insert(all_from);
                    }
                }
                let lacking: BTreeSet<SegmentName> = listed
                    .iter()
                    .filter(|name| !place.segments.contains_key(*name))
                    .cloned()
                    .collect();
                (!lacking.is_empty()).then_some(SegmentChoice::Listed(lacking))
            }
        };
        let held = lacking.is_some().then(|| job.engine.hold(&self.space));
        if let Some(lacking) = lacking {
            ledger.drop_loose_members(&self.space, &self.name)?;
            let (number, latest) = self.take_members(job, &lacking, &mut place)?;
            if is_new {
                (place.next_number, place.told_until) = (number, latest);
            }
        } else if place == before {
            return Ok(place);
        }
        ledger.connect(&self.space, &self.name, &place, 0)?;
        drop(held);
        ledger.drop_loose_members(&self.space, &self.name)?;
        Ok(place)
    }

    /// The outbox no longer has what is wanted next: it was forgotten, or the state was lost and counts from another block. Who
    /// entered between what was told last and the `first` change that there is waits to be told as a member; exits among what
    /// is gone are lost. Who was told before is not told again.
    pub(super) fn catch_up(
        &self,
        job: &Job<'_>,
        place: &Place,
        wanted: u64,
        first: (u64, Timestamp),
    ) -> Result<(), ActivateError> {
        let (space, destination, found) = (&self.space, &self.name, first.0);
        tracing::error!(%space, destination, wanted, found, "changes of membership are gone before they were told, or the state was built again");
        let mut anew = place.clone();
        if job.definition.changes() == Changes::All {
            let gap = |segment: &SegmentName, since: Timestamp| {
                let is_told = anew.segments.contains_key(segment) || anew.all_from.is_some();
                is_told && since > place.told_until && since < first.1
            };
            let (_, seen) = self.write_members(job, job.definition.segments(), &gap)?;
            let all_from = anew.all_from.unwrap_or_default();
            for segment in seen.into_keys() {
                anew.segments.entry(segment).or_insert(all_from);
            }
        }
        anew.next_number = first.0;
        let missed = first.0.saturating_sub(wanted);
        let missed = if missed < BLOCK { missed } else { 0 };
        job.engine.ledger.connect(space, destination, &anew, missed)
    }

    /// Writes down who is in the segments that a destination lacks, and from which number on it is told of them. Returns that
    /// number, and the latest instant of an entry before it.
    fn take_members(
        &self,
        job: &Job<'_>,
        lacking: &SegmentChoice,
        place: &mut Place,
    ) -> Result<(u64, Timestamp), ActivateError> {
        let (number, mut seen) = match job.definition.changes() {
            Changes::Live => {
                let number = job.ports.audiences.next_number(&self.space);
                (number.map_err(unread)?, BTreeMap::new())
            }
            Changes::All => {
                let is_new = |segment: &SegmentName, _| !place.segments.contains_key(segment);
                self.write_members(job, lacking, &is_new)?
            }
        };
        let latest = seen.values().copied().max().unwrap_or(Timestamp::MIN);
        match lacking {
            SegmentChoice::All => place.all_from = Some(number),
            SegmentChoice::Listed(listed) => {
                seen.extend(listed.iter().map(|segment| (segment.clone(), Timestamp::MIN)));
            }
        }
        place.segments.extend(seen.into_keys().map(|segment| (segment, number)));
        Ok((number, latest))
    }

    /// Writes down the members of segments, those that `wanted` names by segment and instant of entry. Returns the number of
    /// the next change, and the segments that have some, each with its latest entry.
    fn write_members(
        &self,
        job: &Job<'_>,
        segments: &SegmentChoice,
        wanted: &dyn Fn(&SegmentName, Timestamp) -> bool,
    ) -> Result<(u64, BTreeMap<SegmentName, Timestamp>), ActivateError> {
        let mut seen: BTreeMap<SegmentName, Timestamp> = BTreeMap::new();
        let mut waiting: Vec<(SegmentName, ProfileId, Timestamp)> = Vec::new();
        let write = |waiting: &mut Vec<_>| -> Result<(), BoxError> {
            job.engine.ledger.add_members(&self.space, &self.name, waiting)?;
            waiting.clear();
            Ok(())
        };
        let mut take = |segment: SegmentName, profile, since| {
            if (job.is_stopping)() {
                return Err("the server ends".into());
            }
            if !wanted(&segment, since) {
                return Ok(());
            }
            let latest = seen.entry(segment.clone()).or_insert(since);
            *latest = since.max(*latest);
            waiting.push((segment, profile, since));
            match waiting.len() >= CONNECTED_AT_ONCE {
                true => write(&mut waiting),
                false => Ok(()),
            }
        };
        let number = job.ports.audiences.members(&self.space, segments, &mut take);
        let number = number.and_then(|number| write(&mut waiting).map(|()| number));
        Ok((number.map_err(unread)?, seen))
    }
}

fn unread(error: BoxError) -> ActivateError {
    port_error("the members of segments cannot be read", error)
}
