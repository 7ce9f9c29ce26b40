//! What a recording of an office says of the set-up it was made in, so that it can be played elsewhere: an import document
//! whose people are known by their ids alone.

use crate::command::to_value;
use crate::error::Refusal;
use crate::events::room::Lane;
use crate::ids::{CategoryId, EventId, UserId};
use crate::state::State;
use crate::state::{Category, thousandths};
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
            json!({ "userId": judge.judge, "hat": hat, "counts": judge.counts })
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
            let standings: Value = serde_json::from_str(&contest.standings).unwrap_or(Value::Null);
            contests
                .push(json!({ "id": contest.id, "name": contest.name, "standings": standings, "categories": within }));
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

/// Those who judge in a set-up.
#[must_use]
pub fn judges(setup: &Value) -> BTreeSet<UserId> {
    let contests = setup["contests"].as_array().into_iter().flatten();
    let categories = contests.flat_map(|contest| contest["categories"].as_array().into_iter().flatten());
    let judges = categories.flat_map(|category| category["judges"].as_array().into_iter().flatten());
    judges.filter_map(|judge| judge["userId"].as_str()?.parse().ok()).collect()
}

/// The categories of a set-up.
#[must_use]
pub fn categories(setup: &Value) -> BTreeSet<CategoryId> {
    let contests = setup["contests"].as_array().into_iter().flatten();
    let categories = contests.flat_map(|contest| contest["categories"].as_array().into_iter().flatten());
    categories.filter_map(|category| category["id"].as_str()?.parse().ok()).collect()
}
