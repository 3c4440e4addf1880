//! Who sees what, and that nobody changes anything.

use super::{World, event, events, space};
use crate::{SpaceAccess, SqlErrorKind};
use kith_types::SpaceId;

#[tokio::test]
async fn spc_1_other_spaces_do_not_exist() {
    let world = World::new().await;
    let other = space("other");
    world.lake.ensure_space(&other).await.unwrap();
    world.append(&SpaceId::main(), &events(0..3)).await;
    world.append(&other, &[event(7)]).await;

    let hidden = world.run("SELECT * FROM other.clean.events").await.unwrap_err();
    let never = world.run("SELECT * FROM never.clean.events").await.unwrap_err();
    assert_eq!(hidden.kind(), SqlErrorKind::Invalid);
    assert_eq!(hidden.to_string().replace("other", "never"), never.to_string());

    for sql in [
        "SELECT DISTINCT table_catalog AS c FROM information_schema.tables",
        "SELECT DISTINCT table_catalog AS c FROM information_schema.columns",
        "SELECT DISTINCT catalog_name AS c FROM information_schema.schemata",
    ] {
        assert_eq!(
            world.run(sql).await.unwrap(),
            [serde_json::json!({"c": "main"})],
            "{sql}"
        );
    }

    let both = SpaceAccess {
        spaces: vec![SpaceId::main(), other.clone()],
        default: other.clone(),
    };
    let sql = "SELECT (SELECT count(*) FROM main.clean.events) AS ours, (SELECT count(*) FROM other.clean.events) AS theirs, \
               (SELECT count(*) FROM clean.events) AS default_space, (SELECT count(*) FROM events) AS default_zone";
    let counts = world.run_in(&both, sql).await.unwrap();
    assert_eq!(
        counts,
        [serde_json::json!({"ours": 3, "theirs": 1, "default_space": 1, "default_zone": 1})]
    );

    // A default that is not among the spaces opens nothing.
    let none = SpaceAccess {
        spaces: vec![],
        default: SpaceId::main(),
    };
    assert_eq!(
        world
            .run_in(&none, "SELECT * FROM clean.events")
            .await
            .unwrap_err()
            .kind(),
        SqlErrorKind::Invalid
    );

    let listed = world
        .engine
        .list_tables(&SpaceAccess::only(other.clone()))
        .await
        .unwrap();
    assert!(listed.iter().all(|table| table.space == other));
    let events = listed
        .iter()
        .find(|table| (&*table.schema, &*table.name) == ("clean", "events"))
        .unwrap();
    assert_eq!(
        (events.rows, events.view, events.committed_at.is_some()),
        (Some(1), false, true)
    );
    assert!(
        events
            .columns
            .iter()
            .any(|column| column.name == "event_time" && column.sql_type == "timestamp")
    );
    assert!(listed.iter().any(|table| table.view && table.name == "orders"));
}

#[tokio::test]
async fn spc_1_several_spaces_are_joined_and_a_short_name_is_of_the_own_one() {
    let world = World::new().await;
    let other = space("other");
    world.lake.ensure_space(&other).await.unwrap();
    world.append(&SpaceId::main(), &events(0..3)).await;
    world.append(&other, &events(1..5)).await;
    let both = SpaceAccess {
        spaces: vec![SpaceId::main(), other],
        default: SpaceId::main(),
    };
    let joined = "SELECT count(*) AS n FROM clean.events ours JOIN other.clean.events theirs ON ours.event_time = theirs.event_time";
    let shared = world.run_in(&both, joined).await.unwrap();
    assert_eq!(shared, [serde_json::json!({"n": 2})]);

    // A table is shown once, although each space has one of that name.
    for sql in [
        "SHOW COLUMNS FROM events",
        "SHOW COLUMNS FROM clean.events",
        "SHOW COLUMNS FROM other.clean.events",
    ] {
        let columns = world.run_in(&both, sql).await.unwrap();
        let shown = if sql.contains("other") { "other" } else { "main" };
        assert_eq!(columns.len(), kith_lake::tables::clean_events().columns.len(), "{sql}");
        for column in columns {
            assert_eq!(
                (&column["table_catalog"], &column["table_schema"]),
                (&serde_json::json!(shown), &serde_json::json!("clean")),
                "{sql}"
            );
        }
    }
    for (sql, meant) in [
        ("SELECT * FROM other.clean.evnts", "did you mean other.clean.events?"),
        ("SELECT * FROM clean.evnts", "did you mean clean.events?"),
    ] {
        let error = world.run_in(&both, sql).await.unwrap_err().to_string();
        assert!(error.contains(meant), "{error}");
    }
}

#[tokio::test]
async fn statements_that_change_anything_are_refused() {
    let world = World::new().await;
    world.append(&SpaceId::main(), &events(0..2)).await;
    let target = world.folder.path().join("out.parquet");
    let copy = format!("COPY clean.events TO '{}'", target.display());
    for sql in [
        "DROP TABLE clean.events",
        "DELETE FROM clean.events",
        "UPDATE clean.events SET event = 'x'",
        "TRUNCATE TABLE clean.events",
        "INSERT INTO clean.events SELECT * FROM clean.events",
        "EXPLAIN INSERT INTO clean.events SELECT * FROM clean.events",
        "EXPLAIN ANALYZE SELECT * FROM clean.events",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE SCHEMA s",
        "CREATE DATABASE d",
        "SELECT * INTO t FROM clean.events",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/tmp/'",
        &copy,
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "BEGIN",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
    ] {
        let error = world.run(sql).await.expect_err(sql);
        assert_eq!(error.kind(), SqlErrorKind::ReadOnly, "{sql}: {error}");
    }
    assert!(!target.exists());
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'file.csv'",
        "SELECT 1; DROP TABLE clean.events",
        "SELEC 1",
    ] {
        let error = world.run(sql).await.expect_err(sql);
        assert_eq!(error.kind(), SqlErrorKind::Invalid, "{sql}: {error}");
    }
    assert_eq!(
        world.text("SELECT count(*) AS n FROM clean.events").await,
        "{\"n\":2}\n"
    );
}

#[tokio::test]
async fn statements_that_show_are_run() {
    let world = World::new().await;
    for sql in [
        "SHOW TABLES",
        "DESCRIBE clean.events",
        "SHOW COLUMNS FROM clean.events",
        "EXPLAIN SELECT * FROM clean.events",
    ] {
        assert!(!world.run(sql).await.unwrap().is_empty(), "{sql}");
    }
}
