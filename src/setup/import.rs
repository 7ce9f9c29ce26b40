//! The import document: an event with all that belongs to it, taken whole or not at all, and as often as one likes.

use super::races::put_race;
use super::spec::{AssignmentSpec, Document};
use super::{
    At, Mode, Shown, put_category, put_contest, put_contestant, put_event, put_user, setup_changed, user_by_email,
};
use crate::command::{Decide, Draft};
use crate::db::entity::event;
use crate::error::Refusal;
use crate::events::event::{ContestantsChanged, Event};
use crate::ids::{CategoryId, EventId};
use crate::setup::assignments::{Place, give};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Imports a document.
#[derive(Clone, Debug)]
pub struct ImportDocument {
    /// The document.
    pub document: Document,
    /// The hashes of the passwords in it, by the position of the user.
    pub hashes: BTreeMap<usize, String>,
    /// A new event is a rehearsal: it is marked as one everywhere, for good.
    pub rehearsal: bool,
}

/// Reads a document from JSON or YAML.
///
/// # Errors
/// `INVALID_DATA`, naming the place.
pub fn read(source: &str) -> Result<Document, Refusal> {
    let value: Value = match serde_json::from_str(source) {
        Ok(value) => value,
        // What begins like JSON is meant as JSON: its error is the useful one.
        Err(wrong) if source.trim_start().starts_with('{') => return Err(Refusal::invalid("", wrong)),
        Err(_) => serde_saphyr::from_str(source).map_err(|wrong| Refusal::invalid("", wrong))?,
    };
    crate::command::parse(value)
}

/// Where a hat on a category is.
pub(super) fn category_place(draft: &Draft, category: &CategoryId) -> Result<Place, Refusal> {
    let known = draft.state.categories.get(category).ok_or_else(|| Refusal::not_found("category", category))?;
    Ok(Place {
        event: known.event_id.clone(),
        contest: Some(known.row.contest_id.clone()),
        category: Some(category.clone()),
    })
}

/// Gives the hats of a list; whether anything changed.
pub(super) fn put_hats(draft: &mut Draft, at: &At, place: &Place, hats: &[AssignmentSpec]) -> Result<bool, Refusal> {
    let before = draft.state.head.seq;
    for (index, hat) in hats.iter().enumerate() {
        let at = at.item("assignments", index);
        let user = user_by_email(&draft.state, &at, "email", &hat.email)?;
        if draft.state.role_of(&user).is_none() {
            return Err(at.wrong("email", format!("{} is switched off", hat.email)));
        }
        give(draft, &user, hat.hat, place.clone(), hat.counts)?;
    }
    Ok(draft.state.head.seq > before)
}

impl ImportDocument {
    fn put_people(&self, draft: &mut Draft, root: &At) -> Result<(), Refusal> {
        for (index, spec) in self.document.users.iter().enumerate() {
            put_user(draft, &root.item("users", index), None, spec, self.hashes.get(&index).cloned())?;
        }
        let mut contestant_ids = Vec::new();
        for (index, spec) in self.document.contestants.iter().enumerate() {
            if put_contestant(draft, &root.item("contestants", index), Mode::Upsert, spec)? {
                contestant_ids.push(spec.id.clone());
            }
        }
        if !contestant_ids.is_empty() {
            draft.append(Event::ContestantsChanged(ContestantsChanged { contestant_ids }));
        }
        Ok(())
    }

    fn put_contests(&self, draft: &mut Draft, root: &At, event: &EventId) -> Result<bool, Refusal> {
        let mut changed = false;
        for (index, contest) in self.document.contests.iter().enumerate() {
            let at = root.item("contests", index);
            changed |= put_contest(draft, &at, Mode::Upsert, event, contest, i64::try_from(index).ok())?;
            for (index, category) in contest.categories.iter().enumerate() {
                let at = at.item("categories", index);
                changed |= put_category(draft, &at, Mode::Upsert, &contest.id, category, i64::try_from(index).ok())?;
                put_hats(draft, &at, &category_place(draft, &category.id)?, &category.assignments)?;
            }
        }
        Ok(changed)
    }
}

impl Decide for ImportDocument {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let root = At::default();
        let event = &self.document.event.id;
        if self.rehearsal && draft.state.events.contains_key(event) {
            return Err(Refusal::Duplicate { what: "event", id: event.to_string() });
        }
        let shown = Shown::before(draft);
        let mut changed = put_event(draft, &root.field("event"), Mode::Upsert, &self.document.event)?;
        if self.rehearsal {
            let row = draft.state.events.get(event).ok_or(Refusal::Internal)?.as_ref().clone();
            draft.put(event::Model { rehearsal: true, ..row });
        }
        let mut whole_changed = changed;
        self.put_people(draft, &root)?;
        changed |= self.put_contests(draft, &root, event)?;
        let whole = Place { event: event.clone(), contest: None, category: None };
        put_hats(draft, &root, &whole, &self.document.assignments)?;
        let mut seen = BTreeSet::new();
        for (index, race) in self.document.races.iter().enumerate() {
            if !seen.insert(&race.id) {
                return Err(root.item("races", index).wrong("id", format!("race {} is there twice", race.id)));
            }
            whole_changed |= put_race(draft, &root.item("races", index), Mode::Upsert, event, race)?;
        }
        changed |= whole_changed;
        if changed {
            setup_changed(draft, event);
        }
        shown.after(draft, event, whole_changed);
        let categories: usize = self.document.contests.iter().map(|contest| contest.categories.len()).sum();
        Ok(json!({
            "eventId": event,
            "users": self.document.users.len(),
            "contestants": self.document.contestants.len(),
            "contests": self.document.contests.len(),
            "categories": categories,
            "races": self.document.races.len(),
        }))
    }
}
