//! The command line.

use crate::app::{App, Running, Setting};
use crate::auth::actor::Actor;
use crate::auth::role::Role;
use crate::auth::sessions::{OpenSession, SessionGrant};
use crate::auth::{password, token};
use crate::cassettes::{self, Name, shelf::Shelf};
use crate::clock::{Chance, Clock, Micros};
use crate::command::parse;
use crate::config::{Config, LogFormat};
use crate::db::connect::{self, FileLock, Target};
use crate::demo;
use crate::events::log::Receipt;
use crate::evidence::key::{KeySet, PublicKey};
use crate::evidence::verify;
use crate::ids::EventId;
use crate::publications::key;
use crate::rehearsal::{self, Piece, Playing};
use crate::setup::import;
use crate::setup::keys::ApiKeySpec;
use crate::setup::spec::UserSpec;
use crate::setup::{DisableUser, PutUser};
use crate::transport::{http, rest, serve};
use crate::traps::Traps;
use anyhow::{Context, bail};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Authenticated, multi-role, real-time scoring for judged and timed events.
#[derive(Parser, Debug)]
#[command(name = "scorecast", version, about)]
struct Cli {
    #[command(flatten)]
    config: Config,
    #[command(subcommand)]
    command: Option<Action>,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Serve (the default).
    Serve,
    /// Serve a demo: a real competition in a database of its own, with logins to try.
    Demo {
        /// The folder of the demo's database and secret.
        #[arg(long, default_value = "data/demo")]
        folder: PathBuf,
    },
    /// Bring the schema of the database up to date.
    Migrate,
    /// Import an event from a JSON or YAML document (`-` reads standard input).
    Import {
        /// The document.
        file: PathBuf,
    },
    /// Add, list and disable users; works beside a running server.
    #[command(subcommand)]
    User(UserAction),
    /// Play a recording into an event of its own, which is a rehearsal; prints the event's id.
    Replay {
        /// The recording.
        name: String,
        /// Times the speed it was recorded at; 0 is as fast as it goes.
        #[arg(long)]
        speed: Option<f64>,
        /// From this millisecond of the recording on.
        #[arg(long)]
        from: Option<i64>,
        /// Up to this millisecond.
        #[arg(long)]
        to: Option<i64>,
        /// Again and again, a hundred times at most.
        #[arg(long = "loop")]
        again: bool,
        /// Let anyone see a rehearsal of judging; one of races is public like the feed it was.
        #[arg(long)]
        public: bool,
        /// The email of whoever plays it; an ADMIN unless said.
        #[arg(long = "as")]
        sign_in: Option<String>,
    },
    /// Print an access token for a user; works beside a running server.
    Token {
        /// The user's email.
        email: String,
    },
    /// Print a key for the timing software of an event; works beside a running server. It is not shown again.
    ApiKey {
        /// The event.
        event: EventId,
        /// What the key is called in the list of keys.
        #[arg(long, default_value = "made on the command line")]
        name: String,
        /// Until when it is good, like 2026-05-03T18:00:00Z; until it is revoked unless stated.
        #[arg(long, value_parser = moment)]
        valid_until: Option<Micros>,
    },
    /// Check the evidence of a published result: its signature, its log, its marks; its ranking is computed again.
    Verify {
        /// The bundle, `evidence.zip`.
        file: PathBuf,
        /// The public key it must be signed with (base64url), or a file with a key set; without one, the keys of the
        /// database are taken.
        #[arg(long, allow_hyphen_values = true)] // one key in 64 begins with a hyphen
        key: Vec<String>,
        /// A file of receipts (JSON objects), each of which must be in the log.
        #[arg(long)]
        receipts: Option<PathBuf>,
    },
    /// Print the description of the HTTP interface (OpenAPI 3.1).
    Openapi,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand, Debug)]
enum UserAction {
    /// Add a user. The password is read from standard input with --password-stdin, else one is made and printed.
    Add {
        /// The email to sign in with.
        email: String,
        /// The name.
        #[arg(long)]
        name: String,
        /// The role.
        #[arg(long, ignore_case = true)]
        role: RoleName,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List all users.
    List,
    /// Disable a user and end their sessions.
    Disable {
        /// The user's email.
        email: String,
    },
}

/// A role, as the command line spells it.
#[derive(Clone, Copy, Debug)]
struct RoleName(Role);

impl ValueEnum for RoleName {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [RoleName; 8] = {
            let mut all = [RoleName(Role::Admin); 8];
            let mut at = 0;
            while at < 8 {
                all[at] = RoleName(Role::ALL[at]);
                at += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

/// A moment, as it is written everywhere else.
fn moment(text: &str) -> Result<Micros, serde_json::Error> {
    serde_json::from_value(Value::from(text))
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // A missing .env is no fault; a broken one is told by the setting that then lacks.
    let _absent = dotenvy::dotenv();
    let cli = Cli::parse();
    log_to_stderr(&cli.config);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run(cli.config, cli.command.unwrap_or(Action::Serve))));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scorecast: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(config: &Config) {
    use tracing_subscriber::EnvFilter;
    // The socket libraries log every packet, tokens and marks in them: never that, whatever is asked for.
    let quiet = format!("{},socketioxide=warn,engineioxide=warn,sea_orm_migration=warn", config.log_level);
    let filter = EnvFilter::try_new(quiet).unwrap_or_else(|_wrong| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

async fn run(config: Config, action: Action) -> anyhow::Result<()> {
    match action {
        Action::Serve => {
            if config.jwt_secret.is_empty() {
                bail!("JWT_SECRET is not set; make one with: openssl rand -hex 32");
            }
            // Before anything is made on the disk.
            token::Tokens::new(&config.jwt_secret)?;
            serve_until_told(config, |_| {}).await
        }
        Action::Demo { folder } => {
            let config = demo::prepare(config, &folder).await?;
            serve_until_told(config, demo::welcome).await
        }
        Action::Migrate => {
            let _lock = lock_and_migrate(&config).await?;
            Ok(())
        }
        Action::Import { file } => {
            let source = read_file(&file)?;
            let _lock = lock_and_migrate(&config).await?;
            with_app(any_secret(config), async |app| {
                let command = rest::setup::hashed(app, import::read(&source)?).await?;
                let taken = app.carry_out(Actor::Operator, command.into(), None, &Value::Null).await?;
                println!("{taken}");
                Ok(())
            })
            .await
        }
        Action::User(action) => {
            let _lock = lock_unless_served(&config).await?;
            with_app(any_secret(config), async |app| user(app, action).await).await
        }
        Action::Token { email } => {
            let config = with_kept_secret(config)?;
            let _lock = lock_unless_served(&config).await?;
            with_app(config, async |app| {
                println!("{}", access_token(app, &email).await?);
                Ok(())
            })
            .await
        }
        Action::ApiKey { event, name, valid_until } => {
            let _lock = lock_unless_served(&config).await?;
            with_app(any_secret(config), async |app| {
                let spec = ApiKeySpec { event_id: event, name, valid_from: None, valid_until };
                let command = rest::keys::new_key(app, spec);
                let made = app.carry_out(Actor::Operator, command.into(), None, &Value::Null).await?;
                let made = rest::keys::with_key(app, made);
                println!("{}", made["key"].as_str().context("the key was made, and is gone already")?);
                Ok(())
            })
            .await
        }
        Action::Replay { name, speed, from, to, again, public, sign_in } => {
            let config = with_kept_secret(config)?;
            let _lock = lock_unless_served(&config).await?;
            let playing = Playing { speed, again, from, to, public };
            with_app(config, async |app| replay(app, &name, playing, sign_in.as_deref()).await).await
        }
        Action::Verify { file, key, receipts } => check_evidence(&config, &file, &key, receipts.as_deref()).await,
        Action::Openapi => {
            println!("{}", http::openapi()?);
            Ok(())
        }
        Action::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "scorecast", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// Keeps servers out of the database and brings its schema up to date.
///
/// # Errors
/// When a server holds it.
pub async fn lock_and_migrate(config: &Config) -> anyhow::Result<Option<FileLock>> {
    let target = Target::parse(&config.database_url)?;
    let lock = match &target {
        Target::Sqlite(path) => {
            connect::make_folder(path)?;
            Some(FileLock::take(path)?)
        }
        Target::Postgres(_) => None,
    };
    connect::migrate(&target).await.context("cannot bring the database up to date")?;
    Ok(lock)
}

/// The same where no server runs; beside one the schema is left as the server knows it.
async fn lock_unless_served(config: &Config) -> anyhow::Result<Option<FileLock>> {
    match Target::parse(&config.database_url)? {
        Target::Sqlite(path) if FileLock::is_held(&path) => Ok(None),
        Target::Sqlite(_) | Target::Postgres(_) => lock_and_migrate(config).await,
    }
}

fn read_file(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("cannot read standard input");
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A command that signs nothing does not need the installation's secret.
fn any_secret(mut config: Config) -> Config {
    if config.jwt_secret.is_empty() {
        config.jwt_secret = hex::encode(Chance::from_system().bytes::<32>());
    }
    config
}

/// The secret of the settings, else the one a demo keeps beside its database.
fn with_kept_secret(mut config: Config) -> anyhow::Result<Config> {
    if config.jwt_secret.is_empty()
        && let Target::Sqlite(path) = Target::parse(&config.database_url)?
        && let Ok(secret) = std::fs::read_to_string(path.with_file_name(demo::SECRET_FILE))
    {
        secret.trim().clone_into(&mut config.jwt_secret);
    }
    Ok(config)
}

fn setting(config: Config) -> anyhow::Result<Setting> {
    Ok(Setting { config, clock: Clock::System, chance: Chance::from_system(), traps: Traps::from_environment()? })
}

/// Does something with the application, without serving.
///
/// # Errors
/// What `work` came to.
pub async fn with_app(config: Config, work: impl AsyncFnOnce(&App) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (app, running) = App::start(setting(config)?).await?;
    let outcome = work(&app).await;
    app.stop(running).await?;
    outcome
}

async fn serve_until_told(config: Config, welcome: impl FnOnce(&serve::Server)) -> anyhow::Result<()> {
    let _lock = lock_and_migrate(&config).await?;
    let (app, running): (App, Running) = App::start(setting(config)?).await?;
    let server = serve::start(app, running).await?;
    // Before anybody learns that it listens: whoever asks it to end at once is heard.
    let told = told_to_stop()?;
    println!("Scorecast listens on http://{}", server.address);
    welcome(&server);
    std::io::stdout().flush()?;
    told.await;
    tracing::info!("stopping");
    server.stop().await
}

/// Listens to the signals from now on, and waits for one.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn user(app: &App, action: UserAction) -> anyhow::Result<()> {
    match action {
        UserAction::Add { email, name, role, password_stdin } => {
            let given = if password_stdin { Some(first_line()?) } else { None };
            let secret = given.clone().unwrap_or_else(|| hex::encode(app.chance.bytes::<12>()));
            rest::setup::check_password("password", &secret)?;
            let password_hash = Some(password::hash(secret.clone()).await?);
            let spec = UserSpec { email, name, role: role.0, password: None, active: None };
            let command = PutUser { id: None, spec, password_hash };
            let made = app.carry_out(Actor::Operator, command.into(), None, &Value::Null).await?;
            println!("{made}");
            if given.is_none() {
                println!("password: {secret}");
            }
        }
        UserAction::List => {
            for user in app.state().users.values() {
                let state = if user.active { "active" } else { "disabled" };
                println!("{}\t{}\t{}\t{state}\t{}", user.id, user.email, user.role.as_str(), user.name);
            }
        }
        UserAction::Disable { email } => {
            let id = app.user_by_email(&email).with_context(|| format!("no user has the email {email}"))?;
            let off = app.carry_out(Actor::Operator, DisableUser { user: id }.into(), None, &Value::Null).await?;
            println!("{off}");
        }
    }
    Ok(())
}

async fn check_evidence(
    config: &Config,
    file: &Path,
    pinned: &[String],
    receipts: Option<&Path>,
) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let keys = if pinned.is_empty() { keys_of_database(config).await? } else { pinned_keys(pinned)? };
    let receipts = match receipts {
        Some(path) => read_receipts(&read_file(path)?).with_context(|| format!("cannot read {}", path.display()))?,
        None => Vec::new(),
    };
    let found =
        verify::verify(&bytes, &keys, &receipts).with_context(|| format!("{} is not accepted", file.display()))?;
    let statement = &found.statement;
    println!("accepted: {}", file.display());
    println!("  result     {}, {}, {}", statement.event.name, statement.contest.name, statement.category.name);
    println!("  published  {:?}, revision {}, {}", statement.state, statement.revision, statement.published_at);
    println!("  signed     key {}", found.key_id);
    println!("  computed   {} places from {} marks in {} facts", statement.ranking.len(), found.marks, found.facts);
    for receipt in &found.receipts_honoured {
        println!("  receipt    {receipt}");
    }
    let honoured = found.receipts_honoured.len();
    println!("  receipts   {honoured} honoured, {} of other categories", found.receipts_elsewhere);
    if statement.rehearsal {
        println!("  note       a rehearsal: nothing of it is real");
    }
    if statement.single_officer {
        println!("  note       one person was allowed to sign several stages");
    }
    for signed in statement.signatures.iter().filter(|signed| signed.overridden) {
        println!("  note       {:?} was put in its place by an ADMIN", signed.stage);
    }
    Ok(())
}

/// The keys in a database: nothing is made or changed for it.
async fn keys_of_database(config: &Config) -> anyhow::Result<Vec<PublicKey>> {
    let target = Target::parse(&config.database_url)?;
    if let Target::Sqlite(path) = &target
        && !path.exists()
    {
        bail!("there is no database at {}; name the key with --key", path.display());
    }
    let db = connect::read_pool(&target).await.context("cannot open the database; or name the key with --key")?;
    connect::check_schema(&db).await?;
    Ok(key::all(&db).await?.into_iter().map(|key| key.public).collect())
}

/// A key as it was written down, or every key of a file.
fn pinned_keys(pinned: &[String]) -> anyhow::Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for text in pinned {
        if let Ok(key) = text.parse() {
            keys.push(key);
            continue;
        }
        let set = read_file(Path::new(text)).with_context(|| format!("{text} is no key, and no file with keys"))?;
        let set: KeySet = serde_json::from_str(&set).with_context(|| format!("{text} is no key set"))?;
        keys.extend(set.keys.into_iter().map(|key| key.x));
    }
    Ok(keys)
}

/// Receipts one after the other, each as it came in an answer.
fn read_receipts(text: &str) -> anyhow::Result<Vec<Receipt>> {
    Ok(serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>()?)
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the password from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Plays a recording to its end, into an event of its own; it can be watched on a server of the same database.
async fn replay(app: &App, name: &str, playing: Playing, email: Option<&str>) -> anyhow::Result<()> {
    let state = app.state();
    let row = state.cassettes.get(name).with_context(|| format!("there is no cassette {name}"))?;
    let kept = row.sha256.clone().zip(row.file.clone());
    let (sha256, file) = kept.with_context(|| format!("nothing is in cassette {name} yet"))?;
    let reel = Shelf::new(&app.config.cassettes).open(&file, &sha256)?;
    let admin = || state.users.values().find(|user| user.active && user.role == Role::Admin).map(|user| &*user.email);
    let email = email.or_else(admin).context("nobody runs this installation; --as names who plays it")?;
    let actor = app.admit(&access_token(app, email).await?).await?;
    actor.must_run_installation(&state)?;
    let cassette: Name = name.parse()?;
    cassettes::find(&state, actor.user()?, &cassette)?;
    let rehearsal = rehearsal::prepare(app, None, Piece { cassette: &cassette, reel, actor, playing }).await?;
    let (stop, told) = (rehearsal.stopper(), told_to_stop()?);
    println!("{}", rehearsal.event());
    let mut playing = std::pin::pin!(rehearsal.play());
    let outcome = tokio::select! {
        outcome = &mut playing => outcome?,
        () = told => {
            // It ends with the frame it is at: whoever was made for it is switched off.
            stop.cancel();
            eprintln!("stopping");
            playing.await?
        }
    };
    let counted = |counts: &BTreeMap<String, u64>| {
        let counts = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ");
        if counts.is_empty() { "nothing".to_owned() } else { counts }
    };
    eprintln!("played: {}", counted(&outcome.played));
    eprintln!("not played: {}", counted(&outcome.not_played));
    Ok(())
}

/// An access token for a user, by a session of its own.
///
/// # Errors
/// When there is no such active user.
pub async fn access_token(app: &App, email: &str) -> anyhow::Result<String> {
    let user = app.user_by_email(email).with_context(|| format!("no user has the email {email}"))?;
    let open = OpenSession {
        user: user.clone(),
        proof: None,
        user_agent: Some(format!("scorecast token ({} s)", token::ACCESS_SECONDS)),
        key: Arc::clone(&app.refresh_key),
    };
    let now = app.clock.now();
    let actor = Actor::User { id: user, session: app.chance.id(now).into() };
    let grant: SessionGrant = parse(app.carry_out(actor, open.into(), None, &Value::Null).await?)?;
    app.tokens.issue(&grant.user_id, grant.role, &grant.session_id, grant.session_version, now)
}
