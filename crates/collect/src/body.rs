//! Reading a request's body: bounded in bytes, in time, and in what it may decompress to.
//!
//! The doors get back the bytes after content decoding, untouched. Nothing here looks into them.

use crate::budget::Share;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use std::io::Read;
use std::time::Duration;

/// How long a sender may take to send one body.
const SENDING_MAX: Duration = Duration::from_secs(30);
/// How much of an oversized body is read and thrown away, so that its sender reads our answer and not a broken pipe.
const DISCARDED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much is decompressed at a time.
const STEP_BYTES: usize = 32 * 1024;
/// Below this size a body may unpack to any multiple of what was sent.
const RATIO_FREE_BYTES: usize = 128 * 1024;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// Larger than what is kept, sent or unpacked.
    TooLarge,
    /// It unpacks to too many times what was sent.
    RatioTooHigh,
    /// No room for it now.
    Overloaded,
    /// The sender was too slow.
    TooSlow,
    /// The sender went away, or broke the protocol.
    Broken,
    /// A content encoding that is not taken.
    UnknownEncoding,
    /// Not what its content encoding says.
    BadEncoding,
}

/// The bounds of one body.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) ratio_max: usize,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

/// Reads and decodes the body; `share` holds its bytes.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
    share: &mut Share,
) -> Result<Bytes, BodyFault> {
    let sent = tokio::time::timeout(SENDING_MAX, receive(body, bounds.bytes_max, share)).await;
    let sent = sent.map_err(|_| BodyFault::TooSlow)??;
    match encoding(headers)? {
        Encoding::Identity => Ok(sent),
        Encoding::Gzip => unpack(MultiGzDecoder::new(&*sent), sent.len(), bounds, share),
        Encoding::Deflate => unpack(ZlibDecoder::new(&*sent), sent.len(), bounds, share),
    }
}

/// Reads a body for nothing but manners.
pub(crate) async fn discard(body: Body) {
    // A sender that does not finish is left to the connection's own limits.
    drop(tokio::time::timeout(SENDING_MAX, drain(body, 0)).await);
}

async fn receive(mut body: Body, bytes_max: usize, share: &mut Share) -> Result<Bytes, BodyFault> {
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let whole_max = announced.unwrap_or(bytes_max).min(bytes_max);
    let mut parts = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| BodyFault::Broken)?.into_data() else {
            continue;
        };
        let length = parts.len() + chunk.len();
        let fault = if length > bytes_max {
            BodyFault::TooLarge
        } else if share.grow(chunk.len()) {
            // A body in one piece is kept as it is. A part of one is not: it holds the whole buffer that it was read into.
            if parts.is_empty() && body.is_end_stream() {
                return Ok(chunk);
            }
            if length > parts.capacity() {
                let capacity = (parts.capacity() * 2).min(whole_max).max(length);
                parts.reserve_exact(capacity - parts.len());
            }
            parts.extend_from_slice(&chunk);
            continue;
        } else {
            BodyFault::Overloaded
        };
        drop((chunk, parts));
        drain(body, length).await;
        return Err(fault);
    }
    Ok(Bytes::from(parts))
}

async fn drain(mut body: Body, mut received: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        received += frame.data_ref().map_or(0, Bytes::len);
        if received > DISCARDED_BYTES_MAX {
            return;
        }
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, BodyFault> {
    let mut named = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(first) = named.next() else {
        return Ok(Encoding::Identity);
    };
    if named.next().is_some() {
        return Err(BodyFault::UnknownEncoding);
    }
    let name = first.as_bytes().trim_ascii();
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    if is("gzip") || is("x-gzip") {
        Ok(Encoding::Gzip)
    } else if is("deflate") {
        Ok(Encoding::Deflate)
    } else if is("identity") || name.is_empty() {
        Ok(Encoding::Identity)
    } else {
        Err(BodyFault::UnknownEncoding)
    }
}

fn unpack(mut decoder: impl Read, sent_bytes: usize, bounds: Bounds, share: &mut Share) -> Result<Bytes, BodyFault> {
    let mut unpacked = Vec::with_capacity(sent_bytes.saturating_mul(4).min(bounds.bytes_max));
    let mut step = vec![0; STEP_BYTES];
    loop {
        let count = decoder.read(&mut step).map_err(|_| BodyFault::BadEncoding)?;
        if count == 0 {
            return Ok(Bytes::from(unpacked));
        }
        if !share.grow(count) {
            return Err(BodyFault::Overloaded);
        }
        unpacked.extend_from_slice(step.get(..count).unwrap_or(&[]));
        if unpacked.len() > RATIO_FREE_BYTES && unpacked.len() / sent_bytes.max(1) > bounds.ratio_max {
            return Err(BodyFault::RatioTooHigh);
        }
        if unpacked.len() > bounds.bytes_max {
            return Err(BodyFault::TooLarge);
        }
    }
}
