//! What activation is given of the running server.

use super::*;
use crate::server::testing::{decided, record};
use kith_catalog::{Document, DocumentKind};
use kith_pipeline::{DEFINITIONS_APPLIED, Engine, EngineConfig};
use kith_state::{MemoryStore, Store};
use kith_types::Decision;
use serde_json::json;

/// A store in which somebody has entered a segment that was decided just before.
fn entered() -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut engine = Engine::open(Arc::clone(&store), EngineConfig::default()).unwrap();
    let decision = decided(vec![Document {
        kind: DocumentKind::Segment,
        name: "pro".to_owned(),
        spec: json!({"where": {"trait": "plan", "equals": "pro"}}),
    }]);
    let decision = RecordBody::Decision(Decision {
        kind: DEFINITIONS_APPLIED.into(),
        document: decision.to_json().into(),
    });
    let envelope = RecordBody::Envelope(Envelope {
        source: "web".parse().unwrap(),
        route: Route::Identify,
        origin: Origin::Live,
        content_type: "application/json".into(),
        client_ip: "".into(),
        user_agent: "".into(),
        body: json!({"messageId": "m1", "userId": "ann", "traits": {"plan": "pro"}})
            .to_string()
            .into(),
    });
    for (sequence, body) in [decision, envelope].into_iter().enumerate() {
        engine.apply(&record(sequence as u64, body)).unwrap();
    }
    engine.commit().unwrap();
    store
}

#[test]
fn act_1_an_entry_is_not_looked_at_before_the_catalog_knows_the_decision_it_follows() {
    let store = entered();
    let unrecorded = Arc::new(Unrecorded::default());
    let changes = Changes {
        handover: Handover::new(Arc::clone(&store)),
        pipeline: Arc::new(Pipeline::at_rest(store, EngineConfig::default()).unwrap()),
        unrecorded: Arc::clone(&unrecorded),
    };
    let seen = || changes.changes_from(&SpaceId::main(), 0).unwrap().len();
    let deciding = unrecorded.deciding();
    assert_eq!(
        seen(),
        0,
        "the message that came with the segment may not be there to be found"
    );
    drop(deciding);
    assert_eq!(seen(), 1);
}

/// To whom a message would go after these calls of one person, the oldest first.
fn address_after(said: &[serde_json::Value]) -> Option<String> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut engine = Engine::open(Arc::clone(&store), EngineConfig::default()).unwrap();
    for (sequence, said) in said.iter().enumerate() {
        let mut body = said.clone();
        body["messageId"] = json!(format!("m{sequence}"));
        body["userId"] = json!("ann");
        let envelope = RecordBody::Envelope(Envelope {
            source: "web".parse().unwrap(),
            route: Route::Identify,
            origin: Origin::Live,
            content_type: "application/json".into(),
            client_ip: "".into(),
            user_agent: "".into(),
            body: body.to_string().into(),
        });
        engine.apply(&record(sequence as u64, envelope)).unwrap();
        engine.commit().unwrap();
    }
    let pipeline = Pipeline::at_rest(Arc::clone(&store), EngineConfig::default()).unwrap();
    let reads = Reads::new(store, Arc::new(pipeline));
    let clock = Arc::new(kith_types::SystemClock);
    let people = Recipients { reads, clock };
    let found = people.reads.resolve(&SpaceId::main(), "user_id:ann").unwrap().unwrap();
    match people.recipient(&SpaceId::main(), found).unwrap() {
        Reading::Found(recipient) => recipient.email,
        other => panic!("{other:?}"),
    }
}

#[test]
fn act_1_a_mail_goes_to_the_address_in_use_and_not_to_the_one_that_was_seen_first_most_recently() {
    let says = |address: &str| json!({"traits": {"email": address}});
    let (right, mistyped) = (says(" Jo@Example.com"), says("jo@exmaple.com"));
    let again = address_after(&[right.clone(), mistyped.clone(), right.clone()]);
    assert_eq!(again.as_deref(), Some("jo@example.com"));
    let moved = address_after(&[mistyped, right]);
    assert_eq!(moved.as_deref(), Some("jo@example.com"));
    let of_an_id = json!({"context": {"externalIds": [
        {"id": "id@example.com", "type": "email", "collection": "users", "encoding": "none"}]}});
    let said_by_no_trait = address_after(&[says("not an address"), of_an_id]);
    assert_eq!(said_by_no_trait.as_deref(), Some("id@example.com"));
}
