//! The rules of identity as a document: the `spec` of a definition of kind `identity_rules`.
//!
//! Works with [`crate::Rules`], which checks it and makes it ready for use. Plain values; it decides nothing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key under which a document describes the custom types it does not name.
pub(crate) const OTHER_CUSTOM: &str = "custom";

/// The rules as a document: what is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesDocument {
    /// The version of the format: 1, also when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// By type name; `custom` speaks for all custom types that are not named.
    #[serde(default)]
    pub types: BTreeMap<String, TypeDocument>,
}

impl RulesDocument {
    /// The types that it names, without the word for all others.
    pub fn named_types(&self) -> impl Iterator<Item = &str> {
        let names = self.types.keys().map(String::as_str);
        names.filter(|name| *name != OTHER_CUSTOM)
    }
}

/// What a document says of one type: what is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TypeDocument {
    /// The smaller, the higher. Defaults: user_id 10, email 20, phone 30, custom types 40, device_id 50,
    /// anonymous_id 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// Distinct values per profile, 1 to 500. Defaults: user_id 1, others 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Whether it proves who somebody is. Default: user_id only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticates: Option<bool>,
    /// `link`, `first_owner`, `ambiguous` or `last_authenticated`. Default: `last_authenticated` for anonymous_id and
    /// device_id, `link` for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// `email`, `phone`, `trim`, `lowercase` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<String>,
    /// Replacements in what the normaliser gives, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace: Option<Vec<ReplaceDocument>>,
    /// Values to block beside the default ones, compared after normalising and without regard to ASCII case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Vec<String>>,
    /// Regular expressions of values to block beside the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_patterns: Option<Vec<String>>,
    /// `false` drops the default blocked values and pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_blocked: Option<bool>,
}

/// A replacement in a value: every match of the pattern becomes `with`, in which `$1` is the first group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceDocument {
    /// A regular expression.
    pub pattern: String,
    /// What stands in its place.
    pub with: String,
}

/// What happens to a value that appears beside an authenticating identifier other than its holder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It links; limits decide.
    Link,
    /// It belongs to whoever it appeared beside first: a link beside anybody else leaves it out.
    FirstOwner,
    /// Once it appeared beside two, it belongs to neither: every link leaves it out.
    Ambiguous,
    /// It is held, by intervals, by whoever signed in last (contract IDN-9).
    LastAuthenticated,
}

impl Claim {
    pub(crate) const NAMES: &'static str = "link, first_owner, ambiguous, last_authenticated";

    /// The name that definitions use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::FirstOwner => "first_owner",
            Self::Ambiguous => "ambiguous",
            Self::LastAuthenticated => "last_authenticated",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Link, Self::FirstOwner, Self::Ambiguous, Self::LastAuthenticated]
            .into_iter()
            .find(|one| one.as_str() == name)
    }
}
