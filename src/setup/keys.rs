//! Keys of timing software: made for one event, named, valid for a while, revoked. A revoked key stays on record.
//!
//! Invariant: a command holds the hash of a key, never the key itself; so neither the log nor a stored answer has it.

use super::{At, setup_changed, text};
use crate::clock::Micros;
use crate::command::{Decide, Draft};
use crate::db::entity::api_key;
use crate::error::Refusal;
use crate::ids::{ApiKeyId, EventId};
use crate::setup::list;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Most keys of an event that are not revoked.
pub const KEYS_MAX: usize = 100;

/// A new key.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeySpec {
    /// The one event it reports the times of.
    pub event_id: EventId,
    /// What it is called: the computer or the program that has it.
    pub name: String,
    /// From when it is good; at once unless stated.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub valid_from: Option<Micros>,
    /// Until when; until it is revoked unless stated.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub valid_until: Option<Micros>,
}

/// Makes a key. Which key it is was decided outside: here only its hash is known.
#[derive(Clone, Debug)]
pub struct CreateApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its hash.
    pub hash: String,
    /// What it is to be.
    pub spec: ApiKeySpec,
}

/// Changes what a key is called and when it is good. The key itself and its event stay.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeApiKey {
    /// Which.
    pub id: ApiKeyId,
    /// Its event, if it is said again.
    #[serde(default)]
    pub event_id: Option<EventId>,
    /// What it is called.
    pub name: String,
    /// From when it is good; at once unless stated.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub valid_from: Option<Micros>,
    /// Until when; until it is revoked unless stated.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub valid_until: Option<Micros>,
}

/// Ends a key.
#[derive(Clone, Debug)]
pub struct RevokeApiKey {
    /// Which.
    pub id: ApiKeyId,
}

fn must_be_a_window(from: Option<Micros>, until: Option<Micros>) -> Result<(), Refusal> {
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        return Err(Refusal::invalid("validUntil", "is not after validFrom"));
    }
    Ok(())
}

/// A key that was not revoked.
fn standing(draft: &Draft, id: &ApiKeyId) -> Result<Arc<api_key::Model>, Refusal> {
    let key = draft.state.racing.keys.get(id).ok_or_else(|| Refusal::not_found("API key", id))?;
    match key.revoked_at {
        Some(_) => Err(Refusal::State("the key was revoked before; make a new one".into())),
        None => Ok(Arc::clone(key)),
    }
}

impl Decide for CreateApiKey {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let ApiKeySpec { event_id, name, valid_from, valid_until } = &self.spec;
        draft.state.events.get(event_id).ok_or_else(|| Refusal::not_found("event", event_id))?;
        must_be_a_window(*valid_from, *valid_until)?;
        let row = api_key::Model {
            id: self.id.clone(),
            event_id: event_id.clone(),
            name: text(&At::default(), "name", name)?,
            hash: self.hash.clone(),
            created_by: draft.actor.name().to_string(),
            created_at: draft.now,
            valid_from: *valid_from,
            valid_until: *valid_until,
            revoked_at: None,
        };
        let keys = draft.state.racing.keys.values();
        if keys.filter(|key| key.event_id == *event_id && key.revoked_at.is_none()).count() >= KEYS_MAX {
            return Err(Refusal::TooLarge { what: "keys of an event", max: KEYS_MAX });
        }
        draft.put(row);
        setup_changed(draft, event_id);
        list::api_key(&draft.state, &self.id)
    }
}

impl Decide for ChangeApiKey {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let before = standing(draft, &self.id)?;
        if self.event_id.as_ref().is_some_and(|event| *event != before.event_id) {
            return Err(Refusal::invalid("eventId", "a key stays with its event; make a new one"));
        }
        must_be_a_window(self.valid_from, self.valid_until)?;
        let row = api_key::Model {
            name: text(&At::default(), "name", &self.name)?,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            ..before.as_ref().clone()
        };
        if row != *before {
            draft.put(row);
            setup_changed(draft, &before.event_id);
        }
        list::api_key(&draft.state, &self.id)
    }
}

impl Decide for RevokeApiKey {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let before = standing(draft, &self.id)?;
        draft.put(api_key::Model { revoked_at: Some(draft.now), ..before.as_ref().clone() });
        setup_changed(draft, &before.event_id);
        list::api_key(&draft.state, &self.id)
    }
}
