//! Notices and announcements over HTTP, and the locks of contests.

use super::{Answer, Caller, Created, created};
use crate::command::parse;
use crate::events::view::LockFields;
use crate::ids::ContestId;
use crate::notices::{self, Announce, DeleteNotice, NoticeQuery, ReadNotice};
use crate::setup::locks::LockContest;
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::Json as Body;
use axum::Json;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// One's own notices, the latest first, with the number of those not read.
#[utoipa::path(get, path = "/api/v1/notifications", tag = "notices", params(NoticeQuery),
    responses((status = 200, description = "{items, unread, nextCursor?}", body = Object)))]
pub async fn list(caller: Caller, Query(query): Query<NoticeQuery>) -> Answer {
    caller.app.limit_reading(&caller.actor, "notifications")?;
    Ok(Json(notices::list(&caller.app.state(), &caller.user, &query)?))
}

/// Marks a notice as read.
#[utoipa::path(post, path = "/api/v1/notifications/{id}/read", tag = "notices", params(("id" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn read(caller: Caller, Path(id): Path<String>) -> Answer {
    let payload = json!({ "id": id });
    caller.carry_out(ReadNotice { id: Some(id), all: false }, &payload).await
}

/// Marks all notices as read.
#[utoipa::path(post, path = "/api/v1/notifications/read-all", tag = "notices", responses((status = 200, body = Object)))]
pub async fn read_all(caller: Caller) -> Answer {
    caller.carry_out(ReadNotice { id: None, all: true }, &json!({ "all": true })).await
}

/// Removes a notice.
#[utoipa::path(delete, path = "/api/v1/notifications/{id}", tag = "notices", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub async fn delete(caller: Caller, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    caller.carry_out(DeleteNotice { id }, &payload).await.map(|_| StatusCode::NO_CONTENT)
}

/// Announces something to everyone, to a role, to the staff or to the public of an event.
#[utoipa::path(post, path = "/api/v1/announcements", tag = "notices", request_body = Announce,
    responses((status = 201, description = "{id, told}", body = Object), (status = 403, body = Problem)))]
pub async fn announce(caller: Caller, Body(body): Body) -> Created {
    let command: Announce = parse(body.clone())?;
    created(caller.carry_out(command, &body).await)
}

/// Why a contest is locked or opened.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
pub struct Why {
    reason: Option<String>,
}

async fn set_lock(caller: Caller, contest: ContestId, locked: bool, body: Value) -> Answer {
    let Why { reason } = if body.is_null() { Why::default() } else { parse(body.clone())? };
    let payload = json!({ "id": contest, "locked": locked, "why": body });
    caller.carry_out(LockContest { contest, locked, reason }, &payload).await
}

/// Locks a contest: nothing is written below it but notices, flags and publications.
#[utoipa::path(post, path = "/api/v1/contests/{id}/lock", tag = "set-up", params(("id" = ContestId, Path)), request_body = Why,
    responses((status = 200, body = LockFields), (status = 409, body = Problem)))]
pub async fn lock(caller: Caller, Path(contest): Path<ContestId>, Body(body): Body) -> Answer {
    set_lock(caller, contest, true, body).await
}

/// Opens a locked contest again.
#[utoipa::path(post, path = "/api/v1/contests/{id}/unlock", tag = "set-up", params(("id" = ContestId, Path)), request_body = Why,
    responses((status = 200, body = LockFields), (status = 409, body = Problem)))]
pub async fn unlock(caller: Caller, Path(contest): Path<ContestId>, Body(body): Body) -> Answer {
    set_lock(caller, contest, false, body).await
}
