//! What is sent, and how: the demonstration world as ready requests, and the loops that send them.
//!
//! A closed loop sends the next request when the last is answered; an open one keeps to its schedule and counts from the
//! moment at which a request was due, so that a slow answer is not hidden by what was sent later. What waits to be sent
//! is bounded.

use super::http::{Connection, post};
use super::latency::Latencies;
use crate::error::CommandError;
use kith_testkit::world::{SOURCES, World, WorldEvent};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

/// Bytes of events in a batch: the door takes 500 KB.
const BATCH_BYTES: usize = 400_000;
/// Requests that wait to be sent.
const WAITING: usize = 64;
/// How often a request that the server puts off is sent again, and how long to wait before.
const REPEATS_MAX: u32 = 3_000;
const REPEATS_AFTER: Duration = Duration::from_millis(20);

/// A request with events.
pub(super) struct Request {
    /// As it goes over the wire.
    pub(super) bytes: Vec<u8>,
    /// How many events it holds.
    pub(super) events: u64,
}

/// What a loop did.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) requests: u64,
    pub(super) events: u64,
    /// Events that the door rejected.
    pub(super) rejected: u64,
    /// Requests that were put off (429, 503) and sent again.
    pub(super) repeats: u64,
    pub(super) latencies: Latencies,
}

impl Sent {
    /// Adds what another connection did.
    pub(super) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.events += other.events;
        self.rejected += other.rejected;
        self.repeats += other.repeats;
        self.latencies.merge(&other.latencies);
    }
}

/// The write keys of the world's sources.
pub(super) type WriteKeys = BTreeMap<&'static str, String>;

/// The events of a world in batches of one source each, as requests. `events` is the most a batch has; 1 gives requests
/// of a single event to the route of its type.
pub(super) struct Requests {
    world: World,
    keys: WriteKeys,
    events: usize,
    open: BTreeMap<&'static str, (String, usize)>,
    noted: Box<dyn FnMut(&WorldEvent) + Send>,
}

impl Requests {
    /// The requests of a world; `noted` sees every event as it is drawn.
    pub(super) fn new(
        world: World,
        keys: &WriteKeys,
        events: usize,
        noted: impl FnMut(&WorldEvent) + Send + 'static,
    ) -> Self {
        Self {
            world,
            keys: keys.clone(),
            events,
            open: BTreeMap::new(),
            noted: Box::new(noted),
        }
    }

    fn key(&self, source: &str) -> &str {
        self.keys.get(source).map(String::as_str).unwrap_or_default()
    }

    fn close(&self, source: &str, mut body: String, events: usize) -> Request {
        body.push_str("]}");
        Request {
            bytes: post("/v1/batch", self.key(source), &body),
            events: events as u64,
        }
    }
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        while let Some(event) = self.world.next() {
            (self.noted)(&event);
            if self.events == 1 {
                let path = route(&event.body);
                return Some(Request {
                    bytes: post(path, self.key(event.source), &event.body),
                    events: 1,
                });
            }
            let (body, events) = self.open.entry(event.source).or_default();
            body.push_str(if *events == 0 { r#"{"batch":["# } else { "," });
            body.push_str(&event.body);
            *events += 1;
            if *events >= self.events || body.len() >= BATCH_BYTES {
                let (body, events) = std::mem::take(self.open.get_mut(event.source)?);
                return Some(self.close(event.source, body, events));
            }
        }
        for source in SOURCES {
            if let Some((body, events)) = self.open.remove(source)
                && events > 0
            {
                return Some(self.close(source, body, events));
            }
        }
        None
    }
}

/// The route of an event's type.
fn route(body: &str) -> &'static str {
    #[derive(serde::Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "type", borrow)]
        kind: &'a str,
    }
    match serde_json::from_str::<Typed<'_>>(body).map(|typed| typed.kind) {
        Ok("identify") => "/v1/identify",
        Ok("page") => "/v1/page",
        Ok("screen") => "/v1/screen",
        Ok("group") => "/v1/group",
        Ok("alias") => "/v1/alias",
        _ => "/v1/track",
    }
}

/// Sends the same requests over and over from so many connections, each the next as soon as the last is answered.
///
/// # Errors
/// The connection fails, or the door refuses a request.
pub(super) async fn closed_loop(
    address: SocketAddr,
    requests: &Arc<Vec<Request>>,
    connections: usize,
    lasts: Duration,
) -> Result<Sent, CommandError> {
    let ends = Instant::now() + lasts;
    let next = Arc::new(AtomicU64::new(0));
    let loops = (0..connections).map(|_| {
        let (requests, next) = (Arc::clone(requests), Arc::clone(&next));
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await.map_err(broken)?;
            let mut sent = Sent::default();
            while Instant::now() < ends {
                let at = next.fetch_add(1, Ordering::Relaxed) % (requests.len() as u64).max(1);
                let Some(request) = requests.get(usize::try_from(at).unwrap_or_default()) else {
                    break;
                };
                deliver(&mut connection, request, &mut sent).await?;
            }
            Ok(sent)
        })
    });
    gather(loops.collect()).await
}

/// Sends requests as they come, from so many connections; `progress` counts the events that were acknowledged.
///
/// # Errors
/// The connection fails, or the door refuses a request.
pub(super) async fn send_all(
    address: SocketAddr,
    requests: mpsc::Receiver<Request>,
    connections: usize,
    progress: &Arc<AtomicU64>,
) -> Result<Sent, CommandError> {
    let requests = Arc::new(Mutex::new(requests));
    let loops = (0..connections).map(|_| {
        let (requests, progress) = (Arc::clone(&requests), Arc::clone(progress));
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await.map_err(broken)?;
            let mut sent = Sent::default();
            loop {
                let request = requests.lock().await.recv().await;
                let Some(request) = request else { return Ok(sent) };
                deliver(&mut connection, &request, &mut sent).await?;
                progress.fetch_add(request.events, Ordering::Relaxed);
            }
        })
    });
    gather(loops.collect()).await
}

/// Draws requests on a thread of its own, at most so many events a second where a rate is given, until `ends`.
pub(super) fn draw(
    requests: impl Iterator<Item = Request> + Send + 'static,
    events_a_second: Option<f64>,
    ends: Option<std::time::Instant>,
) -> mpsc::Receiver<Request> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let start = std::time::Instant::now();
        let mut drawn = 0_u64;
        for request in requests {
            if let Some(rate) = events_a_second {
                #[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
                let due = start + Duration::from_secs_f64(drawn as f64 / rate.max(1.0));
                std::thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
            }
            drawn += request.events;
            // Whoever sends has said why where it takes no more.
            if ends.is_some_and(|ends| std::time::Instant::now() >= ends) || sender.blocking_send(request).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Sends one request until it is taken, and counts it.
async fn deliver(connection: &mut Connection, request: &Request, sent: &mut Sent) -> Result<(), CommandError> {
    for _ in 0..REPEATS_MAX {
        let start = Instant::now();
        match connection.ask(&request.bytes).await.map_err(broken)? {
            200 => {
                sent.latencies.take(start.elapsed());
                sent.requests += 1;
                sent.events += request.events;
                sent.rejected += rejected(connection.body());
                return Ok(());
            }
            429 | 503 => sent.repeats += 1,
            status => {
                let said = String::from_utf8_lossy(connection.body()).into_owned();
                return Err(CommandError::new(format!("the door answered {status}: {said}")));
            }
        }
        tokio::time::sleep(REPEATS_AFTER).await;
    }
    Err(CommandError::new("the door puts a request off for more than a minute"))
}

/// How many events an answer calls rejected.
fn rejected(answer: &[u8]) -> u64 {
    const ALL_TAKEN: &[u8] = br#"{"success":true}"#;
    if answer == ALL_TAKEN {
        return 0;
    }
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    answer
        .get("rejected")
        .and_then(serde_json::Value::as_array)
        .map_or(0, |rejected| rejected.len() as u64)
}

/// Requests on a schedule: `requests_a_second` in all, spread over the connections, each as `request` gives it for its
/// number.
///
/// # Errors
/// The connection fails, or an answer is not 200.
pub(super) async fn open_loop(
    address: SocketAddr,
    connections: u32,
    requests_a_second: u32,
    lasts: Duration,
    request: impl Fn(u64) -> Vec<u8> + Clone + Send + 'static,
) -> Result<Sent, CommandError> {
    let start = Instant::now() + Duration::from_millis(100);
    let apart = Duration::from_secs(1) * connections / requests_a_second.max(1);
    let loops = (0..connections).map(|number| {
        let request = request.clone();
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await.map_err(broken)?;
            let mut sent = Sent::default();
            let mut due = start + apart * number / connections;
            while due < start + lasts {
                let bytes = request(sent.requests * u64::from(connections) + u64::from(number));
                // A request that waited for the one before counts from when it was due. One that the timer woke late,
                // by the millisecond that timers are exact to, counts from when it was sent.
                let waited = Instant::now() >= due;
                tokio::time::sleep_until(due).await;
                let from = if waited { due } else { Instant::now() };
                let status = connection.ask(&bytes).await.map_err(broken)?;
                if status != 200 {
                    return Err(CommandError::new(format!("a request was answered {status}")));
                }
                sent.latencies.take(from.elapsed());
                sent.requests += 1;
                due += apart;
            }
            Ok(sent)
        })
    });
    gather(loops.collect()).await
}

pub(super) fn broken(error: std::io::Error) -> CommandError {
    CommandError::caused("a connection to the measured server failed", error)
}

async fn gather(loops: Vec<tokio::task::JoinHandle<Result<Sent, CommandError>>>) -> Result<Sent, CommandError> {
    let mut all = Sent::default();
    for one in loops {
        all.merge(
            &one.await
                .map_err(|error| CommandError::caused("a connection's task ended", error))??,
        );
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_testkit::world::WorldConfig;
    use kith_types::Timestamp;

    fn requests(events: usize) -> Vec<Request> {
        let keys: WriteKeys = SOURCES
            .iter()
            .map(|source| (*source, format!("key-of-{source}")))
            .collect();
        let world = World::new(WorldConfig::new(7, 1_050, Timestamp::from_millis(1_800_000_000_000)));
        Requests::new(world, &keys, events, |_| {}).collect()
    }

    fn body(request: &Request) -> serde_json::Value {
        let text = std::str::from_utf8(&request.bytes).unwrap();
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    #[test]
    fn every_event_of_the_world_is_sent_once() {
        let batches = requests(100);
        assert!(
            batches
                .iter()
                .all(|batch| body(batch)["batch"].as_array().unwrap().len() as u64 == batch.events)
        );
        assert_eq!(batches.iter().map(|batch| batch.events).sum::<u64>(), 1_050);
        let singles = requests(1);
        assert_eq!(singles.len(), 1_050);
        for single in &singles {
            let kind = body(single)["type"].as_str().unwrap().to_owned();
            assert!(
                single
                    .bytes
                    .starts_with(format!("POST /v1/{kind} HTTP/1.1\r\n").as_bytes()),
                "{kind}"
            );
        }
    }

    #[test]
    fn rejects_are_counted() {
        assert_eq!(rejected(br#"{"success":true}"#), 0);
        assert_eq!(rejected(br#"{"success":true,"rejected":[{"index":1},{"index":2}]}"#), 2);
    }
}
