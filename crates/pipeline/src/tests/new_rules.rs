//! Changed rules of identity: whatever follows whatever, everything is as if the last rules had been there from the
//! first event on, nobody sees anything between, and a process that ends on the way loses and repeats nothing.

use super::failing_store::{FailingStore, Goes};
use super::oracle::{as_said, check, people, tree};
use super::worlds::{definition, documents, some_rules, some_vetoes, world};
use super::{Bench, all_of_main, at, decision, event, performed, vetoes};
use crate::definitions::DefinitionSet;
use crate::history::History;
use crate::new_rules::{Concerned, DryRun, Trial};
use crate::published::Published;
use crate::{Engine, EngineConfig, RulesPart, RulesProgress, Veto, snapshot_of};
use kith_segment::CauseKind;
use kith_state::{Batch, Keyspace, MemoryStore, Read, Store};
use kith_types::{Duration, Record, RecordBody};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A world's events, at sequence numbers that leave room for decisions between them.
fn events_of(seed: u64, count: u64) -> (Vec<Record>, i64) {
    let world = world(seed, count, false);
    let records = world.records.into_iter().filter_map(|mut record| {
        record.address.sequence = (record.address.sequence + 1) * 100;
        matches!(record.body, RecordBody::Envelope(_)).then_some(record)
    });
    (records.collect(), world.end)
}

#[test]
fn idn_2_any_sequence_of_rules_and_vetoes_gives_what_a_run_under_the_last_ones_gives() {
    let soak = super::soak();
    let mut changed_people = 0;
    for seed in 0..60 * soak {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (records, end) = events_of(seed + 50_000, 50);
        let mut changed = Changed::new();
        let (mut rules, mut in_force, mut decided) = (json!({}), Vec::new(), 0);
        for (place, record) in (1_u64..).zip(&records) {
            changed.take(record.clone(), &mut random);
            let second = (record.received_at.as_micros() - at(0).as_micros()) / 1_000_000;
            let mut sequence = record.address.sequence;
            // Often several in a row, and at the end for certain.
            let often = if place == records.len() as u64 { 0.8 } else { 0.15 };
            while random.random_bool(often) && sequence % 100 < 90 {
                sequence += 1;
                decided += 1;
                let stood = people(&changed.bench, at(end));
                if random.random_bool(0.3) {
                    let (added, removed) = some_vetoes(&mut random, &mut in_force, place);
                    let [added, removed] = [added, removed].map(|list| list.iter().map(placed).collect::<Vec<_>>());
                    changed.take(vetoes(sequence, second, &added, &removed), &mut random);
                } else {
                    rules = some_rules(&mut random);
                    let rules = ("identity_rules", "main", rules.clone());
                    changed.take(decision(sequence, second, &[rules]), &mut random);
                }
                changed_people += usize::from(people(&changed.bench, at(end)) != stood);
            }
        }
        let mut changed = changed.bench;
        let mut fresh = Bench::new();
        let in_force: BTreeSet<_> = changed
            .engine
            .definitions(&super::main_space())
            .unwrap()
            .vetoes_decided
            .clone();
        let in_force: Vec<_> = in_force.into_iter().collect();
        fresh.apply(&decision(
            0,
            0,
            &[documents(), vec![("identity_rules", "main", rules)]].concat(),
        ));
        fresh.apply(&vetoes(1, 0, &in_force, &[]));
        for record in &records {
            fresh.apply(record);
        }
        let now = at(end + 5) + Duration::from_micros(1);
        changed.settle(now);
        fresh.settle(now);
        let what = format!("seed {seed}, {decided} decisions");
        if !changed.lost {
            check(&changed, now, &what);
        }
        let trees = people(&changed, now).into_iter().zip(people(&fresh, now));
        for (number, (one, other)) in trees.enumerate() {
            assert!(one == other, "{what}: tree {number}");
        }
        let staged = tree(&*changed.store, Keyspace::Staged);
        assert!(staged.is_empty(), "{what}: nothing is left beside");
    }
    assert!(changed_people > 60, "{changed_people}");
}

/// A bench that crashes, commits and sweeps wherever the dice say, and takes again what that lost.
struct Changed {
    bench: Bench,
    log: Vec<Record>,
}

impl Changed {
    fn new() -> Self {
        let mut bench = Bench::new();
        let first = decision(0, 0, &documents());
        bench.apply(&first);
        let log = vec![first];
        Self { bench, log }
    }

    fn take(&mut self, record: Record, random: &mut ChaCha8Rng) {
        self.bench.apply(&record);
        self.log.push(record);
        match random.random_range(0..10) {
            0..3 => self.bench.commit(),
            3 => while self.bench.sweep() {},
            4 => {
                self.bench.crash();
                let next = self.bench.engine.next();
                for record in self.log.iter().filter(|record| record.address.sequence >= next) {
                    self.bench.apply(record);
                }
            }
            _ => {}
        }
    }
}

/// A veto as [`some_vetoes`] throws it, of an event where [`events_of`] puts it.
pub(super) fn placed(veto: &Veto) -> Veto {
    match veto.clone() {
        Veto::Event { mut event, identifier } => {
            event.sequence = (event.sequence + 1) * 100;
            Veto::Event { event, identifier }
        }
        pair @ Veto::Pair { .. } => pair,
    }
}

/// A store whose process ends after so many commits.
pub(super) fn ending(store: &Arc<MemoryStore>, commits: u64) -> Arc<dyn Store> {
    let done = AtomicU64::new(0);
    Arc::new(FailingStore {
        store: Arc::clone(store),
        next: Box::new(move || match done.fetch_add(1, Ordering::Relaxed) < commits {
            true => Goes::Well,
            false => Goes::Lost,
        }),
    })
}

pub(super) fn copy(store: &MemoryStore) -> Arc<MemoryStore> {
    let mut batch = Batch::default();
    for keyspace in Keyspace::ALL {
        store
            .scan(keyspace, &[], &[255], &mut |key, value| {
                batch.put(keyspace, key.to_vec(), value.to_vec());
                true
            })
            .unwrap();
    }
    let copy = MemoryStore::default();
    copy.commit(batch).unwrap();
    Arc::new(copy)
}

/// What a reader finds of who is who.
fn seen(store: &MemoryStore) -> Vec<super::Tree> {
    let reader = snapshot_of(store).unwrap();
    let trees = [
        Keyspace::Components,
        Keyspace::Identifiers,
        Keyspace::Parts,
        Keyspace::Profiles,
        Keyspace::Events,
        Keyspace::Presence,
        Keyspace::Due,
        Keyspace::Members,
        Keyspace::Redirects,
        Keyspace::AccountLinks,
    ];
    let mut all: Vec<_> = trees.iter().map(|keyspace| tree(&*reader, *keyspace)).collect();
    let mut meta = BTreeMap::new();
    for key in [
        crate::engine::NEXT.to_vec(),
        crate::keys::named(&super::main_space(), crate::space::DEFINITIONS),
    ] {
        meta.extend(reader.get(Keyspace::Meta, &key).unwrap().map(|value| (key, value)));
    }
    all.push(meta);
    // The same from the last key to the first.
    let space = super::main_space();
    let history = History::of(&*reader, &space);
    for (keyspace, found) in trees.iter().zip(&all) {
        let (from, mut back) = (crate::keys::space(&space), Vec::new());
        let to = kith_state::prefix_end(&from).unwrap();
        let mut visit = |key: &[u8], value: &[u8]| {
            back.push((key.to_vec(), as_said(&history, *keyspace, key, value)));
            true
        };
        reader.scan_back(*keyspace, &from, &to, &mut visit).unwrap();
        back.reverse();
        assert!(
            back.iter().map(|(key, value)| (key, value)).eq(found),
            "{}",
            keyspace.as_str()
        );
        let mut got = found.iter().map(|(key, value)| {
            let row = reader.get(*keyspace, key).unwrap().unwrap();
            as_said(&history, *keyspace, key, &row) == *value
        });
        assert!(got.all(|same| same), "{}", keyspace.as_str());
    }
    all
}

#[test]
fn idn_2_readers_see_the_old_rules_or_the_new_and_a_process_may_end_at_any_commit() {
    let (mut ends, mut after_takeover) = (0, 0);
    for seed in 0..12 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (records, end) = events_of(seed + 60_000, 25);
        let mut bench = Bench::new();
        bench.apply(&decision(0, 0, &documents()));
        records.iter().for_each(|record| bench.apply(record));
        bench.settle(at(end));
        let rules = decision(1_000_000, end, &[("identity_rules", "main", some_rules(&mut random))]);
        let before = copy(&bench.store);
        let change = |store: Arc<dyn Store>| -> Result<Engine, crate::PipelineError> {
            let mut engine = Engine::open(store, EngineConfig::default())?;
            engine.apply(&rules)?;
            engine.move_all()?;
            Ok(engine)
        };
        let undisturbed = copy(&before);
        change(Arc::clone(&undisturbed) as Arc<dyn Store>)
            .unwrap()
            .commit()
            .unwrap();
        let (old, new) = (seen(&before), seen(&undisturbed));
        let mut commits = 0;
        loop {
            commits += random.random_range(1..6);
            let store = copy(&before);
            if change(ending(&store, commits)).is_ok() {
                break;
            }
            ends += 1;
            let found = seen(&store);
            assert!(
                found == old || found == new,
                "seed {seed}: a reader after {commits} commits"
            );
            after_takeover += usize::from(found == new && old != new);
            // The next process goes on, or begins again.
            change(Arc::clone(&store) as Arc<dyn Store>).unwrap().commit().unwrap();
            let all = all_of_main(&store);
            assert!(
                all == all_of_main(&undisturbed),
                "seed {seed}: ended after {commits} commits"
            );
        }
    }
    assert!(ends > 60 && after_takeover > 15, "{ends} {after_takeover}");
}

#[test]
fn idn_7_a_question_about_rules_is_answered_alike_while_others_take_over() {
    let asked = |store: &MemoryStore, rules: &serde_json::Value| {
        let (stands, scratch) = (snapshot_of(store).unwrap(), MemoryStore::default());
        let stored = stands.get(
            Keyspace::Meta,
            &crate::keys::named(&super::main_space(), crate::space::DEFINITIONS),
        );
        let in_force: DefinitionSet = serde_json::from_slice(&stored.unwrap().unwrap()).unwrap();
        let change = definition(&("identity_rules", "main", rules.clone()));
        let after = in_force.with(&[change], at(1_000));
        let trial = Trial::new(&*stands, &scratch, &|| true);
        let run = DryRun {
            space: &super::main_space(),
            before: &in_force.compile().unwrap(),
            after: (Arc::new(after.compile().unwrap()), &after),
            concerned: Concerned::Everybody,
            progress: &crate::rules_progress::RulesAtWork::default(),
            now: at(1_000),
        };
        (in_force.version, run.run(&trial).unwrap())
    };
    let mut midway = 0;
    for seed in 0..12 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (records, end) = events_of(seed + 65_000, 25);
        let mut bench = Bench::new();
        bench.apply(&decision(0, 0, &documents()));
        records.iter().for_each(|record| bench.apply(record));
        bench.settle(at(end));
        let first = decision(1_000_000, end, &[("identity_rules", "main", some_rules(&mut random))]);
        let question = some_rules(&mut random);
        let before = copy(&bench.store);
        let change = |store: Arc<dyn Store>| {
            let mut engine = Engine::open(store, EngineConfig::default())?;
            engine.apply(&first)?;
            engine.move_all()
        };
        change(Arc::clone(&bench.store) as Arc<dyn Store>).unwrap();
        let (old, new) = (asked(&before, &question), asked(&bench.store, &question));
        let mut commits = 0;
        loop {
            commits += random.random_range(1..5);
            let store = copy(&before);
            if change(ending(&store, commits)).is_ok() {
                break;
            }
            let told = asked(&store, &question);
            midway += 1;
            // What the first change has staged, or moved in part, is not what is asked about.
            assert!(told == old || told == new, "seed {seed}: after {commits} commits");
        }
    }
    assert!(midway > 60, "{midway}");
}

#[test]
fn seg_5_changed_rules_tell_the_difference_of_memberships_once() {
    let mut told = 0;
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (records, end) = events_of(seed + 70_000, 50);
        let mut bench = Bench::new();
        bench.apply(&decision(0, 0, &documents()));
        records.iter().for_each(|record| bench.apply(record));
        // A moment at which nothing is due.
        let second = end + 5;
        bench.settle(at(second) + Duration::from_micros(-1));
        bench.until(at(second) + Duration::from_micros(1));
        bench.commit();
        let members =
            |bench: &Bench| -> BTreeSet<Vec<u8>> { tree(&*bench.store, Keyspace::Members).into_keys().collect() };
        let (before, so_far) = (members(&bench), bench.numbered().len());
        bench.apply(&decision(
            1_000_000,
            second,
            &[("identity_rules", "main", some_rules(&mut random))],
        ));
        while bench.sweep() {}
        bench.commit();
        let after = members(&bench);
        let mut difference: BTreeMap<Vec<u8>, bool> =
            after.difference(&before).map(|key| (key.clone(), true)).collect();
        difference.extend(before.difference(&after).map(|key| (key.clone(), false)));
        let changes: Vec<_> = bench.numbered().split_off(so_far);
        assert_eq!(changes.len(), difference.len(), "seed {seed}");
        for numbered in changes {
            let change = numbered.change;
            let key = crate::keys::member(&super::main_space(), change.segment.as_str(), change.profile);
            assert_eq!(difference.remove(&key), Some(change.entered), "seed {seed}");
            assert_eq!(change.cause.kind(), CauseKind::Regrouping, "seed {seed}");
            told += 1;
        }
    }
    assert!(told > 40, "{told}");
}

#[test]
fn idn_2_rules_under_which_every_event_says_the_same_write_no_row_of_anybody() {
    let mut bench = Bench::new();
    bench.decide(0, &[("segment", "buyers", performed("Order Completed", 1, 1_000))]);
    for n in 0..20 {
        let named = format!("user_id:u{n} email:m{}@x.org", n / 2);
        bench.take(n, &[event(&named, "Order Completed", n, json!({}))]);
    }
    bench.settle(at(30));
    let before = seen(&bench.store);
    let rules = json!({"types": {"email": {"blocked": ["nobody@x.org"], "limit": 4}, "loyalty_id": {"priority": 3}}});
    bench.decide(31, &[("identity_rules", "main", rules)]);
    let after = seen(&bench.store);
    let kept = before.len() - 1;
    assert!(before[..kept] == after[..kept], "nobody is written anew");
    assert!(before[kept] != after[kept]);
}

/// How far a change of rules is at each write of it, and the engine after it.
fn watched(records: &[Record], end: i64, rules: serde_json::Value) -> (Vec<RulesProgress>, Engine) {
    let store = Arc::new(MemoryStore::default());
    let seen: Arc<Mutex<Vec<RulesProgress>>> = Arc::default();
    let looked_at: Arc<Mutex<Option<Arc<Published>>>> = Arc::default();
    let next = {
        let (seen, looked_at) = (Arc::clone(&seen), Arc::clone(&looked_at));
        Box::new(move || {
            let published = looked_at.lock().unwrap().clone();
            seen.lock()
                .unwrap()
                .extend(published.and_then(|published| published.rules.progress()));
            Goes::Well
        })
    };
    let watched = Arc::new(FailingStore { store, next });
    let mut engine = Engine::open(watched as Arc<dyn Store>, EngineConfig::default()).unwrap();
    *looked_at.lock().unwrap() = Some(engine.published());
    for record in records {
        engine.apply(record).unwrap();
    }
    engine.commit().unwrap();
    assert!(seen.lock().unwrap().is_empty(), "no rules have changed");
    let sequence = records.last().unwrap().address.sequence + 1;
    engine
        .apply(&decision(sequence, end, &[("identity_rules", "main", rules)]))
        .unwrap();
    engine.commit().unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (seen, engine)
}

#[test]
fn idn_2_how_far_changed_rules_are_is_seen_while_they_are_worked_out_and_not_after() {
    let (records, end) = events_of(77, 60);
    let rules = json!({"types": {"email": {"blocked": ["m1@x.org"]}}});
    let (seen, engine) = watched(&records, end, rules);
    let mut parts: Vec<RulesPart> = seen.iter().map(|progress| progress.part).collect();
    parts.dedup();
    assert_eq!(
        parts,
        [
            RulesPart::Reading,
            RulesPart::Linking,
            RulesPart::Placing,
            RulesPart::Telling
        ]
    );
    assert!(
        seen.iter().any(|progress| progress.done > 0 && progress.total > 0),
        "{seen:?}"
    );
    assert_eq!(engine.published().rules.progress(), None);
}

#[test]
fn idn_2_of_events_that_are_placed_again_it_is_known_how_many_there_are() {
    // Those who say much are not those of whom an event says something else.
    let mut sequence = 0;
    let mut record = |identifiers: &str| {
        sequence += 1;
        super::record(sequence, 1, &[event(identifiers, "Seen", 1, json!({}))])
    };
    let mut records: Vec<Record> = (0..120).map(|n| record(&format!("user_id:u{}", n % 3))).collect();
    records.extend((0..9).map(|n| record(&format!("user_id:q{n} email:q{n}@x.org"))));
    records.extend((0..4).map(|_| record("user_id:null")));
    let (seen, _) = watched(
        &records,
        5,
        json!({"types": {"email": {"blocked_patterns": ["@x.org$"]}}}),
    );
    let placing = seen.iter().filter(|progress| progress.part == RulesPart::Placing);
    let told: BTreeSet<u64> = placing.clone().map(|progress| progress.total).collect();
    assert_eq!(
        told,
        BTreeSet::from([13]),
        "those of nine people, and those that nobody has"
    );
    assert_eq!(placing.map(|progress| progress.done).max(), Some(13));
}
