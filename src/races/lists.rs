//! What a fact of the public lane says of start lists and results that changed otherwise than by a feed: an export came,
//! or the set-up is another. With it every list can be put together again as it stood.
//!
//! Invariant: whoever folds these and the results that came by a feed has the lists of the tables; names are not in them.

use crate::db::entity::indoor_participant;
use crate::events::event::{IndoorLine, PublicChanged, RaceLists, ResultLine, StarterLine};
use crate::ids::{EventId, RaceId};
use crate::state::detail::Measurement;
use crate::state::{Starter, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Lines of start lists and results one fact carries.
const LINES_MAX: usize = 5_000;

impl IndoorLine {
    /// Somebody on an ergometer as it stands in the table.
    #[must_use]
    pub fn of(row: &indoor_participant::Model) -> Self {
        let measured: Measurement = serde_json::from_str(&row.detail).unwrap_or_default();
        Self {
            id: row.id.clone(),
            ergrace_id: row.ergrace_id.clone(),
            place: row.place,
            time_ms: row.time_ms,
            status: row.status,
            time: measured.time,
            distance: measured.distance,
            avg_pace: measured.avg_pace,
            spm: measured.spm,
            calories: measured.calories,
        }
    }
}

/// The lists of an event at one moment; there are none while the public does not know it.
struct Lists<'a>(Option<&'a State>);

impl<'a> Lists<'a> {
    fn of(state: &'a State, event: &EventId) -> Self {
        Self(Some(state).filter(|state| state.is_public(event)))
    }

    /// Whether not even a row of a race is another one: so it is with nearly all of them, nearly always.
    fn shares(&self, other: &Self, race: &RaceId) -> bool {
        let (Some(one), Some(other)) = (self.0, other.0) else { return false };
        same(one.racing.results(race), other.racing.results(race))
            && same(one.starters_of(race), other.starters_of(race))
    }

    fn races(&self, event: &EventId) -> BTreeSet<RaceId> {
        self.0.into_iter().flat_map(|state| state.races_of(event)).map(|race| race.id.clone()).collect()
    }

    fn results(&self, race: &RaceId) -> BTreeMap<&'a str, ResultLine> {
        let rows = self.0.into_iter().flat_map(|state| state.racing.results(race));
        rows.map(|row| (row.participant_id.as_str(), ResultLine::of(row))).collect()
    }

    fn starters(&self, race: &RaceId) -> Vec<StarterLine> {
        let line = |starter: &Starter| StarterLine {
            participant_id: starter.row.id.clone(),
            bib: starter.row.bib,
            start_order: starter.detail.start_order,
            start_time: starter.detail.start_time.clone(),
            lane: starter.detail.lane,
        };
        self.0.into_iter().flat_map(|state| state.starters_of(race)).map(|starter| line(starter)).collect()
    }
}

fn same<'a, T: 'a>(one: impl Iterator<Item = &'a Arc<T>>, mut other: impl Iterator<Item = &'a Arc<T>>) -> bool {
    for row in one {
        if !other.next().is_some_and(|other| Arc::ptr_eq(row, other)) {
            return false;
        }
    }
    other.next().is_none()
}

/// What became another in a race.
fn between(before: &Lists<'_>, now: &Lists<'_>, race: &RaceId) -> RaceLists {
    let (was, is) = (before.results(race), now.results(race));
    let gone = was.iter().filter(|(id, line)| is.get(*id).is_none_or(|now| now.bib != line.bib));
    let removed: BTreeSet<Option<i64>> = gone.map(|(_, line)| line.bib).collect();
    // Who folds takes out by the bib alone: whoever wears it still is told again.
    let told = is.iter().filter(|(id, line)| was.get(*id) != Some(*line) || removed.contains(&line.bib));
    let starters = now.starters(race);
    // One by one from then on.
    let opened = now.0.filter(|_| before.0.is_none());
    let indoor = opened.into_iter().flat_map(|state| state.racing.indoor(race)).map(|row| IndoorLine::of(row));
    RaceLists {
        indoor: indoor.collect(),
        race_id: race.clone(),
        lines: told.map(|(_, line)| line.clone()).collect(),
        removed: removed.into_iter().collect(),
        starters: (starters != before.starters(race)).then_some(starters),
    }
}

/// The fact that more of an event than its status may have changed, with the lists that are another now. Races that find
/// no room in it are named.
#[must_use]
pub fn changed(before: &State, now: &State, event: &EventId) -> PublicChanged {
    let (was, is) = (Lists::of(before, event), Lists::of(now, event));
    let mut fact = PublicChanged::whole(event);
    let mut room = LINES_MAX;
    for race in was.races(event).union(&is.races(event)) {
        if was.shares(&is, race) {
            continue;
        }
        let lists = between(&was, &is, race);
        let RaceLists { lines, removed, starters, indoor, .. } = &lists;
        let size = lines.len() + removed.len() + indoor.len() + starters.as_ref().map_or(0, Vec::len);
        if size == 0 && starters.is_none() {
            continue;
        }
        if size > room {
            fact.left_out.push(race.clone());
        } else {
            room -= size;
            fact.lists.push(lists);
        }
    }
    fact
}
