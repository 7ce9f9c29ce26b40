//! The last facts, kept as they were sent: whoever comes back after a moment is caught up without the log being read.
//!
//! Invariants: of a lane, facts without a gap, up to its last; none with free text, because that may be erased, and so
//! none before one that has some.

use super::log::LogEntry;
use super::room::Lane;
use crate::metrics::Metrics;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Facts kept, at most.
const FACTS_MAX: usize = 8_192;
/// Bytes of them as they are stored, at most.
const BYTES_MAX: usize = 8 << 20;

/// The last facts of all lanes.
#[derive(Debug)]
pub struct Recent {
    kept: Mutex<Kept>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Kept {
    lanes: HashMap<Lane, VecDeque<Arc<LogEntry>>>,
    /// Their lanes, the oldest first. A lane that was forgotten is still in it, so it says no less than there is.
    order: VecDeque<Lane>,
    facts: usize,
    bytes: usize,
}

impl Kept {
    fn forget_lane(&mut self, lane: &Lane) {
        for entry in self.lanes.remove(lane).into_iter().flatten() {
            self.facts -= 1;
            self.bytes -= entry.bytes;
        }
    }

    fn forget_oldest(&mut self) {
        let Some(lane) = self.order.pop_front() else { return };
        let Some(entries) = self.lanes.get_mut(&lane) else { return };
        if let Some(entry) = entries.pop_front() {
            self.facts -= 1;
            self.bytes -= entry.bytes;
        }
        if entries.is_empty() {
            self.lanes.remove(&lane);
        }
    }
}

impl Recent {
    /// Nothing was sent yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { kept: Mutex::default(), metrics }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a fact that follows all of its lane that were kept before.
    pub fn keep(&self, entry: &Arc<LogEntry>) {
        let mut kept = self.kept();
        let last = kept.lanes.get(&entry.lane).and_then(VecDeque::back);
        let follows = last.is_none_or(|last| last.lane_seq + 1 == entry.lane_seq);
        let is_kept = entry.event.texts().is_empty() && entry.bytes <= BYTES_MAX;
        if !is_kept || !follows {
            kept.forget_lane(&entry.lane);
        }
        if is_kept {
            kept.lanes.entry(entry.lane.clone()).or_default().push_back(Arc::clone(entry));
            kept.order.push_back(entry.lane.clone());
            kept.facts += 1;
            kept.bytes += entry.bytes;
        }
        while kept.order.len() > FACTS_MAX || kept.bytes > BYTES_MAX {
            kept.forget_oldest();
        }
        self.metrics.recent_facts.set(i64::try_from(kept.facts).unwrap_or(i64::MAX));
    }

    /// The first facts of a lane after `missed.start`, up to `missed.end`, `max` at most; none if the first of them is not
    /// here.
    #[must_use]
    pub fn page(&self, lane: &Lane, missed: &Range<i64>, max: usize) -> Vec<Arc<LogEntry>> {
        let kept = self.kept();
        let Some(entries) = kept.lanes.get(lane) else { return Vec::new() };
        let Some(first) = entries.front() else { return Vec::new() };
        // Dense, so its place tells where an entry lies.
        let Ok(skipped) = usize::try_from(missed.start + 1 - first.lane_seq) else { return Vec::new() };
        let within = |entry: &&Arc<LogEntry>| entry.lane_seq <= missed.end;
        entries.iter().skip(skipped).take(max).take_while(within).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Micros;
    use crate::db::entity::notification::NoticeLevel;
    use crate::events::event::{Announced, AnnouncedTo, Event, Text, UserChanged};
    use crate::events::log::{GENESIS, LaneHead, LogHead, Origin};

    fn entry(event: Event, lane_seq: i64, bytes: usize) -> Arc<LogEntry> {
        let head = LogHead { seq: 0, hash: GENESIS.into(), epoch: "e".into() };
        let lane = LaneHead { seq: lane_seq - 1, hash: GENESIS.into() };
        let origin = Origin { actor: "operator".into(), command_id: "c".into(), at: Micros(7) };
        let (mut entry, _) = LogEntry::chain(&head, &lane, &origin, event, &[7; 16]);
        entry.bytes = bytes;
        Arc::new(entry)
    }

    fn plain(user: &str, lane_seq: i64) -> Arc<LogEntry> {
        let user_id = user.parse().expect("a well-formed id");
        entry(Event::UserChanged(UserChanged { user_id }), lane_seq, 100)
    }

    fn worded(user: &str, lane_seq: i64) -> Arc<LogEntry> {
        let told = Announced {
            id: "a1".to_owned(),
            audience: AnnouncedTo::Everyone,
            user_id: Some(user.parse().expect("a well-formed id")),
            level: NoticeLevel::Info,
            message: Text::unlogged("later erased"),
            at: Micros(7),
        };
        entry(Event::Announced(told), lane_seq, 100)
    }

    fn seqs(recent: &Recent, user: &str, missed: Range<i64>, max: usize) -> Vec<i64> {
        let lane = Lane::User(user.parse().expect("a well-formed id"));
        recent.page(&lane, &missed, max).iter().map(|entry| entry.lane_seq).collect()
    }

    fn recent() -> Recent {
        Recent::new(Arc::new(Metrics::new()))
    }

    #[test]
    fn a_page_begins_right_after_what_is_known_or_is_not_there() {
        let recent = recent();
        for seq in 11..=20 {
            recent.keep(&plain("u1", seq));
            recent.keep(&plain("u2", seq - 10));
        }
        assert_eq!(seqs(&recent, "u1", 10..20, 100), (11..=20).collect::<Vec<_>>());
        assert_eq!(seqs(&recent, "u1", 14..18, 3), [15, 16, 17]);
        assert_eq!(seqs(&recent, "u1", 14..16, 3), [15, 16]);
        assert_eq!(seqs(&recent, "u1", 9..20, 100), [0; 0], "the tenth is only in the log");
        assert_eq!(seqs(&recent, "u1", 20..20, 100), [0; 0]);
        assert_eq!(seqs(&recent, "u2", 0..3, 100), [1, 2, 3]);
        assert_eq!(seqs(&recent, "u3", 0..3, 100), [0; 0]);
    }

    #[test]
    fn nothing_before_a_gap_and_nothing_with_free_text_is_kept() {
        let recent = recent();
        for gap in [plain("u1", 4), worded("u1", 3)] {
            recent.keep(&plain("u1", 1));
            recent.keep(&plain("u1", 2));
            assert_eq!(seqs(&recent, "u1", 0..9, 100), [1, 2]);
            recent.keep(&gap);
            assert_eq!(seqs(&recent, "u1", 0..9, 100), [0; 0]);
            assert_eq!(seqs(&recent, "u1", 2..9, 100), [0; 0]);
            recent.keep(&plain("u1", 5));
            assert_eq!(seqs(&recent, "u1", 4..9, 100), [5]);
            recent.keep(&plain("u1", 1));
        }
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let recent = recent();
        let facts = i64::try_from(FACTS_MAX).expect("a small number");
        for seq in 1..=facts + 10 {
            recent.keep(&plain("u1", seq));
        }
        assert_eq!(seqs(&recent, "u1", 9..20, 1), [0; 0]);
        assert_eq!(seqs(&recent, "u1", 10..20, 1), [11]);
        recent.keep(&entry(Event::UserChanged(UserChanged { user_id: "u2".parse().expect("an id") }), 1, BYTES_MAX));
        assert_eq!(seqs(&recent, "u1", facts..facts + 10, 100), [0; 0], "all made way for one");
        assert_eq!(seqs(&recent, "u2", 0..1, 1), [1]);
        recent.keep(&plain("u2", 2));
        assert_eq!((seqs(&recent, "u2", 0..2, 9), seqs(&recent, "u2", 1..2, 9)), (vec![], vec![2]));
    }
}
