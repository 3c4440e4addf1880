//! What is wrong with a document, where, and the nearest word that would be right.

use serde_json::Value as Json;
use std::fmt;

/// The most mistakes of one document that are told; the others are counted.
pub const MISTAKES_MAX: usize = 20;

/// What is wrong with a document, and where: one mistake, and those after it in the order in which the document is read.
/// Its text is meant for the person who wrote the document; the remedy is always to change the document.
///
/// Readers go on after a mistake as far as what follows has a meaning without it, see [`Beside`] and [`read_each`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    path: String,
    problem: String,
    /// The mistakes after this one; they have none of their own.
    others: Vec<DocumentError>,
    /// How many more there are.
    left_out: usize,
}

impl DocumentError {
    /// A problem at the place that is being read.
    #[must_use]
    pub fn new(problem: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            problem: problem.into(),
            others: Vec::new(),
            left_out: 0,
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

    /// The same mistakes, seen from the object whose key `step` holds the place.
    #[must_use]
    pub fn within(mut self, step: &str) -> Self {
        self.each_mut(|one| {
            let dot = if one.path.is_empty() || one.path.starts_with('[') {
                ""
            } else {
                "."
            };
            one.path = format!("{step}{dot}{}", one.path);
        });
        self
    }

    /// The same mistakes, seen from the list whose entry `at`, from 0, holds the place.
    #[must_use]
    pub fn item(self, at: usize) -> Self {
        self.within(&format!("[{at}]"))
    }

    /// The same mistakes with advice after each.
    #[must_use]
    pub fn hint(mut self, advice: &str) -> Self {
        self.each_mut(|one| one.problem = format!("{}; {advice}", one.problem));
        self
    }

    /// These mistakes, then the others.
    #[must_use]
    pub fn and(mut self, mut others: Self) -> Self {
        self.left_out += std::mem::take(&mut others.left_out);
        let after = std::mem::take(&mut others.others);
        self.others.push(others);
        self.others.extend(after);
        self
    }

    /// The first [`MISTAKES_MAX`] mistakes, and how many more there are.
    pub fn told(&self) -> (impl Iterator<Item = &Self>, usize) {
        let count = 1 + self.others.len() + self.left_out;
        let told = std::iter::once(self).chain(&self.others).take(MISTAKES_MAX);
        (told, count.saturating_sub(MISTAKES_MAX))
    }

    /// As [`DocumentError::and`], of the others only those that lie deeper than the place that is being read.
    fn and_deeper(mut self, mut others: Self) -> Self {
        self.left_out += std::mem::take(&mut others.left_out);
        let after = std::mem::take(&mut others.others);
        let deeper = std::iter::once(others).chain(after).filter(|one| !one.path.is_empty());
        self.others.extend(deeper);
        self
    }

    /// The same with no more than [`MISTAKES_MAX`] held, the others counted.
    fn bounded(mut self) -> Self {
        let held = MISTAKES_MAX - 1;
        self.left_out += self.others.len().saturating_sub(held);
        self.others.truncate(held);
        self
    }

    fn each_mut(&mut self, mut change: impl FnMut(&mut Self)) {
        self.others.iter_mut().for_each(&mut change);
        change(self);
    }

    /// The place of the first mistake: keys and list positions from the top of the document, such as `where.all[0].greater_than`. Empty: the
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

/// Reads two parts of a document that have a meaning without one another.
pub trait Beside<T> {
    /// Both, or what is wrong with the one and then with the other.
    ///
    /// # Errors
    /// When one of them cannot be read.
    fn beside<U>(self, other: Result<U, DocumentError>) -> Result<(T, U), DocumentError>;
}

impl<T> Beside<T> for Result<T, DocumentError> {
    fn beside<U>(self, other: Result<U, DocumentError>) -> Result<(T, U), DocumentError> {
        match (self, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Ok(_), Err(wrong)) | (Err(wrong), Ok(_)) => Err(wrong),
            (Err(wrong), Err(others)) => Err(wrong.and(others)),
        }
    }
}

/// Reads all of a list.
///
/// # Errors
/// What is wrong with any of them, in their order.
pub fn read_each<T>(read: impl IntoIterator<Item = Result<T, DocumentError>>) -> Result<Vec<T>, DocumentError> {
    let mut all = Vec::new();
    let mut found: Option<DocumentError> = None;
    for one in read {
        match one {
            Ok(one) => all.push(one),
            Err(wrong) => {
                found = Some(match found {
                    Some(before) => before.and(wrong).bounded(),
                    None => wrong.bounded(),
                });
            }
        }
    }
    found.map_or(Ok(all), Err)
}

/// What is read of an object whose keys were checked by [`super::check_keys`].
///
/// Where it has unknown ones, what else is wrong of the object itself is left out: a key that is missing may be the one that
/// is misspelt.
///
/// # Errors
/// For the unknown keys, then as `read`.
pub fn with_keys<T>(keys: Result<(), DocumentError>, read: Result<T, DocumentError>) -> Result<T, DocumentError> {
    match (keys, read) {
        (Ok(()), read) => read,
        (Err(unknown), Ok(_)) => Err(unknown),
        (Err(unknown), Err(found)) => Err(unknown.and_deeper(found)),
    }
}

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
#[must_use]
pub fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "nothing (null)",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
