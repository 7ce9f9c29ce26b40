//! Every command on one page. The same struct arrives over HTTP, Socket.IO and the command line.

use crate::auth::actor::Actor;
use crate::auth::sessions::{EndSession, OpenSession, RevokeSession, RevokeSessions, RotateSession};
use crate::cassettes::{CreateCassette, DeleteCassette, DescribeCassette, FillCassette, FinishCassette, StartCassette};
use crate::certification;
use crate::certification::decisions::{
    ApproveDecision, CloseDecision, RaiseFlag, RequestDeduction, RequestRemoval, RequestUncertification,
};
use crate::certification::judges::{CertifySheet, SignFinal};
use crate::certification::officers::{OverrideStage, RejectStage, SignStage};
use crate::certification::ties::ResolveTie;
use crate::clock::Micros;
use crate::command::{Decide, Draft, Limit};
use crate::error::Refusal;
use crate::notices::{self, Announce, DeleteNotice, ReadNotice};
use crate::publications::key::KeepKey;
use crate::publications::{FreezeResults, PublishResults, RevealResults, ThawResults};
use crate::races::import::IngestXml;
use crate::races::indoor::{ImportIndoor, UpdateIndoor};
use crate::races::odds::IngestOdds;
use crate::races::reports::IngestResults;
use crate::races::status::SetRaceStatus;
use crate::scores::{ConfirmScore, SubmitBatch, SubmitScore};
use crate::setup::assignments::{ChangeAssignment, CreateAssignment, RemoveAssignment};
use crate::setup::entries::{ReinstateEntry, WithdrawEntry};
use crate::setup::import::ImportDocument;
use crate::setup::keys::{ChangeApiKey, CreateApiKey, RevokeApiKey};
use crate::setup::locks::{self, LockContest};
use crate::setup::races::{DeleteRace, PutRace};
use crate::setup::{
    DeleteCategory, DeleteContest, DeleteContestant, DeleteEvent, DisableUser, PutCategory, PutContest, PutContestant,
    PutEntries, PutEvent, PutUser, SetEventStatus,
};
use crate::state::State;
use serde_json::Value;

macro_rules! commands {
    ($($variant:ident = $name:literal, $limit:ident),* $(,)?) => {
        /// Every command there is.
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "each variant is the command of that name")]
        pub enum Command { $($variant($variant)),* }

        impl Command {
            /// The names of all commands.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Its name, as metrics and the log of refusals know it.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),* }
            }

            /// The rate limit it falls under.
            #[must_use]
            pub fn limit(&self) -> Limit {
                match self { $(Self::$variant(_) => Limit::$limit),* }
            }

            fn as_decide(&self) -> &dyn Decide {
                match self { $(Self::$variant(command) => command),* }
            }
        }

        $(impl From<$variant> for Command {
            fn from(command: $variant) -> Self { Self::$variant(command) }
        })*
    };
}

commands!(
    SubmitScore = "scores:submit",
    Scores,
    SubmitBatch = "scores:submitBatch",
    Scores,
    ConfirmScore = "scores:confirm",
    Commands,
    CertifySheet = "scores:certify",
    Commands,
    SignFinal = "scores:final",
    Commands,
    SignStage = "certification:sign",
    Commands,
    RejectStage = "certification:reject",
    Commands,
    OverrideStage = "certification:override",
    Commands,
    ResolveTie = "tie:resolve",
    Commands,
    RequestDeduction = "deduction:requested",
    Commands,
    RequestRemoval = "score:removal-requested",
    Commands,
    RequestUncertification = "uncertification:request",
    Commands,
    RaiseFlag = "flag:raise",
    Commands,
    ApproveDecision = "decision:approve",
    Commands,
    CloseDecision = "decision:close",
    Commands,
    PublishResults = "results:publish",
    Commands,
    FreezeResults = "results:freeze",
    Commands,
    RevealResults = "results:reveal",
    Commands,
    ThawResults = "results:thaw",
    Commands,
    IngestXml = "ingest:xml",
    Commands,
    ImportIndoor = "indoor:import",
    Commands,
    UpdateIndoor = "indoor:participant",
    Commands,
    IngestResults = "ingest:results",
    Commands,
    IngestOdds = "ingest:odds",
    Commands,
    CreateCassette = "cassette:create",
    Commands,
    StartCassette = "cassette:start",
    Commands,
    FinishCassette = "cassette:finish",
    Commands,
    FillCassette = "cassette:fill",
    Commands,
    DescribeCassette = "cassette:describe",
    Commands,
    DeleteCassette = "cassette:delete",
    Commands,
    KeepKey = "system:signing-key",
    None,
    ReadNotice = "notification:read",
    Commands,
    DeleteNotice = "notification:delete",
    Commands,
    Announce = "system:announce",
    Commands,
    LockContest = "contest:lock",
    Commands,
    WithdrawEntry = "entry:withdraw",
    Commands,
    ReinstateEntry = "entry:reinstate",
    Commands,
    CreateAssignment = "assignment:created",
    Commands,
    RemoveAssignment = "assignment:remove",
    Commands,
    ChangeAssignment = "assignment:change",
    Commands,
    ImportDocument = "admin:import",
    Commands,
    PutUser = "admin:user",
    Commands,
    DisableUser = "admin:user-disable",
    Commands,
    RevokeSessions = "admin:revoke-sessions",
    Commands,
    PutEvent = "admin:event",
    Commands,
    SetEventStatus = "admin:event-status",
    Commands,
    DeleteEvent = "admin:event-delete",
    Commands,
    PutContest = "admin:contest",
    Commands,
    DeleteContest = "admin:contest-delete",
    Commands,
    PutCategory = "admin:category",
    Commands,
    DeleteCategory = "admin:category-delete",
    Commands,
    PutEntries = "admin:entries",
    Commands,
    PutContestant = "admin:contestant",
    Commands,
    DeleteContestant = "admin:contestant-delete",
    Commands,
    PutRace = "admin:race",
    Commands,
    DeleteRace = "admin:race-delete",
    Commands,
    CreateApiKey = "admin:api-key",
    Commands,
    ChangeApiKey = "admin:api-key-change",
    Commands,
    RevokeApiKey = "admin:api-key-revoke",
    Commands,
    SetRaceStatus = "race:status",
    Commands,
    OpenSession = "auth:login",
    None,
    RotateSession = "auth:refresh",
    Commands,
    EndSession = "auth:logout",
    Commands,
    RevokeSession = "auth:revoke-session",
    Commands,
);

impl Command {
    /// Whether the actor may ask at all: opening and rotating a session is what somebody without one does, everything
    /// else needs one that stands, or a key that is good at this moment.
    ///
    /// # Errors
    /// `SESSION_REVOKED`; `INVALID_TOKEN` and `TOKEN_EXPIRED` for a key.
    pub fn admits(&self, actor: &Actor, state: &State, now: Micros) -> Result<(), Refusal> {
        if matches!(self, Self::OpenSession(_) | Self::RotateSession(_)) {
            return Ok(());
        }
        actor.must_be_signed_in(state, now)
    }

    /// Decides.
    ///
    /// # Errors
    /// Why not.
    pub fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        self.admits(&draft.actor, &draft.state, draft.now)?;
        let answer = self.as_decide().decide(draft)?;
        certification::settle::settle(draft)?;
        locks::guard(draft)?;
        notices::follow(draft);
        self.as_decide().settled(answer, draft)
    }

    /// Decides, and carries out what would still wait for approvals as if all were given: for a preview, never for the
    /// log.
    ///
    /// # Errors
    /// Why not.
    pub fn foresee(&self, draft: &mut Draft) -> Result<(), Refusal> {
        self.decide(draft)?;
        certification::decisions::foresee(draft)?;
        certification::settle::settle(draft)
    }

    /// How much of its rate limit it takes.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.as_decide().cost()
    }
}
