//! Reading what staged writes will have come to: they are seen in their places over what stands.

use super::{key_in, number, read_row, taken_over};
use crate::PipelineError;
use kith_state::{Keyspace, Read, StateError, Store, Visit};
use kith_types::SpaceId;

/// Staged rows looked at, at once: so many, or of so many bytes.
const LOOKED_AT: usize = if cfg!(test) { 2 } else { 500 };
const LOOKED_AT_BYTES: usize = 1 << 20;

/// What a store holds now: staged writes that have taken over are seen in their places.
///
/// # Errors
/// [`crate::PipelineErrorKind::Storage`] or `Corrupt` when the store cannot be read.
pub fn snapshot_of(store: &dyn Store) -> Result<Box<dyn Read>, PipelineError> {
    let base = store.snapshot();
    Ok(match taken_over(&*base)? {
        None => base,
        Some(space) => Box::new(TakenOver { base, space }),
    })
}

/// A snapshot in which a space's staged writes stand.
pub(super) struct TakenOver {
    pub(super) base: Box<dyn Read>,
    pub(super) space: SpaceId,
}

impl TakenOver {
    fn seen(&self) -> Overlaid<'_> {
        Overlaid {
            base: &*self.base,
            space: &self.space,
        }
    }
}

impl Read for TakenOver {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.seen().get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.seen().scan(keyspace, from, to, visit)
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.seen().scan_back(keyspace, from, to, visit)
    }
}

/// What stands, with a space's staged writes over it.
#[derive(Clone, Copy)]
pub(crate) struct Overlaid<'a> {
    pub(crate) base: &'a dyn Read,
    pub(crate) space: &'a SpaceId,
}

/// A staged row: its key, and the value or that there is none.
type Row = (Vec<u8>, Option<Vec<u8>>);

impl Overlaid<'_> {
    /// The first staged rows of a range, or the last, and whether there may be more.
    fn rows(&self, keyspace: Keyspace, from: &[u8], to: &[u8], last: bool) -> Result<(Vec<Row>, bool), StateError> {
        let tree = number(keyspace);
        let (from, to) = (key_in(self.space, tree, from), key_in(self.space, tree, to));
        let (mut rows, mut bytes, mut more) = (Vec::new(), 0, false);
        let visit = &mut |key: &[u8], row: &[u8]| {
            rows.push((
                key.get(4..).unwrap_or_default().to_vec(),
                read_row(row).map(<[u8]>::to_vec),
            ));
            bytes += row.len();
            more = rows.len() == LOOKED_AT || bytes >= LOOKED_AT_BYTES;
            !more
        };
        if last {
            self.base.scan_back(Keyspace::Staged, &from, &to, visit)?;
        } else {
            self.base.scan(Keyspace::Staged, &from, &to, visit)?;
        }
        Ok((rows, more))
    }
}

/// Visits rows of the base and staged ones in one order; `before` says whether a key comes before another in it.
struct Merge<'a, 'b, I: Iterator<Item = Row>> {
    staged: std::iter::Peekable<I>,
    before: fn(&[u8], &[u8]) -> bool,
    visit: &'a mut Visit<'b>,
    go_on: bool,
}

impl<I: Iterator<Item = Row>> Merge<'_, '_, I> {
    fn tell(&mut self, key: &[u8], value: Option<&[u8]>) {
        if let Some(value) = value.filter(|_| self.go_on) {
            self.go_on = (self.visit)(key, value);
        }
    }

    fn base(&mut self, key: &[u8], value: &[u8]) -> bool {
        let before = self.before;
        while let Some((staged, new)) = self.staged.next_if(|(staged, _)| before(staged, key)) {
            self.tell(&staged, new.as_deref());
        }
        match self.staged.next_if(|(staged, _)| staged == key) {
            Some((_, new)) => self.tell(key, new.as_deref()),
            None => self.tell(key, Some(value)),
        }
        self.go_on
    }

    fn rest(mut self) -> bool {
        while let Some((key, new)) = self.staged.next() {
            self.tell(&key, new.as_deref());
        }
        self.go_on
    }
}

impl Read for Overlaid<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let staged = key_in(self.space, number(keyspace), key);
        match self.base.get(Keyspace::Staged, &staged)? {
            Some(row) => Ok(read_row(&row).map(<[u8]>::to_vec)),
            None => self.base.get(keyspace, key),
        }
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        let mut from = from.to_vec();
        loop {
            let (rows, more) = self.rows(keyspace, &from, to, false)?;
            let next = rows
                .last()
                .filter(|_| more)
                .map(|(key, _)| [key.as_slice(), &[0]].concat());
            let mut merge = Merge {
                staged: rows.into_iter().peekable(),
                before: |one, other| one < other,
                visit: &mut *visit,
                go_on: true,
            };
            let upto = next.as_deref().unwrap_or(to);
            self.base
                .scan(keyspace, &from, upto, &mut |key, value| merge.base(key, value))?;
            match (merge.rest(), next) {
                (true, Some(next)) => from = next,
                _ => return Ok(()),
            }
        }
    }

    fn scan_back(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StateError> {
        let mut to = to.to_vec();
        loop {
            let (rows, more) = self.rows(keyspace, from, &to, true)?;
            let next = rows.last().filter(|_| more).map(|(key, _)| key.clone());
            let mut merge = Merge {
                staged: rows.into_iter().peekable(),
                before: |one, other| one > other,
                visit: &mut *visit,
                go_on: true,
            };
            let downto = next.as_deref().unwrap_or(from);
            self.base
                .scan_back(keyspace, downto, &to, &mut |key, value| merge.base(key, value))?;
            match (merge.rest(), next) {
                (true, Some(next)) => to = next,
                _ => return Ok(()),
            }
        }
    }
}
