//! What the authority has made durable: it survives every crash of this world, and only a person puts it back.

use std::collections::BTreeMap;

use jeton_feed::{
    authority::{Committed, Evidence, EvidenceKind, HubSetup, Pending, PolicyFact, ReceiptFacts, SessionFacts},
    message::{Hello, SnapshotPart, ToVerifier},
    record::{Change, EndReason, Head, Policy, Record, TokenEntry},
    rollback::{HeadKnown, Judgement, judge},
    set_hash::SetHash,
};
use jeton_types::{
    AddressList, BootTime, CredentialId, Digest, Freshness, Hash32, NamespaceName, Now, Revision, RevocationId,
    ScopeSet, SessionId, StartId, TokenId, UnixTime,
    fault::{Fault, injected},
};

use crate::clock::mix;

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) committed: Committed,
}

#[derive(Debug, Clone)]
struct Rows {
    policy: Policy,
    last: Revision,
    tokens: BTreeMap<TokenId, TokenEntry>,
    sum: SetHash,
}

impl Rows {
    fn new(name: &NamespaceName) -> Self {
        // No two namespaces share a prefix.
        let prefix = if name.is_built_in() { "jeton" } else { name.as_str() };
        #[expect(clippy::unwrap_used, reason = "the names of this world are prefixes")]
        let policy = Policy { prefix: prefix.parse().unwrap(), freshness: Freshness::Strict, disabled: false };
        Self { sum: SetHash::of_policy(name, &policy), policy, last: Revision::ZERO, tokens: BTreeMap::new() }
    }

    fn policy_set(&mut self, name: &NamespaceName, to: &Policy) {
        self.sum = self.sum.minus(SetHash::of_policy(name, &self.policy)).plus(SetHash::of_policy(name, to));
        self.policy = to.clone();
    }

    fn put(&mut self, entry: TokenEntry) {
        self.sum = self.sum.plus(SetHash::of_entry(&entry));
        if let Some(before) = self.tokens.insert(entry.token, entry) {
            self.sum = self.sum.minus(SetHash::of_entry(&before));
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) facts: SessionFacts,
    pub(crate) ended: Option<(EvidenceKind, UnixTime)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) log: Vec<Entry>,
    rows: BTreeMap<NamespaceName, Rows>,
    /// Before the last record; kept for the fault that sends it.
    rows_before: Option<(Revision, BTreeMap<NamespaceName, Rows>)>,
    pub(crate) sessions: BTreeMap<SessionId, SessionRow>,
    pub(crate) receipts: BTreeMap<RevocationId, ReceiptFacts>,
    head: Head,
    /// Every start but the one that runs, with its last revision.
    starts: BTreeMap<StartId, Revision>,
    /// Records below this are gone from the log.
    pub(crate) retained_from: Revision,
}

impl Store {
    pub(crate) fn new() -> Self {
        let start = StartId::from_bytes([0; 16]);
        Self {
            log: Vec::new(),
            rows: BTreeMap::new(),
            rows_before: None,
            sessions: BTreeMap::new(),
            receipts: BTreeMap::new(),
            head: Head { revision: Revision::ZERO, start, chain_hash: Hash32::ZERO, mac: None },
            starts: BTreeMap::new(),
            retained_from: Revision::ZERO,
        }
    }

    pub(crate) fn head(&self) -> Head {
        self.head.clone()
    }

    pub(crate) const fn revision(&self) -> Revision {
        self.head.revision
    }

    #[expect(clippy::unwrap_used, reason = "the revisions of a world do not run out, and it ends what there is")]
    pub(crate) fn commit(
        &mut self,
        namespace: &NamespaceName,
        now: UnixTime,
        changes: Vec<Change>,
        revocation: Option<RevocationId>,
    ) -> Committed {
        if injected(Fault::StaleSnapshot) {
            self.rows_before = Some((self.head.revision, self.rows.clone()));
        }
        let revision = self.head.revision.next(now).unwrap();
        let rows = self.rows.entry(namespace.clone()).or_insert_with(|| Rows::new(namespace));
        let predecessor = std::mem::replace(&mut rows.last, revision);
        let (mut policy, mut ended_tokens) = (None, Vec::new());
        for change in &changes {
            match change {
                Change::Policy(to) => {
                    rows.policy_set(namespace, to);
                    policy = Some(to.freshness);
                }
                Change::Token(entry) => rows.put(entry.clone()),
                Change::End { token, reason, .. } => {
                    let mut entry = rows.tokens[token].clone();
                    entry.end(*reason);
                    rows.put(entry);
                    ended_tokens.push(*token);
                }
                Change::Start(start) => {
                    self.starts.insert(self.head.start, self.head.revision);
                    self.head.start = *start;
                }
                Change::Deadline { .. } | Change::Collected { .. } | Change::Unknown { .. } => {}
            }
        }
        let set_hash = Some(rows.sum.to_hash());
        let chain_hash = chained(&self.head.chain_hash, revision, self.head.start);
        self.head = sealed(Head { revision, chain_hash, start: self.head.start, mac: None });
        let record = Record {
            revision,
            predecessor,
            namespace: namespace.clone(),
            start: self.head.start,
            chain_hash,
            set_hash,
            committed_at: now,
            changes,
        };
        let committed = Committed {
            revision,
            namespace: namespace.clone(),
            committed_at: now,
            boot: BootTime::ZERO,
            policy,
            revocation,
            ended_tokens,
            head: self.head(),
        };
        self.log.push(Entry { record, committed: committed.clone() });
        committed
    }

    pub(crate) fn policy(&self, namespace: &NamespaceName) -> Policy {
        self.rows[namespace].policy.clone()
    }

    /// Tokens that have not ended, and do not by themselves.
    pub(crate) fn active<'a>(&'a self, namespace: &NamespaceName) -> impl Iterator<Item = &'a TokenEntry> + use<'a> {
        let tokens = self.rows.get(namespace).into_iter().flat_map(|rows| rows.tokens.values());
        tokens.filter(|entry| entry.ended.is_none() && entry.expires_at.is_none())
    }

    pub(crate) fn is_active(&self, namespace: &NamespaceName, token: TokenId) -> bool {
        self.rows[namespace].tokens.get(&token).is_some_and(|entry| entry.ended.is_none())
    }

    pub(crate) fn end_of(&self, namespace: &NamespaceName, token: TokenId) -> Change {
        let digest = self.rows[namespace].tokens[&token].digest;
        Change::End { digest, token, reason: EndReason::Revoked }
    }

    /// All that is enforced, or, from a view that was opened too early, that was before the last record.
    pub(crate) fn snapshot(&self, namespaces: &[NamespaceName]) -> (Revision, Vec<ToVerifier>) {
        let (at, tables) = match &self.rows_before {
            Some((at, rows)) if injected(Fault::StaleSnapshot) => (*at, rows),
            _ => (self.head.revision, &self.rows),
        };
        let rows_of = |namespace: &NamespaceName| {
            let rows = &tables[namespace];
            let set_hash = Some(rows.sum.to_hash());
            let (policy, rows) = (rows.policy.clone(), rows.tokens.values().cloned().collect());
            ToVerifier::SnapshotRows(SnapshotPart { namespace: namespace.clone(), policy, rows, set_hash })
        };
        let mut messages = vec![ToVerifier::SnapshotBegin { at }];
        messages.extend(namespaces.iter().map(rows_of));
        messages.push(ToVerifier::SnapshotEnd { at });
        (at, messages)
    }

    /// Whether a verifier that is up to date says of itself what is not so (`feed-protocol.md` 24).
    pub(crate) fn contradicts(&self, hello: &Hello, resume: Revision) -> bool {
        hello.namespaces.iter().zip(&hello.set_hashes).any(|(namespace, said)| {
            let rows = &self.rows[namespace];
            resume >= rows.last && *said != rows.sum.to_hash()
        })
    }

    /// What a head that is shown means here (`feed-protocol.md` 26).
    pub(crate) fn judge(&self, head: &Head) -> Judgement {
        let authentic = sealed(head.clone()).mac == head.mac && head.mac.is_some();
        let start_last = if head.start == self.head.start {
            Some(self.head.revision)
        } else {
            self.starts.get(&head.start).copied()
        };
        let retained_from = self.retained_from;
        let chain_hash = self.chain_hash(head.revision).filter(|_| head.revision >= retained_from);
        judge(head, authentic, &HeadKnown { start_last, chain_hash, retained_from })
    }

    /// Whether the head is of this very history.
    pub(crate) fn knows(&self, head: &Head) -> bool {
        self.chain_hash(head.revision) == Some(head.chain_hash)
    }

    fn chain_hash(&self, revision: Revision) -> Option<Hash32> {
        let place = self.log.binary_search_by_key(&revision, |entry| entry.record.revision).ok()?;
        Some(self.log[place].record.chain_hash)
    }

    /// Whether the log does not reach back to what follows `resume`.
    pub(crate) fn is_cut_above(&self, resume: Revision) -> bool {
        let next = self.log.partition_point(|entry| entry.record.revision <= resume);
        self.log.get(next).is_some_and(|entry| entry.record.revision < self.retained_from)
    }

    /// Cuts the log below the first record that was committed at or after `from`; says whether anything went.
    pub(crate) fn cut(&mut self, from: UnixTime) -> bool {
        let place = self.log.partition_point(|entry| entry.committed.committed_at < from);
        let to = self.log.get(place).map_or(self.head.revision, |entry| entry.record.revision);
        let moved = to > self.retained_from;
        self.retained_from = to.max(self.retained_from);
        moved
    }

    pub(crate) fn setup(&self, now: Now, authority_time: UnixTime) -> HubSetup {
        let committed = || self.log.iter().map(|entry| &entry.committed);
        let mut floors = BTreeMap::new();
        for receipt in self.receipts.values() {
            let floor: &mut Revision = floors.entry(receipt.namespace.clone()).or_default();
            *floor = receipt.revision.max(*floor);
        }
        let pending = |committed: &Committed| {
            let revocation = committed.revocation.filter(|revocation| !self.receipts.contains_key(revocation))?;
            Some(Pending {
                revocation,
                namespace: committed.namespace.clone(),
                revision: committed.revision,
                committed_at: committed.committed_at,
                ended_before: self.sessions.values().filter_map(|row| ended_since(row, committed)).collect(),
            })
        };
        HubSetup {
            start: self.head.start,
            now,
            authority_time,
            head: self.head(),
            sessions: self.sessions.values().filter(|row| row.ended.is_none()).map(|row| row.facts.clone()).collect(),
            policies: committed()
                .filter_map(|committed| {
                    let (namespace, revision) = (committed.namespace.clone(), committed.revision);
                    committed.policy.map(|freshness| PolicyFact { namespace, revision, freshness })
                })
                .collect(),
            last_records: self.rows.iter().map(|(name, rows)| (name.clone(), rows.last)).collect(),
            floors: floors.into_iter().collect(),
            pending: committed().filter_map(pending).collect(),
        }
    }
}

/// The hash of a record and all before it.
fn chained(before: &Hash32, revision: Revision, start: StartId) -> Hash32 {
    let mut state = revision.get();
    spread(&[before.as_bytes(), start.as_bytes()], &mut state)
}

/// With the seal of the one authority of this world.
fn sealed(head: Head) -> Head {
    let mac = spread(&[&head.sealed_bytes()], &mut 0x006b_6579_u64.clone());
    Head { mac: Some(mac), ..head }
}

/// Thirty-two bytes made of others. Nobody in this world is after a collision.
fn spread(parts: &[&[u8]], state: &mut u64) -> Hash32 {
    for byte in parts.iter().copied().flatten() {
        *state = mix(*state ^ u64::from(*byte)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    let mut bytes = [0; 32];
    for lane in bytes.chunks_exact_mut(8) {
        *state = mix(state.wrapping_add(1));
        lane.copy_from_slice(&state.to_be_bytes());
    }
    Hash32(bytes)
}

fn ended_since(row: &SessionRow, committed: &Committed) -> Option<Evidence> {
    let (state, at) = row.ended?;
    let counts = row.facts.namespaces.contains(&committed.namespace)
        && row.facts.opened < committed.revision
        && at >= committed.committed_at;
    counts.then(|| Evidence {
        verifier: row.facts.verifier.clone(),
        session: Some(row.facts.session),
        state,
        at: Some(at),
        silent_since: None,
        stops_by: None,
    })
}

/// An entry of these bytes; nobody has a text for it.
pub(crate) fn token_entry(bytes: [u8; 16]) -> TokenEntry {
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(&bytes);
    TokenEntry {
        digest: Digest::from_bytes(digest),
        token: TokenId::from_bytes(bytes),
        credential: CredentialId::from_bytes(bytes),
        subject: None,
        scopes: ScopeSet::default(),
        expires_at: None,
        addresses: AddressList::default(),
        disabled: false,
        ended: None,
    }
}
