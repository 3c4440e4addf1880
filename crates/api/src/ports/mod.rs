//! What the API asks of the rest of the server: one trait a subject, with plain structs of this crate.
//!
//! The binary writes the adapters. A port never sees HTTP: no status, no header, no wire name.

mod definitions;
mod destinations;
mod error;
mod identity;
mod missing;
mod operations;
mod people;
mod runs;
mod segments;
mod streams;

pub use definitions::{Applied, Definitions, Planned};
pub use destinations::{Destination, Destinations};
pub use error::{PortError, PortErrorKind};
pub use identity::{Identity, Veto, Vetoed, Vetoing, WhatIf};
pub use missing::MissingRole;
pub use operations::{
    FlushReport, LossAccepted, MessageCount, MessageSend, Operations, PauseScope, RawVerification, ReadinessCheck,
    RefoldStatus, RejectsReplayed, ReplayRejects, SendsQuery, StageStatus, Status, TableStatus,
};
pub use people::{
    Account, AccountMember, AccountMembers, AccountProfile, AsOf, Consent, EventPage, EventQuery, KnownAt, Membership,
    PersonRef, Profile, ProfileEvent, ProfileIdentifier, Profiles, Trait, TraitAlternative,
};
pub use runs::{Run, RunRequest, RunTally, Runs};
pub use segments::{Member, SegmentDraft, SegmentState, SegmentStatus, Segments};
pub use streams::{
    Import, ImportOutcome, Ingest, LineStream, RejectedEvent, Sql, SqlRequest, SqlSpaces, Subscription, Tail,
    TailFilter, TailItem, TailKind, TailStream, Unsubscribe,
};
