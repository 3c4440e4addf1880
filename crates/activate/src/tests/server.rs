//! Activation with its threads, against the world of fakes.

use super::{World, runtime};
use crate::{Activation, ActivationConfig, PauseScope};
use kith_types::SpaceId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits until a condition holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
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
