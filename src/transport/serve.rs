//! The listening socket, and how serving ends.

use super::{http, socket};
use crate::app::{App, Emitters, Running};
use anyhow::Context;
use axum::serve::ListenerExt;
use socketioxide::SocketIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long open requests may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// A server that is listening.
#[derive(Debug)]
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    app: App,
    running: Running,
    io: SocketIo,
    serving: JoinHandle<std::io::Result<()>>,
    emitters: Emitters,
}

/// Starts to serve.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start(app: App, running: Running) -> anyhow::Result<Server> {
    let listener =
        TcpListener::bind(app.config.bind).await.with_context(|| format!("cannot listen on {}", app.config.bind))?;
    let address = listener.local_addr()?;
    // A frame must not wait for the acknowledgement of the one before: together with delayed acknowledgements that costs
    // every answer 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::warn!(%error, "a connection keeps its small packets back");
        }
    });
    let (layer, io) = socket::layer(&app.config);
    let (outlet, emitters) = app.start_tasks(io.clone());
    socket::open(&app, &io, outlet.clone());
    let router = http::guard(&app, http::router(&app, outlet).layer(layer));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopping = app.stopping.clone();
    let serve = axum::serve(listener, service).with_graceful_shutdown(async move { stopping.cancelled().await });
    let serving = app.tasks.spawn(async move { serve.await });
    Ok(Server { address, app, running, io, serving, emitters })
}

impl Server {
    /// The application behind it.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Ends: not ready any more, nobody new, sockets closed, everything accepted written.
    ///
    /// # Errors
    /// When the writer died.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.app.refuse_newcomers();
        self.app.stopping.cancel();
        // These first: emitting to sockets that are closed panics in the library.
        self.emitters.ended().await;
        if tokio::time::timeout(DRAIN, self.io.close()).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
        let abort = self.serving.abort_handle();
        if tokio::time::timeout(DRAIN, self.serving).await.is_err() {
            tracing::warn!("some requests did not end in time");
            abort.abort();
        }
        self.app.stop(self.running).await
    }
}
