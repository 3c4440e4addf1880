//! Computed traits as SQL: the table of functions in `docs/segments.md`. Sums are exact: numbers are added limb by limb,
//! nine digits each, in units of 10^-18, and an average is a long division rounded half to even.

use crate::ask::{Ask, asked_of, scalar};
use crate::documents::text;
use serde_json::Value as Json;

const LIMB: i64 = 1_000_000_000;

/// A whole number, as the key that sorts among numbers.
fn whole(count: &str) -> String {
    format!("(SELECT printf('n%011d%09d%018d', 5000000000 + c / {LIMB}, c % {LIMB}, 0) FROM (SELECT ({count}) AS c))")
}

/// Whether the value of a computed trait passes the test.
pub(crate) fn computed(ask: &mut Ask<'_>, spec: &Json, test: (&str, &Json)) -> String {
    let window = spec.get("window");
    let counted = match (spec.get("sequence"), spec.get("property")) {
        (Some(sequence), _) => Some(ask.sequences(sequence, window)),
        (None, None) => Some(ask.rows(spec, window)),
        _ => None,
    };
    if let Some(rows) = counted {
        return asked_of(&whole(&format!("SELECT count(*) {rows}")), test);
    }
    let rows = ask.valued(spec, window, text(&spec["property"]));
    let known = format!("SELECT p.v AS v, p.currency AS currency, s.place AS place {rows}");
    let numbers = format!("SELECT * FROM ({known}) WHERE substr(v, 1, 1) = 'n'");
    let function = text(&spec["function"]);
    let value = match function {
        "count" => whole(&format!("SELECT count(*) FROM ({known})")),
        "min" => format!("(SELECT min(v) FROM ({numbers}))"),
        "max" => format!("(SELECT max(v) FROM ({numbers}))"),
        "first" => format!("(SELECT v FROM ({known}) ORDER BY place LIMIT 1)"),
        "last" => format!("(SELECT v FROM ({known}) ORDER BY place DESC LIMIT 1)"),
        "most_frequent" => {
            format!("(SELECT v FROM ({known}) GROUP BY v ORDER BY count(*) DESC, max(place) DESC LIMIT 1)")
        }
        "unique_count" => whole(&format!("SELECT count(DISTINCT v) FROM ({known})")),
        "unique_list" => match test {
            ("contains", entry) => return format!("EXISTS (SELECT 1 FROM ({known}) WHERE v = {})", scalar(entry)),
            _ => "'l[]'".to_owned(),
        },
        "sum" | "average" => total(&numbers, function == "average"),
        other => panic!("no function: {other}"),
    };
    asked_of(&value, test)
}

/// The sum or the average of numbers of one currency; of several, an object, whatever is in it.
fn total(numbers: &str, average: bool) -> String {
    let sums = format!(
        "SELECT count(*) AS n, count(DISTINCT currency) AS currencies, COALESCE(sum(l3), 0) AS a3, COALESCE(sum(l2), 0) AS a2,
            COALESCE(sum(l1), 0) AS a1, COALESCE(sum(l0), 0) AS a0 FROM ({numbers}) JOIN number ON number.key = v"
    );
    let carried = carried(&sums);
    let (key, of_none) = if average {
        (divided(&carried), "NULL".to_owned())
    } else {
        (carried, whole("0"))
    };
    format!(
        "(SELECT CASE WHEN n = 0 THEN {of_none} WHEN currencies > 1 THEN 'o' ELSE printf('n%011d%09d%09d%09d', 5000000000 + a3, a2, a1, a0) END FROM ({key}))"
    )
}

/// A subquery that is worked out once, not written into what asks it.
fn kept(inner: &str) -> String {
    format!("(WITH kept AS MATERIALIZED ({inner}) SELECT * FROM kept)")
}

/// Limbs `a3..a0`, of which the lower three are not negative, with nine digits each.
fn carried(limbs: &str) -> String {
    let step = |inner: String, low: usize| {
        let others: Vec<String> = (0..4)
            .filter(|limb| *limb != low && *limb != low + 1)
            .map(|limb| format!("a{limb}"))
            .collect();
        format!(
            "SELECT n, currencies, {}, a{low} % {LIMB} AS a{low}, a{1} + a{low} / {LIMB} AS a{1} FROM {2}",
            others.join(", "),
            low + 1,
            kept(&inner)
        )
    };
    (0..3).fold(limbs.to_owned(), step)
}

/// Divides by `n` and rounds to 12 places, half to even; the result is again in units of 10^-18.
fn divided(limbs: &str) -> String {
    let start = format!(
        "SELECT *, n * 1000000 AS d, (a3 % (n * 1000000) + n * 1000000) % (n * 1000000) AS r FROM {} WHERE n > 0",
        kept(limbs)
    );
    let mut inner = format!(
        "SELECT n, currencies, d, a2, a1, a0, (a3 - r) / d AS q3, r FROM {}",
        kept(&start)
    );
    for limb in [2, 1, 0] {
        let rest: String = (0..limb).rev().map(|other| format!(", a{other}")).collect();
        let got: String = (limb + 1..4).map(|other| format!(", q{other}")).collect();
        inner = format!(
            "SELECT n, currencies, d{rest}{got}, (r * {LIMB} + a{limb}) / d AS q{limb}, (r * {LIMB} + a{limb}) % d AS r FROM {}",
            kept(&inner)
        );
    }
    let rounded = format!(
        "SELECT n, currencies, q3 * 1000000 AS a3, q2 * 1000000 AS a2, q1 * 1000000 AS a1,
            (q0 + (2 * r > d OR (2 * r = d AND q0 % 2 = 1))) * 1000000 AS a0 FROM {}",
        kept(&inner)
    );
    let none = "SELECT 0 AS n, 0 AS currencies, 0 AS a3, 0 AS a2, 0 AS a1, 0 AS a0";
    format!(
        "SELECT * FROM ({}) UNION ALL {none} WHERE NOT EXISTS (SELECT 1 FROM ({limbs}) WHERE n > 0)",
        carried_names(&rounded)
    )
}

/// [`carried`], with its columns in their order.
fn carried_names(limbs: &str) -> String {
    format!("SELECT n, currencies, a3, a2, a1, a0 FROM ({})", carried(limbs))
}
