//! A mail as it is handed to a channel, and its form by RFC 5322, RFC 2369 and RFC 8058. It works with `lettre`'s
//! builder; it never opens a connection and never decides whether a mail may go.

use async_trait::async_trait;
use kith_types::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use std::time::{Duration, UNIX_EPOCH};

/// The longest subject, in characters; what is longer is cut.
const SUBJECT_CHARS_MAX: usize = 300;

/// One mail to one address.
#[derive(Clone, PartialEq)]
pub struct Mail {
    /// Who sends.
    pub from: Mailbox,
    /// Where answers go, if elsewhere.
    pub reply_to: Option<Mailbox>,
    /// The address, normalised.
    pub to: String,
    /// The subject, one line.
    pub subject: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The plain part.
    pub text: Option<String>,
    /// `<…@…>`: the same for every attempt of one send.
    pub message_id: String,
    /// Where one POST unsubscribes; none for transactional mail.
    pub unsubscribe_url: Option<String>,
    /// When it was attempted.
    pub date: Timestamp,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("message_id", &self.message_id)
            .finish_non_exhaustive()
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The server took responsibility for the mail; its reply.
    Accepted(String),
    /// The server refused the mail: it has not taken it.
    Rejected {
        /// A refusal for good (5xx), not one that may pass (4xx).
        permanent: bool,
        /// The reply's code, such as 550.
        code: u16,
        /// The reply's text.
        text: String,
    },
    /// The server cannot have taken the mail: the attempt ended before its content was sent. Trying again is safe.
    NotSent(String),
    /// The content was sent, or may have been, and no reply came: nobody knows.
    Unknown(String),
}

/// A channel for mail.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Tries once. It never repeats by itself, and ends within a time limit of its own.
    async fn send(&self, mail: &Mail) -> SendOutcome;
}

impl Mail {
    /// The mail as bytes with `\r\n` line ends.
    ///
    /// # Errors
    /// Says what is wrong, without the address.
    pub fn to_message(&self) -> Result<lettre::Message, String> {
        let to: lettre::Address = self
            .to
            .parse()
            .map_err(|_| "the address is not an e-mail address".to_owned())?;
        let moment = u64::try_from(self.date.as_millis()).unwrap_or(0);
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(one_line(&self.subject))
            .date(UNIX_EPOCH + Duration::from_millis(moment))
            .message_id(Some(self.message_id.clone()));
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        if let Some(url) = &self.unsubscribe_url {
            // The value is one ASCII token; folding or encoding it would break the link.
            let link = format!("<{url}>");
            builder = builder
                .raw_header(HeaderValue::dangerous_new_pre_encoded(
                    HeaderName::new_from_ascii_str("List-Unsubscribe"),
                    link.clone(),
                    link,
                ))
                .raw_header(HeaderValue::new(
                    HeaderName::new_from_ascii_str("List-Unsubscribe-Post"),
                    "List-Unsubscribe=One-Click".to_owned(),
                ));
        }
        let built = match (&self.text, &self.html) {
            (Some(text), Some(html)) => {
                builder.multipart(MultiPart::alternative_plain_html(text.clone(), html.clone()))
            }
            (None, Some(html)) => builder.singlepart(SinglePart::html(html.clone())),
            (text, None) => builder.singlepart(SinglePart::plain(text.clone().unwrap_or_default())),
        };
        built.map_err(|error| format!("the mail cannot be built: {error}"))
    }
}

/// The text without line ends and control characters, at most [`SUBJECT_CHARS_MAX`] long: a subject is one header.
#[must_use]
pub(crate) fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|symbol| if symbol.is_control() { ' ' } else { symbol })
        .collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(SUBJECT_CHARS_MAX).collect()
}

/// The address as the ledger keeps it: trimmed and in lower case; `None` where it is no address.
#[must_use]
pub fn normalise_address(address: &str) -> Option<String> {
    let lower = address.trim().to_lowercase();
    (lower.len() <= 254 && lower.parse::<lettre::Address>().is_ok()).then_some(lower)
}

/// The address masked so far that only its owner knows it: `j…@example.com`.
#[must_use]
pub(crate) fn mask_address(address: &str) -> String {
    match address.split_once('@') {
        Some((local, domain)) => format!("{}…@{domain}", local.chars().take(1).collect::<String>()),
        None => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests;
