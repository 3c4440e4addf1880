//! What the conversation with a mail server comes to, against a server that plays a script.

use super::{SmtpConfig, SmtpMailer, SmtpTls};
use crate::{Mail, Mailer, SendOutcome};
use kith_types::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Where the server does something else than accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Accept,
    AtGreeting(&'static str),
    AtRecipient(&'static str),
    AtSender(&'static str),
    AfterContent(&'static str),
    CloseAtRecipient,
    CloseAfterContent,
}

async fn serve(stream: TcpStream, script: Script) -> Option<usize> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut taken = 0;
    if let Script::AtGreeting(reply) = script {
        writer.write_all(reply.as_bytes()).await.ok()?;
        return Some(0);
    }
    writer.write_all(b"220 ready\r\n").await.ok()?;
    while let Some(line) = lines.next_line().await.ok()? {
        let reply = match (line.split([' ', ':']).next()?, script) {
            ("MAIL", Script::AtSender(reply)) | ("RCPT", Script::AtRecipient(reply)) => reply,
            ("RCPT", Script::CloseAtRecipient) => return Some(taken),
            ("EHLO", _) => "250-fake\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            ("DATA", _) => {
                writer.write_all(b"354 go on\r\n").await.ok()?;
                while lines.next_line().await.ok()?? != "." {}
                match script {
                    Script::AfterContent(reply) => reply,
                    Script::CloseAfterContent => return Some(taken),
                    _ => {
                        taken += 1;
                        "250 2.0.0 queued\r\n"
                    }
                }
            }
            ("QUIT", _) => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        writer.write_all(reply.as_bytes()).await.ok()?;
    }
    Some(taken)
}

fn mail() -> Mail {
    Mail {
        from: "shop@example.com".parse().unwrap(),
        reply_to: None,
        to: "jo@example.com".into(),
        subject: "Hello".into(),
        html: None,
        text: Some("Hello\r\n.\r\nthere".into()),
        message_id: "<kith.1@example.com>".into(),
        unsubscribe_url: None,
        date: Timestamp::from_millis(1_800_000_000_000),
    }
}

async fn outcome_of(script: Script) -> SendOutcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move { serve(listener.accept().await.unwrap().0, script).await });
    let mailer = SmtpMailer::new(SmtpConfig::new("127.0.0.1", port, SmtpTls::None)).unwrap();
    let outcome = mailer.send(&mail()).await;
    drop(mailer);
    server.await.unwrap();
    outcome
}

/// An outcome in one word and a code.
fn short(outcome: &SendOutcome) -> (&'static str, u16) {
    match outcome {
        SendOutcome::Accepted(_) => ("accepted", 0),
        SendOutcome::Rejected {
            permanent: true, code, ..
        } => ("refused", *code),
        SendOutcome::Rejected {
            permanent: false, code, ..
        } => ("refused for now", *code),
        SendOutcome::NotSent(_) => ("not sent", 0),
        SendOutcome::Unknown(_) => ("unknown", 0),
    }
}

#[test]
fn act_2_what_a_failure_means_depends_on_whether_the_content_was_sent() {
    let runtime = crate::tests::runtime();
    for (script, expected) in [
        (Script::Accept, ("accepted", 0)),
        (Script::AtGreeting("554 no\r\n"), ("not sent", 0)),
        (Script::AtGreeting("421 busy\r\n"), ("not sent", 0)),
        (Script::AtSender("530 5.7.0 log in\r\n"), ("not sent", 0)),
        (Script::AtRecipient("550 5.1.1 unknown\r\n"), ("refused", 550)),
        (Script::AtRecipient("451 4.7.1 later\r\n"), ("refused for now", 451)),
        (Script::CloseAtRecipient, ("not sent", 0)),
        (Script::AfterContent("554 5.7.1 spam\r\n"), ("refused", 554)),
        (Script::AfterContent("452 4.2.2 full\r\n"), ("refused for now", 452)),
        (Script::CloseAfterContent, ("unknown", 0)),
    ] {
        assert_eq!(short(&runtime.block_on(outcome_of(script))), expected, "{script:?}");
    }
}

#[test]
fn act_2_nobody_listening_means_not_sent() {
    crate::tests::runtime().block_on(async {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let mailer = SmtpMailer::new(SmtpConfig::new("127.0.0.1", port, SmtpTls::None)).unwrap();
        assert!(matches!(mailer.send(&mail()).await, SendOutcome::NotSent(_)));
    });
}

#[test]
fn a_connection_serves_several_mails() {
    crate::tests::runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move { serve(listener.accept().await.unwrap().0, Script::Accept).await });
        let mailer = SmtpMailer::new(SmtpConfig::new("127.0.0.1", port, SmtpTls::None)).unwrap();
        for _ in 0..3 {
            assert!(matches!(mailer.send(&mail()).await, SendOutcome::Accepted(_)));
        }
        drop(mailer);
        assert_eq!(server.await.unwrap(), Some(3));
    });
}

#[test]
fn a_mail_server_is_read_from_a_url() {
    let read = |text: &str| {
        SmtpConfig::from_url(text).map(|config| (config.host, config.port, config.tls, config.credentials))
    };
    assert_eq!(
        read("smtp://127.0.0.1:1025").unwrap(),
        ("127.0.0.1".into(), 1025, SmtpTls::None, None)
    );
    let secret = Some(("a@b".into(), "p/w".into()));
    assert_eq!(
        read("smtps://a%40b:p%2Fw@mail.example.com").unwrap(),
        ("mail.example.com".into(), 465, SmtpTls::Implicit, secret)
    );
    assert_eq!(read("smtp+starttls://mail.example.com").unwrap().1, 587);
    for wrong in [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://user:secret@mail.example.com",
        "smtp://",
        // One of user and password without the other.
        "smtps://user@mail.example.com",
        "smtps://user:@mail.example.com",
        "smtps://:secret@mail.example.com",
        "smtp+starttls://:secret@mail.example.com",
    ] {
        let error = read(wrong).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
