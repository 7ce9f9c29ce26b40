//! A real afternoon of canoe slalom, as its timing computer told it, posted message by message: what anyone folds together
//! is what REST says at every step, and in the end the standings are those of the timing computer.

use crate::support::TestApp;
use crate::support::people::{self, email};
use crate::support::watch::{Folded, Viewer};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

const RECORDING: &str = include_str!("../data/canoe/recording-2025-12-28.ndjson");
/// Of how many messages one is followed by a viewer who comes only then.
const NEWCOMER_EVERY: usize = 50;

type Attributes = BTreeMap<String, String>;

/// A row of a message: the attributes of its elements, by the element's name; of several of a name the later ones win.
type Row = BTreeMap<String, Attributes>;

fn attributes(element: &BytesStart<'_>) -> Attributes {
    let read = |attribute: Result<quick_xml::events::attributes::Attribute<'_>, _>| {
        let attribute = attribute.expect("a well-formed attribute");
        let (name, value) = (attribute.key.as_ref().to_owned(), attribute.value.to_string());
        (name, quick_xml::escape::unescape(&value).expect("known entities").into_owned())
    };
    element.attributes().map(read).collect()
}

/// Reads a message of the live feed: the attributes of what it is about, and its rows.
fn read(xml: &str, about: &str, row: &str) -> (Attributes, Vec<Row>) {
    let (mut head, mut rows) = (Attributes::new(), Vec::new());
    let mut reader = Reader::from_str(xml);
    loop {
        let event = reader.read_event().expect("a well-formed message");
        if matches!(event, Event::Eof) {
            return (head, rows);
        }
        let (Event::Start(element) | Event::Empty(element)) = event else { continue };
        let name = element.name().as_ref().to_owned();
        let mut found = attributes(&element);
        if name == row || (name == about && row.is_empty()) {
            rows.push(Row::new());
        }
        if name == about {
            head.clone_from(&found);
        }
        // The two results of a boat on the course differ by their type.
        let name = format!("{name}{}", found.remove("Type").unwrap_or_default());
        if let Some(last) = rows.last_mut() {
            last.insert(name, found);
        }
    }
}

fn hundredths(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.trim().split_once('.')?;
    Some(seconds.parse::<i64>().ok()? * 100 + format!("{fraction:0<2}").parse::<i64>().ok()?)
}

fn number(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// Penalties as the feed writes them: three columns a gate.
fn columns(text: &str, gates: usize) -> Vec<Option<i64>> {
    let padded: Vec<char> = text.chars().collect();
    (0..gates).map(|gate| padded.iter().skip(gate * 3).take(3).collect::<String>().trim().parse().ok()).collect()
}

/// A message.
struct Message {
    ts: u64,
    kind: String,
    xml: String,
}

fn messages() -> Vec<Message> {
    let message = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line of the recording");
        let text = |field: &str| line[field].as_str().expect("a text").to_owned();
        Message { ts: line["ts"].as_u64().expect("a moment"), kind: text("type"), xml: text("xml") }
    };
    RECORDING.lines().map(message).collect()
}

/// The structure of the afternoon as an export has it: everything that is ever spoken of, without any result.
fn structure(messages: &[Message]) -> String {
    let mut races: BTreeMap<String, i64> = BTreeMap::new();
    let mut starters: BTreeMap<(String, String), Attributes> = BTreeMap::new();
    for message in messages {
        match &*message.kind {
            "Schedule" => {
                for row in read(&message.xml, "Schedule", "Race").1 {
                    races.insert(row["Race"]["RaceId"].clone(), number(&row["Race"]["Order"]).expect("an order"));
                }
            }
            "Results" => {
                let (head, rows) = read(&message.xml, "Results", "Row");
                for row in rows {
                    let one = row["Participant"].clone();
                    starters.insert((head["RaceId"].clone(), one["Id"].clone()), one);
                }
            }
            "OnCourse" => {
                for row in read(&message.xml, "OnCourse", "").1 {
                    let Some(one) = row.get("Participant") else { continue };
                    starters.entry((one["RaceId"].clone(), one["Id"].clone())).or_insert_with(|| one.clone());
                }
            }
            _ => {}
        }
    }
    let escape = |text: &str| quick_xml::escape::escape(text).into_owned();
    let class = |race: &str| race.rsplitn(3, '_').last().expect("a class").to_owned();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Canoe123Data>\n");
    let classes: BTreeSet<String> = races.keys().map(|race| class(race)).collect();
    for id in classes {
        writeln!(xml, "<Classes><ClassId>{id}</ClassId><Class>{id}</Class></Classes>").expect("text");
    }
    let mut written = BTreeSet::new();
    for ((race, id), one) in &starters {
        if written.insert(id) {
            let (name, given) = one["Name"].split_once(' ').unwrap_or((&one["Name"], ""));
            writeln!(
                xml,
                "<Participants><Id>{id}</Id><ClassId>{}</ClassId><EventBib>{}</EventBib><FamilyName>{}</FamilyName>\
                    <GivenName>{}</GivenName><Club>{}</Club></Participants>",
                class(race),
                one["Bib"].trim(),
                escape(name),
                escape(given),
                escape(&one["Club"]),
            )
            .expect("text");
        }
    }
    for (race, order) in &races {
        let (class, run) = (class(race), race.rsplit('_').nth(1).expect("a run"));
        writeln!(
            xml,
            "<Schedule><RaceId>{race}</RaceId><RaceOrder>{order}</RaceOrder><ClassId>{class}</ClassId>\
                <DisId>{run}</DisId></Schedule>"
        )
        .expect("text");
    }
    for ((race, id), one) in &starters {
        writeln!(
            xml,
            "<Results><RaceId>{race}</RaceId><Id>{id}</Id><StartOrder>{}</StartOrder><Bib>{}</Bib></Results>",
            one.get("StartOrder").map_or("", String::as_str),
            one["Bib"].trim(),
        )
        .expect("text");
    }
    xml.push_str("</Canoe123Data>\n");
    xml
}

/// A results message as it is posted.
fn results(xml: &str) -> (String, Vec<Value>) {
    let (head, rows) = read(xml, "Results", "Row");
    let race = head["RaceId"].clone();
    let post = |row: &Row| {
        let (one, result) = (&row["Participant"], &row["ResultT"]);
        let time = hundredths(&result["Time"]);
        let status = Some(&result["IRM"]).filter(|irm| !irm.is_empty());
        let raw = &result["Gates"];
        json!({
            "raceId": race, "participantId": one["Id"], "bib": number(&one["Bib"]),
            "time": time, "pen": time.and(number(&result["Pen"])).map(|pen| pen * 100),
            "total": hundredths(&result["Total"]), "status": status,
            "gates": columns(raw, 24),
        })
    };
    (race.clone(), rows.iter().map(post).collect())
}

/// Who is on the course, of whom each message tells one.
#[derive(Default)]
struct Course(BTreeMap<i64, Value>);

impl Course {
    fn take(&mut self, xml: &str) -> Vec<Value> {
        let (head, rows) = read(xml, "OnCourse", "");
        let total = number(&head["Total"]).unwrap_or(0);
        self.0.retain(|position, _| *position <= total);
        for row in rows {
            let (Some(one), Some(gates), Some(times)) =
                (row.get("Participant"), row.get("ResultC"), row.get("ResultT"))
            else {
                continue;
            };
            let position = number(&head["Position"]).expect("a position");
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let boat = json!({
                "raceId": one["RaceId"], "participantId": one["Id"], "bib": number(&one["Bib"]), "position": position,
                "gates": gates["Gates"].split(',').map(number).collect::<Vec<_>>(),
                "completed": gates["Completed"] == "Y",
                "dtStart": text(&gates["dtStart"]), "dtFinish": text(&gates["dtFinish"]),
                "time": hundredths(&times["Time"]), "pen": number(&times["Pen"]).unwrap_or(0) * 100,
                "total": hundredths(&times["Total"]), "rank": number(&times["Rank"]),
                "ttbDiff": text(&times["TTBDiff"]), "ttbName": text(&times["TTBName"]),
            });
            self.0.insert(position, boat);
        }
        self.0.values().cloned().collect()
    }
}

/// What REST says at this moment.
async fn rest(app: &TestApp, races: &BTreeSet<String>) -> (BTreeMap<String, Vec<Value>>, Vec<Value>) {
    let items = |body: &Value| body["items"].as_array().cloned().expect("a list");
    let mut results = BTreeMap::new();
    for race in races {
        let answer = app.public(&format!("/api/v1/events/slalom/results/{race}")).await;
        results.insert(race.clone(), items(&answer.body));
    }
    let course = app.public("/api/v1/events/slalom/oncourse").await;
    (results, items(&course.body))
}

fn must_agree(folded: &Folded, races: &BTreeSet<String>, said: &(BTreeMap<String, Vec<Value>>, Vec<Value>), at: usize) {
    for race in races {
        assert_eq!(folded.of_race(race), said.0[race], "{race} after message {at}");
    }
    assert_eq!(folded.oncourse, said.1, "the course after message {at}");
}

/// A rehearsal once it is over, as it is listed.
async fn over(app: &TestApp, event: &str) -> Value {
    loop {
        let listed = app.get("/api/rehearsals", &email("admin")).await.body;
        let one = listed["items"].as_array().expect("a list").iter().find(|one| one["event_id"] == event).cloned();
        match one.expect("it is listed") {
            one if one["phase"] == "playing" => tokio::time::sleep(Duration::from_millis(100)).await,
            one => return one,
        }
    }
}

/// What was recorded of it, played at some speeds, comes to the same results and the same course; how long each took.
async fn played_again_it_ends_the_same(
    app: &TestApp,
    folded: &Folded,
    races: &BTreeSet<String>,
    speeds: &[u32],
) -> Vec<Duration> {
    let done = app.post("/api/cassettes/afternoon/stop", &email("admin"), json!({})).await;
    assert_eq!(done.status, 200, "{done:?}");
    let (mut outcomes, mut times) = (Vec::new(), Vec::new());
    for speed in speeds {
        let begun = std::time::Instant::now();
        let playing = app.post("/api/cassettes/afternoon/replay", &email("admin"), json!({ "speed": speed })).await;
        assert_eq!(playing.status, 202, "{playing:?}");
        let event = playing.body["event_id"].as_str().expect("an event").to_owned();
        let mut viewer = Viewer::watch(app, &event).await;
        assert_eq!(viewer.folded.full["event"]["rehearsal"], true);
        // The ids of its races begin with its own.
        let plain = |mut lines: Vec<Value>| {
            for line in &mut lines {
                let id = line["raceId"].as_str().expect("a race").trim_start_matches(&format!("{event}.")).to_owned();
                line["raceId"] = json!(id);
            }
            lines
        };
        let is_whole = |viewer: &Viewer| {
            let is_same =
                |race: &String| plain(viewer.folded.of_race(&format!("{event}.{race}"))) == folded.of_race(race);
            plain(viewer.folded.oncourse.clone()) == folded.oncourse && races.iter().all(is_same)
        };
        let mut end = None;
        while end.is_none() || !is_whole(&viewer) {
            let frame = viewer.read().await;
            assert!(frame.get("cut").is_none(), "{frame}: it does not come to what it was");
            if is_whole(&viewer) && end.is_none() {
                let one = over(app, &event).await;
                assert_eq!((&one["phase"], &one["not_played"]), (&json!("ended"), &json!({})), "{one}");
                end = Some(one["played"].clone());
            }
        }
        times.push(begun.elapsed());
        assert_eq!((viewer.gaps, viewer.refreshes), (0, 0));
        outcomes.push(end);
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "every frame is played at every speed: {outcomes:?}");
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn an_afternoon_of_slalom_ends_with_the_standings_of_its_timing_computer() {
    afternoon(&[0, 60]).await;
}

/// The whole afternoon, and what was recorded of it played again at some speeds; how long each took.
pub async fn afternoon(speeds: &[u32]) -> Vec<Duration> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = TestApp::start_with(|config| {
        config.rate_limit_ingest_per_minute = 100_000;
        config.rate_limit_public_reads_per_minute = 100_000;
        config.rate_limit_commands_per_minute = 100_000;
        folder.path().clone_into(&mut config.cassettes);
    })
    .await;
    app.import(people::document()).await;
    app.import(json!({ "event": { "id": "slalom", "mainTitle": "Slalom", "status": "startlist" } })).await;
    let (messages, key) = (messages(), app.key("slalom").await);
    let imported = app.post_xml(&key, structure(&messages)).await;
    assert_eq!((imported.status.as_u16(), &imported.body["skipped"]), (200, &json!([])), "{imported:?}");
    app.set_status("slalom", "running").await;

    let tape = json!({ "name": "afternoon", "event_id": "slalom" });
    assert_eq!(app.post("/api/cassettes", &email("admin"), tape).await.status, 201);

    let mut viewers = vec![Viewer::watch(&app, "slalom").await];
    let (mut course, mut last, mut touched) = (Course::default(), BTreeMap::new(), BTreeSet::new());
    let mut then = 0;
    for (at, message) in messages.iter().enumerate() {
        app.clock.advance(Duration::from_millis(message.ts - then));
        then = message.ts;
        let mut said = None;
        if message.kind == "OnCourse" {
            let answer =
                app.keyed(&key, "/api/v1/ingest/oncourse", &json!({ "oncourse": course.take(&message.xml) })).await;
            assert_eq!((answer.status.as_u16(), &answer.body["skipped"]), (200, &json!([])), "{answer:?}");
        } else if message.kind == "Results" {
            let (race, items) = results(&message.xml);
            let answer = app.keyed(&key, "/api/v1/ingest/results", &json!({ "results": items })).await;
            assert_eq!((answer.status.as_u16(), &answer.body["skipped"]), (200, &json!([])), "{answer:?}");
            said = answer.body["receipt"]["seq"].as_i64();
            touched.insert(race.clone());
            last.insert(race, message.xml.clone());
        } else {
            continue;
        }
        if at % NEWCOMER_EVERY == 0 {
            viewers.push(Viewer::watch(&app, "slalom").await);
        }
        let truth = rest(&app, &touched).await;
        for viewer in &mut viewers {
            if let Some(seq) = said {
                viewer.read_to(seq).await;
            }
            // Who is on the course has no place: read until it is what was posted.
            while viewer.folded.oncourse != truth.1 {
                viewer.read().await;
            }
            must_agree(&viewer.folded, &touched, &truth, at);
        }
    }
    for viewer in &viewers {
        assert_eq!((viewer.gaps, viewer.refreshes), (0, 0));
    }
    assert!(viewers[0].diffs > 0 && viewers.len() > 10, "there was something to see, and newcomers saw it too");
    for (race, xml) in last {
        let standings = viewers[0].folded.of_race(&race);
        let recorded = read(&xml, "Results", "Row").1;
        assert!(recorded.len() > 5, "{race} is a race");
        for row in recorded {
            let (one, result) = (&row["Participant"], &row["ResultT"]);
            let bib = number(&one["Bib"]);
            let line = standings.iter().find(|line| line["bib"].as_i64() == bib);
            if [&result["Time"], &result["Total"], &result["IRM"]].iter().all(|text| text.is_empty()) {
                assert_eq!(line, None, "{bib:?} has not started {race} yet");
                continue;
            }
            let line = line.unwrap_or_else(|| panic!("no line of {bib:?} in {race}: {row:?}"));
            assert_eq!(line["name"].as_str(), Some(&*one["Name"]), "{race} {bib:?}");
            assert_eq!(line["rnk"].as_i64(), number(&result["Rank"]), "the place of {bib:?} in {race}: {line}");
            assert_eq!(line["total"].as_i64(), hundredths(&result["Total"]), "the total of {bib:?} in {race}: {line}");
        }
    }
    let times = played_again_it_ends_the_same(&app, &viewers[0].folded, &touched, speeds).await;
    app.stop().await;
    times
}
