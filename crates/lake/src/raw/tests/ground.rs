//! The places that the raw zone is tested on: a folder always; a bucket, and one with object lock, where the peers are
//! installed.

use crate::raw::{RawZone, RetentionAsked};
use crate::store::Store;
use kith_peers::S3Server;
use kith_s3::RetentionMode;
use kith_types::SystemClock;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// What the locked ground asks for.
pub(super) const LOCK: RetentionAsked = RetentionAsked {
    mode: RetentionMode::Compliance,
    days: 1,
};

/// A place under test.
pub(super) struct Ground {
    place: Place,
    zones: AtomicU32,
}

enum Place {
    Folder(TempDir),
    Bucket(Arc<S3Server>, &'static str, Option<RetentionAsked>),
}

/// Every place.
pub(super) fn grounds() -> Vec<Ground> {
    let mut places = vec![Place::Folder(TempDir::new().unwrap())];
    match S3Server::start().map(Arc::new) {
        Some(server) => places.extend([
            Place::Bucket(Arc::clone(&server), S3Server::PLAIN, None),
            Place::Bucket(server, S3Server::LOCKED, Some(LOCK)),
        ]),
        None => println!("on a folder only: KITH_PEERS is not set, so the peers are not installed"),
    }
    let ground = |place| Ground {
        place,
        zones: AtomicU32::new(0),
    };
    places.into_iter().map(ground).collect()
}

impl Ground {
    /// How far apart the bytes are that are spoilt one by one: a bucket is slower to ask.
    pub(super) fn stride(&self) -> usize {
        match self.place {
            Place::Folder(_) => 11,
            Place::Bucket(..) => 97,
        }
    }

    /// An empty zone, and the folder in which its objects are files.
    pub(super) fn fresh(&self) -> (RawZone, PathBuf) {
        let name = format!("zone{}", self.zones.fetch_add(1, Ordering::Relaxed));
        match &self.place {
            Place::Folder(folder) => {
                let folder = folder.path().join(name);
                (folder_zone(&folder), folder)
            }
            Place::Bucket(server, bucket, lock) => {
                let zone = bucket_zone(server.settings(bucket, &name), *lock);
                (zone, server.files(bucket).join(name))
            }
        }
    }
}

pub(super) fn folder_zone(folder: &Path) -> RawZone {
    RawZone::new(Store::open(folder.to_str().unwrap()).unwrap())
}

pub(super) fn bucket_zone(settings: kith_s3::S3Settings, lock: Option<RetentionAsked>) -> RawZone {
    RawZone::in_bucket(settings, lock, Arc::new(SystemClock)).unwrap()
}
