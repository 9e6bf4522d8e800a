//! The rows of one shard, and where each of them is.

use jeton_feed::{record::TokenEntry, set_hash::SetHash};
use jeton_types::Digest;

use super::row::Row;

/// Rows in blocks, found through an open-addressed array of row numbers: 4 bytes a slot, at most three quarters taken.
///
/// Rows are never moved once their block is full, and growing means a bigger array of numbers, not a copy of all rows.
/// So the memory is that of the rows, and 5 to 11 bytes for each.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// A power of two of slots, or none yet.
    slots: Vec<Slot>,
    /// All of [`BLOCK`] rows but the last.
    blocks: Vec<Vec<Row>>,
    len: usize,
    /// Over the rows, kept with each write. None is kept per row: what a write takes out is the hash of what is really there.
    sum: SetHash,
}

/// Zero if free; else eight bits of the digest, so that hardly ever a row is looked at in vain, and the row's number plus
/// one in the other 24.
type Slot = u32;

const NUMBER_BITS: u32 = 24;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;
/// A shard's limit. All shards together hold four thousand million rows then, in half a terabyte.
const ROWS_MAX: usize = NUMBER_MASK as usize;
/// Rows in a block.
const BLOCK: usize = 64;
const SLOTS_MIN: usize = 8;

impl Shard {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<&Row> {
        self.number_of(digest).map(|number| self.row(number))
    }

    /// Changes the row of this digest, if it is there.
    pub(super) fn change(&mut self, digest: &Digest, change: impl FnOnce(&mut Row)) {
        let Some(row) = self.find_mut(digest) else { return };
        let before = row.set_hash();
        change(row);
        let after = row.set_hash();
        self.sum = self.sum.minus(before).plus(after);
    }

    /// As it was kept.
    pub(super) const fn set_hash(&self) -> SetHash {
        self.sum
    }

    /// As the rows are now.
    pub(super) fn set_hash_of_rows(&self) -> SetHash {
        self.blocks.iter().flatten().fold(SetHash::EMPTY, |sum, row| sum.plus(row.set_hash()))
    }

    /// What is kept from here on.
    pub(super) const fn set_hash_keep(&mut self, sum: SetHash) {
        self.sum = sum;
    }

    pub(super) fn find_mut(&mut self, digest: &Digest) -> Option<&mut Row> {
        let number = self.number_of(digest)?;
        Some(&mut self.blocks[number / BLOCK][number % BLOCK])
    }

    /// Adds a row whose digest is not there yet.
    pub(super) fn insert(&mut self, row: Row) {
        // The driver ends by it and every answer is stale from then on: better than a token that silently is not there.
        assert!(self.len < ROWS_MAX, "a shard of the token table is full");
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.sum = self.sum.plus(row.set_hash());
        place(&mut self.slots, &row.digest, self.len);
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(row),
            _ => self.blocks.push(vec![row]),
        }
        self.len += 1;
    }

    /// Takes the row of this digest out, if it is there. The last row takes its number, so that numbers stay without a gap.
    pub(super) fn remove(&mut self, digest: &Digest) {
        let Some((at, number)) = self.place_of(digest) else { return };
        let last = self.len - 1;
        let slot_of_last = self.place_of(&self.row(last).digest).map_or(at, |(slot, _)| slot);
        let Some(moved) = self.blocks.last_mut().and_then(Vec::pop) else { return };
        if self.blocks.last().is_some_and(Vec::is_empty) {
            self.blocks.pop();
        }
        let gone = if number == last {
            moved
        } else {
            // Below `ROWS_MAX`, so it fits.
            self.slots[slot_of_last] = mark(&moved.digest) | (number as u32 + 1);
            std::mem::replace(&mut self.blocks[number / BLOCK][number % BLOCK], moved)
        };
        // Last, since it looks at the rows of all other slots.
        self.close(at);
        self.sum = self.sum.minus(gone.set_hash());
        self.len = last;
    }

    /// Frees a slot, and moves what came after it because it was taken, so that no search ends too early.
    fn close(&mut self, at: usize) {
        let mask = self.slots.len() - 1;
        let (mut free, mut next) = (at, (at + 1) & mask);
        loop {
            let slot = self.slots[next];
            if slot == 0 {
                break;
            }
            let wanted = home(&self.row((slot & NUMBER_MASK) as usize - 1).digest) & mask;
            // Whether `free` lies on its way from its home to where it is.
            if (next.wrapping_sub(wanted) & mask) >= (next.wrapping_sub(free) & mask) {
                self.slots[free] = slot;
                free = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[free] = 0;
    }

    /// The last rows, `max` at most, of those below a number, and the number of the first of them. From the last to the first:
    /// a row that takes the place of one that is removed comes from behind, so it is not missed.
    pub(super) fn some_below(&self, below: usize, max: usize) -> (Vec<TokenEntry>, usize) {
        let until = below.min(self.len);
        let from = until.saturating_sub(max);
        ((from..until).map(|number| self.row(number).entry()).collect(), from)
    }

    fn row(&self, number: usize) -> &Row {
        &self.blocks[number / BLOCK][number % BLOCK]
    }

    fn number_of(&self, digest: &Digest) -> Option<usize> {
        self.place_of(digest).map(|(_, number)| number)
    }

    /// The slot of a digest, and the number of its row.
    fn place_of(&self, digest: &Digest) -> Option<(usize, usize)> {
        let mask = self.slots.len().checked_sub(1)?;
        let (mut at, mark) = (home(digest) & mask, mark(digest));
        loop {
            // A quarter of the slots is free, so this ends.
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot & !NUMBER_MASK == mark {
                let number = (slot & NUMBER_MASK) as usize - 1;
                if self.row(number).digest == *digest {
                    return Some((at, number));
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![0; (self.slots.len() * 2).max(SLOTS_MIN)];
        for (number, row) in self.blocks.iter().flatten().enumerate() {
            place(&mut slots, &row.digest, number);
        }
        self.slots = slots;
    }
}

/// Writes a row's number into the first free slot from its home on.
fn place(slots: &mut [Slot], digest: &Digest, number: usize) {
    let mask = slots.len() - 1;
    let mut at = home(digest) & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    // Below `ROWS_MAX`, so it fits.
    slots[at] = mark(digest) | (number as u32 + 1);
}

/// A digest is a SHA-256 already: its first eight bytes are as good a hash as any that could be made of it.
fn home(digest: &Digest) -> usize {
    let bytes = digest.as_bytes();
    u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]) as usize
}

/// Eight bits that neither `home` nor the choice of the shard has used.
fn mark(digest: &Digest) -> Slot {
    Slot::from(digest.as_bytes()[30]) << NUMBER_BITS
}
