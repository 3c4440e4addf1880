//! The vocabulary of Kith: typed ids, events, identifiers, exact values and time.
//!
//! Every other crate speaks in these words. Nothing here does IO, knows a wire format or reads the machine's clock;
//! clocks are handed in through [`Clock`].

mod decimal;
mod event;
mod ids;
mod json_text;
mod numbers;
mod record;
mod terms;
mod time;
mod value;

pub use decimal::{Decimal, DecimalError};
pub use event::{Event, EventType, Identifier, IdentifierType, Origin, TimeNote};
pub use ids::{Address, EventKey, InvalidName, ProfileId, SegmentName, SourceName, SpaceId};
pub use json_text::{find_json_special, write_json_bytes, write_json_string};
pub use numbers::end_of_numbers;
pub use record::{Decision, Envelope, Record, RecordBody, Route};
pub use terms::{Limits, Terms};
pub use time::{Clock, Duration, ManualClock, SystemClock, TimeError, Timestamp};
pub use value::{Object, Text, Value, write_json_object};
