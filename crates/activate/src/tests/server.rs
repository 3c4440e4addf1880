//! Activation with its threads, against the world of fakes.

use super::{World, runtime};
use crate::{Activation, ActivationConfig, Mail, Mailer, PauseScope, SendOutcome, SmtpConfig, SmtpMailer, SmtpTls};
use async_trait::async_trait;
use kith_types::SpaceId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::yield_now();
    }
}

fn start(
    world: &Arc<World>,
    folder: &tempfile::TempDir,
    runtime: &tokio::runtime::Runtime,
    mail: bool,
) -> Arc<Activation> {
    let config = ActivationConfig::new(folder.path().join("ledger.db"), "https://kith.example.com/");
    let mut ports = world.ports();
    if !mail {
        ports.mailer = None;
    }
    Activation::start(&config, ports, world.clone().clock(), runtime.handle().clone()).unwrap()
}

#[test]
fn act_1_without_a_mail_server_sends_wait_and_nothing_is_lost() {
    let (world, runtime, folder) = (World::with_messages(), runtime(), tempfile::tempdir().unwrap());
    world.person(1, Some("p1@example.com"), Some(true));
    world.enter(1);
    let waiting = start(&world, &folder, &runtime, false);
    let reserved = |activation: &Activation| {
        activation.status().unwrap().spaces["main"]
            .sends
            .get("reserved")
            .copied()
    };
    until("reserved", || reserved(&waiting) == Some(2));
    assert!(!waiting.status().unwrap().has_mailer);
    waiting.stop();
    drop(waiting);
    let sending = start(&world, &folder, &runtime, true);
    until("sent", || world.accepted.lock().unwrap().len() == 2);
    until("told", || world.event_names() == ["Email Sent", "Email Sent"]);
    assert_eq!(sending.outbox_passed(&SpaceId::main()).unwrap(), 1);
    sending.stop();
}

#[test]
fn act_6_a_running_server_can_be_paused_and_a_failing_log_loses_no_event() {
    let (world, runtime, folder) = (World::with_messages(), runtime(), tempfile::tempdir().unwrap());
    for person in 1..=20 {
        world.person(person, Some(&format!("p{person}@example.com")), Some(true));
    }
    let activation = start(&world, &folder, &runtime, true);
    activation.pause(PauseScope::All, true).unwrap();
    *world.log_fails.lock().unwrap() = true;
    (1..=20).for_each(|person| world.enter(person));
    activation.notify();
    until("reserved", || {
        activation.status().unwrap().spaces["main"].sends.get("reserved") == Some(&40)
    });
    assert!(world.accepted.lock().unwrap().is_empty());
    activation.pause(PauseScope::All, false).unwrap();
    until("sent", || {
        activation.status().unwrap().spaces["main"].sends.get("accepted") == Some(&40)
    });
    assert_eq!(activation.status().unwrap().feedback_due, 40);
    *world.log_fails.lock().unwrap() = false;
    until("told", || world.event_names().len() == 40);
    until("forgotten", || activation.status().unwrap().feedback_due == 0);
    let mail = world
        .accepted
        .lock()
        .unwrap()
        .iter()
        .find(|mail| mail.unsubscribe_url.is_some())
        .cloned()
        .unwrap();
    let token = mail.unsubscribe_url.unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(token.len(), 43);
    assert!(activation.look_up_token(&token).unwrap().is_some());
    assert!(activation.unsubscribe(&token).unwrap().is_some());
    assert!(activation.unsubscribe("guess").unwrap().is_none());
    until("withdrawn", || {
        world.event_names().contains(&"Email Unsubscribed".to_owned())
    });
    activation.stop();
}

#[test]
fn a_wrong_configuration_is_refused_with_what_to_do() {
    let (world, runtime, folder) = (World::new(), runtime(), tempfile::tempdir().unwrap());
    let config = ActivationConfig::new(folder.path().join("ledger.db"), "kith.example.com");
    let refused = Activation::start(&config, world.ports(), world.clone().clock(), runtime.handle().clone());
    assert!(refused.unwrap_err().to_string().contains("must begin with http"));
}

/// A mail server of its own for one destination; what goes elsewhere is taken by the world.
struct Routes {
    world: Arc<World>,
    dead: SmtpMailer,
}

#[async_trait]
impl Mailer for Routes {
    async fn send(&self, mail: &Mail) -> SendOutcome {
        if mail.to.ends_with("@dead.example") {
            self.dead.send(mail).await
        } else {
            self.world.send(mail).await
        }
    }
}

#[test]
fn act_4_a_server_that_takes_connections_and_never_answers_slows_no_other() {
    let (world, runtime, folder) = (World::new(), runtime(), tempfile::tempdir().unwrap());
    world.define("welcome", &super::marketing());
    // What goes to the dead destination is due first.
    for person in 1..=60 {
        let domain = if person <= 30 { "dead.example" } else { "alive.example" };
        world.person(person, Some(&format!("p{person}@{domain}")), Some(true));
        world.enter(person);
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut smtp = SmtpConfig::new("127.0.0.1", silent.local_addr().unwrap().port(), SmtpTls::None);
    // Nothing but the end of the connection ends an attempt.
    smtp.step_time_max = Duration::from_secs(3_600);
    let mut config = ActivationConfig::new(folder.path().join("ledger.db"), "https://kith.example.com/");
    config.attempt_time_max = Duration::from_secs(3_600);
    let mut ports = world.ports();
    ports.mailer = Some(Arc::new(Routes {
        world: world.clone(),
        dead: SmtpMailer::new(smtp).unwrap(),
    }));
    let clock = world.clone().clock();
    let activation = Activation::start(&config, ports, clock, runtime.handle().clone()).unwrap();
    // Half of the four workers wait for it, and no more of them ever do.
    let waiting = [silent.accept().unwrap().0, silent.accept().unwrap().0];
    until("all others are sent", || {
        activation.status().unwrap().spaces["main"].sends.get("accepted") == Some(&30)
    });
    let stands = activation.status().unwrap().spaces["main"].sends.clone();
    assert_eq!(
        (stands["accepted"], stands["attempting"], stands["reserved"]),
        (30, 2, 28)
    );
    // It breaks off: the destination rests, what was tried is tried again later, and nothing is lost.
    drop(waiting);
    until("put back", || {
        activation.status().unwrap().spaces["main"].sends.get("reserved") == Some(&30)
    });
    activation.stop();
}
