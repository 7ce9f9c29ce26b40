//! The rehearsals that are played and those that were, so that they can be listed and stopped.
//!
//! Invariant: one that is played is in the list; no more are played at a time than there are turns.

use super::outcome::Outcome;
use super::{Playing, Rehearsal};
use crate::cassettes::may_read;
use crate::clock::Micros;
use crate::error::Refusal;
use crate::events::event::CassetteGone;
use crate::ids::{EventId, UserId};
use crate::state::State;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Rehearsals played at a time.
const PLAYED_MAX: usize = 4;
/// Rehearsals remembered.
const KEPT_MAX: usize = 100;

/// How far a rehearsal has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is played.
    Playing,
    /// It came to its end.
    Ended,
    /// Somebody stopped it, or the server ended.
    Stopped,
    /// It could not go on.
    Failed,
}

/// A rehearsal as it is listed.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RehearsalView {
    /// The event it is played into.
    pub event_id: EventId,
    /// The recording.
    pub cassette: String,
    /// Who started it.
    pub started_by: UserId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Micros,
    /// Times the speed it was recorded at; 0 is as fast as it goes.
    pub speed: f64,
    /// How far it is.
    pub phase: Phase,
    /// How often it was begun.
    pub round: u32,
    /// The millisecond of the recording it has reached.
    pub ts: i64,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Micros>,
    /// Frames that were played and that were not, by kind.
    #[serde(flatten)]
    pub outcome: Outcome,
}

struct Entry {
    view: RehearsalView,
    bound: CassetteGone,
    stop: CancellationToken,
}

/// The rehearsals.
#[derive(Clone)]
pub struct Rehearsals {
    entries: Arc<Mutex<VecDeque<Entry>>>,
    turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Rehearsals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rehearsals")
    }
}

/// The place of one that is played: given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    rehearsals: Rehearsals,
    event: EventId,
    _permit: OwnedSemaphorePermit,
}

impl Default for Rehearsals {
    fn default() -> Self {
        Self { entries: Arc::default(), turns: Arc::new(Semaphore::new(PLAYED_MAX)) }
    }
}

impl Rehearsals {
    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn to play.
    ///
    /// # Errors
    /// `OVERLOADED`.
    pub fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.turns).try_acquire_owned().map_err(|_all_taken| Refusal::Overloaded)
    }

    /// Notes one that begins, and for whom its recording is.
    #[must_use]
    pub fn enter(&self, turn: OwnedSemaphorePermit, rehearsal: &Rehearsal, by: UserId, bound: CassetteGone) -> Turn {
        let view = RehearsalView {
            event_id: rehearsal.event().clone(),
            cassette: rehearsal.cassette.to_string(),
            started_by: by,
            started_at: rehearsal.app.clock.now(),
            speed: rehearsal.playing.speed.unwrap_or(Playing::SPEED),
            phase: Phase::Playing,
            round: 1,
            ts: 0,
            ended_at: None,
            outcome: Outcome::default(),
        };
        let event = view.event_id.clone();
        let mut entries = self.entries();
        entries.push_back(Entry { view, bound, stop: rehearsal.stop.clone() });
        while entries.len() > KEPT_MAX {
            let oldest = entries.iter().position(|entry| entry.view.phase != Phase::Playing);
            let Some(oldest) = oldest else { break };
            entries.remove(oldest);
        }
        drop(entries);
        Turn { rehearsals: self.clone(), event, _permit: turn }
    }

    /// Those whose recording a user may read, the latest first.
    #[must_use]
    pub fn list(&self, state: &State, user: &UserId) -> Vec<RehearsalView> {
        let entries = self.entries();
        let readable = entries.iter().rev().filter(|entry| may_read(state, user, &entry.bound));
        readable.map(|entry| entry.view.clone()).collect()
    }

    /// Stops one that is played; it ends with the frame it is at.
    ///
    /// # Errors
    /// `NOT_FOUND`; `STATE` when it is over already.
    pub fn stop(&self, state: &State, user: &UserId, event: &EventId) -> Result<RehearsalView, Refusal> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.view.event_id == *event && may_read(state, user, &entry.bound));
        let entry = entry.ok_or_else(|| Refusal::not_found("rehearsal", event))?;
        if entry.view.phase != Phase::Playing {
            return Err(Refusal::State(format!("rehearsal {event} is over")));
        }
        entry.stop.cancel();
        Ok(entry.view.clone())
    }
}

impl Turn {
    /// Notes how far it is.
    pub fn note(&self, change: impl FnOnce(&mut RehearsalView)) {
        let mut entries = self.rehearsals.entries();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.view.event_id == self.event) {
            change(&mut entry.view);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Where nobody said how it ended, it was cut off.
        self.note(|view| {
            if view.phase == Phase::Playing {
                view.phase = Phase::Stopped;
            }
        });
    }
}
