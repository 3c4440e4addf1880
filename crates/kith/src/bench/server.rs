//! The measured server: `kith serve` as a process of its own, so that its CPU time and memory are told apart from the
//! load generator's.
//!
//! It is ended when this is dropped. Nothing it keeps is looked at but the size of its folder.

use super::load::WriteKeys;
use super::machine;
use crate::error::CommandError;
use kith_testkit::world::SOURCES;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The definitions of the demonstration world: sources, five computed traits, ten segments.
const DEFINITIONS: &str = include_str!("../../../../demo/definitions.yaml");
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// Where its data is in its folder.
const KEPT: &str = "kept";
/// A flush waits for everything before it.
const FLUSHES_WITHIN: Duration = Duration::from_secs(3_600);
/// How long the pipeline may come no further with what was acknowledged, and how often it is asked.
const COMES_FURTHER_WITHIN: Duration = Duration::from_secs(600);
const ASKS_EVERY: Duration = Duration::from_millis(250);

/// A running server.
pub(super) struct MeasuredServer {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Its API key.
    pub(super) admin_key: String,
    /// What its sources send with, once the world's definitions are applied.
    pub(super) write_keys: WriteKeys,
    folder: PathBuf,
    process: u32,
    http: reqwest::Client,
    /// Ends with this.
    child: Child,
}

/// Server CPU by part. Threads that have ended are in none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CpuByPart {
    /// The doors, the API, and the reads that it makes.
    pub(super) doors: Duration,
    pub(super) log: Duration,
    /// From the log to profiles and segments.
    pub(super) pipeline: Duration,
    /// From the log to the raw zone, the clean zone and the other tables.
    pub(super) publish: Duration,
    /// Everything else, such as the state's own threads.
    pub(super) others: Duration,
}

impl CpuByPart {
    /// What was used since.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            doors: self.doors.saturating_sub(before.doors),
            log: self.log.saturating_sub(before.log),
            pipeline: self.pipeline.saturating_sub(before.pipeline),
            publish: self.publish.saturating_sub(before.publish),
            others: self.others.saturating_sub(before.others),
        }
    }
}

#[derive(Deserialize)]
struct Started {
    url: String,
}

#[derive(Deserialize)]
struct StatusReply {
    stages: Vec<StageReply>,
    #[serde(default)]
    refolds: Vec<Value>,
}

#[derive(Deserialize)]
struct StageReply {
    name: String,
    lag_records: u64,
    #[serde(default)]
    fault: Option<String>,
}

impl MeasuredServer {
    /// Starts a program's `serve` on a new folder, with these roles or all.
    ///
    /// # Errors
    /// It cannot be started, or ends at once; its log is in the folder.
    pub(super) async fn start(program: &Path, folder: &Path, roles: Option<&str>) -> Result<Self, CommandError> {
        let failed = |error| CommandError::caused(format!("{} cannot be used", folder.display()), error);
        fs::create_dir_all(folder).map_err(failed)?;
        let log = folder.join("server.log");
        let admin_key = uuid::Uuid::new_v4().to_string();
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--data")
            .arg(folder.join(KEPT))
            .args(["--http", "127.0.0.1:0", "--json"]);
        if let Some(roles) = roles {
            command.args(["--roles", roles]);
        }
        command
            .env("KITH_ADMIN_KEY", &admin_key)
            .env("KITH_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command.stderr(File::create(&log).map_err(failed)?).kill_on_drop(true);
        let no_start = |error| CommandError::caused(format!("{} cannot be started", program.display()), error);
        let mut child = command.spawn().map_err(no_start)?;
        let ended = || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            CommandError::new(format!(
                "the measured server did not start: {}",
                said.lines().last().unwrap_or("it said nothing")
            ))
        };
        let stdout = child.stdout.take().ok_or_else(ended)?;
        let mut first = String::new();
        let mut lines = BufReader::new(stdout);
        let read = tokio::time::timeout(STARTS_WITHIN, lines.read_line(&mut first)).await;
        read.map_err(|_| ended())?.map_err(no_start)?;
        let started: Started = serde_json::from_str(&first).map_err(|_| ended())?;
        let address = started.url.trim_start_matches("http://").parse().map_err(|_| ended())?;
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN).build();
        let http = http.map_err(|error| CommandError::caused("the client cannot be set up", error))?;
        let process = child.id().ok_or_else(ended)?;
        let folder = folder.to_owned();
        Ok(Self {
            address,
            admin_key,
            write_keys: WriteKeys::new(),
            folder,
            process,
            http,
            child,
        })
    }

    /// Makes the world's sources alone.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn open_sources(&mut self) -> Result<(), CommandError> {
        for source in SOURCES {
            let made = self.ask("spaces/main/sources", &json!({ "name": source })).await?;
            self.write_keys
                .insert(source, made["write_key"].as_str().unwrap_or_default().to_owned());
        }
        Ok(())
    }

    /// Makes the world's sources and applies its computed traits and segments, without its message.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn open_world(&mut self) -> Result<(), CommandError> {
        self.open_with(demo_definitions()?).await
    }

    /// Makes the world's sources and applies definitions.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn open_with(&mut self, documents: Vec<Value>) -> Result<(), CommandError> {
        self.ask(
            "spaces/main/definitions/apply",
            &json!({ "documents": documents, "reason": "a benchmark" }),
        )
        .await?;
        for source in SOURCES {
            // A source that the documents have is there already.
            let defined = |document: &Value| document["kind"] == "source" && document["name"] == source;
            let made = if documents.iter().any(defined) {
                let path = format!("spaces/main/sources/{source}/rotate");
                self.ask(&path, &json!({})).await?
            } else {
                self.ask("spaces/main/sources", &json!({ "name": source })).await?
            };
            let key = made["write_key"].as_str().unwrap_or_default().to_owned();
            self.write_keys.insert(source, key);
        }
        Ok(())
    }

    /// CPU time that it has used.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn cpu(&self) -> Result<Duration, CommandError> {
        machine::cpu_time(self.process).ok_or_else(|| self.gone())
    }

    /// CPU time that its threads have used, by the part of the server that they are.
    pub(super) fn cpu_by_part(&self) -> CpuByPart {
        let mut parts = CpuByPart::default();
        for (thread, used) in machine::cpu_by_thread(self.process) {
            let part = match thread.as_str() {
                // The threads of requests, and the first thread of the process.
                "tokio-rt-worker" => &mut parts.doors,
                "kith-log" => &mut parts.log,
                "kith-pipeline" => &mut parts.pipeline,
                "kith-publish" | "kith-raw" => &mut parts.publish,
                _ => &mut parts.others,
            };
            *part += used;
        }
        parts
    }

    /// Its resident memory in MiB, now and at its highest.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn resident(&self) -> Result<(f64, f64), CommandError> {
        machine::resident(self.process).ok_or_else(|| self.gone())
    }

    /// MiB that it keeps on disk.
    pub(super) fn disk(&self) -> f64 {
        machine::disk(&self.folder.join(KEPT))
    }

    /// Waits until the pipeline has taken everything that is in the log.
    ///
    /// # Errors
    /// A stage that has failed, or comes no further for ten minutes.
    pub(super) async fn pipeline_takes_all(&self) -> Result<(), CommandError> {
        self.pipeline_takes_all_under(&mut |_| Ok(())).await
    }

    /// The same; `watch` is told, every now and then, how many records it has still to take.
    ///
    /// # Errors
    /// As [`MeasuredServer::pipeline_takes_all`], and that of `watch`.
    pub(super) async fn pipeline_takes_all_under(
        &self,
        watch: &mut dyn FnMut(u64) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let (mut came_further, mut least) = (Instant::now(), u64::MAX);
        while came_further.elapsed() < COMES_FURTHER_WITHIN {
            let reply = self.text(self.http.get(self.url("status"))).await?;
            let status: StatusReply = serde_json::from_str(&reply).map_err(unread)?;
            if let Some(fault) = status.stages.iter().find_map(|stage| stage.fault.as_deref()) {
                return Err(CommandError::new(format!(
                    "a stage of the measured server has failed: {fault}"
                )));
            }
            let mut pipelines = status.stages.iter().filter(|stage| stage.name == "pipeline");
            let behind = pipelines.next().map_or(0, |stage| stage.lag_records);
            watch(behind)?;
            if behind == 0 {
                return Ok(());
            }
            if behind < least {
                (came_further, least) = (Instant::now(), behind);
            }
            tokio::time::sleep(ASKS_EVERY).await;
        }
        Err(CommandError::new("the pipeline came no further for ten minutes"))
    }

    /// Whether a definition does not cover history yet.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn is_refolding(&self) -> Result<bool, CommandError> {
        let reply = self.text(self.http.get(self.url("status"))).await?;
        let status: StatusReply = serde_json::from_str(&reply).map_err(unread)?;
        Ok(!status.refolds.is_empty())
    }

    /// Whether a segment lacks members that history makes.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn lacks_members(&self) -> Result<bool, CommandError> {
        let reply = self.text(self.http.get(self.url("status"))).await?;
        let status: StatusReply = serde_json::from_str(&reply).map_err(unread)?;
        Ok(!status.refolds.iter().all(|refold| refold["live"] == true))
    }

    /// Commits everything to the tables.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn flush(&self) -> Result<(), CommandError> {
        let request = self
            .http
            .post(self.url("flush"))
            .timeout(FLUSHES_WITHIN)
            .json(&json!({}));
        self.text(request).await.map(drop)
    }

    /// The rows of a statement.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn sql<Row: for<'de> Deserialize<'de>>(&self, statement: &str) -> Result<Vec<Row>, CommandError> {
        let request = self.http.post(self.url("sql")).json(&json!({ "sql": statement }));
        let reply = self.text(request).await?;
        reply
            .lines()
            .map(|line| serde_json::from_str(line).map_err(unread))
            .collect()
    }

    /// The answer of a `GET`.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn look(&self, path: &str) -> Result<Value, CommandError> {
        let reply = self.text(self.http.get(self.url(path))).await?;
        serde_json::from_str(&reply).map_err(unread)
    }

    /// The answer of a `POST`.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn ask(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        let reply = self.text(self.http.post(self.url(path)).json(body)).await?;
        serde_json::from_str(&reply).map_err(unread)
    }

    /// Ends it as an operator does, once everything durable is committed; answers the folder of its data.
    ///
    /// # Errors
    /// It does not end within a minute.
    pub(super) async fn stop(mut self) -> Result<PathBuf, CommandError> {
        let failed = |error| CommandError::caused("the measured server cannot be stopped", error);
        let asked = Command::new("kill").args(["-TERM", &self.process.to_string()]).status();
        asked.await.map_err(failed)?;
        match tokio::time::timeout(STOPS_WITHIN, self.child.wait()).await {
            Ok(ended) => ended.map_err(failed).map(|_| self.folder.join(KEPT)),
            Err(_) => Err(CommandError::new("the measured server did not stop within a minute")),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/{path}", self.address)
    }

    async fn text(&self, request: RequestBuilder) -> Result<String, CommandError> {
        let silent = |error: reqwest::Error| CommandError::caused("the measured server does not answer", error);
        let reply = request.bearer_auth(&self.admin_key).send().await.map_err(silent)?;
        let (status, text) = (reply.status(), reply.text().await.map_err(silent)?);
        if !status.is_success() {
            return Err(CommandError::new(format!(
                "the measured server answered {status}: {text}"
            )));
        }
        Ok(text)
    }

    fn gone(&self) -> CommandError {
        CommandError::new(format!(
            "the measured server has ended: see {}",
            self.folder.join("server.log").display()
        ))
    }
}

fn unread(error: serde_json::Error) -> CommandError {
    CommandError::caused("an answer of the measured server cannot be read", error)
}

/// The definitions of the demonstration world without its message.
///
/// # Errors
/// They cannot be read.
pub(super) fn demo_definitions() -> Result<Vec<Value>, CommandError> {
    let documents = kith_catalog::parse_yaml("demo/definitions.yaml", DEFINITIONS)
        .map_err(|_| CommandError::new("the definitions of the demonstration world cannot be read"))?;
    let documents = documents.iter().map(kith_catalog::Document::to_json);
    Ok(documents.filter(|document| document["kind"] != "message").collect())
}
