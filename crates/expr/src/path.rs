//! A dotted path to a value inside an object.

use kith_types::{Object, Value};
use std::fmt;

/// A path such as `total` or `order.shipping.country`.
///
/// A key that holds the whole path wins over nesting (`{"a.b": 1}` before `{"a": {"b": 2}}`). A path does not enter
/// lists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Box<str>);

impl Path {
    /// The path that `text` writes; `None` when a step is empty.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.split('.').any(str::is_empty)).then(|| Self(text.into()))
    }

    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value at this path, if the object has one.
    #[must_use]
    pub fn get<'a>(&self, object: &'a Object) -> Option<&'a Value> {
        let field =
            |object: &'a Object, key: &str| object.iter().find(|(name, _)| &**name == key).map(|(_, value)| value);
        if let Some(value) = field(object, &self.0) {
            return Some(value);
        }
        let (first, rest) = self.0.split_once('.')?;
        rest.split('.')
            .try_fold(field(object, first)?, |value, step| value.get(step))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_enter_objects_and_prefer_the_whole_key() {
        let object = vec![
            (
                "a".into(),
                Value::Object(vec![("b".into(), Value::from(2)), ("c".into(), Value::from(3))]),
            ),
            ("a.b".into(), Value::from(1)),
        ];
        let get = |text: &str| Path::new(text).unwrap().get(&object).cloned();
        assert_eq!(get("a.b"), Some(Value::from(1)));
        assert_eq!(get("a.c"), Some(Value::from(3)));
        assert_eq!(get("a.c.d"), None);
        assert_eq!(get("b"), None);
        for wrong in ["", ".", "a.", ".a", "a..b"] {
            assert!(Path::new(wrong).is_none(), "{wrong}");
        }
    }
}
