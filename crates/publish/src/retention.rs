//! Letting the log go: segments that raw, the state and every table have passed leave the folder, oldest first.
//!
//! A stated number of bytes of the newest segments stays, at least one of them: what is read again after a crash then
//! comes from the log. Every table says how far it is before the first segment goes, those without a row of late too, so
//! no table asks later for what has gone. It removes nothing that raw does not hold.

use crate::PublishError;
use crate::writer::{LakeWriter, end_of};
use kith_lake::{Commit, OffsetRange, tables};
use kith_log::{Log, SealedSegment};
use kith_types::SpaceId;

/// The segments that may go: those that end at `passed` or before, but for the newest `keep_bytes` of all.
pub(crate) fn removable(sealed: &[SealedSegment], passed: u64, keep_bytes: u64) -> Vec<u64> {
    let mut kept = 0;
    let mut margin = 0;
    for segment in sealed.iter().rev() {
        if kept >= keep_bytes && margin > 0 {
            break;
        }
        kept += segment.bytes;
        margin += 1;
    }
    sealed
        .iter()
        .take(sealed.len().saturating_sub(margin))
        .take_while(|segment| segment.end_sequence <= passed)
        .map(|segment| segment.first_sequence)
        .collect()
}

/// Has every clean table of these spaces say that it holds everything up to what the writer has taken. No row may wait.
pub(crate) async fn note_ends(writer: &LakeWriter, spaces: &[SpaceId]) -> Result<(), PublishError> {
    for space in spaces {
        for table in [tables::clean_events(), tables::clean_rejects()] {
            let start = end_of(&writer.lake, space, table, writer.generation).await?;
            if start >= writer.taken() {
                continue;
            }
            let range = OffsetRange {
                generation: writer.generation,
                partition: 0,
                start,
                end: writer.taken(),
            };
            let commit = Commit {
                range: Some(range),
                ..Commit::default()
            };
            let noted = writer.lake.append(space, table, Vec::new(), &commit).await;
            noted.map_err(|error| PublishError::new("a table could not say how far it is", error))?;
        }
    }
    Ok(())
}

/// Removes segments from the log, oldest first.
pub(crate) fn remove(log: &Log, segments: &[u64]) -> Result<(), PublishError> {
    for first in segments {
        log.remove_segment(*first)
            .map_err(|error| PublishError::new("a segment of the log could not be removed", error))?;
    }
    Ok(())
}
