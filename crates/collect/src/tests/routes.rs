//! COL-1: every route, preflight, gzip, text bodies, and the documents that SDKs load.

use super::*;
use crate::routes::{BODY_PATHS, METRICS_PATH, PIXEL_PATHS, SETTINGS_PATH, SOURCE_CONFIG_PATH};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use kith_types::{Origin, Route};
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn body_of(route: Route) -> &'static str {
    match route {
        Route::Identify | Route::Page | Route::Screen => r#"{"userId":"u"}"#,
        Route::Track => TRACK,
        Route::Group => r#"{"userId":"u","groupId":"g"}"#,
        Route::Alias => r#"{"userId":"u","previousId":"p"}"#,
        Route::Batch | Route::Internal => PAGES,
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn col_1_routes_with_and_without_slash() {
    let house = House::new(DoorsConfig::default());
    let mut expected = Vec::new();
    for (path, route) in BODY_PATHS {
        for path in [(*path).to_owned(), format!("{path}/")] {
            let answer = house.post(&path, body_of(*route)).await;
            assert_eq!(
                (answer.status, answer.json()),
                (StatusCode::OK, serde_json::json!({"success": true})),
                "{path}"
            );
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            expected.push((*route, body_of(*route).as_bytes().to_vec()));
        }
    }
    let kept: Vec<(Route, Vec<u8>)> = house
        .envelopes()
        .into_iter()
        .map(|(_, kept)| (kept.route, kept.body.to_vec()))
        .collect();
    assert_eq!(kept, expected);
    for name in [
        "identify", "track", "page", "screen", "group", "alias", "batch", "import", "i", "t", "p", "s", "g", "a", "b",
    ] {
        assert!(
            BODY_PATHS.iter().any(|(path, _)| *path == format!("/v1/{name}")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn col_1_sdk_metrics_are_taken_and_forgotten() {
    let house = House::new(DoorsConfig::default());
    for path in [METRICS_PATH.to_owned(), format!("{METRICS_PATH}/")] {
        let request = Request::post(path).body(Body::from(r#"{"series":[]}"#)).unwrap();
        assert_eq!(house.send(request).await.status, StatusCode::OK);
    }
    assert!(house.envelopes().is_empty());
}

#[tokio::test]
async fn col_1_preflight() {
    let house = House::new(DoorsConfig::default());
    let settings = SETTINGS_PATH.replace("{write_key}", "web");
    let paths = BODY_PATHS.iter().chain(PIXEL_PATHS).map(|(path, _)| *path);
    for path in paths.chain([METRICS_PATH, SOURCE_CONFIG_PATH, settings.as_str()]) {
        for path in [path.to_owned(), format!("{path}/")] {
            let request = Request::options(&path)
                .header("origin", "https://shop.example")
                .header("access-control-request-method", "POST")
                .header(
                    "access-control-request-headers",
                    "authorization,content-type,x-retry-count",
                )
                .body(Body::empty())
                .unwrap();
            let answer = house.send(request).await;
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (StatusCode::NO_CONTENT, "*"),
                "{path}"
            );
            for name in [
                "authorization",
                "content-type",
                "x-retry-count",
                "anonymousid",
                "sentat",
                "rsa-retry-attempt",
                "rsa-recovered",
            ] {
                let allowed = answer.header("access-control-allow-headers");
                assert!(allowed.split(", ").any(|allowed| allowed == name), "{path} {name}");
            }
            assert!(answer.header("access-control-allow-methods").contains("POST"));
            assert_eq!(answer.header("access-control-allow-credentials"), "");
        }
    }
}

#[tokio::test]
async fn col_1_other_methods_are_refused_as_json() {
    let house = House::new(DoorsConfig::default());
    let answer = house.send(Request::get("/v1/track").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
    );
}

#[tokio::test]
async fn col_1_gzip() {
    let house = House::new(DoorsConfig::default());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(PAGES.as_bytes()).unwrap();
    let two_members = [gzip(&PAGES.as_bytes()[..10]), gzip(&PAGES.as_bytes()[10..])].concat();
    for (encoding, packed) in [
        ("gzip", gzip(PAGES.as_bytes())),
        ("GZIP", two_members),
        ("x-gzip", gzip(PAGES.as_bytes())),
        ("deflate", zlib.finish().unwrap()),
        ("identity", PAGES.as_bytes().to_vec()),
    ] {
        let mut request = post("/v1/batch", "web", packed);
        request
            .headers_mut()
            .insert("content-encoding", encoding.parse().unwrap());
        assert_eq!(house.send(request).await.status, StatusCode::OK, "{encoding}");
        assert_eq!(house.last_body(), PAGES.as_bytes(), "{encoding}");
    }
}

#[tokio::test]
async fn col_1_text_bodies() {
    let house = House::new(DoorsConfig::default());
    let mut request = post("/v1/t", "web", TRACK);
    request
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(house.send(request).await.status, StatusCode::OK);
    assert_eq!(&*house.envelopes()[0].1.content_type, "text/plain");
}

#[tokio::test]
async fn col_1_bodies_in_pieces_over_a_connection() {
    let house = House::new(DoorsConfig::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = router(Arc::clone(&house.doors)).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, served).await });
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/t HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        basic("web")
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    for piece in TRACK.as_bytes().chunks(5) {
        connection
            .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
            .await
            .unwrap();
        connection.write_all(&[piece, b"\r\n"].concat()).await.unwrap();
        connection.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    connection.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    server.abort();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(r#"{"success":true}"#),
        "{answer}"
    );
    assert_eq!(
        (house.last_body(), &*house.envelopes()[0].1.client_ip),
        (TRACK.as_bytes().to_vec(), "127.0.0.1")
    );
}

#[tokio::test]
async fn col_1_pixel_and_beacon() {
    let house = House::new(DoorsConfig::default());
    for (path, kept) in [
        (
            "/pixel/v1/track?writeKey=web&event=Opened%20mail&userId=u",
            r#"{"type":"track","channel":"pixel","event":"Opened mail","userId":"u"}"#,
        ),
        (
            "/pixel/v1/page/?writeKey=web&context.page.url=%2Fa",
            r#"{"type":"page","channel":"pixel","context":{"page":{"url":"/a"}}}"#,
        ),
    ] {
        let answer = house.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, "image/gif")
        );
        assert_eq!(
            (
                answer.body.starts_with(b"GIF89a"),
                String::from_utf8(house.last_body()).unwrap()
            ),
            (true, kept.to_owned())
        );
    }
    let unnamed = house
        .send(
            Request::get("/pixel/v1/track?writeKey=web")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(
        (unnamed.status, unnamed.code().as_str()),
        (StatusCode::BAD_REQUEST, "missing_field")
    );
    let keyless = house
        .send(Request::get("/pixel/v1/track?event=a").body(Body::empty()).unwrap())
        .await;
    assert_eq!(keyless.status, StatusCode::UNAUTHORIZED);
    let beacon = Request::post("/beacon/v1/batch?writeKey=app")
        .body(Body::from(PAGES))
        .unwrap();
    assert_eq!(house.send(beacon).await.status, StatusCode::OK);
    let (space, kept) = house.envelopes().pop().unwrap();
    assert_eq!(
        (space.as_str(), kept.route, &kept.body[..]),
        ("brand_b", Route::Batch, PAGES.as_bytes())
    );
}

#[tokio::test]
async fn col_1_merge_calls_get_a_code_of_their_own() {
    let house = House::new(DoorsConfig::default());
    let answer = house
        .post(
            "/v1/merge",
            r#"{"mergeProperties":[{"type":"email","value":"a@x.com"}]}"#,
        )
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::BAD_REQUEST, "unsupported_type")
    );
    let answer = house
        .post("/v1/batch", r#"{"batch":[{"type":"merge"},{"type":"page"}]}"#)
        .await;
    assert_eq!(
        (answer.status, &answer.json()["rejected"][0]["code"]),
        (StatusCode::OK, &"unsupported_type".into())
    );
    assert_eq!(house.envelopes().len(), 2);
}

#[tokio::test]
async fn col_1_the_settings_that_the_browser_sdk_loads() {
    let house = House::new(DoorsConfig::default());
    let ask = |key: &str| {
        Request::get(format!("/v1/projects/{key}/settings"))
            .header("host", "cdp.example:8080")
            .body(Body::empty())
            .unwrap()
    };
    let answer = house.send(ask("web")).await;
    let settings = answer.json();
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (StatusCode::OK, "*")
    );
    let ours = &settings["integrations"]["Segment.io"];
    assert_eq!(
        (&ours["apiKey"], &ours["apiHost"], &ours["protocol"]),
        (&"web".into(), &"cdp.example:8080/v1".into(), &"http".into())
    );
    assert_eq!(settings["metrics"]["sampleRate"], 0);
    let mut behind_tls = ask("web");
    behind_tls
        .headers_mut()
        .insert("x-forwarded-proto", "https".parse().unwrap());
    assert_eq!(
        house.send(behind_tls).await.json()["integrations"]["Segment.io"]["protocol"],
        "https"
    );
    for (key, status) in [("nobody", StatusCode::UNAUTHORIZED), ("off", StatusCode::NOT_FOUND)] {
        assert_eq!(house.send(ask(key)).await.status, status);
    }
}

#[tokio::test]
async fn col_1_the_source_configuration_that_rudderstack_loads() {
    let house = House::new(DoorsConfig::default());
    for request in [
        Request::get("/sourceConfig/?p=npm&v=3&writeKey=web")
            .body(Body::empty())
            .unwrap(),
        Request::get("/sourceConfig?p=npm")
            .header("authorization", basic("web"))
            .body(Body::empty())
            .unwrap(),
    ] {
        let answer = house.send(request).await;
        let source = &answer.json()["source"];
        assert_eq!(
            (answer.status, &source["id"], &source["enabled"]),
            (StatusCode::OK, &"web".into(), &true.into())
        );
        assert!(source["config"].is_object() && source["destinations"].as_array().is_some_and(Vec::is_empty));
    }
    let unknown = house
        .send(Request::get("/sourceConfig/").body(Body::empty()).unwrap())
        .await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn col_6_no_write_key_makes_an_event_an_import() {
    let house = House::new(DoorsConfig::default());
    house.post("/v1/import/", PAGES).await;
    let mut request = post("/v1/batch", "web", PAGES);
    request.headers_mut().insert("x-kith-origin", "import".parse().unwrap());
    house.send(request).await;
    let origins: Vec<Origin> = house.envelopes().into_iter().map(|(_, kept)| kept.origin).collect();
    assert_eq!(origins, [Origin::Live, Origin::Live]);
}
