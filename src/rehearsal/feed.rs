//! Playing what the public was shown of races: results and the course go in as a timing computer would post them.

use super::Rehearsal;
use super::outcome::Became;
use crate::command::parse;
use crate::db::entity::event::EventStatus;
use crate::error::Refusal;
use crate::ids::EventId;
use crate::races::oncourse;
use crate::races::reports::{ITEMS_MAX, IngestResults, ResultsPost};
use crate::setup::SetEventStatus;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The races and lines a recording ever speaks of.
#[derive(Clone, Debug, Default)]
pub(super) struct Structure {
    title: String,
    races: BTreeMap<String, Value>,
    /// By race and bib.
    starters: BTreeMap<(String, i64), Value>,
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl Structure {
    pub(super) fn learn(&mut self, data: &Value) {
        if let Some(title) = data["event"]["mainTitle"].as_str() {
            title.clone_into(&mut self.title);
        }
        for race in list(&data["races"]) {
            if let Some(id) = race["raceId"].as_str() {
                self.races.insert(id.to_owned(), race.clone());
            }
        }
        for line in list(&data["results"]).chain(list(&data["oncourse"])) {
            let (Some(race), Some(bib)) = (line["raceId"].as_str(), line["bib"].as_i64()) else { continue };
            let known = self.starters.entry((race.to_owned(), bib)).or_insert_with(|| json!({}));
            for field in ["name", "club", "noc", "catId"] {
                if let Some(said) = line.get(field).filter(|said| !said.is_null()) {
                    known[field] = said.clone();
                }
            }
        }
    }
}

impl Structure {
    /// The import document of the rehearsal.
    ///
    /// # Errors
    /// `STATE` for a recording that shows no race.
    pub(super) fn document(&self, event: &EventId) -> Result<Value, Refusal> {
        if self.races.is_empty() {
            return Err(Refusal::State("the recording shows no race; one of a feed begins with everything".into()));
        }
        let races: Vec<Value> = self
            .races
            .iter()
            .map(|(id, race)| {
                let starters = self.starters.iter().filter(|((of, _), _)| of == id);
                let participants: Vec<Value> = starters
                .map(|((_, bib), one)| {
                    let category = one.get("catId").map(|id| json!({ "id": id }));
                    let club = one["club"].as_str().filter(|name| !name.is_empty()).map(|name| json!({ "name": name }));
                    json!({
                        "id": format!("bib-{bib}"), "bib": bib, "name": one["name"], "noc": one["noc"], "club": club,
                        "category": category,
                    })
                })
                .collect();
                json!({
                    "id": format!("{event}.{id}"), "raceType": race["raceType"], "name": race["name"],
                    "classId": race["classId"], "raceOrder": race["raceOrder"], "participants": participants,
                })
            })
            .collect();
        Ok(json!({
            "event": { "id": event, "mainTitle": format!("Rehearsal: {}", self.title), "status": "running" },
            "races": races,
        }))
    }
}

/// A line as a timing computer would post it.
fn post(line: &Value) -> Value {
    let mut post = json!({ "raceId": line["raceId"], "participantId": format!("bib-{}", line["bib"]) });
    for field in ["time", "pen", "total", "status", "gates"] {
        if let Some(said) = line.get(field).filter(|said| !said.is_null()) {
            post[field] = said.clone();
        }
    }
    post
}

/// What a frame of the feed also tells, and nobody posts.
const TOLD: [&str; 5] = ["published", "frozen", "thawed", "revealed", "announcement"];

pub(super) async fn play(rehearsal: &mut Rehearsal) -> anyhow::Result<()> {
    let mut before = 0;
    loop {
        let frames = rehearsal.next_frames().await?;
        if frames.is_empty() {
            return Ok(());
        }
        for frame in frames {
            if !rehearsal.waits(before, frame.ts).await {
                return Ok(());
            }
            before = frame.ts;
            show(rehearsal, &frame.kind, &frame.data).await?;
        }
    }
}

async fn show(rehearsal: &mut Rehearsal, kind: &str, said: &Value) -> anyhow::Result<()> {
    if kind == "refresh" {
        // It was to be read anew, and nothing says what was read.
        rehearsal.count(kind, Became::Skipped, 1);
    }
    rehearsal.count("results", Became::Skipped, list(&said["leftOut"]).count());
    for told in TOLD.iter().filter(|told| said.get(**told).is_some()) {
        rehearsal.count(told, Became::Skipped, 1);
    }
    let gone = list(&said["removed"]).map(|gone| json!({ "raceId": gone["raceId"], "bib": gone["bib"] }));
    let (known, unknown): (Vec<_>, Vec<_>) = list(&said["results"]).partition(|line| line["bib"].is_i64());
    rehearsal.count("results", Became::Skipped, unknown.len());
    let results: Vec<Value> = gone.chain(known.into_iter().map(post)).collect();
    for some in results.chunks(ITEMS_MAX) {
        let post = ResultsPost { results: some.to_vec() };
        let command = IngestResults::new(rehearsal.event.clone(), post);
        let answer = rehearsal.app.rehearse(rehearsal.actor.clone(), command).await?;
        let skipped = answer["skipped"].as_array().map_or(0, Vec::len);
        if skipped > 0 {
            tracing::warn!(skipped = %answer["skipped"], event = %rehearsal.event, "not all of a frame could be played");
        }
        rehearsal.count("results", Became::Skipped, skipped);
        rehearsal.count("results", Became::Played, some.len().saturating_sub(skipped));
    }
    if said["oncourse"].is_array() {
        let shown = show_course(rehearsal, &said["oncourse"]);
        if let Err(refusal) = &shown {
            tracing::warn!(%refusal, event = %rehearsal.event, "the course of a frame could not be played");
        }
        rehearsal.count("oncourse", if shown.is_ok() { Became::Played } else { Became::Skipped }, 1);
    }
    if let Ok(status) = serde_json::from_value::<EventStatus>(said["status"].clone()) {
        let command = SetEventStatus { event: rehearsal.event.clone(), status };
        // It may not be one step away: a rehearsal begins as running.
        let moved = rehearsal.app.rehearse(rehearsal.actor.clone(), command).await;
        rehearsal.count("status", if moved.is_ok() { Became::Played } else { Became::Skipped }, 1);
    }
    Ok(())
}

fn show_course(rehearsal: &Rehearsal, said: &Value) -> Result<(), Refusal> {
    let mut post = said.clone();
    for boat in post.as_array_mut().into_iter().flatten().filter(|boat| boat.is_object()) {
        boat["participantId"] = json!(format!("bib-{}", boat["bib"]));
    }
    let state = rehearsal.app.state();
    let (shown, _) = oncourse::read(&state, &rehearsal.event, parse(json!({ "oncourse": post }))?)?;
    if let Some(live) = &rehearsal.live {
        live.set_oncourse(&rehearsal.event, shown);
    }
    Ok(())
}
