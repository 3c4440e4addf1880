//! How the server is is answered whatever its connections do, and others are told that there is no room.

use super::*;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BOUNDS: Bounds = Bounds {
    connections_max: 6,
    reserve: 2,
    reserve_life: Duration::from_secs(1),
    unread: Duration::from_secs(600),
    ending: Duration::from_secs(1),
};

/// An answer that stays in the server until it is read.
const MORE_THAN_SOCKETS_HOLD: usize = 64 << 20;

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

fn router() -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(|| async { "ready" }))
        .route("/metrics", get(|| async { vec![b'm'; MORE_THAN_SOCKETS_HOLD] }))
        .route("/v1/track", post(|body: axum::body::Bytes| async move { body }))
}

async fn start() -> Running {
    start_with(BOUNDS).await
}

async fn start_with(bounds: Bounds) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(serve(listener, router(), bounds, stopping));
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
/// A request whose head is taken and whose body is still to come, which the server says.
const UNDER_WAY: &str = "POST /v1/track HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";

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

impl Running {
    /// Takes connections for good, each with half a body sent.
    async fn hold(&self, count: u32) -> Vec<TcpStream> {
        let mut held = Vec::new();
        for _ in 0..count {
            let mut stream = self.open().await;
            stream.write_all(TRACK.as_bytes()).await.unwrap();
            assert!(read_one(&mut stream).await.starts_with("HTTP/1.1 200"));
            stream
                .write_all(TRACK.replace("length: 2", "length: 9").as_bytes())
                .await
                .unwrap();
            held.push(stream);
        }
        held
    }
}

#[tokio::test]
async fn ops_1_a_long_request_that_came_by_the_reserve_moves_to_room_that_is_free() {
    let room = Room::new(BOUNDS);
    let taken = Arc::clone(&room.all)
        .acquire_many_owned(BOUNDS.connections_max)
        .await
        .unwrap();
    let seat = Mutex::new(room.seat().await.unwrap());
    assert_eq!(room.reserve.available_permits(), 1);
    assert!(!room.promote(&seat), "there is no other room");
    drop(taken);
    assert!(room.promote(&seat));
    assert_eq!(room.reserve.available_permits(), 2, "the reserve is whole again");
    assert_eq!(room.all.available_permits(), BOUNDS.connections_max as usize - 1);
    drop(seat);
    assert_eq!(room.all.available_permits(), BOUNDS.connections_max as usize);

    // The same for a connection: its request is under way, and holds nothing of the reserve.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let taken = Arc::clone(&room.all)
        .acquire_many_owned(BOUNDS.connections_max)
        .await
        .unwrap();
    let (stop, stopping) = watch::channel(false);
    let served = Served {
        peer,
        router: router(),
        room: room.clone(),
        stop: stopping,
    };
    let serving = tokio::spawn(served.connection(stream, room.seat().await.unwrap()));
    // The connection stands in the reserve once its task has run so far as to wait for a head.
    tokio::task::yield_now().await;
    drop(taken);
    client.write_all(UNDER_WAY.as_bytes()).await.unwrap();
    assert!(read_one(&mut client).await.starts_with("HTTP/1.1 100"));
    assert_eq!(room.reserve.available_permits(), 2);
    assert_eq!(room.all.available_permits(), BOUNDS.connections_max as usize - 1);
    client.write_all(b"{}").await.unwrap();
    assert!(read_one(&mut client).await.starts_with("HTTP/1.1 200"));
    serving.await.unwrap();
    assert_eq!(room.all.available_permits(), BOUNDS.connections_max as usize);
    drop(stop);
}

#[tokio::test]
async fn ops_1_whoever_does_not_read_an_answer_of_the_reserve_is_let_go() {
    let server = start().await;
    let held = server.hold(BOUNDS.connections_max).await;
    let mut unread = Vec::new();
    for _ in 0..BOUNDS.reserve {
        let mut stream = server.open().await;
        stream.write_all(get_of("/metrics").as_bytes()).await.unwrap();
        // The answer has begun, and nobody reads on.
        assert!(read_one(&mut stream).await.starts_with("HTTP/1.1 200"));
        unread.push(stream);
    }
    let answer = server.ask(&get_of("/livez")).await;
    assert!(answer.ends_with("alive"), "{answer}");
    drop((held, unread));
    server.stop.send_replace(true);
    server.serving.await.unwrap();
}

#[tokio::test]
async fn ops_1_a_client_that_never_reads_does_not_hold_up_the_end() {
    let server = start().await;
    let mut silent = server.open().await;
    silent.write_all(get_of("/metrics").as_bytes()).await.unwrap();
    // The answer has begun, and more of it is left than sockets hold.
    let mut begun = [0; 1];
    silent.read_exact(&mut begun).await.unwrap();
    server.stop.send_replace(true);
    server.serving.await.unwrap();
    drop(silent);
}

#[tokio::test]
async fn col_5_a_client_that_asks_on_and_never_reads_gives_up_its_place() {
    let server = start_with(Bounds {
        unread: Duration::from_millis(100),
        ..BOUNDS
    })
    .await;
    let mut unread = Vec::new();
    for _ in 0..BOUNDS.connections_max {
        let mut stream = server.open().await;
        let requests = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(8);
        stream.write_all(requests.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    let taken = async {
        let request = TRACK.replace("host: a", "host: a\r\nconnection: close");
        while !server.ask(&request).await.starts_with("HTTP/1.1 200") {}
    };
    let taken = tokio::time::timeout(Duration::from_secs(60), taken).await;
    assert!(taken.is_ok(), "those who do not read hold all places for ever");
    drop(unread);
    server.stop.send_replace(true);
    server.serving.await.unwrap();
}
