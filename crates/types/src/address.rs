//! From where a token may be presented: ranges of client addresses.
//!
//! An IPv4 address inside IPv6 (`::ffff:10.0.0.1`) is that IPv4 address, in ranges and in what is compared with them: a
//! proxy that listens on both writes the same client either way.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Invalid, limits::ADDRESS_RANGES_MAX};

/// A range of addresses in CIDR notation, such as `10.0.0.0/8` or `2001:db8::/32`; a bare address is a range of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressRange {
    network: IpAddr,
    /// How many leading bits an address has in common with the network.
    bits: u8,
}

impl AddressRange {
    /// The form.
    pub const FORM: Invalid = Invalid(
        "an address range is a network and how many leading bits count, such as 10.0.0.0/8 or 2001:db8::/32; a single address needs no bits",
    );
    const HOST_BITS: Invalid = Invalid(
        "an address range has bits set beyond those that count: write its first address, such as 10.0.0.0/8, or fewer zeros after the /, such as 10.1.2.3/32",
    );

    /// The range of addresses that begin with the first `bits` bits of `network`.
    ///
    /// # Errors
    /// If there are not so many bits, or one behind them is set.
    pub fn new(network: IpAddr, bits: u8) -> Result<Self, Invalid> {
        // Of an IPv4 address inside IPv6 the first 96 bits are always these.
        let (network, bits) = match (network, network.to_canonical()) {
            (IpAddr::V6(_), inner @ IpAddr::V4(_)) => (inner, bits.checked_sub(96).ok_or(Self::HOST_BITS)?),
            _ => (network, bits),
        };
        if bits > width(network) {
            return Err(Self::FORM);
        }
        if value(network) & !mask(width(network), bits) != 0 {
            return Err(Self::HOST_BITS);
        }
        Ok(Self { network, bits })
    }

    /// Whether the address is in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4()
            && value(address) & mask(width(address), self.bits) == value(self.network)
    }

    fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.network)
    }

    /// The lower and the upper half.
    fn halves(&self) -> Option<[Self; 2]> {
        let width = width(self.network);
        let bits = self.bits.checked_add(1).filter(|bits| *bits <= width)?;
        let upper = value(self.network) | 1_u128 << (width - bits);
        let upper = match self.network {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(upper).ok()?.into()),
            IpAddr::V6(_) => IpAddr::V6(upper.into()),
        };
        Some([Self { network: self.network, bits }, Self { network: upper, bits }])
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The first `bits` of `width` bits.
const fn mask(width: u8, bits: u8) -> u128 {
    let all = u128::MAX >> (128 - width as u32);
    match all.checked_shr(bits as u32) {
        Some(rest) => all & !rest,
        None => all,
    }
}

impl FromStr for AddressRange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (network, bits) = text.split_once('/').map_or((text, None), |(network, bits)| (network, Some(bits)));
        let network: IpAddr = network.parse().map_err(|_| Self::FORM)?;
        let bits = match bits {
            None => width(network),
            // `parse` alone would take a sign and leading zeros.
            Some(bits)
                if bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0')) =>
            {
                bits.parse().map_err(|_| Self::FORM)?
            }
            Some(_) => return Err(Self::FORM),
        };
        if bits > width(network) {
            return Err(Self::FORM);
        }
        Self::new(network, bits)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// From where a token may be presented: anywhere, or from 1 to 32 ranges. In JSON a list; the empty one is anywhere.
///
/// As large as a pointer, and that a null one, where a token may come from anywhere: replicas hold one for each token.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct AddressList(Option<Arc<Ranges>>);

#[derive(PartialEq, Eq, Hash)]
struct Ranges(Box<[AddressRange]>);

impl AddressList {
    /// These ranges, sorted and each once; anywhere, if there is none.
    ///
    /// # Errors
    /// If there are more than 32 different ones.
    pub fn new(ranges: impl IntoIterator<Item = AddressRange>) -> Result<Self, Invalid> {
        let mut ranges: Vec<AddressRange> = ranges.into_iter().collect();
        ranges.sort_unstable();
        ranges.dedup();
        if ranges.len() > ADDRESS_RANGES_MAX {
            return Err(Invalid("a credential holds at most 32 address ranges: use larger ones"));
        }
        Ok(Self((!ranges.is_empty()).then(|| Arc::new(Ranges(ranges.into())))))
    }

    /// Parses one range after the other.
    ///
    /// # Errors
    /// If one is not of its form, or there are more than 32 different ones.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Invalid> {
        let ranges: Vec<AddressRange> = texts.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Self::new(ranges)
    }

    /// Whether a token may be presented from anywhere, also from where nobody knows.
    #[must_use]
    pub const fn is_anywhere(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a token may be presented from this address. One that is not known is in no range.
    #[must_use]
    pub fn allows(&self, client: Option<IpAddr>) -> bool {
        let Some(ranges) = &self.0 else { return true };
        client.is_some_and(|client| ranges.0.iter().any(|range| range.contains(client)))
    }

    /// Whether whatever `wanted` allows is allowed here as well, however the ranges are cut.
    #[must_use]
    pub fn covers(&self, wanted: &Self) -> bool {
        let Some(held) = &self.0 else { return true };
        // A list with every address in it still refuses an unknown one.
        let Some(wanted) = &wanted.0 else { return false };
        wanted.0.iter().all(|range| held.cover(range))
    }

    /// The ranges in order; none is anywhere.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &AddressRange> {
        self.0.as_deref().map_or(&[][..], |ranges| &ranges.0).iter()
    }
}

impl Ranges {
    /// Whether the range lies in these together. Only halves that hold a range of these are looked into, so this takes at
    /// most 128 steps for each of them.
    fn cover(&self, range: &AddressRange) -> bool {
        if self.0.iter().any(|held| held.covers(range)) {
            return true;
        }
        self.0.iter().any(|held| range.covers(held))
            && range.halves().is_some_and(|halves| halves.iter().all(|half| self.cover(half)))
    }
}

impl fmt::Display for AddressList {
    /// Joined by spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{range}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for AddressList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for AddressList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<AddressRange>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn list(texts: &[&str]) -> AddressList {
        AddressList::parse(texts.iter().copied()).unwrap()
    }

    fn check(text: &str, expect: Result<&str, Invalid>) {
        let found = text.parse::<AddressRange>().map(|range| range.to_string());
        assert_eq!(found, expect.map(str::to_owned), "{text}");
    }

    #[test]
    fn forms() {
        check("10.0.0.0/8", Ok("10.0.0.0/8"));
        check("10.1.2.3", Ok("10.1.2.3/32"));
        check("0.0.0.0/0", Ok("0.0.0.0/0"));
        check("2001:DB8::/32", Ok("2001:db8::/32"));
        check("::1", Ok("::1/128"));
        check("::/0", Ok("::/0"));
        check("::ffff:10.0.0.0/104", Ok("10.0.0.0/8"));
        check("::ffff:10.1.2.3", Ok("10.1.2.3/32"));
        for host_bits in ["10.0.0.1/8", "2001:db8::1/32", "128.0.0.0/0", "::ffff:10.0.0.0/95", "::ffff:10.0.0.1/104"] {
            check(host_bits, Err(AddressRange::HOST_BITS));
        }
        for bad in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "10.0.0.0/255.0.0.0",
            "010.0.0.0/8",
            "fe80::1%eth0",
            "example.org",
            "10.0.0.0/256",
        ] {
            check(bad, Err(AddressRange::FORM));
        }
    }

    #[test]
    fn who_is_let_in() {
        let allows = |texts: &[&str], client: &str| list(texts).allows(Some(client.parse().unwrap()));
        assert!(allows(&["10.0.0.0/8"], "10.255.0.1") && !allows(&["10.0.0.0/8"], "11.0.0.0"));
        assert!(allows(&["10.0.0.0/8"], "::ffff:10.0.0.1"), "the same client");
        assert!(allows(&["::/0"], "2001:db8::1") && !allows(&["::/0"], "10.0.0.1") && !allows(&["0.0.0.0/0"], "::1"));
        assert!(!allows(&["::/0"], "::ffff:10.0.0.1"), "IPv4 is no part of IPv6");
        assert!(list(&[]).allows(None) && list(&[]).is_anywhere());
        assert!(!list(&["0.0.0.0/0", "::/0"]).allows(None), "who is not known is in no range");
    }

    #[test]
    fn narrower_and_wider() {
        let covers = |held: &[&str], wanted: &[&str]| list(held).covers(&list(wanted));
        assert!(covers(&[], &["10.0.0.0/8"]) && covers(&[], &[]));
        assert!(!covers(&["0.0.0.0/0", "::/0"], &[]), "an unknown address is lost");
        assert!(covers(&["10.0.0.0/8"], &["10.1.0.0/16"]) && !covers(&["10.1.0.0/16"], &["10.0.0.0/8"]));
        assert!(covers(&["10.0.0.0/9", "10.128.0.0/9"], &["10.0.0.0/8"]), "halves are the whole");
        assert!(!covers(&["10.0.0.0/9", "10.128.0.0/10"], &["10.0.0.0/8"]));
        assert!(covers(&["::/1", "8000::/1"], &["::/0"]));
    }

    #[test]
    fn a_list_is_sorted_and_bounded() {
        let many: Vec<String> = (0..33).map(|n| format!("10.0.{n}.0/24")).collect();
        assert!(AddressList::parse(many.iter().map(String::as_str)).is_err());
        assert!(AddressList::parse(many.iter().take(32).chain(&many[..5]).map(String::as_str)).is_ok());
        let json = serde_json::to_string(&list(&["2001:db8::/32", "10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8"])).unwrap();
        assert_eq!(json, r#"["10.0.0.0/8","10.1.0.0/16","2001:db8::/32"]"#);
        assert_eq!(
            serde_json::from_str::<AddressList>(&json).unwrap().to_string(),
            "10.0.0.0/8 10.1.0.0/16 2001:db8::/32"
        );
        assert!(serde_json::from_str::<AddressList>(r#"["10.0.0.1/8"]"#).is_err());
        assert_eq!(size_of::<AddressList>(), size_of::<usize>());
    }

    /// Addresses close together, so that ranges of them meet.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..64_u32).prop_map(|low| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | low << 2))),
            (0..64_u128).prop_map(|low| IpAddr::V6(Ipv6Addr::from(0x2001_0db8 << 96 | low))),
            any::<IpAddr>(),
        ]
    }

    fn range() -> impl Strategy<Value = AddressRange> {
        (address(), 0..=128_u8).prop_map(|(address, bits)| {
            let address = address.to_canonical();
            let bits = bits.min(width(address));
            let first = value(address) & mask(width(address), bits);
            let network = match address {
                IpAddr::V4(_) => IpAddr::V4((first as u32).into()),
                IpAddr::V6(_) => IpAddr::V6(first.into()),
            };
            AddressRange::new(network, bits).unwrap_or(AddressRange { network: address, bits: width(address) })
        })
    }

    /// As slow and as plain as can be.
    fn contained(range: &AddressRange, address: IpAddr) -> bool {
        let bits = |address: IpAddr| -> Vec<bool> {
            let bytes = match address.to_canonical() {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
        };
        let (network, address) = (bits(range.network), bits(address));
        network.len() == address.len() && network[..range.bits.into()] == address[..range.bits.into()]
    }

    proptest! {
        #[test]
        fn a_range_holds_what_begins_like_it(range in range(), address in address()) {
            prop_assert_eq!(range.contains(address), contained(&range, address));
            prop_assert!(range.contains(range.network));
            prop_assert_eq!(range.to_string().parse::<AddressRange>(), Ok(range));
        }

        /// What covers lets in whatever the other lets in; what does not cover shuts somebody out.
        #[test]
        fn to_cover_is_to_let_in_no_fewer(
            held in proptest::collection::vec(range(), 1..6),
            wanted in proptest::collection::vec(range(), 1..6),
            address in address(),
        ) {
            let (held, wanted) = (AddressList::new(held).unwrap(), AddressList::new(wanted).unwrap());
            if held.covers(&wanted) {
                prop_assert!(held.allows(Some(address)) || !wanted.allows(Some(address)));
            } else {
                // An edge of a range of either is where they differ, if they do anywhere.
                let edges = held.iter().chain(wanted.iter()).flat_map(|range| {
                    let width = width(range.network);
                    let last = value(range.network) | (!mask(width, range.bits) & mask(width, width));
                    let next = last.checked_add(1).filter(|next| *next <= mask(width, width));
                    let before = value(range.network).checked_sub(1);
                    let of = |bits: u128| match range.network {
                        IpAddr::V4(_) => IpAddr::V4((bits as u32).into()),
                        IpAddr::V6(_) => IpAddr::V6(bits.into()),
                    };
                    [Some(value(range.network)), Some(last), next, before].into_iter().flatten().map(of).collect::<Vec<_>>()
                });
                let lost = edges.into_iter().any(|edge| wanted.allows(Some(edge)) && !held.allows(Some(edge)));
                prop_assert!(lost, "{:?} {:?}", held, wanted);
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "[0-9a-f:./]{0,24}") {
            let _ = text.parse::<AddressRange>();
        }
    }
}
