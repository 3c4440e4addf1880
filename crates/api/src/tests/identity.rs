//! Why, what if, vetoes: what is read from a request, and what is refused.

use super::world::{World, at};
use crate::RawJson;
use crate::ports::{AsOf, Identity, PersonRef, PortError, PortErrorKind, Veto, Vetoed, Vetoing, WhatIf};
use async_trait::async_trait;
use http::StatusCode;
use kith_types::{Identifier, SpaceId, Timestamp};
use serde_json::json;

#[async_trait]
impl Identity for super::ports::Ports {
    async fn why(&self, _: &SpaceId, one: &PersonRef, other: &PersonRef) -> Result<RawJson, PortError> {
        let shown = |person: &PersonRef| match person {
            PersonRef::Identifier(identifier) => identifier.to_string(),
            PersonRef::Profile(id) => id.to_string(),
        };
        let (one, other) = (shown(one), shown(other));
        if other.ends_with("nobody") {
            return Err(PortError::new(PortErrorKind::NotFound, "other: nobody"));
        }
        Ok(RawJson::of(&json!({"one": one, "other": other})))
    }

    async fn what_if(&self, _: &SpaceId, question: &WhatIf) -> Result<RawJson, PortError> {
        let rules = question.rules.is_some();
        let around = question.around.as_ref().map(ToString::to_string);
        Ok(RawJson::of(
            &json!({"rules": rules, "add": question.add.len(), "around": around}),
        ))
    }

    async fn resolve(&self, _: &SpaceId, person: &PersonRef, as_of: AsOf) -> Result<Option<RawJson>, PortError> {
        let asked = as_of.at.map(|at| at.to_string());
        let known = |identifier: &Identifier| &*identifier.value != "nobody";
        let found = matches!(person, PersonRef::Identifier(identifier) if known(identifier));
        Ok(found.then(|| RawJson::of(&json!({"as_of": asked}))))
    }

    async fn vetoes(&self, _: &SpaceId) -> Result<Vec<Vetoing>, PortError> {
        let id = |text: &str| Identifier::parse(text).unwrap();
        let (event, identifier) = (at(7), id("email:jo@x.org"));
        let (one, other) = (id("user_id:a"), id("user_id:b"));
        let since = Timestamp::parse("2026-03-01T12:00:00Z").ok();
        let vetoing = |veto, since| Vetoing {
            veto,
            since,
            reason: since.map(|_| "a typo".to_owned()),
        };
        Ok(vec![
            vetoing(Veto::Event { event, identifier }, since),
            vetoing(Veto::Pair { one, other }, None),
        ])
    }

    async fn veto(
        &self,
        _: &SpaceId,
        add: &[Veto],
        _: &[Veto],
        author: &str,
        reason: &str,
    ) -> Result<Vetoed, PortError> {
        if reason == "unknown" {
            return Err(PortError::new(PortErrorKind::NotFound, "no such event"));
        }
        assert!(!author.is_empty());
        Ok(Vetoed {
            decided_by: (!add.is_empty()).then(|| at(9)),
            applied: true,
            unknown: (add.iter())
                .filter_map(|veto| match veto {
                    Veto::Pair { other, .. } => Some(other.clone()),
                    Veto::Event { .. } => None,
                })
                .collect(),
        })
    }
}

const BASE: &str = "/api/spaces/main/identity";

#[tokio::test]
async fn idn_7_why_and_what_if_are_asked_over_http() {
    let world = World::new();
    let why = world
        .get(&format!("{BASE}/why?one=user_id:u&other=email:jo%40x.org"))
        .await;
    assert_eq!(why.json(), json!({"one": "user_id:u", "other": "email:jo@x.org"}));
    let id = "prf_00000000000000000000000000000010";
    let of_ids = world
        .get(&format!("{BASE}/why?one=user_id:u&other=profile_id:{id}"))
        .await;
    assert_eq!(of_ids.json(), json!({"one": "user_id:u", "other": id}));
    for (query, status) in [
        ("one=user_id:u&other=user_id:nobody", StatusCode::NOT_FOUND),
        ("one=user_id:u", StatusCode::BAD_REQUEST),
        ("one=user_id:u&other=jo", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(
            world.get(&format!("{BASE}/why?{query}")).await.status,
            status,
            "{query}"
        );
    }
    let body =
        r#"{"rules": {"types": {}}, "add": [{"one": "user_id:a", "other": "user_id:b"}], "around": "email:e@x.org"}"#;
    let what_if = world.post(&format!("{BASE}/what-if"), body).await;
    assert_eq!(
        what_if.json(),
        json!({"rules": true, "add": 1, "around": "email:e@x.org"})
    );
    let empty = world.post(&format!("{BASE}/what-if"), "{}").await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn idn_6_vetoes_are_read_and_changed_over_http() {
    let world = World::new();
    assert_eq!(
        world.get(&format!("{BASE}/vetoes")).await.json(),
        json!({"vetoes": [
            {"event": "1-0-7-0", "identifier": "email:jo@x.org", "since": "2026-03-01T12:00:00.000Z", "reason": "a typo"},
            {"one": "user_id:a", "other": "user_id:b"},
        ]})
    );
    let path = format!("{BASE}/vetoes");
    let add = r#"{"add": [{"event": "1-0-7-0", "identifier": "email:jo@x.org"}], "reason": "a friend's address"}"#;
    assert_eq!(
        world.post(&path, add).await.json(),
        json!({"decided_by": "1-0-9-0", "applied": true})
    );
    let pair = r#"{"add": [{"one": "user_id:a", "other": "user_id:nobody"}]}"#;
    assert_eq!(
        world.post(&path, pair).await.json(),
        json!({"decided_by": "1-0-9-0", "applied": true, "unknown": ["user_id:nobody"]})
    );
    let unknown = world.post(&path, &add.replace("a friend's address", "unknown")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for wrong in [
        "{}",
        r#"{"add": [{"event": "1-0-7-0"}]}"#,
        r#"{"add": [{"event": "7", "identifier": "email:jo@x.org"}]}"#,
        r#"{"add": [{"event": "1-0-7-0", "identifier": "jo"}]}"#,
        r#"{"remove": [{"one": "user_id:a", "other": "user_id:a"}]}"#,
    ] {
        let answer = world.post(&path, wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}: {}", answer.text);
    }
    let reader = world.call("POST", &path, &world.read_main, add).await;
    assert_eq!(reader.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn idn_8_the_mapping_is_asked_for_as_of_a_moment() {
    let world = World::new();
    let path = "/api/spaces/main/identity/resolve";
    let found = world
        .get(&format!("{path}?identifier=user_id:u1&as_of=2024-01-01"))
        .await
        .json();
    assert_eq!(found, json!({"as_of": "2024-01-01T00:00:00.000Z"}));
    for (query, status) in [
        ("identifier=user_id:nobody", StatusCode::NOT_FOUND),
        ("as_of=2024-01-01", StatusCode::BAD_REQUEST),
        ("identifier=u1", StatusCode::BAD_REQUEST),
        ("identifier=user_id:u1&known_at=soon", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(world.get(&format!("{path}?{query}")).await.status, status, "{query}");
    }
}
