//! What judges sign: each contestant's sheet when every criterion has a mark, then FINAL.

use super::{answer, category_of, signature_name, tell};
use crate::command::{Decide, Draft};
use crate::db::entity::certification::Stage;
use crate::db::entity::mark::{self, MarkStatus};
use crate::db::entity::{judge_final, sheet};
use crate::error::Refusal;
use crate::events::event::Event;
use crate::events::log::sha256_hex;
use crate::ids::{CategoryId, ContestantId, UserId};
use crate::scores;
use crate::state::board::{Board, Place};
use crate::state::rights::Seat;
use crate::state::{Category, State};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;

/// Certifies the marks of one contestant's sheet, or of every sheet.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertifySheet {
    /// The category.
    pub category_id: CategoryId,
    /// Whose sheet; every sheet where it is left out.
    #[serde(default)]
    pub contestant_id: Option<ContestantId>,
    /// The hash of the sheet as the judge saw it: refused when another sheet stands there.
    #[serde(default)]
    pub sheet_hash: Option<String>,
    /// The name signed with; the judge's own unless given.
    #[serde(default)]
    pub signature_name: Option<String>,
}

/// Signs FINAL: every sheet is certified, nothing more comes.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignFinal {
    /// The category.
    pub category_id: CategoryId,
    /// The name signed with; the judge's own unless given.
    #[serde(default)]
    pub signature_name: Option<String>,
}

/// The judge who asks, if they judge the category.
fn judge_of(draft: &Draft, category: &Category) -> Result<UserId, Refusal> {
    let judge = draft.actor.user()?.clone();
    if draft.state.seat(&judge, category) == Seat::Judge { Ok(judge) } else { Err(Refusal::NotAssigned) }
}

/// What the board has signed stays as it is, also where a mark was never asked for.
fn must_not_be_locked(board: &Board) -> Result<(), Refusal> {
    if board.stage() >= Stage::Certified {
        return Err(Refusal::Locked("the category is certified; its scores are locked".into()));
    }
    Ok(())
}

/// The marks of a sheet, in the order of the criteria; none if one is missing, or waits to be confirmed.
fn sheet_marks(
    category: &Category,
    board: &Board,
    judge: &UserId,
    contestant: &ContestantId,
) -> Option<Vec<Arc<mark::Model>>> {
    category
        .criteria
        .keys()
        .map(|criterion| {
            let place = Place { contestant: contestant.clone(), judge: judge.clone(), criterion: criterion.clone() };
            board.at(&place).filter(|mark| mark.stands() && !mark.waits()).cloned()
        })
        .collect()
}

/// SHA-256 over a sheet: a line a criterion, `id score version`, by id.
fn sheet_hash(marks: &[Arc<mark::Model>]) -> String {
    let mut text = String::new();
    for mark in marks {
        writeln!(text, "{} {} {}", mark.criterion_id, mark.score, mark.version)
            .expect("writing to a String cannot fail");
    }
    sha256_hex(text.as_bytes())
}

fn entries(category: &Category) -> impl Iterator<Item = &ContestantId> {
    category.entries.values().filter(|entry| !entry.withdrawn).map(|entry| &entry.contestant_id)
}

/// Gives marks another status, one fact each.
pub(super) fn restate(draft: &mut Draft, category: &Category, marks: &[Arc<mark::Model>], status: MarkStatus) {
    for before in marks.iter().filter(|mark| mark.status != status) {
        let row = mark::Model { status, updated_at: draft.now, ..before.as_ref().clone() };
        let mut fact = scores::fact_of(&row, &draft.state, category);
        fact.comment = row.comment.as_deref().map(|body| draft.text(body));
        draft.put(row);
        draft.append(Event::ScoreUpdated(fact));
    }
}

fn certify(
    draft: &mut Draft,
    category: &Category,
    judge: &UserId,
    contestant: &ContestantId,
    name: &str,
) -> Result<String, Refusal> {
    let marks = sheet_marks(category, draft.state.board(&category.row.id)?, judge, contestant)
        .ok_or_else(|| Refusal::State(format!("the sheet of {contestant} is not complete")))?;
    let hash = sheet_hash(&marks);
    let row = sheet::Model {
        category_id: category.row.id.clone(),
        judge_id: judge.clone(),
        contestant_id: contestant.clone(),
        sheet_hash: hash.clone(),
        signature_name: name.to_owned(),
        at: draft.now,
    };
    draft.put(row);
    restate(draft, category, &marks, MarkStatus::Certified);
    Ok(hash)
}

/// The hash of a judge's sheet as it stands.
///
/// # Errors
/// `STATE` when it is not complete.
pub fn hash_of(
    state: &State,
    category: &Category,
    judge: &UserId,
    contestant: &ContestantId,
) -> Result<String, Refusal> {
    let marks = sheet_marks(category, state.board(&category.row.id)?, judge, contestant);
    marks
        .map(|marks| sheet_hash(&marks))
        .ok_or_else(|| Refusal::State(format!("the sheet of {contestant} is not complete")))
}

impl Decide for CertifySheet {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let category = category_of(&draft.state, &self.category_id).map_err(|_unknown| Refusal::NotAssigned)?;
        let judge = judge_of(draft, &category)?;
        let name = signature_name(&draft.state, &judge, self.signature_name.as_deref())?;
        let wanted: Vec<ContestantId> = match &self.contestant_id {
            Some(contestant) if entries(&category).any(|id| id == contestant) => vec![contestant.clone()],
            Some(contestant) => return Err(Refusal::not_found("contestant", contestant)),
            None => entries(&category).cloned().collect(),
        };
        if self.sheet_hash.is_some() && self.contestant_id.is_none() {
            return Err(Refusal::invalid("sheetHash", "needs a contestantId: each sheet has a hash of its own"));
        }
        let board = draft.state.board(&self.category_id)?;
        must_not_be_locked(board)?;
        let open: Vec<ContestantId> = wanted
            .into_iter()
            .filter(|contestant| !board.sheets.contains_key(&(judge.clone(), contestant.clone())))
            .collect();
        if open.is_empty() {
            return Err(Refusal::Certified);
        }
        for contestant in &open {
            let hash = hash_of(&draft.state, &category, &judge, contestant)?;
            if self.sheet_hash.as_ref().is_some_and(|seen| *seen != hash) {
                return Err(Refusal::HashMismatch { current: hash });
            }
            certify(draft, &category, &judge, contestant, &name)?;
        }
        tell(draft, &category, Vec::new())?;
        Ok(Value::Null)
    }

    fn settled(&self, _: Value, draft: &Draft) -> Result<Value, Refusal> {
        answer(draft, &self.category_id)
    }
}

impl Decide for SignFinal {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let category = category_of(&draft.state, &self.category_id).map_err(|_unknown| Refusal::NotAssigned)?;
        let judge = judge_of(draft, &category)?;
        let name = signature_name(&draft.state, &judge, self.signature_name.as_deref())?;
        let board = draft.state.board(&self.category_id)?;
        if board.finals.contains_key(&judge) {
            return Err(Refusal::Certified);
        }
        must_not_be_locked(board)?;
        if entries(&category).next().is_none() {
            return Err(Refusal::State("nobody is entered yet".into()));
        }
        if let Some(open) = entries(&category).find(|id| !board.sheets.contains_key(&(judge.clone(), (*id).clone()))) {
            return Err(Refusal::State(format!("the sheet of {open} is not certified yet")));
        }
        draft.put(judge_final::Model {
            category_id: self.category_id.clone(),
            judge_id: judge,
            signature_name: name,
            at: draft.now,
        });
        tell(draft, &category, Vec::new())?;
        Ok(Value::Null)
    }

    fn settled(&self, _: Value, draft: &Draft) -> Result<Value, Refusal> {
        answer(draft, &self.category_id)
    }
}
