//! Which history a database file holds, written down beside it: a file that was put back from a backup, or is somebody
//! else's, is noticed, and its log goes on under another epoch. Clients then resynchronise instead of taking rewound
//! numbers for progress.
//!
//! Invariant: the mark is written after the commit it speaks of, so a log that ends before its mark was rewound.

use crate::events::log::LogHead;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a log stood when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    epoch: String,
    seq: i64,
    hash: String,
}

impl Mark {
    /// The mark of a log's end.
    #[must_use]
    pub fn of(head: &LogHead) -> Self {
        Self { epoch: head.epoch.to_string(), seq: head.seq, hash: head.hash.to_string() }
    }

    /// The place in the log it speaks of.
    #[must_use]
    pub fn seq(&self) -> i64 {
        self.seq
    }
}

/// Whether a log is the one its mark was made of, further on or not; `hash_at_mark` is what it holds in the mark's place.
/// A log with facts and no mark came from elsewhere.
#[must_use]
pub fn is_same_history(mark: Option<&Mark>, head: &LogHead, hash_at_mark: Option<&str>) -> bool {
    match mark {
        None => head.seq == 0,
        Some(mark) => {
            *mark.epoch == *head.epoch && mark.seq <= head.seq && (mark.seq == 0 || hash_at_mark == Some(&*mark.hash))
        }
    }
}

/// The file beside a database.
#[derive(Clone, Debug)]
pub struct Generation(PathBuf);

impl Generation {
    /// That of a database.
    #[must_use]
    pub fn beside(database: &Path) -> Self {
        Self(database.with_extension("generation"))
    }

    /// What was last written down; none where nothing was, or what is there cannot be read.
    #[must_use]
    pub fn read(&self) -> Option<Mark> {
        let text = std::fs::read_to_string(&self.0).ok()?;
        serde_json::from_str(&text)
            .inspect_err(|error| tracing::warn!(%error, file = %self.0.display(), "the generation cannot be read"))
            .ok()
    }

    /// Writes down where the log stands, as a whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, mark: &Mark) -> anyhow::Result<()> {
        let new = self.0.with_extension("generation-new");
        std::fs::write(&new, serde_json::to_string(mark)?)
            .and_then(|()| std::fs::rename(&new, &self.0))
            .with_context(|| format!("cannot write {}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_the_same_history_if_it_holds_its_mark() {
        let head = |epoch: &str, seq| LogHead { seq, hash: "end".into(), epoch: epoch.into() };
        let mark = Mark { epoch: "e".into(), seq: 5, hash: "five".into() };
        for (mark, head, hash, same, what) in [
            (None, head("e", 0), None, true, "a new log"),
            (None, head("e", 1), None, false, "a log from elsewhere"),
            (Some(&mark), head("e", 5), Some("five"), true, "as it was left"),
            (Some(&mark), head("e", 9), Some("five"), true, "gone on since"),
            (Some(&mark), head("e", 4), None, false, "put back"),
            (Some(&mark), head("e", 9), Some("other"), false, "put back and gone on"),
            (Some(&mark), head("f", 9), Some("five"), false, "another file"),
        ] {
            assert_eq!(is_same_history(mark, &head, hash), same, "{what}");
        }
    }
}
