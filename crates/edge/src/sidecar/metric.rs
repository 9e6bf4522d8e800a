//! What a sidecar counts.

use std::time::Duration;

use jeton_client::feed::{Observe, Status};
use jeton_host::metric::{FAST_SECONDS, NETWORK_SECONDS, build_info, encode};
use jeton_types::{Revision, UnixTime};
use jeton_verifier::{Code, Source};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::sync::{OnceLock, atomic::AtomicU64};

/// None, and those of [`Source`].
const SOURCES: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verification {
    code: &'static str,
    source: &'static str,
}

/// The metrics of one sidecar.
pub(super) struct Metrics {
    registry: Registry,
    verifications: Family<Verification, Counter>,
    /// Those of them that have been counted once, by code and source: found without a lock.
    verified: [[OnceLock<Counter>; SOURCES]; Code::ALL.len()],
    first_use_wait: Histogram,
    snapshot: Histogram,
    propagation: Histogram,
    lag: Gauge<f64, AtomicU64>,
    lease: Gauge<f64, AtomicU64>,
    remaining: Family<Namespace, Gauge<f64, AtomicU64>>,
    tokens: Gauge,
    connected: Gauge,
    sessions_lost: Counter,
    mismatches: Counter,
    copy_bytes: Gauge,
    copy_age: Gauge<f64, AtomicU64>,
    copy_failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Namespace {
    namespace: String,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            verifications: Family::default(),
            verified: Default::default(),
            first_use_wait: Histogram::new(FAST_SECONDS),
            snapshot: Histogram::new(NETWORK_SECONDS),
            propagation: Histogram::new(NETWORK_SECONDS),
            lag: Gauge::default(),
            lease: Gauge::default(),
            remaining: Family::default(),
            tokens: Gauge::default(),
            connected: Gauge::default(),
            sessions_lost: Counter::default(),
            mismatches: Counter::default(),
            copy_bytes: Gauge::default(),
            copy_age: Gauge::default(),
            copy_failures: Counter::default(),
        };
        let mut registry = Registry::default();
        registry.register(
            "jeton_verifications",
            "Answers by code and by what they rest on",
            metrics.verifications.clone(),
        );
        registry.register(
            "jeton_first_use_wait_seconds",
            "How long a token newer than the replica waited for the authority's word",
            metrics.first_use_wait.clone(),
        );
        registry.register(
            "jeton_snapshot_duration_seconds",
            "From a snapshot's beginning to its being served",
            metrics.snapshot.clone(),
        );
        registry.register(
            "jeton_propagation_duration_seconds",
            "From a record's commit to its being served here, by the two machines' clocks: an estimate",
            metrics.propagation.clone(),
        );
        registry.register("jeton_feed_lag_seconds", "Since the authority last said how far it is", metrics.lag.clone());
        registry.register("jeton_lease_remaining_seconds", "What is left of the lease", metrics.lease.clone());
        registry.register(
            "jeton_freshness_remaining_seconds",
            "How long a namespace is answered for unless the lease is renewed: lease and grace together",
            metrics.remaining.clone(),
        );
        registry.register("jeton_replica_tokens", "Tokens held, ended ones among them", metrics.tokens.clone());
        registry.register(
            "jeton_feed_connected",
            "Whether the stream to the authority stands",
            metrics.connected.clone(),
        );
        registry.register(
            "jeton_sessions_lost",
            "Sessions that the authority ended, each followed by another",
            metrics.sessions_lost.clone(),
        );
        registry.register(
            "jeton_replica_mismatches",
            "How often what is held was not what the authority's log leaves, and a snapshot took its place",
            metrics.mismatches.clone(),
        );
        registry.register(
            "jeton_state_copy_bytes",
            "The size of the replica's copy in the state folder; 0 without one",
            metrics.copy_bytes.clone(),
        );
        registry.register(
            "jeton_state_copy_age_seconds",
            "Since that copy was written, or read at the start; infinite without one",
            metrics.copy_age.clone(),
        );
        registry.register(
            "jeton_state_copy_failures",
            "How often the replica could not be copied into the state folder",
            metrics.copy_failures.clone(),
        );
        build_info(&mut registry);
        Self { registry, ..metrics }
    }

    pub(super) fn encode(&self, status: &Status) -> (&'static str, String) {
        self.lag.set(status.lag.map_or(f64::INFINITY, |lag| lag.as_secs_f64()));
        self.lease.set(status.lease_remaining.as_secs_f64());
        self.tokens.set(i64::try_from(status.tokens).unwrap_or(i64::MAX));
        self.connected.set(i64::from(status.connected));
        self.copy_bytes.set(status.copy.map_or(0, |copy| i64::try_from(copy.bytes).unwrap_or(i64::MAX)));
        self.copy_age.set(status.copy.map_or(f64::INFINITY, |copy| copy.age.as_secs_f64()));
        for namespace in &status.namespaces {
            let labels = Namespace { namespace: namespace.namespace.to_string() };
            self.remaining.get_or_create(&labels).set(namespace.remaining.as_secs_f64());
        }
        encode(&self.registry)
    }
}

impl Observe for Metrics {
    fn verification(&self, code: Code, source: Option<Source>) {
        let (place, word) = source.map_or((0, "none"), |source| (source as usize + 1, source.as_str()));
        let labels = Verification { code: code.as_str(), source: word };
        let count = || self.verifications.get_or_create(&labels).clone();
        match self.verified.get(code as usize).and_then(|sources| sources.get(place)) {
            Some(counter) => counter.get_or_init(count).inc(),
            None => count().inc(),
        };
    }

    fn replica_mistrusted(&self) {
        self.mismatches.inc();
    }

    fn copy_failed(&self) {
        self.copy_failures.inc();
    }

    fn session_lost(&self) {
        self.sessions_lost.inc();
    }

    fn first_use_wait(&self, wait: Duration, _in_time: bool) {
        self.first_use_wait.observe(wait.as_secs_f64());
    }

    fn snapshot(&self, took: Duration, _rows: u64) {
        self.snapshot.observe(took.as_secs_f64());
    }

    fn record(&self, _revision: Revision, _committed_at: UnixTime, since_commit: Duration) {
        self.propagation.observe(since_commit.as_secs_f64());
    }
}
