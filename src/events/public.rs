//! What anyone may see: the public's views of events, races and results, and what each public fact looks like to them.
//!
//! Invariants: nothing here is shown of a draft event; everything is built from rows and facts, nothing from what a
//! client sent; whoever folds the diffs has what the REST reads say.

use super::event::{Event, PublicChanged, RaceLists, ResultLine};
use super::log::LogEntry;
use crate::clock::Micros;
use crate::db::entity::event::EventStatus;
use crate::db::entity::race::{self, RacePhase};
use crate::db::entity::race_report::Irm;
use crate::db::entity::{indoor_participant, race_result};
use crate::ids::{EventId, RaceId};
use crate::ranking::Mark;
use crate::state::detail::{Measurement, RaceMeta};
use crate::state::{Starter, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An event.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct PublicEvent {
    pub event_id: EventId,
    pub main_title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facility: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discipline: Option<String>,
    pub status: EventStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Nothing of it is real: a recording is being played.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
}

/// An age or weight category of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct PublicCategory {
    pub cat_id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_year: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_year: Option<i64>,
}

/// A class.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct PublicClass {
    pub class_id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_title: Option<String>,
    pub categories: Vec<PublicCategory>,
}

/// A category over all classes that have it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct PublicAggregatedCategory {
    #[serde(flatten)]
    pub category: PublicCategory,
    pub class_ids: Vec<String>,
}

/// A race.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct PublicRace {
    pub race_id: RaceId,
    pub number: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_id: Option<String>,
    pub race_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub race_order: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// 1 to 12, the numbers of Canoe123.
    pub race_status: i64,
}

/// A line of a race's results; times in hundredths of a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct PublicResult {
    pub race_id: RaceId,
    pub bib: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rnk: Option<i64>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub club: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cat_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cat_rnk: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pen: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_behind: Option<i64>,
    pub status: Option<Irm>,
    /// Penalty seconds, gate by gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<Option<i64>>>,
}

/// Somebody on a start list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct PublicStarter {
    pub race_id: RaceId,
    pub participant_id: String,
    pub bib: Option<i64>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub club: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cat_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_order: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<i64>,
}

/// Somebody on the course; times in hundredths of a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct PublicOnCourse {
    pub race_id: RaceId,
    pub bib: Option<i64>,
    pub name: String,
    pub club: String,
    pub position: i64,
    pub gates: Vec<Option<i64>>,
    pub completed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dt_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dt_finish: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    pub pen: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttb_diff: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttb_name: Option<String>,
}

/// Hundredths of a second. Timing truncates, so a thousandth decides a place and is not shown.
fn hundredths(ms: Option<i64>) -> Option<i64> {
    ms.map(|ms| ms.div_euclid(10))
}

/// An event, unless it is a draft.
#[must_use]
pub fn event(state: &State, id: &EventId) -> Option<PublicEvent> {
    let event = state.events.get(id).filter(|_| state.is_public(id))?;
    Some(PublicEvent {
        event_id: event.id.clone(),
        main_title: event.main_title.clone(),
        sub_title: event.sub_title.clone(),
        location: event.location.clone(),
        facility: event.facility.clone(),
        start_date: event.start_date.clone(),
        end_date: event.end_date.clone(),
        discipline: event.discipline.clone(),
        status: event.status,
        image_url: event.image_url.clone(),
        rehearsal: event.rehearsal,
    })
}

/// The classes of an event.
#[must_use]
pub fn classes(state: &State, event: &EventId) -> Vec<PublicClass> {
    let class = |class: &crate::db::entity::race_class::Model| PublicClass {
        class_id: class.id.clone(),
        name: class.name.clone(),
        long_title: class.long_title.clone(),
        categories: serde_json::from_str(&class.categories).unwrap_or_default(),
    };
    state.racing.classes(event).into_iter().map(|row| class(row)).collect()
}

/// The categories of an event, each once, with the classes that have it.
#[must_use]
pub fn categories(state: &State, event: &EventId) -> Vec<PublicAggregatedCategory> {
    let mut found: BTreeMap<String, PublicAggregatedCategory> = BTreeMap::new();
    for class in classes(state, event) {
        for category in class.categories {
            let known = found.entry(category.cat_id.clone());
            known
                .or_insert_with(|| PublicAggregatedCategory { category, class_ids: Vec::new() })
                .class_ids
                .push(class.class_id.clone());
        }
    }
    found.into_values().collect()
}

fn race_view(race: &race::Model) -> PublicRace {
    PublicRace {
        race_id: race.id.clone(),
        number: race.number,
        name: race.name.clone(),
        class_id: race.class_id.clone(),
        race_type: race.race_type.clone(),
        race_order: race.position,
        start_time: race.start_time.clone(),
        race_status: race.status.number(),
    }
}

/// The races of an event, in the order they are run.
#[must_use]
pub fn races(state: &State, event: &EventId) -> Vec<PublicRace> {
    state.races_of(event).into_iter().map(|race| race_view(race)).collect()
}

fn name(starter: Option<&Starter>) -> String {
    starter.and_then(|starter| starter.detail.name.clone()).unwrap_or_default()
}

fn result_view(state: &State, race: &RaceId, line: &ResultLine) -> PublicResult {
    let starter = state.starter(race, &line.participant_id).map(AsRef::as_ref);
    let detail = starter.map(|starter| &starter.detail);
    PublicResult {
        race_id: race.clone(),
        bib: line.bib,
        rnk: line.rank,
        name: name(starter),
        club: detail.and_then(|detail| detail.club.as_ref()).map(|club| club.name.clone()),
        noc: detail.and_then(|detail| detail.noc.clone()),
        cat_id: detail.and_then(|detail| detail.category.as_ref()).map(|category| category.id.clone()),
        cat_rnk: line.category_rank,
        time: hundredths(line.time_ms),
        pen: hundredths(line.pen_ms),
        total: hundredths(line.total_ms),
        total_behind: hundredths(line.behind_ms),
        status: line.status,
        gates: line.gates.clone(),
    }
}

impl ResultLine {
    /// A line as it stands in the table.
    #[must_use]
    pub fn of(row: &race_result::Model) -> Self {
        Self {
            participant_id: row.participant_id.clone(),
            bib: row.bib,
            rank: row.rank,
            category_rank: row.category_rank,
            time_ms: row.time_ms,
            pen_ms: row.pen_ms,
            total_ms: row.total_ms,
            behind_ms: row.behind_ms,
            status: row.status,
            gates: row.gates.as_deref().and_then(|gates| serde_json::from_str(gates).ok()),
        }
    }
}

/// The results of a race, by place; then those without one, by bib.
#[must_use]
pub fn results(state: &State, race: &RaceId) -> Vec<PublicResult> {
    let line = |row: &race_result::Model| result_view(state, race, &ResultLine::of(row));
    let mut results: Vec<_> = state.racing.results(race).map(|row| line(row)).collect();
    results.sort_by_key(|line| (line.rnk.unwrap_or(i64::MAX), line.bib));
    results
}

/// The start list of a race.
#[must_use]
pub fn startlist(state: &State, race: &RaceId) -> Vec<PublicStarter> {
    let view = |starter: &Starter| PublicStarter {
        race_id: race.clone(),
        participant_id: starter.row.id.clone(),
        bib: starter.row.bib,
        name: name(Some(starter)),
        club: starter.detail.club.as_ref().map(|club| club.name.clone()),
        noc: starter.detail.noc.clone(),
        cat_id: starter.detail.category.as_ref().map(|category| category.id.clone()),
        start_order: starter.detail.start_order,
        start_time: starter.detail.start_time.clone(),
        lane: starter.detail.lane,
    };
    let mut starters: Vec<_> = state.starters_of(race).map(|starter| view(starter)).collect();
    starters.sort_by_key(|starter| (starter.start_order.unwrap_or(i64::MAX), starter.bib));
    starters
}

/// What a viewer asked to have in `full` besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Include {
    /// The results of every race.
    pub results: bool,
    /// Who is on the course.
    pub oncourse: bool,
}

/// An event as a whole.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct FullData {
    pub event: PublicEvent,
    pub classes: Vec<PublicClass>,
    pub races: Vec<PublicRace>,
    pub categories: Vec<PublicAggregatedCategory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Vec<PublicResult>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oncourse: Option<Vec<PublicOnCourse>>,
}

/// Everything the public sees of an event.
#[must_use]
pub fn full(state: &State, id: &EventId, include: Include, oncourse: Vec<PublicOnCourse>) -> Option<FullData> {
    let races = races(state, id);
    let all = || races.iter().flat_map(|race| results(state, &race.race_id)).collect();
    Some(FullData {
        event: event(state, id)?,
        classes: classes(state, id),
        categories: categories(state, id),
        results: include.results.then(all),
        oncourse: include.oncourse.then_some(oncourse),
        races,
    })
}

/// A line that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the key of a line")]
pub struct RemovedLine {
    pub race_id: RaceId,
    pub bib: Option<i64>,
}

/// A change. A fact that changes nothing of this is empty: the sequence goes on by it all the same.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct DiffData {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Vec<PublicResult>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub race_id: Option<RaceId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<RemovedLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oncourse: Option<Vec<PublicOnCourse>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<EventStatus>,
    /// A judged result was published, revealed, frozen or thawed, or something announced: the event of the scoring
    /// plane that says so, and its payload.
    #[serde(flatten)]
    #[schema(ignore)]
    pub told: BTreeMap<&'static str, Value>,
}

/// What a public fact looks like on the feed of its event.
#[derive(Clone, Debug)]
pub enum Told {
    /// A change.
    Diff(Box<DiffData>),
    /// Everything anew.
    Full,
    /// It has to be read anew.
    Refresh,
}

/// What a public fact looks like on the feed of its event. Names are those of now: they are not in the log.
#[must_use]
pub fn told(state: &State, fact: &Event) -> Told {
    let mut diff = DiffData::default();
    if let Event::PublicChanged(fact) = fact {
        if fact.whole {
            return Told::Full;
        }
        // That there is a draft is nobody's business: its viewers are sent away.
        diff.status = fact.status.filter(|status| *status != EventStatus::Draft);
    } else if let Event::RaceStatusChanged(_) = fact {
        return Told::Refresh;
    } else if let Event::ResultsChanged(fact) = fact {
        let gone = |bib: &Option<i64>| RemovedLine { race_id: fact.race_id.clone(), bib: *bib };
        diff.results = Some(fact.lines.iter().map(|line| result_view(state, &fact.race_id, line)).collect());
        diff.race_id = Some(fact.race_id.clone());
        diff.removed = fact.removed.iter().map(gone).collect();
    } else {
        diff.told.extend(announced(fact).map(|(event, payload)| (key(event), payload)));
    }
    Told::Diff(Box::new(diff))
}

/// The lists that are another after a change that is shown by everything anew, as a diff over all races: for whoever
/// reads the log later, when there is no everything of then any more.
#[must_use]
pub fn told_later(state: &State, fact: &PublicChanged) -> DiffData {
    let lines = fact.lists.iter().flat_map(|list| list.lines.iter().map(|line| (&list.race_id, line)));
    let results: Vec<_> = lines.map(|(race, line)| result_view(state, race, line)).collect();
    let gone = |list: &RaceLists| {
        let worn: BTreeSet<Option<i64>> = list.lines.iter().map(|line| line.bib).collect();
        let removed = list.removed.iter().filter(|bib| !worn.contains(bib));
        removed.map(|bib| RemovedLine { race_id: list.race_id.clone(), bib: *bib }).collect::<Vec<_>>()
    };
    DiffData {
        results: Some(results).filter(|results| !results.is_empty()),
        removed: fact.lists.iter().flat_map(gone).collect(),
        status: fact.status.filter(|status| *status != EventStatus::Draft),
        ..DiffData::default()
    }
}

/// Under which name a diff carries an event of the scoring plane.
fn key(event: &'static str) -> &'static str {
    match event {
        "results:published" => "published",
        "results:frozen" => "frozen",
        "results:thawed" => "thawed",
        "results:revealed" => "revealed",
        "system:announcement" => "announcement",
        other => other,
    }
}

/// What the public is told by an event of the scoring plane, as [`Event::deliveries`] shows it to every member.
fn announced(fact: &Event) -> Option<(&'static str, Value)> {
    let delivery = fact.deliveries().into_iter().next().filter(|delivery| !delivery.is_tick())?;
    Some((delivery.event, serde_json::to_value(&delivery.view).ok()?))
}

/// A race as the room of a race shows it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct RoomRace {
    pub id: i64,
    pub meeting_id: String,
    pub race_number: i64,
    pub distance_m: i64,
    pub start_type: Option<String>,
    pub gait: Option<String>,
    pub weather: Option<String>,
    pub track_condition: Option<String>,
    pub race_datetime: Option<String>,
    pub venue: Option<String>,
    pub meeting_date: Option<String>,
}

/// Somebody who starts, as the room of a race shows them.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct RoomStarter {
    pub id: i64,
    pub horse_id: i64,
    pub horse_name: Option<String>,
    pub driver_id: Option<i64>,
    pub driver_name: Option<String>,
    pub trainer_id: Option<i64>,
    pub trainer_name: Option<String>,
    pub runner_number: Option<i64>,
    pub barrier: Option<i64>,
    pub handicap_m: Option<i64>,
    pub placing: Option<i64>,
    pub did_not_finish: bool,
}

/// A message to the room of a race; `seq` and `epoch` are missing from what is not in the log.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the contract explains each message")]
pub enum RoomMessage {
    InitialState {
        race_id: i64,
        data: Box<RoomState>,
    },
    OddsUpdate {
        race_id: i64,
        timestamp: Micros,
        odds: Vec<RoomOdds>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        simulated: bool,
    },
    ResultUpdate {
        race_id: i64,
        timestamp: Micros,
        results: Vec<RoomResult>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        simulated: bool,
    },
}

impl RoomMessage {
    /// The `type` it says.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InitialState { .. } => "initial_state",
            Self::OddsUpdate { .. } => "odds_update",
            Self::ResultUpdate { .. } => "result_update",
        }
    }
}

/// A race with those who start in it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct RoomState {
    pub race: RoomRace,
    pub starters: Vec<RoomStarter>,
    pub starter_count: usize,
}

/// What a horse pays.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct RoomOdds {
    pub horse_id: i64,
    pub odds: Mark,
}

/// Where a horse came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct RoomResult {
    pub horse_id: i64,
    pub placing: Option<i64>,
    pub finished: bool,
}

/// A race as its room is told when one comes.
#[must_use]
pub fn room_state(state: &State, race: &race::Model) -> RoomMessage {
    let meta: RaceMeta = serde_json::from_str(&race.meta).unwrap_or_default();
    let starter = |starter: &Starter| {
        let (row, detail) = (&starter.row, &starter.detail);
        let result = state.racing.result(&race.id, &row.id);
        RoomStarter {
            id: row.number,
            horse_id: starter.horse_id(),
            horse_name: detail.horse.as_ref().map_or_else(|| detail.name.clone(), |horse| horse.name.clone()),
            driver_id: detail.driver.as_ref().map(|driver| driver.id),
            driver_name: detail.driver.as_ref().and_then(|driver| driver.name.clone()),
            trainer_id: detail.trainer.as_ref().map(|trainer| trainer.id),
            trainer_name: detail.trainer.as_ref().and_then(|trainer| trainer.name.clone()),
            runner_number: row.bib,
            barrier: detail.barrier,
            handicap_m: detail.handicap_m,
            placing: result.and_then(|result| result.rank),
            did_not_finish: result.is_some_and(|result| result.status.is_some()),
        }
    };
    let mut starters: Vec<_> = state.starters_of(&race.id).map(|one| starter(one)).collect();
    starters.sort_by_key(|starter| (starter.runner_number.unwrap_or(i64::MAX), starter.id));
    let race_view = RoomRace {
        id: race.number,
        meeting_id: meta.meeting_id.unwrap_or_else(|| race.event_id.to_string()),
        race_number: meta.race_number.or(race.position).unwrap_or(race.number),
        distance_m: meta.distance_m.unwrap_or(0),
        start_type: meta.start_type,
        gait: meta.gait,
        weather: meta.weather,
        track_condition: meta.track_condition,
        race_datetime: race.start_time.clone(),
        venue: meta.venue,
        meeting_date: meta.meeting_date,
    };
    let data = RoomState { race: race_view, starter_count: starters.len(), starters };
    RoomMessage::InitialState { race_id: race.number, data: Box::new(data) }
}

/// The race in whose room a fact is told.
#[must_use]
pub fn race_of(fact: &Event) -> Option<&RaceId> {
    if let Event::OddsChanged(fact) = fact {
        return Some(&fact.race_id);
    }
    if let Event::ResultsChanged(fact) = fact { Some(&fact.race_id) } else { None }
}

/// What a public fact looks like in the room of a race, if it is one of that race. Results are always all there are:
/// nothing in the message could say who lost theirs.
#[must_use]
pub fn told_room(state: &State, entry: &LogEntry) -> Option<RoomMessage> {
    let race = race_of(&entry.event)?;
    let (race_id, timestamp) = (state.races.get(race)?.number, entry.at);
    if let Event::OddsChanged(fact) = &entry.event {
        let odds = fact.odds.iter().map(|line| RoomOdds { horse_id: line.horse_id, odds: line.odds }).collect();
        return Some(RoomMessage::OddsUpdate { race_id, timestamp, odds, simulated: false });
    }
    let result = |line: &race_result::Model| {
        let starter = state.starter(race, &line.participant_id)?;
        // On the course still, or not started: neither placed nor out.
        (line.rank.is_some() || line.status.is_some()).then_some(RoomResult {
            horse_id: starter.horse_id(),
            placing: line.rank,
            finished: line.status.is_none(),
        })
    };
    let mut results: Vec<_> = state.racing.results(race).filter_map(|line| result(line)).collect();
    results.sort_by_key(|result| (result.placing.unwrap_or(i64::MAX), result.horse_id));
    Some(RoomMessage::ResultUpdate { race_id, timestamp, results, simulated: false })
}

/// Somebody on an ergometer, over REST and in events.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct IndoorView {
    pub id: String,
    pub place: Option<i64>,
    pub time_display: String,
    pub time_ms: Option<i64>,
    pub distance: i64,
    pub avg_pace: String,
    pub spm: i64,
    pub calories: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Irm>,
    pub crew_id: Option<String>,
    pub crew: Option<CrewView>,
}

/// A crew on an ergometer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct CrewView {
    pub id: String,
    pub club_name: Option<String>,
    pub club_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<crate::state::detail::Label>,
}

/// Somebody on an ergometer. Who is no crew of ours goes without a name: nobody entered them.
#[must_use]
pub fn indoor(state: &State, row: &indoor_participant::Model) -> IndoorView {
    let measured: Measurement = serde_json::from_str(&row.detail).unwrap_or_default();
    let crew = state.starter(&row.race_id, &row.ergrace_id).map(|starter| CrewView {
        id: starter.row.id.clone(),
        club_name: starter.detail.club.as_ref().map(|club| club.name.clone()),
        club_code: starter.detail.club.as_ref().and_then(|club| club.code.clone()),
        category: starter.detail.category.clone(),
    });
    IndoorView {
        id: row.id.clone(),
        place: row.place,
        time_display: measured.time,
        time_ms: row.time_ms,
        distance: measured.distance,
        avg_pace: measured.avg_pace,
        spm: measured.spm,
        calories: measured.calories,
        status: row.status,
        crew_id: crew.as_ref().map(|crew| crew.id.clone()),
        crew,
    }
}

/// An event of the namespace `/live`: its name, the race whose room it goes to besides that of its event, its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveEvent {
    /// The name.
    pub event: &'static str,
    /// The race.
    pub race: Option<RaceId>,
    /// What it says.
    pub payload: Value,
}

fn status_update(race: &RaceId, phase: RacePhase) -> LiveEvent {
    let payload = json!({ "race_id": race, "status": phase });
    LiveEvent { event: "raceStatusUpdate", race: Some(race.clone()), payload }
}

fn final_update(race: &RaceId, who: &str, total_ms: Option<i64>, behind_ms: Option<i64>) -> LiveEvent {
    let payload = json!({
        "race_id": race, "crew_id": who,
        "final_time": total_ms.map(|ms| ms.to_string()), "relative_time_ms": behind_ms,
    });
    LiveEvent { event: "raceFinalUpdate", race: Some(race.clone()), payload }
}

/// What a public fact looks like on `/live`.
#[must_use]
pub fn told_live(state: &State, fact: &Event) -> Vec<LiveEvent> {
    if let Event::PublicChanged(fact) = fact {
        let moved = fact.races.iter().map(|race| status_update(&race.race_id, race.phase));
        let finals =
            fact.finals.iter().map(|one| final_update(&one.race_id, &one.participant_id, one.total_ms, one.behind_ms));
        return moved.chain(finals).collect();
    }
    if let Event::RaceStatusChanged(fact) = fact {
        return vec![status_update(&fact.race_id, fact.phase)];
    }
    if let Event::ResultsChanged(fact) = fact {
        let lines: BTreeMap<_, _> = fact.lines.iter().map(|line| (&line.participant_id, line)).collect();
        let bib = |id: &String| state.starter(&fact.race_id, id).map(|starter| starter.row.bib);
        let told = |id: &String| match lines.get(id) {
            Some(line) => Some(final_update(&fact.race_id, id, line.total_ms, line.behind_ms)),
            // What was said of them is taken back.
            None if bib(id).is_some_and(|bib| fact.removed.contains(&bib)) => {
                Some(final_update(&fact.race_id, id, None, None))
            }
            None => None,
        };
        return fact.finished.iter().filter_map(told).collect();
    }
    if let Event::SplitsPassed(fact) = fact {
        let told = |split: &super::event::SplitLine| LiveEvent {
            event: "raceIntermediateUpdate",
            race: Some(fact.race_id.clone()),
            payload: json!({
                "race_id": fact.race_id, "crew_id": split.participant_id, "timing_point_id": split.timing_point_id,
                "timing_point_label": split.label, "distance_m": split.distance_m,
                "time_ms": split.time_ms.to_string(), "relative_time_ms": split.relative_ms,
                "order_index": split.order_index,
            }),
        };
        return fact.splits.iter().map(told).collect();
    }
    if let Event::IndoorImported(fact) = fact {
        let payload = json!({
            "race_id": fact.race_id, "event_id": fact.event_id, "participants_count": fact.participants_count,
            "linked_crews_count": fact.linked_crews_count, "race_status": fact.phase,
        });
        return vec![LiveEvent { event: "indoorResultsImported", race: Some(fact.race_id.clone()), payload }];
    }
    if let Event::IndoorUpdated(fact) = fact {
        let row = state.racing.indoor(&fact.race_id).find(|row| row.id == fact.participant_id);
        let told = |row: &indoor_participant::Model| LiveEvent {
            event: "indoorParticipantUpdate",
            race: Some(fact.race_id.clone()),
            payload: json!({ "race_id": fact.race_id, "event_id": fact.event_id, "participant": indoor(state, row) }),
        };
        return row.map(|row| told(row)).into_iter().collect();
    }
    if let Event::IndoorCompleted(fact) = fact {
        let payload = json!({
            "race_id": fact.race_id, "event_id": fact.event_id, "total_participants": fact.total_participants,
            "race_status": fact.phase,
        });
        return vec![LiveEvent { event: "indoorRaceResultsComplete", race: Some(fact.race_id.clone()), payload }];
    }
    announced(fact).map(|(event, payload)| LiveEvent { event, race: None, payload }).into_iter().collect()
}
