//! What one client has asked for and not been answered yet.
//!
//! Invariants: nothing waits for a socket that has left (what waits holds the socket, and would for ever); no more than
//! a number of events and of bytes waits; they come out in their order, one after the other, none before the socket was
//! greeted. Once it was, there is a worker if and only if there is work, because a thousand quiet clients must not cost a
//! thousand workers.

use super::socket::Answer;
use crate::events::room::Lane;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of the events that may wait for one socket.
const QUEUED_BYTES_MAX: usize = 1 << 20;

/// An event on its way to the socket's worker. It waits as text: parsed, a hostile one takes a hundred times its size.
pub(super) struct Incoming {
    /// Its name.
    pub(super) event: String,
    /// Its first argument.
    pub(super) payload: String,
    /// Where its answer goes.
    pub(super) answer: Answer,
    /// Of what was asked for before the greeting, the lanes the socket was told of in it, and where they stood: later facts
    /// come live.
    pub(super) greeted_at: Vec<(Lane, i64)>,
}

/// Where the events of a socket wait for its worker. Kept beside the socket.
#[derive(Clone)]
pub(super) struct Line(Arc<Inner>);

struct Inner {
    max: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Incoming>,
    /// Of those that wait, and of the one that is worked on.
    bytes: usize,
    worked_on: usize,
    is_greeted: bool,
    has_worker: bool,
    is_closed: bool,
}

impl Queue {
    /// Whether a worker has to begin; if so, it is taken for begun.
    fn takes_on_worker(&mut self) -> bool {
        self.is_greeted && !self.waiting.is_empty() && !std::mem::replace(&mut self.has_worker, true)
    }
}

impl Line {
    /// Nothing waits; `max` events may.
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max: max.max(1), queue: Mutex::default() }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an event wait, unless the socket has left. Whether a worker has to begin.
    ///
    /// # Errors
    /// The event itself when there is no room for it.
    pub(super) fn push(&self, incoming: Incoming) -> Result<bool, Incoming> {
        let mut queue = self.queue();
        if queue.is_closed {
            return Ok(false);
        }
        let bytes = queue.bytes + incoming.payload.len();
        if queue.waiting.len() >= self.0.max || bytes > QUEUED_BYTES_MAX {
            return Err(incoming);
        }
        queue.bytes = bytes;
        queue.waiting.push_back(incoming);
        Ok(queue.takes_on_worker())
    }

    /// The socket was greeted. `first` comes before all that waits, and is let in beyond both bounds: one event more, and
    /// at most a frame's bytes. Whether a worker has to begin.
    pub(super) fn greeted(&self, first: Option<Incoming>) -> bool {
        let mut queue = self.queue();
        if queue.is_closed {
            return false;
        }
        queue.is_greeted = true;
        if let Some(first) = first {
            queue.bytes += first.payload.len();
            queue.waiting.push_front(first);
        }
        queue.takes_on_worker()
    }

    /// Nothing waits any more, now and later.
    pub(super) fn close(&self) {
        let before = std::mem::replace(&mut *self.queue(), Queue { is_closed: true, ..Queue::default() });
        // Outside the lock: with an event its socket may go.
        drop(before);
    }

    /// The next event, once the worker is done with the one before; none if it may end.
    pub(super) fn next(&self) -> Option<Incoming> {
        let mut queue = self.queue();
        queue.bytes -= queue.worked_on;
        let next = queue.waiting.pop_front();
        if let Some(next) = &next {
            queue.worked_on = next.payload.len();
        } else {
            let Queue { is_greeted, is_closed, .. } = *queue;
            *queue = Queue { is_greeted, is_closed, ..Queue::default() };
        }
        next
    }
}
