//! Object storage, raw zone, Iceberg commits.
