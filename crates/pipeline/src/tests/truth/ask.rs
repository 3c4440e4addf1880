//! Conditions as SQL, written from the words of `docs/segments.md`: one expression a segment, true or false of a row of
//! `asked` (an instant, an epoch, a person). It shares with the segment language the types of a condition, nothing that
//! evaluates one.

use super::tables::{key_of, point};
use super::values::computed;
use kith_expr::{
    AggregateSpec, Area, Condition as Where, EventFilter, FieldRoot, Follows, Path, Sequence, ValueTest, Window,
};
use kith_segment::{AccountCondition, Condition, Consent, Stage};
use kith_types::{Timestamp, Value};
use std::collections::BTreeMap;

/// Three letters, in any case, are a currency; anything else names none.
const CURRENCY: &str = "CASE WHEN json_type(e.properties, '$.currency') = 'text'
    AND (e.properties ->> '$.currency') GLOB '[A-Za-z][A-Za-z][A-Za-z]' THEN upper(e.properties ->> '$.currency') ELSE '' END";

/// Writes conditions; gathers what is to be worked out before they are asked.
pub(super) struct Ask<'a> {
    pub(super) segments: &'a BTreeMap<String, Condition>,
    pub(super) computed: &'a BTreeMap<String, AggregateSpec>,
    /// Statements to run first.
    pub(super) before: Vec<String>,
    leaves: usize,
}

impl<'a> Ask<'a> {
    pub(super) fn new(
        segments: &'a BTreeMap<String, Condition>,
        computed: &'a BTreeMap<String, AggregateSpec>,
    ) -> Self {
        Self {
            segments,
            computed,
            before: Vec::new(),
            leaves: 0,
        }
    }

    pub(super) fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::All(parts) => self.joined(parts, " AND "),
            Condition::Any(parts) => self.joined(parts, " OR "),
            Condition::Not(part) => format!("(NOT {})", self.condition(part)),
            Condition::Performed(performed) => {
                let rows = self.rows(&performed.filter, &performed.window);
                in_range(&format!("SELECT count(*) {rows}"), &performed.count)
            }
            Condition::Sequence(done) => {
                let rows = self.sequences(&done.first, &done.sequence, &done.window);
                in_range(&format!("SELECT count(*) {rows}"), &done.count)
            }
            Condition::Lifecycle(lifecycle) => self.lifecycle(&lifecycle.filter, lifecycle.stage),
            Condition::Trait { name, test } => asked_of(&trait_value(name), test),
            Condition::ComputedTrait { name, test } => {
                let spec = self.computed[&**name].clone();
                computed(self, &spec, test)
            }
            Condition::Account(condition) => format!(
                "EXISTS (SELECT 1 FROM belongs b WHERE b.epoch = q.epoch AND b.profile = q.profile AND {})",
                of_account(condition)
            ),
            Condition::Consent { category, answer } => {
                let found = format!(
                    "(SELECT granted FROM allowed WHERE epoch = q.epoch AND profile = q.profile AND category = {})",
                    quoted(category)
                );
                let held = match answer {
                    Consent::Granted => "IS 1",
                    Consent::Denied => "IS 0",
                    Consent::Unknown => "IS NULL",
                };
                format!("({found} {held})")
            }
            Condition::Segment(name) => {
                let inner = self.segments[name.as_str()].clone();
                self.condition(&inner)
            }
            Condition::Bucket(bucket) => {
                let thousandths = |percent: kith_types::Decimal| (percent.to_f64() * 1_000.0).round() as i64;
                let (from, to) = bucket.percents();
                format!(
                    "(SELECT place >= {} AND place < {} FROM drawn WHERE salt = {} AND profile = q.profile)",
                    thousandths(from),
                    thousandths(to),
                    quoted(&bucket.salt)
                )
            }
            Condition::Listed(listed) => {
                let listed: Vec<String> = listed
                    .identifiers()
                    .iter()
                    .map(|one| quoted(&one.to_string()))
                    .collect();
                format!(
                    "EXISTS (SELECT 1 FROM named WHERE epoch = q.epoch AND profile = q.profile AND identifier IN ({}))",
                    listed.join(", ")
                )
            }
        }
    }

    fn joined(&mut self, parts: &[Condition], by: &str) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.condition(part)).collect();
        format!("({})", parts.join(by))
    }

    /// `FROM … WHERE …` of the person's events that pass the filter, whenever they happened.
    fn whenever(&mut self, filter: &EventFilter) -> String {
        let leaf = self.passing(filter, None);
        format!(
            "FROM seen s JOIN passes p ON p.leaf = {leaf} AND p.event = s.event WHERE s.epoch = q.epoch AND s.profile = q.profile"
        )
    }

    /// The same, of those that the window counts.
    pub(super) fn rows(&mut self, filter: &EventFilter, window: &Window) -> String {
        format!("{} AND {}", self.whenever(filter), within(window, "s.time"))
    }

    /// The same, of those that have the property: its value is `p.v`, the currency beside it `p.currency`.
    pub(super) fn valued(&mut self, filter: &EventFilter, window: &Window, path: &Path) -> String {
        let leaf = self.passing(filter, Some(path));
        format!(
            "FROM seen s JOIN passes p ON p.leaf = {leaf} AND p.event = s.event
             WHERE s.epoch = q.epoch AND s.profile = q.profile AND p.v IS NOT NULL AND {}",
            within(window, "s.time")
        )
    }

    /// Notes which events pass the filter, with the value of a property and the currency beside it; the leaf's number.
    fn passing(&mut self, filter: &EventFilter, property: Option<&Path>) -> usize {
        self.leaves += 1;
        let mut tests = vec![filtered(filter.condition())];
        if !filter.types().is_empty() {
            let types: Vec<String> = filter.types().iter().map(|one| quoted(one.as_str())).collect();
            tests.push(format!("e.type IN ({})", types.join(", ")));
        }
        if !filter.names().is_empty() {
            let names: Vec<String> = filter.names().iter().map(|one| quoted(one)).collect();
            tests.push(format!("e.name IN ({})", names.join(", ")));
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
    pub(super) fn sequences(&mut self, first: &EventFilter, sequence: &Sequence, window: &Window) -> String {
        let (first, then) = (self.passing(first, None), self.passing(&sequence.then, None));
        let key = |of: &str| match &sequence.same {
            Some(path) => typed_at(&format!("{of}.properties"), path),
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
        self.before.push(match sequence.follows {
            Follows::Next { from, until } => {
                let until = until.map_or(String::new(), |until| format!(" AND b - a < {}", until.as_micros()));
                format!(
                    "INSERT INTO done SELECT {leaf}, epoch, profile, b FROM ({steps}) WHERE b - a >= {}{until}",
                    from.as_micros()
                )
            }
            Follows::Nothing { until } => format!(
                "INSERT INTO done SELECT {leaf}, epoch, profile, a + {0} FROM ({steps}) WHERE b IS NULL OR b >= a + {0}",
                until.as_micros()
            ),
        });
        format!(
            "FROM done d WHERE d.leaf = {leaf} AND d.epoch = q.epoch AND d.profile = q.profile AND {}",
            within(window, "d.at")
        )
    }

    fn lifecycle(&mut self, filter: &EventFilter, stage: Stage) -> String {
        let past = format!("{} AND s.time <= q.now", self.whenever(filter));
        match stage {
            Stage::FirstTime { last } => format!(
                "COALESCE((SELECT min(s.time) {past}) > q.now - {}, FALSE)",
                last.as_micros()
            ),
            Stage::Stopped { after } => format!(
                "COALESCE((SELECT max(s.time) {past}) <= q.now - {}, FALSE)",
                after.as_micros()
            ),
            Stage::Regularly { every, times } => format!(
                "((SELECT count(DISTINCT (q.now - s.time) / {0}) {past} AND (q.now - s.time) / {0} < {times}) = {times})",
                every.as_micros()
            ),
            Stage::CameBack { after, last } => format!(
                "EXISTS (SELECT 1 FROM (SELECT time, lag(time) OVER (ORDER BY time) AS before FROM (SELECT DISTINCT s.time {past}))
                  WHERE time > q.now - {} AND time - before >= {})",
                last.as_micros(),
                after.as_micros()
            ),
        }
    }
}

fn in_range(counted: &str, count: &kith_segment::CountRange) -> String {
    let high = count.high().map_or(i64::MAX, |high| high as i64);
    format!("(({counted}) BETWEEN {} AND {high})", count.low())
}

/// Whether the window counts an event at `t`.
fn within(window: &Window, t: &str) -> String {
    let span = |span: &kith_types::Duration| span.as_micros();
    match window {
        Window::AllTime => format!("{t} <= q.now"),
        Window::Last(d) => format!("{t} > q.now - {} AND {t} <= q.now", span(d)),
        Window::BeforeLast(d) => format!("{t} <= q.now - {}", span(d)),
        Window::Ago { from, to } => format!("{t} > q.now - {} AND {t} <= q.now - {}", span(from), span(to)),
        Window::Between { from, to } => {
            // Without an end it goes on for ever.
            let end = if *to == Timestamp::MAX {
                i64::MAX
            } else {
                to.as_micros()
            };
            format!("{t} >= {} AND {t} < {end} AND {t} <= q.now", from.as_micros())
        }
        Window::Calendar(periods) => {
            let of = format!(
                "FROM period WHERE zone = {} AND unit = {}",
                quoted(periods.zone.name()),
                quoted(periods.unit.as_str())
            );
            let this = format!("(SELECT max(starts) {of} AND starts <= q.now)");
            if periods.previous == 0 {
                return format!("{t} >= {this} AND {t} <= q.now");
            }
            let first = format!(
                "(SELECT starts {of} AND no = (SELECT max(no) {of} AND starts <= q.now) - {})",
                periods.previous
            );
            format!("{t} >= {first} AND {t} < {this}")
        }
    }
}

/// A condition on a row `e` of `event`.
fn filtered(condition: &Where) -> String {
    let joined = |parts: &[Where], by: &str, none: &str| {
        if parts.is_empty() {
            return none.to_owned();
        }
        let parts: Vec<String> = parts.iter().map(filtered).collect();
        format!("({})", parts.join(by))
    };
    match condition {
        Where::All(parts) => joined(parts, " AND ", "TRUE"),
        Where::Any(parts) => joined(parts, " OR ", "FALSE"),
        Where::Not(part) => format!("(NOT {})", filtered(part)),
        Where::Test(field, test) => {
            let of = match field.root {
                FieldRoot::Properties => "e.properties",
                FieldRoot::Context => "e.context",
                FieldRoot::Traits => "e.traits",
            };
            asked_of(&typed_at(of, &field.path), test)
        }
    }
}

/// The value at a JSON path of a document as one text that says its type first: `n` and a number's key, `t` and a text,
/// `b` and a truth value, `l` and a list, `o` and an object; null where it is null or missing.
fn typed(doc: &str, path: &str) -> String {
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
pub(super) fn typed_at(doc: &str, path: &Path) -> String {
    let whole = quoted(&format!("$.\"{}\"", path.as_str()));
    let nested = steps_of(path.as_str());
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
fn of_account(condition: &AccountCondition) -> String {
    let joined = |parts: &[AccountCondition], by: &str| {
        let parts: Vec<String> = parts.iter().map(of_account).collect();
        format!("({})", parts.join(by))
    };
    match condition {
        AccountCondition::All(parts) => joined(parts, " AND "),
        AccountCondition::Any(parts) => joined(parts, " OR "),
        AccountCondition::Not(part) => format!("(NOT {})", of_account(part)),
        AccountCondition::Trait { name, test } => asked_of(
            &survivor("told WHERE epoch = b.epoch AND account = b.account", name),
            test,
        ),
    }
}

/// What survives of a person's trait.
fn trait_value(name: &str) -> String {
    survivor("known WHERE epoch = q.epoch AND profile = q.profile", name)
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
pub(super) fn asked_of(value: &str, test: &ValueTest) -> String {
    format!("(SELECT {} FROM (SELECT {value} AS v))", passes(test))
}

fn passes(test: &ValueTest) -> String {
    let number = |sign: &str, operand: &kith_types::Decimal| {
        format!(
            "COALESCE(substr(v, 1, 1) = 'n' AND v {sign} {}, FALSE)",
            quoted(&key_of(&operand.to_string()))
        )
    };
    let among = |operands: &[Value]| operands.iter().map(scalar).collect::<Vec<_>>().join(", ");
    let moment = "(CASE WHEN v GLOB 't[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' THEN
        unixepoch(substr(v, 2)) * 1000000 + CAST(substr(strftime('%f', substr(v, 2)), 4) AS INTEGER) * 1000 END)";
    match test {
        ValueTest::Equals(operand) => format!("COALESCE(v = {}, FALSE)", scalar(operand)),
        ValueTest::NotEquals(operand) => format!("(v IS NOT {})", scalar(operand)),
        ValueTest::GreaterThan(operand) => number(">", operand),
        ValueTest::GreaterOrEqual(operand) => number(">=", operand),
        ValueTest::LessThan(operand) => number("<", operand),
        ValueTest::LessOrEqual(operand) => number("<=", operand),
        ValueTest::Contains(operand) => contains(operand),
        ValueTest::StartsWith(start) => {
            format!(
                "COALESCE(substr(v, 1, {}) = {}, FALSE)",
                start.chars().count() + 1,
                quoted(&format!("t{start}"))
            )
        }
        ValueTest::EndsWith(end) => format!(
            "COALESCE(substr(v, 1, 1) = 't' AND length(v) > {0} AND substr(v, -{0}) = {1}, FALSE)",
            end.chars().count(),
            quoted(end)
        ),
        ValueTest::AnyOf(operands) => format!("COALESCE(v IN ({}), FALSE)", among(operands)),
        ValueTest::NoneOf(operands) => format!("(NOT COALESCE(v IN ({}), FALSE))", among(operands)),
        ValueTest::Exists => "(v IS NOT NULL)".to_owned(),
        ValueTest::NotExists => "(v IS NULL)".to_owned(),
        ValueTest::Before(at) => format!("COALESCE({moment} < {}, FALSE)", at.as_micros()),
        ValueTest::After(at) => format!("COALESCE({moment} > {}, FALSE)", at.as_micros()),
        ValueTest::WithinLast(d) => format!(
            "COALESCE({moment} > q.now - {} AND {moment} <= q.now, FALSE)",
            d.as_micros()
        ),
        ValueTest::BeforeLast(d) => format!("COALESCE({moment} <= q.now - {}, FALSE)", d.as_micros()),
        ValueTest::Near(area) => near(area),
    }
}

fn contains(operand: &Value) -> String {
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
fn near(area: &Area) -> String {
    let [x, y, z] = point(area.latitude().to_f64(), area.longitude().to_f64());
    let chord = 2.0 * (area.metres().to_f64() / 2.0 / 6_371_008.8).sin();
    format!(
        "EXISTS (SELECT 1 FROM spot WHERE 'o' || spot.text = v AND (x - {x:?}) * (x - {x:?}) + (y - {y:?}) * (y - {y:?}) + (z - {z:?}) * (z - {z:?}) <= {:?})",
        chord * chord
    )
}

pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(truth) => quoted(if *truth { "b1" } else { "b0" }),
        Value::Number(number) => quoted(&key_of(&number.to_string())),
        Value::String(text) => quoted(&format!("t{text}")),
        other => panic!("no document compares with {other:?}"),
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
