//! What each command does: one module a command, or a few that belong together.

pub(crate) mod account;
pub(crate) mod bench;
pub(crate) mod definitions;
pub(crate) mod demo;
pub(crate) mod destinations;
pub(crate) mod doctor;
mod drafts;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod messages;
pub(crate) mod operations;
mod outlook;
pub(crate) mod profile;
pub(crate) mod replay;
pub(crate) mod segment;
pub(crate) mod serve;
pub(crate) mod source;
pub(crate) mod space;
mod space_limits;
pub(crate) mod sql;
pub(crate) mod tail;
mod why;
