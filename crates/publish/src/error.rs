//! What can go wrong while publishing; trying again is always right, since offsets say what stands.

/// A failure to publish.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PublishError {
    message: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl PublishError {
    /// What came of something, for whoever asked for it.
    pub(crate) fn in_words(outcome: &Result<(), Self>) -> Result<(), String> {
        outcome
            .as_ref()
            .copied()
            .map_err(|error| kith_telemetry::error_chain(error))
    }

    pub(crate) fn new(message: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            message,
            source: source.into(),
        }
    }
}

impl From<kith_pipeline::PipelineError> for PublishError {
    fn from(error: kith_pipeline::PipelineError) -> Self {
        Self::new("the state could not be read", error)
    }
}
