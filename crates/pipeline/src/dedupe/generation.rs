//! A sealed generation: sorted chunks and the pages of a filter in the store, some of the pages in memory.

use super::NEVER;
use super::filter::{LINE_WORDS, line_of, may_contain, words};
use super::rows::{CHUNK, Extent, Rows, entries};
use crate::PipelineError;
use kith_state::{Keyspace, Read};

/// Bytes that a page of a filter costs while it is not in memory.
const SLOT_BYTES: usize = size_of::<Option<Box<[u64]>>>() + 2 * size_of::<u32>();

/// A sealed generation.
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) extent: Extent,
    page_lines: u64,
    pages: Vec<Option<Box<[u64]>>>,
    /// The pages that are in memory.
    held: Vec<u32>,
}

/// What memory says of a key.
pub(super) enum Answer {
    /// It is not in this generation.
    Absent,
    /// It may be.
    Possible,
    /// This page of the filter is to be asked.
    Page(u32),
}

impl Generation {
    pub(super) fn new(number: u32, extent: Extent, page_lines: u64) -> Self {
        let pages = extent.lines.div_ceil(page_lines) as usize;
        Self {
            number,
            extent,
            page_lines,
            pages: vec![None; pages],
            held: Vec::new(),
        }
    }

    /// Whether its keys never expire.
    pub(super) fn stays(&self) -> bool {
        self.extent.last_expiry == NEVER
    }

    pub(super) fn ask(&self, key: u128) -> Answer {
        let line = line_of(key, self.extent.lines);
        match self.pages.get((line / self.page_lines) as usize) {
            Some(Some(page)) if may_contain(page, line % self.page_lines, key) => Answer::Possible,
            Some(Some(_)) => Answer::Absent,
            _ => Answer::Page((line / self.page_lines) as u32),
        }
    }

    /// A page as the store has it; one that holds no key has no row.
    pub(super) fn read(&self, store: &dyn Read, rows: &Rows, page: u32) -> Result<Box<[u64]>, PipelineError> {
        let stored = store.get(Keyspace::Dedupe, &rows.page(self.number, page))?;
        Ok(words(&stored.unwrap_or_default()))
    }

    /// Whether a page that was read may hold a key.
    pub(super) fn is_possible(&self, page: &[u64], key: u128) -> bool {
        may_contain(page, line_of(key, self.extent.lines) % self.page_lines, key)
    }

    pub(super) fn hold(&mut self, page: u32, words: Box<[u64]>) {
        if let Some(slot) = self.pages.get_mut(page as usize) {
            *slot = Some(words);
            self.held.push(page);
        }
    }

    /// Lets go of one page; answers whether there was any.
    pub(super) fn let_go(&mut self) -> bool {
        let Some(page) = self.held.pop() else {
            return false;
        };
        self.pages[page as usize] = None;
        true
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Pages of the filter.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes that it takes without any page.
    pub(super) fn slot_bytes(&self) -> usize {
        self.pages.len() * SLOT_BYTES + size_of::<Self>()
    }

    /// When a key expires, if this generation has it.
    pub(super) fn expiry(&self, store: &dyn Read, rows: &Rows, key: u128) -> Result<Option<i64>, PipelineError> {
        let (from, to) = (
            rows.generation(CHUNK, self.number),
            just_after(rows.chunk(self.number, key)),
        );
        let mut found = None;
        store.scan_back(Keyspace::Dedupe, &from, &to, &mut |_, chunk| {
            found = entries(chunk).find(|(seen, _)| *seen == key).map(|(_, expiry)| expiry);
            false
        })?;
        Ok(found)
    }
}

/// Bytes of a page in memory.
pub(super) fn page_bytes(page_lines: u64) -> usize {
    page_lines as usize * LINE_WORDS * 8
}

/// The first key after one.
pub(super) fn just_after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}
