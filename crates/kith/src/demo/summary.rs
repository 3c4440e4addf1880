//! What a demo says once its world is loaded: the figures, the segments, where to look, and what to try.
//!
//! Every figure is read from the running server after the load; nothing here is worked out in another way.

use super::door::Taken;
use crate::error::CommandError;
use crate::output;
use crate::server::Parts;
use crate::table::{Cell, Table};
use kith_pipeline::PipelineError;
use kith_testkit::world::Score;
use kith_types::{IdentifierType, ProfileId, SpaceId};
use std::time::Duration;

/// A member of it is the example in the commands.
const EXAMPLE_SEGMENT: &str = "loyal_customers";
/// Members that are looked at for one who has an e-mail address.
const EXAMPLES_MAX: usize = 50;

/// What was measured.
pub(super) struct Figures {
    /// The world, in a sentence.
    pub(super) world: String,
    /// What the door said.
    pub(super) taken: Taken,
    /// From the first event to the last one's profile and segments.
    pub(super) seconds: Duration,
    /// Until the tables had everything.
    pub(super) tables: Duration,
    /// Who is who, against the truth.
    pub(super) score: Score,
    /// Mails in the inbox, where there is one.
    pub(super) mails: Option<usize>,
    /// What the server keeps.
    pub(super) held: Held,
}

/// What the server keeps.
pub(super) struct Held {
    kept: u64,
    duplicates: u64,
    people: u64,
    /// Name, size, description.
    segments: Vec<(String, u64, String)>,
    /// An e-mail address to try commands with.
    example: Option<String>,
}

/// How to reach what runs.
pub(super) struct Whereabouts {
    pub(super) url: String,
    pub(super) admin_key: String,
    pub(super) inbox_url: Option<String>,
    /// The folder of the program that runs.
    pub(super) program_folder: Option<String>,
    pub(super) truth: String,
}

impl Held {
    /// Reads it. It blocks.
    ///
    /// # Errors
    /// The live state cannot be read.
    pub(super) fn read(parts: &Parts, space: &SpaceId) -> Result<Self, PipelineError> {
        let status = parts.pipeline.status();
        let mut segments = Vec::new();
        for live in parts.pipeline.definitions(space).iter().flat_map(|all| &all.segments) {
            let size = parts.reads.segment_size(space, &live.name)?;
            segments.push((
                live.name.to_string(),
                size,
                live.compiled.definition().description.to_string(),
            ));
        }
        Ok(Self {
            kept: status.events,
            duplicates: status.duplicates,
            people: status.profiles.get(space).copied().unwrap_or_default(),
            segments,
            example: example(parts, space)?,
        })
    }
}

/// The e-mail address of somebody worth looking at.
fn example(parts: &Parts, space: &SpaceId) -> Result<Option<String>, PipelineError> {
    let Ok(segment) = EXAMPLE_SEGMENT.parse() else {
        return Ok(None);
    };
    let members: Vec<ProfileId> = parts
        .reads
        .members(space, &segment, None, EXAMPLES_MAX)?
        .into_iter()
        .map(|(profile, _)| profile)
        .collect();
    for profile in members {
        let person = parts.reads.person_of(space, profile, false, parts.clock.now())?;
        let mut held = person.into_iter().flat_map(|person| person.identifiers);
        if let Some(email) = held.find(|view| view.identifier.kind == IdentifierType::Email) {
            return Ok(Some(email.identifier.value.to_string()));
        }
    }
    Ok(None)
}

/// Prints the summary.
///
/// # Errors
/// Standard output takes no more.
pub(super) fn print(figures: &Figures, whereabouts: &Whereabouts) -> Result<(), CommandError> {
    output::text(&figures_text(figures))?;
    let mut table = Table::new(&["segment", "people", "who"]);
    for (name, size, description) in &figures.held.segments {
        table.row(vec![
            Cell::text(name),
            Cell::number(grouped(*size)),
            Cell::text(description),
        ])?;
    }
    table.finish()?;
    output::text(&whereabouts_text(whereabouts, figures.held.example.as_deref()))?;
    output::flush()
}

fn figures_text(figures: &Figures) -> String {
    let Figures {
        world,
        taken,
        seconds,
        tables,
        score,
        mails,
        held,
    } = figures;
    let a_second = taken.sent as f64 / seconds.as_secs_f64().max(0.001);
    let mails = match mails {
        Some(count) => format!(
            "{} in the inbox: a history sends none, only what happens now does",
            grouped(*count as u64)
        ),
        None => "none: there is no inbox".to_owned(),
    };
    format!(
        "\nThe world  {world}\n\n\
         Events     {} sent · {} kept · {} second copies dropped · {} rejected\n\
         Speed      {:.1} s to profiles and segments, {} events a second; tables {:.1} s later\n\
         People     {} found, of {} that the evidence can tell apart · precision {:.4} · recall {:.4} · {} profiles in all\n\
         Mails      {mails}\n\n",
        grouped(taken.sent),
        grouped(held.kept),
        grouped(held.duplicates),
        grouped(taken.rejected),
        seconds.as_secs_f64(),
        grouped(a_second as u64),
        tables.as_secs_f64(),
        grouped(score.profiles as u64),
        grouped(score.groups as u64),
        score.precision,
        score.recall,
        grouped(held.people),
    )
}

fn whereabouts_text(whereabouts: &Whereabouts, example: Option<&str>) -> String {
    let Whereabouts {
        url,
        admin_key,
        inbox_url,
        program_folder,
        truth,
    } = whereabouts;
    let path = program_folder
        .as_deref()
        .map(|folder| format!(" PATH={}:\"$PATH\"", quoted(folder)))
        .unwrap_or_default();
    let inbox = inbox_url
        .as_deref()
        .map(|url| format!("Its inbox       {url}\n"))
        .unwrap_or_default();
    let person = example.map(|email| {
        let email = quoted(&format!("email:{email}"));
        format!("  kith profile get {email}\n  kith segment explain {EXAMPLE_SEGMENT} {email}\n")
    });
    format!(
        "\nOpen the shop   {url}/\n{inbox}The truth       {truth}\n\n\
         In another terminal:\n\n\
         \x20 export KITH_URL={url} KITH_KEY={}{path}\n\n\
         {}\
         \x20 kith segment list\n\
         \x20 kith segment members abandoned_cart --limit 10\n\
         \x20 kith sql \"select event, count(*) as times from clean.events group by event order by times desc limit 10\"\n\
         \x20 kith sql \"select currency, count(*) as orders, sum(total) as total from curated.orders group by currency\"\n\
         \x20 kith tail --limit 10\n\
         \x20 kith rebuild --verify\n\n",
        quoted(admin_key),
        person.unwrap_or_default(),
    )
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |symbol: char| symbol.is_ascii_alphanumeric() || "@%+=:,./_-".contains(symbol);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_written_as_they_are_read() {
        let shown: Vec<_> = [0, 999, 1_000, 20_000, 1_234_567].map(grouped).into();
        assert_eq!(shown, ["0", "999", "1,000", "20,000", "1,234,567"]);
        assert_eq!(quoted("kak_abc"), "kak_abc");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_commands_name_the_server_and_its_key() {
        let whereabouts = Whereabouts {
            url: "http://127.0.0.1:8080".to_owned(),
            admin_key: "key".to_owned(),
            inbox_url: Some("http://127.0.0.1:1080/".to_owned()),
            program_folder: Some("/opt/my kith".to_owned()),
            truth: "kith-demo/truth.jsonl".to_owned(),
        };
        let text = whereabouts_text(&whereabouts, Some("jo@example.com"));
        assert!(
            text.contains("export KITH_URL=http://127.0.0.1:8080 KITH_KEY=key PATH='/opt/my kith':\"$PATH\""),
            "{text}"
        );
        assert!(text.contains("  kith profile get email:jo@example.com\n"), "{text}");
    }
}
