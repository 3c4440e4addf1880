//! What rows come to whatever their order and whatever files they lie in: how many they are, and the sum of their hashes.
//!
//! Two tables of the clean zone with equal sums hold the same rows, up to a collision of SHA-256 cut to 128 bits: it tells
//! damage and differences, and is no proof against somebody who makes rows for a wanted sum. [`crate::rows`] makes the rows of
//! one side, a table's files those of the other.

use crate::error::{ErrorKind, LakeError};
use crate::lake::Lake;
use crate::spec::TableSpec;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use kith_types::SpaceId;
use sha2::{Digest, Sha256};

/// The column that says which generation of the log a row is from, and the one with the number of its record.
const GENERATION: &str = "generation";
const SEQUENCE: &str = "sequence";

/// How many rows, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowSum {
    rows: u64,
    hashes: u128,
}

impl RowSum {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds the rows of a batch that come from records of a generation of the log before `end`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for columns that tables of the clean zone do not have.
    pub fn add(&mut self, batch: &RecordBatch, generation: u16, end: u64) -> Result<(), LakeError> {
        let generations = batch.column_by_name(GENERATION).and_then(|column| {
            let column = column.as_primitive_opt::<Int32Type>()?;
            Some(column.values())
        });
        let sequences = batch.column_by_name(SEQUENCE).and_then(|column| {
            let column = column.as_primitive_opt::<Int64Type>()?;
            Some(column.values())
        });
        let (Some(generations), Some(sequences)) = (generations, sequences) else {
            return Err(invalid("a row does not say which record it comes from"));
        };
        for (row, (of, sequence)) in generations.iter().zip(sequences.iter()).enumerate() {
            let is_before = u64::try_from(*sequence).is_ok_and(|sequence| sequence < end);
            if *of == i32::from(generation) && is_before {
                self.rows += 1;
                self.hashes = self.hashes.wrapping_add(hash(batch, row)?);
            }
        }
        Ok(())
    }
}

/// The first 128 bits of the hash of a row: its columns in order, each with its length, or with a mark where it has no value.
fn hash(batch: &RecordBatch, row: usize) -> Result<u128, LakeError> {
    let mut hasher = Sha256::new();
    for column in batch.columns() {
        if column.is_null(row) {
            hasher.update([0]);
            continue;
        }
        hasher.update([1]);
        match column.data_type() {
            DataType::Utf8 => {
                let text = column.as_string::<i32>().value(row);
                hasher.update((text.len() as u64).to_be_bytes());
                hasher.update(text);
            }
            DataType::Int32 => hasher.update(column.as_primitive::<Int32Type>().value(row).to_be_bytes()),
            DataType::Int64 => hasher.update(column.as_primitive::<Int64Type>().value(row).to_be_bytes()),
            DataType::Timestamp(..) => {
                let column = column.as_primitive_opt::<TimestampMicrosecondType>();
                let column = column.ok_or_else(|| invalid("an instant is not in microseconds"))?;
                hasher.update(column.value(row).to_be_bytes());
            }
            other => return Err(invalid(&format!("a column of {other} is not compared"))),
        }
    }
    let digest = hasher.finalize();
    let (first, _) = digest.split_at(16);
    Ok(first.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

fn invalid(message: &str) -> LakeError {
    LakeError::new(ErrorKind::Invalid, message.to_owned())
}

impl Lake {
    /// The sum of a table's rows that come from records of a generation of the log before `end`. One file is in memory at a
    /// time.
    ///
    /// # Errors
    /// As [`Lake::read_all`].
    pub async fn sum_of_rows(
        &self,
        space: &SpaceId,
        table: &TableSpec,
        generation: u16,
        end: u64,
    ) -> Result<RowSum, LakeError> {
        let (mut sum, mut failed) = (RowSum::default(), None);
        let mut add = |batch: RecordBatch| {
            if failed.is_none() {
                failed = sum.add(&batch, generation, end).err();
            }
        };
        self.visit_rows(space, table.namespace, table.name, &mut add).await?;
        failed.map_or(Ok(sum), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{self, RejectRow};
    use kith_types::{Address, Timestamp};

    fn reject(sequence: u64, code: &str) -> RejectRow {
        RejectRow {
            address: Address {
                generation: 1,
                partition: 0,
                sequence,
                index: 0,
            },
            received_at: Timestamp::from_millis(1_800_000_000_000),
            source: "web".parse().unwrap(),
            code: code.into(),
            message: "no".into(),
            path: "".into(),
            original: "{}".into(),
        }
    }

    fn sum_of(batches: &[&[RejectRow]], generation: u16, end: u64) -> RowSum {
        let mut sum = RowSum::default();
        for rows in batches {
            sum.add(&rows::rejects(rows).unwrap(), generation, end).unwrap();
        }
        sum
    }

    #[test]
    fn raw_2_rows_sum_up_alike_in_any_order_and_cut_and_otherwise_where_one_differs() {
        let rows = [reject(1, "a"), reject(2, "b"), reject(3, "c")];
        let whole = sum_of(&[&rows], 1, 9);
        assert_eq!(whole.rows(), 3);
        assert_eq!(
            sum_of(&[&[rows[2].clone()], &[rows[1].clone(), rows[0].clone()]], 1, 9),
            whole
        );
        assert_ne!(
            sum_of(&[&[reject(1, "a"), reject(2, "b"), reject(3, "x")]], 1, 9),
            whole
        );
        // A text that moves to the next column is another row.
        let moved = RejectRow {
            message: "".into(),
            path: "no".into(),
            ..reject(3, "c")
        };
        assert_ne!(sum_of(&[&[rows[0].clone(), rows[1].clone(), moved]], 1, 9), whole);
        // What comes later, or from another log, does not count.
        assert_eq!(sum_of(&[&rows], 1, 2), sum_of(&[&rows[..1]], 1, 9));
        assert_eq!(sum_of(&[&rows], 2, 9).rows(), 0);
    }
}
