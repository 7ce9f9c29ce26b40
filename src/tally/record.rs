//! The tally as it is signed: everything the ranking is made of, and the places it comes to.
//!
//! Invariants: a record reads one way only (every list is sorted, every field has one place), and its JSON is what the
//! tally hash is taken over, so that `sha256sum` of the record in an evidence bundle is the hash that was signed;
//! nothing that cannot change a place is in it, so nothing else voids a signature.

use crate::db::entity::decision::{DecisionKind, DecisionStatus};
use crate::events::log::sha256_hex;
use crate::ids::{CategoryId, ContestantId, CriterionId, UserId};
use crate::ranking::{CriterionIn, Decimal, DeductionIn, EntryIn, Input, Mark, MarkIn, Panelist, Ranking, Rules};
use crate::state::board::Board;
use crate::state::{Category, State, thousandths};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What a ranking is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Basis {
    /// The category.
    pub category_id: CategoryId,
    /// How marks become places.
    pub rules: Rules,
    /// How many judges there must be.
    pub min_judges: i64,
    /// What is marked, by id.
    pub criteria: Vec<CriterionBasis>,
    /// Who is marked, by id.
    pub entries: Vec<EntryBasis>,
    /// The judges who count, by id.
    pub panel: Vec<JudgeBasis>,
    /// Their marks, by contestant, judge and criterion.
    pub marks: Vec<MarkBasis>,
    /// The deductions in force, by id; they add up.
    pub deductions: Vec<DeductionBasis>,
    /// The ties decided by hand, each best first; nobody is in two of them.
    pub ties: Vec<Vec<ContestantId>>,
}

/// A criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are those of the criterion")]
pub struct CriterionBasis {
    pub criterion_id: CriterionId,
    pub min: Mark,
    pub max: Mark,
    pub step: Mark,
    pub weight: Decimal,
}

impl CriterionBasis {
    /// Whether a judge may give this mark.
    #[must_use]
    pub fn allows(&self, mark: Mark) -> bool {
        let (above, step) = (mark.thousandths() - self.min.thousandths(), self.step.thousandths());
        (self.min..=self.max).contains(&mark) && (step <= 0 || above % step == 0)
    }
}

/// A contestant in the category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are those of the entry")]
pub struct EntryBasis {
    pub contestant_id: ContestantId,
    pub factor: Decimal,
    pub withdrawn: bool,
}

/// A judge who counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JudgeBasis {
    /// Who.
    pub judge_id: UserId,
    /// False for a judge who has left: the marks given count, others are not asked for.
    pub required: bool,
    /// Whether this is the head judge.
    pub head: bool,
}

/// A mark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are those of the mark")]
pub struct MarkBasis {
    pub contestant_id: ContestantId,
    pub judge_id: UserId,
    pub criterion_id: CriterionId,
    pub score: Mark,
    pub version: i64,
    /// Random, new with each version: a tally hash must not let anybody guess the marks under it.
    pub salt: String,
}

/// A deduction in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeductionBasis {
    /// The decision.
    pub id: String,
    /// Whose total it lowers.
    pub contestant_id: ContestantId,
    /// By how many points.
    pub amount: Decimal,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// What the ranking is made of.
    pub basis: Basis,
    /// What it comes to, in the order of the ranking.
    pub ranking: Vec<PlaceRecord>,
}

/// The place of a contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlaceRecord {
    /// Whose.
    pub contestant_id: ContestantId,
    /// From 1; none without a total.
    pub rank: Option<u32>,
    /// None while something is missing.
    pub total: Option<Decimal>,
}

impl Basis {
    /// What the ranking of a category is made of, as its state stands.
    #[must_use]
    pub fn of(state: &State, category: &Category, board: &Board) -> Self {
        let marked: HashSet<&UserId> = board.confirmed_marks().map(|mark| &mark.judge_id).collect();
        // A judge who left keeps the marks that were given; one who left without any is not missed.
        let mut panel: Vec<JudgeBasis> = state
            .panel(category)
            .into_iter()
            .filter(|judge| judge.counts && (judge.active || marked.contains(&judge.judge)))
            // Who was done owes nothing: laying the hat down afterwards changes nothing of what was signed.
            .map(|judge| JudgeBasis {
                required: judge.active || board.is_done(category, &judge.judge),
                judge_id: judge.judge,
                head: judge.head,
            })
            .collect();
        panel.sort_by(|one, other| one.judge_id.cmp(&other.judge_id));
        let counts: HashSet<&UserId> = panel.iter().map(|judge| &judge.judge_id).collect();
        // Marks outside the panel decide nothing, so they may not undo what was signed either.
        let marks = board
            .confirmed_marks()
            .filter(|mark| counts.contains(&mark.judge_id))
            .map(|mark| MarkBasis {
                contestant_id: mark.contestant_id.clone(),
                judge_id: mark.judge_id.clone(),
                criterion_id: mark.criterion_id.clone(),
                score: thousandths(mark.score),
                version: mark.version,
                salt: mark.salt.clone(),
            })
            .collect();
        let mut ties: Vec<Vec<ContestantId>> = board.tie_orders().map(|(_, order)| order).collect();
        ties.sort();
        Self {
            category_id: category.row.id.clone(),
            rules: category.rules.clone(),
            min_judges: category.row.min_judges,
            criteria: category
                .criteria
                .values()
                .map(|criterion| CriterionBasis {
                    criterion_id: criterion.row.id.clone(),
                    min: criterion.min,
                    max: criterion.max,
                    step: criterion.step,
                    weight: criterion.weight.clone(),
                })
                .collect(),
            entries: category
                .entries
                .values()
                .map(|entry| EntryBasis {
                    contestant_id: entry.contestant_id.clone(),
                    factor: entry.factor.parse().unwrap_or_else(|_| Decimal::one()),
                    withdrawn: entry.withdrawn,
                })
                .collect(),
            marks,
            panel,
            deductions: deductions(board),
            ties,
        }
    }

    /// The same for the pure ranking.
    #[must_use]
    pub fn input(&self) -> Input {
        Input {
            criteria: self
                .criteria
                .iter()
                .map(|criterion| CriterionIn { id: criterion.criterion_id.text(), weight: criterion.weight.clone() })
                .collect(),
            entries: self
                .entries
                .iter()
                .map(|entry| EntryIn {
                    contestant: entry.contestant_id.text(),
                    factor: entry.factor.clone(),
                    withdrawn: entry.withdrawn,
                    status: None,
                })
                .collect(),
            panel: self
                .panel
                .iter()
                .map(|judge| Panelist { judge: judge.judge_id.text(), required: judge.required, head: judge.head })
                .collect(),
            marks: self
                .marks
                .iter()
                .map(|mark| MarkIn {
                    judge: mark.judge_id.text(),
                    contestant: mark.contestant_id.text(),
                    criterion: mark.criterion_id.text(),
                    value: mark.score,
                })
                .collect(),
            deductions: self
                .deductions
                .iter()
                .map(|deduction| DeductionIn {
                    contestant: deduction.contestant_id.text(),
                    amount: deduction.amount.clone(),
                })
                .collect(),
            manual_order: self.ties.iter().map(|order| order.iter().map(ContestantId::text).collect()).collect(),
        }
    }

    /// The ranking it comes to.
    #[must_use]
    pub fn rank(&self) -> Ranking {
        crate::ranking::rank(&self.rules, &self.input())
    }
}

/// The deductions that are in force, by id.
fn deductions(board: &Board) -> Vec<DeductionBasis> {
    /// What a deduction's body says of whom, and how much.
    #[derive(Deserialize)]
    struct Body {
        contestant: ContestantId,
        amount: Decimal,
    }
    board
        .decisions
        .values()
        .filter(|row| row.kind == DecisionKind::Deduction && row.status == DecisionStatus::Approved)
        .filter_map(|row| {
            let body = serde_json::from_str::<Body>(&row.body);
            body.inspect_err(|cause| tracing::error!(error = %cause, decision = row.id, "a deduction cannot be read"))
                .ok()
                .map(|body| DeductionBasis { id: row.id.clone(), contestant_id: body.contestant, amount: body.amount })
        })
        .collect()
}

impl Record {
    /// The record of a basis and the ranking it comes to.
    #[must_use]
    pub fn of(basis: Basis, ranking: &Ranking) -> Self {
        let place = |row: &crate::ranking::Row| {
            // The ids of a ranking are those of its basis.
            let contestant_id = row.contestant_id.parse().ok()?;
            Some(PlaceRecord { contestant_id, rank: row.rank, total: row.total.clone() })
        };
        Self { basis, ranking: ranking.ranking.iter().filter_map(place).collect() }
    }

    /// The one text it has.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record is plain data with text keys")
    }

    /// What a signature binds: SHA-256 over its text, hex.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256_hex(self.to_json().as_bytes())
    }
}
