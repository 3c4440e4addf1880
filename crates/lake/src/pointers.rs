//! The port to the table pointers: what a commit needs of a catalogue.
//!
//! The catalogue's SQLite pointers implement it; so can any store with a compare and swap. It never sees metadata.

use crate::error::LakeError;
use kith_catalog::TablePointers;
use kith_types::SpaceId;

/// Where a table's current metadata is looked up and moved, by compare and swap.
pub trait PointerStore: Send + Sync {
    /// The location of the table's current metadata, if there is such a table.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when it cannot be read.
    fn get(&self, space: &SpaceId, namespace: &str, table: &str) -> Result<Option<String>, LakeError>;

    /// Moves the pointer from `expected` (`None`: no table yet) to `new`; false when it stood elsewhere.
    ///
    /// # Errors
    /// Any error means that the outcome is unknown.
    fn swap(
        &self,
        space: &SpaceId,
        namespace: &str,
        table: &str,
        expected: Option<&str>,
        new: &str,
    ) -> Result<bool, LakeError>;

    /// Namespace and name of every table of the space.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when they cannot be read.
    fn list(&self, space: &SpaceId) -> Result<Vec<(String, String)>, LakeError>;
}

fn unavailable(error: kith_catalog::PointerError) -> LakeError {
    LakeError::unavailable("the table pointers could not be reached", error)
}

impl PointerStore for TablePointers {
    fn get(&self, space: &SpaceId, namespace: &str, table: &str) -> Result<Option<String>, LakeError> {
        self.get(space.as_str(), namespace, table).map_err(unavailable)
    }

    fn swap(
        &self,
        space: &SpaceId,
        namespace: &str,
        table: &str,
        expected: Option<&str>,
        new: &str,
    ) -> Result<bool, LakeError> {
        self.swap(space.as_str(), namespace, table, expected, new)
            .map_err(unavailable)
    }

    fn list(&self, space: &SpaceId) -> Result<Vec<(String, String)>, LakeError> {
        let tables = self.list(space.as_str()).map_err(unavailable)?;
        Ok(tables
            .into_iter()
            .map(|pointer| (pointer.namespace, pointer.table))
            .collect())
    }
}
