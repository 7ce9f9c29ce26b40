//! What a command is: a struct for a thing an actor can ask for, decided by a pure function over the state. Which ones
//! there are stands in [`commands`](crate::commands).
//!
//! Invariant: `decide` reads no clock, no dice and no database but through its [`Draft`]; an error leaves nothing behind.

use crate::auth::actor::Actor;
use crate::clock::{Chance, Micros};
use crate::db::entity::{lane, log_text};
use crate::db::row::{Change, Row};
use crate::error::Refusal;
use crate::events::event::{Event, Text};
use crate::events::log::{LogEntry, Origin, Receipt};
use crate::state::State;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Which rate limit a command falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Marks: a few a second at most, from a judge.
    Scores,
    /// Everything else that changes something.
    Commands,
    /// Reading.
    Lists,
    /// Not limited here: signing in has limits of its own.
    None,
}

/// Something an actor can ask for.
pub trait Decide {
    /// Decides on the draft's state; what it appends and puts there is committed when it answers, and dropped when it
    /// refuses.
    ///
    /// # Errors
    /// Why not.
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal>;

    /// What is answered once everything that follows has settled.
    ///
    /// # Errors
    /// When the answer cannot be made.
    fn settled(&self, answer: Value, _: &Draft) -> Result<Value, Refusal> {
        Ok(answer)
    }

    /// How much of its rate limit it takes.
    fn cost(&self) -> u32 {
        1
    }
}

/// A view as JSON.
///
/// # Errors
/// `INTERNAL`; views are plain data, so there is no way to it.
pub fn to_value(view: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(view).map_err(|_plain_data| Refusal::Internal)
}

/// Reads a payload, naming the place that is wrong.
///
/// # Errors
/// `INVALID_DATA`.
pub fn parse<T: DeserializeOwned>(payload: Value) -> Result<T, Refusal> {
    // serde would take a list for a struct, field by field.
    if payload.is_array() {
        return Err(Refusal::invalid("", "expected an object, not a list"));
    }
    serde_path_to_error::deserialize(payload).map_err(|error| {
        let place = error.path().to_string();
        let message = error.inner().to_string();
        let place = if place == "." { String::new() } else { place };
        // A field that is missing has no place of its own; its name stands in the message only.
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let place = match missing {
            Some(field) if place.is_empty() => field.to_owned(),
            Some(field) => format!("{place}.{field}"),
            None => place,
        };
        Refusal::invalid(place, message)
    })
}

/// A decision in the making: a state that only it sees, and what has changed in it.
#[derive(Debug)]
pub struct Draft {
    /// The state, with everything this decision has done so far. Changed by `put`, `remove` and `append` alone: whoever
    /// undoes a decision goes by its rows.
    pub state: State,
    /// Who asks.
    pub actor: Actor,
    /// When.
    pub now: Micros,
    origin: Origin,
    chance: Chance,
    entries: Vec<Arc<LogEntry>>,
    changes: Vec<Change>,
}

/// What a decision came to.
#[derive(Debug)]
pub struct Decision {
    /// The state after it.
    pub state: State,
    /// What happened.
    pub entries: Vec<Arc<LogEntry>>,
    /// The rows it changed.
    pub changes: Vec<Change>,
}

impl Draft {
    /// Begins a decision.
    #[must_use]
    pub fn new(state: State, actor: Actor, command_id: Arc<str>, now: Micros, chance: Chance) -> Self {
        let origin = Origin { actor: actor.name(), command_id, at: now };
        Self { state, actor, now, origin, chance, entries: Vec::new(), changes: Vec::new() }
    }

    /// A decision within this one, which can be merged or left.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            state: self.state.clone(),
            actor: self.actor.clone(),
            now: self.now,
            origin: self.origin.clone(),
            chance: self.chance.clone(),
            entries: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Takes over what a fork has decided.
    pub fn merge(&mut self, fork: Self) {
        self.state = fork.state;
        self.entries.extend(fork.entries);
        self.changes.extend(fork.changes);
    }

    /// Inserts or replaces a row.
    pub fn put(&mut self, row: impl Into<Row>) {
        self.change(Change::Put(row.into()));
    }

    /// Removes a row.
    pub fn remove(&mut self, row: impl Into<Row>) {
        self.change(Change::Drop(row.into()));
    }

    fn change(&mut self, change: Change) {
        self.state.apply(&change);
        self.changes.push(change);
    }

    /// Appends a fact to the log.
    pub fn append(&mut self, event: Event) -> Receipt {
        let lane = event.lane();
        let lane_head = self.state.lane_head(&lane);
        for (field, text) in event.texts() {
            if let Text::Known { body, salt } = text {
                let row =
                    log_text::Model { seq: self.state.head.seq + 1, field, salt: salt.clone(), body: body.clone() };
                self.changes.push(Change::Put(row.into()));
            }
        }
        let (entry, row) = LogEntry::chain(&self.state.head, &lane_head, &self.origin, event, &self.chance.bytes());
        self.state.head = entry.log_head();
        let moved = lane::Model { name: row.lane.clone(), seq: row.lane_seq, hash: row.lane_hash.clone() };
        self.state.lanes.insert(lane, entry.lane_head());
        self.changes.push(Change::Put(moved.into()));
        self.changes.push(Change::Put(row.into()));
        let receipt = entry.receipt();
        self.entries.push(Arc::new(entry));
        receipt
    }

    /// The facts so far.
    #[must_use]
    pub fn entries(&self) -> &[Arc<LogEntry>] {
        &self.entries
    }

    /// The rows changed so far.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// A new id.
    #[must_use]
    pub fn new_id<T: From<uuid::Uuid>>(&self) -> T {
        self.chance.id(self.now).into()
    }

    /// 16 random bytes, hex.
    #[must_use]
    pub fn salt(&self) -> String {
        hex::encode(self.chance.bytes::<16>())
    }

    /// A free text under a fresh salt.
    #[must_use]
    pub fn text(&self, body: &str) -> Text {
        Text::Known { body: body.to_owned(), salt: self.salt() }
    }

    /// What it came to.
    #[must_use]
    pub fn finish(self) -> Decision {
        Decision { state: self.state, entries: self.entries, changes: self.changes }
    }
}
