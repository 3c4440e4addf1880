//! The command line: every command with its flags, and which module runs it.
//!
//! Scripts rely on it: names, `--json` and exit statuses stay. It decides nothing; what a command does is in its module
//! under [`crate::commands`].

use crate::client::{Client, Reach};
use crate::commands::{
    account, bench, definitions, demo, destinations, doctor, identity, import, keys, messages, operations, profile,
    replay, segment, serve, source, space, sql, tail,
};
use crate::error::CommandError;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// An open customer data platform.
///
/// `kith serve` runs a server; every other command but `demo` and `bench` speaks to one. KITH_URL names it and KITH_KEY
/// (or KITH_ADMIN_KEY) holds an API key. The exit status is 0 on success only.
#[derive(Parser, Debug)]
#[command(name = "kith", version, max_term_width = 110, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs a server.
    Serve(serve::ServeArgs),
    /// Runs a server on a demonstration world that streams in, with an inbox and a shop to open.
    Demo(DemoArgs),
    /// Measures this machine with the demonstration world.
    Bench(bench::BenchArgs),
    /// Spaces: tenants of the server.
    #[command(subcommand)]
    Space(space::SpaceCommand),
    /// Sources: what sends events, each with a write key.
    #[command(subcommand)]
    Source(source::SourceCommand),
    /// API keys.
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Shows what applying definitions would change.
    Plan(definitions::PlanArgs),
    /// Applies definitions: sources, rules, computed traits, segments, messages, destinations.
    Apply(definitions::ApplyArgs),
    /// Writes the definitions that hold now, as YAML.
    Export(definitions::ExportArgs),
    /// Imports history from CSV, JSON Lines or Parquet by a mapping file.
    Import(import::ImportArgs),
    /// People.
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Accounts: what `group` calls say of companies, teams, households.
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Who is who: why, what if, vetoes.
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// Segments.
    #[command(subcommand)]
    Segment(segment::SegmentCommand),
    /// Runs SQL over all tables.
    Sql(sql::SqlArgs),
    /// Follows events, rejects, membership changes and messages as they happen.
    Tail(tail::TailArgs),
    /// Seals and commits everything that has arrived, and returns when all tables show it.
    Flush(operations::FlushArgs),
    /// The raw zone.
    #[command(subcommand)]
    Raw(operations::RawCommand),
    /// Replays the raw zone into fresh state and compares it with the live one.
    Rebuild(operations::RebuildArgs),
    /// Puts rejects through again after their cause is mended.
    Replay(replay::ReplayArgs),
    /// Lag and freshness of every stage.
    Status(operations::StatusArgs),
    /// Messages to people.
    #[command(subcommand)]
    Messages(messages::MessagesCommand),
    /// Other systems that are told who enters and leaves segments.
    #[command(subcommand)]
    Destinations(destinations::DestinationsCommand),
    /// Checks that everything works, and says what to do where it does not.
    Doctor(doctor::DoctorArgs),
}

/// Flags of `kith demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// How many events of the past stream in.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(crate) events: u64,
    /// Where the server listens.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) http: SocketAddr,
    /// The folder for everything that the server keeps.
    #[arg(long, default_value = "./kith-demo", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// What the world grows from: the same seed gives the same world.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// The SMTP address of the inbox that mails go to; 127.0.0.1:1025 unless given.
    #[arg(long, value_name = "ADDR")]
    pub(crate) inbox: Option<SocketAddr>,
    /// The address of the inbox's web page; 127.0.0.1:1080 unless given.
    #[arg(long, value_name = "ADDR")]
    pub(crate) inbox_web: Option<SocketAddr>,
    /// Ends once the world is loaded and the summary printed.
    #[arg(long)]
    pub(crate) exit_when_loaded: bool,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// Why it failed, in words for the operator.
    pub(crate) async fn run(self) -> Result<(), CommandError> {
        let client = || Client::new(&self.reach);
        match self.command {
            Command::Serve(args) => Box::pin(serve::run(args)).await,
            Command::Demo(args) => Box::pin(demo::run(args)).await,
            Command::Bench(args) => Box::pin(bench::run(args)).await,
            Command::Space(command) => space::run(&client()?, command).await,
            Command::Source(command) => source::run(&client()?, command).await,
            Command::Key(command) => keys::run(&client()?, command).await,
            Command::Plan(args) => definitions::plan(&client()?, &args).await,
            Command::Apply(args) => definitions::apply(&client()?, &args).await,
            Command::Export(args) => definitions::export(&client()?, &args).await,
            Command::Import(args) => Box::pin(import::run(&client()?, args)).await,
            Command::Profile(command) => profile::run(&client()?, command).await,
            Command::Account(command) => account::run(&client()?, command).await,
            Command::Identity(command) => identity::run(&client()?, command).await,
            Command::Segment(command) => segment::run(&client()?, command).await,
            Command::Sql(args) => sql::run(&client()?, &args).await,
            Command::Tail(args) => tail::run(&client()?, &args).await,
            Command::Flush(args) => operations::flush(&client()?, &args).await,
            Command::Raw(command) => operations::raw(&client()?, &command).await,
            Command::Rebuild(args) => operations::rebuild(&client()?, &args).await,
            Command::Replay(args) => replay::run(&client()?, &args).await,
            Command::Status(args) => operations::status(&client()?, &args).await,
            Command::Messages(command) => messages::run(&client()?, command).await,
            Command::Destinations(command) => destinations::run(&client()?, command).await,
            Command::Doctor(args) => doctor::run(&client()?, &args).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_that_scripts_rely_on_is_read() {
        Cli::command().debug_assert();
        for line in [
            "serve --data d --http 127.0.0.1:0 --roles collect,api --config c.yaml",
            "source create web --json",
            "space limits main --events-per-second 500 --burst-events none --sources 20 --json",
            "apply -f definitions",
            "plan -f definitions",
            "import orders.csv --source shop --map orders.yaml",
            "profile get email:jo@example.com --json",
            "account get acme --verbose --json",
            "segment members just_bought --json",
            "identity why user_id:u email:jo@example.com --json",
            "identity what-if --rules r.yaml --without 0-0-42-0 email:jo@example.com --around user_id:u",
            "identity veto 0-0-42-0 email:jo@example.com --reason mistyped",
            "identity unmerge user_id:a user_id:b --remove",
            "identity vetoes --space main",
            "tail",
            "flush",
            "raw verify",
            "rebuild --verify",
            "rebuild --accept-loss 0-0-120-140 --reason no-copy",
            "serve --data d --accept-loss 0-0-120-140",
            "doctor",
            "replay --rejects --source web --reason event_too_large --event-bytes 65536 --json",
            "bench end-to-end --events 1000 --seconds 5 --json",
            "demo --events 5 --http 127.0.0.1:0 --data d --seed 3 --exit-when-loaded",
        ] {
            let words = std::iter::once("kith").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        assert!(Cli::try_parse_from(["kith", "sql", "select 1", "--json"]).is_ok());
        assert!(Cli::try_parse_from(["kith", "source", "create", "web", "--space", "Not A Space"]).is_err());
    }
}
