//! The fold of events into traits, consent and aggregates.
//!
//! A [`Part`] is the fold of the events of one carrier under a [`FoldPlan`]; a profile is the merge of its parts. The
//! fold is a function of a set of events, so order, splits and restarts do not matter. Who a carrier's events belong
//! to is the identity crate's business; when to apply, prune and store is the pipeline's. Nothing here does IO or
//! reads a clock.

mod account;
mod aggregates;
mod codec;
mod consents;
mod growth;
mod mark;
mod part;
mod plan;
mod span;
mod traits;
mod view;

pub mod limits;

pub use account::{ACCOUNT_VERSION, AccountFold};
pub use consents::{Consent, consent_categories};
pub use part::{Asked, CutPart, Cutter, MAX_PLANS, PART_VERSION, Part, PlanDirectory, Plans};
pub use plan::{Counting, FoldPlan};
pub use traits::{Candidate, Resolved, Survivorship, TraitRules};
pub use view::PartView;

/// Why bytes are not a part. The remedy is the same for all: fold the part anew from its events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// They were written by a later version of the program.
    #[error(
        "the part has format version {0}, this program reads versions up to {PART_VERSION}: use the program that wrote it or rebuild the state"
    )]
    UnknownVersion(u8),
    /// They name a plan that nobody keeps any more.
    #[error("the part was folded by plan {0:032x}, which is not known any more: fold it anew from its events")]
    UnknownPlan(u128),
    /// They are not what was written.
    #[error("the part is damaged at byte {at}: {what}; rebuild the state")]
    Damaged {
        /// Where reading stopped.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
}
