//! The work that is done for every mark, each piece alone and always the same: no clock, no chance, no disk.

use scorecast::auth::role::Role;
use scorecast::auth::token::Tokens;
use scorecast::clock::Micros;
use scorecast::db::entity::{session, user};
use scorecast::db::row::Row;
use scorecast::events::event::Event;
use scorecast::events::log::{LaneHead, LogEntry, LogHead, Origin};
use scorecast::ranking::{CriterionIn, EntryIn, Input, Mark, MarkIn, Panelist, Rules, rank};
use scorecast::state::State;
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;

/// A piece of work: `prepare` makes what it needs, and what it gives does it once.
pub struct Case {
    /// What it is called in the table of counts.
    pub name: &'static str,
    /// Makes it ready.
    pub prepare: fn() -> Box<dyn FnMut()>,
}

/// All of them.
pub const CASES: [Case; 6] = [
    Case { name: "deliveries", prepare: deliveries },
    Case { name: "deliveries_as_json", prepare: deliveries_as_json },
    Case { name: "rank_mean_of_9_judges_24_entries", prepare: || ranking("mean") },
    Case { name: "rank_trimmed_mean_of_9_judges_24_entries", prepare: || ranking("trimmed_mean") },
    Case { name: "token_gate", prepare: token_gate },
    Case { name: "log_append", prepare: log_append },
];

/// When everything here happens.
const NOW: Micros = Micros(1_700_000_000_000_000);
/// A secret, for the tokens of these cases only.
const SECRET: &str = "micro-0123456789abcdef0123456789abcdef";

/// A mark that was given.
fn fact() -> Event {
    let fact = json!({"kind": "score_updated",
        "id": "01995f2e-7c1a-7d33-9b5e-3f6f0a5c7e11", "category_id": "final", "contest_id": "gala", "event_id": "cup",
        "contestant_id": "k0001", "judge_id": "01995f2e-7c1a-7d33-9b5e-0123456789ab", "criterion_id": "form",
        "score": 8.25, "status": "submitted", "version": 3, "visibility": "presence",
        "created_at": "2023-11-14T22:13:20Z", "updated_at": "2023-11-14T22:13:20Z"});
    Event::from_json(&fact.to_string()).expect("a fact of this version")
}

fn deliveries() -> Box<dyn FnMut()> {
    let fact = fact();
    Box::new(move || drop(black_box(black_box(&fact).deliveries())))
}

fn deliveries_as_json() -> Box<dyn FnMut()> {
    let fact = fact();
    Box::new(move || {
        for delivery in black_box(&fact).deliveries() {
            drop(black_box(serde_json::to_string(&delivery.view).expect("a view can be written")));
        }
    })
}

fn ranking(method: &str) -> Box<dyn FnMut()> {
    let trim = if method == "trimmed_mean" { json!({"low": 1, "high": 1}) } else { json!({"low": 0, "high": 0}) };
    let rules: Rules = serde_json::from_value(json!({"method": method, "trim": trim})).expect("rules");
    let id = |kind: &str, number: usize| Arc::<str>::from(format!("{kind}{number}"));
    let one = || "1".parse().expect("a number");
    let (judges, contestants, criteria) = (9, 24, 3);
    let mut input = Input {
        criteria: (0..criteria).map(|number| CriterionIn { id: id("c", number), weight: one() }).collect(),
        entries: (0..contestants)
            .map(|number| EntryIn { contestant: id("k", number), factor: one(), withdrawn: false, status: None })
            .collect(),
        panel: (0..judges)
            .map(|number| Panelist { judge: id("j", number), required: true, head: number == 0 })
            .collect(),
        ..Input::default()
    };
    for judge in 0..judges {
        for contestant in 0..contestants {
            for criterion in 0..criteria {
                let points = i64::try_from(5_000 + (judge * 37 + contestant * 101 + criterion * 53) % 20 * 250);
                let value = Mark::from_thousandths(points.expect("small")).expect("in range");
                let (judge, contestant, criterion) = (id("j", judge), id("k", contestant), id("c", criterion));
                input.marks.push(MarkIn { judge, contestant, criterion, value });
            }
        }
    }
    Box::new(move || drop(black_box(rank(black_box(&rules), black_box(&input)))))
}

fn token_gate() -> Box<dyn FnMut()> {
    let tokens = Tokens::new(SECRET).expect("a good secret");
    let (user_id, session_id) = ("u1".parse().expect("an id"), "s1".parse().expect("an id"));
    let mut state = State::empty(LogHead { seq: 0, hash: "0".repeat(64).into(), epoch: "epoch".into() });
    state.put(&Row::User(user::Model {
        id: Clone::clone(&user_id),
        email: "judge@bench.example".into(),
        name: "Judge".into(),
        role: Role::Judge,
        password_hash: None,
        active: true,
        session_version: 1,
        created_at: NOW,
        updated_at: NOW,
    }));
    state.put(&Row::Session(session::Model {
        id: Clone::clone(&session_id),
        user_id: Clone::clone(&user_id),
        created_at: NOW,
        expires_at: NOW.plus_seconds(3600),
        revoked_at: None,
        generation: 1,
        rotated_at: NOW,
        refresh_hash: String::new(),
        user_agent: None,
    }));
    let token = tokens.issue(&user_id, Role::Judge, &session_id, 1, NOW).expect("signing works");
    Box::new(move || drop(black_box(tokens.admit(black_box(&token), &state, NOW).expect("a good token"))))
}

fn log_append() -> Box<dyn FnMut()> {
    let head = LogHead { seq: 41, hash: "0".repeat(64).into(), epoch: "epoch".into() };
    let lane = LaneHead::default();
    let origin = Origin { actor: "u1".into(), command_id: "00000000-0000-4000-8000-000000000001".into(), at: NOW };
    let fact = fact();
    Box::new(move || drop(black_box(LogEntry::chain(&head, &lane, &origin, black_box(fact.clone()), &[7; 16]))))
}

#[cfg(test)]
mod tests {
    use super::CASES;

    #[test]
    fn every_case_can_be_done_twice() {
        for case in CASES {
            let mut once = (case.prepare)();
            once();
            once();
        }
    }
}
