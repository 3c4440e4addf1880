//! `kith key`: the API keys of the server. What they are is kept by nobody: a key is printed once.

use crate::client::{Client, read};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use clap::{ArgGroup, Args, Subcommand};
use kith_types::SpaceId;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// What can be done with keys.
#[derive(Subcommand, Debug)]
pub(crate) enum KeyCommand {
    /// Makes a key and prints it, this once.
    Create(CreateArgs),
    /// Lists the keys.
    List {
        /// Prints one JSON object a key.
        #[arg(long)]
        json: bool,
    },
    /// Ends a key at once.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// Flags of `kith key create`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("scope").required(true).args(["space", "admin"]))]
pub(crate) struct CreateArgs {
    /// Its name, unique on the server.
    name: String,
    /// The space that it reads.
    #[arg(long, value_name = "SPACE")]
    space: Option<SpaceId>,
    /// Makes it an administrator's key.
    #[arg(long)]
    admin: bool,
    /// Prints the key as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Key {
    name: String,
    scope: String,
    space: Option<String>,
    created_at: String,
    key: Option<String>,
}

#[derive(Deserialize)]
struct KeyList {
    keys: Vec<Box<RawValue>>,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: KeyCommand) -> Result<(), CommandError> {
    match command {
        KeyCommand::Create(args) => create(client, &args).await,
        KeyCommand::List { json } => list(client, json).await,
        KeyCommand::Revoke { name } => {
            client.delete(&["api", "keys", &name]).await?;
            output::line(&format!("key {name} is ended"))
        }
    }
}

async fn create(client: &Client, args: &CreateArgs) -> Result<(), CommandError> {
    let mut body = json!({ "name": args.name });
    if let Some(space) = args.space.as_ref().filter(|_| !args.admin) {
        body["space"] = json!(space.as_str());
    }
    let text = client.post(&["api", "keys"], &body).await?;
    if args.json {
        return output::line(&text);
    }
    let key: Key = read(&text)?;
    output::line(&format!(
        "key {}, shown this once: {}",
        key.name,
        key.key.unwrap_or_default()
    ))
}

async fn list(client: &Client, json: bool) -> Result<(), CommandError> {
    let list: KeyList = read(&client.get(&["api", "keys"], &[]).await?)?;
    let mut table = Table::new(&["key", "may", "created"]);
    for key in &list.keys {
        if json {
            output::line(key.get())?;
            continue;
        }
        let key: Key = read(key.get())?;
        let may = key.space.map_or(key.scope, |space| format!("read {space}"));
        table.row(vec![
            Cell::text(&key.name),
            Cell::text(&may),
            Cell::text(&key.created_at),
        ])?;
    }
    if json { Ok(()) } else { table.finish() }
}
