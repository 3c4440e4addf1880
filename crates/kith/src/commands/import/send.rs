//! One batch to the door for imports, again and again while the server is busy or away.

use super::batch::Batch;
use crate::client::{Client, Refused, read};
use crate::error::CommandError;
use bytes::Bytes;
use indicatif::ProgressBar;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::{Duration, Instant};

/// How long a batch is tried before the import breaks off.
const PATIENCE: Duration = Duration::from_secs(300);
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(15);

/// What became of a batch.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Outcome {
    /// Events that are durable.
    pub(crate) accepted: usize,
    /// Events that were kept as rejects.
    pub(crate) rejected: Vec<Rejected>,
}

/// An event that was kept as a reject.
#[derive(Debug, Deserialize)]
pub(crate) struct Rejected {
    /// Its place in the batch, from 0.
    pub(crate) index: usize,
    /// Why, for programs.
    pub(crate) code: String,
    /// Why, for people.
    pub(crate) message: String,
}

/// The events of a body.
#[derive(Deserialize)]
pub(crate) struct Events {
    /// One JSON object each.
    pub(crate) batch: Vec<Box<RawValue>>,
}

/// Sends a batch. Its message ids make it safe to send it again where it is not known whether it arrived.
///
/// # Errors
/// A refusal that waiting does not mend, or a server that stays away too long.
pub(crate) async fn send(
    client: &Client,
    path: &[&str],
    batch: &Batch,
    bar: &ProgressBar,
) -> Result<Outcome, CommandError> {
    let body = Bytes::from(batch.to_body());
    let begun = Instant::now();
    let mut wait = WAIT_FIRST;
    loop {
        let (failure, asked) = match client.try_post(path, body.clone()).await {
            Ok(Ok(text)) => {
                bar.set_message("");
                return read(&text);
            }
            Ok(Err(refused)) if passes(&refused) => {
                let asked = refused.retry_after;
                (client.explain(&refused), asked)
            }
            Ok(Err(refused)) => return Err(client.explain(&refused)),
            Err(error) => (client.unreachable(error), None),
        };
        let pause = asked.unwrap_or(wait).min(WAIT_MAX);
        if begun.elapsed() + pause > PATIENCE {
            return Err(failure);
        }
        bar.set_message(format!("waiting: {failure}"));
        tokio::time::sleep(pause).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// Whether waiting may mend a refusal.
fn passes(refused: &Refused) -> bool {
    matches!(
        refused.status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
mod tests;
