//! axum's WebSocket and a broadcast channel, as its chat example has it: a task for each connection.

use crate::Gate;
use crate::view::{Submit, View};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::broadcast;

/// Messages that may wait for the slowest.
const WAITING_MAX: usize = 4096;

#[derive(Clone)]
struct Shared {
    gate: Gate,
    version: Arc<AtomicU64>,
    told: broadcast::Sender<Utf8Bytes>,
}

async fn upgrade(State(shared): State<Shared>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token.and_then(|token| shared.gate.admit(token)) {
        Some(_user) => upgrade.on_upgrade(move |socket| attend(socket, shared)),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn attend(mut socket: WebSocket, shared: Shared) {
    let mut told = shared.told.subscribe();
    loop {
        tokio::select! {
            message = told.recv() => match message {
                Ok(text) => if socket.send(Message::Text(text)).await.is_err() { return },
                Err(_lagged) => return,
            },
            asked = socket.recv() => match asked {
                Some(Ok(Message::Text(text))) => {
                    let Ok(submit) = serde_json::from_str::<Submit>(&text) else { return };
                    let view = View::of(submit, shared.version.fetch_add(1, Ordering::Relaxed));
                    let Ok(text) = serde_json::to_string(&view) else { return };
                    if socket.send(Message::Text("{\"ok\":true}".into())).await.is_err() { return }
                    let _nobody = shared.told.send(text.into());
                }
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        }
    }
}

/// Serves until it is ended.
#[tokio::main]
pub async fn serve(port: u16, gate: Gate) -> anyhow::Result<()> {
    let shared = Shared { gate, version: Arc::default(), told: broadcast::channel(WAITING_MAX).0 };
    let app = Router::new().route("/ws", get(upgrade)).with_state(shared);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, app).await?)
}
