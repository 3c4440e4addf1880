//! What other rules or decisions would make of people, in words: who would split, who would merge, what would only move.

use crate::error::CommandError;
use crate::output;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

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
    /// What only a look at everybody concerned tells.
    #[serde(default)]
    renamed_total: u64,
    #[serde(default)]
    renamed: Vec<Renamed>,
    #[serde(default)]
    blocked_total: u64,
    #[serde(default)]
    blocked: Vec<String>,
    #[serde(default)]
    unblocked_total: u64,
    #[serde(default)]
    unblocked: Vec<String>,
}

#[derive(Deserialize)]
struct Renamed {
    from: String,
    to: String,
    identifiers: Vec<String>,
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

impl fmt::Display for Renamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identifiers: Vec<String> = self.identifiers.iter().map(|one| output::shown(one)).collect();
        write!(f, "{} -> {} ({})", self.from, self.to, identifiers.join(" "))
    }
}

/// Puts it into words.
///
/// # Errors
/// Standard output takes no more.
pub(super) fn show(outlook: &Outlook) -> Result<(), CommandError> {
    let only_moves = outlook.only_moves();
    if only_moves {
        outlook.show_moves()?;
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
    outlook.show_blocks()?;
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
    outlook.show_moves()?;
    for one in &outlook.renamed {
        output::line(&format!("Only the id would change: {one}"))?;
    }
    more(outlook.renamed_total, outlook.renamed.len(), "would have another id")
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
    if outlook.blocked_total + outlook.unblocked_total > 0 {
        let blocked = counted(outlook.blocked_total, "identifier");
        let unblocked = outlook.unblocked_total;
        output::line(&format!("    {blocked} would be blocked, {unblocked} would be no more"))?;
    }
    if outlook.renamed_total > 0 {
        let renamed = counted(outlook.renamed_total, "profile");
        output::line(&format!("    of {renamed} only the id would change"))?;
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
    list("merge", merges.collect())?;
    let named_so = |list: &[String]| list.iter().take(shown).map(|one| output::shown(one)).collect();
    list("blocked", named_so(&outlook.blocked))?;
    list("blocked no more", named_so(&outlook.unblocked))?;
    let renamed = outlook.renamed.iter().take(shown).map(ToString::to_string);
    list("renamed", renamed.collect())
}

impl Outlook {
    fn show_moves(&self) -> Result<(), CommandError> {
        for one in &self.moves {
            let identifier = output::shown(&one.identifier);
            output::line(&format!("{identifier} would move from {} to {}.", one.from, one.to))?;
        }
        more(self.moves_total, self.moves.len(), "would move")
    }

    /// What rules would leave out, or take that was left out.
    fn show_blocks(&self) -> Result<(), CommandError> {
        let lists = [
            (self.blocked_total, &self.blocked, "would be blocked"),
            (self.unblocked_total, &self.unblocked, "would be blocked no more"),
        ];
        for (total, list, what) in lists {
            for identifier in list {
                output::line(&format!("{} {what}.", output::shown(identifier)))?;
            }
            more(total, list.len(), what)?;
        }
        Ok(())
    }

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

/// Says how many there are beyond those that were listed.
fn more(total: u64, listed: usize, what: &str) -> Result<(), CommandError> {
    match total.saturating_sub(listed as u64) {
        0 => Ok(()),
        more => output::line(&format!("{more} more {what}.")),
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
