//! The audit trail: what an entry says, the hash that chains it to the one before, and how a chain is checked.
//!
//! Each hash covers a domain tag, the hash before and every field, framed so that no two entries have the same bytes. So
//! an entry that was altered, left out, added or moved breaks the chain at its place, and whoever noted the newest hash
//! also finds what was cut off at the end. Not guaranteed: that nobody who can write to the database made up another
//! chain from some entry on; against that, keep the newest hash elsewhere.

use std::fmt;

use jeton_types::{CredentialId, Hash32, NamespaceName, Revision, TokenId, UnixTime};
use sha2::{Digest as _, Sha256};

/// A change of this layout needs another tag.
const DOMAIN: &[u8] = b"jeton.audit.1:";

/// One entry: what one revision did, and who asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// The revision that it tells of.
    pub revision: Revision,
    /// Authority time.
    pub at: UnixTime,
    /// The token that was shown; none when the authority itself acted.
    pub token: Option<TokenId>,
    /// That token's credential.
    pub credential: Option<CredentialId>,
    /// Where the request came from.
    pub address: Option<String>,
    /// Resource and verb.
    pub action: String,
    /// The namespace.
    pub namespace: NamespaceName,
    /// The id or name of what was changed.
    pub object: String,
    /// Why, in a person's words.
    pub reason: Option<String>,
}

impl Entry {
    /// The hash of this entry after the one with the hash `previous`.
    #[must_use]
    pub fn hash(&self, previous: &Hash32) -> Hash32 {
        let mut hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(previous.as_bytes())
            .chain_update(self.seq.to_be_bytes())
            .chain_update(self.revision.get().to_be_bytes())
            .chain_update(self.at.as_micros().to_be_bytes());
        let (token, credential) = (self.token.map(|id| *id.as_bytes()), self.credential.map(|id| *id.as_bytes()));
        let fields: [Option<&[u8]>; 7] = [
            token.as_ref().map(|id| &id[..]),
            credential.as_ref().map(|id| &id[..]),
            self.address.as_deref().map(str::as_bytes),
            Some(self.action.as_bytes()),
            Some(self.namespace.as_str().as_bytes()),
            Some(self.object.as_bytes()),
            self.reason.as_deref().map(str::as_bytes),
        ];
        for field in fields {
            // None and empty differ; a field cannot run into the next.
            match field {
                None => hash.update([0]),
                Some(bytes) => {
                    hash.update([1]);
                    hash.update((bytes.len() as u64).to_be_bytes());
                    hash.update(bytes);
                }
            }
        }
        Hash32(hash.finalize().into())
    }
}

/// An entry with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it says.
    pub entry: Entry,
    /// The hash of the entry before; zeros before the first.
    pub previous: Hash32,
    /// Its own hash.
    pub hash: Hash32,
}

/// The newest entry of a chain, or of what is claimed to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its place; 0 before the first.
    pub seq: u64,
    /// Its hash; zeros before the first.
    pub hash: Hash32,
}

impl Head {
    /// Before the first entry.
    pub const START: Self = Self { seq: 0, hash: Hash32::ZERO };
}

/// How much of a chain one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Every entry: what is not there was taken out.
    Whole,
    /// Those of some namespaces: what lies between two entries may be others'.
    Part,
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry's hash is not that of what it says.
    #[error("entry {seq} was altered: its hash is not that of what it says")]
    Altered {
        /// Where.
        seq: u64,
    },
    /// Entries are not there.
    #[error("{} missing", Places(*first, *last))]
    Missing {
        /// The first that is missing.
        first: u64,
        /// The last in a row.
        last: u64,
    },
    /// An entry comes where it does not belong.
    #[error("entry {seq} is out of place: it comes after entry {after}")]
    OutOfPlace {
        /// Which.
        seq: u64,
        /// After which it comes.
        after: u64,
    },
    /// An entry does not follow from the one before.
    #[error("entry {seq} does not follow from entry {}: one of the two was exchanged", seq.saturating_sub(1))]
    Unlinked {
        /// Which.
        seq: u64,
    },
    /// The chain ends in another entry than it should.
    #[error("entry {seq} is not the newest that was noted: its hash differs")]
    OtherHead {
        /// Which.
        seq: u64,
    },
}

struct Places(u64, u64);

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 {
            write!(f, "entry {} is", self.0)
        } else {
            write!(f, "entries {} to {} are", self.0, self.1)
        }
    }
}

/// Checks a chain, entry by entry, from the first on.
#[derive(Debug)]
pub struct Checker {
    extent: Extent,
    last: Head,
    count: u64,
}

impl Checker {
    /// To be given every entry in order.
    #[must_use]
    pub const fn new(extent: Extent) -> Self {
        Self { extent, last: Head::START, count: 0 }
    }

    /// The last entry that was good.
    #[must_use]
    pub const fn last(&self) -> Head {
        self.last
    }

    /// How many were good.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The next entry.
    ///
    /// # Errors
    /// [`Broken`], naming the place. What comes after it proves nothing any more.
    pub fn push(&mut self, link: &Link) -> Result<(), Broken> {
        let (seq, after) = (link.entry.seq, self.last.seq);
        if seq <= after {
            return Err(Broken::OutOfPlace { seq, after });
        }
        if link.entry.hash(&link.previous) != link.hash {
            return Err(Broken::Altered { seq });
        }
        if seq == after + 1 {
            if link.previous != self.last.hash {
                return Err(Broken::Unlinked { seq });
            }
        } else if self.extent == Extent::Whole {
            return Err(Broken::Missing { first: after + 1, last: seq - 1 });
        }
        self.last = Head { seq, hash: link.hash };
        self.count += 1;
        Ok(())
    }

    /// After the last entry: whether a whole chain ends where it should.
    ///
    /// # Errors
    /// [`Broken`] if not.
    pub fn finish(&self, head: Head) -> Result<(), Broken> {
        if self.last.seq < head.seq {
            return Err(Broken::Missing { first: self.last.seq + 1, last: head.seq });
        }
        if self.last == head { Ok(()) } else { Err(Broken::OtherHead { seq: self.last.seq }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry {
            seq,
            revision: Revision::new(1_000 + seq).unwrap(),
            at: UnixTime::from_micros(5_000 + seq),
            token: seq.is_multiple_of(2).then(|| TokenId::from_bytes([seq as u8; 16])),
            credential: seq.is_multiple_of(2).then(|| CredentialId::from_bytes([seq as u8; 16])),
            address: seq.is_multiple_of(2).then(|| "192.0.2.1".to_owned()),
            action: "credential.issue".to_owned(),
            namespace: if seq.is_multiple_of(3) { "acme" } else { "other" }.parse().unwrap(),
            object: format!("cred_{seq}"),
            reason: None,
        }
    }

    fn chain(entries: impl IntoIterator<Item = Entry>) -> Vec<Link> {
        let mut previous = Hash32::ZERO;
        let link = |entry: Entry| {
            let hash = entry.hash(&previous);
            Link { entry, previous: std::mem::replace(&mut previous, hash), hash }
        };
        entries.into_iter().map(link).collect()
    }

    fn check(links: &[Link], extent: Extent, head: Option<Head>) -> Result<u64, Broken> {
        let mut checker = Checker::new(extent);
        links.iter().try_for_each(|link| checker.push(link))?;
        head.map_or(Ok(()), |head| checker.finish(head))?;
        Ok(checker.count())
    }

    fn head(links: &[Link]) -> Head {
        links.last().map_or(Head::START, |link| Head { seq: link.entry.seq, hash: link.hash })
    }

    /// The layout is for ever: what was exported once must check for ever.
    #[test]
    fn the_layout_is_fixed() {
        let links = chain((1..=2).map(entry));
        assert_eq!((links[0].hash.to_string(), links[1].hash.to_string()), (FIRST.to_owned(), SECOND.to_owned()));
    }

    const FIRST: &str = "14b00b2b05eadad3f3e18c762aa5585d537b0b3f049e97dd2743d8fff4dd868f";
    const SECOND: &str = "c6245063403311dfd88af386cfaa9d38d76ca20ff7cdb5b12b924863d80f214d";

    #[test]
    fn a_sound_chain_and_a_part_of_it() {
        let links = chain((1..=9).map(entry));
        assert_eq!(check(&links, Extent::Whole, Some(head(&links))), Ok(9));
        assert_eq!(check(&[], Extent::Whole, Some(Head::START)), Ok(0));
        let part: Vec<Link> = links.iter().filter(|link| link.entry.namespace.as_str() == "acme").cloned().collect();
        assert_eq!(check(&part, Extent::Part, None), Ok(3));
        assert_eq!(check(&part, Extent::Whole, None), Err(Broken::Missing { first: 1, last: 2 }));
    }

    #[test]
    fn what_was_dropped_swapped_or_cut_is_named() {
        let links = chain((1..=9).map(entry));
        let newest = Some(head(&links));
        let mut dropped = links.clone();
        dropped.drain(3..5);
        let found = check(&dropped, Extent::Whole, newest).unwrap_err();
        assert_eq!(found, Broken::Missing { first: 4, last: 5 });
        assert_eq!(found.to_string(), "entries 4 to 5 are missing");
        let mut swapped = links.clone();
        swapped.swap(3, 4);
        assert_eq!(check(&swapped, Extent::Part, newest), Err(Broken::OutOfPlace { seq: 4, after: 5 }));
        let found = check(&links[..7], Extent::Whole, newest);
        assert_eq!(found, Err(Broken::Missing { first: 8, last: 9 }));
        // Exchanged with everything that belongs to it, so that it is good for itself.
        let mut exchanged = links.clone();
        exchanged[4].entry.object = "another".to_owned();
        exchanged[4].hash = exchanged[4].entry.hash(&exchanged[4].previous);
        assert_eq!(check(&exchanged, Extent::Whole, newest), Err(Broken::Unlinked { seq: 6 }));
        exchanged.truncate(5);
        let newest = Some(head(&links[..5]));
        assert_eq!(check(&exchanged, Extent::Whole, newest), Err(Broken::OtherHead { seq: 5 }));
    }

    proptest! {
        /// Whatever field of whatever entry is touched, that entry is named.
        #[test]
        fn what_was_altered_is_named(place in 0..8_usize, field in 0..12_usize) {
            let mut links = chain((1..=8).map(entry));
            let link = &mut links[place];
            match field {
                0 => link.entry.revision = Revision::ZERO,
                1 => link.entry.at = UnixTime::from_micros(1),
                2 => link.entry.token = Some(TokenId::from_bytes([99; 16])),
                3 => link.entry.credential = Some(CredentialId::from_bytes([99; 16])),
                4 => link.entry.address = Some(String::new()),
                5 => link.entry.action.push('x'),
                6 => link.entry.namespace = "third".parse().unwrap(),
                7 => link.entry.object.push('x'),
                8 => link.entry.reason = Some(String::new()),
                9 => link.previous.0[5] ^= 1,
                10 => link.hash.0[31] ^= 1,
                _ => {
                    // The same letters, cut elsewhere.
                    let moved = link.entry.action.pop().unwrap();
                    link.entry.object.insert(0, moved);
                }
            }
            for extent in [Extent::Whole, Extent::Part] {
                let found = check(&links, extent, None);
                prop_assert_eq!(found, Err(Broken::Altered { seq: place as u64 + 1 }));
            }
        }
    }
}
