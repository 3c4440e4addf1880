//! `kith profile`: one person by any identifier, and what they did.

use crate::client::{AsOf, Client, InSpace, read};
use crate::error::CommandError;
use crate::fields::{Fields, plain};
use crate::output;
use crate::table::{Cell, Table, on_a_line};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Events of a page, the most that the server gives.
const PAGE: u64 = 200;

/// What can be asked of people.
#[derive(Subcommand, Debug)]
pub(crate) enum ProfileCommand {
    /// Shows a person.
    Get(GetArgs),
    /// Lists a person's events, latest first.
    Events(EventsArgs),
}

/// Flags of `kith profile get`.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// Whom: `type:value`, such as email:jo@example.com, or a profile id.
    person: String,
    #[command(flatten)]
    as_of: AsOf,
    #[command(flatten)]
    space: InSpace,
    /// Shows where traits come from and what other sources say; with --json only.
    #[arg(long, requires = "json")]
    verbose: bool,
    /// Prints the person as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of `kith profile events`.
#[derive(Args, Debug)]
pub(crate) struct EventsArgs {
    /// Whom: `type:value`, such as email:jo@example.com, or a profile id.
    person: String,
    #[command(flatten)]
    space: InSpace,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u64,
    /// Only events of these names, parted by commas.
    #[arg(long, value_name = "NAMES")]
    include: Option<String>,
    /// Prints one JSON object an event.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Profile {
    id: String,
    redirected_from: Option<String>,
    as_of: Option<String>,
    known_at: Option<String>,
    created_at: String,
    updated_at: String,
    traits: Fields,
    computed_traits: Fields,
    identifiers: Vec<Identifier>,
    #[serde(default)]
    left_out: Vec<LeftOut>,
    consents: Vec<Consent>,
    segments: Vec<Membership>,
    accounts: Vec<Account>,
    recent_events: Vec<RecentEvent>,
    limits_reached: Vec<String>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    source: Option<String>,
    valid_from: Option<String>,
    valid_to: Option<String>,
}

#[derive(Deserialize)]
struct LeftOut {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    because: String,
}

#[derive(Deserialize)]
struct Consent {
    topic: String,
    status: String,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Membership {
    name: String,
    entered_at: Option<String>,
    approximate: bool,
}

#[derive(Deserialize)]
struct Account {
    group_id: String,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct RecentEvent {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    event_time: String,
    source: String,
    properties: Box<RawValue>,
}

#[derive(Deserialize)]
struct EventPage {
    #[serde(rename = "data")]
    events: Vec<Box<RawValue>>,
    cursor: Cursor,
}

#[derive(Deserialize)]
struct Cursor {
    has_more: bool,
    next: String,
}

#[derive(Deserialize)]
struct PagedEvent {
    #[serde(rename = "type")]
    kind: String,
    event: String,
    timestamp: String,
    source_id: String,
    properties: Box<RawValue>,
}

/// Runs one of them.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, command: ProfileCommand) -> Result<(), CommandError> {
    match command {
        ProfileCommand::Get(args) => get(client, &args).await,
        ProfileCommand::Events(args) => events(client, &args).await,
    }
}

async fn get(client: &Client, args: &GetArgs) -> Result<(), CommandError> {
    let as_of = args.as_of.query();
    let mut query: Vec<(&str, &str)> = as_of.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if args.verbose {
        query.push(("verbose", "true"));
    }
    let text = client
        .get_person(
            &["api", "spaces", args.space.space.as_str(), "profiles", &args.person],
            &query,
            &args.person,
        )
        .await?;
    if args.json {
        output::line(&text)
    } else {
        show(&read(&text)?)
    }
}

fn show(profile: &Profile) -> Result<(), CommandError> {
    let when = told_of(profile.as_of.as_deref(), profile.known_at.as_deref());
    output::line(&format!("profile {}{when}", profile.id))?;
    if let Some(from) = &profile.redirected_from {
        output::line(&format!("  merged from {from}"))?;
    }
    output::line(&format!(
        "  first seen {}, last seen {}",
        profile.created_at, profile.updated_at
    ))?;
    section("identifiers", &profile.identifiers, |identifier| {
        let source = identifier
            .source
            .as_deref()
            .map(|source| format!("  from {source}"))
            .unwrap_or_default();
        let held = held(identifier.valid_from.as_deref(), identifier.valid_to.as_deref());
        format!("{}:{}{source}{held}", identifier.kind, on_a_line(&identifier.value))
    })?;
    section(
        "left out of a link of some event, as `kith identity why` explains",
        &profile.left_out,
        |out| format!("{}:{}: {}", out.kind, on_a_line(&out.value), on_a_line(&out.because)),
    )?;
    section("traits", &profile.traits.0, |(name, value)| {
        format!("{}: {}", on_a_line(name), on_a_line(&plain(value)))
    })?;
    section("computed traits", &profile.computed_traits.0, |(name, value)| {
        format!("{name}: {}", on_a_line(&plain(value)))
    })?;
    section("consents", &profile.consents, |consent| {
        format!(
            "{}: {}{}",
            on_a_line(&consent.topic),
            answer(&consent.status),
            since(consent.updated_at.as_deref())
        )
    })?;
    section("segments", &profile.segments, |segment| {
        let mark = if segment.approximate { " (approximate)" } else { "" };
        format!("{}{}{mark}", segment.name, since(segment.entered_at.as_deref()))
    })?;
    section("accounts", &profile.accounts, |account| {
        format!(
            "{}{}",
            on_a_line(&account.group_id),
            since(account.created_at.as_deref())
        )
    })?;
    section("latest events", &profile.recent_events, |event| {
        format!(
            "{}  {}  {}  {}  {}",
            event.event_time,
            event.kind,
            on_a_line(&event.name),
            event.source,
            on_a_line(event.properties.get())
        )
    })?;
    section(
        "limits reached, so that what they bound is approximate",
        &profile.limits_reached,
        Clone::clone,
    )
}

/// The past instant that an answer speaks of, and by what knowledge; nothing for the present.
pub(crate) fn told_of(as_of: Option<&str>, known_at: Option<&str>) -> String {
    match (as_of, known_at) {
        (Some(at), Some(known_at)) if at == known_at => format!(" at {at}, as known then"),
        (Some(at), Some(known_at)) => format!(" at {at}, as known at {known_at}"),
        (Some(at), None) => format!(" at {at}"),
        (None, _) => String::new(),
    }
}

/// When an identifier that changes hands was this person's; nothing where it is theirs from beginning to end.
fn held(from: Option<&str>, until: Option<&str>) -> String {
    match (from, until) {
        (None, None) => String::new(),
        (None, Some(until)) => format!("  until {until}"),
        (Some(from), Some(until)) => format!("  from {from} until {until}"),
        (Some(from), None) => format!("  from {from} on"),
    }
}

/// What somebody answered, in the words that definitions use.
fn answer(status: &str) -> &str {
    match status {
        "subscribed" => "granted",
        "unsubscribed" => "denied",
        other => other,
    }
}

pub(crate) fn since(moment: Option<&str>) -> String {
    moment.map(|moment| format!("  since {moment}")).unwrap_or_default()
}

pub(crate) fn section<T>(title: &str, items: &[T], text: impl Fn(&T) -> String) -> Result<(), CommandError> {
    if items.is_empty() {
        return Ok(());
    }
    output::line(&format!("\n{title}"))?;
    items
        .iter()
        .try_for_each(|item| output::line(&format!("  {}", output::shown(&text(item)))))
}

async fn events(client: &Client, args: &EventsArgs) -> Result<(), CommandError> {
    let space = args.space.space.as_str();
    let path = [
        "v1",
        "spaces",
        space,
        "collections",
        "users",
        "profiles",
        &args.person,
        "events",
    ];
    let mut table = Table::new(&["time", "type", "event", "source", "properties"]);
    let mut left = args.limit;
    let mut next = String::new();
    while left > 0 {
        let limit = left.min(PAGE).to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(args.include.as_deref().map(|names| ("include", names)));
        if !next.is_empty() {
            query.push(("next", &next));
        }
        let page: EventPage = read(&client.get_person(&path, &query, &args.person).await?)?;
        for event in &page.events {
            left = left.saturating_sub(1);
            if args.json {
                output::line(event.get())?;
                continue;
            }
            let event: PagedEvent = read(event.get())?;
            table.row(vec![
                Cell::text(&event.timestamp),
                Cell::text(&event.kind),
                Cell::text(&event.event),
                Cell::text(&event.source_id),
                Cell::text(event.properties.get()),
            ])?;
        }
        if !page.cursor.has_more {
            break;
        }
        next = page.cursor.next;
    }
    if args.json { Ok(()) } else { table.finish() }
}
