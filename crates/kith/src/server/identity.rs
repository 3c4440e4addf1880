//! Who is who as the API asks for it: read from what the pipeline has committed, decided in the log.

use super::Parts;
use super::looking_back::{LookingBack, as_of, nobody_then, read_as_of, refused};
use super::people::name_of;
use async_trait::async_trait;
use kith_api::RawJson;
use kith_api::ports::{AsOf, Identity, PersonRef, PortError, PortErrorKind, Veto, Vetoed, Vetoing, WhatIf};
use kith_pipeline::{
    AsOf as Instant, IDENTITY_VETOED, MAX_VETOES, PipelineError, Question, Veto as PipelineVeto, VetoDecision,
};
use kith_types::{Decision, Identifier, RecordBody, SpaceId};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long an answer waits for people to be regrouped.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

/// The API's port to identity.
pub(crate) struct WhoIsWho {
    parts: Arc<Parts>,
    /// One decision at a time, so that each is judged by what the one before left.
    deciding: Mutex<()>,
}

impl WhoIsWho {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self {
            parts,
            deciding: Mutex::new(()),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Parts) -> Result<T, PipelineError> + Send + 'static,
    ) -> Result<T, PortError> {
        let parts = Arc::clone(&self.parts);
        let answer = tokio::task::spawn_blocking(move || read(&parts));
        answer.await.map_err(PortError::internal)?.map_err(refused)
    }
}

fn asked(veto: &Veto) -> PipelineVeto {
    match veto.clone() {
        Veto::Event { event, identifier } => PipelineVeto::Event { event, identifier },
        Veto::Pair { one, other } => PipelineVeto::pair(one, other),
    }
}

fn shown(veto: PipelineVeto) -> Veto {
    match veto {
        PipelineVeto::Event { event, identifier } => Veto::Event { event, identifier },
        PipelineVeto::Pair { one, other } => Veto::Pair { one, other },
    }
}

#[async_trait]
impl Identity for WhoIsWho {
    async fn why(&self, space: &SpaceId, one: &PersonRef, other: &PersonRef) -> Result<RawJson, PortError> {
        let (space, one, other) = (space.clone(), name_of(one), name_of(other));
        let why = self.read(move |parts| parts.reads.why(&space, &one, &other)).await?;
        why.map(|why| RawJson::of(&why)).map_err(|unnamed| {
            let kind = match unnamed.needs_other_names() {
                true => PortErrorKind::Invalid,
                false => PortErrorKind::NotFound,
            };
            PortError::new(kind, unnamed.to_string())
        })
    }

    async fn what_if(&self, space: &SpaceId, question: &WhatIf) -> Result<RawJson, PortError> {
        let (checked, add) = (space.clone(), question.add.iter().map(asked).collect());
        let added = LookingBack::read(&self.parts, move |parts| spelt(parts, &checked, add)).await??;
        let question = Question {
            rules: question.rules.clone(),
            added,
            removed: question.remove.iter().map(asked).collect(),
            around: question.around.clone(),
        };
        self.parts.drafts.what_if(space, question).await
    }

    async fn resolve(&self, space: &SpaceId, person: &PersonRef, asked: AsOf) -> Result<Option<RawJson>, PortError> {
        let now = self.parts.clock.now();
        let asked = as_of(asked, now)?;
        let instant = asked.unwrap_or_else(|| Instant::then(now));
        let known_at = asked.map(|asked| asked.known_at);
        let (space, name) = (space.clone(), name_of(person));
        let resolved = read_as_of(&self.parts, known_at, move |parts| {
            let Some(then) = parts.reads.resolve_as_of(&space, &name, instant)? else {
                return Ok(Err(parts.reads.absent_as_of(&space, &name, instant, now)?));
            };
            Ok(Ok((then, parts.reads.resolve(&space, &name)?)))
        });
        let resolved = match resolved.await? {
            Ok(resolved) => Some(resolved),
            Err(absent) if asked.is_some() => return Err(nobody_then(instant, absent)),
            Err(_) => None,
        };
        Ok(resolved.map(|(then, today)| {
            let identifiers: Vec<String> = then.identifiers.iter().map(ToString::to_string).collect();
            RawJson::of(&json!({
                "profile": then.profile.to_string(),
                "redirected_from": then.redirected_from.map(|id| id.to_string()),
                "identifiers": identifiers,
                "as_of": instant.at.to_string(),
                "known_at": instant.known_at.to_string(),
                "profile_today": today.map(|id| id.to_string()),
            }))
        }))
    }

    async fn vetoes(&self, space: &SpaceId) -> Result<Vec<Vetoing>, PortError> {
        let vetoes = self.parts.reads.vetoes_since(space).into_iter();
        Ok(vetoes
            .map(|(veto, since, reason)| Vetoing {
                veto: shown(veto),
                since,
                reason,
            })
            .collect())
    }

    async fn veto(
        &self,
        space: &SpaceId,
        add: &[Veto],
        remove: &[Veto],
        author: &str,
        reason: &str,
    ) -> Result<Vetoed, PortError> {
        // Histories are read before the lock: what an event names does not change.
        let (checked, add) = (space.clone(), add.iter().map(asked).collect());
        let add = LookingBack::read(&self.parts, move |parts| spelt(parts, &checked, add)).await??;
        let (named, pairs) = (space.clone(), add.clone());
        let unknown = self.read(move |parts| unknown(parts, &named, &pairs)).await?;
        let _one_at_a_time = self.deciding.lock().await;
        let remove = remove.iter().map(asked).collect();
        let decision = sound(
            &self.parts,
            space,
            add,
            remove,
            VetoDecision::new(author, reason, vec![], vec![]),
        )?;
        if decision.added.is_empty() && decision.removed.is_empty() {
            return Ok(Vetoed {
                decided_by: None,
                applied: true,
                unknown,
            });
        }
        let body = RecordBody::Decision(Decision {
            kind: IDENTITY_VETOED.into(),
            document: decision.to_json().map_err(PortError::internal)?.into(),
        });
        let appended = self.parts.log.append(space, &body).await.map_err(|error| {
            let message = "the decision could not be made durable; nothing was decided";
            PortError::new(PortErrorKind::Unavailable, message).with_cause(error)
        })?;
        let end = appended.address.sequence + 1;
        let applied = self
            .read(move |parts| Ok(parts.pipeline.wait_committed(end, APPLIED_WITHIN)))
            .await?;
        Ok(Vetoed {
            decided_by: Some(appended.address),
            applied,
            unknown,
        })
    }
}

/// The identifiers of these pairs that nobody has.
fn unknown(parts: &Parts, space: &SpaceId, vetoes: &[PipelineVeto]) -> Result<Vec<Identifier>, PipelineError> {
    let mut unknown = Vec::new();
    for veto in vetoes {
        if let PipelineVeto::Pair { one, other } = veto {
            for identifier in [one, other] {
                if parts.reads.resolve(space, &identifier.to_string())?.is_none() {
                    unknown.push(identifier.clone());
                }
            }
        }
    }
    Ok(unknown)
}

/// Vetoes as they would be decided; refused where an event does not name what it would not link.
fn spelt(
    parts: &Parts,
    space: &SpaceId,
    add: Vec<PipelineVeto>,
) -> Result<Result<Vec<PipelineVeto>, PortError>, PipelineError> {
    let mut sound = Vec::with_capacity(add.len());
    for veto in add {
        let Some(spelt) = parts.reads.sound_veto(space, &veto)? else {
            return Ok(Err(not_found(
                "no event at that address names that identifier; kith identity why shows addresses",
            )));
        };
        sound.push(spelt);
    }
    Ok(Ok(sound))
}

/// The decision that a request asks for, without what holds already. `decision` says who decides and why.
fn sound(
    parts: &Parts,
    space: &SpaceId,
    add: Vec<PipelineVeto>,
    remove: Vec<PipelineVeto>,
    mut decision: VetoDecision,
) -> Result<VetoDecision, PortError> {
    let in_force = parts.reads.vetoes(space);
    decision
        .added
        .extend(add.into_iter().filter(|veto| !in_force.contains(veto)));
    for veto in remove {
        // It may have been decided under rules that spelt it otherwise.
        let spelt = if in_force.contains(&veto) {
            veto
        } else {
            parts.reads.spelt(space, &veto)
        };
        if !in_force.contains(&spelt) {
            return Err(not_found(
                "that veto is not in force; kith identity vetoes lists those that are",
            ));
        }
        decision.removed.push(spelt);
    }
    if in_force.len() + decision.added.len() > MAX_VETOES {
        let message = format!("at most {MAX_VETOES} vetoes can be in force in a space");
        return Err(PortError::new(PortErrorKind::Invalid, message));
    }
    Ok(decision)
}

fn not_found(message: &str) -> PortError {
    PortError::new(PortErrorKind::NotFound, message)
}
