//! What the authority has made durable, and everything that is named in a world.

use std::{collections::BTreeMap, sync::LazyLock};

use jeton_feed::{
    authority::{Committed, Evidence, EvidenceKind, HubSetup, Pending, PolicyFact, SessionFacts},
    message::SnapshotPart,
    record::{Change, EndReason, Head, Policy, Record, TokenEntry},
    rollback::HeadKnown,
};
use jeton_types::{
    AddressList, CredentialId, Digest, Freshness, Hash32, NamespaceName, Now, Prefix, Revision, RevocationId, ScopeSet,
    SessionId, Span, StartId, TokenId, UnixTime, VerifierName,
};

/// Of a namespace: two that are fed, and the built-in one.
pub(crate) type Ns = usize;
/// How many are fed.
pub(crate) const FED: usize = 2;
pub(crate) const BUILT_IN: Ns = 2;

/// One committed revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) revision: u64,
    pub(crate) predecessor: u64,
    pub(crate) ns: Ns,
    pub(crate) start: u8,
    /// Differs wherever two histories do.
    pub(crate) chain: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// The seconds of grace; none is strict.
    Policy(u8),
    /// A token ends: that of this number.
    End(u8),
    /// The token of this number, that a verifier connects with, ends.
    OwnEnd {
        revocation: u8,
        token: u8,
    },
    Start,
}

/// What a log leaves: all that a replica holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct View {
    pub(crate) at: u64,
    pub(crate) grace: [u8; FED],
    /// Bit by bit the tokens that have ended.
    pub(crate) ended: u8,
}

impl View {
    pub(crate) const fn apply(&mut self, entry: &Entry) {
        match entry.what {
            What::Policy(grace) => self.grace[entry.ns] = grace,
            What::End(token) => self.ended |= 1 << token,
            What::OwnEnd { .. } | What::Start => {}
        }
        self.at = entry.revision;
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionRow {
    pub(crate) facts: SessionFacts,
    pub(crate) ended: Option<EvidenceKind>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) log: Vec<Entry>,
    /// Below it the log is cut off.
    pub(crate) retained_from: u64,
    /// Revocations so far; each has a number.
    pub(crate) revocations: Vec<(Ns, u64)>,
    /// Bit by bit the revocations whose receipts are durable and complete.
    pub(crate) complete: u8,
    pub(crate) floors: [u64; FED + 1],
    pub(crate) sessions: BTreeMap<SessionId, SessionRow>,
    /// Bit by bit the tokens of verifiers that have ended.
    pub(crate) own_ended: u8,
    /// Heads are sealed with it.
    pub(crate) seal: u8,
}

impl Store {
    pub(crate) fn new(grace: [u8; FED]) -> Self {
        let mut store = Self {
            log: Vec::new(),
            retained_from: 0,
            revocations: Vec::new(),
            complete: 0,
            floors: [0; FED + 1],
            sessions: BTreeMap::new(),
            own_ended: 0,
            seal: 1,
        };
        for (ns, grace) in grace.into_iter().enumerate() {
            store.commit(ns, What::Policy(grace), 0, 0);
        }
        store
    }

    /// `nonce` tells this commit from any other that ever stood in its place.
    pub(crate) fn commit(&mut self, ns: Ns, what: What, start: u8, nonce: u64) -> Entry {
        let last = self.log.last().copied();
        let revision = last.map_or(0, |entry| entry.revision) + 1;
        let predecessor = self.log.iter().rev().find(|entry| entry.ns == ns).map_or(0, |entry| entry.revision);
        let before = last.map_or(0, |entry| entry.chain);
        let chain = before.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(nonce + 1);
        let entry = Entry { revision, predecessor, ns, start, chain, what };
        self.log.push(entry);
        match what {
            What::End(_) => self.revocations.push((ns, revision)),
            What::OwnEnd { token, .. } => {
                self.revocations.push((ns, revision));
                self.own_ended |= 1 << token;
            }
            What::Policy(_) | What::Start => {}
        }
        entry
    }

    pub(crate) fn last(&self) -> u64 {
        self.log.last().map_or(0, |entry| entry.revision)
    }

    pub(crate) fn view(&self, at: u64) -> View {
        let mut view = View::default();
        self.log.iter().filter(|entry| entry.revision <= at).for_each(|entry| view.apply(entry));
        View { at, ..view }
    }

    pub(crate) fn head(&self, start: u8) -> Head {
        let chain = self.log.last().map_or(0, |entry| entry.chain);
        Head {
            revision: revision(self.last()),
            start: start_id(start),
            chain_hash: hash(chain),
            mac: Some(hash(u64::from(self.seal))),
        }
    }

    /// What is known of a head, as the product's store says it.
    pub(crate) fn head_known(&self, head: &Head, running: u8) -> HeadKnown {
        let starts = self.log.iter().filter(|entry| entry.what == What::Start);
        let next = starts.clone().find(|entry| start_id(entry.start) > head.start);
        let known = starts.clone().any(|entry| start_id(entry.start) == head.start);
        let last = if head.start == start_id(running) {
            Some(self.last())
        } else {
            known.then(|| next.map_or(self.last(), |entry| entry.revision - 1))
        };
        let at = self.log.iter().filter(|entry| entry.revision >= self.retained_from);
        let at = at.clone().find(|entry| revision(entry.revision) == head.revision);
        HeadKnown {
            start_last: last.map(revision),
            chain_hash: at.map(|entry| hash(entry.chain)),
            retained_from: revision(self.retained_from),
        }
    }

    /// The last record of any of these.
    pub(crate) fn last_of(&self, serves: &[Ns]) -> u64 {
        self.log.iter().rev().find(|entry| serves.contains(&entry.ns)).map_or(0, |entry| entry.revision)
    }

    /// Whether a head is that of one of this log's own records: the truth, which no authority can read off a log that was cut.
    pub(crate) fn has(&self, head: &Head) -> bool {
        let is_it = |entry: &&Entry| {
            (revision(entry.revision), start_id(entry.start), hash(entry.chain))
                == (head.revision, head.start, head.chain_hash)
        };
        self.log.iter().any(|entry| is_it(&entry))
    }

    pub(crate) fn setup(&self, start: u8, now: Now) -> HubSetup {
        let waits = |(number, (ns, at)): (usize, &(Ns, u64))| Pending {
            revocation: revocation(number as u8),
            namespace: name(*ns).clone(),
            revision: revision(*at),
            committed_at: UnixTime::ZERO,
            ended_before: self.ended_before(*ns, *at),
        };
        let pending = self.revocations.iter().enumerate().filter(|(number, _)| self.complete >> number & 1 == 0);
        let policies = self.log.iter().filter_map(|entry| match entry.what {
            What::Policy(grace) => Some(PolicyFact {
                namespace: name(entry.ns).clone(),
                revision: revision(entry.revision),
                freshness: freshness(grace),
            }),
            _ => None,
        });
        let last = |ns: Ns| self.log.iter().rev().find(|entry| entry.ns == ns).map(|entry| entry.revision);
        HubSetup {
            start: start_id(start),
            now,
            authority_time: now.real,
            head: self.head(start),
            sessions: self.sessions.values().filter(|row| row.ended.is_none()).map(|row| row.facts.clone()).collect(),
            policies: policies.collect(),
            last_records: (0..=FED).filter_map(|ns| Some((name(ns).clone(), revision(last(ns)?)))).collect(),
            floors: (0..=FED).map(|ns| (name(ns).clone(), revision(self.floors[ns]))).collect(),
            pending: pending.map(waits).collect(),
        }
    }

    fn ended_before(&self, ns: Ns, at: u64) -> Vec<Evidence> {
        let ended = self.sessions.values().filter_map(|row| Some((&row.facts, row.ended?)));
        let ended = ended.filter(|(facts, _)| facts.namespaces.contains(name(ns)) && facts.opened < revision(at));
        let line = |(facts, state): (&SessionFacts, EvidenceKind)| Evidence {
            verifier: facts.verifier.clone(),
            session: Some(facts.session),
            state,
            at: None,
            silent_since: None,
            stops_by: None,
        };
        ended.map(line).collect()
    }
}

impl Entry {
    pub(crate) fn committed(&self, store: &Store, now: Now) -> Committed {
        let (revocation_of, ended_tokens) = match self.what {
            What::End(token) => (Some(token), Vec::new()),
            What::OwnEnd { revocation, token } => (Some(revocation), vec![own_token(token)]),
            What::Policy(_) | What::Start => (None, Vec::new()),
        };
        Committed {
            revision: revision(self.revision),
            namespace: name(self.ns).clone(),
            committed_at: now.real,
            boot: now.boot,
            policy: if let What::Policy(grace) = self.what { Some(freshness(grace)) } else { None },
            revocation: revocation_of.map(revocation),
            ended_tokens,
            head: store.head(self.start),
        }
    }

    /// The head of which this is the record.
    pub(crate) fn head(&self, seal: u8) -> Head {
        Head {
            revision: revision(self.revision),
            start: start_id(self.start),
            chain_hash: hash(self.chain),
            mac: Some(hash(u64::from(seal))),
        }
    }

    pub(crate) fn record(&self) -> Record {
        let change = match self.what {
            What::Policy(grace) => Change::Policy(policy(grace)),
            What::End(token) => {
                let entry = row(token, false);
                Change::End { digest: entry.digest, token: entry.token, reason: EndReason::Revoked }
            }
            What::OwnEnd { .. } | What::Start => Change::Start(start_id(self.start)),
        };
        Record {
            revision: revision(self.revision),
            predecessor: revision(self.predecessor),
            namespace: name(self.ns).clone(),
            start: start_id(self.start),
            chain_hash: hash(self.chain),
            set_hash: None,
            committed_at: UnixTime::ZERO,
            changes: vec![change],
        }
    }
}

impl View {
    /// The parts of a snapshot for whoever serves these.
    pub(crate) fn parts(&self, serves: &[Ns]) -> Vec<SnapshotPart> {
        let part = |ns: &Ns| SnapshotPart {
            namespace: name(*ns).clone(),
            policy: policy(self.grace[*ns]),
            rows: (0..8).filter(|token| self.ended >> token & 1 == 1).map(|token| row(token, true)).collect(),
            set_hash: None,
        };
        serves.iter().map(part).collect()
    }
}

pub(crate) fn name(ns: Ns) -> &'static NamespaceName {
    static NAMES: LazyLock<[NamespaceName; FED + 1]> =
        LazyLock::new(|| [parsed("acme"), parsed("blog"), NamespaceName::built_in()]);
    &NAMES[ns]
}

pub(crate) fn ns_of(name_of: &NamespaceName) -> Ns {
    (0..FED).find(|ns| name(*ns) == name_of).unwrap_or(BUILT_IN)
}

pub(crate) fn verifier_name(verifier: usize) -> VerifierName {
    parsed(&format!("edge-{verifier}"))
}

pub(crate) fn revision(number: u64) -> Revision {
    Revision::new(number).unwrap_or_default()
}

pub(crate) fn freshness(grace: u8) -> Freshness {
    if grace == 0 { Freshness::Strict } else { Freshness::Grace(Span::from_secs(u64::from(grace))) }
}

pub(crate) fn grace_of(policy: &Policy) -> u8 {
    policy.freshness.grace().as_secs() as u8
}

fn policy(grace: u8) -> Policy {
    static PREFIX: LazyLock<Prefix> = LazyLock::new(|| parsed("test"));
    Policy { prefix: PREFIX.clone(), freshness: freshness(grace), disabled: false }
}

pub(crate) fn token_number(token: TokenId) -> u8 {
    token.as_bytes()[0]
}

fn row(token: u8, ended: bool) -> TokenEntry {
    TokenEntry {
        digest: Digest::from_bytes([token; 32]),
        token: TokenId::from_bytes([token; 16]),
        credential: CredentialId::from_bytes([token; 16]),
        subject: None,
        scopes: ScopeSet::default(),
        expires_at: None,
        addresses: AddressList::default(),
        disabled: false,
        ended: ended.then_some(EndReason::Revoked),
    }
}

pub(crate) const fn own_token(token: u8) -> TokenId {
    TokenId::from_bytes([0x80 | token; 16])
}

pub(crate) const fn session_id(verifier: usize, number: u8) -> SessionId {
    let mut bytes = [0; 16];
    (bytes[0], bytes[1]) = (verifier as u8 + 1, number);
    SessionId::from_bytes(bytes)
}

pub(crate) const fn start_id(start: u8) -> StartId {
    StartId::from_bytes([start; 16])
}

pub(crate) const fn revocation(number: u8) -> RevocationId {
    RevocationId::from_bytes([number; 16])
}

pub(crate) const fn revocation_number(revocation: RevocationId) -> u8 {
    revocation.as_bytes()[0]
}

fn hash(number: u64) -> Hash32 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Hash32(bytes)
}

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| unreachable!("a name of this file"))
}
