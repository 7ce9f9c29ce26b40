//! What is counted. One struct, bounded labels, counted at the spine; the names are those of the contract.

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::sync::Arc;

/// Every metric of a server.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field is the metric whose help text stands in `new`")]
pub struct Metrics {
    registry: Registry,
    pub connections_active: IntGaugeVec,
    pub connections_total: IntCounterVec,
    pub connections_open: IntGauge,
    pub connections_refused: IntCounterVec,
    pub connections_cut: IntCounterVec,
    pub socket_events: IntCounterVec,
    pub command_duration: HistogramVec,
    pub rate_limited: IntCounterVec,
    pub masked_frames: IntCounter,
    pub log_appended: IntCounterVec,
    pub dispatch_lag: Gauge,
    pub slow_consumers: IntCounterVec,
    pub room_members: IntGaugeVec,
    pub commit_duration: Histogram,
    pub commit_batch_size: Histogram,
    pub writer_queue: IntGauge,
    pub writer_refused: IntCounter,
    pub log_reread: IntCounter,
    pub recent_facts: IntGauge,
    pub boards_loaded: IntGauge,
    pub limit_keys: IntGaugeVec,
    pub certification_stage: IntGaugeVec,
    pub resume: IntCounterVec,
    pub resume_facts: IntCounterVec,
    pub live_rejected: IntCounterVec,
    pub ingest: IntCounterVec,
}

/// Counts something for as long as it is there: handlers that count miss those who leave in between.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Counted {
    /// One more.
    #[must_use]
    pub fn one(gauge: IntGauge) -> Arc<Self> {
        gauge.inc();
        Arc::new(Self(gauge))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn name(name: &str) -> String {
    format!("scorecast_{name}")
}

impl Metrics {
    /// All at zero.
    ///
    /// # Panics
    /// When two metrics have one name: a fault of this file, seen by every test.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let counters = |metric: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name(metric), help), labels).expect("a well-formed metric");
            registry.register(Box::new(counters.clone())).expect("a metric of its own");
            counters
        };
        let counter = |metric: &str, help: &str| {
            let counter = IntCounter::new(name(metric), help).expect("a well-formed metric");
            registry.register(Box::new(counter.clone())).expect("a metric of its own");
            counter
        };
        let gauges = |metric: &str, help: &str, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name(metric), help), labels).expect("a well-formed metric");
            registry.register(Box::new(gauges.clone())).expect("a metric of its own");
            gauges
        };
        let gauge = |metric: &str, help: &str| {
            let gauge = IntGauge::new(name(metric), help).expect("a well-formed metric");
            registry.register(Box::new(gauge.clone())).expect("a metric of its own");
            gauge
        };
        let seconds = vec![0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
        let histogram = |metric: &str, help: &str, buckets: Vec<f64>| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name(metric), help).buckets(buckets))
                .expect("a well-formed metric");
            registry.register(Box::new(histogram.clone())).expect("a metric of its own");
            histogram
        };
        let command_duration = HistogramVec::new(
            HistogramOpts::new(name("command_duration_seconds"), "From a command's arrival to its answer.")
                .buckets(seconds.clone()),
            &["command"],
        )
        .expect("a well-formed metric");
        registry.register(Box::new(command_duration.clone())).expect("a metric of its own");
        let dispatch_lag = Gauge::new(name("dispatch_lag_seconds"), "Age of the oldest fact that was sent out last.")
            .expect("a well-formed metric");
        registry.register(Box::new(dispatch_lag.clone())).expect("a metric of its own");
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("a metric of its own");
        Self {
            connections_active: gauges("socket_connections_active", "Open connections.", &["plane"]),
            connections_total: counters("socket_connections_total", "Connections asked for.", &["plane", "outcome"]),
            connections_open: gauge("connections_open", "Open TCP connections."),
            connections_refused: counters("connections_refused_total", "Connections over a bound.", &["reason"]),
            connections_cut: counters("connections_cut_total", "Connections that were cut.", &["reason"]),
            socket_events: counters("socket_events_total", "Events in and out.", &["event", "direction", "outcome"]),
            command_duration,
            rate_limited: counters("rate_limited_total", "Commands refused by a rate limit.", &["command"]),
            masked_frames: counter("masked_frames_total", "Facts sent in a masked variant."),
            log_appended: counters("log_appended_total", "Facts appended to the log.", &["event"]),
            dispatch_lag,
            slow_consumers: counters("slow_consumers_total", "Sockets that could not keep up.", &["plane", "action"]),
            room_members: gauges("room_members", "Sockets in the rooms of a kind.", &["kind"]),
            commit_duration: histogram(
                "commit_duration_seconds",
                "One transaction of the writer, fsync included.",
                seconds,
            ),
            commit_batch_size: histogram(
                "commit_batch_size",
                "Commands in one transaction.",
                vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            ),
            writer_queue: gauge("writer_queue_depth", "Commands waiting for the writer."),
            writer_refused: counter("writer_queue_full_total", "Commands refused because the writer's queue was full."),
            log_reread: counter("log_reread_total", "Facts the dispatcher had to read back from the database."),
            recent_facts: gauge("recent_facts", "Facts kept in memory for whoever comes back."),
            boards_loaded: gauge("boards_loaded", "Categories whose marks are held in memory."),
            limit_keys: gauges("rate_limit_keys", "Keys a rate limiter remembers.", &["limit"]),
            resume: counters("resume_total", "Lanes clients asked to catch up on.", &["outcome"]),
            resume_facts: counters(
                "resume_facts_total",
                "Facts taken from memory or the log to be sent again.",
                &["source"],
            ),
            live_rejected: counters("live_rejected_total", "Viewers who were not let in.", &["reason"]),
            ingest: counters("ingest_total", "Posts of timing software.", &["source", "outcome"]),
            certification_stage: gauges("certification_stage", "Categories at a stage.", &["stage"]),
            registry,
        }
    }

    /// The text Prometheus reads.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn encode(&self) -> anyhow::Result<String> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
