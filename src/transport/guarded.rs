//! The stream under every connection: who does not read for too long is cut, and who has to go is cut at once, whatever
//! runs over the stream. The libraries do neither: a task that waits for a stuck writer waits for ever.

use super::connection::{Connection, Cut, Place};
use std::io::{Error, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// A stream with a deadline for each write, and a switch.
#[derive(Debug)]
pub struct Guarded {
    stream: TcpStream,
    place: Place,
    write_timeout: Duration,
    /// One for each half: reader and writer may be two tasks.
    hung_up: Pin<Box<WaitForCancellationFutureOwned>>,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while the client takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// Guards a stream.
    #[must_use]
    pub fn new(stream: TcpStream, place: Place, write_timeout: Duration) -> Self {
        let hung_up = Box::pin(place.connection.hung_up().clone().cancelled_owned());
        let killed = Box::pin(place.connection.killed().clone().cancelled_owned());
        Self { stream, place, write_timeout, hung_up, killed, stuck: None }
    }

    /// The connection it carries.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.place.connection
    }

    fn is_killed(&mut self, cx: &mut Context<'_>) -> bool {
        self.killed.as_mut().poll(cx).is_ready()
    }

    /// What a write came to, unless it has waited too long.
    fn in_time(&mut self, cx: &mut Context<'_>, written: Poll<Result<usize, Error>>) -> Poll<Result<usize, Error>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let timeout = self.write_timeout;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if stuck.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // Its reader has to know, too.
        self.place.cut(Cut::Stalled);
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

fn cut() -> Error {
    ErrorKind::ConnectionAborted.into()
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<(), Error>> {
        if self.hung_up.as_mut().poll(cx).is_ready() {
            let killed = self.place.connection.killed().is_cancelled();
            return Poll::Ready(if killed { Err(cut()) } else { Ok(()) });
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        if self.is_killed(cx) {
            return Poll::Ready(Err(cut()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        if self.is_killed(cx) {
            return Poll::Ready(Err(cut()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.place.connection.killed().is_cancelled() {
            // What the client did not take is not kept for it.
            let _already_closed = self.stream.set_zero_linger();
        }
    }
}
