//! How large live state is: the rows of a stopped server, by tree, for each person and for each event of history.
//!
//! Sizes are those of keys and values as they are encoded. What the trees make of them on disk, with their indexes, their
//! journal and what waits to be merged, is told as one figure beside them. It reads state through its trait alone.

use super::machine;
use super::report::{Figures, Target};
use super::server::demo_definitions;
use super::touches::{Touches, cleaned};
use super::whole_path::load_world;
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use kith_state::{FjallStore, Keyspace, Read};
use kith_testkit::world::World;
use kith_types::{Event, Timestamp};
use std::collections::BTreeMap;

const CACHE_BYTES: u64 = 64 << 20;
/// What a person may take, and what an event that a window still needs may add.
const PERSON_BYTES_MAX: f64 = 1_024.0;
const NEEDED_EVENT_BYTES_MAX: f64 = 64.0;
/// Past every key: none begins with bytes like these.
const END: [u8; 64] = [255; 64];

/// What a tree is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Who people are and what is true of them.
    People,
    /// Every event once, and who stood beside held identifiers.
    History,
    /// Which events came already.
    Copies,
    /// Accounts and who belongs to them.
    Accounts,
    /// What others have still to take, definitions and counters.
    Passing,
}

fn purpose(keyspace: Keyspace) -> Purpose {
    match keyspace {
        Keyspace::Components
        | Keyspace::Identifiers
        | Keyspace::Parts
        | Keyspace::Profiles
        | Keyspace::Redirects
        | Keyspace::Due
        | Keyspace::Members => Purpose::People,
        Keyspace::Events | Keyspace::Presence => Purpose::History,
        Keyspace::Dedupe | Keyspace::Duplicates => Purpose::Copies,
        Keyspace::Accounts | Keyspace::AccountLinks => Purpose::Accounts,
        // The outbox, definitions, counters, and what is under way.
        _ => Purpose::Passing,
    }
}

/// The rows of a tree.
#[derive(Clone, Copy, Default)]
struct Tree {
    rows: u64,
    bytes: u64,
}

/// Live state of the demonstration world.
///
/// # Errors
/// A server that does not start, refuses what it is sent or does not stop, or state that cannot be read.
pub(super) async fn pro_5_live_state(bench: &Bench) -> Result<Figures, CommandError> {
    let mut server = bench.server("state-size", None).await?;
    server.open_world().await?;
    let world = bench.world(bench.events);
    load_world(&server, world.clone()).await?;
    server.flush().await?;
    output::note("state-size: stopping the server and reading its state");
    let folder = server.stop().await?.join("state");
    let on_disk = machine::disk(&folder);
    let trees = tokio::task::spawn_blocking(move || sizes(&folder))
        .await
        .map_err(|error| CommandError::caused("reading the state ended", error))??;
    let touches = Touches::of(&demo_definitions()?)?;
    let now = world.now;
    let (mut events, mut needed) = (0, 0);
    cleaned(World::new(world), now, &mut |event| {
        events += 1;
        needed += u64::from(is_needed(&touches, event, now));
    });
    Ok(told(&trees, on_disk, events, needed))
}

/// Whether a window that moves with time still counts the event at `now` or may come to count it.
fn is_needed(touches: &Touches, event: &Event, now: Timestamp) -> bool {
    let plan = &touches.definitions.plan;
    let specs = plan.ids().iter().filter_map(|id| plan.spec(*id));
    let mut moving = specs.filter(|spec| spec.window.slides());
    moving.any(|spec| spec.matches(event) && spec.window.ceases(event.event_time).is_some_and(|end| end > now))
}

fn sizes(folder: &std::path::Path) -> Result<BTreeMap<Keyspace, Tree>, CommandError> {
    let failed = |error| CommandError::caused("the state of the measured server cannot be read", error);
    let store = FjallStore::open(folder, CACHE_BYTES).map_err(failed)?;
    let mut trees = BTreeMap::new();
    for keyspace in Keyspace::ALL {
        let mut tree = Tree::default();
        let mut take = |key: &[u8], value: &[u8]| {
            tree.rows += 1;
            tree.bytes += (key.len() + value.len()) as u64;
            true
        };
        store.scan(keyspace, &[], &END, &mut take).map_err(failed)?;
        trees.insert(keyspace, tree);
    }
    Ok(trees)
}

fn told(trees: &BTreeMap<Keyspace, Tree>, on_disk: f64, events: u64, needed: u64) -> Figures {
    let people = trees.get(&Keyspace::Profiles).map_or(0, |tree| tree.rows).max(1);
    let of_purpose = |wanted: Purpose| {
        let found = trees.iter().filter(|(keyspace, _)| purpose(**keyspace) == wanted);
        figure(found.map(|(_, tree)| tree.bytes).sum())
    };
    let of_person = |bytes: f64| bytes / figure(people);
    let of_event = |bytes: f64| bytes / figure(events.max(1));
    let allowed = PERSON_BYTES_MAX + NEEDED_EVENT_BYTES_MAX * figure(needed) / figure(people);
    let (live, history) = (of_purpose(Purpose::People), of_purpose(Purpose::History));

    let mut figures = Figures::of("state-size");
    figures.add("people", figure(people), "");
    figures.add("events of history", figure(events), "");
    figures.add("of them needed by a window", figure(needed), "");
    figures.against(
        "a person without history",
        of_person(live),
        "bytes",
        Target::Below(allowed),
    );
    figures.add("an event of history", of_event(history), "bytes");
    figures.against(
        "a person with their history",
        of_person(live + history),
        "bytes",
        Target::Below(allowed),
    );
    figures.add(
        "keys of events that came",
        of_event(of_purpose(Purpose::Copies)),
        "bytes an event",
    );
    figures.add("accounts", of_person(of_purpose(Purpose::Accounts)), "bytes a person");
    figures.add("in passing", of_person(of_purpose(Purpose::Passing)), "bytes a person");
    for (keyspace, tree) in trees.iter().filter(|(_, tree)| tree.rows > 0) {
        figures.add(keyspace.as_str(), of_person(figure(tree.bytes)), "bytes a person");
    }
    figures.add("on disk", of_person(on_disk * 1_048_576.0), "bytes a person");
    figures.add("on disk in all", on_disk, "MiB");
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_may_take_more_where_windows_need_events() {
        let tree = |rows, bytes| Tree { rows, bytes };
        let trees = BTreeMap::from([
            (Keyspace::Profiles, tree(10, 10_500)),
            (Keyspace::Events, tree(100, 40_000)),
        ]);
        let reached = |needed| told(&trees, 1.0, 100, needed).reached("a person without history");
        assert_eq!(reached(0), Some(false), "1,050 bytes a person");
        assert_eq!(reached(10), Some(true));
    }
}
