//! The vault with everybody who has something to sign, at any point between the last mark and the board's signature.

use super::TestApp;
use super::client::Client;
use super::people::{email, mark};
use reqwest::Method;
use serde_json::{Value, json};

/// The judges of the vault whose marks count.
pub const JUDGES: [&str; 3] = ["ada", "ben", "cleo"];

/// Everybody who has something to sign, connected; every mark of the vault is given.
pub struct Hall {
    pub app: TestApp,
    pub judges: Vec<Client>,
    pub tally: Client,
    pub auditor: Client,
    pub board: Client,
}

impl Hall {
    /// Every judge gives one mark everywhere: 5, 6 or 7.
    pub async fn marked() -> Self {
        Self::marked_in(TestApp::with_people().await, &JUDGES, |at, _, _| 5.0 + at).await
    }

    /// The vault with every mark of some of its judges.
    pub async fn marked_by(names: &[&str]) -> Self {
        Self::marked_in(TestApp::with_people().await, names, |at, _, _| 5.0 + at).await
    }

    /// Some judges give the mark that `score` makes of the judge's number, the contestant and the criterion.
    pub async fn marked_in(app: TestApp, names: &[&str], score: impl Fn(f64, &str, &str) -> f64) -> Self {
        let mut judges = Vec::new();
        for (at, name) in JUDGES.iter().enumerate() {
            let judge = app.connect(&email(name)).await;
            let contestants = if names.contains(name) { &["x", "y", "z"][..] } else { &[] };
            for contestant in contestants {
                for criterion in ["form", "height"] {
                    let at = f64::from(u8::try_from(at).expect("a small number"));
                    let given = mark(contestant, criterion, score(at, contestant, criterion));
                    ok(&judge.call("scores:submit", given).await);
                }
            }
            judges.push(judge);
        }
        let tally = app.connect(&email("tally")).await;
        let auditor = app.connect(&email("auditor")).await;
        let board = app.connect(&email("board")).await;
        Self { app, judges, tally, auditor, board }
    }

    pub async fn judged() -> Self {
        let hall = Self::marked().await;
        hall.finish_judging().await;
        hall
    }

    /// Every judge certifies every sheet and signs FINAL.
    pub async fn finish_judging(&self) {
        for judge in &self.judges {
            ok(&judge.call("scores:certify", json!({"categoryId": "vault"})).await);
            ok(&judge.call("scores:final", json!({"categoryId": "vault", "signatureName": "J."})).await);
        }
    }

    pub async fn hash(&self) -> Value {
        self.app.get("/api/v1/categories/vault/tally", &email("tally")).await.body["tallyHash"].clone()
    }

    pub async fn sign(&self, officer: &Client, stage: &str) -> Value {
        let payload = json!({"categoryId": "vault", "stage": stage, "tallyHash": self.hash().await, "signatureName": "O. Officer"});
        officer.call("certification:sign", payload).await
    }

    pub async fn certified() -> Self {
        let hall = Self::judged().await;
        hall.certify().await;
        hall
    }

    /// Tally master, auditor and board sign.
    pub async fn certify(&self) {
        for (officer, stage) in [(&self.tally, "TALLIED"), (&self.auditor, "AUDITED"), (&self.board, "CERTIFIED")] {
            ok(&self.sign(officer, stage).await);
        }
    }

    pub async fn view(&self, name: &str) -> Value {
        self.app.get("/api/v1/categories/vault/certification", &email(name)).await.body
    }

    /// Changes the vault's own settings, as an organiser does: read, change, put back.
    pub async fn change_vault(&self, change: impl FnOnce(&mut Value)) {
        let path = "/api/v1/admin/categories/vault";
        let mut category = self.app.get(path, &email("organizer")).await.body;
        for field in ["id", "eventId", "entries"] {
            category.as_object_mut().expect("an object").remove(field);
        }
        change(&mut category);
        let changed = self.app.send(Method::PUT, path, &email("organizer"), category).await;
        assert_eq!(changed.status, 200, "{}", changed.body);
    }

    /// Asks for something, and gives the id of the decision.
    pub async fn ask(&self, by: &Client, event: &str, payload: Value) -> String {
        let answer = by.call(event, payload).await;
        let decision = ok(&answer).as_object().and_then(|fields| fields.values().next()).expect("a decision");
        decision["id"].as_str().expect("an id").to_owned()
    }
}

/// What an ack holds that says yes.
#[track_caller]
pub fn ok(answer: &Value) -> &Value {
    assert_eq!(answer["ok"], true, "{answer}");
    &answer["data"]
}

/// The code of a refusal, `ok` where there is none.
pub fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("ok")
}

/// An approval of a decision.
pub fn signed(id: &str) -> Value {
    json!({"id": id, "signatureName": "N. N."})
}
