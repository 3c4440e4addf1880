//! The instants at which a world is asked: every one at which an event comes, happens, or enters or leaves any window of any
//! leaf, each with the microsecond before it.

use crate::documents::{InForce, instant, span_of, text};
use crate::tables::Tables;
use crate::time::{moment, span};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// The last instant that can be asked about: the end of the year 9999.
const LAST: i64 = 253_402_300_799_999_999;

/// What definitions add to the times of events.
#[derive(Default)]
pub struct Delays {
    spans: BTreeSet<i64>,
    /// How long nothing must follow an event.
    gaps: BTreeSet<i64>,
    ends: BTreeSet<i64>,
    /// Zone, unit and how many periods back.
    periods: BTreeSet<(String, String, i64)>,
    pub(crate) salts: BTreeSet<String>,
}

impl Delays {
    /// What all these add.
    #[must_use]
    pub fn of<'a>(all: impl IntoIterator<Item = &'a InForce>) -> Self {
        let mut delays = Self::default();
        all.into_iter()
            .flat_map(InForce::specs)
            .for_each(|spec| delays.add(spec));
        delays
    }

    /// Whatever spans, instants and periods stand in a document, wherever they do.
    fn add(&mut self, spec: &Json) {
        match spec {
            Json::Array(parts) => parts.iter().for_each(|part| self.add(part)),
            Json::Object(fields) => {
                for (key, value) in fields {
                    self.add_field(spec, key, value);
                    self.add(value);
                }
            }
            _ => {}
        }
    }

    fn add_field(&mut self, spec: &Json, key: &str, value: &Json) {
        match key {
            "last" | "before_last" | "within_last" | "after" if value.as_str().is_some_and(is_span) => {
                self.spans.insert(span(text(value)));
            }
            "ago" => self.spans.extend([span_of(value, "from"), span_of(value, "to")]),
            "every" => {
                let times = spec["times"].as_i64().unwrap_or(1);
                self.spans.extend((1..=times).map(|count| count * span(text(value))));
            }
            "gap_less_than" if spec.get("then_not").is_some() => drop(self.gaps.insert(span(text(value)))),
            "between" => self
                .ends
                .extend(["from", "to"].iter().filter_map(|end| value.get(end)).map(instant)),
            "this" | "previous" => {
                let zone = spec.get("zone").map_or("UTC", text);
                let back = if key == "this" {
                    0
                } else {
                    spec.get("count").and_then(Json::as_i64).unwrap_or(1)
                };
                self.periods.insert((zone.to_owned(), text(value).to_owned(), back));
            }
            "salt" => drop(self.salts.insert(text(value).to_owned())),
            _ => {}
        }
    }

    /// The instants from `first` on, in their order, of the events that the tables have.
    #[must_use]
    pub fn instants(&self, tables: &Tables, first: i64) -> BTreeSet<i64> {
        let mut times = tables.times();
        times.extend(tables.texts().iter().filter_map(|text| moment(text)));
        let gaps: Vec<i64> = times
            .iter()
            .flat_map(|time| self.gaps.iter().map(move |gap| time + gap))
            .collect();
        times.extend(gaps);
        let mut found = times.clone();
        for time in &times {
            found.extend(self.spans.iter().map(|span| time + span));
            for (zone, unit, previous) in &self.periods {
                found.extend(tables.periods_after(zone, unit, *previous, *time));
            }
        }
        found.extend(&self.ends);
        found.extend([first, found.last().copied().unwrap_or(first) + 1]);
        found
            .into_iter()
            .filter(|time| (first..LAST - 10).contains(time))
            .collect()
    }
}

/// `after` is a span in a lifecycle and an instant in a test.
fn is_span(text: &str) -> bool {
    text.ends_with(|last: char| last.is_ascii_lowercase()) && text.starts_with(|first: char| first.is_ascii_digit())
}
