//! Documents as YAML: streams of several documents in, one stream out.
//!
//! What YAML can say and JSON cannot (tags, keys that are not text, not-a-number) is refused with its place, so the
//! same document is the same in a file, in the API and in the log.

use crate::documents::shorten;
use crate::{Document, Problem};
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

/// The largest stream, in bytes.
pub(crate) const STREAM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most brackets that may be open at once. The reader beneath takes time by their square, and no definition comes near.
const OPEN_BRACKETS_MAX: usize = 1_000;

/// Reads a stream of YAML documents, parted by `---`; empty ones are left out. `origin` names the file in problems.
///
/// # Errors
/// Every [`Problem`] found, each with file, document number and path.
pub fn parse_yaml(origin: &str, text: &str) -> Result<Vec<Document>, Vec<Problem>> {
    let whole = |message: String| {
        Err(vec![Problem {
            document: origin.to_owned(),
            path: String::new(),
            message,
        }])
    };
    if text.len() > STREAM_BYTES_MAX {
        return whole(format!("the file is larger than {STREAM_BYTES_MAX} bytes: split it"));
    }
    if open_brackets(text) > OPEN_BRACKETS_MAX {
        return whole(format!(
            "more than {OPEN_BRACKETS_MAX} brackets are open at once: close them"
        ));
    }
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for (at, stream) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let place = format!("{origin}, document {}", at + 1);
        let yaml = match Yaml::deserialize(stream) {
            Ok(Yaml::Null) => continue,
            Ok(yaml) => yaml,
            Err(error) => {
                problems.push(Problem {
                    document: place,
                    path: String::new(),
                    message: format!("not YAML: {error}"),
                });
                // Past an error of syntax the reader has lost its place.
                break;
            }
        };
        let read = to_json(&yaml, "").map_err(|(path, message)| Problem {
            document: place.clone(),
            path,
            message,
        });
        match read.and_then(|value| Document::from_json(&place, value)) {
            Ok(document) => documents.push(document),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(problems)
    }
}

/// The most brackets open at once, as far as can be told without parsing: those within text count too.
fn open_brackets(text: &str) -> usize {
    let mut most = 0;
    text.bytes().fold(0_usize, |open, byte| {
        let open = match byte {
            b'[' | b'{' => open + 1,
            b']' | b'}' => open.saturating_sub(1),
            _ => open,
        };
        most = most.max(open);
        open
    });
    most
}

/// Writes documents as one YAML stream that [`parse_yaml`] reads back.
#[must_use]
pub fn to_yaml(documents: &[Document]) -> String {
    documents
        .iter()
        .map(|document| format!("---\n{}", yaml_of(&document.to_json())))
        .collect()
}

/// One value as YAML. A JSON value can always be written as YAML.
pub(crate) fn yaml_of(value: &Value) -> String {
    serde_yaml_ng::to_string(value).unwrap_or_default()
}

fn to_json(yaml: &Yaml, path: &str) -> Result<Value, (String, String)> {
    let wrong = |message: String| Err((path.to_owned(), message));
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(truth) => Value::Bool(*truth),
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Number(number) => match serde_json::to_value(number) {
            Ok(value @ Value::Number(_)) => value,
            _ => return wrong("a number must be finite; write other values as text, in quotes".to_owned()),
        },
        Yaml::Sequence(items) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(at, item)| to_json(item, &format!("{path}[{at}]")));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (key, value) in fields {
                let Yaml::String(key) = key else {
                    return wrong("every key must be text: put it in quotes".to_owned());
                };
                let inner = if path.is_empty() {
                    shorten(key)
                } else {
                    format!("{path}.{}", shorten(key))
                };
                object.insert(key.clone(), to_json(value, &inner)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => return wrong(format!("tags such as {} are not used here: leave it out", tagged.tag)),
    })
}
