//! What definitions ask for that nobody has sent: a word for whoever writes one, never a refusal (contract SEG-1).
//!
//! It looks at the committed names of a space ([`crate::sent_names`]). Where they are not all known it says nothing.

use super::Reads;
use crate::definitions::{DefinitionDocument, Definitions};
use crate::sent_names::{CommittedNames, NAME_BYTES_MAX, NameKind, STEPS_MAX};
use crate::{PipelineError, definition_history};
use kith_expr::{AggregateSpec, Condition, FieldRoot};
use kith_types::SpaceId;
use std::collections::BTreeSet;

/// The most names that one answer tells of.
pub const UNSENT_TOLD_MAX: usize = 100;

/// A name that a definition asks for and no event of the space has carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// The first definition that asks for it: its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What nobody has sent, and the nearest name that somebody has.
    pub warning: String,
}

/// A name that is asked for, and what it may be the name of.
type Asked = (Vec<NameKind>, String);

impl Reads {
    /// Which names those documents ask for that no event of the space has carried, where `documents` are applied on top of
    /// what is in force; `concerned` are those to tell of, by kind and name. Each name is told once, at most
    /// [`UNSENT_TOLD_MAX`] of them; nothing is while the space has been sent nothing, or where its state was begun by a
    /// release that kept no names.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Definition`] for documents that cannot be used, otherwise as [`Reads::person`].
    pub fn unsent(
        &self,
        space: &SpaceId,
        documents: &[DefinitionDocument],
        concerned: &[(&str, &str)],
    ) -> Result<Vec<Unsent>, PipelineError> {
        let snapshot = self.snapshot()?;
        let Some(names) = CommittedNames::read(&*snapshot, space)? else {
            return Ok(Vec::new());
        };
        let in_force = definition_history::in_force(&*snapshot, space)?;
        let definitions = in_force.with(documents, kith_types::Timestamp::default()).compile()?;
        let (mut told, mut found) = (BTreeSet::new(), Vec::new());
        for (kind, name) in concerned {
            for (kinds, asked) in asked_by(&definitions, kind, name) {
                let judged = asked.len() <= NAME_BYTES_MAX && asked.split('.').count() <= STEPS_MAX;
                if !judged || names.may_have(&kinds, &asked) || found.len() >= UNSENT_TOLD_MAX {
                    continue;
                }
                let warning = in_words(&names, &kinds, &asked);
                if told.insert(warning.clone()) {
                    found.push(Unsent {
                        kind: (*kind).to_owned(),
                        name: (*name).to_owned(),
                        warning,
                    });
                }
            }
        }
        Ok(found)
    }
}

impl Reads {
    /// Which of these traits no event of the space has said of anybody, each with a word about it; nothing where that is not
    /// known.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn unsent_traits(&self, space: &SpaceId, asked: &BTreeSet<String>) -> Result<Vec<String>, PipelineError> {
        let snapshot = self.snapshot()?;
        let Some(names) = CommittedNames::read(&*snapshot, space)? else {
            return Ok(Vec::new());
        };
        let kinds = [NameKind::Trait];
        let unsent = asked
            .iter()
            .filter(|name| name.len() <= NAME_BYTES_MAX && !names.may_have(&kinds, name))
            .take(UNSENT_TOLD_MAX);
        Ok(unsent.map(|name| in_words(&names, &kinds, name)).collect())
    }
}

fn in_words(names: &CommittedNames, kinds: &[NameKind], asked: &str) -> String {
    let what = match kinds {
        [NameKind::Page] => "a page",
        [NameKind::Screen] => "a screen",
        [NameKind::Property] => "a property",
        [NameKind::AccountTrait] => "a trait of an account",
        [NameKind::Context] => "a field of context",
        [NameKind::Consent] => "a category of consent",
        [NameKind::Trait, ..] => "a trait",
        _ => "an event",
    };
    let meant = match names.nearest(kinds, asked) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    };
    format!("nobody has sent {what} named {asked:?}{meant}")
}

/// The names that a definition asks for, those inside what it refers to among them.
fn asked_by(definitions: &Definitions, kind: &str, name: &str) -> Vec<Asked> {
    let mut asked = Vec::new();
    match kind {
        "segment" => {
            let live = definitions.segments.iter().find(|live| live.name.as_str() == name);
            let Some(compiled) = live.map(|live| &live.compiled) else {
                return asked;
            };
            compiled
                .aggregates()
                .iter()
                .for_each(|spec| of_aggregate(spec, &mut asked));
            asked.extend(named(&[NameKind::Trait], compiled.traits()));
            asked.extend(named(&[NameKind::AccountTrait], compiled.account_traits()));
            asked.extend(named(&[NameKind::Consent], compiled.consents()));
        }
        "computed_trait" => {
            let computed = definitions.computed.iter().find(|computed| computed.name == name);
            if let Some(spec) = computed.and_then(|computed| definitions.plan.spec(computed.aggregate)) {
                of_aggregate(spec, &mut asked);
            }
        }
        "trait_rules" => {
            let traits = definitions.trait_rules.by_name.keys();
            asked.extend(named(&[NameKind::Trait, NameKind::AccountTrait], traits));
        }
        _ => {}
    }
    asked
}

fn named<'a>(kinds: &'a [NameKind], names: impl IntoIterator<Item = &'a Box<str>> + 'a) -> impl Iterator<Item = Asked> {
    names.into_iter().map(|name| (kinds.to_vec(), name.to_string()))
}

fn of_aggregate(spec: &AggregateSpec, asked: &mut Vec<Asked>) {
    for filter in spec.filters() {
        let kinds: Vec<NameKind> = filter
            .types()
            .iter()
            .filter_map(|kind| NameKind::of_events(*kind))
            .collect();
        // A name of calls that have none is no word to judge.
        if kinds.len() == filter.types().len() {
            asked.extend(filter.names().iter().map(|name| (kinds.clone(), name.to_string())));
        }
        of_condition(filter.condition(), asked);
    }
    let same = spec.sequence.as_ref().and_then(|sequence| sequence.same.as_ref());
    let properties = spec.property.iter().chain(same);
    asked.extend(properties.map(|path| (vec![NameKind::Property], path.to_string())));
}

fn of_condition(condition: &Condition, asked: &mut Vec<Asked>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| of_condition(part, asked)),
        Condition::Not(part) => of_condition(part, asked),
        Condition::Test(field, _) => {
            let kinds = match field.root {
                FieldRoot::Properties => vec![NameKind::Property],
                FieldRoot::Traits => vec![NameKind::Trait, NameKind::AccountTrait],
                FieldRoot::Context => vec![NameKind::Context],
            };
            asked.push((kinds, field.path.to_string()));
        }
    }
}
