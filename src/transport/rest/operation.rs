//! What operators ask: is it alive, is it ready, how much of what.

use super::Answer;
use crate::app::App;
use crate::db::entity::certification::{self, Stage};
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::Outlet;
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::bearer;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use sea_orm::{ActiveEnum, EntityTrait, Iterable, QuerySelect};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Instant;

/// A dispatcher further behind than this is degraded, in milliseconds.
const DISPATCH_LAG_MS_MAX: i64 = 5_000;

/// When the process began to serve.
#[derive(Clone, Copy, Debug)]
pub struct Started(pub Instant);

/// Lives.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()), responses((status = 200, description = "{status}", body = Object)))]
pub async fn healthz() -> Answer {
    Ok(Json(json!({ "status": "ok" })))
}

/// Takes work: the database answers, and it is not about to end.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()),
    responses((status = 200, description = "{status}", body = Object), (status = 503, body = Problem)))]
pub async fn readyz(State(app): State<App>) -> Answer {
    let answers = crate::state::load::head(&app.db).await.is_ok_and(|head| head.is_some());
    if app.is_ready() && answers { Ok(Json(json!({ "status": "ok" }))) } else { Err(Refusal::Overloaded.into()) }
}

/// How the sockets are.
#[utoipa::path(get, path = "/socket-health", tag = "operation", security(()),
    responses((status = 200, description = "{status, connectedClients, uptime, publicClients, dispatchLagMs}", body = Object),
        (status = 503, description = "the dispatcher is more than 5 s behind", body = Object)))]
pub async fn socket_health(
    State(app): State<App>,
    Extension(outlet): Extension<Outlet>,
    Extension(Started(started)): Extension<Started>,
) -> Response {
    let lag = outlet.lag_ms(app.state().head.seq);
    let (status, word) =
        if lag > DISPATCH_LAG_MS_MAX { (StatusCode::SERVICE_UNAVAILABLE, "degraded") } else { (StatusCode::OK, "ok") };
    let public = app.metrics.connections_active.with_label_values(&["live"]).get();
    let body = json!({
        "status": word, "connectedClients": outlet.sockets(), "uptime": started.elapsed().as_secs(),
        "publicClients": public, "dispatchLagMs": lag,
    });
    (status, Json(body)).into_response()
}

/// What is counted, for Prometheus: to this machine itself, or with `METRICS_TOKEN`.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, description = "Prometheus text", body = String), (status = 403, body = Problem)))]
pub async fn metrics(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // What a proxy on this machine passes on comes from loopback too, but says so.
    let local =
        peer.ip().is_loopback() && !headers.contains_key("x-forwarded-for") && !headers.contains_key(header::FORWARDED);
    let token = &app.config.metrics_token;
    let known = !token.is_empty() && bearer(&headers).is_some_and(|given| same(given, token));
    if !local && !known {
        return Err(Refusal::Forbidden.into());
    }
    count_stages(&app).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.encode()?).into_response())
}

/// Counts the categories at each stage: when somebody looks, because boards that are not in memory count too.
async fn count_stages(app: &App) -> Result<(), ApiError> {
    let begun: Vec<Stage> = certification::Entity::find()
        .select_only()
        .column(certification::Column::Stage)
        .into_tuple()
        .all(&app.db)
        .await
        .map_err(AppError::from)?;
    let untouched = app.state().categories.len().saturating_sub(begun.len());
    for stage in Stage::iter() {
        let there = begun.iter().filter(|at| **at == stage).count() + if stage == Stage::Open { untouched } else { 0 };
        let label = stage.to_value();
        app.metrics.certification_stage.with_label_values(&[&label]).set(i64::try_from(there).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// Compares by hashes, so that the time it takes says nothing.
fn same(given: &str, expected: &str) -> bool {
    use crate::events::log::sha256_hex;
    sha256_hex(given.as_bytes()) == sha256_hex(expected.as_bytes())
}
