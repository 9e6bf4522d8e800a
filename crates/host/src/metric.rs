//! The text form of a process's metrics, and the bucket bounds they share.

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Bounds in seconds for what normally takes micro- to milliseconds: verification, commit, first-use wait.
pub const FAST_SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Bounds in seconds for what crosses the network, up to the slowest strict receipt: propagation, issue, snapshot.
pub const NETWORK_SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 7.0, 30.0];

/// Bounds in seconds for receipts: from one round trip over the strict bound (7 s, 8 s) to the default grace (383 s).
pub const RECEIPT_SECONDS: [f64; 14] =
    [0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 7.0, 8.0, 30.0, 120.0, 400.0];

/// Bounds for numbers of things: the size of a batch.
pub const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// Registers which version runs.
pub fn build_info(registry: &mut Registry) {
    let info = Family::<BuildLabels, Gauge>::default();
    info.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
    registry.register("jeton_build_info", "The version that runs; always 1", info);
}

/// The registry in the Prometheus text format 0.0.4, with the `Content-Type` to send it under.
#[must_use]
pub fn encode(registry: &Registry) -> (&'static str, String) {
    let mut text = String::with_capacity(8 * 1024);
    if let Err(error) = prometheus_text::encode(&mut text, registry) {
        // Writing to a string does not fail; a metric that cannot encode itself must not take the others with it.
        tracing::error!(%error, "metrics could not be encoded completely");
    }
    (prometheus_text::CONTENT_TYPE, text)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Unit;

    use super::*;

    #[test]
    fn text_is_prometheus_and_not_openmetrics() {
        let mut registry = Registry::with_prefix("jeton");
        let verifications = Counter::<u64>::default();
        registry.register("verifications", "Tokens verified", verifications.clone());
        let wait = Histogram::new(FAST_SECONDS);
        registry.register_with_unit("first_use_wait", "Wait for a token's first use", Unit::Seconds, wait.clone());
        verifications.inc();
        wait.observe(0.003);

        let (content_type, text) = encode(&registry);
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
        assert!(text.contains("# TYPE jeton_verifications_total counter\njeton_verifications_total 1\n"), "{text}");
        assert!(text.contains("jeton_first_use_wait_seconds_bucket{le=\"0.005\"} 1\n"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }

    #[test]
    fn bounds_rise() {
        for bounds in [&FAST_SECONDS[..], &NETWORK_SECONDS, &RECEIPT_SECONDS, &COUNTS] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }
}
