//! What has passed for good: counts, exact sums by currency, extremes, the first or last value, the distinct values.
//!
//! Numbers are whole units of 10^-18, sums of them 256 bits wide: no sum of 2^64 of them can overflow.

use super::distinct::Distinct;
use super::points::{Currency, NumberPoint, ValuePoint};
use crate::PartError;
use crate::codec::{Reader, put_flag, put_i128, put_i256, put_len, put_mark, put_u64, put_value};
use crate::limits::AVERAGE_PLACES;
use ethnum::I256;
use kith_expr::Function;
use kith_types::{Decimal, Object, Value};

/// The numbers of one currency.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sum {
    currency: Currency,
    count: u64,
    /// Times 10^18.
    total: I256,
}

/// A number in units of 10^-18, as bytes: the alignment of an `i128` would make every entry larger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Units([u8; 16]);

impl Units {
    fn of(units: i128) -> Self {
        Self(units.to_ne_bytes())
    }

    fn get(self) -> i128 {
        i128::from_ne_bytes(self.0)
    }
}

/// The folded events of an aggregate, by what its function needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tally {
    Count(u64),
    /// Sorted by currency.
    Sums(Vec<Sum>),
    Extreme(Option<Units>),
    Kept(Option<Box<ValuePoint>>),
    Distinct(Box<Distinct>),
}

impl Tally {
    pub(crate) fn empty(function: Function) -> Self {
        match function {
            Function::Count => Self::Count(0),
            Function::Sum | Function::Average => Self::Sums(Vec::new()),
            Function::Min | Function::Max => Self::Extreme(None),
            Function::First | Function::Last => Self::Kept(None),
            Function::MostFrequent | Function::UniqueList | Function::UniqueCount | Function::Accounts => {
                Self::Distinct(Box::default())
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Count(count) => *count == 0,
            Self::Sums(sums) => sums.is_empty(),
            Self::Extreme(extreme) => extreme.is_none(),
            Self::Kept(kept) => kept.is_none(),
            Self::Distinct(distinct) => distinct.is_empty(),
        }
    }

    pub(crate) fn add_event(&mut self) {
        self.add_events(1);
    }

    pub(crate) fn add_events(&mut self, more: u64) {
        if let Self::Count(count) = self {
            *count = count.saturating_add(more);
        }
    }

    pub(crate) fn add_number(&mut self, function: Function, point: &NumberPoint) {
        match self {
            Self::Sums(sums) => add_sum(sums, point.currency, 1, I256::from(point.units)),
            Self::Extreme(extreme) => {
                set_outer(extreme, function, point.units);
            }
            _ => {}
        }
    }

    pub(crate) fn add_value(&mut self, function: Function, point: &ValuePoint) {
        let kept = match self {
            Self::Kept(kept) => kept,
            Self::Distinct(distinct) => return distinct.add(point),
            _ => return,
        };
        let replaces = kept.as_ref().is_none_or(|kept| match function {
            Function::First => point.mark < kept.mark,
            _ => point.mark > kept.mark,
        });
        if replaces {
            *kept = Some(Box::new(point.clone()));
        }
    }

    pub(crate) fn merge(&mut self, function: Function, other: &Self) {
        match (&mut *self, other) {
            (_, Self::Count(count)) => self.add_events(*count),
            (Self::Sums(sums), Self::Sums(more)) => {
                for sum in more {
                    add_sum(sums, sum.currency, sum.count, sum.total);
                }
            }
            (Self::Extreme(extreme), Self::Extreme(Some(units))) => {
                set_outer(extreme, function, units.get());
            }
            (_, Self::Kept(Some(point))) => self.add_value(function, point),
            (Self::Distinct(distinct), Self::Distinct(more)) => distinct.merge(more),
            _ => {}
        }
    }

    /// The value of the function, and whether it is exact: a sum of more than 38 digits is rounded to them, and not all
    /// distinct values may have been kept.
    pub(crate) fn render(&self, function: Function) -> (Value, bool) {
        match self {
            Self::Count(count) => (number(i128::from(*count), 0), true),
            Self::Sums(sums) => {
                let one = |sum: &Sum| {
                    if function == Function::Average {
                        (average(sum), true)
                    } else {
                        total(sum.total)
                    }
                };
                match sums.as_slice() {
                    [] if function == Function::Sum => (number(0, 0), true),
                    [] => (Value::Null, true),
                    [sum] => one(sum),
                    sums => {
                        let mut exact = true;
                        let fields = sums.iter().map(|sum| {
                            let (value, whole) = one(sum);
                            exact &= whole;
                            (sum.currency.as_str().into(), value)
                        });
                        (Value::Object(fields.collect::<Object>()), exact)
                    }
                }
            }
            Self::Extreme(extreme) => (extreme.map_or(Value::Null, |units| number(units.get(), -18)), true),
            Self::Kept(kept) => (kept.as_ref().map_or(Value::Null, |point| point.value.clone()), true),
            Self::Distinct(distinct) => distinct.render(function),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Count(count) => put_u64(out, *count),
            Self::Sums(sums) => {
                put_len(out, sums.len());
                for sum in sums {
                    out.extend_from_slice(&sum.currency.0);
                    put_u64(out, sum.count);
                    put_i256(out, sum.total);
                }
            }
            Self::Extreme(extreme) => {
                put_flag(out, extreme.is_some());
                if let Some(units) = extreme {
                    put_i128(out, units.get());
                }
            }
            Self::Kept(kept) => {
                put_flag(out, kept.is_some());
                if let Some(point) = kept {
                    put_mark(out, &point.mark);
                    put_value(out, &point.value);
                }
            }
            Self::Distinct(distinct) => distinct.encode(out),
        }
    }

    pub(crate) fn decode(function: Function, reader: &mut Reader<'_>) -> Result<Self, PartError> {
        let mut tally = Self::empty(function);
        match &mut tally {
            Self::Count(count) => *count = reader.u64()?,
            Self::Sums(sums) => {
                for _ in 0..reader.len(6)? {
                    sums.push(Sum {
                        currency: Currency(reader.array()?),
                        count: reader.u64()?,
                        total: reader.i256()?,
                    });
                }
                // No sum can be larger than its count of the largest numbers: damage must not overflow later.
                let possible = |sum: &Sum| {
                    let most = I256::from(sum.count) * -I256::from(i128::MIN);
                    sum.count > 0 && (-most..=most).contains(&sum.total)
                };
                if !sums.iter().all(possible) {
                    return Err(reader.damaged("a sum does not fit its count"));
                }
                if !sums.is_sorted_by(|one, next| one.currency < next.currency) {
                    return Err(reader.damaged("currencies are out of order"));
                }
            }
            Self::Extreme(extreme) => {
                if reader.flag()? {
                    *extreme = Some(Units::of(reader.i128()?));
                }
            }
            Self::Kept(kept) => {
                if reader.flag()? {
                    *kept = Some(Box::new(ValuePoint {
                        mark: reader.mark()?,
                        value: reader.value()?,
                    }));
                }
            }
            Self::Distinct(distinct) => **distinct = Distinct::decode(reader)?,
        }
        Ok(tally)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Sums(sums) => sums.capacity() * size_of::<Sum>(),
            Self::Kept(Some(_)) => size_of::<ValuePoint>(),
            Self::Distinct(distinct) => size_of::<Distinct>() + distinct.heap_bytes(),
            _ => 0,
        }
    }
}

fn add_sum(sums: &mut Vec<Sum>, currency: Currency, count: u64, total: I256) {
    match sums.binary_search_by_key(&currency, |sum| sum.currency) {
        Ok(at) => {
            sums[at].count = sums[at].count.saturating_add(count);
            sums[at].total = sums[at].total.wrapping_add(total);
        }
        Err(at) => {
            if sums.is_empty() {
                sums.reserve_exact(1);
            }
            sums.insert(at, Sum { currency, count, total });
        }
    }
}

fn set_outer(extreme: &mut Option<Units>, function: Function, units: i128) {
    let outer = extreme.map_or(units, |held| match function {
        Function::Min => held.get().min(units),
        _ => held.get().max(units),
    });
    *extreme = Some(Units::of(outer));
}

fn number(mantissa: i128, exponent: i32) -> Value {
    // The exponents of this crate lie far within what a decimal carries.
    Decimal::new(mantissa, exponent).map_or(Value::Null, Value::Number)
}

/// The sum as a number, rounded half to even to 38 digits when it has more, and whether it had not.
fn total(units: I256) -> (Value, bool) {
    if let Ok(small) = i128::try_from(units) {
        return (number(small, -18), true);
    }
    let ten = I256::from(10_i8);
    let (mut whole, mut exponent) = (units, -18);
    while whole != I256::ZERO && whole % ten == I256::ZERO {
        whole /= ten;
        exponent += 1;
    }
    let most = I256::from(10_i128.pow(38));
    let (mut divisor, mut rounded) = (I256::ONE, whole);
    while rounded.abs() >= most {
        divisor *= ten;
        exponent += 1;
        rounded = divide_half_even(whole, divisor);
    }
    (
        i128::try_from(rounded).map_or(Value::Null, |mantissa| number(mantissa, exponent)),
        divisor == I256::ONE,
    )
}

fn average(sum: &Sum) -> Value {
    let divisor = I256::from(sum.count) * I256::from(10_i128.pow(18 - AVERAGE_PLACES));
    let quotient = divide_half_even(sum.total, divisor);
    // No average lies outside the numbers it is made of, so it fits.
    i128::try_from(quotient).map_or(Value::Null, |mantissa| number(mantissa, -12))
}

/// Division rounded to the nearest whole number, halves to the even one. The divisor is positive.
fn divide_half_even(dividend: I256, divisor: I256) -> I256 {
    let (quotient, rest) = (dividend.div_euclid(divisor), dividend.rem_euclid(divisor));
    let twice = rest + rest;
    let odd = quotient % I256::from(2_i8) != I256::ZERO;
    if twice > divisor || (twice == divisor && odd) {
        quotient + I256::ONE
    } else {
        quotient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pro_4_rounding_is_half_to_even() {
        let divide = |dividend: i64, divisor: i64| divide_half_even(I256::from(dividend), I256::from(divisor)).as_i64();
        for (dividend, divisor, expected) in [
            (5, 2, 2),
            (7, 2, 4),
            (-5, 2, -2),
            (-7, 2, -4),
            (8, 3, 3),
            (7, 3, 2),
            (-8, 3, -3),
            (-7, 3, -2),
        ] {
            assert_eq!(divide(dividend, divisor), expected, "{dividend} / {divisor}");
        }
    }

    #[test]
    fn pro_4_a_sum_of_more_than_38_digits_says_that_it_is_rounded() {
        let large = I256::from(i128::MAX) * I256::from(1_000_i128) + I256::ONE;
        let (value, exact) = total(large);
        assert!(!exact);
        assert_eq!(
            value.as_number().unwrap().mantissa(),
            17_014_118_346_046_923_173_168_730_371_588_410_573
        );
        assert_eq!(
            total(I256::from(1_500_000_000_000_000_000_i128)),
            (Value::Number("1.5".parse().unwrap()), true)
        );
    }
}
