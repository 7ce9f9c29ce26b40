//! The part of `docs/events.md` that tells of the live plane: `/live`, the feed of an event, the room of a race. What is
//! sent is made of samples of the code's own types; where a sample that has everything and one that has nothing differ, a
//! field may be missing (`?`) or null.

use super::{ClientEvent, fields, id};
use crate::clock::Micros;
use crate::db::entity::event::EventStatus;
use crate::db::entity::race::{self, RacePhase, RaceStatus};
use crate::db::entity::race_report::Irm;
use crate::db::entity::{indoor_participant, race_participant};
use crate::db::row::Row;
use crate::events::event::{
    Event, IndoorCompleted, IndoorImported, IndoorUpdated, OddsChanged, PublicChanged, RaceFinal, RaceMoved,
    RaceStatusChanged, ResultLine, ResultsChanged, SplitLine, SplitsPassed,
};
use crate::events::following::ROOMS_MAX;
use crate::events::live::{Sent, diff, full, refresh, room};
use crate::events::log::LogHead;
use crate::events::public::{
    DiffData, FullData, LiveEvent, PublicAggregatedCategory, PublicCategory, PublicClass, PublicEvent, PublicOnCourse,
    PublicRace, PublicResult, RemovedLine, RoomMessage, RoomOdds, RoomRace, RoomResult, RoomStarter, RoomState, Told,
    told, told_live,
};
use crate::events::room::{Lane, LiveRoom};
use crate::ranking::Mark;
use crate::state::State;
use crate::state::detail::{Club, Label, Measurement, ParticipantSpec};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;
use utoipa::ToSchema;

/// Every event a client of `/live` may send; any other is answered `INVALID_EVENT`.
pub const LIVE_CLIENT_EVENTS: [ClientEvent; 4] = [
    ClientEvent {
        name: "joinPublicEvent",
        who: "anyone",
        payload: "`{event_id}`",
        answer: "`{ok, seq, epoch}`: every event of the room with a later `meta.seq` comes",
    },
    ClientEvent {
        name: "leavePublicEvent",
        who: "anyone",
        payload: "`{event_id}`",
        answer: "`{ok, seq, epoch}`: nothing comes from the room any more",
    },
    ClientEvent {
        name: "joinRoom",
        who: "anyone",
        payload: "`{race_id?, event_id?}`; both, where the race is one of the event",
        answer: "the same as of `joinPublicEvent`",
    },
    ClientEvent {
        name: "leaveRoom",
        who: "anyone",
        payload: "`{race_id?, event_id?}`",
        answer: "the same as of `leavePublicEvent`",
    },
];

/// What a value looks like.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("[{}]", items.first().map(kind).unwrap_or_default()),
        Value::Object(_) => shape(value, value),
    }
}

/// What an object looks like, by one that has everything and one that has as little as can be.
pub(super) fn shape(whole: &Value, bare: &Value) -> String {
    let (Value::Object(whole), Value::Object(bare)) = (whole, bare) else {
        return match (whole, bare) {
            (Value::Array(whole), Value::Array(bare)) => {
                let items = whole.first().zip(bare.first().or(whole.first()));
                format!("[{}]", items.map(|(whole, bare)| shape(whole, bare)).unwrap_or_default())
            }
            (whole, Value::Null) if !whole.is_null() => format!("{} or null", kind(whole)),
            _ => kind(whole),
        };
    };
    let field = |(name, value): (&String, &Value)| match bare.get(name) {
        None => format!("{name}?: {}", kind(value)),
        Some(bare) => format!("{name}: {}", shape(value, bare)),
    };
    format!("{{{}}}", whole.iter().map(field).collect::<Vec<_>>().join(", "))
}

pub(super) fn json(value: &impl Serialize) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(value)?)
}

/// A type of the interface description.
fn described(schema: &Value) -> String {
    if let Some(named) = schema["$ref"].as_str() {
        return named.rsplit('/').next().unwrap_or(named).to_owned();
    }
    let several = ["oneOf", "anyOf"].into_iter().find_map(|word| schema[word].as_array());
    if let Some(several) = several {
        let kinds = several.iter().map(described).filter(|kind| kind != "null");
        return kinds.collect::<Vec<_>>().join(" or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    let word = schema["type"].as_str().or_else(|| {
        let kinds = schema["type"].as_array()?;
        kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null")
    });
    match word.unwrap_or_default() {
        "array" => {
            let items = &schema["items"];
            let null = items["type"].as_array().is_some_and(|kinds| kinds.contains(&json!("null")));
            format!("[{}{}]", described(items), if null { " or null" } else { "" })
        }
        "string" => "text".to_owned(),
        "integer" | "number" => "number".to_owned(),
        other => other.to_owned(),
    }
}

/// The fields of a type: what they are by its description, whether they are always there by one that has nothing.
fn typed<T: ToSchema + Serialize>(bare: &T) -> anyhow::Result<String> {
    let (schema, bare) = (json(&T::schema())?, json(bare)?);
    let parts = schema["allOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
    let mut described_as = Vec::new();
    for part in parts {
        if part.get("$ref").is_some() {
            described_as.push(described(&part));
            continue;
        }
        let fields = part["properties"].as_object().into_iter().flatten();
        let field = |(name, schema): (&String, &Value)| match bare.get(name) {
            None => format!("{name}?: {}", described(schema)),
            Some(Value::Null) => format!("{name}: {} or null", described(schema)),
            Some(_) => format!("{name}: {}", described(schema)),
        };
        described_as.push(format!("{{{}}}", fields.map(field).collect::<Vec<_>>().join(", ")));
    }
    Ok(described_as.join(" and "))
}

fn event() -> PublicEvent {
    PublicEvent {
        event_id: id("E"),
        main_title: String::new(),
        sub_title: None,
        location: None,
        facility: None,
        start_date: None,
        end_date: None,
        discipline: None,
        status: EventStatus::Running,
        image_url: None,
        rehearsal: false,
    }
}

fn whole() -> FullData {
    FullData { event: event(), classes: vec![], races: vec![], categories: vec![], results: None, oncourse: None }
}

fn category() -> PublicCategory {
    PublicCategory { cat_id: String::new(), name: String::new(), first_year: None, last_year: None }
}

/// The types of what is public, each by one that has nothing.
fn types() -> anyhow::Result<Vec<(&'static str, String)>> {
    let class = PublicClass { class_id: String::new(), name: String::new(), long_title: None, categories: Vec::new() };
    let race = PublicRace {
        race_id: id("R"),
        number: 1,
        name: None,
        class_id: None,
        race_type: String::new(),
        race_order: None,
        start_time: None,
        race_status: 1,
    };
    let result = PublicResult {
        race_id: id("R"),
        bib: None,
        rnk: None,
        name: String::new(),
        club: None,
        noc: None,
        cat_id: None,
        cat_rnk: None,
        time: None,
        pen: None,
        total: None,
        total_behind: None,
        status: None,
        gates: None,
    };
    let oncourse = PublicOnCourse {
        race_id: id("R"),
        bib: None,
        name: String::new(),
        club: String::new(),
        position: 0,
        gates: Vec::new(),
        completed: false,
        dt_start: None,
        dt_finish: None,
        time: None,
        pen: 0,
        total: None,
        rank: None,
        ttb_diff: None,
        ttb_name: None,
    };
    let aggregated = PublicAggregatedCategory { category: category(), class_ids: Vec::new() };
    Ok(vec![
        ("FullData", typed(&whole())?),
        ("DiffData", typed(&DiffData::default())?),
        ("PublicEvent", typed(&event())?),
        ("EventStatus", described(&json(&<EventStatus as utoipa::PartialSchema>::schema())?)),
        ("PublicClass", typed(&class)?),
        ("PublicCategory", typed(&category())?),
        ("PublicAggregatedCategory", typed(&aggregated)?),
        ("PublicRace", typed(&race)?),
        ("PublicResult", typed(&result)?),
        ("Irm", described(&json(&<Irm as utoipa::PartialSchema>::schema())?)),
        ("PublicOnCourse", typed(&oncourse)?),
        ("RemovedLine", typed(&RemovedLine { race_id: id("R"), bib: None })?),
    ])
}

fn line(bare: bool) -> ResultLine {
    let number = Some(1).filter(|_| !bare);
    ResultLine {
        participant_id: "CREW".into(),
        bib: number,
        rank: number,
        category_rank: number,
        time_ms: number,
        pen_ms: number,
        total_ms: number,
        behind_ms: number,
        status: None,
        gates: None,
    }
}

fn split(bare: bool) -> SplitLine {
    SplitLine {
        participant_id: "CREW".into(),
        timing_point_id: "POINT".into(),
        label: String::new(),
        distance_m: 0,
        time_ms: 0,
        relative_ms: Some(0).filter(|_| !bare),
        order_index: 0,
    }
}

/// One of each public fact that timing makes, with everything or with as little as can be.
fn timed(bare: bool) -> Vec<(&'static str, Event)> {
    let (event_id, race_id) = (|| id("E"), || id("R"));
    let changed = |status, whole| PublicChanged { status, whole, ..PublicChanged::whole(&event_id()) };
    let number = Some(1).filter(|_| !bare);
    let last = RaceFinal { race_id: race_id(), participant_id: "CREW".into(), total_ms: number, behind_ms: number };
    let moved = RaceMoved { race_id: race_id(), phase: RacePhase::NonOfficial };
    vec![
        ("The event moved on", Event::PublicChanged(changed(Some(EventStatus::Running), false))),
        (
            "More of it changed: an export came, or its set-up is another",
            Event::PublicChanged(PublicChanged { races: vec![moved], finals: vec![last], ..changed(None, true) }),
        ),
        (
            "The status of a race was set",
            Event::RaceStatusChanged(RaceStatusChanged {
                event_id: event_id(),
                race_id: race_id(),
                phase: RacePhase::NonOfficial,
            }),
        ),
        (
            "Results came by ingest",
            Event::ResultsChanged(ResultsChanged {
                event_id: event_id(),
                race_id: race_id(),
                lines: vec![line(bare)],
                removed: vec![None],
                finished: vec!["CREW".into()],
            }),
        ),
        (
            "Timing points were passed",
            Event::SplitsPassed(SplitsPassed { event_id: event_id(), race_id: race_id(), splits: vec![split(bare)] }),
        ),
        ("Odds came", Event::OddsChanged(OddsChanged { event_id: event_id(), race_id: race_id(), odds: vec![] })),
        (
            "Results of ergometers were imported",
            Event::IndoorImported(IndoorImported {
                event_id: event_id(),
                race_id: race_id(),
                participants_count: 0,
                linked_crews_count: 0,
                phase: RacePhase::NonOfficial,
                lines: vec![],
            }),
        ),
        (
            "Somebody on an ergometer finished, or has another result or place; after an import that changes more than 50 \
                nothing but the import is told",
            Event::IndoorUpdated(IndoorUpdated {
                event_id: event_id(),
                race_id: race_id(),
                participant_id: "ID".into(),
                line: None,
            }),
        ),
        (
            "Everybody has a time or a status, or the race became official",
            Event::IndoorCompleted(IndoorCompleted {
                event_id: event_id(),
                race_id: race_id(),
                total_participants: 0,
                phase: RacePhase::NonOfficial,
            }),
        ),
    ]
}

/// A race with somebody on an ergometer, who is a crew of ours or not.
fn world(bare: bool) -> anyhow::Result<State> {
    let mut state = State::empty(LogHead { seq: 0, hash: "".into(), epoch: "EPOCH".into() });
    let row = race::Model {
        id: id("R"),
        number: 1,
        event_id: id("E"),
        race_type: String::new(),
        name: None,
        class_id: None,
        start_time: None,
        position: None,
        status: RaceStatus::Unofficial,
        meta: "{}".into(),
    };
    state.put(&Row::from(row));
    let number = Some(1).filter(|_| !bare);
    let row = indoor_participant::Model {
        race_id: id("R"),
        id: "ID".into(),
        ergrace_id: "CREW".into(),
        place: number,
        time_ms: number,
        status: Some(Irm::Dnf).filter(|_| !bare),
        detail: serde_json::to_string(&Measurement::default())?,
    };
    state.put(&Row::from(row));
    if !bare {
        let label = Label { id: String::new(), code: Some(String::new()), label: Some(String::new()) };
        let detail = ParticipantSpec {
            club: Some(Club { name: String::new(), code: Some(String::new()) }),
            category: Some(label),
            ..ParticipantSpec::named("CREW")
        };
        let row = race_participant::Model {
            race_id: id("R"),
            id: "CREW".into(),
            number: 1,
            bib: Some(1),
            detail: serde_json::to_string(&detail)?,
        };
        state.put(&Row::from(row));
    }
    Ok(state)
}

/// What an event of the scoring plane tells the public.
fn of_judges_means(event: &str) -> &'static str {
    match event {
        "results:published" => "A judged result was published",
        "results:frozen" => "The judged results of the event were frozen",
        "results:thawed" => "They were thawed",
        "results:revealed" => "Places of a hidden result were revealed",
        "system:announcement" => "Something is announced to the public of the event",
        _ => "",
    }
}

/// The public facts of the scoring plane.
fn judged() -> impl Iterator<Item = (&'static str, Event)> {
    let public = super::facts().into_iter().filter(|(_, event)| matches!(event.lane(), Lane::Public(_)));
    public.map(|(_, event)| (event.deliveries().first().map_or("", |told| of_judges_means(told.event)), event))
}

fn live_events(page: &mut String) -> anyhow::Result<()> {
    let (whole, bare) = (world(false)?, world(true)?);
    let events = |(what, fact): (&'static str, Event), (_, poor): (&'static str, Event)| {
        let rich = told_live(&whole, &fact);
        let poor = told_live(&bare, &poor);
        rich.into_iter().zip(poor).map(move |(rich, poor)| (what, rich, poor)).collect::<Vec<_>>()
    };
    let mut told: Vec<(&str, LiveEvent, LiveEvent)> =
        timed(false).into_iter().zip(timed(true)).flat_map(|(rich, poor)| events(rich, poor)).collect();
    let of_judges = judged().flat_map(|(_, fact)| told_live(&whole, &fact));
    told.extend(of_judges.map(|event| (of_judges_means(event.event), event.clone(), event)));
    page.push_str("\n### From the server\n\n| when | event | rooms | payload |\n|---|---|---|---|\n");
    for (what, rich, poor) in told {
        let race = rich.race.map(|race| format!(", `{}`", LiveRoom::Race(race))).unwrap_or_default();
        let payload =
            if race.is_empty() { fields(&rich.payload) } else { format!("`{}`", shape(&rich.payload, &poor.payload)) };
        writeln!(page, "| {what} | `{}` | `{}`{race} | {payload} |", rich.event, LiveRoom::Event(id("E")))?;
    }
    Ok(())
}

fn text_of(sent: &Sent) -> anyhow::Result<Value> {
    match sent {
        Sent::Frame { frame, .. } => Ok(serde_json::from_str(frame.as_str())?),
        Sent::Close(code, why) => Ok(json!({ "close": code, "reason": why })),
    }
}

fn feed_frames(page: &mut String) -> anyhow::Result<()> {
    let frames = |sent: &Sent| -> anyhow::Result<String> {
        let frame = text_of(sent)?;
        let keys = frame.as_object().into_iter().flatten().map(|(key, value)| match (key.as_str(), value) {
            ("type", kind) => format!("type: {kind}"),
            ("data", _) => "data".to_owned(),
            (key, value) => format!("{key}: {}", kind(value)),
        });
        Ok(keys.collect::<Vec<_>>().join(", "))
    };
    writeln!(
        page,
        "| `{{{}}}` | at once, and whenever a change cannot be said in parts | `FullData`; `results` and `oncourse` with `?include=results,oncourse` |",
        frames(&full(&whole(), 1, "EPOCH"))?
    )?;
    let none = DiffData::default();
    writeln!(
        page,
        "| `{{{}}}` | for every public fact; `prev` is the place before | `DiffData`, and the keys below; empty where the fact changes nothing of this |",
        frames(&diff(&none, Some(2), "EPOCH"))?
    )?;
    writeln!(
        page,
        "| `{{{}}}` | whenever somebody else is on the course, and ten seconds after the last post | `{{oncourse}}`, the whole list |",
        frames(&diff(&none, None, "EPOCH"))?
    )?;
    writeln!(
        page,
        "| `{{{}}}` | when it has to be read anew by REST; also to who fell behind | none |",
        frames(&refresh(3, "EPOCH"))?
    )?;
    page.push_str(
        "\nThe keys of a `diff` by what happened:\n\n| what | frame | keys of `data` | what the key holds |\n|---|---|---|---|\n",
    );
    let state = world(false)?;
    for (what, fact) in timed(false).into_iter().chain(judged()) {
        let (frame, keys, held) = match told(&state, &fact) {
            Told::Full => ("full", "all".to_owned(), String::new()),
            Told::Refresh => ("refresh", String::new(), String::new()),
            Told::Diff(data) => {
                let data = json(&data)?;
                let of_judges = data.as_object().into_iter().flatten().find(|(_, value)| value.is_object());
                ("diff", fields(&data), of_judges.map(|(_, value)| fields(value)).unwrap_or_default())
            }
        };
        writeln!(page, "| {what} | `{frame}` | {keys} | {held} |")?;
    }
    page.push_str("\n| type | fields |\n|---|---|\n");
    for (name, fields) in types()? {
        writeln!(page, "| `{name}` | `{}` |", fields.replace('|', "\\|"))?;
    }
    Ok(())
}

fn room_race(bare: bool) -> RoomRace {
    let text = || Some(String::new()).filter(|_| !bare);
    RoomRace {
        id: 1,
        meeting_id: String::new(),
        race_number: 1,
        distance_m: 1,
        start_type: text(),
        gait: text(),
        weather: text(),
        track_condition: text(),
        race_datetime: text(),
        venue: text(),
        meeting_date: text(),
    }
}

fn room_starter(bare: bool) -> RoomStarter {
    let (text, number) = (|| Some(String::new()).filter(|_| !bare), Some(1).filter(|_| !bare));
    RoomStarter {
        id: 1,
        horse_id: 1,
        horse_name: text(),
        driver_id: number,
        driver_name: text(),
        trainer_id: number,
        trainer_name: text(),
        runner_number: number,
        barrier: number,
        handicap_m: number,
        placing: number,
        did_not_finish: false,
    }
}

/// The messages of the room of a race, with everything or with as little as can be.
fn messages(bare: bool) -> [(&'static str, RoomMessage); 3] {
    let (race_id, timestamp, simulated) = (1, Micros(0), !bare);
    let data = RoomState { race: room_race(bare), starters: vec![room_starter(bare)], starter_count: 1 };
    let odds = vec![RoomOdds { horse_id: 1, odds: Mark::ZERO }];
    let results = vec![RoomResult { horse_id: 1, placing: Some(1).filter(|_| !bare), finished: true }];
    [
        ("at once, and when an export changed the race", RoomMessage::InitialState { race_id, data: Box::new(data) }),
        ("when odds came", RoomMessage::OddsUpdate { race_id, timestamp, odds, simulated }),
        (
            "when results came; those who are placed or out",
            RoomMessage::ResultUpdate { race_id, timestamp, results, simulated },
        ),
    ]
}

fn room_messages(page: &mut String) -> anyhow::Result<()> {
    for ((when, whole), (_, bare)) in messages(false).into_iter().zip(messages(true)) {
        // What is simulated is in no log.
        let whole = text_of(&room(&whole, Some((1, "EPOCH"))))?;
        let place = matches!(bare, RoomMessage::InitialState { .. }).then_some((1, "EPOCH"));
        let bare = text_of(&room(&bare, place))?;
        let kind = whole["type"].as_str().unwrap_or_default().to_owned();
        let shape = shape(&whole, &bare).replace(", type: text", &format!(", type: \"{kind}\""));
        writeln!(page, "| `{kind}` | {when} | `{shape}` |")?;
    }
    Ok(())
}

/// The part of the page.
///
/// # Errors
/// When something cannot be written as JSON.
pub(super) fn write(page: &mut String) -> anyhow::Result<()> {
    writeln!(
        page,
        "\n# The live plane\n\n\
        Anyone may watch. Nothing a viewer sends changes anything, a draft is not there, and no fact of the scoring plane is \
        shown but what its judges have published.\n\n\
        ## Socket.IO, namespace `/live`\n\n\
        Rooms are joined by name; who is in both rooms of an event gets it once. Ids are texts, and so is a time in \
        milliseconds where it says `time_ms: text`. The second argument is `meta = {{lane, seq, epoch, ts}}`: `seq` goes up, \
        and one fact may be several events or none. One socket is in at most {ROOMS_MAX} rooms. Who does not read is cut off, \
        comes back, joins again and reads anew by REST. Over one connection `/` and `/live` go side by side; it ends when \
        both were left, or when the session of `/` ends.\n\n\
        | room | of |\n|---|---|\n| `{}` | an event that is no draft |\n| `{}` | a race of such an event |\n\n\
        ### From the client\n\n\
        With an ack `{{ok: true, …}}` or `{{ok: false, error}}`; without one, `error` with the same error. `NOT_FOUND` for what \
        is unknown or a draft's.\n\n| event | who | payload | answer |\n|---|---|---|---|",
        LiveRoom::Event(id("EVENT_ID")),
        LiveRoom::Race(id("RACE_ID")),
    )?;
    for ClientEvent { name, who, payload, answer } in LIVE_CLIENT_EVENTS {
        writeln!(page, "| `{name}` | {who} | {payload} | {answer} |")?;
    }
    live_events(page)?;
    page.push_str(
        "\n`crew` is null for who is no crew of ours; in it `club_name` and `club_code` may be null, and `category` may be \
        missing. REST shows a participant in the same words.\n\n## `GET /api/v1/events/{id}/ws`: the feed of an event\n\n\
        A plain WebSocket. Before the upgrade 404 (unknown or a draft), 410 (official), 503 (too many viewers). Within it \
        `prev` is the `seq` before: where it is another, something was lost, and `?since=SEQ&epoch=EPOCH` gives it. Messages \
        of the viewer are ignored. Closed with 1000 some seconds after the event became official, 4004 when it became a draft \
        again.\n\n| frame | when | `data` |\n|---|---|---|\n",
    );
    feed_frames(page)?;
    page.push_str(
        "\n## `GET /ws/races/{number}`: the room of a race\n\n\
        A plain WebSocket; `number` is the integer the server gave the race. Closed with 4004 where there is none, 1011 when \
        something went wrong. The viewer may say `{type: \"subscribe\", race_id}` and is answered `{type: \"subscribed\", \
        race_id}`; anything else is answered `{type: \"error\", code, message}`. Updates come either way.\n\n\
        | message | when | fields |\n|---|---|---|\n",
    );
    room_messages(page)
}
