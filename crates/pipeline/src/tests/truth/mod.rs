//! The truth in SQL (contract SEG-4): random worlds and random segments, asked of the running engine, of a fresh fold, and of
//! plain SQL over the rows of `clean.events`, on both sides of every instant at which anything may change.
//!
//! `ask` and `values` write the SQL from the words of the documentation; they share no evaluation with the code. Who was
//! whose is taken from the engine: identity has an oracle of its own.

mod ask;
mod calendar;
mod probes;
mod tables;
mod touched;
mod trees;
mod values;
mod worlds;

use super::{Bench, compare_states, main_space, oracle};
use crate::account_facts::AccountsOf;
use crate::person::PersonOf;
use ask::Ask;
use kith_expr::AggregateSpec;
use kith_identity::Component;
use kith_profile::Part;
use kith_segment::{Change, Condition, SegmentDefinition};
use kith_state::Keyspace;
use kith_types::{Event, RecordBody, Timestamp};
use probes::Delays;
use std::collections::{BTreeMap, BTreeSet};
use tables::{Epoch, Tables, text_of};
use worlds::World;

/// How many instants of a world are asked about at least, where it has so many.
const INSTANTS: usize = 30;
/// How many smaller worlds are tried once one differs.
const SHRINKING: usize = 400;

/// Who is in which segment: segment and profile.
type Members = BTreeSet<(String, String)>;

/// What a run of a world saw, to be sure that worlds are worth something.
#[derive(Default)]
struct Seen {
    instants: usize,
    changes: usize,
    by_clock: usize,
    merged: usize,
    /// Changes that what was said of an account brought to somebody whose event it was not.
    by_account: usize,
}

/// The definitions of a world, parsed.
struct Parsed {
    segments: BTreeMap<String, Condition>,
    computed: BTreeMap<String, AggregateSpec>,
}

impl Parsed {
    fn of(world: &World) -> Option<Self> {
        let mut parsed = Self {
            segments: BTreeMap::new(),
            computed: BTreeMap::new(),
        };
        for (kind, name, spec) in &world.documents {
            if kind == "segment" {
                let definition = SegmentDefinition::parse_spec(name.parse().unwrap(), spec).ok()?;
                parsed.segments.insert(name.clone(), definition.condition);
            } else {
                parsed
                    .computed
                    .insert(name.clone(), kith_expr::parse_aggregate(spec).ok()?);
            }
        }
        Some(parsed)
    }
}

/// The run of a world: what the engine took and told, and who was whose after each record.
struct Run {
    bench: Bench,
    events: Vec<Event>,
    epochs: Vec<Epoch>,
    decided_at: i64,
}

/// Takes a world's records one by one, timers firing on the way.
fn stream(world: &World) -> Run {
    let mut bench = Bench::new();
    let (mut epochs, mut decided_at) = (Vec::new(), i64::MAX);
    for (at, record) in world.records().iter().enumerate() {
        if at % 3 > 0 {
            bench.until(record.received_at);
        }
        if matches!(record.body, RecordBody::Decision(_)) {
            decided_at = record.received_at.as_micros();
        }
        bench.apply(record);
        bench.commit();
        if at % 4 == 1 {
            bench.sweep();
        }
        epochs.push(epoch(&bench, record.received_at.as_micros()));
    }
    while bench.sweep() {}
    let events = bench.events();
    Run {
        bench,
        events,
        epochs,
        decided_at,
    }
}

/// Who is whose as the store has it.
fn epoch(bench: &Bench, starts: i64) -> Epoch {
    let definitions = bench.engine.definitions(&main_space());
    let components: Vec<Component> = oracle::tree(&*bench.store, Keyspace::Components)
        .values()
        .map(|bytes| Component::decode(bytes).unwrap())
        .collect();
    let mut epoch = Epoch {
        starts,
        ..Epoch::default()
    };
    for profile in components.iter().flat_map(Component::profiles) {
        epoch.people.push(profile.id);
        let members = profile.members.iter();
        epoch
            .named
            .extend(members.map(|member| (profile.id, member.identifier.to_string())));
    }
    let events = bench.events();
    epoch.events = events.len();
    for (number, event) in events.iter().enumerate() {
        let evidence = definitions.as_ref().unwrap().read(event);
        let place = evidence.carrier().and_then(|carrier| {
            components
                .iter()
                .find_map(|component| component.place(carrier.hash, evidence.position()))
        });
        epoch.whose.extend(place.map(|place| (number, place.profile)));
    }
    epoch
}

/// The answers of SQL at each instant.
fn truth(tables: &Tables, run: &Run, parsed: &Parsed, instants: &BTreeSet<i64>) -> BTreeMap<i64, Members> {
    let db = &tables.db;
    let mut row = db.prepare_cached("INSERT OR IGNORE INTO moment VALUES (?)").unwrap();
    for at in instants {
        row.execute([at]).unwrap();
    }
    // Of records at one instant the last one speaks.
    db.execute_batch(&format!(
        "INSERT INTO asked SELECT m.now, p.epoch, p.profile FROM moment m JOIN person p
           ON p.epoch = (SELECT max(no) FROM epoch WHERE starts <= m.now) WHERE m.now >= {}",
        run.decided_at
    ))
    .unwrap();
    let mut found: BTreeMap<i64, Members> = instants.iter().map(|at| (*at, Members::new())).collect();
    for (name, condition) in &parsed.segments {
        let mut ask = Ask::new(&parsed.segments, &parsed.computed);
        let held = ask.condition(condition);
        db.execute_batch("DELETE FROM passes; DELETE FROM done;").unwrap();
        for statement in &ask.before {
            db.execute_batch(statement)
                .unwrap_or_else(|error| panic!("{error}: {statement}"));
        }
        let sql = format!("SELECT q.now, q.profile FROM asked q WHERE {held}");
        let mut statement = db.prepare(&sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .unwrap();
        for row in rows {
            let (at, profile) = row.unwrap();
            found.get_mut(&at).unwrap().insert((name.clone(), profile));
        }
    }
    found
}

/// The answers of a fresh fold at each instant, and what it says of the next change.
fn fresh(run: &Run, instants: &BTreeSet<i64>) -> Result<BTreeMap<i64, Members>, String> {
    let definitions = run.bench.engine.definitions(&main_space()).unwrap();
    let mut found: BTreeMap<i64, Members> = instants.iter().map(|at| (*at, Members::new())).collect();
    for (no, epoch) in run.epochs.iter().enumerate() {
        let until = run.epochs.get(no + 1).map_or(i64::MAX, |next| next.starts);
        let within: Vec<i64> = instants
            .range(epoch.starts.max(run.decided_at)..)
            .copied()
            .take_while(|at| *at < until)
            .collect();
        for profile in &epoch.people {
            let mut part = Part::default();
            for (event, _) in epoch.whose.iter().filter(|(_, of)| of == profile) {
                part.apply(&definitions.plan, &run.events[*event]);
            }
            let theirs = epoch.whose.iter().filter(|(_, of)| of == profile);
            let theirs = theirs.map(|(event, _)| &run.events[*event]);
            let accounts = oracle::accounts_of(&definitions, &run.events[..epoch.events], theirs);
            let named = epoch.named.iter().filter(|(of, _)| of == profile);
            let carriers: Vec<u128> = named
                .filter_map(|(_, text)| Some(kith_types::Identifier::parse(text)?.hash128()))
                .collect();
            let person = PersonOf {
                id: *profile,
                view: part.view(&definitions.plan, &definitions.trait_rules),
                carriers: &carriers,
                accounts: AccountsOf::new(definitions.accounts.as_ref(), &accounts),
                identity_limited: false,
            };
            for segment in &definitions.segments {
                let mut held: Option<(bool, Option<Timestamp>)> = None;
                for at in &within {
                    let answer = segment.compiled.evaluate(&person, Timestamp::from_micros(*at));
                    if let Some((was, next)) = held
                        && was != answer.member
                        && next.is_none_or(|next| next.as_micros() > *at)
                    {
                        return Err(format!(
                            "{} of {profile} turned at {at} unannounced: {next:?}",
                            segment.name
                        ));
                    }
                    held = Some((answer.member, answer.next_transition));
                    if answer.member {
                        let member = (segment.name.to_string(), text_of(*profile));
                        found.get_mut(at).unwrap().insert(member);
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The instants that are asked about, with the microsecond before each: all at which something was told, and of the others
/// as many as there is time for.
fn chosen(turns: &BTreeSet<i64>, changes: &[Change], decided_at: i64) -> BTreeSet<i64> {
    let every = turns.len().div_ceil(INSTANTS);
    let some = turns.iter().copied().enumerate().filter(|(at, _)| at % every == 0);
    let mut found: BTreeSet<i64> = some.map(|(_, at)| at).collect();
    found.extend(changes.iter().map(|change| change.at.as_micros()));
    found.extend([decided_at, turns.last().copied().unwrap_or(decided_at)]);
    found.iter().flat_map(|at| [at - 1, *at]).collect()
}

/// Members after every change up to each instant.
fn told(changes: &[Change], instants: &BTreeSet<i64>, turns: &BTreeSet<i64>) -> Result<BTreeMap<i64, Members>, String> {
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| change.at);
    let (mut members, mut found, mut sorted) = (Members::new(), BTreeMap::new(), sorted.into_iter().peekable());
    for at in instants {
        while let Some(change) = sorted.next_if(|change| change.at.as_micros() <= *at) {
            let one = (change.segment.to_string(), text_of(change.profile));
            let alternates = if change.entered {
                members.insert(one)
            } else {
                members.remove(&one)
            };
            if !alternates {
                return Err(format!("told of no change: {change:?}"));
            }
            if !turns.contains(&change.at.as_micros()) {
                return Err(format!(
                    "a change at an instant at which nothing can change: {change:?}"
                ));
            }
        }
        found.insert(*at, members.clone());
    }
    Ok(found)
}

fn compare(what: &str, one: &BTreeMap<i64, Members>, truth: &BTreeMap<i64, Members>) -> Result<(), String> {
    for (at, members) in truth {
        if one[at] != *members {
            let more: Vec<_> = one[at].difference(members).collect();
            let fewer: Vec<_> = members.difference(&one[at]).collect();
            return Err(format!(
                "{what} at {}: too many {more:?}, missing {fewer:?}",
                worlds::iso(*at)
            ));
        }
    }
    Ok(())
}

/// Runs one world; an error says what differs.
fn check(world: &World, tables: &Tables, seen: &mut Seen) -> Result<(), String> {
    let Some(parsed) = Parsed::of(world) else { return Ok(()) };
    let mut run = stream(world);
    if run.decided_at == i64::MAX || run.bench.engine.definitions(&main_space()).unwrap().segments.is_empty() {
        return Ok(());
    }
    let mut delays = Delays::default();
    parsed
        .segments
        .values()
        .for_each(|condition| delays.condition(condition));
    parsed.computed.values().for_each(|spec| delays.computed(spec));
    let first = run.epochs.first().map_or(0, |epoch| epoch.starts);
    let mut turns = delays.instants(&tables.db, &run.events, first.min(run.decided_at));
    turns.insert(run.decided_at);
    // The last records may have brought nothing that counts; no state is compared before they were taken.
    let last = run.epochs.last().map_or(0, |epoch| epoch.starts);
    let end = Timestamp::from_micros(turns.last().copied().unwrap_or(0).max(last) + 1);
    run.bench.until(end);
    run.bench.commit();
    let changes: Vec<Change> = run.bench.numbered().into_iter().map(|one| one.change).collect();
    let instants = chosen(&turns, &changes, run.decided_at);
    tables.fill(&run.events, &run.epochs, &delays.salts);
    let truth = truth(tables, &run, &parsed, &instants);
    compare("a fresh fold", &fresh(&run, &instants)?, &truth)?;
    compare("the stream", &told(&changes, &instants, &turns)?, &truth)?;

    let mut rebuilt = Bench::new();
    world.records().iter().for_each(|record| rebuilt.apply(record));
    rebuilt.settle(end);
    let report = compare_states(&*run.bench.store, &*rebuilt.store, end).map_err(|error| error.to_string())?;
    if report.different > 0 {
        return Err(format!("a rebuild: {:?}", report.differences));
    }
    seen.instants += instants.len();
    seen.changes += changes.len();
    let by_clock = changes
        .iter()
        .filter(|change| change.cause == kith_segment::Cause::Clock);
    seen.by_clock += by_clock.count();
    seen.by_account += changes
        .iter()
        .filter(|change| {
            let key = change.cause.event_key();
            let said = run.events.iter().position(|event| Some(event.key) == key);
            said.is_some_and(|at| {
                let epoch = run.epochs.iter().find(|epoch| epoch.events > at);
                let of = epoch.and_then(|epoch| epoch.whose.iter().find(|(event, _)| *event == at));
                run.events[at].group_id.is_some() && of.is_some_and(|(_, of)| *of != change.profile)
            })
        })
        .count();
    seen.merged += run
        .epochs
        .windows(2)
        .filter(|two| two[1].people.len() < two[0].people.len())
        .count();
    Ok(())
}

/// The smallest world found that still differs.
fn shrunk(world: World, tables: &Tables) -> World {
    let mut world = world;
    let mut left = SHRINKING;
    let mut fails = |world: &World| {
        left = left.saturating_sub(1);
        left > 0 && check(world, tables, &mut Seen::default()).is_err()
    };
    while let Some(smaller) = world.smaller().into_iter().find(&mut fails) {
        world = smaller;
    }
    world
}

fn check_all(seeds: std::ops::Range<u64>) -> Seen {
    let tables = Tables::new();
    let mut seen = Seen::default();
    for seed in seeds {
        let world = World::random(seed);
        if let Err(problem) = check(&world, &tables, &mut seen) {
            let small = shrunk(world, &tables);
            let again = check(&small, &tables, &mut seen).err().unwrap_or_default();
            panic!("seed {seed}: {problem}\nshrunk: {again}\n{small:#?}");
        }
    }
    seen
}

/// What the environment asks for: `KITH_WORLDS`, how many worlds, from the seed `KITH_SEED` on.
fn asked_for(name: &str, absent: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(absent)
}

#[test]
fn seg_4_stream_rebuild_and_sql_agree_at_every_instant() {
    let (from, count) = (asked_for("KITH_SEED", 0), asked_for("KITH_WORLDS", 3_000));
    let seen = check_all(from..from + count);
    // The worlds are worth something only if these things happen in them.
    let told = format!(
        "{} instants, {} changes, {} by the clock, {} by others' accounts, {} merges",
        seen.instants, seen.changes, seen.by_clock, seen.by_account, seen.merged
    );
    println!("{told}");
    if count >= 1_000 {
        assert!(
            seen.changes > 1_000 && seen.by_clock > 500 && seen.merged > 100 && seen.by_account > 30,
            "{told}"
        );
    }
}
