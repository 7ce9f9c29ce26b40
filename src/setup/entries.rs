//! Who starts in a category and who does not: an entry is withdrawn and reinstated, never struck once it was marked.
//!
//! Invariant: a withdrawal is a fact of the category's lane with its reason, so whatever was signed over the field as it
//! was falls in the same decision.

use super::list::entry_view;
use super::{At, text};
use crate::command::{Decide, Draft};
use crate::db::entity::entry;
use crate::error::Refusal;
use crate::events::event::{EntryChanged, Event};
use crate::ids::{CategoryId, ContestantId};
use serde::Deserialize;
use serde_json::{Value, json};

/// Takes a contestant out of a category: the marks stay, and count no more.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawEntry {
    /// The category.
    pub category_id: CategoryId,
    /// Who does not start, or goes no further.
    pub contestant_id: ContestantId,
    /// Why.
    pub reason: String,
}

/// Takes a withdrawal back.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReinstateEntry {
    /// The category.
    pub category_id: CategoryId,
    /// Who starts after all.
    pub contestant_id: ContestantId,
    /// Why.
    pub reason: String,
}

impl Decide for WithdrawEntry {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        change(draft, &self.category_id, &self.contestant_id, true, &self.reason)
    }
}

impl Decide for ReinstateEntry {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        change(draft, &self.category_id, &self.contestant_id, false, &self.reason)
    }
}

fn change(
    draft: &mut Draft,
    id: &CategoryId,
    contestant: &ContestantId,
    withdrawn: bool,
    reason: &str,
) -> Result<Value, Refusal> {
    draft.actor.must_run_installation(&draft.state)?;
    let by = draft.actor.user()?.clone();
    let category = draft.state.categories.get(id).ok_or_else(|| Refusal::not_found("category", id))?;
    draft.state.must_not_judge(&by, category)?;
    let event_id = category.event_id.clone();
    let before = category.entries.get(contestant).ok_or_else(|| Refusal::not_found("contestant", contestant))?;
    if before.withdrawn == withdrawn {
        let how = if withdrawn { "has withdrawn already" } else { "has not withdrawn" };
        return Err(Refusal::State(format!("contestant {contestant} {how}")));
    }
    let reason = text(&At::default(), "reason", reason)?;
    let row = entry::Model { withdrawn, ..before.as_ref().clone() };
    draft.put(row.clone());
    draft.append(Event::EntryChanged(EntryChanged {
        category_id: id.clone(),
        event_id,
        contestant_id: contestant.clone(),
        withdrawn,
        reason: draft.text(&reason),
        by,
        at: draft.now,
    }));
    Ok(json!({ "entry": entry_view(&row)? }))
}
