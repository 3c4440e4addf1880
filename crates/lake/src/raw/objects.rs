//! What the raw zone asks of the place where its objects are: a folder, or a bucket (`s3.rs`).
//!
//! Objects are written once. A place that keeps versions gives the first of a name, whatever was put over it later, and
//! says what was. One suite of tests runs over every place.

use crate::error::{ErrorKind, LakeError};
use crate::store::{Put, Store};
use async_trait::async_trait;
use bytes::Bytes;
use kith_types::Timestamp;
use std::collections::BTreeMap;
use std::fmt;

/// A place for raw objects.
#[async_trait]
pub(crate) trait RawObjects: fmt::Debug + Send + Sync {
    /// What to call the place.
    fn name(&self) -> String;

    /// Looks whether the place can be used as it is set up; it is looked at again before the first use otherwise.
    async fn check(&self) -> Result<(), LakeError>;

    /// Writes an object durably; false where one of that name is.
    async fn create(&self, path: &str, bytes: Bytes) -> Result<bool, LakeError>;

    /// Locks an object that was found where it was to be written, if it has no lock and one is asked for: a store that is
    /// killed between a write and its lock has the one without the other.
    async fn lock_found(&self, path: &str) -> Result<(), LakeError>;

    /// All bytes of an object.
    async fn get(&self, path: &str) -> Result<Bytes, LakeError>;

    /// All bytes of an object that is to have a hash: where versions of it are kept, of one that has.
    async fn get_hashed(&self, path: &str, sha256: &str) -> Result<Bytes, LakeError>;

    /// The paths of all objects beneath a path, in order.
    async fn list(&self, path: &str) -> Result<Vec<String>, LakeError>;

    /// The names of the folders directly beneath a path, in order.
    async fn folders(&self, path: &str) -> Result<Vec<String>, LakeError>;

    /// How the objects beneath a path are guarded; none where the place guards nothing.
    async fn guards(&self, path: &str) -> Result<Option<Guards>, LakeError>;

    /// What an object lacks of the lock that is asked for; none where it lacks nothing.
    async fn lock_fault(&self, path: &str, guarded: &Guarded) -> Result<Option<String>, LakeError>;
}

/// The version of a name that is the object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guarded {
    pub(crate) version: String,
    /// When the place took it.
    pub(crate) taken_at: Option<Timestamp>,
}

/// How objects are guarded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    /// Whether every object is to be locked.
    pub(crate) locks: bool,
    /// Every name that has one, and the version that is the object.
    pub(crate) versions: BTreeMap<String, Guarded>,
    /// Names over which something was put, and what.
    pub(crate) covered: Vec<(String, String)>,
}

/// A folder guards nothing beyond never replacing an object.
#[async_trait]
impl RawObjects for Store {
    fn name(&self) -> String {
        self.location("raw")
    }

    async fn check(&self) -> Result<(), LakeError> {
        Ok(())
    }

    async fn create(&self, path: &str, bytes: Bytes) -> Result<bool, LakeError> {
        self.put(path, bytes, Put::Create).await
    }

    async fn lock_found(&self, _path: &str) -> Result<(), LakeError> {
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Bytes, LakeError> {
        Store::get(self, path).await
    }

    async fn get_hashed(&self, path: &str, _sha256: &str) -> Result<Bytes, LakeError> {
        Store::get(self, path).await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, LakeError> {
        Store::list(self, path).await
    }

    async fn folders(&self, path: &str) -> Result<Vec<String>, LakeError> {
        Store::folders(self, path).await
    }

    async fn guards(&self, _path: &str) -> Result<Option<Guards>, LakeError> {
        Ok(None)
    }

    async fn lock_fault(&self, path: &str, _guarded: &Guarded) -> Result<Option<String>, LakeError> {
        let message = format!("{path} lies in a folder, which has no lock");
        Err(LakeError::new(ErrorKind::Invalid, message))
    }
}
