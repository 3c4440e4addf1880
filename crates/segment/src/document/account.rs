//! `account`: conditions on the traits of one account, read and written.

use super::{Reader, filled_text};
use crate::AccountCondition;
use kith_expr::{
    Beside, DocumentError, VALUE_TEST_KEYS, check_keys, nearest, object_of, parse_value_test, write_value_test,
};
use serde_json::{Map, Value as Json, json};

/// The keys that say what a condition on an account is; each has exactly one of them.
const ACCOUNT_KEYS: [&str; 4] = ["trait", "all", "any", "not"];

impl Reader {
    /// Reads what stands inside `account`.
    pub(super) fn account(&mut self, json: &Json, depth: usize) -> Result<AccountCondition, DocumentError> {
        self.count(depth)?;
        let read = self.account_within(json, depth);
        self.note(read)
    }

    fn account_within(&mut self, json: &Json, depth: usize) -> Result<AccountCondition, DocumentError> {
        if json.is_array() {
            return Err(
                DocumentError::new("expected one condition, found a list").hint("put the list inside `all` or `any`")
            );
        }
        let fields = object_of(json)?;
        let key = account_key(fields)?;
        let inner = &fields[key];
        if key == "trait" {
            let name = filled_text(inner).map_err(|error| error.within(key));
            let (name, test) = name.beside(parse_value_test(fields, &[key]))?;
            let name = name.into();
            return Ok(AccountCondition::Trait { name, test });
        }
        let stray =
            check_keys(fields, &[key]).map_err(|error| error.hint("what belongs to the condition stands inside it"));
        let stray = self.note(stray);
        let read = match key {
            "not" => self
                .account(inner, depth + 1)
                .map(|part| AccountCondition::Not(Box::new(part))),
            "any" => self.accounts(inner, depth).map(AccountCondition::Any),
            _ => self.accounts(inner, depth).map(AccountCondition::All),
        };
        let (_, condition) = stray.beside(read.map_err(|error| error.within(key)))?;
        Ok(condition)
    }

    fn accounts(&mut self, json: &Json, depth: usize) -> Result<Vec<AccountCondition>, DocumentError> {
        self.each_of(json, |reader, item| reader.account(item, depth + 1))
    }
}

/// The one key that says what the condition is.
fn account_key(fields: &Map<String, Json>) -> Result<&'static str, DocumentError> {
    let mut present = ACCOUNT_KEYS.into_iter().filter(|key| fields.contains_key(*key));
    if let Some(key) = present.next() {
        return match present.next() {
            None => Ok(key),
            Some(other) => Err(
                DocumentError::new(format!("both `{key}` and `{other}` in one condition"))
                    .hint("put each into its own entry of an `all`"),
            ),
        };
    }
    let of_people = |key: &&String| super::CONDITION_KEYS.contains(&key.as_str());
    if let Some(key) = fields.keys().find(of_people) {
        let problem = format!("`{key}` asks of a person, and `account` of one account of theirs");
        return Err(DocumentError::new(problem).hint("put it beside the `account`, both inside an `all`"));
    }
    let near = fields.keys().find_map(|key| Some((key, nearest(key, &ACCOUNT_KEYS)?)));
    Err(match (near, fields.keys().next()) {
        (Some((key, near)), _) => DocumentError::new(format!("unknown condition `{key}`: did you mean `{near}`?")),
        (None, Some(key)) if VALUE_TEST_KEYS.contains(&key.as_str()) => {
            DocumentError::new(format!("`{key}` of what? Name a `trait` of the account beside it"))
        }
        (None, Some(key)) => DocumentError::unknown("condition on an account", key, &ACCOUNT_KEYS),
        (None, None) => DocumentError::new(format!("expected one of {}", ACCOUNT_KEYS.join(", "))),
    })
}

pub(super) fn write_account(condition: &AccountCondition) -> Json {
    let list = |parts: &[AccountCondition]| Json::Array(parts.iter().map(write_account).collect());
    match condition {
        AccountCondition::All(parts) => json!({ "all": list(parts) }),
        AccountCondition::Any(parts) => json!({ "any": list(parts) }),
        AccountCondition::Not(part) => json!({ "not": write_account(part) }),
        AccountCondition::Trait { name, test } => {
            let (key, operand) = write_value_test(test);
            json!({ "trait": name, key: operand })
        }
    }
}
