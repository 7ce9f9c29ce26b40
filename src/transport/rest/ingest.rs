//! What timing software posts. The key says which event it is of.

use super::public::PAST_COST;
use super::{Answer, AtQuery, Created, Timekeeper};
use crate::auth::actor::Actor;
use crate::command::{Limit, parse};
use crate::db::entity::race::RacePhase;
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::Outlet;
use crate::events::log::sha256_hex;
use crate::ids::{EventId, RaceId};
use crate::races::import::IngestXml;
use crate::races::indoor::{self, ImportIndoor, UpdateIndoor};
use crate::races::odds::{IngestOdds, OddsPost};
use crate::races::oncourse::{self, OncoursePost};
use crate::races::reports::{IngestResults, ResultsPost};
use crate::races::{Post, canoe};
use crate::transport::http::IMPORT_BYTES_MAX;
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::{ClientAddress, Json as Body};
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// An export inside JSON.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct XmlPost {
    xml: String,
}

/// The event a key is of.
fn event_of(actor: &Actor) -> Result<EventId, Refusal> {
    match actor {
        Actor::Key { event, .. } => Ok(event.clone()),
        Actor::User { .. } | Actor::Operator => Err(Refusal::Forbidden),
    }
}

fn counted<T>(keeper: &Timekeeper, source: &'static str) -> impl FnOnce(&Result<T, ApiError>) + use<T> {
    let metrics = Arc::clone(&keeper.app.metrics);
    move |answer| {
        let outcome = if answer.is_ok() { "taken" } else { "refused" };
        metrics.ingest.with_label_values(&[source, outcome]).inc();
    }
}

/// The export of a timing computer (Canoe123), as `application/xml` or inside JSON; at most 10 MiB.
#[utoipa::path(post, path = "/api/v1/ingest/xml", tag = "ingest", security(("key" = [])),
    request_body(content((XmlPost = "application/json"), (String = "application/xml"))),
    responses((status = 200, description = "{accepted, skipped, receipt, classes, races, participants}", body = Object),
        (status = 400, body = Problem), (status = 403, body = Problem), (status = 413, body = Problem)))]
pub async fn xml(keeper: Timekeeper, request: Request) -> Answer {
    let count = counted(&keeper, Post::Xml.as_str());
    let answer = take_xml(keeper, request).await;
    count(&answer);
    answer
}

async fn take_xml(keeper: Timekeeper, request: Request) -> Answer {
    let event = event_of(&keeper.actor)?;
    // Asked before ten megabytes are read: whoever may not post them costs nothing.
    Post::Xml.must_be_taken(keeper.app.state().events.get(&event), &event)?;
    keeper.app.limit(&keeper.actor, Limit::Commands, 1, "ingest:xml")?;
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, IMPORT_BYTES_MAX)
        .await
        .map_err(|_too_large_or_cut| Refusal::TooLarge { what: "bytes in a body", max: IMPORT_BYTES_MAX })?;
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let bytes: Bytes = match &*kind {
        "application/xml" | "text/xml" => bytes,
        "application/json" => {
            let value = serde_json::from_slice(&bytes).map_err(|wrong| Refusal::invalid("", wrong))?;
            parse::<XmlPost>(value)?.xml.into()
        }
        _ => return Err(Refusal::invalid("Content-Type", "is application/xml or application/json").into()),
    };
    let digest = json!({ "sha256": sha256_hex(&bytes) });
    let export = {
        // Read, a file takes several times its size.
        let _turn = keeper.app.exports.acquire().await.map_err(|_closed| Refusal::Overloaded)?;
        keeper.app.computing(move || canoe::read(&bytes)).await??
    };
    keeper.carry_out(IngestXml { event, export: Arc::new(export) }, &digest).await
}

/// Results, and timing points that were passed, from the live feed.
#[utoipa::path(post, path = "/api/v1/ingest/results", tag = "ingest", security(("key" = [])), request_body = ResultsPost,
    responses((status = 200, description = "{accepted, skipped, receipt}", body = Object), (status = 403, body = Problem)))]
pub async fn results(keeper: Timekeeper, Body(body): Body) -> Answer {
    let count = counted(&keeper, Post::Results.as_str());
    let answer = take_results(keeper, body).await;
    count(&answer);
    answer
}

async fn take_results(keeper: Timekeeper, body: Value) -> Answer {
    let event = event_of(&keeper.actor)?;
    let post = parse::<ResultsPost>(body.clone())?;
    keeper.carry_out(IngestResults::new(event, post), &body).await
}

/// Who is on the course, all of them; nobody is, ten seconds after the last post.
#[utoipa::path(post, path = "/api/v1/ingest/oncourse", tag = "ingest", security(("key" = [])), request_body = OncoursePost,
    responses((status = 200, description = "{accepted, skipped}", body = Object), (status = 403, body = Problem)))]
pub async fn oncourse(keeper: Timekeeper, Extension(outlet): Extension<Outlet>, Body(body): Body) -> Answer {
    let count = counted(&keeper, Post::Oncourse.as_str());
    let answer = take_oncourse(&keeper, &outlet, body);
    count(&answer);
    answer
}

fn take_oncourse(keeper: &Timekeeper, outlet: &Outlet, body: Value) -> Answer {
    let event = event_of(&keeper.actor)?;
    keeper.app.limit(&keeper.actor, Limit::Commands, 1, "ingest:oncourse")?;
    let state = keeper.app.state();
    keeper.actor.must_be_signed_in(&state, keeper.app.clock.now())?;
    Post::Oncourse.must_be_taken(state.events.get(&event), &event)?;
    let (shown, skipped) = oncourse::read(&state, &event, parse(body)?)?;
    let accepted = shown.len();
    outlet.live.set_oncourse(&event, shown);
    Ok(Json(json!({ "accepted": accepted, "skipped": skipped })))
}

/// What bets on a race pay.
#[utoipa::path(post, path = "/api/v1/ingest/odds", tag = "ingest", security(("key" = [])), request_body = OddsPost,
    responses((status = 200, description = "{accepted, skipped, receipt}", body = Object), (status = 403, body = Problem)))]
pub async fn odds(keeper: Timekeeper, Body(body): Body) -> Answer {
    let count = counted(&keeper, Post::Odds.as_str());
    let answer = take_odds(keeper, body).await;
    count(&answer);
    answer
}

async fn take_odds(keeper: Timekeeper, body: Value) -> Answer {
    let event = event_of(&keeper.actor)?;
    let post = parse::<OddsPost>(body.clone())?;
    keeper.carry_out(IngestOdds { event, post }, &body).await
}

/// The results of a race on ergometers.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndoorPost {
    results: indoor::IndoorResults,
    /// The race is official, and is to change all the same.
    #[serde(default)]
    correction: bool,
}

/// serde would take a list for a struct, field by field.
fn must_be_object(place: &str, value: &Value) -> Result<(), Refusal> {
    if value.is_array() { Err(Refusal::invalid(place, "expected an object, not a list")) } else { Ok(()) }
}

/// Takes the results of a race on ergometers: 201 the first time, 200 again.
#[utoipa::path(post, path = "/indoor-results/import", tag = "ingest", security(("key" = []), ("bearer" = [])),
    request_body = IndoorPost,
    responses((status = 201, description = "{status, data}", body = Object), (status = 200, description = "again", body = Object),
        (status = 403, body = Problem), (status = 409, description = "the race is official", body = Problem)))]
pub async fn import_indoor(keeper: Timekeeper, Body(body): Body) -> Created {
    let count = counted(&keeper, "indoor");
    let answer = take_indoor(keeper, body).await;
    count(&answer);
    let Json(mut answer) = answer?;
    let created = answer.as_object_mut().and_then(|fields| fields.remove("created"));
    let status = if created == Some(Value::Bool(true)) { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(answer)))
}

async fn take_indoor(keeper: Timekeeper, body: Value) -> Answer {
    must_be_object("results", &body["results"])?;
    for (index, one) in body["results"]["participants"].as_array().into_iter().flatten().enumerate() {
        must_be_object(&format!("results.participants[{index}]"), one)?;
    }
    let IndoorPost { results, correction } = parse(body.clone())?;
    keeper.carry_out(ImportIndoor { results, correction }, &body).await
}

/// Takes what one ergometer says while the race is under way.
#[utoipa::path(post, path = "/indoor-results/participants", tag = "ingest", security(("key" = []), ("bearer" = [])),
    request_body = UpdateIndoor,
    responses((status = 200, description = "{race_id, event_id, race_status, participant}", body = Object),
        (status = 403, body = Problem), (status = 409, description = "the race is official", body = Problem)))]
pub async fn update_indoor(keeper: Timekeeper, Body(body): Body) -> Answer {
    let count = counted(&keeper, "indoor");
    let answer = take_indoor_update(keeper, body).await;
    count(&answer);
    answer
}

async fn take_indoor_update(keeper: Timekeeper, body: Value) -> Answer {
    must_be_object("participant", &body["participant"])?;
    keeper.carry_out(parse::<UpdateIndoor>(body.clone())?, &body).await
}

/// A race on ergometers: for anyone once it is over, before that for those who time it. Its status is that of now.
#[utoipa::path(get, path = "/indoor-results/race/{id}", tag = "public", security(()),
    params(("id" = RaceId, Path), AtQuery),
    responses((status = 200, description = "{race_id, event_id, race_status, participants}", body = Object),
        (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn indoor_race(
    State(app): State<crate::app::App>,
    ClientAddress(address): ClientAddress,
    keeper: Result<Timekeeper, ApiError>,
    Path(race): Path<RaceId>,
    Query(query): Query<AtQuery>,
) -> Answer {
    app.limits.public_read(address, if query.at.is_some() { PAST_COST } else { 1 })?;
    let state = app.state();
    // A key calls its races as its software does.
    let own = keeper.as_ref().ok().and_then(|keeper| event_of(&keeper.actor).ok());
    let row = own.and_then(|event| state.race_in(&event, race.as_str())).or_else(|| state.races.get(&race));
    let row = row.ok_or_else(|| Refusal::not_found("race", &race))?;
    let over = matches!(row.status.phase(), RacePhase::NonOfficial | RacePhase::Official);
    let times = || keeper.is_ok_and(|keeper| keeper.actor.must_time(&state, &row.event_id).is_ok());
    if (over && state.is_public(&row.event_id)) || times() {
        let then = match query.at {
            Some(at) => app.race_at(&row.event_id, &row.id, at).await?,
            None => Arc::clone(&state),
        };
        return Ok(Json(indoor::view(&then, &row.id)?));
    }
    Err(AppError::from(Refusal::not_found("race", &race)).into())
}
