//! Comparing whom a destination holds with who is a member: after changes were lost, and where it was not kept yet whom it holds
//! (contract SEG-5). Members of one moment are written down beside it, changes before that moment are told first, then both
//! lists are walked through in one order, page by page, and what differs is told; changes behind it wait so long. Nothing of the
//! walk is kept: what it told is told, so it may begin anew at any time.

use super::Changes;
use super::connecting::unread;
use super::delivery::{Delivery, Job, Turn};
use super::planning::{Known, Occasion, Planner};
use crate::engine::Boundary;
use crate::error::{ActivateError, BoxError};
use crate::ledger::{Compare, Named, Place, Source};
use kith_types::{ProfileId, SegmentName, Timestamp};
use std::collections::BTreeMap;

/// Rows of each list that are compared at once.
#[cfg(not(test))]
const COMPARED_AT_ONCE: usize = 500;
#[cfg(test)]
const COMPARED_AT_ONCE: usize = 2;
/// Members that are written down at once.
const WRITTEN_AT_ONCE: usize = 10_000;
/// A jump of numbers beyond this is a state that was built again: it counts from a block of its own.
const BLOCK: u64 = 1 << 24;
/// The cause that is told of what a comparison finds.
pub(super) const CAUSE: &str = "compared";

/// The place of a row in both lists.
pub(super) type Key = (SegmentName, ProfileId);

/// What the two lists have of a profile in a segment.
#[derive(Debug, Default)]
struct Both {
    told: Option<Named>,
    since: Option<Timestamp>,
}

impl Delivery {
    /// The outbox no longer has what is wanted next: it was forgotten, or the state was lost and counts from another block. It
    /// goes on at `found`, and who is a member is compared with whom the destination holds.
    pub(super) fn lose(&self, job: &Job<'_>, place: &Place, wanted: u64, found: u64) -> Result<(), ActivateError> {
        let (space, destination) = (&self.space, &self.name);
        tracing::error!(%space, destination, wanted, found, "changes of membership are gone before they were told, or the state was built again: who is a member is compared with who was told");
        let missed = found.saturating_sub(wanted);
        let missed = if missed < BLOCK { missed } else { 0 };
        // Where numbers begin again, segments are told from there on.
        let segments = place.segments.iter();
        let lost = Place {
            next_number: found,
            all_from: place.all_from.map(|from| from.min(found)),
            segments: segments
                .map(|(segment, from)| (segment.clone(), *from.min(&found)))
                .collect(),
            compare: Some(Compare::and_lost(place.compare)),
            compare_at: None,
            ..place.clone()
        };
        job.engine.ledger.connect(space, destination, &lost, missed)
    }

    /// Writes down the members of this moment, to be compared once everything before it is told.
    pub(super) fn write_compared(&mut self, job: &Job<'_>, place: &Place) -> Result<(), ActivateError> {
        let (ledger, space, name) = (&job.engine.ledger, &self.space, &self.name);
        while ledger.drop_compared(space, name)? {}
        let mut waiting: Vec<(SegmentName, ProfileId, Timestamp)> = Vec::new();
        let write = |waiting: &mut Vec<_>| -> Result<(), BoxError> {
            ledger.add_compared(space, name, waiting)?;
            waiting.clear();
            Ok(())
        };
        let mut take = |segment, profile, since| {
            if (job.is_stopping)() {
                return Err("the server ends".into());
            }
            waiting.push((segment, profile, since));
            match waiting.len() >= WRITTEN_AT_ONCE {
                true => write(&mut waiting),
                false => Ok(()),
            }
        };
        let number = job.ports.audiences.members(space, job.definition.segments(), &mut take);
        let number = number.and_then(|number| write(&mut waiting).map(|()| number));
        let written = Place {
            compare_at: Some(number.map_err(unread)?),
            ..place.clone()
        };
        job.engine.reached(Boundary::ComparedWritten)?;
        ledger.connect(space, name, &written, 0)?;
        self.compared = None;
        Ok(())
    }

    /// Compares the next rows of both lists, and decides what differs. Returns whether there is more to do at once.
    pub(super) fn compare(&mut self, job: &Job<'_>, place: &Place, number: u64) -> Result<Turn, ActivateError> {
        let page = self.compared_page(job)?;
        if page.is_empty() {
            self.end_comparing(job, place)?;
            return Ok(Turn::Worked);
        }
        let mut last = None;
        let mut planner = Planner::new(job, &self.space, &self.name);
        for (key, both) in page {
            if self.decide_difference(job, place, number, &key, &both, &mut planner)? == Known::NotNow {
                break;
            }
            last = Some(key);
        }
        if planner.has_some() {
            job.engine.ledger.decide(&self.space, &self.name, &planner.decided)?;
        }
        job.engine.reached(Boundary::TellingDecided)?;
        if last.is_none() {
            return Ok(Turn::Idle);
        }
        self.compared = last;
        Ok(Turn::Worked)
    }

    fn decide_difference(
        &self,
        job: &Job<'_>,
        place: &Place,
        number: u64,
        (segment, profile): &Key,
        both: &Both,
        planner: &mut Planner<'_>,
    ) -> Result<Known, ActivateError> {
        let is_told_of = job.definition.segments().has(segment)
            && (place.segments.contains_key(segment) || place.all_from.is_some());
        if !is_told_of {
            return Ok(Known::Yes);
        }
        let occasion = Occasion {
            source: Source::Compared(number),
            segment: segment.clone(),
            profile: *profile,
            at: both.since.unwrap_or_else(|| job.engine.clock.now()),
            cause: CAUSE,
        };
        let now = Occasion {
            at: job.engine.clock.now(),
            ..occasion.clone()
        };
        match (&both.told, both.since, place.compare) {
            (Some(_), None, _) => planner.leaves(&now),
            (Some(_), Some(_), _) => planner.stays(&now),
            (None, Some(_), Some(Compare::Unkept)) => planner.was_told(&occasion),
            (None, Some(since), Some(Compare::UnkeptAndLost)) if since <= place.told_until => {
                planner.was_told(&occasion)
            }
            (None, Some(_), _) if job.definition.changes() == Changes::All => planner.enters(&occasion),
            _ => Ok(Known::Yes),
        }
    }

    /// The next rows of both lists, as far as both are known.
    fn compared_page(&self, job: &Job<'_>) -> Result<BTreeMap<Key, Both>, ActivateError> {
        let (ledger, after) = (&job.engine.ledger, self.compared.as_ref());
        let told = ledger.told_after(&self.space, &self.name, after, COMPARED_AT_ONCE)?;
        let members = ledger.compared_after(&self.space, &self.name, after, COMPARED_AT_ONCE)?;
        let end_of = |segment: &SegmentName, profile: &ProfileId, rows: usize| {
            (rows == COMPARED_AT_ONCE).then(|| (segment.clone(), *profile))
        };
        let ends = [
            told.last()
                .and_then(|(segment, profile, _)| end_of(segment, profile, told.len())),
            members
                .last()
                .and_then(|(segment, profile, _)| end_of(segment, profile, members.len())),
        ];
        let end = ends.into_iter().flatten().min();
        let mut page: BTreeMap<Key, Both> = BTreeMap::new();
        for (segment, profile, named) in told {
            page.entry((segment, profile)).or_default().told = Some(named);
        }
        for (segment, profile, since) in members {
            page.entry((segment, profile)).or_default().since = Some(since);
        }
        page.retain(|key, _| end.as_ref().is_none_or(|end| key <= end));
        Ok(page)
    }

    fn end_comparing(&mut self, job: &Job<'_>, place: &Place) -> Result<(), ActivateError> {
        let done = Place {
            compare: None,
            compare_at: None,
            ..place.clone()
        };
        job.engine.ledger.connect(&self.space, &self.name, &done, 0)?;
        self.compared = None;
        let (space, destination) = (&self.space, &self.name);
        tracing::info!(%space, destination, "who is a member was compared with who was told");
        job.engine.reached(Boundary::ComparedEnded)?;
        while job.engine.ledger.drop_compared(space, destination)? {}
        Ok(())
    }
}
