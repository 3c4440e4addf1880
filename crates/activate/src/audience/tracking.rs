//! The way to a receiver: one POST of a batch to a tracking API, and what its answer means. It never repeats one and
//! follows no redirect: a key goes where the definition says.

use crate::error::{ActivateError, ActivateErrorKind};
use async_trait::async_trait;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// How long a receiver may take to be connected to, and to answer.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// No answer is read further.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// The longest that a receiver is believed when it says to come again later.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// The longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 200;

/// A batch for a receiver.
#[derive(Clone)]
pub struct TrackingRequest {
    /// The URL.
    pub endpoint: String,
    /// The write key: the user name of Basic authorization.
    pub write_key: String,
    /// The body, JSON.
    pub body: String,
}

impl std::fmt::Debug for TrackingRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the key nor who is named in the body.
        f.debug_struct("TrackingRequest")
            .field("endpoint", &self.endpoint)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It was taken, but for the events at these places, each with the reason.
    Taken(Vec<(usize, String)>),
    /// Something in it was refused, and nothing was taken: a smaller batch may be. With the reason.
    Refused(String),
    /// Nothing is known to be taken, and the same may be taken later: in how long, where the receiver said so. With the
    /// reason.
    Later(String, Option<Duration>),
}

/// Posts batches.
#[async_trait]
pub trait TrackingApi: Send + Sync {
    /// Posts a batch once.
    async fn post(&self, request: TrackingRequest) -> Posted;
}

/// A tracking API over HTTP.
pub struct HttpTracking {
    client: reqwest::Client,
}

impl HttpTracking {
    /// A client for every receiver.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Configuration`] where no client can be made.
    pub fn new() -> Result<Self, ActivateError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("kith/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(ANSWER_TIME_MAX)
            .build();
        let failed = |error| {
            let message = "no HTTP client could be made for destinations";
            ActivateError::caused(ActivateErrorKind::Configuration, message, error)
        };
        Ok(Self {
            client: client.map_err(failed)?,
        })
    }
}

#[async_trait]
impl TrackingApi for HttpTracking {
    async fn post(&self, request: TrackingRequest) -> Posted {
        let sent = self
            .client
            .post(&request.endpoint)
            .basic_auth(&request.write_key, Some(""))
            .header("content-type", "application/json")
            .body(request.body)
            .send()
            .await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return Posted::Later(unreached(error), None),
        };
        let status = response.status().as_u16();
        let after = retry_after(response.headers());
        let mut answer = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if answer.len() + piece.len() <= ANSWER_BYTES_MAX => answer.extend_from_slice(&piece),
                // The status says it; what follows is only what it says beside it.
                Ok(_) => break,
                // What was taken and what was refused is not known: it is sent again, under the same message ids.
                Err(error) => return Posted::Later(unreached(error), None),
            }
        }
        judge(status, after, &answer)
    }
}

/// What an answer means. A status that says that the batch itself cannot be taken is told apart from one about the key, the
/// address or the receiver: those pass, or somebody mends them, and nothing is dropped for them.
fn judge(status: u16, after: Option<Duration>, answer: &[u8]) -> Posted {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match status {
        200..300 => Posted::Taken(rejected(&answer)),
        400 | 413 | 422 => Posted::Refused(reason(status, &answer)),
        _ => Posted::Later(reason(status, &answer), after),
    }
}

/// The events that a receiver rejected of a batch that it took, as Kith's doors tell them.
fn rejected(answer: &Value) -> Vec<(usize, String)> {
    let listed = answer["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
    let read = listed.iter().filter_map(|rejected| {
        let index = usize::try_from(rejected["index"].as_u64()?).ok()?;
        Some((index, said(rejected).unwrap_or_else(|| "rejected".to_owned())))
    });
    read.collect()
}

fn reason(status: u16, answer: &Value) -> String {
    match said(answer).or_else(|| said(&answer["error"])) {
        Some(said) => format!("the receiver answered {status}: {said}"),
        None => format!("the receiver answered {status}"),
    }
}

/// Code and message of an answer, with what may name somebody masked.
fn said(answer: &Value) -> Option<String> {
    let words: Vec<&str> = ["code", "message"]
        .iter()
        .filter_map(|name| answer[*name].as_str())
        .collect();
    let text: String = words.join(": ").chars().take(REASON_CHARS_MAX).collect();
    (!text.is_empty()).then(|| kith_telemetry::scrub(&text).into_owned())
}

/// An error without the URL, which the definition has.
fn unreached(error: reqwest::Error) -> String {
    let error = kith_telemetry::error_chain(&error.without_url());
    format!("the receiver gave no answer: {error}")
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?;
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
            SystemTime::from(at)
                .duration_since(SystemTime::now())
                .unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seg_5_what_a_receiver_answers_is_told_apart() {
        let judged = |status, answer: &str| judge(status, None, answer.as_bytes());
        assert_eq!(judged(200, r#"{"success":true}"#), Posted::Taken(vec![]));
        assert_eq!(judged(200, "OK"), Posted::Taken(vec![]));
        let partly = r#"{"success":true,"rejected":[{"index":2,"code":"no_name","message":"give one"}]}"#;
        assert_eq!(
            judged(200, partly),
            Posted::Taken(vec![(2, "no_name: give one".into())])
        );
        for status in [400, 413, 422] {
            let answer = judged(status, r#"{"code":"bad","message":"of jo@example.com"}"#);
            let reason = format!("the receiver answered {status}: bad: of ");
            assert!(
                matches!(&answer, Posted::Refused(why) if why.starts_with(&reason)),
                "{answer:?}"
            );
            assert!(!format!("{answer:?}").contains("jo@example.com"));
        }
        for status in [301, 401, 403, 404, 405, 408, 415, 429, 500, 503] {
            assert!(
                matches!(judged(status, ""), Posted::Later(..)),
                "{status} drops nothing"
            );
        }
    }

    #[test]
    fn seg_5_retry_after_is_read_as_seconds_and_as_a_date_and_is_bounded() {
        let of = |text: &str| {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
    }
}
