//! The handlers behind the routes: each reads a request, asks the application, and answers.

#![allow(clippy::missing_errors_doc, reason = "the interface description of each handler lists its errors")]

pub mod auth;
pub mod cassettes;
pub mod certification;
pub mod decisions;
pub mod feeds;
pub mod ingest;
pub mod keys;
pub mod notices;
pub mod operation;
pub mod public;
pub mod publications;
pub mod scoring;
pub mod sessions;
pub mod setup;
pub mod timing;

use super::problem::ApiError;
use super::request::{IdempotencyKey, SignedIn, api_key, client_address, peer, take_command_id};
use crate::app::App;
use crate::auth::actor::Actor;
use crate::commands::Command;
use crate::error::Refusal;
use crate::ids::UserId;
use crate::state::State;
use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// Which moment.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AtQuery {
    /// As it stood at this place: of the category's lane, of what anyone sees in the event's public lane.
    pub at: Option<i64>,
}

/// What every handler answers.
pub type Answer = Result<Json<Value>, ApiError>;

/// What is made is answered with 201.
pub type Created = Result<(StatusCode, Json<Value>), ApiError>;

fn created(answer: Answer) -> Created {
    answer.map(|body| (StatusCode::CREATED, body))
}

/// Puts what the path names into the body; another one there is an error.
fn with_path(mut body: Value, field: &str, named: &str) -> Result<Value, Refusal> {
    let fields = body.as_object_mut().ok_or_else(|| Refusal::invalid("", "expected an object"))?;
    let there = fields.entry(field).or_insert_with(|| json!(named));
    if there == named { Ok(body) } else { Err(Refusal::invalid(field, "is not the one of the path")) }
}

/// An empty body is an empty object: what is asked for may need nothing but its path.
fn or_empty(body: Value) -> Value {
    if body.is_null() { json!({}) } else { body }
}

async fn carry_out(app: &App, actor: Actor, key: IdempotencyKey, command: Command, payload: &Value) -> Answer {
    // Copied only where an id has to be taken out of it.
    let mut payload = Cow::Borrowed(payload);
    let in_body = match payload.get("commandId") {
        Some(_) => take_command_id(payload.to_mut())?,
        None => None,
    };
    Ok(Json(app.carry_out(actor, command, key.0.or(in_body), &payload).await?))
}

/// Somebody signed in, at a door of the application.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The application.
    pub app: App,
    /// Who, by which session.
    pub actor: Actor,
    /// Who.
    pub user: UserId,
    key: IdempotencyKey,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let SignedIn { actor, user } = SignedIn::from_request_parts(parts, app).await?;
        let key = IdempotencyKey::from_request_parts(parts, app).await?;
        Ok(Self { app: app.clone(), actor, user, key })
    }
}

impl Caller {
    /// Carries out a command that was read from `payload`. Its id is the `Idempotency-Key`, else the `commandId` of the
    /// body: the same command may come over a socket and over HTTP.
    pub(super) async fn carry_out(self, command: impl Into<Command>, payload: &Value) -> Answer {
        carry_out(&self.app, self.actor, self.key, command.into(), payload).await
    }

    /// Passes those who run the installation.
    pub(super) fn must_run_installation(&self) -> Result<(), ApiError> {
        Ok(self.actor.must_run_installation(&self.app.state())?)
    }

    /// The state, for those who run the installation.
    pub(super) fn desk(&self, name: &'static str) -> Result<Arc<State>, ApiError> {
        let state = self.app.state();
        self.actor.must_run_installation(&state)?;
        self.app.limit_reading(&self.actor, name)?;
        Ok(state)
    }
}

/// Whoever reports times: timing software by the key of its event, or somebody signed in. Where both are given, the key
/// is who asks.
#[derive(Clone, Debug)]
pub struct Timekeeper {
    /// The application.
    pub app: App,
    /// Who: an event's key, or a user.
    pub actor: Actor,
    key: IdempotencyKey,
}

impl FromRequestParts<App> for Timekeeper {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let actor = match api_key(&parts.headers)? {
            Some(key) => app.admit_key(key, client_address(app, peer(parts), &parts.headers)).await?,
            None => SignedIn::from_request_parts(parts, app).await?.actor,
        };
        let key = IdempotencyKey::from_request_parts(parts, app).await?;
        Ok(Self { app: app.clone(), actor, key })
    }
}

impl Timekeeper {
    /// Carries out a command that was read from `payload`, like [`Caller`] does.
    pub(super) async fn carry_out(self, command: impl Into<Command>, payload: &Value) -> Answer {
        carry_out(&self.app, self.actor, self.key, command.into(), payload).await
    }
}
