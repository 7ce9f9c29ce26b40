//! Cells and totals: what the marks of a panel come to for one contestant, before anyone is compared.
//! Invariants: entries, criteria and judges are in order of their ids, so an index compares like an id; withdrawn
//! entries are not here at all; every value is exact until a stated rounding.

use std::collections::HashMap;
use std::ops::Range;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::Id;
use super::decimal::{Decimal, Mark};
use super::rank::{CriterionIn, EntryIn, Input, Panelist};
use super::rules::{Method, MissingPolicy, Rules};
use super::zscore::Standard;
use super::{placings, skating};

/// The input, looked up and put in order.
pub(super) struct Tally<'a> {
    pub(super) rules: &'a Rules,
    /// Those who have not withdrawn.
    pub(super) entries: Vec<&'a EntryIn>,
    pub(super) criteria: Vec<&'a CriterionIn>,
    pub(super) panel: Vec<&'a Panelist>,
    /// Per entry, the sum of its deductions.
    pub(super) deducted: Vec<Decimal>,
    /// Which manual order names a contestant, and in which place; the first mention counts.
    pub(super) manual: HashMap<&'a str, (usize, usize)>,
    /// What a missing mark means under the method; `rules.missing` unless that cannot be applied.
    policy: MissingPolicy,
    weights: Vec<BigRational>,
    factors: Vec<BigRational>,
    /// Criterion by criterion, judge by judge; empty unless the method is `zscore`.
    standards: Vec<Standard>,
    /// Entry by entry, criterion by criterion, judge by judge.
    grid: Vec<Option<Mark>>,
}

/// One contestant: a cell per criterion, and the total if every cell has a value and no status stands against it.
pub(super) struct Sheet {
    pub(super) cells: Vec<SheetCell>,
    pub(super) total: Option<BigRational>,
    /// The places that judges give, where the method makes any: one per judge (`placings`), or one per judge and dance.
    pub(super) places: Vec<BigRational>,
}

/// One criterion of one contestant.
pub(super) struct SheetCell {
    pub(super) marks: Marks,
    pub(super) outcome: Result<Outcome, Gap>,
}

/// What a cell is computed from.
pub(super) struct Marks {
    /// Lowest first, equal ones by judge.
    pub(super) counted: Vec<Counted>,
    /// Judges who owe a mark here.
    pub(super) owed: Vec<usize>,
}

/// A mark that counts; `given` is none for the zero that stands for a missing one.
pub(super) struct Counted {
    pub(super) judge: usize,
    pub(super) given: Option<Mark>,
}

/// What a cell comes to, each value rounded where that is stated; `kept` are positions in `counted`.
pub(super) struct Outcome {
    pub(super) value: BigRational,
    pub(super) weighted: BigRational,
    pub(super) kept: Range<usize>,
}

/// Why a cell has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// A judge owes a mark, and the policy waits for it.
    Owed,
    /// Nobody gave a mark.
    Unmarked,
    /// Leaving out lowest and highest leaves none.
    TooFewToTrim,
    /// The marks are there, but say nothing without those of the others; `skating` replaces it if it can.
    Unplaced,
}

impl Counted {
    fn thousandths(&self) -> i64 {
        self.given.unwrap_or(Mark::ZERO).thousandths()
    }
}

impl Marks {
    /// In points; none unless the judge gave a mark or a zero stands for it.
    pub(super) fn of_judge(&self, judge: usize) -> Option<BigRational> {
        let counted = self.counted.iter().find(|counted| counted.judge == judge)?;
        Some(ratio(counted.thousandths().into(), 1_000))
    }

    /// In points; there is at least one mark.
    pub(super) fn mean(&self) -> BigRational {
        mean(&self.counted.iter().map(Counted::thousandths).collect::<Vec<_>>())
    }
}

impl<'a> Tally<'a> {
    pub(super) fn new(rules: &'a Rules, input: &'a Input) -> Self {
        let mut entries: Vec<_> = input.entries.iter().filter(|entry| !entry.withdrawn).collect();
        entries.sort_by(|a, b| a.contestant.cmp(&b.contestant));
        let mut criteria: Vec<_> = input.criteria.iter().collect();
        criteria.sort_by(|a, b| a.id.cmp(&b.id));
        let mut panel: Vec<_> = input.panel.iter().collect();
        panel.sort_by(|a, b| a.judge.cmp(&b.judge));

        let entry_at = positions(entries.iter().map(|entry| &*entry.contestant));
        let criterion_at = positions(criteria.iter().map(|criterion| &*criterion.id));
        let judge_at = positions(panel.iter().map(|panelist| &*panelist.judge));

        let mut grid = vec![None; entries.len() * criteria.len() * panel.len()];
        for mark in &input.marks {
            // A shadow judge, a withdrawn contestant or a removed criterion has no position.
            if let (Some(entry), Some(criterion), Some(judge)) =
                (entry_at.get(&*mark.contestant), criterion_at.get(&*mark.criterion), judge_at.get(&*mark.judge))
            {
                let slot = &mut grid[(entry * criteria.len() + criterion) * panel.len() + judge];
                *slot = Some(slot.map_or(mark.value, |other: Mark| other.min(mark.value)));
            }
        }
        let mut deducted = vec![Decimal::zero(); entries.len()];
        for deduction in &input.deductions {
            if let Some(&entry) = entry_at.get(&*deduction.contestant) {
                deducted[entry] = std::mem::take(&mut deducted[entry]) + &deduction.amount;
            }
        }
        let mut tally = Self {
            rules,
            policy: rules.missing_applied(),
            weights: criteria.iter().map(|criterion| criterion.weight.to_rational()).collect(),
            factors: entries
                .iter()
                .map(|entry| match rules.method {
                    Method::Skating => BigRational::one(), // a place is not multiplied
                    Method::Sum
                    | Method::Mean
                    | Method::TrimmedMean
                    | Method::Median
                    | Method::Placings
                    | Method::Zscore
                    | Method::Time => entry.factor.to_rational(),
                })
                .collect(),
            manual: orders(&input.manual_order),
            entries,
            criteria,
            panel,
            deducted,
            standards: Vec::new(),
            grid,
        };
        if rules.method == Method::Zscore {
            tally.standards = (0..tally.criteria.len()).flat_map(|criterion| tally.standards_in(criterion)).collect();
        }
        tally
    }

    /// All contestants, in order; and what the tally master should know about how they came about.
    pub(super) fn sheets(&self) -> (Vec<Sheet>, Vec<String>) {
        let mut sheets: Vec<Sheet> = (0..self.entries.len()).map(|entry| self.sheet(entry)).collect();
        let warnings = match self.rules.method {
            Method::Placings => placings::fill(self, &mut sheets),
            Method::Skating => skating::fill(self, &mut sheets),
            Method::Sum | Method::Mean | Method::TrimmedMean | Method::Median | Method::Zscore | Method::Time => {
                Vec::new()
            }
        };
        (sheets, warnings)
    }

    fn sheet(&self, entry: usize) -> Sheet {
        let cells: Vec<_> = (0..self.criteria.len())
            .map(|criterion| {
                let marks = self.marks(entry, criterion);
                let outcome = self.outcome(criterion, &marks, 0);
                SheetCell { marks, outcome }
            })
            .collect();
        let total = match (self.entries[entry].status, self.rules.method) {
            // A place exists only among the others, so these have no total yet.
            (_, Method::Placings | Method::Skating) | (Some(_), _) => None,
            (None, _) => {
                self.total(entry, cells.iter().map(|cell| cell.outcome.as_ref().ok().map(|it| it.weighted.clone())))
            }
        };
        Sheet { cells, total, places: Vec::new() }
    }

    /// The total as it would be had every cell also lost its highest remaining mark; none where a cell has no other.
    /// Where places are added, the total without the last of these places; none without another.
    pub(super) fn total_without_highest(&self, entry: usize, sheet: &Sheet) -> Option<BigRational> {
        match self.rules.method {
            Method::Placings => {
                let last = sheet.places.iter().max().filter(|_| sheet.places.len() > 1)?;
                Some(self.round(sheet.places.iter().sum::<BigRational>() - last, self.rules.rounding.total))
            }
            Method::Skating => None, // a majority is formed by all marks
            Method::Sum | Method::Mean | Method::TrimmedMean | Method::Median | Method::Zscore | Method::Time => {
                let weighted = sheet.cells.iter().enumerate().map(|(criterion, cell)| {
                    self.outcome(criterion, &cell.marks, 1).ok().map(|outcome| outcome.weighted)
                });
                self.total(entry, weighted)
            }
        }
    }

    /// The total by the marks of one judge alone, without deductions and rounding; none unless all are there.
    pub(super) fn total_of_judge(&self, entry: usize, sheet: &Sheet, judge: usize) -> Option<BigRational> {
        let mut total = BigRational::zero();
        for (criterion, cell) in sheet.cells.iter().enumerate() {
            let counted = cell.marks.counted.iter().find(|counted| counted.judge == judge)?;
            total += self.points(criterion, counted) * &self.weights[criterion];
        }
        Some(total * &self.factors[entry])
    }

    /// The mark of a judge as given.
    pub(super) fn mark(&self, entry: usize, criterion: usize, judge: usize) -> Option<Mark> {
        self.grid[self.first_in(entry, criterion) + judge]
    }

    pub(super) fn weight(&self, criterion: usize) -> &BigRational {
        &self.weights[criterion]
    }

    pub(super) fn factor(&self, entry: usize) -> &BigRational {
        &self.factors[entry]
    }

    fn first_in(&self, entry: usize, criterion: usize) -> usize {
        (entry * self.criteria.len() + criterion) * self.panel.len()
    }

    /// What each judge usually gives in a criterion; a zero that stands for a mark is one.
    fn standards_in(&self, criterion: usize) -> Vec<Standard> {
        let mut marks: Vec<Vec<i64>> = vec![Vec::new(); self.panel.len()];
        for entry in 0..self.entries.len() {
            for counted in self.marks(entry, criterion).counted {
                marks[counted.judge].push(counted.thousandths());
            }
        }
        marks.iter().map(|marks| Standard::of(marks)).collect()
    }

    /// What a mark is worth: its points, or how far it lies from what its judge usually gives.
    fn points(&self, criterion: usize, counted: &Counted) -> BigRational {
        match self.rules.method {
            Method::Zscore => self.standards[criterion * self.panel.len() + counted.judge].score(counted.thousandths()),
            Method::Sum
            | Method::Mean
            | Method::TrimmedMean
            | Method::Median
            | Method::Placings
            | Method::Skating
            | Method::Time => ratio(counted.thousandths().into(), 1_000),
        }
    }

    fn marks(&self, entry: usize, criterion: usize) -> Marks {
        let first = self.first_in(entry, criterion);
        let given = &self.grid[first..first + self.panel.len()];
        // Nobody is asked for marks of a contestant who did not start, finish or stay.
        let asked = self.entries[entry].status.is_none();
        let owed: Vec<usize> = (0..self.panel.len())
            .filter(|&judge| asked && self.panel[judge].required && given[judge].is_none())
            .collect();
        let filled = match self.policy {
            MissingPolicy::Zero => owed.as_slice(),
            MissingPolicy::Block | MissingPolicy::MeanOfOthers => &[],
        };
        let mut counted: Vec<Counted> = given
            .iter()
            .enumerate()
            .filter(|(judge, mark)| mark.is_some() || filled.contains(judge))
            .map(|(judge, &given)| Counted { judge, given })
            .collect();
        counted.sort_by_key(|counted| (counted.thousandths(), counted.judge));
        Marks { counted, owed }
    }

    /// What a cell comes to once `also_highest` more of the highest marks are left out than the rules say.
    fn outcome(&self, criterion: usize, marks: &Marks, also_highest: usize) -> Result<Outcome, Gap> {
        if marks.counted.iter().all(|counted| counted.given.is_none()) {
            return Err(Gap::Unmarked);
        }
        if self.policy == MissingPolicy::Block && !marks.owed.is_empty() {
            return Err(Gap::Owed);
        }
        let (low, high) = match self.rules.method {
            Method::TrimmedMean => (as_count(self.rules.trim.low), as_count(self.rules.trim.high)),
            Method::Sum | Method::Mean | Method::Median | Method::Placings | Method::Zscore | Method::Time => (0, 0),
            Method::Skating => return Err(Gap::Unplaced),
        };
        let end = marks.counted.len().saturating_sub(high.saturating_add(also_highest));
        if low >= end {
            return Err(Gap::TooFewToTrim);
        }
        let kept = low..end;
        let values: Vec<i64> = marks.counted[kept.clone()].iter().map(Counted::thousandths).collect();
        let value = match self.rules.method {
            Method::Sum => match self.policy {
                MissingPolicy::MeanOfOthers => mean(&values) * whole(values.len() + marks.owed.len()),
                MissingPolicy::Block | MissingPolicy::Zero => mean(&values) * whole(values.len()),
            },
            // Of placings the mean is only shown, and what the breaker `criterion` goes by.
            Method::Mean | Method::TrimmedMean | Method::Placings | Method::Time => mean(&values),
            Method::Median => {
                let (below, above) = ((values.len() - 1) / 2, values.len() / 2);
                mean(&[values[below], values[above]])
            }
            Method::Zscore => {
                let mut points: Vec<BigRational> =
                    marks.counted.iter().map(|counted| self.points(criterion, counted)).collect();
                points.sort(); // the highest mark need not lie highest above its judge's mean
                points.truncate(end);
                points.iter().sum::<BigRational>() / whole(end)
            }
            Method::Skating => return Err(Gap::Unplaced),
        };
        let rounding = &self.rules.rounding;
        let value = self.round(value, rounding.criterion);
        let weighted = self.round(&value * &self.weights[criterion], rounding.weighted);
        Ok(Outcome { value, weighted, kept })
    }

    /// The criteria together: × factor, − deductions, floor, rounding. None if one of them has no value, or if there
    /// are none: a category without criteria has nothing to rank by. Of a time the deductions are penalty seconds, so
    /// they are added; and zero is no floor for standardised marks, of which it is the middle.
    fn total(&self, entry: usize, weighted: impl ExactSizeIterator<Item = Option<BigRational>>) -> Option<BigRational> {
        if weighted.len() == 0 {
            return None;
        }
        let sum = weighted.sum::<Option<BigRational>>()?;
        let (sum, deducted) = (sum * &self.factors[entry], self.deducted[entry].to_rational());
        let total = match self.rules.method {
            Method::Time => sum + deducted,
            Method::Zscore => sum - deducted,
            Method::Sum | Method::Mean | Method::TrimmedMean | Method::Median | Method::Placings | Method::Skating => {
                let total = sum - deducted;
                if self.rules.floor_zero && total.is_negative() { BigRational::zero() } else { total }
            }
        };
        Some(self.round(total, self.rules.rounding.total))
    }

    pub(super) fn round(&self, value: BigRational, stated: Option<u8>) -> BigRational {
        match stated {
            Some(decimals) => Decimal::rounded(&value, decimals, self.rules.rounding.mode).to_rational(),
            None => value,
        }
    }
}

/// Where each id stands; the first of equal ones.
fn positions<'a>(ids: impl Iterator<Item = &'a str>) -> HashMap<&'a str, usize> {
    let mut positions = HashMap::new();
    for (position, id) in ids.enumerate() {
        positions.entry(id).or_insert(position);
    }
    positions
}

/// In which order each contestant is named, and where in it; the first mention counts.
fn orders(orders: &[Vec<Id>]) -> HashMap<&str, (usize, usize)> {
    let mut named = HashMap::new();
    for (number, order) in orders.iter().enumerate() {
        for (position, contestant) in order.iter().enumerate() {
            named.entry(&**contestant).or_insert((number, position));
        }
    }
    named
}

/// In points; `thousandths` has at least one value.
fn mean(thousandths: &[i64]) -> BigRational {
    ratio(thousandths.iter().map(|&value| i128::from(value)).sum(), thousandths.len() * 1_000)
}

fn ratio(numerator: i128, denominator: usize) -> BigRational {
    BigRational::new(BigInt::from(numerator), BigInt::from(denominator))
}

pub(super) fn whole(number: usize) -> BigRational {
    BigRational::from_integer(BigInt::from(number))
}

fn as_count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
