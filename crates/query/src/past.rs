//! Who was who as of a past instant, in SQL (contract IDN-8): `curated.identifiers_as_of('2026-03-01T12:00:00Z')`, and the views
//! over events with the people of then.
//!
//! A call in `FROM` is written out as the name of a table, such as `curated."identifiers@2026-03-01T12:00:00Z"`, so that it is
//! found where tables are, under the same access. Who was who is asked of [`PastIdentity`] while the statement runs.

use crate::error::{SqlError, SqlErrorKind};
use crate::moments::Moments;
use crate::views::View;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, TableAlias, TableFactor, VisitMut, VisitorMut,
};
use kith_identity::Rules;
use kith_lake::rows::{self, IdentifierRow};
use kith_types::{SpaceId, Timestamp};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Rows of a batch.
const BATCH: usize = 8_192;
/// Batches that wait to be read.
const WAITING: usize = 2;
/// The columns of `curated.identifiers` that are told of the past: all but `last_seen`.
const TOLD: [usize; 6] = [0, 1, 2, 3, 5, 6];
/// How the names of functions end.
const AS_OF: &str = "_as_of";

/// Who knows who was who. Both questions may read a great deal, and are asked on threads that may wait.
pub trait PastIdentity: Send + Sync {
    /// The rules of identity that were in force at an instant.
    ///
    /// # Errors
    /// [`SqlErrorKind::Invalid`] where that cannot be told of this instant.
    fn rules(&self, space: &SpaceId, at: Timestamp) -> Result<Arc<Rules>, SqlError>;

    /// Every identifier with who held it as of an instant, until `take` says no, or `go_on`, which is asked while nothing is
    /// told. `take` waits for whoever reads: nothing that others need may be held meanwhile. `last_seen` is left out.
    ///
    /// # Errors
    /// As [`PastIdentity::rules`].
    fn identifiers(
        &self,
        space: &SpaceId,
        at: Timestamp,
        go_on: &dyn Fn() -> bool,
        take: &mut dyn FnMut(IdentifierRow) -> bool,
    ) -> Result<(), SqlError>;
}

/// Knows of no past.
pub(crate) struct NoPast;

impl PastIdentity for NoPast {
    fn rules(&self, _: &SpaceId, _: Timestamp) -> Result<Arc<Rules>, SqlError> {
        let message = "nothing is known here of who was who: ask a server that has the role pipeline";
        Err(SqlError::new(SqlErrorKind::Invalid, message))
    }

    fn identifiers(
        &self,
        space: &SpaceId,
        at: Timestamp,
        _: &dyn Fn() -> bool,
        _: &mut dyn FnMut(IdentifierRow) -> bool,
    ) -> Result<(), SqlError> {
        self.rules(space, at).map(drop)
    }
}

/// What can be asked as of a past instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfThen {
    /// Who held which identifier.
    Identifiers,
    /// A view over events, with the people of then.
    View(View),
}

impl OfThen {
    fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Identifiers).chain(View::all().iter().copied().map(Self::View))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identifiers => "identifiers",
            Self::View(view) => view.name(),
        }
    }

    fn function(self) -> String {
        format!("{}{AS_OF}", self.name())
    }

    /// What a table's name asks for, and as of when.
    pub(crate) fn parse(name: &str) -> Option<(Self, Timestamp)> {
        let (name, at) = name.split_once('@')?;
        let of_then = Self::all().find(|one| one.name() == name)?;
        Some((of_then, Timestamp::parse(at).ok()?))
    }
}

/// Writes calls of `…_as_of` in `FROM` out as names of tables.
///
/// # Errors
/// [`SqlErrorKind::Invalid`] for a call without one moment, and for one that is not in `FROM`.
pub(crate) fn name_tables_of_then(state: &SessionState, statement: &mut impl VisitMut) -> Result<(), SqlError> {
    let mut naming = Naming {
        moments: Moments::of(state),
    };
    match statement.visit(&mut naming) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// A table's name as it was called, where a call was written out as it.
pub(crate) fn as_called(name: &str) -> String {
    let Some((named, moment)) = name.split_once('@') else {
        return name.to_owned();
    };
    match Timestamp::parse(moment) {
        Ok(_) => format!("{named}{AS_OF}('{moment}')"),
        Err(_) => name.to_owned(),
    }
}

/// The functions, by name, each with what it gives.
pub(crate) fn functions() -> impl Iterator<Item = (String, &'static str)> {
    OfThen::all().map(|asked| {
        let gives = match asked {
            OfThen::Identifiers => "Who held which identifier as of a past instant.",
            OfThen::View(View::Events) => "The events received by a past instant, with their people of then.",
            OfThen::View(View::Orders) => "The orders received by a past instant, with their people of then.",
        };
        (asked.function(), gives)
    })
}

struct Naming<'a> {
    moments: Moments<'a>,
}

impl VisitorMut for Naming<'_> {
    type Break = SqlError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let TableFactor::Table { name, alias, args, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let Some((asked, called)) = called(name).zip(args.as_ref()) else {
            return ControlFlow::Continue(());
        };
        let at = match self.moments.read(&asked.function(), called) {
            Ok(at) => at,
            Err(error) => return ControlFlow::Break(error),
        };
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: Ident::new(asked.function()),
            columns: Vec::new(),
            at: None,
        });
        *args = None;
        name.0.pop();
        if name.0.is_empty() {
            name.0.push(ObjectNamePart::Identifier(Ident::new("curated")));
        }
        let table = Ident::with_quote('"', format!("{}@{at}", asked.name()));
        name.0.push(ObjectNamePart::Identifier(table));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let Some(asked) = called(&function.name) else {
            return ControlFlow::Continue(());
        };
        let function = asked.function();
        let message = format!("{function} gives a table: call it in FROM, as SELECT * FROM curated.{function}(…)");
        ControlFlow::Break(SqlError::new(SqlErrorKind::Invalid, message))
    }
}

/// What a function's name asks for.
fn called(name: &ObjectName) -> Option<OfThen> {
    let ObjectNamePart::Identifier(last) = name.0.last()? else {
        return None;
    };
    let last = last.value.to_ascii_lowercase();
    let asked = last.strip_suffix(AS_OF)?;
    OfThen::all().find(|one| one.name() == asked)
}

/// Who held which identifier of a space as of an instant, as a table.
pub(crate) fn identifiers(past: Arc<dyn PastIdentity>, space: SpaceId, at: Timestamp) -> Result<StreamingTable> {
    let schema = batch(&[])?.schema();
    let held = Held {
        past,
        space,
        at,
        schema: Arc::clone(&schema),
    };
    StreamingTable::try_new(schema, vec![Arc::new(held)])
}

fn batch(held: &[IdentifierRow]) -> Result<datafusion::arrow::array::RecordBatch> {
    let rows = rows::identifiers(held).map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(rows.project(&TOLD)?)
}

struct Held {
    past: Arc<dyn PastIdentity>,
    space: SpaceId,
    at: Timestamp,
    schema: SchemaRef,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identifiers of {} as of {}", self.space, self.at)
    }
}

impl PartitionStream for Held {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), WAITING);
        let (past, space, at, rows) = (Arc::clone(&self.past), self.space.clone(), self.at, stream.tx());
        stream.spawn_blocking(move || {
            let mut held = Vec::with_capacity(BATCH);
            let failed = past.identifiers(&space, at, &|| !rows.is_closed(), &mut |row| {
                held.push(row);
                if held.len() < BATCH {
                    return true;
                }
                let full = batch(&held);
                held.clear();
                // Nobody wants more where it cannot be sent.
                rows.blocking_send(full).is_ok()
            });
            failed.map_err(|error| DataFusionError::External(Box::new(error)))?;
            let _ = rows.blocking_send(batch(&held));
            Ok(())
        });
        stream.build()
    }
}
