//! Marks and what they come to.

use super::{Answer, AtQuery, Caller, or_empty, with_path};
use crate::app::App;
use crate::auth::actor::Actor;
use crate::command::{parse, to_value};
use crate::error::{AppError, Refusal};
use crate::events::room::Lane;
use crate::ids::{CategoryId, ContestantId, MarkId};
use crate::preview::Preview;
use crate::publications::read::{self, ReleasedMarks};
use crate::scores::{self, ConfirmScore, SubmitBatch, SubmitScore};
use crate::state::State;
use crate::tally::CompletenessView;
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::Json as Body;
use crate::transport::socket::{PreviewRequest, previewed};
use axum::Json;
use axum::extract::{Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Which marks of a category.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ScoresQuery {
    /// Only those of this contestant.
    pub contestant_id: Option<ContestantId>,
    /// Only those that have changed after this place in the category's lane; then `removed` names those taken out.
    pub since_seq: Option<i64>,
    /// As they stood at this place in the category's lane, for whoever may read its marks.
    pub at: Option<i64>,
}

/// The marks of a category, as the one who asks may see them, and the head of its lane they were read at.
#[utoipa::path(get, path = "/api/v1/categories/{id}/scores", tag = "scoring", params(("id" = CategoryId, Path), ScoresQuery),
    responses((status = 200, description = "{scores, removed?, seq}", body = Object), (status = 403, body = Problem)))]
pub async fn list(caller: Caller, Path(category): Path<CategoryId>, Query(query): Query<ScoresQuery>) -> Answer {
    caller.app.limit_reading(&caller.actor, "scores:request")?;
    Ok(Json(read_marks(&caller.app, &caller.actor, &category, query).await?))
}

/// `{scores, removed?, seq}` of a category, as the actor may see them.
///
/// # Errors
/// `FORBIDDEN`, or when the marks cannot be read.
pub async fn read_marks(
    app: &App,
    actor: &Actor,
    category: &CategoryId,
    query: ScoresQuery,
) -> Result<Value, AppError> {
    // Asked before anything is loaded: a stranger's question costs nothing.
    let state = app.state();
    actor.must_be_signed_in(&state, app.clock.now())?;
    let user = actor.user()?;
    read::for_readers(&state, user, category)?;
    if scores::may_read(&state, user, category).is_err() {
        let state = state_of(app, category, query.at).await?;
        let marks = read::released_marks(&state, user, category, query.contestant_id.as_ref())?;
        return Ok(json!({ "scores": marks, "seq": state.lane_seq(&Lane::Category(category.clone())) }));
    }
    if query.at.is_some() && query.since_seq.is_some() {
        return Err(Refusal::invalid("at", "not together with sinceSeq").into());
    }
    let among = match query.since_seq {
        Some(seq) => Some(app.marks_changed_since(category, seq).await?),
        None => None,
    };
    let state = state_of(app, category, query.at).await?;
    let filter = scores::Filter { contestant: query.contestant_id, among };
    let released = match state.categories.get(category) {
        Some(category) => ReleasedMarks::of(&state, category)?,
        None => ReleasedMarks::default(),
    };
    Ok(to_value(scores::read(&state, user, category, &filter, &released)?)?)
}

/// Gives or changes a mark.
#[utoipa::path(post, path = "/api/v1/categories/{id}/scores", tag = "scoring", params(("id" = CategoryId, Path)),
    request_body = SubmitScore,
    responses((status = 200, description = "{score, receipt, warnings?}", body = Object), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem)))]
pub async fn submit(caller: Caller, Path(category): Path<CategoryId>, Body(body): Body) -> Answer {
    let payload = with_path(body, "categoryId", category.as_str())?;
    let command: SubmitScore = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// Gives or changes up to 200 marks in one transaction.
#[utoipa::path(post, path = "/api/v1/categories/{id}/scores/batch", tag = "scoring", params(("id" = CategoryId, Path)),
    request_body = SubmitBatch,
    responses((status = 200, description = "{results, receipt}", body = Object), (status = 413, body = Problem),
        (status = 429, body = Problem)))]
pub async fn submit_batch(caller: Caller, Path(category): Path<CategoryId>, Body(mut body): Body) -> Answer {
    for item in body.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        // Only what is missing is put in: an item that names another category is decided, or refused, alone.
        if let Some(fields) = item.as_object_mut() {
            fields.entry("categoryId").or_insert_with(|| json!(category));
        }
    }
    let command: SubmitBatch = parse(body.clone())?;
    caller.carry_out(command, &body).await
}

/// Confirms a mark that was entered for a judge.
#[utoipa::path(post, path = "/api/v1/categories/{id}/scores/{scoreId}/confirm", tag = "scoring",
    params(("id" = CategoryId, Path), ("scoreId" = MarkId, Path)), request_body = Object,
    responses((status = 200, description = "{score, receipt}", body = Object), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn confirm(caller: Caller, Path((category, score)): Path<(CategoryId, MarkId)>, Body(body): Body) -> Answer {
    let payload = with_path(or_empty(body), "categoryId", category.as_str())?;
    let payload = with_path(payload, "scoreId", score.as_str())?;
    let command: ConfirmScore = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// The state in which a category's board stands as it does, or did.
async fn state_of(app: &App, category: &CategoryId, at: Option<i64>) -> Result<Arc<State>, AppError> {
    Ok(match at {
        Some(at) => app.board_at(category, at).await?.state,
        None => app.state_with(category).await?,
    })
}

/// What the marks of a category come to: live for its office, for its other staff as it was published. Of the past by the
/// rules of now.
#[utoipa::path(get, path = "/api/v1/categories/{id}/tally", tag = "scoring", params(("id" = CategoryId, Path), AtQuery),
    responses((status = 200, description = "{categoryId, stage, tallyHash, complete, missing, ranking, warnings}", body = Object),
        (status = 403, body = Problem)))]
pub async fn tally(caller: Caller, Path(category): Path<CategoryId>, Query(query): Query<AtQuery>) -> Answer {
    caller.app.limit_reading(&caller.actor, "tally")?;
    read::for_readers(&caller.app.state(), &caller.user, &category)?;
    let (state, user) = (state_of(&caller.app, &category, query.at).await?, caller.user.clone());
    let view = caller.app.computing(move || read::tally(&state, &user, &category)).await??;
    Ok(Json(serde_json::to_value(view).map_err(anyhow::Error::from)?))
}

/// How much of a category's marks is there: for its office, and once it is official for its other staff.
#[utoipa::path(get, path = "/api/v1/categories/{id}/completeness", tag = "scoring",
    params(("id" = CategoryId, Path), AtQuery), responses((status = 200, body = CompletenessView), (status = 403, body = Problem)))]
pub async fn completeness(
    caller: Caller,
    Path(category): Path<CategoryId>,
    Query(query): Query<AtQuery>,
) -> Result<Json<CompletenessView>, ApiError> {
    caller.app.limit_reading(&caller.actor, "completeness")?;
    read::for_readers(&caller.app.state(), &caller.user, &category)?;
    let state = state_of(&caller.app, &category, query.at).await?;
    Ok(Json(read::completeness(&state, &caller.user, &category)?))
}

/// What a command would come to, approvals that are missing taken as given; changes nothing.
#[utoipa::path(post, path = "/api/v1/preview", tag = "scoring", request_body = PreviewRequest,
    responses((status = 200, body = Preview), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub async fn preview(caller: Caller, Body(body): Body) -> Result<Json<Preview>, ApiError> {
    Ok(Json(caller.app.preview(caller.actor, previewed(body)?).await?))
}
