//! A Socket.IO client for tests: protocol v5 over Engine.IO 4, websocket only, one namespace per connection.
//!
//! Invariant: nothing that arrives is lost. A background task records every text, whether or not a test waits for it,
//! so an event that overtakes the CONNECT answer is there like any other. The end of the stream alone ends a connection:
//! a failed write does not, because what the server said last may still be unread.
//!
//! Whoever waits is woken by that task, never by a timer. What can no longer come panics at once, anything else
//! after 30 s; the panic names the line of the test that waited and shows what did come.
//!
//! Absent on purpose: polling, reconnection, binary events, answers to the server's own ack requests, and the check
//! that the server's pings arrive in time.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    net::SocketAddr,
    panic::Location,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
    time::{error::Elapsed, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, ClientRequestBuilder, Message, http::Uri, protocol::WebSocketConfig},
};

/// How long anything may take, on the slowest machine that runs the tests.
const LIMIT: Duration = Duration::from_secs(30);
/// How much of a transcript a panic shows: the last frames, each cut at a length.
const SHOWN_FRAMES_MAX: usize = 60;
const SHOWN_CHARS_MAX: usize = 300;

/// One connection to one namespace. Dropping it cuts the connection without a word, as a lost network does;
/// [`Client::close`] leaves in order.
pub struct Client {
    shared: Arc<Shared>,
    outbox: Outbox,
    namespace: Namespace,
    paused: watch::Sender<bool>,
    /// Owns the task that reads and writes; dropping the set aborts it.
    _connection: JoinSet<()>,
}

/// How a client holds its end of the line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wire {
    /// A lost connection is reset, not closed.
    pub resets: bool,
    /// How much may wait unread in the client's kernel, in bytes; the smaller, the sooner the server notices a client
    /// that does not read.
    pub receive_bytes: Option<u32>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The server refused the namespace; the message of its `connect_error`.
    Refused(String),
    /// The server answered the websocket handshake with this status.
    Http(u16),
    /// No answer, or none that can be understood.
    Transport(String),
}

/// An event as it came from the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub event: String,
    pub args: Vec<Value>,
}

impl Client {
    /// Connects to the namespace `/`.
    pub async fn connect(addr: SocketAddr, auth: Value) -> Result<Client, ConnectError> {
        Client::connect_with(addr, "/", Some(auth), &[]).await
    }

    /// Connects to any namespace (`/judges`); `headers` are added to the handshake, a name may occur twice.
    pub async fn connect_with(
        addr: SocketAddr,
        namespace: &str,
        auth: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Result<Client, ConnectError> {
        let stream = TcpStream::connect(addr).await.map_err(tungstenite::Error::Io)?;
        Client::connect_through(stream, addr, namespace, auth, headers).await
    }

    /// Connects to the namespace `/` over a line of a certain kind.
    pub async fn connect_over(addr: SocketAddr, auth: Value, wire: Wire) -> Result<Client, ConnectError> {
        let line = TcpSocket::new_v4().map_err(tungstenite::Error::Io)?;
        if let Some(bytes) = wire.receive_bytes {
            line.set_recv_buffer_size(bytes).map_err(tungstenite::Error::Io)?;
        }
        if wire.resets {
            line.set_zero_linger().map_err(tungstenite::Error::Io)?;
        }
        let stream = line.connect(addr).await.map_err(tungstenite::Error::Io)?;
        Client::connect_through(stream, addr, "/", Some(auth), &[]).await
    }

    async fn connect_through(
        stream: TcpStream,
        addr: SocketAddr,
        namespace: &str,
        auth: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Result<Client, ConnectError> {
        let answered = async {
            let socket = handshake(stream, addr, headers).await?;
            let client = Client::over(socket, Namespace(namespace.to_owned()), auth);
            client.shared.until(State::connect_answer).await?;
            Ok(client)
        };
        let too_late = |_: Elapsed| ConnectError::Transport(format!("no answer within {LIMIT:?}"));
        timeout(LIMIT, answered).await.map_err(too_late)?
    }

    fn over(socket: Socket, namespace: Namespace, auth: Option<Value>) -> Client {
        let (outbox, queued) = mpsc::unbounded_channel();
        let (paused, pause) = watch::channel(false);
        let shared = Arc::new(Shared::default());
        let (sink, stream) = socket.split();
        let auth = auth.map_or_else(String::new, |auth| auth.to_string());
        let reader = Reader {
            shared: Arc::clone(&shared),
            outbox: outbox.clone(),
            hello: namespace.packet("40", &auth),
            namespace: namespace.clone(),
            pause,
        };
        let mut connection = JoinSet::new();
        connection.spawn(async move {
            tokio::select! {
                () = reader.run(stream) => {}
                () = write(sink, queued) => {} // not before the reader: it holds a sender
            }
        });
        Client { shared, outbox, namespace, paused, _connection: connection }
    }

    /// Sends an event without asking for an answer. Returns when it is written; on an ended connection it is dropped.
    pub async fn emit(&self, event: &str, data: Value) {
        let packet = self.namespace.packet("42", &arguments(event, data));
        self.write(Message::text(packet)).await;
    }

    /// Sends an event and returns the first argument of the answer, `null` if it has none.
    #[track_caller]
    pub fn call(&self, event: &str, data: Value) -> impl Future<Output = Value> {
        let asked_at = Location::caller();
        async move {
            match self.request(asked_at, event, data).await {
                Some(answer) => answer,
                None => panic!("{asked_at}: no answer to `{event}` any more\n{}", self.shared.state()),
            }
        }
    }

    /// Sends an event at once, before anything that is sent after this call; the answer can be awaited later,
    /// also elsewhere. `None` means that the connection ended before it.
    #[track_caller]
    pub fn call_later(&self, event: &str, data: Value) -> impl Future<Output = Option<Value>> + use<> {
        self.request(Location::caller(), event, data)
    }

    /// Sends any text as one websocket frame. A test that breaks the rules has to say `4` and `2` itself.
    pub async fn send_raw(&self, text: &str) {
        self.write(Message::text(text)).await;
    }

    /// Takes the oldest frame of that name that was not taken before, or waits for it. Other names stay.
    #[track_caller]
    pub fn next(&self, event: &str) -> impl Future<Output = Frame> {
        self.wait(format!("`{event}`"), move |state| state.take(event))
    }

    /// Waits until the whole transcript, taken frames included, satisfies `pred`.
    #[track_caller]
    pub fn wait_until(&self, pred: impl Fn(&[Frame]) -> bool) -> impl Future<Output = ()> {
        self.wait("the wanted transcript".to_owned(), move |state| pred(&state.frames).then_some(()))
    }

    /// Every event so far, taken ones included, in order; no answers.
    pub fn transcript(&self) -> Vec<Frame> {
        self.shared.state().frames.clone()
    }

    /// The events after the first `count`, in order.
    pub fn transcript_after(&self, count: usize) -> Vec<Frame> {
        self.shared.state().frames[count..].to_vec()
    }

    /// Stops reading, as a tablet that went to sleep does, until [`Client::go_on`]. What is being read still comes.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Reads again.
    pub fn go_on(&self) {
        self.paused.send_replace(false);
    }

    /// Everything the server sent so far, answers and pings included, one message per line: whoever searches it
    /// for a mark that this client must not see overlooks nothing.
    pub fn raw_text(&self) -> String {
        self.shared.state().raw.clone()
    }

    pub fn is_open(&self) -> bool {
        self.shared.state().ended.is_none()
    }

    /// Waits for the end of the connection, whoever ends it.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = ()> {
        self.wait("the end of the connection".to_owned(), |state| state.ended.is_some().then_some(()))
    }

    /// Leaves the namespace, closes the websocket and waits until the server has closed it too.
    pub async fn close(self) {
        self.write(Message::text(self.namespace.packet("41", ""))).await;
        self.write(Message::Close(None)).await;
        self.closed().await;
    }

    /// Not async, so that the packet is queued before this returns; the future borrows nothing, above all not
    /// the shared state, whose end is what it may be waiting for.
    fn request(
        &self,
        asked_at: &'static Location<'static>,
        event: &str,
        data: Value,
    ) -> impl Future<Output = Option<Value>> + use<> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.state(); // held until the packet is queued: ids leave in order
            if state.ended.is_none() {
                let id = state.ack_id_next;
                state.ack_id_next += 1;
                state.unanswered.insert(id, answer);
                let packet = self.namespace.packet("42", &format!("{id}{}", arguments(event, data)));
                queue(&self.outbox, Message::text(packet), None);
            }
        }
        let event = event.to_owned();
        async move {
            match timeout(LIMIT, answered).await {
                Ok(answer) => answer.ok(),
                Err(Elapsed { .. }) => {
                    panic!("{asked_at}: no answer to `{event}` within {LIMIT:?}")
                }
            }
        }
    }

    async fn write(&self, message: Message) {
        let (written, done) = oneshot::channel();
        queue(&self.outbox, message, Some(written));
        match timeout(LIMIT, done).await {
            Ok(Ok(()) | Err(_)) => {} // written, or the connection ended first
            Err(Elapsed { .. }) => panic!("the server has read nothing for {LIMIT:?}\n{}", self.shared.state()),
        }
    }

    #[track_caller]
    fn wait<T>(&self, what: String, mut look: impl FnMut(&mut State) -> Option<T>) -> impl Future<Output = T> {
        let asked_at = Location::caller();
        async move {
            let found_or_ended = self.shared.until(|state| match look(state) {
                Some(found) => Some(Some(found)),
                None => state.ended.is_some().then_some(None),
            });
            match timeout(LIMIT, found_or_ended).await {
                Ok(Some(found)) => found,
                Ok(None) => panic!("{asked_at}: {what} cannot come any more\n{}", self.shared.state()),
                Err(Elapsed { .. }) => panic!("{asked_at}: waited {LIMIT:?} for {what}\n{}", self.shared.state()),
            }
        }
    }
}

impl Frame {
    /// The first argument.
    #[track_caller]
    pub fn data(&self) -> &Value {
        self.args.first().unwrap_or_else(|| panic!("`{}` carries no data", self.event))
    }

    /// The second argument, if there is one.
    pub fn meta(&self) -> Option<&Value> {
        self.args.get(1)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.event)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client of {}, {}", self.namespace.0, self.shared.state())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Refused(message) => write!(f, "refused: {message}"),
            ConnectError::Http(status) => write!(f, "HTTP status {status}"),
            ConnectError::Transport(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ConnectError {}

// The connection.

type Socket = WebSocketStream<TcpStream>;
/// What to write, and whom to tell that it is written. Unbounded, because `call_later` cannot wait; everything else
/// waits for its write, so only the calls of one test are ever queued.
type Outgoing = (Message, Option<oneshot::Sender<()>>);
type Outbox = mpsc::UnboundedSender<Outgoing>;

async fn handshake(stream: TcpStream, addr: SocketAddr, headers: &[(&str, &str)]) -> Result<Socket, ConnectError> {
    let uri: Uri = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket")
        .parse()
        .expect("an address makes a valid authority");
    let request = headers
        .iter()
        .fold(ClientRequestBuilder::new(uri), |request, (name, value)| request.with_header(*name, *value));
    // The default buffer of 128 KiB would be most of the memory of a test with a thousand clients.
    let config = WebSocketConfig::default().read_buffer_size(8 * 1024);
    stream.set_nodelay(true).map_err(tungstenite::Error::Io)?;
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    Ok(socket)
}

impl From<tungstenite::Error> for ConnectError {
    fn from(error: tungstenite::Error) -> ConnectError {
        if let tungstenite::Error::Http(response) = &error {
            return ConnectError::Http(response.status().as_u16());
        }
        ConnectError::Transport(error.to_string())
    }
}

fn queue(outbox: &Outbox, message: Message, written: Option<oneshot::Sender<()>>) {
    outbox.send((message, written)).ok(); // an ended connection takes nothing, and drops `written` to say so
}

async fn write(mut sink: SplitSink<Socket, Message>, mut queued: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some((message, written)) = queued.recv().await {
        sink.send(message).await.ok(); // the reader sees the end, after what the server said last
        if let Some(written) = written {
            written.send(()).ok(); // nobody has to wait for it
        }
    }
}

struct Reader {
    shared: Arc<Shared>,
    outbox: Outbox,
    namespace: Namespace,
    /// The CONNECT packet, sent when the server has opened the session.
    hello: String,
    /// Whether nothing is to be read.
    pause: watch::Receiver<bool>,
}

impl Reader {
    async fn run(mut self, mut stream: SplitStream<Socket>) {
        let mut why = "the server cut the connection".to_owned();
        loop {
            // A client that is dropped while it pauses is aborted here.
            self.pause.wait_for(|paused| !paused).await.ok();
            let Some(message) = stream.next().await else { break };
            let read = message.map_err(|error| error.to_string()).and_then(|message| match message {
                Message::Text(text) => self.receive(&text),
                // Not understood, but searched for foreign marks like everything else.
                Message::Binary(bytes) => {
                    self.shared.change(|state| state.record(&String::from_utf8_lossy(&bytes)));
                    Ok(())
                }
                Message::Close(frame) => {
                    why = frame.map_or("closed".to_owned(), |frame| format!("closed: {frame}"));
                    Ok(())
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()), // tungstenite answers
            });
            if let Err(error) = read {
                why = error;
                break;
            }
        }
        self.shared.change(|state| state.end(why));
    }

    /// The error says what about the text is against the protocol.
    fn receive(&self, text: &str) -> Result<(), String> {
        let packet = Packet::parse(text, &self.namespace);
        self.shared.change(|state| {
            state.record(text);
            match packet.map_err(|error| format!("the server sent nonsense, {error}: {text}"))? {
                Packet::Opened => queue(&self.outbox, Message::text(&self.hello), None),
                Packet::Ping => queue(&self.outbox, Message::text("3"), None),
                Packet::Connected => state.connected = Some(Ok(())),
                Packet::Refused(message) => state.connected = Some(Err(message)),
                // Without its only namespace the session has no use; what still comes is recorded until it ends.
                Packet::Disconnected => queue(&self.outbox, Message::Close(None), None),
                Packet::Event(frame) => state.push(frame),
                Packet::Ack { id, args } => state.answer(id, args),
                Packet::Other => {}
            }
            Ok(())
        })
    }
}

// What is known of it so far.

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The answer to CONNECT.
    connected: Option<Result<(), String>>,
    /// Why the connection ended, once it has.
    ended: Option<String>,
    frames: Vec<Frame>,
    /// By event: which frames `next` has not taken.
    untaken: HashMap<String, VecDeque<usize>>,
    ack_id_next: u64,
    unanswered: HashMap<u64, oneshot::Sender<Value>>,
    raw: String,
}

impl Shared {
    /// A predicate that panics under the lock must not hide its own message behind a poisoned lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, apply: impl FnOnce(&mut State) -> T) -> T {
        let result = apply(&mut self.state());
        self.changed.notify_waiters();
        result
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified(); // before the look: a change during it wakes, too
            if let Some(found) = look(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }
}

impl State {
    fn connect_answer(&mut self) -> Option<Result<(), ConnectError>> {
        match (&self.connected, &self.ended) {
            (Some(answer), _) => Some(answer.clone().map_err(ConnectError::Refused)),
            (None, Some(why)) => Some(Err(ConnectError::Transport(why.clone()))),
            (None, None) => None,
        }
    }

    fn record(&mut self, text: &str) {
        if !self.raw.is_empty() {
            self.raw.push('\n');
        }
        self.raw.push_str(text);
    }

    fn push(&mut self, frame: Frame) {
        self.untaken.entry(frame.event.clone()).or_default().push_back(self.frames.len());
        self.frames.push(frame);
    }

    fn take(&mut self, event: &str) -> Option<Frame> {
        let index = self.untaken.get_mut(event)?.pop_front()?;
        Some(self.frames[index].clone())
    }

    fn answer(&mut self, id: u64, args: Vec<Value>) {
        if let Some(answer) = self.unanswered.remove(&id) {
            answer.send(args.into_iter().next().unwrap_or_default()).ok(); // nobody has to wait for it
        }
    }

    fn end(&mut self, why: String) {
        self.ended = Some(why);
        self.unanswered.clear(); // tells those who wait
    }
}

/// For panics: how the connection is, how often each event came, and the last of them.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ended {
            Some(why) => write!(f, "connection ended ({why})")?,
            None => f.write_str("connection open")?,
        }
        let mut counts = BTreeMap::<&str, usize>::new();
        for frame in &self.frames {
            *counts.entry(&frame.event).or_default() += 1;
        }
        write!(f, ", {} unanswered, {} events {counts:?}", self.unanswered.len(), self.frames.len())?;
        let skipped = self.frames.len().saturating_sub(SHOWN_FRAMES_MAX);
        if skipped > 0 {
            write!(f, "\n    ({skipped} earlier)")?;
        }
        self.frames[skipped..].iter().try_for_each(|frame| write!(f, "\n    {:.SHOWN_CHARS_MAX$}", frame.to_string()))
    }
}

// The protocol.

#[derive(Clone)]
struct Namespace(String);

impl Namespace {
    /// `/` is left out of a packet, any other name is followed by a comma.
    fn packet(&self, kind: &str, body: &str) -> String {
        match self.0.as_str() {
            "/" => format!("{kind}{body}"),
            name => format!("{kind}{name},{body}"),
        }
    }
}

/// The body of an EVENT packet.
fn arguments(event: &str, data: Value) -> String {
    Value::from(vec![Value::from(event), data]).to_string()
}

enum Packet {
    Opened,
    Ping,
    Connected,
    Refused(String),
    Disconnected,
    Event(Frame),
    Ack {
        id: u64,
        args: Vec<Value>,
    },
    /// Of another namespace, which only `send_raw` can have joined, or of a kind that is absent on purpose.
    Other,
}

impl Packet {
    fn parse(text: &str, namespace: &Namespace) -> Result<Packet, Box<dyn std::error::Error>> {
        if text.starts_with('0') {
            return Ok(Packet::Opened);
        }
        if text == "2" {
            return Ok(Packet::Ping);
        }
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Ok(Packet::Other);
        };
        let (name, rest) = if rest.starts_with('/') { rest.split_once(',').unwrap_or((rest, "")) } else { ("/", rest) };
        if name != namespace.0 {
            return Ok(Packet::Other);
        }
        let body_at = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (id, body) = rest.split_at(body_at);
        Ok(match kind {
            "40" => Packet::Connected,
            "41" => Packet::Disconnected,
            "42" => {
                let mut args = serde_json::from_str::<Vec<Value>>(body)?.into_iter();
                let Some(Value::String(event)) = args.next() else {
                    return Err("an event without a name".into());
                };
                Packet::Event(Frame { event, args: args.collect() })
            }
            "43" => Packet::Ack { id: id.parse()?, args: serde_json::from_str(body)? },
            "44" => {
                let reason: Value = serde_json::from_str(body)?;
                Packet::Refused(reason["message"].as_str().unwrap_or(body).to_owned())
            }
            _ => Packet::Other,
        })
    }
}
