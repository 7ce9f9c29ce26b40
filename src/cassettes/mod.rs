//! Cassettes: named recordings of a lane or of an event, already masked, which change no more once they are done.
//!
//! Invariants: a recording holds one variant of each fact, that of the audience it was made for; whoever lists, reads or
//! plays it has the rights of that audience at that moment; a name never leaves the folder.

pub mod file;
pub mod record;
pub mod reel;
pub mod setup;
pub mod shelf;
pub mod tapes;

use crate::auth::actor::Actor;
use crate::auth::role::Hat;
use crate::command::{Decide, Draft};
use crate::db::entity::cassette::{self, Audience, Phase};
use crate::error::Refusal;
use crate::events::event::{CassetteChange, CassetteChanged, CassetteGone, Event};
use crate::events::room::{Lane, Room};
use crate::ids::{EventId, UserId};
use crate::state::State;
use crate::state::rights::Seat;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Recordings of feeds under way at a time.
const HEARD_MAX: usize = 16;
/// What the description of a recording that is full begins with.
const FULL: &str = "Full: what came later is not in it.";
/// Recordings an installation keeps.
pub const CASSETTES_MAX: usize = 1_000;

/// A name that is safe as that of a file: `^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl FromStr for Name {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if first && rest && text.len() <= NAME_CHARS_MAX {
            return Ok(Self(text.to_owned()));
        }
        Err(Refusal::invalid(
            "name",
            format!("is 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 . _ - and begins with a letter or digit"),
        ))
    }
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A lane of the log.
    Lane(Lane),
    /// An event: what the public is shown, or, for its office, everything.
    Event(EventId),
}

impl Source {
    /// Whether there is such a thing here.
    fn is_known(&self, state: &State) -> bool {
        match self {
            Self::Event(event) | Self::Lane(Lane::Event(event) | Lane::Public(event)) => {
                state.events.contains_key(event)
            }
            Self::Lane(Lane::Category(category)) => state.categories.contains_key(category),
            Self::Lane(Lane::User(_) | Lane::System) => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lane(lane) => lane.fmt(f),
            Self::Event(event) => write!(f, "event:{event}"),
        }
    }
}

impl FromStr for Source {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::invalid("lane", "is not a lane");
        match text.strip_prefix("event:") {
            Some(event) => event.parse().map(Self::Event).map_err(|_no_id| wrong()),
            None => text.parse().map(Self::Lane).map_err(|_no_lane| wrong()),
        }
    }
}

/// Whether a user reads every mark of an event: has an office over all of it, and judges none of it nor ever did.
fn is_office_of(state: &State, user: &UserId, event: &EventId) -> bool {
    state.is_staff_of(user, event)
        && state.categories_of(event).all(|category| state.seat(user, category) == Seat::Office)
        && (state.categories_of(event).next().is_some()
            || state.role_of(user).is_some_and(crate::auth::role::Role::runs_installation))
}

/// In which seat somebody sees a lane: a recording made in one is not read in another.
fn seat_in(state: &State, user: &UserId, lane: &Lane) -> Option<String> {
    if !state.is_member(&state.rooms_of(user), lane) {
        return None;
    }
    Some(match lane {
        Lane::Category(id) => {
            let category = state.categories.get(id)?;
            let hats: Vec<&str> = state.hats_on(user, category).into_iter().map(Hat::as_str).collect();
            let seat = match state.seat(user, category) {
                Seat::Judge => "judge",
                Seat::FormerJudge => "former judge",
                Seat::Office => "office",
                Seat::Guest => "guest",
                Seat::Stranger => "stranger",
            };
            format!("{seat} {}", hats.join(" ")).trim().to_owned()
        }
        Lane::Event(_) | Lane::User(_) | Lane::Public(_) | Lane::System => "member".to_owned(),
    })
}

/// The rooms whose variant a recording holds.
#[derive(Clone, Debug)]
pub struct Ears {
    /// The rooms.
    pub rooms: BTreeSet<Room>,
    /// The seat they were listened from, of one's own recording.
    pub seat: Option<String>,
}

/// Passes who may record a source for an audience, and says with whose ears.
///
/// # Errors
/// `NOT_FOUND` for what they must not know of, `FORBIDDEN` for what they may not read, `INVALID_DATA` for what cannot be.
pub fn must_hear(state: &State, user: &UserId, source: &Source, audience: Audience) -> Result<Ears, Refusal> {
    let office = || Ears {
        rooms: [Room::Role(crate::auth::role::Role::Admin), Room::Everyone].into_iter().collect(),
        seat: None,
    };
    let forbidden = |may: bool| if may { Ok(()) } else { Err(Refusal::Forbidden) };
    match (audience, source) {
        (Audience::Public, Source::Event(event) | Source::Lane(Lane::Public(event))) => {
            if !state.is_public(event) {
                return Err(Refusal::not_found("event", event));
            }
            forbidden(state.is_staff_of(user, event))?;
            Ok(Ears { rooms: BTreeSet::new(), seat: None })
        }
        (Audience::Public, Source::Lane(_)) => Err(Refusal::invalid("audience", "this lane is not the public's")),
        (Audience::Office, Source::Lane(Lane::Category(id))) => {
            let category = state.categories.get(id).ok_or(Refusal::Forbidden)?;
            forbidden(state.seat(user, category) == Seat::Office)?;
            Ok(office())
        }
        (Audience::Office, Source::Event(event) | Source::Lane(Lane::Event(event))) => {
            forbidden(is_office_of(state, user, event))?;
            Ok(office())
        }
        (Audience::Office, Source::Lane(_)) => Err(Refusal::invalid("audience", "this lane has no office")),
        (Audience::Own, Source::Lane(lane)) => {
            let seat = seat_in(state, user, lane).ok_or(Refusal::Forbidden)?;
            Ok(Ears { rooms: state.rooms_of(user), seat: Some(seat) })
        }
        (Audience::Own, Source::Event(_)) => {
            Err(Refusal::invalid("audience", "an event is recorded for public or office"))
        }
    }
}

/// Whether a user may list, read and play a recording now.
#[must_use]
pub fn may_read(state: &State, user: &UserId, gone: &CassetteGone) -> bool {
    let runs = || state.role_of(user).is_some_and(crate::auth::role::Role::runs_installation);
    let source = gone.source.as_deref().map(str::parse::<Source>);
    match (gone.audience, source) {
        // Nothing is in it, or it came from elsewhere: those who run the installation answer for it.
        (Audience::Office, None) => runs() || (gone.empty && gone.owner == user.as_str()),
        (Audience::Own, None) => gone.owner == user.as_str(),
        (Audience::Public, None) => state.role_of(user).is_some(),
        (Audience::Public, Some(Ok(Source::Event(event) | Source::Lane(Lane::Public(event))))) => {
            state.role_of(user).is_some() && (state.is_public(&event) || state.is_staff_of(user, &event))
        }
        (Audience::Office, Some(Ok(source))) => {
            // One that was taken in says of itself what it is of: where that is known here, its rights apply besides.
            let known = source.is_known(state);
            must_hear(state, user, &source, Audience::Office).is_ok() || (!known && runs())
        }
        (Audience::Own, Some(Ok(Source::Lane(lane)))) => {
            gone.owner == user.as_str() && seat_in(state, user, &lane) == gone.seat
        }
        (_, Some(_)) => false,
    }
}

/// What decides who may read a recording.
#[must_use]
pub fn bound_to(row: &cassette::Model) -> CassetteGone {
    CassetteGone {
        audience: row.audience,
        owner: row.owner.clone(),
        seat: row.seat.clone(),
        source: row.source.clone(),
        empty: row.phase == Phase::Empty,
    }
}

/// A recording as the list shows it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct CassetteView {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: crate::clock::Micros,
    pub interactions_count: i64,
    pub audience: Audience,
    pub phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    pub bytes: i64,
}

impl CassetteView {
    /// A recording, with as many interactions as it has come to.
    #[must_use]
    pub fn of(row: &cassette::Model) -> Self {
        Self {
            name: row.name.clone(),
            description: row.description.clone(),
            recorded_at: row.recorded_at,
            interactions_count: row.interactions,
            audience: row.audience,
            phase: row.phase,
            source: row.source.clone(),
            sha256: row.sha256.clone(),
            bytes: row.bytes,
        }
    }
}

/// The recordings a user may read.
#[must_use]
pub fn list(state: &State, user: &UserId) -> Vec<CassetteView> {
    let readable = |row: &&std::sync::Arc<cassette::Model>| may_read(state, user, &bound_to(row));
    state.cassettes.values().filter(readable).map(|row| CassetteView::of(row)).collect()
}

/// A recording that a user may read.
///
/// # Errors
/// `NOT_FOUND` also for one that is not theirs to read.
pub fn find<'a>(state: &'a State, user: &UserId, name: &Name) -> Result<&'a cassette::Model, Refusal> {
    let row = state.cassettes.get(name.as_str()).filter(|row| may_read(state, user, &bound_to(row)));
    row.map(AsRef::as_ref).ok_or_else(|| Refusal::not_found("cassette", name))
}

/// Passes who may change or remove a recording: whoever made it, and those who run the installation.
///
/// # Errors
/// `FORBIDDEN` for all others.
pub fn must_own(actor: &Actor, state: &State, row: &cassette::Model) -> Result<(), Refusal> {
    let user = actor.user()?;
    let runs = actor.must_run_installation(state).is_ok();
    if runs || row.owner == user.as_str() { Ok(()) } else { Err(Refusal::Forbidden) }
}

fn description(text: Option<&String>) -> Result<Option<String>, Refusal> {
    let Some(text) = text.map(|text| text.trim()).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > DESCRIPTION_CHARS_MAX || text.chars().any(|one| one.is_control() && one != '\n') {
        return Err(Refusal::invalid(
            "description",
            format!("is plain text of at most {DESCRIPTION_CHARS_MAX} characters"),
        ));
    }
    Ok(Some(text.to_owned()))
}

/// The description of a recording that is full, as much of the old one as there is room for.
fn full(row: &cassette::Model) -> String {
    let known = row.description.as_deref().unwrap_or_default();
    if known.starts_with(FULL) {
        return known.to_owned();
    }
    format!("{FULL} {known}").trim_end().chars().take(DESCRIPTION_CHARS_MAX).collect()
}

/// Puts a cassette as it is from now on, and tells of it; how it is shown.
fn keep(draft: &mut Draft, row: cassette::Model, change: CassetteChange) -> Value {
    let (view, name) = (json!(CassetteView::of(&row)), row.name.clone());
    draft.put(row);
    draft.append(Event::CassetteChanged(CassetteChanged { name, change, gone: None }));
    view
}

/// Passes a recording of a feed while not too many are under way: each is kept in memory until it ends.
fn must_have_room(state: &State, source: Option<&Source>, done: bool) -> Result<(), Refusal> {
    let heard = |row: &&Arc<cassette::Model>| row.phase == Phase::Recording && row.audience == Audience::Public;
    if !done && matches!(source, Some(Source::Event(_))) && state.cassettes.values().filter(heard).count() >= HEARD_MAX
    {
        return Err(Refusal::TooLarge { what: "recordings of feeds at a time", max: HEARD_MAX });
    }
    Ok(())
}

/// What a recording came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The first fact that is not in it, and the last that is.
    pub range: Option<(i64, i64)>,
    /// Lines.
    pub interactions: i64,
    /// Length of the file.
    pub bytes: i64,
    /// Hash of the file, hex.
    pub sha256: String,
    /// What the file is called in the folder; each attempt has one of its own.
    pub file: String,
    /// The seat it was heard from: it is bound to that one, not to one that was given meanwhile.
    pub seat: Option<String>,
    /// It is not all there was.
    pub full: bool,
}

/// Makes a recording: empty, begun, or done.
#[derive(Clone, Debug)]
pub struct CreateCassette {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub description: Option<String>,
    /// For whom.
    pub audience: Audience,
    /// Of what.
    pub source: Option<Source>,
    /// What it came to, if it is done.
    pub recorded: Option<Recorded>,
    /// It is a file from elsewhere: `source` is what it says of itself.
    pub imported: bool,
}

impl Decide for CreateCassette {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let user = draft.actor.user()?.clone();
        if draft.state.cassettes.contains_key(self.name.as_str()) {
            return Err(Refusal::Duplicate { what: "cassette", id: self.name.to_string() });
        }
        if draft.state.cassettes.len() >= CASSETTES_MAX {
            return Err(Refusal::TooLarge { what: "cassettes", max: CASSETTES_MAX });
        }
        // Asked again where it is written down: rights may have gone while it was recorded.
        let seat = match &self.source {
            _ if self.imported => {
                draft.actor.must_run_installation(&draft.state)?;
                None
            }
            Some(source) => must_hear(&draft.state, &user, source, self.audience)?.seat,
            None => {
                // Somebody who may record something one day: an office, or those who run the installation.
                let runs = draft.actor.must_run_installation(&draft.state).is_ok();
                if !runs && draft.state.hats_worn(&user).all(|hat| hat.hat.judges()) {
                    return Err(Refusal::Forbidden);
                }
                None
            }
        };
        if self.recorded.as_ref().is_some_and(|recorded| !self.imported && recorded.seat != seat) {
            return Err(Refusal::Forbidden);
        }
        must_have_room(&draft.state, self.source.as_ref(), self.recorded.is_some())?;
        let head = self.source.as_ref().map(|source| record::head(&draft.state, source));
        let phase = match (&self.source, &self.recorded) {
            (_, Some(_)) => Phase::Done,
            (Some(_), None) => Phase::Recording,
            (None, None) => Phase::Empty,
        };
        let recorded = self.recorded.as_ref();
        let row = cassette::Model {
            name: self.name.to_string(),
            description: description(self.description.as_ref())?,
            audience: self.audience,
            owner: user.to_string(),
            seat,
            source: self.source.as_ref().map(Source::to_string),
            phase,
            from_seq: recorded.map_or(head, |recorded| recorded.range.map(|(from, _)| from)),
            to_seq: recorded.and_then(|recorded| recorded.range.map(|(_, to)| to)),
            epoch: Some(draft.state.head.epoch.to_string()),
            interactions: recorded.map_or(0, |recorded| recorded.interactions),
            bytes: recorded.map_or(0, |recorded| recorded.bytes),
            sha256: recorded.map(|recorded| recorded.sha256.clone()),
            file: recorded.map(|recorded| recorded.file.clone()),
            recorded_at: draft.now,
        };
        Ok(keep(draft, row, CassetteChange::Created))
    }
}

/// Begins to record into an empty cassette.
#[derive(Clone, Debug)]
pub struct StartCassette {
    /// Which.
    pub name: Name,
    /// Of what.
    pub source: Source,
}

impl Decide for StartCassette {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let user = draft.actor.user()?.clone();
        let row = find(&draft.state, &user, &self.name)?.clone();
        must_own(&draft.actor, &draft.state, &row)?;
        must_have_room(&draft.state, Some(&self.source), false)?;
        if row.phase != Phase::Empty {
            return Err(Refusal::State(format!("cassette {} is not empty; what was recorded is kept", self.name)));
        }
        let ears = must_hear(&draft.state, &user, &self.source, row.audience)?;
        let row = cassette::Model {
            phase: Phase::Recording,
            owner: user.to_string(),
            seat: ears.seat,
            source: Some(self.source.to_string()),
            from_seq: Some(record::head(&draft.state, &self.source)),
            epoch: Some(draft.state.head.epoch.to_string()),
            recorded_at: draft.now,
            ..row
        };
        Ok(keep(draft, row, CassetteChange::Updated))
    }
}

/// Ends a recording with what it came to.
#[derive(Clone, Debug)]
pub struct FinishCassette {
    /// Which.
    pub name: Name,
    /// What it came to.
    pub recorded: Recorded,
}

impl Decide for FinishCassette {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let row = draft.state.cassettes.get(self.name.as_str());
        let row = row.ok_or_else(|| Refusal::not_found("cassette", &self.name))?.as_ref().clone();
        if row.phase != Phase::Recording {
            return Err(Refusal::State(format!("cassette {} is not being recorded", self.name)));
        }
        must_own(&draft.actor, &draft.state, &row)?;
        if let (Ok(user), Some(Ok(source))) = (row.owner.parse::<UserId>(), row.source.as_deref().map(str::parse)) {
            let ears = must_hear(&draft.state, &user, &source, row.audience)?;
            if ears.seat != row.seat || self.recorded.seat != row.seat {
                return Err(Refusal::Forbidden);
            }
        }
        let Recorded { range, interactions, bytes, sha256, file, full: is_full, .. } = self.recorded.clone();
        let row = cassette::Model {
            description: if is_full { Some(full(&row)) } else { row.description.clone() },
            phase: Phase::Done,
            to_seq: range.map(|(_, to)| to),
            interactions,
            bytes,
            sha256: Some(sha256),
            file: Some(file),
            ..row
        };
        Ok(keep(draft, row, CassetteChange::Updated))
    }
}

/// Notes of a recording that is under way that it is full; what hears it says so, nobody else can.
#[derive(Clone, Debug)]
pub struct FillCassette {
    /// Which.
    pub name: Name,
}

impl Decide for FillCassette {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        if !matches!(draft.actor, Actor::Operator) {
            return Err(Refusal::Forbidden);
        }
        let row = draft.state.cassettes.get(self.name.as_str()).filter(|row| row.phase == Phase::Recording);
        let row = row.ok_or_else(|| Refusal::not_found("cassette", &self.name))?.as_ref().clone();
        let row = cassette::Model { description: Some(full(&row)), ..row };
        Ok(keep(draft, row, CassetteChange::Updated))
    }
}

/// Says something else of a recording.
#[derive(Clone, Debug)]
pub struct DescribeCassette {
    /// Which.
    pub name: Name,
    /// What it is.
    pub description: Option<String>,
}

impl Decide for DescribeCassette {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let row = find(&draft.state, draft.actor.user()?, &self.name)?.clone();
        must_own(&draft.actor, &draft.state, &row)?;
        let description = description(self.description.as_ref())?;
        let row = cassette::Model { description, ..row };
        if draft.state.cassettes.get(&row.name).is_some_and(|before| **before == row) {
            return Ok(json!(CassetteView::of(&row)));
        }
        Ok(keep(draft, row, CassetteChange::Updated))
    }
}

/// Removes a recording.
#[derive(Clone, Debug)]
pub struct DeleteCassette {
    /// Which.
    pub name: Name,
}

impl Decide for DeleteCassette {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        // Those who run the installation remove also what they may not read: somebody has to.
        let row = match draft.state.cassettes.get(self.name.as_str()) {
            Some(row) if draft.actor.must_run_installation(&draft.state).is_ok() => row.as_ref().clone(),
            _ => find(&draft.state, draft.actor.user()?, &self.name)?.clone(),
        };
        must_own(&draft.actor, &draft.state, &row)?;
        let gone = Some(bound_to(&row));
        let (name, file) = (row.name.clone(), row.file.clone());
        draft.remove(row);
        draft.append(Event::CassetteChanged(CassetteChanged { name, change: CassetteChange::Deleted, gone }));
        Ok(json!({ "name": self.name, "file": file }))
    }
}
