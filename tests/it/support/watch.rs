//! Those who watch: viewers over plain websockets, and what they make of the frames they get.

use super::{Reply, TestApp};
use crate::support::people::email;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a viewer has folded together: what it would show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    pub full: Value,
    pub results: BTreeMap<(String, String), Value>,
    pub oncourse: Vec<Value>,
    pub seq: i64,
    pub epoch: String,
}

/// A viewer.
pub struct Viewer {
    socket: WebSocketStream<TcpStream>,
    pub folded: Folded,
    /// Frames that did not begin where the last one ended.
    pub gaps: usize,
    /// How often it was told to read anew.
    pub refreshes: usize,
    /// Changes with a place.
    pub diffs: usize,
}

/// Why a viewer was not let in.
#[derive(Debug)]
pub struct Rejected {
    pub status: u16,
    pub body: Value,
}

/// The race and the bib a line is known by.
fn key(line: &Value) -> (String, String) {
    (line["raceId"].as_str().unwrap_or_default().to_owned(), line["bib"].to_string())
}

impl Folded {
    /// The results of a race, as REST lists them.
    pub fn of_race(&self, race: &str) -> Vec<Value> {
        let lines = self.results.iter().filter(|((of, _), _)| of == race).map(|(_, line)| line.clone());
        let mut lines: Vec<Value> = lines.collect();
        lines.sort_by_key(|line| (line["rnk"].as_i64().unwrap_or(i64::MAX), line["bib"].as_i64()));
        lines
    }

    /// Takes a frame in, however it came.
    pub fn take(&mut self, frame: &Value) {
        let data = &frame["data"];
        if let Some(epoch) = frame["epoch"].as_str() {
            epoch.clone_into(&mut self.epoch);
        }
        match frame["type"].as_str() {
            Some("full") => {
                self.full = data.clone();
                self.results.clear();
                self.take_lines(&data["results"]);
                self.oncourse = data["oncourse"].as_array().cloned().unwrap_or_default();
            }
            Some("diff") => {
                for gone in data["removed"].as_array().into_iter().flatten() {
                    self.results.remove(&key(gone));
                }
                self.take_lines(&data["results"]);
                if let Some(list) = data["oncourse"].as_array() {
                    self.oncourse.clone_from(list);
                }
                if let Some(status) = data.get("status") {
                    self.full["event"]["status"] = status.clone();
                }
            }
            _ => {}
        }
        if let Some(seq) = frame["seq"].as_i64() {
            self.seq = seq;
        }
    }

    fn take_lines(&mut self, lines: &Value) {
        for line in lines.as_array().into_iter().flatten() {
            self.results.insert(key(line), line.clone());
        }
    }
}

impl Viewer {
    /// Connects to any path.
    pub async fn connect(address: SocketAddr, path: &str) -> Result<Self, Rejected> {
        Self::connect_over(TcpStream::connect(address).await.expect("the server listens"), address, path).await
    }

    /// The same, over a connection that takes hardly anything until it is read.
    pub async fn connect_narrow(address: SocketAddr, path: &str) -> Result<Self, Rejected> {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        Self::connect_over(socket.connect(address).await.expect("the server listens"), address, path).await
    }

    async fn connect_over(stream: TcpStream, address: SocketAddr, path: &str) -> Result<Self, Rejected> {
        let request = format!("ws://{address}{path}").into_client_request().expect("a request");
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self { socket, folded: Folded::default(), gaps: 0, refreshes: 0, diffs: 0 }),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body = serde_json::from_slice(body).unwrap_or(Value::Null);
                Err(Rejected { status: response.status().as_u16(), body })
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Watches an event, with results and the course in `full`.
    pub async fn watch(app: &TestApp, event: &str) -> Self {
        let path = format!("/api/v1/events/{event}/ws?include=results,oncourse");
        let mut viewer = Self::connect(app.address, &path).await.expect("is let in");
        viewer.read().await;
        viewer
    }

    /// The next message as it is; a close as `{"close": code, "reason": …}`.
    pub async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
            match message {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.expect("a reason");
                    return json!({ "close": u16::from(frame.code), "reason": frame.reason.as_str() });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return json!({ "cut": error.to_string() }),
                None => return json!({ "cut": "ended" }),
            }
        }
    }

    /// Takes the next frame of an event's feed in.
    pub async fn read(&mut self) -> Value {
        let frame = self.next().await;
        self.fold(&frame);
        frame
    }

    fn fold(&mut self, frame: &Value) {
        match frame["type"].as_str() {
            Some("diff") => {
                if let Some(prev) = frame["prev"].as_i64() {
                    self.gaps += usize::from(prev != self.folded.seq);
                    self.diffs += 1;
                }
            }
            Some("refresh") => self.refreshes += 1,
            _ => {}
        }
        self.folded.take(frame);
    }

    /// Reads until it has come to a place.
    pub async fn read_to(&mut self, seq: i64) {
        while self.folded.seq < seq {
            let frame = self.read().await;
            assert!(frame.get("close").is_none() && frame.get("cut").is_none(), "{frame} before {seq}");
        }
    }

    /// Says something.
    pub async fn say(&mut self, text: &str) {
        self.socket.send(Message::Text(text.into())).await.expect("it is sent");
    }

    /// The connection itself.
    pub fn socket(&mut self) -> &mut WebSocketStream<TcpStream> {
        &mut self.socket
    }
}

/// A stream of events over HTTP.
pub struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    /// Follows an event, from a place where one is given.
    pub async fn follow(app: &TestApp, path: &str, last: Option<&str>) -> Self {
        let request = reqwest::Client::new().get(format!("http://{}{path}", app.address));
        let request = request.header("accept", "text/event-stream");
        let request = if let Some(last) = last { request.header("last-event-id", last) } else { request };
        let response = request.send().await.expect("an answer");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().expect("a value"))
        );
        Self { response, text: String::new() }
    }

    /// The next event, with its id; none at the end.
    pub async fn next(&mut self) -> Option<(Option<String>, Value)> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                // A comment says no more than that the stream lives.
                let Some(data) = field("data:") else { continue };
                return Some((field("id:").map(str::to_owned), serde_json::from_str(data).expect("JSON")));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("an event in time");
            match chunk {
                Ok(Some(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).expect("text")),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl TestApp {
    /// The value of a metric, by its line without the number; nothing was counted yet where there is no such line.
    pub fn metric(&self, line: &str) -> u64 {
        let text = self.app.metrics.encode().expect("metrics are text");
        text.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until a metric has come to a value.
    pub async fn until_metric(&self, line: &str, wanted: u64) {
        let counted = async {
            while self.metric(line) < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{line} never came to {wanted}"));
    }

    /// A key of an event.
    pub async fn key(&self, event: &str) -> String {
        let body = json!({ "eventId": event, "name": "timing" });
        let made = self.post("/api/v1/admin/api-keys", &email("admin"), body).await;
        made.body["key"].as_str().unwrap_or_else(|| panic!("no key: {made:?}")).to_owned()
    }

    /// Posts JSON by a key.
    pub async fn keyed(&self, key: &str, path: &str, body: &Value) -> Reply {
        let headers = [("x-api-key", key), ("content-type", "application/json")];
        self.raw_request(Method::POST, path, &headers, body.to_string()).await
    }

    /// Posts an export by a key.
    pub async fn post_xml(&self, key: &str, xml: impl Into<reqwest::Body>) -> Reply {
        let headers = [("x-api-key", key), ("content-type", "application/xml")];
        self.raw_request(Method::POST, "/api/v1/ingest/xml", &headers, xml).await
    }

    /// Moves an event on.
    pub async fn set_status(&self, event: &str, status: &str) {
        let path = format!("/api/v1/admin/events/{event}/status");
        let moved = self.send(Method::PATCH, &path, &email("admin"), json!({ "status": status })).await;
        assert_eq!(moved.status, 200, "{moved:?}");
    }
}
