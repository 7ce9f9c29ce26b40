//! The handlers behind the routes: each reads a request, asks the application, and answers.

#![allow(clippy::missing_errors_doc, reason = "the interface description of each handler lists its errors")]

pub mod auth;
pub mod operation;
pub mod scoring;
pub mod setup;

use super::problem::ApiError;
use super::request::{IdempotencyKey, SignedIn};
use crate::app::App;
use crate::commands::Command;
use axum::Json;
use serde_json::Value;

/// What every handler answers.
pub type Answer = Result<Json<Value>, ApiError>;

/// Carries out what somebody signed in asks for.
pub(super) async fn carry_out(
    app: &App,
    by: SignedIn,
    key: IdempotencyKey,
    command: impl Into<Command>,
    payload: &Value,
) -> Answer {
    Ok(Json(app.carry_out(by.actor, command.into(), key.0, payload).await?))
}
