//! The organiser's desk: the import document, and each part of it alone.

use super::{Answer, Caller, Created, created, with_path};
use crate::app::App;
use crate::auth::password;
use crate::auth::sessions::RevokeSessions;
use crate::command::parse;
use crate::error::{AppError, Refusal};
use crate::ids::{AssignmentId, CategoryId, ContestId, ContestantId, EventId, RaceId, UserId};
use crate::setup::assignments::{ChangeAssignment, CreateAssignment, RemoveAssignment};
use crate::setup::entries::{ReinstateEntry, WithdrawEntry};
use crate::setup::import::{self, ImportDocument};
use crate::setup::list::{self, PageQuery};
use crate::setup::races::{DeleteRace, PutRace};
use crate::setup::spec::{
    CategorySpec, ContestSpec, ContestantSpec, Document, EntrySpec, EventSpec, RaceSpec, UserSpec,
};
use crate::setup::{
    DeleteCategory, DeleteContest, DeleteContestant, DeleteEvent, DisableUser, Mode, PutCategory, PutContest,
    PutContestant, PutEntries, PutEvent, PutUser, SetEventStatus,
};
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::Json as Body;
use axum::Json;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};

/// A part of an event says which event or contest it belongs to.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct InEvent {
    event_id: EventId,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct InContest {
    contest_id: ContestId,
}

/// The start list of a category.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    entries: Vec<EntrySpec>,
}

/// Where an event is to go.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStatus {
    status: crate::db::entity::event::EventStatus,
}

/// What is removed is answered with 204.
pub(super) fn removed(answer: Answer) -> Result<StatusCode, ApiError> {
    answer.map(|_| StatusCode::NO_CONTENT)
}

/// Takes a field out of a body, for what it belongs to.
fn take<T: serde::de::DeserializeOwned>(body: &mut Value, field: &str) -> Result<T, Refusal> {
    let fields = body.as_object_mut().ok_or_else(|| Refusal::invalid("", "expected an object"))?;
    let value = fields.remove(field).ok_or_else(|| Refusal::invalid(field, "is missing"))?;
    parse(json!({ field: value }))
}

/// Hashes the passwords of a document, off the writer's thread. One that the user has already is left, so that the same
/// document changes nothing a second time; one that is too short names its place.
///
/// # Errors
/// `INVALID_DATA`.
pub async fn hashed(app: &App, document: Document) -> Result<ImportDocument, AppError> {
    let state = app.state();
    let mut hashing = Vec::new();
    for (index, user) in document.users.iter().enumerate() {
        let Some(password) = user.password.clone() else { continue };
        check_password(&format!("users[{index}].password"), &password)?;
        let known = state.emails.get(&user.email.trim().to_lowercase()).and_then(|id| state.users.get(id));
        let before = known.and_then(|user| user.password_hash.clone());
        hashing.push(async move {
            if before.is_some() && password::fits(&password::place().await?, password.clone(), before).await? {
                return Ok(None);
            }
            password::hash(password).await.map(|hash| Some((index, hash)))
        });
    }
    let hashes: Vec<_> = try_join_all(hashing).await?;
    Ok(ImportDocument { document, hashes: hashes.into_iter().flatten().collect(), rehearsal: false })
}

/// Whether a password is long enough, and not endless.
///
/// # Errors
/// `INVALID_DATA`.
pub fn check_password(field: &str, password: &str) -> Result<(), Refusal> {
    if password.chars().count() < password::PASSWORD_CHARS_MIN || password.len() > password::PASSWORD_BYTES_MAX {
        let message = format!(
            "has {} characters at least and {} bytes at most",
            password::PASSWORD_CHARS_MIN,
            password::PASSWORD_BYTES_MAX
        );
        return Err(Refusal::invalid(field, message));
    }
    Ok(())
}

async fn user_command(id: Option<UserId>, body: Value) -> Result<PutUser, ApiError> {
    let spec: UserSpec = parse(body)?;
    let password_hash = match &spec.password {
        Some(password) => {
            check_password("password", password)?;
            Some(password::hash(password.clone()).await?)
        }
        None => None,
    };
    Ok(PutUser { id, spec, password_hash })
}

/// Takes an event with all that belongs to it, whole or not at all; JSON, or YAML as `application/yaml`.
#[utoipa::path(post, path = "/api/v1/admin/import", tag = "set-up", request_body = Document,
    responses((status = 200, description = "what was taken, counted", body = Object), (status = 400, body = Problem), (status = 403, body = Problem)))]
pub async fn import(caller: Caller, source: String) -> Answer {
    // Nobody makes the server hash passwords who may not import.
    caller.must_run_installation()?;
    let command = hashed(&caller.app, import::read(&source)?).await?;
    caller.carry_out(command, &Value::String(source)).await
}

/// Lists users.
#[utoipa::path(get, path = "/api/v1/admin/users", tag = "set-up", params(PageQuery), responses((status = 200, description = "{items, nextCursor?}", body = Object)))]
pub async fn users(caller: Caller, Query(query): Query<PageQuery>) -> Answer {
    Ok(Json(list::users(&*caller.desk("admin:users")?, &query)?))
}

/// Makes a user.
#[utoipa::path(post, path = "/api/v1/admin/users", tag = "set-up", request_body = UserSpec, responses((status = 201, body = Object), (status = 409, body = Problem)))]
pub async fn create_user(caller: Caller, Body(body): Body) -> Created {
    caller.must_run_installation()?;
    let command = user_command(None, body.clone()).await?;
    created(caller.carry_out(command, &body).await)
}

/// One user.
#[utoipa::path(get, path = "/api/v1/admin/users/{id}", tag = "set-up", params(("id" = UserId, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn user(caller: Caller, Path(id): Path<UserId>) -> Answer {
    Ok(Json(list::user(&*caller.desk("admin:users")?, &id)?))
}

/// Changes a user; a new password or `active: false` ends their sessions.
#[utoipa::path(put, path = "/api/v1/admin/users/{id}", tag = "set-up", params(("id" = UserId, Path)), request_body = UserSpec, responses((status = 200, body = Object)))]
pub async fn put_user(caller: Caller, Path(id): Path<UserId>, Body(body): Body) -> Answer {
    caller.must_run_installation()?;
    let command = user_command(Some(id.clone()), body.clone()).await?;
    caller.carry_out(command, &json!({ "id": id, "user": body })).await
}

/// Switches a user off. Users are never removed: what they marked and signed keeps its author.
#[utoipa::path(delete, path = "/api/v1/admin/users/{id}", tag = "set-up", params(("id" = UserId, Path)), responses((status = 204)))]
pub async fn delete_user(caller: Caller, Path(id): Path<UserId>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    removed(caller.carry_out(DisableUser { user: id }, &payload).await)
}

/// Ends every session of a user.
#[utoipa::path(post, path = "/api/v1/admin/users/{id}/revoke-sessions", tag = "set-up", params(("id" = UserId, Path)), responses((status = 200, description = "{userId, revoked}", body = Object)))]
pub async fn revoke_sessions(caller: Caller, Path(id): Path<UserId>) -> Answer {
    let payload = json!({ "id": id });
    caller.carry_out(RevokeSessions { user: id }, &payload).await
}

/// Lists events.
#[utoipa::path(get, path = "/api/v1/admin/events", tag = "set-up", params(PageQuery), responses((status = 200, description = "{items, nextCursor?}", body = Object)))]
pub async fn events(caller: Caller, Query(query): Query<PageQuery>) -> Answer {
    Ok(Json(list::events(&*caller.desk("admin:events")?, &query)?))
}

/// Makes an event.
#[utoipa::path(post, path = "/api/v1/admin/events", tag = "set-up", request_body = EventSpec, responses((status = 201, body = Object), (status = 409, body = Problem)))]
pub async fn create_event(caller: Caller, Body(body): Body) -> Created {
    let command = PutEvent { mode: Mode::Create, spec: parse(body.clone())? };
    created(caller.carry_out(command, &body).await)
}

/// One event.
#[utoipa::path(get, path = "/api/v1/admin/events/{id}", tag = "set-up", params(("id" = EventId, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn event(caller: Caller, Path(id): Path<EventId>) -> Answer {
    Ok(Json(list::event_view(&*caller.desk("admin:events")?, &id)?))
}

/// Changes an event.
#[utoipa::path(put, path = "/api/v1/admin/events/{id}", tag = "set-up", params(("id" = EventId, Path)), request_body = EventSpec, responses((status = 200, body = Object)))]
pub async fn put_event(caller: Caller, Path(id): Path<EventId>, Body(body): Body) -> Answer {
    let body = with_path(body, "id", id.as_str())?;
    let command = PutEvent { mode: Mode::Update, spec: parse(body.clone())? };
    caller.carry_out(command, &body).await
}

/// Removes an event nothing was judged in.
#[utoipa::path(delete, path = "/api/v1/admin/events/{id}", tag = "set-up", params(("id" = EventId, Path)), responses((status = 204), (status = 409, body = Problem)))]
pub async fn delete_event(caller: Caller, Path(id): Path<EventId>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    removed(caller.carry_out(DeleteEvent { event: id }, &payload).await)
}

/// Moves an event on: draft, startlist, running, finished, official; back from startlist to draft and from finished to running.
#[utoipa::path(patch, path = "/api/v1/admin/events/{id}/status", tag = "set-up", params(("id" = EventId, Path)), request_body = NewStatus,
    responses((status = 200, body = Object), (status = 400, description = "with currentStatus, requestedStatus, validTransitions", body = Problem)))]
pub async fn event_status(caller: Caller, Path(id): Path<EventId>, Body(body): Body) -> Answer {
    let NewStatus { status } = parse(body.clone())?;
    let payload = json!({ "id": id, "to": body });
    caller.carry_out(SetEventStatus { event: id, status }, &payload).await
}

/// Lists contests.
#[utoipa::path(get, path = "/api/v1/admin/contests", tag = "set-up", params(PageQuery), responses((status = 200, description = "{items, nextCursor?}", body = Object)))]
pub async fn contests(caller: Caller, Query(query): Query<PageQuery>) -> Answer {
    Ok(Json(list::contests(&*caller.desk("admin:contests")?, &query)?))
}

fn contest_command(mode: Mode, body: &Value) -> Result<PutContest, Refusal> {
    let mut rest = body.clone();
    let InEvent { event_id } = take(&mut rest, "eventId")?;
    let spec: ContestSpec = parse(rest)?;
    if !spec.categories.is_empty() {
        return Err(Refusal::invalid("categories", "are made by themselves, or in an import document"));
    }
    Ok(PutContest { mode, event: event_id, spec })
}

/// Makes a contest: `{eventId, id, name, standings?}`.
#[utoipa::path(post, path = "/api/v1/admin/contests", tag = "set-up", request_body = ContestSpec, responses((status = 201, body = Object), (status = 409, body = Problem)))]
pub async fn create_contest(caller: Caller, Body(body): Body) -> Created {
    created(caller.carry_out(contest_command(Mode::Create, &body)?, &body).await)
}

/// One contest.
#[utoipa::path(get, path = "/api/v1/admin/contests/{id}", tag = "set-up", params(("id" = ContestId, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn contest(caller: Caller, Path(id): Path<ContestId>) -> Answer {
    Ok(Json(list::contest_view(&*caller.desk("admin:contests")?, &id)?))
}

/// Changes a contest.
#[utoipa::path(put, path = "/api/v1/admin/contests/{id}", tag = "set-up", params(("id" = ContestId, Path)), request_body = ContestSpec, responses((status = 200, body = Object)))]
pub async fn put_contest(caller: Caller, Path(id): Path<ContestId>, Body(body): Body) -> Answer {
    let body = with_path(body, "id", id.as_str())?;
    caller.carry_out(contest_command(Mode::Update, &body)?, &body).await
}

/// Removes a contest nothing was judged in.
#[utoipa::path(delete, path = "/api/v1/admin/contests/{id}", tag = "set-up", params(("id" = ContestId, Path)), responses((status = 204), (status = 409, body = Problem)))]
pub async fn delete_contest(caller: Caller, Path(id): Path<ContestId>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    removed(caller.carry_out(DeleteContest { contest: id }, &payload).await)
}

/// Lists categories.
#[utoipa::path(get, path = "/api/v1/admin/categories", tag = "set-up", params(PageQuery), responses((status = 200, description = "{items, nextCursor?}", body = Object)))]
pub async fn categories(caller: Caller, Query(query): Query<PageQuery>) -> Answer {
    Ok(Json(list::categories(&*caller.desk("admin:categories")?, &query)?))
}

/// Reads a category with the contest it is in.
///
/// # Errors
/// `INVALID_DATA`.
pub fn category_command(mode: Mode, body: &Value) -> Result<PutCategory, Refusal> {
    let mut rest = body.clone();
    let InContest { contest_id } = take(&mut rest, "contestId")?;
    Ok(PutCategory { mode, contest: contest_id, spec: parse(rest)? })
}

/// Makes a category: `{contestId, id, name, rules, criteria, …}`.
#[utoipa::path(post, path = "/api/v1/admin/categories", tag = "set-up", request_body = CategorySpec, responses((status = 201, body = Object), (status = 409, body = Problem)))]
pub async fn create_category(caller: Caller, Body(body): Body) -> Created {
    created(caller.carry_out(category_command(Mode::Create, &body)?, &body).await)
}

/// One category, with its criteria and entries.
#[utoipa::path(get, path = "/api/v1/admin/categories/{id}", tag = "set-up", params(("id" = CategoryId, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn category(caller: Caller, Path(id): Path<CategoryId>) -> Answer {
    Ok(Json(list::category_view(&*caller.desk("admin:categories")?, &id)?))
}

/// Changes a category; the ranges of criteria stay once there are marks.
#[utoipa::path(put, path = "/api/v1/admin/categories/{id}", tag = "set-up", params(("id" = CategoryId, Path)), request_body = CategorySpec, responses((status = 200, body = Object)))]
pub async fn put_category(caller: Caller, Path(id): Path<CategoryId>, Body(body): Body) -> Answer {
    let body = with_path(body, "id", id.as_str())?;
    caller.carry_out(category_command(Mode::Update, &body)?, &body).await
}

/// Removes a category nothing was judged in.
#[utoipa::path(delete, path = "/api/v1/admin/categories/{id}", tag = "set-up", params(("id" = CategoryId, Path)), responses((status = 204), (status = 409, body = Problem)))]
pub async fn delete_category(caller: Caller, Path(id): Path<CategoryId>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    removed(caller.carry_out(DeleteCategory { category: id }, &payload).await)
}

/// Replaces the start list of a category.
#[utoipa::path(put, path = "/api/v1/admin/categories/{id}/entries", tag = "set-up", params(("id" = CategoryId, Path)), request_body = Entries, responses((status = 200, body = Object)))]
pub async fn put_entries(caller: Caller, Path(id): Path<CategoryId>, Body(body): Body) -> Answer {
    let Entries { entries } = parse(body.clone())?;
    let payload = json!({ "id": id, "list": body });
    caller.carry_out(PutEntries { category: id, entries }, &payload).await
}

/// The entry of the path goes into the body.
fn with_entry(body: Value, (category, contestant): &(CategoryId, ContestantId)) -> Result<Value, Refusal> {
    with_path(with_path(body, "categoryId", category.as_str())?, "contestantId", contestant.as_str())
}

/// Takes a contestant out of a category, with a reason.
#[utoipa::path(post, path = "/api/v1/categories/{id}/entries/{contestantId}/withdraw", tag = "set-up",
    params(("id" = CategoryId, Path), ("contestantId" = ContestantId, Path)), request_body = WithdrawEntry,
    responses((status = 200, description = "{entry}", body = Object), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn withdraw_entry(caller: Caller, Path(entry): Path<(CategoryId, ContestantId)>, Body(body): Body) -> Answer {
    let payload = with_entry(body, &entry)?;
    let command: WithdrawEntry = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// Takes a withdrawal back, with a reason.
#[utoipa::path(post, path = "/api/v1/categories/{id}/entries/{contestantId}/reinstate", tag = "set-up",
    params(("id" = CategoryId, Path), ("contestantId" = ContestantId, Path)), request_body = ReinstateEntry,
    responses((status = 200, description = "{entry}", body = Object), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn reinstate_entry(
    caller: Caller,
    Path(entry): Path<(CategoryId, ContestantId)>,
    Body(body): Body,
) -> Answer {
    let payload = with_entry(body, &entry)?;
    let command: ReinstateEntry = parse(payload.clone())?;
    caller.carry_out(command, &payload).await
}

/// Lists races.
#[utoipa::path(get, path = "/api/v1/admin/races", tag = "set-up", params(PageQuery), responses((status = 200, description = "{items, nextCursor?}", body = Object)))]
pub async fn races(caller: Caller, Query(query): Query<PageQuery>) -> Answer {
    Ok(Json(list::races(&*caller.desk("admin:races")?, &query)?))
}

fn race_command(mode: Mode, body: &Value) -> Result<PutRace, Refusal> {
    let mut rest = body.clone();
    let InEvent { event_id } = take(&mut rest, "eventId")?;
    Ok(PutRace { mode, event: event_id, spec: parse(rest)? })
}

/// Makes a race: `{eventId, id, raceType, name?, …}`; its integer `number` is given by the server unless stated.
#[utoipa::path(post, path = "/api/v1/admin/races", tag = "set-up", request_body = RaceSpec, responses((status = 201, body = Object), (status = 409, body = Problem)))]
pub async fn create_race(caller: Caller, Body(body): Body) -> Created {
    created(caller.carry_out(race_command(Mode::Create, &body)?, &body).await)
}

/// One race, with those who start in it.
#[utoipa::path(get, path = "/api/v1/admin/races/{id}", tag = "set-up", params(("id" = RaceId, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn race(caller: Caller, Path(id): Path<RaceId>) -> Answer {
    Ok(Json(list::race_view(&*caller.desk("admin:races")?, &id)?))
}

/// Changes a race; it stays in its event. `participants`, where given, is the whole list: who is not in it any more is
/// taken out, unless there are results of them.
#[utoipa::path(put, path = "/api/v1/admin/races/{id}", tag = "set-up", params(("id" = RaceId, Path)), request_body = RaceSpec, responses((status = 200, body = Object), (status = 409, body = Problem)))]
pub async fn put_race(caller: Caller, Path(id): Path<RaceId>, Body(body): Body) -> Answer {
    let body = with_path(body, "id", id.as_str())?;
    caller.carry_out(race_command(Mode::Update, &body)?, &body).await
}

/// Removes a race nothing was reported of.
#[utoipa::path(delete, path = "/api/v1/admin/races/{id}", tag = "set-up", params(("id" = RaceId, Path)), responses((status = 204), (status = 409, body = Problem)))]
pub async fn delete_race(caller: Caller, Path(id): Path<RaceId>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    removed(caller.carry_out(DeleteRace { race: id }, &payload).await)
}

/// Lists contestants.
#[utoipa::path(get, path = "/api/v1/admin/contestants", tag = "set-up", params(PageQuery), responses((status = 200, description = "{items, nextCursor?}", body = Object)))]
pub async fn contestants(caller: Caller, Query(query): Query<PageQuery>) -> Answer {
    Ok(Json(list::contestants(&*caller.desk("admin:contestants")?, &query)?))
}

/// Makes a contestant.
#[utoipa::path(post, path = "/api/v1/admin/contestants", tag = "set-up", request_body = ContestantSpec, responses((status = 201, body = Object), (status = 409, body = Problem)))]
pub async fn create_contestant(caller: Caller, Body(body): Body) -> Created {
    let command = PutContestant { mode: Mode::Create, spec: parse(body.clone())? };
    created(caller.carry_out(command, &body).await)
}

/// One contestant.
#[utoipa::path(get, path = "/api/v1/admin/contestants/{id}", tag = "set-up", params(("id" = ContestantId, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn contestant(caller: Caller, Path(id): Path<ContestantId>) -> Answer {
    Ok(Json(list::contestant_view(&*caller.desk("admin:contestants")?, &id)?))
}

/// Changes a contestant.
#[utoipa::path(put, path = "/api/v1/admin/contestants/{id}", tag = "set-up", params(("id" = ContestantId, Path)), request_body = ContestantSpec, responses((status = 200, body = Object)))]
pub async fn put_contestant(caller: Caller, Path(id): Path<ContestantId>, Body(body): Body) -> Answer {
    let body = with_path(body, "id", id.as_str())?;
    let command = PutContestant { mode: Mode::Update, spec: parse(body.clone())? };
    caller.carry_out(command, &body).await
}

/// Removes a contestant who is entered nowhere.
#[utoipa::path(delete, path = "/api/v1/admin/contestants/{id}", tag = "set-up", params(("id" = ContestantId, Path)), responses((status = 204), (status = 409, body = Problem)))]
pub async fn delete_contestant(caller: Caller, Path(id): Path<ContestantId>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    removed(caller.carry_out(DeleteContestant { contestant: id }, &payload).await)
}

/// Lists assignments, the removed ones included.
#[utoipa::path(get, path = "/api/v1/admin/assignments", tag = "set-up", params(PageQuery), responses((status = 200, description = "{items, nextCursor?}", body = Object)))]
pub async fn assignments(caller: Caller, Query(query): Query<PageQuery>) -> Answer {
    Ok(Json(list::assignments(&*caller.desk("admin:assignments")?, &query)?))
}

/// Gives a hat on a category, a contest or an event.
#[utoipa::path(post, path = "/api/v1/admin/assignments", tag = "set-up", request_body = CreateAssignment, responses((status = 201, description = "{assignment}", body = Object)))]
pub async fn create_assignment(caller: Caller, Body(body): Body) -> Created {
    let command: CreateAssignment = parse(body.clone())?;
    created(caller.carry_out(command, &body).await)
}

/// One assignment.
#[utoipa::path(get, path = "/api/v1/admin/assignments/{id}", tag = "set-up", params(("id" = AssignmentId, Path)), responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub async fn assignment(caller: Caller, Path(id): Path<AssignmentId>) -> Answer {
    Ok(Json(list::assignment(&*caller.desk("admin:assignments")?, &id)?))
}

/// Changes whether the marks of a judge enter the tally: `{counts}`. Everything else of a hat is given anew.
#[utoipa::path(put, path = "/api/v1/admin/assignments/{id}", tag = "set-up", params(("id" = AssignmentId, Path)), request_body = Object, responses((status = 200, description = "{assignment}", body = Object)))]
pub async fn put_assignment(caller: Caller, Path(id): Path<AssignmentId>, Body(body): Body) -> Answer {
    #[derive(Deserialize)]
    struct Change {
        counts: bool,
    }
    let Change { counts } = parse(body.clone())?;
    let payload = json!({ "id": id, "change": body });
    caller.carry_out(ChangeAssignment { id, counts }, &payload).await
}

/// Takes a hat away; that it was worn stays known.
#[utoipa::path(delete, path = "/api/v1/admin/assignments/{id}", tag = "set-up", params(("id" = AssignmentId, Path)), responses((status = 204), (status = 409, body = Problem)))]
pub async fn delete_assignment(caller: Caller, Path(id): Path<AssignmentId>) -> Result<StatusCode, ApiError> {
    let payload = json!({ "id": id });
    removed(caller.carry_out(RemoveAssignment { id }, &payload).await)
}
