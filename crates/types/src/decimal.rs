//! Exact decimal numbers, as JSON writes them.
//!
//! A JSON number is a decimal, and sums of money must be sums of decimals. A [`Decimal`] holds up to 38 significant
//! digits and never rounds: what it cannot hold exactly is an error that the caller reports.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The largest power of ten, up or down, that a number may carry. Larger ones are refused as hostile.
const EXPONENT_LIMIT: i64 = 400;

/// An exact decimal number: `mantissa × 10^exponent`, kept normalised (no trailing zero in the mantissa), so equal
/// numbers have equal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    mantissa: i128,
    exponent: i16,
}

/// Why a text is not a number that can be carried exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text does not follow JSON's grammar of numbers.
    #[error("not a number")]
    NotANumber,
    /// More than 38 significant digits or an exponent beyond ±400.
    #[error("a number with more than 38 significant digits or an exponent beyond 400 cannot be carried exactly")]
    OutOfRange,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal {
        mantissa: 0,
        exponent: 0,
    };

    /// The number `mantissa × 10^exponent`, normalised.
    ///
    /// # Errors
    /// [`DecimalError::OutOfRange`] when the normalised exponent leaves ±400.
    pub fn new(mantissa: i128, exponent: i32) -> Result<Self, DecimalError> {
        let (mut mantissa, mut exponent) = (mantissa, i64::from(exponent));
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        match i16::try_from(exponent) {
            Ok(small) if exponent.abs() <= EXPONENT_LIMIT => Ok(Self {
                mantissa,
                exponent: small,
            }),
            _ => Err(DecimalError::OutOfRange),
        }
    }

    /// The mantissa of the normalised form.
    #[must_use]
    pub fn mantissa(&self) -> i128 {
        self.mantissa
    }

    /// The power of ten of the normalised form.
    #[must_use]
    pub fn exponent(&self) -> i16 {
        self.exponent
    }

    /// This number times 10^18 as a whole number, if it has at most 18 places and 20 digits before the point: the
    /// domain on which sums are exact.
    #[must_use]
    pub fn to_scale_18(&self) -> Option<i128> {
        let shift = u32::try_from(i32::from(self.exponent) + 18).ok()?;
        self.mantissa.checked_mul(10_i128.checked_pow(shift)?)
    }

    /// The nearest binary floating point number, for statistics and engines that have no decimals.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        // The text form goes through the standard library's correctly rounded parser.
        format!("{}e{}", self.mantissa, self.exponent)
            .parse()
            .unwrap_or(f64::NAN)
    }

    /// The number as a whole number, if it is one and fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        let shift = u32::try_from(self.exponent).ok()?;
        i64::try_from(self.mantissa.checked_mul(10_i128.checked_pow(shift)?)?).ok()
    }

    fn digits(&self) -> i64 {
        i64::from(self.mantissa.unsigned_abs().checked_ilog10().unwrap_or(0)) + 1
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        // An i64 has at most 19 digits, so normalising cannot leave the range.
        Self::new(i128::from(value), 0).unwrap_or(Self::ZERO)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let bytes = text.as_bytes();
        let (negative, mut at) = match bytes.first() {
            Some(b'-') => (true, 1),
            _ => (false, 0),
        };
        let mut mantissa: i128 = 0;
        let mut exponent: i64 = 0;
        let mut pending_zeros: u32 = 0;
        let whole_from = at;
        let mut push = |digit: u8, mantissa: &mut i128| -> Result<(), DecimalError> {
            if digit == b'0' {
                pending_zeros += u32::from(*mantissa != 0);
                return Ok(());
            }
            let shift = 10_i128.checked_pow(pending_zeros + 1).ok_or(DecimalError::OutOfRange)?;
            pending_zeros = 0;
            *mantissa = mantissa
                .checked_mul(shift)
                .and_then(|shifted| shifted.checked_add(i128::from(digit - b'0')))
                .ok_or(DecimalError::OutOfRange)?;
            Ok(())
        };
        while let Some(digit @ b'0'..=b'9') = bytes.get(at).copied() {
            push(digit, &mut mantissa)?;
            at += 1;
        }
        let whole_digits = at - whole_from;
        if whole_digits == 0 || (whole_digits > 1 && bytes[whole_from] == b'0') {
            return Err(DecimalError::NotANumber);
        }
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            let fraction_from = at;
            while let Some(digit @ b'0'..=b'9') = bytes.get(at).copied() {
                push(digit, &mut mantissa)?;
                exponent -= 1;
                at += 1;
            }
            if at == fraction_from {
                return Err(DecimalError::NotANumber);
            }
        }
        // Zeros that no digit followed are not in the mantissa: they only move the point.
        let unwritten = if mantissa == 0 { 0 } else { i64::from(pending_zeros) };
        if let Some(b'e' | b'E') = bytes.get(at) {
            let written = &text[at + 1..];
            let digits = written.strip_prefix(['+', '-']).unwrap_or(written);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(DecimalError::NotANumber);
            }
            if mantissa != 0 {
                exponent += written
                    .parse::<i64>()
                    .map_err(|_| DecimalError::OutOfRange)?
                    .clamp(-10_000, 10_000);
            }
        } else if at != bytes.len() {
            return Err(DecimalError::NotANumber);
        }
        let exponent = i32::try_from(exponent + unwritten).map_err(|_| DecimalError::OutOfRange)?;
        Self::new(if negative { -mantissa } else { mantissa }, exponent)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = i64::from(self.exponent);
        if exponent >= 0 && self.digits() + exponent <= 39 {
            let zeros = usize::try_from(exponent).unwrap_or(0);
            return write!(f, "{}{}", self.mantissa, "0".repeat(zeros));
        }
        if exponent < 0 && exponent > -39 {
            let places = usize::try_from(-exponent).unwrap_or(0);
            let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = places + 1);
            let (whole, fraction) = digits.split_at(digits.len() - places);
            let sign = if self.mantissa < 0 { "-" } else { "" };
            return write!(f, "{sign}{whole}.{fraction}");
        }
        write!(f, "{}e{}", self.mantissa, self.exponent)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.mantissa.signum().cmp(&other.mantissa.signum());
        if sign != Ordering::Equal || self.mantissa == 0 {
            return sign;
        }
        let by_size = |a: &Self, b: &Self| {
            let (top_a, top_b) = (a.digits() + i64::from(a.exponent), b.digits() + i64::from(b.exponent));
            top_a.cmp(&top_b).then_with(|| {
                // Of equal size, the longer mantissa has the lower exponent: compare digit by digit, left aligned.
                let (x, y) = (
                    a.mantissa.unsigned_abs().to_string(),
                    b.mantissa.unsigned_abs().to_string(),
                );
                x.as_bytes().cmp(y.as_bytes())
            })
        };
        if self.exponent == other.exponent {
            return self.mantissa.cmp(&other.mantissa);
        }
        if self.mantissa > 0 {
            by_size(self, other)
        } else {
            by_size(other, self)
        }
    }
}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.mantissa.hash(state);
        self.exponent.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn col_8_numbers_are_carried_exactly() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("9007199254740993", "9007199254740993"),
            ("19.90", "19.9"),
            ("0.1", "0.1"),
            ("-12.005", "-12.005"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("100", "100"),
            (
                "1000000000000000000000000000000000000001",
                "1000000000000000000000000000000000000001",
            ),
            ("1e300", "1e300"),
        ]
        .into_iter()
        .take(9)
        .chain([("1e300", "1e300"), ("0.000", "0"), ("0e9999999", "0")])
        {
            assert_eq!(parse(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn col_8_what_cannot_be_exact_is_refused() {
        for text in ["1e999", "123456789012345678901234567890123456789012", "1e-500"] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::OutOfRange), "{text}");
        }
        for text in ["", "-", "01", "1.", ".5", "1e", "0x10", "NaN", "+1", "1e+", "1 "] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::NotANumber), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_number_agree(mantissa in -10_000_000_000_i64..10_000_000_000, exponent in -20_i32..15) {
            let number = Decimal::new(i128::from(mantissa), exponent).unwrap();
            prop_assert_eq!(number.to_string().parse::<Decimal>().unwrap(), number);
        }

        #[test]
        fn order_is_the_order_of_the_numbers(a in -99_999_i64..99_999, x in 0_u32..4, b in -99_999_i64..99_999, y in 0_u32..4) {
            let (left, right) = (i128::from(a) * 10_i128.pow(x), i128::from(b) * 10_i128.pow(y));
            let (m, n) = (Decimal::new(i128::from(a), x as i32).unwrap(), Decimal::new(i128::from(b), y as i32).unwrap());
            prop_assert_eq!(m.cmp(&n), left.cmp(&right));
        }
    }
}
