//! A client that behaves as it likes: a websocket whose frames a test reads one by one, or never.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long anything may take, on the slowest machine that runs the tests.
pub const LIMIT: Duration = Duration::from_secs(30);
/// How much the machine takes for a client that does not read; as little as it allows.
const RECEIVE_BYTES: u32 = 4096;
/// More than the machine keeps for a client that does not read, in frames that fit.
pub const FLOOD_FRAMES: usize = 60;
const FLOOD_BYTES: usize = 100_000;

/// A websocket to the server; nothing is read unless it is asked for.
#[derive(Debug)]
pub struct Wire(WebSocketStream<TcpStream>);

impl Wire {
    /// A session that says nothing.
    ///
    /// # Errors
    /// How the handshake was answered.
    pub async fn open(address: SocketAddr) -> Result<Self, tungstenite::Error> {
        Self::open_at(address, "").await
    }

    /// The same, or the upgrade of a session that polls, with more of a query.
    pub async fn open_at(address: SocketAddr, query: &str) -> Result<Self, tungstenite::Error> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        let stream = socket.connect(address).await?;
        let uri = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{query}");
        Ok(Self(client_async(uri, stream).await?.0))
    }

    /// A socket that has been greeted, and reads no further.
    pub async fn signed_in(address: SocketAddr, token: &str) -> Self {
        let mut wire = Self::open(address).await.expect("the server takes it");
        wire.sign_in(token).await;
        wire
    }

    /// Signs in, and reads until it is greeted.
    pub async fn sign_in(&mut self, token: &str) {
        self.say(&format!("40{}", json!({ "token": token }))).await;
        self.until("42[\"session:ready\"").await;
    }

    /// Sends a text; a connection that has ended takes nothing.
    pub async fn say(&mut self, text: &str) {
        let _ended = self.0.send(Message::text(text)).await;
    }

    /// The next text; none when the connection has ended, in order or not.
    pub async fn read(&mut self) -> Option<String> {
        loop {
            let message = tokio::time::timeout(LIMIT, self.0.next()).await.expect("something comes, or the end");
            match message {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Reads until a text that begins so.
    pub async fn until(&mut self, begin: &str) -> String {
        while let Some(text) = self.read().await {
            if text.starts_with(begin) {
                return text;
            }
        }
        panic!("the connection ended before {begin}");
    }

    /// Reads until the end; what came.
    pub async fn to_the_end(&mut self) -> Vec<String> {
        let mut came = Vec::new();
        while let Some(text) = self.read().await {
            came.push(text);
        }
        came
    }

    /// Asks for more than the machine keeps for it, and reads nothing: from now on the server has something for it that
    /// it cannot write.
    pub async fn stall(&mut self) {
        for number in 0..FLOOD_FRAMES {
            self.say(&format!("42{number}[\"{}\"]", "x".repeat(FLOOD_BYTES))).await;
        }
    }
}

/// The places of facts of a lane, in the order they came.
pub fn places(texts: &[String], lane: &str) -> Vec<i64> {
    let meta = |text: &String| {
        let arguments: Vec<Value> = serde_json::from_str(text.strip_prefix("42")?).ok()?;
        let meta = arguments.last()?;
        (meta["lane"] == lane).then(|| meta["seq"].as_i64()).flatten()
    };
    texts.iter().filter_map(meta).collect()
}
