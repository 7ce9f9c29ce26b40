//! Errors over HTTP: `application/problem+json` (RFC 9457), whoever they come from.

use crate::error::{AppError, Code, FieldError, Refusal, millis};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A refusal on its way out; [`problems`] writes its body, once the request id is known.
#[derive(Debug)]
pub struct ApiError(Refusal);

impl<E: Into<AppError>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into().into_refusal())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.status().into_response();
        response.extensions_mut().insert(Arc::new(self.0));
        response
    }
}

/// The body of an error.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:scorecast:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reason phrase of the status.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Text for a person.
    pub detail: String,
    /// Stable word to branch on.
    pub code: Code,
    /// The request id, for the server's log.
    pub correlation_id: String,
    /// What is wrong where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What belongs to one kind of error only: `retryAfterMs`, `current`, `currentStatus` …
    #[serde(flatten)]
    #[schema(ignore)]
    pub extra: Map<String, Value>,
}

fn extra(refusal: &Refusal) -> Map<String, Value> {
    let mut extra = Map::new();
    if let Some(wait) = refusal.retry_after() {
        extra.insert("retryAfterMs".into(), json!(millis(wait)));
    }
    if let Some(current) = refusal.current() {
        extra.insert("current".into(), current);
    }
    if let Refusal::BadTransition { current, requested, valid, .. } = refusal {
        extra.insert("currentStatus".into(), json!(current));
        extra.insert("requestedStatus".into(), json!(requested));
        extra.insert("validTransitions".into(), json!(valid));
    }
    if let Some(word) = word(refusal) {
        extra.insert("error".into(), json!(word));
    }
    if let Refusal::TooManyViewers { max } = refusal {
        extra.insert("maxConnections".into(), json!(max));
    }
    extra
}

/// The words the live plane has for its refusals, besides the codes of everything.
fn word(refusal: &Refusal) -> Option<&'static str> {
    if let Refusal::NotFound { what: "event", .. } = refusal {
        return Some("EventNotFound");
    }
    if let Refusal::TooManyViewers { .. } = refusal {
        return Some("ConnectionLimitReached");
    }
    matches!(refusal, Refusal::EventOfficial).then_some("EventOfficial")
}

fn errors(refusal: &Refusal) -> Vec<FieldError> {
    if let Refusal::Invalid(errors) = refusal {
        return errors.iter().filter(|error| !error.field.is_empty()).cloned().collect();
    }
    let one = |field: &str| FieldError { field: field.to_owned(), message: refusal.to_string() };
    refusal.field().map(one).into_iter().collect()
}

/// The response of a refusal.
#[must_use]
pub fn response(refusal: &Refusal, correlation_id: String) -> Response {
    response_as(refusal, refusal.status(), correlation_id)
}

fn response_as(refusal: &Refusal, status: StatusCode, correlation_id: String) -> Response {
    let code = refusal.code();
    let problem = Problem {
        kind: format!("urn:scorecast:error:{}", code.as_str()),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: refusal.to_string(),
        code,
        correlation_id,
        errors: errors(refusal),
        extra: extra(refusal),
    };
    let body = serde_json::to_string(&problem).unwrap_or_else(|_| "{}".to_owned());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(wait) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(millis(wait).div_ceil(1000)));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// How large a body may be that is sent to a path.
#[must_use]
pub fn body_bytes_max(path: &str) -> usize {
    if path.starts_with("/indoor-results") || path.ends_with("/ingest/results") {
        super::http::POST_BYTES_MAX
    } else if path.ends_with("/import") || path.ends_with("/ingest/xml") {
        super::http::IMPORT_BYTES_MAX
    } else {
        super::http::BODY_BYTES_MAX
    }
}

/// What the libraries refuse by a bare status, in our words.
fn of_status(status: StatusCode, path: &str) -> Option<Refusal> {
    Some(match status {
        StatusCode::NOT_FOUND => Refusal::not_found("page", path),
        StatusCode::METHOD_NOT_ALLOWED => Refusal::invalid("", "this method is not allowed here"),
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge { what: "bytes in a body", max: body_bytes_max(path) },
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Refusal::invalid("", "the request cannot be read")
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => Refusal::Overloaded,
        StatusCode::INTERNAL_SERVER_ERROR => Refusal::Internal,
        _ => return None,
    })
}

/// Writes the body of every error, with the id of the request.
pub async fn problems(request: Request, next: Next) -> Response {
    let id =
        request.headers().get(super::http::REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let path = request.uri().path().to_owned();
    let before = next.run(request).await;
    if let Some(refusal) = before.extensions().get::<Arc<Refusal>>() {
        return response(refusal, id);
    }
    let told =
        before.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    let status = before.status();
    if told || status.is_success() || path.starts_with(super::http::SOCKET_PATH) {
        return before;
    }
    match of_status(status, &path) {
        Some(refusal) => {
            // 405 is HTTP's own word, which no command is ever refused with.
            let own = status == StatusCode::METHOD_NOT_ALLOWED;
            let mut after = response_as(&refusal, if own { status } else { refusal.code().status() }, id);
            if let Some(allow) = before.headers().get(header::ALLOW) {
                after.headers_mut().insert(header::ALLOW, allow.clone());
            }
            after
        }
        None => before,
    }
}
