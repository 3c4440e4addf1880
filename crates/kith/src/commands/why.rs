//! `kith identity why`: the evidence between two identifiers in words, what was left out of it and what was refused.

use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output;
use clap::Args;
use kith_types::ProfileId;
use serde::Deserialize;

/// Flags of `kith identity why`.
#[derive(Args, Debug)]
pub(crate) struct WhyArgs {
    /// One, as `type:value`, such as email:jo@example.com, or a profile id: that stands for the identifier that it comes from.
    one: String,
    /// The other.
    other: String,
    #[command(flatten)]
    space: InSpace,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Why {
    one: String,
    other: String,
    together: bool,
    profiles: Vec<Option<String>>,
    path: Vec<Joint>,
    #[serde(default)]
    shared: Vec<Shared>,
    left_out: Vec<LeftOut>,
    #[serde(default)]
    refused: Vec<Refused>,
    #[serde(default = "yes")]
    refused_complete: bool,
    bound_reached: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Refused {
    identifiers: Vec<String>,
    because: String,
    events: Vec<Event>,
    events_total: usize,
}

#[derive(Deserialize)]
struct Joint {
    from: Stop,
    to: Stop,
    how: String,
    event: Event,
    left_out: Vec<LeftOut>,
}

#[derive(Deserialize)]
struct Stop {
    identifier: String,
}

#[derive(Deserialize)]
struct Event {
    address: String,
    event_time: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct LeftOut {
    identifier: String,
    because: String,
    event: Option<Event>,
}

#[derive(Deserialize)]
struct Shared {
    identifier: String,
    turns_total: usize,
    turns: Vec<Turn>,
}

#[derive(Deserialize)]
struct Turn {
    profile: String,
    from: Option<String>,
    to: Option<String>,
    event: Option<Event>,
}

/// Says why two identifiers are one person, or are not.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(super) async fn run(client: &Client, args: &WhyArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.space.space.as_str(), "identity", "why"];
    let asked = [("one", args.one.as_str()), ("other", args.other.as_str())];
    let text = client.get_naming(&path, &asked).await?;
    if args.json {
        return output::line(&text);
    }
    let why: Why = read(&text)?;
    let (one, other) = (output::shown(&why.one), output::shown(&why.other));
    for ((_, asked), identifier) in asked.iter().zip([&one, &other]) {
        let id = asked.strip_prefix("profile_id:").unwrap_or(asked);
        if id.parse::<ProfileId>().is_ok() {
            output::line(&format!("{id} comes from {identifier}."))?;
        }
    }
    // A shared identifier changes hands: what joined it to somebody may have ended.
    let now_apart = matches!(&why.profiles[..], [Some(one), Some(other)] if one != other);
    let are = match (why.together, now_apart) {
        (true, false) => "are one person",
        (true, true) => "were one person for a while, and are not now",
        (false, _) => "are not one person",
    };
    output::line(&format!("{one} and {other} {are}."))?;
    for (identifier, profile) in [&one, &other].into_iter().zip(&why.profiles) {
        output::line(&format!(
            "  {identifier} belongs to {}",
            profile.as_deref().unwrap_or("nobody")
        ))?;
    }
    if one == other {
        output::line("They are one and the same identifier.")?;
    } else if why.path.is_empty() && !why.together && (why.shared.is_empty() || !why.refused.is_empty()) {
        tell_refused(&why)?;
    }
    for joint in &why.path {
        let (from, to) = (
            output::shown(&joint.from.identifier),
            output::shown(&joint.to.identifier),
        );
        let how = match joint.how.as_str() {
            "alias" => "by an alias",
            "signed_in" => "by a sign-in",
            "first_seen_beside" => "first seen beside it",
            _ => "named together",
        };
        output::line(&format!("  {from} - {to}: {how}, {}", told(&joint.event)))?;
        for out in &joint.left_out {
            let identifier = output::shown(&out.identifier);
            output::line(&format!(
                "    {identifier} was left out: {}",
                output::shown(&out.because)
            ))?;
        }
    }
    tell_shared(&why.shared)?;
    if why.bound_reached {
        output::line("The evidence here is at a bound: what came later may have been refused.")?;
    }
    let is_told = |out: &&LeftOut| {
        let address = out.event.as_ref().map(|event| &event.address);
        why.refused.iter().any(|refused| {
            let at = refused.events.iter().any(|event| Some(&event.address) == address);
            at && refused.identifiers.contains(&out.identifier)
        })
    };
    let left_out: Vec<&LeftOut> = why.left_out.iter().filter(|out| !is_told(out)).collect();
    if !left_out.is_empty() {
        output::line("Left out of their links:")?;
    }
    for out in left_out {
        let event = out.event.as_ref().map(told).unwrap_or_default();
        output::line(&format!(
            "  {}: {} ({event})",
            output::shown(&out.identifier),
            output::shown(&out.because)
        ))?;
    }
    Ok(())
}

/// What evidence between two whom none connects was refused.
fn tell_refused(why: &Why) -> Result<(), CommandError> {
    output::line(match (why.refused.is_empty(), why.refused_complete) {
        (true, true) => "No evidence connects them.",
        (true, false) => {
            "No evidence connects them, nor was any refused in their events that were looked at; there are more of them."
        }
        (false, true) => "Evidence between them was refused:",
        (false, false) => {
            "Evidence between them was refused, in their events that were looked at; there are more of them:"
        }
    })?;
    for refused in &why.refused {
        let events: Vec<String> = refused.events.iter().map(told).collect();
        let more = match refused.events_total.saturating_sub(refused.events.len()) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        output::line(&format!(
            "  {}: {} ({}{more})",
            output::shown(&refused.identifiers.join(" ")),
            output::shown(&refused.because),
            events.join("; ")
        ))?;
    }
    Ok(())
}

/// What two people share, and whose it was when.
fn tell_shared(shared: &[Shared]) -> Result<(), CommandError> {
    for shared in shared {
        let identifier = output::shown(&shared.identifier);
        output::line(&format!("They share {identifier}; what was done on it belongs to"))?;
        for turn in &shared.turns {
            let when = match (&turn.from, &turn.to) {
                (None, Some(to)) => format!("until {to}"),
                (Some(from), Some(to)) => format!("from {from} until {to}"),
                (Some(from), None) => format!("from {from} on"),
                (None, None) => "always".to_owned(),
            };
            let by = turn.event.as_ref().map(|event| format!(" ({})", told(event)));
            output::line(&format!("  {} {when}{}", turn.profile, by.unwrap_or_default()))?;
        }
        let more = shared.turns_total.saturating_sub(shared.turns.len());
        if more > 0 {
            output::line(&format!("  and {more} more turns"))?;
        }
    }
    Ok(())
}

fn told(event: &Event) -> String {
    let name = event
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .or(event.kind.as_deref());
    let parts = [name, event.source.as_deref(), event.event_time.as_deref()];
    let mut text: String = parts
        .into_iter()
        .flatten()
        .map(|part| format!("{}, ", output::shown(part)))
        .collect();
    text.push_str(&format!("event {}", event.address));
    text
}
