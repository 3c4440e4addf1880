//! `kith messages`: stopping and resuming what sends, telling what is stopped, what became of each send, and sending after all
//! (`messages/runs.rs`).

mod runs;

use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use clap::{Args, Subcommand};
use kith_types::ProfileId;
use serde::Deserialize;
use serde_json::{Value, json};

/// What can be done with messages.
#[derive(Subcommand, Debug)]
pub(crate) enum MessagesCommand {
    /// Pauses a space, a message or everything that sends; what is due meanwhile waits.
    Pause(PauseArgs),
    /// Resumes sending.
    Resume(PauseArgs),
    /// Lists the newest sends: where each stands, and why it waits or was left out.
    List(ListArgs),
    /// Counts what the entries of each message came to: sent, left out and why, and not live, so that nothing was sent.
    Counts(CountsArgs),
    /// Sends a message after all to members whose entry was not live: counts them, and with --yes sends it.
    Send(runs::SendArgs),
    /// Lists what was sent so: by whom and why, how many were counted, and how far it is.
    Runs(runs::RunsArgs),
    /// Stops such a run; what of it still waits is not sent.
    Stop(runs::StopArgs),
    /// Tells what is paused.
    Status {
        /// Prints the state as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Flags of pausing and resuming.
#[derive(Args, Debug)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    space: InSpace,
    /// This message alone.
    #[arg(long, value_name = "NAME")]
    message: Option<String>,
    /// Everything, in every space.
    #[arg(long, conflicts_with_all = ["space", "message"])]
    all: bool,
    /// Prints the state as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of listing.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    space: InSpace,
    /// Only those to this person: `type:value`, such as email:jo@example.com, or a profile id.
    #[arg(long, value_name = "PERSON")]
    profile: Option<String>,
    /// Only those of this message.
    #[arg(long, value_name = "NAME")]
    message: Option<String>,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Flags of counting.
#[derive(Args, Debug)]
pub(crate) struct CountsArgs {
    #[command(flatten)]
    space: InSpace,
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Counts {
    counts: Vec<Value>,
}

#[derive(Deserialize)]
struct Sends {
    sends: Vec<Value>,
}

#[derive(Deserialize)]
struct Person {
    id: String,
}

#[derive(Deserialize)]
struct Paused {
    messages_paused: Vec<String>,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: MessagesCommand) -> Result<(), CommandError> {
    match &command {
        MessagesCommand::Pause(args) => set(client, args, "pause", "paused").await,
        MessagesCommand::Resume(args) => set(client, args, "resume", "on").await,
        MessagesCommand::List(args) => list(client, args).await,
        MessagesCommand::Counts(args) => counts(client, args).await,
        MessagesCommand::Send(args) => runs::send(client, args).await,
        MessagesCommand::Runs(args) => runs::list(client, args).await,
        MessagesCommand::Stop(args) => runs::stop(client, args).await,
        MessagesCommand::Status { json } => status(client, *json).await,
    }
}

async fn set(client: &Client, args: &PauseArgs, action: &str, now: &str) -> Result<(), CommandError> {
    let space = args.space.space.as_str();
    let (path, what) = match &args.message {
        _ if args.all => (vec!["api", "messages", action], "everywhere".to_owned()),
        Some(message) => (
            vec!["api", "spaces", space, "messages", message, action],
            format!("of message {message} in space {space}"),
        ),
        None => (
            vec!["api", "spaces", space, "messages", action],
            format!("in space {space}"),
        ),
    };
    let text = client.post(&path, &json!({})).await?;
    if args.json {
        output::line(&text)
    } else {
        output::line(&format!("sending {what} is {now}"))
    }
}

async fn list(client: &Client, args: &ListArgs) -> Result<(), CommandError> {
    let limit = args.limit.to_string();
    let profile = match &args.profile {
        Some(person) => Some(profile_id(client, &args.space, person).await?),
        None => None,
    };
    let mut query = vec![("limit", limit.as_str())];
    query.extend(profile.as_deref().map(|profile| ("profile", profile)));
    query.extend(args.message.as_deref().map(|message| ("message", message)));
    let path = ["api", "spaces", args.space.space.as_str(), "messages", "sends"];
    let Sends { sends } = read(&client.get(&path, &query).await?)?;
    if args.json {
        return sends.iter().try_for_each(|send| output::line(&send.to_string()));
    }
    let mut table = Table::new(&["entered", "message", "profile", "state", "why", "due"]);
    for send in &sends {
        let cells = ["entered_at", "message", "profile_id", "state", "reason", "due_at"];
        let text = |name: &str| Cell::text(send[name].as_str().unwrap_or_default());
        table.row(cells.map(text).into())?;
    }
    table.finish()
}

/// The profile id of a person. One that is given is taken as it is, since sends may name people who are others by now.
async fn profile_id(client: &Client, space: &InSpace, person: &str) -> Result<String, CommandError> {
    if person.parse::<ProfileId>().is_ok() {
        return Ok(person.to_owned());
    }
    let path = ["api", "spaces", space.space.as_str(), "profiles", person];
    let Person { id } = read(&client.get_person(&path, &[], person).await?)?;
    Ok(id)
}

async fn counts(client: &Client, args: &CountsArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.space.space.as_str(), "messages", "counts"];
    let Counts { counts } = read(&client.get(&path, &[]).await?)?;
    if args.json {
        return counts.iter().try_for_each(|one| output::line(&one.to_string()));
    }
    let mut table = Table::new(&["message", "state", "why", "entries"]);
    for one in &counts {
        let text = |name: &str| Cell::text(one[name].as_str().unwrap_or_default());
        let count = one["count"].as_u64().unwrap_or_default();
        table.row(vec![
            text("message"),
            text("state"),
            text("reason"),
            Cell::number(count),
        ])?;
    }
    table.finish()
}

/// What is paused, in the words of the server.
async fn paused(client: &Client) -> Result<Vec<String>, CommandError> {
    let Paused { messages_paused } = read(&client.get(&["api", "status"], &[]).await?)?;
    Ok(messages_paused)
}

async fn status(client: &Client, as_json: bool) -> Result<(), CommandError> {
    let messages_paused = paused(client).await?;
    if as_json {
        return output::line(&json!({ "messages_paused": messages_paused }).to_string());
    }
    if messages_paused.is_empty() {
        return output::line("nothing is paused");
    }
    messages_paused
        .iter()
        .try_for_each(|paused| output::line(&format!("paused: {}", output::shown(paused))))
}
