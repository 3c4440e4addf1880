//! Why a store did not do what was asked, and who is to mend it.
//!
//! It works with every module of the crate. Its texts carry the store's own code and message, never a credential.

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3ErrorKind {
    /// No such object.
    NotFound,
    /// The credentials are wrong, or they do not allow it: an operator mends them.
    Denied,
    /// No such bucket, another region, no object lock, or a request that the store does not know: an operator mends the
    /// settings.
    Misconfigured,
    /// The store could not be reached, or could not answer: try again later.
    Unavailable,
    /// An answer that does not read.
    Malformed,
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct S3Error {
    kind: S3ErrorKind,
    message: String,
    /// The store's own word for it, such as `NoSuchKey`.
    code: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl S3Error {
    pub(crate) fn new(kind: S3ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: String::new(),
            source: None,
        }
    }

    pub(crate) fn coded(mut self, code: &str) -> Self {
        code.clone_into(&mut self.code);
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> S3ErrorKind {
        self.kind
    }

    /// The store's own word for it, such as `NoSuchKey`; empty where it said none.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

/// The error of an answer with a status and, where it has one, a code and a message of the store.
pub(crate) fn of_answer(what: &str, status: u16, code: &str, message: &str) -> S3Error {
    let kind = match (status, code) {
        (_, "NoSuchBucket") => S3ErrorKind::Misconfigured,
        // A name that versitygw gives with 404.
        (_, "XAdminUserNotFound") | (401 | 403, _) => S3ErrorKind::Denied,
        // One without the store's own word for it is of something between: what is asked for may be there.
        (404, "") => S3ErrorKind::Unavailable,
        (404, "NoSuchKey" | "NoSuchVersion" | "NotFound") => S3ErrorKind::NotFound,
        (404, "NoSuchObjectLockConfiguration" | "ObjectLockConfigurationNotFoundError") => S3ErrorKind::NotFound,
        (429 | 500 | 502 | 503 | 504, _) => S3ErrorKind::Unavailable,
        _ => S3ErrorKind::Misconfigured,
    };
    let said: String = message.chars().filter(|c| !c.is_control()).take(300).collect();
    let word = if code.is_empty() {
        format!("status {status}")
    } else {
        code.to_owned()
    };
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    };
    let advice = advice(status, code);
    S3Error::new(kind, format!("{what} was answered with {word}{said}{advice}")).coded(code)
}

fn advice(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (_, "NoSuchBucket") => "; make the bucket, or mend its name",
        (_, "InvalidAccessKeyId" | "XAdminUserNotFound") => "; check AWS_ACCESS_KEY_ID",
        (_, "SignatureDoesNotMatch") => "; check AWS_SECRET_ACCESS_KEY",
        (_, "ExpiredToken" | "InvalidToken") => "; AWS_SESSION_TOKEN has ended: start again with a fresh one",
        (_, "RequestTimeTooSkewed") => "; set this machine's clock",
        (301 | 307, _) | (_, "AuthorizationHeaderMalformed") => "; the bucket is of another region: check the region",
        (401 | 403, _) => "; check the credentials and what they allow",
        (501, _) => "; the store does not know this request",
        _ => "",
    }
}
