//! `kith messages send`, `runs` and `stop`: a message sent after all to members whose entry was not live, the count shown first.

use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output::{self, Hint};
use crate::table::{Cell, Table};
use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args};
use kith_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long to wait before a count is looked at again.
const POLL: Duration = Duration::from_millis(200);

/// Flags of sending after all.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("choice").multiple(true).conflicts_with("run"))]
pub(crate) struct SendArgs {
    /// The message.
    name: String,
    #[command(flatten)]
    space: InSpace,
    /// Only members who entered so; may be repeated. All but `unknown` unless given.
    #[arg(long, value_name = "CAUSE", group = "choice",
        value_parser = PossibleValuesParser::new(["definition", "import", "regrouping", "unknown"]))]
    cause: Vec<String>,
    /// Only members who entered at this instant or later, such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, group = "choice")]
    entered_after: Option<Timestamp>,
    /// Only members who entered at this instant or earlier.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, group = "choice")]
    entered_before: Option<Timestamp>,
    /// Why; kept with the run.
    #[arg(long, value_name = "TEXT", default_value = "", group = "choice")]
    why: String,
    /// A run that was counted before, instead of counting anew.
    #[arg(long, value_name = "N")]
    run: Option<u64>,
    /// Only counts; so does leaving out --yes.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Sends it to those who were counted.
    #[arg(long)]
    yes: bool,
    /// Sends nothing where more than so many were counted.
    #[arg(long, value_name = "N", requires = "yes")]
    at_most: Option<u64>,
    /// Prints the run as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of listing runs.
#[derive(Args, Debug)]
pub(crate) struct RunsArgs {
    #[command(flatten)]
    space: InSpace,
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

/// Flags of stopping a run.
#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    /// The message.
    name: String,
    /// The run's number, as `kith messages runs` lists it.
    run: u64,
    #[command(flatten)]
    space: InSpace,
    /// Prints the run as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Runs {
    runs: Vec<Value>,
}

#[derive(Deserialize)]
struct Run {
    run: u64,
    state: String,
    segment: String,
    #[serde(default)]
    reason: Option<String>,
    counted: Counted,
}

#[derive(Deserialize)]
struct Counted {
    members: u64,
    sends: u64,
    left_out: BTreeMap<String, u64>,
}

/// Counts, shows the count, and sends where that was confirmed.
///
/// # Errors
/// What the server refuses, or that it does not answer; that more were counted than may be.
pub(crate) async fn send(client: &Client, args: &SendArgs) -> Result<(), CommandError> {
    let space = args.space.space.as_str();
    let runs = ["api", "spaces", space, "messages", args.name.as_str(), "runs"];
    let number = match args.run {
        Some(run) => run,
        None => {
            let asked = json!({
                "causes": args.cause, "why": args.why,
                "entered_after": args.entered_after.map(|at| at.to_string()),
                "entered_before": args.entered_before.map(|at| at.to_string()),
            });
            read::<Run>(&client.post(&runs, &asked).await?)?.run
        }
    };
    let number_text = number.to_string();
    let of_run = [&runs[..], &[number_text.as_str()]].concat();
    let (run, text) = loop {
        let text = client.get(&of_run, &[]).await?;
        let run: Run = read(&text)?;
        if run.state != "counting" {
            break (run, text);
        }
        tokio::time::sleep(POLL).await;
    };
    if run.state == "stopped" {
        let why = run.reason.unwrap_or_default();
        return Err(CommandError::new(format!(
            "run {number} was stopped, {why}: nothing is sent"
        )));
    }
    if !args.json {
        show_count(&args.name, &run)?;
    }
    if !args.yes {
        return match args.json {
            true => output::line(&text),
            false => output::line(&how_to_send(args, &run)),
        };
    }
    if run.state == "counted" && run.counted.sends == 0 {
        return match args.json {
            true => output::line(&text),
            false => output::line(&how_to_send(args, &run)),
        };
    }
    if let Some(most) = args.at_most.filter(|most| run.counted.sends > *most) {
        let hint = Hint::new("look at the count, and say the number that you want with --at-most");
        let text = format!("{} were counted, more than {most}: nothing was sent", run.counted.sends);
        return Err(CommandError::caused(text, hint));
    }
    let confirmed = json!({ "count": run.counted.sends });
    let started = client.post(&[&of_run[..], &["start"]].concat(), &confirmed).await?;
    if args.json {
        return output::line(&started);
    }
    output::line(&format!(
        "run {number} sends it: `kith messages runs{space}` shows how far it is, `kith messages stop {}{space} {number}` stops it",
        output::shown(&args.name),
        space = in_space(args),
    ))?;
    // Whoever may not read the status is told what was done all the same.
    let paused = super::paused(client).await.unwrap_or_default();
    resumed_by(args, &paused).iter().try_for_each(|resume| {
        output::line(&format!(
            "sending is paused: it begins once `kith messages resume{resume}` was said"
        ))
    })
}

/// The flags of `kith messages resume` that end each pause which holds the message up.
fn resumed_by(args: &SendArgs, paused: &[String]) -> Vec<String> {
    let (space, name) = (args.space.space.as_str(), output::shown(&args.name));
    let of_space = in_space(args);
    let scopes = [
        ("everything".to_owned(), " --all".to_owned()),
        (format!("space {space}"), of_space.clone()),
        (
            format!("message {} of space {space}", args.name),
            format!(" --message {name}{of_space}"),
        ),
    ];
    let held = scopes.into_iter().filter(|(scope, _)| paused.contains(scope));
    held.map(|(_, flags)| flags).collect()
}

/// What a count came to, in words and figures.
fn show_count(message: &str, run: &Run) -> Result<(), CommandError> {
    let Counted { members, sends, .. } = run.counted;
    output::line(&format!(
        "{} would get {} (run {}): of {members} members of {}, {} are left out",
        people(sends),
        output::shown(message),
        run.run,
        output::shown(&run.segment),
        members.saturating_sub(sends)
    ))?;
    if run.counted.left_out.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["left out", "people"]);
    for (reason, people) in &run.counted.left_out {
        table.row(vec![Cell::text(reason), Cell::number(people)])?;
    }
    table.finish()?;
    match run.counted.left_out.get("other_cause") {
        Some(others) if *others > 0 => output::line(
            "other_cause: their entry has another cause than --cause names; a segment defined after an import was entered by \
             definition. Leave --cause out for every cause that is not live",
        ),
        _ => Ok(()),
    }
}

fn people(count: u64) -> String {
    match count {
        1 => "1 person".to_owned(),
        _ => format!("{count} people"),
    }
}

/// The flag that names the space, where a command needs one.
fn in_space(args: &SendArgs) -> String {
    match args.space.space.as_str() {
        "main" => String::new(),
        other => format!(" --space {other}"),
    }
}

fn how_to_send(args: &SendArgs, run: &Run) -> String {
    if run.state != "counted" {
        return format!("run {} is {}", run.run, run.state);
    }
    if run.counted.sends == 0 {
        return "nothing is sent: there is nobody to send it to".to_owned();
    }
    let (name, space) = (output::shown(&args.name), in_space(args));
    format!(
        "nothing is sent yet; within a day: kith messages send {name}{space} --run {} --yes",
        run.run
    )
}

/// Lists runs.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn list(client: &Client, args: &RunsArgs) -> Result<(), CommandError> {
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.message.as_deref().map(|message| ("message", message)));
    let path = ["api", "spaces", args.space.space.as_str(), "messages", "runs"];
    let Runs { runs } = read(&client.get(&path, &query).await?)?;
    if args.json {
        return runs.iter().try_for_each(|run| output::line(&run.to_string()));
    }
    let mut table = Table::new(&[
        "run", "message", "asked", "by", "why", "state", "counted", "reserved", "accepted", "waiting",
    ]);
    for run in &runs {
        let text = |name: &str| Cell::text(run[name].as_str().unwrap_or_default());
        let figure = |value: &Value| Cell::number(value.as_u64().unwrap_or_default());
        table.row(vec![
            figure(&run["run"]),
            text("message"),
            text("asked_at"),
            text("author"),
            text("why"),
            Cell::text(&state(run)),
            figure(&run["counted"]["sends"]),
            figure(&run["sent"]["sends"]),
            figure(&run["sends"]["accepted"]),
            figure(&run["sends"]["reserved"]),
        ])?;
    }
    table.finish()
}

/// How a run stands, in words.
fn state(run: &Value) -> String {
    let state = run["state"].as_str().unwrap_or_default();
    match (run["reason"].as_str(), run["stopped_by"].as_str()) {
        (_, Some(by)) => format!("{state} by {by}"),
        (Some(reason), None) => format!("{state}: {reason}"),
        (None, None) => state.to_owned(),
    }
}

/// Stops a run.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn stop(client: &Client, args: &StopArgs) -> Result<(), CommandError> {
    let (space, run) = (args.space.space.as_str(), args.run.to_string());
    let path = [
        "api",
        "spaces",
        space,
        "messages",
        args.name.as_str(),
        "runs",
        run.as_str(),
        "stop",
    ];
    let text = client.post(&path, &json!({})).await?;
    match args.json {
        true => output::line(&text),
        false => output::line(&format!("run {run} is stopped: what of it still waits is not sent")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SendArgs,
    }

    #[test]
    fn act_6_the_flags_of_sending_after_all_say_what_they_mean() {
        let parsed = |line: &str| Line::try_parse_from(format!("send {line}").split(' ')).map(|line| line.args);
        let run = |sends| Run {
            run: 7,
            state: "counted".to_owned(),
            segment: "vip".to_owned(),
            reason: None,
            counted: Counted {
                members: 9,
                sends,
                left_out: BTreeMap::new(),
            },
        };
        let plain = parsed("welcome --cause import --cause definition --entered-after 2026-03-01T12:00:00Z").unwrap();
        assert_eq!((plain.cause.len(), plain.yes), (2, false));
        let said = how_to_send(&plain, &run(4));
        assert!(said.ends_with("kith messages send welcome --run 7 --yes"), "{said}");
        assert!(how_to_send(&plain, &run(0)).contains("nobody"));
        let paused = [
            "everything",
            "space eu",
            "space main",
            "message welcome of space main",
            "message other of space main",
        ]
        .map(str::to_owned);
        assert_eq!(resumed_by(&plain, &paused), [" --all", "", " --message welcome"]);
        let in_eu = parsed("welcome --space eu --run 7").unwrap();
        assert_eq!(resumed_by(&in_eu, &paused), [" --all", " --space eu"]);
        let other = parsed("welcome --space eu --run 7").unwrap();
        assert!(how_to_send(&other, &run(1)).contains("welcome --space eu --run 7 --yes"));
        assert!(parsed("welcome --yes --at-most 5").is_ok());
        for wrong in [
            "--yes --dry-run",
            "--at-most 5",
            "--cause event",
            "--run 7 --cause import",
            "--run 7 --why x",
        ] {
            assert!(parsed(&format!("welcome {wrong}")).is_err(), "{wrong}");
        }
        let stopped = json!({ "state": "stopped", "reason": "asked", "stopped_by": "ann" });
        assert_eq!(state(&stopped), "stopped by ann");
        assert_eq!(
            state(&json!({ "state": "stopped", "reason": "too_late" })),
            "stopped: too_late"
        );
    }
}
