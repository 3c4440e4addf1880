//! `kith replay --rejects`: rejects put through again after their cause is mended.

use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output::{self, Hint};
use clap::Args;
use kith_clean::REASONS;
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
    counted: u64,
    decided_by: Vec<String>,
    next: Option<u64>,
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
    let mut asked = json!({
        "source": args.source.as_ref().map(SourceName::as_str), "reason": args.reason, "why": args.why,
        "event_bytes": args.event_bytes, "batch_bytes": args.batch_bytes, "batch_events": args.batch_events,
    });
    let space = args.space.space.as_str();
    let (mut rejects, mut accepted, mut counted, mut decided_by) = (0, 0, 0, Vec::new());
    loop {
        let path = ["api", "spaces", space, "rejects", "replay"];
        let page: Replayed = read(&client.post(&path, &asked).await?)?;
        rejects += page.rejects;
        accepted += page.accepted;
        counted += page.counted;
        decided_by.extend(page.decided_by);
        match page.next {
            Some(next) => asked["after"] = next.into(),
            None => break,
        }
    }
    if rejects == 0 {
        check_asked(client, args).await?;
    }
    if args.json {
        let total = json!({
            "rejects": rejects, "accepted": accepted, "counted": counted, "decided_by": decided_by,
        });
        return output::line(&total.to_string());
    }
    let before = match counted {
        0 => String::new(),
        _ => format!("; {counted} count already"),
    };
    let decided = match decided_by.as_slice() {
        [] => "; nothing was decided".to_owned(),
        [only] => format!(", by {only}"),
        [first, .., last] => format!(", by {} decisions from {first} to {last}", decided_by.len()),
    };
    output::line(&format!(
        "{accepted} of {rejects} rejects are accepted now{decided}{before}"
    ))
}

/// Where nothing was found, what was asked for may not exist.
async fn check_asked(client: &Client, args: &ReplayArgs) -> Result<(), CommandError> {
    let space = args.space.space.as_str();
    if let Some(source) = &args.source {
        let names = super::source::names(client, space).await?;
        if !names.iter().any(|name| name == source.as_str()) {
            let hint = match names.is_empty() {
                true => "it has no source yet".to_owned(),
                false => format!("its sources are {}", names.join(", ")),
            };
            let what = format!("there is no source {source} in space {space}");
            return Err(CommandError::caused(what, Hint::new(hint)));
        }
    }
    match args.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
        None => Ok(()),
        Some(reason) => {
            let meant = kith_expr::nearest(reason, &REASONS);
            let meant = meant.map_or_else(String::new, |meant| format!(": did you mean {meant}?"));
            let what = format!("nothing is rejected as {}{meant}", output::shown(reason));
            let hint = format!("the reasons are {}", REASONS.join(", "));
            Err(CommandError::caused(what, Hint::new(hint)))
        }
    }
}
