//! Who may do what, and when: every command of a certification at every stage, every step of a decision in each of its
//! states, for every seat. Kept as a table like those of `golden.rs`; a change of it is a change of rights.
//!
//! Invariant: every command that moves a certification or a decision is in it, and so is every stage it can be at.

use crate::golden::{World, assert_golden, document, id, initials, read, table};
use crate::support::people::mark;
use scorecast::auth::actor::Actor;
use scorecast::certification::decisions::{
    ApproveDecision, CloseDecision, RaiseFlag, RequestDeduction, RequestRemoval, RequestUncertification,
};
use scorecast::certification::judges::{CertifySheet, SignFinal};
use scorecast::certification::officers::{OverrideStage, RejectStage, SignStage};
use scorecast::certification::ties::ResolveTie;
use scorecast::commands::Command;
use scorecast::db::entity::certification::Stage;
use scorecast::db::entity::decision::{DecisionKind, DecisionStatus};
use scorecast::db::entity::publication::PublicationState;
use scorecast::ids::CategoryId;
use scorecast::publications::{FreezeResults, PublishResults, RevealResults, ThawResults};
use scorecast::scores::{ConfirmScore, SubmitScore};
use scorecast::setup::assignments::RemoveAssignment;
use scorecast::setup::entries::{ReinstateEntry, WithdrawEntry};
use scorecast::setup::locks::LockContest;
use scorecast::state::State;
use scorecast::tally;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One for every seat there is: `both` is an admin who judges, `beam` judges another category, `extally` and `exadmin`
/// judged this one and are its tally master and an admin now.
const PEOPLE: [&str; 16] = [
    "operator",
    "admin",
    "organizer",
    "tally",
    "auditor",
    "board",
    "emcee",
    "ada",
    "ben",
    "head",
    "beam",
    "both",
    "gymnast",
    "idle",
    "extally",
    "exadmin",
];

fn vault() -> CategoryId {
    id("vault")
}

fn stage_of(state: &State) -> Stage {
    state.boards[&vault()].stage()
}

fn hash_of(state: &State) -> String {
    tally::tally(state, &state.categories[&vault()]).expect("the board is there").tally_hash
}

fn on_vault(more: &Value) -> Value {
    let mut payload = json!({"categoryId": "vault"});
    let fields = payload.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    payload
}

fn sign(world: &World, stage: &str) -> Command {
    let more = json!({"stage": stage, "tallyHash": hash_of(&world.state), "signatureName": "N. N."});
    read::<SignStage>(on_vault(&more)).into()
}

/// The vault, on the way from its first mark to its publication.
struct Way(Vec<(&'static str, World)>);

impl Way {
    fn new() -> Self {
        let mut document = document();
        let vault = &mut document["contests"][0]["categories"][0];
        vault["rules"]["tieBreaks"] = json!(["manual"]);
        vault["proxyEntry"] = json!(true);
        let mut world = World::of(&document);
        // Somebody who is switched off signs nothing, so the organizer takes the hat.
        world.operate(&RemoveAssignment { id: world.hat_of("off") }.into());
        let mut way = vec![("OPEN", world.clone())];
        for judge in ["ada", "ben", "cleo", "wide"] {
            for contestant in ["x", "y", "z"] {
                for criterion in ["form", "height"] {
                    world.carry(judge, &read::<SubmitScore>(mark(contestant, criterion, 5.0)).into());
                }
            }
        }
        way.push(("OPEN, all marked", world.clone()));
        for judge in ["ada", "ben", "cleo", "wide"] {
            world.carry(judge, &read::<CertifySheet>(on_vault(&json!({}))).into());
        }
        way.push(("OPEN, certified", world.clone()));
        for judge in ["ada", "ben", "cleo", "wide"] {
            world.carry(judge, &read::<SignFinal>(on_vault(&json!({}))).into());
        }
        way.push(("JUDGED", world.clone()));
        for (officer, stage) in [("tally", "TALLIED"), ("auditor", "AUDITED"), ("board", "CERTIFIED")] {
            let signature = sign(&world, stage);
            world.carry(officer, &signature);
            way.push((stage, world.clone()));
        }
        let publish = publish(&world, PublicationState::Official);
        world.carry("organizer", &publish);
        way.push(("PUBLISHED", world));
        Self(way)
    }

    fn at(&self, stage: &str) -> World {
        self.0.iter().find(|(name, _)| *name == stage).map(|(_, world)| world.clone()).expect("a stage of the way")
    }
}

fn publish(world: &World, state: PublicationState) -> Command {
    PublishResults { category_id: id("vault"), state, signer: Arc::clone(&world.signer) }.into()
}

/// What can be done with a category, as each would do it.
fn deeds(world: &World) -> Vec<(&'static str, Command)> {
    let overriding = |stage: &str| read::<OverrideStage>(on_vault(&json!({"stage": stage, "reason": "ill"}))).into();
    let ada = world.user("ada");
    vec![
        ("give an own mark", read::<SubmitScore>(mark("y", "form", 6.0)).into()),
        ("enter a mark for head", {
            let mut payload = mark("y", "form", 6.0);
            payload["judgeId"] = json!(world.user("head"));
            read::<SubmitScore>(payload).into()
        }),
        ("confirm a mark of nobody", read::<ConfirmScore>(on_vault(&json!({"scoreId": "none"}))).into()),
        ("certify own sheets", read::<CertifySheet>(on_vault(&json!({}))).into()),
        ("sign FINAL", read::<SignFinal>(on_vault(&json!({}))).into()),
        ("sign TALLIED", sign(world, "TALLIED")),
        ("sign AUDITED", sign(world, "AUDITED")),
        ("sign CERTIFIED", sign(world, "CERTIFIED")),
        ("send it back", read::<RejectStage>(on_vault(&json!({"reason": "look again"}))).into()),
        ("send it back to JUDGED", {
            read::<RejectStage>(on_vault(&json!({"reason": "look again", "toStage": "JUDGED"}))).into()
        }),
        ("override JUDGED", overriding("JUDGED")),
        ("override TALLIED", overriding("TALLIED")),
        ("override AUDITED", overriding("AUDITED")),
        ("override CERTIFIED", overriding("CERTIFIED")),
        ("ask for a deduction", {
            read::<RequestDeduction>(on_vault(&json!({"contestantId": "x", "amount": 1, "reason": "fall"}))).into()
        }),
        ("ask to remove ada's marks", {
            read::<RequestRemoval>(on_vault(&json!({"judgeId": ada, "reason": "bias"}))).into()
        }),
        ("ask to open ada's sheets", {
            read::<RequestUncertification>(on_vault(&json!({"judgeId": ada, "reason": "slip"}))).into()
        }),
        ("raise a flag", read::<RaiseFlag>(on_vault(&json!({"text": "look"}))).into()),
        ("put y before z", {
            read::<ResolveTie>(on_vault(&json!({"order": ["y", "z"], "reason": "difficulty"}))).into()
        }),
        ("withdraw x", read::<WithdrawEntry>(on_vault(&json!({"contestantId": "x", "reason": "ankle"}))).into()),
        ("reinstate x", read::<ReinstateEntry>(on_vault(&json!({"contestantId": "x", "reason": "fit"}))).into()),
        ("publish unofficially", publish(world, PublicationState::Unofficial)),
        ("publish officially", publish(world, PublicationState::Official)),
        ("freeze", FreezeResults { event_id: id("cup") }.into()),
        ("reveal a place", RevealResults { category_id: id("vault"), ranks: [1].into() }.into()),
        ("thaw", ThawResults { event_id: id("cup") }.into()),
        ("lock", LockContest { contest: id("women"), locked: true, reason: None }.into()),
        ("unlock", LockContest { contest: id("women"), locked: false, reason: None }.into()),
    ]
}

/// What came of it: `ok`, `>STAGE` where the category moved, or the initials of the refusal.
fn outcome(
    world: &World,
    actor: &Actor,
    command: &Command,
    codes: &mut BTreeMap<String, String>,
    done: impl Fn(&State) -> Option<String>,
) -> String {
    match world.decide(actor, command) {
        Ok((_, after)) => done(&after).unwrap_or_else(|| {
            let (before, after) = (stage_of(&world.state), stage_of(&after));
            if before == after { "ok".to_owned() } else { format!(">{after:?}").to_uppercase() }
        }),
        Err(refusal) => {
            let code = refusal.code().as_str();
            let short = initials(code);
            let known = codes.insert(short.clone(), code.to_owned());
            assert!(known.is_none_or(|known| known == code), "two codes have the initials {short}");
            short
        }
    }
}

/// The states a decision of a kind can be in, each with its id and what to call it.
fn decisions(way: &Way) -> Vec<(String, World, DecisionKind, String)> {
    let mut found = Vec::new();
    let mut add =
        |label: &str, world: &World, kind, id: &str| found.push((label.to_owned(), world.clone(), kind, id.to_owned()));
    let approve = |about, id: &str| ApproveDecision { about, id: id.to_owned(), signature_name: "N. N.".into() }.into();
    for (stage, kind, by, ask) in [
        ("JUDGED", DecisionKind::Deduction, "ben", deed("ask for a deduction")),
        ("AUDITED", DecisionKind::Deduction, "tally", deed("ask for a deduction")),
        ("JUDGED", DecisionKind::Removal, "board", deed("ask to remove ada's marks")),
        ("CERTIFIED", DecisionKind::Removal, "admin", deed("ask to remove ada's marks")),
        ("TALLIED", DecisionKind::Uncertification, "ada", deed("ask to open ada's sheets")),
        ("AUDITED", DecisionKind::Uncertification, "auditor", deed("ask to open ada's sheets")),
        ("PUBLISHED", DecisionKind::Uncertification, "ada", deed("ask to open ada's sheets")),
        ("JUDGED", DecisionKind::Flag, "ben", deed("raise a flag")),
        ("CERTIFIED", DecisionKind::Flag, "tally", deed("raise a flag")),
    ] {
        let mut world = way.at(stage);
        let command = ask(&world);
        let answer = world.carry(by, &command);
        let name = answer.as_object().and_then(|fields| fields.keys().next().cloned()).expect("what was asked for");
        let id = answer[&name]["id"].as_str().expect("an id").to_owned();
        add(&format!("{name} of {by}, {stage}"), &world, kind, &id);
        if kind == DecisionKind::Flag {
            let status = DecisionStatus::Approved;
            world.carry(
                "board",
                &CloseDecision { about: kind, id: id.clone(), status, reason: Some("so it is".into()) }.into(),
            );
            add("… accepted", &world, kind, &id);
            continue;
        }
        if !(kind == DecisionKind::Uncertification && stage == "TALLIED") {
            world.carry("tally", &approve(kind, &id));
            add("… approved by tally", &world, kind, &id);
        }
        if kind != DecisionKind::Uncertification {
            world.carry("board", &approve(kind, &id));
            add("… and by board", &world, kind, &id);
        }
        let status = DecisionStatus::Rejected;
        world
            .carry("auditor", &CloseDecision { about: kind, id: id.clone(), status, reason: Some("no".into()) }.into());
        add("… rejected", &world, kind, &id);
    }
    found
}

/// A deed of the table by its name.
fn deed(label: &'static str) -> impl Fn(&World) -> Command {
    move |world| {
        let found = deeds(world).into_iter().find(|(name, _)| *name == label);
        found.map(|(_, command)| command).expect("a deed of the table")
    }
}

fn steps(kind: DecisionKind, id: &str) -> Vec<(&'static str, Command)> {
    let close = |status, reason: Option<&str>| {
        CloseDecision { about: kind, id: id.to_owned(), status, reason: reason.map(str::to_owned) }.into()
    };
    let approve = ApproveDecision { about: kind, id: id.to_owned(), signature_name: "N. N.".into() };
    let mut steps = vec![
        ("approve", approve.into()),
        ("reject", close(DecisionStatus::Rejected, Some("no"))),
        ("withdraw", close(DecisionStatus::Withdrawn, None)),
    ];
    if kind == DecisionKind::Flag {
        steps.push(("accept", close(DecisionStatus::Approved, Some("so it is"))));
    }
    steps
}

#[test]
fn who_may_do_what_at_every_stage() {
    let way = Way::new();
    let stages: Vec<Stage> = way.0.iter().map(|(_, world)| stage_of(&world.state)).collect();
    let mut codes = BTreeMap::new();
    let mut rows = Vec::new();
    let mut named = BTreeSet::new();
    for (stage, world) in &way.0 {
        for (label, command) in deeds(world) {
            named.insert(command.name());
            let cells = PEOPLE.map(|name| outcome(world, &world.actors[name], &command, &mut codes, |_| None));
            rows.push(((*stage).to_owned(), label.to_owned(), cells.to_vec()));
        }
    }
    let mut decided = Vec::new();
    for (label, world, kind, decision) in decisions(&way) {
        for (step, command) in steps(kind, &decision) {
            named.insert(command.name());
            let status = |state: &State| {
                let now = state.boards[&vault()].decisions[&decision].status;
                (now != DecisionStatus::Pending).then(|| format!(">{now:?}").to_uppercase())
            };
            let cells = PEOPLE.map(|name| outcome(&world, &world.actors[name], &command, &mut codes, status));
            decided.push((label.clone(), step.to_owned(), cells.to_vec()));
        }
    }
    for stage in [Stage::Open, Stage::Judged, Stage::Tallied, Stage::Audited, Stage::Certified, Stage::Published] {
        assert!(stages.contains(&stage), "{stage:?} is on the way");
    }
    let moving = [
        "scores:",
        "certification:",
        "deduction:",
        "score:",
        "uncertification:",
        "flag:",
        "decision:",
        "entry:",
        "tie:",
        "results:",
    ];
    let missing: Vec<&&str> = Command::NAMES
        .iter()
        .filter(|name| moving.iter().any(|prefix| name.starts_with(prefix)) && **name != "scores:submitBatch")
        .filter(|name| !named.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{missing:?} are not in the table");
    let codes: Vec<String> = codes.iter().map(|(short, code)| format!("{short} {code}")).collect();
    let legend = format!(
        "Who may do what on the vault, and when: `ok`, `>STAGE` where the category or the decision moves, or the initials of\n\
         the refusal. y and z share a rank; the event allows overrides, the category proxy marks.\n{}\n",
        codes.join(", ")
    );
    let by_stage = table(["stage", "deed"], &PEOPLE, &rows);
    let by_decision = table(["decision", "step"], &PEOPLE, &decided);
    assert_golden("who_may_do_what_when.txt", &format!("{legend}\n{by_stage}\n{by_decision}"));
}
