//! The events behind the truth of a condition (contract SEG-6), as an explanation shows them.
//!
//! Works with [`crate::Reason`], which says what a condition asks for, and with whoever has the events and finds which of
//! them decide. It never reads or judges events itself.

use kith_expr::AggregateId;
use kith_types::{Address, Event, EventType, SourceName, Timestamp};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// What a condition on a value asks of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// The value of an aggregate.
    Aggregate(AggregateId),
    /// A trait, or a value in one.
    Trait(Box<str>),
    /// A trait of an account that they belong to, or a value in one.
    AccountTrait {
        /// The account.
        account: Box<str>,
        /// The trait.
        name: Box<str>,
    },
    /// The word on a category of consent.
    Consent(Box<str>),
    /// An identifier of a list, by the sorted hashes.
    Listed(Arc<[u128]>),
    /// A place in a random draw, which no event decides.
    Bucket,
}

/// The events behind what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// How many there are: events, or sequences.
    pub total: u64,
    /// Whether all of the person's events were looked at.
    pub complete: bool,
    /// The latest of them, latest first.
    pub events: Vec<Deciding>,
}

/// An event that decides, or the sequence that it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deciding {
    /// The event.
    pub event: EventMention,
    /// What followed it, in a sequence of two.
    pub then: Option<EventMention>,
    /// When the sequence was done.
    pub done: Option<Timestamp>,
}

/// Which event it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMention {
    /// Its place in the log.
    pub address: Address,
    /// Which of the six calls it is.
    pub event_type: EventType,
    /// Its name.
    pub name: Arc<str>,
    /// When it happened.
    pub event_time: Timestamp,
    /// When it was received.
    pub received_at: Timestamp,
    /// The source it came from.
    pub source: SourceName,
    /// Its message id, if it carries one.
    pub message_id: Option<Box<str>>,
}

impl EventMention {
    /// That event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            address: event.address,
            event_type: event.event_type,
            name: Arc::clone(&event.name),
            event_time: event.event_time,
            received_at: event.received_at,
            source: event.source.clone(),
            message_id: event.message_id.clone(),
        }
    }

    fn fields(&self) -> Map<String, Json> {
        let mut fields = Map::new();
        let mut put = |key: &str, text: String| fields.insert(key.to_owned(), Json::from(text));
        put("address", self.address.to_string());
        put("type", self.event_type.as_str().to_owned());
        put("name", self.name.to_string());
        put("event_time", self.event_time.to_string());
        put("received_at", self.received_at.to_string());
        put("source", self.source.to_string());
        if let Some(message_id) = &self.message_id {
            put("message_id", message_id.to_string());
        }
        fields
    }
}

impl Behind {
    /// Adds itself to the object of its condition.
    pub(crate) fn write(&self, fields: &mut Map<String, Json>) {
        fields.insert("events_total".to_owned(), Json::from(self.total));
        let events = self.events.iter().map(Deciding::to_document);
        fields.insert("events".to_owned(), events.collect());
        if !self.complete {
            fields.insert("events_complete".to_owned(), Json::from(false));
        }
    }
}

impl Deciding {
    fn to_document(&self) -> Json {
        let mut fields = self.event.fields();
        if let Some(then) = &self.then {
            fields.insert("then".to_owned(), Json::Object(then.fields()));
        }
        if let Some(done) = self.done {
            fields.insert("done".to_owned(), json!(done.to_string()));
        }
        Json::Object(fields)
    }
}
