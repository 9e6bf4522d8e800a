//! How many connections there may be, from one address and in all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits::Limits;
use super::listen::Rarely;

#[derive(Debug)]
pub(super) struct Gate {
    all_max: usize,
    per_address_max: usize,
    refused_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    refused: usize,
    by_address: HashMap<IpAddr, usize>,
    complaint: Rarely,
}

/// What becomes of a new connection.
#[derive(Debug)]
pub(super) enum Entry {
    /// It is served.
    Open(Pass),
    /// It is told that there are too many.
    Refuse(Pass),
    /// There are too many even of these: it is closed.
    Shut,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Exempt,
    Counted(IpAddr),
    Refused,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            all_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            refused_max: limits.connections_refused_max,
            counts: Mutex::default(),
        })
    }

    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Entry {
        let address = address.to_canonical();
        let exempt = address.is_loopback();
        let key = subnet(address);
        let mut counts = self.lock();
        let of_address = if exempt { 0 } else { counts.by_address.get(&key).copied().unwrap_or(0) };
        if counts.all < self.all_max && of_address < self.per_address_max {
            counts.all += 1;
            let kind = if exempt {
                Kind::Exempt
            } else {
                counts.by_address.insert(key, of_address + 1);
                Kind::Counted(key)
            };
            return Entry::Open(Pass { gate: Arc::clone(self), kind });
        }
        if let Some(times) = counts.complaint.due() {
            let all = counts.all;
            tracing::warn!(%address, of_address, all, times, "too many connections; new ones are refused");
        }
        if counts.refused < self.refused_max {
            counts.refused += 1;
            return Entry::Refuse(Pass { gate: Arc::clone(self), kind: Kind::Refused });
        }
        Entry::Shut
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.lock();
        match &self.kind {
            Kind::Exempt => counts.all -= 1,
            Kind::Refused => counts.refused -= 1,
            Kind::Counted(key) => {
                counts.all -= 1;
                if let Some(count) = counts.by_address.get_mut(key) {
                    *count -= 1;
                    if *count == 0 {
                        counts.by_address.remove(key);
                    }
                }
            }
        }
    }
}

/// Whoever has one IPv6 address has its whole /64.
fn subnet(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(all: usize, per_address: usize, refused: usize) -> Arc<Gate> {
        Gate::new(&Limits {
            connections_max: all,
            connections_per_address_max: per_address,
            connections_refused_max: refused,
            ..Limits::http()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_its_share_and_gets_it_back() {
        let gate = gate(10, 2, 1);
        let first = gate.enter(ip("192.0.2.1"));
        let second = gate.enter(ip("::ffff:192.0.2.1"));
        assert!(matches!((&first, &second), (Entry::Open(_), Entry::Open(_))));
        let refused = gate.enter(ip("192.0.2.1"));
        assert!(matches!(refused, Entry::Refuse(_)));
        assert!(matches!(gate.enter(ip("192.0.2.1")), Entry::Shut));
        assert!(matches!(gate.enter(ip("192.0.2.2")), Entry::Open(_)));
        drop(first);
        assert!(matches!(gate.enter(ip("192.0.2.1")), Entry::Open(_)));
        drop((second, refused));
        let counts = gate.lock();
        assert!(counts.by_address.is_empty());
        assert_eq!((counts.all, counts.refused), (0, 0));
    }

    #[test]
    fn a_subnet_counts_as_one() {
        let gate = gate(10, 1, 0);
        let _held = gate.enter(ip("2001:db8::1"));
        assert!(matches!(gate.enter(ip("2001:db8::ffff:1")), Entry::Shut));
        assert!(matches!(gate.enter(ip("2001:db8:0:1::1")), Entry::Open(_)));
    }

    #[test]
    fn loopback_is_bounded_only_by_all() {
        let gate = gate(3, 1, 0);
        let held: Vec<_> = ["127.0.0.1", "127.0.0.1", "::1"].iter().map(|text| gate.enter(ip(text))).collect();
        assert!(held.iter().all(|entry| matches!(entry, Entry::Open(_))));
        assert!(matches!(gate.enter(ip("127.0.0.1")), Entry::Shut));
    }
}
