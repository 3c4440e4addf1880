//! People who turn out to be one, or who enter live, while a run sends (contract ACT-6): they get one mail.

use super::entries::Fixture;
use super::runs::{address, asked, member, reserved, send_all, started, view};
use super::{World, run};
use crate::{PauseScope, SendOutcome};
use kith_segment::{Cause, CauseKind};
use kith_types::{Clock, Duration, EventKey, ProfileId};
use std::collections::BTreeMap;

/// Whoever was `gone` is `into` from now on, who has the addresses of both.
fn merge(world: &World, gone: u128, into: u128) {
    let mut people = world.people.lock().unwrap();
    let mut whole = people[&ProfileId(into)].clone();
    whole.addresses = vec![address(gone), address(into)];
    people.insert(ProfileId(into), whole.clone());
    people.insert(ProfileId(gone), whole);
}

#[test]
fn act_6_people_who_turn_out_to_be_one_during_a_run_get_one_mail() {
    // Merged before the second is looked at, after both were reserved, and after one was sent.
    for merged_at in ["between pages", "before sending", "between mails"] {
        let fixture = Fixture::new();
        let (world, engine) = (&fixture.world, fixture.engine());
        // A page of the fake has two.
        for number in 1..=4 {
            member(world, number, Some(true), Some(CauseKind::Import));
        }
        started(&engine, 4);
        assert!(engine.step_runs().unwrap());
        if merged_at == "between pages" {
            merge(world, 1, 3);
        }
        while engine.step_runs().unwrap() {}
        let due = engine.ledger.due(world.clock.now(), 9, &[]).unwrap();
        match merged_at {
            "before sending" => merge(world, 1, 3),
            "between mails" => {
                // The address of the one is told last, so that the other's would be used anew.
                engine.attempt(due.last().unwrap().id).unwrap();
                engine.attempt(due[2].id).unwrap();
                let mut people = world.people.lock().unwrap();
                let mut whole = people[&ProfileId(3)].clone();
                whole.addresses = vec![address(1), address(3)];
                whole.email = Some(address(1));
                people.insert(ProfileId(1), whole.clone());
                people.insert(ProfileId(3), whole);
            }
            _ => {}
        }
        run(&engine).unwrap();
        let mails = world.mails_to(&address(1)) + world.mails_to(&address(3));
        assert_eq!(mails, 1, "{merged_at}");
        assert_eq!(world.accepted.lock().unwrap().len(), 3, "{merged_at}");
        let reasons: Vec<String> = view(&engine, 1).skipped.into_keys().collect();
        let reason = match merged_at {
            "between pages" => "merged",
            "before sending" => "address_changed",
            _ => "already_sent",
        };
        assert_eq!(reasons, [reason], "{merged_at}");
        assert_eq!(send_all(&engine, &asked()), 0, "{merged_at}");
    }
}

#[test]
fn act_6_a_guest_for_whom_a_run_sent_or_waits_is_not_mailed_again_by_signing_in() {
    for sent in [true, false] {
        let fixture = Fixture::new();
        let (world, engine) = (&fixture.world, fixture.engine());
        member(world, 1, Some(true), Some(CauseKind::Import));
        reserved(&engine, 1);
        if sent {
            run(&engine).unwrap();
        }
        world.person(11, Some("account@example.com"), Some(true));
        let account = world.people.lock().unwrap()[&ProfileId(11)].clone();
        world.people.lock().unwrap().insert(ProfileId(1), account);
        for (profile, entered) in [(1, false), (11, true)] {
            world.change(profile, entered, Cause::Event(EventKey(21)));
        }
        run(&engine).unwrap();
        let mails = (world.mails_to(&address(1)), world.mails_to("account@example.com"));
        assert_eq!(mails, if sent { (1, 0) } else { (0, 1) });
        let reason = if sent { "sent_before_merge" } else { "merged" };
        assert_eq!(fixture.skipped(), [(reason.to_owned(), 1)]);
    }
}

#[test]
fn act_6_who_enters_live_while_a_run_waits_gets_one_mail_though_the_first_attempt_is_put_off() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    member(world, 1, Some(true), Some(CauseKind::Import));
    reserved(&engine, 1);
    world.clock.advance(Duration::from_secs(1));
    member(world, 1, Some(true), Some(CauseKind::Event));
    world.enter(1);
    let later = SendOutcome::Rejected {
        permanent: false,
        code: 451,
        text: "4.7.1 later".into(),
    };
    world.answers.lock().unwrap().push(later);
    for wait in [0, 1, 2] {
        world.clock.advance(Duration::from_secs(wait));
        run(&engine).unwrap();
    }
    assert_eq!(world.mails_to(&address(1)), 1);
    assert_eq!(
        view(&engine, 1).skipped,
        BTreeMap::from([("already_sent".to_owned(), 1)])
    );
}

#[test]
fn act_6_what_waits_of_a_run_is_due_again_once_nothing_is_paused() {
    let fixture = Fixture::new();
    let (world, engine) = (&fixture.world, fixture.engine());
    member(world, 1, Some(true), Some(CauseKind::Import));
    reserved(&engine, 1);
    let due = || engine.ledger.due(world.clock.now(), 9, &[]).unwrap().len();
    assert_eq!(due(), 1);
    engine.ledger.pause(PauseScope::All, true).unwrap();
    assert_eq!(due(), 0);
    engine.ledger.pause(PauseScope::All, false).unwrap();
    let other = "other".parse().unwrap();
    engine.ledger.pause(PauseScope::Space(&other), true).unwrap();
    assert_eq!(due(), 1, "another space is");
}
