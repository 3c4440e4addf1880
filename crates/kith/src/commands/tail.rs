//! `kith tail`: what happens in a space, line by line, until it is interrupted.
//!
//! It reads server-sent events (WHATWG HTML, "Server-sent events") and tells what it missed.

use crate::client::{Client, InSpace, Lines};
use crate::error::CommandError;
use crate::fields::{Fields, plain};
use crate::output;
use clap::Args;
use std::fmt::Write;

/// The longest item, in bytes; what an event may have leaves it far behind.
const ITEM_BYTES_MAX: usize = 4 << 20;

/// Flags of `kith tail`.
#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    space: InSpace,
    /// Only what concerns the person who has this anonymous id.
    #[arg(long, value_name = "ID")]
    anonymous_id: Option<String>,
    /// Only what concerns the person who has this user id.
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// Ends after so many items.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Prints one JSON object an item: `{"kind", "body"}`.
    #[arg(long)]
    json: bool,
}

/// Follows.
///
/// # Errors
/// What the server refuses, or that it ends the connection.
pub(crate) async fn run(client: &Client, args: &TailArgs) -> Result<(), CommandError> {
    let mut query = Vec::new();
    query.extend(args.anonymous_id.as_deref().map(|id| ("anonymousId", id)));
    query.extend(args.user_id.as_deref().map(|id| ("userId", id)));
    let mut lines = client
        .follow(&["api", "spaces", args.space.space.as_str(), "tail"], &query)
        .await?;
    output::note(&format!(
        "following space {} of {}; end with Ctrl-C",
        args.space.space,
        client.address()
    ));
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let next = tokio::select! {
            next = next_item(&mut lines) => next?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(item) = next else {
            return Err(CommandError::new(
                "the server ended the connection; start `kith tail` again",
            ));
        };
        left -= 1;
        if args.json {
            output::line(&format!(
                "{{\"kind\":{},\"body\":{}}}",
                serde_json::Value::from(item.kind),
                item.body
            ))?;
        } else {
            output::line(&describe(&item))?;
        }
        output::flush()?;
    }
    Ok(())
}

/// One thing that happened.
struct Item {
    kind: String,
    body: String,
}

/// The next item; `None` where the stream has ended.
async fn next_item(lines: &mut Lines) -> Result<Option<Item>, CommandError> {
    let mut item = Item {
        kind: String::new(),
        body: String::new(),
    };
    while let Some(line) = lines.next().await? {
        if line.is_empty() {
            if !item.body.is_empty() {
                return Ok(Some(item));
            }
            item.kind.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut item.kind),
            "data" if item.body.len() + value.len() <= ITEM_BYTES_MAX => item.body.push_str(value),
            "data" => {
                return Err(CommandError::new(format!(
                    "the server sent an item of more than {ITEM_BYTES_MAX} bytes"
                )));
            }
            // Comments keep the connection alive.
            _ => {}
        }
    }
    Ok(None)
}

/// An item in one line for people.
fn describe(item: &Item) -> String {
    let Ok(body) = serde_json::from_str::<Fields>(&item.body) else {
        return format!("{}  {}", item.kind, output::shown(&item.body));
    };
    let said = |name: &str| {
        body.get(name)
            .map(|value| output::shown(&plain(value)))
            .unwrap_or_default()
    };
    let mut line = match item.kind.as_str() {
        "event" => {
            let who = ["userId", "anonymousId"]
                .into_iter()
                .map(said)
                .find(|id| !id.is_empty())
                .unwrap_or_default();
            format!(
                "{}  event       {} {}  {}  {who}",
                said("eventTime"),
                said("type"),
                said("event"),
                said("source")
            )
        }
        "reject" => {
            let path = said("path");
            let place = if path.is_empty() { path } else { format!(" at {path}") };
            format!(
                "{}  reject      {}{place}: {}  {}",
                said("received_at"),
                said("code"),
                said("message"),
                said("source")
            )
        }
        "membership" => format!(
            "{}  membership  {} {} {}",
            said("at"),
            said("profile"),
            said("change"),
            said("segment")
        ),
        "message" => {
            let extra = ["reason", "subject"].into_iter().map(said);
            let extra: String = extra
                .filter(|one| !one.is_empty())
                .map(|one| format!("  {one}"))
                .collect();
            format!(
                "{}  message     {} {} {}{extra}",
                said("at"),
                said("profile"),
                said("state"),
                said("message")
            )
        }
        "lagged" => {
            return format!(
                "…  {} items were missed: this machine or the network is too slow",
                said("missed")
            );
        }
        kind => return format!("{kind}  {}", output::shown(&item.body)),
    };
    if item.kind == "event" {
        for name in ["properties", "traits"] {
            let value = said(name);
            if !value.is_empty() && value != "{}" {
                // Writing to a string cannot fail.
                write!(line, "  {value}").unwrap_or_default();
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_one_line_without_control_characters() {
        let body = r#"{"type":"track","event":"Order\u001b[2J","source":"web","eventTime":"T","userId":null,
            "anonymousId":"a1","properties":{"total":1.10}}"#;
        let item = Item {
            kind: "event".to_owned(),
            body: body.to_owned(),
        };
        assert_eq!(
            describe(&item),
            "T  event       track Order\\u{1b}[2J  web  a1  {\"total\":1.10}"
        );
        let item = Item {
            kind: "message".to_owned(),
            body: r#"{"message":"thanks","profile":"prf_1","state":"delivered","reason":null,"subject":"Hi","at":"T"}"#
                .to_owned(),
        };
        assert_eq!(describe(&item), "T  message     prf_1 delivered thanks  Hi");
    }
}
