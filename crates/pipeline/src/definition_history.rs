//! Which definitions were in force when, so that a past instant is answered by those of then (contracts IDN-8, SEG-6).
//!
//! Kept as steps back: each decision that changed documents leaves what it replaced, under its number. So what is in force is
//! read in one piece, and only a question about the past goes back, step by step. A function of the decisions in the log; the
//! oldest steps are forgotten beyond a bound, and then it says from when on it knows.

use crate::definitions::DefinitionSet;
use crate::space::DEFINITIONS;
use crate::{PipelineError, keys};
use kith_state::{Batch, Keyspace, Read};
use kith_types::{SpaceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Decisions of a space that can be gone back over, at most.
pub(crate) const MAX_STEPS: u64 = if cfg!(test) { 12 } else { 10_000 };
/// Bytes of what they replaced, at most. The latest is kept whatever it takes.
const MAX_BYTES: u64 = if cfg!(test) { 64 << 10 } else { 64 << 20 };
/// The named entries that hold the steps, each followed by the number of its decision.
const REPLACED: &str = "definitions_replaced";

/// Keys from the first on, before the second.
type Range = (Vec<u8>, Vec<u8>);

/// How far back a set of definitions can be followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reach {
    /// The number of the first decision whose step is kept.
    first: u64,
    /// Bytes of the steps.
    bytes: u64,
    /// Before this instant, in microseconds, documents are not known; none where all of them are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_from: Option<i64>,
}

/// What one decision replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    /// When it was decided, in microseconds.
    at: i64,
    /// When the decision before it was.
    before: i64,
    /// By kind and name, each document that it changed as it was; null where there was none.
    documents: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// When each changed segment had become what it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    segments: BTreeMap<String, i64>,
}

fn key(space: &SpaceId, version: u64) -> Vec<u8> {
    let mut key = keys::named(space, REPLACED);
    key.push(0);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

fn version_of(key: &[u8]) -> Option<u64> {
    let (_, version) = key.split_last_chunk::<8>()?;
    Some(u64::from_be_bytes(*version))
}

/// Writes down what `after` replaced of `before`, and forgets what is beyond the bounds.
pub(crate) fn decided(
    store: &dyn Read,
    space: &SpaceId,
    before: &DefinitionSet,
    after: &mut DefinitionSet,
    batch: &mut Batch,
) -> Result<(), PipelineError> {
    let bytes =
        serde_json::to_vec(&step(before, after)).map_err(|error| PipelineError::storage("definitions", error))?;
    let fresh = || Reach {
        first: after.version,
        bytes: 0,
        // An earlier release kept no steps.
        known_from: (before.version > 0).then_some(before.decided_at_micros),
    };
    let mut reach = match &before.reach {
        Some(reach) => reach.clone(),
        None => {
            // Steps that are there nevertheless are those of before an earlier release was used for a while.
            forget(store, space, batch)?;
            fresh()
        }
    };
    reach.bytes += bytes.len() as u64;
    while reach.first < after.version && (reach.bytes > MAX_BYTES || after.version - reach.first >= MAX_STEPS) {
        let oldest = key(space, reach.first);
        let stored = store.get(Keyspace::Meta, &oldest)?;
        let stored = stored.ok_or_else(|| PipelineError::corrupt("definitions"))?;
        reach.known_from = Some(read(&stored)?.at);
        reach.bytes = reach.bytes.saturating_sub(stored.len() as u64);
        reach.first += 1;
        batch.remove(Keyspace::Meta, oldest);
    }
    batch.put(Keyspace::Meta, key(space, after.version), bytes);
    after.reach = Some(reach);
    Ok(())
}

fn forget(store: &dyn Read, space: &SpaceId, batch: &mut Batch) -> Result<(), PipelineError> {
    let (from, to) = (key(space, 0), key(space, u64::MAX));
    store.scan(Keyspace::Meta, &from, &to, &mut |key, _| {
        batch.remove(Keyspace::Meta, key.to_vec());
        true
    })?;
    Ok(())
}

fn step(before: &DefinitionSet, after: &DefinitionSet) -> Step {
    let none = BTreeMap::new();
    let (mut documents, mut segments) = (BTreeMap::<_, BTreeMap<_, _>>::new(), BTreeMap::new());
    for kind in before.documents.keys().chain(after.documents.keys()) {
        let (was, is) = (
            before.documents.get(kind).unwrap_or(&none),
            after.documents.get(kind).unwrap_or(&none),
        );
        for name in was
            .keys()
            .chain(is.keys())
            .filter(|name| was.get(*name) != is.get(*name))
        {
            let document = was.get(name).cloned().unwrap_or_default();
            documents
                .entry(kind.clone())
                .or_default()
                .insert(name.clone(), document);
            if kind == "segment"
                && let Some(at) = before.segments_changed_micros.get(name)
            {
                segments.insert(name.clone(), *at);
            }
        }
    }
    Step {
        at: after.decided_at_micros,
        before: before.decided_at_micros,
        documents,
        segments,
    }
}

fn read(bytes: &[u8]) -> Result<Step, PipelineError> {
    serde_json::from_slice(bytes).map_err(|_| PipelineError::corrupt("definitions"))
}

/// The set that is in force.
pub(crate) fn in_force(store: &dyn Read, space: &SpaceId) -> Result<DefinitionSet, PipelineError> {
    match store.get(Keyspace::Meta, &keys::named(space, DEFINITIONS))? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| PipelineError::corrupt("definitions")),
        None => Ok(DefinitionSet::default()),
    }
}

/// A set that was in force at an instant.
#[derive(Debug)]
pub(crate) struct Then {
    pub(crate) set: DefinitionSet,
    /// When another one followed; none where it still is in force.
    pub(crate) until: Option<Timestamp>,
}

/// The set that was in force at an instant, with the vetoes of now.
///
/// # Errors
/// [`crate::PipelineErrorKind::Limit`] where that is not known any more.
pub(crate) fn at(store: &dyn Read, space: &SpaceId, at: Timestamp) -> Result<Then, PipelineError> {
    let mut then = in_force(store, space)?;
    let mut until = None;
    if then.version == 0 || then.decided_at_micros <= at.as_micros() {
        return Ok(Then { set: then, until });
    }
    let known_from = match &then.reach {
        Some(reach) => reach.known_from,
        // Nothing was decided since an earlier release, which kept no steps.
        None => Some(then.decided_at_micros),
    };
    if let Some(from) = known_from.filter(|from| at.as_micros() < *from) {
        let from = Timestamp::from_micros(from);
        return Err(PipelineError::limit(format!(
            "which definitions were in force at {at} is not known, only since {from}: ask as of a later instant"
        )));
    }
    let (first, end) = (key(space, 0), key(space, u64::MAX));
    let mut failed = None;
    store.scan_back(Keyspace::Meta, &first, &end, &mut |key, bytes| match read(bytes) {
        Ok(step) if step.at <= at.as_micros() => false,
        Ok(step) => {
            until = Some(Timestamp::from_micros(step.at));
            undo(&mut then, step, version_of(key).unwrap_or_default());
            true
        }
        Err(error) => {
            failed = Some(error);
            false
        }
    })?;
    match failed {
        Some(failed) => Err(failed),
        None => Ok(Then { set: then, until }),
    }
}

fn undo(set: &mut DefinitionSet, step: Step, version: u64) {
    for (kind, documents) in step.documents {
        let in_force = set.documents.entry(kind.clone()).or_default();
        for (name, document) in documents {
            if kind == "segment" {
                match step.segments.get(&name) {
                    Some(at) => set.segments_changed_micros.insert(name.clone(), *at),
                    None => set.segments_changed_micros.remove(&name),
                };
            }
            match document.is_null() {
                true => in_force.remove(&name),
                false => in_force.insert(name, document),
            };
        }
    }
    set.version = version.saturating_sub(1);
    set.decided_at_micros = step.before;
}

/// The range of the steps that a state keeps; nothing where it keeps none.
pub(crate) fn kept_range(store: &dyn Read, space: &SpaceId) -> Result<Option<Range>, PipelineError> {
    let reach = in_force(store, space)?.reach;
    Ok(reach.map(|reach| (key(space, reach.first), key(space, u64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PipelineErrorKind;
    use crate::tests::{Bench, main_space, performed};
    use kith_state::Store;
    use serde_json::json;

    fn moment(second: i64) -> Timestamp {
        crate::tests::at(second)
    }

    /// The documents that were in force, as they are read from a bench's state.
    fn known(bench: &Bench, second: i64) -> Result<DefinitionSet, PipelineError> {
        at(&*bench.store, &main_space(), moment(second)).map(|then| then.set)
    }

    #[test]
    fn idn_8_definitions_are_known_as_they_stood() {
        let mut bench = Bench::new();
        let orders = |count: u32| performed("Order", count, 60);
        bench.decide(10, &[("segment", "buyers", orders(1)), ("segment", "gone", orders(9))]);
        bench.decide(
            20,
            &[("identity_rules", "main", json!({"types": {"email": {"limit": 2}}}))],
        );
        bench.decide(
            20,
            &[("segment", "buyers", orders(2)), ("segment", "gone", json!(null))],
        );
        bench.commit();
        bench.crash();
        bench.decide(
            30,
            &[("identity_rules", "main", json!(null)), ("segment", "new", orders(3))],
        );
        bench.commit();
        bench.engine.move_all().unwrap();
        let then = |second| {
            let set = known(&bench, second).unwrap();
            let of_kind = |kind: &str| set.documents.get(kind).cloned().unwrap_or_default();
            let (segments, rules) = (of_kind("segment"), of_kind("identity_rules"));
            let names: Vec<_> = segments.keys().cloned().collect();
            let changed = set
                .segments_changed_micros
                .get("buyers")
                .map(|at| Timestamp::from_micros(*at));
            let buyers = segments.get("buyers").cloned();
            (set.version, names.join(" "), buyers, rules.len(), changed)
        };
        let named = |text: &str| text.to_owned();
        assert_eq!(then(9), (0, String::new(), None, 0, None));
        let first = (1, named("buyers gone"), Some(orders(1)), 0, Some(moment(10)));
        assert_eq!((then(10), then(19)), (first.clone(), first));
        let second = (3, named("buyers"), Some(orders(2)), 1, Some(moment(20)));
        assert_eq!((then(20), then(29)), (second.clone(), second));
        assert_eq!(then(30), (4, named("buyers new"), Some(orders(2)), 0, Some(moment(20))));
        assert_eq!(
            known(&bench, 99).unwrap(),
            in_force(&*bench.store, &main_space()).unwrap()
        );
        let mut steps = Vec::new();
        let (from, to) = kept_range(&*bench.store, &main_space()).unwrap().unwrap();
        let mut visit = |_: &[u8], bytes: &[u8]| {
            steps.push(String::from_utf8(bytes.to_vec()).unwrap());
            true
        };
        bench.store.scan(Keyspace::Meta, &from, &to, &mut visit).unwrap();
        assert_eq!(steps, GOLDEN, "as version 1 writes them");
    }

    #[test]
    fn idn_8_definitions_that_are_forgotten_are_refused_and_never_guessed() {
        let mut bench = Bench::new();
        for second in 1..=20 {
            bench.decide(second, &[("segment", "buyers", performed("Order", second as u32, 60))]);
        }
        bench.commit();
        let kept = 20 - MAX_STEPS as i64;
        let refused = known(&bench, kept - 1).unwrap_err();
        assert_eq!(refused.kind(), PipelineErrorKind::Limit, "{refused}");
        for second in kept..=20 {
            let buyers = &known(&bench, second).unwrap().documents["segment"]["buyers"];
            assert_eq!(*buyers, performed("Order", second as u32, 60), "{second}");
        }
        let long: Vec<String> = (0..MAX_BYTES / 8).map(|number| format!("user_id:{number}")).collect();
        for second in 21..=22 {
            let listed = json!({"where": {"listed": long[second as usize..]}});
            bench.decide(second, &[("segment", "buyers", listed)]);
        }
        bench.decide(23, &[("segment", "buyers", performed("Order", 23, 60))]);
        bench.commit();
        assert!(known(&bench, 21).is_err(), "too many bytes");
        assert!(known(&bench, 22).is_ok(), "the last step is kept");
    }

    #[test]
    fn idn_8_what_an_earlier_release_decided_is_known_since_its_last_decision() {
        let mut bench = Bench::new();
        bench.decide(10, &[("segment", "buyers", performed("Order", 1, 60))]);
        bench.decide(20, &[("segment", "buyers", performed("Order", 2, 60))]);
        bench.commit();
        let mut earlier = in_force(&*bench.store, &main_space()).unwrap();
        earlier.reach = None;
        let written = serde_json::to_vec(&earlier).unwrap();
        let mut batch = Batch::default();
        // The first step is still there, as where that release was used again for a while.
        batch.remove(Keyspace::Meta, key(&main_space(), 2));
        batch.put(Keyspace::Meta, keys::named(&main_space(), DEFINITIONS), written);
        bench.store.commit(batch).unwrap();
        bench.crash();
        assert!(kept_range(&*bench.store, &main_space()).unwrap().is_none());
        let buyers = |bench: &Bench, second| {
            let known = known(bench, second).ok()?;
            Some(known.documents["segment"]["buyers"].clone())
        };
        assert_eq!(buyers(&bench, 19), None);
        assert_eq!(buyers(&bench, 20), Some(performed("Order", 2, 60)));
        bench.decide(30, &[("segment", "buyers", performed("Order", 3, 60))]);
        bench.commit();
        assert_eq!(buyers(&bench, 19), None);
        assert_eq!(buyers(&bench, 29), Some(performed("Order", 2, 60)));
        assert_eq!(buyers(&bench, 30), Some(performed("Order", 3, 60)));
        let mut steps = 0;
        let mut count = |_: &[u8], _: &[u8]| {
            steps += 1;
            true
        };
        let (from, to) = (key(&main_space(), 0), key(&main_space(), u64::MAX));
        bench.store.scan(Keyspace::Meta, &from, &to, &mut count).unwrap();
        assert_eq!(steps, 1, "what cannot be followed is gone");
    }

    const GOLDEN: [&str; 4] = [
        r#"{"at":1700000010000000,"before":0,"documents":{"segment":{"buyers":null,"gone":null}}}"#,
        r#"{"at":1700000020000000,"before":1700000010000000,"documents":{"identity_rules":{"main":null}}}"#,
        concat!(
            r#"{"at":1700000020000000,"before":1700000020000000,"documents":{"segment":{"#,
            r#""buyers":{"where":{"performed":{"event":"Order","at_least":1,"within":{"last":"60s"}}}},"#,
            r#""gone":{"where":{"performed":{"event":"Order","at_least":9,"within":{"last":"60s"}}}}}},"#,
            r#""segments":{"buyers":1700000010000000,"gone":1700000010000000}}"#,
        ),
        concat!(
            r#"{"at":1700000030000000,"before":1700000020000000,"documents":{"#,
            r#""identity_rules":{"main":{"types":{"email":{"limit":2}}}},"segment":{"new":null}}}"#,
        ),
    ];
}
