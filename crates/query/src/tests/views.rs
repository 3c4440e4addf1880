//! Orders and events with their people.

use super::{HOUR, START, World, event, profile, space};
use crate::SpaceAccess;
use kith_lake::rows::IdentifierRow;
use kith_types::{Event, Identifier, IdentifierType, SpaceId, Timestamp, Value};
use serde_json::json;

pub(super) fn held(kind: &str, value: &str, owner: u128, hours: (Option<i64>, Option<i64>)) -> IdentifierRow {
    let at = |hour: i64| Timestamp::from_micros(START + hour * HOUR);
    IdentifierRow {
        identifier: Identifier::new(IdentifierType::from_name(kind), value),
        profile_id: profile(owner),
        first_seen: None,
        last_seen: None,
        valid_from: hours.0.map(at),
        valid_to: hours.1.map(at),
    }
}

pub(super) fn order(hour: u64, identifiers: &[(&str, &str)]) -> Event {
    let named = identifiers
        .iter()
        .map(|(kind, value)| Identifier::new(IdentifierType::from_name(kind), value));
    let product = || Value::Object(vec![("sku".into(), Value::from("a"))]);
    Event {
        name: "Order Completed".into(),
        identifiers: named.collect(),
        properties: vec![
            ("order_id".into(), Value::from(&*format!("o-{hour}"))),
            ("total".into(), Value::Number("59.90".parse().unwrap())),
            ("currency".into(), Value::from("EUR")),
            ("products".into(), Value::Array(vec![product(), product()])),
        ],
        ..event(hour)
    }
}

async fn people(world: &World, view: &str, key: &str) -> Vec<(String, Option<u128>)> {
    let sql = format!("SELECT {key} AS key, profile_id FROM {view} ORDER BY event_time");
    let rows = world.run(&sql).await.unwrap();
    let id = |row: &serde_json::Value| {
        row["profile_id"]
            .as_str()
            .map(|text| text.parse::<kith_types::ProfileId>().unwrap().0)
    };
    rows.iter()
        .map(|row| (row["key"].as_str().unwrap().to_owned(), id(row)))
        .collect()
}

#[tokio::test]
async fn cln_3_orders_name_the_person_at_the_time() {
    let world = World::new().await;
    world
        .hold(&[
            held("user_id", "jo", 1, (None, None)),
            held("email", "jo@example.com", 1, (None, None)),
            held("phone", "+4930123456", 2, (None, None)),
            held("card", "c-7", 3, (None, None)),
            // A shared tablet: the time before the first sign-in belongs to the first.
            held("anonymous_id", "tablet", 1, (None, Some(20))),
            held("anonymous_id", "tablet", 2, (Some(20), None)),
            held("device_id", "dev", 4, (None, None)),
        ])
        .await;
    let orders = [
        order(1, &[("anonymous_id", "tablet"), ("user_id", " jo ")]),
        order(2, &[("email", " Jo@Example.COM"), ("anonymous_id", "never seen")]),
        order(3, &[("phone", "0049 (0)30 123456")]),
        order(4, &[("card", "c-7"), ("anonymous_id", "tablet")]),
        order(5, &[("anonymous_id", "tablet")]),
        order(19, &[("anonymous_id", "tablet")]),
        order(20, &[("anonymous_id", "tablet")]),
        order(30, &[("anonymous_id", "tablet")]),
        // Blocked values are nobody; the next identifier counts.
        order(
            31,
            &[("user_id", "null"), ("device_id", "dev"), ("anonymous_id", "tablet")],
        ),
        order(32, &[("user_id", "not folded yet")]),
        order(33, &[]),
    ];
    world.append(&SpaceId::main(), &orders).await;
    world
        .append(
            &SpaceId::main(),
            &[
                event(6),
                Event {
                    identifiers: vec![Identifier::new(IdentifierType::UserId, "jo")],
                    ..event(7)
                },
            ],
        )
        .await;

    let expected = [
        ("o-1", Some(1)),
        ("o-2", Some(1)),
        ("o-3", Some(2)),
        ("o-4", Some(3)),
        ("o-5", Some(1)),
        ("o-19", Some(1)),
        ("o-20", Some(2)),
        ("o-30", Some(2)),
        ("o-31", Some(4)),
        ("o-32", None),
        ("o-33", None),
    ];
    let expected: Vec<_> = expected.map(|(order, owner)| (order.to_owned(), owner)).into();
    assert_eq!(people(&world, "curated.orders", "order_id").await, expected);

    let of_events = people(&world, "curated.events", "message_id").await;
    assert_eq!(of_events.len(), 13);
    assert!(of_events.contains(&("m-7".to_owned(), Some(1))));
    assert!(of_events.contains(&("m-6".to_owned(), None)));

    let sql = "SELECT order_id, total, currency, product_count, coupon, source, message_id FROM orders WHERE order_id = 'o-1'";
    let text = world.text(&sql.replace("orders", "curated.orders")).await;
    let row = "{\"order_id\":\"o-1\",\"total\":59.900000000,\"currency\":\"EUR\",\"product_count\":2,\"coupon\":null,\"source\":\"web-shop\",\"message_id\":\"m-1\"}\n";
    assert_eq!(text, row);
    let sql = "SELECT profile_id, sum(total) AS spent, count(*) AS n FROM curated.orders WHERE profile_id IS NOT NULL GROUP BY 1 ORDER BY spent DESC LIMIT 1";
    assert_eq!(world.run(sql).await.unwrap()[0]["n"], json!(4));
}

#[tokio::test]
async fn totals_that_are_no_numbers_are_null() {
    let world = World::new().await;
    let mut wrong = order(1, &[]);
    wrong.properties = vec![
        ("total".into(), Value::from("a lot")),
        ("products".into(), Value::from("none")),
    ];
    let mut text = order(2, &[]);
    text.properties = vec![("total".into(), Value::from("12.50"))];
    world.append(&SpaceId::main(), &[wrong, text]).await;
    let sql = "SELECT total, product_count FROM curated.orders ORDER BY event_time";
    assert_eq!(
        world.text(sql).await,
        "{\"total\":null,\"product_count\":null}\n{\"total\":12.500000000,\"product_count\":null}\n"
    );
}

#[tokio::test]
async fn json_functions_read_columns_and_literals() {
    let world = World::new().await;
    world.append(&SpaceId::main(), &[event(1)]).await;
    let sql = "SELECT json_get_number(properties, 'price') AS number, json_get_text(properties, 'price') AS text, \
               json_get_text('{\"a\":[1,{\"b\":\"x\"}]}', 'a.1.b') AS literal, json_array_length('[1,2]', '') AS length, \
               json_get_number('{\"a\":\"1\"}', 'a') AS no_number, \
               json_get_number('1e400', '') IS NULL AS too_large, json_get_text(NULL, 'a') AS nothing, \
               json_get_text(properties, concat('pri', substr(source, 0, 0), 'ce')) AS by_row FROM clean.events";
    let expected = json!({"number": 19.9, "text": "19.9", "literal": "x", "length": 2, "no_number": null, "too_large": true, "nothing": null, "by_row": "19.9"});
    assert_eq!(world.run(sql).await.unwrap(), [expected]);
}

#[tokio::test]
async fn the_examples_of_the_documentation_run() {
    let world = super::past::known().await;
    let jo = [("user_id", "jo")];
    world.append(&SpaceId::main(), &[order(1, &jo), order(2, &jo)]).await;
    world.hold(&[held("user_id", "jo", 1, (None, None))]).await;
    let brand_b = space("brand_b");
    world.lake.ensure_space(&brand_b).await.unwrap();
    world.append(&brand_b, &[order(3, &jo)]).await;
    let all = SpaceAccess {
        spaces: vec![SpaceId::main(), brand_b],
        default: SpaceId::main(),
    };
    let page = include_str!("../../../../docs/sql.md");
    let examples: Vec<&str> = page
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(sql, _)| sql)
        .collect();
    assert!(examples.len() >= 6);
    for sql in &examples {
        let rows = world.run_in(&all, sql).await;
        rows.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }
    let both = examples.iter().find(|sql| sql.contains("buyers_of_both")).unwrap();
    assert_eq!(world.run_in(&all, both).await.unwrap(), [json!({"buyers_of_both": 1})]);
    let sold = examples.iter().find(|sql| sql.contains("AS sku")).unwrap();
    assert_eq!(world.run(sold).await.unwrap(), [json!({"sku": "a", "sold": 4})]);
}
