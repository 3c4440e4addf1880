//! Audiences to other systems: every change of membership in Segment's contract (contract SEG-5), to any server that
//! speaks Segment's tracking API.
//!
//! A [`DestinationDefinition`] says where to and of which segments. Changes are read from the durable outbox by their
//! numbers; how far each destination is, what it is told next and whom it holds under which name stand in the send ledger, so a
//! restart, a kill and a rebuild go on where the receiver stopped answering. What is sent twice carries one message id. Each destination has a thread of its own, so
//! one that is slow or dead slows no other. It never decides who is a member, and keeps no key.

mod batch;
mod comparing;
mod connecting;
mod definition;
mod delivery;
mod payload;
mod planning;
mod ports;
mod runner;
mod tracking;

#[cfg(test)]
mod tests;

pub use definition::{Changes, DestinationDefinition, SegmentChoice};
pub(crate) use delivery::{Delivery, Standing, Turn};
pub use ports::{AudiencePorts, Audiences, MembersAt};
pub use runner::DestinationStatus;
pub(crate) use runner::Runner;
pub use tracking::{HttpTracking, Posted, TrackingApi, TrackingRequest};
