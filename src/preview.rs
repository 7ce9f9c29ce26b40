//! What a command would come to, for the office of the categories it would move: ranks, hashes, signatures. Decided as
//! the command itself is, on a draft that is dropped; what waits for approvals is carried out as if all were given.

use crate::auth::actor::Actor;
use crate::command::Draft;
use crate::commands::Command;
use crate::db::entity::certification::Stage;
use crate::error::Refusal;
use crate::ids::{CategoryId, UserId};
use crate::ranking::{Decimal, Id, Ranking, Row};
use crate::state::State;
use crate::state::rights::Seat;
use crate::tally;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What would change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Every contestant whose place or total would be another.
    pub rank_changes: Vec<RankChange>,
    /// The tally hash there would be; where several categories are concerned, it is in `tally_hashes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tally_hash: Option<String>,
    /// The same by category.
    #[schema(value_type = Object)]
    pub tally_hashes: BTreeMap<CategoryId, String>,
    /// The signatures that would not stand any more.
    pub voids: Vec<Void>,
}

/// A contestant's place and total, now and then; null where there is none.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say it")]
pub struct RankChange {
    #[schema(value_type = String)]
    pub category_id: CategoryId,
    #[schema(value_type = String)]
    pub contestant_id: Id,
    pub rank_before: Option<u32>,
    pub rank_after: Option<u32>,
    #[schema(value_type = Option<f64>)]
    pub total_before: Option<Decimal>,
    #[schema(value_type = Option<f64>)]
    pub total_after: Option<Decimal>,
}

/// A signature that would fall.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields say it")]
pub struct Void {
    pub category_id: CategoryId,
    pub stage: Stage,
    pub user_id: UserId,
}

/// What a command would come to; `draft` stands at the state it would be decided on, and is not to be committed.
///
/// # Errors
/// What the command itself would be refused for; `FORBIDDEN` for whoever is not of the office of all it concerns;
/// `STATE` when it can move no rank.
pub fn preview(mut draft: Draft, command: &Command) -> Result<Preview, Refusal> {
    let before = draft.state.clone();
    command.foresee(&mut draft)?;
    let touched: BTreeSet<CategoryId> =
        draft.entries().iter().flat_map(|entry| entry.event.tallies(&draft.state)).collect();
    if touched.is_empty() {
        return Err(Refusal::State(format!("{} moves no rank", command.name())));
    }
    let mut preview = Preview { rank_changes: vec![], tally_hash: None, tally_hashes: BTreeMap::new(), voids: vec![] };
    for category in &touched {
        must_be_office(&draft.actor, &before, category)?;
        compare(&before, &draft.state, category, &mut preview)?;
    }
    if preview.tally_hashes.len() == 1 {
        preview.tally_hash = preview.tally_hashes.values().next().cloned();
    }
    Ok(preview)
}

fn must_be_office(actor: &Actor, state: &State, category: &CategoryId) -> Result<(), Refusal> {
    match state.categories.get(category) {
        Some(category) if actor.seat(state, category) != Seat::Office => Err(Refusal::Forbidden),
        Some(_) | None => Ok(()),
    }
}

fn compare(before: &State, after: &State, id: &CategoryId, preview: &mut Preview) -> Result<(), Refusal> {
    let ranked = |state: &State| match state.categories.get(id) {
        Some(category) => tally::record_of(state, category).map(Some),
        None => Ok(None),
    };
    let old = ranked(before)?.map(|(_, ranking)| ranking);
    let Some((record, new)) = ranked(after)? else { return Ok(()) };
    preview.tally_hashes.insert(id.clone(), record.hash());
    let by_contestant = |ranking: &Ranking| -> BTreeMap<Id, Row> {
        ranking.ranking.iter().map(|row| (row.contestant_id.clone(), row.clone())).collect()
    };
    let (old, new) = (old.as_ref().map(by_contestant).unwrap_or_default(), by_contestant(&new));
    let everybody: BTreeSet<&Id> = old.keys().chain(new.keys()).collect();
    for contestant in everybody {
        let (was, is) = (old.get(contestant), new.get(contestant));
        let change = RankChange {
            category_id: id.clone(),
            contestant_id: contestant.clone(),
            rank_before: was.and_then(|row| row.rank),
            rank_after: is.and_then(|row| row.rank),
            total_before: was.and_then(|row| row.total.clone()),
            total_after: is.and_then(|row| row.total.clone()),
        };
        if (change.rank_before, &change.total_before) != (change.rank_after, &change.total_after) {
            preview.rank_changes.push(change);
        }
    }
    if let Ok(board) = before.board(id) {
        let stands = |stage: &Stage| after.board(id).is_ok_and(|board| board.signatures.contains_key(stage));
        let fallen = board.signatures.values().filter(|signature| !stands(&signature.stage));
        preview.voids.extend(fallen.map(|signature| Void {
            category_id: id.clone(),
            stage: signature.stage,
            user_id: signature.user_id.clone(),
        }));
    }
    Ok(())
}
