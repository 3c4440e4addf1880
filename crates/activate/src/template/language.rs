//! The tags that a rewritten template is made of: an output that escapes and tells a missing variable, an assignment
//! and a loop's round that are counted. It works with the Liquid engine's traits; it never reads anything but the
//! variables of the rendering.

use super::{RENDER_TIME_MAX, STEPS_MAX};
use liquid_core::parser::FilterChain;
use liquid_core::{
    Error, Expression, Language, ParseTag, Renderable, Result, Runtime, TagReflection, TagTokenIter, ValueView,
};
use std::io::Write;
use std::time::Instant;

/// What an error about a missing variable carries as a field.
pub(super) const MISSING_MARK: &str = "kith missing variable";
/// What an error about steps, bytes or time carries.
pub(super) const BUDGET_MARK: &str = "kith rendering budget";

/// The tag that writes an escaped value.
pub(super) const OUTPUT_ESCAPED: &str = "kith_html";
/// The tag that writes a value as it is.
pub(super) const OUTPUT_PLAIN: &str = "kith_text";
/// The tag that counts a loop's round.
pub(super) const STEP: &str = "kith_step";

/// The most bytes that outputs and assignments of one rendering may make together.
const WORK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest value of a variable that a template assigns, in bytes.
const ASSIGNED_BYTES_MAX: usize = 64 * 1024;

/// The parser of rewritten templates.
pub(super) fn parser() -> Result<liquid::Parser> {
    liquid::ParserBuilder::with_stdlib()
        .tag(OutputTag(OUTPUT_ESCAPED))
        .tag(OutputTag(OUTPUT_PLAIN))
        .tag(StepTag)
        .tag(AssignTag)
        .build()
}

/// What one rendering has used. The engine makes it when it is first asked for.
struct Budget {
    began: Instant,
    steps: u32,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            steps: 0,
            bytes: 0,
        }
    }
}

fn charge(runtime: &dyn Runtime, steps: u32, bytes: usize) -> Result<()> {
    let mut budget = runtime.registers().get_mut::<Budget>();
    budget.steps = budget.steps.saturating_add(steps);
    budget.bytes = budget.bytes.saturating_add(bytes);
    if budget.steps > STEPS_MAX || budget.bytes > WORK_BYTES_MAX || budget.began.elapsed() > RENDER_TIME_MAX {
        return Err(Error::with_msg(BUDGET_MARK));
    }
    Ok(())
}

/// `{% kith_html ENTRY = ENTRY | FILTERS [= nil | FILTERS] %}`: writes the second; the third where the first has no
/// value.
#[derive(Clone, Copy, Debug)]
struct OutputTag(&'static str);

impl TagReflection for OutputTag {
    fn tag(&self) -> &str {
        self.0
    }

    fn description(&self) -> &str {
        ""
    }
}

impl ParseTag for OutputTag {
    fn parse(&self, mut arguments: TagTokenIter<'_>, options: &Language) -> Result<Box<dyn Renderable>> {
        let first = arguments.expect_next("a value is missing between {{ and }}")?;
        let name = first.as_str().to_owned();
        let entry = first.expect_value().into_result()?;
        let mut chains = Vec::with_capacity(2);
        while let Some(separator) = arguments.next() {
            separator.expect_str("=").into_result()?;
            let chain = arguments.expect_next("a value is missing")?;
            chains.push(chain.expect_filter_chain(options).into_result_custom_msg(
                "not a value followed by filters: check the names and arguments of the filters",
            )?);
        }
        let fallback = if chains.len() > 1 { chains.pop() } else { None };
        let (Some(chain), true) = (chains.pop(), chains.is_empty()) else {
            return Err(Error::with_msg("one value is expected between {{ and }}"));
        };
        Ok(Box::new(Output {
            name,
            entry,
            chain,
            fallback,
            escaped: self.0 == OUTPUT_ESCAPED,
        }))
    }

    fn reflection(&self) -> &dyn TagReflection {
        self
    }
}

#[derive(Debug)]
struct Output {
    name: String,
    entry: Expression,
    chain: FilterChain,
    fallback: Option<FilterChain>,
    escaped: bool,
}

impl Renderable for Output {
    fn render_to(&self, writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        let known = self
            .entry
            .try_evaluate(runtime)
            .is_some_and(|value| !value.as_view().is_nil());
        let chain = match (&self.fallback, known) {
            (_, true) => &self.chain,
            (Some(fallback), false) => fallback,
            (None, false) => return Err(Error::with_msg("no value").context(MISSING_MARK, self.name.clone())),
        };
        let text = chain.evaluate(runtime)?.as_view().to_kstr().into_owned();
        charge(runtime, 0, text.len())?;
        let text = if self.escaped {
            escape(&text)
        } else {
            text.into_string()
        };
        writer
            .write_all(text.as_bytes())
            .map_err(|_| Error::with_msg("the output ended"))
    }
}

/// The text with `& < > " '` as entities: safe between tags and within quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for symbol in text.chars() {
        match symbol {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// `{% kith_step %}`: a round of a loop.
#[derive(Clone, Copy, Debug)]
struct StepTag;

impl TagReflection for StepTag {
    fn tag(&self) -> &str {
        STEP
    }

    fn description(&self) -> &str {
        ""
    }
}

impl ParseTag for StepTag {
    fn parse(&self, mut arguments: TagTokenIter<'_>, _options: &Language) -> Result<Box<dyn Renderable>> {
        arguments.expect_nothing()?;
        Ok(Box::new(*self))
    }

    fn reflection(&self) -> &dyn TagReflection {
        self
    }
}

impl Renderable for StepTag {
    fn render_to(&self, _writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        charge(runtime, 1, 0)
    }
}

/// `{% assign NAME = VALUE | FILTERS %}`, with a bound on the value: a loop that doubles a text ends early.
#[derive(Clone, Copy, Debug)]
struct AssignTag;

impl TagReflection for AssignTag {
    fn tag(&self) -> &str {
        "assign"
    }

    fn description(&self) -> &str {
        ""
    }
}

impl ParseTag for AssignTag {
    fn parse(&self, mut arguments: TagTokenIter<'_>, options: &Language) -> Result<Box<dyn Renderable>> {
        let name = arguments.expect_next("assign needs a name")?;
        let name = name.expect_identifier().into_result()?.to_owned();
        let separator = arguments.expect_next("assign needs = after the name")?;
        separator.expect_str("=").into_result()?;
        let value = arguments.expect_next("assign needs a value")?;
        let value = value.expect_filter_chain(options).into_result()?;
        arguments.expect_nothing()?;
        Ok(Box::new(Assign { name, value }))
    }

    fn reflection(&self) -> &dyn TagReflection {
        self
    }
}

#[derive(Debug)]
struct Assign {
    name: String,
    value: FilterChain,
}

impl Renderable for Assign {
    fn render_to(&self, _writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        let value = self.value.evaluate(runtime)?.into_owned();
        let bytes = value.as_scalar().map_or(0, |scalar| scalar.to_kstr().len());
        if bytes > ASSIGNED_BYTES_MAX {
            return Err(Error::with_msg(BUDGET_MARK));
        }
        charge(runtime, 1, bytes)?;
        runtime.set_global(self.name.clone().into(), value);
        Ok(())
    }
}
