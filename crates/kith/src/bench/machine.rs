//! The machine and the measured process, as Linux tells of them under `/proc`.
//!
//! Figures mean little without the machine; where a file cannot be read, it says so rather than guessing.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The ticks of `/proc/PID/stat` in a second: the kernel's fixed unit towards user space.
const TICKS_A_SECOND: u64 = 100;
const UNKNOWN: &str = "unknown";

/// What figures were measured on.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    file_system: String,
    build: &'static str,
}

impl Machine {
    /// This machine, with the file system that a folder is on.
    pub(super) fn here(folder: &Path) -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: field(&cpus, "model name").unwrap_or(UNKNOWN).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: round(kibibytes(&memory, "MemTotal") / 1_048_576.0),
            kernel: kernel.trim().to_owned(),
            file_system: file_system(folder),
            build: build(),
        }
    }

    /// The machine in a sentence.
    pub(super) fn summary(&self) -> String {
        format!(
            "{}, {} cores shared by server and load generator, {} GiB, Linux {}, {}; {}",
            self.cpu, self.cores, self.memory_gib, self.kernel, self.file_system, self.build
        )
    }
}

/// How this program was compiled.
pub(super) fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "development profile, with checks"
    } else {
        "optimised profile"
    }
}

/// CPU time that a process has used, user and system, to 10 ms; `None` where there is no such process.
pub(super) fn cpu_time(process: u32) -> Option<Duration> {
    cpu_of(&format!("/proc/{process}/stat"))
}

/// CPU time of the running threads of a process, by what they are called, to 10 ms a thread.
pub(super) fn cpu_by_thread(process: u32) -> BTreeMap<String, Duration> {
    let mut threads: BTreeMap<String, Duration> = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let folder = thread.path();
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        // A thread may end while it is looked at.
        let used = cpu_of(&folder.join("stat").to_string_lossy()).unwrap_or_default();
        *threads.entry(name.trim().to_owned()).or_default() += used;
    }
    threads
}

fn cpu_of(stat: &str) -> Option<Duration> {
    let stat = fs::read_to_string(stat).ok()?;
    // The name of the process stands in parentheses and may hold blanks.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_A_SECOND))
}

/// Resident memory of a process in MiB, now and at its highest.
pub(super) fn resident(process: u32) -> Option<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some((
        round(kibibytes(&status, "VmRSS") / 1_024.0),
        round(kibibytes(&status, "VmHWM") / 1_024.0),
    ))
}

/// MiB of the files below a folder.
#[expect(clippy::cast_precision_loss, reason = "a size is shown with a few places")]
pub(super) fn disk(folder: &Path) -> f64 {
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0_u64;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => bytes += found.len(),
                // Files come and go while the server runs.
                Err(_) => {}
            }
        }
    }
    round(bytes as f64 / 1_048_576.0)
}

/// To one place.
pub(super) fn round(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .into_iter()
        .find(|(found, _)| found.trim() == name)
        .map(|(_, value)| value.trim())
}

fn kibibytes(text: &str, name: &str) -> f64 {
    field(text, name)
        .and_then(|value| value.split(' ').next()?.parse().ok())
        .unwrap_or(0.0)
}

/// The kind of the file system that holds a folder: the longest mount that leads to it.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(mount, _)| folder.starts_with(mount));
    holding
        .max_by_key(|(mount, _)| mount.len())
        .map_or(UNKNOWN, |(_, kind)| kind)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_measured() {
        let own = std::process::id();
        let before = cpu_time(own).unwrap();
        let mut sum = 0_u64;
        while cpu_time(own).unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box((0..10_000_u64).fold(sum, |sum, step| sum.wrapping_mul(31) ^ step));
        }
        let (now, highest) = resident(own).unwrap();
        assert!(now > 0.0 && highest >= now);
        assert_eq!(cpu_time(u32::MAX), None);
        let threads = cpu_by_thread(own);
        assert!(
            !threads.is_empty(),
            "a process has threads, however little each has run"
        );
    }

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("a")).unwrap();
        fs::write(home.path().join("a/b"), vec![1; 1_572_864]).unwrap();
        assert!((disk(home.path()) - 1.5).abs() < 1e-9);
        assert_ne!(file_system(home.path()), UNKNOWN);
    }
}
