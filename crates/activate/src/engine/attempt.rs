//! One attempt: asked again, rendered, marked, handed over, recorded (contracts ACT-1, ACT-2 and ACT-5). It never hands
//! a mail over that the ledger does not hold as `attempting`.

use super::{Boundary, Engine, port_error};
use crate::definition::{MessageDefinition, Rendered};
use crate::error::{ActivateError, ActivateErrorKind};
use crate::ledger::{Attempt, Begun, Finished, SendRow, SendState};
use crate::limits::{Limits, Quiet};
use crate::mail::{Mail, Mailer, SendOutcome};
use crate::policy::{Permission, permission};
use crate::ports::{Reading, Recipient};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kith_telemetry::Histogram;
use kith_types::{Duration, SpaceId, Timestamp};
use rand::TryRngCore;
use serde_json::{Value, json};
use std::sync::{Arc, MutexGuard, PoisonError};

/// How often a transactional mail of unknown fate is repeated before it is left as unknown.
const UNKNOWN_ATTEMPTS_MAX: u32 = 5;
/// The longest reply of a server that is kept, in characters.
const REPLY_CHARS_MAX: usize = 300;
/// How long a send waits before it asks again for a person who cannot be told apart at present.
const NOT_NOW: Duration = Duration::from_secs(2);

/// A mail that is ready, and what the ledger is told of it.
struct Ready {
    mail: Mail,
    attempt: Attempt,
}

/// What the last questions come to.
enum Prepared {
    Ready(Box<Ready>),
    /// Not before then, for this reason.
    Wait(Timestamp, &'static str),
    Skip(String),
}

/// What an attempt came to, until the ledger knows it. After a crash the ledger finds an attempt without an outcome.
pub(crate) struct Unrecorded {
    id: i64,
    finished: Finished,
    now: Timestamp,
}

impl Engine {
    /// Attempts a send that is due. It takes as long as rendering and the channel take.
    ///
    /// # Errors
    /// A port or the ledger failed: the send is put off, or stands as the ledger says.
    pub(crate) fn attempt(&self, id: i64) -> Result<(), ActivateError> {
        let Some(mailer) = self.ports.mailer.clone() else {
            return Ok(());
        };
        let Some(send) = self.ledger.send(id)?.filter(|send| send.state == SendState::Reserved) else {
            return Ok(());
        };
        let prepared = match self.prepare(&send) {
            Ok(prepared) => prepared,
            Err(error) if error.kind() == ActivateErrorKind::Stopped => return Err(error),
            Err(error) => {
                self.ledger
                    .put_off(id, self.next_try(send.attempts + 1, &send.key()), None)?;
                return Err(error);
            }
        };
        let ready = match prepared {
            Prepared::Ready(ready) => ready,
            Prepared::Wait(until, reason) => return self.ledger.put_off(id, until, Some(reason)),
            Prepared::Skip(reason) => return self.skip(id, &reason),
        };
        self.reached(Boundary::Rendered)?;
        match self.ledger.begin(&ready.attempt, self.clock.now())? {
            Begun::Yes => {}
            Begun::Paused | Begun::Later | Begun::Gone => return Ok(()),
            Begun::Skipped(send) => {
                self.tell(&send, self.clock.now());
                return Ok(());
            }
        }
        self.reached(Boundary::Attempting)?;
        let began = std::time::Instant::now();
        let outcome = self.hand_over(mailer, ready.mail);
        Histogram::MessageSeconds.observe(began.elapsed());
        self.reached(Boundary::Answered)?;
        let now = self.clock.now();
        match &outcome {
            SendOutcome::NotSent(_) | SendOutcome::Unknown(_) => {
                let wait = |failures| self.wait(failures, send.destination());
                self.destinations.failed(send.destination(), now, wait);
            }
            SendOutcome::Accepted(_) | SendOutcome::Rejected { .. } => self.destinations.answered(send.destination()),
        }
        let finished = self.judge_outcome(&send, outcome, now);
        self.unrecorded().push(Unrecorded { id, finished, now });
        self.record_outcomes()
    }

    /// Tells the ledger what attempts came to. Where it takes nothing, such as on a full disk, that is kept and told before
    /// anything else is sent.
    ///
    /// # Errors
    /// The ledger still takes nothing.
    pub(crate) fn record_outcomes(&self) -> Result<(), ActivateError> {
        // Held throughout: whoever asks waits for what is being told, and nothing leaves the list before it is recorded.
        let mut outcomes = self.unrecorded();
        while let Some(outcome) = outcomes.last() {
            if let Some(send) = self.ledger.finish(outcome.id, &outcome.finished, outcome.now)? {
                self.tell(&send, outcome.now);
            }
            outcomes.pop();
            self.reached(Boundary::Finished)?;
        }
        Ok(())
    }

    fn unrecorded(&self) -> MutexGuard<'_, Vec<Unrecorded>> {
        // Whole entries go in and out: a panic elsewhere leaves nothing half-written.
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn skip(&self, id: i64, reason: &str) -> Result<(), ActivateError> {
        let now = self.clock.now();
        if let Some(send) = self.ledger.skip(id, reason, now)? {
            self.tell(&send, now);
        }
        self.reached(Boundary::Finished)
    }

    /// Asks everything again that was asked when the send was reserved, and renders.
    fn prepare(&self, send: &SendRow) -> Result<Prepared, ActivateError> {
        let skip = |reason: &str| Ok(Prepared::Skip(reason.to_owned()));
        let now = self.clock.now();
        if now > send.wanted_at() + self.settings.give_up_after {
            return skip("too_late");
        }
        let definitions = self.ports.messages.for_segment(&send.space, &send.segment);
        let definitions = definitions.map_err(|error| port_error("messages cannot be read", error))?;
        let Some(definition) = definitions
            .into_iter()
            .find(|definition| definition.name() == send.message)
        else {
            return skip("definition_removed");
        };
        if definition.purpose().topic() != send.topic.as_deref() {
            return skip("definition_changed");
        }
        let reading = self
            .ports
            .people
            .recipient(&send.space, send.profile)
            .map_err(|error| port_error("a person cannot be read", error))?;
        let recipient = match reading {
            Reading::Found(recipient) => recipient,
            Reading::Nobody => return skip("no_person"),
            Reading::NotNow => return Ok(Prepared::Wait(now + NOT_NOW, "state_being_built")),
        };
        let granted_at = match permission(&definition, &recipient) {
            Permission::Refused(reason) => return skip(reason),
            Permission::Granted { address, .. } if address != send.address => return skip("address_changed"),
            Permission::Granted { granted_at, .. } => granted_at,
        };
        if definition.only_while_in_segment() && recipient.membership(&send.segment).is_none() {
            return skip("no_longer_member");
        }
        let token = send.topic.is_some().then(new_token).transpose()?;
        let url = token
            .as_ref()
            .map(|token| format!("{}/u/{token}", self.settings.public_url));
        let rendered = match self.render(definition.clone(), variables(send, &recipient, url.as_deref()))? {
            Ok(rendered) => rendered,
            Err(reason) => return Ok(Prepared::Skip(reason)),
        };
        let attempt = Attempt {
            id: send.id,
            subject: rendered.subject.clone(),
            sender: definition.sender(),
            token_hash: token.as_deref().map(token_hash),
            granted_at,
            limits: self.limits(&send.space, &definition, &recipient)?,
        };
        let mail = mail(send, &definition, rendered, url, now);
        if let Err(problem) = mail.to_message() {
            tracing::error!(message = send.message, problem, "a mail cannot be built");
            return skip("mail_cannot_be_built");
        }
        Ok(Prepared::Ready(Box::new(Ready { mail, attempt })))
    }

    /// Renders on a blocking thread under a deadline. The engine of templates counts its steps, so the thread ends soon
    /// after; until then it counts against the number of renderings.
    fn render(
        &self,
        definition: Arc<MessageDefinition>,
        given: serde_json::Map<String, Value>,
    ) -> Result<Result<Rendered, String>, ActivateError> {
        let permit = self.runtime.block_on(self.renders.clone().acquire_owned());
        let permit = permit.map_err(|_| ActivateError::stopped())?;
        let work = self.runtime.spawn_blocking(move || {
            let rendered = definition.render(&given);
            drop(permit);
            rendered
        });
        let limit = crate::template::RENDER_TIME_MAX * 4;
        Ok(
            match self.runtime.block_on(async { tokio::time::timeout(limit, work).await }) {
                Ok(Ok(Ok(rendered))) => Ok(rendered),
                Ok(Ok(Err(error))) => Err(error.reason()),
                Ok(Err(_)) => Err("rendering_failed".to_owned()),
                Err(_) => Err("rendering_too_long".to_owned()),
            },
        )
    }

    /// One try of the channel, within a time limit. Where the channel breaks down nobody knows what it did.
    fn hand_over(&self, mailer: Arc<dyn Mailer>, mail: Mail) -> SendOutcome {
        let limit = self.settings.attempt_time_max;
        let attempt = async move { tokio::time::timeout(limit, mailer.send(&mail)).await };
        match self.runtime.block_on(self.runtime.spawn(attempt)) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => SendOutcome::Unknown("no answer in time".to_owned()),
            Err(_) => SendOutcome::Unknown("the channel broke down".to_owned()),
        }
    }

    fn judge_outcome(&self, send: &SendRow, outcome: SendOutcome, now: Timestamp) -> Finished {
        let attempts = send.attempts + 1;
        let again = |reason: String| Finished::Again {
            due_at: self.next_try(attempts, &send.key()),
            reason,
            may_have_left: false,
        };
        match outcome {
            SendOutcome::Accepted(reply) => Finished::Settled(SendState::Accepted, Some(kept(&reply))),
            SendOutcome::NotSent(reason) => again(kept(&reason)),
            SendOutcome::Rejected { permanent, code, text } => {
                let reason = kept(&format!("{code} {text}"));
                let late = now > send.wanted_at() + self.settings.give_up_after;
                match permanent {
                    // 5.1.1 of RFC 3463: there is no such mailbox.
                    true if text.contains("5.1.1") => Finished::HardBounce(reason),
                    false if !late => again(reason),
                    true | false => Finished::Settled(SendState::Rejected, Some(reason)),
                }
            }
            SendOutcome::Unknown(reason) => match self.after_unknown(attempts, &send.key()) {
                Some(due_at) if send.topic.is_none() => Finished::Again {
                    due_at,
                    reason: kept(&reason),
                    may_have_left: true,
                },
                _ => Finished::Settled(SendState::Unknown, Some(kept(&reason))),
            },
        }
    }

    /// What caps and quiet hours say of a message to a person now.
    pub(super) fn limits(
        &self,
        space: &SpaceId,
        definition: &MessageDefinition,
        recipient: &Recipient,
    ) -> Result<Limits, ActivateError> {
        let rules = self.ports.messages.sending_rules(space);
        let rules = rules.map_err(|error| port_error("sending rules cannot be read", error))?;
        let is_marketing = definition.purpose().topic().is_some();
        let quiet = match rules.quiet_hours(definition.quiet_hours(), is_marketing) {
            Some(hours) => {
                let known = self.ports.people.zone(space, recipient);
                let known = known.map_err(|error| port_error("a person's zone cannot be read", error))?;
                let zone = rules.zone_of(known.as_deref());
                Some(Quiet { hours, zone })
            }
            None => None,
        };
        Ok(Limits {
            caps: rules.caps(definition.caps(), is_marketing),
            quiet,
            person: Some(recipient.profile),
            addresses: recipient.addresses.clone(),
        })
    }

    /// When to try a transactional mail again whose last attempt's fate is not known; `None` where it was the last that
    /// it may have.
    pub(super) fn after_unknown(&self, attempts: u32, key: &str) -> Option<Timestamp> {
        (attempts < UNKNOWN_ATTEMPTS_MAX).then(|| self.next_try(attempts, key))
    }

    /// When to try a send again after so many attempts.
    fn next_try(&self, attempts: u32, key: &str) -> Timestamp {
        self.clock.now() + self.wait(attempts, key)
    }

    /// How long to wait after so many attempts: about twice as long each time. The last half differs from one to the
    /// next, so that what failed together does not come back together.
    fn wait(&self, attempts: u32, key: &str) -> Duration {
        let doublings = attempts.saturating_sub(1).min(20);
        let wait = self.settings.retry_first.as_micros().saturating_mul(1 << doublings);
        let wait = wait.min(self.settings.retry_longest.as_micros());
        let hash = blake3::hash(format!("{key} {attempts}").as_bytes());
        let share = i64::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]));
        Duration::from_micros(wait / 2 + (wait / 2) / i64::from(u16::MAX) * share)
    }
}

fn mail(
    send: &SendRow,
    definition: &MessageDefinition,
    rendered: Rendered,
    url: Option<String>,
    date: Timestamp,
) -> Mail {
    Mail {
        from: definition.from().clone(),
        reply_to: definition.reply_to().cloned(),
        to: send.address.clone(),
        subject: rendered.subject,
        html: rendered.html,
        text: rendered.text,
        message_id: format!("<kith.{}@{}>", send.key(), definition.from().email.domain()),
        unsubscribe_url: url,
        date,
    }
}

/// The variables of a template.
fn variables(send: &SendRow, recipient: &Recipient, url: Option<&str>) -> serde_json::Map<String, Value> {
    let segments: Vec<&str> = recipient.segments.iter().map(|held| held.segment.as_str()).collect();
    let mut given = serde_json::Map::new();
    let profile = json!({
        "id": recipient.profile.to_string(),
        "traits": recipient.traits,
        "computed": recipient.computed,
        "segments": segments,
    });
    given.insert("profile".into(), profile);
    let segment = json!({ "name": send.segment.as_str(), "entered_at": send.entered_at.to_string() });
    given.insert("segment".into(), segment);
    given.insert("message".into(), json!({ "name": send.message }));
    if let Some(url) = url {
        given.insert("unsubscribe_url".into(), url.into());
    }
    given
}

/// A token of 256 random bits, in 43 characters.
fn new_token() -> Result<String, ActivateError> {
    let mut random = [0_u8; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|error| {
        ActivateError::caused(
            ActivateErrorKind::Storage,
            "the machine has no randomness for a link",
            error,
        )
    })?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// What the ledger keeps of a token: it is random, so one round of hashing hides it.
pub(crate) fn token_hash(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}

/// A server's reply as the ledger keeps it: without addresses.
fn kept(reply: &str) -> String {
    kith_telemetry::scrub(&crate::mail::one_line(reply))
        .chars()
        .take(REPLY_CHARS_MAX)
        .collect()
}
