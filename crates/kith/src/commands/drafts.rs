//! `kith segment estimate`, `kith segment overlap`, and the part of `kith plan` that says what would happen to people.
//!
//! The server counts; here files are read and answers are put into words.

use super::definitions::read_files;
use super::outlook::{self, Outlook};
use crate::client::{Client, InSpace, read};
use crate::error::CommandError;
use crate::output;
use crate::progress::Progress;
use crate::table::{Cell, Table};
use clap::Args;
use kith_catalog::document_places;
use kith_types::SegmentName;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How often it is asked how far a plan is.
const POLL: Duration = Duration::from_millis(500);
/// People put into words of each list by `kith plan`; JSON has them all.
const PLAN_SHOWS: usize = 5;

/// Flags of `kith segment estimate`.
#[derive(Args, Debug)]
pub(crate) struct EstimateArgs {
    /// A YAML or JSON file with one definition of kind `segment`; one that is live is compared with it.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// An estimate from a sample of people, at once; counts everybody unless given.
    #[arg(long)]
    quick: bool,
    /// How many people are shown of each list.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=100))]
    samples: u64,
    /// Counts its members in these segments too.
    #[arg(long, value_delimiter = ',', value_name = "SEGMENT,…")]
    overlap: Vec<SegmentName>,
    #[command(flatten)]
    space: InSpace,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of `kith segment overlap`.
#[derive(Args, Debug)]
pub(crate) struct OverlapArgs {
    /// The segments, two to five.
    #[arg(required = true, num_args = 2..=5, value_name = "SEGMENT")]
    segments: Vec<SegmentName>,
    #[command(flatten)]
    space: InSpace,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Counted {
    people: u64,
    asked: u64,
    exact: bool,
    segments: Vec<SegmentCount>,
    #[serde(default)]
    computed_traits: Vec<ValueCount>,
    traits: Option<TraitCount>,
    identity: Option<Outlook>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct SegmentCount {
    name: String,
    size: Option<u64>,
    size_range: Option<(u64, u64)>,
    size_before: Option<u64>,
    enters: u64,
    leaves: u64,
    #[serde(default)]
    renamed: u64,
    approximate: u64,
    overlaps: Vec<BesideCount>,
    members: Vec<Shown>,
    entering: Vec<Shown>,
    leaving: Vec<Shown>,
}

#[derive(Deserialize)]
struct BesideCount {
    segment: String,
    people: u64,
}

#[derive(Deserialize)]
struct Shown {
    id: String,
    identifiers: Vec<String>,
}

#[derive(Deserialize)]
struct ValueCount {
    name: String,
    changes: u64,
}

#[derive(Deserialize)]
struct TraitCount {
    changes: u64,
}

#[derive(Deserialize)]
struct Status {
    dry_run: Option<DryRun>,
}

/// How far a question about changed rules is.
#[derive(Deserialize)]
struct DryRun {
    space: String,
    definition: String,
    records_done: u64,
    records_total: u64,
}

#[derive(Deserialize)]
struct Overlap {
    segments: Vec<SegmentSize>,
    in_any: u64,
    regions: Vec<Region>,
}

#[derive(Deserialize)]
struct SegmentSize {
    name: String,
    size: u64,
}

#[derive(Deserialize)]
struct Region {
    only_in: Vec<String>,
    people: u64,
}

/// Counts a draft.
///
/// # Errors
/// A file that does not hold one segment, and what the server refuses.
pub(crate) async fn estimate(client: &Client, args: &EstimateArgs) -> Result<(), CommandError> {
    let documents = read_files(&args.file)?;
    let [draft] = &documents[..] else {
        return Err(one_segment(args));
    };
    if draft["kind"] != "segment" {
        return Err(one_segment(args));
    }
    let overlap: Vec<&str> = args.overlap.iter().map(SegmentName::as_str).collect();
    let body = json!({
        "name": draft["name"], "spec": draft["spec"], "quick": args.quick, "samples": args.samples, "overlap": overlap,
    });
    let path = ["api", "spaces", args.space.space.as_str(), "segments", "estimate"];
    let answer = client.try_post(&path, body.to_string().into()).await;
    let text = answer.map_err(|error| client.unreachable(error))?.map_err(|refused| {
        let places = document_places(&args.file);
        client.explain(&refused.placed(|document| places.get(document).cloned()))
    })?;
    if args.json {
        return output::line(&text);
    }
    let counted: Counted = read(&text)?;
    for (at, segment) in counted.segments.iter().enumerate() {
        if at == 1 {
            output::line("What else would change, since it names this segment:")?;
        }
        show_segment(segment, usize::MAX)?;
    }
    for warning in &counted.warnings {
        output::note(&output::shown(&format!("warning: {warning}")));
    }
    match counted.exact {
        true => output::line(&format!("everybody was asked: {} people", counted.people)),
        false => output::line(&format!(
            "estimated from {} of {} people; the ranges hold 95 times in 100",
            counted.asked, counted.people
        )),
    }
}

fn one_segment(args: &EstimateArgs) -> CommandError {
    CommandError::new(format!(
        "{} must hold one definition, of kind segment; `kith plan -f` takes several of any kind",
        args.file.display()
    ))
}

/// Shows how segments overlap.
///
/// # Errors
/// What the server refuses.
pub(crate) async fn overlap(client: &Client, args: &OverlapArgs) -> Result<(), CommandError> {
    let path = ["api", "spaces", args.space.space.as_str(), "segments", "overlap"];
    let names: Vec<&str> = args.segments.iter().map(SegmentName::as_str).collect();
    let text = client.get(&path, &[("segments", &names.join(","))]).await?;
    if args.json {
        return output::line(&text);
    }
    let overlap: Overlap = read(&text)?;
    let mut table = Table::new(&["segment", "members"]);
    for segment in &overlap.segments {
        table.row(vec![Cell::text(&segment.name), Cell::number(segment.size)])?;
    }
    table.finish()?;
    let mut table = Table::new(&["only in", "people"]);
    for region in &overlap.regions {
        table.row(vec![
            Cell::text(&region.only_in.join(" + ")),
            Cell::number(region.people),
        ])?;
    }
    table.finish()?;
    output::line(&format!("{} people are in any of them", overlap.in_any))
}

/// What a proposal would do to people, as JSON.
///
/// # Errors
/// What the server refuses.
pub(crate) async fn impact(client: &Client, space: &InSpace, body: &Value) -> Result<Value, CommandError> {
    let path = ["api", "spaces", space.space.as_str(), "definitions", "impact"];
    let answer = client.post(&path, body);
    tokio::pin!(answer);
    let mut progress = Progress::new("{msg}  {bar:40}  {percent}%  {eta}");
    loop {
        tokio::select! {
            answer = &mut answer => return read(&answer?),
            () = tokio::time::sleep(POLL) => {}
        }
        // It is only shown how far it is: whoever may not see that waits without.
        let Ok(status) = client.get(&["api", "status"], &[]).await else {
            continue;
        };
        let Ok(status) = read::<Status>(&status) else {
            continue;
        };
        if let Some(dry_run) = status.dry_run.filter(|dry_run| dry_run.space == space.space.as_str()) {
            let of = (dry_run.records_done, dry_run.records_total);
            progress.shows(&dry_run.definition, of, "");
        }
    }
}

/// Puts what a proposal would do to people into words.
///
/// # Errors
/// An answer of another form than this version knows.
pub(crate) fn show_impact(impact: &Value) -> Result<(), CommandError> {
    let counted: Counted = read(&impact.to_string())?;
    output::line(&format!("What it would do to {} people:", counted.people))?;
    if let Some(outlook) = &counted.identity {
        outlook::show_some(outlook, PLAN_SHOWS)?;
    }
    for segment in &counted.segments {
        show_segment(segment, PLAN_SHOWS)?;
    }
    for computed in &counted.computed_traits {
        output::line(&format!(
            "computed trait {}: another value for {}",
            computed.name, computed.changes
        ))?;
    }
    if let Some(traits) = &counted.traits {
        output::line(&format!("traits: another value would survive for {}", traits.changes))?;
    }
    let nothing = counted.segments.is_empty() && counted.computed_traits.is_empty();
    if nothing && counted.traits.is_none() && counted.identity.is_none() {
        return output::line("nothing");
    }
    Ok(())
}

fn show_segment(segment: &SegmentCount, shown: usize) -> Result<(), CommandError> {
    let size = match (segment.size, segment.size_range) {
        (None, _) => "removed".to_owned(),
        (Some(size), None) => format!("{size} members"),
        (Some(size), Some((low, high))) => format!("about {size} members ({low} to {high})"),
    };
    let difference = match segment.size_before {
        None => "new".to_owned(),
        Some(before) => {
            let about = if segment.size_range.is_some() { "about " } else { "" };
            let (enters, leaves) = (segment.enters, segment.leaves);
            let renamed = match segment.renamed {
                0 => String::new(),
                renamed => format!(", {renamed} under another id"),
            };
            format!("{about}{before} now, {about}{enters} enter, {about}{leaves} leave{renamed}")
        }
    };
    output::line(&format!("segment {}: {size} ({difference})", segment.name))?;
    if segment.approximate > 0 {
        output::line(&format!(
            "    of whom {} may be told wrongly: their profiles are over a limit",
            segment.approximate
        ))?;
    }
    for beside in &segment.overlaps {
        output::line(&format!("    of whom {} are in {}", beside.people, beside.segment))?;
    }
    let live = segment.size_before.is_some();
    let (members, entering) = if live { (0, shown) } else { (shown, 0) };
    show_people("members", &segment.members, members)?;
    show_people("enter", &segment.entering, entering)?;
    show_people("leave", &segment.leaving, shown)
}

fn show_people(what: &str, people: &[Shown], shown: usize) -> Result<(), CommandError> {
    if shown == 0 || people.is_empty() {
        return Ok(());
    }
    output::line(&format!("    {what}, among others:"))?;
    people.iter().take(shown).try_for_each(|person| {
        let identifiers = output::shown(&person.identifiers.join(" "));
        output::line(&format!("      {} {identifiers}", person.id))
    })
}
