//! Every server of the comparison: how it is installed, how it is started, how it is spoken to.
//!
//! What cannot be installed is named with the reason, and the run goes on without it.

use crate::process::{Launch, Server, bounded, free_port, output};
use crate::scorecast::{self, JUDGES, OFFICE, SHADOWS, Scale};
use crate::speech::{Caller, Speech};
use crate::token::{SECRET, sign};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Ours, over Socket.IO.
    Scorecast,
    /// Ours, the plain WebSocket feed of an event, driven by its timing software.
    ScorecastFeed,
    /// The founding document's server.
    Founding,
    /// Node, socket.io.
    Node,
    /// Bun, socket.io.
    Bun,
    /// python-socketio on uvicorn.
    Python,
    /// nats-server over a WebSocket.
    Nats,
    /// mosquitto over a WebSocket.
    Mosquitto,
    /// socketioxide as it comes.
    Oxide,
    /// axum's WebSocket and a broadcast channel.
    Axum,
    /// A bare WebSocket hub.
    Hub,
    /// The same, its writes given to the kernel together.
    HubTogether,
    /// That one with frames as long as ours, each on the disk before it leaves.
    HubDurable,
}

impl Peer {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 13] = [
        Self::Scorecast,
        Self::ScorecastFeed,
        Self::Founding,
        Self::Node,
        Self::Bun,
        Self::Python,
        Self::Nats,
        Self::Mosquitto,
        Self::Oxide,
        Self::Axum,
        Self::Hub,
        Self::HubTogether,
        Self::HubDurable,
    ];
    /// All but the last two: to connect to them is to connect to the hub.
    pub const CONNECTED: &'static [Self] = Self::ALL.split_at(Self::HubTogether as usize).0;

    /// What it is called in `BENCH_PEERS` and in the data.
    pub fn key(self) -> &'static str {
        match self {
            Self::Scorecast => "scorecast",
            Self::ScorecastFeed => "scorecast-feed",
            Self::Founding => "founding",
            Self::Node => "node",
            Self::Bun => "bun",
            Self::Python => "python",
            Self::Nats => "nats",
            Self::Mosquitto => "mosquitto",
            Self::Oxide => "socketioxide",
            Self::Axum => "axum",
            Self::Hub => "hub",
            Self::HubTogether => "hub-together",
            Self::HubDurable => "hub-durable",
        }
    }

    /// What it is called in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scorecast => "**Scorecast**, Socket.IO (durable, masked)",
            Self::ScorecastFeed => "**Scorecast**, plain WebSocket feed (durable)",
            Self::Founding => "founding stack: Express, socket.io, Prisma (durable)",
            Self::Node => "Node, socket.io",
            Self::Bun => "Bun, socket.io",
            Self::Python => "python-socketio, uvicorn",
            Self::Nats => "nats-server, WebSocket",
            Self::Mosquitto => "mosquitto, WebSocket",
            Self::Oxide => "socketioxide as it comes",
            Self::Axum => "axum `ws`, broadcast channel",
            Self::Hub => "bare WebSocket hub",
            Self::HubTogether => "bare WebSocket hub that writes by `io_uring`",
            Self::HubDurable => "bare WebSocket hub that waits for the disk, then writes by `io_uring`",
        }
    }

    /// How it is spoken to by those who watch.
    pub fn speech(self) -> Speech {
        match self {
            Self::Scorecast => Speech::SocketIo { greets: true },
            Self::ScorecastFeed => Speech::Feed,
            Self::Founding | Self::Node | Self::Bun | Self::Python | Self::Oxide => Speech::SocketIo { greets: false },
            Self::Nats => Speech::Nats,
            Self::Mosquitto => Speech::Mqtt,
            Self::Axum | Self::Hub | Self::HubTogether | Self::HubDurable => Speech::Plain,
        }
    }

    /// Where the upgrade goes.
    fn path(self) -> &'static str {
        match self {
            Self::Scorecast | Self::Founding | Self::Node | Self::Bun | Self::Python | Self::Oxide => {
                "/socket.io/?EIO=4&transport=websocket"
            }
            Self::ScorecastFeed => "/api/v1/events/cup/ws",
            Self::Nats => "/",
            Self::Mosquitto => "/mqtt",
            Self::Axum | Self::Hub | Self::HubTogether | Self::HubDurable => "/ws",
        }
    }
}

/// Where things lie: sources of the peers, what is made of them, what a run leaves.
pub struct Yard {
    /// `bench/peers`.
    pub sources: PathBuf,
    /// What is installed, kept from run to run.
    pub installed: PathBuf,
    /// Databases and logs of this run.
    pub scratch: PathBuf,
    /// The program under test.
    pub scorecast: PathBuf,
    /// Until when tokens of the peers are good, seconds since 1970.
    pub until: u64,
    /// Installed peers with their versions; the reason for those that are not.
    pub versions: BTreeMap<Peer, Result<String, String>>,
}

/// A running server and everybody who may connect to it.
pub struct House {
    /// The process.
    pub server: Server,
    /// Which one.
    pub peer: Peer,
    judges: Vec<Caller>,
    viewers: Vec<Caller>,
    everywhere: Option<Caller>,
}

impl House {
    /// Who submits, by number.
    pub fn judge(&self, number: usize) -> (Speech, Caller, bool) {
        let speech = if self.peer == Peer::ScorecastFeed { Speech::Http } else { self.peer.speech() };
        (speech, self.judges[number % self.judges.len()].clone(), false)
    }

    /// Who judges in every other category, where there are some.
    pub fn everywhere(&self) -> Option<(Speech, Caller, bool)> {
        Some((self.peer.speech(), self.everywhere.clone()?, false))
    }

    /// Who watches, by number: the office is there once, everybody else is a fellow judge with many devices.
    pub fn viewer(&self, number: usize, sampled: bool) -> (Speech, Caller, bool) {
        let office = if self.peer == Peer::Scorecast { OFFICE.len() } else { 0 };
        let at = if number < office { number } else { office + (number - office) % (self.viewers.len() - office) };
        (self.peer.speech(), self.viewers[at].clone(), sampled)
    }
}

impl Yard {
    /// Makes sure a peer can be started: installs what is missing; its version.
    ///
    /// # Errors
    /// When it cannot be had here, with the reason.
    pub fn install(&self, peer: Peer) -> anyhow::Result<String> {
        let version = |program: &str, argument: &str| output(Command::new(program).arg(argument));
        match peer {
            Peer::Scorecast | Peer::ScorecastFeed => output(Command::new(&self.scorecast).arg("--version")),
            Peer::Node | Peer::Founding => {
                let node = version("node", "--version").context("Node.js is not here")?;
                let folder = self.npm("node")?;
                if peer == Peer::Node {
                    return Ok(format!("Node {node}, socket.io {}", package_version(&folder, "socket.io")));
                }
                let driver = prisma(&folder)?;
                Ok(format!("Node {node}, Prisma {}, {driver}", package_version(&folder, "@prisma/client")))
            }
            Peer::Bun => {
                let folder = self.npm("bun")?;
                let bun = output(Command::new(bun(&folder)?).arg("--version")).context("bun does not run here")?;
                Ok(format!("Bun {bun}, socket.io {}", package_version(&folder, "socket.io")))
            }
            Peer::Python => self.python(),
            Peer::Nats => version("nats-server", "--version").context("not installed (apt-get install nats-server)"),
            Peer::Mosquitto => {
                // It tells its version in its help, and ends with an error.
                let told = Command::new("mosquitto")
                    .arg("-h")
                    .output()
                    .context("not installed (apt-get install mosquitto)")?;
                let told = String::from_utf8_lossy(&told.stdout).into_owned();
                Ok(told.lines().next().unwrap_or("mosquitto").to_owned())
            }
            Peer::Oxide | Peer::Axum | Peer::Hub | Peer::HubTogether | Peer::HubDurable => {
                let lock = include_str!("../../Cargo.lock");
                let version = |package: &str| {
                    let at = lock.split(&format!("name = \"{package}\"\nversion = \"")).nth(1);
                    at.and_then(|rest| rest.split('"').next()).unwrap_or("?").to_owned()
                };
                anyhow::ensure!(
                    servers()?.exists(),
                    "it was not built: cargo build --release -p scorecast-bench-servers"
                );
                let library = match peer {
                    Peer::Oxide => "socketioxide",
                    Peer::Axum => "axum",
                    Peer::Hub
                    | Peer::HubTogether
                    | Peer::HubDurable
                    | Peer::Scorecast
                    | Peer::ScorecastFeed
                    | Peer::Founding
                    | Peer::Node
                    | Peer::Bun
                    | Peer::Python
                    | Peer::Nats
                    | Peer::Mosquitto => "mio",
                };
                Ok(format!("{library} {}", version(library)))
            }
        }
    }

    /// Copies a peer's sources and lets npm fetch what they need.
    fn npm(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.installed.join(name);
        std::fs::create_dir_all(&folder)?;
        for file in ["view.mjs", "socketio.mjs", "founding.mjs"] {
            std::fs::copy(self.sources.join(file), folder.join(file))?;
        }
        let lock = std::fs::read(self.sources.join(name).join("package-lock.json"))?;
        let stamp = folder.join("installed.lock");
        for entry in std::fs::read_dir(self.sources.join(name))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
            }
        }
        if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
            return Ok(folder);
        }
        eprintln!("installing {name} (npm)…");
        let mut npm = bounded("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        output(&mut npm).context("npm could not install it")?;
        std::fs::write(stamp, lock)?;
        Ok(folder)
    }

    fn python(&self) -> anyhow::Result<String> {
        let folder = self.installed.join("python");
        let (python, stamp) = (folder.join("bin/python"), folder.join("installed.txt"));
        let wanted = std::fs::read(self.sources.join("python/requirements.txt"))?;
        if std::fs::read(&stamp).map_or(true, |installed| installed != wanted) {
            eprintln!("installing python-socketio (pip)…");
            output(Command::new("python3").args(["-m", "venv"]).arg(&folder))
                .context("python3 with venv is not here")?;
            let mut pip = bounded(&python.display().to_string());
            pip.args(["-m", "pip", "install", "--quiet", "--requirement"])
                .arg(self.sources.join("python/requirements.txt"));
            output(&mut pip).context("pip could not install it")?;
            std::fs::write(&stamp, &wanted)?;
        }
        let version = output(Command::new(&python).arg("--version"))?;
        let socketio = String::from_utf8_lossy(&wanted).lines().next().unwrap_or_default().replace("==", " ");
        Ok(format!("{version}, {socketio}"))
    }

    /// Starts a peer with nothing in it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn open(&self, peer: Peer) -> anyhow::Result<House> {
        self.open_scaled(peer, Scale::default())
    }

    /// The same with more set up beside what is measured, where that can be.
    ///
    /// # Errors
    /// When it does not start.
    pub fn open_scaled(&self, peer: Peer, scale: Scale) -> anyhow::Result<House> {
        let folder = self.scratch.join(peer.key());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let log = self.scratch.join(format!("{}.log", peer.key()));
        if matches!(peer, Peer::Scorecast | Peer::ScorecastFeed) {
            return self.open_scorecast(peer, &folder, &log, scale);
        }
        let port = free_port()?;
        let (program, arguments) = self.command(peer, port, &folder)?;
        let settings =
            vec![("JWT_SECRET".to_owned(), SECRET.to_owned()), ("NODE_ENV".to_owned(), "production".to_owned())];
        let place = match program.file_stem().and_then(|name| name.to_str()) {
            Some("node") => self.installed.join("node"),
            Some("bun") => self.installed.join("bun"),
            _ => folder.clone(),
        };
        let launch = Launch { program: &program, arguments, settings, folder: &place, log: &log, port };
        let server = Server::start(&launch)?;
        let caller = |number: usize, submits: bool| {
            let token = if matches!(peer, Peer::Nats | Peer::Mosquitto) {
                SECRET.to_owned()
            } else {
                sign(&format!("u{number}"), "JUDGE", self.until)
            };
            Caller { token, path: peer.path().to_owned(), submits }
        };
        let judges = match scale.desks {
            0 => (0..JUDGES).map(|number| caller(number, true)).collect(),
            desks => (100..100 + desks).map(|number| caller(number, true)).collect(),
        };
        let viewers = (JUDGES..JUDGES + SHADOWS).map(|number| caller(number, false)).collect();
        Ok(House { server, peer, judges, viewers, everywhere: None })
    }

    fn open_scorecast(&self, peer: Peer, folder: &Path, log: &Path, scale: Scale) -> anyhow::Result<House> {
        let ours = scorecast::start(&self.scorecast, folder, log, scale)?;
        let caller =
            |token: &String, submits: bool| Caller { token: token.clone(), path: peer.path().to_owned(), submits };
        let judges = if scale.desks > 0 { &ours.desks } else { &ours.judges };
        let (judges, viewers) = if peer == Peer::Scorecast {
            (
                judges.iter().map(|token| caller(token, true)).collect(),
                ours.viewers.iter().map(|token| caller(token, false)).collect(),
            )
        } else {
            let driver = Caller { token: ours.key, path: "/api/v1/ingest/results".to_owned(), submits: true };
            (vec![driver], vec![Caller { token: String::new(), path: peer.path().to_owned(), submits: false }])
        };
        let everywhere = ours.everywhere.as_ref().map(|token| caller(token, false));
        Ok(House { server: ours.server, peer, judges, viewers, everywhere })
    }

    fn command(&self, peer: Peer, port: u16, folder: &Path) -> anyhow::Result<(PathBuf, Vec<String>)> {
        let port_text = port.to_string();
        Ok(match peer {
            Peer::Scorecast | Peer::ScorecastFeed => bail!("Scorecast is started otherwise"),
            Peer::Node => ("node".into(), vec!["socketio.mjs".to_owned(), port_text]),
            Peer::Bun => (bun(&self.installed.join("bun"))?, vec!["socketio.mjs".to_owned(), port_text]),
            Peer::Founding => (
                "node".into(),
                vec!["founding.mjs".to_owned(), port_text, folder.join("founding.db").display().to_string()],
            ),
            Peer::Python => {
                let script = self.sources.join("python/server.py").display().to_string();
                (self.installed.join("python/bin/python"), vec![script, port_text])
            }
            Peer::Nats => {
                let file = folder.join("nats.conf");
                let plain = free_port()?;
                let conf = format!(
                    "listen: \"127.0.0.1:{plain}\"\nping_interval: \"10m\"\nauthorization {{ token: \"{SECRET}\" }}\n\
                     max_connections: 100000\n\
                     websocket {{ listen: \"127.0.0.1:{port}\", no_tls: true, compression: false }}\n"
                );
                std::fs::write(&file, conf)?;
                ("nats-server".into(), vec!["-c".to_owned(), file.display().to_string()])
            }
            Peer::Mosquitto => {
                let (file, passwords) = (folder.join("mosquitto.conf"), folder.join("passwords"));
                output(Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&passwords).args(["viewer", SECRET]))?;
                // This version refuses to run without a listener for plain MQTT.
                let plain = free_port()?;
                let conf = format!(
                    "user root\nlistener {plain} 127.0.0.1\nlistener {port} 127.0.0.1\nsocket_domain ipv4\n\
                     protocol websockets\nallow_anonymous false\npassword_file {}\npersistence false\nset_tcp_nodelay true\nmax_queued_messages 0\nlog_type error\n",
                    passwords.display()
                );
                std::fs::write(&file, conf)?;
                ("mosquitto".into(), vec!["-c".to_owned(), file.display().to_string()])
            }
            Peer::Oxide | Peer::Axum | Peer::Hub | Peer::HubTogether | Peer::HubDurable => {
                (servers()?, vec![peer.key().to_owned(), port_text])
            }
        })
    }
}

/// The servers written in Rust, beside this program.
fn servers() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("scorecast-bench-servers"))
}

/// The one of bun's builds that runs here; its own installer is not run.
fn bun(folder: &Path) -> anyhow::Result<PathBuf> {
    let builds = std::fs::read_dir(folder.join("node_modules/@oven")).context("npm brought no build of bun")?;
    let mut found: Vec<PathBuf> =
        builds.flatten().map(|build| build.path().join("bin/bun")).filter(|bun| bun.exists()).collect();
    found.sort(); // without "-baseline" first
    found.into_iter().next().context("npm brought no build of bun for this machine")
}

fn package_version(folder: &Path, package: &str) -> String {
    let text =
        std::fs::read_to_string(folder.join("node_modules").join(package).join("package.json")).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    value["version"].as_str().unwrap_or("?").to_owned()
}

/// Makes Prisma's client, which needs no engine of its own any more, and the faster of its two drivers, if it can be compiled.
fn prisma(folder: &Path) -> anyhow::Result<&'static str> {
    let made = folder.join("node_modules/.prisma/client/schema.prisma");
    if !made.exists() {
        let mut generate = Command::new("node");
        generate.args(["node_modules/prisma/build/index.js", "generate"]).current_dir(folder);
        // The schema engine is for migrations; without this Prisma would fetch it first.
        generate.env("PRISMA_SCHEMA_ENGINE_BINARY", "/bin/true").env("CHECKPOINT_DISABLE", "1");
        output(&mut generate).context("prisma generate failed")?;
        let mut compile = bounded("npm");
        compile.args(["rebuild", "better-sqlite3"]).current_dir(folder);
        if let Err(failed) = output(&mut compile) {
            eprintln!("better-sqlite3 is not to be had here ({failed}); libsql instead");
        }
    }
    let addon = folder.join("node_modules/better-sqlite3/build/Release/better_sqlite3.node");
    Ok(if addon.exists() { "better-sqlite3" } else { "libsql" })
}
