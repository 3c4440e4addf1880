//! From a definition to what can be asked: references resolved, event conditions turned into counts.
//!
//! It asks a [`Context`] for what a definition names and refuses what does not exist, circles and what exceeds the
//! limits. Other segments are put in whole, so membership of them is exact and needs no order among segments.
//! `evaluate` asks the result; nothing here looks at a person.

use crate::english::{lifecycle_phrase, performed_phrase, segment_phrase, sequence_phrase};
use crate::evaluate::{Leaf, Node};
use crate::{Condition, Listed, SegmentDefinition, SegmentError, SegmentErrorKind};
use kith_expr::{AggregateId, AggregateSpec, DocumentError, read_each};
use kith_types::{Event, EventType, SegmentName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How deep segments may refer to segments.
pub const MAX_REFERENCE_DEPTH: usize = 8;
/// How many conditions a segment may hold once those that it refers to are put in.
pub const MAX_COMPILED_CONDITIONS: usize = 5_000;

/// The definitions that a segment may name.
pub trait Context {
    /// The computed trait of that name.
    fn computed_trait(&self, name: &str) -> Option<AggregateSpec>;

    /// The segment of that name.
    fn segment(&self, name: &SegmentName) -> Option<&SegmentDefinition>;

    /// The names of all computed traits, for suggestions.
    fn computed_trait_names(&self) -> Vec<&str>;

    /// The names of all segments, for suggestions.
    fn segment_names(&self) -> Vec<&str>;
}

/// A [`Context`] of definitions held in memory.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// The computed traits by name.
    pub computed_traits: BTreeMap<Box<str>, AggregateSpec>,
    /// The segments by name.
    pub segments: BTreeMap<SegmentName, SegmentDefinition>,
}

impl Context for Definitions {
    fn computed_trait(&self, name: &str) -> Option<AggregateSpec> {
        self.computed_traits.get(name).cloned()
    }

    fn segment(&self, name: &SegmentName) -> Option<&SegmentDefinition> {
        self.segments.get(name)
    }

    fn computed_trait_names(&self) -> Vec<&str> {
        self.computed_traits.keys().map(|name| &**name).collect()
    }

    fn segment_names(&self) -> Vec<&str> {
        self.segments.keys().map(SegmentName::as_str).collect()
    }
}

/// A segment ready to be asked. It stays true to the definitions it was compiled from: compile it again when one of
/// [`CompiledSegment::references`] or a computed trait it uses is changed.
#[derive(Clone, Debug)]
pub struct CompiledSegment {
    definition: SegmentDefinition,
    /// In the order of the document, for explanations.
    pub(crate) explained: Node,
    /// The same, what is cheap to ask first.
    pub(crate) asked: Node,
    aggregates: Vec<AggregateSpec>,
    aggregate_ids: Vec<AggregateId>,
    traits: Vec<Box<str>>,
    account_traits: Vec<Box<str>>,
    computed_traits: Vec<Box<str>>,
    references: Vec<SegmentName>,
    consents: Vec<Box<str>>,
    identifier_types: Vec<Box<str>>,
    uses_profile_id: bool,
}

impl CompiledSegment {
    /// Whether both ask the same, down to the computed traits and segments that they name.
    #[must_use]
    pub fn asks_as(&self, other: &Self) -> bool {
        // Trees are spelt out whole, and say all that they ask.
        format!("{:?}", self.explained) == format!("{:?}", other.explained)
    }

    /// Resolves what the definition names.
    ///
    /// # Errors
    /// For a computed trait or a segment that `context` has not, for segments that refer to one another in a circle
    /// or deeper than [`MAX_REFERENCE_DEPTH`], and for more than [`MAX_COMPILED_CONDITIONS`].
    pub fn compile(definition: &SegmentDefinition, context: &dyn Context) -> Result<Self, SegmentError> {
        let mut compiler = Compiler {
            context,
            path: vec![definition.name.clone()],
            conditions_left: Some(MAX_COMPILED_CONDITIONS),
            first: None,
            aggregates: Vec::new(),
            traits: Vec::new(),
            account_traits: Vec::new(),
            computed_traits: Vec::new(),
            references: Vec::new(),
            consents: Vec::new(),
            identifier_types: Vec::new(),
            uses_profile_id: false,
        };
        let explained = compiler.node(&definition.condition).map_err(|problem| {
            let kind = compiler.first.unwrap_or(SegmentErrorKind::Document);
            SegmentError::new(kind, definition.name.as_str(), problem.within("where").within("spec"))
        })?;
        let (aggregate_ids, aggregates) = compiler.aggregates.into_iter().unzip();
        Ok(Self {
            definition: definition.clone(),
            asked: explained.ordered_by_cost(),
            explained,
            aggregates,
            aggregate_ids,
            traits: sorted(compiler.traits),
            account_traits: sorted(compiler.account_traits),
            computed_traits: sorted(compiler.computed_traits),
            references: sorted(compiler.references),
            consents: sorted(compiler.consents),
            identifier_types: sorted(compiler.identifier_types),
            uses_profile_id: compiler.uses_profile_id,
        })
    }

    /// The lists of identifiers that stand in the definition itself, not in what it refers to.
    #[must_use]
    pub fn lists(&self) -> Vec<&Listed> {
        let mut found = Vec::new();
        add_lists(&self.definition.condition, &mut found);
        found
    }

    /// The segment's name.
    #[must_use]
    pub fn name(&self) -> &SegmentName {
        &self.definition.name
    }

    /// What it was compiled from.
    #[must_use]
    pub fn definition(&self) -> &SegmentDefinition {
        &self.definition
    }

    /// What the profile fold has to keep for it, each once: its computed traits and, for events performed, counts.
    #[must_use]
    pub fn aggregates(&self) -> &[AggregateSpec] {
        &self.aggregates
    }

    /// The ids of [`CompiledSegment::aggregates`], in the same order.
    #[must_use]
    pub fn aggregate_ids(&self) -> &[AggregateId] {
        &self.aggregate_ids
    }

    /// The traits it asks for, sorted.
    #[must_use]
    pub fn traits(&self) -> &[Box<str>] {
        &self.traits
    }

    /// The traits of accounts it asks for, sorted; none where it asks nothing of accounts.
    #[must_use]
    pub fn account_traits(&self) -> &[Box<str>] {
        &self.account_traits
    }

    /// The computed traits it asks for, sorted.
    #[must_use]
    pub fn computed_traits(&self) -> &[Box<str>] {
        &self.computed_traits
    }

    /// The segments it refers to, directly or through others, sorted.
    #[must_use]
    pub fn references(&self) -> &[SegmentName] {
        &self.references
    }

    /// Whether it asks for a trait, of the person or of an account.
    #[must_use]
    pub fn depends_on_traits(&self) -> bool {
        !self.traits.is_empty() || !self.account_traits.is_empty()
    }

    /// The categories of consent it asks for, sorted.
    #[must_use]
    pub fn consents(&self) -> &[Box<str>] {
        &self.consents
    }

    /// Whether it asks for a consent.
    #[must_use]
    pub fn depends_on_consent(&self) -> bool {
        !self.consents.is_empty()
    }

    /// The types of the identifiers that it lists, sorted.
    #[must_use]
    pub fn identifier_types(&self) -> &[Box<str>] {
        &self.identifier_types
    }

    /// Whether it asks for identifiers.
    #[must_use]
    pub fn depends_on_identifiers(&self) -> bool {
        !self.identifier_types.is_empty()
    }

    /// Whether it asks for a share of all people, which nothing that is known of a person decides.
    #[must_use]
    pub fn depends_on_profile_id(&self) -> bool {
        self.uses_profile_id
    }

    /// Whether any event may touch it, whatever it says: it asks for a consent or for identifiers.
    #[must_use]
    pub fn depends_on_every_event(&self) -> bool {
        self.depends_on_consent() || self.depends_on_identifiers()
    }

    /// Whether an event of that type and name may be counted by one of its aggregates.
    #[must_use]
    pub fn touches_event(&self, event_type: EventType, name: &str) -> bool {
        self.aggregates
            .iter()
            .any(|aggregate| aggregate.may_match(event_type, name))
    }

    /// Whether applying the event may change membership or the next transition. Where not, a person who was evaluated
    /// before needs no evaluation because of this event; a new or regrouped person always does.
    ///
    /// It errs on the side of asking: every event touches a segment that asks for a consent, for identifiers or for
    /// accounts, whatever the event says. What is said of an account touches its other members, too.
    #[must_use]
    pub fn touched_by(&self, event: &Event) -> bool {
        self.depends_on_every_event()
            || self.aggregates.iter().any(|aggregate| aggregate.matches(event))
            || event.traits.iter().any(|(key, _)| self.touches_trait(key))
    }

    /// Whether it asks for the trait of that name, or for one inside it (`address.city` for `address`).
    #[must_use]
    pub fn touches_trait(&self, key: &str) -> bool {
        self.traits.iter().any(|name| {
            name.strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

fn sorted<T: Ord>(mut names: Vec<T>) -> Vec<T> {
    names.sort_unstable();
    names.dedup();
    names
}

struct Compiler<'a> {
    context: &'a dyn Context,
    /// The segments that are being put in, outermost first.
    path: Vec<SegmentName>,
    /// How many more conditions there may be; nothing once there were too many, which is told once.
    conditions_left: Option<usize>,
    /// What has to be done about the first mistake.
    first: Option<SegmentErrorKind>,
    aggregates: Vec<(AggregateId, AggregateSpec)>,
    traits: Vec<Box<str>>,
    account_traits: Vec<Box<str>>,
    computed_traits: Vec<Box<str>>,
    references: Vec<SegmentName>,
    consents: Vec<Box<str>>,
    identifier_types: Vec<Box<str>>,
    uses_profile_id: bool,
}

impl Compiler<'_> {
    fn node(&mut self, condition: &Condition) -> Result<Node, DocumentError> {
        self.conditions_left = self.conditions_left.and_then(|left| left.checked_sub(1));
        if self.conditions_left.is_none() {
            let limit = MAX_COMPILED_CONDITIONS;
            let problem = format!("more than {limit} conditions, those of the segments it refers to included");
            return Err(self.refuse(SegmentErrorKind::Limit, problem));
        }
        Ok(match condition {
            Condition::All(parts) => Node::All(self.nodes(parts, "all")?),
            Condition::Any(parts) => Node::Any(self.nodes(parts, "any")?),
            Condition::Not(part) => Node::Not(Box::new(self.node(part).map_err(|error| error.within("not"))?)),
            Condition::Performed(performed) => {
                let spec = AggregateSpec::count(performed.filter.clone(), performed.window);
                Node::Leaf(Leaf::Count {
                    id: self.aggregate(spec),
                    count: performed.count,
                    phrase: performed_phrase(performed).into(),
                })
            }
            Condition::Sequence(done) => {
                let spec = AggregateSpec::sequences(done.first.clone(), done.sequence.clone(), done.window);
                Node::Leaf(Leaf::Count {
                    id: self.aggregate(spec),
                    count: done.count,
                    phrase: sequence_phrase(done).into(),
                })
            }
            Condition::Lifecycle(lifecycle) => {
                let parts = lifecycle.conditions();
                let parts = parts.iter().map(|part| self.node(part)).collect::<Result<_, _>>()?;
                Node::Named(lifecycle_phrase(lifecycle).into(), Box::new(Node::All(parts)))
            }
            Condition::Trait { name, test } => {
                self.traits.push(name.clone());
                Node::Leaf(Leaf::Trait {
                    name: name.clone(),
                    test: test.clone(),
                })
            }
            Condition::ComputedTrait { name, test } => {
                let Some(spec) = self.context.computed_trait(name) else {
                    return Err(self.unknown("computed trait", name, "computed_trait"));
                };
                self.computed_traits.push(name.clone());
                Node::Leaf(Leaf::Aggregate {
                    id: self.aggregate(spec),
                    name: name.clone(),
                    test: test.clone(),
                })
            }
            Condition::Account(condition) => {
                condition.traits(&mut self.account_traits);
                Node::Leaf(Leaf::Account {
                    id: self.aggregate(AggregateSpec::accounts()),
                    condition: Box::new(condition.clone()),
                })
            }
            Condition::Consent { category, answer } => {
                self.consents.push(category.clone());
                Node::Leaf(Leaf::Consent {
                    category: category.clone(),
                    answer: *answer,
                })
            }
            Condition::Segment(name) => self.segment(name)?,
            Condition::Bucket(bucket) => {
                self.uses_profile_id = true;
                Node::Leaf(Leaf::Bucket(bucket.clone()))
            }
            Condition::Listed(listed) => {
                // In order, so those of a type stand together.
                let types = listed.identifiers().chunk_by(|one, next| one.kind == next.kind);
                let types = types.filter_map(|of_type| of_type.first());
                self.identifier_types
                    .extend(types.map(|one| one.kind.to_string().into()));
                Node::Leaf(Leaf::Listed(Arc::clone(listed.hashes())))
            }
        })
    }

    fn nodes(&mut self, parts: &[Condition], key: &str) -> Result<Box<[Node]>, DocumentError> {
        let nodes = read_each(parts.iter().enumerate().map_while(|(at, part)| {
            self.conditions_left?;
            Some(self.node(part).map_err(|error| error.item(at).within(key)))
        }));
        nodes.map(Vec::into_boxed_slice)
    }

    fn aggregate(&mut self, spec: AggregateSpec) -> AggregateId {
        let id = spec.id();
        if !self.aggregates.iter().any(|(known, _)| *known == id) {
            self.aggregates.push((id, spec));
        }
        id
    }

    fn segment(&mut self, name: &SegmentName) -> Result<Node, DocumentError> {
        if let Some(from) = self.path.iter().position(|outer| outer == name) {
            let circle: Vec<&str> = self.path[from..]
                .iter()
                .chain([name])
                .map(SegmentName::as_str)
                .collect();
            let problem = format!("segments refer to one another in a circle: {}", circle.join(" -> "));
            return Err(self.refuse(SegmentErrorKind::Cycle, problem).within("segment"));
        }
        if self.path.len() > MAX_REFERENCE_DEPTH {
            let problem = format!("segments refer to segments deeper than {MAX_REFERENCE_DEPTH}");
            return Err(self.refuse(SegmentErrorKind::Limit, problem).within("segment"));
        }
        let Some(definition) = self.context.segment(name) else {
            return Err(self.unknown("segment", name.as_str(), "segment"));
        };
        self.references.push(name.clone());
        self.path.push(name.clone());
        let inner = self.node(&definition.condition);
        self.path.pop();
        // The place of a problem inside the other segment means nothing in this document, and one is enough of those.
        let inner = inner.map_err(|error| {
            DocumentError::new(format!("within segment {name}: {}", error.problem())).within("segment")
        })?;
        Ok(Node::Named(segment_phrase(name).into(), Box::new(inner)))
    }

    fn unknown(&mut self, what: &str, name: &str, key: &str) -> DocumentError {
        self.first.get_or_insert(SegmentErrorKind::UnknownReference);
        let known = if key == "segment" {
            // Those that are being put in cannot be meant: they would be asked within themselves.
            let mut names = self.context.segment_names();
            names.retain(|known| !self.path.iter().any(|outer| outer.as_str() == *known));
            names
        } else {
            self.context.computed_trait_names()
        };
        unknown_name(what, name, &known).within(key)
    }

    fn refuse(&mut self, kind: SegmentErrorKind, problem: String) -> DocumentError {
        self.first.get_or_insert(kind);
        DocumentError::new(problem)
    }
}

/// A name that nothing has, with the nearest of those that there are.
pub(crate) fn unknown_name(what: &str, name: &str, known: &[&str]) -> DocumentError {
    if known.is_empty() {
        return DocumentError::new(format!("unknown {what} `{name}`: none is defined"));
    }
    DocumentError::unknown(what, name, known)
}

fn add_lists<'a>(condition: &'a Condition, found: &mut Vec<&'a Listed>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| add_lists(part, found)),
        Condition::Not(part) => add_lists(part, found),
        Condition::Listed(listed) => found.push(listed),
        _ => {}
    }
}
