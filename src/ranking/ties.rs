//! Places: totals in order, equal ones through the tie breakers, what remains shares the rank.
//! Invariants: contestants with different totals are never reordered by a breaker; contestants no breaker separates
//! have the same rank; a breaker without an answer for one of the tied separates none of them.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;

use super::rules::{Method, RankStyle, TieBreak};
use super::skating;
use super::tally::{Sheet, Tally};

/// Where one entry stands.
pub(super) struct Place {
    pub(super) entry: usize,
    pub(super) rank: u32,
    pub(super) decided_by: Option<String>,
}

/// Entries that share a rank, and what separates them from the group above.
struct Group {
    members: Vec<usize>,
    decided_by: String,
}

/// Places for all sheets with a total, best first, equal ones by contestant.
pub(super) fn place(tally: &Tally<'_>, sheets: &[Sheet], warnings: &mut Vec<String>) -> Vec<Place> {
    let mut standings: Vec<(usize, &BigRational)> =
        sheets.iter().enumerate().filter_map(|(entry, sheet)| Some((entry, sheet.total.as_ref()?))).collect();
    // Stable: equal totals stay in order of contestant.
    standings.sort_by(|(_, a), (_, b)| if tally.rules.method.less_is_better() { a.cmp(b) } else { b.cmp(a) });

    let mut settling = Settling { tally, sheets, warnings, groups: Vec::new() };
    let mut above = 0;
    for tied in standings.chunk_by(|(_, a), (_, b)| a == b) {
        let members = tied.iter().map(|(entry, _)| *entry).collect();
        // The skating system has rules of its own for equal sums, before any breaker of the category.
        let separated = if tally.rules.method == Method::Skating {
            skating::separate(sheets, members, above + 1, tally.entries.len())
        } else {
            vec![(members, "total")]
        };
        for (members, decided_by) in separated {
            settling.settle(members, &tally.rules.tie_breaks, decided_by.to_owned());
        }
        above += tied.len();
    }
    number(settling.groups, tally.rules.rank_style)
}

fn number(groups: Vec<Group>, style: RankStyle) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let (mut groups_above, mut places_above) = (0_u32, 0_u32);
    for Group { members, decided_by } in groups {
        let above = match style {
            RankStyle::Standard => places_above,
            RankStyle::Dense => groups_above,
        };
        for (position, entry) in members.into_iter().enumerate() {
            let decided_by = match (places_above, position) {
                (0, _) => None,
                (_, 0) => Some(decided_by.clone()),
                (_, _) => Some("shared".to_owned()),
            };
            places.push(Place { entry, rank: above + 1, decided_by });
            places_above += 1;
        }
        groups_above += 1;
    }
    places
}

struct Settling<'t, 'w> {
    tally: &'t Tally<'t>,
    sheets: &'t [Sheet],
    warnings: &'w mut Vec<String>,
    groups: Vec<Group>,
}

impl Settling<'_, '_> {
    /// Appends the tied entries as groups, best first. `decided_by` is what separates the first of them from above.
    fn settle(&mut self, tied: Vec<usize>, breakers: &[TieBreak], decided_by: String) {
        let Some((breaker, later)) = breakers.split_first().filter(|_| tied.len() > 1) else {
            self.groups.push(Group { members: tied, decided_by });
            return;
        };
        let Some(strengths) = self.strengths(&tied, breaker) else {
            let names: Vec<&str> = tied.iter().map(|&entry| &*self.tally.entries[entry].contestant).collect();
            self.warnings.push(format!("{breaker} has no answer for the tie of {}", names.join(", ")));
            return self.settle(tied, later, decided_by);
        };
        let mut ranked: Vec<(usize, BigRational)> = tied.into_iter().zip(strengths).collect();
        ranked.sort_by(|(_, a), (_, b)| b.cmp(a)); // stable: equal ones stay in order of contestant
        let parts: Vec<Vec<usize>> = ranked
            .chunk_by(|(_, a), (_, b)| a == b)
            .map(|part| part.iter().map(|(entry, _)| *entry).collect())
            .collect();
        // A majority may decide among fewer what it left open among more; the others would only repeat themselves.
        let next = if parts.len() > 1 && *breaker == TieBreak::MajorityOfPlacings { breakers } else { later };
        for (position, part) in parts.into_iter().enumerate() {
            let decided_by = if position == 0 { decided_by.clone() } else { breaker.to_string() };
            self.settle(part, next, decided_by);
        }
    }

    /// How strong each of the tied is by this breaker, more is better; none if it cannot tell for one of them.
    fn strengths(&self, tied: &[usize], breaker: &TieBreak) -> Option<Vec<BigRational>> {
        let (tally, sheets, method) = (self.tally, self.sheets, self.tally.rules.method);
        match breaker {
            TieBreak::Criterion(id) => {
                let criterion = tally.criteria.iter().position(|criterion| criterion.id == *id)?;
                let weighted = |&entry: &usize| {
                    let outcome = sheets[entry].cells[criterion].outcome.as_ref().ok()?;
                    Some(strength(outcome.weighted.clone(), method.less_is_better_in_a_mark()))
                };
                tied.iter().map(weighted).collect()
            }
            TieBreak::DropHighest => {
                let total = |&entry: &usize| tally.total_without_highest(entry, &sheets[entry]);
                tied.iter().map(|entry| Some(strength(total(entry)?, method.less_is_better()))).collect()
            }
            TieBreak::HeadJudge => {
                let mut heads = (0..tally.panel.len()).filter(|&judge| tally.panel[judge].head);
                let head = heads.next().filter(|_| heads.next().is_none())?;
                tied.iter().map(|&entry| self.strength_by(head, entry)).collect()
            }
            TieBreak::MajorityOfPlacings => Some(self.majorities(tied)),
            TieBreak::FewestDeductions => {
                Some(tied.iter().map(|&entry| -tally.deducted[entry].to_rational()).collect())
            }
            TieBreak::Manual => {
                let named = |&entry: &usize| tally.manual.get(&*tally.entries[entry].contestant);
                // Two orders say nothing of each other: nobody has put those of one before those of the other.
                let (one, _) = named(tied.first()?)?;
                let position = |entry| named(entry).filter(|(order, _)| order == one).map(|(_, position)| *position);
                tied.iter().map(|entry| Some(-BigRational::from_integer(BigInt::from(position(entry)?)))).collect()
            }
        }
    }

    /// Over how many of the other tied contestants a majority of judges places each one, less those over it.
    /// For two contestants this is the plain majority; among more, a circle (a over b over c over a) stays open.
    /// A judge without all marks for one of a pair does not vote on that pair.
    fn majorities(&self, tied: &[usize]) -> Vec<BigRational> {
        let ballots: Vec<Vec<Option<usize>>> =
            (0..self.tally.panel.len()).map(|judge| self.ballot(tied, judge)).collect();
        let over = |a: usize, b: usize| {
            let votes: i64 = ballots.iter().filter_map(|ballot| Some(ballot[a]?.cmp(&ballot[b]?))).map(sign).sum();
            votes.signum()
        };
        (0..tied.len())
            .map(|a| BigRational::from_integer(BigInt::from((0..tied.len()).map(|b| over(a, b)).sum::<i64>())))
            .collect()
    }

    /// How strong an entry is by the marks of one judge alone; none unless all are there.
    fn strength_by(&self, judge: usize, entry: usize) -> Option<BigRational> {
        let total = self.tally.total_of_judge(entry, &self.sheets[entry], judge)?;
        Some(strength(total, self.tally.rules.method.less_is_better_in_a_mark()))
    }

    /// For each of the tied, how many of the others this judge's own totals place below it.
    fn ballot(&self, tied: &[usize], judge: usize) -> Vec<Option<usize>> {
        let own: Vec<Option<BigRational>> = tied.iter().map(|&entry| self.strength_by(judge, entry)).collect();
        let mut sorted: Vec<&BigRational> = own.iter().flatten().collect();
        sorted.sort();
        own.iter().map(|own| own.as_ref().map(|own| sorted.partition_point(|other| *other < own))).collect()
    }
}

/// More is better in a strength, whatever is better in the value.
fn strength(value: BigRational, less_is_better: bool) -> BigRational {
    if less_is_better { -value } else { value }
}

fn sign(ordering: Ordering) -> i64 {
    match ordering {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}
