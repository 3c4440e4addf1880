//! Log to clean, identity, profile and segment, in atomic steps.
