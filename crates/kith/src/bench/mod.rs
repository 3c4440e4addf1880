//! The benches: each starts a server of its own on an empty folder, drives it over loopback, and gives figures.
//!
//! Server CPU is the CPU time of the server's process, user and system; the load generator is this process and is left
//! out of it, though both share the machine's cores. Each bench is a function that carries the id of the promise whose
//! figure it measures. None of them changes anything outside the folder it is given.

mod collection;
mod drafts;
mod due_times;
mod http;
mod identity;
mod latency;
mod load;
mod looking_back;
mod machine;
mod many_definitions;
mod many_segments;
mod membership;
mod new_rules;
mod reads;
mod report;
mod server;
mod state_size;
mod touches;
mod whole_path;

use crate::error::CommandError;
use crate::output;
use clap::{Args, ValueEnum};
use kith_testkit::world::WorldConfig;
use kith_types::{Clock, SystemClock};
use machine::Machine;
use report::Figures;
use server::MeasuredServer;
use std::path::PathBuf;
use std::time::Duration;

/// What `kith bench` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchSubject {
    /// Durable collection alone: batches of 100, 32 connections.
    CollectBatch,
    /// Durable collection alone: single events, 64 connections.
    CollectSingle,
    /// From the door to profile, segment and clean zone.
    EndToEnd,
    /// The same with 200 segments and 50 computed traits.
    ManySegments,
    /// From the acknowledgement to the membership, at half the load that end to end can sustain.
    MembershipLatency,
    /// Reads of profiles: 5,000 a second, 64 connections.
    ProfileRead,
    /// Who is who, scored against the world's truth.
    Identity,
    /// Sizes of drafts over so many profiles, exact and estimated.
    DraftSize,
    /// A segment of a count and a sequence, applied after the world's events.
    Backfill,
    /// Rules of identity that give everybody another id, applied after the world's events.
    NewRules,
    /// Explanations, why, and people as of a past instant: 100 a second.
    LookingBack,
    /// Transitions that happen because time passes, one by one and all of `--profiles` at one instant.
    DueTimes,
    /// Bytes of the live state for a person and for an event, by the stopped server's rows.
    StateSize,
    /// All of these.
    All,
}

/// Flags of `kith bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// What is measured.
    #[arg(value_enum, default_value_t = BenchSubject::All)]
    subject: BenchSubject,
    /// How many events of the demonstration world are sent end to end.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    events: u64,
    /// How many events of the demonstration world there are to a person.
    #[arg(long, default_value_t = 25, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    events_per_person: u32,
    /// How many profiles there are to read.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    profiles: u64,
    /// How long a bench without an end of its own measures, after a fifth of that to warm up.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// What the world grows from: the same seed gives the same world.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// The folder for what the measured servers keep, on the disk to be measured; it is deleted at the end.
    #[arg(long, default_value = ".", value_name = "DIR")]
    data: PathBuf,
    /// The program whose `serve` is measured; this one unless given.
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// A run: what is asked, and where.
struct Bench {
    program: PathBuf,
    folder: tempfile::TempDir,
    events: u64,
    events_per_person: u32,
    profiles: u64,
    lasts: Duration,
    seed: u64,
}

impl Bench {
    /// A new server for a bench.
    async fn server(&self, name: &str, roles: Option<&str>) -> Result<MeasuredServer, CommandError> {
        output::note(&format!("{name}: starting a server"));
        MeasuredServer::start(&self.program, &self.folder.path().join(name), roles).await
    }

    /// A world that ends now.
    fn world(&self, events: u64) -> WorldConfig {
        let mut world = WorldConfig::new(self.seed, events, SystemClock.now());
        world.events_per_person = self.events_per_person;
        world
    }

    fn warms_up(&self) -> Duration {
        self.lasts / 5
    }

    async fn run(&self, subject: BenchSubject) -> Result<Figures, CommandError> {
        match subject {
            BenchSubject::CollectBatch => collection::col_3_batches_of_100(self).await,
            BenchSubject::CollectSingle => collection::col_3_single_events(self).await,
            BenchSubject::EndToEnd | BenchSubject::All => whole_path::seg_3_whole_path(self).await,
            BenchSubject::ManySegments => many_segments::seg_2_many_segments(self).await,
            BenchSubject::MembershipLatency => membership::seg_3_acknowledged_to_membership(self).await,
            BenchSubject::ProfileRead => reads::api_1_profile_reads(self).await,
            BenchSubject::NewRules => new_rules::seg_2_new_rules(self).await,
            BenchSubject::LookingBack => looking_back::seg_6_looking_back(self).await,
            BenchSubject::Identity => identity::idn_2_precision_and_recall(self).await,
            BenchSubject::DraftSize => drafts::seg_7_draft_sizes(self).await,
            BenchSubject::Backfill => drafts::seg_4_backfill(self).await,
            BenchSubject::DueTimes => due_times::seg_2_due_times(self).await,
            BenchSubject::StateSize => state_size::pro_5_live_state(self).await,
        }
    }
}

/// Measures and prints.
///
/// # Errors
/// A server that does not start or refuses what it is sent.
pub(crate) async fn run(args: BenchArgs) -> Result<(), CommandError> {
    let own = || std::env::current_exe().map_err(|error| CommandError::caused("this program cannot be found", error));
    let folder = tempfile::Builder::new().prefix("kith-bench-").tempdir_in(&args.data);
    let folder =
        folder.map_err(|error| CommandError::caused(format!("{} cannot be used", args.data.display()), error))?;
    let machine = Machine::here(folder.path());
    let bench = Bench {
        program: args.server.map_or_else(own, Ok)?,
        folder,
        events: args.events,
        events_per_person: args.events_per_person,
        profiles: args.profiles,
        lasts: Duration::from_secs(args.seconds),
        seed: args.seed,
    };
    let subjects = match args.subject {
        BenchSubject::All => vec![
            BenchSubject::CollectBatch,
            BenchSubject::CollectSingle,
            BenchSubject::EndToEnd,
            BenchSubject::ManySegments,
            BenchSubject::MembershipLatency,
            BenchSubject::ProfileRead,
            BenchSubject::Identity,
            BenchSubject::DraftSize,
            BenchSubject::Backfill,
            BenchSubject::NewRules,
            BenchSubject::LookingBack,
            BenchSubject::DueTimes,
            BenchSubject::StateSize,
        ],
        one => vec![one],
    };
    let mut figures = Vec::new();
    for subject in subjects {
        figures.extend(bench.run(subject).await?.taken);
    }
    report::print(&machine, &bench.world(bench.events).summary(), &figures, args.json)
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn figure(count: u64) -> f64 {
    count as f64
}
