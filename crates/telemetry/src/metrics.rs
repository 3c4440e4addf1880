//! The metrics of a process, in the text format of Prometheus.
//!
//! Every metric is a variant of [`Counter`], [`Gauge`] or [`Histogram`]: its name, help and labels are fixed when Kith
//! is compiled, so no label can carry personal data and the number of series is bounded. Counting is one relaxed
//! atomic addition. The figures belong to the process; nothing here decides by them.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What a series is called: its family, and its labels as they are written between braces (empty for none).
struct Series {
    family: &'static str,
    help: &'static str,
    labels: &'static str,
}

macro_rules! metrics {
    ($kind:ident, $cell:ty, $zero:expr, $doc:literal; $($variant:ident => $family:literal, $labels:literal, $help:literal;)*) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind {
            $(#[doc = concat!($help, " `", $family, "{", $labels, "}`")] $variant,)*
        }

        impl $kind {
            /// Every metric of this kind, those of one family side by side.
            pub const ALL: &'static [$kind] = &[$($kind::$variant,)*];

            fn series(self) -> Series {
                match self {
                    $(Self::$variant => Series { family: $family, help: $help, labels: $labels },)*
                }
            }

            fn cell(self) -> &'static $cell {
                static CELLS: [$cell; $kind::ALL.len()] = [const { $zero }; $kind::ALL.len()];
                &CELLS[self as usize]
            }
        }
    };
}

metrics! { Counter, AtomicU64, AtomicU64::new(0), "A figure that only grows.";
    CollectRequestsAccepted => "kith_collect_requests_total", "outcome=\"accepted\"", "Requests at the doors by outcome.";
    CollectRequestsRefused => "kith_collect_requests_total", "outcome=\"refused\"", "Requests at the doors by outcome.";
    CollectRequestsOverloaded => "kith_collect_requests_total", "outcome=\"overloaded\"", "Requests at the doors by outcome.";
    CollectRequestsLimited => "kith_collect_requests_total", "outcome=\"limited\"", "Requests at the doors by outcome.";
    CollectRequestsUnavailable => "kith_collect_requests_total", "outcome=\"unavailable\"", "Requests at the doors by outcome.";
    CollectEventsAccepted => "kith_collect_events_total", "outcome=\"accepted\"", "Events at the doors by outcome.";
    CollectEventsRejected => "kith_collect_events_total", "outcome=\"rejected\"", "Events at the doors by outcome.";
    CollectBytes => "kith_collect_bytes_total", "", "Bytes of bodies that the doors took, after content decoding.";
    HttpRequestsWithoutRoom => "kith_http_requests_refused_total", "reason=\"no_room\"", "Requests that no connection had room for.";
    LogRecordsAppended => "kith_log_records_total", "", "Records appended to the log.";
    LogBytesAppended => "kith_log_bytes_total", "", "Bytes appended to the log.";
    LogSyncs => "kith_log_syncs_total", "outcome=\"durable\"", "Groups made durable, by outcome.";
    LogSyncFailures => "kith_log_syncs_total", "outcome=\"failed\"", "Groups made durable, by outcome.";
    LogSegmentsSealed => "kith_log_segments_sealed_total", "", "Segments sealed.";
    LogSegmentsDeleted => "kith_log_segments_deleted_total", "", "Local segments deleted after raw, state and lake had passed them.";
    LogRecordsQuarantined => "kith_log_records_quarantined_total", "", "Damaged records found and put aside.";
    RawObjectsWritten => "kith_raw_objects_total", "", "Objects written to the raw zone.";
    RawBytesWritten => "kith_raw_bytes_total", "", "Bytes written to the raw zone.";
    RawFailures => "kith_raw_failures_total", "", "Attempts to keep raw up with the log that failed and are made again.";
    CleanEvents => "kith_clean_events_total", "outcome=\"clean\"", "Events by what cleaning made of them.";
    CleanDuplicates => "kith_clean_events_total", "outcome=\"duplicate\"", "Events by what cleaning made of them.";
    CleanRejects => "kith_clean_events_total", "outcome=\"reject\"", "Events by what cleaning made of them.";
    PipelineSteps => "kith_pipeline_steps_total", "", "Steps committed.";
    PipelineRecords => "kith_pipeline_records_total", "", "Records consumed by committed steps.";
    PipelineStepFailures => "kith_pipeline_step_failures_total", "", "Times that the pipeline broke off: the step is taken again once its cause is gone.";
    PipelineTimersFired => "kith_pipeline_timers_fired_total", "", "Due times that fired.";
    IdentityRecomputations => "kith_identity_recomputations_total", "", "Components that evidence had resolved anew.";
    IdentityMerges => "kith_identity_merges_total", "", "Profiles merged into another.";
    IdentitySplits => "kith_identity_splits_total", "", "Profiles split from another.";
    IdentityComponentsOverBound => "kith_identity_components_over_bound_total", "", "Times that the bound of a component refused evidence.";
    ProfilesFound => "kith_profile_cache_total", "outcome=\"hit\"", "People whom the pipeline needed, by whether they were in memory.";
    ProfilesLoaded => "kith_profile_cache_total", "outcome=\"miss\"", "People whom the pipeline needed, by whether they were in memory.";
    SegmentEntered => "kith_segment_changes_total", "change=\"entered\"", "Changes of membership.";
    SegmentExited => "kith_segment_changes_total", "change=\"exited\"", "Changes of membership.";
    LakeCommits => "kith_lake_commits_total", "outcome=\"committed\"", "Commits to tables, by outcome.";
    LakeCommitConflicts => "kith_lake_commits_total", "outcome=\"conflict\"", "Commits to tables, by outcome.";
    LakeRows => "kith_lake_rows_total", "", "Rows committed to tables.";
    LakeBytes => "kith_lake_bytes_total", "", "Bytes of data files committed to tables.";
    MessagesAccepted => "kith_messages_total", "outcome=\"accepted\"", "Messages by outcome.";
    MessagesRejected => "kith_messages_total", "outcome=\"rejected\"", "Messages by outcome.";
    MessagesSkipped => "kith_messages_total", "outcome=\"skipped\"", "Messages by outcome.";
    MessagesUnknown => "kith_messages_total", "outcome=\"unknown\"", "Messages by outcome.";
    MessagesRetried => "kith_messages_retried_total", "", "Attempts to send that will be repeated.";
    AudienceEventsSent => "kith_audience_events_total", "outcome=\"sent\"", "Calls about changes of membership, to destinations, by outcome.";
    AudienceEventsRefused => "kith_audience_events_total", "outcome=\"refused\"", "Calls about changes of membership, to destinations, by outcome.";
    AudienceRetries => "kith_audience_retries_total", "", "Batches to destinations that will be sent again.";
    Unsubscribes => "kith_unsubscribes_total", "", "Unsubscribes by one click.";
    HttpResponsesSuccess => "kith_http_responses_total", "class=\"2xx\"", "Responses of the API by class of status.";
    HttpResponsesClientError => "kith_http_responses_total", "class=\"4xx\"", "Responses of the API by class of status.";
    HttpResponsesServerError => "kith_http_responses_total", "class=\"5xx\"", "Responses of the API by class of status.";
    HttpUnauthorized => "kith_http_unauthorized_total", "", "Requests of the API without a key that allows them.";
    SqlQueries => "kith_sql_queries_total", "", "SQL statements run.";
    SqlFailures => "kith_sql_failures_total", "", "SQL statements that failed.";
    TailLagged => "kith_tail_lagged_total", "", "Items that a slow follower of the tail missed.";
}

metrics! { Gauge, AtomicI64, AtomicI64::new(0), "A figure that goes up and down.";
    LogBytesOnDisk => "kith_log_bytes_on_disk", "", "Bytes of local segments.";
    LogNextSequence => "kith_log_next_sequence", "", "The sequence that the next record gets.";
    LogWritable => "kith_log_writable", "", "1 while the log accepts records.";
    LagRecordsRaw => "kith_stage_lag_records", "stage=\"raw\"", "Records that a stage has still to take.";
    LagRecordsPipeline => "kith_stage_lag_records", "stage=\"pipeline\"", "Records that a stage has still to take.";
    LagRecordsLake => "kith_stage_lag_records", "stage=\"lake\"", "Records that a stage has still to take.";
    LagMillisRaw => "kith_stage_lag_milliseconds", "stage=\"raw\"", "Age of the oldest record that a stage has still to take.";
    LagMillisPipeline => "kith_stage_lag_milliseconds", "stage=\"pipeline\"", "Age of the oldest record that a stage has still to take.";
    LagMillisLake => "kith_stage_lag_milliseconds", "stage=\"lake\"", "Age of the oldest record that a stage has still to take.";
    HttpConnections => "kith_http_connections", "", "Connections that are open.";
    CollectBytesInFlight => "kith_collect_bytes_in_flight", "", "Bytes of bodies taken and not yet answered.";
    Profiles => "kith_profiles", "", "Profiles that are held.";
    ProfilesInMemory => "kith_profiles_in_memory", "", "Profiles that the pipeline keeps decoded.";
    DedupeFilterBytes => "kith_dedupe_filter_bytes", "", "Bytes in memory that answer whether an event key is new.";
    DedupeGenerations => "kith_dedupe_generations", "", "Filters that a new event key is asked of.";
    DedupeFilterBytesWithoutRoom => "kith_dedupe_filter_without_room_bytes", "", "Bytes of filters of event keys that find no room in memory.";
    TimersPending => "kith_timers_pending", "", "Due times that have not fired.";
    RefoldsRunning => "kith_refolds_running", "", "Definitions whose history is being folded.";
    RulesDone => "kith_identity_rules_done", "", "Events or people of the present part of a change of identity rules that are done.";
    RulesTotal => "kith_identity_rules_total", "", "About how many there are in that part; 0 where no rules change.";
    MessagesPending => "kith_messages_pending", "", "Messages reserved and not yet sent.";
    MessagesPaused => "kith_messages_paused", "", "Spaces whose sending is paused.";
    AudienceChangesWaiting => "kith_audience_changes_waiting", "", "Changes that the destination furthest behind has still to be told of or to pass over.";
    AudienceLagMillis => "kith_audience_lag_milliseconds", "", "Age of the oldest change that a destination has still to be told of.";
    TailFollowers => "kith_tail_followers", "", "Open connections that follow the tail.";
    StateBytesOnDisk => "kith_state_bytes_on_disk", "", "Bytes of the live state.";
}

metrics! { Histogram, Buckets, Buckets::new(), "How figures in seconds are spread over fixed buckets.";
    CollectSeconds => "kith_collect_seconds", "", "From a body read to its answer.";
    LogSyncSeconds => "kith_log_sync_seconds", "", "Time to make one group durable.";
    PipelineCommitSeconds => "kith_pipeline_commit_seconds", "", "Time to make one step durable.";
    MembershipSeconds => "kith_membership_seconds", "", "From the receipt of an event to the change of membership that it causes being told.";
    TimerSeconds => "kith_timer_seconds", "", "From the instant at which time alone changes a membership to its being told.";
    LakeCommitSeconds => "kith_lake_commit_seconds", "", "Time of one commit to a table.";
    HttpSeconds => "kith_http_seconds", "", "Time of a request of the API.";
    ProfileReadSeconds => "kith_profile_read_seconds", "", "Time to read one profile.";
    SqlSeconds => "kith_sql_seconds", "", "Time of an SQL statement.";
    MessageSeconds => "kith_message_seconds", "", "Time of one attempt to send.";
}

/// The upper bounds of the buckets of every histogram, in microseconds: 100 µs to 60 s.
const BOUNDS_MICROS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The cells of one histogram. A count is kept per bucket and summed when it is rendered.
struct Buckets {
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Buckets {
    const fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BOUNDS_MICROS.len() + 1],
            sum_micros: AtomicU64::new(0),
        }
    }
}

impl Counter {
    /// Adds `count`.
    pub fn add(self, count: u64) {
        self.cell().fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(self) {
        self.add(1);
    }

    /// The figure now.
    #[must_use]
    pub fn get(self) -> u64 {
        self.cell().load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the figure.
    pub fn set(self, figure: i64) {
        self.cell().store(figure, Ordering::Relaxed);
    }

    /// Adds `change`, which may be negative.
    pub fn add(self, change: i64) {
        self.cell().fetch_add(change, Ordering::Relaxed);
    }

    /// The figure now.
    #[must_use]
    pub fn get(self) -> i64 {
        self.cell().load(Ordering::Relaxed)
    }
}

impl Histogram {
    /// Records one figure.
    pub fn observe(self, took: std::time::Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.observe_micros(micros);
    }

    /// Records one figure in microseconds.
    pub fn observe_micros(self, micros: u64) {
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        let cell = self.cell();
        cell.counts[bucket].fetch_add(1, Ordering::Relaxed);
        cell.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many figures were recorded.
    #[must_use]
    pub fn count(self) -> u64 {
        self.cell()
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }
}

/// Every metric in the text format of Prometheus, version 0.0.4 (`Content-Type: text/plain; version=0.0.4`).
#[must_use]
pub fn render_prometheus() -> String {
    let mut out = String::with_capacity(16 * 1024);
    let mut family = "";
    for metric in Counter::ALL {
        let series = metric.series();
        head(&mut out, &mut family, &series, "counter");
        line(&mut out, series.family, series.labels, metric.get());
    }
    for metric in Gauge::ALL {
        let series = metric.series();
        head(&mut out, &mut family, &series, "gauge");
        line(&mut out, series.family, series.labels, metric.get());
    }
    for metric in Histogram::ALL {
        let series = metric.series();
        head(&mut out, &mut family, &series, "histogram");
        write_histogram(&mut out, series.family, metric.cell());
    }
    out
}

fn write_histogram(out: &mut String, family: &str, cell: &Buckets) {
    let mut total = 0;
    let bucket = format!("{family}_bucket");
    for (bound, count) in BOUNDS_MICROS.iter().zip(&cell.counts) {
        total += count.load(Ordering::Relaxed);
        line(out, &bucket, &format!("le=\"{}\"", seconds(*bound)), total);
    }
    total += cell.counts[BOUNDS_MICROS.len()].load(Ordering::Relaxed);
    line(out, &bucket, "le=\"+Inf\"", total);
    line(
        out,
        &format!("{family}_sum"),
        "",
        seconds(cell.sum_micros.load(Ordering::Relaxed)),
    );
    line(out, &format!("{family}_count"), "", total);
}

/// Microseconds as seconds without rounding.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

// Writing to a string cannot fail, so the outcomes below are dropped.
fn head(out: &mut String, family: &mut &'static str, series: &Series, kind: &str) {
    if *family != series.family {
        *family = series.family;
        writeln!(out, "# HELP {0} {1}\n# TYPE {0} {kind}", series.family, series.help).unwrap_or_default();
    }
}

fn line(out: &mut String, name: &str, labels: &str, figure: impl std::fmt::Display) {
    let labels = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    };
    writeln!(out, "{name}{labels} {figure}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ops_1_metrics_are_rendered_as_prometheus_reads_them() {
        Counter::LakeRows.add(7);
        Gauge::RefoldsRunning.set(-2);
        for micros in [50, 100, 101, 3_000_000, 90_000_000] {
            Histogram::LakeCommitSeconds.observe_micros(micros);
        }
        let text = render_prometheus();
        for expected in [
            "# TYPE kith_lake_rows_total counter\nkith_lake_rows_total 7\n",
            "kith_refolds_running -2\n",
            "kith_lake_commit_seconds_bucket{le=\"0.0001\"} 2\n",
            "kith_lake_commit_seconds_bucket{le=\"0.00025\"} 3\n",
            "kith_lake_commit_seconds_bucket{le=\"5\"} 4\n",
            "kith_lake_commit_seconds_bucket{le=\"+Inf\"} 5\nkith_lake_commit_seconds_sum 93.000251\nkith_lake_commit_seconds_count 5\n",
            "kith_clean_events_total{outcome=\"reject\"} 0\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn ops_1_names_are_sound_and_families_stand_together() {
        let text = render_prometheus();
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(
            heads.len(),
            heads.iter().collect::<BTreeSet<_>>().len(),
            "a family is torn apart"
        );
        let series: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            series.len(),
            series.iter().collect::<BTreeSet<_>>().len(),
            "a series is written twice"
        );
        for name in series {
            assert!(name.starts_with("kith_"), "{name}");
        }
        for counter in Counter::ALL {
            assert!(counter.series().family.ends_with("_total"), "{counter:?}");
        }
    }
}
