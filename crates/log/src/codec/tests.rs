//! The codec: its golden bytes, round trips, and what it refuses.

use super::{Decoder, RECORD_BYTES_MAX, encode_framed};
use crate::ErrorKind;
use crate::tests::{decision, envelope};
use bytes::Bytes;
use kith_types::{Envelope, Limits, Origin, RecordBody, Route, SpaceId, Terms};
use proptest::prelude::*;

fn encoded(space: &str, body: &RecordBody) -> Vec<u8> {
    let mut out = Vec::new();
    encode_framed(&space.parse().unwrap(), body, &mut out).unwrap();
    assert_eq!(out[..4], (out.len() as u32 - 4).to_le_bytes());
    out.split_off(4)
}

fn decoded(bytes: &[u8]) -> Result<(SpaceId, RecordBody), crate::LogError> {
    Decoder::default().decode(&Bytes::copy_from_slice(bytes))
}

#[test]
fn log_1_the_layout_of_records_is_golden() {
    let golden = include_bytes!("../../golden/records-v1.bin");
    let with_terms = include_bytes!("../../golden/records-v2.bin");
    let mut written = encoded("main", &envelope(b"{\"batch\":[]}"));
    written.extend(encoded("brand_2", &decision("{\"kind\":\"segment\"}")));
    assert_eq!(
        written, golden,
        "the layout changed: raise VERSION and keep reading the old one"
    );
    let RecordBody::Envelope(mut envelope) = envelope(b"{\"batch\":[]}") else {
        panic!()
    };
    envelope.terms = Terms {
        limits: Limits {
            event_bytes: 65_536,
            batch_bytes: 1_000_000,
            batch_events: 10_000,
        },
        dedupe_days: 90,
    };
    assert_eq!(encoded("main", &RecordBody::Envelope(envelope)), with_terms);
}

#[test]
fn log_1_what_was_never_written_is_refused() {
    let whole = encoded("main", &envelope(b"body"));
    for cut in 0..whole.len() - 4 {
        assert_eq!(decoded(&whole[..cut]).unwrap_err().kind(), ErrorKind::Corrupt, "{cut}");
    }
    let mut later = whole.clone();
    later[0] = 3;
    let error = decoded(&later).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.to_string().contains("start the version of kith that wrote it"));
    let mut out = Vec::new();
    let large = envelope(&vec![0; RECORD_BYTES_MAX]);
    assert_eq!(
        encode_framed(&SpaceId::main(), &large, &mut out).unwrap_err().kind(),
        ErrorKind::Refused
    );
    let RecordBody::Envelope(mut wordy) = envelope(b"") else {
        panic!()
    };
    wordy.user_agent = "x".repeat(70_000).into();
    assert!(
        encode_framed(&SpaceId::main(), &RecordBody::Envelope(wordy), &mut out)
            .unwrap_err()
            .to_string()
            .contains("user agent")
    );
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let own = (any::<[u32; 3]>(), any::<u16>()).prop_map(|([event, batch, events], dedupe_days)| Terms {
        limits: Limits {
            event_bytes: event as usize,
            batch_bytes: batch as usize,
            batch_events: events as usize,
        },
        dedupe_days,
    });
    prop_oneof![Just(Terms::USUAL), own]
}

fn any_envelope() -> impl Strategy<Value = RecordBody> {
    let routes = [
        "identify", "track", "page", "screen", "group", "alias", "batch", "internal",
    ];
    let route = prop::sample::select(routes.to_vec()).prop_map(|name| Route::from_name(name).unwrap());
    let text = || "\\PC{0,40}";
    (
        "[a-z][a-z0-9_-]{0,63}",
        route,
        (any::<bool>(), any_terms()),
        text(),
        text(),
        text(),
        prop::collection::vec(any::<u8>(), 0..600),
    )
        .prop_map(
            |(source, route, (live, terms), content_type, client_ip, user_agent, body)| {
                RecordBody::Envelope(Envelope {
                    source: source.parse().unwrap(),
                    route,
                    origin: if live { Origin::Live } else { Origin::Import },
                    content_type: content_type.into(),
                    client_ip: client_ip.into(),
                    user_agent: user_agent.into(),
                    terms,
                    body: body.into(),
                })
            },
        )
}

proptest! {
    #[test]
    fn log_1_every_record_reads_as_it_was_written(space in "[a-z][a-z0-9_]{0,31}", body in any_envelope(), document in "\\PC{0,200}") {
        for body in [body, decision(&document)] {
            prop_assert_eq!(decoded(&encoded(&space, &body)).unwrap(), (space.parse().unwrap(), body));
        }
    }

    #[test]
    fn log_1_no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), version in 0_u8..4, kind in 0_u8..3) {
        let mut whole = vec![version, kind];
        whole.extend(bytes);
        drop(decoded(&whole));
    }
}
