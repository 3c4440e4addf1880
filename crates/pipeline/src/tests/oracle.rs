//! The oracle: everything worked out plainly from all events at once, compared with what the engine keeps.
//!
//! Identity is taken through its resolver in canonical order, parts are folded from their events, memberships asked of
//! the merged fold. It shares with the pipeline only the crates that have oracles of their own.

use super::replay::{live, replay};
use super::worlds::world;
use super::{Bench, at, main_space};
use crate::account_facts::{AccountFacts, AccountsOf};
use crate::history::{self, History};
use crate::person::PersonOf;
use crate::record::ProfileRecord;
use crate::{Definitions, keys};
use kith_identity::{Component, Evidence, PartKey, Position, Presence, PresenceError, PresenceRow, Resolver};
use kith_profile::{AccountFold, Part};
use kith_state::{Keyspace, Read};
use kith_types::{Event, ProfileId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

struct Rows(Vec<Evidence>);

impl Presence for Rows {
    fn rows(
        &self,
        held: u128,
        from: Option<Position>,
        to: Option<Position>,
        visit: &mut dyn FnMut(&PresenceRow) -> bool,
    ) -> Result<(), PresenceError> {
        for seen in &self.0 {
            let within = from.is_none_or(|from| from <= seen.position()) && to.is_none_or(|to| seen.position() < to);
            let found = seen.held().find(|named| named.hash == held);
            if let Some(named) = found.filter(|_| within) {
                let authenticated = seen.signed_in_beside(named);
                let Evidence {
                    time,
                    address,
                    received_at,
                    ..
                } = *seen;
                if !visit(&PresenceRow {
                    time,
                    address,
                    received_at,
                    authenticated,
                }) {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The components of events, taken in canonical order.
fn components(definitions: &Definitions, events: &[Event]) -> Vec<Component> {
    let resolver = Resolver::new(&*definitions.rules, &main_space()).holding_apart(definitions.vetoes.apart());
    let mut rows = Rows(Vec::new());
    let mut components: Vec<Component> = Vec::new();
    for event in events {
        let evidence = definitions.read(event);
        rows.0.push(evidence.clone());
        let named: BTreeSet<u128> = evidence.identifiers.iter().map(|named| named.hash).collect();
        let (touched, rest): (Vec<_>, Vec<_>) = components
            .into_iter()
            .partition(|component| component.hashes().any(|hash| named.contains(&hash)));
        components = rest;
        if let Some(applied) = resolver.apply(touched, &evidence, &rows).unwrap() {
            components.push(applied.component);
            components.extend(applied.apart);
        }
    }
    components
}

/// A row: one of history as it would be without a vocabulary, since when that comes depends on when steps are committed.
pub(super) fn as_said(history: &History<'_>, keyspace: Keyspace, key: &[u8], value: &[u8]) -> Vec<u8> {
    match keyspace {
        Keyspace::Events => history::row_without_numbers(&history.event(key, value).unwrap()),
        _ => value.to_vec(),
    }
}

/// The rows of a tree, as [`as_said`] has them.
pub(crate) fn tree(store: &dyn Read, keyspace: Keyspace) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let space = main_space();
    let history = History::of(store, &space);
    let from = keys::space(&space);
    let to = kith_state::prefix_end(&from).unwrap();
    let mut found = BTreeMap::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.insert(key.to_vec(), as_said(&history, keyspace, key, value));
        true
    };
    store.scan(keyspace, &from, &to, &mut visit).unwrap();
    found
}

/// What segments ask of the accounts that some events name, of which all events tell.
pub(super) fn accounts_of<'a>(
    definitions: &Definitions,
    all: &[Event],
    theirs: impl Iterator<Item = &'a Event>,
) -> Vec<Arc<AccountFacts>> {
    let Some(asked) = &definitions.accounts else {
        return Vec::new();
    };
    let named: BTreeSet<&str> = theirs.filter_map(|event| event.group_id.as_deref()).collect();
    let facts = named.into_iter().map(|group_id| {
        let mut fold = AccountFold::new(group_id);
        let naming = all.iter().filter(|event| event.group_id.as_deref() == Some(group_id));
        naming.for_each(|event| fold.apply(event));
        Arc::new(AccountFacts::of(&fold, asked, &definitions.trait_rules))
    });
    facts.collect()
}

/// Compares everything that a bench holds at `now` with a plain recomputation.
pub(super) fn check(bench: &Bench, now: Timestamp, what: &str) {
    let definitions = bench.engine.definitions(&main_space()).unwrap();
    let mut events = bench.events();
    events.sort_by_key(Event::canonical_order);
    let components = components(&definitions, &events);
    let expected: BTreeMap<_, _> = components
        .iter()
        .map(|one| (keys::wide(&main_space(), one.id().0), one.encode()))
        .collect();
    let stored = tree(&*bench.store, Keyspace::Components);
    assert_eq!(stored, expected, "{what}: components");

    let mut parts: BTreeMap<ProfileId, BTreeMap<PartKey, Part>> = BTreeMap::new();
    for id in components
        .iter()
        .flat_map(Component::profiles)
        .map(|profile| profile.id)
    {
        parts.entry(id).or_default();
    }
    for event in &events {
        let evidence = definitions.rules.read(event);
        let Some(carrier) = evidence.carrier() else { continue };
        let place = components
            .iter()
            .find_map(|component| component.place(carrier.hash, evidence.position()))
            .unwrap();
        let part = parts.get_mut(&place.profile).unwrap().entry(place.part).or_default();
        part.apply(&definitions.plan, event);
    }
    let mut stored_parts = tree(&*bench.store, Keyspace::Parts);
    let mut members = BTreeSet::new();
    let mut people = BTreeSet::new();
    let stored_people = tree(&*bench.store, Keyspace::Profiles);
    for (id, mut parts) in parts {
        let key = keys::wide(&main_space(), id.0);
        let record = ProfileRecord::decode(stored_people.get(&key).unwrap()).unwrap();
        people.insert(key);
        for (key, part) in &mut parts {
            part.prune(now);
            let stored = stored_parts.remove(&keys::part(&main_space(), key)).unwrap_or_default();
            let plans = crate::plans::load(&*bench.store, &main_space()).unwrap();
            let mut stored = Part::decode_with(&stored, &plans).unwrap();
            stored.retain(&definitions.plan);
            stored.prune(now);
            let bytes = |part: &Part| {
                let mut bytes = Vec::new();
                part.encode(&mut bytes);
                bytes
            };
            assert_eq!(bytes(&stored), bytes(part), "{what}: part {key:?} of {id}");
        }
        let whole = Part::merged(parts.values());
        let theirs = events.iter().filter(|event| {
            let evidence = definitions.rules.read(event);
            let place = evidence.carrier().and_then(|carrier| {
                let mut places = components.iter();
                places.find_map(|component| component.place(carrier.hash, evidence.position()))
            });
            place.is_some_and(|place| place.profile == id)
        });
        let accounts = accounts_of(&definitions, &events, theirs);
        let members_of = components.iter().flat_map(|component| component.members_of(id));
        let carriers: Vec<u128> = members_of.map(|member| member.part.carrier).collect();
        let person = PersonOf {
            id,
            view: whole.view(&definitions.plan, &definitions.trait_rules),
            carriers: &carriers,
            accounts: AccountsOf::new(definitions.accounts.as_ref(), &accounts),
            identity_limited: false,
        };
        let mut next = None;
        for segment in &definitions.segments {
            let evaluation = segment.compiled.evaluate(&person, now);
            next = [next, evaluation.next_transition].into_iter().flatten().min();
            assert_eq!(
                evaluation.member,
                record.membership(&segment.name).is_some(),
                "{what}: {} {id}",
                segment.name
            );
            if evaluation.member {
                members.insert(keys::member(&main_space(), segment.name.as_str(), id));
            }
        }

        assert!(record.due == next, "{what}: {:?} {next:?}", record.due);
    }
    assert_eq!(stored_parts.len(), 0, "{what}: parts of nobody");
    assert_eq!(
        stored_people.into_keys().collect::<BTreeSet<_>>(),
        people,
        "{what}: people"
    );
    assert_eq!(
        tree(&*bench.store, Keyspace::Members)
            .into_keys()
            .collect::<BTreeSet<_>>(),
        members,
        "{what}"
    );
    assert!(
        tree(&*bench.store, Keyspace::AccountChanges).is_empty(),
        "{what}: changes of accounts on their way"
    );
    let count: u64 = bench.engine.spaces().map(|(_, count, _)| count).sum();
    assert_eq!(count, people.len() as u64, "{what}: the count of people");
}

/// Everything that does not say since when somebody is a member, or by how many decisions.
pub(super) fn people(bench: &Bench, now: Timestamp) -> Vec<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut all: Vec<_> = [
        Keyspace::Components,
        Keyspace::Identifiers,
        Keyspace::Events,
        Keyspace::Presence,
        Keyspace::Due,
        Keyspace::AccountLinks,
        Keyspace::Accounts,
    ]
    .iter()
    .map(|keyspace| tree(&*bench.store, *keyspace))
    .collect();
    let plan = &bench.engine.definitions(&main_space()).unwrap().plan;
    let plans = crate::plans::load(&*bench.store, &main_space()).unwrap();
    let mut parts = tree(&*bench.store, Keyspace::Parts);
    for bytes in parts.values_mut() {
        let mut part = crate::plans::decode(bytes, &plans).unwrap().unwrap();
        part.retain(plan);
        part.prune(now);
        bytes.clear();
        part.encode(bytes);
    }
    let mut profiles = tree(&*bench.store, Keyspace::Profiles);
    for bytes in profiles.values_mut() {
        let mut record = ProfileRecord::decode(bytes).unwrap();
        record.version = 0;
        record
            .memberships
            .iter_mut()
            .for_each(|held| (held.since, held.cause) = (now, None));
        *bytes = record.encode();
    }
    let mut members = tree(&*bench.store, Keyspace::Members);
    members.values_mut().for_each(Vec::clear);
    all.extend([parts, profiles, members]);
    all
}

#[test]
fn a_plain_recomputation_finds_the_same_people_and_segments() {
    for seed in 1_000..1_120 {
        let world = world(seed, 60, seed % 2 == 0);
        let now = at(world.end + (seed as i64 % 40));
        // A timer that is due at the very instant has not fired yet: the moment after is asked for.
        let just_after = now + kith_types::Duration::from_micros(1);
        let mut bench = if seed % 4 == 0 {
            replay(&world, now)
        } else {
            live(&world, seed, now)
        };
        if bench.lost {
            continue;
        }
        bench.settle(just_after);
        check(&bench, just_after, &format!("seed {seed}"));
    }
}
