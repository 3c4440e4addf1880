//! `kith import`: history from CSV, JSON Lines and Parquet through the door for imports (contract CON-2).
//!
//! A thread reads files into batches; they are sent in order, one at a time, and sent again while the server is busy.
//! Message ids come out the same each time and the server keeps those of imports for ever, so an import that broke off
//! is run again as it was: nothing is taken twice. A row that cannot be mapped is told with its place and stops nothing.

mod batch;
mod copies;
mod csv_rows;
mod event;
mod files;
mod json_rows;
pub(crate) mod mapping;
mod moment;
mod parquet_rows;
mod report;
mod row;
mod send;
#[cfg(test)]
mod tests;

use crate::client::{Client, InSpace};
use crate::error::CommandError;
use crate::output;
use crate::progress::Progress;
use batch::Batch;
use clap::Args;
use files::Format;
use kith_catalog::SpaceLimits;
use kith_types::{Limits, Route, SourceName, Timestamp};
use mapping::Mapping;
use report::Report;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches that are read ahead of the one being sent.
const BATCHES_AHEAD: usize = 4;
/// Events that a dry run shows.
const SHOWN_EVENTS: usize = 3;

/// Flags of `kith import`.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// A CSV, JSON Lines or Parquet file, or a folder of such files; text files may end in .gz.
    path: PathBuf,
    /// The source that the events come from, which exists.
    #[arg(long, value_name = "NAME")]
    source: SourceName,
    /// The mapping file: which column becomes what.
    #[arg(long, value_name = "FILE")]
    map: PathBuf,
    #[command(flatten)]
    space: InSpace,
    /// What the files are, where their names do not tell.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Reads and maps everything, asks the server for the source, shows the first events, and sends nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Imports.
///
/// # Errors
/// Files that cannot be read, a server that does not take them, and rows that failed.
pub(crate) async fn run(client: &Client, args: ImportArgs) -> Result<(), CommandError> {
    let mapping = Mapping::read_file(&args.map)?;
    let files = files::find(&args.path, args.format)?;
    check_source(client, &args).await?;
    let limits = limits_of(client, &args).await?;
    let now = Timestamp::from_micros(chrono::Utc::now().timestamp_micros());
    let (batches, mut received) = mpsc::channel(BATCHES_AHEAD);
    let reading = tokio::task::spawn_blocking(move || batch::read(&files, &mapping, (limits, now), &batches));
    let mut report = Report::new(args.dry_run);
    let mut progress = progress(&args);
    let sent = take_all(client, (&args, &limits), &mut received, &mut report, &mut progress).await;
    drop((received, progress));
    let read = reading
        .await
        .map_err(|error| CommandError::caused("reading ended by a fault of its own", error))?;
    report.print(args.json)?;
    sent?;
    read?;
    report.outcome()
}

/// A source that does not exist is told before anything is read.
async fn check_source(client: &Client, args: &ImportArgs) -> Result<(), CommandError> {
    let space = args.space.space.as_str();
    let names = super::source::names(client, space).await?;
    if names.iter().any(|name| name == args.source.as_str()) {
        return Ok(());
    }
    let hint = match names.is_empty() {
        true => "`kith source create NAME` makes one".to_owned(),
        false => format!(
            "its sources are {}; `kith source create NAME` makes another",
            names.join(", ")
        ),
    };
    let what = format!("there is no source {} in space {space}", args.source);
    Err(CommandError::caused(what, output::Hint::new(hint)))
}

#[derive(Deserialize)]
struct Shown {
    limits: serde_json::Value,
}

/// The most that one body of the space may carry.
async fn limits_of(client: &Client, args: &ImportArgs) -> Result<Limits, CommandError> {
    let text = client
        .get(&["api", "spaces", args.space.space.as_str(), "limits"], &[])
        .await?;
    let Shown { limits } = crate::client::read(&text)?;
    let limits = SpaceLimits::parse(&limits).map_err(|(path, message)| {
        CommandError::new(format!("the server's limits cannot be read: {path}: {message}"))
    })?;
    Ok(limits.terms().limits)
}

fn progress(args: &ImportArgs) -> Progress {
    if args.json {
        return Progress::hidden();
    }
    let progress = Progress::new("{spinner} {human_pos} rows  {per_sec}  {msg}");
    progress.bar().enable_steady_tick(Duration::from_millis(200));
    progress
}

async fn take_all(
    client: &Client,
    (args, limits): (&ImportArgs, &Limits),
    received: &mut mpsc::Receiver<Batch>,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let path = [
        "api",
        "spaces",
        args.space.space.as_str(),
        "sources",
        args.source.as_str(),
        "import",
    ];
    let mut shows = !args.json;
    while let Some(batch) = received.recv().await {
        for fault in &batch.faults {
            progress.bar().suspend(|| report.failed(fault));
        }
        if !batch.places.is_empty() {
            let outcome = if args.dry_run {
                judge(&batch, limits, std::mem::take(&mut shows))?
            } else {
                send::send(client, &path, &batch, progress.bar())
                    .await
                    .map_err(|error| report.broken_off(error))?
            };
            progress.bar().suspend(|| report.taken(&batch, &outcome));
        }
        progress.counts("importing", report.rows(), "rows");
    }
    Ok(())
}

/// What a door would say of a batch; `shows` its first events.
fn judge(batch: &Batch, limits: &Limits, shows: bool) -> Result<send::Outcome, CommandError> {
    let body = batch.to_body();
    if shows {
        let events: send::Events = crate::client::read(&body)?;
        for event in events.batch.iter().take(SHOWN_EVENTS) {
            output::line(event.get())?;
        }
    }
    let inspected = kith_clean::inspect(Route::Batch, body.as_bytes(), limits)
        .map_err(|error| CommandError::new(format!("a door would refuse a batch: {}", error.message)))?;
    let rejected = inspected.rejected.into_iter().map(|found| send::Rejected {
        index: found.index,
        code: found.violation.code.to_owned(),
        message: found.violation.message,
    });
    let rejected: Vec<send::Rejected> = rejected.collect();
    Ok(send::Outcome {
        accepted: inspected.events - rejected.len(),
        rejected,
    })
}
