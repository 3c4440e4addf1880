//! Runs: a message sent after all to members whose entry was not live, the count shown first (contract ACT-6).

use super::entries::Fixture;
use super::{START, World, run};
use crate::engine::Engine;
use crate::{ConsentWord, EntryCause, Membership, PauseScope, RunAsked, RunRefusal, RunState, RunView};
use kith_segment::CauseKind;
use kith_types::{Clock, Duration, ProfileId, SpaceId, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;

/// Somebody with an address and a consent, whose membership began so.
pub(super) fn member(world: &World, number: u128, consent: Option<bool>, cause: Option<CauseKind>) {
    world.person(number, Some(&address(number)), consent);
    is_in(world, number, cause, world.clock.now());
}

pub(super) fn address(number: u128) -> String {
    format!("p{number}@example.com")
}

fn is_in(world: &World, number: u128, cause: Option<CauseKind>, since: Timestamp) {
    let held = Membership {
        segment: "vip".parse().unwrap(),
        since: Some(since),
        cause,
    };
    let mut people = world.people.lock().unwrap();
    people.get_mut(&ProfileId(number)).unwrap().segments = vec![held];
}

pub(super) fn asked() -> RunAsked {
    RunAsked {
        message: "welcome".to_owned(),
        causes: Vec::new(),
        entered_after: None,
        entered_before: None,
        author: "ops".to_owned(),
        why: "the history was imported".to_owned(),
    }
}

/// A run that has been counted.
pub(super) fn counted(engine: &Engine, asked: &RunAsked) -> RunView {
    let id = engine.ask_run(&SpaceId::main(), asked).unwrap().unwrap();
    while engine.step_runs().unwrap() {}
    view(engine, id)
}

pub(super) fn view(engine: &Engine, id: i64) -> RunView {
    let found = engine.ledger.runs(&SpaceId::main(), None, Some(id), 9).unwrap();
    assert_eq!(found.len(), 1);
    found[0].clone()
}

pub(super) fn start(engine: &Engine, id: u64, count: u64) -> Result<(), RunRefusal> {
    let now = engine.clock.now();
    let named = (&SpaceId::main(), "welcome", i64::try_from(id).unwrap());
    engine.ledger.start_run(named, count, "ann", now).unwrap()
}

fn stop(engine: &Engine, id: u64) -> Result<(), RunRefusal> {
    let named = (&SpaceId::main(), "welcome", i64::try_from(id).unwrap());
    engine.ledger.stop_run(named, "ann", engine.clock.now()).unwrap()
}

/// A run of so many that was counted and confirmed.
pub(super) fn started(engine: &Engine, count: u64) {
    let run = counted(engine, &asked());
    start(engine, run.id, count).unwrap();
}

/// The same, with all reserved that can be.
pub(super) fn reserved(engine: &Engine, count: u64) {
    started(engine, count);
    while engine.step_runs().unwrap() {}
}

/// Counts, confirms, and sends all that can be sent. Returns how many were counted.
pub(super) fn send_all(engine: &Engine, asked: &RunAsked) -> u64 {
    let run_of = counted(engine, asked);
    start(engine, run_of.id, run_of.counted.sends).unwrap();
    while engine.step_runs().unwrap() {}
    run(engine).unwrap();
    run_of.counted.sends
}

fn left_out(reasons: &[(&str, u64)]) -> BTreeMap<String, u64> {
    reasons
        .iter()
        .map(|(reason, people)| ((*reason).to_owned(), *people))
        .collect()
}

#[test]
fn act_6_a_run_counts_first_and_sends_once_to_members_whose_entry_was_not_live() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    for (number, cause) in [
        (1, CauseKind::Import),
        (2, CauseKind::Definition),
        (3, CauseKind::Regrouping),
    ] {
        member(world, number, Some(true), Some(cause));
    }
    member(world, 4, Some(true), Some(CauseKind::Event));
    member(world, 5, Some(true), Some(CauseKind::Clock));
    member(world, 6, None, Some(CauseKind::Import));
    member(world, 7, Some(true), None);
    world.person(8, None, Some(true));
    is_in(world, 8, Some(CauseKind::Import), START);
    // Entered live, had the message, and is a member anew by an import.
    member(world, 9, Some(true), Some(CauseKind::Event));
    world.enter(9);
    run(&engine).unwrap();
    is_in(world, 9, Some(CauseKind::Import), START);
    // An entry of weeks ago is no reason to be too late.
    world.clock.advance(Duration::from_days(30));

    let seen = counted(&engine, &asked());
    assert_eq!(
        (seen.state, seen.counted.members, seen.counted.sends),
        (RunState::Counted, 9, 3)
    );
    let reasons = [
        ("entered_live", 2),
        ("no_consent", 1),
        ("no_address", 1),
        ("cause_unknown", 1),
        ("already_sent", 1),
    ];
    assert_eq!(seen.counted.left_out, left_out(&reasons));
    assert_eq!(
        (seen.author.as_str(), seen.why.as_str()),
        ("ops", "the history was imported")
    );
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 1, "a count sends nothing");

    assert_eq!(start(&engine, seen.id, 9), Err(RunRefusal::OtherCount(3)));
    assert_eq!(start(&engine, seen.id + 1, 3), Err(RunRefusal::NoRun));
    start(&engine, seen.id, 3).unwrap();
    start(&engine, seen.id, 3).unwrap();
    while engine.step_runs().unwrap() {}
    run(&engine).unwrap();
    let sent = view(&engine, 1);
    assert_eq!((sent.state, sent.sent.members, sent.sent.sends), (RunState::Done, 9, 3));
    assert_eq!(sent.sent.left_out, left_out(&reasons));
    assert_eq!(sent.sends, BTreeMap::from([("accepted", 3)]));
    assert_eq!(sent.started, Some(("ann".to_owned(), world.clock.now())));
    let mails = [1, 2, 3, 4, 5, 6, 7, 9].map(|number| world.mails_to(&address(number)));
    assert_eq!(mails, [1, 1, 1, 0, 0, 0, 0, 1]);
    assert_eq!(fixture.skipped(), [], "who is left out has no row");

    // Asked again: everybody has it.
    assert_eq!(send_all(&engine, &asked()), 0);
    assert_eq!(view(&engine, 2).counted.left_out["already_sent"], 4);
    // What may have been live is sent where that is asked for.
    let causes = vec![EntryCause::Unknown];
    assert_eq!(send_all(&engine, &RunAsked { causes, ..asked() }), 1);
    assert_eq!(world.mails_to(&address(7)), 1);
    assert_eq!(view(&engine, 3).counted.left_out["other_cause"], 6);
}

#[test]
fn act_6_a_run_takes_the_causes_and_times_that_are_named_and_nobody_who_enters_later() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    for (number, cause) in [
        (1, CauseKind::Import),
        (2, CauseKind::Import),
        (3, CauseKind::Definition),
    ] {
        world.clock.advance(Duration::from_secs(10));
        member(world, number, Some(true), Some(cause));
    }
    let causes = vec![EntryCause::Import];
    let after = RunAsked {
        causes,
        entered_after: Some(START + Duration::from_secs(20)),
        ..asked()
    };
    let seen = counted(&engine, &after);
    assert_eq!(
        seen.counted.left_out,
        left_out(&[("other_time", 1), ("other_cause", 1)])
    );
    assert_eq!(seen.counted.sends, 1);
    let before = RunAsked {
        entered_before: Some(START + Duration::from_secs(10)),
        ..asked()
    };
    assert_eq!(counted(&engine, &before).counted.sends, 1);

    let seen = counted(&engine, &asked());
    world.clock.advance(Duration::from_secs(1));
    member(world, 4, Some(true), Some(CauseKind::Import));
    // One has left meanwhile, and one entered live again.
    world
        .people
        .lock()
        .unwrap()
        .get_mut(&ProfileId(1))
        .unwrap()
        .segments
        .clear();
    is_in(world, 2, Some(CauseKind::Event), world.clock.now());
    start(&engine, seen.id, 3).unwrap();
    while engine.step_runs().unwrap() {}
    run(&engine).unwrap();
    let sent = view(&engine, 3).sent;
    assert_eq!(
        sent.left_out,
        left_out(&[("entered_live", 1), ("other_time", 1)]),
        "who left is no member"
    );
    assert_eq!(
        [1, 2, 3, 4].map(|number| world.mails_to(&address(number))),
        [0, 0, 1, 0]
    );
}

#[test]
fn act_6_a_run_sends_to_no_more_than_were_counted() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    for number in 1..=5 {
        member(world, number, Some(number < 3), Some(CauseKind::Import));
    }
    let seen = counted(&engine, &asked());
    for number in 3..=5 {
        member(world, number, Some(true), Some(CauseKind::Import));
        is_in(world, number, Some(CauseKind::Import), START);
    }
    start(&engine, seen.id, 2).unwrap();
    while engine.step_runs().unwrap() {}
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 2);
    assert_eq!(view(&engine, 1).sent.left_out, left_out(&[("beyond_count", 3)]));
}

#[test]
fn act_6_consent_and_caps_are_asked_when_a_run_reserves_and_again_when_it_sends() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    world.rule(&json!({ "caps": [{ "at_most": 1, "within": "7d" }] }));
    world.define("other", &super::marketing());
    for number in 1..=4 {
        member(world, number, Some(true), Some(CauseKind::Import));
    }
    // Had another message by a live entry: the cap of the space is used up.
    let welcome = world.definitions.lock().unwrap().remove(0);
    world.enter(1);
    run(&engine).unwrap();
    world.definitions.lock().unwrap().push(welcome);
    let seen = counted(&engine, &asked());
    assert_eq!(seen.counted.left_out, left_out(&[("cap_person", 1)]));
    world.people.lock().unwrap().get_mut(&ProfileId(2)).unwrap().consents[0].granted = false;
    start(&engine, seen.id, 3).unwrap();
    while engine.step_runs().unwrap() {}
    assert_eq!(
        view(&engine, 1).sent.left_out,
        left_out(&[("cap_person", 1), ("no_consent", 1)])
    );
    // Withdrawn after it was reserved.
    world.people.lock().unwrap().get_mut(&ProfileId(3)).unwrap().consents[0].granted = false;
    run(&engine).unwrap();
    assert_eq!(
        [1, 2, 3, 4].map(|number| world.mails_to(&address(number))),
        [1, 0, 0, 1]
    );
    assert_eq!(view(&engine, 1).skipped, left_out(&[("no_consent", 1)]));

    // What was skipped stands for nothing: who agrees again is asked for again, once.
    world.clock.advance(Duration::from_days(8));
    let word = ConsentWord {
        category: "marketing".into(),
        granted: true,
        at: world.clock.now(),
    };
    world.people.lock().unwrap().get_mut(&ProfileId(3)).unwrap().consents = vec![word];
    assert_eq!(send_all(&engine, &asked()), 2);
    assert_eq!(
        [1, 2, 3, 4].map(|number| world.mails_to(&address(number))),
        [2, 0, 1, 1]
    );
}

#[test]
fn act_6_a_run_waits_while_its_message_is_paused_and_is_too_late_three_days_after_its_start() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    for number in 1..=3 {
        member(world, number, Some(true), Some(CauseKind::Import));
    }
    let space = SpaceId::main();
    started(&engine, 3);
    assert!(engine.step_runs().unwrap());
    engine
        .ledger
        .pause(PauseScope::Message(&space, "welcome"), true)
        .unwrap();
    assert!(!engine.step_runs().unwrap());
    run(&engine).unwrap();
    let stands = view(&engine, 1);
    assert_eq!((stands.state, stands.sent.sends), (RunState::Sending, 2));
    assert!(world.accepted.lock().unwrap().is_empty());
    world.clock.advance(Duration::from_days(2));
    engine
        .ledger
        .pause(PauseScope::Message(&space, "welcome"), false)
        .unwrap();
    while engine.step_runs().unwrap() {}
    engine.ledger.pause(PauseScope::All, true).unwrap();
    world.clock.advance(Duration::from_days(2));
    engine.ledger.pause(PauseScope::All, false).unwrap();
    run(&engine).unwrap();
    assert_eq!(view(&engine, 1).skipped, left_out(&[("too_late", 3)]));

    started(&engine, 3);
    world.clock.advance(Duration::from_days(4));
    while engine.step_runs().unwrap() {}
    let ended = view(&engine, 2);
    assert_eq!(
        (ended.state, ended.reason.as_deref()),
        (RunState::Stopped, Some("too_late"))
    );
    assert_eq!(send_all(&engine, &asked()), 3);
    assert_eq!(world.accepted.lock().unwrap().len(), 3);
}

#[test]
fn act_6_nothing_of_a_run_leaves_once_it_is_stopped() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    for number in 1..=5 {
        member(world, number, Some(true), Some(CauseKind::Import));
    }
    started(&engine, 5);
    assert!(engine.step_runs().unwrap());
    assert!(engine.step_runs().unwrap());
    let due = engine.ledger.due(world.clock.now(), 9, &[]).unwrap();
    engine.attempt(due[0].id).unwrap();
    stop(&engine, 1).unwrap();
    // Taken up by a worker before the stop, and asked at the last moment.
    engine.attempt(due[1].id).unwrap();
    assert_eq!(
        engine.ask_run(&SpaceId::main(), &asked()).unwrap(),
        Err(RunRefusal::AtWork(1))
    );
    while engine.step_runs().unwrap() {}
    stop(&engine, 1).unwrap();
    run(&engine).unwrap();
    let stopped = view(&engine, 1);
    assert_eq!(
        (stopped.state, stopped.stopped_by.as_deref()),
        (RunState::Stopped, Some("ann"))
    );
    assert_eq!(stopped.sends, BTreeMap::from([("accepted", 1), ("skipped", 3)]));
    assert_eq!(world.accepted.lock().unwrap().len(), 1);
    assert_eq!(start(&engine, 1, 5), Err(RunRefusal::Over(RunState::Stopped)));
    // The others are asked for again.
    assert_eq!(send_all(&engine, &asked()), 4);
    assert_eq!(world.accepted.lock().unwrap().len(), 5);
    assert_eq!(stop(&engine, 2), Err(RunRefusal::Over(RunState::Done)));
}

#[test]
fn act_6_a_count_is_confirmed_within_a_day_for_the_message_that_was_counted() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    member(world, 1, Some(true), Some(CauseKind::Import));
    let space = SpaceId::main();
    let unknown = RunAsked {
        message: "nothing".to_owned(),
        ..asked()
    };
    assert_eq!(engine.ask_run(&space, &unknown).unwrap(), Err(RunRefusal::NoMessage));
    engine.ask_run(&space, &asked()).unwrap().unwrap();
    assert_eq!(start(&engine, 1, 0), Err(RunRefusal::NotCounted));
    // Another one takes its place.
    let seen = counted(&engine, &asked());
    assert_eq!(start(&engine, 1, 1), Err(RunRefusal::Over(RunState::Replaced)));
    world.clock.advance(Duration::from_secs(86_401));
    assert_eq!(start(&engine, seen.id, 1), Err(RunRefusal::TooOld));
    started(&engine, 1);
    // What was counted was marketing.
    world.definitions.lock().unwrap().clear();
    world.define("welcome", &super::transactional());
    while engine.step_runs().unwrap() {}
    let ended = view(&engine, 3);
    assert_eq!(
        (ended.state, ended.reason.as_deref()),
        (RunState::Stopped, Some("definition_changed"))
    );
    assert!(world.accepted.lock().unwrap().is_empty());
}

#[test]
fn act_6_what_happens_live_is_sent_before_what_was_asked_for() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    for number in 1..=3 {
        member(world, number, Some(true), Some(CauseKind::Import));
    }
    reserved(&engine, 3);
    world.clock.advance(Duration::from_secs(1));
    member(world, 4, Some(true), Some(CauseKind::Event));
    world.enter(4);
    while engine.take_entries(&SpaceId::main()).unwrap() {}
    let due = engine.ledger.due(world.clock.now(), 2, &[]).unwrap();
    assert_eq!(due.len(), 2);
    engine.attempt(due[0].id).unwrap();
    assert_eq!(world.mails_to(&address(4)), 1);
}

#[test]
fn act_6_a_run_waits_while_people_cannot_be_told_apart() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    for number in 1..=3 {
        member(world, number, Some(true), Some(CauseKind::Import));
    }
    started(&engine, 3);
    assert!(engine.step_runs().unwrap());
    for unknown in [&world.rederiving, &world.members_unknown] {
        *unknown.lock().unwrap() = true;
        assert!(!engine.step_runs().unwrap());
        *unknown.lock().unwrap() = false;
    }
    while engine.step_runs().unwrap() {}
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 3);
}

#[test]
fn act_6_a_run_reserves_no_more_than_may_wait_and_goes_on_as_they_leave() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    for number in 1..=9 {
        member(world, number, Some(true), Some(CauseKind::Import));
    }
    started(&engine, 9);
    let waiting = || {
        while engine.step_runs().unwrap() {}
        view(&engine, 1).sends["reserved"]
    };
    assert_eq!(waiting(), 6);
    let due = engine.ledger.due(world.clock.now(), 1, &[]).unwrap();
    engine.attempt(due[0].id).unwrap();
    assert_eq!(waiting(), 7, "a page more");
    run(&engine).unwrap();
    assert_eq!(waiting(), 1);
    run(&engine).unwrap();
    while engine.step_runs().unwrap() {}
    assert_eq!(
        (view(&engine, 1).state, world.accepted.lock().unwrap().len()),
        (RunState::Done, 9)
    );
}
