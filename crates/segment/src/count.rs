//! How often something must have been done: a range of whole numbers, both ends included.
//!
//! All comparisons that documents know (`at_least`, `more_than`, `exactly`, …) come down to one range.

use crate::document::shown;
use kith_expr::{DocumentError, read_each};
use serde_json::{Map, Value as Json};

/// The keys that compare a count.
pub(crate) const COUNT_KEYS: [&str; 5] = ["at_least", "at_most", "exactly", "more_than", "less_than"];

/// The largest count that a document may name.
const MAX_COUNT: u64 = 1_000_000;

/// A range of counts, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountRange {
    low: u64,
    high: Option<u64>,
}

impl CountRange {
    /// Once or more.
    pub const ONCE: CountRange = CountRange { low: 1, high: None };
    /// Not once.
    pub const NEVER: CountRange = CountRange { low: 0, high: Some(0) };

    /// The counts from `low` to `high`, both included; without `high`, all from `low`. `None` when there are none.
    #[must_use]
    pub fn new(low: u64, high: Option<u64>) -> Option<Self> {
        high.is_none_or(|high| low <= high).then_some(Self { low, high })
    }

    /// The smallest count that fits.
    #[must_use]
    pub fn low(self) -> u64 {
        self.low
    }

    /// The largest count that fits; `None`: there is none.
    #[must_use]
    pub fn high(self) -> Option<u64> {
        self.high
    }

    /// Whether the count fits.
    #[must_use]
    pub fn contains(self, count: u64) -> bool {
        self.low <= count && self.high.is_none_or(|high| count <= high)
    }

    /// Reads the [`COUNT_KEYS`] of an object that may have other keys beside them; without any: once or more.
    pub(crate) fn parse(fields: &Map<String, Json>) -> Result<Self, DocumentError> {
        let (mut low, mut high) = (None, None);
        let present = COUNT_KEYS.into_iter().filter_map(|key| Some((key, fields.get(key)?)));
        read_each(present.map(|(key, json)| {
            let ends = ends_of(key, json).and_then(|(from, to)| {
                if (from.is_some() && low.is_some()) || (to.is_some() && high.is_some()) {
                    let problem = "this end of the count is said twice: keep one of the comparisons";
                    return Err(DocumentError::new(problem));
                }
                low = low.or(from);
                high = high.or(to);
                Ok(())
            });
            ends.map_err(|error: DocumentError| error.within(key))
        }))?;
        if (low, high) == (None, None) {
            return Ok(Self::ONCE);
        }
        if (low, high) == (Some(0), None) {
            return Err(DocumentError::new("everybody did it 0 times or more: this says nothing").within("at_least"));
        }
        let (from, to) = (low.unwrap_or(0), high);
        Self::new(from, to).ok_or_else(|| {
            DocumentError::new(format!(
                "no count is at least {from} and at most {}",
                to.unwrap_or(from)
            ))
        })
    }

    /// Writes the keys that [`CountRange::parse`] reads as this range; none for once or more.
    pub(crate) fn write(self, fields: &mut Map<String, Json>) {
        let mut put = |key: &str, count: u64| fields.insert(key.to_owned(), Json::from(count));
        match (self.low, self.high) {
            (1, None) => {}
            (low, Some(high)) if low == high => {
                put("exactly", low);
            }
            (low, high) => {
                if low > 0 {
                    put("at_least", low);
                }
                if let Some(high) = high {
                    put("at_most", high);
                }
            }
        }
    }
}

/// The ends of a range that one of the [`COUNT_KEYS`] names.
fn ends_of(key: &str, json: &Json) -> Result<(Option<u64>, Option<u64>), DocumentError> {
    let count = json.as_u64().filter(|count| *count <= MAX_COUNT).ok_or_else(|| {
        DocumentError::new(format!(
            "expected a whole number from 0 to {MAX_COUNT}, found {}",
            shown(json)
        ))
    })?;
    Ok(match key {
        "at_least" => (Some(count), None),
        "more_than" => (Some(count + 1), None),
        "at_most" => (None, Some(count)),
        "less_than" => {
            let below = count.checked_sub(1);
            (
                None,
                Some(below.ok_or_else(|| DocumentError::new("no count is below 0"))?),
            )
        }
        _ => (Some(count), Some(count)),
    })
}
