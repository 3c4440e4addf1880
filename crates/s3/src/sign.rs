//! Signature Version 4 in the `Authorization` header, as S3 wants it.
//!
//! Source: "Authenticating Requests: Using the Authorization Header" in the Amazon S3 API reference; its four worked
//! examples are the tests. Pure: the moment is handed in.

use crate::settings::Credentials;
use kith_types::Timestamp;
use ring::{digest, hmac};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request as it is signed. Path and query are encoded already; headers have lower-case names and include `host`.
pub(crate) struct Signing<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(String, String)],
    /// The hexadecimal SHA-256 hash of the body.
    pub(crate) body_hash: &'a str,
}

/// The value of the `Authorization` header.
pub(crate) fn authorization(request: &Signing<'_>, who: &Credentials, region: &str, now: Timestamp) -> String {
    let mut headers: Vec<(&str, &str)> = (request.headers.iter())
        .map(|(name, value)| (name.as_str(), value.trim()))
        .collect();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{signed}\n{}",
        request.method, request.path, request.query, request.body_hash
    );
    let stamp = stamp(now);
    let day = stamp.get(..8).unwrap_or_default();
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let mut key = mac(format!("AWS4{}", who.secret_access_key).as_bytes(), day);
    for part in [region, "s3", "aws4_request"] {
        key = mac(key.as_ref(), part);
    }
    let signature = hex(mac(key.as_ref(), &text).as_ref());
    format!(
        "{ALGORITHM} Credential={}/{scope},SignedHeaders={signed},Signature={signature}",
        who.access_key_id
    )
}

/// A moment as `x-amz-date` has it: `20130524T000000Z`.
pub(crate) fn stamp(moment: Timestamp) -> String {
    let text = moment.to_string();
    let digits = text.chars().take(19).filter(|c| !matches!(c, '-' | ':'));
    digits.chain(['Z']).collect()
}

/// Encodes a part of a path (slashes stay) or of a query (they do not), as signatures want it.
pub(crate) fn encode(text: &str, slashes_stay: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            b'/' if slashes_stay => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The lower-case hexadecimal SHA-256 hash.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(sha256(bytes).as_ref())
}

pub(crate) fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, path, query, headers of its own, hash of the body, signature.
    type Example<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

    /// The four worked examples of the S3 API reference: bucket `examplebucket` on 24 May 2013.
    #[test]
    fn raw_1_requests_are_signed_as_published() {
        let who = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        };
        let now = Timestamp::parse("2013-05-24T00:00:00Z").unwrap();
        let empty = sha256_hex(b"");
        let text = sha256_hex(b"Welcome to Amazon S3.");
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let encoded = format!("/{}", encode("test$file.text", true));
        let cases: [Example<'_>; 4] = [
            (
                "GET",
                "/test.txt",
                "",
                &[("range", "bytes=0-9")],
                &empty,
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT",
                &encoded,
                "",
                &put,
                &text,
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET",
                "/",
                "lifecycle=",
                &[],
                &empty,
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "/",
                "max-keys=2&prefix=J",
                &[],
                &empty,
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (method, path, query, extra, body_hash, signature) in cases {
            let mut headers = vec![
                ("host".to_owned(), "examplebucket.s3.amazonaws.com".to_owned()),
                ("x-amz-content-sha256".to_owned(), body_hash.to_owned()),
                ("x-amz-date".to_owned(), stamp(now)),
            ];
            headers.extend(
                extra
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            );
            let request = Signing {
                method,
                path,
                query,
                headers: &headers,
                body_hash,
            };
            let value = authorization(&request, &who, "us-east-1", now);
            assert!(value.ends_with(signature), "{method} {path}?{query}: {value}");
        }
    }

    #[test]
    fn raw_1_names_are_encoded_once_and_byte_by_byte() {
        assert_eq!(encode("raw/space=a/é +~", true), "raw/space%3Da/%C3%A9%20%2B~");
        assert_eq!(encode("a/b", false), "a%2Fb");
    }
}
