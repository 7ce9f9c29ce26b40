//! Standardised marks: how far a mark lies from what its judge usually gives, in that judge's own deviations.
//! Invariant: a standardised mark is the decimal with 12 places nearest to the true number (a half goes away from
//! zero), found by integer arithmetic alone. Nothing before it is rounded, so no order of operations can change it.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

/// What one judge usually gives in one criterion.
pub(super) struct Standard {
    mean: BigRational,
    /// The square of the population standard deviation.
    variance: BigRational,
}

/// 10¹²: the places of a standardised mark.
const UNIT: u64 = 1_000_000_000_000;

impl Standard {
    /// Of all marks of a judge in a criterion. The unit of a mark does not matter here: it cancels out.
    pub(super) fn of(marks: &[i64]) -> Self {
        if marks.is_empty() {
            return Self { mean: BigRational::zero(), variance: BigRational::zero() };
        }
        let count = BigRational::from_integer(BigInt::from(marks.len()));
        let mean = marks.iter().map(|&mark| number(mark)).sum::<BigRational>() / &count;
        let squares = marks.iter().map(|&mark| (number(mark) - &mean).pow(2)).sum::<BigRational>();
        Self { mean, variance: squares / count }
    }

    /// The mark, standardised. A judge who gives everybody the same prefers nobody: 0.
    pub(super) fn score(&self, mark: i64) -> BigRational {
        if self.variance.is_zero() {
            return BigRational::zero();
        }
        let distance = number(mark) - &self.mean;
        // One root of the whole fraction instead of a rounded deviation to divide by.
        let root = root(&(distance.pow(2) / &self.variance));
        if distance.is_negative() { -root } else { root }
    }
}

/// The square root to 12 places, a half up; `square` is not negative.
fn root(square: &BigRational) -> BigRational {
    // The whole part of twice the root in units of 10⁻¹², of which adding one and halving makes the nearest whole.
    let twice = (square.numer() * 4u8 * UNIT * UNIT / square.denom()).sqrt();
    BigRational::new((twice + 1u8) / 2u8, BigInt::from(UNIT))
}

fn number(mark: i64) -> BigRational {
    BigRational::from_integer(BigInt::from(mark))
}

#[cfg(test)]
mod tests {
    use super::super::Decimal;
    use super::*;

    fn shown(value: &BigRational) -> String {
        Decimal::rounded(value, 15, super::super::RoundingMode::Truncate).to_string()
    }

    #[test]
    fn a_root_is_the_nearest_decimal_of_twelve_places() {
        for (numerator, denominator, expected) in [
            (0_u128, 1_u128, "0"),
            (4, 1, "2"),
            (1, 4, "0.5"),
            (2, 1, "1.414213562373"),
            (3, 1, "1.732050807569"), // …568877
            (1, 3, "0.57735026919"),  // …189626: up, and the last zero is not shown
            // 0.5 and 0.4999… of the last place.
            (25, 10_u128.pow(26), "0.000000000001"),
            (25 * 10_u128.pow(10) - 1, 10_u128.pow(36), "0"),
            (10_u128.pow(24), 1, "1000000000000"),
        ] {
            let square = BigRational::new(BigInt::from(numerator), BigInt::from(denominator));
            assert_eq!(shown(&root(&square)), expected, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn marks_are_measured_in_deviations_of_their_judge() {
        // Mean 5, squares 9 1 1 1 0 0 4 16 over 8 marks: deviation 2.
        let known = Standard::of(&[2, 4, 4, 4, 5, 5, 7, 9]);
        for (mark, expected) in [(2, "-1.5"), (4, "-0.5"), (5, "0"), (9, "2")] {
            assert_eq!(shown(&known.score(mark)), expected, "{mark}");
        }
        // Mean 2, variance 2/3: 1 / √(2/3) = √1.5.
        let three = Standard::of(&[1, 2, 3]);
        assert_eq!(
            (shown(&three.score(3)), shown(&three.score(1))),
            ("1.224744871392".into(), "-1.224744871392".into())
        );
        assert_eq!(shown(&Standard::of(&[7, 7, 7]).score(7)), "0");
        assert_eq!(shown(&Standard::of(&[]).score(7)), "0");
    }
}
