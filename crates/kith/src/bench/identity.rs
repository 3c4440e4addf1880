//! Who is who in the demonstration world: every person's events are read back from the running server and scored
//! against the truth, over what evidence can link.

use super::http::{Connection, get};
use super::load::{Requests, broken, draw, send_all};
use super::report::{Figures, Target};
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use kith_testkit::world::{Evidence, Scoring, Truth, World};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// Events that are scored: each is read back.
const EVENTS_MAX: u64 = 200_000;
const CONNECTIONS: usize = 16;
const BATCH_EVENTS: usize = 100;
/// Pages of one person's events that are read, of 200 events each.
const PAGES_MAX: usize = 10_000;

#[derive(Default)]
struct TruthBook {
    evidence: Evidence,
    by_message: HashMap<String, Truth>,
}

#[derive(Deserialize)]
struct PersonRow {
    profile_id: String,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<PageEvent>,
    cursor: PageCursor,
}

#[derive(Deserialize)]
struct PageEvent {
    message_id: Option<String>,
}

#[derive(Deserialize)]
struct PageCursor {
    has_more: bool,
    next: String,
}

/// Precision and recall over pairs of events.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn idn_2_precision_and_recall(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("identity", None).await?;
    server.open_world().await?;
    let book = Arc::new(Mutex::new(TruthBook::default()));
    let noted = Arc::clone(&book);
    let world = World::new(bench.world(bench.events.min(EVENTS_MAX)));
    let requests = Requests::new(world, &server.write_keys, BATCH_EVENTS, move |event| {
        let mut book = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if !event.duplicate {
            book.evidence.observe(&event.truth);
            book.by_message.insert(event.message_id().to_owned(), event.truth);
        }
    });
    let progress = Arc::new(AtomicU64::new(0));
    send_all(server.address, draw(requests, None, None), CONNECTIONS, &progress).await?;
    server.pipeline_takes_all().await?;
    server.flush().await?;
    let people: Vec<PersonRow> = server.sql("select profile_id from curated.profiles").await?;
    output::note(&format!("identity: reading the events of {} profiles", people.len()));

    let TruthBook {
        evidence,
        mut by_message,
    } = std::mem::take(&mut *book.lock().unwrap_or_else(PoisonError::into_inner));
    let mut scoring = Scoring::new(&evidence);
    let mut connection = Connection::open(server.address).await.map_err(broken)?;
    for person in &people {
        for message in messages_of(&mut connection, &server.admin_key, &person.profile_id).await? {
            if let Some(truth) = by_message.remove(&message) {
                scoring.count(&truth, Some(&person.profile_id));
            }
        }
    }
    // Whoever no profile holds stands alone.
    let unread = by_message.len();
    by_message.values().for_each(|truth| scoring.count(truth, None));
    let score = scoring.score();

    let mut figures = Figures::of("identity");
    figures.against("precision", score.precision, "", Target::AtLeast(0.99));
    figures.against("recall", score.recall, "", Target::AtLeast(0.99));
    figures.add("events scored", figure(score.events), "");
    figures.add("events left out as ambiguous", figure(score.ambiguous), "");
    figures.add("groups by the truth", figure(score.groups as u64), "");
    figures.add("profiles", figure(score.profiles as u64), "");
    figures.add("events that no profile has", figure(unread as u64), "");
    Ok(figures)
}

/// The message ids of a person's events.
async fn messages_of(connection: &mut Connection, api_key: &str, profile: &str) -> Result<Vec<String>, CommandError> {
    let path = format!("/v1/spaces/main/collections/users/profiles/{profile}/events?limit=200");
    let mut messages = Vec::new();
    let mut next = String::new();
    for _ in 0..PAGES_MAX {
        let after = if next.is_empty() {
            String::new()
        } else {
            format!("&next={next}")
        };
        let status = connection
            .ask(&get(&format!("{path}{after}"), api_key))
            .await
            .map_err(broken)?;
        if status != 200 {
            return Err(CommandError::new(format!(
                "reading the events of {profile} was answered {status}"
            )));
        }
        let page: Page = serde_json::from_slice(connection.body())
            .map_err(|error| CommandError::caused("a page of events cannot be read", error))?;
        messages.extend(page.data.into_iter().filter_map(|event| event.message_id));
        if !page.cursor.has_more {
            break;
        }
        next = page.cursor.next;
    }
    Ok(messages)
}
