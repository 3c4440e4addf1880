//! What other rules or decisions would make of people, in words: who would split, who would merge, what would only move.

use crate::error::CommandError;
use crate::output;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The server's answer.
#[derive(Deserialize)]
pub(super) struct Outlook {
    events: u64,
    complete: bool,
    profiles_before: u64,
    profiles_after: u64,
    largest_after: u64,
    splits_total: u64,
    splits: Vec<Split>,
    merges_total: u64,
    merges: Vec<Merge>,
    moves_total: u64,
    moves: Vec<Move>,
}

#[derive(Deserialize)]
struct Move {
    identifier: String,
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct Split {
    profile: String,
    into: Vec<Members>,
}

#[derive(Deserialize)]
struct Merge {
    profiles: Vec<String>,
    into: Members,
}

#[derive(Deserialize)]
struct Members {
    profile: String,
    identifiers: Vec<String>,
}

/// Puts it into words.
///
/// # Errors
/// Standard output takes no more.
pub(super) fn show(outlook: &Outlook) -> Result<(), CommandError> {
    let only_moves = outlook.only_moves();
    if only_moves {
        for one in &outlook.moves {
            let identifier = output::shown(&one.identifier);
            output::line(&format!("{identifier} would move from {} to {}.", one.from, one.to))?;
        }
        let more = outlook.moves_total.saturating_sub(outlook.moves.len() as u64);
        if more > 0 {
            output::line(&format!("{more} more would move."))?;
        }
    } else {
        output::line(&format!(
            "{} would split and {} would come from several.",
            counted(outlook.splits_total, "profile"),
            outlook.merges_total
        ))?;
    }
    output::line(&format!(
        "By {}: {} now, {} then; the largest would have {}.",
        counted(outlook.events, "event"),
        counted(outlook.profiles_before, "profile"),
        outlook.profiles_after,
        counted(outlook.largest_after, "identifier")
    ))?;
    if !outlook.complete {
        output::line("There are more events than one comparison looks at; ask around an identifier with --around.")?;
    }
    if only_moves {
        output::line("They would be:")?;
        let people = outlook.splits.iter().flat_map(|split| &split.into);
        let people = people.chain(outlook.merges.iter().map(|merge| &merge.into));
        let people: BTreeMap<&str, &Members> = people.map(|one| (one.profile.as_str(), one)).collect();
        return people.into_values().try_for_each(members);
    }
    for split in &outlook.splits {
        output::line(&format!("{} would split into:", split.profile))?;
        split.into.iter().try_for_each(members)?;
    }
    for merge in &outlook.merges {
        output::line(&format!("{} would merge into:", merge.profiles.join(" and ")))?;
        members(&merge.into)?;
    }
    Ok(())
}

impl Outlook {
    /// Whether nobody comes or goes: identifiers would only move between people who stay.
    fn only_moves(&self) -> bool {
        let stays = |split: &Split| split.into.iter().any(|one| one.profile == split.profile);
        let remains = |merge: &Merge| merge.profiles.contains(&merge.into.profile);
        !self.moves.is_empty()
            && self.profiles_before == self.profiles_after
            && self.splits_total + self.merges_total > 0
            && self.splits.iter().all(stays)
            && self.merges.iter().all(remains)
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn members(members: &Members) -> Result<(), CommandError> {
    let identifiers: Vec<String> = members.identifiers.iter().map(|one| output::shown(one)).collect();
    output::line(&format!("  {}: {}", members.profile, identifiers.join(" ")))
}
