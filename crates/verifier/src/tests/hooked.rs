//! A table whose look-ups can be interrupted: what happens before and after the read, within one look.

use std::cell::RefCell;

use jeton_feed::{
    record::{EndReason, TokenEntry},
    set_hash::SetHash,
};
use jeton_types::{Digest, UnixTime};

use crate::{Place, ShardedTable, Table};

type Hook = Box<dyn FnOnce()>;

thread_local! {
    static BEFORE: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static AFTER: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Runs these around the next read of this thread.
pub(super) fn around_next_find(before: impl FnOnce() + 'static, after: impl FnOnce() + 'static) {
    BEFORE.set(Some(Box::new(before)));
    AFTER.set(Some(Box::new(after)));
}

/// Nothing is interrupted any more.
pub(super) fn clear() {
    BEFORE.take();
    AFTER.take();
}

#[derive(Debug, Default)]
pub(super) struct Hooked(ShardedTable);

impl Table for Hooked {
    fn find(&self, digest: &Digest) -> Option<TokenEntry> {
        // Both are taken first: what runs in between looks up as well.
        let (before, after) = (BEFORE.take(), AFTER.take());
        if let Some(before) = before {
            before();
        }
        let found = self.0.find(digest);
        if let Some(after) = after {
            after();
        }
        found
    }

    fn put(&self, entry: TokenEntry) {
        self.0.put(entry);
    }

    fn deadline(&self, digest: &Digest, expires_at: UnixTime) {
        self.0.deadline(digest, expires_at);
    }

    fn end(&self, digest: &Digest, reason: EndReason) {
        self.0.end(digest, reason);
    }

    fn remove(&self, digest: &Digest) {
        self.0.remove(digest);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn set_hash(&self) -> SetHash {
        self.0.set_hash()
    }

    fn set_hash_renew(&self) -> SetHash {
        self.0.set_hash_renew()
    }

    fn some(&self, at: Place) -> Option<(Vec<TokenEntry>, Place)> {
        self.0.some(at)
    }
}
