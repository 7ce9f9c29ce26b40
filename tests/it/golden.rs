//! Tables for review, computed from the pure functions alone: where everybody stands, who sees what of every fact, who
//! may do what. They are kept in `tests/golden/` and rewritten by `UPDATE_GOLDEN=1`; a change of them is a change of
//! rights, to be read line by line.
//!
//! Invariant: an event or a command that is not in its table does not compile or fails here.

use crate::support::START;
use crate::support::people::{self, PEOPLE, email, mark};
use scorecast::auth::actor::Actor;
use scorecast::auth::role::Hat;
use scorecast::auth::secret::DerivedKey;
use scorecast::auth::sessions::{
    EndSession, OpenSession, RefreshKey, RevokeSession, RevokeSessions, RotateSession, SessionGrant,
};
use scorecast::cassettes::{
    CreateCassette, DeleteCassette, DescribeCassette, FillCassette, FinishCassette, Recorded, Source, StartCassette,
};
use scorecast::certification::decisions::{
    ApproveDecision, CloseDecision, RaiseFlag, RequestDeduction, RequestRemoval, RequestUncertification,
};
use scorecast::certification::judges::{CertifySheet, SignFinal};
use scorecast::certification::officers::{OverrideStage, RejectStage, SignStage};
use scorecast::certification::ties::ResolveTie;
use scorecast::clock::Chance;
use scorecast::command::{Draft, parse};
use scorecast::commands::Command;
use scorecast::db::entity::assignment::AssignmentStatus;
use scorecast::db::entity::cassette::Audience;
use scorecast::db::entity::category::JudgeVisibility;
use scorecast::db::entity::certification::Stage;
use scorecast::db::entity::decision::{DecisionKind, DecisionStatus};
use scorecast::db::entity::event::EventStatus;
use scorecast::db::entity::mark::MarkStatus;
use scorecast::db::entity::notification::NoticeLevel;
use scorecast::db::entity::publication::PublicationState;
use scorecast::db::entity::race::RacePhase;
use scorecast::error::Refusal;
use scorecast::events::audience::{Delivery, Office, variant_for};
use scorecast::events::event::{
    Announced, AnnouncedTo, CassetteChange, CassetteChanged, CertificationUpdated, ContestLocked, ContestantsChanged,
    DecisionChanged, EntryChanged, Event, IndoorCompleted, IndoorImported, IndoorUpdated, JudgeProgress,
    NoticesChanged, Notified, OddsChanged, PublicChanged, RaceStatusChanged, ResultsChanged, ResultsFrozen,
    ResultsPublished, ResultsRevealed, ScoreDeleted, ScoreUpdated, SessionChanged, SetupChanged, SplitsPassed, Text,
    TieResolved, UserChanged,
};
use scorecast::events::log::{GENESIS, LogHead};
use scorecast::events::room::Lane;
use scorecast::events::view::{AnyView, JudgePresence, TallyUpdated};
use scorecast::evidence::key::Signer;
use scorecast::ids::{CategoryId, EventId, RaceId, UserId};
use scorecast::notices::{Announce, DeleteNotice, ReadNotice};
use scorecast::publications::key::KeepKey;
use scorecast::publications::read as published;
use scorecast::publications::{FreezeResults, PublishResults, RevealResults, ThawResults};
use scorecast::races::import::IngestXml;
use scorecast::races::indoor::{ImportIndoor, UpdateIndoor};
use scorecast::races::odds::IngestOdds;
use scorecast::races::reports::IngestResults;
use scorecast::races::status::SetRaceStatus;
use scorecast::scores::{self, ConfirmScore, NothingReleased, SubmitBatch, SubmitScore};
use scorecast::setup::assignments::{ChangeAssignment, CreateAssignment, RemoveAssignment, fact_of};
use scorecast::setup::entries::{ReinstateEntry, WithdrawEntry};
use scorecast::setup::import::{self, ImportDocument};
use scorecast::setup::keys::{ChangeApiKey, CreateApiKey, RevokeApiKey};
use scorecast::setup::list::{self, PageQuery};
use scorecast::setup::locks::LockContest;
use scorecast::setup::races::{DeleteRace, PutRace};
use scorecast::setup::{
    DeleteCategory, DeleteContest, DeleteContestant, DeleteEvent, DisableUser, Mode, PutCategory, PutContest,
    PutContestant, PutEntries, PutEvent, PutUser, SetEventStatus,
};
use scorecast::state::State;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// Differing lines a failure shows.
const SHOWN_LINES_MAX: usize = 12;

/// Compares a text with the one kept under `tests/golden/`.
#[track_caller]
pub fn assert_golden(name: &str, text: &str) {
    assert_kept(&format!("tests/golden/{name}"), text);
}

/// Compares a text with the one kept in a file of the project.
#[track_caller]
pub fn assert_kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the server")]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    if update {
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        return;
    }
    let kept = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}; UPDATE_GOLDEN=1 writes it", path.display()));
    if let Some(difference) = difference(&kept, text) {
        panic!("{name} is not what it was; if that is meant, run with UPDATE_GOLDEN=1 and review it\n{difference}");
    }
}

/// The first lines in which two texts differ, each with the place where they part.
fn difference(kept: &str, now: &str) -> Option<String> {
    if kept == now {
        return None;
    }
    let (kept, now): (Vec<_>, Vec<_>) = (kept.split('\n').collect(), now.split('\n').collect());
    let mut report = String::new();
    let mut differing = 0;
    for at in 0..kept.len().max(now.len()) {
        let (before, after) = (kept.get(at), now.get(at));
        if before == after {
            continue;
        }
        differing += 1;
        if differing > SHOWN_LINES_MAX {
            continue;
        }
        let (before, after) = (before.unwrap_or(&"(no line)"), after.unwrap_or(&"(no line)"));
        let parting = before.chars().zip(after.chars()).take_while(|(before, after)| before == after).count();
        let line = at + 1;
        write!(report, "line {line}\n  kept {before}\n  now  {after}\n       {:parting$}^\n", "")
            .expect("writing to a String cannot fail");
    }
    if differing > SHOWN_LINES_MAX {
        write!(report, "and {} more", differing - SHOWN_LINES_MAX).expect("writing to a String cannot fail");
    }
    Some(report)
}

#[test]
fn a_changed_table_shows_its_first_differing_lines_and_where_they_part() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    let report = difference("a  full\nb  own\n", "a  full\nb  tick\nc\n").expect("they differ");
    assert_eq!(
        report,
        "line 2\n  kept b  own\n  now  b  tick\n          ^\nline 3\n  kept \n  now  c\n       ^\nline 4\n  kept (no line)\n  now  \n       ^\n"
    );
}

/// Whoever the document of the other tests lacks: what became of people who once judged, and those with wide hats.
const HISTORY: [(&str, &str); 7] = [
    ("wide", "JUDGE"),    // judges the whole event
    ("extally", "JUDGE"), // judged the vault, is its tally master by hat now
    ("exjudge", "JUDGE"), // judged the vault, wears no hat now
    ("exadmin", "ADMIN"), // judged the vault, is an admin
    ("left", "JUDGE"),    // marked the vault, wears no hat now
    ("turned", "JUDGE"),  // marked the vault, is its tally master by hat now
    ("off", "JUDGE"),     // wears a hat on the vault and marked it, is switched off
];

/// Everybody, in the order of the columns.
fn everybody() -> Vec<&'static str> {
    PEOPLE.iter().chain(&HISTORY).map(|(name, _)| *name).collect()
}

pub fn id<T: FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a well-formed id")
}

pub fn read<T: DeserializeOwned>(payload: Value) -> T {
    parse(payload).expect("a well-formed payload")
}

fn push(list: &mut Value, items: impl IntoIterator<Item = Value>) {
    list.as_array_mut().expect("a list").extend(items);
}

pub fn document() -> Value {
    let mut document = people::document();
    document["event"]["allowOverride"] = json!(true);
    document["contests"][0]["categories"][1]["proxyEntry"] = json!(true);
    let hat = |name: &str| json!({"email": email(name), "hat": "JUDGE"});
    push(&mut document["users"], HISTORY.map(|(name, role)| json!({"email": email(name), "name": name, "role": role})));
    push(
        &mut document["contests"][0]["categories"][0]["assignments"],
        ["extally", "exjudge", "exadmin", "left", "turned", "off"].map(hat),
    );
    push(&mut document["assignments"], [hat("wide")]);
    document["races"] = json!([{"id": "heat", "raceType": "slalom"}]);
    document
}

/// A key of the cup with nothing but a hash: nobody can have it.
fn key_of_the_cup(id: &str) -> Command {
    let spec = read(json!({"eventId": "cup", "name": "Timing"}));
    CreateApiKey { id: self::id(id), hash: format!("hash of {id}"), spec }.into()
}

/// The competition of the other tests with marks and a history, folded from real decisions.
#[derive(Clone)]
pub struct World {
    pub state: State,
    chance: Chance,
    key: Arc<RefreshKey>,
    pub actors: BTreeMap<&'static str, Actor>,
    refresh_tokens: BTreeMap<&'static str, String>,
    pub signer: Arc<Signer>,
}

impl World {
    fn new() -> Self {
        Self::of(&document())
    }

    pub fn of(document: &Value) -> Self {
        let head = LogHead { seq: 0, hash: GENESIS.into(), epoch: "epoch".into() };
        let mut world = Self {
            state: State::empty(head),
            chance: Chance::seeded(7),
            key: Arc::new(RefreshKey::new("it-0123456789abcdef0123456789abcdef")),
            actors: BTreeMap::from([("operator", Actor::Operator)]),
            refresh_tokens: BTreeMap::new(),
            signer: Arc::new(Signer::generate(&Chance::seeded(8), &DerivedKey::new("it", "signing keys")).0),
        };
        world.operate(&import_of(document));
        let races = json!([{"id": "secret-heat", "raceType": "slalom"}]);
        world.operate(&import_of(&json!({"event": {"id": "other", "mainTitle": "Another Cup"}, "races": races})));
        world.operate(&key_of_the_cup("key"));
        for category in ["vault", "beam", "rings"] {
            world.state.boards.insert(id(category), std::sync::Arc::default());
        }
        for name in everybody() {
            world.sign_in(name);
        }
        for (number, judge) in ["ada", "ben", "head", "both", "wide", "extally", "exadmin", "left", "turned", "off"]
            .into_iter()
            .enumerate()
        {
            let number = f64::from(u32::try_from(number).expect("a short list"));
            world.carry(judge, &read::<SubmitScore>(mark("x", "form", 0.25 + number)).into());
        }
        let by_wide = json!({"categoryId": "rings", "contestantId": "x", "criterionId": "form", "score": 4.25});
        world.carry("wide", &read::<SubmitScore>(by_wide).into());
        let by_beam = json!({"categoryId": "beam", "contestantId": "x", "criterionId": "form", "score": 4.75});
        world.carry("beam", &read::<SubmitScore>(by_beam).into());
        world.carry("tally", &read::<SubmitScore>(world.in_the_name_of_beam("y")).into());
        for name in ["extally", "exjudge", "exadmin", "left", "turned"] {
            world.operate(&RemoveAssignment { id: world.hat_of(name) }.into());
        }
        for name in ["extally", "turned"] {
            let hat = json!({"judgeId": world.user(name), "hat": "TALLY_MASTER", "categoryId": "vault"});
            world.operate(&read::<CreateAssignment>(hat).into());
        }
        world.operate(&world.put_user("off", "JUDGE", Some(false)));
        world
    }

    pub fn decide(&self, actor: &Actor, command: &Command) -> Result<(Value, State), Refusal> {
        let command_id: Arc<str> = "00000000-0000-4000-8000-000000000000".into();
        let mut draft = Draft::new(self.state.clone(), actor.clone(), command_id, START, self.chance.clone());
        let answer = command.decide(&mut draft)?;
        Ok((answer, draft.finish().state))
    }

    pub fn carry(&mut self, name: &'static str, command: &Command) -> Value {
        let (answer, state) = self.decide(&self.actors[name], command).expect("the set-up of the table is allowed");
        self.state = state;
        answer
    }

    pub fn operate(&mut self, command: &Command) -> Value {
        self.carry("operator", command)
    }

    fn sign_in(&mut self, name: &'static str) {
        let user = self.user(name);
        let open = OpenSession { user: user.clone(), user_agent: None, proof: None, key: Arc::clone(&self.key) };
        let grant: SessionGrant = read(self.operate(&open.into()));
        self.actors.insert(name, Actor::User { id: user, session: grant.session_id });
        self.refresh_tokens.insert(name, grant.refresh_token);
    }

    pub fn user(&self, name: &str) -> UserId {
        self.state.emails.get(&email(name)).cloned().expect("the document has everybody")
    }

    pub fn hat_of(&self, name: &str) -> scorecast::ids::AssignmentId {
        let user = self.user(name);
        self.state.hats_worn(&user).next().map(|hat| hat.id.clone()).expect("they wear a hat")
    }

    fn put_user(&self, name: &str, role: &str, active: Option<bool>) -> Command {
        let spec = read(json!({"email": email(name), "name": name, "role": role, "active": active}));
        PutUser { id: Some(self.user(name)), spec, password_hash: None }.into()
    }

    /// A mark for the judge of the beam, where somebody else may enter one.
    fn in_the_name_of_beam(&self, contestant: &str) -> Value {
        let judge = self.user("beam");
        json!({"categoryId": "beam", "judgeId": judge, "contestantId": contestant, "criterionId": "form", "score": 5})
    }

    /// The first mark of a judge, without a comment.
    pub fn mark_by(&self, judge: &str, category: &str) -> ScoreUpdated {
        let (judge, category): (_, CategoryId) = (self.user(judge), id(category));
        let row = self.state.boards[&category].marks().find(|mark| mark.judge_id == judge).expect("they marked");
        scores::fact_of(row, &self.state, &self.state.categories[&category])
    }
}

fn import_of(document: &Value) -> Command {
    let document = import::read(&document.to_string()).expect("a well-formed document");
    ImportDocument { document, hashes: BTreeMap::new(), rehearsal: false }.into()
}

/// A table: a label, a second column, and a cell for everybody.
pub fn table(corner: [&str; 2], columns: &[&str], rows: &[(String, String, Vec<String>)]) -> String {
    let mut lines =
        vec![(corner[0].to_owned(), corner[1].to_owned(), columns.iter().map(ToString::to_string).collect())];
    lines.extend_from_slice(rows);
    let widest = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let label = widest(&mut lines.iter().map(|line| &line.0));
    let second = widest(&mut lines.iter().map(|line| &line.1));
    let widths: Vec<usize> =
        (0..columns.len()).map(|at| widest(&mut lines.iter().map(|line: &(_, _, Vec<String>)| &line.2[at]))).collect();
    let mut text = String::new();
    for (first, then, cells) in &lines {
        let mut line = format!("{first:label$}  {then:second$}");
        for (cell, width) in cells.iter().zip(&widths) {
            write!(line, "  {cell:width$}").expect("writing to a String cannot fail");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

// Where everybody stands.

#[test]
fn where_everybody_stands() {
    let world = World::new();
    let mut text = String::from(
        "Where everybody stands: seats, rooms and lanes. ada, ben, cleo judge the vault, head presides, both is an ADMIN\n\
         who judges it, beam judges the beam, wide the whole event; the office wears its hats on the event. extally,\n\
         exjudge, exadmin judged the vault, left and turned marked it too; extally and turned are its tally masters now,\n\
         exadmin is an ADMIN, off is switched off.\n",
    );
    let names: BTreeMap<String, &str> =
        everybody().into_iter().map(|name| (world.user(name).to_string(), name)).collect();
    let named = |text: String| {
        let (kind, user) = text.split_once(':').unwrap_or((&text, ""));
        names.get(user).map_or_else(|| text.clone(), |name| format!("{kind}:{name}"))
    };
    for name in everybody() {
        let user = world.user(name);
        let list = |items: Vec<String>| items.into_iter().map(named).collect::<Vec<_>>().join(" ");
        let seats = world.state.categories.values().map(|category| {
            let seat = world.state.seat(&user, category);
            format!("{}={seat:?}", category.row.id)
        });
        let rooms = world.state.rooms_of(&user).iter().map(ToString::to_string).collect();
        let lanes = world.state.reach_of(&user).lanes().iter().map(ToString::to_string).collect();
        write!(text, "\n{name}\n  seats {}\n  rooms {}\n  lanes {}\n", list(seats.collect()), list(rooms), list(lanes))
            .expect("writing to a String cannot fail");
    }
    assert_golden("where_everybody_stands.txt", &text);
}

// Who sees what.

/// The variant, with `+c`, `+b` or `+k` where a comment, who entered it or who confirmed it shows.
fn cell(view: &AnyView) -> String {
    let mut cell = match view {
        AnyView::FullScore(_)
        | AnyView::AssignmentNew(_)
        | AnyView::AssignmentRemoved(_)
        | AnyView::TallyUpdated(_)
        | AnyView::JudgePresence(_)
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
        | AnyView::RevealedResults(_) => "full".to_owned(),
        AnyView::ReleasedScore(_) => "released".to_owned(),
        AnyView::FullCertification(_) => "hash".to_owned(),
        AnyView::PlainCertification(_)
        | AnyView::PlainDeletion(_)
        | AnyView::PlainWithdrawal(_)
        | AnyView::PlainReinstatement(_) => "plain".to_owned(),
        AnyView::OwnScore(_) => "own".to_owned(),
        AnyView::MaskedScore(_) => "masked".to_owned(),
        AnyView::Tick(_) => "tick".to_owned(),
    };
    let shown = serde_json::to_value(view).expect("a view is plain data");
    for (field, sign) in [("comment", "+c"), ("enteredBy", "+b"), ("confirmedBy", "+k")] {
        if shown.get(field).is_some() {
            cell.push_str(sign);
        }
    }
    cell
}

/// Fails to compile when an event is added, so that somebody puts it into the table.
fn number(event: &Event) -> usize {
    match event {
        Event::ScoreUpdated(_) => 0,
        Event::AssignmentNew(_) => 1,
        Event::AssignmentRemoved(_) => 2,
        Event::UserChanged(_) => 3,
        Event::SessionChanged(_) => 4,
        Event::SetupChanged(_) => 5,
        Event::ContestantsChanged(_) => 6,
        Event::CertificationUpdated(_) => 7,
        Event::ScoreDeleted(_) => 8,
        Event::DecisionChanged(_) => 9,
        Event::ContestLocked(_) => 10,
        Event::Notified(_) => 11,
        Event::NoticesChanged(_) => 12,
        Event::Announced(_) => 13,
        Event::ResultsPublished(_) => 14,
        Event::ResultsFrozen(_) => 15,
        Event::ResultsRevealed(_) => 16,
        Event::EntryChanged(_) => 17,
        Event::TieResolved(_) => 18,
        Event::PublicChanged(_) => 19,
        Event::RaceStatusChanged(_) => 20,
        Event::ResultsChanged(_) => 21,
        Event::SplitsPassed(_) => 22,
        Event::OddsChanged(_) => 23,
        Event::IndoorImported(_) => 24,
        Event::IndoorUpdated(_) => 25,
        Event::IndoorCompleted(_) => 26,
        Event::CassetteChanged(_) => 27,
    }
}

const EVENTS: usize = 28;

fn marks(world: &World) -> Vec<(String, Event)> {
    let comment = || Some(Text::Known { body: "well landed".into(), salt: "00".into() });
    let plain = |judge: &str, category: &str| world.mark_by(judge, category);
    let by_ada = || plain("ada", "vault");
    let own_only = |fact: ScoreUpdated| ScoreUpdated { visibility: JudgeVisibility::Own, ..fact };
    let cases = [
        ("a mark of ada", by_ada()),
        ("… with a comment", ScoreUpdated { comment: comment(), ..by_ada() }),
        ("… with an erased comment", ScoreUpdated { comment: Some(Text::Erased("00".into())), ..by_ada() }),
        ("… entered by tally", ScoreUpdated { entered_by: Some(world.user("tally")), ..by_ada() }),
        ("… and confirmed by auditor", {
            let (tally, auditor) = (Some(world.user("tally")), Some(world.user("auditor")));
            ScoreUpdated { entered_by: tally, confirmed_by: auditor, ..by_ada() }
        }),
        ("… certified", ScoreUpdated { status: MarkStatus::Certified, comment: comment(), ..by_ada() }),
        ("… judgeVisibility own", own_only(ScoreUpdated { comment: comment(), ..by_ada() })),
        ("a mark of head", plain("head", "vault")),
        ("a mark of both", plain("both", "vault")),
        ("… judgeVisibility own", own_only(plain("both", "vault"))),
        ("a mark of wide", plain("wide", "vault")),
        ("a mark of extally, then judge", plain("extally", "vault")),
        ("a mark of exadmin, then judge", plain("exadmin", "vault")),
        ("a mark of left, then judge", plain("left", "vault")),
        ("a mark of turned, then judge", plain("turned", "vault")),
        ("… judgeVisibility own", own_only(plain("turned", "vault"))),
        ("a mark of off", plain("off", "vault")),
        ("a mark of beam on the beam", plain("beam", "beam")),
        ("a mark of wide on the rings", plain("wide", "rings")),
    ];
    cases.map(|(label, fact)| (label.to_owned(), Event::ScoreUpdated(fact))).to_vec()
}

fn other_facts(world: &World) -> Vec<(String, Event)> {
    let hat = |name: &str| fact_of(&world.state.assignments[&world.hat_of(name)]);
    let removed = |name: &str| {
        let user = world.user(name);
        let gone = world.state.hats_ever(&user).find(|hat| hat.status == AssignmentStatus::Removed);
        fact_of(gone.expect("they laid a hat down"))
    };
    let changed = |name: &str| Event::UserChanged(UserChanged { user_id: world.user(name) });
    let session = |name: &'static str, ended| match &world.actors[name] {
        Actor::User { id, session } => {
            Event::SessionChanged(SessionChanged { user_id: id.clone(), session_id: session.clone(), ended })
        }
        Actor::Key { .. } | Actor::Operator => unreachable!("they have no session"),
    };
    let setup = |event: &str| Event::SetupChanged(SetupChanged { event_id: id(event) });
    let text = |body: &str| Text::Known { body: body.into(), salt: "00".into() };
    let deletion = |judge: &str, visibility| {
        Event::ScoreDeleted(ScoreDeleted {
            id: id("m"),
            category_id: id("vault"),
            contestant_id: id("x"),
            judge_id: world.user(judge),
            reason: text("bias"),
            removal_id: "r".into(),
            visibility,
            deleted_at: scorecast::clock::Micros(0),
        })
    };
    let tie = Event::TieResolved(TieResolved {
        category_id: id("vault"),
        order: vec![id("x"), id("y")],
        reason: text("the higher difficulty"),
        by: world.user("tally"),
        at: scorecast::clock::Micros(0),
    });
    let entry = |withdrawn| {
        Event::EntryChanged(EntryChanged {
            category_id: id("vault"),
            event_id: id("cup"),
            contestant_id: id("x"),
            withdrawn,
            reason: text("a sprained ankle"),
            by: world.user("organizer"),
            at: scorecast::clock::Micros(0),
        })
    };
    let lock = |locked| {
        Event::ContestLocked(ContestLocked {
            contest_id: id("women"),
            event_id: id("cup"),
            locked,
            by: world.user("organizer"),
            at: scorecast::clock::Micros(0),
            reason: None,
        })
    };
    let notice = |name: &str| {
        Event::Notified(Notified {
            id: "n".into(),
            user_id: world.user(name),
            level: NoticeLevel::Info,
            title: "title".into(),
            message: text("message"),
            category_id: None,
            created_at: scorecast::clock::Micros(0),
        })
    };
    let notices =
        |name: &str, removed| Event::NoticesChanged(NoticesChanged { user_id: world.user(name), id: None, removed });
    let announced = |audience, name: Option<&str>| {
        Event::Announced(Announced {
            id: "a".into(),
            audience,
            user_id: name.map(|name| world.user(name)),
            level: NoticeLevel::Info,
            message: text("message"),
            at: scorecast::clock::Micros(0),
        })
    };
    let decision = |about, by: &str, judge: Option<&str>| {
        Event::DecisionChanged(DecisionChanged {
            id: "d".into(),
            about,
            fresh: true,
            category_id: id("vault"),
            contestant_id: None,
            judge_id: judge.map(|name| world.user(name)),
            score_ids: vec![],
            amount: None,
            reason: text("why"),
            answer: None,
            status: DecisionStatus::Pending,
            approvals: vec![],
            missing: vec![],
            requested_by: world.user(by),
            requested_at: scorecast::clock::Micros(0),
            decided_at: None,
        })
    };
    let cases = [
        ("ada gets a hat", Event::AssignmentNew(hat("ada"))),
        ("tally gets a hat on the event", Event::AssignmentNew(hat("tally"))),
        ("off gets a hat", Event::AssignmentNew(hat("off"))),
        ("exjudge lays a hat down", Event::AssignmentRemoved(removed("exjudge"))),
        ("exadmin lays a hat down", Event::AssignmentRemoved(removed("exadmin"))),
        ("ada is changed", changed("ada")),
        ("gymnast is changed", changed("gymnast")),
        ("off is changed", changed("off")),
        ("ada signs in", session("ada", false)),
        ("ada signs out", session("ada", true)),
        ("the cup is changed", setup("cup")),
        ("another cup is changed", setup("other")),
        ("contestants are changed", Event::ContestantsChanged(ContestantsChanged { contestant_ids: vec![id("x")] })),
        ("the vault is tallied", certification("vault", Stage::Tallied)),
        ("a mark of ada is taken out", deletion("ada", JudgeVisibility::Presence)),
        ("… judgeVisibility own", deletion("ada", JudgeVisibility::Own)),
        ("ben asks for a deduction", decision(DecisionKind::Deduction, "ben", None)),
        ("board asks to remove ada's marks", decision(DecisionKind::Removal, "board", Some("ada"))),
        ("ada asks to open a sheet", decision(DecisionKind::Uncertification, "ada", Some("ada"))),
        ("ben flags a mark of ada", decision(DecisionKind::Flag, "ben", Some("ada"))),
        ("tally puts x before y", tie),
        ("x withdraws from the vault", entry(true)),
        ("x is in the vault again", entry(false)),
        ("the women's contest is locked", lock(true)),
        ("the women's contest is unlocked", lock(false)),
        ("ada is given a notice", notice("ada")),
        ("ada has read a notice", notices("ada", false)),
        ("ada has removed a notice", notices("ada", true)),
        ("announced to everyone", announced(AnnouncedTo::Everyone, None)),
        ("announced to judges: ada", announced(AnnouncedTo::Role(scorecast::auth::role::Role::Judge), Some("ada"))),
        ("announced to the staff of the cup", announced(AnnouncedTo::Event(id("cup")), None)),
        ("announced to the public of the cup", announced(AnnouncedTo::Public(id("cup")), None)),
        ("the vault is published, for the staff", published(false)),
        ("… and for the public", published(true)),
        ("the cup is frozen, for the staff", frozen(true, false)),
        ("… and for the public", frozen(true, true)),
        ("the cup is thawed, for the staff", frozen(false, false)),
        ("a place of the vault is revealed, for the staff", revealed(false)),
        ("… and for the public", revealed(true)),
    ];
    cases.into_iter().chain(of_races()).map(|(label, event)| (label.to_owned(), event)).collect()
}

/// What happens at races is told to the public, who stands in no room here.
fn of_races() -> Vec<(&'static str, Event)> {
    let (event_id, race_id): (EventId, RaceId) = (id("cup"), id("race"));
    let phase = RacePhase::NonOfficial;
    let shown = PublicChanged::whole(&event_id);
    let results = ResultsChanged {
        event_id: event_id.clone(),
        race_id: race_id.clone(),
        lines: vec![],
        removed: vec![],
        finished: vec![],
    };
    let imported = IndoorImported {
        event_id: event_id.clone(),
        race_id: race_id.clone(),
        participants_count: 1,
        linked_crews_count: 1,
        phase,
        lines: vec![],
    };
    let completed =
        IndoorCompleted { event_id: event_id.clone(), race_id: race_id.clone(), total_participants: 1, phase };
    let moved = RaceStatusChanged { event_id: event_id.clone(), race_id: race_id.clone(), phase };
    let splits = SplitsPassed { event_id: event_id.clone(), race_id: race_id.clone(), splits: vec![] };
    let odds = OddsChanged { event_id: event_id.clone(), race_id: race_id.clone(), odds: vec![] };
    let measured = IndoorUpdated { event_id, race_id, participant_id: "P".into(), line: None };
    vec![
        ("the cup's races are changed", Event::PublicChanged(shown)),
        ("a race is over", Event::RaceStatusChanged(moved)),
        ("results of a race came", Event::ResultsChanged(results)),
        ("a timing point was passed", Event::SplitsPassed(splits)),
        ("the odds changed", Event::OddsChanged(odds)),
        ("ergometers are imported", Event::IndoorImported(imported)),
        ("an ergometer is done", Event::IndoorUpdated(measured)),
        ("all ergometers are done", Event::IndoorCompleted(completed)),
        ("a recording is made", {
            let made = CassetteChanged { name: "tape".into(), change: CassetteChange::Created, gone: None };
            Event::CassetteChanged(made)
        }),
    ]
}

fn published(public: bool) -> Event {
    Event::ResultsPublished(ResultsPublished {
        category_id: id("vault"),
        contest_id: id("women"),
        event_id: id("cup"),
        publication_id: "p".into(),
        revision: 1,
        state: PublicationState::Official,
        published_at: scorecast::clock::Micros(0),
        tally_hash: "00".into(),
        signature: "00".into(),
        key_id: "00".into(),
        public,
    })
}

fn frozen(frozen: bool, public: bool) -> Event {
    let at = scorecast::clock::Micros(0);
    Event::ResultsFrozen(ResultsFrozen { event_id: id("cup"), frozen, at, public })
}

fn revealed(public: bool) -> Event {
    Event::ResultsRevealed(ResultsRevealed {
        event_id: id("cup"),
        category_id: id("vault"),
        publication_id: "p".into(),
        revision: 1,
        lines: vec![],
        left: 2,
        at: scorecast::clock::Micros(0),
        public,
    })
}

fn certification(category: &str, stage: Stage) -> Event {
    Event::CertificationUpdated(CertificationUpdated {
        category_id: id(category),
        contest_id: id("women"),
        event_id: id("cup"),
        stage,
        judge_progress: JudgeProgress { judges: 3, finals: 3, sheets: 9, expected_sheets: 9 },
        signatures: vec![],
        tally_hash: Some("00".into()),
        voided: false,
        voided_signers: vec![],
        rejection_reason: None,
        certified_at: None,
        certified_by: None,
        updated_at: scorecast::clock::Micros(0),
    })
}

/// What everybody gets of a fact: which event it comes as, then the variant of each.
fn row(world: &World, label: &str, event: &Event) -> (String, String, Vec<String>) {
    let deliveries = event.deliveries();
    let names: BTreeSet<&str> =
        deliveries.iter().filter(|delivery| !delivery.is_tick()).map(|delivery| delivery.event).collect();
    let name = if names.is_empty() { "sync:tick".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(" ") };
    let cells = everybody().into_iter().map(|name| {
        let rooms = world.state.rooms_of(&world.user(name));
        variant_for(&deliveries, &event.lane(), &rooms).map_or("-".to_owned(), |delivery| cell(&delivery.view))
    });
    (label.to_owned(), name, cells.collect())
}

#[test]
fn who_sees_what() {
    let world = World::new();
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    for (label, event) in marks(&world).iter().chain(&other_facts(&world)) {
        seen.insert(number(event));
        rows.push(row(&world, label, event));
    }
    assert_eq!(seen, (0..EVENTS).collect(), "every event stands in the table");
    for category in ["vault", "beam", "rings"] {
        let category_id = id(category);
        let presence = JudgePresence {
            judge_id: world.user("ada"),
            category_id: id(category),
            online: true,
            last_seen: Some(START),
            unsent: 0,
            oldest_unsent_at: None,
        };
        for (what, delivery) in [
            ("the tally of the", Delivery::of(&Office(&category_id), TallyUpdated(Value::Null))),
            ("a judge comes to the", Delivery::of(&Office(&category_id), presence)),
        ] {
            let cells = everybody().into_iter().map(|name| {
                let reached = delivery.reaches(&world.state.rooms_of(&world.user(name)));
                if reached { cell(&delivery.view) } else { "-".to_owned() }
            });
            rows.push((format!("{what} {category}"), delivery.event.to_owned(), cells.collect()));
        }
    }
    let legend = "Who sees what of every fact: the event and the variant; a tick says only that the lane went on, `-` is \
        nothing at all.\n`+c`: with the comment, `+b`: with who entered it, `+k`: with who confirmed it. The people are those of \
        where_everybody_stands.txt;\nmarks are on the vault unless said otherwise. The tally and who is there are derived, no facts.\n\n";
    let text = table(["what happened", "event"], &everybody(), &rows);
    assert_golden("who_sees_what.txt", &format!("{legend}{text}"));
}

// Who may do what.

/// What somebody would do.
enum Deed {
    Carry(Box<Command>),
    Read(fn(&World, &UserId) -> Result<String, Refusal>),
}

fn user_of(actor: &Actor) -> Option<&UserId> {
    match actor {
        Actor::User { id, .. } => Some(id),
        Actor::Key { .. } | Actor::Operator => None,
    }
}

/// The deeds of one person; some of them concern themselves.
fn deeds(world: &World, name: &str, actor: &Actor) -> Vec<(&'static str, Deed)> {
    let mut deeds = scoring(world);
    deeds.extend(hats(world, actor));
    deeds.extend(setting_up(world, name));
    deeds.extend(timing());
    deeds.extend(signing_in(world, name, actor));
    deeds.into_iter().map(|(label, command)| (label, Deed::Carry(Box::new(command)))).chain(reads()).collect()
}

fn scoring(world: &World) -> Vec<(&'static str, Command)> {
    let submit = |label, payload: Value| (label, Command::from(read::<SubmitScore>(payload)));
    let on = |category: &str| json!({"categoryId": category, "contestantId": "z", "criterionId": "form", "score": 5});
    let with = |field: &str, value: Value| {
        let mut payload = on("vault");
        payload[field] = value;
        payload
    };
    let batch = json!({"items": [on("vault"), on("beam")]});
    let category = json!({"categoryId": "vault"});
    let sign = |stage: &str| {
        let payload = json!({"categoryId": "vault", "stage": stage, "tallyHash": "00", "signatureName": "N. N."});
        Command::from(read::<SignStage>(payload))
    };
    vec![
        ("certify one's sheets", read::<CertifySheet>(category.clone()).into()),
        ("sign FINAL", read::<SignFinal>(category).into()),
        ("sign TALLIED", sign("TALLIED")),
        ("sign AUDITED", sign("AUDITED")),
        ("sign CERTIFIED", sign("CERTIFIED")),
        ("ask for a deduction", {
            let payload = json!({"categoryId": "vault", "contestantId": "x", "amount": 1, "reason": "fall"});
            read::<RequestDeduction>(payload).into()
        }),
        ("ask to remove ada's marks", {
            let payload = json!({"categoryId": "vault", "judgeId": world.user("ada"), "reason": "bias"});
            read::<RequestRemoval>(payload).into()
        }),
        ("ask to open ada's sheets", {
            let payload = json!({"categoryId": "vault", "judgeId": world.user("ada"), "reason": "slip"});
            read::<RequestUncertification>(payload).into()
        }),
        ("raise a flag", read::<RaiseFlag>(json!({"categoryId": "vault", "text": "look"})).into()),
        ("approve what is not there", {
            ApproveDecision { about: DecisionKind::Deduction, id: "none".into(), signature_name: "N. N.".into() }.into()
        }),
        ("close what is not there", {
            let (about, status) = (DecisionKind::Flag, DecisionStatus::Rejected);
            CloseDecision { about, id: "none".into(), status, reason: Some("no".into()) }.into()
        }),
        ("lock the women's contest", { LockContest { contest: id("women"), locked: true, reason: None }.into() }),
        ("publish the vault", {
            let (category_id, state) = (id("vault"), PublicationState::Official);
            PublishResults { category_id, state, signer: Arc::clone(&world.signer) }.into()
        }),
        ("freeze the cup's results", FreezeResults { event_id: id("cup") }.into()),
        ("reveal a place of the vault", RevealResults { category_id: id("vault"), ranks: [1].into() }.into()),
        ("thaw the cup's results", ThawResults { event_id: id("cup") }.into()),
        ("keep a signing key", {
            let (id, public) = (world.signer.key_id().clone(), world.signer.public_key());
            KeepKey { id, public, sealed: String::new() }.into()
        }),
        ("override JUDGED of the vault", {
            let payload = json!({"categoryId": "vault", "stage": "JUDGED", "reason": "ada is ill"});
            read::<OverrideStage>(payload).into()
        }),
        ("put x before y on the vault", {
            let payload = json!({"categoryId": "vault", "order": ["x", "y"], "reason": "difficulty"});
            read::<ResolveTie>(payload).into()
        }),
        ("withdraw x from the vault", {
            let payload = json!({"categoryId": "vault", "contestantId": "x", "reason": "a sprained ankle"});
            read::<WithdrawEntry>(payload).into()
        }),
        ("reinstate x, who is in", {
            let payload = json!({"categoryId": "vault", "contestantId": "x", "reason": "fit again"});
            read::<ReinstateEntry>(payload).into()
        }),
        ("announce to everyone", read::<Announce>(json!({"message": "hello"})).into()),
        ("announce to the cup's public", {
            read::<Announce>(json!({"message": "hello", "audience": {"public": "cup"}})).into()
        }),
        ("read all notices", read::<ReadNotice>(json!({"all": true})).into()),
        ("remove a notice of nobody", DeleteNotice { id: "none".into() }.into()),
        ("send the vault back", read::<RejectStage>(json!({"categoryId": "vault", "reason": "look again"})).into()),
        submit("mark on the vault", on("vault")),
        submit("mark on the beam", on("beam")),
        submit("mark on the rings", on("rings")),
        submit("mark on no category", on("nowhere")),
        submit("mark out of range", with("score", json!(11))),
        submit("mark in the name of ada", with("judgeId", json!(world.user("ada")))),
        submit("mark in the name of beam", world.in_the_name_of_beam("z")),
        ("confirm what tally entered", {
            let beam: CategoryId = id("beam");
            let entered = world.state.boards[&beam].marks().find(|mark| mark.waits()).expect("tally entered one");
            read::<ConfirmScore>(json!({"scoreId": entered.id})).into()
        }),
        submit("mark under the id of ada's", with("id", json!(world.mark_by("ada", "vault").id))),
        ("batch: vault, beam", read::<SubmitBatch>(batch).into()),
    ]
}

fn hats(world: &World, actor: &Actor) -> Vec<(&'static str, Command)> {
    let idle = world.user("idle");
    let myself = user_of(actor).unwrap_or(&idle);
    let give = |label, payload: Value| (label, Command::from(read::<CreateAssignment>(payload)));
    vec![
        give("judge's hat to idle", json!({"judgeId": idle, "categoryId": "vault"})),
        give("tally hat to idle", json!({"judgeId": idle, "hat": "TALLY_MASTER", "eventId": "cup"})),
        give("judge's hat to oneself", json!({"judgeId": myself, "categoryId": "rings"})),
        give("board hat to oneself", json!({"judgeId": myself, "hat": "BOARD", "contestId": "women"})),
        ("ben counts no more", ChangeAssignment { id: world.hat_of("ben"), counts: false }.into()),
        ("take ben's hat", RemoveAssignment { id: world.hat_of("ben") }.into()),
    ]
}

fn category_spec(id: &str) -> Value {
    let criteria = json!([{"id": "form", "name": "Form", "min": 0, "max": 10, "step": 1, "weight": 1}]);
    json!({"id": id, "name": "A category", "rules": {"method": "mean"}, "criteria": criteria})
}

fn setting_up(world: &World, name: &str) -> Vec<(&'static str, Command)> {
    let event = |id: &str| read(json!({"id": id, "mainTitle": "A Cup"}));
    let contestant = |id: &str| read(json!({"id": id, "name": "Somebody"}));
    let contest = |id: &str| read(json!({"id": id, "name": "A contest"}));
    let newcomer = read(json!({"email": email("new"), "name": "new", "role": "JUDGE"}));
    let myself = if name == "operator" { "idle" } else { name };
    let entries = |ids: &[&str]| ids.iter().map(|id| read(json!({"contestantId": id}))).collect();
    vec![
        ("import an event", import_of(&json!({"event": {"id": "third", "mainTitle": "A Third Cup"}}))),
        ("make a user", PutUser { id: None, spec: newcomer, password_hash: None }.into()),
        ("make oneself an ADMIN", world.put_user(myself, "ADMIN", None)),
        ("switch ada off", DisableUser { user: world.user("ada") }.into()),
        ("… by changing her", world.put_user("ada", "JUDGE", Some(false))),
        ("revoke ada's sessions", RevokeSessions { user: world.user("ada") }.into()),
        ("end a session of ada's", {
            let Actor::User { id, session } = &world.actors["ada"] else { unreachable!("ada is signed in") };
            RevokeSession { user: id.clone(), session: session.clone() }.into()
        }),
        ("make an event", PutEvent { mode: Mode::Create, spec: event("third") }.into()),
        ("change the cup", PutEvent { mode: Mode::Update, spec: event("cup") }.into()),
        ("finish the cup", SetEventStatus { event: id("cup"), status: EventStatus::Finished }.into()),
        ("delete the cup (judged)", DeleteEvent { event: id("cup") }.into()),
        ("delete another cup", DeleteEvent { event: id("other") }.into()),
        ("make a contest", PutContest { mode: Mode::Create, event: id("cup"), spec: contest("mixed") }.into()),
        ("delete a judged contest", DeleteContest { contest: id("women") }.into()),
        (
            "make a category",
            PutCategory { mode: Mode::Create, contest: id("men"), spec: read(category_spec("floor")) }.into(),
        ),
        (
            "re-range the vault (judged)",
            PutCategory { mode: Mode::Update, contest: id("women"), spec: read(category_spec("vault")) }.into(),
        ),
        ("delete the vault (judged)", DeleteCategory { category: id("vault") }.into()),
        ("reorder the vault", PutEntries { category: id("vault"), entries: entries(&["z", "y", "x"]) }.into()),
        ("strike x (marked)", PutEntries { category: id("vault"), entries: entries(&["y", "z"]) }.into()),
        ("make a contestant", PutContestant { mode: Mode::Create, spec: contestant("w") }.into()),
        ("delete x (entered)", DeleteContestant { contestant: id("x") }.into()),
    ]
}

fn timing() -> Vec<(&'static str, Command)> {
    let race = |id: &str| read(json!({"id": id, "raceType": "slalom", "name": "A race"}));
    let on = |race: &str| Command::from(read::<SetRaceStatus>(json!({"raceId": race, "status": "in_progress"})));
    vec![
        ("record the vault for its office", {
            let source = Some(Source::Lane(Lane::Category(id("vault"))));
            let (name, audience) = ("tape".parse().expect("a name"), Audience::Office);
            CreateCassette { name, description: None, audience, source, recorded: None, imported: false }.into()
        }),
        ("record the vault for oneself", {
            let source = Some(Source::Lane(Lane::Category(id("vault"))));
            let (name, audience) = ("tape".parse().expect("a name"), Audience::Own);
            CreateCassette { name, description: None, audience, source, recorded: None, imported: false }.into()
        }),
        ("begin to record", {
            StartCassette { name: "none".parse().expect("a name"), source: Source::Event(id("cup")) }.into()
        }),
        ("end a recording", {
            let recorded = Recorded {
                range: None,
                interactions: 0,
                bytes: 0,
                sha256: "00".into(),
                file: "00".into(),
                seat: None,
                full: false,
            };
            FinishCassette { name: "none".parse().expect("a name"), recorded }.into()
        }),
        ("note that a recording is full", FillCassette { name: "none".parse().expect("a name") }.into()),
        ("describe a recording", {
            DescribeCassette { name: "none".parse().expect("a name"), description: None }.into()
        }),
        ("remove a recording", DeleteCassette { name: "none".parse().expect("a name") }.into()),
        ("post the cup's results", IngestResults::new(id("cup"), read(json!({"results": []}))).into()),
        ("post the odds of the heat", {
            IngestOdds { event: id("cup"), post: read(json!({"race_id": "heat", "odds": []})) }.into()
        }),
        ("post an export of the cup", { IngestXml { event: id("cup"), export: Arc::default() }.into() }),
        ("import ergometers of the heat", {
            let results = json!({"race_id": "r", "c2_race_id": "heat", "participants": []});
            ImportIndoor { results: read(results), correction: false }.into()
        }),
        ("say what an ergometer shows", {
            let participant = json!({"id": "a", "time": "1:00.0"});
            read::<UpdateIndoor>(json!({"race_id": "heat", "participant": participant})).into()
        }),
        ("make a race", PutRace { mode: Mode::Create, event: id("cup"), spec: race("final") }.into()),
        ("name the heat", PutRace { mode: Mode::Update, event: id("cup"), spec: race("heat") }.into()),
        ("delete the heat", DeleteRace { race: id("heat") }.into()),
        ("make a key of the cup", key_of_the_cup("another")),
        ("rename the cup's key", read::<ChangeApiKey>(json!({"id": "key", "name": "Start"})).into()),
        ("revoke the cup's key", RevokeApiKey { id: id("key") }.into()),
        ("the heat is under way", on("heat")),
        ("a race of a draft is under way", on("secret-heat")),
        ("no race is under way", on("nothing")),
    ]
}

fn signing_in(world: &World, name: &str, actor: &Actor) -> Vec<(&'static str, Command)> {
    let user = user_of(actor).cloned().unwrap_or_else(|| world.user("idle"));
    let refresh_token = world.refresh_tokens.get(name).cloned().unwrap_or_default();
    vec![
        ("sign in", OpenSession { user, user_agent: None, proof: None, key: Arc::clone(&world.key) }.into()),
        ("refresh one's token", RotateSession { refresh_token, key: Arc::clone(&world.key) }.into()),
        ("sign out", EndSession.into()),
    ]
}

/// How many marks are told, and of how many the number shows.
fn marks_read(world: &World, user: &UserId, category: &str) -> Result<String, Refusal> {
    let views = scores::read(&world.state, user, &id(category), &scores::Filter::default(), &NothingReleased)?.scores;
    let open = views.iter().filter(|view| view["score"].is_number()).count();
    Ok(format!("{open}/{}", views.len()))
}

fn tally_read(world: &World, user: &UserId, category: &str) -> Result<String, Refusal> {
    published::tally(&world.state, user, &id(category)).map(|_| "ok".to_owned())
}

fn completeness_read(world: &World, user: &UserId, category: &str) -> Result<String, Refusal> {
    published::completeness(&world.state, user, &id(category)).map(|_| "ok".to_owned())
}

/// What the desk of the organisers asks before each of its lists.
fn desk(world: &World, user: &UserId) -> Result<String, Refusal> {
    let session = id("none");
    Actor::User { id: user.clone(), session }.must_run_installation(&world.state)?;
    list::users(&world.state, &PageQuery::default()).map(|_| "ok".to_owned())
}

fn reads() -> Vec<(&'static str, Deed)> {
    vec![
        ("read marks of the vault", Deed::Read(|world, user| marks_read(world, user, "vault"))),
        ("read marks of the beam", Deed::Read(|world, user| marks_read(world, user, "beam"))),
        ("read marks of the rings", Deed::Read(|world, user| marks_read(world, user, "rings"))),
        ("read marks of no category", Deed::Read(|world, user| marks_read(world, user, "nowhere"))),
        ("tally of the vault", Deed::Read(|world, user| tally_read(world, user, "vault"))),
        ("tally of the rings", Deed::Read(|world, user| tally_read(world, user, "rings"))),
        ("completeness of the vault", Deed::Read(|world, user| completeness_read(world, user, "vault"))),
        ("completeness of the beam", Deed::Read(|world, user| completeness_read(world, user, "beam"))),
        ("admin lists", Deed::Read(desk)),
    ]
}

/// The initials of a code's words, so that a cell stays narrow.
pub fn initials(code: &str) -> String {
    code.split('_').filter_map(|word| word.chars().next()).collect()
}

/// The outcome, and which codes it names. A batch is always taken; the outcomes of its items follow.
fn outcome(world: &World, actor: &Actor, deed: &Deed, codes: &mut BTreeMap<String, String>) -> String {
    let mut short = |code: &str| {
        let short = initials(code);
        let known = codes.insert(short.clone(), code.to_owned());
        assert!(known.is_none_or(|known| known == code), "two codes have the initials {short}");
        short
    };
    let done = match deed {
        Deed::Carry(command) => world.decide(actor, command).map(|(answer, _)| match answer["results"].as_array() {
            None => "ok".to_owned(),
            Some(items) => {
                let of = |item: &Value| item["error"]["code"].as_str().map_or("ok".to_owned(), &mut short);
                items.iter().map(of).collect::<Vec<_>>().join("+")
            }
        }),
        Deed::Read(read) => user_of(actor).map_or(Ok(".".to_owned()), |user| read(world, user)),
    };
    done.unwrap_or_else(|refusal| short(refusal.code().as_str()))
}

#[test]
fn who_may_do_what() {
    let world = World::new();
    let columns: Vec<&str> = std::iter::once("operator").chain(everybody()).collect();
    let mut rows: Vec<(String, String, Vec<String>)> = Vec::new();
    let mut codes = BTreeMap::new();
    let mut named = BTreeSet::new();
    for name in &columns {
        let actor = &world.actors[name];
        for (at, (label, deed)) in deeds(&world, name, actor).iter().enumerate() {
            let command = match deed {
                Deed::Carry(command) => command.name(),
                Deed::Read(_) => "(read)",
            };
            named.insert(command);
            if rows.len() == at {
                rows.push(((*label).to_owned(), command.to_owned(), Vec::new()));
            }
            rows[at].2.push(outcome(&world, actor, deed, &mut codes));
        }
    }
    named.remove("(read)");
    assert_eq!(named, Command::NAMES.iter().copied().collect(), "every command stands in the table");
    let codes: Vec<String> = codes.iter().map(|(short, code)| format!("{short} {code}")).collect();
    let legend = format!(
        "Who may do what: `ok`, or the initials of the refusal. Marks read are `open/told`: of how many the number shows.\n\
         The people are those of where_everybody_stands.txt; `.` is not asked over the command line.\n{}\n\n",
        codes.join(", ")
    );
    assert_golden("who_may_do_what.txt", &format!("{legend}{}", table(["deed", "command"], &columns, &rows)));
}

// What the tables rely on.

#[test]
fn the_world_of_the_tables_is_what_its_columns_say() {
    let world = World::new();
    let wears = |name: &str| world.state.hats_worn(&world.user(name)).map(|hat| hat.hat).collect::<Vec<_>>();
    assert_eq!((wears("exjudge"), wears("exadmin"), wears("left")), (vec![], vec![], vec![]));
    assert_eq!((wears("extally"), wears("turned")), (vec![Hat::TallyMaster], vec![Hat::TallyMaster]));
    assert_eq!((wears("off"), world.state.role_of(&world.user("off"))), (vec![Hat::Judge], None));
    let lane = Lane::Category(id("vault"));
    assert_eq!(world.state.lane_seq(&lane), 10, "ten people have marked the vault");
}

#[test]
fn a_key_reports_the_times_of_its_event_and_does_nothing_else() {
    let world = World::new();
    let allowed = |actor: &Actor| -> Vec<&'static str> {
        // Signing in is decided before it is asked for, by a password, and is nobody's yet.
        let asked = deeds(&world, "operator", actor).into_iter().filter(|(label, deed)| {
            let carried = matches!(deed, Deed::Carry(_)) && *label != "sign in";
            carried && outcome(&world, actor, deed, &mut BTreeMap::new()) == "ok"
        });
        asked.map(|(label, _)| label).collect()
    };
    let of = |event: &str| Actor::Key { id: id("key"), event: id(event) };
    let times = [
        "post the cup's results",
        "post the odds of the heat",
        "post an export of the cup",
        "import ergometers of the heat",
        "say what an ergometer shows",
        "the heat is under way",
    ];
    assert_eq!(allowed(&of("cup")), times);
    // The heat it means is not the cup's: it is one of its own event, made by that.
    assert_eq!(allowed(&of("other")), ["import ergometers of the heat", "a race of a draft is under way"]);
    assert!(allowed(&Actor::Key { id: id("ghost"), event: id("cup") }).is_empty());
}
