//! Transitions that happen only because time passes: people are in a segment of something done within the last hour, and
//! leave it when that hour is over.
//!
//! Events say themselves when they happened, so that the hour ends soon: at even distances for some people, and at one
//! instant for everybody. Some people are read from the instant at which they should leave until they have left; readings are
//! ten milliseconds apart, and those readings are among what the server does. Doors and reads are measured while everybody
//! leaves.

use super::http::{Connection, get, post};
use super::latency::Latencies;
use super::load::{Sent, broken, draw, open_loop, send_all};
use super::membership::names;
use super::reads::{batches, people};
use super::report::{Figures, Target};
use super::server::MeasuredServer;
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use kith_types::{Clock, Duration as Span, SystemClock, Timestamp};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SENDERS: usize = 16;
/// How long an event counts in both segments.
const WINDOW: Span = Span::from_secs(3_600);
/// People who leave one after the other, at most, and how many of them a second.
const SPREAD_MAX: u64 = 100_000;
const SPREAD_A_SECOND: u64 = 5_000;
/// People who are watched.
const WATCHED: u64 = 200;
const READS_EVERY: Duration = Duration::from_millis(10);
/// Whoever has not left by then never will.
const LEAVES_WITHIN: Duration = Duration::from_secs(1_800);
/// What the doors and the readers do while everybody leaves.
const ASKED_A_SECOND: u32 = 500;
const CONNECTIONS: u32 = 8;
/// How many times as long as somebody new an event of somebody known may take: where there are many, most are not in memory.
const SENDING_AGAIN: f64 = 4.0;
/// Apart from how long sending takes.
const MARGIN: Duration = Duration::from_secs(3);

/// What people do, and the segment that they are in for it.
#[derive(Clone, Copy)]
struct Doing {
    event: &'static str,
    segment: &'static str,
}

const ONE_BY_ONE: Doing = Doing {
    event: "Trial Started",
    segment: "on_trial",
};
const ALL_AT_ONCE: Doing = Doing {
    event: "Coupon Granted",
    segment: "has_coupon",
};

/// Somebody who is to leave.
struct Watched {
    person: u64,
    due: Timestamp,
}

/// Transitions spread over time, and as many as there are people at one instant.
///
/// # Errors
/// A server that does not start or refuses what it is sent, or people who do not leave.
pub(super) async fn seg_2_due_times(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("due-times", None).await?;
    let segment = |doing: Doing| {
        let within = json!({"last": "1h"});
        json!({"kind": "segment", "name": doing.segment, "spec": {"where": {
            "performed": {"event": doing.event, "within": within},
        }}})
    };
    server
        .open_with(vec![segment(ONE_BY_ONE), segment(ALL_AT_ONCE)])
        .await?;
    let began = Instant::now();
    let requests = people(bench.profiles, web_key(&server));
    let progress = Arc::new(AtomicU64::new(0));
    send_all(server.address, draw(requests, None, None), SENDERS, &progress).await?;
    server.pipeline_takes_all().await?;
    let one_takes = began.elapsed().div_f64(figure(bench.profiles));
    let mut figures = Figures::of("due-times");
    figures.add("people", figure(bench.profiles), "");
    one_by_one(bench, &server, one_takes, &mut figures).await?;
    all_at_once(bench, &server, one_takes, &mut figures).await?;
    let (_, highest) = server.resident()?;
    figures.add("memory at its highest", highest, "MiB");
    Ok(figures)
}

async fn one_by_one(
    bench: &Bench,
    server: &MeasuredServer,
    one_takes: Duration,
    figures: &mut Figures,
) -> Result<(), CommandError> {
    let count = bench.profiles.min(SPREAD_MAX);
    let first = after_sending(count, one_takes);
    let due = move |person: u64| first + Span::from_micros(signed(person * 1_000_000 / SPREAD_A_SECOND));
    begin(server, ONE_BY_ONE, count, due, first).await?;
    let watched = chosen(count).map(|person| Watched {
        person,
        due: due(person),
    });
    let watched: Vec<Watched> = watched.collect();
    output::note(&format!("due-times: {count} people leave one by one"));
    until(first).await;
    let cpu = server.cpu()?;
    let late = watch(server, ONE_BY_ONE, &watched).await?;
    let cpu = server.cpu()?.saturating_sub(cpu);
    figures.add("one by one", figure(count), "transitions");
    figures.against(
        "one by one, per second of server CPU",
        figure(count) / cpu.as_secs_f64().max(f64::EPSILON),
        "1/s",
        Target::AtLeast(15_000.0),
    );
    figures.add("one by one, readers late p50", late.per_mille(500), "ms");
    figures.against(
        "one by one, readers late p99",
        late.per_mille(990),
        "ms",
        Target::Below(1_000.0),
    );
    Ok(())
}

async fn all_at_once(
    bench: &Bench,
    server: &MeasuredServer,
    one_takes: Duration,
    figures: &mut Figures,
) -> Result<(), CommandError> {
    let (doors, reads) = alone(bench, server).await?;
    figures.add("doors before, p99", doors.latencies.per_mille(990), "ms");
    figures.add("reads before, p99", reads.latencies.per_mille(990), "ms");
    let due = after_sending(bench.profiles, one_takes);
    begin(server, ALL_AT_ONCE, bench.profiles, move |_| due, due).await?;
    let watched = by_id(server, chosen(bench.profiles), due).await?;
    output::note(&format!("due-times: {} people leave at one instant", bench.profiles));
    until(due).await;
    let (cpu, parts) = (server.cpu()?, server.cpu_by_part());
    let left = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(ask_until(
        server.address,
        web_key(server),
        server.admin_key.clone(),
        bench.profiles,
        Arc::clone(&left),
    ));
    // Readers ask the clock and see everybody out at once. The changes are told, and what came after the instant is taken,
    // when everybody due has been gone through.
    let late = watch(server, ALL_AT_ONCE, &watched).await;
    let taken = server.pipeline_takes_all().await;
    let (cpu, parts) = (server.cpu()?.saturating_sub(cpu), server.cpu_by_part().since(parts));
    let drained = SystemClock.now() - due;
    left.store(true, Ordering::Relaxed);
    let (doors, reads) = load
        .await
        .map_err(|error| CommandError::caused("the load's task ended", error))??;
    taken?;
    let late = late?;

    let count = figure(bench.profiles);
    let rate = |cpu: Duration| count / cpu.as_secs_f64().max(f64::EPSILON);
    figures.add("at one instant", count, "transitions");
    figures.add("at one instant, all told after", seconds(drained), "s");
    figures.add("at one instant, readers late p50", late.per_mille(500), "ms");
    figures.add("at one instant, readers late p99", late.per_mille(990), "ms");
    figures.add("at one instant, per second of server CPU", rate(cpu), "1/s");
    figures.add("the same by the pipeline's thread", rate(parts.pipeline), "1/s");
    let doors_p99 = doors.latencies.per_mille(990);
    figures.against("doors meanwhile, p99", doors_p99, "ms", Target::Below(20.0));
    figures.add("reads meanwhile, p99", reads.latencies.per_mille(990), "ms");
    Ok(())
}

/// Has people do it so long ago that each leaves when they are due, and waits until the pipeline has taken it.
async fn begin(
    server: &MeasuredServer,
    doing: Doing,
    count: u64,
    due: impl Fn(u64) -> Timestamp + Send + 'static,
    first: Timestamp,
) -> Result<(), CommandError> {
    let requests = batches(count, web_key(server), move |person| {
        let (event, happened) = (doing.event, due(person) - WINDOW);
        format!(
            r#"{{"type":"track","event":"{event}","messageId":"{}-{person}","userId":"reader-{person}","timestamp":"{happened}"}}"#,
            doing.segment
        )
    });
    let progress = Arc::new(AtomicU64::new(0));
    send_all(server.address, draw(requests, None, None), SENDERS, &progress).await?;
    server.pipeline_takes_all().await?;
    if SystemClock.now() >= first {
        return Err(CommandError::new(
            "sending took longer than it did for the people before, and some had left by then: try again on a quieter machine",
        ));
    }
    Ok(())
}

/// Reads one person after the other until each has left; how late each was.
async fn watch(server: &MeasuredServer, doing: Doing, watched: &[Watched]) -> Result<Latencies, CommandError> {
    let mut connection = Connection::open(server.address).await.map_err(broken)?;
    let mut late = Latencies::default();
    for Watched { person, due } in watched {
        until(*due).await;
        let read = get(&path(*person), &server.admin_key);
        loop {
            let status = connection.ask(&read).await.map_err(broken)?;
            let since = Duration::from_micros(u64::try_from((SystemClock.now() - *due).as_micros()).unwrap_or(0));
            if status == 200 && !names(connection.body(), doing.segment) {
                late.take(since);
                break;
            }
            if since > LEAVES_WITHIN {
                let problem = format!("reader-{person} is in {} long after the end", doing.segment);
                return Err(CommandError::new(problem));
            }
            tokio::time::sleep(READS_EVERY).await;
        }
    }
    Ok(late)
}

/// These people in the order of their profile ids, in which those who are due at one instant leave.
async fn by_id(
    server: &MeasuredServer,
    people: impl Iterator<Item = u64>,
    due: Timestamp,
) -> Result<Vec<Watched>, CommandError> {
    let mut found = Vec::new();
    for person in people {
        let read = server
            .look(&format!("spaces/main/profiles/user_id:reader-{person}?events=0"))
            .await?;
        if !read["segments"].to_string().contains(ALL_AT_ONCE.segment) {
            return Err(CommandError::new(format!("reader-{person} is not in the segment")));
        }
        let id = read["id"].as_str().unwrap_or_default().to_owned();
        found.push((id, Watched { person, due }));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found.into_iter().map(|(_, watched)| watched).collect())
}

/// Doors and reads with nothing beside them.
async fn alone(bench: &Bench, server: &MeasuredServer) -> Result<(Sent, Sent), CommandError> {
    let (key, admin_key) = (web_key(server), server.admin_key.clone());
    ask_for(server.address, &key, &admin_key, bench.profiles, 0, bench.warms_up()).await?;
    ask_for(server.address, &key, &admin_key, bench.profiles, 1, bench.lasts).await
}

/// Asks doors and reads until all have left.
async fn ask_until(
    address: SocketAddr,
    key: String,
    admin_key: String,
    profiles: u64,
    left: Arc<AtomicBool>,
) -> Result<(Sent, Sent), CommandError> {
    let (mut doors, mut reads) = (Sent::default(), Sent::default());
    let mut round = 2;
    while !left.load(Ordering::Relaxed) {
        let lasts = Duration::from_secs(1);
        let (posted, read) = ask_for(address, &key, &admin_key, profiles, round, lasts).await?;
        doors.merge(&posted);
        reads.merge(&read);
        round += 1;
    }
    Ok((doors, reads))
}

/// Single events of no concern to the segments, and reads of people, each on a schedule. Events of one round are not those
/// of another.
async fn ask_for(
    address: SocketAddr,
    key: &str,
    admin_key: &str,
    profiles: u64,
    round: u64,
    lasts: Duration,
) -> Result<(Sent, Sent), CommandError> {
    let (key, admin_key) = (key.to_owned(), admin_key.to_owned());
    let person = move |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % profiles;
    let event = move |number: u64| {
        let body = format!(
            r#"{{"event":"Shop Looked At","messageId":"look-{round}-{number}","userId":"reader-{}"}}"#,
            person(number)
        );
        post("/v1/track", &key, &body)
    };
    let read = move |number: u64| get(&path(person(number)), &admin_key);
    let doors = open_loop(address, CONNECTIONS, ASKED_A_SECOND, lasts, event);
    let reads = open_loop(address, CONNECTIONS, ASKED_A_SECOND, lasts, read);
    let (doors, reads) = tokio::join!(doors, reads);
    Ok((doors?, reads?))
}

fn path(person: u64) -> String {
    format!("/api/spaces/main/profiles/user_id:reader-{person}?events=0")
}

fn web_key(server: &MeasuredServer) -> String {
    server.write_keys.get("web").cloned().unwrap_or_default()
}

/// People at even distances among so many, the last one included.
fn chosen(count: u64) -> impl Iterator<Item = u64> {
    let watched = WATCHED.min(count);
    (1..=watched).map(move |number| number * count / watched - 1)
}

/// An instant by which so many people have done what they do.
fn after_sending(count: u64, one_takes: Duration) -> Timestamp {
    let sending = one_takes.mul_f64(figure(count) * SENDING_AGAIN) + MARGIN;
    SystemClock.now() + Span::from_micros(i64::try_from(sending.as_micros()).unwrap_or(i64::MAX))
}

async fn until(instant: Timestamp) {
    let left = (instant - SystemClock.now()).as_micros();
    tokio::time::sleep(Duration::from_micros(u64::try_from(left).unwrap_or(0))).await;
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

fn seconds(span: Span) -> f64 {
    figure(u64::try_from(span.as_micros()).unwrap_or(0)) / 1e6
}
