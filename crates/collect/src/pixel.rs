//! The event that a pixel's query writes: RudderStack's `/pixel/v1/track` and `/pixel/v1/page`.
//!
//! Each parameter is a field of the event; a dot in its name opens an object. The event goes through the door as JSON.

use kith_types::{Object, Route, Value};

/// The most parameters of one query.
const PARAMETERS_MAX: usize = 200;
/// How deep the dots of a name may nest.
const DEPTH_MAX: usize = 8;

/// Writes the event, without the write key, which is a credential and not part of it.
pub(crate) fn event_of_query(route: Route, parameters: &[(String, String)]) -> String {
    let mut event = vec![
        ("type".into(), Value::from(route.as_str())),
        ("channel".into(), Value::from("pixel")),
    ];
    for (name, value) in parameters.iter().take(PARAMETERS_MAX) {
        if name != "writeKey" && name != "type" {
            insert(&mut event, name, value, DEPTH_MAX);
        }
    }
    Value::Object(event).to_json()
}

/// Puts a value at a path, unless something stands there: of two equal parameters the first counts.
fn insert(fields: &mut Object, path: &str, value: &str, depth: usize) {
    let parted = if depth > 1 { path.split_once('.') } else { None };
    let Some((key, rest)) = parted else {
        if !fields.iter().any(|(known, _)| &**known == path) {
            fields.push((path.into(), Value::from(value)));
        }
        return;
    };
    let at = fields.iter().position(|(known, _)| &**known == key).unwrap_or_else(|| {
        fields.push((key.into(), Value::Object(Object::new())));
        fields.len() - 1
    });
    if let Some((_, Value::Object(inner))) = fields.get_mut(at) {
        insert(inner, rest, value, depth - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn col_1_a_query_writes_an_event() {
        let query = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect::<Vec<_>>()
        };
        let sent = query(&[
            ("writeKey", "k"),
            ("event", "Opened"),
            ("context.page.url", "/a"),
            ("context.page.url", "/b"),
            ("event.x", "1"),
        ]);
        assert_eq!(
            event_of_query(Route::Track, &sent),
            r#"{"type":"track","channel":"pixel","event":"Opened","context":{"page":{"url":"/a"}}}"#
        );
        let deep = query(&[(&"a.".repeat(100), "1")]);
        assert!(kith_clean::parse_json(event_of_query(Route::Page, &deep).as_bytes()).is_ok());
    }
}
