//! The tables of accounts and of who belongs to them.

use super::{Run, World, space};
use std::collections::BTreeSet;
use std::time::Duration;

/// The rows of a table: of these columns, as they are shown.
fn rows(world: &World, run: &Run, table: &str, columns: &[&str]) -> BTreeSet<Vec<String>> {
    let batches = world.runtime.block_on(run.lake.read_all(&space(), "curated", table));
    let batches = batches.unwrap();
    let rows = batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |row| batch.slice(row, 1)));
    let shown = |column: String| {
        let value = column
            .lines()
            .find_map(|line| line.strip_prefix("  "))
            .unwrap()
            .to_owned();
        value.trim_end_matches(',').trim_matches('"').replace('\\', "")
    };
    rows.map(|row| {
        let of = |name: &&str| shown(format!("{:?}", row.column_by_name(name).unwrap()));
        columns.iter().map(of).collect()
    })
    .collect()
}

#[test]
fn cur_1_accounts_and_who_belongs_to_them_are_tables() {
    let world = World::new();
    let run = world.start();
    let group = |user: &str, account: &str, plan: &str, n: usize| {
        let call = format!(
            r#"{{"type":"group","userId":"{user}","groupId":"{account}","messageId":"g{n}","traits":{{"plan":"{plan}"}}}}"#
        );
        run.append(&format!(r#"{{"batch":[{call}]}}"#));
    };
    let flush = || {
        assert!(
            run.pipeline
                .wait_committed(run.log.durable_end(), Duration::from_secs(60))
        );
        world.flush(&run).unwrap();
    };
    run.send(0, 10);
    flush();
    assert_eq!(world.rows(&run, "curated", "accounts"), 0);
    for n in 0..30 {
        group(&format!("u{n}"), ["acme", "globex", "initech"][n % 3], "free", n);
    }
    group("u0", "globex", "pro", 30);
    flush();
    let accounts = rows(
        &world,
        &run,
        "accounts",
        &["group_id", "traits", "event_count", "members"],
    );
    let expected = [
        ["acme", "free", "10", "10"],
        ["globex", "pro", "11", "11"],
        ["initech", "free", "10", "10"],
    ];
    let expected = expected.map(|[id, plan, events, members]| {
        vec![
            id.to_owned(),
            format!(r#"{{"plan":"{plan}"}}"#),
            events.to_owned(),
            members.to_owned(),
        ]
    });
    assert_eq!(accounts, BTreeSet::from(expected));
    let members = rows(&world, &run, "account_members", &["group_id", "profile_id"]);
    assert_eq!(members.len(), 31);
    let people = rows(&world, &run, "profiles", &["profile_id"]);
    assert!(members.iter().all(|row| people.contains(&row[1..])), "they join");
    // Somebody of both is one of each.
    let of = |account: &str| -> BTreeSet<&String> {
        members
            .iter()
            .filter(|row| row[0] == account)
            .map(|row| &row[1])
            .collect()
    };
    assert_eq!(of("acme").intersection(&of("globex")).count(), 1);
    // Rewritten, not appended to.
    flush();
    assert_eq!(
        rows(&world, &run, "account_members", &["group_id", "profile_id"]),
        members
    );
    assert_eq!(world.rows(&run, "curated", "accounts"), 3);
    run.stop();
}
