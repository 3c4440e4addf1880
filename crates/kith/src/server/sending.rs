//! Activation's ports over the running server: changes, people, messages, feedback, and links to end subscriptions.

use super::config::SmtpConfig;
use super::{Parts, ServerConfig};
use crate::error::CommandError;
use async_trait::async_trait;
use kith_activate::{
    Activation, ActivationConfig, BoxError, ConsentWord, Feedback, Mailer, MessageDefinition, Messages, OUTBOX_BATCH,
    Outbox, People, Ports, Recipient, SmtpMailer, SmtpTls,
};
use kith_api::RawJson;
use kith_api::ports::{PortError, Subscription, TailKind, Unsubscribe};
use kith_catalog::{Catalog, DocumentKind};
use kith_log::Log;
use kith_pipeline::{Handover, Pipeline, Reads, StepOutput};
use kith_segment::Change;
use kith_types::{
    Clock, Envelope, IdentifierType, Origin, ProfileId, RecordBody, Route, SegmentName, SourceName, SpaceId, Value,
};
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

/// The source that events about messages come from.
const OWN_SOURCE: &str = "kith";

struct Changes {
    handover: Handover,
    pipeline: Arc<Pipeline>,
}

impl Outbox for Changes {
    fn changes_from(&self, space: &SpaceId, number: u64) -> Result<Vec<(u64, Change)>, BoxError> {
        let changes = self.handover.changes_from(space, number)?;
        Ok(changes
            .into_iter()
            .take(OUTBOX_BATCH)
            .map(|numbered| (numbered.number, numbered.change))
            .collect())
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
    fn recipient(&self, space: &SpaceId, profile: ProfileId) -> Result<Option<Recipient>, BoxError> {
        let Some(person) = self.reads.person(space, &profile.to_string(), self.clock.now())? else {
            return Ok(None);
        };
        let identifier = |kind: &IdentifierType| {
            let found = person
                .identifiers
                .iter()
                .rev()
                .find(|view| view.identifier.kind == *kind);
            found.map(|view| view.identifier.value.to_string())
        };
        Ok(Some(Recipient {
            profile: person.id,
            email: identifier(&IdentifierType::Email),
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
            segments: person.segments.iter().map(|(name, _)| name.clone()).collect(),
            consents: person
                .consents
                .iter()
                .map(|(category, granted, at)| ConsentWord {
                    category: category.clone(),
                    granted: *granted,
                    at: *at,
                })
                .collect(),
        }))
    }
}

/// Messages in force, compiled once for each version of the definitions.
struct CatalogMessages {
    catalog: Arc<Catalog>,
    pipeline: Arc<Pipeline>,
    compiled: Mutex<std::collections::BTreeMap<SpaceId, (u64, Vec<Arc<MessageDefinition>>)>>,
}

impl CatalogMessages {
    fn of(&self, space: &SpaceId) -> Vec<Arc<MessageDefinition>> {
        let version = self
            .pipeline
            .definitions(space)
            .map_or(0, |definitions| definitions.version);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, messages)) = compiled.get(space)
            && *known == version
        {
            return messages.clone();
        }
        let documents = self.catalog.definitions(space).unwrap_or_default();
        let messages: Vec<_> = documents
            .iter()
            .filter(|document| document.kind == DocumentKind::Message)
            .filter_map(|document| {
                MessageDefinition::parse(&document.name, &document.spec)
                    .ok()
                    .map(Arc::new)
            })
            .collect();
        compiled.insert(space.clone(), (version, messages.clone()));
        messages
    }
}

impl Messages for CatalogMessages {
    fn for_segment(&self, space: &SpaceId, segment: &SegmentName) -> Vec<Arc<MessageDefinition>> {
        self.of(space)
            .into_iter()
            .filter(|message| message.segment() == segment)
            .collect()
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
            body: events_json.into(),
        });
        self.log.append_blocking(space, &body)?;
        Ok(())
    }
}

fn mailer(smtp: &SmtpConfig) -> Result<Option<Arc<dyn Mailer>>, CommandError> {
    let Some(address) = &smtp.address else { return Ok(None) };
    let wrong = || CommandError::new(format!("the mail server {address:?} is not HOST:PORT"));
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let tls = if smtp.tls { SmtpTls::StartTls } else { SmtpTls::None };
    let mut config = kith_activate::SmtpConfig::new(host, port, tls);
    config.credentials = smtp.user.clone().zip(smtp.password.clone());
    let mailer =
        SmtpMailer::new(config).map_err(|error| CommandError::caused("the mail server cannot be used", error))?;
    Ok(Some(Arc::new(mailer)))
}

/// What starting activation needs.
pub(super) struct Sending<'a> {
    pub(super) config: &'a ServerConfig,
    pub(super) address: SocketAddr,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) log: Arc<Log>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) reads: Reads,
    pub(super) handover: Handover,
}

/// Starts activation and the thread that wakes it when a step has changed a membership.
pub(super) fn start(sending: Sending<'_>, steps: Receiver<Arc<StepOutput>>) -> Result<Arc<Activation>, CommandError> {
    let source = OWN_SOURCE
        .parse()
        .map_err(|error| CommandError::caused("the server's own source", error))?;
    let ports = Ports {
        outbox: Arc::new(Changes {
            handover: sending.handover,
            pipeline: Arc::clone(&sending.pipeline),
        }),
        people: Arc::new(Recipients {
            reads: sending.reads,
            clock: Arc::clone(&sending.clock),
        }),
        messages: Arc::new(CatalogMessages {
            catalog: sending.catalog,
            pipeline: sending.pipeline,
            compiled: Mutex::default(),
        }),
        feedback: Arc::new(LogFeedback {
            log: sending.log,
            source,
        }),
        mailer: mailer(&sending.config.smtp)?,
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
        let found = asked.map_err(PortError::internal)?;
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
