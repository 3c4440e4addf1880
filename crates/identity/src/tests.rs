//! Tests of the contracts: examples as data, and random worlds against an oracle that is written on its own.

mod bounds;
mod claims;
mod examples;
mod gathered;
mod keeper;
mod oracle;
mod order;
mod outlined;
mod rules;
mod stored;
mod worlds;
