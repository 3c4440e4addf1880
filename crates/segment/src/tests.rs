//! Tests of the clauses SEG-1, SEG-2, SEG-5 and SEG-6, over plain people made of lists of events.

mod accounts;
mod behaviour;
mod documents;
mod errors;
mod instants;
mod mistakes;
mod operators;
mod oracle;
mod people;
mod reading;
mod schema;
mod world;
