//! Who stands where: seats, rooms and lanes, all derived from roles, hats and their history.
//!
//! Invariant: the judging hat wins. Whoever judges a category, or once did, is never in its office.

use super::{Category, State};
use crate::auth::role::{Hat, Role};
use crate::db::entity::assignment::{self, AssignmentStatus};
use crate::db::entity::event::EventStatus;
use crate::error::Refusal;
use crate::events::room::{Lane, Room};
use crate::ids::{CategoryId, ContestId, EventId, UserId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many lanes a session is told of; the others are reached by resuming them.
pub const LANES_TOLD_MAX: usize = 500;

/// Where a user sits in a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Judges it now.
    Judge,
    /// Judged it once, and is here for another reason: sees no foreign mark.
    FormerJudge,
    /// Reads every mark of it.
    Office,
    /// Has a hat on it that reads no marks.
    Guest,
    /// Has no business with it.
    Stranger,
}

fn covers(hat: &assignment::Model, category: &Category) -> bool {
    hat.event_id == category.event_id
        && hat.contest_id.as_ref().is_none_or(|contest| *contest == category.row.contest_id)
        && hat.category_id.as_ref().is_none_or(|id| *id == category.row.id)
}

fn worn(hat: &assignment::Model) -> bool {
    hat.status == AssignmentStatus::Active
}

/// How exactly a hat says where it is worn.
fn precision(hat: &assignment::Model) -> u8 {
    u8::from(hat.contest_id.is_some()) + u8::from(hat.category_id.is_some())
}

/// The hats of one user by the narrowest place each names: whoever asks about many categories looks at each hat once.
#[derive(Debug)]
struct Wardrobe<'a>(BTreeMap<&'a str, Vec<&'a assignment::Model>>);

impl<'a> Wardrobe<'a> {
    fn of(state: &'a State, user: &UserId) -> Self {
        let mut hats: BTreeMap<&str, Vec<&assignment::Model>> = BTreeMap::new();
        for hat in state.hats_ever(user) {
            let (category, contest) = (hat.category_id.as_ref(), hat.contest_id.as_ref());
            let place = category.map(CategoryId::as_str).or(contest.map(ContestId::as_str));
            hats.entry(place.unwrap_or(hat.event_id.as_str())).or_default().push(hat);
        }
        Self(hats)
    }

    /// Those that cover a category, worn or laid down.
    fn on(&self, category: &Category) -> Vec<&'a assignment::Model> {
        let places = [category.row.id.as_str(), category.row.contest_id.as_str(), category.event_id.as_str()];
        let hats = places.into_iter().filter_map(|place| self.0.get(place)).flatten();
        hats.copied().filter(|hat| covers(hat, category)).collect()
    }
}

/// Which of these hats are worn.
fn kinds(hats: &[&assignment::Model]) -> BTreeSet<Hat> {
    hats.iter().filter(|hat| worn(hat)).map(|hat| hat.hat).collect()
}

/// Where somebody sits by all the hats that cover the category, worn or laid down.
fn seat(role: Role, hats: &[&assignment::Model]) -> Seat {
    let (kinds, runs) = (kinds(hats), role.runs_installation());
    if kinds.iter().any(|hat| hat.judges()) {
        return Seat::Judge;
    }
    if kinds.is_empty() && !runs {
        return Seat::Stranger;
    }
    if hats.iter().any(|hat| hat.hat.judges()) {
        return Seat::FormerJudge;
    }
    if runs || kinds.iter().any(|hat| hat.reads_all_marks()) { Seat::Office } else { Seat::Guest }
}

/// The rooms of a category somebody stands in by those hats.
fn category_rooms(role: Role, hats: &[&assignment::Model], category: &CategoryId) -> Vec<Room> {
    let id = || category.clone();
    let kinds = kinds(hats);
    let mut rooms = Vec::new();
    if !kinds.is_empty() {
        rooms.push(Room::Category(id()));
    }
    match seat(role, hats) {
        Seat::Judge => {
            rooms.push(Room::CategoryHat(id(), Hat::Judge));
            if kinds.contains(&Hat::HeadJudge) {
                rooms.push(Room::CategoryHat(id(), Hat::HeadJudge));
            }
        }
        Seat::FormerJudge => rooms.push(Room::CategoryFormerJudge(id())),
        Seat::Office | Seat::Guest => rooms.extend(kinds.into_iter().map(|hat| Room::CategoryHat(id(), hat))),
        Seat::Stranger => {}
    }
    rooms
}

/// A judge of a category, as the tally asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelJudge {
    /// Who.
    pub judge: UserId,
    /// Whether a mark is still expected of them.
    pub active: bool,
    /// Whether they preside.
    pub head: bool,
    /// Whether their marks enter.
    pub counts: bool,
}

impl State {
    /// Every hat a user wears or wore.
    pub fn hats_ever(&self, user: &UserId) -> impl Iterator<Item = &Arc<assignment::Model>> {
        self.hats_of.get(user).into_iter().flatten().filter_map(|id| self.assignments.get(id))
    }

    /// Every hat a user wears.
    pub fn hats_worn(&self, user: &UserId) -> impl Iterator<Item = &Arc<assignment::Model>> {
        self.hats_ever(user).filter(|hat| worn(hat))
    }

    /// The hats a user wears on a category, the wider ones included.
    #[must_use]
    pub fn hats_on(&self, user: &UserId, category: &Category) -> BTreeSet<Hat> {
        self.hats_worn(user).filter(|hat| covers(hat, category)).map(|hat| hat.hat).collect()
    }

    /// The role of an active user.
    #[must_use]
    pub fn role_of(&self, user: &UserId) -> Option<Role> {
        self.users.get(user).filter(|user| user.active).map(|user| user.role)
    }

    /// Where a user sits in a category.
    #[must_use]
    pub fn seat(&self, user: &UserId, category: &Category) -> Seat {
        let Some(role) = self.role_of(user) else { return Seat::Stranger };
        let hats: Vec<&assignment::Model> =
            self.hats_ever(user).map(Arc::as_ref).filter(|hat| covers(hat, category)).collect();
        seat(role, &hats)
    }

    /// Passes whoever neither judges a category nor ever did: the judging hat wins over every other role and hat.
    ///
    /// # Errors
    /// `SEPARATION_OF_DUTIES`.
    pub fn must_not_judge(&self, user: &UserId, category: &Category) -> Result<(), Refusal> {
        match self.seat(user, category) {
            Seat::Judge | Seat::FormerJudge => {
                Err(Refusal::SeparationOfDuties("whoever judges a category, or ever did, only judges it"))
            }
            Seat::Office | Seat::Guest | Seat::Stranger => Ok(()),
        }
    }

    /// Passes who may act under a hat of a category's office.
    ///
    /// # Errors
    /// `SEPARATION_OF_DUTIES` for whoever judges the category, or ever did; `FORBIDDEN` for all others without the hat.
    pub fn must_be_officer(&self, user: &UserId, category: &Category, hat: Hat) -> Result<(), Refusal> {
        self.must_not_judge(user, category)?;
        // ADMIN and ORGANIZER give the hats out; they do not sign under one they gave themselves.
        let gives_hats = self.role_of(user).is_some_and(Role::runs_installation);
        let there = self.seat(user, category) != Seat::Stranger;
        if there && !gives_hats && self.hats_on(user, category).contains(&hat) {
            Ok(())
        } else {
            Err(Refusal::Forbidden)
        }
    }

    /// Everybody who judges a category or once did, one line a person.
    #[must_use]
    pub fn panel(&self, category: &Category) -> Vec<PanelJudge> {
        let mut hats: Vec<&Arc<assignment::Model>> = self
            .hats_in
            .get(&category.event_id)
            .into_iter()
            .flatten()
            .filter_map(|id| self.assignments.get(id))
            .filter(|hat| hat.hat.judges() && covers(hat, category))
            .collect();
        // Worn before laid down, then the most exact, then the latest: the first of each person speaks for them.
        hats.sort_by_key(|hat| {
            (hat.user_id.clone(), !worn(hat), std::cmp::Reverse(precision(hat)), std::cmp::Reverse(hat.assigned_at))
        });
        hats.dedup_by(|later, first| later.user_id == first.user_id);
        hats.into_iter()
            .map(|hat| PanelJudge {
                judge: hat.user_id.clone(),
                active: worn(hat),
                head: hat.hat == Hat::HeadJudge,
                counts: hat.counts,
            })
            .collect()
    }

    /// What a user's hats reach.
    #[must_use]
    pub fn reach_of<'a>(&'a self, user: &'a UserId) -> Reach<'a> {
        Reach { state: self, user, role: self.role_of(user), wardrobe: Wardrobe::of(self, user) }
    }

    /// All rooms of a user's sockets; none for a user who is switched off.
    #[must_use]
    pub fn rooms_of(&self, user: &UserId) -> BTreeSet<Room> {
        self.reach_of(user).rooms()
    }

    /// Whether anyone may know of an event.
    #[must_use]
    pub fn is_public(&self, event: &EventId) -> bool {
        self.events.get(event).is_some_and(|event| event.status != EventStatus::Draft)
    }

    /// Whether whoever stands in these rooms is a member of a lane. Of the public's lanes everybody is, once the event is
    /// known.
    #[must_use]
    pub fn is_member(&self, rooms: &BTreeSet<Room>, lane: &Lane) -> bool {
        match lane {
            Lane::Public(event) => self.is_public(event),
            Lane::Category(_) | Lane::Event(_) | Lane::User(_) | Lane::System => lane.comes_to(rooms),
        }
    }

    /// Whether a user may read names and schedules of an event: runs the installation, or has a hat on it or below it.
    #[must_use]
    pub fn is_staff_of(&self, user: &UserId, event: &EventId) -> bool {
        self.role_of(user)
            .is_some_and(|role| role.runs_installation() || self.hats_worn(user).any(|hat| hat.event_id == *event))
    }
}

/// What the hats of a user reach: rooms, lanes and seats, for whoever asks for more than one of them.
#[derive(Debug)]
pub struct Reach<'a> {
    state: &'a State,
    user: &'a UserId,
    /// None of a user who is switched off: they reach nothing.
    role: Option<Role>,
    wardrobe: Wardrobe<'a>,
}

impl<'a> Reach<'a> {
    /// All rooms of the user's sockets; none for a user who is switched off.
    #[must_use]
    pub fn rooms(&self) -> BTreeSet<Room> {
        let Some(role) = self.role else { return BTreeSet::new() };
        let mut rooms = BTreeSet::from([Room::Everyone, Room::User(self.user.clone()), Room::Role(role)]);
        // A hat that was laid down gives no room, but it can take one away: so every category it ever reached is asked.
        for category in self.categories() {
            rooms.extend(category_rooms(role, &self.wardrobe.on(category), &category.row.id));
        }
        for hat in self.state.hats_worn(self.user) {
            rooms.insert(Room::Event(hat.event_id.clone()));
            match &hat.contest_id {
                Some(contest) => {
                    rooms.insert(Room::Contest(contest.clone()));
                }
                None => rooms.extend(
                    self.state.contests_of(&hat.event_id).into_iter().map(|contest| Room::Contest(contest.id.clone())),
                ),
            }
        }
        rooms
    }

    /// The lanes a session is told of: those of events that are not official yet, at most [`LANES_TOLD_MAX`].
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        let Some(role) = self.role else { return Vec::new() };
        let state = self.state;
        let open = |event: &EventId| {
            // Rehearsals are many, and must not crowd out what is real; who follows one resumes its lanes.
            state.events.get(event).is_some_and(|event| event.status != EventStatus::Official && !event.rehearsal)
        };
        let mut lanes = vec![Lane::System, Lane::User(self.user.clone())];
        if role.runs_installation() {
            for event in state.events.keys().filter(|event| open(event)) {
                lanes.push(Lane::Event(event.clone()));
                lanes.extend(state.categories_of(event).map(|category| Lane::Category(category.row.id.clone())));
            }
        } else {
            let events: BTreeSet<&EventId> =
                state.hats_worn(self.user).map(|hat| &hat.event_id).filter(|event| open(event)).collect();
            lanes.extend(events.iter().copied().cloned().map(Lane::Event));
            let reads = |category: &Category| self.wardrobe.on(category).into_iter().any(worn);
            let mut categories: Vec<&CategoryId> = self
                .categories()
                .into_iter()
                .filter(|category| events.contains(&category.event_id) && reads(category))
                .map(|category| &category.row.id)
                .collect();
            categories.sort();
            lanes.extend(categories.into_iter().cloned().map(Lane::Category));
        }
        lanes.truncate(LANES_TOLD_MAX);
        lanes
    }

    /// The categories of these lanes in which the user has a seat.
    pub fn seats<'b>(
        &'b self,
        lanes: impl IntoIterator<Item = &'b Lane>,
        wanted: Seat,
    ) -> impl Iterator<Item = &'a Arc<Category>> {
        let categories = lanes.into_iter().filter_map(|lane| match lane {
            Lane::Category(id) => self.state.categories.get(id),
            Lane::Event(_) | Lane::User(_) | Lane::Public(_) | Lane::System => None,
        });
        let role = self.role;
        categories.filter(move |category| role.is_some_and(|role| seat(role, &self.wardrobe.on(category)) == wanted))
    }

    /// Every category a hat covers, worn or laid down.
    fn categories(&self) -> Vec<&'a Arc<Category>> {
        let (mut seen, mut reached) = (BTreeSet::new(), Vec::new());
        for hat in self.state.hats_ever(self.user) {
            let mut reach = |category: &&'a Arc<Category>| covers(hat, category) && seen.insert(&category.row.id);
            match &hat.category_id {
                Some(id) => reached.extend(self.state.categories.get(id).filter(&mut reach)),
                None => reached.extend(self.state.categories_of(&hat.event_id).filter(&mut reach)),
            }
        }
        reached
    }
}
