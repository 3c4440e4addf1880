//! The form of mails.

use super::{Mail, mask_address, normalise_address, one_line};
use kith_types::Timestamp;

fn mail() -> Mail {
    Mail {
        from: "Kith Shop <shop@example.com>".parse().unwrap(),
        reply_to: None,
        to: "jo@example.com".into(),
        subject: "Grüße\r\nBcc: all@example.com".into(),
        html: Some("<p>Grüße</p>".into()),
        text: Some("Grüße".into()),
        message_id: "<kith.0123@example.com>".into(),
        unsubscribe_url: Some(format!("https://kith.example.com/u/{}", "a".repeat(120))),
        date: Timestamp::from_millis(1_800_000_000_000),
    }
}

#[test]
fn act_6_marketing_carries_one_click_unsubscribe_by_rfc_8058() {
    let text = String::from_utf8(mail().to_message().unwrap().formatted()).unwrap();
    let link = format!("List-Unsubscribe: <https://kith.example.com/u/{}>\r\n", "a".repeat(120));
    assert!(text.contains(&link), "unfolded and unencoded: {text}");
    assert!(text.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
    assert!(text.contains("Message-ID: <kith.0123@example.com>\r\n"));
    assert!(text.contains("multipart/alternative") && text.contains("text/plain") && text.contains("text/html"));
    let receipt = Mail {
        unsubscribe_url: None,
        ..mail()
    };
    let text = String::from_utf8(receipt.to_message().unwrap().formatted()).unwrap();
    assert!(!text.contains("List-Unsubscribe"));
}

#[test]
fn act_5_a_subject_cannot_add_headers() {
    let text = String::from_utf8(mail().to_message().unwrap().formatted()).unwrap();
    assert!(!text.to_lowercase().contains("\r\nbcc:"), "{text}");
    assert_eq!(one_line(" a\r\n\tb\u{0}c "), "a b c");
}

#[test]
fn addresses_are_normalised_and_masked() {
    assert_eq!(normalise_address(" Jo@Example.COM "), Some("jo@example.com".into()));
    for wrong in [
        "",
        "jo",
        "jo@",
        "@example.com",
        "a b@example.com",
        "jo@example.com\r\nBcc: x@y.z",
    ] {
        assert_eq!(normalise_address(wrong), None, "{wrong:?}");
    }
    assert_eq!(mask_address("jo@example.com"), "j…@example.com");
}
