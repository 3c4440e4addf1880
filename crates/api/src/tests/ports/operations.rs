//! The port to the running server, as the tests have it answer.

use super::*;

#[async_trait]
impl Operations for Ports {
    async fn readiness(&self) -> Vec<ReadinessCheck> {
        let fault = self
            .seen
            .log_broken
            .load(Ordering::SeqCst)
            .then(|| "disk full at /secret/path".to_owned());
        let publishing = self.seen.publishing_fails.load(Ordering::SeqCst);
        vec![
            ReadinessCheck {
                name: "log".to_owned(),
                fault,
                ..ReadinessCheck::default()
            },
            ReadinessCheck {
                name: "publishing".to_owned(),
                fault: publishing.then(|| "no room at /secret/lake".to_owned()),
                bearable: true,
                note: publishing.then(|| "failed 7 times in a row".to_owned()),
            },
        ]
    }

    async fn replay_rejects(&self, _: &SpaceId, asked: ReplayRejects) -> Result<RejectsReplayed, PortError> {
        let told = (
            asked.source.is_some(),
            asked.reason.as_deref(),
            asked.event_bytes,
            asked.author.as_str(),
        );
        let as_asked = told == (true, Some("event_too_large"), Some(65_536), "ops");
        Ok(RejectsReplayed {
            rejects: 3,
            accepted: if as_asked { 2 } else { 0 },
            counted: 1,
            next: asked.after.is_none().then_some(9),
            decided_by: vec![at(50)],
        })
    }

    async fn message_sends(&self, space: &SpaceId, query: SendsQuery) -> Result<Vec<MessageSend>, PortError> {
        let send = MessageSend {
            send_id: "5e4d".to_owned(),
            message: query.message.unwrap_or_else(|| format!("of_{space}")),
            segment: "big_spenders".parse().unwrap(),
            profile: query.profile.unwrap_or(ProfileId(1)),
            entered_at: moment(5),
            state: "reserved",
            reason: Some("quiet_hours".to_owned()),
            attempts: 0,
            due_at: Some(moment(9)),
        };
        Ok(vec![send; query.limit.min(2)])
    }

    async fn message_counts(&self, space: &SpaceId) -> Result<Vec<MessageCount>, PortError> {
        let count = |state, reason: Option<&str>, count| MessageCount {
            message: format!("of_{space}"),
            state,
            reason: reason.map(str::to_owned),
            count,
        };
        Ok(vec![count("accepted", None, 3), count("not_live", Some("import"), 7)])
    }

    async fn status(&self) -> Result<Status, PortError> {
        let stage = StageStatus {
            name: "pipeline".to_owned(),
            through: Some(at(41)),
            lag_records: 1,
            lag_millis: 12,
            fault: None,
            waits_for: Some("changed rules of identity of main".to_owned()),
        };
        let refold = RefoldStatus {
            space: SpaceId::main(),
            definition: "segment/new".to_owned(),
            records_done: 1,
            records_total: 4,
            since: Some(moment(1)),
            ends_about: None,
            live: false,
        };
        let dry_run = RefoldStatus {
            definition: "identity_rules, reading events".to_owned(),
            since: None,
            ..refold.clone()
        };
        let table = TableStatus {
            name: "main.clean.events".to_owned(),
            rows: 5,
            committed_at: Some(moment(9)),
        };
        Ok(Status {
            version: "0.1.0".to_owned(),
            started_at: moment(0),
            stages: vec![stage],
            refolds: vec![refold],
            dry_run: Some(dry_run),
            tables: vec![table],
            messages_paused: vec![],
        })
    }

    async fn flush(&self) -> Result<FlushReport, PortError> {
        match self.seen.log_broken.load(Ordering::SeqCst) {
            true => Err(PortError::new(
                PortErrorKind::Unavailable,
                "the log takes nothing: free space on its disk",
            )),
            false => Ok(FlushReport {
                through: Some(at(42)),
                tables: vec![],
            }),
        }
    }

    async fn verify_raw(&self) -> Result<RawVerification, PortError> {
        Ok(RawVerification {
            objects: 2,
            records: 3,
            bytes: 99,
            faults: vec!["object raw/x is missing".to_owned()],
            notes: vec!["accepted as lost: 0-0-3-5".to_owned()],
        })
    }

    async fn accept_loss(&self, range: &str, author: &str, reason: &str) -> Result<LossAccepted, PortError> {
        if (range, author, reason) != ("0-0-3-5", "ops", "no copy") {
            return Err(PortError::new(PortErrorKind::Invalid, "nothing of it is lost"));
        }
        let (ranges, records, decided_by) = (vec![range.to_owned()], 2, at(50));
        Ok(LossAccepted {
            ranges,
            records,
            decided_by,
        })
    }

    async fn verify_rebuild(&self) -> Result<LineStream, PortError> {
        Ok(futures::stream::iter([
            Ok(Bytes::from("{\"records\":1}\n")),
            Ok(Bytes::from("{\"done\":true,\"equal\":true}\n")),
        ])
        .boxed())
    }

    async fn pause_messages(&self, scope: &PauseScope, _: bool) -> Result<bool, PortError> {
        Ok(!matches!(scope, PauseScope::Message(_, name) if name == "nope"))
    }
}
