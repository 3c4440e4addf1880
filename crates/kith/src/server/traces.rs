//! Sending traces to a collector of OpenTelemetry: OTLP over HTTP, in protobuf.
//!
//! Off unless one of the standard variables names a collector. `kith-telemetry` makes the spans and keeps what waits within
//! bounds; nothing of the server waits for a collector, and what it does not take is dropped.

use crate::error::CommandError;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a collector may take over one export.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// How often spans are sent, unless `OTEL_BSP_SCHEDULE_DELAY` says otherwise.
const EVERY_MILLIS: u64 = 5_000;

/// The task that sends.
pub(super) struct Traces {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Starts sending traces, where the environment names a collector.
///
/// # Errors
/// The variable that cannot be used.
pub(super) fn start() -> Result<Option<Traces>, CommandError> {
    let url = match (
        variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        variable("OTEL_EXPORTER_OTLP_ENDPOINT"),
    ) {
        (Some(whole), _) => whole,
        (None, Some(base)) => format!("{}/v1/traces", base.trim_end_matches('/')),
        (None, None) => return Ok(None),
    };
    let url = url
        .parse::<url::Url>()
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| unusable("OTEL_EXPORTER_OTLP_ENDPOINT", "a URL such as http://127.0.0.1:4318"))?;
    let every = number("OTEL_BSP_SCHEDULE_DELAY", "milliseconds such as 5000")?;
    let every = Duration::from_millis(every.unwrap_or(EVERY_MILLIS).max(1));
    let client = reqwest::Client::builder()
        .timeout(EXPORT_MAX)
        .default_headers(headers()?)
        .build()
        .map_err(|error| CommandError::caused("the client for traces cannot be made", error))?;
    let service = variable("OTEL_SERVICE_NAME").unwrap_or_else(|| "kith".to_owned());
    kith_telemetry::start_traces(&service, ratio()?);
    let (end, mut ending) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut was_away = false;
        loop {
            // That nobody is left to end it is an end as well.
            let is_last = tokio::time::timeout(every, &mut ending).await.is_ok();
            let is_away = send(&client, &url).await.is_err_and(|error| {
                if !was_away {
                    tracing::warn!(error = %kith_telemetry::error_chain(&error), "the collector did not take traces");
                }
                true
            });
            was_away = is_away;
            if is_last {
                return;
            }
        }
    });
    Ok(Some(Traces { end, task }))
}

impl Traces {
    /// Sends what waits, and ends.
    pub(super) async fn end(self) {
        // A task that is gone has nothing to send.
        let _gone = self.end.send(());
        drop(self.task.await);
    }
}

async fn send(client: &reqwest::Client, url: &url::Url) -> Result<(), reqwest::Error> {
    let Some(spans) = kith_telemetry::take_spans() else {
        return Ok(());
    };
    client.post(url.clone()).body(spans).send().await?.error_for_status()?;
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn unusable(name: &str, wanted: &str) -> CommandError {
    CommandError::new(format!("{name} cannot be used: it must be {wanted}"))
}

fn number<N: std::str::FromStr>(name: &str, wanted: &str) -> Result<Option<N>, CommandError> {
    let read = |value: String| value.trim().parse().map_err(|_| unusable(name, wanted));
    variable(name).map(read).transpose()
}

/// The share of requests that are followed.
fn ratio() -> Result<f64, CommandError> {
    let share = number::<f64>("OTEL_TRACES_SAMPLER_ARG", "a share from 0 to 1")?;
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    match variable("OTEL_TRACES_SAMPLER").as_deref() {
        None | Some("always_on" | "parentbased_always_on") => Ok(1.0),
        Some("always_off" | "parentbased_always_off") => Ok(0.0),
        Some("traceidratio" | "parentbased_traceidratio") => {
            share.ok_or_else(|| unusable("OTEL_TRACES_SAMPLER_ARG", "a share from 0 to 1"))
        }
        Some(_) => Err(unusable(
            "OTEL_TRACES_SAMPLER",
            "always_on, always_off or traceidratio, with or without parentbased_ before it",
        )),
    }
}

/// What every export carries, such as a key: `name=value,name=value`, with values as in a URL.
fn headers() -> Result<HeaderMap, CommandError> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    for one in variable(NAME)
        .unwrap_or_default()
        .split(',')
        .filter(|one| !one.trim().is_empty())
    {
        let read = || {
            let (name, value) = one.split_once('=')?;
            let escaped = format!("v={}", value.trim().replace('+', "%2B"));
            let (_, value) = url::form_urlencoded::parse(escaped.as_bytes()).next()?;
            let name: HeaderName = name.trim().parse().ok()?;
            Some((name, HeaderValue::from_str(&value).ok()?))
        };
        let (name, value) = read().ok_or_else(|| unusable(NAME, "name=value, parted by commas"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}
