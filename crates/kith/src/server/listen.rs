//! Serving connections under bounds: how many there are, how much each is read ahead, how long one may say nothing, and how
//! long one may take nothing of what it asked for.
//!
//! Works with hyper for the protocol and hands each request to the router that the server made. The bounds keep what
//! connections hold small beside what the doors hold (contract COL-5). Some connections beyond the bound are kept for whoever
//! asks how the server is (contract OPS-1): they are served one request, and another than that only where there is room for
//! it again. Where there is, the connection moves there, so that a long request holds nothing of what is kept; and what stays
//! is given up after a while. A connection above both bounds waits in the kernel until another ends; it is never accepted and
//! then dropped.

mod progress;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kith_telemetry::{Counter, Gauge};
use progress::Progressing;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

/// The most that is read of a connection before the request's handler takes it, in bytes; also the largest head.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// How long a connection may wait for its next request, or take over a request's head.
/// Short, since idle connections take the place of others.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// The same for a connection of the reserve, which is for a question and its answer.
const RESERVE_SILENCE_MAX: Duration = Duration::from_secs(1);
/// How long a connection may hold the reserve in all: longer than any check of readiness takes, also where its reader is slow.
const RESERVE_LIFE_MAX: Duration = Duration::from_secs(10);
/// How long a write may wait without a byte being taken: whoever asks and does not read gives up its place then.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// How long requests under way may take once the end is asked for: whoever does not read holds it up no longer.
const ENDING_MAX: Duration = Duration::from_secs(30);
/// What the reserve is kept for.
const HEALTH_PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// For everything.
    pub(super) connections_max: u32,
    /// Beside those, for [`HEALTH_PATHS`].
    pub(super) reserve: u32,
    /// How long one of the reserve is held at most.
    pub(super) reserve_life: Duration,
    /// How long a write may wait without a byte being taken.
    pub(super) unread: Duration,
    /// How long requests under way may take once the end is asked for.
    pub(super) ending: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 2_048,
            reserve: 32,
            reserve_life: RESERVE_LIFE_MAX,
            unread: UNREAD_MAX,
            ending: ENDING_MAX,
        }
    }
}

/// The room for connections of both kinds.
#[derive(Clone)]
struct Room {
    all: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    reserve_life: Duration,
    unread: Duration,
    ending: Duration,
}

/// The place of one connection; it is free again once this is dropped.
enum Seat {
    Full(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
    Reserve(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
}

impl Room {
    fn new(bounds: Bounds) -> Self {
        let seats = |count: u32| Arc::new(Semaphore::new(count as usize));
        Self {
            all: seats(bounds.connections_max),
            reserve: seats(bounds.reserve),
            reserve_life: bounds.reserve_life,
            unread: bounds.unread,
            ending: bounds.ending,
        }
    }

    /// A seat for the next connection; `None` once there will be no more.
    async fn seat(&self) -> Option<Seat> {
        if self.all.available_permits() == 0 {
            tracing::warn!("there are as many connections as may be; others wait, or are told so");
        }
        tokio::select! {
            biased;
            permit = Arc::clone(&self.all).acquire_owned() => permit.ok().map(Seat::Full),
            permit = Arc::clone(&self.reserve).acquire_owned() => permit.ok().map(Seat::Reserve),
        }
    }

    /// Moves whoever has a seat of the reserve to a full one that is free. Answers whether the seat is a full one now.
    fn promote(&self, held: &Mutex<Seat>) -> bool {
        let mut seat = held.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*seat, Seat::Reserve(_))
            && let Ok(permit) = Arc::clone(&self.all).try_acquire_owned()
        {
            *seat = Seat::Full(permit);
        }
        matches!(*seat, Seat::Full(_))
    }
}

/// Serves until `stop` turns true, then until the requests under way have been answered or broken off.
pub(super) async fn serve(mut listener: TcpListener, router: Router, bounds: Bounds, mut stop: watch::Receiver<bool>) {
    let room = Room::new(bounds);
    let mut stopping = stop.clone();
    loop {
        let accepted = async {
            let seat = room.seat().await;
            (seat, Listener::accept(&mut listener).await)
        };
        tokio::select! {
            () = asked(&mut stopping) => break,
            (seat, (stream, peer)) = accepted => {
                let Some(seat) = seat else { break };
                let served = Served { peer, router: router.clone(), room: room.clone(), stop: stop.clone() };
                tokio::spawn(served.connection(stream, seat));
            }
        }
    }
    drop(listener);
    asked(&mut stop).await;
    // All room is there again once every connection has ended.
    drop(room.all.acquire_many(bounds.connections_max).await);
    drop(room.reserve.acquire_many(bounds.reserve).await);
}

/// Comes back once the end is asked for. That nobody is left to ask is an end as well.
async fn asked(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await.is_err();
}

/// What a connection is served by.
struct Served {
    peer: SocketAddr,
    router: Router,
    room: Room,
    stop: watch::Receiver<bool>,
}

impl Served {
    async fn connection(self, stream: TcpStream, seat: Seat) {
        let Self {
            peer,
            router,
            room,
            mut stop,
        } = self;
        Gauge::HttpConnections.add(1);
        // Small answers must not wait for more to send; a connection that is gone already needs nothing.
        let _gone = stream.set_nodelay(true);
        let seat = Arc::new(Mutex::new(seat));
        // A seat of the reserve was taken before its connection came: there may be another by now.
        let reserved = !room.promote(&seat);
        let (reserve_life, unread, ending) = (room.reserve_life, room.unread, room.ending);
        let held = Arc::clone(&seat);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let (router, request) = (router.clone(), request.map(Body::new));
            // Decided before the request is taken up; a connection with a full seat keeps it.
            let refused = !room.promote(&held) && !HEALTH_PATHS.contains(&request.uri().path());
            async move {
                match refused {
                    true => Ok(full()),
                    false => answer(router, request).await,
                }
            }
        });
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(if reserved { RESERVE_SILENCE_MAX } else { SILENCE_MAX })
            .keep_alive(!reserved)
            .max_buf_size(READ_AHEAD_BYTES);
        let stream = TokioIo::new(Progressing::new(stream, unread));
        let mut served = pin!(protocol.serve_connection(stream, service));
        let ended = tokio::select! {
            // A request that has come is taken up before the end is heard of.
            biased;
            ended = served.as_mut() => ended,
            () = overstayed(&seat, reserve_life) => Ok(()),
            () = asked(&mut stop) => {
                served.as_mut().graceful_shutdown();
                // One that takes longer is broken off.
                tokio::time::timeout(ending, served).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            // Senders break off every day; nothing is lost by it.
            tracing::trace!(%error, "a connection broke off");
        }
        Gauge::HttpConnections.add(-1);
    }
}

/// Comes back once a seat of the reserve has been held for too long; never where it is a full one by then.
async fn overstayed(held: &Mutex<Seat>, after: Duration) {
    tokio::time::sleep(after).await;
    let reserved = matches!(*held.lock().unwrap_or_else(PoisonError::into_inner), Seat::Reserve(_));
    if !reserved {
        std::future::pending::<()>().await;
    }
}

type Answered = Result<Response<Body>, std::convert::Infallible>;

async fn answer(mut router: Router, request: Request<Body>) -> Answered {
    router.call(request).await
}

/// There is no room for the connection. SDKs read `code` and `message`, the API's clients `error`.
fn full() -> Response<Body> {
    const BODY: &str = concat!(
        r#"{"code":"too_many_connections","message":"there are as many connections as the server takes; come again soon","#,
        r#""error":{"code":"too_many_connections","message":"there are as many connections as the server takes; come again soon"}}"#
    );
    Counter::HttpRequestsWithoutRoom.increment();
    let mut response = Response::new(Body::from(BODY));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

#[cfg(test)]
mod tests;
