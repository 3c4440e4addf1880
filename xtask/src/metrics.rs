//! Every metric that is offered: something must set it, since a figure that is always 0 says that all is well.

use crate::{Findings, tracked};
use std::path::Path;

/// Where metrics are declared.
const DECLARED: &str = "crates/telemetry/src/metrics.rs";

/// Checks that every declared metric is named by code elsewhere.
pub(crate) fn check(root: &Path) -> Findings {
    let Ok(declared) = std::fs::read_to_string(root.join(DECLARED)) else {
        return vec![format!("{DECLARED} cannot be read")];
    };
    let sources: Vec<String> = tracked(root, &[".rs"])
        .iter()
        .filter(|path| *path != Path::new(DECLARED))
        .filter_map(|path| std::fs::read_to_string(root.join(path)).ok())
        .collect();
    let unset = names(&declared).filter(|name| !sources.iter().any(|text| is_set(text, name)));
    unset.map(|name| format!("{DECLARED}: nothing sets {name}")).collect()
}

/// The variants of the declarations: lines such as `Profiles => "kith_profiles", …`.
fn names(declared: &str) -> impl Iterator<Item = &str> {
    declared.lines().filter_map(|line| {
        let (name, rest) = line.trim_start().split_once(" => ")?;
        rest.starts_with("\"kith_").then_some(name)
    })
}

/// Whether a text names the metric with its kind, as in `Gauge::Profiles`.
fn is_set(text: &str, name: &str) -> bool {
    ["Counter", "Gauge", "Histogram"].iter().any(|kind| {
        let path = format!("{kind}::{name}");
        text.match_indices(&path).any(|(at, _)| {
            let next = text[at + path.len()..].chars().next();
            next.is_none_or(|next| !next.is_alphanumeric())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_nothing_sets_is_found() {
        let declared = "    Lag => \"kith_lag\", \"\", \"Lag.\";\n    Lags => \"kith_lags\", \"\", \"Lags.\";\n";
        let found: Vec<&str> = names(declared).collect();
        assert_eq!(found, ["Lag", "Lags"]);
        assert!(is_set("gauge(Gauge::Lags, 1)", "Lags"));
        assert!(!is_set("gauge(Gauge::Lags, 1)", "Lag"));
    }
}
