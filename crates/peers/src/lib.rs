//! Real parts that tests of several crates start: an S3 server (versitygw) on a folder, and a network that fails by a seed.
//!
//! `tests/peers/install all` installs them, and `KITH_PEERS` says that they are there. Nothing outlives its test, and
//! nothing listens beyond loopback. No shipped crate depends on it.
#![expect(
    clippy::unwrap_used,
    reason = "only tests use it, and what fails here fails the test"
)]

mod network;
mod s3_server;

pub use network::{FailingNetwork, Fault};
pub use s3_server::S3Server;
