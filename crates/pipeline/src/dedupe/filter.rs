//! A Bloom filter whose probes for one key fall into one cache line (Putze, Sanders and Singler, "Cache-, Hash- and
//! Space-Efficient Bloom Filters", 2007), cut into pages.
//!
//! The line of a key grows with the key. So a filter is made page by page while sorted keys pass, with one page in memory.

/// Bits of filter a key: with eight probes inside one 64-byte line, about one in 150 new keys reads a chunk in vain.
const BITS_PER_KEY: u64 = 12;
/// Words of 64 bits in a line.
pub(super) const LINE_WORDS: usize = 8;
const PROBES: u32 = 8;

/// Lines of a filter for so many keys.
pub(super) fn lines_for(count: u64) -> u64 {
    (count * BITS_PER_KEY).div_ceil(LINE_WORDS as u64 * 64).max(1)
}

/// The line of a key among so many. A key is a hash already: its upper half chooses the line, pieces of its lower half
/// the bits.
pub(super) fn line_of(key: u128, lines: u64) -> u64 {
    (((key >> 64) * u128::from(lines)) >> 64) as u64
}

/// The bits of a key within its line: word and mask.
fn bits(key: u128) -> impl Iterator<Item = (usize, u64)> {
    let low = key as u64;
    let spread = low.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..PROBES).map(move |probe| {
        let bit = low.wrapping_add(spread.wrapping_mul(u64::from(probe))) >> 55;
        ((bit >> 6) as usize, 1 << (bit & 63))
    })
}

/// Whether a page may hold a key whose line is so far from the page's first. A page without words holds none.
pub(super) fn may_contain(page: &[u64], line: u64, key: u128) -> bool {
    let at = line as usize * LINE_WORDS;
    page.get(at..at + LINE_WORDS)
        .is_some_and(|line| bits(key).all(|(word, bit)| line[word] & bit != 0))
}

/// The words of a stored page.
pub(super) fn words(bytes: &[u8]) -> Box<[u64]> {
    bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
        .collect()
}

/// Makes a filter of keys that come in order.
pub(super) struct FilterWriter {
    lines: u64,
    page_lines: u64,
    page: u32,
    words: Vec<u64>,
}

impl FilterWriter {
    /// For a filter of so many lines, cut into pages of so many.
    pub(super) fn new(lines: u64, page_lines: u64) -> Self {
        Self {
            lines,
            page_lines,
            page: 0,
            words: vec![0; page_lines as usize * LINE_WORDS],
        }
    }

    /// The page of a key.
    pub(super) fn page_of(&self, key: u128) -> u32 {
        (line_of(key, self.lines) / self.page_lines) as u32
    }

    /// Goes on with a page that holds something already.
    pub(super) fn resume(&mut self, page: u32, stored: &[u8]) {
        self.page = page;
        self.words.fill(0);
        let words = words(stored);
        self.words
            .iter_mut()
            .zip(words.iter())
            .for_each(|(word, stored)| *word = *stored);
    }

    /// Adds a key; a page that is complete then is given with its number.
    pub(super) fn insert(&mut self, key: u128) -> Option<(u32, Vec<u8>)> {
        let page = self.page_of(key);
        let complete = (page != self.page).then(|| self.page());
        if complete.is_some() {
            self.page = page;
            self.words.fill(0);
        }
        let line = line_of(key, self.lines) % self.page_lines;
        for (word, bit) in bits(key) {
            self.words[line as usize * LINE_WORDS + word] |= bit;
        }
        complete
    }

    /// The page under way, with its number.
    pub(super) fn page(&self) -> (u32, Vec<u8>) {
        (
            self.page,
            self.words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        )
    }
}
