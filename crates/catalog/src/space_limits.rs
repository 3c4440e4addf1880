//! The limits of a space (contract SPC-1): what one tenant may send and hold, so that it cannot take the room of others.
//!
//! They are a definition of the kind `space_limits` and so a decision in the log: a lost catalog has them again. The newest
//! stand in memory, for the doors ask at every request. The rates are kept by the doors; the counts are kept here, when a
//! source is made or definitions are planned. What exists already is never taken away by a lower limit.

use crate::documents::{LIMITS_NAME, shorten};
use crate::sources::{check_all_sources, refuse_own};
use crate::spaces::{parse_stored, require_space};
use crate::{Catalog, CatalogError, CatalogErrorKind, Document, DocumentId, DocumentKind, Problem};
use kith_types::{Limits, SpaceId, Terms};
use rusqlite::Connection;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;

/// The largest value of any limit.
const LIMIT_MAX: u64 = 1_000_000_000;

/// What a space may send and hold. `None` is no limit of its own: the server's bounds hold for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceLimits {
    /// Events that the doors take in a second, on the average.
    pub events_per_second: Option<u64>,
    /// Events that may come at once after a silence; the events of one second unless given.
    pub burst_events: Option<u64>,
    /// Events of one batch.
    pub batch_events: Option<u64>,
    /// Bytes of one body, unpacked.
    pub batch_bytes: Option<u64>,
    /// Bytes of one event.
    pub event_bytes: Option<u64>,
    /// How many days a later copy of an event is dropped.
    pub dedupe_days: Option<u64>,
    /// Sources.
    pub sources: Option<u64>,
    /// Definitions of every kind, but for the limits themselves.
    pub definitions: Option<u64>,
    /// Segments, each of which is evaluated for everybody.
    pub segments: Option<u64>,
    /// Computed traits, each of which every profile holds memory for.
    pub computed_traits: Option<u64>,
}

/// What a space holds of that which can be limited by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceUsage {
    /// Sources.
    pub sources: u64,
    /// Definitions of every kind, but for the limits themselves.
    pub definitions: u64,
    /// Segments.
    pub segments: u64,
    /// Computed traits.
    pub computed_traits: u64,
}

/// The limits of all spaces that have some.
pub(crate) type SpaceLimitsCache = HashMap<SpaceId, SpaceLimits>;

type Field = fn(&mut SpaceLimits) -> &mut Option<u64>;

/// How many limits there are.
const LIMITS: usize = 10;

const FIELDS: [(&str, Field); LIMITS] = [
    ("events_per_second", |limits| &mut limits.events_per_second),
    ("burst_events", |limits| &mut limits.burst_events),
    ("batch_events", |limits| &mut limits.batch_events),
    ("batch_bytes", |limits| &mut limits.batch_bytes),
    ("event_bytes", |limits| &mut limits.event_bytes),
    ("dedupe_days", |limits| &mut limits.dedupe_days),
    ("sources", |limits| &mut limits.sources),
    ("definitions", |limits| &mut limits.definitions),
    ("segments", |limits| &mut limits.segments),
    ("computed_traits", |limits| &mut limits.computed_traits),
];

impl SpaceLimits {
    /// Every limit with its name, as documents spell it. This is the only list of them.
    #[must_use]
    pub fn entries(&self) -> [(&'static str, Option<u64>); LIMITS] {
        FIELDS.map(|(name, field)| (name, *field(&mut self.clone())))
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<u64>> {
        let (_, field) = FIELDS.into_iter().find(|(known, _)| *known == name)?;
        Some(field(self))
    }

    /// The document that decides these limits as a change leaves them: what it names is set, or ended by `null`, and all else
    /// stays.
    ///
    /// # Errors
    /// A limit that must be mended, by its path.
    pub fn changed_by(&self, change: &Map<String, Value>) -> Result<Document, Problem> {
        let mut document = self.to_document();
        for (name, limit) in change {
            let known = Self::default().field(name).is_some();
            if let Value::Object(spec) = &mut document.spec {
                match limit {
                    Value::Null if known => drop(spec.remove(name)),
                    // What cannot be is refused with the document.
                    _ => drop(spec.insert(name.clone(), limit.clone())),
                }
            }
        }
        Document::from_json("limits", document.to_json())
    }

    /// Reads the `spec` of a document.
    ///
    /// # Errors
    /// The path of the field that is wrong, and how to mend it.
    pub fn parse(spec: &Value) -> Result<Self, (String, String)> {
        let mut limits = Self::default();
        let Value::Object(fields) = spec else {
            return Err(("spec".to_owned(), "spec must be an object".to_owned()));
        };
        for (name, value) in fields {
            let path = || format!("spec.{}", shorten(name));
            let Some(field) = limits.field(name) else {
                let known = Self::default().entries().map(|(name, _)| name).join(", ");
                return Err((path(), format!("no limit has this name; the limits are {known}")));
            };
            match value.as_u64() {
                Some(limit) if (1..=most(name)).contains(&limit) => *field = Some(limit),
                _ => {
                    let most = most(name);
                    let message = format!("{name} is a whole number from 1 to {most}; leave it out for what is usual");
                    return Err((path(), message));
                }
            }
        }
        if limits.burst_events.is_some() && limits.events_per_second.is_none() {
            let message = "a burst needs a rate: give events_per_second too";
            return Err(("spec.burst_events".to_owned(), message.to_owned()));
        }
        if let Some(bytes) = limits.event_bytes
            && bytes > limits.batch_bytes.unwrap_or(Limits::USUAL.batch_bytes as u64)
        {
            let message = "an event cannot be larger than the body that it stands in: give batch_bytes too";
            return Err(("spec.event_bytes".to_owned(), message.to_owned()));
        }
        Ok(limits)
    }

    /// What a body of the space is taken under. A batch may be made larger or smaller than usual; of one that is larger
    /// than a smaller limit nothing is kept, so the doors and not these terms judge it.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let raised = |limit: Option<u64>, usual: usize, most: usize| {
            let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
            limit.map_or(usual, |limit| limit.clamp(usual, most))
        };
        let (usual, most) = (Limits::USUAL, Limits::MAX);
        let event_bytes = self.event_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let days = self.dedupe_days.and_then(|days| u16::try_from(days).ok());
        Terms {
            limits: Limits {
                event_bytes: event_bytes.unwrap_or(usual.event_bytes).min(most.event_bytes),
                batch_bytes: raised(self.batch_bytes, usual.batch_bytes, most.batch_bytes),
                batch_events: raised(self.batch_events, usual.batch_events, most.batch_events),
            },
            dedupe_days: days.unwrap_or(Terms::USUAL.dedupe_days).min(Terms::DEDUPE_DAYS_MAX),
        }
    }

    /// The document that decides these limits.
    #[must_use]
    pub fn to_document(&self) -> Document {
        let given = self.entries().into_iter();
        let given = given.filter_map(|(name, limit)| Some((name.to_owned(), Value::from(limit?))));
        Document {
            kind: DocumentKind::SpaceLimits,
            name: LIMITS_NAME.to_owned(),
            spec: Value::Object(given.collect()),
        }
    }
}

impl Catalog {
    /// The limits of a space, from memory; none where none were decided.
    #[must_use]
    pub fn space_limits(&self, space: &SpaceId) -> SpaceLimits {
        let cache = self.space_limits.read().unwrap_or_else(PoisonError::into_inner);
        cache.get(space).copied().unwrap_or_default()
    }

    /// What a space holds.
    ///
    /// # Errors
    /// [`CatalogErrorKind::NotFound`] without the space.
    pub fn space_usage(&self, space: &SpaceId) -> Result<SpaceUsage, CatalogError> {
        let sources = {
            let connection = self.connection();
            require_space(&connection, space)?;
            count_sources(&connection, space)?
        };
        let held = Held::of(self.definitions(space)?.iter().map(|document| document.kind));
        Ok(SpaceUsage {
            sources,
            definitions: held.definitions,
            segments: held.segments,
            computed_traits: held.computed_traits,
        })
    }

    /// Refuses definitions that hold more than the space may, by the limits that would hold with them. What was there
    /// already may stay, so that a limit can be set below it.
    pub(crate) fn check_counts(
        &self,
        space: &SpaceId,
        current: &BTreeMap<DocumentId, Document>,
        next: &BTreeMap<DocumentId, Document>,
    ) -> Result<(), CatalogError> {
        let limits = match next
            .values()
            .find(|document| document.kind == DocumentKind::SpaceLimits)
        {
            Some(document) => SpaceLimits::parse(&document.spec)
                .map_err(|(path, message)| CatalogError::invalid(format!("{path}: {message}")))?,
            None => SpaceLimits::default(),
        };
        let before = Held::of(current.keys().map(|id| id.kind));
        let after = Held::of(next.keys().map(|id| id.kind));
        let grown = [
            ("definitions", limits.definitions, before.definitions, after.definitions),
            ("segments", limits.segments, before.segments, after.segments),
            (
                "computed_traits",
                limits.computed_traits,
                before.computed_traits,
                after.computed_traits,
            ),
        ];
        for (name, limit, before, after) in grown {
            refuse_growth(space, name, limit, before, after)?;
        }
        let named: Vec<&str> = (next.keys().filter(|id| id.kind == DocumentKind::Source))
            .map(|id| id.name.as_str())
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let connection = self.connection();
        let sources = source_names(&connection, space)?;
        let new: Vec<&str> = named.into_iter().filter(|name| !sources.contains(*name)).collect();
        new.iter().try_for_each(|name| refuse_own(name))?;
        let new = new.len() as u64;
        let before = sources.len() as u64;
        refuse_growth(space, "sources", limits.sources, before, before + new)?;
        check_all_sources(&connection, new)
    }

    /// Refuses one more source where the space has as many as it may.
    pub(crate) fn check_new_source(&self, connection: &Connection, space: &SpaceId) -> Result<(), CatalogError> {
        let limit = self.space_limits(space).sources;
        if limit.is_none() {
            return Ok(());
        }
        let before = count_sources(connection, space)?;
        refuse_growth(space, "sources", limit, before, before + 1)
    }

    pub(crate) fn reload_space_limits(&self) -> Result<(), CatalogError> {
        const SELECT: &str = "SELECT space, spec FROM definitions AS d WHERE kind = 'space_limits' AND spec IS NOT NULL AND decided_by = \
             (SELECT max(decided_by) FROM definitions AS l WHERE l.space = d.space AND l.kind = d.kind AND l.name = d.name)";
        // The connection is held until the cache is set, so that of two changes the later is what stays.
        let connection = self.connection();
        let mut statement = connection.prepare_cached(SELECT)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut limits = SpaceLimitsCache::new();
        for row in rows {
            let (space, spec) = row?;
            let spec = crate::definitions::parse_spec(&spec)?;
            let parsed = SpaceLimits::parse(&spec).map_err(|(path, message)| {
                CatalogError::new(CatalogErrorKind::Refused, format!("{path}: {message}"))
            })?;
            limits.insert(parse_stored(&space)?, parsed);
        }
        *self.space_limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
        Ok(())
    }
}

/// The largest value of a limit. Batches may be given any: what is above the most that a door takes counts as that.
fn most(name: &str) -> u64 {
    match name {
        "event_bytes" => Limits::MAX.event_bytes as u64,
        "dedupe_days" => u64::from(Terms::DEDUPE_DAYS_MAX),
        _ => LIMIT_MAX,
    }
}

/// Definitions by what limits count.
struct Held {
    definitions: u64,
    segments: u64,
    computed_traits: u64,
}

impl Held {
    fn of(kinds: impl Iterator<Item = DocumentKind>) -> Self {
        let mut held = Self {
            definitions: 0,
            segments: 0,
            computed_traits: 0,
        };
        for kind in kinds {
            held.definitions += u64::from(kind != DocumentKind::SpaceLimits);
            held.segments += u64::from(kind == DocumentKind::Segment);
            held.computed_traits += u64::from(kind == DocumentKind::ComputedTrait);
        }
        held
    }
}

fn refuse_growth(space: &SpaceId, name: &str, limit: Option<u64>, before: u64, after: u64) -> Result<(), CatalogError> {
    match limit {
        Some(limit) if after > limit && after > before => Err(CatalogError::new(
            CatalogErrorKind::Limit,
            format!(
                "space {space} may have {limit} {name} and would have {after}: remove some, or raise the limit {name} with `kith space limits {space}`"
            ),
        )),
        _ => Ok(()),
    }
}

fn count_sources(connection: &Connection, space: &SpaceId) -> Result<u64, CatalogError> {
    const COUNT: &str = "SELECT count(*) FROM sources WHERE space = ?1";
    let count: i64 = connection.query_row(COUNT, [space.as_str()], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

fn source_names(connection: &Connection, space: &SpaceId) -> Result<BTreeSet<String>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT name FROM sources WHERE space = ?1")?;
    let names = statement.query_map([space.as_str()], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}
