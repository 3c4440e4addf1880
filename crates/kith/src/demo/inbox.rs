//! The demo's inbox: a real mail server with a web page (MailDev), run as a child process, and its mails as the shop
//! shows them.
//!
//! Works with the page, which asks for one address at a time. It never gives out a mail to another address.

use crate::error::CommandError;
use crate::output::{self, Hint};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Mails that the inbox keeps: the oldest go first.
const MAILS_KEPT: &str = "300";
/// Mails shown of one address.
const MAILS_SHOWN: usize = 20;
/// How long the mail server may take to answer.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ASKS_EVERY: Duration = Duration::from_millis(100);
/// How long it may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The mail server.
pub(super) struct Inbox {
    /// None where it was running before.
    child: Option<Child>,
    log: PathBuf,
    /// Reads its mails.
    pub(super) reader: InboxReader,
}

/// Reads the mails of an inbox.
#[derive(Clone)]
pub(super) struct InboxReader {
    http: reqwest::Client,
    web: SocketAddr,
}

/// A mail as the shop page takes it.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(super) struct ShownMail {
    pub(super) id: String,
    subject: String,
    from: String,
    date: String,
    html: String,
    text: String,
}

/// A mail as MailDev tells it.
#[derive(Debug, Deserialize)]
pub(super) struct StoredMail {
    id: String,
    time: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    from: Vec<Mailbox>,
    #[serde(default)]
    to: Vec<Mailbox>,
    #[serde(default)]
    html: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Mailbox {
    #[serde(default)]
    address: String,
    #[serde(default)]
    name: String,
}

impl Inbox {
    /// Starts the mail server, or takes the one that is running at these addresses. `None`, with a word to the
    /// operator, where it is not installed.
    ///
    /// # Errors
    /// An address that something else uses, or a process that cannot be started.
    pub(super) async fn start(smtp: SocketAddr, web: SocketAddr, folder: &Path) -> Result<Option<Self>, CommandError> {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN).build();
        let http = http.map_err(|error| CommandError::caused("the inbox's client cannot be set up", error))?;
        let log = folder.join("inbox.log");
        let reader = InboxReader { http, web };
        if answers(smtp).await {
            if reader.all().await.is_some() {
                output::note(&format!("an inbox is running at {smtp} already: mails go there"));
                return Ok(Some(Self {
                    child: None,
                    log,
                    reader,
                }));
            }
            let hint = Hint::new("name free addresses with --inbox and --inbox-web");
            return Err(CommandError::caused(
                format!("{smtp} is used by something that is no demo inbox"),
                hint,
            ));
        }
        let Some(program) = installed() else {
            output::note(
                "the mail server is not installed, so no mail is sent: run `make peers-demo`, then start again",
            );
            return Ok(None);
        };
        let lines = std::fs::File::create(&log)
            .map_err(|error| CommandError::caused(format!("{} cannot be written", log.display()), error))?;
        let also = lines
            .try_clone()
            .map_err(|error| CommandError::caused("the inbox's log cannot be shared", error))?;
        let child = Command::new("node")
            .arg(&program)
            .args(["--smtp", &smtp.port().to_string(), "--ip", &smtp.ip().to_string()])
            .args(["--web", &web.port().to_string(), "--web-ip", &web.ip().to_string()])
            .args(["--max-emails", MAILS_KEPT, "--mail-directory"])
            .arg(folder.join("mails"))
            .stdin(Stdio::null())
            .stdout(lines)
            .stderr(also)
            // A group of its own, so that Ctrl-C ends the server first and the inbox after it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| CommandError::caused("the mail server cannot be started: is Node installed?", error))?;
        Ok(Some(Self {
            child: Some(child),
            log,
            reader,
        }))
    }

    /// Waits until it takes mail.
    ///
    /// # Errors
    /// It ended, or did not answer in time.
    pub(super) async fn ready(&mut self, smtp: SocketAddr) -> Result<(), CommandError> {
        let waited = tokio::time::timeout(STARTS_WITHIN, async {
            while !(answers(smtp).await && self.reader.all().await.is_some()) {
                if let Some(child) = &mut self.child
                    && let Ok(Some(status)) = child.try_wait()
                {
                    return Err(CommandError::new(format!(
                        "the mail server ended: {status}; see {}",
                        self.log.display()
                    )));
                }
                tokio::time::sleep(ASKS_EVERY).await;
            }
            Ok(())
        });
        waited.await.unwrap_or_else(|_| {
            Err(CommandError::new(format!(
                "the mail server does not answer; see {}",
                self.log.display()
            )))
        })
    }

    /// Ends the mail server where this process started it.
    pub(super) async fn stop(mut self) {
        let Some(child) = &mut self.child else { return };
        if let Err(error) = child.start_kill() {
            tracing::warn!(error = %error, "the mail server cannot be ended");
        }
        if tokio::time::timeout(ENDS_WITHIN, child.wait()).await.is_err() {
            tracing::warn!("the mail server has not ended yet");
        }
    }
}

impl InboxReader {
    /// The address of its web page.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.web)
    }

    /// How many mails it holds.
    pub(super) async fn count(&self) -> Option<usize> {
        Some(self.all().await?.len())
    }

    /// The mails to an address, the latest first; `None` where the inbox does not answer.
    pub(super) async fn mails_to(&self, address: &str) -> Option<Vec<ShownMail>> {
        Some(mails_to(self.all().await?, address))
    }

    async fn all(&self) -> Option<Vec<StoredMail>> {
        let reply = self
            .http
            .get(format!("http://{}/api/email", self.web))
            .send()
            .await
            .ok()?;
        reply.error_for_status().ok()?.json().await.ok()
    }
}

/// The mails that were sent to an address, however it is written, the latest first.
fn mails_to(mails: Vec<StoredMail>, address: &str) -> Vec<ShownMail> {
    let wanted = address.trim().to_lowercase();
    let mine = mails
        .into_iter()
        .filter(|mail| mail.to.iter().any(|to| to.address.to_lowercase() == wanted));
    let mut mine: Vec<ShownMail> = mine
        .map(|mail| ShownMail {
            id: mail.id,
            subject: mail.subject.unwrap_or_default(),
            from: mail.from.first().map(Mailbox::shown).unwrap_or_default(),
            date: mail.time,
            html: mail.html.unwrap_or_default(),
            text: mail.text.unwrap_or_default(),
        })
        .collect();
    mine.sort_by(|one, other| other.date.cmp(&one.date));
    mine.truncate(MAILS_SHOWN);
    mine
}

impl Mailbox {
    fn shown(&self) -> String {
        if self.name.is_empty() {
            self.address.clone()
        } else {
            format!("{} <{}>", self.name, self.address)
        }
    }
}

/// Whether somebody listens.
async fn answers(address: SocketAddr) -> bool {
    matches!(
        tokio::time::timeout(ANSWERS_WITHIN, tokio::net::TcpStream::connect(address)).await,
        Ok(Ok(_))
    )
}

/// The program of the mail server, where `tests/peers/install demo` has put it.
fn installed() -> Option<PathBuf> {
    let caches = [
        std::env::var_os("CACHE").map(PathBuf::from),
        Some(PathBuf::from(".cache")),
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache")),
    ];
    let programs = caches
        .into_iter()
        .flatten()
        .map(|cache| cache.join("node/node_modules/maildev/dist/bin/maildev.js"));
    programs.into_iter().find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_shows_nobody_elses_mail() {
        let stored = r#"[
            {"id":"a","time":"2026-11-23T03:25:30.990Z","subject":"First","from":[{"address":"shop@example.com","name":"Kith Shop"}],
             "to":[{"address":"Robin@Example.com","name":"Robin"}],"html":"<b>one</b>\n","text":"one\n"},
            {"id":"b","time":"2026-11-23T03:26:30.990Z","subject":"Not mine","from":[{"address":"shop@example.com","name":""}],
             "to":[{"address":"robin@example.com.evil.example","name":""}],"html":"","text":""},
            {"id":"c","time":"2026-11-23T03:27:30.990Z","from":[{"address":"shop@example.com","name":""}],
             "to":[{"address":"x@example.com","name":""},{"address":"robin@example.com","name":""}]}
        ]"#;
        let shown = mails_to(serde_json::from_str(stored).unwrap(), " ROBIN@example.com ");
        let seen: Vec<_> = shown
            .iter()
            .map(|mail| (&*mail.id, &*mail.subject, &*mail.from))
            .collect();
        assert_eq!(
            seen,
            [
                ("c", "", "shop@example.com"),
                ("a", "First", "Kith Shop <shop@example.com>")
            ]
        );
        assert!(mails_to(serde_json::from_str(stored).unwrap(), "").is_empty());
    }
}
