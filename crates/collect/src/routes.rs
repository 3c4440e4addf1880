//! The routes of the doors, with and without a trailing slash (contract COL-1).
//!
//! Says which path leads to which call; the work is done in `doors`. It has no fallback, so that the binary can merge it
//! with other routers.

use crate::doors::Doors;
use crate::{body, reply, sdk_settings};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request};
use axum::routing::{MethodRouter, get, post};
use kith_types::Route;
use std::sync::Arc;

/// The paths that take bodies. Segment's, its browser SDK's short ones, those that other servers of the protocol add,
/// and RudderStack's. `merge` is known and rejected event by event.
pub(crate) const BODY_PATHS: &[(&str, Route)] = &[
    ("/v1/identify", Route::Identify),
    ("/v1/track", Route::Track),
    ("/v1/page", Route::Page),
    ("/v1/screen", Route::Screen),
    ("/v1/group", Route::Group),
    ("/v1/alias", Route::Alias),
    ("/v1/batch", Route::Batch),
    ("/v1/import", Route::Batch),
    ("/v1/i", Route::Identify),
    ("/v1/t", Route::Track),
    ("/v1/p", Route::Page),
    ("/v1/s", Route::Screen),
    ("/v1/g", Route::Group),
    ("/v1/a", Route::Alias),
    ("/v1/b", Route::Batch),
    ("/v1/batch/b", Route::Batch),
    ("/b", Route::Batch),
    ("/batch", Route::Batch),
    ("/v1/merge", Route::Batch),
    ("/beacon/v1/batch", Route::Batch),
];

/// The paths whose events stand in the query.
pub(crate) const PIXEL_PATHS: &[(&str, Route)] = &[("/pixel/v1/track", Route::Track), ("/pixel/v1/page", Route::Page)];

/// Where SDKs report on themselves: taken and forgotten.
pub(crate) const METRICS_PATH: &str = "/v1/m";
/// Segment's settings document.
pub(crate) const SETTINGS_PATH: &str = "/v1/projects/{write_key}/settings";
/// RudderStack's source configuration.
pub(crate) const SOURCE_CONFIG_PATH: &str = "/sourceConfig";

/// What a path of the doors does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `POST` of a body: one call, or a batch of them.
    Body(Route),
    /// `GET` of an image; the call stands in the query.
    Pixel(Route),
    /// `POST` of what an SDK says of itself: taken and forgotten.
    Metrics,
    /// `GET` of Segment's settings; the write key stands in the path.
    Settings,
    /// `GET` of RudderStack's source configuration.
    SourceConfig,
}

/// Every path of the doors, in the form of axum and of OpenAPI alike. Each is served with a slash at its end, too.
pub fn paths() -> impl Iterator<Item = (&'static str, Door)> {
    let bodies = BODY_PATHS.iter().map(|(path, route)| (*path, Door::Body(*route)));
    let pixels = PIXEL_PATHS.iter().map(|(path, route)| (*path, Door::Pixel(*route)));
    bodies.chain(pixels).chain([
        (METRICS_PATH, Door::Metrics),
        (SETTINGS_PATH, Door::Settings),
        (SOURCE_CONFIG_PATH, Door::SourceConfig),
    ])
}

/// The router of all doors. The binary gives it the peer's address by `into_make_service_with_connect_info::<SocketAddr>`.
pub fn router(doors: Arc<Doors>) -> Router {
    let mut router = Router::new();
    for (path, door) in paths() {
        router = both(router, path, served(door));
    }
    router.with_state(doors)
}

fn served(door: Door) -> MethodRouter<Arc<Doors>> {
    match door {
        Door::Body(route) => post(
            move |State(doors): State<Arc<Doors>>, request: Request<Body>| async move { doors.take(route, request).await },
        ),
        Door::Pixel(route) => get(
            move |State(doors): State<Arc<Doors>>, request: Request<Body>| async move {
                doors.take_pixel(route, request).await
            },
        ),
        Door::Metrics => post(forget),
        Door::Settings => get(settings),
        Door::SourceConfig => get(source_config),
    }
}

fn both(router: Router<Arc<Doors>>, path: &str, served: MethodRouter<Arc<Doors>>) -> Router<Arc<Doors>> {
    let served = served
        .options(|| async { reply::preflight() })
        .fallback(|| async { reply::wrong_method() });
    router.route(path, served.clone()).route(&format!("{path}/"), served)
}

async fn forget(body: Body) -> axum::response::Response {
    body::discard(body).await;
    reply::success()
}

async fn settings(
    State(doors): State<Arc<Doors>>,
    Path(write_key): Path<String>,
    headers: HeaderMap,
) -> axum::response::Response {
    sdk_settings::segment(&doors, &write_key, &headers)
}

async fn source_config(State(doors): State<Arc<Doors>>, request: Request<Body>) -> axum::response::Response {
    sdk_settings::rudderstack(&doors, &request)
}
