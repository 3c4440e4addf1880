//! COL-2 and SPC-1: whose body it is, and what an envelope keeps of a request.

use super::*;

#[tokio::test]
async fn col_2_a_write_key_names_a_source() {
    let house = House::new(DoorsConfig::default());
    let bare = |body: &str| Request::post("/v1/track").body(Body::from(body.to_owned())).unwrap();
    let keyed = |key: &str| bare(&format!(r#"{{"event":"a","writeKey":"{key}"}}"#));
    let bearer = |key: &str| {
        let mut request = keyed(key);
        request
            .headers_mut()
            .insert("authorization", "Bearer token".parse().unwrap());
        request
    };
    let batch = Request::post("/v1/batch")
        .body(Body::from(r#"{"batch":[{"type":"page"}],"writeKey":"app"}"#))
        .unwrap();
    let mut nameless = keyed("web");
    nameless
        .headers_mut()
        .insert("authorization", basic("").parse().unwrap());
    let mut lower = post("/v1/track", "web", TRACK);
    let credential = basic("web").replace("Basic", "basic").parse().unwrap();
    lower.headers_mut().insert("authorization", credential);
    for (request, status, code) in [
        (post("/v1/track", "web", TRACK), 200, ""),
        (lower, 200, ""),
        (keyed("web"), 200, ""),
        (bearer("app"), 200, ""),
        (batch, 200, ""),
        (nameless, 200, ""),
        (post("/v1/track", "nobody", TRACK), 401, "unknown_write_key"),
        (keyed("nobody"), 401, "unknown_write_key"),
        (bare(TRACK), 401, "missing_write_key"),
        (bare("not JSON"), 401, "missing_write_key"),
        (bearer(""), 401, "missing_write_key"),
        (post("/v1/track", "off", TRACK), 404, "source_disabled"),
        (keyed("off"), 404, "source_disabled"),
    ] {
        let (shown, kept) = (format!("{request:?}"), house.envelopes().len());
        let answer = house.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{shown}");
        assert_eq!(answer.header("content-type"), "application/json");
        if status == 200 {
            assert_eq!(house.envelopes().len(), kept + 1);
        } else {
            assert_eq!(
                (answer.code().as_str(), house.envelopes().len()),
                (code, kept),
                "{shown}"
            );
        }
    }
}

#[tokio::test]
async fn spc_1_a_body_goes_to_the_space_of_its_key() {
    let house = House::new(DoorsConfig::default());
    for key in ["web", "app"] {
        house.send(post("/v1/track", key, TRACK)).await;
    }
    let places: Vec<String> = house
        .envelopes()
        .iter()
        .map(|(space, kept)| format!("{space}/{}", kept.source))
        .collect();
    assert_eq!(places, ["main/web", "brand_b/app"]);
}

#[tokio::test]
async fn col_7_body_is_kept_byte_for_byte() {
    let house = House::new(DoorsConfig::default());
    for body in [
        &b" {\"event\" : \"a\",\n\"x\":1.50e0, \"n\":9007199254740993, \"writeKey\":\"web\"}\r\n"[..],
        b"{\"event\":\"\\u0000\\ud83d\\ude00\",\"unknown\":{\"z\":1,\"a\":2}}",
        b"{\"event\":\"a\",\"bad\":\"\xff\xfe\"}",
        b"not JSON at all \x00",
        b"",
    ] {
        house.post("/v1/track", body.to_vec()).await;
        assert_eq!(house.last_body(), body);
    }
    let (_, kept) = house.envelopes().remove(0);
    assert_eq!(
        (&*kept.client_ip, &*kept.user_agent, &*kept.content_type),
        ("192.0.2.7", "sdk/1", "application/json")
    );
}

#[tokio::test]
async fn raw_1_no_credential_reaches_an_envelope() {
    let house = House::new(DoorsConfig::default());
    house.send(post("/v1/track", "web", TRACK)).await;
    let shown = format!("{:?}", house.envelopes()[0].1).to_lowercase();
    assert!(
        !shown.contains("basic") && !shown.contains("authorization") && !shown.contains("d2vi"),
        "{shown}"
    );
}

#[tokio::test]
async fn the_clients_address_comes_from_a_proxy_only_where_it_is_trusted() {
    for (trusts, sent, expected) in [
        (false, "203.0.113.9", "192.0.2.7"),
        (true, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        (true, "nonsense", "192.0.2.7"),
        (true, "2001:db8::1", "2001:db8::1"),
    ] {
        let house = House::new(DoorsConfig {
            trusts_forwarded_for: trusts,
            ..DoorsConfig::default()
        });
        let mut request = post("/v1/track", "web", TRACK);
        request.headers_mut().insert("x-forwarded-for", sent.parse().unwrap());
        house.send(request).await;
        assert_eq!(&*house.envelopes()[0].1.client_ip, expected, "{sent}");
    }
    let house = House::new(DoorsConfig::default());
    let mut request = post("/v1/track", "web", TRACK);
    request.extensions_mut().clear();
    request
        .headers_mut()
        .insert("user-agent", "x".repeat(5_000).parse().unwrap());
    house.send(request).await;
    let (_, kept) = house.envelopes().remove(0);
    assert_eq!((&*kept.client_ip, kept.user_agent.len()), ("", 1_024));
}
