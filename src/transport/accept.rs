//! Accepting connections, and serving HTTP over each.
//!
//! Our own loop, because the usual one never closes a half-sent header and knows no bounds.

use super::connection::{Connections, Greets};
use super::guarded::Guarded;
use crate::app::App;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to wait when there is nothing left to accept with, such as file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Accepts and serves until the application stops.
pub async fn accept(app: App, listener: TcpListener, connections: Connections, router: Router) {
    loop {
        let accepted = tokio::select! {
            () = app.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => match connections.enter(address) {
                Ok(place) => {
                    let patience = Duration::from_millis(app.config.write_timeout_ms);
                    let guarded = Guarded::new(nodelay(stream), place, patience, app.tasks.clone());
                    app.tasks.spawn(serve(app.clone(), guarded, router.clone()));
                }
                // Closed at once. Counted and not logged: a flood must not become a flood of lines.
                Err(full) => connections.refused(full),
            },
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// A frame must not wait for the acknowledgement of the one before: together with delayed acknowledgements that costs
/// every answer 40 ms.
fn nodelay(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::warn!(%error, "a connection keeps its small packets back");
    }
    stream
}

async fn serve(app: App, stream: Guarded, router: Router) {
    let connection = stream.connection().clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(connection.address()));
        request.extensions_mut().insert(connection.clone());
        let (answering, connection) = (router.clone().oneshot(request), connection.clone());
        async move {
            let answer = answering.await;
            if let Ok(answer) = &answer
                && answer.status() == StatusCode::SWITCHING_PROTOCOLS
                && let Some(wire) = connection.wire().upgrade()
            {
                wire.upgrades(answer.extensions().get::<Greets>().is_some());
            }
            answer
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(app.config.header_timeout_ms))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = app.stopping.cancelled() => {
            // The request it is at is answered, then it ends.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
