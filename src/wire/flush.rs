//! Who writes what waits on the wires.

use super::{Frame, Pushed, Wire};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Wires written to in one go before others on this thread have their turn.
const STINT: usize = 32;

/// Knows the wires on which something waits.
#[derive(Clone, Debug, Default)]
pub struct Flusher(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    dirty: Mutex<Vec<Arc<Wire>>>,
    wake: Notify,
}

impl Flusher {
    /// Lets a frame wait on a wire, and sees to it that it leaves. More frames may join it until then.
    pub fn push(&self, wire: Arc<Wire>, frame: &Frame, max: usize) -> Pushed {
        let pushed = wire.push(frame, max);
        self.note(wire, pushed);
        pushed
    }

    /// The same for one that takes the place of all that waits.
    pub fn replace(&self, wire: Arc<Wire>, frame: &Frame) {
        let pushed = wire.replace(frame);
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

    /// Writes what waits, for as long as it is let.
    pub async fn run(self) {
        let mut taken = Vec::new();
        loop {
            self.0.wake.notified().await;
            // Whoever pushed may have more: it leaves with this.
            tokio::task::yield_now().await;
            std::mem::swap(&mut taken, &mut *self.0.dirty.lock().unwrap_or_else(PoisonError::into_inner));
            for (done, wire) in taken.drain(..).enumerate() {
                wire.flush();
                if done % STINT == STINT - 1 {
                    // What comes meanwhile leaves with the rest.
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}
