//! Activation's ports over the running server: changes, people, messages, feedback, and links to end subscriptions.

use super::audiences::ConnectedAudiences;
use super::config::SmtpConfig;
use super::decisions::Unrecorded;
use super::{Parts, Role, ServerConfig};
use crate::error::CommandError;
use async_trait::async_trait;
use kith_activate::{
    Activation, ActivationConfig, AudiencePorts, BoxError, ConsentWord, DestinationDefinition, Feedback, HttpTracking,
    Mailer, Membership, MessageDefinition, Messages, OUTBOX_BATCH, Outbox, People, Ports, Reading, Recipient,
    SendingRules, SmtpMailer, SmtpTls,
};
use kith_api::RawJson;
use kith_api::ports::{PortError, PortErrorKind, Subscription, TailKind, Unsubscribe};
use kith_catalog::{Catalog, DocumentKind, OWN_SOURCE};
use kith_log::Log;
use kith_pipeline::{Handover, OutboxReader, PersonDocument, Pipeline, Reads, Standing, StepOutput};
use kith_segment::Change;
use kith_types::{
    Clock, Envelope, IdentifierType, Origin, ProfileId, RecordBody, Route, SegmentName, SourceName, SpaceId, Terms,
    Value,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

/// Of how many of a person's latest events the zone is looked for.
const ZONE_EVENTS: usize = 10;

struct Changes {
    handover: Handover,
    pipeline: Arc<Pipeline>,
    unrecorded: Arc<Unrecorded>,
}

impl Outbox for Changes {
    fn changes_from(&self, space: &SpaceId, number: u64) -> Result<Option<Vec<(u64, Change)>>, BoxError> {
        let changes = self.handover.changes_from(space, number, OUTBOX_BATCH)?;
        // Asked after they were read: whatever decision they follow, the messages that it brings are there to be found.
        if !self.unrecorded.is_settled() {
            return Ok(None);
        }
        let changes = changes.into_iter();
        Ok(Some(
            changes.map(|numbered| (numbered.number, numbered.change)).collect(),
        ))
    }

    fn passed(&self, space: &SpaceId, number: u64) -> Result<(), BoxError> {
        Ok(self.handover.passed(OutboxReader::Activation, space, number)?)
    }

    fn spaces(&self) -> Vec<SpaceId> {
        self.pipeline.status().profiles.into_keys().collect()
    }
}

struct Recipients {
    reads: Reads,
    clock: Arc<dyn Clock>,
}

/// A value for templates, whose numbers may be rounded.
fn template_value(value: &Value) -> serde_json::Value {
    serde_json::from_str(&value.to_json()).unwrap_or_default()
}

impl People for Recipients {
    fn recipient(&self, space: &SpaceId, profile: ProfileId) -> Result<Reading, BoxError> {
        let standing = self.reads.standing(space, &profile.to_string(), self.clock.now())?;
        Ok(match standing {
            Standing::Found(person) => Reading::Found(Box::new(recipient(&person))),
            Standing::Nobody => Reading::Nobody,
            Standing::NotNow => Reading::NotNow,
        })
    }

    fn members(
        &self,
        space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Option<Vec<ProfileId>>, BoxError> {
        Ok(self.reads.standing_members(space, segment, after, limit)?)
    }

    fn zone(&self, space: &SpaceId, recipient: &Recipient) -> Result<Option<String>, BoxError> {
        if let Some(serde_json::Value::String(zone)) = recipient.traits.get("timezone") {
            return Ok(Some(zone.clone()));
        }
        let person = recipient.profile.to_string();
        let events = self.reads.events(space, &person, None, ZONE_EVENTS)?;
        Ok(events.unwrap_or_default().iter().find_map(|event| {
            let (_, zone) = event.context.iter().find(|(name, _)| &**name == "timezone")?;
            serde_json::from_str(&zone.to_json()).ok()
        }))
    }
}

fn recipient(person: &PersonDocument) -> Recipient {
    let identifier = |kind: &IdentifierType| {
        let found = person
            .identifiers
            .iter()
            .rev()
            .find(|view| view.identifier.kind == *kind);
        found.map(|view| view.identifier.value.to_string())
    };
    let consents = person.consents.iter().map(|(category, granted, at)| ConsentWord {
        category: category.clone(),
        granted: *granted,
        at: *at,
    });
    Recipient {
        profile: person.id,
        email: email_said(person).or_else(|| identifier(&IdentifierType::Email)),
        addresses: person
            .identifiers
            .iter()
            .filter(|view| view.identifier.kind == IdentifierType::Email)
            .map(|view| view.identifier.value.to_string())
            .collect(),
        user_id: identifier(&IdentifierType::UserId),
        anonymous_id: identifier(&IdentifierType::AnonymousId),
        traits: person
            .traits
            .iter()
            .map(|view| (view.name.clone(), template_value(&view.value)))
            .collect(),
        computed: person
            .computed
            .iter()
            .map(|(name, value, _)| (name.clone(), template_value(value)))
            .collect(),
        segments: person
            .segments
            .iter()
            .map(|held| Membership {
                segment: held.segment.clone(),
                since: held.since,
                cause: held.cause,
            })
            .collect(),
        consents: consents.collect(),
    }
}

/// The address that the trait `email` says and that is the person's: the one in use, also where another was seen first
/// after it, such as one that was mistyped once.
fn email_said(person: &PersonDocument) -> Option<String> {
    let said = person.traits.iter().find(|view| view.name == "email")?;
    let said = said.value.as_str()?.trim().to_lowercase();
    let mut own = person.identifiers.iter().map(|view| &view.identifier);
    let found = own.find(|own| own.kind == IdentifierType::Email && own.value.to_lowercase() == said);
    found.map(|own| own.value.to_string())
}

/// Messages in force, compiled once and again after each change of definitions.
pub(crate) struct CatalogMessages {
    catalog: Arc<Catalog>,
    compiled: Mutex<BTreeMap<SpaceId, Compiled>>,
}

/// What of a space's definitions sends.
#[derive(Clone, Default)]
struct Compiled {
    messages: Vec<Arc<MessageDefinition>>,
    rules: Arc<SendingRules>,
    destinations: Vec<Arc<DestinationDefinition>>,
}

impl CatalogMessages {
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            compiled: Mutex::default(),
        }
    }

    /// Has the definitions read again: they changed.
    pub(super) fn forget(&self) {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The destinations of a space.
    pub(super) fn destinations(&self, space: &SpaceId) -> Result<Vec<Arc<DestinationDefinition>>, BoxError> {
        Ok(self.of(space)?.destinations)
    }

    fn of(&self, space: &SpaceId) -> Result<Compiled, BoxError> {
        // The lock is held over the reading, so that a change cannot fall between reading and keeping.
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.get(space) {
            return Ok(known.clone());
        }
        let documents = self.catalog.definitions(space)?;
        let mut read = Compiled::default();
        for document in &documents {
            match document.kind {
                DocumentKind::Message => {
                    let message = MessageDefinition::parse(&document.name, &document.spec);
                    let message = message.map_err(|_| unusable(&document.name))?;
                    read.messages.push(Arc::new(message));
                }
                DocumentKind::SendingRules => {
                    let rules = SendingRules::parse(&document.spec);
                    read.rules = Arc::new(rules.map_err(|_| unusable(&document.name))?);
                }
                DocumentKind::Destination => {
                    let destination = DestinationDefinition::parse(&document.name, &document.spec);
                    let destination = destination.map_err(|_| unusable(&document.name))?;
                    read.destinations.push(Arc::new(destination));
                }
                _ => {}
            }
        }
        compiled.insert(space.clone(), read.clone());
        Ok(read)
    }
}

/// A document that was taken once and cannot be used: nothing is sent until it is applied anew.
fn unusable(name: &str) -> BoxError {
    format!("the definition {name} cannot be used by this release: apply it again").into()
}

impl Messages for CatalogMessages {
    fn for_segment(&self, space: &SpaceId, segment: &SegmentName) -> Result<Vec<Arc<MessageDefinition>>, BoxError> {
        let mut messages = self.of(space)?.messages;
        messages.retain(|message| message.segment() == segment);
        Ok(messages)
    }

    fn named(&self, space: &SpaceId, name: &str) -> Result<Option<Arc<MessageDefinition>>, BoxError> {
        let mut messages = self.of(space)?.messages.into_iter();
        Ok(messages.find(|message| message.name() == name))
    }

    fn sending_rules(&self, space: &SpaceId) -> Result<Arc<SendingRules>, BoxError> {
        Ok(self.of(space)?.rules)
    }
}

struct LogFeedback {
    log: Arc<Log>,
    source: SourceName,
}

impl Feedback for LogFeedback {
    fn append(&self, space: &SpaceId, events_json: String) -> Result<(), BoxError> {
        let body = RecordBody::Envelope(Envelope {
            source: self.source.clone(),
            route: Route::Internal,
            origin: Origin::Live,
            content_type: "application/json".into(),
            client_ip: "".into(),
            user_agent: "".into(),
            // What the server says is bounded by itself, whatever a space may send.
            terms: Terms::USUAL,
            body: events_json.into(),
        });
        self.log.append_blocking(space, &body)?;
        Ok(())
    }
}

fn mailer(smtp: &SmtpConfig) -> Result<Option<Arc<dyn Mailer>>, CommandError> {
    let Some(address) = &smtp.address else { return Ok(None) };
    let unusable = |error| CommandError::caused("the mail server cannot be used", error);
    let credentials = smtp.credentials()?;
    let config = if address.contains("://") {
        if credentials.is_some() {
            let message =
                "the mail server's address is a URL: user and password stand in it, not in smtp.user and smtp.password";
            return Err(CommandError::new(message));
        }
        kith_activate::SmtpConfig::from_url(address).map_err(unusable)?
    } else {
        // Not repeated: what is no address may hold a password.
        let wrong = || {
            CommandError::new(
                "the mail server's address is neither HOST:PORT nor a URL such as smtps://USER:PASSWORD@mail.example.com",
            )
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        // Of a URL without its scheme; user and password would be taken for a part of the host.
        if host.contains('@') {
            return Err(wrong());
        }
        let tls = if smtp.tls { SmtpTls::StartTls } else { SmtpTls::None };
        let mut config = kith_activate::SmtpConfig::new(host, port.parse().map_err(|_| wrong())?, tls);
        config.credentials = credentials;
        if config.credentials.is_some() && !smtp.tls {
            return Err(CommandError::new(
                "the mail server's password would travel in clear: set tls: true for it",
            ));
        }
        config
    };
    Ok(Some(Arc::new(SmtpMailer::new(config).map_err(unusable)?)))
}

/// What starting activation needs.
pub(super) struct Sending<'a> {
    pub(super) config: &'a ServerConfig,
    pub(super) address: SocketAddr,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log: Arc<Log>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) reads: Reads,
    pub(super) handover: Handover,
    pub(super) messages: Arc<CatalogMessages>,
    pub(super) unrecorded: Arc<Unrecorded>,
}

/// Starts activation and the thread that wakes it when a step has changed a membership.
pub(super) fn start(sending: Sending<'_>, steps: Receiver<Arc<StepOutput>>) -> Result<Arc<Activation>, CommandError> {
    let source = OWN_SOURCE
        .parse()
        .map_err(|error| CommandError::caused("the server's own source", error))?;
    let audiences = match sending.config.has(Role::Activate) {
        true => Some(AudiencePorts {
            audiences: Arc::new(ConnectedAudiences {
                handover: sending.handover.clone(),
                pipeline: Arc::clone(&sending.pipeline),
                messages: Arc::clone(&sending.messages),
                write_keys: sending.config.write_keys.clone(),
            }),
            tracking: Arc::new(HttpTracking::new().map_err(|error| CommandError::caused("destinations", error))?),
        }),
        false => None,
    };
    let ports = Ports {
        audiences,
        outbox: Arc::new(Changes {
            handover: sending.handover,
            pipeline: Arc::clone(&sending.pipeline),
            unrecorded: sending.unrecorded,
        }),
        people: Arc::new(Recipients {
            reads: sending.reads,
            clock: Arc::clone(&sending.clock),
        }),
        messages: sending.messages,
        feedback: Arc::new(LogFeedback {
            log: sending.log,
            source,
        }),
        // Without the role entries are reserved, and whoever has it sends.
        mailer: if sending.config.has(Role::Activate) {
            mailer(&sending.config.smtp)?
        } else {
            None
        },
    };
    let public_url = sending
        .config
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{}", sending.address));
    let config = ActivationConfig::new(sending.config.data.join("ledger.db"), public_url);
    let runtime = tokio::runtime::Handle::current();
    let activation = Activation::start(&config, ports, sending.clock, runtime)
        .map_err(|error| CommandError::caused("activation cannot be started", error))?;
    let woken = Arc::clone(&activation);
    std::thread::Builder::new()
        .name("kith-wake".to_owned())
        .spawn(move || {
            for step in steps {
                if !step.changes.is_empty() {
                    woken.notify();
                }
            }
        })
        .map_err(|error| CommandError::caused("a thread cannot be started", error))?;
    Ok(activation)
}

/// Puts what becomes of messages on the live tail, until the server is gone.
pub(super) fn follow(parts: &Arc<Parts>) {
    let mut items = parts.activation.listen();
    let tail = parts.tail.clone();
    tokio::spawn(async move {
        loop {
            match items.recv().await {
                Ok(item) => {
                    let body = serde_json::json!({
                        "message": item.message, "profile": item.profile.to_string(), "state": item.state.as_str(),
                        "reason": item.reason, "subject": item.subject, "at": item.at.to_string(),
                    });
                    tail.tell(&item.space, TailKind::Message, Some(item.profile), RawJson::of(&body));
                }
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
        }
    });
}

/// The API's port to unsubscribe links.
pub(super) struct Links(pub(super) Arc<Parts>);

impl Links {
    async fn ask(
        &self,
        token: &str,
        work: impl FnOnce(&Activation, &str) -> Result<Option<kith_activate::Subscription>, kith_activate::ActivateError>
        + Send
        + 'static,
    ) -> Result<Option<Subscription>, PortError> {
        let (activation, token) = (Arc::clone(&self.0.activation), token.to_owned());
        let asked = tokio::task::spawn_blocking(move || work(&activation, &token))
            .await
            .map_err(PortError::internal)?;
        // Whoever comes back later succeeds: a mail provider does that on 503 only.
        let found = asked.map_err(|error| {
            let message = "who is unsubscribed cannot be read or written just now";
            PortError::new(PortErrorKind::Unavailable, message).with_cause(error)
        })?;
        Ok(found.map(|found| Subscription {
            sender: found.sender,
            masked_address: found.masked_address,
        }))
    }
}

#[async_trait]
impl Unsubscribe for Links {
    async fn look_up(&self, token: &str) -> Result<Option<Subscription>, PortError> {
        self.ask(token, Activation::look_up_token).await
    }

    async fn unsubscribe(&self, token: &str) -> Result<Option<Subscription>, PortError> {
        self.ask(token, Activation::unsubscribe).await
    }
}

#[cfg(test)]
mod tests;
