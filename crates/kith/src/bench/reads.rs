//! Reads of profiles by identifier, on a schedule that does not wait for slow answers.

use super::http::get;
use super::load::{Request, draw, open_loop, send_all};
use super::report::{Figures, Target};
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use kith_types::{Clock, Duration, SystemClock, Timestamp};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

const READS_A_SECOND: u32 = 5_000;
const READERS: u32 = 64;
const SENDERS: usize = 16;
const BATCH: u64 = 100;

/// 5,000 reads a second over 64 connections.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn api_1_profile_reads(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("profile-read", None).await?;
    server.open_world().await?;
    let key = server.write_keys.get("web").cloned().unwrap_or_default();
    let profiles = bench.profiles;
    let requests = people(profiles, key);
    let progress = Arc::new(AtomicU64::new(0));
    let loaded = send_all(server.address, draw(requests, None, None), SENDERS, &progress).await?;
    server.pipeline_takes_all().await?;
    server.flush().await?;
    output::note(&format!(
        "profile-read: {} people are there; reading",
        loaded.events - loaded.rejected
    ));

    let admin_key = server.admin_key.clone();
    let read = move |number: u64| {
        // A fixed scramble of the numbers (Knuth's multiplicative hashing), so that neighbours are not read together.
        let person = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % profiles;
        get(
            &format!("/api/spaces/main/profiles/user_id:reader-{person}"),
            &admin_key,
        )
    };
    open_loop(server.address, READERS, READS_A_SECOND, bench.warms_up(), read.clone()).await?;
    let (cpu, start) = (server.cpu()?, Instant::now());
    let sent = open_loop(server.address, READERS, READS_A_SECOND, bench.lasts, read).await?;
    let (cpu, wall) = (server.cpu()?.saturating_sub(cpu), start.elapsed());

    let mut figures = Figures::of("profile-read");
    figures.add("profiles", figure(profiles), "");
    figures.add("reads per second", figure(sent.requests) / wall.as_secs_f64(), "1/s");
    figures.add("latency p50", sent.latencies.per_mille(500), "ms");
    figures.against("latency p99", sent.latencies.per_mille(990), "ms", Target::Below(5.0));
    figures.add(
        "server CPU of a read",
        cpu.as_secs_f64() * 1e6 / figure(sent.requests),
        "µs",
    );
    let (resident, _) = server.resident()?;
    figures.against("memory", resident, "MiB", Target::Below(1_536.0));
    Ok(figures)
}

/// So many people, as requests that the door takes. They were here yesterday: nobody enters a segment of the last minutes, to
/// leave it in the midst of what is measured.
pub(super) fn people(profiles: u64, key: String) -> impl Iterator<Item = Request> + Send {
    let yesterday = SystemClock.now() - Duration::from_days(1);
    batches(profiles, key, move |number| person(number, yesterday))
}

/// So many events by their numbers, as requests that the door takes.
pub(super) fn batches(
    events: u64,
    key: String,
    event: impl Fn(u64) -> String + Send,
) -> impl Iterator<Item = Request> + Send {
    (0..events.div_ceil(BATCH)).map(move |batch| {
        let numbers = batch * BATCH..((batch + 1) * BATCH).min(events);
        let events = numbers.end - numbers.start;
        let body = numbers.map(&event).collect::<Vec<_>>().join(",");
        Request {
            bytes: super::http::post("/v1/batch", &key, &format!(r#"{{"batch":[{body}]}}"#)),
            events,
        }
    })
}

/// Somebody to read: an identify with the traits that a shop knows.
fn person(number: u64, at: Timestamp) -> String {
    format!(
        r#"{{"type":"identify","timestamp":"{at}","messageId":"reader-{number}","userId":"reader-{number}","anonymousId":"browser-{number}","traits":{{"email":"reader-{number}@example.com","first_name":"Robin","last_name":"Reader {number}","country":"DE","newsletter":true,"plan":"standard","visits":{visits}}},"context":{{"ip":"203.0.113.7","userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","locale":"de-DE","consent":{{"categoryPreferences":{{"marketing":true}}}}}}}}"#,
        visits = number % 97
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_to_read_are_events() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let event: serde_json::Value = serde_json::from_str(&person(12, at)).unwrap();
        assert_eq!(event["userId"], "reader-12");
        assert_eq!(event["traits"]["visits"], 12);
        assert_eq!(event["timestamp"], "2023-11-14T22:13:20.000Z");
    }
}
