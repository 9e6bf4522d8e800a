//! What must hold, looked at from outside with the world's own time.

use std::collections::{BTreeMap, BTreeSet};

use jeton_feed::{authority::ReceiptFacts, frame::Frame, message::ToVerifier};
use jeton_types::{BootTime, NamespaceName, Revision, RevocationId, SessionId, TokenId};

/// How often something happened that the properties are about; a world in which nothing does proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sightings {
    pub receipts: u64,
    pub acked: u64,
    pub goodbye: u64,
    pub succeeded: u64,
    pub tombstones: u64,
    pub fenced: u64,
    pub fences_taken_back: u64,
    pub grants: u64,
    pub answers_live: u64,
    pub answers_in_grace: u64,
    pub stale: u64,
    pub jumps: u64,
    pub starts: u64,
    pub ended_streams: u64,
    pub rotten: u64,
    pub mistrusted: u64,
    /// Frames that were not the last of their record.
    pub parts: u64,
    /// Streams that ended for a verifier that had a part of a record.
    pub halves: u64,
    pub copies: u64,
    pub warm: u64,
    pub warm_grants: u64,
    /// Milliseconds of authority's clock.
    pub strict_receipt_max: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// From when no token of these may be found good.
    completed: BTreeMap<TokenId, u64>,
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
    pub(crate) seen: Sightings,
    pub(crate) violation: Option<String>,
}

impl Checker {
    pub(crate) fn violated(&mut self, what: impl FnOnce() -> String) {
        self.violation.get_or_insert_with(what);
    }

    /// S1: a token was found good by a verification whose table read began at `t`.
    pub(crate) fn accepted(&mut self, who: &str, token: TokenId, t: u64) {
        if let Some(since) = self.completed.get(&token).copied()
            && t >= since
        {
            self.violated(|| format!("S1: {who} accepted {token} at {t}, complete since {since}"));
        }
    }

    /// Tokens whose receipt is complete at `t`.
    pub(crate) fn dead(&self, t: u64) -> Vec<TokenId> {
        self.completed.iter().filter(|(_, since)| **since <= t).map(|(token, _)| *token).collect()
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
            if acked.is_none_or(|acked| acked < floor) {
                self.violated(|| format!("S2: {session} granted at {acked:?}, below the floor {floor} of {namespace}"));
            }
        }
    }

    /// S8: a session is sent something; no snapshot is older than anything before it, be it a part of a record.
    pub(crate) fn sent(&mut self, session: SessionId, message: &ToVerifier) {
        let newest = self.sent.entry(session).or_default();
        match message {
            ToVerifier::Record(record) | ToVerifier::Frame(Frame { record, .. }) => {
                *newest = record.revision.max(*newest);
            }
            ToVerifier::SnapshotBegin { at } if at < newest => {
                let text = format!("S8: {session} is sent a snapshot of {at} after a part of {newest}");
                self.violated(|| text);
            }
            _ => {}
        }
    }

    /// S3: a session may answer and has not applied `revision`.
    pub(crate) fn may_answer(&mut self, session: SessionId, receipt: &ReceiptFacts, t: u64, fenced: bool) {
        if fenced {
            self.violated(|| format!("S3: {session} may answer at {t} but is fenced for {}", receipt.revision));
        }
    }

    pub(crate) fn fence_seen(&mut self, revocation: RevocationId, session: SessionId, fenced: bool) {
        if fenced {
            self.fenced.insert((revocation, session));
        } else if self.fenced.remove(&(revocation, session)) {
            self.seen.fences_taken_back += 1;
        }
    }

    /// A receipt was found complete, before it is durable. S18: it was not before.
    pub(crate) fn complete(&mut self, receipt: &ReceiptFacts, tokens: &[TokenId], boot: BootTime, t: u64) {
        if self.stored.contains(&receipt.revocation) && !receipt.complete {
            self.violated(|| format!("S18: {} is retracted", receipt.revocation));
        }
        for token in tokens {
            self.completed.entry(*token).or_insert(t);
        }
        let floor = self.floors.entry(receipt.namespace.clone()).or_default();
        *floor = receipt.revision.max(*floor);
        if let Some((_, since)) = self.pending.remove(&receipt.revocation) {
            self.seen.receipts += 1;
            if receipt.namespace.as_str() == "acme" {
                let took = boot.since(since).as_millis() as u64;
                self.seen.strict_receipt_max = self.seen.strict_receipt_max.max(took);
            }
        }
    }

    /// S18: what was durable is what stays.
    pub(crate) fn stored(&mut self, receipt: &ReceiptFacts, before: Option<&ReceiptFacts>) {
        self.stored.insert(receipt.revocation);
        if before.is_some_and(|before| before != receipt) {
            self.violated(|| format!("S18: {} is told anew with other evidence", receipt.revocation));
        }
    }

    /// A pending receipt waits anew, from a commit or a start.
    pub(crate) fn waits(&mut self, revocation: RevocationId, namespace: &NamespaceName, boot: BootTime) {
        if self.stored.contains(&revocation) {
            self.violated(|| format!("S18: {revocation} is pending again"));
        }
        self.pending.insert(revocation, (namespace.clone(), boot));
    }

    pub(crate) fn wait_anew(&mut self, boot: BootTime) {
        self.pending.values_mut().for_each(|(_, since)| *since = boot);
    }

    /// L1: no receipt waits for longer than its bound.
    pub(crate) fn bounded(&mut self, boot: BootTime, bound: impl Fn(&NamespaceName) -> std::time::Duration) {
        let late = self.pending.iter().find(|(_, (namespace, since))| boot.since(*since) > bound(namespace));
        if let Some((revocation, (namespace, since))) = late {
            let text = format!("L1: {revocation} of {namespace} waits for {:?}", boot.since(*since));
            self.violated(|| text);
        }
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }
}
