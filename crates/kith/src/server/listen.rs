//! Serving connections under bounds: how many there are, how much each is read ahead, how long one may say nothing.
//!
//! Works with hyper for the protocol and hands each request to the router that the server made. The bounds keep what
//! connections hold small beside what the doors hold (contract COL-5). A connection above the bound waits in the kernel until
//! another ends; it is never accepted and then dropped.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kith_telemetry::Gauge;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

/// The most connections at once.
const CONNECTIONS_MAX: usize = 2_048;
/// The most that is read of a connection before the request's handler takes it, in bytes; also the largest head.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// How long a connection may wait for its next request, or take over a request's head.
/// Short, since idle connections take the place of others.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Serves until `stop` turns true, then until the requests under way have been answered.
pub(super) async fn serve(mut listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stopping = stop.clone();
    loop {
        let accepted = async {
            let permit = permit(&room).await;
            (permit, Listener::accept(&mut listener).await)
        };
        tokio::select! {
            () = asked(&mut stopping) => break,
            (permit, (stream, peer)) = accepted => {
                let Some(permit) = permit else { break };
                tokio::spawn(connection(stream, peer, router.clone(), stop.clone(), permit));
            }
        }
    }
    drop(listener);
    asked(&mut stop).await;
    // All room is there again once every connection has ended.
    let everything = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    drop(room.acquire_many(everything).await);
}

/// Comes back once the end is asked for. That nobody is left to ask is an end as well.
async fn asked(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await.is_err();
}

async fn permit(room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    if room.available_permits() == 0 {
        tracing::warn!(
            connections = CONNECTIONS_MAX,
            "there are as many connections as may be; others wait"
        );
    }
    Arc::clone(room).acquire_owned().await.ok()
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) {
    Gauge::HttpConnections.add(1);
    // Small answers must not wait for more to send; a connection that is gone already needs nothing.
    let _gone = stream.set_nodelay(true);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request.map(Body::new))
    });
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE_MAX)
        .max_buf_size(READ_AHEAD_BYTES);
    let mut served = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = asked(&mut stop) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        // Senders break off every day; nothing is lost by it.
        tracing::trace!(%error, "a connection broke off");
    }
    Gauge::HttpConnections.add(-1);
    drop(permit);
}
