//! Examples of linking, limits, intervals and ids, as a reader of the contracts would draw them.

use super::keeper::{Keeper, after, event, id, ids, keeper};
use crate::{Applied, LeftOut, Parked, Resolver};
use kith_types::{Identifier, ProfileId, SpaceId};
use std::collections::BTreeSet;

/// The identifiers of each profile, held ones once for each interval, in one line each.
pub(super) fn people(keeper: &Keeper) -> BTreeSet<String> {
    let mut people = BTreeSet::new();
    for bytes in keeper.components.values() {
        for profile in crate::Component::decode(bytes).unwrap().profiles() {
            let mut names: Vec<String> = profile
                .members
                .iter()
                .map(|member| member.identifier.to_string())
                .collect();
            names.sort();
            people.insert(names.join(" "));
        }
    }
    people
}

pub(super) fn set(lines: &[&str]) -> BTreeSet<String> {
    lines.iter().map(|line| line.to_string()).collect()
}

/// Whose the event is that a held identifier carries at a time.
fn whose(keeper: &Keeper, held: &str, time: i64) -> ProfileId {
    let held = id(held).hash128();
    let position = event(u64::from(u32::MAX), 0, time, false, &[]).canonical_order();
    keeper.component(held).unwrap().place(held, position).unwrap().profile
}

fn take(keeper: &mut Keeper, sequence: u64, time: i64, text: &str) -> Applied {
    keeper
        .take(&event(sequence, sequence as i64, time, false, &ids(text)))
        .unwrap()
}

#[test]
fn idn_2_limit_leaves_out_the_lowest_priority_and_keeps_the_reason() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[
            (1, "user_id:u1 email:e@x.org"),
            (2, "user_id:u2 email:e@x.org phone:+31612345678"),
        ],
    );
    assert_eq!(
        people(&keeper),
        set(&["email:e@x.org user_id:u1", "user_id:u2", "phone:+31612345678"])
    );
    let second = event(1, 1, 2, false, &[]).canonical_order();
    let left_out = |text: &str| Parked {
        identifier: id(text),
        start: None,
        event: second,
        because: LeftOut::Limit {
            exceeded: kith_types::IdentifierType::UserId,
            limit: 1,
        },
    };
    let parked: Vec<Parked> = keeper.component(id("user_id:u1").hash128()).unwrap().parked().collect();
    assert_eq!(parked, [left_out("phone:+31612345678"), left_out("email:e@x.org")]);
}

#[test]
fn idn_2_a_sixth_value_is_a_profile_of_its_own() {
    let mut keeper = keeper("{}");
    let mut last = None;
    for n in 0..6 {
        last = Some(take(&mut keeper, n, n as i64, &format!("user_id:u email:e{n}@x.org")));
    }
    let parked = last.unwrap().parked;
    assert_eq!(
        (
            parked.len(),
            parked[0].identifier.to_string(),
            parked[0].because.to_string()
        ),
        (1, "email:e5@x.org".to_owned(), "more than 5 of email".to_owned())
    );
    let first_five = "email:e0@x.org email:e1@x.org email:e2@x.org email:e3@x.org email:e4@x.org user_id:u";
    assert_eq!(people(&keeper), set(&[first_five, "email:e5@x.org"]));
    // The same for devices, though they are held.
    let mut keeper = super::keeper::keeper("{}");
    after(
        &mut keeper,
        &(0..6)
            .map(|n| {
                (
                    n,
                    [
                        "anonymous_id:a0 user_id:u",
                        "anonymous_id:a1 user_id:u",
                        "anonymous_id:a2 user_id:u",
                        "anonymous_id:a3 user_id:u",
                        "anonymous_id:a4 user_id:u",
                        "anonymous_id:a5 user_id:u",
                    ][n as usize],
                )
            })
            .collect::<Vec<_>>(),
    );
    assert!(people(&keeper).contains("anonymous_id:a5"));
    assert_eq!(people(&keeper).len(), 2);
}

#[test]
fn idn_2_alias_is_exempt_from_the_limit() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[
            (1, "user_id:u1 email:e@x.org"),
            (2, "user_id:u2"),
            (3, "alias user_id:u1 user_id:u2"),
        ],
    );
    assert_eq!(people(&keeper), set(&["email:e@x.org user_id:u1 user_id:u2"]));
    after(&mut keeper, &[(4, "user_id:u3 user_id:u1")]);
    assert_eq!(
        people(&keeper),
        set(&["email:e@x.org user_id:u1 user_id:u2", "user_id:u3"])
    );
}

#[test]
fn idn_3_a_late_event_decides_by_its_time_not_its_arrival() {
    let mut late = keeper("{}");
    after(
        &mut late,
        &[(20, "user_id:u1 email:e@x.org"), (10, "user_id:u2 email:e@x.org")],
    );
    assert_eq!(people(&late), set(&["user_id:u1", "email:e@x.org user_id:u2"]));
}

#[test]
fn idn_9_a_shared_device_belongs_to_whoever_signed_in_last() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[
            (10, "anonymous_id:a"),
            (20, "user_id:u1 anonymous_id:a"),
            (30, "anonymous_id:a"),
        ],
    );
    after(
        &mut keeper,
        &[
            (40, "user_id:u2 anonymous_id:a"),
            (50, "anonymous_id:a"),
            (60, "user_id:u2 anonymous_id:a"),
            (70, "anonymous_id:a"),
        ],
    );
    let holder = |keeper: &Keeper, text: &str| keeper.holder(&id(text)).unwrap();
    let (u1, u2) = (holder(&keeper, "user_id:u1"), holder(&keeper, "user_id:u2"));
    assert_ne!(u1, u2);
    let at = |keeper: &Keeper| [10, 30, 50, 70].map(|time| whose(keeper, "anonymous_id:a", time));
    assert_eq!(at(&keeper), [u1, u1, u2, u2]);
    assert_eq!(holder(&keeper, "anonymous_id:a"), u2);
    // A sign-in that arrives late cuts the interval in the middle: what follows it, until the next sign-in, moves.
    let applied = take(&mut keeper, 7, 45, "user_id:u1 anonymous_id:a");
    assert_eq!(at(&keeper), [u1, u1, u1, u2]);
    let [cut] = applied.cuts.as_slice() else {
        panic!("one cut, not {:?}", applied.cuts)
    };
    assert_eq!((cut.gone.len(), cut.refold.len(), cut.intervals.len()), (0, 3, 4));
    let former = u1;
    // One in front of all others takes the time before.
    let applied = take(&mut keeper, 8, 5, "user_id:u3 anonymous_id:a");
    let [u1, u3] = ["user_id:u1", "user_id:u3"].map(|user| holder(&keeper, user));
    assert_eq!(at(&keeper), [u3, u1, u1, u2]);
    assert_eq!(applied.cuts.len(), 1);
    // The oldest identifier of the first user was that time on the device: its id goes along with it.
    assert_eq!((u3, applied.created.as_slice()), (former, [u1].as_slice()));
}

#[test]
fn idn_9_a_new_sign_in_at_the_end_cuts_nothing() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[
            (10, "anonymous_id:a"),
            (20, "user_id:u1 anonymous_id:a"),
            (30, "anonymous_id:a"),
        ],
    );
    let applied = take(&mut keeper, 3, 40, "user_id:u2 anonymous_id:a");
    assert!(applied.cuts.is_empty() && applied.changed);
    let started = applied.moved.iter().find(|moved| moved.part.start.is_some()).unwrap();
    assert_eq!(
        (started.from, Some(started.to)),
        (None, keeper.holder(&id("user_id:u2")))
    );
}

#[test]
fn idn_9_a_held_identifier_joins_no_two_profiles() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[
            (1, "user_id:u1 anonymous_id:a device_id:d"),
            (2, "anonymous_id:a email:e@x.org"),
        ],
    );
    after(
        &mut keeper,
        &[(3, "device_id:d user_id:u2"), (4, "anonymous_id:b device_id:d")],
    );
    let expected = [
        "anonymous_id:a device_id:d user_id:u1",
        "device_id:d user_id:u2",
        "email:e@x.org",
        "anonymous_id:b",
    ];
    assert_eq!(people(&keeper), set(&expected));
}

#[test]
fn idn_9_without_a_sign_in_it_belongs_to_its_first_company() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[
            (2, "anonymous_id:a email:e@x.org phone:+31612345678"),
            (3, "anonymous_id:a email:f@x.org"),
        ],
    );
    assert_eq!(
        people(&keeper),
        set(&["anonymous_id:a email:e@x.org phone:+31612345678", "email:f@x.org"])
    );
    after(&mut keeper, &[(1, "anonymous_id:a email:f@x.org")]);
    assert_eq!(
        people(&keeper),
        set(&["email:e@x.org phone:+31612345678", "anonymous_id:a email:f@x.org"])
    );
    // A sign-in, however late, takes it for all time.
    after(&mut keeper, &[(9, "anonymous_id:a user_id:u")]);
    assert_eq!(
        people(&keeper),
        set(&[
            "email:e@x.org phone:+31612345678",
            "email:f@x.org",
            "anonymous_id:a user_id:u"
        ])
    );
}

#[test]
fn idn_5_id_is_a_pure_function_of_the_oldest_identifier() {
    let mut keeper = keeper("{}");
    after(&mut keeper, &[(5, "anonymous_id:a user_id:u email:e@x.org")]);
    let shown = keeper.holder(&id("email:e@x.org")).unwrap().to_string();
    // Of equally old ones the user id counts; the value is part of the contract: ids must never change.
    assert_eq!(shown, GOLDEN_ID);
    after(
        &mut keeper,
        &[(4, "user_id:u phone:+31612345678"), (3, "email:e@x.org card:c")],
    );
    assert_eq!(keeper.holder(&id("card:c")).unwrap().to_string(), shown);
    let other_space = Resolver::new(
        std::sync::Arc::<crate::Rules>::default(),
        &"staging".parse::<SpaceId>().unwrap(),
    );
    let mut staging = Keeper::new(other_space);
    after(&mut staging, &[(5, "anonymous_id:a user_id:u email:e@x.org")]);
    assert_ne!(staging.holder(&id("user_id:u")).unwrap().to_string(), shown);
}

const GOLDEN_ID: &str = "prf_e68aaff609cedde82f3a645b223d3b99";

#[test]
fn idn_5_merge_redirects_to_the_older() {
    let mut keeper = keeper("{}");
    after(&mut keeper, &[(1, "email:e@x.org"), (2, "user_id:u")]);
    let holder = |keeper: &Keeper, text: &str| keeper.holder(&id(text)).unwrap();
    let (older, younger) = (holder(&keeper, "email:e@x.org"), holder(&keeper, "user_id:u"));
    let applied = take(&mut keeper, 2, 3, "user_id:u email:e@x.org");
    assert_eq!(
        applied.vanished,
        [crate::Vanished {
            profile: younger,
            redirect: older,
            founder: (id("user_id:u").hash128(), event(1, 1, 2, false, &[]).canonical_order()),
        }]
    );
    assert!(applied.created.is_empty());
    assert_eq!(holder(&keeper, "user_id:u"), older);
    let parts: Vec<_> = applied
        .moved
        .iter()
        .map(|moved| (moved.part.carrier, moved.from, moved.to))
        .collect();
    assert_eq!(parts, [(id("user_id:u").hash128(), Some(younger), older)]);
}

#[test]
fn idn_5_split_restores_the_id_and_ends_the_redirect() {
    let mut keeper = keeper("{}");
    after(&mut keeper, &[(1, "user_id:u1"), (2, "email:e@x.org")]);
    let own = keeper.holder(&id("email:e@x.org")).unwrap();
    let user = keeper.holder(&id("user_id:u1")).unwrap();
    after(&mut keeper, &[(20, "user_id:u1 email:e@x.org")]);
    assert_eq!(keeper.redirects.get(&own), Some(&user));
    // Somebody else named the address before: it is theirs, and the profile has its old id again.
    let applied = take(&mut keeper, 3, 10, "user_id:u2 email:e@x.org");
    assert_eq!(applied.created, [own]);
    assert!(keeper.redirects.is_empty());
    assert_eq!(keeper.holder(&id("user_id:u2")), Some(own));
    assert_eq!(keeper.holder(&id("user_id:u1")), Some(user));
}

#[test]
fn idn_5_a_vanished_id_redirects_to_the_holder_of_its_identifier() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[(1, "anonymous_id:a"), (2, "anonymous_id:a email:e@x.org")],
    );
    let by_device = keeper.holder(&id("email:e@x.org")).unwrap();
    // The device goes to the user with all its time, and the id that came from it goes along.
    let applied = take(&mut keeper, 2, 3, "anonymous_id:a user_id:u");
    assert_eq!(keeper.holder(&id("user_id:u")), Some(by_device));
    assert_ne!(keeper.holder(&id("email:e@x.org")), Some(by_device));
    assert_eq!(applied.created.len(), 1);
    assert!(applied.vanished.is_empty());
}

#[test]
fn idn_4_what_changes_nothing_is_neither_resolved_nor_stored() {
    let mut keeper = keeper("{}");
    after(
        &mut keeper,
        &[
            (0, "user_id:u anonymous_id:a email:e@x.org"),
            (0, "user_id:v anonymous_id:b"),
        ],
    );
    let other = keeper.component(id("user_id:v").hash128()).unwrap();
    let writes = keeper.writes;
    for n in 2..1_000 {
        let text = [
            "user_id:u anonymous_id:a",
            "user_id:u",
            "anonymous_id:a",
            "user_id:u anonymous_id:a email:e@x.org",
        ];
        let quick = keeper.take(&event(n, n as i64, n as i64, false, &ids(text[n as usize % 4])));
        assert!(quick.is_none(), "event {n}");
    }
    assert_eq!((keeper.writes, keeper.rows.reads.get()), (writes, 0));
    after(&mut keeper, &[(2_000, "user_id:u phone:+31612345678")]);
    assert_eq!(keeper.component(id("user_id:v").hash128()).unwrap(), other);
}

#[test]
fn idn_3_no_identifier_no_profile() {
    let mut keeper = keeper("{}");
    assert!(
        keeper
            .take(&event(0, 0, 0, false, &[Identifier::parse("user_id:null").unwrap()]))
            .is_none()
    );
    assert!(keeper.components.is_empty());
}
