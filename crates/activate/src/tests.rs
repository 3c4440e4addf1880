//! A server of fakes around the engine, and the tests that need all of it.

mod crash;
mod entries;
mod limits;
mod merging;
mod runs;
mod runs_crash;
mod runs_merging;
pub(crate) mod server;

use crate::engine::{DieAt, Engine, Settings};
use crate::ledger::Ledger;
use crate::{
    BoxError, ConsentWord, Feedback, Mail, Mailer, Membership, MessageDefinition, Messages, Outbox, People, Ports,
    Reading, Recipient, SendOutcome, SendingRules,
};
use async_trait::async_trait;
use kith_segment::{Cause, CauseKind, Change};
use kith_types::{Clock, Duration, EventKey, ManualClock, ProfileId, SegmentName, SpaceId, Timestamp};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The instant at which every test begins.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Everything beyond the crate, in memory. It outlives crashes.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) changes: Mutex<Vec<(u64, Change)>>,
    pub(crate) people: Mutex<HashMap<ProfileId, Recipient>>,
    pub(crate) definitions: Mutex<Vec<Arc<MessageDefinition>>>,
    pub(crate) events: Mutex<Vec<Value>>,
    /// What the provider took responsibility for.
    pub(crate) accepted: Mutex<Vec<Mail>>,
    /// What the provider answers next; accepted where there is nothing.
    pub(crate) answers: Mutex<Vec<SendOutcome>>,
    pub(crate) log_fails: Mutex<bool>,
    pub(crate) rules: Mutex<Arc<SendingRules>>,
    pub(crate) zones: Mutex<HashMap<ProfileId, String>>,
    /// Whether who is who is being worked out anew.
    pub(crate) rederiving: Mutex<bool>,
    /// Whether the outbox cannot be looked at now.
    pub(crate) hidden: Mutex<bool>,
    /// Whether it cannot be told who is in a segment.
    pub(crate) members_unknown: Mutex<bool>,
    /// Whether the definitions cannot be read.
    pub(crate) definitions_fail: Mutex<bool>,
    /// What was said to be taken for good: the outbox has forgotten it.
    pub(crate) passed: Mutex<u64>,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: ManualClock::new(START),
            changes: Mutex::default(),
            people: Mutex::default(),
            definitions: Mutex::default(),
            events: Mutex::default(),
            accepted: Mutex::default(),
            answers: Mutex::default(),
            log_fails: Mutex::default(),
            rules: Mutex::default(),
            zones: Mutex::default(),
            rederiving: Mutex::default(),
            hidden: Mutex::default(),
            members_unknown: Mutex::default(),
            definitions_fail: Mutex::default(),
            passed: Mutex::default(),
        })
    }

    /// A world with a marketing message and a receipt on entering `vip`.
    pub(crate) fn with_messages() -> Arc<Self> {
        let world = Self::new();
        world.define("welcome", &marketing());
        world.define("receipt", &transactional());
        world
    }

    pub(crate) fn define(&self, name: &str, spec: &Value) {
        let definition = MessageDefinition::parse(name, spec).unwrap();
        self.definitions.lock().unwrap().push(Arc::new(definition));
    }

    /// The rules of the space from now on.
    pub(crate) fn rule(&self, spec: &Value) {
        *self.rules.lock().unwrap() = Arc::new(SendingRules::parse(spec).unwrap());
    }

    pub(crate) fn person(&self, number: u128, email: Option<&str>, consent: Option<bool>) {
        let consents = consent.map(|granted| ConsentWord {
            category: "marketing".into(),
            granted,
            at: START,
        });
        let recipient = Recipient {
            profile: ProfileId(number),
            email: email.map(str::to_owned),
            addresses: email.map(str::to_owned).into_iter().collect(),
            user_id: Some(format!("user-{number}")),
            anonymous_id: None,
            traits: json!({ "first_name": "Jo" }).as_object().unwrap().clone(),
            computed: serde_json::Map::new(),
            segments: vec![member_of("vip")],
            consents: consents.into_iter().collect(),
        };
        self.people.lock().unwrap().insert(ProfileId(number), recipient);
    }

    pub(crate) fn change(&self, profile: u128, entered: bool, cause: Cause) {
        let mut changes = self.changes.lock().unwrap();
        let number = changes
            .last()
            .map_or(*self.passed.lock().unwrap(), |(last, _)| last + 1);
        let segment = "vip".parse().unwrap();
        let change = Change {
            segment,
            profile: ProfileId(profile),
            entered,
            at: self.clock.now(),
            cause,
            approximate: false,
        };
        changes.push((number, change));
    }

    pub(crate) fn enter(&self, profile: u128) {
        self.change(profile, true, Cause::Event(EventKey(7)));
    }

    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            outbox: self.clone(),
            people: self.clone(),
            messages: self.clone(),
            feedback: self.clone(),
            mailer: Some(self.clone()),
            audiences: None,
        }
    }

    /// The names of distinct events that the log has, by message id.
    pub(crate) fn event_names(&self) -> Vec<String> {
        let mut distinct: HashMap<String, String> = HashMap::new();
        for event in self.events.lock().unwrap().iter() {
            let (id, name) = (event["messageId"].as_str().unwrap(), event["event"].as_str().unwrap());
            let known = distinct.insert(id.to_owned(), name.to_owned());
            assert!(known.is_none_or(|known| known == name), "one id, one event");
        }
        let mut names: Vec<String> = distinct.into_values().collect();
        names.sort();
        names
    }

    pub(crate) fn mails_to(&self, address: &str) -> usize {
        self.accepted
            .lock()
            .unwrap()
            .iter()
            .filter(|mail| mail.to == address)
            .count()
    }
}

impl Outbox for World {
    fn changes_from(&self, _space: &SpaceId, number: u64) -> Result<Option<Vec<(u64, Change)>>, BoxError> {
        if *self.hidden.lock().unwrap() {
            return Ok(None);
        }
        let changes = self.changes.lock().unwrap();
        let wanted = changes.iter().filter(|(at, _)| *at >= number);
        Ok(Some(wanted.take(3).cloned().collect()))
    }

    fn passed(&self, _space: &SpaceId, number: u64) -> Result<(), BoxError> {
        // What was passed is gone at once: nothing may ask for it again, whatever dies.
        self.changes.lock().unwrap().retain(|(at, _)| *at >= number);
        let mut passed = self.passed.lock().unwrap();
        *passed = number.max(*passed);
        Ok(())
    }

    fn spaces(&self) -> Vec<SpaceId> {
        vec![SpaceId::main()]
    }
}

impl People for World {
    fn recipient(&self, _space: &SpaceId, profile: ProfileId) -> Result<Reading, BoxError> {
        if *self.rederiving.lock().unwrap() {
            return Ok(Reading::NotNow);
        }
        let person = self.people.lock().unwrap().get(&profile).cloned();
        Ok(person.map_or(Reading::Nobody, |person| Reading::Found(Box::new(person))))
    }

    fn members(
        &self,
        _space: &SpaceId,
        segment: &SegmentName,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Option<Vec<ProfileId>>, BoxError> {
        if *self.members_unknown.lock().unwrap() {
            return Ok(None);
        }
        let people = self.people.lock().unwrap();
        // Of those who are somebody else by now, the row is gone.
        let is_in = |(id, person): &(&ProfileId, &Recipient)| {
            person.profile == **id && person.membership(segment).is_some() && after.is_none_or(|after| **id > after)
        };
        let mut found: Vec<ProfileId> = people.iter().filter(is_in).map(|(id, _)| *id).collect();
        found.sort();
        found.truncate(limit.min(2));
        Ok(Some(found))
    }

    fn zone(&self, _space: &SpaceId, recipient: &Recipient) -> Result<Option<String>, BoxError> {
        Ok(self.zones.lock().unwrap().get(&recipient.profile).cloned())
    }
}

impl Messages for World {
    fn named(&self, _space: &SpaceId, message: &str) -> Result<Option<Arc<MessageDefinition>>, BoxError> {
        let definitions = self.definitions.lock().unwrap();
        let found = definitions.iter().find(|definition| definition.name() == message);
        Ok(found.cloned())
    }

    fn sending_rules(&self, _space: &SpaceId) -> Result<Arc<SendingRules>, BoxError> {
        match *self.definitions_fail.lock().unwrap() {
            true => Err("the catalog fails".into()),
            false => Ok(self.rules.lock().unwrap().clone()),
        }
    }

    fn for_segment(&self, _space: &SpaceId, segment: &SegmentName) -> Result<Vec<Arc<MessageDefinition>>, BoxError> {
        if *self.definitions_fail.lock().unwrap() {
            return Err("the catalog fails".into());
        }
        let definitions = self.definitions.lock().unwrap();
        let of_segment = definitions.iter().filter(|definition| definition.segment() == segment);
        Ok(of_segment.cloned().collect())
    }
}

impl Feedback for World {
    fn append(&self, _space: &SpaceId, events_json: String) -> Result<(), BoxError> {
        if *self.log_fails.lock().unwrap() {
            return Err("the log is full".into());
        }
        let body: Value = serde_json::from_str(&events_json)?;
        self.events
            .lock()
            .unwrap()
            .extend(body["batch"].as_array().unwrap().iter().cloned());
        Ok(())
    }
}

#[async_trait]
impl Mailer for World {
    async fn send(&self, mail: &Mail) -> SendOutcome {
        let answer = self.answers.lock().unwrap().pop();
        let answer = answer.unwrap_or_else(|| SendOutcome::Accepted("250 queued".into()));
        // A reply that was lost: the mail is taken all the same.
        if matches!(answer, SendOutcome::Accepted(_) | SendOutcome::Unknown(_)) {
            self.accepted.lock().unwrap().push(mail.clone());
        }
        answer
    }
}

pub(crate) fn marketing() -> Value {
    json!({
        "on": "entered", "segment": "vip", "channel": "email", "topic": "marketing",
        "from": "Kith Shop <shop@example.com>", "subject": "Hello {{ profile.traits.first_name }}",
        "html": "<p>{{ profile.traits.first_name }}</p><a href=\"{{ unsubscribe_url }}\">out</a>", "text": "Hello",
    })
}

pub(crate) fn transactional() -> Value {
    json!({
        "on": "entered", "segment": "vip", "channel": "email", "transactional": true,
        "from": "shop@example.com", "subject": "Your order", "text": "Thank you",
    })
}

/// A membership that began live, at the start.
pub(crate) fn member_of(segment: &str) -> Membership {
    Membership {
        segment: segment.parse().unwrap(),
        since: Some(START),
        cause: Some(CauseKind::Event),
    }
}

/// A runtime for channel and rendering.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// An engine over the ledger in `folder`, as a process would open it.
pub(crate) fn engine(
    folder: &Path,
    world: &Arc<World>,
    runtime: &tokio::runtime::Runtime,
    die_at: Option<DieAt>,
) -> Engine {
    let settings = Settings {
        public_url: "https://kith.example.com".into(),
        retry_first: Duration::from_secs(1),
        retry_longest: Duration::from_secs(60),
        give_up_after: Duration::from_days(3),
        attempt_time_max: std::time::Duration::from_secs(30),
        renders_max: 2,
        run_waiting_max: 6,
    };
    let ledger = Ledger::open(&folder.join("ledger.db")).unwrap();
    Engine::new(
        ledger,
        world.ports(),
        world.clone().clock(),
        settings,
        runtime.handle().clone(),
        die_at,
    )
}

/// The clock of a world.
pub(crate) fn clock_of(world: &Arc<World>) -> Arc<dyn Clock> {
    world.clone().clock()
}

impl World {
    fn clock(self: Arc<Self>) -> Arc<dyn Clock> {
        struct Of(Arc<World>);
        impl Clock for Of {
            fn now(&self) -> Timestamp {
                self.0.clock.now()
            }
        }
        Arc::new(Of(self))
    }
}

/// Does everything that is to be done now, in the order of the server's threads. Ends early where the engine dies.
pub(crate) fn run(engine: &Engine) -> Result<(), crate::ActivateError> {
    let space = SpaceId::main();
    while engine.take_entries(&space)? {
        engine.tell_passed(&space)?;
    }
    loop {
        let due = engine.ledger.due(engine.clock.now(), 100, &[])?;
        if due.is_empty() {
            break;
        }
        for due in due {
            engine.attempt(due.id)?;
        }
    }
    while engine.deliver_feedback()? {}
    engine.keep_cursors()?;
    engine.tell_passed(&space)
}
