//! The whole path: from the door to profiles, segments and the clean zone, over the demonstration world.
//!
//! The world is sent as fast as the doors take it, with a bounded number of requests under way. Its end is when the
//! pipeline has taken everything and, after a flush, the tables show everything. Afterwards the rows are counted: a rate
//! at which events are lost is none.

use super::load::{Requests, Sent, draw, send_all};
use super::machine::round;
use super::report::{Figures, Target};
use super::server::{CpuByPart, MeasuredServer, demo_definitions};
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use kith_testkit::world::{World, WorldConfig};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests under way at once, each a batch of 100 events of one source.
const CONNECTIONS: usize = 16;
const BATCH_EVENTS: usize = 100;

/// What taking a world took.
pub(super) struct Loaded {
    pub(super) sent: Sent,
    /// From the first request to the last acknowledgement.
    pub(super) sent_in: Duration,
    /// From the first request until the pipeline had taken everything.
    pub(super) taken_in: Duration,
    /// Server CPU until then.
    pub(super) cpu: Duration,
    /// Bytes of all events as they were sent.
    bytes: u64,
    /// Events that are no copies of others.
    distinct: u64,
    late: u64,
    /// Records that the pipeline had still to take, and resident memory in MiB then, as it went on.
    resident: Vec<(u64, f64)>,
}

impl Loaded {
    /// Events a second that the server sustained.
    pub(super) fn rate(&self) -> f64 {
        figure(self.sent.events) / self.taken_in.as_secs_f64()
    }

    /// Resident memory in MiB when the pipeline had taken so many quarters of the records.
    fn resident_at(&self, quarters: u64) -> f64 {
        let left = self.sent.events / BATCH_EVENTS as u64 * (4 - quarters) / 4;
        let reached = self.resident.iter().find(|(behind, _)| *behind <= left);
        reached.map_or(0.0, |(_, resident)| *resident)
    }
}

#[derive(Default)]
struct Drawn {
    bytes: AtomicU64,
    distinct: AtomicU64,
    late: AtomicU64,
}

#[derive(Deserialize)]
struct Counted {
    rows: u64,
}

/// Sends a world and waits until the pipeline has taken it.
///
/// # Errors
/// A server that refuses what it is sent.
pub(super) async fn load_world(server: &MeasuredServer, world: WorldConfig) -> Result<Loaded, CommandError> {
    let drawn = Arc::new(Drawn::default());
    let noted = Arc::clone(&drawn);
    let requests = Requests::new(World::new(world), &server.write_keys, BATCH_EVENTS, move |event| {
        noted.bytes.fetch_add(event.body.len() as u64, Ordering::Relaxed);
        noted.distinct.fetch_add(u64::from(!event.duplicate), Ordering::Relaxed);
        noted.late.fetch_add(u64::from(event.late), Ordering::Relaxed);
    });
    let (cpu, start) = (server.cpu()?, Instant::now());
    let progress = Arc::new(AtomicU64::new(0));
    let waiting = draw(requests, None, None);
    let sent = send_all(server.address, waiting, CONNECTIONS, &progress).await?;
    let sent_in = start.elapsed();
    let mut resident = Vec::new();
    let mut watch = |behind| {
        resident.push((behind, server.resident()?.0));
        Ok(())
    };
    server.pipeline_takes_all_under(&mut watch).await?;
    let (taken_in, cpu) = (start.elapsed(), server.cpu()?.saturating_sub(cpu));
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (bytes, distinct, late) = (read(&drawn.bytes), read(&drawn.distinct), read(&drawn.late));
    Ok(Loaded {
        sent,
        sent_in,
        taken_in,
        cpu,
        bytes,
        distinct,
        late,
        resident,
    })
}

/// End to end with ten segments.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn seg_3_whole_path(bench: &Bench) -> Result<Figures, CommandError> {
    whole_path(bench, "end-to-end", demo_definitions()?).await
}

/// End to end with these definitions.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn whole_path(
    bench: &Bench,
    name: &'static str,
    definitions: Vec<Value>,
) -> Result<Figures, CommandError> {
    let mut server = bench.server(name, None).await?;
    server.open_with(definitions).await?;
    let resident_start = server.resident()?.0;
    let (start, cpu, parts) = (Instant::now(), server.cpu()?, server.cpu_by_part());
    let loaded = load_world(&server, bench.world(bench.events)).await?;
    output::note(&format!("{name}: everything is in the pipeline; flushing"));
    server.flush().await?;
    let (wall, cpu) = (start.elapsed(), server.cpu()?.saturating_sub(cpu));
    let (resident_end, resident_highest) = server.resident()?;
    let kept: Vec<Counted> = server.sql("select count(*) as rows from clean.events").await?;
    let kept = kept.first().map_or(0, |counted| counted.rows);
    let events = figure(loaded.sent.events);

    let mut figures = Figures::of(name);
    let rate = events / cpu.as_secs_f64();
    figures.against(
        "events per second of server CPU",
        rate,
        "1/s",
        Target::AtLeast(25_000.0),
    );
    figures.add("server CPU of an event", cpu.as_secs_f64() * 1e6 / events, "µs");
    figures.add(
        "the same without the flush",
        loaded.cpu.as_secs_f64() * 1e6 / events,
        "µs",
    );
    add_parts(&mut figures, server.cpu_by_part().since(parts), events);
    figures.add("events", events, "");
    figures.add("mean size of an event", figure(loaded.bytes) / events, "bytes");
    figures.add("share that is late", figure(loaded.late) / events, "");
    figures.add("acknowledged after", round(loaded.sent_in.as_secs_f64()), "s");
    figures.add(
        "in profiles and segments after",
        round(loaded.taken_in.as_secs_f64()),
        "s",
    );
    figures.add("in the clean zone after", round(wall.as_secs_f64()), "s");
    figures.add("acknowledgement p99", loaded.sent.latencies.per_mille(990), "ms");
    figures.add("requests put off", figure(loaded.sent.repeats), "");
    figures.add("events rejected", figure(loaded.sent.rejected), "");
    figures.against(
        "distinct events not in the clean zone",
        figure(loaded.distinct.abs_diff(kept)),
        "",
        Target::Below(1.0),
    );
    figures.add("memory at the start", resident_start, "MiB");
    figures.add("memory with a half taken", loaded.resident_at(2), "MiB");
    figures.add("memory with three quarters taken", loaded.resident_at(3), "MiB");
    figures.add("memory with all taken", loaded.resident_at(4), "MiB");
    figures.add("memory at the end", resident_end, "MiB");
    figures.against("memory at its highest", resident_highest, "MiB", Target::Below(1_536.0));
    figures.add("disk at the end", server.disk(), "MiB");
    Ok(figures)
}

/// Which threads of the server used the CPU of an event.
fn add_parts(figures: &mut Figures, parts: CpuByPart, events: f64) {
    let of_event = |used: Duration| used.as_secs_f64() * 1e6 / events;
    figures.add("of it doors and API", of_event(parts.doors), "µs");
    figures.add("of it log", of_event(parts.log), "µs");
    figures.add("of it pipeline", of_event(parts.pipeline), "µs");
    figures.add("of it raw zone and tables", of_event(parts.publish), "µs");
    figures.add("of it other threads", of_event(parts.others), "µs");
}
