//! Log to clean, identity, profile and segment, in atomic steps.
//!
//! [`Engine`] is the heart: records in, one transaction a step out. [`Pipeline`] runs it on a thread beside the log;
//! [`Reads`] answers from what is committed; [`Handover`] gives the lake and activation what they lack. The pipeline
//! never serves a door and never sends a message.

mod account_changes;
mod account_facts;
mod accounts;
mod backlog;
mod bytes;
mod cache;
mod changes;
mod dedupe;
mod definition_history;
mod definition_problems;
mod definitions;
mod document;
mod engine;
mod entry;
mod error;
mod evaluate;
mod fold;
mod folds;
mod foreseen;
mod handover;
mod history;
mod in_order;
mod keys;
mod new_rules;
mod output;
mod person;
mod place;
mod plans;
mod presence;
mod published;
mod reads;
mod record;
mod redirects;
mod revise;
mod rules_progress;
mod runner;
mod sent_names;
mod space;
mod staged;
mod sweep;
#[cfg(test)]
mod tests;
mod threads;
mod trait_rules;
mod transitions;
mod verify;
mod veto_history;
mod vetoes;
mod visit;
mod waiting;

pub use backlog::{Archive, ArchiveFailure, ArchivePart, ArchiveReader, Backlog, BacklogError, Hole};
pub use changes::{OutboxMoment, replay_changes};
pub use dedupe::DedupeFigures;
pub use definition_problems::DefinitionProblem;
pub use definitions::{
    ComputedTrait, DEFINITIONS_APPLIED, DefinitionDocument, Definitions, LiveSegment, check_definitions, is_used,
};
pub use document::{
    AccountDocument, AccountMember, AccountMembers, AccountView, IdentifierView, LEFT_OUT_MAX, MembershipView,
    PersonDocument, TraitView,
};
pub use engine::{Engine, EngineConfig, SweepProgress};
pub use error::{PipelineError, PipelineErrorKind};
pub use folds::{FoldsStanding, HistoryFolds, MadeElsewhere, WantedFolds};
pub use handover::{Handover, OutboxReader, OutboxState};
pub use new_rules::Rearranged;
pub use output::{Numbered, StepFigures, StepOutput};
pub use reads::{
    Absent, AsOf, AtOneMoment, BEHIND_LISTED_MAX, EXPLAINED_EVENTS_MAX, Estimate, EventsAsked, EventsFound, Explained,
    HeldThen, Impact, NoSegment, OVERLAP_MAX, Overlap, PAST_EVENTS_MAX, PAST_MEGABYTES_MAX, Proposed, Question, Reads,
    Region, Resolved, SAMPLES_MAX, Sampler, SegmentImpact, Shown, Standing, UNSENT_TOLD_MAX, Unnamed, Unsent,
    ValueImpact, WHAT_IF_EVENTS_MAX, WHAT_IF_MEGABYTES_MAX,
};
pub use rules_progress::{RulesPart, RulesProgress};
pub use runner::{Listener, Pipeline, PipelineStatus};
pub use staged::snapshot_of;
pub use verify::{Difference, VerifyReport, compare_states, is_between};
pub use vetoes::{IDENTITY_VETOED, MAX_VETOES, Veto, VetoDecision};
