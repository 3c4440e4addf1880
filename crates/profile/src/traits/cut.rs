//! Stored traits passed over, or copied where they are asked for, without making anything of their values.

use super::TraitSet;
use crate::PartError;
use crate::codec::{MARK_NUMBERS, Reader, put_flag, put_len};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// Observations that are kept apart once there are too many values.
const PICKS: usize = 5;

/// What was found out while traits were cut.
pub(crate) struct CutTraits {
    /// How many entries there were in all.
    pub(crate) entries: usize,
    /// Whether each trait asked for has one source at most, and that one value at most.
    pub(crate) is_plain: bool,
}

/// An entry that was passed over, its name excepted.
struct Passed<'a> {
    left_out: bool,
    /// The first value, as it is stored.
    value: &'a [u8],
    values: usize,
    has_picks: bool,
}

impl TraitSet {
    /// Appends what is stored of the traits of these names, sorted, or of all; to `plain` what decides their values while they
    /// are plain and nothing else is said. What follows the last name asked for is not looked at where `to_end` is not set.
    pub(crate) fn cut(
        reader: &mut Reader<'_>,
        names: Option<&[Box<str>]>,
        to_end: bool,
        (out, plain): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<CutTraits, PartError> {
        let limited = reader.flag()?;
        let entries = reader.len(4)?;
        let mut kept: SmallVec<[&[u8]; 16]> = SmallVec::new();
        let mut is_plain = names.is_some();
        put_flag(plain, limited);
        // The place of the next name asked for, and of the last that was found.
        let (mut next, mut last) = (0, None);
        let mut before: &[u8] = &[];
        for _ in 0..entries {
            let from = reader.at();
            let name = reader.pass_text()?;
            if name < before {
                return Err(reader.damaged("traits are out of order"));
            }
            before = name;
            let is_asked_for = match names {
                Some(names) => {
                    // Both are sorted.
                    let mut order = Ordering::Less;
                    while order.is_lt() && next < names.len() {
                        order = names[next].as_bytes().cmp(name);
                        next += usize::from(order.is_lt());
                    }
                    if next == names.len() && !to_end {
                        break;
                    }
                    order.is_eq()
                }
                None => true,
            };
            let passed = pass_entry(reader)?;
            if is_asked_for {
                kept.push(reader.since(from));
                is_plain &= passed.values <= 1 && !passed.has_picks && last != Some(next);
                last = Some(next);
                put_len(plain, next);
                put_flag(plain, passed.left_out);
                put_len(plain, passed.values);
                plain.extend_from_slice(passed.value);
            }
        }
        put_flag(out, limited);
        put_len(out, kept.len());
        kept.iter().for_each(|entry| out.extend_from_slice(entry));
        Ok(CutTraits { entries, is_plain })
    }

    #[cfg(test)]
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.entries.retain(|entry| wanted(&entry.name));
    }
}

/// Passes over an entry, its name excepted.
fn pass_entry<'a>(reader: &mut Reader<'a>) -> Result<Passed<'a>, PartError> {
    reader.pass_text()?;
    let left_out = reader.flag()?;
    let values = reader.len(3)?;
    let mut value = None;
    for _ in 0..values {
        let from = reader.at();
        reader.pass_value()?;
        value = value.or(Some(reader.since(from)));
        // The count and the last mark.
        reader.pass_numbers(1 + MARK_NUMBERS)?;
        if reader.flag()? {
            reader.pass_numbers(MARK_NUMBERS)?;
        }
    }
    let has_picks = reader.flag()?;
    if has_picks {
        for _ in 0..PICKS {
            if reader.flag()? {
                reader.pass_value()?;
                reader.pass_numbers(MARK_NUMBERS)?;
            }
        }
    }
    Ok(Passed {
        left_out,
        value: value.unwrap_or_default(),
        values,
        has_picks,
    })
}
