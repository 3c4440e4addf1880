//! Changed rules of identity over the world's events: how long they take, and what that holds up.
//!
//! The change is the dearest there is: every identifier of three types is spelt otherwise, so that every event is placed
//! again and nobody keeps their id. Meanwhile people of their own place an order each, and are read until they are in the segment.

use super::drafts::until_taken;
use super::membership::probe;
use super::report::Figures;
use super::whole_path::load_world;
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Everybody under another id.
///
/// # Errors
/// A server that does not start or refuses what it is sent, or rules that are not taken within an hour.
pub(super) async fn seg_2_new_rules(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("new-rules", None).await?;
    server.open_world().await?;
    load_world(&server, bench.world(bench.events)).await?;
    server.flush().await?;
    let people: Vec<Value> = server.sql("SELECT count(*) AS people FROM curated.profiles").await?;
    let people = people.first().and_then(|row| row["people"].as_u64()).unwrap_or(0);
    let otherwise = json!({ "replace": [{ "pattern": "^", "with": "shop " }] });
    let types = json!({ "user_id": otherwise, "email": otherwise, "anonymous_id": otherwise });
    let documents = json!([{ "kind": "identity_rules", "name": "default", "spec": { "types": types } }]);
    output::note("new-rules: spelling every identifier otherwise");
    let taken = AtomicBool::new(false);
    let (cpu, began) = (server.cpu()?, Instant::now());
    let changing = async {
        let body = json!({ "documents": documents, "reason": "a benchmark" });
        let changed = server.ask("spaces/main/definitions/apply", &body).await.map(drop);
        let changed = match changed {
            Ok(()) => until_taken(&server, began).await,
            refused => refused,
        };
        taken.store(true, Ordering::Release);
        changed.map(|()| began.elapsed())
    };
    let goes_on = || !taken.load(Ordering::Acquire);
    let (took, seen) = tokio::join!(changing, probe(&server, &goes_on));
    let (took, seen, cpu) = (took?, seen?, server.cpu()?.saturating_sub(cpu));
    let mut figures = Figures::of("new-rules");
    figures.add("events", figure(bench.events), "");
    figures.add("people", figure(people), "");
    figures.add("everybody has taken them after", took.as_secs_f64(), "s");
    figures.add("server CPU", cpu.as_secs_f64(), "s");
    figures.add("probes", figure(seen.taken()), "");
    figures.add("acknowledged to membership p50", seen.per_mille(500), "ms");
    figures.add("acknowledged to membership p99", seen.per_mille(990), "ms");
    figures.add("acknowledged to membership at most", seen.per_mille(1_000), "ms");
    let (_, highest) = server.resident()?;
    figures.add("memory at its highest", highest, "MiB");
    Ok(figures)
}
