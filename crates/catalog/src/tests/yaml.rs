//! Documents as YAML, in streams and folders.

use crate::{Document, document_places, parse_yaml, read_documents, to_yaml};
use serde_json::json;

#[test]
fn yaml_streams_are_read_and_written() {
    let text = "# two of them\nkind: segment\nname: vip\nspec:\n  all:\n    - {trait: total, at_least: 19.90}\n---\n---\nkind: source\nname: web\nspec: {enabled: false}\n";
    let documents = parse_yaml("all.yaml", text).unwrap();
    assert_eq!(documents.len(), 2);
    assert_eq!(
        documents[0].spec,
        json!({ "all": [{ "trait": "total", "at_least": 19.9 }] })
    );
    assert_eq!(parse_yaml("again", &to_yaml(&documents)).unwrap(), documents);
}

#[test]
fn yaml_problems_name_file_document_and_path() {
    let first = "kind: source\nname: ok\nspec: {}\n---\n";
    for (text, place, message) in [
        ("kind: segmnt\nname: a\nspec: {}", "f.yaml, document 2: kind:", "segmnt"),
        (
            "kind: segment\nname: Big Spenders\nspec: {}",
            "f.yaml, document 2: name:",
            "a-z",
        ),
        (
            "kind: segment\nname: a\nspec: {x: [1, .nan]}",
            "f.yaml, document 2: spec.x[1]:",
            "finite",
        ),
        (
            "kind: segment\nname: a\nspec: {1: 2}",
            "f.yaml, document 2: spec:",
            "in quotes",
        ),
        (
            "kind: segment\nname: a\nspec: {x: !tag 2}",
            "f.yaml, document 2: spec.x:",
            "tag",
        ),
        ("kind: segment\nname: a\nspec: {x: 1, x: 2}", "f.yaml, document 2:", "x"),
        (
            "kind: segment\nname: a\nspec: {}\nmore: 1",
            "f.yaml, document 2: more:",
            "only",
        ),
        ("kind: segment\nname: a\nspec: [", "f.yaml, document 2:", "line"),
        ("kind: segment\nname: a", "f.yaml, document 2: spec:", "object"),
        (
            "kind: source\nname: a\nspec: {enabld: true}",
            "f.yaml, document 2: spec.enabld:",
            "enabled",
        ),
        ("just text", "f.yaml, document 2:", "object"),
    ] {
        let problems = parse_yaml("f.yaml", &format!("{first}{text}")).unwrap_err();
        let shown = problems[0].to_string();
        assert!(
            shown.starts_with(place) && shown.contains(message),
            "{text:?} gives {shown}"
        );
    }
}

#[test]
fn hostile_yaml_is_refused() {
    let deep = format!(
        "kind: segment\nname: a\nspec: {{x: {}1{}}}",
        "[".repeat(100),
        "]".repeat(100)
    );
    let wide = format!("kind: segment\nname: a\nspec: {{x: \"{}\"}}", "y".repeat(300_000));
    let mut bomb = "kind: segment\nname: a\nspec:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let last = level - 1;
        bomb.push_str(&format!("  a{level}: &a{level} [*a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}]\n"));
    }
    for text in [
        deep,
        wide,
        bomb,
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "x".repeat(5_000_000),
    ] {
        assert!(parse_yaml("f.yaml", &text).is_err());
    }
}

#[test]
fn a_folder_is_read_in_order_and_says_where_a_document_stands_twice() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("segments")).unwrap();
    write("segments/vip.yaml", "kind: segment\nname: vip\nspec: {}");
    write("a.yml", "kind: source\nname: web\nspec: {}");
    write("readme.md", "not a definition");
    let names = |documents: Vec<Document>| {
        documents
            .iter()
            .map(|document| document.id().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(read_documents(folder.path()).unwrap()),
        ["source/web", "segment/vip"]
    );
    assert_eq!(
        names(read_documents(&folder.path().join("a.yml")).unwrap()),
        ["source/web"]
    );
    write("b.json", r#"{"kind": "source", "name": "web", "spec": {}}"#);
    let problems = read_documents(folder.path()).unwrap_err();
    assert!(
        problems[0].message.contains("a.yml") && problems[0].message.contains("b.json"),
        "{problems:?}"
    );
    assert!(read_documents(&folder.path().join("none.yaml")).is_err());
}

#[test]
fn the_place_of_a_document_is_its_file_and_first_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let text =
        "# shops\n\nkind: source\nname: web\nspec: {}\n---\n# more\nname: app\nkind: source\nspec: {}\n--- {kind: x}\n";
    std::fs::write(&file, text).unwrap();
    let places = document_places(folder.path());
    let shown = file.display();
    assert_eq!(places.len(), 2);
    assert_eq!(places["source/web"], format!("{shown}:3"));
    assert_eq!(places["source/app"], format!("{shown}:8"));
    assert_eq!(document_places(&file), places);
}
