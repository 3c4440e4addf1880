//! The load generator's side of HTTP/1.1: one request at a time over a connection that stays open, written and read by
//! hand, so that what generates load takes as little as it can of the cores that it shares with the server.
//!
//! It speaks to the measured server on loopback only. It is no client for anything else: no TLS, no redirects, no
//! bodies in chunks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head and body of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 64 << 20;
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
const HEAD_ENDS: &[u8] = b"\r\n\r\n";

/// A `POST` with a write key, as bytes to send as often as wanted.
pub(super) fn post(path: &str, write_key: &str, body: &str) -> Vec<u8> {
    let basic = STANDARD.encode(format!("{write_key}:"));
    let length = body.len();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Basic {basic}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body.as_bytes());
    request
}

/// A `GET` with an API key.
pub(super) fn get(path: &str, api_key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {api_key}\r\n\r\n").into_bytes()
}

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    body_at: usize,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(4_096),
            body_at: 0,
        })
    }

    /// Sends a request and waits for the whole answer; gives its status.
    ///
    /// # Errors
    /// The connection ends, or the answer is not one that this reads.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<u16> {
        let late = |_| Error::new(ErrorKind::TimedOut, "the server did not answer within a minute");
        tokio::time::timeout(ANSWERS_WITHIN, self.exchange(request))
            .await
            .map_err(late)?
    }

    /// The body of the last answer.
    pub(super) fn body(&self) -> &[u8] {
        self.received.get(self.body_at..).unwrap_or_default()
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.received.clear();
        self.stream.write_all(request).await?;
        let mut looked_at = 0_usize;
        let head_ends = loop {
            self.read_more().await?;
            let from = looked_at.saturating_sub(HEAD_ENDS.len());
            let unseen = self.received.get(from..).unwrap_or_default();
            if let Some(at) = unseen.windows(HEAD_ENDS.len()).position(|window| window == HEAD_ENDS) {
                break from + at + HEAD_ENDS.len();
            }
            looked_at = self.received.len();
            if looked_at > HEAD_BYTES_MAX {
                return Err(Error::new(ErrorKind::InvalidData, "the head of an answer is too long"));
            }
        };
        let (status, length) = read_head(self.received.get(..head_ends).unwrap_or_default())?;
        self.body_at = head_ends;
        while self.received.len() < head_ends + length {
            self.read_more().await?;
        }
        Ok(status)
    }

    async fn read_more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            _ => Ok(()),
        }
    }
}

/// The status, and how many bytes the body has.
fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let unreadable = || Error::new(ErrorKind::InvalidData, "the head of an answer cannot be read");
    let text = std::str::from_utf8(head).map_err(|_| unreadable())?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    match (status, length) {
        (Some(status), Some(length)) if length <= BODY_BYTES_MAX => Ok((status, length)),
        (Some(status @ (204 | 304)), None) => Ok((status, 0)),
        _ => Err(unreadable()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_whatever_the_case_of_names() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Length: 16\r\n\r\n";
        assert_eq!(read_head(head).unwrap(), (200, 16));
        assert_eq!(
            read_head(b"HTTP/1.1 503 x\r\ncontent-length:0\r\n\r\n").unwrap(),
            (503, 0)
        );
        assert!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(read_head(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn an_answer_in_pieces_is_put_together_and_the_connection_goes_on() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut taken = vec![0; get("/a", "k").len()];
            for piece in [
                ["HTTP/1.1 200 OK\r\ncontent-len", "gth: 5\r\n\r\nhe", "llo"],
                ["HTTP/1.1 404 N\r\n", "content-length: 0\r", "\n\r\n"],
            ] {
                stream.read_exact(&mut taken).await.unwrap();
                for part in piece {
                    stream.write_all(part.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut connection = Connection::open(address).await.unwrap();
        assert_eq!(connection.ask(&get("/a", "k")).await.unwrap(), 200);
        assert_eq!(connection.body(), b"hello");
        assert_eq!(connection.ask(&get("/b", "k")).await.unwrap(), 404);
        assert_eq!(connection.body(), b"");
        server.await.unwrap();
        assert!(connection.ask(&get("/c", "k")).await.is_err());
    }
}
