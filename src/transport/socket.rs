//! Every socket command on one page; how a socket comes, asks and goes.
//!
//! Invariants: handlers are registered before the connection is acknowledged, so no first event and no early departure
//! is missed; the events of a socket are carried out one after the other, in their order, after its greeting (that there
//! is no room for one may be said before); every event is answered.

use super::catalog::CLIENT_EVENTS;
use super::connection::{Connection, Connections, Full, Guest};
use super::line::{Incoming, Line};
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
use crate::events::listener::{Ack, Listener};
use crate::events::room::{LIVE_PATH, Lane};
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
use crate::wire::weave::Namespace;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
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

/// Bytes a websocket is read into at a time; a longer message grows the buffer.
const READ_BYTES: usize = 512;
/// How long a transport may take to say which namespace it wants.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Marks a tablet may say it has not sent.
const UNSENT_MAX: u32 = 10_000;
/// How long a socket that has left or has to go keeps its connection: long enough to read what was said last, or to come
/// back over it.
const GRACE: Duration = Duration::from_millis(500);
/// How late a trap greets: as a server does that is busy.
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
        .ws_read_buffer_size(READ_BYTES)
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
    let limits = limits(&app.config);
    let door = Arc::new(Door { app: app.clone(), io: io.clone(), outlet, connections, limits });
    let at_door = Arc::clone(&door);
    let admit = move |socket: SocketRef, TryData(auth): TryData<Auth>| {
        let door = Arc::clone(&at_door);
        async move { door.admit(&socket, auth.unwrap_or_default()).await }
    };
    let greet = move |socket: SocketRef| {
        let late = [Trap::JoinAfterLeave, Trap::GreetLate].into_iter().any(|trap| door.app.traps.is_set(trap));
        let late = late.then(|| Arc::clone(&door));
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
fn is_connected(io: &SocketIo, session: Sid) -> bool {
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

/// Makes a listener of a socket that is let in. Where its session began as a websocket, it is sent to over the wire of that
/// connection; over polling each request names the session.
pub(super) fn listener(socket: &SocketRef, namespace: Namespace) -> Listener {
    let began_with = socket.req_parts();
    let connection = own_connection(began_with);
    if let Some(connection) = connection {
        connection.speaks_for(socket.id.as_str());
    }
    Listener::new(socket.clone(), namespace, connection.map(Connection::wire))
}

/// The connection of a session that began as a websocket, which it keeps to.
fn own_connection(began_with: &Parts) -> Option<&Connection> {
    let began_as_websocket = parameter(&began_with.uri, "transport") == Some("websocket");
    began_with.extensions.get::<Connection>().filter(|_| began_as_websocket)
}

/// When a socket leaves or has to go, has nothing more done for it, and cuts what it leaves behind after a moment. Holds no
/// socket of its own.
pub(super) fn see_off(
    app: &App,
    io: &SocketIo,
    connections: &Connections,
    listener: &Listener,
    end: impl FnOnce() + Send + 'static,
) {
    let (id, connection) = (listener.socket.id, own_connection(listener.socket.req_parts()).cloned());
    let (io, connections, app) = (io.clone(), connections.clone(), app.clone());
    listener.departure().is_attended_by(move |departure| {
        end();
        app.tasks.clone().spawn(async move {
            let cut_off = async {
                // The library leaves the connection of a socket open that has gone, and would for ever.
                departure.due(GRACE).await;
                if departure.has_begun() || !is_connected(&io, id) {
                    connections.cut_off(id.as_str(), connection).await;
                }
            };
            // When the server ends, it ends every connection.
            tokio::select! {
                () = app.stopping.cancelled() => {}
                () = cut_off => {}
            }
        });
    });
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
struct Missed(String);

/// A worker at its work. However it ends before all is done, nothing more waits for it; a socket whose worker panicked has
/// to go, because nobody would answer it.
struct Working<'a> {
    line: &'a Line,
    departure: &'a Departure,
    is_done: bool,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.line.close();
        }
        if std::thread::panicking() {
            self.departure.soon();
        }
    }
}

/// Where the answer to an event goes: to its ack, or, without one, out as an event.
pub(super) struct Answer {
    socket: SocketRef,
    ack: Option<Ack>,
}

/// What an event is answered that was carried out.
#[derive(Serialize)]
struct Done {
    data: Value,
    ok: bool,
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

/// How the client is answered, where it waits for that.
pub(super) struct Wanted(pub(super) Option<Ack>);

impl FromMessageParts<LocalAdapter> for Wanted {
    type Error = Infallible;

    fn from_message_parts(
        socket: &Arc<Socket<LocalAdapter>>,
        packet: &mut socketioxide_core::Value,
        number: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let sender = AckSender::from_message_parts(socket, packet, number)?;
        Ok(Self(number.map(|id| Ack { id, sender })))
    }
}

struct Door {
    app: App,
    io: SocketIo,
    outlet: Outlet,
    connections: Connections,
    limits: Box<RawValue>,
}

impl Door {
    async fn admit(self: &Arc<Self>, socket: &SocketRef, auth: Auth) -> Result<(), Refusal> {
        let count = |outcome| self.app.metrics.connections_total.with_label_values(&["scoring", outcome]).inc();
        let admitted = self.identify(socket, auth).await.and_then(|visitor| self.let_in(socket, &visitor));
        count(admitted.as_ref().map_or_else(|refusal| refusal.code().as_str(), |()| "accepted"));
        admitted
    }

    fn let_in(self: &Arc<Self>, socket: &SocketRef, visitor: &Visitor) -> Result<(), Refusal> {
        let listener = listener(socket, Namespace::Scoring);
        let gauge = self.app.metrics.connections_active.with_label_values(&["scoring"]);
        socket.extensions.insert(Counted::one(gauge));
        socket.extensions.insert(visitor.clone());
        self.attend(&listener, visitor);
        let max = self.app.config.sockets_per_user_max;
        self.outlet.admit(&listener, &visitor.user, &visitor.session, visitor.until, max).inspect_err(|_too_many| {
            self.connections.refused(Full::User);
            listener.departure().leaves();
        })?;
        if let Some(guest) = socket.req_parts().extensions.get::<Guest>() {
            guest.leaves();
        }
        listener.awaits_greeting();
        Ok(())
    }

    async fn identify(&self, socket: &SocketRef, auth: Auth) -> Result<Visitor, Refusal> {
        let parts = socket.req_parts();
        let token = auth.token.filter(|token| !token.is_empty());
        if let Some(resume) = auth.resume {
            socket.extensions.insert(Missed(resume.to_string()));
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

    /// Registers what listens to the socket.
    fn attend(self: &Arc<Self>, listener: &Listener, visitor: &Visitor) {
        let socket = &listener.socket;
        let line = Line::new(self.app.config.socket_queue_max);
        socket.extensions.insert(line.clone());
        let door = Arc::clone(self);
        socket.on_fallback(
            move |socket: SocketRef, Event(event): Event, Payload(payload): Payload, Wanted(ack): Wanted| {
                // In this call, not in the future it returns: the library starts those in any order.
                door.enqueue(Incoming { event, payload, answer: Answer { socket, ack }, greeted_at: Vec::new() });
                ready(())
            },
        );
        // Of a socket that is lost between its admission and its greeting nothing else tells.
        let waiting = line.clone();
        see_off(&self.app, &self.io, &self.connections, listener, move || waiting.close());
        let (door, departure, user) = (Arc::clone(self), listener.departure().clone(), visitor.user.clone());
        socket.on_disconnect(move |socket: SocketRef| {
            // In the call: what is still under way must find it gone, and what waits for it holds it.
            departure.leaves();
            if let Some(line) = socket.extensions.get::<Line>() {
                line.close();
            }
            let (door, user) = (Arc::clone(&door), user.clone());
            // In the future, not in the call: the dispatcher disconnects sockets while it holds the books.
            async move { door.outlet.forget(&socket, &user) }
        });
    }

    fn greet(self: &Arc<Self>, socket: &SocketRef) {
        let Some(Visitor { user, .. }) = socket.extensions.get::<Visitor>() else { return };
        let greeted_at = self.outlet.greet(socket, &user, &self.limits);
        let Some(line) = socket.extensions.get::<Line>() else { return };
        // Whatever the client asked for meanwhile comes after what it missed before this connection.
        let missed = socket.extensions.remove().map(|Missed(payload)| {
            let answer = Answer { socket: socket.clone(), ack: None };
            Incoming { event: "sync:resume".to_owned(), payload, answer, greeted_at }
        });
        if line.greeted(missed) {
            self.begin_work(socket, line);
        }
    }

    /// Has an event carried out after those before it; refuses it where too many are.
    fn enqueue(self: &Arc<Self>, incoming: Incoming) {
        let socket = incoming.answer.socket.clone();
        let Some(line) = socket.extensions.get::<Line>() else { return };
        match line.push(incoming) {
            Err(Incoming { event, answer, .. }) => self.refuse(answer, &event, &Refusal::Overloaded),
            Ok(false) => {}
            Ok(true) => self.begin_work(&socket, line),
        }
    }

    /// Has what waits carried out, for as long as the socket is there.
    fn begin_work(self: &Arc<Self>, socket: &SocketRef, line: Line) {
        let (Some(mut visitor), Some(listener)) = (socket.extensions.get::<Visitor>(), Listener::of(socket)) else {
            return;
        };
        let departure = listener.departure().clone();
        let door = Arc::clone(self);
        self.app.tasks.spawn(async move {
            let mut working = Working { line: &line, departure: &departure, is_done: false };
            tokio::select! {
                // Who is gone is not answered, even if the answer is there.
                biased;
                () = door.app.stopping.cancelled() => {}
                () = departure.begins() => {}
                () = door.work(&line, &mut visitor) => working.is_done = true,
            }
        });
    }

    /// Carries out what waits.
    async fn work(&self, line: &Line, visitor: &mut Visitor) {
        while let Some(incoming) = line.next() {
            let done = self.carry_out(visitor, &incoming).await;
            let Incoming { event, answer, .. } = incoming;
            match done {
                Ok(data) => {
                    self.count(&event, "ok");
                    if let Some(ack) = answer.ack {
                        self.outlet.acknowledge(&answer.socket, ack, &Done { data, ok: true });
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

    async fn carry_out(&self, visitor: &mut Visitor, incoming: &Incoming) -> Result<Value, Refusal> {
        let Incoming { event, payload, answer: Answer { socket, .. }, greeted_at } = incoming;
        // The socket is about to be cut; what comes until then is refused.
        if visitor.until <= self.app.clock.now() {
            return Err(Refusal::TokenExpired);
        }
        let actor = Actor::User { id: visitor.user.clone(), session: visitor.session.clone() };
        let asked = serde_json::from_str(payload).map_err(|wrong| Refusal::invalid("", wrong));
        let asked = asked.and_then(|mut payload| {
            let id = take_command_id(&mut payload)?;
            let said = payload.to_string();
            Ok((read(event, payload)?, id, said))
        });
        let (wish, id, said) = asked.map_err(|refusal| {
            // Nonsense costs too, or it would be the cheapest way to keep a server busy.
            self.app.limit(&actor, Limit::Commands, 1, "malformed").err().unwrap_or(refusal)
        })?;
        match wish {
            Wish::Carry(command) => self.app.carry_out(actor, *command, id, &said).await,
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
                if self.app.traps.is_set(Trap::ResumeLate) {
                    self.begun_anew(socket, &visitor.user, greeted_at).await;
                }
                self.app.limit_reading(&actor, "sync:resume")?;
                actor.must_be_signed_in(&self.app.state(), self.app.clock.now())?;
                let (app, outlet, user) = (&self.app, &self.outlet, &visitor.user);
                let catch_up = CatchUp { app, outlet, socket, user, actor: &actor, greeted_at };
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

    /// Waits until one of these lanes was lost and given back.
    async fn begun_anew(&self, socket: &SocketRef, user: &UserId, lanes: &[(Lane, i64)]) {
        let still_is = |(lane, head): &(Lane, i64)| self.outlet.began(socket, user, lane).is_none_or(|at| at == *head);
        while !lanes.is_empty() && lanes.iter().all(still_is) {
            tokio::time::sleep(LATE).await;
        }
    }

    /// Lets a socket stay as long as another token of its user is good. Whatever is wrong with that one, the socket goes
    /// on as it was.
    async fn extend(&self, visitor: &mut Visitor, socket: &SocketRef, token: &str) -> Result<Value, Refusal> {
        match self.app.admit_until(token).await {
            Ok((Actor::User { id, session }, until)) if id == visitor.user => {
                self.outlet.extend(socket, &id, &session, until)?;
                *visitor = Visitor { user: id, session, until };
                socket.extensions.insert(visitor.clone());
                Ok(json!({ "exp": until }))
            }
            Ok(_) | Err(Refusal::TokenExpired | Refusal::SessionRevoked) => Err(Refusal::InvalidToken),
            Err(refusal) => Err(refusal),
        }
    }
}

/// What a client should know to stay within, as every client is told it.
fn limits(config: &Config) -> Box<RawValue> {
    to_raw_value(&json!({
        "scoresPerMinute": config.rate_limit_scores_per_minute,
        "commandsPerMinute": config.rate_limit_commands_per_minute,
        "listsPerMinute": config.rate_limit_lists_per_minute,
        "batchItems": BATCH_ITEMS_MAX,
        "frameBytes": config.frame_bytes_max,
        "queuedCommands": config.socket_queue_max,
        "pingIntervalMs": config.ping_interval_ms,
    }))
    .expect("plain data")
}
