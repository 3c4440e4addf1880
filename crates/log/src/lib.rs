//! The durable partitioned log.
