//! Folds that were made, by their carriers: in memory while they are small, in a file without a name beyond that.

use std::fs::File;
use std::io::{BufWriter, Error, Result, Write};
use std::os::unix::fs::FileExt;

/// Bytes of all folds that are held in memory.
const HELD_BYTES: u64 = if cfg!(test) { 2_000 } else { 128 << 20 };
/// Bytes before a fold: its carrier, its length.
const HEAD_BYTES: usize = 20;
/// Bytes read at once where a fold is in the file: most folds are whole within them.
const READ_BYTES: usize = 512;
/// Carriers that share an entry of the directory, about.
const TOGETHER: usize = 4;

/// Folds that are written one after the other.
pub(super) struct FoldsMaking {
    writer: BufWriter<File>,
    /// The first half of a carrier's hash and the place of its fold: 16 bytes for each carrier.
    places: Vec<(u64, u64)>,
    length: u64,
}

/// Folds, and where each is.
pub(super) struct FoldsMade {
    file: File,
    /// All of the file, where it is small.
    held: Option<Vec<u8>>,
    length: u64,
    /// As [`FoldsMaking::places`], sorted.
    places: Vec<(u64, u64)>,
    /// Where the places begin whose hashes have the leading bits of that number, and one more where all end: hashes are as good as
    /// drawn by lot, so that a carrier is found, or missed, in few looks.
    directory: Vec<u32>,
    leading_bits: u32,
}

impl FoldsMaking {
    /// None yet, to be written into an empty file.
    pub(super) fn new(file: File) -> Self {
        Self {
            writer: BufWriter::with_capacity(1 << 20, file),
            places: Vec::new(),
            length: 0,
        }
    }

    /// Takes the fold of a carrier, which comes once.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn take(&mut self, carrier: u128, fold: &[u8]) -> Result<()> {
        let length = u32::try_from(fold.len()).map_err(Error::other)?;
        self.writer.write_all(&carrier.to_be_bytes())?;
        self.writer.write_all(&length.to_be_bytes())?;
        self.writer.write_all(fold)?;
        self.places.push((half_of(carrier), self.length));
        self.length += (HEAD_BYTES + fold.len()) as u64;
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// A file that cannot be written or read.
    pub(super) fn made(self) -> Result<FoldsMade> {
        let Self {
            writer,
            mut places,
            length,
        } = self;
        let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        places.sort_unstable();
        let leading_bits = (places.len() / TOGETHER).next_power_of_two().trailing_zeros();
        let mut directory = Vec::with_capacity((1 << leading_bits) + 1);
        for (at, (half, _)) in places.iter().enumerate() {
            let at = u32::try_from(at).map_err(Error::other)?;
            directory.resize(directory.len().max(leading(*half, leading_bits) + 1), at);
        }
        let end = u32::try_from(places.len()).map_err(Error::other)?;
        directory.resize((1 << leading_bits) + 1, end);
        let held = match length <= HELD_BYTES {
            true => {
                let mut bytes = vec![0; usize::try_from(length).map_err(Error::other)?];
                file.read_exact_at(&mut bytes, 0)?;
                Some(bytes)
            }
            false => None,
        };
        Ok(FoldsMade {
            file,
            held,
            length,
            places,
            directory,
            leading_bits,
        })
    }
}

impl FoldsMade {
    /// How many carriers have one.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The fold of a carrier; `None` where none was taken.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn find(&self, carrier: u128) -> Result<Option<Vec<u8>>> {
        let half = half_of(carrier);
        let entry = leading(half, self.leading_bits);
        let own = self.directory[entry] as usize..self.directory[entry + 1] as usize;
        for (_, place) in self.places[own].iter().filter(|(known, _)| *known == half) {
            if let Some(fold) = self.read(*place, carrier)? {
                return Ok(Some(fold));
            }
        }
        Ok(None)
    }

    /// The fold at a place, where it is of this carrier.
    fn read(&self, place: u64, carrier: u128) -> Result<Option<Vec<u8>>> {
        let cut_short = || Error::other("a fold is cut short");
        let mut read = [0; READ_BYTES];
        let there = match &self.held {
            Some(held) => held
                .get(usize::try_from(place).map_err(Error::other)?..)
                .ok_or_else(cut_short)?,
            None => {
                let there = self.length.saturating_sub(place).min(READ_BYTES as u64);
                let read = &mut read[..usize::try_from(there).map_err(Error::other)?];
                self.file.read_exact_at(read, place)?;
                read
            }
        };
        let (head, begins) = there.split_at_checked(HEAD_BYTES).ok_or_else(cut_short)?;
        let (of, length) = head.split_at(16);
        if of != carrier.to_be_bytes() {
            return Ok(None);
        }
        let length = u32::from_be_bytes(length.try_into().map_err(Error::other)?) as usize;
        let mut fold = begins[..length.min(begins.len())].to_vec();
        if length > fold.len() {
            let from = fold.len();
            fold.resize(length, 0);
            self.file
                .read_exact_at(&mut fold[from..], place + (HEAD_BYTES + from) as u64)?;
        }
        Ok(Some(fold))
    }
}

fn half_of(carrier: u128) -> u64 {
    (carrier >> 64) as u64
}

/// The number that the first bits of a hash make.
fn leading(half: u64, bits: u32) -> usize {
    // Not by all 64 bits at once, where there are none.
    (half >> 1 >> (u64::BITS - 1 - bits)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seg_4_every_fold_is_found_by_its_carrier_and_no_other() {
        for many in [0_u64, 1, 3, 5, 40, 700] {
            let mut making = FoldsMaking::new(tempfile::tempfile().unwrap());
            // Some share the first half of their hashes; some lie close together at either end.
            let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let carrier = |n: u64| match n % 5 {
                0 => (u128::from(spread(n / 10)) << 64) | u128::from(n),
                1 => u128::from(n),
                2 => u128::MAX - u128::from(n),
                _ => (u128::from(spread(n)) << 64) | 7,
            };
            let fold = |n: u64| vec![n as u8; (n as usize * 37) % 1_400];
            for n in 0..many {
                making.take(carrier(n), &fold(n)).unwrap();
            }
            let made = making.made().unwrap();
            assert_eq!(made.len() as u64, many);
            assert_eq!(made.held.is_some(), many < 10, "{many}");
            for n in 0..many {
                assert_eq!(made.find(carrier(n)).unwrap(), Some(fold(n)), "{n} of {many}");
                assert_eq!(made.find(carrier(n) ^ (1 << 100)).unwrap(), None);
                assert_eq!(made.find(carrier(n) ^ (1 << 40)).unwrap(), None);
            }
            assert_eq!(made.find(u128::MAX / 3).unwrap(), None);
        }
    }
}
