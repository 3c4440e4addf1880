//! `json_get_text`, `json_get_number`, `json_array_length`: reading the columns that hold JSON as text.
//!
//! Each takes the text and a path ([`super::json_path`]) and gives null where there is no such value: statements over
//! events of many shapes must not fail on one.

use super::json_path::{JsonPath, list_length, text_of};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, Int64Builder, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// The functions of this module.
pub(super) fn all() -> Vec<ScalarUDF> {
    [Reads::Text, Reads::Number, Reads::Length]
        .into_iter()
        .map(|reads| ScalarUDF::from(JsonFunction::new(reads)))
        .collect()
}

/// What is made of the value at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reads {
    /// Text: a string's characters; of numbers, truth values, objects and lists their JSON, exactly as written.
    Text,
    /// The nearest double of a JSON number; null for anything else, a string of digits included.
    Number,
    /// The number of entries of a list; null for anything else.
    Length,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    reads: Reads,
    signature: Signature,
}

impl JsonFunction {
    fn new(reads: Reads) -> Self {
        let signature = Signature::uniform(2, vec![DataType::Utf8View], Volatility::Immutable);
        Self { reads, signature }
    }
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        match self.reads {
            Reads::Text => "json_get_text",
            Reads::Number => "json_get_number",
            Reads::Length => "json_array_length",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.reads {
            Reads::Text => DataType::Utf8View,
            Reads::Number => DataType::Float64,
            Reads::Length => DataType::Int64,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [json, path] = &arguments.args[..] else {
            return exec_err!("{} takes a JSON text and a path", self.name());
        };
        let scalar = matches!((json, path), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { arguments.number_rows };
        let json = json.to_array(rows)?;
        let paths = match path {
            ColumnarValue::Scalar(value) => Paths::One(value.try_as_str().flatten().map(JsonPath::parse)),
            ColumnarValue::Array(array) => Paths::Each(array.as_string_view().clone()),
        };
        let array = self.read(json.as_string_view(), &paths);
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// The path of every row, or each row's own.
enum Paths {
    One(Option<JsonPath>),
    Each(StringViewArray),
}

impl JsonFunction {
    fn read(&self, json: &StringViewArray, paths: &Paths) -> ArrayRef {
        let values = (0..json.len()).map(|row| {
            let text = json.is_valid(row).then(|| json.value(row))?;
            match paths {
                Paths::One(path) => path.as_ref()?.find(text),
                Paths::Each(paths) => JsonPath::parse(paths.is_valid(row).then(|| paths.value(row))?).find(text),
            }
        });
        match self.reads {
            Reads::Text => {
                let mut column = StringViewBuilder::with_capacity(json.len());
                values.for_each(|value| column.append_option(value.and_then(text_of)));
                Arc::new(column.finish())
            }
            Reads::Number => {
                let mut column = Float64Builder::with_capacity(json.len());
                values.for_each(|value| column.append_option(value.and_then(number_of)));
                Arc::new(column.finish())
            }
            Reads::Length => {
                let mut column = Int64Builder::with_capacity(json.len());
                values.for_each(|value| column.append_option(value.and_then(list_length)));
                Arc::new(column.finish())
            }
        }
    }
}

/// JSON numbers that a double can hold: Rust would also read `inf` and `nan`, and what is too large as infinite.
fn number_of(value: &str) -> Option<f64> {
    let starts = value
        .bytes()
        .next()
        .is_some_and(|byte| byte == b'-' || byte.is_ascii_digit());
    let number: f64 = starts.then(|| value.parse().ok())??;
    number.is_finite().then_some(number)
}
