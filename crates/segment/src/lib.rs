//! The condition language, its checker, its evaluator.
