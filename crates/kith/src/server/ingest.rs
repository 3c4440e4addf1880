//! Imports: a batch of history through the same log, with an origin that sends nothing.

use super::Parts;
use super::sources::door_limits;
use async_trait::async_trait;
use kith_api::ports::{Import, ImportOutcome, Ingest, PortError, PortErrorKind, RejectedEvent};
use kith_clean::inspect;
use kith_log::ErrorKind;
use kith_types::{Envelope, Origin, RecordBody, Route};
use std::sync::Arc;
use std::time::Instant;

/// The API's port to imports.
pub(crate) struct Imports(pub(crate) Arc<Parts>);

#[async_trait]
impl Ingest for Imports {
    async fn import(&self, import: Import) -> Result<ImportOutcome, PortError> {
        let limits = door_limits(&self.0.catalog, &import.space);
        let inspected = inspect(Route::Batch, &import.body, &limits.terms.limits)
            .map_err(|error| PortError::new(PortErrorKind::Invalid, error.message))?;
        let rejected: Vec<RejectedEvent> = inspected
            .rejected
            .into_iter()
            .map(|rejected| RejectedEvent {
                index: rejected.index,
                code: rejected.violation.code.to_owned(),
                message: rejected.violation.message,
            })
            .collect();
        let taken = self
            .0
            .rates
            .take(&import.space, &limits, inspected.events, Instant::now());
        taken.map_err(|wait| {
            let message = format!(
                "more events come than space {} may send in a second (its limit events_per_second): send it again later",
                import.space
            );
            PortError::new(PortErrorKind::Busy, message).with_retry_after(wait)
        })?;
        let body = RecordBody::Envelope(Envelope {
            source: import.source,
            route: Route::Batch,
            origin: Origin::Import,
            content_type: import.content_type.into(),
            client_ip: "".into(),
            user_agent: import.user_agent.into(),
            terms: limits.terms,
            body: import.body,
        });
        self.0
            .log
            .append(&import.space, &body)
            .await
            .inspect_err(|_| self.0.rates.give_back(&import.space, inspected.events))
            .map_err(|error| match error.kind() {
                ErrorKind::Overloaded => {
                    PortError::new(PortErrorKind::Busy, "too much waits already: send it again soon")
                }
                _ => PortError::new(PortErrorKind::Unavailable, "nothing can be made durable now").with_cause(error),
            })?;
        Ok(ImportOutcome {
            accepted: inspected.events - rejected.len(),
            rejected,
        })
    }
}
