//! Published results: publishing, showing them step by step, evidence, keys, and checking a bundle.

use super::public::{PAST_COST, respond_by_content};
use super::{Answer, AtQuery, Caller, Created, created, or_empty, with_path};
use crate::app::App;
use crate::command::parse;
use crate::db::entity::publication;
use crate::error::{AppError, Refusal};
use crate::events::room::Lane;
use crate::evidence::key::KeySet;
use crate::evidence::{self, verify};
use crate::ids::{CategoryId, ContestId, EventId};
use crate::publications::{FreezeResults, Publish, PublishResults, RevealResults, ThawResults, key, read};
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::{ClientAddress, Json as Body};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, Iterable, QueryFilter, QuerySelect};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Largest bundle that is checked over HTTP, in bytes; the command line takes larger ones.
const VERIFY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a bundle may take to come: while it does, it takes one of few turns.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(10);
/// What checking a bundle costs, in public reads.
const VERIFY_COST: u32 = 100;

/// Publishes the result of a category: `unofficial` once the judges are done, `official` once the board has signed.
#[utoipa::path(post, path = "/api/v1/categories/{id}/publish", tag = "publications", params(("id" = CategoryId, Path)),
    request_body = Publish, responses((status = 201, description = "{publicationId, revision, state, …}", body = Object),
        (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn publish(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Created {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let Publish { state } = parse(payload.clone())?;
    // Asked before a key is made: whoever may not publish changes nothing.
    caller.must_run_installation()?;
    let signer = caller.app.signer().await?;
    created(caller.carry_out(PublishResults { category_id: category, state, signer }, &payload).await)
}

/// What was published of a category, every revision.
#[utoipa::path(get, path = "/api/v1/categories/{id}/publications", tag = "publications", params(("id" = CategoryId, Path)),
    responses((status = 200, description = "{items}", body = Object), (status = 403, body = Problem)))]
pub async fn list(caller: Caller, Path(category): Path<CategoryId>) -> Answer {
    caller.app.limit_reading(&caller.actor, "publications")?;
    read::for_readers(&caller.app.state(), &caller.user, &category)?;
    let state = caller.app.state_with(&category).await?;
    Ok(Json(read::list(&state, &caller.user, &category)?))
}

/// Which evidence.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EvidenceQuery {
    /// Of which revision; the latest unless said. 0 is a draft of what would be published now, for the office.
    pub revision: Option<i64>,
}

/// A published result with everything that led to it, to be checked without a server.
#[utoipa::path(get, path = "/api/v1/categories/{id}/evidence.zip", tag = "publications",
    params(("id" = CategoryId, Path), EvidenceQuery),
    responses((status = 200, content_type = "application/zip", body = Vec<u8>), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub async fn evidence(
    caller: Caller,
    Path(category): Path<CategoryId>,
    Query(query): Query<EvidenceQuery>,
) -> Result<Response, ApiError> {
    caller.app.limit_reading(&caller.actor, "evidence")?;
    read::for_readers(&caller.app.state(), &caller.user, &category)?;
    let state = caller.app.state_with(&category).await?;
    let signer = caller.app.signer().await?;
    let now = caller.app.clock.now();
    let wanted = read::evidence(&state, &caller.user, &category, query.revision, &signer, now)?;
    let revision = wanted.publication.statement.revision;
    let bytes = caller.app.bundle(wanted).await?;
    let name = format!("attachment; filename=\"{category}-{revision}.evidence.zip\"");
    let named = HeaderValue::from_str(&name).map_err(anyhow::Error::from).map_err(AppError::from)?;
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/zip")), (header::CONTENT_DISPOSITION, named)];
    Ok((headers, bytes).into_response())
}

/// What was signed when a result was published; open to anyone.
#[utoipa::path(get, path = "/api/v1/publications/{id}", tag = "publications", security(()), params(("id" = String, Path)),
    responses((status = 200, body = evidence::Publication), (status = 404, body = Problem)))]
pub async fn one(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Path(id): Path<String>,
) -> Result<Json<evidence::Publication>, ApiError> {
    app.limits.public_read(address, 1)?;
    let found = publication::Entity::find().filter(publication::Column::Id.eq(&id)).one(&app.db).await;
    let row = found.map_err(AppError::from)?.ok_or_else(|| Refusal::not_found("publication", &id))?;
    Ok(Json(read::one(&app.state(), &row)?))
}

/// The judged results of an event as anyone is shown them; a frozen event shows those of the freeze, and what was
/// revealed since.
#[utoipa::path(get, path = "/api/v1/events/{id}/judged", tag = "publications", security(()),
    params(("id" = EventId, Path), AtQuery),
    responses((status = 200, description = "{eventId, frozenAt, hidden, items}", body = Object), (status = 304),
        (status = 404, body = Problem)))]
pub async fn judged(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Path(event): Path<EventId>,
    Query(query): Query<AtQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.limits.public_read(address, if query.at.is_some() { PAST_COST } else { 1 })?;
    if let Some(at) = query.at {
        read::must_be_public(&app.state(), &event)?;
        let told = app.told_at(&event, at).await?;
        let rows = public_rows(&app, &event).await?;
        return respond_by_content(&headers, at, told.view(&app.state(), &event, rows)?);
    }
    // Read first: what is shown may be ahead of the place it is said to have, never behind.
    let seq = app.state().lane_seq(&Lane::Public(event.clone()));
    respond_by_content(&headers, seq, public_results(&app, &event).await?)
}

/// The judged results of an event as anyone is shown them.
///
/// # Errors
/// `NOT_FOUND` for an event that is not there, or is a draft.
pub async fn public_results(app: &App, event: &EventId) -> Result<Value, AppError> {
    let rows = public_rows(app, event).await?;
    // The state after the rows: what was hidden meanwhile is judged by what the rows say.
    Ok(read::public(&app.state(), event, rows)?)
}

/// What was published of an event.
async fn public_rows(app: &App, event: &EventId) -> Result<Vec<publication::Model>, AppError> {
    // Without the records: the public reads what was signed, not what it was computed from.
    let told = publication::Column::iter().filter(|column| !matches!(column, publication::Column::Tally));
    Ok(publication::Entity::find()
        .filter(publication::Column::EventId.eq(event))
        .select_only()
        .columns(told)
        .expr_as(Expr::val(""), "tally")
        .into_model::<publication::Model>()
        .all(&app.db)
        .await?)
}

/// Which standings.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StandingsQuery {
    /// As they stood at this place of the whole log, by the rules of now; `seq` of an answer is such a place.
    pub at: Option<i64>,
}

/// The standings of a contest: live for the office, else of what is published.
#[utoipa::path(get, path = "/api/v1/contests/{id}/standings", tag = "publications",
    params(("id" = ContestId, Path), StandingsQuery),
    responses((status = 200, description = "{contestId, published, standings, seq}", body = Object),
        (status = 400, body = Problem), (status = 403, body = Problem)))]
pub async fn standings(caller: Caller, Path(contest): Path<ContestId>, Query(query): Query<StandingsQuery>) -> Answer {
    caller.app.limit_reading(&caller.actor, "standings")?;
    read::for_contest_readers(&caller.app.state(), &caller.user, &contest)?;
    let state = match query.at {
        Some(at) => caller.app.contest_at(&contest, at).await?,
        None => caller.app.contest_now(&contest).await?,
    };
    let (seq, user) = (query.at.unwrap_or(state.head.seq), caller.user.clone());
    let mut view = caller.app.computing(move || read::standings(&state, &user, &contest)).await??;
    view["seq"] = json!(seq);
    Ok(Json(view))
}

/// Stops showing the public anything new of an event.
#[utoipa::path(post, path = "/api/v1/events/{id}/results/freeze", tag = "publications", params(("id" = EventId, Path)),
    request_body = Object, responses((status = 200, description = "{eventId, frozen}", body = Object),
        (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn freeze(caller: Caller, Path(event): Path<EventId>, Body(body): Body) -> Answer {
    let payload = with_path(or_empty(body), "eventId", event.as_str())?;
    caller.carry_out(parse::<FreezeResults>(payload.clone())?, &payload).await
}

/// Shows the public everything again.
#[utoipa::path(post, path = "/api/v1/events/{id}/results/thaw", tag = "publications", params(("id" = EventId, Path)),
    request_body = Object, responses((status = 200, description = "{eventId, frozen}", body = Object),
        (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn thaw(caller: Caller, Path(event): Path<EventId>, Body(body): Body) -> Answer {
    let payload = with_path(or_empty(body), "eventId", event.as_str())?;
    caller.carry_out(parse::<ThawResults>(payload.clone())?, &payload).await
}

/// Shows the public some places of a result that is hidden.
#[utoipa::path(post, path = "/api/v1/categories/{id}/reveal", tag = "publications", params(("id" = CategoryId, Path)),
    request_body = RevealResults, responses((status = 200, description = "{categoryId, lines, left}", body = Object),
        (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn reveal(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Answer {
    let payload = with_path(body, "categoryId", category.as_str())?;
    caller.carry_out(parse::<RevealResults>(payload.clone())?, &payload).await
}

/// The public keys of this installation, as a JSON Web Key Set.
#[utoipa::path(get, path = "/.well-known/scorecast-keys.json", tag = "publications", security(()),
    responses((status = 200, body = KeySet)))]
pub async fn keys(State(app): State<App>, ClientAddress(address): ClientAddress) -> Result<Json<KeySet>, ApiError> {
    app.limits.public_read(address, 1)?;
    app.signer().await?;
    Ok(Json(key::key_set(&key::all(&app.db).await.map_err(AppError::from)?)))
}

/// A page to check a bundle with.
#[utoipa::path(get, path = "/verify", tag = "publications", security(()),
    responses((status = 200, content_type = "text/html", body = String)))]
pub async fn verify_page() -> impl IntoResponse {
    // The page is ours to the last byte; nothing from elsewhere may run in it or be told by it.
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
        base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(include_str!("verify.html")))
}

/// Checks a bundle against the keys of this installation.
#[utoipa::path(post, path = "/verify", tag = "publications", security(()), request_body(content = Vec<u8>, content_type = "application/zip"),
    responses((status = 200, description = "{accepted, reason?, rehearsal?, statement?, keyId?, facts?, marks?}", body = Object),
        (status = 413, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub async fn verify_bundle(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    request: axum::extract::Request,
) -> Answer {
    app.limits.public_read(address, VERIFY_COST)?;
    // Before the body is read: no more than a few of these large ones are in memory at a time.
    let _turn = app.verifications.try_acquire().map_err(|_all_taken| Refusal::Overloaded)?;
    let body = axum::body::to_bytes(request.into_body(), VERIFY_BYTES_MAX);
    let bytes = tokio::time::timeout(UPLOAD_TIME_MAX, body)
        .await
        .map_err(|_too_slow| Refusal::invalid("", "the bundle did not come in time"))?
        .map_err(|_too_large_or_cut| Refusal::TooLarge { what: "bytes in a bundle", max: VERIFY_BYTES_MAX })?;
    let kept = key::all(&app.db).await.map_err(AppError::from)?;
    let keys: Vec<_> = kept.into_iter().map(|key| key.public).collect();
    Ok(Json(match app.computing(move || verify::verify(&bytes, &keys, &[])).await? {
        Ok(found) => json!({
            "accepted": true, "rehearsal": found.statement.rehearsal, "statement": found.statement, "keyId": found.key_id, "facts": found.facts,
            "marks": found.marks,
        }),
        Err(rejected) => json!({ "accepted": false, "reason": rejected.to_string() }),
    }))
}
