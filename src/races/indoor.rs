//! Races on ergometers: what their software exports at the end, or says of one of them while they row.
//!
//! Invariants: places are computed here; whoever was once in a race keeps the id; an official race changes only by a
//! correction that says so.

use super::Skipped;
use super::standing::{Measured, places};
use crate::auth::actor::Actor;
use crate::command::{Decide, Draft};
use crate::db::entity::race::{RacePhase, RaceStatus};
use crate::db::entity::race_report::Irm;
use crate::db::entity::{indoor_participant, indoor_race, race};
use crate::error::Refusal;
use crate::events::event::{Event, IndoorCompleted, IndoorImported, IndoorUpdated, PublicChanged, SetupChanged};
use crate::events::public::{IndoorView, indoor};
use crate::ids::{EventId, RaceId};
use crate::ranking::Method;
use crate::state::State;
use crate::state::detail::{IndoorMeta, Measurement};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The word for a race on ergometers.
const INDOOR: &str = "indoor";
/// Most ergometers of a race.
const PARTICIPANTS_MAX: usize = 500;
/// Above so many changes at once, only the import as a whole is told.
const UPDATES_MAX: usize = 50;
/// Longest text, in characters.
const TEXT_CHARS_MAX: usize = 200;
/// Longest time: a day.
const MILLIS_MAX: i64 = 86_400_000;

/// The results of a race, as the software of the ergometers exports them.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct IndoorResults {
    /// The software's own id.
    #[serde(deserialize_with = "text")]
    pub race_id: String,
    /// Our race; made where there is none.
    #[serde(default)]
    pub c2_race_id: Option<RaceId>,
    #[serde(default)]
    pub race_start_time: Option<String>,
    #[serde(default)]
    pub race_end_time: Option<String>,
    /// Metres, or seconds of a fixed-time piece.
    #[serde(default, deserialize_with = "optional_number")]
    #[schema(value_type = Option<i64>)]
    pub duration: Option<i64>,
    /// `time` or `meters`, where the software says it.
    #[serde(default)]
    pub duration_type: Option<String>,
    #[serde(default, deserialize_with = "optional_number")]
    #[schema(value_type = Option<i64>)]
    pub time_cap: Option<i64>,
    #[serde(default)]
    pub race_file_name: Option<String>,
    pub participants: Vec<ErgParticipant>,
}

/// Somebody on an ergometer.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct ErgParticipant {
    /// The id of a crew links the crew.
    #[serde(deserialize_with = "text")]
    #[schema(value_type = String)]
    pub id: String,
    #[serde(default)]
    pub participant: Option<String>,
    #[serde(default)]
    pub class: Option<String>,
    /// `M:SS.f`; empty while there is none.
    #[serde(default)]
    pub time: String,
    #[serde(default, deserialize_with = "optional_text")]
    #[schema(value_type = Option<String>)]
    pub score: Option<String>,
    #[serde(default, deserialize_with = "number")]
    #[schema(value_type = i64)]
    pub distance: i64,
    #[serde(default)]
    pub avg_pace: String,
    #[serde(default, deserialize_with = "number")]
    #[schema(value_type = i64)]
    pub spm: i64,
    #[serde(default, deserialize_with = "number")]
    #[schema(value_type = i64)]
    pub calories: i64,
    #[serde(default, deserialize_with = "optional_text")]
    #[schema(value_type = Option<String>)]
    pub serial_number: Option<String>,
    #[serde(default, deserialize_with = "optional_text")]
    #[schema(value_type = Option<String>)]
    pub machine_type: Option<String>,
    #[serde(default)]
    pub logged_time: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub splits: Option<Value>,
    /// Why there is no time.
    #[serde(default)]
    pub status: Option<Irm>,
}

fn text<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    optional_text(input)?.ok_or_else(|| serde::de::Error::custom("is missing"))
}

fn optional_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    crate::state::detail::text_or_number(input)
}

fn number<'de, D: Deserializer<'de>>(input: D) -> Result<i64, D::Error> {
    Ok(optional_number(input)?.unwrap_or(0))
}

/// The software writes numbers as numbers or as texts, by version.
fn optional_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    let Some(said) = optional_text(input)?.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    said.trim().parse().map(Some).map_err(|_wrong| serde::de::Error::custom("is not a whole number"))
}

/// Milliseconds of `M:SS.f` or `H:MM:SS.f`. The fraction counts by its decimal places: `0:24.1` is 24,100 ms, not 24,001.
#[must_use]
pub fn millis(text: &str) -> Option<i64> {
    let (whole, fraction) = text.trim().split_once('.').map_or((text.trim(), ""), |(whole, rest)| (whole, rest));
    let digits =
        |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if text.contains('.') && !digits(fraction, 3) {
        return None;
    }
    let parts: Vec<&str> = whole.split(':').collect();
    // Only the first part may exceed its unit, and the others have two digits.
    let well_formed = (2..=3).contains(&parts.len())
        && digits(parts[0], 3)
        && parts[1..].iter().all(|part| part.len() == 2 && digits(part, 2) && *part < "60");
    if !well_formed {
        return None;
    }
    let mut seconds = 0;
    for part in parts {
        seconds = seconds * 60 + part.parse::<i64>().ok()?;
    }
    let thousandths: i64 = format!("{fraction:0<3}").parse().ok()?;
    Some(seconds * 1_000 + thousandths).filter(|ms| *ms <= MILLIS_MAX)
}

impl ErgParticipant {
    /// A lane nobody rows in.
    fn is_empty_lane(&self) -> bool {
        let nobody = self.participant.as_deref().is_none_or(|name| {
            let name = name.trim().to_lowercase();
            name.is_empty() || name.starts_with("empty")
        });
        nobody && self.distance == 0 && self.status.is_none() && !self.is_timed()
    }

    fn is_timed(&self) -> bool {
        millis(&self.time).is_some_and(|ms| ms > 0)
    }

    /// The time, or why there is none. A word in place of the time is a status.
    fn outcome(&self) -> Result<(Option<i64>, Option<Irm>), String> {
        let said = self.time.trim();
        let word = [("DNS", Irm::Dns), ("DNF", Irm::Dnf), ("DSQ", Irm::Dsq), ("DQ", Irm::Dsq)]
            .into_iter()
            .find_map(|(word, irm)| said.eq_ignore_ascii_case(word).then_some(irm));
        let status = self.status.or(word);
        if status.is_some() || said.is_empty() {
            return Ok((None, status));
        }
        let ms = millis(said).ok_or_else(|| format!("time {said:?} is not like 1:32.4"))?;
        Ok((Some(ms).filter(|ms| *ms > 0), None))
    }

    fn check(&self) -> Result<(), String> {
        let texts = [Some(&self.id), self.participant.as_ref(), self.class.as_ref(), Some(&self.avg_pace)];
        let texts = texts.into_iter().chain([self.score.as_ref(), self.serial_number.as_ref()]);
        let texts = texts.chain([self.machine_type.as_ref(), self.logged_time.as_ref(), Some(&self.time)]);
        if texts.flatten().any(|text| text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control)) {
            return Err(format!("a text has more than {TEXT_CHARS_MAX} characters, or one that cannot be shown"));
        }
        if self.id.trim().is_empty() {
            return Err("has no id".to_owned());
        }
        let plausible = |number: i64, max: i64| (0..=max).contains(&number);
        if !plausible(self.distance, 1_000_000) || !plausible(self.spm, 1_000) || !plausible(self.calories, 1_000_000) {
            return Err("distance is 0 to 1000000, spm 0 to 1000, calories 0 to 1000000".to_owned());
        }
        Ok(())
    }
}

/// The race an import is about, made where there is none.
fn race_of(draft: &mut Draft, results: &IndoorResults, event: Option<&EventId>) -> Result<race::Model, Refusal> {
    let named = results.c2_race_id.clone().or_else(|| {
        // The software's own id, as the event has heard it before.
        let mut known = draft.state.racing.indoor_races().filter(|row| row.ergrace_race_id == results.race_id);
        let race =
            known.find(|row| draft.state.races.get(&row.race_id).is_some_and(|race| Some(&race.event_id) == event))?;
        Some(race.race_id.clone())
    });
    let wrong = |wrong| Refusal::invalid("results.c2_race_id", wrong);
    let id: RaceId = match named {
        Some(id) => id,
        None => format!("{INDOOR}-{}", draft.new_id::<RaceId>()).parse().map_err(wrong)?,
    };
    let known = match event {
        // A key sees its event alone.
        Some(event) => draft.state.race_in(event, id.as_str()),
        None => draft.state.races.get(&id),
    };
    if let Some(race) = known {
        return Ok(race.as_ref().clone());
    }
    let event = event.ok_or_else(|| Refusal::not_found("race", &id))?;
    let id = if draft.state.races.contains_key(&id) { format!("{event}.{id}").parse().map_err(wrong)? } else { id };
    let row = race::Model {
        id,
        number: draft.state.next_race_number(),
        event_id: event.clone(),
        race_type: INDOOR.to_owned(),
        name: results.race_file_name.clone().filter(|name| name.chars().count() <= TEXT_CHARS_MAX),
        class_id: None,
        start_time: None,
        position: None,
        status: RaceStatus::Scheduled,
        meta: "{}".to_owned(),
    };
    draft.put(row.clone());
    Ok(row)
}

/// Who may say something of which event: the key's own, or that of a race that is there.
fn event_of(actor: &Actor) -> Option<&EventId> {
    match actor {
        Actor::Key { event, .. } => Some(event),
        Actor::User { .. } | Actor::Operator => None,
    }
}

fn must_change(draft: &Draft, race: &race::Model, correction: bool) -> Result<(), Refusal> {
    draft.actor.must_time(&draft.state, &race.event_id)?;
    if race.status == RaceStatus::Official && !correction {
        return Err(Refusal::State(format!("race {} is official; only a correction changes it", race.id)));
    }
    Ok(())
}

/// Puts what was measured of somebody, who keeps their id; whether it is another now.
fn put_participant(draft: &mut Draft, race: &RaceId, one: &ErgParticipant) -> Result<(), String> {
    one.check()?;
    let (time_ms, status) = one.outcome()?;
    let known = draft.state.racing.indoor(race).find(|row| row.ergrace_id == one.id).cloned();
    if known.is_none() && draft.state.racing.indoor(race).count() >= PARTICIPANTS_MAX {
        return Err(format!("more than {PARTICIPANTS_MAX} in a race"));
    }
    let measured = Measurement {
        participant: one.participant.clone(),
        class: one.class.clone(),
        time: one.time.trim().to_owned(),
        score: one.score.clone(),
        distance: one.distance,
        avg_pace: one.avg_pace.clone(),
        spm: one.spm,
        calories: one.calories,
        serial_number: one.serial_number.clone(),
        machine_type: one.machine_type.clone(),
        logged_time: one.logged_time.clone(),
        splits: one.splits.clone(),
    };
    let row = indoor_participant::Model {
        race_id: race.clone(),
        id: known.as_ref().map_or_else(|| draft.new_id::<RaceId>().to_string(), |row| row.id.clone()),
        ergrace_id: one.id.clone(),
        place: known.as_ref().and_then(|row| row.place),
        time_ms,
        status,
        detail: serde_json::to_string(&measured).map_err(|wrong| wrong.to_string())?,
    };
    if known.is_none_or(|known| *known != row) {
        draft.put(row);
    }
    Ok(())
}

/// Ranks a race anew: by time, or in a fixed-time piece by distance.
fn rank(draft: &mut Draft, race: &RaceId) {
    let rows: Vec<_> = draft.state.racing.indoor(race).cloned().collect();
    let meta = draft.state.racing.indoor_race(race).map(|row| row.detail.clone()).unwrap_or_default();
    let by_distance = serde_json::from_str::<IndoorMeta>(&meta).is_ok_and(|meta| meta.fixed_time);
    let distance = |row: &indoor_participant::Model| {
        serde_json::from_str::<Measurement>(&row.detail).map(|measured| measured.distance * 1_000).ok()
    };
    let measured: Vec<Measured> = rows
        .iter()
        .map(|row| Measured {
            id: row.id.as_str().into(),
            // Whoever has no time has not finished, however far they got.
            value: row.time_ms.and_then(|ms| if by_distance { distance(row) } else { Some(ms) }),
            then: None,
            status: row.status,
        })
        .collect();
    let ranks = places(if by_distance { Method::Sum } else { Method::Time }, &measured);
    for row in rows {
        let place = ranks.get(row.id.as_str()).copied();
        if row.place != place {
            draft.put(indoor_participant::Model { place, ..row.as_ref().clone() });
        }
    }
}

/// Whether everybody has a time or a status.
fn is_complete(state: &State, race: &RaceId) -> bool {
    let mut rows = state.racing.indoor(race).peekable();
    rows.peek().is_some() && rows.all(|row| row.time_ms.is_some() || row.status.is_some())
}

/// That a race on ergometers is complete, if it is one.
#[must_use]
pub fn completed(state: &State, race: &race::Model) -> Option<Event> {
    let total_participants = state.racing.indoor(&race.id).count();
    state.racing.indoor_race(&race.id)?;
    Some(Event::IndoorCompleted(IndoorCompleted {
        event_id: race.event_id.clone(),
        race_id: race.id.clone(),
        total_participants,
        phase: race.status.phase(),
    }))
}

/// How a race stood before a change.
struct Before {
    rows: Vec<Arc<indoor_participant::Model>>,
    was_complete: bool,
}

impl Before {
    fn of(state: &State, race: &RaceId) -> Self {
        Self { rows: state.racing.indoor(race).cloned().collect(), was_complete: is_complete(state, race) }
    }

    /// Those who are another now.
    fn changed(&self, state: &State, race: &RaceId) -> Vec<String> {
        let known = |row: &&Arc<indoor_participant::Model>| !self.rows.contains(row);
        state.racing.indoor(race).filter(known).map(|row| row.id.clone()).collect()
    }
}

fn set_phase(draft: &mut Draft, race: &race::Model, phase: RacePhase) -> race::Model {
    let row = race::Model { status: phase.status(), ..race.clone() };
    if race.status.phase() == phase {
        return race.clone();
    }
    draft.put(row.clone());
    row
}

fn tell(draft: &mut Draft, race: &race::Model, before: &Before, imported: Option<IndoorImported>) {
    let changed = before.changed(&draft.state, &race.id);
    let few = changed.len() <= UPDATES_MAX;
    if let Some(imported) = imported {
        draft.append(Event::IndoorImported(imported));
    }
    for participant_id in changed.iter().filter(|_| few) {
        draft.append(Event::IndoorUpdated(IndoorUpdated {
            event_id: race.event_id.clone(),
            race_id: race.id.clone(),
            participant_id: participant_id.clone(),
        }));
    }
    let complete = is_complete(&draft.state, &race.id);
    if complete
        && (!before.was_complete || !changed.is_empty())
        && let Some(fact) = completed(&draft.state, race)
    {
        draft.append(fact);
    }
}

/// Takes the results of a race on ergometers.
#[derive(Clone, Debug)]
pub struct ImportIndoor {
    /// The results.
    pub results: IndoorResults,
    /// The race is official, and is to change all the same.
    pub correction: bool,
}

impl ImportIndoor {
    fn meta(&self) -> Result<String, Refusal> {
        let results = &self.results;
        let times: BTreeSet<i64> = results
            .participants
            .iter()
            .filter(|one| !one.is_empty_lane())
            .filter_map(|one| one.outcome().ok()?.0)
            .collect();
        let fixed_time = match results.duration_type.as_deref().map(str::to_lowercase).as_deref() {
            Some("time" | "seconds") => true,
            Some(_) => false,
            // Where the software does not say it: everybody rowed for exactly as long as the piece is.
            None => results.duration.is_some_and(|seconds| times.iter().eq([&(seconds.saturating_mul(1_000))])),
        };
        let short = |text: &Option<String>| text.clone().filter(|text| text.chars().count() <= TEXT_CHARS_MAX);
        let meta = IndoorMeta {
            race_start_time: short(&results.race_start_time),
            race_end_time: short(&results.race_end_time),
            duration: results.duration,
            time_cap: results.time_cap,
            race_file_name: short(&results.race_file_name),
            fixed_time,
        };
        Ok(crate::command::to_value(meta)?.to_string())
    }
}

impl Decide for ImportIndoor {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let results = &self.results;
        if results.participants.len() > PARTICIPANTS_MAX {
            return Err(Refusal::TooLarge { what: "participants of a race", max: PARTICIPANTS_MAX });
        }
        let event = event_of(&draft.actor).cloned();
        let races_before = draft.state.races.clone();
        let race = race_of(draft, results, event.as_ref())?;
        must_change(draft, &race, self.correction)?;
        let is_new = !races_before.contains_key(&race.id);
        let before = Before::of(&draft.state, &race.id);
        let known = draft.state.racing.indoor_race(&race.id).cloned();
        let row = indoor_race::Model {
            race_id: race.id.clone(),
            id: known.as_ref().map_or_else(|| draft.new_id::<RaceId>().to_string(), |row| row.id.clone()),
            ergrace_race_id: results.race_id.clone(),
            detail: self.meta()?,
        };
        let indoor_race_result_id = row.id.clone();
        if known.as_ref().is_none_or(|known| **known != row) {
            draft.put(row);
        }
        let (mut skipped, mut skipped_empty_lanes) = (Vec::new(), 0);
        let mut seen = BTreeSet::new();
        for (index, one) in results.participants.iter().enumerate() {
            if one.is_empty_lane() {
                skipped_empty_lanes += 1;
                continue;
            }
            let taken = if seen.insert(&one.id) {
                put_participant(draft, &race.id, one)
            } else {
                Err(format!("participant {} is there twice", one.id))
            };
            if let Err(reason) = taken {
                skipped.push(Skipped::new(format!("results.participants[{index}]"), reason));
            }
        }
        rank(draft, &race.id);
        let phase = if race.status == RaceStatus::Official { RacePhase::Official } else { RacePhase::NonOfficial };
        let race = set_phase(draft, &race, phase);
        let rows: Vec<IndoorView> = draft.state.racing.indoor(&race.id).map(|row| indoor(&draft.state, row)).collect();
        let linked_crews_count = rows.iter().filter(|view| view.crew.is_some()).count();
        let participants_count = rows.len();
        if is_new {
            draft.append(Event::SetupChanged(SetupChanged { event_id: race.event_id.clone() }));
            if draft.state.is_public(&race.event_id) {
                let event_id = race.event_id.clone();
                let fact = PublicChanged { event_id, status: None, whole: true, races: Vec::new(), finals: Vec::new() };
                draft.append(Event::PublicChanged(fact));
            }
        }
        let imported = IndoorImported {
            event_id: race.event_id.clone(),
            race_id: race.id.clone(),
            participants_count,
            linked_crews_count,
            phase,
        };
        tell(draft, &race, &before, Some(imported));
        Ok(json!({
            "created": known.is_none(),
            "status": "success",
            "data": {
                "indoor_race_result_id": indoor_race_result_id,
                "race_id": race.id,
                "ergrace_race_id": results.race_id,
                "participants_count": participants_count,
                "linked_crews_count": linked_crews_count,
                "unlinked_participants_count": participants_count - linked_crews_count,
                "skipped_empty_lanes": skipped_empty_lanes,
                "skipped": skipped,
            },
        }))
    }
}

/// Takes what one ergometer says while a race is under way.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateIndoor {
    /// The race, which has to be there.
    pub race_id: RaceId,
    /// Who, and what was measured.
    pub participant: ErgParticipant,
    /// The race is official, and is to change all the same.
    #[serde(default)]
    pub correction: bool,
}

impl Decide for UpdateIndoor {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let race = match event_of(&draft.actor) {
            Some(event) => draft.state.race_in(event, self.race_id.as_str()),
            None => draft.state.races.get(&self.race_id),
        };
        let race = race.ok_or_else(|| Refusal::not_found("race", &self.race_id))?.as_ref().clone();
        must_change(draft, &race, self.correction)?;
        let before = Before::of(&draft.state, &race.id);
        if draft.state.racing.indoor_race(&race.id).is_none() {
            let row = indoor_race::Model {
                race_id: race.id.clone(),
                id: draft.new_id::<RaceId>().to_string(),
                ergrace_race_id: race.id.to_string(),
                detail: crate::command::to_value(IndoorMeta::default())?.to_string(),
            };
            draft.put(row);
        }
        put_participant(draft, &race.id, &self.participant).map_err(|why| Refusal::invalid("participant", why))?;
        rank(draft, &race.id);
        let started = race.status.phase() == RacePhase::NotStarted;
        let race = if started { set_phase(draft, &race, RacePhase::InProgress) } else { race };
        tell(draft, &race, &before, None);
        let row = draft.state.racing.indoor(&race.id).find(|row| row.ergrace_id == self.participant.id);
        let view = row.map(|row| indoor(&draft.state, row));
        Ok(
            json!({ "race_id": race.id, "event_id": race.event_id, "race_status": race.status.phase(), "participant": view }),
        )
    }
}

/// A race on ergometers, by place; then those without one.
///
/// # Errors
/// `NOT_FOUND`.
pub fn view(state: &State, race: &RaceId) -> Result<Value, Refusal> {
    let missing = || Refusal::not_found("race", race);
    let row = state.races.get(race).ok_or_else(missing)?;
    state.racing.indoor_race(race).ok_or_else(missing)?;
    let mut participants: Vec<IndoorView> = state.racing.indoor(race).map(|one| indoor(state, one)).collect();
    participants.sort_by(|one, other| {
        (one.place.unwrap_or(i64::MAX), &one.id).cmp(&(other.place.unwrap_or(i64::MAX), &other.id))
    });
    Ok(json!({
        "race_id": row.id, "event_id": row.event_id, "race_status": row.status.phase(), "participants": participants,
    }))
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn a_fraction_counts_by_its_places() {
        for (text, expected) in [
            ("0:24.1", Some(24_100)),
            ("0:24.05", Some(24_050)),
            ("0:24.050", Some(24_050)),
            ("1:32.4", Some(92_400)),
            ("6:01", Some(361_000)),
            ("1:02:03.4", Some(3_723_400)),
            (" 7:00.0 ", Some(420_000)),
            ("120:00.0", Some(7_200_000)),
            ("0:60.0", None),
            ("0:5.0", None),
            ("24.1", None),
            ("0:24.", None),
            ("0:24.1234", None),
            ("-1:24.1", None),
            ("0:2a.1", None),
            ("", None),
            ("999:59:59.9", None),
        ] {
            assert_eq!(millis(text), expected, "{text:?}");
        }
    }
}
