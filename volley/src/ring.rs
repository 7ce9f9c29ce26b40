//! Many writes in one call: Linux's `io_uring`.

use super::Write;
use io_uring::{IoUring, Probe, opcode, types};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd;

/// Writes are laid into it, and what became of them is taken out of it.
///
/// Invariant: between two calls it is empty.
pub struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    /// Writes in one call. More would spare little more, and whoever has lent something would wait for it longer.
    pub const ROOM: usize = 512;

    /// One that is empty.
    ///
    /// # Errors
    /// When the system has none, forbids it or cannot send with it (before Linux 5.6).
    #[expect(clippy::cast_possible_truncation, reason = "it is a small constant")]
    pub fn new() -> Result<Self> {
        let ring = IoUring::new(Self::ROOM as u32)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if probe.is_supported(opcode::Send::CODE) { Ok(Self(ring)) } else { Err(ErrorKind::Unsupported.into()) }
    }

    /// Makes these writes, [`Self::ROOM`] at most, and notes what became of each.
    ///
    /// # Errors
    /// When the system takes no more: what is not noted was not made, and the ring is of no use any more.
    pub fn send(&mut self, writes: &[Write<'_>], became: &mut [Option<Result<usize>>]) -> Result<()> {
        assert!(writes.len() <= Self::ROOM && writes.len() == became.len(), "more than there is room for");
        let mut queue = self.0.submission();
        assert!(queue.is_empty(), "nothing is left in it between two calls");
        for (number, (socket, bytes)) in (0..).zip(writes) {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let entry = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), length)
                // Never waits: it has come back when the call that hands it over has.
                .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                .build()
                .user_data(number);
            // SAFETY: socket and bytes are lent until this function has come back, and it does not before all that the
            // kernel took is done. Nothing fails on the way: by the checks above there is room for each, and a place to note
            // what became of it. What the kernel did not take is dropped with the ring.
            #[expect(unsafe_code, reason = "memory is lent to the kernel")]
            unsafe { queue.push(&entry) }.expect("it was empty, and there is room");
        }
        drop(queue);
        self.carry_out(writes.len(), became)
    }

    fn carry_out(&mut self, mut open: usize, became: &mut [Option<Result<usize>>]) -> Result<()> {
        while open > 0 {
            let taken = self.0.submit_and_wait(open);
            for done in self.0.completion() {
                let number = usize::try_from(done.user_data()).expect("a number of a write");
                let count = usize::try_from(done.result());
                became[number] = Some(count.map_err(|_negative| Error::from_raw_os_error(-done.result())));
                open -= 1;
            }
            match taken {
                Ok(_) => {}
                Err(interrupted) if interrupted.kind() == ErrorKind::Interrupted => {}
                Err(error) if open == self.0.submission().len() => return Err(error),
                Err(error) => {
                    // It still has what was lent to it, and does not say when it will be done: going on could send what
                    // is no longer ours to send. It never keeps what does not wait.
                    eprintln!("io_uring keeps writes that do not wait: {error}");
                    std::process::abort();
                }
            }
        }
        Ok(())
    }
}
