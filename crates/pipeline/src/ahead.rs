//! Looks people up ahead of a sweep, on another thread, so that what the sweep asks the store for is in memory when it asks.
//!
//! Looking up takes about half of a sweep, and the pipeline's thread alone would leave other cores idle meanwhile. Nothing is
//! made of what is looked up, and nothing depends on it: it is asked of the store again by whoever loads the person.

use crate::keys;
use crate::record::ProfileRecord;
use kith_identity::Outline;
use kith_state::{Keyspace, Read, StateError};
use kith_types::SpaceId;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many people it leaves to the sweep, which begins at the same time.
const LEFT_TO_IT: usize = if cfg!(test) { 1 } else { 48 };

/// Does some work while these people are looked up on another thread, where there is a core for it.
pub(crate) fn meanwhile<T>(store: &dyn Read, space: &SpaceId, people: &[u128], work: impl FnOnce() -> T) -> T {
    let several = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let ahead = people.get(LEFT_TO_IT..).filter(|ahead| several && !ahead.is_empty());
    let Some(ahead) = ahead else {
        return work();
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = || {
            let mut outline = Outline::default();
            for id in ahead {
                // What cannot be read now is told to who loads the person.
                if done.load(Ordering::Relaxed) || look_up(store, space, *id, &mut outline).is_err() {
                    return;
                }
            }
        };
        // Without another thread the sweep looks everybody up itself, as it can.
        let started = std::thread::Builder::new()
            .name("kith-ahead".to_owned())
            .spawn_scoped(scope, looking);
        let worked = work();
        done.store(true, Ordering::Relaxed);
        if let Ok(started) = started {
            // A panic of it is its own: the sweep does not need it.
            let _ = started.join();
        }
        worked
    })
}

/// Asks for what loading somebody asks for. The store keeps it in memory for a while.
fn look_up(store: &dyn Read, space: &SpaceId, id: u128, outline: &mut Outline) -> Result<(), StateError> {
    let record = store.get(Keyspace::Profiles, &keys::wide(space, id))?;
    let Some(record) = record.and_then(|bytes| ProfileRecord::decode(&bytes)) else {
        return Ok(());
    };
    let home = store.get(Keyspace::Identifiers, &keys::wide(space, record.founder))?;
    let Some(home) = home.and_then(|bytes| bytes.try_into().ok()).map(u128::from_be_bytes) else {
        return Ok(());
    };
    let component = store.get(Keyspace::Components, &keys::wide(space, home))?;
    if component.is_none_or(|bytes| outline.read(&bytes).is_err()) {
        return Ok(());
    }
    for (_, parts) in outline.profiles().filter(|(profile, _)| profile.0 == id) {
        for part in parts {
            store.get(Keyspace::Parts, &keys::part(space, &part.key))?;
        }
    }
    Ok(())
}
