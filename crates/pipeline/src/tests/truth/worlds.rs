//! Worlds by dice: a few people who share devices, events that come late, twice, at one instant, in the future or with odd
//! properties, and the instant at which definitions are applied. All spans are whole units, so that much meets a boundary.

use super::trees;
use crate::tests::record_of;
use kith_types::{Origin, Record, RecordBody, Timestamp};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};

/// What a request brings.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) received: i64,
    pub(super) import: bool,
    pub(super) events: Vec<Json>,
}

/// A history and the definitions that are applied in it.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) steps: Vec<Step>,
    /// Kind, name and spec.
    pub(super) documents: Vec<(String, String, Json)>,
    /// Before which step they are applied.
    pub(super) decided: usize,
}

/// The length of a span, and how documents write it.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) micros: i64,
    pub(super) word: &'static str,
    pub(super) factor: i64,
}

const UNITS: [Unit; 4] = [
    Unit {
        micros: 1_000_000,
        word: "s",
        factor: 1,
    },
    Unit {
        micros: 60_000_000,
        word: "m",
        factor: 1,
    },
    Unit {
        micros: 3_600_000_000,
        word: "h",
        factor: 1,
    },
    Unit {
        micros: 43_200_000_000,
        word: "h",
        factor: 12,
    },
];

impl Unit {
    pub(super) fn span(self, count: i64) -> String {
        format!("{}{}", count * self.factor, self.word)
    }
}

/// Instants around which something happens in a calendar, and one around which nothing does.
const BASES: [&str; 7] = [
    "2023-11-14T22:13:20Z",
    "2024-03-30T20:00:00Z",
    "2024-10-26T21:30:00Z",
    "2024-03-10T02:00:00Z",
    "2024-11-03T01:30:00Z",
    "2024-12-31T12:00:00Z",
    "2024-02-29T18:00:00Z",
];

/// Numbers that binary fractions do not hold; JSON text of the requests is given them after it is written.
const EXACT: [&str; 5] = [
    "0.1",
    "0.2",
    "12345678901234567.000000000000000001",
    "-12345678901234567.000000000000000003",
    "9007199254740993",
];

pub(super) fn iso(micros: i64) -> String {
    Timestamp::from_micros(micros).to_string()
}

impl World {
    pub(super) fn random(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let unit = *UNITS.choose(&mut random).unwrap();
        let base = BASES.choose(&mut random).unwrap();
        let mut now = Timestamp::parse(base).unwrap().as_micros();
        let base = now;
        let far = random.random_bool(0.1);
        let mut steps = Vec::new();
        for _ in 0..random.random_range(3..12) {
            now += *[0, 0, 1, 2, 2, 4, 9].choose(&mut random).unwrap() * unit.micros / 2;
            if random.random_bool(0.1) {
                now += 1_000;
            }
            let import = random.random_bool(if far { 0.3 } else { 0.1 });
            let events = (0..*[1, 1, 1, 2, 3].choose(&mut random).unwrap())
                .map(|_| one_event(&mut random, now, unit, import && far))
                .collect();
            steps.push(Step {
                received: now,
                import,
                events,
            });
        }
        let decided = if random.random_bool(0.5) {
            0
        } else {
            random.random_range(0..=steps.len())
        };
        let documents = trees::documents(&mut random, unit, base, !far);
        Self {
            steps,
            documents,
            decided,
        }
    }

    /// The records, in the order of the log; the decision is one of them.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut last = self.steps.first().map_or(0, |step| step.received);
        for at in 0..=self.steps.len() {
            let step = self.steps.get(at);
            if at == self.decided {
                let received = if at == 0 {
                    last
                } else {
                    step.map_or(last, |step| (last + step.received) / 2)
                };
                let documents: Vec<_> = self
                    .documents
                    .iter()
                    .map(|(kind, name, spec)| (kind.as_str(), name.as_str(), spec.clone()))
                    .collect();
                let mut record = crate::tests::decision(records.len() as u64, 0, &documents);
                record.received_at = Timestamp::from_micros(received);
                records.push(record);
            }
            let Some(step) = step else { break };
            last = step.received;
            let mut body = json!({"sentAt": iso(step.received), "batch": step.events}).to_string();
            for exact in EXACT {
                body = body.replace(&format!("\"#{exact}\""), exact);
            }
            let received = Timestamp::from_micros(step.received);
            let mut record = record_of("main", records.len() as u64, received, &body);
            if let (true, RecordBody::Envelope(envelope)) = (step.import, &mut record.body) {
                envelope.origin = Origin::Import;
            }
            records.push(record);
        }
        records
    }

    /// Worlds with one thing less, larger cuts first.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut found = Vec::new();
        for at in 0..self.steps.len() {
            let mut cut = self.clone();
            cut.steps.remove(at);
            cut.decided -= usize::from(cut.decided > at);
            found.push(cut);
            for event in 0..self.steps[at].events.len() {
                let mut cut = self.clone();
                cut.steps[at].events.remove(event);
                found.push(cut);
            }
        }
        if self.decided > 0 {
            found.push(Self {
                decided: 0,
                ..self.clone()
            });
        }
        for at in 0..self.documents.len() {
            let mut cut = self.clone();
            cut.documents.remove(at);
            found.push(cut);
            for condition in trees::smaller(&self.documents[at].2["where"]) {
                let mut cut = self.clone();
                cut.documents[at].2["where"] = condition;
                found.push(cut);
            }
        }
        found
    }
}

fn one_event(random: &mut ChaCha8Rng, received: i64, unit: Unit, far: bool) -> Json {
    let late = *[0, 0, 0, 1, 2, 3, 5, 8].choose(random).unwrap() * unit.micros / 2;
    let mut time = iso(received - late);
    if random.random_bool(0.1) {
        time = iso(received + (unit.micros * random.random_range(1..4)).min(299_000_000));
    }
    if far {
        let times = [
            "9999-12-31T23:59:59.999Z",
            "9999-12-30T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "2200-01-01",
        ];
        time = (*times.choose(random).unwrap()).to_owned();
    }
    let name = *["A", "B", "B", "C"].choose(random).unwrap();
    let kind = *["track", "track", "track", "track", "identify", "page", "group", "group"]
        .choose(random)
        .unwrap();
    let mut event = json!({"type": kind, "timestamp": time, "messageId": format!("m{}", random.random_range(0..60))});
    match kind {
        "track" => event["event"] = json!(name),
        "page" => event["name"] = json!(name),
        "group" => event["groupId"] = json!(["g", "h"].choose(random).unwrap()),
        _ if random.random_bool(0.1) => event["groupId"] = json!(["g", "h"].choose(random).unwrap()),
        _ => {}
    }
    match random.random_range(0..8) {
        0..3 => event["userId"] = json!(["u1", "u2"].choose(random).unwrap()),
        3..6 => event["anonymousId"] = json!(["a1", "a2"].choose(random).unwrap()),
        6 => {
            event["userId"] = json!(["u1", "u2"].choose(random).unwrap());
            event["anonymousId"] = json!(["a1", "a2"].choose(random).unwrap());
        }
        _ => {
            event["context"]["traits"]["email"] = json!("m1@x.org");
            if random.random_bool(0.5) {
                event["userId"] = json!("u1");
            }
        }
    }
    if matches!(kind, "identify" | "group") || random.random_bool(0.1) {
        event["traits"] = some_traits(random, received, unit);
    }
    event["properties"] = some_properties(random);
    if random.random_bool(0.25) {
        let answer = [json!(true), json!(false), json!("yes"), Json::Null]
            .choose(random)
            .unwrap()
            .clone();
        event["context"]["consent"] = json!({"categoryPreferences": {"marketing": answer}});
    }
    if random.random_bool(0.2) {
        let path = *["/shop/1", "/shop", "/"].choose(random).unwrap();
        event["context"]["page"] = json!({ "path": path });
    }
    event
}

fn number(random: &mut ChaCha8Rng) -> Json {
    match random.random_range(0..10) {
        0..5 => json!(random.random_range(-1..4)),
        5..7 => json!(format!("#{}", EXACT.choose(random).unwrap())),
        7 => json!("2"),
        8 => Json::Null,
        _ => json!(true),
    }
}

fn place(random: &mut ChaCha8Rng) -> Json {
    [
        json!({"latitude": 52.52, "longitude": 13.405}),
        json!({"lat": 52.5163, "lng": 13.3777}),
        json!({"lat": 48.1351, "lon": 11.582}),
        json!({"lat": 91, "lon": 0}),
        json!("52.52,13.405"),
    ]
    .choose(random)
    .unwrap()
    .clone()
}

fn some_properties(random: &mut ChaCha8Rng) -> Json {
    let mut all = json!({});
    if random.random_bool(0.7) {
        all["total"] = number(random);
    }
    if random.random_bool(0.5) {
        all["cart"] = [json!("x"), json!("y"), json!(1), Json::Null]
            .choose(random)
            .unwrap()
            .clone();
    }
    if random.random_bool(0.3) {
        all["coupon"] = json!(["SPRING1", "spring", "", "1SPRING", "Ünï"].choose(random).unwrap());
    }
    if random.random_bool(0.2) {
        all["shop"] = [json!({"city": "Bonn"}), json!("Bonn"), json!({"city": null})]
            .choose(random)
            .unwrap()
            .clone();
    }
    if random.random_bool(0.1) {
        all["shop.city"] = [json!("Ulm"), Json::Null].choose(random).unwrap().clone();
    }
    if random.random_bool(0.2) {
        all["tags"] = [json!(["a", 1]), json!([]), json!(["b", "#0.1"]), json!("a b")]
            .choose(random)
            .unwrap()
            .clone();
    }
    if random.random_bool(0.2) {
        all["spot"] = place(random);
    }
    if random.random_bool(0.15) {
        all["currency"] = [json!("EUR"), json!("eur"), json!("USD"), json!(7)]
            .choose(random)
            .unwrap()
            .clone();
    }
    all
}

fn some_traits(random: &mut ChaCha8Rng, received: i64, unit: Unit) -> Json {
    let mut all = json!({});
    if random.random_bool(0.5) {
        all["plan"] = [
            json!("pro"),
            json!("free"),
            json!(""),
            json!("  "),
            Json::Null,
            json!(1),
            json!(false),
        ]
        .choose(random)
        .unwrap()
        .clone();
    }
    if random.random_bool(0.4) {
        let whole = received + unit.micros * random.random_range(-3..4);
        let times = [
            json!(iso(whole)),
            json!("2024-03-31"),
            json!("9999-12-31T23:59:59Z"),
            json!("soon"),
            json!(5),
        ];
        all["ends"] = times.choose(random).unwrap().clone();
    }
    if random.random_bool(0.3) {
        all["address"] = [json!({"city": "Bonn"}), json!({"city": null}), json!("Bonn")]
            .choose(random)
            .unwrap()
            .clone();
    }
    if random.random_bool(0.1) {
        all["address.city"] = json!("Ulm");
    }
    if random.random_bool(0.2) {
        all["home"] = place(random);
    }
    if random.random_bool(0.2) {
        all["tags"] = [json!(["a", 1]), json!([]), json!(["#0.1", null])]
            .choose(random)
            .unwrap()
            .clone();
    }
    all
}
