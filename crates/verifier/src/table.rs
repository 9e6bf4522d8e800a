//! The tokens of one namespace by digest. A small interface, so that a denser table can take this one's place.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use jeton_feed::record::{EndReason, TokenEntry};
use jeton_types::{Digest, UnixTime};

/// The tokens of one namespace, tombstones among them. One writer, many readers; a call that returned is visible to
/// every later [`Table::find`] on every thread.
///
/// Ends are monotone whatever the order: nothing revives an entry that has ended, nothing lengthens its life.
pub trait Table: Default + Send + Sync + 'static {
    /// The entry of this digest.
    fn find(&self, digest: &Digest) -> Option<Arc<TokenEntry>>;
    /// Puts an entry, or renews one as [`settle`] says.
    fn put(&self, entry: TokenEntry);
    /// Brings an entry's expiry nearer, never farther.
    fn deadline(&self, digest: &Digest, expires_at: UnixTime);
    /// Ends an entry for good.
    fn end(&self, digest: &Digest, reason: EndReason);
    /// How many entries there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `entry` in the light of what is known of the same token: ended stays ended, and the nearest expiry holds. A replayed
/// or late row, or a snapshot of an authority that forgot, resurrects nothing.
#[must_use]
pub fn settle(mut entry: TokenEntry, known: Option<&TokenEntry>) -> TokenEntry {
    if let Some(known) = known {
        entry.ended = known.ended.or(entry.ended);
        entry.expires_at = nearest(known.expires_at, entry.expires_at);
    }
    entry
}

fn nearest(one: Option<UnixTime>, other: Option<UnixTime>) -> Option<UnixTime> {
    one.into_iter().chain(other).min()
}

/// A power of two, so that a byte of the digest chooses evenly.
const SHARDS: usize = 64;

/// A hash table in shards, each behind its own lock. A reader holds one shard's lock for one look-up and the clone of
/// an `Arc`; a writer holds it for one entry.
#[derive(Debug)]
pub struct ShardedTable {
    shards: [RwLock<Shard>; SHARDS],
}

type Shard = HashMap<Digest, Arc<TokenEntry>, BuildHasherDefault<OfDigest>>;

impl Default for ShardedTable {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()) }
    }
}

// A lock is poisoned only by a panic within one of these few lines; an entry is whole at every one of them.
impl ShardedTable {
    fn shard(&self, digest: &Digest) -> &RwLock<Shard> {
        // The last byte; the hash within a shard is made of the first ones.
        &self.shards[digest.as_bytes()[31] as usize % SHARDS]
    }

    fn read(&self, digest: &Digest) -> RwLockReadGuard<'_, Shard> {
        self.shard(digest).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, digest: &Digest) -> RwLockWriteGuard<'_, Shard> {
        self.shard(digest).write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table for ShardedTable {
    fn find(&self, digest: &Digest) -> Option<Arc<TokenEntry>> {
        self.read(digest).get(digest).cloned()
    }

    fn put(&self, entry: TokenEntry) {
        let mut shard = self.write(&entry.digest);
        let digest = entry.digest;
        let entry = settle(entry, shard.get(&digest).map(Arc::as_ref));
        shard.insert(digest, Arc::new(entry));
    }

    fn deadline(&self, digest: &Digest, expires_at: UnixTime) {
        if let Some(entry) = self.write(digest).get_mut(digest) {
            let entry = Arc::make_mut(entry);
            entry.expires_at = nearest(entry.expires_at, Some(expires_at));
        }
    }

    fn end(&self, digest: &Digest, reason: EndReason) {
        if let Some(entry) = self.write(digest).get_mut(digest) {
            let entry = Arc::make_mut(entry);
            entry.ended = entry.ended.or(Some(reason));
        }
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

/// A digest is a SHA-256 already; its first eight bytes are as good a hash as any of them would make.
#[derive(Debug, Default)]
struct OfDigest(u64);

impl Hasher for OfDigest {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length that comes before the bytes says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use jeton_types::{CredentialId, ScopeSet, TokenId};
    use proptest::prelude::*;

    use super::*;

    fn entry(key: u8, expires_at: Option<u64>, ended: bool) -> TokenEntry {
        TokenEntry {
            digest: Digest::from_bytes([key; 32]),
            token: TokenId::from_bytes([key; 16]),
            credential: CredentialId::from_bytes([1; 16]),
            subject: None,
            scopes: ScopeSet::default(),
            expires_at: expires_at.map(UnixTime::from_micros),
            disabled: false,
            ended: ended.then_some(EndReason::Revoked),
        }
    }

    #[derive(Debug, Clone)]
    enum Write {
        Put(u8, Option<u64>, bool),
        Deadline(u8, u64),
        End(u8),
    }

    fn write() -> impl Strategy<Value = Write> {
        prop_oneof![
            (0..4_u8, proptest::option::of(0..100_u64), any::<bool>()).prop_map(|(k, e, d)| Write::Put(k, e, d)),
            (0..4_u8, 0..100_u64).prop_map(|(k, e)| Write::Deadline(k, e)),
            (0..4_u8).prop_map(Write::End),
        ]
    }

    proptest! {
        /// S7: in whatever order, ended stays ended and an expiry only comes nearer.
        #[test]
        fn ends_are_monotone(writes in proptest::collection::vec(write(), 0..60)) {
            let table = ShardedTable::default();
            for write in writes {
                let before: Vec<_> = (0..4).map(|key| table.find(&Digest::from_bytes([key; 32]))).collect();
                match write {
                    Write::Put(key, expires_at, ended) => table.put(entry(key, expires_at, ended)),
                    Write::Deadline(key, at) => table.deadline(&Digest::from_bytes([key; 32]), UnixTime::from_micros(at)),
                    Write::End(key) => table.end(&Digest::from_bytes([key; 32]), EndReason::Revoked),
                }
                for before in before.into_iter().flatten() {
                    let after = table.find(&before.digest).unwrap();
                    prop_assert!(before.ended.is_none() || after.ended == before.ended);
                    if let Some(expires_at) = before.expires_at {
                        prop_assert!(after.expires_at.unwrap() <= expires_at);
                    }
                }
            }
        }
    }

    #[test]
    fn the_hash_is_the_first_eight_bytes() {
        use std::hash::BuildHasher as _;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&7_u64.to_le_bytes());
        assert_eq!(BuildHasherDefault::<OfDigest>::default().hash_one(Digest::from_bytes(bytes)), 7);
    }
}
