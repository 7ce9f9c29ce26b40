//! Races and who starts in them.

use super::spec::{ParticipantSpec, RaceSpec};
use super::{At, Mode, Shown, optional_text, setup_changed, text};
use crate::command::{Decide, Draft};
use crate::db::entity::race::RaceStatus;
use crate::db::entity::{race, race_participant};
use crate::error::Refusal;
use crate::ids::{EventId, RaceId};
use crate::races::standing;
use crate::setup::list;
use crate::state::NUMBER_MAX;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most who start in a race.
const PARTICIPANTS_MAX: usize = 2_000;

/// Puts a race; whether anything changed. A change of the race alone names everybody who starts: who is not named any
/// more is taken out. A document only adds, like everything an import does.
pub(super) fn put_race(
    draft: &mut Draft,
    at: &At,
    mode: Mode,
    event: &EventId,
    spec: &RaceSpec,
) -> Result<bool, Refusal> {
    draft.state.events.get(event).ok_or_else(|| Refusal::not_found("event", event))?;
    let before = draft.state.races.get(&spec.id).cloned();
    mode.check(before.is_some(), "race", &spec.id)?;
    if before.as_ref().is_some_and(|race| race.event_id != *event) {
        return Err(at.wrong("id", format!("race {} belongs to another event", spec.id)));
    }
    let taken = |number: &i64| draft.state.race_numbers.get(number).is_some_and(|race| *race != spec.id);
    let number = match spec.number.or_else(|| before.as_ref().map(|race| race.number)) {
        Some(number) if taken(&number) => return Err(at.wrong("number", format!("race number {number} is taken"))),
        Some(number) => number,
        None => draft.state.next_race_number(),
    };
    if !(1..=NUMBER_MAX).contains(&number) {
        return Err(at.wrong("number", format!("is 1 to {NUMBER_MAX}")));
    }
    let row = race::Model {
        id: spec.id.clone(),
        number,
        event_id: event.clone(),
        race_type: text(at, "raceType", &spec.race_type)?,
        name: optional_text(at, "name", spec.name.as_ref())?,
        class_id: optional_text(at, "classId", spec.class_id.as_ref())?,
        start_time: moment(at, "startTime", spec.start_time.as_ref())?,
        position: spec.race_order.or_else(|| before.as_ref().and_then(|race| race.position)),
        status: before.as_ref().map_or(RaceStatus::Scheduled, |race| race.status),
        meta: serde_json::to_string(&spec.meta).map_err(|wrong| at.wrong("meta", wrong))?,
    };
    let mut changed = before.is_none_or(|before| *before != row);
    if changed {
        draft.put(row);
    }
    if let Some(participants) = &spec.participants {
        let named = put_starters(draft, at, &spec.id, participants)?;
        changed |= named.changed;
        if mode == Mode::Update {
            changed |= strike_the_others(draft, &spec.id, &named.ids)?;
        }
    }
    if changed {
        // Another bib, another class or another kind of race: the lines say so. The public is told of the whole.
        for race in standing::dependent(&draft.state, &spec.id) {
            standing::settle(draft, &race);
        }
    }
    Ok(changed)
}

/// The participants a list named.
struct Named {
    ids: BTreeSet<String>,
    /// Whether any of them was new or another before.
    changed: bool,
}

fn put_starters(draft: &mut Draft, at: &At, race: &RaceId, participants: &[ParticipantSpec]) -> Result<Named, Refusal> {
    if participants.len() > PARTICIPANTS_MAX {
        return Err(Refusal::TooLarge { what: "participants of a race", max: PARTICIPANTS_MAX });
    }
    let mut named = Named { ids: BTreeSet::new(), changed: false };
    let mut numbers = draft.state.starter_numbers(race);
    for (index, participant) in participants.iter().enumerate() {
        let at = at.item("participants", index);
        let id = text(&at, "id", &participant.id)?;
        if !named.ids.insert(id.clone()) {
            return Err(at.wrong("id", format!("participant {id} is there twice")));
        }
        let detail = serde_json::to_string(participant).map_err(|wrong| at.wrong("", wrong))?;
        let number = numbers.of(&id);
        let row = race_participant::Model { race_id: race.clone(), id, number, bib: participant.bib, detail };
        if draft.state.starter(race, &row.id).is_none_or(|before| before.row != row) {
            draft.put(row);
            named.changed = true;
        }
    }
    Ok(named)
}

/// Takes out who is not among `kept`; whether anybody was. The newcomers have their numbers by then: none of them gets
/// that of whom they replace.
fn strike_the_others(draft: &mut Draft, race: &RaceId, kept: &BTreeSet<String>) -> Result<bool, Refusal> {
    let starters = draft.state.starters.get(race).cloned().unwrap_or_default();
    let gone: Vec<_> = starters.values().filter(|starter| !kept.contains(&starter.row.id)).collect();
    let timed = draft.state.racing.timed(race);
    if let Some(starter) = gone.iter().find(|starter| timed.contains(starter.row.id.as_str())) {
        return Err(Refusal::State(format!("participant {} has results; what happened is kept", starter.row.id)));
    }
    for starter in &gone {
        draft.remove(starter.row.clone());
    }
    Ok(!gone.is_empty())
}

/// A moment as it was written: the offset of the venue is kept.
fn moment(at: &At, field: &str, value: Option<&String>) -> Result<Option<String>, Refusal> {
    let Some(value) = optional_text(at, field, value)? else { return Ok(None) };
    time::OffsetDateTime::parse(&value, &time::format_description::well_known::Rfc3339)
        .map_err(|_wrong| at.wrong(field, "is not a moment like 2026-05-01T19:30:00+12:00"))?;
    Ok(Some(value))
}

/// Makes or changes a race with, where given, everybody who starts in it.
#[derive(Clone, Debug)]
pub struct PutRace {
    /// Which of the two.
    pub mode: Mode,
    /// The event it belongs to.
    pub event: EventId,
    /// What it is to be.
    pub spec: RaceSpec,
}

impl Decide for PutRace {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let shown = Shown::before(draft);
        let changed = put_race(draft, &At::default(), self.mode, &self.event, &self.spec)?;
        if changed {
            setup_changed(draft, &self.event);
        }
        shown.after(draft, &self.event, changed);
        list::race_view(&draft.state, &self.spec.id)
    }
}

/// Removes a race nothing was reported of.
#[derive(Clone, Debug)]
pub struct DeleteRace {
    /// Which.
    pub race: RaceId,
}

impl Decide for DeleteRace {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let race = draft.state.races.get(&self.race).ok_or_else(|| Refusal::not_found("race", &self.race))?;
        let race = race.as_ref().clone();
        if !draft.state.racing.rows_of(&race.id).is_empty() {
            return Err(Refusal::State(format!("race {} has results; what happened is kept", race.id)));
        }
        let event = race.event_id.clone();
        let shown = Shown::before(draft);
        remove_race(draft, &race);
        setup_changed(draft, &event);
        shown.after(draft, &event, true);
        Ok(json!({ "id": self.race }))
    }
}

/// Removes a race with all there is of it.
pub(super) fn remove_race(draft: &mut Draft, race: &race::Model) {
    for row in draft.state.racing.rows_of(&race.id) {
        draft.remove(row);
    }
    for starter in draft.state.starters.get(&race.id).cloned().unwrap_or_default().values() {
        draft.remove(starter.row.clone());
    }
    draft.remove(race.clone());
}
