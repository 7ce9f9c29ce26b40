//! Views: the only types that reach the wire. Each has the fields its readers may see, and no others.

use super::event::{
    Announced, AnnouncedTo, AssignmentChanged, CertificationUpdated, ContestLocked, DecisionChanged, EntryChanged,
    JudgeProgress, NoticesChanged, Notified, ResultsFrozen, ResultsPublished, ResultsRevealed, RevealedLine,
    ScoreDeleted, ScoreUpdated, SignatureFact, Text, TieResolved,
};
use crate::auth::role::Hat;
use crate::clock::Micros;
use crate::db::entity::assignment::AssignmentStatus;
use crate::db::entity::certification::Stage;
use crate::db::entity::decision::{DecisionKind, DecisionStatus};
use crate::db::entity::mark::MarkStatus;
use crate::db::entity::notification::NoticeLevel;
use crate::db::entity::publication::PublicationState;
use crate::ids::{AssignmentId, CategoryId, ContestId, ContestantId, CriterionId, EventId, MarkId, UserId};
use crate::ranking::{Decimal, Mark};
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
    ReleasedScore => "scores:updated",
    AssignmentNew => "assignment:new",
    AssignmentRemoved => "assignment:removed",
    FullCertification => "certification:updated",
    PlainCertification => "certification:updated",
    FullDeletion => "scores:deleted",
    PlainDeletion => "scores:deleted",
    DeductionPending => "deduction:pending",
    DeductionUpdated => "deduction:updated",
    RemovalPending => "score:removal-pending",
    RemovalUpdated => "score:removal-updated",
    UncertificationUpdated => "uncertification:updated",
    FlagUpdated => "flag:updated",
    ResolvedTie => "tie:resolved",
    FullWithdrawal => "entry:withdrawn",
    PlainWithdrawal => "entry:withdrawn",
    FullReinstatement => "entry:reinstated",
    PlainReinstatement => "entry:reinstated",
    LockedContest => "contest:locked",
    UnlockedContest => "contest:unlocked",
    Notice => "notification",
    NoticesRead => "notification:read",
    NoticesRemoved => "notification:deleted",
    Announcement => "system:announcement",
    PublishedResults => "results:published",
    FrozenResults => "results:frozen",
    ThawedResults => "results:thawed",
    RevealedResults => "results:revealed",
    TallyUpdated => "tally:updated",
    JudgePresence => "judge:presence",
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<UserId>,
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
            confirmed_by: fact.confirmed_by.clone(),
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

/// A mark that was published as official: without the judge's comment, and without who entered it.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ReleasedScore(ScoreFields);

impl ReleasedScore {
    /// Everybody's view of a mark that was published.
    #[must_use]
    pub fn of(fact: &ScoreUpdated) -> Self {
        Self(ScoreFields { comment: None, entered_by: None, confirmed_by: None, ..ScoreFields::of(fact) })
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

/// That a result was published.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the publication")]
pub struct PublishedResults {
    pub category_id: CategoryId,
    pub contest_id: ContestId,
    pub event_id: EventId,
    pub publication_id: String,
    pub revision: i64,
    pub state: PublicationState,
    #[schema(value_type = String, format = DateTime)]
    pub published_at: Micros,
    pub tally_hash: String,
    pub signature: String,
    pub key_id: String,
    /// Where what was signed can be read.
    pub url: String,
}

impl PublishedResults {
    /// Everybody's view.
    #[must_use]
    pub fn of(fact: &ResultsPublished) -> Self {
        Self {
            category_id: fact.category_id.clone(),
            contest_id: fact.contest_id.clone(),
            event_id: fact.event_id.clone(),
            publication_id: fact.publication_id.clone(),
            revision: fact.revision,
            state: fact.state,
            published_at: fact.published_at,
            tally_hash: fact.tally_hash.clone(),
            signature: fact.signature.clone(),
            key_id: fact.key_id.clone(),
            url: format!("/api/v1/publications/{}", fact.publication_id),
        }
    }
}

/// Whether the results of an event are shown as they stand.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct FreezeFields {
    pub event_id: EventId,
    pub frozen: bool,
    #[schema(value_type = String, format = DateTime)]
    pub at: Micros,
}

impl From<&ResultsFrozen> for FreezeFields {
    fn from(fact: &ResultsFrozen) -> Self {
        Self { event_id: fact.event_id.clone(), frozen: fact.frozen, at: fact.at }
    }
}

/// The results of an event are shown no further.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct FrozenResults(FreezeFields);

impl FrozenResults {
    /// Everybody's view.
    #[must_use]
    pub fn of(fact: &ResultsFrozen) -> Self {
        Self(fact.into())
    }
}

/// The results of an event are shown again.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ThawedResults(FreezeFields);

impl ThawedResults {
    /// Everybody's view.
    #[must_use]
    pub fn of(fact: &ResultsFrozen) -> Self {
        Self(fact.into())
    }
}

/// Places of a hidden result, shown one step at a time.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the publication")]
pub struct RevealedResults {
    pub event_id: EventId,
    pub category_id: CategoryId,
    pub publication_id: String,
    pub revision: i64,
    /// What is shown now, and was not before.
    pub lines: Vec<RevealedLine>,
    /// Lines that are still hidden.
    pub left: usize,
    #[schema(value_type = String, format = DateTime)]
    pub at: Micros,
}

impl RevealedResults {
    /// Everybody's view.
    #[must_use]
    pub fn of(fact: &ResultsRevealed) -> Self {
        Self {
            event_id: fact.event_id.clone(),
            category_id: fact.category_id.clone(),
            publication_id: fact.publication_id.clone(),
            revision: fact.revision,
            lines: fact.lines.clone(),
            left: fact.left,
            at: fact.at,
        }
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
    /// `PENDING`, `IN_PROGRESS`, `CERTIFIED` or `REJECTED`.
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
    /// Why it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The words and numbers a stage has on the wire.
fn status_of(stage: Stage, rejected: bool) -> (&'static str, u8) {
    let (status, step) = match stage {
        Stage::Open => ("PENDING", 1),
        Stage::Judged => ("IN_PROGRESS", 2),
        Stage::Tallied => ("IN_PROGRESS", 3),
        Stage::Audited => ("IN_PROGRESS", 4),
        Stage::Certified | Stage::Published => ("CERTIFIED", 4),
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
            reason: signature.reason.as_ref().and_then(text),
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

/// That a mark was taken out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the mark")]
pub struct DeletionFields {
    pub id: MarkId,
    pub category_id: CategoryId,
    pub contestant_id: ContestantId,
    pub judge_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal_id: Option<String>,
    pub deleted_at: Micros,
}

impl DeletionFields {
    fn of(fact: &ScoreDeleted) -> Self {
        Self {
            id: fact.id.clone(),
            category_id: fact.category_id.clone(),
            contestant_id: fact.contestant_id.clone(),
            judge_id: fact.judge_id.clone(),
            reason: fact.reason.body().map(str::to_owned),
            removal_id: Some(fact.removal_id.clone()),
            deleted_at: fact.deleted_at,
        }
    }
}

/// The office's view, with the reason.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct FullDeletion(DeletionFields);

impl FullDeletion {
    /// The office's view.
    #[must_use]
    pub fn of(fact: &ScoreDeleted) -> Self {
        Self(DeletionFields::of(fact))
    }
}

/// The judges' view: that it is gone, not why.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct PlainDeletion(DeletionFields);

impl PlainDeletion {
    /// The judges' view.
    #[must_use]
    pub fn of(fact: &ScoreDeleted) -> Self {
        Self(DeletionFields { reason: None, removal_id: None, ..DeletionFields::of(fact) })
    }
}

/// A decision of several people. Each kind has the fields of its own.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct DecisionFields {
    pub id: String,
    pub category_id: CategoryId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contestant_id: Option<ContestantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_ids: Option<Vec<MarkId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_id: Option<MarkId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub amount: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was answered to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    pub status: String,
    pub requested_by: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Vec<ApprovalView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Vec<ApprovalView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<Hat>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub requested_at: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Micros>,
}

/// An approval of a decision.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct ApprovalView {
    pub hat: Hat,
    pub user_id: UserId,
    pub signature_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub at: Micros,
}

/// The word of a status on the wire: flags speak of themselves in words of their own.
fn status_word(about: DecisionKind, status: DecisionStatus) -> &'static str {
    match (about, status) {
        (DecisionKind::Flag, DecisionStatus::Pending) => "open",
        (DecisionKind::Flag, DecisionStatus::Approved | DecisionStatus::Executed) => "accepted",
        (DecisionKind::Flag, DecisionStatus::Rejected) => "rejected",
        (DecisionKind::Flag, DecisionStatus::Withdrawn) => "withdrawn",
        (_, DecisionStatus::Pending) => "PENDING",
        (_, DecisionStatus::Approved) => "APPROVED",
        (_, DecisionStatus::Executed) => "EXECUTED",
        (_, DecisionStatus::Rejected) => "REJECTED",
        (_, DecisionStatus::Withdrawn) => "WITHDRAWN",
    }
}

impl DecisionFields {
    /// The fields a kind of decision has.
    #[must_use]
    pub fn of(fact: &DecisionChanged) -> Self {
        let text = |text: &Text| text.body().map(str::to_owned);
        let approvals: Vec<ApprovalView> = fact
            .approvals
            .iter()
            .map(|approval| ApprovalView {
                hat: approval.hat,
                user_id: approval.user_id.clone(),
                signature_name: text(&approval.signature_name),
                at: approval.at,
            })
            .collect();
        let (deduction, removal, flag) = (
            fact.about == DecisionKind::Deduction,
            fact.about == DecisionKind::Removal,
            fact.about == DecisionKind::Flag,
        );
        Self {
            id: fact.id.clone(),
            category_id: fact.category_id.clone(),
            contestant_id: fact.contestant_id.clone(),
            judge_id: fact.judge_id.clone().filter(|_| !flag),
            score_ids: removal.then(|| fact.score_ids.clone()),
            score_id: fact.score_ids.first().cloned().filter(|_| flag),
            amount: fact.amount.clone(),
            reason: text(&fact.reason).filter(|_| !flag),
            text: text(&fact.reason).filter(|_| flag),
            answer: fact.answer.as_ref().and_then(text),
            status: status_word(fact.about, fact.status).to_owned(),
            requested_by: fact.requested_by.clone(),
            approvals: (!removal && !flag).then(|| approvals.clone()),
            signatures: removal.then_some(approvals),
            missing: (!flag).then(|| fact.missing.clone()),
            created_at: (deduction || flag).then_some(fact.requested_at),
            requested_at: (!deduction && !flag).then_some(fact.requested_at),
            decided_at: fact.decided_at,
        }
    }
}

macro_rules! decision_views {
    ($($name:ident: $doc:literal),* $(,)?) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Debug, Serialize)]
            #[serde(transparent)]
            pub struct $name(Box<DecisionFields>);

            impl $name {
                /// The view of a decision.
                #[must_use]
                pub fn of(fact: &DecisionChanged) -> Self {
                    Self(Box::new(DecisionFields::of(fact)))
                }
            }
        )*
    };
}

decision_views!(
    DeductionPending: "A deduction was asked for.",
    DeductionUpdated: "A deduction moved on.",
    RemovalPending: "A removal of marks was asked for.",
    RemovalUpdated: "A removal moved on.",
    UncertificationUpdated: "An uncertification was asked for or moved on.",
    FlagUpdated: "A flag was raised or resolved.",
);

/// How a tie was decided by hand.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct TieFields {
    pub category_id: CategoryId,
    /// Who shared the rank, best first.
    pub order: Vec<ContestantId>,
    pub reason: Option<String>,
    pub by: UserId,
    #[schema(value_type = String, format = DateTime)]
    pub at: Micros,
}

impl TieFields {
    /// What the office is told of a tie.
    #[must_use]
    pub fn of(fact: &TieResolved) -> Self {
        Self {
            category_id: fact.category_id.clone(),
            order: fact.order.clone(),
            reason: fact.reason.body().map(str::to_owned),
            by: fact.by.clone(),
            at: fact.at,
        }
    }
}

/// A tie was decided by hand.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ResolvedTie(TieFields);

impl ResolvedTie {
    /// The office's view.
    #[must_use]
    pub fn of(fact: &TieResolved) -> Self {
        Self(TieFields::of(fact))
    }
}

/// That a contestant is out of a category, or in it again.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct EntryFields {
    pub category_id: CategoryId,
    pub contestant_id: ContestantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub by: UserId,
    pub at: Micros,
}

impl EntryFields {
    fn of(fact: &EntryChanged) -> Self {
        Self {
            category_id: fact.category_id.clone(),
            contestant_id: fact.contestant_id.clone(),
            reason: fact.reason.body().map(str::to_owned),
            by: fact.by.clone(),
            at: fact.at,
        }
    }

    fn without_reason(fact: &EntryChanged) -> Self {
        Self { reason: None, ..Self::of(fact) }
    }
}

macro_rules! entry_views {
    ($($name:ident = $fields:ident: $doc:literal),* $(,)?) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Debug, Serialize)]
            #[serde(transparent)]
            pub struct $name(EntryFields);

            impl $name {
                /// The view of an entry that changed.
                #[must_use]
                pub fn of(fact: &EntryChanged) -> Self {
                    Self(EntryFields::$fields(fact))
                }
            }
        )*
    };
}

entry_views!(
    FullWithdrawal = of: "A withdrawal as the office sees it, with its reason.",
    PlainWithdrawal = without_reason: "A withdrawal as everybody else on the category sees it.",
    FullReinstatement = of: "A withdrawal taken back as the office sees it, with the reason.",
    PlainReinstatement = without_reason: "A withdrawal taken back as everybody else on the category sees it.",
);

/// Whether a contest is locked.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct LockFields {
    pub contest_id: ContestId,
    pub event_id: EventId,
    pub locked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub locked_at: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_by: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl LockFields {
    /// What is told of a lock.
    #[must_use]
    pub fn of(fact: &ContestLocked) -> Self {
        Self {
            contest_id: fact.contest_id.clone(),
            event_id: fact.event_id.clone(),
            locked: fact.locked,
            locked_at: fact.locked.then_some(fact.at),
            locked_by: fact.locked.then(|| fact.by.clone()),
            reason: fact.reason.as_ref().and_then(|text| text.body().map(str::to_owned)),
        }
    }
}

/// A contest was locked.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct LockedContest(LockFields);

impl LockedContest {
    /// What everybody on the event is told.
    #[must_use]
    pub fn of(fact: &ContestLocked) -> Self {
        Self(LockFields::of(fact))
    }
}

/// A contest was unlocked.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct UnlockedContest(LockFields);

impl UnlockedContest {
    /// What everybody on the event is told.
    #[must_use]
    pub fn of(fact: &ContestLocked) -> Self {
        Self(LockFields::of(fact))
    }
}

/// A notice to a user.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct Notice {
    pub id: String,
    #[serde(rename = "type")]
    pub level: NoticeLevel,
    pub title: String,
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category_id: Option<CategoryId>,
    pub read: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Micros,
}

impl Notice {
    /// A notice as it was given.
    #[must_use]
    pub fn of(fact: &Notified) -> Self {
        Self {
            id: fact.id.clone(),
            level: fact.level,
            title: fact.title.clone(),
            message: fact.message.body().map(str::to_owned),
            link: fact.category_id.as_ref().map(|category| format!("/categories/{category}")),
            category_id: fact.category_id.clone(),
            read: false,
            created_at: fact.created_at,
        }
    }
}

/// Which notices: one, or all.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Which {
    /// One.
    One {
        /// Its id.
        id: String,
    },
    /// All of them.
    All {
        /// Always true.
        all: bool,
    },
}

impl Which {
    fn of(fact: &NoticesChanged) -> Self {
        fact.id.as_ref().map_or(Self::All { all: true }, |id| Self::One { id: id.clone() })
    }
}

/// Notices were read.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct NoticesRead(Which);

impl NoticesRead {
    /// Which were read.
    #[must_use]
    pub fn of(fact: &NoticesChanged) -> Self {
        Self(Which::of(fact))
    }
}

/// Notices were removed.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct NoticesRemoved(Which);

impl NoticesRemoved {
    /// Which were removed.
    #[must_use]
    pub fn of(fact: &NoticesChanged) -> Self {
        Self(Which::of(fact))
    }
}

/// An announcement.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct Announcement {
    pub id: String,
    pub message: Option<String>,
    #[serde(rename = "type")]
    pub level: NoticeLevel,
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Micros,
    pub audience: AnnouncedTo,
}

impl Announcement {
    /// What is announced.
    #[must_use]
    pub fn of(fact: &Announced) -> Self {
        Self {
            id: fact.id.clone(),
            message: fact.message.body().map(str::to_owned),
            level: fact.level,
            timestamp: fact.at,
            audience: fact.audience.clone(),
        }
    }
}

/// What the marks of a category come to; derived, never a fact.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct TallyUpdated(pub serde_json::Value);

/// Whether a judge is there, and what their tablets have not sent yet; derived, never a fact.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct JudgePresence {
    pub judge_id: UserId,
    /// The category this is told the office of.
    pub category_id: CategoryId,
    pub online: bool,
    /// The last sign of life; none since the server started.
    pub last_seen: Option<Micros>,
    pub unsent: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_unsent_at: Option<Micros>,
}

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
