//! How a socket is made to go. The dispatcher says that it must; whoever serves its connection cuts it. Kept beside the
//! socket, so that both find it.

use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Whether a socket has to go, and how fast.
#[derive(Clone, Debug, Default)]
pub struct Departure(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: CancellationToken,
    due: CancellationToken,
}

impl Departure {
    /// It has to go, but may still read what was said last.
    pub fn soon(&self) {
        self.0.begun.cancel();
    }

    /// It has to go at once: it has missed something, and must not see what came after that.
    pub fn at_once(&self) {
        self.0.due.cancel();
        self.0.begun.cancel();
    }

    /// Whether it has to go at all.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.begun.is_cancelled()
    }

    /// Waits until it has to go.
    pub async fn begun(&self) {
        self.0.begun.cancelled().await;
    }

    /// Waits until its connection is to be cut: after `grace`, or as soon as it has to go at once.
    pub async fn due(&self, grace: Duration) {
        let _earlier = tokio::time::timeout(grace, self.0.due.cancelled()).await;
    }
}
