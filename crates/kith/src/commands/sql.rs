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
    if let Some(cut) = print(client, args).await? {
        output::note(&cut);
    }
    Ok(())
}

/// Prints the rows, and gives what is to be told of those that are left out.
async fn print(client: &Client, args: &SqlArgs) -> Result<Option<String>, CommandError> {
    let statement = if args.statement == "-" {
        from_standard_input()?
    } else {
        args.statement.clone()
    };
    let mut body = json!({ "sql": statement, "space": args.space.space.as_str() });
    if let Some(limit) = args.limit {
        // One more than is shown tells whether there are more.
        body["limit"] = json!(limit.saturating_add(1));
    }
    let limit = args.limit.unwrap_or(u64::MAX);
    let (mut shown, mut cut) = (0_u64, false);
    let mut lines = client.post_lines(&["api", "sql"], &body).await?;
    let mut table = None;
    while let Some(line) = lines.next().await? {
        if line.starts_with(FAILED) {
            return Err(CommandError::new(read::<Failed>(&line)?.error.text()));
        }
        if shown == limit {
            cut = true;
            continue;
        }
        shown += 1;
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
    if let Some(table) = table {
        table.finish()?;
    }
    if !args.json {
        output::line(&format!("{shown} {}", if shown == 1 { "row" } else { "rows" }))?;
    }
    output::flush()?;
    let rows = if shown == 1 { "row is" } else { "rows are" };
    Ok(cut.then(|| format!("{shown} {rows} shown; there are more: raise --limit")))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Reach;
    use axum::Router;
    use axum::body::Bytes;
    use std::sync::{Arc, Mutex};

    const ROWS: [&str; 3] = ["{\"n\":1}\n", "{\"n\":2}\n", "{\"n\":3}\n"];

    /// What is told of rows that are left out of three, and with which limit the server was asked.
    async fn told(limit: Option<u64>, json: bool) -> (Option<String>, serde_json::Value) {
        let asked = Arc::new(Mutex::new(serde_json::Value::Null));
        let got = Arc::clone(&asked);
        let answer = move |body: Bytes| async move {
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let limit = body["limit"].clone();
            let rows = limit.as_u64().unwrap_or(u64::MAX).min(3);
            *got.lock().unwrap() = limit;
            ROWS[..usize::try_from(rows).unwrap()].concat()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().route("/api/sql", axum::routing::post(answer));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let args = SqlArgs {
            statement: "select n".to_owned(),
            space: InSpace {
                space: kith_types::SpaceId::main(),
            },
            limit,
            json,
        };
        let cut = print(&Client::new(&Reach { url }).unwrap(), &args).await.unwrap();
        serving.abort();
        let asked = asked.lock().unwrap().clone();
        (cut, asked)
    }

    #[tokio::test]
    async fn rows_that_a_limit_leaves_out_are_told() {
        for json in [true, false] {
            let cut = |text: &str| Some(format!("{text} shown; there are more: raise --limit"));
            assert_eq!(told(None, json).await, (None, json!(null)));
            assert_eq!(told(Some(3), json).await, (None, json!(4)));
            assert_eq!(told(Some(u64::MAX), json).await, (None, json!(u64::MAX)));
            assert_eq!(told(Some(2), json).await, (cut("2 rows are"), json!(3)));
            assert_eq!(told(Some(1), json).await, (cut("1 row is"), json!(2)));
            assert_eq!(told(Some(0), json).await, (cut("0 rows are"), json!(1)));
        }
    }
}
