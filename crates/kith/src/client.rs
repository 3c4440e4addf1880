//! The server as commands see it: requests to its API, and failures in words that say what to do.
//!
//! The key comes from the environment only, so that it is in no list of processes and no shell history.

mod lines;

use crate::error::CommandError;
use crate::output::Hint;
use bytes::Bytes;
use clap::Args;
use futures::StreamExt;
use kith_types::{SpaceId, Timestamp};
pub(crate) use lines::Lines;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::LazyLock;
use std::time::Duration;
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How the server says that nobody is found; it does not repeat whom it was asked for.
const NOBODY: &str = "Profile was not found.";
/// The same as of an instant; that and the reason follow.
const NOBODY_THEN: &str = "Profile was not found as of ";
/// The same of an account.
const NO_ACCOUNT: &str = "Account was not found.";
/// Where the server is looked for. Were the environment left to clap, its errors would ask for the flag.
static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let named = std::env::var("KITH_URL").ok().filter(|url| !url.is_empty());
    named.unwrap_or_else(|| "http://127.0.0.1:8080".to_owned())
});
const JSON: &str = "application/json";

/// Which server.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reach {
    /// The server's address; that of KITH_URL unless given.
    #[arg(long, default_value = ADDRESS.as_str(), global = true, value_name = "URL")]
    pub(crate) url: Url,
}

/// Which space.
#[derive(Args, Clone, Debug)]
pub(crate) struct InSpace {
    /// The space.
    #[arg(long, default_value = "main", value_name = "SPACE")]
    pub(crate) space: SpaceId,
}

/// The instant that a question is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct AsOf {
    /// As of a past instant, such as 2026-03-01T12:00:00Z: what Kith knew then of that instant.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    as_of: Option<Timestamp>,
    /// With the knowledge of another instant: what was received and decided by then.
    /// `now` is hindsight.
    #[arg(long, value_name = "TIME", value_parser = known_at)]
    known_at: Option<String>,
}

impl AsOf {
    /// What to ask the server with.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let as_of = self.as_of.map(|at| at.to_string());
        let named = [("as_of", as_of), ("known_at", self.known_at.clone())];
        named.into_iter().filter_map(|(name, at)| Some((name, at?))).collect()
    }
}

/// A moment, or `now`, which the server reads by its own clock.
fn known_at(text: &str) -> Result<String, String> {
    match text {
        "now" => Ok(text.to_owned()),
        _ => Timestamp::parse(text)
            .map(|at| at.to_string())
            .map_err(|error| error.to_string()),
    }
}

/// A server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<String>,
}

/// The instant as of which nobody is found, and why, by the names of our own arguments.
fn nobody_then(message: &str) -> Option<(&str, String)> {
    let (at, why) = message.strip_prefix(NOBODY_THEN)?.split_once(": ")?;
    let why = why.replace("known_at=", "--known-at ").replace("as_of=", "--as-of ");
    Some((at, why.replace("as_of and known_at", "--as-of and --known-at")))
}

/// An answer of the server that is not a success.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The status.
    pub(crate) status: StatusCode,
    /// After how long to come back, where the server says.
    pub(crate) retry_after: Option<Duration>,
    detail: ErrorDetail,
}

impl Refused {
    /// Says of each document with a problem where it stands, such as `vip.yaml:12`, where that is known.
    pub(crate) fn placed(mut self, place: impl Fn(&str) -> Option<String>) -> Self {
        for problem in &mut self.detail.problems {
            if let Some(place) = place(&problem.document) {
                problem.document = format!("{place}: {}", problem.document);
            }
        }
        self
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ErrorDetail {
    pub(crate) message: String,
    #[serde(default)]
    problems: Vec<ProblemBody>,
}

#[derive(Debug, Deserialize)]
struct ProblemBody {
    document: String,
    path: String,
    message: String,
}

impl ErrorDetail {
    fn new(message: String) -> Self {
        Self {
            message,
            problems: Vec::new(),
        }
    }

    /// The message, with a line for every problem.
    pub(crate) fn text(&self) -> String {
        self.problems.iter().fold(self.message.clone(), |mut text, problem| {
            let path = if problem.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", problem.path)
            };
            text.push_str(&format!("\n  - {}: {path}{}", problem.document, problem.message));
            text
        })
    }
}

impl Client {
    /// The server that flags and environment name.
    ///
    /// # Errors
    /// An address that is not one of HTTP.
    pub(crate) fn new(reach: &Reach) -> Result<Self, CommandError> {
        let base = reach.url.clone();
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            let hint = Hint::new("write it as http://127.0.0.1:8080, in KITH_URL or --url");
            return Err(CommandError::caused(
                format!("{base} is not the address of a server"),
                hint,
            ));
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("kith/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| CommandError::caused("the client cannot be set up", error))?;
        let key = ["KITH_KEY", "KITH_ADMIN_KEY"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|key| !key.is_empty()));
        Ok(Self { http, base, key })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Url {
        &self.base
    }

    /// Whether the environment gives a key.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The text of a `GET`.
    ///
    /// # Errors
    /// What the server refuses, or that it does not answer.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, CommandError> {
        let response = self
            .send(self.request(Method::GET, path, query)?.header(ACCEPT, JSON))
            .await?;
        self.text(response).await
    }

    /// The text of a `GET` about a person; where there is none, the failure names whom it asked for.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn get_person(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        person: &str,
    ) -> Result<String, CommandError> {
        let absent = format!("nobody has {}", crate::output::shown(person));
        self.get_or(path, query, NOBODY, absent).await
    }

    /// The text of a `GET` about an account; where there is none, the failure names which was asked for.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn get_account(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        account: &str,
    ) -> Result<String, CommandError> {
        let absent = format!("no event names the account {}", crate::output::shown(account));
        self.get_or(path, query, NO_ACCOUNT, absent).await
    }

    /// The text of a `GET` whose failure names its parameters, as `one: …; other: …`: here it names what was given as each.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn get_naming(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, CommandError> {
        let request = self.request(Method::GET, path, query)?.header(ACCEPT, JSON);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return self.text(response).await;
        }
        let mut refused = refused(response).await;
        let parts = refused.detail.message.split("; ").map(|part| {
            let given = query.iter().find_map(|(name, value)| {
                let said = part.strip_prefix(name)?.strip_prefix(": ")?;
                Some(format!("{}: {said}", crate::output::shown(value)))
            });
            given.unwrap_or_else(|| part.to_owned())
        });
        refused.detail.message = parts.collect::<Vec<_>>().join("; ");
        Err(self.explain(&refused))
    }

    async fn get_or(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        not_found: &str,
        absent: String,
    ) -> Result<String, CommandError> {
        let request = self.request(Method::GET, path, query)?.header(ACCEPT, JSON);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return self.text(response).await;
        }
        let mut refused = refused(response).await;
        if refused.status == StatusCode::NOT_FOUND {
            if refused.detail.message == not_found {
                refused.detail.message = absent;
            } else if let Some((at, why)) = nobody_then(&refused.detail.message) {
                return Err(CommandError::caused(format!("{absent} as of {at}"), Hint::new(why)));
            }
        }
        Err(self.explain(&refused))
    }

    /// The text of a `GET` whether it succeeds or not, and whether it did.
    ///
    /// # Errors
    /// That the server does not answer.
    pub(crate) async fn try_get(&self, path: &[&str]) -> Result<(bool, String), CommandError> {
        let request = self.request(Method::GET, path, &[])?;
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        Ok((response.status().is_success(), self.text(response).await?))
    }

    /// The text of a `GET` as YAML.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn get_yaml(&self, path: &[&str]) -> Result<String, CommandError> {
        let response = self
            .send(self.request(Method::GET, path, &[])?.header(ACCEPT, "application/yaml"))
            .await?;
        self.text(response).await
    }

    /// The text of a `POST` of JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post(&self, path: &[&str], body: &serde_json::Value) -> Result<String, CommandError> {
        let response = self.send(self.json(path, Bytes::from(body.to_string()))?).await?;
        self.text(response).await
    }

    /// The text of a `PATCH` of JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn patch(&self, path: &[&str], body: &serde_json::Value) -> Result<String, CommandError> {
        let request = self.request(Method::PATCH, path, &[])?.header(CONTENT_TYPE, JSON);
        let response = self.send(request.body(body.to_string())).await?;
        self.text(response).await
    }

    /// The text of a `POST` of a body of JSON that may be refused.
    ///
    /// # Errors
    /// That the server cannot be reached.
    pub(crate) async fn try_post(&self, path: &[&str], body: Bytes) -> Result<Result<String, Refused>, reqwest::Error> {
        let Ok(request) = self.json(path, body) else {
            return Ok(Err(Refused {
                status: StatusCode::BAD_REQUEST,
                retry_after: None,
                detail: ErrorDetail::new(no_path()),
            }));
        };
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(Ok(response.text().await?));
        }
        Ok(Err(refused(response).await))
    }

    /// Deletes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), CommandError> {
        self.send(self.request(Method::DELETE, path, &[])?).await?;
        Ok(())
    }

    /// The lines of a `POST` of JSON while they come.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post_lines(&self, path: &[&str], body: &serde_json::Value) -> Result<Lines, CommandError> {
        Ok(self.lines(self.send(self.json(path, Bytes::from(body.to_string()))?).await?))
    }

    /// The lines of a `GET` that does not end.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn follow(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Lines, CommandError> {
        let request = self
            .request(Method::GET, path, query)?
            .header(ACCEPT, "text/event-stream");
        Ok(self.lines(self.send(request).await?))
    }

    fn json(&self, path: &[&str], body: Bytes) -> Result<reqwest::RequestBuilder, CommandError> {
        Ok(self
            .request(Method::POST, path, &[])?
            .header(CONTENT_TYPE, JSON)
            .body(body))
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<reqwest::RequestBuilder, CommandError> {
        let mut url = self.base.clone();
        // Segment by segment, so that whatever stands in an identifier stays one part of the path.
        url.path_segments_mut()
            .map_err(|()| CommandError::new(no_path()))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        Ok(match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, CommandError> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.explain(&refused(response).await))
    }

    async fn text(&self, response: Response) -> Result<String, CommandError> {
        response.text().await.map_err(|error| self.broken(error))
    }

    fn lines(&self, response: Response) -> Lines {
        Lines::new(self.base.clone(), response.bytes_stream().boxed())
    }

    /// A failure to reach the server, with what to do.
    pub(crate) fn unreachable(&self, error: reqwest::Error) -> CommandError {
        let what = if error.is_connect() {
            "no server answers at"
        } else {
            "the request failed at"
        };
        let hint = "start one with `kith serve --data DIR`, or name another in KITH_URL or --url";
        CommandError::caused(format!("{what} {}", self.base), Hint::caused(hint, error.without_url()))
    }

    fn broken(&self, error: reqwest::Error) -> CommandError {
        CommandError::caused(format!("{} broke off its answer", self.base), error.without_url())
    }

    /// A refusal, with what to do.
    pub(crate) fn explain(&self, refused: &Refused) -> CommandError {
        let hint = match refused.status {
            StatusCode::UNAUTHORIZED if self.key.is_none() => {
                "set KITH_KEY to an API key: `kith serve` prints the administrator's key at its first start"
            }
            StatusCode::UNAUTHORIZED => "the key in KITH_KEY or KITH_ADMIN_KEY is not one of this server's",
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                "the server is busy or not ready: try again; `kith doctor` says what holds it up"
            }
            status if status.is_server_error() => "the server's log says more",
            _ => return CommandError::new(refused.detail.text()),
        };
        CommandError::caused(refused.detail.text(), Hint::new(hint))
    }
}

fn no_path() -> String {
    "the server's address can have no path".to_owned()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

async fn refused(response: Response) -> Refused {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = response.text().await.unwrap_or_default();
    let detail = match serde_json::from_str::<ErrorBody>(&body) {
        Ok(body) => body.error,
        Err(_) => ErrorDetail::new(format!(
            "the server answered {status} without saying why; is it a Kith server of this version?"
        )),
    };
    Refused {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        detail,
    }
}

/// Reads an answer.
///
/// # Errors
/// An answer of another form than this version knows.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, CommandError> {
    serde_json::from_str(text).map_err(|error| {
        let hint = Hint::caused("use the `kith` of the server's own version", error);
        CommandError::caused("the server's answer cannot be read", hint)
    })
}
