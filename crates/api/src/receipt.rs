//! What a receipt signs: which tokens ended, where they could still have been accepted, when that stopped, and on what
//! evidence. It stands for itself: whoever has it and the authority's public key needs nothing else.

use std::{collections::HashSet, time::Duration};

use jeton_types::{Freshness, NamespaceName, Revision, RevocationId, StartId, TokenId, UnixTime};
use serde::{Deserialize, Serialize};

use crate::{
    revocation::{Effect, LineState, ReceiptState, VerifierLine, listed},
    time::Timestamp,
};

/// The `type` of the payload.
pub const TYPE: &str = "jeton.receipt";
/// The version of its shape that is written here.
pub const VERSION: u32 = 1;
/// The `typ` of a signed receipt's header, so that nothing else that the key may ever sign can pass for one.
pub const TYP: &str = "jeton-receipt+jws";

/// What a receipt says of its own limits.
const NOTE: &str = "the verifiers' acknowledgements are not signed by them: the authority vouches for what it was told";

/// What the end of a session by succession rests on.
const SUCCESSION: &str = "A5";
/// The assumptions that a receipt rests on as long as there is one store, SQLite.
const ASSUMPTIONS: [(&str, &str); 6] = [
    ("A1", "every machine's clock runs at most 10 % too fast or too slow"),
    (
        "A2",
        "a verifier's boot clock does not stop while the verifier can still answer, except for pauses of the whole \
         machine, which it notices when real time runs ahead of boot time by more than 250 ms",
    ),
    ("A3", "what the authority's storage reports as synced is durable"),
    ("A4", "enrolled verifiers run this software unchanged: the receipt proves propagation, not honesty"),
    (
        SUCCESSION,
        "a boot id and the lock on a verifier's state folder name one kernel: whoever holds the lock there knows that the \
         process which held it before is gone",
    ),
    ("A7", "one authority at a time is live on this store"),
];

/// The least silence after which a session is counted out: `1.25 · 5 s + 250 ms` with no grace, less the 2 % by which
/// the authority's own time may lag its boot clock while it waits for a wall clock that was set back.
const SILENCE_MIN: Duration = Duration::from_millis(6_370);

/// The signed content of a receipt. Only a complete one is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptPayload {
    /// `jeton.receipt`
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of this shape.
    pub version: u32,
    /// The revocation.
    pub id: RevocationId,
    /// The namespace.
    pub namespace: NamespaceName,
    /// What it took away.
    pub effect: Effect,
    /// The longest grace that any session was allowed for when it was counted out.
    pub freshness: Freshness,
    /// The revision.
    pub revision: Revision,
    /// The start of the authority that completed it.
    pub start: StartId,
    /// When the revocation was durable, by the authority's time, as are all moments here.
    pub committed_at: Timestamp,
    /// When the last session could not accept any more.
    pub completed_at: Timestamp,
    /// When this was signed, in whole seconds since the epoch.
    pub iat: u64,
    /// `complete`
    pub state: ReceiptState,
    /// How many tokens it touched; zero where it touched a whole namespace.
    pub count: u64,
    /// Which: the first hundred.
    pub tokens: Vec<TokenId>,
    /// How many more than are listed.
    pub tokens_omitted: u64,
    /// Each session that could have accepted, the authority itself among them.
    pub verifiers: Vec<VerifierLine>,
    /// What all this rests on.
    pub assumptions: Vec<Assumption>,
    /// What it does not prove.
    pub note: String,
    /// All of it in one sentence.
    pub statement: String,
}

/// One assumption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assumption {
    /// Its number.
    pub id: String,
    /// What is assumed.
    pub text: String,
}

/// What the authority knows when a receipt becomes complete.
#[derive(Debug, Clone)]
pub struct ReceiptParts {
    /// The revocation.
    pub id: RevocationId,
    /// The namespace.
    pub namespace: NamespaceName,
    /// What it took away.
    pub effect: Effect,
    /// The longest grace that any session was allowed for.
    pub freshness: Freshness,
    /// The revision.
    pub revision: Revision,
    /// The running start of the authority.
    pub start: StartId,
    /// When the revocation was durable.
    pub committed_at: UnixTime,
    /// When the last session could not accept any more.
    pub completed_at: UnixTime,
    /// When this is signed.
    pub signed_at: UnixTime,
    /// All tokens that it touched.
    pub tokens: Vec<TokenId>,
    /// The evidence, the authority's own line among it.
    pub verifiers: Vec<VerifierLine>,
    /// Whether sessions may end by succession: one that ended so before the revocation has no line.
    pub succession: bool,
}

fn assumptions(succession: bool) -> Vec<Assumption> {
    let made = ASSUMPTIONS.iter().filter(|(id, _)| succession || *id != SUCCESSION);
    made.map(|(id, text)| Assumption { id: (*id).to_owned(), text: (*text).to_owned() }).collect()
}

impl ReceiptPayload {
    /// What is to be signed.
    #[must_use]
    pub fn new(parts: ReceiptParts) -> Self {
        let (tokens, tokens_omitted) = listed(&parts.tokens);
        let succeeded = |line: &VerifierLine| line.state == LineState::Succeeded;
        let succession = parts.succession || parts.verifiers.iter().any(succeeded);
        Self {
            kind: TYPE.to_owned(),
            version: VERSION,
            statement: statement(&parts),
            id: parts.id,
            namespace: parts.namespace,
            effect: parts.effect,
            freshness: parts.freshness,
            revision: parts.revision,
            start: parts.start,
            committed_at: parts.committed_at.into(),
            completed_at: parts.completed_at.into(),
            iat: parts.signed_at.as_secs(),
            state: ReceiptState::Complete,
            count: parts.tokens.len() as u64,
            tokens,
            tokens_omitted,
            verifiers: parts.verifiers,
            assumptions: assumptions(succession),
            note: NOTE.to_owned(),
        }
    }

    /// Whether the evidence is what a complete receipt must have. It needs no key, no authority and no clock; that the
    /// signature is good is another question.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn check_evidence(&self) -> Result<(), String> {
        if self.kind != TYPE {
            return Err(format!("this is no receipt: its type is `{}`, not `{TYPE}`", printable(&self.kind)));
        }
        if self.version != VERSION {
            return Err(format!("version {} of a receipt is not known here: use a newer jeton", self.version));
        }
        if self.state != ReceiptState::Complete {
            return Err("the receipt is not complete".to_owned());
        }
        self.check_moments()?;
        self.check_tokens()?;
        self.check_sessions()?;
        self.verifiers.iter().try_for_each(|line| self.check_line(line))
    }

    fn check_moments(&self) -> Result<(), String> {
        let (committed, completed) = (self.committed_at, self.completed_at);
        if completed < committed {
            return Err(format!("it was complete at {completed}, before it was committed at {committed}"));
        }
        if self.iat < completed.0.as_secs() {
            return Err(format!("it was signed before it was complete at {completed}"));
        }
        Ok(())
    }

    fn check_tokens(&self) -> Result<(), String> {
        // A namespace is switched off as a whole, or made stricter, and a credential is deleted that may have no living token.
        if self.count == 0
            && !matches!(self.effect, Effect::Disable | Effect::Delete | Effect::Narrow | Effect::Tighten)
        {
            return Err("it names no token".to_owned());
        }
        if (self.tokens.len() as u64).checked_add(self.tokens_omitted) != Some(self.count) {
            return Err(format!(
                "it counts {} tokens, but lists {} and omits {}",
                self.count,
                self.tokens.len(),
                self.tokens_omitted
            ));
        }
        let mut seen = HashSet::new();
        match self.tokens.iter().find(|token| !seen.insert(**token)) {
            Some(token) => Err(format!("it names token {token} twice")),
            None => Ok(()),
        }
    }

    fn check_sessions(&self) -> Result<(), String> {
        let authorities = self.verifiers.iter().filter(|line| line.is_authority()).count();
        if authorities != 1 {
            return Err(format!("it has {authorities} lines of the authority itself, not one"));
        }
        let mut seen = HashSet::new();
        for line in self.verifiers.iter().filter(|line| !line.is_authority()) {
            match line.session {
                _ if line.id.is_authority() => return Err("a session bears the authority's name".to_owned()),
                None => return Err(format!("{} has no session", line.id)),
                Some(session) if !seen.insert(session) => return Err(format!("session {session} comes twice")),
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn check_line(&self, line: &VerifierLine) -> Result<(), String> {
        let name = match line.session {
            Some(session) => format!("{} ({session})", line.id),
            None => line.id.to_string(),
        };
        if line.state == LineState::Pending {
            return Err(format!("{name} is pending: it could still accept"));
        }
        if line.is_authority() && line.state != LineState::Acked {
            return Err(format!("the authority itself is {}, not acked", line.state));
        }
        let Some(at) = line.at else { return Err(format!("{name} is {} at no moment", line.state)) };
        if at > self.completed_at {
            return Err(format!("{name} is {} at {at}, after the receipt was complete", line.state));
        }
        if line.state == LineState::Fenced {
            return check_silence(line, at, &name);
        }
        // A session that had been silent for long may have been counted out before; all other evidence follows the commit.
        if at < self.committed_at {
            return Err(format!("{name} is {} at {at}, before the revocation was committed", line.state));
        }
        Ok(())
    }
}

fn check_silence(line: &VerifierLine, at: Timestamp, name: &str) -> Result<(), String> {
    let Some(since) = line.silent_since else { return Err(format!("{name} is fenced, but not said to be silent")) };
    let silence = at.0.since(since.0);
    if silence < SILENCE_MIN {
        return Err(format!("{name} is fenced after {silence:?} of silence, which is too soon"));
    }
    match line.stops_by {
        Some(stops_by) if at < stops_by => Err(format!("{name} is fenced at {at}, but could accept until {stops_by}")),
        _ => Ok(()),
    }
}

fn statement(parts: &ReceiptParts) -> String {
    let tokens = match parts.tokens.len() {
        0 => "any token".to_owned(),
        1 => "the token".to_owned(),
        many => format!("any of the {many} tokens"),
    };
    let what = match parts.effect {
        Effect::Revoke | Effect::Delete => format!("accepts {tokens} ended by {}", parts.id),
        Effect::Disable => format!("accepts {tokens} disabled by {}, until a later revision enables again", parts.id),
        Effect::Narrow => {
            format!("grants {tokens} a scope taken away by {}, until a later revision gives it again", parts.id)
        }
        Effect::Tighten => {
            format!("goes on for longer than the grace set by {} when it is cut off, until a later revision", parts.id)
        }
        Effect::Expire => format!("accepts {tokens} past the expiry set by {}", parts.id),
    };
    let at = Timestamp(parts.completed_at);
    let head = format!("no verification of namespace {} that starts after {at} {what}", parts.namespace);
    let states = LineState::ALL.into_iter().filter_map(|state| {
        let count = parts.verifiers.iter().filter(|line| !line.is_authority() && line.state == state).count();
        (count > 0).then(|| format!("{count} {state}"))
    });
    let states: Vec<String> = states.collect();
    if states.is_empty() {
        return format!("{head}: no verifier serves it, and the authority acknowledged");
    }
    format!("{head}: of the verifiers that serve it, {}; and the authority acknowledged", states.join(", "))
}

/// A stranger's text, fit to be shown on a terminal.
fn printable(text: &str) -> String {
    text.chars().take(40).map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use jeton_types::SessionId;

    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_micros(1_767_323_045_678_901 + secs * 1_000_000)
    }

    fn line(id: &str, session: Option<u8>, state: LineState, secs: u64) -> VerifierLine {
        VerifierLine {
            id: id.parse().unwrap(),
            session: session.map(|n| SessionId::from_bytes([n; 16])),
            state,
            at: Some(at(secs).into()),
            silent_since: None,
            stops_by: None,
        }
    }

    fn parts() -> ReceiptParts {
        ReceiptParts {
            id: RevocationId::from_bytes([3; 16]),
            namespace: "acme".parse().unwrap(),
            effect: Effect::Revoke,
            freshness: Freshness::Strict,
            revision: Revision::new(9).unwrap(),
            start: StartId::from_bytes([4; 16]),
            committed_at: at(10),
            completed_at: at(17),
            signed_at: at(17),
            tokens: vec![TokenId::from_bytes([2; 16])],
            verifiers: vec![
                line("authority", None, LineState::Acked, 10),
                line("edge-1", Some(1), LineState::Acked, 11),
                line("edge-2", Some(2), LineState::Goodbye, 12),
                VerifierLine { silent_since: Some(at(9).into()), ..line("edge-3", Some(3), LineState::Fenced, 17) },
            ],
            succession: true,
        }
    }

    #[test]
    fn succession_is_assumed_where_a_receipt_may_rest_on_it() {
        let check = |succession, state, expect| {
            let mut parts = ReceiptParts { succession, ..parts() };
            parts.verifiers[2].state = state;
            let payload = ReceiptPayload::new(parts);
            let assumed = payload.assumptions.iter().any(|assumption| assumption.id == SUCCESSION);
            assert_eq!(assumed, expect, "{succession} {state:?}");
        };
        check(true, LineState::Goodbye, true);
        check(false, LineState::Goodbye, false);
        check(false, LineState::Succeeded, true);
    }

    #[test]
    fn the_payload_as_json() {
        let payload = ReceiptPayload::new(parts());
        let json = serde_json::to_string_pretty(&payload).unwrap();
        assert_eq!(serde_json::from_str::<ReceiptPayload>(&json).unwrap(), payload);
        insta::assert_snapshot!(json);
    }

    #[test]
    fn without_a_verifier_it_says_so() {
        let mut parts = parts();
        parts.verifiers.truncate(1);
        parts.tokens.push(TokenId::from_bytes([5; 16]));
        let payload = ReceiptPayload::new(parts);
        assert_eq!(payload.check_evidence(), Ok(()));
        insta::assert_snapshot!(payload.statement, @"no verification of namespace acme that starts after 2026-01-02T03:04:22.678901Z accepts any of the 2 tokens ended by rev_030c1g60r30c1g60r30c1g60r3: no verifier serves it, and the authority acknowledged");
    }

    #[test]
    fn a_long_list_of_tokens_still_counts() {
        let tokens = (0..=200).map(|n| TokenId::from_bytes([n; 16])).collect();
        let payload = ReceiptPayload::new(ReceiptParts { tokens, ..parts() });
        assert_eq!((payload.count, payload.tokens.len(), payload.tokens_omitted), (201, 100, 101));
        assert_eq!(payload.check_evidence(), Ok(()));
    }

    #[test]
    fn each_effect_says_what_it_took_away() {
        let mut said = String::new();
        for effect in Effect::ALL {
            let mut parts = ReceiptParts { effect, ..parts() };
            parts.verifiers.truncate(1);
            if matches!(effect, Effect::Disable | Effect::Tighten) {
                parts.tokens.clear();
            }
            let payload = ReceiptPayload::new(parts);
            assert_eq!(payload.check_evidence(), Ok(()), "{effect}");
            said += &format!("{effect}: {}\n", payload.statement);
        }
        insta::assert_snapshot!(said);
    }

    fn check(change: impl FnOnce(&mut ReceiptPayload), expect: &str) {
        let mut payload = ReceiptPayload::new(parts());
        assert_eq!(payload.check_evidence(), Ok(()));
        change(&mut payload);
        let error = payload.check_evidence().unwrap_err();
        assert!(error.contains(expect), "{error:?} says nothing of {expect:?}");
    }

    #[test]
    fn what_no_complete_receipt_can_say() {
        check(|it| it.kind = "jwt\u{1b}".to_owned(), "its type is `jwt?`");
        check(|it| it.version = 2, "use a newer jeton");
        check(|it| it.state = ReceiptState::Pending, "not complete");
        check(|it| it.committed_at = at(18).into(), "before it was committed");
        check(|it| it.iat -= 1, "signed before");
        check(|it| it.count = 0, "names no token");
        check(|it| it.count = 2, "counts 2 tokens, but lists 1");
        check(|it| it.tokens_omitted = u64::MAX, "omits");
        check(
            |it| {
                it.tokens.push(it.tokens[0]);
                it.count = 2;
            },
            "twice",
        );
        check(|it| it.verifiers.clear(), "0 lines of the authority");
        check(|it| it.verifiers[1] = it.verifiers[0].clone(), "2 lines of the authority");
        check(|it| it.verifiers[0].state = LineState::Fenced, "the authority itself is fenced");
        check(|it| it.verifiers[0].state = LineState::Pending, "authority is pending");
        check(|it| it.verifiers[1].session = None, "edge-1 has no session");
        check(|it| it.verifiers[1].id = "authority".parse().unwrap(), "bears the authority's name");
        check(|it| it.verifiers[2].session = it.verifiers[1].session, "comes twice");
        check(|it| it.verifiers[1].state = LineState::Pending, "could still accept");
        check(|it| it.verifiers[1].at = None, "at no moment");
        check(|it| it.verifiers[1].at = Some(at(18).into()), "after the receipt was complete");
        check(|it| it.verifiers[1].at = Some(at(9).into()), "before the revocation was committed");
        check(|it| it.verifiers[3].silent_since = None, "not said to be silent");
        check(|it| it.verifiers[3].silent_since = Some(at(11).into()), "too soon");
        check(|it| it.verifiers[3].stops_by = Some(at(18).into()), "could accept until");
    }

    #[test]
    fn who_was_silent_long_before_is_counted_out_at_once() {
        let mut parts = parts();
        parts.verifiers[3].silent_since = Some(at(0).into());
        parts.verifiers[3].at = Some(at(7).into());
        assert_eq!(ReceiptPayload::new(parts).check_evidence(), Ok(()));
    }
}
