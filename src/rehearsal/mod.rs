//! Playing a recording: into an event of its own, which is a rehearsal and says so, through the commands that real people
//! and timing computers use.
//!
//! Invariants: nothing of another event is touched; places are computed anew, never taken from the recording.

mod feed;
mod judged;

use crate::app::App;
use crate::auth::actor::Actor;
use crate::cassettes::file::{BEGIN, Line, lines};
use crate::cassettes::setup::{SETUP, Setup};
use crate::db::entity::cassette::Audience;
use crate::db::entity::publication::{self, PublicationState};
use crate::error::Refusal;
use crate::events::live::Live;
use crate::ids::EventId;
use crate::setup::import::{self, ImportDocument};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

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
    fn check(&self) -> Result<(), Refusal> {
        let speed = self.speed.unwrap_or(1.0);
        if speed != 0.0 && !(SPEED_MIN..=SPEED_MAX).contains(&speed) {
            return Err(Refusal::invalid("speed", format!("is 0, or {SPEED_MIN} to {SPEED_MAX}")));
        }
        let (from, to) = (self.from.unwrap_or(0), self.to.unwrap_or(i64::MAX));
        if from < 0 || to < from { Err(Refusal::invalid("from", "0 <= from <= to")) } else { Ok(()) }
    }

    /// How long to wait from one frame to the next.
    fn pause(&self, before: i64, now: i64) -> Duration {
        let speed = self.speed.unwrap_or(1.0);
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
    playing: Playing,
    lines: Vec<Line>,
    kind: Kind,
}

enum Kind {
    Feed,
    Judged(Box<Setup>),
}

/// Makes the event a recording is played into.
///
/// # Errors
/// `STATE` for what cannot be played, and what the import of its set-up refuses.
pub async fn prepare(
    app: &App,
    live: Option<&Live>,
    actor: Actor,
    bytes: &[u8],
    playing: Playing,
) -> Result<Rehearsal, Refusal> {
    playing.check()?;
    let lines: Vec<Line> = lines(bytes).collect();
    let begin = lines.first().filter(|line| line.kind == BEGIN);
    let said: Value = begin.and_then(|line| serde_json::from_str(line.data.get()).ok()).unwrap_or(Value::Null);
    let audience: Option<Audience> = serde_json::from_value(said["audience"].clone()).ok();
    let setup = lines.iter().find(|line| line.kind == SETUP);
    let kind = match (audience, setup) {
        (Some(Audience::Public), _) => Kind::Feed,
        (Some(Audience::Office), Some(setup)) => {
            let read = serde_json::from_str(setup.data.get());
            Kind::Judged(Box::new(read.map_err(|wrong| Refusal::invalid(SETUP, wrong))?))
        }
        _ => return Err(Refusal::State("only what the public or an office was shown can be played".into())),
    };
    if let Kind::Judged(setup) = &kind {
        must_be_no_secret(app, setup).await?;
    }
    let event = EventId::from(uuid::Uuid::nil());
    let mut rehearsal = Rehearsal { app: app.clone(), live: live.cloned(), actor, event, playing, lines, kind };
    rehearsal.set_up().await?;
    Ok(rehearsal)
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

    /// Makes the event it is played into.
    async fn set_up(&mut self) -> Result<(), Refusal> {
        let id = format!("rehearsal-{}", self.app.chance.id(self.app.clock.now()));
        self.event = id.parse().map_err(|_ours| Refusal::Internal)?;
        let document = match &self.kind {
            Kind::Feed => feed::document(&self.event, &self.lines)?,
            Kind::Judged(setup) => judged::document(&self.event, setup, &self.lines, self.playing.public),
        };
        let document = import::read(&document.to_string())?;
        let command = ImportDocument { document, hashes: BTreeMap::new(), rehearsal: true };
        self.app.rehearse(self.actor.clone(), command).await?;
        Ok(())
    }

    async fn play_once(&self) -> anyhow::Result<()> {
        match &self.kind {
            Kind::Feed => feed::play(self).await,
            Kind::Judged(setup) => judged::play(self, setup).await,
        }
    }

    /// Plays it to its end, or, if it is to be played again and again, until it has been often enough.
    ///
    /// # Errors
    /// Where it could not go on.
    pub async fn play(mut self) -> anyhow::Result<()> {
        for round in 1.. {
            self.play_once().await?;
            if !self.playing.again || round >= ROUNDS_MAX {
                break;
            }
            tokio::time::sleep(BETWEEN_ROUNDS).await;
            // Results are given over those of the round before; what was signed and published is not given again.
            if let Kind::Judged(_) = &self.kind {
                self.set_up().await?;
            }
        }
        Ok(())
    }

    /// The same as a task: what went wrong goes into the log.
    pub async fn play_aside(self) {
        let event = self.event.clone();
        if let Err(error) = self.play().await {
            tracing::warn!(error = format!("{error:#}"), %event, "a rehearsal ended early");
        }
    }

    /// Waits for the moment of a frame.
    async fn wait(&self, before: i64, now: i64) {
        let pause = self.playing.pause(before, now);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}
