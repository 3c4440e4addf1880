//! SEG-1: whoever names what nobody has sent is told, with what they may have meant.

use super::accounts::group;
use super::replay::{live, replay};
use super::worlds::world;
use super::{Bench, at, event, identify, main_space};
use crate::reads::tests::reads_of;
use crate::{DefinitionDocument, compare_states};
use kith_state::{Batch, Keyspace, Read, Store};
use serde_json::{Value as Json, json};

fn document(kind: &str, name: &str, spec: Json) -> DefinitionDocument {
    DefinitionDocument {
        kind: kind.to_owned(),
        name: name.to_owned(),
        spec: Some(spec),
    }
}

/// What is told of these documents.
fn told(bench: &Bench, documents: &[DefinitionDocument]) -> Vec<String> {
    let concerned: Vec<(&str, &str)> = documents.iter().map(|one| (&*one.kind, &*one.name)).collect();
    let unsent = reads_of(bench).unsent(&main_space(), documents, &concerned).unwrap();
    unsent
        .into_iter()
        .map(|one| format!("{}: {}", one.name, one.warning))
        .collect()
}

/// The names as they are stored.
fn rows(bench: &Bench) -> Vec<(Vec<u8>, Vec<u8>)> {
    let from = crate::keys::named(&main_space(), "sent_name");
    let to = kith_state::prefix_end(&from).unwrap();
    let mut rows = Vec::new();
    let store = &*bench.store;
    store
        .scan(Keyspace::Meta, &from, &to, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            true
        })
        .unwrap();
    rows
}

fn segment(condition: &Json) -> Vec<DefinitionDocument> {
    vec![document("segment", "s", json!({ "where": condition }))]
}

/// A space whose events carry names of every kind.
fn shop() -> Bench {
    let mut bench = Bench::new();
    let order = json!({"total": 5, "shipping": {"address": {"city": "Bonn"}}, "items": [{"sku": "x"}]});
    let page = {
        let mut page = event("user_id:u1", "Pricing", 1, json!({"path": "/"}));
        page["type"] = json!("page");
        page["name"] = json!("Pricing");
        page
    };
    let mut order = event("user_id:u1", "Order Completed", 1, order);
    order["context"]["page"] = json!({"path": "/cart"});
    order["context"]["consent"] =
        json!({"categoryPreferences": {"marketing": true, "ads.eu": false, "partners": null}});
    bench.take(
        1,
        &[
            order,
            identify("user_id:u1", 1, json!({"country": "DE", "address": {"city": "Bonn"}})),
            group("user_id:u1", "acme", 1, json!({"plan": "pro"})),
            page,
        ],
    );
    bench.commit();
    bench
}

#[test]
fn seg_1_a_name_that_nobody_has_sent_is_told_with_the_nearest_that_somebody_has() {
    let bench = shop();
    let performed = |event: &str, path: &str| json!({ "performed": { "event": event, "where": { "property": path, "exists": true } } });
    let page = |name: &str| json!({ "performed": { "type": "page", "event": name } });
    let of_context = |path: &str| json!({ "performed": { "event": "Order Completed", "where": { "context": path, "exists": true } } });
    for (condition, expected) in [
        (performed("Order Completed", "shipping.address.city"), None),
        (
            performed("Order Complted", "total"),
            Some("an event named \"Order Complted\"; did you mean \"Order Completed\"?"),
        ),
        (performed("Refunded", "total"), Some("an event named \"Refunded\"")),
        (page("Pricing"), None),
        (page("Order Completed"), Some("a page named \"Order Completed\"")),
        (performed("Pricing", "total"), Some("an event named \"Pricing\"")),
        (
            performed("Order Completed", "shipping.adress.city"),
            Some("a property named \"shipping.adress.city\"; did you mean \"shipping.address.city\"?"),
        ),
        // A path does not enter lists.
        (
            performed("Order Completed", "items.sku"),
            Some("a property named \"items.sku\""),
        ),
        (json!({ "trait": "address.city", "exists": true }), None),
        (
            json!({ "not": { "trait": "contry", "exists": true } }),
            Some("a trait named \"contry\"; did you mean \"country\"?"),
        ),
        (json!({ "account": { "trait": "plan", "exists": true } }), None),
        (
            json!({ "account": { "trait": "country", "exists": true } }),
            Some("a trait of an account named \"country\""),
        ),
        (
            json!({ "trait": "plan", "exists": true }),
            Some("a trait named \"plan\""),
        ),
        (of_context("page.path"), None),
        (
            of_context("page.pth"),
            Some("a field of context named \"page.pth\"; did you mean \"page.path\"?"),
        ),
        (
            of_context("campaign.name"),
            Some("a field of context named \"campaign.name\""),
        ),
        (json!({ "consent": "marketing" }), None),
        (
            json!({ "not": { "consent": "marketng" } }),
            Some("a category of consent named \"marketng\"; did you mean \"marketing\"?"),
        ),
        // What is neither allowed nor denied is no category.
        (
            json!({ "consent": "partners" }),
            Some("a category of consent named \"partners\""),
        ),
        // Not judged: deeper than names are told apart.
        (performed("Order Completed", "a.b.c.d.e.f"), None),
    ] {
        let expected: Vec<String> = expected
            .iter()
            .map(|what| format!("s: nobody has sent {what}"))
            .collect();
        assert_eq!(told(&bench, &segment(&condition)), expected, "{condition}");
    }
}

#[test]
fn seg_1_computed_traits_sequences_and_rules_are_judged_and_each_document_that_asks_is_told() {
    let bench = shop();
    let spent = json!({"function": "sum", "event": "Order Completed", "property": "totl"});
    let sequence = json!({ "sequence": {
        "first": "Order Completed", "then": "Ordr Completed", "same": "shiping", "gap_less_than": "1d",
    } });
    let documents = [
        document("computed_trait", "spent", spent),
        document(
            "segment",
            "rich",
            json!({ "where": { "computed_trait": "spent", "greater_than": 5 } }),
        ),
        document("segment", "repeated", json!({ "where": sequence })),
        document(
            "segment",
            "referring",
            json!({ "where": { "not": { "segment": "repeated" } } }),
        ),
        document(
            "segment",
            "also",
            json!({ "where": { "any": [{ "performed": "Ordr Completed" }, { "performed": "Ordr Completed" }] } }),
        ),
        document(
            "trait_rules",
            "main",
            json!({ "traits": { "plan": "max", "cuntry": "oldest" } }),
        ),
    ];
    // What only refers to another one of them is told where that is.
    let expected = [
        "spent: nobody has sent a property named \"totl\"; did you mean \"total\"?",
        "repeated: nobody has sent an event named \"Ordr Completed\"; did you mean \"Order Completed\"?",
        "repeated: nobody has sent a property named \"shiping\"; did you mean \"shipping\"?",
        "also: nobody has sent an event named \"Ordr Completed\"; did you mean \"Order Completed\"?",
        "main: nobody has sent a trait named \"cuntry\"; did you mean \"country\"?",
    ];
    assert_eq!(told(&bench, &documents), expected);
}

#[test]
fn idn_2_a_type_of_identifier_that_nobody_has_sent_is_told_with_the_nearest() {
    let mut bench = shop();
    let rules = |types: Json| told(&bench, &[document("identity_rules", "main", json!({ "types": types }))]);
    let word =
        |wrong: &str, meant: &str| format!("main: nobody has sent an identifier of a type named {wrong:?}{meant}");
    let known =
        json!({ "email": { "limit": 1 }, "phone": {}, "device_id": {}, "custom": { "normalise": "lowercase" } });
    assert!(
        rules(known).is_empty(),
        "those that there are everywhere need nobody who sends them"
    );
    let misspelt = rules(json!({ "emial": { "priority": 5 }, "loyalty_id": { "blocked": ["x"] } }));
    let meant = "; did you mean \"email\"?";
    assert_eq!(misspelt, [word("emial", meant), word("loyalty_id", "")]);
    bench.take(2, &[event("user_id:u1 loyalty_id:L-1", "Seen", 2, json!({}))]);
    bench.commit();
    let rules = |types: Json| told(&bench, &[document("identity_rules", "main", json!({ "types": types }))]);
    let misspelt = rules(json!({ "loyalty_id": { "limit": 1 }, "loyaltyid": { "limit": 1 } }));
    assert_eq!(misspelt, [word("loyaltyid", "; did you mean \"loyalty_id\"?")]);
    // A list of a segment asks for types, too: whoever is on it by one that nobody has is never in.
    let listed = |listed: Json| told(&bench, &segment(&json!({ "not": { "listed": listed } })));
    assert!(listed(json!(["email:jo@x.org", "user_id:u1", "loyalty_id:L-1"])).is_empty());
    let of_segment = |wrong: &str, meant: &str| word(wrong, meant).replace("main: ", "s: ");
    assert_eq!(
        listed(json!(["emial:jo@x.org", "user_id:u1", "emial:a@x.org", "badge:7"])),
        [of_segment("badge", ""), of_segment("emial", meant)]
    );
    // Nor is whoever is on it by an identifier as rules of identity never write it, whatever was sent.
    let spelt = "nobody can have email:Jo@X.org: rules of identity write it email:jo@x.org";
    let refused = "nobody can have email:jo: rules of identity do not take it";
    assert_eq!(
        listed(json!(["email:jo@x.org", "email:Jo@X.org", "email:jo"])),
        [format!("s: {spelt}"), format!("s: {refused}")]
    );
    // What replacements make of what is sent they would change anew: it is no mistake. Blocked values are one.
    let types =
        json!({ "user_id": { "replace": [{ "pattern": "^", "with": "crm-" }] }, "email": { "blocked": ["no@x.org"] } });
    let list = json!({ "listed": ["user_id:crm-7", "email:no@x.org"] });
    let mut documents = vec![document("identity_rules", "main", json!({ "types": types }))];
    documents.extend(segment(&list));
    assert_eq!(
        told(&bench, &documents),
        ["s: nobody can have email:no@x.org: rules of identity do not take it"]
    );
    // However many there are, they take no place of a name.
    let many: Vec<String> = (0..200).map(|number| format!("email:A{number}@X.org")).collect();
    let long = told(
        &bench,
        &segment(&json!({ "any": [{ "listed": many }, { "performed": "Sen" }] })),
    );
    assert_eq!(long.len(), crate::reads::UNSENT_TOLD_MAX);
    assert!(long[0].contains("nobody has sent an event named"), "{}", long[0]);
    // A state that knows no types warns of none.
    let mut batch = Batch::default();
    let mark = crate::keys::named(&main_space(), "identifier_types_are_kept");
    batch.remove(Keyspace::Meta, mark.clone());
    bench.store.commit(batch).unwrap();
    bench.crash();
    bench.take(3, &[event("user_id:u1 card:C-1", "Seen", 3, json!({}))]);
    bench.commit();
    assert!(
        told(
            &bench,
            &[document("identity_rules", "main", json!({ "types": { "crad": {} } }))]
        )
        .is_empty()
    );
    assert_eq!(bench.store.get(Keyspace::Meta, &mark).unwrap(), None);
    assert_eq!(
        told(&bench, &segment(&json!({ "performed": "Sen" }))).len(),
        1,
        "of the other kinds all are known"
    );
}

#[test]
fn act_1_a_topic_that_nobody_was_asked_about_is_told_with_the_nearest() {
    let bench = shop();
    let told = |topic: &str| reads_of(&bench).unsent_consent(&main_space(), topic).unwrap();
    assert_eq!(told("marketing"), None);
    let word = "nobody has sent a category of consent named \"marketng\"; did you mean \"marketing\"?";
    assert_eq!(told("marketng").as_deref(), Some(word));
    assert_eq!(
        reads_of(&Bench::new())
            .unsent_consent(&main_space(), "marketng")
            .unwrap(),
        None
    );
}

#[test]
fn seg_1_names_are_kept_by_first_appearance_up_to_a_bound_and_survive_a_crash() {
    let mut bench = shop();
    let first = segment(&json!({ "performed": "Nr 5" }));
    let late = segment(&json!({ "performed": "Nr 2000" }));
    let wrong = segment(&json!({ "performed": "Never Sent" }));
    assert_eq!((told(&bench, &first).len(), told(&bench, &wrong).len()), (1, 1));
    for number in 0..999 {
        bench.take(2, &[event("user_id:u1", &format!("Nr {number}"), 2, json!({}))]);
    }
    bench.commit();
    bench.crash();
    assert_eq!(
        (told(&bench, &first).len(), told(&bench, &wrong).len()),
        (0, 1),
        "a thousand are kept"
    );
    bench.take(3, &[event("user_id:u1", "Nr 5", 3, json!({}))]);
    bench.commit();
    assert_eq!(told(&bench, &wrong).len(), 1, "what is known takes no room");
    bench.take(4, &[event("user_id:u1", "Nr 2000", 4, json!({}))]);
    bench.commit();
    bench.crash();
    assert!(
        told(&bench, &late).is_empty() && told(&bench, &wrong).is_empty(),
        "beyond, nobody knows"
    );
    let property =
        segment(&json!({ "performed": { "where": { "property": "totl", "exists": true }, "type": "track" } }));
    assert_eq!(told(&bench, &property).len(), 1, "of the other kinds all are known");
}

#[test]
fn seg_1_nothing_is_told_before_anything_was_sent_or_where_names_are_not_all_known() {
    let mut bench = Bench::new();
    let asking = segment(&json!({ "performed": "Order Complted" }));
    bench.decide(
        0,
        &[("segment", "other", json!({ "where": { "trait": "a", "exists": true } }))],
    );
    bench.commit();
    assert!(told(&bench, &asking).is_empty());
    bench.crash();
    bench.take(1, &[event("user_id:u1", "Order Completed", 1, json!({}))]);
    bench.commit();
    assert_eq!(told(&bench, &asking).len(), 1);
    // A state that an earlier release began.
    let mut batch = Batch::default();
    for (key, _) in rows(&bench) {
        batch.remove(Keyspace::Meta, key);
    }
    batch.remove(Keyspace::Meta, crate::keys::named(&main_space(), "names_are_kept"));
    bench.store.commit(batch).unwrap();
    bench.crash();
    bench.take(2, &[event("user_id:u1", "Order Sent", 2, json!({}))]);
    bench.commit();
    assert!(told(&bench, &asking).is_empty());
}

#[test]
fn seg_1_a_replay_gives_the_names_of_a_run_that_was_disturbed() {
    let world = world(11, 60, false);
    let now = at(100_000);
    let (live, again) = (live(&world, 3, now), replay(&world, now));
    assert!(rows(&again).len() > 5);
    assert_eq!(rows(&live), rows(&again));
    // Whoever compares two states by the byte compares names, too.
    let mut batch = Batch::default();
    batch.remove(Keyspace::Meta, rows(&live).swap_remove(0).0);
    live.store.commit(batch).unwrap();
    let report = compare_states(&*live.store, &*again.store, now).unwrap();
    assert_eq!((report.different, report.differences[0].what), (1, "only rebuilt"));
}

#[test]
fn seg_1_a_state_that_knows_no_names_of_context_opens_and_warns_of_none_until_it_is_built_again() {
    let mut bench = shop();
    let asking = segment(&json!({ "all": [
        { "performed": { "event": "Order Complted", "where": { "context": "page.pth", "exists": true } } },
        { "consent": "marketng" },
    ] }));
    assert_eq!(told(&bench, &asking).len(), 3);
    // As the release before left it.
    let lead = crate::keys::named(&main_space(), "sent_name").len();
    let mut batch = Batch::default();
    for (key, _) in rows(&bench).into_iter().filter(|(key, _)| key[lead] >= 6) {
        batch.remove(Keyspace::Meta, key);
    }
    let mark = crate::keys::named(&main_space(), "context_names_are_kept");
    batch.remove(Keyspace::Meta, mark.clone());
    bench.store.commit(batch).unwrap();
    bench.crash();
    let mut more = event("user_id:u1", "Order Sent", 2, json!({}));
    more["context"]["page"] = json!({"path": "/sent"});
    bench.take(2, &[more]);
    bench.decide(
        3,
        &[("segment", "late", json!({ "where": { "consent": "marketing" } }))],
    );
    bench.settle(at(4));
    let left = told(&bench, &asking);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("Order Complted"), "the other kinds are known");
    assert!(
        rows(&bench).iter().all(|(key, _)| key[lead] < 6),
        "no half of the names"
    );
    assert_eq!(bench.store.get(Keyspace::Meta, &mark).unwrap(), None);
    // A proof by replay compares what both have.
    let mut again = shop();
    let mut more = event("user_id:u1", "Order Sent", 2, json!({}));
    more["context"]["page"] = json!({"path": "/sent"});
    again.take(2, &[more]);
    again.decide(
        3,
        &[("segment", "late", json!({ "where": { "consent": "marketing" } }))],
    );
    again.settle(at(4));
    assert_eq!(
        compare_states(&*bench.store, &*again.store, at(4)).unwrap().different,
        0
    );
    assert_eq!(told(&again, &asking).len(), 3);
}

#[test]
fn seg_1_the_bytes_of_sent_names_are_those_of_this_release_and_of_the_one_before() {
    let bench = shop();
    let lead = crate::keys::named(&main_space(), "sent_name");
    let found: Vec<(Vec<u8>, String)> = (rows(&bench).into_iter())
        .map(|(key, name)| (key[lead.len()..].to_vec(), String::from_utf8(name).unwrap()))
        .collect();
    let of_the_one_before = [
        (0, 0, "Order Completed"),
        (1, 0, "Pricing"),
        (3, 0, "total"),
        (3, 1, "shipping"),
        (3, 2, "shipping\0address"),
        (3, 3, "shipping\0address\0city"),
        (3, 4, "items"),
        (3, 5, "path"),
        (4, 0, "country"),
        (4, 1, "address"),
        (4, 2, "address\0city"),
        (5, 0, "plan"),
    ];
    let new = [
        (6, 0, "page"),
        (6, 1, "page\0path"),
        (6, 2, "consent"),
        (6, 3, "consent\0categoryPreferences"),
        (6, 4, "consent\0categoryPreferences\0marketing"),
        (6, 5, "consent\0categoryPreferences\0ads.eu"),
        (6, 6, "consent\0categoryPreferences\0partners"),
        (7, 0, "marketing"),
        (7, 1, "ads.eu"),
    ];
    let wanted = of_the_one_before.iter().chain(&new);
    let wanted: Vec<(Vec<u8>, String)> = wanted
        .map(|(kind, number, name)| (vec![*kind, 0, *number, 0xff], (*name).to_owned()))
        .collect();
    assert_eq!(found, wanted);
    for mark in ["names_are_kept", "context_names_are_kept", "identifier_types_are_kept"] {
        let mark = crate::keys::named(&main_space(), mark);
        assert_eq!(bench.store.get(Keyspace::Meta, &mark).unwrap(), Some(Vec::new()));
    }
}
