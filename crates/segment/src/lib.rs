//! The condition language of segments: its documents, its checker, its evaluator, its explanation.
//!
//! A segment is a predicate over a person and the clock. [`SegmentDefinition`] is what an operator wrote,
//! [`CompiledSegment`] what the pipeline asks: whether somebody is a member at an instant, and the next instant at which
//! time alone may change that. It asks a [`Person`], which the profile crate implements, in the words of `kith-expr`.
//! [`Change`] and [`Cause`] are what leaves the pipeline. Nothing here does IO, reads a clock or keeps state.

mod account;
mod behind;
mod bucket;
mod change;
mod compile;
mod count;
mod definition;
mod document;
mod english;
mod error;
mod evaluate;
mod explain;
mod index;
mod mistakes;
mod schema;

#[cfg(test)]
mod tests;

pub use account::{Account, AccountCondition};
pub use behind::{Asks, Behind, Deciding, EventMention};
pub use bucket::Bucket;
pub use change::{Cause, CauseKind, Change};
pub use compile::{CompiledSegment, Context, Definitions, MAX_COMPILED_CONDITIONS, MAX_REFERENCE_DEPTH};
pub use count::CountRange;
pub use definition::{
    Condition, Consent, Lifecycle, Listed, MAX_CONDITIONS, MAX_DEPTH, MAX_LISTED, MAX_REGULAR_TIMES, Performed,
    SegmentDefinition, SequencePerformed, Stage,
};
pub use error::{SegmentError, SegmentErrorKind};
pub use evaluate::{Evaluation, Person};
pub use explain::{ACCOUNTS_TOLD_MAX, Explanation, Reason};
pub use index::SegmentIndex;
pub use mistakes::mistakes;
pub use schema::schema;
