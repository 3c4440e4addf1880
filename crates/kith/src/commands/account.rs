//! `kith account`: one account by its id, with its traits and its people.

use super::profile::section;
use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::fields::{Fields, plain};
use crate::output;
use crate::table::on_a_line;
use clap::{Args, Subcommand};
use serde::Deserialize;

/// How many of its people are shown unless asked otherwise.
const MEMBERS_SHOWN: u32 = 20;

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
    /// How many of its people are shown, at most 1,000.
    #[arg(long, default_value_t = MEMBERS_SHOWN)]
    members: u32,
    /// Goes on with the people after these: what the answer before gave.
    #[arg(long)]
    next: Option<String>,
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
    members_next: Option<String>,
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
    let limit = args.members.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.next.as_deref().map(|next| ("next", next)));
    if args.verbose {
        query.push(("verbose", "true"));
    }
    let path = ["api", "spaces", args.space.space.as_str(), "accounts", &args.id];
    let text = client.get_account(&path, &query, &args.id).await?;
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
        format!("{name}: {}", on_a_line(&plain(value)))
    })?;
    section("members", &account.members, |member| {
        format!("{}  since {}", member.profile_id, member.since)
    })?;
    if let Some(next) = &account.members_next {
        output::line(&format!("  there are more: --next {next}"))?;
    }
    section(
        "limits reached, so that what they bound is approximate",
        &account.limits_reached,
        Clone::clone,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Reach;
    use axum::Router;
    use axum::http::StatusCode;

    #[tokio::test]
    async fn an_account_that_nothing_names_is_told_by_its_id() {
        let body = r#"{"error":{"code":"not_found","message":"Account was not found."}}"#;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().fallback(move || async move { (StatusCode::NOT_FOUND, body) });
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let args = GetArgs {
            id: "ac me".to_owned(),
            space: InSpace {
                space: kith_types::SpaceId::main(),
            },
            verbose: false,
            members: 1,
            next: None,
            json: true,
        };
        let client = Client::new(&Reach { url }).unwrap();
        let error = run(&client, AccountCommand::Get(args)).await.unwrap_err();
        serving.abort();
        assert_eq!(error.to_string(), "no event names the account ac me");
    }
}
