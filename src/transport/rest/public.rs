//! What anyone may read of an event: itself, its races, start lists and results, who is on the course, and what happens.
//!
//! Invariant: nothing here knows who asks; a draft event is not there.

use super::super::live::{WatchQuery, beginning, count, must_be_live, place, rejected};
use super::{Answer, AtQuery};
use crate::app::App;
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::Outlet;
use crate::events::live::{Sent, Topic, Viewer, refresh};
use crate::events::log::sha256_hex;
use crate::events::public::{self, PublicAggregatedCategory, PublicOnCourse, PublicRace, PublicResult};
use crate::events::replay;
use crate::events::room::Lane;
use crate::ids::{EventId, RaceId};
use crate::setup::list::{PageQuery, page};
use crate::state::State as Snapshot;
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::ClientAddress;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Says where in the public lane of its event an answer stands.
pub const SEQ: HeaderName = HeaderName::from_static("x-seq");
/// What a board of the past costs, in public reads: its lane is read from the beginning.
pub(super) const PAST_COST: u32 = 10;
/// How often a quiet stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A public event, at the moment it is asked for.
struct Shown {
    state: Arc<Snapshot>,
    event: EventId,
}

impl Shown {
    fn find(app: &App, address: ClientAddress, event: EventId) -> Result<Self, Refusal> {
        app.limits.public_read(address.0, 1)?;
        let state = app.state();
        if state.is_public(&event) { Ok(Self { state, event }) } else { Err(Refusal::not_found("event", &event)) }
    }

    fn race(&self, id: &str) -> Result<RaceId, Refusal> {
        let race = self.state.race_in(&self.event, id);
        race.map(|race| race.id.clone()).ok_or_else(|| Refusal::not_found("race", id))
    }

    fn seq(&self) -> i64 {
        self.state.lane_seq(&Lane::Public(self.event.clone()))
    }

    /// An answer that says where it stands; short, if the asker has it already.
    fn answer<T: Serialize>(&self, headers: &HeaderMap, body: impl FnOnce() -> T) -> Result<Response, ApiError> {
        let tag = format!("{}-{}", self.state.head.epoch, self.seq());
        respond(headers, &tag, self.seq(), body)
    }

    /// A list of a race as it is now, or as it stood at a place of the event's lane.
    async fn answer_at(
        &self,
        (app, address): (&App, ClientAddress),
        race: &str,
        at: Option<i64>,
        headers: &HeaderMap,
        list: impl Fn(&Snapshot, &RaceId) -> Value,
    ) -> Result<Response, ApiError> {
        let race = self.race(race)?;
        if let Some(at) = at {
            app.limits.public_read(address.0, PAST_COST)?;
            let then = app.race_at(&self.event, &race, at).await?;
            return respond_by_content(headers, at, list(&then, &race));
        }
        self.answer(headers, || list(&self.state, &race))
    }
}

/// An answer that is told apart by what it says, because its place does not tell all of it.
pub(super) fn respond_by_content(headers: &HeaderMap, seq: i64, body: Value) -> Result<Response, ApiError> {
    let digest = sha256_hex(body.to_string().as_bytes());
    respond(headers, &digest[..32], seq, || body)
}

/// The body is made only for those who do not have it.
fn respond<T: Serialize>(
    headers: &HeaderMap,
    tag: &str,
    seq: i64,
    body: impl FnOnce() -> T,
) -> Result<Response, ApiError> {
    // A weak one: packed or not, it is the same answer.
    let tag = format!("W/\"{tag}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let opaque = |tag: &str| tag.trim_start_matches("W/").to_owned();
    let mut known = known.flat_map(|value| value.split(',')).map(str::trim);
    let unchanged = known.any(|one| one == "*" || opaque(one) == opaque(&tag));
    let mut response = if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { Json(body()).into_response() };
    let tag = HeaderValue::from_str(&tag).map_err(anyhow::Error::from).map_err(AppError::from)?;
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(SEQ, HeaderValue::from(seq));
    // Kept by whoever likes, shown only after it was asked whether it still holds.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Events anyone may follow.
#[utoipa::path(get, path = "/api/v1/events", tag = "public", security(()), params(PageQuery),
    responses((status = 200, description = "{items, nextCursor?}", body = Object), (status = 400, body = Problem)))]
pub async fn events(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Query(query): Query<PageQuery>,
) -> Answer {
    app.limits.public_read(address, 1)?;
    let state = app.state();
    let shown = page(
        &query,
        &state.events,
        // What is rehearsed is shown where it is asked for, and never among what is real.
        |event| state.is_public(&event.id) && event.rehearsal == query.rehearsal.unwrap_or(false),
        |event| Ok(json!(public::event(&state, &event.id))),
    )?;
    Ok(Json(shown))
}

/// An event.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "public", security(()), params(("id" = EventId, Path)),
    responses((status = 200, body = public::PublicEvent), (status = 304), (status = 404, body = Problem)))]
pub async fn event(
    State(app): State<App>,
    address: ClientAddress,
    Path(event): Path<EventId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let shown = Shown::find(&app, address, event)?;
    shown.answer(&headers, || public::event(&shown.state, &shown.event))
}

/// Its races, in the order they are run.
#[utoipa::path(get, path = "/api/v1/events/{id}/races", tag = "public", security(()), params(("id" = EventId, Path)),
    responses((status = 200, body = Vec<PublicRace>), (status = 304), (status = 404, body = Problem)))]
pub async fn races(
    State(app): State<App>,
    address: ClientAddress,
    Path(event): Path<EventId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let shown = Shown::find(&app, address, event)?;
    shown.answer(&headers, || json!({ "items": public::races(&shown.state, &shown.event) }))
}

/// Its age and weight categories, with the classes that have them.
#[utoipa::path(get, path = "/api/v1/events/{id}/categories", tag = "public", security(()), params(("id" = EventId, Path)),
    responses((status = 200, body = Vec<PublicAggregatedCategory>), (status = 304), (status = 404, body = Problem)))]
pub async fn categories(
    State(app): State<App>,
    address: ClientAddress,
    Path(event): Path<EventId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let shown = Shown::find(&app, address, event)?;
    let (state, event) = (&shown.state, &shown.event);
    let body = || json!({ "items": public::categories(state, event), "classes": public::classes(state, event) });
    shown.answer(&headers, body)
}

/// The results of a race, by place.
#[utoipa::path(get, path = "/api/v1/events/{id}/results/{race_id}", tag = "public", security(()),
    params(("id" = EventId, Path), ("race_id" = RaceId, Path), AtQuery),
    responses((status = 200, body = Vec<PublicResult>), (status = 304), (status = 400, body = Problem),
        (status = 404, body = Problem), (status = 409, description = "too large to be in the log", body = Problem)))]
pub async fn results(
    State(app): State<App>,
    address: ClientAddress,
    Path((event, race)): Path<(EventId, String)>,
    Query(query): Query<AtQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let shown = Shown::find(&app, address, event)?;
    let items = |state: &Snapshot, race: &RaceId| json!({ "items": public::results(state, race) });
    shown.answer_at((&app, address), &race, query.at, &headers, items).await
}

/// The start list of a race.
#[utoipa::path(get, path = "/api/v1/events/{id}/startlist/{race_id}", tag = "public", security(()),
    params(("id" = EventId, Path), ("race_id" = RaceId, Path), AtQuery),
    responses((status = 200, body = Vec<public::PublicStarter>), (status = 304), (status = 400, body = Problem),
        (status = 404, body = Problem), (status = 409, description = "too large to be in the log", body = Problem)))]
pub async fn startlist(
    State(app): State<App>,
    address: ClientAddress,
    Path((event, race)): Path<(EventId, String)>,
    Query(query): Query<AtQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let shown = Shown::find(&app, address, event)?;
    let items = |state: &Snapshot, race: &RaceId| json!({ "items": public::startlist(state, race) });
    shown.answer_at((&app, address), &race, query.at, &headers, items).await
}

/// Who is on the course.
#[utoipa::path(get, path = "/api/v1/events/{id}/oncourse", tag = "public", security(()), params(("id" = EventId, Path)),
    responses((status = 200, body = Vec<PublicOnCourse>), (status = 304), (status = 404, body = Problem)))]
pub async fn oncourse(
    State(app): State<App>,
    Extension(outlet): Extension<Outlet>,
    address: ClientAddress,
    Path(event): Path<EventId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let shown = Shown::find(&app, address, event)?;
    // It has no place in the log.
    respond_by_content(&headers, shown.seq(), json!({ "items": outlet.live.oncourse(&shown.event) }))
}

/// What happens at an event: the frames of its WebSocket as lines up to now, or, where `text/event-stream` is asked for, as
/// a stream that begins with everything and goes on; `Last-Event-ID` (`epoch:seq`) goes before `since`.
#[utoipa::path(get, path = "/api/v1/events/{id}/feed", tag = "public", security(()),
    params(("id" = EventId, Path), WatchQuery),
    responses((status = 200, description = "a frame a line", content_type = "application/x-ndjson", body = String),
        (status = 404, body = Problem), (status = 409, description = "another history: read anew", body = Problem),
        (status = 410, body = Problem), (status = 503, body = Problem)))]
pub async fn feed(
    State(app): State<App>,
    Extension(outlet): Extension<Outlet>,
    address: ClientAddress,
    Path(event): Path<EventId>,
    Query(mut query): Query<WatchQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let shown = Shown::find(&app, address, event)?;
    let include = query.include()?;
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accepts.contains("text/event-stream") {
        return lines(app, shown, &query);
    }
    if let Some(id) = headers.get("last-event-id") {
        let (epoch, seq) = super::feeds::last_event(id)?;
        (query.epoch, query.since) = (epoch, Some(seq));
    }
    must_be_live(&shown.state, &shown.event).inspect_err(rejected(&app))?;
    let place = place(&app, &outlet, Topic::Event(shown.event.clone()))?;
    let (viewer, state) = place.watch(&shown.event, include);
    let first = beginning(&app, &outlet, &state, &shown.event, &query, include).await?;
    let epoch = state.head.epoch.to_string();
    let stopping = app.stopping.clone();
    let events =
        follow(app, viewer, first).map(move |sent| event_of(&sent, &epoch)).take_until(stopping.cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn event_of(sent: &(Bytes, Option<i64>), epoch: &str) -> Result<SseEvent, AppError> {
    let text = std::str::from_utf8(&sent.0).map_err(anyhow::Error::from)?;
    let event = SseEvent::default().data(text);
    Ok(match sent.1 {
        Some(seq) => event.id(format!("{epoch}:{seq}")),
        None => event,
    })
}

/// The texts of what a viewer is sent, until it is over.
fn follow(app: App, viewer: Viewer, first: Vec<Sent>) -> impl Stream<Item = (Bytes, Option<i64>)> {
    stream::unfold((app, viewer, VecDeque::from(first)), async |(app, viewer, mut waiting)| {
        loop {
            match waiting.pop_front() {
                Some(Sent::Frame { kind, frame, seq }) => {
                    count(&app, kind);
                    let text = Bytes::copy_from_slice(frame.as_str().as_bytes());
                    return Some(((text, seq), (app, viewer, waiting)));
                }
                Some(Sent::Close(..)) => return None,
                None => waiting = viewer.next().await.into(),
            }
        }
    })
}

/// The facts of an event since `since`, a frame a line. What the WebSocket shows by everything anew is a `refresh` here.
fn lines(app: App, shown: Shown, query: &WatchQuery) -> Result<Response, ApiError> {
    let head = shown.seq();
    let since = query.since.unwrap_or(0);
    let foreign = query.epoch.as_deref().is_some_and(|epoch| epoch != &*shown.state.head.epoch);
    if foreign || !(0..=head).contains(&since) {
        return Err(Refusal::State("the log has begun another history; read anew".into()).into());
    }
    let turn = Arc::clone(&app.public_feeds).try_acquire_owned().map_err(|_all_taken| Refusal::Overloaded)?;
    let lane = Lane::Public(shown.event.clone());
    let pages = stream::unfold(Some((since..head, turn)), move |reading| {
        let (app, lane, state) = (app.clone(), lane.clone(), Arc::clone(&shown.state));
        async move {
            let (missed, turn) = reading?;
            match page_of(&app, &lane, &state, &missed).await {
                Ok(None) => None,
                Ok(Some((text, end))) => Some((Ok(text), Some((end..missed.end, turn)))),
                Err(error) => Some((Err(error), None)),
            }
        }
    });
    let kind =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")), (SEQ, HeaderValue::from(head))];
    Ok((kind, Body::from_stream(pages)).into_response())
}

async fn page_of(
    app: &App,
    lane: &Lane,
    state: &Snapshot,
    missed: &Range<i64>,
) -> Result<Option<(Bytes, i64)>, AppError> {
    if missed.is_empty() {
        return Ok(None);
    }
    let page = replay::page(&app.db, lane, missed).await?;
    let Some(last) = page.last().map(|entry| entry.lane_seq) else { return Ok(None) };
    let mut text = Vec::new();
    for entry in &page {
        let frame = crate::events::live::feed(state, entry);
        let frame = frame.unwrap_or_else(|| refresh(entry.lane_seq, &state.head.epoch));
        if let Sent::Frame { frame, .. } = frame {
            text.extend_from_slice(frame.as_str().as_bytes());
            text.push(b'\n');
        }
    }
    Ok(Some((text.into(), last)))
}
