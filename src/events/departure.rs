//! How a socket goes. The dispatcher says that it must; whoever serves its connection sees it off. Kept beside the socket, so
//! that both find it.
//!
//! Invariant: it is seen off once, as soon as it leaves or has to go, whichever is first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Whether a socket has left, or has to go, and how fast.
#[derive(Clone, Debug, Default)]
pub struct Departure(Arc<Inner>);

/// What is done when a socket goes.
type Usher = Box<dyn FnOnce(Departure) + Send>;

#[derive(Default)]
struct Inner {
    left: CancellationToken,
    begun: CancellationToken,
    due: CancellationToken,
    /// Nothing once it was done. Not a task that waits for it: there would be one for every socket there is.
    usher: Mutex<Option<Usher>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Departure").field("left", &self.left).field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Departure {
    /// This is done when it leaves or has to go: whoever says so waits for it, so it must not wait itself. Said once, before
    /// anybody can know the socket.
    pub fn is_attended_by(&self, usher: impl FnOnce(Self) + Send + 'static) {
        *self.0.usher.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(usher));
    }

    /// It has to go, but may still read what was said last.
    pub fn soon(&self) {
        self.0.begun.cancel();
        self.attend();
    }

    /// It has to go at once: it has missed something, and must not see what came after that.
    pub fn at_once(&self) {
        self.0.due.cancel();
        self.soon();
    }

    /// It has left its namespace: nothing is for it any more, even if its connection stays for others.
    pub fn leaves(&self) {
        self.0.left.cancel();
        self.attend();
    }

    fn attend(&self) {
        let usher = self.0.usher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(usher) = usher {
            usher(self.clone());
        }
    }

    /// Whether it has to go at all.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.begun.is_cancelled()
    }

    /// Is cancelled when it leaves.
    #[must_use]
    pub fn left(&self) -> &CancellationToken {
        &self.0.left
    }

    /// Waits until it leaves or has to go.
    pub async fn begins(&self) {
        tokio::select! {
            () = self.0.left.cancelled() => {}
            () = self.0.begun.cancelled() => {}
        }
    }

    /// Waits until its connection is to be cut: after `grace`, or as soon as it has to go at once.
    pub async fn due(&self, grace: Duration) {
        let _earlier = tokio::time::timeout(grace, self.0.due.cancelled()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Departure;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn who_goes_is_seen_off_once_whatever_is_said_first() {
        let ways: [fn(&Departure); 3] = [Departure::leaves, Departure::soon, Departure::at_once];
        for first in 0..ways.len() {
            let (departure, seen_off) = (Departure::default(), Arc::new(AtomicUsize::new(0)));
            let count = Arc::clone(&seen_off);
            departure.is_attended_by(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(seen_off.load(Ordering::Relaxed), 0);
            for turn in 0..ways.len() {
                ways[(first + turn) % ways.len()](&departure);
                assert_eq!(seen_off.load(Ordering::Relaxed), 1);
            }
            assert!(departure.has_begun() && departure.left().is_cancelled());
            assert_eq!(Arc::strong_count(&seen_off), 1, "what is done is not kept");
        }
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_both() {
        for says in [Departure::leaves, Departure::soon] {
            let departure = Departure::default();
            says(&departure);
            departure.begins().await;
        }
    }
}
