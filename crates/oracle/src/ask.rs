//! Conditions as SQL, written from the words of `docs/segments.md`: one expression a segment, true or false of a row of
//! `asked` (an instant, an epoch, a person).

use crate::documents::{Filter, InForce, counts, instant, list, span_of, test_of, text};
use crate::tables::{key_of, point};
use crate::time::span;
use crate::values::computed;
use serde_json::Value as Json;

/// Three letters, in any case, are a currency; anything else names none.
const CURRENCY: &str = "CASE WHEN json_type(e.properties, '$.currency') = 'text'
    AND (e.properties ->> '$.currency') GLOB '[A-Za-z][A-Za-z][A-Za-z]' THEN upper(e.properties ->> '$.currency') ELSE '' END";

/// Writes conditions; gathers what is to be worked out before they are asked.
pub(crate) struct Ask<'a> {
    in_force: &'a InForce,
    /// Statements to run first.
    pub(crate) before: Vec<String>,
    leaves: usize,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(in_force: &'a InForce) -> Self {
        Self {
            in_force,
            before: Vec::new(),
            leaves: 0,
        }
    }

    pub(crate) fn condition(&mut self, condition: &'a Json) -> String {
        let fields = condition
            .as_object()
            .unwrap_or_else(|| panic!("no condition: {condition}"));
        // What else stands in a condition are the words of its test.
        let kinds = ["trait", "computed_trait", "consent"];
        let kind = kinds.into_iter().find(|kind| fields.contains_key(*kind));
        let kind = kind
            .or_else(|| fields.keys().next().map(String::as_str))
            .unwrap_or_default();
        let said = &condition[kind];
        match kind {
            "all" => self.joined(said, " AND "),
            "any" => self.joined(said, " OR "),
            "not" => format!("(NOT {})", self.condition(said)),
            "performed" => {
                let rows = self.rows(said, said.get("within"));
                in_range(&format!("SELECT count(*) {rows}"), counts(said))
            }
            "not_performed" => {
                let rows = self.rows(said, said.get("within"));
                in_range(&format!("SELECT count(*) {rows}"), (0, 0))
            }
            "sequence" => {
                let rows = self.sequences(said, said.get("within"));
                in_range(&format!("SELECT count(*) {rows}"), counts(said))
            }
            "lifecycle" => self.lifecycle(said),
            "trait" => asked_of(&trait_value(text(said)), test_of(condition)),
            "computed_trait" => {
                let in_force = self.in_force;
                computed(self, &in_force.computed[text(said)], test_of(condition))
            }
            "account" => format!(
                "EXISTS (SELECT 1 FROM belongs b WHERE b.epoch = q.epoch AND b.profile = q.profile AND {})",
                of_account(said)
            ),
            "consent" => {
                let found = format!(
                    "(SELECT granted FROM allowed WHERE epoch = q.epoch AND profile = q.profile AND category = {})",
                    quoted(text(said))
                );
                let held = match condition.get("answer").map_or("granted", text) {
                    "granted" => "IS 1",
                    "denied" => "IS 0",
                    "unknown" => "IS NULL",
                    other => panic!("no answer: {other}"),
                };
                format!("({found} {held})")
            }
            "segment" => {
                let in_force = self.in_force;
                self.condition(&in_force.segments[text(said)])
            }
            "bucket" => {
                let thousandths = |key: &str, absent: f64| {
                    let percent = said.get(key).and_then(Json::as_f64).unwrap_or(absent);
                    (percent * 1_000.0).round() as i64
                };
                format!(
                    "(SELECT place >= {} AND place < {} FROM drawn WHERE salt = {} AND profile = q.profile)",
                    thousandths("from", 0.0),
                    thousandths("to", 100.0),
                    quoted(text(&said["salt"]))
                )
            }
            "listed" => {
                let listed: Vec<String> = list(said).iter().map(|one| quoted(text(one))).collect();
                format!(
                    "EXISTS (SELECT 1 FROM named WHERE epoch = q.epoch AND profile = q.profile AND identifier IN ({}))",
                    listed.join(", ")
                )
            }
            other => panic!("no condition: {other}"),
        }
    }

    fn joined(&mut self, parts: &'a Json, by: &str) -> String {
        let parts: Vec<String> = list(parts).iter().map(|part| self.condition(part)).collect();
        format!("({})", parts.join(by))
    }

    /// `FROM … WHERE …` of the person's events that pass the filter, whenever they happened.
    fn whenever(&mut self, filter: &Json) -> String {
        let leaf = self.passing(filter, None);
        format!(
            "FROM seen s JOIN passes p ON p.leaf = {leaf} AND p.event = s.event WHERE s.epoch = q.epoch AND s.profile = q.profile"
        )
    }

    /// The same, of those that the window counts.
    pub(crate) fn rows(&mut self, filter: &Json, window: Option<&Json>) -> String {
        format!("{} AND {}", self.whenever(filter), within(window, "s.time"))
    }

    /// The same, of those that have the property: its value is `p.v`, the currency beside it `p.currency`.
    pub(crate) fn valued(&mut self, filter: &Json, window: Option<&Json>, path: &str) -> String {
        let leaf = self.passing(filter, Some(path));
        format!(
            "FROM seen s JOIN passes p ON p.leaf = {leaf} AND p.event = s.event
             WHERE s.epoch = q.epoch AND s.profile = q.profile AND p.v IS NOT NULL AND {}",
            within(window, "s.time")
        )
    }

    /// Notes which events pass the filter, with the value of a property and the currency beside it; the leaf's number.
    fn passing(&mut self, filter: &Json, property: Option<&str>) -> usize {
        self.leaves += 1;
        let filter = Filter::of(filter);
        let mut tests = vec![filter.test.map_or("TRUE".to_owned(), filtered)];
        for (column, among) in [("type", &filter.types), ("name", &filter.names)] {
            if !among.is_empty() {
                let among: Vec<String> = among.iter().map(|one| quoted(one)).collect();
                tests.push(format!("e.{column} IN ({})", among.join(", ")));
            }
        }
        self.before.push(format!(
            "INSERT INTO passes SELECT {}, e.id, {}, {CURRENCY} FROM event e WHERE {}",
            self.leaves,
            property.map_or("NULL".to_owned(), |path| typed_at("e.properties", path)),
            tests.join(" AND ")
        ));
        self.leaves
    }

    /// `FROM … WHERE …` of the instants at which sequences are done, those that the window counts.
    pub(crate) fn sequences(&mut self, sequence: &Json, window: Option<&Json>) -> String {
        let nothing = sequence.get("then_not");
        let follows = nothing.unwrap_or(&sequence["then"]);
        let (first, then) = (self.passing(&sequence["first"], None), self.passing(follows, None));
        let key = |of: &str| match sequence.get("same") {
            Some(path) => typed_at(&format!("{of}.properties"), text(path)),
            None => "'any'".to_owned(),
        };
        let (key_a, key_b) = (key("a"), key("b"));
        // The next event of the other kind; of none, far beyond all times.
        let steps = format!(
            "SELECT a.epoch, a.profile, a.time AS a, (SELECT min(b.time) FROM seen b JOIN passes p ON p.leaf = {then} AND p.event = b.event
                WHERE b.epoch = a.epoch AND b.profile = a.profile AND b.time > a.time AND {key_b} = {key_a}) AS b
             FROM seen a JOIN passes p ON p.leaf = {first} AND p.event = a.event WHERE {key_a} IS NOT NULL"
        );
        let leaf = first;
        let until = sequence.get("gap_less_than").map(|gap| span(text(gap)));
        self.before.push(if nothing.is_some() {
            format!(
                "INSERT INTO done SELECT {leaf}, epoch, profile, a + {0} FROM ({steps}) WHERE b IS NULL OR b >= a + {0}",
                until.unwrap_or_else(|| panic!("no gap: {sequence}"))
            )
        } else {
            let until = until.map_or(String::new(), |until| format!(" AND b - a < {until}"));
            let from = sequence.get("gap_at_least").map_or(0, |gap| span(text(gap)));
            format!("INSERT INTO done SELECT {leaf}, epoch, profile, b FROM ({steps}) WHERE b - a >= {from}{until}")
        });
        format!(
            "FROM done d WHERE d.leaf = {leaf} AND d.epoch = q.epoch AND d.profile = q.profile AND {}",
            within(window, "d.at")
        )
    }

    fn lifecycle(&mut self, said: &Json) -> String {
        let past = format!("{} AND s.time <= q.now", self.whenever(said));
        let of = |key: &str| span_of(said, key);
        match text(&said["stage"]) {
            "first_time" => format!("COALESCE((SELECT min(s.time) {past}) > q.now - {}, FALSE)", of("last")),
            "stopped" => format!("COALESCE((SELECT max(s.time) {past}) <= q.now - {}, FALSE)", of("after")),
            "regularly" => format!(
                "((SELECT count(DISTINCT (q.now - s.time) / {0}) {past} AND (q.now - s.time) / {0} < {1}) = {1})",
                of("every"),
                said["times"]
            ),
            "came_back" => format!(
                "EXISTS (SELECT 1 FROM (SELECT time, lag(time) OVER (ORDER BY time) AS before FROM (SELECT DISTINCT s.time {past}))
                  WHERE time > q.now - {} AND time - before >= {})",
                of("last"),
                of("after")
            ),
            other => panic!("no stage: {other}"),
        }
    }
}

fn in_range(counted: &str, (low, high): (i64, i64)) -> String {
    format!("(({counted}) BETWEEN {low} AND {high})")
}

/// Whether the window counts an event at `t`.
fn within(window: Option<&Json>, t: &str) -> String {
    let Some(window) = window else {
        return format!("{t} <= q.now");
    };
    let (kind, said) = ["last", "before_last", "ago", "between", "this", "previous"]
        .into_iter()
        .find_map(|kind| Some((kind, window.get(kind)?)))
        .unwrap_or_else(|| panic!("no window: {window}"));
    match kind {
        "last" => format!("{t} > q.now - {} AND {t} <= q.now", span(text(said))),
        "before_last" => format!("{t} <= q.now - {}", span(text(said))),
        "ago" => format!(
            "{t} > q.now - {} AND {t} <= q.now - {}",
            span_of(said, "from"),
            span_of(said, "to")
        ),
        "between" => {
            // Without an end it goes on for ever.
            let end = |key: &str, absent: i64| said.get(key).map_or(absent, instant);
            let (from, to) = (end("from", i64::MIN), end("to", i64::MAX));
            format!("{t} >= {from} AND {t} < {to} AND {t} <= q.now")
        }
        _ => {
            let of = format!(
                "FROM period WHERE zone = {} AND unit = {}",
                quoted(window.get("zone").map_or("UTC", text)),
                quoted(text(said))
            );
            let this = format!("(SELECT max(starts) {of} AND starts <= q.now)");
            if kind == "this" {
                return format!("{t} >= {this} AND {t} <= q.now");
            }
            let count = window.get("count").and_then(Json::as_i64).unwrap_or(1);
            let first = format!("(SELECT starts {of} AND no = (SELECT max(no) {of} AND starts <= q.now) - {count})");
            format!("{t} >= {first} AND {t} < {this}")
        }
    }
}

/// What `all`, `any` and `not` make of tests; an expression for each of those.
fn combined(said: &Json, test: &dyn Fn(&Json) -> String) -> String {
    for (key, by) in [("all", " AND "), ("any", " OR ")] {
        if let Some(parts) = said.get(key) {
            let parts: Vec<String> = list(parts).iter().map(|part| combined(part, test)).collect();
            return format!("({})", parts.join(by));
        }
    }
    match said.get("not") {
        Some(part) => format!("(NOT {})", combined(part, test)),
        None => test(said),
    }
}

/// A condition on a row `e` of `event`.
fn filtered(condition: &Json) -> String {
    combined(condition, &|said| {
        let roots = [
            ("property", "e.properties"),
            ("context", "e.context"),
            ("trait", "e.traits"),
        ];
        let (of, path) = roots
            .into_iter()
            .find_map(|(key, of)| Some((of, said.get(key)?)))
            .unwrap_or_else(|| panic!("no test of an event: {said}"));
        asked_of(&typed_at(of, text(path)), test_of(said))
    })
}

/// The value at a JSON path of a document as one text that says its type first: `n` and a number's key, `t` and a text,
/// `b` and a truth value, `l` and a list, `o` and an object; null where it is null or missing.
pub(crate) fn typed(doc: &str, path: &str) -> String {
    format!(
        "(CASE json_type({doc}, {path}) WHEN 'text' THEN 't' || ({doc} ->> {path}) WHEN 'true' THEN 'b1' WHEN 'false' THEN 'b0'
          WHEN 'array' THEN 'l' || ({doc} -> {path}) WHEN 'object' THEN 'o' || ({doc} -> {path})
          WHEN 'null' THEN NULL ELSE (SELECT key FROM number WHERE text = ({doc} -> {path})) END)"
    )
}

fn steps_of(path: &str) -> String {
    let steps: Vec<String> = path.split('.').map(|step| format!("\"{step}\"")).collect();
    quoted(&format!("$.{}", steps.join(".")))
}

/// The value at a path: a key that holds the whole path comes before nesting.
fn typed_at(doc: &str, path: &str) -> String {
    let whole = quoted(&format!("$.\"{}\"", path));
    let nested = steps_of(path);
    if whole == nested {
        return typed(doc, &whole);
    }
    format!(
        "(CASE WHEN json_type({doc}, {whole}) IS NOT NULL THEN {} ELSE {} END)",
        typed(doc, &whole),
        typed(doc, &nested)
    )
}

/// A condition on an account of a row `b` of `belongs`.
fn of_account(condition: &Json) -> String {
    combined(condition, &|said| {
        let value = survivor("told WHERE epoch = b.epoch AND of = b.account", text(&said["trait"]));
        asked_of(&value, test_of(said))
    })
}

/// What survives of a person's trait.
fn trait_value(name: &str) -> String {
    survivor("known WHERE epoch = q.epoch AND of = q.profile", name)
}

/// What survives of a trait among rows of a name and a document, or of what a dot enters in one.
fn survivor(rows: &str, name: &str) -> String {
    let survivor = |name: &str, path: &str| {
        format!(
            "(SELECT {} FROM {rows} AND name = {})",
            typed("doc", path),
            quoted(name)
        )
    };
    let whole = survivor(name, "'$'");
    match name.split_once('.') {
        None => whole,
        Some((first, rest)) => format!("COALESCE({whole}, {})", survivor(first, &steps_of(rest))),
    }
}

/// Whether the value that an expression gives passes the test.
pub(crate) fn asked_of(value: &str, test: (&str, &Json)) -> String {
    format!("(SELECT {} FROM (SELECT {value} AS v))", passes(test))
}

fn passes((test, operand): (&str, &Json)) -> String {
    let number = |sign: &str| {
        format!(
            "COALESCE(substr(v, 1, 1) = 'n' AND v {sign} {}, FALSE)",
            scalar(operand)
        )
    };
    let among = || list(operand).iter().map(scalar).collect::<Vec<_>>().join(", ");
    let moment = "(CASE WHEN v GLOB 't[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' THEN
        unixepoch(substr(v, 2)) * 1000000 + CAST(substr(strftime('%f', substr(v, 2)), 4) AS INTEGER) * 1000 END)";
    match test {
        "equals" | "is" => format!("COALESCE(v = {}, FALSE)", scalar(operand)),
        "not_equals" => format!("(v IS NOT {})", scalar(operand)),
        "greater_than" => number(">"),
        "greater_or_equal" => number(">="),
        "less_than" => number("<"),
        "less_or_equal" => number("<="),
        "contains" => contains(operand),
        "starts_with" => {
            let start = text(operand);
            format!(
                "COALESCE(substr(v, 1, {}) = {}, FALSE)",
                start.chars().count() + 1,
                quoted(&format!("t{start}"))
            )
        }
        "ends_with" => format!(
            "COALESCE(substr(v, 1, 1) = 't' AND length(v) > {0} AND substr(v, -{0}) = {1}, FALSE)",
            text(operand).chars().count(),
            quoted(text(operand))
        ),
        "any_of" => format!("COALESCE(v IN ({}), FALSE)", among()),
        "none_of" => format!("(NOT COALESCE(v IN ({}), FALSE))", among()),
        "exists" if operand == &Json::Bool(true) => "(v IS NOT NULL)".to_owned(),
        "exists" => "(v IS NULL)".to_owned(),
        "before" => format!("COALESCE({moment} < {}, FALSE)", instant(operand)),
        "after" => format!("COALESCE({moment} > {}, FALSE)", instant(operand)),
        "within_last" => format!(
            "COALESCE({moment} > q.now - {} AND {moment} <= q.now, FALSE)",
            span(text(operand))
        ),
        "before_last" => format!("COALESCE({moment} <= q.now - {}, FALSE)", span(text(operand))),
        "near" => near(operand),
        other => panic!("no test: {other}"),
    }
}

fn contains(operand: &Json) -> String {
    let entry = typed("substr(v, 2)", "('$[' || j.key || ']')");
    let listed = format!(
        "EXISTS (SELECT 1 FROM json_each(CASE WHEN substr(v, 1, 1) = 'l' THEN substr(v, 2) ELSE '[]' END) j WHERE {entry} = {})",
        scalar(operand)
    );
    match operand.as_str() {
        Some(part) => format!(
            "(COALESCE(substr(v, 1, 1) = 't' AND instr(substr(v, 2), {}) > 0, FALSE) OR {listed})",
            quoted(part)
        ),
        None => listed,
    }
}

/// Two points of a sphere lie no further apart than an arc when their chord is no longer than that of the arc.
fn near(area: &Json) -> String {
    let of = |key: &str| area[key].as_f64().unwrap_or_else(|| panic!("no {key}: {area}"));
    let [x, y, z] = point(of("latitude"), of("longitude"));
    let chord = 2.0 * (of("metres") / 2.0 / 6_371_008.8).sin();
    format!(
        "EXISTS (SELECT 1 FROM spot WHERE 'o' || spot.text = v AND (x - {x:?}) * (x - {x:?}) + (y - {y:?}) * (y - {y:?}) + (z - {z:?}) * (z - {z:?}) <= {:?})",
        chord * chord
    )
}

pub(crate) fn scalar(value: &Json) -> String {
    match value {
        Json::Bool(truth) => quoted(if *truth { "b1" } else { "b0" }),
        Json::Number(number) => quoted(&key_of(&number.to_string())),
        Json::String(text) => quoted(&format!("t{text}")),
        other => panic!("nothing compares with {other}"),
    }
}

pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
