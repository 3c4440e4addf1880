//! Reading people: Kith's one call, and Segment's Profile API.

use super::ports::{JO, found_trait, moment};
use super::world::World;
use crate::ports::{AccountMember, AccountProfile};
use axum::body::Body;
use base64::Engine;
use http::{Request, StatusCode, header};
use serde_json::json;

const USERS: &str = "/v1/spaces/main/collections/users/profiles";

#[tokio::test]
async fn api_1_one_call_gives_a_person_by_any_identifier() {
    let world = World::new();
    let by_user = world.get("/api/spaces/main/profiles/user_id:u1?events=2").await;
    assert_eq!(by_user.status, StatusCode::OK, "{}", by_user.text);
    for same in [
        "email:jo@example.com",
        "email:jo%40example.com",
        "device_id:a%2Fb",
        "prf_00000000000000000000000000000010",
        "profile_id:prf_00000000000000000000000000000010",
    ] {
        assert_eq!(
            world
                .get(&format!("/api/spaces/main/profiles/{same}?events=2"))
                .await
                .text,
            by_user.text,
            "{same}"
        );
    }
    let body = by_user.json();
    assert_eq!(body["id"], "prf_00000000000000000000000000000010");
    assert_eq!(body["traits"]["city"], "Bonn");
    assert_eq!(body["computed_traits"]["orders_30d"], 2);
    assert_eq!(body["identifiers"][1]["type"], "email");
    let of_device = &body["identifiers"][2];
    assert_eq!(
        [&of_device["valid_from"], &of_device["valid_to"]],
        ["2023-11-14T22:13:20.006Z", "2023-11-14T22:13:20.008Z"],
        "a device that changed hands says when it was theirs"
    );
    assert!(body["identifiers"][1].get("valid_to").is_none());
    let left_out = json!({ "type": "email", "value": "jo@example.com", "because": "a limit" });
    assert_eq!(body["left_out"], json!([left_out]));
    assert_eq!(body["consents"][0]["status"], "subscribed");
    assert_eq!(
        body["segments"][0],
        json!({ "name": "big_spenders", "entered_at": "2023-11-14T22:13:20.009Z", "approximate": true })
    );
    assert_eq!(body["accounts"][0]["group_id"], "acme");
    assert_eq!(body["recent_events"].as_array().unwrap().len(), 2);
    assert!(
        by_user.text.contains("12345678901234567890.123456789"),
        "numbers keep every digit"
    );
    assert!(body.get("redirected_from").is_none());
    let by_old_id = world
        .get("/api/spaces/main/profiles/prf_00000000000000000000000000000011?events=0")
        .await
        .json();
    assert_eq!(
        (&by_old_id["id"], &by_old_id["redirected_from"]),
        (&body["id"], &json!("prf_00000000000000000000000000000011"))
    );
}

#[tokio::test]
async fn the_values_that_lost_are_shown() {
    let world = World::new();
    let body = world
        .get("/api/spaces/main/profiles/user_id:u1?verbose=true")
        .await
        .json();
    assert_eq!(
        body["traits"]["city"],
        json!({
            "value": "Bonn", "source": "web", "updated_at": "2023-11-14T22:13:20.005Z", "approximate": false,
            "alternatives": [{ "value": "old", "source": "shop", "updated_at": "2023-11-14T22:13:20.001Z" }],
        })
    );
}

#[tokio::test]
async fn a_person_of_one_space_is_nobody_in_another() {
    let world = World::new();
    for path in [
        "/api/spaces/other/profiles/user_id:u1",
        "/v1/spaces/other/collections/users/profiles/user_id:u1/traits",
    ] {
        assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn api_1_segments_clients_read_traits_unmodified() {
    let world = World::new();
    let basic = format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{}:", world.read_main))
    );
    let request = Request::builder()
        .uri(format!("{USERS}/user_id:u1/traits"))
        .header(header::AUTHORIZATION, basic)
        .body(Body::empty())
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(
        answer.json(),
        json!({
            "traits": { "big_spenders": true, "city": "Bonn", "first name": "Jo", "orders_30d": 2, "points": 9_007_199_254_740_993_u64 },
            "cursor": { "url": format!("{USERS}/user_id:u1/traits"), "has_more": false, "next": "", "limit": 10 },
        })
    );
    for (query, names) in [
        ("class=audience", vec!["big_spenders"]),
        ("class=computed_trait", vec!["orders_30d"]),
        ("class=trait", vec!["city", "first name", "points"]),
        ("include=city,first%20name,none", vec!["city", "first name"]),
        ("include=city&class=audience", vec![]),
    ] {
        let body = world.get(&format!("{USERS}/user_id:u1/traits?{query}")).await.json();
        assert_eq!(
            body["traits"].as_object().unwrap().keys().collect::<Vec<_>>(),
            names,
            "{query}"
        );
    }
    let verbose = world
        .get(&format!("{USERS}/user_id:u1/traits?verbose=true&include=city"))
        .await
        .json();
    assert_eq!(
        verbose["traits"]["city"],
        json!({ "value": "Bonn", "source_id": "web", "updated_at": "2023-11-14T22:13:20.005Z" })
    );
    for wrong in [
        "class=other",
        "limit=201",
        "limit=0",
        "limit=x",
        "verbose=maybe",
        "next=browser",
    ] {
        assert_eq!(
            world.get(&format!("{USERS}/user_id:u1/traits?{wrong}")).await.status,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    assert_eq!(
        world.get(&format!("{USERS}/user_id:u2/traits")).await.json(),
        json!({ "error": { "code": "not_found", "message": "Profile was not found." } })
    );
}

/// Follows a list to its end and gives every page.
async fn pages(world: &World, path: &str) -> Vec<serde_json::Value> {
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let parted = if path.contains('?') { '&' } else { '?' };
        let answer = world.get(&format!("{path}{parted}next={next}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let page = answer.json();
        let cursor = if page.get("cursor").is_some() {
            page["cursor"].clone()
        } else {
            page.clone()
        };
        next = cursor["next"].as_str().unwrap().to_owned();
        assert_eq!(cursor["has_more"].as_bool().unwrap(), !next.is_empty());
        pages.push(page);
        assert!(pages.len() < 20, "the list has no end");
        if next.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn api_1_cursors_go_through_every_list_once() {
    let world = World::new();
    for limit in 1..=6 {
        let traits = pages(&world, &format!("{USERS}/user_id:u1/traits?limit={limit}")).await;
        let names: Vec<String> = traits
            .iter()
            .flat_map(|page| page["traits"].as_object().unwrap().keys().cloned())
            .collect();
        assert_eq!(names, ["big_spenders", "city", "first name", "orders_30d", "points"]);
        let ids = pages(&world, &format!("{USERS}/user_id:u1/external_ids?limit={limit}")).await;
        let kinds: Vec<&str> = ids
            .iter()
            .flat_map(|page| page["data"].as_array().unwrap())
            .map(|id| id["type"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["device_id", "email", "user_id"]);
        for (sort, expected) in [
            ("desc", ["m9", "m8", "m7", "m6", "m5"]),
            ("asc", ["m5", "m6", "m7", "m8", "m9"]),
        ] {
            let events = pages(&world, &format!("{USERS}/user_id:u1/events?limit={limit}&sort={sort}")).await;
            let messages: Vec<&str> = events
                .iter()
                .flat_map(|page| page["data"].as_array().unwrap())
                .map(|event| event["message_id"].as_str().unwrap())
                .collect();
            assert_eq!(messages, expected);
        }
        let members = pages(
            &world,
            &format!("/api/spaces/main/segments/big_spenders/members?limit={limit}"),
        )
        .await;
        assert_eq!(
            members
                .iter()
                .flat_map(|page| page["members"].as_array().unwrap())
                .count(),
            5
        );
    }
    let first = world.get(&format!("{USERS}/user_id:u1/traits?limit=1")).await.json();
    let next = first["cursor"]["next"].as_str().unwrap();
    let elsewhere = world
        .get(&format!("{USERS}/email:jo@example.com/traits?next={next}"))
        .await;
    assert_eq!(
        elsewhere.status,
        StatusCode::BAD_REQUEST,
        "a cursor belongs to its list"
    );
}

#[tokio::test]
async fn api_1_segments_clients_read_the_other_lists_unmodified() {
    let world = World::new();
    let ids = world
        .get(&format!("{USERS}/user_id:u1/external_ids?include=email"))
        .await
        .json();
    assert_eq!(
        ids["data"],
        json!([{
            "source_id": "web", "collection": "users", "id": "jo@example.com", "type": "email", "created_at": "2023-11-14T22:13:20.005Z",
            "encoding": "none", "first_message_id": "m5",
        }])
    );
    let events = world
        .get(&format!(
            "{USERS}/user_id:u1/events?include=Order%20Completed&start=2023-01-01&end=2023-12-01"
        ))
        .await;
    let event = &events.json()["data"][0];
    assert_eq!(
        event["external_ids"],
        json!([{ "collection": "users", "id": "u1", "type": "user_id", "encoding": "none" }])
    );
    assert_eq!(
        (&event["type"], &event["event"], &event["source_id"]),
        (&json!("track"), &json!("Order Completed"), &json!("web"))
    );
    assert_eq!(event["timestamp"], "2023-11-14T22:13:20.009Z");
    assert_eq!(event["related"]["users"], "prf_00000000000000000000000000000010");
    assert!(events.text.contains("12345678901234567890.123456789"));
    let without = world
        .get(&format!("{USERS}/user_id:u1/events?exclude=Page%20Viewed,Signed%20Up"))
        .await
        .json();
    assert_eq!(without["data"].as_array().unwrap().len(), 1);
    let metadata = world.get(&format!("{USERS}/user_id:u1/metadata")).await.json();
    assert_eq!(
        metadata,
        json!({ "metadata": {
            "created_at": "2023-11-14T22:13:20.005Z", "updated_at": "2023-11-14T22:13:20.010Z", "expires_at": null,
            "first_message_id": "m5", "first_source_id": "web", "last_message_id": "m9", "last_source_id": "web",
        } })
    );
    let links = world.get(&format!("{USERS}/user_id:u1/links")).await.json();
    assert_eq!(links["data"][0]["to_collection"], "accounts");
    assert_eq!(links["data"][0]["external_ids"][0]["id"], "acme");
}

#[tokio::test]
async fn api_1_an_account_is_read_with_its_traits_and_people() {
    const ACCOUNTS: &str = "/v1/spaces/main/collections/accounts/profiles";
    let world = World::new();
    let account = world.get("/api/spaces/main/accounts/acme").await.json();
    assert_eq!(
        (
            &account["group_id"],
            &account["event_count"],
            &account["traits"]["plan"]
        ),
        (&json!("acme"), &json!(2), &json!("enterprise"))
    );
    assert_eq!(account["members"].as_array().unwrap().len(), 20, "the first of them");
    assert_eq!(
        account["members"][0],
        json!({ "profile_id": "prf_00000000000000000000000000000010", "source": "web", "since": "2023-11-14T22:13:20.005Z" })
    );
    let (mut next, mut seen) = (String::new(), Vec::new());
    loop {
        let page = world
            .get(&format!("/api/spaces/main/accounts/acme?limit=7&next={next}"))
            .await
            .json();
        seen.extend(
            page["members"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["profile_id"].to_string()),
        );
        match page["members_next"].as_str() {
            Some(place) => next = place.to_owned(),
            None => break,
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 25, "everybody once");
    let foreign = world.get(&format!("{ACCOUNTS}/group_id:acme/links?next={next}")).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST, "a place in another list");
    let verbose = world.get("/api/spaces/main/accounts/acme?verbose=true").await;
    assert!(verbose.text.contains("9007199254740993"));
    assert_eq!(verbose.json()["traits"]["plan"]["source"], "web");
    let missing = world.get("/api/spaces/main/accounts/nobody").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let traits = world
        .get(&format!("{ACCOUNTS}/group_id:acme/traits?limit=1"))
        .await
        .json();
    assert_eq!(traits["traits"], json!({ "plan": "enterprise" }));
    let next = traits["cursor"]["next"].as_str().unwrap();
    let more = world
        .get(&format!("{ACCOUNTS}/group_id:acme/traits?limit=1&next={next}"))
        .await;
    assert_eq!(more.json()["traits"].as_object().unwrap().len(), 1);
    let links = world.get(&format!("{ACCOUNTS}/group_id:acme/links")).await.json();
    assert_eq!(links["data"][0]["to_collection"], "users");
    let rest = links["cursor"]["next"].as_str().unwrap();
    let rest = world
        .get(&format!("{ACCOUNTS}/group_id:acme/links?next={rest}"))
        .await
        .json();
    assert_eq!(
        (
            links["data"].as_array().unwrap().len(),
            rest["data"].as_array().unwrap().len()
        ),
        (20, 5)
    );
    let ids = world
        .get(&format!("{ACCOUNTS}/group_id:acme/external_ids"))
        .await
        .json();
    assert_eq!(ids["data"][0]["id"], "acme");
    let wrong = world.get(&format!("{ACCOUNTS}/acme/traits")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn segments_are_listed_and_explained() {
    let world = World::new();
    let list = world.get("/api/spaces/main/segments").await.json();
    assert_eq!(
        list["segments"][0],
        json!({ "name": "big_spenders", "size": 5, "counted_at": "2023-11-14T22:13:20.002Z", "state": "live", "progress": 1.0, "updated_at": "2023-11-14T22:13:20.001Z", "newer_waits": false })
    );
    let stands = |at: usize| {
        let segment = &list["segments"][at];
        json!([segment["state"], segment["progress"], segment["newer_waits"]])
    };
    assert_eq!(stands(1), json!(["backfilling", 0.25, true]));
    assert_eq!(stands(2), json!(["waiting", 0.0, false]));
    let why = world
        .get("/api/spaces/main/segments/big_spenders/explain/user_id:u1?as_of=2024-01-01")
        .await
        .json();
    assert_eq!(
        why,
        json!({ "member": true, "as_of": "2024-01-01T00:00:00.000Z", "known_at": null })
    );
    let hindsight = world
        .get("/api/spaces/main/segments/big_spenders/explain/user_id:u1?as_of=2024-01-01&known_at=now")
        .await;
    assert_eq!(hindsight.json()["known_at"], "Now");
    let as_of = "as_of=2024-01-01&known_at=2024-02-01";
    let person = world
        .get(&format!("/api/spaces/main/profiles/user_id:u1?{as_of}"))
        .await
        .json();
    assert_eq!(person["as_of"], "2024-01-01T00:00:00.000Z");
    assert_eq!(person["known_at"], "2024-02-01T00:00:00.000Z");
    let now = world.get("/api/spaces/main/profiles/user_id:u1").await.json();
    assert_eq!((now.get("as_of"), now.get("known_at")), (None, None));
    assert_eq!(
        world.get("/api/spaces/main/segments/none/members").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world
            .get("/api/spaces/main/segments/big_spenders/explain/user_id:u1?as_of=soon")
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
}

/// The account that the ports know.
pub(super) fn acme() -> AccountProfile {
    AccountProfile {
        group_id: "acme".to_owned(),
        created_at: Some(moment(5)),
        updated_at: Some(moment(9)),
        event_count: 2,
        traits: vec![
            found_trait("plan", "\"enterprise\""),
            found_trait("seats", "9007199254740993"),
        ],
        limits_reached: vec![],
    }
}

/// Its people.
pub(super) fn people_of_acme() -> Vec<AccountMember> {
    let member = |number: u128| AccountMember {
        profile: kith_types::ProfileId(JO.0 + number),
        source: "web".parse().unwrap(),
        since: moment(5),
    };
    (0..25).map(member).collect()
}
