//! Sending a request: signed, within its time, and again where that may help.
//!
//! It works with `bucket.rs`, whose requests may all be sent twice: reads change nothing, a write is conditional, and a
//! lock is put on again as it is. It follows no redirect and reads no more of an answer than is allowed.

use crate::error::{self, S3Error, S3ErrorKind};
use crate::settings::S3Settings;
use crate::sign::{self, Signing};
use crate::xml;
use base64::Engine;
use bytes::{Bytes, BytesMut};
use kith_types::Clock;
use reqwest::{Client, Method, Url};
use std::sync::Arc;
use std::time::Duration;

/// No object and no listing is longer: segments of the log are at most 1 GiB before they are compressed.
const ANSWER_BYTES_MAX: u64 = 2 << 30;
/// No refusal is read further.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;
/// A body is given its time at this rate at least.
const BYTES_A_SECOND: u64 = 256 << 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A request, before it is signed.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// The object; none for the bucket itself.
    pub(crate) key: Option<&'a str>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// What is asked, for errors.
    pub(crate) what: &'a str,
}

/// An answer of success, or one of those that the caller reads itself.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) bytes: Bytes,
}

/// Sends requests to one bucket.
pub(crate) struct Sender {
    client: Client,
    settings: S3Settings,
    clock: Arc<dyn Clock>,
    /// The URL up to the bucket, without a slash at its end.
    base: String,
    host: String,
    /// The path up to the bucket, encoded.
    base_path: String,
}

/// Whether a failure may pass by itself.
struct Failed {
    error: S3Error,
    again: bool,
}

impl Sender {
    pub(crate) fn new(settings: S3Settings, clock: Arc<dyn Clock>) -> Result<Self, S3Error> {
        let wrong = |why: String| S3Error::new(S3ErrorKind::Misconfigured, why);
        let endpoint = settings.endpoint.clone();
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", settings.region));
        // What is refused is not repeated: it may hold a secret.
        let no_url = || wrong("the endpoint is no URL of a store: write https://HOST:PORT".into());
        let mut url = Url::parse(&endpoint).map_err(|_| no_url())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "an endpoint carries no credentials: give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into(),
            ));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || url.query().is_some() {
            return Err(no_url());
        }
        let mut base_path = url.path().trim_end_matches('/').to_owned();
        if settings.path_style {
            base_path = format!("{base_path}/{}", sign::encode(&settings.bucket, false));
        } else {
            let host = format!("{}.{}", settings.bucket, url.host_str().unwrap_or_default());
            url.set_host(Some(&host)).map_err(|_| {
                wrong(format!(
                    "{host:?} is no host: ask for the bucket in the path instead (path style)"
                ))
            })?;
        }
        let host = match (url.host_str().unwrap_or_default(), url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let mut builder = Client::builder()
            .user_agent(concat!("kith/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.patience.connect)
            .gzip(false);
        if let Some(pem) = &settings.authorities {
            let unread = |error: reqwest::Error| {
                wrong("the certificates of authorities do not read as PEM".into()).because(error)
            };
            for certificate in reqwest::Certificate::from_pem_bundle(pem).map_err(unread)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build();
        Ok(Self {
            client: client.map_err(|error| wrong("no HTTP client could be made".into()).because(error))?,
            base: format!("{}://{host}", url.scheme()),
            settings,
            clock,
            host,
            base_path,
        })
    }

    /// Where requests go, for errors and logs.
    pub(crate) fn address(&self) -> &str {
        &self.base
    }

    pub(crate) fn settings(&self) -> &S3Settings {
        &self.settings
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Sends a request until it is answered. `expected` are statuses that the caller reads besides success.
    pub(crate) async fn send(&self, request: &Request<'_>, expected: &[u16]) -> Result<Answer, S3Error> {
        let patience = &self.settings.patience;
        let mut pause = patience.pause;
        for remaining in (0..patience.tries.max(1)).rev() {
            match self.attempt(request, expected).await {
                Ok(answer) => return Ok(answer),
                Err(failed) if failed.again && remaining > 0 => {
                    tracing::debug!(error = %failed.error, remaining, "a request to the object store failed and is tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(failed) => return Err(failed.error),
            }
        }
        Err(S3Error::new(
            S3ErrorKind::Unavailable,
            "a request to the object store had no try",
        ))
    }

    async fn attempt(&self, request: &Request<'_>, expected: &[u16]) -> Result<Answer, Failed> {
        let sending = Duration::from_secs(request.body.len() as u64 / BYTES_A_SECOND);
        let sent = self.signed(request).send();
        let response = tokio::time::timeout(self.settings.patience.answer + sending, sent).await;
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.unreached(request, error.without_url())),
            Err(late) => return Err(self.unreached(request, late)),
        };
        let status = response.status().as_u16();
        let read_by_caller = response.status().is_success() || expected.contains(&status);
        let limit = if read_by_caller {
            ANSWER_BYTES_MAX
        } else {
            REFUSAL_BYTES_MAX
        };
        let bytes = self.read(request, response, limit).await?;
        if read_by_caller {
            return Ok(Answer { status, bytes });
        }
        let text = |name| xml::first(&bytes, name).ok().flatten().unwrap_or_default();
        let (code, message) = (text("Code"), text("Message"));
        let again = matches!(status, 408 | 409 | 429 | 500 | 502 | 503 | 504)
            || matches!(
                code.as_str(),
                "RequestTimeout" | "SlowDown" | "InternalError" | "BadDigest" | "XAmzContentSHA256Mismatch"
            );
        let mut error = error::of_answer(request.what, status, &code, &message);
        if again && error.kind() == S3ErrorKind::Misconfigured {
            error = S3Error::new(S3ErrorKind::Unavailable, error.to_string()).coded(&code);
        }
        Err(Failed { error, again })
    }

    async fn read(&self, request: &Request<'_>, mut response: reqwest::Response, limit: u64) -> Result<Bytes, Failed> {
        let mut bytes = BytesMut::new();
        let began = tokio::time::Instant::now();
        loop {
            // A store that answers by drops is as good as one that does not answer.
            let coming = Duration::from_secs(bytes.len() as u64 / BYTES_A_SECOND);
            let ends = began + self.settings.patience.answer + coming;
            let piece = tokio::time::timeout_at(ends, response.chunk()).await;
            match piece {
                Ok(Ok(Some(piece))) if bytes.len() as u64 + piece.len() as u64 <= limit => {
                    bytes.extend_from_slice(&piece);
                }
                Ok(Ok(Some(_))) => {
                    let message = format!("the answer to {} is longer than {limit} bytes", request.what);
                    return Err(Failed {
                        error: S3Error::new(S3ErrorKind::Malformed, message),
                        again: false,
                    });
                }
                Ok(Ok(None)) => return Ok(bytes.freeze()),
                Ok(Err(error)) => return Err(self.unreached(request, error.without_url())),
                Err(late) => return Err(self.unreached(request, late)),
            }
        }
    }

    fn unreached(&self, request: &Request<'_>, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failed {
        let message = format!("the object store at {} did not answer {}", self.base, request.what);
        Failed {
            error: S3Error::new(S3ErrorKind::Unavailable, message).because(why),
            again: true,
        }
    }

    fn signed(&self, request: &Request<'_>) -> reqwest::RequestBuilder {
        let key = request.key.map(|key| sign::encode(key, true)).unwrap_or_default();
        let path = format!("{}/{key}", self.base_path);
        let mut pairs: Vec<(String, String)> = (request.query.iter())
            .map(|(name, value)| (sign::encode(name, false), sign::encode(value, false)))
            .collect();
        pairs.sort_unstable();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = pairs.join("&");
        let body_hash = sign::sha256(&request.body);
        let body_hex = sign::hex(body_hash.as_ref());
        let now = self.clock.now();
        let mut headers: Vec<(String, String)> = (request.headers.iter())
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        add("host", self.host.clone());
        add("x-amz-content-sha256", body_hex.clone());
        add("x-amz-date", sign::stamp(now));
        if request.method == Method::PUT {
            add(
                "x-amz-checksum-sha256",
                base64::engine::general_purpose::STANDARD.encode(body_hash),
            );
        }
        let who = &self.settings.credentials;
        if let Some(token) = &who.session_token {
            add("x-amz-security-token", token.clone());
        }
        let signing = Signing {
            method: request.method.as_str(),
            path: &path,
            query: &query,
            headers: &headers,
            body_hash: &body_hex,
        };
        let authorization = sign::authorization(&signing, who, &self.settings.region, now);
        let question = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{question}{query}", self.base);
        let mut builder = self.client.request(request.method.clone(), url);
        for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
            builder = builder.header(name, value);
        }
        builder = builder.header("authorization", authorization);
        if request.method == Method::PUT {
            builder = builder.body(request.body.clone());
        }
        builder
    }
}
