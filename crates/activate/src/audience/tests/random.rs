//! Random histories: whoever enters, leaves, signs in, merges and is taken apart, and whatever dies or is lost meanwhile, in the end
//! a receiver holds the names of the members and no other.

use super::held::{held, is};
use super::{Ground, Process};
use crate::engine::DieAt;
use crate::tests::runtime;
use kith_segment::Cause;
use kith_types::{Duration, EventKey, ProfileId};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers that a seed gives.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Person {
    user: Option<String>,
    devices: Vec<String>,
    is_in: bool,
}

impl Person {
    fn name(&self) -> Option<String> {
        let user = self.user.as_ref().map(|user| format!("user {user}"));
        user.or_else(|| self.devices.last().map(|device| format!("device {device}")))
    }
}

/// People as the live state would have them.
struct Town {
    ground: Arc<Ground>,
    people: BTreeMap<u128, Person>,
    /// Where merged profiles lead.
    merged: BTreeMap<u128, u128>,
    next: u128,
    users: u32,
}

impl Town {
    fn changes(&self, person: u128, is_in: bool, cause: Cause) {
        self.ground.world.change(person, is_in, cause);
    }

    /// Tells the fakes who is who now.
    fn stands(&self) {
        self.ground
            .world
            .people
            .lock()
            .unwrap()
            .retain(|id, _| *id == ProfileId(1));
        for (id, person) in &self.people {
            let device = person.devices.last().map(String::as_str);
            is(&self.ground, *id, person.user.as_deref(), device, person.is_in);
        }
        let mut people = self.ground.world.people.lock().unwrap();
        for gone in self.merged.keys() {
            let mut into = *gone;
            while let Some(next) = self.merged.get(&into) {
                into = *next;
            }
            if let Some(person) = people.get(&ProfileId(into)).cloned() {
                people.insert(ProfileId(*gone), person);
            }
        }
        let mut members = self.ground.members.lock().unwrap();
        members.retain(|(_, profile, _)| self.people.contains_key(&profile.0));
    }

    fn any(&self, dice: &mut Dice) -> u128 {
        let at = dice.below(self.people.len());
        *self.people.keys().nth(at).unwrap()
    }

    fn set(&mut self, id: u128, is_in: bool, cause: Cause) {
        let person = self.people.get_mut(&id).unwrap();
        if person.is_in != is_in {
            person.is_in = is_in;
            self.changes(id, is_in, cause);
        }
    }

    fn act(&mut self, dice: &mut Dice) {
        let cause = [Cause::Event(EventKey(1)), Cause::Clock, Cause::Import][dice.below(3)];
        match dice.below(10) {
            0 | 1 => {
                self.next += 1;
                let guest = Person {
                    devices: vec![format!("d{}", self.next)],
                    ..Person::default()
                };
                self.people.insert(self.next, guest);
                self.set(self.next, dice.below(2) == 0, cause);
            }
            2..=4 => {
                let id = self.any(dice);
                let is_in = !self.people[&id].is_in;
                self.set(id, is_in, cause);
            }
            5 => {
                let id = self.any(dice);
                self.users += 1;
                let person = self.people.get_mut(&id).unwrap();
                person.user.get_or_insert_with(|| format!("u{}", self.users));
            }
            6 | 7 if self.people.len() > 1 => {
                let (gone, into) = (self.any(dice), self.any(dice));
                if gone != into {
                    self.merge(gone, into, dice, cause);
                }
            }
            8 => self.take_apart(dice),
            _ => self.ground.world.clock.advance(Duration::from_secs(1)),
        }
        self.stands();
    }

    fn merge(&mut self, gone: u128, into: u128, dice: &mut Dice, cause: Cause) {
        let was = self.people.remove(&gone).unwrap();
        let stays = self.people.get_mut(&into).unwrap();
        stays.user = stays.user.take().or(was.user);
        // The latest is either's.
        let (mut first, last) = match dice.below(2) {
            0 => (was.devices, stays.devices.clone()),
            _ => (stays.devices.clone(), was.devices),
        };
        first.extend(last);
        stays.devices = first;
        self.merged.insert(gone, into);
        let (exit_first, is_in) = (dice.below(2) == 0, dice.below(3) > 0);
        if was.is_in && exit_first {
            self.changes(gone, false, cause);
        }
        self.set(into, is_in, cause);
        if was.is_in && !exit_first {
            self.changes(gone, false, cause);
        }
    }

    /// A device goes to somebody of its own: one of those who were merged, or somebody new.
    fn take_apart(&mut self, dice: &mut Dice) {
        let id = self.any(dice);
        let person = self.people.get_mut(&id).unwrap();
        if person.devices.len() + usize::from(person.user.is_some()) < 2 || person.devices.is_empty() {
            return;
        }
        let device = person.devices.remove(dice.below(person.devices.len()));
        let back = self.merged.iter().find(|(_, into)| **into == id).map(|(gone, _)| *gone);
        let own = back.unwrap_or(self.next + 1);
        self.next = self.next.max(own);
        self.merged.remove(&own);
        let alone = Person {
            devices: vec![device],
            ..Person::default()
        };
        self.people.insert(own, alone);
        let stays_in = dice.below(2) == 0;
        self.set(id, stays_in, Cause::Regrouping);
        self.set(own, dice.below(2) == 0, Cause::Regrouping);
    }

    fn members(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .people
            .values()
            .filter(|of| of.is_in)
            .filter_map(Person::name)
            .collect();
        names.sort();
        names
    }
}

fn history(seed: u64, runtime: &tokio::runtime::Runtime) {
    let mut dice = Dice(seed);
    let (ground, folder) = (Ground::new(), tempfile::tempdir().unwrap());
    let send = [json!(["track", "identify"]), json!("track"), json!("identify")][dice.below(3)].clone();
    ground.define("crm", &json!({ "send": send }));
    let mut town = Town {
        ground: ground.clone(),
        people: BTreeMap::new(),
        merged: BTreeMap::new(),
        next: 100,
        users: 0,
    };
    town.people.insert(100, Person::default());
    town.people.get_mut(&100).unwrap().user = Some("u0".to_owned());
    (0..dice.below(20)).for_each(|_| town.act(&mut dice));
    town.stands();
    for _ in 0..12 {
        (0..dice.below(8)).for_each(|_| town.act(&mut dice));
        match dice.below(12) {
            // The state is lost, or the outbox forgets some of what waits.
            0 => {
                ground.world.changes.lock().unwrap().clear();
                *ground.world.passed.lock().unwrap() += 1 << 32;
            }
            1 => {
                let mut changes = ground.world.changes.lock().unwrap();
                let gone = dice.below(changes.len() + 1);
                if let Some((last, _)) = changes.last().cloned() {
                    *ground.world.passed.lock().unwrap() = last + 1;
                }
                changes.drain(..gone);
            }
            2 => ground.world.clock.advance(Duration::from_secs(7 * 3_600)),
            _ => {}
        }
        // A process that dies at any step, after some of them.
        let (after, seen) = (dice.below(12), AtomicUsize::new(0));
        let die_at: DieAt = Arc::new(move |_| seen.fetch_add(1, Ordering::SeqCst) == after);
        let _ = Process::start(&ground, folder.path(), runtime, Some(die_at)).run();
    }
    let mut process = Process::start(&ground, folder.path(), runtime, None);
    process.run().unwrap();
    // Those who have signed in or were taken apart and stayed in are looked for.
    ground.world.clock.advance(Duration::from_secs(7 * 3_600));
    process.run().unwrap();
    assert_eq!(held(&ground, "vip"), town.members(), "seed {seed}");
}

#[test]
fn seg_5_whatever_happens_a_receiver_holds_the_names_of_members_and_no_other() {
    let runtime = runtime();
    let soak: u64 = std::env::var("KITH_SOAK").map_or(1, |times| times.parse().unwrap());
    (0..30 * soak).for_each(|seed| history(seed, &runtime));
}
