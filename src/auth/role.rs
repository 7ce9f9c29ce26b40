//! Roles, which a user has one of, and hats, which an assignment gives on a category, a contest or an event.

use sea_orm::entity::prelude::StringLen;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a user is in this installation.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumIter,
    DeriveActiveEnum,
    ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the words of the field say what they are")]
pub enum Role {
    Admin,
    Organizer,
    Judge,
    TallyMaster,
    Auditor,
    Board,
    Emcee,
    Contestant,
}

impl Role {
    /// Every role, in the order of the contract.
    pub const ALL: [Self; 8] = [
        Self::Admin,
        Self::Organizer,
        Self::Judge,
        Self::TallyMaster,
        Self::Auditor,
        Self::Board,
        Self::Emcee,
        Self::Contestant,
    ];

    /// ADMIN and ORGANIZER run the installation and see every event of it.
    #[must_use]
    pub fn runs_installation(self) -> bool {
        matches!(self, Self::Admin | Self::Organizer)
    }

    /// The word on the wire, in rooms and in tokens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::Organizer => "ORGANIZER",
            Self::Judge => "JUDGE",
            Self::TallyMaster => "TALLY_MASTER",
            Self::Auditor => "AUDITOR",
            Self::Board => "BOARD",
            Self::Emcee => "EMCEE",
            Self::Contestant => "CONTESTANT",
        }
    }
}

/// What a user is on a category, a contest or an event.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumIter,
    DeriveActiveEnum,
    ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the words of the field say what they are")]
pub enum Hat {
    Judge,
    HeadJudge,
    TallyMaster,
    Auditor,
    Board,
    Emcee,
}

impl Hat {
    /// Every hat, in the order of the contract.
    pub const ALL: [Self; 6] =
        [Self::Judge, Self::HeadJudge, Self::TallyMaster, Self::Auditor, Self::Board, Self::Emcee];

    /// Whoever wears this hat marks.
    #[must_use]
    pub fn judges(self) -> bool {
        matches!(self, Self::Judge | Self::HeadJudge)
    }

    /// Whoever wears this hat reads every mark, unless a judging hat of the same person forbids it.
    #[must_use]
    pub fn reads_all_marks(self) -> bool {
        matches!(self, Self::TallyMaster | Self::Auditor | Self::Board)
    }

    /// The word on the wire and in rooms.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Judge => "JUDGE",
            Self::HeadJudge => "HEAD_JUDGE",
            Self::TallyMaster => "TALLY_MASTER",
            Self::Auditor => "AUDITOR",
            Self::Board => "BOARD",
            Self::Emcee => "EMCEE",
        }
    }
}
