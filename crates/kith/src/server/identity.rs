//! Who is who as the API asks for it: read from what the pipeline has committed, decided in the log.

use super::Parts;
use async_trait::async_trait;
use kith_api::RawJson;
use kith_api::ports::{Identity, PortError, PortErrorKind, Veto, Vetoed, WhatIf};
use kith_pipeline::{
    IDENTITY_VETOED, MAX_VETOES, PipelineError, PipelineErrorKind, Question, Veto as PipelineVeto, VetoDecision,
};
use kith_types::{Decision, Identifier, RecordBody, SpaceId};
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
        answer
            .await
            .map_err(PortError::internal)?
            .map_err(|error| match error.kind() {
                PipelineErrorKind::Definition => PortError::new(PortErrorKind::Invalid, error.to_string()),
                PipelineErrorKind::Storage | PipelineErrorKind::Corrupt => PortError::internal(error),
            })
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
    async fn why(&self, space: &SpaceId, one: &Identifier, other: &Identifier) -> Result<Option<RawJson>, PortError> {
        let (space, one, other) = (space.clone(), one.clone(), other.clone());
        let why = self.read(move |parts| parts.reads.why(&space, &one, &other)).await?;
        Ok(why.map(|why| RawJson::of(&why)))
    }

    async fn what_if(&self, space: &SpaceId, question: &WhatIf) -> Result<RawJson, PortError> {
        let question = Question {
            rules: question.rules.clone(),
            added: question.add.iter().map(asked).collect(),
            removed: question.remove.iter().map(asked).collect(),
            around: question.around.clone(),
        };
        let space = space.clone();
        let outlook = self.read(move |parts| parts.reads.what_if(&space, &question)).await?;
        Ok(RawJson::of(&outlook))
    }

    async fn vetoes(&self, space: &SpaceId) -> Result<Vec<Veto>, PortError> {
        Ok(self.parts.reads.vetoes(space).into_iter().map(shown).collect())
    }

    async fn veto(
        &self,
        space: &SpaceId,
        add: &[Veto],
        remove: &[Veto],
        author: &str,
        reason: &str,
    ) -> Result<Vetoed, PortError> {
        let _one_at_a_time = self.deciding.lock().await;
        let (add, remove) = (add.iter().map(asked).collect(), remove.iter().map(asked).collect());
        let (checked, author, reason) = (space.clone(), author.to_owned(), reason.to_owned());
        let decision = self
            .read(move |parts| sound(parts, &checked, add, remove, &author, &reason))
            .await??;
        if decision.added.is_empty() && decision.removed.is_empty() {
            return Ok(Vetoed {
                decided_by: None,
                applied: true,
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
        })
    }
}

/// The decision that a request asks for, without what holds already.
fn sound(
    parts: &Parts,
    space: &SpaceId,
    add: Vec<PipelineVeto>,
    remove: Vec<PipelineVeto>,
    author: &str,
    reason: &str,
) -> Result<Result<VetoDecision, PortError>, PipelineError> {
    let not_found = |message: &str| Ok(Err(PortError::new(PortErrorKind::NotFound, message)));
    let in_force = parts.reads.vetoes(space);
    let mut decision = VetoDecision::new(author, reason, Vec::new(), Vec::new());
    for veto in add {
        let Some(spelt) = parts.reads.sound_veto(space, &veto)? else {
            return not_found("no event at that address names that identifier; kith identity why shows addresses");
        };
        if !in_force.contains(&spelt) {
            decision.added.push(spelt);
        }
    }
    for veto in remove {
        // It may have been decided under rules that spelt it otherwise.
        let spelt = if in_force.contains(&veto) {
            veto
        } else {
            parts.reads.spelt(space, &veto)
        };
        if !in_force.contains(&spelt) {
            return not_found("that veto is not in force; kith identity vetoes lists those that are");
        }
        decision.removed.push(spelt);
    }
    if in_force.len() + decision.added.len() > MAX_VETOES {
        let message = format!("at most {MAX_VETOES} vetoes can be in force in a space");
        return Ok(Err(PortError::new(PortErrorKind::Invalid, message)));
    }
    Ok(Ok(decision))
}
