//! A bare WebSocket hub, the wall: one thread, a message encoded once, one write for all that waits for a connection,
//! each by itself or many in one call. If it is to be durable, the messages that came together are appended to a file, and
//! nothing leaves before they are on the disk.
//!
//! Not a server to use: a client that does not read is cut, and frames are not checked.

use crate::Gate;
use crate::view::{Submit, View};
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use scorecast_volley::Volley;
use sha1::{Digest, Sha1};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// What is behind a key in the handshake.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The listener among the connections.
const LISTENER: Token = Token(usize::MAX);
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes of frames that may wait for the slowest.
const WAITING_MAX: usize = 4 << 20;

struct Connection {
    stream: TcpStream,
    /// What has been read of a request or frame that is not whole yet.
    rest: Vec<u8>,
    /// What only this one is told: the upgrade, acks.
    own: Vec<u8>,
    /// Up to where it has what everybody is told; none before the upgrade.
    told: Option<u64>,
    /// Whether it has the beginning of a frame whose rest comes before anything of its own.
    amid: bool,
}

struct Hub<'a> {
    gate: &'a Gate,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Frames, as they are written, from `from` on.
    frames: Vec<u8>,
    from: u64,
    version: u64,
    /// How they leave.
    volley: Volley,
    /// Where messages are kept, if they are.
    file: Option<File>,
}

/// Serves until it is ended.
///
/// # Errors
/// When the port is taken, the poll fails or the disk does.
pub fn serve(port: u16, gate: &Gate, volley: Volley, file: Option<File>) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).context("the port is taken")?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (connections, free, frames) = (Vec::new(), Vec::new(), Vec::new());
    let mut hub = Hub { gate, connections, free, frames, from: 0, version: 0, volley, file };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        if let Err(failed) = poll.poll(&mut events, None)
            && failed.kind() != ErrorKind::Interrupted
        {
            return Err(failed.into());
        }
        let before = hub.end();
        for event in &events {
            match event.token() {
                LISTENER => hub.accept(&listener, &poll)?,
                Token(number) => {
                    let open = !event.is_readable() || hub.read(number, &mut buffer);
                    if !(open && (hub.file.is_some() || hub.write(number))) {
                        hub.drop(number);
                    }
                }
            }
        }
        if hub.file.is_some() {
            hub.keep(before)?;
            for event in events.iter().filter(|event| event.token() != LISTENER) {
                if !hub.write(event.token().0) {
                    hub.drop(event.token().0);
                }
            }
        }
        if hub.end() > before {
            hub.tell();
            for number in 0..hub.connections.len() {
                if !hub.write(number) {
                    hub.drop(number);
                }
            }
        }
        hub.forget();
    }
}

impl Hub<'_> {
    fn end(&self) -> u64 {
        self.from + self.frames.len() as u64
    }

    /// Waits until all that came since is on the disk.
    fn keep(&mut self, since: u64) -> anyhow::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let new = &self.frames[usize::try_from(since - self.from)?..];
        if !new.is_empty() {
            file.write_all(new)?;
            file.sync_data()?;
        }
        Ok(())
    }

    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(none) if none.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_gone_again) => continue,
            };
            let _best_effort = stream.set_nodelay(true);
            let number = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
            self.connections[number] =
                Some(Connection { stream, rest: Vec::new(), own: Vec::new(), told: None, amid: false });
        }
    }

    fn drop(&mut self, number: usize) {
        if self.connections[number].take().is_some() {
            self.free.push(number);
        }
    }

    /// Whether the connection is still open.
    fn read(&mut self, number: usize, buffer: &mut [u8]) -> bool {
        loop {
            let Some(connection) = &mut self.connections[number] else { return true };
            let length = match connection.stream.read(buffer) {
                Ok(0) => return false,
                Ok(length) => length,
                Err(empty) if empty.kind() == ErrorKind::WouldBlock => return true,
                Err(_reset) => return false,
            };
            connection.rest.extend_from_slice(&buffer[..length]);
            if !self.take(number) {
                return false;
            }
        }
    }

    fn take(&mut self, number: usize) -> bool {
        let end = self.end();
        let Some(connection) = &mut self.connections[number] else { return true };
        if connection.told.is_none() {
            let Some(head) = connection.rest.windows(4).position(|four| four == b"\r\n\r\n") else { return true };
            let request = String::from_utf8_lossy(&connection.rest[..head]).into_owned();
            connection.rest.drain(..head + 4);
            let value = |name: &str| {
                let mut lines = request.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            };
            let user = value("authorization").and_then(|value| self.gate.admit(value.strip_prefix("Bearer ")?));
            let (Some(_user), Some(key)) = (user, value("sec-websocket-key")) else { return false };
            let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize());
            connection.own.extend_from_slice(
                format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .as_bytes(),
            );
            connection.told = Some(end);
        }
        loop {
            let Some(connection) = &mut self.connections[number] else { return true };
            let Some((opcode, payload, used)) = unmasked(&connection.rest) else { return true };
            connection.rest.drain(..used);
            match opcode {
                0x1 => {
                    let Ok(submit) = serde_json::from_slice::<Submit>(&payload) else { return false };
                    push(&mut connection.own, b"{\"ok\":true}");
                    self.version += 1;
                    let Ok(text) = serde_json::to_vec(&View::of(submit, self.version)) else { return false };
                    push(&mut self.frames, &text);
                }
                0x8 => return false,
                _ => {}
            }
        }
    }

    /// Gives all who wait for nothing else what they have not been told yet, as far as they take it.
    fn tell(&mut self) {
        if self.volley.room() == 1 {
            return;
        }
        let (mut due, mut writes) = (Vec::new(), Vec::new());
        for (number, connection) in self.connections.iter().enumerate() {
            if let Some(Connection { stream, own, told: Some(told), amid: false, .. }) = connection
                && own.is_empty()
                && let Ok(at) = usize::try_from(told - self.from)
                && at < self.frames.len()
            {
                due.push(number);
                writes.push((stream.as_fd(), &self.frames[at..]));
            }
        }
        let became = self.volley.send(&writes);
        for (number, written) in due.into_iter().zip(became) {
            // Who took none, or a part, is written to once more.
            if let (Some(Connection { told: Some(told), .. }), Ok(written)) = (&mut self.connections[number], written) {
                *told += written as u64;
            }
        }
    }

    /// Writes what waits for a connection. Whether it is still open.
    fn write(&mut self, number: usize) -> bool {
        let (from, end) = (self.from, self.end());
        let Some(connection) = &mut self.connections[number] else { return true };
        let mut frames_first = connection.amid;
        loop {
            if frames_first && let Some(told) = &mut connection.told {
                while *told < end {
                    let Ok(at) = usize::try_from(*told - from) else { return false };
                    match connection.stream.write(&self.frames[at..]) {
                        Ok(written) => *told += written as u64,
                        Err(full) if full.kind() == ErrorKind::WouldBlock => {
                            connection.amid = true;
                            return true;
                        }
                        Err(_reset) => return false,
                    }
                }
                connection.amid = false;
            }
            while !connection.own.is_empty() {
                match connection.stream.write(&connection.own) {
                    Ok(written) => drop(connection.own.drain(..written)),
                    Err(full) if full.kind() == ErrorKind::WouldBlock => return true,
                    Err(_reset) => return false,
                }
            }
            if frames_first || connection.told.is_none() {
                return true;
            }
            frames_first = true;
        }
    }

    /// Forgets what everybody has; whoever lags too far behind is cut.
    fn forget(&mut self) {
        let least = self.connections.iter().flatten().filter_map(|one| one.told).min().unwrap_or(self.end());
        if least == self.end() {
            self.from = self.end();
            self.frames.clear();
        } else if self.frames.len() > WAITING_MAX {
            let keep = self.end() - WAITING_MAX as u64 / 2;
            for number in 0..self.connections.len() {
                let lags = self.connections[number].as_ref().and_then(|one| one.told).is_some_and(|told| told < keep);
                if lags {
                    self.drop(number);
                }
            }
            let drained = usize::try_from(keep - self.from).unwrap_or(0);
            self.frames.drain(..drained);
            self.from = keep;
        }
    }
}

/// The first frame of a client: what it is, what it says, how long it is.
fn unmasked(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (head, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk::<2>()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk::<8>()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let mask: [u8; 4] = *bytes.get(head..)?.first_chunk()?;
    let masked = bytes.get(head + 4..head + 4 + length)?;
    let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((first & 0x0f, payload, head + 4 + length))
}

/// Appends a text frame.
fn push(out: &mut Vec<u8>, text: &[u8]) {
    out.push(0x81);
    if let Ok(short @ 0..126) = u8::try_from(text.len()) {
        out.push(short);
    } else {
        out.push(126);
        out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    }
    out.extend_from_slice(text);
}
