//! A token that was issued, and what may be said of it.

use std::time::Duration;

use crate::{web::Answer, work::OVERLAP};

/// A token and what its program knows of it, in the simulation's true time.
#[derive(Debug)]
pub(crate) struct Token {
    /// How it is called in the history.
    pub(crate) label: String,
    pub(crate) secret: String,
    pub(crate) credential: String,
    pub(crate) namespace: &'static str,
    pub(crate) name: String,
    /// No rotation has been asked for since.
    pub(crate) newest: bool,
    /// It comes from a rotation.
    pub(crate) rotated: bool,
    pub(crate) deadline: Option<Deadline>,
    /// From when on it may be refused: its revocation was asked for then.
    pub(crate) ended_from: Option<Duration>,
    pub(crate) revocation: Option<String>,
    /// From when on it must be: its receipt was known to be complete then.
    pub(crate) complete_at: Option<Duration>,
}

/// When a rotated token expires. Every clock is wrong by up to 10 %, and authority time by 2 % more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    earliest: Duration,
    latest: Option<Duration>,
}

/// Verifiers err towards refusing, by a quarter of the time since they asked for their last grant: lease and longest grace.
const EARLY: Duration = Duration::from_secs(5);

impl Deadline {
    pub(crate) fn from_asked(asked: Duration) -> Self {
        Self { earliest: asked + OVERLAP.mul_f64(1.0 / 1.13).saturating_sub(EARLY), latest: None }
    }

    pub(crate) fn answered(asked: Duration, answered: Duration) -> Self {
        Self { latest: Some(answered + OVERLAP.mul_f64(1.14) + Duration::from_millis(100)), ..Self::from_asked(asked) }
    }
}

impl Token {
    /// From the answer to an issue or a rotation.
    pub(crate) fn issued(namespace: &'static str, name: &str, answer: &Answer) -> Option<Self> {
        let told = answer.json();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Some(Self {
            label: format!("{namespace}/{name}#{}", told["token"]["version"]),
            secret: text(&told["token"]["secret"])?,
            credential: text(&told["credential"]["id"])?,
            namespace,
            name: name.to_owned(),
            newest: true,
            rotated: false,
            deadline: None,
            ended_from: None,
            revocation: None,
            complete_at: None,
        })
    }

    /// Whether an answer may be; and the answer in a word. The decision was made at some moment between the two.
    pub(crate) fn judge(
        &self,
        asked: Duration,
        answered: Duration,
        by_auth: bool,
        answer: Option<&Answer>,
    ) -> (Result<(), &'static str>, String) {
        let Some(answer) = answer else { return (Ok(()), "none".to_owned()) };
        let (status, code) = (answer.status.as_u16(), answer.code());
        let word = match (by_auth, status) {
            (_, 503 | 429) => "unavailable".to_owned(),
            (true, 200) => "valid".to_owned(),
            (true, 401) => "refused".to_owned(),
            (false, 200) => code,
            _ => format!("{status}"),
        };
        let revocable = self.ended_from.is_some_and(|from| from <= answered);
        let expirable = self.deadline.is_some_and(|deadline| deadline.earliest <= answered);
        let verdict = match word.as_str() {
            "valid" if self.complete_at.is_some_and(|complete| complete <= asked) => {
                Err("S1: accepted after its receipt was complete:")
            }
            "valid" if self.deadline.and_then(|deadline| deadline.latest).is_some_and(|latest| latest < asked) => {
                Err("S14: accepted after its deadline:")
            }
            "valid" | "unavailable" => Ok(()),
            "revoked" if revocable => Ok(()),
            "expired" if expirable => Ok(()),
            "refused" if revocable || expirable => Ok(()),
            "revoked" | "expired" | "refused" => Err("S10: refused though nobody ended it:"),
            "unknown" | "malformed" => Err("S9: answered unknown though its issue had returned:"),
            _ => Err("S10: an answer that is none of three:"),
        };
        (verdict, word)
    }
}
