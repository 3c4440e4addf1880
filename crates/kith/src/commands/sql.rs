//! `kith sql`: a statement to the server, its rows printed while they come.

use crate::client::{Client, ErrorDetail, InSpace, read};
use crate::error::CommandError;
use crate::fields::{Fields, is_number, plain};
use crate::output;
use crate::table::{Cell, Table};
use clap::Args;
use serde_json::json;
use std::io::Read;

/// The longest statement that is read from standard input, in bytes.
const STATEMENT_BYTES_MAX: u64 = 1 << 20;
/// How a stream of rows says that it failed; no row has this as its only column.
const FAILED: &str = "{\"$error\":";

/// Flags of `kith sql`.
#[derive(Args, Debug)]
pub(crate) struct SqlArgs {
    /// The statement, such as "select count(*) from clean.events"; `-` reads it from standard input.
    statement: String,
    #[command(flatten)]
    space: InSpace,
    /// At most so many rows.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Prints one JSON object a row.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Deserialize)]
struct Failed {
    #[serde(rename = "$error")]
    error: ErrorDetail,
}

/// Runs a statement.
///
/// # Errors
/// What the server refuses, also after the first rows, or that it does not answer.
pub(crate) async fn run(client: &Client, args: &SqlArgs) -> Result<(), CommandError> {
    let statement = if args.statement == "-" {
        from_standard_input()?
    } else {
        args.statement.clone()
    };
    let mut body = json!({ "sql": statement, "space": args.space.space.as_str() });
    if let Some(limit) = args.limit {
        body["limit"] = json!(limit);
    }
    let mut lines = client.post_lines(&["api", "sql"], &body).await?;
    let mut table = None;
    while let Some(line) = lines.next().await? {
        if line.starts_with(FAILED) {
            return Err(CommandError::new(read::<Failed>(&line)?.error.text()));
        }
        if args.json {
            output::line(&line)?;
        } else {
            let row: Fields = read(&line)?;
            let table = table.get_or_insert_with(|| {
                let names: Vec<&str> = row.0.iter().map(|(name, _)| name.as_str()).collect();
                Table::new(&names)
            });
            table.row(row.0.iter().map(|(_, value)| cell(value)).collect())?;
        }
    }
    if args.json {
        return output::flush();
    }
    let rows = table.as_ref().map_or(0, Table::rows);
    if let Some(table) = table {
        table.finish()?;
    }
    output::line(&format!("{rows} {}", if rows == 1 { "row" } else { "rows" }))
}

fn cell(value: &serde_json::value::RawValue) -> Cell {
    if is_number(value) {
        Cell::number(value.get())
    } else {
        Cell::text(&plain(value))
    }
}

fn from_standard_input() -> Result<String, CommandError> {
    let mut statement = String::new();
    std::io::stdin()
        .lock()
        .take(STATEMENT_BYTES_MAX)
        .read_to_string(&mut statement)
        .map_err(|error| CommandError::caused("the statement cannot be read from standard input", error))?;
    Ok(statement)
}
