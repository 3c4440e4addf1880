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
    table.finish()
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
