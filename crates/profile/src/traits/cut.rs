//! Stored traits passed over, or copied where they are asked for, without making anything of their values.

use super::TraitSet;
use crate::PartError;
use crate::codec::{Reader, put_flag, put_len};
use smallvec::SmallVec;

/// Numbers that a mark is written as.
const MARK_NUMBERS: usize = 5;
/// Observations that are kept apart once there are too many values.
const PICKS: usize = 5;

impl TraitSet {
    /// Appends what is stored of the traits of these names, sorted, or of all; answers how many entries there were in all.
    pub(crate) fn cut(
        reader: &mut Reader<'_>,
        names: Option<&[Box<str>]>,
        out: &mut Vec<u8>,
    ) -> Result<usize, PartError> {
        let limited = reader.flag()?;
        let length = reader.len(4)?;
        let mut kept: SmallVec<[&[u8]; 16]> = SmallVec::new();
        for _ in 0..length {
            let from = reader.at();
            let name = reader.pass_text()?;
            let wanted = names.is_none_or(|names| names.iter().any(|one| one.as_bytes() == name));
            pass_entry(reader)?;
            if wanted {
                kept.push(reader.since(from));
            }
        }
        put_flag(out, limited);
        put_len(out, kept.len());
        kept.iter().for_each(|entry| out.extend_from_slice(entry));
        Ok(length)
    }

    #[cfg(test)]
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.entries.retain(|entry| wanted(&entry.name));
    }
}

/// Passes over an entry, its name excepted.
fn pass_entry(reader: &mut Reader<'_>) -> Result<(), PartError> {
    reader.pass_text()?;
    reader.flag()?;
    for _ in 0..reader.len(3)? {
        reader.pass_value()?;
        // The count and the last mark.
        reader.pass_numbers(1 + MARK_NUMBERS)?;
        if reader.flag()? {
            reader.pass_numbers(MARK_NUMBERS)?;
        }
    }
    if reader.flag()? {
        for _ in 0..PICKS {
            if reader.flag()? {
                reader.pass_value()?;
                reader.pass_numbers(MARK_NUMBERS)?;
            }
        }
    }
    Ok(())
}
