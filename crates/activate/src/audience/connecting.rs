//! Connecting a destination to segments: whoever is in one that is new to it waits to be told, and from the same moment on it
//! is told every change. Members are written down in pieces, and count from the transaction that says so: a crash before it
//! leaves nothing that is told.

use super::delivery::{Delivery, Job};
use super::{Changes, SegmentChoice};
use crate::engine::port_error;
use crate::error::{ActivateError, BoxError};
use crate::ledger::Place;
use kith_types::{ProfileId, SegmentName, Timestamp};
use std::collections::BTreeSet;

/// Members that are written down at once while a destination is connected.
const CONNECTED_AT_ONCE: usize = 10_000;

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
            let number = self.take_members(job, &lacking, &mut place)?;
            if is_new {
                place.next_number = number;
            }
            // Members that were written down to be compared lack the new segments.
            place.compare_at = None;
        } else if place == before {
            return Ok(place);
        }
        if place.all_from.is_none() {
            let listed = place.segments.keys().cloned().collect();
            while ledger.forget_told(&self.space, &self.name, &listed)? {}
        }
        ledger.connect(&self.space, &self.name, &place, 0)?;
        drop(held);
        ledger.drop_loose_members(&self.space, &self.name)?;
        Ok(place)
    }

    /// Writes down who is in the segments that a destination lacks, and from which number on it is told of them. Returns that
    /// number.
    fn take_members(&self, job: &Job<'_>, lacking: &SegmentChoice, place: &mut Place) -> Result<u64, ActivateError> {
        let (number, mut seen) = match job.definition.changes() {
            Changes::Live => {
                let number = job.ports.audiences.next_number(&self.space);
                (number.map_err(unread)?, BTreeSet::new())
            }
            Changes::All => {
                let is_new = |segment: &SegmentName| !place.segments.contains_key(segment);
                self.write_members(job, lacking, &is_new)?
            }
        };
        match lacking {
            SegmentChoice::All => place.all_from = Some(number),
            SegmentChoice::Listed(listed) => {
                seen.extend(listed.iter().cloned());
            }
        }
        place.segments.extend(seen.into_iter().map(|segment| (segment, number)));
        Ok(number)
    }

    /// Writes down the members of segments, of those that `wanted` names. Returns the number of the next change, and the
    /// segments that have some.
    fn write_members(
        &self,
        job: &Job<'_>,
        segments: &SegmentChoice,
        wanted: &dyn Fn(&SegmentName) -> bool,
    ) -> Result<(u64, BTreeSet<SegmentName>), ActivateError> {
        let mut seen: BTreeSet<SegmentName> = BTreeSet::new();
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
            if !wanted(&segment) {
                return Ok(());
            }
            if !seen.contains(&segment) {
                seen.insert(segment.clone());
            }
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

pub(super) fn unread(error: BoxError) -> ActivateError {
    port_error("the members of segments cannot be read", error)
}
