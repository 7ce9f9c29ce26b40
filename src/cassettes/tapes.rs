//! Recordings of feeds that are under way.
//!
//! Invariant: what was heard as it happened is kept until somebody ends it or the server does; then the log alone is left.

use super::file::Tape;
use super::{CassetteView, Name, Source, record};
use crate::clock::{Clock, Micros};
use crate::db::entity::cassette::{Audience, Phase};
use crate::events::live::{self, Live, Sent};
use crate::events::public::{self, Include};
use crate::events::room::Lane;
use crate::ids::EventId;
use crate::state::State;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, oneshot};

/// News that may wait for one listener; who is further behind is told the whole list.
const NEWS_MAX: usize = 100;

/// One that is under way holds more.
pub type Count = (Arc<str>, Micros);

struct Recorder {
    count: Arc<AtomicI64>,
    end: oneshot::Sender<oneshot::Sender<Tape>>,
}

/// The recordings under way.
#[derive(Clone)]
pub struct Tapes {
    recorders: Arc<Mutex<HashMap<String, Recorder>>>,
    counts: broadcast::Sender<Count>,
    live: Live,
    state: Arc<ArcSwap<State>>,
    told: Arc<Mutex<HashMap<String, i64>>>,
    bytes_max: usize,
}

impl Tapes {
    /// None yet; each holds so many bytes.
    #[must_use]
    pub fn new(state: Arc<ArcSwap<State>>, live: Live, bytes_max: usize) -> Self {
        let counts = broadcast::Sender::new(NEWS_MAX);
        Self { recorders: Arc::default(), counts, live, state, told: Arc::default(), bytes_max }
    }

    fn recorders(&self) -> MutexGuard<'_, HashMap<String, Recorder>> {
        self.recorders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of those under way come to hold more.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Count> {
        self.counts.subscribe()
    }

    /// Tells of those under way that hold more than when they were told of last.
    pub fn tell_counts(&self, now: Micros) {
        let state = self.state.load();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|name, _| state.cassettes.get(name).is_some_and(|row| row.phase == Phase::Recording));
        for row in state.cassettes.values().filter(|row| row.phase == Phase::Recording) {
            let mut view = CassetteView::of(row);
            self.count_in(&mut view);
            if told
                .insert(row.name.clone(), view.interactions_count)
                .is_some_and(|last| last != view.interactions_count)
            {
                let _unheard = self.counts.send((row.name.as_str().into(), now));
            }
        }
    }

    /// Says how far one under way has come.
    pub fn count_in(&self, view: &mut CassetteView) {
        if view.phase != Phase::Recording {
            return;
        }
        if let Some(recorder) = self.recorders().get(&view.name) {
            view.interactions_count = recorder.count.load(Ordering::Relaxed);
            return;
        }
        let state = self.state.load();
        let row = state.cassettes.get(&view.name);
        let source = row.and_then(|row| row.source.as_deref()?.parse::<Source>().ok());
        if let (Some(row), Some(source @ Source::Lane(_))) = (row, source) {
            view.interactions_count = record::head(&state, &source) - row.from_seq.unwrap_or(0);
        }
    }

    /// Hears the feed of an event until it is told to end; the work to be done for that. Once it is full it says so.
    #[must_use]
    pub fn begin<F: FnOnce() + Send>(
        &self,
        name: &Name,
        event: &EventId,
        clock: Clock,
        is_full: F,
    ) -> Option<impl Future<Output = ()> + Send + use<F>> {
        let (end, mut ending) = oneshot::channel::<oneshot::Sender<Tape>>();
        let count = Arc::new(AtomicI64::new(0));
        let mut recorders = self.recorders();
        if recorders.contains_key(name.as_str()) {
            return None;
        }
        recorders.insert(name.to_string(), Recorder { count: Arc::clone(&count), end });
        drop(recorders);
        let oncourse = self.live.oncourse(event);
        let (viewer, state) = self.live.listen(event).watch(event, Include { results: true, oncourse: true });
        let (event, bytes_max) = (event.clone(), self.bytes_max);
        Some(async move {
            let (began, src) = (clock.now(), format!("pub:{event}"));
            let mut tape = Tape::holding(bytes_max);
            let mut is_full = Some(is_full);
            let source = Source::Event(event.clone());
            let include = Include { results: true, oncourse: true };
            let first = public::full(&state, &event, include, oncourse)
                .map(|data| live::full(&data, state.lane_seq(&Lane::Public(event.clone())), &state.head.epoch));
            let mut full = record::begin(&mut tape, &source, Audience::Public, &state, began);
            drop(state);
            let take = |tape: &mut Tape, sent: &Sent| {
                let taken = record::live_frame(tape, &src, (clock.now().0 - began.0) / 1_000, sent);
                if taken.is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                taken
            };
            if let (Some(first), true) = (&first, full.is_ok()) {
                full = take(&mut tape, first);
            }
            loop {
                if let Some(is_full) = is_full.take_if(|_| tape.is_full()) {
                    is_full();
                }
                tokio::select! {
                    biased;
                    asked = &mut ending => {
                        // Whoever asked may have gone.
                        let _gone = asked.map(|reply| reply.send(tape));
                        return;
                    }
                    batch = viewer.next(), if full.is_ok() => {
                        full = batch.iter().try_for_each(|sent| take(&mut tape, sent));
                    },
                }
            }
        })
    }

    /// Ends one under way; what it heard.
    pub async fn end(&self, name: &Name) -> Option<Tape> {
        let recorder = self.recorders().remove(name.as_str())?;
        let (reply, tape) = oneshot::channel();
        recorder.end.send(reply).ok()?;
        tape.await.ok()
    }
}
