//! Sets of sequence numbers as sorted, disjoint, half-open ranges.

/// A half-open range of sequence numbers.
pub(crate) type Range = (u64, u64);

/// Adds numbers that mostly ascend, extending the last range where it can.
pub(crate) fn push(ranges: &mut Vec<Range>, sequence: u64) {
    match ranges.last_mut() {
        Some((_, end)) if *end == sequence => *end += 1,
        _ => ranges.push((sequence, sequence + 1)),
    }
}

/// Sorts ranges and joins those that touch.
pub(crate) fn normalise(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match joined.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// What of `expected` is not in `found`; both normalised.
pub(crate) fn subtract(expected: &[Range], found: &[Range]) -> Vec<Range> {
    let mut missing = Vec::new();
    for &(start, end) in expected {
        let mut from = start;
        for &(low, high) in found.iter().filter(|(low, high)| *high > start && *low < end) {
            if low > from {
                missing.push((from, low));
            }
            from = from.max(high);
        }
        if from < end {
            missing.push((from, end));
        }
    }
    missing
}
