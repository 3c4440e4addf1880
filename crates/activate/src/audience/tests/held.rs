//! Whom a receiver holds: under whatever name somebody was told, and whatever was lost, it holds the names of members and no other.

use super::{Ground, Process, change};
use crate::audience::{Delivery, Posted};
use crate::engine::{Boundary, DieAt};
use crate::tests::{member_of, runtime};
use kith_segment::Cause;
use kith_types::{Clock, Duration, EventKey, ProfileId, SegmentName, SpaceId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The names that a receiver holds of an audience: the last word of each name counts.
pub(super) fn held(ground: &Ground, key: &str) -> Vec<String> {
    let says = |events: &[Value]| -> BTreeSet<String> {
        let mut held = BTreeMap::new();
        for event in events {
            let said = event["properties"][key].as_bool().or(event["traits"][key].as_bool());
            let name = match (event["userId"].as_str(), event["anonymousId"].as_str()) {
                (Some(user), None) => format!("user {user}"),
                (None, Some(device)) => format!("device {device}"),
                other => panic!("one name: {other:?}"),
            };
            if let Some(said) = said {
                held.insert(name, said);
            }
        }
        held.into_iter()
            .filter(|(_, is_in)| *is_in)
            .map(|(name, _)| name)
            .collect()
    };
    // Whether the receiver counts a message id once or takes every copy.
    let held = says(&ground.kept());
    assert_eq!(held, says(&ground.taken.lock().unwrap()));
    held.into_iter().collect()
}

/// Says who somebody is from now on, and whether they are in `vip`.
pub(super) fn is(ground: &Ground, person: u128, user: Option<&str>, device: Option<&str>, is_in: bool) {
    let mut people = ground.world.people.lock().unwrap();
    let mut known = people[&ProfileId(1)].clone();
    known.profile = ProfileId(person);
    (known.user_id, known.anonymous_id) = (user.map(str::to_owned), device.map(str::to_owned));
    known.segments = is_in.then(|| member_of("vip")).into_iter().collect();
    people.insert(ProfileId(person), known);
    drop(people);
    let vip: SegmentName = "vip".parse().unwrap();
    let mut members = ground.members.lock().unwrap();
    members.retain(|(_, profile, _)| *profile != ProfileId(person));
    if is_in {
        members.push((vip, ProfileId(person), ground.world.clock.now()));
    }
}

/// A profile is part of another person from now on.
pub(super) fn is_part_of(ground: &Ground, gone: u128, into: u128) {
    let mut people = ground.world.people.lock().unwrap();
    let person = people[&ProfileId(into)].clone();
    people.insert(ProfileId(gone), person);
    let mut members = ground.members.lock().unwrap();
    members.retain(|(_, profile, _)| *profile != ProfileId(gone));
}

/// Who is in `vip` now, by the name under which they are told.
pub(super) fn members(ground: &Ground) -> Vec<String> {
    let people = ground.world.people.lock().unwrap();
    let standing = people.iter().filter(|(id, person)| person.profile == **id);
    let members = standing.filter(|(_, person)| person.membership(&"vip".parse().unwrap()).is_some());
    let names: BTreeSet<String> = members
        .filter_map(|(_, person)| {
            let user = person.user_id.as_ref().map(|user| format!("user {user}"));
            user.or(person.anonymous_id.as_ref().map(|device| format!("device {device}")))
        })
        .collect();
    names.into_iter().collect()
}

pub(super) fn cause() -> Cause {
    Cause::Event(EventKey(1))
}

/// A receiver that knows nobody, and nobody who is a member.
pub(super) fn ground(fields: &Value) -> Arc<Ground> {
    let ground = Ground::new();
    for person in 1..=9 {
        is(&ground, person, Some(&format!("user-{person}")), None, false);
    }
    ground.define("crm", fields);
    ground
}

#[test]
fn seg_5_a_guest_who_signs_in_and_leaves_leaves_under_every_name() {
    for fields in [json!({}), json!({ "changes": "live" })] {
        let (ground, runtime, folder) = (ground(&fields), runtime(), tempfile::tempdir().unwrap());
        let mut process = Process::start(&ground, folder.path(), &runtime, None);
        process.run().unwrap();
        let enters_as_guest = |person, device: &str| {
            is(&ground, person, None, Some(device), true);
            ground.enter(person);
        };
        // Signs in as somebody new: they are one person, and leave later.
        enters_as_guest(1, "d1");
        process.run().unwrap();
        assert_eq!(held(&ground, "vip"), ["device d1"]);
        is(&ground, 1, Some("ada"), Some("d1"), false);
        ground.exit(1);
        process.run().unwrap();
        assert_eq!(held(&ground, "vip"), Vec::<String>::new(), "{fields}");
        // Signs in as somebody older who is not a member.
        enters_as_guest(2, "d2");
        process.run().unwrap();
        is(&ground, 3, Some("bob"), Some("d2"), false);
        is_part_of(&ground, 2, 3);
        ground.world.change(2, false, cause());
        process.run().unwrap();
        assert_eq!(held(&ground, "vip"), Vec::<String>::new(), "{fields}");
        // Or who becomes one by it, and then leaves; whichever is told first.
        for (at, exit_first) in [(4, true), (6, false)] {
            let (device, user) = (format!("d{at}"), format!("cy{at}"));
            enters_as_guest(at, &device);
            process.run().unwrap();
            is(&ground, at + 1, Some(&user), Some(&device), true);
            is_part_of(&ground, at, at + 1);
            if exit_first {
                ground.world.change(at, false, cause());
            }
            ground.world.change(at + 1, true, cause());
            if !exit_first {
                ground.world.change(at, false, cause());
            }
            process.run().unwrap();
            // Whom a trigger has welcomed keeps the name, where the account is not told first.
            let keeps = exit_first && fields.get("changes").is_some();
            let name = if keeps {
                format!("device {device}")
            } else {
                format!("user {user}")
            };
            assert_eq!(held(&ground, "vip"), [name], "{fields} {exit_first}");
            is(&ground, at + 1, Some(&user), Some(&device), false);
            ground.exit(at + 1);
            process.run().unwrap();
            assert_eq!(held(&ground, "vip"), Vec::<String>::new(), "{fields} {exit_first}");
        }
        // Or who was a member already.
        enters_as_guest(8, "d8");
        is(&ground, 9, Some("eve"), None, true);
        ground.enter(9);
        process.run().unwrap();
        assert_eq!(held(&ground, "vip"), ["device d8", "user eve"]);
        is(&ground, 9, Some("eve"), Some("d8"), true);
        is_part_of(&ground, 8, 9);
        ground.world.change(8, false, cause());
        process.run().unwrap();
        assert_eq!(held(&ground, "vip"), ["user eve"], "{fields}");
        is(&ground, 9, Some("eve"), Some("d8"), false);
        ground.exit(9);
        process.run().unwrap();
        assert_eq!(held(&ground, "vip"), Vec::<String>::new(), "{fields}");
    }
}

#[test]
fn seg_5_a_guest_whose_older_account_did_not_enter_live_is_not_welcomed_twice_and_leaves() {
    let (ground, runtime, folder) = (
        ground(&json!({ "changes": "live", "send": "track" })),
        runtime(),
        tempfile::tempdir().unwrap(),
    );
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    is(&ground, 1, None, Some("d1"), true);
    ground.enter(1);
    process.run().unwrap();
    is(&ground, 2, Some("ada"), Some("d1"), true);
    is_part_of(&ground, 1, 2);
    ground.world.change(1, false, cause());
    ground.world.change(2, true, Cause::Import);
    process.run().unwrap();
    assert_eq!(ground.told("track"), [("d1".to_owned(), true)]);
    is(&ground, 2, Some("ada"), Some("d1"), false);
    ground.exit(2);
    process.run().unwrap();
    assert_eq!(ground.told("track")[1..], [("d1".to_owned(), false)]);
}

#[test]
fn seg_5_a_person_who_is_taken_apart_again_is_held_under_the_names_of_those_who_are_in() {
    let (ground, runtime, folder) = (ground(&json!({})), runtime(), tempfile::tempdir().unwrap());
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    is(&ground, 1, None, Some("d1"), true);
    ground.enter(1);
    process.run().unwrap();
    is(&ground, 2, Some("ada"), Some("d1"), true);
    is_part_of(&ground, 1, 2);
    ground.world.change(1, false, cause());
    ground.world.change(2, true, cause());
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), ["user ada"]);
    // The guest's own events make the member, the account's do not.
    is(&ground, 1, None, Some("d1"), true);
    is(&ground, 2, Some("ada"), None, false);
    ground.world.change(2, false, Cause::Regrouping);
    ground.world.change(1, true, Cause::Regrouping);
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), ["device d1"]);
    is(&ground, 1, None, Some("d1"), false);
    ground.exit(1);
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), Vec::<String>::new());
}

/// A sign-in is no change of membership. Whoever stays in is told under the new name when it is looked for.
#[test]
fn seg_5_a_member_who_has_another_name_by_now_is_held_under_it_after_a_while() {
    let (ground, runtime, folder) = (
        ground(&json!({ "send": "track" })),
        runtime(),
        tempfile::tempdir().unwrap(),
    );
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    for person in 1..=3 {
        is(&ground, person, None, Some(&format!("d{person}")), true);
        ground.enter(person);
    }
    process.run().unwrap();
    is(&ground, 1, Some("ada"), Some("d1"), true);
    is(&ground, 3, Some("cy"), Some("d3"), true);
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), ["device d1", "device d2", "device d3"]);
    ground.world.clock.advance(Duration::from_secs(6 * 3_600));
    // Who is who is being worked out anew: it is looked later.
    *ground.world.rederiving.lock().unwrap() = true;
    process.run().unwrap();
    *ground.world.rederiving.lock().unwrap() = false;
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), ["device d2", "user ada", "user cy"]);
    let told = ground.taken.lock().unwrap().len();
    ground.world.clock.advance(Duration::from_secs(6 * 3_600));
    process.run().unwrap();
    assert_eq!(ground.taken.lock().unwrap().len(), told, "nothing has changed");
}

/// The name under which an entry was sent is the one it is sent under again, whoever that is by then.
#[test]
fn seg_5_wherever_a_process_dies_nobody_stays_who_has_left() {
    let runtime = runtime();
    let boundaries = [Boundary::TellingDecided, Boundary::Told, Boundary::ToldRecorded];
    let mut deaths = 0;
    for boundary in boundaries {
        for nth in 0..4 {
            let (ground, folder) = (ground(&json!({})), tempfile::tempdir().unwrap());
            let seen = Arc::new(AtomicUsize::new(0));
            let step = || {
                let counted = Arc::clone(&seen);
                let die_at: DieAt =
                    Arc::new(move |reached| reached == boundary && counted.fetch_add(1, Ordering::SeqCst) == nth);
                let mut process = Process::start(&ground, folder.path(), &runtime, Some(die_at));
                usize::from(process.run().is_err())
            };
            is(&ground, 1, None, Some("d1"), true);
            is(&ground, 3, None, Some("d3"), true);
            deaths += step();
            is(&ground, 4, None, Some("d4"), true);
            ground.enter(4);
            deaths += step();
            // All of them sign in while it is not known whether they were told.
            is(&ground, 1, Some("ada"), Some("d1"), true);
            is(&ground, 4, Some("dan"), Some("d4"), true);
            is(&ground, 2, Some("bob"), Some("d3"), true);
            is_part_of(&ground, 3, 2);
            ground.world.change(3, false, cause());
            ground.world.change(2, true, cause());
            deaths += step();
            is(&ground, 1, Some("ada"), Some("d1"), false);
            ground.exit(1);
            is(&ground, 4, Some("dan"), Some("d4"), false);
            ground.exit(4);
            deaths += step();
            Process::start(&ground, folder.path(), &runtime, None).run().unwrap();
            assert_eq!(held(&ground, "vip"), ["user bob"], "{boundary:?} {nth}");
            assert_eq!(ground.world.changes.lock().unwrap().len(), 0);
        }
    }
    assert_eq!(deaths, boundaries.len() * 4, "each is reached");
}

#[test]
fn seg_5_each_destination_holds_what_it_was_told_itself() {
    let (ground, runtime, folder) = (ground(&json!({})), runtime(), tempfile::tempdir().unwrap());
    ground.define("ads", &json!({ "key_prefix": "ads_" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    let mut other = Process::start(&ground, folder.path(), &runtime, None);
    other.delivery = Delivery::new(SpaceId::main(), "ads".to_owned());
    process.run().unwrap();
    other.run().unwrap();
    is(&ground, 1, None, Some("d1"), true);
    ground.enter(1);
    process.run().unwrap();
    // The other one is told late, and by then of somebody who has signed in.
    is(&ground, 1, Some("ada"), Some("d1"), true);
    other.run().unwrap();
    assert_eq!(
        (held(&ground, "vip"), held(&ground, "ads_vip")),
        (vec!["device d1".to_owned()], vec!["user ada".to_owned()])
    );
    is(&ground, 1, Some("ada"), Some("d1"), false);
    ground.exit(1);
    ground
        .answers
        .lock()
        .unwrap()
        .push_back(Posted::Later("down".to_owned(), None));
    process.run().unwrap();
    other.run().unwrap();
    assert_eq!(
        (held(&ground, "vip").len(), held(&ground, "ads_vip").len()),
        (1, 0),
        "one is down"
    );
    ground.world.clock.advance(Duration::from_secs(2));
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), Vec::<String>::new());
    // One that is gone and comes again begins anew.
    let space = SpaceId::main();
    is(&ground, 2, Some("bob"), None, true);
    ground.enter(2);
    process.run().unwrap();
    other.run().unwrap();
    process.engine.ledger.disconnect(&space, "crm").unwrap();
    let told = |name: &str| other.engine.ledger.told_after(&space, name, None, 9).unwrap().len();
    assert_eq!((told("crm"), told("ads")), (0, 1));
}

#[test]
fn seg_5_of_a_segment_that_is_no_longer_listed_nothing_is_kept_or_told() {
    let (ground, runtime, folder) = (
        ground(&json!({ "segments": ["vip", "buyers"], "send": "track" })),
        runtime(),
        tempfile::tempdir().unwrap(),
    );
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    ground.enter(1);
    ground.change_of("buyers", 2, Cause::Clock);
    process.run().unwrap();
    ground
        .answers
        .lock()
        .unwrap()
        .push_back(Posted::Later("down".to_owned(), None));
    ground.change_of("buyers", 3, Cause::Clock);
    ground.enter(4);
    process.run().unwrap();
    ground.define("crm", &json!({ "send": "track" }));
    process.run().unwrap();
    let told: Vec<String> = ground.told("track").into_iter().map(|(who, _)| who).collect();
    assert_eq!(told, ["user-1", "user-2", "user-4"]);
    let space = SpaceId::main();
    let kept = process.engine.ledger.told_after(&space, "crm", None, 9).unwrap();
    assert!(
        kept.iter().all(|(segment, ..)| segment.as_str() == "vip") && kept.len() == 2,
        "{kept:?}"
    );
}

#[test]
fn seg_5_a_change_names_the_person_as_it_was_decided_however_often_it_is_sent() {
    let (ground, runtime, folder) = (ground(&json!({})), runtime(), tempfile::tempdir().unwrap());
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    is(&ground, 1, None, Some("d1"), true);
    ground.enter(1);
    let down = || Posted::Later("down".to_owned(), None);
    ground.answers.lock().unwrap().extend([down(), down()]);
    process.run().unwrap();
    is(&ground, 1, Some("ada"), Some("d1"), true);
    for _ in 0..2 {
        ground.world.clock.advance(Duration::from_secs(5));
        process.run().unwrap();
    }
    let requests = ground.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|request| request.body.contains("d1") && !request.body.contains("ada"))
    );
    assert_eq!(change(1, true).profile, ProfileId(1));
}
