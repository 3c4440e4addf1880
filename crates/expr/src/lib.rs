//! Filters on events and the aggregates over them, shared by computed traits and segments.
