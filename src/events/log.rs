//! The log: one dense, hash-chained sequence of facts; lanes are dense, hash-chained sequences within it.
//!
//! Invariants: `lane_hash = H(lane_hash before it in the lane, H(header, H(salt, fact)))`, so that a lane can be proven
//! alone; `hash = H(hash before it in the log, lane_hash)`, so that all lanes together are one history. A receipt or a
//! head shows only hashes over a secret salt, so nobody can guess a foreign mark by trying the few marks there are.

use super::event::Event;
use super::room::Lane;
use crate::clock::Micros;
use crate::db::entity::{log_entry, log_text};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The hash before the first fact.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// Facts so far.
    pub seq: i64,
    /// Hash of the last fact, hex.
    pub hash: Arc<str>,
    /// Which history this is; a restore begins another.
    pub epoch: Arc<str>,
}

/// A fact in its place.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Place in the whole log, from 1.
    pub seq: i64,
    /// The lane it belongs to.
    pub lane: Lane,
    /// Place in the lane, from 1.
    pub lane_seq: i64,
    /// Which history.
    pub epoch: Arc<str>,
    /// When it was decided.
    pub at: Micros,
    /// The user who asked, or `operator`.
    pub actor: Arc<str>,
    /// The command that led to it.
    pub command_id: Arc<str>,
    /// What happened.
    pub event: Event,
    /// Bytes of that as it is stored.
    pub bytes: usize,
    /// 16 random bytes, hex.
    pub salt: String,
    /// Hash of this fact in the chain of its lane, hex.
    pub lane_hash: Arc<str>,
    /// Hash of the fact before it in the log, hex.
    pub prev_hash: Arc<str>,
    /// Hash of this fact in the log, hex.
    pub hash: Arc<str>,
}

/// The end of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneHead {
    /// Facts so far.
    pub seq: i64,
    /// Hash of the last fact in the lane's own chain, hex.
    pub hash: Arc<str>,
}

impl Default for LaneHead {
    /// The end of a lane nothing has happened in.
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS.into() }
    }
}

/// Proof that something stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Receipt {
    /// The lane of the fact.
    pub lane: String,
    /// Its place in the lane.
    pub seq: i64,
    /// Its hash in the lane's chain, hex.
    pub hash: String,
}

/// SHA-256 of `text`, hex.
#[must_use]
pub fn sha256_hex(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

/// SHA-256 of all there is to read, hex.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_hex_of(reader: &mut impl std::io::BufRead) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    loop {
        let some = reader.fill_buf()?;
        if some.is_empty() {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(some);
        let length = some.len();
        reader.consume(length);
    }
}

/// The commitment to a free text: shows nothing of it, and binds it.
#[must_use]
pub fn commitment(salt: &str, body: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(salt.as_bytes());
    hasher.update(body.as_bytes());
    hex::encode(hasher.finalize())
}

impl LogEntry {
    /// The hash of an entry in the chain of its lane, from what is stored of it and the hash before it.
    #[must_use]
    pub fn lane_hash(before: &str, row: &log_entry::Model) -> String {
        // Ids, lanes and kinds hold no line break, so the header reads one way only.
        let header = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            row.seq, row.lane, row.lane_seq, row.epoch, row.at.0, row.actor, row.command_id, row.kind
        );
        let mut sealed = Sha256::new();
        sealed.update(row.salt.as_bytes());
        sealed.update(row.fact.as_bytes());
        let mut said = Sha256::new();
        said.update(u64::try_from(header.len()).unwrap_or(u64::MAX).to_be_bytes());
        said.update(header.as_bytes());
        said.update(sealed.finalize());
        let mut chain = Sha256::new();
        chain.update(before.as_bytes());
        chain.update(said.finalize());
        hex::encode(chain.finalize())
    }

    /// The hash of an entry in the log, from its hash in its lane and the hash before it.
    #[must_use]
    pub fn chain_hash(before: &str, lane_hash: &str) -> String {
        let mut chain = Sha256::new();
        chain.update(before.as_bytes());
        chain.update(lane_hash.as_bytes());
        hex::encode(chain.finalize())
    }

    /// Chains a fact behind `head`, and behind `lane_head` in its lane.
    #[must_use]
    pub fn chain(
        head: &LogHead,
        lane_head: &LaneHead,
        origin: &Origin,
        event: Event,
        salt: &[u8; 16],
    ) -> (Self, log_entry::Model) {
        let lane = event.lane();
        let mut row = log_entry::Model {
            seq: head.seq + 1,
            lane: lane.to_string(),
            lane_seq: lane_head.seq + 1,
            epoch: head.epoch.to_string(),
            at: origin.at,
            actor: origin.actor.to_string(),
            command_id: origin.command_id.to_string(),
            kind: event.kind().to_owned(),
            fact: event.to_json(),
            salt: hex::encode(salt),
            lane_hash: String::new(),
            prev_hash: head.hash.to_string(),
            hash: String::new(),
        };
        row.lane_hash = Self::lane_hash(&lane_head.hash, &row);
        row.hash = Self::chain_hash(&head.hash, &row.lane_hash);
        let entry = Self {
            seq: row.seq,
            lane,
            lane_seq: row.lane_seq,
            epoch: Arc::clone(&head.epoch),
            at: origin.at,
            actor: Arc::clone(&origin.actor),
            command_id: Arc::clone(&origin.command_id),
            event,
            bytes: row.fact.len(),
            salt: row.salt.clone(),
            lane_hash: row.lane_hash.as_str().into(),
            prev_hash: Arc::clone(&head.hash),
            hash: row.hash.as_str().into(),
        };
        (entry, row)
    }

    /// Reads an entry back, with its free texts where they have not been erased.
    ///
    /// # Errors
    /// When the row does not hold a fact this version knows.
    pub fn read(row: log_entry::Model, texts: &BTreeMap<i64, Vec<log_text::Model>>) -> anyhow::Result<Self> {
        let mut event = Event::from_json(&row.fact)?;
        for text in texts.get(&row.seq).into_iter().flatten() {
            event.fill_text(&text.field, &text.body, &text.salt);
        }
        Ok(Self {
            seq: row.seq,
            lane: row.lane.parse()?,
            lane_seq: row.lane_seq,
            epoch: row.epoch.into(),
            at: row.at,
            actor: row.actor.into(),
            command_id: row.command_id.into(),
            event,
            bytes: row.fact.len(),
            salt: row.salt,
            lane_hash: row.lane_hash.into(),
            prev_hash: row.prev_hash.into(),
            hash: row.hash.into(),
        })
    }

    /// The receipt for this fact.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt { lane: self.lane.to_string(), seq: self.lane_seq, hash: self.lane_hash.to_string() }
    }

    /// The end of the log once it is there.
    #[must_use]
    pub fn log_head(&self) -> LogHead {
        LogHead { seq: self.seq, hash: Arc::clone(&self.hash), epoch: Arc::clone(&self.epoch) }
    }

    /// The end of its lane once it is there.
    #[must_use]
    pub fn lane_head(&self) -> LaneHead {
        LaneHead { seq: self.lane_seq, hash: Arc::clone(&self.lane_hash) }
    }
}

/// Reads rows of the log back as entries, with their free texts.
///
/// # Errors
/// When the database fails or a row does not hold a fact this version knows.
pub async fn read_entries(db: &DatabaseConnection, rows: Vec<log_entry::Model>) -> anyhow::Result<Vec<LogEntry>> {
    let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    let mut texts: BTreeMap<i64, Vec<log_text::Model>> = BTreeMap::new();
    if let (Some(first), Some(last)) = (seqs.first(), seqs.last()) {
        let found = log_text::Entity::find()
            .filter(log_text::Column::Seq.gte(*first))
            .filter(log_text::Column::Seq.lte(*last))
            .all(db)
            .await?;
        for text in found {
            texts.entry(text.seq).or_default().push(text);
        }
    }
    rows.into_iter().map(|row| LogEntry::read(row, &texts)).collect()
}

/// Who caused a fact, by which command, when.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The user id, or `operator` for the command line.
    pub actor: Arc<str>,
    /// The command id, the client's or one made by the server.
    pub command_id: Arc<str>,
    /// When it was decided.
    pub at: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::row::Row;

    fn entry(head: &LogHead, user: &str) -> (LogEntry, log_entry::Model) {
        let user: crate::ids::UserId = user.parse().expect("a well-formed id");
        let origin = Origin { actor: "operator".into(), command_id: "c".into(), at: Micros(7) };
        LogEntry::chain(
            head,
            &LaneHead { seq: head.seq, hash: Arc::clone(&head.hash) },
            &origin,
            Event::UserChanged(super::super::event::UserChanged { user_id: user }),
            &[7; 16],
        )
    }

    #[test]
    fn the_chain_notices_any_change_of_any_column() {
        let head = LogHead { seq: 0, hash: GENESIS.into(), epoch: "e".into() };
        let (first, row) = entry(&head, "u1");
        assert_eq!(LogEntry::lane_hash(GENESIS, &row), &*first.lane_hash);
        assert_eq!(LogEntry::chain_hash(GENESIS, &row.lane_hash), &*first.hash);
        assert_ne!(LogEntry::lane_hash(&row.hash, &row), &*first.lane_hash);
        assert_ne!(LogEntry::chain_hash(&row.hash, &row.lane_hash), &*first.hash);
        let changed = [
            log_entry::Model { seq: 2, ..row.clone() },
            log_entry::Model { lane: "sys".into(), ..row.clone() },
            log_entry::Model { lane_seq: 2, ..row.clone() },
            log_entry::Model { epoch: "f".into(), ..row.clone() },
            log_entry::Model { at: Micros(8), ..row.clone() },
            log_entry::Model { actor: "u2".into(), ..row.clone() },
            log_entry::Model { command_id: "d".into(), ..row.clone() },
            log_entry::Model { kind: "k".into(), ..row.clone() },
            log_entry::Model { fact: row.fact.replace("u1", "u2"), ..row.clone() },
            log_entry::Model { salt: "00".into(), ..row.clone() },
        ];
        for wrong in changed {
            assert_ne!(Row::from(wrong.clone()), Row::from(row.clone()));
            assert_ne!(LogEntry::lane_hash(GENESIS, &wrong), row.lane_hash, "{wrong:?}");
        }
    }
}
