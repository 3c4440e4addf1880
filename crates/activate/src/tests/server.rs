//! Activation with its threads, against the world of fakes.

use super::{World, runtime};
use crate::{Activation, ActivationConfig, Mail, Mailer, PauseScope, SendOutcome, SmtpConfig, SmtpMailer, SmtpTls};
use async_trait::async_trait;
use kith_types::SpaceId;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// The world's mail server, which sees whether a mail comes while what became of another is not recorded.
struct Watching {
    world: Arc<World>,
    ledger: PathBuf,
    too_early: Arc<AtomicBool>,
}

#[async_trait]
impl Mailer for Watching {
    async fn send(&self, mail: &Mail) -> SendOutcome {
        const COUNT: &str = "SELECT count(*) > 1 FROM sends WHERE state = 'attempting'";
        let read = beside(&self.ledger).query_row(COUNT, [], |row| row.get(0));
        self.too_early.fetch_or(read.unwrap(), Ordering::SeqCst);
        self.world.send(mail).await
    }
}

/// Another connection to a ledger that is at work.
fn beside(ledger: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(ledger).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection
}

/// Sending by one worker to six that are due, in a ledger that takes everything but what a send came to. It comes back once
/// the first is sent and not recorded; the flag is set where another leaves before.
fn first_is_unrecorded(
    world: &Arc<World>,
    folder: &tempfile::TempDir,
    runtime: &tokio::runtime::Runtime,
) -> (Arc<Activation>, Arc<AtomicBool>) {
    let ledger = folder.path().join("ledger.db");
    for person in 1..=3 {
        world.person(person, Some(&format!("p{person}@example.com")), Some(true));
        world.enter(person);
    }
    let waiting = start(world, folder, runtime, false);
    until("reserved", || count(&waiting, "reserved") == 6);
    waiting.stop();
    const FULL: &str = "CREATE TRIGGER full BEFORE UPDATE ON sends WHEN OLD.state = 'attempting' BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    beside(&ledger).execute_batch(FULL).unwrap();
    let mut config = ActivationConfig::new(&ledger, "https://kith.example.com/");
    config.workers = 1;
    let too_early = Arc::new(AtomicBool::new(false));
    let mut ports = world.ports();
    ports.mailer = Some(Arc::new(Watching {
        world: world.clone(),
        ledger,
        too_early: Arc::clone(&too_early),
    }));
    let clock = world.clone().clock();
    let activation = Activation::start(&config, ports, clock, runtime.handle().clone()).unwrap();
    until("it fails", || activation.status().unwrap().last_error.is_some());
    assert_eq!(
        (count(&activation, "attempting"), count(&activation, "reserved")),
        (1, 5)
    );
    (activation, too_early)
}

fn count(activation: &Activation, state: &str) -> u64 {
    let sends = activation.status().unwrap().spaces["main"].sends.clone();
    sends.get(state).copied().unwrap_or(0)
}

fn there_is_room(folder: &tempfile::TempDir) {
    let ledger = beside(&folder.path().join("ledger.db"));
    ledger.execute_batch("DROP TRIGGER full").unwrap();
}

#[test]
fn act_2_a_worker_sends_nothing_more_before_it_has_recorded_what_it_sent_last() {
    let (world, runtime, folder) = (World::with_messages(), runtime(), tempfile::tempdir().unwrap());
    let (activation, too_early) = first_is_unrecorded(&world, &folder, &runtime);
    there_is_room(&folder);
    until("all are recorded", || count(&activation, "accepted") == 6);
    assert!(!too_early.load(Ordering::SeqCst), "another mail left meanwhile");
    assert_eq!(world.accepted.lock().unwrap().len(), 6);
    until("told", || world.event_names() == ["Email Sent"; 6]);
    activation.stop();
}

#[test]
fn act_2_a_server_that_ends_records_what_it_sent_last_where_it_can_and_else_it_is_unknown() {
    for in_time in [true, false] {
        let (world, runtime, folder) = (World::with_messages(), runtime(), tempfile::tempdir().unwrap());
        let (activation, _) = first_is_unrecorded(&world, &folder, &runtime);
        if in_time {
            there_is_room(&folder);
        }
        activation.stop();
        assert_eq!(count(&activation, "attempting"), u64::from(!in_time), "{in_time}");
        drop(activation);
        if !in_time {
            there_is_room(&folder);
        }
        let next = start(&world, &folder, &runtime, true);
        // The first is marketing, which nobody sends a second time.
        let (accepted, unknown) = if in_time { (6, 0) } else { (5, 1) };
        until("all have ended", || {
            (count(&next, "accepted"), count(&next, "unknown")) == (accepted, unknown)
        });
        assert_eq!(world.accepted.lock().unwrap().len(), 6, "each mail left once");
        next.stop();
    }
}
