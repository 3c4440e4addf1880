//! A server in memory: a real catalog, and the ports of `ports.rs`.

use super::ports::Ports;
use crate::{ApiLimits, ApiState, router};
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode, header};
use kith_catalog::{ApiKeyScope, Catalog};
use kith_types::{Address, ManualClock, SpaceId, Timestamp};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use tower::ServiceExt;

/// What the ports saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) unsubscribed: AtomicU64,
    pub(super) rows_made: AtomicU64,
    pub(super) sql_dropped: AtomicBool,
    /// Statements, as the port was asked to run them.
    pub(super) sql: Mutex<Vec<crate::ports::SqlRequest>>,
    pub(super) log_broken: AtomicBool,
    pub(super) publishing_fails: AtomicBool,
}

/// A server with its keys.
pub(super) struct World {
    pub(super) app: Router,
    pub(super) catalog: Arc<Catalog>,
    pub(super) seen: Arc<Seen>,
    pub(super) admin: String,
    pub(super) read_main: String,
    pub(super) write_main: String,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

pub(super) fn at(sequence: u64) -> Address {
    Address {
        generation: 1,
        partition: 0,
        sequence,
        index: 0,
    }
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
        let catalog = Arc::new(Catalog::in_memory(clock).unwrap());
        let main = SpaceId::main();
        catalog.create_space(&"other".parse().unwrap()).unwrap();
        let admin = catalog.ensure_admin_key(None).unwrap().unwrap();
        let read_main = catalog
            .create_api_key("reader", &ApiKeyScope::Read(main.clone()))
            .unwrap()
            .secret;
        let write_main = catalog.create_source(&main, &"web".parse().unwrap()).unwrap().write_key;
        let seen = Arc::new(Seen::default());
        let ports = Arc::new(Ports {
            catalog: Arc::clone(&catalog),
            seen: Arc::clone(&seen),
            sequence: AtomicU64::new(1),
        });
        let app = router(ApiState {
            catalog: Arc::clone(&catalog),
            profiles: ports.clone(),
            segments: ports.clone(),
            definitions: ports.clone(),
            identity: ports.clone(),
            sql: ports.clone(),
            tail: ports.clone(),
            operations: ports.clone(),
            ingest: ports.clone(),
            unsubscribe: ports.clone(),
            destinations: ports.clone(),
            runs: ports,
            catalog_look: crate::Look::default(),
            limits: ApiLimits {
                body_bytes_max: 64 * 1024,
                tail_followers_max: 2,
            },
        });
        Self {
            app,
            catalog,
            seen,
            admin,
            read_main,
            write_main,
        }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    pub(super) async fn call(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        self.send(request(method, path, Some(key), body)).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &self.admin, "").await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, &self.admin, body).await
    }
}

pub(super) fn request(method: &str, path: &str, key: Option<&str>, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    request.body(Body::from(body.to_owned())).unwrap()
}
