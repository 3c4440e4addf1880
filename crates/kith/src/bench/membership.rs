//! From the acknowledgement of an event to the membership that a reader sees, while the world streams in at half the
//! rate that the server has just sustained.
//!
//! Probes are people of their own who place one large order each. From the moment their order is acknowledged they are
//! read until they are in the segment; readings are ten milliseconds apart, which is how exact the figures are.

use super::http::{Connection, get, post};
use super::latency::Latencies;
use super::load::{Requests, broken, draw, send_all};
use super::report::{Figures, Target};
use super::server::MeasuredServer;
use super::whole_path::load_world;
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use kith_testkit::world::World;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Events that the sustained rate is taken from.
const RATE_EVENTS_MAX: u64 = 200_000;
const PROBES_EVERY: Duration = Duration::from_millis(50);
const READS_EVERY: Duration = Duration::from_millis(10);
/// A probe that is not seen by then counts with this.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 16;
const BATCH_EVENTS: usize = 100;
const SEGMENT: &str = "big_orders";

/// Latency at half of the sustained rate.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn seg_3_acknowledged_to_membership(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("membership-latency", None).await?;
    server.open_world().await?;
    let rate = load_world(&server, bench.world(bench.events.min(RATE_EVENTS_MAX)))
        .await?
        .rate()
        / 2.0;
    output::note(&format!("membership-latency: streaming {rate:.0} events a second"));

    // Other people: the message ids of the first world would count as sent twice.
    let lasts = bench.lasts + bench.warms_up();
    let mut again = bench.world(whole(rate * lasts.as_secs_f64()));
    again.seed = bench.seed.wrapping_add(1);
    let ends = std::time::Instant::now() + lasts;
    let requests = Requests::new(World::new(again), &server.write_keys, BATCH_EVENTS, |_| {});
    let waiting = draw(requests, Some(rate), Some(ends));
    let progress = Arc::new(AtomicU64::new(0));
    let streaming = send_all(server.address, waiting, CONNECTIONS, &progress);
    let probing = async {
        tokio::time::sleep(bench.warms_up()).await;
        let start = Instant::now();
        probe(&server, &|| start.elapsed() < bench.lasts).await
    };
    let (sent, seen) = tokio::join!(streaming, probing);
    let (sent, seen) = (sent?, seen?);

    let mut figures = Figures::of("membership-latency");
    figures.add(
        "events per second meanwhile",
        figure(sent.events) / lasts.as_secs_f64(),
        "1/s",
    );
    figures.add("probes", figure(seen.taken()), "");
    figures.add("acknowledged to membership p50", seen.per_mille(500), "ms");
    figures.against(
        "acknowledged to membership p95",
        seen.per_mille(950),
        "ms",
        Target::Below(1_000.0),
    );
    figures.against(
        "acknowledged to membership p99",
        seen.per_mille(990),
        "ms",
        Target::Below(5_000.0),
    );
    Ok(figures)
}

/// Sends probes at an even pace, as long as that goes on, and waits until each is a member.
pub(super) async fn probe(
    server: &MeasuredServer,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<Latencies, CommandError> {
    let (address, start) = (server.address, Instant::now());
    let mut probes = JoinSet::new();
    let mut number = 0_u32;
    while goes_on() {
        let order = format!(
            r#"{{"event":"Order Completed","userId":"probe-{number}","messageId":"probe-{number}","properties":{{"total":250,"revenue":250}}}}"#
        );
        let key = server.write_keys.get("web").map(String::as_str).unwrap_or_default();
        let order = post("/v1/track", key, &order);
        let path = format!("/api/spaces/main/profiles/user_id:probe-{number}?events=0");
        let read = get(&path, &server.admin_key);
        probes.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let status = connection.ask(&order).await?;
            if status != 200 {
                return Err(std::io::Error::other(format!("the door answered {status} to a probe")));
            }
            let acknowledged = Instant::now();
            while acknowledged.elapsed() < SEEN_WITHIN {
                if connection.ask(&read).await? == 200 && names(connection.body(), SEGMENT) {
                    break;
                }
                tokio::time::sleep(READS_EVERY).await;
            }
            Ok(acknowledged.elapsed())
        });
        number += 1;
        tokio::time::sleep_until(start + PROBES_EVERY * number).await;
    }
    let mut seen = Latencies::default();
    while let Some(one) = probes.join_next().await {
        let one = one.map_err(|error| CommandError::caused("a probe's task ended", error))?;
        seen.take(one.map_err(broken)?);
    }
    Ok(seen)
}

/// Whether a profile names a segment.
pub(super) fn names(profile: &[u8], segment: &str) -> bool {
    profile
        .windows(segment.len())
        .any(|window| window == segment.as_bytes())
}

/// A count of events.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of events is small and not negative"
)]
fn whole(events: f64) -> u64 {
    events.ceil() as u64
}
