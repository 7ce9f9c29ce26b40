//! The listening socket, and how serving ends.

use super::accept::{accept, listen};
use super::connection::{Connections, Cut};
use super::{descriptors, http, live_socket, socket};
use crate::app::{App, Emitters, Running};
use crate::cassettes::shelf::Shelf;
use crate::cassettes::tapes::Tapes;
use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use socketioxide::SocketIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

/// Over how long sockets are closed: so long it takes until the last of very many comes back elsewhere.
const SPREAD: Duration = Duration::from_secs(2);
/// Longest pause between two of them: a few need not wait for each other.
const PAUSE_MAX: Duration = Duration::from_millis(5);
/// How long sessions may take to close, and then requests to end. With the spread and the last commit this stays far below
/// the ten seconds after which whoever runs servers kills them.
const CLOSING_MAX: Duration = Duration::from_secs(1);
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Shortest time between two counts of a recording.
const COUNTS_EVERY: Duration = Duration::from_millis(500);

/// A server that is listening.
#[derive(Debug)]
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    app: App,
    running: Running,
    io: SocketIo,
    connections: Connections,
    emitters: Emitters,
    /// Ends with everything else: what was said last has to leave, too.
    flushing: AbortOnDropHandle<()>,
}

/// Starts to serve.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start(app: App, running: Running) -> anyhow::Result<Server> {
    let listener = listen(app.config.bind).with_context(|| format!("cannot listen on {}", app.config.bind))?;
    let address = listener.local_addr()?;
    descriptors::make_room(&listener, app.config.connections_max);
    let (connections, to_close) = Connections::new(app.config.clone(), app.metrics.clone());
    let (sockets, io) = socket::layer(&app.config);
    let (outlet, emitters) = app.start_tasks();
    let flushing = AbortOnDropHandle::new(app.tasks.spawn(outlet.clone().flush()));
    sweep(&app).await;
    let tapes = Tapes::new(app.states(), outlet.live.clone(), app.config.cassette_bytes_max);
    app.tasks.spawn(tell_counts(app.clone(), tapes.clone()));
    socket::open(&app, &io, outlet.clone(), connections.clone());
    live_socket::open(&app, &io, outlet.clone(), connections.clone());
    let router = http::guard(&app, &connections, sockets, http::router(&app, outlet, tapes));
    app.tasks.spawn(close_polling(app.clone(), to_close, router.clone()));
    app.tasks.spawn(accept(app.clone(), listener, connections.clone(), router));
    Ok(Server { address, app, running, io, connections, emitters, flushing })
}

/// Lays aside the files of recordings that came to nothing; a folder that cannot be swept keeps nobody from serving.
async fn sweep(app: &App) {
    let named = app.state().cassettes.values().filter_map(|row| row.file.clone()).collect();
    let shelf = Shelf::new(&app.config.cassettes);
    match app.computing(move || shelf.sweep(&named)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the folder of recordings could not be swept"),
        Err(error) => tracing::warn!(%error, "the folder of recordings could not be swept"),
    }
}

/// Tells how far recordings have come, at most twice a second.
async fn tell_counts(app: App, tapes: Tapes) {
    let mut often = tokio::time::interval(COUNTS_EVERY);
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = often.tick() => tapes.tell_counts(app.clock.now()),
        }
    }
}

/// Closes sessions that poll. The library closes one only when its client says so: so it is said in the client's place.
/// A session that is a websocket by now is closed with its connection, and refuses this.
async fn close_polling(app: App, mut to_close: mpsc::Receiver<String>, router: Router) {
    let closing = async {
        while let Some(session) = to_close.recv().await {
            let uri = format!("{}/?EIO=4&transport=polling&sid={session}", http::SOCKET_PATH);
            match Request::post(uri).body(Body::from("1")) {
                Ok(request) => {
                    let Ok(_closed_or_gone) = router.clone().oneshot(request).await;
                }
                Err(error) => tracing::error!(%error, "a session could not be closed"),
            }
        }
    };
    tokio::select! {
        () = app.stopping.cancelled() => {}
        () = closing => {}
    }
}

impl Server {
    /// The application behind it.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Ends: not ready any more, nobody new, sockets closed one after the other, everything accepted written.
    ///
    /// # Errors
    /// When the writer died.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.app.refuse_newcomers();
        self.app.stopping.cancel();
        // These first: emitting to sockets that are closed panics in the library.
        self.emitters.ended().await;
        hang_up(&self.app, &self.connections).await;
        if tokio::time::timeout(CLOSING_MAX, self.io.close()).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
        if tokio::time::timeout(DRAIN_MAX, self.connections.ended()).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut");
            self.connections.cut_all(Cut::Stopping);
        }
        self.flushing.abort();
        self.app.stop(self.running).await
    }
}

/// Takes leave of the websockets, in any order and not all at once: they will all come back somewhere.
async fn hang_up(app: &App, connections: &Connections) {
    let mut websockets = connections.websockets();
    websockets.sort_by_cached_key(|_| app.chance.bytes::<8>());
    let pause = u32::try_from(websockets.len()).map_or(Duration::ZERO, |count| SPREAD / count.max(1)).min(PAUSE_MAX);
    for websocket in websockets {
        websocket.hang_up();
        tokio::time::sleep(pause).await;
    }
}
