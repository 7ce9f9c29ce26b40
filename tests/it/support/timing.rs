//! A regatta beside the cup, and what its timing computer posts.

use super::people::{document, email};
use super::{Reply, TestApp};
use scorecast::config::Config;
use serde_json::{Value, json};

/// Where results are posted.
pub const RESULTS: &str = "/api/v1/ingest/results";

/// Two races: four boats of two age classes in `r1`, nobody yet in `r2`.
pub fn regatta(status: &str) -> Value {
    let boat = |number: i64, category: &str| {
        json!({
            "id": format!("p{number}"), "bib": number, "name": format!("BOAT {number}"), "startOrder": number,
            "club": { "name": "Harbour" }, "noc": "CZE", "category": { "id": category, "label": category },
        })
    };
    json!({
        "event": { "id": "regatta", "mainTitle": "The Regatta", "location": "Troja", "status": status },
        "races": [
            { "id": "r1", "raceType": "final", "name": "Final", "raceOrder": 1,
              "participants": [boat(1, "U23"), boat(2, "SEN"), boat(3, "U23"), boat(4, "SEN")] },
            { "id": "r2", "raceType": "heat", "raceOrder": 2 },
        ],
    })
}

/// A server with the people of the cup and the regatta in some state, and a key of the regatta.
pub async fn timed(status: &str) -> (TestApp, String) {
    timed_with(status, |_| {}).await
}

/// The same with other settings.
pub async fn timed_with(status: &str, change: impl FnOnce(&mut Config)) -> (TestApp, String) {
    let app = TestApp::start_with(|config| {
        config.rate_limit_commands_per_minute = 100_000;
        change(config);
    })
    .await;
    app.import(document()).await;
    app.import(regatta(status)).await;
    let key = app.key("regatta").await;
    (app, key)
}

impl TestApp {
    /// Posts results that are all taken; the place of the last fact, none where nothing happened.
    pub async fn results(&self, key: &str, results: Value) -> Option<i64> {
        let answer = self.keyed(key, RESULTS, &json!({ "results": results })).await;
        assert_eq!((answer.status.as_u16(), &answer.body["skipped"]), (200, &json!([])), "{answer:?}");
        answer.body["receipt"]["seq"].as_i64()
    }

    /// Posts an export that is taken; the place of its fact, none where nothing changed or nobody is told.
    pub async fn export(&self, key: &str, xml: String) -> Option<i64> {
        let answer = self.post_xml(key, xml).await;
        assert_eq!((answer.status.as_u16(), &answer.body["skipped"]), (200, &json!([])), "{answer:?}");
        answer.body["receipt"]["seq"].as_i64()
    }

    /// The results of a race of the regatta, as anyone reads them.
    pub async fn read_results(&self, race: &str) -> Vec<Value> {
        let answer = self.public(&format!("/api/v1/events/regatta/results/{race}")).await;
        answer.body["items"].as_array().cloned().unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// Some fields of each of them, in their order.
    pub async fn lines(&self, race: &str, fields: &[&str]) -> Value {
        let line = |line: &Value| fields.iter().map(|field| line[field].clone()).collect::<Value>();
        self.read_results(race).await.iter().map(line).collect()
    }

    /// Changes the regatta as its organiser does.
    pub async fn change_regatta(&self, fields: Value) -> Reply {
        let mut body = json!({ "mainTitle": "The Regatta", "location": "Troja" });
        for (name, value) in fields.as_object().expect("fields") {
            body[name] = value.clone();
        }
        self.send(reqwest::Method::PUT, "/api/v1/admin/events/regatta", &email("organizer"), body).await
    }
}

/// An export of these records.
pub fn file(records: &[String]) -> String {
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Canoe123Data>\n{}\n</Canoe123Data>", records.join("\n"))
}

/// A class with one category.
pub fn class(id: &str, category: &str) -> String {
    format!(
        "<Classes><ClassId>{id}</ClassId><Class>{id}</Class><LongTitle>Class {id}</LongTitle>\
            <Categories><CatId>{category}</CatId><Category>Cat {category}</Category><FirstYear>2004</FirstYear></Categories></Classes>"
    )
}

/// Somebody in a class.
pub fn boat(id: &str, class: &str, bib: i64, name: &str, category: &str) -> String {
    format!(
        "<Participants><Id>{id}</Id><ClassId>{class}</ClassId><EventBib>{bib}</EventBib><FamilyName>{name}</FamilyName>\
            <Club>Harbour</Club><CatId>{category}</CatId></Participants>"
    )
}

/// A race of a class.
pub fn race(id: &str, order: i64, class: &str, run: &str, status: i64) -> String {
    format!(
        "<Schedule><RaceId>{id}</RaceId><RaceOrder>{order}</RaceOrder><ClassId>{class}</ClassId><DisId>{run}</DisId>\
            <RaceStatus>{status}</RaceStatus></Schedule>"
    )
}

/// What somebody did in a race: time, penalty and total; what is empty is left out.
pub fn result(race: &str, id: &str, bib: i64, [time, pen, total]: [&str; 3], status: &str) -> String {
    let element =
        |name: &str, text: &str| if text.is_empty() { String::new() } else { format!("<{name}>{text}</{name}>") };
    let rest = element("Time", time) + &element("Pen", pen) + &element("Total", total) + &element("Status", status);
    format!(
        "<Results><RaceId>{race}</RaceId><Id>{id}</Id><Bib>{bib}</Bib><StartOrder>{bib}</StartOrder>{rest}</Results>"
    )
}
