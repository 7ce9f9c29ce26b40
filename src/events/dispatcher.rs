//! The dispatcher: the only module that emits. It reads the log in order and gives each member socket of a fact's lane
//! exactly one variant of it; rights move sockets here too, so that they are ordered with the data.
//!
//! Invariants: facts go out in `seq` order, after their commit; where a socket stands is changed only under the turn,
//! which is held while a fact goes out, so a socket's first heads and its first facts leave no gap between them.

mod expiry;
pub mod presence;

use super::audience::{Delivery, Office, variant_for};
use super::departure::Departure;
use super::event::{CassetteChanged, Event, Moves};
use super::following::Following;
use super::live::{Bounds, Live};
use super::log::{LogEntry, read_entries};
use super::public;
use super::room::{LIVE_PATH, Lane, LiveRoom, Room};
use super::view::{AnyView, Meta, TallyUpdated};
use crate::clock::{Clock, Micros};
use crate::db::entity::log_entry;
use crate::error::Refusal;
use crate::ids::{CategoryId, EventId, SessionId, UserId};
use crate::metrics::Metrics;
use crate::state::State;
use crate::traps::{Trap, Traps};
use arc_swap::ArcSwap;
use expiry::{NEVER, Stay};
use futures_util::FutureExt;
use presence::Presence;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::operators::BroadcastOperators;
use socketioxide::{BroadcastError, SendError, SocketError};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

/// Facts waiting for the dispatcher in memory; what does not fit is read back from the log.
const HANDOVER_MAX: usize = 16_384;
/// Facts read back at a time.
const REREAD_MAX: u64 = 1_000;
/// Facts sent in one go before others on this thread have their turn.
const STINT: usize = 64;
/// Events of the public sent in one go: some facts are thousands of them, and buffers have to be read from meanwhile.
const PUBLIC_STINT: usize = 16;
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

    /// Hands committed facts over. When too many wait, the oldest are let go: the dispatcher sees the gap and reads them
    /// back.
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

/// A socket and where it stands.
#[derive(Debug)]
struct Member {
    socket: SocketRef,
    session: SessionId,
    stay: Stay,
    /// Where it stands; nowhere before it was greeted.
    rooms: BTreeSet<Room>,
    /// Where each lane stood when its facts began to come; none for a lane it has not been let into.
    began: imbl::HashMap<Lane, i64>,
    /// What it was last told of its rights; nothing before it was greeted.
    told: Option<Value>,
    admitted: Instant,
    gone: CancellationToken,
}

/// What has been sent, and to whom the next fact goes.
#[derive(Debug)]
struct Turn {
    /// The last fact that was sent.
    sent: i64,
    /// Since when, as far as anybody asked, a later one has been waiting.
    behind_since: Option<Micros>,
    lanes: imbl::HashMap<Lane, i64>,
    members: HashMap<UserId, HashMap<String, Member>>,
    /// When the next socket is to be warned or cut.
    due: Micros,
    presence: Presence,
}

/// What the rest of the server holds of the dispatcher.
#[derive(Clone)]
pub struct Outlet {
    io: SocketIo,
    turn: Arc<Mutex<Turn>>,
    state: Arc<ArcSwap<State>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    traps: Traps,
    /// Those who watch over plain connections.
    pub live: Live,
    /// What becomes of recordings.
    pub cassettes: broadcast::Sender<(Arc<CassetteChanged>, Micros)>,
    /// Categories whose tally has changed; each waits once, whatever happens in it.
    changed: Arc<(Mutex<BTreeSet<CategoryId>>, Notify)>,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
}

/// Whether a socket has to go; one that was not admitted here has nothing to go from.
fn departure(socket: &SocketRef) -> Departure {
    socket.extensions.get::<Departure>().unwrap_or_default()
}

/// What a socket of the public follows.
fn following(socket: &SocketRef) -> Result<Following, Refusal> {
    socket.extensions.get().ok_or(Refusal::Internal)
}

/// An event of the public that is still to be sent.
struct ToPublic {
    rooms: Vec<String>,
    event: &'static str,
    payload: Value,
    meta: Value,
}

/// Counts what was sent in one go. Handshakes, greetings and those who write wait for the same threads: after a while it
/// is their turn.
#[derive(Default)]
struct Stint(usize);

impl Stint {
    async fn done(&mut self, cost: usize) {
        self.0 += cost;
        if self.0 >= STINT {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Cannot be written.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not meant to be written"))
    }
}

/// Whether a socket's buffer has no room. `emit` takes a place before it writes the packet, and gives the place back when
/// that fails: so what cannot be written says whether there was one, and is never sent.
#[expect(clippy::disallowed_methods, reason = "nothing is emitted")]
fn is_full(socket: &SocketRef) -> bool {
    matches!(socket.emit("", &Unwritable), Err(SendError::Socket(SocketError::InternalChannelFull)))
}

fn names<'a>(rooms: impl IntoIterator<Item = &'a Room>) -> Vec<String> {
    rooms.into_iter().map(Room::to_string).collect()
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
    /// An outlet over an I/O that has sent nothing yet.
    #[must_use]
    pub fn new(
        io: SocketIo,
        state: Arc<ArcSwap<State>>,
        clock: Clock,
        metrics: Arc<Metrics>,
        traps: Traps,
        bounds: Bounds,
    ) -> Self {
        let live = Live::new(Arc::clone(&state), clock.clone(), Arc::clone(&metrics), bounds);
        let cassettes = broadcast::Sender::new(CASSETTE_NEWS_MAX);
        let now = state.load();
        let lanes = now.lanes.iter().map(|(lane, head)| (lane.clone(), head.seq)).collect();
        let turn = Turn {
            sent: now.head.seq,
            behind_since: None,
            lanes,
            members: HashMap::new(),
            due: NEVER,
            presence: Presence::default(),
        };
        drop(now);
        Self {
            io,
            turn: Arc::new(Mutex::new(turn)),
            state,
            clock,
            metrics,
            traps,
            live,
            cassettes,
            changed: Arc::default(),
        }
    }

    /// Waits until tallies have changed, and says which.
    pub async fn changed_categories(&self) -> BTreeSet<CategoryId> {
        let (waiting, notify) = &*self.changed;
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

    /// Takes a socket into the books, before its connection is acknowledged: from now on it goes when its session or its
    /// token ends. It is let into its rooms with its greeting, because what the library sends before that may or may not
    /// arrive. `gone` says that it has left.
    ///
    /// # Errors
    /// `RATE_LIMIT` when the user has `sockets_max` already.
    pub fn admit(
        &self,
        socket: &SocketRef,
        user: &UserId,
        session: &SessionId,
        until: Micros,
        gone: &CancellationToken,
        sockets_max: usize,
    ) -> Result<(), Refusal> {
        let mut turn = self.turn();
        if turn.members.get(user).is_some_and(|members| members.len() >= sockets_max) {
            return Err(Refusal::TooManyConnections);
        }
        let member = Member {
            socket: socket.clone(),
            session: session.clone(),
            stay: Stay::new(until),
            rooms: BTreeSet::new(),
            began: imbl::HashMap::new(),
            told: None,
            admitted: Instant::now(),
            gone: gone.clone(),
        };
        turn.due = turn.due.min(until);
        turn.members.entry(user.clone()).or_default().insert(socket.id.to_string(), member);
        Ok(())
    }

    /// Lets a connected socket into its rooms, and tells it who it is and where each of its lanes stands: every later fact
    /// comes as a frame.
    pub fn greet(&self, socket: &SocketRef, user: &UserId, limits: &Value) {
        let mut turn = self.turn();
        let state = self.state.load();
        let (lanes, heads) = (lanes(&state, &turn, user), turn.lanes.clone());
        let member = turn.members.get_mut(user).and_then(|members| members.get_mut(socket.id.as_str()));
        let Some(member) = member.filter(|member| !member.gone.is_cancelled()) else {
            // Its session has ended since it was admitted, or it has left already.
            drop(turn);
            if self.traps.is_set(Trap::JoinAfterLeave) {
                let rooms = state.rooms_of(user);
                socket.join(names(&rooms));
                self.count_rooms(&rooms, 1);
                return;
            }
            self.forget(socket, user);
            self.send_away(socket);
            return;
        };
        let rooms = state.rooms_of(user);
        socket.join(names(&rooms));
        self.count_rooms(&rooms, 1);
        member.rooms = rooms;
        member.began = heads;
        let rights = rights(&state, user);
        let mut ready = rights.clone();
        ready["userId"] = json!(user);
        ready["lanes"] = json!(lanes);
        ready["serverTime"] = json!(self.clock.now());
        ready["limits"] = limits.clone();
        member.told = Some(rights);
        let (due, rooms) = (member.stay.due(), member.rooms.clone());
        self.send(socket, "session:ready", &ready);
        turn.due = turn.due.min(due);
        turn.presence.touch(user, self.clock.now());
        self.tell_newcomer(&turn, &state, user, socket, [&BTreeSet::new(), &rooms]);
    }

    /// Forgets a socket that has gone.
    pub fn forget(&self, socket: &SocketRef, user: &UserId) {
        let mut turn = self.turn();
        let Some(members) = turn.members.get_mut(user) else { return };
        let member = members.remove(socket.id.as_str());
        if members.is_empty() {
            turn.members.remove(user);
        }
        if let Some(member) = member {
            member.socket.leave_all();
            self.count_rooms(&member.rooms, -1);
            turn.presence.touch(user, self.clock.now());
        }
    }

    /// Forgets sockets that were admitted and never connected: the library tells nobody of those.
    pub fn forget_the_lost(&self) {
        let mut turn = self.turn();
        for members in turn.members.values_mut() {
            members.retain(|_, member| {
                let lost = member.told.is_none() && member.admitted.elapsed() > GREETING_MAX;
                if lost {
                    member.socket.leave_all();
                    self.count_rooms(&member.rooms, -1);
                    departure(&member.socket).soon();
                }
                !lost
            });
        }
        turn.members.retain(|_, members| !members.is_empty());
    }

    /// Where a user's lanes stand, as far as facts have been sent.
    #[must_use]
    pub fn heads(&self, user: &UserId) -> Value {
        let turn = self.turn();
        let seq = |lane: &Lane| turn.lanes.get(lane).copied().unwrap_or(0);
        let state = self.state.load();
        state
            .lanes_of(user)
            .iter()
            .map(|lane| (lane.to_string(), json!(seq(lane))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// What a socket missed of a lane: the facts after `since`, up to where the lane stood when its facts began to come to
    /// this socket. None for a socket that may not read the lane, or is gone.
    #[must_use]
    pub fn missed(&self, socket: &SocketRef, user: &UserId, lane: &Lane, since: i64) -> Option<Range<i64>> {
        let turn = self.turn();
        let member = turn.members.get(user)?.get(socket.id.as_str())?;
        let reads = self.state.load().is_member(&member.rooms, lane);
        reads.then(|| since..member.began.get(lane).copied().unwrap_or(0))
    }

    /// Sends facts of a lane again to one socket, by its rights as they are now. Says how many went: fewer than there are
    /// where its buffer is full, none where it may not read the lane any more.
    pub fn replay(&self, socket: &SocketRef, user: &UserId, entries: &[LogEntry]) -> Option<usize> {
        let turn = self.turn();
        let member = turn.members.get(user)?.get(socket.id.as_str())?;
        let state = self.state.load();
        if entries.iter().any(|entry| !state.is_member(&member.rooms, &entry.lane)) {
            return None;
        }
        let mut sent = 0;
        for entry in entries {
            let deliveries = entry.event.deliveries();
            let delivery = variant_of(&deliveries, &entry.lane, &member.rooms)?;
            if !self.send_again(&member.socket, user, &state.head.epoch, entry, delivery) {
                break;
            }
            sent += 1;
        }
        Some(sent)
    }

    #[expect(clippy::disallowed_methods, reason = "the dispatcher is where emitting belongs")]
    fn send_again(
        &self,
        socket: &SocketRef,
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
        let sent = if delivery.is_tick() {
            socket.emit(delivery.event, &(meta,))
        } else {
            socket.emit(delivery.event, &(&delivery.view, meta))
        };
        let outcome = if sent.is_ok() { "sent" } else { "full" };
        self.metrics.socket_events.with_label_values(&[delivery.event, "out", outcome]).inc();
        sent.is_ok()
    }

    fn count_rooms(&self, rooms: &BTreeSet<Room>, by: i64) {
        for room in rooms {
            self.metrics.room_members.with_label_values(&[kind(room)]).add(by);
        }
    }

    /// Sends something to one socket. Derived and ephemeral events carry no `meta`.
    #[expect(clippy::disallowed_methods, reason = "the dispatcher is where emitting belongs")]
    pub fn send<T: Serialize + ?Sized>(&self, socket: &SocketRef, event: &'static str, payload: &T) {
        // As a list of one argument: a payload that is a list must not be spread over several.
        let sent = if departure(socket).is_due() { None } else { Some(socket.emit(event, &(payload,))) };
        if matches!(sent, Some(Err(SendError::Socket(SocketError::InternalChannelFull)))) {
            self.cut_off(socket);
        }
        let outcome = if matches!(sent, Some(Ok(()))) { "sent" } else { "dropped" };
        self.metrics.socket_events.with_label_values(&[event, "out", outcome]).inc();
    }

    /// Answers a socket. An answer that has no room is missed like a fact.
    pub fn acknowledge(&self, socket: &SocketRef, ack: AckSender, said: &Value) {
        if let Err(SendError::Socket(SocketError::InternalChannelFull)) = ack.send(said) {
            self.cut_off(socket);
        }
    }

    /// Lets a socket of the public into rooms, and says where the lane of their event stands: every later fact comes.
    ///
    /// # Errors
    /// `NOT_FOUND` for an event or a race that is not there, or is a draft's, and for a race of another event than is
    /// named beside it; `TOO_LARGE` for too many rooms.
    pub fn join_public(&self, socket: &SocketRef, rooms: &[LiveRoom]) -> Result<(i64, Arc<str>), Refusal> {
        let following = following(socket)?;
        let turn = self.turn();
        let head = self.public_head(&turn, rooms)?;
        following.enter(rooms, &self.metrics)?;
        socket.join(rooms.iter().map(LiveRoom::to_string).collect::<Vec<_>>());
        // Whoever has left meanwhile would stay in the books of the library for ever; whoever has missed something must
        // not see what came after that. The library's `connected` does not say it: a quick client asks before it is true.
        if following.has_left() || departure(socket).is_due() {
            socket.leave_all();
            following.leave_all();
        }
        Ok(head)
    }

    /// Lets a socket of the public out of rooms: nothing comes from there any more.
    ///
    /// # Errors
    /// `NOT_FOUND` as for [`Self::join_public`]; it is out all the same.
    pub fn leave_public(&self, socket: &SocketRef, rooms: &[LiveRoom]) -> Result<(i64, Arc<str>), Refusal> {
        let following = following(socket)?;
        let turn = self.turn();
        socket.leave(rooms.iter().map(LiveRoom::to_string).collect::<Vec<_>>());
        following.leave(rooms);
        self.public_head(&turn, rooms)
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
        self.emit(turn, &delivery.rooms, &delivery.except, delivery.event, &(&delivery.view,));
    }

    /// Whether anybody is connected.
    #[must_use]
    pub fn is_anybody_there(&self) -> bool {
        !self.turn().members.is_empty()
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

    #[expect(clippy::disallowed_methods, reason = "the dispatcher is where emitting belongs")]
    fn emit<T: Serialize>(&self, turn: &Turn, rooms: &[Room], except: &[Room], event: &'static str, arguments: &T) {
        // For the library, to no room is to everyone; for us, a lane of the public has no member here.
        if rooms.is_empty() {
            return;
        }
        // The local adapter answers at once; were it ever to wait, the frame would be counted as lost, not forgotten.
        let sent = self.io.to(names(rooms)).except(names(except)).emit(event, arguments).now_or_never();
        let outcome = match sent {
            Some(Ok(())) => "sent",
            // A trap: what is done below about a full socket must not be done here.
            Some(Err(_)) if self.traps.is_set(Trap::EmitDropIgnored) => "sent",
            Some(Err(BroadcastError::Socket(errors))) => {
                let full = errors.iter().filter(|error| matches!(error, SocketError::InternalChannelFull)).count();
                self.cut_the_slow(turn, rooms, except, full);
                "dropped"
            }
            Some(Err(error)) => {
                tracing::error!(event, %error, "a frame could not be sent");
                "dropped"
            }
            None => "dropped",
        };
        self.metrics.socket_events.with_label_values(&[event, "out", outcome]).inc();
    }

    /// Cuts off those whose buffer had no room for a frame. The library's error counts them and names none, and its
    /// sockets do not tell how full they are; [`is_full`] finds out without taking a place. Where a buffer has been read
    /// from since, fewer are found than there were: then all go for whom the frame was, because nobody may stay who has
    /// missed one. (One that was read from while another was filled by this very frame would stay: it sees the gap in
    /// `seq`.)
    fn cut_the_slow(&self, turn: &Turn, rooms: &[Room], except: &[Room], lost: usize) {
        let stands_in = |member: &Member, rooms: &[Room]| rooms.iter().any(|room| member.rooms.contains(room));
        let members = turn.members.values().flat_map(HashMap::values);
        let meant: Vec<&Member> =
            members.filter(|member| stands_in(member, rooms) && !stands_in(member, except)).collect();
        let full: Vec<&Member> = meant.iter().copied().filter(|member| is_full(&member.socket)).collect();
        for member in if full.len() < lost { meant } else { full } {
            self.cut_off(&member.socket);
        }
    }

    /// Cuts a socket off that has missed something: out of every room first, so that nothing later reaches it. Its client
    /// comes back and resumes.
    pub fn cut_off(&self, socket: &SocketRef) {
        let departure = departure(socket);
        if departure.is_due() {
            return;
        }
        departure.at_once();
        socket.leave_all();
        if let Ok(following) = following(socket) {
            following.leave_all();
        }
        tracing::warn!("a socket did not keep up and is cut off");
        let plane = if socket.ns() == LIVE_PATH { "live" } else { "scoring" };
        self.metrics.slow_consumers.with_label_values(&[plane, "closed"]).inc();
    }

    /// Tells a socket to go; it has a moment to read so. One that does not read goes at once.
    fn send_away(&self, socket: &SocketRef) {
        departure(socket).soon();
        if matches!(socket.clone().disconnect(), Err(SocketError::InternalChannelFull)) {
            self.cut_off(socket);
        }
    }

    async fn dispatch(&self, entry: &LogEntry, stint: &mut Stint) {
        let public = self.send_fact(entry);
        stint.done(1).await;
        for told in &public {
            self.emit_public(told);
            stint.done(STINT / PUBLIC_STINT).await;
        }
    }

    /// Sends a fact to its members; what the public is told of it is still to be sent.
    fn send_fact(&self, entry: &LogEntry) -> Vec<ToPublic> {
        let mut turn = self.turn();
        self.expire(&mut turn);
        let state = self.state.load();
        // Before the lane moves on: whoever is told of their lanes here has this fact still to come.
        self.move_members(&mut turn, &state, entry.event.moves());
        turn.lanes.insert(entry.lane.clone(), entry.lane_seq);
        turn.sent = entry.seq;
        turn.behind_since = None;
        self.emit_fact(&turn, &state, entry);
        self.live.publish(&state, entry);
        let public = to_public(&state, entry);
        if let Event::CassetteChanged(fact) = &entry.event {
            // Nobody may be listening.
            let _unheard = self.cassettes.send((Arc::new(fact.clone()), entry.at));
        }
        drop(turn);
        let changed = entry.event.tallies(&state);
        if !changed.is_empty() {
            let (waiting, notify) = &*self.changed;
            waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(changed);
            notify.notify_one();
        }
        #[expect(clippy::cast_precision_loss, reason = "a lag in microseconds is far below 2^53")]
        self.metrics.dispatch_lag.set((self.clock.now().0 - entry.at.0) as f64 / 1e6);
        public
    }

    fn emit_fact(&self, turn: &Turn, state: &State, entry: &LogEntry) {
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
        let mut served = Vec::new();
        // The author of the command alone learns its id; their variant is chosen as everybody's is.
        if let Ok(actor) = entry.actor.parse::<UserId>()
            && let Some(own) = variant_for(&deliveries, &entry.lane, &standing(turn, state, &actor))
        {
            let room = [Room::User(actor)];
            self.emit_delivery(turn, &room, &[], own, &meta(Some(&entry.command_id)));
            served.extend(room);
        }
        for delivery in &deliveries {
            // A room of one person is no proof that they are a member of the lane: an author may have left it.
            if let ([Room::User(user)], false) = (delivery.rooms.as_slice(), matches!(entry.lane, Lane::User(_)))
                && variant_for(&deliveries, &entry.lane, &standing(turn, state, user)).is_none()
            {
                continue;
            }
            let except: Vec<Room> = served.iter().chain(&delivery.except).cloned().collect();
            self.emit_delivery(turn, &delivery.rooms, &except, delivery, &meta(None));
            served.extend(delivery.rooms.iter().cloned());
        }
    }

    /// Sends something to rooms of `/live`; who is in several gets it once.
    #[expect(clippy::disallowed_methods, reason = "the dispatcher is where emitting belongs")]
    fn emit_public(&self, told: &ToPublic) {
        let ToPublic { rooms, event, payload, meta } = told;
        // Whoever is let in or out waits for this.
        let _turn = self.turn();
        let to_rooms = || self.io.of(LIVE_PATH).map(|plane| plane.to(rooms.clone()));
        let sockets = || to_rooms().map(BroadcastOperators::sockets).unwrap_or_default();
        // Looked for before: afterwards nobody could tell who has missed it, and the public has no `seq` to tell by.
        for socket in sockets().iter().filter(|socket| is_full(socket)) {
            self.cut_off(socket);
        }
        let sent = to_rooms().and_then(|rooms| rooms.emit(*event, &(payload, meta)).now_or_never());
        if let Some(Err(BroadcastError::Socket(errors))) = &sent {
            let lost = errors.iter().filter(|error| matches!(error, SocketError::InternalChannelFull)).count();
            let meant = if lost > 0 { sockets() } else { Vec::new() };
            // One was filled in between by an answer. As in the scoring plane: where it cannot be told which, all go.
            let full: Vec<_> = meant.iter().filter(|socket| is_full(socket)).cloned().collect();
            for socket in if full.len() < lost { meant } else { full } {
                self.cut_off(&socket);
            }
        }
        let outcome = if matches!(sent, Some(Ok(()))) { "sent" } else { "dropped" };
        self.metrics.socket_events.with_label_values(&[event, "out", outcome]).inc();
    }

    fn emit_delivery(&self, turn: &Turn, rooms: &[Room], except: &[Room], delivery: &Delivery, meta: &Meta<'_>) {
        if delivery.is_tick() {
            return self.emit(turn, rooms, except, delivery.event, &(meta,));
        }
        if matches!(delivery.view, AnyView::MaskedScore(_)) {
            self.metrics.masked_frames.inc();
        }
        self.emit(turn, rooms, except, delivery.event, &(&delivery.view, meta));
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
    fn cut(&self, member: &Member) {
        member.socket.leave_all();
        self.count_rooms(&member.rooms, -1);
        self.send_away(&member.socket);
    }

    fn move_user(&self, turn: &mut Turn, state: &State, user: &UserId) {
        let Some(mut members) = turn.members.remove(user) else { return };
        turn.presence.touch(user, self.clock.now());
        let rooms = state.rooms_of(user);
        members.retain(|_, member| {
            let stands = state.sessions.get(&member.session).is_some_and(|session| session.revoked_at.is_none());
            // One that is being cut off must not come back into a room.
            if stands && !rooms.is_empty() && !departure(&member.socket).has_begun() {
                return true;
            }
            self.cut(member);
            false
        });
        let rights = rights(state, user);
        for member in members.values_mut().filter(|member| member.told.is_some()) {
            let enters = |lane: &Lane| !lane.rooms().iter().any(|room| member.rooms.contains(room));
            let entered: Vec<Lane> = state.lanes_of(user).into_iter().filter(enters).collect();
            for lane in entered {
                let head = turn.lanes.get(&lane).copied().unwrap_or(0);
                member.began.insert(lane, head);
            }
            member.socket.leave(names(member.rooms.difference(&rooms)));
            member.socket.join(names(rooms.difference(&member.rooms)));
            // An answer may have been lost meanwhile: those are given outside the turn.
            if departure(&member.socket).is_due() {
                member.socket.leave_all();
            }
            self.count_rooms(&member.rooms, -1);
            self.count_rooms(&rooms, 1);
            let before = std::mem::replace(&mut member.rooms, rooms.clone());
            if let Some(told) = &mut member.told
                && (before != rooms || *told != rights)
            {
                told.clone_from(&rights);
                let mut changed = rights.clone();
                changed["lanes"] = json!(lanes(state, turn, user));
                self.send(&member.socket, "session:changed", &changed);
                self.tell_newcomer(turn, state, user, &member.socket, [&before, &rooms]);
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
        let rooms = rooms.iter().flatten().map(LiveRoom::to_string).collect();
        ToPublic { rooms, event: told.event, payload: told.payload, meta: meta.clone() }
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

/// The hats a user wears, as sessions and `GET /me` tell them.
#[must_use]
pub fn hats(state: &State, user: &UserId) -> Vec<Value> {
    state
        .hats_worn(user)
        .map(|hat| {
            let mut view = json!({ "id": hat.id, "hat": hat.hat, "eventId": hat.event_id, "counts": hat.counts });
            if let Some(contest) = &hat.contest_id {
                view["contestId"] = json!(contest);
            }
            if let Some(category) = &hat.category_id {
                view["categoryId"] = json!(category);
            }
            view
        })
        .collect()
}

/// What a socket is told of its user's rights.
fn rights(state: &State, user: &UserId) -> Value {
    json!({ "role": state.role_of(user), "hats": hats(state, user) })
}

fn lanes(state: &State, turn: &Turn, user: &UserId) -> Vec<Value> {
    let seq = |lane: &Lane| turn.lanes.get(lane).copied().unwrap_or(0);
    state
        .lanes_of(user)
        .iter()
        .map(|lane| json!({ "lane": lane, "seq": seq(lane), "epoch": state.head.epoch }))
        .collect()
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
    let (mut cursor, mut stint) = (outlet.turn().sent, Stint::default());
    loop {
        let end = *head.borrow_and_update();
        while cursor < end {
            let mut waiting = handover.take();
            while waiting.front().is_some_and(|entry| entry.seq <= cursor) {
                waiting.pop_front();
            }
            if waiting.front().is_none_or(|entry| entry.seq > cursor + 1) {
                let until = waiting.front().map_or(end, |entry| entry.seq - 1);
                match reread(&db, cursor, until).await {
                    Ok(entries) => {
                        outlet.metrics.log_reread.inc_by(entries.len() as u64);
                        for entry in &entries {
                            outlet.dispatch(entry, &mut stint).await;
                            cursor = entry.seq;
                        }
                    }
                    Err(cause) => {
                        tracing::error!(error = format!("{cause:#}"), "the log could not be read back; trying again");
                        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    }
                }
            }
            for entry in waiting {
                if entry.seq == cursor + 1 {
                    outlet.dispatch(&entry, &mut stint).await;
                    cursor = entry.seq;
                }
            }
        }
        if head.changed().await.is_err() {
            return;
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
