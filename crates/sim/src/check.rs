//! What must hold, looked at from outside with the world's own time.

use std::collections::{BTreeMap, BTreeSet};

use jeton_feed::{authority::ReceiptFacts, frame::Frame, message::ToVerifier};
use jeton_types::{BootTime, NamespaceName, Revision, RevocationId, SessionId, TokenId, UnixTime};

use crate::{sightings::Sightings, trace::seconds};

/// The tokens that are asked for at once, of those that must not be accepted: the newest, and some older ones.
const ASKED_NEWEST: usize = 10;

/// A token that was issued, and whose issue returned.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) namespace: NamespaceName,
    pub(crate) issued: u64,
    pub(crate) expires_at: Option<UnixTime>,
}

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The property and what happened.
    pub text: String,
    /// Whom and what it is about, as the timeline names them.
    pub subjects: Vec<String>,
    /// When, on the world's clock.
    pub t: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Checker {
    pub(crate) t: u64,
    pub(crate) tokens: BTreeMap<TokenId, Token>,
    pub(crate) sessions: BTreeMap<SessionId, String>,
    /// From when no token of these may be found good, and in the order of that.
    completed: BTreeMap<TokenId, u64>,
    order: Vec<TokenId>,
    floors: BTreeMap<NamespaceName, Revision>,
    /// What each session has acknowledged in this start, on what was then its newest stream.
    pub(crate) acked: BTreeMap<SessionId, Revision>,
    /// The newest revision of which each session was sent anything.
    sent: BTreeMap<SessionId, Revision>,
    /// Receipts that were durable.
    stored: BTreeSet<RevocationId>,
    /// Since when on the authority's boot clock each pending one has been waiting in this start.
    pending: BTreeMap<RevocationId, (NamespaceName, BootTime)>,
    fenced: BTreeSet<(RevocationId, SessionId)>,
    /// The authority runs on data that were put back: nothing that it says is believed.
    pub(crate) put_back: bool,
    pub(crate) seen: Sightings,
    pub(crate) violation: Option<Violation>,
}

impl Checker {
    pub(crate) fn violated(&mut self, subjects: impl IntoIterator<Item = String>, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let subjects = subjects.into_iter().collect();
            self.violation = Some(Violation { text: what(), subjects, t: self.t });
        }
    }

    pub(crate) fn token_name(&self, token: TokenId) -> String {
        self.tokens.get(&token).map_or_else(|| token.to_string(), |known| known.name.clone())
    }

    pub(crate) fn session_name(&self, session: SessionId) -> String {
        self.sessions.get(&session).cloned().unwrap_or_else(|| session.to_string())
    }

    /// S1: a token was found good by a verification whose table read began at `t`.
    pub(crate) fn accepted(&mut self, who: &str, token: TokenId, t: u64) {
        if let Some(since) = self.completed.get(&token).copied()
            && t >= since
        {
            let name = self.token_name(token);
            self.violated([name.clone(), who.to_owned()], || {
                format!(
                    "S1, receipt soundness: {who} accepted {name} on a read that began at {}, and its receipt was complete at {}",
                    seconds(t).trim(),
                    seconds(since).trim()
                )
            });
        }
    }

    /// Some of the tokens whose receipt is complete.
    pub(crate) fn dead(&self, roll: usize) -> Vec<TokenId> {
        let newest = self.order.len().saturating_sub(ASKED_NEWEST);
        let mut asked = self.order[newest..].to_vec();
        if newest > 0 {
            asked.extend([self.order[roll % newest], self.order[roll / 7 % newest]]);
        }
        asked
    }

    pub(crate) fn is_dead(&self, token: TokenId) -> bool {
        self.completed.contains_key(&token)
    }

    /// S2: a lease was granted.
    pub(crate) fn granted(&mut self, session: SessionId, namespaces: &[NamespaceName]) {
        self.seen.grants += 1;
        let acked = self.acked.get(&session).copied();
        for namespace in namespaces {
            let floor = self.floors.get(namespace).copied().unwrap_or_default();
            if acked.is_none_or(|acked| acked < floor) && !self.put_back {
                let name = self.session_name(session);
                self.violated([name.clone()], || {
                    format!(
                        "S2, floor: {name} was granted a lease at {acked:?}, below the floor {floor} of {namespace}"
                    )
                });
            }
        }
    }

    /// S8: a session is sent something; no snapshot is older than anything before it, be it a part of a record.
    pub(crate) fn sent(&mut self, session: SessionId, message: &ToVerifier) {
        match message {
            ToVerifier::Record(record) | ToVerifier::Frame(Frame { record, .. }) => {
                let newest = self.sent.entry(session).or_default();
                *newest = record.revision.max(*newest);
            }
            ToVerifier::SnapshotBegin { at } if !self.put_back => {
                let newest = self.sent.get(&session).copied().unwrap_or_default();
                if *at < newest {
                    let name = self.session_name(session);
                    self.violated([name.clone()], || {
                        format!("S8, feed: {name} is sent a snapshot of {at} after a part of {newest}")
                    });
                }
            }
            _ => {}
        }
    }

    /// S3: a session may answer and has not applied `revision`.
    pub(crate) fn may_answer(&mut self, session: SessionId, receipt: &ReceiptFacts) {
        let (name, revocation) = (self.session_name(session), receipt.revision);
        self.violated([name.clone()], || {
            format!("S3, intervals: {name} may answer and has not applied {revocation}, and is fenced for it")
        });
    }

    pub(crate) fn fence_seen(&mut self, revocation: RevocationId, session: SessionId, fenced: bool) {
        if fenced {
            self.fenced.insert((revocation, session));
        } else if self.fenced.remove(&(revocation, session)) {
            self.seen.fences_taken_back += 1;
        }
    }

    /// A receipt was found complete, before it is durable. S18: it was not before. Says after how many milliseconds.
    pub(crate) fn complete(
        &mut self,
        receipt: &ReceiptFacts,
        tokens: &[TokenId],
        boot: BootTime,
        resumed: BootTime,
    ) -> Option<u64> {
        if self.put_back {
            return None;
        }
        if self.stored.contains(&receipt.revocation) && !receipt.complete {
            self.violated([], || format!("S18, monotone receipts: {} is retracted", receipt.revocation));
        }
        for token in tokens {
            if !self.completed.contains_key(token) {
                self.completed.insert(*token, self.t);
                if self.tokens.contains_key(token) {
                    self.order.push(*token);
                }
            }
        }
        let floor = self.floors.entry(receipt.namespace.clone()).or_default();
        *floor = receipt.revision.max(*floor);
        let (_, since) = self.pending.remove(&receipt.revocation)?;
        self.seen.receipts += 1;
        let took = boot.since(since).as_millis() as u64;
        // A process that is stopped completes nothing; what is promised is of one that runs.
        if receipt.namespace.as_str() == "acme" && resumed <= since {
            self.seen.strict_receipt_max = self.seen.strict_receipt_max.max(took);
        }
        Some(took)
    }

    /// S18: what was durable is what stays.
    pub(crate) fn stored(&mut self, receipt: &ReceiptFacts, before: Option<&ReceiptFacts>) {
        if self.put_back {
            return;
        }
        self.stored.insert(receipt.revocation);
        if before.is_some_and(|before| before != receipt) {
            self.violated([], || {
                format!("S18, monotone receipts: {} is told anew with other evidence", receipt.revocation)
            });
        }
    }

    /// A pending receipt waits anew, from a commit or a start.
    pub(crate) fn waits(&mut self, revocation: RevocationId, namespace: &NamespaceName, boot: BootTime) {
        if self.put_back {
            return;
        }
        if self.stored.contains(&revocation) {
            self.violated([], || format!("S18, monotone receipts: {revocation} is pending again"));
        }
        self.pending.insert(revocation, (namespace.clone(), boot));
    }

    pub(crate) fn wait_anew(&mut self, boot: BootTime) {
        self.pending.values_mut().for_each(|(_, since)| *since = boot);
    }

    /// L1: no receipt waits for longer than its bound.
    pub(crate) fn bounded(&mut self, boot: BootTime, bound: impl Fn(&NamespaceName) -> std::time::Duration) {
        if self.put_back {
            return;
        }
        let late = self.pending.iter().find(|(_, (namespace, since))| boot.since(*since) > bound(namespace));
        if let Some((revocation, (namespace, since))) = late {
            let waits = boot.since(*since);
            let text = format!("L1, receipts complete: {revocation} of {namespace} waits for {waits:?}");
            self.violated([], || text);
        }
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }
}
