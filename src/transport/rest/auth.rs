//! Signing in, staying in, signing out.

use super::Answer;
use crate::app::App;
use crate::auth::actor::Actor;
use crate::auth::password;
use crate::auth::sessions::{EndSession, OpenSession, RotateSession, SessionGrant};
use crate::auth::token::ACCESS_SECONDS;
use crate::command::parse;
use crate::error::Refusal;
use crate::events::dispatcher::hats;
use crate::transport::problem::{ApiError, Problem};
use crate::transport::request::{ClientAddress, Json as Body, SignedIn};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Who wants to sign in.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct Login {
    email: String,
    password: String,
}

/// Which session is to go on.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    refresh_token: String,
}

/// What a session is used with.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// For `Authorization: Bearer` and `auth.token`, for 15 minutes.
    access_token: String,
    /// For `POST /api/v1/auth/refresh`, once.
    refresh_token: String,
    /// Seconds the access token lives.
    expires_in: i64,
    /// `{id, email, name, role, hats}`.
    #[schema(value_type = Object)]
    user: Value,
}

fn me_view(app: &App, user: &crate::ids::UserId) -> Result<Value, Refusal> {
    let state = app.state();
    let row = state.users.get(user).ok_or(Refusal::SessionRevoked)?;
    Ok(json!({ "id": row.id, "email": row.email, "name": row.name, "role": row.role, "hats": hats(&state, user) }))
}

fn tokens(app: &App, answer: Value) -> Result<Json<Tokens>, ApiError> {
    let grant: SessionGrant = parse(answer)?;
    let now = app.clock.now();
    let access_token = app.tokens.issue(&grant.user_id, grant.role, &grant.session_id, grant.session_version, now)?;
    let user = me_view(app, &grant.user_id)?;
    Ok(Json(Tokens { access_token, refresh_token: grant.refresh_token, expires_in: ACCESS_SECONDS, user }))
}

/// Signs in by email and password.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = Login, security(()),
    responses((status = 200, body = Tokens), (status = 401, body = Problem), (status = 429, body = Problem)))]
pub async fn login(
    State(app): State<App>,
    ClientAddress(from): ClientAddress,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Tokens>, ApiError> {
    let Login { email, password } = parse(body)?;
    let email = email.trim().to_lowercase();
    if password.len() > password::PASSWORD_BYTES_MAX || email.len() > 254 {
        return Err(Refusal::WrongPassword.into());
    }
    let limited = |refusal: Refusal| {
        app.metrics.rate_limited.with_label_values(&["auth:login"]).inc();
        refusal
    };
    app.limits.may_log_in(&email, from).map_err(limited)?;
    let turn = password::turn().await?;
    // Again: whoever waited beside many others must not have them all let in on the first look.
    app.limits.may_log_in(&email, from).map_err(limited)?;
    let state = app.state();
    let user = state.emails.get(&email).and_then(|id| state.users.get(id)).cloned();
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let right = password::fits(&turn, password, hash.clone()).await?;
    let Some(user) = user.filter(|user| right && user.active) else {
        app.limits.failed_login(&email, from).map_err(limited)?;
        return Err(Refusal::WrongPassword.into());
    };
    drop(turn);
    let user_agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned);
    let open = OpenSession { user: user.id.clone(), proof: hash, user_agent, key: Arc::clone(&app.refresh_key) };
    // Nobody is signed in yet: the session is opened in the name of the user whose password was right.
    let actor = Actor::User { id: user.id.clone(), session: app.chance.id(app.clock.now()).into() };
    tokens(&app, app.carry_out(actor, open.into(), None, &Value::Null).await?)
}

/// Exchanges a refresh token for the next one and a new access token.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = Refresh, security(()),
    responses((status = 200, body = Tokens), (status = 401, body = Problem)))]
pub async fn refresh(State(app): State<App>, Body(body): Body) -> Result<Json<Tokens>, ApiError> {
    let Refresh { refresh_token } = parse(body)?;
    let (session, _) = app.refresh_key.read(&refresh_token).ok_or(Refusal::InvalidToken)?;
    let user = app.state().sessions.get(&session).ok_or(Refusal::InvalidToken)?.user_id.clone();
    let rotate = RotateSession { refresh_token, key: Arc::clone(&app.refresh_key) };
    let answer = app.carry_out(Actor::User { id: user, session }, rotate.into(), None, &Value::Null).await?;
    if answer.is_null() {
        return Err(Refusal::SessionRevoked.into());
    }
    tokens(&app, answer)
}

/// Ends the session.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth",
    responses((status = 204), (status = 401, body = Problem)))]
pub async fn logout(State(app): State<App>, by: SignedIn) -> Result<StatusCode, ApiError> {
    app.carry_out(by.actor, EndSession.into(), None, &Value::Null).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/v1/me", tag = "auth",
    responses((status = 200, description = "{id, email, name, role, hats}", body = Object), (status = 401, body = Problem)))]
pub async fn me(State(app): State<App>, by: SignedIn) -> Answer {
    app.limit_reading(&by.actor, "me")?;
    Ok(Json(me_view(&app, &by.user)?))
}
