//! The clean tables against a replay: the rows that it gives, summed up as it goes, and those that the tables hold.
//!
//! A table is compared up to the record that both have passed. It works with `rebuild`, which replays.

use super::Failure;
use crate::server::Parts;
use kith_lake::rows::{self, EventRows};
use kith_lake::{RowSum, TableSpec, tables};
use kith_pipeline::StepOutput;
use kith_publish::reject_row;
use kith_types::SpaceId;
use std::collections::BTreeMap;

/// Sums of the rows of every space.
pub(super) struct Tables {
    generation: u16,
    /// How far the tables of each space reach, at most as far as the replay goes.
    spaces: BTreeMap<SpaceId, Sums>,
}

struct Sums {
    events: Sum,
    rejects: Sum,
}

/// What the replay gives of a table.
struct Sum {
    end: u64,
    of: RowSum,
}

/// A table as it is found.
pub(super) struct Found {
    /// `SPACE.clean.events` or `SPACE.clean.rejects`.
    pub(super) name: String,
    /// Rows compared: those of the table.
    pub(super) rows: u64,
    /// How the two differ, in words.
    pub(super) difference: Option<String>,
}

impl Tables {
    /// Looks how far the tables reach; `end` is how far the replay goes.
    pub(super) fn new(parts: &Parts, runtime: &tokio::runtime::Handle, end: u64) -> Result<Self, Failure> {
        let mut spaces = BTreeMap::new();
        for space in parts.pipeline.status().profiles.into_keys() {
            if parts.lake.tables(&space)?.is_empty() {
                continue;
            }
            let sum = |table: &TableSpec| -> Result<Sum, Failure> {
                let reaches = runtime.block_on(parts.lake.offset(&space, table, parts.generation, 0))?;
                Ok(Sum {
                    end: reaches.unwrap_or(0).min(end),
                    of: RowSum::default(),
                })
            };
            let (events, rejects) = (sum(tables::clean_events())?, sum(tables::clean_rejects())?);
            spaces.insert(space.clone(), Sums { events, rejects });
        }
        Ok(Self {
            generation: parts.generation,
            spaces,
        })
    }

    /// Adds what a step of the replay gives.
    pub(super) fn add(&mut self, step: &StepOutput) -> Result<(), Failure> {
        let mut events: BTreeMap<&SpaceId, EventRows> = BTreeMap::new();
        for event in &step.events {
            events.entry(&event.space).or_default().push(event);
        }
        for (space, mut fresh) in events {
            if let Some(sums) = self.spaces.get_mut(space) {
                let batch = fresh.finish()?;
                sums.events.of.add(batch.batch(), self.generation, sums.events.end)?;
            }
        }
        for (space, sums) in &mut self.spaces {
            let of_space = step.rejects.iter().filter(|reject| reject.space == *space);
            let rows: Vec<rows::RejectRow> = of_space.map(reject_row).collect();
            if !rows.is_empty() {
                let batch = rows::rejects(&rows)?;
                sums.rejects.of.add(&batch, self.generation, sums.rejects.end)?;
            }
        }
        Ok(())
    }

    /// Reads the tables and says how they differ from the replay.
    pub(super) fn compare(&self, parts: &Parts, runtime: &tokio::runtime::Handle) -> Result<Vec<Found>, Failure> {
        let mut all = Vec::new();
        for (space, sums) in &self.spaces {
            for (table, replayed) in [
                (tables::clean_events(), &sums.events),
                (tables::clean_rejects(), &sums.rejects),
            ] {
                let held = parts.lake.sum_of_rows(space, table, self.generation, replayed.end);
                let held = runtime.block_on(held)?;
                let (rows, given) = (held.rows(), replayed.of.rows());
                let difference = match held == replayed.of {
                    true => None,
                    false if rows == given => Some(format!("{rows} rows, and not all say what raw gives")),
                    false => Some(format!("{rows} rows, and raw gives {given}")),
                };
                all.push(Found {
                    name: format!("{space}.{}.{}", table.namespace, table.name),
                    rows,
                    difference,
                });
            }
        }
        Ok(all)
    }
}
