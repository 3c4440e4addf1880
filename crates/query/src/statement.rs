//! Which statements are run: those that read.
//!
//! Two gates: the kind of statement before planning, and every node of the plan after it.

use crate::error::{SqlError, SqlErrorKind};
use crate::{listed, past};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use kith_expr::nearest;

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
    if sql
        .trim_matches(|end: char| end.is_whitespace() || end == ';')
        .is_empty()
    {
        let message = "the statement is empty: give one, such as SHOW TABLES";
        return Err(SqlError::new(SqlErrorKind::Invalid, message));
    }
    let mut statement = state.sql_to_statement(sql, &dialect).map_err(unreadable)?;
    check_statement(&statement)?;
    complete_name(state, &mut statement);
    name_tables(state, &mut statement)?;
    let functions = match &statement {
        Statement::Statement(statement) => listed::shows_functions(statement),
        _ => None,
    };
    let plan = state.statement_to_plan(statement).await;
    let mut plan = plan.map_err(|error| missing_table(state, SqlError::from(error)))?;
    if let Some(asked) = functions {
        plan = listed::with_tables(asked.as_ref(), plan)?;
    }
    check_plan(&plan)?;
    Ok(plan)
}

/// A text that is no statement, with the place where it stops being one.
fn unreadable(error: DataFusionError) -> SqlError {
    let error = SqlError::from(error);
    let text = error.to_string();
    if text.contains("only supports a single SQL statement") {
        let message = "one statement at a time: leave out what follows the first `;`";
        return SqlError::new(SqlErrorKind::Invalid, message);
    }
    let text = text.replace("found: EOF", "found: the end of the statement");
    SqlError::new(error.kind(), format!("the statement cannot be read: {text}"))
}

/// Writes out the name in `SHOW COLUMNS FROM name` and `SHOW CREATE TABLE name`. The engine looks for it in the lists of all
/// tables that the request may read, where a short name is that of a table in each space.
fn complete_name(state: &SessionState, statement: &mut Statement) {
    let Statement::Statement(statement) = statement else {
        return;
    };
    let name = match &mut **statement {
        ast::Statement::ShowColumns { show_options, .. } => {
            let shown = show_options.show_in.as_mut();
            shown.and_then(|shown| shown.parent_name.as_mut())
        }
        ast::Statement::ShowCreate { obj_name, .. } => Some(obj_name),
        _ => None,
    };
    let Some(ast::ObjectName(parts)) = name else { return };
    let catalog = &state.config_options().catalog;
    for (short, default) in [(1, &catalog.default_schema), (2, &catalog.default_catalog)] {
        if parts.len() == short {
            let default = ast::Ident::with_quote('"', default.as_str());
            parts.insert(0, ast::ObjectNamePart::Identifier(default));
        }
    }
}

/// Writes calls of functions of the past out as names of tables.
fn name_tables(state: &SessionState, statement: &mut Statement) -> Result<(), SqlError> {
    match statement {
        Statement::Statement(statement) => past::name_tables_of_then(state, &mut **statement),
        Statement::Explain(explain) => name_tables(state, &mut explain.statement),
        _ => Ok(()),
    }
}

/// A table, a function that gives one, or a space that is not there for this request, with the one that was most likely meant.
/// It knows only what the request may read, so that one of others and one that nobody has are told in the same words.
fn missing_table(state: &SessionState, error: SqlError) -> SqlError {
    let text = error.to_string();
    let quoted = |before: &str| text.strip_prefix(before)?.strip_suffix("' not found");
    let told = |message| SqlError::new(SqlErrorKind::Invalid, message);
    if let Some(asked) = quoted("table function '") {
        return told(missing_function(asked));
    }
    let Some(asked) = quoted("table '") else {
        return error;
    };
    if let Some(missing) = missing_space(state, asked) {
        return told(missing);
    }
    let called = past::as_called(asked);
    let meant = match called == asked {
        true => meant(state, asked),
        false => meant_call(state, &called),
    };
    told(match meant {
        Some(near) => format!("there is no table {called}: did you mean {near}? SHOW TABLES lists what there is"),
        None => format!("there is no table {called}: SHOW TABLES lists what there is"),
    })
}

fn missing_function(asked: &str) -> String {
    let names: Vec<String> = past::functions().map(|(name, _)| name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let meant = match nearest(asked, &names) {
        Some(near) => format!("did you mean curated.{near}? "),
        None => String::new(),
    };
    format!("there is no function {asked} that gives a table: {meant}SHOW FUNCTIONS lists what there is")
}

/// The space that a whole name of a table says, where the request may read none of that name.
fn missing_space(state: &SessionState, asked: &str) -> Option<String> {
    let (space, rest) = asked.split_once('.')?;
    if !rest.contains('.') || state.catalog_list().catalog(space).is_some() {
        return None;
    }
    let known = state.catalog_list().catalog_names();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let meant = match nearest(space, &known) {
        Some(near) => format!("did you mean {near}? "),
        None => String::new(),
    };
    Some(format!(
        "there is no space {space}: {meant}`kith space list` lists them"
    ))
}

/// The function of the past that was meant where its zone is another than theirs: `brand_b.events_as_of(…)` says a space.
fn meant_call(state: &SessionState, called: &str) -> Option<String> {
    let own = &state.config_options().catalog.default_catalog;
    let (space, zone, call) = match *called.splitn(3, '.').collect::<Vec<_>>() {
        [space, zone, call] => (space, zone, call),
        _ => return None,
    };
    match state.catalog_list().catalog(zone) {
        Some(_) if space == own => Some(format!("{zone}.curated.{call}")),
        _ if space == own => Some(format!("curated.{call}")),
        _ => Some(format!("{space}.curated.{call}")),
    }
}

/// The table whose name is most like one that is not there: of the space that the name says, or, where the request may read
/// no such space, of the request's own.
fn meant(state: &SessionState, asked: &str) -> Option<String> {
    let own = &state.config_options().catalog.default_catalog;
    let (space, path) = asked.split_once('.').unwrap_or((own, asked));
    let (before, zones) = match state.catalog_list().catalog(space) {
        Some(zones) if space != own => (format!("{space}."), zones),
        _ => (String::new(), state.catalog_list().catalog(own)?),
    };
    let mut known = Vec::new();
    for zone in zones.schema_names() {
        let tables = zones.schema(&zone).map(|tables| tables.table_names());
        known.extend(tables.into_iter().flatten().map(|table| (zone.clone(), table)));
    }
    let named: Vec<String> = known.iter().map(|(zone, table)| format!("{zone}.{table}")).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    if let Some(near) = nearest(path, &named) {
        return Some(format!("{before}{near}"));
    }
    let bare = path.rsplit('.').next().unwrap_or(path);
    let tables: Vec<&str> = known.iter().map(|(_, table)| table.as_str()).collect();
    let table = nearest(bare, &tables)?;
    let (zone, table) = known.iter().find(|(_, known)| known == table)?;
    Some(format!("{before}{zone}.{table}"))
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
