//! Which of many filters an event passes, without asking each.
//!
//! Filters are found by the event's name or, where they name none, by its type; among those the ones that compare a text
//! are found by the text that the event has there. Equal filters are asked once. It decides exactly as
//! [`EventFilter::matches`] does.

use crate::{Condition, EventField, EventFilter, ValueTest};
use kith_types::{Event, EventType, Value};
use std::collections::HashMap;

/// Filters, each with the numbers of what counts by it.
#[derive(Clone, Debug, Default)]
pub struct FilterIndex {
    by_name: HashMap<Box<str>, Filters>,
    /// Those that name no events, by the place of the type among all.
    by_type: [Filters; EventType::ALL.len()],
}

/// A filter and what counts by it.
#[derive(Clone, Debug)]
struct Known {
    filter: EventFilter,
    numbers: Vec<u32>,
}

type ByText = HashMap<Box<str>, Vec<Known>>;

/// The filters that may match events of one name or type.
#[derive(Clone, Debug, Default)]
struct Filters {
    /// Those that ask a field for a text, by field and text.
    by_text: Vec<(EventField, ByText)>,
    others: Vec<Known>,
}

impl FilterIndex {
    /// Adds a filter by which something of that number counts.
    pub fn add(&mut self, filter: &EventFilter, number: u32) {
        for name in filter.names() {
            self.by_name.entry(name.clone()).or_default().add(filter, number);
        }
        if filter.names().is_empty() {
            for (kind, filters) in EventType::ALL.iter().zip(&mut self.by_type) {
                if filter.types().is_empty() || filter.types().contains(kind) {
                    filters.add(filter, number);
                }
            }
        }
    }

    /// Gives the numbers of the filters that the event passes. A number comes once for each of its filters.
    pub fn passed(&self, event: &Event, found: &mut impl FnMut(u32)) {
        if let Some(filters) = self.by_name.get(&*event.name) {
            filters.passed(event, found);
        }
        let place = EventType::ALL.iter().position(|kind| *kind == event.event_type);
        if let Some(filters) = place.and_then(|place| self.by_type.get(place)) {
            filters.passed(event, found);
        }
    }
}

impl Filters {
    fn add(&mut self, filter: &EventFilter, number: u32) {
        let Some((field, texts)) = texts_of(filter.condition()) else {
            return add(&mut self.others, filter, number);
        };
        let at = match self.by_text.iter().position(|(known, _)| known == field) {
            Some(at) => at,
            None => {
                self.by_text.push((field.clone(), ByText::new()));
                self.by_text.len() - 1
            }
        };
        for text in texts {
            add(self.by_text[at].1.entry(text.into()).or_default(), filter, number);
        }
    }

    fn passed(&self, event: &Event, found: &mut impl FnMut(u32)) {
        let mut ask = |known: &Known| {
            if known.filter.matches(event) {
                known.numbers.iter().copied().for_each(&mut *found);
            }
        };
        for (field, by_text) in &self.by_text {
            let text = field.of(event).and_then(Value::as_str);
            let asking = text.and_then(|text| by_text.get(text));
            asking.into_iter().flatten().for_each(&mut ask);
        }
        self.others.iter().for_each(ask);
    }
}

fn add(filters: &mut Vec<Known>, filter: &EventFilter, number: u32) {
    let at = match filters.iter().position(|known| known.filter == *filter) {
        Some(at) => at,
        None => {
            filters.push(Known {
                filter: filter.clone(),
                numbers: Vec::new(),
            });
            filters.len() - 1
        }
    };
    // Both filters of a sequence may be the same, and a text may be listed twice.
    if filters[at].numbers.last() != Some(&number) {
        filters[at].numbers.push(number);
    }
}

/// The texts of which the field must have one for the condition to hold.
fn texts_of(condition: &Condition) -> Option<(&EventField, Vec<&str>)> {
    match condition {
        Condition::Test(field, ValueTest::Equals(value)) => Some((field, vec![value.as_str()?])),
        Condition::Test(field, ValueTest::AnyOf(values)) => {
            let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
            Some((field, texts?))
        }
        Condition::All(parts) => parts.iter().find_map(texts_of),
        Condition::Any(_) | Condition::Not(_) | Condition::Test(..) => None,
    }
}

#[cfg(test)]
mod tests;
