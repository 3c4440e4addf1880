//! Spans as OTLP writes them: an `ExportTraceServiceRequest` in protobuf.
//!
//! The numbers of fields are those of `opentelemetry/proto/trace/v1/trace.proto`, version 1. Written by hand, since these few
//! messages need no generated code; a test elsewhere reads them by the official definitions.

use super::Span;

const KIND_INTERNAL: u64 = 1;
const KIND_SERVER: u64 = 2;
const STATUS_ERROR: u64 = 2;

/// The body of one export.
pub(super) fn encode(service: &str, spans: &[Span]) -> Vec<u8> {
    let mut resource = Vec::new();
    message(&mut resource, 1, &word("service.name", service));
    let mut scope = Vec::new();
    bytes(&mut scope, 1, b"kith");
    let mut scope_spans = Vec::new();
    message(&mut scope_spans, 1, &scope);
    for span in spans {
        message(&mut scope_spans, 2, &one(span));
    }
    let mut resource_spans = Vec::new();
    message(&mut resource_spans, 1, &resource);
    message(&mut resource_spans, 2, &scope_spans);
    let mut request = Vec::new();
    message(&mut request, 1, &resource_spans);
    request
}

fn one(span: &Span) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    bytes(&mut out, 1, &span.place.trace.to_be_bytes());
    bytes(&mut out, 2, &span.place.span.to_be_bytes());
    if let Some(parent) = span.parent {
        bytes(&mut out, 4, &parent.to_be_bytes());
    }
    bytes(&mut out, 5, span.name.as_bytes());
    figure(&mut out, 6, if span.is_server { KIND_SERVER } else { KIND_INTERNAL });
    fixed(&mut out, 7, span.began);
    fixed(&mut out, 8, span.ended.max(span.began));
    for (key, text) in &span.words {
        message(&mut out, 9, &word(key, text));
    }
    for (key, number) in &span.figures {
        let mut value = Vec::new();
        figure(&mut value, 3, *number);
        message(&mut out, 9, &pair(key, &value));
    }
    if span.has_failed {
        let mut status = Vec::new();
        figure(&mut status, 3, STATUS_ERROR);
        message(&mut out, 15, &status);
    }
    out
}

fn word(key: &str, text: &str) -> Vec<u8> {
    let mut value = Vec::new();
    bytes(&mut value, 1, text.as_bytes());
    pair(key, &value)
}

fn pair(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, key.as_bytes());
    message(&mut out, 2, value);
    out
}

fn message(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    bytes(out, field, content);
}

/// A field of bytes, text or a message: wire type 2.
fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A whole number of variable length: wire type 0.
fn figure(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(out, field << 3);
    varint(out, number);
}

/// A number of eight bytes: wire type 1.
fn fixed(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(out, field << 3 | 1);
    out.extend_from_slice(&number.to_le_bytes());
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
