//! The `REMOVED` file: before which sequence number segments were removed on purpose.
//!
//! It stands on the disk before the first segment goes, so that a reader can tell what raw has (removed) from what nobody
//! ever had (numbers that a failed write passed over). Text with a checksum; a damaged one counts as having removed
//! everything that is not there, which has readers look in raw.

use crate::disk::Disk;
use crate::error::LogError;
use std::io;
use std::path::Path;

const REMOVED_FILE: &str = "REMOVED";
const BYTES_MAX: usize = 256;

fn text_of(before: u64) -> String {
    let text = format!("kith-log-removed 1\nbefore {before}\n");
    format!("{text}check {:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// The sequence number before which segments may have been removed; 0 where none ever was.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] for what the disk says.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<u64, LogError> {
    let failed = |error: io::Error| LogError::unavailable("read its REMOVED file", &error);
    let file = match disk.open(&dir.join(REMOVED_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = vec![0; BYTES_MAX];
    let read = file.read_at(0, &mut bytes).map_err(failed)?;
    bytes.truncate(read);
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let before = text
        .lines()
        .find_map(|line| line.strip_prefix("before "))
        .and_then(|number| number.parse().ok())
        .filter(|before| text_of(*before) == text);
    Ok(before.unwrap_or(u64::MAX))
}

/// Says that segments before a sequence number are about to be removed; durable when it returns.
///
/// # Errors
/// What the disk says.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, before: u64) -> io::Result<()> {
    let fresh = dir.join("REMOVED.new");
    match disk.remove(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&fresh)?;
    file.write_at(0, text_of(before).as_bytes())?;
    file.sync_data()?;
    disk.rename(&fresh, &dir.join(REMOVED_FILE))?;
    disk.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_version_1() {
        assert_eq!(text_of(7), "kith-log-removed 1\nbefore 7\ncheck 90af2731\n");
    }
}
