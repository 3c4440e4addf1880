//! Measures.
use kith_pipeline::*;
use kith_state::*;
use kith_testkit::world::*;
use kith_types::*;
use std::sync::Arc;
#[test]
fn speed() {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let count: u64 = std::env::var("EVENTS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(200_000);
    let mut config = WorldConfig::new(1, count, now);
    config.sent_at = SentAt::World;
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = if std::env::var("MEM").is_ok() {
        Arc::new(MemoryStore::default())
    } else {
        Arc::new(FjallStore::open(folder.path(), 64 << 20).unwrap())
    };
    let mut engine = Engine::open(store, EngineConfig::default()).unwrap();
    let mut applied = Vec::new();
    for doc in serde_json::from_str::<Vec<serde_json::Value>>(&std::fs::read_to_string("/tmp/pipe-defs.json").unwrap())
        .unwrap()
    {
        applied.push(doc);
    }
    let start = config.start();
    let make = |sequence, received_at, body| Record {
        address: Address {
            generation: 1,
            partition: 0,
            sequence,
            index: 0,
        },
        space: SpaceId::main(),
        received_at,
        body,
    };
    let document = serde_json::json!({"format":1,"author":"me","reason":"","applied":applied,"removed":[]}).to_string();
    engine
        .apply(&make(
            0,
            start,
            RecordBody::Decision(Decision {
                kind: DEFINITIONS_APPLIED.into(),
                document: document.into(),
            }),
        ))
        .unwrap();
    engine.commit().unwrap();
    let mut records = Vec::new();
    let mut last = start;
    for (n, event) in World::new(config).enumerate() {
        last = last.max(event.sent_at);
        records.push(make(
            n as u64 + 1,
            last,
            RecordBody::Envelope(Envelope {
                source: event.source.parse().unwrap(),
                route: Route::Batch,
                origin: Origin::Live,
                content_type: "application/json".into(),
                client_ip: "192.0.2.1".into(),
                user_agent: "t".into(),
                body: bytes::Bytes::from(format!("{{\"batch\":[{}]}}", event.body)),
            }),
        ));
    }
    let cpu = || {
        let s = std::fs::read_to_string("/proc/self/stat").unwrap();
        let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
        (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
    };
    let me = || {
        let s = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        s.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
    };
    let (c0, m0) = (cpu(), me());
    let (mut changes, mut events) = (0, 0);
    let mut commit = 0.0;
    for record in &records {
        engine.apply(record).unwrap();
        if engine.pending() >= 20_000 {
            let t = me();
            let o = engine.commit().unwrap();
            commit += me() - t;
            changes += o.changes.len();
            events += o.events.len();
        }
    }
    let t = me();
    let o = engine.commit().unwrap();
    commit += me() - t;
    changes += o.changes.len();
    events += o.events.len();
    let (c, m) = (cpu() - c0, me() - m0);
    println!(
        "SPEED records {} events {events} changes {changes} people {:?} process cpu {c:.2}s thread {m:.2}s (commit {commit:.2}s) = {:.1} us/event thread, {:.1} us/event process",
        records.len(),
        engine.spaces().map(|s| s.1).collect::<Vec<_>>(),
        m / records.len() as f64 * 1e6,
        c / records.len() as f64 * 1e6
    );
}
