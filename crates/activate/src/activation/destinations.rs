//! Destinations of audiences as the server runs them: who has a thread, what each thread does, and how each stands. It
//! works with `audience`; messages know nothing of it.

use super::{Activation, Shared, locked};
use crate::audience::{Delivery, DestinationDefinition, DestinationStatus, SegmentChoice, Turn};
use crate::engine::port_error;
use crate::error::{ActivateError, ActivateErrorKind};
use kith_telemetry::{Gauge, error_chain};
use kith_types::{SpaceId, Timestamp};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Activation {
    /// How the destinations of a space stand, by name.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Storage`], [`ActivateErrorKind::Port`].
    pub fn destinations(&self, space: &SpaceId) -> Result<Vec<DestinationStatus>, ActivateError> {
        self.shared.destinations_of(space)
    }
}

impl Shared {
    /// Starts a thread for each destination that has none, and forgets those that are no more. Returns whether there is more
    /// to do at once.
    pub(super) fn look_after_destinations(self: &Arc<Self>) -> Result<bool, ActivateError> {
        let engine = &self.engine;
        let Some(ports) = &engine.ports.audiences else {
            return Ok(false);
        };
        let mut failed = None;
        for space in &engine.ports.outbox.spaces() {
            match ports.audiences.destinations(space) {
                Ok(in_force) => self.look_after(space, &in_force)?,
                Err(error) => failed = Some(port_error("destinations cannot be read", error)),
            }
        }
        if self.destinations.lag_is_due() {
            self.tell_lag()?;
        }
        failed.map_or(Ok(false), Err)
    }

    fn look_after(
        self: &Arc<Self>,
        space: &SpaceId,
        in_force: &[Arc<DestinationDefinition>],
    ) -> Result<(), ActivateError> {
        for (of, name) in self.engine.ledger.destinations()? {
            let is_gone = of == *space && in_force.iter().all(|definition| definition.name() != name);
            if is_gone && !self.destinations.runs(space, &name) {
                self.engine.ledger.disconnect(space, &name)?;
                tracing::info!(%space, destination = name, "a destination was removed and is told nothing more");
            }
        }
        for definition in in_force {
            if !self.destinations.start(space, definition.name()) {
                continue;
            }
            let (shared, of, name) = (Arc::clone(self), space.clone(), definition.name().to_owned());
            let thread = std::thread::Builder::new()
                .name("kith-destination".to_owned())
                .spawn(move || shared.tell(of, name));
            match thread {
                Ok(thread) => {
                    let mut threads = locked(&self.telling);
                    threads.retain(|thread| !thread.is_finished());
                    threads.push(thread);
                }
                Err(error) => {
                    // Its place is free again.
                    drop(self.destinations.hold(space, definition.name()));
                    let message = "the machine starts no more threads";
                    return Err(ActivateError::caused(ActivateErrorKind::Storage, message, error));
                }
            }
        }
        Ok(())
    }

    /// What a destination's thread does until the destination is no more or the server ends.
    fn tell(&self, space: SpaceId, name: String) {
        let running = self.destinations.hold(&space, &name);
        let is_stopping = || self.stopping.load(Ordering::SeqCst);
        let mut delivery = Delivery::new(space, name);
        let mut failing = false;
        while !is_stopping() {
            let seen = *locked(&self.wakes);
            match delivery.turn(&self.engine, &is_stopping) {
                Ok(turn) => {
                    failing = false;
                    running.stands(&delivery);
                    match turn {
                        Turn::Worked => {}
                        Turn::Idle => self.wait(seen),
                        Turn::Gone => break,
                    }
                }
                Err(error) if error.kind() == ActivateErrorKind::Stopped => return,
                Err(error) => {
                    let error = error_chain(&error);
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(error, "telling a destination is tried again");
                    }
                    running.fails(&kith_telemetry::scrub(&error));
                    self.rest();
                }
            }
        }
        drop(running);
        self.wake();
    }

    fn destinations_of(&self, space: &SpaceId) -> Result<Vec<DestinationStatus>, ActivateError> {
        let engine = &self.engine;
        let Some(ports) = &engine.ports.audiences else {
            return Ok(Vec::new());
        };
        let read = |error| port_error("destinations cannot be read", error);
        let end = ports.audiences.next_number(space).map_err(read)?;
        let mut stand = Vec::new();
        for definition in ports.audiences.destinations(space).map_err(read)? {
            let name = definition.name();
            let tally = engine.ledger.tally(space, name)?;
            let is_connected = engine.ledger.destination(space, name)?.is_some();
            let next = if is_connected { tally.next_number } else { end };
            let oldest = engine.ports.outbox.changes_from(space, next).map_err(read)?;
            let oldest = oldest.unwrap_or_default();
            let standing = self.destinations.standing(space, name);
            stand.push(DestinationStatus {
                name: name.to_owned(),
                endpoint: definition.endpoint().to_owned(),
                segments: match definition.segments() {
                    SegmentChoice::All => None,
                    SegmentChoice::Listed(listed) => Some(listed.iter().map(ToString::to_string).collect()),
                },
                sent: tally.sent,
                refused: tally.refused,
                last_refusal: tally.last_refusal,
                nameless: tally.nameless,
                missed: tally.missed,
                members_waiting: tally.members,
                changes_waiting: tally.deciding
                    + end.saturating_sub(next.max(oldest.first().map_or(0, |(first, _)| *first))),
                waiting_since: tally.deciding_since.or(oldest.first().map(|(_, change)| change.at)),
                paused: tally.paused,
                fault: standing.fault,
                retry_at: standing.retry_at,
            });
        }
        Ok(stand)
    }

    /// Sets the figures of how far destinations are behind: of the one that is furthest.
    fn tell_lag(&self) -> Result<(), ActivateError> {
        let (mut waiting, mut oldest) = (0, None::<Timestamp>);
        for space in &self.engine.ports.outbox.spaces() {
            for stands in self.destinations_of(space)? {
                waiting = waiting.max(stands.changes_waiting + stands.members_waiting);
                oldest = match (oldest, stands.waiting_since) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
        }
        let age = oldest.map_or(0, |at| (self.engine.clock.now() - at).as_micros() / 1_000);
        Gauge::AudienceChangesWaiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        Gauge::AudienceLagMillis.set(age.max(0));
        Ok(())
    }
}
