//! Metric names, tracing set-up, printing the chain of an error.
