//! The raw zone as the archive of the log: what the log has let go, read back segment by segment.
//!
//! The pipeline, the tables' writer and the catalog read through it when they begin before the log's start. It blocks
//! its caller, which is a thread of its own or one for blocking work; it never changes an object.

use kith_lake::{HoleCause, Proof, RawRange, RawReader, RawZone};
use kith_pipeline::{Archive, ArchiveFailure, ArchivePart, ArchiveReader, Hole};
use tokio::runtime::Handle;

/// The raw zone, read from threads.
#[derive(Clone, Debug)]
pub struct RawArchive {
    zone: RawZone,
    generation: u16,
    runtime: Handle,
}

impl RawArchive {
    /// An archive over the raw objects of a generation of the log.
    #[must_use]
    pub fn new(zone: RawZone, generation: u16, runtime: Handle) -> Self {
        Self {
            zone,
            generation,
            runtime,
        }
    }

    fn range(&self, first: u64, end: u64) -> RawRange {
        RawRange {
            generation: self.generation,
            partition: 0,
            first,
            end,
        }
    }
}

impl Archive for RawArchive {
    fn open(&self, from: u64) -> Result<Box<dyn ArchiveReader>, ArchiveFailure> {
        let reader = wait(&self.runtime, self.zone.read_from(self.generation, 0, from))??;
        Ok(Box::new(Parts {
            reader,
            runtime: self.runtime.clone(),
        }))
    }

    fn holes(&self) -> Result<Vec<Hole>, ArchiveFailure> {
        let holes = wait(&self.runtime, self.zone.holes())??;
        let own = holes
            .iter()
            .filter(|hole| (hole.range.generation, hole.range.partition) == (self.generation, 0));
        let mut holes: Vec<Hole> = own
            .map(|hole| Hole {
                from: hole.range.first,
                to: hole.range.end,
                accepted: hole.cause == HoleCause::AcceptedLoss,
            })
            .collect();
        holes.sort_unstable();
        Ok(holes)
    }

    fn missing(&self, from: u64, to: u64) -> Result<Vec<(u64, u64)>, ArchiveFailure> {
        if from >= to {
            return Ok(Vec::new());
        }
        let missing = wait(&self.runtime, self.zone.missing(self.range(from, to), Proof::Hashed))??;
        Ok(missing.iter().map(|range| (range.first, range.end)).collect())
    }

    fn name(&self, from: u64, to: u64) -> String {
        self.range(from, to).to_string()
    }
}

struct Parts {
    reader: RawReader,
    runtime: Handle,
}

impl ArchiveReader for Parts {
    fn next_part(&mut self) -> Result<Option<ArchivePart>, ArchiveFailure> {
        let segment = wait(&self.runtime, self.reader.next_segment())??;
        Ok(segment.map(|segment| {
            let damaged = segment.damaged.into_iter();
            ArchivePart {
                records: segment.records,
                damaged: damaged
                    .map(|damage| format!("{}: {}", damage.path, damage.reason))
                    .collect(),
            }
        }))
    }
}

/// Waits on a thread of its own: the caller's may be inside the runtime already, where waiting is not allowed.
fn wait<T: Send>(runtime: &Handle, work: impl Future<Output = T> + Send) -> Result<T, ArchiveFailure> {
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(work));
        waiting
            .join()
            .map_err(|_| "reading the raw zone ended by a panic".into())
    })
}
