//! Marks entered for a judge: by a tally master, where the category has it so, and confirmed by somebody else.
//!
//! Invariant: a mark that was entered for a judge and is not confirmed counts nowhere; nobody confirms what they entered.

use super::{fact_of, own_view};
use crate::auth::role::Hat;
use crate::command::{Decide, Draft, to_value};
use crate::db::entity::certification::Stage;
use crate::db::entity::mark;
use crate::error::Refusal;
use crate::events::event::{Event, ScoreUpdated};
use crate::events::view::FullScore;
use crate::ids::{CategoryId, MarkId, UserId};
use crate::state::rights::Seat;
use crate::state::{Category, State};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Confirms a mark that was entered for a judge: it counts from then on.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmScore {
    /// The mark.
    pub score_id: MarkId,
    /// Its category; needed only where the same id stands in several.
    #[serde(default)]
    pub category_id: Option<CategoryId>,
}

/// Whether somebody may enter the marks of a judge.
pub(super) fn may_enter(state: &State, category: &Category, by: &UserId, judge: &UserId) -> Result<(), Refusal> {
    // Whether a category exists is told only to those who judge it or read its marks.
    if matches!(state.seat(by, category), Seat::Guest | Seat::Stranger) {
        return Err(Refusal::NotAssigned);
    }
    let tally_master = state.must_be_officer(by, category, Hat::TallyMaster).is_ok();
    if category.row.proxy_entry && tally_master && state.seat(judge, category) == Seat::Judge {
        Ok(())
    } else {
        Err(Refusal::Forbidden)
    }
}

/// Whether a mark may be entered over what stands in its place.
pub(super) fn may_replace(before: Option<&mark::Model>, chosen_id: bool) -> Result<(), Refusal> {
    if chosen_id {
        return Err(Refusal::invalid("id", "is made by the server where a mark is entered for somebody else"));
    }
    match before {
        Some(mark) if mark.stands() && mark.entered_by.is_none() => {
            Err(Refusal::State("the judge has given this mark; it is theirs to change".into()))
        }
        Some(_) | None => Ok(()),
    }
}

/// A mark as whoever entered or confirmed it sees it: its judge their own, the office every one.
pub(super) fn view_for(user: &UserId, fact: &ScoreUpdated) -> Result<Value, Refusal> {
    if *user == fact.judge_id { own_view(fact) } else { to_value(FullScore::of(fact)) }
}

impl ConfirmScore {
    /// The category the mark waits in, as far as the user has any business with it.
    fn place(&self, state: &State, user: &UserId) -> Result<Arc<Category>, Refusal> {
        let mut waiting = state
            .unconfirmed
            .get(&self.score_id)
            .into_iter()
            .flatten()
            .filter(|id| self.category_id.as_ref().is_none_or(|named| named == *id))
            .filter_map(|id| state.categories.get(id))
            .filter(|category| state.seat(user, category) != Seat::Stranger);
        match (waiting.next(), waiting.next()) {
            (Some(category), None) => Ok(Arc::clone(category)),
            (Some(_), Some(_)) => {
                Err(Refusal::invalid("categoryId", "the mark waits in more than one category; say which"))
            }
            (None, _) => Err(Refusal::not_found("unconfirmed mark", &self.score_id)),
        }
    }
}

fn may_confirm(state: &State, category: &Category, user: &UserId, mark: &mark::Model) -> Result<(), Refusal> {
    if mark.entered_by.as_ref() == Some(user) {
        return Err(Refusal::SeparationOfDuties("nobody confirms what they entered themselves"));
    }
    let concerned = mark.judge_id == *user && state.seat(user, category) == Seat::Judge;
    let officer = [Hat::TallyMaster, Hat::Auditor, Hat::Board]
        .into_iter()
        .any(|hat| state.must_be_officer(user, category, hat).is_ok());
    if concerned || officer { Ok(()) } else { Err(Refusal::Forbidden) }
}

impl Decide for ConfirmScore {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let user = draft.actor.user()?.clone();
        let category = self.place(&draft.state, &user)?;
        let board = draft.state.board(&category.row.id)?;
        let before = board.place_of(&self.score_id).and_then(|place| board.at(place)).filter(|mark| mark.waits());
        let before = before.ok_or_else(|| Refusal::not_found("unconfirmed mark", &self.score_id))?;
        may_confirm(&draft.state, &category, &user, before)?;
        if board.stage() >= Stage::Certified {
            return Err(Refusal::Locked("the category is certified; its scores are locked".into()));
        }
        // The version stays: nothing of what was marked has changed.
        let row = mark::Model { confirmed_by: Some(user.clone()), updated_at: draft.now, ..before.as_ref().clone() };
        let mut fact = fact_of(&row, &draft.state, &category);
        fact.comment = row.comment.as_deref().map(|body| draft.text(body));
        draft.put(row);
        let view = view_for(&user, &fact)?;
        let receipt = draft.append(Event::ScoreUpdated(fact));
        Ok(json!({ "score": view, "receipt": receipt }))
    }
}
