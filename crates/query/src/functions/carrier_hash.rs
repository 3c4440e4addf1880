//! `carrier_hash`: the hash under which the live state keeps what an event's carrier did.
//!
//! The same decision as `carrier_key`, in the form that folds are kept by.

use super::carrier::{nobody, read_identifiers};
use datafusion::arrow::array::{Array, AsArray, FixedSizeBinaryBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use kith_identity::Rules;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Bytes of a hash.
const HASH_BYTES: i32 = 16;

/// `carrier_hash(identifiers)`: null where no identifier can be used.
#[derive(Debug)]
pub(crate) struct CarrierHash {
    rules: Arc<Rules>,
    signature: Signature,
}

impl CarrierHash {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            signature: Signature::uniform(1, vec![DataType::Utf8View], Volatility::Immutable),
        }
    }
}

impl PartialEq for CarrierHash {
    fn eq(&self, other: &Self) -> bool {
        self.rules.fingerprint() == other.rules.fingerprint()
    }
}

impl Eq for CarrierHash {}

impl Hash for CarrierHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rules.fingerprint().hash(state);
    }
}

impl ScalarUDFImpl for CarrierHash {
    fn name(&self) -> &str {
        "carrier_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::FixedSizeBinary(HASH_BYTES))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [identifiers] = &arguments.args[..] else {
            return exec_err!("carrier_hash takes the identifiers of an event");
        };
        let identifiers = identifiers.to_array(arguments.number_rows)?;
        let identifiers = identifiers.as_string_view();
        let mut hashes = FixedSizeBinaryBuilder::with_capacity(identifiers.len(), HASH_BYTES);
        let mut event = nobody()?;
        for text in identifiers {
            let named = text.is_some_and(|text| read_identifiers(text, &mut event));
            let evidence = named.then(|| self.rules.read(&event));
            match evidence.as_ref().and_then(kith_identity::Evidence::carrier) {
                Some(carrier) => hashes.append_value(carrier.hash.to_be_bytes())?,
                None => hashes.append_null(),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(hashes.finish())))
    }
}
