//! What is said to each kind of server, and what its answers mean.
//!
//! A delivery is recognised by its first bytes. Only what a sampled viewer gets is searched, for the contestant whose
//! number tells which submit it belongs to.

use crate::frames::{self, BINARY, TEXT, find};

/// The language of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Engine.IO 4 and Socket.IO 5 over a WebSocket.
    SocketIo {
        /// Whether the server greets with `session:ready` after it has admitted a socket.
        greets: bool,
    },
    /// Text frames: what is sent is acknowledged by a frame that begins with `{"ok"`, everything else is a delivery.
    Plain,
    /// The live feed of an event: `full` first, then `diff`s.
    Feed,
    /// HTTP/1.1 requests over a connection that is kept; the driver of the feed.
    Http,
    /// The protocol of NATS in WebSocket frames.
    Nats,
    /// MQTT 3.1.1 in WebSocket frames.
    Mqtt,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The connection may be used.
    Ready,
    /// A submit was taken.
    Ack,
    /// A submit was refused.
    Refused,
    /// What was submitted by somebody.
    Delivery,
    /// What has to be answered: it is in the out-buffer already.
    Answered,
    /// Anything else.
    Other,
    /// The server wants us gone.
    Farewell,
}

/// Who connects, and where to.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its access token, or the password where a server checks no JWT.
    pub token: String,
    /// Path of the upgrade, with its query.
    pub path: String,
    /// Whether it submits.
    pub submits: bool,
}

/// The subject everything is published on where there are subjects.
const SUBJECT: &str = "category.final";
/// Where the number of a submit stands in what is delivered.
const MARKER: &[u8] = b"\"contestantId\":\"k";
/// The same in the feed.
const MARKER_OF_FEED: &[u8] = b"\"bib\":";

impl Speech {
    /// The request that opens the connection; nothing where there is none.
    pub fn upgrade(self, caller: &Caller) -> String {
        let (path, token) = (&caller.path, &caller.token);
        let extra = match self {
            Self::Http => return String::new(),
            Self::Mqtt => "Sec-WebSocket-Protocol: mqtt\r\n".to_owned(),
            Self::Plain => format!("Authorization: Bearer {token}\r\n"),
            Self::SocketIo { .. } | Self::Feed | Self::Nats => String::new(),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{extra}\r\n"
        )
    }

    /// What is said once the upgrade is granted, and whether that is all there is to it.
    pub fn hello(self, caller: &Caller, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Plain | Self::Http => true,
            Self::SocketIo { .. } | Self::Feed => false,
            Self::Nats => {
                let connect = serde_json::json!({"verbose": caller.submits, "pedantic": false, "protocol": 1,
                    "auth_token": caller.token, "lang": "bench", "version": "1"});
                let text = format!("CONNECT {connect}\r\nSUB {SUBJECT} 1\r\nPING\r\n");
                frames::push(out, BINARY, text.as_bytes());
                false
            }
            Self::Mqtt => {
                let mut body = mqtt_text("MQTT");
                body.extend_from_slice(&[4, 0b1100_0010, 0, 0]);
                body.extend(mqtt_text("")); // the server gives a name
                body.extend(mqtt_text("viewer"));
                body.extend(mqtt_text(&caller.token));
                frames::push(out, BINARY, &mqtt_packet(0x10, &body));
                let mut body = vec![0, 1];
                body.extend(mqtt_text(SUBJECT));
                body.push(0);
                frames::push(out, BINARY, &mqtt_packet(0x82, &body));
                false
            }
        }
    }

    /// A submit. `payload` is a JSON object; over MQTT and NATS it is delivered as it is.
    pub fn submit(self, number: u64, payload: &str, caller: &Caller, out: &mut Vec<u8>) {
        match self {
            Self::SocketIo { .. } => {
                frames::push(out, TEXT, format!("42{}[\"scores:submit\",{payload}]", number % 1000).as_bytes());
            }
            Self::Plain | Self::Feed => frames::push(out, TEXT, payload.as_bytes()),
            Self::Http => out.extend_from_slice(
                format!(
                    "POST {} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{payload}",
                    caller.path,
                    caller.token,
                    payload.len()
                )
                .as_bytes(),
            ),
            Self::Nats => {
                frames::push(out, BINARY, format!("PUB {SUBJECT} {}\r\n{payload}\r\n", payload.len()).as_bytes());
            }
            Self::Mqtt => {
                let mut body = mqtt_text(SUBJECT);
                body.extend_from_slice(&u16::try_from(number % 60_000 + 1).unwrap_or(1).to_be_bytes());
                body.extend_from_slice(payload.as_bytes());
                frames::push(out, BINARY, &mqtt_packet(0x32, &body));
            }
        }
    }

    /// What a message means; `inner` keeps the rest of a protocol that does not care for frames.
    pub fn hear(
        self,
        caller: &Caller,
        payload: &[u8],
        out: &mut Vec<u8>,
        inner: &mut Vec<u8>,
        tell: &mut impl FnMut(Heard, &[u8]),
    ) {
        match self {
            Self::SocketIo { greets } => tell(hear_socket_io(greets, caller, payload, out), payload),
            Self::Plain => tell(hear_plain(payload), payload),
            Self::Feed => {
                let heard = match payload.get(9..13) {
                    Some(b"full") => Heard::Ready,
                    Some(b"diff") => Heard::Delivery,
                    _ => Heard::Other,
                };
                tell(heard, payload);
            }
            Self::Http => {}
            Self::Nats | Self::Mqtt => {
                let step = if self == Self::Nats { nats } else { mqtt };
                if inner.is_empty() {
                    let used = steps(step, payload, out, tell);
                    inner.extend_from_slice(&payload[used..]);
                } else {
                    inner.extend_from_slice(payload);
                    let whole = std::mem::take(inner);
                    let used = steps(step, &whole, out, tell);
                    inner.extend_from_slice(&whole[used..]);
                }
            }
        }
    }

    /// Which submit a delivery belongs to.
    pub fn marker(self, payload: &[u8]) -> Option<usize> {
        let marker = if self == Self::Feed { MARKER_OF_FEED } else { MARKER };
        let digits = &payload[find(payload, marker)? + marker.len()..];
        let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
    }
}

fn hear_socket_io(greets: bool, caller: &Caller, payload: &[u8], out: &mut Vec<u8>) -> Heard {
    match payload {
        [b'4', b'2', rest @ ..] if rest.starts_with(b"[\"scores:updated\"") => Heard::Delivery,
        [b'4', b'2', rest @ ..] if greets && rest.starts_with(b"[\"session:ready\"") => Heard::Ready,
        [b'4', b'3', rest @ ..] if find(rest, b"\"ok\":true").is_some() => Heard::Ack,
        [b'4', b'3', ..] => Heard::Refused,
        [b'0', ..] => {
            frames::push(out, TEXT, format!("40{{\"token\":\"{}\"}}", caller.token).as_bytes());
            Heard::Answered
        }
        [b'2', ..] => {
            frames::push(out, TEXT, b"3");
            Heard::Answered
        }
        [b'4', b'0', ..] if !greets => Heard::Ready,
        [b'4', b'1' | b'4', ..] | [b'1', ..] => Heard::Farewell,
        _ => Heard::Other,
    }
}

fn hear_plain(payload: &[u8]) -> Heard {
    if payload.starts_with(b"{\"ok\":true") {
        Heard::Ack
    } else if payload.starts_with(b"{\"ok\"") {
        Heard::Refused
    } else {
        Heard::Delivery
    }
}

/// Reads one unit of an inner protocol: how long it is, what it means, where its payload begins.
type Step = fn(&[u8], &mut Vec<u8>) -> Option<(usize, Heard)>;

fn steps(step: Step, bytes: &[u8], out: &mut Vec<u8>, tell: &mut impl FnMut(Heard, &[u8])) -> usize {
    let mut used = 0;
    while let Some((length, heard)) = step(&bytes[used..], out) {
        tell(heard, &bytes[used..used + length]);
        used += length;
    }
    used
}

fn nats(bytes: &[u8], out: &mut Vec<u8>) -> Option<(usize, Heard)> {
    let line = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    Some(match bytes {
        [b'M', ..] => {
            let head = std::str::from_utf8(&bytes[..line]).ok()?;
            let length: usize = head.split_ascii_whitespace().next_back()?.parse().ok()?;
            let whole = line + length + 2;
            (whole <= bytes.len()).then_some((whole, Heard::Delivery))?
        }
        [b'+', ..] => (line, Heard::Ack),
        [b'P', b'O', ..] => (line, Heard::Ready),
        [b'P', ..] => {
            frames::push(out, BINARY, b"PONG\r\n");
            (line, Heard::Answered)
        }
        [b'-', ..] => (line, Heard::Refused),
        _ => (line, Heard::Other),
    })
}

fn mqtt(bytes: &[u8], _: &mut Vec<u8>) -> Option<(usize, Heard)> {
    let (mut length, mut head) = (0_usize, 1);
    loop {
        let byte = *bytes.get(head)?;
        length |= usize::from(byte & 0x7f) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let heard = match bytes.first()? >> 4 {
        3 => Heard::Delivery,
        4 => Heard::Ack,
        9 => Heard::Ready,
        2 if bytes.get(head + 1) != Some(&0) => Heard::Refused,
        _ => Heard::Other,
    };
    (head + length <= bytes.len()).then_some((head + length, heard))
}

fn mqtt_text(text: &str) -> Vec<u8> {
    let mut out = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

fn mqtt_packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut rest = body.len();
    loop {
        let low = u8::try_from(rest % 128).unwrap_or(0);
        rest /= 128;
        out.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::{Caller, Heard, Speech};

    fn heard(speech: Speech, pieces: &[&[u8]]) -> Vec<Heard> {
        let caller = Caller { token: "t".into(), path: "/".into(), submits: true };
        let (mut all, mut inner) = (Vec::new(), Vec::new());
        for piece in pieces {
            speech.hear(&caller, piece, &mut Vec::new(), &mut inner, &mut |heard, _| all.push(heard));
        }
        all
    }

    #[test]
    fn deliveries_are_counted_across_frames() {
        let nats: [&[u8]; 3] =
            [b"+OK\r\nMSG category.final 1 5\r\nhe", b"llo\r\nMSG category.final 1 2\r\nhi\r\n+O", b"K\r\n"];
        assert_eq!(heard(Speech::Nats, &nats), [Heard::Ack, Heard::Delivery, Heard::Delivery, Heard::Ack]);
        let mqtt: [&[u8]; 2] = [&[0x30, 3, 0, 0, b'x', 0x40, 2, 0], &[1]];
        assert_eq!(heard(Speech::Mqtt, &mqtt), [Heard::Delivery, Heard::Ack]);
        let socket: [&[u8]; 3] = [b"42[\"scores:updated\",{}]", b"4312[{\"ok\":true}]", b"431[{\"ok\":false}]"];
        assert_eq!(heard(Speech::SocketIo { greets: true }, &socket), [Heard::Delivery, Heard::Ack, Heard::Refused]);
    }

    #[test]
    fn a_delivery_tells_its_submit() {
        let speech = Speech::SocketIo { greets: true };
        assert_eq!(speech.marker(b"42[\"scores:updated\",{\"contestantId\":\"k0042\",\"score\":null}]"), Some(42));
        assert_eq!(Speech::Feed.marker(b"{\"results\":[{\"bib\":17,\"name\":\"x\"}]}"), Some(17));
    }
}
