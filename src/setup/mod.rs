//! Set-up: users, events, contests, categories, contestants, entries. Each part is put by one function, whether it
//! comes alone or in an import document.
//!
//! Invariants: what is refused names its place; nothing that marks hang on is removed or re-ranged under them.

pub mod assignments;
pub mod entries;
pub mod import;
pub mod keys;
pub mod list;
pub mod locks;
pub mod races;
pub mod spec;

use crate::auth::sessions::end_all;
use crate::command::{Decide, Draft};
use crate::db::entity::assignment::AssignmentStatus;
use crate::db::entity::event::EventStatus;
use crate::db::entity::{assignment, category, contest, contestant, criterion, entry, event, user};
use crate::error::Refusal;
use crate::events::event::{ContestantsChanged, Event, PublicChanged, SetupChanged, UserChanged};
use crate::events::room::Lane;
use crate::ids::{CategoryId, ContestId, ContestantId, EventId, UserId};
use crate::races::{lists, standing};
use crate::ranking::Decimal;
use crate::state::{Category, State};
use races::remove_race;
use serde_json::{Value, json};
use spec::{CategorySpec, ContestSpec, ContestantSpec, CriterionSpec, EntrySpec, EventSpec, UserSpec};
use std::collections::BTreeSet;

/// Longest name or title, in characters.
const TEXT_CHARS_MAX: usize = 300;
/// Most criteria of a category, entries of a category.
const CRITERIA_MAX: usize = 100;
const ENTRIES_MAX: usize = 5_000;

/// Whether something new is made, or something known is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refused when it exists.
    Create,
    /// Refused when it does not.
    Update,
    /// Either.
    Upsert,
}

impl Mode {
    fn check(self, exists: bool, what: &'static str, id: impl std::fmt::Display) -> Result<(), Refusal> {
        match (self, exists) {
            (Self::Create, true) => Err(Refusal::Duplicate { what, id: id.to_string() }),
            (Self::Update, false) => Err(Refusal::not_found(what, id)),
            _ => Ok(()),
        }
    }
}

/// A place within what was sent: `contests[0].categories[2]`.
#[derive(Clone, Debug, Default)]
pub struct At(String);

impl At {
    /// A field below this place.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        Self(if self.0.is_empty() { name.to_owned() } else { format!("{}.{name}", self.0) })
    }

    /// An item of a list below this place.
    #[must_use]
    pub fn item(&self, list: &str, index: usize) -> Self {
        Self(format!("{}[{index}]", self.field(list).0))
    }

    /// Something is wrong in a field here.
    pub fn wrong(&self, field: &str, message: impl std::fmt::Display) -> Refusal {
        Refusal::invalid(self.field(field).0, message)
    }
}

fn text(at: &At, field: &str, value: &str) -> Result<String, Refusal> {
    let value = value.trim();
    if value.is_empty() {
        return Err(at.wrong(field, "is empty"));
    }
    if value.chars().count() > TEXT_CHARS_MAX {
        return Err(at.wrong(field, format!("more than {TEXT_CHARS_MAX} characters")));
    }
    if value.chars().any(char::is_control) {
        return Err(at.wrong(field, "a control character"));
    }
    Ok(value.to_owned())
}

fn optional_text(at: &At, field: &str, value: Option<&String>) -> Result<Option<String>, Refusal> {
    value.filter(|value| !value.trim().is_empty()).map(|value| text(at, field, value)).transpose()
}

fn date(at: &At, field: &str, value: Option<&String>) -> Result<Option<String>, Refusal> {
    let Some(value) = optional_text(at, field, value)? else { return Ok(None) };
    let format = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(&value, &format).map_err(|_wrong| at.wrong(field, "is not a date like 2026-05-01"))?;
    Ok(Some(value))
}

fn web_address(at: &At, field: &str, value: Option<&String>) -> Result<Option<String>, Refusal> {
    let Some(value) = optional_text(at, field, value)? else { return Ok(None) };
    // It is put into pages: nothing but a plain address of the web.
    let plain = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    match plain.filter(|rest| !rest.is_empty() && !rest.contains([' ', '"', '\'', '<', '>', '\\'])) {
        Some(_) => Ok(Some(value)),
        None => Err(at.wrong(field, "is not an address like https://example.org/picture.jpg")),
    }
}

/// An email as users are known by: trimmed, lower case.
///
/// # Errors
/// `INVALID_DATA` when it is not an email.
pub fn email(at: &At, value: &str) -> Result<String, Refusal> {
    let value = text(at, "email", value)?.to_lowercase();
    let (local, domain) = value.split_once('@').ok_or_else(|| at.wrong("email", "is not an email address"))?;
    if local.is_empty() || domain.is_empty() || domain.contains('@') || value.len() > 254 || value.contains(' ') {
        return Err(at.wrong("email", "is not an email address"));
    }
    Ok(value)
}

/// The user with an email.
fn user_by_email(state: &State, at: &At, field: &str, address: &str) -> Result<UserId, Refusal> {
    state
        .emails
        .get(&address.trim().to_lowercase())
        .cloned()
        .ok_or_else(|| at.wrong(field, format!("no user has the email {address}")))
}

/// Makes or changes a user.
#[derive(Clone, Debug)]
pub struct PutUser {
    /// The user to change; none to make one.
    pub id: Option<UserId>,
    /// What they are to be.
    pub spec: UserSpec,
    /// The hash of the password in `spec`.
    pub password_hash: Option<String>,
}

/// What is left of a user after a change: everything but the secret.
#[must_use]
pub fn user_view(user: &user::Model) -> Value {
    json!({
        "id": user.id, "email": user.email, "name": user.name, "role": user.role, "active": user.active,
        "createdAt": user.created_at, "updatedAt": user.updated_at,
    })
}

fn put_user(
    draft: &mut Draft,
    at: &At,
    id: Option<&UserId>,
    spec: &UserSpec,
    hash: Option<String>,
) -> Result<UserId, Refusal> {
    let address = email(at, &spec.email)?;
    let name = text(at, "name", &spec.name)?;
    let holder = draft.state.emails.get(&address).cloned();
    if let (Some(holder), Some(id)) = (&holder, id)
        && holder != id
    {
        return Err(Refusal::Duplicate { what: "user", id: address });
    }
    let before = id.or(holder.as_ref()).and_then(|id| draft.state.users.get(id)).cloned();
    let row = user::Model {
        id: before.as_ref().map_or_else(|| draft.new_id(), |user| user.id.clone()),
        email: address,
        name,
        role: spec.role,
        password_hash: hash.or_else(|| before.as_ref().and_then(|user| user.password_hash.clone())),
        active: spec.active.unwrap_or_else(|| before.as_ref().is_none_or(|user| user.active)),
        session_version: before.as_ref().map_or(1, |user| user.session_version),
        created_at: before.as_ref().map_or(draft.now, |user| user.created_at),
        updated_at: draft.now,
    };
    let id = row.id.clone();
    if before.as_ref().is_some_and(|before| user::Model { updated_at: before.updated_at, ..row.clone() } == **before) {
        return Ok(id);
    }
    let switched_off = before.as_ref().is_some_and(|user| user.active) && !row.active;
    // A new password is often the answer to a lost tablet: whoever is signed in with the old one goes.
    let new_secret = before.is_some_and(|user| user.password_hash != row.password_hash);
    draft.put(row);
    if switched_off || new_secret {
        end_all(draft, &id)?;
    } else {
        draft.append(Event::UserChanged(UserChanged { user_id: id.clone() }));
    }
    Ok(id)
}

impl Decide for PutUser {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let at = At::default();
        match &self.id {
            Some(id) if !draft.state.users.contains_key(id) => return Err(Refusal::not_found("user", id)),
            Some(_) => {}
            None => {
                let address = email(&at, &self.spec.email)?;
                Mode::Create.check(draft.state.emails.contains_key(&address), "user", &address)?;
            }
        }
        let id = put_user(draft, &at, self.id.as_ref(), &self.spec, self.password_hash.clone())?;
        let user = draft.state.users.get(&id).ok_or(Refusal::Internal)?;
        Ok(user_view(user))
    }
}

/// Switches a user off and ends their sessions.
#[derive(Clone, Debug)]
pub struct DisableUser {
    /// Who.
    pub user: UserId,
}

impl Decide for DisableUser {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let row = draft.state.users.get(&self.user).ok_or_else(|| Refusal::not_found("user", &self.user))?;
        if row.active {
            let row = user::Model { active: false, ..row.as_ref().clone() };
            draft.put(row);
            end_all(draft, &self.user)?;
        }
        list::user(&draft.state, &self.user)
    }
}

impl EventStatus {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Startlist => "startlist",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Official => "official",
        }
    }

    /// What may follow: one step on, or one of the two corrections.
    #[must_use]
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Draft => &[Self::Startlist],
            Self::Startlist => &[Self::Running, Self::Draft],
            Self::Running => &[Self::Finished],
            Self::Finished => &[Self::Official, Self::Running],
            Self::Official => &[],
        }
    }

    fn to(self, requested: Self, at: &At) -> Result<Self, Refusal> {
        if requested == self || self.next().contains(&requested) {
            return Ok(requested);
        }
        Err(Refusal::BadTransition {
            field: at.field("status").0,
            current: self.as_str(),
            requested: requested.as_str(),
            valid: self.next().iter().map(|status| status.as_str()).collect(),
        })
    }
}

/// Makes or changes an event.
#[derive(Clone, Debug)]
pub struct PutEvent {
    /// Which of the two.
    pub mode: Mode,
    /// What it is to be.
    pub spec: EventSpec,
}

fn setup_changed(draft: &mut Draft, event: &EventId) {
    draft.append(Event::SetupChanged(SetupChanged { event_id: event.clone() }));
}

/// What the public was shown of an event before a change.
struct Shown(State);

impl Shown {
    fn before(draft: &Draft) -> Self {
        Self(draft.state.clone())
    }

    /// Tells the public, if it knew of the event or does now. `whole` says whether more than the status may have changed.
    fn after(self, draft: &mut Draft, event: &EventId, whole: bool) {
        let known = |status: Option<EventStatus>| status.is_some_and(|status| status != EventStatus::Draft);
        let status_in = |state: &State| state.events.get(event).map(|event| event.status);
        let (before, now) = (status_in(&self.0), status_in(&draft.state));
        let status = now.filter(|_| now != before);
        // What changed in a draft was told to nobody.
        let whole = whole || (known(now) && !known(before));
        if (known(before) || known(now)) && (whole || status.is_some()) {
            let fact = if whole { lists::changed(&self.0, &draft.state, event) } else { PublicChanged::whole(event) };
            draft.append(Event::PublicChanged(PublicChanged { status, whole, ..fact }));
        }
    }
}

/// Puts an event; whether anything changed.
fn put_event(draft: &mut Draft, at: &At, mode: Mode, spec: &EventSpec) -> Result<bool, Refusal> {
    let before = draft.state.events.get(&spec.id).cloned();
    mode.check(before.is_some(), "event", &spec.id)?;
    let status = match (&before, spec.status) {
        (Some(before), Some(requested)) => before.status.to(requested, at)?,
        (Some(before), None) => before.status,
        (None, requested) => requested.unwrap_or_default(),
    };
    let (start_date, end_date) =
        (date(at, "startDate", spec.start_date.as_ref())?, date(at, "endDate", spec.end_date.as_ref())?);
    if let (Some(start), Some(end)) = (&start_date, &end_date)
        && end < start
    {
        return Err(at.wrong("endDate", "lies before the start"));
    }
    let row = event::Model {
        id: spec.id.clone(),
        main_title: text(at, "mainTitle", &spec.main_title)?,
        sub_title: optional_text(at, "subTitle", spec.sub_title.as_ref())?,
        location: optional_text(at, "location", spec.location.as_ref())?,
        facility: optional_text(at, "facility", spec.facility.as_ref())?,
        image_url: web_address(at, "imageUrl", spec.image_url.as_ref())?,
        start_date,
        end_date,
        discipline: optional_text(at, "discipline", spec.discipline.as_ref())?,
        status,
        single_officer: spec.single_officer,
        frozen_at: before.as_ref().and_then(|event| event.frozen_at),
        allow_override: spec.allow_override,
        results_from: spec
            .merge
            .map(|merge| merge.results)
            .or_else(|| before.as_ref().map(|event| event.results_from))
            .unwrap_or_default(),
        rehearsal: before.as_ref().is_some_and(|event| event.rehearsal),
        created_at: before.as_ref().map_or(draft.now, |event| event.created_at),
        updated_at: draft.now,
    };
    if before.as_ref().is_some_and(|before| event::Model { updated_at: before.updated_at, ..row.clone() } == **before) {
        return Ok(false);
    }
    let other_source = before.is_some_and(|before| before.results_from != row.results_from);
    if other_source && status == EventStatus::Official {
        return Err(Refusal::State(format!("event {} is official, and its results stay", spec.id)));
    }
    draft.put(row);
    if other_source {
        standing::settle_all(draft, &spec.id);
    }
    Ok(true)
}

impl Decide for PutEvent {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let shown = Shown::before(draft);
        let changed = put_event(draft, &At::default(), self.mode, &self.spec)?;
        if changed {
            setup_changed(draft, &self.spec.id);
        }
        shown.after(draft, &self.spec.id, changed);
        list::event_view(&draft.state, &self.spec.id)
    }
}

/// Moves an event on in its life.
#[derive(Clone, Debug)]
pub struct SetEventStatus {
    /// Which.
    pub event: EventId,
    /// Where to.
    pub status: EventStatus,
}

impl Decide for SetEventStatus {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let before = draft.state.events.get(&self.event).ok_or_else(|| Refusal::not_found("event", &self.event))?;
        let status = before.status.to(self.status, &At::default())?;
        if status != before.status {
            let row = event::Model { status, updated_at: draft.now, ..before.as_ref().clone() };
            let shown = Shown::before(draft);
            draft.put(row);
            setup_changed(draft, &self.event);
            shown.after(draft, &self.event, false);
        }
        list::event_view(&draft.state, &self.event)
    }
}

/// Whether anything was ever written in a category, a flag or a mark: then it cannot be removed any more.
fn has_history(state: &State, category: &CategoryId) -> bool {
    state.lane_seq(&Lane::Category(category.clone())) > 0
}

/// Whether a mark was ever given in a category, taken out since or not: then its criteria stay what was marked.
fn was_judged(state: &State, category: &CategoryId) -> Result<bool, Refusal> {
    Ok(has_history(state, category) && state.board(category)?.was_marked())
}

fn must_have_no_history<'a>(
    state: &State,
    mut categories: impl Iterator<Item = &'a CategoryId>,
) -> Result<(), Refusal> {
    match categories.find(|category| has_history(state, category)) {
        Some(category) => Err(Refusal::State(format!("category {category} has a history; what happened is kept"))),
        None => Ok(()),
    }
}

fn remove_category(draft: &mut Draft, category: &Category) {
    for criterion in category.criteria.values() {
        draft.remove(criterion.row.clone());
    }
    for entry in category.entries.values() {
        draft.remove(entry.as_ref().clone());
    }
    draft.remove(category.row.clone());
}

/// Removes an event nothing was judged in.
#[derive(Clone, Debug)]
pub struct DeleteEvent {
    /// Which.
    pub event: EventId,
}

impl Decide for DeleteEvent {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let row = draft.state.events.get(&self.event).ok_or_else(|| Refusal::not_found("event", &self.event))?;
        let row = row.as_ref().clone();
        let categories: Vec<_> = draft.state.categories_of(&self.event).cloned().collect();
        must_have_no_history(&draft.state, categories.iter().map(|category| &category.row.id))?;
        must_not_be_staffed(&draft.state, &self.event, |_| true)?;
        for category in &categories {
            remove_category(draft, category);
        }
        for contest in draft.state.contests_of(&self.event) {
            draft.remove(contest.as_ref().clone());
        }
        let races: Vec<_> = draft.state.races_of(&self.event).into_iter().cloned().collect();
        if let Some(race) = races.iter().find(|race| !draft.state.racing.rows_of(&race.id).is_empty()) {
            return Err(Refusal::State(format!("race {} has results; what happened is kept", race.id)));
        }
        for race in races {
            remove_race(draft, &race);
        }
        for class in draft.state.racing.classes(&self.event).into_iter().cloned().collect::<Vec<_>>() {
            draft.remove(class.as_ref().clone());
        }
        for key in
            draft.state.racing.keys.values().filter(|key| key.event_id == self.event).cloned().collect::<Vec<_>>()
        {
            draft.remove(key.as_ref().clone());
        }
        let shown = Shown::before(draft);
        draft.remove(row);
        setup_changed(draft, &self.event);
        shown.after(draft, &self.event, true);
        Ok(json!({ "id": self.event }))
    }
}

/// A hat must not outlive what it is worn on: it would be worn again if the id came back.
fn must_not_be_staffed(
    state: &State,
    event: &EventId,
    below: impl Fn(&assignment::Model) -> bool,
) -> Result<(), Refusal> {
    let hats = state.hats_in.get(event).into_iter().flatten().filter_map(|id| state.assignments.get(id));
    let worn = |hat: &&std::sync::Arc<assignment::Model>| hat.status == AssignmentStatus::Active && below(hat);
    match hats.into_iter().find(worn) {
        Some(hat) => Err(Refusal::State(format!("assignment {} is on it; remove it first", hat.id))),
        None => Ok(()),
    }
}

/// Makes or changes a contest, without its categories.
#[derive(Clone, Debug)]
pub struct PutContest {
    /// Which of the two.
    pub mode: Mode,
    /// The event it belongs to.
    pub event: EventId,
    /// What it is to be.
    pub spec: ContestSpec,
}

fn put_contest(
    draft: &mut Draft,
    at: &At,
    mode: Mode,
    event: &EventId,
    spec: &ContestSpec,
    position: Option<i64>,
) -> Result<bool, Refusal> {
    draft.state.events.get(event).ok_or_else(|| Refusal::not_found("event", event))?;
    let before = draft.state.contests.get(&spec.id).cloned();
    mode.check(before.is_some(), "contest", &spec.id)?;
    if before.as_ref().is_some_and(|contest| contest.event_id != *event) {
        return Err(at.wrong("id", format!("contest {} belongs to another event", spec.id)));
    }
    let standings = spec.standings.clone().unwrap_or_default();
    if let Some(negative) = standings.weights.iter().find(|(_, weight)| weight.is_negative()) {
        return Err(at.wrong("standings", format!("the weight of {} is negative", negative.0)));
    }
    let standings = serde_json::to_string(&standings).map_err(|wrong| at.wrong("standings", wrong))?;
    let row = contest::Model {
        id: spec.id.clone(),
        event_id: event.clone(),
        name: text(at, "name", &spec.name)?,
        standings,
        position: position
            .or_else(|| before.as_ref().map(|contest| contest.position))
            .unwrap_or_else(|| i64::try_from(draft.state.contests_of(event).len()).unwrap_or(i64::MAX)),
    };
    if before.is_some_and(|before| *before == row) {
        return Ok(false);
    }
    draft.put(row);
    Ok(true)
}

impl Decide for PutContest {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        if put_contest(draft, &At::default(), self.mode, &self.event, &self.spec, None)? {
            setup_changed(draft, &self.event);
        }
        list::contest_view(&draft.state, &self.spec.id)
    }
}

/// Removes a contest nothing was judged in.
#[derive(Clone, Debug)]
pub struct DeleteContest {
    /// Which.
    pub contest: ContestId,
}

impl Decide for DeleteContest {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let row =
            draft.state.contests.get(&self.contest).ok_or_else(|| Refusal::not_found("contest", &self.contest))?;
        let row = row.as_ref().clone();
        let categories: Vec<_> = draft.state.categories_in(&self.contest).cloned().collect();
        must_have_no_history(&draft.state, categories.iter().map(|category| &category.row.id))?;
        must_not_be_staffed(&draft.state, &row.event_id, |hat| hat.contest_id.as_ref() == Some(&self.contest))?;
        for category in &categories {
            remove_category(draft, category);
        }
        let event = row.event_id.clone();
        draft.remove(row);
        setup_changed(draft, &event);
        Ok(json!({ "id": self.contest }))
    }
}

/// Makes or changes a category with its criteria and, where given, its entries.
#[derive(Clone, Debug)]
pub struct PutCategory {
    /// Which of the two.
    pub mode: Mode,
    /// The contest it belongs to.
    pub contest: ContestId,
    /// What it is to be.
    pub spec: CategorySpec,
}

fn check_criterion(at: &At, spec: &CriterionSpec) -> Result<(), Refusal> {
    let (min, max, step) = (spec.min.thousandths(), spec.max.thousandths(), spec.step.thousandths());
    if max <= min {
        return Err(at.wrong("max", "must be more than min"));
    }
    if step <= 0 {
        return Err(at.wrong("step", "must be more than zero"));
    }
    if (max - min) % step != 0 {
        return Err(at.wrong("step", "no whole number of steps leads from min to max"));
    }
    if spec.weight.is_negative() {
        return Err(at.wrong("weight", "is negative"));
    }
    Ok(())
}

fn criterion_row(
    at: &At,
    category: &CategoryId,
    spec: &CriterionSpec,
    position: usize,
) -> Result<criterion::Model, Refusal> {
    check_criterion(at, spec)?;
    Ok(criterion::Model {
        category_id: category.clone(),
        id: spec.id.clone(),
        name: text(at, "name", &spec.name)?,
        min: spec.min.thousandths(),
        max: spec.max.thousandths(),
        step: spec.step.thousandths(),
        weight: spec.weight.to_string(),
        position: i64::try_from(position).unwrap_or(i64::MAX),
    })
}

fn put_criteria(draft: &mut Draft, at: &At, spec: &CategorySpec) -> Result<bool, Refusal> {
    if spec.criteria.is_empty() || spec.criteria.len() > CRITERIA_MAX {
        return Err(at.wrong("criteria", format!("a category has 1 to {CRITERIA_MAX} criteria")));
    }
    let frozen = |what: &str| Err(Refusal::State(format!("category {} has marks; {what}", spec.id)));
    let known = draft.state.categories.get(&spec.id).map(|category| category.criteria.clone()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut changed = false;
    for (index, criterion) in spec.criteria.iter().enumerate() {
        let at = at.item("criteria", index);
        if !seen.insert(criterion.id.clone()) {
            return Err(at.wrong("id", format!("criterion {} is there twice", criterion.id)));
        }
        let row = criterion_row(&at, &spec.id, criterion, index)?;
        let range = |row: &criterion::Model| (row.min, row.max, row.step);
        // The marks are asked for only where it matters: most documents say again what is there.
        match known.get(&criterion.id) {
            Some(before) if before.row == row => continue,
            Some(before) if range(&before.row) == range(&row) => {}
            Some(_) if was_judged(&draft.state, &spec.id)? => return frozen("the range of a criterion stays"),
            None if was_judged(&draft.state, &spec.id)? => return frozen("its criteria stay"),
            Some(_) | None => {}
        }
        draft.put(row);
        changed = true;
    }
    for gone in known.values().filter(|criterion| !seen.contains(&criterion.row.id)) {
        if was_judged(&draft.state, &spec.id)? {
            return frozen("its criteria stay");
        }
        draft.remove(gone.row.clone());
        changed = true;
    }
    Ok(changed)
}

fn put_entries(draft: &mut Draft, at: &At, category: &CategoryId, specs: &[EntrySpec]) -> Result<bool, Refusal> {
    if specs.len() > ENTRIES_MAX {
        return Err(Refusal::TooLarge { what: "entries", max: ENTRIES_MAX });
    }
    let known = draft.state.categories.get(category).map(|category| category.entries.clone()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut changed = false;
    for (index, spec) in specs.iter().enumerate() {
        let at = at.item("entries", index);
        if !draft.state.contestants.contains_key(&spec.contestant_id) {
            return Err(at.wrong("contestantId", format!("contestant {} does not exist", spec.contestant_id)));
        }
        if !seen.insert(&spec.contestant_id) {
            return Err(at.wrong("contestantId", format!("contestant {} is there twice", spec.contestant_id)));
        }
        let before = known.get(&spec.contestant_id);
        let factor = spec.factor.clone().unwrap_or_else(Decimal::one);
        if factor.is_negative() || factor.is_zero() {
            return Err(at.wrong("factor", "must be more than zero"));
        }
        let row = entry::Model {
            category_id: category.clone(),
            contestant_id: spec.contestant_id.clone(),
            start_order: spec.start_order.map_or_else(|| i64::try_from(index + 1).unwrap_or(i64::MAX), i64::from),
            factor: factor.to_string(),
            withdrawn: before.is_some_and(|entry| entry.withdrawn),
        };
        if before.is_some_and(|before| **before == row) {
            continue;
        }
        draft.put(row);
        changed = true;
    }
    Ok(changed)
}

fn put_category(
    draft: &mut Draft,
    at: &At,
    mode: Mode,
    contest: &ContestId,
    spec: &CategorySpec,
    position: Option<i64>,
) -> Result<bool, Refusal> {
    draft.state.contests.get(contest).ok_or_else(|| Refusal::not_found("contest", contest))?;
    let before = draft.state.categories.get(&spec.id).map(|category| category.row.clone());
    mode.check(before.is_some(), "category", &spec.id)?;
    if before.as_ref().is_some_and(|category| category.contest_id != *contest) {
        return Err(at.wrong("id", format!("category {} belongs to another contest", spec.id)));
    }
    let ids: Vec<&str> = spec.criteria.iter().map(|criterion| criterion.id.as_str()).collect();
    let min_judges = spec.min_judges.unwrap_or(1);
    let ranges: Vec<_> =
        spec.criteria.iter().map(|range| (range.id.as_str(), range.min, range.max, range.step)).collect();
    spec.rules.check_criteria(&ranges).map_err(|error| at.wrong(&error.field, error.message))?;
    spec.rules.check(&ids, min_judges).map_err(|error| at.field("rules").wrong(&error.field, error.message))?;
    let row = category::Model {
        id: spec.id.clone(),
        contest_id: contest.clone(),
        name: text(at, "name", &spec.name)?,
        rules: serde_json::to_string(&spec.rules).map_err(|wrong| at.wrong("rules", wrong))?,
        min_judges: i64::from(min_judges),
        judge_visibility: spec.judge_visibility,
        proxy_entry: spec.proxy_entry,
        position: position
            .or_else(|| before.as_ref().map(|category| category.position))
            .unwrap_or_else(|| i64::try_from(draft.state.categories_in(contest).count()).unwrap_or(i64::MAX)),
    };
    let mut changed = before.as_ref() != Some(&row);
    if changed {
        draft.put(row);
    }
    changed |= put_criteria(draft, at, spec)?;
    changed |= put_entries(draft, at, &spec.id, &spec.entries)?;
    Ok(changed)
}

impl Decide for PutCategory {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let at = At::default();
        let mut changed = put_category(draft, &at, self.mode, &self.contest, &self.spec, None)?;
        let event = draft.state.categories.get(&self.spec.id).ok_or(Refusal::Internal)?.event_id.clone();
        changed |=
            import::put_hats(draft, &at, &import::category_place(draft, &self.spec.id)?, &self.spec.assignments)?;
        if changed {
            setup_changed(draft, &event);
        }
        list::category_view(&draft.state, &self.spec.id)
    }
}

/// Removes a category nothing was judged in.
#[derive(Clone, Debug)]
pub struct DeleteCategory {
    /// Which.
    pub category: CategoryId,
}

impl Decide for DeleteCategory {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let category =
            draft.state.categories.get(&self.category).ok_or_else(|| Refusal::not_found("category", &self.category))?;
        let category = category.as_ref().clone();
        must_have_no_history(&draft.state, std::iter::once(&self.category))?;
        must_not_be_staffed(&draft.state, &category.event_id, |hat| hat.category_id.as_ref() == Some(&self.category))?;
        remove_category(draft, &category);
        setup_changed(draft, &category.event_id);
        Ok(json!({ "id": self.category }))
    }
}

/// Replaces the start list of a category.
#[derive(Clone, Debug)]
pub struct PutEntries {
    /// Which.
    pub category: CategoryId,
    /// The whole list.
    pub entries: Vec<EntrySpec>,
}

impl Decide for PutEntries {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let category =
            draft.state.categories.get(&self.category).ok_or_else(|| Refusal::not_found("category", &self.category))?;
        let (event, known) = (category.event_id.clone(), category.entries.clone());
        let mut changed = put_entries(draft, &At::default(), &self.category, &self.entries)?;
        let kept: BTreeSet<&ContestantId> = self.entries.iter().map(|entry| &entry.contestant_id).collect();
        let board = draft.state.board(&self.category)?.clone();
        for gone in known.values().filter(|entry| !kept.contains(&entry.contestant_id)) {
            if board.marks().any(|mark| mark.contestant_id == gone.contestant_id) {
                return Err(Refusal::State(format!("contestant {} has marks; withdraw instead", gone.contestant_id)));
            }
            if gone.withdrawn {
                return Err(Refusal::State(format!(
                    "contestant {} has withdrawn, and stays on record",
                    gone.contestant_id
                )));
            }
            draft.remove(gone.as_ref().clone());
            changed = true;
        }
        if changed {
            setup_changed(draft, &event);
        }
        list::category_view(&draft.state, &self.category)
    }
}

/// Makes or changes a contestant.
#[derive(Clone, Debug)]
pub struct PutContestant {
    /// Which of the two.
    pub mode: Mode,
    /// What they are to be.
    pub spec: ContestantSpec,
}

fn put_contestant(draft: &mut Draft, at: &At, mode: Mode, spec: &ContestantSpec) -> Result<bool, Refusal> {
    let before = draft.state.contestants.get(&spec.id).cloned();
    mode.check(before.is_some(), "contestant", &spec.id)?;
    let user_id =
        spec.user_email.as_ref().map(|address| user_by_email(&draft.state, at, "userEmail", address)).transpose()?;
    let row = contestant::Model {
        id: spec.id.clone(),
        name: text(at, "name", &spec.name)?,
        number: optional_text(at, "number", spec.number.as_ref())?,
        club: optional_text(at, "club", spec.club.as_ref())?,
        country: optional_text(at, "country", spec.country.as_ref())?,
        user_id,
    };
    if before.is_some_and(|before| *before == row) {
        return Ok(false);
    }
    draft.put(row);
    Ok(true)
}

impl Decide for PutContestant {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        if put_contestant(draft, &At::default(), self.mode, &self.spec)? {
            draft.append(Event::ContestantsChanged(ContestantsChanged { contestant_ids: vec![self.spec.id.clone()] }));
        }
        list::contestant_view(&draft.state, &self.spec.id)
    }
}

/// Removes a contestant who is entered nowhere.
#[derive(Clone, Debug)]
pub struct DeleteContestant {
    /// Who.
    pub contestant: ContestantId,
}

impl Decide for DeleteContestant {
    fn decide(&self, draft: &mut Draft) -> Result<Value, Refusal> {
        draft.actor.must_run_installation(&draft.state)?;
        let id = &self.contestant;
        let row = draft.state.contestants.get(id).ok_or_else(|| Refusal::not_found("contestant", id))?.as_ref().clone();
        if let Some(category) = draft.state.categories.values().find(|category| category.entries.contains_key(id)) {
            return Err(Refusal::State(format!("contestant {id} is entered in category {}", category.row.id)));
        }
        draft.remove(row);
        draft.append(Event::ContestantsChanged(ContestantsChanged { contestant_ids: vec![id.clone()] }));
        Ok(json!({ "id": id }))
    }
}
