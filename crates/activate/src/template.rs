//! Liquid templates under limits (contract ACT-5): escaped by default, a missing variable is told, and no template can
//! take more than a fixed number of steps, bytes and a fixed time.
//!
//! The Liquid crate neither escapes nor bounds anything, so a template is first rewritten (`rewrite`): every `{{ }}`
//! becomes a tag of ours (`language`) that escapes and counts, every loop gets a tag that counts its rounds. The
//! rewritten text holds no `{{` at all, so nothing can be written past that tag. There are no includes, and a template
//! reads nothing but the variables that it is given.

mod language;
mod rewrite;

#[cfg(test)]
mod tests;

use language::{BUDGET_MARK, MISSING_MARK};
use std::io::{self, Write};

/// The largest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// The largest output of one template, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// How deep blocks may nest.
pub const BLOCK_DEPTH_MAX: usize = 8;
/// The most rounds that all loops of one rendering may take together.
pub const STEPS_MAX: u32 = 100_000;
/// The longest that one rendering may take.
pub const RENDER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// How outputs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escaping {
    /// For HTML: `& < > " '` are escaped unless the last filter is `raw`.
    Html,
    /// As they are.
    Plain,
}

/// Why a rendering gave nothing. No text of the person is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RenderError {
    /// A variable that has no value was used without `default`; its name as the template wrote it.
    MissingVariable(String),
    /// The output is larger than [`OUTPUT_BYTES_MAX`].
    TooLarge,
    /// It took more steps or time than it may.
    TooLong,
    /// A filter or tag refused its input.
    Failed,
}

impl RenderError {
    /// The reason as the ledger keeps it.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::MissingVariable(name) => format!("missing_variable:{name}"),
            Self::TooLarge => "output_too_large".to_owned(),
            Self::TooLong => "rendering_too_long".to_owned(),
            Self::Failed => "rendering_failed".to_owned(),
        }
    }
}

/// A template that was read, checked and compiled.
pub(crate) struct Template {
    compiled: liquid::Template,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// Every problem that was found, and how to mend it.
    pub(crate) fn compile(source: &str, escaping: Escaping) -> Result<Self, Vec<String>> {
        if source.len() > TEMPLATE_BYTES_MAX {
            let text = format!(
                "it has {} bytes; at most {TEMPLATE_BYTES_MAX} are allowed",
                source.len()
            );
            return Err(vec![text]);
        }
        let rewritten = rewrite::rewrite(source, escaping)?;
        let parser = language::parser().map_err(|error| vec![short(&error)])?;
        let compiled = parser.parse(&rewritten).map_err(|error| vec![short(&error)])?;
        Ok(Self { compiled })
    }

    /// Renders with these variables. It takes up to [`RENDER_TIME_MAX`]: not for an async thread.
    ///
    /// # Errors
    /// [`RenderError`].
    pub(crate) fn render(&self, variables: &liquid::Object) -> Result<String, RenderError> {
        let mut page = Page {
            bytes: Vec::new(),
            overflowed: false,
        };
        match self.compiled.render_to(&mut page, variables) {
            Ok(()) => String::from_utf8(page.bytes).map_err(|_| RenderError::Failed),
            Err(_) if page.overflowed => Err(RenderError::TooLarge),
            Err(error) => Err(reason_of(&error)),
        }
    }
}

/// Output that stops growing at its limit.
struct Page {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl Write for Page {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > OUTPUT_BYTES_MAX {
            self.overflowed = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells what an error of the engine is about. Its text may hold values of the person, so only names are taken from it.
fn reason_of(error: &liquid::Error) -> RenderError {
    let text = error.to_string();
    if text.contains(BUDGET_MARK) {
        return RenderError::TooLong;
    }
    let field = |key: &str| {
        let value = text
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix('='));
        value.map(|name| {
            let allowed = |symbol: &char| symbol.is_alphanumeric() || "_.-[]".contains(*symbol);
            name.chars().filter(allowed).take(100).collect::<String>()
        })
    };
    if let Some(name) = field(MISSING_MARK) {
        return RenderError::MissingVariable(name);
    }
    if text.starts_with("liquid: Unknown variable") {
        return RenderError::MissingVariable(field("requested variable").unwrap_or_default());
    }
    if text.starts_with("liquid: Unknown index") {
        let (parent, index) = (field("variable"), field("requested index"));
        return RenderError::MissingVariable([parent, index].into_iter().flatten().collect::<Vec<_>>().join("."));
    }
    RenderError::Failed
}

/// The engine's message about a template, on one line. There are no values in it: nothing was rendered.
fn short(error: &liquid::Error) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.trim_start_matches("liquid:").split_whitespace().collect();
    words.join(" ").chars().take(400).collect()
}

/// A JSON value as a variable. `null` stays no value.
pub(crate) fn variable(value: &serde_json::Value) -> liquid::model::Value {
    use liquid::model::Value;
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => Value::scalar(*truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::scalar(whole),
            (None, Some(float)) => Value::scalar(float),
            (None, None) => Value::scalar(number.to_string()),
        },
        serde_json::Value::String(text) => Value::scalar(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(variable).collect()),
        serde_json::Value::Object(fields) => Value::Object(variables(fields)),
    }
}

/// A JSON object as variables.
pub(crate) fn variables(fields: &serde_json::Map<String, serde_json::Value>) -> liquid::Object {
    fields
        .iter()
        .map(|(name, value)| (name.clone().into(), variable(value)))
        .collect()
}
