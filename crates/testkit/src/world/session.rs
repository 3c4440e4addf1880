//! One visit as an SDK sees it: who is known, from which device and page, and the writing of its events as the named
//! SDK sends them (analytics.js, the mobile SDKs, the Node SDK of the shops and of the call centre). It decides
//! nothing about what happens in the visit.

use super::dice::Dice;
use super::outbox::{Draft, Outbox, write_time};
use super::person::{Device, HARDWARE, Person};
use super::tables::{BROWSERS, CAMPAIGNS, PHONES};
use super::truth::Truth;
use kith_types::{Duration, Timestamp};
use std::fmt::Write;

/// A visit under way.
pub(super) struct Session<'a> {
    /// The visit's draws.
    pub(super) dice: Dice,
    /// Where the events go.
    pub(super) outbox: &'a mut Outbox,
    /// The moment within the visit.
    pub(super) at: Timestamp,
    /// Which source sends.
    pub(super) source: &'static str,
    /// The account that is signed in.
    pub(super) user_id: Option<String>,
    /// The cookie or the installation.
    pub(super) anonymous_id: Option<String>,
    /// The fields of `context` that stay the same, without braces.
    pub(super) context: String,
    /// The choice about marketing, once made.
    pub(super) consent: Option<bool>,
    /// The page, for browsers: path and title.
    pub(super) page: Option<(String, String)>,
    /// By how much all is late.
    pub(super) late_by: Option<Duration>,
    /// Who it is.
    pub(super) person: u64,
    /// The slot of the cookie or installation; 0 for a shared tablet.
    pub(super) own_slot: u16,
    /// Whether the device is shared.
    pub(super) shared: bool,
}

/// What an event says, as JSON fields without braces.
#[derive(Clone, Copy, Default)]
pub(super) struct Said<'a> {
    /// The fields of `properties`.
    pub(super) properties: &'a str,
    /// The fields of `traits`, on identify.
    pub(super) traits: &'a str,
    /// The entries of `context.externalIds`.
    pub(super) external_ids: &'a str,
    /// The identifiers that it names beside the account and the device.
    pub(super) slots: u16,
}

impl Session<'_> {
    /// Lets `low` up to `high` seconds go by.
    pub(super) fn wait(&mut self, low: u64, high: u64) {
        let millis = self.dice.between(low * 1_000, high * 1_000);
        self.at = self.at + Duration::from_millis(i64::try_from(millis).unwrap_or_default());
    }

    /// A track call.
    pub(super) fn track(&mut self, event: &str, properties: &str) {
        self.send(
            "track",
            event,
            Said {
                properties,
                ..Said::default()
            },
        );
    }

    /// Sends an event: a type, the name of a track, page or screen call, and what it says.
    pub(super) fn send(&mut self, kind: &str, name: &str, said: Said<'_>) {
        let mut body = String::with_capacity(1_400);
        body.push_str("{\"messageId\":\"");
        let from = body.len();
        if self.source == "web" {
            write(&mut body, format_args!("ajs-next-{}-", self.at.as_millis()));
        }
        self.dice.uuid(&mut body);
        let message_id = from..body.len();
        write(&mut body, format_args!("\",\"type\":\"{kind}\""));
        match kind {
            "track" => write(&mut body, format_args!(",\"event\":\"{name}\"")),
            "page" | "screen" => write(&mut body, format_args!(",\"name\":\"{name}\"")),
            _ => {}
        }
        for (field, value) in [("userId", &self.user_id), ("anonymousId", &self.anonymous_id)] {
            if let Some(value) = value {
                write(&mut body, format_args!(",\"{field}\":\"{value}\""));
            }
        }
        if kind == "identify" {
            write(&mut body, format_args!(",\"traits\":{{{}}}", said.traits));
        } else {
            write(&mut body, format_args!(",\"properties\":{{{}}}", said.properties));
        }
        self.write_context(&said, &mut body);
        body.push_str(",\"integrations\":{},\"originalTimestamp\":\"");
        write_time(self.at, &mut body);
        body.push_str("\",\"sentAt\":\"");
        let draft = Draft {
            body,
            message_id,
            source: self.source,
            happened_at: self.at,
            late_by: self.late_by,
            truth: self.truth(said.slots),
        };
        self.outbox.send(draft, &mut self.dice);
        let pause = self.dice.between(5, 60);
        self.at = self.at + Duration::from_millis(i64::try_from(pause).unwrap_or_default());
    }

    fn truth(&self, beside: u16) -> Truth {
        let user = if self.user_id.is_some() { super::slots::USER } else { 0 };
        let slots = user | beside | self.own_slot;
        Truth {
            person: self.person,
            slots,
            ambiguous: self.shared && slots == 0,
        }
    }

    fn write_context(&self, said: &Said<'_>, body: &mut String) {
        write(body, format_args!(",\"context\":{{{}", self.context));
        if let Some((path, title)) = &self.page {
            let page = format_args!(
                ",\"page\":{{\"path\":\"{path}\",\"referrer\":\"\",\"search\":\"\",\"title\":\"{title}\",\
                 \"url\":\"https://shop.example.com{path}\"}}"
            );
            write(body, page);
        }
        if let Some(consent) = self.consent {
            let choice = format_args!(
                ",\"consent\":{{\"categoryPreferences\":{{\"functional\":true,\"analytics\":true,\"marketing\":{consent}}}}}"
            );
            write(body, choice);
        }
        if !said.external_ids.is_empty() {
            write(body, format_args!(",\"externalIds\":[{}]", said.external_ids));
        }
        body.push('}');
    }
}

/// An entry of `context.externalIds`.
pub(super) fn external_id(kind: &str, value: &str) -> String {
    format!("{{\"id\":\"{value}\",\"type\":\"{kind}\",\"collection\":\"users\",\"encoding\":\"none\"}}")
}

/// The context of a browser, with the campaign that led there every now and then.
pub(super) fn browser_context(person: &Person, device: Device, dice: &mut Dice) -> String {
    let browser = BROWSERS[usize::try_from(person.number)
        .unwrap_or_default()
        .wrapping_add(device as usize)
        % BROWSERS.len()];
    let mut context = format!(
        "\"library\":{{\"name\":\"analytics.js\",\"version\":\"npm:next-1.84.3\"}},\"userAgent\":\"{browser}\",\
         \"locale\":\"{}\",\"timezone\":\"{}\"",
        person.country.locale, person.country.timezone
    );
    if dice.chance(0.3) {
        let (name, source, medium) = dice.pick(&CAMPAIGNS);
        let campaign =
            format_args!(",\"campaign\":{{\"name\":\"{name}\",\"source\":\"{source}\",\"medium\":\"{medium}\"}}");
        write(&mut context, campaign);
    }
    context
}

/// The context of the app on a phone or a tablet.
pub(super) fn app_context(person: &Person, device: Device) -> String {
    let at = if device == Device::Tablet {
        person.number / 2
    } else {
        person.number
    };
    let (maker, model, system, version) = PHONES[usize::try_from(at).unwrap_or_default() % PHONES.len()];
    let library = if system == "iOS" {
        "analytics-swift"
    } else {
        "analytics-kotlin"
    };
    let kind = if device == Device::Tablet { "tablet" } else { "phone" };
    format!(
        "\"library\":{{\"name\":\"{library}\",\"version\":\"1.9.2\"}},\"app\":{{\"name\":\"Kith Shop\",\"version\":\"4.2.1\",\
         \"build\":\"412\",\"namespace\":\"com.example.shop\"}},\"device\":{{\"id\":\"{}\",\"manufacturer\":\"{maker}\",\
         \"model\":\"{model}\",\"type\":\"{kind}\"}},\"os\":{{\"name\":\"{system}\",\"version\":\"{version}\"}},\
         \"network\":{{\"wifi\":true,\"cellular\":false}},\"locale\":\"{}\",\"timezone\":\"{}\"",
        person.anonymous_id(device, HARDWARE),
        person.country.locale,
        person.country.timezone
    )
}

/// The context of a server that sends by the Node SDK.
pub(super) fn server_context() -> String {
    "\"library\":{\"name\":\"@segment/analytics-node\",\"version\":\"3.1.0\"}".to_owned()
}

/// Appends; writing to a string cannot fail.
pub(super) fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}
