//! `kith space`: listing and creating tenants, and their limits.

use super::space_limits;
use crate::client::{Client, read};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use clap::Subcommand;
use kith_types::SpaceId;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// What can be done with spaces.
#[derive(Subcommand, Debug)]
pub(crate) enum SpaceCommand {
    /// Creates a space.
    Create {
        /// Its name: a letter, then at most 31 of a-z, 0-9 and _.
        name: SpaceId,
        /// Prints the space as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows what a space may send and hold, and sets it.
    Limits(Box<space_limits::LimitsArgs>),
    /// Lists the spaces.
    List {
        /// Prints one JSON object a space.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Deserialize)]
struct Space {
    name: String,
    created_at: String,
}

#[derive(Deserialize)]
struct SpaceList {
    spaces: Vec<Box<RawValue>>,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: SpaceCommand) -> Result<(), CommandError> {
    match command {
        SpaceCommand::Create { name, json } => {
            let text = client
                .post(&["api", "spaces"], &json!({ "name": name.as_str() }))
                .await?;
            if json {
                output::line(&text)
            } else {
                output::line(&format!("space {name} exists now"))
            }
        }
        SpaceCommand::Limits(args) => space_limits::run(client, *args).await,
        SpaceCommand::List { json } => {
            let list: SpaceList = read(&client.get(&["api", "spaces"], &[]).await?)?;
            let mut table = Table::new(&["space", "created"]);
            for space in &list.spaces {
                if json {
                    output::line(space.get())?;
                    continue;
                }
                let space: Space = read(space.get())?;
                table.row(vec![Cell::text(&space.name), Cell::text(&space.created_at)])?;
            }
            if json { Ok(()) } else { table.finish() }
        }
    }
}
