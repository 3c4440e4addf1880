//! Kinds of which a space has one document: rules of identity, rules for traits, rules of sending.
//!
//! A second one is refused at the door. A space may have several documents of rules of identity, or for traits, from before
//! that was so: they stay as they are, the first by name counts, and any of them can be removed. It looks at documents only.

use kith_catalog::{Document, DocumentKind, Problem};

/// The kinds of which one document counts.
const KINDS: [DocumentKind; 3] = [
    DocumentKind::IdentityRules,
    DocumentKind::TraitRules,
    DocumentKind::SendingRules,
];

/// The documents that would be new or changed beside another one of such a kind.
pub(super) fn seconds(before: &[Document], after: &[Document]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for kind in KINDS {
        let of_kind = of_kind(kind, after);
        let stands = |document: &&&Document| before.contains(document);
        let Some(first) = of_kind.iter().find(stands).or(of_kind.first()) else {
            continue;
        };
        for document in of_kind.iter().filter(|document| !stands(document)) {
            let other = of_kind
                .iter()
                .find(|other| stands(other) && other.name != document.name);
            let message = match other {
                Some(other) => format!(
                    "a space has one document of kind {kind}, and there is {} already: to change that one give this one its \
                     name, {}; to replace it remove it with the same proposal (`removals` over the API, `--prune` with files \
                     that hold everything)",
                    other.id(),
                    other.name
                ),
                None if document.name != first.name => format!(
                    "a space has one document of kind {kind}, and {} is proposed, too: keep one of them",
                    first.id()
                ),
                None => continue,
            };
            problems.push(Problem {
                document: document.id().to_string(),
                path: String::new(),
                message,
            });
        }
    }
    problems
}

/// The documents that count for nothing beside the first of their kind, each with a word about it.
pub(super) fn uncounted(after: &[Document]) -> Vec<Problem> {
    let mut uncounted = Vec::new();
    // Of the rules of sending a space never had two.
    for kind in [DocumentKind::IdentityRules, DocumentKind::TraitRules] {
        let of_kind = of_kind(kind, after);
        let Some((first, others)) = of_kind.split_first() else {
            continue;
        };
        uncounted.extend(others.iter().map(|document| Problem {
            document: document.id().to_string(),
            path: String::new(),
            message: format!(
                "it does not count: of several documents of kind {kind} the first by name does, {}; remove one of them",
                first.id()
            ),
        }));
    }
    uncounted
}

/// By name.
fn of_kind(kind: DocumentKind, documents: &[Document]) -> Vec<&Document> {
    let mut of_kind: Vec<&Document> = documents.iter().filter(|document| document.kind == kind).collect();
    of_kind.sort_by(|one, other| one.name.cmp(&other.name));
    of_kind
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document(kind: DocumentKind, name: &str, spec: Value) -> Document {
        let name = name.to_owned();
        Document { kind, name, spec }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a test hands on what it was given")]
    fn told(problems: Vec<Problem>) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn idn_2_a_second_document_of_rules_is_refused_and_names_the_one_that_exists() {
        for kind in KINDS {
            let spec = |limit: u32| json!({ "types": { "email": { "limit": limit } } });
            let (one, other) = (document(kind, "b", spec(1)), document(kind, "a", spec(2)));
            let there = |id: &str, name: &str| {
                format!(
                    "a space has one document of kind {kind}, and there is {kind}/{id} already: to change that one give this \
                     one its name, {name}; to replace it remove it with the same proposal (`removals` over the API, `--prune` \
                     with files that hold everything)"
                )
            };
            let both = [other.clone(), one.clone()];
            // Whichever comes first by name, the one that is there is named.
            let refused = told(seconds(&both[1..], &both));
            assert_eq!(refused, [format!("{kind}/a: {}", there("b", "b"))]);
            let refused = told(seconds(&both[..1], &both));
            assert_eq!(refused, [format!("{kind}/b: {}", there("a", "a"))]);
            let proposed = format!(
                "{kind}/b: a space has one document of kind {kind}, and {kind}/a is proposed, too: keep one of them"
            );
            assert_eq!(told(seconds(&[], &both)), [proposed]);
            // To replace one, to change it and to remove it are as they were.
            assert_eq!(seconds(&both[..1], &both[1..]), []);
            assert_eq!(seconds(&both[..1], &[document(kind, "a", spec(3))]), []);
            assert_eq!(seconds(&both[..1], &[]), []);
        }
    }

    #[test]
    fn idn_2_several_documents_of_rules_from_before_stay_and_each_can_be_removed() {
        let kind = DocumentKind::IdentityRules;
        let rules = |name: &str| document(kind, name, json!({}));
        let before = [rules("a"), rules("b"), rules("c")];
        let beside = document(
            DocumentKind::Segment,
            "s",
            json!({ "where": { "trait": "t", "exists": true } }),
        );
        let after: Vec<Document> = before.iter().cloned().chain([beside]).collect();
        assert_eq!(seconds(&before, &after), [], "what has nothing to do with them goes on");
        for removed in 0..before.len() {
            let mut left = before.to_vec();
            left.remove(removed);
            assert_eq!(seconds(&before, &left), []);
        }
        let changed = [rules("a"), document(kind, "b", json!({ "types": {} })), rules("c")];
        let refused = told(seconds(&before, &changed));
        assert_eq!(refused.len(), 1);
        assert!(
            refused[0].starts_with("identity_rules/b: ") && refused[0].contains("there is identity_rules/a already")
        );
        let word = "it does not count: of several documents of kind identity_rules the first by name does, identity_rules/a; \
                    remove one of them";
        let words = ["b", "c"].map(|name| format!("identity_rules/{name}: {word}"));
        assert_eq!(told(uncounted(&after)), words);
        assert_eq!(uncounted(&after[..1]), []);
    }
}
