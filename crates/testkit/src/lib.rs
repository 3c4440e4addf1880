//! Generators for tests, benches and the demo: a seeded retail world that streams events as stock SDKs send them, with
//! the true person beside each, and the scoring of identity against that truth. It knows no part of the server and
//! never reads the clock, files or the network.

pub mod world;
