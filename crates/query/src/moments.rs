//! The moment that a call of a function of the past names: a text, or what the engine can work out before it looks at a row,
//! such as `now() - INTERVAL '1 day'`. It tells each way of not being one in words of its own.

use crate::error::{SqlError, SqlErrorKind};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::Expr as Planned;
use datafusion::sql::sqlparser::ast::{Expr, ExprWithAlias, FunctionArg, FunctionArgExpr, TableFunctionArgs, Value};
use kith_types::Timestamp;
use std::sync::Arc;

const DAY_MICROS: i64 = 86_400_000_000;

/// Reads the moments of one statement, for which it is one and the same instant.
pub(crate) struct Moments<'a> {
    state: &'a SessionState,
    schema: DFSchema,
    context: SimplifyContext,
}

/// What a constant is.
enum Read {
    At(Timestamp),
    /// It is none: of what kind it is.
    Not(String),
}

impl<'a> Moments<'a> {
    pub(crate) fn of(state: &'a SessionState) -> Self {
        let schema = DFSchema::empty();
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(Arc::clone(state.config_options()))
            .with_current_time()
            .build();
        Self { state, schema, context }
    }

    /// The moment of a call.
    ///
    /// # Errors
    /// [`SqlErrorKind::Invalid`], with what is wrong: none or several arguments, one that differs between rows, or is no moment.
    pub(crate) fn read(&self, function: &str, args: &TableFunctionArgs) -> std::result::Result<Timestamp, SqlError> {
        let wrong = |message: String| Err(SqlError::new(SqlErrorKind::Invalid, message));
        let such_as = format!("such as {function}('2026-03-01T12:00:00Z') or {function}(now() - INTERVAL '1 day')");
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(asked))] = args.args.as_slice() else {
            return wrong(format!("{function} takes one moment, {such_as}"));
        };
        let read = match asked {
            Expr::Value(value) if matches!(&value.value, Value::SingleQuotedString(_)) => Ok(match &value.value {
                Value::SingleQuotedString(text) => text_of(text),
                other => Read::Not(other.to_string()),
            }),
            asked => self.constant(asked),
        };
        match read {
            Ok(Read::At(at)) => Ok(at),
            Ok(Read::Not(what)) => wrong(format!(
                "{function} takes a moment, and this is {what}: write one {such_as}"
            )),
            Err(error) => {
                let why = SqlError::from(error);
                if why.kind() != SqlErrorKind::Invalid {
                    return Err(why);
                }
                wrong(format!(
                    "{function} takes a moment that can be worked out before any row is read, {such_as}: {why}"
                ))
            }
        }
    }

    /// What an expression is that reads no row.
    fn constant(&self, asked: &Expr) -> Result<Read> {
        let asked = ExprWithAlias {
            expr: asked.clone(),
            alias: None,
        };
        let planned = self.state.create_logical_expr_from_sql_expr(asked, &self.schema)?;
        let simplifier = ExprSimplifier::new(self.context.clone());
        match simplifier
            .simplify(simplifier.coerce(planned, &self.schema)?)?
            .unalias()
        {
            Planned::Literal(value, _) => Ok(read(&value)),
            other => Err(DataFusionError::Plan(format!("{other} is not known then"))),
        }
    }
}

fn text_of(text: &str) -> Read {
    match Timestamp::parse(text) {
        Ok(at) => Read::At(at),
        Err(error) => Read::Not(format!("a text that is none ({error})")),
    }
}

fn read(value: &ScalarValue) -> Read {
    use ScalarValue::{
        Date32, Date64, LargeUtf8, TimestampMicrosecond, TimestampMillisecond, TimestampNanosecond, TimestampSecond,
        Utf8, Utf8View,
    };
    let micros = match value {
        value if value.is_null() => return Read::Not("null".to_owned()),
        Utf8(Some(text)) | LargeUtf8(Some(text)) | Utf8View(Some(text)) => return text_of(text),
        // Without a zone it is in UTC, as everywhere here.
        TimestampSecond(Some(at), _) => at.checked_mul(1_000_000),
        TimestampMillisecond(Some(at), _) | Date64(Some(at)) => at.checked_mul(1_000),
        TimestampMicrosecond(Some(at), _) => Some(*at),
        TimestampNanosecond(Some(at), _) => Some(at.div_euclid(1_000)),
        Date32(Some(days)) => i64::from(*days).checked_mul(DAY_MICROS),
        other => return Read::Not(format!("a value of the type {}", other.data_type())),
    };
    let at = micros.map(Timestamp::from_micros);
    match at.filter(|at| (Timestamp::MIN..=Timestamp::MAX).contains(at)) {
        Some(at) => Read::At(at),
        None => Read::Not("too far away in time".to_owned()),
    }
}
