//! The truth in SQL over the tables (contract SEG-4).
//!
//! What publishing has written is all that the oracle gets: events from `clean.events`, whose they are from the intervals of
//! `curated.identifiers`, definitions as documents. It must find the members that `curated.memberships` has at the instant of
//! the tables, and those that `curated.membership_changes` tells at every other one.

mod read;

use super::{Run, World, space};
use kith_oracle::{Decision, Delays, Epoch, InForce, Item, Members, Tables, VetoOf, iso};
use kith_pipeline::{DEFINITIONS_APPLIED, IDENTITY_VETOED, Veto, VetoDecision};
use kith_types::{Address, Envelope, Identifier, ManualClock, Origin, RecordBody, Route, Timestamp};
use read::{Event, Told};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How many segments each world has. A world through the tables is dear, a segment asked of it is not.
const TREES: usize = 20;
/// Worlds in memory (`KITH_WORLDS`, 3,000 unless given) for each world that goes through the tables.
const FOR_EACH: u64 = 150;
/// How many instants of a world are asked about at least, where it has so many.
const INSTANTS: usize = 30;
const PATIENCE: Duration = Duration::from_secs(120);
/// How long after the last record the tables are written once more: longer than any span that is not meant to outlast all.
const AFTER: i64 = 400 * 86_400_000_000;

#[derive(Debug, Default)]
struct Seen {
    instants: usize,
    /// Memberships that the table had when it was written.
    members: usize,
    changes: usize,
    written: usize,
    vetoes: usize,
    edits: usize,
}

/// The tables of memberships as they were written at an instant.
struct Written {
    at: i64,
    members: Members,
}

/// A world on its way through the log into the tables.
struct Passage<'a> {
    world: &'a kith_oracle::World,
    parts: World,
    clock: Arc<ManualClock>,
    run: Run,
    /// Where the log has put each item.
    places: Vec<Address>,
    in_force: Vec<InForce>,
    epochs: Vec<Epoch>,
    written: Vec<Written>,
}

impl<'a> Passage<'a> {
    fn new(world: &'a kith_oracle::World) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(world.items()[0].0)));
        let mut parts = World::new();
        parts.clock = Arc::clone(&clock) as _;
        let run = parts.start();
        Self {
            world,
            parts,
            clock,
            run,
            places: Vec::new(),
            in_force: vec![InForce::default()],
            epochs: Vec::new(),
            written: Vec::new(),
        }
    }

    fn append(&mut self, received: i64, item: Item<'_>) {
        self.clock.set(Timestamp::from_micros(received));
        let body = match item {
            Item::Step(step) => RecordBody::Envelope(Envelope {
                source: step.source.parse().unwrap(),
                route: Route::Batch,
                origin: if step.import { Origin::Import } else { Origin::Live },
                content_type: "application/json".into(),
                client_ip: "".into(),
                user_agent: "".into(),
                terms: kith_types::Terms::USUAL,
                body: step.body().into(),
            }),
            Item::Decision(Decision::Define(documents)) => {
                let last = self.in_force.last().unwrap();
                self.in_force.push(last.with(documents));
                let (removed, applied): (Vec<_>, Vec<_>) = documents
                    .iter()
                    .map(|one| json!({"kind": one.kind, "name": one.name, "spec": one.spec}))
                    .partition(|one| one["spec"].is_null());
                let removed: Vec<_> = (removed
                    .iter()
                    .map(|one| json!({"kind": one["kind"], "name": one["name"]})))
                .collect();
                let document =
                    json!({"format": 1, "author": "jo", "reason": "", "applied": applied, "removed": removed});
                decision(DEFINITIONS_APPLIED, document.to_string())
            }
            Item::Decision(Decision::Veto(added, removed)) => {
                let [added, removed] = [added, removed].map(|all| all.iter().map(|one| self.veto(one)).collect());
                let decided = VetoDecision::new("jo", "", added, removed);
                decision(IDENTITY_VETOED, decided.to_json().unwrap())
            }
        };
        let appended = self.run.log.append_blocking(&space(), &body).unwrap();
        assert_eq!(appended.received_at.as_micros(), received, "the clock stands");
        self.places.push(appended.address);
        let taken = self.run.pipeline.wait_committed(self.run.log.durable_end(), PATIENCE);
        assert!(taken && self.run.pipeline.wait_swept(PATIENCE));
    }

    /// An event that comes later has the place that it will have.
    fn veto(&self, of: &VetoOf) -> Veto {
        let id = |text: &str| Identifier::parse(text).unwrap();
        match of {
            VetoOf::Event(step, index, identifier) => {
                let place = self.world.place_of(*step).unwrap();
                let first = self.places.first().copied().unwrap_or(Address {
                    generation: 1,
                    partition: 0,
                    sequence: 0,
                    index: 0,
                });
                let event = Address {
                    sequence: first.sequence + place as u64,
                    index: *index,
                    ..first
                };
                assert!(self.places.get(place).is_none_or(|at| at.sequence == event.sequence));
                Veto::Event {
                    event,
                    identifier: id(identifier),
                }
            }
            VetoOf::Pair(one, other) => Veto::pair(id(one), id(other)),
        }
    }

    /// Has the tables written at an instant, and reads them.
    fn write(&mut self, at: i64) {
        self.clock.set(Timestamp::from_micros(at));
        self.parts.flush(&self.run).unwrap();
        let people = self.people();
        if let Some(updated) = people.values().next() {
            assert_eq!(*updated, at, "the tables say when they were written");
        }
        let members = self.rows("memberships", |row| (row.text("segment"), row.person()));
        self.written.push(Written {
            at,
            members: members.into_iter().collect(),
        });
    }

    /// Who is whose by the tables as they are now, from an instant on.
    fn note_epoch(&mut self, starts: i64) {
        let events = self.events();
        let held = self.rows("identifiers", read::Held::of);
        let holders = events.iter().enumerate().filter_map(|(number, event)| {
            let holder = event.holder(&held)?;
            Some((number, holder.to_owned()))
        });
        self.epochs.push(Epoch {
            starts,
            events: events.len(),
            in_force: self.in_force.len() - 1,
            whose: holders.collect(),
            people: self.people().into_keys().collect(),
            named: held.iter().map(read::Held::named).collect(),
        });
    }

    /// Everybody in the table, and as of when.
    fn people(&self) -> BTreeMap<String, i64> {
        self.rows("profiles", |row| (row.person(), row.time("updated_at").unwrap()))
            .into_iter()
            .collect()
    }

    fn events(&self) -> Vec<Event> {
        let mut events = read::rows(&self.parts, &self.run, "clean", "events", Event::of);
        events.sort_by_key(|event| (event.row.sequence, event.row.index));
        events
    }

    fn rows<T>(&self, table: &str, of: impl Fn(&read::Row<'_>) -> T) -> Vec<T> {
        read::rows(&self.parts, &self.run, "curated", table, of)
    }
}

fn decision(kind: &str, document: String) -> RecordBody {
    RecordBody::Decision(kith_types::Decision {
        kind: kind.into(),
        document: document.into(),
    })
}

/// The members after every change that the table tells, at each instant.
fn told(changes: &[Told], instants: &BTreeSet<i64>) -> BTreeMap<i64, Members> {
    let mut members = Members::new();
    let mut changes = changes.iter().peekable();
    let mut found = BTreeMap::new();
    for at in instants {
        while let Some(change) = changes.next_if(|change| change.at <= *at) {
            let alternates = match change.entered {
                true => members.insert(change.member.clone()),
                false => members.remove(&change.member),
            };
            assert!(alternates, "told of no change: {change:?}");
        }
        found.insert(*at, members.clone());
    }
    found
}

/// Some of the instants, and all at which something was told or decided or a table was written, each with the microsecond
/// before it.
fn chosen(turns: &BTreeSet<i64>, changes: &[Told], passage: &Passage<'_>) -> BTreeSet<i64> {
    let every = turns.len().div_ceil(INSTANTS).max(1);
    let some = turns.iter().copied().enumerate().filter(|(at, _)| at % every == 0);
    let mut found: BTreeSet<i64> = some.map(|(_, at)| at).collect();
    found.extend(changes.iter().map(|change| change.at));
    found.extend(passage.epochs.iter().map(|epoch| epoch.starts));
    found.extend(passage.written.iter().map(|written| written.at));
    found.iter().flat_map(|at| [at - 1, *at]).collect()
}

fn check(seed: u64, tables: &Tables, seen: &mut Seen) {
    let world = kith_oracle::World::random(seed, TREES);
    let items = world.items();
    let mut passage = Passage::new(&world);
    for (number, (received, item)) in items.iter().enumerate() {
        passage.append(*received, *item);
        // Written at the instant of the record, or somewhere before the next one.
        let next = items.get(number + 1).map_or(*received, |(next, _)| *next);
        passage.write(received + (next - received) * (number as i64 % 3) / 3);
        passage.note_epoch(*received);
        if let Item::Decision(decision) = item {
            match decision {
                Decision::Define(_) => seen.edits += usize::from(passage.in_force.len() > 2),
                Decision::Veto(..) => seen.vetoes += 1,
            }
        }
    }
    let events = passage.events();
    let rows: Vec<_> = events.into_iter().map(|event| event.row).collect();
    tables.fill(&rows);
    let delays = Delays::of(&passage.in_force);
    tables.fill_epochs(&passage.epochs, &delays);
    let last = items.last().map_or(0, |(received, _)| *received);
    let mut turns = delays.instants(tables, items[0].0);
    turns.retain(|at| *at < last + AFTER);
    let end = turns.last().copied().unwrap_or(0).max(last) + 1;
    passage.clock.set(Timestamp::from_micros(end));
    assert!(
        passage
            .run
            .pipeline
            .wait_clock(Timestamp::from_micros(end - 1), PATIENCE)
    );
    passage.write(end);

    let mut changes = passage.rows("membership_changes", Told::of);
    changes.sort_by_key(|change| (change.at, change.number));
    let instants = chosen(&turns, &changes, &passage);
    let truth = tables.members(&passage.in_force, &instants);
    let differ = |what: &str, at: i64, members: &Members| {
        let (more, fewer): (Vec<_>, Vec<_>) = (
            members.difference(&truth[&at]).collect(),
            truth[&at].difference(members).collect(),
        );
        assert!(
            more.is_empty() && fewer.is_empty(),
            "seed {seed}: {what} at {}: too many {more:?}, missing {fewer:?}\n{world:#?}",
            iso(at)
        );
    };
    for (at, members) in told(&changes, &instants) {
        differ("curated.membership_changes", at, &members);
    }
    for (number, written) in passage.written.iter().enumerate() {
        // Of records at one instant the last one speaks.
        if passage
            .epochs
            .get(number + 1)
            .is_none_or(|next| next.starts > written.at)
        {
            differ("curated.memberships", written.at, &written.members);
            seen.members += written.members.len();
            seen.written += 1;
        }
    }
    seen.instants += instants.len();
    seen.changes += changes.len();
    passage.run.stop();
}

/// What the environment asks for.
fn asked_for(name: &str, absent: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(absent)
}

#[test]
fn seg_4_sql_over_the_tables_finds_the_members_that_the_tables_have() {
    let (from, count) = (asked_for("KITH_SEED", 0), asked_for("KITH_WORLDS", 3_000) / FOR_EACH);
    let (tables, mut seen) = (Tables::new(), Seen::default());
    for seed in from..from + count {
        check(seed, &tables, &mut seen);
    }
    println!("{count} worlds of {TREES} segments: {seen:?}");
    if count >= 20 {
        assert!(
            seen.members > 500 && seen.changes > 300 && seen.written > 60,
            "{seen:?}"
        );
        assert!(seen.edits > 5 && seen.vetoes > 1, "{seen:?}");
    }
}
