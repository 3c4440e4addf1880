//! The definitions of a space as the pipeline uses them, compiled from their documents.
//!
//! A decision record carries whole documents; the set that is in force is kept in the state, so a restart and a replay
//! compile the same ones.

use crate::PipelineError;
use crate::account_facts::{AccountsAsked, AccountsOf};
use crate::definition_history::Reach;
use crate::definition_problems::DefinitionProblem;
use crate::person::PersonOf;
use crate::trait_rules::parse_trait_rules;
use crate::veto_history::VetoHistory;
use crate::vetoes::{self, Veto};
use kith_expr::{AggregateId, AggregateSpec};
use kith_identity::{Evidence, Rules, Vetoes};
use kith_profile::{FoldPlan, Part, TraitRules};
use kith_segment::{Cause, CompiledSegment, SegmentDefinition, SegmentIndex};
use kith_types::{Event, ProfileId, SegmentName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The kind of decision that applies definitions.
pub const DEFINITIONS_APPLIED: &str = "definitions.applied";

/// The kinds of definition that steps use; others are the catalog's and activation's.
const USED: [&str; 4] = [IDENTITY_RULES, "trait_rules", "computed_trait", "segment"];
pub(crate) const IDENTITY_RULES: &str = "identity_rules";

/// Whether steps use definitions of a kind: such a one changes people.
#[must_use]
pub fn is_used(kind: &str) -> bool {
    USED.contains(&kind)
}

/// One definition as a decision carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefinitionDocument {
    /// Its kind, such as `segment`.
    pub kind: String,
    /// Its name, distinct within the kind.
    pub name: String,
    /// What it defines; `None` removes it.
    pub spec: Option<serde_json::Value>,
}

/// A decision as the log holds it; who decided and why is the catalog's to keep.
#[derive(Deserialize)]
struct WrittenDecision {
    applied: Vec<WrittenDocument>,
    removed: Vec<WrittenName>,
    #[serde(default)]
    when_ready: bool,
}

#[derive(Deserialize)]
struct WrittenDocument {
    kind: String,
    name: String,
    spec: serde_json::Value,
}

#[derive(Deserialize)]
struct WrittenName {
    kind: String,
    name: String,
}

/// What a decision record says.
pub(crate) struct Decided {
    /// The definitions that it changes.
    pub(crate) changes: Vec<DefinitionDocument>,
    /// Whether it waits until it can be taken without holding anything up.
    pub(crate) when_ready: bool,
}

/// What a decision record says; `None` when it cannot be read.
pub(crate) fn read_decision(document: &str) -> Option<Decided> {
    let decision: WrittenDecision = serde_json::from_str(document).ok()?;
    let applied = decision.applied.into_iter().map(|document| DefinitionDocument {
        kind: document.kind,
        name: document.name,
        spec: Some(document.spec),
    });
    let removed = decision.removed.into_iter().map(|id| DefinitionDocument {
        kind: id.kind,
        name: id.name,
        spec: None,
    });
    Some(Decided {
        changes: applied.chain(removed).collect(),
        when_ready: decision.when_ready,
    })
}

/// The documents in force and the decision that made them so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DefinitionSet {
    /// By kind and name.
    pub(crate) documents: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// How many decisions have been applied.
    pub(crate) version: u64,
    /// When the last of them was, in microseconds.
    pub(crate) decided_at_micros: i64,
    /// Whether the last of them changed rules of identity and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) only_rules: bool,
    /// When each segment's document became what it is, in microseconds; none where that was before this was kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) segments_changed_micros: BTreeMap<String, i64>,
    /// What operators say about evidence.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) vetoes: BTreeSet<Veto>,
    /// Since when and until when they said it.
    #[serde(default, skip_serializing_if = "VetoHistory::is_empty")]
    pub(crate) veto_history: VetoHistory,
    /// How far back the decisions before can be followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reach: Option<Reach>,
}

/// A computed trait.
#[derive(Clone, Debug)]
pub struct ComputedTrait {
    /// Its name.
    pub name: String,
    /// The aggregate that it is.
    pub aggregate: AggregateId,
}

/// A segment that is kept live.
#[derive(Debug)]
pub struct LiveSegment {
    /// Its name.
    pub name: SegmentName,
    /// Its condition, ready to evaluate.
    pub compiled: CompiledSegment,
    /// When its document became what it is; that of the newest decision where it was before this was kept.
    pub changed_at: Timestamp,
}

impl LiveSegment {
    /// Whether a document, by kind and name, says who is in it: its own, that of a computed trait or of a segment that it refers
    /// to, directly or through others, or rules for traits where it asks for traits.
    #[must_use]
    pub fn is_made_of(&self, kind: &str, name: &str) -> bool {
        match kind {
            "segment" => {
                self.name.as_str() == name || self.compiled.references().iter().any(|other| other.as_str() == name)
            }
            "computed_trait" => self.compiled.computed_traits().iter().any(|other| **other == *name),
            "trait_rules" => self.compiled.depends_on_traits(),
            _ => false,
        }
    }
}

/// Everything that the steps of a space need, compiled.
#[derive(Debug)]
pub struct Definitions {
    /// How identity is resolved.
    pub rules: Arc<Rules>,
    /// Which evidence does not count.
    pub vetoes: Vetoes,
    /// The same as they were decided.
    pub vetoes_decided: BTreeSet<Veto>,
    /// Their times.
    pub(crate) veto_history: VetoHistory,
    /// Every aggregate that a computed trait or a segment needs.
    pub plan: FoldPlan,
    /// Which value of a trait survives.
    pub trait_rules: TraitRules,
    /// What segments ask of accounts; nothing where none does.
    pub(crate) accounts: Option<AccountsAsked>,
    /// Computed traits, by name.
    pub computed: Vec<ComputedTrait>,
    /// Segments, by name.
    pub segments: Vec<LiveSegment>,
    /// Which of the segments to ask, by their places.
    pub index: SegmentIndex,
    /// How many decisions made them.
    pub version: u64,
    /// The instant of the last of them.
    pub decided_at: Timestamp,
    /// With which cause what it changed of memberships is told.
    pub(crate) cause: Cause,
}

impl Definitions {
    /// What an event says under the rules and vetoes in force.
    #[must_use]
    pub fn read(&self, event: &Event) -> Evidence {
        let mut evidence = self.rules.read(event);
        self.vetoes.mark(&mut evidence);
        evidence
    }

    /// The places of the segments that may answer other than *no, for ever* of a person, in rising order: all but those
    /// that answer of them what they answer of somebody of whom nothing is known.
    pub(crate) fn to_ask_of(&self, whole: &Part) -> Vec<usize> {
        let mut places = Vec::new();
        match whole.told_slots(&self.plan) {
            Some(told) => self.index.asked_of(told, whole.trait_names(), &mut places),
            None => places.extend(0..self.segments.len()),
        }
        places
    }

    /// What operators had decided about evidence by an instant.
    ///
    /// # Errors
    /// [`crate::PipelineErrorKind::Limit`] where that is not known any more.
    pub(crate) fn vetoes_decided_at(&self, at: Timestamp) -> Result<BTreeSet<Veto>, PipelineError> {
        self.veto_history.at(&self.vetoes_decided, at).ok_or_else(|| {
            PipelineError::limit(format!(
                "decisions about evidence of before {at} are partly forgotten: ask as of a later instant"
            ))
        })
    }
}

impl DefinitionSet {
    /// The set after a decision; what the pipeline does not use is not in it.
    pub(crate) fn with(&self, changes: &[DefinitionDocument], at: Timestamp) -> Self {
        let mut next = self.clone();
        for change in changes.iter().filter(|change| is_used(&change.kind)) {
            let kind = next.documents.entry(change.kind.clone()).or_default();
            if change.kind == "segment" && kind.get(&change.name) != change.spec.as_ref() {
                let changed = &mut next.segments_changed_micros;
                match &change.spec {
                    Some(_) => changed.insert(change.name.clone(), at.as_micros()),
                    None => changed.remove(&change.name),
                };
            }
            match &change.spec {
                Some(spec) => kind.insert(change.name.clone(), spec.clone()),
                None => kind.remove(&change.name),
            };
        }
        next.version += 1;
        next.decided_at_micros = at.as_micros();
        let kinds = self.documents.keys().chain(next.documents.keys());
        let mut changed = kinds
            .filter(|kind| self.documents.get(*kind) != next.documents.get(*kind))
            .peekable();
        next.only_rules = changed.peek().is_some() && changed.all(|kind| kind == IDENTITY_RULES);
        next
    }

    /// Compiles the set.
    ///
    /// # Errors
    /// The documents that cannot be used, with the places of what is wrong.
    pub(crate) fn compile(&self) -> Result<Definitions, PipelineError> {
        let compiled = self.compile_sound();
        compiled.map_err(|first| PipelineError::of_definitions(first, self.problems()))
    }

    /// As [`DefinitionSet::compile`], as far as the first mistake.
    pub(crate) fn compile_sound(&self) -> Result<Definitions, DefinitionProblem> {
        let of_kind = |kind: &str| self.documents.get(kind).into_iter().flatten();
        let wrong = |kind: &str, name: &str, error: &dyn std::fmt::Display| {
            DefinitionProblem::new(kind, name, "", error.to_string())
        };
        let rules = match of_kind("identity_rules").next() {
            Some((name, spec)) => {
                Rules::from_json(spec).map_err(|error| wrong("identity_rules", name, &error.within("spec")))?
            }
            None => Rules::default(),
        };
        let trait_rules = match of_kind("trait_rules").next() {
            Some((name, spec)) => {
                parse_trait_rules(spec).map_err(|error| wrong("trait_rules", name, &error.within("spec")))?
            }
            None => TraitRules::default(),
        };
        let mut references = kith_segment::Definitions::default();
        for (name, spec) in of_kind("computed_trait") {
            let aggregate = kith_expr::parse_aggregate(spec)
                .map_err(|error| wrong("computed_trait", name, &error.within("spec")))?;
            references.computed_traits.insert(name.as_str().into(), aggregate);
        }
        for (name, spec) in of_kind("segment") {
            let segment: SegmentName = name.parse().map_err(|error| wrong("segment", name, &error))?;
            let definition = SegmentDefinition::parse_spec(segment.clone(), spec)
                .map_err(|error| wrong("segment", name, error.mistakes()))?;
            references.segments.insert(segment, definition);
        }
        let mut aggregates: Vec<AggregateSpec> = references.computed_traits.values().cloned().collect();
        let (mut segments, mut account_traits) = (Vec::new(), Vec::new());
        for (name, definition) in &references.segments {
            let compiled = CompiledSegment::compile(definition, &references)
                .map_err(|error| wrong("segment", name.as_str(), error.mistakes()))?;
            aggregates.extend(compiled.aggregates().iter().cloned());
            account_traits.extend(compiled.account_traits().iter().cloned());
            let changed = self.segments_changed_micros.get(name.as_str());
            segments.push(LiveSegment {
                name: name.clone(),
                compiled,
                changed_at: Timestamp::from_micros(changed.copied().unwrap_or(self.decided_at_micros)),
            });
        }
        let computed = references
            .computed_traits
            .iter()
            .map(|(name, spec)| ComputedTrait {
                name: name.to_string(),
                aggregate: spec.id(),
            })
            .collect();
        let plan = FoldPlan::new(aggregates);
        let unknown = Part::default();
        let nobody = PersonOf {
            id: ProfileId(0),
            view: unknown.view(&plan, &trait_rules),
            carriers: &[],
            accounts: AccountsOf::default(),
            identity_limited: false,
        };
        let compiled = segments.iter().map(|segment| &segment.compiled);
        let index = SegmentIndex::new(compiled, plan.ids(), &nobody);
        Ok(Definitions {
            vetoes: vetoes::compile(&self.vetoes, &rules),
            vetoes_decided: self.vetoes.clone(),
            veto_history: self.veto_history.clone(),
            rules: Arc::new(rules),
            plan,
            trait_rules,
            accounts: AccountsAsked::of(account_traits),
            computed,
            index,
            segments,
            version: self.version,
            decided_at: Timestamp::from_micros(self.decided_at_micros),
            cause: match self.only_rules {
                true => Cause::Regrouping,
                false => Cause::Definition,
            },
        })
    }
}

/// Checks documents as they would be applied on top of those in force, without applying them.
///
/// # Errors
/// The documents that cannot be used, with the places of what is wrong: [`PipelineError::problems`].
pub fn check_definitions(
    in_force: &[DefinitionDocument],
    changes: &[DefinitionDocument],
) -> Result<Definitions, PipelineError> {
    DefinitionSet::default()
        .with(in_force, Timestamp::default())
        .with(changes, Timestamp::default())
        .compile()
}
