//! The ports of a role that a process does not run: every one answers that another process must be asked.

use super::{
    AccountMembers, AccountProfile, Applied, AsOf, Definitions, EventPage, EventQuery, FlushReport, Identity, Import,
    ImportOutcome, Ingest, LineStream, LossAccepted, Member, MessageCount, MessageSend, Operations, PauseScope,
    PersonRef, Planned, PortError, PortErrorKind, Profile, Profiles, RawVerification, ReadinessCheck, RejectsReplayed,
    ReplayRejects, SegmentDraft, SegmentStatus, Segments, SendsQuery, Sql, SqlRequest, Status, Subscription, Tail,
    TailFilter, TailStream, Unsubscribe, Veto, Vetoed, Vetoing, WhatIf,
};
use crate::RawJson;
use async_trait::async_trait;
use futures::StreamExt;
use kith_catalog::Proposal;
use kith_types::{ProfileId, SegmentName, SpaceId};

/// Stands in for a role that was left out of `--roles`: 503 with the role's name.
#[derive(Clone, Copy, Debug)]
pub struct MissingRole(pub &'static str);

impl MissingRole {
    fn refuse<T>(self) -> Result<T, PortError> {
        let message = format!(
            "this process runs without the role {}: ask one that has it, or start it with --roles {}",
            self.0, self.0
        );
        Err(PortError::new(PortErrorKind::Unavailable, message))
    }
}

#[async_trait]
impl Profiles for MissingRole {
    async fn profile(&self, _: &SpaceId, _: &PersonRef, _: usize) -> Result<Option<Profile>, PortError> {
        self.refuse()
    }

    async fn account_members(
        &self,
        _: &SpaceId,
        _: &str,
        _: Option<&str>,
        _: usize,
    ) -> Result<AccountMembers, PortError> {
        self.refuse()
    }

    async fn account(&self, _: &SpaceId, _: &str) -> Result<Option<AccountProfile>, PortError> {
        self.refuse()
    }

    async fn profile_as_of(&self, _: &SpaceId, _: &PersonRef, _: usize, _: AsOf) -> Result<Option<Profile>, PortError> {
        self.refuse()
    }

    async fn events(&self, _: &SpaceId, _: &PersonRef, _: &EventQuery) -> Result<Option<EventPage>, PortError> {
        self.refuse()
    }
}

#[async_trait]
impl Segments for MissingRole {
    async fn list(&self, _: &SpaceId) -> Result<Vec<SegmentStatus>, PortError> {
        self.refuse()
    }

    async fn members(
        &self,
        _: &SpaceId,
        _: &SegmentName,
        _: Option<ProfileId>,
        _: usize,
    ) -> Result<Option<Vec<Member>>, PortError> {
        self.refuse()
    }

    async fn estimate(&self, _: &SpaceId, _: &SegmentDraft) -> Result<RawJson, PortError> {
        self.refuse()
    }

    async fn overlap(&self, _: &SpaceId, _: &[SegmentName]) -> Result<Option<RawJson>, PortError> {
        self.refuse()
    }

    async fn explain(
        &self,
        _: &SpaceId,
        _: &SegmentName,
        _: &PersonRef,
        _: AsOf,
    ) -> Result<Option<RawJson>, PortError> {
        self.refuse()
    }
}

#[async_trait]
impl Definitions for MissingRole {
    async fn plan(&self, _: &SpaceId, _: &Proposal) -> Result<Planned, PortError> {
        self.refuse()
    }

    async fn impact(&self, _: &SpaceId, _: &Proposal, _: usize) -> Result<RawJson, PortError> {
        self.refuse()
    }

    async fn apply(&self, _: &SpaceId, _: &Proposal, _: &str, _: &str) -> Result<Applied, PortError> {
        self.refuse()
    }

    async fn change_limits(
        &self,
        _: &SpaceId,
        _: &serde_json::Map<String, serde_json::Value>,
        _: &str,
        _: &str,
    ) -> Result<Applied, PortError> {
        self.refuse()
    }
}

#[async_trait]
impl Identity for MissingRole {
    async fn why(&self, _: &SpaceId, _: &PersonRef, _: &PersonRef) -> Result<RawJson, PortError> {
        self.refuse()
    }

    async fn what_if(&self, _: &SpaceId, _: &WhatIf) -> Result<RawJson, PortError> {
        self.refuse()
    }

    async fn resolve(&self, _: &SpaceId, _: &PersonRef, _: AsOf) -> Result<Option<RawJson>, PortError> {
        self.refuse()
    }

    async fn vetoes(&self, _: &SpaceId) -> Result<Vec<Vetoing>, PortError> {
        self.refuse()
    }

    async fn veto(&self, _: &SpaceId, _: &[Veto], _: &[Veto], _: &str, _: &str) -> Result<Vetoed, PortError> {
        self.refuse()
    }
}

#[async_trait]
impl Operations for MissingRole {
    async fn readiness(&self) -> Vec<ReadinessCheck> {
        Vec::new()
    }

    async fn status(&self) -> Result<Status, PortError> {
        self.refuse()
    }

    async fn flush(&self) -> Result<FlushReport, PortError> {
        self.refuse()
    }

    async fn replay_rejects(&self, _: &SpaceId, _: ReplayRejects) -> Result<RejectsReplayed, PortError> {
        self.refuse()
    }

    async fn verify_raw(&self) -> Result<RawVerification, PortError> {
        self.refuse()
    }

    async fn accept_loss(&self, _: &str, _: &str, _: &str) -> Result<LossAccepted, PortError> {
        self.refuse()
    }

    async fn verify_rebuild(&self) -> Result<LineStream, PortError> {
        self.refuse()
    }

    async fn pause_messages(&self, _: &PauseScope, _: bool) -> Result<bool, PortError> {
        self.refuse()
    }

    async fn message_sends(&self, _: &SpaceId, _: SendsQuery) -> Result<Vec<MessageSend>, PortError> {
        self.refuse()
    }

    async fn message_counts(&self, _: &SpaceId) -> Result<Vec<MessageCount>, PortError> {
        self.refuse()
    }
}

#[async_trait]
impl Sql for MissingRole {
    async fn run(&self, _: SqlRequest) -> Result<LineStream, PortError> {
        self.refuse()
    }
}

impl Tail for MissingRole {
    fn follow(&self, _: &SpaceId, _: TailFilter) -> TailStream {
        futures::stream::empty().boxed()
    }
}

#[async_trait]
impl Ingest for MissingRole {
    async fn import(&self, _: Import) -> Result<ImportOutcome, PortError> {
        self.refuse()
    }
}

#[async_trait]
impl Unsubscribe for MissingRole {
    async fn look_up(&self, _: &str) -> Result<Option<Subscription>, PortError> {
        self.refuse()
    }

    async fn unsubscribe(&self, _: &str) -> Result<Option<Subscription>, PortError> {
        self.refuse()
    }
}
