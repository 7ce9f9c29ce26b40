//! Results and splits from the live feed of a timing computer.

use super::standing::{SECOND_RUN, dependent, settle};
use super::{Post, Skipped, timed};
use crate::command::{Decide, Draft};
use crate::db::entity::race_report::{self, Irm, Source};
use crate::db::entity::{race, race_split};
use crate::error::Refusal;
use crate::events::event::{Event, ResultsChanged, SplitLine, SplitsPassed};
use crate::events::log::Receipt;
use crate::ids::{EventId, RaceId};
use crate::state::State;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Most items of a post.
pub const ITEMS_MAX: usize = 2_000;
/// Most gates of a course.
const GATES_MAX: usize = 100;
/// Longest time, in hundredths of a second: a day.
const HUNDREDTHS_MAX: i64 = 8_640_000;
/// Most timing points of a race; and most in one item.
const SPLITS_MAX: usize = 100;
/// Farthest from zero that a timing point may stand in the order of its race.
const ORDER_MAX: i64 = 1_000_000;

/// Results from the live feed.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultsPost {
    /// The results; at most 2,000.
    #[schema(value_type = Vec<ResultItem>)]
    pub results: Vec<Value>,
}

/// The result of one racer. With neither a time, nor a place, nor a status, what the feed said before is taken back.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct ResultItem {
    pub race_id: String,
    /// Or `bib` alone.
    #[serde(default)]
    pub participant_id: Option<String>,
    #[serde(default)]
    pub bib: Option<i64>,
    /// Hundredths of a second.
    #[serde(default)]
    pub time: Option<i64>,
    /// Hundredths of a second.
    #[serde(default)]
    pub pen: Option<i64>,
    /// Hundredths of a second: time and penalties; of the second of two runs that of the better one.
    #[serde(default)]
    pub total: Option<i64>,
    /// The order at the finish, where nobody is timed.
    #[serde(default)]
    pub placing: Option<i64>,
    #[serde(default)]
    pub status: Option<Irm>,
    /// Penalty seconds, gate by gate; null where there is no word yet.
    #[serde(default)]
    pub gates: Option<Vec<Option<i64>>>,
    /// Timing points that were passed.
    #[serde(default)]
    pub splits: Vec<SplitItem>,
}

/// A timing point that was passed.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SplitItem {
    pub timing_point_id: String,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub distance_m: i64,
    /// Milliseconds from the start.
    pub time_ms: i64,
    #[serde(default)]
    pub order_index: i64,
}

/// Takes results from the live feed.
#[derive(Clone, Debug)]
pub struct IngestResults {
    /// The event they are of.
    pub event: EventId,
    /// The results; or what is wrong with those that cannot be read.
    items: Vec<Result<ResultItem, String>>,
}

impl IngestResults {
    /// Reads the results of a post, before it is anybody's turn. Of too many, which are refused, no more is read than shows
    /// it: nobody has asked yet whether the key may post so often.
    #[must_use]
    pub fn new(event: EventId, post: ResultsPost) -> Self {
        let read = |item| crate::command::parse(item).map_err(|wrong| wrong.to_string());
        Self { event, items: post.results.into_iter().take(ITEMS_MAX + 1).map(read).collect() }
    }
}

/// Which racer of which race an item is about.
pub(super) struct Racer {
    pub race: Arc<race::Model>,
    pub id: String,
}

/// Finds the racer an id or a bib means.
pub(super) fn racer_in(
    state: &State,
    event: &EventId,
    race: &str,
    id: Option<&str>,
    bib: Option<i64>,
) -> Result<Racer, String> {
    let race = state.race_in(event, race).cloned().ok_or_else(|| format!("race {race} does not exist"))?;
    let starter = match (id, bib) {
        (Some(id), _) => state.starter(&race.id, id).ok_or_else(|| format!("participant {id} does not exist"))?,
        (None, Some(bib)) => {
            let mut wearing = state.starters_of(&race.id).filter(|starter| starter.row.bib == Some(bib));
            match (wearing.next(), wearing.next()) {
                (Some(one), None) => one,
                (None, _) => return Err(format!("nobody wears bib {bib}")),
                (Some(_), Some(_)) => return Err(format!("several wear bib {bib}")),
            }
        }
        (None, None) => return Err("names no participant".to_owned()),
    };
    match (starter.row.bib, bib) {
        (Some(worn), Some(said)) if worn != said => {
            Err(format!("participant {} wears bib {worn}, not {said}", starter.row.id))
        }
        _ => Ok(Racer { id: starter.row.id.clone(), race }),
    }
}

/// Milliseconds from hundredths of a second.
fn millis(what: &str, hundredths: Option<i64>) -> Result<Option<i64>, String> {
    match hundredths {
        Some(value) if !(0..=HUNDREDTHS_MAX).contains(&value) => Err(format!("{what} is 0 to {HUNDREDTHS_MAX}")),
        value => Ok(value.map(|value| value * 10)),
    }
}

impl ResultItem {
    /// What it says, if it can be said of a race of this kind.
    fn report(&self, draft: &Draft, racer: &Racer) -> Result<Option<race_report::Model>, String> {
        let (time_ms, pen_ms) = (millis("time", self.time)?, millis("pen", self.pen)?);
        let said = millis("total", self.total)?;
        let sum = time_ms.map(|time| time + pen_ms.unwrap_or(0));
        let best_of_two = racer.race.race_type == SECOND_RUN;
        let total_ms = match (sum, said) {
            (Some(sum), Some(said)) if sum != said && !best_of_two => {
                return Err("total is not time and pen".to_owned());
            }
            // Of two runs the better one counts: the timing computer says which.
            (sum, said) => said.or(sum),
        };
        if self.placing.is_some_and(|place| !(1..=10_000).contains(&place)) {
            return Err("placing is 1 to 10000".to_owned());
        }
        if self.gates.as_ref().is_some_and(|gates| {
            gates.len() > GATES_MAX || gates.iter().flatten().any(|gate| !(0..=999).contains(gate))
        }) {
            return Err(format!("gates are at most {GATES_MAX} numbers of seconds, or null"));
        }
        if total_ms.is_none() && self.placing.is_none() && self.status.is_none() {
            return Ok(None);
        }
        let gates = self.gates.as_ref().map(serde_json::to_string).transpose().map_err(|wrong| wrong.to_string())?;
        Ok(Some(race_report::Model {
            race_id: racer.race.id.clone(),
            participant_id: racer.id.clone(),
            source: Source::Feed,
            at: draft.now,
            time_ms,
            pen_ms,
            // Who has not finished has no total, but for that of the other run.
            total_ms: total_ms.filter(|_| self.status.is_none() || best_of_two),
            placing: self.placing,
            status: self.status,
            gates,
        }))
    }

    fn splits(&self, racer: &Racer) -> Result<Vec<race_split::Model>, String> {
        if self.splits.len() > SPLITS_MAX {
            return Err(format!("more than {SPLITS_MAX} splits"));
        }
        let split = |split: &SplitItem| {
            let label = split.label.clone().unwrap_or_else(|| split.timing_point_id.clone());
            let short = |text: &str| (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
            if !short(&split.timing_point_id) || !short(&label) {
                return Err("a timing point has an id and a label of 1 to 100 characters".to_owned());
            }
            if !(0..=HUNDREDTHS_MAX * 10).contains(&split.time_ms) || !(0..=1_000_000).contains(&split.distance_m) {
                return Err(format!("timeMs is 0 to {}, distanceM 0 to 1000000", HUNDREDTHS_MAX * 10));
            }
            if !(-ORDER_MAX..=ORDER_MAX).contains(&split.order_index) {
                return Err(format!("orderIndex is -{ORDER_MAX} to {ORDER_MAX}"));
            }
            Ok(race_split::Model {
                race_id: racer.race.id.clone(),
                participant_id: racer.id.clone(),
                timing_point_id: split.timing_point_id.clone(),
                label,
                distance_m: split.distance_m,
                time_ms: split.time_ms,
                order_index: split.order_index,
            })
        };
        self.splits.iter().map(split).collect()
    }
}

/// Who passed each timing point of a race, the fastest first. Read once a post: asked for every split, the table itself
/// would be walked as often as there are splits.
struct Clocks(HashMap<String, BTreeSet<(i64, String)>>);

impl Clocks {
    fn of(state: &State, race: &RaceId) -> Self {
        let mut clocks: HashMap<String, BTreeSet<(i64, String)>> = HashMap::new();
        for split in state.racing.splits(race) {
            let passed = (split.time_ms, split.participant_id.clone());
            clocks.entry(split.timing_point_id.clone()).or_default().insert(passed);
        }
        Self(clocks)
    }

    fn must_have_room_for(&self, splits: &[race_split::Model]) -> Result<(), String> {
        let new: BTreeSet<&str> = splits.iter().map(|split| &*split.timing_point_id).collect();
        let new = new.iter().filter(|point| !self.0.contains_key(**point)).count();
        if new > 0 && self.0.len() + new > SPLITS_MAX {
            return Err(format!("a race has at most {SPLITS_MAX} timing points"));
        }
        Ok(())
    }

    /// Notes that somebody passed; how fast the fastest of the others was there.
    fn pass(&mut self, split: &race_split::Model, before: Option<i64>) -> Option<i64> {
        let passed = self.0.entry(split.timing_point_id.clone()).or_default();
        if let Some(before) = before {
            passed.remove(&(before, split.participant_id.clone()));
        }
        let fastest = passed.first().map(|(time_ms, _)| *time_ms);
        passed.insert((split.time_ms, split.participant_id.clone()));
        fastest
    }
}

/// What a post changes, race by race.
#[derive(Default)]
struct News {
    finished: BTreeMap<RaceId, BTreeSet<String>>,
    splits: BTreeMap<RaceId, Vec<SplitLine>>,
    clocks: HashMap<RaceId, Clocks>,
}

impl News {
    fn take(&mut self, draft: &mut Draft, event: &EventId, item: &ResultItem) -> Result<(), String> {
        let racer = racer_in(&draft.state, event, &item.race_id, item.participant_id.as_deref(), item.bib)?;
        // Both are read before anything is put: an item is taken whole or not at all.
        let (report, splits) = (item.report(draft, &racer)?, item.splits(&racer)?);
        self.put_splits(draft, &racer.race.id, splits)?;
        let before = draft.state.racing.report(&racer.race.id, &racer.id, Source::Feed).cloned();
        match (before, report) {
            // A timing point alone takes no result back.
            (_, None) if !item.splits.is_empty() => return Ok(()),
            (None, None) => return Ok(()),
            (Some(before), None) => draft.remove(before.as_ref().clone()),
            (Some(before), Some(report)) if race_report::Model { at: before.at, ..report.clone() } == *before => {
                return Ok(());
            }
            (_, Some(report)) => draft.put(report),
        }
        self.finished.entry(racer.race.id.clone()).or_default().insert(racer.id);
        Ok(())
    }

    fn put_splits(&mut self, draft: &mut Draft, race: &RaceId, splits: Vec<race_split::Model>) -> Result<(), String> {
        if splits.is_empty() {
            return Ok(());
        }
        let clocks = self.clocks.entry(race.clone()).or_insert_with(|| Clocks::of(&draft.state, race));
        clocks.must_have_room_for(&splits)?;
        for split in splits {
            let known = draft.state.racing.split(race, &split.participant_id, &split.timing_point_id);
            if known.is_some_and(|known| **known == split) {
                continue;
            }
            let fastest = clocks.pass(&split, known.map(|known| known.time_ms));
            self.splits.entry(race.clone()).or_default().push(SplitLine {
                participant_id: split.participant_id.clone(),
                timing_point_id: split.timing_point_id.clone(),
                label: split.label.clone(),
                distance_m: split.distance_m,
                time_ms: split.time_ms,
                relative_ms: fastest.map(|fastest| split.time_ms - fastest),
                order_index: split.order_index,
            });
            draft.put(split);
        }
        Ok(())
    }

    fn append(self, draft: &mut Draft, event: &EventId) -> Option<Receipt> {
        let mut receipt = None;
        for (race_id, splits) in self.splits {
            receipt =
                Some(draft.append(Event::SplitsPassed(SplitsPassed { event_id: event.clone(), race_id, splits })));
        }
        let races: BTreeSet<RaceId> = self.finished.keys().flat_map(|race| dependent(&draft.state, race)).collect();
        for race_id in races {
            let settled = settle(draft, &race_id);
            if settled.is_empty() {
                continue;
            }
            let finished: Vec<String> = self.finished.get(&race_id).into_iter().flatten().cloned().collect();
            let fact = ResultsChanged {
                event_id: event.clone(),
                race_id,
                lines: settled.lines,
                removed: settled.removed,
                finished,
            };
            receipt = Some(draft.append(Event::ResultsChanged(fact)));
        }
        receipt
    }
}

impl Decide for IngestResults {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let event = timed(draft, &self.event)?;
        Post::Results.must_be_taken(Some(event), &self.event)?;
        if self.items.len() > ITEMS_MAX {
            return Err(Refusal::TooLarge { what: "results in a post", max: ITEMS_MAX });
        }
        let (mut accepted, mut skipped, mut news) = (0, Vec::new(), News::default());
        for (index, item) in self.items.iter().enumerate() {
            match item.as_ref().map_err(Clone::clone).and_then(|item| news.take(draft, &self.event, item)) {
                Ok(()) => accepted += 1,
                Err(reason) => skipped.push(Skipped::new(format!("results[{index}]"), reason)),
            }
        }
        let receipt = news.append(draft, &self.event);
        Ok(json!({ "accepted": accepted, "skipped": skipped, "receipt": receipt }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_results_no_more_are_read_than_show_it() {
        let read = |count| {
            let post = ResultsPost { results: vec![Value::Null; count] };
            IngestResults::new("cup".parse().expect("an id"), post).items.len()
        };
        assert_eq!(read(ITEMS_MAX), ITEMS_MAX);
        assert_eq!(read(1_000_000), ITEMS_MAX + 1);
    }
}
