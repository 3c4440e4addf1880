//! Who may call what: every route of the table, with every kind of key and with none.

use super::world::{World, request};
use crate::auth::Access;
use crate::openapi::document;
use crate::routes::{Endpoint, endpoints};
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode, header};
use kith_collect::Door;
use std::collections::BTreeSet;

/// The only routes that are open to anybody. Adding one means adding it here, with its reason.
const OPEN: [&str; 7] = [
    "get /livez",
    "get /readyz",
    "get /metrics",
    "get /api/openapi.json",
    // The same for everybody, and published with the documentation.
    "get /api/schemas/segment.json",
    // A link in a message: the token is the right to unsubscribe.
    "get /u/{token}",
    "post /u/{token}",
];

/// The paths that SDKs send to, as the doors serve them.
fn doors() -> BTreeSet<String> {
    let method = |door| match door {
        Door::Body(_) | Door::Metrics => "post",
        Door::Pixel(_) | Door::Settings | Door::SourceConfig => "get",
    };
    kith_collect::paths()
        .map(|(path, door)| format!("{} {path}", method(door)))
        .collect()
}

fn name_of(endpoint: &Endpoint) -> String {
    format!("{} {}", endpoint.method, endpoint.path)
}

/// The route with names that exist, in the space `main`.
fn path_of(endpoint: &Endpoint, space: &str) -> String {
    let names = [
        ("{space}", space),
        ("{identifier}", "user_id:u1"),
        ("{source}", "web"),
        ("{segment}", "big_spenders"),
        ("{kind}", "segment"),
        ("{name}", "a"),
    ];
    names
        .into_iter()
        .fold(endpoint.path.clone(), |path, (name, value)| path.replace(name, value))
}

async fn status(world: &World, endpoint: &Endpoint, key: Option<&str>) -> StatusCode {
    status_in(world, endpoint, "main", key).await
}

async fn status_in(world: &World, endpoint: &Endpoint, space: &str, key: Option<&str>) -> StatusCode {
    // The tail never ends, so only the head of an answer is waited for.
    let request = request(&endpoint.method.to_uppercase(), &path_of(endpoint, space), key, "{}");
    tower::ServiceExt::oneshot(world.app.clone(), request)
        .await
        .unwrap()
        .status()
}

#[tokio::test]
async fn api_1_every_route_but_the_open_ones_needs_a_key() {
    let world = World::new();
    let open: BTreeSet<String> = endpoints()
        .iter()
        .filter(|endpoint| endpoint.access == Access::Open)
        .map(name_of)
        .collect();
    assert_eq!(open, OPEN.iter().map(ToString::to_string).collect());
    for endpoint in endpoints().iter().filter(|endpoint| endpoint.access != Access::Open) {
        for key in [None, Some("kith_ak_unknown"), Some("")] {
            assert_eq!(
                status(&world, endpoint, key).await,
                StatusCode::UNAUTHORIZED,
                "{} with {key:?}",
                name_of(endpoint)
            );
        }
        let allowed = status(&world, endpoint, Some(&world.admin)).await;
        assert!(
            ![
                StatusCode::UNAUTHORIZED,
                StatusCode::FORBIDDEN,
                StatusCode::METHOD_NOT_ALLOWED
            ]
            .contains(&allowed),
            "{}: {allowed}",
            name_of(endpoint)
        );
    }
}

#[tokio::test]
async fn api_1_write_keys_cannot_read() {
    let world = World::new();
    for endpoint in endpoints().iter().filter(|endpoint| endpoint.access != Access::Open) {
        assert_eq!(
            status(&world, endpoint, Some(&world.write_main)).await,
            StatusCode::FORBIDDEN,
            "{}",
            name_of(endpoint)
        );
    }
    let answer = world.call("GET", "/api/spaces", &world.write_main, "").await;
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("write key"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn spc_1_a_key_of_a_space_reads_that_space_only() {
    let world = World::new();
    for endpoint in endpoints() {
        let own = status(&world, &endpoint, Some(&world.read_main)).await;
        match endpoint.access {
            Access::Open => {}
            Access::Admin => assert_eq!(own, StatusCode::FORBIDDEN, "{}", name_of(&endpoint)),
            Access::SpaceRead => {
                assert_ne!(own, StatusCode::FORBIDDEN, "{}", name_of(&endpoint));
                // A space that does not exist is refused like one that does: nothing tells which exist.
                for other in ["other", "nowhere"] {
                    let refused = status_in(&world, &endpoint, other, Some(&world.read_main)).await;
                    assert_eq!(refused, StatusCode::FORBIDDEN, "{} in {other}", name_of(&endpoint));
                }
            }
        }
    }
}

#[tokio::test]
async fn api_1_the_document_and_the_routes_are_the_same() {
    let mut documented = BTreeSet::new();
    for (path, item) in &document().paths.paths {
        for (method, operation) in [
            ("get", &item.get),
            ("post", &item.post),
            ("delete", &item.delete),
            ("put", &item.put),
            ("patch", &item.patch),
        ] {
            let Some(operation) = operation else { continue };
            documented.insert(format!("{method} {path}"));
            assert!(
                operation.summary.is_some() && operation.operation_id.is_some(),
                "{method} {path}"
            );
            // The doors have keys of their own, and say so in the shapes of SDKs.
            if !doors().contains(&format!("{method} {path}")) {
                let open = OPEN.contains(&format!("{method} {path}").as_str());
                assert_eq!(
                    operation.security.as_ref().is_some_and(Vec::is_empty),
                    open,
                    "{method} {path}"
                );
                let told = |status: &str| operation.responses.responses.contains_key(status);
                let refused = ["400", "401", "403"].map(told);
                assert_eq!(refused, [true, !open, !open], "{method} {path}");
            }
            let named: BTreeSet<&str> = (operation.parameters.iter().flatten())
                .filter(|parameter| matches!(parameter.parameter_in, utoipa::openapi::path::ParameterIn::Path))
                .map(|parameter| parameter.name.as_str())
                .collect();
            let written: BTreeSet<&str> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            assert_eq!(named, written, "{method} {path}");
        }
    }
    let mut routes = doors();
    routes.extend(endpoints().iter().map(name_of));
    assert_eq!(documented, routes);

    let world = World::new();
    let served = world.send(request("GET", "/api/openapi.json", None, "")).await.json();
    assert_eq!(served["openapi"], "3.1.0");
    let ids: Vec<String> = served["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].to_string())
        .collect();
    assert_eq!(
        ids.len(),
        ids.iter().collect::<BTreeSet<_>>().len(),
        "an operation id is used twice"
    );
    assert_references(&served, &served);
}

/// Every `$ref` of the document leads somewhere.
fn assert_references(document: &serde_json::Value, at: &serde_json::Value) {
    match at {
        serde_json::Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(serde_json::Value::as_str) {
                assert!(
                    document.pointer(reference.trim_start_matches('#')).is_some(),
                    "{reference} leads nowhere"
                );
            }
            fields.values().for_each(|inner| assert_references(document, inner));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|inner| assert_references(document, inner)),
        _ => {}
    }
}

#[tokio::test]
async fn api_1_a_key_comes_as_bearer_or_as_the_user_name_of_basic() {
    let world = World::new();
    let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
    for (header_value, expected) in [
        (format!("Bearer {}", world.admin), StatusCode::OK),
        (format!("bearer  {}", world.admin), StatusCode::OK),
        (basic(format!("{}:", world.admin)), StatusCode::OK),
        (basic(world.admin.clone()), StatusCode::OK),
        (basic(format!(":{}", world.admin)), StatusCode::UNAUTHORIZED),
        (basic(format!("{}:secret", world.admin)), StatusCode::UNAUTHORIZED),
        (world.admin.clone(), StatusCode::UNAUTHORIZED),
        ("Basic !!!".to_owned(), StatusCode::UNAUTHORIZED),
        ("Bearer ".to_owned(), StatusCode::UNAUTHORIZED),
    ] {
        let request = Request::builder()
            .uri("/api/spaces")
            .header(header::AUTHORIZATION, &header_value)
            .body(Body::empty())
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status, expected, "{header_value}");
        assert_eq!(
            answer.headers.contains_key(header::WWW_AUTHENTICATE),
            expected == StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test]
async fn api_1_errors_have_one_shape_and_every_answer_a_request_id() {
    let world = World::new();
    let big = "x".repeat(65 * 1024);
    let mut ids = BTreeSet::new();
    for (method, path, body, status, code) in [
        ("GET", "/api/spaces", "", 200, ""),
        ("DELETE", "/api/spaces", "", 405, "method_not_allowed"),
        ("POST", "/api/spaces", "{", 400, "invalid_request_error"),
        (
            "POST",
            "/api/spaces",
            r#"{"name":"Not A Name"}"#,
            400,
            "validation_error",
        ),
        ("POST", "/api/spaces", r#"{"name":"main"}"#, 409, "conflict"),
        ("POST", "/api/spaces", &big, 413, "payload_too_large"),
        ("GET", "/api/spaces/main/profiles/user_id:nobody", "", 404, "not_found"),
        ("GET", "/api/spaces/main/profiles/nobody", "", 400, "validation_error"),
        ("GET", "/api/spaces/nowhere/sources", "", 404, "not_found"),
        (
            "GET",
            "/api/spaces/main/profiles/%ff:x",
            "",
            400,
            "invalid_request_error",
        ),
        (
            "GET",
            "/api/spaces/main/segments/big_spenders/members?limit=0",
            "",
            400,
            "validation_error",
        ),
    ] {
        let answer = world.call(method, path, &world.admin, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
        if status >= 400 {
            let error = &answer.json()["error"];
            assert_eq!(error["code"], code, "{method} {path}: {}", answer.text);
            assert!(!error["message"].as_str().unwrap().is_empty());
        }
        assert!(
            ids.insert(answer.headers["request-id"].clone()),
            "a request id is used twice"
        );
    }
}

#[tokio::test]
async fn api_1_a_space_that_is_not_there_is_not_told_as_somebody_who_is_not() {
    let world = World::new();
    for path in [
        "profiles/user_id:nobody",
        "identity/resolve?identifier=user_id:nobody",
        "segments/big_spenders/explain/user_id:nobody",
    ] {
        for (space, expected) in [
            ("main", "Profile was not found."),
            ("nowhere", "there is no space nowhere: `kith space list` lists them"),
        ] {
            let answer = world.get(&format!("/api/spaces/{space}/{path}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{space} {path}: {}", answer.text);
            assert_eq!(answer.json()["error"]["message"], expected, "{path}");
        }
    }
}

#[tokio::test]
async fn api_1_a_parameter_that_a_route_does_not_take_is_refused_by_name() {
    let world = World::new();
    for endpoint in endpoints() {
        let path = format!("{}?no_such_parameter=1", path_of(&endpoint, "main"));
        let asked = request(&endpoint.method.to_uppercase(), &path, Some(&world.admin), "{}");
        let answer = tower::ServiceExt::oneshot(world.app.clone(), asked).await.unwrap();
        // A mail service may add to a link what it likes.
        let lenient = endpoint.path == "/u/{token}";
        assert_eq!(
            answer.status() == StatusCode::BAD_REQUEST,
            !lenient,
            "{}",
            name_of(&endpoint)
        );
    }
    let profile = "/api/spaces/main/profiles/user_id:u1";
    let known = "The parameters here are as_of, events, known_at, verbose";
    for (path, expected) in [
        (
            format!("{profile}?asof=2024-01-01"),
            format!("there is no parameter asof: did you mean as_of? {known}"),
        ),
        (
            format!("{profile}?verbose=true&As_Of=2024-01-01"),
            format!("there is no parameter As_Of: did you mean as_of? {known}"),
        ),
        (
            format!("{profile}?%6aust%0a=x"),
            format!("there is no parameter just: {known}"),
        ),
        (
            "/api/spaces?limit=5".to_owned(),
            "there is no parameter limit: this address takes none".to_owned(),
        ),
    ] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.text);
        assert_eq!(answer.json()["error"]["message"], expected, "{path}");
        assert_eq!(answer.json()["error"]["code"], "validation_error", "{path}");
        let stranger = world.send(request("GET", &path, None, "")).await;
        assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in [
        "/livez?",
        "/livez?&",
        &format!("{profile}?verbose"),
        &format!("{profile}?events=1&verbose=true"),
    ] {
        assert_eq!(world.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn api_1_each_parameter_that_the_document_names_is_read() {
    let world = World::new();
    let served = serde_json::to_value(document()).unwrap();
    let mut asked = 0;
    for endpoint in endpoints() {
        let parameters = served["paths"][&endpoint.path][endpoint.method]["parameters"].clone();
        for parameter in parameters
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["in"] == "query")
        {
            // Twice the same is refused by whoever reads it, and by nobody else.
            let name = parameter["name"].as_str().unwrap();
            let path = format!("{}?{name}=a&{name}=b", path_of(&endpoint, "main"));
            let method = endpoint.method.to_uppercase();
            let answer = world.send(request(&method, &path, Some(&world.admin), "{}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            assert!(answer.text.contains("duplicate field"), "{path}: {}", answer.text);
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
}
