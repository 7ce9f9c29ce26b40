//! Playing what an office saw of judging: marks, deductions and signatures are given again, by people made for it.

use super::outcome::Became;
use super::{Playing, Rehearsal};
use crate::app::App;
use crate::auth::actor::Actor;
use crate::cassettes::file::BEGIN;
use crate::cassettes::reel::Said;
use crate::cassettes::setup::SETUP;
use crate::cassettes::setup::{Setup, SetupCategory, SetupJudge};
use crate::certification::decisions::{ApproveDecision, CloseDecision, RaiseFlag, RequestDeduction, RequestRemoval};
use crate::certification::judges::{CertifySheet, SignFinal};
use crate::certification::officers::SignStage;
use crate::certification::ties::ResolveTie;
use crate::cli::access_token;
use crate::command::parse;
use crate::db::entity::certification::Stage;
use crate::db::entity::decision::{DecisionKind, DecisionStatus};
use crate::db::entity::publication::PublicationState;
use crate::error::Refusal;
use crate::ids::{CategoryId, EventId, UserId};
use crate::publications::PublishResults;
use crate::scores::SubmitScore;
use crate::setup::DisableUser;
use crate::setup::assignments::RemoveAssignment;
use crate::setup::entries::{ReinstateEntry, WithdrawEntry};
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The reason of everything that needs one.
const AS_RECORDED: &str = "as recorded";
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

/// What has to be known of a recording before it is played.
#[derive(Clone, Debug)]
pub(super) struct Score {
    /// The set-up it was made in.
    pub(super) setup: Setup,
    /// Its categories.
    known: BTreeSet<String>,
    /// Who marked what.
    markers: BTreeSet<(String, String)>,
    /// Where in the recording the last mark of each category stands: signatures before it have fallen since.
    last_change: BTreeMap<String, usize>,
    /// Frames of its categories so far.
    frames: usize,
}

impl Score {
    pub(super) fn of(setup: Setup) -> Self {
        let known = setup.categories().map(|category| category.id.to_string()).collect();
        Self { setup, known, markers: BTreeSet::new(), last_change: BTreeMap::new(), frames: 0 }
    }

    /// The category of its set-up that a frame is about.
    fn category<'a>(&self, said: &'a Value) -> Option<&'a str> {
        said["categoryId"].as_str().filter(|id| self.known.contains(*id))
    }

    /// Looks at a frame before any is played.
    pub(super) fn learn(&mut self, line: &Said, playing: &Playing) {
        let said = &line.data;
        let Some(category) = self.category(said).map(str::to_owned) else { return };
        if line.kind == "scores:updated"
            && let Some(judge) = said["judgeId"].as_str()
        {
            self.markers.insert((category.clone(), judge.to_owned()));
        }
        if playing.reaches(line.ts) {
            if changes(&line.kind, said) {
                self.last_change.insert(category, self.frames);
            }
            self.frames += 1;
        }
    }
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
fn document(event: &EventId, score: &Score, public: bool) -> Value {
    let Score { setup, markers, .. } = score;
    let user = |who: &str, role: &str| json!({ "email": email(event, who), "name": "Rehearsal", "role": role });
    let judges = setup.judges();
    let users = judges.iter().map(|judge| user(judge.as_str(), "JUDGE"));
    let users: Vec<Value> = users.chain(OFFICERS.map(|(hat, _)| user(hat, hat))).collect();
    let contestants = setup
        .contestants
        .iter()
        .map(|one| json!({ "id": mapped(event, &one.id), "name": one.name, "club": one.club, "country": one.country }));
    let contests = setup.contests.iter().map(|contest| {
        let categories: Vec<Value> =
            contest.categories.iter().map(|category| category_of(event, category, markers)).collect();
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

/// A flag that was raised here: who raised it, and its id.
struct Raised {
    by: Actor,
    id: String,
}

/// A rehearsal under way.
struct Stand<'a> {
    rehearsal: &'a mut Rehearsal,
    score: &'a Score,
    cast: Cast,
    judged: BTreeSet<String>,
    deducted: BTreeSet<String>,
    /// Marks given here, by their id in the recording.
    marks: BTreeMap<String, Value>,
    /// The same of flags.
    flags: BTreeMap<String, Raised>,
}

/// What changes a tally.
fn changes(kind: &str, said: &Value) -> bool {
    match kind {
        // A certified mark is the same mark.
        "scores:updated" => said["status"] == "submitted",
        "score:removal-updated" => said["status"] == "EXECUTED",
        other => matches!(
            other,
            "scores:deleted" | "deduction:updated" | "entry:withdrawn" | "entry:reinstated" | "tie:resolved"
        ),
    }
}

impl Score {
    /// The import document of the rehearsal. What is wrong in it, its import says.
    pub(super) fn document(&self, event: &EventId, public: bool) -> Value {
        document(event, self, public)
    }
}

pub(super) async fn play(rehearsal: &mut Rehearsal, score: &Score) -> anyhow::Result<()> {
    let cast = Cast::gather(&rehearsal.app, &rehearsal.event, &score.setup).await?;
    let people: Vec<UserId> = cast.everybody().filter_map(|actor| actor.user().ok().cloned()).collect();
    let played = play_with(rehearsal, score, cast).await;
    // They were made for this: nobody signs in as one of them later.
    for user in people {
        rehearsal.app.rehearse(rehearsal.actor.clone(), DisableUser { user }).await?;
    }
    played
}

async fn play_with(rehearsal: &mut Rehearsal, score: &Score, cast: Cast) -> anyhow::Result<()> {
    let mut stand = Stand {
        rehearsal,
        score,
        cast,
        judged: BTreeSet::new(),
        deducted: BTreeSet::new(),
        marks: BTreeMap::new(),
        flags: BTreeMap::new(),
    };
    let (mut at, mut before) = (0, 0);
    loop {
        let frames = stand.rehearsal.next_frames().await?;
        if frames.is_empty() {
            return Ok(());
        }
        for Said { ts, kind, data } in frames {
            if score.category(&data).is_none() {
                // What it begins with, and ticks, say nothing; all else is of an event that is not this one.
                if !data.is_null() && kind != BEGIN && kind != SETUP {
                    stand.rehearsal.count(&kind, Became::Skipped, 1);
                }
                continue;
            }
            if !stand.rehearsal.waits(before, ts).await {
                return Ok(());
            }
            before = ts;
            let became = stand.frame(at, &kind, &data).await.with_context(|| format!("frame {at}, {kind}"))?;
            stand.rehearsal.count(&kind, became, 1);
            at += 1;
        }
    }
}

impl Stand<'_> {
    fn map(&self, id: &Value) -> Value {
        map(&self.rehearsal.event, id)
    }

    async fn carry(&self, actor: &Actor, command: impl Into<crate::commands::Command>) -> Result<Value, Refusal> {
        self.rehearsal.app.rehearse(actor.clone(), command).await
    }

    async fn frame(&mut self, at: usize, kind: &str, said: &Value) -> anyhow::Result<Became> {
        let recorded = said["categoryId"].as_str().unwrap_or_default().to_owned();
        let category: CategoryId = parse_id(&self.map(&said["categoryId"]))?;
        match kind {
            "scores:updated" => self.mark(said).await,
            // The removal it belongs to says it.
            "scores:deleted" => Ok(Became::Follows),
            "deduction:updated" if said["status"] == "APPROVED" => self.deduct(&category, said).await,
            "score:removal-updated" if said["status"] == "EXECUTED" => Ok(self.remove(&category, said).await),
            "flag:updated" => Ok(self.flag(&category, said).await),
            // What is asked for and not decided yet.
            _ if said["status"] == "PENDING" && is_decision(kind) => Ok(Became::Follows),
            "entry:withdrawn" => {
                let command = WithdrawEntry {
                    category_id: category,
                    contestant_id: parse_id(&self.map(&said["contestantId"]))?,
                    reason: AS_RECORDED.to_owned(),
                };
                self.carry(&self.rehearsal.actor, command).await?;
                Ok(Became::Played)
            }
            "entry:reinstated" => {
                let command = ReinstateEntry {
                    category_id: category,
                    contestant_id: parse_id(&self.map(&said["contestantId"]))?,
                    reason: AS_RECORDED.to_owned(),
                };
                self.carry(&self.rehearsal.actor, command).await?;
                Ok(Became::Played)
            }
            "tie:resolved" => {
                let order = said["order"].as_array().into_iter().flatten().map(|id| parse_id(&self.map(id)));
                let command = ResolveTie {
                    category_id: category,
                    order: order.collect::<anyhow::Result<_>>()?,
                    reason: AS_RECORDED.to_owned(),
                };
                self.carry(&self.cast.officers[0].1, command).await?;
                Ok(Became::Played)
            }
            "certification:updated" => self.certification(at, &recorded, &category, said).await,
            "results:published" => {
                self.publish(&category, said).await?;
                Ok(Became::Played)
            }
            _ => Ok(Became::Skipped),
        }
    }

    async fn mark(&mut self, said: &Value) -> anyhow::Result<Became> {
        // Certified and locked it comes again, with its certification.
        if said["status"] != "submitted" {
            return Ok(Became::Follows);
        }
        let judge = said["judgeId"].as_str().and_then(|judge| self.cast.judges.get(judge));
        // One that was entered for its judge counts once it is confirmed; the confirmed one comes as a frame of its own.
        let waits = said.get("enteredBy").is_some() && said.get("confirmedBy").is_none();
        let (Some(judge), false) = (judge, waits) else { return Ok(Became::Skipped) };
        let command: SubmitScore = parse(json!({
            "categoryId": self.map(&said["categoryId"]), "contestantId": self.map(&said["contestantId"]),
            "criterionId": said["criterionId"], "score": said["score"],
        }))?;
        let given = self.carry(judge, command).await?;
        if let Some(id) = said["id"].as_str() {
            self.marks.insert(id.to_owned(), given["score"]["id"].clone());
        }
        Ok(Became::Played)
    }

    async fn deduct(&mut self, category: &CategoryId, said: &Value) -> anyhow::Result<Became> {
        if !self.deducted.insert(said["id"].to_string()) {
            return Ok(Became::Follows);
        }
        let command: RequestDeduction = parse(json!({
            "categoryId": category, "contestantId": self.map(&said["contestantId"]), "amount": said["amount"],
            "reason": AS_RECORDED,
        }))?;
        let asked = self.carry(&self.cast.officers[0].1, command).await?;
        let id = asked["deduction"]["id"].as_str().context("a deduction has an id")?.to_owned();
        let head = self.rehearsal.app.state();
        let head = head.categories.get(category).map(|row| head.panel(row)).unwrap_or_default();
        let head = head.iter().find(|judge| judge.head).and_then(|judge| self.actor_of(&judge.judge));
        let officers = self.cast.officers.iter().map(|(_, officer)| officer);
        for approver in officers.chain(head) {
            self.approve(approver, DecisionKind::Deduction, &id).await?;
        }
        Ok(Became::Played)
    }

    async fn approve(&self, approver: &Actor, about: DecisionKind, id: &str) -> Result<Value, Refusal> {
        let approve = ApproveDecision { about, id: id.to_owned(), signature_name: "Rehearsal".to_owned() };
        self.carry(approver, approve).await
    }

    /// Takes marks of a judge out: the board asks for it, and the officers sign.
    async fn remove(&self, category: &CategoryId, said: &Value) -> Became {
        let ids = said["scoreIds"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let ids: Vec<&Value> = ids.filter_map(|id| self.marks.get(id)).collect();
        let judge = said["judgeId"].as_str().and_then(|judge| self.cast.judges.get(judge));
        let judge = judge.and_then(|judge| judge.user().ok());
        if ids.is_empty() {
            return Became::Skipped;
        }
        let removed = async {
            let asked = json!({ "categoryId": category, "judgeId": judge, "scoreIds": ids, "reason": AS_RECORDED });
            let asked = self.carry(&self.cast.officers[2].1, parse::<RequestRemoval>(asked)?).await?;
            let id = asked["removal"]["id"].as_str().ok_or(Refusal::Internal)?;
            for (_, officer) in &self.cast.officers {
                self.approve(officer, DecisionKind::Removal, id).await?;
            }
            Ok(())
        };
        self.told(removed.await)
    }

    /// Raises a flag, or answers one that was raised here.
    async fn flag(&mut self, category: &CategoryId, said: &Value) -> Became {
        let recorded = said["id"].as_str().unwrap_or_default();
        let status = match said["status"].as_str() {
            Some("open") => return self.raise(category, recorded, said).await,
            Some("accepted") => DecisionStatus::Approved,
            Some("rejected") => DecisionStatus::Rejected,
            _ => DecisionStatus::Withdrawn,
        };
        let Some(Raised { by, id }) = self.flags.get(recorded) else { return Became::Skipped };
        // Nobody answers their own: the auditor raises none here.
        let who = if status == DecisionStatus::Withdrawn { by } else { &self.cast.officers[1].1 };
        let (id, reason) = (id.clone(), Some(AS_RECORDED.to_owned()));
        self.told(self.carry(who, CloseDecision { about: DecisionKind::Flag, id, status, reason }).await.map(|_| ()))
    }

    async fn raise(&mut self, category: &CategoryId, recorded: &str, said: &Value) -> Became {
        if self.flags.contains_key(recorded) {
            return Became::Follows;
        }
        let judge = said["requestedBy"].as_str().and_then(|judge| self.cast.judges.get(judge));
        let by = judge.unwrap_or(&self.cast.officers[0].1).clone();
        let mark = said["scoreId"].as_str().and_then(|id| self.marks.get(id));
        let raised = async {
            let flag = json!({
                "categoryId": category, "contestantId": self.map(&said["contestantId"]), "scoreId": mark,
                "text": AS_RECORDED,
            });
            let raised = self.carry(&by, parse::<RaiseFlag>(flag)?).await?;
            raised["flag"]["id"].as_str().map(str::to_owned).ok_or(Refusal::Internal)
        };
        let raised = raised.await;
        if let Ok(id) = &raised {
            self.flags.insert(recorded.to_owned(), Raised { by, id: id.clone() });
        }
        self.told(raised.map(|_| ()))
    }

    /// What is not needed for the result may be refused here: it is counted, and the rest is played.
    fn told(&self, outcome: Result<(), Refusal>) -> Became {
        match outcome {
            Ok(()) => Became::Played,
            Err(refusal) => {
                tracing::warn!(%refusal, event = %self.rehearsal.event, "a decision could not be played");
                Became::Skipped
            }
        }
    }

    /// Signs up to where it had come, once no mark is still to come. What was signed before that has fallen since.
    async fn certification(
        &mut self,
        at: usize,
        recorded: &str,
        category: &CategoryId,
        said: &Value,
    ) -> anyhow::Result<Became> {
        let reached: Option<Stage> = serde_json::from_value(said["stage"].clone()).ok();
        let fallen = self.score.last_change.get(recorded).is_some_and(|last| *last >= at);
        match reached {
            _ if said["status"] == "REJECTED" => Ok(Became::Skipped),
            Some(reached) if reached >= Stage::Judged && fallen => Ok(Became::Skipped),
            Some(reached) if reached >= Stage::Judged => self.certify(recorded, category, reached).await,
            // Sheet by sheet: all of them are certified at once.
            Some(_) | None => Ok(Became::Follows),
        }
    }

    fn actor_of(&self, user: &UserId) -> Option<&Actor> {
        self.cast.judges.values().find(|actor| actor.user().is_ok_and(|id| id == user))
    }

    /// Takes the hats of those who had laid theirs down: no mark of theirs is missed any more. Whoever is done signs first,
    /// and counts as one who judged.
    async fn relieve(&self, recorded: &str, category: &CategoryId) -> anyhow::Result<()> {
        let judges = self.score.setup.categories().filter(|category| category.id.as_str() == recorded);
        let gone = judges.flat_map(|category| &category.judges).filter(|judge| !judge.active);
        for judge in gone.filter_map(|judge| self.cast.judges.get(judge.user_id.as_str())) {
            // Not everybody was done when they went.
            let _signed = self.sign_all(judge, category).await;
            let (user, state) = (judge.user()?, self.rehearsal.app.state());
            let hats = state.hats_worn(user).filter(|hat| hat.category_id.as_ref() == Some(category));
            let hats: Vec<_> = hats.map(|hat| hat.id.clone()).collect();
            for id in hats {
                self.carry(&self.rehearsal.actor, RemoveAssignment { id }).await?;
            }
        }
        Ok(())
    }

    /// A judge certifies every sheet and signs.
    async fn sign_all(&self, judge: &Actor, category: &CategoryId) -> Result<(), Refusal> {
        let all = json!({ "categoryId": category, "signatureName": "Rehearsal" });
        self.carry(judge, parse::<CertifySheet>(all.clone())?).await?;
        self.carry(judge, parse::<SignFinal>(all)?).await?;
        Ok(())
    }

    async fn certify(&mut self, recorded: &str, category: &CategoryId, reached: Stage) -> anyhow::Result<Became> {
        if self.judged.insert(recorded.to_owned()) {
            self.relieve(recorded, category).await?;
            let state = self.rehearsal.app.state();
            let row = state.categories.get(category).context("the category is there")?;
            let panel = state.panel(row);
            drop(state);
            for judge in panel.iter().filter(|judge| judge.active) {
                let Some(actor) = self.actor_of(&judge.judge) else { continue };
                let signed = self.sign_all(actor, category).await;
                // Whose marks do not count may have given none, and is not waited for.
                if judge.counts {
                    signed?;
                }
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
        Ok(Became::Played)
    }

    async fn publish(&self, category: &CategoryId, said: &Value) -> anyhow::Result<()> {
        let state: PublicationState = serde_json::from_value(said["state"].clone())?;
        let signer = self.rehearsal.app.signer().await?;
        let command = PublishResults { category_id: category.clone(), state, signer };
        self.carry(&self.rehearsal.actor, command).await?;
        Ok(())
    }
}

/// Whether a frame tells of what several people decide.
fn is_decision(kind: &str) -> bool {
    matches!(
        kind,
        "deduction:pending"
            | "deduction:updated"
            | "score:removal-pending"
            | "score:removal-updated"
            | "uncertification:updated"
    )
}

fn parse_id<T: std::str::FromStr>(id: &Value) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(id.as_str().unwrap_or_default().parse()?)
}
