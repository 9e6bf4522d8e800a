//! What is there, how it is looked up, and the one way in which a revision comes about.

use std::{collections::BTreeMap, sync::Arc};

use jeton_feed::{
    record::{Change, Head, Record, TokenEntry},
    set_hash::SetHash,
};
use jeton_lifecycle::audit;
use jeton_types::{
    CredentialId, Digest, Entropy, Hash32, NamespaceName, Prefix, Revision, RevocationId, SessionId, StartId, TokenId,
    UnixTime,
};

use super::usage::Usage;
use crate::{
    StoreError,
    actor::Actor,
    authority_time::AuthorityTime,
    idempotency::Replay,
    model::{
        Caller, CredentialRef, CredentialRow, NamespaceRow, PolicyRow, RevocationRow, SessionRow, StartRow, TokenRow,
    },
    record_code::{self, Framed},
};

/// All there is.
#[derive(Clone)]
pub(super) struct State {
    pub(super) head: Head,
    /// How far authority time had come at the head.
    pub(super) authority_time: UnixTime,
    pub(super) starts: Vec<StartRow>,
    pub(super) namespaces: BTreeMap<NamespaceName, NamespaceRow>,
    pub(super) last_records: BTreeMap<NamespaceName, Revision>,
    pub(super) floors: BTreeMap<NamespaceName, Revision>,
    pub(super) policies: Vec<PolicyRow>,
    pub(super) credentials: BTreeMap<CredentialId, CredentialRow>,
    pub(super) tokens: BTreeMap<TokenId, TokenRow>,
    pub(super) revocations: BTreeMap<RevocationId, RevocationRow>,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    pub(super) usage: Usage,
    pub(super) records: Vec<Arc<Record>>,
    pub(super) audit: Vec<Arc<audit::Link>>,
    /// What was done under a key, by principal and hash of the key.
    pub(super) kept: BTreeMap<(CredentialId, [u8; 32]), Kept>,
}

/// What was done under a key.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) body: Hash32,
    pub(super) replay: Replay,
    pub(super) until: UnixTime,
}

impl Default for State {
    fn default() -> Self {
        let start = StartId::from_bytes([0; 16]);
        Self {
            head: Head { revision: Revision::ZERO, start, chain_hash: Hash32::ZERO, mac: None },
            authority_time: UnixTime::ZERO,
            starts: Vec::new(),
            namespaces: BTreeMap::new(),
            last_records: BTreeMap::new(),
            floors: BTreeMap::new(),
            policies: Vec::new(),
            credentials: BTreeMap::new(),
            tokens: BTreeMap::new(),
            revocations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            usage: Usage::default(),
            records: Vec::new(),
            audit: Vec::new(),
            kept: BTreeMap::new(),
        }
    }
}

impl State {
    pub(super) fn namespace(&self, name: &NamespaceName) -> Result<&NamespaceRow, StoreError> {
        self.namespaces.get(name).ok_or(StoreError::NotFound("namespace"))
    }

    pub(super) fn by_prefix(&self, prefix: &Prefix) -> Option<&NamespaceRow> {
        self.namespaces.values().find(|row| row.prefix == *prefix)
    }

    pub(super) fn credential(&self, credential: &CredentialRef) -> Option<&CredentialRow> {
        match credential {
            CredentialRef::Id(id) => self.credentials.get(id),
            CredentialRef::Name(namespace, name) => {
                self.credentials.values().find(|row| row.namespace == *namespace && row.name == *name)
            }
        }
    }

    /// The tokens of a credential, oldest first.
    pub(super) fn tokens_of(&self, credential: CredentialId) -> Vec<TokenRow> {
        let mut tokens: Vec<_> = self.tokens.values().filter(|row| row.credential == credential).cloned().collect();
        tokens.sort_by_key(|row| row.version);
        tokens
    }

    pub(super) fn by_digest(&self, digest: &Digest) -> Option<(TokenRow, CredentialRow)> {
        let token = self.tokens.values().find(|row| row.digest == *digest)?;
        Some((token.clone(), self.credentials.get(&token.credential)?.clone()))
    }

    pub(super) fn revocation(&self, id: RevocationId) -> Result<RevocationRow, StoreError> {
        self.revocations.get(&id).cloned().ok_or(StoreError::NotFound("revocation"))
    }

    /// What is enforced in a namespace, in one hash, row by row.
    pub(super) fn set_hash(&self, namespace: &NamespaceName) -> Option<Hash32> {
        let policy = self.namespaces.get(namespace)?.policy();
        let rows = self.enforced(namespace);
        let sum = rows.iter().map(SetHash::of_entry).fold(SetHash::of_policy(namespace, &policy), SetHash::plus);
        Some(sum.to_hash())
    }

    /// The rows of a namespace, as they are enforced.
    pub(super) fn enforced(&self, namespace: &NamespaceName) -> Vec<TokenEntry> {
        let rows = self.tokens.values().filter(|token| token.namespace == *namespace && token.collected.is_none());
        rows.filter_map(|token| Some(token.entry(self.credentials.get(&token.credential)?))).collect()
    }

    pub(super) fn audit_head(&self) -> audit::Head {
        self.audit.last().map_or(audit::Head::START, |link| audit::Head { seq: link.entry.seq, hash: link.hash })
    }

    /// Who calls, if the token is good.
    pub(super) fn actor(&self, caller: Caller, now: UnixTime) -> Result<Actor, StoreError> {
        match caller {
            Caller::System => Ok(Actor::system()),
            Caller::Bearer(bearer) => Actor::bearer(bearer, self.by_digest(&bearer.digest), now),
        }
    }
}

/// A mutation under way: its own copy of the state.
pub(super) struct Draft<'a> {
    pub(super) state: State,
    /// The start of this process.
    pub(super) start: Option<StartId>,
    pub(super) time: &'a AuthorityTime,
    pub(super) entropy: &'a dyn Entropy,
    pub(super) written: Vec<(Arc<Record>, Option<RevocationId>)>,
}

/// A revision to be used in this mutation.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) revision: Revision,
    pub(super) at: UnixTime,
    start: StartId,
}

/// What a mutation did.
pub(super) struct Entry<'a> {
    pub(super) actor: &'a Actor,
    pub(super) action: &'static str,
    pub(super) namespace: &'a NamespaceName,
    pub(super) object: String,
    pub(super) reason: Option<String>,
    pub(super) changes: Vec<Change>,
    pub(super) revocation: Option<RevocationId>,
}

impl Draft<'_> {
    /// Writes into the record what is enforced now that all is done. A mutation has one record at most.
    pub(super) fn set_hash_fill(&mut self) {
        for (record, _) in &mut self.written {
            Arc::make_mut(record).set_hash = self.state.set_hash(&record.namespace);
            if let Some(kept) = self.state.records.last_mut().filter(|kept| kept.revision == record.revision) {
                *kept = Arc::clone(record);
            }
        }
    }

    pub(super) fn now(&self) -> UnixTime {
        self.time.now()
    }

    pub(super) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// The next revision.
    pub(super) fn stamp(&self) -> Result<Stamp, StoreError> {
        let unavailable = |why: &str| StoreError::Unavailable(why.to_owned());
        let none = || unavailable("no start of the authority has been recorded in this process");
        let start = self.start.ok_or_else(none)?;
        let at = self.now();
        let revision = self.state.head.revision.next(at);
        let used_up = || unavailable("revisions are used up: the clock stands after the year 2255");
        Ok(Stamp { revision: revision.ok_or_else(used_up)?, at, start })
    }

    /// Appends the record and the audit entry, and moves the head.
    pub(super) fn publish(&mut self, stamp: Stamp, entry: Entry<'_>) -> Result<(), StoreError> {
        let Entry { actor, action, namespace, object, reason, changes, revocation } = entry;
        self.state.namespace(namespace)?;
        let last = self.state.last_records.insert(namespace.clone(), stamp.revision);
        let predecessor = last.unwrap_or(Revision::ZERO);
        let Stamp { revision, at, start } = stamp;
        let framed = Framed { revision, predecessor, namespace, start, committed_at: at };
        let chain_hash = record_code::chain(&self.state.head.chain_hash, &framed, &record_code::encode(&changes)?);
        let before = self.state.audit_head();
        let audited = audit::Entry {
            seq: before.seq + 1,
            revision,
            at,
            token: actor.token,
            credential: actor.credential,
            address: actor.address.map(|address| address.to_string()),
            action: action.to_owned(),
            namespace: namespace.clone(),
            object,
            reason,
        };
        let hash = audited.hash(&before.hash);
        self.state.audit.push(Arc::new(audit::Link { entry: audited, previous: before.hash, hash }));
        self.state.head = Head { revision, start, chain_hash, mac: None };
        self.state.authority_time = at;
        let record = Arc::new(Record {
            revision,
            predecessor,
            namespace: namespace.clone(),
            start,
            chain_hash,
            // Once all is done.
            set_hash: None,
            committed_at: at,
            changes,
        });
        self.state.records.push(Arc::clone(&record));
        self.written.push((record, revocation));
        Ok(())
    }
}
