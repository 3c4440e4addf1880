//! The `kith` binary: reads the command line, runs one command, and says on standard error what went wrong.
//!
//! Exit status 0 means success and nothing else does. It decides nothing itself: commands are in [`commands`], the
//! server in [`server`].

mod bench;
mod cli;
mod client;
mod commands;
mod demo;
mod error;
mod fields;
mod output;
mod progress;
mod server;
mod table;

#[cfg(test)]
mod documentation;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::failure(&error::CommandError::caused(
                "the threads of the process cannot be started",
                error,
            ));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(cli.run());
    // Whoever waits in a read of the terminal or of a slow disk must not hold the end of the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}
