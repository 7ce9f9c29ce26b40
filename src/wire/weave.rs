//! What leaves over a connection, byte for byte: the library's frames, and ours between them.

use super::{Piece, Pushed};
use smallvec::SmallVec;
use std::io::{Error, ErrorKind, IoSlice};

/// Pieces that leave in one write, at most.
const TOGETHER_MAX: usize = 64;
/// How much of a message of the library is looked at: enough to tell a greeting.
const GREETING: usize = 9;

/// What leaves in one write.
type Slices<'a> = SmallVec<[IoSlice<'a>; TOGETHER_MAX]>;

/// A namespace of Socket.IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// `/`: the scoring plane.
    Scoring,
    /// `/live`: the live plane.
    Live,
}

impl Namespace {
    /// How packets of it begin, after their type.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Scoring => "",
            Self::Live => "/live,",
        }
    }
}

/// How far the frames have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// All have left.
    Empty,
    /// It is not their turn yet: the library says when.
    Held,
    /// The client takes no more for now.
    Blocked,
}

/// Greetings of the library: how many have to be out before our frames may follow, and how many are.
#[derive(Clone, Copy, Debug, Default)]
struct Greetings {
    expected: u32,
    seen: u32,
}

/// What the library is writing.
#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// Responses.
    #[default]
    Http,
    /// The response that makes it a websocket.
    Upgrading(Answer),
    /// Frames.
    Frames(Reading),
    /// Its last: the leave.
    Closed,
}

/// The response that makes it a websocket.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    /// How much of its end (`\r\n\r\n`) has been seen.
    end: usize,
    /// Whether it is kept for what follows.
    is_kept: bool,
}

/// Where in a frame of the library the stream stands. All zero between two.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// The head as far as it has been seen.
    head: [u8; 10],
    have: usize,
    /// Bytes of the payload to come; of a head that is whole.
    rest: u64,
    /// How the payload begins.
    start: [u8; GREETING],
    started: usize,
}

impl Reading {
    fn is_between(&self) -> bool {
        self.have == 0
    }

    fn is_whole(&self) -> bool {
        self.head_length() == Some(self.have) && self.rest == 0
    }

    /// Reads on, to the end of the frame at most; says how far.
    fn read(&mut self, bytes: &[u8]) -> usize {
        let mut read = 0;
        while self.head_length() != Some(self.have) {
            let Some(&byte) = bytes.get(read) else { return read };
            self.head[self.have] = byte;
            self.have += 1;
            read += 1;
            if self.head_length() == Some(self.have) {
                self.rest = self.payload_length();
            }
        }
        let payload = &bytes[read..];
        let length = usize::try_from(self.rest).unwrap_or(usize::MAX).min(payload.len());
        let looked_at = length.min(GREETING - self.started);
        let until = self.started + looked_at;
        self.start[self.started..until].copy_from_slice(&payload[..looked_at]);
        self.started = until;
        self.rest -= length as u64;
        read + length
    }

    /// How long the head is, once enough of it is there to tell; frames of a server carry no mask.
    fn head_length(&self) -> Option<usize> {
        match (self.have, self.head[1] & 0x7f) {
            (0 | 1, _) => None,
            (_, 126) => Some(4),
            (_, 127) => Some(10),
            _ => Some(2),
        }
    }

    fn payload_length(&self) -> u64 {
        match self.head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            127 => u64::from_be_bytes(self.head[2..10].try_into().expect("eight bytes")),
            short => u64::from(short),
        }
    }
}

/// How much of the end of a response's head has been seen with one more byte.
fn end_of_head(seen: usize, byte: u8) -> usize {
    match (byte, seen) {
        (b'\r', 0 | 2) | (b'\n', 1 | 3) => seen + 1,
        (b'\r', _) => 1,
        _ => 0,
    }
}

/// How far the library has got.
#[derive(Clone, Copy, Debug, Default)]
struct Library {
    phase: Phase,
    greetings: [Greetings; 2],
}

impl Library {
    fn is_our_turn(&self) -> bool {
        let Phase::Frames(reading) = &self.phase else { return false };
        reading.is_between() && self.greetings.iter().all(|greetings| greetings.seen >= greetings.expected)
    }

    /// Follows what it has written.
    fn see(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            match &mut self.phase {
                Phase::Http | Phase::Closed => return,
                Phase::Upgrading(answer) => {
                    answer.end = end_of_head(answer.end, byte);
                    if answer.end == 4 {
                        self.phase = Phase::Frames(Reading::default());
                    }
                    bytes = &bytes[1..];
                }
                Phase::Frames(reading) => {
                    bytes = &bytes[reading.read(bytes)..];
                    if reading.is_whole() {
                        let frame = *reading;
                        self.saw(frame);
                    }
                }
            }
        }
    }

    /// A frame of it is out.
    fn saw(&mut self, frame: Reading) {
        self.phase = Phase::Frames(Reading::default());
        match (frame.head[0], &frame.start[..frame.started]) {
            // A leave (RFC 6455, 5.5.1).
            (0x88, _) => self.phase = Phase::Closed,
            (0x81, start) if start.starts_with(b"40/live,") => self.greetings[Namespace::Live as usize].seen += 1,
            (0x81, start) if start.starts_with(b"40{") => self.greetings[Namespace::Scoring as usize].seen += 1,
            _ => {}
        }
    }

    /// How many of these bytes belong to the frame it is at.
    fn until_boundary(&self, bytes: &[u8]) -> usize {
        match self.phase {
            Phase::Frames(mut reading) => reading.read(bytes),
            Phase::Upgrading(Answer { mut end, .. }) => {
                let ends = |byte: &u8| {
                    end = end_of_head(end, *byte);
                    end == 4
                };
                bytes.iter().position(ends).map_or(bytes.len(), |last| last + 1)
            }
            Phase::Http | Phase::Closed => bytes.len(),
        }
    }
}

/// The bytes of one connection.
#[derive(Debug, Default)]
pub struct Weave {
    library: Library,
    /// The response that made it a websocket, as far as it was kept and has not left: one head, made by the library and so
    /// as long as that makes it, about 130 bytes.
    kept: Vec<u8>,
    /// What waits. Mostly it is one piece, which needs no memory of its own.
    queue: SmallVec<[Piece; 1]>,
    /// How many frames they are, those of a piece that has begun to leave among them.
    waiting: usize,
    /// How much of the first piece has left already.
    gone: usize,
    /// Bytes of ours that have left in all.
    left: u64,
    /// Whether the flusher has been told.
    is_dirty: bool,
    /// Whether somebody waits until the client takes more.
    is_waiting: bool,
}

impl Weave {
    /// The next response makes it a websocket. If the library speaks at once after it (`is_followed`), whatever the client
    /// does, both leave in one write.
    pub fn upgrades(&mut self, is_followed: bool) {
        if matches!(self.library.phase, Phase::Http) {
            self.library.phase = Phase::Upgrading(Answer { end: 0, is_kept: is_followed });
        }
    }

    /// One more greeting of a namespace has to be out before our frames may follow.
    pub fn expect(&mut self, namespace: Namespace) {
        self.library.greetings[namespace as usize].expected += 1;
    }

    /// Lets pieces wait, all or none, unless their frames would be more than `max` with those that do.
    pub fn push(&mut self, pieces: &[Piece], max: usize) -> Pushed {
        if matches!(self.library.phase, Phase::Closed) {
            return Pushed::Closed;
        }
        let more: usize = pieces.iter().map(Piece::count).sum();
        if self.waiting + more > max {
            return Pushed::Full;
        }
        self.queue.extend(pieces.iter().cloned());
        self.waiting += more;
        if std::mem::replace(&mut self.is_dirty, true) { Pushed::Waits } else { Pushed::First }
    }

    /// Puts a piece in the stead of all that waits and has not begun to leave.
    pub fn replace(&mut self, piece: Piece) -> Pushed {
        self.queue.truncate(usize::from(self.gone > 0));
        self.waiting = self.queue.iter().map(Piece::count).sum();
        self.push(&[piece], usize::MAX)
    }

    /// Bytes of ours that have left in all: as long as it grows, the client reads.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// How many frames wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// In how many pieces.
    #[cfg(test)]
    pub fn pieces(&self) -> usize {
        self.queue.len()
    }

    /// The flusher has come: it is to be told again of what is pushed from now on.
    pub fn begin_flush(&mut self) {
        self.is_dirty = false;
    }

    /// Whether somebody has to begin to wait until the client takes more: nobody does yet.
    pub fn begin_waiting(&mut self) -> bool {
        !std::mem::replace(&mut self.is_waiting, true)
    }

    /// Whether somebody waits: all leaves as soon as the client takes more. Asking earlier would fill what it has just freed,
    /// again and again, and the system, which reports room once there is plenty, would never do so.
    pub fn is_followed_up(&self) -> bool {
        self.is_waiting
    }

    /// Nobody waits any more.
    pub fn end_waiting(&mut self) {
        self.is_waiting = false;
    }

    /// Nothing of ours leaves any more.
    pub fn close(&mut self) {
        self.library.phase = Phase::Closed;
        (self.kept, self.queue) = (Vec::new(), SmallVec::new());
        (self.waiting, self.gone) = (0, 0);
    }

    /// How many pieces leave in the next write.
    fn together(&self) -> usize {
        match (self.library.is_our_turn() && self.kept.is_empty(), self.gone) {
            (true, _) => self.queue.len().min(TOGETHER_MAX),
            (false, 0) => 0,
            // One that has begun to leave goes on, whatever has to be waited for since.
            (false, _) => 1,
        }
    }

    /// What the first write of [`Self::drain`] is given, where that is one slice: that write may be made beforehand.
    #[must_use]
    pub fn next(&self) -> Option<&[u8]> {
        (self.together() == 1).then(|| &self.queue[0].as_bytes()[self.gone..])
    }

    /// Writes frames, as many as leave.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn drain(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, Error>) -> Result<Flow, Error> {
        while !self.queue.is_empty() {
            let count = self.together();
            if count == 0 {
                return Ok(Flow::Held);
            }
            let mut gone = self.gone;
            let rest = self.queue[..count].iter().map(|piece| &piece.as_bytes()[std::mem::take(&mut gone)..]);
            let written = write(&rest.map(IoSlice::new).collect::<Slices<'_>>());
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.have_left(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flow::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // A thousand quiet clients must not keep the room of their busiest moment.
        self.queue = SmallVec::new();
        Ok(Flow::Empty)
    }

    /// So many bytes of ours have left.
    fn have_left(&mut self, mut written: usize) {
        self.left += written as u64;
        let mut whole = 0;
        for piece in &self.queue {
            let rest = piece.as_bytes().len() - self.gone;
            if written < rest {
                self.gone += written;
                break;
            }
            written -= rest;
            self.gone = 0;
            self.waiting -= piece.count();
            whole += 1;
        }
        self.queue.drain(..whole);
    }

    /// Writes bytes of the library, after all of ours that may leave; what may only leave after them goes with them. Says
    /// how many of the library's have left.
    ///
    /// # Errors
    /// `WouldBlock`, and when the connection is broken.
    pub fn write(
        &mut self,
        bytes: &[IoSlice<'_>],
        mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let first = bytes.iter().find(|slice| !slice.is_empty());
        if let Some(first) = first
            && let Some(count) = self.keep(first)
        {
            return Ok(count);
        }
        while let Some(first) = first.filter(|_| !self.kept.is_empty()) {
            let written = self.write_kept(first, &mut write)?;
            if written > 0 {
                return Ok(written);
            }
        }
        if self.drain(&mut write)? == Flow::Blocked {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(first) = first.filter(|_| !self.queue.is_empty()) else {
            let written = write(bytes)?;
            self.see(bytes, written);
            return Ok(written);
        };
        // To the end of its frame: then it may be our turn.
        let first = IoSlice::new(&first[..self.library.until_boundary(first)]);
        let mut after = self.library;
        after.see(&first);
        let ours = if after.is_our_turn() { &*self.queue } else { &[] };
        let ours = ours.iter().map(|piece| IoSlice::new(piece.as_bytes()));
        let together = std::iter::once(first).chain(ours).take(TOGETHER_MAX);
        let written = write(&together.collect::<Slices<'_>>())?;
        let of_library = written.min(first.len());
        self.see(&[first], of_library);
        self.have_left(written - of_library);
        Ok(of_library)
    }

    /// Keeps as much of these bytes as is to leave with what follows them; none if it is not the time for that.
    fn keep(&mut self, bytes: &[u8]) -> Option<usize> {
        let Phase::Upgrading(Answer { is_kept: true, .. }) = self.library.phase else { return None };
        let part = &bytes[..self.library.until_boundary(bytes)];
        self.library.see(part);
        self.kept.extend_from_slice(part);
        Some(part.len())
    }

    /// Writes what was kept, and what follows it to the end of its frame; says how much of that has left.
    fn write_kept(
        &mut self,
        following: &[u8],
        write: &mut impl FnMut(&[IoSlice<'_>]) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let following = IoSlice::new(&following[..self.library.until_boundary(following)]);
        let written = write(&[IoSlice::new(&self.kept), following])?;
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        let kept = written.min(self.kept.len());
        self.kept.drain(..kept);
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
        self.see(&[following], written - kept);
        Ok(written - kept)
    }

    /// Follows what the library has written, of which so many bytes have left.
    fn see(&mut self, bytes: &[IoSlice<'_>], mut left: usize) {
        for slice in bytes {
            let part = &slice[..slice.len().min(left)];
            self.library.see(part);
            left -= part.len();
        }
        if matches!(self.library.phase, Phase::Closed) {
            self.close();
        }
    }
}
