//! What the authority has made durable: it survives every crash of this world.

use std::collections::BTreeMap;

use jeton_feed::{
    authority::{Committed, Evidence, EvidenceKind, HubSetup, Pending, PolicyFact, ReceiptFacts, SessionFacts},
    message::{Hello, SnapshotPart, ToVerifier},
    record::{Change, EndReason, Head, Policy, Record, TokenEntry},
    set_hash::SetHash,
};
use jeton_types::{
    AddressList, BootTime, CredentialId, Digest, Hash32, NamespaceName, Now, Revision, RevocationId, ScopeSet,
    SessionId, StartId, TokenId, UnixTime,
};

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
}

#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) facts: SessionFacts,
    pub(crate) ended: Option<(EvidenceKind, UnixTime)>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) log: Vec<Entry>,
    rows: BTreeMap<NamespaceName, Rows>,
    /// Before the last record.
    rows_before: (Revision, BTreeMap<NamespaceName, Rows>),
    pub(crate) sessions: BTreeMap<SessionId, SessionRow>,
    pub(crate) receipts: BTreeMap<RevocationId, ReceiptFacts>,
    start: Option<StartId>,
}

impl Store {
    pub(crate) fn head(&self) -> Head {
        let revision = self.log.last().map_or(Revision::ZERO, |entry| entry.record.revision);
        Head { revision, start: self.start(), chain_hash: Hash32::ZERO, mac: None }
    }

    pub(crate) fn start(&self) -> StartId {
        self.start.unwrap_or(StartId::from_bytes([0; 16]))
    }

    pub(crate) fn commit(
        &mut self,
        namespace: &NamespaceName,
        now: UnixTime,
        changes: Vec<Change>,
        revocation: Option<RevocationId>,
    ) -> Committed {
        self.rows_before = (self.head().revision, self.rows.clone());
        let revision = self.head().revision.next(now).unwrap();
        let rows = self.rows.entry(namespace.clone()).or_insert_with(|| Rows {
            policy: Policy {
                prefix: "test".parse().unwrap(),
                freshness: jeton_types::Freshness::Strict,
                disabled: false,
            },
            last: Revision::ZERO,
            tokens: BTreeMap::new(),
        });
        let predecessor = std::mem::replace(&mut rows.last, revision);
        let (mut policy, mut ended_tokens) = (None, Vec::new());
        for change in &changes {
            match change {
                Change::Policy(to) => {
                    rows.policy = to.clone();
                    policy = Some(to.freshness);
                }
                Change::Token(entry) => {
                    rows.tokens.insert(entry.token, entry.clone());
                }
                Change::End { token, reason, .. } => {
                    rows.tokens.get_mut(token).unwrap().ended = Some(*reason);
                    ended_tokens.push(*token);
                }
                Change::Start(start) => self.start = Some(*start),
                Change::Deadline { .. } | Change::Collected { .. } | Change::Unknown { .. } => {}
            }
        }
        let set_hash = Some(rows_hash(namespace, rows));
        let record = Record {
            revision,
            predecessor,
            namespace: namespace.clone(),
            start: self.start(),
            chain_hash: Hash32::ZERO,
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
            head: Head { revision, ..self.head() },
        };
        self.log.push(Entry { record, committed: committed.clone() });
        committed
    }

    pub(crate) fn policy(&self, namespace: &NamespaceName) -> Policy {
        self.rows[namespace].policy.clone()
    }

    /// Tokens that have not ended.
    pub(crate) fn active(&self, namespace: &NamespaceName) -> Vec<TokenId> {
        let tokens = self.rows.get(namespace).into_iter().flat_map(|rows| &rows.tokens);
        tokens.filter(|(_, entry)| entry.ended.is_none()).map(|(token, _)| *token).collect()
    }

    pub(crate) fn is_active(&self, namespace: &NamespaceName, token: TokenId) -> bool {
        self.rows[namespace].tokens.get(&token).is_some_and(|entry| entry.ended.is_none())
    }

    pub(crate) fn end_of(&self, namespace: &NamespaceName, token: TokenId) -> Change {
        let digest = self.rows[namespace].tokens[&token].digest;
        Change::End { digest, token, reason: EndReason::Revoked }
    }

    /// All that is enforced, or, from a view that was opened too early, that was before the last record.
    pub(crate) fn snapshot(&self, namespaces: &[NamespaceName], before: bool) -> (Revision, Vec<ToVerifier>) {
        let (at, tables) =
            if before { (self.rows_before.0, &self.rows_before.1) } else { (self.head().revision, &self.rows) };
        let rows_of = |namespace: &NamespaceName| {
            let rows = &tables[namespace];
            let set_hash = Some(rows_hash(namespace, rows));
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
            resume >= rows.last && *said != rows_hash(namespace, rows)
        })
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
            start: self.start(),
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

fn rows_hash(namespace: &NamespaceName, rows: &Rows) -> Hash32 {
    let entries = rows.tokens.values().map(SetHash::of_entry);
    entries.fold(SetHash::of_policy(namespace, &rows.policy), SetHash::plus).to_hash()
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
