//! Everything that is wrong with the segments of a space, each mistake told once, where it stands.
//!
//! [`CompiledSegment::compile`] stops at the first document that cannot be used, and says of a segment what is wrong inside
//! those that it refers to. Here every document is judged by itself first; only what is sound that far is put together. So
//! a name that one document misspells is no mistake of the documents that refer to that one.

use crate::compile::unknown_name;
use crate::{CompiledSegment, Condition, Context, Definitions, MAX_DEPTH, SegmentDefinition};
use kith_expr::{AggregateSpec, DocumentError, read_each};
use kith_types::SegmentName;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What is wrong with the `spec`s of segments, by name; of each what cannot be read, then names that nothing has, in the
/// order of the document. Those of computed traits may stand for ones that cannot be read.
#[must_use]
pub fn mistakes(
    specs: &BTreeMap<SegmentName, &Json>,
    computed_traits: &BTreeMap<Box<str>, AggregateSpec>,
) -> BTreeMap<SegmentName, DocumentError> {
    let mut found = BTreeMap::new();
    let mut known = Definitions {
        computed_traits: computed_traits.clone(),
        segments: BTreeMap::new(),
    };
    for (name, spec) in specs {
        let read = SegmentDefinition::parse_spec(name.clone(), spec);
        let definition = read.unwrap_or_else(|wrong| {
            found.insert(name.clone(), wrong.mistakes().clone());
            about_nothing(name)
        });
        known.segments.insert(name.clone(), definition);
    }
    for (name, wrong) in &mut found {
        if let Err(unknown) = unknown_names(name, specs[name], &known) {
            *wrong = wrong.clone().and(unknown);
        }
    }
    let alone: Vec<(SegmentName, DocumentError)> = (known.segments.iter())
        .filter_map(|(name, definition)| {
            let context = Alone {
                known: &known,
                nothing: about_nothing(name),
            };
            let wrong = CompiledSegment::compile(definition, &context).err()?;
            Some((name.clone(), wrong.mistakes().clone()))
        })
        .collect();
    for (name, wrong) in alone {
        known.segments.insert(name.clone(), about_nothing(&name));
        found.insert(name, wrong);
    }
    // What only shows where they are put together: circles, and limits of the whole.
    for name in specs.keys() {
        if let Err(wrong) = CompiledSegment::compile(&known.segments[name], &known) {
            known.segments.insert(name.clone(), about_nothing(name));
            found.insert(name.clone(), wrong.mistakes().clone());
        }
    }
    found
}

/// What stands for a segment that cannot be used, so that those that refer to it are judged without it.
fn about_nothing(name: &SegmentName) -> SegmentDefinition {
    SegmentDefinition {
        name: name.clone(),
        description: Box::default(),
        condition: Condition::All(Vec::new()),
    }
}

/// Definitions whose names are known, and what segments ask is not: each asks nothing.
struct Alone<'a> {
    known: &'a Definitions,
    nothing: SegmentDefinition,
}

impl Context for Alone<'_> {
    fn computed_trait(&self, name: &str) -> Option<AggregateSpec> {
        self.known.computed_trait(name)
    }

    fn segment(&self, name: &SegmentName) -> Option<&SegmentDefinition> {
        self.known.segment(name).map(|_| &self.nothing)
    }

    fn computed_trait_names(&self) -> Vec<&str> {
        self.known.computed_trait_names()
    }

    fn segment_names(&self) -> Vec<&str> {
        self.known.segment_names()
    }
}

/// The names that a `spec` which cannot be read asks for and nothing has, as far as it says any.
fn unknown_names(within: &SegmentName, spec: &Json, known: &Definitions) -> Result<(), DocumentError> {
    let names = Names { within, known };
    let condition = spec
        .get("where")
        .map_or(Ok(()), |condition| names.of(condition, MAX_DEPTH));
    condition.map_err(|error| error.within("where").within("spec"))
}

struct Names<'a> {
    within: &'a SegmentName,
    known: &'a Definitions,
}

impl Names<'_> {
    fn of(&self, condition: &Json, depth: usize) -> Result<(), DocumentError> {
        let (Some(fields), Some(depth)) = (condition.as_object(), depth.checked_sub(1)) else {
            return Ok(());
        };
        let parts = fields.iter().map(|(key, inner)| {
            let checked = match (key.as_str(), inner) {
                ("all" | "any", Json::Array(items)) => read_each(
                    (items.iter().enumerate()).map(|(at, item)| self.of(item, depth).map_err(|error| error.item(at))),
                )
                .map(drop),
                ("not", inner) => self.of(inner, depth),
                ("segment", Json::String(name)) => self.segment(name),
                ("computed_trait", Json::String(name)) => self.computed_trait(name),
                _ => Ok(()),
            };
            checked.map_err(|error| error.within(key))
        });
        read_each(parts).map(drop)
    }

    fn segment(&self, name: &str) -> Result<(), DocumentError> {
        // What is no name at all is told where it is read.
        let unknown = (name.parse::<SegmentName>()).is_ok_and(|name| self.known.segment(&name).is_none());
        if !unknown {
            return Ok(());
        }
        let mut names = self.known.segment_names();
        names.retain(|known| *known != self.within.as_str());
        Err(unknown_name("segment", name, &names))
    }

    fn computed_trait(&self, name: &str) -> Result<(), DocumentError> {
        if name.trim().is_empty() || self.known.computed_trait(name).is_some() {
            return Ok(());
        }
        Err(unknown_name("computed trait", name, &self.known.computed_trait_names()))
    }
}
