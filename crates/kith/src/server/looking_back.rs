//! Questions that read histories: few at a time, each within its bounds, off the threads that serve.
//!
//! Works with the ports to people, segments and identity. It never reads anything itself.

use super::Parts;
use super::definitions::problems_told;
use kith_api::ports::{AsOf, PortError, PortErrorKind};
use kith_pipeline::{Absent, PipelineError, PipelineErrorKind};
use kith_types::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Questions about one person at a time.
const PERSONS_AT_ONCE: usize = 8;
/// How long a request waits for those before it.
const WAITS: Duration = Duration::from_secs(5);

/// Room for questions that read histories.
pub(crate) struct LookingBack {
    person: Arc<Semaphore>,
}

impl Default for LookingBack {
    fn default() -> Self {
        Self {
            person: Arc::new(Semaphore::new(PERSONS_AT_ONCE)),
        }
    }
}

impl LookingBack {
    /// Answers a question when there is room for it.
    pub(crate) async fn read<T: Send + 'static>(
        parts: &Arc<Parts>,
        read: impl FnOnce(&Parts) -> Result<T, PipelineError> + Send + 'static,
    ) -> Result<T, PortError> {
        let room = Arc::clone(&parts.looking_back.person);
        let Ok(Ok(permit)) = tokio::time::timeout(WAITS, room.acquire_owned()).await else {
            let message = "too many questions about histories at once: ask again in a while";
            return Err(PortError::new(PortErrorKind::Busy, message));
        };
        let parts = Arc::clone(parts);
        let answer = tokio::task::spawn_blocking(move || {
            // Held until the work ends, also when nobody waits for it any more.
            let _permit = permit;
            read(&parts)
        });
        answer.await.map_err(PortError::internal)?.map_err(refused)
    }
}

/// What a failure of the pipeline says to a client.
pub(crate) fn refused(error: PipelineError) -> PortError {
    match error.kind() {
        PipelineErrorKind::Definition if !error.problems().is_empty() => PortError::problems(problems_told(&error)),
        PipelineErrorKind::Definition | PipelineErrorKind::Limit => {
            PortError::new(PortErrorKind::Invalid, error.to_string())
        }
        PipelineErrorKind::Storage | PipelineErrorKind::Corrupt => PortError::internal(error),
    }
}

/// Waits until all that had been received and was due by an instant is in the state, and nobody is missing from it.
///
/// # Errors
/// Why it is not there.
pub(crate) fn await_knowledge(parts: &Parts, known_at: Timestamp) -> Result<(), String> {
    if parts.pipeline.status().rebuilding.is_some() {
        return Err(
            "people are missing while a lost state is built again: ask when `kith status` says that it is done"
                .to_owned(),
        );
    }
    match parts.pipeline.wait_clock(known_at, WAITS) {
        true => Ok(()),
        false => Err(format!(
            "the live state has not come to {known_at} yet: ask again in a while, or as of an earlier instant"
        )),
    }
}

/// As [`LookingBack::read`], once what was known at an instant is there.
pub(crate) async fn read_as_of<T: Send + 'static>(
    parts: &Arc<Parts>,
    known_at: Option<Timestamp>,
    read: impl FnOnce(&Parts) -> Result<T, PipelineError> + Send + 'static,
) -> Result<T, PortError> {
    let answer = LookingBack::read(parts, move |parts| {
        match known_at.map_or(Ok(()), |at| await_knowledge(parts, at)) {
            Ok(()) => read(parts).map(Ok),
            Err(why) => Ok(Err(why)),
        }
    });
    answer
        .await?
        .map_err(|why| PortError::new(PortErrorKind::Unavailable, why))
}

/// The instant asked about; nothing for now.
pub(crate) fn as_of(asked: AsOf, now: Timestamp) -> Result<Option<kith_pipeline::AsOf>, PortError> {
    if asked == AsOf::default() {
        return Ok(None);
    }
    let at = asked.at.unwrap_or(now);
    let known_at = asked.known_at.map_or(at, |known_at| known_at.instant(now));
    if at > now || known_at > now {
        let message = format!("it is {now}: as_of and known_at cannot be later");
        return Err(PortError::new(PortErrorKind::Invalid, message));
    }
    Ok(Some(kith_pipeline::AsOf { at, known_at }))
}

/// The answer where nobody is found as of an instant: why, and with which question somebody is.
pub(crate) fn nobody_then(asked: kith_pipeline::AsOf, absent: Absent) -> PortError {
    let (at, known_at) = (asked.at, asked.known_at);
    let why = match absent {
        Absent::NowToo => "nobody has it now either".to_owned(),
        Absent::KnownLater(later) => format!(
            "it was asked with the knowledge of {known_at}: what was received later, such as by an import, was not known then. \
             as_of={at} known_at={} tells what is known of it in hindsight",
            later.known_at
        ),
        Absent::HappenedLater(later) => format!(
            "what is known of it begins at {}: as_of={} known_at={} finds it",
            later.at, later.at, later.known_at
        ),
        Absent::FoundNow => "it is found as of now: leave out as_of and known_at".to_owned(),
    };
    PortError::new(
        PortErrorKind::Absent,
        format!("Profile was not found as of {at}: {why}"),
    )
}
