//! socketioxide as it comes: the buffer of its default settings raised to 4096 so that nobody is dropped, and nothing else.

use crate::Gate;
use crate::view::{Submit, View};
use serde::Deserialize;
use serde_json::json;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef, State};
use socketioxide::handler::ConnectHandler;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Clone)]
struct Shared {
    gate: Gate,
    version: Arc<AtomicU64>,
}

async fn admit(socket: SocketRef, Data(auth): Data<Auth>, State(shared): State<Shared>) -> Result<(), &'static str> {
    let user = shared.gate.admit(&auth.token).ok_or("Invalid token")?;
    socket.join([
        format!("user:{}", user.user_id),
        format!("role:{}", user.role),
        "category:final".to_owned(),
        format!("category:final:{}", user.role),
    ]);
    Ok(())
}

async fn attend(socket: SocketRef) {
    socket.on(
        "scores:submit",
        async |io: SocketIo, Data(submit): Data<Submit>, ack: AckSender, State(shared): State<Shared>| {
            let view = View::of(submit, shared.version.fetch_add(1, Ordering::Relaxed));
            let _gone = ack.send(&json!({"ok": true, "data": {"score": view}}));
            #[expect(clippy::disallowed_methods, reason = "this is not Scorecast: there is no dispatcher here")]
            let told = io.to("category:final:JUDGE").emit("scores:updated", &view).await;
            let _full = told;
        },
    );
}

/// Serves until it is ended.
#[tokio::main]
pub async fn serve(port: u16, gate: Gate) -> anyhow::Result<()> {
    let shared = Shared { gate, version: Arc::default() };
    let (layer, io) = SocketIo::builder().max_buffer_size(4096).with_state(shared).build_layer();
    io.ns("/", attend.with(admit));
    let app = axum::Router::new().layer(layer);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, app).await?)
}
