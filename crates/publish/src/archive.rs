//! The raw zone as the archive of the log: what the log has let go, read back segment by segment.
//!
//! The pipeline, the tables' writer and the catalog read through it when they begin before the log's start. It blocks
//! its caller, which is a thread of its own or one for blocking work; it never changes an object.

use kith_lake::{RawReader, RawZone};
use kith_pipeline::{Archive, ArchiveFailure, ArchiveReader};
use kith_types::Record;
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
}

impl Archive for RawArchive {
    fn open(&self, from: u64) -> Result<Box<dyn ArchiveReader>, ArchiveFailure> {
        let reader = wait(&self.runtime, self.zone.read_from(self.generation, 0, from))??;
        Ok(Box::new(Parts {
            reader,
            runtime: self.runtime.clone(),
        }))
    }
}

struct Parts {
    reader: RawReader,
    runtime: Handle,
}

impl ArchiveReader for Parts {
    fn next_part(&mut self) -> Result<Option<Vec<Record>>, ArchiveFailure> {
        Ok(wait(&self.runtime, self.reader.next_segment())??)
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
