//! Records of one size on disk, parted by their place, so that two sets of them are joined one part at a time: a hash join
//! whose memory is that of one part (Kitsuregawa, Tanaka and Moto-oka, "Application of Hash to Data Base Machine and Its
//! Architecture", 1983). The files go with the value.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

/// Parts: with ten million records, each has some 160,000.
pub(super) const PARTS: usize = 64;
/// Bytes of each part's buffer.
const BUFFER_BYTES: usize = 16 * 1024;

/// Records of `N` bytes, each under a place.
pub(super) struct Parted<const N: usize> {
    parts: Vec<BufWriter<File>>,
}

impl<const N: usize> Parted<N> {
    /// No records, in new files of a folder that have no name.
    ///
    /// # Errors
    /// A file cannot be made.
    pub(super) fn create(folder: &Path) -> std::io::Result<Self> {
        let part = |_| Ok(BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(folder)?));
        Ok(Self {
            parts: (0..PARTS).map(part).collect::<std::io::Result<_>>()?,
        })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn push(&mut self, place: u64, record: [u8; N]) -> std::io::Result<()> {
        // The low bits: hash maps of one part then still tell its places apart by the high ones.
        let part = &mut self.parts[(place % PARTS as u64) as usize];
        part.write_all(&place.to_le_bytes())?;
        part.write_all(&record)
    }

    /// Shows every record of a part, in the order in which they came.
    ///
    /// # Errors
    /// The part cannot be read.
    pub(super) fn each(&mut self, part: usize, show: &mut dyn FnMut(u64, [u8; N])) -> std::io::Result<()> {
        self.parts[part].flush()?;
        let file = self.parts[part].get_mut();
        let end = file.stream_position()?;
        file.rewind()?;
        let mut records = BufReader::new(Read::take(file, end));
        let (mut place, mut record) = ([0; 8], [0; N]);
        for _ in 0..end / (8 + N as u64) {
            records.read_exact(&mut place)?;
            records.read_exact(&mut record)?;
            show(u64::from_le_bytes(place), record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_in_one_part_and_more_may_follow_a_look() {
        let folder = tempfile::tempdir().unwrap();
        let mut parted = Parted::<4>::create(folder.path()).unwrap();
        let mut seen = Vec::new();
        for round in 0..2_u64 {
            for place in round * 5_000..(round + 1) * 5_000 {
                parted.push(place, (place as u32).to_le_bytes()).unwrap();
            }
            seen.clear();
            for part in 0..PARTS {
                let mut show = |place: u64, record| seen.push((place, u32::from_le_bytes(record)));
                parted.each(part, &mut show).unwrap();
            }
        }
        seen.sort_unstable();
        let whole: Vec<_> = (0..10_000).map(|place| (place, place as u32)).collect();
        assert_eq!(seen, whole);
    }
}
