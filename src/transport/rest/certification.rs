//! Certification over HTTP: the commands of the sockets, with the category in the path.

use super::{Answer, AtQuery, Caller, Created, created, or_empty, with_path};
use crate::certification;
use crate::certification::judges::{CertifySheet, SignFinal};
use crate::certification::officers::{OverrideStage, RejectStage, SignStage};
use crate::certification::ties::ResolveTie;
use crate::command::parse;
use crate::events::view::{CertificationFields, TieFields};
use crate::ids::{CategoryId, ContestantId};
use crate::transport::problem::Problem;
use crate::transport::request::Json as Body;
use axum::Json;
use axum::extract::{Path, Query};
use serde_json::json;

/// How far the certification of a category has come, as the one who asks may see it.
#[utoipa::path(get, path = "/api/v1/categories/{id}/certification", tag = "certification",
    params(("id" = CategoryId, Path), AtQuery),
    responses((status = 200, body = CertificationFields), (status = 403, body = Problem)))]
pub async fn show(caller: Caller, Path(category): Path<CategoryId>, Query(query): Query<AtQuery>) -> Answer {
    caller.app.limit_reading(&caller.actor, "certification")?;
    certification::may_read(&caller.app.state(), &caller.user, &category)?;
    if let Some(at) = query.at {
        let then = caller.app.board_at(&category, at).await?;
        return Ok(Json(certification::view_then(&then.state, &then.facts, &caller.user, &category)?));
    }
    let state = caller.app.state_with(&category).await?;
    Ok(Json(certification::view(&state, &caller.user, &category)?))
}

/// Certifies the sheet of a contestant.
#[utoipa::path(post, path = "/api/v1/categories/{id}/sheets/{contestantId}/certify", tag = "certification",
    params(("id" = CategoryId, Path), ("contestantId" = ContestantId, Path)), request_body = Object,
    responses((status = 200, body = CertificationFields), (status = 409, body = Problem)))]
pub async fn certify(
    caller: Caller,
    Path((category, contestant)): Path<(CategoryId, ContestantId)>,
    Body(body): Body,
) -> Answer {
    let mut payload = with_path(or_empty(body), "categoryId", category.as_str())?;
    payload["contestantId"] = json!(contestant);
    let command: CertifySheet = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// Signs FINAL.
#[utoipa::path(post, path = "/api/v1/categories/{id}/final", tag = "certification", params(("id" = CategoryId, Path)),
    request_body = Object, responses((status = 200, body = CertificationFields), (status = 409, body = Problem)))]
pub async fn sign_final(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Answer {
    let payload = with_path(or_empty(body), "categoryId", category.as_str())?;
    let command: SignFinal = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// Signs the next stage, over the tally hash that was seen.
#[utoipa::path(post, path = "/api/v1/categories/{id}/certification/sign", tag = "certification", params(("id" = CategoryId, Path)),
    request_body = SignStage, responses((status = 200, body = CertificationFields), (status = 403, body = Problem),
        (status = 409, description = "HASH_MISMATCH with `current`, OPEN_FLAGS, STATE", body = Problem)))]
pub async fn sign(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Answer {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: SignStage = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// Sends the category back, with a reason.
#[utoipa::path(post, path = "/api/v1/categories/{id}/certification/reject", tag = "certification", params(("id" = CategoryId, Path)),
    request_body = RejectStage, responses((status = 200, body = CertificationFields), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn reject(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Answer {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: RejectStage = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// Puts a signature in the place of whoever cannot give it, with a reason; where the event allows it.
#[utoipa::path(post, path = "/api/v1/categories/{id}/certification/override", tag = "certification", params(("id" = CategoryId, Path)),
    request_body = OverrideStage, responses((status = 200, body = CertificationFields), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn override_stage(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Answer {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: OverrideStage = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// Puts those who share a rank in order, where the rules leave it to the tally master.
#[utoipa::path(post, path = "/api/v1/categories/{id}/ties", tag = "certification", params(("id" = CategoryId, Path)),
    request_body = ResolveTie, responses((status = 201, body = TieFields), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn resolve_tie(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Created {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: ResolveTie = parse(payload.clone())?;
    created(caller.carry_out(command, &payload).await)
}
