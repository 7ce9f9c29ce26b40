//! Rights as the contract words them, against random people: whoever they are and whatever they once were, each member
//! of a lane gets one variant of each fact, and no judge a foreign mark.
//!
//! The oracles below are written from sections 2, 3.1 and 3.2 of the contract and know nothing of seats.

use crate::support::START;
use proptest::prelude::*;
use scorecast::auth::role::{Hat, Role};
use scorecast::db::entity::assignment::{self, AssignmentStatus};
use scorecast::db::entity::category::{self, JudgeVisibility};
use scorecast::db::entity::event::{self, EventStatus, ResultsFrom};
use scorecast::db::entity::{contest, user};
use scorecast::db::row::Row;
use scorecast::events::audience::{Delivery, variant_for};
use scorecast::events::event::{
    AssignmentChanged, ContestantsChanged, Event, ScoreUpdated, SessionChanged, SetupChanged, Text, UserChanged,
};
use scorecast::events::log::{GENESIS, LogHead};
use scorecast::events::room::{Lane, Room};
use scorecast::events::view::AnyView;
use scorecast::ids::{CategoryId, UserId};
use scorecast::setup::assignments::fact_of;
use scorecast::state::State;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::str::FromStr;

const USERS: usize = 6;
const HATS_MAX: usize = 16;
const EVENTS: [&str; 2] = ["e1", "e2"];
/// Contests and their events.
const CONTESTS: [(&str, &str); 3] = [("c1", "e1"), ("c2", "e1"), ("c3", "e2")];
/// Categories, their contests and events.
const CATEGORIES: [(&str, &str, &str); 4] =
    [("k1", "c1", "e1"), ("k2", "c1", "e1"), ("k3", "c2", "e1"), ("k4", "c3", "e2")];
/// Where a hat can be worn: an event, a contest, a category.
const PLACES: [(&str, Option<&str>, Option<&str>); 9] = [
    ("e1", None, None),
    ("e2", None, None),
    ("e1", Some("c1"), None),
    ("e1", Some("c2"), None),
    ("e2", Some("c3"), None),
    ("e1", Some("c1"), Some("k1")),
    ("e1", Some("c1"), Some("k2")),
    ("e1", Some("c2"), Some("k3")),
    ("e2", Some("c3"), Some("k4")),
];

#[derive(Clone, Debug)]
struct Person {
    role: Role,
    active: bool,
}

/// A hat that is worn or was.
#[derive(Clone, Debug)]
struct Given {
    user: usize,
    hat: Hat,
    place: usize,
    worn: bool,
}

/// Some people, what they are and what they were.
#[derive(Clone, Debug)]
struct People {
    persons: Vec<Person>,
    hats: Vec<Given>,
    official: [bool; 2],
}

fn people() -> impl Strategy<Value = People> {
    let person = (proptest::sample::select(Role::ALL.to_vec()), proptest::bool::weighted(0.85))
        .prop_map(|(role, active)| Person { role, active });
    // Judges and their past are what the masking is about: half of the hats are theirs.
    let hat = prop_oneof![Just(Hat::Judge), Just(Hat::HeadJudge), proptest::sample::select(Hat::ALL.to_vec())];
    let given = (0..USERS, hat, 0..PLACES.len(), proptest::bool::weighted(0.6))
        .prop_map(|(user, hat, place, worn)| Given { user, hat, place, worn });
    (
        proptest::collection::vec(person, USERS),
        proptest::collection::vec(given, 0..HATS_MAX),
        proptest::array::uniform2(proptest::bool::weighted(0.2)),
    )
        .prop_map(|(persons, hats, official)| People { persons, hats, official })
}

fn id<T: FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a well-formed id")
}

fn user_id(user: usize) -> UserId {
    id(&format!("u{user}"))
}

// The contract's words.

impl Given {
    /// A hat on a category, a contest or an event applies to every category below.
    fn applies_to(&self, category: usize) -> bool {
        let (category, contest, event) = CATEGORIES[category];
        let (on_event, on_contest, on_category) = PLACES[self.place];
        match (on_contest, on_category) {
            (_, Some(on)) => on == category,
            (Some(on), None) => on == contest,
            (None, None) => on_event == event,
        }
    }

    fn judges(&self) -> bool {
        self.hat == Hat::Judge || self.hat == Hat::HeadJudge
    }
}

impl People {
    fn runs_installation(&self, user: usize) -> bool {
        self.persons[user].role == Role::Admin || self.persons[user].role == Role::Organizer
    }

    fn hats(&self, user: usize) -> impl Iterator<Item = &Given> {
        self.hats.iter().filter(move |hat| hat.user == user)
    }

    fn wears(&self, user: usize, category: usize, which: impl Fn(&Given) -> bool) -> bool {
        self.hats(user).any(|hat| hat.worn && hat.applies_to(category) && which(hat))
    }

    fn judges_or_has_judged(&self, user: usize, category: usize) -> bool {
        self.hats(user).any(|hat| hat.applies_to(category) && hat.judges())
    }

    /// 3.1: `cat:{categoryId}` ADMIN, ORGANIZER and every hat on the category.
    fn is_in_category_lane(&self, user: usize, category: usize) -> bool {
        self.persons[user].active && (self.runs_installation(user) || self.wears(user, category, |_| true))
    }

    /// 3.1: `evt:{eventId}` ADMIN, ORGANIZER and every hat on or below the event.
    fn is_in_event_lane(&self, user: usize, event: &str) -> bool {
        let wears = || self.hats(user).any(|hat| hat.worn && PLACES[hat.place].0 == event);
        self.persons[user].active && (self.runs_installation(user) || wears())
    }

    /// 2: staff of an event is ADMIN, ORGANIZER, or a hat on it or below it. Whoever is switched off is nobody's staff.
    fn is_staff_of(&self, user: usize, event: &str) -> bool {
        self.is_in_event_lane(user, event)
    }

    fn is_member(&self, user: usize, lane: &Lane) -> bool {
        let active = self.persons[user].active;
        match lane {
            Lane::Category(id) => {
                let at = CATEGORIES.iter().position(|(category, ..)| *category == id.as_str());
                self.is_in_category_lane(user, at.expect("one of ours"))
            }
            Lane::Event(id) => self.is_in_event_lane(user, id.as_str()),
            Lane::User(id) => active && *id == user_id(user),
            // Nobody of the scoring plane is told of the public lane.
            Lane::Public(_) => false,
            Lane::System => active,
        }
    }

    /// 3.2 for a mark by `author`; the judging hat wins, and separation of duties looks at history.
    fn variant_of_mark(&self, user: usize, author: usize, category: usize, visibility: JudgeVisibility) -> Variant {
        let reads_all = |hat: &Given| hat.hat == Hat::TallyMaster || hat.hat == Hat::Auditor || hat.hat == Hat::Board;
        if !self.is_in_category_lane(user, category) {
            Variant::Nothing
        } else if user == author {
            Variant::Own
        } else if self.judges_or_has_judged(user, category) {
            match visibility {
                JudgeVisibility::Presence => Variant::Masked,
                JudgeVisibility::Own => Variant::Tick,
            }
        } else if self.runs_installation(user) || self.wears(user, category, reads_all) {
            Variant::Full
        } else {
            Variant::Tick
        }
    }

    /// The table of rooms at the top of section 3, one question a room.
    fn is_in_room(&self, user: usize, room: &Room) -> bool {
        let category = |id: &CategoryId| {
            CATEGORIES.iter().position(|(category, ..)| *category == id.as_str()).expect("one of ours")
        };
        let inside = match room {
            Room::Everyone => true,
            Room::User(id) => *id == user_id(user),
            Room::Role(role) => self.persons[user].role == *role,
            Room::Event(id) => self.hats(user).any(|hat| hat.worn && PLACES[hat.place].0 == id.as_str()),
            Room::Contest(id) => self.hats(user).any(|hat| {
                let (event, contest, _) = PLACES[hat.place];
                let above = || CONTESTS.contains(&(id.as_str(), event));
                hat.worn && contest.map_or_else(above, |contest| contest == id.as_str())
            }),
            Room::Category(id) => self.wears(user, category(id), |_| true),
            Room::CategoryHat(id, Hat::Judge) => self.wears(user, category(id), Given::judges),
            // A judge is in no other hat room, and whoever was one is in none at all.
            Room::CategoryHat(id, hat) => {
                let judge = self.judges_or_has_judged(user, category(id)) && *hat != Hat::HeadJudge;
                !judge && self.wears(user, category(id), |given| given.hat == *hat)
            }
            Room::CategoryFormerJudge(id) => {
                self.judges_or_has_judged(user, category(id))
                    && !self.wears(user, category(id), Given::judges)
                    && self.is_in_category_lane(user, category(id))
            }
        };
        self.persons[user].active && inside
    }

    fn state(&self) -> State {
        let mut state = State::empty(LogHead { seq: 0, hash: GENESIS.into(), epoch: "epoch".into() });
        let rows = self.events().into_iter().map(Row::from).chain(contests()).chain(categories());
        for row in rows.chain(self.users()).chain(self.assignments()) {
            state.put(&row);
        }
        state
    }

    fn events(&self) -> Vec<event::Model> {
        let status = |official| if official { EventStatus::Official } else { EventStatus::Running };
        let event = |(name, official): (&str, bool)| event::Model {
            id: id(name),
            main_title: name.into(),
            sub_title: None,
            location: None,
            facility: None,
            image_url: None,
            results_from: ResultsFrom::Feed,
            rehearsal: false,
            start_date: None,
            end_date: None,
            discipline: None,
            status: status(official),
            single_officer: false,
            frozen_at: None,
            allow_override: false,
            created_at: START,
            updated_at: START,
        };
        EVENTS.into_iter().zip(self.official).map(event).collect()
    }

    fn users(&self) -> impl Iterator<Item = Row> {
        self.persons.iter().enumerate().map(|(number, person)| {
            Row::from(user::Model {
                id: user_id(number),
                email: format!("u{number}@it.example"),
                name: format!("u{number}"),
                role: person.role,
                password_hash: None,
                active: person.active,
                session_version: 1,
                created_at: START,
                updated_at: START,
            })
        })
    }

    fn assignments(&self) -> impl Iterator<Item = Row> {
        self.hats.iter().enumerate().map(|(number, given)| {
            let (event, contest, category) = PLACES[given.place];
            Row::from(assignment::Model {
                id: id(&format!("a{number}")),
                user_id: user_id(given.user),
                hat: given.hat,
                event_id: id(event),
                contest_id: contest.map(id),
                category_id: category.map(id),
                counts: true,
                status: if given.worn { AssignmentStatus::Active } else { AssignmentStatus::Removed },
                assigned_by: "operator".into(),
                assigned_at: START,
                removed_at: (!given.worn).then_some(START),
            })
        })
    }
}

fn contests() -> impl Iterator<Item = Row> {
    CONTESTS.into_iter().map(|(contest, event)| {
        Row::from(contest::Model {
            id: id(contest),
            event_id: id(event),
            name: contest.into(),
            standings: "{}".into(),
            position: 0,
        })
    })
}

fn categories() -> impl Iterator<Item = Row> {
    CATEGORIES.into_iter().map(|(category, contest, _)| {
        Row::from(category::Model {
            id: id(category),
            contest_id: id(contest),
            name: category.into(),
            rules: json!({"method": "mean"}).to_string(),
            min_judges: 1,
            judge_visibility: JudgeVisibility::Presence,
            proxy_entry: false,
            position: 0,
        })
    })
}

/// What somebody is shown of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Full,
    Own,
    Masked,
    Tick,
    Nothing,
}

fn variant(view: &AnyView) -> Variant {
    match view {
        AnyView::FullScore(_)
        | AnyView::AssignmentNew(_)
        | AnyView::AssignmentRemoved(_)
        | AnyView::FullCertification(_)
        | AnyView::FullDeletion(_)
        | AnyView::DeductionPending(_)
        | AnyView::DeductionUpdated(_)
        | AnyView::RemovalPending(_)
        | AnyView::RemovalUpdated(_)
        | AnyView::UncertificationUpdated(_)
        | AnyView::FlagUpdated(_)
        | AnyView::ResolvedTie(_)
        | AnyView::FullWithdrawal(_)
        | AnyView::FullReinstatement(_)
        | AnyView::LockedContest(_)
        | AnyView::UnlockedContest(_)
        | AnyView::Notice(_)
        | AnyView::NoticesRead(_)
        | AnyView::NoticesRemoved(_)
        | AnyView::Announcement(_)
        | AnyView::PublishedResults(_)
        | AnyView::FrozenResults(_)
        | AnyView::ThawedResults(_)
        | AnyView::RevealedResults(_)
        | AnyView::ReleasedScore(_)
        | AnyView::JudgePresence(_)
        | AnyView::TallyUpdated(_) => Variant::Full,
        AnyView::OwnScore(_) => Variant::Own,
        AnyView::MaskedScore(_)
        | AnyView::PlainCertification(_)
        | AnyView::PlainDeletion(_)
        | AnyView::PlainWithdrawal(_)
        | AnyView::PlainReinstatement(_) => Variant::Masked,
        AnyView::Tick(_) => Variant::Tick,
    }
}

/// A mark with everything a fact can hold: what is not meant for a reader could slip through.
fn mark_of(author: usize, category: usize, visibility: JudgeVisibility) -> ScoreUpdated {
    let (category, contest, event) = CATEGORIES[category];
    let fact = json!({
        "id": "m1", "category_id": category, "contest_id": contest, "event_id": event, "contestant_id": "x",
        "judge_id": user_id(author), "criterion_id": "form", "score": 7.75, "status": "submitted", "version": 3,
        "entered_by": user_id((author + 1) % USERS), "confirmed_by": user_id((author + 2) % USERS), "visibility": visibility, "made_at": START, "created_at": START,
        "updated_at": START.plus_seconds(60),
    });
    let comment = Some(Text::Known { body: "unmistakable".into(), salt: "00".into() });
    ScoreUpdated { comment, ..serde_json::from_value(fact).expect("a fact as the log holds it") }
}

/// One emission: to the sockets in these rooms that are in none of those, with the command's id or without it.
struct Emission<'a> {
    rooms: Vec<Room>,
    except: Vec<Room>,
    view: &'a AnyView,
    tells_command: bool,
}

/// What the dispatcher emits, as rooms: first to the author of the command, then each delivery to whom none before it
/// was meant for.
fn emissions<'a>(deliveries: &'a [Delivery], lane: &Lane, state: &State, actor: Option<&UserId>) -> Vec<Emission<'a>> {
    let mut emissions = Vec::new();
    let mut served: Vec<Room> = Vec::new();
    if let Some(actor) = actor
        && let Some(own) = variant_for(deliveries, lane, &state.rooms_of(actor))
    {
        let rooms = vec![Room::User(actor.clone())];
        emissions.push(Emission { rooms: rooms.clone(), except: vec![], view: &own.view, tells_command: true });
        served.extend(rooms);
    }
    for delivery in deliveries {
        let left_the_lane = |user| variant_for(deliveries, lane, &state.rooms_of(user)).is_none();
        if let ([Room::User(user)], false) = (delivery.rooms.as_slice(), matches!(lane, Lane::User(_)))
            && left_the_lane(user)
        {
            continue;
        }
        let except = served.iter().chain(&delivery.except).cloned().collect();
        emissions.push(Emission { rooms: delivery.rooms.clone(), except, view: &delivery.view, tells_command: false });
        served.extend(delivery.rooms.iter().cloned());
    }
    emissions
}

/// What arrives at a socket that stands in these rooms: the variants, and whether the command's id came with them.
fn arrivals(emissions: &[Emission<'_>], rooms: &BTreeSet<Room>) -> Vec<(Variant, bool)> {
    let stands_in = |some: &[Room]| some.iter().any(|room| rooms.contains(room));
    emissions
        .iter()
        .filter(|emission| stands_in(&emission.rooms) && !stands_in(&emission.except))
        .map(|emission| (variant(emission.view), emission.tells_command))
        .collect()
}

/// Every fact that could happen among these people.
fn facts(people: &People, state: &State) -> Vec<Event> {
    let mut facts = vec![Event::ContestantsChanged(ContestantsChanged { contestant_ids: vec![id("x")] })];
    facts.extend(EVENTS.map(|event| Event::SetupChanged(SetupChanged { event_id: id(event) })));
    for hat in state.assignments.values() {
        let fact: AssignmentChanged = fact_of(hat);
        facts.extend([Event::AssignmentNew(fact.clone()), Event::AssignmentRemoved(fact)]);
    }
    for user in 0..people.persons.len() {
        facts.push(Event::UserChanged(UserChanged { user_id: user_id(user) }));
        let session = |ended| SessionChanged { user_id: user_id(user), session_id: id("s"), ended };
        facts.extend([Event::SessionChanged(session(false)), Event::SessionChanged(session(true))]);
        for category in 0..CATEGORIES.len() {
            let mark = |visibility| Event::ScoreUpdated(mark_of(user, category, visibility));
            facts.extend([mark(JudgeVisibility::Presence), mark(JudgeVisibility::Own)]);
        }
    }
    facts
}

fn every_lane() -> Vec<Lane> {
    let mut lanes = vec![Lane::System];
    lanes.extend((0..USERS).map(|user| Lane::User(user_id(user))));
    lanes.extend(EVENTS.map(|event| Lane::Event(id(event))));
    lanes.extend(CATEGORIES.map(|(category, ..)| Lane::Category(id(category))));
    lanes
}

fn every_room() -> Vec<Room> {
    let mut rooms = vec![Room::Everyone];
    rooms.extend((0..USERS).map(|user| Room::User(user_id(user))));
    rooms.extend(Role::ALL.map(Room::Role));
    rooms.extend(EVENTS.map(|event| Room::Event(id(event))));
    rooms.extend(CONTESTS.map(|(contest, _)| Room::Contest(id(contest))));
    for (category, ..) in CATEGORIES {
        rooms.extend([Room::Category(id(category)), Room::CategoryFormerJudge(id(category))]);
        rooms.extend(Hat::ALL.map(|hat| Room::CategoryHat(id(category), hat)));
    }
    rooms
}

fn config() -> ProptestConfig {
    // A failure prints its people; nothing is written beside the tests.
    ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_judge_present_or_past_is_shown_a_foreign_mark(people in people()) {
        let state = people.state();
        for (author, category) in (0..USERS).flat_map(|author| (0..CATEGORIES.len()).map(move |at| (author, at))) {
            for visibility in [JudgeVisibility::Presence, JudgeVisibility::Own] {
                let event = Event::ScoreUpdated(mark_of(author, category, visibility));
                let (deliveries, lane) = (event.deliveries(), event.lane());
                for user in 0..USERS {
                    let shown = variant_for(&deliveries, &lane, &state.rooms_of(&user_id(user)));
                    let shown = shown.map_or(Variant::Nothing, |delivery| variant(&delivery.view));
                    if user != author && people.judges_or_has_judged(user, category) {
                        prop_assert!(!matches!(shown, Variant::Full | Variant::Own), "u{user}: {shown:?} of u{author}");
                    }
                    prop_assert_eq!(
                        shown,
                        people.variant_of_mark(user, author, category, visibility),
                        "u{} of the mark of u{} in {}", user, author, CATEGORIES[category].0
                    );
                }
            }
        }
    }

    #[test]
    fn each_member_gets_each_fact_once_and_nobody_else_gets_it(people in people(), actor in 0..=USERS) {
        let state = people.state();
        // The last number is the command line, which has no sockets.
        let actor = (actor < USERS).then(|| user_id(actor));
        for event in facts(&people, &state) {
            let (deliveries, lane) = (event.deliveries(), event.lane());
            let emissions = emissions(&deliveries, &lane, &state, actor.as_ref());
            for user in 0..USERS {
                let rooms = state.rooms_of(&user_id(user));
                let chosen = variant_for(&deliveries, &lane, &rooms).map(|delivery| variant(&delivery.view));
                prop_assert_eq!(chosen.is_some(), people.is_member(user, &lane), "u{} in {}", user, lane);
                let arrived = arrivals(&emissions, &rooms);
                let expected: Vec<_> =
                    chosen.map(|chosen| (chosen, actor == Some(user_id(user)))).into_iter().collect();
                prop_assert_eq!(arrived, expected, "u{} of {:?} by {:?}", user, &event, &actor);
            }
        }
    }

    #[test]
    fn staff_of_an_event_are_those_of_the_contract(people in people()) {
        let state = people.state();
        for (user, event) in (0..USERS).flat_map(|user| EVENTS.map(|event| (user, event))) {
            let staff = state.is_staff_of(&user_id(user), &id(event));
            prop_assert_eq!(staff, people.is_staff_of(user, event), "u{} of {}", user, event);
        }
    }

    #[test]
    fn lanes_and_rooms_are_those_of_the_contract(people in people()) {
        let state = people.state();
        for user in 0..USERS {
            let rooms = state.rooms_of(&user_id(user));
            for room in every_room() {
                prop_assert_eq!(rooms.contains(&room), people.is_in_room(user, &room), "u{} in {}", user, room);
            }
            let official = |event: &str| people.official[usize::from(event == EVENTS[1])];
            let told: BTreeSet<Lane> = state.reach_of(&user_id(user)).lanes().into_iter().collect();
            for lane in every_lane() {
                prop_assert_eq!(
                    lane.rooms().iter().any(|room| rooms.contains(room)),
                    people.is_member(user, &lane),
                    "u{} in {}", user, lane
                );
                let over = match &lane {
                    Lane::Event(id) | Lane::Public(id) => official(id.as_str()),
                    Lane::Category(id) => {
                        CATEGORIES.iter().any(|(category, _, event)| *category == id.as_str() && official(event))
                    }
                    Lane::User(_) | Lane::System => false,
                };
                // The lanes of official events are not told; they are reached by resuming them.
                prop_assert_eq!(told.contains(&lane), people.is_member(user, &lane) && !over, "u{} {}", user, lane);
            }
        }
    }
}

fn keys(view: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = view.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn views_of(fact: ScoreUpdated) -> Vec<(Variant, Value)> {
    let deliveries = Event::ScoreUpdated(fact).deliveries();
    let seen = deliveries.iter().filter(|delivery| !delivery.is_tick());
    seen.map(|delivery| {
        assert_eq!(delivery.event, "scores:updated");
        (variant(&delivery.view), serde_json::to_value(&delivery.view).expect("a view is plain data"))
    })
    .collect()
}

#[test]
fn a_masked_mark_has_the_twelve_keys_of_the_contract_and_no_others() {
    // With a comment and somebody who entered it, so that both could slip through.
    let views = views_of(mark_of(0, 0, JudgeVisibility::Presence));
    let masked: Vec<&Value> =
        views.iter().filter(|(variant, _)| *variant == Variant::Masked).map(|(_, view)| view).collect();
    let expected = json!({
        "id": "m1", "categoryId": "k1", "contestId": "c1", "eventId": "e1", "contestantId": "x", "judgeId": "u0",
        "criterionId": "form", "score": null, "masked": true, "status": "submitted", "version": null,
        "updatedAt": "2023-11-14T22:14:20Z",
    });
    assert_eq!(masked, [&expected]);
    assert_eq!(keys(masked[0]).len(), 12);
}

#[test]
fn an_open_mark_has_the_keys_of_the_contract() {
    let always = [
        "categoryId",
        "contestId",
        "contestantId",
        "createdAt",
        "criterionId",
        "eventId",
        "id",
        "judgeId",
        "masked",
        "score",
        "status",
        "updatedAt",
        "version",
    ];
    let bare =
        ScoreUpdated { comment: None, entered_by: None, confirmed_by: None, ..mark_of(0, 0, JudgeVisibility::Own) };
    let with_all = mark_of(0, 0, JudgeVisibility::Own);
    let (mut seen, mut all) = (Vec::new(), always.to_vec());
    all.extend(["comment", "confirmedBy", "enteredBy"]);
    all.sort_unstable();
    for (fact, expected) in [(bare, always.to_vec()), (with_all, all)] {
        for (variant, view) in views_of(fact) {
            assert_eq!(keys(&view), expected, "{view}");
            assert_eq!((&view["score"], &view["masked"], &view["version"]), (&json!(7.75), &json!(false), &json!(3)));
            seen.push(variant);
        }
    }
    assert_eq!(seen, [Variant::Own, Variant::Full, Variant::Own, Variant::Full], "fellow judges get a tick instead");
}
