//! Locks: below a locked contest nothing is written but notices, flags and publications.

use crate::command::{Decide, Draft};
use crate::db::entity::certification::Stage;
use crate::db::entity::contest_lock;
use crate::db::entity::decision::DecisionKind;
use crate::db::row::{Change, Row};
use crate::error::Refusal;
use crate::events::event::{ContestLocked, Event};
use crate::events::room::Lane;
use crate::events::view::LockFields;
use crate::ids::{CategoryId, ContestId};
use crate::state::State;
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
    let is_flag = |event: &Event| matches!(event, Event::DecisionChanged(fact) if fact.about == DecisionKind::Flag);
    let is_publication =
        |event: &Event| matches!(event, Event::CertificationUpdated(fact) if fact.stage == Stage::Published);
    let spared = |event: &Event| is_flag(event) || is_publication(event);
    for entry in draft.entries().iter().filter(|entry| !spared(&entry.event)) {
        if let Lane::Category(category) = &entry.lane
            && let Some(category) = draft.state.categories.get(category)
        {
            draft.state.must_be_open(category)?;
        }
    }
    match draft.changes().iter().find_map(|change| locked_by_set_up(&draft.state, change)) {
        Some(contest) => Err(Refusal::Locked(format!("contest {contest} is locked"))),
        None => Ok(()),
    }
}

/// The locked contest a change of the set-up lies in, or reaches into.
fn locked_by_set_up(state: &State, change: &Change) -> Option<ContestId> {
    let (Change::Put(row) | Change::Drop(row)) = change;
    let locked = |contest: &ContestId| state.locks.contains_key(contest).then(|| contest.clone());
    let of =
        |category: &CategoryId| state.categories.get(category).and_then(|category| locked(&category.row.contest_id));
    if let Row::Contest(row) = row {
        return locked(&row.id);
    }
    if let Row::Category(row) = row {
        return locked(&row.contest_id);
    }
    if let Row::Criterion(row) = row {
        return of(&row.category_id);
    }
    if let Row::Entry(row) = row {
        return of(&row.category_id);
    }
    let Row::Assignment(hat) = row else { return None };
    // A judging hat changes the panel of everything below it; any hat on a locked contest itself waits too.
    state
        .locks
        .values()
        .filter(|lock| lock.event_id == hat.event_id && (hat.hat.judges() || hat.contest_id.is_some()))
        .find(|lock| hat.contest_id.as_ref().is_none_or(|contest| *contest == lock.contest_id))
        .map(|lock| lock.contest_id.clone())
}
