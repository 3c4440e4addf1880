//! Passing over what is not asked for. What is passed over is measured and no more; whoever reads it checks it.

use super::Reader;
use crate::PartError;
use crate::limits::MAX_VALUE_DEPTH;
use kith_types::end_of_numbers;

impl<'a> Reader<'a> {
    /// How many bytes were read.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes that were read since a place.
    #[inline]
    pub(crate) fn since(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    /// What is left, all of it.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }

    /// Passes over so many numbers of any length; at least one.
    #[inline]
    pub(crate) fn pass_numbers(&mut self, count: usize) -> Result<(), PartError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = end_of_numbers(rest, count).ok_or_else(|| self.damaged("the end is missing"))?;
        self.at += end;
        Ok(())
    }

    /// Passes over a text; answers its bytes.
    #[inline]
    pub(crate) fn pass_text(&mut self) -> Result<&'a [u8], PartError> {
        let length = self.len(1)?;
        self.take(length)
    }

    #[inline]
    pub(crate) fn pass_value(&mut self) -> Result<(), PartError> {
        self.pass_value_within(MAX_VALUE_DEPTH)
    }

    fn pass_value_within(&mut self, depth: usize) -> Result<(), PartError> {
        match self.byte()? {
            0..=2 => Ok(()),
            3 => self.pass_numbers(2),
            4 => self.pass_text().map(drop),
            tag @ (5 | 6) => {
                let depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| self.damaged("a value nests too deep"))?;
                for _ in 0..self.len(1)? {
                    if tag == 6 {
                        self.pass_text()?;
                    }
                    self.pass_value_within(depth)?;
                }
                Ok(())
            }
            _ => Err(self.damaged("an unknown kind of value")),
        }
    }
}
