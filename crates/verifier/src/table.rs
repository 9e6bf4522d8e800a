//! The tokens of one namespace by digest. A small interface, so that a denser table can take this one's place.

mod rights;
mod row;
mod shard;

use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jeton_feed::{
    record::{EndReason, TokenEntry},
    set_hash::SetHash,
};
use jeton_types::{Digest, UnixTime};

use self::{rights::Known, row::Row, shard::Shard};

/// The tokens of one namespace, tombstones among them. One writer, many readers; a call that returned is visible to
/// every later [`Table::find`] on every thread.
///
/// Ends are monotone whatever the order: nothing revives an entry that has ended, nothing lengthens its life, as long as it is
/// not removed.
pub trait Table: Default + Send + Sync + 'static {
    /// The entry of this digest.
    fn find(&self, digest: &Digest) -> Option<TokenEntry>;
    /// Puts an entry, or renews one as [`TokenEntry::settled`] says.
    fn put(&self, entry: TokenEntry);
    /// Brings an entry's expiry nearer, never farther.
    fn deadline(&self, digest: &Digest, expires_at: UnixTime);
    /// Ends an entry for good.
    fn end(&self, digest: &Digest, reason: EndReason);
    /// Forgets an entry. What it was is nobody's business any more: it had expired long before.
    fn remove(&self, digest: &Digest);
    /// How many entries there are.
    fn len(&self) -> usize;
    /// The sum over all entries as this table has kept it, write by write.
    fn set_hash(&self) -> SetHash;
    /// The sum over all entries as they are now; it is what is kept from here on. Reads all of them.
    fn set_hash_renew(&self) -> SetHash;
    /// Some of the entries and how to go on after them; nothing at the end. Over all calls each entry is given that is
    /// there from the first to the last, as it was at some moment in between; what came meanwhile may be left out.
    fn some(&self, at: Place) -> Option<(Vec<TokenEntry>, Place)>;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How far a reading of all entries is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    shard: usize,
    /// Rows of the shard from here on were given.
    below: usize,
}

impl Place {
    /// Before the first entry.
    pub const BEGIN: Self = Self { shard: 0, below: usize::MAX };
}

/// One for each value of a byte of the digest. Many, so that a shard that grows holds up few readers, and not for long.
const SHARDS: usize = 256;
/// Entries that are read under one lock: a writer waits no longer than for these.
const SOME_MAX: usize = 128;

/// A hash table in shards, each behind its own lock. A reader holds one shard's lock for one look-up and the copy of its
/// entry, which allocates nothing; a writer holds it for one entry.
///
/// What one token costs is its row and its place in the index, about 130 bytes:
/// scopes are held once for all tokens that have the same, and a subject of up to 30 bytes stands in the row.
#[derive(Debug)]
pub struct ShardedTable {
    shards: [RwLock<Shard>; SHARDS],
    rights: Mutex<Known>,
}

impl Default for ShardedTable {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), rights: Mutex::default() }
    }
}

// A lock is poisoned only by a panic within one of these few lines; an entry is whole at every one of them.
impl ShardedTable {
    fn shard(&self, digest: &Digest) -> &RwLock<Shard> {
        // The last byte; the place within a shard is made of the first ones.
        &self.shards[usize::from(digest.as_bytes()[31])]
    }

    fn read(&self, digest: &Digest) -> RwLockReadGuard<'_, Shard> {
        self.shard(digest).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, digest: &Digest) -> RwLockWriteGuard<'_, Shard> {
        self.shard(digest).write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table for ShardedTable {
    fn find(&self, digest: &Digest) -> Option<TokenEntry> {
        self.read(digest).find(digest).map(Row::entry)
    }

    fn put(&self, entry: TokenEntry) {
        let rights = self.rights.lock().unwrap_or_else(PoisonError::into_inner).of(&entry);
        let mut shard = self.write(&entry.digest);
        match shard.find(&entry.digest).map(Row::entry) {
            Some(known) => {
                let digest = entry.digest;
                let entry = entry.settled(Some(&known));
                shard.change(&digest, |row| *row = Row::new(entry, rights));
            }
            None => shard.insert(Row::new(entry, rights)),
        }
    }

    fn deadline(&self, digest: &Digest, expires_at: UnixTime) {
        self.write(digest).change(digest, |row| row.deadline(expires_at));
    }

    fn end(&self, digest: &Digest, reason: EndReason) {
        self.write(digest).change(digest, |row| row.end(reason));
    }

    fn remove(&self, digest: &Digest) {
        self.write(digest).remove(digest);
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn set_hash(&self) -> SetHash {
        let sum = |shard: &RwLock<Shard>| shard.read().unwrap_or_else(PoisonError::into_inner).set_hash();
        self.shards.iter().map(sum).fold(SetHash::EMPTY, SetHash::plus)
    }

    fn set_hash_renew(&self) -> SetHash {
        // Summed up under a lock that readers share; nobody else writes meanwhile.
        let renew = |shard: &RwLock<Shard>| {
            let sum = shard.read().unwrap_or_else(PoisonError::into_inner).set_hash_of_rows();
            shard.write().unwrap_or_else(PoisonError::into_inner).set_hash_keep(sum);
            sum
        };
        self.shards.iter().map(renew).fold(SetHash::EMPTY, SetHash::plus)
    }

    fn some(&self, Place { shard, below }: Place) -> Option<(Vec<TokenEntry>, Place)> {
        let (entries, from) =
            self.shards.get(shard)?.read().unwrap_or_else(PoisonError::into_inner).some_below(below, SOME_MAX);
        let next = if from == 0 { Place { shard: shard + 1, ..Place::BEGIN } } else { Place { shard, below: from } };
        Some((entries, next))
    }
}

#[cfg(test)]
impl ShardedTable {
    /// Alters a row as bad memory would: without a word.
    pub(crate) fn rot(&self, digest: &Digest) {
        if let Some(row) = self.write(digest).find_mut(digest) {
            row.rot();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use jeton_types::{AddressList, CredentialId, ScopeSet, TokenId};
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
            addresses: AddressList::default(),
            disabled: false,
            ended: ended.then_some(EndReason::Revoked),
        }
    }

    #[derive(Debug, Clone)]
    enum Write {
        Put(u8, Option<u64>, bool),
        Deadline(u8, u64),
        End(u8),
        Remove(u8),
    }

    fn write() -> impl Strategy<Value = Write> {
        prop_oneof![
            (0..4_u8, proptest::option::of(0..100_u64), any::<bool>()).prop_map(|(k, e, d)| Write::Put(k, e, d)),
            (0..4_u8, 0..100_u64).prop_map(|(k, e)| Write::Deadline(k, e)),
            (0..4_u8).prop_map(Write::End),
            (0..4_u8).prop_map(Write::Remove),
        ]
    }

    proptest! {
        /// S7: in whatever order, ended stays ended and an expiry only comes nearer.
        #[test]
        fn ends_are_monotone(writes in proptest::collection::vec(write(), 0..60)) {
            let table = ShardedTable::default();
            for write in writes {
                let before: Vec<_> = (0..4).map(|key| table.find(&Digest::from_bytes([key; 32]))).collect();
                if let Write::Remove(key) = write {
                    let digest = Digest::from_bytes([key; 32]);
                    table.remove(&digest);
                    prop_assert_eq!(table.find(&digest), None);
                    prop_assert_eq!(table.len(), before.iter().enumerate().filter(|(at, row)| *at != usize::from(key) && row.is_some()).count());
                    prop_assert_eq!(table.set_hash(), table.set_hash_renew());
                    continue;
                }
                match write {
                    Write::Remove(_) => {}
                    Write::Put(key, expires_at, ended) => table.put(entry(key, expires_at, ended)),
                    Write::Deadline(key, at) => table.deadline(&Digest::from_bytes([key; 32]), UnixTime::from_micros(at)),
                    Write::End(key) => table.end(&Digest::from_bytes([key; 32]), EndReason::Revoked),
                }
                let kept = table.set_hash();
                prop_assert_eq!(kept, table.set_hash_renew());
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

    /// Every token that was put is found as it was put, and no other, through all the sizes that a shard grows to.
    #[test]
    fn a_growing_table_keeps_everything() {
        let digest = |number: u32, shard: u8, mark: u8| {
            let mut bytes = [0; 32];
            // Homes that collide by the dozen, and marks that say little.
            bytes[..4].copy_from_slice(&(number / 12).to_le_bytes());
            bytes[8..12].copy_from_slice(&number.to_le_bytes());
            bytes[30] = mark;
            bytes[31] = shard;
            Digest::from_bytes(bytes)
        };
        let of = |number: u32| digest(number, (number % 3) as u8, (number % 2) as u8);
        let made = |number: u32| {
            let mut entry = entry(0, number.is_multiple_of(5).then_some(u64::from(number)), number.is_multiple_of(7));
            entry.digest = of(number);
            entry.subject = (!number.is_multiple_of(4)).then(|| format!("s{number}").parse().unwrap());
            entry.scopes = ScopeSet::parse([["a", "b"][number as usize % 2]]).unwrap();
            entry.disabled = number.is_multiple_of(11);
            entry
        };
        let table = ShardedTable::default();
        for number in 0..3000 {
            assert_eq!(table.find(&of(number)), None);
            table.put(made(number));
            assert_eq!(table.len(), number as usize + 1);
            if number.is_multiple_of(100) {
                for known in 0..=number {
                    assert_eq!(table.find(&of(known)), Some(made(known)), "{known} of {number}");
                }
            }
        }
        for number in 0..3000 {
            assert_eq!(table.find(&digest(number, 3, 0)), None, "another shard");
            assert_eq!(table.find(&digest(number, (number % 3) as u8, 2)), None, "another token of the same home");
            table.put(TokenEntry { disabled: false, ..made(number) });
        }
        assert_eq!(table.len(), 3000, "put anew is not one more");
        // Most of them go, in an order that is neither that of coming nor that of places; then they come again.
        let goes = |number: u32| number % 10 != 3;
        for number in (0..3000).map(|at| at * 7 % 3000).filter(|number| goes(*number)) {
            table.remove(&of(number));
            table.remove(&of(number));
            assert_eq!(table.find(&of(number)), None);
        }
        let left = |number: u32| (!goes(number)).then(|| TokenEntry { disabled: false, ..made(number) });
        for number in 0..3000 {
            assert_eq!(table.find(&of(number)), left(number), "{number}");
        }
        assert_eq!((table.len(), table.set_hash()), (300, table.set_hash_renew()));
        for number in 0..3000 {
            table.put(made(number));
        }
        for number in 0..3000 {
            assert_eq!(table.find(&of(number)).map(|row| row.token), Some(made(number).token), "{number}");
        }
        assert_eq!((table.len(), table.set_hash()), (3000, table.set_hash_renew()));
        let (mut read, mut at) = (HashSet::new(), Place::BEGIN);
        while let Some((entries, next)) = table.some(at) {
            assert!(entries.len() <= SOME_MAX);
            for entry in entries {
                assert_eq!(table.find(&entry.digest), Some(entry.clone()));
                assert!(read.insert(entry.digest), "given twice");
            }
            at = next;
        }
        assert_eq!(read.len(), 3000, "all of them are given");
    }
}
