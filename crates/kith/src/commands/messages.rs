//! `kith messages`: stopping and resuming everything that sends in a space.

use crate::client::{Client, InSpace};
use crate::error::CommandError;
use crate::output;
use clap::{Args, Subcommand};
use serde_json::json;

/// What can be done with messages.
#[derive(Subcommand, Debug)]
pub(crate) enum MessagesCommand {
    /// Pauses everything that sends; what is due meanwhile waits.
    Pause(PauseArgs),
    /// Resumes sending.
    Resume(PauseArgs),
}

/// Flags of both.
#[derive(Args, Debug)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    space: InSpace,
    /// Prints the state as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: MessagesCommand) -> Result<(), CommandError> {
    let (args, action, now) = match &command {
        MessagesCommand::Pause(args) => (args, "pause", "paused"),
        MessagesCommand::Resume(args) => (args, "resume", "on"),
    };
    let space = args.space.space.as_str();
    let text = client
        .post(&["api", "spaces", space, "messages", action], &json!({}))
        .await?;
    if args.json {
        output::line(&text)
    } else {
        output::line(&format!("sending in space {space} is {now}"))
    }
}
