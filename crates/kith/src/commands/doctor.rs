//! `kith doctor`: whether a server works, check by check, and what to do where it does not.
//!
//! It only reads. Every check says what it found; the command fails where one does.

use crate::client::{Client, read};
use crate::commands::operations::Status;
use crate::error::CommandError;
use crate::output;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A stage that is further behind than this needs somebody to look, in milliseconds.
const LAG_MILLIS_MAX: u64 = 300_000;
/// Less free space than this needs somebody to act, in kilobytes and in percent.
const FREE_KILOBYTES_MIN: u64 = 2 << 20;
const FREE_PERCENT_MIN: u64 = 5;

/// Flags of `kith doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The server's data folder, where it is on this machine: its disk is checked too.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Prints one JSON object a check.
    #[arg(long)]
    json: bool,
}

/// What a check found.
struct Check {
    name: &'static str,
    found: String,
    /// What to do, where it is not well.
    remedy: Option<String>,
}

impl Check {
    fn well(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            found: found.into(),
            remedy: None,
        }
    }

    fn ill(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

#[derive(Deserialize)]
struct Readiness {
    checks: Vec<ReadinessCheck>,
}

#[derive(Deserialize)]
struct ReadinessCheck {
    name: String,
    ok: bool,
    #[serde(default)]
    note: Option<String>,
}

impl ReadinessCheck {
    fn shown(&self) -> String {
        match &self.note {
            Some(note) => format!("{} ({note})", self.name),
            None => self.name.clone(),
        }
    }
}

/// Checks everything that can be checked from here.
///
/// # Errors
/// The checks that failed.
pub(crate) async fn run(client: &Client, args: &DoctorArgs) -> Result<(), CommandError> {
    let mut checks = Vec::new();
    let reachable = reach(client, &mut checks).await;
    if reachable {
        checks.push(readiness(client).await);
        match status(client, &mut checks).await {
            Some(status) => judge(&status, &mut checks),
            None => checks.push(Check::ill(
                "lag",
                "unknown",
                "mend the key first, then run `kith doctor` again",
            )),
        }
    }
    if let Some(folder) = &args.data {
        checks.push(disk(folder));
    }
    let failed = checks.iter().filter(|check| check.remedy.is_some()).count();
    for check in &checks {
        show(check, args.json)?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(CommandError::new("one check failed")),
        failed => Err(CommandError::new(format!("{failed} checks failed"))),
    }
}

async fn reach(client: &Client, checks: &mut Vec<Check>) -> bool {
    match client.get(&["livez"], &[]).await {
        Ok(_) => {
            checks.push(Check::well("reachable", client.address().to_string()));
            true
        }
        Err(error) => {
            let found = output::causes(&error);
            let remedy = "start it with `kith serve --data DIR`, or name it in KITH_URL or --url";
            checks.push(Check::ill("reachable", found, remedy));
            false
        }
    }
}

async fn readiness(client: &Client) -> Check {
    let (ready, text) = match client.try_get(&["readyz"]).await {
        Ok(answer) => answer,
        Err(error) => return Check::ill("ready", output::causes(&error), "run `kith doctor` again"),
    };
    let checks = serde_json::from_str::<Readiness>(&text)
        .map(|found| found.checks)
        .unwrap_or_default();
    judge_readiness(ready, &checks)
}

fn judge_readiness(ready: bool, checks: &[ReadinessCheck]) -> Check {
    let listed = |checks: Vec<&ReadinessCheck>| -> String {
        let shown: Vec<String> = checks.iter().map(|check| check.shown()).collect();
        shown.join(", ")
    };
    let failing: Vec<&ReadinessCheck> = checks.iter().filter(|check| !check.ok).collect();
    if failing.is_empty() {
        return Check::well("ready", listed(checks.iter().collect()));
    }
    if ready && failing.iter().any(|check| check.name == "raw") {
        let remedy =
            "`kith raw verify` names what is missing: restore it from a copy before anything has to be built from it";
        return Check::ill("ready", format!("not well: {}", listed(failing)), remedy);
    }
    let remedy = match (ready, failing.iter().any(|check| check.name != "rebuild")) {
        (true, false) => "wait: the state is built again from the log, and answers are whole once that is done",
        (true, true) => "nothing is lost and tables are late; the server's log names the cause, such as a full disk",
        (false, _) => "the server's log names the cause, such as a full disk",
    };
    Check::ill("ready", format!("not well: {}", listed(failing)), remedy)
}

async fn status(client: &Client, checks: &mut Vec<Check>) -> Option<Status> {
    let answer = match client.get(&["api", "status"], &[]).await {
        Ok(text) => read::<Status>(&text),
        Err(error) => Err(error),
    };
    match answer {
        Ok(status) => {
            checks.push(Check::well("key", "an administrator's"));
            Some(status)
        }
        Err(error) => {
            let remedy = if client.has_key() {
                "set KITH_KEY to an administrator's key: make one with `kith key create NAME --admin`, or start the server \
                 with KITH_ADMIN_KEY"
            } else {
                "set KITH_KEY: `kith serve` prints the administrator's key at its first start"
            };
            checks.push(Check::ill("key", output::causes(&error), remedy));
            None
        }
    }
}

fn judge(status: &Status, checks: &mut Vec<Check>) {
    let own = env!("CARGO_PKG_VERSION");
    checks.push(if status.version == own {
        Check::well("version", own)
    } else {
        let found = format!("the server is {}, this is {own}", status.version);
        Check::ill("version", found, "use the `kith` of the server's own version")
    });
    let faults: Vec<String> = status
        .stages
        .iter()
        .filter_map(|stage| stage.fault.as_ref().map(|fault| format!("{}: {fault}", stage.name)))
        .collect();
    if !faults.is_empty() {
        checks.push(Check::ill(
            "stages",
            faults.join("; "),
            "mend the cause; the stage goes on by itself",
        ));
    }
    // How far a destination is behind is for its receiver to say, and raw has what is sealed, ten minutes later at the latest:
    // neither is a sign of a busy server.
    let own = status
        .stages
        .iter()
        .filter(|stage| stage.name != "raw" && !stage.name.starts_with("destination "));
    let waits_for = status.stages.iter().find_map(|stage| stage.waits_for.as_deref());
    let slowest = own.max_by_key(|stage| stage.lag_millis);
    checks.push(match slowest {
        Some(stage) if stage.lag_millis > LAG_MILLIS_MAX => Check::ill(
            "lag",
            format!(
                "{} is {} s and {} records behind",
                stage.name,
                stage.lag_millis / 1_000,
                stage.lag_records
            ),
            match waits_for {
                Some(what) => format!("wait: events wait for {what}, and `kith status` says how far that is"),
                None => "see `kith status` whether it shrinks; if not, give the server more processors or send less"
                    .to_owned(),
            },
        ),
        Some(stage) if waits_for.is_some() => {
            let what = waits_for.unwrap_or_default();
            Check::well(
                "lag",
                format!(
                    "at most {} ms, in {}: events wait for {what}",
                    stage.lag_millis, stage.name
                ),
            )
        }
        Some(stage) => Check::well("lag", format!("at most {} ms, in {}", stage.lag_millis, stage.name)),
        None => Check::well("lag", "this process plays no part that lags"),
    });
    // Somebody decided it, so it is told and fails nothing.
    let paused = status.messages_paused.iter().map(String::as_str);
    let (destinations, messages): (Vec<&str>, Vec<&str>) = paused.partition(|what| what.starts_with("destination "));
    for (name, paused, resumes) in [
        (
            "messages",
            messages,
            "`kith messages resume` with --all, --space or --message resumes it",
        ),
        (
            "destinations",
            destinations,
            "`kith destinations resume NAME` resumes it",
        ),
    ] {
        if !paused.is_empty() {
            checks.push(Check::well(name, format!("paused: {}; {resumes}", paused.join(", "))));
        }
    }
}

/// Free space, as `df -Pk` of POSIX tells it.
fn disk(folder: &Path) -> Check {
    let unknown = |found: String| Check::ill("disk", found, "name the server's data folder in --data");
    let output = match std::process::Command::new("df")
        .arg("-Pk")
        .arg("--")
        .arg(folder)
        .output()
    {
        Ok(output) if output.status.success() => output,
        Ok(output) => return unknown(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => return unknown(format!("df cannot be run: {error}")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((size, free)) = read_df(&text) else {
        return unknown("df says nothing of it".to_owned());
    };
    let percent = free.saturating_mul(100) / size.max(1);
    let found = format!("{} MB free of {} MB", free >> 10, size >> 10);
    if free < FREE_KILOBYTES_MIN || percent < FREE_PERCENT_MIN {
        let remedy = "make room or a larger disk: the server takes no event it cannot keep, and answers 503";
        return Check::ill("disk", found, remedy);
    }
    Check::well("disk", found)
}

/// Size and free space of the second line, in kilobytes.
fn read_df(text: &str) -> Option<(u64, u64)> {
    // Names of devices and folders may hold blanks: numbers stand together before the column of percents.
    let words: Vec<&str> = text.lines().nth(1)?.split_whitespace().collect();
    let percent = words.iter().position(|word| word.ends_with('%') && word.len() > 1)?;
    let size = words.get(percent.checked_sub(3)?)?.parse().ok()?;
    Some((size, words.get(percent - 1)?.parse().ok()?))
}

fn show(check: &Check, json: bool) -> Result<(), CommandError> {
    if json {
        let line = json!({
            "check": check.name, "ok": check.remedy.is_none(), "found": check.found, "remedy": check.remedy,
        });
        return output::line(&line.to_string());
    }
    let mark = if check.remedy.is_none() { "✓" } else { "✗" };
    output::line(&format!("{mark} {:<10} {}", check.name, output::shown(&check.found)))?;
    match &check.remedy {
        Some(remedy) => output::line(&format!("  {:<10} → {remedy}", "")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_1_what_is_late_is_told_while_the_server_is_ready() {
        let check = |name: &str, ok, note: Option<&str>| ReadinessCheck {
            name: name.to_owned(),
            ok,
            note: note.map(str::to_owned),
        };
        let failing = [
            check("log", true, None),
            check("publishing", false, Some("failed 7 times in a row")),
        ];
        let found = judge_readiness(true, &failing);
        assert_eq!(found.found, "not well: publishing (failed 7 times in a row)");
        assert!(found.remedy.unwrap().starts_with("nothing is lost"));
        let rebuilding = judge_readiness(true, &[check("rebuild", false, Some("5 of 9 records taken"))]);
        assert!(rebuilding.remedy.unwrap().starts_with("wait"));
        let lost = judge_readiness(true, &[check("raw", false, Some("5 records missing"))]);
        assert!(lost.remedy.unwrap().contains("raw verify"));
        assert!(judge_readiness(true, &[check("log", true, None)]).remedy.is_none());
    }

    #[test]
    fn free_space_is_read_as_posix_writes_it() {
        let text =
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/my disk 1000 400 600 40% /mnt/a b\n";
        assert_eq!(read_df(text), Some((1_000, 600)));
        assert_eq!(read_df("nothing"), None);
    }
}
