//! Sockets that are sent to, and the rooms they stand in. Ours, not the library's: a message is made once and goes over the
//! wires of all it is for, and whoever has no room for it is known by name.
//!
//! Invariant: of what is sent under one number, each listener gets one message at most, whatever rooms it stands in.

use super::departure::Departure;
use crate::wire::weave::Namespace;
use crate::wire::{Flusher, Frame, Piece, Pushed, Wire};
use indexmap::IndexMap;
use serde::Serialize;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::{SendError, SocketError};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How a socket is reached. Kept beside it.
#[derive(Debug)]
pub struct Carrier {
    number: u64,
    namespace: Namespace,
    /// The wire of its connection; none where the library serves it alone, because it polls or began by polling.
    wire: Option<Weak<Wire>>,
    departure: Departure,
    /// Whether nothing more may be sent to it; here, because it is asked before everything that is.
    is_cut: AtomicBool,
    since: Instant,
    served: AtomicU64,
    left_out: AtomicU64,
    /// Where it stands in a [`Round`], if it does.
    slot: AtomicUsize,
}

/// A socket that is sent to.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The library's part of it.
    pub socket: SocketRef,
    carrier: Arc<Carrier>,
}

/// What an event was asked with, where its client waits for an answer.
pub struct Ack {
    /// The number its client gave it.
    pub id: i64,
    /// The library's way to answer.
    pub sender: AckSender,
}

/// What became of a message to one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Gone,
    /// There was no room.
    Full,
    /// The socket is on its way out, or has left.
    Nobody,
}

/// How a socket is reached now.
enum Way {
    Library,
    Wire(Arc<Wire>),
    /// Its connection has ended.
    Gone,
}

impl Carrier {
    /// How a new socket of a namespace is reached over `wire`, if it has one.
    fn new(namespace: Namespace, wire: Option<Weak<Wire>>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            namespace,
            wire,
            departure: Departure::default(),
            is_cut: AtomicBool::new(false),
            since: Instant::now(),
            served: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            slot: AtomicUsize::new(0),
        }
    }
}

fn library<T: Serialize>(socket: &SocketRef, event: &'static str, arguments: &T) -> Sent {
    #[expect(clippy::disallowed_methods, reason = "who speaks through the library is told by it, and only from here")]
    match socket.emit(event, arguments) {
        Ok(()) => Sent::Gone,
        Err(SendError::Socket(SocketError::InternalChannelFull)) => Sent::Full,
        Err(SendError::Socket(SocketError::Closed)) => Sent::Nobody,
        Err(SendError::Serialize(error)) => unwritable(event, &error),
    }
}

/// A view is plain data and can be written; were one ever not, the server goes on.
fn unwritable(what: &str, error: &dyn std::fmt::Display) -> Sent {
    tracing::error!(what, %error, "a message could not be written");
    Sent::Nobody
}

impl Listener {
    /// The listener a socket is; none if it was not admitted.
    #[must_use]
    pub fn of(socket: &SocketRef) -> Option<Self> {
        let carrier = socket.extensions.get::<Arc<Carrier>>()?;
        Some(Self { socket: socket.clone(), carrier })
    }

    /// Makes a listener of a socket that is about to be greeted by the library: what is sent to it comes after that.
    #[must_use]
    pub fn new(socket: SocketRef, namespace: Namespace, wire: Option<Weak<Wire>>) -> Self {
        let carrier = Arc::new(Carrier::new(namespace, wire));
        socket.extensions.insert(Arc::clone(&carrier));
        Self { socket, carrier }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.carrier.number
    }

    /// How it goes.
    #[must_use]
    pub fn departure(&self) -> &Departure {
        &self.carrier.departure
    }

    /// Has it go at once, and nothing more sent to it: it has missed something, and must not see what came after that.
    /// False if that was said before.
    pub fn cut(&self) -> bool {
        if self.carrier.is_cut.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.carrier.departure.at_once();
        true
    }

    fn is_cut(&self) -> bool {
        self.carrier.is_cut.load(Ordering::Relaxed)
    }

    fn way(&self) -> Way {
        match self.carrier.wire.as_ref().map(Weak::upgrade) {
            None => Way::Library,
            Some(Some(wire)) => Way::Wire(wire),
            Some(None) => Way::Gone,
        }
    }

    /// For how long it has been there.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.carrier.since.elapsed()
    }

    /// The word for its plane in metrics.
    #[must_use]
    pub fn plane(&self) -> &'static str {
        match self.carrier.namespace {
            Namespace::Scoring => "scoring",
            Namespace::Live => "live",
        }
    }

    /// It is let in, so the library is about to greet it: what is sent from now on comes after that.
    pub fn awaits_greeting(&self) {
        if let Way::Wire(wire) = self.way() {
            wire.comes_after_greeting(self.carrier.namespace);
        }
    }

    /// Whether it has left.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.carrier.departure.left().is_cancelled()
    }

    /// Whether it has left, or has to go.
    fn is_going(&self) -> bool {
        self.has_left() || self.carrier.departure.has_begun()
    }

    /// Sends it something. `max` messages may wait for it.
    pub fn send<T: Serialize>(&self, event: &'static str, arguments: &T, flusher: &Flusher, max: usize) -> Sent {
        if self.is_going() {
            return Sent::Nobody;
        }
        match self.way() {
            Way::Library => library(&self.socket, event, arguments),
            Way::Gone => Sent::Nobody,
            Way::Wire(wire) => match Frame::event(self.carrier.namespace, event, arguments) {
                Ok(frame) => flusher.push(wire, &[frame.into()], max).into(),
                Err(error) => unwritable(event, &error),
            },
        }
    }

    /// Answers it.
    pub fn answer(&self, ack: Ack, said: &impl Serialize, flusher: &Flusher, max: usize) -> Sent {
        if self.is_going() {
            return Sent::Nobody;
        }
        match self.way() {
            Way::Library => match ack.sender.send(said) {
                Err(SendError::Socket(SocketError::InternalChannelFull)) => Sent::Full,
                Ok(()) | Err(_) => Sent::Gone,
            },
            Way::Gone => Sent::Nobody,
            Way::Wire(wire) => match Frame::answer(self.carrier.namespace, ack.id, said) {
                Ok(frame) => flusher.push(wire, &[frame.into()], max).into(),
                Err(error) => unwritable("an answer", &error),
            },
        }
    }
}

impl From<Pushed> for Sent {
    fn from(pushed: Pushed) -> Self {
        match pushed {
            Pushed::First | Pushed::Waits => Self::Gone,
            Pushed::Full => Self::Full,
            Pushed::Closed => Self::Nobody,
        }
    }
}

/// Who stands where.
#[derive(Debug)]
pub struct Rooms<R> {
    listeners: HashMap<R, IndexMap<u64, Listener>>,
    /// The last number something was sent under.
    number: AtomicU64,
}

impl<R> Default for Rooms<R> {
    fn default() -> Self {
        Self { listeners: HashMap::new(), number: AtomicU64::new(0) }
    }
}

impl<R: Clone + Eq + Hash> Rooms<R> {
    /// Lets a listener into rooms.
    pub fn enter<'a>(&mut self, rooms: impl IntoIterator<Item = &'a R>, listener: &Listener)
    where
        R: 'a,
    {
        for room in rooms {
            self.listeners.entry(room.clone()).or_default().insert(listener.number(), listener.clone());
        }
    }

    /// Lets it out of rooms.
    pub fn leave<'a>(&mut self, rooms: impl IntoIterator<Item = &'a R>, number: u64)
    where
        R: 'a,
    {
        for room in rooms {
            if let Some(listeners) = self.listeners.get_mut(room) {
                listeners.swap_remove(&number);
                if listeners.is_empty() {
                    self.listeners.remove(room);
                }
            }
        }
    }

    /// Lets out of all rooms whoever is not to be kept.
    pub fn retain(&mut self, keeps: impl Fn(&Listener) -> bool) {
        self.listeners.retain(|_, listeners| {
            listeners.retain(|_, listener| keeps(listener));
            !listeners.is_empty()
        });
    }

    /// A number under which each listener gets one message at most.
    pub fn begin(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether anybody stands in one of these.
    pub fn is_anybody_in(&self, rooms: &[R]) -> bool {
        rooms.iter().any(|room| self.listeners.contains_key(room))
    }

    fn within<'a>(&'a self, rooms: &[R]) -> impl Iterator<Item = &'a Listener> {
        rooms.iter().filter_map(|room| self.listeners.get(room)).flat_map(IndexMap::values)
    }

    /// Begins to gather messages for those who stand here.
    pub fn round(&self) -> Round<'_, R> {
        Round { rooms: self, events: Vec::new(), frames: Vec::new(), shares: Vec::new() }
    }
}

/// Messages that leave together: for whom each is, until all are pushed at once. Those that go to the same are joined for
/// them, so that several cost them little more than one. Who speaks through the library gets each at once. Whoever begins a
/// round has the turn until it is pushed: there are never two.
#[derive(Debug)]
#[must_use = "nothing is sent over a wire until it is pushed"]
pub struct Round<'a, R> {
    rooms: &'a Rooms<R>,
    events: Vec<Outcome>,
    /// What goes over wires, and as which of the events.
    frames: Vec<(Frame, usize)>,
    shares: Vec<Share<'a>>,
}

/// What became of a message to several.
#[derive(Debug)]
pub struct Outcome {
    /// The event.
    pub event: &'static str,
    /// Whether somebody had no room for it.
    pub is_dropped: bool,
}

/// What a listener is to get of a round: a bit for each frame.
#[derive(Debug)]
struct Share<'a> {
    listener: &'a Listener,
    frames: u128,
}

impl Share<'_> {
    /// The numbers of the frames.
    fn numbers(&self) -> impl Iterator<Item = usize> {
        let frames = self.frames;
        (0..u128::BITS as usize).filter(move |number| frames & (1 << number) != 0)
    }
}

impl<'a, R: Clone + Eq + Hash> Round<'a, R> {
    /// Whether it has to be pushed before anything more is put to it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.frames.len() == u128::BITS as usize
    }

    /// Puts a message to it, for whoever stands in one of `rooms` and in none of `except`, and has got nothing under
    /// `number` yet. Gives back who is reached by the library and had no room.
    pub fn put<T: Serialize>(
        &mut self,
        (rooms, except): (&[R], &[R]),
        number: u64,
        (event, arguments): (&'static str, &T),
    ) -> Vec<Listener> {
        assert!(!self.is_full(), "a frame more than there are bits");
        let left_out = self.rooms.begin();
        for listener in self.rooms.within(except) {
            listener.carrier.left_out.store(left_out, Ordering::Relaxed);
        }
        let mut full = Vec::new();
        // Made when the first wire needs it.
        let mut frame: Option<Option<usize>> = None;
        for listener in self.rooms.within(rooms) {
            let carrier = &listener.carrier;
            if carrier.left_out.load(Ordering::Relaxed) == left_out || carrier.served.load(Ordering::Relaxed) == number
            {
                continue;
            }
            carrier.served.store(number, Ordering::Relaxed);
            if carrier.wire.is_none() {
                if !listener.is_cut() && library(&listener.socket, event, arguments) == Sent::Full {
                    full.push(listener.clone());
                }
                continue;
            }
            let frame = frame.get_or_insert_with(|| match Frame::event(carrier.namespace, event, arguments) {
                Ok(frame) => {
                    self.frames.push((frame, self.events.len()));
                    Some(self.frames.len() - 1)
                }
                Err(error) => {
                    unwritable(event, &error);
                    None
                }
            });
            if let Some(frame) = *frame {
                self.give(listener, frame);
            }
        }
        self.events.push(Outcome { event, is_dropped: !full.is_empty() });
        full
    }

    /// Gives a listener a frame, when all are pushed.
    fn give(&mut self, listener: &'a Listener, frame: usize) {
        // Where it stood in an earlier round, another may stand now.
        let slot = &listener.carrier.slot;
        match self.shares.get_mut(slot.load(Ordering::Relaxed)) {
            Some(share) if Arc::ptr_eq(&share.listener.carrier, &listener.carrier) => share.frames |= 1 << frame,
            _ => {
                slot.store(self.shares.len(), Ordering::Relaxed);
                self.shares.push(Share { listener, frames: 1 << frame });
            }
        }
    }

    /// Pushes what was put to it: all that a listener is to get, or nothing, so that no more than `max` messages wait for
    /// it. Says what became of it, and who had no room.
    pub fn push(&mut self, flusher: &Flusher, max: usize) -> (Vec<Outcome>, Vec<Listener>) {
        let (mut events, mut full) = (std::mem::take(&mut self.events), Vec::new());
        let (frames, mut shares) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.shares));
        shares.sort_by_key(|share| share.frames);
        for alike in shares.chunk_by(|one, other| one.frames == other.frames) {
            let pieces = alike[0].numbers().map(|number| frames[number].0.clone().into()).collect();
            let pieces = Piece::together(pieces, alike.len());
            for Share { listener, .. } in alike {
                let Way::Wire(wire) = listener.way() else { continue };
                if listener.is_cut() || flusher.push(wire, &pieces, max) != Pushed::Full {
                    continue;
                }
                full.push((*listener).clone());
                for number in alike[0].numbers() {
                    events[frames[number].1].is_dropped = true;
                }
            }
        }
        (events, full)
    }
}
