//! The stored form: golden bytes of version 1, canonical, and safe to read whatever the bytes are.

use super::keeper::{after, id, keeper};
use super::worlds::world;
use crate::{Component, IdentityErrorKind};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const GOLDEN: &str = concat!(
    "01070301640b79924bf6b31566f7f2c57b71d1184e80a4e80380ade20401000400010280ade204010004000080a4e80380ad",
    "e2040100040000050463617264013749f36e10a927cc032481309ca5c093d4809bee0280a4e8030100030000000401618e06",
    "93ebb50f13523edecaa9e4c1e4760080897a010000000200078092f401010001000080897a01000000010580a4e803010003",
    "00809bee0280a4e803010003000200027530941b75e26f34c661f113dd4edc421e398092f401809bee020100020000010002",
    "7532aad3ccf78021bf88fd58cd32d73ac21a809bee0280a4e80301000300000201076540782e6f7267d94f97b689f91e7cc8",
    "38820f73c6f46380897a8092f40101000100000100027531ec45e3d908f37adf00c3f1a2890e09aa80897a8092f401010001",
    "000001030301040580a4e8030100030000020306809bee0201000200010205068092f4010100010000035d057342cce559bb",
    "62fb46756ae0a5f706d03475b0f36484ac9375abd92ae7cdf20ff331bd212ab06f471adb5c983f9c0280a4e8030100030001",
    "00030180a4e8030100030005000301"
);

#[test]
fn idn_3_golden_component_of_version_1() {
    let mut keeper = keeper("{}");
    let events = [
        (1, "anonymous_id:a"),
        (2, "user_id:u1 email:e@x.org anonymous_id:a"),
        (3, "alias user_id:u1 user_id:u0"),
    ];
    after(&mut keeper, &events);
    after(
        &mut keeper,
        &[
            (4, "user_id:u2 email:e@x.org card:7 anonymous_id:a"),
            (5, "device_id:d card:7"),
        ],
    );
    let component = keeper.component(id("user_id:u1").hash128()).unwrap();
    let hex: String = component.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
}

#[test]
fn idn_3_stored_bytes_are_read_back_or_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for seed in 0..60 {
        let world = world(seed);
        let mut keeper = world.keeper();
        for event in &world.events {
            keeper.take(event);
        }
        for bytes in keeper.components.values() {
            let component = Component::decode(bytes).unwrap();
            assert_eq!(component.encode(), *bytes);
            for cut in 0..bytes.len() {
                assert_eq!(
                    Component::decode(&bytes[..cut]).unwrap_err().kind(),
                    IdentityErrorKind::Rebuild
                );
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert!(Component::decode(&longer).is_err());
            for _ in 0..200 {
                let mut damaged = bytes.clone();
                let at = random.random_range(0..damaged.len());
                damaged[at] ^= 1 << random.random_range(0..8);
                if let Ok(component) = Component::decode(&damaged) {
                    let evidence = world.rules.read(&world.events[0]);
                    let _ = (
                        component.profiles(),
                        component.parked().count(),
                        component.place_quickly(&evidence),
                    );
                    let _ = world.keeper().resolver.apply(vec![component], &evidence, &keeper.rows);
                }
            }
        }
    }
}
