//! Races on ergometers: what their software exports at the end, or says of one of them while they row.
//!
//! Invariants: places are computed here; whoever was once in a race keeps the id; what is official, the race or its
//! event, changes only by a correction that says so; a post is taken whole or not at all.

use super::standing::{Best, Measured, places};
use super::status::timed_by;
use crate::auth::actor::Actor;
use crate::command::{Decide, Draft};
use crate::db::entity::event::EventStatus;
use crate::db::entity::race::RacePhase;
use crate::db::entity::race_report::Irm;
use crate::db::entity::{indoor_participant, indoor_race, race};
use crate::error::Refusal;
use crate::events::event::{
    Event, IndoorCompleted, IndoorImported, IndoorLine, IndoorUpdated, PublicChanged, SetupChanged,
};
use crate::events::public::{IndoorView, indoor};
use crate::ids::{EventId, RaceId};
use crate::state::State;
use crate::state::detail::{IndoorMeta, Measurement};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
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
/// Longest distance, most calories, longest piece.
const AMOUNT_MAX: i64 = 1_000_000;
/// Most strokes a minute.
const SPM_MAX: i64 = 1_000;
/// The splits of one, as JSON, in bytes: they are kept as they come.
const SPLITS_BYTES_MAX: usize = 32 * 1024;

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
    /// The id of a crew links the crew. An empty lane may go without.
    #[serde(default, deserialize_with = "text_or_none")]
    #[schema(value_type = String)]
    pub id: String,
    #[serde(default)]
    pub participant: Option<String>,
    #[serde(default)]
    pub class: Option<String>,
    /// `M:SS.f`; empty while there is none.
    #[serde(default, deserialize_with = "text_or_none")]
    #[schema(value_type = String)]
    pub time: String,
    #[serde(default, deserialize_with = "optional_text")]
    #[schema(value_type = Option<String>)]
    pub score: Option<String>,
    #[serde(default, deserialize_with = "number")]
    #[schema(value_type = i64)]
    pub distance: i64,
    #[serde(default, deserialize_with = "text_or_none")]
    #[schema(value_type = String)]
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

fn text_or_none<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Ok(optional_text(input)?.unwrap_or_default())
}

fn optional_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    crate::state::detail::text_or_number(input)
}

fn number<'de, D: Deserializer<'de>>(input: D) -> Result<i64, D::Error> {
    Ok(optional_number(input)?.unwrap_or(0))
}

/// The software writes numbers as numbers or as texts, by version; `2000.0` is a whole one too.
fn optional_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    let Some(said) = optional_text(input)?.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let said = said.trim();
    let whole = match said.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => said,
    };
    whole.parse().map(Some).map_err(|_wrong| serde::de::Error::custom("is not a whole number"))
}

/// Something is wrong with a field.
type Wrong = (&'static str, String);

fn must_be_shown(field: &'static str, text: &str) -> Result<(), Wrong> {
    if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
        return Err((field, format!("has more than {TEXT_CHARS_MAX} characters, or one that cannot be shown")));
    }
    Ok(())
}

fn must_be_within(field: &'static str, number: i64, max: i64) -> Result<(), Wrong> {
    if (0..=max).contains(&number) { Ok(()) } else { Err((field, format!("is 0 to {max}"))) }
}

/// Says where in a post the wrong field is.
fn at(place: &str) -> impl Fn(Wrong) -> Refusal {
    move |(field, wrong)| Refusal::invalid(format!("{place}.{field}"), wrong)
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

impl IndoorResults {
    fn check(&self) -> Result<(), Wrong> {
        if self.race_id.trim().is_empty() {
            return Err(("race_id", "is missing".to_owned()));
        }
        must_be_shown("race_id", &self.race_id)?;
        for (field, text) in [
            ("race_start_time", &self.race_start_time),
            ("race_end_time", &self.race_end_time),
            ("race_file_name", &self.race_file_name),
            ("duration_type", &self.duration_type),
        ] {
            must_be_shown(field, text.as_deref().unwrap_or_default())?;
        }
        must_be_within("duration", self.duration.unwrap_or(0), AMOUNT_MAX)?;
        must_be_within("time_cap", self.time_cap.unwrap_or(0), AMOUNT_MAX)
    }
}

impl ErgParticipant {
    /// A lane nobody rows in. A crew of ours that was given one is somebody, whatever the software calls them.
    fn is_empty_lane(&self, state: &State, race: &RaceId) -> bool {
        let nobody = self.participant.as_deref().is_none_or(|name| {
            let name = name.trim().to_lowercase();
            name.is_empty() || name.starts_with("empty")
        });
        let known = || {
            state.starter(race, &self.id).is_some() || state.racing.indoor(race).any(|row| row.ergrace_id == self.id)
        };
        let measured = self.distance != 0 || self.status.is_some() || self.outcome() != Ok((None, None));
        nobody && !measured && !known()
    }

    /// The time, or why there is none. A word in place of the time is a status.
    fn outcome(&self) -> Result<(Option<i64>, Option<Irm>), Wrong> {
        let said = self.time.trim();
        let word = Irm::of(said).or_else(|| said.eq_ignore_ascii_case("DQ").then_some(Irm::Dsq));
        let status = self.status.or(word);
        if status.is_some() || said.is_empty() {
            return Ok((None, status));
        }
        let ms = millis(said).ok_or_else(|| ("time", format!("{said:?} is not like 1:32.4")))?;
        Ok((Some(ms).filter(|ms| *ms > 0), None))
    }

    fn check(&self) -> Result<(), Wrong> {
        if self.id.trim().is_empty() {
            return Err(("id", "is missing".to_owned()));
        }
        for (field, text) in [("id", &self.id), ("time", &self.time), ("avg_pace", &self.avg_pace)] {
            must_be_shown(field, text)?;
        }
        for (field, text) in [
            ("participant", &self.participant),
            ("class", &self.class),
            ("score", &self.score),
            ("serial_number", &self.serial_number),
            ("machine_type", &self.machine_type),
            ("logged_time", &self.logged_time),
        ] {
            must_be_shown(field, text.as_deref().unwrap_or_default())?;
        }
        must_be_within("distance", self.distance, AMOUNT_MAX)?;
        must_be_within("spm", self.spm, SPM_MAX)?;
        must_be_within("calories", self.calories, AMOUNT_MAX)?;
        if self.splits.as_ref().is_some_and(|splits| splits.to_string().len() > SPLITS_BYTES_MAX) {
            return Err(("splits", format!("has more than {SPLITS_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

/// The event of a key. A user names a race, which has one.
fn event_of(actor: &Actor) -> Option<&EventId> {
    match actor {
        Actor::Key { event, .. } => Some(event),
        Actor::User { .. } | Actor::Operator => None,
    }
}

/// The race an import is about, made in the event of a key where there is none; and whether it was made.
fn race_of(draft: &mut Draft, results: &IndoorResults) -> Result<(race::Model, bool), Refusal> {
    let Some(event) = event_of(&draft.actor).cloned() else {
        let named = results.c2_race_id.as_ref();
        let named = named.ok_or_else(|| Refusal::invalid("results.c2_race_id", "is missing: say which race it is"))?;
        return Ok((timed_by(&draft.actor, &draft.state, named)?.as_ref().clone(), false));
    };
    let state = &draft.state;
    let named = results.c2_race_id.clone().or_else(|| {
        // The software's own id, as the event has heard it before.
        let heard = state.racing.indoor_races().filter(|row| row.ergrace_race_id == results.race_id);
        let own = heard.filter(|row| state.races.get(&row.race_id).is_some_and(|race| race.event_id == event));
        own.map(|row| row.race_id.clone()).min()
    });
    let wrong = |wrong| Refusal::invalid("results.c2_race_id", wrong);
    let id: RaceId = match named {
        Some(id) => id,
        None => format!("{INDOOR}-{}", draft.new_id::<RaceId>()).parse().map_err(wrong)?,
    };
    // A key sees its event alone.
    if let Some(race) = draft.state.race_in(&event, id.as_str()) {
        return Ok((race.as_ref().clone(), false));
    }
    let id = if draft.state.races.contains_key(&id) { format!("{event}.{id}").parse().map_err(wrong)? } else { id };
    let row = race::Model {
        id,
        number: draft.state.next_race_number(),
        event_id: event,
        race_type: INDOOR.to_owned(),
        name: results.race_file_name.clone(),
        class_id: None,
        start_time: None,
        position: None,
        status: RacePhase::NotStarted.status(),
        meta: "{}".to_owned(),
    };
    draft.put(row.clone());
    Ok((row, true))
}

fn must_change(draft: &Draft, race: &race::Model, correction: bool) -> Result<(), Refusal> {
    draft.actor.must_time(&draft.state, &race.event_id)?;
    let event = draft.state.events.get(&race.event_id);
    if correction {
        return Ok(());
    }
    if event.is_some_and(|event| event.status == EventStatus::Official) {
        return Err(Refusal::State(format!("event {} is official; say that this is a correction", race.event_id)));
    }
    if race.status.phase() == RacePhase::Official {
        return Err(Refusal::State(format!("race {} is official; say that this is a correction", race.id)));
    }
    Ok(())
}

/// Puts what was measured of somebody, who keeps their id.
fn put_participant(draft: &mut Draft, race: &RaceId, one: &ErgParticipant, place: &str) -> Result<(), Refusal> {
    let (time_ms, status) = one.check().and_then(|()| one.outcome()).map_err(at(place))?;
    let known = draft.state.racing.indoor(race).find(|row| row.ergrace_id == one.id).cloned();
    if known.is_none() && draft.state.racing.indoor(race).count() >= PARTICIPANTS_MAX {
        return Err(Refusal::TooLarge { what: "participants of a race", max: PARTICIPANTS_MAX });
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
        detail: crate::command::to_value(measured)?.to_string(),
    };
    if known.is_none_or(|known| *known != row) {
        draft.put(row);
    }
    Ok(())
}

fn meta_of(state: &State, race: &RaceId) -> IndoorMeta {
    let row = state.racing.indoor_race(race);
    row.and_then(|row| serde_json::from_str(&row.detail).ok()).unwrap_or_default()
}

/// Puts what is known of a race as a whole, under its own id in the software; says the id it has here.
fn put_race(draft: &mut Draft, race: &RaceId, ergrace_race_id: &str, meta: &IndoorMeta) -> Result<String, Refusal> {
    let known = draft.state.racing.indoor_race(race).cloned();
    let row = indoor_race::Model {
        race_id: race.clone(),
        id: known.as_ref().map_or_else(|| draft.new_id::<RaceId>().to_string(), |row| row.id.clone()),
        ergrace_race_id: ergrace_race_id.to_owned(),
        detail: crate::command::to_value(meta)?.to_string(),
    };
    let id = row.id.clone();
    if known.is_none_or(|known| *known != row) {
        draft.put(row);
    }
    Ok(id)
}

/// Ranks a race anew: by time, or in a fixed-time piece by distance.
fn rank(draft: &mut Draft, race: &RaceId, by_distance: bool) {
    let rows: Vec<_> = draft.state.racing.indoor(race).cloned().collect();
    let distance = |row: &indoor_participant::Model| {
        serde_json::from_str::<Measurement>(&row.detail).map(|measured| measured.distance * 1_000).ok()
    };
    let measured: Vec<Measured> = rows
        .iter()
        .map(|row| Measured {
            // Whoever has no time has not finished, however far they got.
            value: row.time_ms.and_then(|ms| if by_distance { distance(row) } else { Some(ms) }),
            then: None,
        })
        .collect();
    let ranks = places(if by_distance { Best::Most } else { Best::Least }, &measured);
    for (row, place) in rows.into_iter().zip(ranks) {
        if row.place != place {
            draft.put(indoor_participant::Model { place, ..row.as_ref().clone() });
        }
    }
}

/// Whether everybody there is has a time or a status.
fn all_are_in(state: &State, race: &RaceId) -> bool {
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
    rows: BTreeMap<String, Arc<indoor_participant::Model>>,
    phase: RacePhase,
    was_made: bool,
}

impl Before {
    fn of(state: &State, race: &race::Model, was_made: bool) -> Self {
        let rows = state.racing.indoor(&race.id).map(|row| (row.id.clone(), Arc::clone(row))).collect();
        Self { rows, phase: race.status.phase(), was_made }
    }

    /// Those who are another now.
    fn changed(&self, state: &State, race: &RaceId) -> Vec<String> {
        let is_other = |row: &&Arc<indoor_participant::Model>| self.rows.get(&row.id) != Some(*row);
        state.racing.indoor(race).filter(is_other).map(|row| row.id.clone()).collect()
    }
}

fn set_phase(draft: &mut Draft, race: &race::Model, phase: RacePhase) -> race::Model {
    if race.status.phase() == phase {
        return race.clone();
    }
    let row = race::Model { status: phase.status(), ..race.clone() };
    draft.put(row.clone());
    row
}

/// Tells what became another. Nothing is told to the public of a draft; the other nodes learn of it from the lane of its
/// staff.
fn tell(draft: &mut Draft, race: &race::Model, before: &Before, imported: Option<IndoorImported>, completes: bool) {
    let event_id = race.event_id.clone();
    let is_public = draft.state.is_public(&event_id);
    if before.was_made || !is_public {
        draft.append(Event::SetupChanged(SetupChanged { event_id: event_id.clone() }));
    }
    if !is_public {
        return;
    }
    if before.was_made || before.phase != race.status.phase() {
        // The list of races is another for everybody who has it.
        draft.append(Event::PublicChanged(PublicChanged::whole(&event_id)));
    }
    let changed = before.changed(&draft.state, &race.id);
    let line =
        |id: &String| draft.state.racing.indoor(&race.id).find(|row| row.id == *id).map(|row| IndoorLine::of(row));
    let changed: Vec<IndoorLine> = changed.iter().filter_map(line).collect();
    if let Some(imported) = imported {
        if changed.len() > UPDATES_MAX {
            draft.append(Event::IndoorImported(IndoorImported { lines: changed, ..imported }));
            return;
        }
        draft.append(Event::IndoorImported(imported));
    }
    for line in changed {
        let (event_id, race_id, participant_id) = (event_id.clone(), race.id.clone(), line.id.clone());
        let line = Some(Box::new(line));
        draft.append(Event::IndoorUpdated(IndoorUpdated { event_id, race_id, participant_id, line }));
    }
    if completes && let Some(fact) = completed(&draft.state, race) {
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
    /// Whether everybody rows for the same time. Where the software does not say it: nobody rowed for longer than the
    /// piece is, and most for exactly as long.
    fn is_fixed_time(&self) -> bool {
        let said = self.results.duration_type.as_deref().map(|said| said.trim().to_lowercase());
        match said.as_deref() {
            Some("time" | "seconds") => return true,
            Some(said) if !said.is_empty() => return false,
            _ => {}
        }
        let Some(piece) = self.results.duration.map(|seconds| seconds.saturating_mul(1_000)) else { return false };
        let times = self.results.participants.iter().filter_map(|one| one.outcome().ok()?.0);
        let times: Vec<i64> = times.collect();
        let exactly = times.iter().filter(|ms| **ms == piece).count();
        times.iter().all(|ms| *ms <= piece) && exactly * 2 > times.len()
    }

    fn meta(&self, complete: bool) -> IndoorMeta {
        let results = &self.results;
        IndoorMeta {
            race_start_time: results.race_start_time.clone(),
            race_end_time: results.race_end_time.clone(),
            duration: results.duration,
            time_cap: results.time_cap,
            race_file_name: results.race_file_name.clone(),
            fixed_time: self.is_fixed_time(),
            complete,
        }
    }

    /// Puts everybody who rows; how many lanes are empty.
    fn put_participants(&self, draft: &mut Draft, race: &RaceId) -> Result<usize, Refusal> {
        let (mut seen, mut empty) = (BTreeSet::new(), 0);
        for (index, one) in self.results.participants.iter().enumerate() {
            if one.is_empty_lane(&draft.state, race) {
                empty += 1;
                continue;
            }
            let place = format!("results.participants[{index}]");
            if !seen.insert(&one.id) {
                return Err(Refusal::invalid(format!("{place}.id"), "is there twice"));
            }
            put_participant(draft, race, one, &place)?;
        }
        Ok(empty)
    }
}

impl Decide for ImportIndoor {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let results = &self.results;
        if results.participants.len() > PARTICIPANTS_MAX {
            return Err(Refusal::TooLarge { what: "participants of a race", max: PARTICIPANTS_MAX });
        }
        results.check().map_err(at("results"))?;
        let (race, was_made) = race_of(draft, results)?;
        must_change(draft, &race, self.correction)?;
        let before = Before::of(&draft.state, &race, was_made);
        let is_new = draft.state.racing.indoor_race(&race.id).is_none();
        let was_complete = meta_of(&draft.state, &race.id).complete;
        let skipped_empty_lanes = self.put_participants(draft, &race.id)?;
        let complete = all_are_in(&draft.state, &race.id);
        let meta = self.meta(complete);
        let indoor_race_result_id = put_race(draft, &race.id, &results.race_id, &meta)?;
        rank(draft, &race.id, meta.fixed_time);
        let official = race.status.phase() == RacePhase::Official;
        let race = set_phase(draft, &race, if official { RacePhase::Official } else { RacePhase::NonOfficial });
        let rows: Vec<IndoorView> = draft.state.racing.indoor(&race.id).map(|row| indoor(&draft.state, row)).collect();
        let linked_crews_count = rows.iter().filter(|view| view.crew.is_some()).count();
        let participants_count = rows.len();
        let imported = IndoorImported {
            event_id: race.event_id.clone(),
            race_id: race.id.clone(),
            participants_count,
            linked_crews_count,
            phase: race.status.phase(),
            lines: Vec::new(),
        };
        tell(draft, &race, &before, Some(imported), complete && !was_complete);
        Ok(json!({
            "created": is_new,
            "status": "success",
            "data": {
                "indoor_race_result_id": indoor_race_result_id,
                "race_id": race.id,
                "ergrace_race_id": results.race_id,
                "participants_count": participants_count,
                "linked_crews_count": linked_crews_count,
                "unlinked_participants_count": participants_count - linked_crews_count,
                "skipped_empty_lanes": skipped_empty_lanes,
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

/// Whether the ones an ergometer has spoken of are all there will be. While a race is under way nobody says so: its start
/// list does, or, where there is none, that nobody came who was not there before.
fn is_whole_field(state: &State, race: &race::Model, before: &Before) -> bool {
    if matches!(race.status.phase(), RacePhase::NonOfficial | RacePhase::Official) {
        return true;
    }
    let mut starters = state.starters_of(&race.id).peekable();
    if starters.peek().is_none() {
        return state.racing.indoor(&race.id).count() == before.rows.len();
    }
    let there: BTreeSet<&str> = state.racing.indoor(&race.id).map(|row| row.ergrace_id.as_str()).collect();
    starters.all(|starter| there.contains(starter.row.id.as_str()))
}

impl Decide for UpdateIndoor {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let race = timed_by(&draft.actor, &draft.state, &self.race_id)?.as_ref().clone();
        must_change(draft, &race, self.correction)?;
        let answer = |race: &race::Model, view: Option<IndoorView>| {
            let phase = race.status.phase();
            json!({ "race_id": race.id, "event_id": race.event_id, "race_status": phase, "participant": view })
        };
        if self.participant.is_empty_lane(&draft.state, &race.id) {
            return Ok(answer(&race, None));
        }
        let before = Before::of(&draft.state, &race, false);
        let meta = meta_of(&draft.state, &race.id);
        let known = draft.state.racing.indoor_race(&race.id).map(|row| row.ergrace_race_id.clone());
        put_participant(draft, &race.id, &self.participant, "participant")?;
        let all_in = all_are_in(&draft.state, &race.id);
        let complete = all_in && (meta.complete || is_whole_field(&draft.state, &race, &before));
        let (was_complete, by_distance) = (meta.complete, meta.fixed_time);
        let software = known.unwrap_or_else(|| race.id.to_string());
        put_race(draft, &race.id, &software, &IndoorMeta { complete, ..meta })?;
        rank(draft, &race.id, by_distance);
        let started = race.status.phase() == RacePhase::NotStarted;
        let race = if started { set_phase(draft, &race, RacePhase::InProgress) } else { race };
        tell(draft, &race, &before, None, complete && !was_complete);
        let row = draft.state.racing.indoor(&race.id).find(|row| row.ergrace_id == self.participant.id);
        Ok(answer(&race, row.map(|row| indoor(&draft.state, row))))
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
