//! Where a race stands, as its timing says it.
//!
//! Invariant: what is official, a race or a whole event, is left only by a correction that says so.

use crate::auth::actor::Actor;
use crate::command::{Decide, Draft};
use crate::db::entity::event::EventStatus;
use crate::db::entity::race;
use crate::db::entity::race::RacePhase;
use crate::error::Refusal;
use crate::events::event::{Event, RaceStatusChanged, SetupChanged};
use crate::ids::RaceId;
use crate::races::indoor::completed;
use crate::state::State;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Sets where a race stands.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetRaceStatus {
    /// Which.
    pub race_id: RaceId,
    /// Where it stands.
    pub status: RacePhase,
    /// Whether what is official may be changed.
    #[serde(default)]
    pub correction: bool,
}

/// A race whose times the actor may report.
///
/// # Errors
/// `NOT_FOUND` where there is none the actor may know of: a key knows the races of its event, whoever is not of the
/// staff those of events that are no drafts. `FORBIDDEN` for whoever may know of it and not time it.
pub fn timed_by(actor: &Actor, state: &State, id: &RaceId) -> Result<Arc<race::Model>, Refusal> {
    let race = match actor {
        Actor::Operator => state.races.get(id),
        Actor::Key { event, .. } => state.race_in(event, id.as_str()),
        Actor::User { id: user, .. } => state.races.get(id).filter(|race| {
            let event = &race.event_id;
            state.is_public(event) || state.is_staff_of(user, event)
        }),
    };
    let race = race.ok_or_else(|| Refusal::not_found("race", id))?;
    actor.must_time(state, &race.event_id)?;
    Ok(Arc::clone(race))
}

/// Refuses to leave what is official.
fn must_be_open(state: &State, race: &race::Model, to: RacePhase) -> Result<(), Refusal> {
    let event = state.events.get(&race.event_id).ok_or_else(|| Refusal::not_found("event", &race.event_id))?;
    if event.status == EventStatus::Official {
        return Err(Refusal::State(format!("event {} is official; say that this is a correction", event.id)));
    }
    if race.status.phase() == RacePhase::Official && to != RacePhase::Official {
        return Err(Refusal::State(format!("race {} is official; say that this is a correction", race.id)));
    }
    Ok(())
}

impl Decide for SetRaceStatus {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let race = timed_by(&draft.actor, &draft.state, &self.race_id)?;
        if !self.correction {
            must_be_open(&draft.state, &race, self.status)?;
        }
        // A phase is several numbers of the timing computer; the one it has says more than the word does.
        let stays = race.status.phase() == self.status;
        let status = if stays { race.status } else { self.status.status() };
        let race = race::Model { status, ..race.as_ref().clone() };
        if !stays {
            draft.put(race.clone());
            tell(draft, &race);
        }
        let (number, phase) = (status.number(), status.phase());
        Ok(json!({ "raceId": race.id, "eventId": race.event_id, "status": phase, "raceStatus": number }))
    }
}

/// Tells where a race stands now. Nothing is told to the public of a draft; the other nodes learn of it from the lane of
/// its staff.
fn tell(draft: &mut Draft, race: &race::Model) {
    let (event_id, race_id, phase) = (race.event_id.clone(), race.id.clone(), race.status.phase());
    if !draft.state.is_public(&event_id) {
        draft.append(Event::SetupChanged(SetupChanged { event_id }));
        return;
    }
    draft.append(Event::RaceStatusChanged(RaceStatusChanged { event_id, race_id, phase }));
    // On ergometers a race is complete when it is official, whoever is still missing.
    if phase == RacePhase::Official
        && let Some(complete) = completed(&draft.state, race)
    {
        draft.append(complete);
    }
}
