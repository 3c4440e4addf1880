//! Worlds by dice: a few people who share devices, events that come late, twice, at one instant, in the future or with odd
//! properties; definitions that are applied, edited and removed, rules for traits, and vetoes that come and go. All spans are
//! whole units, so that much meets a boundary.

use crate::documents::Document;
use crate::time::{iso, moment};
use crate::trees::{self, Dice};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value as Json, json};

/// What a request brings.
#[derive(Clone, Debug)]
pub struct Step {
    /// Tells it from the others, also once some are gone.
    pub id: usize,
    /// When it is received.
    pub received: i64,
    /// Whether it is one of an import.
    pub import: bool,
    /// Who sends it.
    pub source: &'static str,
    /// What it brings.
    pub events: Vec<Json>,
}

/// What is not to be taken for evidence.
#[derive(Clone, Debug, PartialEq)]
pub enum VetoOf {
    /// An event of a step, by its index, does not link an identifier.
    Event(usize, u32, &'static str),
    /// Two identifiers are not one person.
    Pair(&'static str, &'static str),
}

/// What an operator decides.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Definitions are applied.
    Define(Vec<Document>),
    /// Vetoes are added, others removed.
    Veto(Vec<VetoOf>, Vec<VetoOf>),
}

/// What the log takes.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A request.
    Step(&'a Step),
    /// A decision.
    Decision(&'a Decision),
}

/// A history and what is decided in it.
#[derive(Clone, Debug)]
pub struct World {
    steps: Vec<Step>,
    /// Each with the number of steps before it.
    decisions: Vec<(usize, Decision)>,
}

/// The length of a span, and how documents write it.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    pub(crate) micros: i64,
    pub(crate) word: &'static str,
    pub(crate) factor: i64,
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
    pub(crate) fn span(self, count: i64) -> String {
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

impl World {
    /// The world of a seed, with so many segments.
    #[must_use]
    pub fn random(seed: u64, trees: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let unit = *UNITS.choose(&mut random).unwrap();
        let base = moment(BASES.choose(&mut random).unwrap()).unwrap();
        let mut now = base;
        let far = random.random_bool(0.1);
        let mut steps = Vec::new();
        for id in 0..random.random_range(3..12) {
            now += *[0, 0, 1, 2, 2, 4, 9].choose(&mut random).unwrap() * unit.micros / 2;
            if random.random_bool(0.1) {
                now += 1_000;
            }
            let import = random.random_bool(if far { 0.3 } else { 0.1 });
            let events = (0..*[1, 1, 1, 2, 3].choose(&mut random).unwrap())
                .map(|_| one_event(&mut random, now, unit, import && far))
                .collect();
            steps.push(Step {
                id,
                received: now,
                import,
                source: ["web", "web", "crm"].choose(&mut random).unwrap(),
                events,
            });
        }
        let decided = if random.random_bool(0.5) {
            0
        } else {
            random.random_range(0..=steps.len())
        };
        let mut dice = Dice {
            random: &mut random,
            unit,
            base,
            calendars: !far,
        };
        let mut decisions = vec![(decided, Decision::Define(trees::documents(&mut dice, trees)))];
        while dice.random.random_bool(0.35) {
            let at = dice.random.random_range(decided..=steps.len());
            decisions.push((at, Decision::Define(trees::edits(&mut dice))));
        }
        decisions.extend(some_vetoes(&mut random, &steps));
        // Those of one place stay in the order in which they were thrown.
        decisions.sort_by_key(|(at, _)| *at);
        Self { steps, decisions }
    }

    /// What the log takes, in its order, each with the instant at which it does.
    #[must_use]
    pub fn items(&self) -> Vec<(i64, Item<'_>)> {
        let mut items = Vec::new();
        let mut last = self.steps.first().map_or(0, |step| step.received);
        for at in 0..=self.steps.len() {
            let step = self.steps.get(at);
            let between = step.filter(|_| at > 0).map_or(last, |step| (last + step.received) / 2);
            let here = self.decisions.iter().filter(|(place, _)| *place == at);
            items.extend(here.map(|(_, decision)| (between, Item::Decision(decision))));
            let Some(step) = step else { break };
            last = step.received;
            items.push((step.received, Item::Step(step)));
        }
        items
    }

    /// The place of a step among the items.
    #[must_use]
    pub fn place_of(&self, id: usize) -> Option<usize> {
        let is = |item: &Item<'_>| matches!(item, Item::Step(step) if step.id == id);
        self.items().iter().position(|(_, item)| is(item))
    }

    /// Worlds with one thing less, larger cuts first.
    #[must_use]
    pub fn smaller(&self) -> Vec<Self> {
        let mut found = Vec::new();
        let mut cut = |change: &dyn Fn(&mut Self)| {
            let mut cut = self.clone();
            change(&mut cut);
            found.push(cut);
        };
        for at in 0..self.steps.len() {
            cut(&|world| {
                world.steps.remove(at);
                for (place, _) in &mut world.decisions {
                    *place -= usize::from(*place > at);
                }
            });
            for event in 0..self.steps[at].events.len() {
                cut(&|world| drop(world.steps[at].events.remove(event)));
            }
        }
        for (number, (place, decision)) in self.decisions.iter().enumerate() {
            cut(&|world| drop(world.decisions.remove(number)));
            if number == 0 && *place > 0 {
                cut(&|world| world.decisions[0].0 = 0);
            }
            let Decision::Define(documents) = decision else {
                continue;
            };
            for (at, document) in documents.iter().enumerate() {
                cut(&|world| drop(documents_of(world, number).remove(at)));
                for condition in trees::smaller(&document.spec["where"]) {
                    cut(&|world| documents_of(world, number)[at].spec["where"] = condition.clone());
                }
            }
        }
        found
    }
}

fn documents_of(world: &mut World, decision: usize) -> &mut Vec<Document> {
    match &mut world.decisions[decision].1 {
        Decision::Define(documents) => documents,
        Decision::Veto(..) => panic!("a veto has no documents"),
    }
}

impl Step {
    /// The body of the request.
    #[must_use]
    pub fn body(&self) -> String {
        let mut body = json!({"sentAt": iso(self.received), "batch": self.events}).to_string();
        for exact in EXACT {
            body = body.replace(&format!("\"#{exact}\""), exact);
        }
        body
    }
}

/// Vetoes that come, of which some go again.
fn some_vetoes(random: &mut ChaCha8Rng, steps: &[Step]) -> Vec<(usize, Decision)> {
    const NAMES: [&str; 5] = [
        "user_id:u1",
        "user_id:u2",
        "anonymous_id:a1",
        "anonymous_id:a2",
        "email:m1@x.org",
    ];
    let mut found = Vec::new();
    let mut standing: Vec<(usize, VetoOf)> = Vec::new();
    let mut least = 0;
    while random.random_bool(0.4) {
        let at = random.random_range(least..=steps.len());
        least = at;
        let name = *NAMES.choose(random).unwrap();
        let other = *NAMES.choose(random).unwrap();
        let added = if random.random_bool(0.7) || name == other {
            let step = steps.choose(random).unwrap();
            VetoOf::Event(step.id, random.random_range(0..step.events.len()) as u32, name)
        } else {
            VetoOf::Pair(name, other)
        };
        standing.retain(|(_, veto)| *veto != added);
        let gone = random.random_bool(0.3) && !standing.is_empty();
        let removed = gone.then(|| standing.swap_remove(random.random_range(0..standing.len())).1);
        found.push((at, Decision::Veto(vec![added.clone()], removed.into_iter().collect())));
        standing.push((at, added));
    }
    for (since, veto) in standing {
        if random.random_bool(0.4) {
            let at = random.random_range(since.max(least)..=steps.len());
            found.push((at, Decision::Veto(Vec::new(), vec![veto])));
        }
    }
    found
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
