//! Where somebody is signed in, and signing out elsewhere: a lost tablet is sent away by whoever lost it, or by an
//! organiser.

use super::Caller;
use crate::auth::actor::Actor;
use crate::auth::sessions::RevokeSession;
use crate::clock::Micros;
use crate::db::entity::session;
use crate::error::Refusal;
use crate::ids::{SessionId, UserId};
use crate::state::State;
use crate::transport::problem::{ApiError, Problem};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;

/// Sessions that are listed; somebody with more is shown the newest.
const SESSIONS_SHOWN_MAX: usize = 200;

/// A session that can still be used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Micros,
    /// When its refresh token was last exchanged, if it ever was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Micros>,
    /// When it ends unless its refresh token is exchanged before.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Micros,
    /// What the client called itself when it signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// Where somebody is signed in, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Sessions {
    items: Vec<SessionView>,
}

impl SessionView {
    fn of(session: &session::Model, asking: &Actor) -> Self {
        let current = match asking {
            Actor::User { session: own, .. } => *own == session.id,
            Actor::Key { .. } | Actor::Operator => false,
        };
        Self {
            id: session.id.clone(),
            current,
            created_at: session.created_at,
            last_used_at: session.last_used_at(),
            expires_at: session.expires_at,
            user_agent: session.user_agent.clone(),
        }
    }
}

/// The sessions of a user that can still be used.
fn open_sessions(state: &State, user: &UserId, asking: &Actor, now: Micros) -> Json<Sessions> {
    let mut open: Vec<_> =
        state.sessions.values().filter(|session| session.user_id == *user && session.is_open(now)).collect();
    open.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
    open.truncate(SESSIONS_SHOWN_MAX);
    Json(Sessions { items: open.into_iter().map(|session| SessionView::of(session, asking)).collect() })
}

async fn end(caller: Caller, user: UserId, session: SessionId) -> Result<StatusCode, ApiError> {
    let payload = json!({ "userId": user, "sessionId": session });
    caller.carry_out(RevokeSession { user, session }, &payload).await.map(|_| StatusCode::NO_CONTENT)
}

/// Where one is signed in.
#[utoipa::path(get, path = "/api/v1/me/sessions", tag = "auth",
    responses((status = 200, body = Sessions), (status = 401, body = Problem)))]
pub async fn own(caller: Caller) -> Result<Json<Sessions>, ApiError> {
    caller.app.limit_reading(&caller.actor, "me:sessions")?;
    Ok(open_sessions(&caller.app.state(), &caller.user, &caller.actor, caller.app.clock.now()))
}

/// Ends one of one's own sessions; its sockets go with it.
#[utoipa::path(delete, path = "/api/v1/me/sessions/{id}", tag = "auth", params(("id" = SessionId, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub async fn end_own(caller: Caller, Path(id): Path<SessionId>) -> Result<StatusCode, ApiError> {
    let user = caller.user.clone();
    end(caller, user, id).await
}

/// Where a user is signed in.
#[utoipa::path(get, path = "/api/v1/admin/users/{id}/sessions", tag = "set-up", params(("id" = UserId, Path)),
    responses((status = 200, body = Sessions), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn of_user(caller: Caller, Path(id): Path<UserId>) -> Result<Json<Sessions>, ApiError> {
    let state = caller.desk("admin:sessions")?;
    if !state.users.contains_key(&id) {
        return Err(Refusal::not_found("user", &id).into());
    }
    Ok(open_sessions(&state, &id, &caller.actor, caller.app.clock.now()))
}

/// Ends one session of a user; its sockets go with it.
#[utoipa::path(delete, path = "/api/v1/admin/users/{id}/sessions/{sessionId}", tag = "set-up",
    params(("id" = UserId, Path), ("sessionId" = SessionId, Path)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn end_of_user(
    caller: Caller,
    Path((id, session)): Path<(UserId, SessionId)>,
) -> Result<StatusCode, ApiError> {
    caller.must_run_installation()?;
    end(caller, id, session).await
}
