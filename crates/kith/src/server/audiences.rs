//! Destinations of audiences over the running server: definitions, members at one moment, write keys; and how each stands,
//! for the API.

use super::Parts;
use super::sending::CatalogMessages;
use async_trait::async_trait;
use kith_activate::{
    ActivateError, Audiences, BoxError, DestinationDefinition, DestinationStatus, MembersAt, PauseScope, SegmentChoice,
};
use kith_api::ports::{Destination, Destinations, PortError, StageStatus};
use kith_pipeline::{Handover, Pipeline};
use kith_types::{SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A write key in the environment is called so, with its name in capitals behind it.
const VARIABLE: &str = "KITH_WRITE_KEY_";

/// Activation's port to destinations.
pub(super) struct ConnectedAudiences {
    pub(super) handover: Handover,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) messages: Arc<CatalogMessages>,
    /// By name, as the file of settings and the environment give them.
    pub(super) write_keys: BTreeMap<String, String>,
}

impl Audiences for ConnectedAudiences {
    fn destinations(&self, space: &SpaceId) -> Result<Vec<Arc<DestinationDefinition>>, BoxError> {
        self.messages.destinations(space)
    }

    fn members(&self, space: &SpaceId, segments: &SegmentChoice, take: MembersAt<'_>) -> Result<u64, BoxError> {
        // What a rebuild still lacks is told by no change: it is waited for.
        if self.pipeline.status().rebuilding.is_some() {
            return Err("the live state is being built again: its members are not known yet".into());
        }
        let named = match segments {
            SegmentChoice::All => None,
            SegmentChoice::Listed(named) => Some(named),
        };
        let mut failed = None;
        let number = self
            .handover
            .members_now(space, named, &mut |segment, profile, since| {
                failed = take(segment, profile, since).err();
                failed.is_none()
            })?;
        failed.map_or(Ok(number), Err)
    }

    fn next_number(&self, space: &SpaceId) -> Result<u64, BoxError> {
        Ok(self.handover.next_number(space)?)
    }

    fn write_key(&self, name: &str) -> Option<String> {
        let of_variable = || self.write_keys.get(&name.replace('-', "_"));
        self.write_keys.get(name).or_else(of_variable).cloned()
    }
}

/// The write keys that variables of the environment give, by name: `KITH_WRITE_KEY_SEGMENT_EU` is that of `segment_eu`.
pub(crate) fn write_keys_of(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let named = variables.filter_map(|(variable, key)| {
        let name = variable.strip_prefix(VARIABLE)?.to_lowercase();
        (!name.is_empty() && !key.is_empty()).then_some((name, key))
    });
    named.collect()
}

/// Every destination as a stage of the flow: what it has still to be told, and what holds it up.
///
/// # Errors
/// A [`PortError`] where the send ledger cannot be read.
pub(super) async fn stages(parts: &Arc<Parts>) -> Result<Vec<StageStatus>, PortError> {
    let (activation, now) = (Arc::clone(&parts.activation), parts.clock.now());
    let spaces: Vec<SpaceId> = parts.pipeline.status().profiles.into_keys().collect();
    let read = move || {
        let mut stages = Vec::new();
        for space in spaces {
            let stand = activation.destinations(&space)?;
            stages.extend(stand.into_iter().map(|stands| stage(&space, stands, now)));
        }
        Ok(stages)
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(PortError::internal)?;
    read.map_err(|error: ActivateError| PortError::internal(error))
}

fn stage(space: &SpaceId, stands: DestinationStatus, now: Timestamp) -> StageStatus {
    let waited = stands
        .waiting_since
        .map_or(0, |since| (now - since).as_micros() / 1_000);
    StageStatus {
        name: format!("destination {space}/{}", stands.name),
        through: None,
        lag_records: stands.changes_waiting + stands.members_waiting,
        lag_millis: u64::try_from(waited).unwrap_or(0),
        fault: stands.fault,
        waits_for: None,
    }
}

/// The API's port to destinations.
pub(crate) struct ConnectedDestinations(pub(crate) Arc<Parts>);

#[async_trait]
impl Destinations for ConnectedDestinations {
    async fn list(&self, space: &SpaceId) -> Result<Vec<Destination>, PortError> {
        let (activation, space) = (Arc::clone(&self.0.activation), space.clone());
        let listed = tokio::task::spawn_blocking(move || activation.destinations(&space)).await;
        let listed = listed.map_err(PortError::internal)?.map_err(PortError::internal)?;
        Ok(listed.into_iter().map(shown).collect())
    }

    async fn pause(&self, space: &SpaceId, name: &str, paused: bool) -> Result<bool, PortError> {
        let scope = PauseScope::Destination(space, name);
        self.0.activation.pause(scope, paused).map_err(PortError::internal)
    }
}

fn shown(stands: DestinationStatus) -> Destination {
    Destination {
        name: stands.name,
        endpoint: stands.endpoint,
        segments: stands.segments,
        sent: stands.sent,
        refused: stands.refused,
        last_refusal: stands.last_refusal,
        nameless: stands.nameless,
        missed: stands.missed,
        members_waiting: stands.members_waiting,
        changes_waiting: stands.changes_waiting,
        waiting_since: stands.waiting_since,
        paused: stands.paused,
        fault: stands.fault,
        retry_at: stands.retry_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::problems_of;
    use kith_catalog::Document;
    use serde_json::json;

    #[test]
    fn seg_5_a_destination_is_told_of_segments_that_there_are() {
        let document = |kind: &str, name: &str, spec: serde_json::Value| {
            Document::from_json("test", json!({ "kind": kind, "name": name, "spec": spec })).unwrap()
        };
        let problems = |segments: serde_json::Value, endpoint: &str| -> Vec<(String, String)> {
            let documents = [
                document(
                    "segment",
                    "buyers",
                    json!({ "where": { "trait": "plan", "equals": "pro" } }),
                ),
                document(
                    "destination",
                    "crm",
                    json!({ "type": "segment", "endpoint": endpoint, "write_key": "crm", "segments": segments }),
                ),
            ];
            let found = problems_of(&documents).into_iter();
            found
                .map(|problem| (format!("{} {}", problem.document, problem.path), problem.message))
                .collect()
        };
        let endpoint = "https://api.segment.io";
        assert_eq!(problems(json!(["buyers"]), endpoint), []);
        assert_eq!(problems(json!("all"), endpoint), []);
        let unknown = problems(json!(["buyers", "buyer"]), endpoint);
        assert_eq!(
            unknown,
            [(
                "destination/crm spec.segments.1".to_owned(),
                "there is no segment buyer: did you mean buyers?".to_owned()
            )]
        );
        let clear = problems(json!(["buyers"]), "http://api.segment.io");
        assert_eq!(clear[0].0, "destination/crm spec.endpoint");
    }

    #[test]
    fn seg_5_write_keys_come_from_variables_of_their_name_alone() {
        let variables = [
            ("KITH_WRITE_KEY_SEGMENT_EU", "k1"),
            ("KITH_WRITE_KEY_", "no name"),
            ("KITH_WRITE_KEY_EMPTY", ""),
            ("KITH_ADMIN_KEY", "secret"),
        ];
        let keys = write_keys_of(
            variables
                .map(|(name, key)| (name.to_owned(), key.to_owned()))
                .into_iter(),
        );
        assert_eq!(keys, BTreeMap::from([("segment_eu".to_owned(), "k1".to_owned())]));
    }
}
