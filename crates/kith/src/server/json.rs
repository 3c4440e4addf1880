//! Events as the API shows them.

use kith_api::RawJson;
use kith_api::ports::ProfileEvent;
use kith_types::Event;

/// An event as the API shows it.
pub(crate) fn event(event: &Event) -> ProfileEvent {
    ProfileEvent {
        address: event.address,
        event_time: event.event_time,
        received_at: event.received_at,
        event_type: event.event_type,
        name: event.name.to_string(),
        message_id: event.message_id.as_deref().map(str::to_owned),
        source: event.source.clone(),
        identifiers: event.identifiers.clone(),
        properties: RawJson::from(&event.properties),
        traits: RawJson::from(&event.traits),
        context: RawJson::from(&event.context),
    }
}
