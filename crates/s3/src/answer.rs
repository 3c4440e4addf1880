//! Answers of the store in our own words: objects, listings page by page, versions, retention.
//!
//! It works with `bucket.rs`, which asks. Every page says where the next one begins, or that there is none.

use crate::error::{S3Error, S3ErrorKind};
use crate::settings::{Retention, RetentionMode};
use crate::xml::{self, Met};
use kith_types::Timestamp;

/// Names beneath a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Of objects.
    pub keys: Vec<String>,
    /// Of what ends at the next slash, with the slash.
    pub folders: Vec<String>,
}

/// A version of an object, or a mark that it was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The object's name.
    pub key: String,
    /// Which version.
    pub id: String,
    /// Whether it only marks a deletion.
    pub deletes: bool,
    /// Whether it is what a read without a version gives.
    pub is_latest: bool,
    /// When the store took it.
    pub taken_at: Option<Timestamp>,
}

/// What stands beneath a path, deleted or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Name by name, those of a name newest first.
    pub versions: Vec<Version>,
    /// What ends at the next slash, with the slash.
    pub folders: Vec<String>,
}

/// A page of names, and what to ask for the next one with.
#[derive(Debug, Default)]
pub(crate) struct Page<T> {
    pub(crate) found: T,
    pub(crate) next: Vec<(&'static str, String)>,
}

fn is(path: &[String], names: &[&str]) -> bool {
    // The root's own name differs between stores.
    path.get(1..).is_some_and(|path| path == names)
}

fn unfinished() -> S3Error {
    let message = "a listing of the store goes on, and the answer does not say where";
    S3Error::new(S3ErrorKind::Malformed, message)
}

pub(crate) fn listing(document: &[u8]) -> Result<Page<Listed>, S3Error> {
    let (mut page, mut goes_on, mut token) = (Page::<Listed>::default(), false, String::new());
    xml::walk(document, |met| {
        let Met::End(path, text) = met else { return };
        if is(path, &["Contents", "Key"]) {
            page.found.keys.push(text.to_owned());
        } else if is(path, &["CommonPrefixes", "Prefix"]) {
            page.found.folders.push(text.to_owned());
        } else if is(path, &["IsTruncated"]) {
            goes_on = text == "true";
        } else if is(path, &["NextContinuationToken"]) {
            text.clone_into(&mut token);
        }
    })?;
    if goes_on {
        if token.is_empty() {
            return Err(unfinished());
        }
        page.next = vec![("continuation-token", token)];
    }
    Ok(page)
}

pub(crate) fn versions(document: &[u8]) -> Result<Page<Versions>, S3Error> {
    let (mut page, mut goes_on) = (Page::<Versions>::default(), false);
    let (mut key_marker, mut version_marker) = (String::new(), String::new());
    xml::walk(document, |met| match met {
        Met::Begin(path) if is(path, &["Version"]) || is(path, &["DeleteMarker"]) => {
            page.found.versions.push(Version {
                deletes: is(path, &["DeleteMarker"]),
                ..Version::default()
            });
        }
        Met::Begin(_) => {}
        Met::End(path, text) if is(path, &["CommonPrefixes", "Prefix"]) => page.found.folders.push(text.to_owned()),
        Met::End(path, text) if path.len() == 3 => {
            let of_version = path
                .get(1)
                .is_some_and(|name| name == "Version" || name == "DeleteMarker");
            let Some(version) = page.found.versions.last_mut().filter(|_| of_version) else {
                return;
            };
            match path.last().map(String::as_str) {
                Some("Key") => text.clone_into(&mut version.key),
                Some("VersionId") => text.clone_into(&mut version.id),
                Some("IsLatest") => version.is_latest = text == "true",
                Some("LastModified") => version.taken_at = Timestamp::parse(text).ok(),
                _ => {}
            }
        }
        Met::End(path, text) => {
            if is(path, &["IsTruncated"]) {
                goes_on = text == "true";
            } else if is(path, &["NextKeyMarker"]) {
                text.clone_into(&mut key_marker);
            } else if is(path, &["NextVersionIdMarker"]) {
                text.clone_into(&mut version_marker);
            }
        }
    })?;
    if goes_on {
        if key_marker.is_empty() {
            return Err(unfinished());
        }
        page.next = vec![("key-marker", key_marker)];
        if !version_marker.is_empty() {
            page.next.push(("version-id-marker", version_marker));
        }
    }
    Ok(page)
}

pub(crate) fn retention(document: &[u8]) -> Result<Option<Retention>, S3Error> {
    let (mode, until) = (xml::first(document, "Mode")?, xml::first(document, "RetainUntilDate")?);
    let (Some(mode), Some(until)) = (mode, until) else {
        return Ok(None);
    };
    let wrong = || {
        S3Error::new(
            S3ErrorKind::Malformed,
            format!("a retention of {mode:?} until {until:?} does not read"),
        )
    };
    Ok(Some(Retention {
        mode: RetentionMode::parse(&mode).ok_or_else(wrong)?,
        until: Timestamp::parse(&until).map_err(|_| wrong())?,
    }))
}

/// What asks for a retention: the document that [`retention`] reads.
pub(crate) fn retention_asked(lock: Retention) -> String {
    let (mode, until) = (lock.mode.name(), lock.until);
    format!(
        "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
    )
}
