//! Who may get a message (contracts ACT-1 and ACT-6): a function of the definition and of what is known of the person
//! at that moment. It reads no ledger: suppressions are asked in the ledger's transaction.

use crate::definition::{MessageDefinition, Purpose};
use crate::ledger::PersonKey;
use crate::mail::normalise_address;
use crate::ports::Recipient;
use kith_types::Timestamp;

/// Whether a message may go to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// It may, to this address, by consent given at that time (marketing).
    Granted {
        address: String,
        granted_at: Option<Timestamp>,
    },
    /// It may not, for this reason.
    Refused(&'static str),
}

/// Asks whether a message may go to a person.
pub(crate) fn permission(definition: &MessageDefinition, recipient: &Recipient) -> Permission {
    let Some(email) = &recipient.email else {
        return Permission::Refused("no_address");
    };
    let Some(address) = normalise_address(email) else {
        return Permission::Refused("invalid_address");
    };
    let granted_at = match definition.purpose() {
        Purpose::Transactional => None,
        Purpose::Marketing(topic) => match recipient.consents.iter().find(|word| word.category == *topic) {
            Some(word) if word.granted => Some(word.at),
            Some(_) | None => return Permission::Refused("no_consent"),
        },
    };
    Permission::Granted { address, granted_at }
}

/// How events name the person: the strongest identifier that is known, and only one.
pub(crate) fn person_key(recipient: &Recipient) -> PersonKey {
    let known = [
        ("user_id", &recipient.user_id),
        ("anonymous_id", &recipient.anonymous_id),
        ("email", &recipient.email),
    ];
    let named = known
        .into_iter()
        .find_map(|(kind, value)| Some((kind, value.as_ref()?)));
    named.map_or(
        PersonKey {
            kind: String::new(),
            value: String::new(),
        },
        |(kind, value)| PersonKey {
            kind: kind.to_owned(),
            value: value.clone(),
        },
    )
}
