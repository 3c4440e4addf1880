//! Transactional key-value state.
