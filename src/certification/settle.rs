//! What follows from a change by itself: a category is JUDGED when its panel is done, or as long as an override says so,
//! and signatures under another tally than the one that stands now are void.
//!
//! Invariant: it runs after every command, over every category whose tally the command may have changed, in the same
//! decision: nobody can forget it, and nobody can sign in between.

use super::{decisions, judge_progress, progress_of, single_officer, take_back, tell};
use crate::command::Draft;
use crate::db::entity::certification::{self, Stage};
use crate::db::entity::mark::{self, MarkStatus};
use crate::error::Refusal;
use crate::events::room::Lane;
use crate::ids::{CategoryId, UserId};
use crate::state::board::Board;
use crate::state::{Category, State};
use crate::tally;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Settles every category that what this draft has done so far may have changed.
///
/// # Errors
/// `BoardNeeded` when boards that signatures may hang on are not in memory, with all of them.
pub fn settle(draft: &mut Draft) -> Result<(), Refusal> {
    let touched: BTreeSet<CategoryId> =
        draft.entries().iter().flat_map(|entry| entry.event.tallies(&draft.state)).collect();
    // A category in which nothing has happened yet has nothing to settle.
    let begun = |category: &Arc<Category>| draft.state.lane_seq(&Lane::Category(category.row.id.clone())) > 0;
    let categories: Vec<Arc<Category>> =
        touched.iter().filter_map(|id| draft.state.categories.get(id)).filter(|it| begun(it)).cloned().collect();
    draft.state.must_have_boards(categories.iter().map(|category| &category.row.id))?;
    for category in &categories {
        decisions::settle(draft, category)?;
        settle_one(draft, category)?;
    }
    Ok(())
}

/// Whether the panel is done: everyone who counts has signed FINAL, and they are enough.
fn is_judged(state: &State, category: &Category) -> Result<bool, Refusal> {
    let board = state.board(&category.row.id)?;
    let progress = judge_progress(state, category, board);
    let enough = i64::try_from(progress.judges).unwrap_or(i64::MAX) >= category.row.min_judges.max(1);
    Ok(enough && progress.finals == progress.judges)
}

fn settle_one(draft: &mut Draft, category: &Arc<Category>) -> Result<(), Refusal> {
    // Nobody has signed anything: the usual case, which costs nothing.
    let board = draft.state.board(&category.row.id)?;
    if board.progress.is_none() && board.finals.is_empty() {
        return Ok(());
    }
    drop_hollow_finals(draft, category)?;
    let panel_done = is_judged(&draft.state, category)?;
    let board = draft.state.board(&category.row.id)?;
    let before = progress_of(board, &category.row.id);
    if before.stage == Stage::Open && !panel_done {
        return Ok(());
    }
    // The first signature that does not stand any more takes all later ones with it: each was given on top of it.
    let hash = tally::tally(&draft.state, category)?.tally_hash;
    let first_void = first_void(&draft.state, category, board, &hash);
    // JUDGED is the first of all stages: an override of it stands unless it is the first that is void.
    let overridden = board.signatures.contains_key(&Stage::Judged) && first_void != Some(Stage::Judged);
    let judged = panel_done || overridden;
    let gone: Vec<_> = board
        .signatures
        .values()
        .filter(|signature| !judged || first_void.is_some_and(|stage| signature.stage >= stage))
        .map(|signature| signature.as_ref().clone())
        .collect();
    let signers = take_back(draft, gone);
    let voids = !signers.is_empty();
    let board = draft.state.board(&category.row.id)?;
    let reached = board.signatures.keys().max().copied();
    let stage = match (judged, reached) {
        (false, _) => Stage::Open,
        (true, None) => Stage::Judged,
        // What is published stays so as long as the board's signature stands.
        (true, Some(Stage::Certified)) if before.stage == Stage::Published => Stage::Published,
        (true, Some(stage)) => stage,
    };
    // Nothing may have moved, and yet what the next signature binds is another: nobody should go on reading the old hash.
    let outdated = stage != Stage::Open && before.tally_hash.as_ref() != Some(&hash);
    if stage == before.stage && !voids && !outdated {
        return Ok(());
    }
    move_to(draft, category, stage, voids || before.voided, signers)
}

/// FINAL is taken back where a sheet under it is open or was never there.
fn drop_hollow_finals(draft: &mut Draft, category: &Category) -> Result<(), Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let hollow: Vec<_> = board.finals.values().filter(|row| !board.is_done(category, &row.judge_id)).cloned().collect();
    for row in hollow {
        draft.remove(row.as_ref().clone());
    }
    Ok(())
}

/// The first stage whose signature does not stand: the tally is another, its signer judges or judged the category by
/// now, or signed an earlier stage where the event does not allow it.
fn first_void(state: &State, category: &Category, board: &Board, hash: &str) -> Option<Stage> {
    let panel: BTreeSet<UserId> = state.panel(category).into_iter().map(|judge| judge.judge).collect();
    let single_officer = single_officer(state, category);
    let mut signed = BTreeSet::new();
    board
        .signatures
        .values()
        .find(|signature| {
            let again = !signed.insert(signature.user_id.clone()) && !single_officer;
            signature.tally_hash != hash || panel.contains(&signature.user_id) || again
        })
        .map(|signature| signature.stage)
}

/// Takes every signature of a category back: what lay under them is open again.
pub(super) fn void_all(draft: &mut Draft, category: &Arc<Category>) -> Result<(), Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let gone: Vec<_> = board.signatures.values().map(|signature| signature.as_ref().clone()).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let signers = take_back(draft, gone);
    move_to(draft, category, Stage::Judged, true, signers)
}

/// Moves a category to a stage, and opens the locks of one that is certified no more.
pub(super) fn move_to(
    draft: &mut Draft,
    category: &Arc<Category>,
    stage: Stage,
    voided: bool,
    signers: Vec<UserId>,
) -> Result<(), Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let before = progress_of(board, &category.row.id);
    let locked: Vec<_> = board.marks().filter(|mark| mark.status == MarkStatus::Locked).cloned().collect();
    let certified = stage >= Stage::Certified;
    let row = certification::Model {
        stage,
        voided,
        certified_at: before.certified_at.filter(|_| certified),
        certified_by: before.certified_by.clone().filter(|_| certified),
        updated_at: draft.now,
        ..before
    };
    draft.put(row);
    if !certified {
        // Back to what its judge made of it: certified where there is a sheet, given where there is none.
        let board = draft.state.board(&category.row.id)?;
        let on_sheet =
            |mark: &mark::Model| board.sheets.contains_key(&(mark.judge_id.clone(), mark.contestant_id.clone()));
        let (sheets, loose): (Vec<_>, Vec<_>) = locked.into_iter().partition(|mark| on_sheet(mark));
        super::judges::restate(draft, category, &sheets, MarkStatus::Certified);
        super::judges::restate(draft, category, &loose, MarkStatus::Submitted);
    }
    tell(draft, category, signers)
}
