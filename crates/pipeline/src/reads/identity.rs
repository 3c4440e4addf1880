//! Reading who is who: vetoes, and what other vetoes or rules would make of people.
//!
//! From one snapshot each, in JSON as people read it. Nothing here changes anything. What a change would do is worked out by
//! the code that would do it (`new_rules/dry_run.rs`); only other rules around somebody are a comparison of so many events,
//! which says so where it is not complete.

use super::budget::Budget;
use super::outlook::of_outlook;
use super::{Reads, component_of, home_of};
use crate::definitions::Definitions;
use crate::history::History;
use crate::new_rules::{Concerned, DryRun, Trial};
use crate::rules_progress::{RulesAtWork, RulesPart};
use crate::vetoes::{self, Veto, VetoDecision};
use crate::{PipelineError, definition_history, keys};
use kith_expr::DocumentError;
use kith_identity::{Component, Reading, Rules, WhatIf};
use kith_state::{Keyspace, Read};
use kith_types::{Address, Event, Identifier, SpaceId, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Events that a comparison around somebody looks at.
pub const WHAT_IF_EVENTS_MAX: usize = 200_000;

/// Megabytes of their rows.
pub const WHAT_IF_MEGABYTES_MAX: usize = 256;

/// Events of a component among which one that a veto names is looked for.
const VETO_EVENTS_MAX: usize = 5_000_000;

/// What a comparison asks.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Other rules: the `spec` of a definition of kind `identity_rules`.
    pub rules: Option<Value>,
    /// Vetoes beyond those in force.
    pub added: Vec<Veto>,
    /// Vetoes in force that would be no more.
    pub removed: Vec<Veto>,
    /// Whose evidence is looked at, beside that of the vetoed identifiers; without it, for other rules everybody's.
    pub around: Option<Identifier>,
}

impl Reads {
    /// The vetoes in force in a space.
    #[must_use]
    pub fn vetoes(&self, space: &SpaceId) -> BTreeSet<Veto> {
        let definitions = self.pipeline.definitions(space);
        definitions
            .map(|definitions| definitions.vetoes_decided.clone())
            .unwrap_or_default()
    }

    /// The vetoes in force in a space, each since when and why, where that is known.
    #[must_use]
    pub fn vetoes_since(&self, space: &SpaceId) -> Vec<(Veto, Option<Timestamp>, Option<String>)> {
        let Some(definitions) = self.pipeline.definitions(space) else {
            return Vec::new();
        };
        let since = definitions.veto_history.begun();
        let vetoes = definitions.vetoes_decided.iter();
        vetoes
            .map(|veto| {
                let (since, reason) = since.get(veto).copied().unwrap_or_default();
                (veto.clone(), since, reason.map(str::to_owned))
            })
            .collect()
    }

    /// A veto with its identifiers in their one spelling.
    #[must_use]
    pub fn spelt(&self, space: &SpaceId, veto: &Veto) -> Veto {
        let definitions = self.pipeline.definitions(space);
        definitions.map_or_else(|| veto.clone(), |definitions| veto.spelt(&definitions.rules))
    }

    /// A veto with its identifiers in their one spelling; nothing where its event is unknown or does not name its
    /// identifier. A pair may be spoken of before anybody has seen it.
    ///
    /// # Errors
    /// As [`Reads::person`].
    pub fn sound_veto(&self, space: &SpaceId, veto: &Veto) -> Result<Option<Veto>, PipelineError> {
        let Some((definitions, snapshot)) = self.look(space)? else {
            return Ok(None);
        };
        let spelt = veto.spelt(&definitions.rules);
        let Veto::Event { event, identifier } = &spelt else {
            return Ok(Some(spelt));
        };
        let Some(home) = home_of(&*snapshot, space, identifier.hash128())? else {
            return Ok(None);
        };
        let component = component_of(&*snapshot, space, home)?;
        let found = event_at(&*snapshot, space, &component, *event)?;
        let evidence = found.map(|found| definitions.read(&found));
        let names = evidence.is_some_and(|evidence| {
            let mut named = evidence.identifiers.iter();
            named.any(|named| named.identifier == *identifier)
        });
        Ok(names.then_some(spelt))
    }

    /// What other vetoes or other rules would make of people, worked out at `now` as far as `go_on` says so; nothing where it
    /// said no, or people are missing from the state just now. About rules around somebody only some events are looked at, and the answer says so where there are more.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Definition`] for rules that cannot be used; otherwise as [`Reads::person`].
    pub fn what_if(
        &self,
        space: &SpaceId,
        question: &Question,
        now: Timestamp,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Value>, PipelineError> {
        // Asked before the snapshot: once it is false, what was committed then is whole.
        let rebuilding = self.pipeline.status().rebuilding.is_some();
        let snapshot = self.snapshot()?;
        let in_force = definition_history::in_force(&*snapshot, space)?;
        let before = in_force.compile()?;
        let spelt = |list: &[Veto]| -> Vec<Veto> { list.iter().map(|veto| veto.spelt(&before.rules)).collect() };
        // Those in force may have been decided under another spelling.
        let named = spelt(&question.removed);
        let decided = before.vetoes_decided.iter();
        let removed = decided.filter(|veto| named.contains(&veto.spelt(&before.rules)));
        let decision = VetoDecision::new("", "", spelt(&question.added), removed.cloned().collect());
        let too_many = || PipelineError::definition(format!("at most {} vetoes can be in force", vetoes::MAX_VETOES));
        let mut proposal = in_force.with(&[], now);
        proposal.vetoes = decision.after(&before.vetoes_decided).ok_or_else(too_many)?;
        if let Some(spec) = &question.rules {
            // Refused as they are, without the name under which they would stand.
            Rules::from_json(spec).map_err(|wrong| PipelineError::definition(in_words(&wrong)))?;
            let rules = std::iter::once(("main".to_owned(), spec.clone())).collect();
            proposal.documents.insert("identity_rules".to_owned(), rules);
        }
        let after = proposal.compile()?;
        if rebuilding {
            return Ok(None);
        }
        let named = spelt(&[&*decision.added, &*decision.removed].concat());
        let named = named.iter().flat_map(Veto::identifiers).cloned();
        let around = question.around.iter().filter_map(|sent| before.rules.spell(sent));
        let mut homes = BTreeSet::new();
        for identifier in named.chain(around) {
            homes.extend(home_of(&*snapshot, space, identifier.hash128())?);
        }
        let concerned = match (&question.rules, &question.around) {
            (Some(_), Some(_)) => return outlook_around(&*snapshot, space, (&before, &after), &homes, go_on),
            (Some(_), None) => Concerned::Everybody,
            (None, _) => Concerned::Components(homes),
        };
        // Of what is around somebody nobody asks how far it is.
        let alone = RulesAtWork::default();
        let progress = match concerned {
            Concerned::Everybody => &self.dry_runs.progress,
            Concerned::Components(_) => &alone,
        };
        let scratch = self.dry_runs.scratch();
        let trial = Trial::new(&*snapshot, &scratch, go_on);
        let run = DryRun {
            space,
            before: &before,
            after: (Arc::new(after), &proposal),
            concerned,
            progress,
            now,
        };
        let _under_way = progress.begin(space, RulesPart::Reading);
        let rearranged = trial.outcome(run.run(&trial))?;
        Ok(rearranged.map(|rearranged| rearranged.to_document()))
    }
}

/// All that is wrong with rules, one after the other.
fn in_words(wrong: &DocumentError) -> String {
    let (told, left) = wrong.told();
    let more = (left > 0).then(|| format!("and {left} more"));
    let told = told.map(ToString::to_string).chain(more);
    format!("the rules must be mended: {}", told.collect::<Vec<_>>().join("; "))
}

/// What other rules would make of the events around some components, as far as they are looked at: rules may join others to
/// them, of whom nothing is said. Nothing where `go_on` said no.
fn outlook_around(
    reader: &dyn Read,
    space: &SpaceId,
    (before, after): (&Definitions, &Definitions),
    homes: &BTreeSet<u128>,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Value>, PipelineError> {
    let [before, after] = [before, after].map(|definitions| Reading {
        rules: &definitions.rules,
        vetoes: &definitions.vetoes,
    });
    let mut comparison = WhatIf::new(space, before, after);
    let mut budget = Budget::new(WHAT_IF_EVENTS_MAX, WHAT_IF_MEGABYTES_MAX << 20);
    let (mut complete, mut goes_on) = (true, true);
    let mut take = |event: &Event, row: &[u8]| {
        goes_on = goes_on && go_on();
        complete = complete && budget.spend(row);
        if goes_on && complete {
            comparison.add(event);
        }
        goes_on && complete
    };
    for home in homes {
        visit(reader, space, &component_of(reader, space, *home)?, &mut take)?;
    }
    Ok((goes_on && go_on()).then(|| of_outlook(&comparison.outlook(), complete)))
}

/// Visits the events of a component's carriers.
fn visit(
    reader: &dyn Read,
    space: &SpaceId,
    component: &Component,
    take: &mut dyn FnMut(&Event, &[u8]) -> bool,
) -> Result<(), PipelineError> {
    let history = History::of(reader, space);
    for carrier in component.hashes() {
        if !visit_rows(reader, &history, keys::row_range(space, carrier, None, None), take)? {
            break;
        }
    }
    Ok(())
}

/// The event at an address among a component's. Only the keys of the others are looked at, [`VETO_EVENTS_MAX`] at most.
fn event_at(
    reader: &dyn Read,
    space: &SpaceId,
    component: &Component,
    address: Address,
) -> Result<Option<Event>, PipelineError> {
    let history = History::of(reader, space);
    let mut looked_at = 0;
    for carrier in component.hashes() {
        let (from, to) = keys::row_range(space, carrier, None, None);
        let mut found = None;
        reader.scan(Keyspace::Events, &from, &to, &mut |key, row| {
            looked_at += 1;
            if looked_at > VETO_EVENTS_MAX {
                return false;
            }
            if let Some(place) = keys::row_place(key).filter(|(_, at)| *at == address) {
                found = Some(history.event_at(place, row));
            }
            found.is_none()
        })?;
        if looked_at > VETO_EVENTS_MAX {
            return Err(PipelineError::limit(format!(
                "evidence connects this identifier with more than {VETO_EVENTS_MAX} events, among which this one is not found in time: \
                 hold two identifiers apart instead (`kith identity unmerge`)"
            )));
        }
        if let Some(event) = found {
            return event.map(Some);
        }
    }
    Ok(None)
}

/// Whether more is wanted.
fn visit_rows(
    reader: &dyn Read,
    history: &History<'_>,
    (from, to): (Vec<u8>, Vec<u8>),
    take: &mut dyn FnMut(&Event, &[u8]) -> bool,
) -> Result<bool, PipelineError> {
    let (mut more, mut failed) = (true, None);
    reader.scan(Keyspace::Events, &from, &to, &mut |key, row| {
        match history.event(key, row) {
            Ok(event) => more = take(&event, row),
            Err(error) => failed = Some(error),
        }
        more && failed.is_none()
    })?;
    failed.map_or(Ok(more), Err)
}
