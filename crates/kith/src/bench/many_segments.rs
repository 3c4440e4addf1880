//! The whole path with many definitions: 200 segments and 50 computed traits, of which an event touches some ten.

use super::many_definitions;
use super::report::Figures;
use super::touches::Touches;
use super::whole_path::whole_path;
use super::{Bench, figure};
use crate::error::CommandError;
use crate::output;
use kith_testkit::world::World;

/// Events of a world like the one that is sent, by which it is counted what an event touches.
const COUNTED_EVENTS: u64 = 20_000;

/// End to end with 200 segments and 50 computed traits.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(super) async fn seg_2_many_segments(bench: &Bench) -> Result<Figures, CommandError> {
    let documents = many_definitions::documents();
    let world = bench.world(COUNTED_EVENTS);
    let mut touches = Touches::of(&documents)?;
    let now = world.now;
    touches.take(World::new(world), now);
    output::note(&format!(
        "many-segments: an event touches {:.1} of {} segments and {:.1} of {} computed traits",
        touches.segments(),
        touches.definitions.segments.len(),
        touches.computed_traits(),
        touches.definitions.computed.len(),
    ));
    let mut figures = Figures::of("many-segments");
    let count = |length: usize| figure(length as u64);
    figures.add("segments", count(touches.definitions.segments.len()), "");
    figures.add("computed traits", count(touches.definitions.computed.len()), "");
    figures.add(
        "aggregates kept for them",
        count(touches.definitions.plan.ids().len()),
        "",
    );
    figures.add("segments that an event touches", touches.segments(), "");
    figures.add("computed traits that an event touches", touches.computed_traits(), "");
    figures.add("leaves of segments that count an event", touches.leaves(), "");
    let path = whole_path(bench, "many-segments", documents).await?;
    figures.taken.extend(path.taken);
    Ok(figures)
}
