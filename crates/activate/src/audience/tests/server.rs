//! Destinations with their threads and over real HTTP.

use super::Ground;
use crate::audience::{HttpTracking, Posted, TrackingApi, TrackingRequest};
use crate::tests::runtime;
use crate::tests::server::until;
use crate::{Activation, ActivationConfig, AudiencePorts, Ports};
use async_trait::async_trait;
use kith_types::SpaceId;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

fn start(
    ground: &Arc<Ground>,
    folder: &tempfile::TempDir,
    runtime: &tokio::runtime::Runtime,
    tracking: Arc<dyn TrackingApi>,
) -> Arc<Activation> {
    let config = ActivationConfig::new(folder.path().join("ledger.db"), "https://kith.example.com");
    let ports = Ports {
        audiences: Some(AudiencePorts {
            audiences: ground.clone(),
            tracking,
        }),
        ..ground.ports()
    };
    Activation::start(
        &config,
        ports,
        crate::tests::clock_of(&ground.world),
        runtime.handle().clone(),
    )
    .unwrap()
}

/// One receiver that never answers beside one that does.
struct OneSilent(Arc<Ground>);

#[async_trait]
impl TrackingApi for OneSilent {
    async fn post(&self, request: TrackingRequest) -> Posted {
        if request.endpoint.contains("silent") {
            std::future::pending::<()>().await;
        }
        self.0.post(request).await
    }
}

#[test]
fn act_4_a_destination_that_never_answers_slows_no_other_and_one_that_is_removed_is_forgotten() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("silent", &json!({ "send": "track" }));
    ground.define("crm", &json!({ "send": "track" }));
    (1..=4).for_each(|person| ground.member("vip", person));
    let activation = start(&ground, &folder, &runtime, Arc::new(OneSilent(ground.clone())));
    until("the members are told", || ground.told("track").len() == 4);
    until("the other is connected", || {
        let stand = activation.destinations(&SpaceId::main()).unwrap();
        stand[0].members_waiting == 4
    });
    (5..=9).for_each(|person| ground.enter(person));
    activation.notify();
    until("the changes are told", || ground.told("track").len() == 9);
    let stand = activation.destinations(&SpaceId::main()).unwrap();
    let figures: Vec<_> = stand
        .iter()
        .map(|of| (of.name.as_str(), of.sent, of.members_waiting, of.changes_waiting))
        .collect();
    assert_eq!(figures[0], ("silent", 0, 4, 5));
    until("it is recorded", || {
        activation.destinations(&SpaceId::main()).unwrap()[1].sent == 9
    });
    // What the slow one still wants is kept for it.
    assert_eq!(activation.outbox_passed(&SpaceId::main()).unwrap(), 0);
    // A server ends whatever a receiver does, and goes on from where it was.
    activation.stop();
    drop(activation);
    ground
        .destinations
        .lock()
        .unwrap()
        .retain(|known| known.name() == "crm");
    let activation = start(&ground, &folder, &runtime, ground.clone());
    until("it is forgotten", || {
        activation.outbox_passed(&SpaceId::main()).unwrap() == 5
    });
    assert_eq!(ground.taken.lock().unwrap().len(), 9, "nothing was told again");
    activation.stop();
}

#[test]
fn seg_5_without_its_write_key_a_destination_waits_and_says_how_to_give_it() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "write_key": "segment_eu-1" }));
    ground.member("vip", 1);
    let activation = start(&ground, &folder, &runtime, ground.clone());
    until("it says so", || {
        let fault = activation.destinations(&SpaceId::main()).unwrap().remove(0).fault;
        fault.is_some_and(|fault| fault.contains("KITH_WRITE_KEY_SEGMENT_EU_1"))
    });
    assert!(ground.requests.lock().unwrap().is_empty());
    activation.stop();
}

/// Answers one request with `answer` and gives what it was asked.
fn serve_once(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/batch", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut piece) = (Vec::new(), [0; 4_096]);
        while !asked.ends_with(b"[]}") {
            let read = stream.read(&mut piece).unwrap();
            asked.extend_from_slice(&piece[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (endpoint, serving)
}

#[test]
fn seg_5_batches_are_posted_with_the_write_key_as_the_field_does() {
    let (runtime, tracking) = (runtime(), HttpTracking::new().unwrap());
    let post = |endpoint: String| {
        let request = TrackingRequest {
            endpoint,
            write_key: "wk".to_owned(),
            body: r#"{"batch":[]}"#.to_owned(),
        };
        runtime.block_on(tracking.post(request))
    };
    let (endpoint, serving) =
        serve_once("HTTP/1.1 200 OK\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"success\":true}");
    assert_eq!(post(endpoint), Posted::Taken(vec![]));
    let asked = serving.join().unwrap().to_lowercase();
    assert!(asked.starts_with("post /v1/batch http/1.1"), "{asked}");
    // `wk:` in base64.
    assert!(
        asked.contains("authorization: basic d2s6") && asked.contains("content-type: application/json"),
        "{asked}"
    );
    let (endpoint, serving) =
        serve_once("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let later = Posted::Later("the receiver answered 503".to_owned(), Some(Duration::from_secs(7)));
    assert_eq!(post(endpoint.clone()), later);
    serving.join().unwrap();
    // Nobody listens there any more.
    let Posted::Later(why, None) = post(endpoint) else {
        panic!("it passes by itself");
    };
    assert!(
        why.starts_with("the receiver gave no answer") && !why.contains("/v1/batch"),
        "{why}"
    );
}
