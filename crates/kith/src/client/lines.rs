//! Answers that come line by line, such as rows and events.

use crate::error::CommandError;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use url::Url;

/// The longest line of a stream, in bytes.
const LINE_BYTES_MAX: usize = 64 << 20;

/// The lines of an answer while they come.
pub(crate) struct Lines {
    address: Url,
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    waiting: BytesMut,
    over: bool,
}

impl Lines {
    /// The lines of a body.
    pub(super) fn new(address: Url, body: BoxStream<'static, reqwest::Result<Bytes>>) -> Self {
        Self {
            address,
            body,
            waiting: BytesMut::new(),
            over: false,
        }
    }

    /// The next line without its end; `None` after the last.
    ///
    /// # Errors
    /// The answer breaks off, or a line is longer than can be held.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, CommandError> {
        let mut searched = 0;
        loop {
            if let Some(found) = self.waiting[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.waiting.split_to(searched + found + 1);
                line.truncate(searched + found);
                return Ok(Some(text_of(&line)));
            }
            searched = self.waiting.len();
            if self.over {
                let rest = self.waiting.split();
                return Ok((!rest.is_empty()).then(|| text_of(&rest)));
            }
            if searched > LINE_BYTES_MAX {
                return Err(CommandError::new(format!(
                    "{} sent a line of more than {LINE_BYTES_MAX} bytes",
                    self.address
                )));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.waiting.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    let what = format!("{} broke off its answer", self.address);
                    return Err(CommandError::caused(what, error.without_url()));
                }
                None => self.over = true,
            }
        }
    }
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}
