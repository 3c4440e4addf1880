//! A guest who turns out to be somebody gets a message once (contract ACT-1).

use super::entries::Fixture;
use super::{World, run};
use kith_segment::Cause;
use kith_types::{Clock, Duration, EventKey, ProfileId, SpaceId};
use serde_json::json;

/// Whoever was taken for `guest` is `account` from now on, by this event.
fn sign_in(world: &World, guest: u128, account: u128, event: u128) {
    let recipient = world.people.lock().unwrap()[&ProfileId(account)].clone();
    world.people.lock().unwrap().insert(ProfileId(guest), recipient);
    world.change(guest, false, Cause::Event(EventKey(event)));
    world.change(account, true, Cause::Event(EventKey(event)));
}

#[test]
fn act_1_whoever_has_it_as_a_guest_does_not_get_it_again_by_signing_in() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let engine = fixture.engine();
    for guest in 1..=3 {
        world.person(guest, Some(&format!("p{guest}@example.com")), Some(true));
        world.enter(guest);
    }
    // This one has no address yet.
    world.person(4, None, None);
    world.enter(4);
    run(&engine).unwrap();
    assert_eq!(world.accepted.lock().unwrap().len(), 3);
    for account in 11..=14 {
        let address = format!("p{}@example.com", account - 10);
        world.person(account, Some(&address), Some(true));
    }
    // Pages of the fake hold three changes: the exit is the last of one.
    world.change(12, false, Cause::Clock);
    world.change(12, false, Cause::Clock);
    sign_in(world, 1, 11, 21);
    // Left before, and entered anew.
    world.change(2, false, Cause::Event(EventKey(22)));
    world.change(12, true, Cause::Event(EventKey(23)));
    // Left by the same event, and is somebody else.
    world.change(3, false, Cause::Event(EventKey(24)));
    world.change(13, true, Cause::Event(EventKey(24)));
    sign_in(world, 4, 14, 25);
    run(&engine).unwrap();
    let mails = ["p1", "p2", "p3", "p4"].map(|name| world.mails_to(&format!("{name}@example.com")));
    assert_eq!(mails, [1, 2, 2, 1]);
    assert_eq!(
        fixture.skipped(),
        [("no_address".to_owned(), 1), ("sent_before_merge".to_owned(), 1)]
    );
}

#[test]
fn act_1_what_waits_for_a_guest_goes_once_to_whom_they_turn_out_to_be() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let engine = fixture.engine();
    world.person(1, Some("guest@example.com"), Some(true));
    world.enter(1);
    while engine.take_entries(&SpaceId::main()).unwrap() {}
    world.person(11, Some("account@example.com"), Some(true));
    sign_in(world, 1, 11, 21);
    // People cannot be told apart for a moment, when half of what the event changed has been taken.
    *world.rederiving.lock().unwrap() = true;
    assert!(!engine.take_entries(&SpaceId::main()).unwrap());
    *world.rederiving.lock().unwrap() = false;
    run(&engine).unwrap();
    assert_eq!(world.mails_to("account@example.com"), 1);
    assert_eq!(world.accepted.lock().unwrap().len(), 1);
    assert_eq!(fixture.skipped(), [("merged".to_owned(), 1)]);
}

#[test]
fn act_1_what_waits_of_an_entry_that_was_undone_is_not_sent() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let engine = fixture.engine();
    let out_of_it = |number| {
        world
            .people
            .lock()
            .unwrap()
            .get_mut(&ProfileId(number))
            .unwrap()
            .segments
            .clear();
    };
    for number in 1..=4 {
        world.person(number, Some(&format!("p{number}@example.com")), Some(true));
        world.enter(number);
    }
    while engine.take_entries(&SpaceId::main()).unwrap() {}
    // Somebody vetoed the evidence by which they were members.
    for undone in [1, 2] {
        out_of_it(undone);
        world.change(undone, false, Cause::Regrouping);
    }
    // Entered again by themselves, by what happened since.
    world.clock.advance(Duration::from_secs(1));
    world.person(2, Some("p2@example.com"), Some(true));
    if let Some(again) = world.people.lock().unwrap().get_mut(&ProfileId(2)) {
        again.segments[0].since = Some(world.clock.now());
    }
    world.enter(2);
    // Merged by somebody: whoever they are now is a member.
    let recipient = world.people.lock().unwrap()[&ProfileId(4)].clone();
    world.people.lock().unwrap().insert(ProfileId(3), recipient);
    world.change(3, false, Cause::Regrouping);
    // People cannot be told apart for a moment.
    *world.rederiving.lock().unwrap() = true;
    assert!(!engine.take_entries(&SpaceId::main()).unwrap());
    *world.rederiving.lock().unwrap() = false;
    run(&engine).unwrap();
    let mails = ["p1", "p2", "p4"].map(|name| world.mails_to(&format!("{name}@example.com")));
    assert_eq!(mails, [0, 1, 1]);
    let skipped = fixture.skipped();
    assert!(skipped.contains(&("entry_undone".to_owned(), 2)), "{skipped:?}");
}

#[test]
fn act_1_an_entry_and_what_undid_it_are_taken_in_their_order() {
    let fixture = Fixture::new();
    let world = &fixture.world;
    let engine = fixture.engine();
    world.rule(&json!({ "caps": [{ "at_most": 1, "within": "1d" }] }));
    world.person(1, Some("p1@example.com"), Some(true));
    world.enter(1);
    world.clock.advance(Duration::from_secs(1));
    world.change(1, false, Cause::Regrouping);
    world.clock.advance(Duration::from_secs(1));
    if let Some(again) = world.people.lock().unwrap().get_mut(&ProfileId(1)) {
        again.segments[0].since = Some(world.clock.now());
    }
    world.enter(1);
    // While it cannot be looked at, nothing is taken and nothing lost.
    *world.hidden.lock().unwrap() = true;
    assert!(!engine.take_entries(&SpaceId::main()).unwrap());
    *world.hidden.lock().unwrap() = false;
    run(&engine).unwrap();
    assert_eq!(world.mails_to("p1@example.com"), 1, "the later entry is another");
    assert_eq!(fixture.skipped(), [("entry_undone".to_owned(), 1)]);
}
