//! Which statements are run: those that read.
//!
//! Two gates: the kind of statement before planning, and every node of the plan after it.

use crate::error::{SqlError, SqlErrorKind};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;

/// Bytes of a statement.
const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// Plans a statement that reads.
///
/// # Errors
/// [`SqlErrorKind::ReadOnly`] for any other statement, [`SqlErrorKind::Invalid`] for what cannot be planned.
pub(crate) async fn plan(state: &SessionState, sql: &str) -> Result<LogicalPlan, SqlError> {
    if sql.len() > STATEMENT_BYTES_MAX {
        let message = format!("a statement has at most {STATEMENT_BYTES_MAX} bytes");
        return Err(SqlError::new(SqlErrorKind::Invalid, message));
    }
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect)?;
    check_statement(&statement)?;
    let plan = state.statement_to_plan(statement).await?;
    check_plan(&plan)?;
    Ok(plan)
}

fn read_only(what: &str) -> SqlError {
    let message = format!("{what} is refused: statements here only read (SELECT, SHOW, DESCRIBE, EXPLAIN)");
    SqlError::new(SqlErrorKind::ReadOnly, message)
}

fn check_statement(statement: &Statement) -> Result<(), SqlError> {
    match statement {
        Statement::Statement(statement) => check_ast(statement),
        Statement::Explain(explain) => {
            if explain.analyze {
                return Err(read_only("EXPLAIN ANALYZE"));
            }
            check_statement(&explain.statement)
        }
        other => Err(read_only(&first_words(&other.to_string()))),
    }
}

fn check_ast(statement: &ast::Statement) -> Result<(), SqlError> {
    match statement {
        ast::Statement::Query(_)
        | ast::Statement::ExplainTable { .. }
        | ast::Statement::ShowTables { .. }
        | ast::Statement::ShowColumns { .. }
        | ast::Statement::ShowFunctions { .. }
        | ast::Statement::ShowCreate { .. } => Ok(()),
        ast::Statement::Explain {
            analyze: false,
            statement,
            ..
        } => check_ast(statement),
        other => Err(read_only(&first_words(&other.to_string()))),
    }
}

/// The verb of a statement, such as `DROP TABLE`.
fn first_words(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().take(2).collect();
    match words[..] {
        [verb, object] if object.bytes().all(|byte| byte.is_ascii_uppercase()) => format!("{verb} {object}"),
        [verb, ..] => verb.to_owned(),
        [] => "an empty statement".to_owned(),
    }
}

fn check_plan(plan: &LogicalPlan) -> Result<(), SqlError> {
    if matches!(plan, LogicalPlan::Analyze(_)) {
        return Err(read_only("EXPLAIN ANALYZE"));
    }
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    options
        .verify_plan(plan)
        .map_err(|_| read_only("a statement that changes something"))
}
