//! A look at a store for whoever asks how the server is: one at a time, and never longer than somebody waits for.
//!
//! A store that does not answer holds one thread, however often it is asked for. It tells nothing about what is in the store.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a look is waited for, those before it included.
const WAITS: Duration = Duration::from_secs(2);

/// Looks at one store.
#[derive(Clone, Debug)]
pub struct Look {
    one: Arc<Semaphore>,
    waits: Duration,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            one: Arc::new(Semaphore::new(1)),
            waits: WAITS,
        }
    }
}

impl Look {
    /// What `work` gives, done where it may block.
    ///
    /// # Errors
    /// In words for the log: it took too long, or it ended by a panic.
    pub async fn ask<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let one = Arc::clone(&self.one);
        let looked = tokio::time::timeout(self.waits, async {
            let permit = one.acquire_owned().await.map_err(|error| error.to_string())?;
            // The permit goes with the work, also where nobody waits for it any more.
            let work = move || {
                let _permit = permit;
                work()
            };
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| error.to_string())
        });
        (looked.await).unwrap_or_else(|_| Err(format!("it did not answer within {:?}", self.waits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn ops_1_a_store_that_hangs_is_told_in_time_and_holds_one_thread() {
        let look = Look::default();
        let soon = Look {
            waits: Duration::from_millis(5),
            ..look.clone()
        };
        let (answer, hangs) = channel::<()>();
        // The store hangs until the test lets it go.
        let hanging = soon.ask(move || hangs.recv().is_err()).await;
        assert_eq!(hanging.unwrap_err(), "it did not answer within 5ms");
        for _ in 0..3 {
            let behind = soon.ask(|| unreachable!("one look at a time")).await;
            assert_eq!(behind.unwrap_err(), "it did not answer within 5ms");
        }
        drop(answer);
        assert_eq!(look.ask(|| 7).await, Ok(7), "it answers again");
    }
}
