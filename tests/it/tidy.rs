//! What machines can check of the house's order.

use crate::golden::assert_kept;
use clap::Args;
use scorecast::config::Config;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn all_sources() -> BTreeMap<String, String> {
    let mut paths = Vec::new();
    let bench = ["bench/src", "bench/servers/src", "bench/micro/src"];
    for folder in ["src", "migration/src", "volley/src", "tests/it", "tests/chaos"].into_iter().chain(bench) {
        sources(&root().join(folder), &mut paths);
    }
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a source is text");
            (path.strip_prefix(root()).expect("below the root").display().to_string(), text)
        })
        .collect()
}

/// Which parts of the program a part may not name: the direction is main → app → transport → features → command, auth,
/// state, events, db.
const FORBIDDEN: [(&str, &[&str]); 15] = [
    (
        "src/cassettes",
        &["certification", "notices", "publications", "scores", "setup", "tally", "transport", "app", "cli", "demo"],
    ),
    ("src/scores", &["certification", "notices", "publications", "setup", "tally", "transport", "app", "cli", "demo"]),
    ("src/setup", &["certification", "notices", "publications", "scores", "tally", "transport", "app", "cli", "demo"]),
    ("src/tally", &["certification", "notices", "publications", "scores", "setup", "transport", "app", "cli", "demo"]),
    // A certification signs a tally of marks: it builds on both, and neither knows of it.
    ("src/certification", &["notices", "publications", "setup", "transport", "app", "cli", "demo"]),
    // A publication shows what was certified: marks, tally and certification do not know of it.
    ("src/publications", &["notices", "setup", "transport", "app", "cli", "demo"]),
    (
        "src/evidence",
        &["certification", "notices", "publications", "scores", "setup", "transport", "app", "cli", "demo"],
    ),
    ("src/notices", &["certification", "publications", "scores", "setup", "tally", "transport", "app", "cli", "demo"]),
    (
        "src/races",
        &["certification", "notices", "publications", "scores", "setup", "tally", "transport", "app", "cli", "demo"],
    ),
    ("src/ranking", &["scores", "setup", "tally", "transport", "app", "cli", "demo", "db", "events", "state", "auth"]),
    ("src/events", &["scores", "setup", "tally", "transport", "app", "cli", "demo", "writer", "commands"]),
    ("src/db", &["scores", "setup", "tally", "transport", "app", "cli", "demo", "writer", "commands", "state"]),
    ("src/state", &["scores", "setup", "tally", "transport", "app", "cli", "demo", "writer", "commands"]),
    ("src/auth", &["scores", "setup", "tally", "transport", "app", "cli", "demo", "writer", "commands"]),
    ("src/transport", &["cli", "demo", "writer"]),
];

#[test]
fn features_meet_in_the_log_and_nowhere_else() {
    let mut wrong = Vec::new();
    for (path, text) in all_sources() {
        for (folder, forbidden) in FORBIDDEN {
            if !path.starts_with(folder) {
                continue;
            }
            for part in forbidden {
                if text.contains(&format!("crate::{part}::")) || text.contains(&format!("use crate::{part};")) {
                    wrong.push(format!("{path} names {part}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> =
        all_sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn the_example_settings_are_the_settings() {
    let example = std::fs::read_to_string(root().join(".env.example")).expect("there is an example");
    let shown: BTreeMap<&str, &str> =
        example.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect();
    let command = Config::augment_args(clap::Command::new("scorecast"));
    let settings: BTreeMap<String, String> = command
        .get_arguments()
        .filter_map(|argument| {
            let name = argument.get_env()?.to_str()?.to_owned();
            let defaults: Vec<String> =
                argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
            Some((name, defaults.join(",")))
        })
        .collect();
    assert_eq!(shown.keys().copied().collect::<BTreeSet<_>>(), settings.keys().map(String::as_str).collect());
    for (name, default) in &settings {
        // The secret has no default; the example shows one that is refused.
        let expected = if name == "JWT_SECRET" { scorecast::auth::token::EXAMPLE_SECRET } else { default };
        assert_eq!(shown[name.as_str()], expected, "{name}");
    }
}

#[test]
fn the_page_of_events_is_what_the_code_does() {
    let page = scorecast::transport::catalog::markdown().expect("the page can be made");
    assert_kept("docs/events.md", &page);
}

#[test]
fn only_the_dispatcher_and_the_live_plane_send() {
    let with = |words: &[&str]| -> Vec<String> {
        let sources = all_sources().into_iter();
        let found = sources.filter(|(path, text)| {
            path.starts_with("src/") && !path.starts_with("src/wire/") && words.iter().any(|word| text.contains(word))
        });
        found.map(|(path, _)| path).collect()
    };
    assert_eq!(with(&[".emit(", ".emit_with_ack(", "Frame::event(", "Frame::answer("]), ["src/events/listener.rs"]);
    assert_eq!(with(&["flusher"]), ["src/events/dispatcher.rs", "src/events/listener.rs", "src/events/live.rs"]);
    assert_eq!(with(&["Listener::new("]), ["src/transport/socket.rs"]);
}

#[test]
fn nothing_is_left_to_do_and_no_input_is_unwrapped() {
    let mut wrong = Vec::new();
    for (path, text) in all_sources().into_iter().filter(|(path, _)| path.starts_with("src/")) {
        for word in
            [concat!("todo", "!("), concat!("unimplemented", "!("), concat!(".unwrap", "()"), concat!("dbg", "!(")]
        {
            if text.contains(word) {
                wrong.push(format!("{path} has {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
