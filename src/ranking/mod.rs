//! Ranking: from marks, deductions and withdrawals to places, by the rules of a category (contract, section 7).
//! Invariants: [`rank`] is pure and depends on nothing but its two arguments, nor on the order of any list in them
//! (except the manual order of a tie); all arithmetic is exact, and a value loses digits only where a rounding is
//! stated or where it is shown, or in a standardised mark, which has 12 decimals.
//!
//! [`standings()`] combines the rankings of several categories into those of a contest, under the same invariants.
//!
//! Deliberately absent: who may see a ranking, when it is recomputed, and its hash.

use std::sync::Arc;

mod decimal;
mod placings;
mod rank;
mod rules;
mod skating;
mod standings;
mod tally;
#[cfg(test)]
mod tests;
mod ties;
mod zscore;

pub use decimal::{Decimal, DecimalError, Mark, RoundingMode};
pub use rank::{
    Cell, CellMark, CriterionIn, DeductionIn, EntryIn, Input, MarkIn, Missing, Panelist, Ranking, Row, Status, rank,
};
pub use rules::{Method, MissingPolicy, RankStyle, Rounding, RuleError, Rules, TieBreak, Trim, UnknownTieBreak};
pub use standings::{Combine, Part, PartResult, Standing, Standings, StandingsRules, standings};

/// An identifier of a contestant, judge or criterion; shared, because every row of a ranking repeats it.
pub type Id = Arc<str>;
