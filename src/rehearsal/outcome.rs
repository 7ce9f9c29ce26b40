//! What a rehearsal came to: how many frames of each kind were played, and how many were not.
//!
//! Invariant: nothing is passed over in silence; a frame that says what follows from another is counted with that one.

use serde::Serialize;
use std::collections::BTreeMap;

/// Kinds of frames that are told apart; a file may invent more.
const KINDS_MAX: usize = 64;
/// What the others are counted as.
const OTHERS: &str = "others";

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It was played.
    Played,
    /// It says what followed, or what a later frame decides.
    Follows,
    /// It was not played.
    Skipped,
}

/// How many frames, or lines of a feed, of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Outcome {
    /// Played.
    pub played: BTreeMap<String, u64>,
    /// Not played.
    pub not_played: BTreeMap<String, u64>,
}

impl Outcome {
    /// Counts some of a kind.
    pub fn count(&mut self, kind: &str, became: Became, how_many: usize) {
        let counts = match became {
            Became::Played => &mut self.played,
            Became::Skipped => &mut self.not_played,
            Became::Follows => return,
        };
        if how_many > 0 {
            let known = counts.contains_key(kind) || counts.len() < KINDS_MAX;
            *counts.entry(if known { kind } else { OTHERS }.to_owned()).or_default() += how_many as u64;
        }
    }
}
