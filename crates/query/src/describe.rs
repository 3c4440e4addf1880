//! The list of tables and views with their columns, sizes and freshness: what a console or a command line shows.

use crate::error::SqlError;
use crate::spaces::{Spaces, Zone};
use datafusion::arrow::datatypes::{DataType, Schema};
use kith_types::{SpaceId, Timestamp};

/// A table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescription {
    /// The space: in SQL the database.
    pub space: SpaceId,
    /// The zone: in SQL the schema.
    pub schema: String,
    /// The name.
    pub name: String,
    /// Whether it is a view: computed when it is read.
    pub view: bool,
    /// The columns in order.
    pub columns: Vec<ColumnDescription>,
    /// How many rows it has, exact; none for views.
    pub rows: Option<u64>,
    /// When rows were last added or replaced; none for views and for tables that never had any.
    pub committed_at: Option<Timestamp>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDescription {
    /// The name.
    pub name: String,
    /// The type in SQL's words, such as `text` or `timestamp`.
    pub sql_type: String,
    /// Whether it may be null.
    pub nullable: bool,
}

/// Describes everything in those spaces.
pub(crate) async fn describe(spaces: &Spaces) -> Result<Vec<TableDescription>, SqlError> {
    let mut described = Vec::new();
    for zone in spaces.zones() {
        for name in zone.tables() {
            let Some(table) = zone.table_of_lake(name).await? else {
                continue;
            };
            described.push(TableDescription {
                rows: Some(table.loaded().record_count()),
                committed_at: table.loaded().committed_at,
                ..description(zone, name, &table.loaded().schema)
            });
        }
        for view in zone.views() {
            let Some(table) = zone.view(*view).await? else { continue };
            described.push(TableDescription {
                view: true,
                ..description(zone, view.name(), &table.schema())
            });
        }
    }
    described.sort_by(|a, b| (&a.space, &a.schema, &a.name).cmp(&(&b.space, &b.schema, &b.name)));
    Ok(described)
}

fn description(zone: &Zone, name: &str, schema: &Schema) -> TableDescription {
    let columns = schema.fields().iter().map(|field| ColumnDescription {
        name: field.name().clone(),
        sql_type: sql_type(field.data_type()),
        nullable: field.is_nullable(),
    });
    TableDescription {
        space: zone.space().clone(),
        schema: zone.name().to_owned(),
        name: name.to_owned(),
        view: false,
        columns: columns.collect(),
        rows: None,
        committed_at: None,
    }
}

fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, None) => "timestamp without time zone".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        other => other.to_string().to_lowercase(),
    }
}
