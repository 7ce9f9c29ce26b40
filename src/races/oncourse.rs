//! Who is on the course, from the live feed of a timing computer. It stands in no log: the next post says it anew.

use super::Skipped;
use super::reports::racer_in;
use crate::error::Refusal;
use crate::events::public::PublicOnCourse;
use crate::ids::EventId;
use crate::state::State;
use serde::Deserialize;
use serde_json::Value;

/// Most boats on a course.
const BOATS_MAX: usize = 200;
/// Most gates of a course.
const GATES_MAX: usize = 100;
/// Longest text in a post, in characters.
const TEXT_CHARS_MAX: usize = 100;
/// Longest time, in hundredths of a second: a day.
const HUNDREDTHS_MAX: i64 = 8_640_000;

/// Everybody on the course.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OncoursePost {
    /// Who is not in it is not on the course any more.
    #[schema(value_type = Vec<OncourseItem>)]
    pub oncourse: Vec<Value>,
}

/// Somebody on the course; times in hundredths of a second. Name and club are those of the start list, whatever is sent.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct OncourseItem {
    pub race_id: String,
    /// Or `bib` alone.
    #[serde(default)]
    pub participant_id: Option<String>,
    #[serde(default)]
    pub bib: Option<i64>,
    /// Taken, and not shown.
    #[serde(default)]
    pub name: Option<String>,
    /// Taken, and not shown.
    #[serde(default)]
    pub club: Option<String>,
    #[serde(default)]
    pub position: i64,
    #[serde(default)]
    pub gates: Vec<Option<i64>>,
    #[serde(default)]
    pub completed: bool,
    #[serde(default)]
    pub dt_start: Option<String>,
    #[serde(default)]
    pub dt_finish: Option<String>,
    #[serde(default)]
    pub time: Option<i64>,
    #[serde(default)]
    pub pen: i64,
    #[serde(default)]
    pub total: Option<i64>,
    #[serde(default)]
    pub rank: Option<i64>,
    #[serde(default)]
    pub ttb_diff: Option<String>,
    #[serde(default)]
    pub ttb_name: Option<String>,
}

impl OncourseItem {
    fn shown(self, state: &State, event: &EventId) -> Result<PublicOnCourse, String> {
        let racer = racer_in(state, event, &self.race_id, self.participant_id.as_deref(), self.bib)?;
        let starter = state.starter(&racer.race.id, &racer.id).ok_or("does not start")?;
        let long = |text: &Option<String>| {
            text.as_ref()
                .is_some_and(|text| text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control))
        };
        if [&self.dt_start, &self.dt_finish, &self.ttb_diff, &self.ttb_name].into_iter().any(long) {
            return Err(format!("a text has more than {TEXT_CHARS_MAX} characters, or one that cannot be shown"));
        }
        if self.gates.len() > GATES_MAX || self.gates.iter().flatten().any(|gate| !(0..=999).contains(gate)) {
            return Err(format!("gates are at most {GATES_MAX} numbers of seconds, or null"));
        }
        let numbers = [self.time, Some(self.pen), self.total, self.rank, Some(self.position)];
        if numbers.iter().flatten().any(|number| !(0..=HUNDREDTHS_MAX).contains(number)) {
            return Err(format!("a number is not 0 to {HUNDREDTHS_MAX}"));
        }
        Ok(PublicOnCourse {
            race_id: racer.race.id.clone(),
            bib: starter.row.bib,
            name: starter.detail.name.clone().unwrap_or_default(),
            club: starter.detail.club.as_ref().map(|club| club.name.clone()).unwrap_or_default(),
            position: self.position,
            gates: self.gates,
            completed: self.completed,
            dt_start: self.dt_start,
            dt_finish: self.dt_finish,
            time: self.time,
            pen: self.pen,
            total: self.total,
            rank: self.rank,
            ttb_diff: self.ttb_diff,
            ttb_name: self.ttb_name,
        })
    }
}

/// Reads who is on the course, and what cannot be shown of it.
///
/// # Errors
/// `TOO_LARGE`.
pub fn read(
    state: &State,
    event: &EventId,
    post: OncoursePost,
) -> Result<(Vec<PublicOnCourse>, Vec<Skipped>), Refusal> {
    if post.oncourse.len() > BOATS_MAX {
        return Err(Refusal::TooLarge { what: "boats on a course", max: BOATS_MAX });
    }
    let (mut shown, mut skipped) = (Vec::new(), Vec::new());
    for (index, item) in post.oncourse.into_iter().enumerate() {
        let item = crate::command::parse::<OncourseItem>(item).map_err(|wrong| wrong.to_string());
        match item.and_then(|item| item.shown(state, event)) {
            Ok(one) => shown.push(one),
            Err(reason) => skipped.push(Skipped::new(format!("oncourse[{index}]"), reason)),
        }
    }
    Ok((shown, skipped))
}
