//! Writing the rows of a space's history, and what vocabulary they are written by.
//!
//! The first events stand as they are, until enough of them have been seen to tell what people of the space have in
//! common. A space that has a vocabulary looks again every now and then whether another one would do clearly better,
//! as it does once other senders have come. A vocabulary is stored with the step that makes it, and rows of later steps
//! name it: no row is ever there without its own.

use super::packed::{Packer, pack};
use super::sample::Sample;
use super::vocabulary::Numbers;
use super::{History, VOCABULARIES_MAX, Vocabularies, vocabulary_key};
use crate::PipelineError;
use kith_state::{Batch, Keyspace, Read};
use kith_types::{Event, SpaceId};
use std::sync::Arc;

/// Events between two looks: as many after the first vocabulary, more after each look, and then no more than this.
const FIRST_WAIT: u64 = if cfg!(test) { 20 } else { 1 << 15 };
const WAIT_GROWS: u64 = 8;
const WAIT_MAX: u64 = if cfg!(test) { 100 } else { 1 << 20 };

/// Writes the rows of a space.
pub(crate) struct Writing {
    known: Arc<Vocabularies>,
    /// The number of the vocabulary that rows are written by, and the numbers in it.
    number: u8,
    numbers: Numbers,
    /// What people have in common is looked for; not where a space is only tried.
    looking: Option<Looking>,
}

struct Looking {
    sample: Sample,
    /// Events until the next one is taken into the sample, and how many it was at the last look.
    wait: u64,
    waited: u64,
}

impl Writing {
    /// Goes on with the newest vocabulary of a space.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Storage`] or `Corrupt` when it cannot be read.
    pub(crate) fn load(store: &dyn Read, space: &SpaceId) -> Result<Self, PipelineError> {
        let mut writing = Self::load_to_try(store, space)?;
        writing.looking = Some(Looking {
            sample: Sample::default(),
            wait: if writing.number == 0 { 0 } else { FIRST_WAIT },
            waited: FIRST_WAIT / WAIT_GROWS,
        });
        Ok(writing)
    }

    /// The same where a space is only tried: it makes no vocabulary.
    ///
    /// # Errors
    /// As [`Writing::load`].
    pub(crate) fn load_to_try(store: &dyn Read, space: &SpaceId) -> Result<Self, PipelineError> {
        let known = Arc::new(Vocabularies::default());
        let mut number = 0;
        while number < VOCABULARIES_MAX && known.get(store, space, number + 1)?.is_some() {
            number += 1;
        }
        let numbers = known.get(store, space, number)?.map(Numbers::of).unwrap_or_default();
        Ok(Self {
            known,
            number,
            numbers,
            looking: None,
        })
    }

    /// The rows as a reader reads them, which sees those of this writer or more.
    pub(crate) fn history<'a>(&self, reader: &'a dyn Read, space: &'a SpaceId) -> History<'a> {
        History {
            reader,
            space,
            known: Arc::clone(&self.known),
        }
    }

    /// The row of an event, which is added under a carrier.
    pub(crate) fn row(&mut self, event: &Event, carrier: u128) -> Vec<u8> {
        let row = pack(event, self.number, Packer::new(&self.numbers));
        if let Some(looking) = self.looking.as_mut().filter(|_| self.number < VOCABULARIES_MAX) {
            match looking.wait {
                0 => looking.sample.add(event, carrier, &row),
                _ => looking.wait -= 1,
            }
        }
        row
    }

    /// Adds to a step's transaction the vocabulary that rows of later steps are written by, where it is time for another.
    pub(crate) fn commit(&mut self, space: &SpaceId, batch: &mut Batch) {
        let Some(looking) = self.looking.as_mut().filter(|looking| looking.sample.is_full()) else {
            return;
        };
        let found = std::mem::take(&mut looking.sample).better();
        looking.waited = (looking.waited * WAIT_GROWS).min(WAIT_MAX);
        looking.wait = looking.waited;
        let Some(vocabulary) = found else {
            return;
        };
        self.number += 1;
        let key = vocabulary_key(space, self.number);
        batch.put(Keyspace::Meta, key, vocabulary.encode().to_vec());
        tracing::info!(%space, number = self.number, bytes = vocabulary.encode().len(), "rows of history are written by another vocabulary");
        self.numbers = Numbers::of(&vocabulary);
        if let Some(place) = self.known.0.get(usize::from(self.number)) {
            // Nobody has set it: it is new.
            let _first = place.set(vocabulary);
        }
    }
}

/// The row of an event as it is before there is a vocabulary.
#[cfg(test)]
pub(crate) fn row_without_numbers(event: &Event) -> Vec<u8> {
    pack(event, 0, Packer::new(&Numbers::default()))
}
