//! Caps and quiet hours, decided when a send is reserved and again when it leaves (contract ACT-1).

use super::crash::{death, files_after_kill, scratch};
use super::{START, World, engine, marketing, run, runtime};
use crate::{SendOutcome, SendState, SendView, SendsOf};
use kith_types::{Clock, Duration, ProfileId, SpaceId};
use serde_json::{Value, json};
use std::sync::Arc;

fn world(people: u128) -> Arc<World> {
    let world = World::new();
    world.define("welcome", &marketing());
    for person in 1..=people {
        world.person(person, Some(&format!("p{person}@example.com")), Some(true));
    }
    world
}

fn message(change: &[(&str, Value)]) -> Value {
    let mut spec = marketing();
    for (name, value) in change {
        spec[*name] = value.clone();
    }
    spec
}

fn reasons(engine: &crate::engine::Engine) -> Vec<(String, u64)> {
    let status = engine.ledger.status(&[SpaceId::main()]).unwrap();
    status.spaces["main"].skipped.clone().into_iter().collect()
}

#[test]
fn act_1_a_cap_holds_per_person_over_all_marketing_and_its_window_moves() {
    let world = world(2);
    world.define("again", &marketing());
    world.define("receipt", &super::transactional());
    world.rule(&json!({ "caps": [{ "at_most": 3, "within": "24h" }] }));
    let (runtime, folder) = (runtime(), scratch());
    let engine = engine(folder.path(), &world, &runtime, None);
    for _ in 0..3 {
        world.enter(1);
        run(&engine).unwrap();
        world.clock.advance(Duration::from_secs(3_600));
    }
    world.enter(2);
    run(&engine).unwrap();
    let marketing_to = |address: &str| {
        let mails = world.accepted.lock().unwrap();
        mails
            .iter()
            .filter(|mail| mail.to == address && mail.unsubscribe_url.is_some())
            .count()
    };
    assert_eq!((marketing_to("p1@example.com"), marketing_to("p2@example.com")), (3, 2));
    assert_eq!(
        world.mails_to("p1@example.com"),
        6,
        "receipts are neither held back nor counted"
    );
    assert_eq!(reasons(&engine), [("cap_person".to_owned(), 3)]);
    // The first two have left the window a day after they left.
    world.clock.advance(Duration::from_secs(21 * 3_600));
    world.enter(1);
    run(&engine).unwrap();
    assert_eq!(marketing_to("p1@example.com"), 5);
}

#[test]
fn act_1_a_message_has_caps_of_its_own_and_merged_people_count_as_one() {
    let world = World::new();
    world.define(
        "welcome",
        &message(&[("caps", json!([{ "at_most": 1, "within": "7d" }]))]),
    );
    world.define("other", &marketing());
    world.rule(&json!({ "caps": [{ "at_most": 3, "within": "7d", "channel": "email" }] }));
    world.person(1, Some("p1@example.com"), Some(true));
    let (runtime, folder) = (runtime(), scratch());
    let engine = engine(folder.path(), &world, &runtime, None);
    world.enter(1);
    run(&engine).unwrap();
    // Somebody else turns out to be the same person, and has another address now.
    world.person(2, Some("new@example.com"), Some(true));
    world.people.lock().unwrap().get_mut(&ProfileId(2)).unwrap().profile = ProfileId(1);
    (0..3).for_each(|_| world.enter(2));
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 3);
    let skipped = [("cap_channel".to_owned(), 2), ("cap_message".to_owned(), 3)];
    assert_eq!(reasons(&engine), skipped);
}

#[test]
fn act_1_what_went_to_any_address_of_a_person_counts() {
    let world = world(2);
    world.rule(&json!({ "caps": [{ "at_most": 2, "within": "7d" }] }));
    let (runtime, folder) = (runtime(), scratch());
    let engine = engine(folder.path(), &world, &runtime, None);
    (0..2).for_each(|_| world.enter(2));
    run(&engine).unwrap();
    // The second turns out to be the first, who entered before under another address.
    let mut people = world.people.lock().unwrap();
    let first = people.get_mut(&ProfileId(1)).unwrap();
    first.addresses.push("p2@example.com".to_owned());
    drop(people);
    world.enter(1);
    run(&engine).unwrap();
    assert_eq!(reasons(&engine), [("cap_person".to_owned(), 1)]);
}

#[test]
fn act_1_what_was_not_sent_uses_up_no_cap_and_what_may_have_been_does() {
    let world = world(1);
    world.rule(&json!({ "caps": [{ "at_most": 1, "within": "30d" }] }));
    let (runtime, folder) = (runtime(), scratch());
    let engine = engine(folder.path(), &world, &runtime, None);
    let refused = SendOutcome::Rejected {
        permanent: true,
        code: 554,
        text: "no".into(),
    };
    // Taken from the end: refused, then lost after the content.
    let answers = [SendOutcome::Unknown("lost".into()), refused];
    world.answers.lock().unwrap().extend(answers);
    for _ in 0..3 {
        world.enter(1);
        run(&engine).unwrap();
    }
    let sends = engine.ledger.status(&[]).unwrap().spaces["main"].sends.clone();
    assert_eq!((sends["rejected"], sends["unknown"], sends["skipped"]), (1, 1, 1));
}

#[test]
fn act_1_two_workers_at_once_never_exceed_a_cap() {
    let world = world(3);
    let folder = scratch();
    let runtime = runtime();
    let first = engine(folder.path(), &world, &runtime, None);
    for _ in 0..12 {
        (1..=3).for_each(|person| world.enter(person));
    }
    while first.take_entries(&SpaceId::main()).unwrap() {}
    // The cap comes when everything is reserved: only the last question can keep it.
    world.rule(&json!({ "caps": [{ "at_most": 2, "within": "1h" }] }));
    let second = engine(folder.path(), &world, &runtime, None);
    let due = first.ledger.due(world.clock.now(), 100, &[]).unwrap();
    assert_eq!(due.len(), 36);
    std::thread::scope(|scope| {
        for worker in [&first, &second] {
            let due = &due;
            scope.spawn(move || due.iter().for_each(|due| worker.attempt(due.id).unwrap()));
        }
    });
    for person in 1..=3 {
        assert_eq!(world.mails_to(&format!("p{person}@example.com")), 2);
    }
    assert_eq!(reasons(&first), [("cap_person".to_owned(), 30)]);
}

#[test]
fn act_1_a_kill_between_every_two_steps_exceeds_no_cap_and_loses_no_place() {
    for number in 1.. {
        let world = world(1);
        world.define("again", &marketing());
        world.rule(&json!({ "caps": [{ "at_most": 2, "within": "24h" }] }));
        (0..3).for_each(|_| world.enter(1));
        let (runtime, folder, next) = (runtime(), scratch(), scratch());
        let (death, die_at) = death(number);
        let life = engine(folder.path(), &world, &runtime, Some(die_at));
        let died = run(&life).is_err();
        files_after_kill(folder.path(), next.path());
        drop(life);
        let life = engine(next.path(), &world, &runtime, None);
        life.recover().unwrap();
        run(&life).unwrap();
        let at = *death.at.lock().unwrap();
        let sends = life.ledger.status(&[]).unwrap().spaces["main"].sends.clone();
        let count = |state: SendState| sends.get(state.as_str()).copied().unwrap_or(0);
        let left = count(SendState::Accepted) + count(SendState::Unknown);
        assert_eq!((left, count(SendState::Skipped)), (2, 4), "{at:?}");
        assert!(world.accepted.lock().unwrap().len() <= 2, "{at:?}");
        if !died {
            break;
        }
    }
}

#[test]
fn act_1_quiet_hours_put_off_to_their_end_in_the_zone_of_the_person() {
    // It is 08:00 in UTC, 17:00 in Tokyo, 09:00 in Berlin.
    assert_eq!(START.to_string(), "2027-01-15T08:00:00.000Z");
    let world = world(4);
    world.define("urgent", &message(&[("quiet_hours", json!("none"))]));
    world.rule(&json!({ "zone": "Europe/Berlin", "quiet_hours": { "from": "17:00", "until": "08:30" } }));
    world.zones.lock().unwrap().insert(ProfileId(1), "Asia/Tokyo".into());
    world.zones.lock().unwrap().insert(ProfileId(2), "Nowhere/Land".into());
    let (runtime, folder) = (runtime(), scratch());
    let engine = engine(folder.path(), &world, &runtime, None);
    (1..=2).for_each(|person| world.enter(person));
    run(&engine).unwrap();
    let mails = |person: u8| world.mails_to(&format!("p{person}@example.com"));
    assert_eq!((mails(1), mails(2)), (1, 2), "what ignores quiet hours is sent");
    // Whoever asks is told what waits, why and until when.
    let of = |profile: Option<u128>, message: Option<&str>, limit| SendsOf {
        profile: profile.map(ProfileId),
        message: message.map(str::to_owned),
        limit,
    };
    let sends = |of: &SendsOf| engine.ledger.sends(&SpaceId::main(), of).unwrap();
    let waiting: Vec<SendView> = (sends(&of(Some(1), None, 9)).into_iter())
        .filter(|send| send.state == SendState::Reserved)
        .collect();
    let until = START + Duration::from_secs(15 * 3_600 + 1_800);
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (waiting[0].reason.as_deref(), waiting[0].due_at),
        (Some("quiet_hours"), Some(until))
    );
    let of_one = sends(&of(Some(1), None, 9));
    assert!(of_one.len() == 2 && of_one.iter().all(|send| send.profile == ProfileId(1)));
    let sent = sends(&of(None, Some("urgent"), 9));
    assert!(
        sent.len() == 2
            && sent
                .iter()
                .all(|send| send.state == SendState::Accepted && send.due_at.is_none())
    );
    assert_eq!(sends(&of(None, None, 3)).len(), 3);
    assert!(
        engine
            .ledger
            .sends(&"other".parse().unwrap(), &of(None, None, 9))
            .unwrap()
            .is_empty()
    );
    // A worker is late, and hours are quiet in Berlin by the time it attempts.
    world.enter(3);
    while engine.take_entries(&SpaceId::main()).unwrap() {}
    world.clock.advance(Duration::from_secs(8 * 3_600));
    run(&engine).unwrap();
    assert_eq!(mails(3), 1);
    // 08:30 in Tokyo is 23:30 in UTC, in Berlin 07:30.
    world.clock.advance(Duration::from_secs(7 * 3_600 + 1_799));
    run(&engine).unwrap();
    assert_eq!((mails(1), mails(3)), (1, 1));
    world.clock.advance(Duration::from_secs(1));
    run(&engine).unwrap();
    assert_eq!((mails(1), mails(3)), (2, 1));
    world.clock.advance(Duration::from_secs(8 * 3_600));
    run(&engine).unwrap();
    assert_eq!((mails(1), mails(3)), (2, 2), "put off, not lost");
    assert!(reasons(&engine).is_empty());
}

#[test]
fn act_1_shorter_quiet_hours_let_go_what_the_longer_ones_held() {
    let world = world(1);
    world.rule(&json!({ "quiet_hours": { "from": "00:00", "until": "23:59" } }));
    let (runtime, folder) = (runtime(), scratch());
    let engine = engine(folder.path(), &world, &runtime, None);
    world.enter(1);
    run(&engine).unwrap();
    world.rule(&json!({ "quiet_hours": { "from": "07:00", "until": "09:00" } }));
    run(&engine).unwrap();
    assert_eq!(world.mails_to("p1@example.com"), 0, "it is eight");
    world.rule(&json!({ "caps": [{ "at_most": 5, "within": "1d" }] }));
    run(&engine).unwrap();
    assert_eq!(world.mails_to("p1@example.com"), 1);
}
