//! `kith identity`: why two identifiers are one person, what would change if, and what operators say about evidence.

use super::outlook;
use crate::client::{AsOf, Client, InSpace, read};
use crate::error::CommandError;
use crate::output::{self, Hint};
use clap::{Args, Subcommand};
use kith_catalog::{DocumentKind, parse_yaml};
use kith_types::ProfileId;
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

/// Flags of `kith identity why`.
#[derive(Args, Debug)]
pub(crate) struct WhyArgs {
    /// One, as `type:value`, such as email:jo@example.com, or a profile id: that stands for the identifier that it comes from.
    one: String,
    /// The other.
    other: String,
    #[command(flatten)]
    space: InSpace,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
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
struct Shared {
    identifier: String,
    turns_total: usize,
    turns: Vec<Turn>,
}

#[derive(Deserialize)]
struct Turn {
    profile: String,
    from: Option<String>,
    to: Option<String>,
    event: Option<Event>,
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
struct Why {
    one: String,
    other: String,
    together: bool,
    profiles: Vec<Option<String>>,
    path: Vec<Joint>,
    #[serde(default)]
    shared: Vec<Shared>,
    left_out: Vec<LeftOut>,
    bound_reached: bool,
}

#[derive(Deserialize)]
struct Joint {
    from: Stop,
    to: Stop,
    how: String,
    event: Event,
    left_out: Vec<LeftOut>,
}

#[derive(Deserialize)]
struct Stop {
    identifier: String,
}

#[derive(Deserialize)]
struct Event {
    address: String,
    event_time: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct LeftOut {
    identifier: String,
    because: String,
    event: Option<Event>,
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
        IdentityCommand::Why(args) => why(client, &args).await,
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

async fn why(client: &Client, args: &WhyArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.space.space.as_str(), "identity", "why"];
    let asked = [("one", args.one.as_str()), ("other", args.other.as_str())];
    let text = client.get_naming(&path, &asked).await?;
    if args.json {
        return output::line(&text);
    }
    let why: Why = read(&text)?;
    let (one, other) = (output::shown(&why.one), output::shown(&why.other));
    for ((_, asked), identifier) in asked.iter().zip([&one, &other]) {
        let id = asked.strip_prefix("profile_id:").unwrap_or(asked);
        if id.parse::<ProfileId>().is_ok() {
            output::line(&format!("{id} comes from {identifier}."))?;
        }
    }
    // A shared identifier changes hands: what joined it to somebody may have ended.
    let now_apart = matches!(&why.profiles[..], [Some(one), Some(other)] if one != other);
    let are = match (why.together, now_apart) {
        (true, false) => "are one person",
        (true, true) => "were one person for a while, and are not now",
        (false, _) => "are not one person",
    };
    output::line(&format!("{one} and {other} {are}."))?;
    for (identifier, profile) in [&one, &other].into_iter().zip(&why.profiles) {
        output::line(&format!(
            "  {identifier} belongs to {}",
            profile.as_deref().unwrap_or("nobody")
        ))?;
    }
    if one == other {
        output::line("They are one and the same identifier.")?;
    } else if why.path.is_empty() && !why.together && why.shared.is_empty() {
        output::line("No evidence connects them.")?;
    }
    for joint in &why.path {
        let (from, to) = (
            output::shown(&joint.from.identifier),
            output::shown(&joint.to.identifier),
        );
        let how = match joint.how.as_str() {
            "alias" => "by an alias",
            "signed_in" => "by a sign-in",
            "first_seen_beside" => "first seen beside it",
            _ => "named together",
        };
        output::line(&format!("  {from} - {to}: {how}, {}", told(&joint.event)))?;
        for out in &joint.left_out {
            let identifier = output::shown(&out.identifier);
            output::line(&format!(
                "    {identifier} was left out: {}",
                output::shown(&out.because)
            ))?;
        }
    }
    tell_shared(&why.shared)?;
    if why.bound_reached {
        output::line("The evidence here is at a bound: what came later may have been refused.")?;
    }
    if !why.left_out.is_empty() {
        output::line("Left out of their links:")?;
    }
    for out in &why.left_out {
        let event = out.event.as_ref().map(told).unwrap_or_default();
        output::line(&format!(
            "  {}: {} ({event})",
            output::shown(&out.identifier),
            output::shown(&out.because)
        ))?;
    }
    Ok(())
}

/// What two people share, and whose it was when.
fn tell_shared(shared: &[Shared]) -> Result<(), CommandError> {
    for shared in shared {
        let identifier = output::shown(&shared.identifier);
        output::line(&format!("They share {identifier}; what was done on it belongs to"))?;
        for turn in &shared.turns {
            let when = match (&turn.from, &turn.to) {
                (None, Some(to)) => format!("until {to}"),
                (Some(from), Some(to)) => format!("from {from} until {to}"),
                (Some(from), None) => format!("from {from} on"),
                (None, None) => "always".to_owned(),
            };
            let by = turn.event.as_ref().map(|event| format!(" ({})", told(event)));
            output::line(&format!("  {} {when}{}", turn.profile, by.unwrap_or_default()))?;
        }
        let more = shared.turns_total.saturating_sub(shared.turns.len());
        if more > 0 {
            output::line(&format!("  and {more} more turns"))?;
        }
    }
    Ok(())
}

fn told(event: &Event) -> String {
    let name = event
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .or(event.kind.as_deref());
    let parts = [name, event.source.as_deref(), event.event_time.as_deref()];
    let mut text: String = parts
        .into_iter()
        .flatten()
        .map(|part| format!("{}, ", output::shown(part)))
        .collect();
    text.push_str(&format!("event {}", event.address));
    text
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
