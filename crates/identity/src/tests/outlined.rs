//! Outlines say what components say.

use super::worlds::world;
use crate::{Component, Outline};

#[test]
fn seg_7_an_outline_has_the_profiles_and_parts_of_its_component() {
    let (mut outline, mut intervals, mut many) = (Outline::default(), 0, 0);
    for seed in 0..120 {
        let world = world(seed);
        let mut keeper = world.keeper();
        for event in &world.events {
            keeper.take(event);
        }
        for bytes in keeper.components.values() {
            let component = Component::decode(bytes).unwrap();
            outline.read(bytes).unwrap();
            let profiles = component.profiles();
            let outlined: Vec<_> = outline.profiles().collect();
            assert_eq!(outlined.len(), profiles.len(), "seed {seed}");
            many += usize::from(profiles.len() > 1);
            for (whole, (id, parts)) in profiles.iter().zip(outlined) {
                let mut members: Vec<_> = whole.members.iter().map(|one| (one.part, one.end)).collect();
                members.sort_unstable();
                let parts: Vec<_> = parts.iter().map(|part| (part.key, part.end)).collect();
                intervals += parts
                    .iter()
                    .filter(|(key, end)| key.start.is_some() && end.is_some())
                    .count();
                assert_eq!((whole.id, &members), (id, &parts), "seed {seed}");
            }
            assert_eq!(outline.is_full(), component.is_full());
            for cut in 0..bytes.len() - 1 {
                // What follows the profiles is not read.
                let _ = outline.read(&bytes[..cut]);
            }
            assert!(outline.read(&bytes[..bytes.len() / 2]).is_err() || outline.profiles().count() == profiles.len());
        }
    }
    assert!(
        intervals > 20 && many > 20,
        "{intervals} between two others, {many} of several people"
    );
}
