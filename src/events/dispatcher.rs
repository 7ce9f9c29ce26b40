//! The dispatcher: the only module that emits. It reads the log in order and gives each member socket of a fact's lane
//! exactly one variant of it; rights move sockets here too, so that they are ordered with the data.
//!
//! Invariants: facts go out in `seq` order, after their commit; where a socket stands is changed only under the turn,
//! which is held while a fact goes out, so a socket's first heads and its first facts leave no gap between them.

mod expiry;
pub mod presence;

use super::audience::{Audience, Delivery, Office, variant_for};
use super::event::{CassetteChanged, Event, Moves};
use super::following::Following;
use super::listener::{Ack, Listener, Outcome, Rooms, Round, Sent};
use super::live::{Bounds, Live};
use super::log::{LogEntry, read_entries};
use super::public;
use super::recent::Recent;
use super::room::{Lane, LiveRoom, Room};
use super::view::{AnyView, Meta, TallyUpdated};
use crate::auth::role::{Hat, Role};
use crate::clock::{Clock, Micros};
use crate::db::entity::{assignment, log_entry};
use crate::error::Refusal;
use crate::ids::{AssignmentId, CategoryId, ContestId, EventId, SessionId, UserId};
use crate::metrics::Metrics;
use crate::state::State;
use crate::state::rights::Reach;
use crate::traps::{Trap, Traps};
use crate::wire::{Flusher, Pen};
use arc_swap::ArcSwap;
use expiry::{NEVER, Stay};
use presence::Presence;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use socketioxide::SocketError;
use socketioxide::extract::SocketRef;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast, watch};

/// Facts waiting for the dispatcher in memory; what does not fit is read back from the log.
const HANDOVER_MAX: usize = 16_384;
/// Facts read back at a time.
const REREAD_MAX: u64 = 1_000;
/// Facts, or events of the public, at most, that are pushed before they are written. Some facts are thousands of events:
/// they must not fill the queue of a client that reads. Answers wait meanwhile, about as long as for one writing: to push so
/// many costs what it costs to write them once. A bound in time would break them up where most is won by keeping them
/// together, with many sockets. Nobody is let in or out while they are pushed.
const STINT: usize = 32;
/// How long a fact waits for others, at most.
const COMPANY_MAX: Duration = Duration::from_millis(10);
/// Whoever was written to last asks last for the next thing: after a long writing all wait for them, for this part of the
/// time it took. What they ask for would else cost a writing of its own.
const LAST_ONES: u32 = 32;
/// The runtime rounds up to whole milliseconds: for less than one nobody waits.
const COMPANY_MIN: Duration = Duration::from_millis(1);
/// How long a socket may take from being admitted to being greeted, before it is taken for lost.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// News of recordings that may wait for a listener; who is further behind is told the whole list.
const CASSETTE_NEWS_MAX: usize = 100;
/// How often sockets are looked after between the facts.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The way from the writer to the dispatcher.
#[derive(Debug)]
pub struct Handover {
    waiting: Mutex<VecDeque<Arc<LogEntry>>>,
    head: watch::Sender<i64>,
}

impl Handover {
    /// Nothing waits; the log ends at `head`.
    #[must_use]
    pub fn new(head: i64) -> Self {
        Self { waiting: Mutex::default(), head: watch::Sender::new(head) }
    }

    /// Hands committed facts over: without a gap between them, or to those before. When too many wait, the oldest are let
    /// go: the dispatcher sees the gap and reads them back.
    pub fn push(&self, entries: Vec<Arc<LogEntry>>, head: i64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(entries);
        let excess = waiting.len().saturating_sub(HANDOVER_MAX);
        waiting.drain(..excess);
        drop(waiting);
        self.head.send_replace(head);
    }

    /// Says when something was committed.
    #[must_use]
    pub fn head_changes(&self) -> watch::Receiver<i64> {
        self.head.subscribe()
    }

    fn take(&self) -> VecDeque<Arc<LogEntry>> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where lanes stand, as far as facts have been sent; those that are not there have none.
pub type Heads = imbl::HashMap<Lane, i64>;

/// A socket and where it stands.
#[derive(Debug)]
struct Member {
    listener: Listener,
    session: SessionId,
    stay: Stay,
    /// Where it stands; nowhere before it was greeted.
    rooms: BTreeSet<Room>,
    /// Where each lane stood when its facts began to come.
    began: Heads,
    /// What it was last told of its rights; nothing before it was greeted.
    told: Option<Box<str>>,
}

impl Member {
    /// Facts of the lanes it is let into by moving to these rooms begin to come.
    fn begins_anew(&mut self, rooms: &BTreeSet<Room>, heads: &Heads) {
        if self.rooms.iter().any(Room::has_all_lanes) {
            return;
        }
        let (mut began, others) = if rooms.iter().any(Room::has_all_lanes) {
            // Into everything: only what it stands in already goes on as it began.
            let kept: Vec<_> =
                self.rooms.iter().filter_map(Room::lane).map(|lane| with_head(lane, &self.began)).collect();
            (heads.clone(), kept)
        } else {
            let entered = rooms.difference(&self.rooms).filter_map(Room::lane);
            (std::mem::take(&mut self.began), entered.map(|lane| with_head(lane, heads)).collect())
        };
        for (lane, head) in others {
            began.insert(lane, head);
        }
        self.began = began;
    }
}

/// What has been sent, and to whom the next fact goes.
#[derive(Debug)]
struct Turn {
    /// The last fact that was sent.
    sent: i64,
    /// Since when, as far as anybody asked, a later one has been waiting.
    behind_since: Option<Micros>,
    lanes: Heads,
    members: HashMap<UserId, HashMap<u64, Member>>,
    /// Where the members stand.
    rooms: Rooms<Room>,
    /// Where the sockets of the public stand.
    public: Rooms<LiveRoom>,
    /// When the next socket is to be warned or cut.
    due: Micros,
    presence: Presence,
}

/// What the rest of the server holds of the dispatcher. A copy costs nothing: every request has one.
#[derive(Clone)]
pub struct Outlet(Arc<Dispatcher>);

/// What the dispatcher works with.
pub struct Dispatcher {
    turn: Mutex<Turn>,
    state: Arc<ArcSwap<State>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    traps: Traps,
    flusher: Flusher,
    /// Messages that may wait for one socket.
    waiting_max: usize,
    /// The last facts.
    pub recent: Recent,
    /// Those who watch over plain connections.
    pub live: Live,
    /// What becomes of recordings.
    pub cassettes: broadcast::Sender<(Arc<CassetteChanged>, Micros)>,
    /// Categories whose tally has changed; each waits once, whatever happens in it.
    changed: (Mutex<BTreeSet<CategoryId>>, Notify),
}

impl Deref for Outlet {
    type Target = Dispatcher;

    fn deref(&self) -> &Dispatcher {
        &self.0
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
}

/// What a socket of the public follows.
fn following(socket: &SocketRef) -> Result<Following, Refusal> {
    socket.extensions.get().ok_or(Refusal::Internal)
}

/// An event of the public that is still to be sent.
struct ToPublic {
    rooms: Vec<LiveRoom>,
    event: &'static str,
    payload: Value,
    meta: Value,
    /// Where its lane stands then.
    head: (Lane, i64),
}

/// What is sent in one go. It leaves in one write a socket.
struct Stint<'a> {
    pen: Pen<'a>,
    /// Facts that were pushed since the last writing, and events of the public. They are for different sockets, mostly.
    facts: usize,
    events: usize,
    /// How many of either it may be.
    max: usize,
    /// How long the longest writing took.
    longest: Duration,
}

impl Stint<'_> {
    async fn sent_facts(&mut self, count: usize) {
        self.facts += count;
        if self.facts >= self.max {
            self.end().await;
        }
    }

    async fn sent_events(&mut self, count: usize) {
        self.events += count;
        if self.events >= self.max {
            self.end().await;
        }
    }

    async fn end(&mut self) {
        // Handshakes, greetings and those who write wait for the same threads: it is their turn, too. What is answered now
        // leaves with the facts.
        tokio::task::yield_now().await;
        let began = Instant::now();
        self.pen.write().await;
        self.longest = self.longest.max(began.elapsed());
        (self.facts, self.events) = (0, 0);
    }
}

/// What went out last.
struct Went {
    facts: i64,
    /// How long the longest writing took.
    longest: Duration,
    at: Instant,
}

impl Went {
    /// How many facts may leave in one write, if they come before a moment. Whoever is answered when facts leave asks for the
    /// next thing then, and so do all others: what they ask for is committed one after the other, and a write to everybody
    /// is dearer than anything else. So as many are waited for as came last, while it takes no longer than that write did.
    /// Where few are connected, or little happens, nobody waits.
    fn company(&self) -> (i64, Instant) {
        (self.facts.min(i64::try_from(STINT).unwrap_or(i64::MAX)), self.at + self.longest.min(COMPANY_MAX))
    }
}

fn kind(room: &Room) -> &'static str {
    match room {
        Room::Everyone => "everyone",
        Room::User(_) => "user",
        Room::Role(_) => "role",
        Room::Event(_) => "event",
        Room::Contest(_) => "contest",
        Room::Category(_) => "category",
        Room::CategoryHat(..) | Room::CategoryFormerJudge(_) => "category_hat",
    }
}

impl Outlet {
    /// An outlet that has sent nothing yet; `waiting_max` messages may wait for one socket.
    #[must_use]
    pub fn new(
        state: Arc<ArcSwap<State>>,
        clock: Clock,
        metrics: Arc<Metrics>,
        traps: Traps,
        flusher: Flusher,
        bounds: Bounds,
        waiting_max: usize,
    ) -> Self {
        let live = Live::new(Arc::clone(&state), clock.clone(), Arc::clone(&metrics), flusher.clone(), bounds);
        let cassettes = broadcast::Sender::new(CASSETTE_NEWS_MAX);
        let now = state.load();
        let lanes = now.lanes.iter().map(|(lane, head)| (lane.clone(), head.seq)).collect();
        let turn = Turn {
            sent: now.head.seq,
            behind_since: None,
            lanes,
            members: HashMap::new(),
            rooms: Rooms::default(),
            public: Rooms::default(),
            due: NEVER,
            presence: Presence::default(),
        };
        drop(now);
        Self(Arc::new(Dispatcher {
            turn: Mutex::new(turn),
            state,
            clock,
            recent: Recent::new(Arc::clone(&metrics)),
            metrics,
            traps,
            flusher,
            waiting_max,
            live,
            cassettes,
            changed: (Mutex::default(), Notify::new()),
        }))
    }

    /// Waits until tallies have changed, and says which.
    pub async fn changed_categories(&self) -> BTreeSet<CategoryId> {
        let (waiting, notify) = &self.changed;
        loop {
            let changed = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if !changed.is_empty() {
                return changed;
            }
            notify.notified().await;
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits on the wires, for as long as it is let.
    pub async fn flush(self) {
        self.flusher.clone().run().await;
    }

    /// Takes a socket into the books, before its connection is acknowledged: from now on it goes when its session or its
    /// token ends. It is let into its rooms with its greeting, because what is sent before that may or may not arrive.
    ///
    /// # Errors
    /// `RATE_LIMIT` when the user has `sockets_max` already.
    pub fn admit(
        &self,
        listener: &Listener,
        user: &UserId,
        session: &SessionId,
        until: Micros,
        sockets_max: usize,
    ) -> Result<(), Refusal> {
        let mut turn = self.turn();
        if turn.members.get(user).is_some_and(|members| members.len() >= sockets_max) {
            return Err(Refusal::TooManyConnections);
        }
        let member = Member {
            listener: listener.clone(),
            session: session.clone(),
            stay: Stay::new(until),
            rooms: BTreeSet::new(),
            began: Heads::new(),
            told: None,
        };
        turn.due = turn.due.min(until);
        turn.members.entry(user.clone()).or_default().insert(listener.number(), member);
        Ok(())
    }

    /// Lets a connected socket into its rooms, and tells it who it is and where each of its lanes stands: every later fact
    /// comes as a frame. Gives back what it was told of its lanes; nothing, if it has left, or has to go.
    pub fn greet(&self, socket: &SocketRef, user: &UserId, limits: &RawValue) -> Vec<(Lane, i64)> {
        let Some(listener) = Listener::of(socket) else { return Vec::new() };
        let mut guard = self.turn();
        let turn = &mut *guard;
        let state = self.state.load();
        let reach = state.reach_of(user);
        let (rooms, lanes, heads) = (reach.rooms(), lanes(&reach, turn), turn.lanes.clone());
        let member = turn.members.get_mut(user).and_then(|members| members.get_mut(&listener.number()));
        let Some(member) = member.filter(|member| !member.listener.has_left()) else {
            // Its session has ended since it was admitted, or it has left already.
            if self.traps.is_set(Trap::JoinAfterLeave) {
                turn.rooms.enter(&rooms, &listener);
                self.count_rooms(&rooms, 1);
                return Vec::new();
            }
            drop(guard);
            self.forget(socket, user);
            self.send_away(&listener);
            return Vec::new();
        };
        turn.rooms.enter(&rooms, &listener);
        self.count_rooms(&rooms, 1);
        member.rooms.clone_from(&rooms);
        member.began = heads;
        let rights = Rights::of(&state, user);
        member.told = Some(rights.as_text().into());
        let here = Here { rights: &rights, lanes: Place::of(&state, &lanes) };
        let ready = Ready { here, user_id: user, server_time: self.clock.now(), limits };
        turn.due = turn.due.min(member.stay.due());
        self.send_to(&listener, "session:ready", &ready);
        turn.presence.touch(user, self.clock.now());
        self.tell_newcomer(turn, &state, &listener, (&reach, &lanes), [&BTreeSet::new(), &rooms]);
        lanes
    }

    /// Forgets a socket that has gone.
    pub fn forget(&self, socket: &SocketRef, user: &UserId) {
        let Some(listener) = Listener::of(socket) else { return };
        let mut guard = self.turn();
        let turn = &mut *guard;
        let Some(members) = turn.members.get_mut(user) else { return };
        let member = members.remove(&listener.number());
        if members.is_empty() {
            turn.members.remove(user);
        }
        if let Some(member) = member {
            self.let_out(&mut turn.rooms, &member);
            turn.presence.touch(user, self.clock.now());
        }
    }

    /// Forgets sockets that were admitted and never connected: the library tells nobody of those.
    pub fn forget_the_lost(&self) {
        let mut guard = self.turn();
        let turn = &mut *guard;
        for members in turn.members.values_mut() {
            members.retain(|_, member| {
                let lost = member.told.is_none() && member.listener.age() > GREETING_MAX;
                if lost {
                    self.let_out(&mut turn.rooms, member);
                    member.listener.departure().soon();
                }
                !lost
            });
        }
        turn.members.retain(|_, members| !members.is_empty());
        turn.public.retain(|listener| listener.socket.connected() || listener.age() <= GREETING_MAX);
    }

    /// Nothing more is sent to a member by a room.
    fn let_out(&self, rooms: &mut Rooms<Room>, member: &Member) {
        rooms.leave(&member.rooms, member.listener.number());
        self.count_rooms(&member.rooms, -1);
    }

    /// Where a user's lanes stand, as far as facts have been sent.
    #[must_use]
    pub fn heads(&self, user: &UserId) -> Value {
        let turn = self.turn();
        let state = self.state.load();
        let heads = lanes(&state.reach_of(user), &turn);
        heads.iter().map(|(lane, seq)| (lane.to_string(), json!(seq))).collect::<serde_json::Map<_, _>>().into()
    }

    /// Where a lane stood when its facts last began to come to a socket; where it stands, if they do not come live. None for
    /// a socket that may not read the lane, or is gone.
    #[must_use]
    pub fn began(&self, socket: &SocketRef, user: &UserId, lane: &Lane) -> Option<i64> {
        let turn = self.turn();
        let member = turn.members.get(user)?.get(&Listener::of(socket)?.number())?;
        let reads = self.state.load().is_member(&member.rooms, lane);
        let heads = if lane.comes_to(&member.rooms) { &member.began } else { &turn.lanes };
        reads.then(|| heads.get(lane).copied().unwrap_or(0))
    }

    /// Sends facts of a lane again to one socket, by its rights as they are now. Says how many went: fewer than there are
    /// where its buffer is full, none where it may not read the lane any more.
    pub fn replay(&self, socket: &SocketRef, user: &UserId, entries: &[Arc<LogEntry>]) -> Option<usize> {
        let turn = self.turn();
        let member = turn.members.get(user)?.get(&Listener::of(socket)?.number())?;
        let state = self.state.load();
        if entries.iter().any(|entry| !state.is_member(&member.rooms, &entry.lane)) {
            return None;
        }
        let mut sent = 0;
        for entry in entries {
            let deliveries = entry.event.deliveries();
            let delivery = variant_of(&deliveries, &entry.lane, &member.rooms)?;
            if !self.send_again(&member.listener, user, &state.head.epoch, entry, delivery) {
                break;
            }
            sent += 1;
        }
        Some(sent)
    }

    fn send_again(
        &self,
        listener: &Listener,
        user: &UserId,
        epoch: &str,
        entry: &LogEntry,
        delivery: &Delivery,
    ) -> bool {
        let lane = entry.lane.to_string();
        let command_id = (*entry.actor == *user.as_str()).then_some(&*entry.command_id);
        let meta = Meta {
            lane: &lane,
            seq: entry.lane_seq,
            // The history as it goes on now, whichever epoch it was decided in.
            epoch,
            ts: entry.at,
            replay: Some(true),
            command_id,
        };
        // Half of the queue is left for what happens meanwhile: whoever has no room for that is cut off.
        let max = (self.waiting_max / 2).max(1);
        let sent = if delivery.is_tick() {
            listener.send(delivery.event, &(meta,), &self.flusher, max)
        } else {
            listener.send(delivery.event, &(&delivery.view, meta), &self.flusher, max)
        };
        let outcome = if sent == Sent::Gone { "sent" } else { "full" };
        self.metrics.socket_events.with_label_values(&[delivery.event, "out", outcome]).inc();
        sent == Sent::Gone
    }

    fn count_rooms(&self, rooms: &BTreeSet<Room>, by: i64) {
        for room in rooms {
            self.metrics.room_members.with_label_values(&[kind(room)]).add(by);
        }
    }

    /// Sends something to one socket. Derived and ephemeral events carry no `meta`.
    pub fn send<T: Serialize + ?Sized>(&self, socket: &SocketRef, event: &'static str, payload: &T) {
        if let Some(listener) = Listener::of(socket) {
            self.send_to(&listener, event, payload);
        }
    }

    fn send_to<T: Serialize + ?Sized>(&self, listener: &Listener, event: &'static str, payload: &T) {
        // As a list of one argument: a payload that is a list must not be spread over several.
        let sent = listener.send(event, &(payload,), &self.flusher, self.waiting_max);
        if sent == Sent::Full {
            self.cut_off(listener);
        }
        let outcome = if sent == Sent::Gone { "sent" } else { "dropped" };
        self.metrics.socket_events.with_label_values(&[event, "out", outcome]).inc();
    }

    /// Answers a socket. An answer that has no room is missed like a fact.
    pub fn acknowledge(&self, socket: &SocketRef, ack: Ack, said: &impl Serialize) {
        if let Some(listener) = Listener::of(socket)
            && listener.answer(ack, said, &self.flusher, self.waiting_max) == Sent::Full
        {
            self.cut_off(&listener);
        }
    }

    /// Lets a socket of the public into rooms, and says where the lane of their event stands: every later fact comes.
    ///
    /// # Errors
    /// `NOT_FOUND` for an event or a race that is not there, or is a draft's, and for a race of another event than is
    /// named beside it; `TOO_LARGE` for too many rooms.
    pub fn join_public(&self, socket: &SocketRef, rooms: &[LiveRoom]) -> Result<(i64, Arc<str>), Refusal> {
        let following = following(socket)?;
        let listener = Listener::of(socket).ok_or(Refusal::Internal)?;
        let mut turn = self.turn();
        let head = self.public_head(&turn, rooms)?;
        // Whoever has left meanwhile would stay here for ever. The library's `connected` does not say it: a quick client
        // asks before it is true.
        if !listener.has_left() {
            following.enter(rooms, &self.metrics)?;
            turn.public.enter(rooms, &listener);
        }
        Ok(head)
    }

    /// Lets a socket of the public out of rooms: nothing comes from there any more.
    ///
    /// # Errors
    /// `NOT_FOUND` as for [`Self::join_public`]; it is out all the same.
    pub fn leave_public(&self, socket: &SocketRef, rooms: &[LiveRoom]) -> Result<(i64, Arc<str>), Refusal> {
        let following = following(socket)?;
        let listener = Listener::of(socket).ok_or(Refusal::Internal)?;
        let mut turn = self.turn();
        turn.public.leave(rooms, listener.number());
        following.leave(rooms);
        self.public_head(&turn, rooms)
    }

    /// Forgets a socket of the public that has gone.
    pub fn forget_public(&self, socket: &SocketRef) {
        let (Ok(following), Some(listener)) = (following(socket), Listener::of(socket)) else { return };
        let mut turn = self.turn();
        turn.public.leave(&following.leave_all(), listener.number());
    }

    /// Where the lane of the event stands that all these rooms are of.
    fn public_head(&self, turn: &Turn, rooms: &[LiveRoom]) -> Result<(i64, Arc<str>), Refusal> {
        let state = self.state.load();
        let mut of: Option<&EventId> = None;
        for room in rooms {
            let (event, missing) = match room {
                LiveRoom::Event(event) => (Some(event), Refusal::not_found("event", event)),
                LiveRoom::Race(race) => {
                    (state.races.get(race).map(|race| &race.event_id), Refusal::not_found("race", race))
                }
            };
            let event = event.filter(|event| state.is_public(event)).filter(|event| of.is_none_or(|of| of == *event));
            of = Some(event.ok_or(missing)?);
        }
        let seq = of.and_then(|event| turn.lanes.get(&Lane::Public(event.clone())).copied()).unwrap_or(0);
        Ok((seq, Arc::clone(&state.head.epoch)))
    }

    /// Sends a tally to those who may see it.
    pub fn send_tally(&self, category: &CategoryId, tally: Value) {
        let mut turn = self.turn();
        self.expire(&mut turn);
        self.tell(&turn, &Delivery::of(&Office(category), TallyUpdated(tally)));
    }

    /// Sends what is no fact to those it is meant for.
    fn tell(&self, turn: &Turn, delivery: &Delivery) {
        let (mut round, rooms) = (turn.rooms.round(), (&*delivery.rooms, &*delivery.except));
        self.put(&mut round, turn.rooms.begin(), rooms, delivery.event, &(&delivery.view,));
        self.push(&mut round);
    }

    /// Whether anybody stands where tallies of a category go.
    #[must_use]
    pub fn is_office_there(&self, category: &CategoryId) -> bool {
        self.turn().rooms.is_anybody_in(&Office(category).rooms())
    }

    /// How many sockets stand in rooms.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.turn().members.values().map(HashMap::len).sum()
    }

    /// For how long facts up to `head` have been waiting to be sent, in milliseconds.
    #[must_use]
    pub fn lag_ms(&self, head: i64) -> i64 {
        let mut turn = self.turn();
        if turn.sent >= head {
            turn.behind_since = None;
            return 0;
        }
        let now = self.clock.now();
        (now.0 - turn.behind_since.get_or_insert(now).0) / 1000
    }

    /// Puts something to a round, for those who stand in one of the first rooms and in none of the second, and have got
    /// nothing under this number.
    fn put<R: Clone + Eq + Hash, T: Serialize>(
        &self,
        round: &mut Round<'_, R>,
        number: u64,
        rooms: (&[R], &[R]),
        event: &'static str,
        arguments: &T,
    ) {
        if round.is_full() {
            self.push(round);
        }
        let full = round.put(rooms, number, (event, arguments));
        self.have_missed(&full);
    }

    /// Pushes what was put to a round.
    fn push<R: Clone + Eq + Hash>(&self, round: &mut Round<'_, R>) {
        let (events, full) = round.push(&self.flusher, self.waiting_max);
        for Outcome { event, is_dropped } in events {
            let outcome = if is_dropped { "dropped" } else { "sent" };
            self.metrics.socket_events.with_label_values(&[event, "out", outcome]).inc();
        }
        self.have_missed(&full);
    }

    /// Cuts off who had no room; not where a trap is set, for the drivers to find out.
    fn have_missed(&self, full: &[Listener]) {
        if self.traps.is_set(Trap::EmitDropIgnored) {
            return;
        }
        for listener in full {
            self.cut_off(listener);
        }
    }

    /// Cuts a socket off that has missed something: nothing later reaches it. Its client comes back and resumes.
    fn cut_off(&self, listener: &Listener) {
        if !listener.cut() {
            return;
        }
        tracing::warn!("a socket did not keep up and is cut off");
        self.metrics.slow_consumers.with_label_values(&[listener.plane(), "closed"]).inc();
    }

    /// Tells a socket to go; it has a moment to read so. One that does not read goes at once.
    fn send_away(&self, listener: &Listener) {
        listener.departure().soon();
        if matches!(listener.socket.clone().disconnect(), Err(SocketError::InternalChannelFull)) {
            self.cut_off(listener);
        }
    }

    async fn dispatch_all(&self, entries: &[Arc<LogEntry>], cursor: &mut i64) -> Went {
        let before = *cursor;
        // A quarter of a queue for facts and one for events: the rest is for what else a socket is told meanwhile.
        let max = STINT.min(self.waiting_max.min(self.live.queue_max()) / 4).max(1);
        let mut stint = Stint { pen: self.flusher.pen().await, facts: 0, events: 0, max, longest: Duration::ZERO };
        let mut rest = entries;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(max - stint.facts));
            let state = self.send_facts(now);
            stint.sent_facts(now.len()).await;
            let mut told = now.iter().flat_map(|entry| to_public(&state, entry));
            loop {
                let some: Vec<ToPublic> = told.by_ref().take(max - stint.events).collect();
                if some.is_empty() {
                    break;
                }
                self.push_public(&some);
                stint.sent_events(some.len()).await;
            }
            self.have_told_public(now);
            *cursor = now.last().map_or(*cursor, |entry| entry.seq);
            rest = later;
        }
        if stint.facts + stint.events > 0 {
            stint.end().await;
        }
        Went { facts: *cursor - before, longest: stint.longest, at: Instant::now() }
    }

    /// Sends facts to their members. What the public is told of them, by this state, is still to be sent.
    fn send_facts(&self, entries: &[Arc<LogEntry>]) -> Arc<State> {
        let mut guard = self.turn();
        let turn = &mut *guard;
        let state = self.state.load_full();
        let moves_nobody = |entry: &Arc<LogEntry>| matches!(entry.event.moves(), Moves::Nobody);
        let mut rest = entries;
        while let Some(first) = rest.first() {
            self.expire(turn);
            // Before the lane moves on: whoever is told of their lanes here has this fact still to come.
            self.move_members(turn, &state, first.event.moves());
            let stay = rest[1..].iter().take_while(|entry| moves_nobody(entry)).count();
            let (now, later) = rest.split_at(1 + stay);
            let mut round = turn.rooms.round();
            for entry in now {
                // Whoever comes to a lane of the public has what was not told there yet still to come.
                if !matches!(entry.lane, Lane::Public(_)) {
                    turn.lanes.insert(entry.lane.clone(), entry.lane_seq);
                }
                turn.sent = entry.seq;
                turn.behind_since = None;
                self.recent.keep(entry);
                self.put_fact(turn, &mut round, &state, entry);
            }
            self.push(&mut round);
            rest = later;
        }
        self.live.publish(&state, entries);
        for entry in entries {
            if let Event::CassetteChanged(fact) = &entry.event {
                // Nobody may be listening.
                let _unheard = self.cassettes.send((Arc::new(fact.clone()), entry.at));
            }
        }
        drop(guard);
        let mut changed = entries.iter().flat_map(|entry| entry.event.tallies(&state)).peekable();
        if changed.peek().is_some() {
            let (waiting, notify) = &self.changed;
            waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(changed);
            notify.notify_one();
        }
        if let Some(oldest) = entries.first() {
            #[expect(clippy::cast_precision_loss, reason = "a lag in microseconds is far below 2^53")]
            self.metrics.dispatch_lag.set((self.clock.now().0 - oldest.at.0) as f64 / 1e6);
        }
        state
    }

    fn put_fact(&self, turn: &Turn, round: &mut Round<'_, Room>, state: &State, entry: &LogEntry) {
        let deliveries = entry.event.deliveries();
        let lane = entry.lane.to_string();
        let meta = |command_id| Meta {
            lane: &lane,
            seq: entry.lane_seq,
            epoch: &entry.epoch,
            ts: entry.at,
            replay: None,
            command_id,
        };
        let number = turn.rooms.begin();
        // The author of the command alone learns its id; their variant is chosen as everybody's is.
        if let Ok(actor) = entry.actor.parse::<UserId>()
            && let Some(own) = variant_for(&deliveries, &entry.lane, &standing(turn, state, &actor))
        {
            self.put_delivery(round, number, (&[Room::User(actor)], &[]), own, &meta(Some(&entry.command_id)));
        }
        for delivery in &deliveries {
            // A room of one person is no proof that they are a member of the lane: an author may have left it.
            if let ([Room::User(user)], false) = (delivery.rooms.as_slice(), matches!(entry.lane, Lane::User(_)))
                && variant_for(&deliveries, &entry.lane, &standing(turn, state, user)).is_none()
            {
                continue;
            }
            self.put_delivery(round, number, (&delivery.rooms, &delivery.except), delivery, &meta(None));
        }
    }

    /// Sends events to rooms of `/live`; who is in several gets each once.
    fn push_public(&self, told: &[ToPublic]) {
        // Whoever is let in or out waits for this.
        let mut guard = self.turn();
        let turn = &mut *guard;
        let mut round = turn.public.round();
        for ToPublic { rooms, event, payload, meta, head: (lane, seq) } in told {
            self.put(&mut round, turn.public.begin(), (rooms, &[]), event, &(payload, meta));
            turn.lanes.insert(lane.clone(), *seq);
        }
        self.push(&mut round);
    }

    /// All has been sent that these facts mean to the public.
    fn have_told_public(&self, entries: &[Arc<LogEntry>]) {
        let mut public = entries.iter().filter(|entry| matches!(entry.lane, Lane::Public(_))).peekable();
        if public.peek().is_some() {
            let heads = public.map(|entry| (entry.lane.clone(), entry.lane_seq));
            self.turn().lanes.extend(heads);
        }
    }

    fn put_delivery(
        &self,
        round: &mut Round<'_, Room>,
        number: u64,
        rooms: (&[Room], &[Room]),
        delivery: &Delivery,
        meta: &Meta<'_>,
    ) {
        if delivery.is_tick() {
            return self.put(round, number, rooms, delivery.event, &(meta,));
        }
        if matches!(delivery.view, AnyView::MaskedScore(_)) {
            self.metrics.masked_frames.inc();
        }
        self.put(round, number, rooms, delivery.event, &(&delivery.view, meta));
    }

    fn move_members(&self, turn: &mut Turn, state: &State, moves: Moves<'_>) {
        let users: Vec<UserId> = match moves {
            Moves::Nobody => return,
            Moves::User(user) => vec![user.clone()],
            Moves::Event(event) => {
                let wears = |user: &&UserId| state.hats_ever(user).any(|hat| hat.event_id == *event);
                turn.members.keys().filter(wears).cloned().collect()
            }
        };
        for user in users {
            self.move_user(turn, state, &user);
        }
    }

    /// Ends a socket. Out of every room first: whatever becomes of the connection, nothing more is sent to it.
    fn cut(&self, rooms: &mut Rooms<Room>, member: &Member) {
        self.let_out(rooms, member);
        self.send_away(&member.listener);
    }

    fn move_user(&self, turn: &mut Turn, state: &State, user: &UserId) {
        let Some(mut members) = turn.members.remove(user) else { return };
        turn.presence.touch(user, self.clock.now());
        let reach = state.reach_of(user);
        let rooms = reach.rooms();
        members.retain(|_, member| {
            let stands = state.sessions.get(&member.session).is_some_and(|session| session.revoked_at.is_none());
            // One that is being cut off must not come back into a room.
            if stands && !rooms.is_empty() && !member.listener.departure().has_begun() {
                return true;
            }
            self.cut(&mut turn.rooms, member);
            false
        });
        let rights = Rights::of(state, user);
        let said = rights.as_text();
        for member in members.values_mut().filter(|member| member.told.is_some()) {
            member.begins_anew(&rooms, &turn.lanes);
            turn.rooms.leave(member.rooms.difference(&rooms), member.listener.number());
            turn.rooms.enter(rooms.difference(&member.rooms), &member.listener);
            self.count_rooms(&member.rooms, -1);
            self.count_rooms(&rooms, 1);
            let before = std::mem::replace(&mut member.rooms, rooms.clone());
            if let Some(told) = &mut member.told
                && (before != rooms || **told != *said)
            {
                *told = said.as_str().into();
                let lanes = lanes(&reach, turn);
                let changed = Here { rights: &rights, lanes: Place::of(state, &lanes) };
                self.send_to(&member.listener, "session:changed", &changed);
                self.tell_newcomer(turn, state, &member.listener, (&reach, &lanes), [&before, &rooms]);
            }
        }
        if !members.is_empty() {
            turn.members.insert(user.clone(), members);
        }
    }
}

/// What a public fact means to the rooms of its event and its race on `/live`.
fn to_public(state: &State, entry: &LogEntry) -> Vec<ToPublic> {
    let Lane::Public(event) = &entry.lane else { return Vec::new() };
    if !state.is_public(event) {
        return Vec::new();
    }
    let (lane, epoch) = (entry.lane.to_string(), &*state.head.epoch);
    let meta = Meta { lane: &lane, seq: entry.lane_seq, epoch, ts: entry.at, replay: None, command_id: None };
    let meta = json!(meta);
    let told = public::told_live(state, &entry.event).into_iter();
    told.map(|told| {
        let rooms = [Some(LiveRoom::Event(event.clone())), told.race.map(LiveRoom::Race)];
        let rooms = rooms.into_iter().flatten().collect();
        let head = (entry.lane.clone(), entry.lane_seq);
        ToPublic { rooms, event: told.event, payload: told.payload, meta: meta.clone(), head }
    })
    .collect()
}

/// The one variant of a fact that is read again by a viewer in these rooms. What is told to the public is told to all.
#[must_use]
pub fn variant_of<'a>(deliveries: &'a [Delivery], lane: &Lane, rooms: &BTreeSet<Room>) -> Option<&'a Delivery> {
    if matches!(lane, Lane::Public(_)) { deliveries.first() } else { variant_for(deliveries, lane, rooms) }
}

/// The rooms a user's sockets stand in. The state may be ahead of the fact that is being sent: rights that a later fact
/// takes are left until it is their turn.
fn standing(turn: &Turn, state: &State, user: &UserId) -> BTreeSet<Room> {
    let sockets = turn.members.get(user).and_then(|members| members.values().find(|member| member.told.is_some()));
    sockets.map_or_else(|| state.rooms_of(user), |member| member.rooms.clone())
}

/// A hat a user wears, as sessions and `GET /me` tell it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Worn<'a> {
    id: &'a AssignmentId,
    hat: Hat,
    event_id: &'a EventId,
    counts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    contest_id: Option<&'a ContestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category_id: Option<&'a CategoryId>,
}

/// The hats a user wears.
#[must_use]
pub fn hats<'a>(state: &'a State, user: &UserId) -> Vec<Worn<'a>> {
    let tell = |hat: &'a Arc<assignment::Model>| Worn {
        id: &hat.id,
        hat: hat.hat,
        event_id: &hat.event_id,
        counts: hat.counts,
        contest_id: hat.contest_id.as_ref(),
        category_id: hat.category_id.as_ref(),
    };
    state.hats_worn(user).map(tell).collect()
}

/// What a socket is told of its user's rights.
#[derive(Serialize)]
struct Rights<'a> {
    role: Option<Role>,
    hats: Vec<Worn<'a>>,
}

impl<'a> Rights<'a> {
    fn of(state: &'a State, user: &UserId) -> Self {
        Self { role: state.role_of(user), hats: hats(state, user) }
    }

    /// As a socket was told last, to be compared.
    fn as_text(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// What a socket is told when its rights have changed.
#[derive(Serialize)]
struct Here<'a> {
    #[serde(flatten)]
    rights: &'a Rights<'a>,
    lanes: Vec<Place<'a>>,
}

/// What a socket is told first.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready<'a> {
    #[serde(flatten)]
    here: Here<'a>,
    user_id: &'a UserId,
    server_time: Micros,
    limits: &'a RawValue,
}

/// Where a lane stands, as it is told.
#[derive(Serialize)]
struct Place<'a> {
    lane: &'a Lane,
    seq: i64,
    epoch: &'a str,
}

impl<'a> Place<'a> {
    fn of(state: &'a State, lanes: &'a [(Lane, i64)]) -> Vec<Self> {
        lanes.iter().map(|(lane, seq)| Self { lane, seq: *seq, epoch: &state.head.epoch }).collect()
    }
}

/// The lanes a session is told of, and where they stand, as far as facts have been sent.
fn lanes(reach: &Reach<'_>, turn: &Turn) -> Vec<(Lane, i64)> {
    reach.lanes().into_iter().map(|lane| with_head(lane, &turn.lanes)).collect()
}

/// A lane and where it stands.
fn with_head(lane: Lane, heads: &Heads) -> (Lane, i64) {
    let head = heads.get(&lane).copied().unwrap_or(0);
    (lane, head)
}

/// Looks after the sockets between the facts, which may be long in coming.
pub async fn watch(outlet: Outlet) {
    let mut often = tokio::time::interval(LOOK_EVERY);
    loop {
        often.tick().await;
        outlet.look_at_expiry();
        outlet.tell_presence();
        outlet.live.look();
    }
}

/// Sends out what is committed, in order, until the writer ends.
pub async fn run(outlet: Outlet, handover: Arc<Handover>, db: DatabaseConnection) {
    let mut head = handover.head.subscribe();
    let mut cursor = outlet.turn().sent;
    let mut went = Went { facts: 0, longest: Duration::ZERO, at: Instant::now() };
    while head.wait_for(|end| *end > cursor).await.is_ok() {
        let last_ones = went.at + went.longest / LAST_ONES;
        if last_ones.saturating_duration_since(Instant::now()) >= COMPANY_MIN {
            tokio::time::sleep_until(last_ones.into()).await;
        }
        let (facts, until) = went.company();
        if until.saturating_duration_since(Instant::now()) >= COMPANY_MIN {
            let company = head.wait_for(|end| *end >= cursor + facts);
            let _in_time_or_not = tokio::time::timeout_at(until.into(), company).await.is_ok();
        }
        let end = *head.borrow_and_update();
        let mut waiting = handover.take();
        while waiting.front().is_some_and(|entry| entry.seq <= cursor) {
            waiting.pop_front();
        }
        if waiting.front().is_none_or(|entry| entry.seq > cursor + 1) {
            let until = waiting.front().map_or(end, |entry| entry.seq - 1);
            match reread(&db, cursor, until).await {
                Ok(entries) => {
                    outlet.metrics.log_reread.inc_by(entries.len() as u64);
                    let entries: Vec<_> = entries.into_iter().map(Arc::new).collect();
                    went = outlet.dispatch_all(&entries, &mut cursor).await;
                }
                Err(cause) => {
                    tracing::error!(error = format!("{cause:#}"), "the log could not be read back; trying again");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        }
        // Not if there is still something before it: then all is read back.
        if waiting.front().is_some_and(|entry| entry.seq == cursor + 1) {
            went = outlet.dispatch_all(waiting.make_contiguous(), &mut cursor).await;
        }
    }
}

async fn reread(db: &DatabaseConnection, after: i64, until: i64) -> anyhow::Result<Vec<LogEntry>> {
    let rows = log_entry::Entity::find()
        .filter(log_entry::Column::Seq.gt(after))
        .filter(log_entry::Column::Seq.lte(until))
        .order_by_asc(log_entry::Column::Seq)
        .limit(REREAD_MAX)
        .all(db)
        .await?;
    read_entries(db, rows).await
}
