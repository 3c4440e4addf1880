//! What the doors need from the rest: who a write key is, and a log that makes bodies durable.
//!
//! The adapter of [`Sources`] lives in the binary, over the catalog. The embedded log is an [`Appender`] as it is.

use crate::SpaceDoorLimits;
use kith_log::{Appended, ErrorKind, Log};
use kith_types::{RecordBody, SourceName, SpaceId};
use std::future::Future;
use std::pin::Pin;

/// What a write key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyVerdict {
    /// No source has this key.
    Unknown,
    /// Its source is switched off.
    Disabled,
    /// The key of this source.
    Source {
        /// The space that the source belongs to.
        space: SpaceId,
        /// The source.
        source: SourceName,
    },
}

/// Resolves write keys. Called for every request on an async thread, so it answers from memory.
pub trait Sources: Send + Sync {
    /// What the key opens.
    fn resolve(&self, write_key: &str) -> KeyVerdict;

    /// What a space may send.
    fn limits(&self, space: &SpaceId) -> SpaceDoorLimits;
}

/// Why a body could not be made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits already: the sender should slow down (429).
    #[error("too much waits to become durable")]
    Overloaded,
    /// Durability cannot be had now: the sender should come again (503).
    #[error("nothing can be made durable now")]
    Unavailable,
    /// The log never takes such a record.
    #[error("the log refuses the record: {0}")]
    Refused(String),
}

/// An append that is under way.
pub type Appending<'a> = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send + 'a>>;

/// Makes bodies durable. Dropping the future does not take the record back.
pub trait Appender: Send + Sync {
    /// Appends a record; resolves once it is durable, and only then with success.
    fn append<'a>(&'a self, space: &SpaceId, body: RecordBody) -> Appending<'a>;
}

impl Appender for Log {
    fn append<'a>(&'a self, space: &SpaceId, body: RecordBody) -> Appending<'a> {
        let appending = Log::append(self, space, &body);
        // The log has its own copy: the body's bytes need not wait with it.
        drop(body);
        Box::pin(async move {
            appending.await.map_err(|error| match error.kind() {
                ErrorKind::Overloaded => AppendError::Overloaded,
                ErrorKind::Refused => AppendError::Refused(error.to_string()),
                _ => AppendError::Unavailable,
            })
        })
    }
}
