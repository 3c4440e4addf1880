//! Who is who: why two identifiers are one person, what if, and vetoes (contracts IDN-6, IDN-7).

use super::{Api, existing_space, nobody_in};
use crate::RawJson;
use crate::error::{ApiError, ErrorBody};
use crate::extract::{parse_as_of, parse_body, parse_name, parse_person, parse_space};
use crate::ports::{PersonRef, Veto, WhatIf};
use axum::extract::{Path, Query};
use axum::{Extension, Json};
use bytes::Bytes;
use kith_catalog::Principal;
use kith_types::Identifier;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Vetoes that one request may name.
const VETOES_MAX: usize = 1_000;
const REASON_BYTES_MAX: usize = 2_000;

/// The two identifiers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhyQuery {
    /// One, as `type:value`, or a profile id: that stands for the identifier that it comes from.
    one: Option<String>,
    /// The other.
    other: Option<String>,
}

/// Who is asked for, and as of when.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResolveQuery {
    /// `type:value`, or a profile id.
    identifier: Option<String>,
    /// As of which past moment; now unless given.
    as_of: Option<String>,
    /// With the knowledge of which moment: what was received and decided by then. `as_of` unless given; later is hindsight.
    known_at: Option<String>,
}

/// A veto: `event` and `identifier`, or `one` and `other`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VetoBody {
    /// The address of an event, such as `0-0-42-0`, that does not link `identifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// What that event does not link, as `type:value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    /// One of two identifiers that are not one person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    one: Option<String>,
    /// The other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other: Option<String>,
}

/// What a comparison asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhatIfBody {
    /// Other rules: the `spec` of a definition of kind `identity_rules`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    rules: Option<serde_json::Value>,
    /// Vetoes beyond those in force.
    #[serde(default)]
    add: Vec<VetoBody>,
    /// Vetoes in force that would be no more.
    #[serde(default)]
    remove: Vec<VetoBody>,
    /// Whose evidence is looked at, as `type:value`, beside that of the vetoed identifiers. Without it, for other rules:
    /// everybody's. With rules, 200,000 events or 256 MiB of them are looked at; otherwise the answer is always complete.
    #[serde(default)]
    around: Option<String>,
}

/// A decision about evidence.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VetoesBody {
    /// Vetoes from now on.
    #[serde(default)]
    add: Vec<VetoBody>,
    /// Vetoes that are no more.
    #[serde(default)]
    remove: Vec<VetoBody>,
    /// Who decides; the key's name unless given.
    #[serde(default)]
    author: Option<String>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
}

/// A veto in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct VetoingBody {
    #[serde(flatten)]
    veto: VetoBody,
    /// When it was decided; absent where that is not known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Why; absent where nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The vetoes of a space.
#[derive(Serialize, ToSchema)]
pub(crate) struct VetoList {
    /// In their order.
    vetoes: Vec<VetoingBody>,
}

/// What a decision did.
#[derive(Serialize, ToSchema)]
pub(crate) struct VetoedBody {
    /// The decision's place in the log; absent where nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    /// Whether people are regrouped already; they will be, where not.
    applied: bool,
    /// Identifiers of the pairs that nobody has yet: the decision holds for when they come. Absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
}

/// Why two identifiers are, or are not, one person: the shortest way of events from one to the other, what was left out of
/// links and, where there is no way, which evidence between the two was refused (`refused`).
#[utoipa::path(
    get, path = "/api/spaces/{space}/identity/why", operation_id = "explain_identity", tag = "identity",
    params(("space", description = "The space."), WhyQuery),
    responses(
        (status = 200, description = "The evidence between them.", body = RawJson),
        (status = 400, description = "A profile id that stands for no one identifier.", body = ErrorBody),
        (status = 404, description = "One of them is unknown, or blocked by the rules.", body = ErrorBody),
    ),
)]
pub(crate) async fn why(
    state: Api,
    Path(space): Path<String>,
    Query(query): Query<WhyQuery>,
) -> Result<Json<RawJson>, ApiError> {
    let space = parse_space(&space)?;
    let given = |name: &str, text: Option<String>| {
        let text =
            text.ok_or_else(|| ApiError::invalid(format!("{name} must be given, as type:value or a profile id")))?;
        parse_person(&text)
    };
    let (one, other) = (given("one", query.one)?, given("other", query.other)?);
    Ok(Json(state.identity.why(&space, &one, &other).await?))
}

/// The profile that an identifier or a profile id leads to, or led to as of a moment.
#[utoipa::path(
    get, path = "/api/spaces/{space}/identity/resolve", operation_id = "resolve_identifier", tag = "identity",
    params(("space", description = "The space."), ResolveQuery),
    responses(
        (status = 200, description = "The profile then, its identifiers then, and the profile today.", body = RawJson),
        (status = 400, description = "A moment to come, or too long a history.", body = ErrorBody),
        (status = 404, description = "It led to nobody.", body = ErrorBody),
    ),
)]
pub(crate) async fn resolve(
    state: Api,
    Path(space): Path<String>,
    Query(query): Query<ResolveQuery>,
) -> Result<Json<RawJson>, ApiError> {
    let space = parse_space(&space)?;
    let identifier = query.identifier;
    let identifier = identifier.ok_or_else(|| ApiError::invalid("identifier must be given, as type:value"))?;
    let as_of = parse_as_of(query.as_of.as_deref(), query.known_at.as_deref())?;
    let found = state
        .identity
        .resolve(&space, &parse_person(&identifier)?, as_of)
        .await?;
    match found {
        Some(resolved) => Ok(Json(resolved)),
        None => Err(nobody_in(&state, &space).await),
    }
}

/// Who would split and who would merge by other rules or vetoes, before anything changes.
#[utoipa::path(
    post, path = "/api/spaces/{space}/identity/what-if", operation_id = "compare_identity", tag = "identity",
    params(("space", description = "The space.")),
    request_body = WhatIfBody,
    responses(
        (status = 200, description = "Who would split and who would merge.", body = RawJson),
        (status = 400, description = "Rules or vetoes that cannot be used.", body = ErrorBody),
        (status = 404, description = "An event that is not there, or does not name the identifier.", body = ErrorBody),
    ),
)]
pub(crate) async fn what_if(state: Api, Path(space): Path<String>, body: Bytes) -> Result<Json<RawJson>, ApiError> {
    let space = parse_space(&space)?;
    let body: WhatIfBody = parse_body(&body)?;
    let question = WhatIf {
        rules: body.rules,
        add: vetoes_of(&body.add)?,
        remove: vetoes_of(&body.remove)?,
        around: body.around.as_deref().map(parse_identifier).transpose()?,
    };
    if question.rules.is_none() && question.add.is_empty() && question.remove.is_empty() {
        return Err(ApiError::invalid("ask with rules, or with vetoes to add or to remove"));
    }
    Ok(Json(state.identity.what_if(&space, &question).await?))
}

/// The vetoes in force.
#[utoipa::path(
    get, path = "/api/spaces/{space}/identity/vetoes", operation_id = "list_vetoes", tag = "identity",
    params(("space", description = "The space.")),
    responses((status = 200, description = "The vetoes.", body = VetoList)),
)]
pub(crate) async fn vetoes(state: Api, Path(space): Path<String>) -> Result<Json<VetoList>, ApiError> {
    let vetoes = state.identity.vetoes(&existing_space(&state, &space).await?).await?;
    let vetoes = vetoes.iter().map(|one| VetoingBody {
        veto: body_of(&one.veto),
        since: one.since.map(|at| at.to_string()),
        reason: one.reason.clone(),
    });
    Ok(Json(VetoList {
        vetoes: vetoes.collect(),
    }))
}

/// Adds and removes vetoes: an event does not link an identifier, or two identifiers are not one person.
#[utoipa::path(
    post, path = "/api/spaces/{space}/identity/vetoes", operation_id = "change_vetoes", tag = "identity",
    params(("space", description = "The space.")),
    request_body = VetoesBody,
    responses(
        (status = 200, description = "What the decision did.", body = VetoedBody),
        (status = 404, description = "No such event or veto.", body = ErrorBody),
    ),
)]
pub(crate) async fn veto(
    state: Api,
    Extension(principal): Extension<Principal>,
    Path(space): Path<String>,
    body: Bytes,
) -> Result<Json<VetoedBody>, ApiError> {
    let space = parse_space(&space)?;
    let body: VetoesBody = parse_body(&body)?;
    let (add, remove) = (vetoes_of(&body.add)?, vetoes_of(&body.remove)?);
    if add.is_empty() && remove.is_empty() {
        return Err(ApiError::invalid("name vetoes to add or to remove"));
    }
    let author = body.author.unwrap_or(principal.key_name);
    let reason = body.reason.unwrap_or_default();
    if author.len() + reason.len() > REASON_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "author and reason have at most {REASON_BYTES_MAX} bytes"
        )));
    }
    let vetoed = state.identity.veto(&space, &add, &remove, &author, &reason).await?;
    Ok(Json(VetoedBody {
        decided_by: vetoed.decided_by.map(|address| address.to_string()),
        applied: vetoed.applied,
        unknown: vetoed.unknown.iter().map(ToString::to_string).collect(),
    }))
}

fn parse_identifier(text: &str) -> Result<Identifier, ApiError> {
    match parse_person(text)? {
        PersonRef::Identifier(identifier) => Ok(identifier),
        PersonRef::Profile(_) => Err(ApiError::invalid("name an identifier as type:value, not a profile id")),
    }
}

fn vetoes_of(bodies: &[VetoBody]) -> Result<Vec<Veto>, ApiError> {
    if bodies.len() > VETOES_MAX {
        return Err(ApiError::invalid(format!("at most {VETOES_MAX} vetoes a request")));
    }
    bodies.iter().map(veto_of).collect()
}

fn veto_of(body: &VetoBody) -> Result<Veto, ApiError> {
    match (&body.event, &body.identifier, &body.one, &body.other) {
        (Some(event), Some(identifier), None, None) => Ok(Veto::Event {
            event: parse_name(event)?,
            identifier: parse_identifier(identifier)?,
        }),
        (None, None, Some(one), Some(other)) => {
            let (one, other) = (parse_identifier(one)?, parse_identifier(other)?);
            if one == other {
                return Err(ApiError::invalid("an identifier cannot be held apart from itself"));
            }
            Ok(Veto::Pair { one, other })
        }
        _ => Err(ApiError::invalid("a veto has event and identifier, or one and other")),
    }
}

fn body_of(veto: &Veto) -> VetoBody {
    let mut body = VetoBody {
        event: None,
        identifier: None,
        one: None,
        other: None,
    };
    match veto {
        Veto::Event { event, identifier } => {
            body.event = Some(event.to_string());
            body.identifier = Some(identifier.to_string());
        }
        Veto::Pair { one, other } => {
            body.one = Some(one.to_string());
            body.other = Some(other.to_string());
        }
    }
    body
}
