//! Definitions: plan, apply, export and history.

use super::Api;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{blocking, parse_body, parse_flag, parse_space};
use crate::raw_json::RawJson;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http::{HeaderMap, header};
use kith_catalog::{
    DefinitionVersion, Document, DocumentId, PlannedChange, Principal, Problem, Proposal, parse_yaml, to_yaml,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

const YAML: &str = "application/yaml";

/// Documents to plan or to apply.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProposalBody {
    /// What shall be created or updated.
    #[serde(default)]
    #[schema(value_type = Vec<DocumentBody>)]
    documents: Vec<serde_json::Value>,
    /// What shall be deleted.
    #[serde(default)]
    removals: Vec<DocumentName>,
    /// Whether every definition that is not among the documents shall be deleted; the limits of the space stay.
    #[serde(default)]
    prune: bool,
    /// Who decides; the key's name unless given.
    #[serde(default)]
    author: Option<String>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
}

/// What names a definition.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentName {
    /// `space_limits`, `source`, `identity_rules`, `trait_rules`, `computed_trait`, `segment`, `sending_rules` or `message`.
    kind: String,
    /// Its name within the kind.
    name: String,
}

/// A definition.
#[derive(Serialize, ToSchema)]
pub(crate) struct DocumentBody {
    /// What it defines.
    kind: &'static str,
    /// Its name within the kind.
    name: String,
    /// What it says, an object.
    spec: RawJson,
}

/// What beside a YAML body can be said.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApplyQuery {
    /// With a YAML body: whether every definition that is not in it shall be deleted.
    pub(super) prune: Option<String>,
    /// With a YAML body: why.
    pub(super) reason: Option<String>,
}

/// What would change, or did.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanBody {
    /// In the order of kinds and names.
    changes: Vec<ChangeBody>,
    /// Names that a definition asks for and nobody has sent, and definitions that do not count; absent where there are none. They
    /// refuse nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningBody>,
    /// The decision's place in the log; absent where nothing changed and in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
}

/// What whoever writes a definition should look at.
#[derive(Serialize, ToSchema)]
pub(crate) struct WarningBody {
    /// The definition, as `kind/name`.
    document: String,
    /// What is to be looked at.
    message: String,
}

/// What would happen to a definition.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeBody {
    /// What it defines.
    kind: &'static str,
    /// Its name.
    name: String,
    /// `create`, `update`, `delete` or `unchanged`.
    action: &'static str,
    /// The difference of the specs as YAML, line by line, marked `+ `, `- ` or two blanks.
    diff: Vec<String>,
}

/// The definitions of a space.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportBody {
    /// In the order of kinds and names.
    documents: Vec<DocumentBody>,
}

/// The versions of a definition.
#[derive(Serialize, ToSchema)]
pub(crate) struct HistoryBody {
    /// Newest first.
    versions: Vec<VersionBody>,
}

/// One version of a definition.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionBody {
    /// 1 for the first.
    version: u64,
    /// Whether this version deleted it.
    deleted: bool,
    /// What it says; `null` where it is deleted.
    spec: RawJson,
    /// Who decided.
    author: String,
    /// Why.
    reason: String,
    /// The decision's place in the log.
    decided_by: String,
    /// When.
    created_at: String,
    /// The difference from the version before.
    diff: Vec<String>,
}

/// Shows what applying documents would change. The body is JSON, or a stream of YAML documents.
#[utoipa::path(
    post, path = "/api/spaces/{space}/definitions/plan", operation_id = "plan_definitions", tag = "definitions",
    params(("space", description = "The space."), ApplyQuery),
    request_body = ProposalBody,
    responses(
        (status = 200, description = "The plan.", body = PlanBody),
        (status = 409, description = "The space would have more than it may.", body = ErrorBody),
        (status = 422, description = "The documents must be mended.", body = ErrorBody),
    ),
)]
pub(crate) async fn plan(
    state: Api,
    Path(space): Path<String>,
    Query(query): Query<ApplyQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<PlanBody>, ApiError> {
    let space = parse_space(&space)?;
    let request = read_request(&headers, &query, &body)?;
    let planned = state.definitions.plan(&space, &request.proposal).await?;
    Ok(Json(PlanBody {
        changes: planned.changes.into_iter().map(change_body).collect(),
        warnings: planned.warnings.into_iter().map(warning_body).collect(),
        decided_by: None,
    }))
}

/// Applies documents: one decision, durable in the log, then active.
#[utoipa::path(
    post, path = "/api/spaces/{space}/definitions/apply", operation_id = "apply_definitions", tag = "definitions",
    params(("space", description = "The space."), ApplyQuery),
    request_body = ProposalBody,
    responses(
        (status = 200, description = "What changed.", body = PlanBody),
        (status = 409, description = "The space would have more than it may.", body = ErrorBody),
        (status = 422, description = "The documents must be mended; nothing was applied.", body = ErrorBody),
    ),
)]
pub(crate) async fn apply(
    state: Api,
    Path(space): Path<String>,
    Query(query): Query<ApplyQuery>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<PlanBody>, ApiError> {
    let space = parse_space(&space)?;
    let request = read_request(&headers, &query, &body)?;
    let author = request.author.unwrap_or(principal.key_name);
    let applied = state
        .definitions
        .apply(&space, &request.proposal, &author, &request.reason)
        .await?;
    let changes = applied.changes.into_iter().map(change_body).collect();
    Ok(Json(PlanBody {
        changes,
        warnings: applied.warnings.into_iter().map(warning_body).collect(),
        decided_by: applied.decided_by.map(|address| address.to_string()),
    }))
}

/// The definitions that hold now, as JSON, or as YAML where `Accept` asks for `application/yaml`.
#[utoipa::path(
    get, path = "/api/spaces/{space}/definitions", operation_id = "export_definitions", tag = "definitions",
    params(("space", description = "The space.")),
    responses(
        (status = 200, description = "The definitions.", body = ExportBody),
        (status = 404, description = "No such space.", body = ErrorBody),
    ),
)]
pub(crate) async fn export(state: Api, Path(space): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let space = parse_space(&space)?;
    let catalog = Arc::clone(&state.catalog);
    let documents = blocking(move || {
        if !catalog.has_space(&space)? {
            return Err(ApiError::not_found(format!("there is no space {space}")));
        }
        Ok(catalog.definitions(&space)?)
    })
    .await?;
    if says_yaml(&headers, header::ACCEPT.as_str()) {
        return Ok(([(header::CONTENT_TYPE, YAML)], to_yaml(&documents)).into_response());
    }
    let documents = documents.into_iter().map(|document| DocumentBody {
        kind: document.kind.as_str(),
        name: document.name,
        spec: RawJson::of(&document.spec),
    });
    Ok(Json(ExportBody {
        documents: documents.collect(),
    })
    .into_response())
}

/// The versions of a definition, newest first.
#[utoipa::path(
    get, path = "/api/spaces/{space}/definitions/{kind}/{name}/history", operation_id = "definition_history",
    tag = "definitions",
    params(
        ("space", description = "The space."),
        ("kind", description = "What it defines."),
        ("name", description = "Its name."),
    ),
    responses(
        (status = 200, description = "The versions.", body = HistoryBody),
        (status = 404, description = "There never was one.", body = ErrorBody),
    ),
)]
pub(crate) async fn history(
    state: Api,
    Path((space, kind, name)): Path<(String, String, String)>,
) -> Result<Json<HistoryBody>, ApiError> {
    let space = parse_space(&space)?;
    let id = DocumentId::new(&kind, &name).map_err(ApiError::invalid)?;
    let catalog = Arc::clone(&state.catalog);
    let versions = blocking(move || Ok(catalog.definition_history(&space, &id)?)).await?;
    Ok(Json(HistoryBody {
        versions: versions.into_iter().map(version_body).collect(),
    }))
}

pub(super) struct ReadRequest {
    pub(super) proposal: Proposal,
    author: Option<String>,
    reason: String,
}

pub(super) fn read_request(headers: &HeaderMap, query: &ApplyQuery, body: &[u8]) -> Result<ReadRequest, ApiError> {
    if says_yaml(headers, header::CONTENT_TYPE.as_str()) {
        let text = std::str::from_utf8(body).map_err(|_| ApiError::invalid("the body is not UTF-8"))?;
        let documents = parse_yaml("body", text).map_err(ApiError::problems)?;
        let proposal = Proposal {
            documents,
            removals: Vec::new(),
            prune: parse_flag("prune", query.prune.as_deref())?,
        };
        refuse_to_prune_all(&proposal)?;
        return Ok(ReadRequest {
            proposal,
            author: None,
            reason: query.reason.clone().unwrap_or_default(),
        });
    }
    let body: ProposalBody = parse_body(body)?;
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for (at, value) in body.documents.into_iter().enumerate() {
        match Document::from_json(&format!("documents[{at}]"), value) {
            Ok(document) => documents.push(document),
            Err(problem) => problems.push(problem),
        }
    }
    let mut removals = Vec::new();
    for (at, removal) in body.removals.into_iter().enumerate() {
        match DocumentId::new(&removal.kind, &removal.name) {
            Ok(id) => removals.push(id),
            Err(message) => problems.push(Problem {
                document: format!("removals[{at}]"),
                path: String::new(),
                message,
            }),
        }
    }
    if !problems.is_empty() {
        return Err(ApiError::problems(problems));
    }
    let proposal = Proposal {
        documents,
        removals,
        prune: body.prune,
    };
    refuse_to_prune_all(&proposal)?;
    Ok(ReadRequest {
        proposal,
        author: body.author,
        reason: body.reason.unwrap_or_default(),
    })
}

/// No document at all is a slip, such as an export that failed: pruned, it would remove everything.
fn refuse_to_prune_all(proposal: &Proposal) -> Result<(), ApiError> {
    match proposal.prune && proposal.documents.is_empty() {
        true => Err(ApiError::invalid(
            "prune removes every definition that is not among the documents, and there are none; name what is to go in `removals`",
        )),
        false => Ok(()),
    }
}

/// Whether a header names YAML, by any of the names in use.
fn says_yaml(headers: &HeaderMap, name: &str) -> bool {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("yaml"))
}

fn warning_body(warning: Problem) -> WarningBody {
    WarningBody {
        document: warning.document,
        message: warning.message,
    }
}

fn change_body(change: PlannedChange) -> ChangeBody {
    ChangeBody {
        kind: change.id.kind.as_str(),
        name: change.id.name,
        action: change.action.as_str(),
        diff: change.diff,
    }
}

fn version_body(version: DefinitionVersion) -> VersionBody {
    VersionBody {
        version: version.version,
        deleted: version.spec.is_none(),
        spec: version.spec.as_ref().map_or_else(RawJson::null, RawJson::of),
        author: version.author,
        reason: version.reason,
        decided_by: version.decided_by.to_string(),
        created_at: version.created_at.to_string(),
        diff: version.diff,
    }
}
