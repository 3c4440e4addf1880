//! How segments overlap: who is in which of them at once, counted exactly from one snapshot (contract SEG-7).
//!
//! The members of a segment lie in the order of their ids, so the segments are walked side by side, a page of ids each;
//! nothing is held beside those pages. It reads memberships as they are kept and asks nobody.

use super::Reads;
use crate::{PipelineError, keys};
use kith_state::{Keyspace, Read};
use kith_types::{SegmentName, SpaceId};
use std::collections::VecDeque;

/// Segments that one comparison takes.
pub const OVERLAP_MAX: usize = 5;
/// Ids read at once.
const PAGE: usize = if cfg!(test) { 2 } else { 4_096 };

/// How segments overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Each segment and its members.
    pub sizes: Vec<(SegmentName, u64)>,
    /// Everybody who is in any of them, parted by the segments they are in; every combination, also empty ones.
    pub regions: Vec<Region>,
}

/// Those who are in exactly these of the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The segments they are in, in the order asked.
    pub within: Vec<SegmentName>,
    /// How many they are.
    pub people: u64,
}

impl Overlap {
    /// Who is in all of these of the segments, whatever else they are in.
    #[must_use]
    pub fn in_all(&self, of: &[&SegmentName]) -> u64 {
        let all = |region: &&Region| of.iter().all(|name| region.within.contains(name));
        self.regions.iter().filter(all).map(|region| region.people).sum()
    }
}

impl Reads {
    /// How up to [`OVERLAP_MAX`] segments overlap. `None`: one of them is not defined, or `go_on` has said no.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn overlap(
        &self,
        space: &SpaceId,
        segments: &[SegmentName],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Overlap>, PipelineError> {
        let segments = &segments[..segments.len().min(OVERLAP_MAX)];
        let defined = self.pipeline.definitions(space).is_some_and(|definitions| {
            let known = |name: &SegmentName| definitions.segments.iter().any(|live| live.name == *name);
            segments.iter().all(known)
        });
        if !defined {
            return Ok(None);
        }
        let snapshot = self.snapshot()?;
        let mut walks: Vec<Members<'_>> = segments
            .iter()
            .map(|segment| Members::of(&*snapshot, space, segment))
            .collect();
        let mut counts = vec![0_u64; 1 << segments.len()];
        let mut walked = 0_usize;
        loop {
            let mut first = None;
            for walk in &mut walks {
                first = [first, walk.head()?].into_iter().flatten().min();
            }
            let Some(first) = first else { break };
            let mut within = 0_usize;
            for (place, walk) in walks.iter_mut().enumerate() {
                if walk.head()? == Some(first) {
                    walk.page.pop_front();
                    within |= 1 << place;
                }
            }
            counts[within] += 1;
            walked += 1;
            if walked.is_multiple_of(PAGE) && !go_on() {
                return Ok(None);
            }
        }
        let regions: Vec<Region> = (1..counts.len())
            .map(|within| Region {
                within: (segments.iter().enumerate())
                    .filter(|(place, _)| within >> place & 1 == 1)
                    .map(|(_, name)| name.clone())
                    .collect(),
                people: counts[within],
            })
            .collect();
        let mut overlap = Overlap {
            sizes: Vec::new(),
            regions,
        };
        overlap.sizes = (segments.iter())
            .map(|name| (name.clone(), overlap.in_all(&[name])))
            .collect();
        Ok(Some(overlap))
    }
}

/// The members of one segment, page by page.
struct Members<'a> {
    reader: &'a dyn Read,
    from: Vec<u8>,
    to: Vec<u8>,
    page: VecDeque<u128>,
    over: bool,
}

impl<'a> Members<'a> {
    fn of(reader: &'a dyn Read, space: &SpaceId, segment: &SegmentName) -> Self {
        let from = keys::members(space, segment.as_str());
        Self {
            reader,
            to: kith_state::prefix_end(&from).unwrap_or_default(),
            from,
            page: VecDeque::new(),
            over: false,
        }
    }

    /// The next member's id.
    fn head(&mut self) -> Result<Option<u128>, PipelineError> {
        if self.page.is_empty() && !self.over {
            let (page, mut last) = (&mut self.page, Vec::new());
            self.reader
                .scan(Keyspace::Members, &self.from, &self.to, &mut |key, _| {
                    page.extend(keys::wide_id(key));
                    last = key.to_vec();
                    page.len() < PAGE
                })?;
            self.over = self.page.len() < PAGE;
            last.push(0);
            self.from = last;
        }
        Ok(self.page.front().copied())
    }
}
