//! The fold of events into traits and aggregates.
