//! Claim policies and vetoes, as a reader of the contracts would draw them.

use super::examples::{people, set};
use super::keeper::{after, event, id, keeper};
use crate::LeftOut;

#[test]
fn idn_2_first_owner_keeps_a_value_and_later_links_leave_it_out() {
    let mut keeper = keeper(r#"{"types": {"email": {"claim": "first_owner"}, "user_id": {"limit": 3}}}"#);
    after(
        &mut keeper,
        &[
            (2, "user_id:u2 email:office@x.org phone:+31612345678"),
            (1, "user_id:u1 email:office@x.org"),
            (3, "email:office@x.org card:c"),
        ],
    );
    // The earliest claim counts, however late it came; what names no owner links as ever.
    assert_eq!(
        people(&keeper),
        set(&["card:c email:office@x.org user_id:u1", "phone:+31612345678 user_id:u2"])
    );
    let parked: Vec<_> = keeper.component(id("user_id:u1").hash128()).unwrap().parked().collect();
    assert_eq!((parked.len(), &parked[0].identifier), (1, &id("email:office@x.org")));
    assert_eq!(parked[0].because, LeftOut::Owner(id("user_id:u1")));
    // Who an alias makes one is no other.
    after(&mut keeper, &[(4, "alias user_id:u1 user_id:u2")]);
    assert_eq!(
        people(&keeper),
        set(&["card:c email:office@x.org phone:+31612345678 user_id:u1 user_id:u2"])
    );
}

#[test]
fn idn_2_an_ambiguous_value_links_nobody() {
    let mut keeper = keeper(r#"{"types": {"email": {"claim": "ambiguous"}}}"#);
    after(
        &mut keeper,
        &[(1, "user_id:u1 email:office@x.org"), (2, "email:office@x.org card:c")],
    );
    assert_eq!(people(&keeper), set(&["card:c email:office@x.org user_id:u1"]));
    after(&mut keeper, &[(3, "user_id:u2 email:office@x.org")]);
    assert_eq!(
        people(&keeper),
        set(&["card:c", "email:office@x.org", "user_id:u1", "user_id:u2"])
    );
    let component = keeper.component(id("user_id:u1").hash128()).unwrap();
    assert_eq!(component.parked().len(), 3);
    assert!(component.parked().all(|parked| parked.because == LeftOut::Ambiguous));
}

#[test]
fn idn_6_a_vetoed_event_does_not_link_the_identifier() {
    let mut keeper = keeper("{}");
    let wrong = event(1, 1, 2, false, &[]).address;
    keeper.vetoes.insert_link(wrong, id("email:e@x.org").hash128());
    keeper.vetoes.insert_link(wrong, id("anonymous_id:a").hash128());
    after(
        &mut keeper,
        &[
            (1, "user_id:u1 email:e@x.org anonymous_id:a"),
            (2, "user_id:u2 email:e@x.org anonymous_id:a phone:+31612345678"),
        ],
    );
    let one = "anonymous_id:a email:e@x.org user_id:u1";
    assert_eq!(people(&keeper), set(&[one, "phone:+31612345678 user_id:u2"]));
}

#[test]
fn idn_6_a_pair_that_is_not_one_person_acts_as_a_limit() {
    let mut keeper = keeper("{}");
    keeper
        .vetoes
        .insert_pair(id("card:c").hash128(), id("email:e@x.org").hash128());
    after(
        &mut keeper,
        &[
            (1, "user_id:u1 email:e@x.org"),
            (2, "phone:+31612345678 card:c"),
            (3, "user_id:u1 phone:+31612345678"),
            (4, "user_id:u1 anonymous_id:a"),
        ],
    );
    assert_eq!(
        people(&keeper),
        set(&["anonymous_id:a email:e@x.org user_id:u1", "card:c phone:+31612345678"])
    );
    let component = keeper.component(id("user_id:u1").hash128()).unwrap();
    let parked: Vec<_> = component.parked().map(|parked| parked.identifier).collect();
    assert_eq!(
        parked,
        [id("phone:+31612345678")],
        "it would have brought the card along"
    );
}
