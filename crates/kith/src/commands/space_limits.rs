//! `kith space limits`: what a space may send and hold, shown beside what it holds, and set.
//!
//! The server changes what flags name and leaves all else as it is, whoever changes limits at the same time. Which limits there
//! are is the catalog's to say.

use crate::client::{Client, read};
use crate::error::CommandError;
use crate::output;
use crate::table::{Cell, Table};
use clap::Args;
use kith_catalog::SpaceLimits;
use kith_types::{SpaceId, Terms};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::str::FromStr;

/// Flags of `kith space limits`. Without one that sets a limit they are shown.
#[derive(Args, Debug)]
pub(crate) struct LimitsArgs {
    /// The space.
    name: SpaceId,
    #[command(flatten)]
    changes: Changes,
    /// Prints the limits as JSON.
    #[arg(long)]
    json: bool,
}

/// A flag a limit, by its name.
#[derive(Args, Debug, Serialize)]
struct Changes {
    /// Events that the doors take in a second, on the average; or none.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_second: Option<Limit>,
    /// Events that may come at once after a silence; or none: those of one second.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    burst_events: Option<Limit>,
    /// Events of one batch, 25,000 at most; or none: 2,500.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_events: Option<Limit>,
    /// Bytes of one body, unpacked, 1,048,576 at most; or none: 512,000.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_bytes: Option<Limit>,
    /// Bytes of one event, which are rejected beyond it; or none: 32,768.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    event_bytes: Option<Limit>,
    /// Days in which a later copy of an event is dropped; or none: 30.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dedupe_days: Option<Limit>,
    /// Sources; or none.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<Limit>,
    /// Definitions of every kind; or none.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    definitions: Option<Limit>,
    /// Segments; or none.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Limit>,
    /// Computed traits; or none.
    #[arg(long, value_name = "N|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    computed_traits: Option<Limit>,
}

/// A limit to set, or that there is none.
#[derive(Clone, Copy, Debug, Serialize)]
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
struct Shown {
    limits: Map<String, Value>,
    usage: Map<String, Value>,
}

/// Shows or sets the limits of a space.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, args: LimitsArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.name.as_str(), "limits"];
    let changes = serde_json::to_value(&args.changes)
        .map_err(|error| CommandError::caused("the limits cannot be written as JSON", error))?;
    let text = match changes.as_object().is_some_and(|changes| !changes.is_empty()) {
        true => client.patch(&path, &changes).await?,
        false => client.get(&path, &[]).await?,
    };
    if args.json {
        return output::line(&text);
    }
    let Shown { limits, usage } = read(&text)?;
    let mut table = Table::new(&["limit", "at most", "now"]);
    for (name, _) in SpaceLimits::default().entries() {
        let shown = |value: Option<&Value>, absent: &str| value.map_or_else(|| absent.to_owned(), Value::to_string);
        let usual = usual(name, &limits).map_or_else(|| "none".to_owned(), |usual| format!("{usual} (usual)"));
        table.row(vec![
            Cell::text(name),
            Cell::text(&shown(limits.get(name).filter(|limit| !limit.is_null()), &usual)),
            Cell::text(&shown(usage.get(name), "")),
        ])?;
    }
    table.finish()
}

/// What holds of a limit that a space does not have of its own.
fn usual(name: &str, limits: &Map<String, Value>) -> Option<u64> {
    let Terms {
        limits: usual,
        dedupe_days,
    } = Terms::USUAL;
    match name {
        // The events of one second.
        "burst_events" => limits.get("events_per_second")?.as_u64(),
        "batch_events" => Some(usual.batch_events as u64),
        "batch_bytes" => Some(usual.batch_bytes as u64),
        "event_bytes" => Some(usual.event_bytes as u64),
        "dedupe_days" => Some(u64::from(dedupe_days)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn spc_1_every_limit_of_the_catalog_has_its_flag_and_none_is_sent_that_was_not_given() {
        let limit = Some(Limit(None));
        let all = Changes {
            events_per_second: limit,
            burst_events: limit,
            batch_events: limit,
            batch_bytes: limit,
            event_bytes: limit,
            dedupe_days: limit,
            sources: limit,
            definitions: limit,
            segments: limit,
            computed_traits: limit,
        };
        let names = |changes: &Changes| -> BTreeSet<String> {
            let sent = serde_json::to_value(changes).unwrap();
            sent.as_object().unwrap().keys().cloned().collect()
        };
        let known = SpaceLimits::default().entries().map(|(name, _)| name.to_owned());
        assert_eq!(names(&all), known.into());
        let one = Changes {
            events_per_second: Some(Limit(Some(5))),
            sources: limit,
            ..NONE
        };
        let sent = serde_json::json!({ "events_per_second": 5, "sources": null });
        assert_eq!(serde_json::to_value(one).unwrap(), sent);
    }

    #[test]
    fn spc_1_what_holds_of_a_limit_that_is_not_set_is_its_usual_value() {
        let limits = |text: &str| serde_json::from_str(text).unwrap();
        let found = SpaceLimits::default()
            .entries()
            .map(|(name, _)| usual(name, &limits("{}")));
        let expected = [
            None,
            None,
            Some(2_500),
            Some(512_000),
            Some(32_768),
            Some(30),
            None,
            None,
            None,
            None,
        ];
        assert_eq!(found, expected);
        assert_eq!(usual("burst_events", &limits(r#"{"events_per_second":7}"#)), Some(7));
    }

    const NONE: Changes = Changes {
        events_per_second: None,
        burst_events: None,
        batch_events: None,
        batch_bytes: None,
        event_bytes: None,
        dedupe_days: None,
        sources: None,
        definitions: None,
        segments: None,
        computed_traits: None,
    };
}
