//! What is wrong with a document, where, and the nearest word that would be right.

use serde_json::Value as Json;
use std::fmt;

/// What is wrong with a document, and where. Its text is meant for the person who wrote the document; the remedy is
/// always to change the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    path: String,
    problem: String,
}

impl DocumentError {
    /// A problem at the place that is being read.
    #[must_use]
    pub fn new(problem: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            problem: problem.into(),
        }
    }

    /// A word that is none of the known ones, with the nearest of them, or all of them when none is near.
    #[must_use]
    pub fn unknown(what: &str, word: &str, known: &[&str]) -> Self {
        let shown: String = word.chars().take(80).collect();
        Self::new(match nearest(word, known) {
            Some(near) => format!("unknown {what} `{shown}`: did you mean `{near}`?"),
            None => format!("unknown {what} `{shown}`: known are {}", known.join(", ")),
        })
    }

    /// The same problem, seen from the object whose key `step` holds the place.
    #[must_use]
    pub fn within(mut self, step: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{step}{dot}{}", self.path);
        self
    }

    /// The same problem, seen from the list whose entry `at`, from 0, holds the place.
    #[must_use]
    pub fn item(self, at: usize) -> Self {
        self.within(&format!("[{at}]"))
    }

    /// The same problem with advice after it.
    #[must_use]
    pub fn hint(mut self, advice: &str) -> Self {
        self.problem = format!("{}; {advice}", self.problem);
        self
    }

    /// The place: keys and list positions from the top of the document, such as `where.all[0].greater_than`. Empty: the
    /// document as a whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.path, self.problem)
        }
    }
}

impl std::error::Error for DocumentError {}

/// The word of `known` that `word` was most likely meant to be: at most a third of its letters differ, whatever their
/// case.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > 80 {
        return None;
    }
    let lower = word.to_lowercase();
    let limit = (lower.chars().count() / 3).max(1);
    let distances = known
        .iter()
        .map(|candidate| (edit_distance(&lower, &candidate.to_lowercase()), *candidate));
    distances
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, drop, change, or swap with their neighbour to get from one word to the other
/// (Damerau and Levenshtein, in the form that swaps a pair at most once).
fn edit_distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for at in 1..=from.len() {
        let mut row = vec![at; to.len() + 1];
        for column in 1..=to.len() {
            let changed = last[column - 1] + usize::from(from[at - 1] != to[column - 1]);
            row[column] = changed.min(last[column] + 1).min(row[column - 1] + 1);
            let swapped = at > 1 && column > 1 && from[at - 1] == to[column - 2] && from[at - 2] == to[column - 1];
            if swapped {
                row[column] = row[column].min(before[column - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

/// What a JSON value is, for a sentence.
pub(super) fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "nothing (null)",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
