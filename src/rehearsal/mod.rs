//! Playing a recording: into an event of its own, which is a rehearsal and says so, through the commands that real people
//! and timing computers use.
//!
//! Invariants: nothing of another event is touched; places are computed anew, never taken from the recording; what is not
//! played is counted.

mod feed;
mod judged;
pub mod outcome;
pub mod register;

use crate::app::App;
use crate::auth::actor::Actor;
use crate::cassettes::Name;
use crate::cassettes::file::BEGIN;
use crate::cassettes::reel::{Reel, Said};
use crate::cassettes::setup::{SETUP, Setup};
use crate::db::entity::cassette::Audience;
use crate::db::entity::publication::{self, PublicationState};
use crate::error::Refusal;
use crate::events::live::Live;
use crate::ids::EventId;
use crate::setup::import::{self, ImportDocument};
use anyhow::Context;
use outcome::{Became, Outcome};
use register::{Phase, Turn};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Fastest and slowest, as times of the recording's own speed.
const SPEED_MAX: f64 = 10_000.0;
const SPEED_MIN: f64 = 0.01;
/// How often a looped rehearsal is played.
const ROUNDS_MAX: u32 = 100;
/// How long it rests in between.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(1);
/// Longest pause between two frames: a recording of days need not take days to look at.
const PAUSE_MAX: Duration = Duration::from_hours(24);

/// How a recording is played.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Playing {
    /// Times the speed it was recorded at; 0 is as fast as it goes; 1 unless said.
    #[serde(default)]
    pub speed: Option<f64>,
    /// Again and again, a hundred times at most: races in the same event, judging each time in another.
    #[serde(default, rename = "loop")]
    pub again: bool,
    /// From this millisecond of the recording on; what was before is played at once.
    #[serde(default)]
    pub from: Option<i64>,
    /// Up to this millisecond.
    #[serde(default)]
    pub to: Option<i64>,
    /// Whether anyone may see a rehearsal of judging; one of races is public like the feed it was.
    #[serde(default)]
    pub public: bool,
}

impl Playing {
    /// The speed unless another is said.
    const SPEED: f64 = 1.0;

    fn check(&self) -> Result<(), Refusal> {
        let speed = self.speed.unwrap_or(Self::SPEED);
        if speed != 0.0 && !(SPEED_MIN..=SPEED_MAX).contains(&speed) {
            return Err(Refusal::invalid("speed", format!("is 0, or {SPEED_MIN} to {SPEED_MAX}")));
        }
        let (from, to) = (self.from.unwrap_or(0), self.to.unwrap_or(i64::MAX));
        if from < 0 || to < from { Err(Refusal::invalid("from", "0 <= from <= to")) } else { Ok(()) }
    }

    /// How long to wait from one frame to the next.
    fn pause(&self, before: i64, now: i64) -> Duration {
        let speed = self.speed.unwrap_or(Self::SPEED);
        let heard = now.saturating_sub(before.max(self.from.unwrap_or(0)));
        let millis = u32::try_from(heard.max(0)).map_or(f64::from(u32::MAX), f64::from);
        if speed == 0.0 { Duration::ZERO } else { Duration::from_secs_f64(millis / 1_000.0 / speed).min(PAUSE_MAX) }
    }

    /// Whether a frame is still to be played.
    fn reaches(&self, ts: i64) -> bool {
        self.to.is_none_or(|to| ts <= to)
    }
}

/// A recording that is about to be played.
pub struct Rehearsal {
    app: App,
    /// Where viewers are told who is on the course; there are none beside a server.
    live: Option<Live>,
    actor: Actor,
    event: EventId,
    cassette: Name,
    playing: Playing,
    /// None only while lines are read from it.
    reel: Option<Reel>,
    kind: Kind,
    stop: CancellationToken,
    outcome: Outcome,
    turn: Option<Turn>,
}

/// What is known of a recording before any of it is played.
enum Kind {
    Feed(feed::Structure),
    Judged(Box<judged::Score>),
}

/// What is played: a recording, and who plays it how.
pub struct Piece<'a> {
    /// The recording.
    pub cassette: &'a Name,
    /// Its file.
    pub reel: Reel,
    /// Who plays it.
    pub actor: Actor,
    /// How.
    pub playing: Playing,
}

/// Makes the event a recording is played into.
///
/// # Errors
/// `STATE` for what cannot be played, and what the import of its set-up refuses.
pub async fn prepare(app: &App, live: Option<&Live>, piece: Piece<'_>) -> Result<Rehearsal, Refusal> {
    let Piece { cassette, reel, actor, playing } = piece;
    playing.check()?;
    let reaches = playing.clone();
    let looked_through = app.computing(move || look_through(reel, &reaches)).await;
    let (reel, kind) = looked_through.map_err(|_panicked| Refusal::Internal)??;
    if let Kind::Judged(score) = &kind {
        must_be_no_secret(app, &score.setup).await?;
    }
    let mut rehearsal = Rehearsal {
        app: app.clone(),
        live: live.cloned(),
        actor,
        event: EventId::from(uuid::Uuid::nil()),
        cassette: cassette.clone(),
        playing,
        reel: Some(reel),
        kind,
        stop: app.stopping.child_token(),
        outcome: Outcome::default(),
        turn: None,
    };
    rehearsal.set_up().await?;
    Ok(rehearsal)
}

/// Reads a recording once from end to end: what it is, and what has to be known before it is played.
fn look_through(mut reel: Reel, playing: &Playing) -> Result<(Reel, Kind), Refusal> {
    let broken = |error: io::Error| {
        tracing::error!(%error, "the file of a recording cannot be read");
        Refusal::Internal
    };
    let mut kind = None;
    let mut audience = None;
    loop {
        let lines = reel.next_lines().map_err(broken)?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            match &mut kind {
                None if line.kind == BEGIN => {
                    audience = serde_json::from_value::<Audience>(line.data["audience"].clone()).ok();
                    kind = (audience == Some(Audience::Public)).then(|| Kind::Feed(feed::Structure::default()));
                }
                None if line.kind == SETUP && audience == Some(Audience::Office) => {
                    let setup = serde_json::from_value(line.data).map_err(|wrong| Refusal::invalid(SETUP, wrong))?;
                    kind = Some(Kind::Judged(Box::new(judged::Score::of(setup))));
                }
                None => {}
                Some(Kind::Feed(structure)) => structure.learn(&line.data),
                Some(Kind::Judged(score)) => score.learn(&line, playing),
            }
        }
    }
    let kind =
        kind.ok_or_else(|| Refusal::State("only what the public or an office was shown can be played".into()))?;
    reel.rewind().map_err(broken)?;
    Ok((reel, kind))
}

/// Passes what was published as official, or is of elsewhere. An ADMIN who judges a category reads no mark of it, and sees
/// every rehearsal: what is still a secret here is not played here.
async fn must_be_no_secret(app: &App, setup: &Setup) -> Result<(), Refusal> {
    for id in setup.categories().map(|category| &category.id) {
        if !app.state().categories.contains_key(id) {
            continue;
        }
        let state = app.state_with(id).await?;
        let board = state.board(id)?;
        let official = |row: &publication::Model| row.state == PublicationState::Official && !row.hidden;
        if board.was_marked() && !board.publications.values().any(|row| official(row)) {
            return Err(Refusal::State(format!(
                "category {id} is not published as official: its marks are a secret here"
            )));
        }
    }
    Ok(())
}

impl Rehearsal {
    /// The event it is played into.
    #[must_use]
    pub fn event(&self) -> &EventId {
        &self.event
    }

    /// What ends it, with the frame it is at.
    #[must_use]
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Takes its place in the list of those that are played.
    pub fn takes(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// Makes the event it is played into.
    async fn set_up(&mut self) -> Result<(), Refusal> {
        let id = format!("rehearsal-{}", self.app.chance.id(self.app.clock.now()));
        self.event = id.parse().map_err(|_ours| Refusal::Internal)?;
        let document = match &self.kind {
            Kind::Feed(structure) => structure.document(&self.event)?,
            Kind::Judged(score) => score.document(&self.event, self.playing.public),
        };
        let document = import::read(&document.to_string())?;
        let command = ImportDocument { document, hashes: BTreeMap::new(), rehearsal: true };
        self.app.rehearse(self.actor.clone(), command).await?;
        Ok(())
    }

    /// The next frames that are to be played; none at the end, and none once it is stopped.
    async fn next_frames(&mut self) -> anyhow::Result<Vec<Said>> {
        if self.stop.is_cancelled() {
            return Ok(Vec::new());
        }
        let mut reel = self.reel.take().context("a recording is read by one at a time")?;
        let (reel, lines) =
            self.app.computing(move || (reel.next_lines(), reel)).await.map(|(lines, reel)| (reel, lines))?;
        self.reel = Some(reel);
        let mut lines = lines?;
        lines.retain(|line| self.playing.reaches(line.ts));
        Ok(lines)
    }

    fn rewind(&mut self) -> anyhow::Result<()> {
        Ok(self.reel.as_mut().context("a recording is read by one at a time")?.rewind()?)
    }

    async fn play_once(&mut self) -> anyhow::Result<()> {
        self.rewind()?;
        match &self.kind {
            Kind::Feed(_) => feed::play(self).await,
            Kind::Judged(score) => {
                let score = score.clone();
                judged::play(self, &score).await
            }
        }
    }

    async fn play_all(&mut self) -> anyhow::Result<()> {
        for round in 1.. {
            self.note(|view| view.round = round);
            self.play_once().await?;
            if !self.playing.again || round >= ROUNDS_MAX || !self.rests(BETWEEN_ROUNDS).await {
                break;
            }
            // Results are given over those of the round before; what was signed and published is not given again.
            if let Kind::Judged(_) = &self.kind {
                self.set_up().await?;
            }
        }
        Ok(())
    }

    /// Plays it to its end, or, if it is to be played again and again, until it has been often enough or is stopped; what
    /// it came to.
    ///
    /// # Errors
    /// Where it could not go on.
    pub async fn play(mut self) -> anyhow::Result<Outcome> {
        let played = self.play_all().await;
        let phase = match &played {
            Err(_) => Phase::Failed,
            Ok(()) if self.stop.is_cancelled() => Phase::Stopped,
            Ok(()) => Phase::Ended,
        };
        let now = self.app.clock.now();
        self.note(|view| {
            view.phase = phase;
            view.ended_at = Some(now);
        });
        tracing::info!(event = %self.event, ?phase, not_played = ?self.outcome.not_played, "a rehearsal is over");
        played.map(|()| self.outcome)
    }

    /// The same as a task: what went wrong goes into the log.
    pub async fn play_aside(self) {
        let event = self.event.clone();
        if let Err(error) = self.play().await {
            tracing::warn!(error = format!("{error:#}"), %event, "a rehearsal ended early");
        }
    }

    fn count(&mut self, kind: &str, became: Became, how_many: usize) {
        self.outcome.count(kind, became, how_many);
    }

    fn note(&self, change: impl FnOnce(&mut register::RehearsalView)) {
        if let Some(turn) = &self.turn {
            turn.note(|view| {
                view.outcome.clone_from(&self.outcome);
                change(view);
            });
        }
    }

    /// Waits for the moment of a frame; whether it goes on.
    async fn waits(&self, before: i64, now: i64) -> bool {
        let pause = self.playing.pause(before, now);
        self.note(|view| view.ts = now);
        self.rests(pause).await
    }

    async fn rests(&self, pause: Duration) -> bool {
        if !pause.is_zero() {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        !self.stop.is_cancelled()
    }
}
