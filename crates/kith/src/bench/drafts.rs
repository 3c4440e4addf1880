//! Drafts and new definitions: how long people wait for a size, for an estimate, and for a definition to cover history.

use super::latency::Latencies;
use super::load::{draw, send_all};
use super::reads::people;
use super::report::{Figures, Target};
use super::server::MeasuredServer;
use super::whole_path::load_world;
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

const SENDERS: usize = 16;
/// Exact sizes and estimates that are taken.
const EXACT: usize = 5;
const ESTIMATES: usize = 50;
/// How long a definition may take to cover history, and how often that is asked.
const COVERS_WITHIN: Duration = Duration::from_secs(3_600);
const ASKS_EVERY: Duration = Duration::from_millis(100);
/// Within this the status tells that history is being covered; a sweep that was never seen is over by then.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// Sizes of drafts over so many people: each draft is another, so that nothing of the one before helps.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn seg_7_draft_sizes(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("draft-size", None).await?;
    server.open_world().await?;
    let key = server.write_keys.get("web").cloned().unwrap_or_default();
    let progress = Arc::new(AtomicU64::new(0));
    let requests = people(bench.profiles, key);
    send_all(server.address, draw(requests, None, None), SENDERS, &progress).await?;
    server.pipeline_takes_all().await?;
    output::note("draft-size: people are there; counting drafts");

    let (mut exact, mut estimates) = (Latencies::default(), Latencies::default());
    let cpu = server.cpu()?;
    for number in 0..EXACT {
        exact.take(estimate(&server, number, false).await?);
    }
    let cpu = server.cpu()?.saturating_sub(cpu);
    for number in 0..ESTIMATES {
        estimates.take(estimate(&server, number, true).await?);
    }
    let mut figures = Figures::of("draft-size");
    figures.add("profiles", figure(bench.profiles), "");
    figures.against("exact size p50", exact.per_mille(500), "ms", Target::Below(1_000.0));
    figures.add(
        "server CPU of a person",
        cpu.as_secs_f64() * 1e6 / figure(bench.profiles) / figure(EXACT as u64),
        "µs",
    );
    figures.against("estimate p50", estimates.per_mille(500), "ms", Target::Below(50.0));
    figures.against("estimate p99", estimates.per_mille(990), "ms", Target::Below(50.0));
    Ok(figures)
}

async fn estimate(server: &MeasuredServer, number: usize, quick: bool) -> Result<Duration, CommandError> {
    let draft = json!({
        "spec": {"where": {"all": [
            {"trait": "country", "equals": "DE"},
            {"trait": "visits", "greater_than": number},
        ]}},
        "quick": quick,
        "samples": 0,
    });
    let began = Instant::now();
    server.ask("spaces/main/segments/estimate", &draft).await?;
    Ok(began.elapsed())
}

/// A segment of a count and a sequence over 30 days, applied after the world's events.
///
/// # Errors
/// A server that does not start or refuses what it is sent, or a definition that does not cover history within an hour.
pub(super) async fn seg_4_backfill(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("backfill", None).await?;
    server.open_world().await?;
    load_world(&server, bench.world(bench.events)).await?;
    server.flush().await?;
    let documents = json!([{"kind": "segment", "name": "backfilled", "spec": {"where": {"all": [
        {"performed": {"event": "Product Viewed", "at_least": 4, "within": {"last": "30d"}}},
        {"sequence": {
            "first": "Product Viewed", "then": "Order Completed", "gap_less_than": "2d", "within": {"last": "30d"},
        }},
    ]}}}]);
    output::note("backfill: applying a segment of a count and a sequence");
    let (cpu, began) = (server.cpu()?, Instant::now());
    let body = json!({ "documents": documents, "reason": "a benchmark" });
    server.ask("spaces/main/definitions/apply", &body).await?;
    let size = covered(&server, began).await?;
    let (took, cpu_live) = (began.elapsed(), server.cpu()?.saturating_sub(cpu));
    output::note("backfill: the segment has its members; waiting until all is written");
    until_taken(&server, began).await?;
    let (all_took, cpu) = (began.elapsed(), server.cpu()?.saturating_sub(cpu));
    let mut figures = Figures::of("backfill");
    figures.add("events", figure(bench.events), "");
    figures.add("members", figure(size), "");
    figures.against("covers history after", took.as_secs_f64(), "s", Target::Below(60.0));
    figures.add("events per second", figure(bench.events) / took.as_secs_f64(), "1/s");
    figures.add("server CPU", cpu_live.as_secs_f64(), "s");
    figures.add("all is written after", all_took.as_secs_f64(), "s");
    figures.add("server CPU until then", cpu.as_secs_f64(), "s");
    let (_, highest) = server.resident()?;
    figures.add("memory at its highest", highest, "MiB");
    Ok(figures)
}

/// Waits until the segment is live; answers its size. Sizes are counted for who lists segments, which at many members is work
/// beside what is measured: so progress is followed by the status, and segments are listed once all members are there.
async fn covered(server: &MeasuredServer, began: Instant) -> Result<u64, CommandError> {
    until(began, async || server.lacks_members().await).await?;
    let listed = server.look("spaces/main/segments").await?;
    let found = listed["segments"].as_array().into_iter().flatten();
    let live = |segment: &&Value| segment["name"] == "backfilled" && segment["state"] == "live";
    let found = found.into_iter().find(live);
    let found = found.ok_or_else(|| CommandError::new("the segment is not live once history is covered"))?;
    Ok(found["size"].as_u64().unwrap_or(0))
}

/// Waits until everybody has taken what was decided at an instant.
pub(super) async fn until_taken(server: &MeasuredServer, decided: Instant) -> Result<(), CommandError> {
    until(decided, async || server.is_refolding().await).await
}

/// Waits until something that a decision brought about is over.
async fn until(decided: Instant, goes_on: impl AsyncFn() -> Result<bool, CommandError>) -> Result<(), CommandError> {
    let mut seen = false;
    while decided.elapsed() < COVERS_WITHIN {
        let goes_on = goes_on().await?;
        seen |= goes_on;
        if !goes_on && (seen || decided.elapsed() > TOLD_WITHIN) {
            return Ok(());
        }
        tokio::time::sleep(ASKS_EVERY).await;
    }
    Err(CommandError::new(
        "a decision was not taken by everybody within an hour",
    ))
}
