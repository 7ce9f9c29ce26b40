//! The stream under every connection: who does not read for too long is cut, and who has to go is cut at once, whatever
//! runs over the stream. The libraries do neither: a task that waits for a stuck writer waits for ever. What is written
//! goes through a [`Wire`], so that others may write between the library's frames.

use super::connection::{Connection, Cut, Place};
use crate::wire::Wire;
use std::io::{Error, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::TaskTracker;

/// A stream with a deadline for each write, and a switch.
#[derive(Debug)]
pub struct Guarded {
    reader: OwnedReadHalf,
    wire: Arc<Wire>,
    place: Place,
    write_timeout: Duration,
    hung_up: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while the client takes nothing, neither of the library's nor of ours; and what of ours it had taken before.
    stuck: Option<(Pin<Box<Sleep>>, u64)>,
}

impl Guarded {
    /// Guards a stream; what has to wait for a slow client waits among `tasks`.
    #[must_use]
    pub fn new(stream: TcpStream, place: Place, write_timeout: Duration, tasks: TaskTracker) -> Self {
        let (reader, writer) = stream.into_split();
        let connection = &place.connection;
        let wire = Arc::new(Wire::new(writer, connection.killed().clone(), write_timeout, tasks));
        connection.is_carried_by(&wire);
        let hung_up = Box::pin(connection.hung_up().clone().cancelled_owned());
        Self { reader, wire, place, write_timeout, hung_up, stuck: None }
    }

    /// The connection it carries.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.place.connection
    }

    /// What a write came to, unless it has waited too long.
    fn in_time(&mut self, cx: &mut Context<'_>, written: Poll<Result<usize, Error>>) -> Poll<Result<usize, Error>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let (timeout, taken) = (self.write_timeout, self.wire.left());
        loop {
            let (stuck, before) = self.stuck.get_or_insert_with(|| (Box::pin(sleep(timeout)), taken));
            if stuck.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if *before == taken {
                break;
            }
            self.stuck = None;
        }
        // Its reader has to know, too.
        self.wire.stall();
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<(), Error>> {
        if self.hung_up.as_mut().poll(cx).is_ready() {
            let killed = self.place.connection.killed().is_cancelled();
            return Poll::Ready(if killed { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) });
        }
        Pin::new(&mut self.reader).poll_read(cx, into)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        let written = self.wire.poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Nothing of the library's is kept here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.wire.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.wire.has_stalled() {
            self.place.count_cut(Cut::Stalled);
        }
        if self.place.connection.killed().is_cancelled() {
            // What the client did not take is not kept for it.
            let _already_closed = self.reader.as_ref().set_zero_linger();
        } else {
            // The library took its leave; what was said before that has to be out, too.
            self.wire.flush();
        }
        // Whoever still holds the wire to write to it must not hold the connection open.
        self.wire.kill();
    }
}
