//! The truth in SQL (contract SEG-4): random worlds and random segments, asked of the running engine, of a fresh fold, and of
//! plain SQL over the rows of `clean.events`, on both sides of every instant at which anything may change.
//!
//! The oracle, `kith-oracle`, reads documents and writes the SQL from the words of the documentation; it shares no code with
//! Kith. Who was whose is taken from the engine here: identity has an oracle of its own. `kith-publish` asks the same oracle of
//! the tables.

mod records;
mod touched;

use super::{Bench, compare_states, main_space, oracle};
use crate::account_facts::AccountsOf;
use crate::definitions::DefinitionDocument;
use crate::person::PersonOf;
use crate::{Definitions, check_definitions};
use kith_identity::Component;
use kith_oracle::{Decision, Delays, Epoch, EventRow, InForce, Item, Members, Tables, World, iso};
use kith_profile::Part;
use kith_segment::Change;
use kith_state::Keyspace;
use kith_types::{Event, ProfileId, Record, RecordBody, Timestamp};
use records::{records, row_of};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many instants of a world are asked about at least, where it has so many.
const INSTANTS: usize = 30;
/// How many smaller worlds are tried once one differs.
const SHRINKING: usize = 400;

/// What a run of a world saw, to be sure that worlds are worth something.
#[derive(Default)]
struct Seen {
    worlds: usize,
    instants: usize,
    changes: usize,
    by_clock: usize,
    merged: usize,
    /// Changes that what was said of an account brought to somebody whose event it was not.
    by_account: usize,
    /// Changes that decisions brought: the first definitions, edits of them, and vetoes.
    by_edit: usize,
    by_veto: usize,
}

/// What is in force from the first item on and after each decision about definitions; none where Kith refuses some document.
fn definitions_of(world: &World) -> Option<Vec<InForce>> {
    let (mut standing, mut found) = (Vec::<DefinitionDocument>::new(), vec![InForce::default()]);
    for (_, item) in world.items() {
        if let Item::Decision(Decision::Define(documents)) = item {
            let changes: Vec<DefinitionDocument> = documents
                .iter()
                .map(|one| DefinitionDocument {
                    kind: one.kind.as_str().into(),
                    name: one.name.as_str().into(),
                    spec: (!one.spec.is_null()).then(|| one.spec.clone()),
                })
                .collect();
            check_definitions(&standing, &changes).ok()?;
            standing.retain(|old| {
                !changes
                    .iter()
                    .any(|new| (&new.kind, &new.name) == (&old.kind, &old.name))
            });
            standing.extend(changes.into_iter().filter(|new| new.spec.is_some()));
            found.push(found.last()?.with(documents));
        }
    }
    Some(found)
}

/// The run of a world: what the engine took and told, and who was whose after each record.
struct Run {
    bench: Bench,
    events: Vec<Event>,
    epochs: Vec<Epoch>,
    /// The definitions of each epoch.
    definitions: Vec<Option<Arc<Definitions>>>,
    decided: BTreeSet<i64>,
}

/// Takes a world's records one by one, timers firing on the way.
fn stream(records: &[Record]) -> Run {
    let mut bench = Bench::new();
    let (mut epochs, mut definitions, mut decided) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut in_force = 0;
    for (at, record) in records.iter().enumerate() {
        if at % 3 > 0 {
            bench.until(record.received_at);
        }
        if let RecordBody::Decision(decision) = &record.body {
            decided.insert(record.received_at.as_micros());
            in_force += usize::from(&*decision.kind == crate::DEFINITIONS_APPLIED);
        }
        bench.apply(record);
        bench.commit();
        if at % 4 == 1 {
            bench.sweep();
        }
        epochs.push(Epoch {
            starts: record.received_at.as_micros(),
            in_force,
            ..epoch(&bench)
        });
        definitions.push(bench.engine.definitions(&main_space()));
    }
    while bench.sweep() {}
    let events = bench.events();
    Run {
        bench,
        events,
        epochs,
        definitions,
        decided,
    }
}

/// Who is whose as the store has it.
fn epoch(bench: &Bench) -> Epoch {
    let components: Vec<Component> = oracle::tree(&*bench.store, Keyspace::Components)
        .values()
        .map(|bytes| Component::decode(bytes).unwrap())
        .collect();
    let mut epoch = Epoch::default();
    for profile in components.iter().flat_map(Component::profiles) {
        let id = text_of(profile.id);
        let members = profile.members.iter();
        epoch
            .named
            .extend(members.map(|member| (id.clone(), member.identifier.to_string())));
        epoch.people.push(id);
    }
    let events = bench.events();
    epoch.events = events.len();
    let Some(definitions) = bench.engine.definitions(&main_space()) else {
        return epoch;
    };
    for (number, event) in events.iter().enumerate() {
        let evidence = definitions.read(event);
        let place = evidence.carrier().and_then(|carrier| {
            components
                .iter()
                .find_map(|component| component.place(carrier.hash, evidence.position()))
        });
        epoch.whose.extend(place.map(|place| (number, text_of(place.profile))));
    }
    epoch
}

/// A profile id as the oracle has it.
fn text_of(profile: ProfileId) -> String {
    format!("{:032x}", profile.0)
}

/// The answers of a fresh fold at each instant, and what it says of the next change.
fn fresh(run: &Run, instants: &BTreeSet<i64>) -> Result<BTreeMap<i64, Members>, String> {
    let mut found: BTreeMap<i64, Members> = instants.iter().map(|at| (*at, Members::new())).collect();
    for (no, epoch) in run.epochs.iter().enumerate() {
        let until = run.epochs.get(no + 1).map_or(i64::MAX, |next| next.starts);
        let within: Vec<i64> = instants
            .range(epoch.starts..)
            .copied()
            .take_while(|at| *at < until)
            .collect();
        let Some(definitions) = run.definitions[no].as_deref().filter(|_| !within.is_empty()) else {
            continue;
        };
        for profile in &epoch.people {
            let theirs = || {
                let whose = epoch.whose.iter().filter(|(_, of)| of == profile);
                whose.map(|(event, _)| &run.events[*event])
            };
            let mut part = Part::default();
            theirs().for_each(|event| part.apply(&definitions.plan, event));
            let accounts = oracle::accounts_of(definitions, &run.events[..epoch.events], theirs());
            let named = epoch.named.iter().filter(|(of, _)| of == profile);
            let carriers: Vec<u128> = named
                .filter_map(|(_, text)| Some(kith_types::Identifier::parse(text)?.hash128()))
                .collect();
            let person = PersonOf {
                id: ProfileId(u128::from_str_radix(profile, 16).unwrap()),
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
                        let member = (segment.name.to_string(), profile.clone());
                        found.get_mut(at).unwrap().insert(member);
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The instants that are asked about, with the microsecond before each: all at which something was told or decided, and of the
/// others as many as there is time for.
fn chosen(turns: &BTreeSet<i64>, changes: &[Change], decided: &BTreeSet<i64>) -> BTreeSet<i64> {
    let every = turns.len().div_ceil(INSTANTS);
    let some = turns.iter().copied().enumerate().filter(|(at, _)| at % every == 0);
    let mut found: BTreeSet<i64> = some.map(|(_, at)| at).collect();
    found.extend(changes.iter().map(|change| change.at.as_micros()));
    found.extend(decided.iter().chain(turns.last()));
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
            return Err(format!("{what} at {}: too many {more:?}, missing {fewer:?}", iso(*at)));
        }
    }
    Ok(())
}

/// Runs one world; an error says what differs.
fn check(world: &World, tables: &Tables, seen: &mut Seen) -> Result<(), String> {
    let Some(in_force) = definitions_of(world) else {
        return Ok(());
    };
    let records = records(world);
    let mut run = stream(&records);
    let delays = Delays::of(&in_force);
    let rows: Vec<EventRow> = run.events.iter().map(row_of).collect();
    tables.fill(&rows);
    tables.fill_epochs(&run.epochs, &delays);
    let first = run.epochs.first().map_or(0, |epoch| epoch.starts);
    let mut turns = delays.instants(tables, first);
    turns.extend(&run.decided);
    // The last records may have brought nothing that counts; no state is compared before they were taken.
    let last = run.epochs.last().map_or(0, |epoch| epoch.starts);
    let end = Timestamp::from_micros(turns.last().copied().unwrap_or(0).max(last) + 1);
    run.bench.until(end);
    run.bench.commit();
    let changes: Vec<Change> = run.bench.numbered().into_iter().map(|one| one.change).collect();
    let instants = chosen(&turns, &changes, &run.decided);
    let truth = tables.members(&in_force, &instants);
    compare("a fresh fold", &fresh(&run, &instants)?, &truth)?;
    compare("the stream", &told(&changes, &instants, &turns)?, &truth)?;

    let mut rebuilt = Bench::new();
    records.iter().for_each(|record| rebuilt.apply(record));
    rebuilt.settle(end);
    let report = compare_states(&*run.bench.store, &*rebuilt.store, end).map_err(|error| error.to_string())?;
    if report.different > 0 {
        return Err(format!("a rebuild: {:?}", report.differences));
    }
    seen.note(&run, &changes, &instants);
    Ok(())
}

impl Seen {
    fn note(&mut self, run: &Run, changes: &[Change], instants: &BTreeSet<i64>) {
        self.worlds += 1;
        self.instants += instants.len();
        self.changes += changes.len();
        let first = run.decided.first().map_or(0, |first| *first);
        for change in changes {
            match change.cause.as_str() {
                "clock" => self.by_clock += 1,
                "regrouping" => self.by_veto += 1,
                "definition" => self.by_edit += usize::from(change.at.as_micros() > first),
                _ => {}
            }
        }
        self.by_account += changes
            .iter()
            .filter(|change| {
                let key = change.cause.event_key();
                let said = run.events.iter().position(|event| Some(event.key) == key);
                said.is_some_and(|at| {
                    let epoch = run.epochs.iter().find(|epoch| epoch.events > at);
                    let of = epoch.and_then(|epoch| epoch.whose.iter().find(|(event, _)| *event == at));
                    let other = of.is_some_and(|(_, of)| *of != text_of(change.profile));
                    run.events[at].group_id.is_some() && other
                })
            })
            .count();
        self.merged += run
            .epochs
            .windows(2)
            .filter(|two| two[1].people.len() < two[0].people.len())
            .count();
    }
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
        let world = World::random(seed, 2);
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
        "{} worlds, {} instants, {} changes, {} by the clock, {} by others' accounts, {} by edits, {} by vetoes, {} merges",
        seen.worlds,
        seen.instants,
        seen.changes,
        seen.by_clock,
        seen.by_account,
        seen.by_edit,
        seen.by_veto,
        seen.merged
    );
    println!("{told}");
    if count >= 1_000 {
        assert!(seen.worlds as u64 > count / 2, "{told}");
        assert!(
            seen.changes > 1_000 && seen.by_clock > 500 && seen.merged > 100 && seen.by_account > 30,
            "{told}"
        );
        assert!(seen.by_edit > 100 && seen.by_veto > 30, "{told}");
    }
}
