//! A bucket, as the raw zone uses it: putting what is not there, reading, listing, versions and their locks.
//!
//! Names are relative to the settings' prefix. Nothing here replaces or deletes an object.

use crate::answer::{self, Listed, Page, Version, Versions};
use crate::error::{S3Error, S3ErrorKind};
use crate::sending::{Request, Sender};
use crate::settings::{Retention, S3Settings};
use bytes::Bytes;
use kith_types::{Clock, Timestamp};
use reqwest::Method;
use std::fmt;
use std::sync::Arc;

/// No listing has more pages: a hundred million names.
const PAGES_MAX: usize = 100_000;

/// A bucket on S3 or on a store that speaks its protocol. Cheap to share: hand it about in an `Arc`.
pub struct Bucket {
    sender: Sender,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.name())
    }
}

impl Bucket {
    /// A client for a bucket; nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`S3ErrorKind::Misconfigured`] for settings that cannot be used.
    pub fn new(settings: S3Settings, clock: Arc<dyn Clock>) -> Result<Self, S3Error> {
        Ok(Self {
            sender: Sender::new(settings, clock)?,
        })
    }

    /// What to call it: `s3://bucket/prefix at https://host`.
    #[must_use]
    pub fn name(&self) -> String {
        let S3Settings { bucket, prefix, .. } = self.sender.settings();
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("s3://{bucket}{slash}{prefix} at {}", self.sender.address())
    }

    /// The moment by the clock that signs.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.sender.clock().now()
    }

    /// Puts an object where there is none of that name; false where there is one. A try whose answer was lost may have
    /// been the one that put it: what stands there then tells.
    ///
    /// # Errors
    /// What the store refused, or that it did not answer.
    pub async fn put_new(&self, path: &str, bytes: Bytes, lock: Option<Retention>) -> Result<bool, S3Error> {
        let key = self.key(path);
        let mut headers = vec![
            ("if-none-match", "*".to_owned()),
            ("content-type", content_type(path).to_owned()),
        ];
        if let Some(lock) = lock {
            headers.push(("x-amz-object-lock-mode", lock.mode.name().to_owned()));
            headers.push(("x-amz-object-lock-retain-until-date", lock.until.to_string()));
        }
        let what = format!("the write of {path}");
        let request = Request {
            method: Method::PUT,
            key: Some(&key),
            query: Vec::new(),
            headers,
            body: bytes,
            what: &what,
        };
        Ok(self.sender.send(&request, &[412]).await?.status != 412)
    }

    /// Reads an object, or one version of it.
    ///
    /// # Errors
    /// [`S3ErrorKind::NotFound`] where there is none; else as [`Bucket::put_new`].
    pub async fn get(&self, path: &str, version: Option<&str>) -> Result<Bytes, S3Error> {
        let key = self.key(path);
        let what = format!("the read of {path}");
        let query = version.map(|version| ("versionId", version.to_owned()));
        Ok(self.ask(Some(&key), query.into_iter().collect(), &what).await?.bytes)
    }

    /// The names of all objects beneath a path that ends with a slash, or, `shallow`, of objects and folders directly beneath.
    ///
    /// # Errors
    /// As [`Bucket::put_new`].
    pub async fn list(&self, path: &str, shallow: bool) -> Result<Listed, S3Error> {
        let mut query = vec![("list-type", "2".to_owned()), ("prefix", self.key(path))];
        if shallow {
            query.push(("delimiter", "/".to_owned()));
        }
        let mut listed = Listed::default();
        self.pages(&query, path, answer::listing, |page| {
            listed.keys.extend(page.keys.iter().filter_map(|key| self.path(key)));
            listed
                .folders
                .extend(page.folders.iter().filter_map(|key| self.path(key)));
        })
        .await?;
        Ok(listed)
    }

    /// All versions beneath a path, marks of deletion among them; or, `shallow`, those directly beneath and folders.
    ///
    /// # Errors
    /// As [`Bucket::put_new`].
    pub async fn versions(&self, path: &str, shallow: bool) -> Result<Versions, S3Error> {
        let mut query = vec![("prefix", self.key(path)), ("versions", String::new())];
        if shallow {
            query.push(("delimiter", "/".to_owned()));
        }
        let (mut found, mut before) = (Versions::default(), Vec::new());
        self.pages(&query, path, answer::versions, |page| {
            // Some stores begin a page with what ended the one before.
            let fresh = page.versions.iter().filter(|version| !before.contains(*version));
            found.versions.extend(fresh.filter_map(|version| {
                let key = self.path(&version.key)?;
                Some(Version { key, ..version.clone() })
            }));
            before = page.versions;
            for folder in page.folders.iter().filter_map(|key| self.path(key)) {
                if found.folders.last() != Some(&folder) {
                    found.folders.push(folder);
                }
            }
        })
        .await?;
        Ok(found)
    }

    /// The lock of an object or of one version of it; none where it has none.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn retention(&self, path: &str, version: Option<&str>) -> Result<Option<Retention>, S3Error> {
        let key = self.key(path);
        let mut query = vec![("retention", String::new())];
        query.extend(version.map(|version| ("versionId", version.to_owned())));
        let what = format!("the question for the retention of {path}");
        match self.ask(Some(&key), query, &what).await {
            Ok(answer) => answer::retention(&answer.bytes),
            Err(error) if error.code() == "NoSuchObjectLockConfiguration" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks one version of an object, or locks it for longer; that it is locked so already is no error.
    ///
    /// # Errors
    /// [`S3ErrorKind::Denied`] where the lock would be weaker than the one that is there, or the right to lock is missing;
    /// else as [`Bucket::get`].
    pub async fn retain(&self, path: &str, version: &str, lock: Retention) -> Result<(), S3Error> {
        let key = self.key(path);
        let what = format!("the lock of {path}");
        let request = Request {
            method: Method::PUT,
            key: Some(&key),
            query: vec![("retention", String::new()), ("versionId", version.to_owned())],
            headers: vec![("content-type", "application/xml".to_owned())],
            body: answer::retention_asked(lock).into(),
            what: &what,
        };
        self.sender.send(&request, &[]).await.map(|_| ())
    }

    /// Whether the bucket keeps versions, or has kept them. It also tells whether there is such a bucket.
    ///
    /// # Errors
    /// [`S3ErrorKind::Misconfigured`] where there is none; else as [`Bucket::put_new`].
    pub async fn has_versions(&self) -> Result<bool, S3Error> {
        let query = vec![("versioning", String::new())];
        match self.ask(None, query, "the question for the bucket's versioning").await {
            Ok(answer) => Ok(crate::xml::first(&answer.bytes, "Status")?.is_some_and(|status| !status.is_empty())),
            // A store that does not know the question keeps none.
            Err(error) if matches!(error.code(), "NotImplemented" | "MethodNotAllowed") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the bucket was made with object lock.
    ///
    /// # Errors
    /// As [`Bucket::has_versions`].
    pub async fn has_object_lock(&self) -> Result<bool, S3Error> {
        let query = vec![("object-lock", String::new())];
        match self.ask(None, query, "the question for the bucket's object lock").await {
            Ok(answer) => Ok(crate::xml::first(&answer.bytes, "ObjectLockEnabled")?.as_deref() == Some("Enabled")),
            Err(error) if error.kind() == S3ErrorKind::NotFound => Ok(false),
            Err(error) if matches!(error.code(), "NotImplemented" | "MethodNotAllowed") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        key: Option<&str>,
        query: Vec<(&'static str, String)>,
        what: &str,
    ) -> Result<crate::sending::Answer, S3Error> {
        let request = Request {
            method: Method::GET,
            key,
            query,
            headers: Vec::new(),
            body: Bytes::new(),
            what,
        };
        self.sender.send(&request, &[]).await
    }

    async fn pages<T>(
        &self,
        query: &[(&'static str, String)],
        path: &str,
        read: fn(&[u8]) -> Result<Page<T>, S3Error>,
        mut take: impl FnMut(T),
    ) -> Result<(), S3Error> {
        let what = format!("the listing of {path}");
        let (mut next, mut before) = (Vec::new(), Vec::new());
        for _ in 0..PAGES_MAX {
            let size = ("max-keys", self.sender.settings().names_per_page.to_string());
            let asked = query.iter().cloned().chain([size]).chain(next).collect();
            let answer = self.ask(None, asked, &what).await?;
            let page = read(&answer.bytes)?;
            take(page.found);
            if page.next.is_empty() {
                return Ok(());
            }
            if page.next == before {
                return Err(S3Error::new(S3ErrorKind::Malformed, format!("{what} does not go on")));
            }
            before.clone_from(&page.next);
            next = page.next;
        }
        let message = format!("{what} has more than {PAGES_MAX} pages");
        Err(S3Error::new(S3ErrorKind::Malformed, message))
    }

    fn key(&self, path: &str) -> String {
        match self.sender.settings().prefix.as_str() {
            "" => path.to_owned(),
            prefix => format!("{prefix}/{path}"),
        }
    }

    /// The name without the prefix; none for what lies outside.
    fn path(&self, key: &str) -> Option<String> {
        match self.sender.settings().prefix.as_str() {
            "" => Some(key.to_owned()),
            prefix => key.strip_prefix(prefix)?.strip_prefix('/').map(str::to_owned),
        }
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("zst") => "application/zstd",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}
