//! The definition of a message: its document, its checks, its templates. It works with `template`; it never sends and
//! never asks whether somebody agreed.

use crate::fields::Reader;
use crate::limits::{Cap, CapScope, QuietChoice, read_caps, read_quiet_choice};
use crate::mail::one_line;
use crate::template::{Escaping, RenderError, Template, variables};
use kith_types::SegmentName;
use lettre::message::Mailbox;
use serde_json::Value;
use std::fmt;

#[cfg(test)]
mod tests;

/// The fields of a definition.
const FIELDS: [&str; 14] = [
    "description",
    "on",
    "segment",
    "channel",
    "topic",
    "transactional",
    "only_while_in_segment",
    "caps",
    "quiet_hours",
    "from",
    "reply_to",
    "subject",
    "html",
    "text",
];
/// The longest name of a category of consent, in bytes.
const TOPIC_BYTES_MAX: usize = 64;

/// What is wrong with a definition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionProblem {
    /// The field, such as `subject`; empty where it is the whole definition.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl fmt::Display for DefinitionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Whether a message needs consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Needs a grant of this category of consent; sent at most once.
    Marketing(String),
    /// Needs no consent, such as a receipt; sent at least once.
    Transactional,
}

impl Purpose {
    /// The category of consent that it needs, if any.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::Marketing(topic) => Some(topic),
            Self::Transactional => None,
        }
    }
}

/// A message in force: what is sent to whoever enters a segment.
#[derive(Debug)]
pub struct MessageDefinition {
    name: String,
    segment: SegmentName,
    purpose: Purpose,
    only_while_in_segment: bool,
    caps: Vec<Cap>,
    quiet_hours: QuietChoice,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    subject: Template,
    html: Option<Template>,
    text: Option<Template>,
}

/// The parts of a message, rendered for one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) subject: String,
    pub(crate) html: Option<String>,
    pub(crate) text: Option<String>,
}

impl MessageDefinition {
    /// Reads the `spec` of a definition of kind `message` and compiles its templates.
    ///
    /// # Errors
    /// Every problem, with the path of its field.
    pub fn parse(name: &str, spec: &Value) -> Result<Self, Vec<DefinitionProblem>> {
        let Value::Object(fields) = spec else {
            return Err(vec![DefinitionProblem {
                path: String::new(),
                message: "a message is an object with on, segment, channel, topic, from, subject and html or text"
                    .into(),
            }]);
        };
        let mut reader = Reader {
            fields,
            problems: Vec::new(),
        };
        reader.unknown_fields(&FIELDS);
        reader.one_of("on", "entered");
        reader.one_of("channel", "email");
        reader.optional_text("description");
        let segment = reader.segment();
        let purpose = reader.purpose();
        let only_while_in_segment = reader.truth("only_while_in_segment");
        let caps = read_caps(fields.get("caps"), Some(CapScope::Message), &mut reader.problems);
        let quiet_hours = read_quiet_choice(fields.get("quiet_hours"), &mut reader.problems);
        let from = reader.mailbox("from", true);
        let reply_to = reader.mailbox("reply_to", false);
        let subject = reader.template("subject", Escaping::Plain);
        let html = reader.template("html", Escaping::Html);
        let text = reader.template("text", Escaping::Plain);
        if !fields.contains_key("subject") {
            reader.problem(
                "subject",
                "a subject is needed, such as \"Hello {{ profile.traits.first_name | default: 'friend' }}\"",
            );
        }
        if !fields.contains_key("html") && !fields.contains_key("text") {
            reader.problem("", "html or text is needed, better both");
        }
        match (segment, purpose, from, subject) {
            (Some(segment), Some(purpose), Some(from), Some(subject)) if reader.problems.is_empty() => Ok(Self {
                name: name.to_owned(),
                segment,
                purpose,
                only_while_in_segment,
                caps,
                quiet_hours,
                from,
                reply_to,
                subject,
                html,
                text,
            }),
            _ => Err(reader.problems),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The segment whose entries send it.
    #[must_use]
    pub fn segment(&self) -> &SegmentName {
        &self.segment
    }

    /// Whether it needs consent.
    #[must_use]
    pub fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Whether it is dropped for who left the segment before it was sent.
    #[must_use]
    pub fn only_while_in_segment(&self) -> bool {
        self.only_while_in_segment
    }

    /// Who sends, as people know it: the display name, else the address.
    #[must_use]
    pub fn sender(&self) -> String {
        self.from.name.clone().unwrap_or_else(|| self.from.email.to_string())
    }

    /// Its own caps.
    pub(crate) fn caps(&self) -> &[Cap] {
        &self.caps
    }

    /// What it says of quiet hours.
    pub(crate) fn quiet_hours(&self) -> QuietChoice {
        self.quiet_hours
    }

    pub(crate) fn from(&self) -> &Mailbox {
        &self.from
    }

    pub(crate) fn reply_to(&self) -> Option<&Mailbox> {
        self.reply_to.as_ref()
    }

    /// Renders every part. It may take seconds: not for an async thread.
    pub(crate) fn render(&self, given: &serde_json::Map<String, Value>) -> Result<Rendered, RenderError> {
        let given = variables(given);
        let part = |template: &Option<Template>| template.as_ref().map(|part| part.render(&given)).transpose();
        Ok(Rendered {
            subject: one_line(&self.subject.render(&given)?),
            html: part(&self.html)?,
            text: part(&self.text)?,
        })
    }
}

impl Reader<'_> {
    fn one_of(&mut self, path: &str, only: &str) {
        if let Some(text) = self.text(path, only)
            && text != only
        {
            self.problem(path, format!("this must be {only:?}"));
        }
    }

    fn truth(&mut self, path: &str) -> bool {
        match self.fields.get(path) {
            None => false,
            Some(Value::Bool(truth)) => *truth,
            Some(_) => {
                self.problem(path, "this must be true or false");
                false
            }
        }
    }

    fn segment(&mut self) -> Option<SegmentName> {
        let name = self.text("segment", "just_bought")?;
        name.parse()
            .map_err(|error: kith_types::InvalidName| self.problem("segment", error.to_string()))
            .ok()
    }

    fn purpose(&mut self) -> Option<Purpose> {
        let transactional = self.truth("transactional");
        let topic = self.optional_text("topic");
        match (transactional, topic) {
            (true, None) => Some(Purpose::Transactional),
            (true, Some(_)) => {
                self.problem(
                    "topic",
                    "a transactional message needs no consent: leave topic or transactional out",
                );
                None
            }
            (false, Some(topic)) if !topic.trim().is_empty() && topic.len() <= TOPIC_BYTES_MAX => {
                Some(Purpose::Marketing(topic))
            }
            (false, Some(_)) => {
                self.problem(
                    "topic",
                    format!("a category of consent has 1 to {TOPIC_BYTES_MAX} bytes"),
                );
                None
            }
            (false, None) => {
                if !self.fields.contains_key("topic") {
                    let text =
                        "name the category of consent that it needs, such as marketing, or say transactional: true";
                    self.problem("topic", text);
                }
                None
            }
        }
    }

    fn mailbox(&mut self, path: &str, needed: bool) -> Option<Mailbox> {
        let example = "\"Kith Shop <shop@example.com>\"";
        let text = if needed {
            self.text(path, example)?
        } else {
            self.optional_text(path)?
        };
        if text.chars().any(char::is_control) {
            self.problem(path, "this must be one line");
            return None;
        }
        let read = text.parse::<Mailbox>();
        read.map_err(|_| self.problem(path, format!("this must be an address, such as {example}")))
            .ok()
    }

    fn template(&mut self, path: &str, escaping: Escaping) -> Option<Template> {
        let source = self.optional_text(path)?;
        match Template::compile(&source, escaping) {
            Ok(template) => Some(template),
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.problem(path, problem));
                None
            }
        }
    }
}
