//! What decisions are made on: the rows that matter, folded into memory.
//!
//! Invariants: the state is the fold of [`Row`]s and of nothing else; a clone costs O(1) and shares everything, so a
//! batch that is not committed is dropped as a whole, and readers hold a snapshot that never changes.

pub mod board;
pub mod detail;
pub mod load;
pub mod past;
pub mod racing;
pub mod rights;

use crate::db::entity::{
    assignment, cassette, category, contest, contest_lock, contestant, criterion, entry, event, notification, race,
    race_participant, session, user,
};
use crate::db::row::{Change, Row};
use crate::error::Refusal;
use crate::events::log::{LaneHead, LogHead};
use crate::events::room::Lane;
use crate::ids::{
    AssignmentId, CategoryId, ContestId, ContestantId, CriterionId, EventId, MarkId, RaceId, SessionId, UserId,
};
use crate::ranking::{Decimal, Mark, Rules};
use board::Board;
use detail::ParticipantSpec;
use imbl::{HashMap, OrdMap, OrdSet};
use racing::Racing;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A criterion, ready to be marked by.
#[derive(Clone, Debug)]
pub struct Criterion {
    /// The row.
    pub row: criterion::Model,
    /// Smallest mark.
    pub min: Mark,
    /// Largest mark.
    pub max: Mark,
    /// Distance between marks.
    pub step: Mark,
    /// Weight in the total.
    pub weight: Decimal,
}

/// A category, ready to be judged and ranked.
#[derive(Clone, Debug)]
pub struct Category {
    /// The row.
    pub row: category::Model,
    /// The event it belongs to.
    pub event_id: EventId,
    /// How it is ranked.
    pub rules: Rules,
    /// What is marked.
    pub criteria: OrdMap<CriterionId, Arc<Criterion>>,
    /// Who is marked.
    pub entries: OrdMap<ContestantId, Arc<entry::Model>>,
    /// Who of them has withdrawn.
    pub withdrawn: OrdSet<ContestantId>,
}

impl Category {
    /// The criteria in the order the organiser gave them.
    #[must_use]
    pub fn criteria_in_order(&self) -> Vec<&Arc<Criterion>> {
        let mut criteria: Vec<_> = self.criteria.values().collect();
        criteria.sort_by_key(|criterion| criterion.row.position);
        criteria
    }
}

/// Somebody who starts in a race.
#[derive(Clone, Debug, PartialEq)]
pub struct Starter {
    /// The row.
    pub row: race_participant::Model,
    /// What it holds.
    pub detail: ParticipantSpec,
}

impl Starter {
    /// The horse, for the race feed, where a number is never missing; who has no horse runs by themselves.
    #[must_use]
    pub fn horse_id(&self) -> i64 {
        self.detail.horse.as_ref().map_or(self.row.number, |horse| horse.id)
    }
}

/// The numbers of those who start in a race.
#[derive(Debug)]
pub struct StarterNumbers {
    known: std::collections::HashMap<String, i64>,
    taken: BTreeSet<i64>,
}

impl StarterNumbers {
    /// The number of a starter: a known one keeps it; a new one has the number their id is, if that is one and free.
    pub fn of(&mut self, id: &str) -> i64 {
        if let Some(known) = self.known.get(id) {
            return *known;
        }
        let own = id.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number) && !self.taken.contains(number));
        let number = own.unwrap_or_else(|| self.free());
        self.taken.insert(number);
        self.known.insert(id.to_owned(), number);
        number
    }

    /// One after the largest; where there is nothing after it, the smallest that is free.
    fn free(&self) -> i64 {
        let last = self.taken.last().copied().unwrap_or(0).max(0);
        if last < NUMBER_MAX {
            return last + 1;
        }
        (1..NUMBER_MAX).find(|number| !self.taken.contains(number)).unwrap_or(NUMBER_MAX)
    }
}

/// A snapshot of everything decisions need.
#[derive(Clone, Debug)]
pub struct State {
    /// The end of the log.
    pub head: LogHead,
    /// Where each lane ends.
    pub lanes: HashMap<Lane, LaneHead>,
    /// Everybody who may sign in.
    pub users: OrdMap<UserId, Arc<user::Model>>,
    /// Users by their email, lower case.
    pub emails: HashMap<String, UserId>,
    /// Sessions that may still be used, and ended ones until the next start.
    pub sessions: HashMap<SessionId, Arc<session::Model>>,
    /// Competitions.
    pub events: OrdMap<EventId, Arc<event::Model>>,
    /// Contests.
    pub contests: OrdMap<ContestId, Arc<contest::Model>>,
    /// Categories.
    pub categories: OrdMap<CategoryId, Arc<Category>>,
    /// Contestants of the whole installation.
    pub contestants: OrdMap<ContestantId, Arc<contestant::Model>>,
    /// Every hat ever given.
    pub assignments: OrdMap<AssignmentId, Arc<assignment::Model>>,
    /// Hats by who wears or wore them.
    pub hats_of: HashMap<UserId, OrdSet<AssignmentId>>,
    /// Hats by the event they are on or below.
    pub hats_in: HashMap<EventId, OrdSet<AssignmentId>>,
    /// Races.
    pub races: OrdMap<RaceId, Arc<race::Model>>,
    /// Who starts in them.
    pub starters: OrdMap<RaceId, OrdMap<String, Arc<Starter>>>,
    /// Races by the integer the race feed knows them by.
    pub race_numbers: OrdMap<i64, RaceId>,
    /// Races by their event.
    pub races_in: HashMap<EventId, OrdSet<RaceId>>,
    /// What timing has to do with.
    pub racing: Racing,
    /// Recordings, by name.
    pub cassettes: OrdMap<String, Arc<cassette::Model>>,
    /// Contests nothing may be written below.
    pub locks: OrdMap<ContestId, Arc<contest_lock::Model>>,
    /// Notices, by user; their ids sort by time.
    pub notices: HashMap<UserId, OrdMap<String, Arc<notification::Model>>>,
    /// Which category a decision is about.
    pub decided_in: HashMap<String, CategoryId>,
    /// In which categories a mark with this id was entered for its judge and waits to be confirmed.
    pub unconfirmed: HashMap<MarkId, OrdSet<CategoryId>>,
    /// The marks of the categories in use. Shared: a decision about one of them copies no other.
    pub boards: HashMap<CategoryId, Arc<Board>>,
}

/// Largest number of a race or starter: as large as a number of JSON may be without losing digits on the way.
pub const NUMBER_MAX: i64 = 9_007_199_254_740_991;

/// A number of the database as a mark. What is there was checked when it was written.
#[must_use]
pub fn thousandths(number: i64) -> Mark {
    Mark::from_thousandths(number).unwrap_or(Mark::ZERO)
}

impl State {
    /// The state of an empty database.
    #[must_use]
    pub fn empty(head: LogHead) -> Self {
        Self {
            head,
            lanes: HashMap::new(),
            users: OrdMap::new(),
            emails: HashMap::new(),
            sessions: HashMap::new(),
            events: OrdMap::new(),
            contests: OrdMap::new(),
            categories: OrdMap::new(),
            contestants: OrdMap::new(),
            assignments: OrdMap::new(),
            hats_of: HashMap::new(),
            hats_in: HashMap::new(),
            races: OrdMap::new(),
            starters: OrdMap::new(),
            race_numbers: OrdMap::new(),
            races_in: HashMap::new(),
            racing: Racing::default(),
            cassettes: OrdMap::new(),
            locks: OrdMap::new(),
            notices: HashMap::new(),
            decided_in: HashMap::new(),
            unconfirmed: HashMap::new(),
            boards: HashMap::new(),
        }
    }

    /// Folds a change in.
    pub fn apply(&mut self, change: &Change) {
        let (Change::Put(row) | Change::Drop(row)) = change;
        if let Some(category) = row.board() {
            // A board that is not loaded stays so: it will be read whole when it is first needed.
            if let Some(board) = self.boards.get_mut(category) {
                Arc::make_mut(board).apply(change);
            }
            if let Row::Decision(decision) = row {
                self.decided_in.insert(decision.id.clone(), decision.category_id.clone());
            }
            if let Row::Mark(mark) = row {
                self.set_unconfirmed(&mark.id, &mark.category_id, mark.waits());
            }
            return;
        }
        match change {
            Change::Put(row) => self.put(row),
            Change::Drop(row) => self.drop_row(row),
        }
    }

    fn set_unconfirmed(&mut self, mark: &MarkId, category: &CategoryId, waits: bool) {
        let known = self.unconfirmed.get(mark).is_some_and(|categories| categories.contains(category));
        if known == waits {
            return;
        }
        let mut categories = self.unconfirmed.remove(mark).unwrap_or_default();
        if waits {
            categories.insert(category.clone());
        } else {
            categories.remove(category);
        }
        if !categories.is_empty() {
            self.unconfirmed.insert(mark.clone(), categories);
        }
    }

    /// Forgets which marks of a category wait to be confirmed, before they are read again.
    fn forget_unconfirmed(&mut self, category: &CategoryId) {
        let marks: Vec<MarkId> = self.unconfirmed.keys().cloned().collect();
        for mark in marks {
            self.set_unconfirmed(&mark, category, false);
        }
    }

    /// Folds a row in.
    pub fn put(&mut self, row: &Row) {
        if self.racing.put(row) {
            return;
        }
        match row {
            Row::User(user) => {
                if let Some(before) = self.users.insert(user.id.clone(), Arc::new(user.clone()))
                    && before.email != user.email
                {
                    self.emails.remove(&before.email);
                }
                self.emails.insert(user.email.clone(), user.id.clone());
            }
            Row::Session(session) => {
                self.sessions.insert(session.id.clone(), Arc::new(session.clone()));
            }
            Row::Event(event) => {
                self.events.insert(event.id.clone(), Arc::new(event.clone()));
            }
            Row::Contest(contest) => {
                self.contests.insert(contest.id.clone(), Arc::new(contest.clone()));
            }
            Row::Category(category) => self.put_category(category),
            Row::Criterion(criterion) => {
                if let Some(category) = self.categories.get_mut(&criterion.category_id) {
                    let ready = Criterion {
                        row: criterion.clone(),
                        min: thousandths(criterion.min),
                        max: thousandths(criterion.max),
                        step: thousandths(criterion.step),
                        weight: criterion.weight.parse().unwrap_or_else(|_| Decimal::one()),
                    };
                    Arc::make_mut(category).criteria.insert(criterion.id.clone(), Arc::new(ready));
                }
            }
            Row::Entry(entry) => {
                if let Some(category) = self.categories.get_mut(&entry.category_id) {
                    let category = Arc::make_mut(category);
                    if entry.withdrawn {
                        category.withdrawn.insert(entry.contestant_id.clone());
                    } else {
                        category.withdrawn.remove(&entry.contestant_id);
                    }
                    category.entries.insert(entry.contestant_id.clone(), Arc::new(entry.clone()));
                }
            }
            Row::Contestant(contestant) => {
                self.contestants.insert(contestant.id.clone(), Arc::new(contestant.clone()));
            }
            Row::Assignment(assignment) => {
                self.hats_of.entry(assignment.user_id.clone()).or_default().insert(assignment.id.clone());
                self.hats_in.entry(assignment.event_id.clone()).or_default().insert(assignment.id.clone());
                self.assignments.insert(assignment.id.clone(), Arc::new(assignment.clone()));
            }
            Row::Race(race) => {
                if let Some(before) = self.races.insert(race.id.clone(), Arc::new(race.clone()))
                    && before.number != race.number
                {
                    self.race_numbers.remove(&before.number);
                }
                self.race_numbers.insert(race.number, race.id.clone());
                self.races_in.entry(race.event_id.clone()).or_default().insert(race.id.clone());
            }
            Row::Lane(lane) => {
                if let Ok(name) = lane.name.parse() {
                    self.lanes.insert(name, LaneHead { seq: lane.seq, hash: lane.hash.as_str().into() });
                }
            }
            Row::LogHead(head) => {
                self.head =
                    LogHead { seq: head.seq, hash: head.hash.as_str().into(), epoch: head.epoch.as_str().into() };
            }
            Row::Cassette(cassette) => {
                self.cassettes.insert(cassette.name.clone(), Arc::new(cassette.clone()));
            }
            Row::ContestLock(lock) => {
                self.locks.insert(lock.contest_id.clone(), Arc::new(lock.clone()));
            }
            Row::Notification(notice) => {
                let notices = self.notices.entry(notice.user_id.clone()).or_default();
                notices.insert(notice.id.clone(), Arc::new(notice.clone()));
            }
            Row::RaceParticipant(starter) => {
                let detail = serde_json::from_str(&starter.detail).unwrap_or_else(|wrong| {
                    tracing::error!(%wrong, race = %starter.race_id, "what is known of a starter cannot be read");
                    ParticipantSpec::named(&starter.id)
                });
                let starters = self.starters.entry(starter.race_id.clone()).or_default();
                starters.insert(starter.id.clone(), Arc::new(Starter { row: starter.clone(), detail }));
            }
            Row::Approval(_)
            | Row::ApiKey(_)
            | Row::IndoorParticipant(_)
            | Row::IndoorRace(_)
            | Row::RaceClass(_)
            | Row::RaceReport(_)
            | Row::RaceResult(_)
            | Row::RaceSplit(_)
            | Row::Certification(_)
            | Row::Command(_)
            | Row::Decision(_)
            | Row::JudgeFinal(_)
            | Row::LogEntry(_)
            | Row::LogText(_)
            | Row::Mark(_)
            | Row::Publication(_)
            | Row::Sheet(_)
            | Row::Signature(_)
            | Row::SigningKey(_)
            | Row::TieBreak(_) => {}
        }
    }

    fn put_category(&mut self, row: &category::Model) {
        let Some(event_id) = self.contests.get(&row.contest_id).map(|contest| contest.event_id.clone()) else { return };
        let Ok(rules) = serde_json::from_str::<Rules>(&row.rules) else {
            tracing::error!(category = %row.id, "the rules of a category cannot be read; it is left out");
            return;
        };
        let row = row.clone();
        let category = match self.categories.get(&row.id).map(Arc::as_ref).cloned() {
            Some(before) => Category { row, event_id, rules, ..before },
            None => Category {
                row,
                event_id,
                rules,
                criteria: OrdMap::new(),
                entries: OrdMap::new(),
                withdrawn: OrdSet::new(),
            },
        };
        self.categories.insert(category.row.id.clone(), Arc::new(category));
    }

    fn drop_row(&mut self, row: &Row) {
        if self.racing.drop_row(row) {
            return;
        }
        match row {
            Row::Event(event) => {
                self.events.remove(&event.id);
            }
            Row::Contest(contest) => {
                self.contests.remove(&contest.id);
            }
            Row::Category(category) => {
                self.categories.remove(&category.id);
                self.boards.remove(&category.id);
            }
            Row::Criterion(criterion) => {
                if let Some(category) = self.categories.get_mut(&criterion.category_id) {
                    Arc::make_mut(category).criteria.remove(&criterion.id);
                }
            }
            Row::Entry(entry) => {
                if let Some(category) = self.categories.get_mut(&entry.category_id) {
                    let category = Arc::make_mut(category);
                    category.entries.remove(&entry.contestant_id);
                    category.withdrawn.remove(&entry.contestant_id);
                }
            }
            Row::Contestant(contestant) => {
                self.contestants.remove(&contestant.id);
            }
            Row::Race(race) => {
                self.races.remove(&race.id);
                if self.race_numbers.get(&race.number) == Some(&race.id) {
                    self.race_numbers.remove(&race.number);
                }
                if let Some(races) = self.races_in.get_mut(&race.event_id) {
                    races.remove(&race.id);
                }
                self.starters.remove(&race.id);
                self.racing.forget(&race.id);
            }
            Row::Cassette(cassette) => {
                self.cassettes.remove(&cassette.name);
            }
            Row::ContestLock(lock) => {
                self.locks.remove(&lock.contest_id);
            }
            Row::Notification(notice) => {
                if let Some(notices) = self.notices.get_mut(&notice.user_id) {
                    notices.remove(&notice.id);
                }
            }
            Row::RaceParticipant(starter) => {
                if let Some(starters) = self.starters.get_mut(&starter.race_id) {
                    starters.remove(&starter.id);
                }
            }
            // Nothing else is ever removed, or it is a board's.
            Row::Approval(_)
            | Row::ApiKey(_)
            | Row::IndoorParticipant(_)
            | Row::IndoorRace(_)
            | Row::RaceClass(_)
            | Row::RaceReport(_)
            | Row::RaceResult(_)
            | Row::RaceSplit(_)
            | Row::Assignment(_)
            | Row::Certification(_)
            | Row::Decision(_)
            | Row::JudgeFinal(_)
            | Row::Sheet(_)
            | Row::Signature(_)
            | Row::SigningKey(_)
            | Row::Publication(_)
            | Row::TieBreak(_)
            | Row::Command(_)
            | Row::Lane(_)
            | Row::LogEntry(_)
            | Row::LogHead(_)
            | Row::LogText(_)
            | Row::Mark(_)
            | Row::Session(_)
            | Row::User(_) => {}
        }
    }

    /// Whether something may be written below a category's contest.
    ///
    /// # Errors
    /// `LOCKED`.
    pub fn must_be_open(&self, category: &Category) -> Result<(), Refusal> {
        match self.locks.get(&category.row.contest_id) {
            Some(lock) => Err(Refusal::Locked(format!("contest {} is locked", lock.contest_id))),
            None => Ok(()),
        }
    }

    /// The board of a category.
    ///
    /// # Errors
    /// `BoardNeeded` when it is not in memory: whoever can read it does, and asks again.
    pub fn board(&self, category: &CategoryId) -> Result<&Board, Refusal> {
        self.boards.get(category).map(Arc::as_ref).ok_or_else(|| Refusal::BoardNeeded(vec![category.clone()]))
    }

    /// Asks for the boards of several categories at once, so that they are read before the decision is made again, not
    /// one by one.
    ///
    /// # Errors
    /// `BoardNeeded` with all that are not in memory.
    pub fn must_have_boards<'a>(&self, categories: impl Iterator<Item = &'a CategoryId>) -> Result<(), Refusal> {
        let missing: Vec<CategoryId> = categories.filter(|id| !self.boards.contains_key(*id)).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::BoardNeeded(missing)) }
    }

    /// The races of an event, in the order they are run.
    #[must_use]
    pub fn races_of(&self, event: &EventId) -> Vec<&Arc<race::Model>> {
        let mut races: Vec<_> =
            self.races_in.get(event).into_iter().flatten().filter_map(|id| self.races.get(id)).collect();
        races.sort_by_key(|race| (race.position.unwrap_or(i64::MAX), race.number));
        races
    }

    /// Somebody who starts in a race.
    #[must_use]
    pub fn starter(&self, race: &RaceId, participant: &str) -> Option<&Arc<Starter>> {
        self.starters.get(race)?.get(participant)
    }

    /// Those who start in a race, by id.
    pub fn starters_of(&self, race: &RaceId) -> impl Iterator<Item = &Arc<Starter>> {
        self.starters.get(race).into_iter().flat_map(OrdMap::values)
    }

    /// The number the next race gets.
    #[must_use]
    pub fn next_race_number(&self) -> i64 {
        let last = self.race_numbers.get_max().map_or(0, |(number, _)| *number);
        if last < NUMBER_MAX {
            return last + 1;
        }
        (1..NUMBER_MAX).find(|number| !self.race_numbers.contains_key(number)).unwrap_or(NUMBER_MAX)
    }

    /// The numbers of those who start in a race, for giving others to newcomers.
    #[must_use]
    pub fn starter_numbers(&self, race: &RaceId) -> StarterNumbers {
        let numbers = |starter: &Arc<Starter>| (starter.row.id.clone(), starter.row.number);
        let known: std::collections::HashMap<String, i64> = self.starters_of(race).map(numbers).collect();
        StarterNumbers { taken: known.values().copied().collect(), known }
    }

    /// The race that timing software of an event means by an id. Its ids are its own: where another event had the id
    /// first, ours begins with the event's.
    #[must_use]
    pub fn race_in(&self, event: &EventId, id: &str) -> Option<&Arc<race::Model>> {
        let own = |id: &str| self.races.get(&id.parse::<RaceId>().ok()?).filter(|race| race.event_id == *event);
        own(id).or_else(|| own(&format!("{event}.{id}")))
    }

    /// How many facts a lane holds.
    #[must_use]
    pub fn lane_seq(&self, lane: &Lane) -> i64 {
        self.lanes.get(lane).map_or(0, |head| head.seq)
    }

    /// Where a lane ends.
    #[must_use]
    pub fn lane_head(&self, lane: &Lane) -> LaneHead {
        self.lanes.get(lane).cloned().unwrap_or_default()
    }

    /// The contests of an event, in the organiser's order.
    #[must_use]
    pub fn contests_of(&self, event: &EventId) -> Vec<Arc<contest::Model>> {
        let mut contests: Vec<_> =
            self.contests.values().filter(|contest| contest.event_id == *event).cloned().collect();
        contests.sort_by_key(|contest| contest.position);
        contests
    }

    /// The categories of an event.
    pub fn categories_of(&self, event: &EventId) -> impl Iterator<Item = &Arc<Category>> {
        let event = event.clone();
        self.categories.values().filter(move |category| category.event_id == event)
    }

    /// The categories of a contest.
    pub fn categories_in(&self, contest: &ContestId) -> impl Iterator<Item = &Arc<Category>> {
        let contest = contest.clone();
        self.categories.values().filter(move |category| category.row.contest_id == contest)
    }
}
