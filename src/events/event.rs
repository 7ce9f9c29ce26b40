//! The vocabulary of the log, in the past tense.
//!
//! Invariant: a new variant does not compile until it says which lane it belongs to, who is shown what of it, and what
//! another node must reload to know it.

use super::audience::{Author, Delivery, HeadJudges, Members, Office, Panel, Person, variant_for};
use super::log::commitment;
use super::room::{Lane, Room};
use super::view::{
    Announcement, AnyView, AssignmentNew, AssignmentRemoved, DeductionPending, DeductionUpdated, FlagUpdated,
    FrozenResults, FullCertification, FullDeletion, FullReinstatement, FullScore, FullWithdrawal, LockedContest,
    MaskedScore, Notice, NoticesRead, NoticesRemoved, OwnScore, PlainCertification, PlainDeletion, PlainReinstatement,
    PlainWithdrawal, PublishedResults, ReleasedScore, RemovalPending, RemovalUpdated, ResolvedTie, RevealedResults,
    ThawedResults, Tick, UncertificationUpdated, UnlockedContest,
};
use crate::auth::role::{Hat, Role};
use crate::clock::Micros;
use crate::db::entity::assignment::AssignmentStatus;
use crate::db::entity::cassette::Audience;
use crate::db::entity::category::JudgeVisibility;
use crate::db::entity::certification::Stage;
use crate::db::entity::decision::{DecisionKind, DecisionStatus};
use crate::db::entity::event::EventStatus;
use crate::db::entity::mark::MarkStatus;
use crate::db::entity::notification::NoticeLevel;
use crate::db::entity::publication::PublicationState;
use crate::db::entity::race::RacePhase;
use crate::db::entity::race_report::Irm;
use crate::ids::{
    AssignmentId, CategoryId, ContestId, ContestantId, CriterionId, EventId, MarkId, RaceId, SessionId, UserId,
};
use crate::ranking::{Decimal, Mark};
use crate::state::State;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;

/// Free text of a fact: the log holds its salted commitment, a row beside it the text, so that it can be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The text, and the salt of its commitment.
    Known {
        /// What was written.
        body: String,
        /// 16 random bytes, hex.
        salt: String,
    },
    /// Only the commitment is left.
    Erased(String),
}

impl Text {
    /// A text that is shown and not logged, so it needs no salt.
    #[must_use]
    pub fn unlogged(body: &str) -> Self {
        Self::Known { body: body.to_owned(), salt: String::new() }
    }

    /// The text, unless it was erased.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        match self {
            Self::Known { body, .. } => Some(body),
            Self::Erased(_) => None,
        }
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known { body, salt } => out.serialize_str(&commitment(salt, body)),
            Self::Erased(commitment) => out.serialize_str(commitment),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input).map(Self::Erased)
    }
}

/// A judge's mark as it stood after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreUpdated {
    /// The mark.
    pub id: MarkId,
    /// Where it belongs.
    pub category_id: CategoryId,
    /// The contest of the category.
    pub contest_id: ContestId,
    /// The event of the category.
    pub event_id: EventId,
    /// Who was marked.
    pub contestant_id: ContestantId,
    /// Who marked.
    pub judge_id: UserId,
    /// What was marked.
    pub criterion_id: CriterionId,
    /// The mark, in thousandths.
    pub score: Mark,
    /// The judge's comment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comment: Option<Text>,
    /// How far it has come.
    pub status: MarkStatus,
    /// 1 for a new mark, one more with each change.
    pub version: i64,
    /// Who entered it, when it was not the judge.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entered_by: Option<UserId>,
    /// Who confirmed it then; until somebody does, it does not count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confirmed_by: Option<UserId>,
    /// When the judge made it, if that was not when it came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub made_at: Option<Micros>,
    /// What fellow judges learn of it.
    pub visibility: JudgeVisibility,
    /// First given.
    pub created_at: Micros,
    /// Last changed.
    pub updated_at: Micros,
}

/// A hat given or taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentChanged {
    /// The assignment.
    pub id: AssignmentId,
    /// Who wears the hat; called the judge by the founding document, whatever the hat.
    pub judge_id: UserId,
    /// The hat.
    pub hat: Hat,
    /// The event it is on or below.
    pub event_id: EventId,
    /// The contest it is on or below.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub contest_id: Option<ContestId>,
    /// The category it is on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub category_id: Option<CategoryId>,
    /// Whether the marks of this judge enter the tally.
    pub counts: bool,
    /// Whether the hat is worn.
    pub status: AssignmentStatus,
    /// Who gave it.
    pub assigned_by: String,
    /// When.
    pub assigned_at: Micros,
}

/// A user was made, changed, switched off or on, or all their sessions were ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserChanged {
    /// Who.
    pub user_id: UserId,
}

/// A session was opened, its refresh token rotated, or it was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionChanged {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub session_id: SessionId,
    /// Whether it has ended.
    pub ended: bool,
}

/// The set-up of an event changed: what it holds, its rules, its entries, its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupChanged {
    /// Which.
    pub event_id: EventId,
}

/// Contestants were made, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContestantsChanged {
    /// Which.
    pub contestant_ids: Vec<ContestantId>,
}

/// A signature under a stage of a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFact {
    /// The stage that was reached by it.
    pub stage: Stage,
    /// Who signed.
    pub user_id: UserId,
    /// The name they signed with.
    pub signature_name: Text,
    /// When.
    pub at: Micros,
    /// Put in its place by an ADMIN, by the event's leave.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub overridden: bool,
    /// Why it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Text>,
}

/// How many judges have done how much. Counts only: nothing of what was marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct JudgeProgress {
    /// Counting judges with an active hat.
    pub judges: usize,
    /// Those of them who have signed FINAL.
    pub finals: usize,
    /// Sheets certified.
    pub sheets: usize,
    /// Sheets there will be.
    #[serde(alias = "expectedSheets")]
    pub expected_sheets: usize,
}

/// The certification of a category moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificationUpdated {
    /// Which.
    pub category_id: CategoryId,
    /// Its contest.
    pub contest_id: ContestId,
    /// Its event.
    pub event_id: EventId,
    /// How far it is.
    pub stage: Stage,
    /// How far its judges are.
    pub judge_progress: JudgeProgress,
    /// The signatures that stand.
    pub signatures: Vec<SignatureFact>,
    /// What the next signature binds, once every judge is done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tally_hash: Option<String>,
    /// Signatures were given that no longer stand.
    pub voided: bool,
    /// Whose signatures have just been voided; told to nobody, it is for their notices.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub voided_signers: Vec<UserId>,
    /// Why it was sent back, until the next signature.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rejection_reason: Option<Text>,
    /// When the board signed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certified_at: Option<Micros>,
    /// Who signed for the board.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certified_by: Option<UserId>,
    /// When it moved.
    pub updated_at: Micros,
}

/// A mark was taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreDeleted {
    /// The mark.
    pub id: MarkId,
    /// Where it stood.
    pub category_id: CategoryId,
    /// Who was marked.
    pub contestant_id: ContestantId,
    /// Who marked.
    pub judge_id: UserId,
    /// Why; for the office only.
    pub reason: Text,
    /// The removal that was executed.
    pub removal_id: String,
    /// What fellow judges learn of it.
    pub visibility: JudgeVisibility,
    /// When.
    pub deleted_at: Micros,
}

/// An approval of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalFact {
    /// Under which hat.
    pub hat: Hat,
    /// Who.
    pub user_id: UserId,
    /// The name they signed with.
    pub signature_name: Text,
    /// When.
    pub at: Micros,
}

/// A decision of several people was asked for, moved on, or was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionChanged {
    /// Which.
    pub id: String,
    /// What is decided.
    pub about: DecisionKind,
    /// It was only just asked for.
    pub fresh: bool,
    /// The category.
    pub category_id: CategoryId,
    /// Who is concerned among the contestants.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub contestant_id: Option<ContestantId>,
    /// Who is concerned among the judges.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judge_id: Option<UserId>,
    /// Which marks.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub score_ids: Vec<MarkId>,
    /// Points off, exact decimal text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub amount: Option<Decimal>,
    /// Why, or what is to be looked at.
    pub reason: Text,
    /// What was answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<Text>,
    /// How it stands.
    pub status: DecisionStatus,
    /// Who has approved.
    pub approvals: Vec<ApprovalFact>,
    /// Whose approval is missing.
    pub missing: Vec<Hat>,
    /// Who asked.
    pub requested_by: UserId,
    /// When.
    pub requested_at: Micros,
    /// When it was taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decided_at: Option<Micros>,
}

/// The tally master put those who shared a rank in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieResolved {
    /// The category.
    pub category_id: CategoryId,
    /// Who shared it, best first.
    pub order: Vec<ContestantId>,
    /// Why so.
    pub reason: Text,
    /// By whom.
    pub by: UserId,
    /// When.
    pub at: Micros,
}

/// A contestant was taken out of a category, or is in it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryChanged {
    /// The category.
    pub category_id: CategoryId,
    /// Its event.
    pub event_id: EventId,
    /// Who.
    pub contestant_id: ContestantId,
    /// Whether they are out now.
    pub withdrawn: bool,
    /// Why; for the office only.
    pub reason: Text,
    /// By whom.
    pub by: UserId,
    /// When.
    pub at: Micros,
}

/// A contest was locked or unlocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContestLocked {
    /// Which.
    pub contest_id: ContestId,
    /// Its event.
    pub event_id: EventId,
    /// Whether it is locked now.
    pub locked: bool,
    /// By whom, or by whom it was opened.
    pub by: UserId,
    /// When.
    pub at: Micros,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Text>,
}

/// A user was given a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// The notice.
    pub id: String,
    /// To whom.
    pub user_id: UserId,
    /// How it is meant.
    pub level: NoticeLevel,
    /// In a word.
    pub title: String,
    /// What it says.
    pub message: Text,
    /// The category it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub category_id: Option<CategoryId>,
    /// When.
    pub created_at: Micros,
}

/// A user has read or removed notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticesChanged {
    /// Whose.
    pub user_id: UserId,
    /// Which; all of them where none is named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// Removed, not only read.
    pub removed: bool,
}

/// Something is announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The announcement.
    pub id: String,
    /// To whom: everyone, the staff or the public of an event, or, one fact each, the users of a role.
    pub audience: AnnouncedTo,
    /// The user it is told, where it is told a role.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_id: Option<UserId>,
    /// How it is meant.
    pub level: NoticeLevel,
    /// What it says.
    pub message: Text,
    /// When.
    pub at: Micros,
}

/// To whom something is announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnnouncedTo {
    /// Everyone who is signed in.
    Everyone,
    /// The users of a role.
    Role(Role),
    /// The staff of an event.
    Event(EventId),
    /// The public of an event.
    Public(EventId),
}

/// The result of a category was published. Staff and public learn of it by a fact each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultsPublished {
    /// Which category.
    pub category_id: CategoryId,
    /// Its contest.
    pub contest_id: ContestId,
    /// Its event.
    pub event_id: EventId,
    /// The publication.
    pub publication_id: String,
    /// 1 for the first of the category.
    pub revision: i64,
    /// How much it is worth.
    pub state: PublicationState,
    /// When.
    pub published_at: Micros,
    /// The tally that was published.
    pub tally_hash: String,
    /// The signature under it, base64url.
    pub signature: String,
    /// The key that signed.
    pub key_id: String,
    /// The fact for the public.
    pub public: bool,
}

/// The results of an event were frozen for the public, or shown again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultsFrozen {
    /// Which event.
    pub event_id: EventId,
    /// Whether they are frozen now.
    pub frozen: bool,
    /// When.
    pub at: Micros,
    /// The fact for the public.
    pub public: bool,
}

/// A line of a result that is shown before the rest of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct RevealedLine {
    /// The place.
    pub rank: u32,
    /// Whose.
    #[serde(alias = "contestantId")]
    pub contestant_id: ContestantId,
    /// Exact decimal.
    #[schema(value_type = Option<f64>)]
    pub total: Option<Decimal>,
}

/// Places of a hidden result were shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultsRevealed {
    /// Which event.
    pub event_id: EventId,
    /// Which category.
    pub category_id: CategoryId,
    /// Which publication.
    pub publication_id: String,
    /// Its revision.
    pub revision: i64,
    /// What is shown now, and was not before.
    pub lines: Vec<RevealedLine>,
    /// Lines that are still hidden.
    pub left: usize,
    /// When.
    pub at: Micros,
    /// The fact for the public.
    pub public: bool,
}

/// What the public sees of an event changed otherwise than by results: what it is called, its races, its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicChanged {
    /// Which.
    pub event_id: EventId,
    /// Where it stands now, if it stood elsewhere.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<EventStatus>,
    /// More than that may have changed.
    pub whole: bool,
    /// Races that stand elsewhere now.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub races: Vec<RaceMoved>,
    /// Who has another result now; not said where very many have.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub finals: Vec<RaceFinal>,
    /// Start lists and results that are another now.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lists: Vec<RaceLists>,
    /// Races whose lists are another and found no room here.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<RaceId>,
}

impl PublicChanged {
    /// More than the status may have changed.
    #[must_use]
    pub fn whole(event: &EventId) -> Self {
        Self {
            event_id: event.clone(),
            status: None,
            whole: true,
            races: Vec::new(),
            finals: Vec::new(),
            lists: Vec::new(),
            left_out: Vec::new(),
        }
    }
}

/// What is another now in the lists of a race. What is gone goes before what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaceLists {
    /// The race.
    pub race_id: RaceId,
    /// Lines of its results.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lines: Vec<ResultLine>,
    /// The bibs of lines that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub removed: Vec<Option<i64>>,
    /// Everybody who starts, if that is another list now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub starters: Option<Vec<StarterLine>>,
    /// Everybody on its ergometers, when a draft is opened: what was measured before that was told to nobody.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub indoor: Vec<IndoorLine>,
}

/// Somebody on a start list. Names are not in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of the list")]
pub struct StarterLine {
    pub participant_id: String,
    pub bib: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start_order: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lane: Option<i64>,
}

/// A race stands elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaceMoved {
    /// Which.
    pub race_id: RaceId,
    /// Where.
    pub phase: RacePhase,
}

/// The status of a race was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaceStatusChanged {
    /// The event.
    pub event_id: EventId,
    /// The race.
    pub race_id: RaceId,
    /// Where it stands.
    pub phase: RacePhase,
}

/// Somebody's own result in a race; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaceFinal {
    /// The race.
    pub race_id: RaceId,
    /// Who.
    pub participant_id: String,
    /// The result.
    pub total_ms: Option<i64>,
    /// Behind whom leads.
    pub behind_ms: Option<i64>,
}

/// A line of a race's results, as it stands now; times in milliseconds. Names are not in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of the result")]
pub struct ResultLine {
    pub participant_id: String,
    pub bib: Option<i64>,
    pub rank: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub category_rank: Option<i64>,
    pub time_ms: Option<i64>,
    pub pen_ms: Option<i64>,
    pub total_ms: Option<i64>,
    pub behind_ms: Option<i64>,
    pub status: Option<Irm>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gates: Option<Vec<Option<i64>>>,
}

/// Results of a race changed: every line that is another now, be it by its place alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultsChanged {
    /// The event.
    pub event_id: EventId,
    /// The race.
    pub race_id: RaceId,
    /// The lines.
    pub lines: Vec<ResultLine>,
    /// The bibs of lines that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub removed: Vec<Option<i64>>,
    /// Whose own result it was that changed.
    pub finished: Vec<String>,
}

/// Somebody passed a timing point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of the split")]
pub struct SplitLine {
    pub participant_id: String,
    pub timing_point_id: String,
    pub label: String,
    pub distance_m: i64,
    pub time_ms: i64,
    /// Behind whom was fastest there so far; none for the first.
    pub relative_ms: Option<i64>,
    pub order_index: i64,
}

/// Timing points were passed in a race.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitsPassed {
    /// The event.
    pub event_id: EventId,
    /// The race.
    pub race_id: RaceId,
    /// By whom, when.
    pub splits: Vec<SplitLine>,
}

/// What a bet on a horse pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddsLine {
    /// The horse.
    pub horse_id: i64,
    /// Decimal odds, in thousandths.
    pub odds: Mark,
}

/// The odds of a race changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddsChanged {
    /// The event.
    pub event_id: EventId,
    /// The race.
    pub race_id: RaceId,
    /// Those that were sent.
    pub odds: Vec<OddsLine>,
}

/// Results of a race on ergometers came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndoorImported {
    /// The event.
    pub event_id: EventId,
    /// The race.
    pub race_id: RaceId,
    /// Those with a result.
    pub participants_count: usize,
    /// Those of them who are crews of ours.
    pub linked_crews_count: usize,
    /// Where the race stands.
    pub phase: RacePhase,
    /// Those who are another now, where they are too many to be told one by one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lines: Vec<IndoorLine>,
}

/// Somebody on an ergometer, as far as anyone is shown it. Names are not in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of the result")]
pub struct IndoorLine {
    pub id: String,
    pub ergrace_id: String,
    pub place: Option<i64>,
    pub time_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Irm>,
    pub time: String,
    pub distance: i64,
    pub avg_pace: String,
    pub spm: i64,
    pub calories: i64,
}

/// The result of somebody on an ergometer changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndoorUpdated {
    /// The event.
    pub event_id: EventId,
    /// The race.
    pub race_id: RaceId,
    /// Who.
    pub participant_id: String,
    /// What it is now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<Box<IndoorLine>>,
}

/// A race on ergometers is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndoorCompleted {
    /// The event.
    pub event_id: EventId,
    /// The race.
    pub race_id: RaceId,
    /// Those who took part.
    pub total_participants: usize,
    /// Where the race stands.
    pub phase: RacePhase,
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CassetteChange {
    /// There is one more.
    Created,
    /// It says something else of itself, or has come further.
    Updated,
    /// It is gone.
    Deleted,
}

/// A recording was made, changed or removed. What is in it is not in the log a second time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CassetteChanged {
    /// Which.
    pub name: String,
    /// What became of it.
    pub change: CassetteChange,
    /// For whom it was, and in which seat, so that only those are told that it is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gone: Option<CassetteGone>,
}

/// What is known of a recording that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of the row")]
pub struct CassetteGone {
    pub audience: Audience,
    pub owner: String,
    pub seat: Option<String>,
    pub source: Option<String>,
    pub empty: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A mark was given or changed.
    ScoreUpdated(ScoreUpdated),
    /// A hat was given.
    AssignmentNew(AssignmentChanged),
    /// A hat was taken away.
    AssignmentRemoved(AssignmentChanged),
    /// A user changed.
    UserChanged(UserChanged),
    /// A session changed.
    SessionChanged(SessionChanged),
    /// An event's set-up changed.
    SetupChanged(SetupChanged),
    /// Contestants changed.
    ContestantsChanged(ContestantsChanged),
    /// The certification of a category moved.
    CertificationUpdated(CertificationUpdated),
    /// A mark was taken out.
    ScoreDeleted(ScoreDeleted),
    /// A decision of several people moved.
    DecisionChanged(DecisionChanged),
    /// A tie was decided by hand.
    TieResolved(TieResolved),
    /// A contestant withdrew, or is in again.
    EntryChanged(EntryChanged),
    /// A contest was locked or unlocked.
    ContestLocked(ContestLocked),
    /// A user was given a notice.
    Notified(Notified),
    /// A user has read or removed notices.
    NoticesChanged(NoticesChanged),
    /// Something is announced.
    Announced(Announced),
    /// A result was published.
    ResultsPublished(ResultsPublished),
    /// The public view was frozen or thawed.
    ResultsFrozen(ResultsFrozen),
    /// Places of a hidden result were shown.
    ResultsRevealed(ResultsRevealed),
    /// What the public sees of an event changed.
    PublicChanged(PublicChanged),
    /// The status of a race was set.
    RaceStatusChanged(RaceStatusChanged),
    /// Results of a race changed.
    ResultsChanged(ResultsChanged),
    /// Timing points were passed.
    SplitsPassed(SplitsPassed),
    /// The odds of a race changed.
    OddsChanged(OddsChanged),
    /// Results of ergometers came.
    IndoorImported(IndoorImported),
    /// The result of somebody on an ergometer changed.
    IndoorUpdated(IndoorUpdated),
    /// A race on ergometers is complete.
    IndoorCompleted(IndoorCompleted),
    /// A recording was made, changed or removed.
    CassetteChanged(CassetteChanged),
}

/// What a node that did not decide a fact itself has to read again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The marks of a category.
    Marks(CategoryId),
    /// A user with their assignments and sessions.
    User(UserId),
    /// An event with all below it.
    Event(EventId),
    /// A race with its results.
    Race(RaceId),
    /// A recording.
    Cassette(String),
    /// All contestants.
    Contestants,
    /// Nothing: it is told and not kept.
    Nothing,
}

/// The lane of an event for its staff, or for the public.
fn event_lane(event: &EventId, public: bool) -> Lane {
    if public { Lane::Public(event.clone()) } else { Lane::Event(event.clone()) }
}

/// Whose sockets have to be asked whether they still belong where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves<'a> {
    /// No one's.
    Nobody,
    /// Those of a user.
    User(&'a UserId),
    /// Those of everyone with a hat on or below an event.
    Event(&'a EventId),
}

impl DecisionChanged {
    /// The office sees every decision; beside it those it concerns.
    fn deliveries(&self) -> Vec<Delivery> {
        let office = Office(&self.category_id);
        // The panel before the office: whoever is in both is served as the panel is.
        let panel = || Delivery::of(&Panel(&self.category_id), Tick);
        let (asker, heads) = (Person(&self.requested_by), HeadJudges(&self.category_id));
        match (self.about, self.fresh) {
            (DecisionKind::Deduction, true) => vec![
                Delivery::of(&asker, DeductionPending::of(self)),
                Delivery::of(&heads, DeductionPending::of(self)),
                panel(),
                Delivery::of(&office, DeductionPending::of(self)),
            ],
            (DecisionKind::Deduction, false) => vec![
                Delivery::of(&asker, DeductionUpdated::of(self)),
                Delivery::of(&heads, DeductionUpdated::of(self)),
                panel(),
                Delivery::of(&office, DeductionUpdated::of(self)),
            ],
            (DecisionKind::Removal, true) => vec![panel(), Delivery::of(&office, RemovalPending::of(self))],
            (DecisionKind::Removal, false) => vec![panel(), Delivery::of(&office, RemovalUpdated::of(self))],
            (DecisionKind::Uncertification, _) => {
                let mut deliveries = self.to_judge(|judge| Delivery::of(&judge, UncertificationUpdated::of(self)));
                deliveries.extend([panel(), Delivery::of(&office, UncertificationUpdated::of(self))]);
                deliveries
            }
            (DecisionKind::Flag, _) => {
                let mut deliveries = self.to_judge(|judge| Delivery::of(&judge, FlagUpdated::of(self)));
                // Who raised it may take it back, so they have to find it again.
                deliveries.extend([
                    Delivery::of(&asker, FlagUpdated::of(self)),
                    panel(),
                    Delivery::of(&office, FlagUpdated::of(self)),
                ]);
                deliveries
            }
        }
    }

    fn to_judge<'a>(&'a self, to: impl Fn(Person<'a>) -> Delivery) -> Vec<Delivery> {
        self.judge_id.iter().map(|judge| to(Person(judge))).collect()
    }
}

impl EntryChanged {
    /// Everybody on the category learns who is in it; why, the office alone.
    fn deliveries(&self) -> Vec<Delivery> {
        let (panel, office) = (Panel(&self.category_id), Office(&self.category_id));
        let lane = Lane::Category(self.category_id.clone());
        // The panel first: whoever is in it and in the office too is served here, and left out there.
        if self.withdrawn {
            vec![
                Delivery::of(&panel, PlainWithdrawal::of(self)),
                Delivery::of(&office, FullWithdrawal::of(self)),
                Delivery::of(&Members(&lane), PlainWithdrawal::of(self)),
            ]
        } else {
            vec![
                Delivery::of(&panel, PlainReinstatement::of(self)),
                Delivery::of(&office, FullReinstatement::of(self)),
                Delivery::of(&Members(&lane), PlainReinstatement::of(self)),
            ]
        }
    }
}

impl Event {
    /// Its name in the log.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ScoreUpdated(_) => "score_updated",
            Self::AssignmentNew(_) => "assignment_new",
            Self::AssignmentRemoved(_) => "assignment_removed",
            Self::UserChanged(_) => "user_changed",
            Self::SessionChanged(_) => "session_changed",
            Self::SetupChanged(_) => "setup_changed",
            Self::ContestantsChanged(_) => "contestants_changed",
            Self::CertificationUpdated(_) => "certification_updated",
            Self::ScoreDeleted(_) => "score_deleted",
            Self::DecisionChanged(_) => "decision_changed",
            Self::TieResolved(_) => "tie_resolved",
            Self::EntryChanged(_) => "entry_changed",
            Self::ContestLocked(_) => "contest_locked",
            Self::Notified(_) => "notified",
            Self::NoticesChanged(_) => "notices_changed",
            Self::Announced(_) => "announced",
            Self::ResultsPublished(_) => "results_published",
            Self::ResultsFrozen(_) => "results_frozen",
            Self::ResultsRevealed(_) => "results_revealed",
            Self::PublicChanged(_) => "public_changed",
            Self::RaceStatusChanged(_) => "race_status_changed",
            Self::ResultsChanged(_) => "results_changed",
            Self::SplitsPassed(_) => "splits_passed",
            Self::OddsChanged(_) => "odds_changed",
            Self::IndoorImported(_) => "indoor_imported",
            Self::IndoorUpdated(_) => "indoor_updated",
            Self::IndoorCompleted(_) => "indoor_completed",
            Self::CassetteChanged(_) => "cassette_changed",
        }
    }

    /// The lane it belongs to.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::ScoreUpdated(fact) => Lane::Category(fact.category_id.clone()),
            Self::AssignmentNew(fact) | Self::AssignmentRemoved(fact) => Lane::User(fact.judge_id.clone()),
            Self::UserChanged(fact) => Lane::User(fact.user_id.clone()),
            Self::SessionChanged(fact) => Lane::User(fact.user_id.clone()),
            Self::SetupChanged(fact) => Lane::Event(fact.event_id.clone()),
            Self::ContestantsChanged(_) | Self::CassetteChanged(_) => Lane::System,
            Self::CertificationUpdated(fact) => Lane::Category(fact.category_id.clone()),
            Self::ScoreDeleted(fact) => Lane::Category(fact.category_id.clone()),
            Self::DecisionChanged(fact) => Lane::Category(fact.category_id.clone()),
            Self::TieResolved(fact) => Lane::Category(fact.category_id.clone()),
            Self::EntryChanged(fact) => Lane::Category(fact.category_id.clone()),
            Self::ContestLocked(fact) => Lane::Event(fact.event_id.clone()),
            Self::Notified(fact) => Lane::User(fact.user_id.clone()),
            Self::NoticesChanged(fact) => Lane::User(fact.user_id.clone()),
            Self::Announced(fact) => match (&fact.user_id, &fact.audience) {
                (Some(user), _) => Lane::User(user.clone()),
                (None, AnnouncedTo::Event(event)) => Lane::Event(event.clone()),
                (None, AnnouncedTo::Public(event)) => Lane::Public(event.clone()),
                (None, AnnouncedTo::Everyone | AnnouncedTo::Role(_)) => Lane::System,
            },
            Self::ResultsPublished(fact) => event_lane(&fact.event_id, fact.public),
            Self::ResultsFrozen(fact) => event_lane(&fact.event_id, fact.public),
            Self::ResultsRevealed(fact) => event_lane(&fact.event_id, fact.public),
            Self::PublicChanged(fact) => Lane::Public(fact.event_id.clone()),
            Self::RaceStatusChanged(fact) => Lane::Public(fact.event_id.clone()),
            Self::ResultsChanged(fact) => Lane::Public(fact.event_id.clone()),
            Self::SplitsPassed(fact) => Lane::Public(fact.event_id.clone()),
            Self::OddsChanged(fact) => Lane::Public(fact.event_id.clone()),
            Self::IndoorImported(fact) => Lane::Public(fact.event_id.clone()),
            Self::IndoorUpdated(fact) => Lane::Public(fact.event_id.clone()),
            Self::IndoorCompleted(fact) => Lane::Public(fact.event_id.clone()),
        }
    }

    /// What another node must read again to know it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::ScoreUpdated(fact) => Scope::Marks(fact.category_id.clone()),
            Self::AssignmentNew(fact) | Self::AssignmentRemoved(fact) => Scope::User(fact.judge_id.clone()),
            Self::UserChanged(fact) => Scope::User(fact.user_id.clone()),
            Self::SessionChanged(fact) => Scope::User(fact.user_id.clone()),
            Self::SetupChanged(fact) => Scope::Event(fact.event_id.clone()),
            Self::ContestantsChanged(_) => Scope::Contestants,
            Self::CertificationUpdated(fact) => Scope::Marks(fact.category_id.clone()),
            Self::ScoreDeleted(fact) => Scope::Marks(fact.category_id.clone()),
            Self::DecisionChanged(fact) => Scope::Marks(fact.category_id.clone()),
            Self::TieResolved(fact) => Scope::Marks(fact.category_id.clone()),
            Self::EntryChanged(fact) => Scope::Event(fact.event_id.clone()),
            Self::ContestLocked(fact) => Scope::Event(fact.event_id.clone()),
            Self::Notified(fact) => Scope::User(fact.user_id.clone()),
            Self::NoticesChanged(fact) => Scope::User(fact.user_id.clone()),
            Self::Announced(_) | Self::OddsChanged(_) => Scope::Nothing,
            Self::ResultsPublished(fact) => Scope::Marks(fact.category_id.clone()),
            Self::ResultsFrozen(fact) => Scope::Event(fact.event_id.clone()),
            Self::ResultsRevealed(fact) => Scope::Marks(fact.category_id.clone()),
            Self::PublicChanged(fact) => Scope::Event(fact.event_id.clone()),
            // A race may have come with it.
            Self::IndoorImported(fact) => Scope::Event(fact.event_id.clone()),
            Self::RaceStatusChanged(fact) => Scope::Race(fact.race_id.clone()),
            Self::ResultsChanged(fact) => Scope::Race(fact.race_id.clone()),
            Self::SplitsPassed(fact) => Scope::Race(fact.race_id.clone()),
            Self::IndoorUpdated(fact) => Scope::Race(fact.race_id.clone()),
            Self::IndoorCompleted(fact) => Scope::Race(fact.race_id.clone()),
            Self::CassetteChanged(fact) => Scope::Cassette(fact.name.clone()),
        }
    }

    /// Whose rooms may be others after it.
    #[must_use]
    pub fn moves(&self) -> Moves<'_> {
        match self {
            Self::AssignmentNew(fact) | Self::AssignmentRemoved(fact) => Moves::User(&fact.judge_id),
            Self::UserChanged(fact) => Moves::User(&fact.user_id),
            Self::SessionChanged(fact) if fact.ended => Moves::User(&fact.user_id),
            Self::SetupChanged(fact) => Moves::Event(&fact.event_id),
            Self::SessionChanged(_)
            | Self::ScoreUpdated(_)
            | Self::ContestantsChanged(_)
            | Self::CertificationUpdated(_)
            | Self::ScoreDeleted(_)
            | Self::DecisionChanged(_)
            | Self::TieResolved(_)
            | Self::EntryChanged(_)
            | Self::ContestLocked(_)
            | Self::Notified(_)
            | Self::NoticesChanged(_)
            | Self::Announced(_)
            | Self::ResultsPublished(_)
            | Self::ResultsFrozen(_)
            | Self::PublicChanged(_)
            | Self::RaceStatusChanged(_)
            | Self::ResultsChanged(_)
            | Self::SplitsPassed(_)
            | Self::OddsChanged(_)
            | Self::IndoorImported(_)
            | Self::IndoorUpdated(_)
            | Self::IndoorCompleted(_)
            | Self::CassetteChanged(_)
            | Self::ResultsRevealed(_) => Moves::Nobody,
        }
    }

    /// The categories whose tally it may change.
    #[must_use]
    pub fn tallies(&self, state: &State) -> Vec<CategoryId> {
        match self {
            Self::ScoreUpdated(fact) => vec![fact.category_id.clone()],
            Self::CertificationUpdated(fact) => vec![fact.category_id.clone()],
            Self::ScoreDeleted(fact) => vec![fact.category_id.clone()],
            Self::DecisionChanged(fact) => vec![fact.category_id.clone()],
            Self::TieResolved(fact) => vec![fact.category_id.clone()],
            Self::EntryChanged(fact) => vec![fact.category_id.clone()],
            Self::AssignmentNew(fact) | Self::AssignmentRemoved(fact) if fact.hat.judges() => state
                .categories_of(&fact.event_id)
                .filter(|category| fact.contest_id.as_ref().is_none_or(|id| *id == category.row.contest_id))
                .filter(|category| fact.category_id.as_ref().is_none_or(|id| *id == category.row.id))
                .map(|category| category.row.id.clone())
                .collect(),
            Self::SetupChanged(fact) => {
                state.categories_of(&fact.event_id).map(|category| category.row.id.clone()).collect()
            }
            Self::AssignmentNew(_)
            | Self::AssignmentRemoved(_)
            | Self::UserChanged(_)
            | Self::SessionChanged(_)
            | Self::ContestantsChanged(_)
            | Self::ContestLocked(_)
            | Self::Notified(_)
            | Self::NoticesChanged(_)
            | Self::Announced(_)
            | Self::ResultsPublished(_)
            | Self::ResultsFrozen(_)
            | Self::PublicChanged(_)
            | Self::RaceStatusChanged(_)
            | Self::ResultsChanged(_)
            | Self::SplitsPassed(_)
            | Self::OddsChanged(_)
            | Self::IndoorImported(_)
            | Self::IndoorUpdated(_)
            | Self::IndoorCompleted(_)
            | Self::CassetteChanged(_)
            | Self::ResultsRevealed(_) => vec![],
        }
    }

    /// Who is shown what of it: in order, each member of the lane gets the first that is meant for them. Masking is
    /// decided here and nowhere else; live push, replay and REST reads all go through it.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        let mut deliveries = match self {
            Self::ScoreUpdated(fact) => {
                let panel = Panel(&fact.category_id);
                vec![
                    Delivery::of(&Author(&fact.judge_id), OwnScore::of(fact)),
                    match fact.visibility {
                        JudgeVisibility::Presence => Delivery::of(&panel, MaskedScore::of(fact)),
                        JudgeVisibility::Own => Delivery::of(&panel, Tick),
                    },
                    Delivery::of(&Office(&fact.category_id), FullScore::of(fact)),
                ]
            }
            Self::AssignmentNew(fact) => vec![Delivery::of(&Person(&fact.judge_id), AssignmentNew::of(fact))],
            Self::AssignmentRemoved(fact) => vec![Delivery::of(&Person(&fact.judge_id), AssignmentRemoved::of(fact))],
            Self::CertificationUpdated(fact) => vec![
                // The panel first: whoever is in it and in the office too is served here, and left out there.
                Delivery::of(&Panel(&fact.category_id), PlainCertification::of(fact)),
                Delivery::of(&Office(&fact.category_id), FullCertification::of(fact)),
                Delivery::of(&Members(&self.lane()), PlainCertification::of(fact)),
            ],
            Self::ScoreDeleted(fact) => {
                let panel = Panel(&fact.category_id);
                vec![
                    Delivery::of(&Author(&fact.judge_id), PlainDeletion::of(fact)),
                    match fact.visibility {
                        JudgeVisibility::Presence => Delivery::of(&panel, PlainDeletion::of(fact)),
                        JudgeVisibility::Own => Delivery::of(&panel, Tick),
                    },
                    Delivery::of(&Office(&fact.category_id), FullDeletion::of(fact)),
                ]
            }
            Self::DecisionChanged(fact) => fact.deliveries(),
            // An order tells the ranking: the panel and all other members learn that something happened.
            Self::TieResolved(fact) => vec![
                Delivery::of(&Panel(&fact.category_id), Tick),
                Delivery::of(&Office(&fact.category_id), ResolvedTie::of(fact)),
            ],
            Self::EntryChanged(fact) => fact.deliveries(),
            Self::ContestLocked(fact) if fact.locked => {
                vec![Delivery::of(&Members(&self.lane()), LockedContest::of(fact))]
            }
            Self::ContestLocked(fact) => vec![Delivery::of(&Members(&self.lane()), UnlockedContest::of(fact))],
            Self::Notified(fact) => vec![Delivery::of(&Person(&fact.user_id), Notice::of(fact))],
            Self::NoticesChanged(fact) if fact.removed => {
                vec![Delivery::of(&Person(&fact.user_id), NoticesRemoved::of(fact))]
            }
            Self::NoticesChanged(fact) => vec![Delivery::of(&Person(&fact.user_id), NoticesRead::of(fact))],
            Self::Announced(fact) => vec![Delivery::of(&Members(&self.lane()), Announcement::of(fact))],
            Self::ResultsPublished(fact) => {
                vec![Delivery::of(&Members(&self.lane()), PublishedResults::of(fact))]
            }
            Self::ResultsFrozen(fact) if fact.frozen => {
                vec![Delivery::of(&Members(&self.lane()), FrozenResults::of(fact))]
            }
            Self::ResultsFrozen(fact) => vec![Delivery::of(&Members(&self.lane()), ThawedResults::of(fact))],
            Self::ResultsRevealed(fact) => vec![Delivery::of(&Members(&self.lane()), RevealedResults::of(fact))],
            // What the public is told of races stands in `public`: it goes by feeds that know no viewer.
            Self::UserChanged(_)
            | Self::SessionChanged(_)
            | Self::SetupChanged(_)
            | Self::ContestantsChanged(_)
            | Self::PublicChanged(_)
            | Self::RaceStatusChanged(_)
            | Self::ResultsChanged(_)
            | Self::SplitsPassed(_)
            | Self::OddsChanged(_)
            | Self::IndoorImported(_)
            | Self::IndoorUpdated(_)
            | Self::IndoorCompleted(_)
            | Self::CassetteChanged(_) => vec![],
        };
        // Every member of the lane who gets nothing else gets a tick, so that the sequence stays gapless for all.
        deliveries.push(Delivery::of(&Members(&self.lane()), Tick));
        deliveries
    }

    /// What the viewer in these rooms is shown of a mark that was published as official, when it is read again.
    #[must_use]
    pub fn released_to(fact: &ScoreUpdated, rooms: &BTreeSet<Room>) -> Option<AnyView> {
        let lane = Lane::Category(fact.category_id.clone());
        let deliveries = [
            Delivery::of(&Author(&fact.judge_id), OwnScore::of(fact)),
            Delivery::of(&Panel(&fact.category_id), ReleasedScore::of(fact)),
            Delivery::of(&Office(&fact.category_id), FullScore::of(fact)),
            Delivery::of(&Members(&lane), ReleasedScore::of(fact)),
        ];
        variant_for(&deliveries, &lane, rooms).map(|delivery| delivery.view.clone())
    }

    /// What somebody who is neither in the panel nor in the office is shown of a mark that was published as official.
    #[must_use]
    pub fn released_to_reader(fact: &ScoreUpdated, reader: &UserId) -> AnyView {
        Delivery::of(&Person(reader), ReleasedScore::of(fact)).view
    }

    /// What the viewer in these rooms is shown of it, if it is more than a tick: the same choice the dispatcher makes.
    #[must_use]
    pub fn shown_to(&self, rooms: &BTreeSet<Room>) -> Option<AnyView> {
        let deliveries = self.deliveries();
        variant_for(&deliveries, &self.lane(), rooms)
            .filter(|delivery| !delivery.is_tick())
            .map(|delivery| delivery.view.clone())
    }

    /// The free texts in it, by field.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, &Text)> {
        match self {
            Self::ScoreUpdated(fact) => fact.comment.iter().map(|text| ("comment".to_owned(), text)).collect(),
            Self::CertificationUpdated(fact) => {
                let names = fact.signatures.iter().enumerate();
                let reasons = names.clone().filter_map(|(at, signature)| {
                    signature.reason.as_ref().map(|text| (format!("overrides.{at}"), text))
                });
                names
                    .map(|(at, signature)| (format!("signatures.{at}"), &signature.signature_name))
                    .chain(reasons)
                    .chain(fact.rejection_reason.iter().map(|text| ("rejection_reason".to_owned(), text)))
                    .collect()
            }
            Self::ScoreDeleted(fact) => vec![("reason".to_owned(), &fact.reason)],
            Self::DecisionChanged(fact) => {
                let names = fact.approvals.iter().enumerate();
                names
                    .map(|(at, approval)| (format!("approvals.{at}"), &approval.signature_name))
                    .chain([("reason".to_owned(), &fact.reason)])
                    .chain(fact.answer.iter().map(|text| ("answer".to_owned(), text)))
                    .collect()
            }
            Self::TieResolved(fact) => vec![("reason".to_owned(), &fact.reason)],
            Self::EntryChanged(fact) => vec![("reason".to_owned(), &fact.reason)],
            Self::ContestLocked(fact) => fact.reason.iter().map(|text| ("reason".to_owned(), text)).collect(),
            Self::Notified(fact) => vec![("message".to_owned(), &fact.message)],
            Self::Announced(fact) => vec![("message".to_owned(), &fact.message)],
            Self::AssignmentNew(_)
            | Self::AssignmentRemoved(_)
            | Self::UserChanged(_)
            | Self::SessionChanged(_)
            | Self::SetupChanged(_)
            | Self::ContestantsChanged(_)
            | Self::NoticesChanged(_)
            | Self::ResultsPublished(_)
            | Self::ResultsFrozen(_)
            | Self::PublicChanged(_)
            | Self::RaceStatusChanged(_)
            | Self::ResultsChanged(_)
            | Self::SplitsPassed(_)
            | Self::OddsChanged(_)
            | Self::IndoorImported(_)
            | Self::IndoorUpdated(_)
            | Self::IndoorCompleted(_)
            | Self::CassetteChanged(_)
            | Self::ResultsRevealed(_) => vec![],
        }
    }

    fn text_mut(&mut self, field: &str) -> Option<&mut Text> {
        match self {
            Self::ScoreUpdated(fact) => fact.comment.as_mut().filter(|_| field == "comment"),
            Self::CertificationUpdated(fact) => match field.split_once('.') {
                Some(("signatures", at)) => {
                    fact.signatures.get_mut(at.parse::<usize>().ok()?).map(|signature| &mut signature.signature_name)
                }
                Some(("overrides", at)) => fact.signatures.get_mut(at.parse::<usize>().ok()?)?.reason.as_mut(),
                Some(_) => None,
                None => fact.rejection_reason.as_mut().filter(|_| field == "rejection_reason"),
            },
            Self::ScoreDeleted(fact) => Some(&mut fact.reason).filter(|_| field == "reason"),
            Self::DecisionChanged(fact) => match (field, field.strip_prefix("approvals.")) {
                ("reason", _) => Some(&mut fact.reason),
                ("answer", _) => fact.answer.as_mut(),
                (_, Some(at)) => {
                    fact.approvals.get_mut(at.parse::<usize>().ok()?).map(|approval| &mut approval.signature_name)
                }
                (_, None) => None,
            },
            Self::TieResolved(fact) => Some(&mut fact.reason).filter(|_| field == "reason"),
            Self::EntryChanged(fact) => Some(&mut fact.reason).filter(|_| field == "reason"),
            Self::ContestLocked(fact) => fact.reason.as_mut().filter(|_| field == "reason"),
            Self::Notified(fact) => Some(&mut fact.message).filter(|_| field == "message"),
            Self::Announced(fact) => Some(&mut fact.message).filter(|_| field == "message"),
            Self::AssignmentNew(_)
            | Self::AssignmentRemoved(_)
            | Self::UserChanged(_)
            | Self::SessionChanged(_)
            | Self::SetupChanged(_)
            | Self::ContestantsChanged(_)
            | Self::NoticesChanged(_)
            | Self::ResultsPublished(_)
            | Self::ResultsFrozen(_)
            | Self::PublicChanged(_)
            | Self::RaceStatusChanged(_)
            | Self::ResultsChanged(_)
            | Self::SplitsPassed(_)
            | Self::OddsChanged(_)
            | Self::IndoorImported(_)
            | Self::IndoorUpdated(_)
            | Self::IndoorCompleted(_)
            | Self::CassetteChanged(_)
            | Self::ResultsRevealed(_) => None,
        }
    }

    /// Puts a free text back beside its commitment, if it is the one that was committed to.
    pub fn fill_text(&mut self, field: &str, body: &str, salt: &str) {
        if let Some(text) = self.text_mut(field)
            && matches!(text, Text::Erased(expected) if *expected == commitment(salt, body))
        {
            *text = Text::Known { body: body.to_owned(), salt: salt.to_owned() };
        }
    }

    /// The text the log holds.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a fact is plain data with text keys")
    }

    /// Reads what the log holds.
    ///
    /// # Errors
    /// When it is not a fact this version knows.
    pub fn from_json(text: &str) -> anyhow::Result<Self> {
        Ok(serde_json::from_str(text)?)
    }
}
