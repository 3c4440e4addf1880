//! Objects: durable, atomic writes, conditional where asked, over one `object_store` client.
//!
//! The lake and the raw zone write through it, and readers share its client. On a local folder an object appears
//! under its name only when its bytes are on disk, and the folder that names it is synced too. It never overwrites
//! an object that was written create-only.

use crate::error::{ErrorKind, LakeError};
use crate::folder::{Disk, Folder, OsDisk};
use bytes::Bytes;
use futures::StreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

/// How a write treats an object that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// Replaces it; for names that carry a fresh UUID, so that nothing is ever replaced.
    Fresh,
    /// Leaves it and reports `false`.
    Create,
}

/// The object store of a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// The folder, where the store is one on this machine.
    folder: Option<Folder>,
    /// What turns an object's path into the location that Iceberg metadata names; ends without a slash.
    prefix: String,
}

impl Store {
    /// Opens a folder, given as a path or a `file://` URL, and makes it where there is none.
    pub(crate) fn open(root: &str) -> Result<Self, LakeError> {
        Self::on(root, Arc::new(OsDisk))
    }

    /// The same, writing through a disk, which must show what it holds as files under `root`.
    pub(crate) fn on(root: &str, disk: Arc<dyn Disk>) -> Result<Self, LakeError> {
        let folder = match root.split_once("://") {
            None => root,
            Some(("file", path)) => path,
            Some((scheme, _)) => {
                let message = format!("object stores of scheme {scheme:?} are not served: give a folder");
                return Err(LakeError::new(ErrorKind::Invalid, message));
            }
        };
        let unusable = |error: io::Error| {
            LakeError::because(
                ErrorKind::Unavailable,
                format!("the folder {folder} cannot be used"),
                error,
            )
        };
        let opened = Folder::open(FilePath::new(folder), disk).map_err(unusable)?;
        let objects = LocalFileSystem::new_with_prefix(opened.root())?;
        let prefix = format!("file://{}", opened.root().display());
        Ok(Self {
            objects: Arc::new(objects),
            folder: Some(opened),
            prefix,
        })
    }

    /// The client that readers share; its paths are relative to the root.
    pub(crate) fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The location that metadata names for an object.
    pub(crate) fn location(&self, path: &str) -> String {
        format!("{}/{path}", self.prefix)
    }

    /// The path of an object that metadata names by a location; an error where it lies outside the root.
    pub(crate) fn path_of<'a>(&self, location: &'a str) -> Result<&'a str, LakeError> {
        let plain = self.prefix.strip_prefix("file://").unwrap_or(&self.prefix);
        let inside = location
            .strip_prefix(self.prefix.as_str())
            .or_else(|| location.strip_prefix(plain));
        inside.and_then(|path| path.strip_prefix('/')).ok_or_else(|| {
            LakeError::new(
                ErrorKind::Damaged,
                format!(
                    "{location} lies outside the data folder {}: a folder stays where it was made, since tables name their files by that path",
                    self.prefix
                ),
            )
        })
    }

    /// Writes an object durably; false when `Put::Create` found one of that name.
    pub(crate) async fn put(&self, path: &str, bytes: Bytes, mode: Put) -> Result<bool, LakeError> {
        if let Some(folder) = &self.folder {
            let (folder, path) = (folder.clone(), path.to_owned());
            let written = tokio::task::spawn_blocking(move || folder.put(&path, &bytes, mode)).await;
            return written
                .map_err(io::Error::other)
                .and_then(|outcome| outcome)
                .map_err(|error| {
                    LakeError::because(ErrorKind::Unavailable, "an object could not be written durably", error)
                });
        }
        let put_mode = if mode == Put::Create {
            PutMode::Create
        } else {
            PutMode::Overwrite
        };
        match self
            .objects
            .put_opts(&parse(path)?, bytes.into(), PutOptions::from(put_mode))
            .await
        {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// All bytes of an object.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, LakeError> {
        Ok(self.objects.get(&parse(path)?).await?.bytes().await?)
    }

    /// Deletes an object; one that is gone already counts as deleted.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), LakeError> {
        match self.objects.delete(&parse(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of the folders directly beneath a path, in order.
    pub(crate) async fn folders(&self, path: &str) -> Result<Vec<String>, LakeError> {
        let listed = self.objects.list_with_delimiter(Some(&parse(path)?)).await?;
        let mut names: Vec<_> = listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The paths of all objects beneath a path, in order.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<String>, LakeError> {
        let prefix = parse(path)?;
        let mut listing = self.objects.list(Some(&prefix));
        let mut paths = Vec::new();
        while let Some(object) = listing.next().await {
            paths.push(object?.location.to_string());
        }
        paths.sort_unstable();
        Ok(paths)
    }
}

/// `Path::parse` keeps a path as it is; `Path::from` would encode what it finds.
fn parse(path: &str) -> Result<Path, LakeError> {
    Path::parse(path)
        .map_err(|error| LakeError::because(ErrorKind::Invalid, format!("{path} is not an object path"), error))
}
