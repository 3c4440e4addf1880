//! `kith replay --rejects`: rejects put through again after their cause is mended.

use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output::{self, Hint};
use clap::Args;
use kith_types::SourceName;
use serde::Deserialize;
use serde_json::json;

/// Flags of `kith replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    space: InSpace,
    /// Puts rejects through again; what counts already adds nothing.
    #[arg(long)]
    rejects: bool,
    /// Only those of this source.
    #[arg(long, value_name = "NAME")]
    source: Option<SourceName>,
    /// Only those with this reason, such as `event_too_large`: a code of `clean.rejects`.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// How many bytes an event may have this time.
    #[arg(long, value_name = "N")]
    event_bytes: Option<usize>,
    /// How many bytes a body may have this time.
    #[arg(long, value_name = "N")]
    batch_bytes: Option<usize>,
    /// How many events a body may have this time.
    #[arg(long, value_name = "N")]
    batch_events: Option<usize>,
    /// Why, for the decision in the log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Prints the outcome as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Replayed {
    rejects: u64,
    accepted: u64,
    decided_by: Vec<String>,
}

/// Puts rejects through again.
///
/// # Errors
/// What the server refuses, or that it does not answer.
pub(crate) async fn run(client: &Client, args: &ReplayArgs) -> Result<(), CommandError> {
    if !args.rejects {
        let hint = Hint::new("`kith replay --rejects` puts what was rejected through again");
        return Err(CommandError::caused("say what to replay", hint));
    }
    let asked = json!({
        "source": args.source.as_ref().map(SourceName::as_str), "reason": args.reason, "why": args.why,
        "event_bytes": args.event_bytes, "batch_bytes": args.batch_bytes, "batch_events": args.batch_events,
    });
    let space = args.space.space.as_str();
    let text = client
        .post(&["api", "spaces", space, "rejects", "replay"], &asked)
        .await?;
    if args.json {
        return output::line(&text);
    }
    let replayed: Replayed = read(&text)?;
    output::line(&format!(
        "{} of {} rejects are accepted now{}",
        replayed.accepted,
        replayed.rejects,
        match replayed.decided_by.as_slice() {
            [] => "; nothing was decided".to_owned(),
            decisions => format!(", by {}; those that count already add nothing", decisions.join(", ")),
        }
    ))
}
