//! Who writes what waits on the wires.

use super::{Piece, Pushed, Wire};
use scorecast_volley::Volley;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{MutexGuard, Notify};

/// Wires written to at once, and before others on this thread have their turn.
const STINT: usize = 512;

/// Knows the wires on which something waits.
#[derive(Clone, Debug)]
pub struct Flusher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Each is here or with the pen, and once: whoever has the pen alone says that it may be listed again.
    dirty: Mutex<Vec<Arc<Wire>>>,
    wake: Notify,
    pen: tokio::sync::Mutex<Hand>,
}

/// What the pen is made of.
#[derive(Debug)]
struct Hand {
    /// Those that are written to now.
    wires: VecDeque<Arc<Wire>>,
    volley: Volley,
}

/// Whoever has it writes what waits on the wires; nobody else does meanwhile, but the library, its own. So what is pushed
/// until then leaves together, and whoever pushes much and writes now and then pushes no more than clients take.
pub struct Pen<'a> {
    of: &'a Inner,
    hand: MutexGuard<'a, Hand>,
}

impl Flusher {
    /// Nothing waits yet. `together`: the writes of many wires are one call, if the system lets us.
    #[must_use]
    pub fn new(together: bool) -> Self {
        let volley = if together { Volley::together() } else { Ok(Volley::one_by_one()) };
        let volley = volley.unwrap_or_else(|error| {
            tracing::info!(%error, "the system has no io_uring for us: every message is a call of its own");
            Volley::one_by_one()
        });
        let hand = Hand { wires: VecDeque::new(), volley };
        Self(Arc::new(Inner { dirty: Mutex::default(), wake: Notify::new(), pen: tokio::sync::Mutex::new(hand) }))
    }

    /// Lets pieces wait on a wire, and sees to it that they leave. More may join them until then.
    pub fn push(&self, wire: Arc<Wire>, pieces: &[Piece], max: usize) -> Pushed {
        let pushed = wire.push(pieces, max);
        self.note(wire, pushed);
        pushed
    }

    /// The same for one that takes the place of all that waits.
    pub fn replace(&self, wire: Arc<Wire>, piece: Piece) {
        let pushed = wire.replace(piece);
        self.note(wire, pushed);
    }

    fn note(&self, wire: Arc<Wire>, pushed: Pushed) {
        if pushed == Pushed::First {
            let mut dirty = self.0.dirty.lock().unwrap_or_else(PoisonError::into_inner);
            dirty.push(wire);
            if dirty.len() == 1 {
                self.0.wake.notify_one();
            }
        }
    }

    /// Takes the pen.
    pub async fn pen(&self) -> Pen<'_> {
        Pen { of: &self.0, hand: self.0.pen.lock().await }
    }

    /// Writes what waits, for as long as it is let.
    pub async fn run(self) {
        loop {
            self.0.wake.notified().await;
            // Whoever pushed may have more: it leaves with this.
            tokio::task::yield_now().await;
            self.pen().await.write().await;
        }
    }
}

impl Pen<'_> {
    /// Writes all that waits, as far as clients take it. What comes meanwhile waits for the next time.
    pub async fn write(&mut self) {
        let Hand { wires, volley } = &mut *self.hand;
        // Where somebody was ended amid it, the rest is still here.
        wires.extend(self.of.dirty.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
        while !wires.is_empty() {
            let some: Vec<Arc<Wire>> = wires.drain(..STINT.min(wires.len())).collect();
            Wire::flush_known(&some, volley);
            if let Some(error) = volley.lost() {
                tracing::warn!(%error, "the system has no io_uring for us any more: every message is a call of its own");
            }
            if !wires.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }
}
