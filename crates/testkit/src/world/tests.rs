//! The world keeps what its configuration says, and the scoring says what the truth allows.

use super::*;
use std::collections::{HashMap, HashSet};

const NOW: Timestamp = Timestamp::from_millis(1_795_400_000_000);

fn world(events: u64) -> World {
    World::new(WorldConfig::new(7, events, NOW))
}

/// FNV-1a, as Fowler, Noll and Vo give it.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn share(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let hash = |seed| {
        let config = WorldConfig::new(seed, 3_000, NOW);
        World::new(config).fold(0xcbf2_9ce4_8422_2325, |hash, event| {
            fnv(fnv(hash, event.body.as_bytes()), event.source.as_bytes())
        })
    };
    assert_eq!(
        hash(7),
        GOLDEN,
        "the world of seed 7 is another than it was: {:#x}",
        hash(7)
    );
    assert_ne!(hash(7), hash(8));
}

/// The hash of the first world of these tests. It changes only when the generator is meant to.
const GOLDEN: u64 = 0x0b66_24eb_be9e_c098;

#[test]
fn every_event_is_a_segment_event_under_32_kb() {
    let mut kinds = HashSet::new();
    for event in world(20_000) {
        assert!(event.body.len() < 32 * 1024);
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(body["messageId"], event.message_id());
        assert!(event.message_id().len() < 100);
        assert!(SOURCES.contains(&event.source));
        let happened = Timestamp::parse(body["originalTimestamp"].as_str().unwrap()).unwrap();
        assert_eq!(happened.as_millis(), event.happened_at.as_millis());
        assert_eq!(Timestamp::parse(body["sentAt"].as_str().unwrap()).unwrap(), NOW);
        let named = ["userId", "anonymousId"]
            .iter()
            .any(|key| body.get(key).is_some_and(serde_json::Value::is_string));
        assert!(named || body["context"]["externalIds"].is_array(), "{body}");
        assert_eq!(event.source == "app", body["context"]["device"]["id"].is_string());
        kinds.insert(body["event"].as_str().or(body["type"].as_str()).unwrap().to_owned());
    }
    for kind in [
        "identify",
        "page",
        "screen",
        "Product Viewed",
        "Product Added",
        "Cart Viewed",
        "Checkout Started",
        "Order Completed",
        "Signed Up",
        "Signed In",
        "Signed Out",
        "Newsletter Subscribed",
        "Call Ended",
        "Loyalty Card Linked",
        "Application Opened",
        "Segment Consent Preference Updated",
    ] {
        assert!(kinds.contains(kind), "no {kind}");
    }
}

#[test]
fn the_moment_of_sending_can_be_the_worlds() {
    let config = WorldConfig {
        sent_at: SentAt::World,
        ..WorldConfig::new(7, 2_000, NOW)
    };
    for event in World::new(config).filter(|event| !event.duplicate) {
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(
            Timestamp::parse(body["sentAt"].as_str().unwrap()).unwrap().as_millis(),
            event.sent_at.as_millis()
        );
    }
}

#[test]
fn events_come_in_the_order_of_sending_within_the_history() {
    for events in [1, 10, 1_000, 50_000] {
        let config = WorldConfig::new(3, events, NOW);
        let (mut last, mut count) = (config.start(), 0);
        for event in World::new(config.clone()) {
            assert!(
                event.sent_at >= last && event.sent_at <= NOW && event.happened_at >= config.start(),
                "event {count}"
            );
            assert!(event.happened_at <= event.sent_at && event.sent_at - event.happened_at <= Duration::from_days(3));
            last = event.sent_at;
            count += 1;
        }
        assert_eq!(count, events);
        if events >= 1_000 {
            assert!(NOW - last < Duration::from_days(1), "the history ends at {last}");
        }
    }
}

#[test]
fn the_shares_are_as_stated() {
    let config = WorldConfig::new(11, 120_000, NOW);
    let events: Vec<WorldEvent> = World::new(config.clone()).collect();
    let counted =
        |test: &dyn Fn(&WorldEvent) -> bool| share(events.iter().filter(|event| test(event)).count(), events.len());
    let near = |name: &str, found: f64, stated: f64, tolerance: f64| {
        assert!(
            (found - stated).abs() <= stated * tolerance,
            "{name}: {found} instead of {stated}"
        );
    };
    near("bots", counted(&|event| event.truth.is_bot()), config.bots, 0.05);
    near(
        "late",
        counted(&|event| event.late && !event.duplicate),
        config.late,
        0.25,
    );
    near("duplicates", counted(&|event| event.duplicate), config.duplicates, 0.15);
    let overtaken = |event: &WorldEvent| {
        !event.late && !event.duplicate && event.sent_at - event.happened_at >= Duration::from_secs(2)
    };
    near("out of order", counted(&overtaken), config.out_of_order, 0.15);

    let dice = Dice::new(config.seed);
    let people: Vec<Person> = (0..config.people())
        .map(|number| Person::of(number, &config, &dice))
        .collect();
    let people_of =
        |test: &dyn Fn(&Person) -> bool| share(people.iter().filter(|person| test(person)).count(), people.len());
    near(
        "shared devices",
        people_of(&|person| person.tablet.is_some()),
        config.shared_devices,
        0.15,
    );
    near(
        "consent",
        people_of(&|person| person.consent == Some(true)),
        config.consent,
        0.05,
    );
    let seen: HashSet<u64> = events
        .iter()
        .filter(|event| !event.truth.is_bot())
        .map(|event| event.truth.person)
        .collect();
    near("people seen", share(seen.len(), people.len()), 0.95, 0.03);
}

#[test]
fn copies_carry_the_same_message_and_nothing_else_does() {
    let mut bodies = HashMap::new();
    let mut copies = 0;
    for event in world(30_000) {
        let id = event.message_id().to_owned();
        match bodies.insert(id, event.body.clone()) {
            Some(body) => {
                assert_eq!(body, event.body);
                copies += 1;
            }
            None => continue,
        }
    }
    assert!(copies > 100);
}

#[test]
fn memory_stays_within_its_bound() {
    assert_eq!(size_of::<Memory>(), 4);
    // As crowded as ten million events in a month, cut to what a test can take.
    let config = WorldConfig {
        days: 1,
        late: 0.5,
        ..WorldConfig::new(5, 300_000, NOW)
    };
    let mut world = World::new(config);
    let mut most = 0;
    while world.next().is_some() {
        most = most.max(world.held());
    }
    assert!(most > 10_000 && most <= HELD_EVENTS_MAX, "{most} events were held");
}

#[test]
fn idn_9_both_sign_in_on_a_shared_tablet() {
    let mut users: HashMap<String, HashSet<String>> = HashMap::new();
    let mut ambiguous = 0;
    for event in world(60_000) {
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        ambiguous += usize::from(event.truth.ambiguous);
        if let (Some(device), Some(user)) = (body["context"]["device"]["id"].as_str(), body["userId"].as_str()) {
            users.entry(device.to_owned()).or_default().insert(user.to_owned());
        }
    }
    assert!(users.values().all(|users| users.len() <= 2));
    assert!(users.values().filter(|users| users.len() == 2).count() > 20);
    assert!(ambiguous > 100 && ambiguous < 3_000, "{ambiguous} ambiguous events");
}

/// The identifiers of a body, as text.
fn identifiers(body: &str) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let mut named: Vec<String> = Vec::new();
    let mut add = |kind: &str, value: &serde_json::Value| {
        let text = value.as_str().map(|text| text.to_lowercase().replace(' ', ""));
        named.extend(text.map(|text| format!("{kind}:{text}")));
    };
    add("user", &body["userId"]);
    add("anonymous", &body["anonymousId"]);
    add("device", &body["context"]["device"]["id"]);
    add("email", &body["traits"]["email"]);
    add("phone", &body["traits"]["phone"]);
    for id in body["context"]["externalIds"].as_array().unwrap_or(&Vec::new()) {
        add(id["type"].as_str().unwrap(), &id["id"]);
    }
    named
}

#[test]
fn identifiers_name_one_person_except_on_tablets() {
    let mut holders: HashMap<String, HashSet<u64>> = HashMap::new();
    for event in world(60_000) {
        for identifier in identifiers(&event.body) {
            holders.entry(identifier).or_default().insert(event.truth.person);
        }
    }
    let shared: Vec<_> = holders.iter().filter(|(_, people)| people.len() > 1).collect();
    assert!(!shared.is_empty());
    for (identifier, people) in shared {
        assert!(
            identifier.starts_with("anonymous:") || identifier.starts_with("device:"),
            "{identifier} is of {people:?}"
        );
        let household: HashSet<u64> = people.iter().map(|person| person / 2).collect();
        assert_eq!((people.len(), household.len()), (2, 1), "{identifier}");
    }
}

#[test]
fn a_perfect_assignment_scores_one() {
    let truths: Vec<Truth> = world(40_000)
        .filter(|event| !event.duplicate)
        .map(|event| event.truth)
        .collect();
    let mut evidence = Evidence::default();
    truths.iter().for_each(|truth| evidence.observe(truth));
    let mut scoring = Scoring::new(&evidence);
    for truth in &truths {
        let profile = evidence.group_of(truth).map(|group| group.to_string());
        scoring.count(truth, profile.as_deref());
    }
    let score = scoring.score();
    assert_eq!((score.precision, score.recall), (1.0, 1.0));
    assert_eq!(score.events + score.ambiguous, u64::try_from(truths.len()).unwrap());
    assert_eq!(score.groups, score.profiles);
    assert!(
        score.groups > evidence.people(),
        "some people must come in parts that nothing connects"
    );
}

#[test]
fn an_assignment_by_the_identifiers_in_the_bodies_scores_one() {
    // What the slots say against what the bodies say: connected components of identifiers, tablets left out.
    let events: Vec<WorldEvent> = world(40_000).filter(|event| !event.duplicate).collect();
    let mut evidence = Evidence::default();
    events.iter().for_each(|event| evidence.observe(&event.truth));
    let mut parents: HashMap<String, String> = HashMap::new();
    fn root(parents: &HashMap<String, String>, of: &str) -> String {
        let mut at = of.to_owned();
        while let Some(parent) = parents.get(&at).filter(|parent| **parent != at) {
            at.clone_from(parent);
        }
        at
    }
    let own = |event: &WorldEvent| {
        let tablet = event.body.contains("\"type\":\"tablet\"");
        let mut named = identifiers(&event.body);
        named.retain(|name| !tablet || !(name.starts_with("anonymous:") || name.starts_with("device:")));
        named
    };
    for event in &events {
        let named = own(event);
        for pair in named.windows(2) {
            let (one, other) = (root(&parents, &pair[0]), root(&parents, &pair[1]));
            parents.insert(one, other);
        }
    }
    let mut scoring = Scoring::new(&evidence);
    for event in &events {
        let profile = own(event).first().map(|name| root(&parents, name));
        scoring.count(&event.truth, profile.as_deref());
    }
    let score = scoring.score();
    assert_eq!((score.precision, score.recall), (1.0, 1.0), "{score:?}");
}

#[test]
fn errors_lower_the_score() {
    let (one, other) = (
        Truth {
            person: 1,
            slots: slots::COOKIE,
            ambiguous: false,
        },
        Truth {
            person: 2,
            slots: slots::COOKIE,
            ambiguous: false,
        },
    );
    let mut evidence = Evidence::default();
    [one, other].iter().for_each(|truth| evidence.observe(truth));
    let scored = |assigned: &[(Truth, Option<&str>)]| {
        let mut scoring = Scoring::new(&evidence);
        assigned
            .iter()
            .for_each(|(truth, profile)| scoring.count(truth, *profile));
        let score = scoring.score();
        (score.precision, score.recall)
    };
    // Two pairs belong together; everything in one profile joins six.
    assert_eq!(
        scored(&[
            (one, Some("a")),
            (one, Some("a")),
            (other, Some("a")),
            (other, Some("a"))
        ]),
        (2.0 / 6.0, 1.0)
    );
    assert_eq!(
        scored(&[
            (one, Some("a")),
            (one, Some("b")),
            (other, Some("c")),
            (other, Some("c"))
        ]),
        (1.0, 0.5)
    );
    assert_eq!(
        scored(&[(one, None), (one, None), (other, Some("c")), (other, Some("c"))]),
        (1.0, 0.5)
    );
}

#[test]
fn evidence_connects_in_steps_and_whatever_the_order() {
    let event = |slots| Truth {
        person: 1,
        slots,
        ambiguous: false,
    };
    let mut steps = [
        slots::COOKIE | slots::EMAIL,
        slots::USER | slots::PHONE,
        slots::EMAIL | slots::USER,
        slots::SECOND_COOKIE,
    ];
    for _ in 0..steps.len() {
        steps.rotate_left(1);
        let mut evidence = Evidence::default();
        steps.iter().for_each(|slots| evidence.observe(&event(*slots)));
        assert_eq!(
            evidence.group_of(&event(slots::COOKIE)),
            evidence.group_of(&event(slots::PHONE))
        );
        assert_ne!(
            evidence.group_of(&event(slots::COOKIE)),
            evidence.group_of(&event(slots::SECOND_COOKIE))
        );
        assert_eq!(
            evidence.group_of(&Truth {
                ambiguous: true,
                ..event(slots::COOKIE)
            }),
            None
        );
    }
}

#[test]
fn lines_of_the_truth_file_are_read_back() {
    for event in world(500) {
        let line = event.truth.to_line(event.message_id());
        assert_eq!(
            Truth::from_line(&line),
            Some((event.message_id().to_owned(), event.truth))
        );
    }
    assert_eq!(Truth::from_line("{}"), None);
}

#[test]
fn times_are_written_as_the_types_write_them() {
    for millis in [
        0,
        951_782_400_000,
        951_868_799_999,
        1_795_400_000_123,
        4_107_542_399_999,
    ] {
        let mut text = String::new();
        outbox::write_time(Timestamp::from_millis(millis), &mut text);
        assert_eq!(text, Timestamp::from_millis(millis).to_string());
    }
}

#[test]
fn the_definitions_name_every_source() {
    for source in SOURCES {
        assert!(
            default_definitions().contains(&format!("kind: source\nname: {source}\n")),
            "{source}"
        );
    }
}

#[test]
fn the_shop_page_sells_the_goods_of_the_world() {
    let page = include_str!("../../../../web/shop/src/catalogue.ts");
    for (at, product) in tables::PRODUCTS.iter().take(6).enumerate() {
        let price = format!("{}.{:02}", product.cents / 100, product.cents % 100);
        let price = price.trim_end_matches('0').trim_end_matches('.');
        let entry = page
            .split("id: '")
            .find(|entry| entry.starts_with(&format!("p-{at:02}'")))
            .unwrap();
        for part in [
            format!("name: '{}'", product.name),
            format!("category: '{}'", product.category),
            format!("price: {price},"),
        ] {
            assert!(entry.contains(&part), "{part} is not in {entry}");
        }
    }
}
