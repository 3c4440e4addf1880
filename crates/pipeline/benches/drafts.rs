//! Exact sizes of drafts over a store of people, without a server: `cargo bench -p kith-pipeline --bench drafts -- --people 1000000`.
//!
//! Everybody has an identifier of their own, a browser and an e-mail address, and a handful of traits, as in `kith bench
//! draft-size`; of a hundred, `--devices` have browsed unknown on a second device before, so that two parts make them up, and
//! `--shared` share a tablet with another. `--store FOLDER` keeps the people for the next run, so that two builds can be compared over the same.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use kith_pipeline::{DEFINITIONS_APPLIED, DefinitionDocument, Engine, EngineConfig, Impact, Pipeline, Proposed, Reads};
use kith_state::{FjallStore, Store};
use kith_types::{Address, Decision, Duration, Envelope, Origin, Record, RecordBody, Route, SpaceId, Terms, Timestamp};
use serde_json::{Value as Json, json};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// When the people came.
const CAME: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// When drafts are asked: the day after.
const ASKED: Timestamp = Timestamp::from_millis(1_767_312_000_000);
/// What a server takes.
const CACHE_BYTES: u64 = 256 << 20;
const BATCH: u64 = 100;
/// How many of a hundred people there are of some kinds.
#[derive(Clone, Copy, Debug)]
struct Mix {
    /// Who have browsed unknown on a second device.
    devices: u64,
    /// Who share a tablet with others.
    shared: u64,
}

/// Records of a step.
const STEP: u64 = 20;
/// Sizes that are taken of each kind of draft.
const DRAFTS: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --all-targets` runs benches, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let people = argument("--people")?.unwrap_or(200_000);
    let mix = Mix {
        devices: argument("--devices")?.unwrap_or(20),
        shared: argument("--shared")?.unwrap_or(8),
    };
    let threads = argument("--threads")?.unwrap_or(2);
    let scratch = tempfile::tempdir()?;
    let kept = text_argument("--store").map(PathBuf::from);
    let folder = kept.unwrap_or_else(|| scratch.path().to_owned());
    let made = folder.join("people");
    let wanted = format!("{people} people, {mix:?}");
    let is_new = !made.exists();
    if !is_new && std::fs::read_to_string(&made)? != wanted {
        return Err(format!("{} holds other people than {wanted}", folder.display()).into());
    }
    if is_new && folder.join("state").exists() {
        return Err(format!("{} was not filled to its end: remove it", folder.display()).into());
    }
    let store: Arc<dyn Store> = Arc::new(FjallStore::open(&folder.join("state"), CACHE_BYTES)?);
    if is_new {
        fill(&store, people, mix)?;
        std::fs::write(&made, wanted)?;
    }
    seg_7_draft_sizes(&store, usize::try_from(threads)?)
}

/// Sizes of drafts over two traits, of drafts over how often something was done, and of drafts over both.
fn seg_7_draft_sizes(store: &Arc<dyn Store>, threads: usize) -> Result<(), Box<dyn Error>> {
    let pipeline = Arc::new(Pipeline::at_rest(Arc::clone(store), EngineConfig::default())?);
    let reads = Reads::new(Arc::clone(store), pipeline);
    let traits = |number: u32| -> Json {
        json!([{"trait": "country", "equals": "DE"}, {"trait": "visits", "greater_than": number}])
    };
    let counted = |number: u32| -> Json {
        json!([{"performed": {"type": "any", "at_least": number + 1, "within": {"last": "10d"}}}])
    };
    let both = |number: u32| -> Json {
        let (traits, counted) = (traits(number), counted(number));
        json!([traits[0], traits[1], counted[0]])
    };
    let kinds: [(&str, &dyn Fn(u32) -> Json); 3] = [("traits", &traits), ("counts", &counted), ("both", &both)];
    for (kind, conditions) in kinds {
        let (cpu, began) = (cpu_micros()?, Instant::now());
        let (mut asked, mut sizes) = (0, Vec::new());
        for number in 0..DRAFTS {
            let impact = ask(&reads, &conditions(number), threads)?;
            asked += impact.people;
            sizes.extend(impact.segments.iter().filter_map(|segment| segment.after));
        }
        let (took, cpu) = (began.elapsed(), cpu_micros()? - cpu);
        println!(
            "{kind}: {:.2} µs of CPU a person, {} ms a draft; sizes {sizes:?}",
            cpu as f64 / asked as f64,
            took.as_millis() / u128::from(DRAFTS),
        );
    }
    Ok(())
}

fn ask(reads: &Reads, conditions: &Json, threads: usize) -> Result<Impact, Box<dyn Error>> {
    let draft = DefinitionDocument {
        kind: "segment".to_owned(),
        name: "drafted".to_owned(),
        spec: Some(json!({"where": {"all": conditions}})),
    };
    let proposed = Proposed {
        changes: vec![draft],
        ..Proposed::default()
    };
    let impact = reads.impact(&SpaceId::main(), &proposed, ASKED, threads, &|_| true)?;
    impact.ok_or_else(|| "people are missing".into())
}

fn argument(name: &str) -> Result<Option<u64>, Box<dyn Error>> {
    Ok(text_argument(name).map(|text| text.parse()).transpose()?)
}

fn text_argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// User and system time of this process so far.
fn cpu_micros() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name may hold blanks. Of what follows it, both times are the twelfth and the thirteenth field (proc(5)).
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .flat_map(str::parse)
        .collect();
    // A tick is a hundredth of a second on every Linux.
    Ok(ticks.iter().sum::<u64>() * 10_000)
}

fn fill(store: &Arc<dyn Store>, people: u64, mix: Mix) -> Result<(), Box<dyn Error>> {
    let mut engine = Engine::open(Arc::clone(store), EngineConfig::default())?;
    engine.apply(&record(0, RecordBody::Decision(definitions()?)))?;
    let mut outputs = Vec::new();
    while engine.sweep(&mut outputs)? {}
    let mut waiting = Vec::new();
    let mut sequence = 0;
    for number in 0..people {
        waiting.extend(person(number, mix));
        if waiting.len() as u64 >= BATCH || number + 1 == people {
            sequence += 1;
            let body = format!(r#"{{"batch":[{}]}}"#, waiting.join(","));
            waiting.clear();
            engine.apply(&record(sequence, RecordBody::Envelope(envelope(body)?)))?;
            if sequence % STEP == 0 {
                engine.commit()?;
            }
        }
    }
    while !engine.advance(ASKED)? {
        engine.commit()?;
    }
    engine.commit()?;
    Ok(())
}

/// What the demonstration world computes of people, and its segments.
fn definitions() -> Result<Decision, Box<dyn Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/definitions.yaml");
    let text = std::fs::read_to_string(file)?;
    let mut applied = Vec::new();
    for document in text.split("\n---\n") {
        let document: Json = serde_yaml_ng::from_str(document)?;
        if document["kind"] == "segment" || document["kind"] == "computed_trait" {
            applied.push(document);
        }
    }
    let document = json!({"format": 1, "author": "bench", "reason": "", "applied": applied, "removed": []});
    Ok(Decision {
        kind: DEFINITIONS_APPLIED.into(),
        document: document.to_string().into(),
    })
}

fn record(sequence: u64, body: RecordBody) -> Record {
    Record {
        address: Address {
            generation: 1,
            partition: 0,
            sequence,
            index: 0,
        },
        space: SpaceId::main(),
        received_at: CAME + Duration::from_micros(i64::try_from(sequence).unwrap_or_default() * 1_000),
        body,
    }
}

fn envelope(body: String) -> Result<Envelope, Box<dyn Error>> {
    Ok(Envelope {
        source: "web".parse()?,
        route: Route::Batch,
        origin: Origin::Live,
        content_type: "application/json".into(),
        client_ip: "203.0.113.7".into(),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36".into(),
        terms: Terms::USUAL,
        body: bytes::Bytes::from(body),
    })
}

/// The events of a person.
fn person(number: u64, mix: Mix) -> Vec<String> {
    let identify = |device: &str| {
        let identify = json!({
            "type": "identify",
            "timestamp": CAME.to_string(),
            "messageId": format!("{device}-{number}"),
            "userId": format!("reader-{number}"),
            "anonymousId": format!("{device}-{number}"),
            "traits": {
                "email": format!("reader-{number}@example.com"),
                "first_name": "Robin",
                "last_name": format!("Reader {number}"),
                "country": if number.is_multiple_of(5) { "AT" } else { "DE" },
                "newsletter": true,
                "plan": "standard",
                "visits": number % 97,
            },
            "context": {"locale": "de-DE", "consent": {"categoryPreferences": {"marketing": true}}},
        });
        identify.to_string()
    };
    let viewed = |device: &str, user: Option<&str>| {
        let viewed = json!({
            "type": "track",
            "event": "Product Viewed",
            "timestamp": CAME.to_string(),
            "messageId": format!("{device}-{number}-viewed"),
            "anonymousId": device,
            "userId": user,
            "properties": {"category": "Lighting", "price": 20},
        });
        viewed.to_string()
    };
    let mut events = Vec::new();
    let of_hundred = number % 100;
    if of_hundred < mix.devices {
        events.push(viewed(&format!("phone-{number}"), None));
        events.push(identify("phone"));
    }
    events.push(identify("browser"));
    if of_hundred >= 100 - mix.shared {
        // Two sign in on one tablet, one after the other.
        let tablet = format!("tablet-{}", number / 2);
        events.push(viewed(&tablet, Some(&format!("reader-{number}"))));
    }
    events
}
