//! Everything that is wrong with the documents of a set, so that whoever mends it does so once.
//!
//! [`DefinitionSet::compile`] stops at the first mistake; only then the documents are read here a second time.

use crate::definitions::{DefinitionSet, IDENTITY_RULES};
use crate::trait_rules::parse_trait_rules;
use kith_expr::{AggregateSpec, DocumentError, EventFilter, Window};
use kith_identity::Rules;
use kith_types::SegmentName;
use std::collections::BTreeMap;
use std::fmt;

/// What is wrong with a definition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionProblem {
    /// The definition, such as `segment/vip`.
    pub document: String,
    /// The place, such as `spec.where.all[0].trait`; empty where it is the whole document.
    pub path: String,
    /// What is wrong there and how to mend it.
    pub message: String,
}

impl DefinitionProblem {
    pub(crate) fn new(kind: &str, name: &str, path: &str, message: impl Into<String>) -> Self {
        Self {
            document: format!("{kind}/{name}"),
            path: path.to_owned(),
            message: message.into(),
        }
    }

    /// The mistakes of a document; of those beyond the limit, how many there are.
    fn each_of<'a>(kind: &'a str, name: &'a str, mistakes: &'a DocumentError) -> impl Iterator<Item = Self> + 'a {
        let (told, left) = mistakes.told();
        let more = (left > 0).then(|| {
            let word = if left == 1 { "mistake" } else { "mistakes" };
            Self::new(kind, name, "", format!("and {left} more {word}"))
        });
        told.map(move |one| Self::new(kind, name, one.path(), one.problem()))
            .chain(more)
    }
}

impl fmt::Display for DefinitionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{}: {}{gap}{}", self.document, self.path, self.message)
    }
}

impl DefinitionSet {
    /// What is wrong with the documents: by kind and name, and in each in the order in which it is read.
    pub(crate) fn problems(&self) -> Vec<DefinitionProblem> {
        let of_kind = |kind: &str| self.documents.get(kind).into_iter().flatten();
        let mut problems = Vec::new();
        for (name, spec) in of_kind(IDENTITY_RULES).take(1) {
            if let Err(wrong) = Rules::from_json(spec) {
                problems.extend(DefinitionProblem::each_of(IDENTITY_RULES, name, &wrong.within("spec")));
            }
        }
        for (name, spec) in of_kind("trait_rules").take(1) {
            if let Err(wrong) = parse_trait_rules(spec) {
                problems.extend(DefinitionProblem::each_of("trait_rules", name, &wrong.within("spec")));
            }
        }
        let mut computed_traits = BTreeMap::new();
        for (name, spec) in of_kind("computed_trait") {
            let aggregate = kith_expr::parse_aggregate(spec).unwrap_or_else(|wrong| {
                let wrong = wrong.within("spec");
                problems.extend(DefinitionProblem::each_of("computed_trait", name, &wrong));
                // Its name is known all the same.
                AggregateSpec::count(EventFilter::named("any"), Window::AllTime)
            });
            computed_traits.insert(name.as_str().into(), aggregate);
        }
        let mut segments = BTreeMap::new();
        for (name, spec) in of_kind("segment") {
            match name.parse::<SegmentName>() {
                Ok(segment) => drop(segments.insert(segment, spec)),
                Err(wrong) => problems.push(DefinitionProblem::new("segment", name, "", wrong.to_string())),
            }
        }
        for (name, wrong) in kith_segment::mistakes(&segments, &computed_traits) {
            problems.extend(DefinitionProblem::each_of("segment", name.as_str(), &wrong));
        }
        problems
    }
}
