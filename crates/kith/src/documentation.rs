//! The documentation's examples, read by what they are meant for: definitions by the server's checks, mappings by the import,
//! commands by the command line, addresses by the routes. It runs nothing of them.

use crate::cli::Cli;
use crate::commands::import::mapping::Mapping;
use crate::server::problems_of;
use clap::Parser;
use kith_catalog::{Document, parse_yaml};
use serde_json::Value as Json;
use std::path::Path;

/// A fenced block of a page.
struct Block {
    /// The page and the line.
    place: String,
    language: String,
    text: String,
}

fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    paths.extend(docs.map(|entry| entry.unwrap().path()));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

fn blocks(language: &str) -> Vec<Block> {
    let mut found = Vec::new();
    for (page, text) in pages() {
        let mut open: Option<Block> = None;
        for (line, number) in text.lines().zip(1..) {
            match (line.strip_prefix("```"), &mut open) {
                (Some(named), None) => {
                    open = Some(Block {
                        place: format!("{page}:{number}"),
                        language: named.to_owned(),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => found.extend(open.take()),
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{page} ends within a block");
    }
    found.retain(|block| block.language == language);
    assert!(!found.is_empty(), "no page has a block of {language}");
    found
}

/// What the examples refer to and do not show.
const BESIDE: &str = "
{ kind: computed_trait, name: orders_30d, spec: { function: count, event: Order Completed, window: { last: 30d } } }
---
{ kind: segment, name: vip, spec: { where: { trait: vip, equals: true } } }
---
{ kind: segment, name: buyers, spec: { where: { performed: Order Completed } } }
---
{ kind: segment, name: just_bought, spec: { where: { performed: Order Completed } } }
";

fn documents(place: &str, text: &str) -> Vec<Document> {
    parse_yaml(place, text).unwrap_or_else(|problems| panic!("{place}: {problems:?}"))
}

/// A block without a kind is a condition, or a list of them.
fn conditions(block: &Block) -> Vec<Document> {
    let read: Json = serde_yaml_ng::from_str(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
    let items = read.as_array().cloned().unwrap_or_else(|| vec![read]);
    let documents = items.iter().zip(0..).map(|(item, at)| {
        let json = serde_json::json!({"kind": "segment", "name": format!("example_{at}"), "spec": {"where": item}});
        Document::from_json(&block.place, json).unwrap_or_else(|problem| panic!("{}: {problem:?}", block.place))
    });
    documents.collect()
}

#[test]
fn seg_1_every_definition_that_a_page_shows_is_one_that_the_server_takes() {
    let mut shown = 0;
    for block in blocks("yaml") {
        if block.place.starts_with("import.md") {
            Mapping::parse(&block.text).unwrap_or_else(|wrong| panic!("{}: {wrong:?}", block.place));
            continue;
        }
        let whole = block.text.starts_with("kind:");
        let mut example = match whole {
            true => documents(&block.place, &block.text),
            false => conditions(&block),
        };
        shown += example.len();
        let named: Vec<_> = example.iter().map(Document::id).collect();
        let beside = documents("beside", BESIDE).into_iter();
        example.extend(beside.filter(|document| !named.contains(&document.id())));
        let problems = problems_of(&example);
        assert!(problems.is_empty(), "{}: {problems:?}", block.place);
    }
    assert!(shown > 30, "the pages have lost their definitions");
}

#[test]
fn api_1_every_json_that_a_page_shows_is_json() {
    for block in blocks("json") {
        let read: Result<Json, _> = serde_json::from_str(&block.text);
        read.unwrap_or_else(|error| panic!("{}: {error}", block.place));
    }
}

/// The words of a line of a shell up to a comment, a pipe or a redirection; nothing where a quote goes on in the next line.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '&' | '>' | ';') => break,
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// The commands of the pages, each as its words, without what is set for its environment.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for block in blocks("sh") {
        for line in block.text.lines() {
            let mut command = words(line).unwrap_or_default();
            while command.first().is_some_and(|word| word.contains('=')) {
                command.remove(0);
            }
            if !command.is_empty() {
                found.push((format!("{}: {line}", block.place), command));
            }
        }
    }
    found
}

#[test]
fn api_1_every_command_that_a_page_shows_is_one_that_the_command_line_takes() {
    let mut shown = 0;
    for (place, mut command) in commands() {
        if !matches!(command[0].as_str(), "kith" | "target/debug/kith") {
            continue;
        }
        command[0] = "kith".to_owned();
        // What a page shows of its own accord stands for something.
        if let Err(error) = Cli::try_parse_from(&command) {
            panic!("{place}\n{error}");
        }
        shown += 1;
    }
    assert!(shown > 30, "the pages have lost their commands");
}

/// Whether a route has this path.
fn is_of(route: &str, path: &str) -> bool {
    let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
    let same = |(one, other): (&&str, &&str)| one == other || one.starts_with('{') && !other.is_empty();
    route.len() == path.len() && route.iter().zip(&path).all(same)
}

#[test]
fn api_1_every_address_that_a_page_asks_is_a_route() {
    let api: Json = serde_json::from_str(kith_api::openapi_json()).unwrap();
    let routes: Vec<&String> = api["paths"].as_object().unwrap().keys().collect();
    let mut asked = 0;
    for (place, command) in commands().into_iter().filter(|(_, command)| command[0] == "curl") {
        let address = command
            .iter()
            .find_map(|word| word.strip_prefix("http://127.0.0.1:8080"));
        let path = address.unwrap_or_else(|| panic!("{place} asks no server"));
        let path = path.split('?').next().unwrap_or_default();
        let door = ["/v1/batch", "/v1/track", "/v1/identify"].contains(&path);
        assert!(door || routes.iter().any(|route| is_of(route, path)), "{place}");
        asked += 1;
    }
    assert!(asked >= 5, "the pages have lost their requests");
}
