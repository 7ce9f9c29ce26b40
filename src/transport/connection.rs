//! Open connections: counted, bounded, known by the session of Socket.IO that speaks over them, and cut when told so.
//!
//! Invariant: whoever has a place gives it back when the stream is gone, however it ends.

use crate::config::Config;
use crate::metrics::Metrics;
use crate::wire::Wire;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Sessions that may wait for being closed; whoever closes one more waits with it.
const CLOSINGS_MAX: usize = 1_024;
/// Longest session id, in bytes: those of the library have 16.
const SESSION_BYTES_MAX: usize = 32;

/// An open connection. Every request over it carries this in its extensions.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Line>);

#[derive(Debug)]
struct Line {
    number: u64,
    address: SocketAddr,
    killed: CancellationToken,
    hung_up: CancellationToken,
    is_websocket: AtomicBool,
    session: Mutex<Option<Box<str>>>,
    guest: Mutex<Option<Guest>>,
    wire: OnceLock<Weak<Wire>>,
}

/// Marks an answer that makes a websocket of which the library speaks first: of a session that begins with it.
#[derive(Clone, Copy, Debug)]
pub struct Greets;

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The client does not read.
    Stalled,
    /// Its socket has to go.
    Told,
    /// The server ends.
    Stopping,
}

impl Cut {
    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Told => "told",
            Self::Stopping => "stopping",
        }
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// There are too many.
    All,
    /// There are too many from its address.
    Address,
    /// Too many sessions have not signed in.
    Unauthenticated,
    /// Its user has too many.
    User,
}

impl Full {
    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Address => "address",
            Self::Unauthenticated => "unauthenticated",
            Self::User => "user",
        }
    }
}

impl Connection {
    fn new(number: u64, address: SocketAddr) -> Self {
        let killed = CancellationToken::new();
        let hung_up = killed.child_token();
        Self(Arc::new(Line {
            number,
            address,
            killed,
            hung_up,
            is_websocket: AtomicBool::new(false),
            session: Mutex::default(),
            guest: Mutex::default(),
            wire: OnceLock::new(),
        }))
    }

    /// What is written to it goes through this.
    pub fn is_carried_by(&self, wire: &Arc<Wire>) {
        // It has one stream, so this is said once.
        let _only_once = self.0.wire.set(Arc::downgrade(wire));
    }

    /// What is written to it goes through this; nothing as soon as it has ended.
    #[must_use]
    pub fn wire(&self) -> Weak<Wire> {
        self.0.wire.get().cloned().unwrap_or_default()
    }

    /// The peer.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The session of this websocket.
    pub fn speaks_for(&self, session: &str) {
        if session.len() <= SESSION_BYTES_MAX {
            *self.0.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.into());
        }
    }

    /// The connection becomes a websocket.
    pub fn becomes_websocket(&self) {
        self.0.is_websocket.store(true, Ordering::Relaxed);
    }

    /// Whether it is one, or asked to be.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        self.0.is_websocket.load(Ordering::Relaxed)
    }

    /// The session that began as this websocket ends with it.
    pub fn brings(&self, guest: Guest) {
        *self.0.guest.lock().unwrap_or_else(PoisonError::into_inner) = Some(guest);
    }

    /// Ends the reading: whoever serves it takes its leave, and may still write.
    pub fn hang_up(&self) {
        self.0.hung_up.cancel();
    }

    /// Makes reading and writing fail at once.
    pub fn kill(&self) {
        match self.wire().upgrade() {
            Some(wire) => wire.kill(),
            None => self.0.killed.cancel(),
        }
    }

    /// Ends when it was hung up or killed.
    #[must_use]
    pub fn hung_up(&self) -> &CancellationToken {
        &self.0.hung_up
    }

    /// Ends when it was killed.
    #[must_use]
    pub fn killed(&self) -> &CancellationToken {
        &self.0.killed
    }

    fn is_of(&self, session: &str) -> bool {
        self.0.session.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(session)
    }
}

#[derive(Debug, Default)]
struct Book {
    number: u64,
    open: HashMap<u64, Connection>,
    by_network: HashMap<IpAddr, usize>,
}

/// Every open connection.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    book: Mutex<Book>,
    left: Notify,
    guests: Arc<Semaphore>,
    closings: mpsc::Sender<String>,
}

/// A place among the open connections, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    /// The connection that has it.
    pub connection: Connection,
    connections: Connections,
}

impl Place {
    /// Counts why the connection was cut.
    pub fn count_cut(&self, why: Cut) {
        self.connections.0.metrics.connections_cut.with_label_values(&[why.as_str()]).inc();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.leave(&self.connection);
    }
}

/// A session of Socket.IO that nobody has signed in to. The library keeps the request a session began with for as long as
/// the session lives, and this with it: so sessions are counted by their own lives. It keeps one for a while whose
/// websocket has ended: that one is let go with the websocket.
#[derive(Clone, Debug)]
pub struct Guest(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Guest {
    /// It has signed in or gone: the place is free for the next guest.
    pub fn leaves(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Connections {
    /// None yet; what comes out of the receiver are sessions whose polling is to be closed.
    #[must_use]
    pub fn new(config: Arc<Config>, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<String>) {
        let (closings, to_close) = mpsc::channel(CLOSINGS_MAX);
        let guests = Arc::new(Semaphore::new(config.unauthenticated_max.min(Semaphore::MAX_PERMITS)));
        let shared = Shared { config, metrics, book: Mutex::default(), left: Notify::new(), guests, closings };
        (Self(Arc::new(shared)), to_close)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a connection its place.
    ///
    /// # Errors
    /// The bound that is reached.
    pub fn enter(&self, address: SocketAddr) -> Result<Place, Full> {
        let mut book = self.book();
        if book.open.len() >= self.0.config.connections_max {
            return Err(Full::All);
        }
        if let Some(network) = self.counted(address) {
            let count = book.by_network.entry(network).or_default();
            if *count >= self.0.config.connections_per_address_max {
                return Err(Full::Address);
            }
            *count += 1;
        }
        book.number += 1;
        let number = book.number;
        let connection = Connection::new(number, address);
        book.open.insert(number, connection.clone());
        drop(book);
        self.0.metrics.connections_open.inc();
        Ok(Place { connection, connections: self.clone() })
    }

    /// Counts a refusal.
    pub fn refused(&self, why: Full) {
        self.0.metrics.connections_refused.with_label_values(&[why.as_str()]).inc();
    }

    /// The network an address is counted under; none for a trusted proxy, through which everybody may come.
    fn counted(&self, address: SocketAddr) -> Option<IpAddr> {
        let ip = address.ip().to_canonical();
        (!self.0.config.trusts(ip)).then(|| network(ip))
    }

    fn leave(&self, connection: &Connection) {
        let mut book = self.book();
        if book.open.remove(&connection.0.number).is_none() {
            return;
        }
        if let Some(network) = self.counted(connection.0.address)
            && let Some(count) = book.by_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                book.by_network.remove(&network);
            }
        }
        drop(book);
        if let Some(guest) = connection.0.guest.lock().unwrap_or_else(PoisonError::into_inner).take() {
            guest.leaves();
        }
        self.0.metrics.connections_open.dec();
        self.0.left.notify_waiters();
    }

    /// A place for a session that nobody has signed in to; none if there is no more.
    #[must_use]
    pub fn guest(&self) -> Option<Guest> {
        let permit = Arc::clone(&self.0.guests).try_acquire_owned().ok();
        if permit.is_none() {
            self.refused(Full::Unauthenticated);
        }
        permit.map(|permit| Guest(Arc::new(Mutex::new(Some(permit)))))
    }

    /// Cuts off a session of Socket.IO: the connection it began as a websocket, if it did; else the websocket it went on over,
    /// or its polling. What it polled over is left: a proxy lets others speak over it by turns.
    pub async fn cut_off(&self, session: &str, own: Option<Connection>) {
        if let Some(connection) = own {
            return self.cut_one(&connection, Cut::Told);
        }
        for connection in self.websockets().iter().filter(|connection| connection.is_of(session)) {
            self.cut_one(connection, Cut::Told);
        }
        // Nobody closes any more once the server ends: then everything is cut.
        let _ending = self.0.closings.send(session.to_owned()).await;
    }

    fn cut_one(&self, connection: &Connection, why: Cut) {
        if !connection.killed().is_cancelled() {
            connection.kill();
            self.0.metrics.connections_cut.with_label_values(&[why.as_str()]).inc();
        }
    }

    fn open(&self) -> Vec<Connection> {
        self.book().open.values().cloned().collect()
    }

    /// The websockets.
    #[must_use]
    pub fn websockets(&self) -> Vec<Connection> {
        let mut open = self.open();
        open.retain(Connection::is_websocket);
        open
    }

    /// Cuts every connection there is.
    pub fn cut_all(&self, why: Cut) {
        for connection in self.open() {
            self.cut_one(&connection, why);
        }
    }

    /// Waits until none is open.
    pub async fn ended(&self) {
        loop {
            let left = self.0.left.notified();
            if self.book().open.is_empty() {
                return;
            }
            left.await;
        }
    }
}

/// Who is counted together: an IPv4 address, or the /64 one household of IPv6 gets.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}
