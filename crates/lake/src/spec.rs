//! What a table of the lake looks like: columns with Iceberg field ids, which of them may hold personal values, and
//! how rows are divided into buckets.
//!
//! [`crate::tables`] describes the tables of the platform in these terms; files and commits are made from them. A
//! column's id and type never change and columns are only added, so that old files stay readable.

use crate::error::{ErrorKind, LakeError};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use iceberg::spec::{NestedField, PrimitiveType, Schema, Transform, Type, UnboundPartitionSpec};
use std::collections::HashMap;
use std::sync::Arc;

/// The key under which Parquet fields carry their Iceberg field id.
const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// The types of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text; Iceberg `string`.
    Text,
    /// JSON as UTF-8 text; Iceberg `string`.
    Json,
    /// 32 bits; Iceberg `int`.
    Int,
    /// 64 bits; Iceberg `long`.
    Long,
    /// Microseconds in UTC; Iceberg `timestamptz`.
    Time,
    /// True or false; Iceberg `boolean`. No bounds of it are kept.
    Flag,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The Iceberg field id.
    pub id: i32,
    /// The name.
    pub name: &'static str,
    /// The type.
    pub column_type: ColumnType,
    /// Whether every row has a value.
    pub required: bool,
    /// Whether it may hold personal values: then no bounds of it are kept anywhere (contract LAK-6).
    pub classified: bool,
    /// Whether nearly every row has another value: then files try no dictionary of it.
    pub distinct: bool,
}

/// Divides rows into `count` partitions by Iceberg's `bucket` transform of a text column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// The column's name.
    pub column: &'static str,
    /// How many buckets.
    pub count: u32,
}

/// A table's shape.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The namespace, such as `clean`.
    pub namespace: &'static str,
    /// The name, such as `events`.
    pub name: &'static str,
    /// The columns, ids ascending from 1.
    pub columns: Vec<Column>,
    /// How rows are divided, if they are.
    pub buckets: Option<Buckets>,
    arrow: SchemaRef,
}

impl Column {
    pub(crate) fn arrow_type(&self) -> DataType {
        match self.column_type {
            ColumnType::Text | ColumnType::Json => DataType::Utf8,
            ColumnType::Int => DataType::Int32,
            ColumnType::Long => DataType::Int64,
            ColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::Flag => DataType::Boolean,
        }
    }

    fn iceberg_type(&self) -> PrimitiveType {
        match self.column_type {
            ColumnType::Text | ColumnType::Json => PrimitiveType::String,
            ColumnType::Int => PrimitiveType::Int,
            ColumnType::Long => PrimitiveType::Long,
            ColumnType::Time => PrimitiveType::Timestamptz,
            ColumnType::Flag => PrimitiveType::Boolean,
        }
    }
}

impl TableSpec {
    /// The table of those columns. Columns get the ids 1, 2, … in their order, so new ones go to the end.
    pub(crate) fn new(
        namespace: &'static str,
        name: &'static str,
        columns: Vec<Column>,
        buckets: Option<Buckets>,
    ) -> Self {
        let columns: Vec<Column> = (1..).zip(columns).map(|(id, column)| Column { id, ..column }).collect();
        let fields = columns.iter().map(|column| {
            Field::new(column.name, column.arrow_type(), !column.required)
                .with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), column.id.to_string())]))
        });
        let arrow = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        Self {
            namespace,
            name,
            columns,
            buckets,
            arrow,
        }
    }

    /// The Arrow schema of its rows: UTC times, Parquet field ids in the fields' metadata.
    #[must_use]
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.arrow)
    }

    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub(crate) fn iceberg_schema(&self) -> Result<Schema, LakeError> {
        let fields = self.columns.iter().map(|column| {
            let field_type = Type::Primitive(column.iceberg_type());
            Arc::new(NestedField::new(column.id, column.name, field_type, column.required))
        });
        Ok(Schema::builder().with_fields(fields).build()?)
    }

    pub(crate) fn partition_spec(&self) -> Result<UnboundPartitionSpec, LakeError> {
        let builder = UnboundPartitionSpec::builder();
        let Some(buckets) = self.buckets else {
            return Ok(builder.build());
        };
        let column = self.column(buckets.column).ok_or_else(|| {
            LakeError::new(
                ErrorKind::Invalid,
                format!("{}.{} has no column {}", self.namespace, self.name, buckets.column),
            )
        })?;
        let name = format!("{}_bucket", column.name);
        Ok(builder
            .add_partition_field(column.id, name, Transform::Bucket(buckets.count))?
            .build())
    }

    /// The table's properties: what other writers must know to keep the same promises.
    pub(crate) fn properties(&self) -> HashMap<String, String> {
        let fixed = [
            ("write.format.default", "parquet"),
            ("write.parquet.compression-codec", "zstd"),
            ("write.delete.mode", "copy-on-write"),
            ("write.update.mode", "copy-on-write"),
            ("write.merge.mode", "copy-on-write"),
            ("write.metadata.delete-after-commit.enabled", "true"),
            ("write.metadata.previous-versions-max", "20"),
        ];
        let mut properties: HashMap<_, _> = fixed
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        for column in self.columns.iter().filter(|column| column.classified) {
            properties.insert(metrics_property(column.name), "counts".to_owned());
        }
        properties
    }
}

/// The property by which a table says how much is recorded of a column; `counts` for classified ones.
pub(crate) fn metrics_property(column: &str) -> String {
    format!("write.metadata.metrics.column.{column}")
}

/// The bucket of a text by Iceberg's `bucket` transform (table specification, appendix B): the 32-bit Murmur3 hash
/// (x86 variant, seed 0) of its UTF-8 bytes, without the sign bit, modulo the number of buckets.
#[must_use]
pub fn bucket_of(text: &str, count: u32) -> u32 {
    (murmur3_32(text.as_bytes()) & 0x7fff_ffff) % count.max(1)
}

fn murmur3_32(bytes: &[u8]) -> u32 {
    fn scramble(word: u32) -> u32 {
        word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
    }
    let mut hash: u32 = 0;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        hash = (hash ^ scramble(u32::from_le_bytes(*word)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    let last = tail
        .iter()
        .rev()
        .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    if !tail.is_empty() {
        hash ^= scramble(last);
    }
    // The hash takes the length modulo 2^32 by its definition.
    hash ^= u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::spec::{Datum, Literal};
    use iceberg::transform::create_transform_function;

    #[test]
    fn lak_1_buckets_are_icebergs() {
        let transform = create_transform_function(&Transform::Bucket(16)).unwrap();
        for text in [
            "",
            "a",
            "ab",
            "abc",
            "abcd",
            "iceberg",
            "prf_0123456789abcdef0123456789abcdef",
            "é漢",
        ] {
            let theirs = transform.transform_literal(&Datum::string(text)).unwrap().unwrap();
            assert_eq!(
                Literal::int(i32::try_from(bucket_of(text, 16)).unwrap()),
                Literal::Primitive(theirs.literal().clone()),
                "{text}"
            );
        }
    }
}
