//! `kith space limits`: what a space may send and hold, shown beside what it holds, and set.
//!
//! The server takes all limits of a space at once; what a flag does not name stays as it is.

use crate::client::{Client, read};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use clap::Args;
use kith_types::SpaceId;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::str::FromStr;

/// Flags of `kith space limits`. Without one that sets a limit they are shown.
#[derive(Args, Debug)]
pub(crate) struct LimitsArgs {
    /// The space.
    name: SpaceId,
    /// Events that the doors take in a second, on the average; or none.
    #[arg(long, value_name = "N|none")]
    events_per_second: Option<Limit>,
    /// Events that may come at once after a silence; or none: those of one second.
    #[arg(long, value_name = "N|none")]
    burst_events: Option<Limit>,
    /// Events of one batch; or none.
    #[arg(long, value_name = "N|none")]
    batch_events: Option<Limit>,
    /// Bytes of one body, unpacked; or none.
    #[arg(long, value_name = "N|none")]
    batch_bytes: Option<Limit>,
    /// Sources; or none.
    #[arg(long, value_name = "N|none")]
    sources: Option<Limit>,
    /// Definitions of every kind; or none.
    #[arg(long, value_name = "N|none")]
    definitions: Option<Limit>,
    /// Segments; or none.
    #[arg(long, value_name = "N|none")]
    segments: Option<Limit>,
    /// Computed traits; or none.
    #[arg(long, value_name = "N|none")]
    computed_traits: Option<Limit>,
    /// Prints the limits as JSON.
    #[arg(long)]
    json: bool,
}

/// A limit to set, or that there is none.
#[derive(Clone, Copy, Debug)]
struct Limit(Option<u64>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            _ => text
                .parse()
                .map(|limit| Self(Some(limit)))
                .map_err(|_| "a limit is a whole number, or none".to_owned()),
        }
    }
}

#[derive(Deserialize)]
struct SpaceLimits {
    limits: Map<String, Value>,
    usage: Map<String, Value>,
}

impl LimitsArgs {
    fn given(&self) -> [(&'static str, Option<Limit>); 8] {
        [
            ("events_per_second", self.events_per_second),
            ("burst_events", self.burst_events),
            ("batch_events", self.batch_events),
            ("batch_bytes", self.batch_bytes),
            ("sources", self.sources),
            ("definitions", self.definitions),
            ("segments", self.segments),
            ("computed_traits", self.computed_traits),
        ]
    }
}

/// Shows or sets the limits of a space.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, args: LimitsArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.name.as_str(), "limits"];
    let mut text = client.get(&path, &[]).await?;
    if args.given().iter().any(|(_, limit)| limit.is_some()) {
        let mut limits = read::<SpaceLimits>(&text)?.limits;
        for (name, limit) in args.given() {
            match limit {
                Some(Limit(Some(limit))) => drop(limits.insert(name.to_owned(), limit.into())),
                Some(Limit(None)) => drop(limits.remove(name)),
                None => {}
            }
        }
        text = client.put(&path, &Value::Object(limits)).await?;
    }
    if args.json {
        return output::line(&text);
    }
    let SpaceLimits { limits, usage } = read(&text)?;
    let mut table = Table::new(&["limit", "at most", "now"]);
    for (name, _) in args.given() {
        let shown = |value: Option<&Value>, absent: &str| value.map_or_else(|| absent.to_owned(), Value::to_string);
        table.row(vec![
            Cell::text(name),
            Cell::text(&shown(limits.get(name), "none")),
            Cell::text(&shown(usage.get(name), "")),
        ])?;
    }
    table.finish()
}
