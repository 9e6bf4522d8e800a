//! What happened, when, and what of it must not have.

use std::{fmt::Write as _, time::Duration};

/// All operations of one run in order, with their virtual times.
#[derive(Debug, Default)]
pub struct History {
    lines: Vec<(Duration, String)>,
    violations: Vec<String>,
    /// How often what was done.
    pub counts: Counts,
    trace: Trace,
}

/// How often what was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Mutations that were acknowledged.
    pub acknowledged: u64,
    /// Mutations that were asked for again because no answer came.
    pub asked_again: u64,
    /// Verifications that were answered valid.
    pub valid: u64,
    /// Those that were answered invalid.
    pub invalid: u64,
    /// Those that were answered unavailable, or not at all.
    pub unavailable: u64,
    /// Receipts that were complete.
    pub complete: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Crashes of the authority and of sidecars.
    pub crashes: u64,
    /// Written mutations that a crash took.
    pub lost_unsynced: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.asked_again += other.asked_again;
        self.valid += other.valid;
        self.invalid += other.invalid;
        self.unavailable += other.unavailable;
        self.complete += other.complete;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.lost_unsynced += other.lost_unsynced;
    }
}

/// FNV-1a over all that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl History {
    pub(crate) fn note(&mut self, at: Duration, line: String) {
        self.trace.take(&at.as_nanos().to_le_bytes());
        self.trace.take(line.as_bytes());
        self.lines.push((at, line));
    }

    pub(crate) fn violation(&mut self, at: Duration, what: String) {
        self.note(at, format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    /// What must not have happened.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// A number that two runs share only if all that happened in them is the same, to the nanosecond.
    #[must_use]
    pub const fn trace(&self) -> u64 {
        self.trace.0
    }

    /// Where two runs part, if they do.
    #[must_use]
    pub fn parts_from(&self, other: &Self) -> Option<String> {
        let shown = |line: Option<&(Duration, String)>| {
            line.map_or_else(|| "its end".to_owned(), |(at, line)| format!("{at:?} {line}"))
        };
        let most = self.lines.len().max(other.lines.len());
        let first = (0..most).find(|place| self.lines.get(*place) != other.lines.get(*place))?;
        Some(format!("line {first}: {} / {}", shown(self.lines.get(first)), shown(other.lines.get(first))))
    }

    /// Faults, violations, and all that speaks of what the first violation is about; a page at most.
    #[must_use]
    pub fn timeline(&self) -> String {
        let about = self.violations.first().and_then(|text| text.split_whitespace().find(|word| word.contains('#')));
        let told = |line: &str| {
            line.starts_with("fault")
                || line.starts_with("VIOLATION")
                || about.is_some_and(|about| line.split_whitespace().any(|word| word == about))
        };
        let wanted: Vec<_> = self.lines.iter().filter(|(_, line)| told(line)).collect();
        let mut page = String::new();
        let skipped = wanted.len().saturating_sub(LINES_MAX);
        if skipped > 0 {
            let _ = writeln!(page, "({skipped} lines before)");
        }
        for (at, line) in wanted.into_iter().skip(skipped) {
            let _ = writeln!(page, "{:>9.3} s  {line}", at.as_secs_f64());
        }
        page
    }
}

const LINES_MAX: usize = 60;
