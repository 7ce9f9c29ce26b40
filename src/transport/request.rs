//! What a request says: who asks, from where, with which body. Read once, with one kind of error.

use super::problem::{ApiError, body_bytes_max};
use crate::app::App;
use crate::auth::actor::Actor;
use crate::error::Refusal;
use crate::ids::UserId;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Somebody signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who, by which session.
    pub actor: Actor,
    /// Who.
    pub user: UserId,
}

/// The token in `Authorization: Bearer …`.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The key of timing software in `X-API-Key`.
///
/// # Errors
/// `INVALID_TOKEN` when what is there is no text.
pub fn api_key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    headers.get(super::http::API_KEY).map(HeaderValue::to_str).transpose().map_err(|_no_text| Refusal::InvalidToken)
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or(Refusal::AuthRequired)?;
        let actor = app.admit(token).await?;
        let user = actor.user()?.clone();
        Ok(Self { actor, user })
    }
}

/// The address a request comes from: the peer's, or what a trusted proxy says of it.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// The nearest address that is no trusted proxy. What an untrusted client writes into the header is never reached.
#[must_use]
pub fn client_address(app: &App, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !app.config.trusts(peer) {
        return peer;
    }
    let mut hops = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|hop| hop.trim().parse::<IpAddr>())
        .collect::<Vec<_>>();
    while let Some(Ok(hop)) = hops.pop() {
        if !app.config.trusts(hop) {
            return hop;
        }
    }
    peer
}

/// The peer of a connection.
#[must_use]
pub fn peer(parts: &Parts) -> IpAddr {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(unknown, |peer| peer.0.ip())
}

/// A parameter of the query, as it was sent.
#[must_use]
pub fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let parameters = uri.query().unwrap_or_default().split('&');
    parameters.filter_map(|parameter| parameter.split_once('=')).find_map(|(key, value)| (key == name).then_some(value))
}

impl FromRequestParts<App> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self(client_address(app, peer(parts), &parts.headers)))
    }
}

/// A JSON body; none is `null`.
#[derive(Clone, Debug)]
pub struct Json(pub Value);

impl FromRequest<App> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let max = body_bytes_max(request.uri().path());
        let bytes = Bytes::from_request(request, app)
            .await
            .map_err(|_too_large_or_cut| Refusal::TooLarge { what: "bytes in a body", max })?;
        if bytes.is_empty() {
            return Ok(Self(Value::Null));
        }
        let value = serde_json::from_slice(&bytes).map_err(|wrong| Refusal::invalid("", wrong))?;
        Ok(Self(value))
    }
}

/// The `Idempotency-Key`: a command's id over HTTP.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(pub Option<String>);

/// A command id: a UUID.
///
/// # Errors
/// `INVALID_DATA`.
pub fn command_id(text: &str, field: &str) -> Result<String, Refusal> {
    let id = uuid::Uuid::parse_str(text).map_err(|_wrong| Refusal::invalid(field, "is not a UUID"))?;
    Ok(id.to_string())
}

/// Takes the command id out of a payload.
///
/// # Errors
/// `INVALID_DATA` when it is not a UUID.
pub fn take_command_id(payload: &mut Value) -> Result<Option<String>, Refusal> {
    match payload.as_object_mut().and_then(|fields| fields.remove("commandId")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(command_id(&text, "commandId")?)),
        Some(_) => Err(Refusal::invalid("commandId", "is not a UUID")),
    }
}

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let text = value.to_str().map_err(|_wrong| Refusal::invalid("Idempotency-Key", "is not a UUID"))?;
        Ok(Self(Some(command_id(text.trim_matches('"'), "Idempotency-Key")?)))
    }
}
