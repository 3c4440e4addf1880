//! What segments ask of accounts: the values of the traits that conditions name, and nothing else of an account.
//!
//! Two folds of an account that give the same facts are the same to every segment, so most of what is said of accounts
//! concerns no member. Facts are made from folds; who belongs to an account is the person's fold to say.

use crate::PipelineError;
use crate::accounts::{account_of, stored};
use crate::bytes::{Reader, put_number, put_text, put_value};
use crate::definitions::Definitions;
use kith_expr::{AggregateId, AggregateSpec};
use kith_profile::{AccountFold, FoldPlan, Part, TraitRules};
use kith_segment::Account;
use kith_state::Read;
use kith_types::{SpaceId, Timestamp, Value};
use std::sync::Arc;

/// What the segments of a space ask of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountsAsked {
    /// The aggregate that says which accounts a person belongs to.
    pub(crate) id: AggregateId,
    /// The traits, sorted, each once.
    pub(crate) traits: Box<[Box<str>]>,
}

impl AccountsAsked {
    /// Of these names; nothing where no segment names any.
    pub(crate) fn of(mut traits: Vec<Box<str>>) -> Option<Self> {
        traits.sort_unstable();
        traits.dedup();
        (!traits.is_empty()).then(|| Self {
            id: AggregateSpec::accounts().id(),
            traits: traits.into(),
        })
    }

    /// The accounts of a person, by id: those that their events name, whenever they happened. The plan has the aggregate.
    pub(crate) fn of_person(&self, whole: &Part, plan: &FoldPlan) -> Vec<Value> {
        match whole.aggregate(plan, self.id, Timestamp::MAX) {
            Value::Array(accounts) => accounts,
            _ => Vec::new(),
        }
    }
}

/// What conditions may find of one account.
#[derive(Debug)]
pub(crate) struct AccountFacts {
    group_id: Box<str>,
    /// Of each trait that is asked for, in their order.
    values: Box<[Option<Value>]>,
    /// Which of them a limit may have made other than exact; empty where no answer tells.
    approximate: Box<[bool]>,
}

/// Marks turn nobody's answer, so facts that differ in them alone are the same.
impl PartialEq for AccountFacts {
    fn eq(&self, other: &Self) -> bool {
        self.group_id == other.group_id && self.values == other.values
    }
}

impl AccountFacts {
    pub(crate) fn of(fold: &AccountFold, asked: &AccountsAsked, rules: &TraitRules) -> Self {
        let values = asked.traits.iter().map(|name| fold.trait_value(name, rules).cloned());
        Self {
            group_id: fold.group_id().into(),
            values: values.collect(),
            approximate: Box::default(),
        }
    }

    /// With the marks of limits, for who says how sure an answer is.
    pub(crate) fn marked(fold: &AccountFold, asked: &AccountsAsked, rules: &TraitRules) -> Self {
        let marks = asked.traits.iter().map(|name| fold.trait_approximate(name, rules));
        Self {
            approximate: marks.collect(),
            ..Self::of(fold, asked, rules)
        }
    }

    /// Whether a limit has made other traits inexact: then who is told a change meanwhile must be told it with the marks of
    /// its instant.
    pub(crate) fn marks_differ(&self, other: &Self) -> bool {
        let mark = |facts: &Self, at: usize| facts.approximate.get(at).is_some_and(|mark| *mark);
        (0..self.values.len()).any(|at| mark(self, at) != mark(other, at))
    }

    /// Whether a limit has made any trait inexact.
    pub(crate) fn is_marked(&self) -> bool {
        self.approximate.iter().any(|mark| *mark)
    }

    /// What is said where some of what was said of the account could not be read.
    pub(crate) fn of_a_part(fold: &AccountFold, asked: &AccountsAsked, rules: &TraitRules) -> Self {
        Self {
            approximate: asked.traits.iter().map(|_| true).collect(),
            ..Self::of(fold, asked, rules)
        }
    }

    /// Of an account that nothing is known of.
    pub(crate) fn unknown(group_id: &str, asked: &AccountsAsked) -> Self {
        Self {
            group_id: group_id.into(),
            values: asked.traits.iter().map(|_| None).collect(),
            approximate: Box::default(),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.group_id);
        put_number(out, self.values.len() as u64);
        for (at, value) in self.values.iter().enumerate() {
            let mark = self.approximate.get(at).is_some_and(|mark| *mark);
            out.push(u8::from(value.is_some()) | u8::from(mark) << 1);
            if let Some(value) = value {
                put_value(out, value);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let group_id = reader.text()?.into();
        let (mut values, mut approximate) = (Vec::new(), Vec::new());
        for _ in 0..reader.number()? {
            let said = reader.byte()?;
            approximate.push(said & 2 != 0);
            values.push(match said & 1 {
                0 => None,
                _ => Some(reader.value()?),
            });
        }
        Some(Self {
            group_id,
            values: values.into(),
            approximate: approximate.into(),
        })
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        size_of::<Self>() + self.values.len() * size_of::<Option<Value>>() + bytes.len()
    }
}

/// The accounts of one person as conditions see them.
#[derive(Clone, Copy, Default)]
pub(crate) struct AccountsOf<'a> {
    names: &'a [Box<str>],
    facts: &'a [Arc<AccountFacts>],
}

impl<'a> AccountsOf<'a> {
    /// The facts are those of `asked`.
    pub(crate) fn new(asked: Option<&'a AccountsAsked>, facts: &'a [Arc<AccountFacts>]) -> Self {
        Self {
            names: asked.map_or(&[], |asked| &asked.traits),
            facts,
        }
    }

    pub(crate) fn any(&self, wanted: &mut dyn FnMut(&dyn Account) -> bool) -> bool {
        self.facts.iter().any(|facts| {
            wanted(&Seen {
                names: self.names,
                facts,
            })
        })
    }
}

/// One account as a condition sees it.
struct Seen<'a> {
    names: &'a [Box<str>],
    facts: &'a AccountFacts,
}

impl Seen<'_> {
    fn place(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|known| (**known).cmp(name)).ok()
    }
}

impl Account for Seen<'_> {
    fn id(&self) -> &str {
        &self.facts.group_id
    }

    fn trait_value(&self, name: &str) -> Option<&Value> {
        self.facts.values.get(self.place(name)?)?.as_ref()
    }

    fn trait_approximate(&self, name: &str) -> bool {
        let mark = self.place(name).and_then(|at| self.facts.approximate.get(at));
        mark.is_some_and(|mark| *mark)
    }
}

/// The accounts of a person as they are committed, with the marks of limits; the plan is that of the person's fold.
pub(crate) fn committed(
    reader: &dyn Read,
    space: &SpaceId,
    definitions: &Definitions,
    (whole, plan): (&Part, &FoldPlan),
) -> Result<Vec<Arc<AccountFacts>>, PipelineError> {
    let Some(asked) = &definitions.accounts else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for account in asked.of_person(whole, plan) {
        let Some(group_id) = account.as_str() else { continue };
        let fold = stored(reader, space, account_of(group_id))?;
        let rules = &definitions.trait_rules;
        let facts = fold.map_or_else(
            || AccountFacts::unknown(group_id, asked),
            |fold| AccountFacts::marked(&fold, asked, rules),
        );
        found.push(Arc::new(facts));
    }
    Ok(found)
}
