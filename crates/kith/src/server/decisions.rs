//! The catalog follows the log: decisions that stand in the log and not yet in the catalog are recorded at the start.

use crate::error::CommandError;
use kith_catalog::{Catalog, DECISION_KIND, DefinitionsDecision};
use kith_log::Log;
use kith_types::RecordBody;

/// The setting that says before which sequence every decision is recorded.
const FOLLOWED: &str = "decisions_followed";

/// Records what the log holds beyond what the catalog has followed. Recording a decision again changes nothing.
pub(crate) fn follow(catalog: &Catalog, log: &Log) -> Result<(), CommandError> {
    let from = catalog
        .setting(FOLLOWED)?
        .and_then(|text| text.parse().ok())
        .unwrap_or(0_u64);
    let end = log.durable_end();
    let mut reader = log.reader(from.max(log.start()));
    while reader.position() < end {
        let records = match reader.read(4_096, 16 << 20) {
            Ok(records) if records.is_empty() => break,
            Ok(records) => records,
            Err(error) => match error.gap() {
                Some(gap) => {
                    reader.skip_to(gap.to);
                    continue;
                }
                None => return Err(error.into()),
            },
        };
        for record in records {
            if let RecordBody::Decision(decision) = &record.body
                && &*decision.kind == DECISION_KIND
            {
                let written = DefinitionsDecision::from_json(&decision.document)?;
                catalog.record_definitions(&record.space, &written, record.address, record.received_at)?;
            }
        }
    }
    catalog.set_setting(FOLLOWED, &end.to_string())?;
    Ok(())
}
