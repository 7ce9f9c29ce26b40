//! Keys of timing software at the organiser's desk. The key itself is in the answer of its creation and nowhere else.

use super::setup::removed;
use super::{Answer, Caller, Created, with_path};
use crate::app::App;
use crate::auth::keys::hash_of;
use crate::command::parse;
use crate::ids::ApiKeyId;
use crate::setup::keys::{ApiKeySpec, ChangeApiKey, CreateApiKey, RevokeApiKey};
use crate::setup::list::{self, PageQuery};
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::Json as Body;
use axum::Json;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// A new key, chosen outside the writer: of the key itself the command has only the hash.
#[must_use]
pub fn new_key(app: &App, spec: ApiKeySpec) -> CreateApiKey {
    let id: ApiKeyId = app.chance.id(app.clock.now()).into();
    CreateApiKey { hash: hash_of(&app.key_maker.key(&id)), id, spec }
}

/// The answer of a creation with the key in it, also where the answer is given again. Only the key whose hash is kept is
/// told; null where there is none any more.
#[must_use]
pub fn with_key(app: &App, mut made: Value) -> Value {
    let state = app.state();
    let id = made["id"].as_str().and_then(|id| id.parse::<ApiKeyId>().ok());
    let row = id.and_then(|id| state.racing.keys.get(&id));
    let key = row.map(|row| app.key_maker.key(&row.id)).filter(|key| state.racing.key_with_hash(&hash_of(key)) == row);
    made["key"] = json!(key);
    made
}

/// Lists the keys of timing software, revoked ones too; what is listed opens nothing.
#[utoipa::path(get, path = "/api/v1/admin/api-keys", tag = "set-up", params(PageQuery), responses((status = 200, description = "{items, nextCursor?}", body = Object)))]
pub async fn keys(caller: Caller, Query(query): Query<PageQuery>) -> Answer {
    Ok(Json(list::api_keys(&*caller.desk("admin:api-keys")?, &query)?))
}

/// Makes a key for the timing software of an event. `key` is told here and never again, but to a retry by its
/// `Idempotency-Key`.
#[utoipa::path(post, path = "/api/v1/admin/api-keys", tag = "set-up", request_body = ApiKeySpec,
    responses((status = 201, description = "{id, eventId, name, validFrom, validUntil, createdBy, createdAt, revokedAt, key}", body = Object), (status = 404, body = Problem),
        (status = 413, description = "more keys than an event may have", body = Problem)))]
pub async fn create_key(caller: Caller, Body(body): Body) -> Created {
    let app = caller.app.clone();
    let command = new_key(&app, parse(body.clone())?);
    let Json(made) = caller.carry_out(command, &body).await?;
    Ok((StatusCode::CREATED, Json(with_key(&app, made))))
}

/// One key, without the key itself.
#[utoipa::path(get, path = "/api/v1/admin/api-keys/{id}", tag = "set-up", params(("id" = ApiKeyId, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn key(caller: Caller, Path(id): Path<ApiKeyId>) -> Answer {
    Ok(Json(list::api_key(&*caller.desk("admin:api-keys")?, &id)?))
}

/// Changes what a key is called and when it is good: `{name, validFrom?, validUntil?}`.
#[utoipa::path(put, path = "/api/v1/admin/api-keys/{id}", tag = "set-up", params(("id" = ApiKeyId, Path)), request_body = ChangeApiKey,
    responses((status = 200, body = Object), (status = 404, body = Problem), (status = 409, description = "it was revoked", body = Problem)))]
pub async fn put_key(caller: Caller, Path(id): Path<ApiKeyId>, Body(body): Body) -> Answer {
    let body = with_path(body, "id", id.as_str())?;
    let command: ChangeApiKey = parse(body.clone())?;
    caller.carry_out(command, &body).await
}

/// Revokes a key; that it was there stays known.
#[utoipa::path(delete, path = "/api/v1/admin/api-keys/{id}", tag = "set-up", params(("id" = ApiKeyId, Path)), responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn revoke_key(caller: Caller, Path(id): Path<ApiKeyId>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    removed(caller.carry_out(RevokeApiKey { id }, &payload).await)
}
