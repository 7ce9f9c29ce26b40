//! The application: what holds the parts together, and the one place where a command is carried out.

pub mod past;

use crate::auth::actor::Actor;
use crate::auth::keys::{self, KeyMaker};
use crate::auth::limit::Limits;
use crate::auth::secret::DerivedKey;
use crate::auth::sessions::RefreshKey;
use crate::auth::token::Tokens;
use crate::clock::{Chance, Clock, Micros};
use crate::command::{Draft, Limit};
use crate::commands::Command;
use crate::config::Config;
use crate::db::connect::{self, Target};
use crate::db::entity::{log_entry, log_head};
use crate::db::generation::{Generation, Mark, is_same_history};
use crate::db::row;
use crate::db::store::{SqliteStore, Store};
use crate::error::{AppError, Refusal};
use crate::events::dispatcher::{self, Handover, Outlet};
use crate::events::event::Event;
use crate::events::live::Bounds;
use crate::events::log::GENESIS;
use crate::events::room::Lane;
use crate::evidence::bundle::Bundle;
use crate::evidence::key::Signer;
use crate::evidence::line::Line;
use crate::ids::{CategoryId, MarkId, UserId};
use crate::metrics::Metrics;
use crate::preview::{self, Preview};
use crate::publications::key::{self, KeepKey};
use crate::publications::read::Wanted;
use crate::rehearsal::register::Rehearsals;
use crate::state::{State, load};
use crate::tally::{self, TallyView};
use crate::traps::Traps;
use crate::wire::Flusher;
use crate::writer::{CommandId, Parts, Writer, WriterHandle};
use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the writer looks whether another process has appended to the log.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is written down where the log stands.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// How often what is no longer needed is forgotten.
const TIDY_EVERY: Duration = Duration::from_mins(1);
/// How often sockets that were admitted and never came are looked for.
const LOST_EVERY: Duration = Duration::from_secs(5);
/// Feeds open at a time.
const FEEDS_MAX: usize = 1_000;
/// Exports of timing computers that are read at a time: ten megabytes of XML become many more.
const EXPORTS_MAX: usize = 4;
/// Recordings read or written at a time.
const RECORDINGS_MAX: usize = 4;
/// Boards of the past put together at a time: each is read from the beginning of its lane.
const PASTS_MAX: usize = 4;
/// Bundles checked at a time for those who are not signed in.
const VERIFICATIONS_MAX: usize = 4;
/// Shortest time between two tallies of one category.
const TALLY_EVERY: Duration = Duration::from_millis(250);

/// What every request needs. A copy costs nothing: every request and every connection has one.
#[derive(Clone, Debug)]
pub struct App(Arc<Held>);

/// What an application holds.
#[derive(Debug)]
pub struct Held {
    /// The settings.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// The dice.
    pub chance: Chance,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Signs and checks access tokens.
    pub tokens: Tokens,
    /// Makes refresh tokens.
    pub refresh_key: Arc<RefreshKey>,
    /// Makes the keys of timing software.
    pub key_maker: Arc<KeyMaker>,
    /// How often who may.
    pub limits: Arc<Limits>,
    /// For reads.
    pub db: DatabaseConnection,
    /// Tasks that shutdown waits for.
    pub tasks: TaskTracker,
    /// Ends when the server is to end.
    pub stopping: CancellationToken,
    /// Feeds that may be open at a time.
    pub feeds: Arc<Semaphore>,
    /// The same for those anyone may read: who is signed in does not wait for them.
    pub public_feeds: Arc<Semaphore>,
    /// Recordings that may be read or written at a time: each is in memory as a whole.
    pub recordings: Arc<Semaphore>,
    /// The rehearsals that are played, and those that were.
    pub rehearsals: Rehearsals,
    /// Exports of timing computers that may be read at a time.
    pub exports: Arc<Semaphore>,
    /// Boards of the past that may be put together at a time.
    pub pasts: Arc<Semaphore>,
    /// The same for those anyone may see: who is signed in does not wait for them.
    pub public_pasts: Arc<Semaphore>,
    /// Bundles that may be checked at a time for those who are not signed in.
    pub verifications: Arc<Semaphore>,
    /// The faults that are tried; none but in tests.
    pub traps: Traps,
    fingerprint_key: DerivedKey,
    sealing_key: DerivedKey,
    signer: Arc<OnceCell<Arc<Signer>>>,
    state: Arc<ArcSwap<State>>,
    writer: WriterHandle,
    handover: Arc<Handover>,
    generation: Generation,
    ready: Arc<AtomicBool>,
}

impl Deref for App {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.0
    }
}

/// The parts of an application that are not the same in every run.
#[derive(Debug)]
pub struct Setting {
    /// The settings.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// The dice.
    pub chance: Chance,
    /// The faults that are tried; none but in tests.
    pub traps: Traps,
}

/// What ends with the application, in this order.
#[derive(Debug)]
pub struct Running {
    writer: std::thread::JoinHandle<()>,
}

/// The tasks that emit: they must have ended before the sockets are closed.
#[derive(Debug)]
pub struct Emitters([JoinHandle<()>; 3]);

impl Emitters {
    /// Waits for them to end, once the application is stopping.
    pub async fn ended(self) {
        for task in self.0 {
            // A task that panicked has ended too.
            let _ended = task.await;
        }
    }
}

impl App {
    /// Opens a database whose schema is up to date, reads the state and starts the writer.
    ///
    /// # Errors
    /// When the settings are unsafe or the database cannot be used.
    pub async fn start(setting: Setting) -> anyhow::Result<(Self, Running)> {
        let Setting { config, clock, chance, traps } = setting;
        let tokens = Tokens::new(&config.jwt_secret)?;
        let target = Target::parse(&config.database_url)?;
        let db = connect::read_pool(&target).await.context("cannot open the database")?;
        connect::check_schema(&db).await?;
        let (mut store, generation) = match &target {
            Target::Sqlite(path) => (SqliteStore::open(path)?, Generation::beside(path)),
            Target::Postgres(_) => bail!("PostgreSQL is not served yet; the schema is, the writer is not"),
        };
        begin_history(&mut store, &chance)?;
        notice_another_history(&mut store, &generation, &chance)?;
        let state = Arc::new(ArcSwap::from_pointee(load::whole(&db, clock.now()).await?));
        let handover = Arc::new(Handover::new(state.load().head.seq));
        let metrics = Arc::new(Metrics::new());
        let (writer, thread) = Writer::start(Parts {
            store: Box::new(store),
            db: db.clone(),
            published: Arc::clone(&state),
            handover: Arc::clone(&handover),
            clock: clock.clone(),
            chance: chance.clone(),
            metrics: Arc::clone(&metrics),
            traps,
        })?;
        let held = Held {
            limits: Arc::new(Limits::new(&config, &clock)),
            refresh_key: Arc::new(RefreshKey::new(&config.jwt_secret)),
            key_maker: Arc::new(KeyMaker::new(&config.jwt_secret)),
            feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
            public_feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
            recordings: Arc::new(Semaphore::new(RECORDINGS_MAX)),
            rehearsals: Rehearsals::default(),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            pasts: Arc::new(Semaphore::new(PASTS_MAX)),
            public_pasts: Arc::new(Semaphore::new(PASTS_MAX)),
            verifications: Arc::new(Semaphore::new(VERIFICATIONS_MAX)),
            traps,
            fingerprint_key: DerivedKey::new(&config.jwt_secret, "command fingerprints"),
            sealing_key: DerivedKey::new(&config.jwt_secret, "signing keys"),
            signer: Arc::default(),
            config: Arc::new(config),
            clock,
            chance,
            metrics,
            tokens,
            db,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            state,
            writer,
            handover,
            generation,
            ready: Arc::new(AtomicBool::new(true)),
        };
        Ok((Self(Arc::new(held)), Running { writer: thread }))
    }

    /// The committed state as it is now.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Where the committed state is to be found, for those who look often.
    #[must_use]
    pub fn states(&self) -> Arc<ArcSwap<State>> {
        Arc::clone(&self.state)
    }

    /// The committed state, with the marks of a category in it.
    ///
    /// # Errors
    /// `OVERLOADED` or `INTERNAL` when they cannot be read.
    pub async fn state_with(&self, category: &CategoryId) -> Result<Arc<State>, Refusal> {
        let state = self.state();
        if state.boards.contains_key(category) || !state.categories.contains_key(category) {
            return Ok(state);
        }
        self.writer.load(category.clone()).await?;
        Ok(self.state())
    }

    /// Carries a command out: counts it, limits it, has it decided and written, and answers when it is on the disk. The
    /// payload it was read from, written as JSON, tells a retry from a reuse of its id.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn carry_out(
        &self,
        actor: Actor,
        command: Command,
        command_id: Option<String>,
        payload: &(impl Display + Sync),
    ) -> Result<Value, Refusal> {
        let name = command.name();
        let timer = self.metrics.command_duration.with_label_values(&[name]).start_timer();
        let outcome = match self.limit(&actor, command.limit(), command.cost(), name) {
            Ok(()) => {
                let fingerprint = || hex::encode(self.fingerprint_key.mac(format!("{name}\n{payload}").as_bytes()));
                let command_id = command_id.map(|id| CommandId { id, fingerprint: fingerprint() });
                self.writer.carry_out(actor, command, command_id).await
            }
            Err(refusal) => Err(refusal),
        };
        timer.observe_duration();
        outcome
    }

    /// Carries out what a rehearsal plays: as everything is, but for the limits, which are those of people.
    ///
    /// # Errors
    /// Why it was refused.
    pub async fn rehearse(&self, actor: Actor, command: impl Into<Command>) -> Result<Value, Refusal> {
        self.writer.carry_out(actor, command.into(), None).await
    }

    /// Takes from a user's rate limit.
    ///
    /// # Errors
    /// `RATE_LIMIT`.
    pub fn limit(&self, actor: &Actor, limit: Limit, cost: u32, name: &str) -> Result<(), Refusal> {
        match actor {
            Actor::User { id, .. } => self.limits.user(limit, id, cost).inspect_err(|_limited| {
                self.metrics.rate_limited.with_label_values(&[name]).inc();
            }),
            Actor::Key { id, .. } => self.limits.key(id, cost).inspect_err(|_limited| {
                self.metrics.rate_limited.with_label_values(&[name]).inc();
            }),
            Actor::Operator => Ok(()),
        }
    }

    /// Reading a list: limited like everything else.
    ///
    /// # Errors
    /// `RATE_LIMIT`.
    pub fn limit_reading(&self, user: &Actor, name: &'static str) -> Result<(), Refusal> {
        self.limit(user, Limit::Lists, 1, name)
    }

    /// Says when something was committed.
    #[must_use]
    pub fn head_changes(&self) -> watch::Receiver<i64> {
        self.handover.head_changes()
    }

    /// Whether new work is taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst) && self.writer.lives()
    }

    /// Starts what runs beside the requests: the dispatcher, the tallies, the housekeeping.
    #[must_use]
    pub fn start_tasks(&self) -> (Outlet, Emitters) {
        let bounds = Bounds {
            viewers_max: self.config.live_max_per_event,
            queue_max: self.config.live_queue_max,
            official_grace_ms: self.config.live_official_grace_ms,
        };
        let outlet = Outlet::new(
            Arc::clone(&self.state),
            self.clock.clone(),
            Arc::clone(&self.metrics),
            self.traps,
            Flusher::new(self.config.io_uring),
            bounds,
            self.config.socket_buffer_max,
        );
        let dispatch = dispatcher::run(outlet.clone(), Arc::clone(&self.handover), self.db.clone());
        let emitters = Emitters([
            self.run_until_stopped(dispatch),
            self.run_until_stopped(self.clone().send_tallies(outlet.clone())),
            self.run_until_stopped(dispatcher::watch(outlet.clone())),
        ]);
        self.run_until_stopped(self.clone().keep_house(outlet.clone()));
        (outlet, emitters)
    }

    fn run_until_stopped(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = work => {}
            }
        })
    }

    /// Sends the tally of what has changed, at most four times a second per category, the latest wins.
    async fn send_tallies(self, outlet: Outlet) {
        loop {
            for category in outlet.changed_categories().await {
                if outlet.is_office_there(&category) {
                    self.send_tally(&outlet, &category).await;
                }
            }
            tokio::time::sleep(TALLY_EVERY).await;
        }
    }

    async fn send_tally(&self, outlet: &Outlet, id: &CategoryId) {
        let view = self.tally(id).await.and_then(|view| Ok(serde_json::to_value(view).map_err(anyhow::Error::from)?));
        match view {
            Ok(view) => outlet.send_tally(id, view),
            Err(error) => tracing::error!(error = format!("{error:#}"), category = %id, "a tally could not be sent"),
        }
    }

    /// The tally of a category, off the threads that answer.
    ///
    /// # Errors
    /// `NOT_FOUND`, or when its marks cannot be read.
    pub async fn tally(&self, id: &CategoryId) -> Result<TallyView, AppError> {
        let state = self.state_with(id).await?;
        let category = state.categories.get(id).cloned().ok_or_else(|| Refusal::not_found("category", id))?;
        Ok(self.computing(move || tally::tally(&state, &category)).await??)
    }

    /// Does something that takes long, off the threads that answer.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn computing<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
        Ok(tokio::task::spawn_blocking(work).await.map_err(anyhow::Error::from)?)
    }

    /// The key that signs publications: the newest that was sealed under the secret of this installation, else a new one.
    ///
    /// # Errors
    /// When keys cannot be read or kept.
    pub async fn signer(&self) -> Result<Arc<Signer>, AppError> {
        self.signer.get_or_try_init(|| self.open_or_make_key()).await.cloned()
    }

    async fn open_or_make_key(&self) -> Result<Arc<Signer>, AppError> {
        for kept in key::all(&self.db).await? {
            let id = kept.public.id();
            match Signer::open(&id, &kept.sealed, &self.sealing_key) {
                Ok(signer) => return Ok(Arc::new(signer)),
                Err(error) => tracing::warn!(%error, key = %id, "an older signing key is kept for checking only"),
            }
        }
        let (signer, sealed) = Signer::generate(&self.chance, &self.sealing_key);
        let keep = KeepKey { id: signer.key_id().clone(), public: signer.public_key(), sealed };
        self.carry_out(Actor::Operator, keep.into(), None, &Value::Null).await?;
        tracing::info!(key = %signer.key_id(), "a new signing key was made");
        Ok(Arc::new(signer))
    }

    /// What a command would come to; nothing is changed by it.
    ///
    /// # Errors
    /// As [`preview()`](crate::preview::preview) says.
    pub async fn preview(&self, actor: Actor, command: Command) -> Result<Preview, AppError> {
        self.limit_reading(&actor, "preview")?;
        loop {
            let id = self.chance.id(self.clock.now()).to_string();
            let state = State::clone(&self.state());
            let draft = Draft::new(state, actor.clone(), id.into(), self.clock.now(), self.chance.clone());
            let foreseen = command.clone();
            match self.computing(move || preview::preview(draft, &foreseen)).await? {
                Err(Refusal::BoardNeeded(categories)) => {
                    for category in &categories {
                        self.state_with(category).await?;
                    }
                }
                outcome => return Ok(outcome?),
            }
        }
    }

    /// The bytes of a bundle: what was signed, with the log it was taken from.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn bundle(&self, wanted: Wanted) -> Result<Vec<u8>, AppError> {
        let position = &wanted.publication.statement.log;
        let rows = log_entry::Entity::find()
            .filter(log_entry::Column::Lane.eq(&position.lane))
            .filter(log_entry::Column::LaneSeq.lte(position.seq))
            .order_by_asc(log_entry::Column::LaneSeq)
            .all(&self.db)
            .await?;
        let encode = move || -> anyhow::Result<Vec<u8>> {
            let log = rows.into_iter().map(Line::of).collect::<Result<_, _>>()?;
            let Wanted { publication, record } = wanted;
            let ranking = record.basis.rank();
            Ok(Bundle { publication, record, log }.encode(&ranking)?)
        };
        Ok(self.computing(encode).await??)
    }

    /// The marks of a category that were given, changed or taken out after a place in its lane.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn marks_changed_since(&self, category: &CategoryId, seq: i64) -> Result<BTreeSet<MarkId>, AppError> {
        let rows = log_entry::Entity::find()
            .filter(log_entry::Column::Lane.eq(Lane::Category(category.clone()).to_string()))
            .filter(log_entry::Column::LaneSeq.gt(seq))
            .all(&self.db)
            .await?;
        let marks = rows.iter().filter_map(|row| match Event::from_json(&row.fact) {
            Ok(Event::ScoreUpdated(fact)) => Some(fact.id),
            Ok(Event::ScoreDeleted(fact)) => Some(fact.id),
            _ => None,
        });
        Ok(marks.collect())
    }

    /// Who a token stands for. A session this node has not heard of yet may just have been opened by another process.
    ///
    /// # Errors
    /// `INVALID_TOKEN`, `TOKEN_EXPIRED` or `SESSION_REVOKED`.
    pub async fn admit(&self, token: &str) -> Result<Actor, Refusal> {
        Ok(self.admit_until(token).await?.0)
    }

    /// Who a token stands for, and when it runs out.
    ///
    /// # Errors
    /// `INVALID_TOKEN`, `TOKEN_EXPIRED` or `SESSION_REVOKED`.
    pub async fn admit_until(&self, token: &str) -> Result<(Actor, Micros), Refusal> {
        let now = self.clock.now();
        let claims = self.tokens.read(token, now)?;
        if !self.state().sessions.contains_key(claims.session()) {
            self.writer.catch_up().await;
        }
        Ok((claims.admit(&self.state(), now)?, claims.expires_at()))
    }

    /// The timing software a key stands for. A key this node has not heard of yet may just have been made by another
    /// process; whoever sends keys that nobody made is limited before the writer is asked to look.
    ///
    /// # Errors
    /// `INVALID_TOKEN` or `TOKEN_EXPIRED`; `RATE_LIMIT` where too many came that are not known.
    pub async fn admit_key(&self, key: &str, from: IpAddr) -> Result<Actor, Refusal> {
        if !keys::is_well_formed(key) {
            return Err(Refusal::InvalidToken);
        }
        let hash = keys::hash_of(key);
        if self.state().racing.key_with_hash(&hash).is_none() {
            self.limits.anonymous_handshake(from)?;
            self.writer.catch_up().await;
        }
        let state = self.state();
        let row = state.racing.key_with_hash(&hash).ok_or(Refusal::InvalidToken)?;
        row.must_be_valid(self.clock.now())?;
        Ok(Actor::Key { id: row.id.clone(), event: row.event_id.clone() })
    }

    async fn keep_house(self, outlet: Outlet) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        let mut mark = tokio::time::interval(MARK_EVERY);
        let mut marked = None;
        let mut lost = tokio::time::interval(LOST_EVERY);
        loop {
            tokio::select! {
                _ = look.tick() => self.writer.look(),
                _ = mark.tick() => self.write_mark(&mut marked).await,
                _ = lost.tick() => outlet.forget_the_lost(),
                _ = tidy.tick() => {
                    self.limits.evict_idle(&self.metrics);
                    self.writer.tidy();
                }
            }
        }
    }

    /// Writes down where the log stands, if it has moved.
    async fn write_mark(&self, marked: &mut Option<Mark>) {
        let mark = Mark::of(&self.state().head);
        if marked.as_ref() == Some(&mark) {
            return;
        }
        let (generation, written) = (self.generation.clone(), mark.clone());
        match self.computing(move || generation.write(&written)).await {
            Ok(Ok(())) => *marked = Some(mark),
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "the generation could not be written"),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the generation could not be written"),
        }
    }

    /// Ends: nothing new is taken, what waits is written, tasks are waited for.
    ///
    /// # Errors
    /// When the writer died.
    pub async fn stop(self, running: Running) -> anyhow::Result<()> {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.writer.stop().await;
        tokio::task::spawn_blocking(move || running.writer.join())
            .await?
            .map_err(|_panic| anyhow::anyhow!("the writer died"))?;
        self.db.close_by_ref().await?;
        self.generation.write(&Mark::of(&self.state.load().head))
    }

    /// No longer ready: a load balancer sends nobody here any more.
    pub fn refuse_newcomers(&self) {
        self.ready.store(false, Ordering::SeqCst);
    }

    /// The user an email belongs to.
    #[must_use]
    pub fn user_by_email(&self, email: &str) -> Option<UserId> {
        self.state().emails.get(&email.trim().to_lowercase()).cloned()
    }
}

/// A log that is not the one its mark was made of goes on under another epoch.
fn notice_another_history(store: &mut SqliteStore, generation: &Generation, chance: &Chance) -> anyhow::Result<()> {
    let head = store.head()?.context("the log has begun")?;
    let mark = generation.read();
    let at_mark = mark.as_ref().map(|mark| store.hash_at(mark.seq())).transpose()?.flatten();
    if !is_same_history(mark.as_ref(), &head, at_mark.as_deref()) {
        let epoch = hex::encode(chance.bytes::<8>());
        tracing::warn!(before = %head.epoch, after = epoch, "the database is not the one that was left here: a new epoch");
        store.begin_epoch(&epoch)?;
    }
    let head = store.head()?.context("the log has begun")?;
    generation.write(&Mark::of(&head))
}

/// Writes the beginning of the log into a database that has none: a new history, under a new epoch.
fn begin_history(store: &mut SqliteStore, chance: &Chance) -> anyhow::Result<()> {
    if store.head()?.is_some() {
        return Ok(());
    }
    let epoch = hex::encode(chance.bytes::<8>());
    let head = log_head::Model { id: "head".into(), seq: 0, hash: GENESIS.into(), epoch };
    store.begin(row::Row::from(head))
}
