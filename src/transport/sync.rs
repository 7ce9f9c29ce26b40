//! Catching up: what a client missed of its lanes, fact by fact through its current rights, or as a snapshot.
//!
//! Invariants: what is sent again ends where the client says that its live facts began, or where they did, so the two
//! together have no gap and nothing twice; rights are looked at for every page, under the dispatcher's turn, so nothing
//! goes out after they are gone.

use super::rest::scoring::{ScoresQuery, read_marks};
use crate::app::App;
use crate::auth::actor::Actor;
use crate::certification;
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::Outlet;
use crate::events::log::LogEntry;
use crate::events::replay::{self, PAGE};
use crate::events::room::Lane;
use crate::ids::UserId;
use crate::notices::{self, NoticeQuery};
use crate::setup::list;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Lanes a client may catch up on with one request.
const LANES_MAX: usize = 500;
/// How long a client that is being caught up may leave its buffer full.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before trying a full buffer again.
const PAUSE: Duration = Duration::from_millis(20);

/// `{lanes: {[lane]: {epoch, seq, until?}}}`: the last fact a client has of each.
#[derive(Clone, Debug, Deserialize)]
pub struct ResumeRequest {
    lanes: BTreeMap<String, Known>,
}

/// The last fact a client has of a lane, and the last one it asks for: where the lane stood, as it was told with its rights,
/// when the later ones began to come. Only the client knows which of them it has when a lane was taken and given back while
/// the question was on its way. Whoever does not say it is sent all until they last began to come.
#[derive(Clone, Debug, Deserialize)]
struct Known {
    epoch: String,
    seq: i64,
    until: Option<i64>,
}

/// What came of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Every missing fact was sent.
    Replayed,
    /// Too far behind, or of another history: how it stands now was sent.
    Snapshot,
    /// It is not theirs to read, or is none.
    Forbidden,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Snapshot => "snapshot",
            Self::Forbidden => "forbidden",
        }
    }
}

/// Who catches up, and on what.
#[derive(Debug)]
pub struct CatchUp<'a> {
    /// The application.
    pub app: &'a App,
    /// The way out.
    pub outlet: &'a Outlet,
    /// Their socket.
    pub socket: &'a SocketRef,
    /// Who.
    pub user: &'a UserId,
    /// By which session.
    pub actor: &'a Actor,
    /// The lanes the socket was told of in its greeting, if it asked before that, and where they stood. If one of these is
    /// lost and given back, it is told so, and asks again; of others nobody tells it.
    pub greeted_at: &'a [(Lane, i64)],
}

impl CatchUp<'_> {
    /// Sends what is missing, lane by lane, and says what came of each.
    ///
    /// # Errors
    /// `TOO_LARGE` for too many lanes; `OVERLOADED` when the client does not take what it asked for; `INTERNAL` when the
    /// log cannot be read.
    pub async fn resume(&self, request: ResumeRequest) -> Result<Value, AppError> {
        if request.lanes.len() > LANES_MAX {
            return Err(Refusal::TooLarge { what: "lanes to catch up on", max: LANES_MAX }.into());
        }
        let mut left = self.app.config.resume_max_facts;
        let mut outcomes = BTreeMap::new();
        // Of all of them before the first is sent, which may take long: a lane that is lost and given back meanwhile begins
        // anew, and what came live of it until then is not missing.
        let greeted_at: HashMap<&Lane, i64> = self.greeted_at.iter().map(|(lane, head)| (lane, *head)).collect();
        let with_missed = |(name, known): (String, Known)| {
            let missed = self.missed(&name, &known, &greeted_at);
            (name, known, missed)
        };
        let lanes: Vec<_> = request.lanes.into_iter().map(with_missed).collect();
        for (name, known, missed) in lanes {
            let outcome = match missed {
                Some((lane, missed)) => self.resume_lane(&lane, &known, missed, &mut left).await?,
                None => Outcome::Forbidden,
            };
            self.app.metrics.resume.with_label_values(&[outcome.label()]).inc();
            outcomes.insert(name, outcome);
        }
        Ok(json!({ "lanes": outcomes }))
    }

    /// What was missed of the lane of this name; none where it is not theirs to read, or is none.
    fn missed(&self, name: &str, known: &Known, greeted_at: &HashMap<&Lane, i64>) -> Option<(Lane, Range<i64>)> {
        let lane = name.parse().ok()?;
        let began = self.outlet.began(self.socket, self.user, &lane)?;
        let until = [known.until, greeted_at.get(&lane).copied()].into_iter().flatten().fold(began, i64::min);
        Some((lane, known.seq..until))
    }

    async fn resume_lane(
        &self,
        lane: &Lane,
        known: &Known,
        missed: Range<i64>,
        left: &mut i64,
    ) -> Result<Outcome, AppError> {
        let state = self.app.state();
        // Whoever knows a later fact than there is comes from a history that was rolled back.
        let foreign = known.epoch != *state.head.epoch || known.seq < 0 || known.seq > state.lane_seq(lane);
        let count = missed.end.saturating_sub(missed.start);
        drop(state);
        if foreign || count > *left {
            return self.snapshot(lane).await;
        }
        *left -= count.max(0);
        self.replay(lane, missed).await
    }

    async fn replay(&self, lane: &Lane, mut missed: Range<i64>) -> Result<Outcome, AppError> {
        // Read, and not sent yet.
        let mut page = Vec::new();
        let mut waited = Duration::ZERO;
        while missed.start < missed.end {
            if page.is_empty() {
                page = self.page(lane, &missed).await?;
            }
            let Some(sent) = self.outlet.replay(self.socket, self.user, &page) else {
                return Ok(Outcome::Forbidden);
            };
            if let Some(last) = page.drain(..sent).next_back() {
                missed.start = last.lane_seq;
                waited = Duration::ZERO;
            }
            if page.is_empty() {
                // Live facts have their turn between two pages.
                tokio::task::yield_now().await;
                continue;
            }
            // The buffer is full: what is in it is being read, or it is nobody's fault but the client's.
            waited += PAUSE;
            if waited > PATIENCE {
                return Err(Refusal::Overloaded.into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Outcome::Replayed)
    }

    /// The next missed facts, at least one: from memory where they are there, from the log otherwise.
    async fn page(&self, lane: &Lane, missed: &Range<i64>) -> Result<Vec<Arc<LogEntry>>, AppError> {
        let read = |source, page: Vec<_>| {
            self.app.metrics.resume_facts.with_label_values(&[source]).inc_by(page.len() as u64);
            page
        };
        let recent = self.outlet.recent.page(lane, missed, PAGE);
        if !recent.is_empty() {
            return Ok(read("memory", recent));
        }
        let page = replay::page(&self.app.db, lane, missed).await?;
        if page.is_empty() {
            return Err(Refusal::Internal.into());
        }
        Ok(read("log", page.into_iter().map(Arc::new).collect()))
    }

    async fn snapshot(&self, lane: &Lane) -> Result<Outcome, AppError> {
        match snapshot(self.app, self.actor, self.user, lane).await {
            Ok(snapshot) => {
                self.outlet.send(self.socket, "sync:snapshot", &snapshot);
                Ok(Outcome::Snapshot)
            }
            Err(error) => {
                let refusal = error.into_refusal();
                let theirs = !matches!(refusal, Refusal::Forbidden | Refusal::NotFound { .. });
                if theirs { Err(refusal.into()) } else { Ok(Outcome::Forbidden) }
            }
        }
    }
}

/// `{lane, state, seq, epoch}`: how a lane stands for a user.
///
/// # Errors
/// `FORBIDDEN` for whoever may not read it.
pub async fn snapshot(app: &App, actor: &Actor, user: &UserId, lane: &Lane) -> Result<Value, AppError> {
    let state = app.state();
    let (seq, epoch) = (state.lane_seq(lane), state.head.epoch.clone());
    let known = match lane {
        Lane::Category(category) => {
            // Read after its place: what has come since is told again, and nothing is left out.
            certification::may_read(&state, user, category)?;
            let marks = match read_marks(app, actor, category, ScoresQuery::default()).await {
                Ok(marks) => marks["scores"].clone(),
                // A guest of the category reads no marks; how far it has come, they do.
                Err(_no_marks) => json!([]),
            };
            let state = app.state_with(category).await?;
            json!({ "scores": marks, "certification": certification::view(&state, user, category)? })
        }
        Lane::Event(event) => {
            if !state.is_staff_of(user, event) {
                return Err(Refusal::Forbidden.into());
            }
            let contests: Vec<Value> = state
                .contests_of(event)
                .iter()
                .map(|contest| {
                    let mut view = list::contest_view(&state, &contest.id)?;
                    view["locked"] = json!(state.locks.contains_key(&contest.id));
                    Ok(view)
                })
                .collect::<Result<_, Refusal>>()?;
            json!({ "event": list::event_view(&state, event)?, "contests": contests })
        }
        Lane::User(owner) if owner == user => {
            let notifications =
                notices::list(&state, user, &NoticeQuery { limit: Some(200), ..NoticeQuery::default() })?;
            json!({ "hats": crate::events::dispatcher::hats(&state, user), "notifications": notifications })
        }
        Lane::User(_) => return Err(Refusal::Forbidden.into()),
        Lane::Public(event) => super::rest::publications::public_results(app, event).await?,
        Lane::System => json!({}),
    };
    Ok(json!({ "lane": lane, "state": known, "seq": seq, "epoch": epoch }))
}
