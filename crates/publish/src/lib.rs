//! Committed steps to tables of the lake, sealed segments to raw objects.
//!
//! The pipeline decides what happened; this crate writes it where other engines read it. It keeps Arrow and Iceberg out
//! of the pipeline, and never decides what an event means.

mod archive;
mod archiving;
mod backoff;
mod changes;
mod config;
mod curated;
mod error;
mod expiring;
mod outbox;
mod panic_told;
mod retention;
mod sealing;
mod service;
mod steps;
#[cfg(test)]
mod tests;
mod writer;

pub use archive::RawArchive;
pub use archiving::Attempts;
pub use config::{PublishConfig, PublishStatus};
pub use error::PublishError;
pub use service::{PublishParts, Publisher};
pub use steps::{Step, StepRows, steps};
pub use writer::{LakeWriter, reject_row};
