//! The definition of a destination: its document and its checks. It holds the name of a write key, never the key.

use crate::DefinitionProblem;
use crate::fields::Reader;
use kith_types::SegmentName;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The fields of a definition.
const FIELDS: [&str; 8] = [
    "description",
    "type",
    "endpoint",
    "write_key",
    "segments",
    "send",
    "changes",
    "key_prefix",
];
/// The most segments that a destination lists.
const SEGMENTS_MAX: usize = 1_000;
/// The longest endpoint and the longest prefix, in bytes.
const ENDPOINT_BYTES_MAX: usize = 1_000;
const PREFIX_BYTES_MAX: usize = 32;
/// Where a tracking API takes batches, where the endpoint names no path.
const BATCH_PATH: &str = "/v1/batch";

/// Which segments a destination is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentChoice {
    /// Every segment of the space, also those that are made later.
    All,
    /// These.
    Listed(BTreeSet<SegmentName>),
}

impl SegmentChoice {
    /// Whether a segment is among them.
    #[must_use]
    pub fn has(&self, segment: &SegmentName) -> bool {
        match self {
            Self::All => true,
            Self::Listed(listed) => listed.contains(segment),
        }
    }
}

/// Which changes a destination is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Everything: who is a member when it is connected, and every change whatever caused it. The audience is the same
    /// on both sides.
    All,
    /// Entries that happen live (an event, the clock), and every exit: for receivers that act on an entry.
    Live,
}

/// A destination in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationDefinition {
    name: String,
    endpoint: String,
    write_key: String,
    segments: SegmentChoice,
    track: bool,
    identify: bool,
    changes: Changes,
    key_prefix: String,
}

impl DestinationDefinition {
    /// Reads the `spec` of a definition of kind `destination`.
    ///
    /// # Errors
    /// Every problem, with the path of its field.
    pub fn parse(name: &str, spec: &Value) -> Result<Self, Vec<DefinitionProblem>> {
        let Value::Object(fields) = spec else {
            return Err(vec![DefinitionProblem {
                path: String::new(),
                message: "a destination is an object with type, endpoint, write_key and segments".into(),
            }]);
        };
        let mut reader = Reader {
            fields,
            problems: Vec::new(),
        };
        reader.unknown_fields(&FIELDS);
        reader.optional_text("description");
        if reader.text("type", "segment").is_some_and(|kind| kind != "segment") {
            reader.problem(
                "type",
                "this must be \"segment\": a server that speaks Segment's tracking API",
            );
        }
        let endpoint = reader.endpoint();
        let write_key = reader.write_key();
        let segments = reader.segments();
        let (track, identify) = reader.forms();
        let changes = reader.changes();
        let key_prefix = reader.key_prefix();
        match (endpoint, write_key, segments) {
            (Some(endpoint), Some(write_key), Some(segments)) if reader.problems.is_empty() => Ok(Self {
                name: name.to_owned(),
                endpoint,
                write_key,
                segments,
                track,
                identify,
                changes,
                key_prefix,
            }),
            _ => Err(reader.problems),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where batches are posted to.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The name of the write key.
    #[must_use]
    pub fn write_key(&self) -> &str {
        &self.write_key
    }

    /// The segments that it is told of.
    #[must_use]
    pub fn segments(&self) -> &SegmentChoice {
        &self.segments
    }

    /// Which changes it is told of.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// Whether `Audience Entered` and `Audience Exited` are sent.
    #[must_use]
    pub fn track(&self) -> bool {
        self.track
    }

    /// Whether identify calls with true or false are sent.
    #[must_use]
    pub fn identify(&self) -> bool {
        self.identify
    }

    /// What a segment is called at the receiver: the audience's key.
    #[must_use]
    pub fn audience_key(&self, segment: &SegmentName) -> String {
        let mut key = self.key_prefix.clone();
        // Writing to a text cannot fail.
        let _ = write!(key, "{segment}");
        key
    }
}

impl Reader<'_> {
    fn endpoint(&mut self) -> Option<String> {
        let text = self.text("endpoint", "https://api.segment.io")?;
        match read_endpoint(&text) {
            Ok(endpoint) => Some(endpoint),
            Err(wrong) => {
                self.problem("endpoint", wrong);
                None
            }
        }
    }

    fn write_key(&mut self) -> Option<String> {
        let name = self.text(
            "write_key",
            "segment_production, the name of a key that the server is given",
        )?;
        if name.parse::<SegmentName>().is_ok() {
            return Some(name);
        }
        // It is not repeated: somebody may have written the key itself.
        let wrong = "this is the name of a key, of a-z, 0-9, _ and -, and not the key: the server is given that as KITH_WRITE_KEY_NAME or under write_keys of its file of settings";
        self.problem("write_key", wrong);
        None
    }

    fn segments(&mut self) -> Option<SegmentChoice> {
        let listed = match self.fields.get("segments") {
            Some(Value::String(all)) if all == "all" => return Some(SegmentChoice::All),
            Some(Value::Array(listed)) if !listed.is_empty() && listed.len() <= SEGMENTS_MAX => listed,
            _ => {
                self.problem(
                    "segments",
                    format!("this must be all, or a list of 1 to {SEGMENTS_MAX} segments"),
                );
                return None;
            }
        };
        let mut names = BTreeSet::new();
        for (item, at) in listed.iter().zip(0..) {
            match item.as_str().map(str::parse::<SegmentName>) {
                Some(Ok(name)) => {
                    names.insert(name);
                }
                Some(Err(wrong)) => self.problem(&format!("segments.{at}"), wrong.to_string()),
                None => self.problem(&format!("segments.{at}"), "this must be the name of a segment"),
            }
        }
        Some(SegmentChoice::Listed(names))
    }

    /// Whether track and identify calls are sent; both unless said.
    fn forms(&mut self) -> (bool, bool) {
        let named = match self.fields.get("send") {
            None => return (true, true),
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().map(|form| form.as_str().unwrap_or_default()).collect(),
            Some(_) => Vec::new(),
        };
        if named.is_empty() || named.iter().any(|form| !["track", "identify"].contains(form)) {
            self.problem("send", "this must be track, identify or a list of both");
        }
        (named.contains(&"track"), named.contains(&"identify"))
    }

    fn changes(&mut self) -> Changes {
        match self.optional_text("changes").as_deref() {
            None | Some("all") => Changes::All,
            Some("live") => Changes::Live,
            Some(_) => {
                self.problem("changes", "this must be all or live");
                Changes::All
            }
        }
    }

    fn key_prefix(&mut self) -> String {
        let prefix = self.optional_text("key_prefix").unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(is_plain) {
            self.problem(
                "key_prefix",
                format!("this has at most {PREFIX_BYTES_MAX} letters, digits, _ and -"),
            );
        }
        prefix
    }
}

/// The URL that batches are posted to.
fn read_endpoint(text: &str) -> Result<String, &'static str> {
    const NO_URL: &str = "this must be the URL of a tracking API, such as https://api.segment.io";
    let mut url = url::Url::parse(text).map_err(|_| NO_URL)?;
    if text.len() > ENDPOINT_BYTES_MAX || url.host_str().is_none_or(str::is_empty) || url.fragment().is_some() {
        return Err(NO_URL);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an endpoint carries no key: name it as write_key");
    }
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback => {}
        "http" => return Err("the write key would travel in clear: use https, or an address of this machine"),
        _ => return Err(NO_URL),
    }
    if matches!(url.path(), "" | "/") {
        url.set_path(BATCH_PATH);
    }
    Ok(url.into())
}
