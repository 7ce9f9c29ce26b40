//! A judge who submits whatever happens, sends again what was not answered, and keeps every promise they were given.

use super::checker::{Findings, Promise};
use crate::support::client::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;

pub const CRITERIA: [&str; 2] = ["form", "height"];

/// One of the panel.
pub struct Judge {
    pub token: String,
    /// Which of the panel.
    pub number: usize,
    category: String,
    contestants: Vec<String>,
    chance: StdRng,
    /// One of so many commands is refused; none for zero.
    pub refused_of: u32,
    /// The command whose answer did not come, and the mark it was to give.
    open: Option<(Value, Option<i64>)>,
    /// By contestant and criterion: the mark in thousandths, and how many commands were acknowledged.
    given: BTreeMap<(String, String), (i64, i64)>,
    /// Stops them between two commands.
    pub until: CancellationToken,
    pub promises: Vec<Promise>,
    pub findings: Findings,
}

impl Judge {
    pub fn new(number: usize, token: String, category: &str, contestants: &[String], chance: &mut StdRng) -> Self {
        Self {
            token,
            number,
            category: category.to_owned(),
            contestants: contestants.to_vec(),
            chance: StdRng::seed_from_u64(chance.random()),
            refused_of: 0,
            open: None,
            given: BTreeMap::new(),
            until: CancellationToken::new(),
            promises: Vec::new(),
            findings: Findings::default(),
        }
    }

    fn next(&mut self) -> (Value, Option<i64>) {
        if let Some(open) = self.open.take() {
            return open;
        }
        let contestant = self.contestants[self.chance.random_range(0..self.contestants.len())].clone();
        let criterion = CRITERIA[self.chance.random_range(0..CRITERIA.len())];
        let refused = self.refused_of > 0 && self.chance.random_ratio(1, self.refused_of);
        let halves = if refused { 21 } else { self.chance.random_range(0..=20_i32) };
        let thousandths = i64::from(halves) * 500;
        let command = json!({
            "commandId": uuid::Uuid::from_u128(self.chance.random()), "categoryId": self.category,
            "contestantId": contestant, "criterionId": criterion, "score": f64::from(halves) / 2.0,
        });
        (command, (!refused).then_some(thousandths))
    }

    fn note(&mut self, command: &Value, mark: Option<i64>, answer: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let Some(mark) = mark else {
            if answer["error"]["code"] != "OUT_OF_RANGE" {
                self.findings.fault(format!("a mark out of range was answered {answer}"));
            }
            return;
        };
        if answer["ok"] != true {
            return self.findings.fault(format!("{command} was answered {answer}"));
        }
        let place = (text(&command["contestantId"]), text(&command["criterionId"]));
        let given = self.given.entry(place).or_insert((0, 0));
        *given = (mark, given.1 + 1);
        if answer["data"]["score"]["version"] != given.1 {
            let count = given.1;
            self.findings.fault(format!("the acknowledgement number {count} of a mark says {answer}"));
        }
        let receipt = &answer["data"]["receipt"];
        self.promises.push(Promise {
            lane: text(&receipt["lane"]),
            seq: receipt["seq"].as_i64().unwrap_or_default(),
            hash: text(&receipt["hash"]),
            command_id: text(&command["commandId"]),
        });
    }

    /// Submits until the server is gone, or so many are answered.
    pub async fn work(mut self, address: SocketAddr, most: usize) -> Self {
        let Ok(client) = Client::connect(address, json!({ "token": self.token })).await else { return self };
        for _ in 0..most {
            if self.until.is_cancelled() {
                break;
            }
            let (command, mark) = self.next();
            let Some(answer) = client.call_later("scores:submit", command.clone()).await else {
                self.open = Some((command, mark));
                return self;
            };
            // A server that is going down says so: the command is sent again to the next one.
            if answer["error"]["code"] == "OVERLOADED" {
                self.open = Some((command, mark));
                return self;
            }
            self.note(&command, mark, &answer);
        }
        self
    }

    /// Has what is open answered by a server that lives, and compares what it tells of the own marks with the promises.
    pub async fn settle(&mut self, address: SocketAddr) {
        let client = Client::connect(address, json!({ "token": self.token })).await.expect("the server lives");
        if let Some((command, mark)) = self.open.take() {
            let answer = client.call("scores:submit", command.clone()).await;
            self.note(&command, mark, &answer);
        }
        let scores = client.call("scores:request", json!(self.category)).await["data"]["scores"].take();
        let own = scores.as_array().expect("a list").iter().filter(|view| view["masked"] == false);
        let told: BTreeMap<(String, String), (i64, i64)> = own
            .map(|view| {
                let text = |field: &str| view[field].as_str().expect("a text").to_owned();
                let score: scorecast::ranking::Mark = serde_json::from_value(view["score"].clone()).expect("a mark");
                let version = view["version"].as_i64().expect("a version");
                ((text("contestantId"), text("criterionId")), (score.thousandths(), version))
            })
            .collect();
        if told != self.given {
            self.findings.lost += 1;
            self.findings.fault(format!("promised {:?}, told {told:?}", self.given));
        }
    }
}
