//! What organisers write: the parts of the import document, which are also the bodies of the set-up requests.

use crate::auth::role::{Hat, Role};
use crate::db::entity::category::JudgeVisibility;
use crate::db::entity::event::{EventStatus, ResultsFrom};
use crate::ids::{CategoryId, ContestId, ContestantId, CriterionId, EventId, RaceId};
use crate::ranking::{Decimal, Mark, Rules, StandingsRules};
use crate::state::detail::text_or_number;
pub use crate::state::detail::{ParticipantSpec, RaceMeta};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One document: an event with all that belongs to it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each part")]
pub struct Document {
    pub event: EventSpec,
    #[serde(default)]
    pub users: Vec<UserSpec>,
    #[serde(default)]
    pub contestants: Vec<ContestantSpec>,
    #[serde(default)]
    pub contests: Vec<ContestSpec>,
    #[serde(default)]
    pub assignments: Vec<AssignmentSpec>,
    #[serde(default)]
    pub races: Vec<RaceSpec>,
}

/// An event.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct EventSpec {
    pub id: EventId,
    pub main_title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The venue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facility: Option<String>,
    /// A picture of it, `https://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<String>,
    /// `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discipline: Option<String>,
    /// `draft` for a new event; otherwise as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<EventStatus>,
    /// Lets one person sign several stages; shown on every publication.
    #[serde(default)]
    pub single_officer: bool,
    /// Lets an ADMIN put a signature in the place of somebody who cannot give it, with a reason that is shown.
    #[serde(default)]
    pub allow_override: bool,
    /// Which source of the timing computer counts for what; as it was unless stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
}

/// Which source of the timing computer counts for what. Structure and who is on the course have one source each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct Merge {
    #[serde(default)]
    pub structure: FromXml,
    #[serde(default)]
    pub results: ResultsFrom,
    #[serde(default)]
    pub oncourse: FromFeed,
}

/// The export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the one choice there is")]
pub enum FromXml {
    #[default]
    Xml,
}

/// The live feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the one choice there is")]
pub enum FromFeed {
    #[default]
    Feed,
}

impl Merge {
    /// The choice with these results.
    #[must_use]
    pub fn with_results(results: ResultsFrom) -> Self {
        Self { structure: FromXml::Xml, results, oncourse: FromFeed::Feed }
    }
}

/// A user.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct UserSpec {
    pub email: String,
    pub name: String,
    pub role: Role,
    /// At least 8 characters; without one the user cannot sign in by password.
    #[serde(default)]
    pub password: Option<String>,
    /// A user who is not active cannot sign in, and is signed out at once.
    #[serde(default)]
    pub active: Option<bool>,
}

impl std::fmt::Debug for UserSpec {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserSpec").field("email", &self.email).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A contestant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct ContestantSpec {
    pub id: ContestantId,
    pub name: String,
    #[serde(default, deserialize_with = "text_or_number", skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub club: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The user who is this contestant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_email: Option<String>,
}

/// A contest, in the import document with its categories.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct ContestSpec {
    pub id: ContestId,
    pub name: String,
    #[serde(default)]
    pub standings: Option<StandingsRules>,
    #[serde(default)]
    pub categories: Vec<CategorySpec>,
}

/// A category.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct CategorySpec {
    pub id: CategoryId,
    pub name: String,
    #[schema(value_type = Object)]
    pub rules: Rules,
    /// The smallest panel the category may be tallied with; 1 unless stated.
    #[serde(default)]
    pub min_judges: Option<u32>,
    #[serde(default)]
    pub judge_visibility: JudgeVisibility,
    /// Whether a tally master may enter marks for a judge, which somebody else has to confirm.
    #[serde(default)]
    pub proxy_entry: bool,
    pub criteria: Vec<CriterionSpec>,
    #[serde(default)]
    pub entries: Vec<EntrySpec>,
    #[serde(default)]
    pub assignments: Vec<AssignmentSpec>,
}

/// A criterion.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct CriterionSpec {
    pub id: CriterionId,
    pub name: String,
    #[schema(value_type = f64)]
    pub min: Mark,
    #[schema(value_type = f64)]
    pub max: Mark,
    #[schema(value_type = f64)]
    pub step: Mark,
    #[serde(default = "Decimal::one")]
    #[schema(value_type = f64)]
    pub weight: Decimal,
}

/// A contestant in a category.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct EntrySpec {
    pub contestant_id: ContestantId,
    /// The place in the list unless stated.
    #[serde(default)]
    pub start_order: Option<u32>,
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub factor: Option<Decimal>,
}

/// A hat, by the email of its wearer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct AssignmentSpec {
    pub email: String,
    pub hat: Hat,
    #[serde(default)]
    pub counts: Option<bool>,
}

/// A race.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct RaceSpec {
    pub id: RaceId,
    /// The integer the race feed knows it by; given by the server unless stated.
    #[serde(default)]
    pub number: Option<i64>,
    pub race_type: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub class_id: Option<String>,
    #[serde(default)]
    pub start_time: Option<String>,
    /// Its place in the programme.
    #[serde(default)]
    pub race_order: Option<i64>,
    #[serde(default)]
    pub meta: RaceMeta,
    /// Who starts; as it was unless stated. An import document adds to them, a change of the race alone names them all.
    #[serde(default)]
    pub participants: Option<Vec<ParticipantSpec>>,
}
