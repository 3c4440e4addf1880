//! Every promise in `docs/contracts.md` against its proof: a clause marked kept has a test by its id, a kept figure a
//! bench.

use crate::{Findings, tracked};
use std::collections::BTreeSet;
use std::path::Path;

const STATES: [&str; 3] = ["kept", "partly", "planned"];

/// Checks the list of promises.
pub(crate) fn check(root: &Path) -> Findings {
    let Ok(list) = std::fs::read_to_string(root.join("docs/contracts.md")) else {
        return vec!["docs/contracts.md is missing".to_owned()];
    };
    let (mut tests, mut benches) = (BTreeSet::new(), BTreeSet::new());
    for path in tracked(root, &[".rs", ".ts", ".mjs"]) {
        // What tests this check proves no promise.
        if path.starts_with("xtask") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else {
            continue;
        };
        let place = path.display().to_string();
        let is_rust = place.ends_with(".rs");
        if is_rust && (place.contains("benches/") || place.contains("bench/")) {
            benches.extend(functions_in(&text).filter_map(id_of));
        } else if is_rust {
            tests.extend(rust_tests_in(&text).filter_map(id_of));
        } else {
            tests.extend(script_tests_in(&text).filter_map(id_of));
        }
    }
    judge(&list, &tests, &benches)
}

/// Rows look like `| COL-1 | kept | … |`; figures like `| SEG-3 figure | kept | … |`.
fn judge(list: &str, tests: &BTreeSet<String>, benches: &BTreeSet<String>) -> Findings {
    let mut findings = Findings::new();
    let mut seen = BTreeSet::new();
    for line in list.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, clause, state, ..] = cells[..] else { continue };
        let Some(id) = clause.split(' ').next().and_then(clause_id) else {
            continue;
        };
        if !STATES.contains(&state) {
            findings.push(format!("{clause}: {state:?} is none of {}", STATES.join(", ")));
        }
        if !seen.insert(clause.to_owned()) {
            findings.push(format!("{clause} is listed twice"));
        }
        let (proofs, kind) = if clause.ends_with("figure") {
            (benches, "bench")
        } else {
            (tests, "test")
        };
        if state == "kept" && !proofs.contains(&id) {
            findings.push(format!("{clause} is marked kept and no {kind} carries its id ({id})"));
        }
    }
    if seen.is_empty() {
        findings.push("docs/contracts.md lists no clause".to_owned());
    }
    findings
}

/// `COL-1` as test names spell it: `col_1`.
fn clause_id(text: &str) -> Option<String> {
    let (area, number) = text.split_once('-')?;
    let right = area.len() == 3 && area.bytes().all(|byte| byte.is_ascii_uppercase());
    (right && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| format!("{}_{number}", area.to_lowercase()))
}

/// The `abc_1` that a name starts with.
fn id_of(name: &str) -> Option<String> {
    let (area, rest) = name.split_at_checked(3)?;
    let rest = rest.strip_prefix('_')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let ends = rest[digits..].chars().next().is_none_or(|next| !next.is_alphanumeric());
    (area.bytes().all(|byte| byte.is_ascii_lowercase()) && digits > 0 && ends)
        .then(|| format!("{area}_{}", &rest[..digits]))
}

/// The names of all functions.
fn functions_in(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(function)
}

/// What follows `fn` on a line that begins a function.
fn function(line: &str) -> Option<&str> {
    let (before, name) = line.trim_start().split_once("fn ")?;
    let begins = before
        .chars()
        .all(|one| one.is_ascii_alphabetic() || " ()".contains(one));
    begins.then_some(name)
}

/// The names of functions after `#[test]` or `#[tokio::test…]`, those of a `proptest!` block among them. What is ignored
/// proves nothing.
fn rust_tests_in(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_test, mut is_ignored) = (false, false);
    text.lines().filter_map(move |line| {
        let attribute = line.trim_start();
        is_test |= ["#[test]", "#[tokio::test"]
            .iter()
            .any(|begin| attribute.starts_with(begin));
        is_ignored |= attribute.starts_with("#[ignore");
        let name = function(line)?;
        let counts = std::mem::take(&mut is_test) & !std::mem::take(&mut is_ignored);
        counts.then_some(name)
    })
}

/// The titles that `test(`, `it(` and `describe(` are given as text.
fn script_tests_in(text: &str) -> impl Iterator<Item = &str> {
    ["test(", "it(", "describe("].into_iter().flat_map(move |call| {
        text.match_indices(call).filter_map(move |(at, _)| {
            let line = text[..at].rsplit('\n').next()?;
            let apart = !line.ends_with(|last: char| last.is_alphanumeric() || "_$.".contains(last));
            let title = text[at + call.len()..].trim_start().strip_prefix(['\'', '"', '`'])?;
            (apart && !line.trim_start().starts_with("//")).then_some(title)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_clause_without_a_test_is_found() {
        let list = "| COL-1 | kept | a |\n| COL-2 | kept | b |\n| COL-3 | planned | c |\n| SEG-3 figure | kept | d |\n| X | y |\n";
        let tests: BTreeSet<String> = ["col_1_routes"].into_iter().filter_map(id_of).collect();
        let found = judge(list, &tests, &BTreeSet::new());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("COL-2") && found[1].starts_with("SEG-3"));
    }

    #[test]
    fn only_what_runs_as_a_test_is_a_proof() {
        let rust = r#"
            fn col_1_helper() { call("col_2_text"); }
            #[test]
            /// Its words.
            fn col_3_plain() {}
            #[tokio::test(flavor = "multi_thread")]
            async fn col_4_slow() {}
            #[test]
            #[ignore = "for hours"]
            fn col_5_ignored() {}
            proptest! {
                #[test]
                fn col_6_drawn(seed: u64) {}
            }
            // #[test]
            fn col_7_spoken_of() {}
            #[test]
            fn col_80s_music() {}
        "#;
        let ids: Vec<String> = rust_tests_in(rust).filter_map(id_of).collect();
        assert_eq!(ids, ["col_3", "col_4", "col_6"]);

        let script = "
            test('col_1_a', async t => {})
            test(
              `col_2_${table}`, () => {})
            describe(\"col_3\", () => { it('col_4_b') })
            // test('col_5_no')
            pattern.test('col_6_no'); submit('col_7_no'); test.skip('col_8_no'); const name = 'col_9_no'
        ";
        let ids: BTreeSet<String> = script_tests_in(script).filter_map(id_of).collect();
        assert!(ids.iter().eq(["col_1", "col_2", "col_3", "col_4"]), "{ids:?}");
    }
}
