//! What the demo counts, and the table at its end.

use std::time::Duration;

use jeton_types::Span;

use crate::{exit::Failure, output};

/// Counts over all acts.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub issued: u64,
    pub verified: u64,
    pub first_use_failures: u64,
    pub rotations: u64,
    pub failed_legitimate: u64,
    pub revocations: u64,
    pub receipts: Vec<Duration>,
    pub accepted_after_receipt: u64,
    /// What did not go as the play has it, beyond the three rows that must be zero.
    pub wrong: Vec<String>,
}

impl Tally {
    /// Whether everything held that the demo is there to show.
    pub fn held(&self) -> bool {
        self.first_use_failures == 0
            && self.failed_legitimate == 0
            && self.accepted_after_receipt == 0
            && self.wrong.is_empty()
    }

    /// The receipt time below which this share of all receipts lies.
    fn receipt(&self, share: f64) -> String {
        let mut sorted = self.receipts.clone();
        sorted.sort_unstable();
        let place = (share * sorted.len() as f64).ceil() as usize;
        match sorted.get(place.saturating_sub(1)) {
            Some(duration) if *duration < Duration::from_millis(100) => {
                format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
            }
            Some(duration) => Span::from_millis(duration.as_millis() as u64).to_string(),
            None => "-".to_owned(),
        }
    }

    /// Prints the table.
    pub fn print(&self) -> Result<(), Failure> {
        let rows = [
            ("issued", self.issued.to_string()),
            ("verified", self.verified.to_string()),
            ("first-use failures", self.first_use_failures.to_string()),
            ("rotations", self.rotations.to_string()),
            ("failed legitimate requests", self.failed_legitimate.to_string()),
            ("revocations", self.revocations.to_string()),
            ("receipt p50", self.receipt(0.50)),
            ("receipt p99", self.receipt(0.99)),
            ("receipt max", self.receipt(1.0)),
            ("acceptances after a complete receipt", self.accepted_after_receipt.to_string()),
        ];
        output::line("")?;
        for (name, value) in rows {
            output::line(&format!("{name:<38} {value:>12}"))?;
        }
        for wrong in &self.wrong {
            output::line(&format!("WRONG: {wrong}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_of_any_kind_fails_the_demo() {
        assert!(Tally::default().held());
        for broken in [
            Tally { first_use_failures: 1, ..Tally::default() },
            Tally { failed_legitimate: 1, ..Tally::default() },
            Tally { accepted_after_receipt: 1, ..Tally::default() },
            Tally { wrong: vec!["x".to_owned()], ..Tally::default() },
        ] {
            assert!(!broken.held());
        }
    }

    #[test]
    fn percentiles_are_of_the_receipts_seen() {
        let tally = Tally { receipts: (1..=100).map(Duration::from_millis).collect(), ..Tally::default() };
        assert_eq!(
            (tally.receipt(0.5), tally.receipt(0.99), tally.receipt(1.0)),
            ("50.0 ms".into(), "99.0 ms".into(), "100ms".into())
        );
        assert_eq!(Tally::default().receipt(0.5), "-");
    }
}
