//! Tests of the strict reader: hostile texts, exactness, agreement with `serde_json`.

use super::*;
use proptest::prelude::*;

/// Both builders' verdicts, which must be one.
fn verdict(text: &str) -> Result<Value, Box<JsonError>> {
    let mut reader = Reader::new(text);
    let skipped = reader.value::<Skip>(0).and_then(|()| reader.end());
    let read = parse_json(text.as_bytes());
    assert_eq!(skipped.err(), read.clone().err(), "{text}");
    read
}

#[test]
fn col_8_what_can_be_carried_is_carried_exactly() {
    for (sent, carried) in [
        ("9007199254740993", "9007199254740993"),
        ("-9007199254740993", "-9007199254740993"),
        ("123456789012345678901234567890.12", "123456789012345678901234567890.12"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("100", "100"),
        ("-0.0", "0"),
        ("1.50", "1.5"),
        ("12e2", "1200"),
        (r#""a\u0000b""#, r#""a\u0000b""#),
        (r#""\ud83d\ude00\/\b\f""#, "\"\u{1f600}/\\b\\f\""),
        (r#""é\u00e9\\""#, r#""éé\\""#),
        (" { \"a\" : [ ] , \"\" : { } } ", r#"{"a":[],"":{}}"#),
        ("[true,false,null]", "[true,false,null]"),
    ] {
        assert_eq!(verdict(sent).unwrap().to_json(), carried, "{sent}");
    }
}

#[test]
fn col_8_hostile_json_is_refused_with_its_reason() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(verdict(&deep(JSON_DEPTH_MAX)).is_ok());
    let deeper = deep(JSON_DEPTH_MAX + 1);
    let deepest = "[".repeat(100_000);
    for (sent, code) in [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[1,]", "invalid_json"),
        ("{\"a\":1,}", "invalid_json"),
        ("{a:1}", "invalid_json"),
        ("[1] x", "invalid_json"),
        ("\u{feff}{}", "invalid_json"),
        ("01", "invalid_json"),
        ("1.", "invalid_json"),
        ("-", "invalid_json"),
        ("1e", "invalid_json"),
        ("NaN", "invalid_json"),
        ("tru", "invalid_json"),
        ("\"a\nb\"", "invalid_json"),
        ("\"\\x\"", "invalid_json"),
        ("\"\\u12g4\"", "invalid_json"),
        ("\"abc", "invalid_json"),
        ("\"abc\\", "invalid_json"),
        (r#"{"a":1,"b":2,"a":3}"#, "duplicate_key"),
        (r#"{"a":1,"\u0061":3}"#, "duplicate_key"),
        (r#""\ud800""#, "lone_surrogate"),
        (r#""\ud800\u0041""#, "lone_surrogate"),
        (r#""\udc00""#, "lone_surrogate"),
        (r#""\ud800\ud800""#, "lone_surrogate"),
        ("1e999", "number_out_of_range"),
        ("-1e-999", "number_out_of_range"),
        ("1234567890123456789012345678901234567890123", "number_out_of_range"),
        ("0.1e99999999999999999999", "number_out_of_range"),
        (&deeper, "too_deep"),
        (&deepest, "too_deep"),
    ] {
        let error = verdict(sent).unwrap_err();
        assert_eq!(error.fault.code(), code, "{:.80} {error}", sent);
    }
    assert_eq!(parse_json(b"\"\xff\"").unwrap_err().fault, JsonFault::InvalidUtf8);
}

#[test]
fn col_8_equal_keys_are_found_among_many() {
    let object = |last: &str| {
        let keys: String = (0..3_000).map(|at| format!("\"k{at}\":{{\"k1\":0}},")).collect();
        format!("{{{keys}\"{last}\":1}}")
    };
    assert!(verdict(&object("k3000")).is_ok());
    for last in ["k0", "k47", "k48", "k49", "k2999", "\\u006b7"] {
        assert_eq!(
            verdict(&object(last)).unwrap_err().fault,
            JsonFault::DuplicateKey,
            "{last}"
        );
    }
}

#[test]
fn an_error_says_where_it_stands() {
    let error = verdict(r#"{"context":{"ids":[1,{"x":"\ud800"}]}}"#).unwrap_err();
    assert_eq!((error.path.as_str(), error.offset), ("context.ids[1].x", 27));
    let error = verdict(r#"{"a":{"b":1,"b":2}}"#).unwrap_err();
    assert_eq!(error.path, "a.b");
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        (-1_000_000_i64..1_000_000).prop_map(|cents| serde_json::json!(cents as f64 / 100.0)),
        ".{0,20}".prop_map(serde_json::Value::from),
        "[\u{0}-\u{7f}]{0,20}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec((".{0,8}", inner), 0..6)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn col_8_sound_json_reads_as_serde_json_reads_it(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let ours = verdict(&text).unwrap().to_json();
        let back: serde_json::Value = serde_json::from_str(&ours).unwrap();
        prop_assert!(alike(&back, &value), "{back} {value}");
        let mut reader = Reader::new(&text);
        reader.skip_by_brackets().unwrap();
        prop_assert_eq!(text[..reader.at].trim_end(), text.trim_end());
    }

    #[test]
    fn col_8_no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_json(&bytes);
    }

    #[test]
    fn col_8_damaged_json_gets_one_verdict(value in any_json(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:\\\\0-9a-e]{0,3}") {
        let mut text = serde_json::to_string(&value).unwrap();
        let mut place = at.index(text.len() + 1);
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        text.insert_str(place, &with);
        let ours = verdict(&text);
        // Whatever we take, serde_json takes too.
        prop_assert!(ours.is_err() || serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    }

    #[test]
    fn numbers_read_quickly_read_exactly(text in "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,12})?") {
        prop_assert_eq!(parse_json(text.as_bytes()).unwrap(), Value::Number(text.parse().unwrap()));
    }
}

/// Equal but for the way numbers are written: `1.0` is `1`.
fn alike(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}
