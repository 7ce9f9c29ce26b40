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
    let unknown = || Refusal::not_found("race", id);
    let race = state.races.get(id).ok_or_else(unknown)?;
    let event = &race.event_id;
    let may_know = match actor {
        Actor::Operator => true,
        Actor::Key { event: own, .. } => own == event,
        Actor::User { id, .. } => state.is_public(event) || state.is_staff_of(id, event),
    };
    if !may_know {
        return Err(unknown());
    }
    actor.must_time(state, event)?;
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
        let event_id = race.event_id.clone();
        // A phase is several numbers of the timing computer; the one it has says more than the word does.
        let stays = race.status.phase() == self.status;
        let status = if stays { race.status } else { self.status.status() };
        if !stays {
            draft.put(race::Model { status, ..race.as_ref().clone() });
            // Nothing is told to the public of a draft; the other nodes learn of it from the lane of its staff.
            draft.append(if draft.state.is_public(&event_id) {
                let (event_id, race_id) = (event_id.clone(), race.id.clone());
                Event::RaceStatusChanged(RaceStatusChanged { event_id, race_id, phase: self.status })
            } else {
                Event::SetupChanged(SetupChanged { event_id: event_id.clone() })
            });
        }
        Ok(json!({ "raceId": race.id, "eventId": event_id, "status": status.phase(), "raceStatus": status.number() }))
    }
}
