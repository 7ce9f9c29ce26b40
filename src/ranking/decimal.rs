//! Exact decimals: marks as fixed-point thousandths, everything else at any scale.
//! Invariant: no value is held, compared or computed as a float. A float appears only as the carrier of a decimal
//! text into or out of a serializer, and only where it gives that same decimal back.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Add;
use std::str::FromStr;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

/// A judge's mark in thousandths of a point, |mark| < 10⁹ points.
/// On the wire it is a JSON number with at most 3 decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(i64);

/// An exact decimal number of any scale: a weight, a factor, an amount deducted, a value or a total.
///
/// On the wire it is a JSON number while it has at most 15 significant digits, and a JSON string beyond that, because
/// most readers of JSON numbers would silently change the 17th digit. Both forms are read. A JSON number that is read
/// counts as the shortest decimal of its double, so its first 15 significant digits are always kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decimal {
    // Normal form, so that `Eq` and `Hash` may be derived: the scale is the smallest that holds the value.
    unscaled: BigInt,
    scale: u32,
}

/// How a stated rounding treats what lies between two decimals (contract, section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundingMode {
    /// To the nearest; a half goes away from zero.
    #[default]
    HalfUp,
    /// To the nearest; a half goes to the even neighbour.
    HalfEven,
    /// Toward zero.
    Truncate,
}

/// Why a text or a number is not taken as a mark or a decimal. It does not repeat the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Neither digits, nor digits with a point, nor either of them with an exponent.
    #[error("not a decimal number")]
    NotANumber,
    /// A mark is finer than thousandths.
    #[error("more than 3 decimals")]
    TooManyDecimals,
    /// A mark of 10⁹ points or more, or a decimal of more than 60 digits.
    #[error("out of range")]
    OutOfRange,
}

/// The bound on what is read, before or after the point: an exponent must not become a gigabyte of zeros.
const DIGITS_MAX: usize = 60;
/// Every decimal with so many significant digits comes back unchanged from the double nearest to it.
const DOUBLE_DIGITS_MAX: usize = 15;

impl Mark {
    /// No points.
    pub const ZERO: Self = Self(0);
    /// The greatest mark; the least is its negative.
    pub const MAX: Self = Self(999_999_999_999);

    /// A mark from thousandths of a point.
    ///
    /// # Errors
    /// `OutOfRange` from 10⁹ points on.
    pub fn from_thousandths(thousandths: i64) -> Result<Self, DecimalError> {
        if (-Self::MAX.0..=Self::MAX.0).contains(&thousandths) {
            Ok(Self(thousandths))
        } else {
            Err(DecimalError::OutOfRange)
        }
    }

    /// Thousandths of a point.
    #[must_use]
    pub const fn thousandths(self) -> i64 {
        self.0
    }
}

impl FromStr for Mark {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let decimal: Decimal = text.parse()?;
        if decimal.scale > 3 {
            return Err(DecimalError::TooManyDecimals);
        }
        let thousandths = decimal.unscaled_at(3).to_i64().ok_or(DecimalError::OutOfRange)?;
        Self::from_thousandths(thousandths)
    }
}

/// The shortest decimal text: `9.25`, `9`, `-0.5`.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, thousandths) = (self.0.unsigned_abs() / 1_000, self.0.unsigned_abs() % 1_000);
        if thousandths == 0 {
            write!(f, "{sign}{whole}")
        } else {
            write!(f, "{sign}{whole}.{}", format!("{thousandths:03}").trim_end_matches('0'))
        }
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 1_000 == 0 {
            return serializer.serialize_i64(self.0 / 1_000);
        }
        // Exact, though a double carries it: a mark has at most 12 significant digits (10¹² thousandths < 2⁵³), no two
        // decimals of up to 15 digits share a nearest double, and the JSON writer prints the shortest decimal that
        // leads back to the double. That is the text we began with.
        serialize_via_double(&self.to_string(), serializer)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor {
            parse: Self::from_str,
            expected: "a number with at most 3 decimals",
            accepts_text: false,
        })
    }
}

impl Decimal {
    /// `unscaled` × 10^-`scale`.
    #[must_use]
    pub fn new(unscaled: BigInt, scale: u32) -> Self {
        let (mut unscaled, mut scale) = (unscaled, scale);
        while scale > 0 && (&unscaled % 10u8).is_zero() {
            unscaled /= 10u8;
            scale -= 1;
        }
        Self { unscaled, scale }
    }

    /// Nothing.
    #[must_use]
    pub fn zero() -> Self {
        Self::default()
    }

    /// One: the weight and the factor that change nothing.
    #[must_use]
    pub fn one() -> Self {
        Self::from(1)
    }

    /// `value` rounded to so many decimals.
    #[must_use]
    pub fn rounded(value: &BigRational, decimals: u8, mode: RoundingMode) -> Self {
        let scaled = value.numer() * power_of_ten(u32::from(decimals));
        // `BigRational` keeps its denominator positive, so quotient and rest carry the sign of the value.
        let (mut unscaled, rest) = (&scaled / value.denom(), &scaled % value.denom());
        let against_half = (rest.abs() * 2u8).cmp(value.denom());
        let away_from_zero = match mode {
            RoundingMode::HalfUp => against_half != Ordering::Less,
            RoundingMode::HalfEven => match against_half {
                Ordering::Less => false,
                Ordering::Equal => unscaled.bit(0),
                Ordering::Greater => true,
            },
            RoundingMode::Truncate => false,
        };
        if away_from_zero {
            unscaled += scaled.signum();
        }
        Self::new(unscaled, u32::from(decimals))
    }

    /// The same value, to compute with.
    #[must_use]
    pub fn to_rational(&self) -> BigRational {
        BigRational::new(self.unscaled.clone(), power_of_ten(self.scale))
    }

    /// Below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.unscaled.is_negative()
    }

    /// Exactly zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.unscaled.is_zero()
    }

    /// The value in units of 10^-`scale`; `scale` is not below its own.
    fn unscaled_at(&self, scale: u32) -> BigInt {
        &self.unscaled * power_of_ten(scale.saturating_sub(self.scale))
    }

    fn digits_significant(&self) -> usize {
        self.unscaled.magnitude().to_string().trim_end_matches('0').len()
    }
}

impl From<i64> for Decimal {
    fn from(whole: i64) -> Self {
        Self::new(BigInt::from(whole), 0)
    }
}

impl From<Mark> for Decimal {
    fn from(mark: Mark) -> Self {
        Self::new(BigInt::from(mark.0), 3)
    }
}

impl Add<&Decimal> for Decimal {
    type Output = Self;

    fn add(self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        Self::new(self.unscaled_at(scale) + other.unscaled_at(scale), scale)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.unscaled_at(scale).cmp(&other.unscaled_at(scale))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (digits(whole)?, digits(fraction)?),
            None => (digits(mantissa)?, ""),
        };

        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        let zeros_cut = digits.len() - significant.len();
        let significant = significant.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Self::zero());
        }
        // Where the point goes, counted from the last significant digit; negative means zeros before the point.
        let scale = to_i64(fraction.len())? - exponent - to_i64(zeros_cut)?;
        let digits_max = to_i64(DIGITS_MAX)?;
        if to_i64(significant.len())? - scale.min(0) > digits_max || scale > digits_max {
            return Err(DecimalError::OutOfRange);
        }
        let magnitude: BigInt = significant.parse().map_err(|_| DecimalError::NotANumber)?;
        let places = u32::try_from(scale.unsigned_abs()).map_err(|_| DecimalError::OutOfRange)?;
        let unsigned =
            if scale < 0 { Self::new(magnitude * power_of_ten(places), 0) } else { Self::new(magnitude, places) };
        Ok(if negative { Self { unscaled: -unsigned.unscaled, ..unsigned } } else { unsigned })
    }
}

/// The shortest decimal text, never with an exponent: `0.333333`, `9`, `-1.25`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { "-" } else { "" };
        let scale = usize::try_from(self.scale).map_err(|_| fmt::Error)?;
        let digits = format!("{:0>width$}", self.unscaled.magnitude().to_string(), width = scale.saturating_add(1));
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.digits_significant() > DOUBLE_DIGITS_MAX {
            return serializer.collect_str(self);
        }
        match self.unscaled.to_i64() {
            Some(whole) if self.scale == 0 => serializer.serialize_i64(whole),
            Some(_) | None => serialize_via_double(&self.to_string(), serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor {
            parse: Self::from_str,
            expected: "a decimal number",
            accepts_text: true,
        })
    }
}

/// Reads whatever a format calls a number, by way of its decimal text.
struct NumberVisitor<T> {
    parse: fn(&str) -> Result<T, DecimalError>,
    expected: &'static str,
    accepts_text: bool,
}

impl<T> NumberVisitor<T> {
    fn read<E: serde::de::Error>(&self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(|error| E::custom(format_args!("{error}, expected {}", self.expected)))
    }
}

impl<T> Visitor<'_> for NumberVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.read(&number.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        self.read(&number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        // `Number` prints the shortest decimal that leads back to this double: what was written, up to 15 digits.
        let number = serde_json::Number::from_f64(number).ok_or_else(|| E::custom("not a finite number"))?;
        self.read(&number.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        if self.accepts_text { self.read(text) } else { Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)) }
    }
}

/// For texts of at most 15 significant digits; see `Serialize for Mark` for why nothing is lost.
fn serialize_via_double<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(text.parse().map_err(S::Error::custom)?)
}

/// At least one digit and nothing else.
fn digits(text: &str) -> Result<&str, DecimalError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        Err(DecimalError::NotANumber)
    } else if text.len() > DIGITS_MAX {
        Err(DecimalError::OutOfRange)
    } else {
        Ok(text)
    }
}

fn parse_exponent(text: &str) -> Result<i64, DecimalError> {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude: i64 = digits(magnitude)?.parse().map_err(|_| DecimalError::OutOfRange)?;
    // Far beyond what is accepted, and small enough to be added without overflow.
    let magnitude = magnitude.min(1_000_000);
    Ok(if negative { -magnitude } else { magnitude })
}

fn to_i64(length: usize) -> Result<i64, DecimalError> {
    i64::try_from(length).map_err(|_| DecimalError::OutOfRange)
}

fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10u8).pow(exponent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal in a test")
    }

    #[test]
    fn a_mark_is_read_in_thousandths_and_shown_in_its_shortest_form() {
        for (text, thousandths, shown) in [
            ("9", 9_000, "9"),
            ("9.5", 9_500, "9.5"),
            ("9.50", 9_500, "9.5"),
            ("9.125000", 9_125, "9.125"),
            ("-1.25", -1_250, "-1.25"),
            ("-0.5", -500, "-0.5"),
            ("0.001", 1, "0.001"),
            ("-0", 0, "0"),
            ("0e99999999999", 0, "0"),
            ("1e1", 10_000, "10"),
            ("1E+2", 100_000, "100"),
            ("125e-3", 125, "0.125"),
            ("007", 7_000, "7"),
            ("999999999.999", 999_999_999_999, "999999999.999"),
        ] {
            let mark: Mark = text.parse().expect(text);
            assert_eq!((mark.thousandths(), mark.to_string().as_str()), (thousandths, shown), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_mark_is_refused_with_the_reason() {
        use DecimalError::{NotANumber, OutOfRange, TooManyDecimals};
        for (text, error) in [
            ("", NotANumber),
            ("-", NotANumber),
            ("+1", NotANumber),
            (" 1", NotANumber),
            (".5", NotANumber),
            ("5.", NotANumber),
            ("1.2.3", NotANumber),
            ("1,5", NotANumber),
            ("NaN", NotANumber),
            ("inf", NotANumber),
            ("1e", NotANumber),
            ("1e1e1", NotANumber),
            ("１", NotANumber),
            ("0x10", NotANumber),
            ("9.1234", TooManyDecimals),
            ("1e-4", TooManyDecimals),
            ("1000000000", OutOfRange),
            ("-1e9", OutOfRange),
            ("1e400", OutOfRange),
            ("1e-400", OutOfRange),
            ("1e99999999999999999999", OutOfRange),
            (&"9".repeat(61), OutOfRange),
        ] {
            assert_eq!(text.parse::<Mark>(), Err(error), "{text}");
        }
        assert_eq!(Mark::from_thousandths(i64::MIN), Err(OutOfRange));
    }

    #[test]
    fn marks_and_decimals_are_json_numbers() {
        for (text, wire) in
            [("9", "9"), ("9.25", "9.25"), ("-0.1", "-0.1"), ("0.001", "0.001"), ("999999999.999", "999999999.999")]
        {
            let mark: Mark = text.parse().expect(text);
            assert_eq!(serde_json::to_string(&mark).expect(text), wire);
            assert_eq!(serde_json::to_string(&decimal(text)).expect(text), wire);
            assert_eq!(serde_json::from_str::<Mark>(wire).expect(text), mark);
            assert_eq!(serde_json::from_str::<Decimal>(wire).expect(text), decimal(text));
            assert_eq!(serde_json::to_value(mark).expect(text).to_string(), wire);
        }
        let refused = |wire: &str| serde_json::from_str::<Mark>(wire).expect_err(wire).to_string();
        assert!(refused("9.1234").starts_with("more than 3 decimals, expected a number with at most 3 decimals"));
        assert!(refused("1e300").starts_with("out of range"));
        assert!(refused("\"9\"").contains("expected a number with at most 3 decimals"));
        assert!(refused("null").contains("expected a number with at most 3 decimals"));
        assert!(refused("true").contains("expected a number with at most 3 decimals"));
    }

    #[test]
    fn a_decimal_too_long_for_a_double_travels_as_text() {
        for (text, wire) in [
            ("123456789012.345", json!(123_456_789_012.345)),
            ("123456789012.3456", json!("123456789012.3456")),
            ("1234567890123456", json!("1234567890123456")),
            ("0.333333333333333333", json!("0.333333333333333333")),
            ("100000000000000000000", json!(1e20)),
        ] {
            assert_eq!(serde_json::to_value(decimal(text)).expect(text), wire);
            assert_eq!(serde_json::from_value::<Decimal>(wire).expect(text), decimal(text));
        }
        assert_eq!(
            serde_json::from_str::<Decimal>("18446744073709551615").expect("u64"),
            decimal("18446744073709551615")
        );
        assert!(serde_json::from_str::<Decimal>("\"ten\"").is_err());
        assert!(serde_json::from_str::<Decimal>("1e61").is_err());
    }

    #[test]
    fn each_mode_rounds_its_own_way() {
        use RoundingMode::{HalfEven, HalfUp, Truncate};
        for (text, decimals, half_up, half_even, truncated) in [
            ("2.345", 2, "2.35", "2.34", "2.34"),
            ("2.355", 2, "2.36", "2.36", "2.35"),
            ("-2.345", 2, "-2.35", "-2.34", "-2.34"),
            ("2.3450001", 2, "2.35", "2.35", "2.34"),
            ("2.3449999", 2, "2.34", "2.34", "2.34"),
            ("2.5", 0, "3", "2", "2"),
            ("3.5", 0, "4", "4", "3"),
            ("-0.5", 0, "-1", "0", "0"),
            ("0.999", 2, "1", "1", "0.99"),
            ("9.1", 3, "9.1", "9.1", "9.1"),
        ] {
            let shown = |mode| Decimal::rounded(&decimal(text).to_rational(), decimals, mode).to_string();
            assert_eq!(
                (shown(HalfUp), shown(HalfEven), shown(Truncate)),
                (half_up.into(), half_even.into(), truncated.into()),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_mark_survives_its_text_and_its_json(thousandths in -999_999_999_999_i64..=999_999_999_999) {
            let mark = Mark::from_thousandths(thousandths).expect("in range");
            prop_assert_eq!(mark.to_string().parse::<Mark>(), Ok(mark));
            let wire = serde_json::to_string(&mark).expect("a number");
            prop_assert_eq!(&wire, &mark.to_string());
            prop_assert_eq!(serde_json::from_str::<Mark>(&wire).expect("a mark"), mark);
        }

        #[test]
        fn every_decimal_survives_its_text_and_its_json(unscaled: i128, scale in 0_u32..40) {
            let value = Decimal::new(BigInt::from(unscaled), scale);
            prop_assert_eq!(value.to_string().parse::<Decimal>(), Ok(value.clone()));
            let wire = serde_json::to_string(&value).expect("a number or a text");
            prop_assert_eq!(serde_json::from_str::<Decimal>(&wire).expect("a decimal"), value);
        }

        #[test]
        fn decimals_of_fifteen_digits_are_exact_json_numbers(unscaled in -999_999_999_999_999_i64..=999_999_999_999_999, scale in 0_u32..20) {
            let value = Decimal::new(BigInt::from(unscaled), scale);
            let wire = serde_json::to_string(&value).expect("a number");
            prop_assert!(!wire.starts_with('"'));
            prop_assert_eq!(wire.parse::<Decimal>(), Ok(value));
        }

        #[test]
        fn decimals_compare_and_add_as_their_values(a: i64, b: i64, a_scale in 0_u32..12, b_scale in 0_u32..12) {
            let (a, b) = (Decimal::new(BigInt::from(a), a_scale), Decimal::new(BigInt::from(b), b_scale));
            prop_assert_eq!(a.cmp(&b), a.to_rational().cmp(&b.to_rational()));
            prop_assert_eq!((a.clone() + &b).to_rational(), a.to_rational() + b.to_rational());
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[-+0-9.eE]{0,24}|.{0,12}") {
            let _ = (text.parse::<Mark>(), text.parse::<Decimal>());
        }
    }
}
