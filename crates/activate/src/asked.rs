//! What a message's templates ask of a person, for a word to whoever writes one (contract ACT-5): a name that nobody has skips
//! every send. It reads text alone: what stands in a comment counts as well.

use serde_json::Value;
use std::collections::BTreeSet;

/// The names that the templates of a message ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedOfPeople {
    /// Of `profile.traits`.
    pub traits: BTreeSet<String>,
    /// Of `profile.computed`.
    pub computed: BTreeSet<String>,
}

impl AskedOfPeople {
    /// Reads the `spec` of a message.
    #[must_use]
    pub fn of(spec: &Value) -> Self {
        let mut asked = Self::default();
        for field in ["subject", "text", "html"] {
            let text = spec.get(field).and_then(Value::as_str).unwrap_or_default();
            for expression in expressions(text) {
                asked.traits.extend(names(expression, "profile.traits."));
                asked.computed.extend(names(expression, "profile.computed."));
            }
        }
        asked
    }
}

/// What stands between `{{` and `}}`, and between `{%` and `%}`.
fn expressions(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split('{').filter(|part| !part.is_empty());
    parts.filter_map(|part| part.split_once('}').map(|(inside, _)| inside))
}

/// The names behind a path, quoted texts left out.
fn names<'a>(expression: &'a str, path: &'a str) -> impl Iterator<Item = String> + 'a {
    let unquoted = expression.split(['"', '\'']).step_by(2);
    unquoted.flat_map(move |part| {
        part.match_indices(path).filter_map(move |(at, _)| {
            let behind = &part[at + path.len()..];
            let ends = behind.find(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-');
            // A dash at the end is the template's own, as in `-%}`.
            let name = behind[..ends.unwrap_or(behind.len())].trim_end_matches('-');
            (!name.is_empty()).then(|| name.to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn act_5_the_names_that_templates_ask_for_are_found() {
        let asked = AskedOfPeople::of(&json!({
            "subject": "Hi {{ profile.traits.first_name | default: 'profile.traits.no' }} profile.traits.neither",
            "text": "{% if profile.traits.plan == 'pro' and profile.computed.spent > 5 %}{{profile.traits.city-}}{% endif %}",
            "html": "<a href=\"{{ unsubscribe_url }}\">{{ profile.id }}</a>{{ profile.traits",
        }));
        let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(&asked.traits), ["city", "first_name", "plan"]);
        assert_eq!(names(&asked.computed), ["spent"]);
    }
}
