//! Death between every two steps of a run (contracts ACT-2 and ACT-6): whoever was counted gets the message once.

use super::crash::{death, files_after_kill, scratch};
use super::runs::{address, asked, member, reserved, start};
use super::{World, engine, run, runtime};
use crate::engine::{Boundary, DieAt, Engine};
use crate::{ActivateError, RunState};
use kith_segment::CauseKind;
use kith_types::{Duration, SpaceId};
use std::collections::HashSet;
use std::sync::Arc;

const PEOPLE: u128 = 5;

fn world() -> Arc<World> {
    let world = World::new();
    world.define("welcome", &super::marketing());
    for number in 1..=PEOPLE {
        // The fourth did not agree.
        member(&world, number, Some(number != 4), Some(CauseKind::Import));
    }
    world
}

/// Asks for the run where it was not asked for yet, confirms it once it is counted, and sends all there is.
fn live(engine: &Engine) -> Result<(), ActivateError> {
    let space = SpaceId::main();
    if engine.ledger.runs(&space, None, None, 1)?.is_empty() {
        engine.ask_run(&space, &asked())?.unwrap();
    }
    while engine.step_runs()? {
        // Mails leave while members are still walked through.
        run(engine)?;
    }
    let counted = engine.ledger.runs(&space, None, None, 1)?.pop().unwrap();
    if counted.state == RunState::Counted {
        assert_eq!(counted.counted.sends, 4);
    }
    start(engine, counted.id, 4).unwrap();
    while engine.step_runs()? {
        run(engine)?;
    }
    run(engine)
}

/// Lives and dies at the boundaries of these numbers, each in the life after the last. Returns where it died.
fn live_and_die(deaths: &[usize]) -> Vec<Boundary> {
    let (world, runtime) = (world(), runtime());
    let mut folder = scratch();
    let mut died_at = Vec::new();
    for number in deaths {
        let (death, die_at) = death(*number);
        let life = engine(folder.path(), &world, &runtime, Some(die_at));
        life.recover().unwrap();
        if live(&life).is_err() {
            let next = scratch();
            files_after_kill(folder.path(), next.path());
            drop(life);
            folder = next;
        }
        died_at.extend(*death.at.lock().unwrap());
    }
    let last = engine(folder.path(), &world, &runtime, None);
    last.recover().unwrap();
    live(&last).unwrap();
    world.clock.advance(Duration::from_secs(120));
    run(&last).unwrap();

    let done = last
        .ledger
        .runs(&SpaceId::main(), None, None, 9)
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(done.state, RunState::Done, "{died_at:?}");
    for tally in [&done.counted, &done.sent] {
        assert_eq!((tally.members, tally.sends), (5, 4), "{died_at:?}");
        assert_eq!(tally.left_out["no_consent"], 1, "{died_at:?}");
    }
    let count = |state: &str| done.sends.get(state).copied().unwrap_or(0);
    let hidden = died_at
        .iter()
        .filter(|at| matches!(at, Boundary::Attempting | Boundary::Answered));
    assert!(count("unknown") <= hidden.count() as u64, "{died_at:?}");
    assert_eq!(count("accepted") + count("unknown"), 4, "{died_at:?}");
    let mails: usize = (1..=PEOPLE)
        .map(|number| {
            let mails = world.mails_to(&address(number));
            assert!(mails <= 1, "a mail went out twice: {died_at:?}");
            mails
        })
        .sum();
    assert!(mails as u64 >= count("accepted"), "{died_at:?}");
    died_at
}

#[test]
fn act_6_kill_between_every_two_steps_of_a_run() {
    let mut seen = HashSet::new();
    for number in 1.. {
        let died_at = live_and_die(&[number]);
        if died_at.is_empty() {
            break;
        }
        seen.extend(died_at);
    }
    for boundary in [
        Boundary::RunJudged,
        Boundary::RunRecorded,
        Boundary::Attempting,
        Boundary::Finished,
    ] {
        assert!(seen.contains(&boundary), "{boundary:?} was never reached: {seen:?}");
    }
}

#[test]
fn act_6_kill_again_and_again_during_a_run() {
    for first in (1..40).step_by(3) {
        for second in [1, 2, 4, 7] {
            live_and_die(&[first, second, 2]);
        }
    }
}

#[test]
fn act_6_a_page_that_was_judged_before_a_run_was_stopped_reserves_nothing() {
    let (world, runtime, folder) = (world(), runtime(), scratch());
    let file = folder.path().join("ledger.db");
    let stop_once_judged: DieAt = Arc::new(move |boundary| {
        const STOP: &str = "UPDATE runs SET state = 'stopping' WHERE state = 'sending'";
        if boundary == Boundary::RunJudged {
            let ledger = rusqlite::Connection::open(&file).unwrap();
            ledger.execute(STOP, []).unwrap();
        }
        false
    });
    let engine = engine(folder.path(), &world, &runtime, Some(stop_once_judged));
    reserved(&engine, 4);
    run(&engine).unwrap();
    let stopped = engine.ledger.runs(&SpaceId::main(), None, None, 1).unwrap().remove(0);
    assert_eq!((stopped.state, stopped.sent.members), (RunState::Stopped, 0));
    assert!(stopped.sends.is_empty());
    assert!(world.accepted.lock().unwrap().is_empty());
}
