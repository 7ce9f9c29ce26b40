//! The checker: what viewers got, judged against the log. It knows nothing of who did what when, and chooses nobody's
//! variant by the code of the server: who sees what of a mark stands here a second time, written from the contract.
//!
//! What must hold for every viewer: each lane that is theirs in the end has no gap from the first head they were told, and
//! ends where the log ends; no lane has anything twice, or a live fact that does not follow the one before; each frame
//! says what the log says, in the variant of the rights they had. A live frame comes by the rights of its place in the log
//! or of a later one, never of an earlier one.

use crate::support::client::Frame;
use scorecast::db::entity::{category, contest, lane, log_entry, log_head, log_text, user};
use scorecast::events::log::{GENESIS, LaneHead, LogEntry};
use sea_orm::{DatabaseConnection, EntityTrait, QueryOrder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

/// Faults that are kept word for word.
const FAULTS_MAX: usize = 100;

/// What a viewer got, connection by connection.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    pub user: String,
    pub connections: Vec<Connection>,
    /// Stayed to the end, and was given the time to have everything.
    pub stayed: bool,
}

/// What came over one connection, in its order.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The session it was opened by.
    pub session: String,
    pub frames: Vec<Frame>,
    /// What the viewer has let go of again, because something was missing before it, in order.
    pub let_go: Vec<LetGo>,
}

/// A fact that a viewer let go of before a frame of the connection was read; it has to be told again.
#[derive(Clone, Debug)]
pub struct LetGo {
    pub before: usize,
    pub lane: String,
    pub seq: i64,
}

/// A promise to an author: the answer to a command.
#[derive(Clone, Debug)]
pub struct Promise {
    pub lane: String,
    pub seq: i64,
    pub hash: String,
    pub command_id: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub deliveries: u64,
    pub replayed: u64,
    pub gaps: u64,
    pub duplicates: u64,
    pub lost: u64,
    pub faults: Vec<String>,
}

impl Findings {
    pub fn fault(&mut self, fault: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault.into());
        }
    }

    pub fn add(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.replayed += other.replayed;
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.lost += other.lost;
        other.faults.into_iter().for_each(|fault| self.fault(fault));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deliveries, replayed, gaps, duplicates, lost, faults } = self;
        write!(f, "{deliveries} deliveries ({replayed} again), {gaps} gaps, {duplicates} duplicates, ")?;
        write!(f, "{lost} lost acknowledgements, {} faults", faults.len())
    }
}

/// A hat somebody wears or wore.
#[derive(Clone, Debug)]
struct Hat {
    name: String,
    event: String,
    contest: Option<String>,
    category: Option<String>,
}

impl Hat {
    fn read(fact: &Value) -> Self {
        let text = |field: &str| fact[field].as_str().map(str::to_owned);
        Self {
            name: text("hat").unwrap_or_default(),
            event: text("event_id").unwrap_or_default(),
            contest: text("contest_id"),
            category: text("category_id"),
        }
    }

    fn covers(&self, category: &str, place: &(String, String)) -> bool {
        self.event == place.1
            && self.contest.as_ref().is_none_or(|contest| *contest == place.0)
            && self.category.as_ref().is_none_or(|id| id == category)
    }

    fn judges(&self) -> bool {
        self.name == "JUDGE" || self.name == "HEAD_JUDGE"
    }

    fn reads_marks(&self) -> bool {
        ["TALLY_MASTER", "AUDITOR", "BOARD"].contains(&self.name.as_str())
    }
}

/// A user, as the log tells of them.
#[derive(Debug, Default)]
struct Life {
    role: String,
    /// Hats by assignment, from when they were given.
    hats: BTreeMap<String, (i64, Hat)>,
    /// The hats worn from each place of the log on.
    worn: Vec<(i64, BTreeSet<String>)>,
    /// When sessions were opened, by session.
    opened: HashMap<String, i64>,
    /// Sessions that were ended alone.
    ended: HashMap<String, i64>,
    /// Where all sessions of the user ended.
    revoked: Vec<i64>,
}

impl Life {
    /// The last place of the log at which exactly these hats were worn; none if they never were.
    fn last_worn(&self, hats: &BTreeSet<String>) -> Option<i64> {
        let until = |at: usize| self.worn.get(at + 1).map_or(i64::MAX, |(next, _)| next - 1);
        let last = self.worn.iter().enumerate().rev().find(|(_, (_, worn))| worn == hats);
        last.map(|(at, _)| until(at)).or((hats.is_empty() && self.worn.is_empty()).then_some(i64::MAX))
    }

    /// The fact that ended a session, if one did.
    fn end_of(&self, session: &str) -> Option<i64> {
        let opened = self.opened.get(session).copied().unwrap_or(0);
        let revoked = self.revoked.iter().copied().find(|seq| *seq > opened);
        [revoked, self.ended.get(session).copied()].into_iter().flatten().min()
    }
}

/// The log, and what follows from it.
#[derive(Debug)]
pub struct Log {
    entries: Vec<(log_entry::Model, Value)>,
    by_lane: HashMap<String, BTreeMap<i64, usize>>,
    comments: HashMap<i64, String>,
    lives: HashMap<String, Life>,
    /// Contest and event of each category.
    places: HashMap<String, (String, String)>,
    broken: Vec<String>,
}

/// What somebody is shown of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    Panel,
    Office,
    Guest,
    Stranger,
}

impl Log {
    /// Reads the log of a database, and checks that it is one unbroken chain with dense lanes.
    pub async fn read(db: &DatabaseConnection) -> Self {
        let rows = log_entry::Entity::find().order_by_asc(log_entry::Column::Seq).all(db).await.expect("a log");
        let mut log = Self {
            entries: Vec::with_capacity(rows.len()),
            by_lane: HashMap::new(),
            comments: HashMap::new(),
            lives: HashMap::new(),
            places: HashMap::new(),
            broken: broken(db, &rows).await,
        };
        for text in log_text::Entity::find().all(db).await.expect("texts") {
            if text.field == "comment" {
                log.comments.insert(text.seq, text.body);
            }
        }
        let contests = contest::Entity::find().all(db).await.expect("contests");
        for row in category::Entity::find().all(db).await.expect("categories") {
            let event = contests.iter().find(|contest| contest.id == row.contest_id).expect("its contest");
            log.places.insert(row.id.to_string(), (row.contest_id.to_string(), event.event_id.to_string()));
        }
        for row in user::Entity::find().all(db).await.expect("users") {
            row.role.as_str().clone_into(&mut log.lives.entry(row.id.to_string()).or_default().role);
        }
        for row in rows {
            let fact: Value = serde_json::from_str(&row.fact).expect("a fact is JSON");
            log.live(&row, &fact);
            log.by_lane.entry(row.lane.clone()).or_default().insert(row.lane_seq, log.entries.len());
            log.entries.push((row, fact));
        }
        log
    }

    fn live(&mut self, row: &log_entry::Model, fact: &Value) {
        let text = |field: &str| fact[field].as_str().unwrap_or_default().to_owned();
        let given = row.kind == "assignment_new";
        match row.kind.as_str() {
            "assignment_new" | "assignment_removed" => {
                let life = self.lives.entry(text("judge_id")).or_default();
                let mut worn = life.worn.last().map(|(_, worn)| worn.clone()).unwrap_or_default();
                if life.worn.is_empty() {
                    life.worn.push((0, BTreeSet::new()));
                }
                if given {
                    worn.insert(text("id"));
                    life.hats.entry(text("id")).or_insert_with(|| (row.seq, Hat::read(fact)));
                } else {
                    worn.remove(&text("id"));
                }
                life.worn.push((row.seq, worn));
            }
            "session_changed" => {
                let life = self.lives.entry(text("user_id")).or_default();
                let sessions = if fact["ended"] == true { &mut life.ended } else { &mut life.opened };
                sessions.entry(text("session_id")).or_insert(row.seq);
            }
            // The drivers change users in one way only: by ending all their sessions.
            "user_changed" => self.lives.entry(text("user_id")).or_default().revoked.push(row.seq),
            _ => {}
        }
    }

    /// Where a lane ends.
    pub fn end(&self, lane: &str) -> i64 {
        self.by_lane.get(lane).and_then(|places| places.keys().next_back().copied()).unwrap_or(0)
    }

    fn entry(&self, lane: &str, seq: i64) -> Option<&(log_entry::Model, Value)> {
        self.entries.get(*self.by_lane.get(lane)?.get(&seq)?)
    }

    /// The chain, the promises and every transcript.
    pub fn judge(&self, transcripts: &[Transcript], promises: &[Promise]) -> Findings {
        let mut findings = Findings::default();
        self.broken.iter().for_each(|fault| findings.fault(fault.as_str()));
        let commands: HashSet<&str> = self.entries.iter().map(|(row, _)| row.command_id.as_str()).collect();
        let marks = self.entries.iter().filter(|(row, _)| row.kind == "score_updated");
        let mut times = HashMap::<&str, u32>::new();
        marks.for_each(|(row, _)| *times.entry(row.command_id.as_str()).or_default() += 1);
        for (command, count) in times {
            if count > 1 && promises.iter().any(|promise| promise.command_id == command) {
                findings.fault(format!("the command {command} took effect {count} times"));
            }
        }
        for promise in promises {
            let kept = self.entry(&promise.lane, promise.seq).is_some_and(|(row, _)| row.lane_hash == promise.hash);
            if !kept || !commands.contains(promise.command_id.as_str()) {
                findings.lost += 1;
                findings.fault(format!("lost: {promise:?}"));
            }
        }
        for transcript in transcripts {
            Sight::of(self, transcript, &mut findings).judge();
        }
        findings
    }

    fn seat(&self, life: &Life, hats: &BTreeSet<String>, category: &str, at: i64) -> Vec<Seat> {
        let Some(place) = self.places.get(category) else { return vec![Seat::Stranger] };
        let on = |hat: &&(i64, Hat)| hat.1.covers(category, place);
        let worn: Vec<&Hat> = hats.iter().filter_map(|id| life.hats.get(id)).filter(on).map(|(_, hat)| hat).collect();
        let runs = life.role == "ADMIN" || life.role == "ORGANIZER";
        if worn.iter().any(|hat| hat.judges()) {
            return vec![Seat::Panel];
        }
        if worn.is_empty() && !runs {
            return vec![Seat::Stranger];
        }
        let open = if runs || worn.iter().any(|hat| hat.reads_marks()) { Seat::Office } else { Seat::Guest };
        // Whoever ever judged it is masked from then on; the server may know of it before the fact is told.
        match life.hats.values().filter(on).filter(|(_, hat)| hat.judges()).map(|(since, _)| *since).min() {
            Some(since) if since <= at => vec![Seat::Panel],
            Some(_) => vec![open, Seat::Panel],
            None => vec![open],
        }
    }

    fn is_member(&self, user: &str, life: &Life, hats: &BTreeSet<String>, lane: &str) -> bool {
        let runs = life.role == "ADMIN" || life.role == "ORGANIZER";
        let mut worn = hats.iter().filter_map(|id| life.hats.get(id));
        match lane.split_once(':') {
            None => lane == "sys",
            Some(("usr", owner)) => owner == user,
            Some(("evt", event)) => runs || worn.any(|(_, hat)| hat.event == event),
            Some(("cat", category)) => {
                let Some(place) = self.places.get(category) else { return false };
                runs || worn.any(|(_, hat)| hat.covers(category, place))
            }
            Some(_) => false,
        }
    }

    /// What a fact looks like from a seat: the name of the event, and the payload where it has one.
    fn shown(&self, row: &log_entry::Model, fact: &Value, user: &str, seat: Seat) -> (&'static str, Option<Value>) {
        let tick = ("sync:tick", None);
        let known = |event| (event, Some(json!({ "id": fact["id"] })));
        match row.kind.as_str() {
            "score_updated" if fact["judge_id"] == user => ("scores:updated", Some(self.open(row, fact))),
            "score_updated" => match seat {
                Seat::Office => ("scores:updated", Some(self.open(row, fact))),
                Seat::Panel if fact["visibility"] == "presence" => ("scores:updated", Some(masked(fact))),
                Seat::Panel | Seat::Guest | Seat::Stranger => tick,
            },
            "certification_updated" => ("certification:updated", Some(json!({ "id": fact["category_id"] }))),
            "assignment_new" => known("assignment:new"),
            "assignment_removed" => known("assignment:removed"),
            "notified" => known("notification"),
            "user_changed" | "session_changed" | "setup_changed" | "contestants_changed" => tick,
            _ => ("(the checker does not know it)", None),
        }
    }

    fn open(&self, row: &log_entry::Model, fact: &Value) -> Value {
        let mut view = masked(fact);
        for (field, of) in [("score", "score"), ("version", "version"), ("createdAt", "created_at")] {
            view[field] = fact[of].clone();
        }
        view["masked"] = json!(false);
        if let Some(comment) = self.comments.get(&row.seq) {
            view["comment"] = json!(comment);
        }
        view
    }
}

fn masked(fact: &Value) -> Value {
    json!({
        "id": fact["id"], "categoryId": fact["category_id"], "contestId": fact["contest_id"],
        "eventId": fact["event_id"], "contestantId": fact["contestant_id"], "judgeId": fact["judge_id"],
        "criterionId": fact["criterion_id"], "score": null, "masked": true, "status": fact["status"],
        "version": null, "updatedAt": fact["updated_at"],
    })
}

/// What is wrong with the log itself.
async fn broken(db: &DatabaseConnection, rows: &[log_entry::Model]) -> Vec<String> {
    let mut broken = Vec::new();
    let (mut before, mut lanes) = (GENESIS.to_owned(), HashMap::<&str, LaneHead>::new());
    for (row, seq) in rows.iter().zip(1..) {
        let head = lanes.entry(&row.lane).or_default();
        let sound = row.seq == seq
            && row.prev_hash == before
            && row.lane_seq == head.seq + 1
            && LogEntry::lane_hash(&head.hash, row) == row.lane_hash
            && LogEntry::chain_hash(&before, &row.lane_hash) == row.hash;
        if !sound {
            broken.push(format!(
                "the log does not hold at {}: {} {} after {}",
                row.seq, row.lane, row.lane_seq, head.seq
            ));
        }
        *head = LaneHead { seq: row.lane_seq, hash: row.lane_hash.as_str().into() };
        before.clone_from(&row.hash);
    }
    let head = log_head::Entity::find_by_id("head").one(db).await.expect("a head").map(|head| head.hash);
    if head.is_some_and(|hash| hash != before) {
        broken.push("the head of the log is not its end".to_owned());
    }
    for row in lane::Entity::find().all(db).await.expect("lanes") {
        if lanes.get(row.name.as_str()).is_none_or(|head| head.seq != row.seq || *head.hash != *row.hash) {
            broken.push(format!("the head of {} is not its end", row.name));
        }
    }
    broken
}

/// What a viewer has of a lane.
#[derive(Debug, Default)]
struct Got {
    first: i64,
    /// Its facts, each with the connection it came over, the number of its frame, and whether it was told again.
    facts: BTreeMap<i64, (usize, usize, bool)>,
}

/// A transcript on its way through the checker.
struct Sight<'a> {
    log: &'a Log,
    transcript: &'a Transcript,
    life: &'a Life,
    findings: &'a mut Findings,
    lanes: BTreeMap<String, Got>,
    /// Of the connection that is read: what it was told of its hats, until where in the log they were worn so.
    hats: BTreeSet<String>,
    worn_until: i64,
    /// The last live fact of each lane of this connection.
    live: BTreeMap<String, i64>,
    /// The furthest place of the log this connection has shown.
    at: i64,
    /// The connection that is read, and the number of its frame.
    place: (usize, usize),
}

impl<'a> Sight<'a> {
    fn of(log: &'a Log, transcript: &'a Transcript, findings: &'a mut Findings) -> Self {
        let life = log.lives.get(&transcript.user).expect("a user of this database");
        Self {
            log,
            transcript,
            life,
            findings,
            lanes: BTreeMap::new(),
            hats: BTreeSet::new(),
            worn_until: i64::MAX,
            live: BTreeMap::new(),
            at: 0,
            place: (0, 0),
        }
    }

    fn fault(&mut self, what: impl fmt::Display) {
        self.findings.fault(format!("{}: {what}", self.transcript.user));
    }

    fn judge(mut self) {
        for (number, connection) in self.transcript.connections.iter().enumerate() {
            (self.live, self.at) = (BTreeMap::new(), 0);
            let end = self.life.end_of(&connection.session).unwrap_or(i64::MAX);
            let mut let_go = connection.let_go.iter().peekable();
            for (at, frame) in connection.frames.iter().enumerate() {
                while let Some(fact) = let_go.next_if(|fact| fact.before <= at) {
                    self.let_go(fact);
                }
                self.place = (number, at);
                self.read(frame, end);
            }
            let_go.for_each(|fact| self.let_go(fact));
        }
        self.look_for_gaps();
    }

    fn let_go(&mut self, fact: &LetGo) {
        if let Some(got) = self.lanes.get_mut(&fact.lane) {
            got.facts.remove(&fact.seq);
        }
    }

    fn read(&mut self, frame: &Frame, end: i64) {
        match frame.event.as_str() {
            "session:ready" | "session:changed" => return self.told(frame),
            "sync:snapshot" => return self.fault(format!("a snapshot, where facts were asked for: {frame}")),
            "tally:updated" => {
                let category = frame.data()["categoryId"].as_str().unwrap_or_default();
                if !self.log.seat(self.life, &self.hats, category, self.at).contains(&Seat::Office) {
                    self.fault("a tally for whoever is not of the office");
                }
                return;
            }
            _ => {}
        }
        let meta = if frame.event == "sync:tick" { frame.args.first() } else { frame.args.get(1) };
        let Some(meta) = meta.filter(|meta| meta["lane"].is_string()) else { return };
        let (lane, seq) = (meta["lane"].as_str().unwrap_or_default(), meta["seq"].as_i64().unwrap_or(0));
        self.findings.deliveries += 1;
        let again = meta["replay"] == true;
        self.findings.replayed += u64::from(again);
        let got = self.lanes.entry(lane.to_owned()).or_default();
        let came = (self.place.0, self.place.1, again);
        let before = got.facts.insert(seq, came);
        if seq <= got.first || before.is_some() {
            let first = got.first;
            self.findings.duplicates += 1;
            self.fault(format!(
                "{lane} {seq} came twice: {came:?} after {before:?} (connection, frame, again), told from {first} on"
            ));
        }
        let Some((row, fact)) = self.log.entry(lane, seq) else {
            return self.fault(format!("{lane} {seq} is not in the log"));
        };
        if !again {
            self.follows(lane, seq);
            self.at = self.at.max(row.seq);
        }
        if row.seq.max(self.at) > self.worn_until {
            self.fault(format!("{lane} {seq} ({} of the log) by rights that ended at {}", row.seq, self.worn_until));
        }
        if !again && row.seq > end {
            self.fault(format!("{lane} {seq} ({} of the log) by a session that ended at {end}", row.seq));
        }
        self.compare(frame, meta, row, fact);
    }

    /// What is told of hats must have been so at a time that is not over; lanes begin where they are told to stand.
    fn told(&mut self, frame: &Frame) {
        let told = frame.data();
        for lane in told["lanes"].as_array().into_iter().flatten() {
            let head = self.log.entry(lane["lane"].as_str().unwrap_or_default(), lane["seq"].as_i64().unwrap_or(0));
            self.at = self.at.max(head.map_or(0, |(row, _)| row.seq));
        }
        let id = |hat: &Value| hat["id"].as_str().map(str::to_owned);
        self.hats = told["hats"].as_array().into_iter().flatten().filter_map(id).collect();
        match self.life.last_worn(&self.hats) {
            Some(until) if until >= self.at => self.worn_until = until,
            Some(until) => self.fault(format!("told of hats of {until} at {}", self.at)),
            None => self.fault(format!("told of hats they never wore at once: {:?}", self.hats)),
        }
        let mut live = BTreeMap::new();
        for lane in told["lanes"].as_array().into_iter().flatten() {
            let (name, seq) = (lane["lane"].as_str().unwrap_or_default(), lane["seq"].as_i64().unwrap_or(0));
            self.lanes.entry(name.to_owned()).or_insert_with(|| Got { first: seq, facts: BTreeMap::new() });
            if let Some(last) = self.live.get(name).filter(|last| **last != seq) {
                self.fault(format!("{name} is told to stand at {seq} after {last} had come"));
            }
            if !self.log.is_member(&self.transcript.user, self.life, &self.hats, name) {
                self.fault(format!("told of {name}, which is not theirs"));
            }
            live.insert(name.to_owned(), seq);
        }
        self.live = live;
    }

    /// Live facts of a connection follow each other and the place it was told of.
    fn follows(&mut self, lane: &str, seq: i64) {
        match self.live.insert(lane.to_owned(), seq) {
            Some(last) if last + 1 == seq => {}
            Some(last) => self.fault(format!("{lane} {seq} came live after {last}")),
            None => self.fault(format!("{lane} {seq} of a lane they were not told of")),
        }
    }

    fn compare(&mut self, frame: &Frame, meta: &Value, row: &log_entry::Model, fact: &Value) {
        let user = self.transcript.user.as_str();
        let own = (row.actor == user).then(|| row.command_id.clone());
        let as_logged = meta["epoch"] == row.epoch.as_str()
            && meta["ts"] == row.at.to_string().as_str()
            && meta["commandId"].as_str() == own.as_deref();
        if !as_logged {
            self.fault(format!("{meta} is not what the log says of {}", row.seq));
        }
        if !self.log.is_member(user, self.life, &self.hats, &row.lane) {
            return self.fault(format!("{} {} of a lane that is not theirs", row.lane, row.lane_seq));
        }
        let seats = match row.lane.strip_prefix("cat:") {
            Some(category) => self.log.seat(self.life, &self.hats, category, self.at.max(row.seq)),
            None => vec![Seat::Guest],
        };
        let fits = |seat: &Seat| {
            let (event, payload) = self.log.shown(row, fact, user, *seat);
            frame.event == event && payload.is_none_or(|payload| matches(frame, &payload, *seat))
        };
        if !seats.iter().any(fits) {
            self.fault(format!("{} {} for {seats:?}: {frame} of {fact}", row.lane, row.lane_seq));
        }
    }

    /// Whoever stayed has all of the lanes that are theirs. What was missed of a lane that is not theirs any more nobody
    /// can ask for; that its live facts followed each other was looked at as they came.
    fn look_for_gaps(&mut self) {
        let worn = self.life.worn.last().map(|(_, worn)| worn.clone()).unwrap_or_default();
        for (name, got) in std::mem::take(&mut self.lanes) {
            if !self.transcript.stayed || !self.log.is_member(&self.transcript.user, self.life, &worn, &name) {
                continue;
            }
            let end = self.log.end(&name);
            let missing = (got.first + 1..=end).filter(|seq| !got.facts.contains_key(seq)).count();
            if missing > 0 {
                self.findings.gaps += u64::try_from(missing).expect("a count");
                let first = (got.first + 1..=end).find(|seq| !got.facts.contains_key(seq)).unwrap_or_default();
                self.fault(format!("{name} lacks {missing} facts from {first} on; it ends at {end}"));
            }
        }
    }
}

/// A mark is compared word for word; of anything else the id, and that judges and guests are shown no tally hash.
fn matches(frame: &Frame, expected: &Value, seat: Seat) -> bool {
    let Some(told) = frame.args.first() else { return false };
    if frame.event == "scores:updated" {
        return told == expected;
    }
    let hidden = seat == Seat::Office || told.get("tallyHash").is_none();
    told["id"] == expected["id"] && hidden
}
