//! The real program as a process of its own: for what only a process can show, such as being killed.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_scorecast");

/// How the program is run on one database.
#[derive(Clone, Debug)]
pub struct ServerProcess {
    pub database_url: String,
    /// A fault that is put back while it serves.
    pub trap: Option<&'static str>,
}

/// A server that is running.
#[derive(Debug)]
pub struct RunningProcess {
    pub address: SocketAddr,
    child: Child,
}

impl ServerProcess {
    /// A database of its own in `folder`.
    pub fn settings(folder: &Path) -> Self {
        Self { database_url: format!("sqlite://{}?mode=rwc", folder.join("process.db").display()), trap: None }
    }

    /// The program with these settings and none of the machine's.
    pub fn command(&self) -> Command {
        self.with_settings(Command::new(PROGRAM))
    }

    /// The same, where so many files may be open, and as many as `most` if it asks.
    pub fn command_within(&self, files: u64, most: u64) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("ulimit -S -n {files}; ulimit -H -n {most}; exec \"$0\" \"$@\""), PROGRAM]);
        self.with_settings(shell)
    }

    fn with_settings(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("DATABASE_URL", &self.database_url)
            .env("JWT_SECRET", "process-0123456789abcdef0123456789abcdef")
            .env("BIND", "127.0.0.1:0")
            .env("LOG_LEVEL", "warn")
            .env("RATE_LIMIT_SCORES_PER_MINUTE", "1000000")
            .env("RATE_LIMIT_LISTS_PER_MINUTE", "1000000")
            .env("RESUME_MAX_FACTS", "10000000")
            .current_dir(std::env::temp_dir());
        command
    }

    /// Imports a document.
    pub fn import(&self, document: &Value) {
        let mut child = self
            .command()
            .args(["import", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut input = child.stdin.take().expect("a pipe was asked for");
        input.write_all(document.to_string().as_bytes()).expect("the program reads");
        drop(input);
        assert!(child.wait().expect("the program ends").success(), "the document is taken");
    }

    /// An access token of a user.
    pub fn token(&self, email: &str) -> String {
        let output = self.command().args(["token", email]).output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
    }

    /// Starts to serve, and waits until it listens.
    pub fn start(&self) -> RunningProcess {
        self.start_as(&mut self.command())
    }

    /// The same with other settings.
    pub fn start_as(&self, command: &mut Command) -> RunningProcess {
        command.envs(self.trap.map(|trap| ("SCORECAST_TRAP", trap)));
        let mut child = command.arg("serve").stdout(Stdio::piped()).spawn().expect("the program runs");
        let output = child.stdout.take().expect("a pipe was asked for");
        let line = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Scorecast listens on http://").map(str::to_owned))
            .expect("the server says where it listens");
        RunningProcess { address: line.parse().expect("an address"), child }
    }
}

impl RunningProcess {
    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without warning (`SIGKILL`).
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end (`SIGTERM`); it must end well.
    pub fn stop(self) {
        let status = self.terminate(Duration::from_mins(1)).expect("it ends");
        assert!(status.success(), "the server ends with {status}");
    }

    /// Asks it to end (`SIGTERM`), and says how it did; none when it did not in time.
    pub fn terminate(mut self, limit: Duration) -> Option<ExitStatus> {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(asked.success(), "the server was still running");
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        // After `stop` or `kill` there is nothing left to end.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// `scorecast verify`, with a pinned key and no database.
pub fn verify_offline(bundle: &[u8], key: &str) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("evidence.zip"), bundle).expect("the bundle is written");
    verify_in(folder.path(), None, &["--key", key])
}

/// `scorecast verify evidence.zip …` in a folder, with the settings of a database or without any.
pub fn verify_in(folder: &Path, database_url: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.env_clear().args(["verify", "evidence.zip"]).args(arguments).current_dir(folder);
    if let Some(url) = database_url {
        command.env("DATABASE_URL", url);
    }
    command.output().expect("the program runs")
}
