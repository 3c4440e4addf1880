//! Filters on events and the aggregates over them: the words that computed traits and segments share.
//!
//! [`ValueTest`] asks something of one value, [`Condition`] and [`EventFilter`] of one event, [`AggregateSpec`] of a
//! person's events within a [`Window`]. `document` reads and writes them as JSON or YAML documents. The profile crate
//! folds aggregates and answers for a person through [`PersonView`]; the segment crate asks. Nothing here does IO,
//! reads a clock or keeps state.

mod aggregate;
mod area;
mod calendar;
mod document;
mod filter;
mod filter_index;
mod path;
mod sequence;
mod value_test;
mod view;
mod window;

pub use aggregate::{AggregateId, AggregateSpec, Function};
pub use area::{Area, MAX_METRES};
pub use calendar::{CalendarUnit, MAX_PERIODS, Periods, Zone};
pub use document::{
    Beside, DocumentError, FILTER_KEYS, MAX_CONDITIONS, MAX_DEPTH, MAX_LIST, MAX_TEXT_BYTES, MISTAKES_MAX,
    SEQUENCE_KEYS, VALUE_TEST_KEYS, WINDOW_KEYS, check_keys, json_of_value, kind_of, nearest, object_of,
    parse_aggregate, parse_condition, parse_duration, parse_filter, parse_filter_fields, parse_path,
    parse_sequence_fields, parse_timestamp, parse_value_test, parse_window, read_each, value_of_json, with_keys,
    write_aggregate, write_filter_fields, write_sequence_fields, write_value_test, write_window,
};
pub use filter::{Condition, EventField, EventFilter, FieldRoot, FilterError};
pub use filter_index::FilterIndex;
pub use path::Path;
pub use sequence::{Follows, Role, Sequence};
pub use value_test::ValueTest;
pub use view::PersonView;
pub use window::Window;
