//! How the races of an event stood: the facts of its public lane up to a place, folded again.
//!
//! Invariant: who may see it is a matter of now, and names are those of now; who started, and what it came to, is that of
//! then.

use crate::clock::Micros;
use crate::db::entity::event::EventStatus;
use crate::db::entity::race_report::Source;
use crate::db::entity::{indoor_participant, race_participant, race_result};
use crate::db::row::Row;
use crate::error::Refusal;
use crate::events::event::{Event, IndoorLine, RaceLists, ResultLine, StarterLine};
use crate::ids::{EventId, RaceId};
use crate::state::State;
use crate::state::detail::{Measurement, ParticipantSpec};
use std::collections::{BTreeMap, BTreeSet};

/// The lists of a race.
#[derive(Debug, Default)]
struct Lists {
    lines: BTreeMap<String, ResultLine>,
    starters: Vec<StarterLine>,
    indoor: BTreeMap<String, IndoorLine>,
    /// Something of it found no room in the log.
    left_out: bool,
}

impl Lists {
    /// As whoever folds the feed does: by the bib.
    fn take(&mut self, lines: &[ResultLine], removed: &[Option<i64>]) {
        self.lines.retain(|_, line| !removed.contains(&line.bib));
        for line in lines {
            // A bib that is somebody else's now is not told as gone.
            self.lines.retain(|_, worn| worn.bib.is_none() || worn.bib != line.bib);
            self.lines.insert(line.participant_id.clone(), line.clone());
        }
    }

    fn measure<'a>(&mut self, lines: impl IntoIterator<Item = &'a IndoorLine>) {
        self.indoor.extend(lines.into_iter().map(|line| (line.id.clone(), line.clone())));
    }
}

/// The races of an event, as far as they were folded.
#[derive(Debug, Default)]
pub struct PastRaces(BTreeMap<RaceId, Lists>);

impl PastRaces {
    /// Folds a fact of the public lane in.
    pub fn apply(&mut self, fact: &Event) {
        if let Event::PublicChanged(fact) = fact {
            // What was told before is told again when the draft is opened.
            if fact.status == Some(EventStatus::Draft) {
                self.0.clear();
            }
            for RaceLists { race_id, lines, removed, starters, indoor } in &fact.lists {
                let lists = self.0.entry(race_id.clone()).or_default();
                lists.take(lines, removed);
                lists.measure(indoor);
                if let Some(starters) = starters {
                    lists.starters.clone_from(starters);
                }
            }
            for race in &fact.left_out {
                self.0.entry(race.clone()).or_default().left_out = true;
            }
        } else if let Event::ResultsChanged(fact) = fact {
            self.0.entry(fact.race_id.clone()).or_default().take(&fact.lines, &fact.removed);
        } else if let Event::IndoorImported(fact) = fact {
            self.0.entry(fact.race_id.clone()).or_default().measure(&fact.lines);
        } else if let Event::IndoorUpdated(fact) = fact {
            self.0.entry(fact.race_id.clone()).or_default().measure(fact.line.as_deref());
        }
    }

    /// Passes a race whose lists are whole in the log.
    ///
    /// # Errors
    /// `STATE`.
    pub fn must_tell(&self, race: &RaceId) -> Result<(), Refusal> {
        if self.0.get(race).is_some_and(|lists| lists.left_out) {
            return Err(Refusal::State(format!("race {race} was too large to be kept in the log as it stood")));
        }
        Ok(())
    }

    /// The state in which the races of the event stand like this.
    ///
    /// # Errors
    /// `INTERNAL`; lists are plain data, so there is no way to it.
    pub fn state(self, now: &State, event: &EventId) -> Result<State, Refusal> {
        let mut state = now.clone();
        let races: BTreeSet<RaceId> = now.races_of(event).into_iter().map(|race| race.id.clone()).collect();
        for race in races {
            let lists = self.0.get(&race);
            let software = state.racing.indoor_race(&race).cloned();
            state.racing.forget(&race);
            state.starters.remove(&race);
            if let Some(software) = software {
                state.put(&Row::from(software.as_ref().clone()));
            }
            for line in lists.into_iter().flat_map(|lists| lists.indoor.values()) {
                state.put(&Row::from(indoor_row(&race, line)?));
            }
            for line in lists.into_iter().flat_map(|lists| lists.lines.values()) {
                state.put(&Row::from(result_row(&race, line)?));
            }
            for line in lists.into_iter().flat_map(|lists| &lists.starters) {
                state.put(&Row::from(starter_row(now, &race, line)?));
            }
        }
        Ok(state)
    }
}

fn result_row(race: &RaceId, line: &ResultLine) -> Result<race_result::Model, Refusal> {
    let gates = line.gates.as_ref().map(crate::command::to_value).transpose()?;
    Ok(race_result::Model {
        race_id: race.clone(),
        participant_id: line.participant_id.clone(),
        // Nobody is shown where it came from, or when.
        source: Source::Feed,
        at: Micros(0),
        bib: line.bib,
        rank: line.rank,
        category_rank: line.category_rank,
        time_ms: line.time_ms,
        pen_ms: line.pen_ms,
        total_ms: line.total_ms,
        behind_ms: line.behind_ms,
        status: line.status,
        gates: gates.map(|gates| gates.to_string()),
    })
}

fn indoor_row(race: &RaceId, line: &IndoorLine) -> Result<indoor_participant::Model, Refusal> {
    let measured = Measurement {
        time: line.time.clone(),
        distance: line.distance,
        avg_pace: line.avg_pace.clone(),
        spm: line.spm,
        calories: line.calories,
        ..Measurement::default()
    };
    Ok(indoor_participant::Model {
        race_id: race.clone(),
        id: line.id.clone(),
        ergrace_id: line.ergrace_id.clone(),
        place: line.place,
        time_ms: line.time_ms,
        status: line.status,
        detail: crate::command::to_value(measured)?.to_string(),
    })
}

fn starter_row(now: &State, race: &RaceId, line: &StarterLine) -> Result<race_participant::Model, Refusal> {
    let known = now.starter(race, &line.participant_id);
    let named = || ParticipantSpec::named(&line.participant_id);
    let spec = ParticipantSpec {
        bib: line.bib,
        start_order: line.start_order,
        start_time: line.start_time.clone(),
        lane: line.lane,
        ..known.map_or_else(named, |known| known.detail.clone())
    };
    Ok(race_participant::Model {
        race_id: race.clone(),
        id: line.participant_id.clone(),
        number: known.map_or(0, |known| known.row.number),
        bib: line.bib,
        detail: crate::command::to_value(spec)?.to_string(),
    })
}
