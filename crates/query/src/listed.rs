//! The functions that give tables, in `SHOW FUNCTIONS`: the engine lists those alone that give values.

use crate::past;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::prelude::Expr;
use datafusion::sql::sqlparser::ast::{ShowStatementFilter, Statement};

/// Adds those whose names the statement asks for, where it is `SHOW FUNCTIONS`.
pub(crate) fn with_tables(asked: Option<&ShowStatementFilter>, plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = plan.schema().as_arrow().clone();
    let rows: Vec<Vec<Expr>> = past::functions()
        .map(|(name, gives)| {
            let told = |column: &str| match column {
                "function_name" => text(&name),
                "function_type" => text("TABLE"),
                "return_type" => text("table"),
                "parameters" => texts("moment"),
                "parameter_types" => texts("String, or a timestamp"),
                "description" => text(gives),
                "syntax_example" => text(&format!("SELECT * FROM curated.{name}('2026-03-01T12:00:00Z')")),
                _ => ScalarValue::Null,
            };
            let typed = |field: &std::sync::Arc<datafusion::arrow::datatypes::Field>| {
                Ok(lit(told(field.name()).cast_to(field.data_type())?))
            };
            schema.fields().iter().map(typed).collect()
        })
        .collect::<Result<_>>()?;
    let named = schema.fields().iter().enumerate();
    let named = named.map(|(at, field)| col(format!("column{}", at + 1)).alias(field.name()));
    let mut tables = LogicalPlanBuilder::values(rows)?.project(named.collect::<Vec<_>>())?;
    if let Some(ShowStatementFilter::Like(pattern)) = asked {
        tables = tables.filter(col("function_name").like(lit(pattern.as_str())))?;
    }
    LogicalPlanBuilder::from(plan).union(tables.build()?)?.build()
}

/// What a statement that shows functions asks for.
pub(crate) fn shows_functions(statement: &Statement) -> Option<Option<ShowStatementFilter>> {
    match statement {
        Statement::ShowFunctions { filter } => Some(filter.clone()),
        _ => None,
    }
}

fn text(text: &str) -> ScalarValue {
    ScalarValue::from(text)
}

fn texts(only: &str) -> ScalarValue {
    let of = datafusion::arrow::datatypes::DataType::Utf8;
    ScalarValue::List(ScalarValue::new_list(&[text(only)], &of, true))
}
