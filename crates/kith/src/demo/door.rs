//! The demo as a client of its own server: it applies definitions, gets write keys, and sends batches by the real HTTP
//! doors, as any sender does.
//!
//! It repeats what the server asks to repeat; message ids keep what is sent twice from counting twice.

use crate::error::CommandError;
use futures::{StreamExt, stream};
use kith_testkit::world::SOURCES;
use kith_types::SpaceId;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// Batches under way at once.
const CONNECTIONS: usize = 8;
/// Repetitions of one batch, and the pause before the first; each pause is twice the one before.
const REPEATS_MAX: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// The events of one body, as the door takes them.
pub(super) struct Batch {
    /// Which of [`SOURCES`] sends it.
    pub(super) source: &'static str,
    /// `{"batch":[…]}`.
    pub(super) body: String,
    /// How many events.
    pub(super) events: u64,
}

/// What the door said of everything sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// Events sent.
    pub(super) sent: u64,
    /// Events that were rejected.
    pub(super) rejected: u64,
}

/// The server's address and keys.
#[derive(Clone)]
pub(super) struct Door {
    http: reqwest::Client,
    address: SocketAddr,
    admin_key: String,
    space: SpaceId,
    write_keys: BTreeMap<&'static str, String>,
}

impl Door {
    /// A client of the server at an address.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub(super) fn new(address: SocketAddr, admin_key: String, space: SpaceId) -> Result<Self, CommandError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWERS_WITHIN)
            .pool_max_idle_per_host(CONNECTIONS)
            .build();
        let http = http.map_err(|error| CommandError::caused("the demo's client cannot be set up", error))?;
        Ok(Self {
            http,
            address,
            admin_key,
            space,
            write_keys: BTreeMap::new(),
        })
    }

    /// Applies the definitions of the world, and makes a write key for each of its sources.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn open(&mut self, definitions: &str) -> Result<(), CommandError> {
        let documents = kith_catalog::parse_yaml("demo/definitions.yaml", definitions).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(|problem| format!("\n  - {problem}")).collect();
            CommandError::new(format!("the demo's definitions cannot be read:{}", lines.concat()))
        })?;
        let documents: Vec<Value> = documents.iter().map(kith_catalog::Document::to_json).collect();
        let body = json!({ "documents": documents, "reason": "the demo's world" });
        self.ask("definitions/apply", &body).await?;
        for source in SOURCES {
            let made = self.ask(&format!("sources/{source}/rotate"), &json!({})).await?;
            let key = made.get("write_key").and_then(Value::as_str);
            let key = key.ok_or_else(|| CommandError::new(format!("the server gave no write key for {source}")))?;
            self.write_keys.insert(source, key.to_owned());
        }
        Ok(())
    }

    /// The write key of a source.
    pub(super) fn write_key(&self, source: &str) -> Option<&str> {
        self.write_keys.get(source).map(String::as_str)
    }

    /// Commits everything to the tables.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn flush(&self) -> Result<(), CommandError> {
        let request = self.http.post(format!("http://{}/api/flush", self.address));
        // The server waits as long as it takes to commit.
        self.answer(request.timeout(Duration::from_secs(900)).json(&json!({})))
            .await?;
        Ok(())
    }

    /// Sends batches as they come until there are no more; `told` hears of every batch that was taken.
    ///
    /// # Errors
    /// A batch that the door does not take.
    pub(super) async fn send_all(
        &self,
        batches: Receiver<Batch>,
        mut told: impl FnMut(Taken),
    ) -> Result<Taken, CommandError> {
        let batches = stream::unfold(batches, |mut batches| async { Some((batches.recv().await?, batches)) });
        let mut replies = std::pin::pin!(batches.map(|batch| self.send(batch)).buffer_unordered(CONNECTIONS));
        let mut taken = Taken::default();
        while let Some(reply) = replies.next().await {
            let reply = reply?;
            taken.sent += reply.sent;
            taken.rejected += reply.rejected;
            told(taken);
        }
        Ok(taken)
    }

    /// Sends one batch, again where the server asks for it.
    ///
    /// # Errors
    /// The door does not take it.
    pub(super) async fn send(&self, batch: Batch) -> Result<Taken, CommandError> {
        let url = format!("http://{}/v1/batch", self.address);
        let key = self.write_key(batch.source).unwrap_or_default();
        let body = bytes::Bytes::from(batch.body);
        let mut pause = FIRST_PAUSE;
        for _ in 0..REPEATS_MAX {
            let request = self
                .http
                .post(&url)
                .basic_auth(key, Some(""))
                .header("content-type", "application/json");
            match request.body(body.clone()).send().await {
                Ok(reply) if reply.status().is_success() => {
                    let text = reply.text().await.unwrap_or_default();
                    return Ok(Taken {
                        sent: batch.events,
                        rejected: rejected(&text),
                    });
                }
                Ok(reply) if !may_repeat(reply.status()) => {
                    let (status, text) = (reply.status(), reply.text().await.unwrap_or_default());
                    return Err(CommandError::new(format!(
                        "the door answered {status} to a batch of {}: {text}",
                        batch.source
                    )));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error.without_url(), "a batch is sent again"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(CommandError::new(
            "the door does not take the world's events: see the lines above",
        ))
    }

    async fn ask(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        let url = format!("http://{}/api/spaces/{}/{path}", self.address, self.space);
        self.answer(self.http.post(url).json(body)).await
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, CommandError> {
        let unreachable = |error: reqwest::Error| CommandError::caused("the demo's server does not answer", error);
        let reply = request.bearer_auth(&self.admin_key).send().await.map_err(unreachable)?;
        let (status, text) = (reply.status(), reply.text().await.map_err(unreachable)?);
        if !status.is_success() {
            return Err(CommandError::new(format!(
                "the demo's server answered {status}: {text}"
            )));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

fn may_repeat(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// How many events of a batch were rejected, by the door's answer.
fn rejected(answer: &str) -> u64 {
    let answer: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    answer
        .get("rejected")
        .and_then(Value::as_array)
        .map_or(0, |rejected| rejected.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_are_counted_by_the_answer() {
        assert_eq!(rejected(r#"{"success":true}"#), 0);
        assert_eq!(
            rejected(r#"{"success":true,"rejected":[{"index":3,"code":"a","message":"b"}]}"#),
            1
        );
        assert_eq!(rejected("oops"), 0);
        assert!(may_repeat(StatusCode::SERVICE_UNAVAILABLE) && !may_repeat(StatusCode::BAD_REQUEST));
    }
}
