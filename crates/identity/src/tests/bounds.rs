//! Bounded components (IDN-4): what is over a bound is reported, and the event still has its place.

use super::keeper::{event, id, ids, keeper};
use crate::{MAX_IDENTIFIERS, MAX_INTERVALS, Refusal};

#[test]
fn idn_4_a_full_component_refuses_and_never_stalls() {
    let mut keeper = keeper("{}");
    let most = MAX_IDENTIFIERS as u64;
    for n in 0..most + 5 {
        let applied = keeper.take(&event(
            n,
            n as i64,
            n as i64,
            false,
            &ids(&format!("user_id:u{n} anonymous_id:kiosk")),
        ));
        let applied = applied.unwrap();
        let user = id(&format!("user_id:u{n}"));
        assert_eq!(applied.placement.part.carrier, user.hash128());
        if n + 1 < most {
            assert!(applied.refused.is_empty() && applied.component.len() as u64 == n + 2);
        } else {
            assert_eq!(
                (applied.refused.len(), applied.refused[0].because),
                (1, Refusal::Identifiers)
            );
            assert_eq!(applied.refused[0].identifier, id("anonymous_id:kiosk"));
            assert_eq!((applied.component.len(), applied.apart.len()), (1, 1));
        }
    }
    let kiosk = keeper.component(id("anonymous_id:kiosk").hash128()).unwrap();
    assert_eq!(kiosk.len(), MAX_IDENTIFIERS);
    // Who was refused has a profile, and goes on.
    let late = keeper
        .take(&event(
            most + 5,
            9_999,
            9_999,
            false,
            &ids(&format!("user_id:u{most} email:e@x.org")),
        ))
        .unwrap();
    assert_eq!((late.component.len(), late.refused.len()), (2, 0));
}

#[test]
fn idn_4_intervals_are_bounded() {
    let mut keeper = keeper("{}");
    let most = MAX_INTERVALS as u64;
    let mut refused = 0;
    for n in 0..most + 3 {
        let text = format!("user_id:u{} anonymous_id:kiosk", n % 2);
        if let Some(applied) = keeper.take(&event(n, n as i64, n as i64, false, &ids(&text))) {
            refused += applied
                .refused
                .iter()
                .filter(|refused| refused.because == Refusal::Intervals)
                .count();
        }
    }
    let component = keeper.component(id("anonymous_id:kiosk").hash128()).unwrap();
    assert!(component.intervals() <= MAX_INTERVALS && component.intervals() + 2 >= MAX_INTERVALS);
    assert!(refused > 0);
}
