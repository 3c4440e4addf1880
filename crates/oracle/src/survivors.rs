//! Which value of a trait survives, as SQL from the words of `docs/profiles.md`.

use crate::ask::{quoted, typed};
use crate::documents::{list, text};
use serde_json::Value as Json;

/// The statements that fill `into` with what survives of `from`, in the epochs of these definitions.
pub(crate) fn statements(rules: &Json, into: &str, from: &str, in_force: usize) -> Vec<String> {
    let own = rules["traits"].as_object();
    let names: Vec<String> = own.into_iter().flatten().map(|(name, _)| quoted(name)).collect();
    let others = format!("name NOT IN ({})", names.join(", "));
    let default = (others, rules.get("default"));
    let own = own.into_iter().flatten();
    let by_name = own.map(|(name, rule)| (format!("name = {}", quoted(name)), Some(rule)));
    std::iter::once(default)
        .chain(by_name)
        .map(|(named, rule)| {
            let all = format!(
                "SELECT * FROM {from} WHERE {named} AND epoch IN (SELECT no FROM epoch WHERE in_force = {in_force})"
            );
            let (rows, order) = survivor(rule, &all);
            format!(
                "INSERT INTO {into} SELECT epoch, of, name, doc FROM (
                    SELECT *, row_number() OVER (PARTITION BY epoch, of, name ORDER BY {order}) AS n FROM ({rows})) WHERE n = 1"
            )
        })
        .collect()
}

/// The rows that take part, and the order in which the first one survives.
fn survivor(rule: Option<&Json>, all: &str) -> (String, String) {
    let valued = format!("SELECT *, {} AS v FROM ({all})", typed("doc", "'$'"));
    let numbers = format!("SELECT * FROM ({valued}) WHERE substr(v, 1, 1) = 'n'");
    let Some(rule) = rule else {
        return (all.to_owned(), "place DESC".to_owned());
    };
    if let Some(sources) = rule.get("source_priority") {
        let ranks = list(sources).iter().enumerate();
        let ranks: Vec<String> = ranks
            .map(|(rank, source)| format!("WHEN {} THEN {rank}", quoted(text(source))))
            .collect();
        let order = format!("CASE source {} ELSE {} END, place DESC", ranks.join(" "), ranks.len());
        return (all.to_owned(), order);
    }
    let (rows, order) = match text(rule) {
        "most_recent" => (all.to_owned(), "place DESC"),
        "oldest" => (all.to_owned(), "place"),
        "most_frequent" => (
            format!("SELECT *, count(*) OVER (PARTITION BY epoch, of, name, v) AS often FROM ({valued})"),
            "often DESC, place DESC",
        ),
        "min" => (numbers, "v, place DESC"),
        "max" => (numbers, "v DESC, place DESC"),
        "most_restrictive" => (
            format!(
                "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY epoch, of, name, source ORDER BY place DESC) AS latest
                    FROM ({valued})) WHERE latest = 1"
            ),
            "v = 'b0' DESC, place DESC",
        ),
        other => panic!("no rule: {other}"),
    };
    (rows, order.to_owned())
}
