//! When time alone may turn each segment of a person: with it, only the segments that an event touches, and those whose
//! instant has come, need to be asked (contract SEG-2).
//!
//! `evaluate` keeps it beside a person in memory. It is never stored: somebody who is loaded or regrouped is asked
//! once whatever may answer other than of nobody. It knows nothing of conditions or of what an event touches.

use kith_segment::Evaluation;
use kith_types::Timestamp;

/// The instants of one person; a segment that time alone never turns has none.
#[derive(Debug, Default)]
pub(crate) struct Transitions(Vec<Transition>);

#[derive(Clone, Copy, Debug)]
struct Transition {
    /// The segment's place in the list of definitions.
    segment: u32,
    at: Timestamp,
    /// Where the search for the instant ended early, whoever is asked later finds a later one.
    exact: bool,
}

impl Transitions {
    /// The earliest instant of all.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.0.iter().map(|transition| transition.at).min()
    }

    /// Adds the segments that must be asked at `now` whatever happened; answers whether there are any.
    pub(crate) fn add_open(&self, now: Timestamp, asked: &mut Vec<usize>) -> bool {
        let before = asked.len();
        let open = self
            .0
            .iter()
            .filter(|transition| transition.at <= now || !transition.exact);
        asked.extend(open.map(|transition| transition.segment as usize));
        asked.len() > before
    }

    /// Forgets the segments that are asked anew; they are in rising order.
    pub(crate) fn forget(&mut self, asked: &[usize]) {
        self.0
            .retain(|transition| asked.binary_search(&(transition.segment as usize)).is_err());
    }

    /// Takes what a segment answered that is not among them.
    pub(crate) fn take(&mut self, segment: usize, evaluation: Evaluation) {
        let of = |at| Transition {
            segment: segment as u32,
            at,
            exact: evaluation.exact,
        };
        self.0.extend(evaluation.next_transition.map(of));
    }
}
