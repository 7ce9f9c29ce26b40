//! The demo: a real competition in a database of its own, with most of its marks given and a few left to give.

use crate::auth::actor::Actor;
use crate::cli::{lock_and_migrate, with_app};
use crate::clock::Chance;
use crate::config::Config;
use crate::scores::SubmitScore;
use crate::setup::import;
use crate::transport::rest::setup::hashed;
use crate::transport::serve::Server;
use anyhow::Context;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where a demo keeps its secret, beside its database.
pub const SECRET_FILE: &str = "jwt-secret";
/// The password of everybody in the demo.
const PASSWORD: &str = "gpf2017-demo";
const EVENT: &str = include_str!("../tests/data/gpf2017/event.json");
const TROTS: &str = include_str!("../tests/data/demo-trots.json");
const MARKS: &str = include_str!("../tests/data/gpf2017/marks.ndjson");
/// While the demo is made, its judges are in more of a hurry than they may be later.
const SEEDING_MARKS_PER_MINUTE: u32 = 10_000;

/// A mark as it was really given.
#[derive(Deserialize)]
struct Given {
    judge: String,
    #[serde(flatten)]
    mark: SubmitScore,
}

/// Makes the demo's database, unless it is there already, and says how to serve it.
///
/// # Errors
/// When the folder or the database cannot be made.
pub async fn prepare(config: Config, folder: &Path) -> anyhow::Result<Config> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let database = folder.join("scorecast.db");
    let config = Config {
        database_url: format!("sqlite://{}?mode=rwc", database.display()),
        jwt_secret: secret(&folder.join(SECRET_FILE))?,
        simulate: true,
        ..config
    };
    let seeding = Config { rate_limit_scores_per_minute: SEEDING_MARKS_PER_MINUTE, ..config.clone() };
    let _lock = lock_and_migrate(&seeding).await?;
    with_app(seeding, async |app| {
        if !app.state().events.is_empty() {
            return Ok(());
        }
        println!("Making the demo from the Grand Prix Final 2017 …");
        for source in [EVENT, TROTS] {
            let document = hashed(app, import::read(source)?).await?;
            app.carry_out(Actor::Operator, document.into(), None, &Value::Null).await?;
        }
        let marks: Vec<Given> = MARKS
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .context("cannot read the demo's marks")?;
        let left = left_to_give(app);
        let mut sessions = BTreeMap::new();
        for judge in marks.iter().map(|given| &given.judge).collect::<BTreeSet<_>>() {
            let token = crate::cli::access_token(app, judge).await?;
            sessions.insert(judge.clone(), app.tokens.admit(&token, &app.state(), app.clock.now())?.0);
        }
        let given = marks
            .into_iter()
            .filter(|given| {
                left.get(given.mark.category_id.as_str()) != Some(&given.mark.contestant_id.as_str().to_owned())
            })
            .map(|given| {
                let judge = sessions.get(&given.judge).cloned().context("a mark of an unknown judge");
                async { anyhow::Ok(app.carry_out(judge?, given.mark.into(), None, &Value::Null).await?) }
            });
        try_join_all(given).await?;
        Ok(())
    })
    .await?;
    Ok(config)
}

/// The last starter of each category is left unmarked, so that there is something to do.
fn left_to_give(app: &crate::app::App) -> BTreeMap<String, String> {
    let last = |category: &crate::state::Category| {
        category.entries.values().max_by_key(|entry| entry.start_order).map(|entry| entry.contestant_id.to_string())
    };
    app.state()
        .categories
        .values()
        .filter_map(|category| last(category).map(|contestant| (category.row.id.to_string(), contestant)))
        .collect()
}

fn secret(path: &Path) -> anyhow::Result<String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Ok(kept) = std::fs::read_to_string(path) {
        return Ok(kept.trim().to_owned());
    }
    let made = hex::encode(Chance::from_system().bytes::<32>());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot keep a secret in {}", path.display()))?;
    writeln!(file, "{made}")?;
    Ok(made)
}

/// Tells how to look around.
pub fn welcome(server: &Server) {
    let address = server.address;
    println!(
        "
A real competition is loaded: Grand Prix Final 2017, 16 categories, 72 judges.
The last starter of each category is not marked yet.

  admin        admin@gpf2017.example
  organizer    organizer@gpf2017.example
  tally master tally@gpf2017.example
  auditor      auditor@gpf2017.example
  board        board@gpf2017.example
  a judge      j1.ice-dance@gpf2017.example   (j1 to j9, and so for each discipline)
  password     {PASSWORD}   (everybody's)

  Interface    http://{address}/api-docs
  Try          curl -s http://{address}/api/v1/auth/login -H 'content-type: application/json' \\
                 -d '{{\"email\":\"tally@gpf2017.example\",\"password\":\"{PASSWORD}\"}}'
  Watch        ws://{address}/ws/races/1   (a made-up race, simulated while somebody watches)
               http://{address}/api/v1/events

Stop with Ctrl-C."
    );
}
