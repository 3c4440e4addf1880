//! Questions that read histories: explanations with their events, why two identifiers are one person, and people as of a
//! past instant, over the demonstration world.

use super::http::get;
use super::load::open_loop;
use super::report::{Figures, Target};
use super::server::MeasuredServer;
use super::whole_path::load_world;
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use kith_types::{Clock, Duration as Span, SystemClock};
use serde::Deserialize;
use std::sync::Arc;

const ASKED_A_SECOND: u32 = 100;
const READERS: u32 = 8;
/// People asked about.
const PEOPLE: u64 = 20_000;
const SEGMENT: &str = "big_orders";
const DAY_MICROS: i64 = 86_400_000_000;
/// How long ago the instants are that are asked about.
const DAYS_AGO: i64 = 10;

#[derive(Deserialize)]
struct Known {
    user_id: String,
    anonymous_id: String,
}

/// Answers at a pace that leaves the server room.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn seg_6_looking_back(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("looking-back", None).await?;
    server.open_world().await?;
    load_world(&server, bench.world(bench.events)).await?;
    server.flush().await?;
    let people: Vec<Known> = server
        .sql(&format!(
            "SELECT user_id, max(anonymous_id) AS anonymous_id FROM clean.events \
             WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL GROUP BY user_id \
             HAVING min(event_time) < now() - INTERVAL '{DAYS} days' LIMIT {PEOPLE}",
            DAYS = DAYS_AGO + 1
        ))
        .await?;
    let people: Arc<[Known]> = people.into();
    if people.is_empty() {
        return Err(CommandError::new(
            "the world has nobody who signed in: give it more --events",
        ));
    }
    let mut figures = Figures::of("looking-back");
    figures.add("events", figure(bench.events), "");
    figures.add("people asked about", figure(people.len() as u64), "");
    let now = SystemClock.now();
    let past = now - Span::from_micros(DAYS_AGO * DAY_MICROS);
    let hindsight = format!("as_of={past}&known_at={now}");
    let of = "/api/spaces/main";
    let asked: [(&'static str, Question); 5] = [
        (
            "explain p99",
            Box::new(move |known| format!("{of}/segments/{SEGMENT}/explain/user_id:{}", known.user_id)),
        ),
        ("explain as of p99", {
            let as_of = hindsight.clone();
            Box::new(move |known| format!("{of}/segments/{SEGMENT}/explain/user_id:{}?{as_of}", known.user_id))
        }),
        ("profile as of p99", {
            let as_of = hindsight.clone();
            Box::new(move |known| format!("{of}/profiles/user_id:{}?{as_of}", known.user_id))
        }),
        (
            "resolve as of p99",
            // What was known at the end is all there is; who is who is worked out for the answer all the same.
            Box::new(move |known| format!("{of}/identity/resolve?identifier=user_id:{}&as_of={now}", known.user_id)),
        ),
        (
            "why p99",
            Box::new(move |known| {
                let Known { user_id, anonymous_id } = known;
                format!("{of}/identity/why?one=user_id:{user_id}&other=anonymous_id:{anonymous_id}")
            }),
        ),
    ];
    for (name, question) in asked {
        output::note(&format!("looking-back: {name}"));
        let latency = measure(bench, &server, &people, question).await?;
        figures.against(name, latency, "ms", Target::Below(50.0));
    }
    Ok(figures)
}

/// A question as a path.
type Question = Box<dyn Fn(&Known) -> String + Send + Sync>;

/// The latency that 99 of 100 answers stay below, in milliseconds.
async fn measure(
    bench: &Bench,
    server: &MeasuredServer,
    people: &Arc<[Known]>,
    question: Question,
) -> Result<f64, CommandError> {
    let (key, people, question) = (server.admin_key.clone(), Arc::clone(people), Arc::from(question));
    let question: Arc<dyn Fn(&Known) -> String + Send + Sync> = question;
    let ask = move |number: u64| {
        // A fixed scramble, as the bench of profiles has it.
        let place = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % people.len() as u64;
        get(&question(&people[usize::try_from(place).unwrap_or(0)]), &key)
    };
    open_loop(server.address, READERS, ASKED_A_SECOND, bench.warms_up(), ask.clone()).await?;
    let sent = open_loop(server.address, READERS, ASKED_A_SECOND, bench.lasts, ask).await?;
    Ok(sent.latencies.per_mille(990))
}
