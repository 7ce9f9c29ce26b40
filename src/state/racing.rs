//! What is known of races beside who starts in them: classes, what timing reported, what it comes to, and who may report.

use crate::db::entity::race_report::Source;
use crate::db::entity::{api_key, indoor_participant, indoor_race, race_class, race_report, race_result, race_split};
use crate::db::row::Row;
use crate::ids::{ApiKeyId, EventId, RaceId};
use imbl::{HashMap, OrdMap};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Everything timing has to do with.
#[derive(Clone, Debug, Default)]
pub struct Racing {
    classes: HashMap<EventId, OrdMap<String, Arc<race_class::Model>>>,
    reports: HashMap<RaceId, OrdMap<(String, Source), Arc<race_report::Model>>>,
    results: HashMap<RaceId, OrdMap<String, Arc<race_result::Model>>>,
    splits: HashMap<RaceId, OrdMap<(String, String), Arc<race_split::Model>>>,
    indoor_races: HashMap<RaceId, Arc<indoor_race::Model>>,
    indoor: HashMap<RaceId, OrdMap<String, Arc<indoor_participant::Model>>>,
    /// Keys of timing software, ended ones too.
    pub keys: OrdMap<ApiKeyId, Arc<api_key::Model>>,
    keys_by_hash: HashMap<String, ApiKeyId>,
}

impl Racing {
    /// The classes of an event, in the order they were given.
    #[must_use]
    pub fn classes(&self, event: &EventId) -> Vec<&Arc<race_class::Model>> {
        let mut classes: Vec<_> = self.classes.get(event).into_iter().flat_map(OrdMap::values).collect();
        classes.sort_by_key(|class| class.position);
        classes
    }

    /// What each source says of each racer of a race.
    pub fn reports(&self, race: &RaceId) -> impl Iterator<Item = &Arc<race_report::Model>> {
        self.reports.get(race).into_iter().flat_map(OrdMap::values)
    }

    /// What one source says of a racer.
    #[must_use]
    pub fn report(&self, race: &RaceId, participant: &str, source: Source) -> Option<&Arc<race_report::Model>> {
        self.reports.get(race)?.get(&(participant.to_owned(), source))
    }

    /// The results of a race, by racer.
    pub fn results(&self, race: &RaceId) -> impl Iterator<Item = &Arc<race_result::Model>> {
        self.results.get(race).into_iter().flat_map(OrdMap::values)
    }

    /// The result of a racer.
    #[must_use]
    pub fn result(&self, race: &RaceId, participant: &str) -> Option<&Arc<race_result::Model>> {
        self.results.get(race)?.get(participant)
    }

    /// When who passed which timing point of a race.
    pub fn splits(&self, race: &RaceId) -> impl Iterator<Item = &Arc<race_split::Model>> {
        self.splits.get(race).into_iter().flat_map(OrdMap::values)
    }

    /// When somebody passed a timing point.
    #[must_use]
    pub fn split(&self, race: &RaceId, participant: &str, point: &str) -> Option<&Arc<race_split::Model>> {
        self.splits.get(race)?.get(&(participant.to_owned(), point.to_owned()))
    }

    /// A race on ergometers.
    #[must_use]
    pub fn indoor_race(&self, race: &RaceId) -> Option<&Arc<indoor_race::Model>> {
        self.indoor_races.get(race)
    }

    /// The races on ergometers.
    pub fn indoor_races(&self) -> impl Iterator<Item = &Arc<indoor_race::Model>> {
        self.indoor_races.values()
    }

    /// Those on the ergometers of a race, by id.
    pub fn indoor(&self, race: &RaceId) -> impl Iterator<Item = &Arc<indoor_participant::Model>> {
        self.indoor.get(race).into_iter().flat_map(OrdMap::values)
    }

    /// The racers timing has told anything of.
    #[must_use]
    pub fn timed(&self, race: &RaceId) -> BTreeSet<&str> {
        let timed = self.reports(race).map(|report| report.participant_id.as_str());
        let timed = timed.chain(self.results(race).map(|result| result.participant_id.as_str()));
        let timed = timed.chain(self.splits(race).map(|split| split.participant_id.as_str()));
        // An ergometer knows a crew by the crew's id.
        timed.chain(self.indoor(race).map(|measured| measured.ergrace_id.as_str())).collect()
    }

    /// The key with a hash.
    #[must_use]
    pub fn key_with_hash(&self, hash: &str) -> Option<&Arc<api_key::Model>> {
        self.keys.get(self.keys_by_hash.get(hash)?)
    }

    /// Folds a row in; whether it was one of these.
    pub(super) fn put(&mut self, row: &Row) -> bool {
        if let Row::RaceClass(row) = row {
            self.classes.entry(row.event_id.clone()).or_default().insert(row.id.clone(), Arc::new(row.clone()));
        } else if let Row::RaceReport(row) = row {
            let key = (row.participant_id.clone(), row.source);
            self.reports.entry(row.race_id.clone()).or_default().insert(key, Arc::new(row.clone()));
        } else if let Row::RaceResult(row) = row {
            let results = self.results.entry(row.race_id.clone()).or_default();
            results.insert(row.participant_id.clone(), Arc::new(row.clone()));
        } else if let Row::RaceSplit(row) = row {
            let key = (row.participant_id.clone(), row.timing_point_id.clone());
            self.splits.entry(row.race_id.clone()).or_default().insert(key, Arc::new(row.clone()));
        } else if let Row::IndoorRace(row) = row {
            self.indoor_races.insert(row.race_id.clone(), Arc::new(row.clone()));
        } else if let Row::IndoorParticipant(row) = row {
            self.indoor.entry(row.race_id.clone()).or_default().insert(row.id.clone(), Arc::new(row.clone()));
        } else if let Row::ApiKey(row) = row {
            self.keys_by_hash.insert(row.hash.clone(), row.id.clone());
            self.keys.insert(row.id.clone(), Arc::new(row.clone()));
        } else {
            return false;
        }
        true
    }

    /// Takes a row out; whether it was one of these.
    pub(super) fn drop_row(&mut self, row: &Row) -> bool {
        if let Row::RaceClass(row) = row {
            self.classes.get_mut(&row.event_id).map(|classes| classes.remove(&row.id));
        } else if let Row::RaceReport(row) = row {
            let key = (row.participant_id.clone(), row.source);
            self.reports.get_mut(&row.race_id).map(|reports| reports.remove(&key));
        } else if let Row::RaceResult(row) = row {
            self.results.get_mut(&row.race_id).map(|results| results.remove(&row.participant_id));
        } else if let Row::RaceSplit(row) = row {
            let key = (row.participant_id.clone(), row.timing_point_id.clone());
            self.splits.get_mut(&row.race_id).map(|splits| splits.remove(&key));
        } else if let Row::IndoorRace(row) = row {
            self.indoor_races.remove(&row.race_id);
        } else if let Row::IndoorParticipant(row) = row {
            self.indoor.get_mut(&row.race_id).map(|indoor| indoor.remove(&row.id));
        } else if let Row::ApiKey(row) = row {
            self.keys_by_hash.remove(&row.hash);
            self.keys.remove(&row.id);
        } else {
            return false;
        }
        true
    }

    /// Every row there is of a race.
    #[must_use]
    pub fn rows_of(&self, race: &RaceId) -> Vec<Row> {
        let rows = self.reports(race).map(|row| Row::from(row.as_ref().clone()));
        let rows = rows.chain(self.results(race).map(|row| Row::from(row.as_ref().clone())));
        let rows = rows.chain(self.splits(race).map(|row| Row::from(row.as_ref().clone())));
        let rows = rows.chain(self.indoor_race(race).map(|row| Row::from(row.as_ref().clone())));
        rows.chain(self.indoor(race).map(|row| Row::from(row.as_ref().clone()))).collect()
    }

    /// Forgets what is known of a race, before it is read again.
    pub(super) fn forget(&mut self, race: &RaceId) {
        self.reports.remove(race);
        self.results.remove(race);
        self.splits.remove(race);
        self.indoor_races.remove(race);
        self.indoor.remove(race);
    }

    /// Forgets the classes and keys of an event, before they are read again.
    pub(super) fn forget_event(&mut self, event: &EventId) {
        self.classes.remove(event);
        let keys: Vec<_> = self.keys.values().filter(|key| key.event_id == *event).cloned().collect();
        for key in keys {
            self.keys_by_hash.remove(&key.hash);
            self.keys.remove(&key.id);
        }
    }
}
