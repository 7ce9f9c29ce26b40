//! A server as a process of its own, pinned to one core: started, asked what it costs, ended.

use anyhow::{Context, bail, ensure};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where servers run, and where the load comes from.
pub const SERVER_CORE: &str = "0";
/// The core of the load generator.
pub const LOAD_CORE: &str = "1";
/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(30);
/// How long it may take to end by itself.
const END_MAX: Duration = Duration::from_secs(5);
/// Ticks of `/proc/<pid>/stat` in a second, on every Linux there is.
const TICKS: f64 = 100.0;

/// A running server. Dropping it ends it.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// When it was started.
    pub began: Instant,
}

/// Seconds of processor time.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// In all.
    pub total: f64,
    /// Of these, in the kernel.
    pub kernel: f64,
}

/// What to run: a program with its arguments, settings and working folder.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its settings, besides this process's own.
    pub settings: Vec<(String, String)>,
    /// Where it runs.
    pub folder: &'a Path,
    /// Where its output goes.
    pub log: &'a Path,
    /// Where it will listen.
    pub port: u16,
}

impl Server {
    /// Starts it on its core and waits until it listens.
    ///
    /// # Errors
    /// When it ends, or does not listen in time.
    pub fn start(launch: &Launch<'_>) -> anyhow::Result<Self> {
        let log = File::create(launch.log).with_context(|| format!("no log at {}", launch.log.display()))?;
        // It ends with this process, however that ends.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "taskset", "-c", SERVER_CORE])
            .arg(launch.program)
            .args(&launch.arguments)
            .current_dir(launch.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.envs(launch.settings.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().context("setpriv is missing (util-linux)")?;
        let address = SocketAddr::from(([127, 0, 0, 1], launch.port));
        let mut server = Self { child, address, began: Instant::now() };
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                let said = std::fs::read_to_string(launch.log).unwrap_or_default();
                bail!("it ended at once ({status}): {}", said.trim().lines().last().unwrap_or("without a word"));
            }
            ensure!(server.began.elapsed() < START_MAX, "it did not listen within {START_MAX:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(200));
        Ok(server)
    }

    /// Seconds of processor time it has used, all threads together.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        Ok(self.cpu()?.total)
    }

    /// The same, and how much of it was the kernel's.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).context("the server has ended")?;
        // Behind the name, which may hold anything: state, then numbers; the 12th and 13th are user and system time.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("no such field");
        let kernel = ticks(12)? / TICKS;
        Ok(Cpu { total: ticks(11)? / TICKS + kernel, kernel })
    }

    /// What Scorecast says of itself under a name at `/metrics`.
    ///
    /// # Errors
    /// When it does not answer, or knows no such number.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut line = TcpStream::connect(self.address)?;
        line.set_read_timeout(Some(START_MAX))?;
        line.write_all(
            format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).as_bytes(),
        )?;
        let mut answer = String::new();
        line.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "/metrics: {}", answer.lines().next().unwrap_or("no answer"));
        let found = answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        found.with_context(|| format!("/metrics says nothing of {name}"))
    }

    /// Bytes it has given to disks to be written.
    ///
    /// # Errors
    /// When it has ended.
    pub fn written_bytes(&self) -> anyhow::Result<f64> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.child.id())).context("it has ended")?;
        let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes:")).context("no write_bytes")?;
        Ok(bytes.trim().parse()?)
    }

    /// Bytes of memory it holds.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory_bytes(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).context("it has ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Asked first, so that databases are closed; by its id, and nobody else's.
        let _asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let asked_at = Instant::now();
        while asked_at.elapsed() < END_MAX {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Segments of TCP this machine has sent with something in them. Over loopback a write is one.
///
/// # Errors
/// When the system does not tell.
pub fn segments() -> anyhow::Result<f64> {
    let counts = std::fs::read_to_string("/proc/net/netstat").context("no /proc/net/netstat")?;
    let mut lines = counts.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = lines.next().zip(lines.next()).context("no TcpExt")?;
    let named = |(name, _): &(&str, &str)| *name == "TCPOrigDataSent";
    let (_, count) = names.split(' ').zip(values.split(' ')).find(named).context("no TCPOrigDataSent")?;
    Ok(count.parse()?)
}

/// A port nobody listens on, below those the system gives to clients.
///
/// # Errors
/// When all are taken.
pub fn free_port() -> anyhow::Result<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(23_100);
    for _ in 0..1000 {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// Pins this process, all of its threads to come.
///
/// # Errors
/// When `taskset` is missing or refuses.
pub fn pin_self() -> anyhow::Result<()> {
    let id = std::process::id().to_string();
    let done = Command::new("taskset").args(["-p", "-c", LOAD_CORE, &id]).stdout(Stdio::null()).status();
    ensure!(done.context("taskset is missing (util-linux)")?.success(), "taskset cannot pin: are there two cores?");
    Ok(())
}

/// Longest a program may run that is waited for: an installation without a network, say.
const RUN_SECONDS_MAX: &str = "600";

/// A program that is ended when it takes too long.
pub fn bounded(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args([RUN_SECONDS_MAX, program]);
    command
}

/// Runs a program to its end and gives what it printed.
///
/// # Errors
/// When it fails; with the last of what it said.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{name} cannot be run"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{name}: {}", said.trim().lines().last().unwrap_or("failed"));
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
