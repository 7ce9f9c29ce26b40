//! The write lane: how one message reaches thousands over the connections they already have.
//!
//! A library serves each connection: it greets, pings, answers, takes leave, a task and a queue a socket. For what goes to
//! everybody that is too much: a task woken and a write made for every message of every socket. So the write half of a
//! connection is shared. The library writes its bytes through it as before ([`Wire::poll_write`]); beside it, whoever has
//! something for many makes a frame of it once ([`Frame`]), joins those that go to the same ([`Piece`]), and lets every
//! wire have them ([`Wire::push`]). They wait there and leave together in one write, made by whoever holds the [`Pen`], with
//! those to other wires in one call where the system takes several ([`Volley`]), or with the library's next write, whichever
//! comes first.
//!
//! What the library writes is looked through byte by byte ([`weave::Weave`]), because a frame of ours may leave only
//! between two of its own, after the answer that made the connection a websocket and after the greeting of the namespace
//! it belongs to, and never after a leave. The answer that makes a websocket of a session that begins waits for the word the
//! library says next by itself: a write fewer for everybody who comes.
//!
//! Invariants: the client sees whole frames; ours in the order they were pushed; a frame the library writes comes after
//! all that was pushed before it. A wire holds at most as many frames as it is told when one is pushed: then it is full,
//! and whoever pushed decides what becomes of it. A client that takes nothing for too long is cut.
//!
//! Polling clients have no wire of this kind, nor those who began by polling: theirs is the library's path.

mod flush;
mod frame;
#[cfg(test)]
mod tests;
pub mod weave;

pub use flush::{Flusher, Pen};
pub use frame::{Frame, Piece};

use scorecast_volley::Volley;
use std::io::{Error, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::tcp::OwnedWriteHalf;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weave::{Flow, Namespace, Weave};

/// The write half of a connection.
#[derive(Debug)]
pub struct Wire {
    half: OwnedWriteHalf,
    weave: Mutex<Weave>,
    /// Makes everything fail; also said to whoever reads.
    killed: CancellationToken,
    /// How long a client may take nothing.
    patience: Duration,
    /// Whether its client took nothing for that long.
    stalled: AtomicBool,
    tasks: TaskTracker,
}

/// What became of what was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, and the [`Flusher`] knows of it already.
    Waits,
    /// It waits, and the [`Flusher`] is to be told.
    First,
    /// There was no room.
    Full,
    /// Nothing leaves any more.
    Closed,
}

impl Wire {
    /// Nothing has been written yet.
    #[must_use]
    pub fn new(half: OwnedWriteHalf, killed: CancellationToken, patience: Duration, tasks: TaskTracker) -> Self {
        Self { half, weave: Mutex::default(), killed, patience, stalled: AtomicBool::new(false), tasks }
    }

    fn weave(&self) -> MutexGuard<'_, Weave> {
        self.weave.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response that is written next makes it a websocket. If the library speaks at once after it (`is_followed`),
    /// whatever the client does, both leave in one write.
    pub fn upgrades(&self, is_followed: bool) {
        self.weave().upgrades(is_followed);
    }

    /// A namespace was greeted by the library: what is pushed from now on comes after that.
    pub fn comes_after_greeting(&self, namespace: Namespace) {
        self.weave().expect(namespace);
    }

    /// Lets pieces wait, all or none, unless their frames would be more than `max` with those that do.
    pub fn push(&self, pieces: &[Piece], max: usize) -> Pushed {
        self.weave().push(pieces, max)
    }

    /// Puts a piece in the stead of all that waits and has not begun to leave.
    pub fn replace(&self, piece: Piece) -> Pushed {
        self.weave().replace(piece)
    }

    /// Bytes of ours that have left in all: as long as it grows, the client reads.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.weave().left()
    }

    /// How many frames wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.weave().waiting()
    }

    /// In how many pieces.
    #[cfg(test)]
    pub fn pieces(&self) -> usize {
        self.weave().pieces()
    }

    /// Writes what waits, as far as the client takes it; the rest follows as soon as it takes more.
    pub fn flush(self: &Arc<Self>) {
        let mut weave = self.weave();
        if !weave.is_followed_up() {
            self.write_out(&mut weave, None);
        }
    }

    /// The same for those the flusher knew of, which is to be told again of what is pushed from now on. What leaves in one
    /// slice goes in one call with the others; nobody else writes to these wires meanwhile, so none may be there twice.
    fn flush_known(wires: &[Arc<Self>], volley: &mut Volley) {
        let mut due = Vec::with_capacity(wires.len());
        for wire in wires {
            let mut weave = wire.weave();
            weave.begin_flush();
            if weave.is_followed_up() {
                continue;
            }
            if volley.room() > 1 && weave.next().is_some() {
                due.push((wire, weave));
            } else {
                wire.write_out(&mut weave, None);
            }
        }
        let writes = due.iter().filter_map(|(wire, weave)| Some((wire.half.as_ref().as_fd(), weave.next()?)));
        let written = volley.send(&writes.collect::<Vec<_>>());
        for ((wire, mut weave), first) in due.into_iter().zip(written) {
            wire.write_out(&mut weave, Some(first));
        }
    }

    /// Writes what waits; of the first write it may be known what became of it.
    fn write_out(self: &Arc<Self>, weave: &mut Weave, mut first: Option<Result<usize, Error>>) {
        let flow = weave.drain(|slices| first.take().unwrap_or_else(|| self.send(slices)));
        self.see_to(weave, flow);
    }

    /// Straight to the socket: what the runtime knows of its readiness is only needed once it takes no more.
    fn send(&self, slices: &[IoSlice<'_>]) -> Result<usize, Error> {
        let socket = socket2::SockRef::from(self.half.as_ref());
        match slices {
            [one] => socket.send(one),
            several => socket.send_vectored(several),
        }
    }

    /// Has the rest follow, where there is one.
    fn see_to(self: &Arc<Self>, weave: &mut Weave, flow: Result<Flow, Error>) {
        match flow {
            Ok(Flow::Empty | Flow::Held) => {}
            Ok(Flow::Blocked) => {
                if weave.begin_waiting() {
                    self.tasks.spawn(follow_up(Arc::clone(self)));
                }
            }
            Err(_broken) => self.break_off(weave),
        }
    }

    /// Nothing can be written any more: whoever reads is told so too, or nobody would end it.
    fn break_off(&self, weave: &mut Weave) {
        self.killed.cancel();
        weave.close();
        self.shut(Shutdown::Both);
    }

    /// Writes bytes of the library, after all that waits.
    ///
    /// # Errors
    /// When the connection is broken, or was cut.
    pub fn poll_write(self: &Arc<Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<Result<usize, Error>> {
        loop {
            if self.killed.is_cancelled() {
                return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
            }
            ready!(self.half.as_ref().poll_write_ready(cx))?;
            let mut weave = self.weave();
            let written = weave.write(bytes, |slices| self.half.try_write_vectored(slices));
            match written {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    // What came while the library was within a frame of its own.
                    let flow = weave.drain(|slices| self.half.try_write_vectored(slices));
                    self.see_to(&mut weave, flow);
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Nothing leaves any more, and the client is told so.
    pub fn close(&self) {
        self.weave().close();
        self.shut(Shutdown::Write);
    }

    /// Makes reading and writing fail at once, for all who do either.
    pub fn kill(&self) {
        self.break_off(&mut self.weave());
    }

    /// Cuts a client that took nothing for too long.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
        self.kill();
    }

    /// Whether that is why it was cut.
    #[must_use]
    pub fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    fn shut(&self, how: Shutdown) {
        // It may have been shut by the other side.
        let _shut = socket2::SockRef::from(self.half.as_ref()).shutdown(how);
    }
}

/// Writes what a client did not take at once, as it takes it.
async fn follow_up(wire: Arc<Wire>) {
    loop {
        let writable = tokio::time::timeout(wire.patience, wire.half.writable());
        let writable = tokio::select! {
            () = wire.killed.cancelled() => return,
            writable = writable => writable,
        };
        if writable.is_err() {
            return wire.stall();
        }
        let mut weave = wire.weave();
        match weave.drain(|slices| wire.half.try_write_vectored(slices)) {
            Ok(Flow::Blocked) => {}
            Ok(Flow::Empty | Flow::Held) => return weave.end_waiting(),
            Err(_broken) => return wire.break_off(&mut weave),
        }
    }
}
