//! The log of a category as lines of text: NDJSON, a fact a line, with the salt that seals it.

use crate::clock::Micros;
use crate::db::entity::log_entry;
use crate::events::event::Event;
use crate::events::log::LogEntry;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A fact of the log, with all that its hash is made of but the lane and the hash before it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    /// Place in the whole log.
    pub seq: i64,
    /// Place in the lane.
    pub lane_seq: i64,
    /// Which history.
    pub epoch: String,
    /// When it was decided.
    pub at: Micros,
    /// Who asked.
    pub actor: String,
    /// By which command.
    pub command_id: String,
    /// What kind of fact.
    pub kind: String,
    /// What keeps the hash from being guessed; disclosed with the publication.
    pub salt: String,
    /// What happened, byte for byte as it was sealed.
    pub fact: Box<RawValue>,
    /// Its hash in the lane's chain, hex.
    pub hash: String,
}

impl Line {
    /// The line of an entry.
    ///
    /// # Errors
    /// When what is stored is no JSON.
    pub fn of(row: log_entry::Model) -> serde_json::Result<Self> {
        Ok(Self {
            seq: row.seq,
            lane_seq: row.lane_seq,
            epoch: row.epoch,
            at: row.at,
            actor: row.actor,
            command_id: row.command_id,
            kind: row.kind,
            salt: row.salt,
            fact: RawValue::from_string(row.fact)?,
            hash: row.lane_hash,
        })
    }

    /// What its hash must be, behind another.
    #[must_use]
    pub fn hash_after(&self, before: &str, lane: &str) -> String {
        let row = log_entry::Model {
            seq: self.seq,
            lane: lane.to_owned(),
            lane_seq: self.lane_seq,
            epoch: self.epoch.clone(),
            at: self.at,
            actor: self.actor.clone(),
            command_id: self.command_id.clone(),
            kind: self.kind.clone(),
            fact: self.fact.get().to_owned(),
            salt: self.salt.clone(),
            lane_hash: String::new(),
            prev_hash: String::new(),
            hash: String::new(),
        };
        LogEntry::lane_hash(before, &row)
    }

    /// What happened.
    ///
    /// # Errors
    /// When it is no fact this version knows.
    pub fn event(&self) -> anyhow::Result<Event> {
        Event::from_json(self.fact.get())
    }
}
