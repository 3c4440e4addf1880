//! Death between every two steps of a send (contract ACT-2). The ledger's files are copied at the instant of death, as
//! a kill leaves them, and opened again.

use super::{World, engine, run, runtime};
use crate::engine::{Boundary, DieAt};
use kith_types::{Clock, Duration, SpaceId};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const SUBJECT_OF_MARKETING: &str = "Hello Jo";

/// Dies at the n-th boundary, from 1, and remembers which it was.
pub(super) struct Death {
    left: AtomicUsize,
    pub(super) at: Mutex<Option<Boundary>>,
}

pub(super) fn death(number: usize) -> (Arc<Death>, DieAt) {
    let death = Arc::new(Death {
        left: AtomicUsize::new(number),
        at: Mutex::default(),
    });
    let asked = death.clone();
    let die_at: DieAt = Arc::new(move |boundary| {
        let dies = asked.left.fetch_sub(1, Ordering::SeqCst) == 1;
        if dies {
            *asked.at.lock().unwrap() = Some(boundary);
        }
        dies
    });
    (death, die_at)
}

/// The files as they are on disk now, while the dead process still has them open. The index in shared memory is not
/// taken along: it is made anew.
pub(super) fn files_after_kill(from: &Path, to: &Path) {
    for name in ["ledger.db", "ledger.db-wal"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Runs a world to its end, dying at the boundaries of these numbers, each in the life after the last. Returns where it
/// died.
fn live_and_die(deaths: &[usize], world: &Arc<World>) -> Vec<Boundary> {
    let runtime = runtime();
    let mut folder = scratch();
    let mut died_at = Vec::new();
    for number in deaths {
        let (death, die_at) = death(*number);
        let life = engine(folder.path(), world, &runtime, Some(die_at));
        life.recover().unwrap();
        if run(&life).is_err() {
            let next = scratch();
            files_after_kill(folder.path(), next.path());
            drop(life);
            folder = next;
        }
        died_at.extend(*death.at.lock().unwrap());
    }
    let last = engine(folder.path(), world, &runtime, None);
    last.recover().unwrap();
    run(&last).unwrap();
    world.clock.advance(Duration::from_secs(120));
    run(&last).unwrap();
    check(world, &last, &died_at);
    died_at
}

fn check(world: &World, engine: &crate::engine::Engine, died_at: &[Boundary]) {
    let status = engine.ledger.status(&[]).unwrap();
    let sends = status.spaces[SpaceId::main().as_str()].sends.clone();
    let count = |state: &str| sends.get(state).copied().unwrap_or(0);
    assert_eq!(
        (count("reserved"), count("attempting")),
        (0, 0),
        "nothing is left over: {died_at:?}"
    );
    assert_eq!(
        sends.values().sum::<u64>(),
        4,
        "one row for each entry and message: {died_at:?}"
    );

    let mut taken: HashMap<(String, String), usize> = HashMap::new();
    for mail in world.accepted.lock().unwrap().iter() {
        *taken
            .entry((mail.subject.clone(), mail.message_id.clone()))
            .or_default() += 1;
    }
    let marketing: Vec<usize> = taken
        .iter()
        .filter(|(key, _)| key.0 == SUBJECT_OF_MARKETING)
        .map(|(_, count)| *count)
        .collect();
    let receipts: Vec<usize> = taken
        .iter()
        .filter(|(key, _)| key.0 != SUBJECT_OF_MARKETING)
        .map(|(_, count)| *count)
        .collect();
    assert!(
        marketing.iter().all(|count| *count == 1),
        "marketing went out twice: {died_at:?}"
    );
    assert_eq!(receipts.len(), 2, "every receipt went out: {died_at:?}");

    // The ledger is honest: accepted only with a reply, unknown only where a death hid it.
    let hidden = died_at
        .iter()
        .filter(|at| matches!(at, Boundary::Attempting | Boundary::Answered))
        .count() as u64;
    assert!(count("unknown") <= hidden, "unknown without cause: {died_at:?}");
    assert_eq!(count("accepted") + count("unknown"), 4, "{died_at:?}");
    let accepted_marketing = count("accepted") - 2;
    assert!(
        accepted_marketing <= marketing.len() as u64,
        "accepted what nobody took: {died_at:?}"
    );
    assert!(
        marketing.len() as u64 <= accepted_marketing + count("unknown"),
        "{died_at:?}"
    );

    // Every send came to one event.
    let names = world.event_names();
    let named = |name: &str| names.iter().filter(|known| *known == name).count() as u64;
    assert_eq!(
        (named("Email Sent"), named("Email Unknown")),
        (count("accepted"), count("unknown")),
        "{died_at:?}"
    );
}

fn world() -> Arc<World> {
    let world = World::with_messages();
    for person in [1, 2] {
        world.person(person, Some(&format!("p{person}@example.com")), Some(true));
        world.enter(person);
    }
    world
}

/// A folder in memory where there is one: thousands of synchronised commits are made.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

#[test]
fn act_2_kill_between_every_two_steps() {
    let mut seen = std::collections::HashSet::new();
    for number in 1.. {
        let died_at = live_and_die(&[number], &world());
        if died_at.is_empty() {
            break;
        }
        seen.extend(died_at);
    }
    assert_eq!(seen.len(), 8, "a boundary was never reached: {seen:?}");
}

#[test]
fn act_2_kill_again_while_recovering() {
    for first in 1..24 {
        for second in [1, 2, 3, 5] {
            live_and_die(&[first, second, 2], &world());
        }
    }
}

#[test]
fn act_2_a_lost_reply_is_unknown_for_marketing_and_repeated_for_a_receipt() {
    let world = World::with_messages();
    world.person(1, Some("p1@example.com"), Some(true));
    world.enter(1);
    let lost = crate::SendOutcome::Unknown("the connection was lost".into());
    world.answers.lock().unwrap().extend([lost.clone(), lost]);
    let (runtime, folder) = (runtime(), scratch());
    let engine = engine(folder.path(), &world, &runtime, None);
    run(&engine).unwrap();
    world.clock.advance(Duration::from_secs(60));
    run(&engine).unwrap();
    let mails = world.accepted.lock().unwrap();
    let of = |subject: &str| mails.iter().filter(|mail| mail.subject == subject).count();
    assert_eq!((of(SUBJECT_OF_MARKETING), of("Your order")), (1, 2));
    let receipts: Vec<&str> = mails
        .iter()
        .filter(|mail| mail.subject == "Your order")
        .map(|mail| &*mail.message_id)
        .collect();
    assert_eq!(receipts[0], receipts[1], "a repeated mail keeps its id");
    let sends = engine.ledger.status(&[]).unwrap().spaces["main"].sends.clone();
    assert_eq!((sends["unknown"], sends["accepted"]), (1, 1));
}

#[test]
fn act_2_a_receipt_is_attempted_five_times_at_most_however_often_it_is_interrupted() {
    let world = World::with_messages();
    world.person(1, Some("p1@example.com"), Some(false));
    world.enter(1);
    let (runtime, mut folder) = (runtime(), scratch());
    for _ in 0..9 {
        let at_hand_over: DieAt = Arc::new(|boundary| boundary == Boundary::Answered);
        let life = engine(folder.path(), &world, &runtime, Some(at_hand_over));
        life.recover().unwrap();
        // What is repeated waits, as after any failure.
        world.clock.advance(Duration::from_secs(3_600));
        let died = run(&life).is_err();
        let next = scratch();
        files_after_kill(folder.path(), next.path());
        drop(life);
        folder = next;
        if !died {
            break;
        }
    }
    let last = engine(folder.path(), &world, &runtime, None);
    last.recover().unwrap();
    run(&last).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 5);
    let sends = last.ledger.status(&[]).unwrap().spaces["main"].sends.clone();
    assert_eq!(sends["unknown"], 1, "{sends:?}");
}

/// From the first answer of the provider on, and before it is recorded, the ledger changes no send any more.
fn full_once_answered(folder: &Path) -> DieAt {
    const FULL: &str = "CREATE TRIGGER full BEFORE UPDATE ON sends BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    let (answers, file) = (AtomicUsize::new(0), folder.join("ledger.db"));
    Arc::new(move |boundary| {
        if boundary == Boundary::Answered && answers.fetch_add(1, Ordering::SeqCst) == 0 {
            rusqlite::Connection::open(&file).unwrap().execute_batch(FULL).unwrap();
        }
        false
    })
}

fn there_is_room(folder: &Path) {
    let ledger = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    ledger.execute_batch("DROP TRIGGER full").unwrap();
}

#[test]
fn act_2_what_a_send_came_to_is_recorded_once_the_ledger_takes_it_and_nothing_leaves_before() {
    let (runtime, folder, world) = (runtime(), scratch(), World::with_messages());
    for number in [1, 2] {
        world.person(number, Some(&format!("p{number}@example.com")), Some(true));
        world.enter(number);
    }
    let engine = engine(folder.path(), &world, &runtime, Some(full_once_answered(folder.path())));
    run(&engine).unwrap_err();
    for _ in 0..3 {
        run(&engine).unwrap_err();
        engine.record_outcomes().unwrap_err();
    }
    assert_eq!(
        world.accepted.lock().unwrap().len(),
        1,
        "one was sent, and nothing after it"
    );
    assert_eq!(world.event_names(), Vec::<String>::new());
    let sends = || engine.ledger.status(&[]).unwrap().spaces["main"].sends.clone();
    assert_eq!(sends()["attempting"], 1);

    there_is_room(folder.path());
    engine.record_outcomes().unwrap();
    run(&engine).unwrap();
    // Two messages for each of two people, each once, none of unknown fate.
    assert_eq!(world.accepted.lock().unwrap().len(), 4);
    assert_eq!(sends().get("attempting").copied().unwrap_or(0), 0);
    assert_eq!(sends()["accepted"], 4);
    assert_eq!(world.event_names(), ["Email Sent"; 4]);
}

#[test]
fn act_2_a_receipt_that_was_not_sent_is_tried_again_although_that_could_not_be_recorded_at_once() {
    let (runtime, folder, world) = (runtime(), scratch(), World::new());
    world.define("receipt", &super::transactional());
    world.person(1, Some("p1@example.com"), None);
    world.enter(1);
    let not_sent = crate::SendOutcome::NotSent("nobody listens".into());
    world.answers.lock().unwrap().push(not_sent);
    let engine = engine(folder.path(), &world, &runtime, Some(full_once_answered(folder.path())));
    run(&engine).unwrap_err();
    engine.record_outcomes().unwrap_err();
    there_is_room(folder.path());
    engine.record_outcomes().unwrap();
    let fault = engine.destinations.mail_fault().expect("nobody listens");
    assert_eq!((fault.failures, fault.since), (1, world.clock.now()), "told at once");
    world.clock.advance(Duration::from_secs(60));
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 1);
    assert_eq!(world.event_names(), ["Email Sent"]);
    assert_eq!(engine.destinations.mail_fault(), None, "it took one");
}
