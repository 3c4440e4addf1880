//! Audiences to messages and to other systems: the send ledger and the channels (contracts ACT-1, 2, 5, 6, SEG-5).
//!
//! The pipeline tells who entered a segment through a durable outbox. For every entry that happened live,
//! [`Activation`] reserves one send per message, person and address in its ledger, asks for consent, renders a
//! template, and hands the mail to a [`Mailer`]. A send is `reserved -> attempting -> accepted | rejected | unknown`,
//! or `skipped` with a reason. The ledger says `unknown` where nobody can know: it never guesses, and marketing is never
//! sent again from there. What became of every send flows back as an event.
//!
//! The crate works through the traits in [`ports`](Outbox). It never reads the log, the state or the catalog by itself,
//! and no address, template value or token in clear leaves it in a log line.

mod activation;
mod asked;
mod audience;
mod definition;
mod engine;
mod error;
mod feedback;
mod fields;
mod ledger;
mod limits;
mod mail;
mod policy;
mod ports;
mod runs;
mod smtp;
mod suggest;
mod template;

#[cfg(test)]
mod tests;

pub use activation::{Activation, ActivationConfig, PauseScope};
pub use asked::AskedOfPeople;
pub use audience::{
    AudiencePorts, Audiences, Changes, DestinationDefinition, DestinationStatus, HttpTracking, MembersAt, Posted,
    SegmentChoice, TrackingApi, TrackingRequest,
};
pub use definition::{DefinitionProblem, MessageDefinition, Purpose};
pub use engine::{MailFault, MessageItem};
pub use error::{ActivateError, ActivateErrorKind, BoxError};
pub use ledger::{
    ActivationStatus, LEDGER_VERSION, MessageCount, SendState, SendView, SendsOf, SpaceStatus, Subscription,
};
pub use limits::SendingRules;
pub use mail::{Mail, Mailer, SendOutcome, normalise_address};
pub use ports::{ConsentWord, Feedback, Membership, Messages, OUTBOX_BATCH, Outbox, People, Ports, Reading, Recipient};
pub use runs::{EntryCause, RunAsked, RunRefusal, RunState, RunTally, RunView};
pub use smtp::{SmtpConfig, SmtpMailer, SmtpTls};
pub use template::{BLOCK_DEPTH_MAX, OUTPUT_BYTES_MAX, RENDER_TIME_MAX, STEPS_MAX, TEMPLATE_BYTES_MAX};
