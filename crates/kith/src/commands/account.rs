//! `kith account`: one account by its id, with its traits and its people.

use super::profile::section;
use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::fields::{Fields, plain};
use crate::output;
use clap::{Args, Subcommand};
use serde::Deserialize;

/// Members that are shown; `--json` has all.
const MEMBERS_SHOWN: usize = 20;

/// What can be asked of accounts.
#[derive(Subcommand, Debug)]
pub(crate) enum AccountCommand {
    /// Shows an account.
    Get(GetArgs),
}

/// Flags of `kith account get`.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// Which: the groupId that events send.
    id: String,
    #[command(flatten)]
    space: InSpace,
    /// Shows where traits come from and what other sources say; with --json only.
    #[arg(long, requires = "json")]
    verbose: bool,
    /// Prints the account as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Account {
    group_id: String,
    created_at: Option<String>,
    updated_at: Option<String>,
    event_count: u64,
    traits: Fields,
    members: Vec<Member>,
    limits_reached: Vec<String>,
}

#[derive(Deserialize)]
struct Member {
    profile_id: String,
    since: String,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: AccountCommand) -> Result<(), CommandError> {
    let AccountCommand::Get(args) = command;
    let query: &[(&str, &str)] = if args.verbose { &[("verbose", "true")] } else { &[] };
    let path = ["api", "spaces", args.space.space.as_str(), "accounts", &args.id];
    let text = client.get(&path, query).await?;
    if args.json {
        output::line(&text)
    } else {
        show(&read(&text)?)
    }
}

fn show(account: &Account) -> Result<(), CommandError> {
    output::line(&format!("account {}", output::shown(&account.group_id)))?;
    if let (Some(first), Some(last)) = (&account.created_at, &account.updated_at) {
        output::line(&format!(
            "  first seen {first}, last seen {last}, {} events",
            account.event_count
        ))?;
    }
    section("traits", &account.traits.0, |(name, value)| {
        format!("{name}: {}", plain(value))
    })?;
    let shown = account.members.len().min(MEMBERS_SHOWN);
    section(
        &format!("members ({shown} of {})", account.members.len()),
        &account.members[..shown],
        |member| format!("{}  since {}", member.profile_id, member.since),
    )?;
    section(
        "limits reached, so that what they bound is approximate",
        &account.limits_reached,
        Clone::clone,
    )
}
