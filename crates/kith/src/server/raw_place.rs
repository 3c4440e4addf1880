//! Where the raw zone is kept: in the data folder, or in a bucket of S3 or of a store that speaks its protocol.
//!
//! The bucket comes from `--raw` or the configuration, credentials from the usual `AWS_*` variables alone; they are written
//! nowhere. A bucket that cannot keep the promises refuses the start; one that cannot be reached does not, since the log
//! keeps everything until it can.

use super::ServerConfig;
use crate::error::CommandError;
use crate::output::Hint;
use kith_lake::{ErrorKind, RawZone, RetentionAsked};
use kith_s3::{Credentials, Patience, RetentionMode, S3Settings};
use kith_types::Clock;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a start waits for a store that does not answer.
const CHECK_WITHIN: Duration = Duration::from_secs(10);
/// Object lock knows no more than a hundred years.
const DAYS_MAX: u16 = 36_500;

/// Where raw objects go.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawConfig {
    /// `s3://BUCKET/PREFIX`; without it they stay in the data folder.
    pub(crate) url: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    retention: Option<RetentionAsked>,
}

/// The part `raw` of a configuration file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRaw {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    retention: Option<FileRetention>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRetention {
    mode: String,
    days: u16,
}

impl RawConfig {
    /// Takes what a file says.
    ///
    /// # Errors
    /// The field that cannot be used.
    pub(crate) fn of_file(file: FileRaw) -> Result<Self, CommandError> {
        let retention = file.retention.map(|asked| {
            let mode = RetentionMode::parse(&asked.mode).ok_or_else(|| {
                CommandError::new(format!(
                    "raw.retention.mode {:?} is neither governance nor compliance",
                    asked.mode
                ))
            })?;
            if !(1..=DAYS_MAX).contains(&asked.days) {
                return Err(CommandError::new(format!(
                    "raw.retention.days must be from 1 to {DAYS_MAX}"
                )));
            }
            Ok(RetentionAsked { mode, days: asked.days })
        });
        Ok(Self {
            url: Some(file.url),
            endpoint: file.endpoint,
            region: file.region,
            path_style: file.path_style,
            retention: retention.transpose()?,
        })
    }

    /// The settings of the bucket, where there is one. `variable` reads the environment.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    fn settings(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<S3Settings>, CommandError> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let (bucket, prefix) = S3Settings::parse_url(url).map_err(|why| CommandError::new(format!("--raw: {why}")))?;
        let secret = |name: &str| {
            variable(name).ok_or_else(|| {
                let hint =
                    Hint::new("credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
                CommandError::caused(format!("{url} cannot be used without {name}"), hint)
            })
        };
        let endpoint = self.endpoint.clone();
        let endpoint = endpoint
            .or_else(|| variable("AWS_ENDPOINT_URL_S3"))
            .or_else(|| variable("AWS_ENDPOINT_URL"));
        let region = self.region.clone();
        let region = region
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"));
        let authorities = variable("AWS_CA_BUNDLE").map(|path| {
            std::fs::read(&path)
                .map_err(|error| CommandError::caused(format!("AWS_CA_BUNDLE {path} cannot be read"), error))
        });
        // A certificate for all buckets does not cover a name with dots.
        let in_path = endpoint.is_some() || bucket.contains('.');
        Ok(Some(S3Settings {
            path_style: self.path_style.unwrap_or(in_path),
            bucket,
            prefix,
            endpoint,
            region: region.unwrap_or_else(|| "us-east-1".to_owned()),
            credentials: Credentials {
                access_key_id: secret("AWS_ACCESS_KEY_ID")?,
                secret_access_key: secret("AWS_SECRET_ACCESS_KEY")?,
                session_token: variable("AWS_SESSION_TOKEN"),
            },
            authorities: authorities.transpose()?,
            patience: Patience::default(),
            names_per_page: 1_000,
        }))
    }
}

/// The raw zone elsewhere, where the configuration names a place; looked at as far as it can be reached.
///
/// # Errors
/// What an operator must mend before the server can keep raw there.
pub(crate) fn open(config: &ServerConfig, clock: &Arc<dyn Clock>) -> Result<Option<RawZone>, CommandError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(settings) = config.raw.settings(&variable)? else {
        return Ok(None);
    };
    let zone = RawZone::in_bucket(settings, config.raw.retention, Arc::clone(clock))
        .map_err(|error| CommandError::caused("the raw zone cannot be set up", error))?;
    tell_of_another(&config.data, &zone);
    let checked = tokio::runtime::Handle::current().block_on(tokio::time::timeout(CHECK_WITHIN, zone.check()));
    match checked {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => {
            tracing::warn!(raw = %zone.name(), error = %kith_telemetry::error_chain(&error), "the raw zone cannot be reached: the log keeps everything until it can");
        }
        Ok(Err(error)) => {
            return Err(CommandError::caused(
                format!("the raw zone {} cannot be used", zone.name()),
                error,
            ));
        }
        Err(_late) => {
            tracing::warn!(raw = %zone.name(), "the raw zone does not answer: the log keeps everything until it does");
        }
    }
    Ok(Some(zone))
}

/// A raw zone that the folder has from before is not read any more.
fn tell_of_another(data: &Path, zone: &RawZone) {
    let folder = data.join("raw");
    if folder.is_dir() {
        tracing::warn!(folder = %folder.display(), raw = %zone.name(), "the data folder holds a raw zone that is not read: copy it to where raw is now");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Result<RawConfig, CommandError> {
        RawConfig::of_file(serde_yaml_ng::from_str(yaml).unwrap())
    }

    fn with_keys(name: &str) -> Option<String> {
        let known = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "kept-back"),
            ("AWS_REGION", "eu-central-1"),
        ];
        known
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn raw_1_a_bucket_is_read_from_the_configuration_and_the_environment() {
        let read = config("{ url: 's3://bucket/a/b/', retention: { mode: governance, days: 30 } }").unwrap();
        let settings = read.settings(&with_keys).unwrap().unwrap();
        assert_eq!((settings.bucket.as_str(), settings.prefix.as_str()), ("bucket", "a/b"));
        assert_eq!((settings.region.as_str(), settings.path_style), ("eu-central-1", false));
        assert_eq!(read.retention.unwrap().days, 30);
        assert!(!format!("{settings:?}").contains("kept-back"));
        let near = config("{ url: 's3://bucket', endpoint: 'http://127.0.0.1:9000', region: here }").unwrap();
        let near = near.settings(&with_keys).unwrap().unwrap();
        assert_eq!((near.region.as_str(), near.path_style), ("here", true));
        assert!(RawConfig::default().settings(&with_keys).unwrap().is_none());
    }

    #[test]
    fn raw_1_a_place_that_cannot_be_read_is_refused() {
        for url in [
            "bucket",
            "http://bucket",
            "s3://",
            "s3://UPPER",
            "s3://bucket/../x",
            "s3://bucket//x",
            "s3://bucket/é",
        ] {
            let refused = config(&format!("{{ url: '{url}' }}")).unwrap().settings(&with_keys);
            assert!(refused.is_err(), "{url}");
        }
        assert!(config("{ url: 's3://bucket', retention: { mode: firm, days: 1 } }").is_err());
        assert!(config("{ url: 's3://bucket', retention: { mode: compliance, days: 0 } }").is_err());
        let refused = config("{ url: 's3://bucket' }").unwrap().settings(&|_| None);
        assert!(refused.unwrap_err().to_string().contains("AWS_ACCESS_KEY_ID"));
        let secret_in_file = serde_yaml_ng::from_str::<FileRaw>("{ url: 's3://bucket', secret_access_key: x }");
        assert!(secret_in_file.is_err(), "no credentials in the file");
    }
}
