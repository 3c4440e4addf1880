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
    for path in tracked(root, &[".rs", ".ts", ".mjs", ".py"]) {
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else {
            continue;
        };
        let place = path.display().to_string();
        if place.contains("benches/") || place.contains("bench/") {
            benches.extend(ids_in(&text));
        } else {
            tests.extend(ids_in(&text));
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

/// Every `abc_1` that starts a name of a test: `fn abc_1…`, or a quoted title.
fn ids_in(text: &str) -> impl Iterator<Item = String> + '_ {
    ["fn ", "def test_", "'", "\"", "`"]
        .into_iter()
        .flat_map(move |opening| {
            text.match_indices(opening).filter_map(move |(at, _)| {
                let name = text[at + opening.len()..].trim_start_matches("test_");
                let (area, rest) = name.split_at_checked(3)?;
                let digits: String = rest
                    .strip_prefix('_')?
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                let ends = rest[1 + digits.len()..]
                    .chars()
                    .next()
                    .is_none_or(|next| !next.is_alphanumeric());
                (area.bytes().all(|byte| byte.is_ascii_lowercase()) && !digits.is_empty() && ends)
                    .then(|| format!("{area}_{digits}"))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_clause_without_a_test_is_found() {
        let list = "| COL-1 | kept | a |\n| COL-2 | kept | b |\n| COL-3 | planned | c |\n| SEG-3 figure | kept | d |\n| X | y |\n";
        let tests: BTreeSet<String> = ids_in("fn col_1_routes() {} // col_2").collect();
        let found = judge(list, &tests, &BTreeSet::new());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("COL-2") && found[1].starts_with("SEG-3"));
    }
}
