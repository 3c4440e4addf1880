//! Every source file: its length, its header, its log lines.

use crate::{Findings, tracked};
use std::path::Path;

const LINES_MAX: usize = 500;

/// Checks every Rust and TypeScript file.
pub(crate) fn check(root: &Path) -> Findings {
    let mut findings = Findings::new();
    for path in tracked(root, &[".rs", ".ts", ".mjs"]) {
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else {
            continue;
        };
        let shown = path.display();
        let lines = text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!(
                "{shown} has {lines} lines, more than {LINES_MAX}: find its natural wall"
            ));
        }
        if path.extension().is_some_and(|ending| ending == "rs") {
            if !text.starts_with("//!") {
                findings.push(format!("{shown} does not open with //! and what it is"));
            }
            findings.extend(log_lines(&text).map(|(line, why)| format!("{shown}:{line} {why}")));
        }
    }
    findings
}

/// Log lines that do not follow the style: lowercase sentences with fields, not interpolation.
fn log_lines(text: &str) -> impl Iterator<Item = (usize, &'static str)> + '_ {
    text.lines().enumerate().filter_map(|(at, line)| {
        let line = line.trim_start();
        let call = ["info!(", "warn!(", "error!(", "debug!(", "trace!("]
            .iter()
            .find(|call| line.starts_with(**call) || line.starts_with(&format!("tracing::{call}")))?;
        let arguments = line.split_once(call)?.1;
        let message = arguments.split('"').nth(1)?;
        let first = message.chars().next()?;
        if first.is_uppercase() {
            return Some((at + 1, "a log line is a lowercase sentence"));
        }
        (message.contains('{')).then_some((at + 1, "a log line has fields, not interpolation"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_style_is_found() {
        let text = "info!(lag, \"caught up\");\ntracing::warn!(\"Late {x}\");\nwarn!(\"late {x}\");\n";
        let found: Vec<usize> = log_lines(text).map(|(line, _)| line).collect();
        assert_eq!(found, [2, 3]);
    }
}
