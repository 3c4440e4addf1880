//! Work that several threads do at once, each as far as it comes.

use crate::PipelineError;

/// How many threads may work at once.
pub(crate) fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What each of several threads comes to, the caller's among them. They take their shares from something that they have in common:
/// where another thread cannot start, the others take what is left.
///
/// # Errors
/// The first of theirs; a panic of another thread is one.
pub(crate) fn in_threads<T: Send>(
    threads: usize,
    work: &(dyn Fn() -> Result<T, PipelineError> + Sync),
) -> Result<Vec<T>, PipelineError> {
    std::thread::scope(|scope| {
        let start = |_| {
            std::thread::Builder::new()
                .name("kith-share".to_owned())
                .spawn_scoped(scope, work)
                .ok()
        };
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut ended = vec![work()];
        ended.extend(others.into_iter().map(|other| {
            other.join().unwrap_or_else(|_| {
                let panicked = "a thread that has a share of the work ended by a panic";
                Err(PipelineError::storage("people could not be read", panicked))
            })
        }));
        ended.into_iter().collect()
    })
}
