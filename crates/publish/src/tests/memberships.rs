//! The table of memberships says why each person entered.

use super::{World, space};
use kith_types::{Decision, RecordBody};

#[test]
fn seg_5_the_table_of_memberships_says_why_each_person_entered() {
    let world = World::new();
    let run = world.start();
    let decide = |name: &str| {
        let document = format!(
            r#"{{"format":1,"author":"jo","reason":"","removed":[],"applied":[{{"kind":"segment","name":"{name}","spec":{{"where":{{"performed":{{"event":"Seen","at_least":1,"within":{{"last":"36500d"}}}}}}}}}}]}}"#
        );
        let body = RecordBody::Decision(Decision {
            kind: kith_pipeline::DEFINITIONS_APPLIED.into(),
            document: document.into(),
        });
        run.log.append_blocking(&space(), &body).unwrap();
    };
    decide("before");
    run.send(0, 70);
    decide("after");
    run.send(70, 140);
    let committed = run.log.durable_end();
    assert!(
        run.pipeline
            .wait_committed(committed, std::time::Duration::from_secs(60))
    );
    assert!(run.pipeline.wait_swept(std::time::Duration::from_secs(60)));
    world.flush(&run).unwrap();
    let batches = world
        .runtime
        .block_on(run.lake.read_all(&space(), "curated", "memberships"))
        .unwrap();
    let mut told = Vec::new();
    for row in batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |row| batch.slice(row, 1)))
    {
        let shown = |name: &str| format!("{:?}", row.column_by_name(name).unwrap());
        let of = |column: &str, words: [&'static str; 2]| {
            let found = words
                .into_iter()
                .find(|word| shown(column).contains(&format!("\"{word}\"")));
            found.unwrap_or_else(|| panic!("{}", shown(column)))
        };
        told.push((of("segment", ["before", "after"]), of("cause", ["event", "definition"])));
    }
    told.sort_unstable();
    assert_eq!(told[..7], [("after", "definition"); 7]);
    assert_eq!(told[7..], [("before", "event"); 7]);
    run.stop();
}
