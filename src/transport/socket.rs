//! Every socket command on one page; how a socket comes, asks and goes.
//!
//! Invariants: handlers are registered before the connection is acknowledged, so no first event and no early departure
//! is missed; the events of a socket are carried out one after the other, in their order; every event is answered.

use super::catalog::CLIENT_EVENTS;
use super::connection::{Connection, Connections, Full, Guest};
use super::request::{bearer, client_address, parameter, peer, take_command_id};
use super::rest::scoring::{ScoresQuery, read_marks};
use super::rest::setup::category_command;
use super::sync::{CatchUp, ResumeRequest};
use crate::app::App;
use crate::auth::actor::Actor;
use crate::certification::decisions::{
    ApproveDecision, CloseDecision, RaiseFlag, RequestDeduction, RequestRemoval, RequestUncertification,
};
use crate::certification::judges::{CertifySheet, SignFinal};
use crate::certification::officers::{OverrideStage, RejectStage, SignStage};
use crate::certification::ties::ResolveTie;
use crate::clock::Micros;
use crate::command::{Limit, parse, to_value};
use crate::commands::Command;
use crate::config::{Config, Transport};
use crate::db::entity::decision::DecisionKind;
use crate::error::{AppError, ErrorView, Refusal};
use crate::events::departure::Departure;
use crate::events::dispatcher::Outlet;
use crate::events::dispatcher::presence::Unsent;
use crate::events::room::LIVE_PATH;
use crate::ids::{CategoryId, ContestantId, SessionId, UserId};
use crate::metrics::Counted;
use crate::notices::ReadNotice;
use crate::publications::{FreezeResults, RevealResults, ThawResults};
use crate::scores::{BATCH_ITEMS_MAX, ConfirmScore, SubmitBatch, SubmitScore};
use crate::setup::assignments::{CreateAssignment, RemoveAssignment};
use crate::setup::entries::{ReinstateEntry, WithdrawEntry};
use crate::setup::spec::EntrySpec;
use crate::setup::{Mode, PutEntries};
use crate::traps::Trap;
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::{AckSender, Event, SocketRef, TryData};
use socketioxide::handler::{ConnectHandler, FromMessageParts};
use socketioxide::layer::SocketIoLayer;
use socketioxide::socket::{Sid, Socket};
use socketioxide::{ParserConfig, SocketIo, TransportType};
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Bytes of the commands that may wait for one socket.
const QUEUED_BYTES_MAX: usize = 1 << 20;
/// How long a transport may take to say which namespace it wants.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Marks a tablet may say it has not sent.
const UNSENT_MAX: u32 = 10_000;
/// How long a socket that has left or has to go keeps its connection: long enough to read what was said last, or to come
/// back over it.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// How late a trap greets.
const LATE: Duration = Duration::from_millis(20);

/// What an event of a client asks for.
enum Wish {
    /// Something is to change.
    Carry(Box<Command>),
    /// The marks of a category.
    Scores(ScoresRequest),
    /// What a command would come to.
    Preview(Box<Command>),
    /// What was missed of some lanes.
    Resume(ResumeRequest),
    /// A sign of life.
    Active(Option<Unsent>),
    /// To stay for longer.
    Extend(NewToken),
}

/// Reads an event: every one there is.
fn read(event: &str, payload: Value) -> Result<Wish, Refusal> {
    let carry = |command: Command| Wish::Carry(Box::new(command));
    Ok(match event {
        "scores:submit" => carry(parse::<SubmitScore>(payload)?.into()),
        "scores:submitBatch" => carry(parse::<SubmitBatch>(payload)?.into()),
        "scores:confirm" => carry(parse::<ConfirmScore>(payload)?.into()),
        "scores:request" => Wish::Scores(ScoresRequest::read(payload)?),
        "scores:certify" => carry(parse::<CertifySheet>(payload)?.into()),
        "scores:final" => carry(parse::<SignFinal>(payload)?.into()),
        "certification:sign" => carry(parse::<SignStage>(payload)?.into()),
        "certification:reject" => carry(parse::<RejectStage>(payload)?.into()),
        "certification:override" => carry(parse::<OverrideStage>(payload)?.into()),
        "tie:resolve" => carry(parse::<ResolveTie>(payload)?.into()),
        "deduction:requested" => carry(parse::<RequestDeduction>(payload)?.into()),
        "deduction:approve" => carry(ApproveDecision::read(DecisionKind::Deduction, payload)?.into()),
        "deduction:reject" => carry(CloseDecision::read(DecisionKind::Deduction, false, payload)?.into()),
        "deduction:withdraw" => carry(CloseDecision::read(DecisionKind::Deduction, true, payload)?.into()),
        "score:removal-requested" => carry(parse::<RequestRemoval>(payload)?.into()),
        "score:removal-sign" => carry(ApproveDecision::read(DecisionKind::Removal, payload)?.into()),
        "score:removal-reject" => carry(CloseDecision::read(DecisionKind::Removal, false, payload)?.into()),
        "uncertification:request" => carry(parse::<RequestUncertification>(payload)?.into()),
        "uncertification:approve" => carry(ApproveDecision::read(DecisionKind::Uncertification, payload)?.into()),
        "uncertification:reject" => carry(CloseDecision::read(DecisionKind::Uncertification, false, payload)?.into()),
        "flag:raise" => carry(parse::<RaiseFlag>(payload)?.into()),
        "flag:resolve" => carry(CloseDecision::read(DecisionKind::Flag, false, payload)?.into()),
        "results:freeze" => carry(parse::<FreezeResults>(payload)?.into()),
        "results:reveal" => carry(parse::<RevealResults>(payload)?.into()),
        "results:thaw" => carry(parse::<ThawResults>(payload)?.into()),
        "entry:withdraw" => carry(parse::<WithdrawEntry>(payload)?.into()),
        "entry:reinstate" => carry(parse::<ReinstateEntry>(payload)?.into()),
        "notification:read" => carry(parse::<ReadNotice>(payload)?.into()),
        "assignment:created" | "assignment:create" => carry(parse::<CreateAssignment>(payload)?.into()),
        "assignment:remove" => carry(parse::<RemoveAssignment>(payload)?.into()),
        "preview" => Wish::Preview(Box::new(previewed(payload)?)),
        "sync:resume" => Wish::Resume(parse(payload)?),
        "user:active" => Wish::Active(read_active(payload)?),
        "auth:refresh" => Wish::Extend(parse(payload)?),
        _ => return Err(Refusal::InvalidEvent),
    })
}

/// What a command would come to, before anybody carries it out.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewRequest {
    /// The name of the event that would carry it; `admin:category` and `admin:entries` for a changed set-up.
    command: String,
    /// Its payload.
    #[schema(value_type = Object)]
    payload: Value,
}

/// The start list of a category, as it would be put.
#[derive(Deserialize)]
struct NewEntries {
    id: CategoryId,
    entries: Vec<EntrySpec>,
}

/// Reads what is to be previewed: a command of the sockets, or one of the set-up that moves ranks.
///
/// # Errors
/// `INVALID_EVENT`, `INVALID_DATA`.
pub fn previewed(request: Value) -> Result<Command, Refusal> {
    let PreviewRequest { command, mut payload } = parse(request)?;
    take_command_id(&mut payload)?;
    match &*command {
        "admin:category" => Ok(category_command(Mode::Update, &payload)?.into()),
        "admin:entries" => {
            let NewEntries { id, entries } = parse(payload)?;
            Ok(PutEntries { category: id, entries }.into())
        }
        event => match read(event, payload)? {
            Wish::Carry(command) => Ok(*command),
            Wish::Scores(_) | Wish::Preview(_) | Wish::Resume(_) | Wish::Active(_) | Wish::Extend(_) => {
                Err(Refusal::InvalidEvent)
            }
        },
    }
}

/// What a tablet may say of itself with a sign of life.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveRequest {
    #[serde(default)]
    unsent: Option<u32>,
    #[serde(default)]
    oldest_unsent_at: Option<Micros>,
}

/// Nothing, a user id, of which only the shape counts, or an object: the socket's own user is who is active.
fn read_active(payload: Value) -> Result<Option<Unsent>, Refusal> {
    match payload {
        Value::Null => Ok(None),
        Value::String(id) => id.parse::<UserId>().map(|_| None).map_err(|wrong| Refusal::invalid("", wrong)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let ActiveRequest { unsent, oldest_unsent_at } = parse(payload)?;
            if unsent.is_some_and(|count| count > UNSENT_MAX) {
                return Err(Refusal::invalid("unsent", format!("is 0 to {UNSENT_MAX}")));
            }
            Ok(unsent.map(|count| Unsent { count, oldest_at: oldest_unsent_at.filter(|_| count > 0) }))
        }
    }
}

/// A later access token of the same user.
#[derive(Deserialize)]
struct NewToken {
    token: String,
}

/// `"categoryId"`, or an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScoresRequest {
    category_id: CategoryId,
    #[serde(default)]
    contestant_id: Option<ContestantId>,
    #[serde(default)]
    since_seq: Option<i64>,
}

impl ScoresRequest {
    fn read(payload: Value) -> Result<Self, Refusal> {
        if let Value::String(id) = payload { parse(json!({ "categoryId": id })) } else { parse(payload) }
    }
}

/// The Socket.IO layer and its handle.
#[must_use]
pub fn layer(config: &Config) -> (SocketIoLayer, SocketIo) {
    let builder = SocketIo::builder()
        .ping_interval(Duration::from_millis(config.ping_interval_ms))
        .ping_timeout(Duration::from_millis(config.ping_timeout_ms))
        .connect_timeout(CONNECT_TIMEOUT)
        .max_buffer_size(config.socket_buffer_max)
        .max_payload(config.frame_bytes_max as u64)
        .ws_max_message_size(config.frame_bytes_max)
        .ws_max_frame_size(config.frame_bytes_max)
        .with_parser(ParserConfig::common().max_incoming_binaries(0));
    let (websocket, polling) =
        (config.transports.contains(&Transport::Websocket), config.transports.contains(&Transport::Polling));
    match (websocket, polling) {
        (true, false) => builder.transports([TransportType::Websocket]),
        (false, true) => builder.transports([TransportType::Polling]),
        _ => builder,
    }
    .build_layer()
}

/// Opens the scoring plane.
pub fn open(app: &App, io: &SocketIo, outlet: Outlet, connections: Connections) {
    let door = Door { app: app.clone(), io: io.clone(), outlet, connections };
    let at_door = door.clone();
    let admit = move |socket: SocketRef, TryData(auth): TryData<Auth>| {
        let door = at_door.clone();
        async move { door.admit(&socket, auth.unwrap_or_default()).await }
    };
    let greet = move |socket: SocketRef| {
        // A trap: who has gone meanwhile is greeted all the same.
        let late = door.app.traps.is_set(Trap::JoinAfterLeave).then(|| door.clone());
        if late.is_none() {
            door.greet(&socket);
        }
        async move {
            if let Some(door) = late {
                tokio::time::sleep(LATE).await;
                door.greet(&socket);
            }
        }
    };
    io.ns("/", greet.with(admit));
}

/// Whether a session speaks in a namespace: one that has left one by itself may go on in another over the same
/// connection, or have come back.
pub(super) fn is_connected(io: &SocketIo, session: Sid) -> bool {
    let there = |path| io.of(path).and_then(|plane| plane.get_socket(session));
    // Who has left is found until it is forgotten, which may take a while.
    ["/", LIVE_PATH].into_iter().any(|path| there(path).is_some_and(|socket| socket.connected()))
}

/// What a client says when it connects.
#[derive(Deserialize, Default)]
struct Auth {
    #[serde(default)]
    token: Option<String>,
    /// What is missing from the connection before.
    #[serde(default)]
    resume: Option<Value>,
}

/// Whether a session began as a websocket.
fn is_upgrade(began_with: &Parts) -> bool {
    parameter(&began_with.uri, "transport") == Some("websocket")
}

/// Who a socket belongs to. Kept beside the socket, never told to anybody.
#[derive(Clone)]
struct Visitor {
    user: UserId,
    session: SessionId,
    /// When its token ends.
    until: Micros,
}

/// What a client said at the door that it has missed, as text.
#[derive(Clone)]
struct Missed(Arc<str>);

/// Where the events of a socket wait for its worker.
#[derive(Clone)]
struct Line {
    queue: mpsc::Sender<Incoming>,
    room: Arc<Semaphore>,
}

/// An event on its way to the socket's worker. It waits as text: parsed, a hostile one takes a hundred times its size.
struct Incoming {
    event: String,
    payload: String,
    answer: Answer,
    _held: OwnedSemaphorePermit,
}

/// Puts an event into the socket's queue, or gives it back when there is no room, in events or in bytes.
fn enqueue(
    queue: &mpsc::Sender<Incoming>,
    room: &Arc<Semaphore>,
    event: String,
    payload: String,
    answer: Answer,
) -> Result<(), (String, Answer)> {
    let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let Ok(held) = Arc::clone(room).try_acquire_many_owned(bytes) else { return Err((event, answer)) };
    queue.try_send(Incoming { event, payload, answer, _held: held }).map_err(|full| {
        let (mpsc::error::TrySendError::Full(incoming) | mpsc::error::TrySendError::Closed(incoming)) = full;
        (incoming.event, incoming.answer)
    })
}

/// Where the answer to an event goes: to its ack, or, without one, out as an event.
struct Answer {
    socket: SocketRef,
    ack: Option<AckSender>,
}

/// The first argument of an event, as the text the client sent; `null` where there is none.
pub(super) struct Payload(pub(super) String);

impl FromMessageParts<LocalAdapter> for Payload {
    type Error = Infallible;

    fn from_message_parts(
        _: &Arc<Socket<LocalAdapter>>,
        packet: &mut socketioxide_core::Value,
        _: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let socketioxide_core::Value::Str(text, _) = packet else { return Ok(Self("null".into())) };
        let arguments: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        Ok(Self(arguments.get(1).map_or_else(|| "null".to_owned(), |payload| payload.get().to_owned())))
    }
}

/// Whether the client waits for an ack; the library's sender does not tell.
pub(super) struct Wanted(pub(super) bool);

impl FromMessageParts<LocalAdapter> for Wanted {
    type Error = Infallible;

    fn from_message_parts(
        _: &Arc<Socket<LocalAdapter>>,
        _: &mut socketioxide_core::Value,
        ack: &Option<i64>,
    ) -> Result<Self, Infallible> {
        Ok(Self(ack.is_some()))
    }
}

#[derive(Clone)]
struct Door {
    app: App,
    io: SocketIo,
    outlet: Outlet,
    connections: Connections,
}

impl Door {
    async fn admit(&self, socket: &SocketRef, auth: Auth) -> Result<(), Refusal> {
        let count = |outcome| self.app.metrics.connections_total.with_label_values(&["scoring", outcome]).inc();
        let admitted = self.identify(socket, auth).await.and_then(|visitor| self.let_in(socket, &visitor));
        count(admitted.as_ref().map_or_else(|refusal| refusal.code().as_str(), |()| "accepted"));
        admitted
    }

    fn let_in(&self, socket: &SocketRef, visitor: &Visitor) -> Result<(), Refusal> {
        let began_with = socket.req_parts();
        // Over polling each request names the session; a websocket that began one does not.
        if let (true, Some(connection)) = (is_upgrade(began_with), began_with.extensions.get::<Connection>()) {
            connection.speaks_for(socket.id.as_str());
        }
        let gauge = self.app.metrics.connections_active.with_label_values(&["scoring"]);
        socket.extensions.insert(Counted::one(gauge));
        socket.extensions.insert(visitor.clone());
        socket.extensions.insert(Departure::default());
        let gone = CancellationToken::new();
        self.attend(socket, visitor, &gone);
        let max = self.app.config.sockets_per_user_max;
        self.outlet.admit(socket, &visitor.user, &visitor.session, visitor.until, &gone, max).inspect_err(
            |_too_many| {
                self.connections.refused(Full::User);
                gone.cancel();
            },
        )?;
        if let Some(guest) = began_with.extensions.get::<Guest>() {
            guest.leaves();
        }
        Ok(())
    }

    async fn identify(&self, socket: &SocketRef, auth: Auth) -> Result<Visitor, Refusal> {
        let parts = socket.req_parts();
        let token = auth.token.filter(|token| !token.is_empty());
        if let Some(resume) = auth.resume {
            socket.extensions.insert(Missed(resume.to_string().into()));
        }
        let known = match token.as_deref().or_else(|| bearer(&parts.headers)) {
            None => Err(Refusal::AuthRequired),
            Some(token) => self.app.admit_until(token).await,
        };
        match known {
            Ok((Actor::User { id, session }, until)) => Ok(Visitor { user: id, session, until }),
            Ok((Actor::Key { .. } | Actor::Operator, _)) => Err(Refusal::InvalidToken),
            Err(refusal) => {
                self.app.limits.anonymous_handshake(client_address(&self.app, peer(parts), &parts.headers))?;
                Err(refusal)
            }
        }
    }

    /// Registers what listens to the socket, and starts its one worker. The worker holds no socket of its own: when the
    /// last one is gone, its queue ends and so does it.
    fn attend(&self, socket: &SocketRef, visitor: &Visitor, gone: &CancellationToken) {
        let (queue, waiting) = mpsc::channel(self.app.config.socket_queue_max.max(1));
        let room = Arc::new(Semaphore::new(QUEUED_BYTES_MAX));
        socket.extensions.insert(Line { queue: queue.clone(), room: Arc::clone(&room) });
        let door = self.clone();
        socket.on_fallback(
            move |socket: SocketRef,
                  Event(event): Event,
                  Payload(payload): Payload,
                  Wanted(wanted): Wanted,
                  ack: AckSender| {
                // In this call, not in the future it returns: the library starts those in any order.
                let answer = Answer { socket, ack: wanted.then_some(ack) };
                if let Err((event, answer)) = enqueue(&queue, &room, event, payload, answer) {
                    door.refuse(answer, &event, &Refusal::Overloaded);
                }
                ready(())
            },
        );
        let (outlet, leaving, user) = (self.outlet.clone(), gone.clone(), visitor.user.clone());
        socket.on_disconnect(move |socket: SocketRef| {
            leaving.cancel();
            let (outlet, user) = (outlet.clone(), user.clone());
            // In the future, not in the call: the dispatcher disconnects sockets while it holds the books.
            async move { outlet.forget(&socket, &user) }
        });
        let (door, visitor, gone) = (self.clone(), visitor.clone(), gone.clone());
        let stopping = self.app.stopping.clone();
        let departure = socket.extensions.get::<Departure>().unwrap_or_default();
        let (id, io) = (socket.id, self.io.clone());
        self.app.tasks.spawn(async move {
            let connections = door.connections.clone();
            let attend = async {
                tokio::select! {
                    () = gone.cancelled() => {}
                    () = departure.begun() => {}
                    () = door.work(visitor, waiting) => {}
                }
                // The library leaves the connection of a socket open that has gone, and would for ever.
                departure.due(GRACE).await;
                if departure.has_begun() || !is_connected(&io, id) {
                    connections.cut_off(id.as_str()).await;
                }
            };
            tokio::select! {
                () = stopping.cancelled() => {}
                () = attend => {}
            }
        });
    }

    fn greet(&self, socket: &SocketRef) {
        let Some(Visitor { user, .. }) = socket.extensions.get::<Visitor>() else { return };
        self.outlet.greet(socket, &user, &limits(&self.app.config));
        // What was missed before this connection comes before anything the client asks for on it.
        if let (Some(Missed(payload)), Some(line)) = (socket.extensions.get(), socket.extensions.get::<Line>()) {
            let answer = Answer { socket: socket.clone(), ack: None };
            let event = "sync:resume".to_owned();
            if let Err((event, answer)) = enqueue(&line.queue, &line.room, event, payload.to_string(), answer) {
                self.refuse(answer, &event, &Refusal::Overloaded);
            }
        }
    }

    async fn work(self, mut visitor: Visitor, mut waiting: mpsc::Receiver<Incoming>) {
        while let Some(Incoming { event, payload, answer, _held }) = waiting.recv().await {
            match self.carry_out(&mut visitor, &answer.socket, &event, &payload).await {
                Ok(data) => {
                    self.count(&event, "ok");
                    if let Some(ack) = answer.ack {
                        self.outlet.acknowledge(&answer.socket, ack, &json!({ "ok": true, "data": data }));
                    } else if event == "scores:request" {
                        self.outlet.send(&answer.socket, "scores:data", &data["scores"]);
                    }
                }
                Err(refusal) => self.refuse(answer, &event, &refusal),
            }
        }
    }

    fn refuse(&self, answer: Answer, event: &str, refusal: &Refusal) {
        self.count(event, "refused");
        let correlation = self.app.chance.id(self.app.clock.now()).to_string();
        tracing::debug!(event, code = refusal.code().as_str(), correlation, "an event was refused");
        let error = ErrorView::of(refusal, Some(event), correlation);
        if let Some(ack) = answer.ack {
            self.outlet.acknowledge(&answer.socket, ack, &json!({ "ok": false, "error": error }));
        } else {
            self.outlet.send(&answer.socket, "error", &error);
        }
    }

    fn count(&self, event: &str, outcome: &str) {
        let event = CLIENT_EVENTS.iter().map(|known| known.name).find(|known| *known == event).unwrap_or("unknown");
        self.app.metrics.socket_events.with_label_values(&[event, "in", outcome]).inc();
    }

    async fn carry_out(
        &self,
        visitor: &mut Visitor,
        socket: &SocketRef,
        event: &str,
        payload: &str,
    ) -> Result<Value, Refusal> {
        // The socket is about to be cut; what comes until then is refused.
        if visitor.until <= self.app.clock.now() {
            return Err(Refusal::TokenExpired);
        }
        let actor = Actor::User { id: visitor.user.clone(), session: visitor.session.clone() };
        let asked = serde_json::from_str(payload).map_err(|wrong| Refusal::invalid("", wrong));
        let asked = asked.and_then(|mut payload| {
            let id = take_command_id(&mut payload)?;
            Ok((read(event, payload.clone())?, id, payload))
        });
        let (wish, id, payload) = asked.map_err(|refusal| {
            // Nonsense costs too, or it would be the cheapest way to keep a server busy.
            self.app.limit(&actor, Limit::Commands, 1, "malformed").err().unwrap_or(refusal)
        })?;
        match wish {
            Wish::Carry(command) => self.app.carry_out(actor, *command, id, &payload).await,
            Wish::Scores(request) => {
                self.app.limit_reading(&actor, "scores:request")?;
                let ScoresRequest { category_id, contestant_id, since_seq } = request;
                let query = ScoresQuery { contestant_id, since_seq, at: None };
                read_marks(&self.app, &actor, &category_id, query).await.map_err(AppError::into_refusal)
            }
            Wish::Preview(command) => {
                let foreseen = self.app.preview(actor, *command).await.map_err(AppError::into_refusal)?;
                to_value(foreseen)
            }
            Wish::Resume(request) => {
                self.app.limit_reading(&actor, "sync:resume")?;
                actor.must_be_signed_in(&self.app.state(), self.app.clock.now())?;
                let (app, outlet, user) = (&self.app, &self.outlet, &visitor.user);
                let catch_up = CatchUp { app, outlet, socket, user, actor: &actor };
                catch_up.resume(request).await.map_err(AppError::into_refusal)
            }
            Wish::Active(unsent) => {
                self.app.limit_reading(&actor, "user:active")?;
                let state = self.app.state();
                actor.must_be_signed_in(&state, self.app.clock.now())?;
                self.outlet.heartbeat(&visitor.user, &visitor.session, unsent);
                let heads = self.outlet.heads(&visitor.user);
                Ok(json!({ "serverTime": self.app.clock.now(), "epoch": state.head.epoch, "heads": heads }))
            }
            Wish::Extend(NewToken { token }) => {
                self.app.limit(&actor, Limit::Commands, 1, "auth:refresh")?;
                self.extend(visitor, socket, &token).await
            }
        }
    }

    /// Lets a socket stay as long as another token of its user is good. Whatever is wrong with that one, the socket goes
    /// on as it was.
    async fn extend(&self, visitor: &mut Visitor, socket: &SocketRef, token: &str) -> Result<Value, Refusal> {
        match self.app.admit_until(token).await {
            Ok((Actor::User { id, session }, until)) if id == visitor.user => {
                self.outlet.extend(socket, &id, &session, until)?;
                *visitor = Visitor { user: id, session, until };
                Ok(json!({ "exp": until }))
            }
            Ok(_) | Err(Refusal::TokenExpired | Refusal::SessionRevoked) => Err(Refusal::InvalidToken),
            Err(refusal) => Err(refusal),
        }
    }
}

/// What a client should know to stay within.
fn limits(config: &Config) -> Value {
    json!({
        "scoresPerMinute": config.rate_limit_scores_per_minute,
        "commandsPerMinute": config.rate_limit_commands_per_minute,
        "listsPerMinute": config.rate_limit_lists_per_minute,
        "batchItems": BATCH_ITEMS_MAX,
        "frameBytes": config.frame_bytes_max,
        "queuedCommands": config.socket_queue_max,
        "pingIntervalMs": config.ping_interval_ms,
    })
}
