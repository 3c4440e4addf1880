//! Start-up: finds what of the folder stands, cuts the tail, quarantines what is damaged.
//!
//! The tail is everything after the last group known durable, and only the newest segment can have one: a segment that
//! has a successor was durable up to the successor's first sequence. Never removes a byte that was known durable
//! without keeping a copy, and never stops because of damage.

use crate::config::{LogConfig, RecoveryReport};
use crate::disk::{Disk, DiskFile};
use crate::error::{ErrorKind, Gap, GapCause, LogError};
use crate::format::{self, QUARANTINE_DIR};
use crate::segment::{self, Footer, GroupHeader, HeaderState, Scan, Seed, SegmentHeader};
use crate::table::{Segment, Table};
use kith_telemetry::Counter;
use kith_types::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The passing name of a file that is being written.
const PART_FILE: &str = "PART";

/// How much is read at a time from a file that cannot be read whole.
const LENIENT_BLOCK_BYTES: usize = 64 * 1024;

/// No record is smaller, its frame included: bounds how many a damaged file may have held.
const RECORD_BYTES_MIN: u64 = 8;

/// What start-up found.
pub(crate) struct Recovered {
    pub(crate) table: Table,
    pub(crate) last_received_at: Timestamp,
    pub(crate) next_ordinal: u64,
    /// Files that hold nothing and may be removed once the log has another segment.
    pub(crate) empty: Vec<String>,
    pub(crate) report: RecoveryReport,
}

/// A segment file as its ends describe it.
struct Candidate {
    name: String,
    ordinal: u64,
    first_sequence: u64,
    header: Option<SegmentHeader>,
    footer: Option<Footer>,
    file: Arc<dyn DiskFile>,
    length: u64,
}

impl Candidate {
    /// Whether its header was durable once: a whole one says so, and so does any byte behind a damaged one.
    fn was_begun(&self) -> bool {
        self.header.is_some() || self.length > segment::SEGMENT_HEADER_BYTES as u64
    }
}

struct Recovery<'a> {
    config: &'a LogConfig,
    disk: &'a dyn Disk,
    salt: u64,
    verify_from: usize,
    found: Recovered,
}

/// Reads the folder. `salt` is from its `FORMAT` file.
///
/// # Errors
/// [`ErrorKind::Format`] for segments of a format or log that this one cannot serve; [`ErrorKind::Unavailable`] when the
/// folder cannot be read or the newest segment cannot be made durable.
pub(crate) fn recover(config: &LogConfig, disk: &dyn Disk, salt: u64) -> Result<Recovered, LogError> {
    let candidates = list_segments(config, disk, salt)?;
    let mut budget = config.verify_bytes;
    let mut verify_from = candidates.len();
    while verify_from > 0 && budget > 0 {
        verify_from -= 1;
        budget = budget.saturating_sub(candidates[verify_from].length);
    }
    let found = Recovered {
        table: Table::default(),
        last_received_at: Timestamp::MIN,
        next_ordinal: candidates.last().map_or(1, |last| last.ordinal + 1),
        empty: Vec::new(),
        report: RecoveryReport::default(),
    };
    let mut recovery = Recovery {
        config,
        disk,
        salt,
        verify_from,
        found,
    };
    for at in 0..candidates.len() {
        let successor = candidates[at + 1..]
            .iter()
            .find(|later| later.was_begun())
            .map(|later| later.first_sequence);
        recovery.take_in(at, &candidates[at], successor)?;
    }
    // A name that a kill left in the machine's cache alone must not carry what is served.
    disk.sync_dir(&config.dir).map_err(|error| unsettled(&error))?;
    Ok(recovery.finish())
}

fn list_segments(config: &LogConfig, disk: &dyn Disk, salt: u64) -> Result<Vec<Candidate>, LogError> {
    let names = disk
        .list(&config.dir)
        .map_err(|error| LogError::unavailable("list its folder", &error))?;
    let mut candidates = Vec::new();
    for name in names {
        let Some((first_sequence, ordinal)) = format::parse_segment_name(&name) else {
            continue;
        };
        let file = disk
            .open(&config.dir.join(&name))
            .map_err(|error| LogError::unavailable("open a segment", &error))?;
        let length = file
            .length()
            .map_err(|error| LogError::unavailable("read a segment's length", &error))?;
        let seed = Seed::new(salt, ordinal);
        let mut first = [0; segment::SEGMENT_HEADER_BYTES];
        // What cannot be read counts as damaged: the checksum tells.
        let read = file.read_at(0, &mut first).unwrap_or(0);
        let header = match SegmentHeader::decode(&first[..read], seed) {
            HeaderState::Whole(header) => Some(header),
            HeaderState::Damaged => None,
            HeaderState::Version(version) => {
                return Err(LogError::new(
                    ErrorKind::Format,
                    format!("segment {name} has format {version}: start the newer version of kith that wrote it"),
                ));
            }
        };
        if header.is_some_and(|header| (header.generation, header.partition) != (config.generation, config.partition)) {
            return Err(LogError::new(
                ErrorKind::Format,
                format!(
                    "segment {name} is of another generation or partition: move it back to the folder that it came from"
                ),
            ));
        }
        let footer = read_footer(&*file, length, seed);
        candidates.push(Candidate {
            name,
            ordinal,
            first_sequence,
            header,
            footer,
            file,
            length,
        });
    }
    candidates.sort_by_key(|candidate| candidate.ordinal);
    Ok(candidates)
}

fn read_footer(file: &dyn DiskFile, length: u64, seed: Seed) -> Option<Footer> {
    let mut end = [0; 8];
    file.read_at(length.checked_sub(8)?, &mut end).ok()?;
    let footer_bytes = Footer::length_from(&end)?;
    let mut bytes = vec![0; usize::try_from(length).ok()?.min(footer_bytes)];
    file.read_at(length - bytes.len() as u64, &mut bytes).ok()?;
    Footer::decode(&bytes, length, seed)
}

impl Recovery<'_> {
    fn take_in(&mut self, at: usize, candidate: &Candidate, successor: Option<u64>) -> Result<(), LogError> {
        let header_bytes = segment::SEGMENT_HEADER_BYTES as u64;
        if !candidate.was_begun() {
            // Its making was cut short: no group was ever written to it.
            self.found.empty.push(candidate.name.clone());
            return Ok(());
        }
        if let Some(header) = candidate.header {
            self.found.last_received_at = self.found.last_received_at.max(header.received_floor);
        }
        self.pass_over(candidate.first_sequence, GapCause::Skipped);
        let footer = candidate.footer.as_ref();
        if let (Some(footer), true) = (footer, candidate.header.is_some() && at < self.verify_from) {
            self.push(sealed_segment(candidate, footer));
            return Ok(());
        }
        let bytes = read_leniently(&*candidate.file, candidate.length);
        self.found.report.verified_bytes += bytes.len() as u64;
        let known_end = match (footer.map(|footer| footer.end_sequence), successor) {
            (Some(end), Some(next)) => Some(end.min(next)),
            (end, next) => end.or(next),
        };
        let seed = Seed::new(self.salt, candidate.ordinal);
        let scan = segment::scan(&bytes, seed, candidate.first_sequence, known_end);
        let lost = candidate.header.is_none() && scan.groups.is_empty() && known_end.is_none();
        let segment = scanned_segment(candidate, &scan);
        let differs = footer.is_some_and(|footer| footer.hash != segment.hash);
        let damaged = differs || candidate.header.is_none() || !scan.holes.is_empty();
        let copied = damaged && self.quarantine(candidate, &bytes, &scan);
        if lost {
            // Nothing tells how many records it held: their numbers are passed over, never given again.
            let most = (candidate.length - header_bytes) / RECORD_BYTES_MIN + 1;
            self.pass_over(candidate.first_sequence + most, GapCause::Damaged);
            if copied {
                self.found.empty.push(candidate.name.clone());
            }
            return Ok(());
        }
        if known_end.is_none() {
            return self.settle(candidate, &bytes, scan, segment);
        }
        self.push(segment);
        Ok(())
    }

    /// Cuts the newest segment's tail. Nothing proves that its last group is durable: after a kill it may be in the
    /// machine's cache alone, and after a failed sync even there without a claim on the disk. So that group is copied to
    /// a segment of its own, which takes its place once it is durable; what was durable is never written over.
    fn settle(&mut self, candidate: &Candidate, bytes: &[u8], mut scan: Scan, whole: Segment) -> Result<(), LogError> {
        let cut = candidate.length.saturating_sub(scan.groups_end);
        if cut > 0 {
            tracing::warn!(segment = %candidate.name, bytes = cut, "cut what was written after the last durable group");
            self.found.report.tail_bytes_cut += cut;
        }
        let unproved = scan
            .groups
            .pop_if(|last| last.header.end_sequence() == scan.end_sequence);
        let Some(last) = unproved else {
            self.push(whole);
            return Ok(());
        };
        let end = (last.offset + last.header.group_bytes()) as usize;
        match self.copy_group(&last.header, bytes[last.offset as usize..end].to_vec()) {
            Ok(copy) => {
                (scan.groups_end, scan.end_sequence) = (last.offset, last.header.first_sequence);
                self.push(scanned_segment(candidate, &scan));
                self.push(copy);
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                candidate.file.sync_data().map_err(|error| unsettled(&error))?;
                self.push(whole);
            }
            Err(error) => return Err(unsettled(&error)),
        }
        Ok(())
    }

    /// Makes a sealed segment of one group, durable before it gets its name.
    fn copy_group(&mut self, header: &GroupHeader, mut group: Vec<u8>) -> io::Result<Segment> {
        let (ordinal, first_sequence) = (self.found.next_ordinal, header.first_sequence);
        self.found.next_ordinal += 1;
        let seed = Seed::new(self.salt, ordinal);
        let offset = segment::SEGMENT_HEADER_BYTES as u64;
        let crc = segment::finish_group(
            &mut group,
            first_sequence,
            header.count,
            header.received_at,
            offset,
            seed,
        );
        let begin = SegmentHeader {
            generation: self.config.generation,
            partition: self.config.partition,
            ordinal,
            first_sequence,
            created_at: header.received_at,
            received_floor: self.found.last_received_at,
        };
        let name = format::segment_name(first_sequence, ordinal);
        let mut copy = new_segment(ordinal, name, first_sequence, header.received_at);
        copy.add_group(
            offset,
            header.group_bytes(),
            first_sequence,
            header.count,
            header.received_at,
        );
        copy.hash = segment::fold_hash(0, crc);
        let file_bytes = [&begin.encode(seed)[..], &group, &footer_of(&copy).encode(seed)].concat();
        let dir = &self.config.dir;
        replace_file(self.disk, &dir.join(PART_FILE), &dir.join(&copy.name), &file_bytes)?;
        Ok(copy)
    }

    fn push(&mut self, segment: Segment) {
        if segment.first_sequence == segment.end_sequence {
            self.found.empty.push(segment.name);
            return;
        }
        self.found.last_received_at = self.found.last_received_at.max(segment.last_received_at);
        self.found.table.durable_end = segment.end_sequence;
        self.found.table.segments.push(segment);
    }

    /// Notes that the numbers up to `sequence` hold nothing, unless the log has come so far.
    fn pass_over(&mut self, sequence: u64, cause: GapCause) {
        let table = &mut self.found.table;
        if sequence > table.durable_end {
            if !table.segments.is_empty() || cause == GapCause::Damaged {
                table.add_gap(Gap {
                    from: table.durable_end,
                    to: sequence,
                    cause,
                });
            }
            table.durable_end = sequence;
        }
    }

    /// Keeps a copy of a damaged segment and notes its holes; returns whether the copy is safe.
    fn quarantine(&mut self, candidate: &Candidate, bytes: &[u8], scan: &Scan) -> bool {
        for &(from, to) in &scan.holes {
            self.found.table.add_gap(Gap {
                from,
                to,
                cause: GapCause::Damaged,
            });
        }
        let copied = copy_to_quarantine(self.disk, &self.config.dir, &candidate.name, bytes);
        report_damage(&candidate.name, scan, &copied);
        let safe = copied.is_ok();
        self.found.report.quarantined.extend(copied.ok());
        safe
    }

    fn finish(mut self) -> Recovered {
        self.pass_over(self.config.sequence_floor, GapCause::Skipped);
        let table = &self.found.table;
        let report = &mut self.found.report;
        report.start = table.start();
        report.end = table.durable_end;
        report.segments = table.segments.len();
        report.gaps.clone_from(&table.gaps);
        self.found
    }
}

fn sealed_segment(candidate: &Candidate, footer: &Footer) -> Segment {
    Segment {
        ordinal: candidate.ordinal,
        name: candidate.name.clone(),
        first_sequence: footer.first_sequence,
        end_sequence: footer.end_sequence,
        first_received_at: footer.first_received_at,
        last_received_at: footer.last_received_at,
        groups_end: footer.groups_end,
        hash: footer.hash,
        index: footer.index.clone(),
        sealed: true,
    }
}

/// A segment that holds nothing yet.
fn new_segment(ordinal: u64, name: String, first_sequence: u64, received_at: Timestamp) -> Segment {
    Segment {
        ordinal,
        name,
        first_sequence,
        end_sequence: first_sequence,
        first_received_at: received_at,
        last_received_at: received_at,
        groups_end: segment::SEGMENT_HEADER_BYTES as u64,
        hash: 0,
        index: Vec::new(),
        sealed: true,
    }
}

fn scanned_segment(candidate: &Candidate, scan: &Scan) -> Segment {
    let floor = candidate.header.map_or(Timestamp::MIN, |header| header.received_floor);
    let mut segment = new_segment(
        candidate.ordinal,
        candidate.name.clone(),
        candidate.first_sequence,
        floor,
    );
    for group in &scan.groups {
        let header = &group.header;
        segment.add_group(
            group.offset,
            header.group_bytes(),
            header.first_sequence,
            header.count,
            header.received_at,
        );
        segment.hash = segment::fold_hash(segment.hash, group.header_crc);
    }
    segment.groups_end = scan.groups_end;
    segment.end_sequence = scan.end_sequence;
    segment
}

fn unsettled(error: &io::Error) -> LogError {
    LogError::unavailable("make its newest segment durable", error)
}

/// Writes a file under a passing name and gives it its own once its bytes are durable.
fn replace_file(disk: &dyn Disk, part: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match disk.remove(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(part)?;
    let written = file.write_at(0, bytes).and_then(|()| file.sync_data());
    if let Err(error) = written {
        // What stays is overwritten the next time.
        drop(disk.remove(part));
        return Err(error);
    }
    disk.rename(part, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

/// The footer that seals a segment.
pub(crate) fn footer_of(segment: &Segment) -> Footer {
    Footer {
        first_sequence: segment.first_sequence,
        end_sequence: segment.end_sequence,
        first_received_at: segment.first_received_at,
        last_received_at: segment.last_received_at,
        groups_end: segment.groups_end,
        hash: segment.hash,
        index: segment.index.clone(),
    }
}

/// The first `length` bytes of a file; blocks that cannot be read are zeros, which no checksum fits.
pub(crate) fn read_leniently(file: &dyn DiskFile, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    if file.read_at(0, &mut bytes).is_err() {
        for (block, into) in bytes.chunks_mut(LENIENT_BLOCK_BYTES).enumerate() {
            if file.read_at((block * LENIENT_BLOCK_BYTES) as u64, into).is_err() {
                into.fill(0);
            }
        }
    }
    bytes
}

/// Tells the operator of damage; `copied` is what became of the copy.
pub(crate) fn report_damage(segment: &str, scan: &Scan, copied: &io::Result<PathBuf>) {
    let holes = &scan.holes;
    Counter::LogRecordsQuarantined.add(holes.iter().map(|(from, to)| to - from).sum());
    match copied {
        Ok(copy) => tracing::error!(segment, ?holes, copy = %copy.display(), "a damaged segment was quarantined"),
        Err(error) => tracing::error!(segment, ?holes, %error, "a damaged segment could not be copied to quarantine"),
    }
}

/// Keeps a durable copy of a damaged file; a copy that is there already is the one.
pub(crate) fn copy_to_quarantine(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let folder = dir.join(QUARANTINE_DIR);
    disk.create_dir(&folder)?;
    let path = folder.join(name);
    if disk.open(&path).is_ok() {
        return Ok(path);
    }
    replace_file(disk, &folder.join(PART_FILE), &path, bytes)?;
    disk.sync_dir(dir)?;
    Ok(path)
}
