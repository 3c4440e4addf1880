//! What would become of who is who, as JSON: of everything, and of as much as one question looks at.

use crate::new_rules::{LISTED_MAX, Rearranged};
use kith_identity::{Member, Merge, Move, Outlook, ProfileMembers, Split};
use kith_types::Identifier;
use serde_json::{Value, json};

impl Rearranged {
    /// The answer as a JSON object: every count is exact.
    #[must_use]
    pub fn to_document(&self) -> Value {
        let mut document = lists(&self.splits, &self.merges, &self.moves);
        let counts = [
            ("events", self.events),
            ("profiles_before", self.profiles_before),
            ("profiles_after", self.profiles_after),
            ("largest_after", self.largest_after),
            ("bounded_before", self.bounded_before),
            ("bounded_after", self.bounded_after),
            ("splits_total", self.splits_total),
            ("merges_total", self.merges_total),
            ("moves_total", self.moves_total),
            ("renamed_total", self.renamed_total),
            ("blocked_total", self.blocked_total),
            ("unblocked_total", self.unblocked_total),
        ];
        for (name, count) in counts {
            document[name] = json!(count);
        }
        let renamed = self.renamed.iter().map(|(from, into)| {
            let mut one = profile(into);
            one["from"] = json!(from.to_string());
            one["to"] = one["profile"].take();
            if let Some(fields) = one.as_object_mut() {
                fields.remove("profile");
            }
            one
        });
        document["renamed"] = renamed.collect();
        let named = |list: &[Identifier]| list.iter().map(|one| Value::from(one.to_string())).collect();
        document["blocked"] = named(&self.blocked);
        document["unblocked"] = named(&self.unblocked);
        document["complete"] = json!(true);
        document
    }
}

/// The answer about some events.
pub(super) fn of_outlook(outlook: &Outlook, complete: bool) -> Value {
    let mut document = lists(&outlook.splits, &outlook.merges, &outlook.moves);
    let counts = [
        ("events", outlook.events),
        ("profiles_before", outlook.profiles_before),
        ("profiles_after", outlook.profiles_after),
        ("largest_after", outlook.largest_after),
        ("refused", outlook.refused),
        ("splits_total", outlook.splits.len() as u64),
        ("merges_total", outlook.merges.len() as u64),
        ("moves_total", outlook.moves.len() as u64),
    ];
    for (name, count) in counts {
        document[name] = json!(count);
    }
    document["complete"] = json!(complete);
    document
}

fn lists(splits: &[Split], merges: &[Merge], moves: &[Move]) -> Value {
    let splits = splits.iter().take(LISTED_MAX).map(|split| {
        let into: Vec<Value> = split.into.iter().take(LISTED_MAX).map(profile).collect();
        json!({"profile": split.profile.to_string(), "into": into})
    });
    let merges = merges.iter().take(LISTED_MAX).map(|merge| {
        let profiles = merge.profiles.iter().take(LISTED_MAX).map(ToString::to_string);
        json!({"profiles": profiles.collect::<Vec<_>>(), "into": profile(&merge.into)})
    });
    let moves = moves.iter().take(LISTED_MAX).map(
        |one| json!({"identifier": one.identifier.to_string(), "from": one.from.to_string(), "to": one.to.to_string()}),
    );
    json!({
        "splits": splits.collect::<Vec<_>>(),
        "merges": merges.collect::<Vec<_>>(),
        "moves": moves.collect::<Vec<_>>(),
    })
}

fn profile(profile: &ProfileMembers) -> Value {
    let shown = Member::identifiers(&profile.members).take(LISTED_MAX);
    let identifiers: Vec<String> = shown.map(ToString::to_string).collect();
    json!({"profile": profile.id.to_string(), "identifiers": identifiers, "identifiers_total": profile.size()})
}
