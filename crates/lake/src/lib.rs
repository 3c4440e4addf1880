//! The lake: objects, the raw zone, and Iceberg tables with our own commits.
//!
//! The pipeline's writers append and rewrite through [`Lake`] and seal raw segments through [`RawZone`]; the query
//! crate reads [`LoadedTable`]s. Tables are Iceberg v2 and copy-on-write only, so any Iceberg reader opens them.
//! Everything of a space lies in folders and namespaces of that space. The lake knows no query engine.

mod commit;
mod error;
mod expire;
mod files;
mod folder;
mod lake;
mod loaded;
mod manifests;
mod pointers;
mod publish;
mod raw;
mod reject_places;
mod row_sum;
pub mod rows;
mod spec;
mod store;
mod summary;
pub mod tables;

pub use commit::{Commit, Committed, OffsetRange, Replace};
pub use error::{ErrorKind, LakeError};
pub use expire::Expired;
pub use files::{FileWriter, NewFile};
pub use lake::Lake;
pub use loaded::{Bound, ColumnBounds, DataFileEntry, LoadedTable};
pub use pointers::PointerStore;
pub use raw::{
    ByteRange, Damage, HoleCause, Proof, RawHole, RawObject, RawRange, RawReader, RawSegment, RawZone, RetentionAsked,
    VerifyReport, WrittenSegment,
};
pub use reject_places::{RejectPlace, RejectsAsked};
pub use row_sum::RowSum;
pub use spec::{Buckets, Column, ColumnType, TableSpec, bucket_of};
