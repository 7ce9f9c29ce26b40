//! Which judged results the public had been told of: the facts of its lane up to a place.
//!
//! Invariant: nothing is shown of then that the public was not told by then, and nothing it may not read now.

use crate::clock::Micros;
use crate::db::entity::{event, publication};
use crate::error::Refusal;
use crate::events::event::Event;
use crate::ids::EventId;
use crate::state::State;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the public had been told.
#[derive(Debug, Default)]
pub struct Told {
    whole: BTreeSet<String>,
    places: BTreeMap<String, BTreeSet<u32>>,
    frozen_at: Option<Micros>,
}

impl Told {
    /// Folds a fact of the public lane in.
    pub fn apply(&mut self, fact: &Event) {
        if let Event::ResultsPublished(fact) = fact {
            self.whole.insert(fact.publication_id.clone());
        } else if let Event::ResultsRevealed(fact) = fact {
            let places = self.places.entry(fact.publication_id.clone()).or_default();
            places.extend(fact.lines.iter().map(|line| line.rank));
        } else if let Event::ResultsFrozen(fact) = fact {
            self.frozen_at = Some(fact.at).filter(|_| fact.frozen);
        }
    }

    fn of(&self, row: publication::Model) -> Option<publication::Model> {
        if self.whole.contains(&row.id) {
            return Some(row);
        }
        let places = self.places.get(&row.id)?;
        Some(publication::Model { hidden: true, revealed: json!(places).to_string(), ..row })
    }

    /// The judged results of an event as the public was shown them. How many were hidden besides, it was not told in
    /// facts: that is not said.
    ///
    /// # Errors
    /// `NOT_FOUND` for an event that is not there now, or is a draft.
    pub fn view(&self, now: &State, event: &EventId, rows: Vec<publication::Model>) -> Result<Value, Refusal> {
        let mut state = now.clone();
        if let Some(row) = now.events.get(event) {
            state.put(&event::Model { frozen_at: self.frozen_at, ..row.as_ref().clone() }.into());
        }
        let rows = rows.into_iter().filter_map(|row| self.of(row)).collect();
        let mut view = super::read::public(&state, event, rows)?;
        view["hidden"] = Value::Null;
        Ok(view)
    }
}
