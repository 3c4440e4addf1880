//! Who gets what: one send an entry, consent, causes, pause, suppression (contracts ACT-1 and ACT-6).

use super::{START, World, engine, marketing, run, runtime};
use crate::{ConsentWord, PauseScope, SendOutcome, SendState};
use kith_segment::Cause;
use kith_types::{Clock, Duration, EventKey, ProfileId, SpaceId};
use serde_json::json;
use std::sync::Arc;

pub(super) struct Fixture {
    pub(super) world: Arc<World>,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let world = World::new();
        world.define("welcome", &marketing());
        Self {
            world,
            runtime: runtime(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn engine(&self) -> crate::engine::Engine {
        engine(self.folder.path(), &self.world, &self.runtime, None)
    }

    pub(super) fn skipped(&self) -> Vec<(String, u64)> {
        let status = self.engine().ledger.status(&[SpaceId::main()]).unwrap();
        status.spaces["main"].skipped.clone().into_iter().collect()
    }
}

/// The token in the link of the mail that was taken last.
fn last_token(world: &World) -> String {
    let url = world
        .accepted
        .lock()
        .unwrap()
        .last()
        .unwrap()
        .unsubscribe_url
        .clone()
        .unwrap();
    url.strip_prefix("https://kith.example.com/u/").unwrap().to_owned()
}

#[test]
fn act_1_one_send_per_entry_profile_address() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    world.person(1, Some(" Jo@Example.com"), Some(true));
    world.person(2, Some("jo@example.com"), Some(true));
    world.enter(1);
    world.enter(2);
    world.change(1, false, Cause::Clock);
    world.enter(1);
    let told = world.changes.lock().unwrap().clone();
    run(&fixture.engine()).unwrap();
    assert_eq!(
        world.mails_to("jo@example.com"),
        3,
        "two entries of one person and one of another"
    );
    // The outbox is read again from the start, as after a lost cursor: the rows are there already.
    let again = fixture.engine();
    world.changes.lock().unwrap().clone_from(&told);
    let cursor = rusqlite::Connection::open(fixture.folder.path().join("ledger.db")).unwrap();
    cursor.execute("DELETE FROM cursors", []).unwrap();
    run(&again).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 3);
    let ids: std::collections::HashSet<String> = world
        .accepted
        .lock()
        .unwrap()
        .iter()
        .map(|mail| mail.message_id.clone())
        .collect();
    assert_eq!(ids.len(), 3, "every send has an id of its own");
    assert_eq!(again.ledger.next_number(&SpaceId::main()).unwrap(), 4);
}

#[test]
fn act_6_import_and_definition_entries_send_nothing() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    world.person(1, Some("jo@example.com"), Some(true));
    for cause in [Cause::Import, Cause::Import, Cause::Definition, Cause::Regrouping] {
        world.change(1, true, cause);
    }
    let engine = fixture.engine();
    run(&engine).unwrap();
    assert!(world.accepted.lock().unwrap().is_empty());
    assert!(world.events.lock().unwrap().is_empty());
    let status = engine.ledger.status(&[]).unwrap().spaces["main"].clone();
    assert!(status.sends.is_empty(), "counted, not kept one by one");
    let entries = |cause: &str| status.not_live[&("welcome".to_owned(), cause.to_owned())];
    assert_eq!(
        (entries("import"), entries("definition"), entries("regrouping")),
        (2, 1, 1)
    );
    let counts = engine.ledger.counts(&SpaceId::main()).unwrap();
    let counts = counts.iter().map(|one| (one.state, one.count));
    assert_eq!(counts.collect::<Vec<_>>(), [(None, 1), (None, 2), (None, 1)]);
    for cause in [Cause::Clock, Cause::Event(EventKey(1))] {
        world.change(1, true, cause);
    }
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 2, "what happens live sends");
}

#[test]
fn act_6_no_consent_no_marketing() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    world.define("receipt", &super::transactional());
    for (person, consent) in [(1, None), (2, Some(false)), (3, Some(true))] {
        world.person(person, Some(&format!("p{person}@example.com")), consent);
        world.enter(person);
    }
    world.person(4, None, Some(true));
    world.enter(4);
    world.enter(5);
    run(&fixture.engine()).unwrap();
    let mut marketing: Vec<String> = world
        .accepted
        .lock()
        .unwrap()
        .iter()
        .filter(|mail| mail.unsubscribe_url.is_some())
        .map(|mail| mail.to.clone())
        .collect();
    marketing.sort();
    assert_eq!(marketing, ["p3@example.com"]);
    assert_eq!(
        world.accepted.lock().unwrap().len(),
        4,
        "three receipts need no consent"
    );
    let expected = [("no_address", 2), ("no_consent", 2), ("no_person", 2)];
    assert_eq!(
        fixture.skipped(),
        expected.map(|(reason, count)| (reason.to_owned(), count))
    );
}

#[test]
fn act_1_consent_is_asked_again_at_the_moment_of_sending() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let engine = fixture.engine();
    for person in 1..=3 {
        world.person(person, Some(&format!("p{person}@example.com")), Some(true));
        world.enter(person);
    }
    while engine.take_entries(&SpaceId::main()).unwrap() {}
    world.person(1, Some("p1@example.com"), Some(false));
    world.person(2, Some("other@example.com"), Some(true));
    run(&engine).unwrap();
    assert_eq!(world.mails_to("p3@example.com"), 1);
    assert_eq!(world.accepted.lock().unwrap().len(), 1);
    assert_eq!(
        fixture.skipped(),
        [("address_changed".to_owned(), 1), ("no_consent".to_owned(), 1)]
    );
    assert_eq!(world.event_names(), ["Email Sent", "Email Skipped", "Email Skipped"]);
}

#[test]
fn act_1_who_left_the_segment_gets_nothing_where_the_message_says_so() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let mut spec = marketing();
    spec["only_while_in_segment"] = json!(true);
    world.define("while_there", &spec);
    world.person(1, Some("p1@example.com"), Some(true));
    world.enter(1);
    world
        .people
        .lock()
        .unwrap()
        .get_mut(&ProfileId(1))
        .unwrap()
        .segments
        .clear();
    run(&fixture.engine()).unwrap();
    assert_eq!(
        world.accepted.lock().unwrap().len(),
        1,
        "the other message asks for no membership"
    );
    assert_eq!(fixture.skipped(), [("no_longer_member".to_owned(), 1)]);
}

#[test]
fn act_6_pause_holds_what_is_due_and_survives_a_restart() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    world.person(1, Some("p1@example.com"), Some(true));
    let space = SpaceId::main();
    for scope in [
        PauseScope::All,
        PauseScope::Space(&space),
        PauseScope::Message(&space, "welcome"),
    ] {
        fixture.engine().ledger.pause(scope, true).unwrap();
        let before = world.accepted.lock().unwrap().len();
        world.enter(1);
        run(&fixture.engine()).unwrap();
        let engine = fixture.engine();
        let status = engine.ledger.status(&[]).unwrap();
        assert_eq!(status.all_paused, scope == PauseScope::All);
        assert_eq!(status.spaces["main"].paused, !matches!(scope, PauseScope::Message(..)));
        assert_eq!(engine.ledger.paused().unwrap(), [scope.key()]);
        assert_eq!(status.spaces["main"].sends["reserved"], 1, "it waits");
        assert_eq!(world.accepted.lock().unwrap().len(), before);
        engine.ledger.pause(scope, false).unwrap();
        run(&engine).unwrap();
        assert_eq!(world.accepted.lock().unwrap().len(), before + 1);
    }
    // What else there is goes on, and a pause of something that has another's name holds nothing up.
    let going = fixture.engine();
    going.ledger.pause(PauseScope::Message(&space, "other"), true).unwrap();
    let before = world.accepted.lock().unwrap().len();
    world.enter(1);
    run(&going).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), before + 1);
    // A pause that comes between rendering and the mark holds as well.
    world.enter(1);
    let ledger = Arc::new(fixture.engine());
    let pausing = ledger.clone();
    let die_at: crate::engine::DieAt = Arc::new(move |boundary| {
        if boundary == crate::engine::Boundary::Rendered {
            pausing.ledger.pause(PauseScope::All, true).unwrap();
        }
        false
    });
    let engine = engine(fixture.folder.path(), world, &fixture.runtime, Some(die_at));
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), before + 1);
}

#[test]
fn act_6_unsubscribing_is_at_once_once_and_only_by_the_link() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let engine = fixture.engine();
    let person = |consent| world.person(1, Some("p1@example.com"), consent);
    person(Some(true));
    world.enter(1);
    run(&engine).unwrap();
    let hash = crate::engine::token_hash(&last_token(world));
    assert!(
        engine
            .ledger
            .look_up(&crate::engine::token_hash("guess"))
            .unwrap()
            .is_none()
    );
    let found = engine.ledger.look_up(&hash).unwrap().unwrap();
    assert_eq!(
        (found.masked_address.as_str(), found.sender.as_str()),
        ("p…@example.com", "Kith Shop")
    );
    // A reservation made before, and looking the link up, change nothing.
    world.enter(1);
    while engine.take_entries(&SpaceId::main()).unwrap() {}
    assert_eq!(engine.ledger.look_up(&hash).unwrap().unwrap().unsubscribed_at, None);
    world.clock.advance(Duration::from_secs(10));
    for first in [true, false] {
        let (_, was_first) = engine.ledger.unsubscribe(&hash, world.clock.now()).unwrap().unwrap();
        assert_eq!(was_first, first);
    }
    // The profile still says yes: the ledger holds at once.
    world.enter(1);
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 1);
    assert_eq!(fixture.skipped(), [("unsubscribed".to_owned(), 2)]);
    let events = world.events.lock().unwrap().clone();
    let ended: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "Email Unsubscribed")
        .collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(
        ended[0]["context"]["consent"]["categoryPreferences"],
        json!({ "marketing": false })
    );
    assert_eq!(ended[0]["userId"], "user-1");
    // Consent given anew ends it.
    world.clock.advance(Duration::from_secs(10));
    person(None);
    let word = ConsentWord {
        category: "marketing".into(),
        granted: true,
        at: world.clock.now(),
    };
    world.people.lock().unwrap().get_mut(&ProfileId(1)).unwrap().consents = vec![word];
    world.enter(1);
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 2);
}

#[test]
fn act_2_refusals_are_repeated_ended_or_suppressed() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let engine = fixture.engine();
    let refused = |permanent, code, text: &str| SendOutcome::Rejected {
        permanent,
        code,
        text: text.into(),
    };
    world.person(1, Some("p1@example.com"), Some(true));
    world.enter(1);
    world.answers.lock().unwrap().extend([
        refused(false, 451, "4.7.1 later"),
        SendOutcome::NotSent("refused".into()),
    ]);
    for wait in [0, 1, 2] {
        world.clock.advance(Duration::from_secs(wait));
        run(&engine).unwrap();
    }
    assert_eq!(world.mails_to("p1@example.com"), 1, "twice put off, then sent");
    let gone = refused(true, 550, "5.1.1 <p2@example.com> no such user");
    world.person(2, Some("p2@example.com"), Some(true));
    world.answers.lock().unwrap().push(gone);
    world.enter(2);
    world.enter(2);
    run(&engine).unwrap();
    assert_eq!(world.mails_to("p2@example.com"), 0);
    assert_eq!(
        fixture.skipped(),
        [("suppressed".to_owned(), 1)],
        "a hard bounce suppresses the address"
    );
    let failed = world
        .events
        .lock()
        .unwrap()
        .iter()
        .find(|event| event["event"] == "Email Failed")
        .cloned()
        .unwrap();
    assert!(
        !failed.to_string().contains("p2@example.com"),
        "no address in an event: {failed}"
    );
    assert_eq!(failed["properties"]["address_domain"], "example.com");
}

#[test]
fn act_1_what_waited_too_long_is_not_sent() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let engine = fixture.engine();
    world.person(1, Some("p1@example.com"), Some(true));
    world.enter(1);
    while engine.take_entries(&SpaceId::main()).unwrap() {}
    world.clock.set(START + Duration::from_days(4));
    run(&engine).unwrap();
    assert_eq!(fixture.skipped(), [("too_late".to_owned(), 1)]);
}

/// Two people who agree to mail, of whom the first has entered and has a send.
fn with_one_reserved() -> (Fixture, crate::engine::Engine) {
    let fixture = Fixture::new();
    let engine = fixture.engine();
    for number in [1, 2] {
        fixture
            .world
            .person(number, Some(&format!("p{number}@example.com")), Some(true));
    }
    fixture.world.enter(1);
    while engine.take_entries(&SpaceId::main()).unwrap() {}
    (fixture, engine)
}

#[test]
fn act_1_while_identity_is_worked_out_anew_what_is_due_waits_and_nobody_is_taken_for_gone() {
    let (fixture, engine) = with_one_reserved();
    let world = &fixture.world;
    *world.rederiving.lock().unwrap() = true;
    world.enter(2);
    for _ in 0..5 {
        run(&engine).unwrap();
        world.clock.advance(Duration::from_secs(3));
    }
    let status = engine.ledger.status(&[]).unwrap().spaces["main"].clone();
    assert_eq!(status.sends["reserved"], 1, "the second entry is not taken yet");
    assert_eq!(status.sends.len(), 1, "nothing is skipped");
    assert_eq!(world.changes.lock().unwrap().len(), 1, "it waits in the outbox");
    *world.rederiving.lock().unwrap() = false;
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 2);
}

#[test]
fn act_1_while_definitions_cannot_be_read_nothing_is_passed_over_and_no_rule_is_forgotten() {
    let (fixture, engine) = with_one_reserved();
    let world = &fixture.world;
    *world.definitions_fail.lock().unwrap() = true;
    world.enter(2);
    for _ in 0..3 {
        assert!(run(&engine).is_err());
        for due in engine.ledger.due(world.clock.now(), 100, &[]).unwrap() {
            assert!(engine.attempt(due.id).is_err());
        }
        world.clock.advance(Duration::from_secs(3));
    }
    let status = engine.ledger.status(&[]).unwrap().spaces["main"].clone();
    assert_eq!(
        (status.sends["reserved"], status.sends.len()),
        (1, 1),
        "nothing is skipped"
    );
    assert!(world.accepted.lock().unwrap().is_empty());
    *world.definitions_fail.lock().unwrap() = false;
    world.clock.advance(Duration::from_secs(600));
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 2);
}

#[test]
fn act_1_the_outbox_forgets_what_was_taken_and_a_gap_is_counted_once() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    world.person(1, Some("p1@example.com"), Some(true));
    // What sends nothing moves the cursor as well, in the end.
    world.enter(1);
    (0..20).for_each(|_| world.change(1, false, Cause::Clock));
    run(&fixture.engine()).unwrap();
    assert_eq!(*world.passed.lock().unwrap(), 21);
    assert!(world.changes.lock().unwrap().is_empty());
    // Seven changes are lost before they are taken, one is left; the loss is told once, whatever comes after.
    (0..8).for_each(|_| world.enter(1));
    world.changes.lock().unwrap().drain(..7);
    for _ in 0..2 {
        run(&fixture.engine()).unwrap();
        let status = fixture.engine().ledger.status(&[]).unwrap();
        assert_eq!(status.spaces["main"].missed, 7);
    }
    assert_eq!(world.mails_to("p1@example.com"), 2);
    // A state that was built again counts from a block of its own: nothing is missing.
    *world.passed.lock().unwrap() = 1 << 32;
    world.enter(1);
    run(&fixture.engine()).unwrap();
    let status = fixture.engine().ledger.status(&[]).unwrap();
    assert_eq!(status.spaces["main"].missed, 7);
    assert_eq!(world.mails_to("p1@example.com"), 3);
}

#[test]
fn act_5_a_missing_variable_skips_that_send_with_the_reason() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let mut listener = fixture.engine().listen();
    world.person(1, Some("p1@example.com"), Some(true));
    world.person(2, Some("p2@example.com"), Some(true));
    world
        .people
        .lock()
        .unwrap()
        .get_mut(&ProfileId(1))
        .unwrap()
        .traits
        .clear();
    world.enter(1);
    world.enter(2);
    let engine = fixture.engine();
    assert!(listener.try_recv().is_err());
    let mut listener = engine.listen();
    run(&engine).unwrap();
    assert_eq!(world.mails_to("p2@example.com"), 1);
    assert_eq!(
        fixture.skipped(),
        [("missing_variable:profile.traits.first_name".to_owned(), 1)]
    );
    let mut states = Vec::new();
    while let Ok(item) = listener.try_recv() {
        assert!(!format!("{item:?}").contains('@'), "no address for listeners");
        states.push(item.state);
    }
    let expected = [
        SendState::Reserved,
        SendState::Reserved,
        SendState::Skipped,
        SendState::Accepted,
    ];
    assert_eq!(states, expected);
}
