//! Raw objects in a bucket of S3 or of a store that speaks its protocol, under retention where that is asked for.
//!
//! It works with the client in `kith-s3`. Before the first use it looks whether the bucket can keep the promises: object
//! lock where a retention is asked for, and writes that never replace. In a bucket that keeps versions the first version of
//! a name is the object: an overwrite or a deletion by somebody else covers it, and is named.

use super::line;
use super::objects::{Guarded, Guards, RawObjects};
use crate::error::{ErrorKind, LakeError};
use async_trait::async_trait;
use bytes::Bytes;
use kith_s3::{Bucket, Retention, RetentionMode, S3Error, S3ErrorKind, S3Settings, Version};
use kith_types::{Clock, Duration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// What shows that the store does not replace objects.
const PROBE: &str = "raw/_store.json";
const PROBE_FIRST: &str = "{\"v\":1,\"format\":\"kith raw zone\"}\n";
const PROBE_SECOND: &str = "{\"v\":1,\"format\":\"kith raw zone\",\"replaced\":true}\n";
/// How many versions of one object are read to find the one that was written.
const VERSIONS_READ_MAX: usize = 16;
/// How much the store's clock and this machine's may differ: no request is taken beyond it.
const SKEW_MICROS: i64 = 15 * 60 * 1_000_000;
const DAY_MICROS: i64 = 86_400 * 1_000_000;
/// For how long a look at the bucket counts: versioning may be turned on at any time, never off again.
const LOOKED_FOR: Duration = Duration::from_micros(600 * 1_000_000);

/// For how long objects are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionAsked {
    /// How firmly.
    pub mode: RetentionMode,
    /// For how many days from their writing on.
    pub days: u16,
}

impl RetentionAsked {
    fn span(self) -> Duration {
        Duration::from_micros(i64::from(self.days) * DAY_MICROS)
    }
}

/// A bucket as a place for raw objects.
#[derive(Debug)]
pub(super) struct S3Objects {
    bucket: Bucket,
    retention: Option<RetentionAsked>,
    checked: Mutex<Option<Checked>>,
}

#[derive(Clone, Copy, Debug)]
struct Checked {
    has_versions: bool,
    at: Timestamp,
}

impl From<S3Error> for LakeError {
    fn from(error: S3Error) -> Self {
        let kind = match error.kind() {
            S3ErrorKind::NotFound => ErrorKind::NotFound,
            S3ErrorKind::Denied | S3ErrorKind::Misconfigured => ErrorKind::Invalid,
            S3ErrorKind::Unavailable | S3ErrorKind::Malformed => ErrorKind::Unavailable,
        };
        let message = match kind {
            ErrorKind::NotFound => "an object is not there",
            ErrorKind::Invalid => "the object store refused",
            _ => "the object store failed",
        };
        Self::because(kind, message, error)
    }
}

fn invalid(message: String) -> LakeError {
    LakeError::new(ErrorKind::Invalid, message)
}

impl S3Objects {
    pub(super) fn new(
        settings: S3Settings,
        retention: Option<RetentionAsked>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LakeError> {
        Ok(Self {
            bucket: Bucket::new(settings, clock)?,
            retention,
            checked: Mutex::default(),
        })
    }

    /// What the bucket keeps: looked at before the first use, and whether it keeps versions again from time to time.
    async fn ready(&self) -> Result<Checked, LakeError> {
        let mut checked = self.checked.lock().await;
        let now = self.bucket.now();
        let ready = match *checked {
            Some(known) if known.has_versions || now < known.at + LOOKED_FOR => return Ok(known),
            Some(_) => Checked {
                has_versions: self.bucket.has_versions().await?,
                at: now,
            },
            None => self.look().await?,
        };
        *checked = Some(ready);
        Ok(ready)
    }

    async fn look(&self) -> Result<Checked, LakeError> {
        let has_versions = self.bucket.has_versions().await?;
        if let Some(retention) = self.retention
            && !self.bucket.has_object_lock().await?
        {
            return Err(invalid(format!(
                "a retention of {} days is asked for, and {} has no object lock: make a bucket with object lock, or leave \
                 the retention out",
                retention.days,
                self.bucket.name()
            )));
        }
        if !self.bucket.put_new(PROBE, PROBE_FIRST.into(), self.lock()).await? {
            self.relock(PROBE).await?;
        }
        if self.bucket.put_new(PROBE, PROBE_SECOND.into(), self.lock()).await? {
            return Err(invalid(format!(
                "{} replaces objects though it is asked not to (If-None-Match: *): raw objects cannot be written once there",
                self.bucket.name()
            )));
        }
        tracing::info!(raw = %self.bucket.name(), has_versions, locks = self.retention.is_some(), "the raw zone's bucket is sound");
        Ok(Checked {
            has_versions,
            at: self.bucket.now(),
        })
    }

    /// The lock for what is written now, to the next whole second.
    fn lock(&self) -> Option<Retention> {
        let asked = self.retention?;
        let until = self.bucket.now() + asked.span();
        let second = until.as_micros().div_euclid(1_000_000) + 1;
        Some(Retention {
            mode: asked.mode,
            until: Timestamp::from_micros(second.saturating_mul(1_000_000)),
        })
    }

    /// Locks the first version of a name where it has no lock and one is asked for. One that is weaker than what is asked
    /// for stays: to extend it is the operator's decision, and verification names it.
    async fn relock(&self, path: &str) -> Result<(), LakeError> {
        let Some(asked) = self.lock() else { return Ok(()) };
        let versions = self.versions_of(path).await?;
        let Some(first) = versions.first() else { return Ok(()) };
        if self.bucket.retention(path, Some(&first.id)).await?.is_none() {
            self.bucket.retain(path, &first.id, asked).await?;
            tracing::warn!(path, until = %asked.until, "an object of raw that was there without its lock has been locked");
        }
        Ok(())
    }

    /// The versions of one name, oldest first, without marks of deletion.
    async fn versions_of(&self, path: &str) -> Result<Vec<Version>, LakeError> {
        let mut found = self.bucket.versions(path, false).await?.versions;
        found.retain(|version| version.key == path && !version.deletes);
        found.reverse();
        Ok(found)
    }
}

#[async_trait]
impl RawObjects for S3Objects {
    fn name(&self) -> String {
        self.bucket.name()
    }

    async fn check(&self) -> Result<(), LakeError> {
        self.ready().await.map(|_| ())
    }

    async fn create(&self, path: &str, bytes: Bytes) -> Result<bool, LakeError> {
        self.ready().await?;
        Ok(self.bucket.put_new(path, bytes, self.lock()).await?)
    }

    async fn lock_found(&self, path: &str) -> Result<(), LakeError> {
        self.ready().await?;
        self.relock(path).await
    }

    async fn get(&self, path: &str) -> Result<Bytes, LakeError> {
        if !self.ready().await?.has_versions {
            return Ok(self.bucket.get(path, None).await?);
        }
        let versions = self.versions_of(path).await?;
        let Some(first) = versions.first() else {
            let message = format!("{path} has no version that could be read");
            return Err(LakeError::new(ErrorKind::NotFound, message));
        };
        Ok(self.bucket.get(path, Some(&first.id)).await?)
    }

    async fn get_hashed(&self, path: &str, sha256: &str) -> Result<Bytes, LakeError> {
        let has_versions = self.ready().await?.has_versions;
        let latest = self.bucket.get(path, None).await;
        match &latest {
            Ok(stored) if !has_versions || line::sha256_hex(stored) == sha256 => {}
            Err(error) if !has_versions || error.kind() != S3ErrorKind::NotFound => {}
            _ => {
                for version in self.versions_of(path).await?.iter().take(VERSIONS_READ_MAX) {
                    let stored = self.bucket.get(path, Some(&version.id)).await?;
                    if line::sha256_hex(&stored) == sha256 {
                        return Ok(stored);
                    }
                }
            }
        }
        Ok(latest?)
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, LakeError> {
        let folder = format!("{path}/");
        let mut paths = if self.ready().await?.has_versions {
            let found = self.bucket.versions(&folder, false).await?.versions;
            let there = found.into_iter().filter(|version| !version.deletes);
            there.map(|version| version.key).collect()
        } else {
            self.bucket.list(&folder, false).await?.keys
        };
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }

    async fn folders(&self, path: &str) -> Result<Vec<String>, LakeError> {
        let folder = format!("{path}/");
        let found = if self.ready().await?.has_versions {
            self.bucket.versions(&folder, true).await?.folders
        } else {
            self.bucket.list(&folder, true).await?.folders
        };
        let mut names: Vec<String> = (found.iter())
            .filter_map(|found| Some(found.strip_prefix(&folder)?.trim_end_matches('/').to_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn guards(&self, path: &str) -> Result<Option<Guards>, LakeError> {
        if !self.ready().await?.has_versions {
            return Ok(None);
        }
        let mut by_name: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for version in self.bucket.versions(&format!("{path}/"), false).await?.versions {
            by_name.entry(version.key.clone()).or_default().push(version);
        }
        let mut guards = Guards {
            locks: self.retention.is_some(),
            ..Guards::default()
        };
        for (name, versions) in by_name {
            let Some(first) = versions.iter().rev().find(|version| !version.deletes) else {
                // Nothing of it can be read: it counts as gone where something lists it.
                continue;
            };
            if let Some(reason) = covering(first, &versions) {
                guards.covered.push((name.clone(), reason));
            }
            let guarded = Guarded {
                version: first.id.clone(),
                taken_at: first.taken_at,
            };
            guards.versions.insert(name, guarded);
        }
        Ok(Some(guards))
    }

    async fn lock_fault(&self, path: &str, guarded: &Guarded) -> Result<Option<String>, LakeError> {
        let Some(asked) = self.retention else {
            return Ok(None);
        };
        let (mode, days) = (asked.mode.name(), asked.days);
        let wanted = format!("{mode} for {days} days is asked for");
        let Some(lock) = self.bucket.retention(path, Some(&guarded.version)).await? else {
            return Ok(Some(format!("it is not locked, and {wanted}")));
        };
        // Written at this moment by the store's clock, and locked by this machine's.
        let needed = guarded
            .taken_at
            .map(|taken| taken + asked.span() - Duration::from_micros(SKEW_MICROS));
        let short = needed.is_some_and(|needed| lock.until < needed);
        Ok((lock.mode < asked.mode || short).then(|| {
            format!(
                "it is locked by {} until {}, and {wanted}: extend its retention",
                lock.mode.name(),
                lock.until
            )
        }))
    }
}

/// What lies over the first version of a name.
fn covering(first: &Version, versions: &[Version]) -> Option<String> {
    if versions.len() == 1 {
        return None;
    }
    let marks: Vec<&str> = (versions.iter())
        .filter(|version| version.deletes)
        .map(|version| version.id.as_str())
        .collect();
    let later: Vec<&str> = (versions.iter())
        .filter(|version| !version.deletes && version.id != first.id)
        .map(|version| version.id.as_str())
        .collect();
    let mut told = Vec::new();
    if !marks.is_empty() {
        told.push(format!("it was deleted (marks {})", some_of(&marks)));
    }
    if !later.is_empty() {
        told.push(format!("it was written over (versions {})", some_of(&later)));
    }
    Some(format!(
        "{}; the first version {} stands and is what Kith reads: remove what covers it, for others read that",
        told.join(" and "),
        first.id
    ))
}

/// Names a few.
fn some_of(ids: &[&str]) -> String {
    const NAMED: usize = 3;
    let more = ids.len().saturating_sub(NAMED);
    let named = ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if more == 0 {
        named
    } else {
        format!("{named} and {more} more")
    }
}
