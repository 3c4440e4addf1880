//! Chores of the repository. `cargo xtask check` proves its structure: the layers, who may know DataFusion and Arrow,
//! the length and the header of every file, the style of log lines, that every kept contract has its proof,
//! and that every metric is set.

mod contracts;
mod files;
mod layers;
mod metrics;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a check found: where, and what is wrong there.
type Findings = Vec<String>;

/// Looks at the repository beneath a path.
type Check = fn(&Path) -> Findings;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks through its output"
)]
fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    if wanted.as_deref() != Some("check") {
        eprintln!("usage: cargo xtask check");
        return ExitCode::FAILURE;
    }
    let root = root();
    let checks: [(&str, Check); 4] = [
        ("layers", layers::check),
        ("files", files::check),
        ("contracts", contracts::check),
        ("metrics", metrics::check),
    ];
    let mut failed = 0;
    for (name, check) in checks {
        let findings = check(&root);
        failed += findings.len();
        println!("{name}: {}", if findings.is_empty() { "ok" } else { "FAILED" });
        for finding in findings {
            println!("  {finding}");
        }
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn root() -> PathBuf {
    // The manifest of this package lies one folder below the root. Cargo says where that is when it runs this: where several clones
    // share a target folder, the one that this was compiled in may be another, or gone.
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
        .parent()
        .map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Every file that git knows with one of these endings, as paths below the root.
fn tracked(root: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    let listing = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    listing
        .lines()
        .filter(|line| endings.iter().any(|ending| line.ends_with(ending)))
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect()
}
