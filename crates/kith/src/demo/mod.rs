//! The demo: a server on a folder of its own, a retail world that streams in by the real HTTP door, a mail server beside
//! it, and a shop to open.
//!
//! It uses the server as anybody could: definitions, keys, events and flushing go over HTTP. What it adds is a page with
//! four routes of its own, which no other server has.

mod door;
mod folder;
mod inbox;
mod journey;
mod load;
mod page;
mod stages;
mod summary;
mod truth;

use crate::error::CommandError;
use crate::output::{self, Hint};
use crate::server::{Parts, Server, ServerConfig};
use door::Door;
use folder::DemoFolder;
use inbox::{Inbox, InboxReader};
use kith_telemetry::{LogFormat, init_tracing};
use kith_testkit::world::{World, WorldConfig, default_definitions};
use kith_types::{Clock, SpaceId, SystemClock};
use page::Page;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use summary::{Figures, Held, Whereabouts};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use truth::TruthBook;

/// How long the pipeline may take for what the door has taken.
const FOLDED_WITHIN: Duration = Duration::from_secs(3_600);
/// The source that the shop page sends as.
const SHOP_SOURCE: &str = "web";

/// How a demo is set up.
#[derive(Clone, Debug)]
pub(crate) struct DemoConfig {
    /// Events of the history.
    pub(crate) events: u64,
    /// Where the server listens.
    pub(crate) http: SocketAddr,
    /// The folder, of which an earlier demo's content is deleted.
    pub(crate) data: PathBuf,
    /// What the world grows from.
    pub(crate) seed: u64,
    /// Where the inbox takes mail.
    pub(crate) smtp: SocketAddr,
    /// Where the inbox shows it.
    pub(crate) inbox: SocketAddr,
    /// Whether it ends after the summary.
    pub(crate) exits_when_loaded: bool,
}

/// Runs a demo until it is loaded, or until the operator ends it.
///
/// # Errors
/// A folder or an address that cannot be used, and whatever the server refuses.
pub(crate) async fn run(config: DemoConfig) -> Result<(), CommandError> {
    let filter = std::env::var("KITH_LOG").unwrap_or_else(|_| "warn".to_owned());
    init_tracing(LogFormat::Human, &filter)
        .map_err(|error| CommandError::caused("the logs cannot be set up by KITH_LOG", error))?;
    if !config.http.ip().is_loopback() {
        output::note("the demo's page needs no key: whoever reaches this machine sees what its visitors do");
    }
    let stopping = listen_for_signals()?;
    let folder = DemoFolder::prepare(&config.data)?;
    let mut inbox = Inbox::start(config.smtp, config.inbox, &folder.path).await?;
    let write_key = Arc::new(OnceLock::new());
    let page = Page {
        write_key: Arc::clone(&write_key),
        inbox: inbox.as_ref().map(|inbox| inbox.reader.clone()),
        stopping: stopping.clone(),
    };
    let reader = page.inbox.clone();
    let server = start_server(&config, &folder.path, page).await?;
    let mut asked = stopping.clone();
    let outcome = tokio::select! {
        outcome = Box::pin(show(&config, &folder.path, &server, &mut inbox, reader, &write_key)) => outcome,
        _ = asked.wait_for(|asked| *asked > 0) => match config.exits_when_loaded {
            true => Err(CommandError::new("ended by a signal before the world was loaded")),
            false => Ok(()),
        },
    };
    if !config.exits_when_loaded || outcome.is_err() {
        output::note("ending: everything is committed first");
    }
    let ended = end(server, inbox, stopping).await;
    outcome.and(ended)
}

/// Everything that is shown; returns when the demo is to end.
async fn show(
    config: &DemoConfig,
    folder: &Path,
    server: &Server,
    inbox: &mut Option<Inbox>,
    reader: Option<InboxReader>,
    write_key: &OnceLock<String>,
) -> Result<(), CommandError> {
    if let Some(inbox) = inbox {
        inbox.ready(config.smtp).await?;
    }
    let space = SpaceId::main();
    let admin_key = admin_key(server)?;
    let mut door = Door::new(server.address, admin_key.clone(), space.clone())?;
    door.open(default_definitions()).await?;
    if let Some(key) = door.write_key(SHOP_SOURCE) {
        // It is set once: this is the only place that sets it.
        let _only = write_key.set(key.to_owned());
    }
    let world = WorldConfig::new(config.seed, config.events, SystemClock.now());
    let truth = folder.join("truth.jsonl");
    let figures = Box::pin(load(server, &door, &world, &truth, &space, reader.as_ref())).await?;
    let program = std::env::current_exe().ok();
    let whereabouts = Whereabouts {
        url: format!("http://{}", server.address),
        admin_key,
        inbox_url: reader.as_ref().map(InboxReader::url),
        program_folder: program.and_then(|path| Some(path.parent()?.to_string_lossy().into_owned())),
        truth: truth.display().to_string(),
    };
    summary::print(&figures, &whereabouts)?;
    if config.exits_when_loaded {
        return Ok(());
    }
    output::note("Meanwhile the same people go on living, a few events a second. Ctrl-C ends the demo.");
    load::present(door, world).await;
    std::future::pending().await
}

/// Streams the history in and reads what became of it.
async fn load(
    server: &Server,
    door: &Door,
    world: &WorldConfig,
    truth: &Path,
    space: &SpaceId,
    reader: Option<&InboxReader>,
) -> Result<Figures, CommandError> {
    let began = Instant::now();
    let (taken, book) = load::history(door, world.clone(), truth.to_owned()).await?;
    let parts = Arc::clone(&server.parts);
    let folded = move || {
        let end = parts.log.durable_end();
        parts.pipeline.wait_committed(end, FOLDED_WITHIN) && parts.pipeline.wait_swept(FOLDED_WITHIN)
    };
    if !blocking(folded).await? {
        let hint = Hint::new("the lines above, or `kith status`, say what holds it up");
        return Err(CommandError::caused(
            "the pipeline has not taken the world's events",
            hint,
        ));
    }
    let seconds = began.elapsed();
    door.flush().await?;
    let tables = began.elapsed().saturating_sub(seconds);
    let (parts, asked) = (Arc::clone(&server.parts), space.clone());
    let (score, held) = blocking(move || read(book, &parts, &asked)).await??;
    let mails = match reader {
        Some(reader) => reader.count().await,
        None => None,
    };
    Ok(Figures {
        world: World::new(world.clone()).summary(),
        taken,
        seconds,
        tables,
        score,
        mails,
        held,
    })
}

fn read(book: TruthBook, parts: &Parts, space: &SpaceId) -> Result<(kith_testkit::world::Score, Held), CommandError> {
    let score = book.score(parts, space)?;
    Ok((score, Held::read(parts, space)?))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CommandError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| CommandError::caused("the demo could not read its server", error))
}

async fn start_server(config: &DemoConfig, folder: &Path, page: Page) -> Result<Server, CommandError> {
    let mut server = ServerConfig::new(folder.to_owned(), config.http);
    server.admin_key = given_admin_key();
    server.smtp.address = page.inbox.is_some().then(|| config.smtp.to_string());
    Server::start(server, Some(Box::new(move |parts| page.routes(parts))))
        .await
        .map_err(|error| {
            let hint =
                "where another program has the address, name a free one: make demo DEMO=\"--http 127.0.0.1:8090\"";
            CommandError::caused("the demo's server cannot start", Hint::caused(hint, error))
        })
}

fn given_admin_key() -> Option<String> {
    std::env::var("KITH_ADMIN_KEY").ok().filter(|key| !key.is_empty())
}

fn admin_key(server: &Server) -> Result<String, CommandError> {
    let key = given_admin_key().or_else(|| server.new_admin_key.clone());
    key.ok_or_else(|| CommandError::new("the demo's server made no administrator's key"))
}

/// Counts the requests to end: the first ends everything in order, the second at once.
fn listen_for_signals() -> Result<watch::Receiver<u32>, CommandError> {
    let listen = |kind| signal(kind).map_err(|error| CommandError::caused("signals cannot be listened for", error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (asked, stopping) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            asked.send_modify(|times| *times += 1);
        }
    });
    Ok(stopping)
}

/// Ends the server, then the inbox, so that what is being sent can still be.
fn end(
    server: Server,
    inbox: Option<Inbox>,
    mut stopping: watch::Receiver<u32>,
) -> impl Future<Output = Result<(), CommandError>> {
    Box::pin(async move {
        let asked = *stopping.borrow();
        let closing = async {
            server.stop().await;
            if let Some(inbox) = inbox {
                inbox.stop().await;
            }
        };
        tokio::select! {
            () = closing => Ok(()),
            // The first request to end was served, so the one after it is the impatient one.
            _ = stopping.wait_for(|times| *times > asked.max(1)) => Err(CommandError::new("ended at once by a second signal")),
        }
    })
}
