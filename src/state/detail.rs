//! What the rows of races and of those who start in them hold beside their columns, as JSON in the shape it was sent in.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What a race feed tells of a race.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct RaceMeta {
    #[serde(default, deserialize_with = "text_or_number", skip_serializing_if = "Option::is_none")]
    pub meeting_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race_number: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_m: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gait: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weather: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_condition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meeting_date: Option<String>,
}

/// Who starts in a race; what it holds beside id and bib is kept as it is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct ParticipantSpec {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bib: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub club: Option<Club>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Label>,
    /// The country, as the sport's federation abbreviates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noc: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_order: Option<i64>,
    /// As the start list says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handicap_m: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horse: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<Named>,
}

impl ParticipantSpec {
    /// Somebody of whom nothing else is known.
    #[must_use]
    pub fn named(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            bib: None,
            name: None,
            club: None,
            category: None,
            noc: None,
            start_order: None,
            start_time: None,
            lane: None,
            barrier: None,
            handicap_m: None,
            horse: None,
            driver: None,
            trainer: None,
        }
    }
}

/// A club.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct Club {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// An age or weight class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct Label {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A horse, a driver or a trainer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct Named {
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What an ergometer measured of somebody, as its software wrote it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the software")]
pub struct Measurement {
    /// Who sat there, in the software's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// `M:SS.f`, as written.
    pub time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<String>,
    /// Metres.
    pub distance: i64,
    /// Per 500 m, as written.
    pub avg_pace: String,
    pub spm: i64,
    pub calories: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<Value>,
}

/// A race on ergometers, as their software wrote it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the software")]
pub struct IndoorMeta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race_start_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race_end_time: Option<String>,
    /// What is rowed: metres, or seconds of a fixed-time piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_cap: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race_file_name: Option<String>,
    /// Everybody rows for the same time; who gets farthest wins.
    #[serde(default)]
    pub fixed_time: bool,
    /// Everybody is in, as it was told.
    #[serde(default)]
    pub complete: bool,
}

/// A start number is written as text or as a number.
///
/// # Errors
/// When it is neither.
pub(crate) fn text_or_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    match Option::<Value>::deserialize(input)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(serde::de::Error::custom("expected a text or a number")),
    }
}
