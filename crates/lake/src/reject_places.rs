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
    /// The places of the rejects of a generation, in order: those of a source, and of a reason, where these are named.
    ///
    /// # Errors
    /// As [`Lake::read_all`].
    pub async fn reject_places(
        &self,
        space: &SpaceId,
        generation: u16,
        source: Option<&str>,
        code: Option<&str>,
    ) -> Result<Vec<RejectPlace>, LakeError> {
        let table = tables::clean_rejects();
        let mut places = Vec::new();
        self.visit_rows(space, table.namespace, table.name, &mut |batch| {
            take_places(&batch, generation, source, code, &mut places);
        })
        .await?;
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }
}

fn take_places(
    batch: &RecordBatch,
    generation: u16,
    source: Option<&str>,
    code: Option<&str>,
    places: &mut Vec<RejectPlace>,
) {
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
        {
            places.push(RejectPlace {
                sequence,
                index,
                original_bytes: text("original", row).map_or(0, str::len),
            });
        }
    }
}
