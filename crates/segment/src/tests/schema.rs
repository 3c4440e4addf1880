//! SEG-1: the published schema admits every document that is written, knows every key, and refuses what is not one; and
//! every tree reads as English.

use super::instants::random_tree;
use super::world::define;
use crate::schema;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// Whether the value meets the schema, for the words that the schema uses; any other word is a failure of the test.
fn admits(schema: &Json, root: &Json, value: &Json) -> bool {
    let number = |json: &Json| json.as_f64().unwrap();
    schema
        .as_object()
        .unwrap()
        .iter()
        .all(|(word, operand)| match word.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let name = operand.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                admits(&root["$defs"][name], root, value)
            }
            "oneOf" => {
                let choices = operand.as_array().unwrap().iter();
                choices.filter(|choice| admits(choice, root, value)).count() == 1
            }
            "const" => value == operand,
            "enum" => operand.as_array().unwrap().contains(value),
            "type" => {
                let is = |kind: &Json| match kind.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "boolean" => value.is_boolean(),
                    other => panic!("type {other}"),
                };
                operand
                    .as_array()
                    .map_or_else(|| is(operand), |kinds| kinds.iter().any(is))
            }
            "required" => operand
                .as_array()
                .unwrap()
                .iter()
                .all(|key| value.get(key.as_str().unwrap()).is_some()),
            "properties" => {
                let fields = operand.as_object().unwrap().iter();
                fields
                    .filter_map(|(key, schema)| Some((schema, value.get(key)?)))
                    .all(|(schema, value)| admits(schema, root, value))
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object().unwrap();
                value
                    .as_object()
                    .is_none_or(|fields| fields.keys().all(|key| known.contains_key(key)))
            }
            "minProperties" => value
                .as_object()
                .is_none_or(|fields| fields.len() as u64 >= operand.as_u64().unwrap()),
            "maxProperties" => value
                .as_object()
                .is_none_or(|fields| fields.len() as u64 <= operand.as_u64().unwrap()),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| admits(operand, root, item))),
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 >= operand.as_u64().unwrap()),
            "maxItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 <= operand.as_u64().unwrap()),
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 >= operand.as_u64().unwrap()),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 <= operand.as_u64().unwrap()),
            "minimum" => !value.is_number() || number(value) >= number(operand),
            "maximum" => !value.is_number() || number(value) <= number(operand),
            "exclusiveMinimum" => !value.is_number() || number(value) > number(operand),
            // The patterns are few; what they admit is the parser's to test.
            "pattern" => true,
            other => panic!("the schema uses {other}, which this test does not know"),
        })
}

fn admitted(document: &Json) -> bool {
    let schema = schema();
    admits(&schema, &schema, document)
}

/// The tree without what is asked of accounts.
fn of_people(tree: &Json) -> Json {
    match tree {
        Json::Object(fields) => {
            let fields = fields.iter().map(|(key, inner)| match key.as_str() {
                "account" => (key.clone(), Json::Null),
                _ => (key.clone(), of_people(inner)),
            });
            Json::Object(fields.collect())
        }
        Json::Array(items) => items.iter().map(of_people).collect(),
        other => other.clone(),
    }
}

fn document(condition: &Json) -> Json {
    json!({ "kind": "segment", "name": "tested", "spec": { "where": condition } })
}

proptest! {
    #[test]
    fn seg_1_the_schema_admits_every_document_and_every_tree_reads_as_english(tree in random_tree()) {
        prop_assert!(admitted(&document(&tree)), "as read: {}", tree);
        let definition = define("tested", &tree);
        let written = definition.to_document();
        prop_assert!(admitted(&written), "as written: {}", written);
        // A line for the sentence and one for each entry of a list, none of them empty.
        let english = definition.in_english();
        // What is asked of one account is one line.
        let lists = of_people(&tree).to_string();
        let entries = lists.matches("\"all\":[").count() + lists.matches("\"any\":[").count();
        prop_assert!(english.starts_with("Everybody for whom ") && english.ends_with('\n'));
        prop_assert!(english.lines().count() > entries);
        for line in english.lines() {
            prop_assert!(line.trim_start().trim_start_matches("- ").len() > 8, "{}", english);
        }
    }
}

#[test]
fn seg_1_the_schema_admits_what_the_guide_shows() {
    let guide = include_str!("../../../../docs/segments.md");
    for block in guide
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
    {
        let json: Json = serde_yaml_ng::from_str(block).unwrap();
        let items = json.as_array().cloned().unwrap_or_else(|| vec![json]);
        for item in items.iter().filter(|item| item["kind"] != "computed_trait") {
            let whole = if item.get("kind").is_some() {
                item.clone()
            } else {
                document(item)
            };
            assert!(admitted(&whole), "{item}");
        }
    }
}

#[test]
fn seg_1_the_schema_refuses_what_is_no_document() {
    for wrong in [
        json!({ "performd": "Order" }),
        json!({ "all": [] }),
        json!({ "all": [{ "trait": "a" }] }),
        json!({ "trait": "a", "equals": 1, "not_equals": 2 }),
        json!({ "trait": "a", "equals": null }),
        json!({ "performed": { "event": "A", "within": { "lst": "3d" } } }),
        json!({ "performed": { "event": "A", "within": { "last": "3d", "this": "day" } } }),
        json!({ "not_performed": { "event": "A", "at_least": 2 } }),
        json!({ "sequence": { "first": "A" } }),
        json!({ "sequence": { "first": "A", "then_not": "B" } }),
        json!({ "sequence": { "first": "A", "then": "B", "then_not": "C" } }),
        json!({ "lifecycle": { "stage": "stopped", "event": "A", "last": "3d" } }),
        json!({ "bucket": { "from": 1 } }),
        json!({ "trait": "a", "near": { "latitude": 1, "longitude": 1 } }),
        json!({ "consent": "a", "answer": "maybe" }),
    ] {
        assert!(!admitted(&document(&wrong)), "{wrong}");
        let parsed = crate::SegmentDefinition::parse(&document(&wrong));
        assert!(parsed.is_err(), "the parser takes what the schema refuses: {wrong}");
    }
    assert!(!admitted(&json!({ "kind": "segment", "name": "a", "spec": {} })));
}

#[test]
fn seg_1_the_schema_knows_every_key() {
    let schema = schema();
    let mut keys = std::collections::BTreeSet::new();
    let mut open = vec![&schema];
    while let Some(json) = open.pop() {
        if let Some(properties) = json.get("properties").and_then(Json::as_object) {
            keys.extend(properties.keys().map(String::as_str));
        }
        open.extend(json.as_object().into_iter().flat_map(|fields| fields.values()));
        open.extend(json.as_array().into_iter().flatten());
    }
    let known = [
        &kith_expr::FILTER_KEYS[..],
        &kith_expr::VALUE_TEST_KEYS,
        &kith_expr::WINDOW_KEYS,
        &kith_expr::SEQUENCE_KEYS,
        &crate::count::COUNT_KEYS,
        &crate::document::CONDITION_KEYS,
    ];
    for key in known.concat() {
        assert!(keys.contains(key), "the schema lacks `{key}`");
    }
}

#[test]
fn seg_1_the_published_schema_is_this_one() {
    let published: Json = serde_json::from_str(include_str!("../../../../docs/segment.schema.json")).unwrap();
    let current = schema();
    assert!(published == current, "docs/segment.schema.json must say:\n{current:#}");
}
