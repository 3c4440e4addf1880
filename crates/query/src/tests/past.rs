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
    let call = "identifiers_as_of takes a moment";
    for (args, why) in [
        (
            "",
            "identifiers_as_of takes one moment, such as identifiers_as_of('2026-03-01T12:00:00Z') or",
        ),
        ("'2026-01-01', '2026-02-01'", "identifiers_as_of takes one moment"),
        ("'soon'", &format!("{call}, and this is a text that is none (")),
        (
            "concat('so', 'on')",
            &format!("{call}, and this is a text that is none ("),
        ),
        (
            "5",
            &format!("{call}, and this is a value of the type Int64: write one such as"),
        ),
        ("NULL", &format!("{call}, and this is null")),
        (
            "INTERVAL '1 day'",
            &format!("{call}, and this is a value of the type Interval"),
        ),
        (
            "random()",
            &format!("{call} that can be worked out before any row is read"),
        ),
        (
            "event_time",
            &format!("{call} that can be worked out before any row is read"),
        ),
        (
            "(SELECT max(event_time) FROM clean.events)",
            &format!("{call} that can be worked out"),
        ),
    ] {
        let told = refused(&format!("SELECT * FROM identifiers_as_of({args})")).await;
        assert!(told.starts_with(why), "{args}: {told}");
    }
    for (sql, why) in [
        ("SELECT * FROM identifiers_as_of('2001-01-01')", "that is forgotten"),
        (
            "SELECT identifiers_as_of('2026-01-01')",
            "identifiers_as_of gives a table: call it in FROM, as SELECT * FROM curated.identifiers_as_of(…)",
        ),
        (
            "SELECT * FROM event_as_of('2026-01-01')",
            "there is no function event_as_of that gives a table: did you mean curated.events_as_of? \
             SHOW FUNCTIONS lists what there is",
        ),
        (
            "SELECT * FROM nothing_like_it('2026-01-01')",
            "there is no function nothing_like_it that gives a table: SHOW FUNCTIONS lists what there is",
        ),
        (
            "SELECT * FROM mian.curated.events_as_of('2026-01-01')",
            "there is no space mian: did you mean main? `kith space list` lists them",
        ),
        (
            "SELECT * FROM mian.clean.events",
            "there is no space mian: did you mean main? `kith space list` lists them",
        ),
        (
            "SELECT * FROM main.events_as_of('2026-01-01')",
            "there is no table main.main.events_as_of('2026-01-01T00:00:00.000Z'): \
             did you mean main.curated.events_as_of('2026-01-01T00:00:00.000Z')? SHOW TABLES lists what there is",
        ),
        (
            "SELECT * FROM clean.events_as_of('2026-01-01')",
            "there is no table main.clean.events_as_of('2026-01-01T00:00:00.000Z'): \
             did you mean curated.events_as_of('2026-01-01T00:00:00.000Z')? SHOW TABLES lists what there is",
        ),
    ] {
        assert_eq!(refused(sql).await, why, "{sql}");
    }
    let other = SpaceAccess::only(space("other"));
    let sql = "SELECT * FROM main.curated.identifiers_as_of('2026-01-01')";
    let closed = world.run_in(&other, sql).await.unwrap_err().to_string();
    assert_eq!(closed, "there is no space main: `kith space list` lists them");
    let plain = World::new().await;
    let error = plain
        .run("SELECT * FROM identifiers_as_of('2026-01-01')")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("role pipeline"), "{error}");
}

#[tokio::test]
async fn idn_8_a_moment_is_whatever_is_known_before_a_row_is_read() {
    let world = known().await;
    let owner_at = async |moment: &str| {
        let sql = format!("SELECT profile_id FROM identifiers_as_of({moment}) i WHERE i.value = 'tablet'");
        let rows = world.run(&sql).await.unwrap();
        rows[0]["profile_id"].as_str().unwrap().chars().last().unwrap()
    };
    // The tablet moved at 2023-11-15T08:13:20Z.
    for (moment, owner) in [
        ("'2023-11-15 08:13:19'", '1'),
        ("concat('2023-11-15T08', ':13:19.999999Z')", '1'),
        ("TIMESTAMP '2023-11-15 08:13:20'", '2'),
        ("CAST('2023-11-15T09:13:19+01:00' AS TIMESTAMP)", '1'),
        ("DATE '2023-11-15'", '1'),
        ("DATE '2023-11-15' + INTERVAL '1 day'", '2'),
        ("to_timestamp_seconds(1700035999)", '1'),
        ("to_timestamp_nanos(1700036000000000001)", '2'),
        ("now()", '2'),
        ("now() - INTERVAL '1 day'", '2'),
        ("date_trunc('month', TIMESTAMP '2023-12-24 18:00:00')", '2'),
    ] {
        assert_eq!(owner_at(moment).await, owner, "{moment}");
    }
    // One instant for all of a statement.
    let sql = "SELECT 1 AS x FROM identifiers_as_of(now()) a JOIN identifiers_as_of(now()) b USING (value) LIMIT 1";
    let plan = world.text(&format!("EXPLAIN {sql}")).await;
    let instants: std::collections::BTreeSet<&str> = plan.split("as of ").skip(1).map(|rest| &rest[..20]).collect();
    assert!(instants.len() < 2, "{plan}");
    world.run(sql).await.unwrap();
}

#[tokio::test]
async fn idn_8_functions_that_give_tables_are_listed() {
    let world = known().await;
    let rows = world.run("SHOW FUNCTIONS LIKE '%as_of'").await.unwrap();
    let named: Vec<&str> = rows.iter().map(|row| row["function_name"].as_str().unwrap()).collect();
    assert_eq!(named, ["identifiers_as_of", "events_as_of", "orders_as_of"]);
    for row in &rows {
        assert_eq!(
            (&row["function_type"], &row["return_type"]),
            (&json!("TABLE"), &json!("table"))
        );
        assert_eq!(row["parameters"], json!(["moment"]));
        // What is shown as an example can be run.
        world
            .run(row["syntax_example"].as_str().unwrap())
            .await
            .unwrap_or_else(|error| panic!("{row}: {error}"));
    }
    let all = world.run("SHOW FUNCTIONS").await.unwrap();
    let has = |name: &str| all.iter().any(|row| row["function_name"] == name);
    let missing: Vec<&str> = ["orders_as_of", "json_get_text", "upper"]
        .into_iter()
        .filter(|name| !has(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(
        world
            .run("SHOW FUNCTIONS LIKE 'json_get%'")
            .await
            .unwrap()
            .iter()
            .all(|row| row["function_type"] == "SCALAR")
    );
}

/// Where there are many events, the identifiers are what is held in memory, though nothing says how many they are, and events go by.
#[tokio::test]
async fn idn_8_events_of_then_go_by_who_held_what() {
    let world = known().await;
    // More than the engine holds without a second thought, as it is set.
    let many: Vec<_> = (0..10_000)
        .map(|number| order(number % 4, &[("anonymous_id", "tablet")]))
        .collect();
    for _ in 0..14 {
        world.append(&SpaceId::main(), &many).await;
    }
    let sql = format!("EXPLAIN SELECT * FROM curated.events_as_of('{}')", hour(5));
    let plan = world.run(&sql).await.unwrap();
    let physical = plan.iter().find(|row| row["plan_type"] == "physical_plan").unwrap();
    let physical = physical["plan"].as_str().unwrap();
    let place = |of: &str| physical.find(of).unwrap_or_else(|| panic!("no {of} in {physical}"));
    // A hash join holds its first input.
    assert!(place("HashJoinExec") < place("StreamingTableExec"), "{physical}");
    assert!(place("StreamingTableExec") < place(".parquet"), "{physical}");
    assert!(physical.contains("join_type=Right"), "{physical}");
}
