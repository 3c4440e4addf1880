//! `kith demo`: from flags to [`crate::demo`], which does the work.

use crate::cli::DemoArgs;
use crate::demo::{self, DemoConfig};
use crate::error::CommandError;
use std::net::{Ipv4Addr, SocketAddr};

/// Where the inbox takes and shows mail unless flags say otherwise: the ports that MailDev is known by.
const SMTP_PORT: u16 = 1_025;
const WEB_PORT: u16 = 1_080;

/// Runs a demo.
///
/// # Errors
/// As [`demo::run`].
pub(crate) async fn run(args: DemoArgs) -> Result<(), CommandError> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    demo::run(DemoConfig {
        events: args.events,
        http: args.http,
        data: args.data,
        seed: args.seed,
        smtp: args.inbox.unwrap_or_else(|| local(SMTP_PORT)),
        inbox: args.inbox_web.unwrap_or_else(|| local(WEB_PORT)),
        exits_when_loaded: args.exit_when_loaded,
    })
    .await
}
