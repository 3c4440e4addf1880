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
    /// Profiles at a bound of identity; only where everybody concerned was looked at.
    #[serde(default)]
    bounded_before: u64,
    #[serde(default)]
    bounded_after: Option<u64>,
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
        "{} now, {} then; the largest would have {}.",
        counted(outlook.profiles_before, "profile"),
        outlook.profiles_after,
        counted(outlook.largest_after, "identifier")
    ))?;
    outlook.show_what_was_looked_at()?;
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

/// Puts the counts and the first of each list into words, beside what would become of segments.
///
/// # Errors
/// As [`show`].
pub(super) fn show_some(outlook: &Outlook, shown: usize) -> Result<(), CommandError> {
    output::line(&format!(
        "who is who: {} now, {} then; {} would split, {} would come from several, {} would move",
        counted(outlook.profiles_before, "profile"),
        outlook.profiles_after,
        outlook.splits_total,
        outlook.merges_total,
        counted(outlook.moves_total, "identifier"),
    ))?;
    if let Some(bounded) = outlook.bounded_after.filter(|after| *after > outlook.bounded_before) {
        let before = outlook.bounded_before;
        output::line(&format!(
            "    of whom {bounded} would be at a bound of identity; {before} are now"
        ))?;
    }
    let list = |what: &str, lines: Vec<String>| {
        if lines.is_empty() {
            return Ok(());
        }
        output::line(&format!("    {what}, among others:"))?;
        lines.iter().try_for_each(|line| output::line(&format!("      {line}")))
    };
    let splits = outlook.splits.iter().take(shown);
    let splits = splits.map(|split| format!("{} into {}", split.profile, joined(split.into.iter().map(named))));
    list("split", splits.collect())?;
    let merges = outlook.merges.iter().take(shown);
    let merges = merges.map(|merge| {
        let from = joined(merge.profiles.iter().cloned());
        format!("{from} into {}", named(&merge.into))
    });
    list("merge", merges.collect())
}

impl Outlook {
    fn show_what_was_looked_at(&self) -> Result<(), CommandError> {
        let events = counted(self.events, "event");
        let Some(bounded) = self.bounded_after else {
            output::line(&format!("That is by {events} around it."))?;
            return match self.complete {
                true => Ok(()),
                false => output::line(
                    "There are more events around it than one comparison looks at; without --around all are.",
                ),
            };
        };
        if bounded > self.bounded_before {
            let before = self.bounded_before;
            output::line(&format!(
                "{} would be at a bound of identity; {before} are now.",
                counted(bounded, "profile")
            ))?;
        }
        match self.events {
            0 => output::line("Every event says what it said."),
            _ => output::line(&format!("{events} would be placed anew.")),
        }
    }

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

fn named(members: &Members) -> String {
    let identifiers: Vec<String> = members.identifiers.iter().map(|one| output::shown(one)).collect();
    format!("{} ({})", members.profile, identifiers.join(" "))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" and ")
}
