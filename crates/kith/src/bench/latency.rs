//! Latencies counted by size: a fixed table of counts, however many are taken, exact to one part in 64.
//!
//! The buckets are those of HdrHistogram (Tene, 2012): linear within every power of two.

use std::time::Duration;

/// Buckets within a power of two.
const WITHIN: u64 = 64;
const WITHIN_BITS: u32 = WITHIN.trailing_zeros();
/// Powers of two: up to 2^40 microseconds, which is twelve days.
const POWERS: usize = 36;

/// Counts of latencies.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    taken: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: vec![0; POWERS * WITHIN as usize],
            taken: 0,
        }
    }
}

impl Latencies {
    /// Takes one.
    pub(super) fn take(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        if let Some(count) = self.counts.get_mut(bucket(micros).min(last)) {
            *count += 1;
            self.taken += 1;
        }
    }

    /// Takes all of another.
    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.taken += other.taken;
    }

    /// How many were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The latency that so many per thousand do not exceed, in milliseconds; zero where none was taken.
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds are shown as milliseconds with a few places"
    )]
    pub(super) fn per_mille(&self, share: u64) -> f64 {
        let rank = (self.taken * share).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest_of(at as u64) as f64 / 1_000.0;
            }
        }
        0.0
    }
}

/// The bucket of a latency in microseconds.
fn bucket(micros: u64) -> usize {
    let power = (u64::BITS - micros.leading_zeros()).saturating_sub(WITHIN_BITS);
    let at = if power == 0 {
        micros
    } else {
        u64::from(power) * WITHIN + ((micros >> (power - 1)) & (WITHIN - 1))
    };
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// The highest latency of a bucket.
fn highest_of(at: u64) -> u64 {
    let (power, within) = (at / WITHIN, at % WITHIN);
    if power == 0 {
        within
    } else {
        ((WITHIN + within + 1) << (power - 1)) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_in_its_bucket_and_within_a_64th() {
        for micros in (0..5_000).chain((0..2_000).map(|step| step * step * 97)) {
            let highest = highest_of(bucket(micros) as u64);
            assert!(highest >= micros, "{micros} {highest}");
            assert!(highest - micros <= micros / 63 + 1, "{micros} {highest}");
        }
    }

    #[test]
    fn shares_are_those_of_the_sorted_list() {
        let mut latencies = Latencies::default();
        assert!(latencies.per_mille(990) == 0.0);
        for millis in 1..=1_000 {
            latencies.take(Duration::from_millis(millis));
        }
        for (share, exact) in [(500, 500.0), (950, 950.0), (990, 990.0), (1_000, 1_000.0)] {
            let found = latencies.per_mille(share);
            assert!((found - exact).abs() <= exact / 60.0, "{share}: {found}");
        }
        let mut both = Latencies::default();
        both.merge(&latencies);
        both.take(Duration::from_secs(1_000_000_000));
        assert_eq!(both.taken(), 1_001);
    }
}
