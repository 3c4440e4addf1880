//! JSON that is passed through as it is, so that exact numbers stay exact.

use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt;

/// A JSON value as text. Numbers keep every digit, which `serde_json::Value` would not.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// The value of that JSON text; `None` for text that is not JSON.
    #[must_use]
    pub fn from_text(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }

    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// Whatever serialises as JSON.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        serde_json::value::to_raw_value(value).map_or_else(|_| Self::null(), Self)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_text(&self) -> &str {
        self.0.get()
    }
}

impl From<&kith_types::Value> for RawJson {
    fn from(value: &kith_types::Value) -> Self {
        // What a value writes is JSON.
        Self::from_text(value.to_json()).unwrap_or_else(Self::null)
    }
}

impl From<&kith_types::Object> for RawJson {
    fn from(fields: &kith_types::Object) -> Self {
        let mut text = String::from("{");
        for (at, (name, value)) in fields.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            kith_types::Value::from(&**name).write_json(&mut text);
            text.push(':');
            value.write_json(&mut text);
        }
        text.push('}');
        Self::from_text(text).unwrap_or_else(Self::null)
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_text())
    }
}

impl utoipa::PartialSchema for RawJson {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        // A schema without a type allows every value.
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::SchemaType::AnyValue)
            .description(Some("Any JSON value, its numbers exact."))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for RawJson {}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_types::Value;

    #[test]
    fn col_8_values_are_passed_through_exactly() {
        let fields = vec![
            (
                "a \"b\"".into(),
                Value::Number("12345678901234567890.5".parse().unwrap()),
            ),
            ("n".into(), Value::Array(vec![Value::Null, Value::from("\u{0}é")])),
        ];
        let whole = Value::Object(fields.clone());
        assert_eq!(RawJson::from(&fields).as_text(), whole.to_json());
        assert_eq!(serde_json::to_string(&RawJson::from(&whole)).unwrap(), whole.to_json());
        assert!(RawJson::from_text("{".to_owned()).is_none());
    }
}
