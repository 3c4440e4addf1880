//! `kith source`: what sends events, and the write keys that open the doors to it.

use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use clap::{Args, Subcommand};
use kith_types::SourceName;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// What can be done with sources.
#[derive(Subcommand, Debug)]
pub(crate) enum SourceCommand {
    /// Creates a source and prints its write key, this once.
    Create(OneSource),
    /// Lists the sources of a space.
    List {
        #[command(flatten)]
        space: InSpace,
        /// Prints one JSON object a source.
        #[arg(long)]
        json: bool,
    },
    /// Switches a source off: its write key opens no door.
    Disable(OneSource),
    /// Switches a source on again.
    Enable(OneSource),
    /// Gives a source a new write key, printed this once; the old one stops at once.
    Rotate(OneSource),
}

/// One source.
#[derive(Args, Debug)]
pub(crate) struct OneSource {
    /// Its name: a letter, then at most 63 of a-z, 0-9, _ and -.
    name: SourceName,
    #[command(flatten)]
    space: InSpace,
    /// Prints the source as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Source {
    space: String,
    name: String,
    enabled: bool,
    has_write_key: bool,
    created_at: String,
    write_key: Option<String>,
}

#[derive(Deserialize)]
struct SourceList {
    sources: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Names {
    sources: Vec<Named>,
}

/// The names of the sources of a space.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn names(client: &Client, space: &str) -> Result<Vec<String>, CommandError> {
    let Names { sources } = read(&client.get(&["api", "spaces", space, "sources"], &[]).await?)?;
    Ok(sources.into_iter().map(|source| source.name).collect())
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: SourceCommand) -> Result<(), CommandError> {
    match command {
        SourceCommand::Create(one) => {
            let path = ["api", "spaces", one.space.space.as_str(), "sources"];
            let text = client.post(&path, &json!({ "name": one.name.as_str() })).await?;
            show(&text, one.json)
        }
        SourceCommand::List { space, json } => list(client, &space, json).await,
        SourceCommand::Disable(one) => change(client, &one, "disable").await,
        SourceCommand::Enable(one) => change(client, &one, "enable").await,
        SourceCommand::Rotate(one) => change(client, &one, "rotate").await,
    }
}

async fn change(client: &Client, one: &OneSource, action: &str) -> Result<(), CommandError> {
    let path = [
        "api",
        "spaces",
        one.space.space.as_str(),
        "sources",
        one.name.as_str(),
        action,
    ];
    show(&client.post(&path, &json!({})).await?, one.json)
}

fn show(text: &str, json: bool) -> Result<(), CommandError> {
    if json {
        return output::line(text);
    }
    let source: Source = read(text)?;
    let state = if source.enabled { "on" } else { "off" };
    output::line(&format!("source {} of space {} is {state}", source.name, source.space))?;
    if let Some(key) = source.write_key {
        output::line(&format!("write key, shown this once: {key}"))?;
    }
    Ok(())
}

async fn list(client: &Client, space: &InSpace, json: bool) -> Result<(), CommandError> {
    let text = client
        .get(&["api", "spaces", space.space.as_str(), "sources"], &[])
        .await?;
    let list: SourceList = read(&text)?;
    let mut table = Table::new(&["source", "state", "write key", "created"]);
    for source in &list.sources {
        if json {
            output::line(source.get())?;
            continue;
        }
        let source: Source = read(source.get())?;
        table.row(vec![
            Cell::text(&source.name),
            Cell::text(if source.enabled { "on" } else { "off" }),
            Cell::text(if source.has_write_key { "yes" } else { "none" }),
            Cell::text(&source.created_at),
        ])?;
    }
    if json { Ok(()) } else { table.finish() }
}
