//! Contest standings: one list from the rankings of several categories (contract, section 7).
//! Invariants: every contestant of any part has exactly one row; a row has a rank if and only if it has a total; the
//! result depends on nothing but the arguments, and on the order of the parts only in the list `parts` of a row.
//!
//! Deliberately absent: breakers of ties. What is equal shares the rank.

use std::collections::BTreeMap;

use num_rational::BigRational;
use serde::{Deserialize, Serialize};

use super::Id;
use super::decimal::{Decimal, RoundingMode};
use super::rank::{DECIMALS_SHOWN, Ranking, Row};

/// How the results of the categories become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Weighted totals are added; who has no total in one of the parts has none here.
    #[default]
    Sum,
    /// The best of the weighted totals counts; one is enough.
    Best,
    /// Weighted places are added, as they are published, and less is better; who has no place in one of the parts has
    /// no total here.
    Placings,
}

/// How the categories of a contest combine, as it is configured and stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandingsRules {
    /// By which rule.
    pub combine: Combine,
    /// The weight of each category, 1 unless stated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub weights: BTreeMap<Id, Decimal>,
}

/// A category that counts for the standings.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The category.
    pub category: Id,
    /// What its totals or places are multiplied by; not negative, 1 changes nothing.
    pub weight: Decimal,
    /// [`Method::less_is_better`](super::Method::less_is_better) of its rules.
    pub less_is_better: bool,
    /// Its ranking.
    pub ranking: &'a Ranking,
}

/// The standings of a contest. Totals compare exactly and are shown with 6 decimals (half up).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standings {
    /// Every part is complete, and they can be combined. A contestant may still be without a rank: one who has no result
    /// in a part will have none.
    pub complete: bool,
    /// By place, equal ones by contestant; then those without a total.
    pub standings: Vec<Standing>,
    /// What the organizer should know, in words.
    pub warnings: Vec<String>,
}

/// One contestant's place in a contest.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The contestant.
    pub contestant_id: Id,
    /// From 1; a shared one is followed by a gap (1-2-2-4). None without a total.
    pub rank: Option<u32>,
    /// Totals or places of the parts, weighted and combined.
    pub total: Option<Decimal>,
    /// Every part in the order given, also where the contestant is not in it.
    pub parts: Vec<PartResult>,
    /// What separates this row from the one above: `total` or `shared`. None on the first row and on rows without a rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<&'static str>,
}

/// One contestant's result in a part, as it stands in its ranking.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartResult {
    /// The category.
    pub category_id: Id,
    /// The place there.
    pub rank: Option<u32>,
    /// The total there, not weighted.
    pub total: Option<Decimal>,
}

/// Combines the rankings of categories.
///
/// A part in which more is better and one in which less is better have no common total: `sum` and `best` then give
/// nobody a rank and say so, while `placings` combines anything.
#[must_use]
pub fn standings(combine: Combine, parts: &[Part<'_>]) -> Standings {
    let mut rows: BTreeMap<&Id, Vec<Option<&Row>>> = BTreeMap::new();
    for (position, part) in parts.iter().enumerate() {
        for row in &part.ranking.ranking {
            rows.entry(&row.contestant_id).or_insert_with(|| vec![None; parts.len()])[position] = Some(row);
        }
    }
    let less = parts.iter().filter(|part| part.less_is_better).count();
    let mut warnings = Vec::new();
    let less_is_better = match combine {
        Combine::Placings => Some(true),
        Combine::Sum | Combine::Best if less == parts.len() => Some(true),
        Combine::Sum | Combine::Best if less == 0 => Some(false),
        Combine::Sum | Combine::Best => {
            warnings.push(
                "totals of which more is better cannot be combined with totals of which less is better, only their \
                 places can"
                    .to_owned(),
            );
            None
        }
    };

    let mut totals: Vec<(&Id, Option<BigRational>)> = rows
        .iter()
        .map(|(contestant, rows)| (*contestant, less_is_better.and_then(|less| total(combine, less, parts, rows))))
        .collect();
    // Stable: equal totals, and none at all, stay in order of contestant.
    totals.sort_by(|(_, a), (_, b)| match (a, b) {
        (Some(a), Some(b)) if less_is_better == Some(true) => a.cmp(b),
        (a, b) => b.cmp(a),
    });

    let mut standings: Vec<Standing> = Vec::new();
    let (mut rank, mut previous) = (0_u32, None);
    for (above, (contestant, total)) in (0_u32..).zip(&totals) {
        let decided_by = match (previous, total) {
            (Some(previous), Some(total)) if previous == total => Some("shared"),
            (Some(_), Some(_)) => Some("total"),
            (None, _) | (_, None) => None,
        };
        if decided_by != Some("shared") {
            rank = above + 1;
        }
        standings.push(Standing {
            contestant_id: (*contestant).clone(),
            rank: total.is_some().then_some(rank),
            total: total.as_ref().map(|total| Decimal::rounded(total, DECIMALS_SHOWN, RoundingMode::HalfUp)),
            parts: results(parts, &rows[contestant]),
            decided_by,
        });
        previous = total.as_ref();
    }
    Standings {
        complete: !parts.is_empty() && less_is_better.is_some() && parts.iter().all(|part| part.ranking.complete),
        standings,
        warnings,
    }
}

/// What the results of one contestant come to.
fn total(combine: Combine, less_is_better: bool, parts: &[Part<'_>], rows: &[Option<&Row>]) -> Option<BigRational> {
    let weighted = parts.iter().zip(rows).map(|(part, row)| {
        let value = match combine {
            Combine::Sum | Combine::Best => row.and_then(|row| row.total_exact.clone()),
            Combine::Placings => row.and_then(|row| row.rank).map(|rank| BigRational::from_integer(rank.into())),
        };
        value.map(|value| value * part.weight.to_rational())
    });
    match combine {
        Combine::Sum | Combine::Placings => weighted.sum(),
        Combine::Best if less_is_better => weighted.flatten().min(),
        Combine::Best => weighted.flatten().max(),
    }
}

fn results(parts: &[Part<'_>], rows: &[Option<&Row>]) -> Vec<PartResult> {
    let result = |(part, row): (&Part<'_>, Option<&Row>)| PartResult {
        category_id: part.category.clone(),
        rank: row.and_then(|row| row.rank),
        total: row.and_then(|row| row.total.clone()),
    };
    parts.iter().zip(rows.iter().copied()).map(result).collect()
}
