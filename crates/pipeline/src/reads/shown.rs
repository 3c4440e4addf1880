//! A loaded person as readers see one, at an instant.

use super::Loaded;
use crate::account_facts::AccountsOf;
use crate::definitions::{Definitions, LiveSegment};
use crate::document::{IdentifierView, LEFT_OUT_MAX, MembershipView, PersonDocument, TraitView};
use crate::person::PersonOf;
use kith_identity::Member;
use kith_profile::{Part, Resolved};
use kith_segment::CauseKind;
use kith_types::{ProfileId, SegmentName, Timestamp};
use std::collections::BTreeSet;

pub(super) fn document(
    loaded: &Loaded,
    asked: Option<ProfileId>,
    definitions: &Definitions,
    now: Timestamp,
) -> PersonDocument {
    let whole = &loaded.whole;
    // Answers are exact from the fold's horizon on; a clock that was set back does not go behind it.
    let now = now.max(whole.horizon());
    let carriers = loaded.carriers();
    let person = PersonOf {
        id: loaded.id,
        view: whole.view(&definitions.plan, &definitions.trait_rules),
        carriers: &carriers,
        accounts: AccountsOf::new(definitions.accounts.as_ref(), &loaded.accounts),
        identity_limited: loaded.component.is_full(),
    };
    // Where traits were left out any of them may be one that a segment asks for.
    let to_ask: Vec<&LiveSegment> = match whole.traits_limited() {
        true => definitions.segments.iter().collect(),
        false => {
            let places = definitions.to_ask_of(whole).into_iter();
            places.map(|place| &definitions.segments[place]).collect()
        }
    };
    let limited: Vec<SegmentName> = to_ask
        .iter()
        .filter(|segment| segment.compiled.is_approximate(&person, now))
        .map(|segment| segment.name.clone())
        .collect();
    let left_out = loaded.component.parked();
    let left_out = left_out.filter(|parked| carriers.contains(&parked.identifier.hash128()));
    let left_out: BTreeSet<_> = left_out
        .map(|parked| (parked.identifier, parked.because.to_string()))
        .collect();
    PersonDocument {
        id: loaded.id,
        redirected_from: asked,
        identifiers: loaded
            .members
            .iter()
            .zip(&loaded.parts)
            .map(|(member, part)| identifier(member, part))
            .collect(),
        left_out: left_out.into_iter().take(LEFT_OUT_MAX).collect(),
        identity_limited: loaded.component.is_full(),
        traits: whole.resolved_traits(&definitions.trait_rules).map(shown).collect(),
        computed: definitions
            .computed
            .iter()
            .map(|computed| {
                let value = whole.aggregate(&definitions.plan, computed.aggregate, now);
                (computed.name.clone(), value, whole.approximate(computed.aggregate, now))
            })
            .collect(),
        consents: whole
            .consents()
            .map(|consent| (consent.category.to_owned(), consent.granted, consent.time))
            .collect(),
        accounts: Vec::new(),
        accounts_limited: false,
        segments: to_ask
            .iter()
            .filter(|segment| segment.compiled.is_member(&person, now))
            .map(|segment| MembershipView {
                approximate: limited.contains(&segment.name),
                ..membership(loaded, definitions, segment)
            })
            .collect(),
        segments_limited: limited,
        event_count: whole.event_count(),
        first_seen: whole.first_seen(),
        last_seen: whole.last_seen(),
        traits_limited: whole.traits_limited(),
    }
}

/// A membership that holds, as it is kept; who is let in and not kept yet is so by a definition that is on its way, by time,
/// or by what was said of an account of theirs.
fn membership(loaded: &Loaded, definitions: &Definitions, segment: &LiveSegment) -> MembershipView {
    let kept = loaded.record.membership(&segment.name);
    let on_its_way = match loaded.record.version < definitions.version {
        true => Some(CauseKind::Definition),
        false if segment.compiled.account_traits().is_empty() => Some(CauseKind::Clock),
        false => None,
    };
    MembershipView {
        segment: segment.name.clone(),
        since: kept.map(|held| held.since),
        cause: kept.map_or(on_its_way, |held| held.cause),
        approximate: false,
    }
}

/// A trait as readers see it: what survives, and what does not.
pub(super) fn shown((name, resolved): (&str, Resolved<'_>)) -> TraitView {
    let losers = resolved.losers.iter();
    TraitView {
        name: name.to_owned(),
        value: resolved.value.clone(),
        source: resolved.source.clone(),
        time: resolved.time,
        approximate: resolved.approximate,
        losers: losers
            .map(|lost| (lost.value.clone(), lost.source.clone(), lost.time))
            .collect(),
    }
}

fn identifier(member: &Member, part: &Part) -> IdentifierView {
    IdentifierView {
        identifier: member.identifier.clone(),
        first_seen: member.first.time,
        last_seen: part.last_seen(),
        from: member.part.start.map(|(time, _)| time),
        to: member.end.map(|(time, _)| time),
    }
}
