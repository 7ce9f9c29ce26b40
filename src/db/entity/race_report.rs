//! What one source says of a racer; times in milliseconds.

use crate::clock::Micros;
use crate::ids::RaceId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "race_report")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub race_id: RaceId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub participant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub source: Source,
    pub at: Micros,
    pub time_ms: Option<i64>,
    pub pen_ms: Option<i64>,
    pub total_ms: Option<i64>,
    pub placing: Option<i64>,
    pub status: Option<Irm>,
    pub gates: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Where a result comes from.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The export of the timing computer.
    Xml,
    /// Its live feed.
    Feed,
}

/// Why a racer has no result.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::None)", rename_all = "UPPERCASE")]
#[serde(rename_all = "UPPERCASE")]
pub enum Irm {
    /// Did not start.
    Dns,
    /// Did not finish.
    Dnf,
    /// Disqualified.
    Dsq,
    /// Capsized.
    Cap,
}

impl Irm {
    /// Every mark.
    pub const ALL: [Self; 4] = [Self::Dns, Self::Dnf, Self::Dsq, Self::Cap];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "DNS",
            Self::Dnf => "DNF",
            Self::Dsq => "DSQ",
            Self::Cap => "CAP",
        }
    }

    /// The mark a word means, in any letter case.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.as_str().eq_ignore_ascii_case(word))
    }
}
