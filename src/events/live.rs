//! The live plane: whoever watches an event or a race over a plain connection, and the frames that wait for them.
//!
//! Invariants: a frame is written once and shared by all; a viewer gets every frame after the place it was told at first,
//! or, where too many wait, in their stead that it is to be read anew; a queue never grows beyond its bound.

use super::event::Event;
use super::log::LogEntry;
use super::public::{self, DiffData, FullData, Include, PublicOnCourse, RoomMessage, Told};
use super::room::Lane;
use crate::clock::{Clock, Micros};
use crate::db::entity::event::EventStatus;
use crate::ids::{EventId, RaceId};
use crate::metrics::Metrics;
use crate::state::State;
use crate::wire::{Flusher, Frame, Piece, Pushed, Wire};
use arc_swap::ArcSwap;
use indexmap::IndexMap;
use serde::Serialize;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// How long who is on the course stays without being posted again, in seconds.
const ONCOURSE_SECONDS: i64 = 10;
/// How many frames are taken at once for one write.
const BATCH_MAX: usize = 64;

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The feed of an event.
    Event(EventId),
    /// The room of a race.
    Race(RaceId),
}

/// The bounds of the live plane.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Viewers of one topic.
    pub viewers_max: usize,
    /// Frames that may wait for one of them.
    pub queue_max: usize,
    /// How long viewers stay after an event has become official, in milliseconds.
    pub official_grace_ms: u64,
}

/// What a viewer is sent.
#[derive(Clone, Debug)]
pub enum Sent {
    /// A frame: what it is, the frame itself, and its place if it has one.
    Frame {
        /// The `type` it says.
        kind: &'static str,
        /// The JSON, as it leaves over a websocket.
        frame: Frame,
        /// The place in the public lane of its event.
        seq: Option<i64>,
    },
    /// It is over: the code of RFC 6455, or of ours, and why.
    Close(u16, &'static str),
}

impl Sent {
    fn frame(&self) -> Option<&Frame> {
        if let Self::Frame { frame, .. } = self { Some(frame) } else { None }
    }

    fn seq(&self) -> Option<i64> {
        if let Self::Frame { seq, .. } = self { *seq } else { None }
    }
}

/// Frames that follow each other and go to all who watch a topic, those with a place in its order.
struct Run {
    sent: Vec<Sent>,
    each: Vec<Piece>,
    /// As they go to all who have none of them yet.
    together: Vec<Piece>,
}

impl Run {
    fn new(mut sent: Vec<Sent>, viewers: usize) -> Self {
        // Whoever has to go is told so on another way.
        sent.retain(|sent| sent.frame().is_some());
        let each: Vec<Piece> = sent.iter().filter_map(Sent::frame).cloned().map(Piece::from).collect();
        let together = Piece::together(each.clone(), viewers);
        Self { sent, each, together }
    }

    /// What goes to a viewer who has the first so many already.
    fn after(&self, known: usize) -> &[Piece] {
        if known == 0 { &self.together } else { &self.each[known..] }
    }
}

/// The runs of some facts, by what is watched.
type Runs = IndexMap<Topic, Vec<Sent>>;

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Sent>,
    /// What comes up to here, the viewer has already.
    floor: i64,
    /// The last place it was given, be it in a frame that still waits.
    last: i64,
    include: Include,
    /// The wire its frames go to, if it has one: then no frame waits here.
    wire: Option<Weak<Wire>>,
    /// Frames it began with: they wait beside the others until no more than those may wait.
    beginning: usize,
    /// The leave has been said: nothing comes after it.
    is_over: bool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Watched {
    /// Places taken, by those too who are still on their way in.
    taken: usize,
    /// Those who listen on the server's own behalf.
    listening: usize,
    /// About in the order they came (the last takes the place of one who leaves), so that they are walked as they lie in
    /// memory, ours and the system's.
    viewers: IndexMap<u64, Arc<Queue>>,
    /// When everybody has to go, and what they are told.
    closing: Option<(Micros, u16, &'static str)>,
    /// The simulation that is under way, in the demo.
    simulation: Option<u64>,
}

#[derive(Debug, Default)]
struct Book {
    number: u64,
    topics: HashMap<Topic, Watched>,
    oncourse: HashMap<EventId, (Micros, Arc<Vec<PublicOnCourse>>)>,
}

#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    state: Arc<ArcSwap<State>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    flusher: Flusher,
    bounds: Bounds,
}

/// Who watches what.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shared>);

/// A place among the viewers of a topic, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    live: Live,
    topic: Topic,
    number: u64,
    listens: bool,
}

/// A viewer: what waits for it comes out of here.
#[derive(Debug)]
pub struct Viewer {
    queue: Arc<Queue>,
    place: Place,
}

#[derive(Serialize)]
struct DiffFrame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: &'a DiffData,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<i64>,
    epoch: &'a str,
}

#[derive(Serialize)]
struct FullFrame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    data: &'a FullData,
    seq: i64,
    epoch: &'a str,
}

#[derive(Serialize)]
struct RefreshFrame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    seq: i64,
    epoch: &'a str,
}

#[derive(Serialize)]
struct RoomFrame<'a> {
    #[serde(flatten)]
    message: &'a RoomMessage,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
}

fn frame(said: &impl Serialize) -> Frame {
    Frame::text(&serde_json::to_string(said).expect("a frame is plain data with text keys"))
}

/// A change of an event, as its viewers are sent it.
#[must_use]
pub fn diff(data: &DiffData, seq: Option<i64>, epoch: &str) -> Sent {
    let prev = seq.map(|seq| seq - 1);
    Sent::Frame { kind: "diff", frame: frame(&DiffFrame { kind: "diff", data, seq, prev, epoch }), seq }
}

/// Everything there is to see of an event.
#[must_use]
pub fn full(data: &FullData, seq: i64, epoch: &str) -> Sent {
    Sent::Frame { kind: "full", frame: frame(&FullFrame { kind: "full", data, seq, epoch }), seq: Some(seq) }
}

/// That it has to be read anew.
#[must_use]
pub fn refresh(seq: i64, epoch: &str) -> Sent {
    Sent::Frame { kind: "refresh", frame: frame(&RefreshFrame { kind: "refresh", seq, epoch }), seq: Some(seq) }
}

/// A message to the room of a race; one that is not in the log has no place.
#[must_use]
pub fn room(message: &RoomMessage, place: Option<(i64, &str)>) -> Sent {
    let (seq, epoch) = place.unzip();
    Sent::Frame { kind: message.kind(), frame: frame(&RoomFrame { message, seq, epoch }), seq }
}

/// Who is on the course. It has no place: the next one repairs a lost one.
#[must_use]
pub fn oncourse(list: &[PublicOnCourse], epoch: &str) -> Sent {
    diff(&DiffData { oncourse: Some(list.to_vec()), ..DiffData::default() }, None, epoch)
}

/// What goes in the stead of all that waits for a viewer who fell behind: in the room of a race, the race anew.
fn anew(topic: &Topic, state: &State, last: i64) -> Sent {
    let epoch = &*state.head.epoch;
    if let Topic::Race(race) = topic
        && let Some(race) = state.races.get(race)
    {
        return room(&public::room_state(state, race), Some((last, epoch)));
    }
    refresh(last, epoch)
}

/// A public fact as the feed of its event shows it; none where all has to be shown anew.
#[must_use]
pub fn feed(state: &State, entry: &LogEntry) -> Option<Sent> {
    match public::told(state, &entry.event) {
        Told::Diff(data) => Some(diff(&data, Some(entry.lane_seq), &state.head.epoch)),
        Told::Refresh => Some(refresh(entry.lane_seq, &state.head.epoch)),
        Told::Full => None,
    }
}

/// What a public fact says in the rooms of races that are watched.
fn told_races(book: &Book, state: &State, event: &EventId, entry: &LogEntry) -> Vec<(Topic, Sent)> {
    let place = Some((entry.lane_seq, &*state.head.epoch));
    let watched = |race: &RaceId| book.topics.contains_key(&Topic::Race(race.clone()));
    let mut messages = Vec::new();
    if let Some(race) = public::race_of(&entry.event).filter(|race| watched(race))
        && let Some(message) = public::told_room(state, entry)
    {
        messages.push((Topic::Race(race.clone()), room(&message, place)));
    }
    if matches!(&entry.event, Event::PublicChanged(fact) if fact.whole) && state.is_public(event) {
        let races = state.races_of(event).into_iter().filter(|race| watched(&race.id));
        messages
            .extend(races.map(|race| (Topic::Race(race.id.clone()), room(&public::room_state(state, race), place))));
    }
    messages
}

impl Live {
    /// Nobody watches anything yet.
    #[must_use]
    pub fn new(
        state: Arc<ArcSwap<State>>,
        clock: Clock,
        metrics: Arc<Metrics>,
        flusher: Flusher,
        bounds: Bounds,
    ) -> Self {
        Self(Arc::new(Shared { book: Mutex::default(), state, clock, metrics, flusher, bounds }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many may watch one topic.
    #[must_use]
    pub fn viewers_max(&self) -> usize {
        self.0.bounds.viewers_max
    }

    /// How many frames may wait for a viewer.
    #[must_use]
    pub fn queue_max(&self) -> usize {
        self.0.bounds.queue_max
    }

    /// How many watch.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.book().topics.values().map(|watched| watched.taken).sum()
    }

    /// Notes that a topic is simulated from now on; none if it is already, or nobody watches it.
    #[must_use]
    pub fn begin_simulation(&self, topic: &Topic) -> Option<u64> {
        let mut book = self.book();
        book.number += 1;
        let number = book.number;
        let watched = book.topics.get_mut(topic).filter(|watched| watched.simulation.is_none())?;
        watched.simulation = Some(number);
        Some(number)
    }

    /// Whether a simulation has still somebody to be shown to.
    #[must_use]
    pub fn is_simulated(&self, topic: &Topic, id: u64) -> bool {
        self.book().topics.get(topic).is_some_and(|watched| watched.simulation == Some(id))
    }

    /// Takes a place among the viewers of a topic; none if all are taken.
    #[must_use]
    pub fn enter(&self, topic: Topic) -> Option<Place> {
        let mut book = self.book();
        book.number += 1;
        let number = book.number;
        let watched = book.topics.entry(topic.clone()).or_default();
        if watched.taken >= self.0.bounds.viewers_max {
            self.0.metrics.live_rejected.with_label_values(&["full"]).inc();
            return None;
        }
        watched.taken += 1;
        self.0.metrics.connections_active.with_label_values(&["live"]).inc();
        Some(Place { live: self.clone(), topic, number, listens: false })
    }

    /// A place beside those of the viewers, for whoever listens on the server's own behalf.
    #[must_use]
    pub fn listen(&self, event: &EventId) -> Place {
        let mut book = self.book();
        book.number += 1;
        let (number, topic) = (book.number, Topic::Event(event.clone()));
        book.topics.entry(topic.clone()).or_default().listening += 1;
        Place { live: self.clone(), topic, number, listens: true }
    }

    fn leave(&self, place: &Place) {
        let mut book = self.book();
        if let Some(watched) = book.topics.get_mut(&place.topic) {
            watched.viewers.swap_remove(&place.number);
            if place.listens {
                watched.listening -= 1;
            } else {
                watched.taken -= 1;
            }
            if watched.taken + watched.listening == 0 {
                book.topics.remove(&place.topic);
            }
        }
        if !place.listens {
            self.0.metrics.connections_active.with_label_values(&["live"]).dec();
        }
    }

    /// Sends what public facts mean to those who watch their event or their race.
    pub fn publish(&self, state: &State, entries: &[Arc<LogEntry>]) {
        if !entries.iter().any(|entry| matches!(entry.lane, Lane::Public(_))) {
            return;
        }
        let (mut book, mut runs) = (self.book(), Runs::new());
        for entry in entries {
            self.publish_one(&mut book, &mut runs, state, entry);
        }
        self.push_runs(&book, &mut runs, state);
        self.look_within(&mut book);
    }

    fn publish_one(&self, book: &mut Book, runs: &mut Runs, state: &State, entry: &LogEntry) {
        let Lane::Public(event) = &entry.lane else { return };
        let topic = Topic::Event(event.clone());
        if book.topics.contains_key(&topic) {
            if let Some(sent) = feed(state, entry) {
                runs.entry(topic).or_default().push(sent);
            } else {
                self.push_runs(book, runs, state);
                self.show_anew(book, &topic, state, entry);
            }
        }
        for (topic, sent) in told_races(book, state, event, entry) {
            runs.entry(topic).or_default().push(sent);
        }
        if let Event::PublicChanged(fact) = &entry.event {
            // Not before all that came until here.
            self.push_runs(book, runs, state);
            self.send_away(book, event, state, fact.status);
        }
    }

    /// Has those go who watch what is not there any more, and soon, who watch an event that has become official.
    fn send_away(&self, book: &mut Book, event: &EventId, state: &State, becomes: Option<EventStatus>) {
        let now = self.0.clock.now();
        let is_public = state.is_public(event);
        let closing = if !is_public {
            Some((now, 4004, "Event not found"))
        } else if becomes == Some(EventStatus::Official) {
            Some(self.farewell(now))
        } else {
            None
        };
        if let (Some(closing), Some(watched)) = (closing, book.topics.get_mut(&Topic::Event(event.clone()))) {
            watched.closing = Some(closing);
        }
        if !is_public {
            book.oncourse.remove(event);
        }
        // The race may be gone, or the event.
        for (topic, watched) in &mut book.topics {
            if let Topic::Race(race) = topic
                && state.races.get(race).is_none_or(|race| !state.is_public(&race.event_id))
            {
                watched.closing = Some((now, 4004, "Race not found"));
            }
        }
        self.look_within(book);
    }

    /// When those who watch an event that became official have to go.
    fn farewell(&self, now: Micros) -> (Micros, u16, &'static str) {
        let grace = i64::try_from(self.0.bounds.official_grace_ms).unwrap_or(i64::MAX);
        (Micros(now.0.saturating_add(grace.saturating_mul(1_000))), 1000, "The event is official")
    }

    /// Shows those who watch an event all there is to see of it.
    fn show_anew(&self, book: &Book, topic: &Topic, state: &State, entry: &LogEntry) {
        let (Topic::Event(event), Some(watched)) = (topic, book.topics.get(topic)) else { return };
        let oncourse = book.oncourse.get(event).map(|(_, list)| Arc::clone(list)).unwrap_or_default();
        // As of the state, which may be ahead of the fact: what is in it already must not come again.
        let head = state.lane_seq(&entry.lane);
        let mut frames: BTreeMap<Include, Run> = BTreeMap::new();
        for queue in watched.viewers.values() {
            let (include, floor) = {
                let waiting = queue.waiting();
                (waiting.include, waiting.floor)
            };
            // Who came after the fact has seen what it did.
            if entry.lane_seq <= floor {
                continue;
            }
            let run = match frames.entry(include) {
                Entry::Occupied(written) => written.into_mut(),
                Entry::Vacant(missing) => {
                    let Some(data) = public::full(state, event, include, oncourse.to_vec()) else { return };
                    missing.insert(Run::new(vec![full(&data, head, &state.head.epoch)], watched.viewers.len()))
                }
            };
            self.count(self.push(queue, topic, run, state), 1);
            let mut waiting = queue.waiting();
            waiting.floor = waiting.floor.max(head);
        }
    }

    /// Lets a run wait for a viewer. Where too many frames wait already, all of them make way. Gives back what went to a
    /// wire.
    fn push<'a>(&self, queue: &Queue, topic: &Topic, run: &'a Run, state: &State) -> &'a [Sent] {
        let mut guard = queue.waiting();
        let waiting = &mut *guard;
        let floor = waiting.floor;
        let known = run.sent.iter().take_while(|sent| sent.seq().is_some_and(|seq| seq <= floor)).count();
        let sent = &run.sent[known..];
        if sent.is_empty() || waiting.is_over {
            return &[];
        }
        let last = sent.iter().filter_map(Sent::seq).max();
        waiting.last = last.map_or(waiting.last, |last| waiting.last.max(last));
        let max = self.0.bounds.queue_max.max(1);
        let too_many = || self.0.metrics.slow_consumers.with_label_values(&["live", "refresh"]).inc();
        if let Some(wire) = &waiting.wire {
            // It may have ended: then its viewer is about to leave.
            let Some(carries) = wire.upgrade() else { return &[] };
            if waiting.beginning > 0 && carries.waiting() <= max {
                waiting.beginning = 0;
            }
            let pushed = self.0.flusher.push(carries, run.after(known), max + waiting.beginning);
            if pushed == Pushed::Full
                && let Some(wire) = wire.upgrade()
                && let anew @ Sent::Frame { frame, .. } = &anew(topic, state, waiting.last)
            {
                waiting.beginning = 0;
                self.0.flusher.replace(wire, frame.clone().into());
                self.count(std::slice::from_ref(anew), 1);
                too_many();
            }
            return if matches!(pushed, Pushed::First | Pushed::Waits) { sent } else { &[] };
        }
        if waiting.frames.len() + sent.len() > max {
            waiting.frames.clear();
            waiting.frames.push_back(anew(topic, state, waiting.last));
            too_many();
        } else {
            waiting.frames.extend(sent.iter().cloned());
        }
        drop(guard);
        queue.wake.notify_one();
        &[]
    }

    /// Lets what was gathered wait for all who watch.
    fn push_runs(&self, book: &Book, runs: &mut Runs, state: &State) {
        for (topic, sent) in runs.drain(..) {
            self.push_all(book, &topic, sent, state);
        }
    }

    fn push_all(&self, book: &Book, topic: &Topic, sent: Vec<Sent>, state: &State) {
        let Some(watched) = book.topics.get(topic) else { return };
        let run = Run::new(sent, watched.viewers.len());
        let mut whole = 0;
        for queue in watched.viewers.values() {
            let carried = self.push(queue, topic, &run, state);
            if carried.len() == run.sent.len() {
                whole += 1;
            } else {
                self.count(carried, 1);
            }
        }
        self.count(&run.sent, whole);
    }

    /// Counts frames that went to wires.
    fn count(&self, sent: &[Sent], carried: u64) {
        for one in sent {
            if let Sent::Frame { kind, .. } = one {
                self.0.metrics.socket_events.with_label_values(&[kind, "out", "sent"]).inc_by(carried);
            }
        }
    }

    /// Sends everybody who watches a topic what is in no log.
    pub fn tell(&self, topic: &Topic, sent: &Sent) {
        self.push_all(&self.book(), topic, vec![sent.clone()], &self.0.state.load_full());
    }

    /// Takes over who is on the course of an event, and tells its viewers.
    pub fn set_oncourse(&self, event: &EventId, list: Vec<PublicOnCourse>) {
        let list = Arc::new(list);
        let mut book = self.book();
        book.oncourse.insert(event.clone(), (self.0.clock.now(), Arc::clone(&list)));
        // Under the same lock: of two posts at once, the viewers are told last of the one that stands.
        self.tell_oncourse(&book, event, &list);
    }

    /// Who is on the course of an event.
    #[must_use]
    pub fn oncourse(&self, event: &EventId) -> Vec<PublicOnCourse> {
        let now = self.0.clock.now();
        let book = self.book();
        let fresh = book.oncourse.get(event).filter(|(at, _)| now < at.plus_seconds(ONCOURSE_SECONDS));
        fresh.map(|(_, list)| list.as_ref().clone()).unwrap_or_default()
    }

    fn tell_oncourse(&self, book: &Book, event: &EventId, list: &[PublicOnCourse]) {
        let topic = Topic::Event(event.clone());
        if book.topics.contains_key(&topic) {
            let state = self.0.state.load_full();
            self.push_all(book, &topic, vec![oncourse(list, &state.head.epoch)], &state);
        }
    }

    /// Looks what the clock has brought: courses nobody reports from any more, viewers who have to go.
    pub fn look(&self) {
        self.look_within(&mut self.book());
    }

    fn look_within(&self, book: &mut Book) {
        let now = self.0.clock.now();
        let stale = |at: &Micros| now >= at.plus_seconds(ONCOURSE_SECONDS);
        let left: Vec<EventId> =
            book.oncourse.iter().filter(|(_, (at, _))| stale(at)).map(|(event, _)| event.clone()).collect();
        for event in &left {
            book.oncourse.remove(event);
            self.tell_oncourse(book, event, &[]);
        }
        for watched in book.topics.values_mut() {
            if let Some((_, code, why)) = watched.closing.filter(|(at, _, _)| *at <= now) {
                for queue in watched.viewers.values() {
                    // The last that comes; no bound keeps it out.
                    let mut waiting = queue.waiting();
                    if !std::mem::replace(&mut waiting.is_over, true) {
                        waiting.frames.push_back(Sent::Close(code, why));
                    }
                    drop(waiting);
                    queue.wake.notify_one();
                }
                watched.closing = None;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.live.leave(self);
    }
}

impl Place {
    /// Begins to watch. The state that comes back is where the viewer begins: all later frames of the lane wait for it.
    #[must_use]
    pub fn watch(self, event: &EventId, include: Include) -> (Viewer, Arc<State>) {
        let queue = Arc::new(Queue::default());
        let mut book = self.live.book();
        // Read while nothing can be published: what is not in it is still to come.
        let state = self.live.0.state.load_full();
        let floor = state.lane_seq(&Lane::Public(event.clone()));
        *queue.waiting() = Waiting { floor, last: floor, include, ..Waiting::default() };
        let watched = book.topics.entry(self.topic.clone()).or_default();
        watched.viewers.insert(self.number, Arc::clone(&queue));
        // It became official on this viewer's way in: no later fact will say so.
        let official = state.events.get(event).is_some_and(|event| event.status == EventStatus::Official);
        if official && matches!(self.topic, Topic::Event(_)) && watched.closing.is_none() {
            watched.closing = Some(self.live.farewell(self.live.0.clock.now()));
        }
        drop(book);
        (Viewer { queue, place: self }, state)
    }
}

impl Viewer {
    /// From now on what it is sent goes over a wire, `first` before all that waits: nothing but the leave comes out here.
    pub fn goes_over(&self, wire: &Weak<Wire>, first: Vec<Sent>) {
        let live = &self.place.live;
        let mut waiting = self.queue.waiting();
        let mut leave = None;
        for sent in first.into_iter().chain(std::mem::take(&mut waiting.frames)) {
            match &sent {
                Sent::Frame { frame, .. } if leave.is_none() => {
                    // What it begins with is bounded by itself.
                    if let Some(wire) = wire.upgrade()
                        && live.0.flusher.push(wire, &[frame.clone().into()], usize::MAX) != Pushed::Closed
                    {
                        waiting.beginning += 1;
                        live.count(std::slice::from_ref(&sent), 1);
                    }
                }
                Sent::Frame { .. } => {}
                Sent::Close(..) => leave = Some(sent),
            }
        }
        waiting.wire = Some(Weak::clone(wire));
        if let Some(leave) = leave {
            waiting.is_over = true;
            waiting.frames.push_back(leave);
            drop(waiting);
            self.queue.wake.notify_one();
        }
    }

    /// What waits, as much as goes out in one write; waits until something does.
    pub async fn next(&self) -> Vec<Sent> {
        loop {
            let woken = self.queue.wake.notified();
            {
                let mut waiting = self.queue.waiting();
                let count = waiting.frames.len().min(BATCH_MAX);
                if count > 0 {
                    let batch: Vec<Sent> = waiting.frames.drain(..count).collect();
                    if waiting.frames.is_empty() {
                        // A thousand quiet viewers must not keep the room of their busiest moment.
                        waiting.frames.shrink_to_fit();
                    }
                    return batch;
                }
            }
            woken.await;
        }
    }
}

#[cfg(test)]
mod tests {
    //! What waits for a viewer who does not read.

    use super::*;
    use crate::db::entity::race;
    use crate::db::row::Change;
    use crate::events::log::LogHead;
    use std::time::Duration;
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    fn topic() -> Topic {
        Topic::Event("e".parse().expect("an id"))
    }

    fn watched(queue_max: usize) -> (Live, Viewer) {
        let head = LogHead { seq: 0, hash: "".into(), epoch: "now".into() };
        let state = Arc::new(ArcSwap::from_pointee(State::empty(head)));
        let bounds = Bounds { viewers_max: 1, queue_max, official_grace_ms: 0 };
        let flusher = Flusher::new(false);
        let live = Live::new(state, Clock::manual(Micros(0)), Arc::new(Metrics::new()), flusher, bounds);
        let place = live.enter(topic()).expect("a place");
        let (viewer, _) = place.watch(&"e".parse().expect("an id"), Include::default());
        (live, viewer)
    }

    fn told(seq: Option<i64>) -> Sent {
        diff(&DiffData::default(), seq, "now")
    }

    fn leave(live: &Live) {
        live.book().topics.get_mut(&topic()).expect("it is watched").closing = Some((Micros(0), 1000, "over"));
        live.look();
    }

    async fn texts(viewer: &Viewer) -> Vec<String> {
        let text = |sent| match sent {
            Sent::Frame { kind, seq, .. } => format!("{kind} {seq:?}"),
            Sent::Close(code, _) => format!("close {code}"),
        };
        viewer.next().await.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn too_much_makes_way_for_a_refresh_that_names_the_last_place() {
        let (live, viewer) = watched(2);
        for seq in [Some(1), Some(2), Some(3), None, Some(4)] {
            live.tell(&topic(), &told(seq));
        }
        assert_eq!(texts(&viewer).await, ["refresh Some(4)"], "the second time, too");
        live.tell(&topic(), &told(Some(5)));
        assert_eq!(texts(&viewer).await, ["diff Some(5)"]);
        // What has no place fills it up as well; the refresh does not go back behind what was read.
        for _ in 0..3 {
            live.tell(&topic(), &told(None));
        }
        assert_eq!(texts(&viewer).await, ["refresh Some(5)"]);
    }

    fn push(live: &Live, run: Vec<Sent>) {
        live.push_all(&live.book(), &topic(), run, &live.0.state.load());
    }

    #[tokio::test]
    async fn of_a_run_comes_what_is_new_or_a_refresh_for_all_of_it() {
        let (live, viewer) = watched(4);
        viewer.queue.waiting().floor = 1;
        push(&live, vec![told(Some(1)), told(Some(2)), told(None), told(Some(3))]);
        assert_eq!(texts(&viewer).await, ["diff Some(2)", "diff None", "diff Some(3)"]);
        push(&live, (4..7).map(|seq| told(Some(seq))).collect());
        push(&live, vec![told(Some(7)), told(Some(8))]);
        assert_eq!(texts(&viewer).await, ["refresh Some(8)"]);
    }

    #[tokio::test]
    async fn over_wires_a_run_goes_to_several_in_one_piece() {
        let (live, viewer) = watched(4);
        let (late, _) =
            live.listen(&"e".parse().expect("an id")).watch(&"e".parse().expect("an id"), Include::default());
        late.queue.waiting().floor = 2;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (mut clients, mut wires) = (Vec::new(), Vec::new());
        for viewer in [&viewer, &late] {
            clients.push(TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens"));
            let (_, half) = listener.accept().await.expect("a client").0.into_split();
            let wire = Wire::new(half, CancellationToken::new(), Duration::from_mins(1), TaskTracker::new());
            wires.push(Arc::new(wire));
            viewer.goes_over(&Arc::downgrade(&wires[wires.len() - 1]), Vec::new());
        }
        let waiting = || wires.iter().map(|wire| wire.waiting()).collect::<Vec<_>>();
        push(&live, (1..4).map(|seq| told(Some(seq))).collect());
        assert_eq!(waiting(), [3, 1], "the other began later");
        assert_eq!(wires.iter().map(|wire| wire.pieces()).collect::<Vec<_>>(), [1, 1]);
        push(&live, (4..6).map(|seq| told(Some(seq))).collect());
        assert_eq!(waiting(), [1, 3], "a refresh; there was no room for both");
        let sent = |kind| live.0.metrics.socket_events.with_label_values(&[kind, "out", "sent"]).get();
        assert_eq!((sent("diff"), sent("refresh")), (3 + 1 + 2, 1));
    }

    #[test]
    fn in_the_room_of_a_race_the_race_is_shown_anew() {
        let row = race::Model {
            id: "r".parse().expect("an id"),
            number: 7,
            event_id: "e".parse().expect("an id"),
            race_type: "heat".into(),
            name: None,
            class_id: None,
            start_time: None,
            position: None,
            status: race::RaceStatus::Running,
            meta: "{}".into(),
        };
        let topic = Topic::Race(row.id.clone());
        let mut state = State::empty(LogHead { seq: 0, hash: "".into(), epoch: "now".into() });
        assert!(matches!(anew(&topic, &state, 3), Sent::Frame { kind: "refresh", .. }), "it is gone");
        state.apply(&Change::Put(row.into()));
        assert!(matches!(anew(&topic, &state, 3), Sent::Frame { kind: "initial_state", seq: Some(3), .. }));
    }

    #[tokio::test]
    async fn a_leave_stays_the_last_that_comes() {
        let (live, viewer) = watched(2);
        live.tell(&topic(), &told(Some(1)));
        leave(&live);
        leave(&live);
        for seq in 2..9 {
            live.tell(&topic(), &told(Some(seq)));
        }
        assert_eq!(texts(&viewer).await, ["diff Some(1)", "close 1000"]);
    }

    #[test]
    fn a_place_is_given_back_once_and_a_topic_nobody_watches_is_forgotten() {
        let (live, viewer) = watched(2);
        assert!(live.enter(topic()).is_none());
        drop(viewer);
        assert!(live.book().topics.is_empty());
        drop(live.enter(topic()).expect("it is free again"));
        assert_eq!(live.viewers(), 0);
    }
}
