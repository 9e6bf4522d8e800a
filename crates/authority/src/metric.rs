//! What the authority measures. Names and labels are promised to dashboards and alerts; units are base units.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use jeton_feed::authority::{SessionState, SessionView};
use jeton_host::metric::{COUNTS, FAST_SECONDS, NETWORK_SECONDS, RECEIPT_SECONDS, build_info};
use jeton_store::{Space, model::UsageTaken};
use jeton_types::VerifierName;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::time::Step;

/// Verifier names that are told apart; what comes after is `_other`, so that nobody can fill the memory with names.
pub const VERIFIER_NAMES_MAX: usize = 1_000;

/// The label of the verifiers beyond [`VERIFIER_NAMES_MAX`]. No verifier can have this name.
const OTHER: &str = "_other";

/// The metrics of one authority.
pub struct Metrics {
    /// What is encoded for `/metrics`.
    pub registry: Registry,
    issue: Family<PhaseLabels, Histogram, Buckets>,
    commit_batch: Histogram,
    propagation: Family<VerifierLabels, Histogram, Buckets>,
    receipt: Histogram,
    receipts_pending: Gauge,
    sessions: Family<StateLabels, Gauge>,
    snapshot: Histogram,
    feed_lag: Family<VerifierLabels, Seconds>,
    lease_remaining: Family<VerifierLabels, Seconds>,
    verifications: Family<VerificationLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<RouteLabels, Histogram, Buckets>,
    event_clients: Gauge,
    event_clients_cut: Counter,
    sessions_ended: Family<EvidenceLabels, Counter>,
    clock_jumps: Counter,
    clock_step: Gauge,
    rollback: Gauge,
    storage_full: Gauge,
    ballast: Gauge,
    set_hash_doubted: Counter,
    frames_made: Counter,
    replica_mismatches: Counter,
    log_records: Gauge,
    log_records_cut: Counter,
    tokens_collected: Counter,
    usage_reports: Family<OutcomeLabels, Counter>,
    names: Mutex<Names>,
}

/// The parts of issuing a token that are measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssuePhase {
    /// Finding out who calls and what is asked.
    Check,
    /// From handing it to the store until it is durable.
    Commit,
    /// From the request to the answer.
    Total,
}

impl IssuePhase {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Check, Self::Commit, Self::Total];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Commit => "commit",
            Self::Total => "total",
        }
    }
}

impl Metrics {
    /// All metrics at zero; those with few labels are there from the start.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            issue: Family::new_with_constructor(Buckets(&FAST_SECONDS)),
            commit_batch: Histogram::new(COUNTS),
            propagation: Family::new_with_constructor(Buckets(&NETWORK_SECONDS)),
            receipt: Histogram::new(RECEIPT_SECONDS),
            receipts_pending: Gauge::default(),
            sessions: Family::default(),
            snapshot: Histogram::new(NETWORK_SECONDS),
            feed_lag: Family::default(),
            lease_remaining: Family::default(),
            verifications: Family::default(),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(Buckets(&FAST_SECONDS)),
            event_clients: Gauge::default(),
            event_clients_cut: Counter::default(),
            sessions_ended: Family::default(),
            clock_jumps: Counter::default(),
            clock_step: Gauge::default(),
            rollback: Gauge::default(),
            storage_full: Gauge::default(),
            ballast: Gauge::default(),
            set_hash_doubted: Counter::default(),
            frames_made: Counter::default(),
            replica_mismatches: Counter::default(),
            log_records: Gauge::default(),
            log_records_cut: Counter::default(),
            tokens_collected: Counter::default(),
            usage_reports: Family::default(),
            names: Mutex::default(),
        };
        for phase in IssuePhase::ALL {
            drop(metrics.issue.get_or_create(&PhaseLabels { phase: phase.as_str() }));
        }
        for evidence in ["goodbye", "succeeded", "forgotten"] {
            drop(metrics.sessions_ended.get_or_create(&EvidenceLabels { evidence }));
        }
        for outcome in [UsageTaken::Counted, UsageTaken::Again] {
            drop(metrics.usage_reports.get_or_create(&OutcomeLabels { outcome: outcome_of(outcome) }));
        }
        metrics.sessions_counted(&BTreeMap::new());
        metrics.registered()
    }

    /// A part of issuing a token took this long.
    pub fn issue_observe(&self, phase: IssuePhase, took: Duration) {
        self.issue.get_or_create(&PhaseLabels { phase: phase.as_str() }).observe(took.as_secs_f64());
    }

    /// A commit held this many mutations.
    pub fn commit_observe(&self, mutations: usize) {
        self.commit_batch.observe(mutations as f64);
    }

    /// A verifier acknowledged a record this long after its commit.
    pub fn propagation_observe(&self, verifier: &VerifierName, took: Duration) {
        let labels = VerifierLabels { verifier: self.names().label(verifier) };
        self.propagation.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A receipt became complete this long after the commit.
    pub fn receipt_observe(&self, took: Duration) {
        self.receipt.observe(took.as_secs_f64());
    }

    /// A snapshot took this long to send.
    pub fn snapshot_observe(&self, took: Duration) {
        self.snapshot.observe(took.as_secs_f64());
    }

    /// A frame of a record was encoded.
    pub fn frame_made_count(&self) {
        self.frames_made.inc();
    }

    /// How many frames were encoded.
    #[cfg(test)]
    pub(crate) fn frames_made(&self) -> u64 {
        self.frames_made.get()
    }

    /// The authority itself verified a token, with this code from this source.
    pub fn verification_count(&self, code: &'static str, source: &'static str) {
        self.verifications.get_or_create(&VerificationLabels { code, source }).inc();
    }

    /// A request was answered. The route is a template, never a path that somebody sent.
    pub fn request_observe(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = RequestLabels { method, route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        self.request_duration.get_or_create(&RouteLabels { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// A client of the events came (`true`) or went.
    pub fn event_client_count(&self, came: bool) {
        if came {
            self.event_clients.inc()
        } else {
            self.event_clients.dec()
        };
    }

    /// A client of the events was cut, because it was too slow.
    pub fn event_client_cut_count(&self) {
        self.event_clients_cut.inc();
    }

    /// A session ended, on this evidence.
    pub fn session_ended_count(&self, evidence: &'static str) {
        self.sessions_ended.get_or_create(&EvidenceLabels { evidence }).inc();
    }

    /// Real time ran ahead of boot time.
    pub fn clock_jump_count(&self) {
        self.clock_jumps.inc();
    }

    /// How far the wall clock is away, while it is not followed.
    pub(crate) fn clock_step_set(&self, step: Option<Step>) {
        let seconds = |step: Step| {
            let by = i64::try_from(step.by.as_secs()).unwrap_or(i64::MAX);
            if step.ahead { by } else { -by }
        };
        self.clock_step.set(step.map_or(0, seconds));
    }

    /// The data were put back to an older state.
    pub(crate) fn rollback_set(&self) {
        self.rollback.set(1);
    }

    /// What there is known of the room on the disk.
    pub fn space_set(&self, space: Space) {
        self.storage_full.set(i64::from(space.full));
        self.ballast.set(i64::try_from(space.ballast_bytes).unwrap_or(i64::MAX));
    }

    /// A namespace's set hash is not published any more: the authority's own replica disagrees.
    pub fn set_hash_doubted_count(&self) {
        self.set_hash_doubted.inc();
    }

    /// A verifier's hello showed a replica that is not what the log leaves.
    pub fn replica_mismatch_count(&self) {
        self.replica_mismatches.inc();
    }

    /// So many records were cut off the log, and so many are left.
    pub(crate) fn log_cut_set(&self, cut: usize, retained: u64) {
        self.log_records_cut.inc_by(cut as u64);
        self.log_records.set(i64::try_from(retained).unwrap_or(i64::MAX));
    }

    /// So many tokens that expired long ago were collected.
    pub(crate) fn tokens_collected_count(&self, count: usize) {
        self.tokens_collected.inc_by(count as u64);
    }

    /// A verifier's report of use was looked at.
    pub(crate) fn usage_report_count(&self, outcome: UsageTaken) {
        self.usage_reports.get_or_create(&OutcomeLabels { outcome: outcome_of(outcome) }).inc();
    }

    /// How the verifiers stand now, and how many receipts are pending. Of several sessions of one name the worst counts.
    pub fn fleet_set(&self, sessions: &[SessionView], receipts_pending: usize) {
        self.receipts_pending.set(i64::try_from(receipts_pending).unwrap_or(i64::MAX));
        let mut names = self.names();
        let mut counts = BTreeMap::new();
        let mut worst: BTreeMap<String, (Duration, Duration)> = BTreeMap::new();
        for session in sessions {
            *counts.entry(session.state.as_str()).or_default() += 1;
            let (lag, lease) =
                worst.entry(names.label(&session.facts.verifier)).or_insert((session.lag, session.lease_remaining));
            *lag = session.lag.max(*lag);
            *lease = session.lease_remaining.min(*lease);
        }
        self.sessions_counted(&counts);
        let shown: BTreeSet<String> = worst.keys().cloned().collect();
        for gone in names.shown.difference(&shown) {
            let labels = VerifierLabels { verifier: gone.clone() };
            self.feed_lag.remove(&labels);
            self.lease_remaining.remove(&labels);
        }
        if names.known.len() >= VERIFIER_NAMES_MAX {
            // Those that came later get a name of their own once those that left make room.
            names.known.retain(|name| {
                let stays = shown.contains(name);
                if !stays {
                    self.propagation.remove(&VerifierLabels { verifier: name.clone() });
                }
                stays
            });
        }
        names.shown = shown;
        for (verifier, (lag, lease)) in worst {
            let labels = VerifierLabels { verifier };
            self.feed_lag.get_or_create(&labels).set(lag.as_secs_f64());
            self.lease_remaining.get_or_create(&labels).set(lease.as_secs_f64());
        }
    }

    fn sessions_counted(&self, counts: &BTreeMap<&'static str, i64>) {
        for state in SessionState::ALL {
            let count = counts.get(state.as_str()).copied().unwrap_or_default();
            self.sessions.get_or_create(&StateLabels { state: state.as_str() }).set(count);
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The help texts lack the final period: the encoder adds it.
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("jeton_issue_duration_seconds", "Time to issue a token, by phase", self.issue.clone());
        registry.register("jeton_commit_batch_size", "Mutations in one commit", self.commit_batch.clone());
        registry.register(
            "jeton_propagation_duration_seconds",
            "Time from the commit of a record to a verifier's acknowledgement",
            self.propagation.clone(),
        );
        registry.register(
            "jeton_receipt_duration_seconds",
            "Time from the commit of a revocation to its complete receipt",
            self.receipt.clone(),
        );
        registry.register(
            "jeton_receipts_pending",
            "Revocations whose receipt is not complete",
            self.receipts_pending.clone(),
        );
        registry.register("jeton_sessions", "Sessions of verifiers, by state", self.sessions.clone());
        registry.register("jeton_snapshot_duration_seconds", "Time to send a snapshot", self.snapshot.clone());
        registry.register(
            "jeton_feed_frames_made",
            "Frames of large records that were encoded, each of them for all streams",
            self.frames_made.clone(),
        );
        registry.register(
            "jeton_feed_lag_seconds",
            "Age of the oldest record that a verifier has not acknowledged",
            self.feed_lag.clone(),
        );
        registry.register(
            "jeton_lease_remaining_seconds",
            "What is left of a verifier's lease",
            self.lease_remaining.clone(),
        );
        registry.register(
            "jeton_verifications",
            "Verdicts given by the authority itself, by code and source",
            self.verifications.clone(),
        );
        registry.register(
            "jeton_http_requests",
            "Answers of the HTTP API, by method, route and status",
            self.requests.clone(),
        );
        registry.register(
            "jeton_http_request_duration_seconds",
            "Time from a request's head to the head of its answer, by route",
            self.request_duration.clone(),
        );
        registry.register("jeton_event_clients", "Clients that read the events now", self.event_clients.clone());
        registry.register(
            "jeton_event_clients_cut",
            "Clients of the events that were cut because they were too slow",
            self.event_clients_cut.clone(),
        );
        registry.register(
            "jeton_sessions_ended",
            "Sessions of verifiers that ended, by evidence",
            self.sessions_ended.clone(),
        );
        registry.register("jeton_log_records", "Records that the log holds", self.log_records.clone());
        registry.register(
            "jeton_usage_reports",
            "Reports of verifiers on tokens in use, by what became of them",
            self.usage_reports.clone(),
        );
        registry.register("jeton_log_records_cut", "Records that were cut off the log", self.log_records_cut.clone());
        registry.register(
            "jeton_tokens_collected",
            "Tokens that had expired long before and that verifiers were told to forget",
            self.tokens_collected.clone(),
        );
        registry.register(
            "jeton_clock_jumps",
            "How often real time ran ahead of boot time: a paused machine",
            self.clock_jumps.clone(),
        );
        registry.register(
            "jeton_clock_step_seconds",
            "How far the wall clock is ahead of authority time, or behind it if negative, while it is too far to be followed",
            self.clock_step.clone(),
        );
        registry.register(
            "jeton_rollback",
            "1 once the data were found to be older than what a verifier has seen: nothing is granted or written",
            self.rollback.clone(),
        );
        registry.register(
            "jeton_storage_full",
            "1 while the disk of the data folder is full, and only what ends authority is written",
            self.storage_full.clone(),
        );
        registry.register(
            "jeton_ballast_bytes",
            "What is held back of the disk for ending authority when it is full",
            self.ballast.clone(),
        );
        registry.register(
            "jeton_set_hash_doubted",
            "Namespaces whose set hash is not published any more: the authority's own rows add up to something else",
            self.set_hash_doubted.clone(),
        );
        registry.register(
            "jeton_replica_mismatches",
            "Hellos of verifiers whose replica was not what the log leaves; each was sent a snapshot",
            self.replica_mismatches.clone(),
        );
        build_info(registry);
        self
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

type Seconds = Gauge<f64, AtomicU64>;

/// Which verifiers have a label of their own, and which have gauges now.
#[derive(Default)]
struct Names {
    known: BTreeSet<String>,
    shown: BTreeSet<String>,
}

impl Names {
    fn label(&mut self, verifier: &VerifierName) -> String {
        if !self.known.contains(verifier.as_str()) {
            if self.known.len() >= VERIFIER_NAMES_MAX {
                return OTHER.to_owned();
            }
            self.known.insert(verifier.to_string());
        }
        verifier.to_string()
    }
}

/// Makes the histograms of a family.
#[derive(Clone)]
struct Buckets(&'static [f64]);

impl prometheus_client::metrics::family::MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerifierLabels {
    verifier: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

const fn outcome_of(outcome: UsageTaken) -> &'static str {
    match outcome {
        UsageTaken::Counted => "counted",
        UsageTaken::Again => "again",
        UsageTaken::Foreign(_) => "foreign",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EvidenceLabels {
    evidence: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerificationLabels {
    code: &'static str,
    source: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_share_one_label() {
        let metrics = Metrics::new();
        let label = |name: String| metrics.names().label(&name.parse().unwrap());
        for number in 0..VERIFIER_NAMES_MAX {
            let name = format!("edge-{number}");
            assert_eq!(label(name.clone()), name);
        }
        assert_eq!(label("late".to_owned()), OTHER);
        assert_eq!(label("edge-7".to_owned()), "edge-7");
        metrics.propagation_observe(&"edge-7".parse().unwrap(), Duration::from_millis(3));
        metrics.fleet_set(&[], 0);
        assert_eq!(label("late".to_owned()), "late", "those that left make room");
        assert!(OTHER.parse::<VerifierName>().is_err(), "no verifier is called so");
    }

    #[test]
    fn the_names_that_are_promised() {
        let metrics = Metrics::new();
        metrics.propagation_observe(&"edge-1".parse().unwrap(), Duration::from_millis(3));
        metrics.verification_count("valid", "authority");
        let (_, text) = jeton_host::metric::encode(&metrics.registry);
        for line in [
            "# TYPE jeton_issue_duration_seconds histogram",
            "# TYPE jeton_commit_batch_size histogram",
            "# TYPE jeton_propagation_duration_seconds histogram",
            "# TYPE jeton_receipt_duration_seconds histogram",
            "# TYPE jeton_receipts_pending gauge",
            "# TYPE jeton_sessions gauge",
            "# TYPE jeton_snapshot_duration_seconds histogram",
            "jeton_propagation_duration_seconds_count{verifier=\"edge-1\"} 1",
            "jeton_verifications_total{code=\"valid\",source=\"authority\"} 1",
            "jeton_sessions{state=\"live\"} 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
