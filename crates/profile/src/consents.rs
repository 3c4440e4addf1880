//! What a person allows, by category, as events say it in `context.consent.categoryPreferences` (the consent object of
//! the Segment specification: category to true or false).
//!
//! Of every category and source the latest word is kept; of two words at one instant the restrictive one counts. No word is
//! of a later instant than its receipt: one that claims the future must not outlast the words that come until then. What
//! nobody said is not known, which is never a yes.

use crate::PartError;
use crate::codec::{Reader, put_flag, put_len, put_mark, put_text};
use crate::growth::insert_tight;
use crate::limits::{MAX_CATEGORY_BYTES, MAX_CONSENT_CATEGORIES};
use crate::mark::{Mark, hash_text};
use kith_types::{Address, Event, Object, SourceName, Timestamp, Value};

/// The latest word of one source on one category.
#[derive(Clone, Debug, PartialEq)]
struct Word {
    category: Box<str>,
    source: SourceName,
    granted: bool,
    mark: Mark,
}

/// A word on consent: who said it and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent<'a> {
    /// The category.
    pub category: &'a str,
    /// Whether it is allowed.
    pub granted: bool,
    /// The source that said so.
    pub source: &'a SourceName,
    /// The time of the event that said so, or of its receipt where that is earlier.
    pub time: Timestamp,
    /// The address of that event.
    pub address: Address,
}

/// The order in which words prevail: the later, the restrictive, the later address.
fn weight(granted: bool, mark: Mark) -> (Timestamp, bool, Address) {
    (mark.time, !granted, mark.address)
}

/// The words on consent of a part, by category and source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Consents {
    words: Vec<Word>,
}

impl Consents {
    pub(crate) fn observe(&mut self, event: &Event) {
        let mark = Mark {
            time: event.event_time.min(event.received_at),
            address: event.address,
        };
        for (category, granted) in answers(event) {
            self.put(category, &event.source, granted, mark);
        }
        self.limit();
    }

    fn put(&mut self, category: &str, source: &SourceName, granted: bool, mark: Mark) {
        match self
            .words
            .binary_search_by(|word| (*word.category).cmp(category).then_with(|| word.source.cmp(source)))
        {
            Ok(at) => {
                let word = &mut self.words[at];
                if weight(granted, mark) > weight(word.granted, word.mark) {
                    (word.granted, word.mark) = (granted, mark);
                }
            }
            Err(at) => {
                let (category, source) = (category.into(), source.clone());
                insert_tight(
                    &mut self.words,
                    at,
                    Word {
                        category,
                        source,
                        granted,
                        mark,
                    },
                );
            }
        }
    }

    /// Keeps the categories whose names have the smallest hashes.
    fn limit(&mut self) {
        if self.words.len() <= MAX_CONSENT_CATEGORIES {
            return;
        }
        let mut names: Vec<(u64, &str)> = self
            .words
            .iter()
            .map(|word| (hash_text(&word.category), &*word.category))
            .collect();
        names.sort_unstable();
        names.dedup();
        let Some((hash, name)) = names
            .get(MAX_CONSENT_CATEGORIES)
            .map(|(hash, name)| (*hash, Box::<str>::from(*name)))
        else {
            return;
        };
        self.words
            .retain(|word| (hash_text(&word.category), &*word.category) < (hash, &*name));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for word in &other.words {
            self.put(&word.category, &word.source, word.granted, word.mark);
        }
        self.limit();
    }

    /// The word that prevails for each category, sorted by category.
    pub(crate) fn all(&self) -> impl Iterator<Item = Consent<'_>> {
        self.words
            .chunk_by(|one, next| one.category == next.category)
            .filter_map(|words| {
                let word = words.iter().max_by_key(|word| weight(word.granted, word.mark))?;
                let Word {
                    category,
                    source,
                    granted,
                    mark,
                } = word;
                Some(Consent {
                    category,
                    granted: *granted,
                    source,
                    time: mark.time,
                    address: mark.address,
                })
            })
    }

    pub(crate) fn of(&self, category: &str) -> Option<Consent<'_>> {
        self.all().find(|consent| consent.category == category)
    }

    /// Whether a limit may have left out what was said of a category: its name is too long, or there is nothing of it and as
    /// many categories as are kept.
    pub(crate) fn is_approximate(&self, category: &str) -> bool {
        category.len() > MAX_CATEGORY_BYTES
            || (self.of(category).is_none() && self.all().count() >= MAX_CONSENT_CATEGORIES)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_len(out, self.words.len());
        for word in &self.words {
            put_text(out, &word.category);
            put_text(out, word.source.as_str());
            put_flag(out, word.granted);
            put_mark(out, &word.mark);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, PartError> {
        let mut words: Vec<Word> = Vec::new();
        for _ in 0..reader.len(8)? {
            let (category, source) = (reader.text()?.into(), reader.text()?);
            let source = match words.last() {
                Some(last) if last.source.as_str() == source => last.source.clone(),
                _ => source
                    .parse()
                    .map_err(|_| reader.damaged("a source name breaks the rule for names"))?,
            };
            words.push(Word {
                category,
                source,
                granted: reader.flag()?,
                mark: reader.mark()?,
            });
        }
        if !words.is_sorted_by(|one, next| (&one.category, &one.source) < (&next.category, &next.source)) {
            return Err(reader.damaged("words on consent are out of order"));
        }
        Ok(Self { words })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.words.capacity() * size_of::<Word>() + self.words.iter().map(|word| word.category.len()).sum::<usize>()
    }
}

/// The categories of consent that an event speaks of.
pub fn consent_categories(event: &Event) -> impl Iterator<Item = &str> {
    answers(event).map(|(category, _)| category)
}

/// What an event allows and denies, by category.
fn answers(event: &Event) -> impl Iterator<Item = (&str, bool)> {
    let said = preferences(event).into_iter().flatten();
    said.filter_map(|(category, value)| {
        let granted = value.as_bool()?;
        (category.len() <= MAX_CATEGORY_BYTES).then_some((&**category, granted))
    })
}

fn preferences(event: &Event) -> Option<&Object> {
    let consent = event
        .context
        .iter()
        .find(|(key, _)| &**key == "consent")
        .map(|(_, value): &(_, Value)| value)?;
    consent.get("categoryPreferences")?.as_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::tests::{at, event, object};

    fn word(sequence: u64, happens: i64, received: i64, granted: bool) -> Event {
        let preferences = Value::Object(object(&[("marketing", Value::from(granted))]));
        let consent = Value::Object(object(&[("categoryPreferences", preferences)]));
        Event {
            received_at: at(received),
            context: object(&[("consent", consent)]),
            ..event(sequence, "Consent", at(happens))
        }
    }

    #[test]
    fn act_6_a_word_that_claims_the_future_does_not_outlast_a_later_one() {
        // By a clock that is four minutes fast, and by an import's cell of a distant year.
        for happens in [240, 1_000_000_000] {
            let words = [word(1, happens, 0, true), word(2, 60, 60, false)];
            for order in [[0, 1], [1, 0]] {
                let mut consents = Consents::default();
                order.iter().for_each(|at| consents.observe(&words[*at]));
                let prevails = consents.of("marketing").unwrap();
                assert_eq!((prevails.granted, prevails.time), (false, at(60)));
            }
        }
        let mut consents = Consents::default();
        consents.observe(&word(1, -10, 0, true));
        assert_eq!(
            consents.of("marketing").unwrap().time,
            at(-10),
            "a late event keeps its time"
        );
    }
}
