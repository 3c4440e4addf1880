//! Reading what a request names: spaces, people, limits, bodies. Every refusal says what, where and how to mend it.

use crate::ApiError;
use crate::ports::{AsOf, KnownAt, PersonRef};
use http::StatusCode;
use kith_types::{Identifier, ProfileId, SpaceId, Timestamp};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// The longest identifier that is looked up, in bytes.
const IDENTIFIER_BYTES_MAX: usize = 1_024;

/// A name of the path or the query that follows its own rule.
pub(crate) fn parse_name<T: FromStr>(name: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    name.parse()
        .map_err(|error: T::Err| ApiError::invalid(error.to_string()))
}

/// The space that a path names.
pub(crate) fn parse_space(name: &str) -> Result<SpaceId, ApiError> {
    parse_name(name)
}

/// Whom `type:value` names: an identifier, or a profile as `prf_…` or `profile_id:prf_…`.
pub(crate) fn parse_person(text: &str) -> Result<PersonRef, ApiError> {
    if text.len() > IDENTIFIER_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "an identifier has at most {IDENTIFIER_BYTES_MAX} bytes"
        )));
    }
    let id = text.strip_prefix("profile_id:").unwrap_or(text);
    if let Ok(profile) = id.parse::<ProfileId>() {
        return Ok(PersonRef::Profile(profile));
    }
    // What was sent may be an address of somebody, so it is not repeated.
    let wrong = "name a person as type:value, such as user_id:u1 or email:jo@example.com, or by a profile id (prf_…)";
    Identifier::parse(text)
        .map(PersonRef::Identifier)
        .ok_or_else(|| ApiError::invalid(wrong))
}

/// A page's size: `default` where none is given, refused beyond `max`.
pub(crate) fn parse_limit(limit: Option<&str>, default: usize, max: usize) -> Result<usize, ApiError> {
    let Some(limit) = limit else { return Ok(default) };
    match limit.parse() {
        Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(ApiError::invalid(format!(
            "limit must be a whole number from 1 to {max}"
        ))),
    }
}

/// A list parted by commas; empty parts are left out.
pub(crate) fn parse_list(list: Option<&str>) -> Vec<String> {
    list.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Stands for the moment at which something is asked.
const NOW: &str = "now";

/// `true` or `false`, or nothing for `false`.
pub(crate) fn parse_flag(name: &str, flag: Option<&str>) -> Result<bool, ApiError> {
    match flag {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(_) => Err(ApiError::invalid(format!("{name} must be true or false"))),
    }
}

/// A moment of the query.
pub(crate) fn parse_moment(name: &str, moment: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    moment
        .map(|text| Timestamp::parse(text).map_err(|error| ApiError::invalid(format!("{name}: {error}"))))
        .transpose()
}

/// The instant that a question is about. Both may be `now`.
pub(crate) fn parse_as_of(as_of: Option<&str>, known_at: Option<&str>) -> Result<AsOf, ApiError> {
    let known_at = match known_at {
        Some(NOW) => Some(KnownAt::Now),
        other => parse_moment("known_at", other)?.map(KnownAt::Instant),
    };
    Ok(AsOf {
        at: parse_moment("as_of", as_of.filter(|text| *text != NOW))?,
        known_at,
    })
}

/// A body of JSON, whatever its `Content-Type`.
pub(crate) fn parse_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            format!("the body cannot be read as JSON: {error}"),
        )
    })
}

/// Runs work that waits for the disk on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(crate::ports::PortError::internal(error).into()),
    }
}
