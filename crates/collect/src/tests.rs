//! Tests of the doors in process, over an appender that keeps its contract and over the real log.

mod faults;
mod keys;
mod limits;
mod rates;
mod routes;

use crate::{AppendError, Appender, Appending, Doors, DoorsConfig, KeyVerdict, Sources, SpaceDoorLimits, router};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use base64::Engine;
use http_body_util::BodyExt;
use kith_log::Appended;
use kith_types::{Address, Envelope, RecordBody, SpaceId, Timestamp};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// Resolves `web` and `app` to sources of two spaces, and `off` to none that is on. The space of `web` may have limits.
#[derive(Default)]
struct FixedSources {
    main_limits: SpaceDoorLimits,
}

impl Sources for FixedSources {
    fn resolve(&self, write_key: &str) -> KeyVerdict {
        match write_key {
            "web" => KeyVerdict::Source {
                space: SpaceId::main(),
                source: "web".parse().unwrap(),
            },
            "app" => KeyVerdict::Source {
                space: "brand_b".parse().unwrap(),
                source: "app".parse().unwrap(),
            },
            "off" => KeyVerdict::Disabled,
            _ => KeyVerdict::Unknown,
        }
    }

    fn limits(&self, space: &SpaceId) -> SpaceDoorLimits {
        match *space == SpaceId::main() {
            true => self.main_limits,
            false => SpaceDoorLimits::default(),
        }
    }
}

/// Keeps what it is given, in order; durable as soon as its gate has room, or failing as it is told to.
struct Kept {
    records: Mutex<Vec<(SpaceId, RecordBody)>>,
    failure: Mutex<Option<AppendError>>,
    gate: Semaphore,
    arrived: Semaphore,
}

impl Appender for Kept {
    fn append<'a>(&'a self, space: &SpaceId, body: RecordBody) -> Appending<'a> {
        let failure = self.failure.lock().unwrap().clone();
        let sequence = {
            let mut records = self.records.lock().unwrap();
            if failure.is_none() {
                records.push((space.clone(), body));
            }
            records.len() as u64
        };
        self.arrived.add_permits(1);
        Box::pin(async move {
            if let Some(failure) = failure {
                return Err(failure);
            }
            self.gate
                .acquire()
                .await
                .map_err(|_| AppendError::Unavailable)?
                .forget();
            let address = Address {
                sequence,
                ..Address::default()
            };
            Ok(Appended {
                address,
                received_at: Timestamp::from_millis(0),
            })
        })
    }
}

/// Doors over a [`Kept`].
struct House {
    doors: Arc<Doors>,
    kept: Arc<Kept>,
}

/// An answer, read whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> String {
        let json = self.json();
        assert!(
            json["message"].as_str().is_some_and(|message| message.len() > 10),
            "{json}"
        );
        json["code"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl House {
    fn new(config: DoorsConfig) -> Self {
        Self::limited(config, SpaceDoorLimits::default())
    }

    fn limited(config: DoorsConfig, main_limits: SpaceDoorLimits) -> Self {
        let kept = Arc::new(Kept {
            records: Mutex::default(),
            failure: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            arrived: Semaphore::new(0),
        });
        let doors = Doors::new(
            Arc::new(FixedSources { main_limits }),
            Arc::clone(&kept) as Arc<dyn Appender>,
            Arc::default(),
            config,
        );
        Self { doors, kept }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(router(Arc::clone(&self.doors)).oneshot(request).await.unwrap()).await
    }

    /// Posts a body under the key `web`.
    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(post(path, "web", body)).await
    }

    fn envelopes(&self) -> Vec<(SpaceId, Envelope)> {
        let records = self.kept.records.lock().unwrap();
        let envelope = |(space, body): &(SpaceId, RecordBody)| match body {
            RecordBody::Envelope(envelope) => (space.clone(), envelope.clone()),
            RecordBody::Decision(_) => panic!("the doors append no decisions"),
        };
        records.iter().map(envelope).collect()
    }

    fn last_body(&self) -> Vec<u8> {
        self.envelopes().last().unwrap().1.body.to_vec()
    }
}

fn basic(key: &str) -> String {
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{key}:"))
    )
}

fn post(path: &str, key: &str, body: impl Into<Body>) -> Request<Body> {
    let peer: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    Request::post(path)
        .header("authorization", basic(key))
        .header("content-type", "application/json")
        .header("user-agent", "sdk/1")
        .extension(ConnectInfo(peer))
        .body(body.into())
        .unwrap()
}

const TRACK: &str = r#"{"event":"Bought","userId":"u"}"#;
const PAGES: &str = r#"{"batch":[{"type":"page"},{"type":"page"}]}"#;
