//! Every route on one page, and what every request passes on its way in and out.

use super::cassette_socket;
use super::connection::{Connection, Connections, Greets};
use super::live;
use super::problem::problems;
use super::request::parameter;
use super::rest::operation::Started;
use super::rest::{
    auth, cassettes, certification, decisions, feeds, ingest, keys, notices, operation, public, publications, scoring,
    sessions, setup, timing,
};
use crate::app::App;
use crate::cassettes::tapes::Tapes;
use crate::error::Refusal;
use crate::events::dispatcher::Outlet;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use socketioxide::layer::SocketIoLayer;
use std::any::Any;
use std::time::{Duration, Instant};
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

/// The header that names a request.
pub const REQUEST_ID: &str = "x-request-id";
/// The header timing software puts its key in.
pub const API_KEY: &str = "x-api-key";
/// Where Socket.IO answers.
pub const SOCKET_PATH: &str = "/socket.io";
/// Largest body, in bytes: parsed, a hostile one takes a hundred times its size.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest import document, in bytes; read only for those who may import.
pub const IMPORT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Largest post of timing software, in bytes; read only by a key.
pub const POST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long a request may take; polling of Socket.IO is not meant.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest request id taken from a client, in characters.
const REQUEST_ID_CHARS_MAX: usize = 128;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Scorecast",
        description = "Authenticated, multi-role, real-time scoring. Errors are application/problem+json with a stable `code`; \
            every command takes an `Idempotency-Key` (UUID), and a retry gets the first answer again."
    ),
    modifiers(&WaysIn),
    security(("bearer" = []))
)]
struct Description;

/// How a request says who asks: the token of a user, or the key of timing software.
struct WaysIn;

impl utoipa::Modify for WaysIn {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let key = ApiKey::Header(ApiKeyValue::new(API_KEY));
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        components.add_security_scheme("apiKey", SecurityScheme::ApiKey(key));
    }
}

/// Every route.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        // Signing in
        .routes(routes!(auth::login))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::me))
        .routes(routes!(sessions::own))
        .routes(routes!(sessions::end_own))
        .routes(routes!(sessions::of_user))
        .routes(routes!(sessions::end_of_user))
        // Scoring
        .routes(routes!(scoring::list, scoring::submit))
        .routes(routes!(scoring::submit_batch))
        .routes(routes!(scoring::confirm))
        .routes(routes!(scoring::tally))
        .routes(routes!(scoring::completeness))
        .routes(routes!(scoring::preview))
        // Certification
        .routes(routes!(certification::show))
        .routes(routes!(certification::certify))
        .routes(routes!(certification::sign_final))
        .routes(routes!(certification::sign))
        .routes(routes!(certification::reject))
        .routes(routes!(certification::override_stage))
        .routes(routes!(certification::resolve_tie))
        // Decisions of several people
        .routes(routes!(decisions::deductions, decisions::request_deduction))
        .routes(routes!(decisions::approve_deduction))
        .routes(routes!(decisions::reject_deduction))
        .routes(routes!(decisions::withdraw_deduction))
        .routes(routes!(decisions::removals, decisions::request_removal))
        .routes(routes!(decisions::sign_removal))
        .routes(routes!(decisions::reject_removal))
        .routes(routes!(decisions::withdraw_removal))
        .routes(routes!(decisions::uncertifications, decisions::request_uncertification))
        .routes(routes!(decisions::approve_uncertification))
        .routes(routes!(decisions::reject_uncertification))
        .routes(routes!(decisions::withdraw_uncertification))
        .routes(routes!(decisions::flags, decisions::request_flag))
        .routes(routes!(decisions::resolve_flag))
        .routes(routes!(decisions::withdraw_flag))
        // Notices
        .routes(routes!(notices::list))
        .routes(routes!(notices::read))
        .routes(routes!(notices::read_all))
        .routes(routes!(notices::delete))
        .routes(routes!(notices::announce))
        .routes(routes!(notices::lock))
        .routes(routes!(notices::unlock))
        // Publications
        .routes(routes!(publications::publish))
        .routes(routes!(publications::list))
        .routes(routes!(publications::evidence))
        .routes(routes!(publications::one))
        .routes(routes!(publications::judged))
        .routes(routes!(publications::standings))
        .routes(routes!(publications::freeze))
        .routes(routes!(publications::thaw))
        .routes(routes!(publications::reveal))
        .routes(routes!(publications::keys))
        .routes(routes!(publications::verify_page, publications::verify_bundle))
        // Timing software
        .routes(routes!(ingest::xml))
        .routes(routes!(ingest::results).layer(DefaultBodyLimit::max(POST_BYTES_MAX)))
        .routes(routes!(ingest::oncourse))
        .routes(routes!(ingest::odds))
        .routes(routes!(ingest::import_indoor).layer(DefaultBodyLimit::max(POST_BYTES_MAX)))
        .routes(routes!(ingest::update_indoor))
        .routes(routes!(ingest::indoor_race))
        // The live plane
        .routes(routes!(public::events))
        .routes(routes!(public::event))
        .routes(routes!(public::races))
        .routes(routes!(public::categories))
        .routes(routes!(public::results))
        .routes(routes!(public::startlist))
        .routes(routes!(public::oncourse))
        .routes(routes!(public::feed))
        .routes(routes!(live::event))
        .routes(routes!(live::race))
        // Catching up
        .routes(routes!(feeds::feed))
        // Set-up
        .routes(routes!(setup::import).layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX)))
        .routes(routes!(setup::users, setup::create_user))
        .routes(routes!(setup::user, setup::put_user, setup::delete_user))
        .routes(routes!(setup::revoke_sessions))
        .routes(routes!(setup::events, setup::create_event))
        .routes(routes!(setup::event, setup::put_event, setup::delete_event))
        .routes(routes!(setup::event_status))
        .routes(routes!(setup::contests, setup::create_contest))
        .routes(routes!(setup::contest, setup::put_contest, setup::delete_contest))
        .routes(routes!(setup::categories, setup::create_category))
        .routes(routes!(setup::category, setup::put_category, setup::delete_category))
        .routes(routes!(setup::put_entries))
        .routes(routes!(setup::withdraw_entry))
        .routes(routes!(setup::reinstate_entry))
        .routes(routes!(setup::races, setup::create_race))
        .routes(routes!(setup::race, setup::put_race, setup::delete_race))
        .routes(routes!(setup::contestants, setup::create_contestant))
        .routes(routes!(setup::contestant, setup::put_contestant, setup::delete_contestant))
        .routes(routes!(setup::assignments, setup::create_assignment))
        .routes(routes!(setup::assignment, setup::put_assignment, setup::delete_assignment))
        .routes(routes!(keys::keys, keys::create_key))
        .routes(routes!(keys::key, keys::put_key, keys::revoke_key))
        // Timing
        .routes(routes!(timing::race_status))
        // Recordings
        .routes(routes!(cassettes::list, cassettes::create))
        .routes(routes!(cassettes::import).layer(DefaultBodyLimit::max(crate::cassettes::file::BYTES_MAX)))
        .routes(routes!(cassettes::one, cassettes::describe, cassettes::delete))
        .routes(routes!(cassettes::start))
        .routes(routes!(cassettes::stop))
        .routes(routes!(cassettes::download))
        .routes(routes!(cassettes::replay))
        .routes(routes!(cassettes::rehearsals))
        .routes(routes!(cassettes::stop_rehearsal))
        .routes(routes!(cassette_socket::listen))
        // Operation
        .routes(routes!(operation::healthz))
        .routes(routes!(operation::readyz))
        .routes(routes!(operation::socket_health))
        .routes(routes!(operation::metrics))
}

/// The description of the interface, OpenAPI 3.1 as JSON.
///
/// # Errors
/// When it cannot be written.
pub fn openapi() -> anyhow::Result<String> {
    Ok(routes().into_openapi().to_pretty_json()?)
}

/// Everything that answers HTTP, but for Socket.IO.
pub fn router(app: &App, outlet: Outlet, tapes: Tapes) -> Router {
    let (router, description) = routes().split_for_parts();
    let id = HeaderName::from_static(REQUEST_ID);
    // From the outside in. Given one by one each would be a box of its own, and every request copies the boxes within it.
    let layers = (
        MapRequestLayer::new(safe_request_id),
        SetRequestIdLayer::new(id.clone(), MakeRequestUuid),
        PropagateRequestIdLayer::new(id),
        TraceLayer::new_for_http().make_span_with(span),
        from_fn(problems),
        CatchPanicLayer::custom(panicked),
        TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT),
        Extension(Started(Instant::now())),
        Extension(tapes),
        Extension(outlet),
        DefaultBodyLimit::max(BODY_BYTES_MAX),
        CompressionLayer::new(),
    );
    let pages = SwaggerUi::new("/api-docs").url("/api-docs/openapi.json", description);
    router.merge(pages).layer(layers).with_state(app.clone())
}

/// Puts Socket.IO beside the pages, and before both what they pass alike: pages of foreign origins are refused at the
/// sockets' door, polling and upgrade, and told nothing anywhere.
pub fn guard(app: &App, connections: &Connections, sockets: SocketIoLayer, router: Router) -> Router {
    let origins: Vec<HeaderValue> =
        app.config.allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin.trim()).ok()).collect();
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([HeaderName::from_static(REQUEST_ID), header::RETRY_AFTER, header::ETAG, public::SEQ]);
    router.layer((cors, from_fn_with_state((app.clone(), connections.clone()), door), sockets))
}

/// The door of Socket.IO: who comes from a foreign page is sent away, and it is noted which session a websocket speaks for.
/// A request that names none begins one, as a guest.
async fn door(State((app, connections)): State<(App, Connections)>, mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(SOCKET_PATH) {
        return next.run(request).await;
    }
    if !is_of_known_origin(&app, &request) {
        return refuse(&app, &Refusal::Forbidden);
    }
    let transport = parameter(request.uri(), "transport");
    if transport.is_some_and(|transport| !matches!(transport, "websocket" | "polling")) {
        // The library reads it more loosely: what it takes for a websocket has to be one here.
        return refuse(&app, &Refusal::invalid("transport", "is websocket or polling"));
    }
    let websocket = transport == Some("websocket");
    let websocket = request.extensions().get::<Connection>().filter(|_| websocket).cloned();
    if let Some(websocket) = &websocket {
        websocket.becomes_websocket();
    }
    let mut greets = None;
    if let Some(session) = parameter(request.uri(), "sid") {
        if let Some(websocket) = &websocket {
            websocket.speaks_for(session);
        }
    } else {
        let Some(guest) = connections.guest() else { return refuse(&app, &Refusal::Overloaded) };
        make_anew(&mut request);
        request.extensions_mut().insert(guest.clone());
        if let Some(websocket) = &websocket {
            websocket.brings(guest);
            greets = Some(Greets);
        }
    }
    let may_wait = request.method() == Method::GET;
    let answering = next.run(request);
    // A poll may wait; what is sent may not.
    let mut answer = if may_wait {
        answering.await
    } else {
        let in_time = tokio::time::timeout(REQUEST_TIMEOUT, answering).await;
        in_time.unwrap_or_else(|_late| StatusCode::REQUEST_TIMEOUT.into_response())
    };
    if let Some(greets) = greets {
        answer.extensions_mut().insert(greets);
    }
    answer
}

/// The library keeps the request a session began with for as long as the session lives. As it was read it is a part of the
/// buffer it was read into, and says what a browser says besides: so it is made anew of what is looked at later.
fn make_anew(request: &mut Request) {
    const KEPT: [HeaderName; 3] =
        [header::AUTHORIZATION, header::SEC_WEBSOCKET_KEY, HeaderName::from_static("x-forwarded-for")];
    let mut headers = HeaderMap::new();
    for name in KEPT {
        for value in request.headers().get_all(&name) {
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.append(&name, copy);
            }
        }
    }
    *request.headers_mut() = headers;
    request.extensions_mut().remove::<OriginalUri>();
    if let Ok(uri) = Uri::try_from(request.uri().to_string()) {
        *request.uri_mut() = uri;
    }
}

/// Refuses what has not reached the pages.
fn refuse(app: &App, refusal: &Refusal) -> Response {
    let id = app.chance.id(app.clock.now()).to_string();
    let named = HeaderValue::from_str(&id).ok();
    let mut response = super::problem::response(refusal, id);
    response.headers_mut().extend(named.map(|named| (HeaderName::from_static(REQUEST_ID), named)));
    response
}

/// Whether a page that asks is one of ours; what no page sends has no origin.
fn is_of_known_origin(app: &App, request: &Request) -> bool {
    request.headers().get(header::ORIGIN).is_none_or(|origin| {
        app.config.allowed_origins.iter().any(|allowed| allowed.trim().as_bytes() == origin.as_bytes())
    })
}

/// A request id of a client is kept if it is short and plain; it goes into the log and back into the answer.
fn safe_request_id(mut request: Request) -> Request {
    let safe = |value: &HeaderValue| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&value.len())
            && value.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    if request.headers().get(REQUEST_ID).is_some_and(|value| !safe(value)) {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

/// Without the query and the headers: they may hold what must not be logged.
fn span(request: &axum::http::Request<Body>) -> tracing::Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("http", method = %request.method(), path = request.uri().path(), id)
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    super::problem::ApiError::from(Refusal::Internal).into_response()
}
