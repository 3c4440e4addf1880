//! Mail by SMTP (RFC 5321) over a few kept connections. It drives the conversation step by step, so that it knows what
//! a failure means: before the content was sent nothing can have been taken; after that, only the server's reply tells.
//! It never repeats an attempt and never falls back from TLS to clear text.

use crate::error::{ActivateError, ActivateErrorKind};
use crate::mail::{Mail, Mailer, SendOutcome};
use async_trait::async_trait;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[cfg(test)]
mod tests;

/// How long a connection may lie idle before it is closed instead of used.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// How a connection is made private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all: for a server on the same machine.
    None,
    /// By STARTTLS, which the server must offer.
    StartTls,
    /// From the first byte.
    Implicit,
}

/// Where mail goes.
#[derive(Clone)]
pub struct SmtpConfig {
    /// The server's name, which its certificate must carry.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the connection is made private.
    pub tls: SmtpTls,
    /// User and password, where the server wants them.
    pub credentials: Option<(String, String)>,
    /// What this client calls itself; by default its address literal.
    pub hello_name: Option<String>,
    /// The most idle connections that are kept.
    pub connections_kept: usize,
    /// The longest that one step of the conversation may take.
    pub step_time_max: Duration,
}

impl std::fmt::Debug for SmtpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl SmtpConfig {
    /// A server at that host and port, as given.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, tls: SmtpTls) -> Self {
        Self {
            host: host.into(),
            port,
            tls,
            credentials: None,
            hello_name: None,
            connections_kept: 4,
            step_time_max: Duration::from_secs(25),
        }
    }

    /// Reads `smtp://HOST:PORT` (in clear), `smtp+starttls://USER:PASSWORD@HOST` (port 587) or
    /// `smtps://USER:PASSWORD@HOST` (port 465). User and password are percent-encoded.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Configuration`], without repeating the password.
    pub fn from_url(text: &str) -> Result<Self, ActivateError> {
        let wrong = |message: &str| ActivateError::new(ActivateErrorKind::Configuration, message);
        let url = url::Url::parse(text).map_err(|_| {
            wrong(
                "the mail server must be a URL such as smtp://127.0.0.1:1025 or smtps://user:password@mail.example.com",
            )
        })?;
        let (tls, port) = match url.scheme() {
            "smtp" => (SmtpTls::None, 25),
            "smtp+starttls" => (SmtpTls::StartTls, 587),
            "smtps" => (SmtpTls::Implicit, 465),
            _ => {
                return Err(wrong(
                    "the mail server's URL must begin with smtp://, smtp+starttls:// or smtps://",
                ));
            }
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("the mail server's URL names no host"))?;
        let mut config = Self::new(host.trim_matches(['[', ']']), url.port().unwrap_or(port), tls);
        let password = url.password().unwrap_or_default();
        if url.username().is_empty() != password.is_empty() {
            return Err(wrong(
                "the mail server's URL has a user without a password, or a password without a user: give both, or neither",
            ));
        }
        if !url.username().is_empty() {
            let decoded = |text: &str| {
                percent_decoded(text)
                    .ok_or_else(|| wrong("user and password of the mail server's URL must be percent-encoded UTF-8"))
            };
            if tls == SmtpTls::None {
                return Err(wrong(
                    "a password must not travel in clear: use smtps:// or smtp+starttls://",
                ));
            }
            config.credentials = Some((decoded(url.username())?, decoded(password)?));
        }
        Ok(config)
    }
}

/// Sends mail to one SMTP server.
pub struct SmtpMailer {
    config: SmtpConfig,
    tls: Option<TlsParameters>,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl std::fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpMailer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl SmtpMailer {
    /// A mailer for that server. It does not connect yet.
    ///
    /// # Errors
    /// [`ActivateErrorKind::Configuration`] where the host cannot be the name in a certificate.
    pub fn new(config: SmtpConfig) -> Result<Self, ActivateError> {
        let tls = match config.tls {
            SmtpTls::None => None,
            SmtpTls::StartTls | SmtpTls::Implicit => {
                Some(TlsParameters::new(config.host.clone()).map_err(|error| {
                    ActivateError::caused(
                        ActivateErrorKind::Configuration,
                        "the mail server's name fits no certificate",
                        error,
                    )
                })?)
            }
        };
        Ok(Self {
            config,
            tls,
            idle: Mutex::default(),
        })
    }

    /// A connection that answers, with EHLO, TLS and log-in done.
    async fn connection(&self) -> Result<AsyncSmtpConnection, SendOutcome> {
        while let Some((mut connection, since)) = self.take_idle() {
            let answers = since.elapsed() < IDLE_MAX && self.step(connection.test_connected()).await == Some(true);
            if answers {
                return Ok(connection);
            }
        }
        let hello = match &self.config.hello_name {
            Some(name) => ClientId::Domain(name.clone()),
            None => ClientId::default(),
        };
        let implicit = self.tls.clone().filter(|_| self.config.tls == SmtpTls::Implicit);
        let mut connection = self.step(self.connect(implicit, &hello)).await.ok_or_else(too_slow)??;
        if let Some(tls) = self.tls.clone().filter(|_| self.config.tls == SmtpTls::StartTls) {
            let upgrading = connection.starttls(tls, &hello);
            self.step(upgrading)
                .await
                .ok_or_else(too_slow)?
                .map_err(|error| not_sent(&error))?;
        }
        if let Some((user, password)) = &self.config.credentials {
            let credentials = Credentials::new(user.clone(), password.clone());
            let logging_in = connection.auth(DEFAULT_MECHANISMS, &credentials);
            self.step(logging_in)
                .await
                .ok_or_else(too_slow)?
                .map_err(|error| not_sent(&error))?;
        }
        Ok(connection)
    }

    /// A connection with EHLO done. The content and the dot behind it are two small writes: without `TCP_NODELAY` the second waits
    /// for the acknowledgement of the first, which a server may put off by 40 milliseconds. With TLS from the first byte the
    /// library makes the socket, and gives no way to set it.
    async fn connect(
        &self,
        implicit: Option<TlsParameters>,
        hello: &ClientId,
    ) -> Result<AsyncSmtpConnection, SendOutcome> {
        let server = (self.config.host.as_str(), self.config.port);
        if implicit.is_some() {
            let limit = Some(self.config.step_time_max);
            let connecting = AsyncSmtpConnection::connect_tokio1(server, limit, hello, implicit, None);
            return connecting.await.map_err(|error| not_sent(&error));
        }
        let unreachable = |error: std::io::Error| {
            SendOutcome::NotSent(format!("the mail server cannot be used: Connection error: {error}"))
        };
        let stream = TcpStream::connect(server).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let connecting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello);
        connecting.await.map_err(|error| not_sent(&error))
    }

    /// The conversation about one mail. The connection comes back where it can be used again.
    async fn converse(
        &self,
        connection: &mut AsyncSmtpConnection,
        envelope: &lettre::address::Envelope,
        content: &[u8],
    ) -> SendOutcome {
        let mut parameters = Vec::new();
        if envelope
            .from()
            .into_iter()
            .chain(envelope.to())
            .any(|address| !AsRef::<str>::as_ref(address).is_ascii())
        {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return refused_here("the address needs SMTPUTF8, which the mail server does not offer");
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !content.is_ascii() {
            if !connection.server_info().supports_feature(Extension::EightBitMime) {
                return refused_here("the mail needs 8BITMIME, which the mail server does not offer");
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let sender = MailFrom::new(envelope.from().cloned(), parameters);
        let mut replies = vec![self.step(connection.command(sender)).await];
        for address in envelope.to() {
            if matches!(replies.last(), Some(Some(Ok(_)))) {
                replies.push(self.step(connection.command(Rcpt::new(address.clone(), vec![]))).await);
            }
        }
        if matches!(replies.last(), Some(Some(Ok(_)))) {
            replies.push(self.step(connection.command(Data)).await);
        }
        match replies.pop() {
            Some(Some(Ok(_))) => {}
            Some(Some(Err(error))) => return before_content(&error),
            Some(None) | None => return too_slow(),
        }
        // From the first byte of the content on only a reply tells what became of it.
        match self.step(connection.message(content)).await {
            Some(Ok(reply)) => SendOutcome::Accepted(format!(
                "{} {}",
                reply.code(),
                reply.message().collect::<Vec<_>>().join(" ")
            )),
            Some(Err(error)) => refusal(&error)
                .unwrap_or_else(|| SendOutcome::Unknown(format!("the connection was lost after the content: {error}"))),
            None => SendOutcome::Unknown("no reply to the content in time".to_owned()),
        }
    }

    async fn step<T>(&self, step: impl Future<Output = T>) -> Option<T> {
        timeout(self.config.step_time_max, step).await.ok()
    }

    fn take_idle(&self) -> Option<(AsyncSmtpConnection, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.config.connections_kept {
            idle.push((connection, Instant::now()));
        }
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &Mail) -> SendOutcome {
        let message = match mail.to_message() {
            Ok(message) => message,
            Err(problem) => return refused_here(&problem),
        };
        let content = message.formatted();
        let mut connection = match Box::pin(self.connection()).await {
            Ok(connection) => connection,
            Err(outcome) => return outcome,
        };
        let outcome = self.converse(&mut connection, message.envelope(), &content).await;
        // After a refusal the server still holds half an envelope; a new connection is cheaper than being wrong.
        if matches!(outcome, SendOutcome::Accepted(_)) && !connection.has_broken() {
            self.keep(connection);
        }
        outcome
    }
}

/// What a failure before the content means: the server refused, or the mail cannot have been taken.
fn before_content(error: &SmtpError) -> SendOutcome {
    // The server closes the connection, or wants a log-in: that is no word on this mail.
    match refusal(error) {
        Some(SendOutcome::Rejected {
            code: 421 | 530 | 534 | 535 | 538,
            ..
        })
        | None => not_sent(error),
        Some(refused) => refused,
    }
}

fn not_sent(error: &SmtpError) -> SendOutcome {
    SendOutcome::NotSent(format!("the mail server cannot be used: {error}"))
}

/// The server's refusal, where the error is one.
fn refusal(error: &SmtpError) -> Option<SendOutcome> {
    let code = error.status()?;
    let text = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
    Some(SendOutcome::Rejected {
        permanent: error.is_permanent(),
        code: code.into(),
        text,
    })
}

/// A mail that no server was asked about, and that will be no better later.
fn refused_here(text: &str) -> SendOutcome {
    SendOutcome::Rejected {
        permanent: true,
        code: 0,
        text: text.to_owned(),
    }
}

fn too_slow() -> SendOutcome {
    SendOutcome::NotSent("the mail server does not answer in time".to_owned())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}
