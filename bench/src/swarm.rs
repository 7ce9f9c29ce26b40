//! Thousands of connections of one thread: connected at a chosen pace, read as cheaply as can be, counted.
//!
//! Invariant: every connection is read until there is no more, so an edge-triggered wake-up is never lost.

use crate::frames::{self, Kind, PONG};
use crate::speech::{Caller, Heard, Speech};
use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// Wake-ups taken at once.
const EVENTS: usize = 1024;
/// Connections that share one source address: ports are few.
const PER_ADDRESS: usize = 4000;
/// Submits whose time is remembered: as many as there are contestants, who tell one from the other.
pub const NUMBERS: usize = 64;

/// Submits of this run: no number comes twice, because a server may answer a repeated one without carrying it out.
static NUMBERED: AtomicU64 = AtomicU64::new(0);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Greeting,
    Ready,
    Gone,
}

struct Connection {
    stream: TcpStream,
    speech: Speech,
    caller: Caller,
    stage: Stage,
    /// The beginning of a frame whose rest is not there yet.
    rest: Vec<u8>,
    /// The same of a protocol inside the frames.
    inner: Vec<u8>,
    /// What could not be written yet.
    out: Vec<u8>,
    sampled: bool,
}

/// What was counted since it was last taken.
#[derive(Debug, Default)]
pub struct Heap {
    /// Deliveries, to everybody.
    pub deliveries: u64,
    /// Bytes of WebSocket payload in them.
    pub bytes: u64,
    /// Connections whose submit was taken.
    pub acks: Vec<usize>,
    /// Submits that were refused.
    pub refused: u64,
    /// Connections that became ready.
    pub ready: usize,
    /// Connections that ended.
    pub gone: usize,
    /// From a submit to its delivery to a sampled viewer, in nanoseconds.
    pub latencies: Vec<u64>,
    /// With which words the first connection was greeted.
    pub greeting: Option<String>,
    /// The first words of a refusal or of an unexpected end.
    pub complaint: Option<String>,
}

/// All connections to one server.
pub struct Swarm {
    poll: Poll,
    events: Events,
    server: SocketAddr,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    /// When each submit left.
    sent: Vec<Option<Instant>>,
    /// What came since the last look.
    pub heap: Heap,
}

impl Swarm {
    /// Nobody yet.
    ///
    /// # Errors
    /// When the system has no poll to give.
    pub fn new(server: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            server,
            connections: Vec::new(),
            buffer: vec![0; READ_BYTES],
            sent: vec![None; NUMBERS],
            heap: Heap::default(),
        })
    }

    /// Connections so far, whatever became of them.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Begins a connection; its number.
    ///
    /// # Errors
    /// When there is no socket, port or address left.
    pub fn connect(&mut self, speech: Speech, caller: Caller, sampled: bool) -> anyhow::Result<usize> {
        let number = self.connections.len();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Reset at the end, so that no port waits for a minute.
        socket.set_linger(Some(Duration::ZERO))?;
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number / PER_ADDRESS)?);
        socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into()).context("no port is left")?;
        match socket.connect(&self.server.into()) {
            Ok(()) => {}
            Err(pending) if pending.raw_os_error() == Some(115) || pending.kind() == ErrorKind::WouldBlock => {}
            Err(failed) => return Err(failed).context("the server cannot be reached"),
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(number), interest)?;
        let out = speech.upgrade(&caller).into_bytes();
        let stage = if speech == Speech::Http { Stage::Ready } else { Stage::Upgrading };
        let (rest, inner) = (Vec::new(), Vec::new());
        self.connections.push(Connection { stream, speech, caller, stage, rest, inner, out, sampled });
        self.heap.ready += usize::from(stage == Stage::Ready);
        Ok(number)
    }

    /// Ends a connection.
    pub fn hang_up(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        if connection.stage != Stage::Gone {
            connection.stage = Stage::Gone;
            // With the linger above this is a reset.
            let _closed = connection.stream.shutdown(std::net::Shutdown::Both);
            let _gone = self.poll.registry().deregister(&mut connection.stream);
        }
    }

    /// Submits over a connection, and remembers when. `write` makes the payload of the submit's number.
    pub fn submit(&mut self, by: usize, write: fn(u64, usize) -> String) {
        let number = NUMBERED.fetch_add(1, Ordering::Relaxed);
        let payload = write(number, by);
        let slot = usize::try_from(number).unwrap_or(0) % NUMBERS;
        self.sent[slot] = Some(Instant::now());
        let connection = &mut self.connections[by];
        connection.speech.submit(number, &payload, &connection.caller, &mut connection.out);
        if flush(connection).is_err() {
            self.lose(by);
        }
    }

    /// Sends a text as it is over a connection.
    pub fn say(&mut self, by: usize, text: &str) {
        let connection = &mut self.connections[by];
        frames::push(&mut connection.out, frames::TEXT, text.as_bytes());
        if flush(connection).is_err() {
            self.lose(by);
        }
    }

    /// Waits for what comes, at most for a while, and takes it.
    ///
    /// # Errors
    /// When the system's poll fails.
    pub fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        if let Err(failed) = self.poll.poll(&mut self.events, Some(wait))
            && failed.kind() != ErrorKind::Interrupted
        {
            bail!("the poll failed: {failed}");
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let Token(number) = event.token();
            if self.connections[number].stage == Stage::Gone {
                continue;
            }
            let wrote =
                if self.connections[number].out.is_empty() { Ok(()) } else { flush(&mut self.connections[number]) };
            let open = wrote.is_ok() && (!event.is_readable() || self.read(number));
            if !open {
                self.lose(number);
            }
        }
        self.events = events;
        Ok(())
    }

    /// Whether the connection is still open.
    fn read(&mut self, number: usize) -> bool {
        loop {
            let connection = &mut self.connections[number];
            let length = match connection.stream.read(&mut self.buffer) {
                Ok(0) => return false,
                Ok(length) => length,
                Err(empty) if empty.kind() == ErrorKind::WouldBlock => return true,
                Err(again) if again.kind() == ErrorKind::Interrupted => continue,
                Err(_reset) => return false,
            };
            let taken = if connection.rest.is_empty() {
                let used = take(connection, number, &self.buffer[..length], &self.sent, &mut self.heap);
                used.map(|used| connection.rest.extend_from_slice(&self.buffer[used..length]))
            } else {
                let mut whole = std::mem::take(&mut connection.rest);
                whole.extend_from_slice(&self.buffer[..length]);
                let used = take(connection, number, &whole, &self.sent, &mut self.heap);
                used.map(|used| {
                    whole.drain(..used);
                    connection.rest = whole;
                })
            };
            if taken.is_none() || flush(connection).is_err() {
                return false;
            }
            if length < READ_BYTES {
                return true; // a short read: nothing is left, and what comes later wakes us
            }
        }
    }

    fn lose(&mut self, number: usize) {
        self.hang_up(number);
        self.heap.gone += 1;
    }
}

/// Writes what waits, as far as it goes.
fn flush(connection: &mut Connection) -> std::io::Result<()> {
    while !connection.out.is_empty() {
        match connection.stream.write(&connection.out) {
            Ok(written) => drop(connection.out.drain(..written)),
            Err(full) if full.kind() == ErrorKind::WouldBlock || full.kind() == ErrorKind::NotConnected => break,
            Err(again) if again.kind() == ErrorKind::Interrupted => {}
            Err(failed) => return Err(failed),
        }
    }
    Ok(())
}

/// Takes what is whole; how many bytes that was, none when the connection is over.
fn take(
    connection: &mut Connection,
    number: usize,
    bytes: &[u8],
    sent: &[Option<Instant>],
    heap: &mut Heap,
) -> Option<usize> {
    let mut used = 0;
    if connection.speech == Speech::Http {
        return Some(take_http(number, bytes, heap));
    }
    if connection.stage == Stage::Upgrading {
        let Some(end) = frames::find(bytes, b"\r\n\r\n") else { return Some(0) };
        if !bytes.starts_with(b"HTTP/1.1 101") {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            heap.complaint.get_or_insert_with(|| String::from_utf8_lossy(line).into_owned());
            return None;
        }
        used = end + 4;
        connection.stage = Stage::Greeting;
        if connection.speech.hello(&connection.caller, &mut connection.out) {
            connection.stage = Stage::Ready;
            heap.ready += 1;
        }
    }
    let Connection { speech, caller, stage, inner, out, sampled, .. } = connection;
    let mut over = false;
    while let Some(frame) = frames::first(&bytes[used..]) {
        used += frame.len;
        match frame.kind {
            Kind::Message => speech.hear(caller, frame.payload, out, inner, &mut |heard, payload| match heard {
                Heard::Delivery => {
                    heap.deliveries += 1;
                    heap.bytes += payload.len() as u64;
                    if *sampled {
                        let left = speech.marker(payload).and_then(|marker| sent[marker % NUMBERS]);
                        heap.latencies.extend(left.map(|left| u64::try_from(left.elapsed().as_nanos()).unwrap_or(0)));
                    }
                }
                Heard::Ack if *stage == Stage::Ready => heap.acks.push(number),
                Heard::Ready if *stage == Stage::Greeting => {
                    *stage = Stage::Ready;
                    heap.ready += 1;
                    heap.greeting.get_or_insert_with(|| String::from_utf8_lossy(payload).into_owned());
                }
                Heard::Refused => {
                    heap.refused += 1;
                    heap.complaint.get_or_insert_with(|| String::from_utf8_lossy(payload).chars().take(300).collect());
                }
                Heard::Farewell => over = true,
                Heard::Ack | Heard::Ready | Heard::Answered | Heard::Other => {}
            }),
            Kind::Ping => frames::push(out, PONG, frame.payload),
            Kind::Pong => {}
            Kind::Close => over = true,
        }
        if over {
            let text = String::from_utf8_lossy(frame.payload).chars().take(200).collect();
            heap.complaint.get_or_insert(text);
            return None;
        }
    }
    Some(used)
}

/// Whole answers to requests.
fn take_http(number: usize, bytes: &[u8], heap: &mut Heap) -> usize {
    let mut used = 0;
    while let Some(end) = frames::find(&bytes[used..], b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[used..used + end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let whole = used + end + 4 + length.unwrap_or(0);
        if whole > bytes.len() {
            break;
        }
        if head.starts_with("http/1.1 200") {
            heap.acks.push(number);
        } else {
            heap.refused += 1;
            let said = String::from_utf8_lossy(&bytes[used..whole]).chars().take(600).collect();
            heap.complaint.get_or_insert(said);
        }
        used = whole;
    }
    used
}
