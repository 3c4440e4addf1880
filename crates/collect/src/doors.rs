//! One request through a door: read, judged, made durable, answered.
//!
//! Works with `body` for the bytes, `credentials` for the key, `kith-clean` for the verdicts and the [`Appender`] for
//! durability. What breaks a rule is appended all the same, so that cleaning keeps it as a reject; what has no source is
//! not kept. It never answers 200 before the log does.

use crate::body::{self, Bounds};
use crate::budget::{Budget, Share};
use crate::credentials::{basic_user, client_ip, kept_header};
use crate::ports::{AppendError, Appender, KeyVerdict, Sources};
use crate::rate::{SpaceDoorLimits, SpaceRates};
use crate::{pixel, reply};
use axum::body::Body;
use axum::extract::{MatchedPath, Query};
use axum::http::{HeaderMap, Request, Response, Uri, header};
use bytes::Bytes;
use kith_clean::{BodyError, Inspection};
use kith_telemetry::{Counter, Histogram, RequestSpan};
use kith_types::{Envelope, Limits, Origin, RecordBody, Route, SourceName, SpaceId};
use std::sync::Arc;
use std::time::Instant;

/// How the doors behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorsConfig {
    /// The largest body, unpacked, that is kept as a reject when it is over the limits, in bytes. Larger ones are refused
    /// and not kept.
    pub kept_bytes_max: usize,
    /// The bound on the bytes of all bodies in memory at once.
    pub in_flight_bytes_max: usize,
    /// How many times its sent size a body may unpack to.
    pub unpacked_ratio_max: usize,
    /// Whether a proxy in front of us writes `X-Forwarded-For`. Set it only where no one else can reach the doors.
    pub trusts_forwarded_for: bool,
}

impl Default for DoorsConfig {
    fn default() -> Self {
        Self {
            kept_bytes_max: Limits::MAX.batch_bytes,
            in_flight_bytes_max: 24 * 1024 * 1024,
            unpacked_ratio_max: 500,
            trusts_forwarded_for: false,
        }
    }
}

/// What stands behind all doors.
pub struct Doors {
    sources: Arc<dyn Sources>,
    appender: Arc<dyn Appender>,
    pub(crate) config: DoorsConfig,
    pub(crate) budget: Arc<Budget>,
    rates: Arc<SpaceRates>,
}

/// A body that was read, and where it came from.
struct Taken {
    space: SpaceId,
    envelope: Envelope,
    limits: SpaceDoorLimits,
}

impl Doors {
    /// The doors to that log, for those sources. Whoever takes events of a space elsewhere shares the rates.
    #[must_use]
    pub fn new(
        sources: Arc<dyn Sources>,
        appender: Arc<dyn Appender>,
        rates: Arc<SpaceRates>,
        config: DoorsConfig,
    ) -> Arc<Self> {
        let budget = Budget::new(config.in_flight_bytes_max);
        Arc::new(Self {
            sources,
            appender,
            config,
            budget,
            rates,
        })
    }

    /// Takes a body of events.
    pub(crate) async fn take(&self, route: Route, request: Request<Body>) -> Response<Body> {
        let began = Instant::now();
        let mut share = self.budget.share();
        let mut span = span_of(&request);
        if let Some(refused) = self.over_rate_already(request.headers(), request.uri()) {
            body::discard(request.into_body()).await;
            span.answered(refused.status().as_u16());
            return count(refused);
        }
        let taken = match self.read(route, request, &mut share).await {
            Ok(taken) => taken,
            Err(refused) => {
                span.answered(refused.status().as_u16());
                return count(*refused);
            }
        };
        let response = self.keep(taken, &mut span).await;
        span.answered(response.status().as_u16());
        Histogram::CollectSeconds.observe(began.elapsed());
        drop(share);
        count(response)
    }

    /// Takes an event that stands in a query, and answers with an image.
    pub(crate) async fn take_pixel(&self, route: Route, request: Request<Body>) -> Response<Body> {
        let mut share = self.budget.share();
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, Body::empty());
        drop(body);
        let event = Bytes::from(pixel::event_of_query(route, &query(request.uri())));
        if !share.grow(event.len()) {
            return count(reply::body_fault(
                body::BodyFault::Overloaded,
                self.config.kept_bytes_max,
            ));
        }
        let mut span = span_of(&request);
        let response = match self.attribute(route, &request, event) {
            Ok(taken) => self.keep(taken, &mut span).await,
            Err(refused) => *refused,
        };
        span.answered(response.status().as_u16());
        count(if response.status().is_success() {
            reply::pixel()
        } else {
            response
        })
    }

    /// What a key opens, for the documents that SDKs ask for; an answer where it opens nothing.
    pub(crate) fn source_of(&self, write_key: Option<&str>) -> Result<(SpaceId, SourceName), Box<Response<Body>>> {
        match write_key.map(|key| self.sources.resolve(key)) {
            Some(KeyVerdict::Source { space, source }) => Ok((space, source)),
            Some(KeyVerdict::Disabled) => Err(Box::new(reply::disabled())),
            Some(KeyVerdict::Unknown) => Err(Box::new(reply::unknown_key(true))),
            None => Err(Box::new(reply::unknown_key(false))),
        }
    }

    /// The answer to a space that is over its rate whatever its body holds, where the key stands outside of it: the body takes
    /// no room then.
    fn over_rate_already(&self, headers: &HeaderMap, uri: &Uri) -> Option<Response<Body>> {
        let key = basic_user(headers).or_else(|| write_key_of_query(uri))?;
        let KeyVerdict::Source { space, .. } = self.sources.resolve(&key) else {
            return None;
        };
        let limits = self.sources.limits(&space);
        self.rates.wait(&space, &limits, Instant::now()).map(reply::over_rate)
    }

    async fn read(
        &self,
        route: Route,
        request: Request<Body>,
        share: &mut Share,
    ) -> Result<Taken, Box<Response<Body>>> {
        let bounds = Bounds {
            bytes_max: self.config.kept_bytes_max,
            ratio_max: self.config.unpacked_ratio_max,
        };
        let (parts, body) = request.into_parts();
        let body = body::read(&parts.headers, body, bounds, share).await;
        let body = body.map_err(|fault| Box::new(reply::body_fault(fault, bounds.bytes_max)))?;
        self.attribute(route, &Request::from_parts(parts, ()), body)
    }

    /// Finds whose body it is and puts it into its envelope.
    fn attribute<B>(&self, route: Route, request: &Request<B>, body: Bytes) -> Result<Taken, Box<Response<Body>>> {
        let headers = request.headers();
        let key = basic_user(headers)
            .or_else(|| write_key_of_query(request.uri()))
            .or_else(|| kith_clean::write_key(&body));
        let (space, source) = self.source_of(key.as_deref())?;
        let limits = self.sources.limits(&space);
        let envelope = Envelope {
            source,
            route,
            // History comes in by a route for administrators: a write key is public.
            origin: Origin::Live,
            content_type: kept_header(headers, header::CONTENT_TYPE),
            client_ip: client_ip(request, self.config.trusts_forwarded_for),
            user_agent: kept_header(headers, header::USER_AGENT),
            terms: limits.terms,
            body,
        };
        Ok(Taken {
            space,
            envelope,
            limits,
        })
    }

    /// Judges the body, makes it durable whatever the verdict, and answers.
    async fn keep(&self, taken: Taken, span: &mut RequestSpan) -> Response<Body> {
        let Taken {
            space,
            envelope,
            limits,
        } = taken;
        let verdict = kith_clean::inspect(envelope.route, &envelope.body, &envelope.terms.limits);
        let is_batch = envelope.route == Route::Batch;
        // A body that cannot be read is one event: it is kept as one reject. One without events takes a record, too.
        let events = verdict.as_ref().map_or(1, |inspection| inspection.events.max(1));
        if let Some(refused) = over_size(&limits, envelope.body.len(), events) {
            return refused;
        }
        if let Err(wait) = self.rates.take(&space, &limits, events, Instant::now()) {
            return reply::over_rate(wait);
        }
        Counter::CollectBytes.add(envelope.body.len() as u64);
        let part = span.part("log");
        let appended = self.appender.append(&space, RecordBody::Envelope(envelope)).await;
        drop(part);
        match appended {
            Ok(appended) => {
                span.became(appended.address.sequence);
                answer(&verdict, is_batch)
            }
            Err(error) => {
                self.rates.give_back(&space, events);
                if let AppendError::Refused(reason) = &error {
                    tracing::error!(
                        reason,
                        "the log refuses a body that the doors took; lower the doors' limits"
                    );
                }
                reply::append_error(&error)
            }
        }
    }
}

/// The answer to a body that is larger than its space may send.
fn over_size(limits: &SpaceDoorLimits, bytes: usize, events: usize) -> Option<Response<Body>> {
    let over = |limit: Option<u64>, size: usize| limit.filter(|limit| size as u64 > *limit);
    if let Some(limit) = over(limits.batch_bytes, bytes) {
        return Some(reply::over_space_limit("batch_bytes", limit));
    }
    over(limits.batch_events, events).map(|limit| reply::over_space_limit("batch_events", limit))
}

fn span_of<B>(request: &Request<B>) -> RequestSpan {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let parent = request
        .headers()
        .get("traceparent")
        .and_then(|parent| parent.to_str().ok());
    RequestSpan::begin(request.method().as_str(), route.unwrap_or_default(), parent)
}

fn answer(verdict: &Result<Inspection, BodyError>, is_batch: bool) -> Response<Body> {
    let inspection = match verdict {
        Ok(inspection) => inspection,
        Err(error) => {
            Counter::CollectEventsRejected.increment();
            return reply::body_rejected(error);
        }
    };
    let rejected = inspection.rejected.len();
    Counter::CollectEventsRejected.add(rejected as u64);
    Counter::CollectEventsAccepted.add((inspection.events - rejected) as u64);
    match rejected {
        0 => reply::success(),
        _ if is_batch => reply::partly(&inspection.rejected),
        _ => reply::rejected(&inspection.rejected),
    }
}

/// Counts an answer by what the sender should make of it.
fn count(response: Response<Body>) -> Response<Body> {
    match response.status().as_u16() {
        200..300 => Counter::CollectRequestsAccepted,
        429 if response.extensions().get::<reply::OverRate>().is_some() => Counter::CollectRequestsLimited,
        429 => Counter::CollectRequestsOverloaded,
        503 => Counter::CollectRequestsUnavailable,
        _ => Counter::CollectRequestsRefused,
    }
    .increment();
    response
}

pub(crate) fn query(uri: &Uri) -> Vec<(String, String)> {
    Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .unwrap_or_default()
}

/// The key that RudderStack's beacon and pixel carry in their address.
pub(crate) fn write_key_of_query(uri: &Uri) -> Option<String> {
    uri.query()?;
    query(uri)
        .into_iter()
        .find(|(name, value)| name == "writeKey" && !value.is_empty())
        .map(|(_, key)| key)
}
