//! One hash over all that is enforced in a namespace (`feed-protocol.md` 24), kept up row by row.
//!
//! It is a sum: SHA-256 of each row, in a form that no two rows share, and of the policy; added up in four lanes of 64
//! bits. So whoever changes a row subtracts what it was and adds what it is, in whatever order, and never reads the
//! others. A sum and not an exclusive or: there, a row that is held twice would vanish.
//!
//! Guaranteed: a row that was lost, added, doubled or altered changes the hash, but for a chance of one in 2^256.
//! Not guaranteed: anything against somebody who may choose the rows freely, as whoever can write to the store may.

use jeton_types::{Hash32, NamespaceName, UnixTime};
use sha2::{Digest as _, Sha256};

use crate::record::{EndReason, Policy, TokenEntry};

/// The sum over some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetHash([u64; 4]);

impl SetHash {
    /// Of no row at all.
    pub const EMPTY: Self = Self([0; 4]);

    /// Of a namespace's policy alone.
    #[must_use]
    pub fn of_policy(namespace: &NamespaceName, policy: &Policy) -> Self {
        let Policy { prefix, freshness, disabled } = policy;
        let mut row = Row::new(b"jeton.set.policy.1");
        row.text(namespace.as_str());
        row.text(prefix.as_str());
        row.number(u64::try_from(freshness.grace().as_millis()).unwrap_or(u64::MAX));
        row.flag(*disabled);
        row.sum()
    }

    /// Of one token alone: everything that a verdict on it depends on. Of one that has ended that is not what it might have
    /// done: that is changed with its credential no more, and no record says so.
    #[must_use]
    pub fn of_entry(entry: &TokenEntry) -> Self {
        // Taken apart, so that a field that is added later cannot be left out.
        let TokenEntry { digest, token, credential, subject, scopes, expires_at, addresses, disabled, ended } = entry;
        let mut row = Row::new(b"jeton.set.token.1");
        row.0.update(digest.as_bytes());
        row.0.update(token.as_bytes());
        row.0.update(credential.as_bytes());
        row.flag(expires_at.is_some());
        row.number(expires_at.map_or(0, UnixTime::as_micros));
        row.0.update([match ended {
            None => 0,
            Some(EndReason::Revoked) => 1,
        }]);
        if ended.is_none() {
            row.flag(*disabled);
            row.flag(subject.is_some());
            row.text(subject.as_ref().map_or("", |subject| subject.as_str()));
            row.number(scopes.iter().count() as u64);
            scopes.iter().for_each(|scope| row.text(scope.as_str()));
            // Where there are none the row is as it was before there could be: the sums of older stores and verifiers hold.
            if !addresses.is_anywhere() {
                row.number(addresses.iter().count() as u64);
                addresses.iter().for_each(|range| row.text(&range.to_string()));
            }
        }
        row.sum()
    }

    /// With the rows of another sum besides.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a.wrapping_add(e), b.wrapping_add(f), c.wrapping_add(g), d.wrapping_add(h)])
    }

    /// Without the rows of another sum, which were in it.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a.wrapping_sub(e), b.wrapping_sub(f), c.wrapping_sub(g), d.wrapping_sub(h)])
    }

    /// As it travels and is kept.
    #[must_use]
    pub fn to_hash(self) -> Hash32 {
        let mut bytes = [0; 32];
        for (place, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            place.copy_from_slice(&lane.to_be_bytes());
        }
        Hash32(bytes)
    }

    /// From how it travels and is kept.
    #[must_use]
    pub fn of_hash(hash: Hash32) -> Self {
        let (lanes, _) = hash.as_bytes().as_chunks::<8>();
        let mut sum = [0; 4];
        for (place, lane) in sum.iter_mut().zip(lanes) {
            *place = u64::from_be_bytes(*lane);
        }
        Self(sum)
    }
}

/// One row on its way into the hash: every part has a fixed length or says its own.
struct Row(Sha256);

impl Row {
    fn new(domain: &[u8]) -> Self {
        let mut row = Self(Sha256::new());
        row.bytes(domain);
        row
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.update([u8::from(flag)]);
    }

    fn sum(self) -> SetHash {
        SetHash::of_hash(Hash32(self.0.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use jeton_types::{AddressList, CredentialId, Digest, Freshness, ScopeSet, Span, TokenId};

    use super::*;

    fn entry() -> TokenEntry {
        TokenEntry {
            digest: Digest::from_bytes([1; 32]),
            token: TokenId::from_bytes([2; 16]),
            credential: CredentialId::from_bytes([3; 16]),
            subject: Some("billing".parse().unwrap()),
            scopes: ScopeSet::parse(["orders:read", "orders:write"]).unwrap(),
            expires_at: Some(UnixTime::from_micros(7)),
            addresses: AddressList::default(),
            disabled: false,
            ended: None,
        }
    }

    /// Every field of a row, altered alone.
    fn altered() -> Vec<TokenEntry> {
        let entry = entry();
        vec![
            TokenEntry { digest: Digest::from_bytes([9; 32]), ..entry.clone() },
            TokenEntry { token: TokenId::from_bytes([9; 16]), ..entry.clone() },
            TokenEntry { credential: CredentialId::from_bytes([9; 16]), ..entry.clone() },
            TokenEntry { subject: None, ..entry.clone() },
            TokenEntry { scopes: ScopeSet::parse(["orders:read"]).unwrap(), ..entry.clone() },
            TokenEntry { expires_at: None, ..entry.clone() },
            TokenEntry { expires_at: Some(UnixTime::from_micros(8)), ..entry.clone() },
            TokenEntry { disabled: true, ..entry.clone() },
            TokenEntry { addresses: AddressList::parse(["10.0.0.0/8"]).unwrap(), ..entry.clone() },
            TokenEntry { ended: Some(EndReason::Revoked), ..entry },
        ]
    }

    #[test]
    fn each_part_of_a_row_counts() {
        let all: Vec<_> = altered().iter().chain([&entry()]).map(SetHash::of_entry).collect();
        for (place, one) in all.iter().enumerate() {
            assert!(all[place + 1..].iter().all(|other| other != one), "{place}");
        }
    }

    #[test]
    fn of_a_token_that_has_ended_counts_what_is_told_of_it() {
        let ended = |entry: TokenEntry| TokenEntry { ended: Some(EndReason::Revoked), ..entry };
        let hash = SetHash::of_entry(&ended(entry()));
        for other in altered().into_iter().filter(|other| other.ended.is_none()) {
            let told = (other.subject.is_some(), &other.scopes, other.disabled, other.addresses.is_anywhere());
            let same = told != (true, &entry().scopes, false, true);
            assert_eq!(SetHash::of_entry(&ended(other)) == hash, same);
        }
    }

    #[test]
    fn each_part_of_a_policy_counts() {
        let name: NamespaceName = "acme".parse().unwrap();
        let policy = Policy {
            prefix: "acme".parse().unwrap(),
            freshness: Freshness::Grace(Span::from_secs(5)),
            disabled: false,
        };
        let all = [
            SetHash::of_policy(&name, &policy),
            SetHash::of_policy(&"other".parse().unwrap(), &policy),
            SetHash::of_policy(&name, &Policy { prefix: "b".repeat(3).parse().unwrap(), ..policy.clone() }),
            SetHash::of_policy(&name, &Policy { freshness: Freshness::Strict, ..policy.clone() }),
            SetHash::of_policy(&name, &Policy { disabled: true, ..policy }),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(all[place + 1..].iter().all(|other| other != one), "{place}");
        }
    }

    #[test]
    fn rows_come_and_go_in_any_order() {
        let rows: Vec<_> = altered().iter().map(SetHash::of_entry).collect();
        let sum = |rows: &[SetHash]| rows.iter().fold(SetHash::EMPTY, |sum, row| sum.plus(*row));
        let backwards: Vec<_> = rows.iter().rev().copied().collect();
        assert_eq!(sum(&rows), sum(&backwards));
        assert_eq!(sum(&rows).minus(rows[3]), sum(&[&rows[..3], &rows[4..]].concat()));
        assert_eq!(rows.iter().fold(sum(&rows), |sum, row| sum.minus(*row)), SetHash::EMPTY);
        // Held twice is not the same as not held at all.
        assert_ne!(sum(&rows).plus(rows[0]).plus(rows[0]), sum(&rows));
        assert_eq!(SetHash::of_hash(sum(&rows).to_hash()), sum(&rows));
    }

    /// The form is a contract between versions: another one needs another domain tag and another protocol.
    #[test]
    fn the_form_stays_as_it_is() {
        let policy = Policy { prefix: "acme".parse().unwrap(), freshness: Freshness::Strict, disabled: false };
        let sum = SetHash::of_entry(&entry()).plus(SetHash::of_policy(&"acme".parse().unwrap(), &policy));
        assert_eq!(sum.to_hash().to_string(), "62098e6080056c83bcc5a983509b41b82c3a097c75cdf8b8c8f422d89629476c");
    }
}
