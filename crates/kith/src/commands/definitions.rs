//! `kith plan`, `kith apply` and `kith export`: definitions between files and a server.
//!
//! Files are read and checked for their form here, so that a problem names its file; what they mean is the server's to
//! judge.

use super::{destinations, drafts};
use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output::{self, Hint};
use crate::progress::Progress;
use clap::Args;
use kith_catalog::{document_places, read_documents};
use kith_types::Address;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a refold is looked at.
const POLL: Duration = Duration::from_millis(250);
/// The kinds of definition that say something about people.
const PEOPLES: [&str; 4] = ["identity_rules", "trait_rules", "computed_trait", "segment"];

/// Flags of `kith plan`.
#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    proposal: ProposalArgs,
    /// Leaves out what it would do to people, for which everybody is counted.
    #[arg(long)]
    no_people: bool,
}

/// Flags of `kith apply`.
#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    proposal: ProposalArgs,
    /// Why, for the history.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Returns when what was applied covers all history.
    #[arg(long)]
    wait: bool,
}

/// What is proposed.
#[derive(Args, Debug)]
struct ProposalArgs {
    /// A YAML or JSON file of definitions, or a folder of such files.
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    file: PathBuf,
    /// Deletes every definition that is not among the files.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    space: InSpace,
    /// Prints the changes as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of `kith export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The file to write; standard output unless given.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    space: InSpace,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Plan {
    changes: Vec<Change>,
    #[serde(default)]
    warnings: Vec<Warning>,
    decided_by: Option<String>,
}

#[derive(Deserialize)]
struct Warning {
    document: String,
    message: String,
}

#[derive(Deserialize)]
struct Change {
    kind: String,
    name: String,
    action: String,
    diff: Vec<String>,
}

#[derive(Deserialize)]
struct Refolding {
    stages: Vec<Stage>,
    refolds: Vec<Refold>,
}

#[derive(Deserialize)]
struct Stage {
    name: String,
    through: Option<String>,
    lag_records: u64,
}

#[derive(Deserialize)]
struct Refold {
    space: String,
    definition: String,
    records_done: u64,
    records_total: u64,
    /// Every segment has its members already.
    #[serde(default)]
    live: bool,
}

/// Shows what would change.
///
/// # Errors
/// Files that cannot be read, and what the server refuses.
pub(crate) async fn plan(client: &Client, args: &PlanArgs) -> Result<(), CommandError> {
    let proposal = &args.proposal;
    let (body, text) = propose(client, proposal, "plan", "").await?;
    let plan: Plan = read(&text)?;
    if !proposal.json {
        let new = plan
            .changes
            .iter()
            .filter(|change| change.kind == "destination" && change.action == "create");
        let new: Vec<&str> = new.map(|change| change.name.as_str()).collect();
        destinations::show_members(client, &proposal.space, &body, &new).await?;
    }
    let concerns = |change: &Change| change.action != "unchanged" && PEOPLES.contains(&change.kind.as_str());
    if args.no_people || !plan.changes.iter().any(concerns) {
        return if proposal.json { output::line(&text) } else { Ok(()) };
    }
    let people = drafts::impact(client, &proposal.space, &body).await?;
    if !proposal.json {
        return drafts::show_impact(&people);
    }
    let mut whole: serde_json::Value = read(&text)?;
    whole["people"] = people;
    output::line(&whole.to_string())
}

/// Applies.
///
/// # Errors
/// As [`plan`].
pub(crate) async fn apply(client: &Client, args: &ApplyArgs) -> Result<(), CommandError> {
    let (_, text) = propose(client, &args.proposal, "apply", &args.reason).await?;
    if args.proposal.json {
        output::line(&text)?;
    }
    if !args.wait {
        return Ok(());
    }
    // Where nothing changes, what was decided before may still be on its way.
    let decided_by = read::<Plan>(&text)?.decided_by;
    let waited = wait_for_refolds(client, args.proposal.space.space.as_str(), decided_by.as_deref()).await;
    waited.map_err(|error| waiting_failed(decided_by.as_deref(), error))
}

/// What was decided is in the log whatever becomes of whoever waits for it.
fn waiting_failed(decided_by: Option<&str>, error: CommandError) -> CommandError {
    let what = match decided_by {
        Some(decision) => format!("the decision of record {decision} stands; only waiting for it failed"),
        None => "nothing was to be decided; waiting for what was decided before failed".to_owned(),
    };
    let hint = "`kith status` says how far it is, and the same command waits again, without deciding anything twice";
    CommandError::caused(what, Hint::caused(hint, error))
}

/// Sends a proposal, puts what came of it into words unless JSON is wanted, and gives what was sent and answered.
async fn propose(
    client: &Client,
    args: &ProposalArgs,
    action: &str,
    reason: &str,
) -> Result<(serde_json::Value, String), CommandError> {
    let documents = read_files(&args.file)?;
    if args.prune && documents.is_empty() {
        return Err(nothing_to_keep(&args.file));
    }
    let body = json!({ "documents": documents, "prune": args.prune, "reason": reason });
    let path = ["api", "spaces", args.space.space.as_str(), "definitions", action];
    let answer = client.try_post(&path, body.to_string().into()).await;
    let text = answer.map_err(|error| client.unreachable(error))?.map_err(|refused| {
        let places = document_places(&args.file);
        client.explain(&refused.placed(|document| places.get(document).cloned()))
    })?;
    if !args.json {
        show(&read(&text)?, action == "apply")?;
    }
    Ok((body, text))
}

/// Files without a definition are a slip, such as an export that failed: with `--prune` they would delete everything.
fn nothing_to_keep(file: &Path) -> CommandError {
    let what = format!("no definitions are in {}: nothing is deleted", file.display());
    let hint = "--prune deletes every definition that is not among the files, which would be all of them; name the files \
                that hold those to keep";
    CommandError::caused(what, Hint::new(hint))
}

pub(super) fn read_files(path: &Path) -> Result<Vec<serde_json::Value>, CommandError> {
    match read_documents(path) {
        Ok(documents) => Ok(documents.iter().map(kith_catalog::Document::to_json).collect()),
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(|problem| format!("\n  - {problem}")).collect();
            Err(CommandError::new(format!(
                "the definitions cannot be read:{}",
                lines.concat()
            )))
        }
    }
}

fn show(plan: &Plan, applied: bool) -> Result<(), CommandError> {
    let mut unchanged = 0_usize;
    let mut counts = [("create", 0_usize), ("update", 0), ("delete", 0)];
    for change in &plan.changes {
        match counts.iter_mut().find(|(action, _)| *action == change.action) {
            Some((_, count)) => *count += 1,
            None => {
                unchanged += 1;
                continue;
            }
        }
        output::line(&format!("{} {}/{}", change.action, change.kind, change.name))?;
        for line in &change.diff {
            output::line(&format!("    {}", output::shown(line)))?;
        }
    }
    let [(_, created), (_, updated), (_, deleted)] = counts;
    let (create, update, delete) = if applied {
        ("created", "updated", "deleted")
    } else {
        ("to create", "to update", "to delete")
    };
    output::line(&format!(
        "{created} {create}, {updated} {update}, {deleted} {delete}, {unchanged} unchanged"
    ))?;
    for warning in &plan.warnings {
        let told = format!("warning: {}: {}", warning.document, warning.message);
        output::note(&output::shown(&told));
    }
    match &plan.decided_by {
        Some(address) => output::line(&format!("decided by record {address}")),
        None => Ok(()),
    }
}

/// Returns when the pipeline has taken the decision, or without one all that is in the log by now, and every segment of the space has its
/// members by all of its history.
async fn wait_for_refolds(client: &Client, space: &str, decision: Option<&str>) -> Result<(), CommandError> {
    let decision = decision.and_then(|decision| decision.parse::<Address>().ok());
    let mut end = decision.map(|decision| decision.sequence + 1);
    let mut progress = Progress::new("{msg}  {bar:40}  {percent}%  {eta}");
    loop {
        let status: Refolding = read(&client.get(&["api", "status"], &[]).await?)?;
        let pipeline = status.stages.iter().find(|stage| stage.name == "pipeline");
        let through = pipeline.and_then(|stage| stage.through.as_deref()?.parse::<Address>().ok());
        let taken = through.map_or(0, |through| through.sequence + 1);
        let end = *end.get_or_insert(taken + pipeline.map_or(0, |stage| stage.lag_records));
        let (mut done, mut total, mut doing) = (0, 0, Vec::new());
        let others = |refold: &&Refold| refold.space == space && !refold.live;
        for refold in status.refolds.iter().filter(others) {
            done += refold.records_done;
            total += refold.records_total.max(refold.records_done + 1);
            doing.push(refold.definition.as_str());
        }
        if total == 0 && taken >= end {
            return Ok(());
        }
        match doing[..] {
            [] => progress.shows("taking what came before", (taken, end), "records"),
            _ => progress.shows(
                &format!("folding history of {}", doing.join(" and ")),
                (done, total),
                "",
            ),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Writes the definitions that hold.
///
/// # Errors
/// What the server refuses, or a file that cannot be written.
pub(crate) async fn export(client: &Client, args: &ExportArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.space.space.as_str(), "definitions"];
    let mut text = if args.json {
        client.get(&path, &[]).await?
    } else {
        client.get_yaml(&path).await?
    };
    if !text.ends_with('\n') && !text.is_empty() {
        text.push('\n');
    }
    let Some(file) = &args.file else {
        return output::text(&text);
    };
    std::fs::write(file, text)
        .map_err(|error| CommandError::caused(format!("{} cannot be written", file.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Reach;

    async fn refused(file: &Path, action: &str) -> String {
        // Nobody listens there, which is told only where a request is sent.
        let url = "http://127.0.0.1:9".parse().unwrap();
        let args = ProposalArgs {
            file: file.to_owned(),
            prune: true,
            space: InSpace {
                space: kith_types::SpaceId::main(),
            },
            json: false,
        };
        let client = Client::new(&Reach { url }).unwrap();
        propose(&client, &args, action, "").await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_is_told_that_the_decision_stands() {
        // A server that is gone.
        let url = "http://127.0.0.1:9".parse().unwrap();
        let client = Client::new(&Reach { url }).unwrap();
        for (decided_by, what) in [
            (
                Some("0-0-12-0"),
                "the decision of record 0-0-12-0 stands; only waiting for it failed",
            ),
            (
                None,
                "nothing was to be decided; waiting for what was decided before failed",
            ),
        ] {
            let gone = wait_for_refolds(&client, "main", decided_by).await.unwrap_err();
            let told = output::failure_text(&waiting_failed(decided_by, gone)).unwrap();
            let begins = format!("error: {what}\n  caused by: no server answers at http://127.0.0.1:9/");
            assert!(told.starts_with(&begins), "{told}");
            assert!(told.contains("\n  `kith status` says how far it is"), "{told}");
        }
    }

    #[tokio::test]
    async fn pruning_by_files_without_a_definition_is_refused_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        for text in ["", "# nothing yet\n", "---\n---\n"] {
            std::fs::write(&file, text).unwrap();
            for (path, action) in [(file.as_path(), "apply"), (folder.path(), "plan")] {
                let told = format!("no definitions are in {}: nothing is deleted", path.display());
                assert_eq!(refused(path, action).await, told, "{text:?}");
            }
        }
        std::fs::write(&file, "kind: source\nname: web\nspec: {}\n").unwrap();
        assert!(refused(&file, "apply").await.starts_with("no server answers"));
    }
}
