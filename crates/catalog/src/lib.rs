//! Versioned definitions, keys and table pointers on SQLite.
