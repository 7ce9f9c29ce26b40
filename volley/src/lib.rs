//! Small writes to many sockets, made in one system call where the system lets us.
//!
//! A message for a thousand is a thousand writes, and most of what they cost is the kernel's. Linux takes many at once
//! (`io_uring`), which spares the way in and out for each. Where that is switched off, forbidden, as containers often
//! have it, or unknown, each write is a call of its own: what becomes of it is the same.
//!
//! Invariants: no write waits; of what is lent nothing is looked at after [`Volley::send`] has come back.

#[cfg_attr(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))), path = "no_ring.rs")]
mod ring;
#[cfg(test)]
mod tests;

use ring::Ring;
use std::io::{Error, Result};
use std::os::fd::BorrowedFd;

/// A write: the socket, and what it is to be given.
pub type Write<'a> = (BorrowedFd<'a>, &'a [u8]);

/// Makes writes.
#[derive(Debug)]
pub struct Volley {
    ring: Option<Ring>,
    lost: Option<Error>,
}

impl Volley {
    /// Every write is a call of its own.
    #[must_use]
    pub fn one_by_one() -> Self {
        Self { ring: None, lost: None }
    }

    /// As many writes as there is room for are one call.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn together() -> Result<Self> {
        Ok(Self { ring: Some(Ring::new()?), lost: None })
    }

    /// How many writes are made in one call.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.ring.is_some() { Ring::ROOM } else { 1 }
    }

    /// Why every write is a call of its own from now on, said once, if the system lets us no longer.
    pub fn lost(&mut self) -> Option<Error> {
        self.lost.take()
    }

    /// Makes these writes, none of which waits, and says for each how many bytes the socket took. The sockets are such as
    /// never wait (`O_NONBLOCK`).
    pub fn send(&mut self, writes: &[Write<'_>]) -> Vec<Result<usize>> {
        let mut became: Vec<Option<Result<usize>>> = writes.iter().map(|_| None).collect();
        for (some, became) in writes.chunks(Ring::ROOM).zip(became.chunks_mut(Ring::ROOM)) {
            // One alone is cheaper without.
            let Some(ring) = self.ring.as_mut().filter(|_| some.len() > 1) else { break };
            if let Err(error) = ring.send(some, became) {
                (self.ring, self.lost) = (None, Some(error));
            }
        }
        writes.iter().zip(became).map(|(write, said)| said.unwrap_or_else(|| alone(write))).collect()
    }
}

fn alone((socket, bytes): &Write<'_>) -> Result<usize> {
    socket2::SockRef::from(socket).send(bytes)
}
