//! Raw bytes to typed events or rejects.
