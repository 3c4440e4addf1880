//! Running the server: readiness, status, flushing, proving.

use super::under_way::{refolds, rules_in_work, waits_for};
use super::{Parts, audiences, losses, rebuild, rejects};
use async_trait::async_trait;
use kith_activate::PauseScope as Scope;
use kith_api::ports::{
    FlushReport, LineStream, LossAccepted, MessageCount, MessageSend, Operations, PauseScope, PortError, PortErrorKind,
    RawVerification, ReadinessCheck, RejectsReplayed, ReplayRejects, SendsQuery, StageStatus, Status, TableStatus,
};
use kith_types::{Address, SpaceId, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How long a flush waits for the pipeline to take what is in the log.
const FLUSH_MAX: Duration = Duration::from_secs(600);
/// How long what time alone changes is waited for.
const CLOCK_MAX: Duration = Duration::from_secs(30);

/// The API's port to the running server.
pub(crate) struct Running(pub(crate) Arc<Parts>);

impl Running {
    fn through(&self, end: u64) -> Option<Address> {
        let sequence = end.checked_sub(1)?;
        Some(Address {
            generation: self.0.generation,
            partition: 0,
            sequence,
            index: 0,
        })
    }

    fn stage(&self, name: &str, end: u64, fault: Option<String>) -> StageStatus {
        StageStatus {
            name: name.to_owned(),
            through: self.through(end),
            lag_records: self.0.log.durable_end().saturating_sub(end),
            lag_millis: lag_millis(&self.0, end),
            fault,
            waits_for: None,
        }
    }

    /// Sealed segments that cannot be put into raw wait in the log.
    fn archiving(&self) -> ReadinessCheck {
        let raw = self.0.published().raw;
        ReadinessCheck {
            name: "archiving".to_owned(),
            fault: raw.failure.filter(|_| raw.failures > 1),
            bearable: true,
            note: raw.failing_since.map(|since| failed(raw.failures, since)),
        }
    }

    fn publishing(&self) -> ReadinessCheck {
        let publish = self.0.published();
        let note = publish.failing_since.map(|since| failed(publish.failures, since));
        // One failure is tried again within a second; more of them need somebody to look.
        let keeps_failing = publish.failures > 1;
        ReadinessCheck {
            name: "publishing".to_owned(),
            fault: publish.failure.filter(|_| keeps_failing),
            bearable: true,
            note,
        }
    }

    fn rebuilding(&self) -> ReadinessCheck {
        let status = self.0.pipeline.status();
        let note = status
            .rebuilding
            .map(|end| format!("{} of {end} records taken", status.committed));
        ReadinessCheck {
            name: "rebuild".to_owned(),
            fault: note
                .as_ref()
                .map(|note| format!("the live state is being built again: {note}")),
            bearable: true,
            note,
        }
    }

    /// Records that wait for rules of identity are late as somebody decided it, so it is told and is no fault. Which space, a
    /// key is needed for.
    fn lag(&self) -> ReadinessCheck {
        let (pipeline, publish) = (self.0.pipeline.status(), self.0.published());
        let waits = match waits_for(&pipeline) {
            Some(_) => " (they wait for changed rules of identity)",
            None => "",
        };
        let ends = [pipeline.committed, publish.clean_end];
        let behind = ends.map(|end| self.0.log.durable_end().saturating_sub(end));
        ReadinessCheck {
            name: "lag".to_owned(),
            fault: None,
            bearable: true,
            note: Some(format!(
                "{} records before people{waits}, {} before tables",
                behind[0], behind[1]
            )),
        }
    }

    /// Somebody decided it, so it is told and is no fault. By number: what is named here is read by anybody.
    async fn sending(&self) -> ReadinessCheck {
        let activation = Arc::clone(&self.0.activation);
        let paused = self.0.ledger_look.ask(move || activation.paused()).await;
        let scopes: Option<Vec<PauseScope>> = match paused {
            Ok(Ok(keys)) => Some(keys.iter().filter_map(|key| paused_scope(key)).collect()),
            _ => None,
        };
        ReadinessCheck {
            name: "sending".to_owned(),
            fault: scopes
                .is_none()
                .then(|| "what is paused cannot be read from the send ledger".to_owned()),
            bearable: true,
            note: scopes.map(|scopes| paused_in_words(&scopes)),
        }
    }

    /// By numbers: the reasons name people and are told where people may be read.
    fn mail(&self) -> ReadinessCheck {
        let fault = self.0.activation.mail_fault();
        let note = match &fault {
            Some(fault) => Some(format!("sending {}", failed(fault.failures, fault.since))),
            None if !self.0.activation.has_mailer() => Some("no mail server: what is reserved waits".to_owned()),
            None => None,
        };
        ReadinessCheck {
            name: "mail".to_owned(),
            fault: fault.map(|fault| {
                format!(
                    "the mail server took nothing: sending {}: `kith messages list` says why",
                    failed(fault.failures, fault.since)
                )
            }),
            bearable: true,
            note,
        }
    }

    async fn tables(&self) -> Vec<TableStatus> {
        let mut tables = Vec::new();
        for space in self.0.pipeline.status().profiles.keys() {
            for (namespace, name) in self.0.lake.tables(space).unwrap_or_default() {
                if let Ok(table) = self.0.lake.table(space, &namespace, &name).await {
                    tables.push(TableStatus {
                        name: format!("{space}.{namespace}.{name}"),
                        rows: table.record_count(),
                        committed_at: table.committed_at,
                    });
                }
            }
        }
        tables
    }
}

/// How old the oldest record is that a stage has still to take, in milliseconds; 0 where there is none. It may read the disk.
pub(super) fn lag_millis(parts: &Parts, end: u64) -> u64 {
    if parts.log.durable_end() <= end {
        return 0;
    }
    let mut reader = parts.log.reader(end);
    let oldest = loop {
        match reader.read(1, 1) {
            Ok(records) => break records,
            // What the log let go is older still, by how much it does not know.
            Err(error) => match error.gap() {
                Some(gap) => reader.skip_to(gap.to),
                None => break Vec::new(),
            },
        }
    };
    let waited = oldest.first().map(|record| parts.clock.now() - record.received_at);
    waited.map_or(0, |waited| u64::try_from(waited.as_micros() / 1_000).unwrap_or(0))
}

fn failed(failures: u32, since: Timestamp) -> String {
    let times = if failures == 1 { "time" } else { "times in a row" };
    format!("failed {failures} {times}, since {since}")
}

#[async_trait]
impl Operations for Running {
    async fn readiness(&self) -> Vec<ReadinessCheck> {
        let health = self.0.log.health();
        let log = (!health.writable).then(|| {
            format!(
                "the log cannot be written: {}",
                health.last_error.as_deref().unwrap_or("it is being opened anew")
            )
        });
        let pipeline = self.0.pipeline.status();
        let mended = match pipeline.tries_again {
            true => "it begins again by itself once the cause is gone",
            false => "see the server's log, then restart it",
        };
        let pipeline = pipeline.failure.map(|why| format!("{why}: {mended}"));
        let needed = |name: &str, fault| ReadinessCheck {
            name: name.to_owned(),
            fault,
            ..ReadinessCheck::default()
        };
        // The API checks the catalog itself.
        let mut checks = vec![needed("log", log), needed("pipeline", pipeline)];
        if self.0.publisher.is_some() {
            checks.extend([
                self.publishing(),
                self.archiving(),
                self.rebuilding(),
                self.lag(),
                self.0.losses.check(),
            ]);
        }
        checks.push(self.sending().await);
        checks.push(self.mail());
        checks
    }

    async fn status(&self) -> Result<Status, PortError> {
        let pipeline = self.0.pipeline.status();
        let publish = self.0.published();
        let dry_run = self.0.reads.dry_run();
        let dry_run = dry_run.map(|rules| rules_in_work(&rules, self.0.clock.now()));
        let paused = self.0.activation.paused().map_err(PortError::internal)?;
        let running = Self(Arc::clone(&self.0));
        let stood = [
            ("pipeline", pipeline.committed, pipeline.failure.clone()),
            ("lake", publish.clean_end, publish.failure.clone()),
            ("raw", publish.raw_end, publish.raw.failure.clone()),
        ];
        let stages =
            tokio::task::spawn_blocking(move || stood.map(|(name, end, fault)| running.stage(name, end, fault)));
        let mut stages = stages.await.map_err(PortError::internal)?;
        stages[0].waits_for = waits_for(&pipeline);
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.0.started_at,
            stages: stages.into_iter().chain(audiences::stages(&self.0).await?).collect(),
            refolds: refolds(&pipeline, self.0.clock.now()),
            dry_run,
            tables: self.tables().await,
            messages_paused: paused.iter().filter_map(|key| paused_scope(key)).collect(),
        })
    }

    async fn flush(&self) -> Result<FlushReport, PortError> {
        let Some(publisher) = &self.0.publisher else {
            let message = "this process runs without the role pipeline: ask one that has it";
            return Err(PortError::new(PortErrorKind::Unavailable, message));
        };
        let (end, now) = (self.0.log.durable_end(), self.0.clock.now());
        let pipeline = Arc::clone(&self.0.pipeline);
        let waited = tokio::task::spawn_blocking(move || {
            let taken = pipeline.wait_committed(end, FLUSH_MAX);
            // What time alone has changed by now belongs to it. A log that takes nothing tells no time either: what is there
            // is flushed.
            if taken && !pipeline.wait_clock(now, CLOCK_MAX) {
                tracing::warn!("a flush may lack what time alone has changed lately");
            }
            taken && pipeline.wait_swept(FLUSH_MAX)
        });
        if !waited.await.map_err(PortError::internal)? {
            let message = "the pipeline has not taken everything yet: see `kith status`, then flush again";
            return Err(PortError::new(PortErrorKind::Unavailable, message));
        }
        publisher.flush().await.map_err(|error| {
            PortError::new(
                PortErrorKind::Unavailable,
                "the lake could not be committed; it is tried again",
            )
            .with_cause(error)
        })?;
        Ok(FlushReport {
            through: self.through(end),
            tables: self.tables().await,
        })
    }

    async fn replay_rejects(&self, space: &SpaceId, asked: ReplayRejects) -> Result<RejectsReplayed, PortError> {
        // What one call appends must count before the next asks what counts.
        let _one_at_a_time = self.0.replaying.lock().await;
        // The table tells the rejects: those that are not in it yet are put there first.
        self.flush().await?;
        let replayed = rejects::replay(&self.0, space, asked).await?;
        let end = replayed.decided_by.last().map_or(0, |address| address.sequence + 1);
        let pipeline = Arc::clone(&self.0.pipeline);
        let waited = tokio::task::spawn_blocking(move || pipeline.wait_committed(end, FLUSH_MAX));
        if waited.await.map_err(PortError::internal)? {
            return Ok(replayed);
        }
        let message = "the decision stands, and the pipeline has not taken it yet: see `kith status`";
        Err(PortError::new(PortErrorKind::Unavailable, message))
    }

    async fn verify_raw(&self) -> Result<RawVerification, PortError> {
        let expected = losses::expected(&self.0.log, self.0.generation);
        let report = self
            .0
            .lake
            .raw()
            .verify_with(expected)
            .await
            .map_err(PortError::internal)?;
        Ok(rebuild::raw_report(&report))
    }

    async fn accept_loss(&self, range: &str, author: &str, reason: &str) -> Result<LossAccepted, PortError> {
        losses::accept(&self.0, range, author, reason).await
    }

    async fn verify_rebuild(&self) -> Result<LineStream, PortError> {
        rebuild::verify(Arc::clone(&self.0))
    }

    async fn pause_messages(&self, scope: &PauseScope, paused: bool) -> Result<bool, PortError> {
        let scope = match scope {
            PauseScope::All => Scope::All,
            PauseScope::Space(space) => Scope::Space(space),
            PauseScope::Message(space, message) => Scope::Message(space, message),
            PauseScope::Destination(space, name) => Scope::Destination(space, name),
        };
        self.0.activation.pause(scope, paused).map_err(PortError::internal)
    }

    async fn message_sends(&self, space: &SpaceId, query: SendsQuery) -> Result<Vec<MessageSend>, PortError> {
        let (activation, space) = (Arc::clone(&self.0.activation), space.clone());
        let of = kith_activate::SendsOf {
            profile: query.profile,
            message: query.message,
            limit: query.limit,
        };
        let of_space = space.clone();
        let work = move || Ok((activation.sends(&of_space, &of)?, activation.paused()?));
        let read: Result<Result<_, kith_activate::ActivateError>, _> = tokio::task::spawn_blocking(work).await;
        let (sends, paused) = read.map_err(PortError::internal)?.map_err(PortError::internal)?;
        let has_mailer = self.0.activation.has_mailer();
        let holds = |send: &kith_activate::SendView| {
            let of_message = format!("{space}/{}", send.message);
            let is_paused = |key: &String| key == "*" || *key == space.as_str() || *key == of_message;
            match send.state == kith_activate::SendState::Reserved {
                true if paused.iter().any(is_paused) => Some("paused".to_owned()),
                true if !has_mailer => Some("no_mail_server".to_owned()),
                _ => None,
            }
        };
        let shown = sends.into_iter().map(|send| MessageSend {
            reason: holds(&send).or_else(|| send.reason.clone()),
            send_id: send.send_id,
            message: send.message,
            segment: send.segment,
            profile: send.profile,
            entered_at: send.entered_at,
            state: send.state.as_str(),
            attempts: send.attempts,
            due_at: send.due_at,
        });
        Ok(shown.collect())
    }

    async fn message_counts(&self, space: &SpaceId) -> Result<Vec<MessageCount>, PortError> {
        let (activation, space) = (Arc::clone(&self.0.activation), space.clone());
        let counts = tokio::task::spawn_blocking(move || activation.counts(&space)).await;
        let counts = counts.map_err(PortError::internal)?.map_err(PortError::internal)?;
        let shown = counts.into_iter().map(|one| MessageCount {
            message: one.message,
            state: one.state.map_or("not_live", kith_activate::SendState::as_str),
            reason: one.reason,
            count: one.count,
        });
        Ok(shown.collect())
    }
}

/// What is paused, without a name.
fn paused_in_words(paused: &[PauseScope]) -> String {
    if paused.contains(&PauseScope::All) {
        return "everything is paused".to_owned();
    }
    let count = |is_it: fn(&PauseScope) -> bool| paused.iter().filter(|scope| is_it(scope)).count();
    let counted = |count: usize, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {one}s")),
    };
    let parts = [
        counted(count(|scope| matches!(scope, PauseScope::Space(_))), "space"),
        counted(count(|scope| matches!(scope, PauseScope::Message(..))), "message"),
        counted(
            count(|scope| matches!(scope, PauseScope::Destination(..))),
            "destination",
        ),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "nothing is paused".to_owned(),
        false => format!("paused: {}", parts.join(", ")),
    }
}

/// What a key of activation names.
fn paused_scope(key: &str) -> Option<PauseScope> {
    if key == "*" {
        return Some(PauseScope::All);
    }
    Some(match key.split_once('/') {
        Some((space, name)) => match name.strip_prefix("destination/") {
            Some(destination) => PauseScope::Destination(space.parse().ok()?, destination.to_owned()),
            None => PauseScope::Message(space.parse().ok()?, name.to_owned()),
        },
        None => PauseScope::Space(key.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_1_what_is_paused_is_told_to_anybody_without_a_name() {
        let space = || SpaceId::main();
        let message = |name: &str| PauseScope::Message(space(), name.to_owned());
        for (paused, words) in [
            (vec![], "nothing is paused"),
            (vec![message("a")], "paused: 1 message"),
            (
                vec![PauseScope::Space(space()), message("a"), message("b")],
                "paused: 1 space, 2 messages",
            ),
            (
                vec![PauseScope::Destination(space(), "crm".to_owned()), message("a")],
                "paused: 1 message, 1 destination",
            ),
            (vec![message("a"), PauseScope::All], "everything is paused"),
        ] {
            assert_eq!(paused_in_words(&paused), words);
        }
        let destination = PauseScope::Destination(space(), "crm".to_owned());
        assert_eq!(paused_scope("main/destination/crm"), Some(destination));
        assert_eq!(paused_scope("main/crm"), Some(message("crm")));
    }
}
