//! Recordings over HTTP: made, begun, ended, read, described, removed, taken in.

use super::{Answer, Caller, Created, created, or_empty, with_path};
use crate::app::App;
use crate::auth::actor::Actor;
use crate::cassettes::file::{self, Tape};
use crate::cassettes::record;
use crate::cassettes::shelf::Shelf;
use crate::cassettes::tapes::Tapes;
use crate::cassettes::{
    self, CreateCassette, DeleteCassette, DescribeCassette, FillCassette, FinishCassette, Name, Recorded, Source,
    StartCassette,
};
use crate::command::{Limit, parse, to_value};
use crate::db::entity::cassette::{self, Audience, Phase};
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::Outlet;
use crate::events::room::Lane;
use crate::ids::EventId;
use crate::rehearsal::register::RehearsalView;
use crate::rehearsal::{self, Piece, Playing};
use crate::setup::list::{PageQuery, page};
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::Json as Body;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Query, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// What is to be recorded.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceRequest {
    /// A lane.
    #[serde(default)]
    lane: Option<String>,
    /// Or an event.
    #[serde(default)]
    event_id: Option<EventId>,
}

impl SourceRequest {
    fn source(&self) -> Result<Option<Source>, Refusal> {
        match (&self.lane, &self.event_id) {
            (None, None) => Ok(None),
            (Some(lane), None) => {
                let lane: Lane = lane.parse().map_err(|_no_lane| Refusal::invalid("lane", "is not a lane"))?;
                // The public lane of an event is what its feed shows.
                Ok(Some(if let Lane::Public(event) = lane { Source::Event(event) } else { Source::Lane(lane) }))
            }
            (None, Some(event)) => Ok(Some(Source::Event(event.clone()))),
            (Some(_), Some(_)) => Err(Refusal::invalid("lane", "a lane or an event, not both")),
        }
    }
}

/// How it is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Until it is stopped.
    #[default]
    Record,
    /// The same; the founding document's word.
    Auto,
}

/// A cassette to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCassette {
    #[schema(value_type = String)]
    name: Name,
    #[serde(default)]
    description: Option<String>,
    /// `record` or `auto`; both end when they are stopped.
    #[serde(default, rename = "mode")]
    _mode: Mode,
    /// A lane.
    #[serde(default)]
    lane: Option<String>,
    /// Or an event.
    #[serde(default)]
    event_id: Option<EventId>,
    /// `public` unless said.
    #[serde(default)]
    audience: Option<Audience>,
    /// The last fact that is not in it.
    #[serde(default)]
    from_seq: Option<i64>,
    /// The last that is; now, unless said.
    #[serde(default)]
    to_seq: Option<i64>,
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Items of a page, at most 200.
    limit: Option<usize>,
    /// Where the last page ended: its `nextCursor`.
    cursor: Option<String>,
}

/// Recordings the caller may read, by name.
#[utoipa::path(get, path = "/api/cassettes", tag = "cassettes", params(ListQuery),
    responses((status = 200, description = "{items, nextCursor?}", body = Vec<cassettes::CassetteView>),
        (status = 400, body = Problem)))]
pub async fn list(caller: Caller, Extension(tapes): Extension<Tapes>, Query(query): Query<ListQuery>) -> Answer {
    caller.app.limit_reading(&caller.actor, "cassettes")?;
    let state = caller.app.state();
    let query = PageQuery { limit: query.limit, cursor: query.cursor, ..PageQuery::default() };
    let readable = |row: &cassette::Model| cassettes::may_read(&state, &caller.user, &cassettes::bound_to(row));
    let shown = page(&query, &state.cassettes, readable, |row| {
        let mut view = cassettes::CassetteView::of(row);
        tapes.count_in(&mut view);
        to_value(view)
    })?;
    Ok(Json(shown))
}

/// A recording.
#[utoipa::path(get, path = "/api/cassettes/{name}", tag = "cassettes", params(("name" = String, Path)),
    responses((status = 200, body = cassettes::CassetteView), (status = 404, body = Problem)))]
pub async fn one(caller: Caller, Extension(tapes): Extension<Tapes>, Path(name): Path<String>) -> Answer {
    caller.app.limit_reading(&caller.actor, "cassettes")?;
    let state = caller.app.state();
    let mut view = cassettes::CassetteView::of(cassettes::find(&state, &caller.user, &name.parse()?)?);
    tapes.count_in(&mut view);
    Ok(Json(to_value(view)?))
}

/// Makes a recording: of the past where it says from where, from now on where it names a source, else empty.
#[utoipa::path(post, path = "/api/cassettes", tag = "cassettes", request_body = NewCassette,
    responses((status = 201, body = cassettes::CassetteView), (status = 400, body = Problem), (status = 409, body = Problem)))]
pub async fn create(caller: Caller, Extension(tapes): Extension<Tapes>, Body(body): Body) -> Created {
    let new: NewCassette = parse(body.clone())?;
    let source = SourceRequest { lane: new.lane, event_id: new.event_id }.source()?;
    let audience = new.audience.unwrap_or(Audience::Public);
    let past = new.from_seq.is_some() || new.to_seq.is_some();
    let app = caller.app.clone();
    let recorded = match &source {
        Some(source) if past => {
            let _turn = turn(&caller, RECORDING_COST)?;
            let state = app.state();
            let ears = cassettes::must_hear(&state, &caller.user, source, audience)?;
            let head = record::head(&state, source);
            let (from, to) = (new.from_seq.unwrap_or(0), new.to_seq.unwrap_or(head));
            if !(0 <= from && from <= to && to <= head) {
                return Err(Refusal::invalid("from_seq", format!("0 <= from_seq <= to_seq <= {head}")).into());
            }
            let max = app.config.cassette_bytes_max;
            let (tape, _) = record::range(&app.db, &state, source, audience, &ears, (from, to), max).await?;
            // Where it was said up to where, less can be said.
            if tape.is_full() {
                return Err(Refusal::TooLarge { what: "bytes in a cassette", max }.into());
            }
            Some(keep_tape(&app, tape, (from, to), ears.seat).await?)
        }
        None if past => return Err(Refusal::invalid("from_seq", "of what is not said").into()),
        Some(_) | None => None,
    };
    let file = recorded.as_ref().map(|recorded| recorded.file.clone());
    let (name, description) = (new.name.clone(), new.description);
    let command = CreateCassette { name: new.name, description, audience, source, recorded, imported: false };
    let made = caller.carry_out(command, &body).await;
    drop_unless_kept(&app, &name, file.as_deref()).await?;
    begin(&app, &tapes, &name);
    created(made)
}

/// What a recording costs of the commands a user has in a minute.
const RECORDING_COST: u32 = 10;

/// A turn among the few that read or write whole recordings at a time. Limits are asked before anything is read.
fn turn(caller: &Caller, cost: u32) -> Result<OwnedSemaphorePermit, Refusal> {
    caller.app.limit(&caller.actor, Limit::Commands, cost, "cassettes")?;
    Arc::clone(&caller.app.recordings).try_acquire_owned().map_err(|_all_taken| Refusal::Overloaded)
}

/// Removes the file of an attempt that came to nothing: no row names it.
async fn drop_unless_kept(app: &App, name: &Name, file: Option<&str>) -> Result<(), AppError> {
    let Some(file) = file.map(str::to_owned) else { return Ok(()) };
    let named = app.state().cassettes.get(name.as_str()).is_some_and(|row| row.file.as_deref() == Some(&*file));
    if !named {
        let shelf = shelf(app);
        app.computing(move || shelf.remove(&file)).await?;
    }
    Ok(())
}

/// Hears a feed from now on, if the cassette is one that is to.
fn begin(app: &App, tapes: &Tapes, name: &Name) {
    let state = app.state();
    let row = state.cassettes.get(name.as_str());
    let row = row.filter(|row| row.phase == Phase::Recording && row.audience == Audience::Public);
    let source = row.and_then(|row| row.source.as_deref()?.parse::<Source>().ok());
    let Some(Source::Event(event)) = source else { return };
    let (filled, full) = (app.clone(), FillCassette { name: name.clone() });
    let is_full = move || {
        tracing::warn!(cassette = %full.name, "a recording is full and hears no more");
        let noting = filled.clone();
        filled.tasks.spawn(async move {
            let noted = noting.carry_out(Actor::Operator, full.into(), None, &Value::Null).await;
            if let Err(refusal) = noted {
                tracing::warn!(%refusal, "that a recording is full could not be noted");
            }
        });
    };
    if let Some(work) = tapes.begin(name, &event, app.clock.clone(), is_full) {
        let stopping = app.stopping.clone();
        app.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = work => {}
            }
        });
    }
}

/// Keeps the bytes of a recording in a file of its own.
async fn keep(
    app: &App,
    bytes: Bytes,
    interactions: i64,
    range: Option<(i64, i64)>,
    seat: Option<String>,
) -> Result<Recorded, AppError> {
    let (shelf, file) = (shelf(app), format!("{}.ndjson", app.chance.id(app.clock.now())));
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let kept = file.clone();
    let sha256 = app.computing(move || shelf.keep(&kept, &bytes)).await??;
    Ok(Recorded { range, interactions, bytes: length, sha256, file, seat, full: false })
}

/// Keeps what was recorded here.
async fn keep_tape(app: &App, tape: Tape, range: (i64, i64), seat: Option<String>) -> Result<Recorded, AppError> {
    let full = tape.is_full();
    let (bytes, interactions) = tape.finish();
    Ok(Recorded { full, ..keep(app, bytes.into(), interactions, Some(range), seat).await? })
}

fn shelf(app: &App) -> Shelf {
    Shelf::new(&app.config.cassettes)
}

/// Begins to record into an empty cassette.
#[utoipa::path(post, path = "/api/cassettes/{name}/start", tag = "cassettes", params(("name" = String, Path)),
    request_body = SourceRequest,
    responses((status = 200, body = cassettes::CassetteView), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn start(
    caller: Caller,
    Extension(tapes): Extension<Tapes>,
    Path(name): Path<String>,
    Body(body): Body,
) -> Answer {
    let payload = with_path(or_empty(body.clone()), "name", &name)?;
    let name: Name = name.parse()?;
    let asked: SourceRequest = parse(body)?;
    let source = asked.source()?.ok_or_else(|| Refusal::invalid("lane", "neither a lane nor an event is named"))?;
    let app = caller.app.clone();
    let begun = caller.carry_out(StartCassette { name: name.clone(), source }, &payload).await?;
    begin(&app, &tapes, &name);
    Ok(begun)
}

/// Ends a recording.
#[utoipa::path(post, path = "/api/cassettes/{name}/stop", tag = "cassettes", params(("name" = String, Path)),
    responses((status = 200, body = cassettes::CassetteView), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn stop(caller: Caller, Extension(tapes): Extension<Tapes>, Path(name): Path<String>) -> Answer {
    let name: Name = name.parse()?;
    let app = caller.app.clone();
    let turn = turn(&caller, RECORDING_COST)?;
    // Whoever asked may go: what was heard is not lost between being taken and being kept.
    let ending = app.tasks.spawn(async move {
        let ended = end(caller, &tapes, &name).await;
        drop(turn);
        ended
    });
    ending.await.map_err(anyhow::Error::from).map_err(AppError::from)?
}

async fn end(caller: Caller, tapes: &Tapes, name: &Name) -> Answer {
    let (app, state) = (caller.app.clone(), caller.app.state());
    let row = cassettes::find(&state, &caller.user, name)?.clone();
    // Asked before anything is ended.
    cassettes::must_own(&caller.actor, &state, &row)?;
    if row.phase != Phase::Recording {
        return Err(Refusal::State(format!("cassette {name} is not being recorded")).into());
    }
    if row.epoch.as_deref() != Some(&*state.head.epoch) {
        return Err(Refusal::State(format!("cassette {name} is of another history; remove it")).into());
    }
    let source: Source = row.source.as_deref().unwrap_or_default().parse()?;
    let owner = row.owner.parse().map_err(|_no_id| Refusal::Internal)?;
    let ears = cassettes::must_hear(&state, &owner, &source, row.audience)?;
    let (from, to) = (row.from_seq.unwrap_or(0), record::head(&state, &source));
    // What was heard as it happened has who was on the course in it; the log has not.
    let heard = tapes.end(name).await;
    let max = app.config.cassette_bytes_max;
    let (tape, to) = match heard {
        Some(tape) => (tape, to),
        None => record::range(&app.db, &state, &source, row.audience, &ears, (from, to), max).await?,
    };
    drop(state);
    let recorded = keep_tape(&app, tape, (from, to), ears.seat).await?;
    let file = recorded.file.clone();
    let command = FinishCassette { name: name.clone(), recorded };
    let finished = caller.carry_out(command, &json!({ "name": name, "file": file })).await;
    drop_unless_kept(&app, name, Some(&file)).await?;
    finished
}

/// What is said of a recording.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Description {
    description: Option<String>,
}

/// Says something else of a recording.
#[utoipa::path(put, path = "/api/cassettes/{name}", tag = "cassettes", params(("name" = String, Path)),
    request_body = Description,
    responses((status = 200, body = cassettes::CassetteView), (status = 404, body = Problem)))]
pub async fn describe(caller: Caller, Path(name): Path<String>, Body(body): Body) -> Answer {
    let Description { description } = parse(body.clone())?;
    let payload = with_path(body, "name", &name)?;
    caller.carry_out(DescribeCassette { name: name.parse()?, description }, &payload).await
}

/// Removes a recording.
#[utoipa::path(delete, path = "/api/cassettes/{name}", tag = "cassettes", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub async fn delete(
    caller: Caller,
    Extension(tapes): Extension<Tapes>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let name: Name = name.parse()?;
    let app = caller.app.clone();
    let Json(gone) = caller.carry_out(DeleteCassette { name: name.clone() }, &json!({ "name": name })).await?;
    if app.state().cassettes.contains_key(name.as_str()) {
        // It was removed once by this request, and made anew since.
        return Ok(StatusCode::NO_CONTENT);
    }
    let _unheard = tapes.end(&name).await;
    if let Some(file) = gone["file"].as_str().map(str::to_owned) {
        let shelf = shelf(&app);
        app.computing(move || shelf.remove(&file)).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The file of a recording.
#[utoipa::path(get, path = "/api/cassettes/{name}/download", tag = "cassettes", params(("name" = String, Path)),
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = 404, body = Problem),
        (status = 409, description = "nothing is in it yet", body = Problem)))]
pub async fn download(caller: Caller, Path(name): Path<String>) -> Result<Response, ApiError> {
    let _turn = turn(&caller, 1)?;
    let name: Name = name.parse()?;
    let (sha256, file) = kept(&caller, &name)?;
    let (shelf, known) = (shelf(&caller.app), sha256.clone());
    let bytes = caller.app.computing(move || shelf.read(&file, &known)).await??;
    let value = |text: String| HeaderValue::from_str(&text).map_err(anyhow::Error::from).map_err(AppError::from);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (header::CONTENT_DISPOSITION, value(format!("attachment; filename=\"{name}.ndjson\""))?),
        (header::ETAG, value(format!("\"{sha256}\""))?),
    ];
    Ok((headers, bytes).into_response())
}

/// Plays a recording into an event of its own, which is a rehearsal and says so.
#[utoipa::path(post, path = "/api/cassettes/{name}/replay", tag = "cassettes", params(("name" = String, Path)),
    request_body = Playing,
    responses((status = 202, description = "{event_id}", body = Object), (status = 404, body = Problem),
        (status = 409, description = "it cannot be played", body = Problem)))]
pub async fn replay(
    caller: Caller,
    Extension(outlet): Extension<Outlet>,
    Path(name): Path<String>,
    Body(body): Body,
) -> Created {
    caller.must_run_installation()?;
    let reading = turn(&caller, RECORDING_COST)?;
    let playing: Playing = parse(or_empty(body))?;
    let place = caller.app.rehearsals.turn()?;
    let name: Name = name.parse()?;
    let (sha256, file) = kept(&caller, &name)?;
    let bound = cassettes::bound_to(cassettes::find(&caller.app.state(), &caller.user, &name)?);
    let (app, shelf) = (caller.app.clone(), shelf(&caller.app));
    let reel = app.computing(move || shelf.open(&file, &sha256)).await??;
    let piece = Piece { cassette: &name, reel, actor: caller.actor, playing };
    let mut rehearsal = rehearsal::prepare(&app, Some(&outlet.live), piece).await?;
    let event = rehearsal.event().clone();
    rehearsal.takes(app.rehearsals.enter(place, &rehearsal, caller.user, bound));
    drop(reading);
    app.tasks.spawn(rehearsal.play_aside());
    Ok((StatusCode::ACCEPTED, Json(json!({ "event_id": event }))))
}

/// The rehearsals that are played and the last hundred that were, the latest first.
#[utoipa::path(get, path = "/api/rehearsals", tag = "cassettes",
    responses((status = 200, description = "{items}", body = Vec<RehearsalView>), (status = 403, body = Problem)))]
pub async fn rehearsals(caller: Caller) -> Answer {
    let state = caller.desk("rehearsals")?;
    Ok(Json(json!({ "items": caller.app.rehearsals.list(&state, &caller.user) })))
}

/// Stops a rehearsal with the frame it is at; what was played stays. Whoever may start one may stop it.
#[utoipa::path(post, path = "/api/rehearsals/{event_id}/stop", tag = "cassettes", params(("event_id" = EventId, Path)),
    responses((status = 202, body = RehearsalView), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, description = "it is over", body = Problem)))]
pub async fn stop_rehearsal(caller: Caller, Path(event): Path<EventId>) -> Created {
    caller.must_run_installation()?;
    caller.app.limit(&caller.actor, Limit::Commands, 1, "rehearsals")?;
    let stopping = caller.app.rehearsals.stop(&caller.app.state(), &caller.user, &event)?;
    Ok((StatusCode::ACCEPTED, Json(to_value(stopping)?)))
}

/// The hash and the file of a recording the caller may read.
fn kept(caller: &Caller, name: &Name) -> Result<(String, String), Refusal> {
    let state = caller.app.state();
    let row = cassettes::find(&state, &caller.user, name)?;
    let sha256 = row.sha256.clone().filter(|_| row.phase == Phase::Done);
    sha256.zip(row.file.clone()).ok_or_else(|| Refusal::State(format!("nothing is in cassette {name} yet")))
}

/// How a file that is taken in is called.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Its name here.
    name: String,
    /// What it is.
    description: Option<String>,
}

/// Takes the file of a recording in. It is for those who run the installation.
#[utoipa::path(post, path = "/api/cassettes/import", tag = "cassettes", params(ImportQuery),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 201, body = cassettes::CassetteView), (status = 400, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem)))]
pub async fn import(caller: Caller, Query(query): Query<ImportQuery>, request: Request) -> Created {
    // Asked before anything is read: whoever may not do it costs nothing.
    caller.must_run_installation()?;
    let name: Name = query.name.parse()?;
    let _turn = turn(&caller, RECORDING_COST)?;
    let body = Bytes::from_request(request, &caller.app).await;
    let bytes =
        body.map_err(|_too_large_or_cut| Refusal::TooLarge { what: "bytes in a cassette", max: file::BYTES_MAX })?;
    let checked = bytes.clone();
    let (interactions, source) =
        caller.app.computing(move || Ok::<_, Refusal>((file::check(&checked)?, file::source(&checked)))).await??;
    let app = caller.app.clone();
    let recorded = keep(&app, bytes, interactions, None, None).await?;
    let file = recorded.file.clone();
    let digest = json!({ "name": name, "description": query.description, "sha256": recorded.sha256 });
    let command = CreateCassette {
        name: name.clone(),
        description: query.description,
        audience: Audience::Office,
        source: source.and_then(|source| source.parse().ok()),
        recorded: Some(recorded),
        imported: true,
    };
    let taken = caller.carry_out(command, &digest).await;
    drop_unless_kept(&app, &name, Some(&file)).await?;
    created(taken)
}
