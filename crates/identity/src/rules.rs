//! The rules of identity: per identifier type its priority, limit, blocked values, normaliser and claim policy.
//!
//! Works with the definition document of kind `identity` ([`RulesDocument`]) and with [`crate::Evidence`], which is
//! read under it. Rules never change in place: a new document is new [`Rules`] with another fingerprint.

use crate::document::{Claim, OTHER_CUSTOM, ReplaceDocument, RulesDocument, TypeDocument, read_in_parts};
use crate::evidence::{BlockedBecause, MAX_VALUE_BYTES};
use crate::normalise::Normaliser;
use kith_expr::{Beside, DocumentError, read_each};
use kith_types::{Identifier, IdentifierType};
use regex::{Regex, RegexBuilder};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version of the document format and of the way identity follows from evidence; part of the fingerprint.
const VERSION: u32 = 1;
const MAX_TYPES: usize = 100;
const MAX_LIMIT: u32 = 500;
const MAX_BLOCKED: usize = 10_000;
const MAX_PATTERNS: usize = 50;
const MAX_PATTERN_BYTES: usize = 500;
const MAX_REPLACEMENTS: usize = 10;
const MAX_REPLACEMENT_BYTES: usize = 100;
/// Values that programs send when they know nobody; compared without regard to ASCII case.
const NOBODY: &[&str] = &[
    "",
    "-1",
    "0",
    "null",
    "nil",
    "undefined",
    "anonymous",
    "none",
    "n/a",
    "na",
    "nan",
    "unknown",
    "guest",
    "true",
    "false",
    "[object object]",
    "{}",
    "[]",
];
/// All zeros and dashes, the nil UUID among them.
const ZEROS: &str = "^[0-]*$";

/// The rules of one type.
#[derive(Clone, Debug)]
pub struct TypeRule {
    /// The smaller, the higher.
    pub priority: u16,
    /// Distinct values per profile.
    pub limit: u32,
    /// Whether it proves who somebody is.
    pub authenticates: bool,
    /// What a second claim does.
    pub claim: Claim,
    /// How values are spelt.
    pub normalise: Normaliser,
    replace: Vec<(Regex, Box<str>)>,
    blocked: FxHashSet<Box<str>>,
    patterns: Vec<Regex>,
    zeros: bool,
}

/// The rules of a space.
#[derive(Clone, Debug)]
pub struct Rules {
    fixed: [TypeRule; 5],
    named: FxHashMap<Arc<str>, TypeRule>,
    other: TypeRule,
    document: RulesDocument,
    fingerprint: u128,
}

impl Default for Rules {
    fn default() -> Self {
        let fixed = [
            TypeRule::default_of(&IdentifierType::UserId),
            TypeRule::default_of(&IdentifierType::Email),
            TypeRule::default_of(&IdentifierType::Phone),
            TypeRule::default_of(&IdentifierType::DeviceId),
            TypeRule::default_of(&IdentifierType::AnonymousId),
        ];
        let other = TypeRule::default_of(&IdentifierType::from_name(OTHER_CUSTOM));
        let mut rules = Self {
            fixed,
            named: FxHashMap::default(),
            other,
            document: RulesDocument::default(),
            fingerprint: 0,
        };
        rules.fingerprint = rules.compute_fingerprint();
        rules
    }
}

impl Rules {
    /// The rules that a document describes.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place and how to mend it: an unknown version, policy or normaliser, a limit or
    /// pattern out of bounds, a type that is both held and authenticating.
    pub fn from_document(document: &RulesDocument) -> Result<Self, DocumentError> {
        let version = match document.version {
            None | Some(VERSION) => Ok(()),
            Some(other) => Err(DocumentError::new(format!("{other} is not known; write {VERSION}")).within("version")),
        };
        let mut rules = Self {
            document: document.clone(),
            ..Self::default()
        };
        version.beside(rules.amend(document).map_err(|error| error.within("types")))?;
        rules.fingerprint = rules.compute_fingerprint();
        Ok(rules)
    }

    /// The rules that a JSON document describes: the `spec` of a definition of kind `identity_rules`.
    ///
    /// # Errors
    /// As [`Rules::from_document`]; also for what is no such document, and then for all else that is wrong with what can be read.
    pub fn from_json(spec: &serde_json::Value) -> Result<Self, DocumentError> {
        if !spec.is_object() {
            return Err(DocumentError::new("expected an object such as {\"types\": {}}"));
        }
        match RulesDocument::deserialize(spec) {
            Ok(document) => Self::from_document(&document),
            Err(refused) => {
                let (document, wrong) = read_in_parts(spec);
                // What every part lets pass is refused all the same, in the words of who refuses it.
                let wrong = wrong.unwrap_or_else(|| DocumentError::new(refused.to_string()));
                Err(match Self::from_document(&document) {
                    Ok(_) => wrong,
                    Err(more) => wrong.and(more),
                })
            }
        }
    }

    fn amend(&mut self, document: &RulesDocument) -> Result<(), DocumentError> {
        if document.types.len() > MAX_TYPES {
            return Err(DocumentError::new(format!("at most {MAX_TYPES} types can be named")));
        }
        let other = match document.types.get(OTHER_CUSTOM) {
            Some(spoken) => self.other.amend(spoken).map_err(|error| error.within(OTHER_CUSTOM)),
            None => Ok(()),
        };
        let named = document.types.iter().filter(|(name, _)| *name != OTHER_CUSTOM);
        let named = read_each(named.map(|(name, spoken)| {
            check_name(name)?;
            let kind = IdentifierType::from_name(name);
            let amended = match (fixed_index(&kind), kind) {
                (Some(index), _) => self.fixed[index].amend(spoken),
                (None, IdentifierType::Custom(custom)) => {
                    let mut rule = self.other.clone();
                    let amended = rule.amend(spoken);
                    self.named.insert(custom, rule);
                    amended
                }
                (None, _) => Ok(()),
            };
            amended.map_err(|error| error.within(name))
        }));
        other.beside(named).map(drop)
    }

    /// The document as it was given.
    #[must_use]
    pub fn document(&self) -> &RulesDocument {
        &self.document
    }

    /// What names these rules: equal for documents that mean the same.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// The rules of a type.
    #[must_use]
    pub fn of(&self, kind: &IdentifierType) -> &TypeRule {
        match (fixed_index(kind), kind) {
            (Some(index), _) => &self.fixed[index],
            (None, IdentifierType::Custom(name)) if !self.named.is_empty() => {
                self.named.get(name).unwrap_or(&self.other)
            }
            (None, _) => &self.other,
        }
    }

    /// An identifier in its one spelling; nothing where its value is none of its type. It may be blocked still.
    #[must_use]
    pub fn spell(&self, sent: &Identifier) -> Option<Identifier> {
        let value = self.of(&sent.kind).spell(&sent.value)?;
        Some(Identifier {
            kind: sent.kind.clone(),
            value: Arc::from(&*value),
        })
    }

    /// Why an identifier as sent is not used; nothing where it is.
    #[must_use]
    pub fn refuses(&self, sent: &Identifier) -> Option<BlockedBecause> {
        self.of(&sent.kind).accept(&sent.value).err()
    }

    /// Whether events have the same identifiers, carriers, held identifiers and sign-ins under both rules: what differs
    /// is how they link. Then components stay as they are connected, and each can be worked out anew by itself.
    #[must_use]
    pub fn reads_as(&self, other: &Self) -> bool {
        let fixed = self
            .fixed
            .iter()
            .zip(&other.fixed)
            .all(|(one, other)| one.reads_as(other));
        let mut named = self.named.keys().chain(other.named.keys());
        let custom = |rules: &'_ Self, name: &Arc<str>| rules.named.get(name).unwrap_or(&rules.other).clone();
        fixed
            && self.other.reads_as(&other.other)
            && named.all(|name| custom(self, name).reads_as(&custom(other, name)))
    }

    fn compute_fingerprint(&self) -> u128 {
        let mut text = format!("{VERSION}");
        let names = ["user_id", "email", "phone", "device_id", "anonymous_id"];
        let named: BTreeMap<&str, &TypeRule> = self.named.iter().map(|(name, rule)| (&**name, rule)).collect();
        let all = names
            .into_iter()
            .zip(&self.fixed)
            .chain([(OTHER_CUSTOM, &self.other)])
            .chain(named);
        for (name, rule) in all {
            let mut blocked: Vec<&str> = rule.blocked.iter().map(|value| &**value).collect();
            blocked.sort_unstable();
            let mut patterns: Vec<&str> = rule.patterns.iter().map(Regex::as_str).collect();
            patterns.sort_unstable();
            text.push_str(&format!(
                "\n{name:?} {} {} {} {:?} {:?} {blocked:?} {patterns:?} {}",
                rule.priority, rule.limit, rule.authenticates, rule.claim, rule.normalise, rule.zeros
            ));
            for (pattern, with) in &rule.replace {
                text.push_str(&format!(" {:?} {with:?}", pattern.as_str()));
            }
        }
        let hash = blake3::derive_key("kith identity rules", text.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        u128::from_be_bytes(first)
    }
}

impl TypeRule {
    /// Whether values of this type are held by intervals.
    #[must_use]
    pub fn held(&self) -> bool {
        self.claim == Claim::LastAuthenticated
    }

    fn reads_as(&self, other: &Self) -> bool {
        let patterns = |rule: &Self| {
            rule.patterns
                .iter()
                .map(|pattern| pattern.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        let replace = |rule: &Self| {
            let shown = rule
                .replace
                .iter()
                .map(|(pattern, with)| (pattern.as_str().to_owned(), with.clone()));
            shown.collect::<Vec<_>>()
        };
        (
            self.priority,
            self.held(),
            self.authenticates,
            self.normalise,
            self.zeros,
        ) == (
            other.priority,
            other.held(),
            other.authenticates,
            other.normalise,
            other.zeros,
        ) && self.blocked == other.blocked
            && patterns(self) == patterns(other)
            && replace(self) == replace(other)
    }

    /// The one spelling of a value: normalised, then replaced; nothing where it is no value of this type.
    #[must_use]
    pub fn spell<'a>(&self, value: &'a str) -> Option<Cow<'a, str>> {
        let mut spelt = self.normalise.normalise(value)?;
        for (pattern, with) in &self.replace {
            if let Cow::Owned(replaced) = pattern.replace_all(&spelt, &**with) {
                spelt = Cow::Owned(replaced);
            }
            if spelt.len() > MAX_VALUE_BYTES {
                return None;
            }
        }
        Some(spelt)
    }

    /// The normalised value (`None`: as sent is right), or why it is not used.
    pub(crate) fn accept(&self, value: &str) -> Result<Option<Arc<str>>, BlockedBecause> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(BlockedBecause::TooLong);
        }
        if self.is_blocked_value(value.trim()) {
            return Err(BlockedBecause::Value);
        }
        let normalised = self.spell(value).ok_or(BlockedBecause::Malformed)?;
        if normalised.is_empty() || self.is_blocked_value(&normalised) {
            return Err(BlockedBecause::Value);
        }
        let zeros = self.zeros && normalised.bytes().all(|byte| byte == b'0' || byte == b'-');
        if zeros || self.patterns.iter().any(|pattern| pattern.is_match(&normalised)) {
            return Err(BlockedBecause::Pattern);
        }
        Ok((&*normalised != value).then(|| Arc::from(&*normalised)))
    }

    fn is_blocked_value(&self, value: &str) -> bool {
        if value.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.blocked.contains(&*value.to_ascii_lowercase())
        } else {
            self.blocked.contains(value)
        }
    }

    fn default_of(kind: &IdentifierType) -> Self {
        let (priority, limit, claim, normalise) = match kind {
            IdentifierType::UserId => (10, 1, Claim::Link, Normaliser::Trim),
            IdentifierType::Email => (20, 5, Claim::Link, Normaliser::Email),
            IdentifierType::Phone => (30, 5, Claim::Link, Normaliser::Phone),
            IdentifierType::Custom(_) => (40, 5, Claim::Link, Normaliser::Trim),
            IdentifierType::DeviceId => (50, 5, Claim::LastAuthenticated, Normaliser::Trim),
            IdentifierType::AnonymousId => (60, 5, Claim::LastAuthenticated, Normaliser::Trim),
        };
        Self {
            priority,
            limit,
            authenticates: *kind == IdentifierType::UserId,
            claim,
            normalise,
            replace: Vec::new(),
            blocked: NOBODY.iter().map(|value| Box::from(*value)).collect(),
            patterns: Vec::new(),
            zeros: true,
        }
    }

    /// Says of itself what a document does. Where that has a mistake it stays as it was.
    fn amend(&mut self, spoken: &TypeDocument) -> Result<(), DocumentError> {
        let limit = match spoken.limit {
            Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => {
                Err(DocumentError::new(format!("{limit} is not between 1 and {MAX_LIMIT}")).within("limit"))
            }
            limit => Ok(limit.unwrap_or(self.limit)),
        };
        let claim = match &spoken.claim {
            Some(name) => Claim::from_name(name)
                .ok_or_else(|| DocumentError::unknown("claim policy", name, &Claim::NAMES).within("claim")),
            None => Ok(self.claim),
        };
        let authenticates = spoken.authenticates.unwrap_or(self.authenticates);
        let fits = match &claim {
            Ok(claim) if *claim != Claim::Link && authenticates => {
                let claim = claim.as_str();
                let what = format!("a type with claim {claim} cannot authenticate; set one of them otherwise");
                Err(DocumentError::new(what).within("authenticates"))
            }
            _ => Ok(()),
        };
        let normalise = match &spoken.normalise {
            Some(name) => Normaliser::from_name(name)
                .ok_or_else(|| DocumentError::unknown("normaliser", name, &Normaliser::NAMES).within("normalise")),
            None => Ok(self.normalise),
        };
        let replace = spoken.replace.as_deref().map(replacements_of).transpose();
        let read = limit.beside(claim).beside(fits).beside(normalise).beside(replace);
        let (((((limit, claim), ()), normalise), replace), (patterns, zeros)) = read.beside(blocked_of(spoken))?;
        self.priority = spoken.priority.unwrap_or(self.priority);
        (self.limit, self.claim, self.authenticates) = (limit, claim, authenticates);
        self.normalise = normalise;
        self.replace = replace.unwrap_or_else(|| std::mem::take(&mut self.replace));
        if spoken.default_blocked == Some(false) {
            self.blocked.clear();
            self.zeros = false;
        }
        self.zeros |= zeros;
        self.patterns.extend(patterns);
        for value in spoken.blocked.iter().flatten() {
            let spelt = self.spell(value);
            let spelt = spelt.as_deref().unwrap_or(value).to_ascii_lowercase();
            self.blocked.insert(spelt.into_boxed_str());
        }
        Ok(())
    }
}

/// The patterns that a document blocks, and whether the default one is among them. Its values are counted.
fn blocked_of(spoken: &TypeDocument) -> Result<(Vec<Regex>, bool), DocumentError> {
    let values = spoken.blocked.as_deref().unwrap_or_default();
    let values = match values.len() {
        0..=MAX_BLOCKED => Ok(()),
        _ => Err(DocumentError::new(format!("at most {MAX_BLOCKED} values; use a pattern")).within("blocked")),
    };
    let patterns = spoken.blocked_patterns.as_deref().unwrap_or_default();
    let zeros = patterns.iter().any(|pattern| pattern == ZEROS);
    let built = match patterns.len() {
        0..=MAX_PATTERNS => {
            let own = patterns.iter().enumerate().filter(|(_, pattern)| *pattern != ZEROS);
            read_each(own.map(|(at, pattern)| pattern_of(pattern).map_err(|error| error.item(at))))
        }
        _ => Err(DocumentError::new(format!("at most {MAX_PATTERNS} patterns"))),
    };
    let ((), built) = values.beside(built.map_err(|error| error.within("blocked_patterns")))?;
    Ok((built, zeros))
}

fn replacements_of(spoken: &[ReplaceDocument]) -> Result<Vec<(Regex, Box<str>)>, DocumentError> {
    let built = match spoken.len() {
        0..=MAX_REPLACEMENTS => read_each(spoken.iter().enumerate().map(|(at, one)| {
            let with = match one.with.len() {
                0..=MAX_REPLACEMENT_BYTES => Ok(Box::from(one.with.as_str())),
                _ => Err(DocumentError::new(format!("longer than {MAX_REPLACEMENT_BYTES} bytes")).within("with")),
            };
            let pattern = pattern_of(&one.pattern).map_err(|error| error.within("pattern"));
            pattern.beside(with).map_err(|error| error.item(at))
        })),
        _ => Err(DocumentError::new(format!("at most {MAX_REPLACEMENTS} replacements"))),
    };
    built.map_err(|error| error.within("replace"))
}

fn pattern_of(pattern: &str) -> Result<Regex, DocumentError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(DocumentError::new(format!("longer than {MAX_PATTERN_BYTES} bytes")));
    }
    RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .dfa_size_limit(1 << 20)
        .build()
        .map_err(|error| DocumentError::new(error.to_string()))
}

fn fixed_index(kind: &IdentifierType) -> Option<usize> {
    match kind {
        IdentifierType::UserId => Some(0),
        IdentifierType::Email => Some(1),
        IdentifierType::Phone => Some(2),
        IdentifierType::DeviceId => Some(3),
        IdentifierType::AnonymousId => Some(4),
        IdentifierType::Custom(_) => None,
    }
}

fn check_name(name: &str) -> Result<(), DocumentError> {
    if !IdentifierType::is_name(name) {
        let shown: String = name.chars().take(64).collect();
        let what = format!("{shown:?} is no type name: 1 to 64 bytes without white space and without a colon");
        return Err(DocumentError::new(what));
    }
    Ok(())
}
