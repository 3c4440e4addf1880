//! `kith flush`, `kith raw verify`, `kith rebuild --verify` and `kith status`: running a server.
//!
//! What proves something fails the command where the proof fails.

use crate::client::{Client, ErrorDetail, read};
use crate::error::CommandError;
use crate::output::{self, Hint};
use crate::progress::Progress;
use crate::table::{Cell, Table};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Flags of `kith flush`.
#[derive(Args, Debug)]
pub(crate) struct FlushArgs {
    /// Prints what was reached as JSON.
    #[arg(long)]
    json: bool,
}

/// What can be done with the raw zone.
#[derive(Subcommand, Debug)]
pub(crate) enum RawCommand {
    /// Proves every hash and that no record is missing.
    Verify {
        /// Prints what was found as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Flags of `kith rebuild`.
#[derive(Args, Debug)]
pub(crate) struct RebuildArgs {
    /// Compares the replayed state with the live one, byte by byte, and changes nothing.
    #[arg(long)]
    verify: bool,
    /// Accepts for good that the raw zone has lost these records, as the error or `kith raw verify` named them. Where a
    /// rebuild had stopped at them, start the server again afterwards.
    #[arg(long, value_name = "RANGE", conflicts_with = "verify")]
    accept_loss: Option<String>,
    /// Why, for the decision in the log.
    #[arg(long, value_name = "TEXT", default_value = "", requires = "accept_loss")]
    reason: String,
    /// Prints one JSON object a step; the last one has the outcome.
    #[arg(long)]
    json: bool,
}

/// Flags of `kith status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Prints the state as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Flushed {
    through: Option<String>,
    tables: Vec<TableState>,
}

#[derive(Deserialize)]
struct TableState {
    name: String,
    rows: u64,
    committed_at: Option<String>,
}

#[derive(Deserialize)]
struct RawFound {
    sound: bool,
    objects: u64,
    records: u64,
    bytes: u64,
    faults: Vec<String>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct LossAccepted {
    ranges: Vec<String>,
    records: u64,
    decided_by: String,
}

/// The server's state.
#[derive(Deserialize)]
pub(crate) struct Status {
    /// Its version.
    pub(crate) version: String,
    started_at: String,
    /// In the order of the flow.
    pub(crate) stages: Vec<Stage>,
    refolds: Vec<Refold>,
    #[serde(default)]
    dry_run: Option<Refold>,
    tables: Vec<TableState>,
    /// What sends nothing at present.
    pub(crate) messages_paused: Vec<String>,
}

/// How far a stage has come.
#[derive(Deserialize)]
pub(crate) struct Stage {
    /// Its name.
    pub(crate) name: String,
    through: Option<String>,
    /// Records that it has still to take.
    pub(crate) lag_records: u64,
    /// The age of the oldest of these.
    pub(crate) lag_millis: u64,
    /// What holds it up.
    pub(crate) fault: Option<String>,
    /// What its records wait for that nobody has to mend.
    pub(crate) waits_for: Option<String>,
}

impl Stage {
    /// How it stands, in a word or a few.
    fn state(&self) -> String {
        match (&self.fault, &self.waits_for) {
            (Some(fault), _) => fault.clone(),
            (None, Some(what)) => format!("waits for {what}"),
            (None, None) => "well".to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct Refold {
    space: String,
    definition: String,
    records_done: u64,
    records_total: u64,
    since: Option<String>,
    ends_about: Option<String>,
    #[serde(default)]
    live: bool,
}

#[derive(Deserialize)]
struct RebuildLine {
    #[serde(default)]
    done: bool,
    #[serde(default)]
    equal: bool,
    #[serde(default)]
    records: u64,
    #[serde(default)]
    of: u64,
    /// Entries of state, by tree.
    #[serde(default)]
    compared: BTreeMap<String, u64>,
    /// Records that were passed over because their loss was accepted.
    #[serde(default)]
    lost: u64,
    #[serde(default)]
    different: u64,
    #[serde(default)]
    differences: Vec<serde_json::Value>,
    #[serde(rename = "$error")]
    error: Option<ErrorDetail>,
}

/// Seals and commits.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn flush(client: &Client, args: &FlushArgs) -> Result<(), CommandError> {
    let text = client.post(&["api", "flush"], &json!({})).await?;
    if args.json {
        return output::line(&text);
    }
    let flushed: Flushed = read(&text)?;
    match flushed.through {
        Some(address) => output::line(&format!("every table shows what arrived up to record {address}"))?,
        None => output::line("nothing has arrived yet")?,
    }
    show_tables(&flushed.tables)
}

fn show_tables(tables: &[TableState]) -> Result<(), CommandError> {
    if tables.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["table", "rows", "committed"]);
    for state in tables {
        let committed = state.committed_at.as_deref().unwrap_or("never");
        table.row(vec![
            Cell::text(&state.name),
            Cell::number(state.rows),
            Cell::text(committed),
        ])?;
    }
    table.finish()
}

/// Proves the raw zone.
///
/// # Errors
/// As [`flush`], and where something is missing or damaged.
pub(crate) async fn raw(client: &Client, command: &RawCommand) -> Result<(), CommandError> {
    let RawCommand::Verify { json } = command;
    let text = client.post(&["api", "raw", "verify"], &json!({})).await?;
    let found: RawFound = read(&text)?;
    if *json {
        output::line(&text)?;
    } else {
        for fault in found.notes.iter().chain(&found.faults) {
            output::line(&output::shown(fault))?;
        }
        let RawFound {
            objects,
            records,
            bytes,
            ..
        } = found;
        output::line(&format!("{objects} objects, {records} records, {bytes} bytes"))?;
        if let Some(waiting) = unsealed(client).await {
            output::line(&waiting)?;
        }
    }
    if found.sound {
        return if *json {
            Ok(())
        } else {
            output::line("the raw zone is sound")
        };
    }
    let hint = Hint::new(
        "restore what is missing or damaged from a copy: nothing else holds it; where there is none, `kith rebuild --accept-loss RANGE` accepts the loss; what is exposed is whole, and its line says what to do",
    );
    Err(CommandError::caused(
        format!("the raw zone has {} faults", found.faults.len()),
        hint,
    ))
}

/// What the log holds that is no part of raw yet; nothing where the state cannot be asked or nothing is left.
async fn unsealed(client: &Client) -> Option<String> {
    let status: Status = read(&client.get(&["api", "status"], &[]).await.ok()?).ok()?;
    let raw = status.stages.iter().find(|stage| stage.name == "raw")?;
    let (records, verb) = match raw.lag_records {
        0 => return None,
        1 => ("1 record".to_owned(), "is"),
        many => (format!("{many} records"), "are"),
    };
    Some(format!(
        "{records} of the log {verb} not sealed yet, and so not in raw: `kith flush` puts them there"
    ))
}

/// Replays and compares.
///
/// # Errors
/// As [`flush`], and where the states differ.
pub(crate) async fn rebuild(client: &Client, args: &RebuildArgs) -> Result<(), CommandError> {
    if let Some(range) = &args.accept_loss {
        return accept_loss(client, range, args).await;
    }
    if !args.verify {
        let hint = Hint::new("`kith rebuild --verify` proves that the live state is what the raw zone gives");
        return Err(CommandError::caused("say what to do with the rebuilt state", hint));
    }
    let mut lines = client.post_lines(&["api", "rebuild", "verify"], &json!({})).await?;
    // As JSON every step is a result.
    let mut progress = match args.json {
        true => Progress::hidden(),
        false => Progress::new("{msg}  {bar:40}  {human_pos} of {human_len} records  {eta}"),
    };
    while let Some(line) = lines.next().await? {
        if line.is_empty() {
            continue;
        }
        let step: RebuildLine = read(&line)?;
        if let Some(error) = step.error {
            return Err(CommandError::new(error.text()));
        }
        if args.json {
            output::line(&line)?;
        }
        if step.done {
            drop(progress);
            return conclude(&step, args.json);
        }
        progress.shows("replaying", (step.records, step.of), "records");
    }
    Err(CommandError::new("the server broke off the replay before its end"))
}

async fn accept_loss(client: &Client, range: &str, args: &RebuildArgs) -> Result<(), CommandError> {
    let asked = json!({ "range": range, "reason": args.reason });
    let text = client.post(&["api", "raw", "losses"], &asked).await?;
    if args.json {
        return output::line(&text);
    }
    let accepted: LossAccepted = read(&text)?;
    output::line(&format!(
        "{} records are accepted as lost, by {}: {}",
        accepted.records,
        accepted.decided_by,
        accepted.ranges.join(", ")
    ))?;
    output::line("a rebuild that had stopped at them goes on when the server is started again")
}

fn conclude(step: &RebuildLine, json: bool) -> Result<(), CommandError> {
    let compared: u64 = step.compared.values().sum();
    if step.lost > 0 && !json {
        output::line(&format!("{} records were left out: their loss was accepted", step.lost))?;
    }
    if step.equal {
        let text = format!(
            "equal: {} records replayed, {compared} entries of state and rows of tables compared",
            step.records
        );
        return if json { Ok(()) } else { output::line(&text) };
    }
    if !json {
        for difference in &step.differences {
            output::line(&output::shown(&difference.to_string()))?;
        }
    }
    let hint = Hint::new("the server's log says more; the raw zone is the truth, and `kith raw verify` proves it");
    let what = format!(
        "what is there differs from what raw gives in {} of {compared} entries and rows",
        step.different
    );
    Err(CommandError::caused(what, hint))
}

/// Shows lag and freshness.
///
/// # Errors
/// As [`flush`].
pub(crate) async fn status(client: &Client, args: &StatusArgs) -> Result<(), CommandError> {
    let text = client.get(&["api", "status"], &[]).await?;
    if args.json {
        return output::line(&text);
    }
    let status: Status = read(&text)?;
    output::line(&format!(
        "Kith {} at {}, running since {}\n",
        status.version,
        client.address(),
        status.started_at
    ))?;
    let mut table = Table::new(&["stage", "through", "waiting", "behind", "state"]);
    for stage in &status.stages {
        table.row(vec![
            Cell::text(&stage.name),
            Cell::text(stage.through.as_deref().unwrap_or("")),
            Cell::number(stage.lag_records),
            Cell::number(format!("{:.1} s", stage.lag_millis as f64 / 1_000.0)),
            Cell::text(&stage.state()),
        ])?;
    }
    table.finish()?;
    if !status.tables.is_empty() {
        output::line("")?;
        show_tables(&status.tables)?;
    }
    let refolds = status.refolds.iter().map(|refold| ("folding history of", refold));
    let dry_run = status
        .dry_run
        .iter()
        .map(|asked| ("working out what would be by", asked));
    for (what, refold) in refolds.chain(dry_run) {
        let Refold {
            space,
            definition,
            records_done,
            records_total,
            since,
            ends_about,
            live,
        } = refold;
        let live = if *live { ", every segment has its members" } else { "" };
        let since = since
            .as_ref()
            .map(|since| format!(", since {since}"))
            .unwrap_or_default();
        let end = ends_about
            .as_ref()
            .map(|end| format!(", until about {end}"))
            .unwrap_or_default();
        output::line(&format!(
            "\n{what} {definition} in space {space}: {records_done} of {records_total}{since}{end}{live}"
        ))?;
    }
    for paused in &status.messages_paused {
        output::line(&format!(
            "\nsending is paused: {}; `kith messages resume` resumes it",
            output::shown(paused)
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_1_a_stage_that_waits_for_rules_is_not_said_to_be_well() {
        let state = |fault: Option<&str>, waits_for: Option<&str>| {
            let stage = Stage {
                name: "pipeline".to_owned(),
                through: None,
                lag_records: 3,
                lag_millis: 5,
                fault: fault.map(str::to_owned),
                waits_for: waits_for.map(str::to_owned),
            };
            stage.state()
        };
        assert_eq!(state(None, None), "well");
        let rules = Some("changed rules of identity of main");
        assert_eq!(state(None, rules), "waits for changed rules of identity of main");
        assert_eq!(state(Some("the disk is full"), rules), "the disk is full");
    }
}
