//! The table of routes: the router and the OpenAPI document are both made from it, and each line names its access.

use crate::auth::{Access, Guard, authorize};
use crate::handlers::{
    accounts, definitions, destinations, drafts, health, identity, keys, losses, members, operations, profile_api,
    profiles, rejects, runs, sends, sources, spaces, sql, tail, unsubscribe,
};
use crate::look::Look;
use crate::parameters::{self, Parameters};
use crate::ports::{
    Definitions, Destinations, Identity, Ingest, Operations, Profiles, Runs, Segments, Sql, Tail, Unsubscribe,
};
use crate::watch::watch;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodRouter;
use kith_catalog::Catalog;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::{OpenApi, Path};

/// Limits of the API.
#[derive(Clone, Copy, Debug)]
pub struct ApiLimits {
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// The most connections that follow the tail at once.
    pub tail_followers_max: usize,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 * 1024 * 1024,
            tail_followers_max: 64,
        }
    }
}

/// What the routes work on: the catalog and a port for every subject.
pub struct ApiState {
    /// Keys, spaces, sources, and definitions to read.
    pub catalog: Arc<Catalog>,
    /// People.
    pub profiles: Arc<dyn Profiles>,
    /// Segments.
    pub segments: Arc<dyn Segments>,
    /// Planning and applying.
    pub definitions: Arc<dyn Definitions>,
    /// Who is who.
    pub identity: Arc<dyn Identity>,
    /// SQL.
    pub sql: Arc<dyn Sql>,
    /// The live tail.
    pub tail: Arc<dyn Tail>,
    /// Running the server.
    pub operations: Arc<dyn Operations>,
    /// Imports.
    pub ingest: Arc<dyn Ingest>,
    /// Unsubscribe links.
    pub unsubscribe: Arc<dyn Unsubscribe>,
    /// Destinations of audiences.
    pub destinations: Arc<dyn Destinations>,
    /// Runs of messages.
    pub runs: Arc<dyn Runs>,
    /// Looks at the catalog, for readiness.
    pub catalog_look: Look,
    /// Limits.
    pub limits: ApiLimits,
}

/// One route.
pub(crate) struct Endpoint {
    pub(crate) path: String,
    pub(crate) method: &'static str,
    pub(crate) access: Access,
    handler: MethodRouter<Arc<ApiState>>,
}

macro_rules! endpoints {
    ($($access:ident $method:ident $module:ident::$handler:ident $path:ident;)*) => {
        /// The routes' part of the OpenAPI document.
        #[derive(OpenApi)]
        #[openapi(
            info(title = "Kith", description = "The customer data platform's API. Keys go into `Authorization: Bearer KEY`, or into the user name of `Basic`."),
            paths($($module::$handler),*)
        )]
        pub(crate) struct Documented;

        /// Every route of the API.
        pub(crate) fn endpoints() -> Vec<Endpoint> {
            vec![$(Endpoint {
                path: <$module::$path as Path>::path(),
                method: stringify!($method),
                access: Access::$access,
                handler: axum::routing::$method($module::$handler),
            }),*]
        }
    };
}

endpoints! {
    Open get health::livez __path_livez;
    Open get health::readyz __path_readyz;
    Open get health::metrics __path_metrics;
    Open get health::openapi __path_openapi;
    Open get health::segment_schema __path_segment_schema;
    Open get unsubscribe::show __path_show;
    Open post unsubscribe::unsubscribe __path_unsubscribe;
    SpaceRead get profile_api::traits __path_traits;
    SpaceRead get profile_api::external_ids __path_external_ids;
    SpaceRead get profile_api::events __path_events;
    SpaceRead get profile_api::metadata __path_metadata;
    SpaceRead get profile_api::links __path_links;
    SpaceRead get accounts::account_traits __path_account_traits;
    SpaceRead get accounts::account_external_ids __path_account_external_ids;
    SpaceRead get accounts::account_links __path_account_links;
    SpaceRead get accounts::account __path_account;
    Admin get spaces::list __path_list;
    Admin post spaces::create __path_create;
    Admin get spaces::limits __path_limits;
    Admin put spaces::set_limits __path_set_limits;
    Admin patch spaces::change_limits __path_change_limits;
    Admin get sources::list __path_list;
    Admin post sources::create __path_create;
    Admin post sources::disable __path_disable;
    Admin post sources::enable __path_enable;
    Admin post sources::rotate __path_rotate;
    Admin post sources::import __path_import;
    Admin get keys::list __path_list;
    Admin post keys::create __path_create;
    Admin delete keys::revoke __path_revoke;
    Admin post definitions::plan __path_plan;
    Admin post definitions::apply __path_apply;
    Admin post drafts::impact __path_impact;
    SpaceRead get definitions::export __path_export;
    SpaceRead get definitions::history __path_history;
    SpaceRead get profiles::profile __path_profile;
    SpaceRead get members::list __path_list;
    SpaceRead post drafts::estimate __path_estimate;
    SpaceRead get drafts::overlap __path_overlap;
    SpaceRead get members::members __path_members;
    SpaceRead get members::explain __path_explain;
    SpaceRead get identity::why __path_why;
    SpaceRead get identity::resolve __path_resolve;
    Admin post identity::what_if __path_what_if;
    SpaceRead get identity::vetoes __path_vetoes;
    Admin post identity::veto __path_veto;
    SpaceRead get tail::tail __path_tail;
    SpaceRead get sends::list __path_list;
    SpaceRead get sends::counts __path_counts;
    SpaceRead get runs::list __path_list;
    SpaceRead get runs::one __path_one;
    Admin post runs::ask __path_ask;
    Admin post runs::start __path_start;
    Admin post runs::stop __path_stop;
    SpaceRead get destinations::list __path_list;
    Admin post destinations::pause_destination __path_pause_destination;
    Admin post destinations::resume_destination __path_resume_destination;
    Admin post operations::pause __path_pause;
    Admin post operations::resume __path_resume;
    Admin post operations::pause_message __path_pause_message;
    Admin post operations::resume_message __path_resume_message;
    Admin post operations::pause_all __path_pause_all;
    Admin post operations::resume_all __path_resume_all;
    Admin post sql::sql __path_sql;
    Admin post operations::flush __path_flush;
    Admin post rejects::replay __path_replay;
    Admin post operations::verify_raw __path_verify_raw;
    Admin post losses::accept __path_accept;
    Admin post operations::verify_rebuild __path_verify_rebuild;
    Admin get operations::status __path_status;
}

/// What the handlers share beside the ports.
#[derive(Clone)]
pub(crate) struct Followers(pub(crate) Arc<Semaphore>);

/// The router of the API. The binary merges it with the doors and sets [`crate::not_found`] as the fallback of both.
pub fn router(state: ApiState) -> Router {
    let followers = Followers(Arc::new(Semaphore::new(state.limits.tail_followers_max)));
    let body_bytes_max = state.limits.body_bytes_max;
    let state = Arc::new(state);
    let mut router = Router::new();
    let document = crate::openapi::document();
    for endpoint in endpoints() {
        let parameters = Parameters::of(&document, &endpoint);
        let guard = Guard {
            state: Arc::clone(&state),
            access: endpoint.access,
        };
        router = router.route(
            &endpoint.path,
            // The last is asked first: who may not call a route learns nothing of it.
            endpoint
                .handler
                .layer(from_fn_with_state(parameters, parameters::check))
                .layer(from_fn_with_state(guard, authorize)),
        );
    }
    router
        .layer(axum::Extension(followers))
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(from_fn(watch))
        .with_state(state)
}
