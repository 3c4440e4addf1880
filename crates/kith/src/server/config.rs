//! How a server is set up: flags, environment and, where given, a file.

use super::raw_place::{FileRaw, RawConfig};
use crate::error::CommandError;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A part that a process can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The doors.
    Collect,
    /// Log to profiles and segments.
    Pipeline,
    /// SQL.
    Query,
    /// Messages.
    Activate,
    /// The API.
    Api,
}

impl Role {
    const ALL: [(&'static str, Role); 5] = [
        ("collect", Role::Collect),
        ("pipeline", Role::Pipeline),
        ("query", Role::Query),
        ("activate", Role::Activate),
        ("api", Role::Api),
    ];

    /// Reads a list such as `collect,api`.
    ///
    /// # Errors
    /// The first name that is no role.
    pub(crate) fn parse_list(list: &str) -> Result<Vec<Role>, String> {
        list.split(',')
            .map(|name| {
                let found = Self::ALL.iter().find(|(known, _)| *known == name.trim());
                found.map(|(_, role)| *role).ok_or_else(|| {
                    format!("{name:?} is no role; the roles are collect, pipeline, query, activate and api")
                })
            })
            .collect()
    }
}

/// The mail server that messages go through.
#[derive(Clone, Debug, Default)]
pub(crate) struct SmtpConfig {
    /// `host:port`; without it nothing can be sent.
    pub(crate) address: Option<String>,
    /// A user name, where the server asks for one.
    pub(crate) user: Option<String>,
    /// The password.
    pub(crate) password: Option<String>,
    /// Whether the connection is encrypted from the start or by STARTTLS; off for loopback only.
    pub(crate) tls: bool,
}

impl SmtpConfig {
    /// User and password, where the mail server wants them. An empty one counts as not given.
    ///
    /// # Errors
    /// One is given without the other: left out in silence, mail would be sent without logging in.
    pub(crate) fn credentials(&self) -> Result<Option<(String, String)>, CommandError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (given(&self.user), given(&self.password)) {
            (Some(user), Some(password)) => Ok(Some((user, password))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(CommandError::new(
                "smtp.user is set and smtp.password is not: set both, or neither",
            )),
            (None, Some(_)) => Err(CommandError::new(
                "smtp.password is set and smtp.user is not: set both, or neither",
            )),
        }
    }
}

/// How a server is set up.
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    /// Everything it keeps.
    pub(crate) data: PathBuf,
    /// Where it listens.
    pub(crate) http: SocketAddr,
    /// The parts it plays.
    pub(crate) roles: Vec<Role>,
    /// The administrator's key, where the environment gives one.
    pub(crate) admin_key: Option<String>,
    /// Bytes of cache for the live state.
    pub(crate) cache_bytes: u64,
    /// Bytes of memory for the filters of event keys.
    pub(crate) dedupe_filter_bytes: usize,
    /// The mail server.
    pub(crate) smtp: SmtpConfig,
    /// How the world reaches this server: what links in messages begin with.
    pub(crate) public_url: Option<String>,
    /// Whether a proxy stands before the doors whose `X-Forwarded-For` names the client.
    pub(crate) trust_forwarded_for: bool,
    /// A segment of the log is sealed before it grows past so many bytes.
    pub(crate) log_segment_bytes: u64,
    /// From how many people on history is folded from the tables for a new definition.
    pub(crate) fold_tables_from_people: u64,
    /// How many bytes of the newest segments stay in the log once everything has passed them.
    pub(crate) log_keep_bytes: u64,
    /// Losses of the raw zone that are accepted before anything reads it.
    pub(crate) accept_loss: Vec<String>,
    /// Where the raw zone is, where it is not in the data folder.
    pub(crate) raw: RawConfig,
    /// The write keys of destinations, by the names that definitions use.
    pub(crate) write_keys: BTreeMap<String, String>,
}

impl ServerConfig {
    /// A server on a folder and an address with everything else as it is by default.
    #[must_use]
    pub(crate) fn new(data: PathBuf, http: SocketAddr) -> Self {
        Self {
            data,
            http,
            roles: Role::ALL.iter().map(|(_, role)| *role).collect(),
            admin_key: None,
            cache_bytes: 256 << 20,
            dedupe_filter_bytes: 256 << 20,
            smtp: SmtpConfig::default(),
            public_url: None,
            trust_forwarded_for: false,
            log_segment_bytes: 64 << 20,
            fold_tables_from_people: 50_000,
            log_keep_bytes: 1 << 30,
            accept_loss: Vec::new(),
            raw: RawConfig::default(),
            write_keys: BTreeMap::new(),
        }
    }

    /// Whether the process plays a part.
    #[must_use]
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Takes what a file says; flags that were given stay.
    ///
    /// # Errors
    /// The field that is not known or cannot be read.
    pub(crate) fn read_file(&mut self, path: &std::path::Path) -> Result<(), CommandError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| CommandError::caused(format!("{} cannot be read", path.display()), error))?;
        let file: FileConfig = serde_yaml_ng::from_str(&text)
            .map_err(|error| CommandError::caused(format!("{} is not a configuration", path.display()), error))?;
        if let Some(smtp) = file.smtp {
            self.smtp = SmtpConfig {
                address: Some(smtp.address),
                user: smtp.user,
                password: smtp.password,
                tls: smtp.tls,
            };
        }
        if let Some(raw) = file.raw {
            self.raw = RawConfig::of_file(raw)?;
        }
        self.write_keys.extend(file.write_keys);
        self.public_url = file.public_url.or(self.public_url.take());
        self.trust_forwarded_for = file.trust_forwarded_for.unwrap_or(self.trust_forwarded_for);
        if let Some(megabytes) = file.cache_megabytes {
            self.cache_bytes = megabytes << 20;
        }
        if let Some(megabytes) = file.dedupe_megabytes {
            self.dedupe_filter_bytes = (megabytes as usize) << 20;
        }
        self.fold_tables_from_people = file.fold_tables_from_people.unwrap_or(self.fold_tables_from_people);
        if let Some(log) = file.log {
            if log
                .segment_kilobytes
                .is_some_and(|kilobytes| !(16..=1 << 20).contains(&kilobytes))
            {
                return Err(CommandError::new(format!(
                    "log.segment_kilobytes in {} must be from 16 to 1048576",
                    path.display()
                )));
            }
            self.log_segment_bytes = log
                .segment_kilobytes
                .map_or(self.log_segment_bytes, |kilobytes| kilobytes << 10);
            let keep = log.keep_megabytes.map(|megabytes| megabytes.saturating_mul(1 << 20));
            self.log_keep_bytes = keep.unwrap_or(self.log_keep_bytes);
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    smtp: Option<FileSmtp>,
    public_url: Option<String>,
    trust_forwarded_for: Option<bool>,
    cache_megabytes: Option<u64>,
    dedupe_megabytes: Option<u32>,
    fold_tables_from_people: Option<u64>,
    log: Option<FileLog>,
    raw: Option<FileRaw>,
    #[serde(default)]
    write_keys: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLog {
    segment_kilobytes: Option<u64>,
    keep_megabytes: Option<u64>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSmtp {
    address: String,
    user: Option<String>,
    password: Option<String>,
    #[serde(default)]
    tls: bool,
}
