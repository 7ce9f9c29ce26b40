//! Decisions of several people over HTTP: the commands of the sockets, with ids in the path.

use super::{Answer, AtQuery, Caller, Created, created, or_empty, with_path};
use crate::certification::decisions::{
    self, Approval, ApproveDecision, CloseDecision, Closing, RaiseFlag, RequestDeduction, RequestRemoval,
    RequestUncertification,
};
use crate::command::parse;
use crate::db::entity::decision::DecisionKind;
use crate::error::Refusal;
use crate::events::view::DecisionFields;
use crate::ids::CategoryId;
use crate::transport::problem::Problem;
use crate::transport::request::Json as Body;
use axum::Json;
use axum::extract::{Path, Query};
use serde_json::{Value, json};

async fn list(caller: Caller, category: CategoryId, query: AtQuery, kind: DecisionKind) -> Answer {
    caller.app.limit_reading(&caller.actor, "decisions")?;
    crate::certification::may_read(&caller.app.state(), &caller.user, &category)?;
    if let Some(at) = query.at {
        let then = caller.app.board_at(&category, at).await?;
        return Ok(Json(decisions::list_then(&then.state, &then.facts, &caller.user, &category, kind)?));
    }
    let state = caller.app.state_with(&category).await?;
    Ok(Json(decisions::list(&state, &caller.user, &category, kind)?))
}

/// The id of the path goes into the body.
fn with_id(body: Value, id: &str) -> Result<Value, Refusal> {
    let mut body = or_empty(body);
    let fields = body.as_object_mut().ok_or_else(|| Refusal::invalid("", "expected an object"))?;
    fields.insert("id".into(), json!(id));
    Ok(body)
}

async fn approve(caller: Caller, kind: DecisionKind, id: &str, body: Value) -> Answer {
    let payload = with_id(body, id)?;
    caller.carry_out(ApproveDecision::read(kind, payload.clone())?, &payload).await
}

async fn close(caller: Caller, kind: DecisionKind, withdrawn: bool, id: &str, body: Value) -> Answer {
    let payload = with_id(body, id)?;
    caller.carry_out(CloseDecision::read(kind, withdrawn, payload.clone())?, &payload).await
}

/// The deductions of a category that concern the one who asks.
#[utoipa::path(get, path = "/api/v1/categories/{id}/deductions", tag = "decisions",
    params(("id" = CategoryId, Path), AtQuery), responses((status = 200, description = "{items}", body = Vec<DecisionFields>), (status = 403, body = Problem)))]
pub async fn deductions(caller: Caller, Path(category): Path<CategoryId>, Query(query): Query<AtQuery>) -> Answer {
    list(caller, category, query, DecisionKind::Deduction).await
}

/// Asks for points off a contestant's total.
#[utoipa::path(post, path = "/api/v1/categories/{id}/deductions", tag = "decisions", params(("id" = CategoryId, Path)),
    request_body = RequestDeduction, responses((status = 201, body = DecisionFields), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn request_deduction(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Created {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: RequestDeduction = parse(payload.clone())?;
    created(caller.carry_out(command, &payload).await)
}

/// Approves a deduction under a hat that is missing.
#[utoipa::path(post, path = "/api/v1/deductions/{id}/approve", tag = "decisions", params(("id" = String, Path)), request_body = Approval,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn approve_deduction(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    approve(caller, DecisionKind::Deduction, &id, body).await
}

/// Turns a deduction down.
#[utoipa::path(post, path = "/api/v1/deductions/{id}/reject", tag = "decisions", params(("id" = String, Path)), request_body = Closing,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn reject_deduction(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    close(caller, DecisionKind::Deduction, false, &id, body).await
}

/// Takes a deduction back.
#[utoipa::path(post, path = "/api/v1/deductions/{id}/withdraw", tag = "decisions", params(("id" = String, Path)), request_body = Closing,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn withdraw_deduction(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    close(caller, DecisionKind::Deduction, true, &id, body).await
}

/// The removals of a category that concern the one who asks.
#[utoipa::path(get, path = "/api/v1/categories/{id}/removals", tag = "decisions",
    params(("id" = CategoryId, Path), AtQuery), responses((status = 200, description = "{items}", body = Vec<DecisionFields>), (status = 403, body = Problem)))]
pub async fn removals(caller: Caller, Path(category): Path<CategoryId>, Query(query): Query<AtQuery>) -> Answer {
    list(caller, category, query, DecisionKind::Removal).await
}

/// Asks for marks of a judge to be taken out.
#[utoipa::path(post, path = "/api/v1/categories/{id}/removals", tag = "decisions", params(("id" = CategoryId, Path)),
    request_body = RequestRemoval, responses((status = 201, body = DecisionFields), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn request_removal(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Created {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: RequestRemoval = parse(payload.clone())?;
    created(caller.carry_out(command, &payload).await)
}

/// Approves a removal under a hat that is missing.
#[utoipa::path(post, path = "/api/v1/removals/{id}/sign", tag = "decisions", params(("id" = String, Path)), request_body = Approval,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn sign_removal(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    approve(caller, DecisionKind::Removal, &id, body).await
}

/// Turns a removal down.
#[utoipa::path(post, path = "/api/v1/removals/{id}/reject", tag = "decisions", params(("id" = String, Path)), request_body = Closing,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn reject_removal(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    close(caller, DecisionKind::Removal, false, &id, body).await
}

/// Takes a removal back.
#[utoipa::path(post, path = "/api/v1/removals/{id}/withdraw", tag = "decisions", params(("id" = String, Path)), request_body = Closing,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn withdraw_removal(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    close(caller, DecisionKind::Removal, true, &id, body).await
}

/// The uncertifications of a category that concern the one who asks.
#[utoipa::path(get, path = "/api/v1/categories/{id}/uncertifications", tag = "decisions",
    params(("id" = CategoryId, Path), AtQuery), responses((status = 200, description = "{items}", body = Vec<DecisionFields>), (status = 403, body = Problem)))]
pub async fn uncertifications(
    caller: Caller,
    Path(category): Path<CategoryId>,
    Query(query): Query<AtQuery>,
) -> Answer {
    list(caller, category, query, DecisionKind::Uncertification).await
}

/// Asks for certified sheets of a judge to be opened again.
#[utoipa::path(post, path = "/api/v1/categories/{id}/uncertifications", tag = "decisions", params(("id" = CategoryId, Path)),
    request_body = RequestUncertification, responses((status = 201, body = DecisionFields), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn request_uncertification(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Created {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: RequestUncertification = parse(payload.clone())?;
    created(caller.carry_out(command, &payload).await)
}

/// Approves an uncertification under a hat that is missing.
#[utoipa::path(post, path = "/api/v1/uncertifications/{id}/approve", tag = "decisions", params(("id" = String, Path)), request_body = Approval,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn approve_uncertification(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    approve(caller, DecisionKind::Uncertification, &id, body).await
}

/// Turns an uncertification down.
#[utoipa::path(post, path = "/api/v1/uncertifications/{id}/reject", tag = "decisions", params(("id" = String, Path)), request_body = Closing,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn reject_uncertification(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    close(caller, DecisionKind::Uncertification, false, &id, body).await
}

/// Takes an uncertification back.
#[utoipa::path(post, path = "/api/v1/uncertifications/{id}/withdraw", tag = "decisions", params(("id" = String, Path)), request_body = Closing,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn withdraw_uncertification(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    close(caller, DecisionKind::Uncertification, true, &id, body).await
}

/// The flags of a category that concern the one who asks.
#[utoipa::path(get, path = "/api/v1/categories/{id}/flags", tag = "decisions",
    params(("id" = CategoryId, Path), AtQuery), responses((status = 200, description = "{items}", body = Vec<DecisionFields>), (status = 403, body = Problem)))]
pub async fn flags(caller: Caller, Path(category): Path<CategoryId>, Query(query): Query<AtQuery>) -> Answer {
    list(caller, category, query, DecisionKind::Flag).await
}

/// Raises a flag.
#[utoipa::path(post, path = "/api/v1/categories/{id}/flags", tag = "decisions", params(("id" = CategoryId, Path)),
    request_body = RaiseFlag, responses((status = 201, body = DecisionFields), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn request_flag(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Created {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: RaiseFlag = parse(payload.clone())?;
    created(caller.carry_out(command, &payload).await)
}

/// Answers a flag: `{decision: accepted | rejected, reason}`.
#[utoipa::path(post, path = "/api/v1/flags/{id}/resolve", tag = "decisions", params(("id" = String, Path)), request_body = Closing,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn resolve_flag(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    close(caller, DecisionKind::Flag, false, &id, body).await
}

/// Takes a flag back.
#[utoipa::path(post, path = "/api/v1/flags/{id}/withdraw", tag = "decisions", params(("id" = String, Path)), request_body = Closing,
    responses((status = 200, body = DecisionFields), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn withdraw_flag(caller: Caller, Path(id): Path<String>, Body(body): Body) -> Answer {
    close(caller, DecisionKind::Flag, true, &id, body).await
}
