//! The lanes over plain HTTP: what happened since, as lines of JSON, or as a stream of events that goes on.
//!
//! Invariant: every page is read through the rights as they are then; a stream whose session has ended, ends.

use super::Caller;
use crate::app::App;
use crate::auth::actor::Actor;
use crate::auth::token::ACCESS_SECONDS;
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::variant_of;
use crate::events::log::LogEntry;
use crate::events::replay;
use crate::events::room::{Lane, Room};
use crate::events::view::{AnyView, Meta};
use crate::ids::UserId;
use crate::state::State;
use crate::transport::problem::{ApiError, Problem};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// How often a quiet stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// From where.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// The last fact one has; from the first one unless said.
    #[serde(default)]
    pub since: i64,
    /// The history it is of; refused when the log has begun another since.
    pub epoch: Option<String>,
}

/// A fact as one viewer is shown it.
#[derive(Serialize)]
struct Frame<'a> {
    event: &'static str,
    /// None of a tick.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a AnyView>,
    meta: Meta<'a>,
}

/// Who reads which lane, and how far they have come.
struct Reader {
    app: App,
    actor: Actor,
    user: UserId,
    lane: Lane,
    cursor: i64,
    waiting: VecDeque<LogEntry>,
    /// Says that something was committed.
    head: watch::Receiver<i64>,
    /// Goes back when the stream ends.
    _turn: OwnedSemaphorePermit,
}

impl Reader {
    /// The state, and the rooms this user stands in by it, if they make them a member of the lane now.
    fn may_read(&self) -> Result<(Arc<State>, BTreeSet<Room>), Refusal> {
        let state = self.app.state();
        self.actor.must_be_signed_in(&state, self.app.clock.now())?;
        let rooms = state.rooms_of(&self.user);
        if state.is_member(&rooms, &self.lane) { Ok((state, rooms)) } else { Err(Refusal::Forbidden) }
    }

    /// The next fact, written by `write` as this user is shown it; none where there is none yet.
    async fn next<T>(&mut self, write: impl Fn(&Frame<'_>) -> anyhow::Result<T>) -> Result<Option<T>, AppError> {
        if self.waiting.is_empty() {
            let missed = self.cursor..self.app.state().lane_seq(&self.lane);
            if missed.is_empty() {
                return Ok(None);
            }
            self.waiting = replay::page(&self.app.db, &self.lane, &missed).await?.into();
        }
        let (state, rooms) = self.may_read()?;
        let Some(entry) = self.waiting.pop_front() else { return Ok(None) };
        self.cursor = entry.lane_seq;
        let deliveries = entry.event.deliveries();
        let variant = variant_of(&deliveries, &entry.lane, &rooms).ok_or(Refusal::Forbidden)?;
        let lane = entry.lane.to_string();
        let meta = Meta {
            lane: &lane,
            seq: entry.lane_seq,
            epoch: &state.head.epoch,
            ts: entry.at,
            replay: None,
            command_id: (*entry.actor == *self.user.as_str()).then_some(&*entry.command_id),
        };
        let data = if variant.is_tick() { None } else { Some(&variant.view) };
        Ok(Some(write(&Frame { event: variant.event, data, meta })?))
    }

    /// The same, waiting for one that is yet to come; none when the server ends.
    async fn await_next<T>(&mut self, write: impl Fn(&Frame<'_>) -> anyhow::Result<T>) -> Result<Option<T>, AppError> {
        loop {
            // Marked as seen before the log is looked at: what comes in between wakes us again.
            self.head.mark_unchanged();
            if let Some(written) = self.next(&write).await? {
                return Ok(Some(written));
            }
            let stopping = self.app.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => return Ok(None),
                changed = self.head.changed() => if changed.is_err() { return Ok(None) },
            }
            self.may_read()?;
        }
    }
}

fn line(frame: &Frame<'_>) -> anyhow::Result<Bytes> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    Ok(line.into())
}

fn sse(frame: &Frame<'_>) -> anyhow::Result<SseEvent> {
    let id = format!("{}:{}", frame.meta.epoch, frame.meta.seq);
    Ok(SseEvent::default().id(id).event(frame.event).json_data(frame)?)
}

/// What happened in a lane: `application/x-ndjson` up to now, or, where `text/event-stream` is asked for, going on for as
/// long as an access token lives; `Last-Event-ID` (`epoch:seq`) goes before `since`.
#[utoipa::path(get, path = "/api/v1/lanes/{lane}/feed", tag = "catching up", params(("lane" = String, Path), FeedQuery),
    responses((status = 200, description = "{event, data?, meta} a line", content_type = "application/x-ndjson", body = String),
        (status = 403, body = Problem), (status = 409, description = "another history: read anew", body = Problem),
        (status = 503, body = Problem)))]
pub async fn feed(
    caller: Caller,
    Path(lane): Path<String>,
    Query(query): Query<FeedQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.app.limit_reading(&caller.actor, "feed")?;
    let lane: Lane = lane.parse().map_err(|_no_lane| Refusal::Forbidden)?;
    let wants = |kind: &str| {
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains(kind))
    };
    let streams = wants("text/event-stream");
    let (epoch, cursor) = match headers.get("last-event-id") {
        Some(id) if streams => last_event(id)?,
        _ => (query.epoch, query.since),
    };
    let state = caller.app.state();
    let foreign = epoch.is_some_and(|epoch| epoch != *state.head.epoch);
    let turn = Arc::clone(&caller.app.feeds).try_acquire_owned().map_err(|_all_taken| Refusal::Overloaded)?;
    let reader = Reader {
        head: caller.app.head_changes(),
        app: caller.app,
        actor: caller.actor,
        user: caller.user,
        lane,
        cursor,
        waiting: VecDeque::new(),
        _turn: turn,
    };
    reader.may_read()?;
    if foreign || cursor < 0 || cursor > state.lane_seq(&reader.lane) {
        return Err(Refusal::State("the log has begun another history; read anew".into()).into());
    }
    drop(state);
    Ok(if streams {
        let life = tokio::time::sleep(Duration::from_secs(ACCESS_SECONDS.unsigned_abs()));
        let events = until_it_fails(reader, async |reader| reader.await_next(sse).await).take_until(life);
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
    } else {
        let lines = until_it_fails(reader, async |reader| reader.next(line).await);
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))];
        (kind, Body::from_stream(lines)).into_response()
    })
}

/// What a reader brings, one after the other. An answer that has begun can only be cut: rights that are gone end it, and
/// so does a log that cannot be read.
fn until_it_fails<T>(
    reader: Reader,
    next: impl AsyncFn(&mut Reader) -> Result<Option<T>, AppError>,
) -> impl Stream<Item = Result<T, AppError>> {
    let next = Arc::new(next);
    stream::unfold(Some(reader), move |reader| {
        let next = Arc::clone(&next);
        async move {
            let mut reader = reader?;
            match next(&mut reader).await {
                Ok(Some(item)) => Some((Ok(item), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }
    })
}

pub(super) fn last_event(id: &HeaderValue) -> Result<(Option<String>, i64), Refusal> {
    let read = id.to_str().ok().and_then(|id| id.split_once(':'));
    let (epoch, seq) = read.ok_or_else(|| Refusal::invalid("Last-Event-ID", "is epoch:seq"))?;
    let seq = seq.parse().map_err(|_wrong| Refusal::invalid("Last-Event-ID", "is epoch:seq"))?;
    Ok((Some(epoch.to_owned()), seq))
}
