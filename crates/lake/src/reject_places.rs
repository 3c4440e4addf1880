//! Where the rejects of a space stand: what putting them through again asks of `clean.rejects` (contract CLN-4).
//!
//! It reads one file of the table after the other and keeps places only, never what was sent.

use crate::error::LakeError;
use crate::lake::Lake;
use crate::tables;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use kith_types::SpaceId;

/// A reject's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RejectPlace {
    /// The sequence number of its record.
    pub sequence: u64,
    /// Which event of the record.
    pub index: u32,
    /// How long the text of what was sent is, by which a body that was rejected as a whole is known.
    pub original_bytes: usize,
}

impl Lake {
    /// A page of the places of rejects, in order, and the record after which the next page begins, where there is one. A
    /// page ends with a record, so that no record stands in two; it reads the whole table, and memory holds two pages.
    ///
    /// # Errors
    /// As [`Lake::read_all`].
    pub async fn reject_places(
        &self,
        space: &SpaceId,
        asked: &RejectsAsked<'_>,
    ) -> Result<(Vec<RejectPlace>, Option<u64>), LakeError> {
        let table = tables::clean_rejects();
        let mut page = Page::new(asked.places_max);
        // A space of which nobody has said anything has no table yet.
        let named = self.tables(space)?;
        if !(named.iter()).any(|(namespace, name)| namespace == table.namespace && name == table.name) {
            return Ok(page.finish());
        }
        self.visit_rows(space, table.namespace, table.name, &mut |batch| {
            take_places(&batch, asked, &mut page);
        })
        .await?;
        Ok(page.finish())
    }
}

/// Which rejects are asked for.
#[derive(Clone, Copy, Debug)]
pub struct RejectsAsked<'a> {
    /// Those of this generation of the log.
    pub generation: u16,
    /// Only those of this source.
    pub source: Option<&'a str>,
    /// Only those with this reason.
    pub code: Option<&'a str>,
    /// Only those of records after this one.
    pub after: Option<u64>,
    /// About as many as a page holds; more only where one record has more.
    pub places_max: usize,
}

/// The first places that were seen.
struct Page {
    places: Vec<RejectPlace>,
    places_max: usize,
    /// Records from this one on are left out.
    end: Option<u64>,
}

impl Page {
    fn new(places_max: usize) -> Self {
        Self {
            places: Vec::new(),
            places_max: places_max.max(1),
            end: None,
        }
    }

    fn add(&mut self, place: RejectPlace) {
        if self.end.is_some_and(|end| place.sequence >= end) {
            return;
        }
        self.places.push(place);
        if self.places.len() > self.places_max.saturating_mul(2) {
            self.cut();
        }
    }

    /// Leaves the first places of whole records, as many as a page holds but one record at least.
    fn cut(&mut self) {
        self.places.sort_unstable();
        self.places.dedup();
        let Some(beyond) = self.places.get(self.places_max).map(|place| place.sequence) else {
            return;
        };
        let alone = self.places.first().is_some_and(|place| place.sequence == beyond);
        let end = if alone { beyond.saturating_add(1) } else { beyond };
        self.places
            .truncate(self.places.partition_point(|place| place.sequence < end));
        self.end = Some(end);
    }

    fn finish(mut self) -> (Vec<RejectPlace>, Option<u64>) {
        self.cut();
        // The last record of all may have been seen to end the page although nothing follows: the next page is empty then.
        let next = self.end.and(self.places.last()).map(|place| place.sequence);
        (self.places, next)
    }
}

fn take_places(batch: &RecordBatch, asked: &RejectsAsked<'_>, page: &mut Page) {
    let RejectsAsked {
        generation,
        source,
        code,
        after,
        ..
    } = *asked;
    let text = |name: &str, row: usize| -> Option<&str> {
        let column = batch.column_by_name(name)?;
        let strings = column.as_string_opt::<i32>()?;
        strings.is_valid(row).then(|| strings.value(row))
    };
    let long = |name: &str, row: usize| Some(batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.value(row));
    let generations = batch
        .column_by_name("generation")
        .and_then(|column| column.as_primitive_opt::<Int32Type>());
    for row in 0..batch.num_rows() {
        let wanted = generations.is_some_and(|column| column.value(row) == i32::from(generation))
            && source.is_none_or(|source| text("source", row) == Some(source))
            && code.is_none_or(|code| text("code", row) == Some(code));
        let place = long("sequence", row).zip(long("event_index", row));
        if let Some((sequence, index)) = place.filter(|_| wanted)
            && let (Ok(sequence), Ok(index)) = (u64::try_from(sequence), u32::try_from(index))
            && after.is_none_or(|after| sequence > after)
        {
            page.add(RejectPlace {
                sequence,
                index,
                original_bytes: text("original", row).map_or(0, str::len),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cln_4_pages_of_rejects_hold_each_once_and_whole_records(
            rejects in prop::collection::vec((0_u64..40, 0_u32..5), 0..120),
            places_max in 1_usize..12,
        ) {
            let place = |(sequence, index): &(u64, u32)| RejectPlace {
                sequence: *sequence,
                index: *index,
                original_bytes: 1,
            };
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let mut page = Page::new(places_max);
                for reject in rejects.iter().filter(|(sequence, _)| after.is_none_or(|after| *sequence > after)) {
                    page.add(place(reject));
                }
                let (places, next) = page.finish();
                let records: std::collections::BTreeSet<u64> = places.iter().map(|place| place.sequence).collect();
                prop_assert!(places.len() <= places_max || records.len() == 1);
                seen.extend(places);
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            let mut all: Vec<RejectPlace> = rejects.iter().map(place).collect();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(seen, all);
        }
    }
}
