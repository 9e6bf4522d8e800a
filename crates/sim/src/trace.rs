//! What happened: as a number, to compare two runs, and in words, for a person.

use std::collections::VecDeque;

use crate::clock::{MILLI, SECOND, mix};

/// Lines that are kept.
const LINES_MAX: usize = 20_000;
/// Lines of a page.
const PAGE: usize = 46;

/// A world's own record of itself.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    told: bool,
    lines: VecDeque<Line>,
}

#[derive(Debug)]
struct Line {
    t: u64,
    who: String,
    what: String,
}

impl Trace {
    /// One that keeps words too.
    pub(crate) fn told() -> Self {
        Self { told: true, ..Self::default() }
    }

    /// The same for the same world.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn event(&mut self, t: u64, kind: u64) {
        self.hash = mix(self.hash ^ t.wrapping_mul(31) ^ kind);
    }

    pub(crate) fn note(&mut self, t: u64, who: impl FnOnce() -> String, what: impl FnOnce() -> String) {
        if !self.told {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { t, who: who(), what: what() });
    }

    /// A page of it: what was about any of `subjects`, and what happened to everybody, up to the end.
    #[must_use]
    pub fn page(&self, subjects: &[String]) -> String {
        let about = |line: &&Line| {
            subjects.is_empty()
                || line.who == "world"
                || subjects.iter().any(|subject| line.who == *subject || mentions(&line.what, subject))
        };
        let mut chosen: Vec<&Line> = self.lines.iter().filter(about).collect();
        let left_out = chosen.len().saturating_sub(PAGE);
        if left_out > 0 {
            // The end is what explains; of the beginning as much as shows what kind of world it is.
            let head = if subjects.is_empty() { PAGE / 2 } else { 4 };
            chosen.drain(head..head + left_out);
        }
        let mut text = String::new();
        for (place, line) in chosen.iter().enumerate() {
            let cut = if subjects.is_empty() { PAGE / 2 } else { 4 };
            if left_out > 0 && place == cut {
                text.push_str(&format!("             … {left_out} lines of these left out\n"));
            }
            text.push_str(&format!("{}  {:<10} {}\n", seconds(line.t), line.who, line.what));
        }
        text
    }
}

/// Whether a text names this very subject, not one whose name begins with it.
fn mentions(text: &str, subject: &str) -> bool {
    text.match_indices(subject).any(|(at, _)| {
        let next = text[at + subject.len()..].chars().next();
        !next.is_some_and(|next| next.is_ascii_digit())
    })
}

/// A moment of the world, for a person.
#[must_use]
pub fn seconds(t: u64) -> String {
    format!("{:>8}.{:03} s", t / SECOND, t % SECOND / MILLI)
}
