//! What comes into a block or out of one by other rules, and of whom only the id changes, against what applying them does.

use super::tests::{document, impact, proposed};
use super::veto_tests::Lists;
use crate::reads::tests::reads_of;
use crate::tests::worlds::documents;
use crate::tests::{Bench, at, event, main_space};
use crate::{Definitions, Rearranged};
use kith_types::{Event, Identifier, ProfileId};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Of whom nothing but the id changes: one who becomes one other, who comes from nobody else, where neither was on the other side.
pub(super) fn check_renamed(
    told: &Rearranged,
    (becomes, comes_from, _): &Lists,
    (before, after): (&BTreeSet<ProfileId>, &BTreeSet<ProfileId>),
    what: &str,
) {
    let mut expected = BTreeMap::new();
    for (old, into) in becomes {
        let new = into.first().unwrap();
        let [was, is]: [ProfileId; 2] = [old, new].map(|id| id.parse().unwrap());
        if into.len() == 1 && comes_from[new].len() == 1 && !after.contains(&was) && !before.contains(&is) {
            expected.insert(was, is);
        }
    }
    let found: BTreeMap<ProfileId, ProfileId> = told.renamed.iter().map(|(old, new)| (*old, new.id)).collect();
    assert_eq!(found, expected, "{what}");
    assert_eq!(told.renamed_total, expected.len() as u64, "{what}");
}

/// What events name that only one of two rules takes, over all events there are.
pub(super) fn check_blocks(
    told: &Rearranged,
    events: &[Event],
    (before, after): (&Definitions, &Definitions),
    what: &str,
) {
    let (mut into, mut out_of) = (BTreeSet::new(), BTreeSet::new());
    for sent in events.iter().flat_map(|event| &event.identifiers) {
        let [was, is] = [before, after].map(|definitions| match definitions.rules.refuses(sent) {
            None => definitions.rules.spell(sent).map(|spelt| spelt.to_string()),
            Some(_) => None,
        });
        match (was, is) {
            (Some(was), None) => drop(into.insert(was)),
            (None, Some(is)) => drop(out_of.insert(is)),
            _ => {}
        }
    }
    let shown = |list: &[Identifier]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!((shown(&told.blocked), shown(&told.unblocked)), (into, out_of), "{what}");
    assert_eq!(
        (told.blocked_total, told.unblocked_total),
        (told.blocked.len() as u64, told.unblocked.len() as u64),
        "{what}"
    );
}

#[test]
fn idn_7_a_plan_tells_what_comes_into_a_block_or_out_of_one_and_of_whom_only_the_id_changes() {
    let mut bench = Bench::new();
    bench.decide(0, &documents());
    let order = |named: &str, second| event(named, "Order Completed", second, json!({"total": 9}));
    // The desk's address is older than Ann's id, and comes alone once.
    bench.take(1, &[order("email:desk@x.org", 1)]);
    bench.take(2, &[order("user_id:ann email:DESK@x.org", 2)]);
    bench.take(3, &[order("user_id:bo email:null", 3)]);
    bench.take(4, &[order("email:none", 4)]);
    bench.settle(at(5));
    let resolve = |bench: &Bench, name: &str| reads_of(bench).resolve(&main_space(), name).unwrap().unwrap();
    let old = resolve(&bench, "user_id:ann");
    assert_eq!(old, resolve(&bench, "email:desk@x.org"));
    let rules =
        json!({"types": {"email": {"default_blocked": false, "normalise": "lowercase", "blocked": ["desk@x.org"]}}});
    let told = impact(
        &bench,
        &proposed(vec![document("identity_rules", "main", rules.clone())]),
        at(6),
        2,
    );
    let identity = told.identity.as_ref().unwrap();
    let shown = |list: &[Identifier]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        shown(&identity.blocked),
        ["email:desk@x.org"],
        "counted once, however often it is named"
    );
    assert_eq!(
        shown(&identity.unblocked),
        ["email:none", "email:null"],
        "also of what nobody has"
    );
    assert_eq!((identity.blocked_total, identity.unblocked_total), (1, 2));
    assert_eq!(
        (identity.splits_total, identity.merges_total, identity.renamed_total),
        (0, 0, 1)
    );
    let buyers = told.segments.iter().find(|one| one.name.as_str() == "buyers").unwrap();
    assert_eq!(
        (buyers.enters, buyers.leaves, buyers.renamed),
        (1, 0, 1),
        "whoever has email:none is new"
    );
    let document = told.to_document();
    assert_eq!(document["identity"]["renamed"][0]["from"], json!(old.to_string()));
    assert_eq!(
        document["identity"]["renamed"][0]["identifiers"],
        json!(["user_id:ann"])
    );
    assert_eq!(document["identity"]["blocked"], json!(["email:desk@x.org"]));
    let new = identity.renamed[0].1.id;
    bench.decide(7, &[("identity_rules", "main", rules)]);
    bench.settle(at(8));
    assert_eq!((resolve(&bench, "user_id:ann"), identity.renamed[0].0), (new, old));
    assert_ne!(new, old);
}
