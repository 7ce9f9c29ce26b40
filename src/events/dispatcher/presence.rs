//! Which judges are there, and what their tablets have not sent yet: told to the office of what they judge, and to nobody
//! else. Derived: only this server's memory holds it, and a restart begins anew.
//!
//! Invariant: what changes is noted under the turn and told at the next look, so that a tablet that comes and goes many
//! times a second is told of once; nothing is emitted while the sockets are being closed.

use super::{Outlet, Turn};
use crate::clock::Micros;
use crate::events::audience::{Delivery, Office};
use crate::events::listener::Listener;
use crate::events::room::{Lane, Room};
use crate::events::view::JudgePresence;
use crate::ids::{CategoryId, SessionId, UserId};
use crate::state::State;
use crate::state::rights::{Reach, Seat};
use std::collections::{BTreeSet, HashMap};

/// Judges told of at one look; the others wait for the next.
const JUDGES_TOLD_MAX: usize = 64;
/// What an officer is told on coming, judges times categories.
const TOLD_ON_COMING_MAX: usize = 500;
/// Sessions of one judge whose marks are waited for: more tablets than anybody holds.
const SESSIONS_MAX: usize = 16;

/// What a tablet has not sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// How many marks.
    pub count: u32,
    /// When the first of them was made.
    pub oldest_at: Option<Micros>,
}

/// How it stands with a judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    online: bool,
    unsent: u32,
    oldest_unsent_at: Option<Micros>,
}

/// When somebody was there last, and what is still with their tablets: it stays known when they go.
#[derive(Debug)]
struct Seen {
    last: Micros,
    /// By session, because that is what a tablet keeps when its connection is lost; only what there is.
    unsent: HashMap<SessionId, Unsent>,
}

/// The book of who is there.
#[derive(Debug, Default)]
pub(super) struct Presence {
    seen: HashMap<UserId, Seen>,
    /// What the office was told last; of who is not in it, that they are not there.
    told: HashMap<UserId, (Standing, BTreeSet<CategoryId>)>,
    /// Of whom something may have changed.
    touched: BTreeSet<UserId>,
}

impl Presence {
    /// Notes that somebody came, went, or has other rights.
    pub(super) fn touch(&mut self, user: &UserId, now: Micros) {
        self.touched.insert(user.clone());
        self.seen.entry(user.clone()).or_insert_with(|| Seen { last: now, unsent: HashMap::new() }).last = now;
    }

    /// A tablet goes by another session from now on, with what it has not sent.
    pub(super) fn rename(&mut self, user: &UserId, from: &SessionId, to: &SessionId) {
        let Some(seen) = self.seen.get_mut(user) else { return };
        if let Some(unsent) = seen.unsent.remove(from) {
            seen.unsent.insert(to.clone(), unsent);
        }
    }

    fn heartbeat(&mut self, user: &UserId, session: &SessionId, unsent: Option<Unsent>, now: Micros) {
        let Some(seen) = self.seen.get_mut(user) else { return };
        seen.last = now;
        let Some(unsent) = unsent else { return };
        let before = seen.unsent.get(session).copied();
        if unsent.count == 0 {
            seen.unsent.remove(session);
        } else if before.is_some() || seen.unsent.len() < SESSIONS_MAX {
            seen.unsent.insert(session.clone(), unsent);
        }
        if seen.unsent.get(session).copied() != before {
            self.touched.insert(user.clone());
        }
    }
}

impl Turn {
    fn standing_of(&self, judge: &UserId) -> Standing {
        let online = self.members.get(judge).is_some_and(|members| members.values().any(|one| one.told.is_some()));
        let unsent = || self.presence.seen.get(judge).into_iter().flat_map(|seen| seen.unsent.values());
        Standing {
            online,
            unsent: unsent().map(|unsent| unsent.count).sum(),
            oldest_unsent_at: unsent().filter_map(|unsent| unsent.oldest_at).min(),
        }
    }

    /// What the office of a category is told of a judge.
    fn presence_in(&self, category: &CategoryId, judge: &UserId, standing: Standing) -> Delivery {
        let view = JudgePresence {
            judge_id: judge.clone(),
            category_id: category.clone(),
            online: standing.online,
            last_seen: self.presence.seen.get(judge).map(|seen| seen.last),
            unsent: standing.unsent,
            oldest_unsent_at: standing.oldest_unsent_at,
        };
        Delivery::of(&Office(category), view)
    }
}

impl Outlet {
    /// Takes a sign of life, with what the tablet has not sent yet, if it says.
    pub fn heartbeat(&self, user: &UserId, session: &SessionId, unsent: Option<Unsent>) {
        self.turn().presence.heartbeat(user, session, unsent, self.clock.now());
    }

    /// Tells the offices what has changed with their judges.
    pub fn tell_presence(&self) {
        let mut turn = self.turn();
        let state = self.state.load();
        for _ in 0..JUDGES_TOLD_MAX {
            let Some(judge) = turn.presence.touched.pop_first() else { return };
            self.tell_of(&mut turn, &state, &judge);
        }
    }

    fn tell_of(&self, turn: &mut Turn, state: &State, judge: &UserId) {
        if let Some(seen) = turn.presence.seen.get_mut(judge) {
            // The tablet of an ended session says again what it holds once it is signed in again.
            let stands =
                |session: &SessionId| state.sessions.get(session).is_some_and(|session| session.revoked_at.is_none());
            seen.unsent.retain(|session, _| stands(session));
        }
        let reach = state.reach_of(judge);
        let judged: BTreeSet<CategoryId> =
            reach.seats(&reach.lanes(), Seat::Judge).map(|category| category.row.id.clone()).collect();
        let standing = turn.standing_of(judge);
        let (before, told) = turn.presence.told.remove(judge).unwrap_or_default();
        for category in &judged {
            let before = if told.contains(category) { before } else { Standing::default() };
            if before != standing {
                self.tell(turn, &turn.presence_in(category, judge, standing));
            }
        }
        let no_judge = |category: &CategoryId| {
            state.categories.get(category).is_some_and(|category| state.seat(judge, category) != Seat::Judge)
        };
        for category in told.difference(&judged).filter(|category| no_judge(category)) {
            self.tell(turn, &turn.presence_in(category, judge, Standing::default()));
        }
        if judged.is_empty() {
            turn.presence.seen.remove(judge);
        } else if standing != Standing::default() {
            turn.presence.told.insert(judge.clone(), (standing, judged));
        }
    }

    /// Tells an officer how it stands with the judges of every category in whose office they are now and were not
    /// before.
    pub(super) fn tell_newcomer(
        &self,
        turn: &Turn,
        state: &State,
        listener: &Listener,
        (reach, lanes): (&Reach<'_>, &[(Lane, i64)]),
        rooms: [&BTreeSet<Room>; 2],
    ) {
        let [before, now] = rooms;
        let offices = reach.seats(lanes.iter().map(|(lane, _)| lane), Seat::Office);
        let judges = offices.flat_map(|category| {
            let there = state.panel(category).into_iter().filter(|judge| judge.active);
            there.map(|judge| (category.row.id.clone(), judge.judge))
        });
        let deliveries = judges
            .filter(|(_, judge)| state.role_of(judge).is_some())
            .map(|(category, judge)| turn.presence_in(&category, &judge, turn.standing_of(&judge)))
            .filter(|delivery| delivery.reaches(now) && !delivery.reaches(before));
        for delivery in deliveries.take(TOLD_ON_COMING_MAX) {
            self.send_to(listener, delivery.event, &delivery.view);
        }
    }
}
