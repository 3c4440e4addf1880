//! A stream on which a write that gets nowhere fails.
//!
//! Whoever asks and does not read fills the buffers between, and then keeps the connection, and what is still to be sent on
//! it, for as long as it likes: no other bound sees it, since the request was read and its answer is under way. Here a write
//! that has been waiting for so long without a byte being taken is an error, and the connection ends by it. A stream that
//! has nothing to write, such as one of events while nothing happens, waits for no write and stays.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream and how long it may take none of what is written.
#[derive(Debug)]
pub(super) struct Progressing<S> {
    stream: S,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether a write waits, and the timer counts.
    waiting: bool,
}

impl<S> Progressing<S> {
    /// A stream whose writes fail with [`ErrorKind::TimedOut`] once one has waited for `patience`.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            timer: Box::pin(sleep(patience)),
            waiting: false,
        }
    }

    /// Hands on how a write went, and fails one that has waited for too long.
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + self.patience);
        }
        match self.timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(Error::new(
                ErrorKind::TimedOut,
                "the other side takes nothing of what it asked for",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progressing<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progressing<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn col_5_only_a_write_that_waits_counts_and_every_byte_taken_begins_it_anew() {
        let (near, mut far) = tokio::io::duplex(1);
        let mut near = Progressing::new(near, LONG);
        assert!(poll!(Box::pin(near.read(&mut [0]))).is_pending());
        assert!(!near.waiting, "a stream that has nothing to write may be silent");
        near.write_all(b"a").await.unwrap();
        assert!(!near.waiting, "it was taken at once");

        assert!(poll!(Box::pin(near.write(b"b"))).is_pending());
        assert!(near.waiting);
        let ends = near.timer.deadline();
        assert!(poll!(Box::pin(near.write(b"b"))).is_pending());
        assert_eq!(near.timer.deadline(), ends, "being asked again is no progress");

        assert_eq!(far.read_u8().await.unwrap(), b'a');
        near.write_all(b"b").await.unwrap();
        assert!(!near.waiting);
        assert!(poll!(Box::pin(near.write(b"c"))).is_pending());
        assert!(near.waiting && near.timer.deadline() > ends, "a byte taken is progress");
    }

    #[tokio::test]
    async fn col_5_a_write_that_gets_nowhere_fails() {
        let (near, far) = tokio::io::duplex(1);
        let mut near = Progressing::new(near, Duration::from_millis(1));
        let given_up = tokio::time::timeout(LONG, near.write_all(b"ab")).await.unwrap();
        assert_eq!(given_up.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(far);
    }
}
