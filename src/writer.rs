//! The writer: decides in memory, writes in sets, commits once.
//!
//! Invariants: nothing is answered before it is on the disk; nobody sees a state that was not committed; a batch that
//! could not be committed leaves nothing behind; a refused command cannot sink its neighbours.

use crate::auth::actor::Actor;
use crate::clock::{Chance, Clock, Micros};
use crate::command::{Decision, Draft};
use crate::commands::Command;
use crate::db::entity::{command, log_entry, log_head, session};
use crate::db::row::{Change, Table, Writes, tables};
use crate::db::store::{CommitError, PriorAnswer, Store};
use crate::error::Refusal;
use crate::events::dispatcher::Handover;
use crate::events::log::LogEntry;
use crate::events::room::Lane;
use crate::ids::CategoryId;
use crate::metrics::Metrics;
use crate::state::board::Board;
use crate::state::{State, load};
use crate::traps::{Trap, Traps};
use arc_swap::ArcSwap;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Commands waiting for the writer; one more is refused at once.
pub const QUEUE_MAX: usize = 4096;
/// Commands of one transaction.
pub const BATCH_MAX: usize = 256;
/// How long the answer to a command id is kept, in seconds: 31 days, a retry may come 30 days late.
const ANSWER_SECONDS: i64 = 31 * 24 * 3600;
/// How often a batch is decided: again if another process appended first, or an id in it is known.
const TRIES_MAX: usize = 20;
/// How long a disk takes that is slow enough for a trap to be seen.
const SLOW_DISK: Duration = Duration::from_millis(20);

/// A client's id for a command: by it a retry is known.
#[derive(Clone, Debug)]
pub struct CommandId {
    /// The id.
    pub id: String,
    /// A keyed hash of name and payload, to tell a retry from a reuse; keyed, because a payload may hold a password.
    pub fingerprint: String,
}

/// A command on its way.
#[derive(Debug)]
pub struct Job {
    /// Who asks.
    pub actor: Actor,
    /// What for.
    pub command: Command,
    /// The client's id for it; without one a retry is a new command.
    pub command_id: Option<CommandId>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Value, Refusal>>,
}

enum Request {
    Carry(Box<Job>),
    Load(CategoryId, oneshot::Sender<Result<(), Refusal>>),
    Look(Option<oneshot::Sender<()>>),
    Tidy,
    Stop,
}

/// What others hold of the writer.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    queue: mpsc::Sender<Request>,
    metrics: Arc<Metrics>,
}

impl WriterHandle {
    /// Carries a command out; the answer comes when it is on the disk.
    ///
    /// # Errors
    /// `OVERLOADED` when the queue is full, else why it was refused.
    pub async fn carry_out(
        &self,
        actor: Actor,
        command: Command,
        command_id: Option<CommandId>,
    ) -> Result<Value, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Carry(Box::new(Job { actor, command, command_id, reply })))?;
        answer.await.unwrap_or(Err(Refusal::Overloaded))
    }

    /// Has the marks of a category read into the state.
    ///
    /// # Errors
    /// `OVERLOADED`, or `INTERNAL` when the database fails.
    pub async fn load(&self, category: CategoryId) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Load(category, reply))?;
        answer.await.unwrap_or(Err(Refusal::Overloaded))
    }

    /// Has the writer look whether another process has appended to the log.
    pub fn look(&self) {
        // A full queue means that the writer is about to look anyway.
        let _full = self.send(Request::Look(None));
    }

    /// Has the writer look, and waits for it.
    pub async fn catch_up(&self) {
        let (done, looked) = oneshot::channel();
        if self.send(Request::Look(Some(done))).is_ok() {
            // A writer that ends answers nobody any more.
            let _ended = looked.await;
        }
    }

    /// Has the writer forget what is no longer needed, and make room for what comes.
    pub fn tidy(&self) {
        // A full queue is no time to tidy up; the next minute is.
        let _full = self.send(Request::Tidy);
    }

    /// Whether there is still a writer.
    #[must_use]
    pub fn lives(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Ends the writer once all that waits is written; whatever is asked later is refused.
    pub async fn stop(&self) {
        let _already = self.queue.send(Request::Stop).await;
    }

    fn send(&self, request: Request) -> Result<(), Refusal> {
        self.queue.try_send(request).map_err(|_full| {
            self.metrics.writer_refused.inc();
            Refusal::Overloaded
        })
    }
}

/// The writer itself, on its own thread.
pub struct Writer {
    store: Box<dyn Store>,
    db: DatabaseConnection,
    runtime: Handle,
    published: Arc<ArcSwap<State>>,
    handover: Arc<Handover>,
    clock: Clock,
    chance: Chance,
    metrics: Arc<Metrics>,
    traps: Traps,
    tables: Vec<Table>,
    state: State,
}

/// What a writer is made of.
pub struct Parts {
    /// Where batches go.
    pub store: Box<dyn Store>,
    /// Where rows are read.
    pub db: DatabaseConnection,
    /// The state readers see.
    pub published: Arc<ArcSwap<State>>,
    /// The way to the dispatcher.
    pub handover: Arc<Handover>,
    /// The time.
    pub clock: Clock,
    /// The dice.
    pub chance: Chance,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The faults that are tried.
    pub traps: Traps,
}

type Outcome = Result<Value, Refusal>;

/// What is thought of the command ids of a batch. Nearly all are new, and the database notices one that is not: only then
/// are all looked up first. The id of what would be refused is looked up at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ids {
    ProbablyNew,
    LookedUp,
}

impl Writer {
    /// Starts the writer; it ends when it is stopped and all that waited is answered.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(parts: Parts) -> std::io::Result<(WriterHandle, std::thread::JoinHandle<()>)> {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let handle = WriterHandle { queue, metrics: Arc::clone(&parts.metrics) };
        let mut writer = Self {
            state: parts.published.load().as_ref().clone(),
            store: parts.store,
            db: parts.db,
            runtime: Handle::current(),
            published: parts.published,
            handover: parts.handover,
            clock: parts.clock,
            chance: parts.chance,
            metrics: parts.metrics,
            traps: parts.traps,
            tables: tables(),
        };
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || writer.run(requests))?;
        Ok((handle, thread))
    }

    fn run(&mut self, mut requests: mpsc::Receiver<Request>) {
        // After a stop the queue is closed: what still waits comes out of it, then nothing.
        while let Some(first) = requests.blocking_recv() {
            // Never waits for more: what comes while this batch commits is the next one. But where threads share a processor
            // whoever woke this one has been stopped amid what it was about to send, and that belongs to the same commit.
            std::thread::yield_now();
            let mut next = Some(first);
            let mut jobs = Vec::new();
            while let Some(request) = next {
                match request {
                    Request::Carry(job) => jobs.push(job),
                    Request::Load(category, reply) => {
                        let outcome = self.load_board(&category);
                        self.publish();
                        let _gone = reply.send(outcome);
                    }
                    Request::Look(done) => {
                        self.look();
                        if let Some(done) = done {
                            let _gone = done.send(());
                        }
                    }
                    Request::Tidy => self.tidy(),
                    Request::Stop => requests.close(),
                }
                next = if jobs.len() < BATCH_MAX { requests.try_recv().ok() } else { None };
            }
            self.metrics.writer_queue.set(i64::try_from(requests.len()).unwrap_or(i64::MAX));
            if self.traps.is_set(Trap::AckBeforeCommit) {
                self.answer_too_early(jobs);
            } else if !jobs.is_empty() {
                let outcomes = self.carry_out(&jobs);
                self.answer(jobs, outcomes);
            }
        }
    }

    fn carry_out(&mut self, jobs: &[Box<Job>]) -> Vec<Outcome> {
        let outcomes = self.decide_and_commit(jobs);
        self.store.let_go();
        outcomes
    }

    /// Answers from within the runtime: from this thread each answer would wake it by itself.
    #[expect(clippy::vec_box, reason = "jobs come boxed out of the queue")]
    fn answer(&self, jobs: Vec<Box<Job>>, outcomes: Vec<Outcome>) {
        self.runtime.spawn(async move {
            for (job, outcome) in jobs.into_iter().zip(outcomes) {
                let _gone = job.reply.send(outcome);
            }
        });
    }

    fn decide_and_commit(&mut self, jobs: &[Box<Job>]) -> Vec<Outcome> {
        let mut ids = Ids::ProbablyNew;
        for _ in 0..TRIES_MAX {
            let (mut batch, outcomes) = self.decide(jobs, ids);
            let writes = batch.take_writes(&self.tables);
            if writes.is_empty() {
                return outcomes;
            }
            let timer = self.metrics.commit_duration.start_timer();
            let committed = self.store.commit(&self.state.head, &writes);
            timer.observe_duration();
            match committed {
                Ok(()) => {
                    #[expect(clippy::cast_precision_loss, reason = "a batch has at most 256 commands")]
                    self.metrics.commit_batch_size.observe(jobs.len() as f64);
                    self.state = batch.state;
                    self.hand_over(batch.entries);
                    return outcomes;
                }
                Err(CommitError::HeadMoved) => self.look(),
                Err(CommitError::IdKnown) => ids = Ids::LookedUp,
                Err(CommitError::Failed(cause)) => {
                    tracing::error!(
                        error = format!("{cause:#}"),
                        commands = jobs.len(),
                        "a batch could not be committed"
                    );
                    self.look();
                    return jobs.iter().map(|_| Err(Refusal::Overloaded)).collect();
                }
            }
        }
        tracing::error!(
            commands = jobs.len(),
            "a batch was decided too often, mostly because other processes append first; it is given up"
        );
        jobs.iter().map(|_| Err(Refusal::Overloaded)).collect()
    }

    /// A trap: answers what is not on the disk yet, which then takes as long as it does on a slow one.
    #[expect(clippy::vec_box, reason = "jobs come boxed out of the queue")]
    fn answer_too_early(&mut self, jobs: Vec<Box<Job>>) {
        let (mut batch, outcomes) = self.decide(&jobs, Ids::LookedUp);
        self.answer(jobs, outcomes);
        let writes = batch.take_writes(&self.tables);
        if writes.is_empty() {
            return;
        }
        std::thread::sleep(SLOW_DISK);
        match self.store.commit(&self.state.head, &writes) {
            Ok(()) => {
                self.state = batch.state;
                self.hand_over(batch.entries);
            }
            Err(CommitError::HeadMoved | CommitError::IdKnown | CommitError::Failed(_)) => self.look(),
        }
    }

    /// A trap: a refused mark uses up a number of its lane.
    fn use_up_a_number(&mut self, job: &Job, batch: &mut Batch) {
        let Command::SubmitScore(refused) = &job.command else { return };
        let lane = Lane::Category(refused.category_id.clone());
        batch.settle();
        for state in [&mut self.state, &mut batch.base, &mut batch.state] {
            let mut head = state.lane_head(&lane);
            head.seq += 1;
            state.lanes.insert(lane.clone(), head);
        }
    }

    fn decide(&mut self, jobs: &[Box<Job>], ids: Ids) -> (Batch, Vec<Outcome>) {
        let now = self.clock.now();
        let mut batch = Batch::new(self.state.clone());
        let outcomes = jobs.iter().map(|job| self.decide_one(job, now, &mut batch, ids)).collect();
        (batch, outcomes)
    }

    /// What a command was answered before, if its id was ever used.
    fn answered_before(&mut self, job: &Job) -> Option<Outcome> {
        let command_id = job.command_id.as_ref()?;
        match self.store.prior_answer(&job.actor.name(), &command_id.id) {
            Ok(prior) => prior.map(|prior| answer_again(&prior, command_id)),
            Err(cause) => {
                tracing::error!(error = format!("{cause:#}"), "a command id could not be looked up");
                Some(Err(Refusal::Overloaded))
            }
        }
    }

    fn decide_one(&mut self, job: &Job, now: Micros, batch: &mut Batch, ids: Ids) -> Outcome {
        job.command.admits(&job.actor, &batch.state, now)?;
        if let Some(command_id) = &job.command_id
            && let Some(prior) = batch.answer_to(&job.actor, command_id)
        {
            return answer_again(prior, command_id);
        }
        if ids == Ids::LookedUp
            && let Some(outcome) = self.answered_before(job)
        {
            return outcome;
        }
        let command_id: Arc<str> =
            job.command_id.as_ref().map_or_else(|| self.chance.id(now).to_string().into(), |given| (*given.id).into());
        let decided = self.decide_with_boards(job, now, &command_id, batch);
        if decided.is_err() && self.traps.is_set(Trap::SeqBeforeCommit) {
            self.use_up_a_number(job, batch);
        }
        match decided {
            Ok((answer, decision)) => {
                batch.keep(decision);
                batch.remember(job, &answer, now);
                Ok(answer)
            }
            // What is refused now may have been taken before.
            Err(refusal) => match ids {
                Ids::ProbablyNew => self.answered_before(job).unwrap_or(Err(refusal)),
                Ids::LookedUp => Err(refusal),
            },
        }
    }

    /// Decides, reading the boards it asks for: each is asked for once, so it comes to an end.
    fn decide_with_boards(
        &mut self,
        job: &Job,
        now: Micros,
        command_id: &Arc<str>,
        batch: &mut Batch,
    ) -> Result<(Value, Decision), Refusal> {
        loop {
            let (state, actor) = (batch.lend(), job.actor.clone());
            let mut draft = Draft::new(state, actor, Arc::clone(command_id), now, self.chance.clone());
            let decided = job.command.decide(&mut draft);
            let decision = draft.finish();
            let refusal = match decided {
                Ok(answer) => return Ok((answer, decision)),
                Err(refusal) => refusal,
            };
            batch.undo(decision);
            let Refusal::BoardNeeded(categories) = refusal else { return Err(refusal) };
            for category in categories {
                self.load_board(&category)?;
                let missing = || Refusal::BoardNeeded(vec![category.clone()]);
                let board = self.state.boards.get(&category).cloned().ok_or_else(missing)?;
                batch.load(category, &board);
            }
        }
    }

    fn load_board(&mut self, category: &CategoryId) -> Result<(), Refusal> {
        if self.state.boards.contains_key(category) || !self.state.categories.contains_key(category) {
            return Ok(());
        }
        match self.runtime.block_on(load::board(&self.db, category)) {
            Ok(board) => {
                self.state.boards.insert(category.clone(), Arc::new(board));
                self.metrics.boards_loaded.set(i64::try_from(self.state.boards.len()).unwrap_or(i64::MAX));
                Ok(())
            }
            Err(cause) => {
                tracing::error!(error = %cause, %category, "the marks of a category could not be read");
                Err(Refusal::Overloaded)
            }
        }
    }

    fn publish(&self) {
        self.published.store(Arc::new(self.state.clone()));
    }

    fn hand_over(&self, entries: Vec<Arc<LogEntry>>) {
        for entry in &entries {
            self.metrics.log_appended.with_label_values(&[entry.event.kind()]).inc();
        }
        self.publish();
        self.handover.push(entries, self.state.head.seq);
    }

    /// Forgets sessions that have ended, and answers older than anybody may ask for again; makes room.
    fn tidy(&mut self) {
        let now = self.clock.now();
        let ended = |session: &session::Model| session.revoked_at.is_some() || session.expires_at <= now;
        let gone: Vec<_> = self.state.sessions.iter().filter(|(_, row)| ended(row)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.state.sessions.remove(&id);
        }
        self.publish();
        if let Err(cause) = self.store.forget_answers(now.plus_seconds(-ANSWER_SECONDS)) {
            tracing::error!(error = format!("{cause:#}"), "old answers could not be forgotten");
        }
        // Commits go on without.
        if let Err(cause) = self.store.make_room() {
            tracing::warn!(error = format!("{cause:#}"), "commits are slower than they could be");
        }
    }

    /// Catches up with what other processes have appended.
    fn look(&mut self) {
        match self.store.head() {
            Ok(head) if head.as_ref() == Some(&self.state.head) => return,
            Ok(_) => {}
            Err(cause) => {
                tracing::error!(error = format!("{cause:#}"), "the end of the log could not be read");
                return;
            }
        }
        if let Err(cause) = self.runtime.clone().block_on(self.catch_up()) {
            tracing::error!(error = format!("{cause:#}"), "could not catch up with the log");
        }
    }

    async fn catch_up(&mut self) -> anyhow::Result<()> {
        let Some(head) = load::head(&self.db).await? else { return Ok(()) };
        if head == self.state.head {
            return Ok(());
        }
        let rows = log_entry::Entity::find()
            .filter(log_entry::Column::Seq.gt(self.state.head.seq))
            .filter(log_entry::Column::Seq.lte(head.seq))
            .order_by_asc(log_entry::Column::Seq)
            .all(&self.db)
            .await?;
        let entries = crate::events::log::read_entries(&self.db, rows).await?;
        let mut state = self.state.clone();
        let scopes: BTreeSet<_> = entries.iter().map(|entry| entry.event.scope()).collect();
        for scope in &scopes {
            load::reload(&self.db, &mut state, scope).await?;
        }
        for entry in &entries {
            state.lanes.insert(entry.lane.clone(), entry.lane_head());
        }
        state.head = head;
        self.state = state;
        self.hand_over(entries.into_iter().map(Arc::new).collect());
        Ok(())
    }
}

/// Commands decided one after the other, each on the state the one before left. That state is lent, not copied: the first
/// change of a thing copies what readers still hold of it, later ones change that copy in place.
struct Batch {
    /// Where the batch stood after the first `settled` changes.
    base: State,
    settled: usize,
    state: State,
    changes: Vec<Change>,
    entries: Vec<Arc<LogEntry>>,
    /// What was answered in it, by user and command id.
    answers: HashMap<(Arc<str>, String), PriorAnswer>,
}

impl Batch {
    fn new(state: State) -> Self {
        let (base, answers) = (state.clone(), HashMap::new());
        Self { base, settled: 0, state, changes: Vec::new(), entries: Vec::new(), answers }
    }

    fn answer_to(&self, actor: &Actor, command_id: &CommandId) -> Option<&PriorAnswer> {
        self.answers.get(&(actor.name(), command_id.id.clone()))
    }

    /// Has the answer kept for whoever asks again.
    fn remember(&mut self, job: &Job, answer: &Value, at: Micros) {
        let Some(CommandId { id: command_id, fingerprint }) = job.command_id.clone() else { return };
        let (name, answer) = (job.actor.name(), answer.to_string());
        let row = command::Model {
            user_id: name.to_string(),
            command_id: command_id.clone(),
            fingerprint: fingerprint.clone(),
            answer: answer.clone(),
            at,
        };
        self.changes.push(Change::Put(row.into()));
        self.answers.insert((name, command_id), PriorAnswer { fingerprint, answer });
    }

    /// The state, for one command to change; it is kept afterwards, or undone.
    fn lend(&mut self) -> State {
        std::mem::replace(&mut self.state, self.base.clone())
    }

    fn keep(&mut self, decision: Decision) {
        self.state = decision.state;
        self.changes.extend(decision.changes);
        self.entries.extend(decision.entries);
    }

    /// Takes the state back from a command that was refused. One that had changed it is rare: what was kept is folded
    /// once more, each change once in a batch, however many are refused.
    fn undo(&mut self, refused: Decision) {
        if refused.changes.is_empty() {
            self.state = refused.state;
            return;
        }
        self.settle();
        self.state = self.base.clone();
    }

    /// Folds what was kept into the base, so that it stands where the state does.
    fn settle(&mut self) {
        for change in &self.changes[self.settled..] {
            self.base.apply(change);
        }
        if let Some(last) = self.entries.last() {
            self.base.head = last.log_head();
        }
        self.settled = self.changes.len();
    }

    /// Takes a board in that was read. Not before its category: what was kept of that may be that it was dropped.
    fn load(&mut self, category: CategoryId, board: &Arc<Board>) {
        self.settle();
        self.base.boards.insert(category.clone(), Arc::clone(board));
        self.state.boards.insert(category, Arc::clone(board));
    }

    /// Everything the batch writes, the end of the log with it. Nothing more is decided in it then.
    fn take_writes(&mut self, tables: &[Table]) -> Writes {
        let mut writes = Writes::default();
        for change in std::mem::take(&mut self.changes) {
            writes.add(tables, change);
        }
        if !self.entries.is_empty() {
            let head = &self.state.head;
            let row = log_head::Model {
                id: "head".into(),
                seq: head.seq,
                hash: head.hash.to_string(),
                epoch: head.epoch.to_string(),
            };
            writes.add(tables, Change::Put(row.into()));
        }
        writes
    }
}

fn answer_again(prior: &PriorAnswer, again: &CommandId) -> Outcome {
    if prior.fingerprint != again.fingerprint {
        return Err(Refusal::IdempotencyMismatch);
    }
    serde_json::from_str(&prior.answer).map_err(|cause| {
        tracing::error!(error = %cause, "a stored answer cannot be read");
        Refusal::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::role::Role;
    use crate::db::entity::category::JudgeVisibility;
    use crate::db::entity::mark::MarkStatus;
    use crate::db::entity::{category, contest, mark, user};
    use crate::events::event::{Event, SetupChanged};
    use crate::events::log::{GENESIS, LogHead};

    fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().expect("a well-formed id")
    }

    /// What a command comes to that makes these changes, and says so of an event.
    fn decision(batch: &mut Batch, changes: impl IntoIterator<Item = Change>) -> Decision {
        let mut draft = Draft::new(batch.lend(), Actor::Operator, "c".into(), Micros(7), Chance::seeded(1));
        for change in changes {
            match change {
                Change::Put(row) => draft.put(row),
                Change::Drop(row) => draft.remove(row),
            }
        }
        draft.append(Event::SetupChanged(SetupChanged { event_id: id("cup") }));
        draft.finish()
    }

    fn user(name: &str) -> Change {
        let (at, email) = (Micros(7), format!("{name}@example.org"));
        let (role, password_hash, active, session_version) = (Role::Board, None, true, 1);
        let (id, name) = (id(name), name.to_owned());
        let (created_at, updated_at) = (at, at);
        let row = user::Model { id, email, name, role, password_hash, active, session_version, created_at, updated_at };
        Change::Put(row.into())
    }

    fn batch() -> Batch {
        Batch::new(State::empty(LogHead { seq: 0, hash: GENESIS.into(), epoch: "e".into() }))
    }

    #[test]
    fn what_a_refused_command_had_changed_is_undone_and_all_else_of_its_batch_stays() {
        let mut batch = batch();
        for (name, taken) in [("a", true), ("b", false), ("c", true), ("d", false), ("e", false), ("f", true)] {
            let decision = decision(&mut batch, [user(name)]);
            if taken { batch.keep(decision) } else { batch.undo(decision) }
        }
        let names = |state: &State| state.users.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&batch.state), ["a", "c", "f"]);
        let seqs = batch.entries.iter().map(|entry| (entry.seq, entry.lane_seq));
        assert_eq!(seqs.collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3)]);
        let last = batch.entries.last().expect("there are three");
        assert_eq!(batch.state.head, last.log_head());
        assert_eq!(batch.state.lane_head(&last.lane), last.lane_head());
        assert!(batch.state.emails.get("b@example.org").is_none());
        let mut folded = State::empty(batch.state.head.clone());
        batch.changes.iter().for_each(|change| folded.apply(change));
        assert_eq!(names(&folded), names(&batch.state));
        assert_eq!(folded.lanes, batch.state.lanes);
    }

    #[test]
    fn a_mark_on_a_board_that_was_read_amid_a_batch_outlives_what_is_undone_after_it() {
        let contest = contest::Model {
            id: id("women"),
            event_id: id("cup"),
            name: "Women".into(),
            standings: "{}".into(),
            position: 1,
        };
        let category = category::Model {
            id: id("vault"),
            contest_id: contest.id.clone(),
            name: "Vault".into(),
            rules: r#"{"method":"mean"}"#.into(),
            min_judges: 1,
            judge_visibility: JudgeVisibility::Presence,
            proxy_entry: false,
            position: 1,
        };
        let mark = mark::Model {
            category_id: category.id.clone(),
            contestant_id: id("x"),
            judge_id: id("ada"),
            criterion_id: id("form"),
            id: id("m"),
            score: 5_000,
            comment: None,
            status: MarkStatus::Submitted,
            version: 1,
            salt: String::new(),
            entered_by: None,
            confirmed_by: None,
            made_at: None,
            created_at: Micros(7),
            updated_at: Micros(7),
        };
        let mut batch = batch();
        let (vault, mark) = (category.id.clone(), Change::Put(mark.into()));
        let made_anew = [Change::Drop(category.clone().into()), Change::Put(category.clone().into())];
        for changes in [vec![Change::Put(contest.into()), Change::Put(category.into())], made_anew.into()] {
            let kept = decision(&mut batch, changes);
            batch.keep(kept);
        }
        batch.load(vault.clone(), &Arc::default());
        let kept = decision(&mut batch, [mark]);
        batch.keep(kept);
        let refused = decision(&mut batch, [user("a")]);
        batch.undo(refused);
        assert_eq!(batch.state.board(&vault).expect("it was read").marks().count(), 1);
        assert_eq!(batch.state.users.len(), 0);
    }
}
