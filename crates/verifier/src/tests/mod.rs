//! The replica and its verdicts, alone, beside threads, and in a world with an authority, a bad network and bad clocks.

mod answers;
mod disk;
mod first_use;
mod frames;
mod hooked;
mod mismatch;
mod threads;
mod world;

use jeton_feed::{
    lease::Lease,
    message::SnapshotPart,
    record::{Change, EndReason, Policy, Record, TokenEntry},
    replica::Replica as _,
};
use jeton_types::{
    AddressList, BootTime, CredentialId, Digest, Freshness, Hash32, NamespaceName, Now, Revision, ScopeSet, Span,
    StartId, TokenId, UnixTime, token,
};

use crate::{MemoryReplica, Table};

const START: Now = Now { boot: BootTime::from_nanos(1_000_000_000_000), real: UnixTime::from_micros(77_000_000) };
/// Authority time at [`START`].
const AUTHORITY: UnixTime = UnixTime::from_micros(500_000_000);

fn acme() -> NamespaceName {
    "acme".parse().unwrap()
}

fn revision(value: u64) -> Revision {
    Revision::new(value).unwrap()
}

fn policy(grace_secs: u64) -> Policy {
    let freshness = if grace_secs == 0 { Freshness::Strict } else { Freshness::Grace(Span::from_secs(grace_secs)) };
    Policy { prefix: "acme_live".parse().unwrap(), freshness, disabled: false }
}

fn part(policy: Policy, rows: Vec<TokenEntry>) -> SnapshotPart {
    SnapshotPart { namespace: acme(), policy, rows, set_hash: None }
}

fn record(predecessor: u64, at: u64, changes: Vec<Change>) -> Record {
    Record {
        revision: revision(at),
        predecessor: revision(predecessor),
        namespace: acme(),
        start: StartId::from_bytes([1; 16]),
        chain_hash: Hash32::ZERO,
        set_hash: None,
        committed_at: UnixTime::ZERO,
        changes,
    }
}

/// A token as its holder knows it.
#[derive(Debug, Clone)]
struct Held {
    text: Vec<u8>,
    digest: Digest,
    id: TokenId,
    birth: u64,
}

impl Held {
    fn new(prefix: &str, birth: u64, number: u8) -> Self {
        let minted = token::mint(&prefix.parse().unwrap(), revision(birth), [number; token::RANDOM_BYTES]);
        let id = TokenId::from_bytes([number; 16]);
        Self { text: minted.text.expose().clone().into_bytes(), digest: minted.digest, id, birth }
    }

    fn entry(&self) -> TokenEntry {
        TokenEntry {
            digest: self.digest,
            token: self.id,
            credential: CredentialId::from_bytes([1; 16]),
            subject: None,
            scopes: ScopeSet::parse(["orders:read"]).unwrap(),
            expires_at: None,
            addresses: AddressList::default(),
            disabled: false,
            ended: None,
        }
    }

    fn end(&self) -> Change {
        Change::End { digest: self.digest, token: self.id, reason: EndReason::Revoked }
    }
}

/// A replica of `acme` with these rows in a snapshot of revision 10.
fn replica_of<T: Table>(grace_secs: u64, rows: Vec<TokenEntry>) -> MemoryReplica<T> {
    let replica = MemoryReplica::new(&[acme()]);
    replica.snapshot_begin();
    replica.snapshot_rows(part(policy(grace_secs), rows));
    let _ = replica.snapshot_end(revision(10));
    replica
}

fn lease(request: u64, sent: Now) -> Lease {
    Lease { request, sent, authority_time: AUTHORITY }
}
