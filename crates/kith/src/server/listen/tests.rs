//! How the server is is answered whatever its connections do, and others are told that there is no room.

use super::*;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BOUNDS: Bounds = Bounds {
    connections_max: 6,
    reserve: 2,
};

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(|| async { "ready" }))
        .route("/v1/track", post(|body: axum::body::Bytes| async move { body }));
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(serve(listener, router, BOUNDS, stopping));
    Running { address, stop, serving }
}

impl Running {
    async fn open(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request of its own connection and reads until the server closes it.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.open().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// Reads one answer of a connection that stays.
async fn read_one(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 1_024];
    let count = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

fn get_of(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
}

const TRACK: &str = "POST /v1/track HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn ops_1_health_is_answered_while_idle_and_busy_connections_take_all_room() {
    let server = start().await;
    let mut held = Vec::new();
    for at in 0..BOUNDS.connections_max {
        let mut stream = server.open().await;
        // Each is known to be served; then half of them say nothing more and half leave a body half sent.
        stream.write_all(TRACK.as_bytes()).await.unwrap();
        assert!(read_one(&mut stream).await.starts_with("HTTP/1.1 200"));
        if at % 2 == 0 {
            let half = TRACK.replace("length: 2", "length: 9");
            stream.write_all(half.as_bytes()).await.unwrap();
        }
        held.push(stream);
    }
    for _ in 0..3 {
        for (path, said) in [("/livez", "alive"), ("/readyz", "ready")] {
            let answer = server.ask(&get_of(path)).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(said), "{answer}");
        }
    }
    let refused = server.ask(TRACK).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(
        refused.contains("retry-after: 1") && refused.contains("too_many_connections"),
        "{refused}"
    );

    // Whoever takes a place of the reserve and says nothing is let go, and health is answered again.
    let silent = [server.open().await, server.open().await];
    let answer = server.ask(&get_of("/readyz")).await;
    assert!(answer.ends_with("ready"), "{answer}");
    drop(silent);

    // With room again everything is taken, whichever kind of place was free.
    drop(held);
    loop {
        let answer = server
            .ask(&TRACK.replace("host: a", "host: a\r\nconnection: close"))
            .await;
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    server.stop.send_replace(true);
    server.serving.await.unwrap();
}
