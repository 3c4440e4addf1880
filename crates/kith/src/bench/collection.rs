//! Collection alone: from the request to the synced log, with nothing behind it.

use super::load::{Request, Requests, Sent, closed_loop};
use super::report::{Figures, Target};
use super::{Bench, figure};
use crate::error::CommandError;
use kith_testkit::world::World;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events of the world that are sent over and over: some twenty megabytes, so that no cache of a core holds them.
const EVENTS: u64 = 20_000;
const P50: u64 = 500;
const P99: u64 = 990;

/// What a closed loop took.
struct Taken {
    sent: Sent,
    cpu: Duration,
    /// Of that, what the threads of the doors and the log used.
    own_cpu: Duration,
    wall: Duration,
}

/// Batches of 100 events, 32 connections.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn col_3_batches_of_100(bench: &Bench) -> Result<Figures, CommandError> {
    let taken = measure(bench, "collect-batch", 100, 32).await?;
    let mut figures = Figures::of("collect-batch");
    let events = figure(taken.sent.events);
    let rate = events / taken.cpu.as_secs_f64();
    figures.against(
        "events per second of server CPU",
        rate,
        "1/s",
        Target::AtLeast(250_000.0),
    );
    let own = events / taken.own_cpu.as_secs_f64();
    figures.add("the same by the threads of doors and log", own, "1/s");
    figures.add("events per second", events / taken.wall.as_secs_f64(), "1/s");
    figures.add("latency p50", taken.sent.latencies.per_mille(P50), "ms");
    figures.add("latency p99", taken.sent.latencies.per_mille(P99), "ms");
    figures.add("requests put off", figure(taken.sent.repeats), "");
    figures.add("events rejected", figure(taken.sent.rejected), "");
    Ok(figures)
}

/// Single events, 64 connections.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn col_3_single_events(bench: &Bench) -> Result<Figures, CommandError> {
    let taken = measure(bench, "collect-single", 1, 64).await?;
    let mut figures = Figures::of("collect-single");
    let requests = figure(taken.sent.requests);
    let rate = requests / taken.cpu.as_secs_f64();
    figures.against(
        "requests per second of server CPU",
        rate,
        "1/s",
        Target::AtLeast(25_000.0),
    );
    let own = requests / taken.own_cpu.as_secs_f64();
    figures.add("the same by the threads of doors and log", own, "1/s");
    figures.add("requests per second", requests / taken.wall.as_secs_f64(), "1/s");
    figures.add("latency p50", taken.sent.latencies.per_mille(P50), "ms");
    figures.against(
        "latency p99",
        taken.sent.latencies.per_mille(P99),
        "ms",
        Target::Below(20.0),
    );
    figures.add("requests put off", figure(taken.sent.repeats), "");
    figures.add("events rejected", figure(taken.sent.rejected), "");
    Ok(figures)
}

async fn measure(bench: &Bench, name: &str, events: usize, connections: usize) -> Result<Taken, CommandError> {
    let mut server = bench.server(name, Some("collect,api")).await?;
    server.open_sources().await?;
    let (world, keys) = (bench.world(EVENTS), server.write_keys.clone());
    let drawn = tokio::task::spawn_blocking(move || Requests::new(World::new(world), &keys, events, |_| {}).collect());
    let requests: Vec<Request> = drawn
        .await
        .map_err(|error| CommandError::caused("the world ended", error))?;
    let requests = Arc::new(requests);
    closed_loop(server.address, &requests, connections, bench.warms_up()).await?;
    let (cpu, parts, start) = (server.cpu()?, server.cpu_by_part(), Instant::now());
    let sent = closed_loop(server.address, &requests, connections, bench.lasts).await?;
    let (wall, parts) = (start.elapsed(), server.cpu_by_part().since(parts));
    let cpu = server.cpu()?.saturating_sub(cpu);
    Ok(Taken {
        sent,
        cpu,
        own_cpu: parts.doors + parts.log,
        wall,
    })
}
