//! The world as batches: its history as fast as the door takes it, then its present at the pace of the clock.
//!
//! Every source sends with its own key. Events go out in the order in which the world sends them, yet over several
//! connections: which arrives first does not matter to what comes out.

use super::door::{Batch, Door, Taken};
use super::truth::TruthBook;
use crate::error::CommandError;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use kith_testkit::world::{SOURCES, SentAt, World, WorldConfig, WorldEvent};
use kith_types::{Clock, Duration, SystemClock, Timestamp};
use std::fmt::Write;
use std::path::PathBuf;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::MissedTickBehavior;

/// Events in a batch, as the SDKs send them, and bytes at most: the door takes 500 KB.
const BATCH_EVENTS: usize = 100;
const BATCH_BYTES: usize = 400_000;
/// Batches that wait to be sent.
const BATCHES_WAITING: usize = 32;
/// The present: events made ahead at a time, and the pause between two of them, by night as by day.
const EVENTS_AHEAD: u64 = 200_000;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(350);

/// Streams the history in, with a progress bar.
///
/// # Errors
/// What the door refuses, or a truth file that cannot be written.
pub(super) async fn history(
    door: &Door,
    world: WorldConfig,
    truth: PathBuf,
) -> Result<(Taken, TruthBook), CommandError> {
    let bar = ProgressBar::new(world.events);
    let line = "  streaming  {bar:40.green}  {human_pos} of {human_len} events  {rate} a second  {eta}";
    if let Ok(style) = ProgressStyle::with_template(line) {
        let rate = |state: &ProgressState, out: &mut dyn Write| {
            // Writing to a terminal's line cannot be mended here.
            let _unshown = write!(out, "{:.0}", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate).progress_chars("━╸─"));
    }
    let (batches, waiting) = channel(BATCHES_WAITING);
    let made = tokio::task::spawn_blocking(move || make(World::new(world), &truth, &batches));
    let sent = door.send_all(waiting, |taken| bar.set_position(taken.sent)).await;
    bar.finish_and_clear();
    let book = made
        .await
        .map_err(|error| CommandError::caused("the world could not be made", error))?;
    // The door's refusal is the cause where both failed.
    Ok((sent?, book?))
}

fn make(world: World, truth: &std::path::Path, batches: &Sender<Batch>) -> Result<TruthBook, CommandError> {
    let mut book = TruthBook::create(truth)?;
    let mut open: Vec<OpenBatch> = SOURCES.iter().map(|source| OpenBatch::new(source)).collect();
    for event in world {
        book.note(&event)?;
        let Some(batch) = open.iter_mut().find(|batch| batch.source == event.source) else {
            continue;
        };
        batch.push(&event);
        if batch.is_full() && batches.blocking_send(batch.take()).is_err() {
            break;
        }
    }
    for mut batch in open {
        // Whoever takes the batches has said why where it takes no more.
        let _over = batch.events > 0 && batches.blocking_send(batch.take()).is_err();
    }
    book.close()?;
    Ok(book)
}

/// A batch that is being filled.
struct OpenBatch {
    source: &'static str,
    body: String,
    events: usize,
}

impl OpenBatch {
    fn new(source: &'static str) -> Self {
        Self {
            source,
            body: String::new(),
            events: 0,
        }
    }

    fn push(&mut self, event: &WorldEvent) {
        self.body.push_str(if self.events == 0 { r#"{"batch":["# } else { "," });
        self.body.push_str(&event.body);
        self.events += 1;
    }

    fn is_full(&self) -> bool {
        self.events >= BATCH_EVENTS || self.body.len() >= BATCH_BYTES
    }

    fn take(&mut self) -> Batch {
        let capacity = self.body.capacity();
        let mut body = std::mem::replace(&mut self.body, String::with_capacity(capacity));
        body.push_str("]}");
        let events = std::mem::take(&mut self.events) as u64;
        Batch {
            source: self.source,
            body,
            events,
        }
    }
}

/// Lets the same people go on living: a few events a second, one at a time, for as long as the demo runs.
pub(super) async fn present(door: Door, history: WorldConfig) {
    let mut pace = tokio::time::interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = 0_u64;
    loop {
        times += 1;
        for event in World::new(present_of(&history, SystemClock.now())) {
            pace.tick().await;
            let id = event.message_id();
            // A history of the same seed uses the same ids: these events are others.
            let body = event.body.replacen(id, &format!("{id}-{times}"), 1);
            let batch = Batch {
                source: event.source,
                body: format!(r#"{{"batch":[{body}]}}"#),
                events: 1,
            };
            if let Err(error) = door.send(batch).await {
                tracing::warn!(error = %error, "the world stands still: its events are not taken");
                return;
            }
        }
    }
}

/// A day from `start` on, of the people of a history. Its events say when they are sent within that day, so that the
/// door takes each as having happened just now, whenever it is sent.
fn present_of(history: &WorldConfig, start: Timestamp) -> WorldConfig {
    let people = history.people();
    let a_person = u32::try_from((EVENTS_AHEAD / people).max(1)).unwrap_or(u32::MAX);
    WorldConfig {
        events: people * u64::from(a_person),
        events_per_person: a_person,
        now: start + Duration::from_days(1),
        days: 1,
        late: 0.0,
        sent_at: SentAt::World,
        ..history.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_event_once_and_are_json() {
        let home = tempfile::tempdir().unwrap();
        let truth = home.path().join("truth.jsonl");
        let world = WorldConfig::new(3, 1_050, Timestamp::from_millis(1_800_000_000_000));
        let (batches, mut waiting) = channel(1_000);
        make(World::new(world), &truth, &batches).unwrap();
        drop(batches);
        let mut events = 0;
        while let Ok(batch) = waiting.try_recv() {
            let body: serde_json::Value = serde_json::from_str(&batch.body).unwrap();
            let held = body["batch"].as_array().unwrap().len();
            assert!(held <= BATCH_EVENTS && held as u64 == batch.events && SOURCES.contains(&batch.source));
            events += held;
        }
        assert_eq!(events, 1_050);
        let lines = std::fs::read_to_string(&truth).unwrap();
        let lines: Vec<_> = lines
            .lines()
            .map(|line| kith_testkit::world::Truth::from_line(line).unwrap().0)
            .collect();
        let distinct: std::collections::BTreeSet<_> = lines.iter().collect();
        assert!(
            distinct.len() == lines.len() && lines.len() < 1_050,
            "copies stand in the truth once"
        );
    }

    #[test]
    fn the_present_has_the_people_of_the_history() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        for events in [1_000, 20_000, 1_000_000, 10_000_000] {
            let history = WorldConfig::new(1, events, now);
            let present = present_of(&history, now);
            assert_eq!(present.people(), history.people());
            assert_eq!(present.start(), now);
        }
        let history = WorldConfig::new(1, 1_000, now);
        let past: String = World::new(history.clone()).map(|event| event.body).collect();
        let again = World::new(present_of(&history, now)).take(50).find_map(|event| {
            let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
            let id = body["anonymousId"].as_str()?.to_owned();
            past.contains(&id).then_some(id)
        });
        assert!(again.is_some(), "nobody of the history came back");
    }
}
