//! Two runs of the same competition under the same clock, the same dice, and one foreign mark that differs: whoever may
//! not see that mark must not receive a single byte that differs, by any door, before it is published.
//!
//! The hashes of receipts are left out: they seal the whole lane under salts that nobody has.

use crate::support::TestApp;
use crate::support::client::Client;
use crate::support::people::{email, mark};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Who may not see the mark: fellow judges, the head judge, an admin who judges, a judge of something else, a guest, the
/// contestant who was marked, and somebody who once judged there.
const WATCHERS: [&str; 8] = ["ada", "cleo", "head", "both", "beam", "emcee", "gymnast", "idle"];

/// What a watcher asks for again and again.
const READS: [&str; 14] = [
    "/api/v1/categories/vault/scores",
    "/api/v1/categories/vault/scores?sinceSeq=3",
    "/api/v1/categories/vault/certification",
    "/api/v1/categories/vault/tally",
    "/api/v1/categories/vault/completeness",
    "/api/v1/categories/vault/publications",
    "/api/v1/categories/vault/evidence.zip",
    "/api/v1/categories/vault/deductions",
    "/api/v1/categories/vault/removals",
    "/api/v1/categories/vault/uncertifications",
    "/api/v1/categories/vault/flags",
    "/api/v1/contests/women/standings",
    "/api/v1/notifications",
    "/api/v1/events/cup/judged",
];

struct Run {
    app: TestApp,
    sockets: BTreeMap<&'static str, Client>,
    seen: BTreeMap<&'static str, Vec<String>>,
    requests: usize,
}

fn done(answer: &Value) -> &Value {
    assert_eq!(answer["ok"], true, "{answer}");
    &answer["data"]
}

impl Run {
    async fn new() -> Self {
        let app = TestApp::seeded(2026).await;
        let mut document = crate::support::people::document();
        document["contestants"][0]["userEmail"] = json!(email("gymnast"));
        app.import(document).await;
        // Idle judges the vault for a moment: a former judge from now on, who is there as a guest.
        let hat = app.give_hat("idle", json!({"categoryId": "vault"})).await;
        app.take_hat(&hat).await;
        app.give_hat("idle", json!({"hat": "EMCEE", "eventId": "cup"})).await;
        let mut sockets = BTreeMap::new();
        for name in WATCHERS.into_iter().chain(["ben", "tally", "auditor", "board", "organizer"]) {
            sockets.insert(name, app.connect(&email(name)).await);
        }
        Self { app, sockets, seen: BTreeMap::new(), requests: 0 }
    }

    /// An event of somebody that is taken.
    async fn by(&self, name: &str, event: &str, payload: Value) -> Value {
        done(&self.sockets[name].call(event, payload).await).clone()
    }

    /// An event of somebody, whatever is answered: the answer is part of what they see.
    async fn tries(&self, name: &str, event: &str, payload: Value) {
        self.sockets[name].call(event, payload).await;
    }

    /// Everything the watchers can read at this moment.
    async fn look(&mut self) {
        for name in WATCHERS {
            let bearer = format!("Bearer {}", self.app.token(&email(name)).await);
            for path in READS {
                self.requests += 1;
                let id = format!("look-{}", self.requests);
                let headers = [("authorization", bearer.as_str()), ("x-request-id", id.as_str())];
                let reply = self.app.raw_request(Method::GET, path, &headers, "").await;
                let line = format!("GET {path} {} {}", reply.status, reply.body);
                self.seen.entry(name).or_default().push(line);
            }
            self.tries(name, "scores:request", json!("vault")).await;
            let what_if = json!({"categoryId": "vault", "contestantId": "x", "amount": 1, "reason": "what if"});
            self.tries(name, "preview", json!({"command": "deduction:requested", "payload": what_if})).await;
        }
    }

    async fn hash(&self) -> Value {
        self.app.get("/api/v1/categories/vault/tally", &email("tally")).await.body["tallyHash"].clone()
    }

    async fn sign(&self, name: &str, stage: &str) {
        let hash = self.hash().await;
        let payload = json!({"categoryId": "vault", "stage": stage, "tallyHash": hash, "signatureName": "O."});
        self.by(name, "certification:sign", payload).await;
    }

    async fn judged(&self) {
        for judge in ["ada", "ben", "cleo"] {
            self.tries(judge, "scores:certify", json!({"categoryId": "vault"})).await;
            self.tries(judge, "scores:final", json!({"categoryId": "vault"})).await;
        }
    }

    /// From the first mark to the board's signature, with everything that can come between; `foreign` is what Ben gives
    /// to x.
    async fn compete(&mut self, foreign: f64) {
        for (number, contestant) in (0_u8..).zip(["x", "y", "z"]) {
            for criterion in ["form", "height"] {
                let ben = if contestant == "x" && criterion == "form" { foreign } else { 5.0 };
                let given =
                    [("ada", 4.0 + f64::from(number)), ("ben", ben), ("cleo", 6.0), ("head", 5.0), ("both", 5.0)];
                for (judge, score) in given {
                    self.by(judge, "scores:submit", mark(contestant, criterion, score)).await;
                }
            }
        }
        self.look().await;
        let asked = json!({"categoryId": "vault", "contestantId": "x", "amount": 0.5, "reason": "out of bounds"});
        let deduction = self.by("ada", "deduction:requested", asked).await["deduction"]["id"].clone();
        for officer in ["head", "tally", "auditor", "board"] {
            self.by(officer, "deduction:approve", json!({"id": deduction, "signatureName": "O."})).await;
        }
        let flag = json!({"categoryId": "vault", "contestantId": "x", "text": "look at this"});
        let flag = self.by("cleo", "flag:raise", flag).await["flag"]["id"].clone();
        self.judged().await;
        self.look().await;
        self.by("auditor", "flag:resolve", json!({"id": flag, "decision": "rejected", "reason": "nothing there"}))
            .await;
        self.sign("tally", "TALLIED").await;
        self.sign("auditor", "AUDITED").await;
        self.look().await;
        self.by("board", "certification:reject", json!({"categoryId": "vault", "reason": "look again"})).await;
        self.look().await;
        self.sign("auditor", "AUDITED").await;
        self.sign("board", "CERTIFIED").await;
        self.look().await;
        let again = json!({"categoryId": "vault", "reason": "a slip"});
        let again = self.by("ben", "uncertification:request", again).await["uncertification"]["id"].clone();
        for officer in ["tally", "board"] {
            self.by(officer, "uncertification:approve", json!({"id": again, "signatureName": "O."})).await;
        }
        self.look().await;
        let removal = json!({"categoryId": "vault", "judgeId": self.app.user_id(&email("ben")), "reason": "bias"});
        let removal = self.by("board", "score:removal-requested", removal).await["removal"]["id"].clone();
        for officer in ["tally", "auditor", "board"] {
            self.by(officer, "score:removal-sign", json!({"id": removal, "signatureName": "O."})).await;
        }
        self.look().await;
        for contestant in ["x", "y", "z"] {
            for criterion in ["form", "height"] {
                self.by("ben", "scores:submit", mark(contestant, criterion, foreign)).await;
            }
        }
        self.judged().await;
        self.sign("tally", "TALLIED").await;
        self.look().await;
    }

    /// What each watcher has received, in lines; those of a socket sorted, because an answer and a fact may overtake one
    /// another.
    async fn ends(mut self) -> BTreeMap<&'static str, Vec<String>> {
        let post = json!({"message": "that was all"});
        assert_eq!(self.app.post("/api/v1/announcements", &email("organizer"), post).await.status, 201);
        for name in WATCHERS {
            let socket = &self.sockets[name];
            socket.next("system:announcement").await;
            let text = socket.raw_text();
            let mut lines: Vec<String> =
                text.lines().filter(|line| line.starts_with('4')).map(without_receipt).collect();
            // The first line names the connection by dice of the library.
            lines.retain(|line| !line.starts_with("40"));
            lines.sort();
            self.seen.entry(name).or_default().extend(lines);
        }
        self.app.stop().await;
        self.seen
    }
}

/// A line without the hash of a receipt, which is all that stands behind `"hash":`.
fn without_receipt(line: &str) -> String {
    match line.split_once(r#""receipt":{"hash":""#).or_else(|| line.split_once(r#""hash":""#)) {
        Some((before, after)) => format!("{before}{}", &after[64..]),
        None => line.to_owned(),
    }
}

#[tokio::test]
async fn one_foreign_mark_changes_no_byte_that_a_judge_can_see() {
    let mut runs = Vec::new();
    for foreign in [1.5, 9.5] {
        let mut run = Run::new().await;
        run.compete(foreign).await;
        // What the office sees does differ: the comparison is of two different competitions.
        let tally = run.app.get("/api/v1/categories/vault/tally", &email("tally")).await.body;
        let text = run.sockets["tally"].raw_text();
        runs.push((tally["tallyHash"].clone(), text.contains("\"score\":9.5"), run.ends().await));
    }
    let [(hash, _, seen), (other_hash, shown, other)] = runs.try_into().expect("two runs");
    assert_ne!(hash, other_hash);
    assert!(shown, "the office reads the mark itself");
    for name in WATCHERS {
        let (mine, theirs) = (&seen[name], &other[name]);
        assert!(mine.len() > READS.len(), "{name} was looking");
        for (line, same) in mine.iter().zip(theirs) {
            assert_eq!(line, same, "{name} can tell the two apart");
        }
        assert_eq!(mine.len(), theirs.len(), "{name}");
    }
}
