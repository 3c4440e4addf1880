//! `carrier_key`: which identifier of an event names its person.
//!
//! The identity rules of the space decide, by the code that decides while events are folded: values are normalised and
//! blocked, then the highest priority wins. Used by views only; the rules are of one space.

use datafusion::arrow::array::{Array, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use kith_identity::Rules;
use kith_types::{
    Address, Event, EventKey, EventType, Identifier, IdentifierType, Origin, SourceName, SpaceId, Timestamp,
};
use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What stands between type and value in a key: no type has it.
const BETWEEN: char = '\u{1f}';

/// `carrier_key(identifiers)`: type and normalised value of the carrier of an event with these identifiers (JSON, as
/// `clean.events` has them), with the unit separator (U+001F) between; null where no identifier can be used.
#[derive(Debug)]
pub(crate) struct CarrierKey {
    rules: Arc<Rules>,
    signature: Signature,
}

impl CarrierKey {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            signature: Signature::uniform(1, vec![DataType::Utf8View], Volatility::Immutable),
        }
    }
}

impl PartialEq for CarrierKey {
    fn eq(&self, other: &Self) -> bool {
        self.rules.fingerprint() == other.rules.fingerprint()
    }
}

impl Eq for CarrierKey {}

impl Hash for CarrierKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rules.fingerprint().hash(state);
    }
}

impl ScalarUDFImpl for CarrierKey {
    fn name(&self) -> &str {
        "carrier_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [identifiers] = &arguments.args[..] else {
            return exec_err!("carrier_key takes the identifiers of an event");
        };
        let identifiers = identifiers.to_array(arguments.number_rows)?;
        let identifiers = identifiers.as_string_view();
        let mut keys = StringViewBuilder::with_capacity(identifiers.len());
        let (mut event, mut key) = (nobody()?, String::new());
        for text in identifiers {
            let found = text.is_some_and(|text| self.write_key(text, &mut event, &mut key));
            keys.append_option(found.then_some(&key));
        }
        Ok(ColumnarValue::Array(Arc::new(keys.finish())))
    }
}

#[derive(serde::Deserialize)]
struct Sent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

impl CarrierKey {
    /// Writes the key of an event with these identifiers; false where it has none.
    fn write_key(&self, identifiers: &str, event: &mut Event, key: &mut String) -> bool {
        if !read_identifiers(identifiers, event) {
            return false;
        }
        let evidence = self.rules.read(event);
        let Some(carrier) = evidence.carrier() else {
            return false;
        };
        key.clear();
        key.push_str(carrier.identifier.kind.as_str());
        key.push(BETWEEN);
        key.push_str(&carrier.identifier.value);
        true
    }
}

/// Gives an event the identifiers of a row; false where they are not what is written there.
pub(crate) fn read_identifiers(identifiers: &str, event: &mut Event) -> bool {
    let Ok(sent) = serde_json::from_str::<Vec<Sent<'_>>>(identifiers) else {
        return false;
    };
    event.identifiers.clear();
    let named = sent
        .iter()
        .map(|sent| Identifier::new(IdentifierType::from_name(&sent.kind), &sent.value));
    event.identifiers.extend(named);
    true
}

/// An event that says nothing, to be filled.
pub(crate) fn nobody() -> Result<Event> {
    let Ok(source) = "sql".parse::<SourceName>() else {
        return exec_err!("no source to name");
    };
    Ok(Event {
        space: SpaceId::main(),
        source,
        address: Address::default(),
        key: EventKey(0),
        message_id: None,
        event_type: EventType::Track,
        name: Arc::from(""),
        event_time: Timestamp::from_millis(0),
        received_at: Timestamp::from_millis(0),
        time_note: None,
        identifiers: Vec::new(),
        group_id: None,
        traits: Default::default(),
        properties: Default::default(),
        context: Default::default(),
        origin: Origin::Live,
    })
}
