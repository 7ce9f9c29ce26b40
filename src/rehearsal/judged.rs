//! Playing what an office saw of judging: marks, deductions and signatures are given again, by people made for it.

use super::Rehearsal;
use crate::app::App;
use crate::auth::actor::Actor;
use crate::cassettes::file::Line;
use crate::cassettes::setup::{Setup, SetupCategory, SetupJudge};
use crate::certification::decisions::{ApproveDecision, RequestDeduction};
use crate::certification::judges::{CertifySheet, SignFinal};
use crate::certification::officers::SignStage;
use crate::certification::ties::ResolveTie;
use crate::cli::access_token;
use crate::command::parse;
use crate::db::entity::certification::Stage;
use crate::db::entity::decision::DecisionKind;
use crate::db::entity::publication::PublicationState;
use crate::error::Refusal;
use crate::ids::{CategoryId, EventId, UserId};
use crate::publications::PublishResults;
use crate::scores::SubmitScore;
use crate::setup::DisableUser;
use crate::setup::entries::{ReinstateEntry, WithdrawEntry};
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Those who sign, by the hat they sign under.
const OFFICERS: [(&str, Stage); 3] =
    [("TALLY_MASTER", Stage::Tallied), ("AUDITOR", Stage::Audited), ("BOARD", Stage::Certified)];

fn email(event: &EventId, who: &str) -> String {
    format!("{}@{event}.invalid", who.to_lowercase())
}

/// An id of the recording as it is in the rehearsal.
fn mapped(event: &EventId, id: impl std::fmt::Display) -> String {
    format!("{event}.{id}")
}

fn map(event: &EventId, id: &Value) -> Value {
    id.as_str().map_or(Value::Null, |id| json!(mapped(event, id)))
}

/// Who marked what in a recording.
fn markers(lines: &[Line]) -> BTreeSet<(String, String)> {
    let marks = lines.iter().filter(|line| line.kind == "scores:updated");
    let said = marks.filter_map(|line| serde_json::from_str::<Value>(line.data.get()).ok());
    said.filter_map(|said| Some((said["categoryId"].as_str()?.to_owned(), said["judgeId"].as_str()?.to_owned())))
        .collect()
}

fn category_of(event: &EventId, category: &SetupCategory, markers: &BTreeSet<(String, String)>) -> Value {
    let entries = category.entries.iter().map(|entry| {
        json!({
            "contestantId": mapped(event, &entry.contestant_id), "startOrder": entry.start_order, "factor": entry.factor,
        })
    });
    // Who had laid the hat down and never marked owes no mark.
    let judged =
        |judge: &&SetupJudge| judge.active || markers.contains(&(category.id.to_string(), judge.user_id.to_string()));
    let judges = category.judges.iter().filter(judged).map(
        |judge| json!({ "email": email(event, judge.user_id.as_str()), "hat": judge.hat, "counts": judge.counts }),
    );
    json!({
        "id": mapped(event, &category.id), "name": category.name, "rules": category.rules,
        "minJudges": category.min_judges, "judgeVisibility": category.judge_visibility,
        "proxyEntry": category.proxy_entry, "criteria": category.criteria,
        "entries": entries.collect::<Vec<_>>(), "assignments": judges.collect::<Vec<_>>(),
    })
}

/// The import document of the rehearsal. What is wrong in it, its import says.
pub(super) fn document(event: &EventId, setup: &Setup, lines: &[Line], public: bool) -> Value {
    let user = |who: &str, role: &str| json!({ "email": email(event, who), "name": "Rehearsal", "role": role });
    let judges = setup.judges();
    let users = judges.iter().map(|judge| user(judge.as_str(), "JUDGE"));
    let users: Vec<Value> = users.chain(OFFICERS.map(|(hat, _)| user(hat, hat))).collect();
    let contestants = setup
        .contestants
        .iter()
        .map(|one| json!({ "id": mapped(event, &one.id), "name": one.name, "club": one.club, "country": one.country }));
    let markers = markers(lines);
    let contests = setup.contests.iter().map(|contest| {
        let categories: Vec<Value> =
            contest.categories.iter().map(|category| category_of(event, category, &markers)).collect();
        json!({ "id": mapped(event, &contest.id), "name": contest.name, "categories": categories })
    });
    json!({
        "event": {
            "id": event, "mainTitle": format!("Rehearsal: {}", setup.event.main_title),
            "discipline": setup.event.discipline, "status": if public { "running" } else { "draft" },
        },
        "users": users, "contestants": contestants.collect::<Vec<_>>(), "contests": contests.collect::<Vec<_>>(),
        "assignments": OFFICERS.map(|(hat, _)| json!({ "email": email(event, hat), "hat": hat })),
    })
}

/// The people of a rehearsal, signed in.
struct Cast {
    judges: BTreeMap<String, Actor>,
    officers: Vec<(Stage, Actor)>,
}

async fn sign_in(app: &App, email: &str) -> anyhow::Result<Actor> {
    let token = access_token(app, email).await?;
    Ok(app.admit(&token).await?)
}

impl Cast {
    async fn gather(app: &App, event: &EventId, setup: &Setup) -> anyhow::Result<Self> {
        let mut judges = BTreeMap::new();
        for judge in setup.judges() {
            judges.insert(judge.to_string(), sign_in(app, &email(event, judge.as_str())).await?);
        }
        let mut officers = Vec::new();
        for (hat, stage) in OFFICERS {
            officers.push((stage, sign_in(app, &email(event, hat)).await?));
        }
        Ok(Self { judges, officers })
    }

    fn everybody(&self) -> impl Iterator<Item = &Actor> {
        self.judges.values().chain(self.officers.iter().map(|(_, officer)| officer))
    }
}

/// A rehearsal under way.
struct Stand<'a> {
    rehearsal: &'a Rehearsal,
    cast: Cast,
    /// Where in the recording the last mark of each category stands: signatures before it have fallen since.
    last_change: BTreeMap<String, usize>,
    judged: BTreeSet<String>,
    deducted: BTreeSet<String>,
}

/// What changes a tally.
fn changes(kind: &str) -> bool {
    matches!(
        kind,
        "scores:updated"
            | "scores:deleted"
            | "deduction:updated"
            | "entry:withdrawn"
            | "entry:reinstated"
            | "tie:resolved"
    )
}

pub(super) async fn play(rehearsal: &Rehearsal, setup: &Setup) -> anyhow::Result<()> {
    let cast = Cast::gather(&rehearsal.app, &rehearsal.event, setup).await?;
    let people: Vec<UserId> = cast.everybody().filter_map(|actor| actor.user().ok().cloned()).collect();
    let played = play_with(rehearsal, setup, cast).await;
    // They were made for this: nobody signs in as one of them later.
    for user in people {
        rehearsal.app.rehearse(rehearsal.actor.clone(), DisableUser { user }).await?;
    }
    played
}

async fn play_with(rehearsal: &Rehearsal, setup: &Setup, cast: Cast) -> anyhow::Result<()> {
    let known: BTreeSet<CategoryId> = setup.categories().map(|category| category.id.clone()).collect();
    let mut frames = Vec::new();
    let mut last_change = BTreeMap::new();
    for line in rehearsal.lines.iter().filter(|line| rehearsal.playing.reaches(line.ts)) {
        let said: Value = serde_json::from_str(line.data.get())?;
        let Some(category) = said["categoryId"].as_str().filter(|id| known.iter().any(|known| known.as_str() == *id))
        else {
            continue;
        };
        // A certified mark is the same mark.
        let is_status = line.kind == "scores:updated" && said["status"] != "submitted";
        if changes(&line.kind) && !is_status {
            last_change.insert(category.to_owned(), frames.len());
        }
        frames.push((line.ts, line.kind.clone(), said));
    }
    let mut stand = Stand { rehearsal, cast, last_change, judged: BTreeSet::new(), deducted: BTreeSet::new() };
    let mut before = 0;
    for (at, (ts, kind, said)) in frames.iter().enumerate() {
        rehearsal.wait(before, *ts).await;
        before = *ts;
        stand.frame(at, kind, said).await.with_context(|| format!("frame {at}, {kind}"))?;
    }
    Ok(())
}

impl Stand<'_> {
    fn map(&self, id: &Value) -> Value {
        map(&self.rehearsal.event, id)
    }

    async fn carry(&self, actor: &Actor, command: impl Into<crate::commands::Command>) -> Result<Value, Refusal> {
        self.rehearsal.app.rehearse(actor.clone(), command).await
    }

    async fn frame(&mut self, at: usize, kind: &str, said: &Value) -> anyhow::Result<()> {
        let recorded = said["categoryId"].as_str().unwrap_or_default().to_owned();
        let category: CategoryId = parse_id(&self.map(&said["categoryId"]))?;
        match kind {
            "scores:updated" => self.mark(said).await,
            "deduction:updated" if said["status"] == "APPROVED" => self.deduct(&category, said).await,
            "entry:withdrawn" => {
                let command = WithdrawEntry {
                    category_id: category,
                    contestant_id: parse_id(&self.map(&said["contestantId"]))?,
                    reason: "as recorded".to_owned(),
                };
                self.carry(&self.rehearsal.actor, command).await?;
                Ok(())
            }
            "entry:reinstated" => {
                let command = ReinstateEntry {
                    category_id: category,
                    contestant_id: parse_id(&self.map(&said["contestantId"]))?,
                    reason: "as recorded".to_owned(),
                };
                self.carry(&self.rehearsal.actor, command).await?;
                Ok(())
            }
            "tie:resolved" => {
                let order = said["order"].as_array().into_iter().flatten().map(|id| parse_id(&self.map(id)));
                let command = ResolveTie {
                    category_id: category,
                    order: order.collect::<anyhow::Result<_>>()?,
                    reason: "as recorded".to_owned(),
                };
                self.carry(&self.cast.officers[0].1, command).await?;
                Ok(())
            }
            "certification:updated" if self.last_change.get(&recorded).is_none_or(|last| *last < at) => {
                self.certify(&recorded, &category, said).await
            }
            "results:published" => self.publish(&category, said).await,
            _ => Ok(()),
        }
    }

    async fn mark(&self, said: &Value) -> anyhow::Result<()> {
        let judge = said["judgeId"].as_str().and_then(|judge| self.cast.judges.get(judge));
        // One that was entered for its judge counts once it is confirmed; the confirmed one comes as a frame of its own.
        let waits = said.get("enteredBy").is_some() && said.get("confirmedBy").is_none();
        let (Some(judge), true, false) = (judge, said["status"] == "submitted", waits) else { return Ok(()) };
        let command: SubmitScore = parse(json!({
            "categoryId": self.map(&said["categoryId"]), "contestantId": self.map(&said["contestantId"]),
            "criterionId": said["criterionId"], "score": said["score"],
        }))?;
        self.carry(judge, command).await?;
        Ok(())
    }

    async fn deduct(&mut self, category: &CategoryId, said: &Value) -> anyhow::Result<()> {
        if !self.deducted.insert(said["id"].to_string()) {
            return Ok(());
        }
        let command: RequestDeduction = parse(json!({
            "categoryId": category, "contestantId": self.map(&said["contestantId"]), "amount": said["amount"],
            "reason": "as recorded",
        }))?;
        let asked = self.carry(&self.cast.officers[0].1, command).await?;
        let id = asked["deduction"]["id"].as_str().context("a deduction has an id")?.to_owned();
        let head = self.rehearsal.app.state();
        let head = head.categories.get(category).map(|row| head.panel(row)).unwrap_or_default();
        let head = head.iter().find(|judge| judge.head).and_then(|judge| self.actor_of(&judge.judge));
        let officers = self.cast.officers.iter().map(|(_, officer)| officer);
        for approver in officers.chain(head) {
            let approve = ApproveDecision {
                about: DecisionKind::Deduction,
                id: id.clone(),
                signature_name: "Rehearsal".to_owned(),
            };
            self.carry(approver, approve).await?;
        }
        Ok(())
    }

    fn actor_of(&self, user: &UserId) -> Option<&Actor> {
        self.cast.judges.values().find(|actor| actor.user().is_ok_and(|id| id == user))
    }

    async fn certify(&mut self, recorded: &str, category: &CategoryId, said: &Value) -> anyhow::Result<()> {
        let reached: Option<Stage> = serde_json::from_value(said["stage"].clone()).ok();
        let Some(reached) = reached.filter(|stage| *stage >= Stage::Judged) else { return Ok(()) };
        if self.judged.insert(recorded.to_owned()) {
            let state = self.rehearsal.app.state();
            let row = state.categories.get(category).context("the category is there")?;
            let panel = state.panel(row);
            drop(state);
            for judge in panel.iter().filter_map(|judge| self.actor_of(&judge.judge)) {
                let all = json!({ "categoryId": category, "signatureName": "Rehearsal" });
                self.carry(judge, parse::<CertifySheet>(all.clone())?).await?;
                self.carry(judge, parse::<SignFinal>(all)?).await?;
            }
        }
        for (stage, officer) in &self.cast.officers {
            let state = self.rehearsal.app.state_with(category).await?;
            let stands = state.board(category)?.stage();
            if *stage > reached || stands >= *stage {
                continue;
            }
            let tally_hash = self.rehearsal.app.tally(category).await?.tally_hash;
            let command = SignStage {
                category_id: category.clone(),
                stage: *stage,
                tally_hash,
                signature_name: "Rehearsal".to_owned(),
                comments: None,
            };
            self.carry(officer, command).await?;
        }
        Ok(())
    }

    async fn publish(&self, category: &CategoryId, said: &Value) -> anyhow::Result<()> {
        let state: PublicationState = serde_json::from_value(said["state"].clone())?;
        let signer = self.rehearsal.app.signer().await?;
        let command = PublishResults { category_id: category.clone(), state, signer };
        self.carry(&self.rehearsal.actor, command).await?;
        Ok(())
    }
}

fn parse_id<T: std::str::FromStr>(id: &Value) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(id.as_str().unwrap_or_default().parse()?)
}
