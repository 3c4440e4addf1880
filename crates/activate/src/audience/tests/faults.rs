//! Receivers that fail, processes that die, changes that are lost: nothing is told falsely, and nothing is held up for ever.

use super::{Ground, Process, change};
use crate::audience::Posted;
use crate::audience::batch::{Call, Page, body};
use crate::engine::{Boundary, DieAt};
use crate::ledger::{Named, Source, Tally, Telling};
use crate::tests::runtime;
use crate::{ActivateErrorKind, PauseScope};
use kith_types::{Duration, ProfileId, SpaceId};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn tally(process: &Process) -> Tally {
    process.engine.ledger.tally(&SpaceId::main(), "crm").unwrap()
}

/// Who is told what, in order, where three are members and five change.
fn scene(ground: &Arc<Ground>) {
    (1..=3).for_each(|person| ground.member("vip", person));
}

fn happens(ground: &Arc<Ground>) {
    ground.enter(4);
    ground.exit(1);
    ground.enter(1);
    ground.exit(4);
    ground.exit(2);
}

#[test]
fn seg_5_wherever_a_process_dies_each_change_is_kept_once_and_in_order() {
    let expected: Vec<(String, bool)> = [
        (1, true),
        (2, true),
        (3, true),
        (4, true),
        (1, false),
        (1, true),
        (4, false),
        (2, false),
    ]
    .map(|(person, is_in)| (format!("user-{person}"), is_in))
    .to_vec();
    let runtime = runtime();
    for boundary in [Boundary::Told, Boundary::ToldRecorded] {
        for nth in 0..3 {
            let (ground, folder) = (Ground::new(), tempfile::tempdir().unwrap());
            ground.define("crm", &json!({}));
            scene(&ground);
            let seen = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&seen);
            let die_at: DieAt =
                Arc::new(move |reached| reached == boundary && counted.fetch_add(1, Ordering::SeqCst) == nth);
            let mut process = Process::start(&ground, folder.path(), &runtime, Some(die_at));
            let mut died = process.run().is_err();
            happens(&ground);
            died |= !died && process.run().is_err();
            drop(process);
            let mut again = Process::start(&ground, folder.path(), &runtime, None);
            again.run().unwrap();
            assert!(died, "{boundary:?} {nth}: it is reached");
            assert_eq!(ground.told("track"), expected, "{boundary:?} {nth}");
            assert_eq!(ground.told("identify"), expected, "{boundary:?} {nth}");
            let taken = ground.taken.lock().unwrap().len();
            let repeated = taken > ground.kept().len();
            assert_eq!(
                repeated,
                boundary == Boundary::Told,
                "only what was not recorded is sent again"
            );
            assert_eq!(
                ground.world.changes.lock().unwrap().len(),
                0,
                "the outbox may forget all of it"
            );
        }
    }
}

#[test]
fn seg_5_what_was_taken_and_could_not_be_recorded_is_told_again_under_its_ids_and_holds_up_nothing() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track" }));
    scene(&ground);
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    let beside = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    const FULL: &str = "CREATE TRIGGER full BEFORE DELETE ON telling BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    // First with members that wait, and then with changes, of which a page holds three.
    for (while_full, told, change) in [(3, 3, false), (6, 8, true)] {
        beside.execute_batch(FULL).unwrap();
        if change {
            happens(&ground);
        }
        for _ in 0..2 {
            assert_eq!(process.run().unwrap_err().kind(), ActivateErrorKind::Storage);
        }
        assert_eq!(ground.told("track").len(), while_full, "taken, and not recorded");
        beside.execute_batch("DROP TRIGGER full").unwrap();
        process.run().unwrap();
        // What the receiver keeps by message id is whole, in order and of one telling.
        assert_eq!(ground.told("track").len(), told);
        assert_eq!(tally(&process).sent, told as u64, "counted once");
    }
    assert_eq!(tally(&process).members, 0);
    assert_eq!(
        ground.world.changes.lock().unwrap().len(),
        0,
        "the outbox may forget all of it"
    );
}

#[test]
fn seg_5_a_receiver_that_is_down_is_tried_again_later_and_later_and_misses_nothing() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    let down = |after| Posted::Later("the receiver answered 503".to_owned(), after);
    let asked = std::time::Duration::from_secs(40);
    ground
        .answers
        .lock()
        .unwrap()
        .extend([down(None), down(None), down(Some(asked))]);
    (1..=5).for_each(|person| ground.enter(person));
    let requests = |ground: &Ground| ground.requests.lock().unwrap().len();
    // Waits of one and two seconds, and then as long as the receiver asked for.
    for (before, wait) in [(1, 1), (2, 2), (3, 40)] {
        process.run().unwrap();
        process.run().unwrap();
        assert_eq!(requests(&ground), before);
        assert_eq!(
            process.delivery.standing().fault.as_deref(),
            Some("the receiver answered 503")
        );
        ground.world.clock.advance(Duration::from_micros(wait * 1_000_000 - 1));
        process.run().unwrap();
        assert_eq!(requests(&ground), before, "not before the wait is over");
        ground.world.clock.advance(Duration::from_micros(1));
    }
    // Nothing of it may be forgotten meanwhile: three are decided, and the others are in the outbox.
    assert_eq!(tally(&process).deciding, 3);
    assert_eq!(ground.world.changes.lock().unwrap().len(), 2);
    process.run().unwrap();
    assert_eq!(ground.told("track").len(), 5);
    assert_eq!(process.delivery.standing(), &Default::default());
}

#[test]
fn seg_5_what_is_refused_is_found_counted_and_holds_up_nobody() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    *ground.poison.lock().unwrap() = Some("user-3".to_owned());
    (1..=9).for_each(|person| ground.enter(person));
    process.run().unwrap();
    let told: Vec<String> = ground.told("track").into_iter().map(|(who, _)| who).collect();
    let others: Vec<String> = (1..=9).filter(|at| *at != 3).map(|at| format!("user-{at}")).collect();
    assert_eq!(told, others, "in their order");
    let stands = tally(&process);
    assert_eq!(
        (stands.sent, stands.refused, stands.last_refusal.as_deref()),
        (8, 1, Some("bad user"))
    );
    // A receiver that tells which events of a batch it refused.
    let partly = Posted::Taken(vec![(0, "no such user".to_owned()), (77, "nothing".to_owned())]);
    ground.answers.lock().unwrap().push_back(partly);
    ground.exit(4);
    ground.exit(5);
    process.run().unwrap();
    let stands = tally(&process);
    assert_eq!((stands.sent, stands.refused, stands.next_number), (9, 2, 11));
    assert_eq!(stands.last_refusal.as_deref(), Some("no such user"));
}

#[test]
fn seg_5_an_event_that_no_receiver_takes_is_refused_here() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({}));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    ground
        .world
        .people
        .lock()
        .unwrap()
        .get_mut(&ProfileId(1))
        .unwrap()
        .user_id = Some("u".repeat(40_000));
    ground.enter(1);
    ground.enter(2);
    process.run().unwrap();
    let stands = tally(&process);
    assert_eq!((stands.sent, stands.refused, stands.next_number), (2, 2, 2));
    assert!(stands.last_refusal.unwrap().contains("larger than 32768 bytes"));
}

#[test]
fn act_6_a_paused_destination_is_told_nothing_and_everything_afterwards() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    let space = SpaceId::main();
    for (person, scope) in [
        (1, PauseScope::All),
        (2, PauseScope::Space(&space)),
        (3, PauseScope::Destination(&space, "crm")),
    ] {
        process.engine.ledger.pause(scope, true).unwrap();
        ground.enter(person);
        process.run().unwrap();
        let told = ground.told("track").len();
        assert!(tally(&process).paused);
        process.engine.ledger.pause(scope, false).unwrap();
        process.run().unwrap();
        assert_eq!(ground.told("track").len(), told + 1, "{scope:?}");
    }
    process
        .engine
        .ledger
        .pause(PauseScope::Message(&space, "crm"), true)
        .unwrap();
    assert!(!tally(&process).paused, "a message of that name is another thing");
}

#[test]
fn seg_5_who_entered_by_changes_that_are_gone_is_told_and_nobody_is_told_again() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track", "segments": "all" }));
    ground.member("vip", 9);
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    let later = || ground.world.clock.advance(Duration::from_secs(1));
    // Each is a member from then on.
    let enters = |person| {
        later();
        ground.enter(person);
        ground.member("vip", person);
    };
    enters(1);
    process.run().unwrap();
    (2..=5).for_each(enters);
    ground.world.changes.lock().unwrap().drain(..2);
    process.run().unwrap();
    let told = || -> Vec<String> { ground.told("track").into_iter().map(|(who, _)| who).collect() };
    // First what is still there, and then what is compared.
    let all = ["user-9", "user-1", "user-4", "user-5", "user-2", "user-3"];
    assert_eq!(told(), all);
    let causes: Vec<_> = ground
        .kept()
        .iter()
        .map(|event| event["context"]["kith"]["cause"].clone())
        .collect();
    assert_eq!(causes, ["connected", "event", "event", "event", "compared", "compared"]);
    assert_eq!((tally(&process).missed, tally(&process).next_number), (2, 5));
    // A state that was lost and is built again counts from a block of its own; everything was told.
    later();
    let block = 1_u64 << 32;
    ground.members.lock().unwrap().retain(|(_, profile, _)| profile.0 != 1);
    ground.world.changes.lock().unwrap().push((block, change(1, false)));
    process.run().unwrap();
    assert_eq!(told()[..6], all);
    assert_eq!(ground.told("track")[6..], [("user-1".to_owned(), false)]);
    assert_eq!((tally(&process).missed, tally(&process).next_number), (2, block + 1));
}

#[test]
fn seg_5_definitions_that_cannot_be_read_are_no_word_that_there_are_none() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    *ground.world.definitions_fail.lock().unwrap() = true;
    ground.enter(1);
    assert_eq!(process.run().unwrap_err().kind(), ActivateErrorKind::Port);
    *ground.world.definitions_fail.lock().unwrap() = false;
    process.run().unwrap();
    assert_eq!(ground.told("track").len(), 1);
}

#[test]
fn seg_5_batches_hold_to_the_limits_of_the_field() {
    let call = |size: usize| Call {
        json: "x".repeat(size),
        telling: Telling {
            id: 1,
            said: true,
            source: Source::Change(1),
            segment: "vip".parse().unwrap(),
            profile: change(1, true).profile,
            entered: true,
            at: change(1, true).at,
            cause: "event".to_owned(),
            named: Named::User("ada".to_owned()),
        },
        is_last: true,
        before: Default::default(),
    };
    let sizes = |calls: Vec<Call>| {
        let page = Page {
            calls,
            ..Page::default()
        };
        let batches = page.batches();
        let bytes_max = batches.iter().map(|calls| body(calls, change(1, true).at).len()).max();
        let counts: Vec<usize> = batches.iter().map(|calls| calls.len()).collect();
        (counts, bytes_max.unwrap_or(0))
    };
    assert_eq!(sizes(vec![]), (vec![], 0));
    assert_eq!(sizes(vec![call(10); 1_001]).0, [1_000, 1]);
    let (counts, bytes_max) = sizes(vec![call(32 << 10); 40]);
    assert_eq!(counts.iter().sum::<usize>(), 40);
    assert!(bytes_max <= 500_000, "{bytes_max}");
}

#[test]
fn seg_5_the_outbox_is_kept_whole_while_a_destination_is_connected_and_the_end_waits_for_no_members() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    let space = SpaceId::main();
    ground.enter(1);
    ground.member("vip", 1);
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    let before = process.engine.wanted(&space).unwrap();
    assert!(before > 0, "messages have passed a change");
    ground.define("crm", &json!({}));
    let Process { engine, delivery } = &mut process;
    assert!(delivery.turn(engine, &|| true).is_err(), "the server ends");
    assert!(engine.ledger.destination(&space, "crm").unwrap().is_none());
    let seen = std::sync::Mutex::new(Vec::new());
    let ask = || {
        seen.lock().unwrap().push(engine.wanted(&space).unwrap());
        false
    };
    delivery.turn(engine, &ask).unwrap();
    assert_eq!(seen.lock().unwrap()[0], 0, "while members are written down");
    assert_eq!(engine.wanted(&space).unwrap(), before);
    process.run().unwrap();
    assert_eq!(ground.told("track").len(), 1);
}
