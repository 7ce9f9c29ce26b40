//! What several people decide: deductions, removals of marks, uncertifications, flags. One table says who may ask, who
//! has to approve and what follows; one function carries each step out.
//!
//! Invariants: nobody approves twice; what follows from the last approval is part of the same decision, so it happens
//! exactly once however many sign at the same time.

use super::judges::restate;
use super::{REASON_CHARS_MAX, category_of, signature_name, words};
use crate::auth::role::{Hat, Role};
use crate::command::{Decide, Draft, to_value};
use crate::db::entity::approval;
use crate::db::entity::certification::Stage;
use crate::db::entity::decision::{self, DecisionKind, DecisionStatus};
use crate::db::entity::mark::{self, MarkStatus};
use crate::error::Refusal;
use crate::events::event::{ApprovalFact, DecisionChanged, Event, ScoreDeleted, Text};
use crate::events::log::LogEntry;
use crate::events::view::DecisionFields;
use crate::ids::{CategoryId, ContestantId, MarkId, UserId};
use crate::ranking::Decimal;
use crate::state::board::Board;
use crate::state::rights::Seat;
use crate::state::{Category, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a decision is about; kept as JSON beside its row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    #[serde(default)]
    contestant: Option<ContestantId>,
    #[serde(default)]
    judge: Option<UserId>,
    #[serde(default)]
    scores: Vec<MarkId>,
    #[serde(default)]
    amount: Option<Decimal>,
    reason: String,
    #[serde(default)]
    answer: Option<String>,
}

/// Asks for points off a contestant's total.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestDeduction {
    /// The category.
    pub category_id: CategoryId,
    /// Whose total.
    pub contestant_id: ContestantId,
    /// How many points; more than zero.
    #[schema(value_type = f64)]
    pub amount: Decimal,
    /// Why.
    pub reason: String,
}

/// Asks for marks of a judge to be taken out.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestRemoval {
    /// The category.
    pub category_id: CategoryId,
    /// Whose marks.
    pub judge_id: UserId,
    /// Which; all there are now where none is named.
    #[serde(default)]
    pub score_ids: Vec<MarkId>,
    /// Why.
    pub reason: String,
}

/// Asks for certified sheets of a judge to be opened again.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestUncertification {
    /// The category.
    pub category_id: CategoryId,
    /// Whose sheets; one's own unless named.
    #[serde(default)]
    pub judge_id: Option<UserId>,
    /// Which sheet; all of them where none is named.
    #[serde(default)]
    pub contestant_id: Option<ContestantId>,
    /// Why.
    pub reason: String,
}

/// Raises a flag: something to look at before anybody signs.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RaiseFlag {
    /// The category.
    pub category_id: CategoryId,
    /// A contestant it is about.
    #[serde(default)]
    pub contestant_id: Option<ContestantId>,
    /// A mark it is about.
    #[serde(default)]
    pub score_id: Option<MarkId>,
    /// What to look at.
    pub text: String,
}

/// Approves a decision under a hat that is still missing.
#[derive(Clone, Debug)]
pub struct ApproveDecision {
    /// What is decided.
    pub about: DecisionKind,
    /// Which.
    pub id: String,
    /// The name signed with.
    pub signature_name: String,
}

/// Turns a decision down, takes it back, or answers a flag.
#[derive(Clone, Debug)]
pub struct CloseDecision {
    /// What is decided.
    pub about: DecisionKind,
    /// Which.
    pub id: String,
    /// How it ends: `Rejected`, `Withdrawn`, or `Approved` for a flag that is accepted.
    pub status: DecisionStatus,
    /// Why; only a withdrawal needs none.
    pub reason: Option<String>,
}

/// What an approval says on the wire.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    id: String,
    /// The name signed with.
    signature_name: String,
}

/// What a refusal, a withdrawal or an answer to a flag says on the wire.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    id: String,
    /// Of a flag: `accepted` or `rejected`.
    #[serde(default)]
    decision: Option<FlagAnswer>,
    #[serde(default)]
    reason: Option<String>,
}

/// How a flag is answered.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlagAnswer {
    /// There was something.
    Accepted,
    /// There was nothing.
    Rejected,
}

impl ApproveDecision {
    /// Reads an approval of a kind of decision.
    ///
    /// # Errors
    /// `INVALID_DATA`.
    pub fn read(about: DecisionKind, payload: Value) -> Result<Self, Refusal> {
        let Approval { id, signature_name } = crate::command::parse(payload)?;
        Ok(Self { about, id, signature_name })
    }
}

impl CloseDecision {
    /// Reads how a kind of decision is turned down, taken back or, a flag, answered.
    ///
    /// # Errors
    /// `INVALID_DATA`.
    pub fn read(about: DecisionKind, withdrawn: bool, payload: Value) -> Result<Self, Refusal> {
        let Closing { id, decision, reason } = crate::command::parse(payload)?;
        let status = match (withdrawn, about, decision) {
            (true, ..) => DecisionStatus::Withdrawn,
            (false, DecisionKind::Flag, Some(FlagAnswer::Accepted)) => DecisionStatus::Approved,
            (false, DecisionKind::Flag, None) => return Err(Refusal::invalid("decision", "is accepted or rejected")),
            (false, ..) => DecisionStatus::Rejected,
        };
        Ok(Self { about, id, status, reason })
    }
}

/// Whose approval a decision of a kind needs, as the category stands.
fn parties(state: &State, category: &Category, board: &Board, kind: DecisionKind) -> Vec<Hat> {
    match kind {
        DecisionKind::Deduction => {
            let presides = |judge: &UserId| {
                state.role_of(judge).is_some() && state.hats_on(judge, category).contains(&Hat::HeadJudge)
            };
            let presided = state.panel(category).iter().any(|judge| presides(&judge.judge));
            let head = presided.then_some(Hat::HeadJudge);
            head.into_iter().chain([Hat::TallyMaster, Hat::Auditor, Hat::Board]).collect()
        }
        DecisionKind::Removal => vec![Hat::TallyMaster, Hat::Auditor, Hat::Board],
        // The tally master or the auditor: the one who approves stands for both.
        DecisionKind::Uncertification if board.stage() >= Stage::Audited => vec![Hat::TallyMaster, Hat::Board],
        DecisionKind::Uncertification => vec![Hat::TallyMaster],
        DecisionKind::Flag => vec![],
    }
}

/// Whether a hat may stand where another is asked for.
fn stands_for(kind: DecisionKind, hat: Hat, party: Hat) -> bool {
    hat == party || (kind == DecisionKind::Uncertification && party == Hat::TallyMaster && hat == Hat::Auditor)
}

/// The hats a user may use in a category's decisions: a judge has no other than those of judging, and who gives hats out
/// uses none.
fn usable_hats(state: &State, user: &UserId, category: &Category) -> BTreeSet<Hat> {
    let hats = state.hats_on(user, category);
    match state.seat(user, category) {
        Seat::Office | Seat::Guest if state.role_of(user).is_some_and(Role::runs_installation) => BTreeSet::new(),
        Seat::Judge => hats.into_iter().filter(|hat| hat.judges()).collect(),
        Seat::Office | Seat::Guest => hats,
        Seat::FormerJudge | Seat::Stranger => BTreeSet::new(),
    }
}

/// Who may ask for a decision of a kind.
fn may_request(state: &State, user: &UserId, category: &Category, kind: DecisionKind, judge: Option<&UserId>) -> bool {
    let hats = usable_hats(state, user, category);
    let role = state.role_of(user);
    let runs = role.is_some_and(Role::runs_installation);
    let office = hats.iter().any(|hat| hat.reads_all_marks());
    match kind {
        DecisionKind::Deduction => runs || office || hats.iter().any(|hat| hat.judges()),
        DecisionKind::Removal => {
            let judges = matches!(state.seat(user, category), Seat::Judge | Seat::FormerJudge);
            !judges && (role == Some(Role::Admin) || hats.contains(&Hat::Board))
        }
        DecisionKind::Uncertification => {
            runs || office || (judge == Some(user) && state.seat(user, category) == Seat::Judge)
        }
        DecisionKind::Flag => !hats.is_empty(),
    }
}

fn body_of(row: &decision::Model) -> Result<Body, Refusal> {
    serde_json::from_str(&row.body).map_err(|cause| {
        tracing::error!(error = %cause, decision = row.id, "the body of a decision cannot be read");
        Refusal::Internal
    })
}

fn approvals_of<'a>(board: &'a Board, id: &'a str) -> impl Iterator<Item = &'a Arc<approval::Model>> {
    board.approvals.values().filter(move |approval| approval.decision_id == id)
}

/// The approvals that count: those whose giver still wears the hat. A successor under the same hat takes their place.
/// Of what is decided they are those that counted then: the others went with the decision.
fn standing<'a>(
    state: &'a State,
    category: &'a Category,
    board: &'a Board,
    id: &'a str,
) -> impl Iterator<Item = &'a Arc<approval::Model>> {
    let pending = board.decisions.get(id).is_some_and(|row| row.status == DecisionStatus::Pending);
    let stands = |approval: &approval::Model| usable_hats(state, &approval.user_id, category).contains(&approval.hat);
    approvals_of(board, id).filter(move |approval| !pending || stands(approval))
}

/// Drops the approvals that do not stand any more, before a decision is closed: it is kept with those that counted.
fn drop_fallen(draft: &mut Draft, category: &Category, id: &str) -> Result<(), Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let counted: BTreeSet<Hat> = standing(&draft.state, category, board, id).map(|approval| approval.hat).collect();
    let fallen: Vec<_> = approvals_of(board, id)
        .filter(|approval| !counted.contains(&approval.hat))
        .map(|approval| approval.as_ref().clone())
        .collect();
    for approval in fallen {
        draft.remove(approval);
    }
    Ok(())
}

fn missing(state: &State, category: &Category, board: &Board, row: &decision::Model) -> Vec<Hat> {
    if row.status != DecisionStatus::Pending {
        return Vec::new();
    }
    let given: Vec<Hat> = standing(state, category, board, &row.id).map(|approval| approval.hat).collect();
    let mut parties = parties(state, category, board, row.kind);
    parties.retain(|party| !given.iter().any(|hat| stands_for(row.kind, *hat, *party)));
    parties
}

fn fact_of(
    state: &State,
    category: &Category,
    row: &decision::Model,
    fresh: bool,
    salted: &dyn Fn(&str) -> Text,
) -> Result<DecisionChanged, Refusal> {
    let board = state.board(&category.row.id)?;
    let body = body_of(row)?;
    let approvals = standing(state, category, board, &row.id)
        .map(|approval| ApprovalFact {
            hat: approval.hat,
            user_id: approval.user_id.clone(),
            signature_name: salted(&approval.signature_name),
            at: approval.at,
        })
        .collect();
    Ok(DecisionChanged {
        id: row.id.clone(),
        about: row.kind,
        fresh,
        category_id: row.category_id.clone(),
        contestant_id: body.contestant,
        judge_id: body.judge,
        score_ids: body.scores,
        amount: body.amount,
        reason: salted(&body.reason),
        answer: body.answer.as_deref().map(salted),
        status: row.status,
        approvals,
        missing: missing(state, category, board, row),
        requested_by: row.requested_by.clone(),
        requested_at: row.requested_at,
        decided_at: row.decided_at,
    })
}

fn tell(draft: &mut Draft, category: &Category, row: &decision::Model, fresh: bool) -> Result<Value, Refusal> {
    let fact = fact_of(&draft.state, category, row, fresh, &|text| draft.text(text))?;
    let view = DecisionFields::of(&fact);
    draft.append(Event::DecisionChanged(fact));
    let name = match row.kind {
        DecisionKind::Deduction => "deduction",
        DecisionKind::Removal => "removal",
        DecisionKind::Uncertification => "uncertification",
        DecisionKind::Flag => "flag",
    };
    Ok(json!({ name: view }))
}

/// The category, if the actor may ask there for a decision of a kind.
fn asked_in(
    draft: &Draft,
    category: &CategoryId,
    kind: DecisionKind,
    judge: Option<&UserId>,
) -> Result<Arc<Category>, Refusal> {
    let category = category_of(&draft.state, category)?;
    if may_request(&draft.state, draft.actor.user()?, &category, kind, judge) {
        Ok(category)
    } else {
        Err(Refusal::Forbidden)
    }
}

fn request(draft: &mut Draft, category: &Category, kind: DecisionKind, body: &Body) -> Result<Value, Refusal> {
    if let Some(contestant) = &body.contestant
        && !category.entries.contains_key(contestant)
    {
        return Err(Refusal::not_found("contestant", contestant));
    }
    let id: uuid::Uuid = draft.new_id();
    let row = decision::Model {
        id: id.to_string(),
        category_id: category.row.id.clone(),
        kind,
        status: DecisionStatus::Pending,
        body: serde_json::to_string(body).map_err(|_plain_data| Refusal::Internal)?,
        requested_by: draft.actor.user()?.clone(),
        requested_at: draft.now,
        decided_at: None,
    };
    // The board is asked for here, before anything is put on it.
    draft.state.board(&category.row.id)?;
    draft.put(row.clone());
    tell(draft, category, &row, true)
}

impl Decide for RequestDeduction {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        if self.amount.is_negative() || self.amount.is_zero() {
            return Err(Refusal::invalid("amount", "must be more than zero"));
        }
        let body = Body {
            contestant: Some(self.contestant_id.clone()),
            amount: Some(self.amount.clone()),
            reason: words("reason", &self.reason, REASON_CHARS_MAX)?,
            ..Body::default()
        };
        let category = asked_in(draft, &self.category_id, DecisionKind::Deduction, None)?;
        request(draft, &category, DecisionKind::Deduction, &body)
    }
}

impl Decide for RequestRemoval {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let reason = words("reason", &self.reason, REASON_CHARS_MAX)?;
        let category = asked_in(draft, &self.category_id, DecisionKind::Removal, None)?;
        let board = draft.state.board(&self.category_id)?;
        let own = |id: &MarkId| board.marks().any(|mark| mark.id == *id && mark.judge_id == self.judge_id);
        if let Some(foreign) = self.score_ids.iter().find(|id| !own(id)) {
            return Err(Refusal::not_found("mark", foreign));
        }
        let all: Vec<MarkId> =
            board.marks().filter(|mark| mark.judge_id == self.judge_id).map(|mark| mark.id.clone()).collect();
        if all.is_empty() {
            return Err(Refusal::State("the judge has no marks here".into()));
        }
        // Who signs knows which marks go: what the judge gives later is not among them.
        let scores = if self.score_ids.is_empty() { all } else { self.score_ids.clone() };
        let body = Body { judge: Some(self.judge_id.clone()), scores, reason, ..Body::default() };
        request(draft, &category, DecisionKind::Removal, &body)
    }
}

impl Decide for RequestUncertification {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let judge = self.judge_id.clone().unwrap_or(draft.actor.user()?.clone());
        let category = asked_in(draft, &self.category_id, DecisionKind::Uncertification, Some(&judge))?;
        if draft.state.seat(&judge, &category) != Seat::Judge {
            return Err(Refusal::State("only who judges the category can do a sheet again".into()));
        }
        let board = draft.state.board(&self.category_id)?;
        let certified = board.sheets.keys().any(|(by, contestant)| {
            *by == judge && self.contestant_id.as_ref().is_none_or(|wanted| wanted == contestant)
        });
        if !certified {
            return Err(Refusal::State("there is no certified sheet to open".into()));
        }
        let body = Body {
            judge: Some(judge),
            contestant: self.contestant_id.clone(),
            reason: words("reason", &self.reason, REASON_CHARS_MAX)?,
            ..Body::default()
        };
        request(draft, &category, DecisionKind::Uncertification, &body)
    }
}

impl Decide for RaiseFlag {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let category = asked_in(draft, &self.category_id, DecisionKind::Flag, None)?;
        let judge = match &self.score_id {
            Some(id) => {
                let board = draft.state.board(&self.category_id)?;
                let place = board.place_of(id).ok_or_else(|| Refusal::not_found("mark", id))?;
                if self.contestant_id.as_ref().is_some_and(|named| *named != place.contestant) {
                    return Err(Refusal::invalid("contestantId", "is not the one the mark was given to"));
                }
                Some(place.judge.clone())
            }
            None => None,
        };
        let body = Body {
            contestant: self.contestant_id.clone(),
            judge,
            scores: self.score_id.iter().cloned().collect(),
            reason: words("text", &self.text, REASON_CHARS_MAX)?,
            ..Body::default()
        };
        request(draft, &category, DecisionKind::Flag, &body)
    }
}

/// A decision that is not taken yet, with its category; whoever has no business with it does not learn that it exists.
fn pending(draft: &Draft, id: &str, kind: DecisionKind) -> Result<(Arc<Category>, decision::Model), Refusal> {
    let unknown = || Refusal::not_found("decision", id);
    let category = draft.state.decided_in.get(id).ok_or_else(unknown)?;
    let category = draft.state.categories.get(category).cloned().ok_or_else(unknown)?;
    if draft.state.seat(draft.actor.user()?, &category) == Seat::Stranger {
        return Err(unknown());
    }
    let board = draft.state.board(&category.row.id)?;
    let row = board.decisions.get(id).filter(|row| row.kind == kind).ok_or_else(unknown)?.as_ref().clone();
    if row.status == DecisionStatus::Pending {
        Ok((category, row))
    } else {
        Err(Refusal::State(format!("it is {:?} already", row.status)))
    }
}

impl Decide for ApproveDecision {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let (category, row) = pending(draft, &self.id, self.about)?;
        let user = draft.actor.user()?.clone();
        let hats = usable_hats(&draft.state, &user, &category);
        let board = draft.state.board(&category.row.id)?;
        let parties = parties(&draft.state, &category, board, row.kind);
        if !parties.iter().any(|party| hats.iter().any(|hat| stands_for(row.kind, *hat, *party))) {
            return Err(Refusal::Forbidden);
        }
        if standing(&draft.state, &category, board, &row.id).any(|approval| approval.user_id == user) {
            return Err(Refusal::SeparationOfDuties("nobody approves twice"));
        }
        let open = missing(&draft.state, &category, board, &row);
        let hat = hats.into_iter().find(|hat| open.iter().any(|party| stands_for(row.kind, *hat, *party)));
        let Some(hat) = hat else { return Err(Refusal::State("your hat has approved already".into())) };
        let signature_name = signature_name(&draft.state, &user, Some(&self.signature_name))?;
        draft.put(approval::Model {
            decision_id: row.id.clone(),
            hat,
            category_id: category.row.id.clone(),
            user_id: user,
            signature_name,
            at: draft.now,
        });
        match carry_out(draft, &category, &row)? {
            Some(answer) => Ok(answer),
            None => tell(draft, &category, &row, false),
        }
    }
}

/// Takes a decision nobody's approval is missing any more, with what follows from it.
fn carry_out(draft: &mut Draft, category: &Arc<Category>, row: &decision::Model) -> Result<Option<Value>, Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let approved = standing(&draft.state, category, board, &row.id).next().is_some();
    if !approved || !missing(&draft.state, category, board, row).is_empty() {
        return Ok(None);
    }
    take(draft, category, row).map(Some)
}

/// Takes a decision, with what follows from it.
fn take(draft: &mut Draft, category: &Arc<Category>, row: &decision::Model) -> Result<Value, Refusal> {
    let status = if row.kind == DecisionKind::Deduction { DecisionStatus::Approved } else { DecisionStatus::Executed };
    let row = decision::Model { status, decided_at: Some(draft.now), ..row.clone() };
    drop_fallen(draft, category, &row.id)?;
    draft.put(row.clone());
    follow(draft, category, &row)?;
    tell(draft, category, &row, false)
}

/// A party can fall away, a hat with it: then the approvals that are there may be all that is needed.
pub(super) fn settle(draft: &mut Draft, category: &Arc<Category>) -> Result<(), Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let open = |row: &&Arc<decision::Model>| row.status == DecisionStatus::Pending && row.kind != DecisionKind::Flag;
    let pending: Vec<_> = board.decisions.values().filter(open).map(|row| row.as_ref().clone()).collect();
    for row in pending {
        carry_out(draft, category, &row)?;
    }
    Ok(())
}

/// Takes every decision this draft has asked for or moved on, whoever's approval is missing: for a preview.
///
/// # Errors
/// `BoardNeeded`.
pub fn foresee(draft: &mut Draft) -> Result<(), Refusal> {
    let moved: Vec<(CategoryId, String)> = draft
        .entries()
        .iter()
        .filter_map(|entry| {
            let Event::DecisionChanged(fact) = &entry.event else { return None };
            Some((fact.category_id.clone(), fact.id.clone()))
        })
        .collect();
    for (category, id) in moved {
        let category = category_of(&draft.state, &category)?;
        let board = draft.state.board(&category.row.id)?;
        let Some(row) = board.decisions.get(&id).filter(|row| row.status == DecisionStatus::Pending) else { continue };
        take(draft, &category, &row.as_ref().clone())?;
    }
    Ok(())
}

/// What follows from the last approval.
fn follow(draft: &mut Draft, category: &Arc<Category>, row: &decision::Model) -> Result<(), Refusal> {
    let body = body_of(row)?;
    let Some(judge) = &body.judge else { return Ok(()) };
    match row.kind {
        // An approved deduction counts in the tally by being approved.
        DecisionKind::Deduction | DecisionKind::Flag => Ok(()),
        DecisionKind::Removal => remove_marks(draft, category, judge, &body, &row.id),
        DecisionKind::Uncertification => {
            // Also where the judge's marks do not count: nothing that can be changed lies under a signature.
            super::settle::void_all(draft, category)?;
            open_sheets(draft, category, judge, |contestant| {
                body.contestant.as_ref().is_none_or(|wanted| wanted == contestant)
            })
        }
    }
}

/// Marks become tombstones, nothing is deleted; the sheets they stood on are no longer certified.
fn remove_marks(
    draft: &mut Draft,
    category: &Arc<Category>,
    judge: &UserId,
    body: &Body,
    removal: &str,
) -> Result<(), Refusal> {
    let wanted = |mark: &mark::Model| mark.judge_id == *judge && body.scores.contains(&mark.id);
    let marks: Vec<_> = draft.state.board(&category.row.id)?.marks().filter(|mark| wanted(mark)).cloned().collect();
    let contestants: BTreeSet<ContestantId> = marks.iter().map(|mark| mark.contestant_id.clone()).collect();
    open_sheets(draft, category, judge, |contestant| contestants.contains(contestant))?;
    for mark in marks {
        let reason = draft.text(&body.reason);
        draft.put(mark::Model { status: MarkStatus::Removed, updated_at: draft.now, ..mark.as_ref().clone() });
        draft.append(Event::ScoreDeleted(ScoreDeleted {
            id: mark.id.clone(),
            category_id: mark.category_id.clone(),
            contestant_id: mark.contestant_id.clone(),
            judge_id: judge.clone(),
            reason,
            removal_id: removal.to_owned(),
            visibility: category.row.judge_visibility,
            deleted_at: draft.now,
        }));
    }
    Ok(())
}

/// Certified sheets of a judge are opened: their marks can be changed again, FINAL is taken back.
fn open_sheets(
    draft: &mut Draft,
    category: &Arc<Category>,
    judge: &UserId,
    which: impl Fn(&ContestantId) -> bool,
) -> Result<(), Refusal> {
    let board = draft.state.board(&category.row.id)?;
    let sheets: Vec<_> = board
        .sheets
        .values()
        .filter(|sheet| sheet.judge_id == *judge && which(&sheet.contestant_id))
        .map(|sheet| sheet.as_ref().clone())
        .collect();
    let marks: Vec<_> =
        board.marks().filter(|mark| mark.judge_id == *judge && which(&mark.contestant_id)).cloned().collect();
    let done = board.finals.get(judge).map(|row| row.as_ref().clone());
    for sheet in sheets {
        draft.remove(sheet);
    }
    if let Some(done) = done {
        draft.remove(done);
    }
    restate(draft, category, &marks, MarkStatus::Submitted);
    Ok(())
}

impl Decide for CloseDecision {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let (category, row) = pending(draft, &self.id, self.about)?;
        let user = draft.actor.user()?.clone();
        let hats = usable_hats(&draft.state, &user, &category);
        let withdrawn = self.status == DecisionStatus::Withdrawn;
        let office = hats.iter().any(|hat| hat.reads_all_marks());
        let may = match (withdrawn, row.kind) {
            (true, _) => row.requested_by == user,
            (false, DecisionKind::Flag) => office && row.requested_by != user,
            (false, DecisionKind::Deduction) => office || hats.contains(&Hat::HeadJudge),
            (false, DecisionKind::Removal | DecisionKind::Uncertification) => office,
        };
        if !may {
            return Err(Refusal::Forbidden);
        }
        let answer = match &self.reason {
            Some(reason) => Some(words("reason", reason, REASON_CHARS_MAX)?),
            None if withdrawn => None,
            None => return Err(Refusal::invalid("reason", "is missing")),
        };
        let body = Body { answer, ..body_of(&row)? };
        let row = decision::Model {
            status: self.status,
            body: serde_json::to_string(&body).map_err(|_plain_data| Refusal::Internal)?,
            decided_at: Some(draft.now),
            ..row
        };
        drop_fallen(draft, &category, &row.id)?;
        draft.put(row.clone());
        tell(draft, &category, &row, false)
    }
}

/// The decisions of a kind in a category, as a user may see them: the office all, others those that concern them.
///
/// # Errors
/// `FORBIDDEN` for whoever has no business with the category.
pub fn list(state: &State, user: &UserId, category: &CategoryId, kind: DecisionKind) -> Result<Value, Refusal> {
    let category = super::may_read(state, user, category)?;
    let board = state.board(&category.row.id)?;
    let rooms = state.rooms_of(user);
    let mut items = Vec::new();
    for row in board.decisions.values().filter(|row| row.kind == kind) {
        let event = Event::DecisionChanged(fact_of(state, &category, row, false, &Text::unlogged)?);
        if let Some(shown) = event.shown_to(&rooms) {
            items.push(to_value(shown)?);
        }
    }
    Ok(json!({ "items": items }))
}

/// The same as they stood after the first facts of the category's lane.
///
/// # Errors
/// `FORBIDDEN` as for those of now.
pub fn list_then(
    then: &State,
    facts: &[LogEntry],
    user: &UserId,
    category: &CategoryId,
    kind: DecisionKind,
) -> Result<Value, Refusal> {
    super::may_read(then, user, category)?;
    let rooms = then.rooms_of(user);
    let mut latest = BTreeMap::new();
    for entry in facts {
        if let Event::DecisionChanged(fact) = &entry.event
            && fact.about == kind
        {
            latest.insert(&fact.id, &entry.event);
        }
    }
    let shown = latest.into_values().filter_map(|event| event.shown_to(&rooms));
    Ok(json!({ "items": shown.map(to_value).collect::<Result<Vec<_>, _>>()? }))
}
