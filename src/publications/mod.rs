//! Publications: a result is signed and shown; the public sees publications and nothing else.
//!
//! Invariants: what was published never changes, a correction is a new revision; in a frozen event the public is shown
//! nothing newer than the freeze but the places that were revealed; judges and contestants read marks from official
//! publications only, never from the board.

pub mod key;
pub mod past;
pub mod read;

use crate::auth::role::Hat;
use crate::certification;
use crate::command::{Decide, Draft};
use crate::db::entity::certification::Stage;
use crate::db::entity::publication::{self, PublicationState};
use crate::db::entity::{assignment, event};
use crate::error::Refusal;
use crate::events::event::{Event, ResultsFrozen, ResultsPublished, ResultsRevealed, RevealedLine};
use crate::events::room::Lane;
use crate::evidence::key::Signer;
use crate::evidence::{FORMAT, LogPosition, Named, Publication, Ranked, Signed, Statement};
use crate::ids::{CategoryId, ContestantId, EventId, UserId};
use crate::ranking::Ranking;
use crate::state::board::Board;
use crate::state::rights::Seat;
use crate::state::{Category, State};
use crate::tally;
use crate::tally::record::Record;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Publishes the result of a category.
#[derive(Clone, Debug)]
pub struct PublishResults {
    /// The category.
    pub category_id: CategoryId,
    /// `unofficial` once the judges are done, `official` once the board has signed.
    pub state: PublicationState,
    /// The key that signs.
    pub signer: Arc<Signer>,
}

/// What a publication says on the wire.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Publish {
    /// `unofficial` or `official`.
    pub state: PublicationState,
}

/// Stops showing the public anything new of an event.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreezeResults {
    /// Which event.
    pub event_id: EventId,
}

/// Shows the public everything again.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThawResults {
    /// Which event.
    pub event_id: EventId,
}

/// Shows the public some places of a result that is hidden.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevealResults {
    /// Which category.
    pub category_id: CategoryId,
    /// Which places; a shared one shows everybody who shares it.
    pub ranks: BTreeSet<u32>,
}

/// What is said when the result of a category is published.
#[derive(Debug)]
pub struct Saying<'a> {
    /// The publication.
    pub id: String,
    /// Its revision; 0 for a draft.
    pub revision: i64,
    /// How much it is worth.
    pub state: PublicationState,
    /// Who publishes.
    pub by: &'a UserId,
    /// When.
    pub at: crate::clock::Micros,
}

/// What is signed of a category as it stands.
///
/// # Errors
/// `BoardNeeded`; `NOT_FOUND` when its contest or event is not there.
pub fn statement(
    state: &State,
    category: &Category,
    record: &Record,
    ranking: &Ranking,
    saying: Saying<'_>,
) -> Result<Statement, Refusal> {
    let board = state.board(&category.row.id)?;
    let event_id = &category.event_id;
    let contest_id = &category.row.contest_id;
    let event = state.events.get(event_id).ok_or_else(|| Refusal::not_found("event", event_id))?;
    let contest = state.contests.get(contest_id).ok_or_else(|| Refusal::not_found("contest", contest_id))?;
    let name_of = |user: &UserId| state.users.get(user).map_or_else(|| user.to_string(), |user| user.name.clone());
    let ranked = ranking.ranking.iter().filter_map(|row| {
        let contestant_id: ContestantId = row.contestant_id.parse().ok()?;
        let known = state.contestants.get(&contestant_id);
        Some(Ranked {
            rank: row.rank,
            number: known.and_then(|known| known.number.clone()),
            name: known.map_or_else(|| contestant_id.to_string(), |known| known.name.clone()),
            club: known.and_then(|known| known.club.clone()),
            country: known.and_then(|known| known.country.clone()),
            total: row.total.clone(),
            deductions: row.deductions.clone(),
            decided_by: row.decided_by.clone(),
            contestant_id,
        })
    });
    let lane = Lane::Category(category.row.id.clone());
    let head = state.lane_head(&lane);
    Ok(Statement {
        format: FORMAT.to_owned(),
        publication_id: saying.id,
        revision: saying.revision,
        state: saying.state,
        published_at: saying.at,
        published_by: saying.by.clone(),
        event: Named { id: event.id.clone(), name: event.main_title.clone() },
        contest: Named { id: contest.id.clone(), name: contest.name.clone() },
        category: Named { id: category.row.id.clone(), name: category.row.name.clone() },
        single_officer: event.single_officer,
        rehearsal: event.rehearsal,
        tally_hash: record.hash(),
        ranking: ranked.collect(),
        judges: record
            .basis
            .panel
            .iter()
            .map(|judge| Named { id: judge.judge_id.clone(), name: name_of(&judge.judge_id) })
            .collect(),
        criteria: category
            .criteria_in_order()
            .into_iter()
            .map(|criterion| Named { id: criterion.row.id.clone(), name: criterion.row.name.clone() })
            .collect(),
        signatures: board
            .signatures
            .values()
            .map(|row| Signed {
                stage: row.stage,
                user_id: row.user_id.clone(),
                signature_name: row.signature_name.clone(),
                tally_hash: row.tally_hash.clone(),
                at: row.at,
                overridden: row.overridden,
            })
            .collect(),
        log: LogPosition { lane: lane.to_string(), seq: head.seq, hash: head.hash.to_string() },
    })
}

/// What was signed, read back.
///
/// # Errors
/// `INTERNAL` when what is kept cannot be read.
pub fn kept<T: serde::de::DeserializeOwned>(row: &publication::Model, text: &str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|cause| {
        tracing::error!(error = %cause, publication = row.id, "what was published cannot be read");
        Refusal::Internal
    })
}

impl Decide for PublishResults {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let by = draft.actor.user()?.clone();
        let unknown = || Refusal::not_found("category", &self.category_id);
        let category = draft.state.categories.get(&self.category_id).cloned().ok_or_else(unknown)?;
        draft.state.must_not_judge(draft.actor.user()?, &category)?;
        let board = draft.state.board(&self.category_id)?;
        let needed = match self.state {
            PublicationState::Official => Stage::Certified,
            PublicationState::Unofficial => Stage::Judged,
            PublicationState::Draft => return Err(Refusal::invalid("state", "is unofficial or official")),
        };
        if board.stage() < needed {
            return Err(Refusal::State(format!(
                "the category is {:?}; it has to be {needed:?} to be published as {:?}",
                board.stage(),
                self.state
            )));
        }
        let (record, ranking) = tally::record_of(&draft.state, &category)?;
        if !ranking.complete {
            return Err(Refusal::State("the tally is not complete".into()));
        }
        let latest = board.publications.values().next_back().cloned();
        // An official result does not stand any more once its category was sent back, also if nothing changed since.
        let stands =
            |row: &publication::Model| row.state < PublicationState::Official || board.stage() == Stage::Published;
        if let Some(same) = &latest
            && stands(same)
            && same.tally_hash == record.hash()
            && same.state >= self.state
        {
            return Err(Refusal::Duplicate { what: "publication", id: same.id.clone() });
        }
        let revision = latest.map_or(0, |latest| latest.revision) + 1;
        let id: uuid::Uuid = draft.new_id();
        let saying = Saying { id: id.to_string(), revision, state: self.state, by: &by, at: draft.now };
        let publication = statement(&draft.state, &category, &record, &ranking, saying)?.sign(&self.signer);
        let row = publication::Model {
            category_id: self.category_id.clone(),
            revision,
            id: id.to_string(),
            event_id: category.event_id.clone(),
            state: self.state,
            tally_hash: publication.statement.tally_hash.clone(),
            lane_seq: publication.statement.log.seq,
            publication: publication.to_json(),
            tally: record.to_json(),
            hidden: frozen(&draft.state, &category.event_id).is_some(),
            revealed: "[]".to_owned(),
            published_at: draft.now,
        };
        draft.put(row.clone());
        if self.state == PublicationState::Official {
            certification::published(draft, &category)?;
        }
        tell_published(draft, &row, &publication, false);
        if !row.hidden {
            tell_published(draft, &row, &publication, true);
        }
        Ok(read::item(&row, &publication))
    }
}

fn tell_published(draft: &mut Draft, row: &publication::Model, publication: &Publication, public: bool) {
    draft.append(Event::ResultsPublished(ResultsPublished {
        category_id: row.category_id.clone(),
        contest_id: publication.statement.contest.id.clone(),
        event_id: row.event_id.clone(),
        publication_id: row.id.clone(),
        revision: row.revision,
        state: row.state,
        published_at: row.published_at,
        tally_hash: row.tally_hash.clone(),
        signature: publication.signature.to_string(),
        key_id: publication.key_id.to_string(),
        public,
    }));
}

/// Since when the public is shown nothing new of an event, if it is.
fn frozen(state: &State, event: &EventId) -> Option<crate::clock::Micros> {
    state.events.get(event).and_then(|event| event.frozen_at)
}

/// Who decides what the public is shown of an event: who runs the installation, or sits on the board of all of it.
fn may_show(draft: &Draft, event: &EventId) -> Result<Arc<event::Model>, Refusal> {
    let user = draft.actor.user()?;
    let of_all = |hat: &assignment::Model| {
        hat.hat == Hat::Board && hat.event_id == *event && hat.contest_id.is_none() && hat.category_id.is_none()
    };
    if draft.actor.must_run_installation(&draft.state).is_err() && !draft.state.hats_worn(user).any(|hat| of_all(hat)) {
        return Err(Refusal::Forbidden);
    }
    draft.state.events.get(event).cloned().ok_or_else(|| Refusal::not_found("event", event))
}

/// The same for a category: who runs the installation, or sits on its board; never who judges it.
fn may_reveal(draft: &Draft, category: &Category) -> Result<(), Refusal> {
    let user = draft.actor.user()?;
    let on_board = draft.state.hats_on(user, category).contains(&Hat::Board);
    if draft.actor.must_run_installation(&draft.state).is_err() && !on_board {
        return Err(Refusal::Forbidden);
    }
    draft.state.must_not_judge(user, category)
}

/// The categories of an event whose latest publication is hidden.
fn hidden(state: &State, event: &EventId) -> Result<Vec<Arc<Category>>, Refusal> {
    state.must_have_boards(state.categories_of(event).map(|category| &category.row.id))?;
    let mut hidden = Vec::new();
    for category in state.categories_of(event) {
        if hidden_in(state.board(&category.row.id)?).is_some() {
            hidden.push(Arc::clone(category));
        }
    }
    Ok(hidden)
}

fn hidden_in(board: &Board) -> Option<&Arc<publication::Model>> {
    board.publications.values().next_back().filter(|latest| latest.hidden)
}

fn tell_frozen(draft: &mut Draft, event: &EventId, frozen: bool) -> Value {
    for public in [false, true] {
        let fact = ResultsFrozen { event_id: event.clone(), frozen, at: draft.now, public };
        draft.append(Event::ResultsFrozen(fact));
    }
    json!({ "eventId": event, "frozen": frozen })
}

impl Decide for FreezeResults {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let event = may_show(draft, &self.event_id)?;
        if event.frozen_at.is_some() {
            return Err(Refusal::State("the results are frozen already".into()));
        }
        draft.put(event::Model { frozen_at: Some(draft.now), ..event.as_ref().clone() });
        Ok(tell_frozen(draft, &self.event_id, true))
    }
}

impl Decide for ThawResults {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let event = may_show(draft, &self.event_id)?;
        if event.frozen_at.is_none() {
            return Err(Refusal::State("the results are not frozen".into()));
        }
        let hidden = hidden(&draft.state, &self.event_id)?;
        for category in &hidden {
            draft.state.must_not_judge(draft.actor.user()?, category)?;
        }
        draft.put(event::Model { frozen_at: None, ..event.as_ref().clone() });
        for category in hidden {
            show(draft, &category)?;
        }
        Ok(tell_frozen(draft, &self.event_id, false))
    }
}

/// Shows the public what was hidden of a category.
fn show(draft: &mut Draft, category: &Category) -> Result<(), Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let hidden: Vec<_> = board.publications.values().filter(|row| row.hidden).cloned().collect();
    for row in hidden {
        let publication: Publication = kept(&row, &row.publication)?;
        draft.put(publication::Model { hidden: false, ..row.as_ref().clone() });
        tell_published(draft, &row, &publication, true);
    }
    Ok(())
}

/// The places of a hidden publication that were revealed.
fn revealed(row: &publication::Model) -> Result<BTreeSet<u32>, Refusal> {
    kept(row, &row.revealed)
}

impl Decide for RevealResults {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let category = draft.state.categories.get(&self.category_id).cloned().ok_or(Refusal::Forbidden)?;
        may_reveal(draft, &category)?;
        let board = draft.state.board(&self.category_id)?;
        let row = hidden_in(board).cloned().ok_or_else(|| Refusal::State("no result of it is hidden".into()))?;
        let publication: Publication = kept(&row, &row.publication)?;
        let lines = &publication.statement.ranking;
        let there: BTreeSet<u32> = lines.iter().filter_map(|line| line.rank).collect();
        if let Some(unknown) = self.ranks.difference(&there).next() {
            return Err(Refusal::invalid("ranks", format!("nobody is in place {unknown}")));
        }
        let before = revealed(&row)?;
        let fresh: BTreeSet<u32> = self.ranks.difference(&before).copied().collect();
        if fresh.is_empty() {
            return Err(Refusal::State("these places are shown already".into()));
        }
        let shown: BTreeSet<u32> = before.union(&fresh).copied().collect();
        let is_shown = |rank: Option<u32>| rank.is_some_and(|rank| shown.contains(&rank));
        let left = lines.iter().filter(|line| line.rank.is_some() && !is_shown(line.rank)).count();
        let fresh_lines: Vec<RevealedLine> = lines
            .iter()
            .filter_map(|line| {
                let rank = line.rank.filter(|rank| fresh.contains(rank))?;
                Some(RevealedLine { rank, contestant_id: line.contestant_id.clone(), total: line.total.clone() })
            })
            .collect();
        let told = json!(shown).to_string();
        draft.put(publication::Model { revealed: told, ..row.as_ref().clone() });
        for public in [false, true] {
            draft.append(Event::ResultsRevealed(ResultsRevealed {
                event_id: category.event_id.clone(),
                category_id: self.category_id.clone(),
                publication_id: row.id.clone(),
                revision: row.revision,
                lines: fresh_lines.clone(),
                left,
                at: draft.now,
                public,
            }));
        }
        if left == 0 {
            show(draft, &category)?;
        }
        Ok(json!({ "categoryId": self.category_id, "lines": fresh_lines, "left": left }))
    }
}

/// Whether somebody reads published results of a category that are not public: its staff, and who was marked in it.
fn may_read(state: &State, user: &UserId, category: &Category) -> bool {
    state.seat(user, category) != Seat::Stranger || !contestants_of(state, user, category).is_empty()
}

/// The contestants of a category a user is: one alone, and one in a pair, say.
fn contestants_of(state: &State, user: &UserId, category: &Category) -> BTreeSet<ContestantId> {
    let is_user =
        |id: &&ContestantId| state.contestants.get(*id).is_some_and(|known| known.user_id.as_ref() == Some(user));
    match state.role_of(user) {
        Some(_) => category.entries.keys().filter(is_user).cloned().collect(),
        None => BTreeSet::new(),
    }
}
