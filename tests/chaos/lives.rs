//! Connections that do what none should: they leave before they have come, in the middle of a frame, with a thousand
//! events on the way, or talk nonsense. When the last one has gone, every counter, room and task is back where it was.

use super::checker::Findings;
use super::{Plan, Report, a_moment, becomes, generous, long};
use crate::support::TestApp;
use crate::support::people::{self, email, mark};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scorecast::traps::{Trap, Traps};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Connections at a time.
const AT_ONCE: usize = 64;
/// How long the books may take to be in order again: whoever never was greeted is given up after ten seconds.
const TIDY_MAX: Duration = Duration::from_mins(1);

/// A websocket written by hand, so that it can stop anywhere.
struct Raw(TcpStream);

impl Raw {
    async fn open(address: SocketAddr, resets: bool) -> std::io::Result<Self> {
        let line = TcpSocket::new_v4()?;
        if resets {
            line.set_zero_linger()?;
        }
        Ok(Self(line.connect(address).await?))
    }

    async fn upgrade(&mut self) -> std::io::Result<()> {
        let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: it\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        self.0.write_all(request.as_bytes()).await?;
        let mut answer = [0; 1024];
        self.0.read(&mut answer).await.map(|_| ())
    }

    /// A masked text frame; the mask is zero.
    fn frame(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81];
        let length = u16::try_from(text.len()).expect("nobody sends more here");
        if length < 0x7e {
            frame.push(0x80 | u8::try_from(length).expect("it is small"));
        } else {
            frame.push(0x80 | 0x7e);
            frame.extend(length.to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        frame
    }

    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write_all(&Self::frame(text)).await
    }

    async fn hear(&mut self) -> std::io::Result<usize> {
        let mut heard = [0; 4096];
        tokio::time::timeout(Duration::from_secs(5), self.0.read(&mut heard)).await.unwrap_or(Ok(0))
    }
}

/// One life. Every error is the server's way of ending it.
async fn live(address: SocketAddr, token: String, mut chance: StdRng) {
    let ways = chance.random_range(0..10);
    let _ended = misbehave(address, &token, &mut chance, ways).await;
}

async fn misbehave(address: SocketAddr, token: &str, chance: &mut StdRng, way: u32) -> std::io::Result<()> {
    let mut raw = Raw::open(address, chance.random()).await?;
    if way == 0 {
        return raw.0.write_all(b"GET /socket.io/?EIO=4&tra").await;
    }
    raw.upgrade().await?;
    let hello = format!("40{}", json!({ "token": token }));
    match way {
        // Before the namespace, before its answer, and at any time after it.
        1 => return Ok(()),
        2 => return raw.say("40{\"token\":\"nonsense\"}").await,
        3 | 4 => {
            raw.say(&hello).await?;
            let micros = chance.random_range(0..4_000);
            tokio::time::sleep(Duration::from_micros(micros)).await;
            return Ok(());
        }
        _ => {
            raw.say(&hello).await?;
            raw.hear().await?;
        }
    }
    match way {
        5 => raw.0.write_all(&Raw::frame("42[\"scores:submit\",{\"categoryId\":\"vault\"}]")[..20]).await?,
        6 => {
            for nonsense in ["", "4", "42", "42[", "43-1[]", "45-", "40/other,", "99", "6", "42[1]", "421[\"x\"]"] {
                raw.say(nonsense).await?;
            }
        }
        7 => {
            for number in 0..500 {
                raw.say(&format!("42{number}{}", json!(["scores:request", "vault"]))).await?;
            }
        }
        8 => {
            for _ in 0..20 {
                raw.say(&format!("42{}", json!(["scores:submit", mark("x", "form", 5.5)]))).await?;
            }
            a_moment(chance, 20).await;
        }
        _ => {
            raw.say("41").await?;
            a_moment(chance, 5).await;
            raw.say(&hello).await?;
            a_moment(chance, 5).await;
        }
    }
    Ok(())
}

/// What is counted of sockets, by name: all that is not zero.
fn counted(app: &TestApp, tasks: usize) -> Vec<String> {
    let text = app.app.metrics.encode().expect("metrics are text");
    let gauges = ["scorecast_socket_connections_active", "scorecast_room_members"];
    let mut left: Vec<String> = text
        .lines()
        .filter(|line| gauges.iter().any(|gauge| line.starts_with(gauge)) && !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect();
    let now = app.app.tasks.len();
    if now > tasks {
        left.push(format!("{now} tasks, {tasks} before"));
    }
    left
}

/// As many lives as the plan is large.
pub async fn run(plan: Plan, traps: Traps, limit: Duration) -> Report {
    let (mut report, mut chance) = (Report::new("lives", plan), plan.chance());
    let app = TestApp::start_trapped(traps, generous).await;
    app.import(people::document()).await;
    let mut tokens = Vec::new();
    for name in ["ada", "tally", "emcee", "organizer"] {
        tokens.push(app.token(&email(name)).await);
    }
    let tasks = app.app.tasks.len();
    let mut lives = JoinSet::new();
    for number in 0..plan.size {
        if lives.len() >= AT_ONCE {
            lives.join_next().await;
        }
        let token = tokens[number % tokens.len()].clone();
        lives.spawn(live(app.address, token, StdRng::seed_from_u64(chance.random())));
    }
    lives.join_all().await;
    let mut findings = Findings::default();
    if !becomes(limit, async || counted(&app, tasks).is_empty()).await {
        for left in counted(&app, tasks) {
            findings.fault(format!("left over: {left}"));
        }
    }
    report.findings = findings;
    report.count("lives", plan.size);
    app.stop().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_those_who_come_and_go_as_they_like() {
    run(Plan::short(600), Traps::default(), TIDY_MAX).await.must_be_green();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_let_into_its_rooms_after_it_has_gone_is_found() {
    run(Plan::short(150), Traps::of(Trap::JoinAfterLeave), Duration::from_secs(3)).await.must_be_red();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long run, by make chaos"]
async fn long_lives() {
    long("lives", 5, 10_000, async |plan| run(plan, Traps::default(), TIDY_MAX).await).await;
}
