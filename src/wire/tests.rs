//! The bytes of a connection, decoded by the library's own client: whatever the library writes, however little the client
//! takes at a time, and whenever frames of ours come, each stream is whole.

use super::weave::{Flow, Namespace, Weave};
use super::{Flusher, Frame, Piece, Pushed, Wire};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::{Cursor, Error, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";

/// What happens to a connection.
#[derive(Clone, Debug)]
enum Step {
    /// The library greets a namespace, which is said before.
    Greet(bool),
    /// The library writes a message of its own of so many bytes.
    Library(usize),
    /// It pings.
    Ping,
    /// It takes leave.
    Leave,
    /// Frames of ours of so many bytes, which are joined or not.
    Ours(Vec<usize>, bool),
    /// The client takes so many bytes.
    Takes(usize),
    /// The flusher comes; it may have made the first write beforehand, with those of others.
    Flush(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![8 => 0..40_usize, 2 => 120..130_usize, 1 => 65_530..65_540_usize];
    let step = prop_oneof![
        2 => any::<bool>().prop_map(Step::Greet),
        4 => length.clone().prop_map(Step::Library),
        2 => Just(Step::Ping),
        1 => Just(Step::Leave),
        8 => (proptest::collection::vec(length, 1..4), any::<bool>()).prop_map(|(ours, joined)| Step::Ours(ours, joined)),
        6 => (1..4_usize).prop_map(Step::Takes),
        3 => (4..100_000_usize).prop_map(Step::Takes),
        6 => any::<bool>().prop_map(Step::Flush),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Where the library's frames are made.
#[derive(Default)]
struct Made(VecDeque<u8>);

impl Read for Made {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, Error> {
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for Made {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// A client that takes so much and no more.
#[derive(Default)]
struct Client {
    got: Vec<u8>,
    takes: usize,
    /// How often it was given something.
    times: usize,
}

impl Client {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Error> {
        let mut written = 0;
        for slice in slices {
            let part = slice.len().min(self.takes);
            self.got.extend_from_slice(&slice[..part]);
            self.takes -= part;
            written += part;
        }
        self.times += usize::from(written > 0);
        if written == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }
}

/// What the client got, to be read; nobody hears what it answers.
struct Got(Cursor<Vec<u8>>);

impl Read for Got {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.0.read(into)
    }
}

impl Write for Got {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// A connection under test.
struct Connection {
    weave: Weave,
    library: WebSocket<Made>,
    client: Client,
}

impl Connection {
    fn new() -> Self {
        Self::that_is_followed(false)
    }

    fn that_is_followed(is_followed: bool) -> Self {
        let mut weave = Weave::default();
        weave.upgrades(is_followed);
        let mut library = WebSocket::from_raw_socket(Made::default(), Role::Server, None);
        library.get_mut().0.extend(SWITCHED);
        Self { weave, library, client: Client::default() }
    }

    /// The library has a message; it writes as much as the client takes.
    fn say(&mut self, message: Message) {
        // After its leave it has nothing to say.
        if self.library.send(message).is_ok() {
            self.write();
        }
    }

    fn write(&mut self) {
        loop {
            let made = self.library.get_mut().0.make_contiguous();
            if made.is_empty() {
                break;
            }
            let half = made.len().div_ceil(2);
            let slices = [IoSlice::new(&made[..half]), IoSlice::new(&made[half..])];
            match self.weave.write(&slices, |slices| self.client.write(slices)) {
                Ok(written) => drop(self.library.get_mut().0.drain(..written)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return;
                }
            }
        }
        self.flush();
    }

    fn flush(&mut self) -> Flow {
        self.flush_ahead(false)
    }

    fn flush_ahead(&mut self, ahead: bool) -> Flow {
        self.weave.begin_flush();
        let next = self.weave.next().filter(|_| ahead).map(<[u8]>::to_vec);
        let mut first = next.map(|next| (self.client.write(&[IoSlice::new(&next)]), next));
        let write = |slices: &[IoSlice<'_>]| match first.take() {
            Some((written, next)) => {
                assert_eq!(
                    slices.iter().map(|slice| &**slice).collect::<Vec<_>>(),
                    [next],
                    "it is what would have been written"
                );
                written
            }
            None => self.client.write(slices),
        };
        let flow = self.weave.drain(write).expect("the client is there");
        assert!(first.is_none(), "what was written is known");
        flow
    }

    /// Lets the client take all there is, and says what it has read.
    fn finish(mut self) -> Vec<Message> {
        self.client.takes = usize::MAX;
        self.write();
        self.flush();
        assert_eq!(self.weave.waiting(), 0, "all has left");
        let rest = self.client.got.strip_prefix(SWITCHED).expect("the answer comes first").to_vec();
        let mut reader = WebSocket::from_raw_socket(Got(Cursor::new(rest)), Role::Client, None);
        std::iter::from_fn(|| reader.read().ok()).collect()
    }
}

fn text(message: &Message) -> Option<&str> {
    if let Message::Text(text) = message { Some(text.as_str()) } else { None }
}

fn padded(name: &str, length: usize) -> String {
    format!("{name}:{}", "x".repeat(length))
}

fn name(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

/// What has to be read, noted while it happened.
#[derive(Default)]
struct Expected {
    library: Vec<String>,
    ours: Vec<String>,
    /// For each message of the library, how many of ours had been pushed before it.
    before: Vec<usize>,
    /// For each frame of ours, how many greetings had been announced before it.
    after: Vec<usize>,
    greetings: usize,
}

/// Where the answer that makes a websocket waits for the library to begin: how many of the steps come before it does. What is
/// the library's begins it.
fn run(steps: &[Step], begins_after: Option<usize>) -> (Expected, Vec<Message>) {
    let (mut connection, mut expected, mut left) =
        (Connection::that_is_followed(begins_after.is_some()), Expected::default(), false);
    let begin = |connection: &mut Connection, expected: &mut Expected| {
        // It leaves with the answer: nothing comes between.
        expected.before.push(0);
        expected.library.push("library begins".to_owned());
        connection.say(Message::text("library begins:"));
    };
    let mut begins_after = begins_after.map(|after| after.min(steps.len()));
    if begins_after.is_some() {
        connection.write();
    }
    for (number, step) in steps.iter().enumerate() {
        let is_the_librarys = !matches!(step, Step::Ours(..) | Step::Takes(_) | Step::Flush(_));
        if begins_after.take_if(|after| number >= *after || is_the_librarys).is_some() {
            begin(&mut connection, &mut expected);
        }
        match step {
            Step::Greet(_) | Step::Library(_) | Step::Ping if left => {}
            Step::Greet(live) => {
                let (namespace, said) = if *live {
                    (Namespace::Live, format!("40/live,{{\"sid\":\"{number}\"}}"))
                } else {
                    (Namespace::Scoring, format!("40{{\"sid\":\"{number}\"}}"))
                };
                connection.weave.expect(namespace);
                expected.greetings += 1;
                expected.before.push(expected.ours.len());
                expected.library.push(said.clone());
                connection.say(Message::text(said));
            }
            Step::Library(length) => {
                let said = padded(&format!("library {number}"), *length);
                expected.before.push(expected.ours.len());
                expected.library.push(name(&said).to_owned());
                connection.say(Message::text(said));
            }
            Step::Ping => connection.say(Message::Ping(vec![7; number].into())),
            Step::Leave => {
                left = true;
                connection.say(Message::Close(None));
            }
            Step::Ours(lengths, joined) => {
                let said = |(place, length): (usize, &usize)| padded(&format!("ours {number} {place}"), *length);
                let said: Vec<String> = lengths.iter().enumerate().map(said).collect();
                let pieces: Vec<Piece> = said.iter().map(|said| Frame::text(said).into()).collect();
                let pieces = if *joined { vec![Piece::joined(&pieces)] } else { pieces };
                let before = connection.weave.waiting();
                match connection.weave.push(&pieces, usize::MAX) {
                    Pushed::First | Pushed::Waits => {
                        assert_eq!(connection.weave.waiting(), before + said.len());
                        expected.after.extend(said.iter().map(|_| expected.greetings));
                        expected.ours.extend(said.iter().map(|said| name(said).to_owned()));
                    }
                    Pushed::Closed => assert!(left, "it is closed after the leave alone"),
                    Pushed::Full => panic!("there is room"),
                }
            }
            Step::Takes(bytes) => {
                connection.client.takes = *bytes;
                connection.write();
            }
            Step::Flush(ahead) => drop(connection.flush_ahead(*ahead)),
        }
    }
    if begins_after.is_some() {
        begin(&mut connection, &mut expected);
    }
    (expected, connection.finish())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 500 } else { 20_000 }))]

    #[test]
    fn every_stream_is_whole_and_in_order(steps in steps(), begins_after in proptest::option::of(0..6_usize)) {
        let (expected, read) = run(&steps, begins_after);
        let left = steps.iter().any(|step| matches!(step, Step::Leave));
        let texts: Vec<&str> = read.iter().filter_map(text).map(name).collect();
        let is_ours = |text: &&str| text.starts_with("ours ");
        let ours: Vec<&str> = texts.iter().copied().filter(is_ours).collect();
        let library: Vec<&str> = texts.iter().copied().filter(|text| !is_ours(text)).collect();
        let names: Vec<&str> = expected.library.iter().map(|said| name(said)).collect();
        prop_assert_eq!(&library, &names);
        prop_assert!(begins_after.is_none() || texts.first() == Some(&"library begins"), "nothing comes before it");
        if left {
            prop_assert!(matches!(read.last(), Some(Message::Close(_))), "nothing comes after the leave");
            prop_assert!(expected.ours.starts_with(&ours.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()));
        } else {
            prop_assert_eq!(&ours, &expected.ours);
        }
        let pings = steps.iter().take_while(|step| !matches!(step, Step::Leave));
        let pings = pings.filter(|step| matches!(step, Step::Ping)).count();
        prop_assert_eq!(read.iter().filter(|message| matches!(message, Message::Ping(_))).count(), pings);

        // Ours wait for the greetings that were announced before them, and the library for all of ours before it.
        let (mut greetings, mut ours_read, mut library_read) = (0, 0, 0);
        for text in &texts {
            if is_ours(text) {
                prop_assert!(greetings >= expected.after[ours_read], "{text} before its greeting");
                ours_read += 1;
            } else {
                let waits = greetings < expected.greetings;
                prop_assert!(waits || ours_read >= expected.before[library_read], "{text} before what waited");
                library_read += 1;
                greetings += usize::from(text.starts_with("40"));
            }
        }
    }

    #[test]
    fn a_frame_is_what_the_library_reads(said in ".{0,300}", long in 0..70_000_usize) {
        for said in [said, "y".repeat(long)] {
            let frame = Frame::text(&said);
            prop_assert_eq!(frame.as_str(), &said);
            let got = Got(Cursor::new(frame.as_bytes().to_vec()));
            let read = WebSocket::from_raw_socket(got, Role::Client, None).read();
            prop_assert_eq!(read.expect("a whole frame"), Message::Text(Utf8Bytes::from(said)));
        }
    }
}

#[test]
fn packets_are_those_of_socket_io() {
    let event = |namespace, arguments: serde_json::Value| {
        Frame::event(namespace, "scores:updated", &arguments).expect("a list").as_str().to_owned()
    };
    assert_eq!(event(Namespace::Scoring, serde_json::json!([{ "a": 1 }, 2])), r#"42["scores:updated",{"a":1},2]"#);
    assert_eq!(event(Namespace::Live, serde_json::json!([])), r#"42/live,["scores:updated"]"#);
    assert!(Frame::event(Namespace::Scoring, "x", &"no list").is_err());
    let answer = Frame::answer(Namespace::Live, 12, &serde_json::json!({ "ok": true })).expect("plain data");
    assert_eq!(answer.as_str(), r#"43/live,12[{"ok":true}]"#);
}

#[test]
fn a_queue_has_a_bound_and_can_be_put_anew() {
    let mut connection = Connection::new();
    let frame = |said| Piece::from(Frame::text(said));
    assert_eq!(connection.weave.push(&[frame("a")], 2), Pushed::First);
    let two = [frame("b"), frame("c")];
    for pieces in [&two[..], &[Piece::joined(&two)]] {
        assert_eq!(connection.weave.push(pieces, 2), Pushed::Full, "all or none");
    }
    assert_eq!(connection.weave.push(&two[..1], 2), Pushed::Waits);
    assert_eq!(connection.weave.push(&two[1..], 2), Pushed::Full);
    // The first has begun to leave: it is not taken back.
    connection.client.takes = SWITCHED.len() + 1;
    connection.write();
    assert_eq!(connection.weave.replace(frame("anew")), Pushed::First);
    assert_eq!(connection.weave.waiting(), 2);
    let read = connection.finish();
    assert_eq!(read.iter().filter_map(text).collect::<Vec<_>>(), ["a", "anew"]);
}

#[test]
fn joined_frames_wait_until_the_last_of_them_has_left() {
    let mut connection = Connection::new();
    let two = ["a", "b"].map(|said| Piece::from(Frame::text(said)));
    assert_eq!(connection.weave.push(&[Piece::joined(&two)], 2), Pushed::First);
    // All but the last byte.
    connection.client.takes = SWITCHED.len() + 5;
    connection.write();
    assert_eq!((connection.weave.waiting(), connection.weave.push(&two[..1], 2)), (2, Pushed::Full));
    assert_eq!(connection.weave.replace(two[0].clone()), Pushed::First, "they are not torn apart");
    assert_eq!(connection.weave.waiting(), 3);
    let read = connection.finish();
    assert_eq!(read.iter().filter_map(text).collect::<Vec<_>>(), ["a", "b", "a"]);
}

#[test]
fn what_waits_for_a_greeting_leaves_with_it() {
    let mut connection = Connection::new();
    connection.client.takes = usize::MAX;
    connection.write();
    connection.weave.expect(Namespace::Scoring);
    for said in ["first", "second"] {
        assert_ne!(connection.weave.push(&[Frame::text(said).into()], 2), Pushed::Full);
    }
    assert_eq!(connection.flush(), Flow::Held);
    let (before, greeting) = (connection.client.times, Frame::text("40{}"));
    let bytes = [IoSlice::new(greeting.as_bytes())];
    let written = connection.weave.write(&bytes, |slices| connection.client.write(slices));
    assert_eq!(written.expect("the client takes it"), greeting.as_bytes().len());
    assert_eq!((connection.client.times - before, connection.weave.waiting()), (1, 0));
    let read = connection.finish();
    assert_eq!(read.iter().filter_map(text).collect::<Vec<_>>(), ["40{}", "first", "second"]);
}

#[test]
fn an_answer_that_is_followed_leaves_with_what_follows() {
    let mut connection = Connection::that_is_followed(true);
    connection.client.takes = usize::MAX;
    connection.write();
    assert_eq!((connection.client.times, connection.flush()), (0, Flow::Empty), "the library is about to speak");
    assert_eq!(connection.weave.push(&[Frame::text("ours").into()], 1), Pushed::First);
    assert_eq!(connection.flush(), Flow::Held, "nothing is before the answer");
    let open = Frame::text("0{}");
    let bytes = [IoSlice::new(open.as_bytes())];
    let written = connection.weave.write(&bytes, |slices| connection.client.write(slices));
    assert_eq!(written.expect("the client takes it"), open.as_bytes().len());
    assert_eq!(connection.client.times, 1);
    let read = connection.finish();
    assert_eq!(read.iter().filter_map(text).collect::<Vec<_>>(), ["0{}", "ours"]);
}

/// The two ends of a connection: a wire that has become a websocket, and its client.
async fn wire() -> (Arc<Wire>, tokio::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client =
        tokio::net::TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
    let (server, _) = listener.accept().await.expect("a connection");
    let (_, half) = server.into_split();
    let wire = Arc::new(Wire::new(half, CancellationToken::new(), Duration::from_mins(10), TaskTracker::new()));
    wire.upgrades(false);
    (wire, client)
}

async fn switched() -> (Arc<Wire>, tokio::net::TcpStream) {
    let (wire, mut client) = wire().await;
    switch(&wire, &mut client).await;
    (wire, client)
}

async fn switch(wire: &Arc<Wire>, client: &mut tokio::net::TcpStream) {
    let written = std::future::poll_fn(|cx| wire.poll_write(cx, &[IoSlice::new(SWITCHED)])).await;
    assert_eq!(written.expect("it is written"), SWITCHED.len());
    read(client, SWITCHED).await;
}

async fn read(client: &mut tokio::net::TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    tokio::io::AsyncReadExt::read_exact(client, &mut got).await.expect("it comes");
    assert!(got == expected, "{} for {}", String::from_utf8_lossy(&got), String::from_utf8_lossy(expected));
}

fn piece(text: &str) -> Piece {
    Frame::text(text).into()
}

/// Whatever waits on a wire, and whether the system takes writes together or not: each client gets its own.
#[tokio::test]
async fn what_leaves_with_others_is_what_would_have_left_alone() {
    for together in [true, false] {
        let flusher = Flusher::new(together);
        let mut wires = Vec::new();
        for _ in 0..6 {
            wires.push(switched().await);
        }
        let (held, mut its_client) = wire().await;
        let push = |wire: &Arc<Wire>, pieces: &[Piece]| flusher.push(Arc::clone(wire), pieces, usize::MAX);
        let large = piece(&"x".repeat(32 << 20));
        push(&wires[0].0, &[piece("one")]);
        push(&held, &[piece("held")]);
        push(&wires[1].0, &[piece("two"), piece("pieces")]);
        push(&wires[2].0, std::slice::from_ref(&large));
        push(&wires[3].0, &[piece("of a wire that was written to meanwhile")]);
        wires[3].0.flush();
        // It is known already: a wire that is written to twice in one go would be waited for by whoever writes to it.
        assert_eq!(push(&wires[3].0, &[piece("once more")]), Pushed::Waits);
        wires[4].0.kill();
        push(&wires[4].0, &[piece("to nobody")]);
        push(&wires[5].0, &[piece("last")]);
        flusher.pen().await.write().await;
        read(&mut wires[0].1, piece("one").as_bytes()).await;
        read(&mut wires[1].1, Piece::joined(&[piece("two"), piece("pieces")]).as_bytes()).await;
        let twice = [piece("of a wire that was written to meanwhile"), piece("once more")];
        read(&mut wires[3].1, Piece::joined(&twice).as_bytes()).await;
        read(&mut wires[5].1, piece("last").as_bytes()).await;
        assert_eq!(wires[2].0.waiting(), 1, "it took a part");
        push(&wires[2].0, &[piece("after it")]);
        flusher.pen().await.write().await;
        read(&mut wires[2].1, large.as_bytes()).await;
        read(&mut wires[2].1, piece("after it").as_bytes()).await;
        assert_eq!(held.waiting(), 1, "it is not its turn yet");
        switch(&held, &mut its_client).await;
        read(&mut its_client, piece("held").as_bytes()).await;
        assert!(wires.iter().all(|(wire, _)| wire.waiting() == 0));
    }
}
