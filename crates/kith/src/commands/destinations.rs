//! `kith destinations`: how the receivers of audiences stand, and pausing one.

use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

/// What can be done with destinations.
#[derive(Subcommand, Debug)]
pub(crate) enum DestinationsCommand {
    /// Lists them: what each was told, how far it is behind, and what holds it up.
    List(ListArgs),
    /// Stops telling one; what changes meanwhile waits.
    Pause(PauseArgs),
    /// Goes on telling one, from where it stopped.
    Resume(PauseArgs),
}

/// Flags of listing.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    space: InSpace,
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Flags of pausing and resuming.
#[derive(Args, Debug)]
pub(crate) struct PauseArgs {
    /// The destination.
    name: String,
    #[command(flatten)]
    space: InSpace,
    /// Prints the state as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Listed {
    destinations: Vec<Value>,
}

#[derive(Deserialize)]
struct Sizes {
    segments: Vec<Size>,
}

#[derive(Deserialize)]
struct Size {
    name: String,
    size: u64,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: DestinationsCommand) -> Result<(), CommandError> {
    match &command {
        DestinationsCommand::List(args) => list(client, args).await,
        DestinationsCommand::Pause(args) => set(client, args, "pause", "paused").await,
        DestinationsCommand::Resume(args) => set(client, args, "resume", "told").await,
    }
}

/// Says how many members each of these new destinations would be told when it is connected. `proposal` holds them as documents.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(super) async fn show_members(
    client: &Client,
    space: &InSpace,
    proposal: &Value,
    new: &[&str],
) -> Result<(), CommandError> {
    if new.is_empty() {
        return Ok(());
    }
    let text = client
        .get(&["api", "spaces", space.space.as_str(), "segments"], &[])
        .await?;
    let Sizes { segments } = read(&text)?;
    let documents = proposal["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    for document in documents.iter().filter(|document| document["kind"] == "destination") {
        if let Some(name) = document["name"].as_str().filter(|name| new.contains(name)) {
            output::line(&format!(
                "destination/{name} {}",
                would_be_told(&document["spec"], &segments)
            ))?;
        }
    }
    Ok(())
}

/// What a destination would be told when it is connected, in words.
fn would_be_told(spec: &Value, segments: &[Size]) -> String {
    if spec["changes"] == "live" {
        return "would be told live entries and all exits, and nobody who is a member now".to_owned();
    }
    let listed = spec["segments"].as_array();
    let is_told = |size: &&Size| listed.is_none_or(|listed| listed.iter().any(|name| *name == size.name.as_str()));
    let told: Vec<String> = (segments.iter().filter(is_told))
        .map(|size| format!("{} of {}", size.size, size.name))
        .collect();
    match told.is_empty() {
        true => "would be told of no member yet".to_owned(),
        false => format!("would be told who is a member now: {}", told.join(", ")),
    }
}

async fn list(client: &Client, args: &ListArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.space.space.as_str(), "destinations"];
    let Listed { destinations } = read(&client.get(&path, &[]).await?)?;
    if args.json {
        return destinations
            .iter()
            .try_for_each(|stands| output::line(&stands.to_string()));
    }
    let mut table = Table::new(&["destination", "endpoint", "sent", "refused", "waiting", "state"]);
    for stands in &destinations {
        let figure = |name: &str| stands[name].as_u64().unwrap_or_default();
        let text = |name: &str| Cell::text(stands[name].as_str().unwrap_or_default());
        let waiting = figure("members_waiting") + figure("changes_waiting");
        table.row(vec![
            text("name"),
            text("endpoint"),
            Cell::number(figure("sent")),
            Cell::number(figure("refused")),
            Cell::number(waiting),
            Cell::text(&state(stands)),
        ])?;
    }
    table.finish()?;
    // A table shortens what is long, and why something is held up must be readable.
    for stands in &destinations {
        let name = stands["name"].as_str().unwrap_or_default();
        for line in held_up(stands) {
            output::line(&output::shown(&format!("{name} {line}")))?;
        }
    }
    Ok(())
}

/// What holds a destination up and until when, and why its latest refusal was made, in full.
fn held_up(stands: &Value) -> Vec<String> {
    let fault = stands["fault"].as_str().map(|fault| match stands["retry_at"].as_str() {
        Some(at) => format!("is held up and tried again at {at}: {fault}"),
        None => format!("is held up: {fault}"),
    });
    let refusal = stands["last_refusal"]
        .as_str()
        .map(|why| format!("was refused lately: {why}"));
    fault.into_iter().chain(refusal).collect()
}

/// How a destination stands, in words.
fn state(stands: &Value) -> String {
    if stands["paused"] == json!(true) {
        return "paused".to_owned();
    }
    match (stands["fault"].as_str(), stands["last_refusal"].as_str()) {
        (Some(fault), _) => fault.to_owned(),
        (None, Some(refusal)) => format!("told; refused lately: {refusal}"),
        (None, None) => "told".to_owned(),
    }
}

async fn set(client: &Client, args: &PauseArgs, action: &str, now: &str) -> Result<(), CommandError> {
    let space = args.space.space.as_str();
    let path = ["api", "spaces", space, "destinations", args.name.as_str(), action];
    let text = client.post(&path, &json!({})).await?;
    match args.json {
        true => output::line(&text),
        false => output::line(&format!("destination {} in space {space} is {now}", args.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seg_5_a_plan_says_how_many_members_a_new_destination_would_be_told() {
        let sizes = [("vip", 3), ("buyers", 40)].map(|(name, size)| Size {
            name: name.to_owned(),
            size,
        });
        for (spec, words) in [
            (
                json!({ "segments": ["buyers"] }),
                "would be told who is a member now: 40 of buyers",
            ),
            (
                json!({ "segments": "all" }),
                "would be told who is a member now: 3 of vip, 40 of buyers",
            ),
            (json!({ "segments": ["new"] }), "would be told of no member yet"),
            (
                json!({ "segments": "all", "changes": "live" }),
                "would be told live entries and all exits, and nobody who is a member now",
            ),
        ] {
            assert_eq!(would_be_told(&spec, &sizes), words);
        }
    }

    #[test]
    fn seg_5_a_list_says_what_holds_a_destination_up() {
        let fault = json!({ "paused": false, "fault": "the receiver answered 503", "last_refusal": "bad user" });
        assert_eq!(state(&fault), "the receiver answered 503");
        assert_eq!(state(&json!({ "paused": true, "fault": "x" })), "paused");
        assert_eq!(
            state(&json!({ "last_refusal": "bad user" })),
            "told; refused lately: bad user"
        );
        assert_eq!(state(&json!({})), "told");
        let fault = json!({ "fault": "the receiver answered 503", "retry_at": "2026-01-01T00:00:00Z" });
        assert_eq!(
            held_up(&fault),
            ["is held up and tried again at 2026-01-01T00:00:00Z: the receiver answered 503"]
        );
    }
}
