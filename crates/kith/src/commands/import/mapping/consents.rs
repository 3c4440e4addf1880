//! The part `consents` of a mapping: which column says what a person allows, and in which words.
//!
//! A word that is neither yes nor no is a fault of its row: a guess about consent would be a mail that nobody allowed.

use super::{Problems, did_you_mean};
use serde_json::{Map, Value};

/// Words of a yes and of a no, unless a mapping gives its own.
const GRANTED: [&str; 6] = ["true", "t", "yes", "y", "1", "granted"];
const DENIED: [&str; 6] = ["false", "f", "no", "n", "0", "denied"];
/// What a profile keeps of consent: so many categories, of so long names.
const CATEGORIES_MAX: usize = 64;
const CATEGORY_BYTES_MAX: usize = 128;
/// Words of one answer.
const WORDS_MAX: usize = 100;

/// How the answer to one category is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// The same answer in every row.
    Always(bool),
    /// What a column says.
    Column {
        /// The column.
        column: String,
        /// Words of a yes, in lower case.
        granted: Vec<String>,
        /// Words of a no, in lower case.
        denied: Vec<String>,
    },
}

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Yes or no.
    Said(bool),
    /// Nothing.
    Nothing,
    /// A word that is neither.
    Neither,
}

impl Consent {
    /// The column, if it is one.
    pub(crate) fn column(&self) -> Option<&str> {
        match self {
            Self::Always(_) => None,
            Self::Column { column, .. } => Some(column),
        }
    }

    /// The answer of a cell's text; blanks around it and its case do not matter.
    pub(crate) fn answer(&self, text: Option<&str>) -> Answer {
        let (granted, denied) = match self {
            Self::Always(answer) => return Answer::Said(*answer),
            Self::Column { granted, denied, .. } => (granted, denied),
        };
        let word = text.map(plain).unwrap_or_default();
        if granted.contains(&word) {
            Answer::Said(true)
        } else if denied.contains(&word) {
            Answer::Said(false)
        } else if word.is_empty() {
            Answer::Nothing
        } else {
            Answer::Neither
        }
    }

    /// The words that are known, as a message shows them.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Always(_) => String::new(),
            Self::Column { granted, denied, .. } => {
                format!("granted: {}; denied: {}", granted.join(", "), denied.join(", "))
            }
        }
    }
}

impl Problems {
    pub(super) fn consents(&mut self, value: Option<Value>) -> Vec<(String, Consent)> {
        let named = self.named("consents", value);
        if named.len() > CATEGORIES_MAX {
            self.tell("consents", &format!("has more than {CATEGORIES_MAX} categories"));
            return Vec::new();
        }
        let mut consents = Vec::with_capacity(named.len());
        for (category, value) in named {
            if category.is_empty() || category.len() > CATEGORY_BYTES_MAX {
                let what = format!("the name of a category has 1 to {CATEGORY_BYTES_MAX} bytes");
                self.tell("consents", &what);
                continue;
            }
            let path = format!("consents.{category}");
            if let Some(consent) = self.consent(&path, value) {
                consents.push((category, consent));
            }
        }
        consents
    }

    fn consent(&mut self, path: &str, value: Value) -> Option<Consent> {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::String(always) if always == "granted" => return Some(Consent::Always(true)),
            Value::String(always) if always == "denied" => return Some(Consent::Always(false)),
            _ => {
                self.tell(
                    path,
                    "is {column: name}, or granted or denied where it is so in every row",
                );
                return None;
            }
        };
        let known = ["column", "granted", "denied"];
        for field in fields.keys().filter(|field| !known.contains(&field.as_str())) {
            let meant = did_you_mean(field, &known);
            let what = format!("{field:?} is not known here{meant}; known are {}", known.join(", "));
            self.tell(path, &what);
        }
        let column = self.column(path, &fields)?;
        let granted = self.words(path, &fields, "granted")?;
        let denied = self.words(path, &fields, "denied")?;
        // A word that one side names is not the other's by default.
        let or_usual = |given: &[String], other: &[String], words: [&str; 6]| -> Vec<String> {
            let usual = words.into_iter().map(str::to_owned);
            match given {
                [] => usual.filter(|word| !other.contains(word)).collect(),
                _ => given.to_vec(),
            }
        };
        let granted_words = or_usual(&granted, &denied, GRANTED);
        let denied_words = or_usual(&denied, &granted, DENIED);
        if let Some(both) = granted_words.iter().find(|word| denied_words.contains(word)) {
            self.tell(path, &format!("{both:?} cannot be both granted and denied"));
            return None;
        }
        Some(Consent::Column {
            column,
            granted: granted_words,
            denied: denied_words,
        })
    }

    /// The words that a mapping gives for an answer; none where it does not give them.
    fn words(&mut self, path: &str, fields: &Map<String, Value>, side: &str) -> Option<Vec<String>> {
        let path = format!("{path}.{side}");
        let given = match fields.get(side) {
            None => return Some(Vec::new()),
            Some(Value::Array(words)) if (1..=WORDS_MAX).contains(&words.len()) => words.as_slice(),
            Some(Value::Array(_)) => {
                self.tell(&path, &format!("has 1 to {WORDS_MAX} words"));
                return None;
            }
            Some(one) => std::slice::from_ref(one),
        };
        let mut words = Vec::with_capacity(given.len());
        for word in given {
            match word {
                Value::String(text) => words.push(plain(text)),
                Value::Bool(_) | Value::Number(_) => words.push(word.to_string()),
                _ => {
                    self.tell(&path, "is a list of words, such as [yes, \"1\"]");
                    return None;
                }
            }
        }
        Some(words)
    }
}

fn plain(text: &str) -> String {
    text.trim().to_lowercase()
}
