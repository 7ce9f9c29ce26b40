//! Views: the only types that reach the wire. Each has the fields its readers may see, and no others.

use super::event::{AssignmentChanged, CertificationUpdated, JudgeProgress, ScoreUpdated, SignatureFact, Text};
use crate::auth::role::Hat;
use crate::clock::Micros;
use crate::db::entity::assignment::AssignmentStatus;
use crate::db::entity::certification::Stage;
use crate::db::entity::mark::MarkStatus;
use crate::ids::{AssignmentId, CategoryId, ContestId, ContestantId, CriterionId, EventId, MarkId, UserId};
use crate::ranking::Mark;
use serde::Serialize;

/// Something a fact can look like on the wire.
pub trait View: Into<AnyView> {
    /// The name of the event that carries it.
    const EVENT: &'static str;
}

macro_rules! views {
    ($($name:ident => $event:literal),* $(,)?) => {
        /// Any view, as it is serialised.
        #[derive(Clone, Debug, Serialize)]
        #[serde(untagged)]
        #[allow(missing_docs, reason = "each variant is the view of that name")]
        pub enum AnyView { $($name($name)),* }

        $(
            impl From<$name> for AnyView {
                fn from(view: $name) -> Self { Self::$name(view) }
            }
            impl View for $name { const EVENT: &'static str = $event; }
        )*
    };
}

views!(
    FullScore => "scores:updated",
    OwnScore => "scores:updated",
    MaskedScore => "scores:updated",
    AssignmentNew => "assignment:new",
    AssignmentRemoved => "assignment:removed",
    FullCertification => "certification:updated",
    PlainCertification => "certification:updated",
    TallyUpdated => "tally:updated",
    Tick => "sync:tick",
);

/// A mark with all there is to know of it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the mark")]
pub struct ScoreFields {
    pub id: MarkId,
    pub category_id: CategoryId,
    pub contest_id: ContestId,
    pub event_id: EventId,
    pub contestant_id: ContestantId,
    pub judge_id: UserId,
    pub criterion_id: CriterionId,
    #[schema(value_type = f64)]
    pub score: Mark,
    pub masked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    pub status: MarkStatus,
    pub version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered_by: Option<UserId>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Micros,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Micros,
}

impl ScoreFields {
    fn of(fact: &ScoreUpdated) -> Self {
        Self {
            id: fact.id.clone(),
            category_id: fact.category_id.clone(),
            contest_id: fact.contest_id.clone(),
            event_id: fact.event_id.clone(),
            contestant_id: fact.contestant_id.clone(),
            judge_id: fact.judge_id.clone(),
            criterion_id: fact.criterion_id.clone(),
            score: fact.score,
            masked: false,
            comment: fact.comment.as_ref().and_then(|text| text.body().map(str::to_owned)),
            status: fact.status,
            version: fact.version,
            entered_by: fact.entered_by.clone(),
            created_at: fact.created_at,
            updated_at: fact.updated_at,
        }
    }
}

/// A mark as the office sees it: tally masters, auditors, the board, admins, organizers.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct FullScore(ScoreFields);

impl FullScore {
    /// The full view of a mark.
    #[must_use]
    pub fn of(fact: &ScoreUpdated) -> Self {
        Self(ScoreFields::of(fact))
    }
}

/// A mark as its own judge sees it.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct OwnScore(ScoreFields);

impl OwnScore {
    /// The judge's own view of a mark.
    #[must_use]
    pub fn of(fact: &ScoreUpdated) -> Self {
        Self(ScoreFields::of(fact))
    }
}

/// That a fellow judge gave a mark, and nothing of which: no comment, no version, no score.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the mark")]
pub struct MaskedScore {
    pub id: MarkId,
    pub category_id: CategoryId,
    pub contest_id: ContestId,
    pub event_id: EventId,
    pub contestant_id: ContestantId,
    pub judge_id: UserId,
    pub criterion_id: CriterionId,
    pub score: Option<()>,
    pub masked: bool,
    pub status: MarkStatus,
    pub version: Option<()>,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Micros,
}

impl MaskedScore {
    /// The fellow judges' view of a mark.
    #[must_use]
    pub fn of(fact: &ScoreUpdated) -> Self {
        Self {
            id: fact.id.clone(),
            category_id: fact.category_id.clone(),
            contest_id: fact.contest_id.clone(),
            event_id: fact.event_id.clone(),
            contestant_id: fact.contestant_id.clone(),
            judge_id: fact.judge_id.clone(),
            criterion_id: fact.criterion_id.clone(),
            score: None,
            masked: true,
            status: fact.status,
            version: None,
            updated_at: fact.updated_at,
        }
    }
}

/// An assignment as its wearer and the organisers see it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the assignment")]
pub struct AssignmentView {
    pub id: AssignmentId,
    pub judge_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category_id: Option<CategoryId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contest_id: Option<ContestId>,
    pub event_id: EventId,
    pub hat: Hat,
    pub counts: bool,
    pub status: AssignmentStatus,
    pub assigned_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub assigned_at: Micros,
}

impl From<&AssignmentChanged> for AssignmentView {
    fn from(fact: &AssignmentChanged) -> Self {
        Self {
            id: fact.id.clone(),
            judge_id: fact.judge_id.clone(),
            category_id: fact.category_id.clone(),
            contest_id: fact.contest_id.clone(),
            event_id: fact.event_id.clone(),
            hat: fact.hat,
            counts: fact.counts,
            status: fact.status,
            assigned_by: fact.assigned_by.clone(),
            assigned_at: fact.assigned_at,
        }
    }
}

/// A hat was given.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct AssignmentNew(AssignmentView);

impl AssignmentNew {
    /// The view of a given hat.
    #[must_use]
    pub fn of(fact: &AssignmentChanged) -> Self {
        Self(fact.into())
    }
}

/// A hat was taken away.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct AssignmentRemoved(AssignmentView);

impl AssignmentRemoved {
    /// The view of a removed hat.
    #[must_use]
    pub fn of(fact: &AssignmentChanged) -> Self {
        Self(fact.into())
    }
}

/// How far the certification of a category has come.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct CertificationFields {
    /// The id of the category: it has one certification.
    pub id: CategoryId,
    pub category_id: CategoryId,
    pub contest_id: ContestId,
    pub event_id: EventId,
    /// PENDING, IN_PROGRESS, CERTIFIED or REJECTED.
    pub status: &'static str,
    pub stage: Stage,
    pub current_step: u8,
    pub total_steps: u8,
    pub judge_progress: JudgeProgress,
    pub signatures: Vec<SignatureView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tally_hash: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub voided: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub certified_at: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certified_by: Option<UserId>,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Micros,
}

/// A signature under a stage.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct SignatureView {
    pub stage: Stage,
    pub user_id: UserId,
    pub signature_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub at: Micros,
    /// Put in its place by an ADMIN, by the event's leave.
    #[serde(rename = "override", skip_serializing_if = "std::ops::Not::not")]
    pub overridden: bool,
}

/// The words and numbers a stage has on the wire.
fn status_of(stage: Stage, rejected: bool) -> (&'static str, u8) {
    let (status, step) = match stage {
        Stage::Open => ("PENDING", 1),
        Stage::Judged => ("IN_PROGRESS", 2),
        Stage::Tallied => ("IN_PROGRESS", 3),
        Stage::Audited => ("IN_PROGRESS", 4),
        Stage::Certified => ("CERTIFIED", 4),
    };
    (if rejected { "REJECTED" } else { status }, step)
}

impl CertificationFields {
    fn of(fact: &CertificationUpdated) -> Self {
        let (status, current_step) = status_of(fact.stage, fact.rejection_reason.is_some());
        let text = |text: &Text| text.body().map(str::to_owned);
        let signature = |signature: &SignatureFact| SignatureView {
            stage: signature.stage,
            user_id: signature.user_id.clone(),
            signature_name: text(&signature.signature_name),
            at: signature.at,
            overridden: signature.overridden,
        };
        Self {
            id: fact.category_id.clone(),
            category_id: fact.category_id.clone(),
            contest_id: fact.contest_id.clone(),
            event_id: fact.event_id.clone(),
            status,
            stage: fact.stage,
            current_step,
            total_steps: 4,
            judge_progress: fact.judge_progress,
            signatures: fact.signatures.iter().map(signature).collect(),
            tally_hash: fact.tally_hash.clone(),
            voided: fact.voided,
            rejection_reason: fact.rejection_reason.as_ref().and_then(text),
            certified_at: fact.certified_at,
            certified_by: fact.certified_by.clone(),
            updated_at: fact.updated_at,
        }
    }
}

/// A certification as the office sees it, with the hash the next signature binds.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct FullCertification(CertificationFields);

impl FullCertification {
    /// The office's view.
    #[must_use]
    pub fn of(fact: &CertificationUpdated) -> Self {
        Self(CertificationFields::of(fact))
    }
}

/// A certification as everybody else on the category sees it: without the hash, which depends on every mark.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct PlainCertification(CertificationFields);

impl PlainCertification {
    /// Everybody's view.
    #[must_use]
    pub fn of(fact: &CertificationUpdated) -> Self {
        Self(CertificationFields { tally_hash: None, ..CertificationFields::of(fact) })
    }
}

/// What the marks of a category come to; derived, never a fact.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct TallyUpdated(pub serde_json::Value);

/// Something happened in the lane that the reader may not read: only its place is told.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tick;

/// What travels beside a fact: where it stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta<'a> {
    /// The lane.
    pub lane: &'a str,
    /// The place in the lane; dense, so `last + 1` proves that nothing was lost.
    pub seq: i64,
    /// Which history.
    pub epoch: &'a str,
    /// When it was decided.
    pub ts: Micros,
    /// Sent again, from the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<bool>,
    /// The command that led to it; only for its author.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<&'a str>,
}
