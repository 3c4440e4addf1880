//! From a template as people write it to one whose every output goes through a tag of ours. It also refuses what could
//! not be bounded or is misspelt. It works on text alone; it never renders.
//!
//! Why it is sound: the result holds `{{` nowhere (checked at the end), so the engine's own unescaped output cannot
//! occur in it, whatever this file misreads.

use super::language::{OUTPUT_ESCAPED, OUTPUT_PLAIN, STEP};
use super::{BLOCK_DEPTH_MAX, Escaping};
use crate::suggest::suggestion;

/// Tags that templates may use.
const TAGS: [&str; 14] = [
    "assign",
    "break",
    "case",
    "comment",
    "continue",
    "else",
    "elsif",
    "endcase",
    "endcomment",
    "endfor",
    "endif",
    "endunless",
    "for",
    "if",
];
/// Tags that templates may use, continued: those of `unless` and `case`.
const MORE_TAGS: [&str; 2] = ["unless", "when"];
/// Filters that templates may use: each makes at most a little more than it was given.
const FILTERS: [&str; 45] = [
    "abs",
    "append",
    "at_least",
    "at_most",
    "capitalize",
    "ceil",
    "compact",
    "date",
    "default",
    "divided_by",
    "downcase",
    "escape",
    "escape_once",
    "first",
    "floor",
    "last",
    "lstrip",
    "map",
    "minus",
    "modulo",
    "newline_to_br",
    "plus",
    "prepend",
    "raw",
    "remove",
    "remove_first",
    "reverse",
    "round",
    "rstrip",
    "size",
    "slice",
    "sort",
    "sort_natural",
    "split",
    "strip",
    "strip_html",
    "strip_newlines",
    "times",
    "truncate",
    "truncatewords",
    "uniq",
    "upcase",
    "url_decode",
    "url_encode",
    "where",
];
/// Variables that every template gets.
const VARIABLES: [&str; 5] = ["profile", "segment", "message", "unsubscribe_url", "forloop"];
/// What `profile` has.
const PROFILE_FIELDS: [&str; 4] = ["id", "traits", "computed", "segments"];
/// The most filters in a row.
const FILTERS_MAX: usize = 16;
/// The most `[` in one tag or output.
const BRACKETS_MAX: usize = 8;
/// The widest range of whole numbers.
const RANGE_MAX: i64 = 1_000;
/// The most problems told of one template.
const PROBLEMS_MAX: usize = 20;

/// Rewrites a template.
///
/// # Errors
/// Every problem, up to twenty, with its line.
pub(super) fn rewrite(source: &str, escaping: Escaping) -> Result<String, Vec<String>> {
    let mut writer = Rewriter {
        escaping,
        out: String::with_capacity(source.len() * 2),
        names: assigned_names(source),
        depth: 0,
        line: 1,
        problems: Vec::new(),
    };
    writer.run(source);
    if writer.problems.is_empty() && writer.out.contains("{{") {
        writer.problem("{{ cannot be written as text");
    }
    if writer.problems.is_empty() {
        Ok(writer.out)
    } else {
        Err(writer.problems)
    }
}

struct Rewriter {
    escaping: Escaping,
    out: String,
    names: Vec<String>,
    depth: usize,
    line: usize,
    problems: Vec<String>,
}

impl Rewriter {
    fn run(&mut self, source: &str) {
        let mut rest = source;
        while let Some(start) = earliest(rest, &["{{", "{%"]) {
            self.out.push_str(&rest[..start]);
            self.line += lines(&rest[..start]);
            let close = if rest[start..].starts_with("{{") { "}}" } else { "%}" };
            let Some(length) = rest[start + 2..].find(close) else {
                self.problem(&format!("{} is never closed by {close}", &rest[start..start + 2]));
                return;
            };
            let inner = &rest[start + 2..start + 2 + length];
            if let Some(at) = earliest(inner, &["{{", "{%", "}}", "%}"]) {
                let found = &inner[at..at + 2];
                self.problem(&format!(
                    "{found} cannot stand between {} and {close}",
                    &rest[start..start + 2]
                ));
            } else {
                let element = Element::of(inner);
                if close == "}}" {
                    self.output(element);
                } else {
                    self.tag(element);
                }
            }
            self.line += lines(inner);
            rest = &rest[start + 2 + length + 2..];
            if self.problems.len() >= PROBLEMS_MAX {
                return;
            }
        }
        self.out.push_str(rest);
    }

    fn output(&mut self, element: Element<'_>) {
        let parts = split_outside_quotes(element.body, '|');
        let entry = parts.first().map_or("", |entry| entry.trim());
        if entry.is_empty() {
            return self.problem("there is nothing between {{ and }}");
        }
        self.check_name(entry);
        self.check_expression(element.body);
        let names: Vec<&str> = parts.iter().skip(1).map(|part| filter_name(part)).collect();
        let last = names.last().copied().unwrap_or("");
        let kept = if last == "raw" { parts.len() - 1 } else { parts.len() };
        if names.iter().take(kept.saturating_sub(1)).any(|name| *name == "raw") {
            return self.problem("raw must be the last filter");
        }
        let filters: String = parts[1..kept].iter().map(|part| format!("|{part}")).collect();
        let safe = matches!(last, "raw" | "escape" | "escape_once");
        let tag = if self.escaping == Escaping::Html && !safe {
            OUTPUT_ESCAPED
        } else {
            OUTPUT_PLAIN
        };
        let fallback = if names.contains(&"default") {
            format!("= nil {filters}")
        } else {
            String::new()
        };
        let (open, close) = element.trims();
        self.out.push_str(&format!(
            "{{%{open} {tag} {entry} = {entry} {filters} {fallback} {close}%}}"
        ));
    }

    fn tag(&mut self, element: Element<'_>) {
        let name = element.body.split_whitespace().next().unwrap_or("");
        if !TAGS.contains(&name) && !MORE_TAGS.contains(&name) {
            let known: Vec<&str> = TAGS.iter().chain(&MORE_TAGS).copied().collect();
            return self.problem(&format!("{{% {name} %}} is not available{}", suggestion(name, &known)));
        }
        match name {
            "if" | "unless" | "for" | "case" | "comment" => self.depth += 1,
            "endif" | "endunless" | "endfor" | "endcase" | "endcomment" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > BLOCK_DEPTH_MAX {
            return self.problem(&format!("blocks nest deeper than {BLOCK_DEPTH_MAX}"));
        }
        self.check_expression(element.body);
        if unquoted(element.body).contains(['(', ')']) && !(name == "for" && has_small_range(element.body)) {
            return self.problem(&format!(
                "parentheses are for ranges of whole numbers at most {RANGE_MAX} apart, as in {{% for i in (1..5) %}}"
            ));
        }
        let (open, close) = element.trims();
        self.out.push_str(&format!("{{%{open} {} {close}%}}", element.body));
        if name == "for" {
            self.out.push_str(&format!("{{% {STEP} {close}%}}"));
        }
    }

    /// Filters by name and number, and brackets by number.
    fn check_expression(&mut self, body: &str) {
        let plain = unquoted(body);
        if plain.matches('[').count() > BRACKETS_MAX {
            self.problem(&format!("more than {BRACKETS_MAX} [ in one place"));
        }
        let filters = split_outside_quotes(body, '|');
        if filters.len() > FILTERS_MAX + 1 {
            self.problem(&format!("more than {FILTERS_MAX} filters in a row"));
        }
        for filter in filters.iter().skip(1) {
            let name = filter_name(filter);
            if !FILTERS.contains(&name) {
                self.problem(&format!(
                    "the filter {name:?} is not available{}",
                    suggestion(name, &FILTERS)
                ));
            }
        }
    }

    /// A variable that no template has is told when the definition is read, not at the first send.
    fn check_name(&mut self, entry: &str) {
        if !entry.starts_with(|symbol: char| symbol.is_ascii_alphabetic() || symbol == '_') {
            return;
        }
        let end = |text: &str| text.find(['.', '[', ' ', '\n', '\t']).unwrap_or(text.len());
        let root = &entry[..end(entry)];
        if matches!(root, "nil" | "null" | "true" | "false" | "empty" | "blank") {
            return;
        }
        if !VARIABLES.contains(&root) && !self.names.iter().any(|name| name == root) {
            let mut known: Vec<&str> = VARIABLES.to_vec();
            known.extend(self.names.iter().map(String::as_str));
            let hint = suggestion(root, &known);
            return self.problem(&format!("there is no variable {root:?}{hint}"));
        }
        if root == "profile" {
            let field = entry[root.len()..].strip_prefix('.').unwrap_or("");
            let field = &field[..end(field)];
            if !PROFILE_FIELDS.contains(&field) && !entry[root.len()..].starts_with('[') {
                let hint = suggestion(field, &PROFILE_FIELDS);
                self.problem(&format!(
                    "profile has id, traits, computed and segments, not {field:?}{hint}"
                ));
            }
        }
    }

    fn problem(&mut self, text: &str) {
        self.problems.push(format!("line {}: {text}", self.line));
    }
}

/// What stands between two delimiters.
#[derive(Clone, Copy)]
struct Element<'a> {
    body: &'a str,
    trims_before: bool,
    trims_after: bool,
}

impl<'a> Element<'a> {
    fn of(inner: &'a str) -> Self {
        let (body, trims_before) = inner.strip_prefix('-').map_or((inner, false), |body| (body, true));
        let (body, trims_after) = body.strip_suffix('-').map_or((body, false), |body| (body, true));
        Self {
            body: body.trim(),
            trims_before,
            trims_after,
        }
    }

    fn trims(self) -> (&'static str, &'static str) {
        let sign = |trims| if trims { "-" } else { "" };
        (sign(self.trims_before), sign(self.trims_after))
    }
}

/// The names that `assign` and `for` make anywhere in the template.
fn assigned_names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for tag in source.split("{%").skip(1) {
        let mut words = tag
            .trim_start_matches('-')
            .split(|symbol: char| symbol.is_whitespace() || symbol == '=');
        let mut words = words.by_ref().filter(|word| !word.is_empty());
        if matches!(words.next(), Some("assign" | "for"))
            && let Some(name) = words.next()
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Whether the only parentheses of a `for` hold a range of two whole numbers that are close enough.
fn has_small_range(body: &str) -> bool {
    let plain = unquoted(body);
    let Some((before, rest)) = plain.split_once('(') else {
        return false;
    };
    let Some((range, after)) = rest.split_once(')') else {
        return false;
    };
    let Some((low, high)) = range.split_once("..") else {
        return false;
    };
    let (Ok(low), Ok(high)) = (low.trim().parse::<i64>(), high.trim().parse::<i64>()) else {
        return false;
    };
    let apart = high.saturating_sub(low);
    !before.contains(')') && !after.contains(['(', ')']) && apart <= RANGE_MAX
}

fn filter_name(part: &str) -> &str {
    let part = part.trim_start();
    let end = part
        .find(|symbol: char| !(symbol.is_ascii_alphanumeric() || symbol == '_'))
        .unwrap_or(part.len());
    &part[..end]
}

fn earliest(text: &str, marks: &[&str]) -> Option<usize> {
    marks.iter().filter_map(|mark| text.find(mark)).min()
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The text with everything in quotes left out.
fn unquoted(text: &str) -> String {
    let mut quote = None;
    let outside = |symbol: &char| match quote {
        Some(open) => {
            if *symbol == open {
                quote = None;
            }
            false
        }
        None => {
            quote = ['"', '\''].into_iter().find(|mark| mark == symbol);
            quote.is_none()
        }
    };
    text.chars().filter(outside).collect()
}

/// The text's parts between `mark`, which counts only outside quotes.
fn split_outside_quotes(text: &str, mark: char) -> Vec<&str> {
    let (mut parts, mut from, mut quote) = (Vec::new(), 0, None);
    for (at, symbol) in text.char_indices() {
        match quote {
            Some(open) if symbol == open => quote = None,
            Some(_) => {}
            None if symbol == '"' || symbol == '\'' => quote = Some(symbol),
            None if symbol == mark => {
                parts.push(&text[from..at]);
                from = at + symbol.len_utf8();
            }
            None => {}
        }
    }
    parts.push(&text[from..]);
    parts
}
