//! WebSocket frames as a client writes and finds them: boundaries only, nothing is parsed that need not be.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text or binary, which the peers use for the same things.
    Message,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// The end.
    Close,
}

/// One whole frame at the head of some bytes.
#[derive(Debug)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes it takes, head and payload.
    pub len: usize,
}

/// The first frame, if all of it is there. Servers do not mask, and none here fragments.
pub fn first(bytes: &[u8]) -> Option<Frame<'_>> {
    let (&[first, second], _) = bytes.split_first_chunk::<2>()?;
    let (head, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(*bytes[2..].first_chunk::<2>()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes[2..].first_chunk::<8>()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(head..head + length)?;
    let kind = match first & 0x0f {
        0x8 => Kind::Close,
        0x9 => Kind::Ping,
        0xa => Kind::Pong,
        _ => Kind::Message,
    };
    Some(Frame { kind, payload, len: head + length })
}

/// Appends a client's frame. The mask every client must give is zero, so the payload stays as it is.
pub fn push(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | u8::try_from(short).unwrap_or(0)),
        medium @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&u16::try_from(medium).unwrap_or(u16::MAX).to_be_bytes());
        }
        long => {
            out.push(0xff);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Opcode of a text frame.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary frame.
pub const BINARY: u8 = 0x2;
/// Opcode of a pong.
pub const PONG: u8 = 0xa;

/// Where some bytes begin in others.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::{Kind, TEXT, find, first, push};

    #[test]
    fn a_frame_is_found_only_when_all_of_it_is_there() {
        for length in [0, 1, 125, 126, 300, 70_000] {
            let mut written = Vec::new();
            push(&mut written, TEXT, &vec![b'x'; length]);
            // As a server writes it: without the mask.
            written[1] &= 0x7f;
            let head = written.len() - length - 4;
            written.drain(head..head + 4);
            assert!(first(&written[..written.len() - 1]).is_none());
            let frame = first(&written).expect("a whole frame");
            assert_eq!((frame.kind, frame.payload.len(), frame.len), (Kind::Message, length, written.len()));
        }
        assert_eq!(find(b"abcabd", b"abd"), Some(3));
    }
}
