//! A table as of its newest snapshot: schema, files, and what is known of each file's values.
//!
//! The query crate hands these files to its own Parquet source and prunes by these bounds.

use crate::error::{ErrorKind, LakeError};
use crate::manifests::LiveFile;
use crate::spec::metrics_property;
use crate::store::Store;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use iceberg::spec::{Literal, PrimitiveLiteral, PrimitiveType, TableMetadata, Type};
use kith_types::Timestamp;
use object_store::path::Path;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A table as of its newest snapshot.
#[derive(Clone, Debug)]
pub struct LoadedTable {
    /// Columns in order; times are microseconds in `UTC`.
    pub schema: SchemaRef,
    /// The Iceberg field id of each column.
    pub field_ids: Vec<i32>,
    /// Whether each column is classified: no bounds, and readers must hide it from those who may not see it.
    pub classified: Vec<bool>,
    /// The snapshot; none while nothing has been committed.
    pub snapshot_id: Option<i64>,
    /// The files of the snapshot, newest first.
    pub files: Vec<DataFileEntry>,
    /// The table's properties.
    pub properties: BTreeMap<String, String>,
    /// The summary of the snapshot: totals and the log's end offsets.
    pub summary: BTreeMap<String, String>,
    /// When the snapshot was committed, to the millisecond.
    pub committed_at: Option<Timestamp>,
    /// Where the metadata lies: any Iceberg reader opens the table by it.
    pub metadata_location: String,
}

/// A data file of a snapshot.
#[derive(Clone, Debug)]
pub struct DataFileEntry {
    /// Where it lies, relative to the root of [`crate::Lake::objects`].
    pub path: Path,
    /// Where it lies, as metadata names it.
    pub location: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its rows, exact.
    pub record_count: u64,
    /// Its bucket, in a table that is divided.
    pub bucket: Option<u32>,
    /// What is known of each column of [`LoadedTable::schema`], in order.
    pub columns: Vec<ColumnBounds>,
}

/// What is known of a column's values in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnBounds {
    /// How many are null, exact.
    pub null_count: Option<u64>,
    /// No value is less.
    pub lower: Option<Bound>,
    /// No value is greater.
    pub upper: Option<Bound>,
}

/// A bound. Numbers and times that this crate wrote are exact; texts may be widened and serve only to leave files out.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// Of a truth value.
    Bool(bool),
    /// Of 32 bits; days of a date too.
    Int(i32),
    /// Of 64 bits.
    Long(i64),
    /// Of 32 binary places.
    Float(f32),
    /// Of 64 binary places.
    Double(f64),
    /// Microseconds since 1970 in UTC.
    Time(i64),
    /// UTF-8 text, perhaps shortened.
    Text(Box<str>),
}

impl Bound {
    /// Whether the value occurs in the file; texts may be shortened.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !matches!(self, Self::Text(_))
    }

    fn of(literal: &PrimitiveLiteral, primitive: &PrimitiveType) -> Option<Self> {
        Some(match (literal, primitive) {
            (PrimitiveLiteral::Boolean(truth), _) => Self::Bool(*truth),
            (PrimitiveLiteral::Int(number), _) => Self::Int(*number),
            (PrimitiveLiteral::Long(micros), PrimitiveType::Timestamptz | PrimitiveType::Timestamp) => {
                Self::Time(*micros)
            }
            (PrimitiveLiteral::Long(number), _) => Self::Long(*number),
            (PrimitiveLiteral::Float(number), _) => Self::Float(number.0),
            (PrimitiveLiteral::Double(number), _) => Self::Double(number.0),
            (PrimitiveLiteral::String(text), _) => Self::Text(text.as_str().into()),
            _ => return None,
        })
    }
}

/// The Arrow type in which files of ours and of other writers hold an Iceberg type.
fn arrow_type(name: &str, field_type: &Type) -> Result<DataType, LakeError> {
    let Type::Primitive(primitive) = field_type else {
        let message = format!("column {name} is nested: keep it as JSON text");
        return Err(LakeError::new(ErrorKind::Invalid, message));
    };
    Ok(match primitive {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::String => DataType::Utf8,
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => {
            let message = format!("column {name} has the type {other}, which is not read here");
            return Err(LakeError::new(ErrorKind::Invalid, message));
        }
    })
}

fn sorted(map: &HashMap<String, String>) -> BTreeMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl LoadedTable {
    pub(crate) fn new<'a>(
        store: &Store,
        metadata_location: String,
        metadata: &TableMetadata,
        live: impl Iterator<Item = &'a LiveFile>,
    ) -> Result<Self, LakeError> {
        let schema = metadata.current_schema();
        let (mut fields, mut field_ids, mut classified) = (Vec::new(), Vec::new(), Vec::new());
        let mut types = Vec::new();
        for field in schema.as_struct().fields() {
            fields.push(Field::new(
                &field.name,
                arrow_type(&field.name, &field.field_type)?,
                !field.required,
            ));
            field_ids.push(field.id);
            let metrics = metadata.properties().get(&metrics_property(&field.name));
            classified.push(metrics.is_some_and(|mode| mode == "counts" || mode == "none"));
            types.push(
                field
                    .field_type
                    .as_primitive_type()
                    .cloned()
                    .unwrap_or(PrimitiveType::Binary),
            );
        }
        let files = live
            .map(|live| DataFileEntry::new(store, live, &field_ids, &types))
            .collect::<Result<_, _>>()?;
        let snapshot = metadata.current_snapshot();
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            field_ids,
            classified,
            snapshot_id: snapshot.map(|snapshot| snapshot.snapshot_id()),
            files,
            properties: sorted(metadata.properties()),
            summary: snapshot
                .map(|snapshot| sorted(&snapshot.summary().additional_properties))
                .unwrap_or_default(),
            committed_at: snapshot.map(|snapshot| Timestamp::from_millis(snapshot.timestamp_ms())),
            metadata_location,
        })
    }

    /// How many rows it has, exact.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        self.files.iter().map(|file| file.record_count).sum()
    }
}

/// The bucket of a file, in a table that has one partition field.
pub(crate) fn bucket(file: &iceberg::spec::DataFile) -> Option<u32> {
    match file.partition().iter().next()? {
        Some(Literal::Primitive(PrimitiveLiteral::Int(bucket))) => u32::try_from(*bucket).ok(),
        _ => None,
    }
}

impl DataFileEntry {
    fn new(store: &Store, live: &LiveFile, ids: &[i32], types: &[PrimitiveType]) -> Result<Self, LakeError> {
        let file = &live.file;
        let path = Path::parse(store.path_of(file.file_path())?)
            .map_err(|error| LakeError::because(ErrorKind::Damaged, "a data file has an unusable path", error))?;
        let columns = ids.iter().zip(types).map(|(id, primitive)| ColumnBounds {
            null_count: file.null_value_counts().get(id).copied(),
            lower: file
                .lower_bounds()
                .get(id)
                .and_then(|bound| Bound::of(bound.literal(), primitive)),
            upper: file
                .upper_bounds()
                .get(id)
                .and_then(|bound| Bound::of(bound.literal(), primitive)),
        });
        Ok(Self {
            path,
            location: file.file_path().to_owned(),
            size: file.file_size_in_bytes(),
            record_count: file.record_count(),
            bucket: bucket(file),
            columns: columns.collect(),
        })
    }
}
