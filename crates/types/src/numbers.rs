//! Numbers of variable length, as stored bytes have them: seven bits a byte, and the last byte is below `0x80`.

/// Bytes looked at together.
const TOGETHER: usize = size_of::<u64>();
/// The bit of each byte that says that the number goes on.
const GOES_ON: u64 = 0x8080_8080_8080_8080;

/// Where the last of so many numbers ends, at least one: for who passes over them. `None` where there are fewer.
#[must_use]
#[inline]
pub fn end_of_numbers(bytes: &[u8], count: usize) -> Option<usize> {
    let (mut at, mut left) = (0, count.max(1));
    while let Some(together) = bytes.get(at..).and_then(<[u8]>::first_chunk::<TOGETHER>) {
        // A bit for each byte that ends a number, the first byte lowest.
        let mut ends = !u64::from_le_bytes(*together) & GOES_ON;
        // They add up in the highest byte of the product.
        let ended = ((ends >> 7).wrapping_mul(0x0101_0101_0101_0101) >> 56) as usize;
        if ended >= left {
            (1..left).for_each(|_| ends &= ends - 1);
            return Some(at + ends.trailing_zeros() as usize / 8 + 1);
        }
        left -= ended;
        at += TOGETHER;
    }
    for (place, byte) in bytes.iter().enumerate().skip(at) {
        left -= usize::from(*byte < 0x80);
        if left == 0 {
            return Some(place + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seg_7_numbers_are_passed_over_wherever_they_end() {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for length in [1, 1, 9, 2, 1, 1, 8, 3, 16, 1, 7, 1, 1, 1, 1, 1, 1, 1, 1, 10, 2] {
            bytes.extend(std::iter::repeat_n(0x80 | length as u8, length - 1));
            bytes.push(length as u8);
            ends.push(bytes.len());
        }
        for from in 0..ends.len() {
            let begin = from.checked_sub(1).map_or(0, |before| ends[before]);
            for (count, end) in ends[from..].iter().enumerate() {
                let rest = &bytes[begin..];
                assert_eq!(end_of_numbers(rest, count + 1), Some(end - begin));
                assert_eq!(
                    end_of_numbers(&rest[..end - begin - 1], count + 1),
                    None,
                    "the last byte is missing"
                );
            }
        }
    }
}
