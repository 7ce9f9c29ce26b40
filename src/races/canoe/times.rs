//! What the numbers of a result mean: times, penalties and totals of an export, in milliseconds.
//! Invariants: times and totals of one race have one unit; a value is only ever multiplied, never computed from others.
//!
//! Nothing in the file says the unit (its `TimeMode` cannot be trusted), so it is told by the sums. Of a row with a
//! penalty, `Total = Time + Pen` holds in hundredths, where penalties are hundredths too, and `Total = Time + 1000·Pen` in
//! thousandths, where penalties are whole seconds; with a penalty above zero never both. A race is in the unit
//!
//! 1. in which more of its own sums hold; else
//! 2. in which all sums of the file hold, for one program writes a file in one mode; else
//! 3. which the size of its own times shows: a slalom run takes 60 to 200 s, so that up to 20,000 is no thousandths and
//!    from 60,000 is no hundredths; else
//! 4. in which more sums of the file hold; else
//! 5. which the size of all times of the file shows; else
//! 6. hundredths.
//!
//! The sums of the file come before the size of a race, because there are races that do not take 60 to 200 s; but a file
//! whose sums disagree says nothing of a race without any.
//!
//! A row whose sum does not hold in the unit of its race keeps what it says, time and total in that unit: it may be a
//! correction by hand. Only its penalty is read in another unit (seconds, hundredths, thousandths) if then the sum holds.
//!
//! A race in which a time has a decimal point is in seconds as a whole, as the live dialect has it.

use super::ResultPart;
use crate::ids::RaceId;
use std::collections::HashMap;

/// Largest number in a file; times a thousand it is far from the end of an `i64`.
pub(super) const NUMBER_MAX: i64 = 1_000_000_000;
/// The longest slalom run, in hundredths: what is not longer cannot be thousandths.
const RUN_HUNDREDTHS_MAX: i64 = 200 * 100;
/// The shortest slalom run, in thousandths: what is not shorter cannot be hundredths.
const RUN_THOUSANDTHS_MIN: i64 = 60 * 1_000;

/// A whole number from 0 to [`NUMBER_MAX`].
pub(super) fn whole(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|number| *number <= NUMBER_MAX)
}

/// A time, penalty or total as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// A whole number in a unit not yet known.
    Whole(i64),
    /// Seconds with a point, in milliseconds.
    Millis(i64),
}

impl Amount {
    /// Reads a whole number, or seconds with a point and at most three decimals that say anything.
    pub fn read(text: &str) -> Option<Self> {
        let Some((seconds, decimals)) = text.split_once('.') else { return whole(text).map(Self::Whole) };
        if decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let decimals = decimals.trim_end_matches('0');
        if decimals.len() > 3 {
            return None;
        }
        Some(Self::Millis(whole(seconds)? * 1_000 + whole(&format!("{decimals:0<3}"))?))
    }

    fn ms(self, unit_ms: i64) -> i64 {
        match self {
            Self::Whole(number) => number * unit_ms,
            Self::Millis(ms) => ms,
        }
    }

    fn whole(self) -> Option<i64> {
        match self {
            Self::Whole(number) => Some(number),
            Self::Millis(_) => None,
        }
    }
}

/// The numbers of a result as they are written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub time: Option<Amount>,
    pub pen: Option<Amount>,
    pub total: Option<Amount>,
    pub total_total: Option<Amount>,
}

impl Times {
    fn has_point(self) -> bool {
        let all = [self.time, self.pen, self.total, self.total_total];
        all.into_iter().flatten().any(|amount| amount.whole().is_none())
    }

    /// The unit in which the sum of a row with a penalty holds.
    fn unit_by_sum(self) -> Option<Unit> {
        let [time, pen, total] = [self.time?.whole()?, self.pen?.whole()?, self.total?.whole()?];
        let holds = |unit: &Unit| pen > 0 && total * unit.ms() == time * unit.ms() + pen * unit.pen_ms();
        [Unit::Hundredths, Unit::Thousandths].into_iter().find(holds)
    }

    /// The unit in which the time, or without one the total, is not absurd.
    fn unit_by_size(self) -> Option<Unit> {
        match self.time.or(self.total).or(self.total_total)?.whole()? {
            1..=RUN_HUNDREDTHS_MAX => Some(Unit::Hundredths),
            RUN_THOUSANDTHS_MIN.. => Some(Unit::Thousandths),
            _ => None,
        }
    }

    /// The penalty in the unit of the race, or else in the one in which the sum holds.
    fn pen_ms(self, unit: Unit) -> Option<i64> {
        let pen = self.pen?;
        let between = self.total.zip(self.time).map(|(total, time)| total.ms(unit.ms()) - time.ms(unit.ms()));
        let told = [1, 10, 1_000].map(|ms| pen.ms(ms)).into_iter().find(|pen| Some(*pen) == between);
        Some(told.unwrap_or(pen.ms(unit.pen_ms())))
    }
}

/// The unit of the times of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Hundredths,
    Thousandths,
    Seconds,
}

impl Unit {
    /// Of a time or total.
    fn ms(self) -> i64 {
        match self {
            Self::Hundredths => 10,
            Self::Thousandths => 1,
            Self::Seconds => 1_000,
        }
    }

    /// Of a penalty.
    fn pen_ms(self) -> i64 {
        match self {
            Self::Hundredths => 10,
            Self::Thousandths | Self::Seconds => 1_000,
        }
    }
}

/// How many rows speak for a unit.
#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    hundredths: usize,
    thousandths: usize,
}

impl Votes {
    fn add(&mut self, unit: Option<Unit>) {
        match unit {
            Some(Unit::Hundredths) => self.hundredths += 1,
            Some(Unit::Thousandths) => self.thousandths += 1,
            Some(Unit::Seconds) | None => {}
        }
    }

    fn most(self) -> Option<Unit> {
        match self.hundredths.cmp(&self.thousandths) {
            std::cmp::Ordering::Greater => Some(Unit::Hundredths),
            std::cmp::Ordering::Less => Some(Unit::Thousandths),
            std::cmp::Ordering::Equal => None,
        }
    }

    fn all(self) -> Option<Unit> {
        if self.hundredths > 0 && self.thousandths > 0 { None } else { self.most() }
    }
}

/// What the rows of a race, or of the file, say of their unit.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    sums: Votes,
    sizes: Votes,
    has_point: bool,
}

impl Evidence {
    fn add(&mut self, times: Times) {
        self.sums.add(times.unit_by_sum());
        self.sizes.add(times.unit_by_size());
        self.has_point |= times.has_point();
    }

    fn unit(self, file: Self) -> Unit {
        if self.has_point {
            return Unit::Seconds;
        }
        let told =
            self.sums.most().or(file.sums.all()).or(self.sizes.most()).or(file.sums.most()).or(file.sizes.most());
        told.unwrap_or(Unit::Hundredths)
    }
}

/// Puts the times of all results in milliseconds, once all of them are known.
pub(super) fn settle(rows: Vec<(ResultPart, Times)>) -> Vec<ResultPart> {
    let mut file = Evidence::default();
    let mut races: HashMap<RaceId, Evidence> = HashMap::new();
    for (result, times) in &rows {
        file.add(*times);
        races.entry(result.race_id.clone()).or_default().add(*times);
    }
    let settled = |(result, times): (ResultPart, Times)| {
        let unit = races.get(&result.race_id).copied().unwrap_or_default().unit(file);
        let ms = |amount: Option<Amount>| amount.map(|amount| amount.ms(unit.ms()));
        ResultPart {
            time_ms: ms(times.time),
            pen_ms: times.pen_ms(unit),
            total_ms: ms(times.total),
            total_total_ms: ms(times.total_total),
            ..result
        }
    };
    rows.into_iter().map(settled).collect()
}
