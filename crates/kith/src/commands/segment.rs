//! `kith segment`: sizes, members, and why somebody is in one or is not.

use super::drafts::{self, EstimateArgs, OverlapArgs};
use crate::client::{AsOf, Client, InSpace, read};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use clap::{Args, Subcommand};
use kith_types::SegmentName;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Members of a page.
const PAGE: u64 = 1_000;

/// What can be done with segments.
#[derive(Subcommand, Debug)]
pub(crate) enum SegmentCommand {
    /// Lists the segments with their sizes.
    List {
        #[command(flatten)]
        space: InSpace,
        /// Prints one JSON object a segment.
        #[arg(long)]
        json: bool,
    },
    /// Lists who is in a segment now.
    Members(MembersArgs),
    /// Says how many people a draft has, or what editing a live segment would change.
    Estimate(EstimateArgs),
    /// Shows how segments overlap.
    Overlap(OverlapArgs),
    /// Says why somebody is in a segment or is not.
    Explain {
        /// The segment.
        name: SegmentName,
        /// Whom: `type:value`, such as email:jo@example.com, or a profile id.
        person: String,
        #[command(flatten)]
        as_of: AsOf,
        #[command(flatten)]
        space: InSpace,
        /// Prints the explanation as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `kith segment members`.
#[derive(Args, Debug)]
pub(crate) struct MembersArgs {
    /// The segment.
    name: SegmentName,
    #[command(flatten)]
    space: InSpace,
    /// At most so many; all unless given.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Prints one JSON object a member.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct SegmentList {
    segments: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Segment {
    name: String,
    size: u64,
    counted_at: String,
    state: String,
    progress: f64,
    updated_at: Option<String>,
    #[serde(default)]
    newer_waits: bool,
}

#[derive(Deserialize)]
struct Members {
    members: Vec<Box<RawValue>>,
    has_more: bool,
    next: String,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    entered_at: Option<String>,
    identifiers: Vec<String>,
    approximate: bool,
}

#[derive(Deserialize)]
struct Explanation {
    segment: String,
    profile: String,
    redirected_from: Option<String>,
    as_of: Option<String>,
    known_at: Option<String>,
    #[serde(default)]
    edited_since: bool,
    #[serde(default)]
    newer_waits: bool,
    member: bool,
    next_transition: Option<String>,
    reason: Reason,
}

#[derive(Deserialize)]
struct Reason {
    condition: String,
    holds: bool,
    actual: Option<Box<RawValue>>,
    #[serde(default)]
    approximate: bool,
    events_total: Option<u64>,
    #[serde(default)]
    events: Vec<Deciding>,
    events_complete: Option<bool>,
    #[serde(default)]
    parts: Vec<Reason>,
}

#[derive(Deserialize)]
struct Deciding {
    #[serde(flatten)]
    event: Mention,
    then: Option<Mention>,
}

#[derive(Deserialize)]
struct Mention {
    address: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    event_time: String,
    source: String,
    message_id: Option<String>,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: SegmentCommand) -> Result<(), CommandError> {
    match command {
        SegmentCommand::List { space, json } => list(client, &space, json).await,
        SegmentCommand::Members(args) => members(client, &args).await,
        SegmentCommand::Estimate(args) => drafts::estimate(client, &args).await,
        SegmentCommand::Overlap(args) => drafts::overlap(client, &args).await,
        SegmentCommand::Explain {
            name,
            person,
            as_of,
            space,
            json,
        } => {
            let path = [
                "api",
                "spaces",
                space.space.as_str(),
                "segments",
                name.as_str(),
                "explain",
                &person,
            ];
            let query = as_of.query();
            let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let text = client.get_person(&path, &query, &person).await?;
            if json {
                output::line(&text)
            } else {
                explain(&read(&text)?)
            }
        }
    }
}

async fn list(client: &Client, space: &InSpace, json: bool) -> Result<(), CommandError> {
    let text = client
        .get(&["api", "spaces", space.space.as_str(), "segments"], &[])
        .await?;
    let list: SegmentList = read(&text)?;
    let mut table = Table::new(&["segment", "members", "counted", "state", "defined"]);
    for segment in &list.segments {
        if json {
            output::line(segment.get())?;
            continue;
        }
        let segment: Segment = read(segment.get())?;
        let state = match segment.state.as_str() {
            "backfilling" => format!("folding history, {:.0}%", segment.progress * 100.0),
            "waiting" => "waits to be taken".to_owned(),
            state => state.to_owned(),
        };
        let state = match segment.newer_waits {
            true => format!("{state}; a newer version, of it or of what it refers to, waits"),
            false => state,
        };
        table.row(vec![
            Cell::text(&segment.name),
            Cell::number(segment.size),
            Cell::text(&segment.counted_at),
            Cell::text(&state),
            Cell::text(&segment.updated_at.unwrap_or_default()),
        ])?;
    }
    if json { Ok(()) } else { table.finish() }
}

async fn members(client: &Client, args: &MembersArgs) -> Result<(), CommandError> {
    let path = [
        "api",
        "spaces",
        args.space.space.as_str(),
        "segments",
        args.name.as_str(),
        "members",
    ];
    let mut table = Table::new(&["profile", "entered", "identifiers"]);
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut next = String::new();
    while left > 0 {
        let limit = left.min(PAGE).to_string();
        let mut query = vec![("limit", limit.as_str())];
        if !next.is_empty() {
            query.push(("next", &next));
        }
        let page: Members = read(&client.get(&path, &query).await?)?;
        for member in &page.members {
            left = left.saturating_sub(1);
            if args.json {
                output::line(member.get())?;
                continue;
            }
            let member: Member = read(member.get())?;
            let mark = if member.approximate { " (approximate)" } else { "" };
            let entered = format!("{}{mark}", member.entered_at.unwrap_or_default());
            table.row(vec![
                Cell::text(&member.id),
                Cell::text(&entered),
                Cell::text(&member.identifiers.join(" ")),
            ])?;
        }
        if !page.has_more {
            break;
        }
        next = page.next;
    }
    if args.json { Ok(()) } else { table.finish() }
}

fn explain(explanation: &Explanation) -> Result<(), CommandError> {
    let are = match (explanation.member, &explanation.as_of) {
        (true, None) => "are in",
        (false, None) => "are not in",
        (true, Some(_)) => "were in",
        (false, Some(_)) => "were not in",
    };
    let when = match (&explanation.as_of, &explanation.known_at) {
        (Some(at), Some(known_at)) if at != known_at => format!(" at {at}, as known at {known_at}"),
        (Some(at), _) => format!(" at {at}"),
        (None, _) => String::new(),
    };
    if let Some(from) = &explanation.redirected_from {
        output::line(&format!("profile {}, merged from {from}", explanation.profile))?;
    }
    output::line(&format!("They {are} segment {}{when}:", explanation.segment))?;
    explain_reason(&explanation.reason, 1)?;
    if explanation.edited_since {
        output::line("This is the condition of then; it has been edited or removed since.")?;
    }
    if explanation.newer_waits {
        output::line(
            "A newer version of the segment, or of something it refers to, was applied and is still to be taken; this is by the one before.",
        )?;
    }
    match &explanation.next_transition {
        Some(at) if explanation.as_of.is_none() => {
            output::line(&format!("If nothing happens before, this changes at {at}."))
        }
        Some(at) => output::line(&format!("If nothing happened before, this changed at {at}.")),
        None => Ok(()),
    }
}

fn explain_reason(reason: &Reason, depth: usize) -> Result<(), CommandError> {
    let mark = if reason.holds { "✓" } else { "✗" };
    let mut line = format!("{}{mark} {}", "  ".repeat(depth), output::shown(&reason.condition));
    if let Some(actual) = &reason.actual {
        line.push_str(&format!(" (found {})", output::shown(actual.get())));
    }
    if reason.approximate {
        line.push_str(" (approximate)");
    }
    output::line(&line)?;
    for deciding in &reason.events {
        let then = deciding.then.as_ref();
        let then = then.map(|then| format!(", then {}", mention(then))).unwrap_or_default();
        let indent = "  ".repeat(depth + 2);
        output::line(&format!("{indent}by {}{then}", mention(&deciding.event)))?;
    }
    let more = reason
        .events_total
        .unwrap_or(0)
        .saturating_sub(reason.events.len() as u64);
    if more > 0 {
        output::line(&format!("{}and {more} more", "  ".repeat(depth + 2)))?;
    }
    if reason.events_complete == Some(false) {
        let note = "not all of their events were looked at";
        output::line(&format!("{}({note})", "  ".repeat(depth + 2)))?;
    }
    // The server bounds how deep definitions nest.
    reason.parts.iter().try_for_each(|part| explain_reason(part, depth + 1))
}

fn mention(event: &Mention) -> String {
    let name = if event.name.is_empty() {
        &event.kind
    } else {
        &event.name
    };
    let message = event
        .message_id
        .as_deref()
        .map(|id| format!(", message {}", output::shown(id)));
    format!(
        "{}, {}, {}, event {}{}",
        output::shown(name),
        event.source,
        event.event_time,
        event.address,
        message.unwrap_or_default()
    )
}
