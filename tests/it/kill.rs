//! Whatever was acknowledged is there after `kill -9`.
//!
//! The generator: eight judges submit to a real server process, which is killed without warning at random moments and
//! started again; a judge whose answer got lost sends the same command again. The checker knows only what was
//! acknowledged: every command took effect exactly once, the log is one unbroken chain, every lane is dense.

use crate::support::client::Client;
use crate::support::process::ServerProcess;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scorecast::db::connect::{Target, read_pool};
use scorecast::db::entity::{lane, log_entry, log_head, mark};
use scorecast::events::log::{GENESIS, LaneHead, LogEntry};
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::task::JoinSet;

const KILLS: usize = 100;
const JUDGES: usize = 8;
const CONTESTANTS: usize = 10;
const CRITERIA: [&str; 2] = ["form", "height"];

fn judge(number: usize) -> String {
    format!("judge{number}@kill.example")
}

fn document() -> Value {
    let users: Vec<Value> = (0..JUDGES)
        .map(|number| json!({"email": judge(number), "name": format!("Judge {number}"), "role": "JUDGE"}))
        .collect();
    let assignments: Vec<Value> = (0..JUDGES).map(|number| json!({"email": judge(number), "hat": "JUDGE"})).collect();
    let contestants: Vec<Value> = (0..CONTESTANTS)
        .map(|number| json!({"id": format!("c{number}"), "name": format!("Gymnast {number}")}))
        .collect();
    let entries: Vec<Value> = (0..CONTESTANTS).map(|number| json!({"contestantId": format!("c{number}")})).collect();
    let criteria = CRITERIA.map(|id| json!({"id": id, "name": id, "min": 0, "max": 10, "step": 0.001}));
    json!({
        "event": {"id": "kill", "mainTitle": "Kill", "status": "running"}, "users": users, "contestants": contestants,
        "contests": [{"id": "all", "name": "All", "categories": [{"id": "vault", "name": "Vault",
            "rules": {"method": "mean"}, "criteria": criteria, "entries": entries, "assignments": assignments}]}],
    })
}

/// What a judge has been promised.
struct Judge {
    token: String,
    chance: StdRng,
    /// The command whose answer did not come.
    open: Option<(Value, i64)>,
    /// By contestant and criterion: the score, and how many commands were acknowledged.
    promised: BTreeMap<(String, String), (i64, i64)>,
    /// By lane: the hash acknowledged for each place.
    receipts: HashMap<(String, i64), String>,
    acknowledged: usize,
}

impl Judge {
    fn next(&mut self) -> (Value, i64) {
        if let Some(open) = self.open.take() {
            return open;
        }
        let contestant = format!("c{}", self.chance.random_range(0..CONTESTANTS));
        let criterion = CRITERIA[self.chance.random_range(0..CRITERIA.len())];
        let thousandths = self.chance.random_range(0..=10_000_i64);
        let score: Value =
            serde_json::from_str(&format!("{}.{:03}", thousandths / 1000, thousandths % 1000)).expect("a number");
        let command = json!({
            "commandId": uuid::Uuid::from_u128(self.chance.random()), "categoryId": "vault",
            "contestantId": contestant, "criterionId": criterion, "score": score,
        });
        (command, thousandths)
    }

    fn note(&mut self, command: &Value, thousandths: i64, answer: &Value) {
        assert_eq!(answer["ok"], true, "{answer}");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let place = (text(&command["contestantId"]), text(&command["criterionId"]));
        let promise = self.promised.entry(place).or_insert((0, 0));
        *promise = (thousandths, promise.1 + 1);
        assert_eq!(answer["data"]["score"]["version"], promise.1, "each command counts once: {answer}");
        let receipt = &answer["data"]["receipt"];
        let seq = receipt["seq"].as_i64().expect("a place in the lane");
        self.receipts.insert((text(&receipt["lane"]), seq), text(&receipt["hash"]));
        self.acknowledged += 1;
    }

    /// Submits until the server is gone.
    async fn work(mut self, address: std::net::SocketAddr) -> Self {
        let Ok(client) = Client::connect(address, json!({ "token": self.token })).await else { return self };
        loop {
            let (command, thousandths) = self.next();
            let Some(answer) = client.call_later("scores:submit", command.clone()).await else {
                self.open = Some((command, thousandths));
                return self;
            };
            self.note(&command, thousandths, &answer);
        }
    }
}

async fn check(url: &str, judges: &[Judge]) {
    let db = read_pool(&Target::parse(url).expect("our own url")).await.expect("the database opens");
    let entries =
        log_entry::Entity::find().order_by_asc(log_entry::Column::Seq).all(&db).await.expect("the log is read");
    let (mut previous, mut lanes) = (GENESIS.to_owned(), HashMap::<String, LaneHead>::new());
    let mut hashes = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(entry.seq, i64::try_from(at + 1).expect("a small number"), "the log is dense");
        assert_eq!(entry.prev_hash, previous, "the chain holds at {}", entry.seq);
        let lane = lanes.entry(entry.lane.clone()).or_default();
        assert_eq!(entry.lane_seq, lane.seq + 1, "the lane {} is dense", entry.lane);
        assert_eq!(LogEntry::lane_hash(&lane.hash, entry), entry.lane_hash, "the lane's hash holds at {}", entry.seq);
        assert_eq!(LogEntry::chain_hash(&previous, &entry.lane_hash), entry.hash, "the hash holds at {}", entry.seq);
        *lane = LaneHead { seq: entry.lane_seq, hash: entry.lane_hash.as_str().into() };
        previous.clone_from(&entry.hash);
        hashes.insert((entry.lane.clone(), entry.lane_seq), entry.lane_hash.clone());
    }
    let head = log_head::Entity::find_by_id("head").one(&db).await.expect("the head is read").expect("there is a head");
    assert_eq!((head.seq, head.hash), (i64::try_from(entries.len()).expect("a small number"), previous));
    for row in lane::Entity::find().all(&db).await.expect("the lanes are read") {
        let head = LaneHead { seq: row.seq, hash: row.hash.into() };
        assert_eq!(lanes.get(&row.name), Some(&head), "the head of lane {}", row.name);
    }
    let marks = mark::Entity::find().all(&db).await.expect("the marks are read");
    let mut found: HashMap<(String, String, String), (i64, i64)> = HashMap::new();
    for row in marks {
        let place = (row.judge_id.to_string(), row.contestant_id.to_string(), row.criterion_id.to_string());
        found.insert(place, (row.score, row.version));
    }
    for judge in judges {
        for receipt in &judge.receipts {
            assert_eq!(hashes.get(receipt.0), Some(receipt.1), "the receipt {receipt:?} is honoured");
        }
    }
    // A command whose answer got lost may have been carried out or not: until it is sent again nobody knows.
    let promised: usize = judges.iter().map(|judge| judge.promised.len()).sum();
    let open = judges.iter().filter(|judge| judge.open.is_some()).count();
    assert!((promised..=promised + open).contains(&found.len()), "{} marks of {promised} and {open} open", found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_mark_is_there_after_a_hundred_kills() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let setup = ServerProcess::settings(folder.path());
    setup.import(&document());
    let mut judges: Vec<Judge> = Vec::new();
    for number in 0..JUDGES {
        judges.push(Judge {
            token: setup.token(&judge(number)),
            chance: StdRng::seed_from_u64(chance.random()),
            open: None,
            promised: BTreeMap::new(),
            receipts: HashMap::new(),
            acknowledged: 0,
        });
    }
    let (mut kills, mut idle) = (0, 0);
    while kills < KILLS {
        let before: usize = judges.iter().map(|judge| judge.acknowledged).sum();
        let mut server = setup.start();
        let mut working = JoinSet::new();
        for judge in judges.drain(..) {
            working.spawn(judge.work(server.address));
        }
        tokio::time::sleep(Duration::from_millis(chance.random_range(20..250))).await;
        server.kill();
        judges = working.join_all().await;
        kills += 1;
        let after: usize = judges.iter().map(|judge| judge.acknowledged).sum();
        idle += usize::from(after == before);
        if kills % 10 == 0 {
            check(&setup.database_url, &judges).await;
        }
    }
    // The last commands that were left open are settled by a server that lives.
    let server = setup.start();
    for judge in &mut judges {
        let client = Client::connect(server.address, json!({ "token": judge.token })).await.expect("the server lives");
        if let Some((command, thousandths)) = judge.open.take() {
            let answer = client.call("scores:submit", command.clone()).await;
            judge.note(&command, thousandths, &answer);
        }
        let scores = client.call("scores:request", json!("vault")).await["data"]["scores"].take();
        let own = scores.as_array().expect("a list").iter().filter(|view| view["masked"] == false);
        let told: BTreeMap<(String, String), (i64, i64)> = own
            .map(|view| {
                let text = |field: &str| view[field].as_str().expect("a text").to_owned();
                let score: scorecast::ranking::Mark = serde_json::from_value(view["score"].clone()).expect("a mark");
                let version = view["version"].as_i64().expect("a version");
                ((text("contestantId"), text("criterionId")), (score.thousandths(), version))
            })
            .collect();
        assert_eq!(told, judge.promised, "what is told is what was promised");
    }
    check(&setup.database_url, &judges).await;
    server.stop();
    let acknowledged: usize = judges.iter().map(|judge| judge.acknowledged).sum();
    println!(
        "{kills} kills ({idle} before anything was acknowledged), {acknowledged} acknowledged commands, none lost"
    );
    assert!(idle < KILLS / 2, "the kills came while there was work");
}
