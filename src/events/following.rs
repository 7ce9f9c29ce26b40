//! What a socket of the public follows. Kept beside the socket, and counted for as long as it is there.
//!
//! Invariant: the dispatcher has the socket in these rooms and in no others.

use super::room::LiveRoom;
use crate::error::Refusal;
use crate::metrics::{Counted, Metrics};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Rooms one socket may be in.
pub const ROOMS_MAX: usize = 100;

/// The rooms of a socket.
#[derive(Clone, Debug)]
pub struct Following(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rooms: Mutex<HashMap<LiveRoom, Arc<Counted>>>,
    // The library drops a socket whose connection ended while it came, and tells nobody.
    _with_the_socket: DropGuard,
}

impl Following {
    /// Nothing yet; `gone` is cancelled with the socket at the latest.
    #[must_use]
    pub fn new(gone: &CancellationToken) -> Self {
        Self(Arc::new(Inner { rooms: Mutex::default(), _with_the_socket: gone.clone().drop_guard() }))
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<LiveRoom, Arc<Counted>>> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes rooms the socket is let into.
    ///
    /// # Errors
    /// `TOO_LARGE` when it would be in too many.
    pub fn enter(&self, entered: &[LiveRoom], metrics: &Metrics) -> Result<(), Refusal> {
        let mut rooms = self.rooms();
        let more = entered.iter().filter(|room| !rooms.contains_key(room)).count();
        if rooms.len() + more > ROOMS_MAX {
            return Err(Refusal::TooLarge { what: "rooms", max: ROOMS_MAX });
        }
        for room in entered {
            let gauge = || metrics.room_members.with_label_values(&[room.kind()]);
            rooms.entry(room.clone()).or_insert_with(|| Counted::one(gauge()));
        }
        Ok(())
    }

    /// Notes rooms it has left.
    pub fn leave(&self, left: &[LiveRoom]) {
        let mut rooms = self.rooms();
        for room in left {
            rooms.remove(room);
        }
    }

    /// Notes that it has left all of them, and says which they were.
    pub fn leave_all(&self) -> Vec<LiveRoom> {
        self.rooms().drain().map(|(room, _counted)| room).collect()
    }
}
