//! `docs/events.md`, made from the code: what the facts deliver comes from [`Event::deliveries`], so the page cannot say
//! what the server does not do.

mod cassettes;
pub mod live;

use crate::auth::role::{Hat, Role};
use crate::clock::Micros;
use crate::db::entity::assignment::AssignmentStatus;
use crate::db::entity::category::JudgeVisibility;
use crate::db::entity::certification::Stage;
use crate::db::entity::decision::{DecisionKind, DecisionStatus};
use crate::db::entity::mark::MarkStatus;
use crate::db::entity::notification::NoticeLevel;
use crate::db::entity::publication::PublicationState;
use crate::error::Code;
use crate::events::event::{
    Announced, AnnouncedTo, AssignmentChanged, CertificationUpdated, ContestLocked, ContestantsChanged,
    DecisionChanged, EntryChanged, Event, JudgeProgress, NoticesChanged, Notified, ResultsFrozen, ResultsPublished,
    ResultsRevealed, ScoreDeleted, ScoreUpdated, SessionChanged, SetupChanged, SignatureFact, Text, TieResolved,
    UserChanged,
};
use crate::events::room::Room;
use crate::ids::{EventId, UserId};
use crate::ranking::{Decimal, Mark};
use serde_json::Value;
use std::fmt::Write;
use std::str::FromStr;

/// An event a client may send.
#[derive(Clone, Copy, Debug)]
pub struct ClientEvent {
    /// Its name.
    pub name: &'static str,
    /// Who may send it.
    pub who: &'static str,
    /// What it carries.
    pub payload: &'static str,
    /// What the ack's `data` holds.
    pub answer: &'static str,
}

/// Every event a client may send; any other is answered `INVALID_EVENT`.
pub const CLIENT_EVENTS: [ClientEvent; 35] = [
    ClientEvent {
        name: "scores:submit",
        who: "a judge of the category; with `judgeId`, a TALLY_MASTER by hat where the category has `proxyEntry`",
        payload: "`{commandId?, id?, categoryId, judgeId?, contestantId, criterionId?, score, comment?, baseVersion?, madeAt?}`; \
            `criteriaId`, `value` and `comments` are taken for `criterionId`, `score` and `comment`; `criterionId` may be \
            left out where there is only one",
        answer: "`{score, receipt: {lane, seq, hash}, warnings?}`; a warning goes by the judge's own marks, and stops nothing",
    },
    ClientEvent {
        name: "scores:submitBatch",
        who: "the same",
        payload: "`{commandId?, items: [up to 200 of the above]}`; order kept, one transaction, a bad item is refused alone",
        answer: "`{results: [{ok, score?, warnings?, error?}], receipt?}`",
    },
    ClientEvent {
        name: "scores:confirm",
        who: "the judge a mark was entered for, or another TALLY_MASTER, AUDITOR or BOARD; never who entered it",
        payload: "`{commandId?, scoreId, categoryId?}`",
        answer: "`{score, receipt}`; the mark counts from then on",
    },
    ClientEvent {
        name: "scores:request",
        who: "who judges or judged the category, and its office",
        payload: "`\"categoryId\"` or `{categoryId, contestantId?, sinceSeq?}`",
        answer: "`{scores, removed?, seq}`, `removed: [id]` where `sinceSeq` was given; without an ack, `scores:data` with the list",
    },
    ClientEvent {
        name: "scores:certify",
        who: "a judge of the category",
        payload: "`{commandId?, categoryId, contestantId?, sheetHash?, signatureName?}`; every sheet without a `contestantId`",
        answer: "the certification, with `receipt`",
    },
    ClientEvent {
        name: "scores:final",
        who: "a judge of the category whose sheets are all certified",
        payload: "`{commandId?, categoryId, signatureName?}`",
        answer: "the certification, with `receipt`",
    },
    ClientEvent {
        name: "certification:sign",
        who: "TALLY_MASTER for `TALLIED`, AUDITOR for `AUDITED`, BOARD for `CERTIFIED`, by hat; nobody who ever judged it",
        payload: "`{commandId?, categoryId, stage, tallyHash, signatureName, comments?}`",
        answer: "the certification, with `receipt`; `HASH_MISMATCH` with `current` when the tally is another",
    },
    ClientEvent {
        name: "certification:reject",
        who: "AUDITOR, BOARD, by hat",
        payload: "`{commandId?, categoryId, reason, toStage?}`",
        answer: "the certification, with `receipt`",
    },
    ClientEvent {
        name: "certification:override",
        who: "ADMIN, where the event has `allowOverride`; nobody who ever judged it",
        payload: "`{commandId?, categoryId, stage, reason}`; `JUDGED` stands for judges who cannot sign FINAL any more",
        answer: "the certification; its signature says `override` and the reason",
    },
    ClientEvent {
        name: "tie:resolve",
        who: "TALLY_MASTER, by hat, before anybody signs; nobody who ever judged it",
        payload: "`{commandId?, categoryId, order: [contestantId], reason}`; all who share the rank, best first",
        answer: "`{tie}`; `STATE` where the rules do not list `manual` or they are not tied",
    },
    ClientEvent {
        name: "deduction:requested",
        who: "ADMIN, ORGANIZER, TALLY_MASTER, AUDITOR, BOARD, a judge of the category",
        payload: "`{commandId?, categoryId, contestantId, amount, reason}`",
        answer: "`{deduction}`",
    },
    ClientEvent {
        name: "deduction:approve",
        who: "HEAD_JUDGE (if there is one), TALLY_MASTER, AUDITOR, BOARD, by hat, each a person of their own",
        payload: "`{commandId?, id, signatureName}`",
        answer: "`{deduction}`; the last approval applies it",
    },
    ClientEvent {
        name: "deduction:reject",
        who: "any of those",
        payload: "`{commandId?, id, reason}`",
        answer: "`{deduction}`",
    },
    ClientEvent {
        name: "deduction:withdraw",
        who: "who asked",
        payload: "`{commandId?, id, reason?}`",
        answer: "`{deduction}`",
    },
    ClientEvent {
        name: "score:removal-requested",
        who: "ADMIN, BOARD",
        payload: "`{commandId?, categoryId, judgeId, scoreIds?, reason}`",
        answer: "`{removal}`",
    },
    ClientEvent {
        name: "score:removal-sign",
        who: "TALLY_MASTER, AUDITOR, BOARD, by hat, in any order, each a person of their own",
        payload: "`{commandId?, id, signatureName}`",
        answer: "`{removal}`; the third executes it",
    },
    ClientEvent {
        name: "score:removal-reject",
        who: "any of those",
        payload: "`{commandId?, id, reason}`",
        answer: "`{removal}`",
    },
    ClientEvent {
        name: "uncertification:request",
        who: "the judge concerned, ADMIN, ORGANIZER, TALLY_MASTER, AUDITOR, BOARD",
        payload: "`{commandId?, categoryId, judgeId?, contestantId?, reason}`",
        answer: "`{uncertification}`",
    },
    ClientEvent {
        name: "uncertification:approve",
        who: "TALLY_MASTER or AUDITOR; from AUDITED on BOARD too",
        payload: "`{commandId?, id, signatureName}`",
        answer: "`{uncertification}`",
    },
    ClientEvent {
        name: "uncertification:reject",
        who: "TALLY_MASTER, AUDITOR, BOARD",
        payload: "`{commandId?, id, reason}`",
        answer: "`{uncertification}`",
    },
    ClientEvent {
        name: "flag:raise",
        who: "anyone with a hat on the category",
        payload: "`{commandId?, categoryId, contestantId?, scoreId?, text}`",
        answer: "`{flag}`",
    },
    ClientEvent {
        name: "flag:resolve",
        who: "TALLY_MASTER, AUDITOR or BOARD, but not who raised it",
        payload: "`{commandId?, id, decision: accepted or rejected, reason}`",
        answer: "`{flag}`",
    },
    ClientEvent {
        name: "results:freeze",
        who: "ADMIN, ORGANIZER, BOARD by hat",
        payload: "`{commandId?, eventId}`",
        answer: "`{eventId, frozen}`; the public is shown nothing newer from now on",
    },
    ClientEvent {
        name: "results:reveal",
        who: "the same, but nobody who judges the category or did",
        payload: "`{commandId?, categoryId, ranks}`",
        answer: "`{categoryId, lines, left}`; the last place shows the whole publication",
    },
    ClientEvent {
        name: "results:thaw",
        who: "ADMIN, ORGANIZER, BOARD by hat",
        payload: "`{commandId?, eventId}`",
        answer: "`{eventId, frozen}`",
    },
    ClientEvent {
        name: "entry:withdraw",
        who: "ADMIN, ORGANIZER",
        payload: "`{commandId?, categoryId, contestantId, reason}`",
        answer: "`{entry}`; signatures over the field as it was are void",
    },
    ClientEvent {
        name: "entry:reinstate",
        who: "ADMIN, ORGANIZER",
        payload: "`{commandId?, categoryId, contestantId, reason}`",
        answer: "`{entry}`",
    },
    ClientEvent {
        name: "notification:read",
        who: "anyone signed in, their own",
        payload: "`{commandId?, id}` or `{all: true}`",
        answer: "`{id}` or `{all: true}`",
    },
    ClientEvent {
        name: "assignment:created",
        who: "ADMIN, ORGANIZER",
        payload: "`{commandId?, judgeId, hat?, categoryId? | contestId? | eventId?, counts?}`",
        answer: "`{assignment}`",
    },
    ClientEvent {
        name: "assignment:create",
        who: "the same",
        payload: "the same, by another name",
        answer: "`{assignment}`",
    },
    ClientEvent {
        name: "assignment:remove",
        who: "ADMIN, ORGANIZER",
        payload: "`{commandId?, id}`",
        answer: "`{assignment}`",
    },
    ClientEvent {
        name: "preview",
        who: "the office of all that the command would move, and who may send the command",
        payload: "`{command, payload}`; also `admin:category` and `admin:entries`; approvals that are missing count as given",
        answer: "`{rankChanges, tallyHash, tallyHashes, voids}`; changes nothing",
    },
    ClientEvent {
        name: "sync:resume",
        who: "anyone signed in; also said when connecting, as `auth.resume`",
        payload: "`{lanes: {[lane]: {epoch, seq, until?}}}`, the last fact one has of each; at most 500 lanes; `until` is the last one \
            asked for, where `session:changed` said that a lane stood which was given back: later ones come live. Whoever does not say \
            it, and lost the lane once more while the question was on its way, may be sent what came live until then again",
        answer: "`{lanes: {[lane]: replayed or snapshot or forbidden}}`, once the missing facts (`meta.replay`) or a \
            `sync:snapshot` were sent",
    },
    ClientEvent {
        name: "user:active",
        who: "anyone signed in",
        payload: "nothing, a user id (not looked at), or `{unsent?, oldestUnsentAt?}`: the marks this tablet has not sent yet, 0 to \
            10,000, and when the first of them was made",
        answer: "`{serverTime, epoch, heads: {lane: seq}}`",
    },
    ClientEvent {
        name: "auth:refresh",
        who: "anyone signed in",
        payload: "`{token}`, an access token of the same user; if it is of another session, the socket goes with that one \
            from now on",
        answer: "`{exp}`, when it ends; else `INVALID_TOKEN`, and the socket goes on as it was",
    },
];

/// What a socket is told that is no fact: it carries no `meta`.
const DERIVED: [(&str, &str, &str); 8] = [
    (
        "session:ready",
        "the socket, once, after it has been let into its rooms",
        "`{userId, role, hats, lanes: [{lane, seq, epoch}], serverTime, limits}`",
    ),
    (
        "session:expiring",
        "the socket, 60 s before its access token ends; without `auth:refresh` it is disconnected then",
        "`{exp}`",
    ),
    ("session:changed", "the sockets of a user whose rooms have changed", "`{role, hats, lanes}`"),
    (
        "tally:updated",
        "the office of the category: ADMIN, ORGANIZER and its tally masters, auditors and board, but nobody who judges it or did",
        "the tally view of `GET /api/v1/categories/{id}/tally`; at most four a second for a category, the latest wins",
    ),
    (
        "judge:presence",
        "the same, of each judge of the category: on coming, and when something but `lastSeen` changes",
        "`{judgeId, categoryId, online, lastSeen, unsent, oldestUnsentAt?}`; `unsent` is what the tablets of the judge said \
            last, also when they are gone; `lastSeen` is null when there was no sign of life since the server started",
    ),
    (
        "sync:snapshot",
        "the socket that asked to catch up on a lane it is too far behind on, or knows another history of",
        "`{lane, state, seq, epoch}`; facts up to `seq` are in it",
    ),
    ("scores:data", "the socket that asked without an ack", "list of score views"),
    (
        "error",
        "the socket whose event was refused and had no ack",
        "`{code, message, event?, field?, retryAfterMs?, current?, correlationId}`",
    ),
];

fn id<T: FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("the placeholders of this page are well-formed ids")
}

fn score(visibility: JudgeVisibility) -> Event {
    Event::ScoreUpdated(ScoreUpdated {
        id: id("MARK"),
        category_id: id("C"),
        contest_id: id("K"),
        event_id: id("E"),
        contestant_id: id("CONTESTANT"),
        judge_id: id("JUDGE"),
        criterion_id: id("CRITERION"),
        score: Mark::ZERO,
        comment: Some(Text::Known { body: "…".into(), salt: String::new() }),
        status: MarkStatus::Submitted,
        version: 1,
        entered_by: None,
        confirmed_by: None,
        made_at: None,
        visibility,
        created_at: Micros(0),
        updated_at: Micros(0),
    })
}

fn assignment() -> AssignmentChanged {
    AssignmentChanged {
        id: id("ASSIGNMENT"),
        judge_id: id("USER"),
        hat: Hat::Judge,
        event_id: id("E"),
        contest_id: Some(id("K")),
        category_id: Some(id("C")),
        counts: true,
        status: AssignmentStatus::Active,
        assigned_by: "USER".into(),
        assigned_at: Micros(0),
    }
}

fn certification() -> Event {
    let text = || Text::Known { body: "…".into(), salt: String::new() };
    let signature = SignatureFact {
        stage: Stage::Tallied,
        user_id: id("USER"),
        signature_name: text(),
        at: Micros(0),
        overridden: false,
        reason: None,
    };
    Event::CertificationUpdated(CertificationUpdated {
        category_id: id("C"),
        contest_id: id("K"),
        event_id: id("E"),
        stage: Stage::Tallied,
        judge_progress: JudgeProgress { judges: 0, finals: 0, sheets: 0, expected_sheets: 0 },
        signatures: vec![signature],
        tally_hash: Some("HASH".into()),
        voided: true,
        voided_signers: vec![],
        rejection_reason: Some(text()),
        certified_at: Some(Micros(0)),
        certified_by: Some(id("USER")),
        updated_at: Micros(0),
    })
}

fn tie() -> Event {
    Event::TieResolved(TieResolved {
        category_id: id("C"),
        order: vec![id("CONTESTANT")],
        reason: Text::Known { body: "…".into(), salt: String::new() },
        by: id("USER"),
        at: Micros(0),
    })
}

fn entry(withdrawn: bool) -> Event {
    Event::EntryChanged(EntryChanged {
        category_id: id("C"),
        event_id: id("E"),
        contestant_id: id("CONTESTANT"),
        withdrawn,
        reason: Text::Known { body: "…".into(), salt: String::new() },
        by: id("USER"),
        at: Micros(0),
    })
}

fn lock(locked: bool) -> Event {
    let reason = Some(Text::Known { body: "…".into(), salt: String::new() });
    Event::ContestLocked(ContestLocked {
        contest_id: id("K"),
        event_id: id("E"),
        locked,
        by: id("USER"),
        at: Micros(0),
        reason,
    })
}

fn notice() -> Event {
    Event::Notified(Notified {
        id: "NOTICE".into(),
        user_id: id("USER"),
        level: NoticeLevel::Info,
        title: "…".into(),
        message: Text::Known { body: "…".into(), salt: String::new() },
        category_id: Some(id("C")),
        created_at: Micros(0),
    })
}

fn notices(removed: bool) -> Event {
    Event::NoticesChanged(NoticesChanged { user_id: id("USER"), id: Some("NOTICE".into()), removed })
}

fn announced(audience: AnnouncedTo, user_id: Option<UserId>) -> Event {
    let message = Text::Known { body: "…".into(), salt: String::new() };
    Event::Announced(Announced { id: "ID".into(), audience, user_id, level: NoticeLevel::Info, message, at: Micros(0) })
}

fn deletion() -> Event {
    Event::ScoreDeleted(ScoreDeleted {
        id: id("MARK"),
        category_id: id("C"),
        contestant_id: id("CONTESTANT"),
        judge_id: id("JUDGE"),
        reason: Text::Known { body: "…".into(), salt: String::new() },
        removal_id: "REMOVAL".into(),
        visibility: JudgeVisibility::Presence,
        deleted_at: Micros(0),
    })
}

fn decision(about: DecisionKind, fresh: bool) -> Event {
    let text = || Text::Known { body: "…".into(), salt: String::new() };
    Event::DecisionChanged(DecisionChanged {
        id: "DECISION".into(),
        about,
        fresh,
        category_id: id("C"),
        contestant_id: Some(id("CONTESTANT")).filter(|_| about != DecisionKind::Removal),
        judge_id: Some(id("JUDGE")).filter(|_| about != DecisionKind::Deduction),
        score_ids: vec![id("MARK")],
        amount: Some(Decimal::one()).filter(|_| about == DecisionKind::Deduction),
        reason: text(),
        answer: None,
        status: DecisionStatus::Pending,
        approvals: vec![],
        missing: vec![Hat::Board],
        requested_by: id("USER"),
        requested_at: Micros(0),
        decided_at: None,
    })
}

fn published(public: bool) -> Event {
    Event::ResultsPublished(ResultsPublished {
        category_id: id("C"),
        contest_id: id("K"),
        event_id: id("E"),
        publication_id: "PUBLICATION".into(),
        revision: 1,
        state: PublicationState::Official,
        published_at: Micros(0),
        tally_hash: "HASH".into(),
        signature: "SIGNATURE".into(),
        key_id: "KEY".into(),
        public,
    })
}

fn frozen(frozen: bool, public: bool) -> Event {
    Event::ResultsFrozen(ResultsFrozen { event_id: id("E"), frozen, at: Micros(0), public })
}

fn revealed(public: bool) -> Event {
    Event::ResultsRevealed(ResultsRevealed {
        event_id: id("E"),
        category_id: id("C"),
        publication_id: "PUBLICATION".into(),
        revision: 1,
        lines: vec![],
        left: 0,
        at: Micros(0),
        public,
    })
}

/// One of each fact, with placeholders for its ids.
#[must_use]
pub fn facts() -> Vec<(&'static str, Event)> {
    let (user, event): (UserId, EventId) = (id("USER"), id("E"));
    vec![
        ("A mark was given or changed", score(JudgeVisibility::Presence)),
        ("The same, in a category with `judgeVisibility: \"own\"`", score(JudgeVisibility::Own)),
        ("A hat was given", Event::AssignmentNew(assignment())),
        ("A hat was taken away", Event::AssignmentRemoved(assignment())),
        ("A user was made, changed, or switched off", Event::UserChanged(UserChanged { user_id: user.clone() })),
        (
            "A session was opened, went on, or ended",
            Event::SessionChanged(SessionChanged { user_id: user, session_id: id("SESSION"), ended: false }),
        ),
        ("The set-up of an event changed", Event::SetupChanged(SetupChanged { event_id: event })),
        ("The certification of a category moved", certification()),
        ("A tie was decided by hand", tie()),
        ("A contestant withdrew", entry(true)),
        ("A withdrawal was taken back", entry(false)),
        ("A contest was locked", lock(true)),
        ("A contest was unlocked", lock(false)),
        ("A user was given a notice", notice()),
        ("A user has read notices", notices(false)),
        ("A user has removed notices", notices(true)),
        ("Something is announced to everyone", announced(AnnouncedTo::Everyone, None)),
        ("Something is announced to a role", announced(AnnouncedTo::Role(Role::Judge), Some(id("USER")))),
        ("Something is announced to the staff of an event", announced(AnnouncedTo::Event(id("E")), None)),
        ("Something is announced to the public of an event", announced(AnnouncedTo::Public(id("E")), None)),
        ("A mark was taken out", deletion()),
        ("A deduction was asked for", decision(DecisionKind::Deduction, true)),
        ("A deduction moved on", decision(DecisionKind::Deduction, false)),
        ("A removal was asked for", decision(DecisionKind::Removal, true)),
        ("A removal moved on", decision(DecisionKind::Removal, false)),
        ("An uncertification was asked for, or moved on", decision(DecisionKind::Uncertification, false)),
        ("A flag was raised, or resolved", decision(DecisionKind::Flag, false)),
        ("A result was published, for the staff", published(false)),
        ("… and for the public", published(true)),
        ("The results of an event were frozen, for the staff", frozen(true, false)),
        ("… and for the public", frozen(true, true)),
        ("They were thawed, for the staff", frozen(false, false)),
        ("… and for the public", frozen(false, true)),
        ("Places of a hidden result were revealed, for the staff", revealed(false)),
        ("… and for the public", revealed(true)),
        (
            "Contestants changed",
            Event::ContestantsChanged(ContestantsChanged { contestant_ids: vec![id("CONTESTANT")] }),
        ),
    ]
}

fn rooms(rooms: &[Room]) -> String {
    rooms.iter().map(|room| format!("`{room}`")).collect::<Vec<_>>().join(", ")
}

fn fields(view: &Value) -> String {
    match view.as_object() {
        Some(fields) => fields.keys().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", "),
        None => "only `meta`, as its one argument".into(),
    }
}

/// The page.
///
/// # Errors
/// When a view cannot be written as JSON.
pub fn markdown() -> anyhow::Result<String> {
    let mut page = String::from(
        "# Events of the scoring plane\n\n\
        Made from the code by `make docs`; do not edit.\n\n\
        Socket.IO, namespace `/`. Every client event takes an optional ack: `{ok: true, data}` or `{ok: false, error}`.\n\
        Facts carry a second argument `meta = {lane, seq, epoch, ts, replay?, commandId?}`; `commandId` only to its author.\n\
        Within a lane `seq` is dense, so `seq == last + 1` proves that nothing was lost.\n\n\
        ## From the client\n\n| event | who | payload | answer |\n|---|---|---|---|\n",
    );
    for ClientEvent { name, who, payload, answer } in CLIENT_EVENTS {
        writeln!(page, "| `{name}` | {who} | {} | {} |", payload.replace('|', "\\|"), answer)?;
    }
    page.push_str(
        "\n## Facts\n\nEach member of the lane gets the first line that is meant for them, and only that one.\n\n\
        | fact | lane | event | to the members of | but not of | payload |\n|---|---|---|---|---|---|\n",
    );
    for (what, event) in facts() {
        for (line, delivery) in event.deliveries().iter().enumerate() {
            let what = if line == 0 { what } else { "" };
            let view = serde_json::to_value(&delivery.view)?;
            writeln!(
                page,
                "| {what} | `{}` | `{}` | {} | {} | {} |",
                event.lane(),
                delivery.event,
                rooms(&delivery.rooms),
                rooms(&delivery.except),
                fields(&view)
            )?;
        }
    }
    page.push_str("\n## What is no fact\n\n| event | to | payload |\n|---|---|---|\n");
    for (name, to, payload) in DERIVED {
        writeln!(page, "| `{name}` | {to} | {payload} |")?;
    }
    page.push_str("\n## Error codes\n\n| code | HTTP status |\n|---|---|\n");
    for code in Code::ALL {
        writeln!(page, "| `{}` | {} |", code.as_str(), code.status())?;
    }
    live::write(&mut page)?;
    cassettes::section(&mut page)?;
    Ok(page)
}
