//! How often one address may do what needs no token.
//!
//! A bucket of turns per address, in bounded memory: once too many addresses are known, and none of them has been quiet
//! for long enough to be forgotten, all new ones share one bucket. So whoever commands many addresses can slow down
//! other strangers, and no more.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jeton_types::BootTime;

/// Turns that an address may take at once.
const BURST: u32 = 10;
/// After this long an address has one more.
const TURN_EVERY: Duration = Duration::from_secs(1);
/// Addresses that are told apart.
const ADDRESSES_MAX: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AddressLimit(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    known: HashMap<IpAddr, Bucket>,
    shared: Bucket,
}

/// A bucket is full `spent` after the moment when it was empty for the last time; so one moment says all.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// When it will be, or was, full.
    full_at: BootTime,
}

impl AddressLimit {
    /// Takes a turn, if there is one. Who has no address shares one bucket with all that have none.
    pub(crate) fn take(&self, address: Option<IpAddr>, now: BootTime) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(network) = address.map(network) else { return buckets.shared.take(now) };
        if !buckets.known.contains_key(&network) && buckets.known.len() >= ADDRESSES_MAX {
            buckets.known.retain(|_, bucket| bucket.full_at > now);
            if buckets.known.len() >= ADDRESSES_MAX {
                return buckets.shared.take(now);
            }
        }
        buckets.known.entry(network).or_default().take(now)
    }
}

impl Bucket {
    fn take(&mut self, now: BootTime) -> bool {
        let full_at = self.full_at.max(now).plus(TURN_EVERY);
        let taken = full_at.since(now) <= TURN_EVERY * BURST;
        if taken {
            self.full_at = full_at;
        }
        taken
    }
}

/// The part of an address that one household or machine has: all of IPv4, the first half of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootTime {
        BootTime::from_nanos(1_000_000_000_000).plus(Duration::from_millis(millis))
    }

    fn taken(limit: &AddressLimit, address: &str, tries: u32, millis: u64) -> u32 {
        (0..tries).map(|_| u32::from(limit.take(Some(address.parse().unwrap()), at(millis)))).sum()
    }

    #[test]
    fn a_burst_and_then_one_a_second() {
        let limit = AddressLimit::default();
        assert_eq!(taken(&limit, "192.0.2.1", 20, 0), 10);
        assert_eq!(taken(&limit, "192.0.2.1", 20, 999), 0);
        assert_eq!(taken(&limit, "192.0.2.1", 20, 1_000), 1);
        assert_eq!(taken(&limit, "192.0.2.2", 20, 1_000), 10, "another address has its own");
        assert_eq!(taken(&limit, "192.0.2.1", 20, 100_000), 10);
    }

    #[test]
    fn one_network_is_one_address() {
        let limit = AddressLimit::default();
        assert_eq!(taken(&limit, "2001:db8::1", 9, 0), 9);
        assert_eq!(taken(&limit, "2001:db8::ffff:1", 9, 0), 1);
        assert_eq!(taken(&limit, "2001:db8:0:1::1", 9, 0), 9);
        assert_eq!(taken(&limit, "::ffff:192.0.2.1", 9, 0), 9);
        assert_eq!(taken(&limit, "192.0.2.1", 9, 0), 1);
    }

    #[test]
    fn memory_is_bounded_and_strangers_share() {
        let limit = AddressLimit::default();
        for number in 0..ADDRESSES_MAX as u32 {
            assert!(limit.take(Some(IpAddr::from(number.to_be_bytes())), at(0)));
        }
        assert_eq!(taken(&limit, "192.0.2.1", 6, 0) + taken(&limit, "192.0.2.2", 6, 0), 10);
        assert_eq!(limit.0.lock().unwrap().known.len(), ADDRESSES_MAX);
        assert_eq!(taken(&limit, "192.0.2.1", 20, 1_000), 10, "the others have been quiet long enough");
        assert_eq!(limit.0.lock().unwrap().known.len(), 1);
    }
}
