//! `rank`: the one pure function from rules, marks, deductions and withdrawals to a ranking (contract, section 7).
//! Invariants: every contestant who has not withdrawn has exactly one row; a row has a rank if and only if it has a
//! total; the order of the lists in [`Input`] changes nothing, except that of `manual_order`.

use num_rational::BigRational;
use serde::{Deserialize, Serialize};

use super::Id;
use super::decimal::{Decimal, Mark, RoundingMode};
use super::rules::{Method, Rules};
use super::tally::{Gap, Sheet, Tally};
use super::ties::{self, Place};

/// Everything a ranking depends on besides the rules. Identifiers are unique within each list, and a judge has one
/// mark per contestant and criterion; were there two, the lower would count. What names a contestant, judge or
/// criterion that is not listed is passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// The criteria of the category.
    pub criteria: Vec<CriterionIn>,
    /// Its contestants, the withdrawn ones too.
    pub entries: Vec<EntryIn>,
    /// The judges who count; a shadow judge is not here.
    pub panel: Vec<Panelist>,
    /// The marks as given.
    pub marks: Vec<MarkIn>,
    /// Approved deductions only; those of one contestant add up.
    pub deductions: Vec<DeductionIn>,
    /// The orders decided by `tie:resolve`, one list a tie, best first.
    pub manual_order: Vec<Vec<Id>>,
}

/// A criterion and what its value is multiplied by.
#[derive(Clone, Debug, PartialEq)]
pub struct CriterionIn {
    /// The criterion.
    pub id: Id,
    /// Not negative; 1 changes nothing.
    pub weight: Decimal,
}

/// A contestant in the category.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryIn {
    /// The contestant.
    pub contestant: Id,
    /// Multiplies the sum of the criteria (a difficulty); not negative, 1 changes nothing.
    pub factor: Decimal,
    /// Leaves every list and every denominator.
    pub withdrawn: bool,
    /// Keeps the row, without total and rank.
    pub status: Option<Status>,
}

/// Why a contestant who has not withdrawn has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Did not start.
    Dns,
    /// Did not finish.
    Dnf,
    /// Disqualified.
    Dsq,
}

/// A judge who counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Panelist {
    /// The judge.
    pub judge: Id,
    /// False for a judge who has left the panel: the marks given count, others are not asked for.
    pub required: bool,
    /// The head judge, of whom there is at most one.
    pub head: bool,
}

/// One mark as given.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkIn {
    /// Who gave it.
    pub judge: Id,
    /// To whom.
    pub contestant: Id,
    /// For what.
    pub criterion: Id,
    /// Points.
    pub value: Mark,
}

/// One approved deduction.
#[derive(Clone, Debug, PartialEq)]
pub struct DeductionIn {
    /// Whose total it lowers.
    pub contestant: Id,
    /// Points, positive; not multiplied by the factor.
    pub amount: Decimal,
}

/// The tally view, without what the caller knows (`categoryId`, `stage`, `tallyHash`).
/// Values are exact where a rounding is stated and shown with 6 decimals (half up) elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ranking {
    /// Every contestant without a status has a total.
    pub complete: bool,
    /// Marks that judges still owe, by judge, contestant and criterion; a policy may have filled them.
    pub missing: Vec<Missing>,
    /// By place, equal ones by contestant; then those without a total yet, then DNS, DNF and DSQ.
    pub ranking: Vec<Row>,
    /// What the tally master should know, in words. They depend on marks: not for judges before publication.
    pub warnings: Vec<String>,
}

/// A mark that a judge still owes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Who owes it.
    pub judge_id: Id,
    /// To whom.
    pub contestant_id: Id,
    /// For what.
    pub criterion_id: Id,
}

/// One contestant's result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The contestant.
    pub contestant_id: Id,
    /// From 1; none without a total.
    pub rank: Option<u32>,
    /// By the method, after factor, deductions, floor and rounding: points, seconds, or a sum of places. None while
    /// something is missing, and for DNS, DNF, DSQ.
    pub total: Option<Decimal>,
    /// The sum of the approved deductions.
    pub deductions: Decimal,
    /// All criteria, by their id.
    pub criteria: Vec<Cell>,
    /// What separates this row from the one above: `total`, `rule:10` or `rule:11` of the skating system, a tie breaker,
    /// or `shared`. None on the first row and on rows without a rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// The total before it is shown, for standings to compute with.
    #[serde(skip)]
    pub(super) total_exact: Option<BigRational>,
}

/// One criterion of one contestant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// The criterion.
    pub criterion_id: Id,
    /// The panel's value; none while something is missing.
    pub value: Option<Decimal>,
    /// The value times the weight.
    pub weighted: Option<Decimal>,
    /// The marks as given, by judge.
    pub marks: Vec<CellMark>,
}

/// One judge's mark in a cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CellMark {
    /// Who gave it.
    pub judge_id: Id,
    /// Points as given.
    pub score: Mark,
    /// Left out by the trim.
    pub dropped: bool,
}

/// Decimals shown where no rounding is stated.
pub(super) const DECIMALS_SHOWN: u8 = 6;

/// Ranks the contestants of a category.
///
/// Per criterion the marks of the panel become one value by the method, × weight; these are added, × the entry's
/// factor, − deductions, not below zero if `floorZero`. Each step is rounded if its rounding is stated, else exact.
/// Places, standardised marks and times depart from this where [`Method`] says so.
///
/// A missing mark is one that a required judge owes to a contestant without a status:
/// - `block`: its cell has no value, so the contestant has no total; the others rank provisionally, and where places
///   are given (`placings`, `skating`) they are places among those others.
/// - `mean_of_others`: with `sum` and `placings` it counts as the mean of the marks given in the cell; with the other
///   methods the cell is computed from the marks given alone, and a trim trims those.
/// - `zero`: it counts as a mark of 0, which a trim may leave out.
///
/// Under every policy a cell in which nobody gave a mark has no value, nor has one with too few marks to trim.
///
/// Rules that [`Rules::check`] refuses do not panic here: what cannot be applied is passed over, and a policy that
/// cannot be is `block`.
#[must_use]
pub fn rank(rules: &Rules, input: &Input) -> Ranking {
    let tally = Tally::new(rules, input);
    let (sheets, of_the_method) = tally.sheets();

    let mut warnings = warnings(&tally, &sheets);
    warnings.extend(of_the_method);
    let places = ties::place(&tally, &sheets, &mut warnings);
    let mut missing = missing(&tally, &sheets);
    missing.sort();

    let mut unplaced: Vec<usize> = (0..sheets.len()).filter(|&entry| sheets[entry].total.is_none()).collect();
    unplaced.sort_by_key(|&entry| tally.entries[entry].status.is_some()); // stable: contestants stay in order of id

    Ranking {
        complete: is_complete(&tally, &sheets),
        missing,
        ranking: places
            .iter()
            .map(|place| row(&tally, &sheets, place.entry, Some(place)))
            .chain(unplaced.into_iter().map(|entry| row(&tally, &sheets, entry, None)))
            .collect(),
        warnings,
    }
}

fn is_complete(tally: &Tally<'_>, sheets: &[Sheet]) -> bool {
    !tally.criteria.is_empty()
        && tally.entries.iter().zip(sheets).all(|(entry, sheet)| entry.status.is_some() || sheet.total.is_some())
}

fn missing(tally: &Tally<'_>, sheets: &[Sheet]) -> Vec<Missing> {
    let mut missing = Vec::new();
    for (entry, sheet) in tally.entries.iter().zip(sheets) {
        for (criterion, cell) in tally.criteria.iter().zip(&sheet.cells) {
            missing.extend(cell.marks.owed.iter().map(|&judge| Missing {
                judge_id: tally.panel[judge].judge.clone(),
                contestant_id: entry.contestant.clone(),
                criterion_id: criterion.id.clone(),
            }));
        }
    }
    missing
}

fn row(tally: &Tally<'_>, sheets: &[Sheet], entry: usize, place: Option<&Place>) -> Row {
    let (Rules { rounding, .. }, sheet) = (tally.rules, &sheets[entry]);
    let shown = |value, stated: Option<u8>| match stated {
        Some(decimals) => Decimal::rounded(value, decimals, rounding.mode),
        None => Decimal::rounded(value, DECIMALS_SHOWN, RoundingMode::HalfUp),
    };
    let cells = tally.criteria.iter().zip(&sheet.cells).map(|(criterion, cell)| {
        let outcome = cell.outcome.as_ref().ok();
        let mut marks: Vec<(usize, CellMark)> = cell
            .marks
            .counted
            .iter()
            .enumerate()
            .filter_map(|(position, counted)| {
                let dropped = outcome.is_some_and(|outcome| !outcome.kept.contains(&position));
                let judge_id = tally.panel[counted.judge].judge.clone();
                counted.given.map(|score| (counted.judge, CellMark { judge_id, score, dropped }))
            })
            .collect();
        marks.sort_by_key(|(judge, _)| *judge);
        Cell {
            criterion_id: criterion.id.clone(),
            value: outcome.map(|outcome| shown(&outcome.value, rounding.criterion)),
            weighted: outcome.map(|outcome| shown(&outcome.weighted, rounding.weighted)),
            marks: marks.into_iter().map(|(_, mark)| mark).collect(),
        }
    });
    Row {
        contestant_id: tally.entries[entry].contestant.clone(),
        rank: place.map(|place| place.rank),
        total: sheet.total.as_ref().map(|total| shown(total, rounding.total)),
        deductions: tally.deducted[entry].clone(),
        criteria: cells.collect(),
        decided_by: place.and_then(|place| place.decided_by.clone()),
        total_exact: sheet.total.clone(),
    }
}

fn warnings(tally: &Tally<'_>, sheets: &[Sheet]) -> Vec<String> {
    let mut warnings = Vec::new();
    if tally.criteria.is_empty() {
        warnings.push("the category has no criteria".to_owned());
    }
    if tally.panel.is_empty() {
        warnings.push("no judge counts in this category".to_owned());
    }
    for (entry, sheet) in tally.entries.iter().zip(sheets).filter(|(entry, _)| entry.status.is_none()) {
        for (criterion, cell) in tally.criteria.iter().zip(&sheet.cells) {
            if cell.outcome.as_ref().err() == Some(&Gap::TooFewToTrim) {
                warnings.push(format!("{}, {}: too few marks to trim", entry.contestant, criterion.id));
            }
        }
    }
    if tally.rules.method == Method::Skating {
        for entry in tally.entries.iter().filter(|entry| entry.factor != Decimal::one()) {
            warnings.push(format!("the factor of {} is not applied, a place is not multiplied", entry.contestant));
        }
    }
    // A mean does not mind how many marks it has; a sum does.
    if tally.rules.method == Method::Sum {
        for (judge, panelist) in tally.panel.iter().enumerate().filter(|(_, panelist)| !panelist.required) {
            let mut cells = tally
                .entries
                .iter()
                .zip(sheets)
                .filter(|(entry, _)| entry.status.is_none())
                .flat_map(|(_, sheet)| &sheet.cells)
                .map(|cell| cell.marks.counted.iter().any(|counted| counted.judge == judge));
            let first = cells.next();
            if cells.any(|marked| Some(marked) != first) {
                warnings.push(format!(
                    "judge {} left the panel after marking only a part; the sums have different numbers of marks",
                    panelist.judge
                ));
            }
        }
    }
    warnings
}
