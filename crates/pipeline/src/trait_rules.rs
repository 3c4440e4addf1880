//! The `spec` of a definition of kind `trait_rules`: which value of a trait survives.
//!
//! `default`, and `traits` by name, each a rule's name or a map with `source_priority`, the list of sources of which the first wins.
//! All mistakes are told at once, each with its place below `spec`.

use kith_expr::{Beside, DocumentError, check_keys, kind_of, object_of, read_each};
use kith_profile::{Survivorship, TraitRules};
use kith_types::SourceName;
use serde_json::Value as Json;

/// The key of a rule that is a list of sources.
const SOURCE_PRIORITY: &str = "source_priority";
/// The rules that are one word.
const WORDS: [(&str, Survivorship); 6] = [
    ("most_recent", Survivorship::MostRecent),
    ("most_frequent", Survivorship::MostFrequent),
    ("oldest", Survivorship::Oldest),
    ("min", Survivorship::Min),
    ("max", Survivorship::Max),
    ("most_restrictive", Survivorship::MostRestrictive),
];

/// The rules of a document.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn parse_trait_rules(spec: &Json) -> Result<TraitRules, DocumentError> {
    let fields = object_of(spec)?;
    let keys = check_keys(fields, &["default", "traits"]);
    let default = match fields.get("default") {
        Some(rule) => survivorship(rule).map(Some).map_err(|error| error.within("default")),
        None => Ok(None),
    };
    let traits = fields.get("traits").and_then(Json::as_object).into_iter().flatten();
    let by_name = read_each(traits.map(|(name, rule)| {
        let rule = survivorship(rule).map_err(|error| error.within(name))?;
        Ok((name.as_str().into(), rule))
    }));
    let by_name = by_name.map_err(|error| error.within("traits"));
    let (((), default), by_name) = keys.beside(default).beside(by_name)?;
    let mut rules = TraitRules::default();
    if let Some(default) = default {
        rules.default = default;
    }
    rules.by_name.extend(by_name);
    Ok(rules)
}

fn survivorship(rule: &Json) -> Result<Survivorship, DocumentError> {
    if let Some(sources) = rule.get(SOURCE_PRIORITY).and_then(Json::as_array) {
        let names = sources.iter().enumerate();
        let names = read_each(names.map(|(at, name)| source(name).map_err(|error| error.item(at))));
        return names
            .map(Survivorship::SourcePriority)
            .map_err(|error| error.within(SOURCE_PRIORITY));
    }
    match rule {
        Json::String(word) => match WORDS.iter().find(|(known, _)| known == word) {
            Some((_, rule)) => Ok(rule.clone()),
            None => {
                let mut known: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
                known.push("a map with source_priority");
                Err(DocumentError::unknown("rule", word, &known))
            }
        },
        Json::Object(fields) => {
            check_keys(fields, &[SOURCE_PRIORITY])?;
            Err(match fields.get(SOURCE_PRIORITY) {
                Some(other) => DocumentError::new(format!("expected a list of sources, found {}", kind_of(other)))
                    .within(SOURCE_PRIORITY),
                None => DocumentError::new("`source_priority` is missing: the sources, of which the first wins"),
            })
        }
        other => Err(DocumentError::new(format!(
            "expected a rule such as most_recent, or a map with source_priority, found {}",
            kind_of(other)
        ))),
    }
}

fn source(name: &Json) -> Result<SourceName, DocumentError> {
    let text = name
        .as_str()
        .ok_or_else(|| DocumentError::new(format!("expected the name of a source, found {}", kind_of(name))))?;
    text.parse()
        .map_err(|error: kith_types::InvalidName| DocumentError::new(error.to_string()))
}
