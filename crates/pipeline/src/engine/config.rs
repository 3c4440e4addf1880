//! How the engine is set up: what it must know beside the records. It reads no file and no clock.

use crate::folds::MadeElsewhere;
use kith_types::Timestamp;

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Bytes of memory that the filters of event keys of all spaces may take together. What finds no room is read from the
    /// store whenever it is asked.
    pub dedupe_filter_bytes: usize,
    /// Where the state was lost and is built again: the sequence before which the log was taken once already. What
    /// changes on the way there was told then and is not told again (contracts RAW-2, ACT-6).
    pub rebuilt_before: u64,
    /// With `rebuilt_before`: the instant before which time's own changes were told, too.
    pub rebuilt_until: Timestamp,
    /// Who folds the histories of many people for a new definition, where somebody does.
    pub folds: Option<MadeElsewhere>,
    /// Where the outbox of each space begins to count when the state is new, so that no number is ever given twice.
    pub outbox_from: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            dedupe_filter_bytes: 256 << 20,
            rebuilt_before: 0,
            rebuilt_until: Timestamp::MIN,
            folds: None,
            outbox_from: 0,
        }
    }
}
