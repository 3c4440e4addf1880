//! Who was who as of a past instant.

use super::views::{held, order};
use super::{HOUR, START, World, space};
use crate::{PastIdentity, SpaceAccess, SqlConfig, SqlError, SqlErrorKind};
use kith_identity::Rules;
use kith_lake::rows::IdentifierRow;
use kith_types::{SpaceId, Timestamp};
use serde_json::json;
use std::sync::Arc;

/// The tablet was Jo's until hour 10, and addresses were spelt as they were sent.
struct Known;

impl PastIdentity for Known {
    fn rules(&self, _: &SpaceId, at: Timestamp) -> Result<Arc<Rules>, SqlError> {
        let spec = json!({"types": {"email": {"normalise": "none"}}});
        match at < hour(10) {
            true => Ok(Arc::new(Rules::from_json(&spec).unwrap())),
            false => Ok(Arc::default()),
        }
    }

    fn identifiers(
        &self,
        of: &SpaceId,
        at: Timestamp,
        _: &dyn Fn() -> bool,
        take: &mut dyn FnMut(IdentifierRow) -> bool,
    ) -> Result<(), SqlError> {
        if at < hour(0) {
            return Err(SqlError::new(SqlErrorKind::Invalid, "that is forgotten"));
        }
        let owner = if at < hour(10) { 1 } else { 2 };
        let of_space = if *of == SpaceId::main() { "tablet" } else { "theirs" };
        take(held("anonymous_id", of_space, owner, (None, Some(20))));
        take(held("email", "Jo@example.com", owner, (None, None)));
        // More than one batch.
        let _ = (0..10_000).all(|number| take(held("user_id", &number.to_string(), 9, (None, None))));
        Ok(())
    }
}

fn hour(hour: i64) -> Timestamp {
    Timestamp::from_micros(START + hour * HOUR)
}

pub(super) async fn known() -> World {
    World::with(SqlConfig {
        target_partitions: 2,
        past: Arc::new(Known),
        ..SqlConfig::default()
    })
    .await
}

#[tokio::test]
async fn idn_8_identifiers_as_of_an_instant_are_a_table() {
    let world = known().await;
    let sql = format!(
        "SELECT count(*) AS n, count(DISTINCT value) AS values, min(valid_to) AS until FROM curated.identifiers_as_of('{}')",
        hour(5)
    );
    let rows = world.run(&sql).await.unwrap();
    assert_eq!((&rows[0]["n"], &rows[0]["values"]), (&json!(10_002), &json!(10_002)));
    let sql = format!(
        "SELECT type, value, profile_id, first_seen, valid_from FROM IDENTIFIERS_AS_OF('{}') i WHERE i.type = 'email'",
        hour(5)
    );
    let rows = world.run(&sql).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["value"], "Jo@example.com");
    let limited = format!("SELECT value FROM identifiers_as_of('{}') LIMIT 3", hour(5));
    assert_eq!(world.run(&limited).await.unwrap().len(), 3);
    let twice = format!(
        "SELECT a.value FROM identifiers_as_of('{}') a JOIN identifiers_as_of('{}') b USING (type, value) \
         WHERE a.profile_id <> b.profile_id ORDER BY 1",
        hour(5),
        hour(15)
    );
    let moved: Vec<_> = world.run(&twice).await.unwrap();
    assert_eq!(moved, [json!({"value": "Jo@example.com"}), json!({"value": "tablet"})]);
}

#[tokio::test]
async fn idn_8_events_and_orders_have_the_people_of_then() {
    let world = known().await;
    let orders = [
        order(1, &[("anonymous_id", "tablet")]),
        order(2, &[("email", "Jo@example.com")]),
        order(8, &[("anonymous_id", "tablet")]),
        order(15, &[("anonymous_id", "tablet")]),
    ];
    world.append(&SpaceId::main(), &orders).await;
    let people = async |view: &str, at: i64| {
        let sql = format!(
            "SELECT profile_id FROM curated.{view}_as_of('{}') ORDER BY event_time",
            hour(at)
        );
        let rows = world.run(&sql).await.unwrap();
        let of = |row: &serde_json::Value| {
            Some(if row["profile_id"].as_str()?.ends_with('1') {
                1
            } else {
                2
            })
        };
        rows.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(people("events", 5).await, [Some(1), Some(1)], "by the rules of then");
    assert_eq!(people("orders", 9).await, [Some(1), Some(1), Some(1)]);
    // Addresses are spelt otherwise since, and the one that is held is not.
    assert_eq!(people("events", 15).await, [Some(2), None, Some(2), Some(2)]);
    let sql = format!(
        "SELECT e.order_id FROM curated.orders_as_of('{}') AS e WHERE e.total > 50 AND e.order_id = 'o-2'",
        hour(9)
    );
    assert_eq!(world.run(&sql).await.unwrap(), [json!({"order_id": "o-2"})]);
}

#[tokio::test]
async fn idn_8_calls_that_cannot_be_answered_say_why() {
    let world = known().await;
    let refused = async |sql: &str| {
        let error = world.run(sql).await.unwrap_err();
        assert_eq!(error.kind(), SqlErrorKind::Invalid, "{error}");
        error.to_string()
    };
    for args in ["", "'soon'", "now()", "'2026-01-01', '2026-02-01'", "5"] {
        let told = refused(&format!("SELECT * FROM identifiers_as_of({args})")).await;
        assert!(told.contains("takes one moment, such as identifiers_as_of('"), "{told}");
    }
    assert_eq!(
        refused("SELECT * FROM identifiers_as_of('2001-01-01')").await,
        "that is forgotten"
    );
    refused("SELECT * FROM nothing_as_of('2026-01-01')").await;
    let other = SpaceAccess::only(space("other"));
    let sql = "SELECT * FROM main.curated.identifiers_as_of('2026-01-01')";
    let closed = world.run_in(&other, sql).await.unwrap_err().to_string();
    assert_eq!(
        closed,
        "there is no table main.curated.identifiers_as_of('2026-01-01T00:00:00.000Z'): SHOW TABLES lists what there is"
    );
    let plain = World::new().await;
    let error = plain
        .run("SELECT * FROM identifiers_as_of('2026-01-01')")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("role pipeline"), "{error}");
}
