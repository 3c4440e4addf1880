//! OPS-1: which spans are made, beneath which; that they are bounded; how `traceparent` is read.

use super::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn begun(traces: &Traces, parent: Option<&str>) -> Option<Place> {
    traces.request("POST", "/v1/track", parent).map(|mut span| {
        span.ended = span.began;
        let place = span.place;
        traces.keep(*span);
        place
    })
}

fn step(records: Range<u64>) -> Step {
    Step {
        records,
        events: 3,
        began: 5,
        ended: 9,
    }
}

/// Each waiting span as `name < parent's name`.
fn chains(traces: &Traces) -> Vec<String> {
    let spans = locked(&traces.waiting);
    let name_of = |id: Option<u64>| {
        spans
            .iter()
            .find(|span| Some(span.place.span) == id)
            .map(|span| span.name.as_str())
    };
    spans
        .iter()
        .map(|span| format!("{} < {}", span.name, name_of(span.parent).unwrap_or("-")))
        .collect()
}

#[test]
fn ops_1_steps_and_commits_find_their_requests_in_any_order() {
    for late in [false, true] {
        let traces = Traces::new("kith", 1.0);
        let request = begun(&traces, None).unwrap();
        if late {
            traces.step(step(0..10));
        }
        traces.became(7, request);
        if !late {
            traces.step(step(0..10));
        }
        traces.tables(9, 10);
        assert_eq!(chains(&traces).len(), 2, "the tables lack record 9");
        traces.tables(10, 11);
        assert_eq!(
            chains(&traces),
            ["POST /v1/track < -", "step < POST /v1/track", "publish < step"]
        );
        let traced = locked(&traces.waiting)
            .iter()
            .all(|span| span.place.trace == request.trace);
        assert!(traced);
    }
}

#[test]
fn ops_1_a_sender_decides_whether_its_request_is_followed() {
    let (nobody, everybody) = (Traces::new("kith", 0.0), Traces::new("kith", 1.0));
    let place = begun(&nobody, Some(PARENT)).unwrap();
    assert_eq!(place.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
    assert_eq!(locked(&nobody.waiting)[0].parent, Some(0xb7ad_6b71_6920_3331));
    assert_eq!(begun(&nobody, None), None);
    assert!(begun(&everybody, None).is_some());
    assert_eq!(begun(&everybody, Some(&PARENT.replace("-01", "-00"))), None);
}

#[test]
fn ops_1_a_broken_traceparent_begins_a_trace_of_its_own() {
    let traces = Traces::new("kith", 1.0);
    let zeros = format!("00-{:032x}-{:016x}-01", 0, 0);
    let longer = format!("{PARENT}-more");
    for broken in [
        "",
        "00",
        "jo@example.com",
        &PARENT[1..],
        &PARENT.to_uppercase(),
        &zeros,
        &longer,
        "ff-é-1-1",
    ] {
        let place = begun(&traces, Some(broken)).unwrap();
        assert_ne!(place.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, "{broken}");
    }
    assert!(parse_traceparent(&format!("01{}", &longer[2..])).is_some());
}

#[test]
fn ops_1_what_waits_is_bounded_and_methods_are_ours() {
    let traces = Traces::new("kith", 1.0);
    for sequence in 0..(WAITING_MAX as u64 * 2) {
        let place = begun(&traces, None).unwrap();
        traces.became(sequence, place);
    }
    assert_eq!(locked(&traces.waiting).len(), WAITING_MAX);
    assert_eq!(locked(&traces.followed).requests.len(), REMEMBERED_MAX);
    assert!(traces.take().is_some() && traces.take().is_none());
    traces.step(step(0..u64::MAX));
    assert_eq!(locked(&traces.waiting).len(), SPANS_A_STEP);
    assert_eq!(traces.request("JO", "/", None).unwrap().name, "_OTHER /");
}
