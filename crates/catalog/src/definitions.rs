//! Activated definitions: recording decisions of the log, and reading what holds now or held before.
//!
//! The binary appends a decision to the log first and then records it here; a replay records it again, which changes
//! nothing. Versions stand in the order of the log, so recording in any order gives the same catalog.

use crate::diff::line_diff;
use crate::recovery::note_recorded;
use crate::sources::insert_source;
use crate::spaces::insert_space;
use crate::yaml::yaml_of;
use crate::{Catalog, CatalogError, CatalogErrorKind, Document, DocumentId, DocumentKind};
use kith_types::{Address, SpaceId, Timestamp};
use rusqlite::Connection;
use serde_json::Value;

/// The kind of the decision that activates and removes definitions.
pub const DECISION_KIND: &str = "definitions.applied";

/// The version of the decision's JSON.
const DECISION_FORMAT: u64 = 1;

/// The most versions that a history shows.
const HISTORY_MAX: i64 = 1_000;

/// Definitions activated and removed together, as the log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionsDecision {
    /// Who decided.
    pub author: String,
    /// Why.
    pub reason: String,
    /// What holds from here on.
    pub applied: Vec<Document>,
    /// What no longer holds.
    pub removed: Vec<DocumentId>,
    /// Whether the pipeline takes it once it can without holding anything up, and not at its place in the log.
    pub when_ready: bool,
}

impl DefinitionsDecision {
    /// The decision as the document of a log record.
    #[must_use]
    pub fn to_json(&self) -> String {
        let removed: Vec<Value> = self
            .removed
            .iter()
            .map(|id| serde_json::json!({ "kind": id.kind.as_str(), "name": id.name }))
            .collect();
        let mut written = serde_json::json!({
            "format": DECISION_FORMAT,
            "author": self.author,
            "reason": self.reason,
            "applied": self.applied.iter().map(Document::to_json).collect::<Vec<_>>(),
            "removed": removed,
        });
        if self.when_ready {
            written["when_ready"] = Value::Bool(true);
        }
        written.to_string()
    }

    /// Reads what [`DefinitionsDecision::to_json`] wrote.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Refused`] for the format of a newer release or a damaged document.
    pub fn from_json(text: &str) -> Result<Self, CatalogError> {
        let damaged = |detail: &str| {
            CatalogError::new(
                CatalogErrorKind::Refused,
                format!("a decision in the log cannot be read: {detail}"),
            )
        };
        let mut value: Value = serde_json::from_str(text).map_err(|error| {
            CatalogError::caused(CatalogErrorKind::Refused, "a decision in the log is not JSON", error)
        })?;
        if value["format"].as_u64() != Some(DECISION_FORMAT) {
            return Err(damaged(&format!(
                "its format is {}, this release knows {DECISION_FORMAT}: start the newer release",
                value["format"]
            )));
        }
        let text_of = |field: &str| value[field].as_str().map(str::to_owned).ok_or_else(|| damaged(field));
        let (author, reason) = (text_of("author")?, text_of("reason")?);
        let (applied, removed) = (value["applied"].take(), value["removed"].take());
        let (Value::Array(applied), Value::Array(removed)) = (applied, removed) else {
            return Err(damaged("applied and removed must be lists"));
        };
        let applied = applied
            .into_iter()
            .map(|value| Document::from_json("decision", value).map_err(|problem| damaged(&problem.to_string())));
        let removed = removed.iter().map(|value| {
            let part = |field: &str| value[field].as_str().unwrap_or_default();
            DocumentId::new(part("kind"), part("name")).map_err(|message| damaged(&message))
        });
        Ok(Self {
            author,
            reason,
            applied: applied.collect::<Result<_, _>>()?,
            removed: removed.collect::<Result<_, _>>()?,
            when_ready: value["when_ready"].as_bool().unwrap_or(false),
        })
    }
}

/// One version of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct DefinitionVersion {
    /// 1 for the first, in the order of the log.
    pub version: u64,
    /// What it says; `None` where this version deleted it.
    pub spec: Option<Value>,
    /// Who decided.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The decision's place in the log.
    pub decided_by: Address,
    /// When it was decided.
    pub created_at: Timestamp,
    /// The difference from the version before, as YAML, line by line.
    pub diff: Vec<String>,
}

impl Catalog {
    /// Records a decision that stands in the log at `address` and was received at `decided_at`. Says whether it is new;
    /// a decision recorded before changes nothing. The space and the sources it names are made where missing (a source
    /// without a key).
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`]; nothing is recorded then.
    pub fn record_definitions(
        &self,
        space: &SpaceId,
        decision: &DefinitionsDecision,
        address: Address,
        decided_at: Timestamp,
    ) -> Result<bool, CatalogError> {
        let recorded = self.transaction(|transaction| {
            const NOTE: &str = "INSERT INTO decisions (address, space) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            if transaction.execute(NOTE, (address.to_bytes(), space.as_str()))? == 0 {
                return Ok(false);
            }
            insert_space(transaction, space, decided_at)?;
            let applied = decision.applied.iter().map(|document| (document.id(), Some(&document.spec)));
            let removed = decision.removed.iter().map(|id| (id.clone(), None));
            for (id, spec) in applied.chain(removed) {
                let row = (
                    space.as_str(),
                    id.kind.as_str(),
                    &id.name,
                    address.to_bytes(),
                    spec.map(Value::to_string),
                    &decision.author,
                    &decision.reason,
                    decided_at.as_micros(),
                );
                const INSERT: &str = "INSERT INTO definitions (space, kind, name, decided_by, spec, author, reason, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
                transaction.execute(INSERT, row)?;
                if id.kind == DocumentKind::Source {
                    follow_source(transaction, space, &id.name, decided_at)?;
                }
            }
            note_recorded(transaction)?;
            Ok(true)
        })?;
        if recorded {
            self.reload_write_keys()?;
            self.reload_space_limits()?;
        }
        Ok(recorded)
    }

    /// Every definition of a space that holds now, in the order of kinds and names. Empty without the space.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`].
    pub fn definitions(&self, space: &SpaceId) -> Result<Vec<Document>, CatalogError> {
        const SELECT: &str = "SELECT kind, name, spec FROM definitions AS d WHERE space = ?1 AND spec IS NOT NULL AND decided_by = \
             (SELECT max(decided_by) FROM definitions AS l WHERE l.space = d.space AND l.kind = d.kind AND l.name = d.name)";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(SELECT)?;
        let rows = statement.query_map([space.as_str()], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })?;
        let mut documents = Vec::new();
        for row in rows {
            let (kind, name, spec) = row?;
            let id = DocumentId::new(&kind, &name)
                .map_err(|message| CatalogError::new(CatalogErrorKind::Refused, message))?;
            documents.push(Document {
                kind: id.kind,
                name: id.name,
                spec: parse_spec(&spec)?,
            });
        }
        documents.sort_by_key(Document::id);
        Ok(documents)
    }

    /// The names of the documents of a kind of which a version was decided at this place in the log or later, each with whether the
    /// newest is one that is there, not its removal.
    ///
    /// # Errors
    /// [`CatalogErrorKind::Storage`].
    pub fn decided_from(
        &self,
        space: &SpaceId,
        kind: DocumentKind,
        from: Address,
    ) -> Result<Vec<(String, bool)>, CatalogError> {
        // Of a group SQLite gives the row that has the maximum.
        const SELECT: &str = "SELECT name, spec IS NOT NULL, max(decided_by) FROM definitions \
             WHERE space = ?1 AND kind = ?2 AND decided_by >= ?3 GROUP BY name";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(SELECT)?;
        let asked = (space.as_str(), kind.as_str(), from.to_bytes());
        let rows = statement.query_map(asked, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The versions of a definition, newest first.
    ///
    /// # Errors
    /// [`CatalogErrorKind::NotFound`] where there never was one.
    pub fn definition_history(&self, space: &SpaceId, id: &DocumentId) -> Result<Vec<DefinitionVersion>, CatalogError> {
        const SELECT: &str = "SELECT row_number() OVER (ORDER BY decided_by), spec, author, reason, decided_by, created_at \
             FROM definitions WHERE space = ?1 AND kind = ?2 AND name = ?3 ORDER BY decided_by DESC LIMIT ?4";
        let connection = self.connection();
        let mut statement = connection.prepare_cached(SELECT)?;
        let rows = statement.query_map((space.as_str(), id.kind.as_str(), &id.name, HISTORY_MAX), |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Option<String>>(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
            ))
        })?;
        let mut versions = Vec::new();
        for row in rows {
            let (version, spec, author, reason, decided_by, micros) = row?;
            versions.push(DefinitionVersion {
                version: u64::try_from(version).unwrap_or(0),
                spec: spec.as_deref().map(parse_spec).transpose()?,
                author,
                reason,
                decided_by: Address::from_bytes(decided_by),
                created_at: Timestamp::from_micros(micros),
                diff: Vec::new(),
            });
        }
        if versions.is_empty() {
            return Err(CatalogError::not_found(format!("space {space} never had a {id}")));
        }
        let texts: Vec<String> = versions
            .iter()
            .map(|version| version.spec.as_ref().map(yaml_of).unwrap_or_default())
            .collect();
        for (at, version) in versions.iter_mut().enumerate() {
            version.diff = line_diff(texts.get(at + 1).map_or("", String::as_str), &texts[at]);
        }
        Ok(versions)
    }
}

pub(crate) fn parse_spec(spec: &str) -> Result<Value, CatalogError> {
    serde_json::from_str(spec).map_err(|error| {
        CatalogError::caused(
            CatalogErrorKind::Refused,
            "the catalog holds a damaged definition: restore it from a backup",
            error,
        )
    })
}

/// Makes the source as its newest document says: `enabled` unless it says otherwise, disabled once deleted.
fn follow_source(connection: &Connection, space: &SpaceId, name: &str, now: Timestamp) -> Result<(), CatalogError> {
    // Names of documents follow the rule of sources' names.
    let source = name
        .parse()
        .map_err(|error| CatalogError::caused(CatalogErrorKind::Invalid, "a source has an impossible name", error))?;
    const NEWEST: &str = "SELECT spec FROM definitions WHERE space = ?1 AND kind = 'source' AND name = ?2 ORDER BY decided_by DESC LIMIT 1";
    let spec: Option<String> = connection.query_row(NEWEST, [space.as_str(), name], |row| row.get(0))?;
    let enabled = match spec.as_deref().map(parse_spec).transpose()? {
        Some(spec) => spec["enabled"].as_bool().unwrap_or(true),
        None => false,
    };
    insert_source(connection, space, &source, enabled, now)?;
    connection.execute(
        "UPDATE sources SET enabled = ?3 WHERE space = ?1 AND name = ?2",
        (space.as_str(), name, enabled),
    )?;
    Ok(())
}
