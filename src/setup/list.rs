//! What organisers read of the set-up: single things, and lists with a cursor.

use super::spec::{CriterionSpec, EntrySpec, Merge, ParticipantSpec, RaceMeta};
use super::user_view;
use crate::command::to_value;
use crate::db::entity::{api_key, entry};
use crate::error::Refusal;
use crate::ids::{ApiKeyId, AssignmentId, CategoryId, ContestId, ContestantId, EventId, RaceId, UserId};
use crate::ranking::Decimal;
use crate::setup::assignments::view_of;
use crate::state::{State, thousandths};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use imbl::OrdMap;
use serde::Deserialize;
use serde_json::{Value, json};
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

/// Most items of a page.
pub const PAGE_MAX: usize = 200;
const PAGE_DEFAULT: usize = 50;

/// Which page of a list, and of what.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items of a page, at most 200.
    pub limit: Option<usize>,
    /// Where the last page ended: its `nextCursor`.
    pub cursor: Option<String>,
    /// Only what belongs to this event.
    pub event_id: Option<EventId>,
    /// Only what belongs to this contest.
    pub contest_id: Option<ContestId>,
    /// Only what belongs to this category.
    pub category_id: Option<CategoryId>,
    /// Only what belongs to this user.
    pub user_id: Option<UserId>,
    /// Of the public's events: rehearsals instead of real ones.
    pub rehearsal: Option<bool>,
}

/// A page of a map, in the order of its keys.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn page<K, V>(
    query: &PageQuery,
    map: &OrdMap<K, Arc<V>>,
    keep: impl Fn(&V) -> bool,
    view: impl Fn(&V) -> Result<Value, Refusal>,
) -> Result<Value, Refusal>
where
    K: Ord + Clone + FromStr + std::fmt::Display,
{
    let limit = query.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Refusal::invalid("limit", format!("is 1 to {PAGE_MAX}")));
    }
    let after: Bound<K> = match &query.cursor {
        None => Bound::Unbounded,
        Some(cursor) => URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.parse().ok())
            .map(Bound::Excluded)
            .ok_or_else(|| Refusal::invalid("cursor", "is not one this list gave"))?,
    };
    let mut found = map.range((after, Bound::Unbounded)).filter(|(_, item)| keep(item));
    let mut items = Vec::new();
    let mut last = None;
    for (key, item) in found.by_ref().take(limit) {
        items.push(view(item)?);
        last = Some(key);
    }
    Ok(match (last, found.next()) {
        (Some(last), Some(_)) => {
            json!({ "items": items, "nextCursor": URL_SAFE_NO_PAD.encode(last.to_string()) })
        }
        _ => json!({ "items": items }),
    })
}

/// Lists users.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn users(state: &State, query: &PageQuery) -> Result<Value, Refusal> {
    page(query, &state.users, |user| query.user_id.as_ref().is_none_or(|id| user.id == *id), |user| Ok(user_view(user)))
}

/// Lists events.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn events(state: &State, query: &PageQuery) -> Result<Value, Refusal> {
    let keep = |event: &crate::db::entity::event::Model| query.event_id.as_ref().is_none_or(|id| event.id == *id);
    page(query, &state.events, keep, |event| event_view(state, &event.id))
}

/// Lists contests, of one event or of all.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn contests(state: &State, query: &PageQuery) -> Result<Value, Refusal> {
    let keep =
        |contest: &crate::db::entity::contest::Model| query.event_id.as_ref().is_none_or(|id| contest.event_id == *id);
    page(query, &state.contests, keep, |contest| contest_view(state, &contest.id))
}

/// Lists categories, of one contest, one event or of all.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn categories(state: &State, query: &PageQuery) -> Result<Value, Refusal> {
    let keep = |category: &crate::state::Category| {
        query.event_id.as_ref().is_none_or(|id| category.event_id == *id)
            && query.contest_id.as_ref().is_none_or(|id| category.row.contest_id == *id)
    };
    page(query, &state.categories, keep, |category| category_view(state, &category.row.id))
}

/// Lists contestants, of one category or of all.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn contestants(state: &State, query: &PageQuery) -> Result<Value, Refusal> {
    let keep = |contestant: &crate::db::entity::contestant::Model| {
        query.category_id.as_ref().is_none_or(|id| {
            state.categories.get(id).is_some_and(|category| category.entries.contains_key(&contestant.id))
        })
    };
    page(query, &state.contestants, keep, |contestant| contestant_view(state, &contestant.id))
}

/// Lists assignments, the removed ones included.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn assignments(state: &State, query: &PageQuery) -> Result<Value, Refusal> {
    let keep = |hat: &crate::db::entity::assignment::Model| {
        query.event_id.as_ref().is_none_or(|id| hat.event_id == *id)
            && query.contest_id.as_ref().is_none_or(|id| hat.contest_id.as_ref() == Some(id))
            && query.category_id.as_ref().is_none_or(|id| hat.category_id.as_ref() == Some(id))
            && query.user_id.as_ref().is_none_or(|id| hat.user_id == *id)
    };
    page(query, &state.assignments, keep, |hat| to_value(view_of(hat)))
}

/// Lists races, of one event or of all.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn races(state: &State, query: &PageQuery) -> Result<Value, Refusal> {
    let keep = |race: &crate::db::entity::race::Model| query.event_id.as_ref().is_none_or(|id| race.event_id == *id);
    page(query, &state.races, keep, |race| race_view(state, &race.id))
}

fn key_view(key: &api_key::Model) -> Value {
    json!({
        "id": key.id, "eventId": key.event_id, "name": key.name, "validFrom": key.valid_from,
        "validUntil": key.valid_until, "createdBy": key.created_by, "createdAt": key.created_at,
        "revokedAt": key.revoked_at,
    })
}

/// Lists the keys of timing software, of one event or of all, the revoked ones included; neither keys nor hashes.
///
/// # Errors
/// `INVALID_DATA` for a wrong limit or cursor.
pub fn api_keys(state: &State, query: &PageQuery) -> Result<Value, Refusal> {
    let keep = |key: &api_key::Model| query.event_id.as_ref().is_none_or(|id| key.event_id == *id);
    page(query, &state.racing.keys, keep, |key| Ok(key_view(key)))
}

/// One key of timing software, without the key itself or its hash.
///
/// # Errors
/// `NOT_FOUND`.
pub fn api_key(state: &State, id: &ApiKeyId) -> Result<Value, Refusal> {
    state.racing.keys.get(id).map(|key| key_view(key)).ok_or_else(|| Refusal::not_found("API key", id))
}

/// One race, with those who start in it.
///
/// # Errors
/// `NOT_FOUND`.
pub fn race_view(state: &State, id: &RaceId) -> Result<Value, Refusal> {
    let race = state.races.get(id).ok_or_else(|| Refusal::not_found("race", id))?;
    let meta: RaceMeta = serde_json::from_str(&race.meta).unwrap_or_default();
    let mut starters: Vec<_> = state.starters_of(id).collect();
    starters.sort_by_key(|starter| starter.row.number);
    let participants: Vec<&ParticipantSpec> = starters.into_iter().map(|starter| &starter.detail).collect();
    Ok(json!({
        "id": race.id, "number": race.number, "eventId": race.event_id, "raceType": race.race_type, "name": race.name,
        "classId": race.class_id, "startTime": race.start_time, "raceOrder": race.position,
        "raceStatus": race.status.number(), "status": race.status.phase(), "meta": meta, "participants": participants,
    }))
}

/// One user.
///
/// # Errors
/// `NOT_FOUND`.
pub fn user(state: &State, id: &UserId) -> Result<Value, Refusal> {
    state.users.get(id).map(|user| user_view(user)).ok_or_else(|| Refusal::not_found("user", id))
}

/// One assignment.
///
/// # Errors
/// `NOT_FOUND`.
pub fn assignment(state: &State, id: &AssignmentId) -> Result<Value, Refusal> {
    to_value(view_of(state.assignments.get(id).ok_or_else(|| Refusal::not_found("assignment", id))?))
}

/// One event.
///
/// # Errors
/// `NOT_FOUND`.
pub fn event_view(state: &State, id: &EventId) -> Result<Value, Refusal> {
    let event = state.events.get(id).ok_or_else(|| Refusal::not_found("event", id))?;
    Ok(json!({
        "id": event.id, "mainTitle": event.main_title, "subTitle": event.sub_title, "location": event.location,
        "rehearsal": event.rehearsal, "facility": event.facility, "imageUrl": event.image_url, "merge": Merge::with_results(event.results_from),
        "startDate": event.start_date, "endDate": event.end_date, "discipline": event.discipline,
        "status": event.status, "singleOfficer": event.single_officer, "allowOverride": event.allow_override,
        "frozenAt": event.frozen_at,
        "createdAt": event.created_at, "updatedAt": event.updated_at,
    }))
}

/// One contest, with the ids of its categories.
///
/// # Errors
/// `NOT_FOUND`.
pub fn contest_view(state: &State, id: &ContestId) -> Result<Value, Refusal> {
    let contest = state.contests.get(id).ok_or_else(|| Refusal::not_found("contest", id))?;
    let mut categories: Vec<_> = state.categories_in(id).collect();
    categories.sort_by_key(|category| category.row.position);
    let standings: Value = serde_json::from_str(&contest.standings).unwrap_or(Value::Null);
    Ok(json!({
        "id": contest.id, "eventId": contest.event_id, "name": contest.name, "standings": standings,
        "categories": categories.iter().map(|category| &category.row.id).collect::<Vec<_>>(),
    }))
}

/// One category, with its criteria and entries.
///
/// # Errors
/// `NOT_FOUND`.
pub fn category_view(state: &State, id: &CategoryId) -> Result<Value, Refusal> {
    let category = state.categories.get(id).ok_or_else(|| Refusal::not_found("category", id))?;
    let criteria: Vec<CriterionSpec> = category
        .criteria_in_order()
        .into_iter()
        .map(|criterion| CriterionSpec {
            id: criterion.row.id.clone(),
            name: criterion.row.name.clone(),
            min: thousandths(criterion.row.min),
            max: thousandths(criterion.row.max),
            step: thousandths(criterion.row.step),
            weight: criterion.weight.clone(),
        })
        .collect();
    let mut entries: Vec<_> = category.entries.values().collect();
    entries.sort_by_key(|entry| entry.start_order);
    let entries: Vec<Value> = entries.into_iter().map(|entry| entry_view(entry)).collect::<Result<_, Refusal>>()?;
    Ok(json!({
        "id": category.row.id, "contestId": category.row.contest_id, "eventId": category.event_id,
        "name": category.row.name, "rules": category.rules, "minJudges": category.row.min_judges,
        "judgeVisibility": category.row.judge_visibility, "proxyEntry": category.row.proxy_entry, "criteria": criteria, "entries": entries,
    }))
}

/// A contestant in a category.
///
/// # Errors
/// `INTERNAL`; an entry is plain data, so there is no way to it.
pub fn entry_view(entry: &entry::Model) -> Result<Value, Refusal> {
    let spec = EntrySpec {
        contestant_id: entry.contestant_id.clone(),
        start_order: u32::try_from(entry.start_order).ok(),
        factor: entry.factor.parse::<Decimal>().ok(),
    };
    let mut view = to_value(spec)?;
    view["withdrawn"] = json!(entry.withdrawn);
    Ok(view)
}

/// One contestant.
///
/// # Errors
/// `NOT_FOUND`.
pub fn contestant_view(state: &State, id: &ContestantId) -> Result<Value, Refusal> {
    let contestant = state.contestants.get(id).ok_or_else(|| Refusal::not_found("contestant", id))?;
    Ok(json!({
        "id": contestant.id, "name": contestant.name, "number": contestant.number, "club": contestant.club,
        "country": contestant.country, "userId": contestant.user_id,
    }))
}
