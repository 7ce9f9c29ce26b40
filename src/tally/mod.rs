//! The tally: what the marks of a category come to, for those who may see it. Derived; only what is published is kept.

pub mod record;

mod doubts;

use crate::db::entity::certification::Stage;
use crate::error::Refusal;
use crate::ids::{CategoryId, UserId};
use crate::ranking::{Missing, Ranking};
use crate::state::{Category, State};
use record::{Basis, Record};
use serde::Serialize;

/// The tally view.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TallyView {
    /// Of which category.
    pub category_id: CategoryId,
    /// How far its certification has come.
    pub stage: Stage,
    /// What a signature binds: SHA-256 over rules, sorted marks with versions, deductions and the ranking, hex.
    pub tally_hash: String,
    /// The ranking, with every mark that led to it.
    #[serde(flatten)]
    pub ranking: Ranking,
}

/// How much of a category's marks is there.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompletenessView {
    /// Of which category.
    pub category_id: CategoryId,
    /// Whether every expected mark is there.
    pub complete: bool,
    /// Marks there should be: counting judges × contestants × criteria.
    pub expected: usize,
    /// Marks that are there.
    pub given: usize,
    /// What is missing.
    #[schema(value_type = Vec<Object>)]
    pub missing: Vec<Missing>,
    /// The same, one line a judge.
    pub judges: Vec<JudgeProgress>,
}

/// How far one judge has come.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JudgeProgress {
    /// Who.
    pub judge_id: UserId,
    /// Whether the marks of this judge enter the tally.
    pub counts: bool,
    /// Marks there should be.
    pub expected: usize,
    /// Marks that are there.
    pub given: usize,
}

/// The tally of a category.
///
/// # Errors
/// `OVERLOADED` while its marks are not loaded.
pub fn tally(state: &State, category: &Category) -> Result<TallyView, Refusal> {
    let (record, mut ranking) = record_of(state, category)?;
    let doubts = doubts::doubts(category, state.board(&category.row.id)?, &ranking);
    ranking.warnings.extend(doubts);
    Ok(TallyView {
        category_id: category.row.id.clone(),
        stage: state.board(&category.row.id)?.stage(),
        tally_hash: record.hash(),
        ranking,
    })
}

/// The tally of a category as it would be signed now, and the ranking in it with all that led to it.
///
/// # Errors
/// `OVERLOADED` while its marks are not loaded.
pub fn record_of(state: &State, category: &Category) -> Result<(Record, Ranking), Refusal> {
    let basis = Basis::of(state, category, state.board(&category.row.id)?);
    let ranking = basis.rank();
    Ok((Record::of(basis, &ranking), ranking))
}

/// How much of a category's marks is there, whatever its policy says of missing ones.
///
/// # Errors
/// `OVERLOADED` while its marks are not loaded.
pub fn completeness(state: &State, category: &Category) -> Result<CompletenessView, Refusal> {
    let board = state.board(&category.row.id)?;
    let missing = Basis::of(state, category, board).rank().missing;
    let places = category.criteria.len() * category.entries.values().filter(|entry| !entry.withdrawn).count();
    let judges: Vec<JudgeProgress> = state
        .panel(category)
        .into_iter()
        .filter(|judge| judge.active)
        .map(|judge| JudgeProgress {
            given: board
                .confirmed_marks()
                .filter(|mark| mark.judge_id == judge.judge)
                .filter(|mark| category.entries.get(&mark.contestant_id).is_some_and(|entry| !entry.withdrawn))
                .count(),
            judge_id: judge.judge,
            counts: judge.counts,
            expected: places,
        })
        .collect();
    let counted = || judges.iter().filter(|judge| judge.counts);
    Ok(CompletenessView {
        category_id: category.row.id.clone(),
        complete: missing.is_empty() && counted().count() > 0,
        expected: counted().map(|judge| judge.expected).sum(),
        given: counted().map(|judge| judge.given).sum(),
        missing,
        judges,
    })
}
