//! The live plane over plain websockets: the feed of an event, and the room of a race. Open to anyone; nothing a viewer
//! sends changes anything.
//!
//! Invariant: whoever may not watch is told so before the connection becomes a websocket.

#![allow(clippy::missing_errors_doc, reason = "the interface description of each handler lists its errors")]

use super::connection::Connection;
use super::problem::{ApiError, Problem};
use super::request::ClientAddress;
use super::simulation;
use crate::app::App;
use crate::db::entity::event::EventStatus;
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::Outlet;
use crate::events::live::{self, Place, Sent, Topic, Viewer};
use crate::events::public::{self, Include};
use crate::events::replay;
use crate::events::room::Lane;
use crate::ids::{EventId, RaceId};
use crate::state::State as Snapshot;
use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// In a box: each future it passes through has room for what it is given.
pub(super) type Socket = Box<WebSocketStream<TokioIo<Upgraded>>>;
type WireError = tokio_tungstenite::tungstenite::Error;

/// Largest message of a viewer, in bytes: they have next to nothing to say.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Bytes a viewer is read by at a time: they say next to nothing.
const HEARD_BYTES: usize = 64;
/// The code of a server that goes away (RFC 6455, 7.4.1).
const GOING_AWAY: u16 = 1001;
/// The code of a message that is too long (RFC 6455, 7.4.1).
const TOO_BIG: u16 = 1009;
/// The code of an error within (RFC 6455, 7.4.1).
const INTERNAL_ERROR: u16 = 1011;
/// How long whoever is taken leave of may take to answer.
const LEAVE: Duration = Duration::from_secs(2);
/// How many messages of a viewer are heard in a row before anything else has its turn.
const HEARD_MAX: usize = 16;
/// What may be missing, in bytes of frames; whoever misses more is shown everything anew.
const MISSED_BYTES_MAX: usize = 1024 * 1024;

/// From where, and what besides.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WatchQuery {
    /// The last place one has; without it everything comes at once.
    pub since: Option<i64>,
    /// The history it is of.
    pub epoch: Option<String>,
    /// `results`, `oncourse`: what `full` has to contain besides, separated by commas.
    pub include: Option<String>,
}

impl WatchQuery {
    /// What `full` has to contain besides.
    ///
    /// # Errors
    /// `INVALID_DATA` for a word that is none of them.
    pub fn include(&self) -> Result<Include, Refusal> {
        let mut include = Include::default();
        for word in self.include.as_deref().unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
            match word.trim() {
                "results" => include.results = true,
                "oncourse" => include.oncourse = true,
                _ => return Err(Refusal::invalid("include", "is results, oncourse or both")),
            }
        }
        Ok(include)
    }
}

/// A request that asks to become a WebSocket.
pub struct Upgrade {
    pending: OnUpgrade,
    accept: String,
    connection: Connection,
    /// The protocol that is agreed upon.
    pub protocol: Option<&'static str>,
}

impl FromRequestParts<App> for Upgrade {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let says = |name, what: &str| {
            let values = parts.headers.get_all(name).into_iter();
            let words = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
            words.map(str::trim).any(|word| word.eq_ignore_ascii_case(what))
        };
        let asks = says(header::CONNECTION, "upgrade")
            && says(header::UPGRADE, "websocket")
            && says(header::SEC_WEBSOCKET_VERSION, "13");
        let accept = parts.headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
        let connection = parts.extensions.get::<Connection>().cloned();
        match (asks, accept, parts.extensions.remove::<OnUpgrade>(), connection) {
            (true, Some(accept), Some(pending), Some(connection)) => {
                Ok(Self { pending, accept, connection, protocol: None })
            }
            _ => Err(Refusal::invalid("", "this is a WebSocket").into()),
        }
    }
}

impl Upgrade {
    /// Agrees, and has the websocket served once it is one.
    ///
    /// # Errors
    /// Never: the key was checked.
    pub fn accept<F>(
        self,
        app: &App,
        serve: impl FnOnce(Socket, Connection) -> F + Send + 'static,
    ) -> Result<Response<Body>, ApiError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { pending, accept, connection, protocol } = self;
        connection.becomes_websocket();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Some(protocol) = protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        let accept = HeaderValue::from_str(&accept).map_err(anyhow::Error::from).map_err(AppError::from)?;
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        app.tasks.spawn(async move {
            // The client may have gone before it heard of it.
            let Ok(upgraded) = pending.await else { return };
            let socket = Box::pin(websocket(upgraded)).await;
            serve(socket, connection).await;
        });
        Ok(response)
    }
}

async fn websocket(upgraded: Upgraded) -> Socket {
    let config = WebSocketConfig::default()
        .read_buffer_size(HEARD_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    Box::new(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await)
}

/// Whether anyone may watch an event.
///
/// # Errors
/// `NOT_FOUND` for a draft too; `Official`.
pub fn must_be_live(state: &Snapshot, event: &EventId) -> Result<(), Refusal> {
    if !state.is_public(event) {
        return Err(Refusal::not_found("event", event));
    }
    match state.events.get(event) {
        Some(row) if row.status == EventStatus::Official => Err(Refusal::EventOfficial),
        _ => Ok(()),
    }
}

/// Counts who was not let in, and why.
pub fn rejected(app: &App) -> impl Fn(&Refusal) {
    |refusal| {
        app.metrics.connections_total.with_label_values(&["live", "refused"]).inc();
        // A full house is counted where the places are.
        if matches!(refusal, Refusal::TooManyViewers { .. }) {
            return;
        }
        let reason = if matches!(refusal, Refusal::EventOfficial) { "official" } else { "not_found" };
        app.metrics.live_rejected.with_label_values(&[reason]).inc();
    }
}

/// Takes a place among the viewers of a topic.
///
/// # Errors
/// `OVERLOADED` when there is none.
pub fn place(app: &App, outlet: &Outlet, topic: Topic) -> Result<Place, Refusal> {
    let place = outlet.live.enter(topic).ok_or(Refusal::TooManyViewers { max: outlet.live.viewers_max() });
    let place = place.inspect_err(rejected(app))?;
    app.metrics.connections_total.with_label_values(&["live", "accepted"]).inc();
    Ok(place)
}

/// Counts a frame that is sent.
pub fn count(app: &App, kind: &'static str) {
    app.metrics.socket_events.with_label_values(&[kind, "out", "sent"]).inc();
}

/// The feed of an event: `full` at once, then a `diff` for every change, or `refresh` where it has to be read anew.
#[utoipa::path(get, path = "/api/v1/events/{id}/ws", tag = "public", security(()),
    params(("id" = EventId, Path), WatchQuery),
    responses((status = 101, description = "a WebSocket"), (status = 404, body = Problem),
        (status = 410, description = "the event is official", body = Problem),
        (status = 503, description = "too many viewers", body = Problem)))]
pub async fn event(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Extension(outlet): Extension<Outlet>,
    Path(event): Path<EventId>,
    Query(query): Query<WatchQuery>,
    upgrade: Result<Upgrade, ApiError>,
) -> Result<Response<Body>, ApiError> {
    app.limits.anonymous_handshake(address)?;
    let include = query.include()?;
    must_be_live(&app.state(), &event).inspect_err(rejected(&app))?;
    let upgrade = upgrade?;
    let place = place(&app, &outlet, Topic::Event(event.clone()))?;
    let served = app.clone();
    upgrade.accept(&app, move |socket, connection| async move {
        let (viewer, state) = place.watch(&event, include);
        let first = beginning(&served, &outlet, &state, &event, &query, include).await.unwrap_or_else(|error| {
            let _logged = error.into_refusal();
            vec![Sent::Close(INTERNAL_ERROR, "Internal server error")]
        });
        Watching { app: served, viewer, socket, connection, room: None }.begin(first);
    })
}

/// What a viewer is sent first: everything, or, where it says what it has, what has happened since.
///
/// # Errors
/// When the log cannot be read.
pub async fn beginning(
    app: &App,
    outlet: &Outlet,
    state: &Snapshot,
    event: &EventId,
    query: &WatchQuery,
    include: Include,
) -> Result<Vec<Sent>, AppError> {
    if !state.is_public(event) {
        // It was taken back since the door was passed.
        return Ok(vec![Sent::Close(4004, "Event not found")]);
    }
    let lane = Lane::Public(event.clone());
    let (head, epoch) = (state.lane_seq(&lane), &*state.head.epoch);
    let same_history = query.epoch.as_deref().is_none_or(|known| known == epoch);
    if let Some(since) = query.since.filter(|since| (0..=head).contains(since) && same_history)
        && head - since <= app.config.resume_max_facts
        && let Some(mut missed) = missed(app, state, &lane, since..head).await?
    {
        app.metrics.resume.with_label_values(&["live"]).inc();
        // It has no place, so nobody can say whether it was missed.
        missed.push(live::oncourse(&outlet.live.oncourse(event), epoch));
        return Ok(missed);
    }
    if query.since.is_some() {
        app.metrics.resume.with_label_values(&["live_full"]).inc();
    }
    let oncourse = outlet.live.oncourse(event);
    Ok(match public::full(state, event, include, oncourse) {
        Some(data) => vec![live::full(&data, head, epoch)],
        None => vec![Sent::Close(4004, "Event not found")],
    })
}

/// The frames of a stretch of the log; none where one of them is everything anew, where they are too much, or where too
/// many read the log already.
async fn missed(
    app: &App,
    state: &Snapshot,
    lane: &Lane,
    mut missed: std::ops::Range<i64>,
) -> Result<Option<Vec<Sent>>, AppError> {
    let mut frames = Vec::new();
    if missed.is_empty() {
        return Ok(Some(frames));
    }
    let Ok(_turn) = app.public_feeds.try_acquire() else { return Ok(None) };
    let mut bytes = 0;
    while !missed.is_empty() {
        let page = replay::page(&app.db, lane, &missed).await?;
        for entry in &page {
            let Some(frame) = live::feed(state, entry) else { return Ok(None) };
            if let Sent::Frame { frame, .. } = &frame {
                bytes += frame.as_bytes().len();
            }
            if bytes > MISSED_BYTES_MAX {
                return Ok(None);
            }
            frames.push(frame);
        }
        missed.start = page.last().map_or(missed.end, |entry| entry.lane_seq);
    }
    Ok(Some(frames))
}

/// The room of a race: its state at once, then odds and results.
#[utoipa::path(get, path = "/ws/races/{race_id}", tag = "public", security(()), params(("race_id" = i64, Path)),
    responses((status = 101, description = "a WebSocket; closed with 4004 where there is no such race"),
        (status = 503, description = "too many viewers", body = Problem)))]
pub async fn race(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Extension(outlet): Extension<Outlet>,
    Path(number): Path<String>,
    upgrade: Upgrade,
) -> Result<Response<Body>, ApiError> {
    app.limits.anonymous_handshake(address)?;
    let state = app.state();
    let known = number.parse().ok().and_then(|number: i64| state.races.get(state.race_numbers.get(&number)?));
    let Some(race) = known.filter(|race| state.is_public(&race.event_id)).cloned() else {
        rejected(&app)(&Refusal::not_found("race", &number));
        return upgrade.accept(&app, async move |mut socket: Socket, _| {
            // Whoever has gone already need not be told.
            let _gone = leave(&mut socket, 4004, "Race not found").await;
        });
    };
    let place = place(&app, &outlet, Topic::Race(race.id.clone()))?;
    let served = app.clone();
    upgrade.accept(&app, move |socket, connection| async move {
        let (viewer, state) = place.watch(&race.event_id, Include::default());
        let first = match state.races.get(&race.id) {
            Some(race) if state.is_public(&race.event_id) => {
                let seq = state.lane_seq(&Lane::Public(race.event_id.clone()));
                live::room(&public::room_state(&state, race), Some((seq, &state.head.epoch)))
            }
            _ => Sent::Close(4004, "Race not found"),
        };
        simulation::begin(&served, &outlet, &race.id);
        let room = Some(Box::new(Room { race: race.id.clone(), number: race.number }));
        Watching { app: served, viewer, socket, connection, room }.begin(vec![first]);
    })
}

pub(super) fn close(code: u16, why: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code: code.into(), reason: why.into() }))
}

/// Takes leave, and waits a moment for the answer: a connection that is closed over what its client has just said may be
/// lost before the client has read why.
async fn leave(socket: &mut Socket, code: u16, why: &'static str) -> Result<(), WireError> {
    socket.send(close(code, why)).await?;
    let answered = async { while let Some(Ok(_)) = socket.next().await {} };
    let _in_time = tokio::time::timeout(LEAVE, answered).await;
    Ok(())
}

/// The race whose room it is.
struct Room {
    race: RaceId,
    number: i64,
}

impl Room {
    /// What a viewer of the room is answered.
    fn answer(&self, text: &[u8]) -> Value {
        let wrong = |code: &str, message: &str| json!({ "type": "error", "code": code, "message": message });
        let Ok(said) = serde_json::from_slice::<Value>(text) else {
            return wrong("INVALID_DATA", "the message is not JSON");
        };
        match (said["type"].as_str(), said["race_id"].as_i64()) {
            (Some("subscribe"), Some(number)) if number == self.number => {
                json!({ "type": "subscribed", "race_id": number })
            }
            (Some("subscribe"), Some(_)) => wrong("NOT_FOUND", "this is the room of another race"),
            (Some("subscribe"), None) => wrong("INVALID_DATA", "race_id is the number of the race"),
            (Some(_), _) => wrong("INVALID_EVENT", "Invalid event type"),
            (None, _) => wrong("INVALID_DATA", "the message has no type"),
        }
    }
}

/// A viewer and its connection.
struct Watching {
    app: App,
    viewer: Viewer,
    socket: Socket,
    connection: Connection,
    room: Option<Box<Room>>,
}

impl Watching {
    /// In a task of its own: what it took to let a viewer in is not to stay with one who stays for a day.
    fn begin(mut self, first: Vec<Sent>) {
        self.viewer.goes_over(&self.connection.wire(), first);
        self.app.tasks.clone().spawn(async move {
            if let Err(error) = self.watch().await {
                tracing::debug!(%error, race = ?self.room.as_ref().map(|room| &room.race), "a viewer is gone");
            }
        });
    }

    async fn watch(&mut self) -> Result<(), WireError> {
        let mut ping_due = Instant::now() + self.ping_interval();
        let mut answer_due: Option<Instant> = None;
        let mut heard = 0;
        loop {
            tokio::select! {
                biased;
                () = self.connection.hung_up().cancelled() => {
                    return Box::pin(leave(&mut self.socket, GOING_AWAY, "The server is restarting")).await;
                }
                // First, because an answer may have come before the patience ended; but who talks without end does not
                // keep the rest from happening.
                incoming = self.socket.next(), if heard < HEARD_MAX => {
                    heard += 1;
                    match incoming {
                        None => return Ok(()),
                        Some(Err(error)) => {
                            if matches!(error, WireError::Capacity(_)) {
                                let _gone = self.socket.send(close(TOO_BIG, "The message is too long")).await;
                            }
                            return Err(error);
                        }
                        Some(Ok(Message::Pong(_))) => answer_due = None,
                        Some(Ok(Message::Text(text))) => self.hear(text.as_bytes()).await?,
                        Some(Ok(Message::Binary(bytes))) => self.hear(&bytes).await?,
                        // The library answers pings and leave-taking.
                        Some(Ok(_)) => {}
                    }
                }
                over = self.viewer.next() => for sent in over {
                    if let Sent::Close(code, why) = sent {
                        return Box::pin(leave(&mut self.socket, code, why)).await;
                    }
                },
                () = sleep_until(answer_due.map_or(ping_due, |due| due.min(ping_due))) => {
                    let now = Instant::now();
                    if answer_due.is_some_and(|due| due <= now) {
                        self.app.metrics.slow_consumers.with_label_values(&["live", "unanswered"]).inc();
                        return Ok(());
                    }
                    self.socket.send(Message::Ping(Vec::new().into())).await?;
                    ping_due = now + self.ping_interval();
                    // Patience begins when the ping has left, which may take a while.
                    answer_due.get_or_insert_with(|| Instant::now() + self.pong_timeout());
                }
                // Once all others had their chance.
                () = tokio::task::yield_now(), if heard >= HEARD_MAX => heard = 0,
            }
        }
    }

    fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.app.config.live_ping_interval_ms.max(1))
    }

    fn pong_timeout(&self) -> Duration {
        Duration::from_millis(self.app.config.live_pong_timeout_ms)
    }

    async fn hear(&mut self, text: &[u8]) -> Result<(), WireError> {
        let Some(room) = &self.room else { return Ok(()) };
        let answer = room.answer(text).to_string();
        self.socket.send(Message::Text(answer.into())).await
    }
}
