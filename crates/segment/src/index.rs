//! Which segments an event may change, without asking each: for servers with hundreds of segments.
//!
//! It is built once from a list of compiled segments and names them by their place in that list. It decides exactly as
//! [`CompiledSegment::touched_by`] does, and never looks at a person.

use crate::CompiledSegment;
use kith_expr::EventFilter;
use kith_types::Event;
use std::collections::HashMap;

/// Filters, each with the segments that count by it: what many segments count alike is asked of an event once.
type Filters = Vec<(EventFilter, Vec<usize>)>;

/// Finds the segments that an event touches.
#[derive(Clone, Debug, Default)]
pub struct SegmentIndex {
    filters_by_name: HashMap<Box<str>, Filters>,
    filters_of_any_name: Filters,
    /// By a trait's name and each of the objects it stands in: `address.city` and `address`.
    by_trait: HashMap<Box<str>, Vec<usize>>,
    touched_by_all: Vec<usize>,
}

impl SegmentIndex {
    /// The index of these segments.
    #[must_use]
    pub fn new<'a>(segments: impl IntoIterator<Item = &'a CompiledSegment>) -> Self {
        let mut index = Self::default();
        for (place, segment) in segments.into_iter().enumerate() {
            index.add(place, segment);
        }
        index
    }

    fn add(&mut self, place: usize, segment: &CompiledSegment) {
        if segment.depends_on_every_event() {
            self.touched_by_all.push(place);
            return;
        }
        for aggregate in segment.aggregates() {
            for filter in aggregate.filters() {
                if filter.names().is_empty() {
                    counts_by(&mut self.filters_of_any_name, filter, place);
                }
                for name in filter.names() {
                    counts_by(self.filters_by_name.entry(name.clone()).or_default(), filter, place);
                }
            }
        }
        for name in segment.traits() {
            let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
            for end in ends {
                self.by_trait.entry(name[..end].into()).or_default().push(place);
            }
        }
    }

    /// Writes the places of the segments that the event touches into `touched`, each once and in rising order; what
    /// stood there before is dropped.
    pub fn touched_by(&self, event: &Event, touched: &mut Vec<usize>) {
        touched.clear();
        touched.extend(&self.touched_by_all);
        let named = self.filters_by_name.get(&*event.name).map_or(&[][..], Vec::as_slice);
        let counting = named
            .iter()
            .chain(&self.filters_of_any_name)
            .filter(|(filter, _)| filter.matches(event));
        touched.extend(counting.flat_map(|(_, places)| places));
        for (key, _) in &event.traits {
            touched.extend(self.by_trait.get(key.as_str()).into_iter().flatten());
        }
        touched.sort_unstable();
        touched.dedup();
    }
}

fn counts_by(filters: &mut Filters, filter: &EventFilter, place: usize) {
    match filters.iter_mut().find(|(known, _)| known == filter) {
        Some((_, places)) => places.push(place),
        None => filters.push((filter.clone(), vec![place])),
    }
}
