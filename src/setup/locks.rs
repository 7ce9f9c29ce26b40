//! Locks: below a locked contest nothing is written but notices, flags and publications.

use crate::command::{Decide, Draft};
use crate::db::entity::contest_lock;
use crate::db::entity::decision::DecisionKind;
use crate::db::row::{Change, Row};
use crate::error::Refusal;
use crate::events::event::{ContestLocked, Event};
use crate::events::room::Lane;
use crate::events::view::LockFields;
use crate::ids::{CategoryId, ContestId};
use serde_json::{Value, json};

/// Locks a contest, or opens it again.
#[derive(Clone, Debug)]
pub struct LockContest {
    /// Which.
    pub contest: ContestId,
    /// Which of the two.
    pub locked: bool,
    /// Why.
    pub reason: Option<String>,
}

impl Decide for LockContest {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let by = draft.actor.user()?.clone();
        let contest =
            draft.state.contests.get(&self.contest).ok_or_else(|| Refusal::not_found("contest", &self.contest))?;
        let event_id = contest.event_id.clone();
        let at = super::At::default();
        let reason = super::optional_text(&at, "reason", self.reason.as_ref())?;
        match (draft.state.locks.get(&self.contest).cloned(), self.locked) {
            (Some(_), true) => return Err(Refusal::Locked(format!("contest {} is locked already", self.contest))),
            (None, false) => return Err(Refusal::State(format!("contest {} is not locked", self.contest))),
            (Some(lock), false) => draft.remove(lock.as_ref().clone()),
            (None, true) => draft.put(contest_lock::Model {
                contest_id: self.contest.clone(),
                event_id: event_id.clone(),
                locked_by: by.clone(),
                reason: reason.clone(),
                locked_at: draft.now,
            }),
        }
        let fact = ContestLocked {
            contest_id: self.contest.clone(),
            event_id,
            locked: self.locked,
            by,
            at: draft.now,
            reason: reason.as_deref().map(|text| draft.text(text)),
        };
        let view = LockFields::of(&fact);
        draft.append(Event::ContestLocked(fact));
        Ok(json!(view))
    }
}

/// Whether a draft has written below a locked contest.
///
/// # Errors
/// `LOCKED`.
pub fn guard(draft: &Draft) -> Result<(), Refusal> {
    if draft.state.locks.is_empty() {
        return Ok(());
    }
    let spared = |event: &Event| matches!(event, Event::DecisionChanged(fact) if fact.about == DecisionKind::Flag);
    let facts = draft.entries().iter().filter(|entry| !spared(&entry.event)).filter_map(|entry| match &entry.lane {
        Lane::Category(category) => Some(category),
        Lane::Event(_) | Lane::User(_) | Lane::Public(_) | Lane::System => None,
    });
    for category in facts.chain(draft.changes().iter().filter_map(set_up_of)) {
        if let Some(category) = draft.state.categories.get(category) {
            draft.state.must_be_open(category)?;
        }
    }
    Ok(())
}

/// The category whose set-up a change belongs to.
fn set_up_of(change: &Change) -> Option<&CategoryId> {
    let (Change::Put(row) | Change::Drop(row)) = change;
    if let Row::Category(row) = row {
        return Some(&row.id);
    }
    if let Row::Criterion(row) = row {
        return Some(&row.category_id);
    }
    if let Row::Entry(row) = row {
        return Some(&row.category_id);
    }
    if let Row::Assignment(row) = row { row.category_id.as_ref() } else { None }
}
