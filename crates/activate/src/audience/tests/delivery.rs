//! What is told, to whom, and from where on.

use super::{Ground, Process, merged_into};
use crate::DestinationDefinition;
use crate::tests::{START, runtime};
use kith_segment::Cause;
use kith_types::{ProfileId, SpaceId};
use serde_json::{Value, json};

fn user(person: u128, is_in: bool) -> (String, bool) {
    (format!("user-{person}"), is_in)
}

#[test]
fn seg_5_a_change_is_told_in_segments_contract() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "endpoint": "https://events.example.com" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    assert_eq!(ground.kept(), Vec::<Value>::new(), "nothing has changed");
    ground.enter(1);
    ground.exit(1);
    process.run().unwrap();
    let kept = ground.kept();
    assert_eq!(kept.len(), 4);
    let context = json!({
        "library": { "name": "kith", "version": env!("CARGO_PKG_VERSION") },
        "personas": {
            "computation_class": "audience", "computation_key": "vip", "computation_id": "main/vip", "space_id": "main",
        },
        "kith": { "cause": "event" },
    });
    let expected = [
        json!({
            "type": "track", "event": "Audience Entered", "properties": { "audience_key": "vip", "vip": true },
            "userId": "user-1", "messageId": kept[0]["messageId"], "timestamp": START.to_string(), "context": context,
        }),
        json!({
            "type": "identify", "traits": { "vip": true },
            "userId": "user-1", "messageId": kept[1]["messageId"], "timestamp": START.to_string(), "context": context,
        }),
    ];
    assert_eq!(kept[..2], expected);
    assert_eq!(
        (
            &kept[2]["event"],
            &kept[2]["properties"],
            &kept[2]["context"]["kith"]["cause"]
        ),
        (
            &json!("Audience Exited"),
            &json!({ "audience_key": "vip", "vip": false }),
            &json!("clock")
        )
    );
    assert_eq!(kept[3]["traits"], json!({ "vip": false }));
    let requests = ground.requests.lock().unwrap();
    assert_eq!(requests.len(), 1, "one batch has them all");
    let first = &requests[0];
    assert_eq!(
        (first.endpoint.as_str(), first.write_key.as_str()),
        ("https://events.example.com/v1/batch", "secret")
    );
}

#[test]
fn seg_5_a_destination_has_the_forms_the_segments_and_the_keys_that_it_asks_for() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "identify", "key_prefix": "kith_" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    ground.enter(1);
    ground.change_of("other", 2, Cause::Clock);
    process.run().unwrap();
    let kept = ground.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["traits"], json!({ "kith_vip": true }));
    // What is not told is passed over all the same.
    assert_eq!(process.engine.wanted(&SpaceId::main()).unwrap(), 2);
}

#[test]
fn seg_5_who_is_in_when_a_segment_is_connected_is_told_once_and_changes_follow() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track" }));
    for person in 1..=3 {
        ground.member("vip", person);
    }
    ground.member("buyers", 4);
    // What changed before is among the members, and is not told as a change.
    ground.enter(3);
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    assert_eq!(ground.told("track"), [user(1, true), user(2, true), user(3, true)]);
    assert_eq!(ground.kept()[0]["context"]["kith"]["cause"], "connected");
    ground.exit(2);
    process.run().unwrap();
    assert_eq!(ground.told("track")[3..], [user(2, false)]);
    // A segment that is listed later brings its members, and no other is told again.
    ground.define("crm", &json!({ "send": "track", "segments": ["vip", "buyers"] }));
    process.run().unwrap();
    assert_eq!(ground.told("track")[4..], [user(4, true)]);
    // One that is no longer listed is told no more, and anew once it is listed again.
    ground.define("crm", &json!({ "send": "track", "segments": ["vip"] }));
    process.run().unwrap();
    ground.change_of("buyers", 5, Cause::Clock);
    process.run().unwrap();
    assert_eq!(ground.told("track").len(), 5);
    // All of them: those that it lacks.
    ground.define("crm", &json!({ "send": "track", "segments": "all" }));
    ground.enter(6);
    process.run().unwrap();
    ground.change_of("made_later", 7, Cause::Definition);
    process.run().unwrap();
    assert_eq!(ground.told("track")[5..], [user(4, true), user(6, true), user(7, true)]);
}

/// A destination that is behind when a segment is listed: who entered it by a change that is still to come is told once.
#[test]
fn seg_5_a_segment_that_is_listed_while_changes_wait_is_told_once() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    ground.change_of("buyers", 5, Cause::Clock);
    ground.member("buyers", 5);
    ground.enter(6);
    ground.define("crm", &json!({ "send": "track", "segments": ["vip", "buyers"] }));
    process.run().unwrap();
    assert_eq!(ground.told("track"), [user(5, true), user(6, true)]);
}

#[test]
fn seg_5_a_destination_that_acts_on_entries_gets_live_ones_and_every_exit() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track", "changes": "live" }));
    ground.member("vip", 1);
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    ground.world.change(2, true, Cause::Import);
    ground.world.change(3, true, Cause::Definition);
    ground.world.change(4, true, Cause::Regrouping);
    ground.enter(5);
    ground.world.change(5, false, Cause::Definition);
    process.run().unwrap();
    assert_eq!(ground.told("track"), [user(5, true), user(5, false)]);
}

#[test]
fn seg_5_people_are_named_by_user_id_or_anonymous_id_and_a_merge_takes_nobody_out() {
    let (ground, runtime, folder) = (Ground::new(), runtime(), tempfile::tempdir().unwrap());
    ground.define("crm", &json!({ "send": "track" }));
    let mut process = Process::start(&ground, folder.path(), &runtime, None);
    process.run().unwrap();
    {
        let mut people = ground.world.people.lock().unwrap();
        for (person, anonymous) in [(1, Some("device-1")), (2, None)] {
            let known = people.get_mut(&ProfileId(person)).unwrap();
            (known.user_id, known.anonymous_id) = (None, anonymous.map(str::to_owned));
        }
    }
    (1..=2).for_each(|person| ground.enter(person));
    process.run().unwrap();
    assert_eq!(ground.kept()[0]["anonymousId"], "device-1");
    assert_eq!(ground.kept()[0].get("userId"), None);
    assert_eq!(ground.told("track").len(), 1, "nothing names the second");
    let tally = process.engine.ledger.tally(&SpaceId::main(), "crm").unwrap();
    assert_eq!((tally.sent, tally.nameless), (1, 1));
    // The profile that is merged away leaves; the person it belongs to is in, and is named otherwise.
    merged_into(&ground, 1, 3, &["vip"]);
    ground.exit(1);
    ground.enter(3);
    ground.exit(4);
    process.run().unwrap();
    let guest = ("device-1".to_owned(), false);
    assert_eq!(ground.told("track")[1..], [guest, user(3, true), user(4, false)]);
    // One who is in under that name already.
    merged_into(&ground, 6, 3, &["vip"]);
    ground.exit(6);
    process.run().unwrap();
    assert_eq!(ground.told("track").len(), 4);
    // Nobody is told apart while who is who is worked out anew: it waits, and is told then.
    *ground.world.rederiving.lock().unwrap() = true;
    ground.enter(5);
    process.run().unwrap();
    assert_eq!(ground.told("track").len(), 4);
    *ground.world.rederiving.lock().unwrap() = false;
    process.run().unwrap();
    assert_eq!(ground.told("track")[4..], [user(5, true)]);
}

#[test]
fn seg_5_a_definition_says_what_to_mend_and_holds_no_key() {
    let parse = |fields: &Value| {
        let mut spec = json!({
            "type": "segment", "endpoint": "https://api.segment.io", "write_key": "segment", "segments": "all",
        });
        spec.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        DestinationDefinition::parse("crm", &spec)
    };
    for (given, endpoint) in [
        ("https://api.segment.io", "https://api.segment.io/v1/batch"),
        (
            "https://hosted.example.com/v1/batch",
            "https://hosted.example.com/v1/batch",
        ),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/v1/batch"),
        ("http://[::1]:8080/api/s/s2s/batch", "http://[::1]:8080/api/s/s2s/batch"),
    ] {
        assert_eq!(parse(&json!({ "endpoint": given })).unwrap().endpoint(), endpoint);
    }
    for (fields, path, part) in [
        (json!({ "endpoint": "http://api.segment.io" }), "endpoint", "in clear"),
        (
            json!({ "endpoint": "https://key:@api.segment.io" }),
            "endpoint",
            "carries no key",
        ),
        (json!({ "endpoint": "api.segment.io" }), "endpoint", "must be the URL"),
        (json!({ "write_key": "AbC123/+" }), "write_key", "not the key"),
        (json!({ "segments": [] }), "segments", "all, or a list"),
        (json!({ "segments": ["vip", 3] }), "segments.1", "name of a segment"),
        (json!({ "send": ["track", "page"] }), "send", "track, identify"),
        (json!({ "changes": "some" }), "changes", "all or live"),
        (json!({ "key_prefix": "a b" }), "key_prefix", "letters"),
        (json!({ "type": "webhook" }), "type", "Segment's tracking API"),
        (json!({ "segmnts": "all" }), "segmnts", "did you mean"),
    ] {
        let problems = parse(&fields).unwrap_err();
        assert_eq!(problems.len(), 1, "{fields}: {problems:?}");
        assert_eq!(problems[0].path, path);
        assert!(problems[0].message.contains(part), "{fields}: {problems:?}");
        assert!(!problems[0].message.contains("AbC123"), "a key is not repeated");
    }
}
