//! What two people share without being one: identifiers that each of them held for a while, such as a tablet on which both
//! sign in (contract IDN-9).

use super::why::Lookup;
use crate::PipelineError;
use crate::new_rules::LISTED_MAX;
use kith_identity::Member;
use kith_types::{Identifier, ProfileId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The turns of a held identifier, in order, each with who held it.
type Turns = Vec<(Member, ProfileId)>;

/// What two profiles of a component share, in JSON as people read it: each identifier with its turns, of others in between too, and the
/// event by which each begins. Nothing where it is one profile.
pub(super) fn shared(events: &Lookup<'_>, one: ProfileId, other: ProfileId) -> Result<Vec<Value>, PipelineError> {
    if one == other {
        return Ok(Vec::new());
    }
    let mut turns: BTreeMap<Identifier, Turns> = BTreeMap::new();
    for profile in events.component.profiles() {
        for member in profile.members.into_iter().filter(|member| member.held) {
            let of = turns.entry(member.identifier.clone()).or_default();
            of.push((member, profile.id));
        }
    }
    let mut told = Vec::new();
    for (identifier, mut turns) in turns {
        let holders: BTreeSet<ProfileId> = turns.iter().map(|(_, profile)| *profile).collect();
        if !holders.contains(&one) || !holders.contains(&other) {
            continue;
        }
        turns.sort_by_key(|(member, _)| member.part.start);
        let total = turns.len();
        let mut shown = Vec::new();
        for (member, profile) in turns.into_iter().take(LISTED_MAX) {
            let mut turn = json!({"profile": profile.to_string()});
            if let Some(start) = member.part.start {
                turn["from"] = json!(start.0.to_string());
                turn["event"] = events.event(start, &[&identifier])?;
            }
            if let Some((to, _)) = member.end {
                turn["to"] = json!(to.to_string());
            }
            shown.push(turn);
        }
        told.push(json!({"identifier": identifier.to_string(), "turns_total": total, "turns": shown}));
        if told.len() == LISTED_MAX {
            break;
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use crate::reads::tests::reads_of;
    use crate::tests::{Bench, at, event, main_space};
    use serde_json::json;

    #[test]
    fn idn_7_why_names_the_device_that_two_people_share_and_whose_it_was_when() {
        let mut bench = Bench::new();
        let seen = |identifiers: &str, second| event(identifiers, "Seen", second, json!({}));
        bench.take(1, &[seen("user_id:ann anonymous_id:tablet", 1)]);
        bench.take(2, &[seen("user_id:bo anonymous_id:tablet", 2)]);
        bench.take(3, &[seen("user_id:cy anonymous_id:tablet", 3)]);
        bench.take(4, &[seen("user_id:ann anonymous_id:tablet", 4)]);
        bench.take(5, &[seen("user_id:dee email:d@x.org", 5), seen("user_id:bo", 5)]);
        bench.commit();
        let why = |one: &str, other: &str| {
            let why = reads_of(&bench).why(&main_space(), one, other).unwrap().unwrap();
            why["shared"].as_array().unwrap().clone()
        };
        let shared = why("user_id:ann", "user_id:bo");
        assert_eq!(shared.len(), 1);
        assert_eq!(shared[0]["identifier"], "anonymous_id:tablet");
        let holder = |name: &str| {
            reads_of(&bench)
                .resolve(&main_space(), name)
                .unwrap()
                .unwrap()
                .to_string()
        };
        let turns: Vec<_> = shared[0]["turns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|turn| {
                let text = |field: &str| turn[field].as_str().map(str::to_owned);
                (
                    text("profile").unwrap(),
                    text("from"),
                    text("to"),
                    turn["event"]["address"].as_str().map(str::to_owned),
                )
            })
            .collect();
        let moment = |second: i64| Some(at(second).to_string());
        let event = |address: &str| Some(address.to_owned());
        assert_eq!(
            turns,
            [
                (holder("user_id:ann"), None, moment(2), None),
                (holder("user_id:bo"), moment(2), moment(3), event("1-0-1-0")),
                (holder("user_id:cy"), moment(3), moment(4), event("1-0-2-0")),
                (holder("user_id:ann"), moment(4), None, event("1-0-3-0")),
            ]
        );
        assert!(why("user_id:ann", "anonymous_id:tablet").is_empty(), "one person");
        assert!(why("user_id:ann", "user_id:dee").is_empty(), "nothing connects them");
    }
}
