//! `kith identity`: why two identifiers are one person, what would change if, and what operators say about evidence.

use super::outlook;
use super::why::{self, WhyArgs};
use crate::client::{AsOf, Client, InSpace, read};
use crate::error::CommandError;
use crate::output::{self, Hint};
use clap::{Args, Subcommand};
use kith_catalog::{DocumentKind, parse_yaml};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What can be asked and decided.
#[derive(Subcommand, Debug)]
pub(crate) enum IdentityCommand {
    /// Says why two identifiers are one person, or why not: the events between them.
    Why(WhyArgs),
    /// Tells whom an identifier leads to, or led to as of a past instant.
    Resolve(ResolveArgs),
    /// Says who would split and who would merge, before anything changes.
    WhatIf(WhatIfArgs),
    /// Decides that an event does not link an identifier.
    Veto(VetoArgs),
    /// Decides that two identifiers are not one person.
    Unmerge(UnmergeArgs),
    /// Lists what is decided.
    Vetoes(VetoesArgs),
}

/// Flags of `kith identity resolve`.
#[derive(Args, Debug)]
pub(crate) struct ResolveArgs {
    /// `type:value`, such as email:jo@example.com, or a profile id.
    identifier: String,
    #[command(flatten)]
    as_of: AsOf,
    #[command(flatten)]
    space: InSpace,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of `kith identity what-if`.
#[derive(Args, Debug)]
pub(crate) struct WhatIfArgs {
    /// A file with a definition of kind `identity_rules`: with these rules.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Without the link of an event to an identifier; may be repeated.
    #[arg(long, num_args = 2, value_names = ["EVENT", "IDENTIFIER"])]
    without: Vec<String>,
    /// With two identifiers held apart; may be repeated.
    #[arg(long, num_args = 2, value_names = ["ONE", "OTHER"])]
    apart: Vec<String>,
    /// Looks at the evidence around this identifier only.
    #[arg(long, value_name = "IDENTIFIER")]
    around: Option<String>,
    #[command(flatten)]
    space: InSpace,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of `kith identity veto`.
#[derive(Args, Debug)]
pub(crate) struct VetoArgs {
    /// The event's address, as `kith identity why` and `kith profile events` show it.
    event: String,
    /// What it does not link, as `type:value`.
    identifier: String,
    #[command(flatten)]
    decision: DecisionArgs,
}

/// Flags of `kith identity unmerge`.
#[derive(Args, Debug)]
pub(crate) struct UnmergeArgs {
    /// One, as `type:value`.
    one: String,
    /// The other.
    other: String,
    #[command(flatten)]
    decision: DecisionArgs,
}

/// Flags of every decision.
#[derive(Args, Debug)]
pub(crate) struct DecisionArgs {
    /// Takes the decision back.
    #[arg(long)]
    remove: bool,
    /// Why.
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    space: InSpace,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of `kith identity vetoes`.
#[derive(Args, Debug)]
pub(crate) struct VetoesArgs {
    #[command(flatten)]
    space: InSpace,
    /// Prints one JSON object a veto.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct ResolvedTo {
    profile: String,
    redirected_from: Option<String>,
    identifiers: Vec<String>,
    as_of: String,
    known_at: String,
    profile_today: Option<String>,
}

#[derive(Deserialize)]
struct Vetoed {
    decided_by: Option<String>,
    applied: bool,
    #[serde(default)]
    unknown: Vec<String>,
}

#[derive(Deserialize)]
struct Vetoes {
    vetoes: Vec<Value>,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: IdentityCommand) -> Result<(), CommandError> {
    match command {
        IdentityCommand::Why(args) => why::run(client, &args).await,
        IdentityCommand::Resolve(args) => resolve(client, &args).await,
        IdentityCommand::WhatIf(args) => what_if(client, &args).await,
        IdentityCommand::Veto(args) => {
            let veto = json!({"event": args.event, "identifier": args.identifier});
            decide(client, veto, &args.decision).await
        }
        IdentityCommand::Unmerge(args) => {
            let pair = json!({"one": args.one, "other": args.other});
            decide(client, pair, &args.decision).await
        }
        IdentityCommand::Vetoes(args) => vetoes(client, &args).await,
    }
}

async fn resolve(client: &Client, args: &ResolveArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.space.space.as_str(), "identity", "resolve"];
    let as_of = args.as_of.query();
    let mut query = vec![("identifier", args.identifier.as_str())];
    query.extend(as_of.iter().map(|(name, value)| (*name, value.as_str())));
    let text = client.get_person(&path, &query, &args.identifier).await?;
    if args.json {
        return output::line(&text);
    }
    let resolved: ResolvedTo = read(&text)?;
    let known_at = (!as_of.is_empty()).then_some(resolved.known_at.as_str());
    let when = super::profile::told_of(Some(&resolved.as_of), known_at);
    output::line(&format!("profile {}{when}", resolved.profile))?;
    if let Some(from) = &resolved.redirected_from {
        output::line(&format!("  merged from {from}"))?;
    }
    for identifier in &resolved.identifiers {
        output::line(&format!("  {}", output::shown(identifier)))?;
    }
    match &resolved.profile_today {
        Some(today) if *today != resolved.profile => output::line(&format!("Today it leads to {today}.")),
        Some(_) => Ok(()),
        None => output::line("Today it leads to nobody."),
    }
}

async fn what_if(client: &Client, args: &WhatIfArgs) -> Result<(), CommandError> {
    let pairs = |list: &[String], names: [&str; 2]| -> Vec<Value> {
        let pairs = list
            .chunks_exact(2)
            .map(|pair| json!({names[0]: pair[0], names[1]: pair[1]}));
        pairs.collect()
    };
    let mut add = pairs(&args.without, ["event", "identifier"]);
    add.extend(pairs(&args.apart, ["one", "other"]));
    let rules = args.rules.as_deref().map(rules_in).transpose()?;
    if rules.is_none() && add.is_empty() {
        let hint =
            Hint::new("give --rules FILE, --without EVENT IDENTIFIER or --apart ONE OTHER, with --around or alone");
        return Err(CommandError::caused("there is nothing to compare with", hint));
    }
    let body = json!({"rules": rules, "add": add, "around": args.around});
    let path = ["api", "spaces", args.space.space.as_str(), "identity", "what-if"];
    let text = client.post(&path, &body).await?;
    if args.json {
        return output::line(&text);
    }
    outlook::show(&read(&text)?)
}

/// The rules that a file defines.
fn rules_in(path: &Path) -> Result<Value, CommandError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| CommandError::caused(format!("{name} cannot be read"), error))?;
    let documents = parse_yaml(&name, &text).map_err(|problems| {
        let lines: Vec<String> = problems
            .iter()
            .map(|one| format!("{}: {}", one.path, one.message))
            .collect();
        CommandError::caused(format!("{name} holds no definition"), Hint::new(lines.join("\n")))
    })?;
    let mut rules = documents
        .into_iter()
        .filter(|document| document.kind == DocumentKind::IdentityRules);
    let Some(first) = rules.next() else {
        let hint = Hint::new("write kind: identity_rules, a name and a spec");
        return Err(CommandError::caused(
            format!("{name} defines no rules of identity"),
            hint,
        ));
    };
    if let Some(second) = rules.next() {
        let hint = Hint::new("a space has one document of this kind: keep one of them in the file");
        let what = format!("{name} holds {} and {}", first.id(), second.id());
        return Err(CommandError::caused(what, hint));
    }
    Ok(first.spec)
}

async fn decide(client: &Client, veto: Value, args: &DecisionArgs) -> Result<(), CommandError> {
    let field = if args.remove { "remove" } else { "add" };
    let path = ["api", "spaces", args.space.space.as_str(), "identity", "vetoes"];
    let text = client
        .post(&path, &json!({field: [veto], "reason": args.reason}))
        .await?;
    if args.json {
        return output::line(&text);
    }
    let vetoed: Vetoed = read(&text)?;
    output::line(match (&vetoed.decided_by, vetoed.applied) {
        (None, _) => "that is decided already",
        (Some(_), true) if !vetoed.unknown.is_empty() => "decided; nobody is regrouped by it now",
        (Some(_), true) => "decided; whoever it concerns is regrouped",
        (Some(_), false) => "decided; whoever it concerns will be regrouped once the pipeline has come to it",
    })?;
    for unknown in &vetoed.unknown {
        let shown = output::shown(unknown);
        output::line(&format!("nobody has {shown} yet: the decision holds for when it comes"))?;
    }
    Ok(())
}

async fn vetoes(client: &Client, args: &VetoesArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.space.space.as_str(), "identity", "vetoes"];
    let list: Vetoes = read(&client.get(&path, &[]).await?)?;
    if list.vetoes.is_empty() && !args.json {
        return output::line("no vetoes");
    }
    for veto in &list.vetoes {
        if args.json {
            output::line(&veto.to_string())?;
            continue;
        }
        let field = |name: &str| output::shown(veto.get(name).and_then(Value::as_str).unwrap_or_default());
        let said = match veto.get("event") {
            Some(_) => format!("event {} does not link {}", field("event"), field("identifier")),
            None => format!("{} and {} are not one person", field("one"), field("other")),
        };
        let since = veto.get("since").and_then(Value::as_str);
        let reason = field("reason");
        let because = if reason.is_empty() {
            reason
        } else {
            format!(": {reason}")
        };
        output::line(&format!("{said}{}{because}", super::profile::since(since)))?;
    }
    Ok(())
}
