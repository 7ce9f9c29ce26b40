//! What a recording of an office says of the set-up it was made in, so that it can be played elsewhere: an import document
//! whose people are known by their ids alone.

use crate::command::to_value;
use crate::error::Refusal;
use crate::events::room::Lane;
use crate::ids::{CategoryId, ContestId, ContestantId, EventId, UserId};
use crate::state::State;
use crate::state::{Category, thousandths};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Source;

/// The word for the frame that holds it.
pub const SETUP: &str = "cassette:setup";

/// The event of a source, and the categories that are in it.
fn scope(state: &State, source: &Source) -> Option<(EventId, Vec<Arc<Category>>)> {
    let all = |event: &EventId| state.categories_of(event).cloned().collect();
    match source {
        Source::Event(event) => Some((event.clone(), all(event))),
        Source::Lane(Lane::Category(id)) => {
            let category = state.categories.get(id)?;
            Some((category.event_id.clone(), vec![Arc::clone(category)]))
        }
        Source::Lane(Lane::Event(_) | Lane::User(_) | Lane::Public(_) | Lane::System) => None,
    }
}

fn category_document(state: &State, category: &Category) -> Result<Value, Refusal> {
    let row = &category.row;
    let criteria = category.criteria_in_order().into_iter().map(|criterion| {
        Ok(json!({
            "id": criterion.row.id, "name": criterion.row.name, "min": to_value(thousandths(criterion.row.min))?,
            "max": to_value(thousandths(criterion.row.max))?, "step": to_value(thousandths(criterion.row.step))?,
            "weight": to_value(&criterion.weight)?,
        }))
    });
    let criteria: Vec<Value> = criteria.collect::<Result<_, Refusal>>()?;
    let mut entries: Vec<_> = category.entries.values().collect();
    entries.sort_by_key(|entry| entry.start_order);
    let entries: Vec<Value> = entries
        .into_iter()
        .map(|entry| {
            let factor: Value = serde_json::from_str(&entry.factor).unwrap_or(Value::Null);
            json!({ "contestantId": entry.contestant_id, "startOrder": entry.start_order, "factor": factor })
        })
        .collect();
    let judges: Vec<Value> = state
        .panel(category)
        .into_iter()
        .map(|judge| {
            let hat = if judge.head { "HEAD_JUDGE" } else { "JUDGE" };
            json!({ "userId": judge.judge, "hat": hat, "counts": judge.counts, "active": judge.active })
        })
        .collect();
    Ok(json!({
        "id": row.id, "name": row.name, "rules": to_value(&category.rules)?, "minJudges": row.min_judges,
        "judgeVisibility": row.judge_visibility, "proxyEntry": row.proxy_entry, "criteria": criteria,
        "entries": entries, "judges": judges,
    }))
}

/// The set-up a source was recorded in; none where it is of no category.
///
/// # Errors
/// `INTERNAL`; rows are plain data, so there is no way to it.
pub fn document(state: &State, source: &Source) -> Result<Option<Value>, Refusal> {
    let Some((event, categories)) = scope(state, source) else { return Ok(None) };
    let Some(row) = state.events.get(&event) else { return Ok(None) };
    let mut contests: Vec<Value> = Vec::new();
    for contest in state.contests_of(&event) {
        let within = categories.iter().filter(|category| category.row.contest_id == contest.id);
        let within: Vec<Value> =
            within.map(|category| category_document(state, category)).collect::<Result<_, Refusal>>()?;
        if !within.is_empty() {
            contests.push(json!({ "id": contest.id, "name": contest.name, "categories": within }));
        }
    }
    let entered = categories.iter().flat_map(|category| category.entries.keys());
    let contestants: Vec<Value> = entered
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter_map(|id| state.contestants.get(id))
        .map(|one| json!({ "id": one.id, "name": one.name, "club": one.club, "country": one.country }))
        .collect();
    Ok(Some(json!({
        "event": { "mainTitle": row.main_title, "discipline": row.discipline },
        "contestants": contestants, "contests": contests,
    })))
}

/// A set-up as it is read back: exactly what [`document`] writes, and nothing else.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of the import document")]
pub struct Setup {
    pub event: SetupEvent,
    pub contestants: Vec<SetupContestant>,
    pub contests: Vec<SetupContest>,
}

/// The event of a set-up.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of the import document")]
pub struct SetupEvent {
    pub main_title: String,
    pub discipline: Option<String>,
}

/// A contestant of a set-up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of the import document")]
pub struct SetupContestant {
    pub id: ContestantId,
    pub name: String,
    pub club: Option<String>,
    pub country: Option<String>,
}

/// A contest of a set-up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of the import document")]
pub struct SetupContest {
    pub id: ContestId,
    pub name: String,
    pub categories: Vec<SetupCategory>,
}

/// A category of a set-up.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of the import document")]
pub struct SetupCategory {
    pub id: CategoryId,
    pub name: String,
    pub rules: Value,
    pub min_judges: i64,
    pub judge_visibility: Value,
    pub proxy_entry: bool,
    pub criteria: Value,
    pub entries: Vec<SetupEntry>,
    pub judges: Vec<SetupJudge>,
}

/// Somebody in a category of a set-up.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of the import document")]
pub struct SetupEntry {
    pub contestant_id: ContestantId,
    pub start_order: i64,
    pub factor: Value,
}

/// Somebody who judges a category of a set-up.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the words of the import document")]
pub struct SetupJudge {
    pub user_id: UserId,
    pub hat: String,
    pub counts: bool,
    /// Whether a mark was still expected of them.
    pub active: bool,
}

impl Setup {
    /// Its categories.
    pub fn categories(&self) -> impl Iterator<Item = &SetupCategory> {
        self.contests.iter().flat_map(|contest| &contest.categories)
    }

    /// Those who judge in it.
    #[must_use]
    pub fn judges(&self) -> BTreeSet<UserId> {
        self.categories().flat_map(|category| &category.judges).map(|judge| judge.user_id.clone()).collect()
    }
}
