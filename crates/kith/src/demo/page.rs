//! The routes of the demo's page: its files, what it must know, the journey of the visitor's events, and the inbox.
//!
//! They exist on a demo's server only and need no key. They show the visitor who presents an anonymous id, and mails to
//! the address asked for: a demo holds nobody's data but the visitor's own, so it must not be reachable from elsewhere.

use super::inbox::InboxReader;
use super::journey::Follower;
use crate::server::Parts;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// The segment that the page is about.
const SEGMENT: &str = "just_bought";
/// Visitors at once.
const FOLLOWERS_MAX: usize = 32;
/// Arrivals that wait for a slow page.
const ARRIVALS_WAITING: usize = 64;
/// The longest anonymous id and address.
const ID_BYTES_MAX: usize = 320;
/// The largest file of the page, in bytes, and how many there may be.
const FILE_BYTES_MAX: u64 = 4 << 20;
const FILES_MAX: usize = 200;

/// What the routes need.
#[derive(Clone)]
pub(super) struct Page {
    /// The write key of the source that the page sends as, once the server has made it.
    pub(super) write_key: Arc<OnceLock<String>>,
    /// The inbox, where there is one.
    pub(super) inbox: Option<InboxReader>,
    /// Counts the operator's requests to end.
    pub(super) stopping: watch::Receiver<u32>,
}

struct Shop {
    page: Page,
    parts: Arc<Parts>,
    places: Arc<Semaphore>,
}

/// A file of the page.
struct PageFile {
    path: String,
    content_type: &'static str,
    content: Bytes,
}

impl Page {
    /// The routes, over a running server.
    pub(super) fn routes(self, parts: &Arc<Parts>) -> Router {
        let shop = Shop {
            page: self,
            parts: Arc::clone(parts),
            places: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        };
        let mut router = Router::new()
            .route("/demo/config.json", get(config))
            .route("/demo/journey", get(journey))
            .route("/demo/inbox", get(inbox))
            .with_state(Arc::new(shop));
        let files = built_page().map(|folder| read_files(&folder)).unwrap_or_default();
        if files.is_empty() {
            return router.route("/", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT) }));
        }
        for file in files {
            let PageFile {
                path,
                content_type,
                content,
            } = file;
            let serve = move || async move {
                let headers = [
                    (header::CONTENT_TYPE, content_type),
                    (header::CACHE_CONTROL, "no-cache"),
                    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                ];
                (headers, content)
            };
            if path == "index.html" {
                router = router.route("/", get(serve.clone()));
            }
            router = router.route(&format!("/{path}"), get(serve));
        }
        router
    }
}

const NOT_BUILT: &str = "The shop page is not built: run `make web`, then start the demo again.\n";

/// The folder of the built page.
fn built_page() -> Option<PathBuf> {
    let folders = [
        PathBuf::from("web/shop/dist"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/shop/dist"),
    ];
    folders.into_iter().find(|folder| folder.join("index.html").is_file())
}

fn read_files(folder: &Path) -> Vec<PageFile> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries.flatten().take(FILES_MAX) {
        let (Ok(path), Ok(about)) = (entry.file_name().into_string(), entry.metadata()) else {
            continue;
        };
        let Some(content_type) = content_type(&path) else {
            continue;
        };
        if !about.is_file() || about.len() > FILE_BYTES_MAX {
            continue;
        }
        match std::fs::read(entry.path()) {
            Ok(content) => files.push(PageFile {
                path,
                content_type,
                content: content.into(),
            }),
            Err(error) => tracing::warn!(file = path, error = %error, "a file of the page cannot be read"),
        }
    }
    files
}

/// What a file of the page is; `None` for one that is not served.
fn content_type(path: &str) -> Option<&'static str> {
    // A name that means something to the router is none of ours.
    if path.starts_with('.') || path.contains(['{', '}']) {
        return None;
    }
    match path.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "txt" => Some("text/plain; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "png" => Some("image/png"),
        "woff2" => Some("font/woff2"),
        _ => None,
    }
}

async fn config(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let Some(write_key) = shop.page.write_key.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "The demo is starting.\n").into_response();
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let inbox_url = shop.page.inbox.as_ref().map(InboxReader::url).unwrap_or_default();
    let config = json!({
        "writeKey": write_key, "apiHost": format!("{host}/v1"), "cdnURL": format!("http://{host}"), "protocol": "http",
        "segment": SEGMENT, "inboxUrl": inbox_url,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(config)).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Visitor {
    anonymous_id: String,
}

async fn journey(State(shop): State<Arc<Shop>>, Query(visitor): Query<Visitor>) -> Response {
    let id = visitor.anonymous_id;
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return (StatusCode::BAD_REQUEST, "anonymousId names no visitor.\n").into_response();
    }
    let Ok(place) = Arc::clone(&shop.places).try_acquire_owned() else {
        return (StatusCode::TOO_MANY_REQUESTS, "Too many pages are open: close one.\n").into_response();
    };
    let (told, arrivals) = mpsc::channel(ARRIVALS_WAITING);
    let follower = Follower::new(Arc::clone(&shop.parts), id, told);
    let mut stopping = shop.page.stopping.clone();
    tokio::spawn(async move {
        let _held = place;
        // A stream that goes on would hold the end of the server.
        tokio::select! {
            () = Box::pin(follower.run()) => {}
            _ = stopping.wait_for(|asked| *asked > 0) => {}
        }
    });
    let events = ReceiverStream::new(arrivals).map(|arrival: super::stages::Arrival| {
        Ok::<Event, Infallible>(Event::default().event(arrival.stage.as_str()).data(arrival.to_json()))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[derive(Deserialize)]
struct Asked {
    email: String,
}

async fn inbox(State(shop): State<Arc<Shop>>, Query(asked): Query<Asked>) -> Response {
    if asked.email.trim().is_empty() || asked.email.len() > ID_BYTES_MAX {
        return (StatusCode::BAD_REQUEST, "email names no inbox.\n").into_response();
    }
    let mails = match &shop.page.inbox {
        Some(inbox) => inbox.mails_to(&asked.email).await,
        None => Some(Vec::new()),
    };
    match mails {
        Some(mails) => ([(header::CACHE_CONTROL, "no-store")], Json(mails)).into_response(),
        None => {
            let body: Json<Value> = Json(json!({ "message": "the inbox does not answer" }));
            (StatusCode::BAD_GATEWAY, body).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_page_are_served() {
        let home = tempfile::tempdir().unwrap();
        for name in ["index.html", "shop.js", "style.css", ".built", "notes.md", "{x}.js"] {
            std::fs::write(home.path().join(name), name).unwrap();
        }
        std::fs::create_dir(home.path().join("more.js")).unwrap();
        let mut served: Vec<_> = read_files(home.path())
            .into_iter()
            .map(|file| (file.path, file.content_type))
            .collect();
        served.sort();
        let served: Vec<_> = served.iter().map(|(path, kind)| (path.as_str(), *kind)).collect();
        assert_eq!(
            served,
            [
                ("index.html", "text/html; charset=utf-8"),
                ("shop.js", "text/javascript; charset=utf-8"),
                ("style.css", "text/css; charset=utf-8"),
            ]
        );
    }
}
