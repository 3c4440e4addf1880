//! The API against its contracts, over ports that are made up.

mod access;
mod documents;
mod drafts;
mod identity;
mod limits;
mod people;
mod ports;
mod runs;
mod streams;
mod world;
