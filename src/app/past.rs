//! How boards stood: their facts are read from the beginning of the lane, and folded off the threads that answer.
//!
//! Invariant: a place that is not there is refused, never taken for the nearest one.

use super::App;
use crate::db::entity::log_entry;
use crate::error::{AppError, Refusal};
use crate::events::event::Event;
use crate::events::log::LogEntry;
use crate::events::replay;
use crate::events::room::Lane;
use crate::ids::{CategoryId, ContestId, EventId, RaceId};
use crate::publications::past::Told;
use crate::state::past::races::PastRaces;
use crate::state::{State, past};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A board as it stood.
#[derive(Debug)]
pub struct Then {
    /// The state it stands in.
    pub state: Arc<State>,
    /// The facts it was folded from.
    pub facts: Vec<LogEntry>,
}

fn must_be_there(at: i64, head: i64) -> Result<(), Refusal> {
    if (0..=head).contains(&at) { Ok(()) } else { Err(Refusal::invalid("at", format!("is 0 to {head}"))) }
}

fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, Refusal> {
    turns.try_acquire().map_err(|_all_taken| Refusal::Overloaded)
}

impl App {
    /// Reads a lane up to a place, a page at a time.
    async fn read_lane(&self, lane: &Lane, until: i64, mut take: impl FnMut(Vec<LogEntry>)) -> Result<(), AppError> {
        let mut missed = 0..until;
        while !missed.is_empty() {
            let page = replay::page(&self.db, lane, &missed).await?;
            missed.start = page.last().map_or(until, |entry| entry.lane_seq);
            take(page);
        }
        Ok(())
    }

    /// A category's board as it stood at a place of its lane.
    ///
    /// # Errors
    /// `INVALID_DATA` for a place that is not there, `NOT_FOUND`, `OVERLOADED`, or when the log cannot be read.
    pub async fn board_at(&self, id: &CategoryId, at: i64) -> Result<Then, AppError> {
        let _turn = turn(&self.pasts)?;
        let state = self.state_with(id).await?;
        must_be_there(at, state.lane_seq(&Lane::Category(id.clone())))?;
        self.fold_board(state, id, at).await
    }

    async fn fold_board(&self, state: Arc<State>, id: &CategoryId, at: i64) -> Result<Then, AppError> {
        let category = past::category(&state, id)?;
        let mut facts = Vec::new();
        self.read_lane(&Lane::Category(id.clone()), at, |page| facts.extend(page)).await?;
        let folded = self.computing(move || past::after(&state, &category, &facts).map(|state| (state, facts)));
        let (state, facts) = folded.await??;
        Ok(Then { state: Arc::new(state), facts })
    }

    /// The committed state, with every board of a contest in it.
    ///
    /// # Errors
    /// `OVERLOADED` or `INTERNAL` when they cannot be read.
    pub async fn contest_now(&self, contest: &ContestId) -> Result<Arc<State>, AppError> {
        let state = self.state();
        for category in state.categories_in(contest) {
            self.state_with(&category.row.id).await?;
        }
        Ok(self.state())
    }

    /// The state in which every board of a contest stands as it did at a place of the whole log.
    ///
    /// # Errors
    /// `INVALID_DATA` for a place that is not there, `OVERLOADED`, or when the log cannot be read.
    pub async fn contest_at(&self, contest: &ContestId, at: i64) -> Result<Arc<State>, AppError> {
        let _turn = turn(&self.pasts)?;
        let mut state = self.contest_now(contest).await?;
        must_be_there(at, state.head.seq)?;
        let categories: Vec<CategoryId> =
            state.categories_in(contest).map(|category| category.row.id.clone()).collect();
        let Some(event) = state.contests.get(contest).map(|row| row.event_id.clone()) else { return Ok(state) };
        let published = self.published_at(&event, at).await?;
        for category in &categories {
            let lane_at = self.lane_at(&Lane::Category(category.clone()), at).await?;
            state = self.fold_board(state, category, lane_at).await?.state;
        }
        let mut then = State::clone(&state);
        for category in &categories {
            if let Some(board) = then.boards.get_mut(category).map(Arc::make_mut) {
                let known = board.publications.iter().filter(|(_, row)| published.contains(&row.id));
                board.publications = known.map(|(revision, row)| (*revision, Arc::clone(row))).collect();
            }
        }
        Ok(Arc::new(then))
    }

    /// Where a lane stood at a place of the whole log.
    async fn lane_at(&self, lane: &Lane, at: i64) -> Result<i64, AppError> {
        let last = log_entry::Entity::find()
            .select_only()
            .column(log_entry::Column::LaneSeq)
            .filter(log_entry::Column::Lane.eq(lane.to_string()))
            .filter(log_entry::Column::Seq.lte(at))
            .order_by_desc(log_entry::Column::LaneSeq)
            .into_tuple::<i64>()
            .one(&self.db)
            .await?;
        Ok(last.unwrap_or(0))
    }

    /// What had been published of an event at a place of the whole log.
    async fn published_at(&self, event: &EventId, at: i64) -> Result<BTreeSet<String>, AppError> {
        let lane = Lane::Event(event.clone());
        let mut published = BTreeSet::new();
        let until = self.lane_at(&lane, at).await?;
        let of = |entry: LogEntry| {
            if let Event::ResultsPublished(fact) = entry.event { Some(fact.publication_id) } else { None }
        };
        self.read_lane(&lane, until, |page| published.extend(page.into_iter().filter_map(of))).await?;
        Ok(published)
    }

    /// The state in which a race stands as the public was told of it up to a place of the event's lane.
    ///
    /// # Errors
    /// `INVALID_DATA` for a place that is not there, `STATE` for a race the log does not hold, `OVERLOADED`, or when the
    /// log cannot be read.
    pub async fn race_at(&self, event: &EventId, race: &RaceId, at: i64) -> Result<Arc<State>, AppError> {
        let _turn = turn(&self.public_pasts)?;
        let (state, lane) = (self.state(), Lane::Public(event.clone()));
        must_be_there(at, state.lane_seq(&lane))?;
        let mut races = PastRaces::default();
        self.read_lane(&lane, at, |page| page.iter().for_each(|entry| races.apply(&entry.event))).await?;
        races.must_tell(race)?;
        let event = event.clone();
        Ok(Arc::new(self.computing(move || races.state(&state, &event)).await??))
    }

    /// Which judged results the public had been told of at a place of the event's lane.
    ///
    /// # Errors
    /// `INVALID_DATA` for a place that is not there, `OVERLOADED`, or when the log cannot be read.
    pub async fn told_at(&self, event: &EventId, at: i64) -> Result<Told, AppError> {
        let _turn = turn(&self.public_pasts)?;
        let lane = Lane::Public(event.clone());
        must_be_there(at, self.state().lane_seq(&lane))?;
        let mut told = Told::default();
        self.read_lane(&lane, at, |page| page.iter().for_each(|entry| told.apply(&entry.event))).await?;
        Ok(told)
    }
}
