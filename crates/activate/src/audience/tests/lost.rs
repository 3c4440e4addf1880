//! Changes that are lost, with the live state or by the outbox, and ledgers from before it was kept whom a destination holds.

use super::Ground;
use super::Process;
use super::held::{cause, ground, held, is, is_part_of, members};
use crate::engine::{Boundary, DieAt};
use crate::tests::runtime;
use kith_types::{Clock, Duration, SpaceId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Everything that waits is gone, and numbers go on far from here.
fn lose_everything(ground: &Ground) {
    ground.world.changes.lock().unwrap().clear();
    *ground.world.passed.lock().unwrap() += 1 << 32;
}

#[test]
fn seg_5_what_was_lost_with_the_state_is_told_exits_and_entries_of_one_instant_too() {
    let runtime = runtime();
    for (boundary, nth) in [
        (None, 0),
        (Some(Boundary::ComparedWritten), 0),
        (Some(Boundary::ComparedEnded), 0),
        (Some(Boundary::TellingDecided), 2),
        (Some(Boundary::TellingDecided), 3),
        (Some(Boundary::Told), 1),
        (Some(Boundary::ToldRecorded), 1),
    ] {
        let (ground, folder) = (ground(&json!({ "send": "track" })), tempfile::tempdir().unwrap());
        let mut process = Process::start(&ground, folder.path(), &runtime, None);
        for person in 1..=4 {
            is(&ground, person, None, Some(&format!("d{person}")), true);
            ground.enter(person);
        }
        process.run().unwrap();
        // One definition takes people out and lets others in, all at one instant; one of them signed in as another.
        is(&ground, 1, None, Some("d1"), false);
        is(&ground, 2, Some("bob"), Some("d2"), false);
        is(&ground, 9, Some("eve"), Some("d3"), true);
        is_part_of(&ground, 3, 9);
        (5..=8).for_each(|person| is(&ground, person, Some(&format!("user-{person}")), None, true));
        lose_everything(&ground);
        drop(process);
        if let Some(boundary) = boundary {
            let seen = AtomicUsize::new(0);
            let die_at: DieAt =
                Arc::new(move |reached| reached == boundary && seen.fetch_add(1, Ordering::SeqCst) == nth);
            let mut process = Process::start(&ground, folder.path(), &runtime, Some(die_at));
            assert!(process.run().is_err(), "{boundary:?} {nth}: it is reached");
        }
        // What happens live meanwhile comes after it.
        is(&ground, 8, Some("user-8"), None, false);
        ground.exit(8);
        let mut process = Process::start(&ground, folder.path(), &runtime, None);
        process.run().unwrap();
        assert_eq!(held(&ground, "vip"), members(&ground), "{boundary:?} {nth}");
        assert_eq!(
            held(&ground, "vip"),
            ["device d4", "user eve", "user user-5", "user user-6", "user user-7"]
        );
        let told: BTreeMap<String, usize> =
            ground
                .told("track")
                .into_iter()
                .fold(BTreeMap::new(), |mut told, (who, _)| {
                    *told.entry(who).or_default() += 1;
                    told
                });
        let expected = [("d1", 2), ("d2", 2), ("d3", 2), ("d4", 1), ("eve", 1), ("user-5", 1)];
        for (who, times) in expected {
            assert_eq!(told[who], times, "{boundary:?} {nth}: {who}");
        }
        assert!(!told.contains_key("bob"), "of whom nothing was told");
        let waiting = process.engine.ledger.tally(&SpaceId::main(), "crm").unwrap();
        assert_eq!((waiting.members, waiting.deciding, waiting.missed), (0, 0, 0));
        // It is compared once.
        let told = ground.taken.lock().unwrap().len();
        drop(process);
        Process::start(&ground, folder.path(), &runtime, None).run().unwrap();
        assert_eq!(ground.taken.lock().unwrap().len(), told);
    }
}

#[test]
fn seg_5_what_the_outbox_forgot_is_told_after_what_it_still_has() {
    for changes in ["all", "live"] {
        let (ground, runtime, folder) = (
            ground(&json!({ "send": "track", "changes": changes })),
            runtime(),
            tempfile::tempdir().unwrap(),
        );
        let mut process = Process::start(&ground, folder.path(), &runtime, None);
        process.run().unwrap();
        let step = |person, is_in: bool| {
            is(&ground, person, Some(&format!("user-{person}")), None, is_in);
            ground.world.change(person, is_in, cause());
        };
        (1..=3).for_each(|person| step(person, true));
        process.run().unwrap();
        step(1, false);
        step(4, true);
        // Only these two are still there.
        step(5, true);
        step(2, false);
        ground.world.changes.lock().unwrap().drain(..2);
        process.run().unwrap();
        let said = |who: &str, is_in| (who.to_owned(), is_in);
        let mut expected = vec![said("user-5", true), said("user-2", false), said("user-1", false)];
        if changes == "all" {
            expected.push(said("user-4", true));
        }
        assert_eq!(ground.told("track")[3..], expected);
        assert_eq!(process.engine.ledger.tally(&SpaceId::main(), "crm").unwrap().missed, 2);
        let causes: Vec<Value> = ground.kept()[3..]
            .iter()
            .map(|event| event["context"]["kith"]["cause"].clone())
            .collect();
        assert_eq!(causes[..3], ["event", "event", "compared"]);
    }
}

/// A ledger from before this was kept: who is a member is taken to be held, under the name of now.
#[test]
fn seg_5_a_destination_from_before_names_were_kept_takes_members_to_be_told() {
    for lost in [false, true] {
        let (ground, runtime, folder) = (
            ground(&json!({ "send": "track" })),
            runtime(),
            tempfile::tempdir().unwrap(),
        );
        let mut process = Process::start(&ground, folder.path(), &runtime, None);
        for person in 1..=5 {
            is(&ground, person, Some(&format!("user-{person}")), None, true);
            ground.enter(person);
        }
        process.run().unwrap();
        drop(process);
        // As an older release left it.
        let told_until = ground.world.clock.now().as_micros();
        let beside = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
        beside
            .execute_batch(&format!(
                "DELETE FROM told; UPDATE destinations SET compare = 1, told_until = {told_until}"
            ))
            .unwrap();
        drop(beside);
        ground.world.clock.advance(Duration::from_secs(1));
        is(&ground, 6, Some("user-6"), None, true);
        ground.enter(6);
        if lost {
            lose_everything(&ground);
        }
        let told = ground.taken.lock().unwrap().len();
        let mut process = Process::start(&ground, folder.path(), &runtime, None);
        process.run().unwrap();
        let since: Vec<_> = ground.told("track").split_off(told);
        assert_eq!(since, [("user-6".to_owned(), true)], "{lost}");
        is(&ground, 1, Some("ada"), None, false);
        ground.exit(1);
        process.run().unwrap();
        assert_eq!(held(&ground, "vip"), members(&ground), "{lost}");
    }
}

/// A state that was lost twice in a short time may count from where it did before.
#[test]
fn seg_5_a_state_whose_numbers_begin_again_is_compared_and_told() {
    let (ground, runtime, folder) = (
        ground(&json!({ "send": "track" })),
        runtime(),
        tempfile::tempdir().unwrap(),
    );
    *ground.world.passed.lock().unwrap() = 1 << 32;
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    for person in 1..=3 {
        is(&ground, person, Some(&format!("user-{person}")), None, true);
        ground.enter(person);
        process.run().unwrap();
    }
    is(&ground, 2, Some("user-2"), None, false);
    ground.world.changes.lock().unwrap().clear();
    *ground.world.passed.lock().unwrap() = 1 << 32;
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), members(&ground));
    is(&ground, 4, Some("user-4"), None, true);
    ground.enter(4);
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), ["user user-1", "user user-3", "user user-4"]);
}

/// What changes once the members of a moment are written down waits until they are compared.
#[test]
fn seg_5_what_changes_while_members_are_compared_comes_after_it() {
    let (ground, runtime, folder) = (
        ground(&json!({ "send": "track" })),
        runtime(),
        tempfile::tempdir().unwrap(),
    );
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    let step = |person, is_in: bool| {
        is(&ground, person, Some(&format!("user-{person}")), None, is_in);
        ground.world.change(person, is_in, cause());
    };
    (1..=3).for_each(|person| step(person, true));
    process.run().unwrap();
    step(1, false);
    step(4, true);
    step(5, true);
    ground.world.changes.lock().unwrap().drain(..2);
    let is_written = || {
        let place = process.engine.ledger.destination(&SpaceId::main(), "crm").unwrap();
        place.unwrap().compare_at.is_some()
    };
    while !is_written() {
        process.delivery.turn(&process.engine, &|| false).unwrap();
    }
    step(6, true);
    step(2, false);
    process.run().unwrap();
    let said = |who: &str, is_in| (who.to_owned(), is_in);
    let expected = [
        said("user-5", true),
        said("user-1", false),
        said("user-4", true),
        said("user-6", true),
        said("user-2", false),
    ];
    assert_eq!(ground.told("track")[3..], expected);
    assert_eq!(held(&ground, "vip"), members(&ground));
}

#[test]
fn seg_5_an_outbox_that_cannot_be_looked_at_has_lost_nothing() {
    for changes in ["all", "live"] {
        let (ground, runtime, folder) = (
            ground(&json!({ "changes": changes, "send": "track" })),
            runtime(),
            tempfile::tempdir().unwrap(),
        );
        let mut process = Process::start(&ground, folder.path(), &runtime, None);
        process.run().unwrap();
        is(&ground, 1, Some("ada"), None, true);
        ground.enter(1);
        *ground.world.hidden.lock().unwrap() = true;
        process.run().unwrap();
        assert!(ground.told("track").is_empty());
        *ground.world.hidden.lock().unwrap() = false;
        process.run().unwrap();
        assert_eq!(ground.told("track"), [("ada".to_owned(), true)], "{changes}");
        let tally = process.engine.ledger.tally(&SpaceId::main(), "crm").unwrap();
        assert_eq!((tally.missed, tally.deciding), (0, 0), "{changes}");
    }
}
