//! Listening, accepting connections, and serving HTTP over each.
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
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tower::ServiceExt;

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Connections that may wait to be accepted, if the system allows as many. A hall that comes back all at once must not be
/// turned away: whoever is tries again after a second, and then after two. The runtime's own way in lets 128 wait.
const BACKLOG: u32 = 4_096;
/// How long to wait when there is nothing left to accept with, such as file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Listens.
///
/// # Errors
/// When the address is taken, or not ours.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // What the server before it left behind must not be waited for.
    socket.set_reuseaddr(true)?;
    // Every connection has it from here. A frame must not wait for the acknowledgement of the one before: together with
    // delayed acknowledgements that costs every answer 40 ms.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

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
                    let guarded = Guarded::new(stream, place, patience, app.tasks.clone());
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

#[cfg(test)]
mod tests {
    use super::listen;
    use std::net::TcpStream;
    use std::time::Duration;

    /// Whoever finds no room to wait is not refused, but hears nothing.
    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn many_may_wait_until_they_are_accepted_and_none_keeps_small_packets_back() {
        let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("it is free");
        let address = listener.local_addr().expect("it listens");
        let waiting: Vec<TcpStream> =
            (0..300).map(|_| TcpStream::connect_timeout(&address, PATIENCE).expect("there is room")).collect();
        for _ in &waiting {
            let (accepted, _) = listener.accept().await.expect("it waits");
            assert!(accepted.nodelay().expect("it is open"));
        }
    }
}
