//! The dispatcher: the only module that emits. It reads the log in order and gives each member socket of a fact's lane
//! exactly one variant of it; rights move sockets here too, so that they are ordered with the data.
//!
//! Invariants: facts go out in `seq` order, after their commit; where a socket stands is changed only under the turn,
//! which is held while a fact goes out, so a socket's first heads and its first facts leave no gap between them.

use super::audience::{Delivery, Office, variant_for};
use super::event::Moves;
use super::log::{LogEntry, read_entries};
use super::room::{Lane, Room};
use super::view::{AnyView, Meta, TallyUpdated};
use crate::clock::{Clock, Micros};
use crate::db::entity::log_entry;
use crate::ids::{CategoryId, SessionId, UserId};
use crate::metrics::Metrics;
use crate::state::State;
use arc_swap::ArcSwap;
use futures_util::FutureExt;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// Facts waiting for the dispatcher in memory; what does not fit is read back from the log.
const HANDOVER_MAX: usize = 16_384;
/// Facts read back at a time.
const REREAD_MAX: u64 = 1_000;
/// Categories whose tally waits to be sent; a category waits once, whatever happens in it.
const DERIVED_MAX: usize = 16_384;

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

    fn take(&self) -> VecDeque<Arc<LogEntry>> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A socket and where it stands.
#[derive(Debug)]
struct Member {
    socket: SocketRef,
    session: SessionId,
    rooms: BTreeSet<Room>,
}

/// What has been sent, and to whom the next fact goes.
#[derive(Debug)]
struct Turn {
    /// The last fact that was sent.
    sent: i64,
    /// Since when, as far as anybody asked, a later one has been waiting.
    behind_since: Option<Micros>,
    lanes: HashMap<Lane, i64>,
    members: HashMap<UserId, HashMap<String, Member>>,
}

/// What the rest of the server holds of the dispatcher.
#[derive(Clone)]
pub struct Outlet {
    io: SocketIo,
    turn: Arc<Mutex<Turn>>,
    state: Arc<ArcSwap<State>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    changed: mpsc::Sender<CategoryId>,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
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
    /// An outlet over an I/O that has sent nothing yet, and the categories whose tally will change.
    #[must_use]
    pub fn new(
        io: SocketIo,
        state: Arc<ArcSwap<State>>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> (Self, mpsc::Receiver<CategoryId>) {
        let lanes = state.load().lanes.iter().map(|(lane, seq)| (lane.clone(), *seq)).collect();
        let (changed, changes) = mpsc::channel(DERIVED_MAX);
        let turn = Arc::new(Mutex::new(Turn {
            sent: state.load().head.seq,
            behind_since: None,
            lanes,
            members: HashMap::new(),
        }));
        (Self { io, turn, state, clock, metrics, changed }, changes)
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a socket into its rooms before its connection is acknowledged. Should it never come to that, the library
    /// clears the rooms itself.
    pub fn admit(&self, socket: &SocketRef, user: &UserId) {
        let _turn = self.turn();
        socket.join(names(&self.state.load().rooms_of(user)));
    }

    /// Takes a connected socket in and tells it who it is and where each of its lanes stands: every later fact comes as
    /// a frame. What has changed since it was admitted is made up for.
    pub fn greet(&self, socket: &SocketRef, user: &UserId, session: &SessionId, limits: &Value) {
        let mut turn = self.turn();
        let state = self.state.load();
        let rooms = state.rooms_of(user);
        let stale: Vec<String> = {
            let wanted: BTreeSet<String> = names(&rooms).into_iter().collect();
            socket.rooms().iter().map(ToString::to_string).filter(|room| !wanted.contains(room)).collect()
        };
        socket.leave(stale);
        socket.join(names(&rooms));
        self.count_rooms(&rooms, 1);
        let member = Member { socket: socket.clone(), session: session.clone(), rooms };
        turn.members.entry(user.clone()).or_default().insert(socket.id.to_string(), member);
        let ready = json!({
            "userId": user, "role": state.role_of(user), "hats": hats(&state, user), "lanes": lanes(&state, &turn, user),
            "serverTime": self.clock.now(), "limits": limits,
        });
        self.send(socket, "session:ready", &ready);
        // Its session may have ended between the handshake and here.
        self.move_user(&mut turn, &state, user);
        drop(turn);
        // A socket that left meanwhile has had its farewell already; it must not stay in the books or the rooms.
        if !socket.connected() {
            socket.leave_all();
            self.forget(socket, user);
        }
    }

    /// Forgets a socket that has gone.
    pub fn forget(&self, socket: &SocketRef, user: &UserId) {
        let mut turn = self.turn();
        let Some(members) = turn.members.get_mut(user) else { return };
        if let Some(member) = members.remove(socket.id.as_str()) {
            self.count_rooms(&member.rooms, -1);
        }
        if members.is_empty() {
            turn.members.remove(user);
        }
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
        let outcome = if socket.emit(event, &(payload,)).is_ok() { "sent" } else { "dropped" };
        self.metrics.socket_events.with_label_values(&[event, "out", outcome]).inc();
    }

    /// Sends a tally to those who may see it.
    pub fn send_tally(&self, category: &CategoryId, tally: Value) {
        let _turn = self.turn();
        let delivery = Delivery::of(&Office(category), TallyUpdated(tally));
        self.emit(&delivery.rooms, &delivery.except, delivery.event, &(&delivery.view,));
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
    fn emit<T: Serialize>(&self, rooms: &[Room], except: &[Room], event: &'static str, arguments: &T) {
        // The local adapter answers at once; were it ever to wait, the frame would be counted as lost, not forgotten.
        let sent = self.io.to(names(rooms)).except(names(except)).emit(event, arguments).now_or_never();
        let outcome = match sent {
            Some(Ok(())) => "sent",
            Some(Err(error)) => {
                tracing::warn!(event, %error, "a frame did not fit into the buffer of a socket");
                self.metrics.slow_consumers.with_label_values(&["scoring", "dropped"]).inc();
                "dropped"
            }
            None => "dropped",
        };
        self.metrics.socket_events.with_label_values(&[event, "out", outcome]).inc();
    }

    fn dispatch(&self, entry: &LogEntry) {
        let mut turn = self.turn();
        turn.lanes.insert(entry.lane.clone(), entry.lane_seq);
        turn.sent = entry.seq;
        turn.behind_since = None;
        let state = self.state.load();
        self.move_members(&mut turn, &state, entry.event.moves());
        self.emit_fact(&state, entry);
        drop(turn);
        let changed = match &entry.lane {
            Lane::Category(category) => vec![category.clone()],
            Lane::Event(event) => state.categories_of(event).map(|category| category.row.id.clone()).collect(),
            Lane::User(_) | Lane::Public(_) | Lane::System => vec![],
        };
        for category in changed {
            // When full, the tally of this category goes out with its next fact.
            let _full = self.changed.try_send(category);
        }
        #[expect(clippy::cast_precision_loss, reason = "a lag in microseconds is far below 2^53")]
        self.metrics.dispatch_lag.set((self.clock.now().0 - entry.at.0) as f64 / 1e6);
    }

    fn emit_fact(&self, state: &State, entry: &LogEntry) {
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
            && let Some(own) = variant_for(&deliveries, &entry.lane, &state.rooms_of(&actor))
        {
            let room = [Room::User(actor)];
            self.emit_delivery(&room, &[], own, &meta(Some(&entry.command_id)));
            served.extend(room);
        }
        for delivery in &deliveries {
            // A room of one person is no proof that they are a member of the lane: an author may have left it.
            if let ([Room::User(user)], false) = (delivery.rooms.as_slice(), matches!(entry.lane, Lane::User(_)))
                && variant_for(&deliveries, &entry.lane, &state.rooms_of(user)).is_none()
            {
                continue;
            }
            let except: Vec<Room> = served.iter().chain(&delivery.except).cloned().collect();
            self.emit_delivery(&delivery.rooms, &except, delivery, &meta(None));
            served.extend(delivery.rooms.iter().cloned());
        }
    }

    fn emit_delivery(&self, rooms: &[Room], except: &[Room], delivery: &Delivery, meta: &Meta<'_>) {
        if delivery.is_tick() {
            return self.emit(rooms, except, delivery.event, &(meta,));
        }
        if matches!(delivery.view, AnyView::MaskedScore(_)) {
            self.metrics.masked_frames.inc();
        }
        self.emit(rooms, except, delivery.event, &(&delivery.view, meta));
    }

    fn move_members(&self, turn: &mut Turn, state: &State, moves: Moves<'_>) {
        let users: Vec<UserId> = match moves {
            Moves::Nobody => return,
            Moves::User(user) => vec![user.clone()],
            Moves::Event(event) => {
                let wears = |user: &&UserId| state.hats_worn(user).any(|hat| hat.event_id == *event);
                turn.members.keys().filter(wears).cloned().collect()
            }
        };
        for user in users {
            self.move_user(turn, state, &user);
        }
    }

    fn move_user(&self, turn: &mut Turn, state: &State, user: &UserId) {
        let Some(mut members) = turn.members.remove(user) else { return };
        let rooms = state.rooms_of(user);
        members.retain(|_, member| {
            let stands = state.sessions.get(&member.session).is_some_and(|session| session.revoked_at.is_none());
            if stands && !rooms.is_empty() {
                return true;
            }
            // Out of every room first: whatever becomes of the connection, nothing more is sent to it.
            member.socket.leave_all();
            self.count_rooms(&member.rooms, -1);
            if member.socket.clone().disconnect().is_err() {
                self.metrics.slow_consumers.with_label_values(&["scoring", "disconnect_failed"]).inc();
            }
            false
        });
        for member in members.values_mut() {
            if member.rooms == rooms {
                continue;
            }
            member.socket.leave(names(member.rooms.difference(&rooms)));
            member.socket.join(names(rooms.difference(&member.rooms)));
            self.count_rooms(&member.rooms, -1);
            self.count_rooms(&rooms, 1);
            member.rooms.clone_from(&rooms);
            let role = state.role_of(user);
            let changed = json!({ "role": role, "hats": hats(state, user), "lanes": lanes(state, turn, user) });
            self.send(&member.socket, "session:changed", &changed);
        }
        if !members.is_empty() {
            turn.members.insert(user.clone(), members);
        }
    }
}

/// The hats a user wears, as sessions and `GET /me` tell them.
#[must_use]
pub fn hats(state: &State, user: &UserId) -> Vec<Value> {
    state
        .hats_worn(user)
        .map(|hat| {
            json!({
                "id": hat.id, "hat": hat.hat, "eventId": hat.event_id, "contestId": hat.contest_id,
                "categoryId": hat.category_id, "counts": hat.counts,
            })
        })
        .collect()
}

fn lanes(state: &State, turn: &Turn, user: &UserId) -> Vec<Value> {
    let seq = |lane: &Lane| turn.lanes.get(lane).copied().unwrap_or(0);
    state
        .lanes_of(user)
        .iter()
        .map(|lane| json!({ "lane": lane, "seq": seq(lane), "epoch": state.head.epoch }))
        .collect()
}

/// Sends out what is committed, in order, until the writer ends.
pub async fn run(outlet: Outlet, handover: Arc<Handover>, db: DatabaseConnection) {
    let mut head = handover.head.subscribe();
    let mut cursor = outlet.state.load().head.seq.min(*head.borrow());
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
                            outlet.dispatch(entry);
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
                    outlet.dispatch(&entry);
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
