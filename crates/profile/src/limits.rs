//! The limits of a profile (contract PRO-5). What a limit keeps is a function of the set of events, never of their
//! order, and what it leaves out marks the answer approximate.

/// How many events an aggregate over a sliding window keeps, one whose events wait to count, and one of sequences: the
/// latest ones. The function last over *last N* needs only the newest and those received before their time, which is at
/// most five minutes off.
pub const MAX_POINTS: usize = 10_000;
/// How many distinct values the functions most frequent, unique list and unique count tell apart: those of smallest
/// hash. Beyond it a unique count is an estimate, the other two are of the values kept.
pub const MAX_DISTINCT: usize = 1_000;
/// How many traits a profile keeps: those whose names have the smallest hashes.
pub const MAX_TRAITS: usize = 500;
/// How many distinct values of a trait are counted for each source: those with the smallest hashes. The latest, oldest,
/// smallest and largest value are kept beside them whatever their hashes.
pub const MAX_TRAIT_VALUES: usize = 16;
/// How long the name of a trait may be, in bytes. Longer ones are left out.
pub const MAX_TRAIT_NAME_BYTES: usize = 256;
/// How large a value may be that a trait, or the functions first and last, keep: about its bytes as JSON. Larger ones
/// are left out.
pub const MAX_VALUE_BYTES: usize = 1_024;
/// How deep such a value may nest.
pub const MAX_VALUE_DEPTH: usize = 32;
/// How many categories of consent a profile keeps: those whose names have the smallest hashes.
pub const MAX_CONSENT_CATEGORIES: usize = 64;
/// How long the name of a category may be, in bytes. Longer ones are left out, so they are never granted.
pub const MAX_CATEGORY_BYTES: usize = 128;
/// To how many decimal places an average is rounded, half to even.
pub const AVERAGE_PLACES: u32 = 12;
