//! `kith messages`: stopping and resuming what sends, and telling what is stopped.

use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

/// What can be done with messages.
#[derive(Subcommand, Debug)]
pub(crate) enum MessagesCommand {
    /// Pauses a space, a message or everything that sends; what is due meanwhile waits.
    Pause(PauseArgs),
    /// Resumes sending.
    Resume(PauseArgs),
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

async fn status(client: &Client, as_json: bool) -> Result<(), CommandError> {
    let text = client.get(&["api", "status"], &[]).await?;
    let Paused { messages_paused } = read(&text)?;
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
