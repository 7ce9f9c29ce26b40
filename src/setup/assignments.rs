//! Assignments: who wears which hat where. A hat that is taken away stays in the history, because whoever once judged
//! a category never reads its foreign marks.

use crate::auth::role::Hat;
use crate::command::{Decide, Draft};
use crate::db::entity::assignment::{self, AssignmentStatus};
use crate::error::Refusal;
use crate::events::event::{AssignmentChanged, Event};
use crate::events::view::AssignmentView;
use crate::ids::{AssignmentId, CategoryId, ContestId, EventId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

/// Gives a hat on a category, a contest or an event.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateAssignment {
    /// Who gets it, whatever the hat.
    pub judge_id: UserId,
    /// The hat; JUDGE unless said otherwise.
    #[serde(default)]
    pub hat: Option<Hat>,
    /// On this category,
    #[serde(default)]
    pub category_id: Option<CategoryId>,
    /// or on every category of this contest,
    #[serde(default)]
    pub contest_id: Option<ContestId>,
    /// or on every category of this event.
    #[serde(default)]
    pub event_id: Option<EventId>,
    /// Whether the marks enter the tally; true unless said otherwise, but false for a head judge.
    #[serde(default)]
    pub counts: Option<bool>,
}

/// Takes a hat away.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoveAssignment {
    /// The assignment.
    pub id: AssignmentId,
}

/// Changes whether the marks of a judge enter the tally.
#[derive(Clone, Debug)]
pub struct ChangeAssignment {
    /// The assignment.
    pub id: AssignmentId,
    /// Whether they do.
    pub counts: bool,
}

/// Where a hat is worn, with the wider places filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The event.
    pub event: EventId,
    /// The contest, unless the hat is on the whole event.
    pub contest: Option<ContestId>,
    /// The category, unless the hat is wider.
    pub category: Option<CategoryId>,
}

/// The fact of an assignment's row.
#[must_use]
pub fn fact_of(row: &assignment::Model) -> AssignmentChanged {
    AssignmentChanged {
        id: row.id.clone(),
        judge_id: row.user_id.clone(),
        hat: row.hat,
        event_id: row.event_id.clone(),
        contest_id: row.contest_id.clone(),
        category_id: row.category_id.clone(),
        counts: row.counts,
        status: row.status,
        assigned_by: row.assigned_by.clone(),
        assigned_at: row.assigned_at,
    }
}

/// The view of an assignment's row.
#[must_use]
pub fn view_of(row: &assignment::Model) -> AssignmentView {
    AssignmentView::from(&fact_of(row))
}

/// Gives a hat, or changes whether an equal one counts.
///
/// # Errors
/// `NOT_FOUND` when there is no such user.
pub fn give(
    draft: &mut Draft,
    user: &UserId,
    hat: Hat,
    place: Place,
    counts: Option<bool>,
) -> Result<assignment::Model, Refusal> {
    if draft.state.role_of(user).is_none() {
        return Err(Refusal::not_found("user", user));
    }
    let same = draft
        .state
        .hats_worn(user)
        .find(|worn| {
            worn.hat == hat
                && worn.event_id == place.event
                && worn.contest_id == place.contest
                && worn.category_id == place.category
        })
        .cloned();
    let counts = counts.unwrap_or(hat == Hat::Judge);
    if let Some(same) = same {
        if same.counts == counts {
            return Ok(same.as_ref().clone());
        }
        // The same hat on the same place is one assignment, whatever it says of counting.
        let changed = assignment::Model { counts, ..same.as_ref().clone() };
        draft.put(changed.clone());
        draft.append(Event::AssignmentNew(fact_of(&changed)));
        return Ok(changed);
    }
    let row = assignment::Model {
        id: draft.new_id(),
        user_id: user.clone(),
        hat,
        event_id: place.event,
        contest_id: place.contest,
        category_id: place.category,
        counts,
        status: AssignmentStatus::Active,
        assigned_by: draft.actor.name().to_string(),
        assigned_at: draft.now,
        removed_at: None,
    };
    draft.put(row.clone());
    draft.append(Event::AssignmentNew(fact_of(&row)));
    Ok(row)
}

impl CreateAssignment {
    fn place(&self, draft: &Draft) -> Result<Place, Refusal> {
        let state = &draft.state;
        match (&self.category_id, &self.contest_id, &self.event_id) {
            (Some(id), None, None) => {
                let category = state.categories.get(id).ok_or_else(|| Refusal::not_found("category", id))?;
                Ok(Place {
                    event: category.event_id.clone(),
                    contest: Some(category.row.contest_id.clone()),
                    category: Some(id.clone()),
                })
            }
            (None, Some(id), None) => {
                let contest = state.contests.get(id).ok_or_else(|| Refusal::not_found("contest", id))?;
                Ok(Place { event: contest.event_id.clone(), contest: Some(id.clone()), category: None })
            }
            (None, None, Some(id)) => {
                state.events.get(id).ok_or_else(|| Refusal::not_found("event", id))?;
                Ok(Place { event: id.clone(), contest: None, category: None })
            }
            _ => Err(Refusal::invalid("categoryId", "exactly one of categoryId, contestId and eventId is needed")),
        }
    }
}

impl Decide for CreateAssignment {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let place = self.place(draft)?;
        let row = give(draft, &self.judge_id, self.hat.unwrap_or(Hat::Judge), place, self.counts)?;
        Ok(json!({ "assignment": view_of(&row) }))
    }
}

impl Decide for ChangeAssignment {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let row = draft.state.assignments.get(&self.id).ok_or_else(|| Refusal::not_found("assignment", &self.id))?;
        if row.status == AssignmentStatus::Removed {
            return Err(Refusal::State("the assignment was removed; give the hat anew".into()));
        }
        let changed = assignment::Model { counts: self.counts, ..row.as_ref().clone() };
        if changed != **row {
            draft.put(changed.clone());
            draft.append(Event::AssignmentNew(fact_of(&changed)));
        }
        Ok(json!({ "assignment": view_of(&changed) }))
    }
}

impl Decide for RemoveAssignment {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let row = draft.state.assignments.get(&self.id).ok_or_else(|| Refusal::not_found("assignment", &self.id))?;
        if row.status == AssignmentStatus::Removed {
            return Err(Refusal::State("the assignment was removed before".into()));
        }
        let removed = assignment::Model {
            status: AssignmentStatus::Removed,
            removed_at: Some(draft.now),
            ..row.as_ref().clone()
        };
        draft.put(removed.clone());
        draft.append(Event::AssignmentRemoved(fact_of(&removed)));
        Ok(json!({ "assignment": view_of(&removed) }))
    }
}
