//! What officers sign: the tally, the audit, the board's approval, over the tally hash they saw. Sending back; an
//! ADMIN's override where the event allows it.

use super::settle::move_to;
use super::{
    REASON_CHARS_MAX, answer, category_of, judges, progress_of, signature_name, single_officer, take_back, words,
};
use crate::auth::role::{Hat, Role};
use crate::command::{Decide, Draft};
use crate::db::entity::certification::{self, Stage};
use crate::db::entity::decision::DecisionKind;
use crate::db::entity::mark::MarkStatus;
use crate::db::entity::signature;
use crate::error::Refusal;
use crate::ids::{CategoryId, UserId};
use crate::state::board::Board;
use crate::state::{Category, State};
use crate::tally::{self, TallyView};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Signs the next stage of a category.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignStage {
    /// The category.
    pub category_id: CategoryId,
    /// The stage that is reached by it: TALLIED, AUDITED or CERTIFIED.
    pub stage: Stage,
    /// The tally hash that was seen.
    pub tally_hash: String,
    /// The name signed with.
    pub signature_name: String,
    /// What the officer has to say.
    #[serde(default)]
    pub comments: Option<String>,
}

/// Puts a signature in the place of whoever cannot give it, by the event's leave: under JUDGED for judges who cannot sign
/// FINAL any more, under the later stages for an officer.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideStage {
    /// The category.
    pub category_id: CategoryId,
    /// The stage that is reached by it: JUDGED, TALLIED, AUDITED or CERTIFIED.
    pub stage: Stage,
    /// Why; shown beside the signature.
    pub reason: String,
}

/// Sends a category back.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectStage {
    /// The category.
    pub category_id: CategoryId,
    /// Why.
    pub reason: String,
    /// How far back; one stage unless said.
    #[serde(default)]
    pub to_stage: Option<Stage>,
}

/// Nothing is signed while something is undecided.
fn nothing_open(board: &Board) -> Result<(), Refusal> {
    if let Some(flag) = board.pending(DecisionKind::Flag).next() {
        return Err(Refusal::OpenFlags(flag.id.clone()));
    }
    for kind in [DecisionKind::Deduction, DecisionKind::Removal] {
        if let Some(pending) = board.pending(kind).next() {
            return Err(Refusal::State(format!("decision {} is not decided yet", pending.id)));
        }
    }
    Ok(())
}

fn lock_all(draft: &mut Draft, category: &Arc<Category>) -> Result<(), Refusal> {
    let marks: Vec<_> = draft.state.board(&category.row.id)?.marks().cloned().collect();
    judges::restate(draft, category, &marks, MarkStatus::Locked);
    Ok(())
}

/// The stage that is reached by the next signature, a judge's FINAL or an officer's.
fn following(stage: Stage) -> Option<Stage> {
    if stage == Stage::Open { Some(Stage::Judged) } else { stage.next().map(|(next, _)| next) }
}

/// What every signature under a stage needs, whoever gives it: its turn, a person who has signed no other, nothing
/// undecided, and a whole tally, which it binds.
fn may_be_signed(state: &State, category: &Category, stage: Stage, user: &UserId) -> Result<TallyView, Refusal> {
    let board = state.board(&category.row.id)?;
    if following(board.stage()) != Some(stage) {
        return Err(Refusal::State(format!("the category is {:?}; {stage:?} is not the next stage", board.stage())));
    }
    if !single_officer(state, category) && board.signatures.values().any(|signature| signature.user_id == *user) {
        return Err(Refusal::SeparationOfDuties("nobody signs two stages of one category"));
    }
    nothing_open(board)?;
    let tally = tally::tally(state, category)?;
    if !tally.ranking.complete {
        return Err(Refusal::State("the tally is not complete".into()));
    }
    Ok(tally)
}

/// Puts a signature under the stage it reaches; the board's locks the scores.
fn sign(draft: &mut Draft, category: &Arc<Category>, signature: signature::Model) -> Result<(), Refusal> {
    let before = progress_of(draft.state.board(&category.row.id)?, &category.row.id);
    let stage = signature.stage;
    let certified = stage == Stage::Certified;
    draft.put(certification::Model {
        rejection_reason: None,
        certified_at: certified.then_some(draft.now),
        certified_by: certified.then(|| signature.user_id.clone()),
        ..before
    });
    draft.put(signature);
    if certified {
        lock_all(draft, category)?;
    }
    move_to(draft, category, stage, false, Vec::new())
}

impl Decide for SignStage {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let category = category_of(&draft.state, &self.category_id)?;
        let user = draft.actor.user()?.clone();
        let hat = match self.stage {
            Stage::Tallied => Hat::TallyMaster,
            Stage::Audited => Hat::Auditor,
            Stage::Certified => Hat::Board,
            Stage::Open | Stage::Judged | Stage::Published => {
                return Err(Refusal::invalid("stage", "is TALLIED, AUDITED or CERTIFIED: the stage that is reached"));
            }
        };
        // Who may not sign is told only that, not how far the category is.
        draft.state.must_be_officer(&user, &category, hat)?;
        let tally = may_be_signed(&draft.state, &category, self.stage, &user)?;
        if tally.tally_hash != self.tally_hash {
            return Err(Refusal::HashMismatch { current: tally.tally_hash });
        }
        let comments = self.comments.as_deref().filter(|text| !text.trim().is_empty());
        let signature = signature::Model {
            category_id: self.category_id.clone(),
            stage: self.stage,
            signature_name: signature_name(&draft.state, &user, Some(&self.signature_name))?,
            user_id: user,
            tally_hash: tally.tally_hash,
            comments: comments.map(|text| words("comments", text, REASON_CHARS_MAX)).transpose()?,
            overridden: false,
            at: draft.now,
        };
        sign(draft, &category, signature)?;
        Ok(Value::Null)
    }

    fn settled(&self, _: Value, draft: &Draft) -> Result<Value, Refusal> {
        answer(draft, &self.category_id)
    }
}

impl Decide for OverrideStage {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let category = category_of(&draft.state, &self.category_id)?;
        let user = draft.actor.user()?.clone();
        let allowed = draft.state.events.get(&category.event_id).is_some_and(|event| event.allow_override);
        if !allowed || draft.state.role_of(&user) != Some(Role::Admin) {
            return Err(Refusal::Forbidden);
        }
        draft.state.must_not_judge(&user, &category)?;
        let reason = words("reason", &self.reason, REASON_CHARS_MAX)?;
        if self.stage == Stage::Open {
            return Err(Refusal::invalid(
                "stage",
                "is JUDGED, TALLIED, AUDITED or CERTIFIED: the stage that is reached",
            ));
        }
        let tally = may_be_signed(&draft.state, &category, self.stage, &user)?;
        let signature = signature::Model {
            category_id: self.category_id.clone(),
            stage: self.stage,
            signature_name: signature_name(&draft.state, &user, None)?,
            user_id: user,
            tally_hash: tally.tally_hash,
            comments: Some(reason),
            overridden: true,
            at: draft.now,
        };
        sign(draft, &category, signature)?;
        Ok(Value::Null)
    }

    fn settled(&self, _: Value, draft: &Draft) -> Result<Value, Refusal> {
        answer(draft, &self.category_id)
    }
}

impl Decide for RejectStage {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        let category = category_of(&draft.state, &self.category_id)?;
        let user = draft.actor.user()?.clone();
        let must_be = |hat| draft.state.must_be_officer(&user, &category, hat);
        must_be(Hat::Auditor).or_else(|_not_auditor| must_be(Hat::Board))?;
        let reason = words("reason", &self.reason, REASON_CHARS_MAX)?;
        let board = draft.state.board(&self.category_id)?;
        let before = progress_of(board, &self.category_id);
        // An override of JUDGED can be taken back like any signature; what judges have signed cannot.
        let lowest = if board.signatures.contains_key(&Stage::Judged) { Stage::Open } else { Stage::Judged };
        let back = match before.stage {
            Stage::Open => return Err(Refusal::State("nothing was signed yet".into())),
            Stage::Judged => lowest,
            Stage::Tallied => Stage::Judged,
            Stage::Audited => Stage::Tallied,
            Stage::Certified | Stage::Published => Stage::Audited,
        };
        let to = self.to_stage.unwrap_or(back);
        if to > back || to < lowest {
            return Err(Refusal::invalid(
                "toStage",
                format!("lies between {lowest:?} and {back:?}; sheets are opened by an uncertification"),
            ));
        }
        let gone: Vec<_> =
            board.signatures.values().filter(|row| row.stage > to).map(|row| row.as_ref().clone()).collect();
        let signers = take_back(draft, gone);
        draft.put(certification::Model { rejection_reason: Some(reason), ..before });
        move_to(draft, &category, to, !signers.is_empty(), signers)?;
        Ok(Value::Null)
    }

    fn settled(&self, _: Value, draft: &Draft) -> Result<Value, Refusal> {
        answer(draft, &self.category_id)
    }
}
