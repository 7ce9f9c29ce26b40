//! The tally: what the marks of a category come to, for those who may see it. Derived, never stored.

mod doubts;

use crate::db::entity::certification::Stage;
use crate::db::entity::decision::{DecisionKind, DecisionStatus};
use crate::error::Refusal;
use crate::ids::{CategoryId, ContestantId, UserId};
use crate::ranking::{CriterionIn, Decimal, DeductionIn, EntryIn, Input, MarkIn, Missing, Panelist, Ranking, rank};
use crate::state::board::Board;
use crate::state::rights::Seat;
use crate::state::{Category, State, thousandths};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// The tally view.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TallyView {
    /// Of which category.
    pub category_id: CategoryId,
    /// How far its certification has come.
    pub stage: Stage,
    /// What a signature binds: SHA-256 over rules, sorted marks with versions and the ranking, hex.
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

/// What the pure ranking needs, taken from the state.
#[must_use]
pub fn input(state: &State, category: &Category, board: &Board) -> Input {
    let marked: HashSet<&UserId> = board.confirmed_marks().map(|mark| &mark.judge_id).collect();
    // A judge who left keeps the marks that were given; one who left without any is not missed.
    let panel = state
        .panel(category)
        .into_iter()
        .filter(|judge| judge.counts && (judge.active || marked.contains(&judge.judge)))
        // Who was done owes nothing: laying the hat down afterwards changes nothing of what was signed.
        .map(|judge| Panelist {
            required: judge.active || board.is_done(category, &judge.judge),
            judge: judge.judge.text(),
            head: judge.head,
        })
        .collect();
    Input {
        criteria: category
            .criteria
            .values()
            .map(|criterion| CriterionIn { id: criterion.row.id.text(), weight: criterion.weight.clone() })
            .collect(),
        entries: category
            .entries
            .values()
            .map(|entry| EntryIn {
                contestant: entry.contestant_id.text(),
                factor: entry.factor.parse().unwrap_or_else(|_| Decimal::one()),
                withdrawn: entry.withdrawn,
                status: None,
            })
            .collect(),
        panel,
        marks: board
            .confirmed_marks()
            .map(|mark| MarkIn {
                judge: mark.judge_id.text(),
                contestant: mark.contestant_id.text(),
                criterion: mark.criterion_id.text(),
                value: thousandths(mark.score),
            })
            .collect(),
        deductions: deductions(board),
        manual_order: board.tie_orders().map(|(_, order)| order.iter().map(ContestantId::text).collect()).collect(),
    }
}

/// The deductions that are in force; they add up.
fn deductions(board: &Board) -> Vec<DeductionIn> {
    /// What a deduction's body says of whom, and how much.
    #[derive(serde::Deserialize)]
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
        })
        .map(|body| DeductionIn { contestant: body.contestant.text(), amount: body.amount })
        .collect()
}

/// The canonical form that is hashed: every line one thing, sorted, so that it reads one way only.
fn tally_hash(category: &Category, board: &Board, input: &Input, ranking: &Ranking) -> String {
    let mut hasher = Sha256::new();
    let mut line = |text: String| {
        hasher.update(text.as_bytes());
        hasher.update(b"\n");
    };
    line(format!("category {}", category.row.id));
    line(format!("rules {}", serde_json::to_string(&category.rules).expect("rules are plain data with text keys")));
    line(format!("minJudges {}", category.row.min_judges));
    for criterion in category.criteria.values() {
        let row = &criterion.row;
        line(format!("criterion {} {} {} {} {}", row.id, row.min, row.max, row.step, criterion.weight));
    }
    for entry in category.entries.values() {
        line(format!("entry {} {} {}", entry.contestant_id, entry.factor, entry.withdrawn));
    }
    for judge in &input.panel {
        line(format!("judge {} {} {}", judge.judge, judge.required, judge.head));
    }
    // Marks outside the panel decide nothing, so they may not undo what was signed either.
    let judges: HashSet<&str> = input.panel.iter().map(|judge| &*judge.judge).collect();
    for mark in board.confirmed_marks().filter(|mark| judges.contains(mark.judge_id.as_str())) {
        let (who, by, what) = (&mark.contestant_id, &mark.judge_id, &mark.criterion_id);
        line(format!("mark {who} {by} {what} {} {}", mark.score, mark.version));
    }
    for deduction in &input.deductions {
        line(format!("deduction {} {}", deduction.contestant, deduction.amount));
    }
    for order in &input.manual_order {
        line(format!("tie {}", order.join(" ")));
    }
    for row in &ranking.ranking {
        let rank = row.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
        let total = row.total.as_ref().map_or_else(|| "-".to_owned(), Decimal::to_string);
        line(format!("rank {rank} {} {total}", row.contestant_id));
    }
    hex::encode(hasher.finalize())
}

/// The tally of a category.
///
/// # Errors
/// `OVERLOADED` while its marks are not loaded.
pub fn tally(state: &State, category: &Category) -> Result<TallyView, Refusal> {
    let board = state.board(&category.row.id)?;
    let input = input(state, category, board);
    let mut ranking = rank(&category.rules, &input);
    let doubts = doubts::doubts(category, board, &ranking);
    ranking.warnings.extend(doubts);
    Ok(TallyView {
        category_id: category.row.id.clone(),
        stage: board.stage(),
        tally_hash: tally_hash(category, board, &input, &ranking),
        ranking,
    })
}

/// How much of a category's marks is there, whatever its policy says of missing ones.
///
/// # Errors
/// `OVERLOADED` while its marks are not loaded.
pub fn completeness(state: &State, category: &Category) -> Result<CompletenessView, Refusal> {
    let board = state.board(&category.row.id)?;
    let missing = rank(&category.rules, &input(state, category, board)).missing;
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

/// The category, if the user reads everything of it.
///
/// # Errors
/// `FORBIDDEN` for all others, whether it exists or not.
pub fn for_office<'a>(state: &'a State, user: &UserId, category: &CategoryId) -> Result<&'a Category, Refusal> {
    let category = state.categories.get(category).ok_or(Refusal::Forbidden)?;
    if state.seat(user, category) == Seat::Office { Ok(category) } else { Err(Refusal::Forbidden) }
}
