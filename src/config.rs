//! Every setting, with its default: from the command line, else the environment (or `.env`), else what stands here.
//! `.env.example` is compared with this struct by a test.

use clap::Args;
use std::net::{IpAddr, SocketAddr};

/// Where and how a server runs.
#[derive(Args, Clone)]
pub struct Config {
    /// The database: `sqlite://path?mode=rwc`, or `postgres://…` for more than one node.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        default_value = "sqlite://data/scorecast.db?mode=rwc",
        hide_env_values = true
    )]
    pub database_url: String,
    /// Address and port to listen on.
    #[arg(long, global = true, env = "BIND", default_value = "127.0.0.1:3000")]
    pub bind: SocketAddr,
    /// Signs access tokens; at least 32 bytes, the same on every node. No default: `openssl rand -hex 32` makes one.
    #[arg(
        long,
        global = true,
        env = "JWT_SECRET",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub jwt_secret: String,
    /// Origins whose pages may use this server with credentials, separated by commas.
    #[arg(
        long,
        global = true,
        env = "ALLOWED_ORIGINS",
        default_value = "http://localhost:3000,http://127.0.0.1:3000",
        value_delimiter = ','
    )]
    pub allowed_origins: Vec<String>,
    /// Addresses of proxies whose `X-Forwarded-For` is believed, separated by commas.
    #[arg(long, global = true, env = "TRUSTED_PROXIES", default_value = "", value_delimiter = ',', value_parser = parse_proxy)]
    pub trusted_proxies: Vec<Proxy>,
    /// Transports of Socket.IO, separated by commas.
    #[arg(long, global = true, env = "TRANSPORTS", default_value = "websocket,polling", value_delimiter = ',')]
    pub transports: Vec<Transport>,
    /// Milliseconds between the server's pings.
    #[arg(long, global = true, env = "PING_INTERVAL_MS", default_value_t = 25_000)]
    pub ping_interval_ms: u64,
    /// Milliseconds a ping may stay unanswered.
    #[arg(long, global = true, env = "PING_TIMEOUT_MS", default_value_t = 60_000)]
    pub ping_timeout_ms: u64,
    /// Largest frame a client may send, in bytes.
    #[arg(long, global = true, env = "FRAME_BYTES_MAX", default_value_t = 131_072)]
    pub frame_bytes_max: usize,
    /// Packets that may wait for one socket.
    #[arg(long, global = true, env = "SOCKET_BUFFER_MAX", default_value_t = 4_096)]
    pub socket_buffer_max: usize,
    /// Commands that may wait for one socket.
    #[arg(long, global = true, env = "SOCKET_QUEUE_MAX", default_value_t = 256)]
    pub socket_queue_max: usize,
    /// Facts a client may catch up on at once; further behind, it is given a snapshot.
    #[arg(long, global = true, env = "RESUME_MAX_FACTS", default_value_t = 10_000)]
    pub resume_max_facts: i64,
    /// Open connections, in all.
    #[arg(long, global = true, env = "CONNECTIONS_MAX", default_value_t = 20_000)]
    pub connections_max: usize,
    /// Open connections from one address (IPv6: one /64); trusted proxies are not counted.
    #[arg(long, global = true, env = "CONNECTIONS_PER_ADDRESS_MAX", default_value_t = 2_000)]
    pub connections_per_address_max: usize,
    /// Sessions of Socket.IO that nobody has signed in to yet.
    #[arg(long, global = true, env = "UNAUTHENTICATED_MAX", default_value_t = 1_000)]
    pub unauthenticated_max: usize,
    /// Sockets of one user.
    #[arg(long, global = true, env = "SOCKETS_PER_USER_MAX", default_value_t = 20)]
    pub sockets_per_user_max: usize,
    /// Milliseconds a request may take to say what it wants; for as long a connection may lie idle between two.
    #[arg(long, global = true, env = "HEADER_TIMEOUT_MS", default_value_t = 10_000)]
    pub header_timeout_ms: u64,
    /// Milliseconds a client may leave unread what is written to it.
    #[arg(long, global = true, env = "WRITE_TIMEOUT_MS", default_value_t = 10_000)]
    pub write_timeout_ms: u64,
    /// Whether many messages are given to the kernel in one call (Linux, `io_uring`); where it refuses, each is a call.
    #[arg(long, global = true, env = "IO_URING", default_value_t = true, action = clap::ArgAction::Set)]
    pub io_uring: bool,
    /// Marks a user may submit in a minute, and at once.
    #[arg(long, global = true, env = "RATE_LIMIT_SCORES_PER_MINUTE", default_value_t = 60)]
    pub rate_limit_scores_per_minute: u32,
    /// Other commands a user may send in a minute, and at once.
    #[arg(long, global = true, env = "RATE_LIMIT_COMMANDS_PER_MINUTE", default_value_t = 100)]
    pub rate_limit_commands_per_minute: u32,
    /// Lists a user may ask for in a minute, and at once.
    #[arg(long, global = true, env = "RATE_LIMIT_LISTS_PER_MINUTE", default_value_t = 300)]
    pub rate_limit_lists_per_minute: u32,
    /// Failed logins in a minute, for one account from one address.
    #[arg(long, global = true, env = "RATE_LIMIT_FAILED_LOGINS_PER_MINUTE", default_value_t = 10)]
    pub rate_limit_failed_logins_per_minute: u32,
    /// Failed logins in a minute, from one address.
    #[arg(long, global = true, env = "RATE_LIMIT_FAILED_LOGINS_PER_ADDRESS_PER_MINUTE", default_value_t = 120)]
    pub rate_limit_failed_logins_per_address_per_minute: u32,
    /// Handshakes without a valid token in a minute, from one address.
    #[arg(long, global = true, env = "RATE_LIMIT_HANDSHAKES_PER_MINUTE", default_value_t = 6_000)]
    pub rate_limit_handshakes_per_minute: u32,
    /// What an address may read in a minute without a token.
    #[arg(long, global = true, env = "RATE_LIMIT_PUBLIC_READS_PER_MINUTE", default_value_t = 6_000)]
    pub rate_limit_public_reads_per_minute: u32,
    /// Posts a key of timing software may make in a minute, and at once.
    #[arg(long, global = true, env = "RATE_LIMIT_INGEST_PER_MINUTE", default_value_t = 6_000)]
    pub rate_limit_ingest_per_minute: u32,
    /// Viewers of one event's feed, and of one race's room.
    #[arg(long, global = true, env = "LIVE_MAX_PER_EVENT", default_value_t = 200)]
    pub live_max_per_event: usize,
    /// Frames that may wait for one viewer; one more, and it is told to read anew.
    #[arg(long, global = true, env = "LIVE_QUEUE_MAX", default_value_t = 256)]
    pub live_queue_max: usize,
    /// Milliseconds between the pings a viewer gets.
    #[arg(long, global = true, env = "LIVE_PING_INTERVAL_MS", default_value_t = 30_000)]
    pub live_ping_interval_ms: u64,
    /// Milliseconds such a ping may stay unanswered.
    #[arg(long, global = true, env = "LIVE_PONG_TIMEOUT_MS", default_value_t = 10_000)]
    pub live_pong_timeout_ms: u64,
    /// Milliseconds viewers stay after an event has become official.
    #[arg(long, global = true, env = "LIVE_OFFICIAL_GRACE_MS", default_value_t = 5_000)]
    pub live_official_grace_ms: u64,
    /// Sockets of the public, in all.
    #[arg(long, global = true, env = "LIVE_SOCKETS_MAX", default_value_t = 10_000)]
    pub live_sockets_max: usize,
    /// The folder of the recordings; each database has one of its own.
    #[arg(long, global = true, env = "CASSETTES", default_value = "data/cassettes")]
    pub cassettes: std::path::PathBuf,
    /// Bytes of a recording that is made here; 64 MiB at most.
    #[arg(long, global = true, env = "CASSETTE_BYTES_MAX", default_value_t = 64 * 1024 * 1024)]
    pub cassette_bytes_max: usize,
    /// Lets others than this machine itself read `/metrics`, by `Authorization: Bearer`.
    #[arg(long, global = true, env = "METRICS_TOKEN", default_value = "", hide_env_values = true)]
    pub metrics_token: String,
    /// Whether races are simulated; only ever in the demo.
    #[arg(skip)]
    pub simulate: bool,
    /// How log lines look.
    #[arg(long, global = true, env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged, as `tracing` filters say it.
    #[arg(long, global = true, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

impl std::fmt::Debug for Config {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("bind", &self.bind).field("transports", &self.transports).finish_non_exhaustive()
    }
}

/// A transport of Socket.IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// One WebSocket.
    Websocket,
    /// HTTP long polling.
    Polling,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, an object a line.
    Json,
}

/// The address of a proxy that is believed; an empty entry is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxy(Option<IpAddr>);

fn parse_proxy(text: &str) -> Result<Proxy, std::net::AddrParseError> {
    let text = text.trim();
    if text.is_empty() { Ok(Proxy(None)) } else { text.parse().map(|address| Proxy(Some(address))) }
}

impl Config {
    /// Whether an address is that of a proxy whose word is taken.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.contains(&Proxy(Some(address)))
    }

    /// The settings with every default, for tests and for `demo`.
    #[must_use]
    pub fn defaults() -> Self {
        use clap::{Command, FromArgMatches};
        // The environment is left out on purpose: a test must not change with the machine it runs on.
        let command =
            <Self as Args>::augment_args(Command::new("scorecast")).mut_args(|argument| argument.env(None::<&str>));
        let matches = command.get_matches_from(["scorecast"]);
        Self::from_arg_matches(&matches).expect("every setting but the secret has a default, and that one is empty")
    }
}
