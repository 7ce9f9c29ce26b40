//! Scorecast, set up as an operator does it: an import document, tokens and a key from its own command line, settings from
//! the environment. Nothing of its inside is known here.

use crate::process::{Launch, Server, free_port, output};
use crate::token::SECRET;
use anyhow::Context;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Judges whose marks count, and who submit.
pub const JUDGES: usize = 8;
/// Judges who only watch: shadow judges, who see that a mark was given and not which.
pub const SHADOWS: usize = 20;
/// The office: an organiser and a tally master, who see every mark in full and the tally besides.
pub const OFFICE: [(&str, &str); 2] = [("organizer", "ORGANIZER"), ("tally", "TALLY_MASTER")];

/// A running Scorecast and who may sign in.
pub struct Scorecast {
    /// Its process.
    pub server: Server,
    /// Tokens of the judges who submit.
    pub judges: Vec<String>,
    /// Tokens of judges with a category of their own each.
    pub desks: Vec<String>,
    /// Token of the one who judges everywhere, where there are other categories.
    pub everywhere: Option<String>,
    /// Tokens of those who watch: the office first, then shadow judges.
    pub viewers: Vec<String>,
    /// The key of the timing software.
    pub key: String,
}

/// What is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scale {
    /// Categories of the event besides the one everybody is in, with judges of their own; one more user judges all of them.
    pub other_categories: usize,
    /// Judges with a category of their own each.
    pub desks: usize,
}

fn email(name: &str) -> String {
    format!("{name}@bench.example")
}

fn desk(number: usize) -> String {
    format!("desk{number}")
}

fn names() -> Vec<(String, &'static str)> {
    let judges = (0..JUDGES).map(|number| (format!("judge{number}"), "JUDGE"));
    let shadows = (0..SHADOWS).map(|number| (format!("shadow{number}"), "JUDGE"));
    judges.chain(shadows).chain(OFFICE.map(|(name, role)| (name.to_owned(), role))).collect()
}

/// Judges of the other categories, eight in each.
const ELSEWHERE: usize = 40;
/// The one who judges all of them.
const EVERYWHERE: &str = "everywhere";

/// Who judges one of the other categories.
fn panel(category: usize) -> Vec<Value> {
    let judges = (0..8).map(|seat| format!("elsewhere{}", (category * 8 + seat) % ELSEWHERE));
    let hat = |name: &str, counts: bool| json!({"email": email(name), "hat": "JUDGE", "counts": counts});
    judges.map(|name| hat(&name, true)).chain([hat(EVERYWHERE, false)]).collect()
}

/// One event: a gala with a final everybody is in, and a race of 64 boats.
fn document(scale: Scale) -> Value {
    let user = |name: &str, role: &str| json!({"email": email(name), "name": name, "role": role});
    let mut users: Vec<Value> = names().iter().map(|(name, role)| user(name, role)).collect();
    users.extend((0..scale.desks).map(|number| user(&desk(number), "JUDGE")));
    if scale.other_categories > 0 {
        users.extend((0..ELSEWHERE).map(|number| user(&format!("elsewhere{number}"), "JUDGE")));
        users.push(user(EVERYWHERE, "JUDGE"));
    }
    let contestants: Vec<Value> =
        (0..64).map(|number| json!({"id": format!("k{number:04}"), "name": format!("Contestant {number}")})).collect();
    let entries: Vec<Value> = (0..64).map(|number| json!({"contestantId": format!("k{number:04}")})).collect();
    let criteria = json!([{"id": "form", "name": "Form", "min": 0, "max": 10, "step": 0.01, "weight": 1}]);
    let hats = |counting: bool| {
        names().into_iter().filter_map(move |(name, _)| {
            let hat = if name == "tally" { "TALLY_MASTER" } else { "JUDGE" };
            let counts = counting && name.starts_with("judge");
            (name != "organizer").then(|| match hat {
                "JUDGE" => json!({"email": email(&name), "hat": hat, "counts": counts}),
                _ => json!({"email": email(&name), "hat": hat}),
            })
        })
    };
    let category = |id: &str, assignments: Vec<Value>| {
        json!({"id": id, "name": id, "rules": {"method": "mean"}, "criteria": criteria, "entries": entries,
               "assignments": assignments})
    };
    let mut categories = vec![category("final", hats(true).collect())];
    categories.extend((0..scale.other_categories).map(|number| category(&format!("heat{number}"), panel(number))));
    categories.extend((0..scale.desks).map(desk).map(|name| {
        let hat = json!({"email": email(&name), "hat": "JUDGE"});
        category(&name, vec![hat])
    }));
    let boats: Vec<Value> = (1..=64)
        .map(|number| json!({"id": format!("p{number}"), "bib": number, "name": format!("BOAT {number}"), "startOrder": number}))
        .collect();
    json!({
        "event": {"id": "cup", "mainTitle": "The Cup", "status": "running"},
        "users": users,
        "contestants": contestants,
        "contests": [{"id": "gala", "name": "Gala", "categories": categories}],
        "races": [{"id": "r1", "raceType": "final", "name": "Final", "raceOrder": 1, "participants": boats}],
    })
}

fn settings(folder: &Path, port: u16) -> Vec<(String, String)> {
    let database = format!("sqlite://{}?mode=rwc", folder.join("scorecast.db").display());
    let cassettes = folder.join("cassettes").display().to_string();
    let bind = format!("127.0.0.1:{port}");
    let many = "100000000";
    [
        ("DATABASE_URL", &*database),
        ("BIND", &bind),
        ("JWT_SECRET", SECRET),
        ("CASSETTES", &cassettes),
        ("LOG_LEVEL", "warn"),
        ("CONNECTIONS_MAX", "100000"),
        ("CONNECTIONS_PER_ADDRESS_MAX", "100000"),
        ("SOCKETS_PER_USER_MAX", "100000"),
        ("LIVE_MAX_PER_EVENT", "100000"),
        // Of those who drive the feed most have nothing to ask for while five keep a pace.
        ("HEADER_TIMEOUT_MS", "600000"),
        ("RATE_LIMIT_SCORES_PER_MINUTE", many),
        ("RATE_LIMIT_COMMANDS_PER_MINUTE", many),
        ("RATE_LIMIT_HANDSHAKES_PER_MINUTE", many),
        ("RATE_LIMIT_PUBLIC_READS_PER_MINUTE", many),
        ("RATE_LIMIT_INGEST_PER_MINUTE", many),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Sets a new database up and serves it.
///
/// # Errors
/// When the document is refused, or the server does not start.
pub fn start(binary: &Path, folder: &Path, log: &Path, scale: Scale) -> anyhow::Result<Scorecast> {
    let port = free_port()?;
    let settings = settings(folder, port);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary);
        command.args(arguments).current_dir(folder).envs(settings.iter().map(|(name, value)| (name, value)));
        output(&mut command)
    };
    let file = folder.join("cup.json");
    std::fs::write(&file, document(scale).to_string())?;
    run(&["import", &file.display().to_string()]).context("the set-up was refused")?;
    let key = run(&["api-key", "cup"])?;
    let token = |name: &str| run(&["token", &email(name)]);
    let judges = (0..JUDGES).map(|number| token(&format!("judge{number}"))).collect::<Result<_, _>>()?;
    let desks = (0..scale.desks).map(|number| token(&desk(number))).collect::<Result<_, _>>()?;
    let everywhere = (scale.other_categories > 0).then(|| token(EVERYWHERE)).transpose()?;
    let shadows = (0..SHADOWS).map(|number| format!("shadow{number}"));
    let watching: Vec<String> = OFFICE.iter().map(|(name, _)| (*name).to_owned()).chain(shadows).collect();
    let viewers = watching.iter().map(|name| token(name)).collect::<Result<_, _>>()?;
    let arguments = vec!["serve".to_owned()];
    let server = Server::start(&Launch { program: binary, arguments, settings: settings.clone(), folder, log, port })?;
    Ok(Scorecast { server, judges, desks, everywhere, viewers, key })
}

/// Where its program lies: `SCORECAST_BIN`, else beside this one.
///
/// # Errors
/// When it was not built.
pub fn binary(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("scorecast"),
    };
    anyhow::ensure!(path.exists(), "{} is not there; build it: cargo build --release", path.display());
    // It is started in a folder of its own.
    Ok(path.canonicalize()?)
}
