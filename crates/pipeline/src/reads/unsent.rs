//! What definitions ask for that nobody has sent, or can have: a word for whoever writes one, never a refusal (contract SEG-1).
//!
//! It looks at the committed names of a space ([`crate::sent_names`]). Where they are not all known it says nothing of names.

use super::Reads;
use crate::definitions::{DefinitionDocument, Definitions};
use crate::sent_names::{CommittedNames, NAME_BYTES_MAX, NameKind, STEPS_MAX};
use crate::{PipelineError, definition_history};
use kith_expr::{AggregateSpec, Condition, FieldRoot};
use kith_types::SpaceId;
use std::collections::BTreeSet;

/// The most names that one answer tells of.
pub const UNSENT_TOLD_MAX: usize = 100;

/// A name that a definition asks for and no event of the space has carried, or an identifier that nobody can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// The definition that asks for it: its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What nobody has sent or can have, and the nearest that somebody has or can.
    pub warning: String,
}

/// A name that is asked for, and what it may be the name of.
type Asked = (Vec<NameKind>, String);

impl Reads {
    /// Which names those documents ask for that no event of the space has carried, where `documents` are applied on top of
    /// what is in force; `concerned` are those to tell of, by kind and name. Each name is told once of each of them that asks
    /// for it, though not of one that only refers to another one of them; at most [`UNSENT_TOLD_MAX`] times in all. No name is told
    /// while the space has been sent nothing, or where its state was begun by a release that kept no names. Identifiers in lists that
    /// rules of identity never write so come last.
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
        let in_force = definition_history::in_force(&*snapshot, space)?;
        let definitions = in_force.with(documents, kith_types::Timestamp::default()).compile()?;
        let misspelt = misspelt(&definitions, concerned);
        let Some(names) = CommittedNames::read(&*snapshot, space)? else {
            return Ok(misspelt);
        };
        let is_unsent = |(kinds, asked): &Asked| {
            let judged = asked.len() <= NAME_BYTES_MAX && asked.split('.').count() <= STEPS_MAX;
            judged && !names.may_have(kinds, asked)
        };
        let unsent: Vec<Vec<Asked>> = (concerned.iter())
            .map(|(kind, name)| {
                let asked = asked_by(&definitions, kind, name);
                asked.into_iter().filter(is_unsent).collect()
            })
            .collect();
        let mut found = Vec::new();
        for ((kind, name), asked) in concerned.iter().zip(&unsent) {
            if asked.is_empty() {
                continue;
            }
            let referred = referred_to(&definitions, kind, name);
            let theirs = concerned.iter().zip(&unsent).filter(|(one, _)| referred.contains(*one));
            let theirs: Vec<&Asked> = theirs.flat_map(|(_, asked)| asked).collect();
            let own = asked.iter().filter(|one| !theirs.contains(one));
            let mut told = BTreeSet::new();
            for warning in own.map(|(kinds, name)| in_words(&names, kinds, name)) {
                if told.insert(warning.clone()) {
                    found.push(Unsent {
                        kind: (*kind).to_owned(),
                        name: (*name).to_owned(),
                        warning,
                    });
                }
            }
        }
        // A list may have thousands: what is said of it takes no place of a name.
        found.extend(misspelt);
        found.truncate(UNSENT_TOLD_MAX);
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

impl Reads {
    /// A word about a category of consent that no event of the space has spoken of; nothing where one has, or that is not known.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn unsent_consent(&self, space: &SpaceId, category: &str) -> Result<Option<String>, PipelineError> {
        let snapshot = self.snapshot()?;
        let Some(names) = CommittedNames::read(&*snapshot, space)? else {
            return Ok(None);
        };
        let kinds = [NameKind::Consent];
        let is_unsent = category.len() <= NAME_BYTES_MAX && !names.may_have(&kinds, category);
        Ok(is_unsent.then(|| in_words(&names, &kinds, category)))
    }
}

/// The identifiers in lists that nobody can have, since rules of identity write them otherwise or not at all.
fn misspelt(definitions: &Definitions, concerned: &[(&str, &str)]) -> Vec<Unsent> {
    let rules = &definitions.rules;
    let mut found = Vec::new();
    for (kind, name) in concerned.iter().filter(|(kind, _)| *kind == "segment") {
        let live = definitions.segments.iter().find(|live| live.name.as_str() == *name);
        let lists = live.into_iter().flat_map(|live| live.compiled.lists());
        for listed in lists.flat_map(|list| list.identifiers()) {
            let warning = match rules.spell(listed) {
                Some(spelt) if spelt == *listed && rules.refuses(listed).is_none() => continue,
                // What replacements change anew each time may be what they made of something else.
                Some(spelt) if rules.spell(&spelt).as_ref() != Some(&spelt) => continue,
                Some(spelt) if spelt != *listed => {
                    format!("nobody can have {listed}: rules of identity write it {spelt}")
                }
                _ => format!("nobody can have {listed}: rules of identity do not take it"),
            };
            if found.len() == UNSENT_TOLD_MAX {
                return found;
            }
            found.push(Unsent {
                kind: (*kind).to_owned(),
                name: (*name).to_owned(),
                warning,
            });
        }
    }
    found
}

fn in_words(names: &CommittedNames, kinds: &[NameKind], asked: &str) -> String {
    let what = match kinds {
        [NameKind::Page] => "a page",
        [NameKind::Screen] => "a screen",
        [NameKind::Property] => "a property",
        [NameKind::AccountTrait] => "a trait of an account",
        [NameKind::Context] => "a field of context",
        [NameKind::Consent] => "a category of consent",
        [NameKind::IdentifierType] => "an identifier of a type",
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
            asked.extend(named(&[NameKind::IdentifierType], compiled.identifier_types()));
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
        "identity_rules" => {
            let types = definitions.rules.document().named_types();
            asked.extend(types.map(|name| (vec![NameKind::IdentifierType], name.to_owned())));
        }
        _ => {}
    }
    asked
}

/// The computed traits and segments that a segment refers to, by kind and name, directly or through others.
fn referred_to<'a>(definitions: &'a Definitions, kind: &str, name: &str) -> BTreeSet<(&'a str, &'a str)> {
    let mut segments = definitions.segments.iter();
    let live = (kind == "segment")
        .then(|| segments.find(|live| live.name.as_str() == name))
        .flatten();
    let computed = live.into_iter().flat_map(|live| live.compiled.computed_traits());
    let computed = computed.map(|name| ("computed_trait", &**name));
    let segments = live.into_iter().flat_map(|live| live.compiled.references());
    computed
        .chain(segments.map(|name| ("segment", name.as_str())))
        .collect()
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
