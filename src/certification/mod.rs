//! Certification: a category is final once its judges, then tally master, auditor and board have signed, in that order,
//! each the same tally.
//!
//! Invariants: a signature binds the tally hash it was given for, and stands only as long as that is the hash; nobody
//! signs two stages of a category, and nobody who ever judged it signs any; a certified sheet is not edited.

pub mod decisions;
pub mod judges;
pub mod officers;
pub mod settle;
pub mod ties;

use crate::auth::role::Hat;
use crate::command::{Draft, to_value};
use crate::db::entity::certification::{self, Stage};
use crate::db::entity::signature;
use crate::error::Refusal;
use crate::events::event::{CertificationUpdated, Event, JudgeProgress, SignatureFact, Text};
use crate::events::log::LogEntry;
use crate::ids::{CategoryId, UserId};
use crate::state::board::Board;
use crate::state::rights::Seat;
use crate::state::{Category, State};
use crate::tally;
use serde_json::Value;
use std::sync::Arc;

/// Longest name a signature is given with, in characters.
pub const SIGNATURE_CHARS_MAX: usize = 200;
/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 2_000;

impl Stage {
    /// The stage after this one, and the hat that signs for it; none after the last.
    #[must_use]
    pub fn next(self) -> Option<(Self, Hat)> {
        match self {
            Self::Open | Self::Certified | Self::Published => None,
            Self::Judged => Some((Self::Tallied, Hat::TallyMaster)),
            Self::Tallied => Some((Self::Audited, Hat::Auditor)),
            Self::Audited => Some((Self::Certified, Hat::Board)),
        }
    }
}

/// A category with its board, for a decision on its certification.
fn category_of(state: &State, id: &CategoryId) -> Result<Arc<Category>, Refusal> {
    state.categories.get(id).cloned().ok_or(Refusal::Forbidden)
}

/// A text that was written by a person: not empty, not endless.
fn words(field: &str, text: &str, max: usize) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::invalid(field, "is empty"));
    }
    if text.chars().count() > max || text.contains('\0') {
        return Err(Refusal::invalid(field, format!("more than {max} characters, or a zero character")));
    }
    Ok(text.to_owned())
}

/// The name a person signs with: what they wrote, else the name they are known by.
fn signature_name(state: &State, user: &UserId, given: Option<&str>) -> Result<String, Refusal> {
    match given {
        Some(name) => words("signatureName", name, SIGNATURE_CHARS_MAX),
        None => Ok(state.users.get(user).map_or_else(|| user.to_string(), |user| user.name.clone())),
    }
}

/// The progress row as it stands, or a first one.
fn progress_of(board: &Board, category: &CategoryId) -> certification::Model {
    board.progress.as_ref().map_or_else(
        || certification::Model {
            category_id: category.clone(),
            stage: Stage::Open,
            rejection_reason: None,
            voided: false,
            tally_hash: None,
            certified_at: None,
            certified_by: None,
            updated_at: crate::clock::Micros(0),
        },
        |row| row.as_ref().clone(),
    )
}

/// How far the judges of a category are. Who was done and has laid the hat down since is one of them.
#[must_use]
pub fn judge_progress(state: &State, category: &Category, board: &Board) -> JudgeProgress {
    let panel: Vec<UserId> = state
        .panel(category)
        .into_iter()
        .filter(|judge| judge.counts && (judge.active || board.is_done(category, &judge.judge)))
        .map(|judge| judge.judge)
        .collect();
    let entries = category.entries.values().filter(|entry| !entry.withdrawn).count();
    let sheet_counts = |key: &(UserId, crate::ids::ContestantId)| {
        panel.contains(&key.0) && category.entries.get(&key.1).is_some_and(|entry| !entry.withdrawn)
    };
    JudgeProgress {
        judges: panel.len(),
        finals: panel.iter().filter(|judge| board.is_done(category, judge)).count(),
        sheets: board.sheets.keys().filter(|key| sheet_counts(key)).count(),
        expected_sheets: panel.len() * entries,
    }
}

/// What is to be told of a category's certification; free texts under salts from `salted`.
fn fact_of(
    state: &State,
    category: &Category,
    board: &Board,
    salted: &dyn Fn(&str) -> Text,
) -> Result<CertificationUpdated, Refusal> {
    let progress = progress_of(board, &category.row.id);
    let signatures = board
        .signatures
        .values()
        .map(|row| SignatureFact {
            stage: row.stage,
            user_id: row.user_id.clone(),
            signature_name: salted(&row.signature_name),
            at: row.at,
            overridden: row.overridden,
            reason: row.comments.as_deref().filter(|_| row.overridden).map(salted),
        })
        .collect();
    let tally_hash = if progress.stage == Stage::Open { None } else { Some(tally::tally(state, category)?.tally_hash) };
    Ok(CertificationUpdated {
        category_id: category.row.id.clone(),
        contest_id: category.row.contest_id.clone(),
        event_id: category.event_id.clone(),
        stage: progress.stage,
        judge_progress: judge_progress(state, category, board),
        signatures,
        tally_hash,
        voided: progress.voided,
        voided_signers: Vec::new(),
        rejection_reason: progress.rejection_reason.as_deref().map(salted),
        certified_at: progress.certified_at,
        certified_by: progress.certified_by,
        updated_at: progress.updated_at,
    })
}

/// Tells where the certification of a category stands now, and, for their notices, whose signatures it took. The hash
/// that is told is kept: once it is another, it is told again.
fn tell(draft: &mut Draft, category: &Category, voided_signers: Vec<UserId>) -> Result<(), Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let fact = fact_of(&draft.state, category, board, &|text| draft.text(text))?;
    if let Some(told) = board.progress.clone().filter(|told| told.tally_hash != fact.tally_hash) {
        draft.put(certification::Model { tally_hash: fact.tally_hash.clone(), ..told.as_ref().clone() });
    }
    draft.append(Event::CertificationUpdated(CertificationUpdated { voided_signers, ..fact }));
    Ok(())
}

/// Whether a user has any business with the certification of a category.
///
/// # Errors
/// `FORBIDDEN`, whether it exists or not.
pub fn may_read(state: &State, user: &UserId, category: &CategoryId) -> Result<Arc<Category>, Refusal> {
    let category = category_of(state, category)?;
    if state.seat(user, &category) == Seat::Stranger { Err(Refusal::Forbidden) } else { Ok(category) }
}

/// The certification of a category as a user sees it.
///
/// # Errors
/// `FORBIDDEN` for whoever has no business with it, whether it exists or not.
pub fn view(state: &State, user: &UserId, category: &CategoryId) -> Result<Value, Refusal> {
    let category = may_read(state, user, category)?;
    let board = state.board(&category.row.id)?;
    let event = Event::CertificationUpdated(fact_of(state, &category, board, &Text::unlogged)?);
    to_value(event.shown_to(&state.rooms_of(user)).ok_or(Refusal::Forbidden)?)
}

/// The same as it stood after the first facts of the category's lane, in the state that was folded from them.
///
/// # Errors
/// `FORBIDDEN` as for that of now.
pub fn view_then(then: &State, facts: &[LogEntry], user: &UserId, category: &CategoryId) -> Result<Value, Refusal> {
    may_read(then, user, category)?;
    let moved = facts.iter().rev().find(|entry| matches!(entry.event, Event::CertificationUpdated(_)));
    let Some(moved) = moved else { return view(then, user, category) };
    to_value(moved.event.shown_to(&then.rooms_of(user)).ok_or(Refusal::Forbidden)?)
}

/// The answer of every command of a certification: how it stands for whoever asked, and the receipt of the fact that
/// says so. Whoever signed can prove by it what they signed.
fn answer(draft: &Draft, category: &CategoryId) -> Result<Value, Refusal> {
    let mut answer = view(&draft.state, draft.actor.user()?, category)?;
    let told = draft
        .entries()
        .iter()
        .rev()
        .find(|entry| matches!(&entry.event, Event::CertificationUpdated(fact) if fact.category_id == *category));
    if let Some(entry) = told {
        answer["receipt"] = to_value(entry.receipt())?;
    }
    Ok(answer)
}

/// Moves a certified category on: its result is published as official.
///
/// # Errors
/// `BoardNeeded`.
pub fn published(draft: &mut Draft, category: &Arc<Category>) -> Result<(), Refusal> {
    settle::move_to(draft, category, Stage::Published, false, Vec::new())
}

/// Whether the event of a category lets one person sign several stages.
fn single_officer(state: &State, category: &Category) -> bool {
    state.events.get(&category.event_id).is_some_and(|event| event.single_officer)
}

/// Takes signatures back, and says whose they were.
fn take_back(draft: &mut Draft, signatures: Vec<signature::Model>) -> Vec<UserId> {
    let signers = signatures.iter().map(|signature| signature.user_id.clone()).collect();
    for signature in signatures {
        draft.remove(signature);
    }
    signers
}
