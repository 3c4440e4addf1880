//! The segment's bytes: golden, and judged rightly whatever is damaged.

use super::{Footer, HeaderState, SEGMENT_HEADER_BYTES, Seed, SegmentHeader, finish_group, fold_hash, scan};
use crate::format::{format_text, parse_segment_name, segment_name};
use kith_types::Timestamp;
use proptest::prelude::*;

fn seed() -> Seed {
    Seed::new(0x0123_4567_89ab_cdef, 7)
}

fn header() -> SegmentHeader {
    SegmentHeader {
        generation: 2,
        partition: 1,
        ordinal: 7,
        first_sequence: 1000,
        created_at: Timestamp::from_micros(1_700_000_000_000_000),
        received_floor: Timestamp::from_micros(1_699_999_999_000_000),
    }
}

/// A segment of three groups of 2, 1 and 3 records; returns it with the offsets of its groups and its footer.
fn segment() -> (Vec<u8>, Vec<usize>, Footer) {
    let mut bytes = header().encode(seed()).to_vec();
    let (mut offsets, mut hash, mut sequence) = (Vec::new(), 0, 1000);
    for (count, body) in [
        (2, &b"\x03\0\0\0one\x03\0\0\0two"[..]),
        (1, b"\x05\0\0\0three"),
        (3, b"\0\0\0\0\x01\0\0\0x\0\0\0\0"),
    ] {
        let mut group = vec![0; super::GROUP_HEADER_BYTES];
        group.extend_from_slice(body);
        let received_at = Timestamp::from_micros(1_700_000_000_000_000 + i64::from(count));
        hash = fold_hash(
            hash,
            finish_group(&mut group, sequence, count, received_at, bytes.len() as u64, seed()),
        );
        offsets.push(bytes.len());
        bytes.extend(group);
        sequence += u64::from(count);
    }
    let footer = Footer {
        first_sequence: 1000,
        end_sequence: sequence,
        first_received_at: Timestamp::from_micros(1_700_000_000_000_002),
        last_received_at: Timestamp::from_micros(1_700_000_000_000_003),
        groups_end: bytes.len() as u64,
        hash,
        index: vec![(1000, SEGMENT_HEADER_BYTES as u64)],
    };
    bytes.extend(footer.encode(seed()));
    (bytes, offsets, footer)
}

#[test]
fn log_1_the_layout_of_segments_is_golden() {
    let (bytes, _, footer) = segment();
    let golden = include_bytes!("../../golden/segment-v1.bin");
    assert_eq!(
        bytes, golden,
        "the layout changed: raise FORMAT_VERSION and keep reading the old one"
    );
    assert_eq!(SegmentHeader::decode(golden, seed()), HeaderState::Whole(header()));
    assert_eq!(Footer::decode(golden, golden.len() as u64, seed()), Some(footer));
    let found = scan(golden, seed(), 1000, Some(1006));
    assert_eq!(
        (found.groups.len(), found.holes.len(), found.end_sequence),
        (3, 0, 1006)
    );
    assert_eq!(
        format_text(2, 1, 0xff),
        "kith-log 1\ngeneration 2\npartition 1\nsalt 00000000000000ff\ncheck b5ae1327\n"
    );
    assert_eq!(segment_name(1000, 7), "00000000000000001000-0000000007.segment");
    assert_eq!(parse_segment_name(&segment_name(1000, 7)), Some((1000, 7)));
}

#[test]
fn log_1_a_segment_of_a_later_version_is_told_from_a_damaged_one() {
    let mut bytes = header().encode(seed());
    bytes[8] = 9;
    assert_eq!(SegmentHeader::decode(&bytes, seed()), HeaderState::Damaged);
    let crc = seed().checksum(0, &bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&bytes, seed()), HeaderState::Version(9));
}

#[test]
fn log_1_a_group_of_another_place_or_log_does_not_pass() {
    let (bytes, offsets, footer) = segment();
    assert!(scan(&bytes, Seed::new(1, 7), 1000, None).groups.is_empty());
    assert!(
        scan(&bytes, Seed::new(0x0123_4567_89ab_cdef, 8), 1000, None)
            .groups
            .is_empty()
    );
    let mut moved = bytes[..offsets[1]].to_vec();
    moved.extend_from_slice(&bytes[offsets[2]..footer.groups_end as usize]);
    let found = scan(&moved, seed(), 1000, None);
    assert_eq!(
        (found.groups.len(), found.holes.len(), found.end_sequence),
        (1, 0, 1002)
    );
}

proptest! {
    #[test]
    fn log_1_no_flipped_bit_is_served(at in 0_usize..400, bit in 0_u8..8) {
        let (mut bytes, _, footer) = segment();
        let end = footer.groups_end as usize;
        let at = SEGMENT_HEADER_BYTES + at % (end - SEGMENT_HEADER_BYTES);
        let whole = scan(&bytes, seed(), 1000, Some(1006));
        bytes[at] ^= 1 << bit;
        let found = scan(&bytes, seed(), 1000, Some(1006));
        prop_assert_eq!((found.groups.len(), found.end_sequence), (2, 1006));
        let missing: u64 = found.holes.iter().map(|(from, to)| to - from).sum();
        let served: u64 = found.groups.iter().map(|group| u64::from(group.header.count)).sum();
        prop_assert_eq!(missing + served, 6);
        prop_assert!(found.groups.iter().all(|group| whole.groups.contains(group)));
    }

    #[test]
    fn log_1_a_tail_cut_anywhere_leaves_a_prefix(cut in 0_usize..400, garbage in prop::collection::vec(any::<u8>(), 0..100)) {
        let (bytes, offsets, footer) = segment();
        let cut = SEGMENT_HEADER_BYTES + cut % (footer.groups_end as usize - SEGMENT_HEADER_BYTES);
        let mut torn = bytes[..cut].to_vec();
        torn.extend(garbage);
        let found = scan(&torn, seed(), 1000, None);
        let whole = offsets.iter().skip(1).filter(|next| **next <= cut).count();
        prop_assert_eq!((found.groups.len(), found.holes.len()), (whole, 0));
    }
}
