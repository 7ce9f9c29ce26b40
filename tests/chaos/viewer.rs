//! A viewer who comes back whatever happens and asks for what was missed; everything that came is kept for the checker.

use super::checker::{Connection, LetGo, Transcript};
use super::{a_moment, becomes};
use crate::support::client::{Client, Frame, Wire};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long whoever stays may take to have everything.
const CONVERGENCE_MAX: Duration = Duration::from_secs(30);

/// How long an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The session a token stands for.
pub fn session_of(token: &str) -> String {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).expect("a token of ours");
    let claims: Value = serde_json::from_slice(&claims).expect("claims");
    claims["sid"].as_str().expect("a session").to_owned()
}

/// What a viewer knows of a lane: everything up to here, and some of what lies further on.
#[derive(Default)]
struct Known {
    head: i64,
    ahead: BTreeSet<i64>,
}

impl Known {
    fn note(&mut self, seq: i64) {
        if seq <= self.head {
            return; // twice: the checker says so
        }
        self.ahead.insert(seq);
        while self.ahead.remove(&(self.head + 1)) {
            self.head += 1;
        }
    }
}

impl Known {
    /// Lets go of what lies further on.
    fn let_go(&mut self, before: usize, lane: &str) -> impl Iterator<Item = LetGo> {
        std::mem::take(&mut self.ahead).into_iter().map(move |seq| LetGo { before, lane: lane.to_owned(), seq })
    }
}

/// Somebody who watches.
pub struct Viewer {
    pub token: String,
    /// Which of those who watch.
    pub number: usize,
    pub chance: StdRng,
    pub transcript: Transcript,
    /// Whether connections are lost now and then, and tablets sleep.
    pub wild: bool,
    pub wire: Wire,
    /// How long it may take to have everything once all is quiet.
    pub patience: Duration,
    client: Option<Client>,
    epoch: String,
    known: BTreeMap<String, Known>,
    /// The lanes of this connection.
    lanes: BTreeSet<String>,
    greeted: bool,
    /// Lanes that are theirs again, and still to be asked for, each up to where its facts came live again.
    behind: BTreeMap<String, i64>,
    /// The answer that is waited for before anything is asked: what was asked before it has been sent by then.
    asked: Option<Asked>,
}

type Asked = Pin<Box<dyn Future<Output = Option<Value>> + Send + Sync>>;

impl Viewer {
    pub fn new(number: usize, user: &str, token: String, chance: StdRng) -> Self {
        Self {
            token,
            number,
            chance,
            transcript: Transcript { user: user.to_owned(), ..Transcript::default() },
            wild: false,
            wire: Wire::default(),
            patience: CONVERGENCE_MAX,
            client: None,
            epoch: String::new(),
            known: BTreeMap::new(),
            lanes: BTreeSet::new(),
            greeted: false,
            behind: BTreeMap::new(),
            asked: None,
        }
    }

    fn missed<'a>(&self, lanes: impl Iterator<Item = (&'a String, Option<i64>)>) -> Value {
        let missed = |(lane, until): (&String, Option<i64>)| {
            let known = self.known.get(lane)?;
            Some((lane.clone(), json!({"epoch": self.epoch, "seq": known.head, "until": until})))
        };
        let lanes: BTreeMap<String, Value> = lanes.filter_map(missed).collect();
        json!({ "lanes": lanes })
    }

    /// Connects, saying what was had before. False when there is no server, or it does not take the token.
    pub async fn connect(&mut self, address: SocketAddr) -> bool {
        self.leave();
        let auth = json!({"token": self.token, "resume": self.missed(self.known.keys().map(|lane| (lane, None)))});
        let Ok(client) = Client::connect_over(address, auth, self.wire).await else { return false };
        // Answered once the server has sent what was missed before.
        self.asked = Some(Box::pin(client.call_later("user:active", Value::Null)));
        self.client = Some(client);
        (self.lanes, self.greeted) = (BTreeSet::new(), false);
        self.behind.clear();
        let session = session_of(&self.token);
        self.transcript.connections.push(Connection { session, ..Connection::default() });
        true
    }

    /// Takes over what has come.
    pub fn absorb(&mut self) {
        // Before the frames are looked at: what came before the answer is among them.
        if self.asked.as_mut().is_some_and(|asked| asked.as_mut().now_or_never().is_some()) {
            self.asked = None;
        }
        let (Some(client), Some(connection)) = (&self.client, self.transcript.connections.last_mut()) else { return };
        let before = connection.frames.len();
        let fresh = client.transcript_after(before);
        connection.frames.extend(fresh.iter().cloned());
        for (at, frame) in (before..).zip(&fresh) {
            self.note(at, frame);
        }
        self.ask();
    }

    /// Asks for the lanes that are theirs again, one question at a time.
    fn ask(&mut self) {
        if self.asked.is_some() || self.behind.is_empty() {
            return;
        }
        let behind = std::mem::take(&mut self.behind);
        let missed = self.missed(behind.iter().map(|(lane, until)| (lane, Some(*until))));
        let Some(client) = &self.client else { return };
        self.asked = Some(Box::pin(client.call_later("sync:resume", missed)));
    }

    fn note(&mut self, at: usize, frame: &Frame) {
        if frame.event == "session:ready" || frame.event == "session:changed" {
            return self.told(at, frame.data());
        }
        let meta = if frame.event == "sync:tick" { frame.args.first() } else { frame.args.get(1) };
        let Some((lane, seq)) = meta.and_then(|meta| Some((meta["lane"].as_str()?, meta["seq"].as_i64()?))) else {
            return;
        };
        if let Some(known) = self.known.get_mut(lane) {
            known.note(seq);
        }
    }

    fn told(&mut self, at: usize, told: &Value) {
        let mut lanes = BTreeSet::new();
        for lane in told["lanes"].as_array().into_iter().flatten() {
            let (name, seq) = (lane["lane"].as_str().unwrap_or_default(), lane["seq"].as_i64().unwrap_or(0));
            lane["epoch"].as_str().unwrap_or_default().clone_into(&mut self.epoch);
            let known = self.known.entry(name.to_owned()).or_insert_with(|| Known { head: seq, ..Known::default() });
            // A lane that is theirs again: what was missed meanwhile has to be asked for, from the gap on.
            if self.greeted && !self.lanes.contains(name) && known.head < seq {
                self.behind.insert(name.to_owned(), seq);
                if let Some(connection) = self.transcript.connections.last_mut() {
                    connection.let_go.extend(known.let_go(at, name));
                }
            }
            lanes.insert(name.to_owned());
        }
        (self.lanes, self.greeted) = (lanes, true);
    }

    pub fn is_connected(&self) -> bool {
        self.client.as_ref().is_some_and(Client::is_open)
    }

    /// How far everything of a lane is known.
    pub fn knows(&self, lane: &str) -> i64 {
        self.known.get(lane).map_or(0, |known| known.head)
    }

    /// The connection, to be paused or waited for.
    pub fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Cuts the connection.
    pub fn leave(&mut self) {
        self.let_go();
        self.client = None;
    }

    /// Forgets what lies ahead of a gap: it is asked for again with the gap.
    fn let_go(&mut self) {
        self.absorb();
        let Some(connection) = self.transcript.connections.last_mut() else { return };
        for (lane, known) in &mut self.known {
            connection.let_go.extend(known.let_go(connection.frames.len(), lane));
        }
    }

    /// Watches until it is told to stop or, when not wild, until the server is gone.
    pub async fn watch(mut self, address: SocketAddr, until: CancellationToken) -> Self {
        while !until.is_cancelled() {
            if !self.is_connected() {
                if !self.connect(address).await {
                    a_moment(&mut self.chance, 20).await;
                }
                continue;
            }
            self.absorb();
            let pause = Duration::from_millis(self.chance.random_range(1..60));
            tokio::select! {
                () = until.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if self.wild {
                self.be_wild().await;
            }
        }
        self.absorb();
        self
    }

    async fn be_wild(&mut self) {
        self.wire.resets = self.chance.random();
        match self.chance.random_range(0..40) {
            0..4 => self.leave(),
            4 => {
                self.let_go();
                if let Some(client) = self.client.take() {
                    client.close().await;
                }
            }
            5..8 => {
                let millis = self.chance.random_range(10..300);
                if let Some(client) = &self.client {
                    client.pause();
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    client.go_on();
                }
            }
            _ => {}
        }
    }

    /// Comes back if need be, and waits until it has all that the server says there is. Says how long that took.
    pub async fn converge(&mut self, address: SocketAddr) -> Duration {
        let begun = Instant::now();
        self.wire = Wire::default();
        if !self.is_connected() {
            self.connect(address).await;
        }
        becomes(self.patience, async || {
            self.absorb();
            if !self.is_connected() {
                self.connect(address).await;
                return false;
            }
            let asked = self.client.as_ref().map(|client| client.call_later("user:active", Value::Null));
            let Some(asked) = asked else { return false };
            // An answer that does not fit into a full buffer does not come at all: it is asked again.
            let Ok(Some(answer)) = timeout(ANSWER_MAX, asked).await else { return false };
            self.absorb();
            let heads = answer["data"]["heads"].as_object().cloned().unwrap_or_default();
            !heads.is_empty()
                && heads.iter().all(|(lane, seq)| self.known.get(lane).is_some_and(|known| *seq == known.head))
        })
        .await;
        self.absorb();
        self.transcript.stayed = true;
        begun.elapsed()
    }
}
