//! The table of changes of membership, lost after the outbox has forgotten: the records give it again, and send nothing.

use super::{Run, World, obstruct, space};
use kith_pipeline::{DEFINITIONS_APPLIED, OutboxReader};
use kith_state::MemoryStore;
use kith_types::{Decision, RecordBody};
use std::sync::Arc;
use std::time::Duration;

/// More than so many changes must have been passed before the outbox forgets.
const PEOPLE: usize = 2_100;

fn define(run: &Run) {
    let segments = ["seen", "known"].map(|name| {
        let spec = r#"{"where":{"performed":{"event":"Seen","at_least":1,"within":{"last":"30d"}}}}"#;
        format!(r#"{{"kind":"segment","name":"{name}","spec":{spec}}}"#)
    });
    let document = format!(
        r#"{{"format":1,"author":"jo","reason":"","applied":[{}],"removed":[]}}"#,
        segments.join(",")
    );
    let body = RecordBody::Decision(Decision {
        kind: DEFINITIONS_APPLIED.into(),
        document: document.into(),
    });
    run.log.append_blocking(&space(), &body).unwrap();
}

/// Events of people of their own, many a record.
fn people(run: &Run, from: usize, to: usize) {
    for first in (from..to).step_by(60) {
        let events = (first..to.min(first + 60))
            .map(|number| format!(r#"{{"type":"track","event":"Seen","userId":"p{number}","messageId":"p{number}"}}"#));
        run.append(&format!(r#"{{"batch":[{}]}}"#, events.collect::<Vec<_>>().join(",")));
    }
}

/// The rows, sorted; with their numbers or without.
fn changes(world: &World, run: &Run, numbered: bool) -> Vec<String> {
    let space = space();
    let read = run.lake.read_all(&space, "curated", "membership_changes");
    let mut rows = Vec::new();
    for batch in world.runtime.block_on(read).unwrap() {
        let number = batch.schema().index_of("sequence").unwrap();
        for row in 0..batch.num_rows() {
            let row = batch.slice(row, 1);
            let columns = row.columns().iter().enumerate();
            let shown = columns.filter(|(at, _)| numbered || *at != number);
            rows.push(shown.map(|(_, column)| format!("{column:?}")).collect());
        }
    }
    rows.sort();
    rows
}

fn caught_up(run: &Run) {
    assert!(
        run.pipeline
            .wait_committed(run.log.durable_end(), Duration::from_secs(120))
    );
    assert!(run.pipeline.wait_swept(Duration::from_secs(120)));
}

fn flushed(world: &World) -> Run {
    let run = world.start();
    caught_up(&run);
    world.flush(&run).unwrap();
    run
}

/// Loses one table among others: its pointer, as a database restored from an older copy lacks it.
fn lose_the_table(world: &World) {
    let pointers = rusqlite::Connection::open(world.path("tables.db")).unwrap();
    let lost = pointers.execute("DELETE FROM iceberg_tables WHERE table_name = 'membership_changes'", []);
    assert_eq!(lost.unwrap(), 1);
}

#[test]
fn raw_2_lost_changes_of_membership_are_built_again_once() {
    let mut world = World::new();
    let run = world.start();
    define(&run);
    people(&run, 0, PEOPLE);
    caught_up(&run);
    world.flush(&run).unwrap();
    assert_eq!(changes(&world, &run, true).len(), 2 * PEOPLE);
    // Everybody has passed them: the outbox forgets.
    run.handover
        .passed(OutboxReader::Activation, &space(), 2 * PEOPLE as u64)
        .unwrap();
    assert_eq!(run.handover.first_kept(&space(), 0).unwrap(), 2 * PEOPLE as u64);
    people(&run, PEOPLE, PEOPLE + 30);
    caught_up(&run);
    world.flush(&run).unwrap();
    let (before, events) = (changes(&world, &run, true), world.rows(&run, "clean", "events"));
    assert!(run.log.start() > 0, "segments have left the log");
    run.stop();

    lose_the_table(&world);
    // A server that ends while it builds leaves no half of a table.
    let run = world.start();
    run.stop();
    let run = flushed(&world);
    assert_eq!(changes(&world, &run, true), before, "one table was lost");
    assert_eq!(world.rows(&run, "clean", "events"), events, "the others were not");
    let outbox = run.handover.changes_from(&space(), 0, 1_000).unwrap();
    assert_eq!(outbox.len(), 60, "nothing was told again");
    run.stop();

    std::fs::remove_dir_all(world.path("lake")).unwrap();
    std::fs::remove_file(world.path("tables.db")).unwrap();
    let run = world.start();
    people(&run, PEOPLE + 30, PEOPLE + 40);
    caught_up(&run);
    world.flush(&run).unwrap();
    let all = changes(&world, &run, true);
    assert_eq!(all.len(), before.len() + 20, "all tables were lost");
    assert!(before.iter().all(|row| all.binary_search(row).is_ok()));
    let all = changes(&world, &run, false);
    run.stop();

    // The state is lost, and the table with it: no change is missing, none is there twice.
    world.store = Arc::new(MemoryStore::default());
    lose_the_table(&world);
    let run = flushed(&world);
    assert_eq!(changes(&world, &run, false), all, "the state was lost");
    people(&run, PEOPLE + 40, PEOPLE + 41);
    caught_up(&run);
    world.flush(&run).unwrap();
    assert_eq!(changes(&world, &run, false).len(), all.len() + 2);
    run.stop();
    let run = flushed(&world);
    assert_eq!(
        changes(&world, &run, false).len(),
        all.len() + 2,
        "a restart adds nothing"
    );
    run.stop();
}

/// Changes that the outbox still had when the state was lost are in no table: the records give those too.
#[test]
fn raw_2_changes_that_waited_when_the_state_was_lost_reach_their_table() {
    let mut world = World::new();
    let run = world.start();
    define(&run);
    people(&run, 0, 20);
    caught_up(&run);
    world.flush(&run).unwrap();
    people(&run, 20, 50);
    caught_up(&run);
    // Its last rows reach no table.
    let mend = obstruct(&world.path("lake"));
    run.stop();
    mend();
    world.store = Arc::new(MemoryStore::default());
    let run = flushed(&world);
    assert_eq!(changes(&world, &run, true).len(), 100);
    assert!(
        run.handover.changes_from(&space(), 0, 10).unwrap().is_empty(),
        "nothing is told"
    );
    run.stop();
}
