//! How often and when somebody may be written to: frequency caps and quiet hours (contract ACT-1), and the rules of a
//! space that hold for all its marketing. It reads documents and computes instants; it never counts sends: the ledger does,
//! in its transactions.

use crate::definition::DefinitionProblem;
use crate::suggest::suggestion;
use chrono::{DateTime, LocalResult, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use kith_types::{Duration, ProfileId, Timestamp};
use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

/// The most caps of one definition.
const CAPS_MAX: usize = 8;
/// The highest number that a cap may allow.
const AT_MOST_MAX: u64 = 1_000;
/// The shortest and the longest window of a cap.
const WITHIN: [Duration; 2] = [Duration::from_secs(60), Duration::from_days(366)];
/// How many minutes are looked at for the end of a gap of local time: some zones skipped a whole day.
const GAP_MINUTES_MAX: i64 = 26 * 60;

/// What a cap counts for one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CapScope {
    /// All marketing of the space.
    Person,
    /// The space's marketing by the channel of the message.
    Channel,
    /// The message alone.
    Message,
}

impl CapScope {
    /// The reason of a send that the cap holds back.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Person => "cap_person",
            Self::Channel => "cap_channel",
            Self::Message => "cap_message",
        }
    }
}

/// At most so many within a window that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    pub(crate) scope: CapScope,
    pub(crate) at_most: u32,
    pub(crate) within: Duration,
}

/// Hours of the day in which nothing leaves, from the first minute to before the last one, over midnight or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuietHours {
    from: NaiveTime,
    until: NaiveTime,
}

/// What a message says of quiet hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum QuietChoice {
    /// Those of the space.
    #[default]
    OfSpace,
    /// None.
    Never,
    /// Its own.
    Own(QuietHours),
}

/// Quiet hours in the zone of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    pub(crate) hours: QuietHours,
    pub(crate) zone: Tz,
}

impl Quiet {
    /// The first instant from `at` on that is not quiet; `None` where `at` itself is not.
    pub(crate) fn ends(self, at: Timestamp) -> Option<Timestamp> {
        if !self.is_quiet(at) {
            return None;
        }
        let mut end = self.next_end(at);
        // A gap of local time may end in the middle of quiet hours: those end as well.
        for _ in 0..3 {
            if !self.is_quiet(end) {
                break;
            }
            end = self.next_end(end);
        }
        Some(end)
    }

    fn is_quiet(self, at: Timestamp) -> bool {
        let time = self.local(at).time();
        let QuietHours { from, until } = self.hours;
        if from < until {
            from <= time && time < until
        } else {
            from <= time || time < until
        }
    }

    fn local(self, at: Timestamp) -> chrono::NaiveDateTime {
        let moment = DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default();
        moment.with_timezone(&self.zone).naive_local()
    }

    /// The next instant at which clocks show the end, or at which a gap that skips it is over.
    fn next_end(self, at: Timestamp) -> Timestamp {
        let local = self.local(at);
        let until = self.hours.until;
        let date = if local.time() < until {
            local.date()
        } else {
            local.date().succ_opt().unwrap_or(local.date())
        };
        let wanted = date.and_time(until);
        for minute in 0..GAP_MINUTES_MAX {
            let instants = match self.zone.from_local_datetime(&(wanted + TimeDelta::minutes(minute))) {
                LocalResult::None => continue,
                LocalResult::Single(only) => [only, only],
                // Clocks show it twice: what comes next of the two.
                LocalResult::Ambiguous(first, second) => [first, second],
            };
            let instants = instants.map(|instant| Timestamp::from_micros(instant.timestamp_micros()));
            if let Some(next) = instants.into_iter().find(|instant| *instant > at) {
                return next;
            }
        }
        // No zone has such a gap.
        at + Duration::from_secs(3_600)
    }
}

/// What holds a send back or off, for one person at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) caps: Vec<Cap>,
    pub(crate) quiet: Option<Quiet>,
    /// The profile that stands for the person now: sends to it count, beside those to the profile that entered.
    pub(crate) person: Option<ProfileId>,
    /// The person's other addresses: sends to them count as well.
    pub(crate) addresses: Vec<String>,
}

/// What holds for all marketing of a space: the `spec` of a definition of kind `sending_rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingRules {
    zone: Tz,
    caps: Vec<Cap>,
    quiet_hours: Option<QuietHours>,
}

impl Default for SendingRules {
    fn default() -> Self {
        Self {
            zone: Tz::UTC,
            caps: Vec::new(),
            quiet_hours: None,
        }
    }
}

impl SendingRules {
    /// Reads the `spec` of a definition of kind `sending_rules`.
    ///
    /// # Errors
    /// Every problem, with the path of its field.
    pub fn parse(spec: &Value) -> Result<Self, Vec<DefinitionProblem>> {
        let mut problems = Vec::new();
        let Some(fields) = object(spec, "", "zone, caps and quiet_hours", &mut problems) else {
            return Err(problems);
        };
        unknown(
            fields,
            "",
            &["description", "zone", "caps", "quiet_hours"],
            &mut problems,
        );
        if let Some(description) = fields.get("description")
            && !description.is_string()
        {
            problem(&mut problems, "description", "this must be a text");
        }
        let zone = match fields.get("zone") {
            None => Some(Tz::UTC),
            Some(value) => zone(value.as_str().unwrap_or_default()),
        };
        if zone.is_none() {
            let text = "this must be a zone of the IANA database, such as \"Europe/Berlin\"";
            problem(&mut problems, "zone", text);
        }
        let caps = read_caps(fields.get("caps"), None, &mut problems);
        let quiet_hours = fields
            .get("quiet_hours")
            .and_then(|value| read_quiet_hours(value, &mut problems));
        match zone {
            Some(zone) if problems.is_empty() => Ok(Self {
                zone,
                caps,
                quiet_hours,
            }),
            _ => Err(problems),
        }
    }

    /// The caps on a message: its own, and for marketing those of the space.
    pub(crate) fn caps(&self, own: &[Cap], is_marketing: bool) -> Vec<Cap> {
        let ours: &[Cap] = if is_marketing { &self.caps } else { &[] };
        own.iter().chain(ours).copied().collect()
    }

    /// The quiet hours of a message.
    pub(crate) fn quiet_hours(&self, own: QuietChoice, is_marketing: bool) -> Option<QuietHours> {
        match own {
            QuietChoice::Own(hours) => Some(hours),
            QuietChoice::Never => None,
            QuietChoice::OfSpace => self.quiet_hours.filter(|_| is_marketing),
        }
    }

    /// The zone of somebody: what is known of them, where that is a zone, else the space's.
    pub(crate) fn zone_of(&self, known: Option<&str>) -> Tz {
        known.and_then(zone).unwrap_or(self.zone)
    }
}

/// The zone of that name.
fn zone(name: &str) -> Option<Tz> {
    name.trim().parse().ok()
}

/// Reads caps: those of a space count for a person or a channel, those of a message for it alone.
pub(crate) fn read_caps(
    value: Option<&Value>,
    scope: Option<CapScope>,
    problems: &mut Vec<DefinitionProblem>,
) -> Vec<Cap> {
    let Some(value) = value else { return Vec::new() };
    let Some(items) = value.as_array().filter(|items| items.len() <= CAPS_MAX) else {
        let text = format!("this must be a list of at most {CAPS_MAX} caps, such as [{{at_most: 3, within: 7d}}]");
        problem(problems, "caps", text);
        return Vec::new();
    };
    let read = items
        .iter()
        .enumerate()
        .filter_map(|(at, item)| read_cap(item, &format!("caps[{at}]"), scope, problems));
    read.collect()
}

fn read_cap(value: &Value, path: &str, scope: Option<CapScope>, problems: &mut Vec<DefinitionProblem>) -> Option<Cap> {
    let fields = object(value, path, "at_most and within", problems)?;
    let known: &[&str] = match scope {
        Some(_) => &["at_most", "within"],
        None => &["at_most", "within", "channel"],
    };
    unknown(fields, path, known, problems);
    let at_most = fields.get("at_most").and_then(Value::as_u64);
    let at_most = at_most.filter(|number| (1..=AT_MOST_MAX).contains(number));
    if at_most.is_none() {
        let text = format!("this must be a whole number of 1 to {AT_MOST_MAX}");
        problem(problems, &format!("{path}.at_most"), text);
    }
    let within = fields.get("within").and_then(Value::as_str);
    let within = within.and_then(|text| Duration::parse(text).ok());
    let within = within.filter(|span| (WITHIN[0]..=WITHIN[1]).contains(span));
    if within.is_none() {
        let text = "this must be a span of 1 minute to 366 days, such as 24h or 7d";
        problem(problems, &format!("{path}.within"), text);
    }
    let channel = match fields.get("channel") {
        None => Some(CapScope::Person),
        Some(value) if value == "email" => Some(CapScope::Channel),
        Some(_) => {
            problem(problems, &format!("{path}.channel"), "this must be \"email\"");
            None
        }
    };
    Some(Cap {
        scope: scope.or(channel)?,
        at_most: u32::try_from(at_most?).ok()?,
        within: within?,
    })
}

/// Reads what a message says of quiet hours.
pub(crate) fn read_quiet_choice(value: Option<&Value>, problems: &mut Vec<DefinitionProblem>) -> QuietChoice {
    match value {
        None => QuietChoice::OfSpace,
        Some(Value::String(word)) if word == "none" => QuietChoice::Never,
        Some(value) => read_quiet_hours(value, problems).map_or(QuietChoice::OfSpace, QuietChoice::Own),
    }
}

fn read_quiet_hours(value: &Value, problems: &mut Vec<DefinitionProblem>) -> Option<QuietHours> {
    let path = "quiet_hours";
    let fields = object(value, path, "from and until", problems)?;
    unknown(fields, path, &["from", "until"], problems);
    let mut time = |name: &str| {
        let read = fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| text.len() == 5)
            .and_then(|text| NaiveTime::parse_from_str(text, "%H:%M").ok());
        if read.is_none() {
            let text = "this must be a time of the day in quotes, such as \"21:00\"";
            problem(problems, &format!("{path}.{name}"), text);
        }
        read
    };
    let (from, until) = (time("from"), time("until"));
    let (from, until) = (from?, until?);
    if from == until {
        problem(
            problems,
            &format!("{path}.until"),
            "this must differ from from: else nothing is ever sent",
        );
        return None;
    }
    Some(QuietHours { from, until })
}

fn object<'a>(
    value: &'a Value,
    path: &str,
    fields: &str,
    problems: &mut Vec<DefinitionProblem>,
) -> Option<&'a Map<String, Value>> {
    if value.as_object().is_none() {
        problem(problems, path, format!("this must be an object with {fields}"));
    }
    value.as_object()
}

fn unknown(fields: &Map<String, Value>, path: &str, known: &[&str], problems: &mut Vec<DefinitionProblem>) {
    for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
        let dot = if path.is_empty() { "" } else { "." };
        let text = format!("there is no such field{}", suggestion(name, known));
        problem(problems, &format!("{path}{dot}{name}"), text);
    }
}

fn problem(problems: &mut Vec<DefinitionProblem>, path: &str, message: impl Into<String>) {
    problems.push(DefinitionProblem {
        path: path.to_owned(),
        message: message.into(),
    });
}
