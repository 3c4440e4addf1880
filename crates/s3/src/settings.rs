//! Where a bucket is, who asks, and how long to wait: values that are handed in.
//!
//! It reads no environment and no file. The secrets of credentials are never shown by `Debug`.

use kith_types::Timestamp;
use std::fmt;
use std::time::Duration;

/// Who asks.
#[derive(Clone)]
pub struct Credentials {
    /// The access key's id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(kept back)")
    }
}

/// How firmly a version is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetentionMode {
    /// Those with a special permission may unlock it.
    Governance,
    /// Nobody may unlock it before its time.
    Compliance,
}

impl RetentionMode {
    /// The protocol's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RetentionMode::Governance => "GOVERNANCE",
            RetentionMode::Compliance => "COMPLIANCE",
        }
    }

    /// Reads [`RetentionMode::name`], in capitals or not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance]
            .into_iter()
            .find(|mode| text.eq_ignore_ascii_case(mode.name()))
    }
}

/// The lock of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How firmly.
    pub mode: RetentionMode,
    /// Until when.
    pub until: Timestamp,
}

/// How long to wait, and how often to try.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the beginning of an answer, beside what sending a body takes, and for each piece of one.
    pub answer: Duration,
    /// How many tries a request has.
    pub tries: u32,
    /// The first pause between two tries; it doubles.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(20),
            tries: 4,
            pause: Duration::from_millis(200),
        }
    }
}

/// Where a bucket is and who asks.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with; no slash at either end, empty for none.
    pub prefix: String,
    /// The store's URL; without one it is AWS in the region.
    pub endpoint: Option<String>,
    /// The region that signatures name.
    pub region: String,
    /// Whether the bucket stands in the path rather than in the host's name.
    pub path_style: bool,
    /// Who asks.
    pub credentials: Credentials,
    /// Certificates (PEM) of authorities to trust besides the usual ones.
    pub authorities: Option<Vec<u8>>,
    /// How long to wait.
    pub patience: Patience,
    /// How many names a page of a listing has at most; stores give no more than a thousand.
    pub names_per_page: u16,
}

impl S3Settings {
    /// Reads `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub fn parse_url(url: &str) -> Result<(String, String), String> {
        let rest = url
            .strip_prefix("s3://")
            .ok_or_else(|| format!("{url:?} is no bucket: write s3://BUCKET/PREFIX"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(name) || bucket.contains("..") {
            return Err(format!(
                "{bucket:?} is no bucket's name: 3 to 63 small letters, digits, dots and hyphens, as in s3://BUCKET/PREFIX"
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '=');
        let step = |step: &str| !step.is_empty() && step != "." && step != ".." && step.chars().all(plain);
        if !prefix.is_empty() && (prefix.len() > 512 || !prefix.split('/').all(step)) {
            return Err(format!(
                "{prefix:?} is no prefix: letters, digits, dots, hyphens and underlines, with single slashes between"
            ));
        }
        Ok((bucket.to_owned(), prefix.to_owned()))
    }
}
