//! `carrier_hash`: the hash under which the live state keeps what an event's carrier did.
//!
//! The same decision as `carrier_key`, in the form that folds are kept by. Identifiers are read once for many events: those of
//! a visit stand near one another and say who they are in the same words.

use super::carrier::{nobody, read_identifiers};
use datafusion::arrow::array::{Array, AsArray, Decimal128Builder};
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use kith_identity::Rules;
use kith_types::Event;
use rustc_hash::FxHashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// 128 bits as one number, since rows are grouped by numbers several times as fast as by bytes. It is a hash and no decimal: its
/// digits may be one more than the type promises, which nothing that groups rows, or writes them aside, looks at.
const HASH_TYPE: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);
/// Identifiers that one memory holds, and the longest of them in bytes: at most about 16 MB.
const MEMORY_ENTRIES: usize = 32 * 1024;
const MEMORY_TEXT: usize = 384;

/// What identifiers, as they are written in a row, come to.
type Memory = FxHashMap<Box<str>, Option<u128>>;

/// `carrier_hash(identifiers)`: the bits of the hash; null where no identifier can be used.
pub(crate) struct CarrierHash {
    rules: Arc<Rules>,
    signature: Signature,
    /// One for each thread that reads rows at the same time; not in use here.
    memories: Mutex<Vec<Memory>>,
}

impl fmt::Debug for CarrierHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarrierHash").finish_non_exhaustive()
    }
}

impl CarrierHash {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            signature: Signature::uniform(1, vec![DataType::Utf8View], Volatility::Immutable),
            memories: Mutex::default(),
        }
    }

    fn carrier_of(&self, identifiers: &str, event: &mut Event) -> Option<u128> {
        let evidence = read_identifiers(identifiers, event).then(|| self.rules.read(event))?;
        evidence.carrier().map(|carrier| carrier.hash)
    }

    /// The same, from memory where these identifiers were met before.
    fn remembered(&self, identifiers: &str, event: &mut Event, memory: &mut Memory) -> Option<u128> {
        if let Some(known) = memory.get(identifiers) {
            return *known;
        }
        let carrier = self.carrier_of(identifiers, event);
        if identifiers.len() <= MEMORY_TEXT {
            if memory.len() >= MEMORY_ENTRIES {
                memory.clear();
            }
            memory.insert(identifiers.into(), carrier);
        }
        carrier
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
        Ok(HASH_TYPE)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [identifiers] = &arguments.args[..] else {
            return exec_err!("carrier_hash takes the identifiers of an event");
        };
        let identifiers = identifiers.to_array(arguments.number_rows)?;
        let identifiers = identifiers.as_string_view();
        let mut hashes = Decimal128Builder::with_capacity(identifiers.len()).with_data_type(HASH_TYPE);
        let mut event = nobody()?;
        let free = || self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = free().pop().unwrap_or_default();
        for text in identifiers {
            let carrier = text.and_then(|text| self.remembered(text, &mut event, &mut memory));
            hashes.append_option(carrier.map(u128::cast_signed));
        }
        free().push(memory);
        Ok(ColumnarValue::Array(Arc::new(hashes.finish())))
    }
}
