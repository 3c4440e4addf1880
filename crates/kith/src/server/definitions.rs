//! Planning and applying definitions: validated together, appended to the log as a decision, then recorded.

use super::{Parts, decisions, one_of_a_kind};
use async_trait::async_trait;
use kith_activate::{AskedOfPeople, DestinationDefinition, MessageDefinition, SendingRules};
use kith_api::RawJson;
use kith_api::ports::{Applied, Definitions, Planned, PortError, PortErrorKind};
use kith_catalog::{ChangeAction, DefinitionsDecision, Document, DocumentKind, PlannedChange, Problem, Proposal};
use kith_pipeline::{DEFINITIONS_APPLIED, DefinitionDocument, PipelineError, check_definitions, is_used};
use kith_types::{Address, Decision, RecordBody, SpaceId};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The sequence number of the latest decision about people that came in here, by space.
type Decided = BTreeMap<SpaceId, u64>;

/// The API's port to definitions.
pub(crate) struct AppliedDefinitions {
    parts: Arc<Parts>,
    /// One proposal is applied at a time, so that each is judged by what the one before left.
    applying: Arc<Mutex<Decided>>,
}

impl AppliedDefinitions {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self {
            parts,
            applying: Arc::default(),
        }
    }

    fn validate(&self, space: &SpaceId, proposal: &Proposal) -> Result<(), PortError> {
        let after = self.parts.catalog.definitions_after(space, proposal)?;
        let mut problems = one_of_a_kind::seconds(&self.parts.catalog.definitions(space)?, &after);
        problems.extend(problems_of(&after));
        if problems.is_empty() {
            Ok(())
        } else {
            Err(PortError::problems(problems))
        }
    }
}

/// What is wrong with the definitions that a space would have, whatever it has.
pub(crate) fn problems_of(documents: &[Document]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut checked = Vec::new();
    let segments: Vec<&str> = (documents.iter())
        .filter(|document| document.kind == DocumentKind::Segment)
        .map(|document| document.name.as_str())
        .collect();
    for document in documents {
        problems.extend(unknown_segments(document, &segments));
        let sends = match document.kind {
            DocumentKind::Message => Some(MessageDefinition::parse(&document.name, &document.spec).err()),
            DocumentKind::SendingRules => Some(SendingRules::parse(&document.spec).err()),
            DocumentKind::Destination => Some(DestinationDefinition::parse(&document.name, &document.spec).err()),
            _ => None,
        };
        if let Some(found) = sends {
            problems.extend(found.unwrap_or_default().into_iter().map(|problem| Problem {
                document: document.id().to_string(),
                path: format!("spec.{}", problem.path),
                message: problem.message,
            }));
            continue;
        }
        checked.push(DefinitionDocument {
            kind: document.kind.as_str().to_owned(),
            name: document.name.clone(),
            spec: Some(document.spec.clone()),
        });
    }
    if let Err(error) = check_definitions(&[], &checked) {
        problems.extend(problems_told(&error));
    }
    problems
}

/// What the pipeline says is wrong with definitions.
pub(crate) fn problems_told(error: &PipelineError) -> Vec<Problem> {
    let problems = error.problems().iter().map(|problem| Problem {
        document: problem.document.clone(),
        path: problem.path.clone(),
        message: problem.message.clone(),
    });
    problems.collect()
}

/// A message that waits for entries of segments that nobody can enter, or a destination that is told of them.
fn unknown_segments(document: &Document, segments: &[&str]) -> Vec<Problem> {
    let listed = document.spec.get("segments").and_then(Value::as_array);
    let asked: Vec<(String, &str)> = match document.kind {
        DocumentKind::Message => (document.spec.get("segment").and_then(Value::as_str).into_iter())
            .map(|name| ("spec.segment".to_owned(), name))
            .collect(),
        DocumentKind::Destination => (listed.into_iter().flatten().zip(0..))
            .filter_map(|(name, at)| Some((format!("spec.segments.{at}"), name.as_str()?)))
            .collect(),
        _ => Vec::new(),
    };
    let unknown = asked.into_iter().filter(|(_, name)| !segments.contains(name));
    let problems = unknown.map(|(path, name)| {
        let meant = match kith_expr::nearest(name, segments) {
            Some(near) => format!(": did you mean {near}?"),
            None => format!(": apply it before or together with the {}", document.kind),
        };
        Problem {
            document: document.id().to_string(),
            path,
            message: format!("there is no segment {name}{meant}"),
        }
    });
    problems.collect()
}

#[async_trait]
impl Definitions for AppliedDefinitions {
    async fn plan(&self, space: &SpaceId, proposal: &Proposal) -> Result<Planned, PortError> {
        self.validate(space, proposal)?;
        let changes = self.parts.catalog.plan(space, proposal)?;
        let warnings = self.warnings(space, proposal, &changes).await?;
        Ok(Planned { changes, warnings })
    }

    async fn impact(&self, space: &SpaceId, proposal: &Proposal, samples: usize) -> Result<RawJson, PortError> {
        self.validate(space, proposal)?;
        let after = self.parts.catalog.definitions_after(space, proposal)?;
        let planned = self.parts.catalog.plan(space, proposal)?;
        let changed = planned
            .into_iter()
            .filter(|change| change.action != ChangeAction::Unchanged);
        let changes = changed.map(|change| DefinitionDocument {
            kind: change.id.kind.as_str().to_owned(),
            spec: (after.iter())
                .find(|document| document.id() == change.id)
                .map(|document| document.spec.clone()),
            name: change.id.name,
        });
        self.parts.drafts.impact(space, changes.collect(), samples).await
    }

    async fn apply(
        &self,
        space: &SpaceId,
        proposal: &Proposal,
        author: &str,
        reason: &str,
    ) -> Result<Applied, PortError> {
        let turn = self.turn().await?;
        self.apply_in(turn, space, proposal, author, reason).await
    }

    async fn change_limits(
        &self,
        space: &SpaceId,
        change: &Map<String, Value>,
        author: &str,
        reason: &str,
    ) -> Result<Applied, PortError> {
        // The limits are read in this turn: what somebody else changes at the same time is there, or comes after.
        let turn = self.turn().await?;
        let changed = self.parts.catalog.space_limits(space).changed_by(change);
        let documents = vec![changed.map_err(|problem| PortError::problems(vec![problem]))?];
        let proposal = Proposal {
            documents,
            ..Proposal::default()
        };
        self.apply_in(turn, space, &proposal, author, reason).await
    }
}

impl AppliedDefinitions {
    /// Whoever applies next, once the catalog knows what was decided before.
    async fn turn(&self) -> Result<OwnedMutexGuard<Decided>, PortError> {
        let turn = Arc::clone(&self.applying).lock_owned().await;
        let caught_up = decisions::record_waiting(&self.parts);
        caught_up.map(|()| turn).map_err(|error| {
            // A proposal is judged by what holds, which the catalog does not know yet.
            let message = "the catalog cannot record what was decided before: see `kith doctor`, then apply again";
            PortError::new(PortErrorKind::Unavailable, message).with_cause(error)
        })
    }

    /// The names that what changes asks for and nobody has sent, and documents that do not count. Whatever keeps them from being
    /// told refuses nothing.
    async fn warnings(
        &self,
        space: &SpaceId,
        proposal: &Proposal,
        changes: &[PlannedChange],
    ) -> Result<Vec<Problem>, PortError> {
        let after = self.parts.catalog.definitions_after(space, proposal)?;
        let changed = |document: &Document| {
            let mut others = changes.iter().filter(|change| change.action != ChangeAction::Unchanged);
            others.any(|change| change.id == document.id())
        };
        let concerned: Vec<(String, String)> = (after.iter().filter(|document| changed(document)))
            .map(|document| (document.kind.as_str().to_owned(), document.name.clone()))
            .collect();
        let mut warnings = one_of_a_kind::uncounted(&after);
        let mut of_messages = self.of_messages(space, &after, &concerned).await;
        let documents = after.into_iter().map(|document| DefinitionDocument {
            kind: document.kind.as_str().to_owned(),
            name: document.name,
            spec: Some(document.spec),
        });
        let unsent = self.parts.drafts.unsent(space, documents.collect(), concerned).await;
        warnings.extend(unsent.into_iter().map(|unsent| Problem {
            document: format!("{}/{}", unsent.kind, unsent.name),
            path: String::new(),
            message: unsent.warning,
        }));
        warnings.append(&mut of_messages);
        Ok(warnings)
    }

    /// The names that templates ask for and nobody has, of which each send is skipped where it has no default; and topics that
    /// nobody was ever asked about, under which nothing is sent.
    async fn of_messages(&self, space: &SpaceId, after: &[Document], concerned: &[(String, String)]) -> Vec<Problem> {
        let kind = DocumentKind::Message;
        let is_concerned = |name: &String| concerned.iter().any(|(of, one)| of == kind.as_str() && one == name);
        let computed: BTreeSet<&str> = (after.iter())
            .filter(|document| document.kind == DocumentKind::ComputedTrait)
            .map(|document| document.name.as_str())
            .collect();
        let mut problems = Vec::new();
        for message in (after.iter()).filter(|one| one.kind == kind && is_concerned(&one.name)) {
            let asked = AskedOfPeople::of(&message.spec);
            let (reads, of, traits) = (self.parts.reads.clone(), space.clone(), asked.traits);
            let topic = message.spec.get("topic").and_then(Value::as_str).map(str::to_owned);
            let unsent = tokio::task::spawn_blocking(move || {
                let traits = reads.unsent_traits(&of, &traits)?;
                let topic = topic.map_or(Ok(None), |topic| reads.unsent_consent(&of, &topic))?;
                Ok::<_, PipelineError>((traits, topic))
            });
            // Whatever keeps it from being told refuses nothing.
            let (unsent, topic) = unsent.await.ok().and_then(Result::ok).unwrap_or_default();
            problems.extend(topic.map(|warning| Problem {
                document: message.id().to_string(),
                path: String::new(),
                message: format!("{warning} (this message goes to nobody who has not allowed its topic)"),
            }));
            let unknown = asked.computed.iter().filter(|name| !computed.contains(name.as_str()));
            let unknown = unknown.map(|name| format!("there is no computed trait {name:?}"));
            problems.extend(unsent.into_iter().chain(unknown).map(|message_text| Problem {
                document: message.id().to_string(),
                path: String::new(),
                message: format!("{message_text} (without a default in the template, every send of it is skipped)"),
            }));
        }
        problems
    }

    async fn apply_in(
        &self,
        mut turn: OwnedMutexGuard<Decided>,
        space: &SpaceId,
        proposal: &Proposal,
        author: &str,
        reason: &str,
    ) -> Result<Applied, PortError> {
        self.validate(space, proposal)?;
        let changes = self.parts.catalog.plan(space, proposal)?;
        let warnings = self.warnings(space, proposal, &changes).await?;
        let Some(mut decision) = self.parts.catalog.decision_for(space, proposal, author, reason)? else {
            return Ok(Applied {
                changes,
                warnings,
                decided_by: None,
            });
        };
        decision.when_ready = self.would_hold_up(space, &changes, turn.get(space).copied());
        let of_people = changes.iter().any(changes_people);
        // Whoever asked may be gone before it stands in the log: it is recorded all the same.
        let (parts, space) = (Arc::clone(&self.parts), space.clone());
        let decided = tokio::spawn(async move {
            let decided = decide(&parts, &space, &decision).await;
            if let (Ok(at), true) = (&decided, of_people) {
                turn.insert(space.clone(), at.sequence);
            }
            drop(turn);
            parts.activation.notify();
            decided
        });
        let decided_by = decided.await.map_err(PortError::internal)??;
        Ok(Applied {
            changes,
            warnings,
            decided_by: Some(decided_by),
        })
    }
}

impl AppliedDefinitions {
    /// Whether records and timers would have to wait while the pipeline takes these changes at their place in the log: rules
    /// of identity are worked out over all history first, and people of a space take one decision after the other. `latest` is the
    /// decision before, which the pipeline may have yet to take.
    fn would_hold_up(&self, space: &SpaceId, changes: &[PlannedChange], latest: Option<u64>) -> bool {
        let status = self.parts.pipeline.status();
        let waiting = status.decisions_waiting.contains_key(space);
        let has_people = status.profiles.get(space).is_some_and(|people| *people > 0);
        if !(has_people || waiting) || !changes.iter().any(changes_people) {
            return false;
        }
        // Where no pipeline runs, nobody knows what it has yet to take.
        let is_behind = self.parts.publisher.is_some() && latest.is_some_and(|latest| status.committed <= latest);
        waiting
            || is_behind
            || changes
                .iter()
                .any(|change| is_change(change) && change.id.kind == DocumentKind::IdentityRules)
            || status.sweeps.contains_key(space)
            || status.account_changes_waiting > 0
    }
}

fn is_change(change: &PlannedChange) -> bool {
    change.action != ChangeAction::Unchanged
}

/// Whether a change is one that people take. What only the catalog and activation use changes nobody.
fn changes_people(change: &PlannedChange) -> bool {
    is_change(change) && is_used(change.id.kind.as_str())
}

/// Puts a decision into the log and records it.
async fn decide(parts: &Parts, space: &SpaceId, decision: &DefinitionsDecision) -> Result<Address, PortError> {
    let body = RecordBody::Decision(Decision {
        kind: DEFINITIONS_APPLIED.into(),
        document: decision.to_json().into(),
    });
    let _deciding = parts.unrecorded.deciding();
    let appended = parts.log.append(space, &body).await.map_err(|error| {
        let message = "the decision could not be made durable; nothing was applied";
        PortError::new(PortErrorKind::Unavailable, message).with_cause(error)
    })?;
    let at = (appended.address, appended.received_at);
    parts.unrecorded.record(&parts.catalog, space, decision, at);
    parts.messages.forget();
    Ok(appended.address)
}

#[cfg(test)]
mod tests;
