//! The raw zone: sealed segments of the log as write-once objects, compressed JSON Lines that any tool reads.
//!
//! The log's sealing hands segments in; a rebuild reads them back, exactly as they were. Objects are written only
//! where there are none, in a folder or in a bucket, and nothing here rewrites or deletes one. A line never holds a
//! credential of ours.

mod holes;
mod line;
mod objects;
mod ranges;
mod reader;
mod s3;
mod verify;
mod zone;

#[cfg(test)]
mod tests;

pub use holes::{HoleCause, Proof, RawHole};
pub use reader::{RawReader, RawSegment};
pub use s3::RetentionAsked;
pub use verify::{Damage, VerifyReport};
pub use zone::{RawObject, RawRange, RawZone, WrittenSegment};

/// Where an event lies in the body of its record: the first byte, and the byte after the last.
pub type ByteRange = (usize, usize);
