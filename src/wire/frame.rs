//! A message as it leaves: made once, shared by all it goes to.

use super::weave::Namespace;
use serde::Serialize;
use std::sync::Arc;

/// Room for an event of usual length.
const EVENT_BYTES: usize = 512;
/// Bytes before the payload, at most: what a server says needs no mask (RFC 6455, 5.2).
const HEAD_MAX: usize = 10;

/// A whole text message of a websocket, head included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Arc<[u8]>,
    /// Where the text begins.
    head: usize,
}

/// Frames that leave one after the other, in one piece of memory; shared by all to whom the same goes.
#[derive(Clone, Debug)]
pub struct Piece {
    bytes: Arc<[u8]>,
    count: usize,
}

impl Frame {
    /// A message with this text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let mut buffer = Vec::with_capacity(HEAD_MAX + text.len());
        buffer.resize(HEAD_MAX, 0);
        buffer.extend_from_slice(text.as_bytes());
        Self::framed(buffer)
    }

    /// Puts the head right before a text that begins after [`HEAD_MAX`] bytes.
    fn framed(mut buffer: Vec<u8>) -> Self {
        let length = buffer.len() - HEAD_MAX;
        let (length_code, extended) = match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..126), _) => (short, &[][..]),
            (_, Ok(middling)) => (126, &middling.to_be_bytes()[..]),
            (_, Err(_longer)) => (127, &(length as u64).to_be_bytes()[..]),
        };
        let head = 2 + extended.len();
        let begin = HEAD_MAX - head;
        buffer[begin] = 0x81;
        buffer[begin + 1] = length_code;
        buffer[begin + 2..HEAD_MAX].copy_from_slice(extended);
        Self { bytes: buffer[begin..].into(), head }
    }

    /// An event of Socket.IO (protocol 5): `arguments` are written as a list.
    ///
    /// # Errors
    /// When they cannot be written as one.
    pub fn event(namespace: Namespace, event: &str, arguments: &impl Serialize) -> serde_json::Result<Self> {
        let mut buffer = Vec::with_capacity(EVENT_BYTES);
        buffer.resize(HEAD_MAX, 0);
        buffer.extend_from_slice(b"42");
        buffer.extend_from_slice(namespace.prefix().as_bytes());
        buffer.push(b'[');
        serde_json::to_writer(&mut buffer, event)?;
        // The list goes on where that of the arguments begins.
        let opening = buffer.len();
        serde_json::to_writer(&mut buffer, arguments)?;
        match &buffer[opening..] {
            b"[]" => drop(buffer.remove(opening)),
            [b'[', ..] => buffer[opening] = b',',
            _ => return Err(serde::ser::Error::custom("arguments are a list")),
        }
        Ok(Self::framed(buffer))
    }

    /// The answer to an event of Socket.IO that asked for one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn answer(namespace: Namespace, id: i64, said: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self::text(&format!("43{}{id}{}", namespace.prefix(), serde_json::to_string(&[said])?)))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.head..]).expect("it was made of text")
    }

    /// All of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Frame> for Piece {
    fn from(frame: Frame) -> Self {
        Self { bytes: frame.bytes, count: 1 }
    }
}

impl Piece {
    /// Several made one: the system takes that sooner.
    #[must_use]
    pub fn joined(several: &[Self]) -> Self {
        let bytes: Vec<&[u8]> = several.iter().map(Self::as_bytes).collect();
        Self { bytes: bytes.concat().into(), count: several.iter().map(Self::count).sum() }
    }

    /// What so many wires are given that all get these: joined, unless that would be a copy for one alone.
    #[must_use]
    pub fn together(pieces: Vec<Self>, wires: usize) -> Vec<Self> {
        if wires > 1 && pieces.len() > 1 { vec![Self::joined(&pieces)] } else { pieces }
    }

    /// All of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many frames it is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}
