//! A timed race; `number` is the integer the race feed knows it by.

use crate::ids::{EventId, RaceId};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "race")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RaceId,
    pub number: i64,
    pub event_id: EventId,
    pub race_type: String,
    pub name: Option<String>,
    pub class_id: Option<String>,
    pub start_time: Option<String>,
    pub position: Option<i64>,
    pub status: RaceStatus,
    pub meta: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Where a race stands: the twelve numbers of Canoe123, which are the ones on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i64", db_type = "BigInteger")]
#[allow(missing_docs, reason = "the words are those of the timing computer")]
pub enum RaceStatus {
    #[sea_orm(num_value = 1)]
    Scheduled,
    #[sea_orm(num_value = 2)]
    Announced,
    #[sea_orm(num_value = 3)]
    StartList,
    #[sea_orm(num_value = 4)]
    ComingUp,
    #[sea_orm(num_value = 5)]
    OnStart,
    #[sea_orm(num_value = 6)]
    Recalled,
    #[sea_orm(num_value = 7)]
    Running,
    #[sea_orm(num_value = 8)]
    InProgress,
    #[sea_orm(num_value = 9)]
    OnHold,
    #[sea_orm(num_value = 10)]
    Unofficial,
    #[sea_orm(num_value = 11)]
    Official,
    #[sea_orm(num_value = 12)]
    Cancelled,
}

impl RaceStatus {
    /// The number on the wire, 1 to 12.
    #[must_use]
    pub fn number(self) -> i64 {
        self.to_value()
    }

    /// The status of a number.
    #[must_use]
    pub fn of(number: i64) -> Option<Self> {
        Self::try_from_value(&number).ok()
    }

    /// The word for it.
    #[must_use]
    pub fn phase(self) -> RacePhase {
        match self {
            Self::Scheduled
            | Self::Announced
            | Self::StartList
            | Self::ComingUp
            | Self::OnStart
            | Self::Recalled
            | Self::Cancelled => RacePhase::NotStarted,
            Self::Running | Self::InProgress | Self::OnHold => RacePhase::InProgress,
            Self::Unofficial => RacePhase::NonOfficial,
            Self::Official => RacePhase::Official,
        }
    }
}

/// Where a race stands, in the words of `/live` and of ergometers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RacePhase {
    /// Nobody is under way.
    NotStarted,
    /// Somebody is.
    InProgress,
    /// All are in; protests are still possible.
    NonOfficial,
    /// Confirmed.
    Official,
}

impl RacePhase {
    /// The number that stands for it.
    #[must_use]
    pub fn status(self) -> RaceStatus {
        match self {
            Self::NotStarted => RaceStatus::Scheduled,
            Self::InProgress => RaceStatus::InProgress,
            Self::NonOfficial => RaceStatus::Unofficial,
            Self::Official => RaceStatus::Official,
        }
    }
}
