//! Definitions of messages: what is read, what is refused and how.

use super::{MessageDefinition, Purpose};
use serde_json::{Value, json};

fn with(
    change: impl FnOnce(&mut serde_json::Map<String, Value>),
) -> Result<MessageDefinition, Vec<super::DefinitionProblem>> {
    let mut spec = crate::tests::marketing();
    change(spec.as_object_mut().unwrap());
    MessageDefinition::parse("welcome", &spec)
}

#[test]
fn a_definition_is_read() {
    let read = with(|_| {}).unwrap();
    assert_eq!(
        (read.name(), read.segment().as_str(), read.sender().as_str()),
        ("welcome", "vip", "Kith Shop")
    );
    assert_eq!(read.purpose(), &Purpose::Marketing("marketing".into()));
    assert!(!read.only_while_in_segment());
}

#[test]
fn a_wrong_definition_says_where_and_how_to_mend_it() {
    type Change = fn(&mut serde_json::Map<String, Value>);
    let cases: [(Change, &str, &str); 12] = [
        (
            |spec| drop(spec.insert("sbject".into(), json!("x"))),
            "sbject",
            "did you mean \"subject\"?",
        ),
        (|spec| drop(spec.remove("subject")), "subject", "needed"),
        (
            |spec| drop(spec.insert("on".into(), json!("left"))),
            "on",
            "must be \"entered\"",
        ),
        (
            |spec| drop(spec.insert("channel".into(), json!("sms"))),
            "channel",
            "must be \"email\"",
        ),
        (
            |spec| drop(spec.insert("segment".into(), json!("VIP!"))),
            "segment",
            "must start with a letter",
        ),
        (|spec| drop(spec.remove("topic")), "topic", "transactional: true"),
        (
            |spec| drop(spec.insert("transactional".into(), json!(true))),
            "topic",
            "needs no consent",
        ),
        (
            |spec| drop(spec.insert("from".into(), json!("nobody"))),
            "from",
            "must be an address",
        ),
        (
            |spec| drop(spec.insert("reply_to".into(), json!("a@b.c\r\nBcc: x@y.z"))),
            "reply_to",
            "one line",
        ),
        (
            |spec| drop(spec.insert("html".into(), json!(5))),
            "html",
            "must be a text",
        ),
        (
            |spec| drop(spec.insert("text".into(), json!("{{ profle.id }}"))),
            "text",
            "did you mean \"profile\"?",
        ),
        (
            |spec| {
                spec.remove("html");
                spec.remove("text");
            },
            "",
            "html or text",
        ),
    ];
    for (change, path, expected) in cases {
        let problems = with(change).unwrap_err();
        let told = problems
            .iter()
            .any(|problem| problem.path == path && problem.message.contains(expected));
        assert!(told, "{path}: {problems:?}");
    }
    assert!(MessageDefinition::parse("welcome", &json!([])).is_err());
}
