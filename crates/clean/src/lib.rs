//! Raw bytes to typed events or rejects: a pure function of a log record.
//!
//! The doors ([`inspect`]) and the pipeline ([`clean_record`]) read bodies through the same code, so what a door reports
//! as rejected is exactly what cleaning rejects. Nothing here does IO, reads a clock or keeps state: counting an event
//! key once is the pipeline's part.

mod body;
mod event;
mod fields;
mod json;
mod record;
mod replay;

pub use body::{BodyError, Inspection, Rejected, Split, inspect, split, write_key};
pub use fields::{Violation, check_event};
pub use json::{JSON_DEPTH_MAX, JsonError, JsonFault, parse_json};
pub use record::{Cleaned, Original, REASONS, Reject, clean_record};
pub use replay::{REJECTS_REPLAYED, RejectsReplay, ReplayError, replay_limits};
