//! Vetoes: an unmerge gives the people, folds and memberships that would have been had the evidence never linked.

use super::oracle::{check, people};
use super::worlds::{documents, some_vetoes, world};
use super::{Bench, at, decision, event, identify, performed, vetoes};
use crate::Veto;
use kith_types::{Address, Identifier, RecordBody};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

fn id(text: &str) -> Identifier {
    Identifier::parse(text).unwrap()
}

fn event_veto(sequence: u64, index: u32, identifier: &str) -> Veto {
    let event = Address {
        generation: 1,
        partition: 0,
        sequence,
        index,
    };
    Veto::Event {
        event,
        identifier: id(identifier),
    }
}

#[test]
fn idn_6_an_unmerge_is_lossless_and_tells_regrouping() {
    let mut bench = Bench::new();
    bench.decide(
        0,
        &[
            ("segment", "buyers", performed("Order Completed", 1, 1_000)),
            ("segment", "pro", json!({"where": {"trait": "plan", "equals": "pro"}})),
        ],
    );
    bench.take(1, &[event("email:jo@x.org", "Order Completed", 1, json!({"total": 5}))]);
    let jo = bench.last_person();
    bench.take(2, &[identify("user_id:ann", 2, json!({"plan": "pro"}))]);
    let ann = bench.last_person();
    // Ann types her friend's address by mistake: the two melt into one.
    bench.take(3, &[event("user_id:ann email:jo@x.org", "Signed Up", 3, json!({}))]);
    assert_eq!(bench.last_person(), jo);
    bench.commit();
    let told = bench.told().len();
    let wrong = event_veto(3, 0, "email:jo@x.org");
    bench.veto(4, std::slice::from_ref(&wrong), &[]);
    let now = bench.told();
    assert_eq!(now[told..], ["-pro 4 regrouping", "+pro 4 regrouping"]);
    assert_eq!(
        bench
            .numbered()
            .iter()
            .skip(told)
            .map(|one| one.change.profile)
            .collect::<Vec<_>>(),
        [jo, ann]
    );
    bench.settle(at(5));
    check(&bench, at(5), "an unmerge");
    // What comes later goes to whom it is.
    bench.take(6, &[event("user_id:ann", "Order Completed", 6, json!({"total": 7}))]);
    assert_eq!(bench.last_person(), ann);
    // The veto ends: they are one again.
    bench.veto(7, &[], std::slice::from_ref(&wrong));
    bench.take(8, &[event("user_id:ann", "Seen", 8, json!({}))]);
    assert_eq!(bench.last_person(), jo);
    bench.veto(9, &[Veto::pair(id("user_id:ann"), id("email:Jo@X.org"))], &[]);
    bench.take(10, &[event("user_id:ann", "Seen", 10, json!({}))]);
    assert_eq!(bench.last_person(), ann);
    bench.settle(at(11));
    check(&bench, at(11), "a pair");
}

#[test]
fn idn_6_vetoes_in_any_order_give_what_a_run_that_knew_them_gives() {
    let (mut regrouped, soak) = (0, super::soak());
    for seed in 0..60 * soak {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut world = world(seed + 20_000, 50, false);
        let envelope = |record: &kith_types::Record| matches!(record.body, RecordBody::Envelope(_));
        world
            .records
            .retain(|record| envelope(record) && record.address.sequence > 0);
        let mut wanted = Vec::new();
        for _ in 0..random.random_range(1..6) {
            wanted.extend(some_vetoes(&mut random, &mut Vec::new(), 50).0);
        }
        wanted.sort();
        wanted.dedup();
        let extra: Vec<Veto> = some_vetoes(&mut random, &mut Vec::new(), 50).0;
        let extra: Vec<Veto> = extra.into_iter().filter(|veto| !wanted.contains(veto)).collect();
        let mut known = Bench::new();
        known.apply(&decision(0, 0, &documents()));
        // One knows all vetoes before the first event; the other hears of them one by one, in any order, with others that end.
        let offset = |record: &kith_types::Record| {
            let mut record = record.clone();
            record.address.sequence += 100;
            record
        };
        let shift = |veto: &Veto| match veto.clone() {
            Veto::Event { mut event, identifier } => {
                event.sequence += 100;
                Veto::Event { event, identifier }
            }
            pair @ Veto::Pair { .. } => pair,
        };
        let wanted: Vec<Veto> = wanted.iter().map(shift).collect();
        let extra: Vec<Veto> = extra.iter().map(shift).collect();
        known.apply(&vetoes(1, 0, &wanted, &[]));
        world.records.iter().for_each(|record| known.apply(&offset(record)));
        let now = at(world.end + 5) + kith_types::Duration::from_micros(1);
        known.settle(now);
        check(&known, now, &format!("seed {seed}, known"));
        let truth = people(&known, now);
        for permutation in 0..1 + 9 * (soak - 1) {
            let mut late = Bench::new();
            late.apply(&decision(0, 0, &documents()));
            let mut order: Vec<(bool, Veto)> = wanted.iter().chain(&extra).map(|veto| (true, veto.clone())).collect();
            order.shuffle(&mut random);
            order.extend(extra.iter().map(|veto| (false, veto.clone())));
            for record in &world.records {
                late.apply(&offset(record));
                if random.random_bool(0.2) {
                    late.commit();
                }
            }
            let stood = people(&late, at(world.end));
            for (number, (add, veto)) in (0_u64..).zip(&order) {
                let (added, removed) = if *add {
                    (vec![veto.clone()], vec![])
                } else {
                    (vec![], vec![veto.clone()])
                };
                late.apply(&vetoes(1_000 + number, world.end, &added, &removed));
                if random.random_bool(0.3) {
                    late.commit();
                    late.crash();
                }
            }
            late.commit();
            regrouped += usize::from(people(&late, at(world.end)) != stood);
            late.settle(now);
            check(&late, now, &format!("seed {seed}, permutation {permutation}"));
            assert!(people(&late, now) == truth, "seed {seed}, permutation {permutation}");
        }
    }
    assert!(regrouped > 20, "{regrouped}");
}
