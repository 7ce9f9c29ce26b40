//! The skating system of dance sport, rules 5 to 11; a criterion is a dance, a mark is the place a judge gives.
//! (Rules 1 to 4 tell judges how to mark: in a final every judge gives each couple a place of its own.)
//! Invariants: a dance has places only if every judge who counts in it placed its whole field without ties; the places
//! of a dance add up to 1 + 2 + … + n; the marks of a couple are looked at only as places within the field.
//!
//! The source is the teaching text of the world federation, which follows Arthur Dawson (1963); its worked examples are
//! among the tests. Where it leaves a choice, or where its wording matters:
//!
//! - Rules 5 to 8: whoever has a majority in a column is placed before the next column is looked at. Couples with the
//!   same majority and the same sum look at the next columns alone, until one of them differs or the columns end. What
//!   remains equal shares the mean of its places (2.5), and the following place is not given again.
//! - Rule 9: the places of all dances are added (× the weight of the dance, which is 1 in the rules). The rules know no
//!   deduction in points; an approved one is added to this sum. A factor is not applied.
//! - Rule 10 gives away one place at a time. Having given place p to the best of the tied couples by "p and higher",
//!   it looks at *all* the others again for "p + 1 and higher", also at those with fewer such places before. A shared
//!   place of 2.5 is not "2 and higher", but "3 and higher". Lower places than p are not looked at.
//! - Rule 11 concerns those couples alone that rule 10 finds equal, in number and in sum, and best. It counts their
//!   marks over all dances from column p on. Its winner gets place p; those it beat are placed next, by rule 10 for
//!   p + 1 among themselves and rule 11 again if need be, and only then the couples that rule 10 had found worse.
//! - Couples equal under rule 11 too share the rank, unless the category names tie breakers; the rules leave them to
//!   a dance-off or the chairman.
//! - Of an even panel a majority is more than half.
//!
//! What the rules do not foresee: a judge who left the panel counts in a dance only if they placed its whole field, and
//! where contestants withdrew or have no result, the others move up in the list of every judge.

use std::cmp::Reverse;

use num_bigint::BigInt;
use num_rational::BigRational;

use super::decimal::{Decimal, Mark};
use super::tally::{Gap, Outcome, Sheet, Tally, whole};

/// What separates couples with the same sum of places, as `decidedBy` says it.
const RULE_10: &str = "rule:10";
const RULE_11: &str = "rule:11";

/// Couples that stay together, and what separates the first of them from the couple above.
pub(super) type Separated = (Vec<usize>, &'static str);

/// Gives the cells their dance places and the sheets their sums, and says which marks are no places.
pub(super) fn fill(tally: &Tally<'_>, sheets: &mut [Sheet]) -> Vec<String> {
    let mut warnings = Vec::new();
    for criterion in 0..tally.criteria.len() {
        // Whose marks of this dance are all there; the others have no place in it until they are.
        let field: Vec<usize> = (0..sheets.len())
            .filter(|&entry| tally.entries[entry].status.is_none())
            .filter(|&entry| sheets[entry].cells[criterion].outcome.as_ref().err() == Some(&Gap::Unplaced))
            .collect();
        let Some(ballots) = ballots(tally, &field, criterion, &mut warnings) else {
            continue;
        };
        let marks: Vec<Vec<BigRational>> =
            (0..field.len()).map(|couple| ballots.iter().map(|ballot| whole(ballot[couple])).collect()).collect();
        for ((&entry, place), marks) in field.iter().zip(dance_places(&marks, tally.entries.len())).zip(&marks) {
            let sheet = &mut sheets[entry];
            let cell = &mut sheet.cells[criterion];
            let weighted = &place * tally.weight(criterion);
            cell.outcome = Ok(Outcome { value: place, weighted, kept: 0..cell.marks.counted.len() });
            sheet.places.extend_from_slice(marks);
        }
    }
    for (entry, sheet) in sheets.iter_mut().enumerate() {
        sheet.total = match tally.entries[entry].status {
            None if !sheet.cells.is_empty() => rule_9(tally, entry, sheet),
            None | Some(_) => None,
        };
    }
    warnings
}

/// The places each judge gives in a dance, judge by judge, in order of the field; none if they are not to be used.
fn ballots(
    tally: &Tally<'_>,
    field: &[usize],
    criterion: usize,
    warnings: &mut Vec<String>,
) -> Option<Vec<Vec<usize>>> {
    let dance = &tally.criteria[criterion].id;
    let mut ballots = Vec::new();
    let mut usable = true;
    for (judge, panelist) in tally.panel.iter().enumerate() {
        let given: Vec<Mark> = field.iter().filter_map(|&entry| tally.mark(entry, criterion, judge)).collect();
        if given.len() < field.len() {
            // Only a judge who left can owe the field nothing and yet not have marked all of it.
            if !given.is_empty() {
                warnings.push(format!(
                    "judge {} left the panel after marking only a part of {dance}; their places there do not count",
                    panelist.judge
                ));
            }
            continue;
        }
        let Some(places) = places(&given) else {
            warnings.push(format!("the marks of judge {} in {dance} are not places, each given once", panelist.judge));
            usable = false;
            continue;
        };
        if given.iter().zip(&places).any(|(mark, place)| Decimal::from(*mark).to_rational() != whole(*place)) {
            warnings.push(format!(
                "the places of judge {} in {dance} are not 1 to {}; they count in their order",
                panelist.judge,
                field.len()
            ));
        }
        ballots.push(places);
    }
    (usable && !ballots.is_empty()).then_some(ballots)
}

/// Whole numbers from 1 on, each once, as places from 1 without gaps.
fn places(marks: &[Mark]) -> Option<Vec<usize>> {
    let is_place = |mark: &Mark| mark.thousandths() >= 1_000 && mark.thousandths() % 1_000 == 0;
    let is_alone = |mark: &Mark| marks.iter().filter(|other| *other == mark).count() == 1;
    let place = |mark: &Mark| 1 + marks.iter().filter(|other| *other < mark).count();
    marks.iter().all(|mark| is_place(mark) && is_alone(mark)).then(|| marks.iter().map(place).collect())
}

/// How good the marks of a couple are under rules 5 to 8; the least is the best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Majority {
    /// The first column in which more than half of the marks are that place or higher (rules 5 and 8).
    column: usize,
    /// From that column on: the size of the majority, more is better (rule 6), then the sum of the marks that form it
    /// (rule 7). Later columns decide only while the earlier ones are equal, which is the rest of rule 7.
    columns: Vec<(Reverse<usize>, BigRational)>,
}

impl Majority {
    /// Columns before `first` are not looked at; no mark is greater than `last`, and `first` is not either.
    fn of(marks: &[BigRational], first: usize, last: usize) -> Self {
        let column = |column: usize| {
            let column = whole(column);
            let counted = marks.iter().filter(|mark| **mark <= column);
            (Reverse(counted.clone().count()), counted.sum::<BigRational>())
        };
        let reached = (first..last).find(|&place| column(place).0.0 > marks.len() / 2).unwrap_or(last);
        Self { column: reached, columns: (reached..=last).map(column).collect() }
    }
}

/// Rules 5 to 8: the places of one dance, from the marks of each couple.
fn dance_places(marks: &[Vec<BigRational>], last: usize) -> Vec<BigRational> {
    let majorities: Vec<Majority> = marks.iter().map(|marks| Majority::of(marks, 1, last)).collect();
    let place = |own: &Majority| {
        let above = majorities.iter().filter(|other| *other < own).count();
        let equal = majorities.iter().filter(|other| *other == own).count();
        whole(above) + BigRational::new(BigInt::from(equal + 1), BigInt::from(2u8))
    };
    majorities.iter().map(place).collect()
}

/// Rule 9: the places of all dances added; the smallest sum is the best.
fn rule_9(tally: &Tally<'_>, entry: usize, sheet: &Sheet) -> Option<BigRational> {
    let places = sheet.cells.iter().map(|cell| cell.outcome.as_ref().ok().map(|outcome| &outcome.weighted));
    let sum = places.sum::<Option<BigRational>>()?;
    Some(sum + tally.deducted[entry].to_rational())
}

/// Rules 10 and 11: those with the same sum, best first; `place` is the best place they compete for.
pub(super) fn separate(sheets: &[Sheet], tied: Vec<usize>, place: usize, last: usize) -> Vec<Separated> {
    let mut separated = Vec::new();
    rule_10(sheets, tied, place, last, "total", &mut separated);
    separated
}

/// Gives away `place` and the following ones among couples with the same sum.
fn rule_10(
    sheets: &[Sheet],
    mut tied: Vec<usize>,
    mut place: usize,
    last: usize,
    decided_by: &'static str,
    separated: &mut Vec<Separated>,
) {
    let mut decided_by = decided_by;
    while !tied.is_empty() {
        let (best, others) = best_of(tied, |entry| dances_won(&sheets[entry], place));
        let given = best.len();
        if given == 1 {
            separated.push((best, decided_by));
        } else {
            rule_11(sheets, best, place, last, decided_by, separated);
        }
        (tied, place, decided_by) = (others, place + given, RULE_10);
    }
}

/// Gives away `place` and the following ones among couples that rule 10 finds equal.
fn rule_11(
    sheets: &[Sheet],
    tied: Vec<usize>,
    place: usize,
    last: usize,
    decided_by: &'static str,
    separated: &mut Vec<Separated>,
) {
    let (best, others) = best_of(tied, |entry| Majority::of(&sheets[entry].places, place, last));
    let given = best.len();
    separated.push((best, decided_by));
    rule_10(sheets, others, place + given, last, RULE_11, separated);
}

/// How many dances have this place or a higher one, more is better, and their sum; the least is the best.
fn dances_won(sheet: &Sheet, place: usize) -> (Reverse<usize>, BigRational) {
    let place = whole(place);
    let places = sheet.cells.iter().filter_map(|cell| cell.outcome.as_ref().ok().map(|outcome| &outcome.value));
    let won = places.filter(|value| **value <= place);
    (Reverse(won.clone().count()), won.sum())
}

/// Those with the least key, and the others; both keep their order.
fn best_of<K: Ord>(entries: Vec<usize>, key: impl Fn(usize) -> K) -> (Vec<usize>, Vec<usize>) {
    let keyed: Vec<(usize, K)> = entries.into_iter().map(|entry| (entry, key(entry))).collect();
    let Some(least) = keyed.iter().map(|(_, key)| key).min() else {
        return (Vec::new(), Vec::new());
    };
    let (best, others): (Vec<_>, Vec<_>) = keyed.iter().partition(|(_, key)| key == least);
    let entries = |keyed: Vec<&(usize, K)>| keyed.into_iter().map(|(entry, _)| *entry).collect();
    (entries(best), entries(others))
}
