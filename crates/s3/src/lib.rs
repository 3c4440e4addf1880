//! A small client of S3 and of stores that speak its protocol: write-once objects, their versions and their retention.
//!
//! The raw zone works with it (`kith-lake`). It signs requests by Signature Version 4, sends the hash of every body, tries
//! again what may be tried again, and tells apart what an operator mends. It never overwrites, never deletes, and writes
//! no credential anywhere. [decisions/0005](../../../docs/decisions/0005-raw-on-s3.md) says why it is our own.

mod answer;
mod bucket;
mod error;
mod sending;
mod settings;
mod sign;
mod xml;

pub use answer::{Listed, Version, Versions};
pub use bucket::Bucket;
pub use error::{S3Error, S3ErrorKind};
pub use settings::{Credentials, Patience, Retention, RetentionMode, S3Settings};
