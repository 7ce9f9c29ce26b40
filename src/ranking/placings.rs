//! Placings: what counts is not how many points a judge gives but the order those points make.
//! Invariants: every judge who places anybody places everybody in the field, so the places of one judge always add up
//! to the same; contestants a judge holds equal share the mean of their places.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

use super::tally::{Sheet, Tally, whole};

/// Gives the sheets of the field their places and totals, and says whose places do not count.
///
/// The field is everybody without a status whose marks are there, or filled by the policy. Each judge's own total is
/// the sum of weight × mark, × the entry's factor, − the entry's deductions, not below zero if `floorZero`: points are
/// deducted where there are points, that is from the total of every judge before it becomes a place. A place is never
/// deducted from.
pub(super) fn fill(tally: &Tally<'_>, sheets: &mut [Sheet]) -> Vec<String> {
    let field: Vec<usize> = (0..sheets.len())
        .filter(|&entry| tally.entries[entry].status.is_none() && !sheets[entry].cells.is_empty())
        .filter(|&entry| sheets[entry].cells.iter().all(|cell| cell.outcome.is_ok()))
        .collect();
    let mut warnings = Vec::new();
    for (judge, panelist) in tally.panel.iter().enumerate() {
        let own: Vec<Option<BigRational>> =
            field.iter().map(|&entry| own_total(tally, entry, &sheets[entry], judge)).collect();
        if own.iter().any(Option::is_none) {
            if own.iter().any(Option::is_some) {
                warnings.push(format!(
                    "judge {} left the panel after marking only a part; their places do not count",
                    panelist.judge
                ));
            }
            continue;
        }
        let own: Vec<BigRational> = own.into_iter().flatten().collect();
        for (&entry, place) in field.iter().zip(places(&own)) {
            sheets[entry].places.push(place);
        }
    }
    for &entry in &field {
        let sheet = &mut sheets[entry];
        if !sheet.places.is_empty() {
            sheet.total = Some(tally.round(sheet.places.iter().sum(), tally.rules.rounding.total));
        }
    }
    warnings
}

/// None unless the judge gave all marks, or owes them and the policy fills them.
fn own_total(tally: &Tally<'_>, entry: usize, sheet: &Sheet, judge: usize) -> Option<BigRational> {
    let marks = sheet.cells.iter().enumerate().map(|(criterion, cell)| {
        let mark = match cell.marks.of_judge(judge) {
            Some(mark) => mark,
            // Owed and not blocked, or the cell would have no value: the mean of the others.
            None if cell.marks.owed.contains(&judge) => cell.marks.mean(),
            None => return None,
        };
        Some(mark * tally.weight(criterion))
    });
    let total = marks.sum::<Option<BigRational>>()? * tally.factor(entry) - tally.deducted[entry].to_rational();
    Some(if tally.rules.floor_zero && total.is_negative() { BigRational::zero() } else { total })
}

/// The place of each, most points first; equal ones share the mean of their places.
fn places(points: &[BigRational]) -> Vec<BigRational> {
    let place = |own: &BigRational| {
        let above = points.iter().filter(|other| *other > own).count();
        let equal = points.iter().filter(|other| *other == own).count();
        whole(above) + BigRational::new(BigInt::from(equal + 1), BigInt::from(2u8))
    };
    points.iter().map(place).collect()
}
