//! Those who watch: viewers over plain websockets, and what they make of the frames they get.

use super::{Reply, TestApp};
use crate::support::people::email;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
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

    fn take_lines(&mut self, lines: &Value) {
        for line in lines.as_array().into_iter().flatten() {
            self.results.insert(key(line), line.clone());
        }
    }
}

impl Viewer {
    /// Connects to any path.
    pub async fn connect(address: SocketAddr, path: &str) -> Result<Self, Rejected> {
        let stream = TcpStream::connect(address).await.expect("the server listens");
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
        let folded = &mut self.folded;
        let data = &frame["data"];
        if let Some(epoch) = frame["epoch"].as_str() {
            epoch.clone_into(&mut folded.epoch);
        }
        match frame["type"].as_str() {
            Some("full") => {
                folded.full = data.clone();
                folded.results.clear();
                folded.take_lines(&data["results"]);
                folded.oncourse = data["oncourse"].as_array().cloned().unwrap_or_default();
            }
            Some("diff") => {
                if let Some(prev) = frame["prev"].as_i64() {
                    self.gaps += usize::from(prev != folded.seq);
                    self.diffs += 1;
                }
                for gone in data["removed"].as_array().into_iter().flatten() {
                    folded.results.remove(&key(gone));
                }
                folded.take_lines(&data["results"]);
                if let Some(list) = data["oncourse"].as_array() {
                    folded.oncourse.clone_from(list);
                }
                if let Some(status) = data.get("status") {
                    folded.full["event"]["status"] = status.clone();
                }
            }
            Some("refresh") => self.refreshes += 1,
            _ => {}
        }
        if let Some(seq) = frame["seq"].as_i64() {
            folded.seq = seq;
        }
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

impl TestApp {
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
