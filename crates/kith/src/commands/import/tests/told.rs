//! Contract CON-2: consent that a file holds, copies within files, times that cannot be meant, and mappings that do not fit.

use super::super::batch::{self, Batch};
use super::super::files;
use super::super::mapping::Mapping;
use super::{NOW, events, mapping, read, write};
use kith_types::Limits;
use std::path::Path;
use tokio::sync::mpsc;

/// The batches of a path.
fn batches(path: &Path, mapping: &Mapping) -> Vec<Batch> {
    let (batches, mut received) = mpsc::channel(1_000);
    let files = files::find(path, None).unwrap();
    batch::read(&files, mapping, (Limits::USUAL, NOW), &batches).unwrap();
    drop(batches);
    std::iter::from_fn(|| received.try_recv().ok()).collect()
}

/// Why nothing was read.
fn refused(path: &Path, mapping: &Mapping) -> String {
    let (batches, _received) = mpsc::channel(1_000);
    let files = files::find(path, None).unwrap();
    let error = batch::read(&files, mapping, (Limits::USUAL, NOW), &batches).unwrap_err();
    kith_telemetry::error_chain(&error)
}

#[test]
fn con_2_consents_of_a_file_are_said_as_events_say_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = "type: identify\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}, email: {column: mail}}\n\
        consents:\n  marketing: {column: mk}\n  profiling: {column: pr, granted: [opt-in], denied: [opt-out, \"\"]}\n  service: granted\n\
        \x20 surveys: {column: su, granted: [\"0\"]}\n";
    let csv = "t,u,mail,mk,pr,su\n2026-01-01,1,,yes,Opt-In,0\n2026-01-01,2,a@x.org, FALSE ,opt-out,no\n2026-01-01,3,,,,\n\
        2026-01-01,4,,maybe,,\n2026-01-01,5,,1,yes,\n2026-01-01,6,,Granted,,1\n";
    let (bodies, faults) = read(&write(&folder, "a.csv", csv), &mapping(text));
    let said: Vec<String> = events(&bodies)
        .iter()
        .map(|event| event["context"]["consent"]["categoryPreferences"].to_string())
        .collect();
    assert_eq!(
        said,
        [
            r#"{"marketing":true,"profiling":true,"service":true,"surveys":true}"#,
            r#"{"marketing":false,"profiling":false,"service":true,"surveys":false}"#,
            r#"{"profiling":false,"service":true}"#,
        ]
    );
    let starts = [
        "FILE, line 5, column mk: \"maybe\" says neither yes nor no to marketing; known are granted: true, t, yes, y, 1, granted; denied: ",
        "FILE, line 6, column pr: \"yes\" says neither yes nor no to profiling; known are granted: opt-in; denied: opt-out",
        "FILE, line 7, column su: \"1\" says neither",
    ];
    assert_eq!(faults.len(), starts.len(), "{faults:?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault}");
    }
    let jsonl = "{\"t\":\"2026-01-01\",\"u\":1,\"mk\":true,\"pr\":\"opt-in\"}\n{\"t\":\"2026-01-01\",\"u\":2,\"mk\":0,\"pr\":null}\n";
    let (bodies, _) = read(&write(&folder, "a.jsonl", jsonl), &mapping(text));
    let marketing = |at: usize| events(&bodies)[at]["context"]["consent"]["categoryPreferences"]["marketing"].as_bool();
    assert_eq!((marketing(0), marketing(1)), (Some(true), Some(false)));
}

#[test]
fn con_2_a_track_call_says_consent_beside_traits_and_other_identifiers() {
    let folder = tempfile::tempdir().unwrap();
    let text = "event: A\ntimestamp: {column: t}\nidentifiers: {card: {column: u}}\ntraits: {city: {column: c}}\n\
        consents: {marketing: {column: mk}}\n";
    let (bodies, faults) = read(
        &write(&folder, "a.csv", "t,u,c,mk\n2026-01-01,1,Bonn,y\n"),
        &mapping(text),
    );
    assert!(faults.is_empty(), "{faults:?}");
    let context = &events(&bodies)[0]["context"];
    assert_eq!(context["traits"]["city"], "Bonn");
    assert_eq!(context["externalIds"][0]["type"], "card");
    assert_eq!(context["consent"]["categoryPreferences"]["marketing"], true);
}

#[test]
fn con_2_consents_of_a_mapping_are_checked_before_anything_is_read() {
    let cases = [
        (
            "consent: {marketing: {column: mk}}",
            "\"consent\" is no part of a mapping: did you mean consents?",
        ),
        (
            "consents: {marketing: {colum: mk}}",
            "consents.marketing: \"colum\" is not known here: did you mean column?",
        ),
        (
            "consents: {marketing: yes}",
            "consents.marketing: is {column: name}, or granted or denied",
        ),
        (
            "consents: {marketing: {column: mk, granted: [Y], denied: [y]}}",
            "consents.marketing: \"y\" cannot be both",
        ),
        (
            "consents: {marketing: {column: mk, granted: []}}",
            "consents.marketing.granted: has 1 to 100 words",
        ),
        (
            "consents: {marketing: {column: mk, denied: [[n]]}}",
            "consents.marketing.denied: is a list of words",
        ),
        (
            "consents: {\"\": {column: mk}}",
            "consents: the name of a category has 1 to 128 bytes",
        ),
        ("properties: {a: {column: b, form: text}}", "\"form\" is not known here"),
        (
            "proprties: {}",
            "\"proprties\" is no part of a mapping: did you mean properties?",
        ),
    ];
    for (part, expected) in cases {
        let text = format!("event: A\ntimestamp: {{column: t}}\nidentifiers: {{user_id: x}}\n{part}\n");
        let problems = Mapping::parse(&text).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{part} gave {problems:?}"
        );
    }
    let missing = mapping("event: A\ntimestamp: {column: t}\nidentifiers: {user_id: x}\nconsents: {m: {column: mk}}\n");
    let folder = tempfile::tempdir().unwrap();
    let told = refused(&write(&folder, "a.csv", "t,u\n2026-01-01,1\n"), &missing);
    assert!(told.contains("does not have: mk"), "{told}");
}

#[test]
fn con_2_a_message_id_that_comes_twice_is_told_with_both_places() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "a.csv",
        "t,u,no\n2026-01-01,1,o1\n2026-01-01,2,o2\n2026-01-01,3,o1\n",
    );
    write(
        &folder,
        "b.jsonl",
        "{\"t\":\"2026-01-01\",\"u\":1,\"no\":\"o2\"}\n{\"t\":\"2026-01-01\",\"u\":1,\"no\":\"o3\"}\n",
    );
    let text = "event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n";
    let named = mapping(&format!("{text}message_id: {{column: no}}\n"));
    let batches_of_ids = batches(folder.path(), &named);
    let told: Vec<(&str, String)> = batches_of_ids
        .iter()
        .flat_map(|batch| &batch.copies)
        .map(|copy| (copy.message_id.as_str(), format!("{} after {}", copy.place, copy.first)))
        .collect();
    let at = |file: &str, line: u64| format!("{}, line {line}", folder.path().join(file).display());
    let expected = [
        ("o1", format!("{} after {}", at("a.csv", 4), at("a.csv", 2))),
        ("o2", format!("{} after {}", at("b.jsonl", 1), at("a.csv", 3))),
    ];
    assert_eq!(told, expected);
    assert!(batches_of_ids.iter().all(|batch| batch.compared));
    let unnamed = batches(folder.path(), &mapping(text));
    assert!(unnamed.iter().all(|batch| batch.copies.is_empty()));
}

#[test]
fn con_2_the_span_of_times_and_what_lies_ahead_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        &folder,
        "a.csv",
        "t,u\n2026-01-01,1\n2031-05-06,2\n1997-01-01,3\nsoon,4\n",
    );
    let found = batches(
        &path,
        &mapping("event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n"),
    );
    let (first, last) = found[0].times.span.unwrap();
    assert_eq!(
        (first.to_string(), last.to_string(), found[0].times.ahead),
        (
            "1997-01-01T00:00:00.000Z".to_owned(),
            "2031-05-06T00:00:00.000Z".to_owned(),
            1
        )
    );
}

#[test]
fn con_2_a_wrong_separator_is_told_with_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let text = "event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n";
    let cases = [
        (
            "t;u\n",
            text.to_owned(),
            "is the separator `;`? Then the mapping says `separator: \";\"`",
        ),
        (
            "t\tu\n",
            text.to_owned(),
            "is the separator a tab? Then the mapping says `separator: tab`",
        ),
        ("t|u\n", text.to_owned(), "`separator: \"|\"`"),
        ("t u\n", text.to_owned(), "`separator: whitespace`"),
        (
            "t,u\n",
            format!("{text}separator: \";\"\n"),
            "is the separator a comma?",
        ),
    ];
    for (csv, text, expected) in cases {
        let told = refused(&write(&folder, "a.csv", csv), &mapping(&text));
        assert!(told.contains(expected), "{csv} gave {told}");
    }
}

#[test]
fn con_2_a_time_that_clocks_skipped_is_a_row_that_cannot_be_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let text = "event: A\ntimestamp: {column: t, zone: Europe/Berlin}\nidentifiers: {user_id: {column: u}}\n";
    let csv = "t,u\n2026-03-29 02:30:00,1\n2026-03-29 03:30:00,2\n2026-10-25 02:30:00,3\n";
    let (bodies, faults) = read(&write(&folder, "a.csv", csv), &mapping(text));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("FILE, line 2, column t: 2026-03-29 02:30:00 never came in this zone"),
        "{faults:?}"
    );
    let times: Vec<String> = events(&bodies)
        .iter()
        .map(|event| event["timestamp"].to_string())
        .collect();
    assert_eq!(times, ["\"2026-03-29T01:30:00.000Z\"", "\"2026-10-25T00:30:00.000Z\""]);
}
