//! Who writes what waits on the wires.

use super::{Piece, Pushed, Wire};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{MutexGuard, Notify};

/// Wires written to in one go before others on this thread have their turn.
const STINT: usize = 512;

/// Knows the wires on which something waits.
#[derive(Clone, Debug, Default)]
pub struct Flusher(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    dirty: Mutex<Vec<Arc<Wire>>>,
    wake: Notify,
    /// Those that are written to now.
    pen: tokio::sync::Mutex<VecDeque<Arc<Wire>>>,
}

/// Whoever has it writes what waits on the wires; nobody else does meanwhile, but the library, its own. So what is pushed
/// until then leaves together, and whoever pushes much and writes now and then pushes no more than clients take.
pub struct Pen<'a> {
    of: &'a Inner,
    wires: MutexGuard<'a, VecDeque<Arc<Wire>>>,
}

impl Flusher {
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
        Pen { of: &self.0, wires: self.0.pen.lock().await }
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
        // Where somebody was ended amid it, the rest is still here.
        self.wires.extend(self.of.dirty.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
        let mut done = 0;
        while let Some(wire) = self.wires.pop_front() {
            wire.flush();
            done += 1;
            if done % STINT == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}
