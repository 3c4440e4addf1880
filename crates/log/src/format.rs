//! The `FORMAT` file, which says what the folder is, and the names of segment files.
//!
//! Four lines of text and a checksum: version, generation, partition, and the salt of the log's checksums. Written once,
//! when the log is begun. Never rewritten: a folder that says anything else is refused.

use crate::disk::Disk;
use crate::error::{ErrorKind, LogError};
use crate::segment::FORMAT_VERSION;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::Path;

pub(crate) const FORMAT_FILE: &str = "FORMAT";
pub(crate) const LOCK_FILE: &str = "LOCK";
pub(crate) const PROBE_FILE: &str = "PROBE";
pub(crate) const QUARANTINE_DIR: &str = "quarantine";
const SEGMENT_SUFFIX: &str = ".segment";
const FORMAT_BYTES_MAX: u64 = 4096;

/// The name of a segment: its first sequence, then its ordinal, which no two segments share.
pub(crate) fn segment_name(first_sequence: u64, ordinal: u64) -> String {
    format!("{first_sequence:020}-{ordinal:010}{SEGMENT_SUFFIX}")
}

/// First sequence and ordinal of a segment's name.
pub(crate) fn parse_segment_name(name: &str) -> Option<(u64, u64)> {
    let (first, ordinal) = name.strip_suffix(SEGMENT_SUFFIX)?.split_once('-')?;
    Some((first.parse().ok()?, ordinal.parse().ok()?))
}

/// The folder's format, as text.
pub(crate) fn format_text(generation: u16, partition: u16, salt: u64) -> String {
    let text = format!("kith-log {FORMAT_VERSION}\ngeneration {generation}\npartition {partition}\nsalt {salt:016x}\n");
    format!("{text}check {:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// Reads the folder's format, or begins it; returns the salt of its checksums.
///
/// # Errors
/// [`ErrorKind::Format`] for a format that this binary cannot serve, [`ErrorKind::Unavailable`] for what the disk says.
pub(crate) fn open_format(disk: &dyn Disk, dir: &Path, generation: u16, partition: u16) -> Result<u64, LogError> {
    let path = dir.join(FORMAT_FILE);
    match disk.open(&path) {
        Ok(file) => {
            let length = file
                .length()
                .map_err(|error| LogError::unavailable("read its FORMAT file", &error))?;
            let mut bytes = vec![0; length.min(FORMAT_BYTES_MAX) as usize];
            let read = file
                .read_at(0, &mut bytes)
                .map_err(|error| LogError::unavailable("read its FORMAT file", &error))?;
            bytes.truncate(read);
            parse_format(&bytes, dir, generation, partition)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => begin_format(disk, dir, generation, partition),
        Err(error) => Err(LogError::unavailable("open its FORMAT file", &error)),
    }
}

fn begin_format(disk: &dyn Disk, dir: &Path, generation: u16, partition: u16) -> Result<u64, LogError> {
    let names = disk
        .list(dir)
        .map_err(|error| LogError::unavailable("list its folder", &error))?;
    if names.iter().any(|name| parse_segment_name(name).is_some()) {
        return Err(LogError::new(
            ErrorKind::Format,
            format!(
                "the folder {} holds segments but no FORMAT file: restore FORMAT from a backup of the folder, or move the folder \
                 away and rebuild from raw",
                dir.display()
            ),
        ));
    }
    // The only wish is that no client can guess it; the standard library's hasher keys are random.
    let salt = std::collections::hash_map::RandomState::new().build_hasher().finish();
    let write = || -> io::Result<()> {
        let fresh = dir.join("FORMAT.new");
        match disk.remove(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&fresh)?;
        file.write_at(0, format_text(generation, partition, salt).as_bytes())?;
        file.sync_data()?;
        disk.rename(&fresh, &dir.join(FORMAT_FILE))?;
        disk.sync_dir(dir)
    };
    write().map_err(|error| LogError::unavailable("write its FORMAT file", &error))?;
    Ok(salt)
}

fn parse_format(bytes: &[u8], dir: &Path, generation: u16, partition: u16) -> Result<u64, LogError> {
    let refused = |why: String| {
        Err(LogError::new(
            ErrorKind::Format,
            format!("the log in {} {why}", dir.display()),
        ))
    };
    let damaged = || {
        refused(
            "has a damaged or unknown FORMAT file: restore FORMAT from a backup of the folder, or move the folder away and \
             rebuild from raw"
                .to_owned(),
        )
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return damaged();
    };
    let Some(version) = text.lines().next().and_then(|line| line.strip_prefix("kith-log ")) else {
        return damaged();
    };
    match version.parse::<u32>() {
        Ok(version) if version == u32::from(FORMAT_VERSION) => {}
        Ok(version) if version > u32::from(FORMAT_VERSION) => {
            return refused(format!(
                "has format {version}, and this binary reads format {FORMAT_VERSION}: start the newer version of kith that wrote it"
            ));
        }
        Ok(version) => {
            return refused(format!(
                "has format {version}, which no version of kith has written: check that the folder is the right one"
            ));
        }
        Err(_) => return damaged(),
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let numbers = (
        field("generation").and_then(|n| n.parse().ok()),
        field("partition").and_then(|n| n.parse().ok()),
    );
    let salt = field("salt").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let (Some(found_generation), Some(found_partition), Some(salt)) = (numbers.0, numbers.1, salt) else {
        return damaged();
    };
    if format_text(found_generation, found_partition, salt) != text {
        return damaged();
    }
    if (found_generation, found_partition) != (generation, partition) {
        return refused(format!(
            "is generation {found_generation}, partition {found_partition}, but generation {generation}, partition {partition} was \
             asked for: name another folder, or set the generation and partition that it was begun with"
        ));
    }
    Ok(salt)
}
