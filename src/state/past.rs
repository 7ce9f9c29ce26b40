//! How a board stood: the facts of its lane up to a place, folded again.
//!
//! Invariant: what people are and may do is that of now; what they see is that of then.

pub mod races;

use super::board::Board;
use super::{Category, State};
use crate::db::entity::decision::{self, DecisionKind};
use crate::db::entity::mark::{self, MarkStatus};
use crate::db::entity::{certification, entry, tie_break};
use crate::db::row::{Change, Row};
use crate::error::Refusal;
use crate::events::event::{CertificationUpdated, DecisionChanged, Event, ScoreUpdated, Text};
use crate::events::log::LogEntry;
use crate::events::room::Lane;
use serde_json::json;
use std::sync::Arc;

fn body(text: Option<&Text>) -> Option<String> {
    text.and_then(Text::body).map(str::to_owned)
}

fn mark_row(fact: &ScoreUpdated) -> mark::Model {
    mark::Model {
        category_id: fact.category_id.clone(),
        contestant_id: fact.contestant_id.clone(),
        judge_id: fact.judge_id.clone(),
        criterion_id: fact.criterion_id.clone(),
        id: fact.id.clone(),
        score: fact.score.thousandths(),
        comment: body(fact.comment.as_ref()),
        status: fact.status,
        version: fact.version,
        // It salts what is signed; nothing is signed of the past.
        salt: String::new(),
        entered_by: fact.entered_by.clone(),
        confirmed_by: fact.confirmed_by.clone(),
        made_at: fact.made_at,
        created_at: fact.created_at,
        updated_at: fact.updated_at,
    }
}

fn decision_row(fact: &DecisionChanged) -> decision::Model {
    decision::Model {
        id: fact.id.clone(),
        category_id: fact.category_id.clone(),
        kind: fact.about,
        status: fact.status,
        body: json!({
            "contestant": fact.contestant_id, "judge": fact.judge_id, "scores": fact.score_ids, "amount": fact.amount,
            "reason": fact.reason.body().unwrap_or_default(), "answer": body(fact.answer.as_ref()),
        })
        .to_string(),
        requested_by: fact.requested_by.clone(),
        requested_at: fact.requested_at,
        decided_at: fact.decided_at,
    }
}

fn certification_row(fact: &CertificationUpdated) -> certification::Model {
    certification::Model {
        category_id: fact.category_id.clone(),
        stage: fact.stage,
        rejection_reason: body(fact.rejection_reason.as_ref()),
        voided: fact.voided,
        tally_hash: fact.tally_hash.clone(),
        certified_at: fact.certified_at,
        certified_by: fact.certified_by.clone(),
        updated_at: fact.updated_at,
    }
}

/// The state in which a category's board stands as it did after these facts, the first ones of its lane, with what was
/// published by then.
///
/// # Errors
/// `BoardNeeded`; `INTERNAL`, to which there is no way, because a tie is plain data.
pub fn after(state: &State, category: &Category, entries: &[LogEntry]) -> Result<State, Refusal> {
    let id = &category.row.id;
    let seq = entries.last().map_or(0, |last| last.lane_seq);
    // Whether one may be seen is a matter of now.
    let published = state.board(id)?.publications.iter().filter(|(_, row)| row.lane_seq <= seq);
    let mut board = Board::default();
    board.publications = published.map(|(revision, row)| (*revision, Arc::clone(row))).collect();
    let mut state = state.clone();
    for entry in category.entries.values() {
        state.put(&Row::from(entry::Model { withdrawn: false, ..entry.as_ref().clone() }));
    }
    for entry in entries {
        let row = match &entry.event {
            Event::ScoreUpdated(fact) => Row::from(mark_row(fact)),
            Event::ScoreDeleted(fact) => {
                let Some(mark) = board.place_of(&fact.id).and_then(|place| board.at(place)) else { continue };
                Row::from(mark::Model { status: MarkStatus::Removed, ..mark.as_ref().clone() })
            }
            Event::DecisionChanged(fact) if fact.about == DecisionKind::Deduction => Row::from(decision_row(fact)),
            Event::CertificationUpdated(fact) => Row::from(certification_row(fact)),
            Event::TieResolved(fact) => Row::from(tie_break::Model {
                category_id: fact.category_id.clone(),
                id: entry.lane_seq.to_string(),
                contestants: crate::command::to_value(&fact.order)?.to_string(),
                reason: body(Some(&fact.reason)).unwrap_or_default(),
                resolved_by: fact.by.clone(),
                at: fact.at,
            }),
            Event::EntryChanged(fact) => {
                let known = category.entries.get(&fact.contestant_id).map(AsRef::as_ref).cloned();
                if let Some(row) = known {
                    state.put(&Row::from(entry::Model { withdrawn: fact.withdrawn, ..row }));
                }
                continue;
            }
            // What people asked for and what was signed is not what a board shows.
            Event::DecisionChanged(_)
            | Event::AssignmentNew(_)
            | Event::AssignmentRemoved(_)
            | Event::UserChanged(_)
            | Event::SessionChanged(_)
            | Event::SetupChanged(_)
            | Event::ContestantsChanged(_)
            | Event::ContestLocked(_)
            | Event::Notified(_)
            | Event::NoticesChanged(_)
            | Event::Announced(_)
            | Event::ResultsPublished(_)
            | Event::ResultsFrozen(_)
            | Event::ResultsRevealed(_)
            | Event::PublicChanged(_)
            | Event::RaceStatusChanged(_)
            | Event::ResultsChanged(_)
            | Event::SplitsPassed(_)
            | Event::OddsChanged(_)
            | Event::IndoorImported(_)
            | Event::IndoorUpdated(_)
            | Event::IndoorCompleted(_)
            | Event::CassetteChanged(_) => continue,
        };
        board.apply(&Change::Put(row));
    }
    state.boards.insert(id.clone(), Arc::new(board));
    let lane = Lane::Category(id.clone());
    match entries.last() {
        Some(last) => state.lanes.insert(lane, last.lane_head()),
        None => state.lanes.remove(&lane),
    };
    Ok(state)
}

/// The category as a state has it.
///
/// # Errors
/// `NOT_FOUND`.
pub fn category(state: &State, id: &crate::ids::CategoryId) -> Result<Arc<Category>, Refusal> {
    state.categories.get(id).cloned().ok_or_else(|| Refusal::not_found("category", id))
}
